/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files that must be trusted, and writing them atomically. */
#pragma once

#include "base/err.h"

#include <sys/stat.h>

typedef struct FileTrust {
        bool check;  /* refuse a file that others may write or that a stranger owns */
        bool follow; /* follow a symbolic link (files named on the command line) */
} FileTrust;

/* Reads a regular file whole, at most max bytes; NUL behind the data. "-" is standard input when check is off.
 * dir_fd: AT_FDCWD or an open directory. Checks are made on the opened descriptor.
 * -ENOENT, -EACCES, -EPERM (unsafe owner or mode), -ELOOP (a link), -EFBIG, -EISDIR, -EIO...; err says which file and
 * why. */
int file_read(int dir_fd, const char *path, size_t max, FileTrust trust, char **ret_data, size_t *ret_len, Err *err);

/* Whether owner and mode are safe: owned by root or our own user, not writable by group or others. -EPERM and err if
 * not. */
int file_check_trust(const struct stat *st, const char *what, Err *err);

/* Writes a file atomically in an open directory: tmp (made O_EXCL), fsync, rename to name. The directory is not synced.
 * On failure tmp is unlinked and what stood stays. */
int file_write_at(int dir_fd, const char *tmp, const char *name, const void *data, size_t len, mode_t mode, Err *err);
