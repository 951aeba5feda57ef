/* SPDX-License-Identifier: Apache-2.0 */
#include "core/live_node.h"

#include "core/decide.h"
#include "core/schema.h"

#include <errno.h>

void live_node_done(LiveNode *node) {
        free(node->uid);
        node_view_done(&node->view);
        *node = (LiveNode){ 0 };
}

/* ---- time ---- */

static bool take_number(const char **s, size_t digits, int64_t min, int64_t max, int64_t *ret) {
        int64_t value = 0;

        for (; digits > 0; digits--, (*s)++) {
                if (**s < '0' || **s > '9')
                        return false;
                value = 10 * value + (**s - '0');
        }
        *ret = value;
        return value >= min && value <= max;
}

static bool take_char(const char **s, char c) {
        if (**s != c)
                return false;
        (*s)++;
        return true;
}

static bool is_leap(int64_t year) {
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static bool take_date(const char **s, int64_t *ret_days) {
        static const int16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };
        int64_t year, month, day, last, past;

        if (!take_number(s, 4, 0, 9999, &year) || !take_char(s, '-') || !take_number(s, 2, 1, 12, &month) ||
            !take_char(s, '-') || !take_number(s, 2, 1, 31, &day))
                return false;
        last = before[month] - before[month - 1] + (month == 2 && is_leap(year));
        if (day > last)
                return false;
        past = year - 1;
        /* 477 leap days stand before 1970. */
        *ret_days = 365 * (year - 1970) + past / 4 - past / 100 + past / 400 - 477 + before[month - 1] +
                    (month > 2 && is_leap(year)) + day - 1;
        return true;
}

/* Seconds to take away for UTC. */
static bool take_zone(const char **s, int64_t *ret) {
        int64_t hour, minute, sign;

        *ret = 0;
        if (take_char(s, 'Z'))
                return true;
        sign = take_char(s, '-') ? -1 : 1;
        if (sign > 0 && !take_char(s, '+'))
                return false;
        if (!take_number(s, 2, 0, 23, &hour) || !take_char(s, ':') || !take_number(s, 2, 0, 59, &minute))
                return false;
        *ret = sign * (3600 * hour + 60 * minute);
        return true;
}

int64_t rfc3339_seconds(const char *text) {
        const char *s = text;
        int64_t days, hour, minute, second, zone, value;

        if (!take_date(&s, &days) || !take_char(&s, 'T') || !take_number(&s, 2, 0, 23, &hour) || !take_char(&s, ':') ||
            !take_number(&s, 2, 0, 59, &minute) || !take_char(&s, ':') || !take_number(&s, 2, 0, 59, &second))
                return -1;
        if (take_char(&s, '.')) {
                size_t digits = strspn(s, "0123456789");

                if (digits == 0)
                        return -1;
                s += digits;
        }
        if (!take_zone(&s, &zone) || *s)
                return -1;
        value = 86400 * days + 3600 * hour + 60 * minute + second - zone;
        return value < 0 ? -1 : value;
}

/* ---- reducing ---- */

static bool is_ready_condition(const cJSON *condition) {
        return streq(json_string(condition, "type"), "Ready");
}

bool live_node_reduce(cJSON *node) {
        cJSON *status = json_get_mutable(node, "status"), *conditions = json_get_mutable(status, "conditions"), *next;

        JSON_KEEP(node, "apiVersion", "kind", "metadata", "spec", "status");
        JSON_KEEP(json_get_mutable(node, "metadata"), "name", "uid", "resourceVersion", "labels");
        JSON_KEEP(json_get_mutable(node, "spec"), "taints");
        JSON_KEEP(status, "conditions");
        for (cJSON *c = cJSON_IsArray(conditions) ? conditions->child : NULL; c; c = next) {
                next = c->next;
                if (is_ready_condition(c))
                        JSON_KEEP(c, "type", "status", "lastHeartbeatTime");
                else
                        cJSON_Delete(cJSON_DetachItemViaPointer(conditions, c));
        }
        return true;
}

/* ---- reading ---- */

static int check(cJSON *root, Err *err) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Diags diags = { 0 };
        int r = 0;

        if (!streq(json_string(root, "kind"), "Node") || !streq(json_string(root, "apiVersion"), "v1"))
                return err_set(err, -EBADMSG, "not a Node of apiVersion v1");
        schema_check(root, schema_type("Node"), "", &diags);
        if (diag_first_error(&diags))
                diag_text(diag_first_error(&diags), &text);
        if (diags.failed || text.failed)
                r = err_oom(err);
        else if (diag_first_error(&diags))
                r = err_set(err, -EBADMSG, "%s", buf_text(&text));
        else if (!*str_or_empty(json_string(json_get(root, "metadata"), "name")))
                r = err_set(err, -EBADMSG, "metadata.name: required");
        diags_done(&diags);
        return r;
}

/* All conditions that are left are Ready. */
static int64_t heartbeat_of(const cJSON *root) {
        const cJSON *conditions = json_path(root, "status.conditions"), *c;

        cJSON_ArrayForEach(c, conditions) {
                int64_t seconds = rfc3339_seconds(str_or_empty(json_string(c, "lastHeartbeatTime")));

                if (seconds > 0)
                        return seconds;
        }
        return 0;
}

int live_node_read(const char *bytes, size_t len, LiveNode *ret, Err *err) {
        _cleanup_live_node_ LiveNode node = { 0 };
        _cleanup_json_ cJSON *root = NULL;
        int r = json_parse(bytes, len, (Place){ 1, 1 }, NULL, NULL, &root, NULL, NULL, err);

        if (r == 0) {
                (void)live_node_reduce(root);
                r = check(root, err);
        }
        if (r < 0)
                return r;
        node.uid = strdup(str_or_empty(json_string(json_get(root, "metadata"), "uid")));
        if (!node.uid || node_view_from_json(root, &node.view) < 0)
                return err_oom(err);
        node.heartbeat = heartbeat_of(root);
        node.has_fence_label = node_view_label(&node.view, FENCE_LABEL);
        *ret = node;
        node = (LiveNode){ 0 };
        return 0;
}

/* ---- comparing ---- */

static bool equal_labels(const NodeView *a, const NodeView *b) {
        if (a->n_labels != b->n_labels)
                return false;
        for (size_t i = 0; i < a->n_labels; i++)
                if (!streq(a->labels[i].key, b->labels[i].key) || !streq(a->labels[i].value, b->labels[i].value))
                        return false;
        return true;
}

static bool has_taint(const NodeView *view, const Taint *taint) {
        for (size_t i = 0; i < view->n_taints; i++) {
                const Taint *t = &view->taints[i];

                if (t->effect == taint->effect && streq(t->key, taint->key) && streq(t->value, taint->value))
                        return true;
        }
        return false;
}

static bool has_taints_of(const NodeView *a, const NodeView *b) {
        for (size_t i = 0; i < b->n_taints; i++)
                if (!has_taint(a, &b->taints[i]))
                        return false;
        return true;
}

bool live_node_equal(const LiveNode *a, const LiveNode *b) {
        return streq(a->uid, b->uid) && equal_labels(&a->view, &b->view) && has_taints_of(&a->view, &b->view) &&
               has_taints_of(&b->view, &a->view);
}
