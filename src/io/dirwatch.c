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
#define MASK_ABOVE (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF)

enum { READS_MAX = 64 }; /* in one go, lest a storm of events keeps the caller from everything else */

typedef struct Target {
        char *path;       /* NULL: unused */
        char *dir;        /* the directory whose entries are watched: path, or the file's */
        const char *name; /* of the file; NULL: every entry counts */
        int watch;        /* of dir; -1: it is not there or cannot be watched */
        int above;        /* of the nearest directory above that is there; -1: none */
        dev_t device;     /* of what the path named; inode 0: nothing */
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

/* Ends a watch that no target has any more. That of an inode that has gone has ended by itself. */
static void drop_watch(DirWatch *w, int watch) {
        for (unsigned i = 0; i < DIRWATCH_MAX; i++)
                if (w->targets[i].path && (w->targets[i].watch == watch || w->targets[i].above == watch))
                        return;
        if (watch > 0)
                (void)inotify_rm_watch(w->fd, watch);
}

static void replace_watch(DirWatch *w, int *watch, int new) {
        int old = *watch;

        *watch = new;
        if (old != new)
                drop_watch(w, old);
}

static bool is_directory(const char *path, struct stat *ret) {
        return stat(path, ret) == 0 && S_ISDIR(ret->st_mode);
}

/* The path of the directory above; false at the top. */
static bool cut_last(char *path) {
        char *slash = strrchr(path, '/');

        if (streq(path, "/") || streq(path, "."))
                return false;
        if (slash)
                slash[slash == path] = 0;
        else
                (void)snprintf(path, 2, ".");
        return true;
}

/* Watches the nearest directory above the target's that is there, to see the next one come or go. True if the next one
 * came before the watch stood. */
static bool watch_above(DirWatch *w, Target *t) {
        char path[PATH_MAX], below[PATH_MAX];
        struct stat st;
        int watch = -1;

        (void)snprintf(path, sizeof(path), "%s", t->dir);
        do {
                (void)snprintf(below, sizeof(below), "%s", path);
                if (!cut_last(path))
                        break;
                /* Another target may want to know more of it. */
                watch = inotify_add_watch(w->fd, path, MASK_ABOVE | IN_MASK_ADD | IN_ONLYDIR);
        } while (watch < 0 && (errno == ENOENT || errno == ENOTDIR));
        w->blind |= watch < 0 && errno != ENOENT && errno != ENOTDIR;
        replace_watch(w, &t->above, watch);
        return !streq(below, t->dir) && is_directory(below, &st);
}

/* True if the path names something else than before. */
static bool watch_target(DirWatch *w, Target *t) {
        struct stat st = { 0 };
        bool there, same;
        int watch = -1;

        /* First, so that whatever happens after the look at the path is told. */
        while (watch_above(w, t))
                ;
        there = is_directory(t->dir, &st);
        same = there ? t->watch >= 0 && st.st_dev == t->device && st.st_ino == t->inode : t->inode == 0;
        if (same)
                return false;
        if (there) {
                watch = inotify_add_watch(w->fd, t->dir, MASK | IN_ONLYDIR);
                w->blind |= watch < 0 && errno != ENOENT && errno != ENOTDIR;
        }
        replace_watch(w, &t->watch, watch);
        t->device = there ? st.st_dev : 0;
        t->inode = there ? st.st_ino : 0;
        return true;
}

int dirwatch_set(DirWatch *w, unsigned target, const char *path, bool is_file) {
        Target *t = &w->targets[target], old = *t;
        char *slash;
        size_t n;

        *t = (Target){ .watch = -1, .above = -1 };
        if (path && *path) {
                t->path = strdup(path);
                t->dir = strdup(path);
                if (!t->path || !t->dir) {
                        free(t->path);
                        free(t->dir);
                        *t = old;
                        return -ENOMEM;
                }
                n = strlen(path);
                while (n > 1 && t->dir[n - 1] == '/')
                        n--, t->path[n] = t->dir[n] = 0;
                slash = strrchr(t->dir, '/');
                if (is_file)
                        t->name = slash ? t->path + (slash - t->dir) + 1 : t->path;
                if (is_file && !cut_last(t->dir))
                        t->name = NULL;
                (void)watch_target(w, t);
        }
        drop_watch(w, old.watch);
        drop_watch(w, old.above);
        target_done(&old);
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

/* The kernel has ended it. The next directory at this path may well get the same inode number. */
static void forget_watch(Target *t, int watch) {
        if (t->watch == watch)
                t->watch = -1;
        if (t->above == watch)
                t->above = -1;
}

/* True if what is watched may have to be looked up again. */
static bool on_event(DirWatch *w, const struct inotify_event *e) {
        const char *name = e->len ? e->name : "";
        bool refresh = e->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT);

        for (unsigned i = 0; i < DIRWATCH_MAX; i++) {
                Target *t = &w->targets[i];

                if (!is_used(t))
                        continue;
                refresh |= t->above == e->wd && (e->mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO));
                if (e->mask & IN_IGNORED)
                        forget_watch(t, e->wd);
                else if (t->watch == e->wd && (!t->name || streq(t->name, name)))
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

        for (int i = 0; i < READS_MAX; i++) {
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
