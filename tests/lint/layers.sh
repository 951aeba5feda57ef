#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The law of the layers: app -> io -> core -> base, never up; includes carry the folder.
set -eu
cd "${srcdir:-.}"
status=0
check() { # LAYER FORBIDDEN
        if grep -nE "^ *# *include \"($2)/" "src/$1"/*.[ch]; then
                echo "layers: src/$1 must not include from: $2" >&2
                status=1
        fi
}
check base 'core|io|app'
check core 'io|app'
check io 'app'
if grep -nE '^ *# *include "[^/"]*"' src/*/*.[ch]; then
        echo "layers: an include without its folder" >&2
        status=1
fi
exit $status
