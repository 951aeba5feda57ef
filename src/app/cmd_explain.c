/* SPDX-License-Identifier: Apache-2.0 */
#include "app/api.h"
#include "app/cmd.h"
#include "app/files.h"
#include "app/output.h"
#include "app/report.h"
#include "core/render.h"
#include "io/source_dir.h"
#include "io/store.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TABLE FORMAT_BIT(FORMAT_TABLE)
#define WIDE FORMAT_BIT(FORMAT_WIDE)
#define TSV FORMAT_BIT(FORMAT_TSV)

static const Column columns[] = {
        { "NAMESPACE", "namespace", TABLE },
        { "NAME", "name", TABLE },
        { "NAMESPACE/NAME", "namespace/name", TSV },
        { "SHOULD-RUN", "shouldRun", TABLE | TSV },
        { "CONTINUE", "shouldContinueRunning", TABLE | TSV },
        { "REASON", "reason", TABLE | TSV },
        { "MESSAGE", "message", TABLE },
};

/* -o wide, and one DaemonSet that was asked for by name: a row a check. */
static const Column check_columns[] = {
        { "NAMESPACE", "namespace", WIDE }, { "NAME", "name", WIDE }, { "CHECK", "check", WIDE }, { "OK", "ok", WIDE },
        { "MESSAGE", "message", WIDE },
};

typedef struct Explain {
        const Options *options;
        const Host *host;
        DecideOptions decide;
        const Objects *objects; /* with those of the API server over them */
        bool fence_broken;
        const cJSON *status; /* the running agent's report of this host, or NULL */
        RenderOptions render;
        cJSON *rows;
        char **names; /* NAMESPACE/NAME that were asked for; none = all */
        size_t n_names;
} Explain;

static bool add_check(cJSON *checks, const char *name, bool ok, const char *message) {
        cJSON *check = cJSON_CreateObject();

        if (!json_add_string(check, "check", name) || !json_add(check, "ok", cJSON_CreateBool(ok)) ||
            !json_add_string(check, "message", message)) {
                cJSON_Delete(check);
                return false;
        }
        return json_append(checks, check);
}

/* The rows of the decision; the first failed one's text goes to ret_message. */
static bool add_decision(const Explain *e, const Object *o, const Verdict *verdict, cJSON *checks, Buf *ret_message) {
        for (Check c = 0; c < CHECK_COUNT; c++) {
                _cleanup_buf_ Buf text = BUF_INIT;

                decide_explain(&e->host->node.view, &o->scheduling, &e->decide, verdict, c, &text);
                if (text.failed || !add_check(checks, check_name(c), verdict->passed[c], buf_text(&text)))
                        return false;
                if (!verdict->passed[c] && ret_message->len == 0)
                        buf_str(ret_message, buf_text(&text));
        }
        return !ret_message->failed;
}

/* What a change of each object that it uses would do. */
static bool add_uses(const Rendered *rendered, cJSON *checks) {
        for (size_t i = 0; i < rendered->n_uses; i++) {
                const RenderedUse *use = &rendered->uses[i];
                _cleanup_buf_ Buf text = BUF_INIT;

                buf_printf(&text, "%s %s", object_kind_name(use->kind), use->name);
                if (!use->found)
                        buf_str(&text, " is not there");
                else if (use->env)
                        buf_str(&text, " is in the environment: a change of it restarts the pod");
                else
                        buf_str(&text, " is mounted: a change of it swaps the files, and the pod goes on");
                if (text.failed || !add_check(checks, "Object", use->found, buf_text(&text)))
                        return false;
        }
        return true;
}

/* Whether it can be rendered is no part of the verdict, but it is what an operator asks next. */
static int add_rendering(const Explain *e, const Object *o, bool fits, cJSON *checks, Buf *ret_message) {
        _cleanup_(rendered_done) Rendered rendered = { 0 };
        _cleanup_buf_ Buf text = BUF_INIT;
        int r = render(o, &e->render, &rendered);

        if (r < 0)
                return r;
        if (rendered.status == RENDER_OK)
                buf_printf(&text, "revision %s", rendered.revision);
        else
                buf_printf(&text, "%s: %s", reason_name(rendered.reason), rendered.message);
        if (fits && rendered.status != RENDER_OK)
                buf_str(ret_message, buf_text(&text));
        if (text.failed || ret_message->failed ||
            !add_check(checks, "Rendering", rendered.status == RENDER_OK, buf_text(&text)) ||
            !add_uses(&rendered, checks))
                return -ENOMEM;
        return 0;
}

/* Of the server's DaemonSets: may it run through us? */
static bool add_opt_in(const Explain *e, const Object *o, Verdict *verdict, cJSON *checks, Buf *ret_message) {
        const char *why = "opted in, with the fence";
        Reason refusal = wanted_api_refusal(o, e->fence_broken, &why);

        if (refusal != REASON_None) {
                verdict->should_run = false;
                verdict->reason = refusal;
                buf_str(ret_message, why);
        }
        return add_check(checks, "ApiServer", refusal == REASON_None, why);
}

/* Who runs it is what the agent sees just now. */
static bool add_controller(const Explain *e, const Object *o, cJSON *checks) {
        const cJSON *row = report_find(json_get(e->status, "daemonsets"), o->namespace, o->name);
        _cleanup_buf_ Buf line = BUF_INIT;

        report_controller_line(row, &line);
        return line.len == 0
                       ? !line.failed
                       : add_check(checks, "Controller",
                                   !streq(json_string(json_get(row, "controller"), "runs"), "nobody"), buf_text(&line));
}

/* set: that it is of. */
static int explain_one(const Explain *e, const Objects *set, const Object *o) {
        _cleanup_json_ cJSON *row = cJSON_CreateObject(), *checks = cJSON_CreateArray();
        _cleanup_buf_ Buf message = BUF_INIT;
        Verdict verdict = { .reason = o->reason };
        int r = 0;

        if (!checks)
                return -ENOMEM;
        if (o->reason == REASON_None) {
                decide(&e->host->node.view, &o->scheduling, &e->decide, &verdict);
                if ((set != e->objects && !add_opt_in(e, o, &verdict, checks, &message)) ||
                    !add_decision(e, o, &verdict, checks, &message))
                        return -ENOMEM;
                if (!e->options->upstream)
                        r = add_rendering(e, o, verdict.should_run, checks, &message);
                if (r == 0 && !add_controller(e, o, checks))
                        return -ENOMEM;
        } else {
                _cleanup_free_ char *why = object_error(set, o);

                if (!why)
                        return -ENOMEM;
                buf_str(&message, why);
        }
        if (r < 0)
                return r;
        if (!json_add_string(row, "namespace", o->namespace) ||
            !json_add_string(row, "name", o->name[0] ? o->name : "-") ||
            !json_add(row, "shouldRun", cJSON_CreateBool(verdict.should_run)) ||
            !json_add(row, "shouldContinueRunning", cJSON_CreateBool(verdict.should_continue_running)) ||
            !json_add_string(row, "reason", reason_name(verdict.reason)) ||
            !json_add_string(row, "message", buf_text(&message)) || !json_add(row, "checks", TAKE_PTR(checks)))
                return -ENOMEM;
        return json_append(e->rows, TAKE_PTR(row)) ? 0 : -ENOMEM;
}

static bool asked_for(const Explain *e, const Object *o, bool *found) {
        size_t n = strlen(o->namespace);

        for (size_t i = 0; i < e->n_names; i++)
                if (strncmp(e->names[i], o->namespace, n) == 0 && e->names[i][n] == '/' &&
                    streq(e->names[i] + n + 1, o->name)) {
                        found[i] = true;
                        return true;
                }
        return e->n_names == 0;
}

/* The server's copy counts. */
static bool is_shadowed(const Explain *e, const Objects *set, const Object *o) {
        const Objects *over = e->objects->over;

        for (size_t i = 0; over && set != over && i < over->n_objects; i++)
                if (over->objects[i].kind == o->kind && streq(over->objects[i].name, o->name) &&
                    streq(over->objects[i].namespace, o->namespace))
                        return true;
        return false;
}

static int explain_set(const Explain *e, const Objects *set, bool *found) {
        for (size_t i = 0; i < set->n_objects; i++) {
                const Object *o = &set->objects[i];
                int r;

                if (o->kind != OBJECT_DAEMONSET || o->same_as != i || is_shadowed(e, set, o) || !asked_for(e, o, found))
                        continue;
                r = explain_one(e, set, o);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Rows in input order; a name that nothing defines is an error of the caller's. */
static int explain_all(const Explain *e, bool *ret_missing) {
        _cleanup_free_ bool *found = calloc(e->n_names + 1, sizeof(*found));
        int r = found ? explain_set(e, e->objects, found) : -ENOMEM;

        if (r == 0 && e->objects->over)
                r = explain_set(e, e->objects->over, found);
        if (r < 0)
                return r;
        *ret_missing = false;
        for (size_t i = 0; i < e->n_names; i++)
                if (!found[i]) {
                        say_error("%s: no such DaemonSet", e->names[i]);
                        *ret_missing = true;
                }
        return 0;
}

static int print_checks(const cJSON *rows, Err *err) {
        _cleanup_json_ cJSON *flat = cJSON_CreateArray();

        for (const cJSON *row = rows->child; row; row = row->next)
                for (const cJSON *c = json_get(row, "checks")->child; c; c = c->next) {
                        cJSON *line = cJSON_Duplicate(c, true);

                        if (!json_add_string(line, "namespace", json_string(row, "namespace")) ||
                            !json_add_string(line, "name", json_string(row, "name")) || !json_append(flat, line))
                                return err_oom(err);
                }
        return flat ? output_rows(flat, check_columns, ARRAY_SIZE(check_columns), FORMAT_WIDE, err) : err_oom(err);
}

static int print_rows(const Explain *e, Err *err) {
        Format format = e->options->format;
        int r;

        if (format != FORMAT_WIDE && !(format == FORMAT_TABLE && e->n_names == 1))
                return output_rows(e->rows, columns, ARRAY_SIZE(columns), format, err);
        r = output_rows(e->rows, columns, ARRAY_SIZE(columns), FORMAT_TABLE, err);
        if (r == 0)
                r = output_text("\n", 1, err);
        return r < 0 ? r : print_checks(e->rows, err);
}

/* Splits the arguments: what exists as a file is one, what looks like NAMESPACE/NAME otherwise is a name. */
static size_t sort_args(char **args, size_t n, char **files, char **names, size_t *ret_names) {
        size_t n_files = 0, n_names = 0;

        for (size_t i = 0; i < n; i++) {
                const char *slash = strchr(args[i], '/');

                if (slash && slash != args[i] && slash[1] && !strchr(slash + 1, '/') && args[i][0] != '.' &&
                    !is_source_name(slash + 1) && access(args[i], F_OK) < 0)
                        names[n_names++] = args[i];
                else
                        files[n_files++] = args[i];
        }
        *ret_names = n_names;
        return n_files;
}

/* The files that were named, or else daemonsets.d. */
static int read_objects(const Options *options, const Config *config, char **files, size_t n_files, Objects *ret,
                        bool *all_read, Err *err) {
        _cleanup_free_ char *last_good = NULL;
        LocalSnapshot local = { 0 };
        size_t len = 0;
        int r;

        if (n_files > 0)
                return files_read(options, files, n_files, ret);
        r = store_peek_sources(config->state_dir, &last_good, &len);
        if (r == 0)
                r = source_dir_read(config->daemonsets_dir, options->strict, last_good, len, &local);
        if (r < 0)
                return r;
        if (!local.read) {
                r = err_set(err, -EIO, "%s", str_or_empty(local.error));
        } else {
                *ret = local.objects;
                local.objects = (Objects){ 0 };
        }
        *all_read = local.complete;
        local_snapshot_done(&local);
        return r;
}

/* What the agent knows of the server: its Node, and without files its DaemonSets. */
static int look_at_cache(const Options *options, ApiLink *link, Host *host, bool with_objects, Explain *e,
                         Objects *objects, Err *err) {
        const ApiSnapshot *api;
        int r = api_open(link, &host->config, &host->kubelet, host->node.known ? host->node.view.name : NULL,
                         &(ApiHook){ 0 }, err);

        if (r < 0 || !link->source)
                return r;
        api = source_api_snapshot(link->source);
        if (!api)
                return err_oom(err);
        if (!options->node_file)
                r = api_lay_node(api, &host->config, &host->node, err);
        e->fence_broken = api->node_state != API_NODE_UNKNOWN && api->node.has_fence_label;
        if (with_objects)
                objects->over = &api->objects;
        return r;
}

int cmd_explain(const Options *options) {
        _cleanup_free_ char **files = calloc(options->n_args + 1, sizeof(*files));
        _cleanup_free_ char **names = calloc(options->n_args + 1, sizeof(*names));
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_json_ cJSON *rows = cJSON_CreateArray(), *status = NULL;
        _cleanup_host_ Host host = { 0 };
        Explain e = { .options = options, .host = &host, .objects = &objects, .rows = rows, .names = names };
        __attribute__((cleanup(api_close))) ApiLink link = { 0 };
        bool missing = false, all_read = true;
        Err err = { 0 };
        size_t n_files;
        int r;

        r = setup_host(options, &host, &err);
        if (r < 0)
                return fail(r, &err);
        if (!files || !names || !rows)
                return fail(-ENOMEM, &err);
        if (host.node.note)
                say_warning(options, "%s", host.node.note);
        n_files = sort_args(options->args, options->n_args, files, names, &e.n_names);
        e.decide = setup_decide(options, &host.config);
        r = read_objects(options, &host.config, files, n_files, &objects, &all_read, &err);
        if (r == 0 && !options->upstream)
                r = look_at_cache(options, &link, &host, n_files == 0, &e, &objects, &err);
        if (r == 0 && !options->upstream && !options->node_file && n_files == 0)
                r = report_read(host.config.runtime_dir, &status);
        e.status = status;
        e.render = setup_render(&host, &objects);
        if (r == 0) {
                files_say_diags(options, &objects);
                r = explain_all(&e, &missing);
        }
        if (r == 0) {
                say_note(options, "node %s (%s)", host.node.view.name, node_source_name(host.node.source));
                r = print_rows(&e, &err);
        }
        if (r < 0)
                return fail(r, &err);
        return missing || !all_read || !files_all_well(&objects) ? EXIT_NOT_WELL : 0;
}
