/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, locking, and the files of the state directory. */
#include "io/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

void store_warn(Store *s, const char *format, ...) {
        Err line = { 0 };
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line.message, sizeof(line.message), format, ap);
        va_end(ap);
        if (s->warning.len)
                buf_str(&s->warning, "; ");
        buf_str(&s->warning, line.message);
}

/* ---- directories ---- */

static int check_manifest_dir(int fd, const char *path, Err *err) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_errno(err, -errno, "manifest directory %s", path);
        if (file_check_trust(&st, path, err) < 0)
                return err_wrap(err, -EPERM, "the manifest directory is not safe");
        return 0;
}

static int open_manifest_dir(Store *s, Err *err) {
        int r;

        /* A link in the last place is allowed: it is the operator's word where the directory is. */
        s->manifest_fd = file_open_at(AT_FDCWD, s->manifest_dir, O_RDONLY | O_DIRECTORY, 0);
        if (s->manifest_fd < 0)
                return err_errno(err, s->manifest_fd, "manifest directory %s", s->manifest_dir);
        r = check_manifest_dir(s->manifest_fd, s->manifest_dir, err);
        if (r < 0 || s->read_only)
                return r;
        do
                r = flock(s->manifest_fd, LOCK_EX | LOCK_NB);
        while (r < 0 && errno == EINTR);
        if (r < 0 && errno == EWOULDBLOCK)
                return err_set(err, -EBUSY,
                               "another daemonlet works on %s; to make a running agent look again: systemctl reload "
                               "daemonlet",
                               s->manifest_dir);
        return r < 0 ? err_errno(err, -errno, "cannot lock %s", s->manifest_dir) : 0;
}

/* Makes a directory of exactly this mode whatever the umask says, and opens it. */
static int make_dir(int parent_fd, const char *name, mode_t mode) {
        _cleanup_fd_ int fd = -1;
        int r;

        if (mkdirat(parent_fd, name, mode) < 0)
                return -errno;
        fd = file_open_at(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd < 0)
                return fd;
        if (fchmod(fd, mode) < 0)
                return -errno;
        r = fd;
        fd = -1;
        return r;
}

/* Our own directory must be closed to others; one that was left open is closed, a stranger's is refused. */
static int check_own_dir(int fd, const char *path, Err *err) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_errno(err, -errno, "state directory %s", path);
        if (st.st_uid != geteuid())
                return err_set(err, -EPERM, "the state directory %s belongs to user %u, not to user %u", path,
                               st.st_uid, geteuid());
        if ((st.st_mode & 077) && fchmod(fd, 0700) < 0)
                return err_errno(err, -errno, "cannot close the state directory %s to others", path);
        return 0;
}

/* Opens or makes one directory. An existing one may be a link: what it leads to is checked. */
static int open_own_dir(int parent_fd, const char *name, const char *path, bool make, Err *err) {
        _cleanup_fd_ int fd = file_open_at(parent_fd, name, O_RDONLY | O_DIRECTORY, 0);
        int r = 0;

        if (fd == -ENOENT && make)
                fd = make_dir(parent_fd, name, 0700);
        if (fd < 0)
                return err_errno(err, fd, "state directory %s", path);
        if (make)
                r = check_own_dir(fd, path, err);
        if (r < 0)
                return r;
        r = fd;
        fd = -1;
        return r;
}

/* Opens one directory on the way, and makes it if it is not there. */
static int step_into(int parent_fd, const char *name) {
        int fd = file_open_at(parent_fd, name, O_PATH | O_DIRECTORY, 0);

        return fd == -ENOENT ? make_dir(parent_fd, name, 0755) : fd;
}

/* mkdir -p of everything above the last component, which is left in *ret_last. */
static int open_parents(char *path, const char **ret_last, Err *err) {
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, path[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY, 0);
        char *save = NULL, *name = strtok_r(path, "/", &save);
        int r;

        if (fd < 0)
                return err_errno(err, fd, "cannot open the root directory");
        if (!name)
                return err_set(err, -EINVAL, "the root directory cannot be the state directory");
        for (char *next; (next = strtok_r(NULL, "/", &save)); name = next) {
                int below = step_into(fd, name);

                if (below < 0)
                        return err_errno(err, below, "directory %s above the state directory", name);
                (void)close(fd);
                fd = below;
        }
        *ret_last = name;
        r = fd;
        fd = -1;
        return r;
}

static int open_state_dir(Store *s, Err *err) {
        _cleanup_free_ char *path = strdup(s->state_dir);
        _cleanup_fd_ int parent_fd = -1;
        const char *last = NULL;

        if (!path)
                return err_oom(err);
        if (s->read_only) {
                s->state_fd = open_own_dir(AT_FDCWD, s->state_dir, s->state_dir, false, NULL);
        } else {
                parent_fd = open_parents(path, &last, err);
                if (parent_fd < 0)
                        return parent_fd;
                s->state_fd = open_own_dir(parent_fd, last, s->state_dir, true, err);
        }
        if (s->state_fd == -ENOENT && s->read_only) {
                s->state_fd = -1;
                return 0;
        }
        return s->state_fd < 0 ? err_errno(err, s->state_fd, "state directory %s", s->state_dir) : 0;
}

static int open_sub_dir(const Store *s, const char *name, int *ret_fd, Err *err) {
        if (s->state_fd < 0)
                return 0;
        *ret_fd = open_own_dir(s->state_fd, name, name, !s->read_only, s->read_only ? NULL : err);
        if (*ret_fd == -ENOENT && s->read_only) {
                *ret_fd = -1;
                return 0;
        }
        return *ret_fd < 0 ? err_errno(err, *ret_fd, "state directory %s/%s", s->state_dir, name) : 0;
}

bool store_same_dir(int fd, const char *path) {
        struct stat opened, named;

        return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_dev == named.st_dev &&
               opened.st_ino == named.st_ino;
}

int store_check_stale(const Store *s, Err *err) {
        if (!store_same_dir(s->manifest_fd, s->manifest_dir))
                return err_set(err, -ESTALE, "%s is another directory than the one that was opened", s->manifest_dir);
        if (s->state_fd >= 0 && !store_same_dir(s->state_fd, s->state_dir))
                return err_set(err, -ESTALE, "%s is another directory than the one that was opened", s->state_dir);
        return 0;
}

/* ---- opening ---- */

/* Empty where the machine has none yet. */
static int read_machine_id(Store *s) {
        static const char digits[] = "0123456789abcdef";
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = file_read(AT_FDCWD, "/etc/machine-id", 4096, (FileTrust){ .follow = true }, &text, &len, NULL);

        if (r == -ENOMEM)
                return r;
        if (r == 0 && strspn(text, digits) <= MACHINE_ID_MAX)
                memcpy(s->machine_id, text, strspn(text, digits));
        return 0;
}

static int open_all(Store *s, Err *err) {
        int r = open_manifest_dir(s, err);

        if (r == 0)
                r = open_state_dir(s, err);
        if (r == 0)
                r = open_sub_dir(s, "manifests", &s->manifests_fd, err);
        if (r == 0)
                r = open_sub_dir(s, "next", &s->next_fd, err);
        if (r == 0 && read_machine_id(s) < 0)
                r = err_oom(err);
        return r == 0 ? store_load_index(s, err) : r;
}

int store_open(const StoreOptions *options, Store **ret, Err *err) {
        _cleanup_store_ Store *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return err_oom(err);
        s->manifest_fd = s->state_fd = s->manifests_fd = s->next_fd = s->quarantine_fd = -1;
        s->read_only = options->read_only;
        s->manifest_dir = strdup(options->manifest_dir);
        s->state_dir = strdup(options->state_dir);
        if (!s->manifest_dir || !s->state_dir)
                return err_oom(err);
        r = open_all(s, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

Store *store_free(Store *s) {
        if (!s)
                return NULL;
        scan_done(&s->scan);
        index_done(&s->index);
        buf_done(&s->warning);
        fd_closep(&s->quarantine_fd);
        fd_closep(&s->next_fd);
        fd_closep(&s->manifests_fd);
        fd_closep(&s->state_fd);
        fd_closep(&s->manifest_fd);
        free(s->manifest_dir);
        free(s->state_dir);
        free(s);
        return NULL;
}

/* ---- files of the state directory ---- */

int store_holds(int dir_fd, const char *name, const char *bytes, size_t len) {
        _cleanup_free_ char *have = NULL;
        size_t have_len;
        int r = file_read(dir_fd, name, len, (FileTrust){ 0 }, &have, &have_len, NULL);

        if (r == -ENOMEM)
                return r;
        return r == 0 && have_len == len && memcmp(have, bytes, len) == 0;
}

int store_write_state(Store *s, int dir_fd, const char *name, const char *bytes, size_t len, bool *changed, Err *err) {
        int r = store_holds(dir_fd, name, bytes, len);

        if (r < 0)
                return err_oom(err);
        if (r > 0)
                return 0;
        r = file_make_at(s->next_fd, STATE_TMP, bytes, len, 0600, err);
        if (r < 0)
                return err_wrap(err, r, "state directory %s, %s", s->state_dir, name);
        if (renameat(s->next_fd, STATE_TMP, dir_fd, name) < 0) {
                r = err_errno(err, -errno, "cannot rename to %s in the state directory %s", name, s->state_dir);
                (void)unlinkat(s->next_fd, STATE_TMP, 0);
                return r;
        }
        *changed = true;
        return 0;
}

/* Reads a file of the state directory: 0 with NULL if there is none, or none that can be read. */
static int read_state_file(Store *s, const char *name, char **ret, size_t *ret_len, Err *err) {
        Err why = { 0 };
        int r = -ENOENT;

        *ret = NULL;
        *ret_len = 0;
        if (s->state_fd >= 0)
                r = file_read(s->state_fd, name, STATE_FILE_MAX, (FileTrust){ 0 }, ret, ret_len, &why);
        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0 && r != -ENOENT)
                store_warn(s, "state is not readable: %s", why.message);
        return 0;
}

static void set_aside(Store *s, const char *name) {
        char aside[64];

        store_warn(s, "%s/%s was damaged and moved aside", s->state_dir, name);
        (void)snprintf(aside, sizeof(aside), "%s" DAMAGED_SUFFIX, name);
        if (!s->read_only)
                (void)renameat(s->state_fd, name, s->state_fd, aside);
}

int store_load_index(Store *s, Err *err) {
        _cleanup_free_ char *text = NULL;
        Index index = { 0 };
        size_t len;
        int r = read_state_file(s, INDEX_FILE, &text, &len, err);

        if (r < 0)
                return r;
        if (text)
                r = index_parse(text, len, s->machine_id, &index);
        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0)
                set_aside(s, INDEX_FILE);
        index_done(&s->index);
        s->index = index;
        return 0;
}

int store_save_index(Store *s, bool *changed, Err *err) {
        bool empty = s->index.n == 0 && s->index.n_tombstones == 0 && s->index.n_handovers == 0 &&
                     !s->index.node_name && !s->index.manifest_dir;
        _cleanup_free_ char *text = NULL;
        size_t len;

        if (empty && faccessat(s->state_fd, INDEX_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                return 0;
        text = index_text(&s->index, s->machine_id, &len);
        if (!text)
                return err_oom(err);
        return store_write_state(s, s->state_fd, INDEX_FILE, text, len, changed, err);
}

static int sync_state(const Store *s, Err *err) {
        int r = file_sync_dir(s->state_fd);

        return r < 0 ? err_errno(err, r, "cannot sync the state directory %s", s->state_dir) : 0;
}

static int refuse_read_only(const Store *s, Err *err) {
        return s->read_only ? err_set(err, -EROFS, "the store was opened for reading only") : 0;
}

int store_set_node_name(Store *s, const char *name, Err *err) {
        _cleanup_free_ char *copy = NULL;
        bool changed = false;
        int r = refuse_read_only(s, err);

        if (r < 0 || streq(s->index.node_name, name))
                return r;
        copy = strdup(name);
        if (!copy)
                return err_oom(err);
        free(s->index.node_name);
        s->index.node_name = TAKE_PTR(copy);
        r = store_save_index(s, &changed, err);
        return r == 0 && changed ? sync_state(s, err) : r;
}

int store_load_sources(Store *s, char **ret_bytes, size_t *ret_len, Err *err) {
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = read_state_file(s, SOURCES_FILE, &text, &len, err);

        if (r < 0)
                return r;
        /* Whether it is an object from its first to its last byte tells a cut file; the rest is its reader's. */
        if (text && (len < 2 || text[0] != '{' || text[len - 1] != '}')) {
                set_aside(s, SOURCES_FILE);
                free(TAKE_PTR(text));
                len = 0;
        }
        *ret_bytes = TAKE_PTR(text);
        *ret_len = len;
        return 0;
}

int store_save_sources(Store *s, const char *bytes, size_t len, Err *err) {
        bool changed = false;
        int r = refuse_read_only(s, err);

        if (r == 0)
                r = store_write_state(s, s->state_fd, SOURCES_FILE, bytes, len, &changed, err);
        return r == 0 && changed ? sync_state(s, err) : r;
}

const char *store_node_name(const Store *s) {
        return s->index.node_name;
}
