/* SPDX-License-Identifier: Apache-2.0 */
/* The commands: one table, one function each. */
#pragma once

#include "app/options.h"

#include <sysexits.h>

/* Exit statuses, a contract with scripts: 0, EX_USAGE (64), EX_IOERR (74), EX_TEMPFAIL (75: another agent holds the
 * lock), EX_CONFIG (78), EX_OSERR (71: out of memory), and this one. */
enum {
        EXIT_NO_AGENT = 3, /* status: no agent runs; what is on disk was shown */
        EXIT_NOT_WELL = 1, /* some DaemonSet is invalid, refused or in conflict (check: or waiting) */
};

typedef struct Command {
        const char *name;
        const char *usage;   /* what stands behind the name */
        const char *summary; /* one line */
        const char *help;    /* paragraphs for `daemonlet COMMAND --help` */
        unsigned options;    /* OPTION_ bits it takes */
        unsigned formats;    /* FORMAT_BITs it takes */
        Format format;       /* the default */
        size_t min_args;
        int (*run)(const Options *options); /* returns the exit status */
} Command;

int cmd_check(const Options *options);
int cmd_explain(const Options *options);
int cmd_render(const Options *options);
int cmd_sync(const Options *options);
int cmd_run(const Options *options);
int cmd_status(const Options *options);
int cmd_purge(const Options *options);
int cmd_restart(const Options *options);
int cmd_rbac(const Options *options);

extern const Command commands[];
extern const size_t n_commands;

/* Parses the command line and runs the command. Returns the exit status. */
int cmd_main(int argc, char **argv);

/* One line on standard error, "daemonlet: ..."; warnings are silent under -q. */
void say_error(const char *format, ...) _printf_(1, 2);
void say_warning(const Options *options, const char *format, ...) _printf_(2, 3);
void say_note(const Options *options, const char *format, ...) _printf_(2, 3); /* as a warning, without the word */

/* Says the error and returns the exit status that belongs to it. */
int fail(int r, const Err *err);
