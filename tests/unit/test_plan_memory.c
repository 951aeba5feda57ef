/* SPDX-License-Identifier: Apache-2.0 */
/* What a running agent remembers changes a plan: removals wait, fights are damped. */
#include "plan_world.h"

#include <stdio.h>

#define FILE_X "daemonlet_a_x.json"
#define _cleanup_world_ _cleanup_(world_done)

typedef struct Rule {
        const char *name, *facts;
        int64_t delay;
        const char *file; /* of the memory; NULL: there is none */
        int64_t unwanted_for;
        bool damped;
        const char *steps, *row; /* "verb verb"; "STATE REASON delayed damped" of a/x */
} Rule;

#define STANDS "written a/x 1\nstands a/x 1\n"
#define GONE "written a/x 1\n"
#define EMPTY "written a/x 1\nstands a/x text=\n"

static const Rule rules[] = {
        { "sync removes at once", STANDS, 0, NULL, -1, false, "remove", "NotHere NotDefined - -" },
        { "the first plan waits", STANDS, 5000, NULL, -1, false, "", "Held RemovalDelay delayed -" },
        { "known, but not due before: waits", STANDS, 5000, FILE_X, -1, false, "", "Held RemovalDelay delayed -" },
        { "a moment too early", STANDS, 5000, FILE_X, 4999, false, "", "Held RemovalDelay delayed -" },
        { "waited long enough", STANDS, 5000, FILE_X, 5000, false, "remove", "NotHere NotDefined - -" },
        { "another file's wait does not count", STANDS, 5000, "daemonlet_a_w.json", 9000, false, "",
          "Held RemovalDelay delayed -" },
        { "deleted meanwhile: stands again", GONE, 5000, FILE_X, 1000, false, "restore",
          "Held RemovalDelay delayed -" },
        { "damaged meanwhile: stands again", EMPTY, 5000, FILE_X, 1000, false, "restore",
          "Held RemovalDelay delayed -" },
        { "damaged, and waited long enough", EMPTY, 5000, FILE_X, 5000, false, "quarantine forget",
          "NotHere NotDefined - -" },
        { "not to run here waits as well", STANDS "want a/x absent\n", 5000, FILE_X, 10, false, "",
          "Held RemovalDelay delayed -" },
        { "wanted again: nothing waits", STANDS "want a/x present 1\n", 5000, FILE_X, 9000, false, "",
          "Written Fits - -" },
        { "damped: the repair is left out", EMPTY "want a/x present 1\n", 5000, FILE_X, -1, true, "",
          "Held Fight - damped" },
        { "damped and deleted", GONE "want a/x present 1\n", 5000, FILE_X, -1, true, "", "Held Fight - damped" },
        { "damped without damage is nothing", STANDS "want a/x present 1\n", 5000, FILE_X, -1, true, "",
          "Written Fits - -" },
        { "no longer damped: repaired", EMPTY "want a/x present 1\n", 5000, FILE_X, -1, false, "restore",
          "Written Fits - -" },
        { "a change is no repair", STANDS "want a/x present 2\n", 5000, FILE_X, -1, true, "replace",
          "Written Fits - -" },
        { "a removal is no repair", STANDS, 5000, FILE_X, 5000, true, "remove", "NotHere NotDefined - -" },
};

static const char *steps_of(const Plan *plan) {
        static char text[256];
        size_t n = 0;

        text[0] = 0;
        for (size_t i = 0; i < plan->n_steps; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "",
                                      step_verb_name(plan->steps[i].verb));
        return text;
}

static const char *row_of(const Plan *plan) {
        static char text[256];

        assert_int_equal(plan->n_rows, 1);
        (void)snprintf(text, sizeof(text), "%s %s %s %s", state_name(plan->rows[0].state),
                       reason_name(plan->rows[0].reason), plan->rows[0].delayed ? "delayed" : "-",
                       plan->rows[0].damped ? "damped" : "-");
        return text;
}

static void test_rule(void **state) {
        const Rule *rule = *state;
        PlanMemory memory[] = { { .file = "daemonlet_a_a.json", .unwanted_for = -1 },
                                { .file = rule->file, .unwanted_for = rule->unwanted_for, .damped = rule->damped },
                                { .file = "daemonlet_b_z.json", .unwanted_for = -1 } };
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;

        world_init(&w);
        world_read(&w, world_text(&w, "%s", rule->facts));
        w.facts.removal_delay = rule->delay;
        w.facts.memory = memory;
        w.facts.n_memory = rule->file ? ARRAY_SIZE(memory) : 0;
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        assert_string_equal(steps_of(&plan), rule->steps);
        assert_string_equal(row_of(&plan), rule->row);
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(rules)];

        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                tests[i] = (struct CMUnitTest){ .name = rules[i].name,
                                                .test_func = test_rule,
                                                .initial_state = (void *)(uintptr_t)&rules[i] };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
