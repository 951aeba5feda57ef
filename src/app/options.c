/* SPDX-License-Identifier: Apache-2.0 */
#include "app/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

static const char *const format_names[] = {
        [FORMAT_TABLE] = "table", [FORMAT_WIDE] = "wide", [FORMAT_JSON] = "json",
        [FORMAT_YAML] = "yaml",   [FORMAT_TSV] = "tsv",   [FORMAT_NAME] = "name",
};

const char *format_name(Format f) {
        return format_names[f];
}

bool format_parse(const char *name, Format *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(format_names); i++)
                if (streq(name, format_names[i])) {
                        *ret = (Format)i;
                        return true;
                }
        return false;
}

enum {
        SHORT_LESS = 256,
        O_CONFIG,
        O_NODE,
        O_UPSTREAM,
        O_STRICT,
        O_DRY_RUN,
        O_NOW,
        O_RERENDER,
        O_CONFIRM,
        O_YES,
        O_VERSION
};

/* One row an option; bit 0 = every command takes it. */
static const struct OptionRow {
        const char *name;
        int has_arg, value;
        unsigned bit;
        const char *shown, *help;
} rows[] = {
        { "config", required_argument, O_CONFIG, 0, "--config FILE", "read FILE instead of the default configuration" },
        { "verbose", no_argument, 'v', 0, "-v, --verbose", "say more" },
        { "quiet", no_argument, 'q', 0, "-q, --quiet", "no warnings" },
        { "help", no_argument, 'h', 0, "-h, --help", "this text, or that of a command" },
        { "version", no_argument, O_VERSION, 0, "--version", "print the version" },
        { "node", required_argument, O_NODE, OPTION_NODE, "--node FILE",
          "a v1 Node (YAML or JSON) instead of this host" },
        { "upstream", no_argument, O_UPSTREAM, OPTION_UPSTREAM, "--upstream",
          "decide exactly as the DaemonSet controller does" },
        { "strict", no_argument, O_STRICT, OPTION_STRICT, "--strict", "warnings about input are errors" },
        { "output", required_argument, 'o', OPTION_OUTPUT, "-o, --output FORMAT",
          "table, wide, json, yaml, tsv or name" },
        { "dry-run", no_argument, O_DRY_RUN, OPTION_DRY_RUN, "--dry-run",
          "show what would be done, and which pods would start, restart or stop; touch nothing" },
        { "now", no_argument, O_NOW, OPTION_NOW, "--now NAMESPACE/NAME...",
          "change or remove these although they are held back" },
        { "rerender", no_argument, O_RERENDER, OPTION_RERENDER, "--rerender",
          "adopt what this version would write (restarts the pods it changes)" },
        { "confirm", no_argument, O_CONFIRM, OPTION_CONFIRM, "--confirm",
          "removing everything, or reading another directory than before, is meant" },
        { "yes", no_argument, O_YES, OPTION_YES, "--yes", "do not ask" },
};

const char *option_name(unsigned bit) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (rows[i].bit == bit)
                        return rows[i].name;
        return "";
}

void options_help(unsigned set, Buf *out) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if ((rows[i].bit == 0 && set == 0) || (rows[i].bit & set))
                        buf_printf(out, "  %-26s %s\n", rows[i].shown, rows[i].help);
}

static const char *row_name(const void *table, size_t i) {
        return ((const struct OptionRow *)table)[i].name;
}

/* letter: the short option, 0 for a long one, which is the word just passed. */
static int unknown_option(int letter, const char *word, Err *err) {
        const char *near;

        if (letter >= SHORT_LESS)
                return err_set(err, -EINVAL, "option \"%s\" takes no value", word);
        if (letter > 0)
                return err_set(err, -EINVAL, "unknown option \"-%c\"; see daemonlet --help", letter);
        near = nearest_name(word + 2, ARRAY_SIZE(rows), row_name, rows);
        if (near)
                return err_set(err, -EINVAL, "unknown option \"%s\"; did you mean \"--%s\"?", word, near);
        return err_set(err, -EINVAL, "unknown option \"%s\"; see daemonlet --help", word);
}

static int take_option(Options *o, int value, const char *arg, Err *err) {
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (rows[i].value == value)
                        o->given |= rows[i].bit;
        switch (value) {
        case O_CONFIG:
                o->config_path = arg;
                break;
        case 'v':
                o->verbosity = 1;
                break;
        case 'q':
                o->verbosity = -1;
                break;
        case 'h':
                o->help = true;
                break;
        case O_VERSION:
                o->version = true;
                break;
        case O_NODE:
                o->node_file = arg;
                break;
        case O_UPSTREAM:
                o->upstream = true;
                break;
        case O_STRICT:
                o->strict = true;
                break;
        case O_DRY_RUN:
                o->dry_run = true;
                break;
        case O_NOW:
                o->now = true;
                break;
        case O_RERENDER:
                o->rerender = true;
                break;
        case O_CONFIRM:
                o->confirm = true;
                break;
        case O_YES:
                o->yes = true;
                break;
        case 'o':
                if (!format_parse(arg, &o->format))
                        return err_set(err, -EINVAL,
                                       "unknown output format \"%s\"; use table, wide, json, yaml, tsv or name", arg);
                break;
        }
        return 0;
}

int options_parse(int argc, char **argv, Options *ret, Err *err) {
        struct option table[ARRAY_SIZE(rows) + 1] = { 0 };
        Options o = { .format = FORMAT_TABLE };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                table[i] = (struct option){ rows[i].name, rows[i].has_arg, NULL, rows[i].value };
        /* Options may stand anywhere, whatever the environment says. */
        (void)unsetenv("POSIXLY_CORRECT");
        opterr = 0;
        optind = 0;
        for (;;) {
                int c = getopt_long(argc, argv, ":hvqo:", table, NULL), r;

                if (c < 0)
                        break;
                if (c == '?')
                        return unknown_option(optopt, argv[optind - 1], err);
                if (c == ':')
                        return err_set(err, -EINVAL, "option \"%s\" needs a value", argv[optind - 1]);
                r = take_option(&o, c, optarg, err);
                if (r < 0)
                        return r;
        }
        if (optind < argc)
                o.command = argv[optind++];
        o.args = argv + optind;
        o.n_args = (size_t)(argc - optind);
        *ret = o;
        return 0;
}
