/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator asks of a running agent: files in <runtime_dir>/restart (0700), each named as the manifest whose pod
 * is to be started anew. An empty file is a question; the agent writes its answer into it, a line. Killed before, it
 * does what was asked once more. */
#pragma once

#include "base/err.h"
#include "io/names.h"

/* The directory's path, or NULL (out of memory). */
char *requests_path(const char *runtime_dir);

/* For the agent. Makes the directory if it is missing; 0 or an errno. */
int requests_open(const char *runtime_dir);
/* The questions. Names that are no manifest's are left out; a directory that is missing or not safe holds none. 0 or
 * -ENOMEM. */
int requests_read(const char *runtime_dir, Names *ret);
void requests_answer(const char *runtime_dir, const char *file, const char *answer);

/* For the operator's command. 0 or an errno. */
int requests_ask(const char *runtime_dir, const char *file, Err *err);
/* *ret is NULL as long as there is no answer. An answer is taken away. 0, -ENOMEM or an errno. */
int requests_take(const char *runtime_dir, const char *file, char **ret, Err *err);
void requests_withdraw(const char *runtime_dir, const char *file);
