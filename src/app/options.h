/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: options common to every command, the command, its arguments. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef enum Format { FORMAT_TABLE, FORMAT_WIDE, FORMAT_JSON, FORMAT_YAML, FORMAT_TSV, FORMAT_NAME } Format;
#define FORMAT_BIT(f) (1u << (f))
#define FORMATS_ALL 0x3fu

/* Bits for the options that a command takes. */
enum {
        OPTION_NODE = 1 << 0,
        OPTION_UPSTREAM = 1 << 1,
        OPTION_STRICT = 1 << 2,
        OPTION_OUTPUT = 1 << 3,
        OPTION_DRY_RUN = 1 << 4,
        OPTION_NOW = 1 << 5,
        OPTION_RERENDER = 1 << 6,
        OPTION_CONFIRM = 1 << 7,
        OPTION_YES = 1 << 8,
};

typedef struct Options {
        const char *config_path; /* NULL: the default, which may be absent */
        int verbosity;           /* -1 quiet, 0, 1 verbose */
        bool help, version;
        unsigned given; /* OPTION_ bits that were given */
        const char *node_file;
        bool upstream, strict, dry_run, now, rerender, confirm, yes;
        Format format;       /* FORMAT_TABLE unless given */
        const char *command; /* NULL: none was given */
        char **args;         /* behind the command */
        size_t n_args;
} Options;

/* Reads argv (which is permuted). -EINVAL with the message for a usage error. Everything is borrowed from argv. */
int options_parse(int argc, char **argv, Options *ret, Err *err);

/* The help of the options in the set, a line each. */
void options_help(unsigned set, Buf *out);

const char *option_name(unsigned bit);
bool format_parse(const char *name, Format *ret);
const char *format_name(Format f);
