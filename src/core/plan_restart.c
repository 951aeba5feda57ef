/* SPDX-License-Identifier: Apache-2.0 */
/* Pods that a kubelet refused, pods that are to be restarted, and manifests that must not come back before their pod is
 * gone: a kubelet that still ends a pod starts its successor of the same uid late or never. */
#include "core/plan_internal.h"

#include <errno.h>

enum { TERMINATION_SLACK = 20 }; /* seconds after the grace period by which a kubelet has cleaned up */

int64_t plan_retry_after(unsigned retries) {
        int64_t after = PLAN_ABSENT;

        while (retries-- > 0 && after < PLAN_RETRY_MAX)
                after *= 2;
        return after < PLAN_RETRY_MAX ? after : PLAN_RETRY_MAX;
}

bool tombstone_is_over(const PlanFacts *f, const PlanTombstone *t) {
        if (t->witness == WITNESS_UNKNOWN)
                return f->now - t->removed_at >= t->grace + TERMINATION_SLACK;
        return t->witness == WITNESS_GONE;
}

bool is_seen(Witness witness) {
        return witness == WITNESS_RUNNING || witness == WITNESS_TERMINATING;
}

static bool is_of(const PlanTombstone *t, const PlanItem *it) {
        return streq(t->namespace, it->namespace) && streq(t->name, it->name);
}

bool item_is_ending(const PlanFacts *f, const PlanItem *it) {
        for (size_t i = 0; i < f->n_tombstones; i++)
                if (is_seen(f->tombstones[i].witness) && is_of(&f->tombstones[i], it))
                        return true;
        return false;
}

/* A directory alone may stay for ever: a kubelet that has not seen its API server cleans nothing up. */
static bool may_end_soon(const PlanFacts *f, const PlanTombstone *t) {
        return t->witness == WITNESS_RUNNING ||
               (t->witness == WITNESS_TERMINATING && f->now - t->removed_at < t->grace + TERMINATION_SLACK);
}

bool item_is_ending_soon(const PlanFacts *f, const PlanItem *it) {
        for (size_t i = 0; i < f->n_tombstones; i++)
                if (is_of(&f->tombstones[i], it) && may_end_soon(f, &f->tombstones[i]))
                        return true;
        return false;
}

bool item_still_runs(const PlanFacts *f, const PlanItem *it) {
        for (size_t i = 0; i < f->n_tombstones; i++)
                if (f->tombstones[i].witness == WITNESS_RUNNING && is_of(&f->tombstones[i], it))
                        return true;
        return false;
}

bool item_is_withdrawn(const PlanFacts *f, const PlanItem *it) {
        for (size_t i = 0; i < f->n_tombstones; i++)
                if (it->last && is_of(&f->tombstones[i], it) && streq(f->tombstones[i].uid, it->last->uid))
                        return true;
        return false;
}

/* ---- before a manifest comes back ---- */

/* The uid of the pod that the item's step would start again where none stands; NULL if it does no such thing. */
static const char *returning_uid(const PlanItem *it) {
        if (!it->has_step || (it->stands != STANDS_NOTHING && it->stands != STANDS_DAMAGED))
                return NULL;
        if (it->verb == STEP_RESTORE)
                return it->last->uid;
        return item_writes_new(it) ? it->wanted->rendered->uid : NULL;
}

static bool must_wait(const PlanFacts *f, PlanItem *it, const PlanTombstone *t) {
        const PlanMemory *m = memory_of(f, it->file);

        if (is_seen(t->witness))
                return may_end_soon(f, t);
        /* What was removed and is wanted again is not kept away by guesses; a restart can wait. Neither must a clock
         * that went back keep a pod away. */
        if (it->verb != STEP_RESTORE || f->now < t->removed_at)
                return false;
        if (t->witness == WITNESS_UNKNOWN)
                return !tombstone_is_over(f, t);
        if (f->memory)
                it->gone = !m || m->gone_for < PLAN_GONE;
        else
                it->gone = f->now - t->removed_at < PLAN_GONE / 1000;
        return it->gone;
}

static void wait_for_end(const PlanFacts *f, PlanItem *it) {
        const char *uid = returning_uid(it);

        for (size_t i = 0; uid && i < f->n_tombstones; i++) {
                const PlanTombstone *t = &f->tombstones[i];

                if (!is_of(t, it) || !streq(t->uid, uid))
                        continue;
                if (it->verb == STEP_RESTORE)
                        it->again = true;
                if (!must_wait(f, it, t))
                        return;
                it->has_step = false;
                it->quarantine |= it->stands == STANDS_DAMAGED;
                item_report(it, is_seen(t->witness) ? STATE_TERMINATING : STATE_STARTING, REASON_Restarting);
                buf_str(item_note(it), "it is written again when its pod is gone");
                return;
        }
}

/* ---- restarts ---- */

/* What stands is as it was written, and stays. */
static bool is_calm(const PlanItem *it) {
        return it->stands == STANDS_LAST && !it->foreign && !it->quarantine && !it->delayed && !it->damped &&
               (!it->has_step || it->verb == STEP_RECORD);
}

static void withdraw(PlanItem *it) {
        it->has_step = true;
        it->verb = STEP_WITHDRAW;
}

static void restart(const Planner *p, PlanItem *it) {
        if (item_is_held(p, it)) {
                item_report(it, STATE_HELD, p->facts->hold == HOLD_ALWAYS ? REASON_HoldAlways : REASON_ApiNotSynced);
                it->pending = true;
                buf_str(item_note(it), "it cannot be restarted now: what is withdrawn would not be stopped");
        } else if (p->facts->kubelet_up_for < 0)
                buf_str(item_note(it), "it cannot be restarted while no kubelet runs here");
        else {
                withdraw(it);
                item_report(it, STATE_TERMINATING, REASON_Restarting);
        }
}

/* The kubelet should run a pod of what stands, and there is none. An older pod of the same name keeps a new one
 * waiting. */
static bool is_absent(const PlanFacts *f, const PlanItem *it) {
        if (item_wish(it) != WISH_PRESENT || it->override || it->written->witness != WITNESS_GONE ||
            f->kubelet_up_for < 0)
                return false;
        for (size_t i = 0; i < f->n_tombstones; i++)
                if (is_of(&f->tombstones[i], it) && !tombstone_is_over(f, &f->tombstones[i]))
                        return false;
        return true;
}

static void try_absent(const PlanFacts *f, PlanItem *it) {
        const PlanMemory *m = memory_of(f, it->file);

        it->absent = is_absent(f, it);
        if (!it->absent || !m)
                return;
        /* Another kubelet process looks at everything anew. */
        it->absent_for = m->absent_for < f->kubelet_up_for ? m->absent_for : f->kubelet_up_for;
        if (it->absent_for < PLAN_ABSENT && m->retries == 0)
                return;
        item_report(it, STATE_NOT_STARTED, REASON_NotStarted);
        buf_str(item_note(it), "the kubelet runs no pod of it; it is written again now and then");
        if (it->absent_for >= plan_retry_after(m->retries))
                withdraw(it);
}

int planner_restarts(Planner *p) {
        for (size_t i = 0; i < p->n_items; i++) {
                PlanItem *it = &p->items[i];
                const PlanMemory *m = memory_of(p->facts, it->file);

                wait_for_end(p->facts, it);
                if (is_calm(it) && m && m->restart)
                        restart(p, it);
                else if (is_calm(it))
                        try_absent(p->facts, it);
                if (it->note.failed)
                        return -ENOMEM;
        }
        return 0;
}
