/* SPDX-License-Identifier: Apache-2.0 */
#include "app/report.h"
#include "app/files.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define TABLES (FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE))
#define WIDE FORMAT_BIT(FORMAT_WIDE)
#define TSV FORMAT_BIT(FORMAT_TSV)

const Column report_columns[] = {
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

const size_t n_report_columns = ARRAY_SIZE(report_columns);

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

cJSON *report_rows(const Reconcile *r) {
        _cleanup_json_ cJSON *rows = cJSON_CreateArray();
        int e = rows ? add_unreadable(rows, &r->local) : -ENOMEM;

        for (size_t i = 0; e == 0 && i < r->plan.n_rows; i++)
                e = add_row(rows, &r->plan.rows[i]);
        return e < 0 ? NULL : TAKE_PTR(rows);
}

bool report_is_well(const cJSON *rows) {
        static const char *const bad[] = { "Invalid", "Refused", "Conflict" };

        for (const cJSON *row = rows->child; row; row = row->next)
                for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                        if (streq(json_string(row, "state"), bad[i]))
                                return false;
        return true;
}

/* ---- one line for people ---- */

void report_summary(const cJSON *rows, Buf *out) {
        static const struct {
                const char *states[6], *text;
        } groups[] = {
                { { "Running", "Starting", "Written", "Terminating" }, " run here" },
                { { "NotHere", "HandedOver" }, " not here" },
                { { "Waiting" }, " waiting" },
                { { "Held" }, " held" },
                { { "Refused" }, " refused" },
                { { "Invalid" }, " invalid" },
                { { "Conflict" }, " in conflict" },
                { { "NotStarted" }, " not started" },
        };
        const char *between = ": ";
        int total = cJSON_GetArraySize(rows);

        buf_printf(out, "%d DaemonSet%s", total, total == 1 ? "" : "s");
        for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
                size_t n = 0;

                for (const cJSON *row = rows->child; row; row = row->next)
                        for (size_t k = 0; groups[i].states[k]; k++)
                                n += streq(json_string(row, "state"), groups[i].states[k]);
                if (n == 0)
                        continue;
                buf_printf(out, "%s%zu%s", between, n, groups[i].text);
                between = ", ";
        }
}

/* ---- status.json ---- */

static bool add_counters(cJSON *status, const ReportFacts *f) {
        cJSON *counters = cJSON_CreateObject();

        if (!json_add(counters, "repairs", json_new_int((int64_t)f->ledger->repairs)) ||
            !json_add(counters, "quarantined", json_new_int((int64_t)f->ledger->quarantined))) {
                cJSON_Delete(counters);
                return false;
        }
        return json_add(status, "counters", counters);
}

static bool add_pass(cJSON *status, const Reconcile *r) {
        cJSON *node = cJSON_CreateObject();

        if (!json_add_string(node, "name", str_or_empty(r->node.view.name)) ||
            !json_add_string(node, "source", node_source_name(r->node.source)) ||
            !json_add(node, "known", cJSON_CreateBool(r->node.known))) {
                cJSON_Delete(node);
                return false;
        }
        return json_add(status, "node", node) && json_add_string(status, "manifestDir", r->manifest_dir) &&
               json_add_string(status, "sources", r->config.daemonsets_dir) &&
               json_add(status, "daemonsets", report_rows(r));
}

cJSON *report_status(const ReportFacts *f) {
        _cleanup_json_ cJSON *status = cJSON_CreateObject();

        if (!json_add(status, "version", json_new_int(1)) || !json_add(status, "pid", json_new_int(getpid())) ||
            !json_add_string(status, "problem", str_or_empty(f->problem)) || !add_counters(status, f))
                return NULL;
        if (f->reconcile && !add_pass(status, f->reconcile))
                return NULL;
        return TAKE_PTR(status);
}

int report_write(const char *runtime_dir, const char *text, size_t len) {
        _cleanup_fd_ int fd = -1;

        (void)mkdir(runtime_dir, 0755);
        fd = file_open_at(AT_FDCWD, runtime_dir, O_RDONLY | O_DIRECTORY, 0);
        return fd < 0 ? fd : file_write_at(fd, ".status.json.new", "status.json", text, len, 0644, NULL);
}
