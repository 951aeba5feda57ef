/* SPDX-License-Identifier: Apache-2.0 */
#include "io/materialise.h"

#include "io/file.h"
#include "io/materialise_internal.h"
#include "io/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define DATA_LINK "..data"

enum { DATA_NAME = 2 + PAYLOAD_HEX }; /* "..<hash>" */

struct Materialise {
        char *above, *name; /* of the root */
        bool read_only, labelled;
};

/* ---- the directories above volumes ---- */

static int check_own(int fd, const char *name, bool mend, Err *err) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_errno(err, -errno, "%s", name);
        if (st.st_uid != geteuid())
                return err_set(err, -EPERM, "%s: belongs to user %u, not to user %u", name, st.st_uid, geteuid());
        if (mend && (st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
                return err_errno(err, -errno, "cannot close %s to others", name);
        return 0;
}

static int make_own(int parent_fd, const char *name) {
        int r;

        if (mkdirat(parent_fd, name, 0700) < 0)
                return -errno;
        r = file_sync_dir(parent_fd);
        return r < 0 ? r : tree_open_dir(parent_fd, name);
}

static int open_own(int parent_fd, const char *name, bool make, Err *err) {
        _cleanup_fd_ int fd = tree_open_dir(parent_fd, name);
        int r;

        if (fd == -ENOENT && make)
                fd = make_own(parent_fd, name);
        if (fd == -ENOTDIR)
                return err_set(err, fd, "%s: is a file or a link, and must be a directory", name);
        if (fd < 0)
                return err_errno(err, fd, "%s", name);
        r = check_own(fd, name, make, err);
        if (r < 0)
                return r;
        r = fd;
        fd = -1;
        return r;
}

static int open_root(const Materialise *m, bool make, Err *err) {
        _cleanup_fd_ int above_fd = file_open_at(AT_FDCWD, m->above, O_RDONLY | O_DIRECTORY, 0);
        int r = above_fd < 0 ? err_errno(err, above_fd, "cannot open it") : open_own(above_fd, m->name, make, err);

        return r < 0 ? err_wrap(err, r, "directory of volumes in %s", m->above) : r;
}

/* ---- opening ---- */

/* What stands before the last element of the path, and that one. */
static int split_root(Materialise *m, const char *root) {
        size_t len = strlen(root), start;

        while (len > 0 && root[len - 1] == '/')
                len--;
        for (start = len; start > 0 && root[start - 1] != '/'; start--)
                ;
        if (start == len)
                return -EINVAL;
        m->above = start > 0 ? strndup(root, start) : strdup(".");
        m->name = strndup(root + start, len - start);
        return m->above && m->name ? 0 : -ENOMEM;
}

int materialise_open(const char *root, bool read_only, Materialise **ret, Err *err) {
        _cleanup_materialise_ Materialise *m = calloc(1, sizeof(*m));
        _cleanup_fd_ int fd = -1;
        Err why = { 0 };
        int r;

        if (!m)
                return err_oom(err);
        r = split_root(m, root);
        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0)
                return err_set(err, r, "\"%s\" cannot be the directory of volumes", root);
        m->read_only = read_only;
        materialise_set_selinux(m, "/sys/fs/selinux/enforce");
        fd = open_root(m, !read_only, &why);
        if (fd < 0 && !(fd == -ENOENT && read_only))
                return err_set(err, fd, "%s", why.message);
        *ret = TAKE_PTR(m);
        return 0;
}

Materialise *materialise_free(Materialise *m) {
        if (!m)
                return NULL;
        free(m->above);
        free(m->name);
        free(m);
        return NULL;
}

void materialise_set_selinux(Materialise *m, const char *enforce_path) {
        m->labelled = access(enforce_path, F_OK) == 0;
}

/* ---- the way to a volume ---- */

typedef struct VolumeName {
        char pod[NAME_MAX + 1], input[NAME_MAX + 1], volume[NAME_MAX + 1];
} VolumeName;

static bool take_name(const char **dir, char end, char ret[static NAME_MAX + 1]) {
        size_t n = strcspn(*dir, "/");

        if (n == 0 || n > NAME_MAX || (*dir)[0] == '.' || (*dir)[n] != end)
                return false;
        memcpy(ret, *dir, n);
        ret[n] = 0;
        *dir += n + (end != 0);
        return true;
}

static bool parse_name(const char *dir, VolumeName *ret) {
        return take_name(&dir, '/', ret->pod) && take_name(&dir, '/', ret->input) && take_name(&dir, 0, ret->volume);
}

/* Opens the directory that the volume is in. */
static int open_input(const Materialise *m, const VolumeName *name, bool make, Err *err) {
        _cleanup_fd_ int root_fd = open_root(m, make, err), pod_fd = -1;

        if (root_fd < 0)
                return root_fd;
        pod_fd = open_own(root_fd, name->pod, make, err);
        return pod_fd < 0 ? pod_fd : open_own(pod_fd, name->input, make, err);
}

/* ---- what a volume holds ---- */

static bool is_data_name(const char *name) {
        return startswith(name, "..") && strlen(name) == DATA_NAME &&
               strspn(name + 2, "0123456789abcdef") == PAYLOAD_HEX;
}

/* Where ..data leads, if that is a directory of ours; else "". */
static int read_data(int volume_fd, char ret[static DATA_NAME + 2]) {
        _cleanup_fd_ int fd = -1;
        ssize_t n = readlinkat(volume_fd, DATA_LINK, ret, DATA_NAME + 1);
        bool is_name;

        if (n < 0) {
                ret[0] = 0;
                return errno == ENOENT || errno == EINVAL ? 0 : -errno;
        }
        ret[n] = 0;
        is_name = is_data_name(ret);
        fd = is_name ? tree_open_dir(volume_fd, ret) : -ENOENT;
        if (fd < 0)
                ret[0] = 0;
        return fd == -ENOENT || fd == -ENOTDIR || fd >= 0 ? 0 : fd;
}

int materialise_holds(const Materialise *m, const char *dir, char ret_hash[static PAYLOAD_HEX + 1]) {
        _cleanup_fd_ int input_fd = -1, volume_fd = -1;
        char data[DATA_NAME + 2];
        VolumeName name;

        if (!parse_name(dir, &name))
                return 0;
        input_fd = open_input(m, &name, false, NULL);
        volume_fd = input_fd < 0 ? input_fd : tree_open_dir(input_fd, name.volume);
        if (volume_fd < 0 || read_data(volume_fd, data) < 0 || !data[0])
                return 0;
        memcpy(ret_hash, data + 2, PAYLOAD_HEX + 1);
        return 1;
}

/* ---- putting a volume in order ---- */

static void link_target(const char *name, char ret[static sizeof(DATA_LINK) + NAME_MAX + 1]) {
        (void)snprintf(ret, sizeof(DATA_LINK) + NAME_MAX + 1, DATA_LINK "/%s", name);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(a, *(char *const *)b);
}

/* Half-made, or old files, or a link that nothing needs any more. wanted: NULL while the old files are needed. */
static int is_stale(int volume_fd, const char *name, const char *data, const Names *wanted) {
        char target[sizeof(DATA_LINK) + NAME_MAX + 1];

        if (startswith(name, TMP_PREFIX) || is_data_name(name))
                return !streq(name, data);
        if (!wanted ||
            (wanted->n > 0 && bsearch(name, wanted->items, wanted->n, sizeof(*wanted->items), compare_names)))
                return false;
        link_target(name, target);
        return tree_is_link(volume_fd, target, name);
}

/* Once old files go, ..data must lead to others on the disk, too: a power cut could bring the former ..data back. */
static int remove_stale(int volume_fd, const char *data, const Names *wanted, bool synced) {
        _cleanup_names_ Names names = { 0 };
        int r = names_read(volume_fd, NULL, &names);

        for (size_t i = 0; r == 0 && i < names.n; i++) {
                r = is_stale(volume_fd, names.items[i], data, wanted);
                if (r <= 0)
                        continue;
                r = 0;
                if (!synced)
                        r = file_sync_dir(volume_fd);
                synced = true;
                if (r == 0)
                        r = tree_remove(volume_fd, names.items[i]);
        }
        return r;
}

static int put_links(int volume_fd, const Names *wanted, const TreeLook *look, bool *changed) {
        for (size_t i = 0; i < wanted->n; i++) {
                char target[sizeof(DATA_LINK) + NAME_MAX + 1];
                int r;

                link_target(wanted->items[i], target);
                r = tree_is_link(volume_fd, target, wanted->items[i]);
                if (r == 0) {
                        *changed = true;
                        r = tree_place_link(volume_fd, target, wanted->items[i], look);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Makes all that is beside ..data fit to where it leads. changed: ..data is not synced yet. */
static int settle(int volume_fd, const char *data, const TreeLook *look, bool changed) {
        _cleanup_fd_ int data_fd = tree_open_dir(volume_fd, data);
        _cleanup_names_ Names wanted = { 0 };
        int r = data_fd < 0 ? data_fd : names_read(data_fd, NULL, &wanted);

        if (r == 0)
                r = put_links(volume_fd, &wanted, look, &changed);
        if (r == 0 && changed)
                r = file_sync_dir(volume_fd);
        return r < 0 ? r : remove_stale(volume_fd, data, &wanted, changed);
}

/* ---- writing ---- */

typedef struct Job {
        const Payload *payload;
        char data[DATA_NAME + 2];
        TreeLook look;
        Err *err;
} Job;

/* Writes the files and swaps ..data. */
static int swap_data(int volume_fd, const Job *job) {
        int r = tree_write(volume_fd, TMP_NEW, job->payload, &job->look, job->err);

        if (r == 0 && renameat(volume_fd, TMP_NEW, volume_fd, job->data) < 0)
                r = -errno;
        if (r < 0) {
                (void)tree_remove(volume_fd, TMP_NEW);
                return r;
        }
        r = file_sync_dir(volume_fd);
        if (r == 0)
                r = tree_place_link(volume_fd, job->data, DATA_LINK, &job->look);
        if (r < 0)
                (void)tree_remove(volume_fd, job->data);
        return r;
}

static int update_volume(int volume_fd, const Job *job) {
        char old[DATA_NAME + 2];
        int r = tree_mend_dir(volume_fd, &job->look, job->err);

        if (r == 0)
                r = read_data(volume_fd, old);
        if (r < 0)
                return r;
        if (streq(old, job->data))
                return settle(volume_fd, old, &job->look, false);
        r = remove_stale(volume_fd, old, NULL, false);
        if (r == 0)
                r = swap_data(volume_fd, job);
        return r < 0 ? r : settle(volume_fd, job->data, &job->look, true);
}

static int fill_volume(int input_fd, const char *name, const Job *job) {
        _cleanup_fd_ int fd = tree_make_dir(input_fd, TMP_NEW, &job->look, job->err);
        int r = fd < 0 ? fd : swap_data(fd, job);

        if (r == 0)
                r = settle(fd, job->data, &job->look, true);
        if (r == 0 && renameat(input_fd, TMP_NEW, input_fd, name) < 0)
                r = -errno;
        return r;
}

/* Made under another name: a pod must not start on half of it. */
static int make_volume(int input_fd, const char *name, const Job *job) {
        int r = tree_remove(input_fd, TMP_NEW);

        if (r < 0)
                return r;
        r = fill_volume(input_fd, name, job);
        if (r < 0) {
                (void)tree_remove(input_fd, TMP_NEW);
                return r;
        }
        return file_sync_dir(input_fd);
}

static int write_volume(int input_fd, const char *name, const Job *job) {
        _cleanup_fd_ int fd = tree_open_dir(input_fd, name);
        struct stat st;

        if (fd == -ENOTDIR && unlinkat(input_fd, name, 0) < 0)
                return -errno;
        if (fd == -ENOENT || fd == -ENOTDIR)
                return make_volume(input_fd, name, job);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid())
                return err_set(job->err, -EPERM, "belongs to user %u, not to user %u", st.st_uid, geteuid());
        return update_volume(fd, job);
}

static bool path_is_safe(const char *path) {
        if (startswith(path, ".."))
                return false;
        for (;; path++) {
                size_t n = strcspn(path, "/");

                if (n == 0 || (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.'))
                        return false;
                path += n;
                if (!*path)
                        return true;
        }
}

int materialise_write(Materialise *m, const char *dir, const Payload *payload, Err *err) {
        Job job = { .payload = payload, .look = { payload->group, m->labelled }, .err = err };
        _cleanup_fd_ int input_fd = -1;
        VolumeName name;
        int r;

        if (m->read_only)
                return err_set(err, -EROFS, "volumes were opened for reading only");
        if (!parse_name(dir, &name))
                return err_set(err, -EINVAL, "\"%s\" is not the name of a volume", dir);
        for (size_t i = 0; i < payload->n; i++)
                if (!path_is_safe(payload->files[i].path))
                        return err_set(err, -EINVAL, "volume %s: \"%s\" is not a path in it", dir,
                                       payload->files[i].path);
        memcpy(job.data, "..", 2);
        payload_hash(payload, job.data + 2);
        input_fd = open_input(m, &name, true, err);
        r = input_fd < 0 ? input_fd : write_volume(input_fd, name.volume, &job);
        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0) {
                (void)err_errno(err, r, "cannot write it");
                return err_wrap(err, r, "volume %s", dir);
        }
        return 0;
}

/* ---- sweeping ---- */

static bool not_hidden(const char *name) {
        return name[0] != '.';
}

/* Away from its name first: half a volume must not look like a whole one should its input come back. */
static int remove_input(int pod_fd, const char *name) {
        char gone[NAME_MAX + 1];

        (void)snprintf(gone, sizeof(gone), TMP_PREFIX "%.*s", (int)(NAME_MAX - strlen(TMP_PREFIX)), name);
        if (renameat(pod_fd, name, pod_fd, gone) < 0)
                return errno == ENOENT ? 0 : -errno;
        return tree_remove(pod_fd, gone);
}

static bool is_dir(int dir_fd, const char *name) {
        _cleanup_fd_ int fd = file_open_at(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);

        return fd >= 0;
}

typedef struct Sweep {
        bool (*in_use)(void *user, const char *dir);
        void *user;
} Sweep;

/* Removes one entry of a pod's directory, if it is to go. */
static int sweep_entry(int pod_fd, const char *pod, const char *name, const Sweep *sweep) {
        char dir[2 * NAME_MAX + 2];

        if (startswith(name, TMP_PREFIX))
                return tree_remove(pod_fd, name);
        (void)snprintf(dir, sizeof(dir), "%s/%s", pod, name);
        if (name[0] == '.' || !is_dir(pod_fd, name) || sweep->in_use(sweep->user, dir))
                return 0;
        return remove_input(pod_fd, name);
}

static int sweep_pod(int root_fd, const char *pod, const Sweep *sweep) {
        _cleanup_fd_ int pod_fd = tree_open_dir(root_fd, pod);
        _cleanup_names_ Names names = { 0 };
        int r;

        if (pod_fd < 0)
                return pod_fd == -ENOENT || pod_fd == -ENOTDIR ? 0 : pod_fd;
        r = names_read(pod_fd, NULL, &names);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        for (size_t i = 0; i < names.n; i++) {
                int k = sweep_entry(pod_fd, pod, names.items[i], sweep);

                r = r < 0 ? r : k;
        }
        if (unlinkat(root_fd, pod, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
                r = r < 0 ? r : -errno;
        return r;
}

int materialise_sweep(Materialise *m, bool (*in_use)(void *user, const char *dir), void *user, Err *err) {
        Sweep sweep = { in_use, user };
        _cleanup_fd_ int root_fd = -1;
        _cleanup_names_ Names pods = { 0 };
        int r;

        if (m->read_only)
                return err_set(err, -EROFS, "volumes were opened for reading only");
        root_fd = open_root(m, true, err);
        if (root_fd < 0)
                return root_fd;
        r = names_read(root_fd, not_hidden, &pods);
        for (size_t i = 0; i < pods.n; i++) {
                int k = sweep_pod(root_fd, pods.items[i], &sweep);

                if (k < 0 && k != -ENOMEM)
                        (void)err_errno(err, k, "cannot remove old volumes of %s", pods.items[i]);
                r = r < 0 ? r : k;
        }
        if (r == -ENOMEM)
                return err_oom(err);
        return r < 0 ? err_errno(err, r, "cannot read %s%s", m->above, m->name) : 0;
}
