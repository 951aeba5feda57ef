/* SPDX-License-Identifier: Apache-2.0 */
/* The pods' cgroups. Anything may vanish while it is read. */
#include "io/file.h"
#include "io/witness_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
        SEARCH_DEPTH = 3,   /* a kubepods tree is at most that deep */
        SEARCH_DIRS = 4096, /* directories opened in search of one */
        PROCS_DEPTH = 3,    /* v1: container, and what a container makes in its own */
        PROCS_DIRS = 256,   /* v1: directories opened for one pod */
};

/* ---- names ---- */

static bool endswith(const char *s, const char *suffix) {
        size_t len = strlen(s), n = strlen(suffix);

        return len >= n && streq(s + len - n, suffix);
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
        if (!witness_is_uid(uid, len, slice ? '_' : '-') || !streq(rest, slice ? ".slice" : "") ||
            (slice && pod[-1] != '-'))
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

/* ---- files ---- */

/* Reading a file of a removed cgroup that was opened in time says ENODEV. */
static bool is_vanished(int r) {
        return r == -ENOENT || r == -ENODEV;
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
        r = witness_dir_open(dir_fd, name, O_NOFOLLOW, &dir);
        if (r < 0)
                return r;
        r = read_start(dirfd(dir), "cgroup.procs", text, sizeof(text));
        if (r != 0)
                return r < 0 ? r : 1;
        r = witness_dir_read(dir, NULL, &below);
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
        return witness_add(l->view, &pod);
}

/* A kubepods tree, or with is_tree not set the part of it for one QoS class. Only -ENOMEM is a failure. */
static int read_pods(Look *l, int dir_fd, const char *name, bool is_tree) {
        _cleanup_names_ Names names = { 0 };
        _cleanup_dir_ DIR *dir = NULL;
        int r = witness_dir_open(dir_fd, name, O_NOFOLLOW, &dir);

        if (is_vanished(r))
                return 0;
        if (r == 0)
                r = witness_dir_read(dir, is_tree ? is_pod_or_qos : is_pod, &names);
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
        int r = ++l->dirs > SEARCH_DIRS ? -E2BIG : witness_dir_open(dir_fd, name, O_NOFOLLOW, &dir);

        if (is_vanished(r))
                return 0;
        if (r == 0)
                r = witness_dir_read(dir, depth < SEARCH_DEPTH ? may_hold_kubepods : is_kubepods, &names);
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

int witness_look_at_cgroups(WitnessView *v, const char *path) {
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
        Look look = { .view = v, .v2 = true };

        if (fd < 0)
                return 0;
        v->searched = true;
        return is_v2(fd) ? search(&look, fd, ".", 1) : look_at_hierarchies(v, fd);
}
