/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-over to the DaemonSet controller: each situation with each thing that the witness can say of our pod and of
 * theirs, under each hold policy: what is done, reported and remembered. Carried out and planned again it is the same.
 */
#include "plan_world.h"

#include <stdio.h>

#define _cleanup_world_ _cleanup_(world_done)

static const struct {
        char letter;
        const char *word;
} witnesses[] = { { 'r', "running" }, { 't', "terminating" }, { 'g', "gone" }, { 'u', "unknown" } };

typedef struct Policy {
        const char *name, *set;
        const char *reason; /* what may be alive is held, and that is why; or NULL */
        bool down;          /* no kubelet has run since the host booted */
} Policy;

static const Policy policies[] = {
        { "never", "set hold=never", NULL, false },
        { "never, and the kubelet has not synced", "set hold=never kubelet-unsynced", NULL, false },
        { "never, and none runs", "set hold=never kubelet-unsynced kubelet-up=-1", NULL, true },
        { "never, and none runs any more", "set hold=never kubelet-unsynced kubelet-up=-1 kubelet-ran", NULL, false },
        { "until synced, and it has", "set hold=until-synced", NULL, false },
        { "until synced, and it has not", "set hold=until-synced kubelet-unsynced", "Held ApiNotSynced", false },
        { "until synced, and none runs", "set hold=until-synced kubelet-unsynced kubelet-up=-1", "Held ApiNotSynced",
          true },
        { "until synced, and none runs any more", "set hold=until-synced kubelet-unsynced kubelet-up=-1 kubelet-ran",
          "Held ApiNotSynced", false },
        { "always", "set hold=always", "Held HoldAlways", false },
        { "until synced, but now", "set hold=until-synced kubelet-unsynced now=a/x", NULL, false },
        { "always, but all now", "set hold=always now=*", NULL, false },
        { "always, and another now", "set hold=always now=a/y", "Held HoldAlways", false },
};

/* What comes of it. */
typedef struct Outcome {
        const char *steps;
        const char *report; /* state and reason; "* Reason": the state is the witness's; NULL: not looked at */
        const char *keeps;  /* what is remembered: "POD BOOT", "unplaced", "stopped" behind it; "" */
} Outcome;

/* In the facts @ is what the witness says of our pod, $ what it says of theirs. */
typedef struct Situation {
        const char *name, *facts;
        const char *theirs; /* for these answers of the witness on theirs; NULL: for all */
        Outcome want;
        const char *held;      /* for these answers on ours it is held where the policy has it so, */
        Outcome frozen;        /* and that comes of it; the policy gives the reason */
        const char *waits;     /* for these answers on ours, in any policy that does not hold it, */
        Outcome waiting;       /* that comes of it */
        Outcome down;          /* where no kubelet has run, if it has steps; */
        const char *held_down; /* and it is held for these answers on ours, instead of those above */
} Situation;

#define STANDS "stands a/x 1\nwritten a/x 1 witness=@\n"
#define STANDS80 "stands a/x 1:80\nwritten a/x 1:80 witness=@\n"
#define WANT "want a/x present 1\n"
#define WANT80 "want a/x present 1:80\n"
#define RUNS "theirs a/x runs witness=$ "
#define READY RUNS "pod=ready\n"
#define BOUND RUNS "pod=bound\n"
#define UNBOUND RUNS "pod=unbound\n"
#define CUT "theirs a/x unknown pods-unknown\nset server-away\n"
#define RECORD "handover a/x pod=x-k7x2p witness=$\n"
#define BEFORE "handover a/x pod=x-k7x2p boot=zero witness=$\n"
#define STOPPED "handover a/x pod=x-k7x2p stopped witness=$\n"
#define OURS80 "tombstone a/x pod=1:80 witness=@\n"
#define OURS "tombstone a/x pod=1 witness=@\n"

#define GIVEN "hand-over", "HandedOver HandedOver", "x-k7x2p one"
#define ROOM_MADE "hand-over", "HandedOver HandedOver", "x-k7x2p one unplaced"
#define UNPLACED "handover a/x pod=x-k7x2p unplaced witness=$\n"
#define IN_VAIN "handover a/x pod=x-k7x2p boot= unplaced witness=$\n"
#define GONE "", "HandedOver HandedOver", "x-k7x2p one"
#define WAITS "", "* HandingOver", ""
#define BACK "x-k7x2p "
/* What is seen of ours has the port. */
#define REFUSED .held = "u", .frozen = { "", NULL, "" }, .waits = "rt", .waiting = { WAITS }
#define NOT_BOOTED .waits = "rt", .waiting = { WAITS }, .down = { GIVEN }, .held_down = "u", .frozen = { "", NULL, "" }
#define FROZEN .held = "rtu", .frozen = { "", NULL, "" }

static const Situation situations[] = {
        /* Given. */
        { "no pod yet", STANDS WANT "theirs a/x runs", .want = { WAITS } },
        { "unbound", STANDS WANT UNBOUND, .want = { WAITS } },
        { "bound", STANDS WANT BOUND, .want = { WAITS } },
        { "Ready", STANDS WANT READY, .theirs = "ru", .want = { GIVEN }, FROZEN },
        { "Ready, but without a process", STANDS WANT READY, .theirs = "t", .want = { WAITS } },
        { "Ready, but gone from here", STANDS WANT READY, .theirs = "g", .want = { WAITS } },
        { "Ready once, and the server is away",
          STANDS WANT "theirs a/x unknown pod=ready pods-unknown\nset server-away", .want = { "", "* Fits", "" } },
        { "ports, no pod yet", STANDS80 WANT80 "theirs a/x runs", .want = { WAITS } },
        { "ports, unbound", STANDS80 WANT80 UNBOUND, .want = { ROOM_MADE }, FROZEN },
        { "ports, bound", STANDS80 WANT80 BOUND, .theirs = "rtu", .want = { GIVEN }, REFUSED },
        { "ports, refused for almost too long", "memory a/x missing=119999\n" STANDS80 WANT80 BOUND, .theirs = "rtu",
          .want = { GIVEN }, REFUSED },
        { "ports, refused for too long", "memory a/x missing=120000\n" STANDS80 WANT80 BOUND, .want = { GIVEN },
          FROZEN },
        { "ports, bound, and nothing of it is here", STANDS80 WANT80 BOUND, .theirs = "g", .want = { WAITS },
          NOT_BOOTED },
        { "ports, Ready", STANDS80 WANT80 READY, .theirs = "ru", .want = { GIVEN }, FROZEN },
        { "ports, Ready, but without a process", STANDS80 WANT80 READY, .theirs = "t", .want = { GIVEN }, REFUSED },
        { "ports, Ready, but gone from here", STANDS80 WANT80 READY, .theirs = "g", .want = { WAITS }, NOT_BOOTED },
        { "ports only in what stands, bound", STANDS80 "want a/x present 2\n" BOUND, .theirs = "rtu", .want = { GIVEN },
          .held = "rtu", .frozen = { "", NULL, "" }, .waits = "rt", .waiting = { "replace=2", "* HandingOver", "" } },
        { "ports, bound, and its file is missing", "written a/x 1:80 witness=@\n" WANT80 BOUND, .theirs = "rtu",
          .want = { "forget", "HandedOver HandedOver", "x-k7x2p one" }, .held = "u",
          .frozen = { "restore=1:80", NULL, "" }, .waits = "rt", .waiting = { "restore=1:80", "* HandingOver", "" } },
        { "ports, bound, and our last pod still ends", OURS80 WANT80 BOUND, .want = { GONE }, .waits = "rt",
          .waiting = { "", "Waiting ControllerEnding", "" } },
        { "exists, bound", STANDS WANT RUNS "pod=bound mode=exists", .want = { GIVEN }, FROZEN },
        { "exists, ports, bound", STANDS80 WANT80 RUNS "pod=bound mode=exists", .theirs = "rtu", .want = { GIVEN },
          REFUSED },
        { "ports only in what stands, unbound", STANDS80 "want a/x present 2\n" UNBOUND, .want = { ROOM_MADE },
          FROZEN },
        { "ports only in what is wanted, unbound", STANDS "want a/x present 2:80\n" UNBOUND, .want = { ROOM_MADE },
          FROZEN },
        { "never, Ready", STANDS80 WANT80 RUNS "pod=ready mode=never", .want = { "", "* Fits", "" } },
        { "exists, no pod", STANDS WANT RUNS "mode=exists", .want = { WAITS } },
        { "exists, unbound", STANDS WANT RUNS "pod=unbound mode=exists", .want = { ROOM_MADE }, FROZEN },
        { "ready, ports, bound", STANDS80 WANT80 RUNS "pod=bound mode=ready", .want = { WAITS } },
        { "ready, ports, Ready", STANDS80 WANT80 RUNS "pod=ready mode=ready", .theirs = "ru", .want = { GIVEN },
          FROZEN },
        { "ready, ports, Ready, but without a process", STANDS80 WANT80 RUNS "pod=ready mode=ready", .theirs = "t",
          .want = { WAITS } },
        { "ready, ports, Ready, but gone", STANDS80 WANT80 RUNS "pod=ready mode=ready", .theirs = "g",
          .want = { WAITS } },
        { "opted out of static pods",
          "stands a/x 1\nwritten a/x 1 origin=api witness=@\nwant a/x present 1 origin=api\n" READY, .theirs = "ru",
          .want = { "hand-over", "HandedOver HandedBack", "x-k7x2p one" }, FROZEN },
        { "another pod than before", STANDS WANT READY "handover a/x pod=x-old99 witness=$", .theirs = "ru",
          .want = { GIVEN }, .held = "rtu", .frozen = { "", NULL, "x-old99 one" } },
        { "nothing stood, and bound", WANT BOUND, .want = { GONE } },
        { "nothing stood, ports, and unbound", WANT80 UNBOUND,
          .want = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "nothing stood, and unbound", WANT UNBOUND, .want = { "create=1", "* HandingOver", "" } },
        { "nothing stood, ready, and bound", WANT RUNS "pod=bound mode=ready",
          .want = { "create=1", "* HandingOver", "" } },
        { "nothing stood, ready, ports, and bound", WANT80 RUNS "pod=bound mode=ready",
          .want = { "", "Waiting ControllerEnding", "" } },

        /* What stands is not as it should be. */
        { "edited", "stands a/x 1!\nwritten a/x 1 witness=@\n" WANT READY, .theirs = "ru", .want = { GIVEN },
          .held = "rtu", .frozen = { "restore=1+save", NULL, "" } },
        { "truncated", "stands a/x text=\nwritten a/x 1 witness=@\n" WANT READY, .theirs = "ru",
          .want = { "quarantine forget", "HandedOver HandedOver", "x-k7x2p one" }, .held = "rtu",
          .frozen = { "restore=1+save", NULL, "" } },
        { "a link", "stands a/x kind=link\nwritten a/x 1 witness=@\n" WANT READY, .theirs = "ru",
          .want = { "quarantine forget", "HandedOver HandedOver", "x-k7x2p one" }, .held = "rtu",
          .frozen = { "restore=1+save", NULL, "" } },
        { "deleted", "written a/x 1 witness=@\n" WANT READY, .theirs = "ru",
          .want = { "forget", "HandedOver HandedOver", "x-k7x2p one" }, .held = "rtu",
          .frozen = { "restore=1", NULL, "" } },
        { "deleted, and not far enough", "written a/x 1 witness=@\n" WANT BOUND,
          .want = { "restore=1", "* HandingOver", "" } },
        { "garbage of which nothing is known", "stands a/x text={\n" WANT BOUND,
          .want = { "quarantine", "HandedOver HandedOver", "x-k7x2p one" } },
        { "garbage while theirs is awaited", "stands a/x text={\n" WANT "theirs a/x unknown pods-unknown awaited",
          .want = { "quarantine", "Waiting ControllerAwaited", "" }, .down = { "replace=1+save", "* Fits", "" } },
        { "unreadable", "stands a/x unreadable\nwritten a/x 1 witness=@\n" WANT READY, .want = { "", "* Fits", "" } },
        { "unreadable, and it was away", "stands a/x unreadable\n" WANT READY RECORD,
          .want = { "", "Written Fits", "x-k7x2p one" } },
        { "a foreign pod of the name", STANDS "stands a/x foreign file=x.yaml\n" WANT READY,
          .want = { "", "Conflict ForeignPod", "" } },
        { "a foreign pod of the name, and it was away", "stands a/x foreign file=x.yaml\n" WANT READY RECORD,
          .want = { "", "Conflict ForeignPod", "x-k7x2p one" } },
        { "a foreign pod in its place", "stands a/x foreign\n" WANT READY, .want = { "", "Conflict ForeignPod", "" } },
        { "state is lost", "stands a/x 1\n" WANT READY, .theirs = "ru", .want = { GIVEN }, .held = "rtgu",
          .frozen = { "record=1", NULL, "" } },
        { "an interrupted write", "stands a/x 2\nwritten a/x 1 next=2 witness=@\n" WANT READY, .theirs = "ru",
          .want = { GIVEN }, .held = "rtgu", .frozen = { "record=2", NULL, "" } },
        { "the mode", "stands a/x 1 mode-wrong\nwritten a/x 1 witness=@\n" WANT READY, .theirs = "ru",
          .want = { GIVEN }, .held = "rtu", .frozen = { "touch", NULL, "" } },
        { "something fights over it", "memory a/x damped\nstands a/x text=\nwritten a/x 1 witness=@\n" WANT READY,
          .theirs = "ru", .want = { "", "Held Fight", "x-k7x2p one" }, .held = "rtu",
          .frozen = { "", "Held Fight", "" } },

        /* What is asked for besides. */
        { "a change", STANDS "want a/x present 2\n" READY, .theirs = "ru", .want = { GIVEN }, FROZEN },
        { "a change, and not far enough", STANDS "want a/x present 2\n" BOUND,
          .want = { "replace=2", "* HandingOver", "" }, FROZEN },
        { "a change of OnDelete", STANDS "want a/x present 2 on-delete\n" READY, .theirs = "ru", .want = { GIVEN },
          FROZEN },
        { "a restart", "memory a/x restart\n" STANDS WANT READY, .theirs = "ru", .want = { GIVEN }, FROZEN },
        { "a restart of what is away", "memory a/x restart\n" WANT READY RECORD, .want = { GONE } },
        { "rendered anew", STANDS "want a/x present 1b\nset rerender\n" READY, .theirs = "ru", .want = { GIVEN },
          FROZEN },
        { "withdrawn, and its pod still ends", OURS "written a/x 1 witness=@\n" WANT READY, .theirs = "ru",
          .want = { "forget", "HandedOver HandedOver", "x-k7x2p one" }, .held = "rtu",
          .frozen = { "", "* Restarting", "" } },
        { "a pod of the same port ends", STANDS80 "tombstone a/y 80 witness=running\n" WANT80 UNBOUND,
          .want = { ROOM_MADE }, FROZEN },

        /* It cannot be written, */
        { "kept: Ready", STANDS "want a/x keep\n" READY, .theirs = "ru", .want = { GIVEN }, FROZEN },
        { "kept: ports of what stands, unbound", STANDS80 "want a/x keep\n" UNBOUND, .want = { ROOM_MADE }, FROZEN },
        { "kept: bound", STANDS "want a/x keep\n" BOUND, .want = { "", "Waiting WaitingForConfigMap", "" } },
        { "kept: it was away", "want a/x keep\n" BOUND RECORD, .want = { GONE } },
        { "kept: deleted, but theirs still runs", "want a/x keep\ntheirs a/x absent\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "kept: deleted", "want a/x keep\ntheirs a/x absent\n" RECORD, .theirs = "tgu",
          .want = { "", "Waiting WaitingForConfigMap", "x-k7x2p one" } },
        { "invalid: Ready", STANDS "want a/x keep state=Invalid reason=Invalid\n" READY, .theirs = "ru",
          .want = { GIVEN }, FROZEN },
        { "invalid: not far enough", STANDS "want a/x keep state=Invalid reason=Invalid\n" BOUND,
          .want = { "", "Invalid Invalid", "" } },

        /* or is not to stand here. */
        { "not here: Ready", STANDS "want a/x absent\n" READY, .want = { "remove", NULL, "" }, FROZEN },
        { "not here: it was away", "want a/x absent\n" BOUND RECORD,
          .want = { "", "NotHere NodeSelectorMismatch", "x-k7x2p one" } },
        { "not here: it was away, and the server is", "want a/x absent\n" CUT RECORD,
          .want = { "", "NotHere NodeSelectorMismatch", "x-k7x2p one" } },
        { "not here: it was away before", "want a/x absent\n" BOUND BEFORE,
          .want = { "", "NotHere NodeSelectorMismatch", "" } },
        { "not here: deleted", "want a/x absent\ntheirs a/x absent\n" RECORD,
          .want = { "", "NotHere NodeSelectorMismatch", "" } },
        { "not here: fenced", "want a/x absent\ntheirs a/x fenced\n" RECORD,
          .want = { "", "NotHere NodeSelectorMismatch", "" } },
        { "nobody else runs it any more", WANT RECORD, .want = { "create=1", "* Fits", "" } },

        /* It stays away. */
        { "away: the pod comes and goes", WANT "theirs a/x runs\n" RECORD, .want = { GONE } },
        { "away: unbound, no ports", WANT UNBOUND RECORD, .want = { GONE } },
        { "away: another pod", WANT BOUND "handover a/x pod=x-old99 witness=gone", .want = { GONE } },
        { "away: somebody put it back", STANDS WANT "theirs a/x runs\n" RECORD, .want = { GIVEN }, .held = "u",
          .frozen = { "", NULL, "x-k7x2p one" }, .waits = "rt", .waiting = { "", "* HandingOver", BACK } },
        { "away: the server is away", WANT CUT RECORD, .want = { GONE } },
        { "away: alone for almost long", "memory a/x missing=29999\n" WANT CUT RECORD, .want = { GONE } },
        { "away: alone for long", "memory a/x missing=30000\n" WANT CUT RECORD, .theirs = "g",
          .want = { "create=1+back", "* Fits", BACK } },
        { "away: alone for long with one that has no process", "memory a/x missing=30000\n" WANT CUT RECORD,
          .theirs = "t", .want = { "create=1+back", "* Fits", BACK } },
        { "away: alone for long with one that has no process, ports", "memory a/x missing=30000\n" WANT80 CUT RECORD,
          .theirs = "t", .want = { "create=1:80+back", "* Fits", BACK } },
        { "away: alone for almost long, ports", "memory a/x missing=29999\n" WANT80 CUT RECORD, .want = { GONE } },
        { "away: alone for long, or not known", "memory a/x missing=30000\n" WANT CUT RECORD, .theirs = "ru",
          .want = { GONE } },
        { "away: unseen for almost long", "memory a/x missing=599999\n" WANT "theirs a/x unknown\n" RECORD,
          .want = { GONE } },
        { "away: unseen for long, but theirs still runs",
          "memory a/x missing=600000\n" WANT "theirs a/x unknown\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "away: unseen for long", "memory a/x missing=600000\n" WANT "theirs a/x unknown\n" RECORD, .theirs = "tgu",
          .want = { "create=1+back", "* Fits", BACK } },
        { "away: unseen for long, ports, and it still runs",
          "memory a/x missing=600000\n" WANT80 "theirs a/x unknown\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "away: unseen for long, ports", "memory a/x missing=600000\n" WANT80 "theirs a/x unknown\n" RECORD,
          .theirs = "tgu", .want = { "create=1:80+back", "* Fits", BACK } },
        { "away: what is being asked", WANT "theirs a/x unknown pods-unknown awaited\n" RECORD, .want = { GONE } },
        { "away: the boot is not known, but theirs runs", WANT "theirs a/x runs\nset boot=unknown\n" RECORD,
          .theirs = "r", .want = { "", "HandedOver HandedOver", BACK } },
        { "away: the boot is not known", WANT "theirs a/x runs\nset boot=unknown\n" RECORD, .theirs = "tgu",
          .want = { "create=1+back", "* HandingOver", BACK } },

        /* Theirs finds no place. */
        { "unplaced", WANT80 UNBOUND UNPLACED, .want = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "unplaced for almost long", "memory a/x unplaced=59999\n" WANT80 UNBOUND UNPLACED,
          .want = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "unplaced for long, but the last one still runs", "memory a/x unplaced=60000\n" WANT80 UNBOUND UNPLACED,
          .theirs = "rt", .want = { "", "Waiting ControllerEnding", "x-k7x2p one unplaced" } },
        { "unplaced for long", "memory a/x unplaced=60000\n" WANT80 UNBOUND UNPLACED, .theirs = "gu",
          .want = { "create=1:80+back", "* HandingOver", BACK " unplaced" } },
        { "unplaced for long: another pod than at first",
          "memory a/x unplaced=60000\n" WANT80 UNBOUND "handover a/x pod=x-old99 unplaced", .theirs = "gu",
          .want = { "create=1:80+back", "* HandingOver", BACK " unplaced" } },
        { "unplaced for long, but ours still ends", "memory a/x unplaced=60000\n" OURS80 WANT80 UNBOUND UNPLACED,
          .theirs = "gu", .want = { "create=1:80+back", "* HandingOver", BACK " unplaced" }, .waits = "rt",
          .waiting = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "unplaced for long, exists", "memory a/x unplaced=60000\n" WANT RUNS "pod=unbound mode=exists\n" UNPLACED,
          .theirs = "gu", .want = { "create=1+back", "* HandingOver", BACK " unplaced" } },
        { "unplaced, and nobody says so any more", "memory a/x unplaced=60000\n" WANT80 CUT UNPLACED, .theirs = "ru",
          .want = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "unplaced, and the server is away for long", "memory a/x missing=60000\n" WANT80 CUT UNPLACED, .theirs = "g",
          .want = { "create=1:80+back", "* Fits", BACK " unplaced" } },
        { "unplaced, and there is none", "memory a/x unplaced=60000\n" WANT80 "theirs a/x runs\n" UNPLACED,
          .want = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "unplaced, then bound, and it runs", "memory a/x unplaced=60000\n" WANT80 BOUND UNPLACED, .theirs = "r",
          .want = { GONE } },
        { "unplaced, then bound, and the kubelet may refuse it yet",
          "memory a/x unplaced=60000\n" WANT80 BOUND UNPLACED, .theirs = "tgu",
          .want = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "unplaced, and then Ready", "memory a/x unplaced=60000\n" WANT80 READY UNPLACED, .want = { GONE } },
        { "unplaced for long, and its ConfigMap is missing now",
          "memory a/x unplaced=60000\nwant a/x keep\n" RUNS "pod=unbound mode=exists\n" UNPLACED,
          .want = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "in vain, and its ConfigMap is missing now",
          STANDS "want a/x keep\n" RUNS "pod=unbound mode=exists\n" IN_VAIN,
          .want = { "", "Waiting WaitingForConfigMap", BACK " unplaced" } },
        { "in vain, and that was not written down", "memory a/x unplaced=60000\n" STANDS80 WANT80 UNBOUND UNPLACED,
          .want = { "", "* HandingOver", BACK " unplaced" } },
        { "in vain, and then bound: it is refused for as long as ever",
          "memory a/x unplaced=200000\n" STANDS80 WANT80 BOUND IN_VAIN, .theirs = "rtu", .want = { GIVEN }, .held = "u",
          .frozen = { "", NULL, BACK " unplaced" }, .waits = "rt",
          .waiting = { "", "* HandingOver", BACK " unplaced" } },
        { "placed once, and then unbound: a rolling update", "memory a/x missing=600000\n" WANT80 UNBOUND RECORD,
          .want = { GONE } },
        { "unplaced, and then it was deleted", WANT80 "theirs a/x absent pod=unbound\n" UNPLACED, .theirs = "gu",
          .want = { "create=1:80+back", "* Fits", "" } },
        { "unplaced, and the hand-over was interrupted", STANDS80 WANT80 UNBOUND UNPLACED, .theirs = "gu",
          .want = { ROOM_MADE }, .held = "rtu", .frozen = { "", NULL, "x-k7x2p one unplaced" } },
        { "in vain", STANDS80 WANT80 UNBOUND IN_VAIN, .want = { "", "* HandingOver", BACK " unplaced" } },
        { "in vain, and its file is missing", "written a/x 1:80 witness=@\n" WANT80 UNBOUND IN_VAIN,
          .want = { "restore=1:80", "* HandingOver", BACK " unplaced" } },
        { "in vain for almost an hour", "memory a/x unplaced=3599999\n" STANDS80 WANT80 UNBOUND IN_VAIN,
          .want = { "", "* HandingOver", BACK " unplaced" } },
        { "in vain for an hour", "memory a/x unplaced=3600000\n" STANDS80 WANT80 UNBOUND IN_VAIN, .want = { ROOM_MADE },
          .held = "rtu", .frozen = { "", NULL, BACK " unplaced" } },
        { "in vain, and the server is away", STANDS80 WANT80 CUT IN_VAIN, .want = { "", "* Fits", BACK " unplaced" } },
        { "in vain, and then another pod", STANDS80 WANT80 UNBOUND "handover a/x pod=x-old99 boot= unplaced witness=$",
          .want = { ROOM_MADE }, .held = "rtu", .frozen = { "", NULL, "x-old99  unplaced" } },
        { "in vain, and then it is deleted", STANDS80 WANT80 "theirs a/x absent\n" IN_VAIN,
          .want = { "", "* Fits", "" } },
        { "made room before a reboot", STANDS80 WANT80 UNBOUND "handover a/x pod=x-k7x2p boot=zero unplaced witness=$",
          .want = { ROOM_MADE }, .held = "rtu", .frozen = { "", NULL, "x-k7x2p zero unplaced" } },
        { "made room before a reboot, and the server is away",
          STANDS80 WANT80 CUT "handover a/x pod=x-k7x2p boot=zero unplaced\n",
          .want = { "", "* Fits", "x-k7x2p zero" } },
        { "unplaced for long, and a directory of ours is left",
          "memory a/x unplaced=60000\ntombstone a/x pod=1:80 removed=900 witness=@\n" WANT80 UNBOUND UNPLACED,
          .theirs = "gu", .want = { "create=1:80+back", "* HandingOver", BACK " unplaced" }, .waits = "r",
          .waiting = { "", "HandedOver HandedOver", "x-k7x2p one unplaced" } },
        { "ports, unbound, and the boot is not known", STANDS80 WANT80 UNBOUND "set boot=unknown\n",
          .want = { "hand-over", "HandedOver HandedOver", BACK }, FROZEN },

        /* A reboot. */
        { "reboot: the server is away, but theirs runs", WANT CUT BEFORE, .theirs = "r", .want = { GONE } },
        { "reboot: the server is away, theirs runs, and our last pod as well", OURS WANT CUT BEFORE, .theirs = "r",
          .want = { GONE }, .held = "r", .frozen = { "", NULL, "x-k7x2p zero" }, .waits = "r",
          .waiting = { "", "Terminating Restarting", "x-k7x2p zero" } },
        { "reboot: the server is away, and ours stands as well", STANDS WANT CUT BEFORE, .theirs = "r",
          .want = { "", "* Fits", "x-k7x2p zero" } },
        { "reboot: the server is away", WANT CUT BEFORE, .theirs = "tgu",
          .want = { "create=1+back", "* Fits", "x-k7x2p zero" } },
        { "reboot: the server is away, ports", WANT80 CUT BEFORE, .theirs = "tgu",
          .want = { "create=1:80+back", "* Fits", "x-k7x2p zero" } },
        { "reboot: the server is away, ports, but theirs runs", WANT80 CUT BEFORE, .theirs = "r", .want = { GONE } },
        { "reboot: Ready", WANT READY BEFORE, .want = { GONE } },
        { "reboot: bound", WANT BOUND BEFORE, .want = { GONE } },
        { "reboot: unbound, and the last one runs", WANT UNBOUND BEFORE, .theirs = "r", .want = { GONE } },
        { "reboot: unbound", WANT UNBOUND BEFORE, .theirs = "tgu",
          .want = { "create=1+back", "* HandingOver", "x-k7x2p zero" } },
        { "reboot: ours stands, and theirs is Ready of before", STANDS WANT READY BEFORE, .theirs = "g",
          .want = { "", "* HandingOver", "x-k7x2p zero" } },
        { "reboot: ours stands, and theirs is Ready", STANDS WANT READY BEFORE, .theirs = "ru", .want = { GIVEN },
          .held = "rtu", .frozen = { "", NULL, "x-k7x2p zero" } },
        { "reboot: being asked, and theirs runs", WANT "theirs a/x unknown pods-unknown awaited\n" BEFORE,
          .theirs = "r", .want = { GONE } },
        { "reboot: being asked", WANT "theirs a/x unknown pods-unknown awaited\n" BEFORE, .theirs = "tgu",
          .want = { "", "Waiting ControllerAwaited", "x-k7x2p zero" },
          .down = { "create=1+back", "* Fits", "x-k7x2p zero" } },
        { "reboot: it stands, and was deleted", STANDS WANT "theirs a/x absent\n" BEFORE,
          .want = { "", "* Fits", "" } },
        { "reboot: it stands, was deleted, and is to stop",
          STANDS WANT "theirs a/x absent\nset stop-if-deleted\n" BEFORE, .want = { "", "* Fits", "x-k7x2p zero" } },
        { "reboot: it stands, was deleted for long, and is to stop",
          "memory a/x missing=600000\n" STANDS WANT "theirs a/x absent\nset stop-if-deleted\n" BEFORE,
          .want = { "remove", "HandedOver DeletedInApi", "x-k7x2p one stopped" }, .held = "rtu",
          .frozen = { "", NULL, "x-k7x2p zero" } },
        { "back while the server is away: it stands", STANDS WANT CUT "handover a/x pod=x-k7x2p boot=\n",
          .want = { "", "* Fits", BACK } },
        { "back while the server is away: theirs is Ready again", STANDS WANT READY "handover a/x pod=x-k7x2p boot=\n",
          .theirs = "ru", .want = { GIVEN }, .held = "rtu", .frozen = { "", NULL, BACK } },
        { "being asked, and another one has its port",
          "stands b/y 1:80\nwritten b/y 1:80\nwant b/y present 1:80\n" WANT80 "theirs a/x unknown pods-unknown awaited",
          .want = { "", "Waiting ControllerAwaited", "" }, .down = { "", "Conflict PortConflict", "" } },
        { "being asked for almost too long", "memory a/x missing=9999\n" WANT "theirs a/x unknown pods-unknown awaited",
          .want = { "", "Waiting ControllerAwaited", "" }, .down = { "create=1", "* Fits", "" } },
        { "being asked for too long", "memory a/x missing=10000\n" WANT "theirs a/x unknown pods-unknown awaited",
          .want = { "create=1", "* Fits", "" } },
        { "being asked", WANT "theirs a/x unknown pods-unknown awaited",
          .want = { "", "Waiting ControllerAwaited", "" }, .down = { "create=1", "* Fits", "" } },
        { "being asked, and ours stands", STANDS WANT "theirs a/x unknown pods-unknown awaited",
          .want = { "", "* Fits", "" } },
        { "being asked, and ours was deleted",
          "written a/x 1 witness=@\n" WANT "theirs a/x unknown pods-unknown awaited",
          .want = { "restore=1", "* Fits", "" } },

        /* Deleted and fenced. */
        { "deleted in the API, but theirs still runs", WANT "theirs a/x absent\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "deleted in the API", WANT "theirs a/x absent\n" RECORD, .theirs = "tgu",
          .want = { "create=1+back", "* Fits", "" } },
        { "deleted in the API, and their pod is left", WANT "theirs a/x absent pod=ready\n" RECORD,
          .want = { "create=1+back", "* Fits", "" } },
        { "deleted in the API, and their unbound pod is left", WANT "theirs a/x absent pod=unbound\n" RECORD,
          .want = { "create=1+back", "* Fits", "" } },
        { "deleted in the API, ports, and it still runs", WANT80 "theirs a/x absent\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "deleted in the API, ports", WANT80 "theirs a/x absent\n" RECORD, .theirs = "tgu",
          .want = { "create=1:80+back", "* Fits", "" } },
        { "deleted in the API, ports, and their pod is left", WANT80 "theirs a/x absent pod=bound\n" RECORD,
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "fenced, ports, their pod is left, and nothing was remembered",
          WANT80 "theirs a/x fenced pod=bound witness=$\n", .want = { "", "Waiting ControllerEnding", BACK } },
        { "deleted in the API, ports, their pod is left, and nothing was remembered",
          WANT80 "theirs a/x absent pod=bound witness=$\n", .want = { "", "Waiting ControllerEnding", BACK } },
        { "deleted in the API, ports, their pod is left, it is to stop, and was never given",
          WANT80 "theirs a/x absent pod=bound witness=$\nset stop-if-deleted\n",
          .want = { "", "Waiting ControllerEnding", "" } },
        { "deleted in the API, and ours stands", STANDS WANT "theirs a/x absent\n" RECORD,
          .want = { "", "* Fits", "" } },
        { "deleted in the API: our last pod still ends", OURS WANT "theirs a/x absent\n" RECORD, .theirs = "gu",
          .want = { "create=1+back", "* Fits", "" }, .waits = "rt",
          .waiting = { "", "Terminating Restarting", "x-k7x2p one" }, .held = "r",
          .frozen = { "", NULL, "x-k7x2p one" } },
        { "deleted in the API: an earlier pod still ends", OURS "want a/x present 2\ntheirs a/x absent\n" RECORD,
          .theirs = "gu", .want = { "create=2+back", "* Fits", "" }, .held = "r",
          .frozen = { "", NULL, "x-k7x2p one" } },
        { "deleted in the API: its port is still held",
          "tombstone a/y 80 witness=running\n" WANT80 "theirs a/x absent\n" RECORD, .theirs = "gu",
          .want = { "", "Waiting WaitingForPort", "x-k7x2p one" } },
        { "deleted in the API: OnDelete, but theirs still runs",
          "want a/x present 2 on-delete\ntheirs a/x absent\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "deleted in the API: OnDelete", "want a/x present 2 on-delete\ntheirs a/x absent\n" RECORD, .theirs = "tgu",
          .want = { "create=2+back", "* Fits", "" } },
        { "deleted in the API, and stop", WANT "theirs a/x absent\nset stop-if-deleted\n" RECORD,
          .want = { "", "HandedOver DeletedInApi", "x-k7x2p one stopped" } },
        { "deleted in the API, and stop, but it was never given", STANDS WANT "theirs a/x absent\nset stop-if-deleted",
          .want = { "", "* Fits", "" } },
        { "stopped, and somebody put it back", STANDS WANT "theirs a/x absent\nset stop-if-deleted\n" STOPPED,
          .want = { "remove", "HandedOver DeletedInApi", "x-k7x2p one stopped" }, .held = "rtu",
          .frozen = { "", NULL, "x-k7x2p one stopped" } },
        { "another rendering with a port stood, Ready but gone",
          "written a/x 1:80 witness=@\nwant a/x present 1\n" READY, .theirs = "g",
          .want = { "restore=1:80", "* StaleRender", "" } },
        { "stopped, and the server is away", WANT CUT "set stop-if-deleted\n" STOPPED,
          .want = { "", "HandedOver DeletedInApi", "x-k7x2p one stopped" } },
        { "stopped before the reboot", WANT CUT "set stop-if-deleted\nhandover a/x pod=x-k7x2p boot=zero stopped",
          .want = { "", "HandedOver DeletedInApi", "x-k7x2p one stopped" } },
        { "stopped, it is to run now, and theirs runs", WANT CUT STOPPED, .theirs = "r", .want = { GONE } },
        { "stopped, and it is to run now", WANT CUT STOPPED, .theirs = "tgu",
          .want = { "create=1+back", "* Fits", BACK } },
        { "stopped, and it is there again", WANT "theirs a/x runs\nset stop-if-deleted\n" STOPPED, .want = { GONE } },
        { "fenced, but theirs still runs", WANT "theirs a/x fenced\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "fenced", WANT "theirs a/x fenced\n" RECORD, .theirs = "tgu", .want = { "create=1+back", "* Fits", "" } },
        { "fenced, ports, and it still runs", WANT80 "theirs a/x fenced\n" RECORD, .theirs = "r",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "fenced, ports, and its traces are left", WANT80 "theirs a/x fenced\n" RECORD, .theirs = "tgu",
          .want = { "create=1:80+back", "* Fits", "" } },
        { "fenced, ports, its traces are left, and its pods are not known",
          WANT80 "theirs a/x fenced pods-unknown\n" RECORD, .theirs = "t",
          .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "never, and it was away", WANT "theirs a/x runs mode=never\n" RECORD,
          .want = { "create=1+back", "* Fits", "" } },

        /* What stands is kept, whatever was rendered. */
        { "only new: nothing stands", "want a/x present 2 only-new\ntheirs a/x runs",
          .want = { "create=2", "* HandingOver", "" } },
        { "only new: it stands", STANDS "want a/x present 2 only-new\ntheirs a/x runs", .want = { WAITS } },
        { "only new: rendered anew", STANDS "want a/x present 1b only-new\nset rerender\ntheirs a/x runs",
          .want = { "", NULL, "" } },
        { "only new: edited", "stands a/x 1!\nwritten a/x 1 witness=@\nwant a/x present 2 only-new\ntheirs a/x runs",
          .want = { "restore=1+save", "* HandingOver", "" } },
        { "only new: deleted", "written a/x 1 witness=@\nwant a/x present 2 only-new\ntheirs a/x runs",
          .want = { "restore=1", "* HandingOver", "" } },
        { "only new: Ready", STANDS "want a/x present 2 only-new\n" READY, .theirs = "ru", .want = { GIVEN }, FROZEN },
        /* Others that want its port. */
        { "another one wants its port: it is given", STANDS80 WANT80 UNBOUND "want b/y present 1:80",
          .want = { ROOM_MADE }, FROZEN },
        { "another one wants its port: theirs has it", WANT80 BOUND RECORD "want b/y present 1:80", .want = { GONE } },
        { "another one wants its port: theirs still runs", WANT80 "theirs a/x absent\n" RECORD "want b/y present 1:80",
          .theirs = "r", .want = { "", "Waiting ControllerEnding", "x-k7x2p one" } },
        { "another one wants its port: it stopped",
          WANT80 "theirs a/x absent\nset stop-if-deleted\n" RECORD "want b/y present 1:80",
          .want = { "create=1:80", "HandedOver DeletedInApi", "x-k7x2p one stopped" } },
        { "another one has its port, and it comes back",
          "stands b/y 1:80\nwritten b/y 1:80\nwant b/y present 1:80\n" WANT80 "theirs a/x absent\n" RECORD,
          .theirs = "gu", .want = { "", "Conflict PortConflict", "x-k7x2p one" } },
        { "only new: its port is what stands",
          STANDS80 "want a/x present 2:81 only-new\nwant b/y present 1:80\nwant b/z present 1:81",
          .want = { "create=1:81", "* Fits", "" } },
};

/* ---- carrying out ---- */

static void drop_entry(World *w, const char *file) {
        for (size_t i = 0; i < w->facts.n_present; i++)
                if (streq(w->present[i].file, file)) {
                        w->present[i] = w->present[--w->facts.n_present];
                        return;
                }
}

/* What the witness said of the pod of these bytes. */
static Witness drop_written(World *w, const PlanStep *s) {
        for (size_t i = 0; i < w->facts.n_written; i++) {
                const PlanWritten x = w->written[i];

                if (!streq(x.file, s->file))
                        continue;
                w->written[i] = w->written[--w->facts.n_written];
                return x.bytes && s->bytes && x.len == s->len && memcmp(x.bytes, s->bytes, s->len) == 0
                               ? x.witness
                               : WITNESS_UNKNOWN;
        }
        return WITNESS_UNKNOWN;
}

/* What was said of the pod with this uid. */
static Witness witness_before(const World *w, const char *uid, const PlanHandover *records, size_t n) {
        for (size_t i = 0; i < w->facts.n_wanted; i++)
                if (w->wanted[i].theirs && streq(w->wanted[i].theirs->pod_uid, uid))
                        return w->wanted[i].theirs->witness;
        for (size_t i = 0; i < n; i++)
                if (streq(records[i].uid, uid))
                        return records[i].witness;
        return WITNESS_UNKNOWN;
}

/* As the store does it, but that nothing is buried. */
static void carry_out(World *w, const Plan *plan) {
        PlanHandover *records = w->handovers;
        size_t n = w->facts.n_handovers;

        w->handovers = NULL;
        w->facts.n_handovers = w->cap_handovers = 0;
        for (size_t i = 0; i < plan->n_handovers; i++) {
                const PlanHandover *h = &plan->handovers[i];
                PlanHandover *x = world_handover(w, h->namespace, h->name, h->pod);

                assert_string_equal(x->uid, h->uid);
                x->boot = h->boot;
                x->unplaced = h->unplaced;
                x->stopped = h->stopped;
                x->witness = witness_before(w, h->uid, records, n);
        }
        free(records);
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];
                bool writes = s->verb == STEP_RECORD || s->verb == STEP_RESTORE || s->verb == STEP_REPLACE ||
                              s->verb == STEP_CREATE;
                Witness witness;

                if (s->verb == STEP_TOUCH) {
                        for (size_t j = 0; j < w->facts.n_present; j++)
                                w->present[j].mode_wrong = false;
                        continue;
                }
                if (s->verb != STEP_FORGET)
                        drop_entry(w, s->file);
                if (s->verb == STEP_QUARANTINE)
                        continue;
                witness = drop_written(w, s);
                if (writes) {
                        const char *spec = world_spec(w, s->bytes, s->len);
                        PlanWritten *x = world_written(w, s->namespace, s->name, spec, NULL);

                        (void)world_entry(w, s->file, ENTRY_REGULAR, s->bytes, s->len);
                        x->origin = s->origin;
                        x->witness = witness;
                }
        }
}

/* ---- cells ---- */

static void say_steps(const World *w, const Plan *plan, Buf *out) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];

                buf_printf(out, "%s%s", i ? " " : "", step_verb_name(s->verb));
                if (s->bytes)
                        buf_printf(out, "=%s", world_spec(w, s->bytes, s->len));
                buf_printf(out, "%s%s", s->save_copy ? "+save" : "", s->back ? "+back" : "");
        }
}

static void say_handovers(const Plan *plan, Buf *out) {
        for (size_t i = 0; i < plan->n_handovers; i++) {
                const PlanHandover *h = &plan->handovers[i];

                assert_string_equal(h->namespace, "a");
                assert_string_equal(h->name, "x");
                buf_printf(out, "%s%s %s%s%s", i ? ", " : "", h->pod, h->boot, h->unplaced ? " unplaced" : "",
                           h->stopped ? " stopped" : "");
        }
}

static bool is_reported(const PlanRow *row, const char *report) {
        const char *behind = report ? strchr(report, ' ') : NULL;
        size_t n = strlen(state_name(row->state));

        if (!report)
                return true;
        if (!streq(behind + 1, reason_name(row->reason)))
                return false;
        return report[0] == '*' || (strncmp(report, state_name(row->state), n) == 0 && report[n] == ' ');
}

static void read_facts(World *w, const char *facts, const char *ours, const char *theirs) {
        _cleanup_buf_ Buf text = BUF_INIT;

        for (; *facts; facts++)
                if (*facts == '@')
                        buf_str(&text, ours);
                else if (*facts == '$')
                        buf_str(&text, theirs);
                else
                        buf_char(&text, *facts);
        world_read(w, world_text(w, "%s", buf_text(&text)));
}

static Outcome wanted_outcome(const Situation *s, const Policy *p, char ours) {
        const char *held = p->down && s->held_down ? s->held_down : s->held;
        Outcome frozen = s->frozen;

        if (p->reason && held && strchr(held, ours)) {
                frozen.report = frozen.report ? frozen.report : p->reason;
                return frozen;
        }
        if (s->waits && strchr(s->waits, ours))
                return s->waiting;
        return p->down && s->down.steps ? s->down : s->want;
}

static void check_plan(const World *w, const Plan *plan, const Outcome *want, const char *where) {
        const PlanRow *row = plan_find_row(plan, "a", "x");
        _cleanup_buf_ Buf steps = BUF_INIT, keeps = BUF_INIT;

        say_steps(w, plan, &steps);
        say_handovers(plan, &keeps);
        if (!streq(buf_text(&steps), want->steps))
                fail_msg("%s: steps %s, not %s", where, buf_text(&steps), want->steps);
        if (!streq(buf_text(&keeps), want->keeps))
                fail_msg("%s: remembered %s, not %s", where, buf_text(&keeps), want->keeps);
        assert_non_null(row);
        if (!is_reported(row, want->report))
                fail_msg("%s: %s %s, not %s", where, state_name(row->state), reason_name(row->reason), want->report);
        if (row->state != STATE_HELD && row->held_since)
                fail_msg("%s: held since %lld", where, (long long)row->held_since);
}

/* What is written just now has no pod that the witness knows, so a hold may come of it; hand-overs do not change. */
static void check_again(World *w, const Plan *plan, const char *where) {
        _cleanup_plan_ Plan again = { 0 };
        _cleanup_buf_ Buf steps = BUF_INIT, before = BUF_INIT, after = BUF_INIT;

        carry_out(w, plan);
        for (size_t i = 0; i < w->facts.n_memory; i++) {
                w->memory[i].restart = false;
                /* As the ledger does it. */
                if (plan_find_row(plan, "a", "x")->unplaced_anew)
                        w->memory[i].unplaced_for = 0;
        }
        assert_int_equal(plan_make(&w->facts, &again), 0);
        say_steps(w, &again, &steps);
        say_handovers(plan, &before);
        say_handovers(&again, &after);
        if (again.n_steps)
                fail_msg("%s: a second plan has steps %s", where, buf_text(&steps));
        if (!streq(buf_text(&before), buf_text(&after)))
                fail_msg("%s: remembered %s, and then %s", where, buf_text(&before), buf_text(&after));
}

static void check_cell(const Situation *s, const Policy *p, size_t ours, size_t theirs) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;
        Outcome want = wanted_outcome(s, p, witnesses[ours].letter);
        char where[512];

        world_init(&w);
        read_facts(&w, s->facts, witnesses[ours].word, witnesses[theirs].word);
        world_read(&w, world_text(&w, "%s", p->set));
        (void)snprintf(where, sizeof(where), "%s; %s, theirs %s; %s", s->name, witnesses[ours].word,
                       witnesses[theirs].word, p->name);
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        check_plan(&w, &plan, &want, where);
        check_again(&w, &plan, where);
}

static void test_situation(void **state) {
        const Situation *s = *state;

        for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
                for (size_t j = 0; j < ARRAY_SIZE(witnesses); j++)
                        for (size_t k = 0; k < ARRAY_SIZE(witnesses); k++)
                                if (!s->theirs || strchr(s->theirs, witnesses[k].letter))
                                        check_cell(s, &policies[i], j, k);
}

/* ---- the set of records ---- */

static void check_records(const char *facts, const char *want) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_buf_ Buf got = BUF_INIT;
        _cleanup_world_ World w;

        world_init(&w);
        world_read(&w, world_text(&w, "%s", facts));
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        for (size_t i = 0; i < plan.n_handovers; i++)
                buf_printf(&got, "%s/%s %s;", plan.handovers[i].namespace, plan.handovers[i].name,
                           plan.handovers[i].pod);
        assert_string_equal(buf_text(&got), want);
}

/* Nothing else would ever end it. */
static void test_nothing_is_kept_for_what_is_not_wanted(void **state) {
        (void)state;
        check_records("handover a/x pod=p boot=zero", "");
        check_records("stands a/x 1\nwritten a/x 1\nhandover a/x pod=p boot=zero", "");
        check_records("want a/x present 1\nhandover a/x pod=p", "");
        check_records("want a/y present 1\ntheirs a/y runs\nhandover a/x pod=p boot=zero\nhandover a/y pod=q\n"
                      "handover b/x pod=r boot=zero\nhandover b/y pod=s boot=",
                      "a/y q;");
        /* Its file may be written again in a moment; the next boot settles it. */
        check_records("handover a/x pod=p\nhandover b/y pod=s boot=zero", "a/x p;");
}

/* It is in the way of whoever wants it again. */
static void test_a_pod_that_is_seen_is_remembered_for_nobody(void **state) {
        (void)state;
        check_records("handover a/x pod=p witness=running", "a/x p;");
        check_records("handover a/x pod=p witness=terminating boot=zero", "a/x p;");
        check_records("handover a/x pod=p witness=gone boot=zero", "");
        check_records("stands a/x 1\nwritten a/x 1\nhandover a/x pod=p witness=running", "a/x p;");
        check_records("want a/y present 1\nhandover a/x pod=p witness=running\nhandover a/y pod=q witness=running",
                      "a/x p;");
        check_records("want a/x present 1\nhandover a/x pod=p witness=running", "");
}

static void check_unsettled(const char *facts, Handover handover, bool unsettled) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;
        const PlanRow *row;

        world_init(&w);
        world_read(&w, world_text(&w, "%s", facts));
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        row = plan_find_row(&plan, "a", "x");
        assert_non_null(row);
        assert_int_equal(row->handover, handover);
        if (row->unsettled != unsettled)
                fail_msg("%s%s", facts, unsettled ? " is settled" : " is unsettled");
}

/* No event tells of it. */
static void test_what_may_change_unheard_is_looked_at_again(void **state) {
        static const char kept[] = "stands a/x 1\nwritten a/x 1 witness=running\nwant a/x present 1\n";

        (void)state;
        check_unsettled("want a/x present 1\ntheirs a/x unknown pods-unknown\nset server-away\n"
                        "handover a/x pod=p witness=running",
                        HANDOVER_AWAY, true);
        check_unsettled("want a/x present 1\ntheirs a/x runs pod=ready\nhandover a/x pod=x-k7x2p witness=running",
                        HANDOVER_AWAY, false);
        check_unsettled("want a/x present 1\ntheirs a/x unknown pods-unknown\nhandover a/x pod=p witness=running",
                        HANDOVER_AWAY, false);
        check_unsettled("want a/x present 1:80\ntombstone a/x pod=1:80 witness=running\ntheirs a/x runs pod=unbound\n"
                        "handover a/x pod=x-k7x2p unplaced",
                        HANDOVER_AWAY, true);
        check_unsettled("want a/x present 1:80\ntombstone a/x pod=1:80 witness=running\ntheirs a/x runs pod=unbound\n"
                        "handover a/x pod=x-k7x2p",
                        HANDOVER_AWAY, false);
        for (size_t i = 0; i < 2; i++) {
                char facts[256];

                (void)snprintf(facts, sizeof(facts), "%stheirs a/x runs pod=ready witness=%s", kept,
                               i ? "terminating" : "gone");
                check_unsettled(facts, HANDOVER_WAITS, true);
                (void)snprintf(facts, sizeof(facts), "%stheirs a/x runs pod=bound witness=%s", kept,
                               i ? "terminating" : "gone");
                check_unsettled(facts, HANDOVER_WAITS, false);
        }
}

/* Who wants it was perhaps not read. */
static void test_all_is_kept_where_a_source_was_not_read(void **state) {
        (void)state;
        check_records("handover a/x pod=p\nset local-incomplete not-synced", "a/x p;");
        check_records("handover a/x pod=p\nset not-synced api-unsynced", "a/x p;");
        check_records("want a/y present 1\ntheirs a/y runs\nhandover a/x pod=p\nhandover a/y pod=q\n"
                      "handover b/x pod=r\nset local-incomplete not-synced",
                      "a/x p;a/y q;b/x r;");
        check_records("want a/x present 1\nhandover a/x pod=p\nset local-incomplete not-synced", "");
}

/* By namespace and name, which is not the order of files; each record is found. */
static void test_records_are_in_the_order_of_names(void **state) {
        (void)state;
        check_records("want a-b/x present 1\nwant b/y present 1\nwant a/z present 1\nwant a/x present 1\n"
                      "theirs a-b/x runs\ntheirs b/y runs\ntheirs a/z runs\ntheirs a/x runs\n"
                      "handover a/x pod=1\nhandover a/z pod=2\nhandover a-b/x pod=3\nhandover b/y pod=4",
                      "a/x 1;a/z 2;a-b/x 3;b/y 4;");
}

static void test_the_pod_and_its_uid_are_remembered(void **state) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;

        (void)state;
        world_init(&w);
        world_read(&w, world_text(&w, "want a/x present 1\ntheirs a/x runs pod=bound\nhandover a/x pod=x-old99"));
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        assert_int_equal(plan.n_handovers, 1);
        assert_string_equal(plan.handovers[0].pod, "x-k7x2p");
        assert_string_equal(plan.handovers[0].uid, "uid-of-x-k7x2p");
        assert_string_equal(plan.handovers[0].boot, "one");
        plan_done(&plan);
        /* Where the boot cannot be told it is none. */
        world_read(&w, world_text(&w, "want a/y present 1\ntheirs a/y runs pod=bound\nset boot=unknown"));
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        assert_int_equal(plan.n_handovers, 2);
        assert_string_equal(plan.handovers[0].boot, "");
}

static int make_plan(void *user) {
        const World *w = user;
        _cleanup_plan_ Plan plan = { 0 };

        return plan_make(&w->facts, &plan);
}

/* Few enough for a sort that needs no memory. */
static void test_out_of_memory(void **state) {
        static const char facts[] = "stands d/a 1:90\n"
                                    "written d/a 1:90 witness=running\n"
                                    "want d/a present 1:90\n"
                                    "theirs d/a runs pod=unbound difference=image\n"
                                    "want d/b present 1\n"
                                    "theirs d/b absent\n"
                                    "want d/c present 1\n"
                                    "theirs d/c unknown pods-unknown awaited\n"
                                    "stands d/d 1\n"
                                    "written d/d 1\n"
                                    "want d/d present 1\n"
                                    "theirs d/d runs unfit=taint\n"
                                    "want d/e present 1:91\n"
                                    "theirs d/e fenced witness=running\n"
                                    "stands d/f 1:92\n"
                                    "want d/f keep\n"
                                    "theirs d/f runs pods-unknown blind=forbidden\n"
                                    "want d/g present 1\n"
                                    "theirs d/g absent\n"
                                    "handover d/b pod=b-old99\n"
                                    "handover d/e pod=e-old99 witness=running\n"
                                    "handover d/g pod=g-old99 stopped\n";
        _cleanup_world_ World w;

        (void)state;
        world_init(&w);
        world_read(&w, world_text(&w, "%s", facts));
        test_oom(make_plan, &w);
}

int main(void) {
        static const struct CMUnitTest others[] = {
                cmocka_unit_test(test_nothing_is_kept_for_what_is_not_wanted),
                cmocka_unit_test(test_a_pod_that_is_seen_is_remembered_for_nobody),
                cmocka_unit_test(test_what_may_change_unheard_is_looked_at_again),
                cmocka_unit_test(test_all_is_kept_where_a_source_was_not_read),
                cmocka_unit_test(test_records_are_in_the_order_of_names),
                cmocka_unit_test(test_the_pod_and_its_uid_are_remembered),
                cmocka_unit_test(test_out_of_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(situations) + ARRAY_SIZE(others)];

        for (size_t i = 0; i < ARRAY_SIZE(situations); i++)
                tests[i] = (struct CMUnitTest){ .name = situations[i].name,
                                                .test_func = test_situation,
                                                .initial_state = (void *)(uintptr_t)&situations[i] };
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                tests[ARRAY_SIZE(situations) + i] = others[i];
        return cmocka_run_group_tests_name("plan handover", tests, NULL, NULL);
}
