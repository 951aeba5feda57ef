/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dirwatch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* One mask for all: the kernel keeps one watch for each inode, so that two targets in one directory share it. */
#define MASK                                                                                                           \
        (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB |                \
         IN_DELETE_SELF | IN_MOVE_SELF)

typedef struct Target {
        char *path;       /* NULL: unused */
        char *dir;        /* the directory whose entries are watched: path, or the file's */
        const char *name; /* of the file; NULL: every entry counts */
        int watch;        /* of dir; -1: it is not there or cannot be watched */
        int above;        /* of the nearest directory above that is there; -1: none */
        dev_t device;     /* what `watch` watches */
        ino_t inode;
} Target;

struct DirWatch {
        int fd;
        DirHandler handler;
        void *user;
        Target targets[DIRWATCH_MAX];
        bool blind;
};

int dirwatch_new(DirHandler handler, void *user, DirWatch **ret, Err *err) {
        DirWatch *w = calloc(1, sizeof(*w));

        if (!w)
                return err_oom(err);
        *w = (DirWatch){ .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .handler = handler, .user = user };
        if (w->fd < 0) {
                int r = -errno;

                free(w);
                return err_errno(err, r, "cannot watch directories");
        }
        *ret = w;
        return 0;
}

static void target_done(Target *t) {
        free(t->path);
        free(t->dir);
        *t = (Target){ .watch = -1, .above = -1 };
}

DirWatch *dirwatch_free(DirWatch *w) {
        if (!w)
                return NULL;
        for (unsigned i = 0; i < DIRWATCH_MAX; i++)
                target_done(&w->targets[i]);
        (void)close(w->fd);
        free(w);
        return NULL;
}

/* Watches the nearest directory above the target's that is there, to see the next one come or go. */
static void watch_above(DirWatch *w, Target *t) {
        char path[PATH_MAX];

        t->above = -1;
        (void)snprintf(path, sizeof(path), "%s", t->dir);
        for (;;) {
                char *slash = strrchr(path, '/');

                if (!slash)
                        return;
                slash[slash == path] = 0;
                t->above = inotify_add_watch(w->fd, path, MASK | IN_ONLYDIR);
                if (t->above >= 0)
                        return;
                if (errno != ENOENT && errno != ENOTDIR) {
                        w->blind = true;
                        return;
                }
                if (streq(path, "/"))
                        return;
        }
}

/* True if the path names something else than before. */
static bool watch_target(DirWatch *w, Target *t) {
        struct stat st;
        bool there = stat(t->dir, &st) == 0 && S_ISDIR(st.st_mode);
        bool same = there ? t->watch >= 0 && st.st_dev == t->device && st.st_ino == t->inode : t->watch < 0;

        watch_above(w, t);
        if (same)
                return false;
        /* The old inode may be another target's as well: its watch ends by itself when the inode goes, or is not
         * heeded. */
        t->watch = there ? inotify_add_watch(w->fd, t->dir, MASK | IN_ONLYDIR) : -1;
        if (there && t->watch < 0 && errno != ENOENT)
                w->blind = true;
        t->device = there ? st.st_dev : 0;
        t->inode = there ? st.st_ino : 0;
        return true;
}

int dirwatch_set(DirWatch *w, unsigned target, const char *path, bool is_file) {
        Target *t = &w->targets[target];
        char *slash;

        target_done(t);
        if (!path)
                return 0;
        t->path = strdup(path);
        t->dir = strdup(path);
        if (!t->path || !t->dir) {
                target_done(t);
                return -ENOMEM;
        }
        slash = strrchr(t->dir, '/');
        if (is_file && slash) {
                t->name = t->path + (slash - t->dir) + 1;
                slash[slash == t->dir] = 0;
        }
        (void)watch_target(w, t);
        return 0;
}

static bool is_used(const Target *t) {
        return t->path;
}

void dirwatch_refresh(DirWatch *w) {
        w->blind = false;
        for (unsigned i = 0; i < DIRWATCH_MAX; i++)
                if (is_used(&w->targets[i]) && watch_target(w, &w->targets[i]))
                        w->handler(w->user, i, DIR_EVENT_LOST, "");
}

static void lost(DirWatch *w) {
        for (unsigned i = 0; i < DIRWATCH_MAX; i++)
                if (is_used(&w->targets[i]))
                        w->handler(w->user, i, DIR_EVENT_LOST, "");
}

static DirEvent kind_of(uint32_t mask) {
        if (mask & IN_MODIFY)
                return DIR_EVENT_WRITING;
        return mask & IN_CLOSE_WRITE ? DIR_EVENT_CLOSED : DIR_EVENT_CHANGED;
}

/* True if what is watched may have to be looked up again. */
static bool on_event(DirWatch *w, const struct inotify_event *e) {
        const char *name = e->len ? e->name : "";
        bool refresh = e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT);

        for (unsigned i = 0; i < DIRWATCH_MAX; i++) {
                const Target *t = &w->targets[i];

                if (!is_used(t))
                        continue;
                refresh |= t->above == e->wd && (e->mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO));
                if (t->watch == e->wd && !(e->mask & IN_IGNORED) && (!t->name || streq(t->name, name)))
                        w->handler(w->user, i, kind_of(e->mask), name);
        }
        return refresh;
}

int dirwatch_fd(const DirWatch *w) {
        return w->fd;
}

int dirwatch_read(DirWatch *w) {
        _Alignas(struct inotify_event) char buffer[16 * 1024];
        bool refresh = false;

        for (;;) {
                ssize_t n = read(w->fd, buffer, sizeof(buffer));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n <= 0)
                        break;
                for (char *p = buffer; p < buffer + n;) {
                        const struct inotify_event *e = (const struct inotify_event *)(const void *)p;

                        if (e->mask & IN_Q_OVERFLOW) {
                                lost(w);
                                refresh = true;
                        } else {
                                refresh |= on_event(w, e);
                        }
                        p += sizeof(*e) + e->len;
                }
        }
        if (refresh)
                dirwatch_refresh(w);
        return 0;
}

bool dirwatch_is_blind(const DirWatch *w) {
        return w->blind;
}
