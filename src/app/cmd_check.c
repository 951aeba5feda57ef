/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/files.h"
#include "app/output.h"
#include "app/setup.h"
#include "core/render.h"

#include <errno.h>
#include <stdio.h>

#define TABLES (FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE))
#define LINES (TABLES | FORMAT_BIT(FORMAT_TSV))

static const Column columns[] = {
        { "FILE", "file", LINES },     { "NAME", "namespace/name", LINES }, { "RESULT", "result", LINES },
        { "REASON", "reason", LINES }, { "MESSAGE", "message", LINES },
};

typedef struct CheckRow {
        const char *file, *namespace, *name, *result;
        Reason reason;
        const char *message;
} CheckRow;

static int add_row(cJSON *rows, const CheckRow *row) {
        cJSON *item = cJSON_CreateObject();

        if (!json_add_string(item, "file", row->file) || !json_add_string(item, "namespace", row->namespace) ||
            !json_add_string(item, "name", row->name) || !json_add_string(item, "result", row->result) ||
            !json_add_string(item, "reason", reason_name(row->reason)) ||
            !json_add_string(item, "message", str_or_empty(row->message))) {
                cJSON_Delete(item);
                return -ENOMEM;
        }
        return json_append(rows, item) ? 0 : -ENOMEM;
}

static int check_rendering(const Object *o, const RenderOptions *render_options, const Options *options,
                           const char *file, CheckRow *row, Rendered *rendered) {
        static const char *const results[] = {
                [RENDER_OK] = "ok",
                [RENDER_WAITING] = "waiting",
                [RENDER_REFUSED] = "refused",
        };
        int r = render(o, render_options, rendered);

        if (r < 0)
                return r;
        row->result = results[rendered->status];
        row->reason = rendered->reason;
        row->message = rendered->message;
        for (size_t i = 0; i < rendered->warnings.n; i++) {
                _cleanup_buf_ Buf text = BUF_INIT;

                diag_text(&rendered->warnings.items[i], &text);
                say_warning(options, "%s: %s/%s: %s", file, o->namespace, o->name, buf_text(&text));
        }
        return 0;
}

static int check_object(const Objects *objects, const Object *o, const RenderOptions *render_options,
                        const Options *options, cJSON *rows) {
        const char *file = objects->files[o->file].name;
        CheckRow row = { .file = file, .namespace = o->namespace, .name = o->name[0] ? o->name : "-" };
        _cleanup_(rendered_done) Rendered rendered = { 0 };
        _cleanup_free_ char *message = NULL;
        int r = 0;

        switch (o->reason) {
        case REASON_None:
                r = check_rendering(o, render_options, options, file, &row, &rendered);
                break;
        case REASON_DefinedTwice:
                row.result = "refused";
                row.reason = o->reason;
                row.message = o->message;
                break;
        default:
                row.result = "invalid";
                row.reason = o->reason;
                message = object_error(objects, o);
                if (!message)
                        return -ENOMEM;
                row.message = message;
                break;
        }
        return r < 0 ? r : add_row(rows, &row);
}

/* Rows in the order of the files, and in each file of its objects. */
static int check_all(const Objects *objects, const RenderOptions *render_options, const Options *options, cJSON *rows) {
        size_t k = 0;

        for (size_t i = 0; i < objects->n_files; i++) {
                const ObjectFile *f = &objects->files[i];
                bool broken = f->unreadable || f->diags.n_errors > 0;
                int r = 0;

                if (broken) {
                        _cleanup_free_ char *message = file_error(f);

                        r = message ? add_row(rows,
                                              &(CheckRow){ f->name, "", "-", "unreadable", REASON_Unreadable, message })
                                    : -ENOMEM;
                }
                for (; r == 0 && k < objects->n_objects && objects->objects[k].file == i; k++)
                        if (objects->objects[k].kind == OBJECT_DAEMONSET)
                                r = check_object(objects, &objects->objects[k], render_options, options, rows);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void say_skipped(const Objects *objects, const Options *options) {
        for (size_t i = 0; i < objects->n_skipped; i++) {
                const SkippedObject *s = &objects->skipped[i];

                say_note(options, "%s:%u:%u: skipped: %s %s", objects->files[s->file].name, s->place.line,
                         s->place.column, s->kind, s->name);
        }
}

static bool all_ok(const cJSON *rows) {
        for (const cJSON *row = rows->child; row; row = row->next)
                if (!streq(json_string(row, "result"), "ok"))
                        return false;
        return true;
}

int cmd_check(const Options *options) {
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_json_ cJSON *rows = cJSON_CreateArray();
        _cleanup_host_ Host host = { 0 };
        RenderOptions render_options;
        Err err = { 0 };
        int r;

        r = setup_host(options, &host, &err);
        if (r < 0)
                return fail(r, &err);
        /* Without a certain name the length of the pod's name cannot be judged; everything else can. */
        render_options = setup_render(&host, &objects);
        r = rows ? files_read(options, options->args, options->n_args, &objects) : -ENOMEM;
        if (r == 0) {
                files_say_diags(options, &objects);
                if (options->verbosity > 0)
                        say_skipped(&objects, options);
                r = check_all(&objects, &render_options, options, rows);
        }
        if (r == 0)
                r = output_rows(rows, columns, ARRAY_SIZE(columns), options->format, &err);
        if (r < 0)
                return fail(r, &err);
        return all_ok(rows) && files_all_well(&objects) ? 0 : EXIT_NOT_WELL;
}
