/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/files.h"
#include "app/output.h"
#include "app/setup.h"
#include "core/rbac.h"
#include "core/yaml.h"

#include <errno.h>

/* Whether every DaemonSet can run as a static pod. */
static bool say_notes(const Rbac *rbac, const Config *config, const Options *options) {
        bool all_well = true;

        for (size_t i = 0; i < rbac->n_notes; i++) {
                const RbacNote *note = &rbac->notes[i];
                const Object *o = note->daemonset;

                switch (note->kind) {
                case RBAC_REFUSED:
                        say_error("%s/%s: %s: %s; no rules for what it refers to", o->namespace, o->name,
                                  reason_name(note->reason), note->message);
                        all_well = false;
                        break;
                case RBAC_NOT_OPTED_IN:
                        say_warning(options,
                                    "%s/%s lacks the label " MODE_LABEL "=static: agents run it from a local file only",
                                    o->namespace, o->name);
                        break;
                case RBAC_NOT_FOLLOWED:
                        say_warning(options, "%s/%s: its namespace is not among [api] namespaces (%s)", o->namespace,
                                    o->name, config->api_namespaces);
                        break;
                }
        }
        if (rbac->n_daemonsets == 0)
                say_warning(options, "there is no DaemonSet in these files");
        return all_well;
}

/* ---- what is printed ---- */

static void write_comments(const Rbac *rbac, const RbacOptions *rbac_options, Buf *out) {
        buf_printf(
                out,
                "# What daemonlets may do at the API server, for %zu DaemonSet%s. Made by `daemonlet rbac` of all files in\n"
                "# one call: applied, it replaces what an earlier call named.\n",
                rbac->n_daemonsets, rbac->n_daemonsets == 1 ? "" : "s");
        if (!rbac_options->render.node_name)
                buf_str(out,
                        "# No rule for a Node: each identity may read its own only. See conf/rbac.yaml, or give --node FILE.\n");
        if (!rbac_options->tokens)
                buf_str(out, "# No rule to make tokens of ServiceAccounts: [api] tokens = no.");
        if (*rbac->accounts)
                buf_printf(out, " With yes, of: %s.", rbac->accounts);
        if (!rbac_options->tokens)
                buf_char(out, '\n');
}

static int print_yaml(const Rbac *rbac, const RbacOptions *rbac_options, Err *err) {
        _cleanup_buf_ Buf out = BUF_INIT;
        int r = 0;

        write_comments(rbac, rbac_options, &out);
        for (const cJSON *object = rbac->objects->child; object && r == 0; object = object->next) {
                buf_str(&out, "---\n");
                r = yaml_write(object, &out);
        }
        return r < 0 || out.failed ? err_oom(err) : output_text(buf_text(&out), out.len, err);
}

static int print_json(const Rbac *rbac, const RbacOptions *rbac_options, const Options *options, Err *err) {
        _cleanup_json_ cJSON *list = cJSON_CreateObject();

        if (!json_add_string(list, "apiVersion", "v1") || !json_add_string(list, "kind", "List") ||
            !json_add(list, "items", cJSON_Duplicate(rbac->objects, true)))
                return err_oom(err);
        if (!rbac_options->tokens && *rbac->accounts)
                say_note(options, "no rule to make tokens ([api] tokens = no) of: %s", rbac->accounts);
        return output_rows(list, NULL, 0, FORMAT_JSON, err);
}

/* ---- the command ---- */

static int make_and_print(const Options *options, const Host *host, const Objects *objects, bool *all_well, Err *err) {
        _cleanup_rbac_ Rbac rbac = { 0 };
        RbacOptions rbac_options = {
                .render = setup_render(host, objects),
                .namespaces = host->config.api_namespaces,
                .tokens = host->config.api_tokens,
        };
        int r;

        /* The rules are for all nodes: this host's name says nothing about them. */
        if (!options->node_file)
                rbac_options.render.node_name = NULL;
        r = rbac_make(&rbac_options, &rbac);
        if (r < 0)
                return err_oom(err);
        *all_well = say_notes(&rbac, &host->config, options);
        return options->format == FORMAT_JSON ? print_json(&rbac, &rbac_options, options, err)
                                              : print_yaml(&rbac, &rbac_options, err);
}

int cmd_rbac(const Options *options) {
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_host_ Host host = { 0 };
        bool all_well = false;
        Err err = { 0 };
        int r;

        r = setup_host(options, &host, &err);
        if (r == 0)
                r = files_read(options, options->args, options->n_args, &objects);
        if (r < 0)
                return fail(r, &err);
        files_say_diags(options, &objects);
        /* Half an answer, once applied, takes away the rights of what is missing in it. */
        if (!files_all_well(&objects)) {
                say_error("nothing is printed: the rules would be incomplete");
                return EXIT_NOT_WELL;
        }
        r = make_and_print(options, &host, &objects, &all_well, &err);
        if (r < 0)
                return fail(r, &err);
        return all_well ? 0 : EXIT_NOT_WELL;
}
