/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model.h"

#include "test.h"

#include <errno.h>

static cJSON *parse(const char *text) {
        Place place;
        Err err = { 0 };
        cJSON *tree;

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

static const char node_text[] =
        "{\"metadata\":{\"name\":\"n1\",\"labels\":{\"b\":\"2\",\"a\":\"1\",\"example.com/c\":\"\",\"B\":\"0\"}},"
        "\"spec\":{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"},"
        "{\"key\":\"k\",\"effect\":\"NoExecute\"},{\"key\":\"p\",\"effect\":\"PreferNoSchedule\"},"
        "{\"key\":\"odd\",\"effect\":\"NoSuchThing\"}]}}";

static const char pod_text[] =
        "{\"nodeName\":\"n1\",\"hostNetwork\":true,\"nodeSelector\":{\"z\":\"1\",\"a\":\"2\"},"
        "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":["
        "{\"matchExpressions\":[{\"key\":\"disk\",\"operator\":\"In\",\"values\":[\"ssd\"]},"
        "{\"key\":\"cpus\",\"operator\":\"Gt\",\"values\":[\"4\"]}],"
        "\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n1\"]}]},"
        "{},"
        "{\"matchExpressions\":[{\"key\":\"disk\",\"operator\":\"Is\"}],"
        "\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"Exists\"}]}]}}},"
        "\"tolerations\":[{\"key\":\"k\",\"value\":\"v\"},{\"operator\":\"Exists\"},"
        "{\"key\":\"k\",\"operator\":\"Equal\",\"effect\":\"NoExecute\",\"tolerationSeconds\":5},"
        "{\"key\":\"k\",\"operator\":\"Lt\",\"value\":\"5\"},{\"key\":\"k\",\"operator\":\"Gt\",\"value\":\"5\"},"
        "{\"key\":\"k\",\"operator\":\"Like\",\"effect\":\"Sometimes\"}]}";

static void a_node_is_read(void **state) {
        _cleanup_json_ cJSON *json = parse(node_text);
        _cleanup_node_view_ NodeView node;

        (void)state;
        assert_int_equal(node_view_from_json(json, &node), 0);
        assert_string_equal(node.name, "n1");
        assert_int_equal(node.n_labels, 4);
        assert_string_equal(node.labels[0].key, "B");
        assert_string_equal(node.labels[1].key, "a");
        assert_string_equal(node.labels[3].key, "example.com/c");
        assert_string_equal(node_view_label(&node, "b"), "2");
        assert_string_equal(node_view_label(&node, "B"), "0");
        assert_string_equal(node_view_label(&node, "example.com/c"), "");
        assert_null(node_view_label(&node, "c"));
        assert_null(node_view_label(&node, ""));
        assert_null(node_view_label(&node, "z"));
        assert_int_equal(node.n_taints, 4);
        assert_string_equal(node.taints[0].key, "k");
        assert_string_equal(node.taints[0].value, "v");
        assert_int_equal(node.taints[0].effect, EFFECT_NO_SCHEDULE);
        assert_string_equal(node.taints[1].value, "");
        assert_int_equal(node.taints[1].effect, EFFECT_NO_EXECUTE);
        assert_int_equal(node.taints[2].effect, EFFECT_PREFER_NO_SCHEDULE);
        assert_int_equal(node.taints[3].effect, EFFECT_NONE);
}

static void absent_parts_are_empty(void **state) {
        static const char *const texts[] = {
                "{}",
                "[]",
                "null",
                "{\"metadata\":null,\"spec\":null}",
                "{\"metadata\":{\"name\":null,\"labels\":{}},\"spec\":{\"taints\":[]}}",
                "{\"affinity\":null,\"nodeSelector\":null,\"tolerations\":null,\"nodeName\":\"\"}",
                "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":null}}}",
                "{\"affinity\":{\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[]}}}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_json_ cJSON *json = parse(texts[i]);
                _cleanup_node_view_ NodeView node;
                _cleanup_pod_scheduling_ PodScheduling pod;

                assert_int_equal(node_view_from_json(json, &node), 0);
                assert_string_equal(node.name, "");
                assert_int_equal(node.n_labels + node.n_taints, 0);
                assert_int_equal(pod_scheduling_from_json(json, &pod), 0);
                assert_null(pod.node_name);
                assert_false(pod.has_required_affinity || pod.host_network);
                assert_int_equal(pod.n_node_selector + pod.n_terms + pod.n_tolerations, 0);
        }
}

static void affinity_without_terms_is_still_required(void **state) {
        _cleanup_json_ cJSON *json = parse(
                "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{}}}}");
        _cleanup_pod_scheduling_ PodScheduling pod;

        (void)state;
        assert_int_equal(pod_scheduling_from_json(json, &pod), 0);
        assert_true(pod.has_required_affinity);
        assert_int_equal(pod.n_terms, 0);
}

static void labels_of_a_node_are_set_in_order(void **state) {
        static const char *const keys[] = { "m", "c", "x", "a", "z", "n", "b" };
        _cleanup_node_view_ NodeView node = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                assert_int_equal(node_view_set_label(&node, keys[i], "old"), 0);
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                assert_int_equal(node_view_set_label(&node, keys[i], keys[i]), 0);
        assert_int_equal(node.n_labels, ARRAY_SIZE(keys));
        for (size_t i = 0; i < node.n_labels; i++) {
                assert_string_equal(node.labels[i].key, node.labels[i].value);
                assert_true(i == 0 || strcmp(node.labels[i - 1].key, node.labels[i].key) < 0);
                assert_string_equal(node_view_label(&node, node.labels[i].key), node.labels[i].value);
        }
}

static void a_taint_of_the_same_key_and_effect_is_replaced(void **state) {
        _cleanup_node_view_ NodeView node = { 0 };

        (void)state;
        assert_int_equal(node_view_set_taint(&node, "k", "1", EFFECT_NO_SCHEDULE), 0);
        assert_int_equal(node_view_set_taint(&node, "k", "2", EFFECT_NO_EXECUTE), 0);
        assert_int_equal(node_view_set_taint(&node, "l", "3", EFFECT_NO_SCHEDULE), 0);
        assert_int_equal(node_view_set_taint(&node, "k", "4", EFFECT_NO_SCHEDULE), 0);
        assert_int_equal(node.n_taints, 3);
        assert_string_equal(node.taints[0].value, "4");
        assert_string_equal(node.taints[1].value, "2");
        assert_string_equal(node.taints[2].value, "3");
}

static void the_scheduling_part_of_a_pod_is_read(void **state) {
        _cleanup_json_ cJSON *json = parse(pod_text);
        _cleanup_pod_scheduling_ PodScheduling pod;

        (void)state;
        assert_int_equal(pod_scheduling_from_json(json, &pod), 0);
        assert_string_equal(pod.node_name, "n1");
        assert_true(pod.host_network);
        assert_int_equal(pod.n_node_selector, 2);
        assert_string_equal(pod.node_selector[0].key, "a");
        assert_string_equal(pod.node_selector[1].value, "1");
        assert_true(pod.has_required_affinity);
        assert_int_equal(pod.n_terms, 3);
        assert_int_equal(pod.terms[0].n_expressions, 2);
        assert_int_equal(pod.terms[0].n_fields, 1);
        assert_null(pod.terms[0].error);
        assert_int_equal(pod.terms[0].expressions[1].bound, 4);
        assert_int_equal(pod.terms[1].n_expressions + pod.terms[1].n_fields, 0);
        assert_null(pod.terms[1].error);
        /* The first of its two errors. */
        assert_non_null(strstr(pod.terms[2].error, "disk: operator \"Is\""));
}

static void tolerations_are_read(void **state) {
        static const struct {
                const char *key, *value;
                TolerationOperator op;
                TaintEffect effect;
                bool unknown_effect;
        } want[] = {
                { "k", "v", TOLERATION_EQUAL, EFFECT_NONE, false },
                { "", "", TOLERATION_EXISTS, EFFECT_NONE, false },
                { "k", "", TOLERATION_EQUAL, EFFECT_NO_EXECUTE, false },
                { "k", "5", TOLERATION_LT, EFFECT_NONE, false },
                { "k", "5", TOLERATION_GT, EFFECT_NONE, false },
                { "k", "", TOLERATION_OTHER, EFFECT_NONE, true },
        };
        _cleanup_json_ cJSON *json = parse(pod_text);
        _cleanup_pod_scheduling_ PodScheduling pod;

        (void)state;
        assert_int_equal(pod_scheduling_from_json(json, &pod), 0);
        assert_int_equal(pod.n_tolerations, ARRAY_SIZE(want));
        for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
                assert_string_equal(pod.tolerations[i].key, want[i].key);
                assert_string_equal(pod.tolerations[i].value, want[i].value);
                assert_int_equal(pod.tolerations[i].op, want[i].op);
                assert_int_equal(pod.tolerations[i].effect, want[i].effect);
                assert_int_equal(pod.tolerations[i].unknown_effect, want[i].unknown_effect);
        }
}

static void effects_have_their_kubernetes_names(void **state) {
        static const char *const names[] = { "NoSchedule", "PreferNoSchedule", "NoExecute" };
        TaintEffect effect;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                assert_true(taint_effect_parse(names[i], &effect));
                assert_string_equal(taint_effect_name(effect), names[i]);
        }
        assert_string_equal(taint_effect_name(EFFECT_NONE), "");
        assert_false(taint_effect_parse("", &effect));
        assert_false(taint_effect_parse("noSchedule", &effect));
}

static int node_body(void *user) {
        _cleanup_node_view_ NodeView node = { 0 };
        int r = node_view_from_json(user, &node);

        if (r == 0)
                r = node_view_set_label(&node, "new", "1");
        if (r == 0)
                r = node_view_set_label(&node, "new", "2");
        if (r == 0)
                r = node_view_set_taint(&node, "new", "1", EFFECT_NO_EXECUTE);
        if (r == 0)
                r = node_view_set_taint(&node, "new", "2", EFFECT_NO_EXECUTE);
        return r;
}

static int pod_body(void *user) {
        _cleanup_pod_scheduling_ PodScheduling pod = { 0 };

        return pod_scheduling_from_json(user, &pod);
}

static void out_of_memory_leaves_nothing(void **state) {
        _cleanup_json_ cJSON *node = parse(node_text), *pod = parse(pod_text);

        (void)state;
        (void)test_oom(node_body, node);
        (void)test_oom(pod_body, pod);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_node_is_read),
                cmocka_unit_test(absent_parts_are_empty),
                cmocka_unit_test(affinity_without_terms_is_still_required),
                cmocka_unit_test(labels_of_a_node_are_set_in_order),
                cmocka_unit_test(a_taint_of_the_same_key_and_effect_is_replaced),
                cmocka_unit_test(the_scheduling_part_of_a_pod_is_read),
                cmocka_unit_test(tolerations_are_read),
                cmocka_unit_test(effects_have_their_kubernetes_names),
                cmocka_unit_test(out_of_memory_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
