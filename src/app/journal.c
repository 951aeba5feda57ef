/* SPDX-License-Identifier: Apache-2.0 */
#include "app/journal.h"
#include "io/log.h"
#include "io/message_ids.h"

#include <stdio.h>

static const char *message_id(const PlanStep *s) {
        static const char *const ids[] = {
                [STEP_QUARANTINE] = MESSAGE_ID_QUARANTINED, [STEP_REMOVE] = MESSAGE_ID_REMOVED,
                [STEP_RESTORE] = MESSAGE_ID_REPAIRED,       [STEP_REPLACE] = MESSAGE_ID_REPLACED,
                [STEP_CREATE] = MESSAGE_ID_WRITTEN,         [STEP_TOUCH] = MESSAGE_ID_REPAIRED,
        };

        return s->failure ? MESSAGE_ID_PROBLEM : ids[s->verb];
}

void journal_steps(const Plan *plan, const char *node) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];
                char daemonset[320];
                LogFields fields = { .node = node, .message_id = message_id(s) };

                if (s->verb == STEP_RECORD || s->verb == STEP_FORGET)
                        continue;
                (void)snprintf(daemonset, sizeof(daemonset), "%s/%s", s->namespace, s->name);
                if (s->name[0])
                        fields.daemonset = daemonset;
                /* A failure's text says itself what failed. */
                if (s->failure)
                        log_event(LOG_LEVEL_ERROR, &fields, "%s", s->failure);
                else
                        log_event(LOG_LEVEL_NOTICE, &fields, "%s %s: %s", step_verb_name(s->verb), s->file,
                                  str_or_empty(s->why));
        }
}
