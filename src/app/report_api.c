/* SPDX-License-Identifier: Apache-2.0 */
#include "app/report_api.h"
#include "app/report.h"

#include <errno.h>
#include <inttypes.h>

static bool add_resource(cJSON *list, const ApiResourceReport *r) {
        cJSON *item = cJSON_CreateObject();

        if (!json_add_string(item, "resource", r->resource) || !json_add_string(item, "state", r->state) ||
            !json_add(item, "objects", json_new_int((int64_t)r->n)) ||
            (*r->problem && !json_add_string(item, "problem", r->problem)) ||
            (r->polled && !json_add(item, "polled", cJSON_CreateTrue())) ||
            (r->optional && !json_add(item, "optional", cJSON_CreateTrue())) ||
            /* Of what is live the time would be news at every moment. */
            (!streq(r->state, "Live") && r->confirmed > 0 &&
             !json_add(item, "confirmedAt", json_new_int(r->confirmed)))) {
                cJSON_Delete(item);
                return false;
        }
        return json_append(list, item);
}

static cJSON *make(const ApiReport *r) {
        _cleanup_json_ cJSON *api = cJSON_CreateObject();
        cJSON *list = cJSON_CreateArray();

        if (!json_add(api, "resources", list) || !json_add_string(api, "kubeconfig", str_or_empty(r->kubeconfig)) ||
            !json_add_string(api, "server", str_or_empty(r->server)) ||
            !json_add_string(api, "identity",
                             !r->server      ? "none"
                             : r->is_kubelet ? "kubelet"
                                             : "own") ||
            !json_add(api, "reachable", cJSON_CreateBool(r->reachable)) ||
            !json_add(api, "left", cJSON_CreateBool(r->left)) || !json_add_string(api, "problem", r->problem) ||
            !json_add_string(api, "note", r->note) || (r->to_mend && !json_add(api, "toMend", cJSON_CreateTrue())) ||
            (!r->reachable && r->heard_at > 0 && !json_add(api, "heardAt", json_new_int(r->heard_at))))
                return NULL;
        for (size_t i = 0; i < r->n_resources; i++)
                if (!add_resource(list, &r->resources[i]))
                        return NULL;
        return TAKE_PTR(api);
}

int report_api_add(cJSON *status, SourceApi *source) {
        ApiReport report;

        if (!source)
                return 0;
        if (source_api_report(source, &report) < 0)
                return -ENOMEM;
        if (!report.kubeconfig && report.n_resources == 0)
                return 0;
        return json_add(status, "api", make(&report)) ? 0 : -ENOMEM;
}

/* ---- for people ---- */

static void add_age(const cJSON *api, int64_t now, Buf *out) {
        char age[REPORT_AGE_MAX];
        int64_t at;

        if (!json_int(json_get(api, "heardAt"), &at)) {
                buf_str(out, "; it was never heard of");
                return;
        }
        report_age(now - at, age);
        buf_printf(out, "; what it said %s ago counts", age);
}

void report_api_line(const cJSON *status, int64_t now, Buf *out) {
        const cJSON *api = json_get(status, "api"), *list = json_get(api, "resources");
        const char *problem = str_or_empty(json_string(api, "problem")), *note = str_or_empty(json_string(api, "note"));
        int live = 0, n = cJSON_GetArraySize(list);

        if (!api)
                return;
        for (const cJSON *r = list ? list->child : NULL; r; r = r->next)
                live += streq(json_string(r, "state"), "Live");
        buf_printf(out, "API server %s (%s identity): ", str_or_empty(json_string(api, "server")),
                   str_or_empty(json_string(api, "identity")));
        if (json_true(api, "left"))
                buf_str(out, "this host left the cluster: the kubelet's kubeconfig is gone");
        else if (json_true(api, "reachable"))
                buf_printf(out, "%d of %d resources live", live, n);
        else {
                buf_str(out, "no answer");
                add_age(api, now, out);
        }
        if (*problem)
                buf_printf(out, "; %s", problem);
        if (*note)
                buf_printf(out, "; %s", note);
        for (const cJSON *r = list ? list->child : NULL; r; r = r->next)
                if (*str_or_empty(json_string(r, "problem"))) {
                        buf_printf(out, "; %s: %s", str_or_empty(json_string(r, "state")), json_string(r, "problem"));
                        break;
                }
}

bool report_api_is_well(const cJSON *status) {
        const cJSON *api = json_get(status, "api"), *list = json_get(api, "resources");

        if (!api)
                return true;
        if (json_true(api, "toMend") || *str_or_empty(json_string(api, "note")) ||
            streq(json_string(api, "identity"), "none"))
                return false;
        for (const cJSON *r = list ? list->child : NULL; r; r = r->next)
                if (*str_or_empty(json_string(r, "problem")) && !json_true(r, "optional"))
                        return false;
        return true;
}
