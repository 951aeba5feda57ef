/* SPDX-License-Identifier: Apache-2.0 */
#include "core/plan.h"
#include "io/source_api_internal.h"

#include <errno.h>

static void forget_objects(ApiSnapshot *s) {
        objects_done(&s->objects);
        for (size_t i = 0; i < s->n_priorities; i++)
                priority_class_done(&s->priorities[i]);
        free(s->priorities);
        s->priorities = NULL;
        s->n_priorities = 0;
}

void snapshot_done(ApiSnapshot *s) {
        forget_objects(s);
        free(s->awaited);
        *s = (ApiSnapshot){ 0 };
}

static int add_priority(ApiSnapshot *s, const ReflectorItem *item) {
        int r = priority_class_read(item->bytes, item->len, &s->priorities[s->n_priorities]);

        if (r == 0)
                s->n_priorities++;
        return r == -ENOMEM ? r : 0;
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

static int add_items(ApiSnapshot *s, const Follow *f, KnownObjects *known) {
        size_t n;
        const ReflectorItem *items = reflector_items(f->reflector, &n);
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                if (f->kind == FOLLOW_PRIORITYCLASS)
                        r = add_priority(s, &items[i]);
                else
                        r = add_object(known, &items[i], &s->objects);
        return r;
}

static int compare_priorities(const void *a, const void *b) {
        return strcmp(((const PriorityClass *)a)->name, ((const PriorityClass *)b)->name);
}

static int make_objects(SourceApi *s, ApiSnapshot *to) {
        _cleanup_(known_done) KnownObjects known = { .objects = to->objects };
        int r;

        to->objects = (Objects){ 0 };
        forget_objects(to);
        to->priorities = calloc(s->n_follows + 1, sizeof(*to->priorities));
        if (!to->priorities)
                return -ENOMEM;
        r = known_sort(&known);
        for (size_t i = 0; r == 0 && i < s->n_follows && !s->left; i++)
                if (s->follows[i]->kind != FOLLOW_NODE)
                        r = add_items(to, s->follows[i], &known);
        if (to->n_priorities > 1)
                qsort(to->priorities, to->n_priorities, sizeof(*to->priorities), compare_priorities);
        return r == 0 ? objects_finish(&to->objects) : r;
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

                if (f->name && f->state == REFLECTOR_UNREAD && !f->ended)
                        names[to->n_awaited++] = f->name;
        }
        return 0;
}

const ApiSnapshot *source_api_snapshot(SourceApi *s) {
        ApiSnapshot *to = &s->snapshot;
        ApiNodeFacts facts = source_api_node(s);

        if ((s->snapshot_is_old && make_objects(s, to) < 0) || list_awaited(s, to) < 0)
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
