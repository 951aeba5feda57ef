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
                .file = copy,
                .unwanted_since = -1,
                .absent_since = -1,
                .gone_since = -1,
                .missing_since = -1,
                .unplaced_since = -1,
                .window = now,
                .needed = now,
                .repaired = now,
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
                                          .damped = is_damped(e, now),
                                          .restart = e->restart,
                                          .absent_for = e->absent_since < 0 ? 0 : now - e->absent_since,
                                          .retries = e->retries,
                                          .gone_for = e->gone_since < 0 ? 0 : now - e->gone_since,
                                          .missing_for = e->missing_since < 0 ? 0 : now - e->missing_since,
                                          .unplaced_for = e->unplaced_since < 0 ? 0 : now - e->unplaced_since,
                                          .held_since = e->held_since };
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
        return ((s->verb == STEP_RESTORE || s->verb == STEP_TOUCH) && !s->again) || s->verb == STEP_QUARANTINE ||
               (s->verb == STEP_REPLACE && s->save_copy);
}

/* Copies are counted with the manifest that they are copies of: their own names may be new each time. */
static const char *repaired_file(const PlanStep *s, char buffer[static MANIFEST_NAME_MAX + 1]) {
        if (*s->name && manifest_file_name(s->namespace, s->name, buffer) == 0)
                return buffer;
        return s->file;
}

static int learn_steps(Ledger *l, const Plan *plan, int64_t now) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];
                char file[MANIFEST_NAME_MAX + 1];
                LedgerEntry *e;

                if (s->failure)
                        continue;
                l->restarts += s->verb == STEP_WITHDRAW;
                l->handovers += s->verb == STEP_HAND_OVER;
                l->takebacks += s->back;
                if (!is_repair(s))
                        continue;
                e = get(l, repaired_file(s, file), now);
                if (!e)
                        return -ENOMEM;
                count_repair(e, now);
                l->repairs += s->verb != STEP_QUARANTINE;
                l->quarantined += s->verb == STEP_QUARANTINE;
        }
        return 0;
}

/* The tries go on until a pod is seen, or other bytes are written. */
static void learn_absence(LedgerEntry *e, const PlanRow *row, int64_t now) {
        bool withdrawn = row->has_step && row->verb == STEP_WITHDRAW;
        bool renewed = row->has_step && (row->verb == STEP_CREATE || row->verb == STEP_REPLACE);

        if (row->alive || renewed)
                e->retries = 0;
        e->retries += withdrawn && row->absent_for >= 0;
        e->absent_since = row->absent_for < 0 || withdrawn ? -1 : now - row->absent_for;
        /* As the plan had it, whatever is shown. */
        e->told_absent = row->absent_for >= 0 && (row->absent_for >= PLAN_ABSENT || e->retries > 0);
        e->gone_since = !row->gone ? -1 : e->gone_since < 0 ? now : e->gone_since;
        e->missing_since = !row->missing ? -1 : e->missing_since < 0 ? now : e->missing_since;
        e->unplaced_since = !row->unplaced ? -1 : e->unplaced_since < 0 || row->unplaced_anew ? now : e->unplaced_since;
}

static int learn_row(Ledger *l, const PlanRow *row, int64_t now) {
        bool held = row->state == STATE_HELD && !row->delayed, conflict = row->state == STATE_CONFLICT;
        char file[MANIFEST_NAME_MAX + 1];
        LedgerEntry *e;

        l->n_unsettled += row->unsettled;
        if (manifest_file_name(row->namespace, row->name, file) < 0)
                return 0;
        e = find(l, file);
        if (!e && (row->delayed || row->damped || row->absent_for >= 0 || row->gone || row->missing || row->unplaced ||
                   held || conflict)) {
                e = get(l, file, now);
                if (!e)
                        return -ENOMEM;
        }
        if (!e)
                return 0;
        e->seen = true;
        e->delayed = row->delayed;
        e->damped = row->damped;
        l->holds += held && !e->was_held;
        l->conflicts += conflict && !e->was_conflict;
        e->held = held;
        e->conflict = conflict;
        if (row->delayed && e->unwanted_since < 0)
                e->unwanted_since = now;
        e->due_at = row->wait > INT64_MAX - now ? INT64_MAX : now + row->wait;
        e->held_since = row->held_since;
        if (row->damped)
                e->needed = now;
        learn_absence(e, row, now);
        return 0;
}

/* What the plan did not speak of is not due any more: nothing would ever end it. */
static void start_learning(Ledger *l) {
        l->n_unsettled = 0;
        for (size_t i = 0; i < l->n; i++) {
                LedgerEntry *e = &l->entries[i];

                e->was_held = e->held;
                e->was_conflict = e->conflict;
                e->delayed = e->damped = e->held = e->conflict = e->restart = false;
                e->seen = false;
        }
}

/* What is calm again is forgotten. */
static void forget(Ledger *l, int64_t now) {
        size_t kept = 0;

        for (size_t i = 0; i < l->n; i++) {
                LedgerEntry *e = &l->entries[i];

                if (!e->delayed)
                        e->unwanted_since = -1;
                if (!e->seen) {
                        e->held_since = 0;
                        e->absent_since = e->gone_since = e->missing_since = e->unplaced_since = -1;
                        e->retries = 0;
                }
                if (e->unwanted_since < 0 && e->absent_since < 0 && e->gone_since < 0 && e->missing_since < 0 &&
                    e->unplaced_since < 0 && e->retries == 0 && !e->held && !e->conflict &&
                    now - e->needed >= LEDGER_FIGHT_WINDOW)
                        free(e->file);
                else
                        l->entries[kept++] = *e;
        }
        l->n = kept;
}

/* Pods that start or end are looked at soon, and then ever less often while nothing happens. */
static void plan_look(Ledger *l, const Plan *plan, size_t before, int64_t now) {
        bool news = l->n_unsettled != before;

        for (size_t i = 0; i < plan->n_steps; i++)
                news |= !plan->steps[i].failure && plan->steps[i].verb != STEP_RECORD;
        if (l->n_unsettled == 0) {
                l->look_at = -1;
                return;
        }
        /* An event came before the time was over: it is still the same wait. */
        if (!news && l->look_at > now)
                return;
        l->look_pause = news || l->look_at < 0 ? LEDGER_LOOK_MIN : l->look_pause * 2;
        if (l->look_pause > LEDGER_LOOK_MAX)
                l->look_pause = LEDGER_LOOK_MAX;
        l->look_at = now + l->look_pause;
}

int ledger_learn(Ledger *l, const Plan *plan, int64_t now) {
        size_t before = l->n_unsettled;
        int r;

        start_learning(l);
        r = learn_steps(l, plan, now);
        for (size_t i = 0; r == 0 && i < plan->n_rows; i++)
                r = learn_row(l, &plan->rows[i], now);
        if (r == 0)
                forget(l, now);
        plan_look(l, plan, before, now);
        return r;
}

int ledger_ask_restart(Ledger *l, const char *file, int64_t now) {
        LedgerEntry *e = get(l, file, now);

        if (!e)
                return -ENOMEM;
        e->restart = true;
        return 0;
}

void ledger_forget_restarts(Ledger *l) {
        for (size_t i = 0; i < l->n; i++)
                l->entries[i].restart = false;
}

/* ---- what is due ---- */

static void take_earlier(int64_t *due, int64_t at) {
        if (*due < 0 || at < *due)
                *due = at;
}

int64_t ledger_removal_due(const Ledger *l) {
        int64_t due = -1;

        for (size_t i = 0; i < l->n; i++)
                if (l->entries[i].unwanted_since >= 0 && l->entries[i].due_at < INT64_MAX)
                        take_earlier(&due, l->entries[i].due_at);
        return due;
}

/* An absence is looked at when it becomes NotStarted, and when it is time to write again. */
static int64_t absence_due(const LedgerEntry *e) {
        return e->absent_since + (e->told_absent ? plan_retry_after(e->retries) : PLAN_ABSENT);
}

int64_t ledger_look_due(const Ledger *l) {
        int64_t due = l->look_at;

        for (size_t i = 0; i < l->n; i++) {
                const LedgerEntry *e = &l->entries[i];

                if (e->damped)
                        take_earlier(&due, e->repaired + LEDGER_FIGHT_PAUSE);
                if (e->absent_since >= 0)
                        take_earlier(&due, absence_due(e));
                if (e->gone_since >= 0)
                        take_earlier(&due, e->gone_since + PLAN_GONE);
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
