/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold for every plan: random directories, memories and wishes, plans carried out in memory as the store
 * does it, with and without interruptions. PLAN_SEED and PLAN_ROUNDS in the environment choose other runs. */
#include "plan_world.h"

#include <inttypes.h>
#include <stdio.h>

enum {
        N_NAMES = 5,
        FILES_MAX = 32,
        TOMBSTONES_MAX = 256,
        SEQUENCE = 6, /* plans that follow one another on one disk */
};

static const char *const names[N_NAMES][2] = {
        { "a", "x" }, { "a", "y" }, { "b", "x" }, { "b", "y" }, { "c-d", "z" },
};
static const char *const specs[] = { "1", "1b", "2", "2:80", "1:80", "1:81,80", "2:81", "3:10.0.0.1@80", "3" };

/* ---- chance ---- */

static uint64_t chance_state;

static uint64_t chance(uint64_t n) {
        chance_state ^= chance_state << 13;
        chance_state ^= chance_state >> 7;
        chance_state ^= chance_state << 17;
        return (chance_state >> 11) % n;
}

static const char *any_spec(void) {
        return specs[chance(ARRAY_SIZE(specs))];
}

/* ---- a disk ---- */

typedef struct DiskFile {
        char file[MANIFEST_NAME_MAX + 1];
        EntryKind kind;
        bool mode_wrong, unreadable;
        const char *bytes;
        size_t len;
} DiskFile;

typedef struct Memory {
        bool known;
        bool learnt; /* the bytes were recorded just now: with the same facts nobody has looked at their pod yet */
        const char *origin, *bytes, *next;
        size_t len, next_len;
} Memory;

typedef struct Tombstone {
        size_t name;
        const WorldPod *pod;
        bool learnt; /* as in Memory */
} Tombstone;

typedef struct Disk {
        DiskFile files[FILES_MAX];
        size_t n_files;
        Memory memory[N_NAMES];
        Tombstone tombstones[TOMBSTONES_MAX];
        size_t n_tombstones;
} Disk;

/* What is asked for; the same for several plans. */
typedef struct Wishes {
        struct {
                bool wanted;
                PlanWish wish;
                State state;
                const char *spec, *origin;
        } of[N_NAMES];
        PlanFacts facts; /* the flags only */
        bool file_complete, now_one;
        uint64_t witness; /* 0: there is no witness; else the seed of what it says */
} Wishes;

static DiskFile *disk_find(Disk *d, const char *file) {
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

static size_t name_index(const char *namespace, const char *name) {
        for (size_t i = 0; i < N_NAMES; i++)
                if (streq(names[i][0], namespace) && streq(names[i][1], name))
                        return i;
        return N_NAMES;
}

static const WorldPod *pod_of(const World *w, const char *bytes, size_t len) {
        for (size_t i = 0; bytes && i < w->n_pods; i++)
                if (w->pods[i]->r.len == len && memcmp(w->pods[i]->r.bytes, bytes, len) == 0)
                        return w->pods[i];
        return NULL;
}

static Witness witness_of(const Wishes *wishes, const WorldPod *pod) {
        uint64_t x = wishes->witness;

        if (x == 0 || !pod)
                return WITNESS_UNKNOWN;
        for (const char *u = pod->r.uid; *u; u++)
                x = (x ^ (unsigned char)*u) * UINT64_C(0x100000001b3);
        return (Witness)((x >> 32) % 4);
}

/* ---- random facts ---- */

static void random_file(World *w, Disk *d, size_t name) {
        const char *namespace = names[name][0], *n = names[name][1];
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
                f->bytes = world_pod(w, names[name][0], names[name][1], "1")->r.bytes;
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

        f->bytes = chance(3) == 0   ? world_foreign(w, names[name][0], names[name][1])
                   : chance(2) == 0 ? "text"
                                    : world_pod(w, names[name][0], names[name][1], any_spec())->r.bytes;
        f->len = strlen(f->bytes);
}

static void random_memory(World *w, Disk *d, size_t name) {
        static const char *const origins[] = { "file:a.yaml", "file:b.yaml", "api", NULL };
        const char *namespace = names[name][0], *n = names[name][1];
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

static void random_disk(World *w, Disk *d) {
        memset(d, 0, sizeof(*d));
        for (size_t i = 0; i < N_NAMES; i++) {
                if (chance(4))
                        random_file(w, d, i);
                if (chance(4))
                        random_memory(w, d, i);
        }
        for (uint64_t n = chance(4); n; n--)
                random_other_file(w, d);
}

static void random_damage(World *w, Disk *d) {
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
}

static void random_wishes(Wishes *s) {
        static const char *const origins[] = { "file:a.yaml", "file:b.yaml", "api" };
        static const State kept[] = { STATE_WAITING, STATE_REFUSED, STATE_NOT_HERE };
        bool none = chance(5) == 0;

        memset(s, 0, sizeof(*s));
        for (size_t i = 0; i < N_NAMES; i++) {
                s->of[i].wanted = !none && chance(4) != 0;
                s->of[i].wish = chance(2) ? WISH_PRESENT : (PlanWish)chance(3);
                s->of[i].state = s->of[i].wish == WISH_KEEP ? kept[chance(3)] : STATE_NOT_HERE;
                s->of[i].spec = any_spec();
                s->of[i].origin = origins[chance(3)];
        }
        s->facts.local_read = chance(4) != 0;
        s->facts.local_complete = s->facts.local_read && chance(2);
        s->facts.all_synced = s->facts.local_complete && chance(2);
        s->facts.hold = (HoldPolicy)chance(3);
        s->facts.kubelet_synced = chance(2);
        s->facts.rerender = chance(5) == 0;
        s->facts.confirm = chance(4) == 0;
        s->facts.now = 1000;
        s->file_complete = chance(2);
        s->now_one = chance(4) == 0;
        s->witness = chance(3) ? 1 + chance(1000000) : 0;
}

/* ---- facts from disk and wishes ---- */

static void add_tombstones(World *w, const Disk *d, const Wishes *s) {
        for (size_t i = 0; i < d->n_tombstones; i++) {
                const Tombstone *t = &d->tombstones[i];
                PlanTombstone *x = world_tombstone(w, names[t->name][0], names[t->name][1], "");

                x->uid = t->pod->r.uid;
                x->ports = t->pod->r.ports;
                x->n_ports = t->pod->r.n_ports;
                x->removed_at = s->facts.now;
                x->witness = t->learnt ? WITNESS_UNKNOWN : witness_of(s, t->pod);
        }
}

/* Replaces the facts of the world; its pods stay. */
static void make_facts(World *w, const Disk *d, const Wishes *s) {
        w->facts.n_wanted = w->facts.n_present = w->facts.n_written = w->facts.n_tombstones = 0;
        w->facts.n_complete_files = w->facts.n_now_targets = 0;
        for (size_t i = 0; i < N_NAMES; i++) {
                const Memory *m = &d->memory[i];

                if (s->of[i].wanted) {
                        PlanWanted *x = world_want(w, names[i][0], names[i][1], s->of[i].wish,
                                                   s->of[i].wish == WISH_PRESENT ? s->of[i].spec : NULL);

                        x->state = s->of[i].state;
                        x->origin = s->of[i].origin;
                }
                if (m->known) {
                        PlanWritten *x = world_written(w, names[i][0], names[i][1], NULL, NULL);

                        x->origin = m->origin;
                        x->bytes = m->bytes;
                        x->len = m->len;
                        x->next = m->next;
                        x->next_len = m->next_len;
                        x->witness = m->learnt ? WITNESS_UNKNOWN : witness_of(s, pod_of(w, m->bytes, m->len));
                }
        }
        for (size_t i = 0; i < d->n_files; i++) {
                const DiskFile *f = &d->files[i];
                PlanEntry *x = world_entry(w, f->file, f->kind, f->bytes, f->len);

                x->mode_wrong = f->mode_wrong;
                x->unreadable = f->unreadable;
        }
        add_tombstones(w, d, s);
        if (s->file_complete)
                world_read(w, world_text(w, "set complete=a.yaml"));
        if (s->now_one)
                world_read(w, world_text(w, "set now=a/x"));
        w->facts.local_read = s->facts.local_read;
        w->facts.local_complete = s->facts.local_complete;
        w->facts.all_synced = s->facts.all_synced;
        w->facts.hold = s->facts.hold;
        w->facts.kubelet_synced = s->facts.kubelet_synced;
        w->facts.rerender = s->facts.rerender;
        w->facts.confirm = s->facts.confirm;
        w->facts.now = s->facts.now;
}

/* ---- carrying out ---- */

static void add_tombstone(Disk *d, size_t name, const WorldPod *pod, bool learnt) {
        assert_true(d->n_tombstones < TOMBSTONES_MAX);
        d->tombstones[d->n_tombstones++] = (Tombstone){ name, pod, learnt };
}

/* Tombstones of what was remembered and of what stood, if that was another pod of the same name. */
static void bury(World *w, Disk *d, size_t name, const DiskFile *f) {
        const Memory *m = &d->memory[name];
        const WorldPod *last = pod_of(w, m->bytes, m->len), *stood = f ? pod_of(w, f->bytes, f->len) : NULL;

        if (last)
                add_tombstone(d, name, last, m->learnt);
        if (stood && stood != last && stood == world_pod(w, names[name][0], names[name][1], stood->spec))
                add_tombstone(d, name, stood, true);
}

/* half: 0 = the whole write; 1 = killed before the rename; 2 = killed after it. */
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
                if (!pod_of(w, f->bytes, f->len))
                        assert_true(s->save_copy);
        } else
                assert_true(s->verb == STEP_CREATE || s->verb == STEP_RESTORE);
        if (s->verb != STEP_RESTORE)
                bury(w, d, name, f);
        m->known = true;
        m->origin = s->origin;
        m->next = s->bytes;
        m->next_len = s->len;
        if (half == 1)
                return;
        f = disk_put(d, s->file);
        f->bytes = s->bytes;
        f->len = s->len;
        if (half == 2)
                return;
        *m = (Memory){ .known = true, .origin = s->origin, .bytes = s->bytes, .len = s->len };
}

static void apply_step(World *w, Disk *d, const PlanStep *s, int half) {
        size_t name = name_index(s->namespace, s->name);
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
        case STEP_REMOVE:
                assert_true(f && f->kind == ENTRY_REGULAR && !f->unreadable);
                bury(w, d, name, f);
                disk_remove(d, s->file);
                d->memory[name] = (Memory){ 0 };
                break;
        case STEP_FORGET:
                bury(w, d, name, NULL);
                d->memory[name] = (Memory){ 0 };
                break;
        case STEP_RECORD:
                assert_true(f && f->len == s->len && memcmp(f->bytes, s->bytes, s->len) == 0);
                d->memory[name] = (Memory){ .known = true,
                                            .learnt = d->memory[name].learnt || d->memory[name].bytes != s->bytes,
                                            .origin = s->origin,
                                            .bytes = s->bytes,
                                            .len = s->len };
                break;
        default:
                apply_write(w, d, s, name, half);
        }
}

static void apply(World *w, Disk *d, const Plan *plan) {
        for (size_t i = 0; i < plan->n_steps; i++)
                apply_step(w, d, &plan->steps[i], 0);
}

/* ---- what must hold ---- */

static void fail_with(World *w, const Plan *plan, const char *what) {
        _cleanup_buf_ Buf out = BUF_INIT;

        buf_printf(&out, "%s\nhold=%d synced=%d local=%d/%d all=%d rerender=%d confirm=%d\n", what, (int)w->facts.hold,
                   w->facts.kubelet_synced, w->facts.local_read, w->facts.local_complete, w->facts.all_synced,
                   w->facts.rerender, w->facts.confirm);
        for (size_t i = 0; i < w->facts.n_wanted; i++) {
                const PlanWanted *x = &w->facts.wanted[i];

                buf_printf(&out, "want %s/%s %d %s %s\n", x->namespace, x->name, (int)x->wish,
                           x->rendered ? world_spec(w, x->rendered->bytes, x->rendered->len) : "-", x->origin);
        }
        for (size_t i = 0; i < w->facts.n_present; i++) {
                const PlanEntry *x = &w->facts.present[i];

                buf_printf(&out, "stands %s kind=%d %s%s%s\n", x->file, (int)x->kind, world_spec(w, x->bytes, x->len),
                           x->unreadable ? " unreadable" : "", x->mode_wrong ? " mode-wrong" : "");
        }
        for (size_t i = 0; i < w->facts.n_written; i++) {
                const PlanWritten *x = &w->facts.written[i];

                buf_printf(&out, "written %s/%s %s next=%s %s witness=%d\n", x->namespace, x->name,
                           world_spec(w, x->bytes, x->len), world_spec(w, x->next, x->next_len),
                           str_or_empty(x->origin), (int)x->witness);
        }
        for (size_t i = 0; i < w->facts.n_tombstones; i++)
                buf_printf(&out, "tombstone %s/%s witness=%d\n", w->facts.tombstones[i].namespace,
                           w->facts.tombstones[i].name, (int)w->facts.tombstones[i].witness);
        world_print(w, plan, &out);
        (void)fputs(buf_text(&out), stderr); /* longer than what cmocka can print */
        fail_msg("%s", what);
}

static void check_order(World *w, const Plan *plan) {
        for (size_t i = 1; i < plan->n_steps; i++) {
                const PlanStep *a = &plan->steps[i - 1], *b = &plan->steps[i];

                if (a->verb > b->verb || (a->verb == b->verb && strcmp(a->file, b->file) >= 0))
                        fail_with(w, plan, "the steps are not in order");
        }
}

/* Nothing goes as undefined unless the source that defined it was complete. */
static void check_removals(World *w, const Plan *plan, const Disk *before, const Disk *after) {
        size_t undefined = 0;

        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];
                size_t name = name_index(s->namespace, s->name);
                const char *origin = name < N_NAMES ? before->memory[name].origin : NULL;
                bool defined = false;

                if (s->verb != STEP_REMOVE && s->verb != STEP_FORGET)
                        continue;
                for (size_t j = 0; j < w->facts.n_wanted; j++)
                        defined |= streq(w->facts.wanted[j].namespace, s->namespace) &&
                                   streq(w->facts.wanted[j].name, s->name);
                if (defined)
                        continue;
                undefined += s->verb == STEP_REMOVE;
                if (!(origin && startswith(origin, "file:")
                              ? w->facts.local_complete || (w->facts.local_read && streq(origin, "file:a.yaml") &&
                                                            w->facts.n_complete_files)
                              : w->facts.all_synced))
                        fail_with(w, plan, "removed although its source was not complete");
        }
        if (undefined >= 3 && w->facts.n_wanted == 0 && !w->facts.confirm) {
                size_t ours = 0;

                for (size_t i = 0; i < after->n_files; i++)
                        ours += pod_of(w, after->files[i].bytes, after->files[i].len) != NULL;
                if (ours == 0)
                        fail_with(w, plan, "everything was removed");
        }
}

/* While held, the bytes of a manifest whose pod may be alive change to the last ones or not at all. */
static void check_hold(World *w, const Plan *plan, const Disk *before, const Wishes *s) {
        bool held = s->facts.hold == HOLD_ALWAYS || (s->facts.hold == HOLD_UNTIL_SYNCED && !s->facts.kubelet_synced);

        for (size_t i = 0; held && i < plan->n_steps; i++) {
                const PlanStep *step = &plan->steps[i];
                size_t name = name_index(step->namespace, step->name);
                const Memory *m = name < N_NAMES ? &before->memory[name] : NULL;
                const WorldPod *last = m ? pod_of(w, m->bytes, m->len) : NULL;

                if (!last || witness_of(s, last) == WITNESS_GONE || (s->now_one && name == 0))
                        continue;
                if (step->verb == STEP_REMOVE || step->verb == STEP_FORGET || step->verb == STEP_REPLACE ||
                    step->verb == STEP_CREATE)
                        fail_with(w, plan, "changed although it is held");
                if (step->verb == STEP_RESTORE && step->bytes != m->bytes)
                        fail_with(w, plan, "restored to other than the last bytes");
        }
}

static const PlanRow *row_of(const Plan *plan, const char *namespace, const char *name) {
        for (size_t i = 0; i < plan->n_rows; i++)
                if (streq(plan->rows[i].namespace, namespace) && streq(plan->rows[i].name, name))
                        return &plan->rows[i];
        return NULL;
}

/* Every wanted one stands with its input unless the row says why not; and what the row says stands does. */
static void check_result(World *w, const Plan *plan, Disk *after, const Wishes *s) {
        for (size_t i = 0; i < N_NAMES; i++) {
                const PlanRow *row = row_of(plan, names[i][0], names[i][1]);
                const DiskFile *f = disk_find(after, world_file(w, names[i][0], names[i][1]));
                const WorldPod *p = f ? pod_of(w, f->bytes, f->len) : NULL;

                if (s->of[i].wanted && !row)
                        fail_with(w, plan, "a DaemonSet without a row");
                if (row && *row->revision && (!p || !streq(p->r.revision, row->revision)))
                        fail_with(w, plan, "the row's revision does not stand");
                if (!s->of[i].wanted || s->of[i].wish != WISH_PRESENT || (f && f->unreadable))
                        continue;
                if (row->state == STATE_CONFLICT || row->state == STATE_HELD || row->state == STATE_WAITING)
                        continue;
                if (!p || p->r.input[0] != s->of[i].spec[0] || strchr(p->spec, '!'))
                        fail_with(w, plan, "wanted, but does not stand");
        }
}

/* No two files that a kubelet loads have one pod name, unless a conflict or an unreadable file is reported. */
static void check_single(World *w, const Plan *plan, const Disk *after) {
        for (size_t i = 0; i < after->n_files; i++) {
                const DiskFile *f = &after->files[i];
                const WorldPod *p = f->kind == ENTRY_REGULAR && f->file[0] != '.' ? pod_of(w, f->bytes, f->len) : NULL;
                Manifest m = { 0 };
                size_t name;

                if (!p)
                        continue;
                assert_int_equal(manifest_parse(f->bytes, f->len, &m), 0);
                name = name_index(m.namespace, m.name);
                assert_true(name < N_NAMES);
                if (!streq(f->file, world_file(w, names[name][0], names[name][1])))
                        fail_with(w, plan, "a pod of ours under another name");
                manifest_done(&m);
        }
}

static void check_plan(World *w, const Plan *plan, const Disk *before, Disk *after, const Wishes *s) {
        check_order(w, plan);
        check_removals(w, plan, before, after);
        check_hold(w, plan, before, s);
        check_result(w, plan, after, s);
        check_single(w, plan, after);
}

static int compare_files(const void *a, const void *b) {
        return strcmp(((const DiskFile *)a)->file, ((const DiskFile *)b)->file);
}

static bool same_bytes(const char *a, size_t a_len, const char *b, size_t b_len) {
        return a == b || (a && b && a_len == b_len && memcmp(a, b, a_len) == 0);
}

/* Equal directories, and equal memories of what stands. */
static bool same_disk(Disk *a, Disk *b) {
        if (a->n_files != b->n_files)
                return false;
        qsort(a->files, a->n_files, sizeof(*a->files), compare_files);
        qsort(b->files, b->n_files, sizeof(*b->files), compare_files);
        for (size_t i = 0; i < a->n_files; i++) {
                const DiskFile *x = &a->files[i], *y = &b->files[i];

                if (!streq(x->file, y->file) || x->kind != y->kind || x->mode_wrong != y->mode_wrong ||
                    !same_bytes(x->bytes, x->len, y->bytes, y->len))
                        return false;
        }
        for (size_t i = 0; i < N_NAMES; i++) {
                const Memory *x = &a->memory[i], *y = &b->memory[i];

                if (x->known != y->known || !streq(x->origin, y->origin) ||
                    !same_bytes(x->bytes, x->len, y->bytes, y->len))
                        return false;
        }
        return true;
}

/* The plan carried out up to a step, that one half, then planned anew: the same end. */
static void check_interrupted(World *w, const Plan *plan, const Disk *before, Disk *after, const Wishes *s) {
        for (size_t stop = 0; stop < plan->n_steps; stop++) {
                int halves = plan->steps[stop].verb >= STEP_RESTORE && plan->steps[stop].verb <= STEP_CREATE ? 2 : 0;

                for (int half = 0; half <= halves; half++) {
                        Disk disk = *before;
                        _cleanup_plan_ Plan again = { 0 };

                        for (size_t i = 0; i < stop; i++)
                                apply_step(w, &disk, &plan->steps[i], 0);
                        if (half)
                                apply_step(w, &disk, &plan->steps[stop], half);
                        make_facts(w, &disk, s);
                        assert_int_equal(plan_make(&w->facts, &again), 0);
                        apply(w, &disk, &again);
                        if (!same_disk(&disk, after)) {
                                _cleanup_buf_ Buf what = BUF_INIT;

                                buf_printf(&what, "another end after an interruption at step %zu, half %d, of:\n", stop,
                                           half);
                                world_print(w, plan, &what);
                                fail_with(w, &again, buf_text(&what));
                        }
                }
        }
}

static void round_of(uint64_t seed, size_t counts[STEP_TOUCH + 1]) {
        World w;
        Disk disk;
        Wishes wishes;

        chance_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
        for (int i = 0; i < 4; i++)
                (void)chance(2);
        world_init(&w);
        random_disk(&w, &disk);
        for (int n = 0; n < SEQUENCE; n++) {
                _cleanup_plan_ Plan plan = { 0 }, again = { 0 };
                Disk before = disk;

                random_wishes(&wishes);
                for (size_t i = 0; i < N_NAMES; i++)
                        disk.memory[i].learnt = before.memory[i].learnt = false;
                for (size_t i = 0; i < disk.n_tombstones; i++)
                        disk.tombstones[i].learnt = before.tombstones[i].learnt = false;
                make_facts(&w, &disk, &wishes);
                assert_int_equal(plan_make(&w.facts, &plan), 0);
                apply(&w, &disk, &plan);
                for (size_t i = 0; i < plan.n_steps; i++)
                        counts[plan.steps[i].verb]++;
                check_plan(&w, &plan, &before, &disk, &wishes);

                make_facts(&w, &disk, &wishes);
                assert_int_equal(plan_make(&w.facts, &again), 0);
                if (again.n_steps) {
                        _cleanup_buf_ Buf what = BUF_INIT;

                        buf_str(&what, "a second plan has steps, after:\n");
                        world_print(&w, &plan, &what);
                        fail_with(&w, &again, buf_text(&what));
                }
                check_interrupted(&w, &plan, &before, &disk, &wishes);
                random_damage(&w, &disk);
        }
        world_done(&w);
}

static void test_properties(void **state) {
        const char *seed_text = getenv("PLAN_SEED"), *rounds_text = getenv("PLAN_ROUNDS");
        uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 1;
        uint64_t rounds = rounds_text ? strtoull(rounds_text, NULL, 10) : 300;
        size_t counts[STEP_TOUCH + 1] = { 0 };

        (void)state;
        for (uint64_t i = 0; i < rounds; i++) {
                /* Told before it is tried, so that a failure names its seed. */
                if (getenv("PLAN_VERBOSE") || seed_text)
                        print_message("PLAN_SEED=%" PRIu64 "\n", seed + i);
                round_of(seed + i, counts);
        }
        for (unsigned i = 0; i <= STEP_TOUCH; i++)
                if (counts[i] == 0 && rounds >= 300)
                        fail_msg("no plan had a step %s: chance is not doing its work", step_verb_name((StepVerb)i));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_properties),
        };

        return cmocka_run_group_tests_name("plan properties", tests, NULL, NULL);
}
