/* SPDX-License-Identifier: Apache-2.0 */
#include "app/files.h"
#include "app/reconcile_internal.h"

#include <errno.h>

/* Its file does not show it now, but was not read completely: calm rows say so. */
static int note_stand_in(PlanRow *row) {
        if (row->reason != REASON_Fits || *row->message)
                return 0;
        free(row->message);
        row->message = strdup("its source was not read completely; the last good version counts");
        row->reason = REASON_SourceIncomplete;
        return row->message ? 0 : -ENOMEM;
}

/* The same of an object that it uses. */
static int note_used_stand_ins(const Reconcile *r, const WantedItem *item, PlanRow *row) {
        const Objects *objects = &r->local.objects;

        for (size_t i = 0; i < item->rendered.n_uses && row->reason == REASON_Fits; i++) {
                const RenderedUse *use = &item->rendered.uses[i];
                const Object *o = objects_find(objects, use->kind, row->namespace, use->name);
                _cleanup_buf_ Buf text = BUF_INIT;

                if (!o || !r->local.stand_in || o < objects->objects || o >= objects->objects + objects->n_objects ||
                    !r->local.stand_in[o - objects->objects])
                        continue;
                buf_printf(&text, "%s%s%s %s was not read completely; its last good version counts", row->message,
                           *row->message ? "; " : "", object_kind_name(use->kind), use->name);
                free(row->message);
                row->message = buf_take(&text, NULL);
                row->reason = REASON_SourceIncomplete;
                if (!row->message)
                        return -ENOMEM;
        }
        return 0;
}

/* What the server last said counts: calm rows say that it is not known to say so now. */
static int note_stale_source(const Reconcile *r, const WantedItem *item, PlanRow *row) {
        if (!item->from_api || !r->api_stale || row->reason != REASON_Fits || *row->message)
                return 0;
        free(row->message);
        row->message = strdup(r->api_suspect ? "the API server's list lacks what it had; nothing is removed for now"
                                             : "the API server cannot be asked; what it last said counts");
        row->reason = r->api_suspect ? REASON_SuspectList : REASON_Stale;
        return row->message ? 0 : -ENOMEM;
}

/* An invalid file whose last good version still runs: the row tells what is wrong, not that all is well. */
int reconcile_note_rows(Reconcile *r) {
        for (size_t i = 0; i < r->wanted.n && i < r->plan.n_rows; i++) {
                WantedItem *item = &r->wanted.items[i];
                PlanRow *row = &r->plan.rows[i];
                const Object *twin;
                _cleanup_buf_ Buf message = BUF_INIT;
                _cleanup_free_ char *why = NULL;

                item->away = row->handover == HANDOVER_AWAY || row->handover == HANDOVER_STOPPED;
                if (item->stand_in && !item->invalid_twin && note_stand_in(row) < 0)
                        return -ENOMEM;
                if (note_stale_source(r, item, row) < 0)
                        return -ENOMEM;
                if (!item->invalid_twin && note_used_stand_ins(r, item, row) < 0)
                        return -ENOMEM;
                if (!item->invalid_twin)
                        continue;
                twin = &r->local.objects.objects[item->twin];
                why = object_error(&r->local.objects, twin);
                buf_printf(&message, "%s; the last good version is kept", str_or_empty(why));
                free(row->message);
                row->message = buf_take(&message, NULL);
                if (!why || !row->message)
                        return -ENOMEM;
                row->state = twin->reason == REASON_DefinedTwice ? STATE_REFUSED : STATE_INVALID;
                row->reason = twin->reason;
        }
        return 0;
}
