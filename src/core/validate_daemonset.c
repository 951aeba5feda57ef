/* SPDX-License-Identifier: Apache-2.0 */
/* A DaemonSet around its pod template. */
#include "core/handover.h"
#include "core/selector.h"
#include "core/validate.h"

/* ---- the selector against the template's labels ---- */

static bool expression_matches(const cJSON *expression, const cJSON *labels) {
        const char *op = str_or_empty(json_string(expression, "operator"));
        const char *value = json_string(labels, str_or_empty(json_string(expression, "key")));
        const cJSON *values = json_get(expression, "values");
        bool listed = false;

        if (streq(op, "Exists"))
                return value != NULL;
        if (streq(op, "DoesNotExist"))
                return value == NULL;
        for (const cJSON *c = cJSON_IsArray(values) ? values->child : NULL; c && value; c = c->next)
                listed |= cJSON_IsString(c) && streq(c->valuestring, value);
        return streq(op, "In") ? listed : !listed;
}

/* The first entry that the labels do not match, or NULL. */
static const cJSON *first_mismatch(const cJSON *selector, const cJSON *labels) {
        const cJSON *exact = json_get(selector, "matchLabels"), *expressions = json_get(selector, "matchExpressions");

        for (const cJSON *c = cJSON_IsObject(exact) ? exact->child : NULL; c; c = c->next)
                if (cJSON_IsString(c) && !streq(json_string(labels, c->string), c->valuestring))
                        return c;
        for (const cJSON *c = cJSON_IsArray(expressions) ? expressions->child : NULL; c; c = c->next)
                if (!expression_matches(c, labels))
                        return c;
        return NULL;
}

static bool is_empty(const cJSON *list) {
        return !list || !list->child;
}

static void check_selector_matches(const At *spec, size_t errors_before) {
        At selector = at_field(spec, "selector"), labels = at_field(spec, "template");
        const cJSON *miss;

        if (!cJSON_IsObject(selector.item))
                return;
        if (is_empty(json_get(selector.item, "matchLabels")) && is_empty(json_get(selector.item, "matchExpressions"))) {
                refuse(&selector, "empty: it must select the pods by the template's labels");
                return;
        }
        /* A selector that is not valid selects nothing that could be compared. */
        if (spec->walk->diags->n_errors > errors_before)
                return;
        At meta = at_field(&labels, "metadata"), found = at_field(&meta, "labels");

        miss = first_mismatch(selector.item, found.item);
        if (!miss)
                return;
        if (miss->string)
                refuse(&found,
                       "`selector` does not match template `labels`: the selector wants %s=%s, the template has "
                       "%s%s",
                       QUOTED(miss->string), QUOTED(miss->valuestring),
                       json_string(found.item, miss->string) ? "the value " : "no such label",
                       QUOTED(str_or_empty(json_string(found.item, miss->string))));
        else
                refuse(&found, "`selector` does not match template `labels`: the expression with the key %s fails",
                       QUOTED(str_or_empty(json_string(miss, "key"))));
}

/* ---- updateStrategy ---- */

/* An absent or unreadable value is what the default is. *ret_percent tells 0 from "0%" for nobody: both are none. */
static int64_t int_or_percent(const At *at, int64_t absent) {
        int64_t value = 0;
        const char *s;

        if (!at->item)
                return absent;
        if (json_int(at->item, &value)) {
                if (value < 0)
                        refuse(at, "%lld is too small: must be at least 0", (long long)value);
                return value;
        }
        if (!cJSON_IsString(at->item))
                return absent;
        for (s = at->item->valuestring; *s >= '0' && *s <= '9' && value <= 1000; s++)
                value = value * 10 + (*s - '0');
        if (s == at->item->valuestring || *s != '%' || s[1])
                refuse(at, "\"%s\" must be a number or a percentage as \"10%%\"", QUOTED(at->item->valuestring));
        else if (value > 100)
                refuse(at, "must not be more than 100%%");
        return value;
}

static void check_update_strategy(const At *strategy) {
        At rolling = at_field(strategy, "rollingUpdate");
        At surge = at_field(&rolling, "maxSurge"), unavailable = at_field(&rolling, "maxUnavailable");
        const char *type = str_or_empty(json_string(strategy->item, "type"));
        size_t errors = strategy->walk->diags->n_errors;
        int64_t n_surge, n_unavailable;

        if (*type && !streq(type, "RollingUpdate"))
                return;
        n_unavailable = int_or_percent(&unavailable, 1);
        n_surge = int_or_percent(&surge, 0);
        if (strategy->walk->diags->n_errors > errors)
                return;
        if (n_surge != 0 && n_unavailable != 0)
                refuse(&surge, "not allowed while maxUnavailable is not 0 (it is 1 unless given): set it to 0");
        else if (n_surge == 0 && n_unavailable == 0)
                refuse(&unavailable, "must not be 0 while maxSurge is 0");
}

static const Rule strategy_rows[] = {
        { "type", 0, .choices = CHOICES("RollingUpdate", "OnDelete") },
};
static const Rules strategy_rules = RULES(strategy_rows, check_update_strategy);

/* ---- the whole ---- */

static const Rule template_meta_rows[] = {
        { "labels", 0, .check = check_labels },
        { "annotations", 0, .check = check_annotations },
};
static const Rules template_meta_rules = RULES(template_meta_rows, NULL);

static bool is_block(const cJSON *volume) {
        return json_get(volume, "persistentVolumeClaim") || json_get(volume, "ephemeral");
}

static bool is_empty_dir(const cJSON *volume) {
        for (size_t i = 0; volume_kinds[i]; i++)
                if (!streq(volume_kinds[i], "emptyDir") && json_get(volume, volume_kinds[i]))
                        return false;
        return true;
}

/* The names of a list's items, or of those that pass the test. */
static void collect_names(const At *list, bool (*test)(const cJSON *item), NameSet *into) {
        if (!cJSON_IsArray(list->item))
                return;
        for (each_at(item, list))
                if (json_string(item.item, "name") && (!test || test(item.item)))
                        (void)name_set_add(into, json_string(item.item, "name"), list->walk->diags);
}

static void check_pod_spec(const At *spec) {
        At volumes = at_field(spec, "volumes"), claims = at_field(spec, "resourceClaims");
        PodFacts facts = {
                .spec = spec->item,
                .host_network = json_true(spec->item, "hostNetwork"),
                .host_users = !cJSON_IsFalse(json_get(spec->item, "hostUsers")),
                .grace_seconds = 30,
        };

        (void)json_int(json_get(spec->item, "terminationGracePeriodSeconds"), &facts.grace_seconds);
        collect_names(&volumes, NULL, &facts.volumes);
        collect_names(&volumes, is_block, &facts.block_volumes);
        collect_names(&volumes, is_empty_dir, &facts.empty_dirs);
        collect_names(&claims, NULL, &facts.claims);
        spec->walk->pod = &facts;
        rules_apply(&pod_rules, spec);
        spec->walk->pod = NULL;
        name_set_done(&facts.volumes);
        name_set_done(&facts.block_volumes);
        name_set_done(&facts.empty_dirs);
        name_set_done(&facts.claims);
}

static const Rule template_rows[] = {
        { "metadata", 0, .rules = &template_meta_rules },
        { "spec", REQUIRED, .check = check_pod_spec, .help = "the pod to run, with its containers" },
};
static const Rules template_rules = RULES(template_rows, check_pod_annotations);

static const Rule spec_rows[] = {
        { "template", REQUIRED, .rules = &template_rules, .help = "the pod to run on each node" },
        { "updateStrategy", 0, .rules = &strategy_rules },
        { "minReadySeconds", 0, NOT_NEGATIVE },
        { "revisionHistoryLimit", 0, NOT_NEGATIVE },
};
static const Rules spec_rules = RULES(spec_rows, NULL);

static void check_spec(const At *spec) {
        At selector = at_field(spec, "selector");
        size_t errors = spec->walk->diags->n_errors;

        if (!selector.item)
                refuse(&selector, "required: matchLabels with labels of the template");
        else
                check_label_selector(&selector);
        check_selector_matches(spec, errors);
        rules_apply(&spec_rules, spec);
}

/* ---- our own annotation ---- */

static const char *word_at(const void *words, size_t i) {
        return ((const char *const *)words)[i];
}

static void check_handoff(const At *annotations) {
        static const char *const words[] = { "never", "exists", "ready" };
        const cJSON *item = json_get(annotations->item, ANNOTATION_HANDOFF);
        const char *near;
        HandoffMode mode;
        At at;

        if (!cJSON_IsString(item) || handoff_mode_parse(item->valuestring, &mode))
                return;
        at = at_key(annotations, item);
        near = nearest_name(item->valuestring, ARRAY_SIZE(words), word_at, words);
        if (near)
                refuse(&at, "\"%s\" is not supported: use never, exists or ready; did you mean \"%s\"?",
                       QUOTED(item->valuestring), near);
        else
                refuse(&at, "\"%s\" is not supported: use never, exists or ready", QUOTED(item->valuestring));
}

static void check_meta(const At *meta) {
        At annotations = at_field(meta, "annotations");

        check_object_meta(meta);
        check_handoff(&annotations);
}

/* ---- the DaemonSet ---- */

static const Rule daemonset_rows[] = {
        { "metadata", REQUIRED, .check = check_meta, .help = "with a name" },
        { "spec", REQUIRED, .check = check_spec, .help = "with selector and template" },
};
static const Rules daemonset_rules = RULES(daemonset_rows, NULL);

void validate_daemonset(const cJSON *tree, Diags *diags) {
        Walk walk = { .diags = diags };
        At top = at_top(&walk, tree);

        rules_apply(&daemonset_rules, &top);
}
