/* SPDX-License-Identifier: Apache-2.0 */
#include "app/files.h"
#include "app/cmd.h"
#include "io/file.h"
#include "io/source_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static int compare_entries(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_source_entry(const struct dirent *e) {
        return is_source_name(e->d_name);
}

static int read_one(const Options *options, const char *path, Objects *objects) {
        _cleanup_free_ char *text = NULL;
        Err err = { 0 };
        size_t len;
        int r;

        r = file_read(AT_FDCWD, path, JSON_SIZE_MAX, (FileTrust){ .follow = true }, &text, &len, &err);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return objects_add_unreadable(objects, path, err.message);
        return objects_read(objects, path, text, len, options->strict);
}

static int read_directory(const Options *options, const char *dir, Objects *objects) {
        struct dirent **names = NULL;
        int n = scandir(dir, &names, is_source_entry, compare_entries), r = 0;

        if (n < 0)
                return errno == ENOMEM ? -ENOMEM : objects_add_unreadable(objects, dir, strerror(errno));
        for (int i = 0; i < n; i++) {
                char path[PATH_MAX];

                if (r == 0 && (size_t)snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name) < sizeof(path))
                        r = read_one(options, path, objects);
                free(names[i]);
        }
        free(names);
        return r;
}

int files_read(const Options *options, char **names, size_t n, Objects *ret) {
        int r = 0;

        for (size_t i = 0; i < n && r == 0; i++) {
                struct stat st;

                if (!streq(names[i], "-") && stat(names[i], &st) == 0 && S_ISDIR(st.st_mode))
                        r = read_directory(options, names[i], ret);
                else
                        r = read_one(options, names[i], ret);
        }
        return r < 0 ? r : objects_finish(ret);
}

static void say_list(const Options *options, const char *file, const Diags *diags) {
        for (size_t i = 0; i < diags->n; i++) {
                const Diag *d = &diags->items[i];
                _cleanup_buf_ Buf text = BUF_INIT;

                diag_text(d, &text);
                if (d->level == DIAG_ERROR)
                        say_error("%s:%u:%u: %s", file, d->place.line, d->place.column, buf_text(&text));
                else
                        say_warning(options, "%s:%u:%u: %s", file, d->place.line, d->place.column, buf_text(&text));
        }
        if (diags->n_errors + diags->n_warnings > diags->n)
                say_warning(options, "%s: %zu more of the same kind", file,
                            diags->n_errors + diags->n_warnings - diags->n);
}

void files_say_diags(const Options *options, const Objects *objects) {
        for (size_t i = 0; i < objects->n_files; i++) {
                const ObjectFile *f = &objects->files[i];

                if (f->unreadable && f->place.line)
                        say_error("%s:%u:%u: %s", f->name, f->place.line, f->place.column, str_or_empty(f->error));
                else if (f->unreadable)
                        say_error("%s", str_or_empty(f->error));
                say_list(options, f->name, &f->diags);
                for (size_t k = 0; k < objects->n_objects; k++)
                        if (objects->objects[k].file == i)
                                say_list(options, f->name, &objects->objects[k].diags);
        }
}

/* "first error (and 2 more)" */
static char *errors_text(const char *file, const Diags *diags) {
        const Diag *d = diag_first_error(diags);
        _cleanup_buf_ Buf out = BUF_INIT;

        if (d) {
                buf_printf(&out, "%s:%u:%u: ", file, d->place.line, d->place.column);
                diag_text(d, &out);
        }
        if (diags->n_errors > 1)
                buf_printf(&out, " (and %zu more)", diags->n_errors - 1);
        return buf_take(&out, NULL);
}

char *file_error(const ObjectFile *f) {
        _cleanup_buf_ Buf out = BUF_INIT;

        if (!f->unreadable)
                return errors_text(f->name, &f->diags);
        if (f->place.line)
                buf_printf(&out, "%s:%u:%u: ", f->name, f->place.line, f->place.column);
        buf_str(&out, str_or_empty(f->error));
        return buf_take(&out, NULL);
}

char *object_error(const Objects *objects, const Object *o) {
        const ObjectFile *f = &objects->files[o->file];

        if (o->message)
                return strdup(o->message);
        /* Under --strict a warning that belongs to no object makes all of them invalid. */
        return errors_text(f->name, o->diags.n_errors > 0 ? &o->diags : &f->diags);
}

bool files_all_well(const Objects *objects) {
        for (size_t i = 0; i < objects->n_files; i++)
                if (!objects->files[i].complete)
                        return false;
        return true;
}
