/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "io/witness_internal.h"

#include <errno.h>
#include <fcntl.h>

enum { ENTRIES_MAX = 65536 }; /* of one directory, the files of cgroups included */

/* ---- what the parts share ---- */

static bool is_hex(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool witness_is_uid(const char *s, size_t len, char dash) {
        if (len != UID_LEN && len != UID_HASH_LEN)
                return false;
        for (size_t i = 0; i < len; i++) {
                bool at_dash = len == UID_LEN && (i == 8 || i == 13 || i == 18 || i == 23);

                if (at_dash ? s[i] != dash : !is_hex(s[i]))
                        return false;
        }
        return true;
}

int witness_add(WitnessView *v, const WitnessPod *pod) {
        if (!ARRAY_GROW(v->pods, v->n_pods, v->cap_pods))
                return -ENOMEM;
        v->pods[v->n_pods++] = *pod;
        return 0;
}

int witness_dir_open(int at, const char *name, int flags, DIR **ret) {
        _cleanup_fd_ int fd = file_open_at(at, name, O_RDONLY | O_DIRECTORY | flags, 0);
        DIR *dir;

        if (fd < 0)
                return fd;
        dir = fdopendir(fd);
        if (!dir) /* of a directory only for want of memory */
                return -ENOMEM;
        fd = -1;
        *ret = dir;
        return 0;
}

static bool is_directory(DIR *dir, const struct dirent *e) {
        struct stat st;

        if (e->d_type != DT_UNKNOWN)
                return e->d_type == DT_DIR;
        return fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int witness_dir_read(DIR *dir, bool (*keep)(const char *name), Names *names) {
        for (size_t i = 0; i < ENTRIES_MAX; i++) {
                const struct dirent *e;

                do {
                        errno = 0;
                        e = readdir(dir);
                } while (!e && errno == EINTR);
                if (!e)
                        return -errno; /* 0 at the end */
                if (streq(e->d_name, ".") || streq(e->d_name, "..") || (keep && !keep(e->d_name)) ||
                    !is_directory(dir, e))
                        continue;
                if (names_add(names, e->d_name) < 0)
                        return -ENOMEM;
        }
        return -E2BIG;
}

/* ---- the kubelet's directories ---- */

static bool is_directory_name(const char *name) {
        return witness_is_uid(name, strlen(name), '-');
}

/* The root and the pods directory may be links: the host's administrator has put them where there is room. */
static int open_pods(const char *root, DIR **ret) {
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, root, O_PATH | O_DIRECTORY, 0);

        return fd < 0 ? fd : witness_dir_open(fd, "pods", 0, ret);
}

static int look_at_directories(WitnessView *v, const char *root) {
        _cleanup_names_ Names names = { 0 };
        _cleanup_dir_ DIR *dir = NULL;
        int r = open_pods(root, &dir);

        if (r == -ENOENT)
                return 0;
        if (r == 0)
                r = witness_dir_read(dir, is_directory_name, &names);
        if (r == -ENOMEM)
                return r;
        v->directories = r < 0 ? SEEN_PART : SEEN_ALL;
        for (size_t i = 0; i < names.n; i++) {
                WitnessPod pod = { 0 };

                memcpy(pod.uid, names.items[i], strlen(names.items[i]));
                r = witness_add(v, &pod);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- interface ---- */

static int compare_pods(const void *a, const void *b) {
        return strcmp(((const WitnessPod *)a)->uid, ((const WitnessPod *)b)->uid);
}

/* Sorts, and makes one of what was found of each pod. */
static void merge_pods(WitnessView *v) {
        size_t kept = 0;

        if (v->n_pods == 0)
                return;
        qsort(v->pods, v->n_pods, sizeof(*v->pods), compare_pods);
        for (size_t i = 1; i < v->n_pods; i++) {
                WitnessPod *last = &v->pods[kept], *next = &v->pods[i];

                if (streq(last->uid, next->uid)) {
                        last->has_cgroup |= next->has_cgroup;
                        last->populated |= next->populated;
                } else
                        v->pods[++kept] = *next;
        }
        v->n_pods = kept + 1;
}

WitnessView *witness_free(WitnessView *v) {
        if (v)
                free(v->pods);
        free(v);
        return NULL;
}

int witness_look(const WitnessPaths *paths, WitnessView **ret) {
        _cleanup_witness_ WitnessView *v = calloc(1, sizeof(*v));
        int r;

        if (!v)
                return -ENOMEM;
        /* In this order a pod that starts meanwhile has a directory, and one that ends has at most that. */
        r = witness_look_at_cgroups(v, paths->cgroup_dir);
        if (r == 0)
                r = look_at_directories(v, paths->kubelet_root);
        if (r < 0)
                return r;
        merge_pods(v);
        *ret = TAKE_PTR(v);
        return 0;
}

static const WitnessPod *find_pod(const WitnessView *v, const char *uid) {
        size_t low = 0, high = v->n_pods;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(v->pods[middle].uid, uid);

                if (order == 0)
                        return &v->pods[middle];
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

/* The answers where no cgroup of the pod was seen: by what was seen of the trees, and of the directories. */
static const Witness with_directory[] = {
        [SEEN_NOTHING] = WITNESS_UNKNOWN,
        [SEEN_PART] = WITNESS_UNKNOWN,
        [SEEN_ALL] = WITNESS_TERMINATING,
};
static const Witness without_directory[][3] = {
        [SEEN_NOTHING] = { [SEEN_NOTHING] = WITNESS_UNKNOWN, [SEEN_PART] = WITNESS_UNKNOWN, [SEEN_ALL] = WITNESS_GONE },
        [SEEN_PART] = { [SEEN_NOTHING] = WITNESS_UNKNOWN, [SEEN_PART] = WITNESS_UNKNOWN, [SEEN_ALL] = WITNESS_UNKNOWN },
        [SEEN_ALL] = { [SEEN_NOTHING] = WITNESS_GONE, [SEEN_PART] = WITNESS_UNKNOWN, [SEEN_ALL] = WITNESS_GONE },
};

Witness witness_of(const WitnessView *v, const char *uid) {
        const WitnessPod *pod;

        /* Another kind of name was not looked for. */
        if (!v || !uid || !witness_is_uid(uid, strlen(uid), '-'))
                return WITNESS_UNKNOWN;
        pod = find_pod(v, uid);
        if (pod && pod->has_cgroup)
                return pod->populated ? WITNESS_RUNNING : WITNESS_TERMINATING;
        return pod ? with_directory[v->cgroups] : without_directory[v->cgroups][v->directories];
}

bool witness_knows(const WitnessView *v) {
        return v && (v->cgroups != SEEN_NOTHING || v->directories == SEEN_ALL);
}

bool witness_no_cgroups(const WitnessView *v) {
        return v && v->searched && v->cgroups == SEEN_NOTHING;
}
