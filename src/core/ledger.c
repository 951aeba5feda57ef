/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ledger.h"

#include <errno.h>

static size_t position(const Ledger *l, const char *file) {
        size_t low = 0, high = l->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(l->entries[middle].file, file) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static LedgerEntry *find(const Ledger *l, const char *file) {
        size_t i = position(l, file);

        return i < l->n && streq(l->entries[i].file, file) ? &l->entries[i] : NULL;
}

static LedgerEntry *get(Ledger *l, const char *file, int64_t now) {
        LedgerEntry *known = find(l, file);
        size_t i = position(l, file);
        char *copy;

        if (known)
                return known;
        copy = strdup(file);
        if (!copy || !ARRAY_GROW(l->entries, l->n, l->cap)) {
                free(copy);
                return NULL;
        }
        memmove(l->entries + i + 1, l->entries + i, (l->n - i) * sizeof(*l->entries));
        l->n++;
        l->entries[i] = (LedgerEntry){
                .file = copy, .unwanted_since = -1, .window = now, .needed = now, .repaired = now
        };
        return &l->entries[i];
}

static bool is_damped(const LedgerEntry *e, int64_t now) {
        return e->fighting && now - e->repaired < LEDGER_FIGHT_PAUSE;
}

bool ledger_is_waiting(const Ledger *l, const char *file, int64_t now) {
        const LedgerEntry *e = find(l, file);

        return e && e->damped && is_damped(e, now);
}

int ledger_memory(Ledger *l, int64_t now, const PlanMemory **ret, size_t *ret_n) {
        PlanMemory *memory = calloc(l->n + 1, sizeof(*memory));

        if (!memory)
                return -ENOMEM;
        for (size_t i = 0; i < l->n; i++) {
                const LedgerEntry *e = &l->entries[i];

                memory[i] = (PlanMemory){ .file = e->file,
                                          .unwanted_for = e->unwanted_since < 0 ? -1 : now - e->unwanted_since,
                                          .damped = is_damped(e, now) };
        }
        free(l->memory);
        l->memory = memory;
        *ret = memory;
        *ret_n = l->n;
        return 0;
}

/* ---- learning ---- */

static void count_repair(LedgerEntry *e, int64_t now) {
        if (now - e->needed >= LEDGER_FIGHT_WINDOW)
                e->fighting = false;
        if (now - e->window >= LEDGER_FIGHT_WINDOW) {
                e->window = now;
                e->repairs = 0;
        }
        if (++e->repairs >= LEDGER_FIGHT_REPAIRS)
                e->fighting = true;
        e->needed = e->repaired = now;
}

static bool is_repair(const PlanStep *s) {
        return s->verb == STEP_RESTORE || s->verb == STEP_QUARANTINE || (s->verb == STEP_REPLACE && s->save_copy);
}

static int learn_steps(Ledger *l, const Plan *plan, int64_t now) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];
                LedgerEntry *e;

                if (!is_repair(s) || s->failure)
                        continue;
                e = get(l, s->file, now);
                if (!e)
                        return -ENOMEM;
                count_repair(e, now);
                l->repairs += s->verb != STEP_QUARANTINE;
                l->quarantined += s->verb == STEP_QUARANTINE;
        }
        return 0;
}

static int learn_row(Ledger *l, const PlanRow *row, int64_t now) {
        char file[MANIFEST_NAME_MAX + 1];
        LedgerEntry *e;

        if (manifest_file_name(row->namespace, row->name, file) < 0)
                return 0;
        e = row->delayed || row->damped ? get(l, file, now) : find(l, file);
        if (!e)
                return row->delayed || row->damped ? -ENOMEM : 0;
        e->delayed = row->delayed;
        e->damped = row->damped;
        if (row->delayed && e->unwanted_since < 0)
                e->unwanted_since = now;
        if (row->damped)
                e->needed = now;
        return 0;
}

/* What is calm again is forgotten. What the plan did not speak of is not due any more: nothing would ever end it. */
static void forget(Ledger *l, int64_t now) {
        size_t kept = 0;

        for (size_t i = 0; i < l->n; i++) {
                LedgerEntry *e = &l->entries[i];

                if (!e->delayed)
                        e->unwanted_since = -1;
                if (e->unwanted_since < 0 && now - e->needed >= LEDGER_FIGHT_WINDOW)
                        free(e->file);
                else
                        l->entries[kept++] = *e;
        }
        l->n = kept;
}

int ledger_learn(Ledger *l, const Plan *plan, int64_t now) {
        int r;

        for (size_t i = 0; i < l->n; i++)
                l->entries[i].delayed = l->entries[i].damped = false;
        r = learn_steps(l, plan, now);
        for (size_t i = 0; r == 0 && i < plan->n_rows; i++)
                r = learn_row(l, &plan->rows[i], now);
        if (r == 0)
                forget(l, now);
        return r;
}

int64_t ledger_due(const Ledger *l, int64_t removal_delay) {
        int64_t due = -1;

        for (size_t i = 0; i < l->n; i++) {
                const LedgerEntry *e = &l->entries[i];
                int64_t times[2] = { -1, -1 };

                if (e->unwanted_since >= 0)
                        times[0] = e->unwanted_since + removal_delay;
                if (e->damped)
                        times[1] = e->repaired + LEDGER_FIGHT_PAUSE;
                for (size_t k = 0; k < ARRAY_SIZE(times); k++)
                        if (times[k] >= 0 && (due < 0 || times[k] < due))
                                due = times[k];
        }
        return due;
}

void ledger_done(Ledger *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->entries[i].file);
        free(l->entries);
        free(l->memory);
        *l = (Ledger){ 0 };
}
