/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent did, as events in the log: a line a step, with the fields and message ids of the catalog. */
#pragma once

#include "core/plan.h"

void journal_steps(const Plan *plan, const char *node);
