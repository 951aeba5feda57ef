/* SPDX-License-Identifier: Apache-2.0 */
#include "core/decide.h"

#include "core/selector.h"
#include "core/toleration.h"

enum { EXPLAIN_MAX = 5 }; /* more terms, labels or taints than this are counted only */

static const Label fence = { .key = (char *)FENCE_LABEL, .value = (char *)"" };

/* The label that is laid over the node's: even a node that really carries the key matches the fence as every other one
 * does. */
static const Label *overlay_of(const DecideOptions *options) {
        return options->upstream ? NULL : &fence;
}

/* What a node has before its network is up; waiting for these to go would be a deadlock for the agents that end them.
 */
static bool is_unready_taint(const Taint *taint) {
        if (streq(taint->key, "node.kubernetes.io/not-ready") || streq(taint->key, "node.kubernetes.io/unreachable"))
                return true;
        return taint->effect == EFFECT_NO_SCHEDULE && streq(taint->key, "node.kubernetes.io/network-unavailable");
}

static bool is_tolerated(const Taint *taint, const PodScheduling *pod, const DecideOptions *options) {
        for (size_t i = 0; i < pod->n_tolerations; i++)
                if (toleration_matches(&pod->tolerations[i], taint))
                        return true;
        if (controller_tolerates(taint, pod->host_network))
                return true;
        return options->tolerate_unready && !options->upstream && is_unready_taint(taint);
}

static const Taint *first_untolerated(const NodeView *node, const PodScheduling *pod, const DecideOptions *options,
                                      TaintEffect effect) {
        for (size_t i = 0; i < node->n_taints; i++)
                if (node->taints[i].effect == effect && !is_tolerated(&node->taints[i], pod, options))
                        return &node->taints[i];
        return NULL;
}

static bool selector_entry_matches(const Label *wanted, const NodeView *node, const Label *overlay) {
        const char *value = node_view_label_over(node, overlay, wanted->key);

        return value && streq(value, wanted->value);
}

static const Label *first_mismatch(const NodeView *node, const PodScheduling *pod, const Label *overlay) {
        for (size_t i = 0; i < pod->n_node_selector; i++)
                if (!selector_entry_matches(&pod->node_selector[i], node, overlay))
                        return &pod->node_selector[i];
        return NULL;
}

/* The first matching term, or n_terms. */
static size_t matching_term(const NodeView *node, const PodScheduling *pod, const Label *overlay) {
        size_t i = 0;

        while (i < pod->n_terms && !node_term_matches(&pod->terms[i], node, overlay))
                i++;
        return i;
}

void decide(const NodeView *node, const PodScheduling *pod, const DecideOptions *options, Verdict *ret) {
        static const Reason reasons[CHECK_COUNT] = {
                [CHECK_NODE_NAME] = REASON_NodeNameMismatch,
                [CHECK_NODE_SELECTOR] = REASON_NodeSelectorMismatch,
                [CHECK_NODE_AFFINITY] = REASON_NodeAffinityMismatch,
                [CHECK_TAINTS_NO_EXECUTE] = REASON_UntoleratedTaint,
                [CHECK_TAINTS_NO_SCHEDULE] = REASON_UntoleratedTaint,
        };
        const Label *overlay = overlay_of(options);
        size_t failed = 0;

        *ret = (Verdict){
                .selector = first_mismatch(node, pod, overlay),
                .no_execute = first_untolerated(node, pod, options, EFFECT_NO_EXECUTE),
                .no_schedule = first_untolerated(node, pod, options, EFFECT_NO_SCHEDULE),
        };
        ret->passed[CHECK_NODE_NAME] = !pod->node_name || streq(pod->node_name, node->name);
        ret->passed[CHECK_NODE_SELECTOR] = !ret->selector;
        ret->passed[CHECK_NODE_AFFINITY] = !pod->has_required_affinity ||
                                           matching_term(node, pod, overlay) < pod->n_terms;
        ret->passed[CHECK_TAINTS_NO_EXECUTE] = !ret->no_execute;
        ret->passed[CHECK_TAINTS_NO_SCHEDULE] = !ret->no_schedule;
        while (failed < CHECK_COUNT && ret->passed[failed])
                failed++;
        ret->reason = failed < CHECK_COUNT ? reasons[failed] : REASON_Fits;
        ret->should_run = failed == CHECK_COUNT;
        /* A taint that only repels new pods leaves a running one alone. */
        ret->should_continue_running = failed >= CHECK_TAINTS_NO_SCHEDULE;
}

const char *check_name(Check check) {
        static const char *const names[CHECK_COUNT] = {
                [CHECK_NODE_NAME] = "NodeName",
                [CHECK_NODE_SELECTOR] = "NodeSelector",
                [CHECK_NODE_AFFINITY] = "NodeAffinity",
                [CHECK_TAINTS_NO_EXECUTE] = "TaintsNoExecute",
                [CHECK_TAINTS_NO_SCHEDULE] = "TaintsNoSchedule",
        };

        return names[check];
}

/* ---- explanations ---- */

typedef struct Case {
        const NodeView *node;
        const PodScheduling *pod;
        const DecideOptions *options;
        const Verdict *verdict;
} Case;

/* Between the items of a list; false when the item is only to be counted. */
static bool next_item(size_t n, Buf *out) {
        if (n > 0 && n < EXPLAIN_MAX)
                buf_str(out, "; ");
        return n < EXPLAIN_MAX;
}

static void end_items(size_t n, Buf *out) {
        if (n > EXPLAIN_MAX)
                buf_printf(out, " and %zu more", n - EXPLAIN_MAX);
}

static void actual_label(const Case *c, const char *key, Buf *out) {
        const char *value = node_view_label_over(c->node, overlay_of(c->options), key);

        if (value)
                buf_printf(out, "the node has %s=%s", key, value);
        else
                buf_printf(out, "the node has no label %s", key);
}

static void explain_node_name(const Case *c, Buf *out) {
        if (!c->pod->node_name)
                buf_str(out, "no nodeName");
        else if (c->verdict->passed[CHECK_NODE_NAME])
                buf_printf(out, "nodeName is %s", c->node->name);
        else
                buf_printf(out, "nodeName %s wanted, the node is %s", c->pod->node_name, c->node->name);
}

static void explain_node_selector(const Case *c, Buf *out) {
        const PodScheduling *pod = c->pod;
        size_t n = 0;

        if (pod->n_node_selector == 0)
                buf_str(out, "no nodeSelector");
        else if (c->verdict->passed[CHECK_NODE_SELECTOR])
                buf_printf(out, pod->n_node_selector == 1 ? "%zu label matches" : "%zu labels match",
                           pod->n_node_selector);
        else
                for (size_t i = 0; i < pod->n_node_selector; i++) {
                        const Label *wanted = &pod->node_selector[i];

                        if (selector_entry_matches(wanted, c->node, overlay_of(c->options)))
                                continue;
                        if (next_item(n++, out)) {
                                buf_printf(out, "%s=%s wanted, ", wanted->key, wanted->value);
                                actual_label(c, wanted->key, out);
                        }
                }
        end_items(n, out);
}

static void explain_expression(const Case *c, const Requirement *r, Buf *out) {
        const char *value = node_view_label_over(c->node, overlay_of(c->options), r->key);
        int64_t number;

        requirement_text(r, out);
        buf_str(out, " wanted, ");
        actual_label(c, r->key, out);
        if ((r->op == OP_GT || r->op == OP_LT) && value && !selector_parse_int(value, &number))
                buf_str(out, ", which is not an integer");
}

/* Nodes have one field only; any other one compares as empty. */
static void explain_field(const Case *c, const Requirement *r, Buf *out) {
        requirement_text(r, out);
        if (streq(r->key, "metadata.name"))
                buf_printf(out, " wanted, the node is %s", c->node->name);
        else
                buf_printf(out, " wanted, the node has no field %s", r->key);
}

static void explain_term(const Case *c, const NodeTerm *term, Buf *out) {
        if (term->error) {
                buf_printf(out, "cannot be used: %s", term->error);
                return;
        }
        for (size_t i = 0; i < term->n_expressions; i++)
                if (!requirement_matches(&term->expressions[i], c->node, overlay_of(c->options))) {
                        explain_expression(c, &term->expressions[i], out);
                        return;
                }
        for (size_t i = 0; i < term->n_fields; i++)
                if (!field_requirement_matches(&term->fields[i], c->node)) {
                        explain_field(c, &term->fields[i], out);
                        return;
                }
        buf_str(out, "is empty and matches no node");
}

static void explain_node_affinity(const Case *c, Buf *out) {
        const PodScheduling *pod = c->pod;

        if (!pod->has_required_affinity) {
                buf_str(out, "no required node affinity");
                return;
        }
        if (c->verdict->passed[CHECK_NODE_AFFINITY]) {
                buf_printf(out, "term %zu matches", matching_term(c->node, pod, overlay_of(c->options)) + 1);
                return;
        }
        if (pod->n_terms == 0)
                buf_str(out, "the required node affinity has no terms, so it matches no node");
        for (size_t i = 0; i < pod->n_terms && next_item(i, out); i++) {
                buf_printf(out, "term %zu: ", i + 1);
                explain_term(c, &pod->terms[i], out);
        }
        end_items(pod->n_terms, out);
}

static void taint_text(const Taint *t, Buf *out) {
        buf_printf(out, *t->value ? "%s=%s:%s" : "%s%s:%s", t->key, t->value, taint_effect_name(t->effect));
}

static void explain_taints(const Case *c, TaintEffect effect, Buf *out) {
        size_t n = 0, tolerated = 0;

        for (size_t i = 0; i < c->node->n_taints; i++) {
                const Taint *taint = &c->node->taints[i];

                if (taint->effect != effect)
                        continue;
                if (is_tolerated(taint, c->pod, c->options)) {
                        tolerated++;
                        continue;
                }
                if (next_item(n++, out)) {
                        buf_str(out, "taint ");
                        taint_text(taint, out);
                        buf_str(out, " is not tolerated");
                }
        }
        end_items(n, out);
        if (n > 0)
                return;
        if (tolerated == 0)
                buf_str(out, "no taints");
        else
                buf_printf(out, tolerated == 1 ? "%zu taint tolerated" : "%zu taints tolerated", tolerated);
}

void decide_explain(const NodeView *node, const PodScheduling *pod, const DecideOptions *options,
                    const Verdict *verdict, Check check, Buf *out) {
        const Case c = { .node = node, .pod = pod, .options = options, .verdict = verdict };

        switch (check) {
        case CHECK_NODE_NAME:
                explain_node_name(&c, out);
                break;
        case CHECK_NODE_SELECTOR:
                explain_node_selector(&c, out);
                break;
        case CHECK_NODE_AFFINITY:
                explain_node_affinity(&c, out);
                break;
        case CHECK_TAINTS_NO_EXECUTE:
                explain_taints(&c, EFFECT_NO_EXECUTE, out);
                break;
        case CHECK_TAINTS_NO_SCHEDULE:
                explain_taints(&c, EFFECT_NO_SCHEDULE, out);
                break;
        case CHECK_COUNT:
                break;
        }
}
