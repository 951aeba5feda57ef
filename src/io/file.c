/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

void fd_closep(int *fd) {
        int saved = errno;

        /* Not repeated on EINTR: Linux has closed the descriptor by then. */
        if (*fd >= 0)
                (void)close(*fd);
        *fd = -1;
        errno = saved;
}

int file_open_at(int dir_fd, const char *path, int flags, mode_t mode) {
        int fd;

        do
                fd = openat(dir_fd, path, flags | O_CLOEXEC | O_NOCTTY, mode);
        while (fd < 0 && errno == EINTR);
        return fd < 0 ? -errno : fd;
}

int file_check_trust(const struct stat *st, const char *what, Err *err) {
        if (st->st_uid != 0 && st->st_uid != geteuid())
                return err_set(err, -EPERM, "%s: is owned by user %u; it must belong to root", what, st->st_uid);
        if (st->st_mode & (S_IWGRP | S_IWOTH))
                return err_set(err, -EPERM, "%s: is writable by group or others (mode %04o); run chmod go-w on it",
                               what, st->st_mode & 07777);
        return 0;
}

/* One read that is neither interrupted nor, on a pipe that somebody made non-blocking, too early. */
static ssize_t read_some(int fd, char *data, size_t n) {
        for (;;) {
                ssize_t got = read(fd, data, n);

                if (got >= 0)
                        return got;
                if (errno == EAGAIN)
                        (void)poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);
                else if (errno != EINTR)
                        return -errno;
        }
}

int file_read_fd(int fd, size_t max, size_t size_hint, char **ret_data, size_t *ret_len) {
        _cleanup_free_ char *data = NULL;
        size_t len = 0, cap;

        if (size_hint > max)
                return -EFBIG;
        /* One byte more than expected, so that the end is seen without growing; one more for the NUL. */
        cap = size_hint ? size_hint + 1 : 4096;
        data = malloc(cap + 1);
        if (!data)
                return -ENOMEM;
        for (;;) {
                ssize_t n;

                if (len > max)
                        return -EFBIG;
                if (len == cap) {
                        char *grown = realloc(data, 2 * cap + 1);

                        if (!grown)
                                return -ENOMEM;
                        data = grown;
                        cap *= 2;
                }
                n = read_some(fd, data + len, cap - len);
                if (n < 0)
                        return (int)n;
                if (n == 0)
                        break;
                len += (size_t)n;
        }
        data[len] = 0;
        *ret_data = TAKE_PTR(data);
        *ret_len = len;
        return 0;
}

/* What may be read at all, told from the opened descriptor. */
static int check_readable(const struct stat *st, const char *path, FileTrust trust, Err *err) {
        bool pipe_allowed = trust.follow && !trust.check;

        if (S_ISDIR(st->st_mode))
                return err_set(err, -EISDIR, "%s: is a directory", path);
        if (!S_ISREG(st->st_mode) && !(pipe_allowed && S_ISFIFO(st->st_mode)))
                return err_set(err, -EINVAL, "%s: is not a regular file", path);
        return trust.check ? file_check_trust(st, path, err) : 0;
}

static int open_checked(int dir_fd, const char *path, FileTrust trust, struct stat *ret_st, Err *err) {
        /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
        _cleanup_fd_ int fd = file_open_at(dir_fd, path, O_RDONLY | O_NONBLOCK | (trust.follow ? 0 : O_NOFOLLOW), 0);
        int r;

        if (fd == -ELOOP && !trust.follow)
                return err_set(err, fd, "%s: is a symbolic link, which is not followed here", path);
        if (fd == -ENXIO) /* a socket */
                return err_set(err, -EINVAL, "%s: is not a regular file", path);
        if (fd < 0)
                return err_errno(err, fd, "%s", path);
        if (fstat(fd, ret_st) < 0)
                return err_errno(err, -errno, "%s", path);
        r = check_readable(ret_st, path, trust, err);
        if (r < 0)
                return r;
        r = fd;
        fd = -1;
        return r;
}

int file_read(int dir_fd, const char *path, size_t max, FileTrust trust, char **ret_data, size_t *ret_len, Err *err) {
        bool is_stdin = !trust.check && streq(path, "-");
        _cleanup_fd_ int opened = -1;
        struct stat st = { 0 };
        int r;

        if (!is_stdin) {
                opened = open_checked(dir_fd, path, trust, &st, err);
                if (opened < 0)
                        return opened;
        }
        r = file_read_fd(is_stdin ? STDIN_FILENO : opened, max, (size_t)st.st_size, ret_data, ret_len);
        if (r == -ENOMEM)
                return err_oom(err);
        if (r == -EFBIG)
                return err_set(err, r, "%s: is larger than %zu bytes", is_stdin ? "standard input" : path, max);
        return r < 0 ? err_errno(err, r, "%s", is_stdin ? "standard input" : path) : 0;
}

int file_write_fd(int fd, const void *data, size_t len) {
        const char *p = data;

        while (len > 0) {
                ssize_t n = TEMP_FAILURE_RETRY(write(fd, p, len));

                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

int file_sync_dir(int dir_fd) {
        if (TEMP_FAILURE_RETRY(fsync(dir_fd)) == 0 || errno == EINVAL || errno == ENOTSUP)
                return 0;
        return -errno;
}

static int open_new(int dir_fd, const char *name) {
        int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        int fd = file_open_at(dir_fd, name, flags, 0600);

        if (fd != -EEXIST)
                return fd;
        /* What an interrupted write left. */
        if (unlinkat(dir_fd, name, 0) < 0)
                return -errno;
        return file_open_at(dir_fd, name, flags, 0600);
}

int file_make_at(int dir_fd, const char *name, const void *data, size_t len, mode_t mode, Err *err) {
        _cleanup_fd_ int fd = open_new(dir_fd, name);
        int r;

        if (fd < 0)
                return err_errno(err, fd, "cannot make %s", name);
        r = file_write_fd(fd, data, len);
        if (r == 0 && (fchmod(fd, mode) < 0 || TEMP_FAILURE_RETRY(fsync(fd)) < 0))
                r = -errno;
        if (r < 0) {
                (void)unlinkat(dir_fd, name, 0);
                return err_errno(err, r, "cannot write %s", name);
        }
        return 0;
}

int file_write_at(int dir_fd, const char *tmp, const char *name, const void *data, size_t len, mode_t mode, Err *err) {
        int r = file_make_at(dir_fd, tmp, data, len, mode, err);

        if (r < 0)
                return r;
        if (renameat(dir_fd, tmp, dir_fd, name) < 0) {
                r = err_errno(err, -errno, "cannot rename %s to %s", tmp, name);
                (void)unlinkat(dir_fd, tmp, 0);
        }
        return r;
}

int file_update_at(int dir_fd, const char *tmp, const char *name, const void *data, size_t len, mode_t mode, Err *err) {
        _cleanup_free_ char *there = NULL;
        size_t there_len;
        int r = file_read(dir_fd, name, len, (FileTrust){ .check = true }, &there, &there_len, NULL);

        if (r == -ENOMEM)
                return err_oom(err);
        if (r == 0 && there_len == len && memcmp(there, data, len) == 0)
                return 0;
        return file_write_at(dir_fd, tmp, name, data, len, mode, err);
}
