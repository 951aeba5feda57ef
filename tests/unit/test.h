/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test uses: cmocka, test data, and the loop that makes every allocation fail once. */
#pragma once

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Reads tests/<path> of the source tree; fails the test if it cannot. NUL behind the data. */
char *test_read(const char *path, size_t *ret_len);

/* The names in tests/<path>, sorted, without a leading dot; fails the test if there is none. Free with test_names_free.
 */
char **test_names(const char *path, size_t *ret_n);
void test_names_free(char **names, size_t n);

/* Path of tests/<path>, in a static buffer. */
const char *test_path(const char *path);

/* Path of <path> in the shared data beside the source tree, or NULL where that is absent (then skip()). Static buffer.
 */
const char *test_shared(const char *path);

/* Reads a file by its path; fails the test if it cannot. */
char *test_read_file(const char *path, size_t *ret_len);

/* Compares a text with the file tests/<path>. With UPDATE_GOLDEN=1 in the environment the file is written instead. */
void test_golden(const char *path, const char *text);

/* Calls body(user) again and again, with the first, second, third ... allocation failing (malloc, calloc, realloc,
 * strdup... of everything in the process, libyaml and cJSON included: the test program's malloc stands in front of
 * libc's), until a run sees no failure. body returns 0, or -ENOMEM after it freed all it made; anything else fails the
 * test, and so does a leak. Returns how many allocations were failed. Where a sanitizer or valgrind owns malloc the
 * body runs once, without failures, and 0 is returned. */
size_t test_oom(int (*body)(void *user), void *user);
