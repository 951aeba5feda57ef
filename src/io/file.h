/* SPDX-License-Identifier: Apache-2.0 */
/* Reading files that must be trusted, and writing them atomically. */
#pragma once

#include "base/err.h"

#include <sys/stat.h>

/* An owned descriptor; -1 = none. errno is kept. */
void fd_closep(int *fd);
#define _cleanup_fd_ _cleanup_(fd_closep)

/* openat with O_CLOEXEC and O_NOCTTY, not interrupted by signals. A descriptor or a negative errno. */
int file_open_at(int dir_fd, const char *path, int flags, mode_t mode);

typedef struct FileTrust {
        bool check;  /* refuse a file that others may write or that a stranger owns */
        bool follow; /* follow a symbolic link (files named on the command line) */
} FileTrust;

/* Reads a regular file whole, at most max bytes; NUL behind the data. "-" is standard input when check is off; with
 * follow and without check a pipe is read to its end too (a shell's `<(...)`).
 * dir_fd: AT_FDCWD or an open directory. Checks are made on the opened descriptor; nothing but a regular file is ever
 * waited for.
 * -ENOENT, -EACCES, -EPERM (unsafe owner or mode), -ELOOP (a link), -EFBIG, -EISDIR, -EINVAL (a device, a socket, or a
 * pipe where none is allowed), -EIO...; err says which file and why. */
int file_read(int dir_fd, const char *path, size_t max, FileTrust trust, char **ret_data, size_t *ret_len, Err *err);

/* Reads an open descriptor from where it stands to its end, as file_read does. size_hint: the size expected. No message
 * of its own: the caller knows the name. */
int file_read_fd(int fd, size_t max, size_t size_hint, char **ret_data, size_t *ret_len);

/* Whether owner and mode are safe: owned by root or our own user, not writable by group or others. -EPERM and err if
 * not. */
int file_check_trust(const struct stat *st, const char *what, Err *err);

/* Makes a file in an open directory (O_EXCL; one of that name that an interrupted write left is replaced), writes it,
 * sets its mode whatever the umask says, and syncs it. On failure it is unlinked. */
int file_make_at(int dir_fd, const char *name, const void *data, size_t len, mode_t mode, Err *err);

/* Writes a file atomically in an open directory: tmp (as file_make_at), rename to name. The directory is not synced.
 * On failure tmp is unlinked and what stood stays. */
int file_write_at(int dir_fd, const char *tmp, const char *name, const void *data, size_t len, mode_t mode, Err *err);

/* The same, but a file that holds these bytes already, and can be trusted, is not touched. */
int file_update_at(int dir_fd, const char *tmp, const char *name, const void *data, size_t len, mode_t mode, Err *err);

/* Writes all of it, whatever the kernel takes at a time. 0 or a negative errno. */
int file_write_fd(int fd, const void *data, size_t len);

/* fsync of a directory; one whose file system has no such thing is fine. 0 or a negative errno. */
int file_sync_dir(int dir_fd);
