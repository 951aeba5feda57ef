/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: every rule is a file in tests/cases/plan (facts, "==", the plan that must come out), and every combination
 * of what stands, what is remembered and what is wanted is a line of a matrix. */
#include "core/plan_internal.h"
#include "plan_world.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define CASES "cases/plan/rules"

#define _cleanup_world_ _cleanup_(world_done)

/* ---- rules ---- */

static void test_rule(void **state) {
        const char *name = *state, *behind;
        char path[512];
        _cleanup_free_ char *text = NULL, *facts = NULL;
        _cleanup_buf_ Buf out = BUF_INIT;
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;

        world_init(&w);
        (void)snprintf(path, sizeof(path), CASES "/%s", name);
        text = test_read(path, NULL);
        behind = strstr(text, "==\n");
        if (!behind)
                fail_msg("%s: no line ==", name);
        facts = strndup(text, (size_t)(behind - text));
        assert_non_null(facts);
        buf_printf(&out, "%s==\n", facts);
        world_read(&w, facts);
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        world_print(&w, &plan, &out);
        test_golden(path, buf_text(&out));
}

/* ---- the matrix ---- */

/* Wanted is DaemonSet a/x with input 1 (same) or 2 (new); input 1 was written last; 2 was being written. */
static const char *const matrix_stands[] = {
        "missing", "last",    "last-mode-wrong", "next",    "edited", "edited-next", "older", "other-pod",
        "empty",   "garbage", "too-large",       "foreign", "link",   "directory",   "fifo",  "unreadable",
};
static const char *const matrix_written[] = { "none", "lost", "last", "last+next" };
static const char *const matrix_wanted[] = { "same", "new", "keep", "absent", "undefined", "unsure" };

static void matrix_entry(World *w, const char *stands) {
        const struct {
                const char *word, *line;
        } rows[] = {
                { "last", "stands a/x 1" },
                { "last-mode-wrong", "stands a/x 1 mode-wrong" },
                { "next", "stands a/x 2" },
                { "edited", "stands a/x 1!" },
                { "edited-next", "stands a/x 2!" },
                { "older", "stands a/x 0" },
                { "other-pod", "stands b/y 1 file=daemonlet_a_x.json" },
                { "empty", "stands a/x text=" },
                { "garbage", "stands a/x text={\"kind\":\"Po" },
                { "too-large", "stands a/x too-large" },
                { "foreign", "stands a/x foreign" },
                { "link", "stands a/x kind=link" },
                { "directory", "stands a/x kind=directory" },
                { "fifo", "stands a/x kind=other" },
                { "unreadable", "stands a/x unreadable" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (streq(rows[i].word, stands))
                        world_read(w, world_text(w, "%s", rows[i].line));
}

static void matrix_facts(World *w, const char *stands, const char *written, const char *wanted) {
        const struct {
                const char *word, *line;
        } rows[] = {
                { "lost", "written a/x -" },
                { "last", "written a/x 1" },
                { "last+next", "written a/x 1 next=2" },
                { "same", "want a/x present 1" },
                { "new", "want a/x present 2" },
                { "keep", "want a/x keep" },
                { "absent", "want a/x absent" },
                { "unsure", "set local-incomplete not-synced" },
        };

        for (size_t i = 0; i < 3; i++) /* so that every spec has a label */
                (void)world_pod(w, "a", "x", (const char *[]){ "0", "1", "2" }[i]);
        matrix_entry(w, stands);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (streq(rows[i].word, written) || streq(rows[i].word, wanted))
                        world_read(w, world_text(w, "%s", rows[i].line));
}

static void matrix_print(const World *w, const Plan *plan, Buf *out) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];

                buf_printf(out, " %s", step_verb_name(s->verb));
                if (s->bytes)
                        buf_printf(out, "=%s", world_spec(w, s->bytes, s->len));
                buf_printf(out, "%s%s%s", s->save_copy ? "+save" : "", s->move_first ? "+move" : "",
                           s->again ? "+again" : "");
        }
        for (size_t i = 0; i < plan->n_rows; i++)
                buf_printf(out, " | %s %s %s [%s] %s", state_name(plan->rows[i].state),
                           reason_name(plan->rows[i].reason),
                           *plan->rows[i].revision ? (streq(plan->rows[i].revision, w->pods[0]->r.revision)   ? "0"
                                                      : streq(plan->rows[i].revision, w->pods[1]->r.revision) ? "1"
                                                      : streq(plan->rows[i].revision, w->pods[2]->r.revision) ? "2"
                                                                                                              : "?")
                                                   : "-",
                           step_effect_name(plan->rows[i].effect), plan->rows[i].message);
        buf_char(out, '\n');
}

static void matrix_cell(const char *stands, const char *written, const char *wanted, bool held, Buf *out) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;

        world_init(&w);
        matrix_facts(&w, stands, written, wanted);
        w.facts.hold = HOLD_UNTIL_SYNCED;
        w.facts.kubelet_synced = !held;
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        buf_printf(out, "%-15s %-9s %-9s %-4s |", stands, written, wanted, held ? "held" : "-");
        matrix_print(&w, &plan, out);
}

static void test_matrix(void **state) {
        _cleanup_buf_ Buf out = BUF_INIT;

        (void)state;
        buf_str(&out, "# stands        written   wanted    hold | steps | state, reason, revision, effect, message\n");
        for (size_t s = 0; s < ARRAY_SIZE(matrix_stands); s++)
                for (size_t x = 0; x < ARRAY_SIZE(matrix_written); x++)
                        for (size_t y = 0; y < ARRAY_SIZE(matrix_wanted); y++)
                                for (int held = 0; held < 2; held++)
                                        matrix_cell(matrix_stands[s], matrix_written[x], matrix_wanted[y], held, &out);
        test_golden("cases/plan/matrix.golden", buf_text(&out));
}

/* A pod that is to start again: what stands, what the witness says of the last pod, which is buried where nothing of it
 * stands, and what is remembered. */
static void again_cell(const char *stands, const char *witness, const char *memory, const char *wanted, bool held,
                       Buf *out) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;
        bool fresh = streq(witness, "fresh");

        world_init(&w);
        matrix_facts(&w, stands, "none", wanted);
        if (fresh || streq(witness, "past"))
                witness = "unknown";
        world_read(&w, world_text(&w, "written a/x 1 witness=%s", witness));
        if (!streq(stands, "last"))
                world_read(&w, world_text(&w, "tombstone a/x pod=1 witness=%s removed=%d", witness, fresh ? 951 : 950));
        if (!streq(memory, "-"))
                world_read(&w, world_text(&w, "memory a/x %s", memory));
        w.facts.hold = HOLD_UNTIL_SYNCED;
        w.facts.kubelet_synced = !held;
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        matrix_print(&w, &plan, out);
}

static void test_matrix_of_pods_that_start_again(void **state) {
        static const char *const stands[] = { "last", "missing", "empty" };
        static const char *const witness[] = { "fresh", "past", "running", "terminating", "gone" };
        static const char *const memory[] = { "-", "damped", "restart", "absent=60000", "gone=5999", "gone=6000" };
        static const char *const wanted[] = { "same", "new", "keep", "absent" };
        _cleanup_buf_ Buf out = BUF_INIT;

        (void)state;
        buf_str(&out,
                "# stands  witness     memory       wanted hold | steps | state, reason, revision, effect, message\n");
        for (size_t i = 0; i < ARRAY_SIZE(stands) * ARRAY_SIZE(witness) * ARRAY_SIZE(memory) * ARRAY_SIZE(wanted) * 2;
             i++) {
                size_t n = i;
                bool held = n % 2;
                const char *x = wanted[(n /= 2) % ARRAY_SIZE(wanted)];
                const char *m = memory[(n /= ARRAY_SIZE(wanted)) % ARRAY_SIZE(memory)];
                const char *y = witness[(n /= ARRAY_SIZE(memory)) % ARRAY_SIZE(witness)];
                const char *s = stands[n / ARRAY_SIZE(witness)];

                buf_printf(&out, "%-9s %-11s %-12s %-6s %-4s |", s, y, m, x, held ? "held" : "-");
                again_cell(s, y, m, x, held, &out);
        }
        test_golden("cases/plan/matrix-again.golden", buf_text(&out));
}

/* ---- the rest ---- */

static void test_names_of_enums(void **state) {
        (void)state;
        for (unsigned i = 0; i <= STATE_HANDED_OVER; i++)
                assert_non_null(state_name((State)i));
        for (unsigned i = 0; i <= STEP_TOUCH; i++)
                assert_non_null(step_verb_name((StepVerb)i));
        assert_string_equal(state_name(STATE_RUNNING), "Running");
        assert_string_equal(state_name(STATE_NOT_STARTED), "NotStarted");
        assert_string_equal(state_name(STATE_HANDED_OVER), "HandedOver");
        assert_string_equal(step_verb_name(STEP_SWEEP), "sweep");
        assert_string_equal(step_verb_name(STEP_TOUCH), "touch");
        assert_string_equal(step_effect_name(EFFECT_POD_NONE), "-");
        assert_string_equal(step_effect_name(EFFECT_POD_STOP), "stop");
}

static void test_annotation_of_canonical_bytes(void **state) {
        static const struct {
                const char *bytes, *want;
        } rows[] = {
                { "{\"k\":\"abcd\"}", "abcd" },
                { "{\"x\":\"\\\"k\\\":\\\"efgh\\\"\",\"k\":\"abcd\"}", "abcd" },
                { "{\"k\":\"abc\"}", NULL },
                { "{\"k\":\"abcde\"}", NULL },
                { "{\"k\":\"ab\\n\"}", NULL },
                { "{\"k\":\"ab\",\"\"}", NULL },
                { "{\"k\":\"abcd", NULL },
                { "{\"k\": \"abcd\"}", NULL },
                { "{\"kk\":\"abcd\"}", NULL },
                { "\"", NULL },
                { "", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                size_t len = strlen(rows[i].bytes);
                /* On the heap, exactly as long, so that a read behind the end is seen. */
                _cleanup_free_ char *exact = malloc(len + !len);
                char found[5] = "";

                assert_non_null(exact);
                memcpy(exact, rows[i].bytes, len);
                if (rows[i].want) {
                        assert_true(canonical_annotation(exact, len, "k", 4, found));
                        assert_string_equal(found, rows[i].want);
                } else
                        assert_false(canonical_annotation(exact, len, "k", 4, found));
        }
}

/* Bytes of a manifest have no NUL behind them. */
static void test_bytes_need_no_end(void **state) {
        _cleanup_world_ World w;
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_free_ char *exact = NULL;
        const WorldPod *p;

        (void)state;
        world_init(&w);
        p = world_pod(&w, "a", "x", "1");
        exact = malloc(p->r.len);
        assert_non_null(exact);
        memcpy(exact, p->r.bytes, p->r.len);
        world_want(&w, "a", "x", WISH_PRESENT, "1");
        world_written(&w, "a", "x", "1", NULL);
        world_entry(&w, world_file(&w, "a", "x"), ENTRY_REGULAR, exact, p->r.len);
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        assert_int_equal(plan.n_steps, 0);
}

static int make_plan(void *user) {
        const World *w = user;
        _cleanup_plan_ Plan plan = { 0 };

        return plan_make(&w->facts, &plan);
}

/* Everything that allocates in one set of facts. */
static void test_out_of_memory(void **state) {
        _cleanup_world_ World w;
        char *text;

        (void)state;
        world_init(&w);
        text = test_read("cases/plan/everything.facts", NULL);
        world_read(&w, text);
        test_oom(make_plan, &w);
        free(text);
}

/* A failure leaves the caller's plan alone. */
static void test_empty_facts(void **state) {
        PlanFacts facts = { 0 };
        Plan plan = { 0 };

        (void)state;
        assert_int_equal(plan_make(&facts, &plan), 0);
        assert_int_equal(plan.n_steps, 0);
        assert_int_equal(plan.n_rows, 0);
        plan_done(&plan);
        plan_done(&plan);
}

static int64_t nanoseconds(void) {
        struct timespec t;

        assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
        return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* n intact manifests: no step, whatever the number; with PLAN_BENCH in the environment the time is told. */
static void plan_intact(size_t n) {
        _cleanup_world_ World w;
        int64_t best = INT64_MAX;

        world_init(&w);
        for (size_t i = 0; i < n; i++) {
                const char *name = world_text(&w, "agent-%zu", i * 7919 % n);
                const WorldPod *p;
                char *copy;

                world_want(&w, "kube-system", name, WISH_PRESENT, i % 4 ? "1" : world_text(&w, "1:%zu", i % 60000 + 1));
                p = w.pods[w.n_pods - 1];
                world_written(&w, "kube-system", name, p->spec, NULL);
                copy = world_text(&w, "%s", p->r.bytes);
                world_entry(&w, world_file(&w, "kube-system", name), ENTRY_REGULAR, copy, p->r.len);
        }
        for (int round = 0; round < (getenv("PLAN_BENCH") ? 10 : 1); round++) {
                _cleanup_plan_ Plan plan = { 0 };
                int64_t before = nanoseconds(), took;

                assert_int_equal(plan_make(&w.facts, &plan), 0);
                took = nanoseconds() - before;
                best = took < best ? took : best;
                assert_int_equal(plan.n_steps, 0);
                assert_int_equal(plan.n_rows, n);
        }
        if (getenv("PLAN_BENCH"))
                print_message("plan of %zu intact manifests: %lld ns each\n", n, (long long)best / (long long)n);
}

static void test_many_intact(void **state) {
        (void)state;
        plan_intact(200);
        if (getenv("PLAN_BENCH")) {
                plan_intact(1000);
                plan_intact(10000);
        }
}

int main(void) {
        const struct CMUnitTest others[] = {
                cmocka_unit_test(test_matrix),
                cmocka_unit_test(test_matrix_of_pods_that_start_again),
                cmocka_unit_test(test_names_of_enums),
                cmocka_unit_test(test_annotation_of_canonical_bytes),
                cmocka_unit_test(test_bytes_need_no_end),
                cmocka_unit_test(test_out_of_memory),
                cmocka_unit_test(test_empty_facts),
                cmocka_unit_test(test_many_intact),
        };
        struct CMUnitTest *rules;
        size_t n;
        char **names = test_names(CASES, &n);
        int failed;

        rules = calloc(n, sizeof(*rules));
        if (!rules)
                return 1;
        for (size_t i = 0; i < n; i++)
                rules[i] = (struct CMUnitTest){ names[i], test_rule, NULL, NULL, names[i] };
        failed = _cmocka_run_group_tests("plan rules", rules, n, NULL, NULL);
        failed += cmocka_run_group_tests_name("plan", others, NULL, NULL);
        free(rules);
        test_names_free(names, n);
        return failed;
}
