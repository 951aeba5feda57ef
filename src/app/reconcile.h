/* SPDX-License-Identifier: Apache-2.0 */
/* One pass: read everything, decide, render, plan; then carry the plan out. Level-triggered: a pass depends on what is
 * there now and on nothing that happened before. */
#pragma once

#include "app/setup.h"
#include "app/wanted.h"
#include "io/store.h"

typedef struct Reconcile {
        Config config;
        KubeletSettings kubelet;
        char *manifest_dir;
        Store *store;
        StoreSnapshot snapshot;
        NodeFacts node;
        LocalSnapshot local;
        Wanted wanted;
        const char **complete_files;
        size_t n_complete_files;
        Plan plan;
        StoreResult result;
} Reconcile;

/* Reads the facts and makes the plan; with options->dry_run nothing is locked or made. now: seconds, realtime. */
int reconcile_prepare(const Options *options, int64_t now, Reconcile *ret, Err *err);

/* Carries the plan out and saves what must be remembered. Everything is tried; the first failure is returned. */
int reconcile_apply(Reconcile *r, const Options *options, int64_t now, Err *err);

void reconcile_done(Reconcile *r);
#define _cleanup_reconcile_ _cleanup_(reconcile_done)
