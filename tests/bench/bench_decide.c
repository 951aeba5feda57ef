/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds per decision over the conformance cases, the best of several runs. */
#include "../unit/conformance.h"
#include "../unit/test.h"
#include "core/decide.h"

#include <stdio.h>
#include <time.h>

enum { RUNS = 20, ROUNDS = 50 };

static double now_ns(void) {
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* One run over all cases; the sum keeps the compiler from leaving the work out. */
static size_t run(const ConformanceFolder *folders, size_t n, const DecideOptions *options) {
        size_t sum = 0;

        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < folders[i].n_cases; k++) {
                        Verdict v;

                        decide(&folders[i].node, &folders[i].cases[k].pod, options, &v);
                        sum += v.should_run;
                }
        return sum;
}

int main(void) {
        static const DecideOptions options = { .upstream = true };
        const char *shared = test_shared("conformance/decide");
        size_t n, n_cases = 0, sum = 0;
        char **names = conformance_folders(shared ? shared : test_path("cases/decide/conformance"), &n);
        ConformanceFolder *folders = calloc(n, sizeof(*folders));
        double best = 0;

        if (!folders)
                return 1;
        for (size_t i = 0; i < n; i++) {
                conformance_read(names[i], &folders[i]);
                n_cases += folders[i].n_cases;
        }
        for (int r = 0; r < RUNS; r++) {
                double start = now_ns(), took;

                for (int k = 0; k < ROUNDS; k++)
                        sum += run(folders, n, &options);
                took = (now_ns() - start) / ROUNDS / (double)n_cases;
                if (r == 0 || took < best)
                        best = took;
        }
        (void)printf("decide  %.0f ns  (%zu cases)\n", best, n_cases);
        for (size_t i = 0; i < n; i++)
                conformance_done(&folders[i]);
        free(folders);
        test_names_free(names, n);
        return sum == 0;
}
