/* SPDX-License-Identifier: Apache-2.0 */
/* The store: the manifest directory and the state directory. The only writer of manifests.
 *
 * State directory (0700):
 *   manifests/<file>   the bytes last written for each manifest (0600)
 *   next/<file>        the bytes about to be written; renamed to manifests/<file> once the manifest stands
 *   quarantine/<stamp>-<n>-<file>   what was moved out of the manifest directory (the newest 64 are kept)
 *   index.json         origins, tombstones, hand-overs, the node's name, the machine id, the manifest directory's path
 *   sources.json       the last good objects of each local file
 *   volumes/           what pods mount (io/materialise.h)
 *   ca.crt             the cluster's CA, as it was last seen (app/setup.h)
 *   kubelet.json       the settings of the last kubelet of this boot (io/kubelet.h)
 *   api/               what the API server last said (io/api_cache.h)
 *   cluster.json       which cluster that was, and whether this host left it (io/source_api_cluster.c)
 * A damaged index or sources file is moved aside (".damaged") and reported; state lost never changes a manifest.
 * A directory that cannot be moved to the quarantine (another file system) becomes `.daemonlet-quarantine-*` where it
 * is: no kubelet looks at it, and it is neither reported nor swept.
 *
 * A write: next/<file> (fsync, rename), then `.daemonlet-*` in the manifest directory, fsync, rename over the manifest,
 * at the end of the plan one fsync of each directory, then next/ becomes manifests/. Killed at any point, each manifest
 * is whole-old or whole-new, and both are known to state. Names are used relative to directory descriptors, never
 * following links. */
#pragma once

#include "core/objects.h"
#include "core/plan.h"

typedef struct Store Store;

typedef struct StoreOptions {
        const char *manifest_dir;
        const char *state_dir;
        bool read_only; /* dry run and explain: takes no lock, makes nothing, writes nothing */
} StoreOptions;

/* Opens both directories; makes the state directory (0700, parents 0755), never the manifest directory. Takes flock on
 * the manifest directory unless read_only. -EBUSY: another process holds the lock; -ENOENT, -ENOTDIR, -EACCES...: err
 * names the directory; -EPERM: a directory has unsafe owner or mode (writable by others). With read_only a state
 * directory that is not there is an empty one. */
int store_open(const StoreOptions *options, Store **ret, Err *err);
Store *store_free(Store *s);
DEFINE_CLEANUP(Store *, store_free)
#define _cleanup_store_ _cleanup_(store_freep)

/* What stands and what is remembered, as facts for a plan. Owned by the store, valid until the next scan. */
typedef struct StoreSnapshot {
        const PlanEntry *present;
        size_t n_present;
        PlanWritten *written; /* witness: unknown, for the caller to fill in; so it is with all of them */
        size_t n_written;
        PlanTombstone *tombstones;
        size_t n_tombstones;
        PlanHandover *handovers; /* by namespace and name */
        size_t n_handovers;
        const char *node_name; /* last known name of this node on this machine, or NULL */
        const char *warning;   /* state was damaged and moved aside: one line, or NULL */
} StoreSnapshot;

/* 0, or an error after which nothing may be planned: a directory that was not read to its end is not known. -ESTALE: a
 * path names another directory than the one that was opened (deleted, replaced, mounted over): free and open again.
 * Every file is looked at, but not read again if it looks as it did when a scan of the last minutes read it at rest. */
int store_scan(Store *s, StoreSnapshot *ret, Err *err);

typedef struct StoreResult {
        size_t done, failed;
} StoreResult;

/* Carries the plan out, step by step in its order. A step that fails leaves what stood as it was and gets its `failure`
 * set; the others go on.
 * What the plan wants remembered of hand-overs is saved before the first step (only if it is new): killed behind that,
 * the next plan comes to the same end. If that fails, the steps HAND_OVER fail, and the others go on. Steps that
 * write equal bytes touch nothing; a plan without steps touches nothing at all, unless an interrupted one left
 * something. CREATE never overwrites: what appeared since the scan makes it fail with -EEXIST. now: seconds, realtime,
 * for tombstones and quarantine names. 0, or the first failure's errno with its message (all steps were tried; some
 * failures, as of a copy for the quarantine, do not make their step fail). -ESTALE as store_scan: nothing was done. An
 * entry that the last scan could not read is a failure too, since nothing could be decided about it. When nothing
 * failed and the manifests were written to another directory before, ours go from there. */
int store_apply(Store *s, Plan *plan, int64_t now, StoreResult *ret, Err *err);

/* What is handed over, as it is remembered now; valid until the next store_apply. */
const PlanHandover *store_handovers(const Store *s, size_t *ret_n);

/* Calls add for each manifest that state remembers, of this origin; until one returns another value than 0, which is
 * given back. */
int store_each_of(const Store *s, const char *origin, int (*add)(void *user, const char *namespace, const char *name),
                  void *user);

/* Takes over what the witness says of the tombstones' pods: one that is seen is remembered, however old it is. */
void store_see(Store *s, const StoreSnapshot *snapshot);

/* The last known name of this node on this machine, or NULL; valid until the next store_set_node_name. */
const char *store_node_name(const Store *s);

/* The manifest directory that was last written to, given to the caller; NULL if that is not known. 0 or -ENOMEM. */
int store_last_manifest_dir(const char *state_dir, char **ret);

/* The last good local objects, for whoever only looks, with neither lock nor store; *ret is NULL where they cannot be
 * read. 0 or -ENOMEM. */
int store_peek_sources(const char *state_dir, char **ret, size_t *ret_len);

/* Remembers the node's name. Writes only if it changed. */
int store_set_node_name(Store *s, const char *name, Err *err);

/* Last good local objects, as canonical JSON bytes that source_dir understands; NULL if there are none. */
int store_load_sources(Store *s, char **ret_bytes, size_t *ret_len, Err *err);
int store_save_sources(Store *s, const char *bytes, size_t len, Err *err); /* equal bytes are not written again */
