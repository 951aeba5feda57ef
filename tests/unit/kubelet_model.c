/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet_model.h"

#include <stdio.h>

const char *const km_names[KM_SETS][2] = {
        { "a", "x" }, { "a", "y" }, { "b", "x" }, { "b", "y" }, { "c-d", "z" },
};
/* Two of one digit are two renderings of one input. */
const char *const km_specs[KM_SPECS] = { "1", "1b", "2:80", "2b:80", "3:81", "4", "5:80,81", "6:82", "7:53/UDP" };

enum { /* milliseconds */
       LIST = 20 * 1000,
       HOUSEKEEPING = 2 * 1000,
       BACK_OFF = 10 * 1000, /* of a pod that waits for its name, up to half as much more */
       ORPHAN_GRACE = 1000,
       BEAT = 30 * 1000,
       MIRROR = 2500,
       RESYNC = 90 * 1000, /* of pods, the longest pause */
       RETRY = 20 * 1000,  /* the longest pause before it asks the API server again */
};

/* ---- chance ---- */

static uint64_t state;

void km_seed(uint64_t seed) {
        state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
        for (int i = 0; i < 4; i++)
                (void)km_random(2);
}

uint64_t km_random(uint64_t n) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (state >> 11) % n;
}

int64_t km_between(int64_t low, int64_t high) {
        return low + (int64_t)km_random((uint64_t)(high - low + 1));
}

/* ---- names of things ---- */

void km_trace(Kubelet *k, const char *format, ...) {
        char line[512];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        buf_printf(&k->trace, "%7d.%03d %s\n", (int)(k->now / 1000), (int)(k->now % 1000), line);
}

static void trace_pod(Kubelet *k, const KmPod *p, const char *what) {
        km_trace(k, "        kubelet: %s/%s %s%s%s: %s", km_names[p->m.set][0], km_names[p->m.set][1],
                 p->m.pod ? p->m.pod->spec : p->m.uid, p->m.theirs ? " theirs " : "", p->m.theirs ? p->m.uid : "",
                 what);
}

static const WorldPod *edit(World *w, size_t set, const char *spec) {
        size_t n = spec[1] == 'b' ? 2 : 1;
        const char *edited = world_text(w, "%.*s!%s", (int)n, spec, spec + n);

        return world_pod(w, km_names[set][0], km_names[set][1], edited);
}

void km_init(Kubelet *k) {
        *k = (Kubelet){ .missed_at = -1, .list_at = -1, .sync_at = -1, .beat_at = -1, .heartbeat = -1 };
        for (size_t i = 0; i < KM_SETS; i++)
                k->mirrors[i].at = -1;
        world_init(&k->world);
        for (size_t i = 0; i < KM_SETS; i++) {
                for (size_t j = 0; j < KM_SPECS; j++) {
                        k->pods[i][j] = world_pod(&k->world, km_names[i][0], km_names[i][1], km_specs[j]);
                        k->edited[i][j] = edit(&k->world, i, km_specs[j]);
                }
                k->foreign[i] = world_foreign(&k->world, km_names[i][0], km_names[i][1]);
                (void)snprintf(k->files_of[i], KM_NAME, "%s", world_file(&k->world, km_names[i][0], km_names[i][1]));
        }
}

void km_done(Kubelet *k) {
        world_done(&k->world);
        buf_done(&k->trace);
}

bool km_parse(const Kubelet *k, const char *file, const char *bytes, KmManifest *ret) {
        for (size_t i = 0; bytes && i < KM_SETS; i++) {
                *ret = (KmManifest){ .set = i };
                for (size_t j = 0; j < KM_SPECS; j++)
                        if (bytes == k->pods[i][j]->r.bytes || bytes == k->edited[i][j]->r.bytes)
                                ret->pod = k->pods[i][j];
                if (!ret->pod && bytes != k->foreign[i])
                        continue;
                (void)snprintf(ret->uid, KM_NAME, "%s", ret->pod ? ret->pod->r.uid : file);
                return true;
        }
        return false;
}

bool km_pods_clash(const KmManifest *a, const KmManifest *b) {
        for (size_t i = 0; a->pod && b->pod && i < a->pod->r.n_ports; i++)
                for (size_t j = 0; j < b->pod->r.n_ports; j++)
                        if (host_ports_clash(&a->pod->r.ports[i], &b->pod->r.ports[j]))
                                return true;
        return false;
}

/* ---- the directory ---- */

KmFile *km_find_file(Kubelet *k, const char *name) {
        for (size_t i = 0; i < k->n_files; i++)
                if (streq(k->files[i].name, name))
                        return &k->files[i];
        return NULL;
}

bool km_has_containers(const KmPod *p) {
        return p->phase == KM_RUNNING || p->phase == KM_ENDING;
}

static bool is_traced(const Kubelet *k, const KmPod *p) {
        return (p->phase == KM_STARTING && k->now >= p->trace_at) || km_has_containers(p) || p->phase == KM_CLEANING;
}

static const KmFile *file_of(const Kubelet *k, const KmPod *p) {
        KmManifest m;

        for (size_t i = 0; i < k->n_files; i++)
                if (k->files[i].name[0] != '.' && km_parse(k, k->files[i].name, k->files[i].bytes, &m) &&
                    streq(m.uid, p->m.uid))
                        return &k->files[i];
        return NULL;
}

/* Notes whose manifest went, and by whom. */
static void note_left(Kubelet *k, bool by_agent) {
        for (size_t i = 0; i < k->n_pods; i++) {
                KmPod *p = &k->table[i];
                const KmFile *f = file_of(k, p);
                bool stood = p->stood;

                p->stood = f;
                if (f)
                        p->ours = f->by_agent;
                if (!stood || p->stood)
                        continue;
                p->left_at = k->now;
                p->left_by_agent = by_agent && p->ours;
                p->left_alive = km_has_containers(p);
                p->left_unseen = !k->up;
                p->left_early = !is_traced(k, p);
                p->left_unsynced = km_is_frozen(k) || (k->has_api && !k->up);
        }
}

static void announce(Kubelet *k, const char *file, bool gone) {
        k->news = true;
        if (!k->up || file[0] == '.')
                return;
        if (k->lose > 0) {
                k->lose--;
                k->missed_at = k->now;
                km_trace(k, "        (the kubelet misses the event of %s)", file);
                for (size_t i = 0; gone && i < k->n_pods; i++)
                        k->table[i].left_unseen |= k->table[i].left_at == k->now;
                return;
        }
        assert_true(k->n_events < KM_EVENTS);
        k->events[k->n_events] = (KmEvent){ .at = k->now + km_between(5, 60), .gone = gone };
        (void)snprintf(k->events[k->n_events].file, KM_NAME, "%s", file);
        /* They come in order. */
        if (k->n_events > 0 && k->events[k->n_events].at < k->events[k->n_events - 1].at)
                k->events[k->n_events].at = k->events[k->n_events - 1].at;
        k->n_events++;
}

void km_put(Kubelet *k, const char *name, const char *bytes, bool by_agent) {
        KmFile *f = km_find_file(k, name);

        if (bytes && !f) {
                assert_true(k->n_files < KM_FILES);
                f = &k->files[k->n_files++];
                *f = (KmFile){ 0 };
                (void)snprintf(f->name, KM_NAME, "%s", name);
        }
        if (bytes) {
                f->by_agent = by_agent || (f->by_agent && f->bytes == bytes);
                f->bytes = bytes;
                f->mode_wrong = false;
        } else if (f)
                *f = k->files[--k->n_files];
        else
                return;
        note_left(k, by_agent);
        announce(k, name, !bytes);
}

void km_chmod(Kubelet *k, const char *name) {
        announce(k, name, false);
}

/* ---- pods ---- */

bool km_is_frozen(const Kubelet *k) {
        return k->has_api && !k->synced;
}

KmPod *km_find_pod(Kubelet *k, const char *uid) {
        for (size_t i = 0; i < k->n_pods; i++)
                if (streq(k->table[i].m.uid, uid))
                        return &k->table[i];
        return NULL;
}

Witness km_witness(Kubelet *k, const char *uid) {
        const KmPod *p = km_find_pod(k, uid);

        if (!k->has_witness)
                return WITNESS_UNKNOWN;
        if (!p || !is_traced(k, p))
                return WITNESS_GONE;
        if (km_has_containers(p))
                return WITNESS_RUNNING;
        return k->booted ? WITNESS_TERMINATING : WITNESS_UNKNOWN;
}

static bool holds_name(const KmPod *p) {
        return p->known && p->phase >= KM_STARTING && p->phase <= KM_FORGETTING;
}

/* Each pod of the API server has a name of its own. */
static bool is_namesake(const KmPod *a, const KmPod *b) {
        return a->m.set == b->m.set && !a->m.theirs && !b->m.theirs;
}

static bool is_name_free(const Kubelet *k, const KmPod *for_pod) {
        for (size_t i = 0; i < k->n_pods; i++) {
                const KmPod *p = &k->table[i];

                if (p == for_pod || !is_namesake(p, for_pod))
                        continue;
                if (holds_name(p) || (p->phase == KM_QUEUED && p->seq < for_pod->seq))
                        return false;
        }
        return true;
}

static bool is_admitted(const Kubelet *k, const KmPod *for_pod) {
        for (size_t i = 0; i < k->n_pods; i++) {
                const KmPod *p = &k->table[i];
                bool ending = k->counts_ending && !is_namesake(p, for_pod) && p->known && km_has_containers(p);

                if (p != for_pod && p->phase != KM_REFUSED && ((p->desired && p->known) || ending) &&
                    km_pods_clash(&p->m, &for_pod->m))
                        return false;
        }
        return !k->refuses || km_random(12);
}

/* Starts a pod, or queues it. */
static void begin(Kubelet *k, KmPod *p) {
        if (!is_name_free(k, p)) {
                p->phase = KM_QUEUED;
                p->at = k->now + km_between(BACK_OFF, BACK_OFF * 3 / 2);
                trace_pod(k, p, "waits for one of its name");
                return;
        }
        /* Its directory may be there from before. */
        p->trace_at = is_traced(k, p) ? k->now : k->now + km_between(20, 400);
        p->phase = KM_STARTING;
        p->of_former = false;
        p->at = k->now + km_between(500, 2000);
}

static void end(Kubelet *k, KmPod *p, int64_t longest) {
        if (p->phase == KM_QUEUED) {
                p->phase = KM_FINISHED;
                p->at = -1;
        } else if (p->phase == KM_STARTING) {
                p->phase = is_traced(k, p) ? KM_CLEANING : KM_FORGETTING;
                p->at = k->now + km_between(100, 2000);
        } else if (p->phase == KM_RUNNING) {
                p->phase = KM_ENDING;
                p->at = k->now +
                        (km_random(4) ? km_between(100, longest < 3000 ? longest : 3000) : km_between(100, longest));
                trace_pod(k, p, "is told to end");
        }
}

static void drop(Kubelet *k, size_t i) {
        k->table[i] = k->table[--k->n_pods];
}

/* ---- manifests come and go ---- */

/* False: refused. */
static bool take_up(Kubelet *k, const KmManifest *m) {
        KmPod *p = km_find_pod(k, m->uid);

        if (!p) {
                assert_true(k->n_pods < KM_PODS);
                p = &k->table[k->n_pods++];
                *p = (KmPod){ .m = *m, .phase = KM_FINISHED, .at = -1 };
                p->stood = file_of(k, p);
                p->ours = p->stood && file_of(k, p)->by_agent;
        } else if (p->known && p->phase <= KM_RUNNING) {
                /* What it refused is refused until housekeeping has forgotten it. */
                p->desired = true;
                return p->phase != KM_REFUSED;
        }
        p->desired = true;
        p->seq = ++k->seq;
        if (!is_admitted(k, p)) {
                if (!p->known && km_has_containers(p)) {
                        p->found = true;
                        end(k, p, ORPHAN_GRACE);
                } else if (!km_has_containers(p))
                        p->phase = KM_REFUSED;
                p->known = true;
                trace_pod(k, p, "REFUSED");
                return false;
        }
        /* The process before started it. */
        if (!p->known && p->phase == KM_RUNNING) {
                p->known = p->found = true;
                return true;
        }
        if (!p->known && (p->phase == KM_FINISHED || p->phase == KM_CLEANING)) {
                p->known = true;
                begin(k, p);
        } else {
                p->found |= !p->known;
                p->known = true;
                trace_pod(k, p, "came back while it was ending");
        }
        return true;
}

static void let_go(Kubelet *k, KmPod *p) {
        p->desired = false;
        if (!km_is_frozen(k))
                end(k, p, KM_GRACE);
}

/* The pods are to be those of the store; at the start of a process in any order. */
static void set_pods(Kubelet *k) {
        size_t first = (size_t)km_random(KM_SETS);

        for (size_t i = 0; i < k->n_pods; i++) {
                KmPod *p = &k->table[i];

                if (p->desired && !p->m.theirs &&
                    !(k->store[p->m.set].present && streq(k->store[p->m.set].m.uid, p->m.uid)))
                        let_go(k, p);
        }
        for (size_t i = 0; i < KM_SETS; i++) {
                size_t set = (first + i) % KM_SETS;
                KmPod *p = k->store[set].present ? km_find_pod(k, k->store[set].m.uid) : NULL;

                if (k->store[set].present && (!p || !p->desired))
                        (void)take_up(k, &k->store[set].m);
        }
}

static void set_key(Kubelet *k, const char *file, size_t set) {
        size_t i = 0;

        while (i < k->n_keys && !streq(k->keys[i].file, file))
                i++;
        assert_true(i < ARRAY_SIZE(k->keys));
        if (i == k->n_keys)
                (void)snprintf(k->keys[k->n_keys++].file, KM_NAME, "%s", file);
        k->keys[i].set = set;
}

static void load(Kubelet *k, const KmFile *f) {
        KmManifest m;

        if (f->name[0] == '.' || !km_parse(k, f->name, f->bytes, &m))
                return;
        set_key(k, f->name, m.set);
        k->store[m.set].present = true;
        k->store[m.set].m = m;
}

static int compare_files(const void *a, const void *b) {
        return strcmp(((const KmFile *)a)->name, ((const KmFile *)b)->name);
}

static void list(Kubelet *k) {
        if (k->n_files)
                qsort(k->files, k->n_files, sizeof(*k->files), compare_files);
        memset(k->store, 0, sizeof(k->store));
        for (size_t i = 0; i < k->n_files; i++)
                load(k, &k->files[i]);
        set_pods(k);
}

static void handle(Kubelet *k, const KmEvent *e) {
        const KmFile *f = km_find_file(k, e->file);

        if (!e->gone && f)
                load(k, f);
        for (size_t i = 0; e->gone && i < k->n_keys; i++)
                if (streq(k->keys[i].file, e->file))
                        k->store[k->keys[i].set].present = false;
        set_pods(k);
}

/* ---- the process ---- */

void km_start(Kubelet *k) {
        km_trace(k, "    kubelet starts");
        k->up = k->booted = true;
        k->started = k->now;
        k->synced = false;
        k->beat_at = -1;
        k->sync_at = k->now + km_between(500, 3000);
        memset(k->store, 0, sizeof(k->store));
        k->n_keys = 0;
        k->list_at = k->now;
}

void km_stop(Kubelet *k) {
        km_trace(k, "    kubelet stops");
        k->up = k->synced = false;
        k->n_events = 0;
        for (size_t i = 0; i < k->n_objects; i++) {
                k->objects[i].fails = false;
                k->objects[i].status_at = -1;
        }
        for (size_t i = 0; i < KM_SETS; i++)
                k->mirrors[i].at = -1;
        for (size_t i = k->n_pods; i-- > 0;) {
                KmPod *p = &k->table[i];

                p->known = p->desired = false;
                p->left_unseen |= !p->stood;
                if (is_traced(k, p) && !km_has_containers(p))
                        p->phase = KM_CLEANING;
                if (p->phase == KM_CLEANING)
                        p->at = -1;
                else if (!km_has_containers(p))
                        drop(k, i);
        }
}

void km_set_api(Kubelet *k, bool up) {
        km_trace(k, "    the API server %s", up ? "is back" : "is gone");
        k->api_up = up;
        k->sync_at = k->heard_since = k->now + km_between(0, RETRY);
        if (k->synced)
                k->beat_at = k->sync_at;
}

void km_die(Kubelet *k, KmPod *p) {
        trace_pod(k, p, "dies");
        p->phase = KM_CLEANING;
        p->at = -1;
}

void km_reboot(Kubelet *k) {
        if (k->up)
                km_stop(k);
        km_trace(k, "    the host starts anew");
        k->booted = false;
        k->boots++;
        for (size_t i = 0; i < k->n_pods; i++) {
                k->table[i].phase = KM_CLEANING;
                k->table[i].at = -1;
                k->table[i].of_former = true;
        }
}

static bool needs_housekeeping(const Kubelet *k, const KmPod *p) {
        bool orphan = p->phase == KM_RUNNING || (p->phase == KM_CLEANING && p->at < 0) ||
                      (p->phase == KM_ENDING && p->at > k->now + ORPHAN_GRACE);

        return p->phase == KM_FINISHED || (p->known ? !p->desired && p->phase <= KM_RUNNING : orphan);
}

static int64_t housekeeping_due(const Kubelet *k) {
        for (size_t i = 0; k->up && !km_is_frozen(k) && i < k->n_pods; i++)
                if (needs_housekeeping(k, &k->table[i]))
                        return k->now + HOUSEKEEPING - (k->now - k->started) % HOUSEKEEPING;
        return -1;
}

static void keep_house(Kubelet *k) {
        for (size_t i = k->n_pods; i-- > 0;) {
                KmPod *p = &k->table[i];

                if (!p->known && p->phase == KM_RUNNING)
                        end(k, p, ORPHAN_GRACE);
                else if (!p->known && p->phase == KM_ENDING && p->at > k->now + ORPHAN_GRACE)
                        p->at = k->now + ORPHAN_GRACE;
                else if (!p->known && p->phase == KM_CLEANING && p->at < 0)
                        p->at = k->now + km_between(0, 2000);
                else if (p->phase == KM_FINISHED && p->desired) {
                        if (is_admitted(k, p))
                                begin(k, p);
                        else
                                p->phase = KM_REFUSED;
                } else if (p->phase == KM_FINISHED || (p->phase == KM_REFUSED && !p->desired))
                        drop(k, i);
                else if (p->known && !p->desired)
                        end(k, p, KM_GRACE);
        }
}

static void advance(Kubelet *k, KmPod *p) {
        p->at = -1;
        switch (p->phase) {
        case KM_QUEUED:
                if (is_name_free(k, p))
                        begin(k, p);
                else
                        p->at = k->now + km_between(BACK_OFF, BACK_OFF * 3 / 2);
                break;
        case KM_STARTING:
                p->phase = KM_RUNNING;
                p->found = false;
                p->ready_at = k->now + (p->m.theirs ? km_between(0, 5000) : 0);
                trace_pod(k, p, "runs");
                k->on_start(k, p);
                break;
        case KM_ENDING:
                p->phase = KM_CLEANING;
                p->at = k->up ? k->now + km_between(0, 3000) : -1;
                trace_pod(k, p, "has ended");
                break;
        case KM_CLEANING:
                k->news = true;
                p->phase = p->known ? KM_FORGETTING : KM_FINISHED;
                p->at = p->known ? k->now + km_between(0, 5000) : -1;
                trace_pod(k, p, "is gone");
                break;
        case KM_FORGETTING:
                p->phase = KM_FINISHED;
                break;
        default:
                break;
        }
}

/* ---- the pods of the API server ---- */

bool km_hears(const Kubelet *k) {
        return k->up && k->synced && k->api_up && k->now >= k->sync_at;
}

KmObject *km_find_object(Kubelet *k, const char *uid) {
        for (size_t i = 0; i < k->n_objects; i++)
                if (streq(k->objects[i].uid, uid))
                        return &k->objects[i];
        return NULL;
}

void km_tell(Kubelet *k, KmObject *o) {
        o->told_at = k->now + km_between(10, 500);
}

void km_remove_object(Kubelet *k, KmObject *o) {
        km_trace(k, "      %s is gone from the API server", o->name);
        *o = k->objects[--k->n_objects];
        k->told = true;
}

void km_evict(Kubelet *k, KmPod *p) {
        KmObject *o = km_find_object(k, p->m.uid);

        trace_pod(k, p, "is evicted");
        if (o)
                o->fails = true;
        p->desired = false;
        end(k, p, KM_GRACE);
}

static bool is_left(Kubelet *k, const KmObject *o) {
        const KmPod *p = km_find_pod(k, o->uid);

        return p && (p->phase == KM_STARTING || km_has_containers(p) || p->phase == KM_CLEANING);
}

static void handle_object(Kubelet *k, KmObject *o) {
        KmManifest m = { .set = o->set, .pod = o->pod, .theirs = true };
        KmPod *p = km_find_pod(k, o->uid);

        o->told_at = -1;
        if (!o->bound || o->fails)
                return;
        if (o->deleting || o->failed) {
                if (p && (p->desired || !p->known)) {
                        p->known = true;
                        let_go(k, p);
                        if (p->phase == KM_CLEANING && p->at < 0)
                                p->at = k->now + km_between(0, 2000);
                }
                return;
        }
        (void)snprintf(m.uid, KM_NAME, "%s", o->uid);
        if (!take_up(k, &m)) {
                o->fails = true;
                km_find_pod(k, o->uid)->desired = false;
        }
}

/* What it should say of a pod that it knows. */
static bool has_news(Kubelet *k, const KmObject *o, bool *ret_ready) {
        const KmPod *p = km_find_pod(k, o->uid);
        bool knows = p && p->known;

        *ret_ready = knows && p->phase == KM_RUNNING && k->now >= p->ready_at && !o->fails;
        if (!o->bound || o->failed || o->told_at >= 0)
                return false;
        /* It says that a pod has failed when its containers have ended, and before that it is not Ready. */
        return o->fails ? o->ready || !p || !km_has_containers(p) : knows && *ret_ready != o->ready;
}

static void tell_status(Kubelet *k, KmObject *o) {
        const KmPod *p = km_find_pod(k, o->uid);
        bool ready, news = has_news(k, o, &ready);

        if (!news) {
                o->status_at = -1;
                return;
        }
        if (o->status_at < 0)
                o->status_at = k->now + km_between(50, 2000);
        if (o->status_at > k->now)
                return;
        o->status_at = -1;
        o->ready = ready;
        if (o->fails && !(p && km_has_containers(p))) {
                o->failed = true;
                o->fails = false;
        }
        k->told = true;
        km_trace(k, "      %s is told to be %s", o->name, o->failed ? "Failed" : ready ? "Ready" : "not Ready");
}

/* The static pod that has a mirror; one that was refused has one that has failed, which is in nobody's way. */
static const WorldPod *mirrored(const Kubelet *k, size_t set) {
        for (size_t i = 0; i < k->n_pods; i++) {
                const KmPod *p = &k->table[i];

                if (!p->m.theirs && p->m.set == set && p->known && p->phase >= KM_STARTING && p->phase <= KM_CLEANING)
                        return p->m.pod;
        }
        return NULL;
}

static void mirror(Kubelet *k, size_t set) {
        KmMirror *m = &k->mirrors[set];
        const WorldPod *pod = mirrored(k, set);

        if (pod == m->pod) {
                m->at = -1;
                return;
        }
        /* What it could not make it tries again after a minute or more; what is too many goes soon. */
        if (m->at < 0)
                m->at = k->now + km_between(50, pod && k->now == k->heard_since ? RESYNC : MIRROR);
        if (!pod && m->at > k->now + MIRROR)
                m->at = k->now + km_between(50, MIRROR);
        if (m->at > k->now)
                return;
        m->at = -1;
        m->pod = pod;
        k->told = true;
        km_trace(k, "      the mirror of %s is %s", k->files_of[set], pod ? pod->spec : "gone");
}

static void talk(Kubelet *k) {
        for (size_t i = k->n_objects; i-- > 0;) {
                KmObject *o = &k->objects[i];

                if (o->told_at >= 0 && o->told_at <= k->now)
                        handle_object(k, o);
                tell_status(k, o);
                if (o->bound && o->deleting && o->told_at < 0 && !is_left(k, o))
                        km_remove_object(k, o);
        }
        for (size_t i = 0; i < k->n_pods; i++) {
                KmPod *p = &k->table[i];

                if (p->m.theirs && p->known && p->desired && !km_find_object(k, p->m.uid))
                        let_go(k, p);
        }
        for (size_t i = 0; i < KM_SETS; i++)
                mirror(k, i);
}

static void earlier(int64_t *due, int64_t at) {
        if (at >= 0 && (*due < 0 || at < *due))
                *due = at;
}

static int64_t talk_due(const Kubelet *k) {
        int64_t due = -1;

        for (size_t i = 0; i < k->n_objects; i++) {
                earlier(&due, k->objects[i].told_at);
                earlier(&due, k->objects[i].status_at);
        }
        for (size_t i = 0; i < KM_SETS; i++)
                earlier(&due, k->mirrors[i].at);
        return due >= 0 && due < k->sync_at ? k->sync_at : due;
}

int64_t km_due(const Kubelet *k) {
        int64_t due = housekeeping_due(k);

        for (size_t i = 0; i < k->n_pods; i++) {
                const KmPod *p = &k->table[i];

                earlier(&due, p->at);
                if (p->phase == KM_STARTING && p->trace_at > k->now)
                        earlier(&due, p->trace_at);
                if (p->ready_at > k->now)
                        earlier(&due, p->ready_at);
        }
        if (!k->up)
                return due;
        if (k->n_events)
                earlier(&due, k->events[0].at);
        if (k->has_api && k->api_up && !k->synced)
                earlier(&due, k->sync_at > k->now ? k->sync_at : k->now + 1);
        if (k->api_up && k->synced)
                earlier(&due, k->beat_at);
        if (k->api_up && k->synced)
                earlier(&due, talk_due(k));
        earlier(&due, k->list_at);
        return due;
}

void km_run(Kubelet *k) {
        if (k->up && k->has_api && k->api_up && !k->synced && k->sync_at <= k->now) {
                k->synced = true;
                k->beat_at = k->heard_since = k->now;
                for (size_t i = 0; i < k->n_objects; i++)
                        k->objects[i].told_at = k->now;
                km_trace(k, "    kubelet has seen the API server");
        }
        if (k->up && k->synced && k->api_up && k->beat_at <= k->now) {
                k->heartbeat = k->now;
                k->beat_at = k->now + BEAT;
        }
        while (k->up && k->n_events && k->events[0].at <= k->now) {
                KmEvent e = k->events[0];

                memmove(k->events, k->events + 1, --k->n_events * sizeof(e));
                handle(k, &e);
        }
        if (k->up && k->list_at <= k->now) {
                k->list_at = k->now + LIST;
                list(k);
        }
        for (size_t i = 0; i < k->n_pods; i++) {
                k->news |= k->table[i].phase == KM_STARTING && k->table[i].trace_at == k->now;
                if (k->table[i].at >= 0 && k->table[i].at <= k->now)
                        advance(k, &k->table[i]);
        }
        if (k->up && !km_is_frozen(k) && k->now > k->started && (k->now - k->started) % HOUSEKEEPING == 0)
                keep_house(k);
        if (km_hears(k))
                talk(k);
}
