/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the store share: a manifest directory, a state directory, a store between them. */
#pragma once

#include "io/store.h"
#include "tmpdir.h"

#define NOW INT64_C(1767225600) /* 20260101T000000Z */
#define STAMP "20260101T000000Z"
#define A_FILE "daemonlet_kube-system_a.json"
#define B_FILE "daemonlet_kube-system_b.json"

/* A manifest without a revision, for running out of memory: libcrypto survives some failed allocations. */
#define BARE(name, image)                                                                                              \
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{\"daemonlet.io/"                       \
        "daemonset\":\"kube-system/" name "\"},\"name\":\"" name "\",\"uid\":\"00000000-0000-8000-8000-" name image    \
        "\"},\"spec\":{\"containers\":[{\"image\":\"" image "\",\"name\":\"c\",\"ports\":[{\"hostPort\":80}]}]}}"

extern char *base;                        /* all of it is below this directory */
extern char manifests[4096], state[4096]; /* the paths */
extern char *a1, *a2, *b1;                /* manifests: two revisions of a, one of b */
extern Store *store;
extern StoreSnapshot snapshot; /* of the last scan */
extern StoreResult result;     /* of the last apply */
extern Err err;

int world_set_up(void **unused);
int world_tear_down(void **unused);
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int try_open(bool read_only);
void open_store(void); /* closes the one that is open */
void scan(void);

/* One step on a file of ours. */
PlanStep step_of(StepVerb verb, const char *file, const char *bytes);
int apply(const PlanStep *steps, size_t n, int64_t now);
int apply_with(const PlanStep *steps, size_t n, const PlanHandover *handovers, size_t n_handovers, int64_t now);
int apply_one(PlanStep step);
void apply_ok(PlanStep step);

/* Of kube-system/<name>; the pod is <name>-1. */
PlanHandover handover_of(const char *name);
void remember_ok(const PlanHandover *handovers, size_t n); /* a plan without steps */

const char *in_manifests(const char *name);
const char *in_state(const char *name);

/* In the last snapshot; NULL if it is not there. */
const PlanEntry *find_entry(const char *file);
const PlanWritten *find_written(const char *file);
bool bytes_are(const char *bytes, size_t len, const char *want);

/* Replaces a text in a file of state. */
void edit_state(const char *file, const char *from, const char *to);
