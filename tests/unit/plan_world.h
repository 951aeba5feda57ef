/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the plan are made of: pods from short specs, facts from lines of text, plans as text.
 *
 * A pod spec is INPUT[VARIANT][!][:PORTS], as "1", "2b", "1!", "2:80,53/UDP,10.0.0.1@443": INPUT is a digit that stands
 * for the input hash, VARIANT another rendering of the same input, "!" an edit behind the revision's back. */
#pragma once

#include "core/plan.h"
#include "test.h"

typedef struct WorldPod {
        char *label; /* "namespace/name spec" */
        const char *spec;
        Rendered r;
} WorldPod;

typedef struct World {
        PlanFacts facts; /* points into the arrays below */
        PlanWanted *wanted;
        PlanEntry *present;
        PlanWritten *written;
        PlanTombstone *tombstones;
        PlanMemory *memory;
        PlanHandover *handovers;
        const char **files, **targets;
        size_t cap_wanted, cap_present, cap_written, cap_tombstones, cap_memory, cap_handovers, cap_files, cap_targets;
        WorldPod **pods; /* owned; every pointer stays valid */
        size_t n_pods, cap_pods;
        void **owned;
        size_t n_owned, cap_owned;
} World;

/* Facts: everything synced and complete, no hold, a single pass, a kubelet that runs for an hour, now = 1000, the boot
 * is "one", and the API server is not away. */
void world_init(World *w);
void world_done(World *w);

/* A formatted string that lives as long as the world. */
char *world_text(World *w, const char *format, ...) _printf_(2, 3);

/* The pod of a spec; the same pointer for the same arguments. */
const WorldPod *world_pod(World *w, const char *namespace, const char *name, const char *spec);
/* The same pod without our annotations. */
const char *world_foreign(World *w, const char *namespace, const char *name);

PlanWanted *world_want(World *w, const char *namespace, const char *name, PlanWish wish, const char *spec);
PlanEntry *world_entry(World *w, const char *file, EntryKind kind, const char *bytes, size_t len);
PlanWritten *world_written(World *w, const char *namespace, const char *name, const char *spec, const char *next);
PlanTombstone *world_tombstone(World *w, const char *namespace, const char *name, const char *spec);
PlanMemory *world_memory(World *w, const char *namespace, const char *name); /* in the order of files */
PlanHandover *world_handover(World *w, const char *namespace, const char *name,
                             const char *pod); /* in order of names */
char *world_file(World *w, const char *namespace, const char *name);

/* What the API server knows of a DaemonSet: a pod with this standing, which has the name NAME-k7x2p. */
PlanTheirs *world_theirs(World *w, const char *name, TheirDaemonSet daemonset, TheirPod pod);
/* The uid of the pod with this name; "" for "". */
const char *world_uid(World *w, const char *pod);

/* The spec of known bytes, "-" for none, "?" for unknown ones. */
const char *world_spec(const World *w, const char *bytes, size_t len);

/* Adds the facts of the lines in text (it is written to). */
void world_read(World *w, char *text);

/* Steps and rows, a line each; where there is a memory, one more for what a ledger would learn of the row. What is
 * remembered of hand-overs comes last. */
void world_print(const World *w, const Plan *plan, Buf *out);
