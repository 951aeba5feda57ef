/* SPDX-License-Identifier: Apache-2.0 */
#include "app/report.h"
#include "app/files.h"
#include "app/report_api.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
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

const Column status_columns[] = {
        { "NAMESPACE", "namespace", TABLES },
        { "NAME", "name", TABLES },
        { "NAMESPACE/NAME", "namespace/name", TSV },
        { "STATE", "state", TABLES | TSV },
        { "REASON", "reason", TABLES | TSV },
        { "REVISION", "revision", TABLES | TSV },
        { "SOURCE", "source", TABLES },
        { "AGE", "age", TABLES },
        { "MESSAGE", "message", WIDE | TSV },
};

const size_t n_status_columns = ARRAY_SIZE(status_columns);

/* Who has it on this host now. */
static const char *who_runs(const PlanRow *row) {
        if (row->ours_runs)
                return row->theirs_run ? "both" : "daemonlet";
        return row->theirs_run ? "controller" : "nobody";
}

/* Where the DaemonSet controller may have a part in it. */
static int add_controller(cJSON *item, const PlanRow *row, const PlanTheirs *t) {
        static const char *const daemonsets[] = { [THEIRS_UNKNOWN] = "Unknown",
                                                  [THEIRS_ABSENT] = "Absent",
                                                  [THEIRS_FENCED] = "Fenced",
                                                  [THEIRS_RUNS] = "Runs" };
        static const char *const pods[] = {
                [POD_NONE] = "", [POD_UNBOUND] = "Unbound", [POD_BOUND] = "Bound", [POD_READY] = "Ready"
        };
        cJSON *controller;

        if (!t || (row->handover == HANDOVER_NONE && !*t->blind && !*t->difference && t->daemonset != THEIRS_RUNS))
                return 0;
        controller = cJSON_CreateObject();
        if (!json_add_string(controller, "daemonset", daemonsets[t->daemonset]) ||
            !json_add_string(controller, "runs", who_runs(row)) ||
            (row->theirs_pod && !json_add_string(controller, "pod", row->theirs_pod)) ||
            (t->pod != POD_NONE && !json_add_string(controller, "podState", pods[t->pod])) ||
            (*t->difference && !json_add_string(controller, "difference", t->difference)) ||
            (*t->blind && !json_add_string(controller, "blind", t->blind))) {
                cJSON_Delete(controller);
                return -ENOMEM;
        }
        return json_add(item, "controller", controller) ? 0 : -ENOMEM;
}

static int add_row(cJSON *rows, const PlanRow *row, const PlanTheirs *theirs) {
        cJSON *item = cJSON_CreateObject();

        if (!json_add_string(item, "namespace", row->namespace) || !json_add_string(item, "name", row->name) ||
            !json_add_string(item, "state", state_name(row->state)) ||
            !json_add_string(item, "reason", reason_name(row->reason)) ||
            !json_add_string(item, "revision", row->revision) ||
            !json_add_string(item, "action", row->has_step ? step_verb_name(row->verb) : "-") ||
            !json_add_string(item, "effect", step_effect_name(row->effect)) ||
            !json_add_string(item, "source", str_or_empty(row->origin)) ||
            !json_add_string(item, "message", str_or_empty(row->message)) ||
            (row->written_at > 0 && !json_add(item, "writtenAt", json_new_int(row->written_at))) ||
            (row->held_since > 0 && !json_add(item, "heldSince", json_new_int(row->held_since))) ||
            add_controller(item, row, theirs) < 0) {
                cJSON_Delete(item);
                return -ENOMEM;
        }
        return json_append(rows, item) ? 0 : -ENOMEM;
}

/* A file of which not even the names can be told, and an object without a name. */
static int add_nameless(cJSON *rows, Reason reason, const char *file, const char *why) {
        char name[] = "-", namespace[] = "";
        _cleanup_free_ char *message = strdup(why);
        _cleanup_buf_ Buf origin = BUF_INIT;
        PlanRow row = {
                .namespace = namespace, .name = name, .state = STATE_INVALID, .reason = reason, .message = message
        };

        buf_printf(&origin, ORIGIN_FILE "%s", file);
        row.origin = buf_text(&origin);
        return message && !origin.failed ? add_row(rows, &row, NULL) : -ENOMEM;
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
                r = why ? add_nameless(rows, REASON_Invalid, objects->files[o->file].name, why) : -ENOMEM;
        }
        return r;
}

cJSON *report_rows(const Reconcile *r) {
        _cleanup_json_ cJSON *rows = cJSON_CreateArray();
        int e = rows ? add_unreadable(rows, &r->local) : -ENOMEM;

        for (size_t i = 0; e == 0 && i < r->plan.n_rows; i++)
                e = add_row(rows, &r->plan.rows[i], i < r->wanted.n ? r->wanted.wanted[i].theirs : NULL);
        return e < 0 ? NULL : TAKE_PTR(rows);
}

bool report_row_is_well(const cJSON *row) {
        static const char *const bad[] = { "Invalid", "Refused", "Conflict", "NotStarted" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (streq(json_string(row, "state"), bad[i]))
                        return false;
        return true;
}

bool report_is_well(const cJSON *rows) {
        for (const cJSON *row = rows->child; row; row = row->next)
                if (!report_row_is_well(row))
                        return false;
        return true;
}

const cJSON *report_find(const cJSON *rows, const char *namespace, const char *name) {
        for (const cJSON *row = rows ? rows->child : NULL; row; row = row->next)
                if (streq(json_string(row, "namespace"), namespace) && streq(json_string(row, "name"), name))
                        return row;
        return NULL;
}

void report_controller_line(const cJSON *row, Buf *out) {
        static const char *const words[][2] = {
                { "daemonlet", "the static pod" },
                { "controller", "the controller's pod" },
                { "both", "the static pod and the controller's" },
                { "nobody", "nobody" },
        };
        const cJSON *c = json_get(row, "controller");
        const char *message = str_or_empty(json_string(row, "message")), *blind = json_string(c, "blind");

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (streq(json_string(c, "runs"), words[i][0]))
                        buf_printf(out, "runs now: %s%s%s", words[i][1], *message ? "; " : "", message);
        if (out->len && blind && !strstr(message, blind))
                buf_printf(out, "; %s", blind);
}

/* ---- ages ---- */

/* Two units while the larger one is small, then one: nobody counts the minutes of a day. */
void report_age(int64_t seconds, char ret[static REPORT_AGE_MAX]) {
        static const struct {
                int64_t below, unit, part;
                const char *name, *part_name;
        } scales[] = {
                { 120, 1, 0, "s", "" },
                { 600, 60, 1, "m", "s" },
                { 3 * 3600, 60, 0, "m", "" },
                { 8 * 3600, 3600, 60, "h", "m" },
                { 48 * 3600, 3600, 0, "h", "" },
                { 8 * 86400, 86400, 3600, "d", "h" },
                { 730 * 86400, 86400, 0, "d", "" },
                { 2920 * (int64_t)86400, 365 * 86400, 86400, "y", "d" },
                { INT64_MAX, 365 * 86400, 0, "y", "" },
        };
        size_t i = 0;
        int64_t part;

        if (seconds < 0)
                seconds = 0;
        while (seconds >= scales[i].below)
                i++;
        part = scales[i].part ? seconds % scales[i].unit / scales[i].part : 0;
        if (part)
                (void)snprintf(ret, REPORT_AGE_MAX, "%" PRId64 "%s%" PRId64 "%s", seconds / scales[i].unit,
                               scales[i].name, part, scales[i].part_name);
        else
                (void)snprintf(ret, REPORT_AGE_MAX, "%" PRId64 "%s", seconds / scales[i].unit, scales[i].name);
}

int report_add_ages(cJSON *rows, int64_t now) {
        for (cJSON *row = rows->child; row; row = row->next) {
                int64_t written_at;
                char age[REPORT_AGE_MAX];

                if (!json_int(json_get(row, "writtenAt"), &written_at))
                        continue;
                report_age(now - written_at, age);
                if (!json_put(row, "age", cJSON_CreateString(age)))
                        return -ENOMEM;
        }
        return 0;
}

/* ---- one line for people ---- */

void report_summary(const cJSON *rows, Buf *out) {
        static const struct {
                const char *states[5], *one, *many;
        } groups[] = {
                { { "Running", "Starting", "Written" }, "runs here", "run here" },
                { { "NotHere" }, "does not fit", "do not fit" },
                { { "Terminating" }, "terminating", NULL },
                { { "HandedOver" }, "handed over", NULL },
                { { "Waiting" }, "waiting", NULL },
                { { "Held" }, "held", NULL },
                { { "Refused" }, "refused", NULL },
                { { "Invalid" }, "invalid", NULL },
                { { "Conflict" }, "in conflict", NULL },
                { { "NotStarted" }, "not started", NULL },
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
                buf_printf(out, "%s%zu %s", between, n, n > 1 && groups[i].many ? groups[i].many : groups[i].one);
                between = ", ";
        }
}

/* ---- status.json ---- */

static bool add_counters(cJSON *status, const Ledger *l) {
        const struct {
                const char *name;
                uint64_t value;
        } counts[] = {
                { "repairs", l->repairs },     { "quarantined", l->quarantined }, { "held", l->holds },
                { "conflicts", l->conflicts }, { "restarts", l->restarts },       { "handovers", l->handovers },
                { "takebacks", l->takebacks },
        };
        cJSON *counters = cJSON_CreateObject();

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
                if (!json_add(counters, counts[i].name, json_new_int((int64_t)counts[i].value))) {
                        cJSON_Delete(counters);
                        return false;
                }
        return json_add(status, "counters", counters);
}

static bool add_mishaps(cJSON *status, const Mishap *mishaps, size_t n) {
        cJSON *list = cJSON_CreateArray();

        for (size_t i = 0; i < n; i++) {
                cJSON *item = cJSON_CreateObject();

                if (!json_add(item, "at", json_new_int(mishaps[i].at)) ||
                    !json_add(item, "count", json_new_int((int64_t)mishaps[i].count)) ||
                    !json_add_string(item, "daemonset", mishaps[i].daemonset) ||
                    !json_add_string(item, "message", mishaps[i].what.message)) {
                        cJSON_Delete(item);
                        cJSON_Delete(list);
                        return false;
                }
                if (!json_append(list, item)) {
                        cJSON_Delete(list);
                        return false;
                }
        }
        return json_add(status, "lastErrors", list);
}

static bool add_pass(cJSON *status, const Reconcile *r) {
        cJSON *node = cJSON_CreateObject();

        if (!json_add_string(node, "name", str_or_empty(r->node.view.name)) ||
            !json_add_string(node, "source", node_source_name(r->node.source)) ||
            !json_add(node, "known", cJSON_CreateBool(r->node.known)) ||
            (source_api_node(r->api.source).gone_since >= 0 && !json_add(node, "deleted", cJSON_CreateTrue()))) {
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
            !json_add_string(status, "problem", str_or_empty(f->problem)) || !add_counters(status, f->ledger) ||
            !add_mishaps(status, f->mishaps, f->n_mishaps))
                return NULL;
        if (f->reconcile && (!add_pass(status, f->reconcile) || report_api_add(status, f->reconcile->api.source) < 0))
                return NULL;
        return TAKE_PTR(status);
}

int report_write(const char *runtime_dir, const char *text, size_t len, Err *err) {
        _cleanup_fd_ int fd = -1;

        (void)mkdir(runtime_dir, 0755);
        fd = file_open_at(AT_FDCWD, runtime_dir, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return err_errno(err, fd, "cannot write status.json: %s", runtime_dir);
        return file_write_at(fd, ".status.json.new", "status.json", text, len, 0644, err);
}

int report_read(const char *runtime_dir, cJSON **ret) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_json_ cJSON *status = NULL;
        int64_t pid;
        size_t len;
        int r;

        *ret = NULL;
        if (asprintf(&path, "%s/status.json", runtime_dir) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_read(AT_FDCWD, path, JSON_SIZE_MAX, (FileTrust){ .check = true }, &text, &len, NULL);
        if (r == 0)
                r = json_parse(text, len, (Place){ 1, 1 }, NULL, NULL, &status, NULL, NULL, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (json_int(json_get(status, "pid"), &pid) && pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM))
                *ret = TAKE_PTR(status);
        return 0;
}
