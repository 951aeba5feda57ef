/* SPDX-License-Identifier: Apache-2.0 */
/* A running agent on the host of a kubelet_model: the plan and the ledger are the real ones; the store, the sources and
 * the event loop are done here in memory and in simulated time. It can be killed between any two steps.
 *
 * Where it can ask a cluster (Agent.ask) it follows the DaemonSets of its local files there, and the controller's pods
 * of them, each by a list and a watch of its own: it hears late, and late that the server is gone. */
#pragma once

#include "core/ledger.h"
#include "kubelet_model.h"

enum {
        AM_TOMBSTONES = 256,
        AM_REMOVAL_DELAY = 5000, /* milliseconds */
        AM_SETTLE = 60000,       /* for what the live Node says */
        AM_QUIET = 200,          /* from a change of a source to its reading */
        AM_EPOCH = 1000,         /* what the host's clock shows at the start, seconds */
};

/* What a source says of one DaemonSet. Where there is an API server, the Node that it does not fit is the live one. */
typedef struct AmWish {
        bool defined;
        PlanWish wish;
        size_t spec;
        int64_t since;  /* when it became wanted or unwanted, */
        int64_t before; /* and when it did so the time before */
} AmWish;

typedef struct AmMemory {
        bool known;
        const char *bytes, *next;
} AmMemory;

typedef struct AmTombstone {
        KmManifest m;
        int64_t removed_at; /* seconds */
} AmTombstone;

/* What the cluster has of a DaemonSet of ours. */
typedef struct AmTheirs {
        TheirDaemonSet daemonset;
        TheirPod pod;
        char name[KM_NAME], uid[KM_NAME]; /* of the pod */
} AmTheirs;

/* What the agent knows of that. */
typedef struct AmFollow {
        bool followed;
        bool heard; /* an answer or a failure has come */
        bool daemonset_live, pods_live;
        int64_t daemonset_at, pods_at; /* when the answer to a list comes; -1 */
        AmTheirs theirs;
} AmFollow;

/* As in the index. */
typedef struct AmRecord {
        bool present, unplaced, stopped;
        char pod[KM_NAME], uid[KM_NAME], boot[16];
} AmRecord;

typedef struct Agent Agent;
struct Agent {
        Kubelet *k;
        const AmWish *sources; /* of KM_SETS, as they are now */
        bool broken;           /* the local files cannot be read now */
        bool of_api[KM_SETS];  /* the API server defines it, not a file */
        bool holds;            /* the hold of DESIGN: until the kubelet has seen the API server */

        /* On the disk. */
        AmMemory memory[KM_SETS];
        AmTombstone tombstones[AM_TOMBSTONES];
        size_t n_tombstones;
        AmWish seen[KM_SETS]; /* what was last read of the sources */
        int64_t heartbeat;    /* the last one of the kubelet that the API server told of; -1 */
        AmRecord records[KM_SETS];

        /* In the process. */
        bool up;
        int64_t started;
        Ledger ledger;
        bool complete;           /* nothing was broken when they were read */
        bool connected;          /* the API server is heard, */
        int64_t connect_at;      /* or asked then, */
        int64_t node_since;      /* and the Node is followed since then; -1 */
        bool now;                /* an operator overrides the hold, in the next pass */
        bool look;               /* at the directory */
        int64_t look_at;         /* an event is on its way; -1 */
        int64_t read_at;         /* the sources changed; -1 */
        int64_t heartbeat_at;    /* the kubelet's process is looked at */
        int64_t kubelet_started; /* the one that is known; -1 */
        bool asked[KM_SETS];     /* by an operator */
        AmFollow follow[KM_SETS];
        bool away;       /* the server cannot be asked */
        int64_t deaf_at; /* when it finds that the server is gone; -1 */
        int64_t told_at; /* when the watches tell something new; -1 */
        int die_at;      /* dies so many parts of a plan from now; -1: not */

        unsigned passes;        /* ever */
        unsigned passes_at_now; /* without time going on */
        int64_t passed_at;
        Handover handovers[KM_SETS];
        int states[KM_SETS]; /* State of the last plan's rows; -1: no row */
        Reason reasons[KM_SETS];
        /* Asked before each step is carried out in the directory. */
        void (*on_step)(Agent *a, size_t set, const PlanStep *s);

        /* The cluster as it is; NULL: there is none to ask. */
        void (*ask)(void *user, size_t set, AmTheirs *ret);
        void *user;
        HandoffMode modes[KM_SETS];
        bool stop_if_deleted;
};

void am_init(Agent *a, Kubelet *k, const AmWish *sources);
void am_start(Agent *a);
void am_kill(Agent *a);
/* Something that it is told of happened. */
void am_news(Agent *a);
void am_sources_changed(Agent *a);
/* The API server went or came back. */
void am_api_changed(Agent *a);
/* Something happened in the cluster. */
void am_cluster_news(Agent *a);
void am_ask_restart(Agent *a, size_t set);
/* `sync --now` for everything. */
void am_ask_now(Agent *a);
/* Its state directory is lost. */
void am_lose_state(Agent *a);
/* What the API server said is lost. */
void am_lose_cache(Agent *a);
bool am_knows(const Agent *a, const KmPod *p);
int64_t am_due(const Agent *a);
void am_run(Agent *a);
