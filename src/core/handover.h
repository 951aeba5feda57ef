/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs a DaemonSet here, we or the DaemonSet controller: one table from facts to an answer. Pure; the plan carries
 * it out, and holds it where the kubelet has not synced.
 *
 * The controller is in charge of every DaemonSet in the API server that has no fence. Its pod for this node is one that
 * is bound to it, or pending with this node in the matchFields of its required affinity: while ours has a host port the
 * scheduler leaves theirs unbound.
 *
 * - Ours is handed over once theirs exists (where ours has host ports: theirs cannot start before) or is Ready and seen
 *   to run on this host, or not known to be gone (a status may be of before a reboot). Where nothing of ours stands and
 *   theirs is bound, ours is not started at all.
 * - A pod of theirs that was bound although ours has the ports (there is no mirror of ours yet) is refused by the
 *   kubelet; ours waits for the next one, which stays unbound, but not longer than HANDOVER_REFUSED.
 * - What was handed over since this host booted stays away as long as the DaemonSet is there: a pod that comes and goes
 *   is the controller's business. After a reboot the kubelet cannot know their pod before it has seen the API server,
 *   so ours runs until theirs is seen again.
 * - It comes back when the DaemonSet was deleted or fenced; when the server is away and their pod is gone from this
 *   host, or has no process here, for HANDOVER_ALONE; where its pods may be seen but not whether it is there, when
 *   there was none for HANDOVER_UNSEEN. With host ports not before their pod has ended, since a kubelet's refusal is
 *   final; without, beside one that ends, but not beside one that is nobody's any more and runs on.
 * - It comes back as well if the pod that it made room for is still unbound HANDOVER_UNPLACED after ours has ended: its
 *   place is missing for a reason that the scheduler did not come to while ours had the ports. It makes room for that
 *   pod again after HANDOVER_AGAIN, and for the controller's next one at once. A later pod that finds no place, when
 *   one of theirs ran here meanwhile, is the controller's business.
 * - Where nothing of ours stands, it is not written before the server has answered whether theirs is there, for at most
 *   HANDOVER_PATIENCE, and only if a kubelet has run since the host booted. */
#pragma once

#include "base/util.h"

/* On the DaemonSet: "never", "exists" or "ready". */
#define ANNOTATION_HANDOFF "daemonlet.io/handoff"

enum {                                   /* milliseconds */
       HANDOVER_PATIENCE = 10 * 1000,    /* until ours is written although the server has not answered */
       HANDOVER_REFUSED = 2 * 60 * 1000, /* until ours goes although the kubelet refuses theirs again and again */
       HANDOVER_ALONE = 30 * 1000,       /* without their pod, while nobody can be asked */
       HANDOVER_UNPLACED = 60 * 1000,    /* without their pod, since it is not bound though ours has made room for it */
       HANDOVER_AGAIN = 60 * 60 * 1000,  /* from then until ours makes room for the same pod once more */
       HANDOVER_UNSEEN = 10 * 60 * 1000, /* without their pod, where the DaemonSet itself cannot be seen; without the
                                            DaemonSet, until what runs is stopped */
};

typedef enum HandoffMode {
        HANDOFF_AUTO,   /* with host ports as `exists`, else as `ready` */
        HANDOFF_NEVER,  /* ours runs, whatever the controller does */
        HANDOFF_EXISTS, /* as soon as theirs exists */
        HANDOFF_READY,  /* when theirs is Ready */
} HandoffMode;

/* "" is HANDOFF_AUTO; false: no such word. */
bool handoff_mode_parse(const char *text, HandoffMode *ret);

/* The DaemonSet in the API server, as it says now. */
typedef enum TheirDaemonSet {
        THEIRS_UNKNOWN, /* the server is away, or it may not be read with this identity */
        THEIRS_ABSENT,
        THEIRS_FENCED, /* the controller runs none of it */
        THEIRS_RUNS,   /* the controller is in charge */
} TheirDaemonSet;

/* The controller's pod for this node. One that has ended (Failed, Succeeded) is none. */
typedef enum TheirPod { POD_NONE, POD_UNBOUND, POD_BOUND, POD_READY } TheirPod;

typedef struct HandoverFacts {
        TheirDaemonSet daemonset;
        bool awaited;     /* the server was asked, or is about to be, and nothing has come of it yet */
        bool pods_known;  /* `pod` is as the server says now */
        bool server_away; /* it cannot be asked */
        TheirPod pod;
        bool pod_seen; /* the witness sees something of their pod (of the last one, if there is none) on this host; */
        bool pod_idle; /* but no process of it: it starts, ends, or has ended under a kubelet that does not clean up; */
        bool pod_gone; /* it sees that there is nothing. Neither: it cannot tell */
        HandoffMode mode;
        bool host_ports;      /* ours has some */
        bool runs;            /* the witness sees something of our pod: the kubelet refuses theirs while it does */
        bool stands;          /* something of ours stands, or is restored if nothing is decided */
        bool kubelet_ran;     /* since this host booted: theirs may be there */
        bool given;           /* ours was handed over (in whatever boot), and did not come back for good; */
        bool away;            /* it was so since this host booted, and did not come back at all; */
        bool unplaced;        /* ours went for a pod, none of theirs has run since, and `pod` is unbound. If not `away`,
                                 that was in vain: ours came back, and `pod` is that one */
        bool stopped;         /* it was so, and then the DaemonSet was deleted: not `away` */
        bool stop_if_deleted; /* [daemonsets] on_api_deleted = stop */
        int64_t unplaced_for; /* milliseconds since ours ended for such a pod; that nobody could be asked for a moment
                                 does not begin it anew */
        int64_t missing_for;  /* milliseconds for which handover_is_missing was true, or the answer was awaited */
} HandoverFacts;

typedef enum Handover {
        HANDOVER_NONE,    /* ours runs; as far as is known, the controller has no part in it */
        HANDOVER_AWAITED, /* ours is not written before the server has answered, or does not */
        HANDOVER_WAITS,   /* ours runs; the controller is in charge, but has no pod here, or it is not far enough */
        HANDOVER_AWAY,    /* the controller runs it: ours is withdrawn */
        HANDOVER_STOPPED, /* it was deleted in the API server, and so it runs nowhere */
        HANDOVER_ENDING,  /* ours comes back when their pod has ended */
} Handover;

Handover handover_decide(const HandoverFacts *f);

/* Ours is away, and what should run in its place is not there: if that lasts, ours comes back. Or ours stands, and the
 * kubelet refuses theirs because of it, or it is to stop, as the DaemonSet was deleted: if that lasts, ours goes. (That
 * theirs finds no place is another matter: unplaced_for.) */
bool handover_is_missing(const HandoverFacts *f);
