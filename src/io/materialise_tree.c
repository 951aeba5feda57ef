/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "io/materialise_internal.h"
#include "io/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Below <input> there are the volume and what is behind ..data. */
enum { REMOVE_DEPTH_MAX = TREE_DEPTH_MAX + 4 };

#define SELINUX_XATTR "security.selinux"
static const char SELINUX_CONTEXT[] = "system_u:object_r:container_file_t:s0";

/* ---- how entries look ---- */

/* A file system without labels and a policy that knows no containers have no use for one. */
static int label_result(int r) {
        return r < 0 && errno != ENOTSUP && errno != EINVAL ? -errno : 0;
}

static int label_fd(int fd, const TreeLook *look) {
        if (!look->labelled)
                return 0;
        /* With the NUL, as the kernel itself stores it. */
        return label_result(fsetxattr(fd, SELINUX_XATTR, SELINUX_CONTEXT, sizeof(SELINUX_CONTEXT), 0));
}

static int label_link(int dir_fd, const char *name, const TreeLook *look) {
        char path[sizeof("/proc/self/fd//") + 3 * sizeof(int) + NAME_MAX + 1];

        if (!look->labelled)
                return 0;
        /* There is no call that takes a directory's descriptor and a name. */
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, name);
        return label_result(lsetxattr(path, SELINUX_XATTR, SELINUX_CONTEXT, sizeof(SELINUX_CONTEXT), 0));
}

static int give_to_group(int fd, int64_t group, Err *err) {
        struct stat st;

        if (group < 0)
                return 0;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_gid == (gid_t)group || fchown(fd, (uid_t)-1, (gid_t)group) == 0)
                return 0;
        if (errno == EPERM)
                return err_set(err, -EPERM, "cannot give files to group %lld (fsGroup): that takes root",
                               (long long)group);
        return -errno;
}

/* A sandbox may forbid the setgid bit. */
static int set_dir_mode(int fd, int64_t group) {
        if (group >= 0 && fchmod(fd, 0755 | S_ISGID) == 0)
                return 0;
        if (group >= 0 && errno != EPERM)
                return -errno;
        return fchmod(fd, 0755) < 0 ? -errno : 0;
}

/* ---- directories and links ---- */

int tree_open_dir(int dir_fd, const char *name) {
        int fd = file_open_at(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

        return fd == -ELOOP ? -ENOTDIR : fd;
}

int tree_make_dir(int dir_fd, const char *name, const TreeLook *look, Err *err) {
        _cleanup_fd_ int fd = -1;
        int r;

        if (mkdirat(dir_fd, name, 0700) < 0)
                return -errno;
        fd = tree_open_dir(dir_fd, name);
        if (fd < 0)
                return fd;
        r = give_to_group(fd, look->group, err);
        if (r == 0)
                r = set_dir_mode(fd, look->group);
        if (r == 0)
                r = label_fd(fd, look);
        if (r < 0)
                return r;
        r = fd;
        fd = -1;
        return r;
}

int tree_mend_dir(int fd, const TreeLook *look, Err *err) {
        struct stat st;
        bool right;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        /* A setgid bit that is missing could not be set: trying again would touch the directory at every write. */
        right = (st.st_mode & 0777) == 0755 &&
                (look->group < 0 ? !(st.st_mode & S_ISGID) : st.st_gid == (gid_t)look->group);
        if (right)
                return 0;
        r = give_to_group(fd, look->group, err);
        return r < 0 ? r : set_dir_mode(fd, look->group);
}

static int make_tmp_link(int dir_fd, const char *target) {
        int r;

        if (symlinkat(target, dir_fd, TMP_LINK) == 0)
                return 0;
        if (errno != EEXIST)
                return -errno;
        r = tree_remove(dir_fd, TMP_LINK);
        if (r < 0)
                return r;
        return symlinkat(target, dir_fd, TMP_LINK) < 0 ? -errno : 0;
}

int tree_place_link(int dir_fd, const char *target, const char *name, const TreeLook *look) {
        int r = make_tmp_link(dir_fd, target);

        if (r == 0)
                r = label_link(dir_fd, TMP_LINK, look);
        if (r == 0 && renameat(dir_fd, TMP_LINK, dir_fd, name) < 0)
                r = -errno;
        if (r == -EISDIR) {
                r = tree_remove(dir_fd, name);
                if (r == 0 && renameat(dir_fd, TMP_LINK, dir_fd, name) < 0)
                        r = -errno;
        }
        if (r < 0)
                (void)unlinkat(dir_fd, TMP_LINK, 0);
        return r;
}

int tree_is_link(int dir_fd, const char *target, const char *name) {
        char have[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, have, sizeof(have));

        if (n < 0)
                return errno == ENOENT || errno == EINVAL ? 0 : -errno;
        return (size_t)n == strlen(target) && memcmp(have, target, (size_t)n) == 0;
}

/* ---- writing ---- */

static int write_file(int dir_fd, const char *name, const PayloadFile *file, const TreeLook *look, Err *err) {
        _cleanup_fd_ int fd = file_open_at(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        int r;

        if (fd < 0)
                return fd;
        r = file_write_fd(fd, file->bytes, file->len);
        if (r == 0)
                r = give_to_group(fd, look->group, err);
        if (r == 0 && fchmod(fd, (mode_t)file->mode) < 0)
                r = -errno;
        if (r == 0)
                r = label_fd(fd, look);
        if (r == 0 && TEMP_FAILURE_RETRY(fsync(fd)) < 0)
                r = -errno;
        return r;
}

static int open_below(int dir_fd, const char *name, const TreeLook *look, Err *err) {
        int fd = tree_open_dir(dir_fd, name);

        return fd == -ENOENT ? tree_make_dir(dir_fd, name, look, err) : fd;
}

/* Opens the directory of the path's last element, making what is missing. */
static int open_parent(int dir_fd, const char *path, const char **ret_name, const TreeLook *look, Err *err) {
        _cleanup_fd_ int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
        int depth = 1, r;

        if (fd < 0)
                return -errno;
        for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
                char name[NAME_MAX + 1] = "";
                int below;

                if (slash - path > NAME_MAX || ++depth > TREE_DEPTH_MAX)
                        return -ENAMETOOLONG;
                memcpy(name, path, (size_t)(slash - path));
                below = open_below(fd, name, look, err);
                if (below < 0)
                        return below;
                (void)close(fd);
                fd = below;
        }
        *ret_name = path;
        r = fd;
        fd = -1;
        return r;
}

static int write_path(int dir_fd, const PayloadFile *file, const TreeLook *look, Err *err) {
        const char *name = NULL;
        _cleanup_fd_ int fd = open_parent(dir_fd, file->path, &name, look, err);
        int r = fd < 0 ? fd : write_file(fd, name, file, look, err);

        return r < 0 ? err_errno(err, r, "cannot write %s", file->path) : 0;
}

/* Syncs the directories; the files were synced as they were written. */
static int sync_dirs(int fd) {
        _cleanup_names_ Names names = { 0 };
        int r = names_read(fd, NULL, &names);

        for (size_t i = 0; r == 0 && i < names.n; i++) {
                _cleanup_fd_ int below = tree_open_dir(fd, names.items[i]);

                if (below >= 0)
                        r = sync_dirs(below);
                else if (below != -ENOTDIR)
                        r = below;
        }
        return r < 0 ? r : file_sync_dir(fd);
}

int tree_write(int dir_fd, const char *name, const Payload *payload, const TreeLook *look, Err *err) {
        _cleanup_fd_ int fd = tree_make_dir(dir_fd, name, look, err);
        int r = fd < 0 ? fd : 0;

        for (size_t i = 0; r == 0 && i < payload->n; i++)
                r = write_path(fd, &payload->files[i], look, err);
        return r < 0 ? r : sync_dirs(fd);
}

/* ---- removing ---- */

static int remove_below(int dir_fd, const char *name, dev_t dev, int depth);

/* What is in an open directory. */
static int empty_dir(int fd, dev_t dev, int depth) {
        _cleanup_names_ Names names = { 0 };
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_dev != dev)
                return -EXDEV;
        if (depth > REMOVE_DEPTH_MAX)
                return -ENAMETOOLONG;
        r = names_read(fd, NULL, &names);
        for (size_t i = 0; i < names.n; i++) {
                int k = remove_below(fd, names.items[i], dev, depth + 1);

                r = r < 0 ? r : k;
        }
        return r;
}

static int remove_below(int dir_fd, const char *name, dev_t dev, int depth) {
        _cleanup_fd_ int fd = -1;
        int r;

        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR)
                return -errno;
        fd = tree_open_dir(dir_fd, name);
        if (fd < 0)
                return fd == -ENOENT ? 0 : fd;
        r = empty_dir(fd, dev, depth);
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        return r < 0 ? r : -errno;
}

int tree_remove(int dir_fd, const char *name) {
        struct stat st;

        return fstat(dir_fd, &st) < 0 ? -errno : remove_below(dir_fd, name, st.st_dev, 0);
}
