/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to core/objects: the API's own rules, beyond structure, as pkg/apis/{core,apps}/validation of
 * Kubernetes 1.36 has them (default feature gates). A rule refuses only what the API server refuses, or what no pod
 * could be made of.
 *
 * Most rules are rows: a Rules table says for one API type which fields have which form, and the walk applies it once.
 * What a row cannot say (two fields that must agree) is a `check` function of the type or the field. Trees come from
 * schema_check, but wrong types may still be there (they were reported): a rule skips what it cannot read. */
#pragma once

#include "core/diag.h"

typedef struct PodFacts PodFacts;

/* One walk over one object. */
typedef struct Walk {
        Diags *diags;
        const PodFacts *pod; /* what rules below a pod's spec need to know; NULL elsewhere */
} Walk;

/* Where the walk stands: a value, or a field that is absent, and the way to it. Lives on the stack; a path is written
 * only when something is reported. */
typedef struct At {
        const struct At *up; /* NULL at the top */
        Walk *walk;
        const cJSON *item; /* NULL: absent */
        enum { AT_FIELD, AT_INDEX, AT_KEY } kind;
        const char *name; /* of the field, or the key */
        size_t index;
} At;

At at_top(Walk *walk, const cJSON *item);
At at_field(const At *up, const char *field);
At at_index(const At *up, size_t index, const cJSON *item);
At at_key(const At *up, const cJSON *item);
const At *at_up(const At *at, unsigned levels);

/* Adds an error or a warning with the path of `at` and the place of the nearest item that exists. */
void refuse(const At *at, const char *format, ...) _printf_(2, 3);
void warn(const At *at, const char *format, ...) _printf_(2, 3);

#define each_at(var, list)                                                                                             \
        At var = at_index((list), 0, (list)->item ? (list)->item->child : NULL);                                       \
        (var).item;                                                                                                    \
        var = at_index((list), (var).index + 1, (var).item->next)

/* A value of the input made fit for one line of a message: no control characters, cut. */
typedef struct Quoted {
        char text[96];
} Quoted;
Quoted quoted(const char *s);
#define QUOTED(s) quoted(s).text

/* ---- rule tables ---- */

typedef struct Rules Rules;

/* Says what is wrong with a text ("must be ..."), or NULL. */
typedef const char *(*TextCheck)(const char *s);

enum {
        REQUIRED = 1 << 0,     /* absent, "", an empty list or object are errors */
        LIST = 1 << 1,         /* the row is about each item */
        EMPTY_COUNTS = 1 << 2, /* "" is a value here, not absence (a pointer in the API's types) */
        FORBIDDEN = 1 << 3,    /* must be absent or empty; `help` says why */
};

typedef struct Rule {
        const char *field;
        unsigned flags;
        TextCheck text;
        const char *const *choices; /* NULL-terminated */
        bool ranged;
        int64_t min, max;
        const Rules *rules;          /* of the object */
        void (*check)(const At *at); /* of the value (with LIST: of each); only called for one that is there */
        void (*all)(const At *at);   /* with LIST: of the list */
        const char *unique;          /* with LIST: the field of the items that may not have a value twice */
        const char *help;            /* what to do, behind "required" or "not allowed" */
} Rule;

struct Rules {
        const Rule *rows;
        size_t n;
        void (*check)(const At *at); /* of the whole object, after its fields */
};

#define RULES(rows, check)                                                                                             \
        { (rows), ARRAY_SIZE(rows), (check) }
#define CHOICES(...)                                                                                                   \
        (const char *const[]) {                                                                                        \
                __VA_ARGS__, NULL                                                                                      \
        }
#define RANGE(low, high) .ranged = true, .min = (low), .max = (high)
#define NOT_NEGATIVE RANGE(0, INT64_MAX)

void rules_apply(const Rules *rules, const At *at);

/* Refuses the second and later items with an equal string in `field`. */
void refuse_repeated(const At *list, const char *field);

/* One of the fields at most, or exactly one if `required` (its message); returns how many there are. */
size_t refuse_several(const At *at, const char *const *fields, const char *what, const char *required);

/* ---- sets of names ---- */

typedef struct NameSet {
        const char **slots; /* borrowed strings, open addressing */
        size_t n, n_slots;
} NameSet;

bool name_set_add(NameSet *s, const char *name, Diags *diags); /* false: it was there. No memory: diags->failed */
bool name_set_has(const NameSet *s, const char *name);
void name_set_done(NameSet *s);
#define _cleanup_names_ _cleanup_(name_set_done)

/* ---- forms of text ---- */

const char *bad_dns_label(const char *s);
const char *bad_dns_subdomain(const char *s);
const char *bad_label_key(const char *s);
const char *bad_label_value(const char *s);
const char *bad_port_name(const char *s);
const char *bad_env_name(const char *s);
const char *bad_config_key(const char *s);
const char *bad_header_name(const char *s);
const char *bad_ip(const char *s);
const char *bad_search_domain(const char *s);
const char *bad_sysctl_name(const char *s);
const char *bad_driver_name(const char *s);
const char *bad_relative_path(const char *s); /* relative, no ".." part */
const char *bad_item_path(const char *s);     /* the same, and does not start with ".." */
const char *bad_back_steps(const char *s);    /* no ".." part */
const char *bad_absolute_path(const char *s);

/* ---- quantities ---- */

typedef struct Quantity {
        bool negative;
        uint64_t whole;
        uint32_t nano; /* billionths */
} Quantity;

/* False where the text is no quantity or cannot be told exactly in this form: then nothing is to be said about it. */
bool quantity_read(const cJSON *item, Quantity *ret);
int quantity_compare(const Quantity *a, const Quantity *b);

/* ---- kinds and parts of them ---- */

/* What rules below a pod's spec need to know about the pod. */
struct PodFacts {
        const cJSON *spec;
        bool host_network, host_users;
        int64_t grace_seconds;
        NameSet volumes;                   /* the names of all */
        NameSet block_volumes, empty_dirs; /* of those that can be devices, and of empty directories */
        NameSet claims;
};

/* Every rule of the kind, on a tree whose structure was checked; a DaemonSet's selector is already defaulted. */
void validate_daemonset(const cJSON *tree, Diags *diags);
void validate_configmap(const cJSON *tree, Diags *diags);
void validate_secret(const cJSON *tree, Diags *diags);

void check_object_meta(const At *meta);
void check_labels(const At *labels);
void check_annotations(const At *annotations);
void check_label_selector(const At *selector);
void check_pod_annotations(const At *pod_template);
void check_resources(const At *resources);
void check_pod_resources(const At *resources);
void check_resource_list(const At *list);
void check_quantity_not_negative(const At *quantity);

extern const Rules pod_rules, container_rules, init_container_rules, volume_rules;
extern const Rules affinity_rules, toleration_rules, spread_rules;
extern const Rules pod_security_rules, security_rules;
extern const Rules env_rules, env_from_rules, volume_field_rules, volume_resource_rules;
extern const Rules liveness_rules, readiness_rules, lifecycle_rules;

/* Names of the volume sources, NULL-terminated. */
extern const char *const volume_kinds[];
