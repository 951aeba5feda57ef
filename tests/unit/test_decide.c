/* SPDX-License-Identifier: Apache-2.0 */
#include "core/decide.h"

#include "test.h"

#include <errno.h>

/* Rows are written with single quotes to be readable. */
static cJSON *parse(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        Place place;
        Err err = { 0 };
        cJSON *tree;

        assert_non_null(copy);
        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        if (json_parse(copy, strlen(copy), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

/* labels and taints: JSON; pod: the pod spec. */
static void read_case(const char *labels, const char *taints, const char *pod_text, NodeView *node,
                      PodScheduling *pod) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_json_ cJSON *node_json = NULL, *pod_json = parse(pod_text);

        buf_printf(&text, "{'metadata':{'name':'n1','labels':%s},'spec':{'taints':%s}}", labels ? labels : "{}",
                   taints ? taints : "[]");
        node_json = parse(buf_text(&text));
        assert_int_equal(node_view_from_json(node_json, node), 0);
        assert_int_equal(pod_scheduling_from_json(pod_json, pod), 0);
}

enum { UPSTREAM, STRICT, TOLERANT, MODES };
static const DecideOptions modes[MODES] = {
        [UPSTREAM] = { .upstream = true, .tolerate_unready = true }, /* upstream wins */
        [STRICT] = { .tolerate_unready = false },
        [TOLERANT] = { .tolerate_unready = true },
};

#define TAINT(key, effect) "[{'key':'" key "','effect':'" effect "'}]"
#define KUBE(name, effect) TAINT("node.kubernetes.io/" name, effect)
#define HOST_NETWORK "{'hostNetwork':true}"
#define FENCED(value) "{'nodeSelector':{'daemonlet.io/static':'" value "'}}"
#define FENCE_EXPRESSION(rest)                                                                                         \
        "{'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[{"        \
        "'matchExpressions':[{'key':'daemonlet.io/static'," rest "}]}]}}}}"

/* Verdicts: R runs; K neither starts nor stops (only what stands is kept); N does not run. */
static const struct ModeRow {
        const char *what, *labels, *taints, *pod;
        const char verdicts[MODES + 1]; /* upstream, tolerate_unready = no, = yes */
} mode_rows[] = {
        { "nothing to look at", NULL, NULL, "{}", "RRR" },
        { "not ready", NULL, KUBE("not-ready", "NoSchedule"), "{}", "KKR" },
        { "not ready, evicting", NULL, KUBE("not-ready", "NoExecute"), "{}", "RRR" },
        { "not ready, preferring others", NULL, KUBE("not-ready", "PreferNoSchedule"), "{}", "RRR" },
        { "unreachable", NULL, KUBE("unreachable", "NoSchedule"), "{}", "KKR" },
        { "unreachable, evicting", NULL, KUBE("unreachable", "NoExecute"), "{}", "RRR" },
        { "no network, pod network", NULL, KUBE("network-unavailable", "NoSchedule"), "{}", "KKR" },
        { "no network, host network", NULL, KUBE("network-unavailable", "NoSchedule"), HOST_NETWORK, "RRR" },
        { "no network, evicting: nothing of Kubernetes does so", NULL, KUBE("network-unavailable", "NoExecute"), "{}",
          "NNN" },
        { "cordoned", NULL, KUBE("unschedulable", "NoSchedule"), "{}", "RRR" },
        { "disk pressure", NULL, KUBE("disk-pressure", "NoSchedule"), "{}", "RRR" },
        { "disk pressure, evicting", NULL, KUBE("disk-pressure", "NoExecute"), "{}", "NNN" },
        { "out of service", NULL, KUBE("out-of-service", "NoExecute"), "{}", "NNN" },
        { "a taint of one's own", NULL, TAINT("example.com/broken", "NoSchedule"), "{}", "KKK" },
        { "a taint of one's own, evicting", NULL, TAINT("example.com/broken", "NoExecute"), "{}", "NNN" },
        { "a taint of one's own, preferring others", NULL, TAINT("example.com/broken", "PreferNoSchedule"), "{}",
          "RRR" },
        { "an effect that Kubernetes does not know", NULL, TAINT("example.com/broken", "Explode"), "{}", "RRR" },
        { "the master's taint", NULL, TAINT("node-role.kubernetes.io/control-plane", "NoSchedule"), "{}", "KKK" },
        { "the master's taint, tolerated", NULL, TAINT("node-role.kubernetes.io/control-plane", "NoSchedule"),
          "{'tolerations':[{'key':'node-role.kubernetes.io/control-plane','operator':'Exists'}]}", "RRR" },
        { "both effects, one tolerated", NULL, "[{'key':'k','effect':'NoSchedule'},{'key':'k','effect':'NoExecute'}]",
          "{'tolerations':[{'key':'k','effect':'NoExecute'}]}", "KKK" },
        { "both effects, the other one tolerated", NULL,
          "[{'key':'k','effect':'NoSchedule'},{'key':'k','effect':'NoExecute'}]",
          "{'tolerations':[{'key':'k','effect':'NoSchedule'}]}", "NNN" },
        { "not ready and a taint of one's own", NULL,
          "[{'key':'node.kubernetes.io/not-ready','effect':'NoSchedule'},{'key':'k','effect':'NoSchedule'}]", "{}",
          "KKK" },
        { "another node's name", NULL, NULL, "{'nodeName':'n2'}", "NNN" },
        { "this node's name", NULL, NULL, "{'nodeName':'n1'}", "RRR" },
        { "the fence", NULL, NULL, FENCED(""), "NRR" },
        { "the fence on a node that has the label", "{'daemonlet.io/static':''}", NULL, FENCED(""), "RRR" },
        { "the fence on a node that has the label with a value", "{'daemonlet.io/static':'x'}", NULL, FENCED(""),
          "NRR" },
        { "the fence with a value", NULL, NULL, FENCED("x"), "NNN" },
        { "the fence with a value on a node that has it", "{'daemonlet.io/static':'x'}", NULL, FENCED("x"), "RNN" },
        { "the fence and another label", "{'disk':'ssd'}", NULL,
          "{'nodeSelector':{'daemonlet.io/static':'','disk':'hdd'}}", "NNN" },
        { "the fence in an affinity", NULL, NULL, FENCE_EXPRESSION("'operator':'Exists'"), "NRR" },
        { "the fence as a value in an affinity", NULL, NULL, FENCE_EXPRESSION("'operator':'In','values':['']"), "NRR" },
        { "kept away by the fence", NULL, NULL, FENCE_EXPRESSION("'operator':'DoesNotExist'"), "RNN" },
        { "a label mismatch is stronger than a taint", NULL, TAINT("k", "NoSchedule"), "{'nodeSelector':{'a':'b'}}",
          "NNN" },
};

static char verdict_letter(const Verdict *v) {
        if (v->should_run)
                return v->should_continue_running ? 'R' : '?';
        return v->should_continue_running ? 'K' : 'N';
}

static void each_mode_decides_by_its_rules(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(mode_rows); i++) {
                const struct ModeRow *row = &mode_rows[i];
                _cleanup_node_view_ NodeView node;
                _cleanup_pod_scheduling_ PodScheduling pod;

                read_case(row->labels, row->taints, row->pod, &node, &pod);
                for (size_t m = 0; m < MODES; m++) {
                        Verdict v;

                        decide(&node, &pod, &modes[m], &v);
                        if (verdict_letter(&v) != row->verdicts[m])
                                fail_msg("%s, mode %zu: %c", row->what, m, verdict_letter(&v));
                }
        }
}

/* ---- reasons: the first failed check counts, all are evaluated ---- */

#define NODE_IS(name) "'nodeName':'" name "'"
#define SELECTOR "'nodeSelector':{'disk':'ssd'}"
#define AFFINITY(terms)                                                                                                \
        "'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[" terms    \
        "]}}}"

static const struct ReasonRow {
        const char *taints, *pod;
        Reason reason;
        bool passed[CHECK_COUNT];
} reason_rows[] = {
        { NULL, "{}", REASON_Fits, { true, true, true, true, true } },
        { NULL, "{" NODE_IS("n2") "}", REASON_NodeNameMismatch, { false, true, true, true, true } },
        { NULL, "{" SELECTOR "}", REASON_NodeSelectorMismatch, { true, false, true, true, true } },
        { NULL, "{" AFFINITY("") "}", REASON_NodeAffinityMismatch, { true, true, false, true, true } },
        { TAINT("k", "NoExecute"), "{}", REASON_UntoleratedTaint, { true, true, true, false, true } },
        { TAINT("k", "NoSchedule"), "{}", REASON_UntoleratedTaint, { true, true, true, true, false } },
        { TAINT("k", "NoSchedule"),
          "{" NODE_IS("n2") "," SELECTOR "," AFFINITY("") "}",
          REASON_NodeNameMismatch,
          { false, false, false, true, false } },
        { TAINT("k", "NoSchedule"),
          "{" SELECTOR "," AFFINITY("") "}",
          REASON_NodeSelectorMismatch,
          { true, false, false, true, false } },
        { TAINT("k", "NoSchedule"),
          "{" AFFINITY("") "}",
          REASON_NodeAffinityMismatch,
          { true, true, false, true, false } },
};

static void the_reason_is_the_first_failed_checks(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(reason_rows); i++) {
                const struct ReasonRow *row = &reason_rows[i];
                _cleanup_node_view_ NodeView node;
                _cleanup_pod_scheduling_ PodScheduling pod;
                Verdict v;

                read_case(NULL, row->taints, row->pod, &node, &pod);
                decide(&node, &pod, &modes[UPSTREAM], &v);
                assert_string_equal(reason_name(v.reason), reason_name(row->reason));
                for (Check c = 0; c < CHECK_COUNT; c++)
                        if (v.passed[c] != row->passed[c])
                                fail_msg("%s: %s", row->pod, check_name(c));
                assert_int_equal(!v.selector, row->passed[CHECK_NODE_SELECTOR]);
                assert_int_equal(!v.no_execute, row->passed[CHECK_TAINTS_NO_EXECUTE]);
                assert_int_equal(!v.no_schedule, row->passed[CHECK_TAINTS_NO_SCHEDULE]);
        }
}

/* ---- explanations ---- */

#define EXPRESSION(key, rest) "{'matchExpressions':[{'key':'" key "'," rest "}]}"
#define FIELD(rest) "{'matchFields':[{'key':'metadata.name'," rest "}]}"
#define MISS(key) EXPRESSION(key, "'operator':'Exists'")

static const struct ExplainRow {
        const char *labels, *taints, *pod;
        Check check;
        const char *text;
} explain_rows[] = {
        { NULL, NULL, "{}", CHECK_NODE_NAME, "no nodeName" },
        { NULL, NULL, "{'nodeName':'n1'}", CHECK_NODE_NAME, "nodeName is n1" },
        { NULL, NULL, "{'nodeName':'n2'}", CHECK_NODE_NAME, "nodeName n2 wanted, the node is n1" },
        { NULL, NULL, "{}", CHECK_NODE_SELECTOR, "no nodeSelector" },
        { "{'disk':'ssd'}", NULL, "{" SELECTOR "}", CHECK_NODE_SELECTOR, "1 label matches" },
        { "{'disk':'ssd','os':'linux'}", NULL, "{'nodeSelector':{'disk':'ssd','os':'linux'}}", CHECK_NODE_SELECTOR,
          "2 labels match" },
        { "{'disk':'hdd'}", NULL, "{" SELECTOR "}", CHECK_NODE_SELECTOR, "disk=ssd wanted, the node has disk=hdd" },
        { NULL, NULL, "{" SELECTOR "}", CHECK_NODE_SELECTOR, "disk=ssd wanted, the node has no label disk" },
        { "{'a':'2','b':'1'}", NULL, "{'nodeSelector':{'c':'1','b':'1','a':'1'}}", CHECK_NODE_SELECTOR,
          "a=1 wanted, the node has a=2; c=1 wanted, the node has no label c" },
        { NULL, NULL, "{'nodeSelector':{'a':'','b':'','c':'','d':'','e':'','f':'','g':''}}", CHECK_NODE_SELECTOR,
          "a= wanted, the node has no label a; b= wanted, the node has no label b; c= wanted, the node has no label c; "
          "d= wanted, the node has no label d; e= wanted, the node has no label e and 2 more" },
        { NULL, NULL, FENCED("x"), CHECK_NODE_SELECTOR,
          "daemonlet.io/static=x wanted, the node has daemonlet.io/static=" },
        { NULL, NULL, "{}", CHECK_NODE_AFFINITY, "no required node affinity" },
        { NULL, NULL, "{" AFFINITY("") "}", CHECK_NODE_AFFINITY,
          "the required node affinity has no terms, so it matches no node" },
        { "{'disk':'ssd'}", NULL, "{" AFFINITY(MISS("a") "," MISS("disk") "," MISS("disk")) "}", CHECK_NODE_AFFINITY,
          "term 2 matches" },
        { "{'disk':'hdd'}", NULL,
          "{" AFFINITY(EXPRESSION("disk", "'operator':'In','values':['ssd','nvme']") "," MISS("gpu")) "}",
          CHECK_NODE_AFFINITY,
          "term 1: disk In (ssd,nvme) wanted, the node has disk=hdd; term 2: gpu Exists wanted, the node has no label "
          "gpu" },
        { "{'cpus':'many'}", NULL, "{" AFFINITY(EXPRESSION("cpus", "'operator':'Gt','values':['4']")) "}",
          CHECK_NODE_AFFINITY, "term 1: cpus Gt (4) wanted, the node has cpus=many, which is not an integer" },
        { "{'cpus':'2'}", NULL, "{" AFFINITY(EXPRESSION("cpus", "'operator':'Gt','values':['4']")) "}",
          CHECK_NODE_AFFINITY, "term 1: cpus Gt (4) wanted, the node has cpus=2" },
        { NULL, NULL, "{" AFFINITY(EXPRESSION("cpus", "'operator':'Lt','values':['4']")) "}", CHECK_NODE_AFFINITY,
          "term 1: cpus Lt (4) wanted, the node has no label cpus" },
        { NULL, NULL, "{" AFFINITY("{}," EXPRESSION("a", "'operator':'Is'")) "}", CHECK_NODE_AFFINITY,
          "term 1: is empty and matches no node; term 2: cannot be used: a: operator \"Is\" is not one of In, NotIn, "
          "Exists, DoesNotExist, Gt, Lt" },
        { NULL, NULL, "{" AFFINITY(FIELD("'operator':'In','values':['n2']")) "}", CHECK_NODE_AFFINITY,
          "term 1: metadata.name In (n2) wanted, the node is n1" },
        { NULL, NULL, "{" AFFINITY("{'matchFields':[{'key':'uid','operator':'In','values':['x']}]}") "}",
          CHECK_NODE_AFFINITY, "term 1: uid In (x) wanted, the node has no field uid" },
        { NULL, NULL, "{" AFFINITY(MISS("a") "," MISS("b") "," MISS("c") "," MISS("d") "," MISS("e") "," MISS("f")) "}",
          CHECK_NODE_AFFINITY,
          "term 1: a Exists wanted, the node has no label a; term 2: b Exists wanted, the node has no label b; "
          "term 3: c Exists wanted, the node has no label c; term 4: d Exists wanted, the node has no label d; "
          "term 5: e Exists wanted, the node has no label e and 1 more" },
        { NULL, NULL, "{}", CHECK_TAINTS_NO_EXECUTE, "no taints" },
        { NULL, TAINT("k", "NoSchedule"), "{}", CHECK_TAINTS_NO_EXECUTE, "no taints" },
        { NULL, KUBE("unschedulable", "NoSchedule"), "{}", CHECK_TAINTS_NO_SCHEDULE, "1 taint tolerated" },
        { NULL, "[{'key':'a','effect':'NoExecute'},{'key':'b','effect':'NoExecute'},{'key':'c','effect':'NoExecute'}]",
          "{'tolerations':[{'operator':'Exists'}]}", CHECK_TAINTS_NO_EXECUTE, "3 taints tolerated" },
        { NULL, "[{'key':'k','value':'v','effect':'NoExecute'}]", "{}", CHECK_TAINTS_NO_EXECUTE,
          "taint k=v:NoExecute is not tolerated" },
        { NULL, "[{'key':'k','effect':'NoSchedule'},{'key':'l','value':'1','effect':'NoSchedule'}]", "{}",
          CHECK_TAINTS_NO_SCHEDULE, "taint k:NoSchedule is not tolerated; taint l=1:NoSchedule is not tolerated" },
        { NULL, KUBE("not-ready", "NoSchedule"), "{}", CHECK_TAINTS_NO_SCHEDULE, "1 taint tolerated" },
};

static void explanations_name_what_was_wanted_and_found(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(explain_rows); i++) {
                const struct ExplainRow *row = &explain_rows[i];
                _cleanup_node_view_ NodeView node;
                _cleanup_pod_scheduling_ PodScheduling pod;
                _cleanup_buf_ Buf text = BUF_INIT;
                Verdict v;

                read_case(row->labels, row->taints, row->pod, &node, &pod);
                decide(&node, &pod, &modes[TOLERANT], &v);
                decide_explain(&node, &pod, &modes[TOLERANT], &v, row->check, &text);
                assert_string_equal(buf_text(&text), row->text);
        }
}

static void explanations_follow_the_mode(void **state) {
        _cleanup_node_view_ NodeView node;
        _cleanup_pod_scheduling_ PodScheduling pod;
        _cleanup_buf_ Buf text = BUF_INIT;
        Verdict v;

        (void)state;
        read_case(NULL, KUBE("not-ready", "NoSchedule"), FENCED(""), &node, &pod);
        decide(&node, &pod, &modes[UPSTREAM], &v);
        decide_explain(&node, &pod, &modes[UPSTREAM], &v, CHECK_NODE_SELECTOR, &text);
        buf_str(&text, "|");
        decide_explain(&node, &pod, &modes[UPSTREAM], &v, CHECK_TAINTS_NO_SCHEDULE, &text);
        assert_string_equal(buf_text(&text), "daemonlet.io/static= wanted, the node has no label daemonlet.io/static|"
                                             "taint node.kubernetes.io/not-ready:NoSchedule is not tolerated");
}

/* The body counts no allocation at all: nothing was failed. */
static int decide_body(void *user) {
        void **both = user;
        Verdict v;

        decide(both[0], both[1], &modes[TOLERANT], &v);
        return 0;
}

static void a_decision_allocates_nothing(void **state) {
        _cleanup_node_view_ NodeView node;
        _cleanup_pod_scheduling_ PodScheduling pod;
        void *both[] = { &node, &pod };

        (void)state;
        read_case("{'disk':'hdd'}", TAINT("k", "NoSchedule"),
                  "{" NODE_IS("n2") "," SELECTOR "," AFFINITY("{}," MISS("a")) "}", &node, &pod);
        assert_int_equal(test_oom(decide_body, both), 0);
}

static int explain_body(void *user) {
        void **both = user;
        _cleanup_buf_ Buf text = BUF_INIT;
        Verdict v;

        decide(both[0], both[1], &modes[TOLERANT], &v);
        for (Check c = 0; c < CHECK_COUNT; c++)
                decide_explain(both[0], both[1], &modes[TOLERANT], &v, c, &text);
        return text.failed ? -ENOMEM : 0;
}

static void an_explanation_tells_when_it_is_cut(void **state) {
        _cleanup_node_view_ NodeView node;
        _cleanup_pod_scheduling_ PodScheduling pod;
        void *both[] = { &node, &pod };

        (void)state;
        read_case("{'disk':'hdd'}", TAINT("k", "NoSchedule"),
                  "{" NODE_IS("n2") "," SELECTOR "," AFFINITY("{}," MISS("a")) "}", &node, &pod);
        (void)test_oom(explain_body, both);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_mode_decides_by_its_rules),
                cmocka_unit_test(the_reason_is_the_first_failed_checks),
                cmocka_unit_test(explanations_name_what_was_wanted_and_found),
                cmocka_unit_test(explanations_follow_the_mode),
                cmocka_unit_test(a_decision_allocates_nothing),
                cmocka_unit_test(an_explanation_tells_when_it_is_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
