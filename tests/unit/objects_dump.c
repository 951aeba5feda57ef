/* SPDX-License-Identifier: Apache-2.0 */
#include "objects_dump.h"

static void dump_diags(const Diags *diags, Buf *out) {
        for (size_t i = 0; i < diags->n; i++) {
                const Diag *d = &diags->items[i];

                buf_printf(out, "  %u:%u %s ", d->place.line, d->place.column,
                           d->level == DIAG_ERROR ? "error" : "warning");
                diag_text(d, out);
                buf_char(out, '\n');
        }
}

static void dump_object(const Objects *o, size_t i, Buf *out) {
        static const char *const kinds[] = { "DaemonSet", "ConfigMap", "Secret" };
        const Object *object = &o->objects[i];

        buf_printf(out, "%s %s/%s %s", kinds[object->kind], object->namespace, object->name,
                   object->reason == REASON_None ? "ok" : reason_name(object->reason));
        if (object->same_as != i)
                buf_printf(out, " same as %u:%u", o->objects[object->same_as].place.line,
                           o->objects[object->same_as].place.column);
        if (object->message)
                buf_printf(out, ": %s", object->message);
        buf_char(out, '\n');
        dump_diags(&object->diags, out);
}

void objects_dump(const Objects *o, Buf *out) {
        for (size_t f = 0; f < o->n_files; f++) {
                const ObjectFile *file = &o->files[f];

                buf_printf(out, "file %s\n",
                           file->unreadable ? "unreadable"
                           : file->complete ? "complete"
                                            : "incomplete");
                if (file->error)
                        buf_printf(out, "  %u:%u %s\n", file->place.line, file->place.column, file->error);
                dump_diags(&file->diags, out);
        }
        for (size_t i = 0; i < o->n_objects; i++)
                dump_object(o, i, out);
        for (size_t i = 0; i < o->n_skipped; i++)
                buf_printf(out, "skipped %s %s %u:%u\n", o->skipped[i].kind, o->skipped[i].name,
                           o->skipped[i].place.line, o->skipped[i].place.column);
}
