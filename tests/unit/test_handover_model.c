/* SPDX-License-Identifier: Apache-2.0 */
/* Ours or theirs, never both and never neither: the real plan and ledger beside a DaemonSet controller, a scheduler, an
 * API server and a kubelet, all of them stand-ins in simulated time, while each of them, the agent and the host come
 * and go at random times. MODEL_SEED and MODEL_RUNS in the environment choose other runs; a sequence that breaks a
 * property is shrunk to the actions that matter, and MODEL_TRACE=1 prints what happened in it. Stories told step by
 * step come first.
 *
 * At any time: no host port is held by a static pod and by one of the controller's; ours is not stopped before theirs
 * may start (with a host port: it exists; without: it is Ready and runs), nor by a kubelet that does not stop it; what
 * comes back in an outage is not beside theirs; nothing is away for long. In the end, with the server and without it:
 * one of them runs, and nothing is written any more.
 *
 * What an agent cannot avoid, and is allowed here:
 * - It has never heard of their pod: its file came in an outage, or the controller made the pod while the agent or its
 *   news were away, or bound it when the server had just come back. A kubelet that knows the pod refuses ours; one
 *   that was started anew in the outage runs both.
 * - A kubelet that is started anew has forgotten which pods it was ending, and gives their ports away.
 * - The scheduler's last word on their pod is older than the mirror of ours that it was about, and the new mirror is
 *   not there yet: theirs may start while ours is ending.
 * - A kubelet may have decided to start a pod before there is anything to see of it.
 * - Without a host port both run for as long as an outage lasts that begins before the agent hears that theirs is
 *   Ready.
 * - What a kubelet has refused is tried again ever less often, and so comes late when theirs has gone.
 * - A DaemonSet that was handed over and does not fit any more, or finds no room for its next pod, runs nowhere: that
 *   is the cluster's business. Only the pod for which ours went has to find room. */
#include "agent_model.h"
#include "cluster_model.h"

#include <inttypes.h>
#include <stdio.h>

enum {
        SETS = 2, /* a/x has a host port, a/y has none */
        N_LATER = 64,
        SEEDS = 20, /* of each story */
        ACTIONS = 24,
        CALM = 10 * 60 * 1000,
        NEWS = 1500,       /* by which an agent that is in touch has heard everything */
        DEAF = 15 * 1000,  /* until it finds that it is not */
        FIGHT = 60 * 1000, /* a hand-over that follows it is over */
        GAP = 120 * 1000,  /* nothing runs for so long, and it is not the pods' own doing */
        CALM_WRITES = 16,  /* in CALM: a pod that is refused is written again after 1, 2, 4 ... minutes */
};

typedef enum Act {
        ACT_APPLY, /* or edit */
        ACT_DELETE,
        ACT_FENCE,
        ACT_UNFENCE,
        ACT_MISFIT,
        ACT_FIT,
        ACT_DELETE_POD,
        ACT_SHORT,
        ACT_ROOMY,
        ACT_EVICT,
        ACT_API,
        ACT_API_BLINK,
        ACT_KUBELET,
        ACT_KUBELET_LONG,
        ACT_AGENT,
        ACT_AGENT_LONG,
        ACT_DIE,
        ACT_REBOOT,
        ACT_EDIT,
        ACT_REMOVE,
        ACT_ADD,
        ACT_MODE,
        N_ACTS,
        /* These follow from the others. */
        ACT_KUBELET_START = N_ACTS,
        ACT_AGENT_START,
        ACT_API_BACK,
        N_ALL_ACTS,
} Act;

static const char *const act_names[N_ALL_ACTS] = {
        "apply",
        "delete",
        "fence",
        "unfence",
        "misfit",
        "fit",
        "delete pod",
        "short",
        "roomy",
        "evict",
        "api",
        "blink",
        "kubelet",
        "kubelet long",
        "agent",
        "agent long",
        "die",
        "reboot",
        "edit",
        "remove",
        "add",
        "mode",
        "(kubelet starts)",
        "(agent starts)",
        "(api back)",
};

typedef enum Break {
        HOLDS,
        TWO_ON_A_PORT,
        STOPPED_EARLY,
        HANDED_OVER_FROZEN,
        NONE_RUNS,
        TWO_RUN,
        TWO_BACK,
        UNWANTED_RUNS,
        RESTLESS,
        LONG_GAP,
        N_BREAKS,
} Break;

static const char *const break_names[N_BREAKS] = {
        "holds",   "two on a port",      "stopped early", "handed over frozen", "none runs",
        "two run", "back beside theirs", "unwanted runs", "restless",           "long gap",
};

typedef struct Action {
        Act act;
        size_t set;
        uint64_t arg;
        int64_t pause;
} Action;

typedef struct Later {
        int64_t at;
        Act act;
} Later;

typedef enum Cause {
        BY_NOTHING,
        BY_REBOOT,
        BY_HAND_OVER,
        BY_UPDATE,
        BY_DELETE,
        BY_EVICTION,
        BY_FILE,
        BY_REFUSAL,
        N_CAUSES
} Cause;
static const char *const cause_names[N_CAUSES] = {
        "start", "reboot", "hand-over", "rolling update", "deletion", "eviction", "file", "refusal",
};

/* What is watched of one DaemonSet. */
typedef struct Eye {
        int64_t exists_at, ready_at, runs_at; /* when theirs last did; -1 */
        Cause cause;                          /* why the last copy went */
        int64_t gap, overlap;                 /* so far */
        bool unheard;     /* what stands was written beside a pod of which the agent did not know: it may start late */
        int64_t fight_at; /* when ours last had a port of a pod of which the agent did not know; -1 */
} Eye;

typedef struct Sim {
        Kubelet k;
        Cluster c;
        Agent a;
        AmWish wishes[KM_SETS];
        Later later[N_LATER];
        size_t n_later;
        Eye eyes[SETS];
        uint64_t seed;
        Break broken;
        char what[512];
        bool calm;
        unsigned writes;
} Sim;

static Sim *sim;
static struct {
        size_t acts[N_ALL_ACTS], verbs[STEP_TOUCH + 1], steps, sequences, handovers, takebacks, unknown, fights;
        int64_t fight;
        int64_t gaps[SETS][N_CAUSES], overlap;
        uint64_t gap_seeds[SETS][N_CAUSES], overlap_seed;
        size_t breaks[N_BREAKS];
} stats;

static void _printf_(2, 3) broken(Break kind, const char *format, ...) {
        va_list ap;

        if (sim->broken)
                return;
        sim->broken = kind;
        va_start(ap, format);
        (void)vsnprintf(sim->what, sizeof(sim->what), format, ap);
        va_end(ap);
        km_trace(&sim->k, "**** %s: %s", break_names[kind], sim->what);
}

/* ---- what is so at any time ---- */

static size_t spec_of(size_t set, uint64_t n) {
        static const size_t with_port[] = { 2, 3, 6 }, without[] = { 0, 1, 5 };

        return set == 0 ? with_port[n % 3] : without[n % 3];
}

static bool is_alive(const KmPod *p) {
        return p->phase == KM_STARTING || km_has_containers(p);
}

static size_t count(const Sim *s, size_t set, bool theirs, bool running_only) {
        size_t n = 0;

        for (size_t i = 0; i < s->k.n_pods; i++) {
                const KmPod *p = &s->k.table[i];

                if (p->m.set == set && p->m.theirs == theirs &&
                    (running_only ? p->phase == KM_RUNNING : km_has_containers(p)))
                        n++;
        }
        return n;
}

static bool any_alive(const Sim *s, size_t set) {
        for (size_t i = 0; i < s->k.n_pods; i++)
                if (s->k.table[i].m.set == set && is_alive(&s->k.table[i]))
                        return true;
        return false;
}

/* Both cannot run at a time. */
static bool excludes(const Sim *s, size_t set) {
        return set == 0 || s->a.modes[set] == HANDOFF_EXISTS;
}

/* The kubelet decided to start it before there was anything to see of it, or has forgotten that it was ending it. */
static bool is_excused(const KmPod *ours) {
        return !ours->m.theirs && !ours->stood && (ours->left_early || !ours->known);
}

/* The agent has never heard of their pod. */
static bool is_unknown(const Sim *s, const KmPod *theirs) {
        return !streq(s->a.records[theirs->m.set].uid, theirs->m.uid) &&
               !streq(s->a.follow[theirs->m.set].theirs.uid, theirs->m.uid);
}

static bool running_unknown(const Sim *s, size_t set) {
        for (size_t i = 0; i < s->k.n_pods; i++) {
                const KmPod *p = &s->k.table[i];

                if (p->m.theirs && p->m.set == set && p->phase == KM_RUNNING)
                        return is_unknown(s, p);
        }
        return false;
}

/* What cannot be avoided has begun, and may go on for a while. */
static bool is_fighting(const Sim *s, size_t set) {
        return s->eyes[set].fight_at >= 0 && s->k.now - s->eyes[set].fight_at <= FIGHT;
}

static void check_ports(Sim *s) {
        for (size_t i = 0; i < s->k.n_pods; i++)
                for (size_t j = 0; j < i; j++) {
                        const KmPod *p = &s->k.table[i], *q = &s->k.table[j];

                        if (!km_has_containers(p) || !km_has_containers(q) || !km_pods_clash(&p->m, &q->m))
                                continue;
                        /* Of ours alone test_kubelet_model tells. */
                        if (p->m.theirs == q->m.theirs || is_excused(p) || is_excused(q))
                                continue;
                        bool known = s->a.modes[p->m.set] != HANDOFF_NEVER && !is_unknown(s, p->m.theirs ? p : q);

                        if (s->eyes[p->m.set].unheard)
                                known = s->eyes[p->m.set].unheard = false;
                        stats.fights += !known && !is_fighting(s, p->m.set);
                        if (!known || is_fighting(s, p->m.set))
                                s->eyes[p->m.set].fight_at = s->k.now;
                        if (!is_fighting(s, p->m.set))
                                broken(TWO_ON_A_PORT, "%s runs beside %s", p->m.uid, q->m.uid);
                }
}

/* Somebody should run it here. Whether what was handed over fits is the cluster's business. */
/* There is no room for theirs: it does not run, and that ours is away does not change it, but for the pod for which
 * ours made room. */
static bool is_cramped(const Sim *s, size_t set) {
        return s->c.is_short[set] && s->a.handovers[set] == HANDOVER_AWAY && !s->a.records[set].unplaced;
}

/* Ours made room for it in vain, and has to wait with the next try. */
static bool was_in_vain(const Sim *s, size_t set) {
        const KmObject *o = cm_find(&s->c, set);

        return o && !o->bound && s->a.records[set].unplaced && !*s->a.records[set].boot &&
               streq(s->a.records[set].uid, o->uid);
}

static bool is_wanted(const Sim *s, size_t set) {
        const ClusterSet *d = &s->c.sets[set];
        Handover h = s->a.handovers[set];

        if (is_cramped(s, set))
                return false;
        /* What it was told last counts. */
        if (cm_wants(&s->c, set) && (s->k.api_up || h != HANDOVER_STOPPED))
                return true;
        if (!s->wishes[set].defined || h == HANDOVER_STOPPED || (h == HANDOVER_AWAY && d->exists && d->misfit))
                return false;
        return !(s->a.stop_if_deleted && h == HANDOVER_AWAY);
}

/* What was refused is tried ever less often; and a kubelet that has not seen its server never starts a uid that came
 * back while it was ending. */
static bool is_of_the_kubelet(const Sim *s, Cause cause) {
        return cause == BY_REFUSAL || (cause == BY_FILE && !s->k.synced);
}

/* Time goes on with everything as it is. */
static void pass_time(Sim *s, int64_t by) {
        for (size_t i = 0; i < SETS; i++) {
                Eye *e = &s->eyes[i];
                bool both = count(s, i, false, false) && count(s, i, true, false);

                if (any_alive(s, i) || !s->wishes[i].defined || !is_wanted(s, i))
                        e->gap = 0;
                else if (s->k.up && s->a.up)
                        e->gap += by;
                if (e->gap > stats.gaps[i][e->cause] && s->a.modes[i] != HANDOFF_NEVER) {
                        stats.gaps[i][e->cause] = e->gap;
                        stats.gap_seeds[i][e->cause] = s->seed;
                }
                if (e->gap > GAP && s->k.now - s->a.started > GAP && !is_of_the_kubelet(s, e->cause) &&
                    s->a.modes[i] != HANDOFF_NEVER)
                        broken(LONG_GAP, "%s runs nowhere, after %s", s->k.files_of[i], cause_names[e->cause]);
                e->overlap = both ? e->overlap + by : 0;
                if (both && i == 0 && e->overlap > stats.fight)
                        stats.fight = e->overlap;
                if (i == 1 && e->overlap > stats.overlap && s->a.modes[i] != HANDOFF_NEVER && s->k.up && s->a.up) {
                        stats.overlap = e->overlap;
                        stats.overlap_seed = s->seed;
                }
        }
}

/* What was refused is tried again ever less often. */
static bool is_refused(const Sim *s, size_t set) {
        for (size_t i = 0; i < s->k.n_pods; i++)
                if (s->k.table[i].m.set == set && !s->k.table[i].m.theirs && s->k.table[i].phase == KM_REFUSED)
                        return true;
        return false;
}

static void observe(Sim *s) {
        check_ports(s);
        for (size_t i = 0; i < SETS; i++) {
                const KmObject *o = cm_find(&s->c, i);
                const KmPod *p;

                if (is_refused(s, i))
                        s->eyes[i].cause = BY_REFUSAL;
                p = o ? km_find_pod(&s->k, o->uid) : NULL;

                if (o)
                        s->eyes[i].exists_at = s->k.now;
                if (o && o->ready && !o->deleting)
                        s->eyes[i].ready_at = s->k.now;
                if (p && km_has_containers(p))
                        s->eyes[i].runs_at = s->k.now;
        }
}

static void on_start(Kubelet *k, const KmPod *p) {
        (void)k, (void)p;
}

/* Whether theirs was there when the agent last heard. */
static bool is_recent(const Sim *s, int64_t at) {
        return at >= 0 && s->k.now - at <= NEWS + DEAF;
}

static void check_hand_over(Sim *s, size_t set) {
        const KmFile *f = km_find_file(&s->k, s->k.files_of[set]);
        const KmObject *o = cm_find(&s->c, set);
        const Eye *e = &s->eyes[set];
        const KmPod *p;
        KmManifest m;

        s->eyes[set].cause = BY_HAND_OVER;
        /* The scheduler has said that theirs cannot run, but the mirror because of which it said so is not there now.
         */
        if (set == 0 && !s->k.mirrors[set].pod && o && !o->bound)
                s->eyes[set].fight_at = s->k.now;
        if (!f || !km_parse(&s->k, f->name, f->bytes, &m))
                return;
        p = km_find_pod(&s->k, m.uid);
        if (!p || !km_has_containers(p))
                return;
        if (km_is_frozen(&s->k) || !s->k.up)
                broken(HANDED_OVER_FROZEN, "%s is handed over to a kubelet that does not stop it", f->name);
        if (s->a.handovers[set] == HANDOVER_STOPPED || s->a.stop_if_deleted)
                return;
        if (!is_recent(s, excludes(s, set) ? e->exists_at : e->ready_at) ||
            (!excludes(s, set) && !is_recent(s, e->runs_at)))
                broken(STOPPED_EARLY, "%s is handed over, and nothing follows", f->name);
}

/* Nothing is taken back beside their pod, where nobody says that it should be. */
static void check_back(Sim *s, size_t set) {
        if (!s->a.away || s->a.modes[set] == HANDOFF_NEVER || !cm_wants(&s->c, set) || !count(s, set, true, true))
                return;
        if (running_unknown(s, set))
                stats.unknown++;
        else
                broken(TWO_BACK, "%s comes back beside theirs", s->k.files_of[set]);
}

/* The server is back, and theirs with the host port is about to start, before the agent has heard of either. */
static bool is_started_unheard(const Sim *s) {
        const KmObject *o = cm_find(&s->c, 0);

        return s->a.away && o && o->bound && !count(s, 0, true, false);
}

static void on_step(Agent *a, size_t set, const PlanStep *s) {
        stats.verbs[s->verb]++;
        stats.handovers += s->verb == STEP_HAND_OVER;
        stats.takebacks += s->back;
        if (s->verb != STEP_RECORD && s->verb != STEP_FORGET)
                sim->writes += sim->calm;
        if (s->back)
                check_back(sim, set);
        if (s->bytes && s->verb != STEP_RECORD && set == 0)
                sim->eyes[set].unheard = running_unknown(sim, set) || is_started_unheard(sim);
        if (sim->eyes[set].unheard)
                sim->eyes[set].fight_at = sim->k.now;
        if (s->verb == STEP_HAND_OVER)
                check_hand_over(sim, set);
        else if (s->verb == STEP_REMOVE || s->verb == STEP_REPLACE)
                sim->eyes[set].cause = BY_FILE;
        (void)a;
}

static void ask(void *user, size_t set, AmTheirs *ret) {
        const Sim *s = user;
        const ClusterSet *d = &s->c.sets[set];
        const KmObject *o = cm_find(&s->c, set);

        /* A pod that the scheduler has not looked at yet may start beside ours: it is none so far. */
        *ret = (AmTheirs){ .daemonset = !d->exists ? THEIRS_ABSENT : d->fenced ? THEIRS_FENCED : THEIRS_RUNS };
        if (!o || (!o->bound && !o->refused))
                return;
        ret->pod = !o->bound ? POD_UNBOUND : o->ready && !o->deleting ? POD_READY : POD_BOUND;
        (void)snprintf(ret->name, KM_NAME, "%s", o->name);
        (void)snprintf(ret->uid, KM_NAME, "%s", o->uid);
}

/* ---- what happens ---- */

static void later(Sim *s, int64_t in, Act act) {
        assert_true(s->n_later < N_LATER);
        s->later[s->n_later++] = (Later){ s->k.now + in, act };
}

static void wish(Sim *s, size_t set, bool defined, size_t spec) {
        km_trace(&s->k, "the file: %s %s %s", s->k.files_of[set], defined ? "is" : "is not defined, it was",
                 km_specs[spec]);
        s->wishes[set] = (AmWish){ .defined = defined, .wish = WISH_PRESENT, .spec = spec, .since = s->k.now };
        am_sources_changed(&s->a);
}

static void set_api(Sim *s, bool up) {
        if (s->k.api_up == up)
                return;
        km_set_api(&s->k, up);
        cm_api_changed(&s->c);
        am_api_changed(&s->a);
}

static void evict(Sim *s, size_t set) {
        const KmObject *o = cm_find(&s->c, set);
        KmPod *p = o ? km_find_pod(&s->k, o->uid) : NULL;

        if (!p || p->phase != KM_RUNNING || !s->k.up)
                return;
        s->eyes[set].cause = BY_EVICTION;
        if (p->known)
                km_evict(&s->k, p);
        else
                km_die(&s->k, p);
}

static void reboot(Sim *s, uint64_t n) {
        if (s->a.up)
                am_kill(&s->a);
        km_reboot(&s->k);
        for (size_t i = 0; i < SETS; i++)
                s->eyes[i].cause = BY_REBOOT;
        later(s, 1000 + (int64_t)(n % 10000), ACT_AGENT_START);
        later(s, 1000 + (int64_t)(n / 10000 % 10000), ACT_KUBELET_START);
}

static void act_on_cluster(Sim *s, const Action *x) {
        size_t set = x->set;
        Cause *cause = &s->eyes[set].cause;

        if (s->k.api_up && (x->act == ACT_APPLY || x->act == ACT_DELETE_POD) && count(s, set, true, false))
                *cause = BY_UPDATE;
        if (s->k.api_up && (x->act == ACT_DELETE || x->act == ACT_FENCE || x->act == ACT_MISFIT))
                *cause = BY_DELETE;
        if (x->act == ACT_APPLY)
                cm_apply(&s->c, set, spec_of(set, x->arg));
        else if (x->act == ACT_DELETE)
                cm_delete(&s->c, set);
        else if (x->act == ACT_FENCE || x->act == ACT_UNFENCE)
                cm_fence(&s->c, set, x->act == ACT_FENCE);
        else if (x->act == ACT_MISFIT || x->act == ACT_FIT)
                cm_misfit(&s->c, set, x->act == ACT_MISFIT);
        else if (x->act == ACT_SHORT || x->act == ACT_ROOMY)
                cm_short(&s->c, set, x->act == ACT_SHORT);
        else
                cm_delete_pod(&s->c, set);
}

static void act_on_host(Sim *s, Act what, uint64_t n) {
        bool is_long = what == ACT_KUBELET_LONG || what == ACT_AGENT_LONG;
        int64_t pause = is_long ? 10000 + (int64_t)(n % 180000) : 100 + (int64_t)(n % 5000);

        if (what == ACT_API)
                set_api(s, !s->k.api_up);
        else if (what == ACT_API_BLINK) {
                set_api(s, false);
                later(s, pause * 4, ACT_API_BACK);
        } else if ((what == ACT_KUBELET || what == ACT_KUBELET_LONG) && s->k.up) {
                km_stop(&s->k);
                later(s, pause, ACT_KUBELET_START);
        } else if ((what == ACT_AGENT || what == ACT_AGENT_LONG) && s->a.up) {
                am_kill(&s->a);
                later(s, pause, ACT_AGENT_START);
        } else if (what == ACT_DIE) {
                s->a.die_at = (int)(n % 4);
                later(s, pause * 3, ACT_AGENT_START);
        } else if (what == ACT_REBOOT)
                reboot(s, n);
        else if (what == ACT_KUBELET_START && !s->k.up)
                km_start(&s->k);
        else if (what == ACT_AGENT_START) {
                s->a.die_at = -1;
                if (!s->a.up)
                        am_start(&s->a);
        } else if (what == ACT_API_BACK)
                set_api(s, true);
}

/* With a host port theirs cannot become Ready before ours is gone. */
static void set_mode(Sim *s, size_t set, HandoffMode mode) {
        if (set == 0 && mode == HANDOFF_READY)
                mode = HANDOFF_AUTO;
        km_trace(&s->k, "the file: " ANNOTATION_HANDOFF " of %s is %d", s->k.files_of[set], (int)mode);
        s->a.modes[set] = mode;
        am_sources_changed(&s->a);
}

/* Each pod of theirs is given its time to find room, by each process anew. */
static void begin_gaps_anew(Sim *s) {
        for (size_t i = 0; i < SETS; i++)
                if (s->c.is_short[i] && s->a.records[i].unplaced)
                        s->eyes[i].gap = 0;
}

static void act(Sim *s, const Action *x) {
        AmWish *w = &s->wishes[x->set];

        stats.acts[x->act]++;
        begin_gaps_anew(s);
        if (x->act < ACT_EVICT)
                act_on_cluster(s, x);
        else if (x->act == ACT_EVICT)
                evict(s, x->set);
        else if (x->act == ACT_EDIT)
                wish(s, x->set, w->defined, spec_of(x->set, x->arg));
        else if (x->act == ACT_MODE)
                set_mode(s, x->set, (HandoffMode)(x->arg % 4));
        else if (x->act == ACT_REMOVE || x->act == ACT_ADD)
                wish(s, x->set, x->act == ACT_ADD, w->spec);
        else
                act_on_host(s, x->act, x->arg);
}

/* ---- time ---- */

static int64_t next_time(const Sim *s, int64_t end) {
        int64_t due[] = { km_due(&s->k), cm_due(&s->c), am_due(&s->a) };

        for (size_t i = 0; i < ARRAY_SIZE(due); i++)
                if (due[i] >= 0 && due[i] < end)
                        end = due[i];
        for (size_t i = 0; i < s->n_later; i++)
                if (s->later[i].at < end)
                        end = s->later[i].at;
        return end > s->k.now ? end : s->k.now;
}

static void run_later(Sim *s) {
        for (size_t i = s->n_later; i-- > 0;)
                if (s->later[i].at <= s->k.now) {
                        Action x = { .act = s->later[i].act };

                        s->later[i] = s->later[--s->n_later];
                        act(s, &x);
                }
}

static void go_on(Sim *s, int64_t end) {
        while (s->k.now < end && !s->broken) {
                int64_t next = next_time(s, end);

                pass_time(s, next - s->k.now);
                s->k.now = next;
                km_run(&s->k);
                observe(s);
                cm_run(&s->c);
                run_later(s);
                if (s->c.news)
                        am_cluster_news(&s->a);
                s->c.news = false;
                observe(s);
                am_run(&s->a);
                if (s->k.news)
                        am_news(&s->a);
                s->k.news = false;
                stats.steps++;
                if (s->a.passes_at_now > 8)
                        broken(RESTLESS, "the agent works without time going on");
        }
}

/* ---- when nothing happens any more ---- */

static void check_calm_set(Sim *s, size_t set) {
        size_t ours = count(s, set, false, true), theirs = count(s, set, true, true);
        const ClusterSet *d = &s->c.sets[set];
        HandoffMode mode = s->a.modes[set];
        Handover h = s->a.handovers[set];
        bool up = s->k.api_up, file = s->wishes[set].defined;
        bool stays = set == 0 && mode == HANDOFF_READY; /* theirs cannot become Ready */
        bool may_be_none = !file || h == HANDOVER_STOPPED;

        if (h == HANDOVER_STOPPED && ours)
                broken(UNWANTED_RUNS, "%s runs though it was stopped", s->k.files_of[set]);
        if (mode == HANDOFF_NEVER) {
                if (file && ours == 0 && !(set == 0 && theirs) && !is_refused(s, set))
                        broken(NONE_RUNS, "%zu of %s run", ours, s->k.files_of[set]);
                return;
        }
        /* Without a host port the last news counts, however long there are none. */
        if (ours && theirs && !is_fighting(s, set) && !running_unknown(s, set) && (up || set == 0))
                broken(TWO_RUN, "%zu and %zu of %s run in the end", ours, theirs, s->k.files_of[set]);
        if (up && !file && ours)
                broken(UNWANTED_RUNS, "%s runs in the end", s->k.files_of[set]);
        if (up && cm_wants(&s->c, set) && !s->c.is_short[set] && !was_in_vain(s, set) && !stays && !theirs)
                broken(NONE_RUNS, "theirs of %s does not run in the end", s->k.files_of[set]);
        /* Whether a DaemonSet that was handed over fits is the cluster's business. */
        if (up && d->exists && !d->fenced && d->misfit)
                may_be_none |= h == HANDOVER_AWAY;
        may_be_none |= is_cramped(s, set);
        if (!may_be_none && ours + theirs == 0 && !is_refused(s, set))
                broken(NONE_RUNS, "%s does not run in the end", s->k.files_of[set]);
}

static void calm_down(Sim *s, bool up) {
        km_trace(&s->k, "---- nothing happens any more, and the server is %s", up ? "up" : "down");
        s->n_later = 0;
        s->a.die_at = -1;
        if (!s->k.up)
                km_start(&s->k);
        if (!s->a.up)
                am_start(&s->a);
        set_api(s, up);
        go_on(s, s->k.now + CALM);
        for (size_t i = 0; i < SETS && !s->broken; i++)
                check_calm_set(s, i);
        s->calm = true;
        s->writes = 0;
        go_on(s, s->k.now + CALM);
        if (s->writes > CALM_WRITES)
                broken(RESTLESS, "%u writes though nothing happens", s->writes);
        for (size_t i = 0; i < SETS && !s->broken; i++)
                check_calm_set(s, i);
}

/* ---- a sequence ---- */

static void begin(Sim *s, uint64_t seed) {
        memset(s, 0, sizeof(*s));
        sim = s;
        km_seed(seed);
        km_init(&s->k);
        s->seed = seed;
        s->k.on_start = on_start;
        s->k.has_api = true;
        s->k.has_witness = true;
        s->k.counts_ending = km_random(2);
        s->k.api_up = km_random(2);
        cm_init(&s->c, &s->k);
        am_init(&s->a, &s->k, s->wishes);
        s->a.holds = true;
        s->a.on_step = on_step;
        s->a.ask = ask;
        s->a.user = s;
        s->a.stop_if_deleted = km_random(6) == 0;
        for (size_t i = 0; i < SETS; i++) {
                s->a.modes[i] = km_random(6) ? HANDOFF_AUTO : (HandoffMode)km_random(4);
                if (i == 0 && s->a.modes[i] == HANDOFF_READY)
                        s->a.modes[i] = HANDOFF_AUTO;
                s->eyes[i] = (Eye){ .exists_at = -1, .ready_at = -1, .runs_at = -1, .fight_at = -1 };
                s->wishes[i].spec = spec_of(i, 0);
        }
}

static void end(Sim *s) {
        ledger_done(&s->a.ledger);
        km_done(&s->k);
}

static int64_t any_pause(void) {
        switch (km_random(5)) {
        case 0:
                return km_between(0, 300);
        case 1:
                return km_between(300, 5000);
        case 2:
                return km_between(5000, 30000);
        case 3:
                return km_between(10000, 120000);
        default:
                return km_between(1000, 12000);
        }
}

static void make_actions(uint64_t seed, Action actions[static ACTIONS]) {
        km_seed(seed + UINT64_C(0x5bd1e995));
        for (size_t i = 0; i < ACTIONS; i++)
                actions[i] = (Action){ .act = (Act)km_random(N_ACTS),
                                       .set = (size_t)km_random(SETS),
                                       .arg = km_random(1U << 30),
                                       .pause = any_pause() };
}

/* How the sequence is set up follows from one seed, all delays in it from another. */
static Break run(Sim *s, uint64_t seed, uint64_t delays, const Action *actions, size_t n) {
        begin(s, seed);
        km_seed(delays);
        for (size_t i = 0; i < SETS; i++)
                if (km_random(6))
                        wish(s, i, true, spec_of(i, km_random(3)));
        later(s, km_between(0, 3000), ACT_AGENT_START);
        later(s, km_between(0, 3000), ACT_KUBELET_START);
        go_on(s, 10000 + km_between(0, 60000));
        for (size_t i = 0; i < n && !s->broken; i++) {
                act(s, &actions[i]);
                go_on(s, s->k.now + actions[i].pause);
        }
        if (!s->broken)
                calm_down(s, km_random(2));
        if (!s->broken && !s->k.api_up)
                calm_down(s, true);
        return s->broken;
}

/* Whether the actions break the property, with these delays or others. */
static bool breaks(Sim *s, uint64_t seed, Break kind, const Action *actions, size_t n, uint64_t *delays) {
        for (uint64_t i = 0; i < 40; i++) {
                uint64_t tried = i ? seed * 1000 + i : *delays;
                Break now = run(s, seed, tried, actions, n);

                end(s);
                if (now != kind)
                        continue;
                *delays = tried;
                return true;
        }
        return false;
}

/* Drops what is not needed to break the same property. */
static size_t shrink(Sim *s, uint64_t seed, Break kind, Action *actions, size_t n, uint64_t *delays) {
        for (size_t i = n; i-- > 0;) {
                Action kept[ACTIONS];

                memcpy(kept, actions, n * sizeof(*actions));
                memmove(actions + i, actions + i + 1, (n - i - 1) * sizeof(*actions));
                if (breaks(s, seed, kind, actions, n - 1, delays)) {
                        n--;
                        continue;
                }
                if (i > 0) {
                        actions[i - 1].pause += kept[i].pause;
                        if (breaks(s, seed, kind, actions, n - 1, delays)) {
                                n--;
                                continue;
                        }
                }
                memcpy(actions, kept, n * sizeof(*actions));
        }
        return n;
}

static void tell_break(Sim *s, uint64_t seed, Break kind, Action *actions) {
        uint64_t delays = seed;
        size_t n = ACTIONS, before;

        do {
                before = n;
                n = shrink(s, seed, kind, actions, n, &delays);
        } while (n < before);
        (void)run(s, seed, delays, actions, n);
        if (getenv("MODEL_TRACE"))
                (void)fputs(buf_text(&s->k.trace), stderr);
        (void)fprintf(stderr, "MODEL_SEED=%" PRIu64 " MODEL_RUNS=1: %s: %s\n ", seed, break_names[kind], s->what);
        for (size_t i = 0; i < n; i++)
                (void)fprintf(stderr, " %s %s, %d.%03d s;", act_names[actions[i].act],
                              actions[i].act < ACT_API || actions[i].act > ACT_REBOOT ? km_names[actions[i].set][1]
                                                                                      : "",
                              (int)(actions[i].pause / 1000), (int)(actions[i].pause % 1000));
        (void)fprintf(stderr, " the end with the server %s; modes %d %d%s\n", s->k.api_up ? "up" : "down",
                      (int)s->a.modes[0], (int)s->a.modes[1], s->a.stop_if_deleted ? ", stop" : "");
        end(s);
}

static uint64_t number(const char *variable, uint64_t otherwise) {
        const char *text = getenv(variable);

        return text ? strtoull(text, NULL, 10) : otherwise;
}

static void print_stats(void) {
        print_message("%zu sequences, %zu steps, %zu hand-overs, %zu take-backs\n", stats.sequences, stats.steps,
                      stats.handovers, stats.takebacks);
        for (size_t set = 0; set < SETS; set++)
                for (size_t i = 0; i < N_CAUSES; i++)
                        print_message("longest gap, %s, after %s: %.1f s (%" PRIu64 ")\n",
                                      set ? "no host port" : "host port", cause_names[i],
                                      (double)stats.gaps[set][i] / 1000, stats.gap_seeds[set][i]);
        print_message("longest overlap with a host port: 0 s, but for what an agent cannot avoid: %.1f s, %zu times of "
                      "a pod that it did not know; without a host port %zu came back beside such a one\n",
                      (double)stats.fight / 1000, stats.fights, stats.unknown);
        print_message("longest overlap without a host port: %.1f s (%" PRIu64 ")\n", (double)stats.overlap / 1000,
                      stats.overlap_seed);
}

static void test_ours_or_theirs(void **state) {
        static Sim s;
        uint64_t seed = number("MODEL_SEED", 1), runs = number("MODEL_RUNS", 800);
        size_t n = 0;

        (void)state;
        for (uint64_t i = seed; i < seed + runs; i++) {
                Action actions[ACTIONS];
                Break kind;

                make_actions(i, actions);
                kind = run(&s, i, i, actions, ACTIONS);
                end(&s);
                stats.sequences++;
                stats.breaks[kind]++;
                n += kind != HOLDS;
                if (kind != HOLDS && stats.breaks[kind] <= number("MODEL_SHOW", 3))
                        tell_break(&s, i, kind, actions);
        }
        print_stats();
        for (size_t i = HOLDS + 1; i < N_BREAKS; i++)
                if (stats.breaks[i])
                        print_message("%s: %zu of %zu sequences\n", break_names[i], stats.breaks[i], stats.sequences);
        if (n)
                fail_msg("%zu sequences broke a property", n);
}

/* ---- stories ---- */

/* Words: "apply SPEC", "delete", "fence", "unfence", "misfit", "fit", "delete-pod" (in the cluster), "short", "roomy"
 * (the node, for its pods), "evict" (their
 * pod, by the kubelet; one that it does not know dies), "api up|down", "agent up|down|restart", "kubelet
 * up|down|restart", "reboot" (both come up again within 10 s), "boot" (the kubelet does), "want SPEC", "undefine" (the
 * file), "wait SECONDS", "see FILE PODS STATE [REASON]": the spec of the manifest and of running pods, "T" before
 * theirs, "-" for none; "writes N": steps that changed the directory since the beginning.
 *
 * It begins with a file of a/x = 2:80 or a/y = 1, and a minute with the server or without it. */
typedef struct Story {
        const char *name, *text;
        bool port;
        bool away; /* the server is down in the beginning */
        bool stop; /* on_api_deleted = stop */
        HandoffMode mode;
} Story;

#define HANDED_OVER "apply 1 | wait 90 | see - T1 HandedOver HandedOver | "
#define PORT_HANDED_OVER "apply 2:80 | wait 90 | see - T2:80 HandedOver HandedOver | "

static const Story stories[] = {
        { .name = "applied: theirs runs before ours goes", .text = HANDED_OVER "writes 2" },
        { .name = "applied, with a host port: ours goes first", .port = true, .text = PORT_HANDED_OVER "writes 2" },
        { .name = "a first boot without a server",
          .away = true,
          .text = "see 1 1 Running Fits | api up | wait 60 | see 1 1 Running Fits | " HANDED_OVER "writes 2" },
        { .name = "a first boot without a server, with a host port",
          .port = true,
          .away = true,
          .text = "see 2:80 2:80 Running Fits | api up | wait 60 | see 2:80 2:80 Running Fits | " PORT_HANDED_OVER
                  "writes 2" },
        { .name = "applied where it does not fit",
          .text = "apply 1 | misfit | wait 90 | see 1 1 Running HandingOver | fit | wait 90 | see - T1 HandedOver" },
        { .name = "never",
          .port = true,
          .mode = HANDOFF_NEVER,
          .text = "apply 2:80 | wait 90 | see 2:80 2:80 Running Fits | writes 1" },
        { .name = "a lonely reboot",
          .text = HANDED_OVER "api down | wait 60 | see - T1 HandedOver | reboot | wait 90 | see 1 1 Running | "
                              "api up | wait 120 | see - T1 HandedOver | writes 4" },
        { .name = "a lonely reboot, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "api down | wait 60 | reboot | wait 90 | see 2:80 2:80 Running | "
                                   "api up | wait 180 | see - T2:80 HandedOver" },
        { .name = "a reboot with the server there", .text = HANDED_OVER "reboot | wait 120 | see - T1 HandedOver" },
        { .name = "a reboot with the server there, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "reboot | wait 300 | see - T2:80 HandedOver" },
        { .name = "a rolling update", .text = HANDED_OVER "apply 4 | wait 90 | see - T4 HandedOver | writes 2" },
        { .name = "a rolling update, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "apply 5:80,81 | wait 90 | see - T5:80,81 HandedOver | writes 2" },
        { .name = "the file is edited", .text = HANDED_OVER "want 4 | wait 60 | see - T1 HandedOver | writes 2" },
        { .name = "the file goes and comes",
          .text = HANDED_OVER
          "undefine | wait 60 | see - T1 none | want 1 | wait 60 | see - T1 HandedOver | writes 2" },
        { .name = "deleted", .text = HANDED_OVER "delete | wait 90 | see 1 1 Running | writes 3" },
        { .name = "deleted, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "delete | wait 90 | see 2:80 2:80 Running | writes 3" },
        { .name = "deleted, and so it stops",
          .stop = true,
          .text = HANDED_OVER "delete | wait 90 | see - - HandedOver DeletedInApi | api down | reboot | wait 90 | "
                              "see - - HandedOver DeletedInApi | api up | wait 60 | apply 1 | wait 90 | "
                              "see - T1 HandedOver HandedOver | writes 2" },
        { .name = "fenced",
          .text = HANDED_OVER "fence | wait 90 | see 1 1 Running | unfence | wait 90 | "
                              "see - T1 HandedOver | writes 4" },
        { .name = "it does not fit any more: nothing runs",
          .text = HANDED_OVER
          "misfit | wait 90 | see - - HandedOver | fit | wait 60 | see - T1 HandedOver | writes 2" },
        { .name = "there is no room for theirs: ours keeps running",
          .text = "short | apply 1 | wait 90 | see 1 1 Running HandingOver | roomy | wait 60 | see - T1 HandedOver | "
                  "writes 2" },
        { .name = "there is no room for theirs, with a host port: ours comes back",
          .port = true,
          .text = "short | apply 2:80 | wait 120 | see 2:80 2:80 Running HandingOver | wait 3400 | "
                  "see 2:80 2:80 Running HandingOver | writes 3 | agent restart | wait 3500 | "
                  "see 2:80 2:80 Running HandingOver | writes 3 | roomy | wait 200 | see - T2:80 HandedOver | "
                  "writes 4" },
        { .name = "there is no room for theirs, with a host port, nor an hour later",
          .port = true,
          .text = "short | apply 2:80 | wait 120 | see 2:80 2:80 Running HandingOver | writes 3 | wait 3700 | "
                  "see 2:80 2:80 Running HandingOver | writes 5" },
        { .name = "there was no room for theirs, with a host port, but is for the next one",
          .port = true,
          .text = "short | apply 2:80 | wait 120 | see 2:80 2:80 Running HandingOver | roomy | delete-pod | wait 90 | "
                  "see - T2:80 HandedOver | writes 4" },
        { .name = "there is no room for theirs, and the host is rebooted, with a host port",
          .port = true,
          .text = "short | apply 2:80 | wait 120 | see 2:80 2:80 Running HandingOver | roomy | reboot | wait 300 | "
                  "see 2:80 2:80 Running HandingOver | delete-pod | wait 90 | see - T2:80 HandedOver" },
        { .name = "there is no room for theirs, and then it is deleted: that is doubted for as long as ever",
          .port = true,
          .stop = true,
          .text = "short | apply 2:80 | wait 120 | see 2:80 2:80 Running HandingOver | wait 700 | delete | wait 60 | "
                  "see 2:80 2:80 Running" },
        { .name = "there is no room for theirs, and the server goes: that pod has had its chance",
          .port = true,
          .text = "short | apply 2:80 | wait 55 | api down | wait 90 | see 2:80 2:80 Running | writes 3 | api up | wait 45 | "
                  "see 2:80 2:80 Running | writes 3" },
        { .name = "there is no room for theirs, and the server comes and goes",
          .port = true,
          .text = "short | apply 2:80 | wait 50 | api down | wait 10 | api up | wait 45 | api down | wait 10 | api up | "
                  "wait 45 | api down | wait 10 | api up | wait 45 | api down | wait 10 | api up | wait 20 | "
                  "see 2:80 2:80 Running | writes 3" },
        { .name = "there is no room for the next of theirs: that is the cluster's business",
          .port = true,
          .text = PORT_HANDED_OVER "short | apply 5:80,81 | wait 300 | see - - HandedOver | roomy | wait 60 | "
                                   "see - T5:80,81 HandedOver | writes 2" },
        { .name = "the agent is restarted, with a server and without",
          .text = HANDED_OVER "agent restart | wait 60 | see - T1 HandedOver | api down | wait 60 | agent restart | "
                              "wait 120 | see - T1 HandedOver | writes 2" },
        { .name = "the kubelet is restarted in an outage",
          .text = HANDED_OVER "api down | wait 60 | kubelet restart | wait 120 | see - T1 HandedOver | "
                              "api up | wait 90 | see - T1 HandedOver | writes 2" },
        { .name = "the kubelet is restarted in an outage, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "api down | wait 60 | kubelet restart | wait 120 | see - T2:80 HandedOver | "
                                   "agent restart | wait 60 | see - T2:80 HandedOver | api up | wait 90 | "
                                   "see - T2:80 HandedOver | writes 2" },
        { .name = "theirs is there again after a reboot, then the server goes, then the agent comes",
          .text = HANDED_OVER
          "boot | wait 40 | api down | wait 5 | agent up | wait 90 | see - T1 HandedOver | writes 2" },
        { .name = "the file goes, and comes in an outage, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "undefine | wait 60 | see - T2:80 none | api down | wait 60 | kubelet restart | "
                                   "wait 30 | want 2:80 | wait 90 | see - T2:80 HandedOver | writes 2" },
        { .name = "fenced while no kubelet runs, then an outage, with a host port",
          .port = true,
          .text = "undefine | wait 60 | apply 2:80 | wait 60 | see - T2:80 none | kubelet down | fence | want 2:80 | "
                  "wait 30 | see - T2:80 Waiting ControllerEnding | api down | kubelet up | wait 90 | "
                  "see - T2:80 HandedOver | api up | wait 120 | see 2:80 2:80 Running | writes 3" },
        { .name = "evicted in an outage",
          .text = HANDED_OVER "api down | wait 60 | evict | wait 2 | see - * HandedOver | wait 118 | see 1 1 Running | "
                              "api up | wait 180 | see - T1 HandedOver | writes 4" },
        { .name = "evicted in an outage, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "api down | wait 60 | evict | wait 2 | see - * HandedOver | wait 118 | "
                                   "see 2:80 2:80 Running | api up | wait 180 | see - T2:80 HandedOver" },
        { .name = "it dies under a kubelet that does not know it",
          .text = HANDED_OVER "api down | wait 60 | kubelet restart | wait 30 | evict | wait 20 | see - - HandedOver | "
                              "wait 60 | see 1 1 Running | api up | wait 180 | see - T1 HandedOver | writes 4" },
        { .name = "it dies under a kubelet that does not know it, with a host port",
          .port = true,
          .text = PORT_HANDED_OVER "api down | wait 60 | kubelet restart | wait 30 | evict | wait 20 | "
                                   "see - - HandedOver | wait 60 | see 2:80 2:80 Running" },
};

static const Story *story;
static const char *story_at;

static void _printf_(2, 3) wrong(Sim *s, const char *format, ...) {
        char what[256];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(what, sizeof(what), format, ap);
        va_end(ap);
        (void)fputs(buf_text(&s->k.trace), stderr);
        fail_msg("%s, seed %d, at %.60s: %s", story->name, (int)s->seed, story_at, what);
}

static const char *running(const Sim *s, size_t set) {
        static char text[256];
        size_t n = 0;

        (void)snprintf(text, sizeof(text), "-");
        for (int theirs = 0; theirs < 2; theirs++)
                for (size_t i = 0; i < s->k.n_pods; i++) {
                        const KmPod *p = &s->k.table[i];

                        if (p->m.set == set && p->m.theirs == theirs && km_has_containers(p))
                                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s", n ? "+" : "",
                                                      theirs ? "T" : "", p->m.pod->spec);
                }
        return text;
}

static void see(Sim *s, size_t set, char **words) {
        const KmFile *f = km_find_file(&s->k, s->k.files_of[set]);
        const char *stands = f ? world_spec(&s->k.world, f->bytes, strlen(f->bytes)) : "-";
        int state = s->a.up ? s->a.states[set] : -1;
        const char *shows = state < 0 ? "none" : state_name((State)state);

        if (!streq(stands, words[1]))
                wrong(s, "%s stands", stands);
        if (!streq(running(s, set), words[2]) && !streq(words[2], "*"))
                wrong(s, "%s runs", running(s, set));
        if (!streq(shows, words[3]) || (words[4] && !streq(reason_name(s->a.reasons[set]), words[4])))
                wrong(s, "it is %s %s", shows, reason_name(s->a.reasons[set]));
}

static size_t find_spec(const char *spec) {
        for (size_t i = 0; i < KM_SPECS; i++)
                if (streq(km_specs[i], spec))
                        return i;
        fail_msg("unknown spec %s", spec);
        return 0;
}

static bool tell_cluster(Sim *s, size_t set, const char *verb, const char *what) {
        if (streq(verb, "apply"))
                cm_apply(&s->c, set, find_spec(what));
        else if (streq(verb, "delete"))
                cm_delete(&s->c, set);
        else if (streq(verb, "fence") || streq(verb, "unfence"))
                cm_fence(&s->c, set, streq(verb, "fence"));
        else if (streq(verb, "misfit") || streq(verb, "fit"))
                cm_misfit(&s->c, set, streq(verb, "misfit"));
        else if (streq(verb, "short") || streq(verb, "roomy"))
                cm_short(&s->c, set, streq(verb, "short"));
        else if (streq(verb, "delete-pod"))
                cm_delete_pod(&s->c, set);
        else
                return false;
        return true;
}

static bool tell_host(Sim *s, size_t set, const char *verb, const char *what) {
        if (streq(verb, "evict"))
                evict(s, set);
        else if (streq(verb, "api"))
                set_api(s, streq(what, "up"));
        else if (streq(verb, "reboot"))
                reboot(s, km_random(100000000));
        else if (streq(verb, "boot")) {
                am_kill(&s->a);
                km_reboot(&s->k);
                km_start(&s->k);
        } else if (streq(verb, "agent")) {
                if (!streq(what, "up"))
                        am_kill(&s->a);
                if (!streq(what, "down"))
                        am_start(&s->a);
        } else if (streq(verb, "kubelet")) {
                if (!streq(what, "up"))
                        km_stop(&s->k);
                if (!streq(what, "down"))
                        km_start(&s->k);
        } else
                return false;
        return true;
}

static void tell_step(Sim *s, size_t set, char **words) {
        const char *verb = words[0], *what = words[1];

        if (tell_cluster(s, set, verb, what) || tell_host(s, set, verb, what))
                return;
        if (streq(verb, "wait")) {
                go_on(s, s->k.now + 1000 * (int64_t)strtol(what, NULL, 10));
                if (s->broken)
                        wrong(s, "%s: %s", break_names[s->broken], s->what);
        } else if (streq(verb, "see"))
                see(s, set, words);
        else if (streq(verb, "want"))
                wish(s, set, true, find_spec(what));
        else if (streq(verb, "undefine"))
                wish(s, set, false, s->wishes[set].spec);
        else if (streq(verb, "writes")) {
                if (s->writes != strtoul(what, NULL, 10))
                        wrong(s, "%u writes", s->writes);
        } else
                fail_msg("unknown word %s", verb);
}

static void tell(Sim *s, size_t set) {
        _cleanup_free_ char *text = strdup(story->text);
        char *save = NULL;

        assert_non_null(text);
        for (char *part = strtok_r(text, "|", &save); part; part = strtok_r(NULL, "|", &save)) {
                char *words[8] = { 0 }, *save_word = NULL;
                size_t n = 0;

                story_at = story->text + (part - text);
                for (char *x = strtok_r(part, " ", &save_word); x && n < 7; x = strtok_r(NULL, " ", &save_word))
                        words[n++] = x;
                if (n > 0)
                        tell_step(s, set, words);
        }
}

static void test_story(void **state) {
        static Sim s;

        story = *state;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                size_t set = story->port ? 0 : 1;

                story_at = "the beginning";
                begin(&s, seed);
                s.calm = true; /* count */
                s.k.api_up = !story->away;
                s.a.stop_if_deleted = story->stop;
                s.a.modes[set] = story->mode;
                wish(&s, set, true, set ? 0 : 2);
                later(&s, km_between(0, 3000), ACT_AGENT_START);
                later(&s, km_between(0, 3000), ACT_KUBELET_START);
                go_on(&s, 60 * 1000);
                tell(&s, set);
                end(&s);
        }
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(stories) + 1];

        for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
                tests[i] = (struct CMUnitTest){ .name = stories[i].name,
                                                .test_func = test_story,
                                                .initial_state = (void *)(uintptr_t)&stories[i] };
        tests[ARRAY_SIZE(stories)] = (struct CMUnitTest)cmocka_unit_test(test_ours_or_theirs);
        return cmocka_run_group_tests_name("hand-over model", tests, NULL, NULL);
}
