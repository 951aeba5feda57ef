/* SPDX-License-Identifier: Apache-2.0 */
/* {"node": Node, "pod": pod spec} of any shape: the decision is total, keeps its invariants and can be explained. */
#include "core/decide.h"
#include "core/toleration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok) {
        if (!ok)
                __builtin_trap();
}

static void check(const NodeView *node, const PodScheduling *pod, const DecideOptions *options) {
        _cleanup_buf_ Buf text = BUF_INIT;
        Verdict v;

        decide(node, pod, options, &v);
        require(!v.should_run || v.should_continue_running);
        require(v.should_run == (v.reason == REASON_Fits));
        for (Check c = 0; c < CHECK_COUNT; c++) {
                buf_reset(&text);
                decide_explain(node, pod, options, &v, c, &text);
                require(text.failed || text.len > 0);
                require(!v.should_run || v.passed[c]);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_json_ cJSON *tree = NULL, *tolerations = NULL;
        _cleanup_node_view_ NodeView node = { 0 };
        _cleanup_pod_scheduling_ PodScheduling pod = { 0 };
        const cJSON *spec;
        Place place;

        if (json_parse((const char *)data, size, (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, NULL) < 0)
                return 0;
        spec = json_get(tree, "pod");
        if (node_view_from_json(json_get(tree, "node"), &node) < 0 || pod_scheduling_from_json(spec, &pod) < 0)
                return 0;
        for (unsigned bits = 0; bits < 4; bits++)
                check(&node, &pod, &(DecideOptions){ .upstream = bits & 1, .tolerate_unready = bits & 2 });
        tolerations = cJSON_Duplicate(json_get(spec, "tolerations"), true);
        (void)tolerations_add_controllers(&tolerations, pod.host_network);
        return 0;
}
