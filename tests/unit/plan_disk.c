/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_disk.h"

#include <stdio.h>

const char *const disk_names[N_NAMES][2] = {
        { "a", "x" }, { "a", "y" }, { "b", "x" }, { "b", "y" }, { "c-d", "z" },
};
static const char *const specs[] = { "1", "1b", "2", "2:80", "1:80", "1:81,80", "2:81", "3:10.0.0.1@80", "3" };

/* ---- chance ---- */

static uint64_t chance_state;

void chance_seed(uint64_t seed) {
        chance_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
        for (int i = 0; i < 4; i++)
                (void)chance(2);
}

uint64_t chance(uint64_t n) {
        chance_state ^= chance_state << 13;
        chance_state ^= chance_state >> 7;
        chance_state ^= chance_state << 17;
        return (chance_state >> 11) % n;
}

static const char *any_spec(void) {
        return specs[chance(ARRAY_SIZE(specs))];
}

/* ---- a disk ---- */

DiskFile *disk_find(Disk *d, const char *file) {
        for (size_t i = 0; i < d->n_files; i++)
                if (streq(d->files[i].file, file))
                        return &d->files[i];
        return NULL;
}

static void disk_remove(Disk *d, const char *file) {
        DiskFile *f = disk_find(d, file);

        assert_non_null(f);
        *f = d->files[--d->n_files];
}

static DiskFile *disk_put(Disk *d, const char *file) {
        DiskFile *f = disk_find(d, file);

        if (!f) {
                assert_true(d->n_files < FILES_MAX);
                f = &d->files[d->n_files++];
        }
        memset(f, 0, sizeof(*f));
        (void)snprintf(f->file, sizeof(f->file), "%s", file);
        return f;
}

size_t disk_name(const char *namespace, const char *name) {
        for (size_t i = 0; i < N_NAMES; i++)
                if (streq(disk_names[i][0], namespace) && streq(disk_names[i][1], name))
                        return i;
        return N_NAMES;
}

bool same_bytes(const char *a, size_t a_len, const char *b, size_t b_len) {
        return a == b || (a && b && a_len == b_len && memcmp(a, b, a_len) == 0);
}

const WorldPod *disk_pod(const World *w, const char *bytes, size_t len) {
        for (size_t i = 0; bytes && i < w->n_pods; i++)
                if (w->pods[i]->r.len == len && memcmp(w->pods[i]->r.bytes, bytes, len) == 0)
                        return w->pods[i];
        return NULL;
}

Witness disk_witness_of(const Wishes *wishes, const char *uid) {
        uint64_t x = wishes->witness;

        if (x == 0 || !*uid)
                return WITNESS_UNKNOWN;
        for (const char *u = uid; *u; u++)
                x = (x ^ (unsigned char)*u) * UINT64_C(0x100000001b3);
        return (Witness)((x >> 32) % 4);
}

Witness disk_witness(const Wishes *wishes, const WorldPod *pod) {
        return disk_witness_of(wishes, pod ? pod->r.uid : "");
}

/* ---- random facts ---- */

static void random_file(World *w, Disk *d, size_t name) {
        const char *namespace = disk_names[name][0], *n = disk_names[name][1];
        DiskFile *f = disk_put(d, world_file(w, namespace, n));

        switch (chance(12)) {
        case 0:
                f->kind = ENTRY_LINK;
                return;
        case 1:
                f->kind = ENTRY_DIRECTORY;
                return;
        case 2:
                f->kind = ENTRY_OTHER;
                return;
        case 3:
                f->unreadable = true;
                return;
        case 4:
                f->bytes = "{\"kind\":\"Po";
                break;
        case 5:
                f->bytes = world_foreign(w, namespace, n);
                break;
        case 6:
                f->bytes = world_pod(w, namespace, n, "1!")->r.bytes;
                break;
        case 7:
                name = (name + 1) % N_NAMES;
                f->bytes = world_pod(w, disk_names[name][0], disk_names[name][1], "1")->r.bytes;
                break;
        default:
                f->bytes = world_pod(w, namespace, n, any_spec())->r.bytes;
                f->mode_wrong = chance(4) == 0;
        }
        f->len = strlen(f->bytes);
}

static void random_other_file(World *w, Disk *d) {
        static const char *const files[] = { "x.yaml", "daemonlet_a_x.json.bak", ".daemonlet-new", ".x", "README" };
        DiskFile *f = disk_put(d, files[chance(ARRAY_SIZE(files))]);
        size_t name = chance(N_NAMES);

        f->bytes = chance(3) == 0   ? world_foreign(w, disk_names[name][0], disk_names[name][1])
                   : chance(2) == 0 ? "text"
                                    : world_pod(w, disk_names[name][0], disk_names[name][1], any_spec())->r.bytes;
        f->len = strlen(f->bytes);
}

static void random_memory(World *w, Disk *d, size_t name) {
        static const char *const origins[] = { "file:a.yaml", "file:b.yaml", "api", NULL };
        const char *namespace = disk_names[name][0], *n = disk_names[name][1];
        DiskFile *f = disk_find(d, world_file(w, namespace, n));
        Memory *m = &d->memory[name];
        const WorldPod *p = world_pod(w, namespace, n, any_spec()), *next = world_pod(w, namespace, n, any_spec());

        *m = (Memory){ .known = true, .origin = origins[chance(4)] };
        if (chance(8)) {
                m->bytes = p->r.bytes;
                m->len = p->r.len;
        }
        /* Mostly what stands is what was written. */
        for (size_t i = 0; f && i < ARRAY_SIZE(specs); i++)
                if (f->bytes == world_pod(w, namespace, n, specs[i])->r.bytes && chance(3)) {
                        m->bytes = f->bytes;
                        m->len = f->len;
                }
        if (chance(4) == 0) {
                m->next = next->r.bytes;
                m->next_len = next->r.len;
        }
}

static void random_record(Disk *d, size_t name) {
        static const char *const pods[] = { "", "one-k7x2p", "old-q2m4z" }, *const boots[] = { "one", "one", "zero",
                                                                                               "" };

        d->records[name] = (Record){ .known = true,
                                     .unplaced = chance(3) == 0,
                                     .stopped = chance(4) == 0,
                                     .pod = pods[chance(3)],
                                     .boot = boots[chance(4)] };
}

void disk_random(World *w, Disk *d) {
        memset(d, 0, sizeof(*d));
        for (size_t i = 0; i < N_NAMES; i++) {
                if (chance(3) == 0)
                        random_record(d, i);
                if (chance(4))
                        random_file(w, d, i);
                if (chance(4))
                        random_memory(w, d, i);
        }
        for (uint64_t n = chance(4); n; n--)
                random_other_file(w, d);
}

void disk_damage(World *w, Disk *d) {
        if (chance(2))
                random_file(w, d, chance(N_NAMES));
        if (chance(3) == 0)
                random_other_file(w, d);
        if (chance(3) == 0 && d->n_files)
                disk_remove(d, d->files[chance(d->n_files)].file);
        if (chance(6) == 0)
                d->memory[chance(N_NAMES)] = (Memory){ 0 };
        if (chance(4) == 0)
                d->n_tombstones = 0;
        if (chance(3) == 0)
                random_record(d, chance(N_NAMES));
}

/* What the server knows; nothing is known of the present while it is away. */
static PlanTheirs random_theirs(bool server_away) {
        static const char *const names[] = { "", "one-k7x2p", "two-x9x9x" };
        static const char *const uids[] = { "", "uid-of-one-k7x2p", "uid-of-two-x9x9x" };
        TheirPod pod = (TheirPod)chance(4);
        size_t name = pod == POD_NONE ? 0 : 1 + chance(2);

        return (PlanTheirs){ .daemonset = server_away ? THEIRS_UNKNOWN
                                          : chance(2) ? THEIRS_RUNS
                                                      : (TheirDaemonSet)chance(4),
                             .awaited = chance(5) == 0,
                             .pods_known = !server_away && chance(5),
                             .pod = pod,
                             .pod_name = names[name],
                             .pod_uid = uids[name],
                             .mode = chance(2) ? HANDOFF_AUTO : (HandoffMode)chance(4),
                             .unfit = "",
                             .blind = "",
                             .difference = "" };
}

void wishes_random(Wishes *s, int64_t now) {
        static const char *const origins[] = { "file:a.yaml", "file:b.yaml", "api" };
        static const State kept[] = { STATE_WAITING, STATE_REFUSED, STATE_NOT_HERE };
        bool none = chance(5) == 0;

        memset(s, 0, sizeof(*s));
        s->facts.now = now;
        s->facts.server_away = chance(4) == 0;
        s->facts.stop_if_deleted = chance(2);
        for (size_t i = 0; i < N_NAMES; i++) {
                s->of[i].wanted = !none && chance(4) != 0;
                s->of[i].wish = chance(2) ? WISH_PRESENT : (PlanWish)chance(3);
                s->of[i].state = s->of[i].wish == WISH_KEEP ? kept[chance(3)] : STATE_NOT_HERE;
                s->of[i].spec = any_spec();
                s->of[i].origin = origins[chance(3)];
                s->of[i].by_live_node = s->of[i].wish == WISH_ABSENT && chance(2);
                s->of[i].only_new = s->of[i].wish == WISH_PRESENT && chance(8) == 0;
                s->of[i].shared = chance(2);
                s->of[i].theirs = random_theirs(s->facts.server_away);
        }
        s->facts.local_read = chance(4) != 0;
        s->facts.local_complete = s->facts.local_read && chance(2);
        s->facts.api_synced = chance(2);
        s->facts.all_synced = s->facts.local_complete && s->facts.api_synced;
        s->facts.settle = (int64_t)chance(3) * 60000;
        s->facts.node_for = (int64_t)chance(120) * 1000;
        s->facts.hold = (HoldPolicy)chance(3);
        s->facts.kubelet_synced = chance(2);
        s->facts.kubelet_up_for = chance(4) ? (int64_t)chance(200) * 1000 : -1;
        s->facts.kubelet_ran = s->facts.kubelet_up_for >= 0 || chance(2);
        s->facts.rerender = chance(5) == 0;
        s->facts.confirm = chance(4) == 0;
        s->file_complete = chance(2);
        s->now_one = chance(4) == 0;
        s->witness = chance(3) ? 1 + chance(1000000) : 0;
        for (size_t i = 0; i < N_NAMES; i++)
                s->of[i].theirs.witness = disk_witness_of(s, s->of[i].theirs.pod_uid);
}

/* ---- facts from disk and wishes ---- */

static void add_tombstones(World *w, const Disk *d, const Wishes *s) {
        for (size_t i = 0; i < d->n_tombstones; i++) {
                const Tombstone *t = &d->tombstones[i];
                PlanTombstone *x = world_tombstone(w, disk_names[t->name][0], disk_names[t->name][1], t->pod->spec);

                x->removed_at = t->removed_at;
                x->witness = t->learnt ? WITNESS_UNKNOWN : disk_witness(s, t->pod);
        }
}

static void add_records(World *w, const Disk *d, const Wishes *s) {
        for (size_t i = 0; i < N_NAMES; i++) {
                const Record *r = &d->records[i];
                PlanHandover *x;

                if (!r->known)
                        continue;
                x = world_handover(w, disk_names[i][0], disk_names[i][1], r->pod);
                x->boot = r->boot;
                x->unplaced = r->unplaced;
                x->stopped = r->stopped;
                x->witness = disk_witness_of(s, x->uid);
        }
}

void disk_facts(World *w, const Disk *d, const Wishes *s) {
        w->facts.n_wanted = w->facts.n_present = w->facts.n_written = w->facts.n_tombstones = 0;
        w->facts.n_complete_files = w->facts.n_now_targets = w->facts.n_handovers = 0;
        for (size_t i = 0; i < N_NAMES; i++) {
                const Memory *m = &d->memory[i];

                if (s->of[i].wanted) {
                        PlanWanted *x = world_want(w, disk_names[i][0], disk_names[i][1], s->of[i].wish,
                                                   s->of[i].wish == WISH_PRESENT ? s->of[i].spec : NULL);

                        x->state = s->of[i].state;
                        x->origin = s->of[i].origin;
                        x->by_live_node = s->of[i].by_live_node;
                        x->only_new = s->of[i].only_new;
                        x->theirs = s->of[i].shared ? &s->of[i].theirs : NULL;
                }
                if (m->known) {
                        PlanWritten *x = world_written(w, disk_names[i][0], disk_names[i][1], NULL, NULL);

                        x->origin = m->origin;
                        x->bytes = m->bytes;
                        x->len = m->len;
                        x->next = m->next;
                        x->next_len = m->next_len;
                        x->witness = m->learnt ? WITNESS_UNKNOWN : disk_witness(s, disk_pod(w, m->bytes, m->len));
                }
        }
        for (size_t i = 0; i < d->n_files; i++) {
                const DiskFile *f = &d->files[i];
                PlanEntry *x = world_entry(w, f->file, f->kind, f->bytes, f->len);

                x->mode_wrong = f->mode_wrong;
                x->unreadable = f->unreadable;
        }
        add_tombstones(w, d, s);
        add_records(w, d, s);
        if (s->file_complete)
                world_read(w, world_text(w, "set complete=a.yaml"));
        if (s->now_one)
                world_read(w, world_text(w, "set now=a/x"));
        w->facts.local_read = s->facts.local_read;
        w->facts.local_complete = s->facts.local_complete;
        w->facts.api_synced = s->facts.api_synced;
        w->facts.all_synced = s->facts.all_synced;
        w->facts.server_away = s->facts.server_away;
        w->facts.stop_if_deleted = s->facts.stop_if_deleted;
        w->facts.settle = s->facts.settle;
        w->facts.node_for = s->facts.node_for;
        w->facts.hold = s->facts.hold;
        w->facts.kubelet_synced = s->facts.kubelet_synced;
        w->facts.kubelet_up_for = s->facts.kubelet_up_for;
        w->facts.kubelet_ran = s->facts.kubelet_ran;
        w->facts.rerender = s->facts.rerender;
        w->facts.confirm = s->facts.confirm;
        w->facts.now = s->facts.now;
}

/* ---- carrying out ---- */

/* A tombstone of the pod, unless the new bytes are its own. */
static void bury_pod(World *w, Disk *d, size_t name, const WorldPod *pod, const WorldPod *next, bool learnt) {
        size_t i = 0;

        if (!pod || (next && streq(next->r.uid, pod->r.uid)))
                return;
        if (pod != world_pod(w, disk_names[name][0], disk_names[name][1], pod->spec))
                return;
        while (i < d->n_tombstones && !streq(d->tombstones[i].pod->r.uid, pod->r.uid))
                i++;
        d->n_tombstones += i == d->n_tombstones;
        assert_true(d->n_tombstones <= TOMBSTONES_MAX);
        d->tombstones[i] = (Tombstone){ name, pod, learnt, w->facts.now };
}

/* Tombstones of what was remembered and of what stood, where that is not what stands from now on. */
static void bury(World *w, Disk *d, size_t name, const DiskFile *f, const PlanStep *s) {
        const Memory *m = &d->memory[name];
        const WorldPod *last = disk_pod(w, m->bytes, m->len), *stood = f ? disk_pod(w, f->bytes, f->len) : NULL;
        const WorldPod *next = disk_pod(w, s->bytes, s->len);

        bury_pod(w, d, name, last, next, m->learnt);
        if (!last || !stood || !streq(stood->r.uid, last->r.uid))
                bury_pod(w, d, name, stood, next, true);
}

/* What stands now and is known has no dead pod. */
static void resurrect(World *w, Disk *d, const PlanStep *s) {
        const WorldPod *pod = disk_pod(w, s->bytes, s->len);

        for (size_t i = d->n_tombstones; pod && i-- > 0;)
                if (streq(d->tombstones[i].pod->r.uid, pod->r.uid))
                        d->tombstones[i] = d->tombstones[--d->n_tombstones];
}

static void apply_write(World *w, Disk *d, const PlanStep *s, size_t name, int half) {
        Memory *m = &d->memory[name];
        DiskFile *f = disk_find(d, s->file);

        if (f) {
                assert_false(f->unreadable);
                /* Equal bytes are never written. */
                assert_false(f->bytes && f->len == s->len && memcmp(f->bytes, s->bytes, s->len) == 0);
                assert_true(s->verb != STEP_CREATE);
                if (f->kind == ENTRY_DIRECTORY || f->kind == ENTRY_OTHER)
                        assert_true(s->move_first);
                if (!disk_pod(w, f->bytes, f->len))
                        assert_true(s->save_copy);
        } else
                assert_true(s->verb == STEP_CREATE || s->verb == STEP_RESTORE);
        bury(w, d, name, f, s);
        if (s->verb != STEP_RESTORE) {
                m->known = true;
                m->next = s->bytes;
                m->next_len = s->len;
        }
        if (half == 1)
                return;
        f = disk_put(d, s->file);
        f->bytes = s->bytes;
        f->len = s->len;
        if (half == 2)
                return;
        *m = (Memory){ .known = true, .origin = s->origin, .bytes = s->bytes, .len = s->len };
        resurrect(w, d, s);
}

void disk_step(World *w, Disk *d, const PlanStep *s, int half) {
        size_t name = disk_name(s->namespace, s->name);
        DiskFile *f = disk_find(d, s->file);

        switch (s->verb) {
        case STEP_SWEEP:
        case STEP_QUARANTINE:
                disk_remove(d, s->file);
                return;
        case STEP_TOUCH:
                assert_true(f && f->kind == ENTRY_REGULAR && !f->unreadable);
                f->mode_wrong = false;
                return;
        default:
                break;
        }
        assert_true(name < N_NAMES);
        switch (s->verb) {
        case STEP_HAND_OVER:
        case STEP_REMOVE:
                assert_true(f && f->kind == ENTRY_REGULAR && !f->unreadable);
                bury(w, d, name, f, s);
                disk_remove(d, s->file);
                d->memory[name] = (Memory){ 0 };
                break;
        case STEP_WITHDRAW:
                /* Only what was written last goes, and it stays known. */
                assert_true(f && same_bytes(f->bytes, f->len, d->memory[name].bytes, d->memory[name].len));
                bury(w, d, name, f, s);
                disk_remove(d, s->file);
                d->memory[name].origin = s->origin;
                break;
        case STEP_FORGET:
                bury(w, d, name, NULL, s);
                d->memory[name] = (Memory){ 0 };
                break;
        case STEP_RECORD:
                assert_true(f && f->len == s->len && memcmp(f->bytes, s->bytes, s->len) == 0);
                d->memory[name] = (Memory){ .known = true,
                                            .learnt = d->memory[name].learnt || d->memory[name].bytes != s->bytes,
                                            .origin = s->origin,
                                            .bytes = s->bytes,
                                            .len = s->len };
                resurrect(w, d, s);
                break;
        default:
                apply_write(w, d, s, name, half);
        }
}

void disk_resolve(World *w, Disk *d) {
        for (size_t i = 0; i < N_NAMES; i++) {
                Memory *m = &d->memory[i];
                const DiskFile *f = m->next ? disk_find(d, world_file(w, disk_names[i][0], disk_names[i][1])) : NULL;

                if (f && f->bytes && f->len == m->next_len && memcmp(f->bytes, m->next, f->len) == 0) {
                        m->learnt |= m->bytes != m->next;
                        m->bytes = m->next;
                        m->len = m->next_len;
                }
                m->next = NULL;
        }
}

void disk_remember(Disk *d, const Plan *plan) {
        memset(d->records, 0, sizeof(d->records));
        for (size_t i = 0; i < plan->n_handovers; i++) {
                const PlanHandover *h = &plan->handovers[i];
                size_t name = disk_name(h->namespace, h->name);

                assert_true(name < N_NAMES && !d->records[name].known);
                d->records[name] = (Record){ true, h->unplaced, h->stopped, h->pod, h->boot };
        }
}

void disk_apply(World *w, Disk *d, const Plan *plan) {
        disk_resolve(w, d);
        disk_remember(d, plan);
        for (size_t i = 0; i < plan->n_steps; i++)
                disk_step(w, d, &plan->steps[i], 0);
}
