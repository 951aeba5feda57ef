/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/source_api_internal.h"

#include <errno.h>

#define NODES "/api/v1/nodes"
#define DAEMONSETS "/apis/apps/v1/namespaces/%.*s/daemonsets"
#define OPTED_IN "labelSelector=daemonlet.io%2Fmode"
#define BY_NAME "fieldSelector=metadata.name%%3D%s" /* names need no escaping: DNS names, and "." and "-" */

static bool reduce_object(cJSON *o) {
        json_delete(json_get_mutable(o, "metadata"), "annotations");
        return true;
}

/* Of a DaemonSet only the scheduling, the template and the labels are used. */
static bool reduce_daemonset(cJSON *o) {
        json_delete(o, "status");
        return reduce_object(o);
}

/* ---- one ---- */

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

static Follow *follow_new(SourceApi *s, FollowKind kind, const ReflectorSpec *spec) {
        Follow *f = calloc(1, sizeof(*f));

        if (!f || !(f->reflector = reflector_new(spec)) || !ARRAY_GROW(s->follows, s->n_follows, s->cap_follows)) {
                if (f)
                        reflector_free(f->reflector);
                free(f);
                return NULL;
        }
        f->api = s;
        f->kind = kind;
        f->wanted = true;
        s->follows[s->n_follows++] = f;
        follow_load(f);
        return f;
}

static void follow_free(Follow *f) {
        http_cancel(f->call);
        reflector_free(f->reflector);
        free(f->name);
        free(f);
}

void follow_look(Follow *f) {
        SourceApi *s = f->api;
        uint64_t generation = reflector_generation(f->reflector);
        ReflectorState state = reflector_state(f->reflector);
        bool is_new = generation != f->generation, first = state == REFLECTOR_LIVE && f->state != state;

        if (state != f->state)
                api_news(s, API_CHANGED_STATE);
        f->state = state;
        f->generation = generation;
        /* What was confirmed for the first time is written even if it is as it was: it is that old, and no older. */
        if (is_new || first)
                f->unsaved = s->unsaved = true;
        if (f->kind == FOLLOW_NODE) {
                if (is_new || first)
                        node_look(s, f);
        } else if (is_new) {
                s->snapshot_is_old = true;
                api_news(s, API_CHANGED_OBJECTS);
        }
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
        return !selector.failed && follow_new(s, FOLLOW_NODE, &spec) ? 0 : -ENOMEM;
}

static int follow_daemonsets(SourceApi *s, const char *namespace, size_t len) {
        _cleanup_buf_ Buf path = BUF_INIT;
        ReflectorSpec spec = { .selector = OPTED_IN, .kind = "DaemonSet", .reduce = reduce_daemonset };

        buf_printf(&path, DAEMONSETS, (int)len, namespace);
        spec.path = buf_text(&path);
        return !path.failed && follow_new(s, FOLLOW_DAEMONSETS, &spec) ? 0 : -ENOMEM;
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

void follow_drop_all(SourceApi *s) {
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

/* ---- objects that DaemonSets use ---- */

static int resource_of(const ApiRef *ref, Buf *path, Buf *selector, ReflectorSpec *spec) {
        static const struct {
                const char *path, *kind;
        } kinds[N_API_REF_KINDS] = {
                [API_CONFIGMAP] = { "/api/v1/namespaces/%s/configmaps", "ConfigMap" },
                [API_SECRET] = { "/api/v1/namespaces/%s/secrets", "Secret" },
                [API_PRIORITYCLASS] = { "/apis/scheduling.k8s.io/v1/priorityclasses", "PriorityClass" },
        };
        const char *format = kinds[ref->kind].path, *at = strstr(format, "%s");

        buf_reset(path);
        buf_reset(selector);
        buf_add(path, format, at ? (size_t)(at - format) : strlen(format));
        if (at)
                buf_printf(path, "%s%s", ref->namespace, at + 2);
        buf_printf(selector, BY_NAME, ref->name);
        *spec = (ReflectorSpec){ .path = buf_text(path),
                                 .selector = buf_text(selector),
                                 .kind = kinds[ref->kind].kind,
                                 .single = true,
                                 .reduce = reduce_object };
        return path->failed || selector->failed ? -ENOMEM : 0;
}

static Follow *find(const SourceApi *s, const ReflectorSpec *spec) {
        _cleanup_buf_ Buf resource = BUF_INIT;

        buf_printf(&resource, "%s?%s", spec->path, spec->selector);
        for (size_t i = 0; i < s->n_follows; i++)
                if (streq(reflector_resource(s->follows[i]->reflector), buf_text(&resource)))
                        return s->follows[i];
        return NULL;
}

static int follow_class(SourceApi *s, const ReflectorSpec *spec, const char *name) {
        Follow *f = follow_new(s, FOLLOW_PRIORITYCLASS, spec);

        if (!f)
                return -ENOMEM;
        /* It is awaited from now on. */
        s->snapshot_is_old = true;
        f->name = strdup(name);
        return f->name ? 0 : -ENOMEM;
}

static bool is_basic(const Follow *f) {
        return f->kind == FOLLOW_NODE || f->kind == FOLLOW_DAEMONSETS;
}

static int want_all(SourceApi *s, const ApiRef *refs, size_t n) {
        _cleanup_buf_ Buf path = BUF_INIT, selector = BUF_INIT;

        for (size_t i = 0; i < n; i++) {
                ReflectorSpec spec;
                Follow *f;

                if (resource_of(&refs[i], &path, &selector, &spec) < 0)
                        return -ENOMEM;
                f = find(s, &spec);
                if (f)
                        f->wanted = true;
                else if (refs[i].kind == API_PRIORITYCLASS ? follow_class(s, &spec, refs[i].name) < 0
                                                           : !follow_new(s, FOLLOW_OBJECT, &spec))
                        return -ENOMEM;
        }
        return 0;
}

static void set_polled(Follow *f, bool polled) {
        if (polled && !f->polled)
                give_up(f);
        f->polled = polled;
}

/* The first ones are watched. */
static void drop_unwanted(SourceApi *s) {
        size_t kept = 0;

        for (size_t i = 0; i < s->n_follows; i++) {
                Follow *f = s->follows[i];

                if (!is_basic(f) && !f->wanted) {
                        follow_free(f);
                        s->snapshot_is_old = s->untidy = true;
                } else
                        s->follows[kept++] = f;
        }
        s->n_follows = kept;
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
        int r;

        for (size_t i = 0; i < s->n_follows; i++)
                s->follows[i]->wanted = is_basic(s->follows[i]);
        if (s->has_identity && s->identity.is_kubelet)
                n = 0;
        r = want_all(s, refs, n);
        if (r == 0)
                drop_unwanted(s);
        if (r == 0 && s->untidy)
                tidy_cache(s);
        api_arm(s);
        return r;
}
