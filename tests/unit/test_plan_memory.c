/* SPDX-License-Identifier: Apache-2.0 */
/* What a running agent remembers changes a plan: removals wait, for the live Node to settle too, and
 * fights are damped. */
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

/* ---- what the live Node says must have settled ---- */

enum { NEVER = -1, NO_MEMORY = -2 };

typedef struct Settling {
        const char *name, *facts;
        int64_t unwanted_for, node_for; /* milliseconds */
        const char *steps, *row;        /* as in Rule */
        int64_t wait;
        int64_t delay, settle; /* 5 s and 60 s where they are 0; NEVER: 0 */
} Settling;

#define LEAVES STANDS "want a/x absent by-live-node\n"
#define WAITS "Held NodeSettling delayed -"
#define GOES "NotHere NodeSelectorMismatch - -"

static const Settling settlings[] = {
        { "the first plan waits for all of it", LEAVES, NO_MEMORY, 600000, "", WAITS, .wait = 60000 },
        { "known, but not due before", LEAVES, NEVER, 600000, "", WAITS, .wait = 60000 },
        { "due just now", LEAVES, 0, 600000, "", WAITS, .wait = 60000 },
        { "removal_delay is not enough", LEAVES, 5000, 600000, "", WAITS, .wait = 55000 },
        { "a moment too early", LEAVES, 59999, 600000, "", WAITS, .wait = 1 },
        { "long enough", LEAVES, 60000, 600000, "remove", GOES, .wait = 0 },
        { "longer than that", LEAVES, INT64_MAX, INT64_MAX, "remove", GOES, .wait = 0 },
        { "the Node was followed a moment too short", LEAVES, 60000, 59999, "", WAITS, .wait = 1 },
        { "the Node was followed long enough", LEAVES, 60000, 60000, "remove", GOES, .wait = 0 },
        { "the first contact with the Node is now", LEAVES, 600000, 0, "", WAITS, .wait = 60000 },
        { "there was no contact with the Node", LEAVES, 600000, -1, "", WAITS, .wait = 60000 },
        { "the longer one counts: the cause", LEAVES, 10000, 20000, "", WAITS, .wait = 50000 },
        { "the longer one counts: the Node", LEAVES, 20000, 10000, "", WAITS, .wait = 50000 },
        { "the longer one counts: the delay", LEAVES, 2000, 600000, "", WAITS, .wait = 3000, .settle = 1000 },
        { "removal_delay is the longer one, and over", LEAVES, 5000, 1000, "remove", GOES, .settle = 1000 },
        { "without removal_delay", LEAVES, 10000, 600000, "", WAITS, .wait = 50000, .delay = NEVER },
        { "the sources are to be read", LEAVES, 600000, 600000, "", WAITS, .wait = INT64_MAX, .delay = INT64_MAX },
        { "a single pass is told to settle nothing", LEAVES, NO_MEMORY, 0, "remove", GOES, .delay = NEVER,
          .settle = NEVER },
        { "settle = 0", LEAVES, 5000, 0, "remove", GOES, .settle = NEVER },
        { "a verdict of the local view", STANDS "want a/x absent\n", 5000, 0, "remove", GOES, .wait = 0 },
        { "a verdict of the local view waits for the delay", STANDS "want a/x absent\n", 4000, 0, "",
          "Held RemovalDelay delayed -", .wait = 1000 },
        { "not defined", STANDS, 5000, 0, "remove", "NotHere NotDefined - -", .wait = 0 },
        { "edited meanwhile: restored", "written a/x 1\nstands a/x 1!\nwant a/x absent by-live-node\n", 10000, 600000,
          "restore", WAITS, .wait = 50000 },
        { "deleted meanwhile: restored", GONE "want a/x absent by-live-node\n", 10000, 600000, "restore", WAITS,
          .wait = 50000 },
        { "it is known, but its bytes are not: nothing waits", "written a/x -\nwant a/x absent by-live-node\n", NEVER,
          0, "forget", GOES, .wait = 0 },
        { "nothing stands: nothing waits", "want a/x absent by-live-node\n", NEVER, 0, "", GOES, .wait = 0 },
        { "it fits again", STANDS "want a/x present 1\n", 20000, 0, "", "Written Fits - -", .wait = 0 },
        { "what fits is created at once", "want a/x present 1\n", NEVER, 0, "create", "Written Fits - -", .wait = 0 },
        { "what fits is changed at once", STANDS "want a/x present 2\n", NEVER, 0, "replace", "Written Fits - -",
          .wait = 0 },
        { "what may stay stays", STANDS "want a/x keep state=NotHere\n", 600000, 600000, "",
          "Written WaitingForConfigMap - -", .wait = 0 },
        { "a kubelet that has not synced comes first", LEAVES "set hold=until-synced kubelet-unsynced\n", 600000,
          600000, "", "Held ApiNotSynced - -", .wait = 0 },
};

static void test_settling(void **state) {
        const Settling *x = *state;
        PlanMemory memory = { .file = FILE_X, .unwanted_for = x->unwanted_for };
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;

        world_init(&w);
        world_read(&w, world_text(&w, "%s", x->facts));
        w.facts.removal_delay = x->delay == NEVER ? 0 : x->delay ? x->delay : 5000;
        w.facts.settle = x->settle == NEVER ? 0 : x->settle ? x->settle : 60000;
        w.facts.node_for = x->node_for;
        w.facts.memory = &memory;
        w.facts.n_memory = x->unwanted_for != NO_MEMORY;
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        assert_string_equal(steps_of(&plan), x->steps);
        assert_string_equal(row_of(&plan), x->row);
        assert_int_equal(plan.rows[0].wait, x->wait);
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(rules) + ARRAY_SIZE(settlings)];
        size_t n = ARRAY_SIZE(rules);

        for (size_t i = 0; i < n; i++)
                tests[i] = (struct CMUnitTest){ .name = rules[i].name,
                                                .test_func = test_rule,
                                                .initial_state = (void *)(uintptr_t)&rules[i] };
        for (size_t i = 0; i < ARRAY_SIZE(settlings); i++)
                tests[n + i] = (struct CMUnitTest){ .name = settlings[i].name,
                                                    .test_func = test_settling,
                                                    .initial_state = (void *)(uintptr_t)&settlings[i] };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
