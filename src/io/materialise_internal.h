/* SPDX-License-Identifier: Apache-2.0 */
/* The files and directories that materialised volumes are made of. Everything goes by directory descriptors; no link is
 * followed. 0 or a negative errno. */
#pragma once

#include "io/materialise.h"

#define TMP_PREFIX "..tmp-"
#define TMP_NEW TMP_PREFIX "new"   /* a volume, or what is to be behind ..data */
#define TMP_LINK TMP_PREFIX "link" /* a link before it gets its name */

enum { TREE_DEPTH_MAX = 128 }; /* elements of a path in a volume */

/* How new entries look. */
typedef struct TreeLook {
        int64_t group; /* -1: none */
        bool labelled; /* SELinux */
} TreeLook;

/* A descriptor; -ENOTDIR for a link, too. */
int tree_open_dir(int dir_fd, const char *name);

/* Makes a directory as it is to be inside a volume, and opens it. */
int tree_make_dir(int dir_fd, const char *name, const TreeLook *look, Err *err);

/* Puts mode and group of an existing one right; touches nothing that is right. */
int tree_mend_dir(int fd, const TreeLook *look, Err *err);

/* Makes a link of this name, in place of whatever has it. A reader sees the old one or the new one, unless it was a
 * directory. */
int tree_place_link(int dir_fd, const char *target, const char *name, const TreeLook *look);

/* 1 or 0; what is not there or no link at all is none. */
int tree_is_link(int dir_fd, const char *target, const char *name);

/* Makes the directory and the payload's files in it; everything in it is synced, its own name is not. On failure what
 * was made stays. */
int tree_write(int dir_fd, const char *name, const Payload *payload, const TreeLook *look, Err *err);

/* Removes a file, a link, or a directory with all that is in it; one that is not there is fine. Goes on after a failure
 * and returns the first. */
int tree_remove(int dir_fd, const char *name);
