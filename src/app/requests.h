/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator asks of a running agent: files in directories of their own below <runtime_dir> (0700), one for each
 * kind of request, each file named as the manifest that it is about. An empty file is a question; the agent writes its
 * answer into it. Killed before, it does what was asked once more. */
#pragma once

#include "base/err.h"
#include "core/plan.h"
#include "io/names.h"

typedef enum RequestKind {
        REQUEST_RESTART, /* the pod is to be started anew; the answer is a line for a person */
        REQUEST_NOW,     /* a change that is held is to be made; the answer is a JSON object: what held it ("held", the
                            reason), and the report's row of what came of it ("row", absent: there is no such
                            DaemonSet); or why nothing could be planned ("problem") */
        N_REQUEST_KINDS,
} RequestKind;

/* The directory's path, or NULL (out of memory). */
char *requests_path(const char *runtime_dir, RequestKind kind);

/* For the agent. Makes the directories that are missing; 0 or an errno. */
int requests_open(const char *runtime_dir);
/* The questions. Names that are no manifest's are left out; a directory that is missing or not safe holds none. 0 or
 * -ENOMEM. */
int requests_read(const char *runtime_dir, RequestKind kind, Names *ret);
void requests_answer(const char *runtime_dir, RequestKind kind, const char *file, const char *answer);

/* For the operator's command. 0 or an errno. */
int requests_ask(const char *runtime_dir, RequestKind kind, const char *file, Err *err);
/* *ret is NULL as long as there is no answer. An answer is taken away. 0, -ENOMEM or an errno. */
int requests_take(const char *runtime_dir, RequestKind kind, const char *file, char **ret, Err *err);
void requests_withdraw(const char *runtime_dir, RequestKind kind, const char *file);

enum { REQUESTS_PATIENCE = 60 * 1000 }; /* milliseconds: a busy agent may read 10 MiB first */

/* Waits for the answer. What has none by then (clock_boot_ms) is withdrawn: -ETIMEDOUT. 0, -ENOMEM or an errno. */
int requests_wait(const char *runtime_dir, RequestKind kind, const char *file, int64_t until, char **ret, Err *err);
/* Sleeps between two looks at what somebody else does. */
void requests_pause(void);

/* What an operator names. */
typedef struct RequestTarget {
        char namespace[MANIFEST_NAME_MAX + 1], file[MANIFEST_NAME_MAX + 1];
        const char *name; /* borrowed */
} RequestTarget;

/* From NAMESPACE/NAME. 0, -EINVAL or -ENOMEM. */
int requests_parse_target(const char *arg, RequestTarget *ret);

/* What a plan makes of them. The row of the DaemonSet whose manifest this is, or NULL. */
const PlanRow *requests_row(const Plan *plan, const char *file);
/* Plans with these facts, which are to name no now_targets, to find the NAMESPACE/NAMEs of these manifests (files
 * without a DaemonSet are left out), and for each file what holds it, or REASON_None. 0 or -ENOMEM. */
int requests_find_targets(const PlanFacts *facts, const Names *files, Names *ret, Reason *ret_held);
/* Of the wish to restart the pod of this manifest: this, or why not. */
#define ANSWER_RESTARTING "restarting"
const char *requests_restart_answer(const Plan *plan, const char *file);
