/* SPDX-License-Identifier: Apache-2.0 */
#include "io/source_dir.h"

#include "base/utf8.h"
#include "io/file.h"
#include "io/names.h"
#include "io/source_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SOURCES_VERSION = 1, READ_TRIES = 3 };

/* ---- the directory ---- */

bool is_source_name(const char *name) {
        static const char *const suffixes[] = { ".yaml", ".yml", ".json" };
        size_t len = strlen(name);

        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
                size_t n = strlen(suffixes[i]);

                if (name[0] != '.' && len > n && streq(name + len - n, suffixes[i]))
                        return true;
        }
        return false;
}

static bool same_time(struct timespec a, struct timespec b) {
        return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_file(const struct stat *a, const struct stat *b) {
        return a->st_ino == b->st_ino && a->st_size == b->st_size && same_time(a->st_mtim, b->st_mtim) &&
               same_time(a->st_ctim, b->st_ctim);
}

/* -ENOENT: the file has gone since its name was read, or changed while it was read. */
static int read_file(int dir_fd, const char *name, bool strict, Objects *o) {
        _cleanup_free_ char *text = NULL;
        struct stat before, after;
        Err why = { 0 };
        size_t len;
        int r;

        if (fstatat(dir_fd, name, &before, AT_SYMLINK_NOFOLLOW) < 0)
                return -ENOENT;
        if (!utf8_valid(name, strlen(name)))
                return objects_add_unreadable(o, name, "the file's name is not UTF-8");
        r = file_read(dir_fd, name, JSON_SIZE_MAX, (FileTrust){ .check = true }, &text, &len, &why);
        if (r == 0 && (fstatat(dir_fd, name, &after, AT_SYMLINK_NOFOLLOW) < 0 || !same_file(&before, &after)))
                return -ENOENT;
        /* Who saves in place empties the file first. */
        if (r == 0 && len == 0)
                return objects_add_unreadable(
                        o, name, "the file is empty: somebody may be writing it; delete it if that is meant");
        if (r == 0)
                return objects_read(o, name, text, len, strict);
        if (r == -ENOMEM || r == -ENOENT)
                return r;
        return objects_add_unreadable(o, name, why.message);
}

/* What one reading of the directory found out about it. */
typedef struct Reading {
        bool changing; /* entries came or went meanwhile */
        ino_t inode;   /* 0: not opened */
} Reading;

/* Whether the path still names this directory, and no entry came or went meanwhile. */
static bool unchanged(int fd, const char *path, const struct stat *before) {
        struct stat after, named;

        return fstat(fd, &after) == 0 && stat(path, &named) == 0 && same_time(before->st_mtim, after.st_mtim) &&
               same_time(before->st_ctim, after.st_ctim) && named.st_dev == after.st_dev &&
               named.st_ino == after.st_ino;
}

static int read_files(int fd, const char *path, bool strict, Objects *o, Reading *ret, Err *why) {
        _cleanup_names_ Names names = { 0 };
        struct stat before;
        int r;

        if (fstat(fd, &before) < 0)
                return err_errno(why, -errno, "%s", path);
        r = file_check_trust(&before, path, why);
        if (r < 0)
                return r;
        r = names_read(fd, is_source_name, &names);
        if (r < 0)
                return err_errno(why, r, "%s", path);
        *ret = (Reading){ .inode = before.st_ino };
        for (size_t i = 0; i < names.n; i++) {
                r = read_file(fd, names.items[i], strict, o);
                if (r == -ENOENT) {
                        ret->changing = true;
                        r = objects_add_unreadable(o, names.items[i],
                                                   "the file went away or changed while it was read");
                }
                if (r < 0)
                        return r;
        }
        ret->changing |= !unchanged(fd, path, &before);
        return 0;
}

/* Reads everything once. A directory that cannot be read is a result. */
static int read_once(const char *path, bool strict, LocalSnapshot *s, Reading *ret) {
        /* A link in the last place is allowed, as for any directory above: what it leads to is checked. */
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
        Err why = { 0 };
        int r;

        *ret = (Reading){ 0 };
        if (fd >= 0)
                r = read_files(fd, path, strict, &s->objects, ret, &why);
        else
                r = err_errno(&why, fd, "%s", path);
        if (r == -ENOMEM)
                return r;
        s->read = r == 0;
        if (r == 0)
                return 0;
        objects_done(&s->objects);
        s->error = strdup(why.message);
        return s->error ? 0 : -ENOMEM;
}

static int read_directory(const char *path, bool strict, LocalSnapshot *s, ino_t *ret_inode) {
        Reading reading = { .changing = true };
        int r;

        for (int i = 0; i < READ_TRIES && reading.changing; i++) {
                local_snapshot_done(s);
                r = read_once(path, strict, s, &reading);
                if (r < 0)
                        return r;
        }
        r = objects_finish(&s->objects);
        if (r < 0)
                return r;
        *ret_inode = reading.inode;
        s->complete = s->read && !reading.changing;
        for (size_t i = 0; i < s->objects.n_files; i++)
                s->complete &= s->objects.files[i].complete;
        if (reading.changing) {
                s->error = strdup("the directory changed again and again while it was read");
                return s->error ? 0 : -ENOMEM;
        }
        return 0;
}

/* ---- the last good copy ---- */

/* We write the files sorted, and rely on it. */
static bool is_sorted(const cJSON *files) {
        for (const cJSON *file = files->child; file && file->next; file = file->next)
                if (strcmp(file->string, file->next->string) >= 0)
                        return false;
        return true;
}

/* {"directory":"<inode>","files":{"flannel.yaml":[<object>,...]},"version":1}; NULL where there is none that can be
 * used. */
static int parse_last_good(const char *text, size_t len, cJSON **ret) {
        _cleanup_json_ cJSON *root = NULL;
        const cJSON *files;
        int64_t version;
        Place place;
        int r;

        *ret = NULL;
        if (!text)
                return 0;
        r = json_parse(text, len, (Place){ 1, 1 }, NULL, NULL, &root, NULL, &place, NULL);
        if (r == -ENOMEM)
                return r;
        files = json_get(root, "files");
        if (r < 0 || !json_int(json_get(root, "version"), &version) || version != SOURCES_VERSION ||
            !cJSON_IsObject(files) || !is_sorted(files))
                return 0;
        *ret = TAKE_PTR(root);
        return 0;
}

static const ObjectFile *find_file(const Objects *o, const char *name, size_t *ret_index) {
        for (size_t i = 0; i < o->n_files; i++)
                if (streq(o->files[i].name, name)) {
                        *ret_index = i;
                        return &o->files[i];
                }
        return NULL;
}

/* Whether the last good object of a file is still believed. A file that was read completely has said all there is; one
 * that was not may still define what it does not show; of one that is gone only that is believed which did not turn up
 * elsewhere, since it may just have been renamed to one that cannot be read. */
static bool believed(const LocalSnapshot *s, const char *file, const cJSON *object) {
        size_t index = 0;
        const ObjectFile *f = find_file(&s->objects, file, &index);
        SourceKey key;

        if (s->complete || !source_key(object, &key))
                return false;
        if (f)
                return !f->complete && !objects_find_in(&s->objects, index, key.kind, key.namespace, key.name);
        return !objects_find(&s->objects, key.kind, key.namespace, key.name);
}

/* Leaves only what is believed in the tree. */
static void prune(const LocalSnapshot *s, cJSON *files) {
        for (cJSON *file = files->child, *next_file; file; file = next_file) {
                next_file = file->next;
                for (cJSON *object = file->child, *next; object; object = next) {
                        next = object->next;
                        if (!believed(s, file->string, object))
                                cJSON_Delete(cJSON_DetachItemViaPointer(file, object));
                }
                if (!file->child)
                        cJSON_Delete(cJSON_DetachItemViaPointer(files, file));
        }
}

/* ---- standing in ---- */

static int stand_in_file(LocalSnapshot *s, const cJSON *file) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Objects *o = &s->objects;
        size_t first = o->n_objects;
        int r = source_stand_in_text(s, file, &text);

        if (r <= 0)
                return r;
        /* These objects were good once: what is strict now is said of the file as it is now. */
        r = objects_read(o, file->string, text.data, text.len, false);
        if (r < 0)
                return r;
        o->files[o->n_files - 1].complete = false;
        /* What was to be said of them was said when they were good, and of places that are no more. */
        for (size_t i = first; i < o->n_objects; i++) {
                o->objects[i].place = (Place){ 0 };
                diags_done(&o->objects[i].diags);
        }
        return 0;
}

static int stand_in(LocalSnapshot *s, const cJSON *files) {
        size_t first = s->objects.n_objects;
        int r = 0;

        for (const cJSON *file = files ? files->child : NULL; file && r == 0; file = file->next)
                r = stand_in_file(s, file);
        /* Once more, for the lookups; nothing new can be defined twice. */
        if (r == 0 && s->objects.n_objects > first)
                r = objects_finish(&s->objects);
        if (r < 0)
                return r;
        s->stand_in = calloc(s->objects.n_objects + 1, sizeof(*s->stand_in));
        if (!s->stand_in)
                return -ENOMEM;
        s->n_stand_in = s->objects.n_objects - first;
        for (size_t i = first; i < s->objects.n_objects; i++)
                s->stand_in[i] = true;
        return 0;
}

/* ---- the new last good copy ---- */

static void add_key(Buf *text, const char *name, bool *first) {
        _cleanup_json_ cJSON *key = cJSON_CreateString(name);

        if (!*first)
                buf_char(text, ',');
        *first = false;
        if (key)
                json_canonical(key, text);
        else
                text->failed = true;
        buf_char(text, ':');
}

static bool repeated(const Objects *o, size_t i) {
        for (size_t j = o->objects[i].same_as; j < i; j++)
                if (o->objects[j].file == o->objects[i].file && o->objects[j].same_as == o->objects[i].same_as &&
                    o->objects[j].reason == REASON_None)
                        return true;
        return false;
}

/* Adds the usable objects of a file (NO_FILE: none) and what is believed of its last good ones. A file without any is
 * left out. */
static void add_file(const Objects *o, size_t file, const char *name, const cJSON *last, Buf *text, bool *first_file) {
        bool first = true;

        for (size_t i = 0; i < o->n_objects; i++) {
                if (o->objects[i].file != file || o->objects[i].reason != REASON_None || repeated(o, i))
                        continue;
                if (first)
                        add_key(text, name, first_file);
                buf_char(text, first ? '[' : ',');
                buf_add(text, o->objects[i].bytes, o->objects[i].len);
                first = false;
        }
        for (const cJSON *object = last ? last->child : NULL; object; object = object->next) {
                if (first)
                        add_key(text, name, first_file);
                buf_char(text, first ? '[' : ',');
                json_canonical(object, text);
                first = false;
        }
        if (!first)
                buf_char(text, ']');
}

/* Both lists of files are sorted by bytes. */
static int make_sources(const Objects *o, ino_t inode, const cJSON *files, Buf *text) {
        const cJSON *last = files ? files->child : NULL;
        bool first = true;

        /* The inode alone: the number of a device may be another one after a reboot. */
        buf_printf(text, "{\"directory\":\"%ju\",\"files\":{", (uintmax_t)inode);
        for (size_t i = 0; i < o->n_files || last;) {
                const char *name = i < o->n_files ? o->files[i].name : NULL;
                int order = !name ? 1 : !last ? -1 : strcmp(name, last->string);

                add_file(o, order <= 0 ? i : SIZE_MAX, order <= 0 ? name : last->string, order >= 0 ? last : NULL, text,
                         &first);
                i += order <= 0;
                if (order >= 0)
                        last = last->next;
        }
        buf_printf(text, "},\"version\":%d}", SOURCES_VERSION);
        return text->failed ? -ENOMEM : 0;
}

static int renew_sources(LocalSnapshot *s, ino_t inode, const cJSON *files, const char *last_good,
                         size_t last_good_len) {
        _cleanup_buf_ Buf text = BUF_INIT;
        int r = make_sources(&s->objects, inode, files, &text);

        if (r < 0)
                return r;
        if (last_good && text.len == last_good_len && memcmp(text.data, last_good, text.len) == 0)
                return 0;
        s->sources = buf_take(&text, &s->sources_len);
        return s->sources ? 0 : -ENOMEM;
}

/* ---- all of it ---- */

/* A directory that is not mounted, or was moved away, looks like an empty one. What was defined in another directory is
 * not removed because this one has nothing to say. */
static int refuse_replaced(const char *dir, ino_t inode, const cJSON *root, LocalSnapshot *s) {
        const char *last = json_string(root, "directory");
        const cJSON *files = json_get(root, "files");
        char now[32];

        (void)snprintf(now, sizeof(now), "%ju", (uintmax_t)inode);
        if (!last || streq(last, now) || !files || !files->child)
                return 0;
        s->read = s->complete = false;
        s->replaced = true;
        if (asprintf(&s->error, "%s: is another directory than the one last read, and defines nothing", dir) < 0) {
                s->error = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int read_all(const char *dir, bool strict, const char *last_good, size_t last_good_len, LocalSnapshot *s) {
        _cleanup_json_ cJSON *root = NULL;
        cJSON *files = NULL;
        ino_t inode = 0;
        int r = read_directory(dir, strict, s, &inode);

        /* A complete directory that defines something has said everything: what was good last is not even looked at. */
        if (r == 0 && (!s->complete || s->objects.n_objects == 0))
                r = parse_last_good(last_good, last_good_len, &root);
        if (r == 0 && s->complete && root)
                r = refuse_replaced(dir, inode, root, s);
        if (r < 0)
                return r;
        files = json_get_mutable(root, "files");
        if (files)
                prune(s, files);
        /* Before the stand-ins are among the objects. */
        if (s->read)
                r = renew_sources(s, inode, files, last_good, last_good_len);
        return r == 0 ? stand_in(s, files) : r;
}

int source_dir_read(const char *dir, bool strict, const char *last_good, size_t last_good_len, LocalSnapshot *ret) {
        LocalSnapshot s = { 0 };
        int r = read_all(dir, strict, last_good, last_good_len, &s);

        if (r < 0) {
                local_snapshot_done(&s);
                return r;
        }
        *ret = s;
        return 0;
}

void local_snapshot_done(LocalSnapshot *s) {
        objects_done(&s->objects);
        free(s->error);
        free(s->stand_in);
        free(s->sources);
        *s = (LocalSnapshot){ 0 };
}
