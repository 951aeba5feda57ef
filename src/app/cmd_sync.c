/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/files.h"
#include "app/output.h"
#include "app/reconcile.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define TABLES (FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE))
#define WIDE FORMAT_BIT(FORMAT_WIDE)
#define TSV FORMAT_BIT(FORMAT_TSV)

static const Column columns[] = {
        { "NAMESPACE", "namespace", TABLES },
        { "NAME", "name", TABLES },
        { "NAMESPACE/NAME", "namespace/name", TSV },
        { "STATE", "state", TABLES | TSV },
        { "REASON", "reason", TABLES | TSV },
        { "REVISION", "revision", TABLES | TSV },
        { "ACTION", "action", TABLES },
        { "POD", "effect", TABLES },
        { "SOURCE", "source", WIDE },
        { "MESSAGE", "message", TABLES | TSV },
};

static int add_row(cJSON *rows, const PlanRow *row) {
        cJSON *item = cJSON_CreateObject();

        if (!json_add_string(item, "namespace", row->namespace) || !json_add_string(item, "name", row->name) ||
            !json_add_string(item, "state", state_name(row->state)) ||
            !json_add_string(item, "reason", reason_name(row->reason)) ||
            !json_add_string(item, "revision", row->revision) ||
            !json_add_string(item, "action", row->has_step ? step_verb_name(row->verb) : "-") ||
            !json_add_string(item, "effect", step_effect_name(row->effect)) ||
            !json_add_string(item, "source", str_or_empty(row->origin)) ||
            !json_add_string(item, "message", str_or_empty(row->message))) {
                cJSON_Delete(item);
                return -ENOMEM;
        }
        return json_append(rows, item) ? 0 : -ENOMEM;
}

/* A file of which not even the names can be told, and an object without a name. */
static int add_nameless(cJSON *rows, Reason reason, const char *file, const char *why) {
        char name[] = "-", namespace[] = "";
        _cleanup_free_ char *message = strdup(why ? why : file);
        const PlanRow row = {
                .namespace = namespace, .name = name, .state = STATE_INVALID, .reason = reason, .message = message
        };

        return message ? add_row(rows, &row) : -ENOMEM;
}

static int add_unreadable(cJSON *rows, const LocalSnapshot *local) {
        const Objects *objects = &local->objects;
        int r = 0;

        for (size_t i = 0; r == 0 && i < objects->n_files; i++) {
                const ObjectFile *f = &objects->files[i];
                _cleanup_free_ char *why = NULL;

                if (!f->unreadable && f->diags.n_errors == 0)
                        continue;
                why = file_error(f);
                r = why ? add_nameless(rows, REASON_Unreadable, f->name, why) : -ENOMEM;
        }
        for (size_t i = 0; r == 0 && i < objects->n_objects; i++) {
                const Object *o = &objects->objects[i];
                _cleanup_free_ char *why = NULL;

                if (o->kind != OBJECT_DAEMONSET || o->name[0])
                        continue;
                why = object_error(objects, o);
                r = why ? add_nameless(rows, REASON_Invalid, "", why) : -ENOMEM;
        }
        return r;
}

/* Steps that belong to no DaemonSet's row are told on standard error, and so is what --now overrides. */
static void say_steps(const Options *options, const Reconcile *r) {
        const char *would = options->dry_run ? "would " : "";

        for (size_t i = 0; i < r->plan.n_steps; i++) {
                const PlanStep *s = &r->plan.steps[i];

                if (s->verb == STEP_QUARANTINE || (options->verbosity > 0 && s->verb != STEP_RECORD))
                        say_note(options, "%s%s %s: %s", would, step_verb_name(s->verb), s->file, str_or_empty(s->why));
        }
        if (options->now)
                say_warning(options, "--now: a kubelet that has not seen its API server since its start keeps the old "
                                     "pod running and starts the new one beside it after a restart");
}

static int say_sources(const Options *options, const Reconcile *r) {
        if (r->snapshot.warning)
                say_warning(options, "%s", r->snapshot.warning);
        if (r->node.note)
                say_warning(options, "%s", r->node.note);
        if (r->kubelet.warning)
                say_warning(options, "%s", r->kubelet.warning);
        files_say_diags(options, &r->local.objects);
        if (r->local.read)
                return 0;
        say_error("%s; nothing is removed", str_or_empty(r->local.error));
        return EX_IOERR;
}

static bool rows_well(const cJSON *rows) {
        static const char *const bad[] = { "Invalid", "Refused", "Conflict" };

        for (const cJSON *row = rows->child; row; row = row->next)
                for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                        if (streq(json_string(row, "state"), bad[i]))
                                return false;
        return true;
}

static int check_arguments(const Options *options) {
        if (options->n_args > 0 && !options->now) {
                say_error("sync takes no arguments but NAMESPACE/NAME behind --now; see daemonlet sync --help");
                return EX_USAGE;
        }
        if (options->now && options->n_args == 0) {
                say_error("--now wants the NAMESPACE/NAME of what is to be changed now");
                return EX_USAGE;
        }
        for (size_t i = 0; i < options->n_args; i++) {
                const char *slash = strchr(options->args[i], '/');

                if (!slash || slash == options->args[i] || !slash[1] || strchr(slash + 1, '/')) {
                        say_error("\"%s\" is no NAMESPACE/NAME", options->args[i]);
                        return EX_USAGE;
                }
        }
        return 0;
}

static int print_report(const Options *options, const Reconcile *r, bool *ret_well, Err *err) {
        _cleanup_json_ cJSON *rows = cJSON_CreateArray();
        int e = rows ? add_unreadable(rows, &r->local) : -ENOMEM;

        for (size_t i = 0; e == 0 && i < r->plan.n_rows; i++)
                e = add_row(rows, &r->plan.rows[i]);
        if (e < 0)
                return err_oom(err);
        *ret_well = rows_well(rows);
        return output_rows(rows, columns, ARRAY_SIZE(columns), options->format, err);
}

int cmd_sync(const Options *options) {
        _cleanup_reconcile_ Reconcile reconcile = { 0 };
        int64_t now = (int64_t)time(NULL);
        Err err = { 0 }, apply_err = { 0 };
        bool well = true;
        int r, status;

        status = check_arguments(options);
        if (status)
                return status;
        r = reconcile_open(options, &reconcile, &err);
        if (r == 0)
                r = reconcile_read(options, &reconcile, &err);
        if (r == 0)
                r = reconcile_plan(options, &(ReconcilePass){ .now = now }, &reconcile, &err);
        if (r < 0)
                return fail(r, &err);
        status = say_sources(options, &reconcile);
        say_steps(options, &reconcile);
        if (!options->dry_run) {
                r = reconcile_apply(&reconcile, options, now, &apply_err);
                if (r < 0)
                        status = fail(r, &apply_err);
        }
        r = print_report(options, &reconcile, &well, &err);
        if (r < 0)
                return fail(r, &err);
        return status ? status : well ? 0 : EXIT_NOT_WELL;
}
