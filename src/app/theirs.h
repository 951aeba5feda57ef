/* SPDX-License-Identifier: Apache-2.0 */
/* What the API server knows of the DaemonSets that are wanted here: whether the DaemonSet controller runs them as well
 * (core/handover.h). */
#pragma once

#include "app/wanted.h"
#include "io/source_api.h"

typedef struct TheirsFacts {
        const SourceApi *source;     /* NULL: there is no API server; what was handed over stays so nevertheless */
        const ApiSnapshot *snapshot; /* its present one */
        const NodeView *node;
        bool node_known;
} TheirsFacts;

/* Fills in PlanWanted.theirs of each. before: what was made last, or NULL; what depends on neither object anew is taken
 * from it. 0 or -ENOMEM. */
int theirs_make(const TheirsFacts *facts, Wanted *wanted, Wanted *before);
