/* SPDX-License-Identifier: Apache-2.0 */
#include "core/handover.h"

bool handoff_mode_parse(const char *text, HandoffMode *ret) {
        static const char *const words[] = {
                [HANDOFF_AUTO] = "", [HANDOFF_NEVER] = "never", [HANDOFF_EXISTS] = "exists", [HANDOFF_READY] = "ready"
        };

        for (HandoffMode m = 0; m < ARRAY_SIZE(words); m++)
                if (streq(text, words[m])) {
                        *ret = m;
                        return true;
                }
        return false;
}

static TheirPod pod_of(const HandoverFacts *f) {
        return f->pods_known ? f->pod : POD_NONE;
}

/* Both cannot run at a time. */
static bool excludes(const HandoverFacts *f) {
        return f->host_ports || f->mode == HANDOFF_EXISTS;
}

static bool is_ready(const HandoverFacts *f) {
        return pod_of(f) == POD_READY && !f->pod_gone && !f->pod_idle;
}

/* Bound though ours has the ports: there is no mirror of ours yet. The kubelet refuses theirs, and the next one waits
 * for ours; one that came when ours was already ending would run beside it. */
static bool is_refused(const HandoverFacts *f) {
        return f->host_ports && pod_of(f) >= POD_BOUND && (f->runs || (f->stands && f->pod_gone && f->kubelet_ran));
}

/* Ours is away for a pod that finds no place here. */
static bool is_unplaced(const HandoverFacts *f) {
        return f->away && f->unplaced && pod_of(f) == POD_UNBOUND && !f->runs;
}

/* Ours came back from that very pod. */
static bool was_in_vain(const HandoverFacts *f) {
        return !f->away && f->unplaced && pod_of(f) == POD_UNBOUND;
}

/* Theirs is far enough for ours to go, or not to begin. */
static bool may_go(const HandoverFacts *f) {
        if (pod_of(f) == POD_NONE || (was_in_vain(f) && f->unplaced_for < HANDOVER_AGAIN))
                return false;
        if (f->mode == HANDOFF_READY)
                return is_ready(f);
        if (excludes(f))
                return !is_refused(f) || is_ready(f) || f->missing_for >= HANDOVER_REFUSED;
        return is_ready(f) || (!f->stands && pod_of(f) >= POD_BOUND);
}

static bool is_awaited(const HandoverFacts *f) {
        return f->awaited && !f->stands && f->kubelet_ran && f->missing_for < HANDOVER_PATIENCE;
}

/* What has no process may have been left by an earlier boot, or by a kubelet that cleans nothing up. */
static bool is_left(const HandoverFacts *f) {
        return f->pod_idle && (f->server_away || (f->pods_known && f->pod == POD_NONE));
}

/* Ours could not start beside theirs. */
static bool is_in_the_way(const HandoverFacts *f) {
        return !f->stands && excludes(f) && (pod_of(f) >= POD_BOUND || (f->pod_seen && !is_left(f)));
}

/* It runs on, and is nobody's: no pod of the controller is said to be here. */
static bool is_orphan(const HandoverFacts *f) {
        return f->pods_known && f->pod == POD_NONE && f->pod_seen && !is_left(f);
}

/* Ours is to run: at once, unless something of theirs is in its way, or stays. */
static Handover come_back(const HandoverFacts *f) {
        if (f->stands)
                return HANDOVER_NONE;
        if (is_in_the_way(f) || (f->mode != HANDOFF_NEVER && is_orphan(f)))
                return HANDOVER_ENDING;
        return is_awaited(f) && excludes(f) ? HANDOVER_AWAITED : HANDOVER_NONE;
}

static bool is_given_up(const HandoverFacts *f) {
        if (is_unplaced(f))
                return f->unplaced_for >= HANDOVER_UNPLACED;
        return handover_is_missing(f) && f->missing_for >= (f->server_away ? HANDOVER_ALONE : HANDOVER_UNSEEN);
}

/* Until it is not, or until it lasts too long: then the controller's next pod is refused as well. */
static bool is_refused_again(const HandoverFacts *f) {
        if (f->mode == HANDOFF_NEVER || f->daemonset != THEIRS_RUNS || !f->host_ports || !f->stands || f->stopped)
                return false;
        return is_refused(f) || (pod_of(f) == POD_NONE && f->missing_for > 0 && f->missing_for < HANDOVER_REFUSED);
}

/* Ours runs, as it came back, and now the DaemonSet is not there: a list may lack what a server has lost. */
static bool is_doubted(const HandoverFacts *f) {
        return f->daemonset == THEIRS_ABSENT && f->mode != HANDOFF_NEVER && f->stop_if_deleted && f->given &&
               !f->stopped && f->stands;
}

bool handover_is_missing(const HandoverFacts *f) {
        if (is_doubted(f))
                return true;
        if (!f->away)
                return is_refused_again(f);
        if (f->mode == HANDOFF_NEVER || f->daemonset != THEIRS_UNKNOWN)
                return false;
        if (f->server_away)
                return f->pod_gone || f->pod_idle;
        return f->pods_known && f->pod == POD_NONE;
}

static Handover stay_away(const HandoverFacts *f) {
        Handover back;

        if (!is_given_up(f))
                return HANDOVER_AWAY;
        back = come_back(f);
        return back == HANDOVER_NONE && is_unplaced(f) ? HANDOVER_WAITS : back;
}

/* The controller is in charge, or may be. */
static Handover decide_in_charge(const HandoverFacts *f) {
        if (f->stopped && f->stop_if_deleted && f->daemonset == THEIRS_UNKNOWN)
                return HANDOVER_STOPPED;
        if (f->away || (f->stopped && f->daemonset == THEIRS_RUNS))
                return stay_away(f);
        if (may_go(f))
                return HANDOVER_AWAY;
        if (is_awaited(f))
                return HANDOVER_AWAITED;
        if (is_in_the_way(f))
                return HANDOVER_ENDING;
        return f->daemonset == THEIRS_RUNS || pod_of(f) != POD_NONE ? HANDOVER_WAITS : HANDOVER_NONE;
}

Handover handover_decide(const HandoverFacts *f) {
        if (f->mode == HANDOFF_NEVER || f->daemonset == THEIRS_FENCED)
                return come_back(f);
        if (f->daemonset != THEIRS_ABSENT)
                return decide_in_charge(f);
        if (is_doubted(f) && f->missing_for < HANDOVER_UNSEEN)
                return HANDOVER_NONE;
        return f->stop_if_deleted && f->given ? HANDOVER_STOPPED : come_back(f);
}
