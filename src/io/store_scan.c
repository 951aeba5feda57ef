/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the manifest directory and what state remembers, as facts. */
#include "io/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ---- what stands ---- */

/* What a kubelet loads, and what an interrupted write of ours left. */
static bool counts(const char *name) {
        return name[0] != '.' || (startswith(name, MANIFEST_TMP_PREFIX) && !startswith(name, MOVED_PREFIX));
}

/* The bytes of a regular file; what a kubelet would not load for its size has none. -ENOENT, -ENOMEM; anything else
 * makes the entry unreadable. */
static int read_bytes(int fd, const struct stat *st, PlanEntry *e) {
        char *bytes;
        int r = file_read_fd(fd, MANIFEST_KUBELET_MAX - 1, (size_t)st->st_size, &bytes, &e->len);

        if (r == -EFBIG)
                return 0;
        if (r < 0)
                return r;
        e->bytes = bytes;
        return 0;
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
        return S_ISREG(st.st_mode) ? read_bytes(fd, &st, e) : 0;
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

static int read_regular(int dir_fd, const char *name, struct stat *st, PlanEntry *e) {
        _cleanup_fd_ int fd = file_open_at(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);

        if (fd < 0)
                return fd;
        if (fstat(fd, st) < 0)
                return -errno;
        e->kind = kind_of(st->st_mode);
        return e->kind == ENTRY_REGULAR ? read_bytes(fd, st, e) : 0;
}

/* ret_why: 0, or why the entry is unreadable. */
static int read_entry(int dir_fd, const char *name, PlanEntry *e, int *ret_why) {
        struct stat st;
        int r = 0;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        e->kind = kind_of(st.st_mode);
        if (e->kind == ENTRY_REGULAR && name[0] != '.')
                r = read_regular(dir_fd, name, &st, e);
        else if (e->kind == ENTRY_LINK && follows(name))
                r = read_link_target(dir_fd, name, e);
        if (r == -ENOENT || r == -ENOMEM)
                return r;
        *ret_why = r;
        e->unreadable = r < 0;
        e->mode_wrong = e->kind == ENTRY_REGULAR && manifest_name_is_ours(name) &&
                        ((st.st_mode & 07777) != 0600 || st.st_uid != geteuid());
        return 0;
}

static int add_entry(int dir_fd, const char *name, Scan *scan) {
        PlanEntry e = { 0 };
        int r, why = 0;

        if (!ARRAY_GROW(scan->present, scan->n_present, scan->cap_present))
                return -ENOMEM;
        r = read_entry(dir_fd, name, &e, &why);
        if (r == -ENOENT) /* gone since its name was read */
                return 0;
        if (r < 0)
                return r;
        /* A directory under a temporary name is nothing that we made. */
        if (name[0] == '.' && e.kind != ENTRY_REGULAR && e.kind != ENTRY_LINK)
                return 0;
        e.file = strdup(name);
        if (!e.file) {
                free_const(e.bytes);
                return -ENOMEM;
        }
        scan->present[scan->n_present++] = e;
        if (why < 0 && scan->unreadable == 0) {
                scan->unreadable = why;
                scan->unreadable_file = e.file;
        }
        return 0;
}

static int scan_present(const Store *s, Scan *scan, Err *err) {
        _cleanup_names_ Names names = { 0 };
        int r = names_read(s->manifest_fd, counts, &names);

        for (size_t i = 0; i < names.n && r == 0; i++)
                r = add_entry(s->manifest_fd, names.items[i], scan);
        if (r == -ENOMEM)
                return err_oom(err);
        return r < 0 ? err_errno(err, r, "cannot read the manifest directory %s", s->manifest_dir) : 0;
}

/* ---- what is remembered ---- */

static const PlanEntry *find_present(const Scan *scan, const char *file) {
        size_t low = 0, high = scan->n_present;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(scan->present[middle].file, file);

                if (order == 0)
                        return &scan->present[middle];
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

/* Bytes of the state directory are written back one day: those that are no manifest are not remembered. What stands
 * already needs no second look. */
static int accept_bytes(Store *s, const Scan *scan, const char *file, char **bytes, size_t *len) {
        const PlanEntry *e = find_present(scan, file);
        Manifest m;
        bool good;
        int r;

        if (e && e->bytes && e->len == *len && memcmp(e->bytes, *bytes, *len) == 0)
                return 0;
        r = manifest_parse(*bytes, *len, &m);
        if (r < 0)
                return r;
        good = m.is_pod && m.daemonset;
        manifest_done(&m);
        if (good)
                return 0;
        store_warn(s, "the remembered bytes of %s are damaged and not used", file);
        free(*bytes);
        *bytes = NULL;
        *len = 0;
        return 0;
}

/* Bytes that cannot be had are as good as lost: reported, and -ENOMEM is the only failure. */
static int read_state(Store *s, const Scan *scan, int dir_fd, const char *file, const char **ret, size_t *ret_len) {
        _cleanup_free_ char *bytes = NULL;
        size_t len = 0;
        Err why = { 0 };
        int r = -ENOENT;

        if (dir_fd >= 0)
                r = file_read(dir_fd, file, MANIFEST_KUBELET_MAX, (FileTrust){ 0 }, &bytes, &len, &why);
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                store_warn(s, "state is not readable: %s", why.message);
                return 0;
        }
        r = accept_bytes(s, scan, file, &bytes, &len);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bytes);
        *ret_len = len;
        return 0;
}

static void written_done(PlanWritten *w) {
        free_const(w->file);
        free_const(w->namespace);
        free_const(w->name);
        free_const(w->origin);
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

static int fill_written(Store *s, const Scan *scan, const char *file, PlanWritten *w) {
        const IndexEntry *e = index_find(&s->index, file);
        int r = read_state(s, scan, s->manifests_fd, file, &w->bytes, &w->len);

        if (r == 0)
                r = read_state(s, scan, s->next_fd, file, &w->next, &w->next_len);
        if (r < 0)
                return r;
        w->file = strdup(file);
        if (!w->file)
                return -ENOMEM;
        if (!e)
                return guess_names(w);
        w->namespace = strdup(e->namespace);
        w->name = strdup(e->name);
        w->origin = e->origin ? strdup(e->origin) : NULL;
        return w->namespace && w->name && (!e->origin || w->origin) ? 0 : -ENOMEM;
}

static int add_written(Store *s, Scan *scan, const char *file) {
        PlanWritten w = { .witness = WITNESS_UNKNOWN };
        int r;

        if (!ARRAY_GROW(scan->written, scan->n_written, scan->cap_written))
                return -ENOMEM;
        r = fill_written(s, scan, file, &w);
        if (r < 0) {
                written_done(&w);
                return r;
        }
        scan->written[scan->n_written++] = w;
        return 0;
}

static int collect_files(const Store *s, Names *ret) {
        const int fds[] = { s->manifests_fd, s->next_fd };

        for (size_t i = 0; i < s->index.n; i++)
                if (names_add(ret, s->index.entries[i].file) < 0)
                        return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                _cleanup_names_ Names names = { 0 };
                int r = fds[i] < 0 ? 0 : names_read(fds[i], manifest_name_is_ours, &names);

                if (r < 0)
                        return r;
                for (size_t j = 0; j < names.n; j++)
                        if (names_add(ret, names.items[j]) < 0)
                                return -ENOMEM;
        }
        names_sort_unique(ret);
        return 0;
}

static int scan_written(Store *s, Scan *scan, Err *err) {
        _cleanup_names_ Names files = { 0 };
        int r = collect_files(s, &files);

        for (size_t i = 0; i < files.n && r == 0; i++)
                r = add_written(s, scan, files.items[i]);
        if (r == 0)
                r = index_copy_tombstones(&s->index, &scan->tombstones, &scan->n_tombstones);
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
                free_const(scan->present[i].bytes);
        }
        for (size_t i = 0; i < scan->n_written; i++)
                written_done(&scan->written[i]);
        free(scan->present);
        free(scan->written);
        tombstones_free(scan->tombstones, scan->n_tombstones);
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
        Scan scan = { 0 };
        int r = scan_all(s, &scan, err);

        if (r < 0) {
                scan_done(&scan);
                return r;
        }
        scan_done(&s->scan);
        s->scan = scan;
        *ret = (StoreSnapshot){
                .present = scan.present,
                .n_present = scan.n_present,
                .written = scan.written,
                .n_written = scan.n_written,
                .tombstones = scan.tombstones,
                .n_tombstones = scan.n_tombstones,
                .node_name = scan.node_name,
                .warning = scan.warning,
        };
        return 0;
}
