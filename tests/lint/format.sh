#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clang-format is a test, where it is installed.
set -eu
cd "${srcdir:-.}"
command -v clang-format >/dev/null || exit 77
find src tests -name '*.[ch]' ! -name schema_table.c -print0 | xargs -0 clang-format --dry-run --Werror
