/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plan.h"
#include "io/source_api_internal.h"

#include <errno.h>

static void forget_priorities(ApiSnapshot *s) {
        for (size_t i = 0; i < s->n_priorities; i++)
                priority_class_done(&s->priorities[i]);
        free(s->priorities);
        s->priorities = NULL;
        s->n_priorities = 0;
}

static void forget_pods(ApiSnapshot *s) {
        for (size_t i = 0; i < s->n_pods; i++)
                daemon_pod_done(&s->pods[i]);
        free(s->pods);
        s->pods = NULL;
        s->n_pods = 0;
}

void snapshot_done(ApiSnapshot *s) {
        objects_done(&s->objects);
        objects_done(&s->theirs);
        forget_priorities(s);
        forget_pods(s);
        free(s->awaited);
        *s = (ApiSnapshot){ 0 };
}

/* ---- objects: what has not changed since the last snapshot is not read again ---- */

/* An object of the last snapshot. */
typedef struct Known {
        char digest[HASH_HEX + 1];
        size_t object;
        bool taken;
} Known;

typedef struct KnownObjects {
        Objects objects;
        Known *items; /* by digest */
        size_t n;
} KnownObjects;

static int compare_known(const void *a, const void *b) {
        return strcmp(((const Known *)a)->digest, ((const Known *)b)->digest);
}

static void known_done(KnownObjects *k) {
        objects_done(&k->objects);
        free(k->items);
}

static int known_sort(KnownObjects *k) {
        k->items = calloc(k->objects.n_objects + 1, sizeof(*k->items));
        if (!k->items)
                return -ENOMEM;
        for (size_t i = 0; i < k->objects.n_objects; i++) {
                const Object *o = &k->objects.objects[i];
                Known *item = &k->items[k->n];

                /* Defined twice: that depends on others. */
                if (!o->digest[0] || o->message)
                        continue;
                memcpy(item->digest, o->digest, sizeof(item->digest));
                item->object = i;
                k->n++;
        }
        if (k->n > 1)
                qsort(k->items, k->n, sizeof(*k->items), compare_known);
        return 0;
}

static Known *known_find(const KnownObjects *k, const char *digest) {
        Known key = { 0 }, *found;

        if (k->n == 0)
                return NULL;
        memcpy(key.digest, digest, sizeof(key.digest));
        found = bsearch(&key, k->items, k->n, sizeof(*k->items), compare_known);
        return found && !found->taken ? found : NULL;
}

static int add_object(KnownObjects *known, const ReflectorItem *item, Objects *to) {
        Known *found = known_find(known, item->digest);
        size_t n = to->n_objects;
        int r;

        if (found) {
                r = objects_move(&known->objects, found->object, to);
                found->taken = r == 0;
                return r;
        }
        r = objects_read(to, ORIGIN_API, item->bytes, item->len, false);
        if (r == 0 && to->n_objects == n + 1)
                memcpy(to->objects[n].digest, item->digest, sizeof(to->objects[n].digest));
        return r;
}

static bool is_of(const Follow *f, bool theirs) {
        return theirs ? f->kind == FOLLOW_THEIRS : f->kind == FOLLOW_DAEMONSETS || f->kind == FOLLOW_OBJECT;
}

/* theirs: what did not opt in must not be taken for what did. */
static int make_objects(const SourceApi *s, bool theirs, Objects *to) {
        _cleanup_(known_done) KnownObjects known = { .objects = *to };
        int r;

        *to = (Objects){ 0 };
        r = known_sort(&known);
        for (size_t i = 0; r == 0 && i < s->n_follows && !s->left; i++) {
                size_t n;
                const ReflectorItem *items = reflector_items(s->follows[i]->reflector, &n);

                for (size_t k = 0; r == 0 && k < n && is_of(s->follows[i], theirs); k++)
                        r = add_object(&known, &items[k], to);
        }
        return r == 0 ? objects_finish(to) : r;
}

/* ---- PriorityClasses ---- */

static int add_priority(ApiSnapshot *s, const ReflectorItem *item) {
        int r = priority_class_read(item->bytes, item->len, &s->priorities[s->n_priorities]);

        if (r == 0)
                s->n_priorities++;
        return r == -ENOMEM ? r : 0;
}

static int compare_priorities(const void *a, const void *b) {
        return strcmp(((const PriorityClass *)a)->name, ((const PriorityClass *)b)->name);
}

static int make_priorities(const SourceApi *s, ApiSnapshot *to) {
        int r = 0;

        forget_priorities(to);
        to->priorities = calloc(s->n_follows + 1, sizeof(*to->priorities));
        if (!to->priorities)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < s->n_follows && !s->left; i++) {
                size_t n;
                const ReflectorItem *items = reflector_items(s->follows[i]->reflector, &n);

                /* One by its name. */
                if (s->follows[i]->kind == FOLLOW_PRIORITYCLASS && n > 0)
                        r = add_priority(to, &items[0]);
        }
        if (to->n_priorities > 1)
                qsort(to->priorities, to->n_priorities, sizeof(*to->priorities), compare_priorities);
        return r;
}

/* ---- pods ---- */

static int compare_pods(const void *a, const void *b) {
        const DaemonPod *x = a, *y = b;
        int order = strcmp(x->namespace, y->namespace);

        return order ? order : strcmp(x->name, y->name);
}

static bool is_listed(const ApiSnapshot *s, size_t n, const DaemonPod *pod) {
        return n > 0 && bsearch(pod, s->pods, n, sizeof(*s->pods), compare_pods);
}

/* n_sorted: of those that are there already, which win. */
static int add_pods(const SourceApi *s, const Follow *f, size_t n_sorted, ApiSnapshot *to) {
        size_t n;
        const ReflectorItem *items = reflector_items(f->reflector, &n);

        for (size_t i = 0; i < n; i++) {
                _cleanup_daemon_pod_ DaemonPod pod = { 0 };
                int r = daemon_pod_read(items[i].bytes, items[i].len, s->node_name, &pod);

                if (r == -ENOMEM)
                        return r;
                if (r < 0 || !pod.daemonset || !pod.here || is_listed(to, n_sorted, &pod))
                        continue;
                to->pods[to->n_pods++] = pod;
                pod = (DaemonPod){ 0 };
        }
        return 0;
}

static int make_pods(const SourceApi *s, ApiSnapshot *to) {
        static const FollowKind kinds[] = { FOLLOW_BOUND, FOLLOW_UNBOUND };
        size_t most = 0, n;
        int r = 0;

        forget_pods(to);
        for (size_t i = 0; i < s->n_follows; i++) {
                (void)reflector_items(s->follows[i]->reflector, &n);
                most += follow_is_cached(s->follows[i]) ? 0 : n;
        }
        to->pods = calloc(most + 1, sizeof(*to->pods));
        if (!to->pods)
                return -ENOMEM;
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                size_t n_sorted = to->n_pods;

                for (size_t i = 0; r == 0 && i < s->n_follows && !s->left; i++)
                        if (s->follows[i]->kind == kinds[k])
                                r = add_pods(s, s->follows[i], n_sorted, to);
                if (to->n_pods > 1)
                        qsort(to->pods, to->n_pods, sizeof(*to->pods), compare_pods);
        }
        return r;
}

/* ---- all ---- */

static int make_all(const SourceApi *s, ApiSnapshot *to) {
        int r = make_objects(s, false, &to->objects);

        if (r == 0)
                r = make_objects(s, true, &to->theirs);
        if (r == 0)
                r = make_priorities(s, to);
        return r == 0 ? make_pods(s, to) : r;
}

static ApiNodeState node_state(const SourceApi *s) {
        const Follow *f = follow_of_node(s);
        size_t n = 0;

        if (s->left || !s->kubeconfig || !f)
                return API_NODE_UNKNOWN;
        if (!s->has_node)
                return f->state == REFLECTOR_LIVE ? API_NODE_UNKNOWN : API_NODE_AWAITED;
        if (s->node_gone_since >= 0)
                return API_NODE_GONE;
        (void)reflector_items(f->reflector, &n);
        return n > 0 && f->state == REFLECTOR_LIVE ? API_NODE_LIVE : API_NODE_CACHED;
}

bool source_api_has_more(const SourceApi *s) {
        return s->snapshot_is_old;
}

ApiNodeFacts source_api_node(const SourceApi *s) {
        ApiNodeFacts facts = { .since = -1, .gone_since = -1 };

        if (!s)
                return facts;
        facts.live = node_state(s) == API_NODE_LIVE;
        facts.gone_now = node_state(s) == API_NODE_GONE && follow_of_node(s)->state == REFLECTOR_LIVE;
        if (s->has_node && !s->left) {
                facts.heartbeat = s->node.heartbeat;
                facts.since = s->node_since;
                facts.gone_since = s->node_gone_since;
        }
        facts.complete = true;
        for (size_t i = 0; i < s->n_follows; i++)
                if (s->follows[i]->kind == FOLLOW_DAEMONSETS) {
                        facts.follows = true;
                        facts.complete &= s->follows[i]->state == REFLECTOR_LIVE;
                }
        facts.complete = s->left || (facts.follows && facts.complete && !cluster_is_other(s));
        return facts;
}

/* Nothing is waited for that nobody can answer. */
static int list_awaited(const SourceApi *s, ApiSnapshot *to) {
        const char **names = calloc(s->n_follows + 1, sizeof(*names));

        if (!names)
                return -ENOMEM;
        free(to->awaited);
        to->awaited = names;
        to->n_awaited = 0;
        for (size_t i = 0; i < s->n_follows && s->loop && !s->shut; i++) {
                const Follow *f = s->follows[i];

                if (f->kind == FOLLOW_PRIORITYCLASS && f->state == REFLECTOR_UNREAD && !f->ended)
                        names[to->n_awaited++] = f->name;
        }
        return 0;
}

const ApiSnapshot *source_api_snapshot(SourceApi *s) {
        ApiSnapshot *to = &s->snapshot;
        ApiNodeFacts facts = source_api_node(s);

        if ((s->snapshot_is_old && make_all(s, to) < 0) || list_awaited(s, to) < 0)
                return NULL;
        s->snapshot_is_old = false;
        to->node_state = node_state(s);
        to->node = s->node;
        to->node_gone_since = facts.gone_since;
        to->complete = facts.complete;
        to->suspect = cluster_is_other(s) || follow_is_any_doubted(s);
        to->tokens = &s->tokens;
        return to;
}

/* ---- how far it is known ---- */

/* The pods of all namespaces are those of each. */
static const Follow *find(const SourceApi *s, FollowKind kind, const char *namespace, const char *name) {
        for (size_t i = 0; i < s->n_follows; i++) {
                const Follow *f = s->follows[i];

                if (f->kind == kind && (!*f->namespace || streq(f->namespace, namespace)) && streq(f->name, name))
                        return f;
        }
        return NULL;
}

/* Another cluster has something else of that name, or nothing. */
static ApiKnown known_of(const SourceApi *s, const Follow *f) {
        bool said = f->state == REFLECTOR_LIVE || f->state == REFLECTOR_SUSPECT;
        int status = reflector_status(f->reflector);

        return (ApiKnown){
                .followed = true,
                .live = f->state == REFLECTOR_LIVE && !s->left && !cluster_is_other(s),
                .awaited = !said && !f->ended && api_may_ask(s) && (!s->shut || !s->knocked),
                .problem = status == 401 || status == 403 ? reflector_problem(f->reflector) : "",
        };
}

static ApiKnown known(const SourceApi *s, FollowKind kind, const char *namespace, const char *name) {
        const Follow *f = s ? find(s, kind, namespace, name) : NULL;

        if (f)
                return known_of(s, f);
        for (size_t i = 0; s && kind != FOLLOW_BOUND && i < s->n_unasked; i++)
                if (streq(s->unasked[i].namespace, namespace))
                        return (ApiKnown){ .problem = s->unasked[i].why };
        return (ApiKnown){ .problem = "" };
}

ApiKnown source_api_known_daemonset(const SourceApi *s, const char *namespace, const char *name) {
        return known(s, FOLLOW_THEIRS, namespace, name);
}

ApiKnown source_api_known_bound(const SourceApi *s, const char *namespace) {
        return known(s, FOLLOW_BOUND, namespace, "");
}

ApiKnown source_api_known_unbound(const SourceApi *s, const char *namespace) {
        return known(s, FOLLOW_UNBOUND, namespace, "");
}

bool source_api_is_away(const SourceApi *s) {
        /* With an identity that cannot be read the server may well be there, and the controller at work. */
        return !s || !s->loop || !s->kubeconfig || s->left || (s->has_identity && s->shut);
}
