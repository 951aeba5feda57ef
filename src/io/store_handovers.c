/* SPDX-License-Identifier: Apache-2.0 */
/* What was handed over to the DaemonSet controller: a set in the index that a plan replaces as a whole. */
#include "io/store_internal.h"

#include <errno.h>
#include <stdlib.h>

static void handover_done(PlanHandover *h) {
        free_const(h->namespace);
        free_const(h->name);
        free_const(h->pod);
        free_const(h->uid);
        free_const(h->boot);
}

void handovers_free(PlanHandover *handovers, size_t n) {
        for (size_t i = 0; i < n; i++)
                handover_done(&handovers[i]);
        free(handovers);
}

static int handover_copy(const PlanHandover *from, PlanHandover *ret) {
        PlanHandover made = { .namespace = strdup(from->namespace),
                              .name = strdup(from->name),
                              .pod = strdup(str_or_empty(from->pod)),
                              .uid = strdup(str_or_empty(from->uid)),
                              .boot = strdup(str_or_empty(from->boot)),
                              .unplaced = from->unplaced,
                              .stopped = from->stopped,
                              .witness = WITNESS_UNKNOWN };

        if (!made.namespace || !made.name || !made.pod || !made.uid || !made.boot) {
                handover_done(&made);
                return -ENOMEM;
        }
        *ret = made;
        return 0;
}

int handovers_copy(const PlanHandover *from, size_t n, PlanHandover **ret) {
        PlanHandover *made;

        *ret = NULL;
        if (n == 0)
                return 0;
        made = calloc(n, sizeof(*made));
        if (!made)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (handover_copy(&from[i], &made[i]) < 0) {
                        handovers_free(made, i);
                        return -ENOMEM;
                }
        qsort(made, n, sizeof(*made), plan_compare_handovers);
        *ret = made;
        return 0;
}

/* ---- replacing the set ---- */

static bool is_same(const PlanHandover *a, const PlanHandover *b) {
        return plan_compare_handovers(a, b) == 0 && streq(a->pod, str_or_empty(b->pod)) &&
               streq(a->uid, str_or_empty(b->uid)) && streq(a->boot, str_or_empty(b->boot)) &&
               a->unplaced == b->unplaced && a->stopped == b->stopped;
}

static bool is_known(const Index *index, const Plan *plan) {
        if (index->n_handovers != plan->n_handovers)
                return false;
        for (size_t i = 0; i < plan->n_handovers; i++)
                if (!is_same(&index->handovers[i], &plan->handovers[i]))
                        return false;
        return true;
}

/* On the disk before anything depends on it: the rename too. */
static int save(Store *s, Err *err) {
        bool changed = false;
        int r = store_save_index(s, &changed, err);

        if (r < 0)
                return r;
        r = file_sync_dir(s->state_fd);
        return r < 0 ? err_errno(err, r, "cannot sync the state directory %s", s->state_dir) : 0;
}

int store_save_handovers(Store *s, const Plan *plan, Err *err) {
        Index *index = &s->index;
        PlanHandover *made, *before = index->handovers;
        size_t n_before = index->n_handovers;
        int r;

        if (is_known(index, plan))
                return 0;
        if (handovers_copy(plan->handovers, plan->n_handovers, &made) < 0)
                return err_oom(err);
        index->handovers = made;
        index->n_handovers = plan->n_handovers;
        r = save(s, err);
        if (r < 0) {
                index->handovers = before;
                index->n_handovers = n_before;
                handovers_free(made, plan->n_handovers);
                return r;
        }
        handovers_free(before, n_before);
        return 0;
}

const PlanHandover *store_handovers(const Store *s, size_t *ret_n) {
        *ret_n = s->index.n_handovers;
        return s->index.handovers;
}

/* ---- from and to JSON ---- */

/* All strings stay the tree's. */
static bool parse_handover(const cJSON *json, PlanHandover *ret) {
        const cJSON *unplaced = json_get(json, "unplaced"), *stopped = json_get(json, "stopped");

        *ret = (PlanHandover){ .namespace = json_string(json, "namespace"),
                               .name = json_string(json, "name"),
                               .pod = json_string(json, "pod"),
                               .uid = json_string(json, "uid"),
                               .boot = json_string(json, "boot"),
                               .unplaced = cJSON_IsTrue(unplaced),
                               .stopped = cJSON_IsTrue(stopped) };
        return ret->namespace && ret->name && ret->pod && ret->uid && ret->boot &&
               (!unplaced || cJSON_IsBool(unplaced)) && cJSON_IsBool(stopped);
}

int handovers_parse(const cJSON *json, Index *index) {
        _cleanup_free_ PlanHandover *read = NULL;
        size_t n = 0;
        int r;

        if (!json)
                return 0;
        if (!cJSON_IsArray(json))
                return -EBADMSG;
        read = calloc((size_t)cJSON_GetArraySize(json) + 1, sizeof(*read));
        if (!read)
                return -ENOMEM;
        for (const cJSON *h = json->child; h; h = h->next)
                if (!parse_handover(h, &read[n++]))
                        return -EBADMSG;
        r = handovers_copy(read, n, &index->handovers);
        if (r < 0)
                return r;
        index->n_handovers = n;
        for (size_t i = 1; i < n; i++)
                if (plan_compare_handovers(&index->handovers[i - 1], &index->handovers[i]) == 0)
                        return -EBADMSG;
        return 0;
}

static cJSON *handover_tree(const PlanHandover *h) {
        cJSON *made = cJSON_CreateObject();

        if (made && json_add_string(made, "namespace", h->namespace) && json_add_string(made, "name", h->name) &&
            json_add_string(made, "pod", h->pod) && json_add_string(made, "uid", h->uid) &&
            json_add_string(made, "boot", h->boot) && json_add(made, "unplaced", cJSON_CreateBool(h->unplaced)) &&
            json_add(made, "stopped", cJSON_CreateBool(h->stopped)))
                return made;
        cJSON_Delete(made);
        return NULL;
}

cJSON *handovers_tree(const Index *index) {
        _cleanup_json_ cJSON *made = cJSON_CreateArray();

        if (!made)
                return NULL;
        for (size_t i = 0; i < index->n_handovers; i++)
                if (!json_append(made, handover_tree(&index->handovers[i])))
                        return NULL;
        return TAKE_PTR(made);
}
