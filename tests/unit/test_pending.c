/* SPDX-License-Identifier: Apache-2.0 */
/* Quiet time: when a directory that somebody writes to may be read. */
#include "app/pending.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

typedef enum Act { END, CHANGED, WRITING, CLOSED, NOW, TAKE } Act;

static const struct {
        const char *name;
        struct {
                Act act;
                int64_t at;
                const char *file;
        } acts[8];
        int64_t time;
} rows[] = {
        { "nothing is due at first", { { END, 0, NULL } }, -1 },
        { "a change waits for quiet", { { CHANGED, 1000, NULL } }, 1200 },
        { "each change begins the quiet anew", { { CHANGED, 1000, NULL }, { CHANGED, 1150, NULL } }, 1350 },
        { "quiet is waited for beyond all patience", { { CHANGED, 1000, NULL }, { CHANGED, 9000, NULL } }, 9200 },
        { "a writer is waited for", { { WRITING, 1000, "a" } }, 6000 },
        { "until it closes", { { WRITING, 1000, "a" }, { CLOSED, 2000, "a" } }, 2200 },
        { "until all close", { { WRITING, 1000, "a" }, { WRITING, 1001, "b" }, { CLOSED, 2000, "a" } }, 6000 },
        { "writing twice is one writer",
          { { WRITING, 1000, "a" }, { WRITING, 1001, "a" }, { CLOSED, 2000, "a" } },
          2200 },
        { "patience counts from the first event", { { CHANGED, 1000, NULL }, { WRITING, 3000, "a" } }, 6000 },
        { "out of patience, quiet is enough", { { WRITING, 1000, "a" }, { WRITING, 5900, "a" } }, 6100 },
        { "who closes what nobody wrote is a change", { { CLOSED, 1000, "a" } }, 1200 },
        { "at once is at once", { { CHANGED, 1000, NULL }, { NOW, 0, NULL } }, 0 },
        { "at once still waits for a writer", { { WRITING, 1000, "a" }, { NOW, 0, NULL } }, 6000 },
        { "taken, nothing is due", { { CHANGED, 1000, NULL }, { TAKE, 0, NULL } }, -1 },
        { "taken at once, nothing is due", { { NOW, 0, NULL }, { TAKE, 0, NULL } }, -1 },
        { "taken, the time starts anew",
          { { CHANGED, 1000, NULL }, { TAKE, 0, NULL }, { CHANGED, 5000, NULL } },
          5200 },
        { "who was waited for in vain is given up",
          { { WRITING, 1000, "a" }, { TAKE, 0, NULL }, { CHANGED, 7000, NULL } },
          7200 },
};

static void test_times(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Pending p = { 0 };

                for (size_t k = 0; k < ARRAY_SIZE(rows[i].acts) && rows[i].acts[k].act != END; k++) {
                        int64_t at = rows[i].acts[k].at;
                        const char *file = rows[i].acts[k].file;

                        switch (rows[i].acts[k].act) {
                        case CHANGED:
                                pending_changed(&p, at);
                                break;
                        case WRITING:
                                pending_writing(&p, file, at);
                                break;
                        case CLOSED:
                                pending_closed(&p, file, at);
                                break;
                        case NOW:
                                pending_now(&p);
                                break;
                        default:
                                pending_take(&p);
                        }
                }
                if (pending_time(&p) != rows[i].time)
                        fail_msg("%s: %lld, expected %lld", rows[i].name, (long long)pending_time(&p),
                                 (long long)rows[i].time);
                pending_done(&p);
        }
}

static void test_more_writers_than_are_remembered(void **state) {
        Pending p = { 0 };
        char name[16];

        (void)state;
        for (int i = 0; i < PENDING_WRITERS_MAX + 10; i++) {
                (void)snprintf(name, sizeof(name), "%d", i);
                pending_writing(&p, name, 1000);
        }
        assert_int_equal(p.n_writers, PENDING_WRITERS_MAX);
        for (int i = PENDING_WRITERS_MAX + 9; i >= 0; i--) {
                (void)snprintf(name, sizeof(name), "%d", i);
                pending_closed(&p, name, 1000);
        }
        assert_int_equal(pending_time(&p), 1200);
        pending_done(&p);
}

static int write_one(void *user) {
        Pending p = { 0 };
        int r;

        (void)user;
        pending_writing(&p, "a", 1000);
        /* Without memory the name is not waited for, but the change is known. */
        assert_int_equal(pending_time(&p), p.n_writers ? 6000 : 1200);
        r = p.n_writers ? 0 : -ENOMEM;
        pending_done(&p);
        return r;
}

static void test_out_of_memory(void **state) {
        (void)state;
        (void)test_oom(write_one, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_times),
                cmocka_unit_test(test_more_writers_than_are_remembered),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
