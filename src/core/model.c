/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model.h"

#include <errno.h>

#include "core/selector.h"

static const char *const effect_names[] = {
        [EFFECT_NONE] = "",
        [EFFECT_NO_SCHEDULE] = "NoSchedule",
        [EFFECT_PREFER_NO_SCHEDULE] = "PreferNoSchedule",
        [EFFECT_NO_EXECUTE] = "NoExecute",
};

const char *taint_effect_name(TaintEffect effect) {
        return effect_names[effect];
}

bool taint_effect_parse(const char *name, TaintEffect *ret) {
        for (size_t i = EFFECT_NO_SCHEDULE; i < ARRAY_SIZE(effect_names); i++)
                if (streq(effect_names[i], name)) {
                        *ret = (TaintEffect)i;
                        return true;
                }
        return false;
}

static int compare_labels(const void *a, const void *b) {
        return strcmp(((const Label *)a)->key, ((const Label *)b)->key);
}

static void labels_free(Label *labels, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(labels[i].key);
                free(labels[i].value);
        }
        free(labels);
}

/* A map of strings (labels, nodeSelector) as a list sorted by key: messages then do not depend on the map's order. */
static int labels_from_json(const cJSON *map, Label **ret, size_t *ret_n) {
        int size = cJSON_IsObject(map) ? cJSON_GetArraySize(map) : 0;
        const cJSON *item;
        Label *labels;
        size_t n = 0;

        if (size == 0)
                return 0;
        labels = calloc((size_t)size, sizeof(*labels));
        if (!labels)
                return -ENOMEM;
        cJSON_ArrayForEach(item, map) {
                labels[n].key = strdup(str_or_empty(item->string));
                labels[n].value = strdup(str_or_empty(cJSON_GetStringValue(item)));
                n++;
                if (!labels[n - 1].key || !labels[n - 1].value) {
                        labels_free(labels, n);
                        return -ENOMEM;
                }
        }
        qsort(labels, n, sizeof(*labels), compare_labels);
        *ret = labels;
        *ret_n = n;
        return 0;
}

static char *dup_member(const cJSON *object, const char *key) {
        return strdup(str_or_empty(json_string(object, key)));
}

static int taints_from_json(const cJSON *list, NodeView *node) {
        int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
        const cJSON *item;

        if (size == 0)
                return 0;
        node->taints = calloc((size_t)size, sizeof(*node->taints));
        if (!node->taints)
                return -ENOMEM;
        cJSON_ArrayForEach(item, list) {
                Taint *t = &node->taints[node->n_taints++];

                t->key = dup_member(item, "key");
                t->value = dup_member(item, "value");
                if (!t->key || !t->value)
                        return -ENOMEM;
                /* An effect that Kubernetes does not know repels nothing: it stays EFFECT_NONE. */
                (void)taint_effect_parse(str_or_empty(json_string(item, "effect")), &t->effect);
        }
        return 0;
}

int node_view_from_json(const cJSON *json, NodeView *ret) {
        _cleanup_node_view_ NodeView node = { 0 };

        node.name = strdup(str_or_empty(json_string(json_get(json, "metadata"), "name")));
        if (!node.name)
                return -ENOMEM;
        if (labels_from_json(json_path(json, "metadata.labels"), &node.labels, &node.n_labels) < 0 ||
            taints_from_json(json_path(json, "spec.taints"), &node) < 0)
                return -ENOMEM;
        *ret = node;
        node = (NodeView){ 0 };
        return 0;
}

/* Where the key stands, or where it belongs. */
static size_t label_position(const NodeView *node, const char *key, bool *ret_found) {
        size_t low = 0, high = node->n_labels;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int c = strcmp(node->labels[middle].key, key);

                if (c == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (c < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        *ret_found = false;
        return low;
}

const char *node_view_label(const NodeView *node, const char *key) {
        bool found;
        size_t at = label_position(node, key, &found);

        return found ? node->labels[at].value : NULL;
}

const char *node_view_label_over(const NodeView *node, const Label *overlay, const char *key) {
        if (overlay && streq(overlay->key, key))
                return overlay->value;
        return node_view_label(node, key);
}

static int replace_value(char **value, const char *with) {
        char *copy = strdup(with);

        if (!copy)
                return -ENOMEM;
        free(*value);
        *value = copy;
        return 0;
}

int node_view_set_label(NodeView *node, const char *key, const char *value) {
        _cleanup_free_ char *new_key = NULL, *new_value = NULL;
        bool found;
        size_t at = label_position(node, key, &found);
        Label *grown;

        if (found)
                return replace_value(&node->labels[at].value, value);
        new_key = strdup(key);
        new_value = strdup(value);
        grown = realloc(node->labels, (node->n_labels + 1) * sizeof(*grown));
        if (grown)
                node->labels = grown;
        if (!grown || !new_key || !new_value)
                return -ENOMEM;
        memmove(grown + at + 1, grown + at, (node->n_labels - at) * sizeof(*grown));
        grown[at] = (Label){ .key = TAKE_PTR(new_key), .value = TAKE_PTR(new_value) };
        node->n_labels++;
        return 0;
}

int node_view_set_taint(NodeView *node, const char *key, const char *value, TaintEffect effect) {
        _cleanup_free_ char *new_key = NULL, *new_value = NULL;
        Taint *grown;

        for (size_t i = 0; i < node->n_taints; i++)
                if (node->taints[i].effect == effect && streq(node->taints[i].key, key))
                        return replace_value(&node->taints[i].value, value);
        new_key = strdup(key);
        new_value = strdup(value);
        grown = realloc(node->taints, (node->n_taints + 1) * sizeof(*grown));
        if (grown)
                node->taints = grown;
        if (!grown || !new_key || !new_value)
                return -ENOMEM;
        grown[node->n_taints++] = (Taint){ .key = TAKE_PTR(new_key), .value = TAKE_PTR(new_value), .effect = effect };
        return 0;
}

void node_view_done(NodeView *node) {
        free(node->name);
        labels_free(node->labels, node->n_labels);
        for (size_t i = 0; i < node->n_taints; i++) {
                free(node->taints[i].key);
                free(node->taints[i].value);
        }
        free(node->taints);
        *node = (NodeView){ 0 };
}

static const char *const toleration_operators[] = {
        [TOLERATION_EQUAL] = "Equal",
        [TOLERATION_EXISTS] = "Exists",
        [TOLERATION_LT] = "Lt",
        [TOLERATION_GT] = "Gt",
};

static TolerationOperator toleration_operator(const char *name) {
        if (!*name)
                return TOLERATION_EQUAL;
        for (size_t i = 0; i < ARRAY_SIZE(toleration_operators); i++)
                if (streq(toleration_operators[i], name))
                        return (TolerationOperator)i;
        return TOLERATION_OTHER;
}

static int tolerations_from_json(const cJSON *list, PodScheduling *s) {
        int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
        const cJSON *item;

        if (size == 0)
                return 0;
        s->tolerations = calloc((size_t)size, sizeof(*s->tolerations));
        if (!s->tolerations)
                return -ENOMEM;
        cJSON_ArrayForEach(item, list) {
                Toleration *t = &s->tolerations[s->n_tolerations++];
                const char *effect = str_or_empty(json_string(item, "effect"));

                t->key = dup_member(item, "key");
                t->value = dup_member(item, "value");
                if (!t->key || !t->value)
                        return -ENOMEM;
                t->op = toleration_operator(str_or_empty(json_string(item, "operator")));
                t->unknown_effect = *effect && !taint_effect_parse(effect, &t->effect);
        }
        return 0;
}

/* One list of a term. The first error of a term is kept: it is enough to make the term match nothing. */
static int requirements_from_json(const cJSON *list, bool field, Requirement **ret, size_t *n, char **error) {
        int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
        const cJSON *item;

        if (size == 0)
                return 0;
        *ret = calloc((size_t)size, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        cJSON_ArrayForEach(item, list) {
                _cleanup_free_ char *wrong = NULL;

                if (requirement_parse(item, field, &(*ret)[*n], &wrong) < 0)
                        return -ENOMEM;
                (*n)++;
                if (!*error)
                        *error = TAKE_PTR(wrong);
        }
        return 0;
}

static int affinity_from_json(const cJSON *required, PodScheduling *s) {
        const cJSON *list = json_get(required, "nodeSelectorTerms"), *item;
        int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;

        if (!cJSON_IsObject(required))
                return 0;
        s->has_required_affinity = true;
        if (size == 0)
                return 0;
        s->terms = calloc((size_t)size, sizeof(*s->terms));
        if (!s->terms)
                return -ENOMEM;
        cJSON_ArrayForEach(item, list) {
                NodeTerm *t = &s->terms[s->n_terms++];

                if (requirements_from_json(json_get(item, "matchExpressions"), false, &t->expressions,
                                           &t->n_expressions, &t->error) < 0 ||
                    requirements_from_json(json_get(item, "matchFields"), true, &t->fields, &t->n_fields, &t->error) <
                            0)
                        return -ENOMEM;
        }
        return 0;
}

int pod_scheduling_from_json(const cJSON *spec, PodScheduling *ret) {
        _cleanup_pod_scheduling_ PodScheduling s = { 0 };
        const char *node_name = str_or_empty(json_string(spec, "nodeName"));

        if (*node_name) {
                s.node_name = strdup(node_name);
                if (!s.node_name)
                        return -ENOMEM;
        }
        if (labels_from_json(json_get(spec, "nodeSelector"), &s.node_selector, &s.n_node_selector) < 0 ||
            affinity_from_json(json_path(spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"),
                               &s) < 0 ||
            tolerations_from_json(json_get(spec, "tolerations"), &s) < 0)
                return -ENOMEM;
        s.host_network = json_true(spec, "hostNetwork");
        *ret = s;
        s = (PodScheduling){ 0 };
        return 0;
}

static void requirements_free(Requirement *r, size_t n) {
        for (size_t i = 0; i < n; i++)
                requirement_done(&r[i]);
        free(r);
}

void pod_scheduling_done(PodScheduling *s) {
        free(s->node_name);
        labels_free(s->node_selector, s->n_node_selector);
        for (size_t i = 0; i < s->n_terms; i++) {
                requirements_free(s->terms[i].expressions, s->terms[i].n_expressions);
                requirements_free(s->terms[i].fields, s->terms[i].n_fields);
                free(s->terms[i].error);
        }
        free(s->terms);
        for (size_t i = 0; i < s->n_tolerations; i++) {
                free(s->tolerations[i].key);
                free(s->tolerations[i].value);
        }
        free(s->tolerations);
        *s = (PodScheduling){ 0 };
}
