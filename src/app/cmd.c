/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/output.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const Command commands[] = {
        { .name = "run",
          .usage = "",
          .summary = "the agent: keep the manifest directory right, for ever",
          .help = "Does what sync does whenever something changes: a file of daemonsets.d, a manifest, the configuration, the\n"
                  "kubelet's settings. SIGHUP (systemctl reload daemonlet) reads everything again; SIGTERM ends it and leaves\n"
                  "every manifest in place. Meant to run as a systemd unit.\n",
          .options = OPTION_NODE | OPTION_UPSTREAM | OPTION_STRICT,
          .run = cmd_run },
        { .name = "status",
          .usage = "",
          .summary = "what the running agent sees and last did",
          .help = "Prints one row for each DaemonSet. Exit status 0 if all is well, 1 if something is invalid, refused or in\n"
                  "conflict, 3 if no agent runs; what is on disk is shown then.\n",
          .options = OPTION_NODE | OPTION_OUTPUT,
          .formats = FORMATS_ALL,
          .run = cmd_status },
        { .name = "restart",
          .usage = "NAMESPACE/NAME",
          .summary = "restart one pod safely",
          .help = "Withdraws the manifest, waits until the pod is gone and the kubelet has forgotten it, and writes the same\n"
                  "bytes again. (A manifest that is deleted and written again by hand may never be started.) With a\n"
                  "running agent it is asked, and `daemonlet status` shows how far it is; without one the command waits\n"
                  "itself. Exit status 1 if it may not be restarted now: the message says why.\n",
          .options = OPTION_NODE,
          .min_args = 1,
          .run = cmd_restart },
        { .name = "purge",
          .usage = "[NAMESPACE/NAME] [--yes]",
          .summary = "remove the manifests that daemonlet owns, for uninstalling",
          .help = "Removes every manifest of ours, or one DaemonSet's, and so stops its pod. Asks on a terminal unless --yes is\n"
                  "given. Sources, state and quarantine stay. The agent must not run: it would write them again.\n",
          .options = OPTION_OUTPUT | OPTION_YES,
          .formats = FORMATS_ALL,
          .run = cmd_purge },
        { .name = "sync",
          .usage = "[--dry-run|--rerender|--confirm] [--now NAMESPACE/NAME...]",
          .summary = "reconcile once: bring the manifest directory to what this node should run",
          .help = "Reads daemonsets.d, decides which DaemonSets this node should run, and writes, restores, replaces or\n"
                  "removes their static pod manifests. What is right already is not touched. Prints one row for each\n"
                  "DaemonSet. While an agent runs it does this by itself: use systemctl reload daemonlet.\n",
          .options = OPTION_NODE | OPTION_UPSTREAM | OPTION_STRICT | OPTION_OUTPUT | OPTION_DRY_RUN | OPTION_NOW |
                     OPTION_RERENDER | OPTION_CONFIRM,
          .formats = FORMATS_ALL,
          .run = cmd_sync },
        { .name = "check",
          .usage = "FILE...",
          .summary = "parse, validate and render files; say what would be refused",
          .help = "All files of one call are one set of objects, so a DaemonSet may stand in one file and the ConfigMap\n"
                  "that it mounts in another. A directory stands for its *.yaml, *.yml and *.json files, - for standard\n"
                  "input. Exit status 1 if anything is invalid, refused or waiting. With -v the objects of other kinds\n"
                  "are listed too.\n",
          .options = OPTION_NODE | OPTION_UPSTREAM | OPTION_STRICT | OPTION_OUTPUT,
          .formats = FORMATS_ALL,
          .min_args = 1,
          .run = cmd_check },
        { .name = "explain",
          .usage = "[NAMESPACE/NAME | FILE]...",
          .summary = "why each DaemonSet does or does not run here",
          .help = "Without files, daemonsets.d is read. With one NAMESPACE/NAME every check is shown, -o wide shows them\n"
                  "for all. A word that is the name of a file is taken for the file.\n",
          .options = OPTION_NODE | OPTION_UPSTREAM | OPTION_STRICT | OPTION_OUTPUT,
          .formats = FORMATS_ALL,
          .run = cmd_explain },
        { .name = "render",
          .usage = "FILE...",
          .summary = "print the static pods as they would be written",
          .help = "Prints every DaemonSet of the files that can be rendered as a static pod, whether it fits this node or\n"
                  "not. Those that cannot are named on standard error, and the exit status is then 1.\n",
          .options = OPTION_NODE | OPTION_UPSTREAM | OPTION_STRICT | OPTION_OUTPUT,
          .formats = FORMATS_ALL,
          .format = FORMAT_JSON,
          .min_args = 1,
          .run = cmd_render },
        { .name = "rbac",
          .usage = "FILE...",
          .summary = "print the rights at the API server that these DaemonSets need",
          .help = "Prints RBAC rules for the agents' identities, for kubectl apply -f -: each object that the DaemonSets refer to\n"
                  "by its name. All files of one call are one set, and applied it replaces what an earlier call named, so\n"
                  "give all of them. With --node the rule for that Node is printed too. Exit status 1, and nothing printed,\n"
                  "if a file is invalid; 1 also if a DaemonSet cannot be a static pod: what it refers to is left out.\n",
          .options = OPTION_NODE | OPTION_STRICT | OPTION_OUTPUT,
          .formats = FORMAT_BIT(FORMAT_YAML) | FORMAT_BIT(FORMAT_JSON),
          .format = FORMAT_YAML,
          .min_args = 1,
          .run = cmd_rbac },
};
const size_t n_commands = ARRAY_SIZE(commands);

static void say(const char *kind, const char *format, va_list ap) _printf_(2, 0);
static void say(const char *kind, const char *format, va_list ap) {
        Err line = { 0 };

        (void)vsnprintf(line.message, sizeof(line.message), format, ap);
        utf8_flatten(line.message);
        (void)fprintf(stderr, "daemonlet: %s%s\n", kind, line.message);
}

void say_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say("", format, ap);
        va_end(ap);
}

void say_warning(const Options *options, const char *format, ...) {
        va_list ap;

        if (options->verbosity < 0)
                return;
        va_start(ap, format);
        say("warning: ", format, ap);
        va_end(ap);
}

void say_note(const Options *options, const char *format, ...) {
        va_list ap;

        if (options->verbosity < 0)
                return;
        va_start(ap, format);
        say("", format, ap);
        va_end(ap);
}

int fail(int r, const Err *err) {
        say_error("%s", err->message[0] ? err->message : strerror(-r));
        switch (-r) {
        case EINVAL:
        case EBADMSG:
                return EX_CONFIG;
        case EBUSY:
                return EX_TEMPFAIL;
        case ENOMEM:
                return EX_OSERR;
        default:
                return EX_IOERR;
        }
}

static const char *command_at(const void *table, size_t i) {
        return ((const Command *)table)[i].name;
}

static const Command *find_command(const char *name) {
        for (size_t i = 0; i < n_commands; i++)
                if (streq(commands[i].name, name))
                        return &commands[i];
        return NULL;
}

static int print_buf(Buf *out) {
        Err err = { 0 };
        int r = out->failed ? err_oom(&err) : output_text(buf_text(out), out->len, &err);

        return r < 0 ? fail(r, &err) : 0;
}

static int help_all(void) {
        _cleanup_buf_ Buf out = BUF_INIT;

        buf_str(&out, "Runs DaemonSets on this node as static pods, with or without an API server.\n\n"
                      "Usage: daemonlet [--config FILE] [-v|-q] COMMAND\n\nCommands:\n");
        for (size_t i = 0; i < n_commands; i++)
                buf_printf(&out, "  %-10s %s\n", commands[i].name, commands[i].summary);
        buf_str(&out, "\nOptions:\n");
        options_help(0, &out);
        buf_str(&out, "\nSee daemonlet COMMAND --help, daemonlet(8) and daemonlet.conf(5).\n");
        return print_buf(&out);
}

static int help_command(const Command *c) {
        _cleanup_buf_ Buf out = BUF_INIT;

        buf_printf(&out, "Usage: daemonlet %s %s\n\n%s\nOptions:\n", c->name, c->usage, c->help);
        options_help(c->options, &out);
        options_help(0, &out);
        return print_buf(&out);
}

static int usage(const char *format, ...) _printf_(1, 2);
static int usage(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say("", format, ap);
        va_end(ap);
        return EX_USAGE;
}

static int check_usage(const Command *c, const Options *o) {
        for (unsigned bit = 1; bit <= OPTION_YES; bit <<= 1)
                if ((o->given & bit) && !(c->options & bit))
                        return usage("%s takes no --%s; see daemonlet %s --help", c->name, option_name(bit), c->name);
        if ((o->given & OPTION_OUTPUT) && !(c->formats & FORMAT_BIT(o->format)))
                return usage("%s has no output format \"%s\"; see daemonlet %s --help", c->name, format_name(o->format),
                             c->name);
        if (o->n_args < c->min_args)
                return usage("%s needs at least one argument: daemonlet %s %s", c->name, c->name, c->usage);
        return 0;
}

int cmd_main(int argc, char **argv) {
        const Command *c;
        Options options;
        Err err = { 0 };
        int r;

        if (options_parse(argc, argv, &options, &err) < 0)
                return usage("%s", err.message);
        if (options.version) {
                _cleanup_buf_ Buf out = BUF_INIT;

                buf_str(&out, "daemonlet " PACKAGE_VERSION "\n");
                return print_buf(&out);
        }
        if (!options.command)
                return options.help ? help_all() : usage("a command is missing; see daemonlet --help");
        c = find_command(options.command);
        if (!c) {
                const char *near = nearest_name(options.command, n_commands, command_at, commands);

                return near ? usage("unknown command \"%s\"; did you mean \"%s\"?", options.command, near)
                            : usage("unknown command \"%s\"; see daemonlet --help", options.command);
        }
        if (options.help)
                return help_command(c);
        if (!(options.given & OPTION_OUTPUT))
                options.format = c->format;
        r = check_usage(c, &options);
        return r ? r : c->run(&options);
}
