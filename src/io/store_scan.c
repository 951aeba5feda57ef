/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the manifest directory and what state remembers, as facts. */
#include "io/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static int compare_file(const void *file, const void *item) {
        return strcmp(file, *(const char *const *)item);
}

/* Among items that are sorted by the name that each begins with (PlanEntry, PlanWritten, a name itself). */
static void *find(const char *file, void *items, size_t n, size_t size) {
        return n ? bsearch(file, items, n, size, compare_file) : NULL;
}

/* The bytes of a regular file that is open; -EFBIG: a kubelet would not load it. */
static int read_bytes(int fd, const struct stat *st, const char **ret, size_t *ret_len) {
        char *bytes;
        int r = file_read_fd(fd, MANIFEST_KUBELET_MAX - 1, (size_t)st->st_size, &bytes, ret_len);

        if (r == 0)
                *ret = bytes;
        return r;
}

/* The bytes of a file, and how it was before they were read. What is no regular file has none. */
static int read_regular(int dir_fd, const char *name, struct stat *ret_st, const char **ret, size_t *ret_len) {
        _cleanup_fd_ int fd = file_open_at(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

        if (fd < 0)
                return fd;
        if (fstat(fd, ret_st) < 0)
                return -errno;
        return S_ISREG(ret_st->st_mode) ? read_bytes(fd, ret_st, ret, ret_len) : 0;
}

/* ---- what need not be read again ---- */

/* A file that was written to shows a later ctime, and nobody can set a ctime: bytes that were read of a file are
 * believed as long as it looks the same, with some care.
 *
 * A change soon after another can have the same stamp, as the clock of a file system has ticks: up to 10 ms where the
 * kernel gives it, up to 2 s where the disk's format does. A write also takes its stamp before its bytes are there. So
 * a file must have rested for a while when it was read; one from the future, as after the clock was set back, has not.
 *
 * A page of a shared mapping that is dirty already takes further writes without a new stamp (and without an inotify
 * event). Nobody edits manifests in this way, but nothing forbids it; and the stamps of a file system on another
 * machine come late. So nothing is believed for long, and what opens the store anew (a reload) reads all. */
enum {
        REST = 2,              /* seconds; more than this */
        BELIEVED_MAX = 5 * 60, /* seconds since it was read */
};

static bool same_time(struct timespec a, struct timespec b) {
        return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool looks_same(const struct stat *a, const struct stat *b) {
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
               a->st_size == b->st_size && same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

bool seen_holds(const Seen *seen, const struct stat *st, time_t now) {
        return S_ISREG(st->st_mode) && looks_same(&seen->st, st) && st->st_mtim.tv_sec < seen->at - REST &&
               st->st_ctim.tv_sec < seen->at - REST && now >= seen->at && now - seen->at <= BELIEVED_MAX;
}

/* Shares the bytes that the last scan has, if they are those of a file that looks like this now. They stay its own
 * until this one is complete: a scan that fails leaves the last one as it was. */
static bool share(const Seen *before, const char **bytes, const struct stat *st, time_t now, Seen *ret) {
        if (!*bytes || !seen_holds(before, st, now))
                return false;
        *ret = *before;
        ret->from = bytes;
        return true;
}

/* The bytes that are shared are this scan's alone from now on. */
static void take_shared(Seen *seen, size_t n) {
        for (size_t i = 0; i < n; i++) {
                if (seen[i].from)
                        *seen[i].from = NULL;
                seen[i].from = NULL;
        }
}

/* ---- what stands ---- */

/* What a kubelet loads, and what an interrupted write of ours left. */
static bool counts(const char *name) {
        return name[0] != '.' || (startswith(name, MANIFEST_TMP_PREFIX) && !startswith(name, MOVED_PREFIX));
}

/* The kubelet follows links, so a linked copy of a pod counts. What it leads to is looked at before it is opened:
 * opening a device can do things. A target that is not there, or is no regular file, has no bytes. */
static int read_link_target(int dir_fd, const char *name, PlanEntry *e) {
        _cleanup_fd_ int fd = -1;
        struct stat st;

        if (fstatat(dir_fd, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
                return 0;
        fd = file_open_at(dir_fd, name, O_RDONLY | O_NONBLOCK, 0);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? read_bytes(fd, &st, &e->bytes, &e->len) : 0;
}

static EntryKind kind_of(mode_t mode) {
        return S_ISREG(mode)   ? ENTRY_REGULAR
               : S_ISLNK(mode) ? ENTRY_LINK
               : S_ISDIR(mode) ? ENTRY_DIRECTORY
                               : ENTRY_OTHER;
}

/* Whether the bytes of a link could stand for a pod: a link under a name of ours is damage whatever it leads to. */
static bool follows(const char *name) {
        return name[0] != '.' && !manifest_name_is_ours(name);
}

/* A regular file of the manifest directory; looked at already. */
static int read_manifest(Store *s, Scan *scan, PlanEntry *e, Seen *seen) {
        PlanEntry *before = find(e->file, s->scan.present, s->scan.n_present, sizeof(*before));
        int r;

        if (before &&
            share(&s->scan.present_seen[before - s->scan.present], &before->bytes, &seen->st, scan->at, seen)) {
                e->bytes = before->bytes;
                e->len = before->len;
                return 0;
        }
        r = read_regular(s->manifest_fd, e->file, &seen->st, &e->bytes, &e->len);
        e->kind = kind_of(seen->st.st_mode);
        return r;
}

/* ret_why: 0, or why the entry is unreadable. */
static int read_entry(Store *s, Scan *scan, PlanEntry *e, Seen *seen, int *ret_why) {
        int r = 0;

        if (fstatat(s->manifest_fd, e->file, &seen->st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        e->kind = kind_of(seen->st.st_mode);
        if (e->kind == ENTRY_REGULAR && e->file[0] != '.')
                r = read_manifest(s, scan, e, seen);
        else if (e->kind == ENTRY_LINK && follows(e->file))
                r = read_link_target(s->manifest_fd, e->file, e);
        if (r == -EFBIG)
                r = 0;
        if (r == -ENOENT || r == -ENOMEM)
                return r;
        *ret_why = r;
        e->unreadable = r < 0;
        e->modified = e->kind == ENTRY_REGULAR ? seen->st.st_mtim.tv_sec : 0;
        e->mode_wrong = e->kind == ENTRY_REGULAR && manifest_name_is_ours(e->file) &&
                        ((seen->st.st_mode & 07777) != 0600 || seen->st.st_uid != geteuid());
        return 0;
}

/* Takes the name if the entry counts. */
static int add_entry(Store *s, Scan *scan, char **name) {
        PlanEntry e = { .file = *name };
        Seen seen = { .at = scan->at };
        int why = 0, r = read_entry(s, scan, &e, &seen, &why);

        if (r == -ENOENT) /* gone since its name was read */
                return 0;
        if (r < 0)
                return r;
        /* A directory under a temporary name is nothing that we made. */
        if (*e.file == '.' && e.kind != ENTRY_REGULAR && e.kind != ENTRY_LINK)
                return 0;
        *name = NULL;
        scan->present_seen[scan->n_present] = seen;
        scan->present[scan->n_present++] = e;
        if (why < 0 && scan->unreadable == 0) {
                scan->unreadable = why;
                scan->unreadable_file = e.file;
        }
        return 0;
}

static int scan_present(Store *s, Scan *scan, Err *err) {
        _cleanup_names_ Names names = { 0 };
        int r = names_read(s->manifest_fd, counts, &names);

        if (r == 0) {
                scan->present = calloc(names.n + 1, sizeof(*scan->present));
                scan->present_seen = calloc(names.n + 1, sizeof(*scan->present_seen));
                r = scan->present && scan->present_seen ? 0 : -ENOMEM;
        }
        for (size_t i = 0; i < names.n && r == 0; i++)
                r = add_entry(s, scan, &names.items[i]);
        if (r == -ENOMEM)
                return err_oom(err);
        return r < 0 ? err_errno(err, r, "cannot read the manifest directory %s", s->manifest_dir) : 0;
}

/* ---- what is remembered ---- */

/* Bytes of the state directory are written back one day: those that are no manifest are not remembered. What stands
 * already needs no second look. */
static int check_remembered(const Scan *scan, const PlanWritten *w, const char *bytes, size_t len, Seen *seen) {
        const PlanEntry *e = find(w->file, scan->present, scan->n_present, sizeof(*e));
        Manifest m;
        int r;

        if (seen->is_manifest || (e && e->bytes && e->len == len && memcmp(e->bytes, bytes, len) == 0))
                return 0;
        r = manifest_parse(bytes, len, &m);
        if (r < 0)
                return r;
        seen->is_manifest = m.is_pod && m.daemonset;
        manifest_done(&m);
        return seen->is_manifest ? 0 : -EBADMSG;
}

/* As read_manifest does, for a file of manifests/. */
static bool share_written(Store *s, const Scan *scan, PlanWritten *w, Seen *seen) {
        PlanWritten *before = find(w->file, s->scan.written, s->scan.n_written, sizeof(*before));
        struct stat st;

        if (!before || fstatat(s->manifests_fd, w->file, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !share(&s->scan.written_seen[before - s->scan.written], &before->bytes, &st, scan->at, seen))
                return false;
        w->bytes = before->bytes;
        w->len = before->len;
        return true;
}

static void drop_bytes(const char **bytes, size_t *len, Seen *seen) {
        if (!seen->from)
                free_const(*bytes);
        *bytes = NULL;
        *len = 0;
        seen->from = NULL;
}

/* Bytes that cannot be had, or are not used, are as good as lost: reported, and -ENOMEM is the only failure. Those that
 * are shared are there already. */
static int read_state(Store *s, const Scan *scan, int dir_fd, const PlanWritten *w, Seen *seen, const char **bytes,
                      size_t *len) {
        int r = 0;

        if (!*bytes)
                r = read_regular(dir_fd, w->file, &seen->st, bytes, len);
        if (r == 0)
                r = *bytes ? check_remembered(scan, w, *bytes, *len, seen) : -EINVAL;
        if (r == 0 || r == -ENOMEM)
                return r;
        if (r == -EBADMSG)
                store_warn(s, "the remembered bytes of %s are damaged and not used", w->file);
        else if (r != -ENOENT)
                store_warn(s, "state is not readable: %s: %s", w->file,
                           r == -EINVAL || r == -ELOOP ? "is not a regular file" : strerror(-r));
        drop_bytes(bytes, len, seen);
        return 0;
}

static void written_done(PlanWritten *w, const Seen *seen) {
        free_const(w->file);
        free_const(w->namespace);
        free_const(w->name);
        free_const(w->origin);
        if (!seen->from)
                free_const(w->bytes);
        free_const(w->next);
}

/* namespace and name without an index: what the bytes say, else the file's name. */
static int guess_names(PlanWritten *w) {
        const char *bytes = w->bytes ? w->bytes : w->next;
        size_t len = w->bytes ? w->len : w->next_len;
        const char *start = w->file + strlen(MANIFEST_PREFIX), *separator = strchr(start, '_');
        const char *end = w->file + strlen(w->file) - strlen(MANIFEST_SUFFIX);
        Manifest m = { 0 };
        int r = bytes ? manifest_parse(bytes, len, &m) : 0;

        if (r < 0)
                return r;
        if (m.is_pod && m.namespace && m.name) {
                w->namespace = TAKE_PTR(m.namespace);
                w->name = TAKE_PTR(m.name);
        } else if (separator) {
                w->namespace = strndup(start, (size_t)(separator - start));
                w->name = strndup(separator + 1, (size_t)(end - separator - 1));
        }
        manifest_done(&m);
        return w->namespace && w->name ? 0 : -ENOMEM;
}

static int fill_written(Store *s, const Scan *scan, const Names *next, PlanWritten *w, Seen *seen) {
        const IndexEntry *e = index_find(&s->index, w->file);
        Seen none = { 0 };
        int r = 0;

        if (s->manifests_fd >= 0) {
                share_written(s, scan, w, seen);
                r = read_state(s, scan, s->manifests_fd, w, seen, &w->bytes, &w->len);
        }
        if (r == 0 && find(w->file, next->items, next->n, sizeof(*next->items)))
                r = read_state(s, scan, s->next_fd, w, &none, &w->next, &w->next_len);
        if (r < 0)
                return r;
        if (!e)
                return guess_names(w);
        w->namespace = strdup(e->namespace);
        w->name = strdup(e->name);
        w->origin = e->origin ? strdup(e->origin) : NULL;
        return w->namespace && w->name && (!e->origin || w->origin) ? 0 : -ENOMEM;
}

/* Takes the name. */
static int add_written(Store *s, Scan *scan, const Names *next, char **name) {
        PlanWritten w = { .file = TAKE_PTR(*name), .witness = WITNESS_UNKNOWN };
        Seen seen = { .at = scan->at };
        int r = fill_written(s, scan, next, &w, &seen);

        if (r < 0) {
                written_done(&w, &seen);
                return r;
        }
        scan->written_seen[scan->n_written] = seen;
        scan->written[scan->n_written++] = w;
        return 0;
}

static int read_ours(int dir_fd, Names *ret) {
        return dir_fd < 0 ? 0 : names_read(dir_fd, manifest_name_is_ours, ret);
}

/* All that state knows of. next: what is in next/. */
static int collect_files(const Store *s, const Names *next, Names *ret) {
        int r = read_ours(s->manifests_fd, ret);

        for (size_t i = 0; i < s->index.n && r == 0; i++)
                r = names_add(ret, s->index.entries[i].file);
        for (size_t i = 0; i < next->n && r == 0; i++)
                r = names_add(ret, next->items[i]);
        names_sort_unique(ret);
        return r;
}

static int scan_written(Store *s, Scan *scan, Err *err) {
        _cleanup_names_ Names files = { 0 }, next = { 0 };
        int r = read_ours(s->next_fd, &next);

        /* Before manifests/: what is renamed meanwhile is found there. */
        if (r == 0)
                r = collect_files(s, &next, &files);
        if (r == 0) {
                scan->written = calloc(files.n + 1, sizeof(*scan->written));
                scan->written_seen = calloc(files.n + 1, sizeof(*scan->written_seen));
                r = scan->written && scan->written_seen ? 0 : -ENOMEM;
        }
        for (size_t i = 0; i < files.n && r == 0; i++)
                r = add_written(s, scan, &next, &files.items[i]);
        if (r == 0)
                r = index_copy_tombstones(&s->index, &scan->tombstones, &scan->n_tombstones);
        if (r == 0)
                r = handovers_copy(s->index.handovers, s->index.n_handovers, &scan->handovers);
        if (r == 0)
                scan->n_handovers = s->index.n_handovers;
        if (r == 0 && s->index.node_name) {
                scan->node_name = strdup(s->index.node_name);
                r = scan->node_name ? 0 : -ENOMEM;
        }
        if (r == -ENOMEM)
                return err_oom(err);
        return r < 0 ? err_errno(err, r, "cannot read the state directory %s", s->state_dir) : 0;
}

void scan_done(Scan *scan) {
        for (size_t i = 0; i < scan->n_present; i++) {
                free_const(scan->present[i].file);
                if (!scan->present_seen[i].from)
                        free_const(scan->present[i].bytes);
        }
        for (size_t i = 0; i < scan->n_written; i++)
                written_done(&scan->written[i], &scan->written_seen[i]);
        free(scan->present);
        free(scan->present_seen);
        free(scan->written);
        free(scan->written_seen);
        tombstones_free(scan->tombstones, scan->n_tombstones);
        handovers_free(scan->handovers, scan->n_handovers);
        free(scan->node_name);
        free(scan->warning);
        *scan = (Scan){ 0 };
}

static int scan_all(Store *s, Scan *scan, Err *err) {
        int r = store_check_stale(s, err);

        /* Without the lock somebody else writes the index. */
        if (r == 0 && s->read_only)
                r = store_load_index(s, err);
        if (r == 0)
                r = scan_present(s, scan, err);
        if (r == 0)
                r = scan_written(s, scan, err);
        if (r < 0 || (s->warning.len == 0 && !s->warning.failed))
                return r;
        scan->warning = buf_take(&s->warning, NULL);
        if (!scan->warning) {
                buf_done(&s->warning);
                return err_oom(err);
        }
        return 0;
}

int store_scan(Store *s, StoreSnapshot *ret, Err *err) {
        Scan scan = { .at = time(NULL) };
        int r = scan_all(s, &scan, err);

        if (r < 0) {
                scan_done(&scan);
                return r;
        }
        take_shared(scan.present_seen, scan.n_present);
        take_shared(scan.written_seen, scan.n_written);
        scan_done(&s->scan);
        s->scan = scan;
        *ret = (StoreSnapshot){
                .present = scan.present,
                .n_present = scan.n_present,
                .written = scan.written,
                .n_written = scan.n_written,
                .tombstones = scan.tombstones,
                .n_tombstones = scan.n_tombstones,
                .handovers = scan.handovers,
                .n_handovers = scan.n_handovers,
                .node_name = scan.node_name,
                .warning = scan.warning,
        };
        return 0;
}
