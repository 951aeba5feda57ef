/* SPDX-License-Identifier: Apache-2.0 */
/* Where a pod may run: affinity, tolerations, topology spread. */
#include "core/selector.h"
#include "core/validate.h"

/* ---- node selector terms ---- */

/* What an operator wants of its values. */
typedef enum Values { VALUES_SOME, VALUES_NONE, VALUES_ONE } Values;

static const struct {
        const char *name;
        Values values;
} operators[] = {
        { "In", VALUES_SOME },           { "NotIn", VALUES_SOME }, { "Exists", VALUES_NONE },
        { "DoesNotExist", VALUES_NONE }, { "Gt", VALUES_ONE },     { "Lt", VALUES_ONE },
};

static void check_operator(const At *expression) {
        At op = at_field(expression, "operator"), values = at_field(expression, "values");
        const char *name = str_or_empty(json_string(expression->item, "operator"));
        int n = cJSON_GetArraySize(values.item);
        size_t i = 0;

        while (i < ARRAY_SIZE(operators) && !streq(operators[i].name, name))
                i++;
        if (i == ARRAY_SIZE(operators))
                refuse(&op, "\"%s\" is no operator: use In, NotIn, Exists, DoesNotExist, Gt or Lt", QUOTED(name));
        else if (operators[i].values == VALUES_SOME && n == 0)
                refuse(&values, "required: %s needs at least one value", name);
        else if (operators[i].values == VALUES_NONE && n > 0)
                refuse(&values, "not allowed: %s takes no values", name);
        else if (operators[i].values == VALUES_ONE && n != 1)
                refuse(&values, "%s needs exactly one value", name);
}

/* A node has no such label: who writes this means the node's name. */
static void check_expression(const At *expression) {
        At key = at_field(expression, "key");

        check_operator(expression);
        if (streq(json_string(expression->item, "key"), "metadata.name"))
                warn(&key, "under matchExpressions metadata.name is a label, which nodes do not have: matchFields was "
                           "probably meant");
}

static void check_field(const At *field) {
        At op = at_field(field, "operator"), values = at_field(field, "values"), key = at_field(field, "key");
        const char *name = str_or_empty(json_string(field->item, "operator"));

        if (!streq(name, "In") && !streq(name, "NotIn"))
                refuse(&op, "\"%s\" is not supported under matchFields: use In or NotIn", QUOTED(name));
        else if (cJSON_GetArraySize(values.item) != 1)
                refuse(&values, "%s needs exactly one value under matchFields", name);
        if (!streq(json_string(field->item, "key"), "metadata.name"))
                refuse(&key, "\"%s\" is no field of nodes: only metadata.name is supported",
                       QUOTED(str_or_empty(json_string(field->item, "key"))));
}

static const Rule field_rows[] = { { "values", LIST, .text = bad_dns_subdomain } };
static const Rules field_rules = RULES(field_rows, check_field);

static const Rule required_rows[] = {
        { "key", REQUIRED, .text = bad_label_key },
        { "values", LIST, .text = bad_label_value },
};
static const Rules required_rules = RULES(required_rows, check_expression);

/* Preferences may hold values that no label can have. */
static const Rule preferred_rows[] = { { "key", REQUIRED, .text = bad_label_key } };
static const Rules preferred_rules = RULES(preferred_rows, check_expression);

static const Rule required_term_rows[] = {
        { "matchExpressions", LIST, .rules = &required_rules },
        { "matchFields", LIST, .rules = &field_rules },
};
static const Rules required_term_rules = RULES(required_term_rows, NULL);

static const Rule preferred_term_rows[] = {
        { "matchExpressions", LIST, .rules = &preferred_rules },
        { "matchFields", LIST, .rules = &field_rules },
};
static const Rules preferred_term_rules = RULES(preferred_term_rows, NULL);

#define REQUIRED_TERMS "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED_TERMS "preferredDuringSchedulingIgnoredDuringExecution"

static const Rule node_selector_rows[] = {
        { "nodeSelectorTerms", REQUIRED | LIST, .rules = &required_term_rules,
          .help = "must have at least one node selector term" },
};
static const Rules node_selector_rules = RULES(node_selector_rows, NULL);

static const Rule preference_rows[] = {
        { "weight", REQUIRED, RANGE(1, 100) },
        { "preference", 0, .rules = &preferred_term_rules },
};
static const Rules preference_rules = RULES(preference_rows, NULL);

static const Rule node_affinity_rows[] = {
        { REQUIRED_TERMS, 0, .rules = &node_selector_rules },
        { PREFERRED_TERMS, LIST, .rules = &preference_rules },
};
static const Rules node_affinity_rules = RULES(node_affinity_rows, NULL);

/* ---- pod affinity ---- */

static void check_label_keys(const At *term) {
        static const char *const lists[] = { "matchLabelKeys", "mismatchLabelKeys" };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                At keys = at_field(term, lists[i]);

                if (keys.item && keys.item->child && !json_get(term->item, "labelSelector"))
                        refuse(&keys, "not allowed without labelSelector");
        }
}

static const Rule pod_term_rows[] = {
        { "topologyKey", REQUIRED, .text = bad_label_key },
        { "labelSelector", 0, .check = check_label_selector },
        { "namespaceSelector", 0, .check = check_label_selector },
        { "namespaces", LIST, .text = bad_dns_label },
        { "matchLabelKeys", LIST, .text = bad_label_key },
        { "mismatchLabelKeys", LIST, .text = bad_label_key },
};
static const Rules pod_term_rules = RULES(pod_term_rows, check_label_keys);

static const Rule weighted_rows[] = {
        { "weight", REQUIRED, RANGE(1, 100) },
        { "podAffinityTerm", REQUIRED, .rules = &pod_term_rules },
};
static const Rules weighted_rules = RULES(weighted_rows, NULL);

static const Rule pod_affinity_rows[] = {
        { REQUIRED_TERMS, LIST, .rules = &pod_term_rules },
        { PREFERRED_TERMS, LIST, .rules = &weighted_rules },
};
static const Rules pod_affinity_rules = RULES(pod_affinity_rows, NULL);

static const Rule affinity_rows[] = {
        { "nodeAffinity", 0, .rules = &node_affinity_rules },
        { "podAffinity", 0, .rules = &pod_affinity_rules },
        { "podAntiAffinity", 0, .rules = &pod_affinity_rules },
};
const Rules affinity_rules = RULES(affinity_rows, NULL);

/* ---- tolerations ---- */

static void check_toleration(const At *toleration) {
        At op = at_field(toleration, "operator"), value = at_field(toleration, "value");
        At effect = at_field(toleration, "effect"), seconds = at_field(toleration, "tolerationSeconds");
        const char *name = str_or_empty(json_string(toleration->item, "operator"));
        const char *text = str_or_empty(json_string(toleration->item, "value"));
        bool exists = streq(name, "Exists");

        if (!*str_or_empty(json_string(toleration->item, "key")) && !exists)
                refuse(&op, "must be Exists where no key is given (which tolerates every key)");
        if (exists && *text)
                refuse(&value, "not allowed: Exists takes no value");
        if (!exists && bad_label_value(text))
                refuse(&value, "\"%s\" %s", QUOTED(text), bad_label_value(text));
        if (seconds.item && !streq(json_string(toleration->item, "effect"), "NoExecute"))
                refuse(&effect, "must be NoExecute where tolerationSeconds is given");
}

static const Rule toleration_rows[] = {
        { "key", 0, .text = bad_label_key },
        { "operator", 0, .choices = CHOICES("Equal", "Exists") },
        { "effect", 0, .choices = CHOICES("NoSchedule", "PreferNoSchedule", "NoExecute") },
};
const Rules toleration_rules = RULES(toleration_rows, check_toleration);

/* ---- topology spread ---- */

static void check_spread(const At *spread) {
        At domains = at_field(spread, "minDomains");
        const At *list = spread->up;
        At topology = at_field(spread, "topologyKey");
        const char *key = json_string(spread->item, "topologyKey");
        const char *action = str_or_empty(json_string(spread->item, "whenUnsatisfiable"));
        size_t i = 0;

        check_label_keys(spread);
        if (domains.item && !streq(action, "DoNotSchedule"))
                refuse(&domains, "only together with whenUnsatisfiable: DoNotSchedule");
        /* Very long lists are not looked at further: nobody writes them, and the work would grow with the square. */
        for (const cJSON *c = list->item->child; c && c != spread->item && i < 64; c = c->next, i++)
                if (key && streq(json_string(c, "topologyKey"), key) &&
                    streq(json_string(c, "whenUnsatisfiable"), action))
                        refuse(&topology, "\"%s\" with %s is there already: must be unique", QUOTED(key),
                               QUOTED(action));
}

static const Rule spread_rows[] = {
        { "maxSkew", REQUIRED, RANGE(1, INT64_MAX) },
        { "topologyKey", .flags = REQUIRED },
        { "whenUnsatisfiable", REQUIRED, .choices = CHOICES("DoNotSchedule", "ScheduleAnyway") },
        { "minDomains", 0, RANGE(1, INT64_MAX) },
        { "nodeAffinityPolicy", EMPTY_COUNTS, .choices = CHOICES("Honor", "Ignore") },
        { "nodeTaintsPolicy", EMPTY_COUNTS, .choices = CHOICES("Honor", "Ignore") },
        { "labelSelector", 0, .check = check_label_selector },
        { "matchLabelKeys", LIST, .text = bad_label_key },
};
const Rules spread_rules = RULES(spread_rows, check_spread);
