/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving a former manifest directory: when the configuration names another, ours go from the old one after the new
 * ones stand. And what can be known of the state before a store is open. */
#include "io/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

/* Ours by name and by content; anything else under such a name is left to its owner. */
static int is_ours(int dir_fd, const char *file) {
        _cleanup_free_ char *bytes = NULL;
        Manifest m;
        size_t len;
        int r = file_read(dir_fd, file, MANIFEST_KUBELET_MAX, (FileTrust){ 0 }, &bytes, &len, NULL);

        if (r == 0)
                r = manifest_parse(bytes, len, &m);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = m.is_pod && m.daemonset;
        manifest_done(&m);
        return r;
}

static int remove_ours(int dir_fd) {
        _cleanup_names_ Names names = { 0 };
        bool changed = false;
        int r = names_read(dir_fd, manifest_name_is_ours, &names);

        for (size_t i = 0; i < names.n && r == 0; i++) {
                r = is_ours(dir_fd, names.items[i]);
                if (r <= 0)
                        continue;
                r = unlinkat(dir_fd, names.items[i], 0) < 0 && errno != ENOENT ? -errno : 0;
                changed = true;
        }
        return r == 0 && changed ? file_sync_dir(dir_fd) : r;
}

/* One that is gone is left already; the present one by another path is no former one. */
static int leave(const Store *s, const char *path, Err *err) {
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
        struct stat st;
        int r;

        if (fd == -ENOENT || fd == -ENOTDIR || (fd >= 0 && store_same_dir(s->manifest_fd, path)))
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_errno(err, fd < 0 ? fd : -errno, "the former manifest directory %s", path);
        r = file_check_trust(&st, path, err);
        if (r < 0)
                return err_wrap(err, r, "the former manifest directory is not safe");
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return err_errno(err, -errno, "cannot lock the former manifest directory %s", path);
        r = remove_ours(fd);
        return r < 0 ? err_errno(err, r, "cannot clear the former manifest directory %s", path) : 0;
}

int store_leave_former(Store *s, Err *err) {
        char *copy;
        int r;

        if (streq(s->index.manifest_dir, s->manifest_dir) || (!s->index.manifest_dir && s->index.n == 0))
                return 0;
        r = s->index.manifest_dir ? leave(s, s->index.manifest_dir, err) : 0;
        if (r < 0)
                return r;
        copy = strdup(s->manifest_dir);
        if (!copy)
                return err_oom(err);
        free(s->index.manifest_dir);
        s->index.manifest_dir = copy;
        return 0;
}

int store_last_manifest_dir(const char *state_dir, char **ret) {
        _cleanup_free_ char *text = NULL;
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, state_dir, O_RDONLY | O_DIRECTORY, 0);
        Index index;
        size_t len;
        int r;

        *ret = NULL;
        if (fd < 0)
                return 0;
        r = file_read(fd, INDEX_FILE, STATE_FILE_MAX, (FileTrust){ .check = true }, &text, &len, NULL);
        if (r == 0)
                r = index_parse(text, len, "", &index);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        *ret = TAKE_PTR(index.manifest_dir);
        index_done(&index);
        return 0;
}

int store_peek_sources(const char *state_dir, char **ret, size_t *ret_len) {
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, state_dir, O_RDONLY | O_DIRECTORY, 0);
        int r = fd < 0 ? fd
                       : file_read(fd, SOURCES_FILE, STATE_FILE_MAX, (FileTrust){ .check = true }, ret, ret_len, NULL);

        if (r < 0) {
                *ret = NULL;
                *ret_len = 0;
        }
        return r == -ENOMEM ? r : 0;
}
