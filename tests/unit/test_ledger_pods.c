/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent remembers of pods that do not start or are to start again, and when it looks at them. The clock is a
 * number. */
#include "core/ledger.h"
#include "test.h"

#define FILE_A "daemonlet_ns_a.json"
#define _cleanup_ledger_ _cleanup_(ledger_done)

static char ns[] = "ns", a[] = "a", b[] = "b", c[] = "c", file_a[] = FILE_A, none[] = "";

/* A plan with a row for "a" that says nothing yet. */
typedef struct Made {
        PlanRow row;
        Plan plan;
} Made;

static PlanRow *calm(Made *m) {
        *m = (Made){ .row = { .namespace = ns, .name = a, .absent_for = -1 } };
        m->plan = (Plan){ .rows = &m->row, .n_rows = 1 };
        return &m->row;
}

static const PlanMemory *remembered(Ledger *l, const char *file, int64_t now) {
        const PlanMemory *memory;
        size_t n;

        assert_int_equal(ledger_memory(l, now, &memory, &n), 0);
        for (size_t i = 0; i + 1 < n; i++)
                assert_true(strcmp(memory[i].file, memory[i + 1].file) < 0);
        for (size_t i = 0; i < n; i++)
                if (streq(memory[i].file, file))
                        return &memory[i];
        return NULL;
}

/* ---- pods that do not start ---- */

/* A row of a plan: without a pod for so long; what the plan does about it. */
static void absent(Ledger *l, int64_t absent_for, bool withdraw, int64_t now) {
        Made m;

        (void)calm(&m);
        m.row.absent_for = absent_for;
        m.row.state = absent_for < PLAN_ABSENT ? STATE_STARTING : STATE_NOT_STARTED;
        m.row.has_step = withdraw;
        m.row.verb = STEP_WITHDRAW;
        assert_int_equal(ledger_learn(l, &m.plan, now), 0);
}

static void pod_is(Ledger *l, bool alive, bool gone, int64_t now) {
        Made m;

        (void)calm(&m);
        m.row.alive = alive;
        m.row.gone = gone;
        assert_int_equal(ledger_learn(l, &m.plan, now), 0);
}

static void test_absence_counts_from_the_first_sight(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        absent(&l, 0, false, 1000);
        assert_int_equal(remembered(&l, FILE_A, 31000)->absent_for, 30000);
        assert_int_equal(remembered(&l, FILE_A, 31000)->retries, 0);
        assert_int_equal(ledger_look_due(&l), 1000 + PLAN_ABSENT);
        assert_int_equal(ledger_removal_due(&l), -1);
        absent(&l, 30000, false, 31000);
        assert_int_equal(ledger_look_due(&l), 1000 + PLAN_ABSENT);
        /* The kubelet was started again: the plan counts less. */
        absent(&l, 2000, false, 33000);
        assert_int_equal(ledger_look_due(&l), 31000 + PLAN_ABSENT);
        /* There it is. */
        pod_is(&l, true, false, 40000);
        assert_int_equal(remembered(&l, FILE_A, 41000)->absent_for, 0);
        assert_int_equal(ledger_look_due(&l), -1);
}

/* The row may show what is wrong with its source; what is due depends on the absence. */
static void test_nothing_spins_whatever_the_row_shows(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        absent(&l, 0, false, 1000);
        absent(&l, PLAN_ABSENT, true, 1000 + PLAN_ABSENT);
        absent(&l, 0, false, 100000);
        absent(&l, PLAN_ABSENT, false, 100000 + PLAN_ABSENT);
        assert_true(ledger_look_due(&l) > 100000 + PLAN_ABSENT);
}

static void test_each_try_waits_twice_as_long(void **state) {
        static const int64_t after[] = { 60, 120, 240, 480, 960, 960, 960 };
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        int64_t now = 1000;

        (void)state;
        for (unsigned i = 0; i < ARRAY_SIZE(after); i++) {
                assert_int_equal(plan_retry_after(i), after[i] * 1000);
                absent(&l, 0, false, now);
                /* Once it was written again it is NotStarted from the start. */
                assert_int_equal(ledger_look_due(&l), now + (i > 0 ? after[i] * 1000 : PLAN_ABSENT));
                if (i > 0) {
                        absent(&l, PLAN_ABSENT, false, now + PLAN_ABSENT);
                        assert_int_equal(ledger_look_due(&l), now + after[i] * 1000);
                }
                now += after[i] * 1000;
                assert_int_equal(remembered(&l, FILE_A, now)->absent_for, after[i] * 1000);
                assert_int_equal(remembered(&l, FILE_A, now)->retries, i);
                absent(&l, after[i] * 1000, true, now);
                assert_int_equal(remembered(&l, FILE_A, now)->retries, i + 1);
                assert_int_equal(remembered(&l, FILE_A, now)->absent_for, 0);
                assert_int_equal(ledger_look_due(&l), -1);
                /* Gone, and written again. */
                pod_is(&l, false, true, now += 100);
                assert_int_equal(ledger_look_due(&l), now + PLAN_GONE);
                pod_is(&l, false, false, now += PLAN_GONE);
                assert_int_equal(remembered(&l, FILE_A, now)->retries, i + 1);
        }
        assert_int_equal(plan_retry_after(UINT32_MAX), PLAN_RETRY_MAX);
        pod_is(&l, true, false, now);
        assert_null(remembered(&l, FILE_A, now));
}

static void test_other_bytes_are_tried_anew(void **state) {
        static const struct {
                StepVerb verb;
                unsigned retries;
        } rows[] = { { STEP_CREATE, 0 }, { STEP_REPLACE, 0 }, { STEP_RESTORE, 1 }, { STEP_TOUCH, 1 } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_ledger_ Ledger l = LEDGER_INIT;
                Made m;

                absent(&l, PLAN_ABSENT, true, 1000);
                (void)calm(&m);
                m.row.has_step = true;
                m.row.verb = rows[i].verb;
                assert_int_equal(ledger_learn(&l, &m.plan, 2000), 0);
                assert_int_equal(remembered(&l, FILE_A, 2000)->retries, rows[i].retries);
        }
}

static void test_restart_on_request_is_no_try(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        Made m;

        (void)state;
        assert_int_equal(ledger_ask_restart(&l, FILE_A, 1000), 0);
        assert_true(remembered(&l, FILE_A, 1000)->restart);
        assert_int_equal(remembered(&l, FILE_A, 1000)->unwanted_for, -1);
        (void)calm(&m);
        m.row.has_step = true;
        m.row.verb = STEP_WITHDRAW;
        assert_int_equal(ledger_learn(&l, &m.plan, 2000), 0);
        /* It counts for one plan. */
        assert_false(remembered(&l, FILE_A, 2000)->restart);
        assert_int_equal(remembered(&l, FILE_A, 2000)->retries, 0);
}

static void test_what_is_gone_counts_from_the_first_sight(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        pod_is(&l, false, true, 1000);
        pod_is(&l, false, true, 3000);
        assert_int_equal(remembered(&l, FILE_A, 4000)->gone_for, 3000);
        assert_int_equal(ledger_look_due(&l), 1000 + PLAN_GONE);
        pod_is(&l, false, false, 5000);
        assert_int_equal(remembered(&l, FILE_A, 5000)->gone_for, 0);
        assert_int_equal(ledger_look_due(&l), -1);
        pod_is(&l, false, true, 6000);
        assert_int_equal(ledger_look_due(&l), 6000 + PLAN_GONE);
}

/* What no row speaks of any more has no pod to wait for. */
/* ---- what the DaemonSet controller runs ---- */

static void missing_is(Ledger *l, bool missing, int64_t now) {
        Made m;

        (void)calm(&m);
        m.row.missing = missing;
        m.row.unsettled = missing;
        assert_int_equal(ledger_learn(l, &m.plan, now), 0);
}

static void test_what_is_missing_counts_from_the_first_sight(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        missing_is(&l, false, 500);
        assert_null(remembered(&l, FILE_A, 500));
        missing_is(&l, true, 1000);
        assert_int_equal(remembered(&l, FILE_A, 1000)->missing_for, 0);
        assert_int_equal(remembered(&l, FILE_A, 2500)->missing_for, 1500);
        assert_int_equal(ledger_look_due(&l), 1000 + LEDGER_LOOK_MIN);
        missing_is(&l, true, 3000);
        assert_int_equal(remembered(&l, FILE_A, 4000)->missing_for, 3000);
        /* It is remembered for as long as it lasts, but no longer. */
        missing_is(&l, true, 1000 + 3 * LEDGER_FIGHT_WINDOW);
        assert_int_equal(remembered(&l, FILE_A, 1000 + 3 * LEDGER_FIGHT_WINDOW)->missing_for, 3 * LEDGER_FIGHT_WINDOW);
        missing_is(&l, false, 1001 + 3 * LEDGER_FIGHT_WINDOW);
        assert_null(remembered(&l, FILE_A, 1001 + 3 * LEDGER_FIGHT_WINDOW));
        assert_int_equal(ledger_look_due(&l), -1);
        /* It begins anew. */
        missing_is(&l, true, 700000);
        assert_int_equal(remembered(&l, FILE_A, 700010)->missing_for, 10);
}

static void unplaced_is(Ledger *l, bool unplaced, bool anew, int64_t now) {
        Made m;

        (void)calm(&m);
        m.row.unplaced = m.row.unsettled = unplaced;
        m.row.unplaced_anew = anew;
        assert_int_equal(ledger_learn(l, &m.plan, now), 0);
}

/* And anew whenever ours goes. */
static void test_what_finds_no_place_counts_from_when_ours_went(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        unplaced_is(&l, true, true, 1000);
        unplaced_is(&l, true, false, 2000);
        assert_int_equal(remembered(&l, FILE_A, 2500)->unplaced_for, 1500);
        assert_int_equal(remembered(&l, FILE_A, 2500)->missing_for, 0);
        unplaced_is(&l, true, true, 3000);
        assert_int_equal(remembered(&l, FILE_A, 3500)->unplaced_for, 500);
        unplaced_is(&l, true, false, 3 * LEDGER_FIGHT_WINDOW);
        assert_int_equal(remembered(&l, FILE_A, 4 * LEDGER_FIGHT_WINDOW)->unplaced_for, 4 * LEDGER_FIGHT_WINDOW - 3000);
        unplaced_is(&l, false, false, 4 * LEDGER_FIGHT_WINDOW);
        assert_null(remembered(&l, FILE_A, 4 * LEDGER_FIGHT_WINDOW));
        /* What has no row any more finds none either. */
        unplaced_is(&l, true, true, 500000);
        assert_int_equal(ledger_learn(&l, &(Plan){ 0 }, 501000), 0);
        unplaced_is(&l, true, false, 502000);
        assert_int_equal(remembered(&l, FILE_A, 502500)->unplaced_for, 500);
}

/* It came back within the time for which an entry is kept, or has no row any more. */
static void test_what_is_not_missing_now_is_not_counted(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        Plan empty = { 0 };

        (void)state;
        missing_is(&l, true, 1000);
        missing_is(&l, false, 2000);
        assert_int_equal(remembered(&l, FILE_A, 3000)->missing_for, 0);
        missing_is(&l, true, 4000);
        assert_int_equal(remembered(&l, FILE_A, 4500)->missing_for, 500);
        assert_int_equal(ledger_learn(&l, &empty, 5000), 0);
        assert_int_equal(remembered(&l, FILE_A, 6000)->missing_for, 0);
        missing_is(&l, true, 7000);
        assert_int_equal(remembered(&l, FILE_A, 7500)->missing_for, 500);
}

static void test_what_has_no_row_is_not_waited_for(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        absent(&l, PLAN_ABSENT, true, 1000);
        absent(&l, 0, false, 2000);
        assert_int_equal(ledger_learn(&l, &(Plan){ 0 }, 3000), 0);
        assert_int_equal(ledger_look_due(&l), -1);
        assert_int_equal(remembered(&l, FILE_A, 3000)->retries, 0);
        assert_int_equal(remembered(&l, FILE_A, 3000)->absent_for, 0);
        pod_is(&l, false, true, 4000);
        assert_int_equal(ledger_learn(&l, &(Plan){ 0 }, 5000), 0);
        assert_int_equal(ledger_look_due(&l), -1);
        assert_int_equal(remembered(&l, FILE_A, 5000)->gone_for, 0);
}

static void test_who_waits_is_not_forgotten(void **state) {
        const int64_t late = 1000 + 2 * LEDGER_FIGHT_WINDOW;
        _cleanup_ledger_ Ledger l = LEDGER_INIT, m = LEDGER_INIT, n = LEDGER_INIT;

        (void)state;
        absent(&l, 0, false, 1000);
        absent(&l, late - 1000, false, late);
        assert_int_equal(l.n, 1);
        absent(&l, late, true, late);
        pod_is(&l, false, false, 2 * late);
        assert_int_equal(remembered(&l, FILE_A, 2 * late)->retries, 1);
        pod_is(&l, true, false, 2 * late);
        assert_int_equal(l.n, 0);
        pod_is(&m, false, true, 1000);
        pod_is(&m, false, true, late);
        assert_int_equal(remembered(&m, FILE_A, late)->gone_for, late - 1000);
        /* A pod that runs, and never was away, is nothing to remember. */
        pod_is(&n, true, false, 1000);
        assert_int_equal(n.n, 0);
}

/* ---- looking again ---- */

static void unsettled(Ledger *l, size_t n, StepVerb verb, bool step, int64_t now) {
        PlanRow rows[3] = { { .namespace = ns, .name = a, .unsettled = n > 0, .absent_for = -1 },
                            { .namespace = ns, .name = b, .unsettled = n > 1, .absent_for = -1 },
                            { .namespace = none, .name = none, .unsettled = n > 2, .absent_for = -1 } };
        PlanStep s = { .verb = verb, .file = file_a, .namespace = ns, .name = a };
        Plan plan = { .rows = rows, .n_rows = ARRAY_SIZE(rows), .steps = &s, .n_steps = step };

        assert_int_equal(ledger_learn(l, &plan, now), 0);
}

static void test_looks_are_ever_less_frequent(void **state) {
        static const int64_t pauses[] = { 250, 500, 1000, 2000, 4000, 8000, 10000, 10000 };
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        int64_t now = 1000;

        (void)state;
        assert_int_equal(ledger_look_due(&l), -1);
        for (size_t i = 0; i < ARRAY_SIZE(pauses); i++) {
                unsettled(&l, 1, STEP_RECORD, true, now);
                assert_int_equal(ledger_look_due(&l), now + pauses[i]);
                /* What happens meanwhile does not put the look off, nor bring it nearer. */
                unsettled(&l, 1, STEP_RECORD, true, now + pauses[i] - 1);
                assert_int_equal(ledger_look_due(&l), now + pauses[i]);
                now += pauses[i];
        }
        unsettled(&l, 0, STEP_RECORD, false, now);
        assert_int_equal(ledger_look_due(&l), -1);
        unsettled(&l, 1, STEP_RECORD, false, now);
        assert_int_equal(ledger_look_due(&l), now + LEDGER_LOOK_MIN);
}

static void test_news_make_looks_frequent_again(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        for (int64_t i = 0; i < 10; i++)
                unsettled(&l, 1, STEP_RECORD, false, i * LEDGER_LOOK_MAX);
        assert_int_equal(ledger_look_due(&l), 10 * LEDGER_LOOK_MAX);
        /* Another one starts or ends; nameless ones count as well. */
        unsettled(&l, 2, STEP_RECORD, false, 90001);
        assert_int_equal(ledger_look_due(&l), 90001 + LEDGER_LOOK_MIN);
        unsettled(&l, 2, STEP_RECORD, false, 91000);
        assert_int_equal(ledger_look_due(&l), 91000 + 2 * LEDGER_LOOK_MIN);
        unsettled(&l, 3, STEP_RECORD, false, 91001);
        assert_int_equal(ledger_look_due(&l), 91001 + LEDGER_LOOK_MIN);
        unsettled(&l, 1, STEP_RECORD, false, 91002);
        assert_int_equal(ledger_look_due(&l), 91002 + LEDGER_LOOK_MIN);
        /* A step that changes the directory. */
        unsettled(&l, 1, STEP_RECORD, false, 92000);
        unsettled(&l, 1, STEP_CREATE, true, 92001);
        assert_int_equal(ledger_look_due(&l), 92001 + LEDGER_LOOK_MIN);
}

static void test_any_step_is_news(void **state) {
        (void)state;
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_ledger_ Ledger l = LEDGER_INIT;
                PlanRow row = { .namespace = ns, .name = a, .absent_for = -1, .unsettled = true };
                PlanStep steps[2] = { { .verb = i == 0 ? STEP_REMOVE : STEP_RECORD, .file = file_a },
                                      { .verb = i == 1 ? STEP_CREATE : STEP_RECORD, .file = file_a } };
                Plan plan = { .rows = &row, .n_rows = 1 };

                assert_int_equal(ledger_learn(&l, &plan, 1000), 0);
                plan.steps = steps;
                plan.n_steps = ARRAY_SIZE(steps);
                assert_int_equal(ledger_learn(&l, &plan, 1000 + LEDGER_LOOK_MIN), 0);
                assert_int_equal(ledger_look_due(&l), 1000 + (i < 2 ? 2 : 3) * LEDGER_LOOK_MIN);
        }
}

static void test_the_first_look_of_several_counts(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        PlanRow rows[] = { { .namespace = ns, .name = a, .absent_for = 58000 },
                           { .namespace = ns, .name = b, .absent_for = -1, .gone = true },
                           { .namespace = ns, .name = c, .absent_for = -1, .unsettled = true } };
        Plan plan = { .rows = rows, .n_rows = 1 };

        (void)state;
        assert_int_equal(ledger_learn(&l, &plan, 100000), 0);
        assert_int_equal(ledger_look_due(&l), 102000);
        plan.n_rows = 2;
        rows[0].absent_for = 50000;
        assert_int_equal(ledger_learn(&l, &plan, 100000), 0);
        assert_int_equal(ledger_look_due(&l), 100000 + PLAN_GONE);
        plan.n_rows = 3;
        assert_int_equal(ledger_learn(&l, &plan, 100000), 0);
        assert_int_equal(ledger_look_due(&l), 100000 + LEDGER_LOOK_MIN);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_absence_counts_from_the_first_sight),
                cmocka_unit_test(test_nothing_spins_whatever_the_row_shows),
                cmocka_unit_test(test_each_try_waits_twice_as_long),
                cmocka_unit_test(test_other_bytes_are_tried_anew),
                cmocka_unit_test(test_restart_on_request_is_no_try),
                cmocka_unit_test(test_what_is_gone_counts_from_the_first_sight),
                cmocka_unit_test(test_what_is_missing_counts_from_the_first_sight),
                cmocka_unit_test(test_what_finds_no_place_counts_from_when_ours_went),
                cmocka_unit_test(test_what_is_not_missing_now_is_not_counted),
                cmocka_unit_test(test_what_has_no_row_is_not_waited_for),
                cmocka_unit_test(test_who_waits_is_not_forgotten),
                cmocka_unit_test(test_looks_are_ever_less_frequent),
                cmocka_unit_test(test_news_make_looks_frequent_again),
                cmocka_unit_test(test_any_step_is_news),
                cmocka_unit_test(test_the_first_look_of_several_counts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
