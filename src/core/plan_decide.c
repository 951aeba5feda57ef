/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of each manifest: kept, recorded, restored, replaced, created, removed or forgotten. Host ports are
 * looked at afterwards. */
#include "core/plan_internal.h"

#include <errno.h>

enum { MASS_REMOVAL_MIN = 3 };

/* ---- hold ---- */

/* State's witness is of the pod with the last bytes. Of a write that was interrupted it has not seen the pod. */
static Witness witness_of(const PlanItem *it) {
        return item_has_last(it) && it->stands != STANDS_NEXT ? it->written->witness : WITNESS_UNKNOWN;
}

static bool is_now_target(const PlanFacts *f, const PlanItem *it) {
        size_t n = strlen(it->namespace);

        for (size_t i = 0; i < f->n_now_targets; i++) {
                const char *t = f->now_targets[i];

                if (streq(t, "*") || (strncmp(t, it->namespace, n) == 0 && t[n] == '/' && streq(t + n + 1, it->name)))
                        return true;
        }
        return false;
}

static bool holds(const PlanFacts *f) {
        return f->hold == HOLD_ALWAYS || (f->hold == HOLD_UNTIL_SYNCED && !f->kubelet_synced);
}

bool item_is_held(const Planner *p, const PlanItem *it) {
        const PlanFacts *f = p->facts;

        if (!holds(f) || (!item_stands(it) && !item_has_last(it)))
                return false;
        return witness_of(it) != WITNESS_GONE && !is_now_target(f, it);
}

/* New bytes must wait as well while an earlier pod of the name runs: such a kubelet does not stop it, and has forgotten
 * it if it was restarted. */
static bool must_wait(const Planner *p, const PlanItem *it) {
        return item_is_held(p, it) ||
               (holds(p->facts) && item_still_runs(p->facts, it) && !is_now_target(p->facts, it));
}

/* ---- what a running agent remembers ---- */

static int64_t missing(int64_t stood, int64_t delay) {
        if (delay == INT64_MAX)
                return delay;
        return stood < delay ? delay - (stood < 0 ? 0 : stood) : 0;
}

/* For how long the removal has to wait. Editors, git and rsync delete what they are about to write again; labels and
 * taints come and go while a node registers. A single pass does what it is told, and so does
 * an agent that is told to do it now: when it had waited, it would be held again. */
static int64_t removal_wait(const PlanFacts *f, const PlanItem *it) {
        const PlanMemory *m = memory_of(f, it->file);
        int64_t stood = m ? m->unwanted_for : -1, wait = missing(stood, f->removal_delay), more;

        if (is_now_target(f, it))
                return 0;
        if (it->wanted && it->wanted->by_live_node) {
                more = missing(stood, f->settle);
                wait = more > wait ? more : wait;
                more = missing(f->node_for, f->settle);
                wait = more > wait ? more : wait;
        }
        return wait;
}

/* ---- single decisions ---- */

static void set_step(PlanItem *it, StepVerb verb) {
        it->has_step = true;
        it->verb = verb;
}

Buf *item_note(PlanItem *it) {
        if (it->note.len)
                buf_str(&it->note, "; ");
        return &it->note;
}

void item_report(PlanItem *it, State state, Reason reason) {
        it->override = true;
        it->state = state;
        it->reason = reason;
}

/* What stands is kept: state has to learn of it if it does not know these bytes or this origin. Somebody's edit is
 * never learnt. */
static void keep(PlanItem *it) {
        const PlanWritten *w = it->written;
        bool unknown = it->stands == STANDS_NEXT || it->stands == STANDS_GENUINE;
        bool moved = w && it->wanted && !streq(it->wanted->origin, w->origin);

        if (unknown || (moved && it->stands == STANDS_LAST))
                set_step(it, STEP_RECORD);
}

/* Nothing is changed: damage and edits go back to the last bytes. Damage for which there are none is moved away. */
static void stay(PlanItem *it) {
        if (it->stands == STANDS_UNREADABLE || it->foreign)
                return;
        if (item_has_last(it) && !item_intact(it))
                set_step(it, STEP_RESTORE);
        else if (it->stands == STANDS_DAMAGED)
                it->quarantine = true;
        else
                keep(it);
}

void item_stay_as(PlanItem *it, State state, Reason reason) {
        if (item_writes_new(it)) {
                it->has_step = false;
                stay(it);
        }
        item_report(it, state, reason);
}

const char *item_staying(const PlanItem *it, size_t *ret_len) {
        bool last = item_has_last(it) && !item_intact(it);

        if (last || (it->stands == STANDS_UNREADABLE && item_has_last(it))) {
                *ret_len = it->written->len;
                return it->written->bytes;
        }
        if (!item_stands(it))
                return NULL;
        *ret_len = it->entry->len;
        return it->entry->bytes;
}

static void hold(const Planner *p, PlanItem *it) {
        stay(it);
        it->pending = true;
        item_report(it, STATE_HELD, p->facts->hold == HOLD_ALWAYS ? REASON_HoldAlways : REASON_ApiNotSynced);
}

/* ---- wanted ---- */

/* The rendered bytes are to stand. */
static void change(const Planner *p, PlanItem *it) {
        const PlanMemory *m = memory_of(p->facts, it->file);

        if (it->wanted->only_new && (item_stands(it) || item_has_last(it)))
                stay(it);
        else if (must_wait(p, it)) {
                buf_printf(item_note(it), "new revision %s is pending", it->wanted->rendered->revision);
                hold(p, it);
        } else if (it->wanted->on_delete && it->stands != STANDS_NOTHING && !p->facts->rerender &&
                   !is_now_target(p->facts, it) && !(m && m->restart)) {
                buf_printf(item_note(it), "new revision %s is pending until the manifest is removed",
                           it->wanted->rendered->revision);
                stay(it);
                item_report(it, STATE_HELD, REASON_OnDelete);
        } else
                set_step(it, it->stands == STANDS_NOTHING ? STEP_CREATE : STEP_REPLACE);
}

/* It stays although the present renderer writes something else. */
static void note_stale(PlanItem *it, const char *revision) {
        const Rendered *r = it->wanted->rendered;

        if (streq(revision, r->revision))
                return;
        it->stale = true;
        buf_printf(item_note(it), "another version of the renderer wrote it; `sync --rerender` adopts revision %s",
                   r->revision);
}

/* What stands is of the wanted input, so it is kept, whatever the present renderer would write, unless asked for. */
static void keep_current(const Planner *p, PlanItem *it) {
        const Rendered *r = it->wanted->rendered;

        if (p->facts->rerender && !bytes_equal(it->entry->bytes, it->entry->len, r->bytes, r->len)) {
                it->rerender = true;
                change(p, it);
                return;
        }
        keep(it);
        note_stale(it, it->revision);
}

static void decide_present(const Planner *p, PlanItem *it) {
        const Rendered *rendered = it->wanted->rendered;
        bool current = item_stands(it) && it->stands != STANDS_EDITED && streq(it->input, rendered->input);
        bool drift = !item_intact(it) && it->last && streq(it->last->input, rendered->input);

        if (it->stands == STANDS_UNREADABLE)
                return;
        if (!drift) {
                if (current)
                        keep_current(p, it);
                else
                        change(p, it);
        } else if (!p->facts->rerender ||
                   bytes_equal(it->written->bytes, it->written->len, rendered->bytes, rendered->len)) {
                stay(it);
                note_stale(it, str_or_empty(it->last->revision));
        } else if (current)
                keep_current(p, it);
        else {
                it->rerender = true;
                change(p, it);
        }
}

/* ---- not wanted ---- */

static void remove_it(const Planner *p, PlanItem *it) {
        if (it->stands == STANDS_UNREADABLE)
                return;
        if (item_is_held(p, it)) {
                buf_str(item_note(it), "removal is pending");
                hold(p, it);
                return;
        }
        it->wait = item_stands(it) || it->last ? removal_wait(p->facts, it) : 0;
        if (it->wait > 0) {
                stay(it);
                /* A stray pod of another DaemonSet of ours is not in its place here. */
                it->quarantine |= it->foreign && it->misplaced;
                it->delayed = true;
                item_report(it, STATE_HELD,
                            it->wanted && it->wanted->by_live_node ? REASON_NodeSettling : REASON_RemovalDelay);
                buf_str(item_note(it), "it is removed soon, unless it comes back");
                return;
        }
        it->quarantine = it->stands == STANDS_DAMAGED;
        if (item_stands(it))
                set_step(it, STEP_REMOVE);
        else if (it->written)
                set_step(it, STEP_FORGET);
}

/* ---- the DaemonSet controller's ---- */

static void leave(const Planner *p, PlanItem *it) {
        bool stopped = it->handover == HANDOVER_STOPPED, back = streq(it->wanted->origin, ORIGIN_API);

        if (item_is_held(p, it)) {
                buf_str(item_note(it), "the hand-over is pending");
                hold(p, it);
                return;
        }
        it->quarantine = it->stands == STANDS_DAMAGED;
        if (item_stands(it))
                set_step(it, stopped ? STEP_REMOVE : STEP_HAND_OVER);
        else if (it->written)
                set_step(it, STEP_FORGET);
        item_report(it, STATE_HANDED_OVER,
                    stopped ? REASON_DeletedInApi
                    : back  ? REASON_HandedBack
                            : REASON_HandedOver);
}

/* Nothing of ours stands. */
static void await_theirs(PlanItem *it) {
        it->quarantine = it->stands == STANDS_DAMAGED;
        item_report(it, STATE_WAITING,
                    it->handover == HANDOVER_ENDING ? REASON_ControllerEnding : REASON_ControllerAwaited);
}

/* ---- not defined ---- */

static bool file_is_complete(const PlanFacts *f, const char *file) {
        for (size_t i = 0; i < f->n_complete_files; i++)
                if (streq(f->complete_files[i], file))
                        return true;
        return false;
}

/* NotDefined if it may go: the source that defined it was read completely and lacks it. Else why it has to stay. */
static Reason undefined_reason(const PlanFacts *f, const PlanItem *it) {
        const char *origin = it->written ? it->written->origin : NULL;

        if (origin && startswith(origin, ORIGIN_FILE)) {
                if (f->local_complete || (f->local_read && file_is_complete(f, origin + strlen(ORIGIN_FILE))))
                        return REASON_NotDefined;
                return REASON_SourceIncomplete;
        }
        if (streq(origin, ORIGIN_API))
                return f->api_synced ? REASON_NotDefined : REASON_SourceIncomplete;
        return f->all_synced ? REASON_NotDefined : REASON_OriginUnknown;
}

static void decide_undefined(const Planner *p, PlanItem *it) {
        Reason reason = undefined_reason(p->facts, it);

        it->reason = reason;
        if (reason == REASON_NotDefined && !p->mass_removal) {
                remove_it(p, it);
                return;
        }
        stay(it);
        if (reason == REASON_NotDefined && it->namespace && it->stands != STANDS_UNREADABLE) {
                item_report(it, STATE_HELD, REASON_MassRemoval);
                buf_str(item_note(it), "every manifest would be removed; `sync --confirm` does it");
        }
}

/* Whether a source became empty: several manifests would go, nothing would stay, and nothing at all is defined. */
static bool is_mass_removal(const Planner *p) {
        size_t n = 0;

        if (p->facts->n_wanted > 0 || p->facts->confirm)
                return false;
        for (size_t i = 0; i < p->n_items; i++) {
                const PlanItem *it = &p->items[i];
                bool stands = item_stands(it) ||
                              (it->last && (it->stands == STANDS_DAMAGED || item_is_withdrawn(p->facts, it)));

                if (it->foreign || it->stands == STANDS_UNREADABLE)
                        continue;
                if (undefined_reason(p->facts, it) == REASON_NotDefined)
                        n += stands;
                else if (stands || it->last) /* it stays, or is restored */
                        return false;
        }
        return n >= MASS_REMOVAL_MIN;
}

/* ---- all ---- */

/* Another file defines a pod of this name: whatever is written or removed would stop or double it. State forgets ours
 * where it neither stands nor is wanted. */
static void decide_conflict(const Planner *p, PlanItem *it, PlanWish wish) {
        bool gone = !item_stands(it) && it->stands != STANDS_UNREADABLE && wish == WISH_ABSENT;
        bool removable = gone && (it->wanted || undefined_reason(p->facts, it) == REASON_NotDefined);

        if (removable && !item_is_held(p, it)) {
                it->reason = REASON_NotDefined;
                if (it->stands != STANDS_FOREIGN)
                        remove_it(p, it);
                else if (it->written)
                        set_step(it, STEP_FORGET);
                return;
        }
        /* A stray pod of another DaemonSet of ours is never in its place here. */
        it->quarantine = it->misplaced;
        item_report(it, STATE_CONFLICT, REASON_ForeignPod);
        buf_printf(item_note(it), "%s defines a pod of this name and is not ours", it->foreign);
}

/* Who fights with us would win by wearing out the disk and the kubelet. */
static void damp(const Planner *p, PlanItem *it) {
        const PlanMemory *m = memory_of(p->facts, it->file);

        bool restored = it->has_step && it->verb == STEP_RESTORE && !item_is_withdrawn(p->facts, it);
        bool repair = restored || it->quarantine;

        if (!m || !m->damped || !(repair || it->fought || item_touched(it)))
                return;
        if (repair)
                it->has_step = it->quarantine = false;
        it->damped = true;
        item_report(it, STATE_HELD, REASON_Fight);
        buf_str(item_note(it), "something changes the manifest again and again; it is repaired once in 10 s");
}

PlanWish item_wish(const PlanItem *it) {
        const PlanWanted *w = it->wanted;

        if (!w || item_is_away(it))
                return WISH_ABSENT;
        if (item_awaits_theirs(it))
                return WISH_KEEP;
        /* Nothing can be written without bytes or a valid file name. */
        if (w->wish == WISH_PRESENT && (!w->rendered || !w->rendered->bytes || !manifest_name_is_ours(it->file)))
                return WISH_KEEP;
        return w->wish;
}

int planner_decide(Planner *p) {
        p->mass_removal = is_mass_removal(p);
        for (size_t i = 0; i < p->n_items; i++) {
                PlanItem *it = &p->items[i];
                PlanWish wish = item_wish(it);

                if (it->stands == STANDS_UNREADABLE)
                        buf_str(item_note(it), "the manifest cannot be read: nothing is done to it");
                if (it->foreign)
                        decide_conflict(p, it, wish);
                else if (!it->wanted)
                        decide_undefined(p, it);
                else if (item_is_away(it))
                        leave(p, it);
                else if (item_awaits_theirs(it))
                        await_theirs(it);
                else if (wish == WISH_PRESENT)
                        decide_present(p, it);
                else if (wish == WISH_KEEP)
                        stay(it);
                else
                        remove_it(p, it);
                damp(p, it);
                if (it->note.failed)
                        return -ENOMEM;
        }
        return 0;
}
