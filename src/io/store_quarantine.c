/* SPDX-License-Identifier: Apache-2.0 */
/* The quarantine: what was moved out of the manifest directory, so that nobody loses what he put there. */
#include "io/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { NUMBER_MAX = 1000, COPY_PIECE = 64 * 1024 };

static bool not_hidden(const char *name) {
        return name[0] != '.';
}

/* Made when it is first needed: a state directory that is full or read-only must not keep the store from opening. */
static int open_quarantine(Store *s, Err *err) {
        int fd;

        if (s->quarantine_fd >= 0)
                return 0;
        if (mkdirat(s->state_fd, "quarantine", 0700) < 0 && errno != EEXIST)
                return err_errno(err, -errno, "cannot make %s/quarantine", s->state_dir);
        fd = file_open_at(s->state_fd, "quarantine", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd < 0)
                return err_errno(err, fd, "%s/quarantine", s->state_dir);
        s->quarantine_fd = fd;
        return 0;
}

/* "<prefix>20260131T235959Z-000-<file>", cut to what a name may have; the stamp comes first so that names sort by age,
 * and the number makes it one that is not there yet. */
static int free_name(int dir_fd, const char *prefix, const char *file, int64_t now, char ret[static NAME_MAX + 1]) {
        char stamp[32] = "00000000T000000Z", full[2 * NAME_MAX + 64];
        time_t t = (time_t)now;
        struct tm tm;

        if (gmtime_r(&t, &tm))
                (void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
        for (unsigned n = 0; n < NUMBER_MAX; n++) {
                struct stat st;

                (void)snprintf(full, sizeof(full), "%s%s-%03u-%s", prefix, stamp, n, file);
                full[NAME_MAX] = 0;
                memcpy(ret, full, NAME_MAX + 1);
                if (fstatat(dir_fd, ret, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return errno == ENOENT ? 0 : -errno;
        }
        return -EEXIST;
}

/* ---- copying ---- */

/* At most max bytes: what is longer is cut. */
static int copy_bytes(int from, int to, size_t max) {
        _cleanup_free_ char *piece = malloc(COPY_PIECE);

        if (!piece)
                return -ENOMEM;
        while (max > 0) {
                ssize_t n = TEMP_FAILURE_RETRY(read(from, piece, max < COPY_PIECE ? max : COPY_PIECE));
                int r;

                if (n <= 0)
                        return n < 0 ? -errno : 0;
                r = file_write_fd(to, piece, (size_t)n);
                if (r < 0)
                        return r;
                max -= (size_t)n;
        }
        return 0;
}

static int copy_regular(Store *s, const char *file, const char *name, size_t max) {
        _cleanup_fd_ int from = -1, to = -1;
        struct stat st;
        int r;

        from = file_open_at(s->manifest_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
        if (from < 0)
                return from;
        if (fstat(from, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -ESTALE;
        to = file_open_at(s->quarantine_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (to < 0)
                return to;
        r = copy_bytes(from, to, max);
        if (r == 0 && TEMP_FAILURE_RETRY(fsync(to)) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(s->quarantine_fd, name, 0);
        return r;
}

static int copy_link(Store *s, const char *file, const char *name) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(s->manifest_fd, file, target, sizeof(target) - 1);

        if (n < 0)
                return -errno;
        target[n] = 0;
        return symlinkat(target, s->quarantine_fd, name) < 0 ? -errno : 0;
}

/* What is neither a file nor a link holds nothing that could be saved. */
static int copy_entry(Store *s, const char *file, const char *name, size_t max) {
        struct stat st;

        if (fstatat(s->manifest_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISREG(st.st_mode))
                return copy_regular(s, file, name, max);
        return S_ISLNK(st.st_mode) ? copy_link(s, file, name) : 0;
}

int quarantine_copy(Store *s, const char *file, int64_t now, Err *err) {
        char name[NAME_MAX + 1];
        int r = open_quarantine(s, err);

        if (r < 0)
                return r;
        r = free_name(s->quarantine_fd, "", file, now, name);
        if (r == 0)
                r = copy_entry(s, file, name, MANIFEST_KUBELET_MAX);
        if (r == -ENOMEM)
                return err_oom(err);
        return r < 0 && r != -ENOENT ? err_errno(err, r, "cannot save a copy of %s", file) : 0;
}

/* ---- moving ---- */

/* A directory that cannot leave its file system goes out of the kubelet's sight where it is. */
static int hide_directory(Store *s, const char *file, int64_t now, Err *err) {
        char name[NAME_MAX + 1];
        int r = free_name(s->manifest_fd, MOVED_PREFIX, file, now, name);

        if (r == 0 && renameat(s->manifest_fd, file, s->manifest_fd, name) < 0)
                r = -errno;
        return r < 0 ? err_errno(err, r, "cannot move the directory %s away", file) : 0;
}

static int move_across(Store *s, const char *file, const char *name) {
        int r = copy_entry(s, file, name, SIZE_MAX);

        if (r < 0)
                return r;
        return unlinkat(s->manifest_fd, file, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int move_to_quarantine(Store *s, const char *file, int64_t now, Err *err) {
        char name[NAME_MAX + 1];
        int r = open_quarantine(s, err);

        if (r < 0)
                return r;
        r = free_name(s->quarantine_fd, "", file, now, name);
        if (r == 0 && renameat(s->manifest_fd, file, s->quarantine_fd, name) < 0)
                r = errno == EXDEV ? move_across(s, file, name) : -errno;
        return r < 0 ? err_errno(err, r, "cannot move %s to the quarantine", file) : 0;
}

int quarantine_move(Store *s, const char *file, int64_t now, Err *err) {
        struct stat st;
        Err why = { 0 };
        int r;

        if (fstatat(s->manifest_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : err_errno(err, -errno, "%s", file);
        r = move_to_quarantine(s, file, now, &why);
        if (r < 0 && S_ISDIR(st.st_mode))
                return hide_directory(s, file, now, err);
        return r < 0 ? err_set(err, r, "%s", why.message) : 0;
}

int quarantine_trim(Store *s, Err *err) {
        _cleanup_names_ Names names = { 0 };
        int r = s->quarantine_fd < 0 ? 0 : names_read(s->quarantine_fd, not_hidden, &names);

        if (r < 0)
                return err_errno(err, r, "cannot read %s/quarantine", s->state_dir);
        /* A directory that still holds something is somebody's work: it stays. */
        for (size_t i = 0; i + QUARANTINE_MAX < names.n; i++)
                if (unlinkat(s->quarantine_fd, names.items[i], 0) < 0 && errno == EISDIR)
                        (void)unlinkat(s->quarantine_fd, names.items[i], AT_REMOVEDIR);
        return 0;
}
