/* SPDX-License-Identifier: Apache-2.0 */
/* Verdicts and tolerations equal the real controller's, case for case. */
#include "conformance.h"
#include "core/decide.h"
#include "core/toleration.h"
#include "test.h"

#include <errno.h>

static const DecideOptions upstream = { .upstream = true };

static void check_verdict(const ConformanceFolder *f, const ConformanceCase *c) {
        Verdict v;

        decide(&f->node, &c->pod, &upstream, &v);
        if (v.should_run != c->should_run || v.should_continue_running != c->should_continue_running)
                fail_msg("%s: %d %d, the controller says %d %d", c->where, v.should_run, v.should_continue_running,
                         c->should_run, c->should_continue_running);
        assert_int_equal(v.reason == REASON_Fits, v.should_run);
}

static void check_tolerations(const ConformanceFolder *f, const ConformanceCase *c) {
        _cleanup_json_ cJSON *list = c->tolerations ? cJSON_Duplicate(c->tolerations, true) : NULL;

        (void)f;
        assert_int_equal(tolerations_add_controllers(&list, c->pod.host_network), 0);
        if (!json_equal(list, c->controller_tolerations)) {
                _cleanup_free_ char *got = json_canonical_text(list, NULL);
                _cleanup_free_ char *want = json_canonical_text(c->controller_tolerations, NULL);

                fail_msg("%s:\n%s\nthe controller has\n%s", c->where, got, want);
        }
}

/* The name that must occur in the explanation of a failed check: it is what a person searches for. */
static bool names_culprit(const ConformanceFolder *f, const ConformanceCase *c, const Verdict *v, Check check,
                          const char *text) {
        switch (check) {
        case CHECK_NODE_NAME:
                return strstr(text, c->pod.node_name) && strstr(text, f->node.name);
        case CHECK_NODE_SELECTOR:
                return strstr(text, v->selector->key) && strstr(text, v->selector->value);
        case CHECK_TAINTS_NO_EXECUTE:
                return strstr(text, v->no_execute->key) && strstr(text, ":NoExecute");
        case CHECK_TAINTS_NO_SCHEDULE:
                return strstr(text, v->no_schedule->key) && strstr(text, ":NoSchedule");
        case CHECK_NODE_AFFINITY:
        case CHECK_COUNT:
                break;
        }
        if (c->pod.n_terms == 0)
                return strstr(text, "no terms");
        for (size_t i = 0; i < c->pod.n_terms; i++) {
                const NodeTerm *t = &c->pod.terms[i];

                if (t->n_expressions == 0 && t->n_fields == 0 && strstr(text, "empty"))
                        return true;
                for (size_t k = 0; k < t->n_expressions; k++)
                        if (strstr(text, t->expressions[k].key))
                                return true;
                for (size_t k = 0; k < t->n_fields; k++)
                        if (strstr(text, t->fields[k].key))
                                return true;
        }
        return false;
}

static void check_explanations(const ConformanceFolder *f, const ConformanceCase *c) {
        Verdict v;

        decide(&f->node, &c->pod, &upstream, &v);
        for (Check check = 0; check < CHECK_COUNT; check++) {
                _cleanup_buf_ Buf text = BUF_INIT;

                decide_explain(&f->node, &c->pod, &upstream, &v, check, &text);
                assert_false(text.failed);
                assert_true(text.len > 0);
                if (!v.passed[check] && !names_culprit(f, c, &v, check, buf_text(&text)))
                        fail_msg("%s: %s says only \"%s\"", c->where, check_name(check), buf_text(&text));
        }
}

typedef void (*Body)(const ConformanceFolder *f, const ConformanceCase *c);

static size_t for_each(const char *path, Body body) {
        size_t n, total = 0;
        char **folders = conformance_folders(path, &n);

        for (size_t i = 0; i < n; i++) {
                ConformanceFolder f;

                conformance_read(folders[i], &f);
                for (size_t k = 0; k < f.n_cases; k++)
                        body(&f, &f.cases[k]);
                total += f.n_cases;
                conformance_done(&f);
        }
        test_names_free(folders, n);
        return total;
}

static void on_own(Body body) {
        assert_int_equal(for_each(test_path("cases/decide/conformance"), body), 500);
}

static void on_shared(Body body) {
        const char *path = test_shared("conformance/decide");

        if (!path)
                skip();
        assert_int_equal(for_each(path, body), 2000);
}

static void verdicts_equal_the_controllers(void **state) {
        (void)state;
        on_own(check_verdict);
}

static void verdicts_equal_the_controllers_in_all_cases(void **state) {
        (void)state;
        on_shared(check_verdict);
}

static void tolerations_equal_the_controllers(void **state) {
        (void)state;
        on_own(check_tolerations);
}

static void tolerations_equal_the_controllers_in_all_cases(void **state) {
        (void)state;
        on_shared(check_tolerations);
}

static void explanations_name_the_culprit(void **state) {
        (void)state;
        on_own(check_explanations);
}

static void explanations_name_the_culprit_in_all_cases(void **state) {
        (void)state;
        on_shared(check_explanations);
}

static bool seen[REASON_COUNT];

static void note_reason(const ConformanceFolder *f, const ConformanceCase *c) {
        Verdict v;

        decide(&f->node, &c->pod, &upstream, &v);
        seen[v.reason] = true;
}

/* The choice of folders that the repository carries is worth something only as long as nothing is missing in it. */
static void own_cases_have_every_reason(void **state) {
        static const Reason wanted[] = { REASON_Fits, REASON_NodeNameMismatch, REASON_NodeSelectorMismatch,
                                         REASON_NodeAffinityMismatch, REASON_UntoleratedTaint };

        (void)state;
        on_own(note_reason);
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
                if (!seen[wanted[i]])
                        fail_msg("no case with %s", reason_name(wanted[i]));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(verdicts_equal_the_controllers),
                cmocka_unit_test(verdicts_equal_the_controllers_in_all_cases),
                cmocka_unit_test(tolerations_equal_the_controllers),
                cmocka_unit_test(tolerations_equal_the_controllers_in_all_cases),
                cmocka_unit_test(explanations_name_the_culprit),
                cmocka_unit_test(explanations_name_the_culprit_in_all_cases),
                cmocka_unit_test(own_cases_have_every_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
