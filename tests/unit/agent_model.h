/* SPDX-License-Identifier: Apache-2.0 */
/* A running agent on the host of a kubelet_model: the plan and the ledger are the real ones; the store, the sources and
 * the event loop are done here in memory and in simulated time. It can be killed between any two steps. */
#pragma once

#include "core/ledger.h"
#include "kubelet_model.h"

enum {
        AM_TOMBSTONES = 256,
        AM_REMOVAL_DELAY = 5000, /* milliseconds */
        AM_QUIET = 200,          /* from a change of a source to its reading */
        AM_EPOCH = 1000,         /* what the host's clock shows at the start, seconds */
};

/* What a source says of one DaemonSet. */
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

typedef struct Agent Agent;
struct Agent {
        Kubelet *k;
        const AmWish *sources; /* of KM_SETS, as they are now */
        bool broken;           /* a source cannot be read now */
        bool holds;            /* the hold of DESIGN: until the kubelet has seen the API server */

        /* On the disk. */
        AmMemory memory[KM_SETS];
        AmTombstone tombstones[AM_TOMBSTONES];
        size_t n_tombstones;

        /* In the process. */
        bool up;
        int64_t started;
        Ledger ledger;
        AmWish seen[KM_SETS];
        bool complete;           /* nothing was broken when they were read */
        bool look;               /* at the directory */
        int64_t look_at;         /* an event is on its way; -1 */
        int64_t read_at;         /* the sources changed; -1 */
        int64_t heartbeat_at;    /* the kubelet's process is looked at */
        int64_t kubelet_started; /* the one that is known; -1 */
        bool asked[KM_SETS];     /* by an operator */
        int die_at;              /* dies so many parts of a plan from now; -1: not */

        unsigned passes;        /* ever */
        unsigned passes_at_now; /* without time going on */
        int64_t passed_at;
        int states[KM_SETS]; /* State of the last plan's rows; -1: no row */
        /* Asked before each step is carried out in the directory. */
        void (*on_step)(Agent *a, size_t set, const PlanStep *s);
};

void am_init(Agent *a, Kubelet *k, const AmWish *sources);
void am_start(Agent *a);
void am_kill(Agent *a);
/* Something that it is told of happened. */
void am_news(Agent *a);
void am_sources_changed(Agent *a);
void am_ask_restart(Agent *a, size_t set);
/* Its state directory is lost. */
void am_lose_state(Agent *a);
bool am_knows(const Agent *a, const KmPod *p);
int64_t am_due(const Agent *a);
void am_run(Agent *a);
