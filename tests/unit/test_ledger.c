/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent remembers from pass to pass: removals that wait, fights, and what it counts. The clock is
 * a number. */
#include "core/ledger.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

#define FILE_A "daemonlet_ns_a.json"
#define _cleanup_ledger_ _cleanup_(ledger_done)

enum { DELAY = 5000 }; /* of removals, milliseconds */

static char ns[] = "ns", a[] = "a", b[] = "b", c[] = "c", file_a[] = FILE_A, failure[] = "disk full", none[] = "";

/* A plan with at most one step for "a" and one row for `row`. */
typedef struct Made {
        PlanStep step;
        PlanRow row;
        Plan plan;
} Made;

static const Plan *plan_of(Made *m, StepVerb verb, bool save_copy) {
        *m = (Made){ .step = { .verb = verb, .file = file_a, .save_copy = save_copy, .namespace = ns, .name = a } };
        m->plan = (Plan){ .steps = &m->step, .n_steps = 1 };
        return &m->plan;
}

static const Plan *row_of(Made *m, char *name, bool delayed, bool damped) {
        *m = (Made){ .row = { .namespace = ns, .name = name, .delayed = delayed, .damped = damped, .absent_for = -1 } };
        m->plan = (Plan){ .rows = &m->row, .n_rows = 1 };
        return &m->plan;
}

static void repair(Ledger *l, int64_t now) {
        Made m;

        assert_int_equal(ledger_learn(l, plan_of(&m, STEP_RESTORE, false), now), 0);
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

/* A plan with a row that a delay holds up as the plan does it. */
static int learn(Ledger *l, char *name, bool delayed, bool damped, int64_t now) {
        char file[MANIFEST_NAME_MAX + 1];
        const PlanMemory *memory;
        Made m;

        assert_int_equal(manifest_file_name(ns, name, file), 0);
        memory = remembered(l, file, now);
        (void)row_of(&m, name, delayed, damped);
        if (delayed)
                m.row.wait = DELAY - (memory && memory->unwanted_for > 0 ? memory->unwanted_for : 0);
        return ledger_learn(l, &m.plan, now);
}

static void test_removal_waits_from_the_first_plan_that_wants_it(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        assert_null(remembered(&l, FILE_A, 0));
        assert_int_equal(ledger_removal_due(&l), -1);
        assert_int_equal(learn(&l, a, true, false, 1000), 0);
        assert_int_equal(learn(&l, a, true, false, 3000), 0);
        assert_int_equal(remembered(&l, FILE_A, 4000)->unwanted_for, 3000);
        assert_false(remembered(&l, FILE_A, 4000)->damped);
        assert_int_equal(ledger_removal_due(&l), 6000);
}

static void test_wanted_again_starts_anew(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        assert_int_equal(learn(&l, a, true, false, 1000), 0);
        assert_int_equal(learn(&l, a, false, false, 2000), 0);
        assert_int_equal(remembered(&l, FILE_A, 3000)->unwanted_for, -1);
        assert_int_equal(ledger_removal_due(&l), -1);
        assert_int_equal(learn(&l, a, true, false, 4000), 0);
        assert_int_equal(ledger_removal_due(&l), 9000);
}

static void test_what_a_plan_does_not_speak_of_is_not_due(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        assert_int_equal(learn(&l, a, true, false, 1000), 0);
        assert_int_equal(learn(&l, b, true, false, 2000), 0);
        assert_int_equal(ledger_removal_due(&l), 7000);
        assert_int_equal(remembered(&l, FILE_A, 3000)->unwanted_for, -1);
}

static void test_the_first_of_several_is_due_first(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        PlanRow rows[] = { { .namespace = ns, .name = c, .delayed = true, .absent_for = -1 },
                           { .namespace = ns, .name = a, .delayed = true, .absent_for = -1 },
                           { .namespace = ns, .name = b, .delayed = true, .absent_for = -1 } };
        Plan plan = { .rows = rows, .n_rows = 1 };

        (void)state;
        for (size_t i = 0; i < 3; i++) {
                plan.n_rows = i + 1;
                for (size_t j = 0; j <= i; j++)
                        rows[j].wait = DELAY - 1000 * (int64_t)(i - j);
                assert_int_equal(ledger_learn(&l, &plan, 1000 * (int64_t)(i + 1)), 0);
        }
        assert_int_equal(l.n, 3);
        assert_int_equal(ledger_removal_due(&l), 6000);
        assert_int_equal(remembered(&l, "daemonlet_ns_b.json", 4000)->unwanted_for, 1000);
}

/* Each removal waits for as long as the plan says, whichever was wanted first. */
static void test_what_waits_longer_is_due_later(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        PlanRow rows[] = { { .namespace = ns, .name = a, .delayed = true, .wait = 60000, .absent_for = -1 },
                           { .namespace = ns, .name = b, .delayed = true, .wait = 5000, .absent_for = -1 } };
        Plan plan = { .rows = rows, .n_rows = 1 };

        (void)state;
        assert_int_equal(ledger_learn(&l, &plan, 1000), 0);
        assert_int_equal(ledger_removal_due(&l), 61000);
        plan.n_rows = 2;
        rows[0].wait = 59000;
        assert_int_equal(ledger_learn(&l, &plan, 2000), 0);
        assert_int_equal(ledger_removal_due(&l), 7000);
        assert_int_equal(remembered(&l, FILE_A, 7000)->unwanted_for, 6000);
        /* The second one went. Another Node is followed: the first waits anew, and was due for as long as before. */
        plan.n_rows = 1;
        rows[0].wait = 60000;
        assert_int_equal(ledger_learn(&l, &plan, 7000), 0);
        assert_int_equal(ledger_removal_due(&l), 67000);
        assert_int_equal(remembered(&l, FILE_A, 8000)->unwanted_for, 7000);
        rows[0].wait = 0;
        assert_int_equal(ledger_learn(&l, &plan, 9000), 0);
        assert_int_equal(ledger_removal_due(&l), 9000);
        rows[0].delayed = false;
        assert_int_equal(ledger_learn(&l, &plan, 9500), 0);
        assert_int_equal(ledger_removal_due(&l), -1);
}

/* The sources are to be read first: nothing else makes it due, though the time goes on. */
static void test_what_waits_for_a_reading_is_not_due(void **state) {
        static const int64_t waits[] = { INT64_MAX, INT64_MAX - 999 };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
                _cleanup_ledger_ Ledger l = LEDGER_INIT;
                PlanRow rows[] = { { .namespace = ns, .name = a, .delayed = true, .wait = waits[i], .absent_for = -1 },
                                   { .namespace = ns, .name = b, .delayed = true, .wait = 1, .absent_for = -1 } };
                Plan plan = { .rows = rows, .n_rows = 1 };

                assert_int_equal(ledger_learn(&l, &plan, 1000), 0);
                assert_int_equal(ledger_removal_due(&l), -1);
                assert_int_equal(remembered(&l, FILE_A, 9000)->unwanted_for, 8000);
                plan.n_rows = 2;
                assert_int_equal(ledger_learn(&l, &plan, 9000), 0);
                assert_int_equal(ledger_removal_due(&l), 9001);
        }
}

static void test_what_counts_as_a_repair(void **state) {
        static const struct {
                StepVerb verb;
                bool save_copy, again, failed;
                uint64_t repairs, quarantined, restarts;
        } rows[] = {
                { .verb = STEP_RESTORE, .repairs = 1 },
                { .verb = STEP_RESTORE, .save_copy = true, .repairs = 1 },
                { .verb = STEP_RESTORE, .again = true },
                { .verb = STEP_RESTORE, .failed = true },
                { .verb = STEP_REPLACE, .save_copy = true, .repairs = 1 },
                { .verb = STEP_REPLACE },
                { .verb = STEP_TOUCH, .repairs = 1 },
                { .verb = STEP_TOUCH, .failed = true },
                { .verb = STEP_QUARANTINE, .quarantined = 1 },
                { .verb = STEP_WITHDRAW, .restarts = 1 },
                { .verb = STEP_WITHDRAW, .failed = true },
                { .verb = STEP_CREATE },
                { .verb = STEP_REMOVE },
                { .verb = STEP_FORGET },
                { .verb = STEP_SWEEP },
                { .verb = STEP_RECORD },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_ledger_ Ledger l = LEDGER_INIT;
                Made m;

                (void)plan_of(&m, rows[i].verb, rows[i].save_copy);
                m.step.again = rows[i].again;
                m.step.failure = rows[i].failed ? failure : NULL;
                assert_int_equal(ledger_learn(&l, &m.plan, 1000), 0);
                assert_int_equal(l.repairs, rows[i].repairs);
                assert_int_equal(l.quarantined, rows[i].quarantined);
                assert_int_equal(l.restarts, rows[i].restarts);
                assert_int_equal(l.n, rows[i].repairs + rows[i].quarantined);
        }
}

static void fight(Ledger *l, int64_t start) {
        for (int i = 0; i < LEDGER_FIGHT_REPAIRS - 1; i++)
                repair(l, start + i);
        assert_false(remembered(l, FILE_A, start + 100)->damped);
        repair(l, start + 100);
}

static void test_a_hundred_repairs_in_a_minute_are_a_fight(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        fight(&l, 1000);
        assert_true(remembered(&l, FILE_A, 1101)->damped);
        assert_true(remembered(&l, FILE_A, 1100 + LEDGER_FIGHT_PAUSE - 1)->damped);
        assert_false(remembered(&l, FILE_A, 1100 + LEDGER_FIGHT_PAUSE)->damped);
        /* Nothing is due before a plan says that a repair waits; the wait is from the last repair. */
        assert_int_equal(ledger_look_due(&l), -1);
        assert_false(ledger_is_waiting(&l, FILE_A, 2000));
        assert_int_equal(learn(&l, a, false, true, 2000), 0);
        assert_int_equal(ledger_look_due(&l), 1100 + LEDGER_FIGHT_PAUSE);
        assert_true(ledger_is_waiting(&l, FILE_A, 2001));
        assert_false(ledger_is_waiting(&l, FILE_A, 1100 + LEDGER_FIGHT_PAUSE));
        assert_false(ledger_is_waiting(&l, "daemonlet_ns_b.json", 2001));
        /* Repaired, it is damped for the same time again. */
        repair(&l, 11100);
        assert_int_equal(ledger_look_due(&l), -1);
        assert_true(remembered(&l, FILE_A, 11101)->damped);
}

static void test_who_stopped_fighting_leaves_nothing_due(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        fight(&l, 1000);
        assert_int_equal(learn(&l, a, false, true, 2000), 0);
        /* It stands as it should without us. */
        assert_int_equal(learn(&l, a, false, false, 12000), 0);
        assert_int_equal(ledger_look_due(&l), -1);
}

static void test_a_hundred_repairs_in_two_minutes_are_none(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        for (int i = 0; i < 10 * LEDGER_FIGHT_REPAIRS; i++)
                repair(&l, 1000 + i * 1300);
        assert_false(remembered(&l, FILE_A, 1000 + 10 * LEDGER_FIGHT_REPAIRS * 1300)->damped);
}

/* The window in which repairs count starts anew with the first one after its end. */
static void test_repairs_count_from_the_start_of_their_window(void **state) {
        for (int late = 0; late < 2; late++) {
                _cleanup_ledger_ Ledger l = LEDGER_INIT;

                repair(&l, 1000);
                for (int64_t i = 0; i < LEDGER_FIGHT_REPAIRS - 1; i++)
                        repair(&l, 1000 + LEDGER_FIGHT_WINDOW - !late);
                assert_int_equal(remembered(&l, FILE_A, 2000 + LEDGER_FIGHT_WINDOW)->damped, !late);
                repair(&l, 1000 + LEDGER_FIGHT_WINDOW);
                assert_true(!late || remembered(&l, FILE_A, 2000 + LEDGER_FIGHT_WINDOW)->damped);
        }
        (void)state;
}

static void test_all_steps_of_a_plan_are_learnt(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        PlanStep steps[] = { { .verb = STEP_RESTORE, .file = file_a, .namespace = ns, .name = a },
                             { .verb = STEP_RESTORE, .file = file_a, .namespace = ns, .name = b },
                             { .verb = STEP_TOUCH, .file = file_a, .namespace = ns, .name = c } };
        const Plan plan = { .steps = steps, .n_steps = ARRAY_SIZE(steps) };

        (void)state;
        assert_int_equal(ledger_learn(&l, &plan, 1000), 0);
        assert_int_equal(l.repairs, 3);
        assert_int_equal(l.n, 3);
}

static void test_a_calm_window_ends_a_fight(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        fight(&l, 1000);
        /* No pass saw the calm: the next repair is the first one of a new life. */
        repair(&l, 1100 + LEDGER_FIGHT_WINDOW);
        assert_false(remembered(&l, FILE_A, 1101 + LEDGER_FIGHT_WINDOW)->damped);
}

static void test_less_than_a_calm_window_does_not_end_it(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        fight(&l, 1000);
        repair(&l, 1099 + LEDGER_FIGHT_WINDOW);
        assert_true(remembered(&l, FILE_A, 1100 + LEDGER_FIGHT_WINDOW)->damped);
}

static void test_calm_files_are_forgotten(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        repair(&l, 1000);
        assert_int_equal(learn(&l, b, false, false, 999 + LEDGER_FIGHT_WINDOW), 0);
        assert_int_equal(l.n, 1);
        assert_int_equal(learn(&l, b, false, false, 1000 + LEDGER_FIGHT_WINDOW), 0);
        assert_int_equal(l.n, 0);
        /* Who still waits is not. */
        assert_int_equal(learn(&l, a, true, false, 1000), 0);
        assert_int_equal(learn(&l, a, true, false, 1000 + 2 * LEDGER_FIGHT_WINDOW), 0);
        assert_int_equal(l.n, 1);
}

/* Names of copies may be new each time: what they are copies of is fought over. */
static void test_copies_count_with_their_manifest(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        char copy[32];

        (void)state;
        for (int i = 0; i < LEDGER_FIGHT_REPAIRS; i++) {
                Made m;

                (void)plan_of(&m, STEP_QUARANTINE, false);
                (void)snprintf(copy, sizeof(copy), "copy-%d.json", i);
                m.step.file = copy;
                assert_null(i ? NULL : remembered(&l, FILE_A, 1000));
                assert_int_equal(ledger_learn(&l, &m.plan, 1000), 0);
        }
        assert_int_equal(l.n, 1);
        assert_int_equal(l.quarantined, LEDGER_FIGHT_REPAIRS);
        assert_true(remembered(&l, FILE_A, 1001)->damped);
}

static void test_what_has_no_name_counts_for_itself(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        Made m;

        (void)state;
        (void)plan_of(&m, STEP_QUARANTINE, false);
        m.step.namespace = m.step.name = none;
        assert_int_equal(ledger_learn(&l, &m.plan, 1000), 0);
        assert_non_null(remembered(&l, FILE_A, 1001));
}

/* ---- counters of states ---- */

static void state_is(Ledger *l, State is, int64_t now) {
        Made m;

        (void)row_of(&m, a, false, false);
        m.row.state = is;
        assert_int_equal(ledger_learn(l, &m.plan, now), 0);
}

static void test_holds_and_conflicts_count_when_they_begin(void **state) {
        const int64_t late = LEDGER_FIGHT_WINDOW;
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        state_is(&l, STATE_RUNNING, 0);
        assert_int_equal(l.n, 0);
        for (int64_t i = 1; i < 4; i++)
                state_is(&l, STATE_HELD, i * late);
        assert_int_equal(l.holds, 1);
        assert_int_equal(l.conflicts, 0);
        for (int64_t i = 4; i < 7; i++)
                state_is(&l, STATE_CONFLICT, i * late);
        assert_int_equal(l.holds, 1);
        assert_int_equal(l.conflicts, 1);
        state_is(&l, STATE_RUNNING, 7 * late);
        assert_int_equal(l.n, 0);
        state_is(&l, STATE_HELD, 8 * late);
        state_is(&l, STATE_CONFLICT, 8 * late);
        state_is(&l, STATE_HELD, 8 * late);
        assert_int_equal(l.holds, 3);
        assert_int_equal(l.conflicts, 2);
}

/* A plan says since when; it is handed to the next one, until there is none that says so. */
static void test_handovers_and_takebacks_are_counted(void **state) {
        static const struct {
                StepVerb verb;
                bool back, failed;
                unsigned handovers, takebacks; /* from the first row on */
        } rows[] = {
                { STEP_HAND_OVER, false, false, 1, 0 }, { STEP_HAND_OVER, false, true, 1, 0 },
                { STEP_REMOVE, false, false, 1, 0 },    { STEP_CREATE, false, false, 1, 0 },
                { STEP_CREATE, true, false, 1, 1 },     { STEP_CREATE, true, true, 1, 1 },
                { STEP_HAND_OVER, false, false, 2, 1 }, { STEP_CREATE, true, false, 2, 2 },
        };
        _cleanup_ledger_ Ledger l = LEDGER_INIT;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Made m;

                (void)plan_of(&m, rows[i].verb, false);
                m.step.back = rows[i].back;
                m.step.failure = rows[i].failed ? failure : NULL;
                assert_int_equal(ledger_learn(&l, &m.plan, 1000), 0);
                assert_int_equal(l.handovers, rows[i].handovers);
                assert_int_equal(l.takebacks, rows[i].takebacks);
        }
        /* They are no repairs, and nothing is remembered of them. */
        assert_int_equal(l.repairs, 0);
        assert_null(remembered(&l, FILE_A, 1000));
}

static void test_since_when_it_is_held(void **state) {
        const int64_t late = LEDGER_FIGHT_WINDOW;
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        Made m;

        (void)state;
        (void)row_of(&m, a, false, false);
        m.row.state = STATE_HELD;
        m.row.held_since = 700;
        assert_int_equal(ledger_learn(&l, &m.plan, 1000), 0);
        assert_int_equal(remembered(&l, FILE_A, 2000)->held_since, 700);
        assert_int_equal(remembered(&l, FILE_A, 2000)->unwanted_for, -1);
        assert_int_equal(ledger_removal_due(&l), -1);
        assert_int_equal(ledger_look_due(&l), -1);
        assert_int_equal(ledger_learn(&l, &m.plan, 1000 + 2 * late), 0);
        assert_int_equal(remembered(&l, FILE_A, 1000 + 2 * late)->held_since, 700);
        /* Held for something else. */
        m.row.held_since = 0;
        assert_int_equal(ledger_learn(&l, &m.plan, 2000 + 2 * late), 0);
        assert_int_equal(remembered(&l, FILE_A, 2000 + 2 * late)->held_since, 0);
        m.row.held_since = 900;
        assert_int_equal(ledger_learn(&l, &m.plan, 3000 + 2 * late), 0);
        m.row.state = STATE_RUNNING;
        m.row.held_since = 0;
        assert_int_equal(ledger_learn(&l, &m.plan, 4000 + 2 * late), 0);
        assert_null(remembered(&l, FILE_A, 4000 + 2 * late));
}

/* A manifest that no plan speaks of is not held, though it is remembered for another reason. */
static void test_what_has_no_row_is_not_held(void **state) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        Made m;

        (void)state;
        repair(&l, 1000);
        (void)row_of(&m, a, false, false);
        m.row.state = STATE_HELD;
        m.row.held_since = 700;
        assert_int_equal(ledger_learn(&l, &m.plan, 1000), 0);
        assert_int_equal(remembered(&l, FILE_A, 1000)->held_since, 700);
        assert_int_equal(ledger_learn(&l, &(Plan){ 0 }, 2000), 0);
        assert_int_equal(remembered(&l, FILE_A, 2000)->held_since, 0);
}

/* What waits for a delay is no hold, whatever the reason. */
static void test_delays_are_no_holds(void **state) {
        static const Reason reasons[] = { REASON_RemovalDelay, REASON_NodeSettling };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
                _cleanup_ledger_ Ledger l = LEDGER_INIT;
                Made m;

                (void)row_of(&m, a, true, false);
                m.row.state = STATE_HELD;
                m.row.reason = reasons[i];
                m.row.wait = 1;
                assert_int_equal(ledger_learn(&l, &m.plan, 1000), 0);
                assert_int_equal(l.holds, 0);
                m.row.delayed = false;
                m.row.wait = 0;
                assert_int_equal(ledger_learn(&l, &m.plan, 2000), 0);
                assert_int_equal(l.holds, 1);
        }
}

static int live(void *user) {
        _cleanup_ledger_ Ledger l = LEDGER_INIT;
        const PlanMemory *memory;
        char name[16];
        Made m;
        size_t n;
        int r = 0;

        (void)user;
        for (int i = 0; r == 0 && i < 20; i++) {
                (void)snprintf(name, sizeof(name), "n%d", i);
                (void)row_of(&m, name, true, i % 2);
                m.step = (PlanStep){ .verb = STEP_RESTORE, .file = file_a, .namespace = ns, .name = a };
                m.plan.steps = &m.step;
                m.plan.n_steps = 1;
                r = ledger_learn(&l, &m.plan, 1000 + i);
                if (r == 0)
                        r = ledger_ask_restart(&l, FILE_A, 1000);
                if (r == 0)
                        r = ledger_memory(&l, 2000, &memory, &n);
        }
        return r;
}

static void test_out_of_memory(void **state) {
        (void)state;
        (void)test_oom(live, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_removal_waits_from_the_first_plan_that_wants_it),
                cmocka_unit_test(test_wanted_again_starts_anew),
                cmocka_unit_test(test_what_a_plan_does_not_speak_of_is_not_due),
                cmocka_unit_test(test_the_first_of_several_is_due_first),
                cmocka_unit_test(test_what_waits_longer_is_due_later),
                cmocka_unit_test(test_what_waits_for_a_reading_is_not_due),
                cmocka_unit_test(test_what_counts_as_a_repair),
                cmocka_unit_test(test_a_hundred_repairs_in_a_minute_are_a_fight),
                cmocka_unit_test(test_who_stopped_fighting_leaves_nothing_due),
                cmocka_unit_test(test_a_hundred_repairs_in_two_minutes_are_none),
                cmocka_unit_test(test_repairs_count_from_the_start_of_their_window),
                cmocka_unit_test(test_all_steps_of_a_plan_are_learnt),
                cmocka_unit_test(test_a_calm_window_ends_a_fight),
                cmocka_unit_test(test_less_than_a_calm_window_does_not_end_it),
                cmocka_unit_test(test_calm_files_are_forgotten),
                cmocka_unit_test(test_copies_count_with_their_manifest),
                cmocka_unit_test(test_what_has_no_name_counts_for_itself),
                cmocka_unit_test(test_holds_and_conflicts_count_when_they_begin),
                cmocka_unit_test(test_handovers_and_takebacks_are_counted),
                cmocka_unit_test(test_since_when_it_is_held),
                cmocka_unit_test(test_what_has_no_row_is_not_held),
                cmocka_unit_test(test_delays_are_no_holds),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
