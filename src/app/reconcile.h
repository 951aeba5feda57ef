/* SPDX-License-Identifier: Apache-2.0 */
/* One pass: read everything, decide, render, plan; then carry the plan out. Level-triggered: a pass depends on what is
 * there now, and of what was before only on what the facts of the plan remember. `sync` and the agent are the same
 * calls: open, read, plan, apply; the agent repeats the later ones without the earlier where nothing changed. */
#pragma once

#include "app/api.h"
#include "app/setup.h"
#include "app/volumes.h"
#include "app/wanted.h"
#include "io/names.h"
#include "io/store.h"

typedef struct Reconcile {
        Config config;
        KubeletSettings kubelet;
        char *manifest_dir, *volumes_dir;
        char *boot;             /* the id of this boot, or NULL */
        char *ca_crt, *ca_note; /* for the pods; why there is none, or NULL */
        size_t ca_crt_len;
        Store *store;
        Materialise *volumes;
        ApiHook hook; /* set by whoever turns a loop, before the opening */
        ApiLink api;
        const char *hold_warning;    /* or NULL */
        bool kubelet_synced;         /* in the last plan */
        bool node_deleted;           /* and so nothing is wanted */
        bool api_stale, api_suspect; /* the server's DaemonSets are not known to be as it says now; a list is doubted */
        uint64_t synced_kubelet;     /* the start of the kubelet whose sync is on disk; 0: none */
        bool volumes_verified;       /* since they were opened */
        const char *only_file;       /* the only manifest whose volumes are made; NULL: all */
        StoreSnapshot snapshot;
        NodeFacts node;
        LocalSnapshot local;
        RenderOptions render;
        Wanted wanted;
        FormerName *former; /* owned */
        size_t n_former;
        const char **complete_files;
        size_t n_complete_files;
        Plan plan;
        Reason *held; /* by each of the last pass's now_files: what held it without that, or None */
        StoreResult result;
} Reconcile;

/* What a plan depends on besides what was read. */
typedef struct ReconcilePass {
        int64_t now; /* seconds, realtime */
        const PlanMemory *memory;
        size_t n_memory;
        int64_t removal_delay;  /* milliseconds */
        const Names *now_files; /* manifests that are changed although something holds them; NULL: none */
} ReconcilePass;

/* Configuration, the kubelet's settings, the store; with options->dry_run nothing is locked or made. r: zeroed; after a
 * failure it holds what was found until then, and wants reconcile_done as well. last: settings of a kubelet that ran,
 * or NULL; while none runs they are taken over (and emptied), else those that were kept of this boot: a kubelet that is
 * stopped was set as it was. */
int reconcile_open(const Options *options, KubeletSettings *last, Reconcile *r, Err *err);

/* Node and sources, and from them what is wanted; replaces what was read before. */
int reconcile_read(const Options *options, Reconcile *r, Err *err);

/* The same where only the API server had news: the local files are as they were read. */
int reconcile_combine(const Options *options, Reconcile *r, Err *err);

/* What the pods of what was scanned do. 0 or -ENOMEM. */
int reconcile_ask_witness(Reconcile *r);

/* What stands, what the pods do, and the plan; replaces the plan before. -ESTALE: a directory is another one than was
 * opened: start over with reconcile_open. */
int reconcile_plan(const Options *options, const ReconcilePass *pass, Reconcile *r, Err *err);

/* Whether the pod of this uid is or was one of ours, as far as the last plan knows. */
bool reconcile_has_pod(const Reconcile *r, const char *uid);

/* Carries the plan out and saves what must be remembered. Everything is tried; the first failure is returned. */
int reconcile_apply(Reconcile *r, const Options *options, int64_t now, Err *err);

void reconcile_done(Reconcile *r);
#define _cleanup_reconcile_ _cleanup_(reconcile_done)
