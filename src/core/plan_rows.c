/* SPDX-License-Identifier: Apache-2.0 */
/* What is reported for each DaemonSet. */
#include "core/plan_internal.h"

#include <errno.h>
#include <stdio.h>

static bool is_restored(const PlanItem *it) {
        return it->has_step && it->verb == STEP_RESTORE;
}

bool item_will_stand(const PlanItem *it) {
        if (is_restored(it) || item_writes_new(it))
                return true;
        return item_stands(it) &&
               !(it->has_step && (it->verb == STEP_REMOVE || it->verb == STEP_HAND_OVER || it->verb == STEP_WITHDRAW));
}

/* What the witness says of a standing manifest. It knows the pod of the last bytes; other bytes were written just now,
 * and where there is a witness at all, it has not seen their pod yet. */
static State standing_state(const PlanItem *it) {
        static const State states[] = {
                [WITNESS_UNKNOWN] = STATE_WRITTEN,
                [WITNESS_RUNNING] = STATE_RUNNING,
                [WITNESS_TERMINATING] = STATE_STARTING, /* it is there, but nothing of it runs yet */
                [WITNESS_GONE] = STATE_STARTING,
        };
        Witness witness = it->written ? it->written->witness : WITNESS_UNKNOWN;
        bool other = it->stands == STANDS_NEXT || it->stands == STANDS_GENUINE;

        if (item_writes_new(it) || (other && !is_restored(it)))
                return witness == WITNESS_UNKNOWN ? STATE_WRITTEN : STATE_STARTING;
        return states[witness];
}

/* Its manifest goes with this plan; the pod needs its time. */
static bool is_ended_now(const PlanItem *it) {
        return it->has_step && (it->verb == STEP_REMOVE || it->verb == STEP_FORGET) && it->written &&
               is_seen(it->written->witness);
}

static void fill_state(const PlanFacts *f, const PlanItem *it, PlanRow *row) {
        const PlanWanted *w = it->wanted;
        bool stands = item_will_stand(it) || it->stands == STANDS_UNREADABLE;

        row->reason = it->stale ? REASON_StaleRender : w ? w->reason : it->reason;
        if (it->override) {
                row->state = it->state;
                row->reason = it->reason;
        } else if (!w)
                row->state = stands ? standing_state(it) : STATE_NOT_HERE;
        else if (item_wish(it) == WISH_PRESENT || (w->wish == WISH_KEEP && w->state == STATE_NOT_HERE && stands))
                row->state = standing_state(it);
        else
                row->state = w->state;
        if (row->reason == REASON_Fits && it->handover == HANDOVER_WAITS)
                row->reason = REASON_HandingOver;
        if (row->state == STATE_NOT_HERE && !stands && (item_is_ending(f, it) || is_ended_now(it)))
                row->state = STATE_TERMINATING;
}

/* Bytes that state learns with this plan: nobody has looked for their pod yet. */
static bool is_learnt(const PlanItem *it) {
        return it->has_step && it->verb == STEP_RECORD && it->stands != STANDS_LAST;
}

/* A pod of theirs that no event tells of: it runs again under a status of before a reboot, or it dies while nobody can
 * be asked. */
static bool is_watched(const PlanFacts *f, const PlanItem *it) {
        if (it->handover == HANDOVER_AWAY)
                return f->server_away;
        return it->handover == HANDOVER_WAITS && it->wanted->theirs->pods_known && it->wanted->theirs->pod == POD_READY;
}

/* What the next look may find changed without an event that announces it. */
static void fill_memory(const PlanFacts *f, const PlanItem *it, PlanRow *row) {
        const PlanMemory *m = memory_of(f, it->file);

        row->delayed = it->delayed;
        row->wait = it->delayed ? it->wait : 0;
        if (row->state == STATE_HELD && it->pending)
                row->held_since = m && m->held_since ? m->held_since : f->now;
        row->damped = it->damped;
        row->absent_for = it->absent ? it->absent_for : -1;
        row->gone = it->gone;
        row->handover = it->handover;
        row->missing = it->missing;
        row->unplaced_anew = item_makes_room(f, it);
        row->unplaced = row->unplaced_anew || it->unplaced;
        row->ours_runs = it->ours_runs;
        row->theirs_run = it->theirs_run;
        row->theirs_pod = item_theirs_pod(it);
        row->alive = it->stands == STANDS_LAST && is_seen(it->written->witness);
        /* Where nothing stands an earlier pod is what holds it, and that one may end of itself. */
        row->unsettled = row->state == STATE_STARTING || row->state == STATE_TERMINATING ||
                         row->reason == REASON_WaitingForPort || row->missing || row->unplaced || it->yields ||
                         is_watched(f, it) || item_awaits_theirs(it) || is_learnt(it) ||
                         (it->pending && !item_will_stand(it));
        if (is_restored(it) || item_writes_new(it))
                row->written_at = f->now;
        else if (item_will_stand(it))
                row->written_at = it->entry->modified;
}

static void fill_step(const PlanItem *it, PlanRow *row) {
        row->effect = item_effect(it);
        row->has_step = it->has_step || it->quarantine || item_touched(it);
        if (it->has_step)
                row->verb = it->verb;
        else if (row->has_step)
                row->verb = it->quarantine ? STEP_QUARANTINE : STEP_TOUCH;
}

static const char *revision_after(const PlanItem *it) {
        if (is_restored(it))
                return str_or_empty(it->last->revision);
        if (item_writes_new(it))
                return it->wanted->rendered->revision;
        return item_will_stand(it) ? it->revision : "";
}

static void add_part(Buf *b, const char *text) {
        if (!*text)
                return;
        if (b->len)
                buf_str(b, "; ");
        buf_str(b, text);
}

static int fill_message(const PlanFacts *f, const PlanItem *it, PlanRow *row) {
        const PlanWanted *w = it->wanted;
        _cleanup_buf_ Buf message = BUF_INIT, words = BUF_INIT, theirs = BUF_INIT;
        bool kept = it->override || !w || w->wish == WISH_KEEP;

        if (w && w->wish != WISH_PRESENT)
                add_part(&message, str_or_empty(w->message));
        if (!w && row->reason == REASON_SourceIncomplete)
                add_part(&message, "its source was not read completely");
        if (!w && row->reason == REASON_OriginUnknown)
                add_part(&message, "where it came from is not known");
        add_part(&message, buf_text(&it->note));
        item_words(it, &words);
        add_part(&message, buf_text(&words));
        item_handover_words(f, it, &theirs);
        add_part(&message, buf_text(&theirs));
        if (kept && item_stands(it) && (!it->has_step || it->verb == STEP_RECORD))
                add_part(&message, "the manifest is kept");
        if (message.failed || words.failed || theirs.failed || it->note.failed)
                return -ENOMEM;
        row->message = buf_take(&message, NULL);
        return row->message ? 0 : -ENOMEM;
}

static void row_done(PlanRow *row) {
        free(row->namespace);
        free(row->name);
        free(row->message);
}

static int add_row(const PlanFacts *f, Plan *plan, const PlanItem *it) {
        PlanRow row = { .origin = it->wanted ? it->wanted->origin : it->written ? it->written->origin : NULL };

        fill_state(f, it, &row);
        fill_memory(f, it, &row);
        fill_step(it, &row);
        row.namespace = strdup(it->namespace);
        row.name = strdup(it->name);
        (void)snprintf(row.revision, sizeof(row.revision), "%s", revision_after(it));
        if (!row.namespace || !row.name || fill_message(f, it, &row) < 0 ||
            !ARRAY_GROW(plan->rows, plan->n_rows, plan->cap_rows)) {
                row_done(&row);
                return -ENOMEM;
        }
        plan->rows[plan->n_rows++] = row;
        return 0;
}

static int compare_others(const void *a, const void *b) {
        return item_compare_names(*(PlanItem *const *)a, *(PlanItem *const *)b);
}

/* Whether the file is a manifest of ours, or may be one. */
static bool is_ours(const PlanItem *it) {
        return it->written || item_stands(it) || it->stands == STANDS_UNREADABLE;
}

int planner_rows(Planner *p) {
        _cleanup_free_ PlanItem **others = calloc(p->n_items + 1, sizeof(PlanItem *));
        size_t n = 0;
        int r = 0;

        if (!others)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_items; i++)
                if (!p->items[i].wanted && !p->items[i].in_shadow && is_ours(&p->items[i]))
                        others[n++] = &p->items[i];
        qsort(others, n, sizeof(*others), compare_others);

        for (size_t i = 0; r >= 0 && i < p->facts->n_wanted; i++)
                if (p->by_wanted[i])
                        r = add_row(p->facts, &p->plan, p->by_wanted[i]);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = add_row(p->facts, &p->plan, others[i]);
        return r;
}
