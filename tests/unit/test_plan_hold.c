/* SPDX-License-Identifier: Apache-2.0 */
/* The hold: each situation with each thing that the witness can say, under each policy. A kubelet that has not seen its
 * API server neither stops nor updates a pod, and has forgotten those of the process before. */
#include "plan_world.h"

#include <stdio.h>

#define _cleanup_world_ _cleanup_(world_done)

static const struct {
        char letter;
        const char *word;
} witnesses[] = { { 'r', "running" }, { 't', "terminating" }, { 'g', "gone" }, { 'u', "unknown" } };

typedef struct Policy {
        const char *name, *set;
        bool frozen; /* nothing is changed of what may be alive */
        const char *reason;
} Policy;

static const Policy policies[] = {
        { "never", "set hold=never", false, NULL },
        { "never, and the kubelet has not synced", "set hold=never kubelet-unsynced", false, NULL },
        { "until synced, and it has", "set hold=until-synced", false, NULL },
        { "until synced, and it has not", "set hold=until-synced kubelet-unsynced", true, "ApiNotSynced" },
        { "until synced, and none runs", "set hold=until-synced kubelet-unsynced kubelet-up=-1", true, "ApiNotSynced" },
        { "always", "set hold=always", true, "HoldAlways" },
        { "until synced, but now", "set hold=until-synced kubelet-unsynced now=a/x", false, NULL },
        { "until synced, but all now", "set hold=until-synced kubelet-unsynced now=*", false, NULL },
        { "always, but now", "set hold=always now=a/x", false, NULL },
        { "until synced, and another now", "set hold=until-synced kubelet-unsynced now=a/y", true, "ApiNotSynced" },
};

/* @ is what the witness says: of the last pod, or of the one before where it is a tombstone's. */
typedef struct Situation {
        const char *name, *facts;
        const char *held;          /* for these answers of the witness, where the policy has it so */
        const char *frozen, *free; /* steps if it is held, and if it is not */
        const char *waits;         /* there is no step in either case for these answers, */
        const char *down;          /* or where no kubelet runs: these steps instead of the free ones */
        const char *now;           /* and for who is meant by name */
} Situation;

#define STANDS "stands a/x 1\nwritten a/x 1 witness=@\n"
#define EDITED "stands a/x 1!\nwritten a/x 1 witness=@\n"
#define DELETED "written a/x 1 witness=@\n"
#define EMPTIED "stands a/x text=\nwritten a/x 1 witness=@\n"
#define EARLIER "tombstone a/x pod=1 witness=@\n"

static const Situation situations[] = {
        { "a change", STANDS "want a/x present 2", "rtu", "", .free = "replace=2" },
        { "a removal: not defined", STANDS, "rtu", "", .free = "remove" },
        { "a removal: the verdict", STANDS "want a/x absent", "rtu", "", .free = "remove" },
        { "a removal: the verdict of the live Node", STANDS "want a/x absent by-live-node", "rtu", "",
          .free = "remove" },
        { "a restart is asked", STANDS "want a/x present 1\nmemory a/x restart", "rtu", "", .free = "withdraw",
          .down = "" },
        { "rendered anew", STANDS "want a/x present 1b\nset rerender", "rtu", "", .free = "replace=1b" },
        { "rendered differently, and not asked for", STANDS "want a/x present 1b", "", "", .free = "" },
        { "a change of OnDelete", STANDS "want a/x present 2 on-delete", "rtu", "", .free = "", .now = "replace=2" },
        { "a change came and went", STANDS "want a/x present 1\nmemory a/x held=900", "", "", .free = "" },
        { "it is kept", STANDS "want a/x keep", "", "", .free = "" },
        { "another source", STANDS "want a/x present 1 origin=api", "", "", .free = "record=1" },
        { "the mode", "stands a/x 1 mode-wrong\nwritten a/x 1 witness=@\nwant a/x present 1", "", "", .free = "touch" },
        { "edited", EDITED "want a/x present 1", "", "", .free = "restore=1+save" },
        { "edited, and a change", EDITED "want a/x present 2", "rtu", "restore=1+save", .free = "replace=2+save" },
        { "edited, and not defined", EDITED, "rtu", "restore=1+save", .free = "remove" },
        { "edited, and kept", EDITED "want a/x keep", "", "", .free = "restore=1+save" },
        { "deleted", DELETED "want a/x present 1", "", "", .free = "restore=1" },
        { "deleted, and a change", DELETED "want a/x present 2", "rtu", "restore=1", .free = "create=2" },
        { "deleted, and a change of OnDelete", DELETED "want a/x present 2 on-delete", "rtu", "restore=1",
          .free = "create=2" },
        { "deleted, and not defined", DELETED, "rtu", "restore=1", .free = "forget" },
        { "truncated", EMPTIED "want a/x present 1", "", "", .free = "restore=1+save" },
        { "truncated, and a change", EMPTIED "want a/x present 2", "rtu", "restore=1+save", .free = "replace=2+save" },
        { "truncated, and not defined", EMPTIED, "rtu", "restore=1+save", .free = "quarantine forget" },
        { "garbage of which nothing is known",
          "stands a/x 1\nwritten a/x 1 witness=@\nwant a/x present 1\nstands b/y text={", "", "quarantine",
          .free = "quarantine" },
        { "the first creation", "want a/x present 1", "", "", .free = "create=1" },
        { "a creation, and an earlier pod", EARLIER "want a/x present 2", "r", "", .free = "create=2" },
        { "a creation of OnDelete, and an earlier pod", EARLIER "want a/x present 2 on-delete", "r", "",
          .free = "create=2" },
        { "a creation, and an earlier pod of the same uid", EARLIER "want a/x present 1", "r", "", .free = "create=1",
          .waits = "rt" },
        { "a creation, and an earlier pod of another name",
          "tombstone a/y pod=1 witness=@\ntombstone b/x pod=1 witness=@\nwant a/x present 2", "", "",
          .free = "create=2" },
        { "a creation, and the second of two earlier pods",
          "tombstone a/x pod=0 witness=gone\n" EARLIER "want a/x present 2", "r", "", .free = "create=2" },
        { "nothing is to stand, and an earlier pod", EARLIER "want a/x absent", "", "", .free = "" },
        { "nothing is to stand where nothing is known, and an earlier pod", EARLIER "written a/x -\nwant a/x absent",
          "", "", .free = "forget" },
        { "garbage in its place, and an earlier pod", "stands a/x text={\n" EARLIER "want a/x absent", "", "",
          .free = "quarantine" },
        { "a change of a gone one, and an earlier pod",
          EARLIER "stands a/x 2\nwritten a/x 2 witness=gone\nwant a/x present 3", "r", "", .free = "replace=3" },
        { "a restart of a gone one, and an earlier pod",
          EARLIER "stands a/x 2\nwritten a/x 2 witness=gone\nwant a/x present 2\nmemory a/x restart", "", "",
          .free = "withdraw", .down = "" },
        { "a removal of a gone one, and an earlier pod",
          EARLIER "stands a/x 2\nwritten a/x 2 witness=gone\nwant a/x absent", "", "", .free = "remove" },
        { "a deleted one, and an earlier pod", EARLIER "written a/x 2 witness=gone\nwant a/x present 2", "", "",
          .free = "restore=2" },
        { "withdrawn", EARLIER DELETED "want a/x present 1", "", "", .free = "restore=1", .waits = "rtu" },
        { "the bytes are not known", "stands a/x 1\nwritten a/x - witness=@\nwant a/x present 2", "rtgu", "record=1",
          .free = "replace=2" },
        { "state is lost", "stands a/x 1\nwant a/x present 2", "rtgu", "record=1", .free = "replace=2" },
        { "an interrupted write", "stands a/x 2\nwritten a/x 1 next=2 witness=@\nwant a/x present 3", "rtgu",
          "record=2", .free = "replace=3" },
        { "an interrupted write, and the wish went back",
          "stands a/x 2\nwritten a/x 1 next=2 witness=@\nwant a/x present 1", "rtgu", "record=2", .free = "replace=1" },
        { "a port is taken: that is the more lasting cause",
          STANDS "want a/x present 2:80\nstands b/y 1:80\nwritten b/y 1:80\nwant b/y present 1:80", "", "",
          .free = "" },
};

static const char *steps_of(const World *w, const Plan *plan) {
        static char text[256];
        size_t n = 0;

        text[0] = 0;
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];

                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "", step_verb_name(s->verb));
                if (s->bytes)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "=%s", world_spec(w, s->bytes, s->len));
                if (s->save_copy)
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "+save");
        }
        return text;
}

static const char *want_steps(const Situation *s, const Policy *p, char witness, bool held) {
        bool named = strstr(p->set, "now=a/x") || strstr(p->set, "now=*");

        if (held)
                return s->frozen;
        if (s->waits && strchr(s->waits, witness))
                return "";
        if (s->down && strstr(p->set, "kubelet-up=-1"))
                return s->down;
        return s->now && named ? s->now : s->free;
}

static void read_facts(World *w, const char *facts, const char *witness) {
        _cleanup_buf_ Buf text = BUF_INIT;

        for (; *facts; facts++)
                if (*facts == '@')
                        buf_str(&text, witness);
                else
                        buf_char(&text, *facts);
        world_read(w, world_text(w, "%s", buf_text(&text)));
}

static void check_cell(const Situation *s, const Policy *p, size_t i) {
        _cleanup_plan_ Plan plan = { 0 };
        _cleanup_world_ World w;
        bool held = p->frozen && strchr(s->held, witnesses[i].letter);
        const PlanRow *row;
        const char *want;

        world_init(&w);
        read_facts(&w, s->facts, witnesses[i].word);
        world_read(&w, world_text(&w, "%s", p->set));
        assert_int_equal(plan_make(&w.facts, &plan), 0);
        row = plan_find_row(&plan, "a", "x");
        want = want_steps(s, p, witnesses[i].letter, held);
        if (!streq(steps_of(&w, &plan), want))
                fail_msg("%s; %s; %s: steps %s, not %s", s->name, witnesses[i].word, p->name, steps_of(&w, &plan),
                         want);
        if (!row)
                fail_msg("%s: no row", s->name);
        if ((row->state == STATE_HELD && row->reason != REASON_OnDelete) != held)
                fail_msg("%s; %s; %s: %s %s", s->name, witnesses[i].word, p->name, state_name(row->state),
                         reason_name(row->reason));
        if (held && !streq(reason_name(row->reason), p->reason))
                fail_msg("%s; %s: %s", s->name, p->name, reason_name(row->reason));
        assert_int_equal(row->held_since, held ? w.facts.now : 0);
        assert_false(row->delayed);
        assert_int_equal(row->wait, 0);
}

static void test_situation(void **state) {
        const Situation *s = *state;

        for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
                for (size_t j = 0; j < ARRAY_SIZE(witnesses); j++)
                        check_cell(s, &policies[i], j);
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(situations)];

        for (size_t i = 0; i < ARRAY_SIZE(situations); i++)
                tests[i] = (struct CMUnitTest){ .name = situations[i].name,
                                                .test_func = test_situation,
                                                .initial_state = (void *)(uintptr_t)&situations[i] };
        return cmocka_run_group_tests_name("plan hold", tests, NULL, NULL);
}
