/* SPDX-License-Identifier: Apache-2.0 */
/* Never two, never none: the real plan and ledger against a stand-in kubelet, while DaemonSets change, strangers damage
 * the directory, and the kubelet, the agent and the host come and go at random times. SEQUENCES and SEED in the
 * environment choose other runs.
 *
 * What no order of writing manifests can avoid, and is allowed here:
 * - A stranger's pod of our name, or a manifest that a stranger wrote or took away: that pod is not the agent's doing.
 * - A kubelet process that is started anew has forgotten which pods it was ending: it starts the new one of the name
 *   beside the old one, for the 3 s that it needs to find and end it, or until it has seen its API server.
 * - A kubelet that is told by a copy's going that a pod is gone ends it, though the manifest itself stands (L16).
 * - A kubelet may have decided to start a pod before there is anything to see of it.
 * - Without a witness nobody knows that a kubelet was down or missed an event, and the old pod lives on, or that it
 *   refused a pod.
 * - What stands only because its successor cannot is not written again when a kubelet has refused it.
 * - State that was lost remembers no ports, and not what an edited manifest was before. */
#include "agent_model.h"

#include <inttypes.h>
#include <stdio.h>

enum {
        N_LATER = 64,
        ACTIONS = 30,
        SETTLE = 25 * 60 * 1000, /* the longest wait for another try is 16 minutes */
        REST = 10 * 60 * 1000,
        SLACK = 19 * 1000, /* behind a grace period, by clocks of whole seconds */
        PASSES_A_MINUTE = 120,
};

typedef enum Act {
        ACT_CHANGE,
        ACT_UNDEFINE,
        ACT_BLINK, /* undefined for less than the delay */
        ACT_LEAVE, /* undefined for a while */
        ACT_MISFIT,
        ACT_KEEP,
        ACT_UNLINK,
        ACT_EDIT,
        ACT_TRUNCATE,
        ACT_COPY,
        ACT_RENAME,
        ACT_HIDE, /* moved out and back */
        ACT_FOREIGN,
        ACT_OLD, /* a backup of an earlier manifest is put back */
        ACT_CHMOD,
        ACT_RESTART,
        ACT_KUBELET,
        ACT_AGENT,
        ACT_DIE,
        ACT_HOST,
        ACT_API,
        ACT_STATE,
        ACT_BREAK,
        ACT_LOSE,
        ACT_DOWN, /* a pod's containers end of themselves */
        N_ACTS,   /* those below follow from the others */
        ACT_DEFINE = N_ACTS,
        ACT_FIT,
        ACT_SHOW,
        ACT_NO_FOREIGN,
        ACT_KUBELET_START,
        ACT_AGENT_START,
        ACT_MEND,
} Act;

typedef struct Later {
        int64_t at;
        Act act;
        size_t set;
        const char *bytes;
} Later;

typedef struct Sim {
        Kubelet k;
        Agent a;
        AmWish wishes[KM_SETS];
        Later later[N_LATER];
        size_t n_later;
        uint64_t seed;
        int64_t state_lost_at, stranger_at;
        int64_t unread_at[KM_SETS]; /* since when its source cannot be read; -1 */
        int64_t copy_at[KM_SETS];   /* when a copy of it was moved away; -1 */
        bool leftover[KM_SETS];
        int64_t away_at[KM_SETS]; /* since when it does not stand though nothing is in its way; -1 */
        unsigned passes_before, minute;
} Sim;

static Sim *sim; /* the running one, for the callbacks */
static size_t counts[ACT_MEND + 1], verbs[STEP_TOUCH + 1], allowed_overlaps;

static void _printf_(1, 2) broken(const char *format, ...) {
        char what[512];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(what, sizeof(what), format, ap);
        va_end(ap);
        (void)fputs(buf_text(&sim->k.trace), stderr); /* longer than what cmocka can print */
        (void)fprintf(stderr, "%7d.%03d %s\nSEED=%" PRIu64 " SEQUENCES=1: %s, %s\n", (int)(sim->k.now / 1000),
                      (int)(sim->k.now % 1000), what, sim->seed, sim->k.has_api ? "with an API server" : "standalone",
                      sim->k.has_witness ? "witness" : "no witness");
        fail_msg("SEED=%" PRIu64 ": %s", sim->seed, what);
}

static const char *spec_of(const KmManifest *m) {
        return m->pod ? m->pod->spec : m->uid;
}

/* ---- never two ---- */

/* Whether the manifest of a pod that still runs went in a way that an agent cannot reckon with. */
static bool is_excused(const KmPod *p) {
        if (p->m.pod == NULL || p->stood || !p->left_by_agent || p->left_early)
                return true;
        return !sim->k.has_witness && p->left_unseen;
}

static void check_names(const KmPod *p, const KmPod *other) {
        if (other->known && !other->found)
                broken("the model runs two pods of %s", sim->k.files_of[p->m.set]);
        allowed_overlaps++;
        km_trace(&sim->k, "        (beside %s, which the kubelet has forgotten)", spec_of(&other->m));
        if (!is_excused(other) && other->left_alive && other->left_unsynced)
                broken("two of %s: %s was replaced before the kubelet could stop it", sim->k.files_of[p->m.set],
                       spec_of(&other->m));
}

/* Two pods on one host port. */
static void check_ports(const KmPod *p, const KmPod *other) {
        if (is_excused(other) || is_excused(p) || other->left_at <= sim->state_lost_at)
                return;
        broken("%s %s starts on a port of %s %s", sim->k.files_of[p->m.set], spec_of(&p->m),
               sim->k.files_of[other->m.set], spec_of(&other->m));
}

static void on_start(Kubelet *k, const KmPod *p) {
        for (size_t i = 0; i < k->n_pods; i++) {
                const KmPod *other = &k->table[i];

                if (other == p || !km_has_containers(other))
                        continue;
                if (other->m.set == p->m.set)
                        check_names(p, other);
                else if (km_pods_clash(&other->m, &p->m))
                        check_ports(p, other);
        }
}

/* A directory that is left for so long may never be cleaned up: a kubelet waits for its API server with that. */
static bool is_seen_now(const KmPod *p) {
        Witness w = km_witness(&sim->k, p->m.uid);

        if (p->phase == KM_CLEANING && !p->stood && sim->k.now - p->left_at >= KM_GRACE + SLACK)
                return false;
        return w == WITNESS_RUNNING || w == WITNESS_TERMINATING;
}

/* The agent can know of the pod. It forgets the one before when it adopts a manifest that a stranger put there. */
static bool is_remembered(const Agent *a, const KmPod *p) {
        const KmFile *f = km_find_file(a->k, a->k->files_of[p->m.set]);
        KmManifest m;

        return am_knows(a, p) && !(f && km_parse(a->k, f->name, f->bytes, &m) && m.pod && !streq(m.uid, p->m.uid));
}

/* No port goes to a new manifest before the pod that has it is gone. */
static void check_port_gift(Agent *a, size_t set, const PlanStep *s) {
        KmManifest m;

        if (!km_parse(a->k, s->file, s->bytes, &m))
                return;
        for (size_t i = 0; i < a->k->n_pods; i++) {
                const KmPod *p = &a->k->table[i];

                if (p->m.set == set || !km_pods_clash(&p->m, &m))
                        continue;
                if (!km_has_containers(p) && (p->of_former || !is_seen_now(p)))
                        continue;
                if ((p->stood && km_has_containers(p) && sim->state_lost_at < 0) ||
                    (p->left_by_agent && !is_excused(p) && p->left_at > sim->state_lost_at))
                        broken("%s %s is given a port that %s %s has", s->file, spec_of(&m), a->k->files_of[p->m.set],
                               spec_of(&p->m));
                if (!p->stood && !p->left_early && a->k->has_witness && is_seen_now(p) && is_remembered(a, p))
                        broken("%s %s is given a port that %s %s is known to have", s->file, spec_of(&m),
                               a->k->files_of[p->m.set], spec_of(&p->m));
        }
}

/* What the agent took away does not come back before its pod is gone, and for a restart forgotten as well: it would be
 * started late (c-19). */
static void check_return(const PlanStep *s, const KmManifest *new) {
        const KmPod *p = km_find_pod(&sim->k, new->uid);
        bool there = p && (is_seen_now(p) || (p->known && p->phase == KM_FORGETTING && s->verb == STEP_RESTORE));

        if (there && sim->k.has_witness && !p->stood && !is_excused(p) && p->left_at > sim->state_lost_at &&
            !km_find_file(&sim->k, s->file))
                broken("%s %s comes back before its pod is gone", s->file, spec_of(new));
}

/* ---- never none ---- */

static bool same_input(size_t spec, const KmManifest *m) {
        return m->pod && km_specs[spec][0] == m->pod->spec[0];
}

static bool is_unwanted(const AmWish *w) {
        return !w->defined || w->wish == WISH_ABSENT;
}

/* Whether the source of it cannot be read now. */
static bool is_unread(const Agent *a, size_t set) {
        return a->of_api[set] ? !a->connected : a->broken;
}

/* A step that takes the manifest of a running pod away needs a cause. */
static void check_cause(Agent *a, size_t set, const PlanStep *s, const KmManifest *old, const KmManifest *new) {
        const AmWish *now = &sim->wishes[set], *seen = &a->seen[set];
        bool is_ours = km_find_file(a->k, s->file)->by_agent;
        bool settles = seen->defined && a->node_since >= 0;
        int64_t delay = settles ? AM_SETTLE : AM_REMOVAL_DELAY;
        /* What cannot be read may have changed since it was read. */
        bool unwanted = is_unwanted(seen) &&
                        (is_unread(a, set) || (is_unwanted(now) && sim->k.now - now->since >= delay));

        if (a->holds && (km_is_frozen(a->k) || !a->k->up) && s->verb != STEP_RESTORE && is_ours)
                broken("%s is changed before the kubelet has seen its API server", s->file);
        if (s->verb == STEP_REMOVE && !seen->defined && (a->of_api[set] ? !a->connected : !a->complete))
                broken("%s was removed though its source was not read", s->file);
        if (s->verb == STEP_REMOVE && settles && sim->k.now - a->node_since < AM_SETTLE)
                broken("%s was removed because of a Node that had not settled", s->file);
        if (s->verb == STEP_REMOVE && !unwanted)
                broken("%s was removed without cause", s->file);
        if (s->verb == STEP_WITHDRAW && !a->asked[set])
                broken("%s was withdrawn although its pod runs", s->file);
        if (s->verb == STEP_REPLACE && (!seen->defined || seen->wish != WISH_PRESENT || same_input(seen->spec, old)))
                broken("%s was replaced without cause", s->file);
        if (s->verb == STEP_RESTORE && seen->defined && seen->wish == WISH_PRESENT && same_input(seen->spec, old) &&
            !same_input(seen->spec, new))
                broken("%s was restored to what is not wanted", s->file);
}

/* Nothing new beside a pod that runs, where the kubelet may have forgotten that one and does not stop it. */
static void check_beside(const Agent *a, size_t set, const PlanStep *s, const KmManifest *new) {
        if (!a->holds || !a->k->has_witness || (a->k->up && !km_is_frozen(a->k)))
                return;
        for (size_t i = 0; i < a->k->n_pods; i++) {
                const KmPod *p = &a->k->table[i];

                if (p->m.set == set && km_has_containers(p) && is_remembered(a, p) && !streq(p->m.uid, new->uid))
                        broken("%s %s is written beside %s, which nobody stops", s->file, spec_of(new), spec_of(&p->m));
        }
}

/* A restart needs a kubelet, and a pod that is not there needs time to come. */
static void check_withdrawal(const Agent *a, size_t set, const PlanStep *s) {
        if (!a->k->up)
                broken("%s was withdrawn though no kubelet runs", s->file);
        if (!a->asked[set] && a->k->now - a->k->started < PLAN_ABSENT)
                broken("%s was withdrawn too early", s->file);
}

static void on_step(Agent *a, size_t set, const PlanStep *s) {
        const KmFile *f = km_find_file(a->k, s->file);
        KmManifest old, new = { 0 };
        const KmPod *p;

        verbs[s->verb]++;
        if (s->verb == STEP_QUARANTINE) {
                if (!streq(s->file, a->k->files_of[set]))
                        sim->copy_at[set] = sim->k.now;
                return;
        }
        if (s->verb == STEP_CREATE || s->verb == STEP_REPLACE || s->verb == STEP_RESTORE) {
                check_port_gift(a, set, s);
                if (km_parse(a->k, s->file, s->bytes, &new)) {
                        check_return(s, &new);
                        if (s->verb != STEP_RESTORE)
                                check_beside(a, set, s, &new);
                }
        }
        if (s->verb == STEP_WITHDRAW)
                check_withdrawal(a, set, s);
        /* What somebody edited is no manifest of a pod that runs well. */
        if (!f || !km_parse(a->k, s->file, f->bytes, &old) || !old.pod || f->bytes != old.pod->r.bytes)
                return;
        if (km_parse(a->k, s->file, s->bytes, &new) && streq(new.uid, old.uid))
                return;
        p = km_find_pod(a->k, old.uid);
        if (p && p->phase == KM_RUNNING && s->verb != STEP_FORGET && s->verb != STEP_RECORD && s->verb != STEP_TOUCH)
                check_cause(a, set, s, &old, &new);
}

/* ---- what happens ---- */

static void later(Sim *s, int64_t in, Act act, size_t set, const char *bytes) {
        assert_true(s->n_later < N_LATER);
        s->later[s->n_later++] = (Later){ s->k.now + in, act, set, bytes };
}

static void wish(Sim *s, size_t set, bool defined, PlanWish w, size_t spec) {
        static const char *const words[] = { "does not fit", "is kept", "is wanted" };
        AmWish next = { .defined = defined, .wish = w, .spec = spec, .since = s->k.now }, *old = &s->wishes[set];

        km_trace(&s->k, "%s %s %s", s->k.files_of[set], defined ? words[w] : "is not defined", km_specs[spec]);
        if (is_unwanted(&next) == is_unwanted(old))
                next.since = old->since;
        else if (is_unwanted(&next) && (s->k.now - old->since < 2 * AM_QUIET ||
                                        (s->unread_at[set] >= 0 && old->since + AM_QUIET >= s->unread_at[set])))
                next.since = old->before; /* nobody has read what was between */
        next.before = old->since;
        *old = next;
        am_sources_changed(&s->a);
}

static void act_on_source(Sim *s, Act act, size_t set) {
        AmWish *w = &s->wishes[set];
        size_t spec = (size_t)km_random(KM_SPECS);

        /* One of them is defined always: an empty source is another matter. */
        if (set == 0 && (act == ACT_UNDEFINE || act == ACT_BLINK || act == ACT_LEAVE))
                act = ACT_MISFIT;
        switch (act) {
        case ACT_CHANGE:
                wish(s, set, true, WISH_PRESENT, spec);
                break;
        case ACT_BLINK:
        case ACT_LEAVE:
                later(s, act == ACT_BLINK ? km_between(1, AM_REMOVAL_DELAY - 1000) : km_between(5000, 90000),
                      ACT_DEFINE, set, NULL);
                __attribute__((fallthrough));
        case ACT_UNDEFINE:
                wish(s, set, false, WISH_ABSENT, w->spec);
                break;
        case ACT_DEFINE:
        case ACT_FIT:
                wish(s, set, true, WISH_PRESENT, km_random(4) ? w->spec : spec);
                break;
        case ACT_MISFIT:
                later(s, km_between(1, s->k.has_api ? 4 * AM_SETTLE : AM_SETTLE), ACT_FIT, set, NULL);
                wish(s, set, true, WISH_ABSENT, w->spec);
                break;
        case ACT_KEEP:
                later(s, km_between(1000, 60000), ACT_FIT, set, NULL);
                wish(s, set, true, WISH_KEEP, w->spec);
                break;
        default:
                break;
        }
}

static void put(Sim *s, const char *file, const char *bytes) {
        s->stranger_at = s->k.now;
        km_trace(&s->k, "a stranger: %s %s", file, bytes ? world_spec(&s->k.world, bytes, strlen(bytes)) : "goes");
        km_put(&s->k, file, bytes, false);
}

static const WorldPod *edited(const Sim *s, const char *bytes, size_t set) {
        KmManifest m;

        for (size_t i = 0; km_parse(&s->k, "", bytes, &m) && i < KM_SPECS; i++)
                if (m.pod == s->k.pods[set][i])
                        return s->k.edited[set][i];
        return NULL;
}

/* Whether the manifest of another one stands in the way, or will again. */
static bool has_rival(Sim *s, size_t set, size_t spec) {
        KmManifest mine = { .set = set, .pod = s->k.pods[set][spec] }, other;

        for (size_t i = 0; i < KM_SETS; i++) {
                const KmFile *f = km_find_file(&s->k, s->k.files_of[i]);
                const char *bytes[] = { f ? f->bytes : NULL, s->a.memory[i].bytes };

                for (size_t j = 0; i != set && j < ARRAY_SIZE(bytes); j++)
                        if (km_parse(&s->k, "", bytes[j], &other) && km_pods_clash(&mine, &other))
                                return true;
        }
        return false;
}

/* What a stranger takes from another one's port is not given back: two of one port would stand, and neither would go.
 */
static void put_old(Sim *s, size_t set) {
        size_t spec = (size_t)km_random(KM_SPECS);
        KmManifest m = { .set = set, .pod = s->k.pods[set][spec] };

        for (size_t i = 0; i < s->k.n_pods; i++)
                if (s->k.table[i].m.set != set && km_pods_clash(&s->k.table[i].m, &m))
                        return;
        if (!has_rival(s, set, spec))
                put(s, s->k.files_of[set], m.pod->r.bytes);
}

static void act_on_directory(Sim *s, Act act, size_t set) {
        static const char *const copies[] = { "a.yaml", "daemonlet_a_x.json.bak", "z.yaml", ".z" };
        const char *file = s->k.files_of[set], *copy = copies[km_random(4)];
        KmFile *f = km_find_file(&s->k, file);
        const char *bytes = f ? f->bytes : NULL;

        if (!bytes && act != ACT_FOREIGN && act != ACT_OLD && act != ACT_NO_FOREIGN)
                return;
        if (act == ACT_UNLINK)
                put(s, file, NULL);
        else if (act == ACT_EDIT && edited(s, bytes, set))
                put(s, file, edited(s, bytes, set)->r.bytes);
        else if (act == ACT_TRUNCATE)
                put(s, file, "");
        else if (act == ACT_COPY)
                put(s, copy, bytes);
        else if (act == ACT_RENAME) {
                put(s, file, NULL);
                put(s, copy, bytes);
        } else if (act == ACT_HIDE) {
                put(s, file, NULL);
                s->later[s->n_later++] = (Later){ s->k.now + km_between(1, 3000), ACT_SHOW, set, bytes };
        } else if (act == ACT_FOREIGN) {
                put(s, km_random(3) ? "foreign.yaml" : file, s->k.foreign[set]);
                later(s, km_between(100, 60000), ACT_NO_FOREIGN, set, NULL);
        } else if (act == ACT_NO_FOREIGN) {
                if (bytes == s->k.foreign[set])
                        put(s, file, NULL);
                if (km_find_file(&s->k, "foreign.yaml"))
                        put(s, "foreign.yaml", NULL);
        } else if (act == ACT_OLD)
                put_old(s, set);
        else if (act == ACT_CHMOD) {
                f->mode_wrong = true;
                km_chmod(&s->k, file);
        }
}

static void start_kubelet(Sim *s) {
        if (!s->k.up)
                km_start(&s->k);
}

static void start_agent(Sim *s) {
        if (!s->a.up)
                am_start(&s->a);
}

static void set_api(Sim *s, bool up) {
        km_set_api(&s->k, up);
        am_api_changed(&s->a);
}

/* A pod that nobody manages: what a kubelet knows it starts again. */
static void kill_any(Sim *s) {
        for (size_t i = 0; i < s->k.n_pods; i++)
                if (!s->k.table[i].known && s->k.table[i].phase == KM_RUNNING) {
                        km_die(&s->k, &s->k.table[i]);
                        return;
                }
}

static void act_on_host(Sim *s, Act act) {
        int64_t pause = km_random(3) ? km_between(100, 5000) : km_between(5000, 120000);

        if (act == ACT_KUBELET && s->k.up) {
                km_stop(&s->k);
                later(s, pause, ACT_KUBELET_START, 0, NULL);
        } else if (act == ACT_AGENT && s->a.up) {
                am_kill(&s->a);
                later(s, pause, ACT_AGENT_START, 0, NULL);
        } else if (act == ACT_DIE) {
                s->a.die_at = (int)km_random(4);
                later(s, pause, ACT_AGENT_START, 0, NULL);
        } else if (act == ACT_HOST) {
                if (s->a.up)
                        am_kill(&s->a);
                km_reboot(&s->k);
                later(s, km_between(1000, 10000), ACT_AGENT_START, 0, NULL);
                later(s, km_between(1000, 10000), ACT_KUBELET_START, 0, NULL);
        } else if (act == ACT_STATE) {
                if (s->a.up)
                        am_kill(&s->a);
                later(s, pause, ACT_AGENT_START, 0, NULL);
                am_lose_state(&s->a);
                s->state_lost_at = s->k.now;
        } else if (act == ACT_BREAK) {
                s->a.broken = true;
                km_trace(&s->k, "the sources cannot be read");
                am_sources_changed(&s->a);
                later(s, km_between(100, 30000), ACT_MEND, 0, NULL);
        } else if (act == ACT_API && s->k.has_api)
                set_api(s, !s->k.api_up);
        else if (act == ACT_LOSE)
                s->k.lose = 1 + (unsigned)km_random(3);
        else if (act == ACT_DOWN)
                kill_any(s);
}

static void act(Sim *s, const Later *l) {
        counts[l->act]++;
        if (l->act <= ACT_KEEP || l->act == ACT_DEFINE || l->act == ACT_FIT)
                act_on_source(s, l->act, l->set);
        else if (l->act == ACT_RESTART)
                am_ask_restart(&s->a, l->set);
        else if (l->act <= ACT_CHMOD || l->act == ACT_NO_FOREIGN)
                act_on_directory(s, l->act, l->set);
        else if (l->act == ACT_SHOW)
                put(s, s->k.files_of[l->set], l->bytes);
        else if (l->act == ACT_KUBELET_START)
                start_kubelet(s);
        else if (l->act == ACT_AGENT_START) {
                s->a.die_at = -1;
                start_agent(s);
        } else if (l->act == ACT_MEND) {
                s->a.broken = false;
                am_sources_changed(&s->a);
        } else
                act_on_host(s, l->act);
}

/* ---- time ---- */

/* The agent comes to rest: it neither turns in a circle nor works all the time. */
static void check_pace(Sim *s) {
        if (s->a.passes_at_now > 8)
                broken("the agent works without time going on");
        if (s->k.now / 60000 != s->minute) {
                if (s->a.passes - s->passes_before > PASSES_A_MINUTE)
                        broken("%u passes in a minute", s->a.passes - s->passes_before);
                s->minute = (unsigned)(s->k.now / 60000);
                s->passes_before = s->a.passes;
        }
}

/* What stood there all the time is not forgotten by the kubelet because a copy of it went. */
static void check_copy(Sim *s, size_t set) {
        int64_t at = s->copy_at[set];
        const KmFile *f = km_find_file(&s->k, s->k.files_of[set]);

        if (at < 0 || s->k.now < at + 1000)
                return;
        s->copy_at[set] = -1;
        if (f && f->by_agent && s->a.up && s->k.up && s->k.started < at && s->k.missed_at < at && s->stranger_at < at &&
            s->a.started < at && s->a.states[set] != STATE_CONFLICT && !s->k.store[set].present)
                broken("the kubelet has forgotten %s", f->name);
}

static bool is_any_seen(const Sim *s, size_t set) {
        for (size_t i = 0; i < s->k.n_pods; i++)
                if (s->k.table[i].m.set == set && is_seen_now(&s->k.table[i]))
                        return true;
        return false;
}

static bool has_leftover(const Sim *s, size_t set) {
        for (size_t i = 0; i < s->k.n_pods; i++)
                if (s->k.table[i].m.set == set && s->k.table[i].phase == KM_CLEANING)
                        return true;
        return false;
}

/* What is wanted stands soon after its pod is gone. */
static void check_away(Sim *s, size_t set) {
        const AmWish *w = &s->wishes[set];
        bool here = w->defined && w->wish == WISH_PRESENT && !is_unread(&s->a, set) && s->a.up && s->k.up &&
                    s->k.has_witness;
        /* Held for a fight, not for a pod. */
        bool fights = s->a.states[set] == STATE_HELD && s->a.reasons[set] == REASON_Fight;
        State state = (State)s->a.states[set];

        if (here && !km_find_file(&s->k, s->k.files_of[set]) && s->a.read_at < 0 && state != STATE_CONFLICT &&
            !fights && state != STATE_WAITING && !is_any_seen(s, set)) {
                if (s->away_at[set] < 0)
                        s->away_at[set] = s->k.now;
                if (s->leftover[set] != has_leftover(s, set))
                        s->away_at[set] = s->k.now;
                s->leftover[set] = has_leftover(s, set);
                if (s->a.started > s->away_at[set])
                        s->away_at[set] = s->a.started;
                if (s->k.started > s->away_at[set])
                        s->away_at[set] = s->k.started;
                if (s->k.now - s->away_at[set] > PLAN_GONE + (s->leftover[set] ? LEDGER_LOOK_MAX : 1000))
                        broken("%s is away for too long", s->k.files_of[set]);
        } else
                s->away_at[set] = -1;
}

static int64_t next_time(const Sim *s, int64_t end) {
        int64_t due[] = { km_due(&s->k), am_due(&s->a) };

        for (size_t i = 0; i < ARRAY_SIZE(due); i++)
                if (due[i] >= 0 && due[i] < end)
                        end = due[i];
        for (size_t i = 0; i < s->n_later; i++)
                if (s->later[i].at < end)
                        end = s->later[i].at;
        return end > s->k.now ? end : s->k.now;
}

static void go_on(Sim *s, int64_t end) {
        while (s->k.now < end) {
                s->k.now = next_time(s, end);
                km_run(&s->k);
                for (size_t i = s->n_later; i-- > 0;)
                        if (s->later[i].at <= s->k.now) {
                                Later l = s->later[i];

                                s->later[i] = s->later[--s->n_later];
                                act(s, &l);
                        }
                am_run(&s->a);
                if (s->k.news)
                        am_news(&s->a);
                s->k.news = false;
                check_pace(s);
                for (size_t i = 0; i < KM_SETS; i++) {
                        if (!is_unread(&s->a, i))
                                s->unread_at[i] = -1;
                        else if (s->unread_at[i] < 0)
                                s->unread_at[i] = s->k.now;
                        check_copy(s, i);
                        check_away(s, i);
                }
        }
}

/* ---- when nothing happens any more ---- */

static const KmPod *only_pod(Sim *s, size_t set) {
        const KmPod *found = NULL;

        for (size_t i = 0; i < s->k.n_pods; i++) {
                const KmPod *p = &s->k.table[i];

                if (p->m.set != set || !km_has_containers(p))
                        continue;
                if (found)
                        broken("two of %s in the end", s->k.files_of[set]);
                found = p;
        }
        return found;
}

static bool is_refused(Sim *s, const KmManifest *m) {
        const KmPod *p = km_find_pod(&s->k, m->uid);

        return p && p->phase == KM_REFUSED;
}

/* Whether it has come to rest. */
static bool check_set(Sim *s, size_t set) {
        const AmWish *w = &s->wishes[set];
        const KmFile *f = km_find_file(&s->k, s->k.files_of[set]);
        const KmPod *p = only_pod(s, set);
        KmManifest m = { 0 };
        bool current;

        if (f && (!km_parse(&s->k, f->name, f->bytes, &m) || !m.pod ||
                  ((f->bytes != m.pod->r.bytes || f->mode_wrong) && s->a.memory[set].bytes)))
                broken("%s stands damaged in the end", f->name);
        /* Two of one port stand since state was lost: the one that lost is tried for ever. */
        if (f && is_refused(s, &m) && s->state_lost_at >= 0 && has_rival(s, set, w->spec))
                return false;
        current = f && w->defined && w->wish == WISH_PRESENT && same_input(w->spec, &m);
        if (f && (!p || !streq(p->m.uid, m.uid)) && !(is_refused(s, &m) && !(current && s->k.has_witness)))
                broken("%s stands, but no pod of it runs in the end", f->name);
        if (!f && p)
                broken("%s does not stand, but runs in the end", s->k.files_of[set]);
        if (f && (!w->defined || w->wish == WISH_ABSENT))
                broken("%s stands unwanted in the end", f->name);
        if (w->defined && w->wish == WISH_PRESENT && !(f && same_input(w->spec, &m)) && !has_rival(s, set, w->spec))
                broken("%s %s does not stand in the end", s->k.files_of[set], km_specs[w->spec]);
        return true;
}

static void check_end(Sim *s) {
        unsigned passes;
        bool rests = true;

        for (size_t i = 0; i < KM_SETS; i++)
                rests &= check_set(s, i);
        for (size_t i = 0; i < s->k.n_files; i++) {
                KmManifest m;
                const KmFile *f = &s->k.files[i];

                if (f->name[0] != '.' && km_parse(&s->k, f->name, f->bytes, &m) &&
                    !streq(f->name, s->k.files_of[m.set]))
                        broken("%s is left in the end", f->name);
        }
        if (!rests)
                return;
        if (ledger_look_due(&s->a.ledger) >= 0 || ledger_removal_due(&s->a.ledger) >= 0)
                broken("something is due in the end");
        passes = s->a.passes;
        go_on(s, s->k.now + REST);
        if (s->a.passes != passes)
                broken("%u passes though nothing happens", s->a.passes - passes);
}

static void remove_foreign(Sim *s) {
        for (size_t i = s->k.n_files; i-- > 0;) {
                KmFile f = s->k.files[i];
                KmManifest m;

                if (km_parse(&s->k, f.name, f.bytes, &m) && !m.pod)
                        put(s, f.name, NULL);
        }
}

static void calm_down(Sim *s) {
        km_trace(&s->k, "---- nothing happens any more");
        s->n_later = 0;
        s->k.refuses = false;
        s->k.lose = 0;
        if (s->k.has_api && !s->k.api_up)
                set_api(s, true);
        s->a.die_at = -1;
        remove_foreign(s);
        s->a.broken = false;
        am_sources_changed(&s->a);
        start_kubelet(s);
        start_agent(s);
        go_on(s, s->k.now + SETTLE);
        check_end(s);
}

/* ---- all ---- */

static int64_t any_pause(void) {
        switch (km_random(4)) {
        case 0:
                return km_between(0, 300);
        case 1:
                return km_between(300, 5000);
        case 2:
                return km_between(5000, 30000);
        default:
                return km_between(10000, 120000);
        }
}

static void run(uint64_t seed) {
        static Sim s;

        memset(&s, 0, sizeof(s));
        sim = &s;
        km_seed(seed);
        km_init(&s.k);
        s.seed = seed;
        s.k.on_start = on_start;
        s.k.has_api = s.k.api_up = km_random(2);
        s.k.has_witness = km_random(4);
        s.k.refuses = km_random(2);
        s.k.counts_ending = km_random(2);
        am_init(&s.a, &s.k, s.wishes);
        s.a.holds = s.k.has_api;
        s.a.on_step = on_step;
        for (size_t i = 3; i < KM_SETS; i++)
                s.a.of_api[i] = s.k.has_api;
        s.state_lost_at = -1;
        memset(s.unread_at, -1, sizeof(s.unread_at));
        memset(s.copy_at, -1, sizeof(s.copy_at));
        memset(s.away_at, -1, sizeof(s.away_at));
        for (size_t i = 0; i < KM_SETS; i++)
                wish(&s, i, true, WISH_PRESENT, (size_t)km_random(KM_SPECS));
        later(&s, km_between(0, 3000), ACT_AGENT_START, 0, NULL);
        later(&s, km_between(0, 3000), ACT_KUBELET_START, 0, NULL);
        go_on(&s, 10000);
        for (int i = 0; i < ACTIONS; i++) {
                Later l = { .act = (Act)km_random(N_ACTS), .set = (size_t)km_random(KM_SETS) };

                act(&s, &l);
                go_on(&s, s.k.now + any_pause());
        }
        calm_down(&s);
        ledger_done(&s.a.ledger);
        km_done(&s.k);
}

static uint64_t number(const char *variable, uint64_t otherwise) {
        const char *text = getenv(variable);

        return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_never_two_never_none(void **state) {
        uint64_t seed = number("SEED", 1), sequences = number("SEQUENCES", 500);

        (void)state;
        for (uint64_t i = seed; i < seed + sequences; i++)
                run(i);
        for (unsigned i = 0; sequences >= 500 && i <= ACT_MEND; i++)
                if (counts[i] == 0)
                        fail_msg("act %u never happened: chance is not doing its work", i);
        for (unsigned i = STEP_REMOVE; sequences >= 500 && i <= STEP_TOUCH; i++)
                if (verbs[i] == 0)
                        fail_msg("no plan had a step %s: chance is not doing its work", step_verb_name((StepVerb)i));
        if (getenv("SEQUENCES"))
                print_message("%zu times a kubelet that was started anew ran two for a moment\n", allowed_overlaps);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_never_two_never_none),
        };

        return cmocka_run_group_tests_name("kubelet model", tests, NULL, NULL);
}
