/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/source_api_internal.h"

#include <errno.h>

#define NODES "/api/v1/nodes"
#define DAEMONSETS "/apis/apps/v1/namespaces/%.*s/daemonsets"
#define OPTED_IN "labelSelector=daemonlet.io%2Fmode"
#define PODS "/api/v1/pods"
#define PODS_IN "/api/v1/namespaces/%s/pods"
#define BOUND "fieldSelector=spec.nodeName%%3D%s"
#define UNBOUND "fieldSelector=spec.nodeName%3D%2Cstatus.phase%3DPending"
#define BY_NAME "fieldSelector=metadata.name%%3D%s" /* names need no escaping: DNS names, and "." and "-" */

#define KUBELET_SEES                                                                                                   \
        "the kubelet's identity sees only pods that are bound to this node; an identity of its own needs get, list, "  \
        "watch of pods and daemonsets.apps in namespace %s (see daemonlet rbac)"

static bool reduce_object(cJSON *o) {
        json_delete(json_get_mutable(o, "metadata"), "annotations");
        return true;
}

/* A word of a later version is none. */
static bool is_handoff(const cJSON *annotation) {
        HandoffMode mode;

        return streq(annotation->string, ANNOTATION_HANDOFF) && cJSON_IsString(annotation) &&
               handoff_mode_parse(annotation->valuestring, &mode);
}

/* Of a DaemonSet only the scheduling, the template, the labels and one annotation are used. */
static bool reduce_daemonset(cJSON *o) {
        cJSON *annotations = json_get_mutable(json_get_mutable(o, "metadata"), "annotations");

        json_delete(o, "status");
        if (!cJSON_IsObject(annotations))
                return reduce_object(o);
        for (cJSON *a = annotations->child, *next; a; a = next) {
                next = a->next;
                if (!is_handoff(a))
                        cJSON_Delete(cJSON_DetachItemViaPointer(annotations, a));
        }
        return annotations->child ? true : reduce_object(o);
}

/* ---- one ---- */

/* Pods change all the time, and what was known of them before a reboot tells nothing. */
bool follow_is_cached(const Follow *f) {
        return f->kind != FOLLOW_BOUND && f->kind != FOLLOW_UNBOUND;
}

static void follow_load(Follow *f) {
        SourceApi *s = f->api;
        _cleanup_api_cache_entry_ ApiCacheEntry entry = { 0 };
        _cleanup_free_ char *note = NULL;
        int r = s->cache ? api_cache_load(s->cache, reflector_resource(f->reflector), &entry, &note) : 0;

        s->cache_failed |= note != NULL;
        if (note)
                buf_printf(&s->cache_note, "%s%s", s->cache_note.len ? "; " : "", note);
        if (r <= 0)
                return;
        r = reflector_load(f->reflector, entry.resource_version, entry.items);
        if (r < 0) {
                buf_printf(&s->cache_note, "%sthe cache of %s is unusable", s->cache_note.len ? "; " : "",
                           reflector_resource(f->reflector));
                return;
        }
        f->said_at = entry.said_at;
        if (entry.said_at > s->heard_at)
                s->heard_at = entry.said_at;
        follow_look(f);
        f->unsaved = false;
}

static void follow_free(Follow *f) {
        http_cancel(f->call);
        reflector_free(f->reflector);
        free(f->namespace);
        free(f->name);
        free(f);
}

/* ref: NULL where nobody asked for it by name. */
static Follow *follow_new(SourceApi *s, FollowKind kind, const ReflectorSpec *spec, const ApiRef *ref) {
        Follow *f = calloc(1, sizeof(*f));

        if (!f)
                return NULL;
        f->reflector = reflector_new(spec);
        f->namespace = ref ? strdup(ref->namespace) : NULL;
        f->name = ref ? strdup(ref->name) : NULL;
        if (!f->reflector || (ref && (!f->namespace || !f->name)) ||
            !ARRAY_GROW(s->follows, s->n_follows, s->cap_follows)) {
                follow_free(f);
                return NULL;
        }
        f->api = s;
        f->kind = kind;
        s->follows[s->n_follows++] = f;
        if (follow_is_cached(f))
                follow_load(f);
        return f;
}

void follow_look(Follow *f) {
        SourceApi *s = f->api;
        uint64_t generation = reflector_generation(f->reflector);
        ReflectorState state = reflector_state(f->reflector);
        bool is_new = generation != f->generation, first = state == REFLECTOR_LIVE && f->state != state;

        if (state != f->state || reflector_status(f->reflector) != f->status)
                api_news(s, API_CHANGED_STATE);
        f->state = state;
        f->status = reflector_status(f->reflector);
        f->generation = generation;
        /* What was confirmed for the first time is written even if it is as it was: it is that old, and no older. */
        if ((is_new || first) && follow_is_cached(f))
                f->unsaved = s->unsaved = true;
        if (f->kind == FOLLOW_NODE) {
                if (is_new || first)
                        node_look(s, f);
        } else if (is_new) {
                s->snapshot_is_old = true;
                api_news(s, API_CHANGED_OBJECTS);
        }
}

void follow_end(Follow *f) {
        if (!f->ended)
                api_news(f->api, API_CHANGED_STATE);
        f->ended = true;
}

void follow_save(Follow *f) {
        SourceApi *s = f->api;
        _cleanup_buf_ Buf items = BUF_INIT;
        Err err = { 0 };
        size_t n;

        if (!f->unsaved || !s->cache || reflector_state(f->reflector) == REFLECTOR_UNREAD)
                return;
        (void)reflector_items(f->reflector, &n);
        /* A Node that is gone is remembered as it was. */
        if (f->kind == FOLLOW_NODE && n == 0)
                return;
        if (reflector_store(f->reflector, &items) < 0 ||
            api_cache_save(s->cache, reflector_resource(f->reflector), reflector_resource_version(f->reflector),
                           f->said_at, buf_text(&items), items.len, &err) < 0) {
                s->cache_failed = s->unsaved = true; /* it is tried again */
                buf_reset(&s->cache_note);
                buf_printf(&s->cache_note, "%s", err.message[0] ? err.message : "out of memory");
                return;
        }
        f->unsaved = false;
}

/* ---- all ---- */

const Follow *follow_of_node(const SourceApi *s) {
        return s->n_follows > 0 && s->follows[0]->kind == FOLLOW_NODE ? s->follows[0] : NULL;
}

bool follow_is_any_doubted(const SourceApi *s) {
        for (size_t i = 0; i < s->n_follows; i++)
                if (reflector_state(s->follows[i]->reflector) == REFLECTOR_SUSPECT)
                        return true;
        return false;
}

static int follow_node(SourceApi *s) {
        _cleanup_buf_ Buf selector = BUF_INIT;
        ReflectorSpec spec = { .path = NODES, .kind = "Node", .single = true, .reduce = live_node_reduce };

        buf_printf(&selector, BY_NAME, s->node_name);
        spec.selector = buf_text(&selector);
        return !selector.failed && follow_new(s, FOLLOW_NODE, &spec, NULL) ? 0 : -ENOMEM;
}

static int follow_daemonsets(SourceApi *s, const char *namespace, size_t len) {
        _cleanup_buf_ Buf path = BUF_INIT;
        ReflectorSpec spec = { .selector = OPTED_IN, .kind = "DaemonSet", .reduce = reduce_daemonset };

        buf_printf(&path, DAEMONSETS, (int)len, namespace);
        spec.path = buf_text(&path);
        return !path.failed && follow_new(s, FOLLOW_DAEMONSETS, &spec, NULL) ? 0 : -ENOMEM;
}

int follow_basics(SourceApi *s) {
        int r;

        /* There is nobody to ask, and nothing was ever known. */
        if (!s->kubeconfig && !s->cache)
                return 0;
        r = s->node_name ? follow_node(s) : 0;
        /* While it is not known who we are, what is known of DaemonSets counts. */
        if (s->has_identity && s->identity.is_kubelet)
                return r;
        for (const char *at = str_or_empty(s->namespaces); r == 0 && *at;) {
                size_t len = strcspn(at, ",");

                if (len > 0)
                        r = follow_daemonsets(s, at, len);
                at += len + (at[len] == ',');
        }
        s->snapshot_is_old = true;
        return r;
}

static void forget_unasked(SourceApi *s) {
        for (size_t i = 0; i < s->n_unasked; i++) {
                free(s->unasked[i].namespace);
                free(s->unasked[i].why);
        }
        s->n_unasked = 0;
}

void follow_drop_all(SourceApi *s) {
        forget_unasked(s);
        for (size_t i = 0; i < s->n_follows; i++)
                follow_free(s->follows[i]);
        s->n_follows = 0;
        s->snapshot_is_old = true;
}

int follow_reload(SourceApi *s) {
        follow_drop_all(s);
        api_news(s, API_CHANGED_OBJECTS | API_CHANGED_STATE);
        return follow_basics(s);
}

static void give_up(Follow *f) {
        if (f->call)
                reflector_abort(f->reflector, clock_boot_ms());
        f->call = http_cancel(f->call);
}

void follow_restart(SourceApi *s, bool suspect) {
        for (size_t i = 0; i < s->n_follows; i++) {
                Follow *f = s->follows[i];

                give_up(f);
                if (suspect)
                        reflector_suspect(f->reflector);
        }
}

void follow_await(SourceApi *s) {
        s->knocked = false;
        for (size_t i = 0; i < s->n_follows; i++)
                s->follows[i]->ended = false;
}

/* ---- what belongs to DaemonSets ---- */

static Follow *find(const SourceApi *s, const ReflectorSpec *spec) {
        size_t len = strlen(spec->path);

        for (size_t i = 0; i < s->n_follows; i++) {
                const char *resource = reflector_resource(s->follows[i]->reflector);

                if (startswith(resource, spec->path) && resource[len] == '?' &&
                    streq(resource + len + 1, spec->selector))
                        return s->follows[i];
        }
        return NULL;
}

static int want(SourceApi *s, FollowKind kind, const ReflectorSpec *spec, const ApiRef *ref, size_t *rank) {
        Follow *f = find(s, spec);

        if (!f) {
                f = follow_new(s, kind, spec, ref);
                if (!f)
                        return -ENOMEM;
                /* It is awaited from now on. */
                if (kind == FOLLOW_PRIORITYCLASS)
                        s->snapshot_is_old = true;
        }
        if (!f->wanted)
                f->rank = (*rank)++;
        f->wanted = true;
        return 0;
}

static int want_object(SourceApi *s, const ApiRef *ref, size_t *rank) {
        static const struct {
                FollowKind follow;
                const char *path, *kind;
                bool (*reduce)(cJSON *object);
        } kinds[N_API_REF_KINDS] = {
                [API_CONFIGMAP] = { FOLLOW_OBJECT, "/api/v1/namespaces/%s/configmaps", "ConfigMap", reduce_object },
                [API_SECRET] = { FOLLOW_OBJECT, "/api/v1/namespaces/%s/secrets", "Secret", reduce_object },
                [API_PRIORITYCLASS] = { FOLLOW_PRIORITYCLASS, "/apis/scheduling.k8s.io/v1/priorityclasses",
                                        "PriorityClass", reduce_object },
                [API_DAEMONSET] = { FOLLOW_THEIRS, "/apis/apps/v1/namespaces/%s/daemonsets", "DaemonSet",
                                    reduce_daemonset },
        };
        _cleanup_buf_ Buf path = BUF_INIT, selector = BUF_INIT;
        const char *format = kinds[ref->kind].path, *at = strstr(format, "%s");
        ReflectorSpec spec = { .kind = kinds[ref->kind].kind, .single = true, .reduce = kinds[ref->kind].reduce };

        buf_add(&path, format, at ? (size_t)(at - format) : strlen(format));
        if (at)
                buf_printf(&path, "%s%s", ref->namespace, at + 2);
        buf_printf(&selector, BY_NAME, ref->name);
        if (path.failed || selector.failed)
                return -ENOMEM;
        spec.path = buf_text(&path);
        spec.selector = buf_text(&selector);
        return want(s, kinds[ref->kind].follow, &spec, ref, rank);
}

/* namespace "": all of them. */
static int want_pods(SourceApi *s, FollowKind kind, const char *namespace, size_t *rank) {
        const ApiRef ref = { .kind = API_PODS, .namespace = namespace, .name = "" };
        _cleanup_buf_ Buf path = BUF_INIT, selector = BUF_INIT;
        ReflectorSpec spec = { .kind = "Pod", .fleeting = true, .reduce = daemon_pod_reduce };

        if (*namespace)
                buf_printf(&path, PODS_IN, namespace);
        else
                buf_str(&path, PODS);
        if (kind == FOLLOW_BOUND)
                buf_printf(&selector, BOUND, s->node_name);
        else
                buf_str(&selector, UNBOUND);
        if (path.failed || selector.failed)
                return -ENOMEM;
        spec.path = buf_text(&path);
        spec.selector = buf_text(&selector);
        return want(s, kind, &spec, &ref, rank);
}

static int note_unasked(SourceApi *s, const char *namespace) {
        _cleanup_buf_ Buf why = BUF_INIT;
        Unasked item;

        for (size_t i = 0; i < s->n_unasked; i++)
                if (streq(s->unasked[i].namespace, namespace))
                        return 0;
        buf_printf(&why, KUBELET_SEES, namespace);
        item = (Unasked){ .namespace = strdup(namespace), .why = buf_take(&why, NULL) };
        if (!item.namespace || !item.why || !ARRAY_GROW(s->unasked, s->n_unasked, s->cap_unasked)) {
                free(item.namespace);
                free(item.why);
                return -ENOMEM;
        }
        s->unasked[s->n_unasked++] = item;
        return 0;
}

static int want_one(SourceApi *s, const ApiRef *ref, size_t *rank) {
        bool is_kubelet = s->has_identity && s->identity.is_kubelet, unbound = ref->kind == API_UNBOUND;
        bool pods = unbound || ref->kind == API_PODS;
        int r = is_kubelet && (pods || ref->kind == API_DAEMONSET) ? note_unasked(s, ref->namespace) : 0;

        if (r < 0)
                return r;
        if (pods && (!s->node_name || (unbound && is_kubelet)))
                return 0;
        if (pods)
                return want_pods(s, unbound ? FOLLOW_UNBOUND : FOLLOW_BOUND, is_kubelet ? "" : ref->namespace, rank);
        return is_kubelet ? 0 : want_object(s, ref, rank);
}

static bool is_basic(const Follow *f) {
        return f->kind == FOLLOW_NODE || f->kind == FOLLOW_DAEMONSETS;
}

static void set_polled(Follow *f, bool polled) {
        if (polled && !f->polled)
                give_up(f);
        f->polled = polled;
}

static int compare_ranks(const void *a, const void *b) {
        const Follow *const *x = a, *const *y = b;

        return ((*x)->rank > (*y)->rank) - ((*x)->rank < (*y)->rank);
}

/* The first ones are watched. */
static void drop_unwanted(SourceApi *s) {
        size_t kept = 0;

        for (size_t i = 0; i < s->n_follows; i++) {
                Follow *f = s->follows[i];

                if (!is_basic(f) && !f->wanted) {
                        follow_free(f);
                        s->snapshot_is_old = s->untidy = true;
                        /* Perhaps this one was the last that was not written. */
                        s->unsaved |= s->cache_failed;
                } else
                        s->follows[kept++] = f;
        }
        s->n_follows = kept;
        if (kept > 1)
                qsort(s->follows, kept, sizeof(*s->follows), compare_ranks);
        for (size_t i = 0; i < s->n_follows; i++)
                set_polled(s->follows[i], i >= API_WATCH_MAX);
}

/* Files of what is no longer used go when it is certain that it is not: secrets are among them. */
static void tidy_cache(SourceApi *s) {
        _cleanup_free_ const char **names = calloc(s->n_follows + 1, sizeof(*names));

        if (!names || !s->cache || s->shut)
                return;
        for (size_t i = 0; i < s->n_follows; i++) {
                if (s->follows[i]->kind == FOLLOW_DAEMONSETS && s->follows[i]->state != REFLECTOR_LIVE)
                        return;
                names[i] = reflector_resource(s->follows[i]->reflector);
        }
        s->untidy = api_cache_keep(s->cache, names, s->n_follows, NULL) < 0;
}

int source_api_follow(SourceApi *s, const ApiRef *refs, size_t n) {
        size_t rank = s->n_follows;
        int r = 0;

        /* Node and DaemonSets are the first ones, and stay that. */
        for (size_t i = 0; i < s->n_follows; i++) {
                s->follows[i]->wanted = is_basic(s->follows[i]);
                s->follows[i]->rank = i;
        }
        forget_unasked(s);
        /* There is nobody to ask, and nothing was ever known. */
        if (!s->kubeconfig && !s->cache)
                n = 0;
        for (size_t i = 0; r == 0 && i < n; i++)
                r = want_one(s, &refs[i], &rank);
        if (r == 0)
                drop_unwanted(s);
        if (r == 0 && s->untidy)
                tidy_cache(s);
        api_arm(s);
        return r;
}
