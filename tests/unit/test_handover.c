/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs a DaemonSet here: the table of core/handover.h line by line, and what must hold for all combinations of the
 * facts. */
#include "core/handover.h"
#include "test.h"

static const char *const words[] = {
        [HANDOVER_NONE] = "none", [HANDOVER_AWAITED] = "awaited", [HANDOVER_WAITS] = "waits",
        [HANDOVER_AWAY] = "away", [HANDOVER_STOPPED] = "stopped", [HANDOVER_ENDING] = "ending",
};

static void say_facts(const HandoverFacts *f, Buf *out) {
        static const char *const sets[] = { "unknown", "absent", "fenced", "runs" };
        static const char *const pods[] = { "none", "unbound", "bound", "ready" };
        static const char *const modes[] = { "auto", "never", "exists", "ready" };

        buf_printf(out, "daemonset=%s pod=%s mode=%s missing-for=%lld", sets[f->daemonset], pods[f->pod],
                   modes[f->mode], (long long)f->missing_for);
        buf_printf(out, "%s%s%s%s%s%s", f->awaited ? " awaited" : "", f->pods_known ? " pods-known" : "",
                   f->server_away ? " server-away" : "", f->pod_seen ? " pod-seen" : "", f->pod_idle ? " pod-idle" : "",
                   f->pod_gone ? " pod-gone" : "");
        buf_printf(out, "%s%s%s%s%s%s%s%s%s", f->host_ports ? " host-ports" : "", f->runs ? " runs" : "",
                   f->stands ? " stands" : "", f->kubelet_ran ? " kubelet-ran" : "", f->away ? " away" : "",
                   f->unplaced ? " unplaced" : "", f->stopped ? " stopped" : "", f->given ? " given" : "",
                   f->stop_if_deleted ? " stop-if-deleted" : "");
}

/* ---- rows ---- */

typedef struct Row {
        const char *name;
        HandoverFacts facts; /* a kubelet runs in all of them, unless `down` */
        Handover want;
        bool missing, down;
} Row;

#define KNOWN(x) .daemonset = THEIRS_RUNS, .pods_known = true, .pod = POD_##x
#define CUT .server_away = true
#define STANDS .stands = true
#define PORTS .host_ports = true
#define UNPLACED .away = true, .unplaced = true
#define IN_VAIN .given = true, .unplaced = true
#define IDLE .pod_seen = true, .pod_idle = true

static const Row rows[] = {
        /* Nobody else has a part in it. */
        { "nothing is known, and nothing stands", { 0 }, .want = HANDOVER_NONE },
        { "nothing is known, and ours stands", { STANDS, PORTS }, .want = HANDOVER_NONE },
        { "the server is away", { CUT }, .want = HANDOVER_NONE },
        { "there is no such DaemonSet", { .daemonset = THEIRS_ABSENT, .pods_known = true }, .want = HANDOVER_NONE },
        { "it is fenced", { .daemonset = THEIRS_FENCED, .pods_known = true, STANDS }, .want = HANDOVER_NONE },

        /* Without host ports: when theirs is Ready. */
        { "in charge, and no pod", { KNOWN(NONE), STANDS }, .want = HANDOVER_WAITS },
        { "in charge, no pod, and nothing of ours", { KNOWN(NONE) }, .want = HANDOVER_WAITS },
        { "unbound", { KNOWN(UNBOUND), STANDS }, .want = HANDOVER_WAITS },
        { "unbound, and nothing of ours", { KNOWN(UNBOUND) }, .want = HANDOVER_WAITS },
        { "bound", { KNOWN(BOUND), STANDS }, .want = HANDOVER_WAITS },
        { "bound, and ours is not started at all", { KNOWN(BOUND) }, .want = HANDOVER_AWAY },
        { "Ready", { KNOWN(READY), STANDS }, .want = HANDOVER_AWAY },
        { "Ready, and nothing of ours", { KNOWN(READY) }, .want = HANDOVER_AWAY },
        { "Ready, and it is seen", { KNOWN(READY), STANDS, .pod_seen = true }, .want = HANDOVER_AWAY },
        { "Ready, but gone: a status of before a reboot",
          { KNOWN(READY), STANDS, .pod_gone = true },
          .want = HANDOVER_WAITS },
        { "Ready, but it has no process", { KNOWN(READY), STANDS, IDLE }, .want = HANDOVER_WAITS },
        { "Ready, but it has no process, and is of an earlier boot",
          { KNOWN(READY), STANDS, .pod_idle = true },
          .want = HANDOVER_WAITS },
        { "Ready, no process, and nothing of ours", { KNOWN(READY), IDLE }, .want = HANDOVER_AWAY },
        { "Ready, and ours is seen", { KNOWN(READY), STANDS, .pod_seen = true, .runs = true }, .want = HANDOVER_AWAY },
        { "Ready, gone, and nothing of ours", { KNOWN(READY), .pod_gone = true }, .want = HANDOVER_AWAY },
        { "Ready, but it is not known whether it still is",
          { .daemonset = THEIRS_RUNS, .pod = POD_READY, STANDS },
          .want = HANDOVER_WAITS },
        { "a Ready pod of what may not be read",
          { .pods_known = true, .pod = POD_READY, STANDS },
          .want = HANDOVER_AWAY },
        { "a bound pod of what may not be read",
          { .pods_known = true, .pod = POD_BOUND, STANDS },
          .want = HANDOVER_WAITS },

        /* With host ports: as soon as theirs exists. */
        { "ports, and no pod", { KNOWN(NONE), STANDS, PORTS }, .want = HANDOVER_WAITS },
        { "ports, unbound", { KNOWN(UNBOUND), STANDS, PORTS }, .want = HANDOVER_AWAY },
        { "ports, unbound, and nothing of ours", { KNOWN(UNBOUND), PORTS }, .want = HANDOVER_AWAY },
        { "ports, bound", { KNOWN(BOUND), STANDS, PORTS }, .want = HANDOVER_AWAY },
        { "ports, bound, and nothing of either is seen",
          { KNOWN(BOUND), STANDS, PORTS, .pod_gone = true },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, Ready but gone",
          { KNOWN(READY), STANDS, PORTS, .pod_gone = true },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, bound, gone, and nothing of ours", { KNOWN(BOUND), PORTS, .pod_gone = true }, .want = HANDOVER_AWAY },
        { "ports, unbound, and ours is seen", { KNOWN(UNBOUND), STANDS, PORTS, .runs = true }, .want = HANDOVER_AWAY },
        { "ports, unbound, and the last one is gone",
          { KNOWN(UNBOUND), STANDS, PORTS, .pod_gone = true },
          .want = HANDOVER_AWAY },
        { "ports, bound, and ours is seen: it is refused",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, refused for almost too long",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true, .missing_for = HANDOVER_REFUSED - 1 },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, refused for too long",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true, .missing_for = HANDOVER_REFUSED },
          .want = HANDOVER_AWAY,
          .missing = true },
        { "ready: ports, refused for too long",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true, .mode = HANDOFF_READY, .missing_for = HANDOVER_REFUSED },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, refused, and there is no next one yet",
          { KNOWN(NONE), STANDS, PORTS, .runs = true, .missing_for = 1 },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, refused long ago, and there is no next one",
          { KNOWN(NONE), STANDS, PORTS, .runs = true, .missing_for = HANDOVER_REFUSED },
          .want = HANDOVER_WAITS },
        { "ports, no kubelet has run, and nothing of either is seen",
          { KNOWN(BOUND), STANDS, PORTS, .pod_gone = true },
          .want = HANDOVER_AWAY,
          .down = true },
        { "ports, no kubelet has run, and ours is seen",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true },
          .want = HANDOVER_WAITS,
          .missing = true,
          .down = true },
        { "never: ports, bound, and ours is seen",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true, .mode = HANDOFF_NEVER },
          .want = HANDOVER_NONE },
        { "ports, bound, both are seen",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true, .pod_seen = true },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, bound, ours is seen, and this cannot be read",
          { .pods_known = true, .pod = POD_BOUND, STANDS, PORTS, .runs = true },
          .want = HANDOVER_WAITS },
        { "ports, bound, and our last pod still ends", { KNOWN(BOUND), PORTS, .runs = true }, .want = HANDOVER_ENDING },
        { "ports, unbound, and our last pod still ends",
          { KNOWN(UNBOUND), PORTS, .runs = true },
          .want = HANDOVER_AWAY },
        { "ports, Ready, and both are seen",
          { KNOWN(READY), STANDS, PORTS, .runs = true, .pod_seen = true },
          .want = HANDOVER_AWAY,
          .missing = true },
        { "ports, Ready of before, and ours is seen",
          { KNOWN(READY), STANDS, PORTS, .runs = true, .pod_gone = true },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, Ready without a process, and ours is seen",
          { KNOWN(READY), STANDS, PORTS, .runs = true, IDLE },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "ports, Ready without a process, and ours is not seen",
          { KNOWN(READY), STANDS, PORTS, IDLE },
          .want = HANDOVER_AWAY },
        { "ports, bound, ours is seen, but it was away",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true, .away = true },
          .want = HANDOVER_AWAY },
        { "ports, a pod of what may not be read",
          { .pods_known = true, .pod = POD_UNBOUND, STANDS, PORTS },
          .want = HANDOVER_AWAY },
        { "ports, nothing of ours, and their last pod runs on",
          { CUT, PORTS, .pod_seen = true },
          .want = HANDOVER_ENDING },
        { "ports, no pod, nothing of ours, and the last one runs on",
          { KNOWN(NONE), PORTS, .pod_seen = true },
          .want = HANDOVER_ENDING },

        /* What the DaemonSet says. */
        { "exists: unbound", { KNOWN(UNBOUND), STANDS, .mode = HANDOFF_EXISTS }, .want = HANDOVER_AWAY },
        { "exists: bound, and ours is seen, without ports",
          { KNOWN(BOUND), STANDS, .runs = true, .mode = HANDOFF_EXISTS },
          .want = HANDOVER_AWAY },
        { "exists: ports, bound, and ours is seen",
          { KNOWN(BOUND), STANDS, PORTS, .runs = true, .mode = HANDOFF_EXISTS },
          .want = HANDOVER_WAITS,
          .missing = true },
        { "exists: no pod", { KNOWN(NONE), STANDS, .mode = HANDOFF_EXISTS }, .want = HANDOVER_WAITS },
        { "ready: ports, bound", { KNOWN(BOUND), STANDS, PORTS, .mode = HANDOFF_READY }, .want = HANDOVER_WAITS },
        { "ready: ports, Ready", { KNOWN(READY), STANDS, PORTS, .mode = HANDOFF_READY }, .want = HANDOVER_AWAY },
        { "ready: ports, Ready, and both are seen",
          { KNOWN(READY), STANDS, PORTS, .runs = true, .pod_seen = true, .mode = HANDOFF_READY },
          .want = HANDOVER_AWAY,
          .missing = true },
        { "ready: Ready, but it has no process",
          { KNOWN(READY), STANDS, IDLE, .mode = HANDOFF_READY },
          .want = HANDOVER_WAITS },
        { "ready: bound, and nothing of ours", { KNOWN(BOUND), .mode = HANDOFF_READY }, .want = HANDOVER_WAITS },
        { "ready: ports, bound, and nothing of ours",
          { KNOWN(BOUND), PORTS, .mode = HANDOFF_READY },
          .want = HANDOVER_ENDING },
        { "never: Ready", { KNOWN(READY), STANDS, .mode = HANDOFF_NEVER }, .want = HANDOVER_NONE },
        { "never: Ready, and nothing of ours", { KNOWN(READY), .mode = HANDOFF_NEVER }, .want = HANDOVER_NONE },
        { "never: ports, Ready, and nothing of ours",
          { KNOWN(READY), PORTS, .mode = HANDOFF_NEVER },
          .want = HANDOVER_ENDING },
        { "never: ports, unbound, and nothing of ours",
          { KNOWN(UNBOUND), PORTS, .mode = HANDOFF_NEVER },
          .want = HANDOVER_NONE },
        { "never: it was away", { KNOWN(READY), .mode = HANDOFF_NEVER, .away = true }, .want = HANDOVER_NONE },

        /* It stays away. */
        { "away, and the pod comes and goes", { KNOWN(NONE), .away = true }, .want = HANDOVER_AWAY },
        { "away, and it stands again", { KNOWN(NONE), .away = true, STANDS }, .want = HANDOVER_AWAY },
        { "away, and the pod is not Ready", { KNOWN(BOUND), .away = true, STANDS }, .want = HANDOVER_AWAY },
        { "away, no pod for long",
          { KNOWN(NONE), .away = true, .pod_gone = true, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_AWAY },
        { "away, the server is away, and their pod runs",
          { CUT, .away = true, .pod_seen = true },
          .want = HANDOVER_AWAY },
        { "away, the server is away, and nobody can tell",
          { CUT, .away = true, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_AWAY },
        { "away, and nothing was heard yet", { .away = true, .awaited = true }, .want = HANDOVER_AWAY },
        { "a reboot, and the server is away", { CUT, .pod = POD_READY }, .want = HANDOVER_NONE },
        { "a reboot, and theirs is seen again", { KNOWN(READY), STANDS, .pod_seen = true }, .want = HANDOVER_AWAY },

        /* Theirs finds no place. */
        { "unplaced", { KNOWN(UNBOUND), UNPLACED, PORTS }, .want = HANDOVER_AWAY },
        { "unplaced for almost long",
          { KNOWN(UNBOUND), UNPLACED, PORTS, .unplaced_for = HANDOVER_UNPLACED - 1 },
          .want = HANDOVER_AWAY },
        { "unplaced for long",
          { KNOWN(UNBOUND), UNPLACED, PORTS, .unplaced_for = HANDOVER_UNPLACED },
          .want = HANDOVER_WAITS },
        { "unplaced for long, and it is not known what the DaemonSet says",
          { .pods_known = true, .pod = POD_UNBOUND, UNPLACED, PORTS, .unplaced_for = HANDOVER_UNPLACED },
          .want = HANDOVER_WAITS },
        { "unplaced for long, and ours stands again",
          { KNOWN(UNBOUND), UNPLACED, PORTS, STANDS, .unplaced_for = HANDOVER_UNPLACED },
          .want = HANDOVER_WAITS },
        { "unplaced for long, but the last one still runs",
          { KNOWN(UNBOUND), UNPLACED, PORTS, .pod_seen = true, .unplaced_for = HANDOVER_UNPLACED },
          .want = HANDOVER_ENDING },
        { "unplaced for long, exists",
          { KNOWN(UNBOUND), UNPLACED, .mode = HANDOFF_EXISTS, .unplaced_for = HANDOVER_UNPLACED },
          .want = HANDOVER_WAITS },
        { "ours still ends: nobody can tell whether there is a place",
          { KNOWN(UNBOUND), UNPLACED, PORTS, .runs = true, .unplaced_for = HANDOVER_UNPLACED },
          .want = HANDOVER_AWAY },
        { "away and unbound, but one of theirs was bound since: a rolling update",
          { KNOWN(UNBOUND), .away = true, PORTS, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_AWAY },
        { "it was unplaced, and then deleted",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_UNBOUND, UNPLACED, PORTS },
          .want = HANDOVER_NONE },
        { "it was unplaced, and is bound now",
          { KNOWN(BOUND), UNPLACED, PORTS, .unplaced_for = HANDOVER_UNPLACED },
          .want = HANDOVER_AWAY },
        { "in vain", { KNOWN(UNBOUND), IN_VAIN, PORTS, STANDS }, .want = HANDOVER_WAITS },
        { "in vain, and nothing of ours", { KNOWN(UNBOUND), IN_VAIN, PORTS }, .want = HANDOVER_WAITS },
        { "in vain for almost an hour",
          { KNOWN(UNBOUND), IN_VAIN, PORTS, STANDS, .unplaced_for = HANDOVER_AGAIN - 1 },
          .want = HANDOVER_WAITS },
        { "in vain for an hour",
          { KNOWN(UNBOUND), IN_VAIN, PORTS, STANDS, .unplaced_for = HANDOVER_AGAIN },
          .want = HANDOVER_AWAY },
        { "in vain, exists", { KNOWN(UNBOUND), IN_VAIN, STANDS, .mode = HANDOFF_EXISTS }, .want = HANDOVER_WAITS },
        { "in vain, and then it is bound", { KNOWN(BOUND), IN_VAIN, PORTS, STANDS }, .want = HANDOVER_AWAY },
        { "in vain, and then it is deleted",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_UNBOUND, IN_VAIN, PORTS, STANDS },
          .want = HANDOVER_NONE },
        { "in vain, never", { KNOWN(UNBOUND), IN_VAIN, PORTS, STANDS, .mode = HANDOFF_NEVER }, .want = HANDOVER_NONE },
        { "in vain, and the ports are gone: when it is Ready",
          { KNOWN(UNBOUND), IN_VAIN, STANDS },
          .want = HANDOVER_WAITS },

        /* It comes back: deleted or fenced. */
        { "deleted", { .daemonset = THEIRS_ABSENT, .pods_known = true, .away = true }, .want = HANDOVER_NONE },
        { "deleted, and the pod is left: no ports",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_READY, .away = true, .pod_seen = true },
          .want = HANDOVER_NONE },
        { "deleted, it still runs, and its pods may not be read: no ports",
          { .daemonset = THEIRS_ABSENT, .away = true, .pod_seen = true },
          .want = HANDOVER_NONE },
        { "deleted, and it still runs: no ports",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .away = true, .pod_seen = true },
          .want = HANDOVER_ENDING },
        { "deleted, and the unbound pod is left: no ports",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_UNBOUND, .away = true },
          .want = HANDOVER_NONE },
        { "deleted, and it has no process, and the server is away: no ports",
          { .daemonset = THEIRS_ABSENT, CUT, .away = true, IDLE },
          .want = HANDOVER_NONE },
        { "never: it was away, and still runs",
          { CUT, .mode = HANDOFF_NEVER, .away = true, .pod_seen = true },
          .want = HANDOVER_NONE },
        { "unseen for long, but the last one still runs: no ports",
          { .pods_known = true, .away = true, .missing_for = HANDOVER_UNSEEN, .pod_seen = true },
          .want = HANDOVER_ENDING,
          .missing = true },
        { "deleted, and the pod is left: ports",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_READY, .away = true, PORTS },
          .want = HANDOVER_ENDING },
        { "deleted, and the pod still ends here: ports",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod_seen = true, .away = true, PORTS },
          .want = HANDOVER_ENDING },
        { "deleted, and the pod is left: exists",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_BOUND, .mode = HANDOFF_EXISTS },
          .want = HANDOVER_ENDING },
        { "deleted, and the unbound pod is left: ports",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_UNBOUND, .away = true, PORTS },
          .want = HANDOVER_NONE },
        { "deleted, the pod is left, but ours stands",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .pod = POD_READY, PORTS, STANDS },
          .want = HANDOVER_NONE },
        { "deleted, and the pods are asked for: ports",
          { .daemonset = THEIRS_ABSENT, .awaited = true, .away = true, PORTS },
          .want = HANDOVER_AWAITED },
        { "deleted, and the pods are asked for: no ports",
          { .daemonset = THEIRS_ABSENT, .awaited = true, .away = true },
          .want = HANDOVER_NONE },
        { "fenced", { .daemonset = THEIRS_FENCED, .pods_known = true, .away = true }, .want = HANDOVER_NONE },
        { "fenced, and it is to stop if deleted",
          { .daemonset = THEIRS_FENCED, .pods_known = true, .away = true, .stop_if_deleted = true },
          .want = HANDOVER_NONE },
        { "fenced, and the pod still runs: ports",
          { .daemonset = THEIRS_FENCED, .pods_known = true, .pod = POD_BOUND, .away = true, PORTS },
          .want = HANDOVER_ENDING },

        /* It comes back: their pod is gone, and the server away. */
        { "alone, but not for long", { CUT, .away = true, .pod_gone = true }, .want = HANDOVER_AWAY, .missing = true },
        { "alone, and almost for long",
          { CUT, .away = true, .pod_gone = true, .missing_for = HANDOVER_ALONE - 1 },
          .want = HANDOVER_AWAY,
          .missing = true },
        { "alone for long",
          { CUT, .away = true, .pod_gone = true, .missing_for = HANDOVER_ALONE },
          .want = HANDOVER_NONE,
          .missing = true },
        { "alone for long, ports",
          { CUT, .away = true, .pod_gone = true, .missing_for = HANDOVER_ALONE, PORTS },
          .want = HANDOVER_NONE,
          .missing = true },
        { "alone with one that has no process, but not for long",
          { CUT, .away = true, IDLE },
          .want = HANDOVER_AWAY,
          .missing = true },
        { "alone with one that has no process, and almost for long",
          { CUT, .away = true, IDLE, PORTS, .missing_for = HANDOVER_ALONE - 1 },
          .want = HANDOVER_AWAY,
          .missing = true },
        { "alone for long with one that has no process",
          { CUT, .away = true, IDLE, .missing_for = HANDOVER_ALONE },
          .want = HANDOVER_NONE,
          .missing = true },
        { "alone for long with one that has no process, ports",
          { CUT, .away = true, IDLE, PORTS, .missing_for = HANDOVER_ALONE },
          .want = HANDOVER_NONE,
          .missing = true },
        { "one that has no process is not missing while the server is there",
          { .away = true, IDLE, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_AWAY },
        { "a reboot, the server is away, ports, and one that has no process",
          { CUT, PORTS, IDLE },
          .want = HANDOVER_NONE },
        { "ports, no pod, nothing of ours, and the last one has no process",
          { KNOWN(NONE), PORTS, IDLE },
          .want = HANDOVER_WAITS },
        { "deleted, ports, and the last one has no process",
          { .daemonset = THEIRS_ABSENT, .pods_known = true, .away = true, PORTS, IDLE },
          .want = HANDOVER_NONE },
        { "deleted, ports, the last one has no process, and its pods are not known",
          { .daemonset = THEIRS_ABSENT, .away = true, PORTS, IDLE },
          .want = HANDOVER_ENDING },
        { "deleted, ports, the last one has no process, and the server is away",
          { .daemonset = THEIRS_ABSENT, CUT, .away = true, PORTS, IDLE },
          .want = HANDOVER_NONE },
        { "never, ports, the last one runs, and the server is away",
          { CUT, .mode = HANDOFF_NEVER, .away = true, PORTS, .pod_seen = true },
          .want = HANDOVER_ENDING },
        { "unseen, but not for long", { .pods_known = true, .away = true }, .want = HANDOVER_AWAY, .missing = true },
        { "unseen, and almost for long",
          { .pods_known = true, .away = true, .missing_for = HANDOVER_UNSEEN - 1 },
          .want = HANDOVER_AWAY,
          .missing = true },
        { "unseen for long",
          { .pods_known = true, .away = true, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_NONE,
          .missing = true },
        { "unseen for long, ports, and the last one still runs",
          { .pods_known = true, .away = true, .missing_for = HANDOVER_UNSEEN, PORTS, .pod_seen = true },
          .want = HANDOVER_ENDING,
          .missing = true },
        { "its pods may not be read either: gone from this host",
          { .away = true, .pod_gone = true, .missing_for = HANDOVER_ALONE },
          .want = HANDOVER_AWAY },
        { "its pods may not be read either: gone from this host for long",
          { .away = true, .pod_gone = true, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_AWAY },
        { "its pods may not be read either: nobody can tell",
          { .away = true, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_AWAY },
        { "a pod of what may not be read is there",
          { .pods_known = true, .pod = POD_UNBOUND, .away = true, .pod_gone = true, .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_AWAY },

        /* It was deleted, and does not come back. */
        { "deleted, and stop",
          { .daemonset = THEIRS_ABSENT, .away = true, .stop_if_deleted = true },
          .want = HANDOVER_STOPPED },
        { "deleted then, and stop",
          { .daemonset = THEIRS_ABSENT, .stopped = true, .stop_if_deleted = true },
          .want = HANDOVER_STOPPED },
        { "deleted, and it was never handed over",
          { .daemonset = THEIRS_ABSENT, .stop_if_deleted = true },
          .want = HANDOVER_NONE },
        { "deleted then, and the server is away",
          { CUT, .stopped = true, .stop_if_deleted = true },
          .want = HANDOVER_STOPPED },
        { "deleted then, and nothing was heard yet",
          { .awaited = true, .stopped = true, .stop_if_deleted = true },
          .want = HANDOVER_STOPPED },
        { "deleted then, the server is away, and it is to run now", { CUT, .stopped = true }, .want = HANDOVER_NONE },
        { "deleted then, and it is to run now",
          { .daemonset = THEIRS_ABSENT, .stopped = true },
          .want = HANDOVER_NONE },
        { "deleted then, and it is there again",
          { KNOWN(NONE), .stopped = true, .stop_if_deleted = true },
          .want = HANDOVER_AWAY },
        { "deleted then, and it is there again, fenced",
          { .daemonset = THEIRS_FENCED, .stopped = true, .stop_if_deleted = true },
          .want = HANDOVER_NONE },
        { "deleted, and it came back after a reboot",
          { .daemonset = THEIRS_ABSENT, STANDS, .given = true },
          .want = HANDOVER_NONE },
        { "deleted, it came back after a reboot, and is to stop",
          { .daemonset = THEIRS_ABSENT, STANDS, .given = true, .stop_if_deleted = true },
          .want = HANDOVER_NONE,
          .missing = true },
        { "deleted for almost long, it came back after a reboot, and is to stop",
          { .daemonset = THEIRS_ABSENT,
            STANDS,
            .given = true,
            .stop_if_deleted = true,
            .missing_for = HANDOVER_UNSEEN - 1 },
          .want = HANDOVER_NONE,
          .missing = true },
        { "deleted for long, it came back after a reboot, and is to stop",
          { .daemonset = THEIRS_ABSENT,
            STANDS,
            .given = true,
            .stop_if_deleted = true,
            .missing_for = HANDOVER_UNSEEN },
          .want = HANDOVER_STOPPED,
          .missing = true },
        { "stopped, and somebody put it back",
          { .daemonset = THEIRS_ABSENT, STANDS, .stopped = true, .stop_if_deleted = true },
          .want = HANDOVER_STOPPED },
        { "it came back after a reboot, and the server is away",
          { CUT, STANDS, .given = true, .stop_if_deleted = true },
          .want = HANDOVER_NONE },
        { "deleted, and it was never given",
          { .daemonset = THEIRS_ABSENT, STANDS, .stop_if_deleted = true },
          .want = HANDOVER_NONE },
        { "deleted then, and never",
          { .daemonset = THEIRS_ABSENT, .stopped = true, .stop_if_deleted = true, .mode = HANDOFF_NEVER },
          .want = HANDOVER_NONE },

        /* Nothing is written before the server has answered. */
        { "the server is asked", { .awaited = true }, .want = HANDOVER_AWAITED },
        { "the server is asked, and ours stands", { .awaited = true, STANDS }, .want = HANDOVER_NONE },
        { "the server is asked, and no kubelet runs", { .awaited = true }, .want = HANDOVER_NONE, .down = true },
        { "the server is asked for almost too long",
          { .awaited = true, .missing_for = HANDOVER_PATIENCE - 1 },
          .want = HANDOVER_AWAITED },
        { "the server is asked for too long",
          { .awaited = true, .missing_for = HANDOVER_PATIENCE },
          .want = HANDOVER_NONE },
        { "deleted, and the pods are asked for too long: ports",
          { .daemonset = THEIRS_ABSENT, .awaited = true, .away = true, PORTS, .missing_for = HANDOVER_PATIENCE },
          .want = HANDOVER_NONE },
        { "the pods are asked for too long",
          { .daemonset = THEIRS_RUNS, .awaited = true, .missing_for = HANDOVER_PATIENCE },
          .want = HANDOVER_WAITS },
        { "the server is asked for too long, and theirs runs on: ports",
          { .awaited = true, PORTS, .pod_seen = true, .missing_for = HANDOVER_PATIENCE },
          .want = HANDOVER_ENDING },
        { "the pods are asked for", { .daemonset = THEIRS_RUNS, .awaited = true }, .want = HANDOVER_AWAITED },
        { "the pods are asked for, and ours stands",
          { .daemonset = THEIRS_RUNS, .awaited = true, STANDS },
          .want = HANDOVER_WAITS },
        { "the server is asked, and never", { .awaited = true, .mode = HANDOFF_NEVER }, .want = HANDOVER_NONE },
        { "the server is asked, and never: ports",
          { .awaited = true, .mode = HANDOFF_NEVER, PORTS },
          .want = HANDOVER_AWAITED },
};

static void test_row(void **state) {
        const Row *row = *state;
        HandoverFacts f = row->facts;

        f.kubelet_ran = !row->down;
        f.given |= f.away || f.stopped;
        assert_string_equal(words[handover_decide(&f)], words[row->want]);
        assert_int_equal(handover_is_missing(&f), row->missing);
}

/* ---- all combinations ---- */

static bool has_pod(const HandoverFacts *f, TheirPod at_least) {
        return f->pods_known && f->pod >= at_least;
}

/* As the server says, and as the witness does not deny. */
static bool is_ready_here(const HandoverFacts *f) {
        return has_pod(f, POD_READY) && !f->pod_gone && !f->pod_idle;
}

/* One that does not start beside ours: the next one is left unbound, */
static bool is_refused(const HandoverFacts *f) {
        return f->host_ports && has_pod(f, POD_BOUND) && (f->runs || (f->stands && f->pod_gone && f->kubelet_ran));
}

/* and ours waits for that one, but not for ever. */
static bool is_to_be_refused(const HandoverFacts *f) {
        return is_refused(f) && !is_ready_here(f) && f->missing_for < HANDOVER_REFUSED;
}

static bool is_exclusive(const HandoverFacts *f) {
        return f->host_ports || f->mode == HANDOFF_EXISTS;
}

/* Traces without a process, while nobody can be asked, or of a pod that the server has no more: they may stay for
 * good. */
static bool is_idle_alone(const HandoverFacts *f) {
        return f->pod_idle && (f->server_away || (f->pods_known && f->pod == POD_NONE));
}

/* What runs is not stopped for one answer. */
static bool is_doubted(const HandoverFacts *f) {
        return f->daemonset == THEIRS_ABSENT && f->mode != HANDOFF_NEVER && f->stop_if_deleted && f->given &&
               !f->stopped && f->stands;
}

/* Something of theirs is here, and it will end. */
static bool is_there(const HandoverFacts *f) {
        return has_pod(f, POD_BOUND) || (f->pod_seen && !is_idle_alone(f));
}

/* Of no pod that the server knows. */
static bool is_orphan(const HandoverFacts *f) {
        return f->pods_known && f->pod == POD_NONE && f->pod_seen && !is_idle_alone(f);
}

static bool is_ours_to_run(const HandoverFacts *f) {
        return f->mode == HANDOFF_NEVER || f->daemonset == THEIRS_FENCED ||
               (f->daemonset == THEIRS_ABSENT && !(f->stop_if_deleted && f->given));
}

/* The controller may be in charge, and its pod is unbound. */
static bool is_pending(const HandoverFacts *f) {
        return (f->daemonset == THEIRS_RUNS || f->daemonset == THEIRS_UNKNOWN) && f->mode != HANDOFF_NEVER &&
               has_pod(f, POD_UNBOUND) && f->pod == POD_UNBOUND;
}

/* There was room for it, and that was not enough. */
static bool has_no_place(const HandoverFacts *f) {
        return f->away && f->unplaced && is_pending(f) && !f->runs;
}

static bool is_in_vain(const HandoverFacts *f) {
        return !f->away && f->unplaced && is_pending(f) && is_exclusive(f);
}

static bool runs(Handover h) {
        return h == HANDOVER_NONE || h == HANDOVER_WAITS;
}

static bool is_asked(const HandoverFacts *f) {
        return f->awaited && f->missing_for < HANDOVER_PATIENCE;
}

static bool is_missing_long(const HandoverFacts *f) {
        return f->away && (has_no_place(f) || handover_is_missing(f)) &&
               (has_no_place(f) ? f->unplaced_for >= HANDOVER_UNPLACED
                                : f->missing_for >= (f->server_away ? HANDOVER_ALONE : HANDOVER_UNSEEN));
}

/* What is answered if one fact is another one. */
#define WITH(f, ...)                                                                                                   \
        ({                                                                                                             \
                HandoverFacts other = *(f);                                                                            \
                __VA_ARGS__;                                                                                           \
                handover_decide(&other);                                                                               \
        })

/* Each is true for all facts; `h` is the answer. NULL: all hold. */
static const char *broken_evidence(const HandoverFacts *f, Handover h) {
        bool away = h == HANDOVER_AWAY, before = f->away || f->stopped;

        if (away && !f->away && !has_pod(f, POD_UNBOUND) && !(f->stopped && f->daemonset == THEIRS_RUNS))
                return "away without evidence";
        if ((away || h == HANDOVER_STOPPED) && is_ours_to_run(f))
                return "away although ours is to run";
        if (away && f->server_away && !f->pods_known && f->daemonset == THEIRS_UNKNOWN && !f->away)
                return "away while the server is, and not before";
        if (away && !before && f->mode == HANDOFF_READY && !is_ready_here(f))
                return "away before theirs is Ready";
        if (away && !before && f->stands && f->mode == HANDOFF_AUTO && !f->host_ports && !is_ready_here(f))
                return "ours goes before theirs is Ready";
        if (away && !before && is_to_be_refused(f))
                return "ours goes for one that the kubelet refuses";
        if (h == HANDOVER_STOPPED &&
            !(f->stop_if_deleted && (f->stopped || (f->given && f->daemonset == THEIRS_ABSENT)) &&
              f->daemonset != THEIRS_RUNS))
                return "stopped without a deletion";
        if (h == HANDOVER_WAITS && !(f->daemonset == THEIRS_RUNS || has_pod(f, POD_UNBOUND)))
                return "it waits for nothing";
        return NULL;
}

static const char *broken_duty(const HandoverFacts *f, Handover h) {
        bool theirs = f->daemonset == THEIRS_RUNS && f->mode != HANDOFF_NEVER, exclusive = is_exclusive(f);

        if (is_in_vain(f) && !f->stopped && f->unplaced_for < HANDOVER_AGAIN && h == HANDOVER_AWAY)
                return "it makes room in vain again";
        if (theirs && (f->away || f->stopped) && !(has_no_place(f) && is_missing_long(f)) && h != HANDOVER_AWAY)
                return "it comes back although the DaemonSet is there";
        if (theirs && is_ready_here(f) && h != HANDOVER_AWAY)
                return "theirs is Ready, and ours is not away";
        if (theirs && exclusive && f->mode != HANDOFF_READY && has_pod(f, POD_UNBOUND) && !is_to_be_refused(f) &&
            !(has_no_place(f) && is_missing_long(f)) && !(is_in_vain(f) && f->unplaced_for < HANDOVER_AGAIN) &&
            h != HANDOVER_AWAY)
                return "theirs cannot start before ours is away";
        if (theirs && f->mode == HANDOFF_AUTO && !f->stands && has_pod(f, POD_BOUND) && !is_to_be_refused(f) &&
            h != HANDOVER_AWAY)
                return "ours is started beside theirs";
        if (theirs && h == HANDOVER_NONE)
                return "the controller is in charge, and nobody says so";
        if (is_ours_to_run(f) && (f->stands || (!exclusive && (f->mode == HANDOFF_NEVER || !is_orphan(f)))) &&
            h != HANDOVER_NONE)
                return "ours does not come back at once";
        if (f->daemonset == THEIRS_ABSENT && !is_ours_to_run(f) &&
            h != (is_doubted(f) && f->missing_for < HANDOVER_UNSEEN ? HANDOVER_NONE : HANDOVER_STOPPED))
                return "deleted, and not stopped, or too early";
        if ((f->daemonset == THEIRS_UNKNOWN || has_no_place(f)) && f->away && f->mode != HANDOFF_NEVER &&
            (h == HANDOVER_AWAY) == is_missing_long(f))
                return "away, though missing for long, or back too early";
        return NULL;
}

static const char *broken_start(const HandoverFacts *f, Handover h) {
        bool exclusive = is_exclusive(f);
        bool comes_back = f->mode != HANDOFF_NEVER && (is_ours_to_run(f) || is_missing_long(f));

        if ((h == HANDOVER_ENDING || h == HANDOVER_AWAITED) && f->stands)
                return "it waits for what is over";
        if (h == HANDOVER_AWAITED && !(is_asked(f) && f->kubelet_ran))
                return "awaited, and nothing can come";
        if (h == HANDOVER_ENDING && !((exclusive && is_there(f)) || (comes_back && is_orphan(f))))
                return "nothing of theirs can end";
        if (exclusive && !f->stands && is_there(f) && runs(h))
                return "ours would be refused for good";
        if (comes_back && !f->stands && is_orphan(f) && runs(h))
                return "ours comes back beside theirs";
        if (is_asked(f) && !f->stands && f->kubelet_ran && runs(h) && (exclusive || !is_ours_to_run(f)) &&
            !(f->away && !exclusive && is_missing_long(f)))
                return "written before the server has answered";
        return NULL;
}

/* What has no part in the answer. */
static const char *broken_calm(const HandoverFacts *f, Handover h) {
        bool unknown_away = f->away && f->daemonset == THEIRS_UNKNOWN;
        bool left = f->pod_seen && f->pod_idle && !f->stands;
        bool unseen = f->host_ports && has_pod(f, POD_BOUND) && f->stands && f->pod_gone;
        Handover later = WITH(f, other.awaited = !f->awaited);

        if (!f->pods_known && WITH(f, other.pod = (f->pod + 1) % 4) != h)
                return "a pod that nobody knows counts";
        if (!unknown_away && !left && WITH(f, other.server_away = !f->server_away) != h)
                return "the server's absence counts";
        if (!f->awaited && !handover_is_missing(f) && !is_refused(f) &&
            WITH(f, other.missing_for = HANDOVER_UNSEEN - f->missing_for) != h)
                return "missing counts though it is not";
        if (!f->given && WITH(f, other.stop_if_deleted = !f->stop_if_deleted) != h)
                return "on_api_deleted counts though nothing was handed over";
        if ((!f->awaited || f->stands) && !unseen && WITH(f, other.kubelet_ran = !f->kubelet_ran) != h)
                return "the kubelet counts";
        if (!is_pending(f) && WITH(f, other.unplaced = !f->unplaced) != h)
                return "to have been unplaced counts though nothing is pending";
        if (later != h && !(later == HANDOVER_AWAITED || h == HANDOVER_AWAITED))
                return "to be awaited leads elsewhere";
        if (!(f->host_ports && has_pod(f, POD_BOUND)) && !f->unplaced && WITH(f, other.runs = !f->runs) != h)
                return "what is seen of ours counts though nothing is refused";
        if (!has_pod(f, POD_READY) && !f->server_away && (!f->pods_known || f->pod != POD_NONE) &&
            WITH(f, other.pod_idle = false) != h)
                return "that it has no process counts though the server is there";
        if (f->pod_seen && !is_exclusive(f) && !is_ours_to_run(f) && !is_missing_long(f) &&
            WITH(f, other.pod_seen = false) != h)
                return "a pod that is seen counts without host ports";
        return NULL;
}

/* Ours is not away. */
static const char *broken_refusal(const HandoverFacts *f, bool missing) {
        bool waits = f->daemonset == THEIRS_RUNS && f->mode != HANDOFF_NEVER && f->host_ports && f->stands &&
                     !f->stopped;
        bool between = !has_pod(f, POD_UNBOUND) && f->missing_for > 0 && f->missing_for < HANDOVER_REFUSED;

        if (missing && !(waits && (is_refused(f) || between)))
                return "what is not refused is counted as if it were";
        if (!missing && waits && (is_refused(f) || between))
                return "it is refused for ever";
        return NULL;
}

static const char *broken_missing(const HandoverFacts *f) {
        bool missing = handover_is_missing(f);

        if (is_doubted(f))
                return missing ? NULL : "deleted, and it does not count how long";
        if (!f->away)
                return broken_refusal(f, missing);
        if (missing && (f->daemonset != THEIRS_UNKNOWN || f->mode == HANDOFF_NEVER))
                return "what is not away, or known, is missing";
        if (missing && f->server_away && !f->pod_gone && !f->pod_idle)
                return "missing, and not known to be gone";
        if (missing && !f->server_away && !f->pods_known)
                return "missing, and nobody can tell";
        if (missing && !f->server_away && has_pod(f, POD_UNBOUND))
                return "missing, and there is a pod";
        if (!missing && f->away && f->daemonset == THEIRS_UNKNOWN && f->mode != HANDOFF_NEVER &&
            (f->server_away ? f->pod_gone || f->pod_idle : f->pods_known && f->pod == POD_NONE))
                return "not missing, and it is not there";
        return NULL;
}

static const char *broken(const HandoverFacts *f) {
        Handover h = handover_decide(f);
        const char *what = broken_evidence(f, h);

        what = what ? what : broken_duty(f, h);
        what = what ? what : broken_start(f, h);
        what = what ? what : broken_calm(f, h);
        return what ? what : broken_missing(f);
}

/* Takes a digit off a number. */
static unsigned digit(unsigned *n, unsigned base) {
        unsigned d = *n % base;

        *n /= base;
        return d;
}

enum { COMBINATIONS = 4 * 2 * 2 * 2 * 4 * 4 * 2 * 2 * 2 * 2 * 2 * 5 * 5 * 4 * 4 };

static HandoverFacts combination(unsigned n) {
        static const int64_t times[] = { 0, HANDOVER_PATIENCE, HANDOVER_ALONE, HANDOVER_REFUSED, HANDOVER_UNSEEN };
        HandoverFacts f = {
                .daemonset = (TheirDaemonSet)digit(&n, 4),
                .awaited = digit(&n, 2),
                .pods_known = digit(&n, 2),
                .server_away = digit(&n, 2),
                .pod = (TheirPod)digit(&n, 4),
                .mode = (HandoffMode)digit(&n, 4),
                .host_ports = digit(&n, 2),
                .runs = digit(&n, 2),
                .stands = digit(&n, 2),
                .kubelet_ran = digit(&n, 2),
                .stop_if_deleted = digit(&n, 2),
                .missing_for = times[digit(&n, 5)],
        };
        /* Nothing is known, it runs, it is idle, it is idle and of an earlier boot, it is gone. */
        unsigned seen = digit(&n, 5), away = digit(&n, 4), unplaced = digit(&n, 4);

        f.pod_seen = seen == 1 || seen == 2;
        f.pod_idle = seen == 2 || seen == 3;
        f.pod_gone = seen == 4;
        f.away = away == 1;
        f.unplaced = (away == 1 || away == 3) && unplaced > 0;
        f.stopped = away == 2;
        f.given = away > 0;
        f.unplaced_for = (int64_t[]){ 0, HANDOVER_UNPLACED - 1, HANDOVER_UNPLACED, HANDOVER_AGAIN }[unplaced];
        assert_int_equal(n, 0);
        return f;
}

static void test_all_combinations(void **state) {
        size_t counts[ARRAY_SIZE(words)] = { 0 };

        (void)state;
        for (unsigned n = 0; n < COMBINATIONS; n++) {
                HandoverFacts f = combination(n);
                const char *what = broken(&f);

                counts[handover_decide(&f)]++;
                if (what) {
                        _cleanup_buf_ Buf facts = BUF_INIT;

                        say_facts(&f, &facts);
                        fail_msg("%s: %s, of %s", words[handover_decide(&f)], what, buf_text(&facts));
                }
        }
        for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
                if (counts[i] == 0)
                        fail_msg("nothing leads to %s", words[i]);
}

/* ---- the annotation ---- */

static void test_modes(void **state) {
        static const char *const bad[] = { "Never", "NEVER", "never ", " ready", "auto", "exist", "readyy", "false" };
        static const struct {
                const char *text;
                HandoffMode mode;
        } good[] = { { "", HANDOFF_AUTO },
                     { "never", HANDOFF_NEVER },
                     { "exists", HANDOFF_EXISTS },
                     { "ready", HANDOFF_READY } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                HandoffMode mode = good[i].mode == HANDOFF_AUTO ? HANDOFF_NEVER : HANDOFF_AUTO;

                assert_true(handoff_mode_parse(good[i].text, &mode));
                assert_int_equal(mode, good[i].mode);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                HandoffMode mode = HANDOFF_READY;

                assert_false(handoff_mode_parse(bad[i], &mode));
                assert_int_equal(mode, HANDOFF_READY);
        }
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(rows) + 2];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                tests[i] = (struct CMUnitTest){ .name = rows[i].name,
                                                .test_func = test_row,
                                                .initial_state = (void *)(uintptr_t)&rows[i] };
        tests[ARRAY_SIZE(rows)] = (struct CMUnitTest)cmocka_unit_test(test_all_combinations);
        tests[ARRAY_SIZE(rows) + 1] = (struct CMUnitTest)cmocka_unit_test(test_modes);
        return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
