/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary directory for tests of the io layer. */
#pragma once

#include "test.h"

#include <sys/stat.h>

/* Makes a directory (0700) below TMPDIR or /tmp; free with tmpdir_free, which removes all that is in it. */
char *tmpdir_new(void);
void tmpdir_free(char *dir);

/* "<dir>/<name>", in one of a few static buffers. */
const char *in_dir(const char *dir, const char *name);

/* All of these fail the test if they cannot. Paths are whole ones. */
void put_dir(const char *path, mode_t mode);
void put_file(const char *path, const char *text, mode_t mode);
void put_link(const char *path, const char *target);

/* Whether the file holds exactly this text. */
bool file_is(const char *path, const char *text);
bool exists(const char *path); /* links are not followed */
mode_t mode_of(const char *path);

/* "a b c": the names in a directory, dot files included, sorted; static buffer. "" for a missing or empty one. */
const char *names_in(const char *path);

/* Everything that a write would change: names, inodes, times, sizes and modes of a whole tree; free it. */
char *tree_state(const char *path);
