/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_model.h"

#include <stdio.h>

enum {                        /* milliseconds */
       HEARTBEAT = 10 * 1000, /* as in app/daemon */
       SYNC_SLACK = 10 * 1000,
       RETRY = 30 * 1000,             /* the longest pause before the API server is asked again */
       TOMBSTONE_KEPT = 30 + 10 * 60, /* seconds, as in io/store */
};

static void earlier(int64_t *due, int64_t at) {
        if (at >= 0 && (*due < 0 || at < *due))
                *due = at;
}

static int64_t seconds(const Agent *a) {
        return AM_EPOCH + a->k->now / 1000;
}

void am_init(Agent *a, Kubelet *k, const AmWish *sources) {
        *a = (Agent){ .k = k,
                      .sources = sources,
                      .look_at = -1,
                      .read_at = -1,
                      .kubelet_started = -1,
                      .die_at = -1,
                      .heartbeat = -1,
                      .connect_at = -1,
                      .node_since = -1,
                      .deaf_at = -1,
                      .told_at = -1 };
        a->ledger = LEDGER_INIT;
}

/* It is asked for as soon as the server is heard. */
static void request(Agent *a, size_t set) {
        AmFollow *f = &a->follow[set];

        f->daemonset_live = f->pods_live = false;
        f->daemonset_at = f->pods_at = -1;
        if (!f->followed || !a->connected)
                return;
        f->daemonset_at = a->k->now + km_between(20, 1000);
        f->pods_at = a->k->now + km_between(20, 1000);
}

static void follow(Agent *a, size_t set, bool followed) {
        if (!a->ask || a->of_api[set])
                return;
        a->follow[set] = (AmFollow){ .followed = followed, .heard = a->away };
        request(a, set);
}

void am_start(Agent *a) {
        km_trace(a->k, "  agent starts");
        a->up = a->look = true;
        a->started = a->k->now;
        memset(a->states, -1, sizeof(a->states));
        a->heartbeat_at = a->k->now + HEARTBEAT;
        a->kubelet_started = a->k->up ? a->k->started : -1;
        a->read_at = a->k->now;
        a->look_at = -1;
        a->connected = a->away = false;
        a->connect_at = a->k->now + km_between(10, 2000);
        a->node_since = a->deaf_at = a->told_at = -1;
        for (size_t i = 0; i < KM_SETS; i++)
                follow(a, i, a->seen[i].defined);
}

void am_kill(Agent *a) {
        km_trace(a->k, "  agent dies");
        a->up = false;
        ledger_done(&a->ledger);
        a->ledger = LEDGER_INIT;
        memset(a->asked, 0, sizeof(a->asked));
        a->connected = a->now = false;
}

void am_news(Agent *a) {
        if (a->up && a->look_at < 0)
                a->look_at = a->k->now + km_between(1, 50);
}

void am_sources_changed(Agent *a) {
        if (a->up)
                a->read_at = a->k->now + AM_QUIET;
}

void am_cluster_news(Agent *a) {
        if (a->up && a->connected && a->told_at < 0)
                a->told_at = a->k->now + km_between(5, 500);
}

void am_api_changed(Agent *a) {
        if (a->ask) {
                a->deaf_at = a->k->api_up || !a->connected ? -1 : a->k->now + km_between(0, 15000);
                /* Watches that did not notice go on with what they missed. */
                am_cluster_news(a);
                return;
        }
        a->connected = false;
        a->connect_at = a->k->now + km_between(0, RETRY);
        am_news(a);
}

void am_ask_now(Agent *a) {
        km_trace(a->k, "  an operator says now");
        a->now = a->up;
        am_news(a);
}

void am_ask_restart(Agent *a, size_t set) {
        if (!a->up)
                return;
        km_trace(a->k, "  an operator asks for a restart of %s", a->k->files_of[set]);
        assert_int_equal(ledger_ask_restart(&a->ledger, a->k->files_of[set], a->k->now), 0);
        a->asked[set] = true;
        am_news(a);
}

void am_lose_state(Agent *a) {
        km_trace(a->k, "  state is lost");
        memset(a->memory, 0, sizeof(a->memory));
        a->n_tombstones = 0;
        memset(a->records, 0, sizeof(a->records));
        am_lose_cache(a);
}

void am_lose_cache(Agent *a) {
        a->heartbeat = -1;
        for (size_t i = 0; i < KM_SETS; i++)
                if (a->of_api[i])
                        a->seen[i] = (AmWish){ 0 };
}

bool am_knows(const Agent *a, const KmPod *p) {
        KmManifest m;

        if (km_parse(a->k, "", a->memory[p->m.set].bytes, &m) && streq(m.uid, p->m.uid))
                return true;
        for (size_t i = 0; i < a->n_tombstones; i++)
                if (streq(a->tombstones[i].m.uid, p->m.uid))
                        return true;
        return false;
}

/* ---- the store ---- */

static void drop_tombstone(Agent *a, const char *uid) {
        for (size_t i = a->n_tombstones; i-- > 0;)
                if (streq(a->tombstones[i].m.uid, uid))
                        a->tombstones[i] = a->tombstones[--a->n_tombstones];
}

/* As store_bury: the last bytes' pod, or if there is none to bury what stands. */
static void bury(Agent *a, size_t set, const PlanStep *s) {
        const KmFile *f = km_find_file(a->k, s->file);
        const char *bytes[] = { a->memory[set].bytes, f ? f->bytes : NULL };

        for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
                KmManifest m, next;

                if (!km_parse(a->k, s->file, bytes[i], &m) || !m.pod)
                        continue;
                if (km_parse(a->k, s->file, s->bytes, &next) && streq(m.uid, next.uid))
                        continue;
                drop_tombstone(a, m.uid);
                assert_true(a->n_tombstones < AM_TOMBSTONES);
                a->tombstones[a->n_tombstones++] = (AmTombstone){ m, seconds(a) };
                return;
        }
}

static void resolve(Agent *a) {
        for (size_t i = 0; i < KM_SETS; i++) {
                AmMemory *m = &a->memory[i];
                const KmFile *f = km_find_file(a->k, a->k->files_of[i]);

                if (m->next && f && f->bytes == m->next) {
                        m->bytes = m->next;
                        m->known = true;
                }
                m->next = NULL;
        }
}

static bool writes(const PlanStep *s) {
        return s->verb == STEP_RESTORE || s->verb == STEP_REPLACE || s->verb == STEP_CREATE;
}

static size_t set_of(const PlanStep *s) {
        for (size_t i = 0; i < KM_SETS; i++)
                if (streq(s->namespace, km_names[i][0]) && streq(s->name, km_names[i][1]))
                        return i;
        return KM_SETS;
}

/* Whether it is killed before the next part of a plan. */
static bool dies(Agent *a) {
        if (a->die_at < 0 || a->die_at-- > 0)
                return false;
        am_kill(a);
        return true;
}

static void carry_out(Agent *a, const PlanStep *s) {
        size_t set = set_of(s);
        KmFile *f = km_find_file(a->k, s->file);

        km_trace(a->k, "  agent: %s %s %s", step_verb_name(s->verb), s->file,
                 s->bytes ? world_spec(&a->k->world, s->bytes, s->len) : "");
        if (set < KM_SETS)
                a->on_step(a, set, s);
        if (s->verb == STEP_RECORD)
                f->by_agent = true;
        else if (s->verb == STEP_TOUCH) {
                assert_non_null(f);
                f->mode_wrong = false;
                km_chmod(a->k, s->file);
        } else if (writes(s)) {
                assert_true(!f || s->verb != STEP_CREATE);
                if (!f || f->bytes != s->bytes)
                        km_put(a->k, s->file, s->bytes, true);
        } else if (s->verb != STEP_FORGET)
                /* A copy is a stranger's. */
                km_put(a->k, s->file, NULL, s->verb != STEP_QUARANTINE);
}

static void settle(Agent *a, const PlanStep *s) {
        size_t set = set_of(s);
        KmManifest m;

        if (s->verb == STEP_HAND_OVER || s->verb == STEP_REMOVE || s->verb == STEP_FORGET)
                a->memory[set] = (AmMemory){ 0 };
        else if (writes(s) || s->verb == STEP_RECORD) {
                a->memory[set] = (AmMemory){ .known = true, .bytes = s->bytes };
                if (km_parse(a->k, s->file, s->bytes, &m))
                        drop_tombstone(a, m.uid);
        }
}

/* A host that has not run a kubelet since its start runs no pod. */
static Witness look_for(const Agent *a, const char *uid) {
        return a->k->has_witness && !a->k->booted ? WITNESS_GONE : km_witness(a->k, uid);
}

/* What is seen is remembered, however old it is. */
static bool is_over(const Agent *a, const AmTombstone *t) {
        Witness w = look_for(a, t->m.uid);

        return w != WITNESS_RUNNING && w != WITNESS_TERMINATING && seconds(a) - t->removed_at > TOMBSTONE_KEPT;
}

static void save_handovers(Agent *a, const Plan *plan) {
        AmRecord made[KM_SETS] = { 0 };

        for (size_t i = 0; i < plan->n_handovers; i++)
                for (size_t set = 0; set < KM_SETS; set++) {
                        const PlanHandover *h = &plan->handovers[i];

                        if (!streq(h->namespace, km_names[set][0]) || !streq(h->name, km_names[set][1]))
                                continue;
                        made[set] = (AmRecord){ .present = true, .unplaced = h->unplaced, .stopped = h->stopped };
                        (void)snprintf(made[set].pod, KM_NAME, "%s", h->pod);
                        (void)snprintf(made[set].uid, KM_NAME, "%s", h->uid);
                        (void)snprintf(made[set].boot, sizeof(made[set].boot), "%s", h->boot);
                }
        for (size_t set = 0; set < KM_SETS; set++)
                if (made[set].present != a->records[set].present || made[set].stopped != a->records[set].stopped)
                        km_trace(a->k, "  agent: %s is %s", a->k->files_of[set],
                                 !made[set].present  ? "not handed over any more"
                                 : made[set].stopped ? "remembered as stopped"
                                                     : "remembered as handed over");
        memcpy(a->records, made, sizeof(made));
}

/* In three rounds, as the store does it; false if it died. */
static bool apply(Agent *a, const Plan *plan) {
        resolve(a);
        if (a->ask && dies(a))
                return false;
        save_handovers(a, plan);
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];

                if (s->verb == STEP_REPLACE || s->verb == STEP_CREATE)
                        a->memory[set_of(s)].next = s->bytes;
                if (s->verb == STEP_HAND_OVER || s->verb == STEP_REMOVE || s->verb == STEP_WITHDRAW ||
                    s->verb == STEP_FORGET || s->verb == STEP_REPLACE)
                        bury(a, set_of(s), s);
        }
        for (size_t i = 0; i < plan->n_steps; i++) {
                if (dies(a))
                        return false;
                carry_out(a, &plan->steps[i]);
        }
        if (dies(a))
                return false;
        for (size_t i = 0; i < plan->n_steps; i++)
                settle(a, &plan->steps[i]);
        for (size_t i = a->n_tombstones; i-- > 0;)
                if (is_over(a, &a->tombstones[i]))
                        a->tombstones[i] = a->tombstones[--a->n_tombstones];
        return true;
}

/* ---- facts ---- */

typedef struct Facts {
        PlanFacts f;
        PlanWanted wanted[KM_SETS];
        PlanEntry present[KM_FILES];
        PlanWritten written[KM_SETS];
        PlanTombstone tombstones[AM_TOMBSTONES];
        PlanTheirs theirs[KM_SETS];
        PlanHandover handovers[KM_SETS];
        char boot[16];
} Facts;

static const PlanTheirs *theirs(const Agent *a, Facts *x, size_t set) {
        const AmFollow *f = &a->follow[set];
        bool has_pod = f->pods_live && f->theirs.pod != POD_NONE;

        if (!f->followed)
                return NULL;
        x->theirs[set] = (PlanTheirs){
                .daemonset = f->daemonset_live ? f->theirs.daemonset : THEIRS_UNKNOWN,
                .awaited = !f->heard && !a->away,
                .pods_known = f->pods_live,
                .pod = has_pod ? f->theirs.pod : POD_NONE,
                .pod_name = has_pod ? f->theirs.name : "",
                .pod_uid = has_pod ? f->theirs.uid : "",
                .witness = has_pod ? look_for(a, f->theirs.uid) : WITNESS_UNKNOWN,
                .mode = a->modes[set],
                .unfit = "",
                .blind = "",
                .difference = "",
        };
        return &x->theirs[set];
}

static void add_record(const Agent *a, Facts *x, size_t set) {
        const AmRecord *r = &a->records[set];

        if (r->present)
                x->handovers[x->f.n_handovers++] = (PlanHandover){
                        .namespace = km_names[set][0],
                        .name = km_names[set][1],
                        .pod = r->pod,
                        .uid = r->uid,
                        .boot = r->boot,
                        .unplaced = r->unplaced,
                        .stopped = r->stopped,
                        .witness = *r->uid ? look_for(a, r->uid) : WITNESS_UNKNOWN,
                };
}

static void add_set(Agent *a, Facts *x, size_t set) {
        const AmWish *w = &a->seen[set];
        const AmMemory *m = &a->memory[set];
        KmManifest parsed;

        if (w->defined)
                x->wanted[x->f.n_wanted++] = (PlanWanted){
                        .namespace = km_names[set][0],
                        .name = km_names[set][1],
                        .wish = w->wish,
                        .state = w->wish == WISH_KEEP ? STATE_WAITING : STATE_NOT_HERE,
                        .reason = w->wish == WISH_PRESENT ? REASON_Fits
                                  : w->wish == WISH_KEEP  ? REASON_WaitingForConfigMap
                                                          : REASON_NodeSelectorMismatch,
                        .by_live_node = w->wish == WISH_ABSENT && a->node_since >= 0,
                        .origin = a->of_api[set] ? "api" : "file:a.yaml",
                        .rendered = &a->k->pods[set][w->spec]->r,
                        .theirs = theirs(a, x, set),
                };
        if (!m->known && !m->next)
                return;
        x->written[x->f.n_written++] = (PlanWritten){
                .file = a->k->files_of[set],
                .namespace = km_names[set][0],
                .name = km_names[set][1],
                .origin = a->of_api[set] ? "api" : "file:a.yaml",
                .bytes = m->bytes,
                .len = m->bytes ? strlen(m->bytes) : 0,
                .next = m->next,
                .next_len = m->next ? strlen(m->next) : 0,
                .witness = km_parse(a->k, "", m->bytes, &parsed) ? look_for(a, parsed.uid) : WITNESS_UNKNOWN,
        };
}

static void add_directory(Agent *a, Facts *x) {
        for (size_t i = 0; i < a->k->n_files; i++) {
                const KmFile *f = &a->k->files[i];

                x->present[x->f.n_present++] = (PlanEntry){ .file = f->name,
                                                            .kind = ENTRY_REGULAR,
                                                            .mode_wrong = f->mode_wrong,
                                                            .bytes = f->bytes,
                                                            .len = strlen(f->bytes) };
        }
        for (size_t i = 0; i < a->n_tombstones; i++) {
                const AmTombstone *t = &a->tombstones[i];

                x->tombstones[x->f.n_tombstones++] = (PlanTombstone){ .namespace = km_names[t->m.set][0],
                                                                      .name = km_names[t->m.set][1],
                                                                      .uid = t->m.uid,
                                                                      .ports = t->m.pod->r.ports,
                                                                      .n_ports = t->m.pod->r.n_ports,
                                                                      .removed_at = t->removed_at,
                                                                      .grace = KM_GRACE / 1000,
                                                                      .witness = look_for(a, t->m.uid) };
        }
}

static bool knows_kubelet(const Agent *a) {
        return a->k->up && a->kubelet_started == a->k->started;
}

/* A heartbeat of this process, and none of a clock that goes differently. */
static bool knows_sync(const Agent *a) {
        return knows_kubelet(a) && a->heartbeat > a->k->started + SYNC_SLACK;
}

static void make_facts(Agent *a, Facts *x) {
        static const char *const all[] = { "*" };
        bool api_synced = !a->k->has_api || a->connected;

        *x = (Facts){ .f = { .local_read = true,
                             .local_complete = a->complete,
                             .api_synced = api_synced,
                             .all_synced = a->complete && api_synced,
                             .removal_delay = a->now            ? 0
                                              : a->read_at >= 0 ? INT64_MAX
                                                                : AM_REMOVAL_DELAY,
                             .settle = a->now ? 0 : AM_SETTLE,
                             .node_for = a->node_since < 0 ? 0 : a->k->now - a->node_since,
                             .now_targets = all,
                             .n_now_targets = a->now,
                             .hold = a->holds ? HOLD_UNTIL_SYNCED : HOLD_NEVER,
                             .kubelet_ran = a->k->booted,
                             .kubelet_up_for = knows_kubelet(a) ? a->k->now - a->k->started : -1,
                             .now = seconds(a) } };
        x->f.kubelet_synced = knows_sync(a);
        (void)snprintf(x->boot, sizeof(x->boot), "boot-%u", a->k->boots);
        x->f.boot = x->boot;
        x->f.server_away = a->away;
        x->f.stop_if_deleted = a->stop_if_deleted;
        x->f.handovers = x->handovers;
        for (size_t i = 0; i < KM_SETS; i++) {
                add_set(a, x, i);
                add_record(a, x, i);
        }
        add_directory(a, x);
        x->f.wanted = x->wanted;
        x->f.present = x->present;
        x->f.written = x->written;
        x->f.tombstones = x->tombstones;
        assert_int_equal(ledger_memory(&a->ledger, a->k->now, &x->f.memory, &x->f.n_memory), 0);
}

/* ---- passes ---- */

static void note_rows(Agent *a, const Plan *plan) {
        memset(a->states, -1, sizeof(a->states));
        for (size_t i = 0; i < plan->n_rows; i++)
                for (size_t set = 0; set < KM_SETS; set++)
                        if (streq(plan->rows[i].namespace, km_names[set][0]) &&
                            streq(plan->rows[i].name, km_names[set][1])) {
                                a->states[set] = (int)plan->rows[i].state;
                                a->reasons[set] = plan->rows[i].reason;
                                a->handovers[set] = plan->rows[i].handover;
                        }
}

static void pass(Agent *a) {
        _cleanup_plan_ Plan plan = { 0 };
        Facts *x = malloc(sizeof(*x));
        bool lives;

        assert_non_null(x);
        a->look = false;
        a->passes++;
        a->passes_at_now = a->passed_at == a->k->now ? a->passes_at_now + 1 : 1;
        a->passed_at = a->k->now;
        make_facts(a, x);
        assert_int_equal(plan_make(&x->f, &plan), 0);
        lives = apply(a, &plan);
        free(x);
        if (!lives)
                return;
        assert_int_equal(ledger_learn(&a->ledger, &plan, a->k->now), 0);
        note_rows(a, &plan);
        memset(a->asked, 0, sizeof(a->asked));
        a->now = false;
}

/* What cannot be read keeps its last good DaemonSets. */
static void read_sources(Agent *a) {
        a->read_at = -1;
        a->look = true;
        a->complete = !a->broken;
        for (size_t i = 0; i < KM_SETS; i++) {
                bool before = a->seen[i].defined;

                if (a->of_api[i] ? a->connected : !a->broken)
                        a->seen[i] = a->sources[i];
                if (a->seen[i].defined != before)
                        follow(a, i, !before);
        }
}

/* ---- the cluster ---- */

static void lose_server(Agent *a) {
        if (!a->away)
                km_trace(a->k, "  agent finds the API server gone");
        a->look |= !a->away;
        a->connected = false;
        a->away = true;
        a->deaf_at = a->told_at = -1;
        a->connect_at = a->k->now + km_between(1000, RETRY);
        for (size_t i = 0; i < KM_SETS; i++) {
                request(a, i);
                a->follow[i].heard = true;
        }
}

static void find_server(Agent *a) {
        km_trace(a->k, "  agent hears the API server");
        a->connected = a->look = true;
        a->away = false;
        if (a->node_since < 0)
                a->node_since = a->k->now;
        for (size_t i = 0; i < KM_SETS; i++)
                request(a, i);
}

/* Answers to lists, and what the watches tell of what was listed. */
static void learn(Agent *a, size_t set, bool told) {
        AmFollow *f = &a->follow[set], before = *f;
        AmTheirs now = { 0 };

        if (!f->followed)
                return;
        a->ask(a->user, set, &now);
        if (f->daemonset_at >= 0 && f->daemonset_at <= a->k->now) {
                f->daemonset_at = -1;
                f->daemonset_live = true;
                f->theirs.daemonset = now.daemonset;
        }
        if (f->pods_at >= 0 && f->pods_at <= a->k->now) {
                TheirDaemonSet known = f->theirs.daemonset;

                f->pods_at = -1;
                f->pods_live = true;
                f->theirs = now;
                f->theirs.daemonset = known;
        }
        f->heard |= f->daemonset_live && f->pods_live;
        if (told) {
                TheirDaemonSet known = f->daemonset_live ? now.daemonset : f->theirs.daemonset;

                if (f->pods_live)
                        f->theirs = now;
                f->theirs.daemonset = known;
        }
        a->look |= before.daemonset_live != f->daemonset_live || before.pods_live != f->pods_live ||
                   before.theirs.daemonset != f->theirs.daemonset || before.theirs.pod != f->theirs.pod ||
                   !streq(before.theirs.uid, f->theirs.uid);
}

static void hear_cluster(Agent *a) {
        int64_t now = a->k->now;
        bool told = a->told_at >= 0 && a->told_at <= now;

        if (a->deaf_at >= 0 && a->deaf_at <= now)
                lose_server(a);
        if (!a->connected && a->connect_at <= now) {
                if (a->k->api_up)
                        find_server(a);
                else
                        lose_server(a);
        }
        if (!a->connected || !a->k->api_up)
                return;
        if (told)
                a->told_at = -1;
        for (size_t i = 0; i < KM_SETS; i++)
                learn(a, i, told);
}

static int64_t cluster_due(const Agent *a) {
        int64_t due = -1;

        earlier(&due, a->deaf_at);
        earlier(&due, a->connected ? -1 : a->connect_at);
        if (!a->connected || !a->k->api_up)
                return due;
        earlier(&due, a->told_at);
        for (size_t i = 0; i < KM_SETS; i++) {
                earlier(&due, a->follow[i].daemonset_at);
                earlier(&due, a->follow[i].pods_at);
        }
        return due;
}

/* The API server: its DaemonSets, and the heartbeat of the kubelet. */
static void hear(Agent *a) {
        bool synced = knows_sync(a);

        if (a->ask)
                hear_cluster(a);
        else if (!a->connected && a->k->api_up && a->connect_at <= a->k->now) {
                km_trace(a->k, "  agent hears the API server");
                a->connected = true;
                if (a->node_since < 0)
                        a->node_since = a->k->now;
                a->read_at = a->k->now;
        }
        if (a->connected && a->k->api_up)
                a->heartbeat = a->k->heartbeat;
        a->look |= knows_sync(a) != synced;
}

int64_t am_due(const Agent *a) {
        int64_t due = -1;

        if (!a->up)
                return -1;
        earlier(&due, a->look_at);
        earlier(&due, a->read_at);
        earlier(&due, a->heartbeat_at);
        earlier(&due, a->read_at >= 0 ? -1 : ledger_removal_due(&a->ledger));
        earlier(&due, ledger_look_due(&a->ledger));
        if (a->ask)
                earlier(&due, cluster_due(a));
        else if (a->k->has_api && a->k->api_up && !a->connected)
                earlier(&due, a->connect_at > a->k->now ? a->connect_at : a->k->now + 1);
        return due;
}

void am_run(Agent *a) {
        int64_t now = a->k->now, removal, look;

        if (!a->up)
                return;
        if (a->heartbeat_at <= now) {
                a->heartbeat_at = now + HEARTBEAT;
                if (a->k->up && a->kubelet_started != a->k->started) {
                        a->kubelet_started = a->k->started;
                        a->read_at = now;
                }
        }
        removal = ledger_removal_due(&a->ledger);
        look = ledger_look_due(&a->ledger);
        if (removal >= 0 && removal <= now)
                a->read_at = now;
        if (look >= 0 && look <= now)
                a->look = true;
        if (a->k->has_api)
                hear(a);
        if (a->look_at >= 0 && a->look_at <= now) {
                a->look_at = -1;
                a->look = true;
        }
        if (a->read_at >= 0 && a->read_at <= now)
                read_sources(a);
        if (a->look)
                pass(a);
}
