/* SPDX-License-Identifier: Apache-2.0 */
/* Back-off: its bounds, and what a whole fleet does to a server that comes back. */
#include "core/backoff.h"
#include "test.h"

#include <stdio.h>

enum { AGENTS = 5000 };

static void test_bounds(void **state) {
        static const int64_t spans[] = { 5000, 10000, 20000, 40000, 60000, 60000, 60000 };
        Backoff low = { 0 }, high = { 0 }, middle = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
                assert_int_equal(backoff_next(&low, 0), spans[i] / 5);
                assert_int_equal(backoff_next(&high, UINT32_MAX), spans[i]);
                assert_in_range(backoff_next(&middle, 1U << 31), spans[i] * 3 / 5, spans[i] * 3 / 5 + 1);
        }
}

static void test_never_overflows(void **state) {
        Backoff b = { .failures = UINT32_MAX - 1 };

        (void)state;
        for (int i = 0; i < 5; i++)
                assert_int_equal(backoff_next(&b, UINT32_MAX), BACKOFF_MAX);
}

static void test_reset(void **state) {
        Backoff b = { 0 };

        (void)state;
        for (int i = 0; i < 10; i++)
                (void)backoff_next(&b, 0);
        backoff_reset(&b);
        assert_int_equal(backoff_next(&b, UINT32_MAX), BACKOFF_FIRST);
}

static void test_jitter(void **state) {
        (void)state;
        assert_int_equal(backoff_jitter(60000, 0), 48000);
        assert_int_equal(backoff_jitter(60000, UINT32_MAX), 72000);
        assert_in_range(backoff_jitter(60000, 1U << 31), 60000, 60001);
        assert_int_equal(backoff_jitter(0, UINT32_MAX), 0);
}

static uint32_t next_random(uint64_t *seed) {
        *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
        return (uint32_t)(*seed >> 32);
}

static void test_even(void **state) {
        unsigned tenths[10] = { 0 };
        uint64_t seed = 7;

        (void)state;
        for (int i = 0; i < 100000; i++) {
                Backoff b = { .failures = 3 };

                tenths[(backoff_next(&b, next_random(&seed)) - 8000) * 10 / 32001]++;
        }
        for (size_t i = 0; i < ARRAY_SIZE(tenths); i++)
                assert_in_range(tenths[i], 9500, 10500);
}

typedef struct Peaks {
        unsigned down, up; /* requests in the busiest second, before and after the server's return */
        int64_t last;      /* milliseconds after the return until the last agent is back */
} Peaks;

/* All agents lose their server at 0 and make one request at each try; one that meets the server is content. */
static Peaks lose_server(int64_t outage, uint64_t seed) {
        enum { SECONDS = 1000 };
        static unsigned down[SECONDS], up[SECONDS];
        Peaks p = { 0 };

        memset(down, 0, sizeof(down));
        memset(up, 0, sizeof(up));
        for (int i = 0; i < AGENTS; i++) {
                Backoff b = { 0 };
                int64_t t = backoff_next(&b, next_random(&seed));

                for (; t < outage; t += backoff_next(&b, next_random(&seed)))
                        down[t / 1000]++;
                up[(t - outage) / 1000]++;
                p.last = t - outage > p.last ? t - outage : p.last;
        }
        for (size_t i = 0; i < SECONDS; i++) {
                p.down = down[i] > p.down ? down[i] : p.down;
                p.up = up[i] > p.up ? up[i] : p.up;
        }
        return p;
}

static void test_fleet(void **state) {
        static const struct {
                int64_t outage;
                unsigned down, up; /* bounds: requests per second */
                int64_t last;
        } rows[] = {
                { 0, 0, 1400, 5000 },
                { 10 * 1000, 1600, 800, 40000 },
                { 60 * 1000, 1600, 350, 60000 },
                { 600 * 1000, 1600, 250, 60000 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Peaks p = lose_server(rows[i].outage, i + 1);

                print_message("%d agents, %3d s without a server: %4u requests/s at most until it returns, %4u after, "
                              "the last %.1f s later\n",
                              AGENTS, (int)(rows[i].outage / 1000), p.down, p.up, (double)p.last / 1000);
                assert_true(p.down <= rows[i].down);
                assert_true(p.up <= rows[i].up);
                assert_true(p.last <= rows[i].last);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bounds), cmocka_unit_test(test_never_overflows),
                cmocka_unit_test(test_reset),  cmocka_unit_test(test_jitter),
                cmocka_unit_test(test_even),   cmocka_unit_test(test_fleet),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
