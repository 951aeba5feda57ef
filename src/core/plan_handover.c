/* SPDX-License-Identifier: Apache-2.0 */
/* The DaemonSet controller's part: core/handover.h decides who runs a DaemonSet, here its facts are gathered, and what
 * came of it is put into words and remembered. */
#include "core/plan_internal.h"

#include <errno.h>

#define CONTROLLER "the DaemonSet controller"

int plan_compare_handovers(const void *a, const void *b) {
        const PlanHandover *x = a, *y = b;
        int c = strcmp(x->namespace, y->namespace);

        return c ? c : strcmp(x->name, y->name);
}

const PlanHandover *plan_find_handover(const PlanHandover *set, size_t n, const char *namespace, const char *name) {
        const PlanHandover key = { .namespace = namespace, .name = name };

        return n ? bsearch(&key, set, n, sizeof(key), plan_compare_handovers) : NULL;
}

static bool is_of_this_boot(const PlanFacts *f, const PlanHandover *h) {
        return h && f->boot && streq(h->boot, f->boot);
}

/* Of the pod that is there, else of the last one. */
static Witness witness_of_theirs(const PlanItem *it) {
        const PlanTheirs *t = it->wanted->theirs;

        if (t->pods_known && t->pod != POD_NONE)
                return t->witness;
        return it->record && *it->record->uid ? it->record->witness : WITNESS_UNKNOWN;
}

/* Those that are wanted, and those of what stands: that is not parsed where it is known to be the same. */
static int look_for_host_ports(PlanItem *it) {
        const Rendered *rendered = it->wanted->wish == WISH_PRESENT ? it->wanted->rendered : NULL;
        const char *input = it->last && !item_intact(it) ? it->last->input : it->input;
        int r;

        it->host_ports = rendered && rendered->n_ports > 0;
        if (it->host_ports || (rendered && streq(input, rendered->input)))
                return 0;
        r = item_read_lingering(it);
        it->host_ports = r >= 0 && it->lingers->n_ports > 0;
        return r;
}

static int64_t missing_for(const PlanFacts *f, const PlanItem *it) {
        const PlanMemory *m = memory_of(f, it->file);

        return m ? m->missing_for : 0;
}

/* A directory alone may be left from an earlier boot: it keeps nothing away. */
static bool is_theirs_seen(const PlanFacts *f, const PlanItem *it, Witness witness) {
        return witness == WITNESS_RUNNING || (witness == WITNESS_TERMINATING && is_of_this_boot(f, it->record));
}

static bool runs_ours(const PlanItem *it) {
        return it->written && is_seen(it->written->witness);
}

/* While something of ours is there, and has the ports, the kubelet refuses theirs. */
static bool is_ours_seen(const PlanFacts *f, const PlanItem *it) {
        return runs_ours(it) || item_is_ending_soon(f, it);
}

/* Since this boot; or theirs has processes, so it was started in this boot, and nothing of ours is there. What runs was
 * not given: that was interrupted, or taken back. */
static bool is_away(const PlanFacts *f, const PlanItem *it) {
        const PlanHandover *h = it->record;

        if (!h || (h->stopped && f->stop_if_deleted) || runs_ours(it))
                return false;
        return (is_of_this_boot(f, h) && !h->stopped) ||
               (h->witness == WITNESS_RUNNING && !item_stands(it) && !item_has_last(it) && !item_still_runs(f, it));
}

static int64_t unplaced_for(const PlanFacts *f, const PlanItem *it) {
        const PlanMemory *m = memory_of(f, it->file);

        return m ? m->unplaced_for : 0;
}

/* Ours came back from the pod for which it went; perhaps without that being written down. */
static bool was_in_vain(const PlanFacts *f, const PlanItem *it) {
        return !*it->record->boot || (runs_ours(it) && unplaced_for(f, it) >= HANDOVER_UNPLACED);
}

/* Ours went for a pod that is unbound, and is away, or came back from this very one. */
static bool is_unplaced(const PlanFacts *f, const PlanItem *it) {
        const PlanHandover *h = it->record;
        const PlanTheirs *t = it->wanted->theirs;

        if (!h || !h->unplaced || !t->pods_known || t->pod != POD_UNBOUND)
                return false;
        if (is_away(f, it))
                return it->wanted->wish == WISH_PRESENT; /* else there is nothing to come back with */
        return was_in_vain(f, it) && streq(h->uid, t->pod_uid);
}

/* From the end of ours. Whoever cannot be asked for a moment would say the same. */
static bool lasts_unplaced(const PlanFacts *f, const PlanItem *it) {
        const PlanHandover *h = it->record;

        if (!h || !h->unplaced || it->yields)
                return false;
        return it->wanted->theirs->pods_known ? is_unplaced(f, it) : is_away(f, it) || was_in_vain(f, it);
}

static int decide(const PlanFacts *f, PlanItem *it) {
        const PlanTheirs *t = it->wanted->theirs;
        Witness witness = witness_of_theirs(it);
        HandoverFacts facts = {
                .daemonset = t->daemonset,
                .awaited = t->awaited,
                .pods_known = t->pods_known,
                .server_away = f->server_away,
                .pod = t->pod,
                .pod_seen = is_theirs_seen(f, it, witness),
                .pod_idle = witness == WITNESS_TERMINATING,
                .pod_gone = witness == WITNESS_GONE,
                .mode = t->mode,
                .stands = item_stands(it) || item_has_last(it),
                .runs = is_ours_seen(f, it),
                .kubelet_ran = f->kubelet_ran,
                .given = it->record != NULL,
                .away = is_away(f, it),
                .unplaced = is_unplaced(f, it),
                .stopped = it->record && it->record->stopped && !is_away(f, it) &&
                           !(t->daemonset == THEIRS_RUNS && runs_ours(it)),
                .stop_if_deleted = f->stop_if_deleted,
                .unplaced_for = unplaced_for(f, it),
                .missing_for = missing_for(f, it),
        };
        int r = look_for_host_ports(it);

        facts.host_ports = it->host_ports;
        it->handover = handover_decide(&facts);
        /* Whoever gave up waiting does not wait again because something else is in the way. */
        it->missing = handover_is_missing(&facts) || it->handover == HANDOVER_AWAITED ||
                      (t->awaited && !facts.stands && facts.missing_for >= HANDOVER_PATIENCE);
        it->yields = it->record && it->record->unplaced && facts.away && facts.runs;
        it->unplaced = lasts_unplaced(f, it);
        it->ours_runs = runs_ours(it) || item_still_runs(f, it);
        it->theirs_run = witness == WITNESS_RUNNING ||
                         (witness == WITNESS_UNKNOWN && t->pods_known && t->pod == POD_READY);
        return r;
}

/* Of what is invalid or refused nothing would come back, and that must be seen. One of the API server that was handed
 * back is refused for as long as it has no fence. */
static bool has_part(const PlanItem *it) {
        const PlanWanted *w = it->wanted;
        bool refused = w->wish == WISH_KEEP && (w->state == STATE_INVALID || w->state == STATE_REFUSED);

        if (w->wish == WISH_ABSENT || it->foreign || it->stands == STANDS_UNREADABLE)
                return false;
        return !refused || item_stands(it) || item_has_last(it) || (it->record && streq(w->origin, ORIGIN_API));
}

int planner_handover(Planner *p) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < p->n_items; i++) {
                PlanItem *it = &p->items[i];

                if (!it->wanted || !it->wanted->theirs)
                        continue;
                it->record = plan_find_handover(p->facts->handovers, p->facts->n_handovers, it->namespace, it->name);
                if (has_part(it))
                        r = decide(p->facts, it);
        }
        return r;
}

bool item_is_away(const PlanItem *it) {
        return it->handover == HANDOVER_AWAY || it->handover == HANDOVER_STOPPED;
}

bool item_awaits_theirs(const PlanItem *it) {
        return it->handover == HANDOVER_AWAITED || it->handover == HANDOVER_ENDING;
}

/* One that is bound may be refused by the kubelet yet. */
static bool has_place(const PlanItem *it) {
        const PlanTheirs *t = it->wanted->theirs;

        return t->pods_known && (t->pod == POD_READY || (t->pod == POD_BOUND && it->theirs_run));
}

/* Ours is away, or goes now, for a pod that has no place so far. */
static bool waits_for_place(const PlanFacts *f, const PlanItem *it) {
        if (it->handover != HANDOVER_AWAY || it->pending || !f->boot)
                return false;
        if (is_away(f, it))
                return it->record->unplaced && !has_place(it);
        return it->wanted->theirs->pods_known && it->wanted->theirs->pod == POD_UNBOUND;
}

bool item_makes_room(const PlanFacts *f, const PlanItem *it) {
        return !is_away(f, it) && waits_for_place(f, it);
}

bool item_is_back(const PlanItem *it) {
        return it->record && it->has_step && it->verb == STEP_CREATE;
}

/* ---- words ---- */

const char *item_theirs_pod(const PlanItem *it) {
        const PlanTheirs *t = it->wanted ? it->wanted->theirs : NULL;

        if (t && t->pods_known && t->pod != POD_NONE)
                return t->pod_name;
        /* One from before it came back is nobody's. */
        if (!it->record || (item_will_stand(it) && !item_is_back(it)))
                return NULL;
        return *it->record->pod ? it->record->pod : NULL;
}

static void say_pod(const PlanFacts *f, const PlanItem *it, Buf *out) {
        static const char *const words[] = {
                [POD_NONE] = "", [POD_UNBOUND] = "is pending", [POD_BOUND] = "is not Ready", [POD_READY] = "is Ready"
        };
        const PlanTheirs *t = it->wanted->theirs;

        if (t->pods_known && t->pod == POD_READY && it->handover == HANDOVER_WAITS)
                buf_printf(out, "pod %s of " CONTROLLER " is Ready, but not seen to run on this host", t->pod_name);
        else if (t->pods_known && t->pod != POD_NONE)
                buf_printf(out, "pod %s of " CONTROLLER " %s", t->pod_name, words[t->pod]);
        else if (t->pods_known)
                buf_printf(out, CONTROLLER " has no pod here%s%s", *t->unfit ? ": " : "", t->unfit);
        else if (*t->blind)
                buf_str(out, t->blind);
        else
                buf_printf(out, "pod %s of " CONTROLLER " was here%s",
                           it->record && *it->record->pod ? it->record->pod : "(unknown)",
                           f->server_away ? "; the API server cannot be asked" : "");
}

/* What ours is still there for. */
static void say_wait(const PlanFacts *f, const PlanItem *it, Buf *out) {
        const PlanTheirs *t = it->wanted->theirs;
        bool ready = t->mode == HANDOFF_READY || (t->mode == HANDOFF_AUTO && !it->host_ports);

        if (!item_will_stand(it))
                return;
        if (is_unplaced(f, it) && !ready)
                buf_str(out, "; the static pod had made room for it in vain, and does so again after an hour, or for "
                             "the controller's next pod");
        else if (!t->pods_known)
                buf_str(out, "; the static pod stays until that is known");
        else if (t->pod != POD_NONE)
                buf_printf(out, "; the static pod stays until it is%s", t->pod == POD_READY ? "" : " Ready");
        else
                buf_printf(out, "; the static pod stays until there is one%s", ready ? " that is Ready" : "");
}

static const char *why_back(const PlanFacts *f, const PlanItem *it) {
        const PlanTheirs *t = it->wanted->theirs;

        if (t->mode == HANDOFF_NEVER)
                return ANNOTATION_HANDOFF " is never";
        if (t->daemonset == THEIRS_ABSENT)
                return "the DaemonSet was deleted in the API server";
        if (t->daemonset == THEIRS_FENCED)
                return "the DaemonSet is fenced";
        if (it->record->stopped)
                return "on_api_deleted is run";
        if (is_unplaced(f, it))
                return "its pod was not scheduled";
        if (!is_of_this_boot(f, it->record))
                return t->daemonset == THEIRS_UNKNOWN && !t->pods_known
                               ? "the host was restarted, and the API server has not been seen since"
                               : "the host was restarted";
        return f->server_away ? "its pod is gone, and the API server cannot be asked"
                              : "its pod has not been seen for long";
}

/* Of what runs by the server's template there is none. */
static void say_difference(const PlanItem *it, Buf *out) {
        const PlanWanted *w = it->wanted;

        if (w && w->theirs && *w->theirs->difference && (it->handover != HANDOVER_NONE || !w->only_new))
                buf_printf(out, "%sthe templates differ: %s", out->len ? "; " : "", w->theirs->difference);
}

void item_handover_words(const PlanFacts *f, const PlanItem *it, Buf *out) {
        if (item_is_back(it))
                buf_printf(out, "%s%s", why_back(f, it), it->handover == HANDOVER_WAITS ? "; " : "");
        switch (it->handover) {
        case HANDOVER_NONE:
                if (it->missing && it->wanted->theirs->daemonset == THEIRS_ABSENT)
                        buf_str(out, "it was deleted in the API server, and is stopped if that stands for 10 minutes");
                break;
        case HANDOVER_AWAITED:
                buf_str(out, "the API server is being asked whether " CONTROLLER " runs it here");
                break;
        case HANDOVER_WAITS:
                say_pod(f, it, out);
                say_wait(f, it, out);
                break;
        case HANDOVER_AWAY:
                say_pod(f, it, out);
                if (waits_for_place(f, it) && it->wanted->theirs->pod == POD_UNBOUND &&
                    it->wanted->wish == WISH_PRESENT)
                        buf_str(out, "; if it is not scheduled the static pod comes back");
                break;
        case HANDOVER_STOPPED:
                if (!it->has_step)
                        buf_str(out, "it was deleted in the API server");
                break;
        case HANDOVER_ENDING:
                buf_str(out, "the static pod is written when that of " CONTROLLER " has ended");
                break;
        }
        say_difference(it, out);
}

/* ---- what is remembered ---- */

/* It is known that the controller has nothing to do with it any more. */
static bool is_back_for_good(const PlanFacts *f, const PlanTheirs *t) {
        return t->mode == HANDOFF_NEVER || t->daemonset == THEIRS_FENCED ||
               (t->daemonset == THEIRS_ABSENT && !f->stop_if_deleted);
}

/* The record as it is to stay. */
static bool keep_record(const PlanFacts *f, const PlanItem *it, PlanHandover *ret) {
        const PlanTheirs *t = it->wanted->theirs;

        if (!it->record)
                return false;
        *ret = *it->record;
        /* The node's labels come and go; theirs comes back with them. */
        if (it->wanted->wish == WISH_ABSENT)
                return (it->record->stopped || is_of_this_boot(f, it->record)) && !is_back_for_good(f, t);
        /* Somebody put it back: it goes again when it may. */
        if (!item_will_stand(it) || item_is_away(it))
                return true;
        ret->stopped = false;
        if (is_unplaced(f, it)) {
                ret->pod = t->pod_name;
                ret->uid = t->pod_uid;
        } else if (*it->record->boot && (t->pods_known || !is_of_this_boot(f, it->record)))
                ret->unplaced = false;
        ret->boot = !f->boot || is_of_this_boot(f, it->record) ? "" : it->record->boot;
        return !is_back_for_good(f, t);
}

static bool remember(const PlanFacts *f, const PlanItem *it, PlanHandover *ret) {
        const PlanTheirs *t = it->wanted->theirs;
        bool known = t->pods_known && t->pod != POD_NONE;

        /* What is in the way of ours is known by its traces when nobody can be asked any more. */
        if (it->handover == HANDOVER_ENDING && known && is_back_for_good(f, t)) {
                *ret = (PlanHandover){
                        .namespace = it->namespace,
                        .name = it->name,
                        .pod = t->pod_name,
                        .uid = t->pod_uid,
                        .boot = is_of_this_boot(f, it->record) ? it->record->boot : "",
                        .stopped = it->record && it->record->stopped,
                };
                return true;
        }
        if (!item_is_away(it) || it->pending)
                return keep_record(f, it, ret);
        *ret = (PlanHandover){
                .namespace = it->namespace,
                .name = it->name,
                .pod = known        ? t->pod_name
                       : it->record ? it->record->pod
                                    : "",
                .uid = known        ? t->pod_uid
                       : it->record ? it->record->uid
                                    : "",
                .boot = str_or_empty(f->boot),
                .unplaced = waits_for_place(f, it),
                .stopped = it->handover == HANDOVER_STOPPED,
        };
        return true;
}

static int add_record(Plan *plan, const PlanHandover *h) {
        if (!ARRAY_GROW(plan->handovers, plan->n_handovers, plan->cap_handovers))
                return -ENOMEM;
        plan->handovers[plan->n_handovers++] = *h;
        return 0;
}

/* Who defines it was perhaps not read, or is about to be written again. What was stopped is over with its file. */
static bool may_be_wanted(const PlanFacts *f, const PlanHandover *h) {
        return !f->all_synced || is_seen(h->witness) || (is_of_this_boot(f, h) && !h->stopped);
}

static int remember_unread(Planner *p, const PlanHandover *h) {
        PlanItem *it;
        int r = planner_find_pod(p, h->namespace, h->name, &it);

        return r < 0 || (it && it->wanted) ? r : add_record(&p->plan, h);
}

int planner_remember(Planner *p) {
        const PlanFacts *f = p->facts;
        Plan *plan = &p->plan;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < p->n_items; i++) {
                const PlanItem *it = &p->items[i];
                PlanHandover h;

                if (it->wanted && it->wanted->theirs && remember(f, it, &h))
                        r = add_record(plan, &h);
        }
        for (size_t i = 0; r >= 0 && i < f->n_handovers; i++)
                if (may_be_wanted(f, &f->handovers[i]))
                        r = remember_unread(p, &f->handovers[i]);
        if (plan->n_handovers > 1)
                qsort(plan->handovers, plan->n_handovers, sizeof(*plan->handovers), plan_compare_handovers);
        return r;
}
