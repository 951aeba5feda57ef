/* SPDX-License-Identifier: Apache-2.0 */
#include "core/toleration.h"

#include "test.h"

#include <errno.h>

#define S(text) ((char *)(text))

static const struct MatchRow {
        const char *what;
        Toleration toleration;
        Taint taint;
        bool matches;
} match_rows[] = {
        { "equal",
          { S("k"), S("v"), TOLERATION_EQUAL, EFFECT_NO_SCHEDULE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          true },
        { "another value",
          { S("k"), S("w"), TOLERATION_EQUAL, EFFECT_NO_SCHEDULE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          false },
        { "another key",
          { S("l"), S("v"), TOLERATION_EQUAL, EFFECT_NO_SCHEDULE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          false },
        { "another effect",
          { S("k"), S("v"), TOLERATION_EQUAL, EFFECT_NO_EXECUTE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          false },
        { "every effect",
          { S("k"), S("v"), TOLERATION_EQUAL, EFFECT_NONE, false },
          { S("k"), S("v"), EFFECT_NO_EXECUTE },
          true },
        { "an unknown effect",
          { S("k"), S("v"), TOLERATION_EQUAL, EFFECT_NONE, true },
          { S("k"), S("v"), EFFECT_NO_EXECUTE },
          false },
        { "exists",
          { S("k"), S(""), TOLERATION_EXISTS, EFFECT_NO_SCHEDULE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          true },
        { "exists, another key",
          { S("l"), S(""), TOLERATION_EXISTS, EFFECT_NO_SCHEDULE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          false },
        { "exists ignores a value",
          { S("k"), S("w"), TOLERATION_EXISTS, EFFECT_NONE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          true },
        { "everything",
          { S(""), S(""), TOLERATION_EXISTS, EFFECT_NONE, false },
          { S("k"), S("v"), EFFECT_NO_EXECUTE },
          true },
        { "everything of an effect",
          { S(""), S(""), TOLERATION_EXISTS, EFFECT_NO_SCHEDULE, false },
          { S("k"), S("v"), EFFECT_NO_EXECUTE },
          false },
        { "no key, equal value",
          { S(""), S("v"), TOLERATION_EQUAL, EFFECT_NONE, false },
          { S("k"), S("v"), EFFECT_NO_EXECUTE },
          true },
        { "no key, another value",
          { S(""), S(""), TOLERATION_EQUAL, EFFECT_NONE, false },
          { S("k"), S("v"), EFFECT_NO_EXECUTE },
          false },
        { "Lt is off",
          { S("k"), S("9"), TOLERATION_LT, EFFECT_NONE, false },
          { S("k"), S("5"), EFFECT_NO_SCHEDULE },
          false },
        { "Gt is off",
          { S("k"), S("1"), TOLERATION_GT, EFFECT_NONE, false },
          { S("k"), S("5"), EFFECT_NO_SCHEDULE },
          false },
        { "an unknown operator",
          { S("k"), S("v"), TOLERATION_OTHER, EFFECT_NONE, false },
          { S("k"), S("v"), EFFECT_NO_SCHEDULE },
          false },
};

static void tolerations_match_as_upstream_does(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(match_rows); i++)
                if (toleration_matches(&match_rows[i].toleration, &match_rows[i].taint) != match_rows[i].matches)
                        fail_msg("%s", match_rows[i].what);
}

static const struct ControllerRow {
        const char *key;
        TaintEffect effect;
        bool pod_network, host_network;
} controller_rows[] = {
        { "node.kubernetes.io/not-ready", EFFECT_NO_EXECUTE, true, true },
        { "node.kubernetes.io/not-ready", EFFECT_NO_SCHEDULE, false, false },
        { "node.kubernetes.io/unreachable", EFFECT_NO_EXECUTE, true, true },
        { "node.kubernetes.io/unreachable", EFFECT_NO_SCHEDULE, false, false },
        { "node.kubernetes.io/disk-pressure", EFFECT_NO_SCHEDULE, true, true },
        { "node.kubernetes.io/disk-pressure", EFFECT_NO_EXECUTE, false, false },
        { "node.kubernetes.io/memory-pressure", EFFECT_NO_SCHEDULE, true, true },
        { "node.kubernetes.io/pid-pressure", EFFECT_NO_SCHEDULE, true, true },
        { "node.kubernetes.io/unschedulable", EFFECT_NO_SCHEDULE, true, true },
        { "node.kubernetes.io/network-unavailable", EFFECT_NO_SCHEDULE, false, true },
        { "node.kubernetes.io/network-unavailable", EFFECT_NO_EXECUTE, false, false },
        { "node-role.kubernetes.io/control-plane", EFFECT_NO_SCHEDULE, false, false },
};

static void the_controllers_own_tolerations_are_known(void **state) {
        (void)state;
        assert_int_equal(controller_tolerations_count(false), 6);
        assert_int_equal(controller_tolerations_count(true), 7);
        for (size_t i = 0; i < ARRAY_SIZE(controller_rows); i++) {
                const struct ControllerRow *row = &controller_rows[i];
                const Taint taint = { S(row->key), S("any"), row->effect };

                if (controller_tolerates(&taint, false) != row->pod_network ||
                    controller_tolerates(&taint, true) != row->host_network)
                        fail_msg("%s:%s", row->key, taint_effect_name(row->effect));
        }
}

static cJSON *parse(const char *text) {
        Place place;
        Err err = { 0 };
        cJSON *tree;

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

#define T(name, effect) "{\"effect\":\"" effect "\",\"key\":\"node.kubernetes.io/" name "\",\"operator\":\"Exists\"}"
#define NOT_READY T("not-ready", "NoExecute")
#define UNREACHABLE T("unreachable", "NoExecute")
#define DISK T("disk-pressure", "NoSchedule")
#define REST T("memory-pressure", "NoSchedule") "," T("pid-pressure", "NoSchedule") "," T("unschedulable", "NoSchedule")
#define NETWORK T("network-unavailable", "NoSchedule")

static const struct AddRow {
        const char *what, *template; /* template NULL: no list */
        bool host_network;
        const char *want;
} add_rows[] = {
        { "no list", NULL, false, "[" NOT_READY "," UNREACHABLE "," DISK "," REST "]" },
        { "null", "null", false, "[" NOT_READY "," UNREACHABLE "," DISK "," REST "]" },
        { "host network", "[]", true, "[" NOT_READY "," UNREACHABLE "," DISK "," REST "," NETWORK "]" },
        { "own ones come first", "[{\"operator\":\"Exists\"}]", false,
          "[{\"operator\":\"Exists\"}," NOT_READY "," UNREACHABLE "," DISK "," REST "]" },
        { "the same one stays where it is, without its seconds",
          "[{\"key\":\"node.kubernetes.io/disk-pressure\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\","
          "\"tolerationSeconds\":5},{\"key\":\"a\",\"operator\":\"Exists\"}]",
          false, "[" DISK ",{\"key\":\"a\",\"operator\":\"Exists\"}," NOT_READY "," UNREACHABLE "," REST "]" },
        { "twice the same one", "[" DISK "," DISK "]", false,
          "[" DISK "," DISK "," NOT_READY "," UNREACHABLE "," REST "]" },
        { "another effect is another one", "[" T("disk-pressure", "NoExecute") "]", false,
          "[" T("disk-pressure", "NoExecute") "," NOT_READY "," UNREACHABLE "," DISK "," REST "]" },
        { "another value is another one",
          "[{\"key\":\"node.kubernetes.io/disk-pressure\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\","
          "\"value\":\"x\"}]",
          false,
          "[{\"effect\":\"NoSchedule\",\"key\":\"node.kubernetes.io/disk-pressure\",\"operator\":\"Exists\","
          "\"value\":\"x\"}," NOT_READY "," UNREACHABLE "," DISK "," REST "]" },
        { "another operator is another one",
          "[{\"key\":\"node.kubernetes.io/disk-pressure\",\"effect\":\"NoSchedule\"}]", false,
          "[{\"effect\":\"NoSchedule\",\"key\":\"node.kubernetes.io/disk-pressure\"}," NOT_READY "," UNREACHABLE
          "," DISK "," REST "]" },
        { "empty strings go",
          "[{\"key\":\"\",\"operator\":\"\",\"value\":\"\",\"effect\":\"\",\"tolerationSeconds\":0}]", false,
          "[{\"tolerationSeconds\":0}," NOT_READY "," UNREACHABLE "," DISK "," REST "]" },
        { "an empty value does not make another one",
          "[{\"key\":\"node.kubernetes.io/disk-pressure\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\","
          "\"value\":\"\"}]",
          false, "[" DISK "," NOT_READY "," UNREACHABLE "," REST "]" },
};

static void the_controllers_tolerations_are_appended(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(add_rows); i++) {
                const struct AddRow *row = &add_rows[i];
                _cleanup_json_ cJSON *list = row->template ? parse(row->template) : NULL;
                _cleanup_free_ char *got = NULL;

                assert_int_equal(tolerations_add_controllers(&list, row->host_network), 0);
                got = json_canonical_text(list, NULL);
                if (!streq(got, row->want))
                        fail_msg("%s:\n%s\n%s", row->what, got, row->want);
        }
}

static int add_body(void *user) {
        _cleanup_json_ cJSON *list = cJSON_Duplicate(user, true);
        int r;

        if (!list)
                return -ENOMEM;
        r = tolerations_add_controllers(&list, true);
        /* A failure leaves the list as it was. */
        if (r < 0)
                assert_true(json_equal(list, user));
        return r;
}

static void out_of_memory_leaves_the_list_as_it_was(void **state) {
        _cleanup_json_ cJSON *list = parse("[" DISK ",{\"key\":\"\",\"operator\":\"Exists\"}]");

        (void)state;
        (void)test_oom(add_body, list);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tolerations_match_as_upstream_does),
                cmocka_unit_test(the_controllers_own_tolerations_are_known),
                cmocka_unit_test(the_controllers_tolerations_are_appended),
                cmocka_unit_test(out_of_memory_leaves_the_list_as_it_was),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
