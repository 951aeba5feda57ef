/* SPDX-License-Identifier: Apache-2.0 */
/* What a decision is made from: a node's name, labels and taints, and the part of a pod template that the scheduler and
 * the DaemonSet controller look at, compiled once from JSON so that a decision allocates nothing. Pure. */
#pragma once

#include "core/json.h"

typedef struct Label {
        char *key, *value; /* value "" where a label has none; never NULL */
} Label;

typedef enum TaintEffect { EFFECT_NONE, EFFECT_NO_SCHEDULE, EFFECT_PREFER_NO_SCHEDULE, EFFECT_NO_EXECUTE } TaintEffect;

typedef struct Taint {
        char *key, *value; /* value "" where there is none */
        TaintEffect effect;
} Taint;

typedef struct NodeView {
        char *name;
        Label *labels; /* sorted by key's bytes, no key twice */
        size_t n_labels;
        Taint *taints;
        size_t n_taints;
} NodeView;

typedef enum TolerationOperator {
        TOLERATION_EQUAL,
        TOLERATION_EXISTS,
        TOLERATION_LT,
        TOLERATION_GT,
        TOLERATION_OTHER
} TolerationOperator;

typedef struct Toleration {
        char *key, *value;     /* "" where absent */
        TolerationOperator op; /* an absent operator is Equal */
        TaintEffect effect;    /* EFFECT_NONE = every effect */
        bool unknown_effect;   /* an effect that Kubernetes does not know: matches no taint */
} Toleration;

typedef enum RequirementOperator {
        OP_IN,
        OP_NOT_IN,
        OP_EXISTS,
        OP_DOES_NOT_EXIST,
        OP_GT,
        OP_LT,
} RequirementOperator;

/* One nodeSelectorRequirement. */
typedef struct Requirement {
        char *key;
        RequirementOperator op;
        char **values;
        size_t n_values;
        int64_t bound; /* Gt and Lt: the value as a number */
} Requirement;

/* One nodeSelectorTerm: all expressions and all fields must match. */
typedef struct NodeTerm {
        Requirement *expressions;
        size_t n_expressions;
        Requirement *fields; /* key "metadata.name" (any other key names a field that nodes do not have: empty) */
        size_t n_fields;
        char *error; /* not NULL: the term cannot be parsed (the text says why) and matches nothing */
} NodeTerm;

/* The scheduling part of a pod template. */
typedef struct PodScheduling {
        char *node_name; /* NULL: any */
        Label *node_selector;
        size_t n_node_selector;
        bool has_required_affinity;
        NodeTerm *terms;
        size_t n_terms;
        Toleration *tolerations; /* the template's own, without the controller's */
        size_t n_tolerations;
        bool host_network;
} PodScheduling;

/* From a v1 Node whose structure was checked. 0 or -ENOMEM. */
int node_view_from_json(const cJSON *node, NodeView *ret);

/* Sets a label or taint, replacing one of the same key (taint: key and effect), as `[node] labels` and `taints` do. */
int node_view_set_label(NodeView *node, const char *key, const char *value);
int node_view_set_taint(NodeView *node, const char *key, const char *value, TaintEffect effect);

/* The label's value, or NULL. */
const char *node_view_label(const NodeView *node, const char *key);

/* The same with one label laid over the node's; overlay may be NULL. */
const char *node_view_label_over(const NodeView *node, const Label *overlay, const char *key);

/* From spec.template.spec of a DaemonSet whose structure was checked. 0 or -ENOMEM. */
int pod_scheduling_from_json(const cJSON *pod_spec, PodScheduling *ret);

void node_view_done(NodeView *node);
void pod_scheduling_done(PodScheduling *s);
#define _cleanup_node_view_ _cleanup_(node_view_done)
#define _cleanup_pod_scheduling_ _cleanup_(pod_scheduling_done)

/* "NoSchedule" ...; "" for EFFECT_NONE. Parsing answers false for a name that Kubernetes does not know. */
const char *taint_effect_name(TaintEffect effect);
bool taint_effect_parse(const char *name, TaintEffect *ret);
