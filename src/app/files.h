/* SPDX-License-Identifier: Apache-2.0 */
/* Files named on the command line, as one set of objects, and what is wrong with a set, in words. */
#pragma once

#include "app/options.h"
#include "core/objects.h"

/* Reads the named files (a directory: its *.yaml, *.yml, *.json; "-": standard input). What cannot be read is recorded
 * in the set. 0 or -ENOMEM. */
int files_read(const Options *options, char **names, size_t n, Objects *ret);

/* Warnings and errors of a set, on standard error: "FILE:LINE:COLUMN: path: message". */
void files_say_diags(const Options *options, const Objects *objects);

/* Why the file cannot be used, or why an object cannot: one line with its place; given to the caller, NULL when out of
 * memory. */
char *file_error(const ObjectFile *f);
char *object_error(const Objects *objects, const Object *o);

/* Whether every file was read completely: nothing unreadable, invalid or defined twice. */
bool files_all_well(const Objects *objects);
