/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance cases of the decision: nodes and DaemonSets with the verdicts that the real DaemonSet controller
 * gave. A folder holds node.json, daemonsets.json (a DaemonSetList), expected.tsv (namespace/name, shouldRun,
 * shouldContinueRunning) and tolerations.json (the tolerations of the controller's pods, by namespace/name). */
#pragma once

#include "core/model.h"

typedef struct ConformanceCase {
        char *where; /* "000 default/ds-1", for messages */
        bool should_run, should_continue_running;
        PodScheduling pod;
        cJSON *tolerations;            /* of the template; NULL if it has none */
        cJSON *controller_tolerations; /* of the controller's pod */
} ConformanceCase;

typedef struct ConformanceFolder {
        NodeView node;
        ConformanceCase *cases;
        size_t n_cases;
} ConformanceFolder;

/* Reads a folder by its path; fails the test if anything is wrong with it. */
void conformance_read(const char *path, ConformanceFolder *ret);
void conformance_done(ConformanceFolder *f);

/* The folders in a folder, sorted, as full paths; fails the test if there is none. */
char **conformance_folders(const char *path, size_t *ret_n);

/* A tree from text; fails the test if it is no JSON. */
cJSON *conformance_parse(const char *where, const char *text, size_t len);
