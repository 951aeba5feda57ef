/* SPDX-License-Identifier: Apache-2.0 */
#include "io/witness.h"

#include "io/file.h"
#include "io/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
        UID_LEN = 36,        /* a UUID */
        UID_HASH_LEN = 32,   /* what the kubelet makes up for a static pod */
        SEARCH_DEPTH = 3,    /* a kubepods tree is at most that deep */
        SEARCH_DIRS = 4096,  /* directories opened in search of one */
        PROCS_DEPTH = 3,     /* v1: pod, container, and what a container makes in its own */
        PROCS_DIRS = 256,    /* v1: directories opened for one pod */
        ENTRIES_MAX = 65536, /* of one directory, the files of cgroups included */
};

typedef enum Seen {
        SEEN_NOTHING, /* it is not there */
        SEEN_PART,    /* it could not be read to its end */
        SEEN_ALL,
} Seen;

typedef struct WitnessPod {
        char uid[UID_LEN + 1];
        bool has_cgroup; /* else it has a directory only */
        bool populated;  /* the cgroup has processes */
} WitnessPod;

struct WitnessView {
        WitnessPod *pods; /* sorted by uid */
        size_t n_pods, cap_pods;
        Seen cgroups;     /* the kubepods trees */
        Seen directories; /* the kubelet's pods directory */
        bool searched;    /* all that could hold a kubepods tree was looked through */
};

/* ---- names ---- */

static bool endswith(const char *s, const char *suffix) {
        size_t len = strlen(s), n = strlen(suffix);

        return len >= n && streq(s + len - n, suffix);
}

static bool is_hex(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_uid(const char *s, size_t len, char dash) {
        if (len != UID_LEN && len != UID_HASH_LEN)
                return false;
        for (size_t i = 0; i < len; i++) {
                bool at_dash = len == UID_LEN && (i == 8 || i == 13 || i == 18 || i == 23);

                if (at_dash ? s[i] != dash : !is_hex(s[i]))
                        return false;
        }
        return true;
}

static bool is_directory_name(const char *name) {
        return is_uid(name, strlen(name), '-');
}

/* The uid in the name of a pod's cgroup: pod<uid> or <slice>-pod<uid with _>.slice. No digit of a uid is a 'p'. */
static bool pod_uid(const char *name, char ret[UID_LEN + 1]) {
        const char *pod = strrchr(name, 'p'), *uid, *rest;
        size_t len;
        bool slice;

        if (!pod || !startswith(pod, "pod"))
                return false;
        slice = pod > name;
        uid = pod + strlen("pod");
        len = strcspn(uid, ".");
        rest = uid + len;
        if (!is_uid(uid, len, slice ? '_' : '-') || !streq(rest, slice ? ".slice" : "") || (slice && pod[-1] != '-'))
                return false;
        for (size_t i = 0; i < len; i++)
                ret[i] = (char)(uid[i] == '_' ? '-' : uid[i]);
        ret[len] = 0;
        return true;
}

static bool is_qos(const char *name) {
        return streq(name, "burstable") || streq(name, "besteffort") || endswith(name, "-burstable.slice") ||
               endswith(name, "-besteffort.slice");
}

static bool is_pod(const char *name) {
        char uid[UID_LEN + 1];

        return pod_uid(name, uid);
}

static bool is_pod_or_qos(const char *name) {
        return is_qos(name) || is_pod(name);
}

static bool is_kubepods(const char *name) {
        return streq(name, "kubepods") || streq(name, "kubepods.slice") || endswith(name, "-kubepods.slice");
}

/* Services and mounts are many and hold no other units. */
static bool may_hold_kubepods(const char *name) {
        static const char *const leaves[] = { ".service", ".mount", ".socket", ".swap" };

        for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
                if (endswith(name, leaves[i]))
                        return false;
        return true;
}

/* ---- directories and files, any of which may vanish ---- */

static void closedirp(DIR **dir) {
        if (*dir)
                (void)closedir(*dir);
}
#define _cleanup_dir_ _cleanup_(closedirp)

/* Reading a file of a removed cgroup that was opened in time says ENODEV. */
static bool is_vanished(int r) {
        return r == -ENOENT || r == -ENODEV;
}

static int dir_open(int at, const char *name, int flags, DIR **ret) {
        _cleanup_fd_ int fd = file_open_at(at, name, O_RDONLY | O_DIRECTORY | flags, 0);
        DIR *dir;

        if (fd < 0)
                return fd;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
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

/* Adds the directories in it that pass keep (NULL: all). 0, -ENOMEM, or why it could not be read to its end; what was
 * read before is there all the same. */
static int dir_read(DIR *dir, bool (*keep)(const char *name), Names *names) {
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

/* The start of a small file. Its length or a negative errno; NUL behind it. */
static int read_start(int dir_fd, const char *name, char *text, size_t size) {
        _cleanup_fd_ int fd = file_open_at(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
        ssize_t n;

        if (fd < 0)
                return fd;
        do
                n = read(fd, text, size - 1);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        text[n] = 0;
        return (int)n;
}

/* ---- the view ---- */

static int add_pod(WitnessView *v, const WitnessPod *pod) {
        if (!ARRAY_GROW(v->pods, v->n_pods, v->cap_pods))
                return -ENOMEM;
        v->pods[v->n_pods++] = *pod;
        return 0;
}

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

/* ---- processes ---- */

/* The functions here say 1 or 0 or a negative errno. v2 counts all processes below, too. */
static int has_processes_v2(int dir_fd, const char *name) {
        _cleanup_fd_ int fd = file_open_at(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
        char text[256];
        int r;

        if (fd < 0)
                return fd;
        r = read_start(fd, "cgroup.events", text, sizeof(text));
        if (r < 0)
                return r;
        for (const char *line = text; line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (startswith(line, "populated "))
                        return line[strlen("populated ")] != '0';
        }
        return -EINVAL;
}

static int has_processes_v1(int dir_fd, const char *name, unsigned depth, unsigned *dirs) {
        _cleanup_names_ Names below = { 0 };
        _cleanup_dir_ DIR *dir = NULL;
        char text[16];
        int r;

        if (depth > PROCS_DEPTH || ++*dirs > PROCS_DIRS)
                return -E2BIG;
        r = dir_open(dir_fd, name, O_NOFOLLOW, &dir);
        if (r < 0)
                return r;
        r = read_start(dirfd(dir), "cgroup.procs", text, sizeof(text));
        if (r != 0)
                return r < 0 ? r : 1;
        r = dir_read(dir, NULL, &below);
        for (size_t i = 0; i < below.n && r == 0; i++) {
                r = has_processes_v1(dirfd(dir), below.items[i], depth + 1, dirs);
                if (is_vanished(r))
                        r = 0;
        }
        return r;
}

/* ---- kubepods ---- */

typedef struct Look {
        WitnessView *view;
        bool v2;
        unsigned dirs; /* opened in search of trees */
} Look;

static int read_pod(Look *l, int dir_fd, const char *name) {
        WitnessPod pod = { .has_cgroup = true };
        unsigned dirs = 0;
        int r = l->v2 ? has_processes_v2(dir_fd, name) : has_processes_v1(dir_fd, name, 0, &dirs);

        if (r == -ENOMEM)
                return r;
        if (is_vanished(r) || !pod_uid(name, pod.uid))
                return 0;
        pod.populated = r != 0;
        return add_pod(l->view, &pod);
}

/* A kubepods tree, or with is_tree not set the part of it for one QoS class. Only -ENOMEM is a failure. */
static int read_pods(Look *l, int dir_fd, const char *name, bool is_tree) {
        _cleanup_names_ Names names = { 0 };
        _cleanup_dir_ DIR *dir = NULL;
        int r = dir_open(dir_fd, name, O_NOFOLLOW, &dir);

        if (is_vanished(r))
                return 0;
        if (r == 0)
                r = dir_read(dir, is_tree ? is_pod_or_qos : is_pod, &names);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                l->view->cgroups = SEEN_PART;
        else if (l->view->cgroups == SEEN_NOTHING)
                l->view->cgroups = SEEN_ALL;
        for (size_t i = 0; i < names.n; i++) {
                const char *item = names.items[i];

                r = is_qos(item) ? read_pods(l, dirfd(dir), item, false) : read_pod(l, dirfd(dir), item);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Reads all kubepods trees at this depth, then what is deeper. Only -ENOMEM is a failure. */
static int search(Look *l, int dir_fd, const char *name, unsigned depth) {
        _cleanup_names_ Names names = { 0 };
        _cleanup_dir_ DIR *dir = NULL;
        int r = ++l->dirs > SEARCH_DIRS ? -E2BIG : dir_open(dir_fd, name, O_NOFOLLOW, &dir);

        if (is_vanished(r))
                return 0;
        if (r == 0)
                r = dir_read(dir, depth < SEARCH_DEPTH ? may_hold_kubepods : is_kubepods, &names);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                l->view->searched = false;
        for (size_t i = 0; i < names.n; i++) {
                r = is_kubepods(names.items[i]) ? read_pods(l, dirfd(dir), names.items[i], true) : 0;
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < names.n; i++) {
                r = is_kubepods(names.items[i]) ? 0 : search(l, dirfd(dir), names.items[i], depth + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- hierarchies ---- */

static bool is_v2(int dir_fd) {
        struct stat st;

        return fstatat(dir_fd, "cgroup.controllers", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* One hierarchy is enough: the kubelet makes the cgroups of a pod in each. The links that some hosts keep beside
 * "cpu,cpuacct" are not needed. */
static int look_at_hierarchies(WitnessView *v, int dir_fd) {
        static const char *const names[] = { "memory", "pids", "cpu,cpuacct", "cpu", "systemd", "unified" };
        bool any = false;

        for (size_t i = 0; i < ARRAY_SIZE(names) && v->cgroups == SEEN_NOTHING; i++) {
                _cleanup_fd_ int fd = file_open_at(dir_fd, names[i], O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
                Look look = { .view = v };
                int r;

                if (fd < 0) {
                        v->searched &= fd == -ENOENT || fd == -ENOTDIR;
                        continue;
                }
                any = true;
                look.v2 = is_v2(fd);
                r = search(&look, fd, ".", 1);
                if (r < 0)
                        return r;
        }
        v->searched &= any;
        return 0;
}

static int look_at_cgroups(WitnessView *v, const char *path) {
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
        Look look = { .view = v, .v2 = true };

        if (fd < 0)
                return 0;
        v->searched = true;
        return is_v2(fd) ? search(&look, fd, ".", 1) : look_at_hierarchies(v, fd);
}

/* ---- the kubelet's directories ---- */

/* The root and the pods directory may be links: the host's administrator has put them where there is room. */
static int open_pods(const char *root, DIR **ret) {
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, root, O_PATH | O_DIRECTORY, 0);

        return fd < 0 ? fd : dir_open(fd, "pods", 0, ret);
}

static int look_at_directories(WitnessView *v, const char *root) {
        _cleanup_names_ Names names = { 0 };
        _cleanup_dir_ DIR *dir = NULL;
        int r = open_pods(root, &dir);

        if (r == -ENOENT)
                return 0;
        if (r == 0)
                r = dir_read(dir, is_directory_name, &names);
        if (r == -ENOMEM)
                return r;
        v->directories = r < 0 ? SEEN_PART : SEEN_ALL;
        for (size_t i = 0; i < names.n; i++) {
                WitnessPod pod = { 0 };

                memcpy(pod.uid, names.items[i], strlen(names.items[i]));
                r = add_pod(v, &pod);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- interface ---- */

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
        r = look_at_cgroups(v, paths->cgroup_dir);
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
        if (!v || !uid || !is_uid(uid, strlen(uid), '-'))
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
