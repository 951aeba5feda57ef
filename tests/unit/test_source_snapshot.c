/* SPDX-License-Identifier: Apache-2.0 */
/* The API source without a server: what is asked for, and the snapshot of what is known. What has not changed is not
 * read again, and nobody can tell. */
#include "io/source_api_internal.h"
#include "objects_dump.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

#define DAEMONSETS "/apis/apps/v1/namespaces/kube-system/daemonsets"
#define DAEMONSET(name, containers)                                                                                    \
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"" name                            \
        "\",\"namespace\":\"kube-system\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"      \
        "\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[" containers "]}}}}"
#define USABLE(name, image) DAEMONSET(name, "{\"name\":\"c\",\"image\":\"" image "\"}")
#define INVALID(name) DAEMONSET(name, "")
#define CLASS(value)                                                                                                   \
        "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":\"PriorityClass\",\"metadata\":{\"name\":\"high\"},"        \
        "\"value\":" value "}"

/* Two collections, that may say different things of one name, and a class. */
enum { FOLLOWS = 3 };

typedef struct World {
        SourceApi source;
        Follow follows[FOLLOWS], *list[FOLLOWS];
} World;

static int world_open(World *w) {
        static const struct {
                FollowKind kind;
                ReflectorSpec spec;
        } rows[FOLLOWS] = {
                { FOLLOW_DAEMONSETS, { .path = DAEMONSETS, .selector = "a", .kind = "DaemonSet" } },
                { FOLLOW_DAEMONSETS, { .path = DAEMONSETS, .selector = "b", .kind = "DaemonSet" } },
                { FOLLOW_PRIORITYCLASS,
                  { .path = "/apis/scheduling.k8s.io/v1/priorityclasses", .kind = "PriorityClass" } },
        };

        *w = (World){ .source = { .other_since = -1, .follows = w->list, .n_follows = FOLLOWS } };
        for (size_t i = 0; i < FOLLOWS; i++) {
                w->follows[i] = (Follow){ .kind = rows[i].kind, .reflector = reflector_new(&rows[i].spec) };
                w->list[i] = &w->follows[i];
        }
        for (size_t i = 0; i < FOLLOWS; i++)
                if (!w->follows[i].reflector)
                        return -ENOMEM;
        return 0;
}

static void world_done(World *w) {
        for (size_t i = 0; i < FOLLOWS; i++)
                reflector_free(w->follows[i].reflector);
        snapshot_done(&w->source.snapshot);
}
#define _cleanup_world_ _cleanup_(world_done)

/* items: those of a JSON array. */
static int load(World *w, size_t follow, const char *items) {
        _cleanup_json_ cJSON *tree = NULL;
        _cleanup_buf_ Buf text = BUF_INIT;
        Place place;

        buf_printf(&text, "[%s]", items);
        if (text.failed || json_parse(text.data, text.len, (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, NULL) < 0)
                return -ENOMEM;
        w->source.snapshot_is_old = true;
        return reflector_load(w->follows[follow].reflector, "1", tree);
}

static const Objects *objects_of(World *w) {
        const ApiSnapshot *snapshot = source_api_snapshot(&w->source);

        assert_non_null(snapshot);
        return &snapshot->objects;
}

/* All that is known of the objects. */
static char *text_of(const Objects *o) {
        Buf text = BUF_INIT;

        objects_dump(o, &text);
        for (size_t i = 0; i < o->n_objects; i++) {
                const Object *object = &o->objects[i];

                buf_printf(&text, "%zu %zu %zu %d %s %s %s %s\n", object->file, object->same_as, object->len,
                           o->files[object->file].complete, str_or_empty(object->bytes), str_or_empty(object->message),
                           str_or_empty(object->mode), object->digest);
        }
        for (size_t i = 0; i < o->n_sorted; i++)
                buf_printf(&text, "%zu ", o->sorted[i]);
        assert_false(text.failed);
        return buf_take(&text, NULL);
}

/* As a source that never made one. */
static void assert_as_new(const World *w, const Objects *got) {
        World fresh = *w;
        _cleanup_free_ char *want = NULL, *text = text_of(got);

        fresh.source.follows = (Follow **)w->list;
        fresh.source.snapshot = (ApiSnapshot){ 0 };
        fresh.source.snapshot_is_old = true;
        want = text_of(objects_of(&fresh));
        snapshot_done(&fresh.source.snapshot);
        assert_string_equal(text, want);
}

static void what_has_not_changed_is_not_read_again(void **state) {
        _cleanup_world_ World w;
        const Objects *o;
        const char *a, *c;
        const Diag *wrong;

        (void)state;
        assert_int_equal(world_open(&w), 0);
        assert_int_equal(load(&w, 0, USABLE("a", "i:1") "," USABLE("b", "i:1") "," USABLE("c", "i:1") "," INVALID("d")),
                         0);
        o = objects_of(&w);
        assert_int_equal(o->n_objects, 4);
        a = o->objects[0].bytes;
        c = o->objects[2].bytes;
        wrong = o->objects[3].diags.items;
        assert_non_null(wrong);

        /* One is new, one has changed. */
        assert_int_equal(load(&w, 0,
                              USABLE("a", "i:1") "," USABLE("aa", "i:1") "," USABLE("b", "i:2") "," USABLE(
                                      "c", "i:1") "," INVALID("d")),
                         0);
        o = objects_of(&w);
        assert_int_equal(o->n_objects, 5);
        assert_ptr_equal(o->objects[0].bytes, a);
        assert_non_null(strstr(o->objects[2].bytes, "i:2"));
        assert_ptr_equal(o->objects[3].bytes, c);
        assert_ptr_equal(o->objects[4].diags.items, wrong);
        assert_int_equal(o->objects[4].reason, REASON_Invalid);
        assert_false(o->files[4].complete);
        assert_as_new(&w, o);
        assert_ptr_equal(objects_find(o, OBJECT_DAEMONSET, "kube-system", "c"), &o->objects[3]);

        /* Asked for again without news it stays where it is. */
        assert_ptr_equal(objects_of(&w)->objects, o->objects);

        /* All is gone, and comes back. */
        assert_int_equal(load(&w, 0, ""), 0);
        assert_int_equal(objects_of(&w)->n_objects, 0);
        assert_int_equal(load(&w, 0, USABLE("a", "i:1")), 0);
        assert_as_new(&w, objects_of(&w));
}

static void what_was_defined_twice_counts_again(void **state) {
        _cleanup_world_ World w;
        const Objects *o;

        (void)state;
        assert_int_equal(world_open(&w), 0);
        assert_int_equal(load(&w, 0, USABLE("a", "i:1")), 0);
        assert_int_equal(load(&w, 1, USABLE("a", "i:1")), 0);
        o = objects_of(&w);
        assert_int_equal(o->objects[1].same_as, 0);
        assert_as_new(&w, o);
        assert_int_equal(load(&w, 1, USABLE("a", "i:2")), 0);
        o = objects_of(&w);
        assert_int_equal(o->objects[0].reason, REASON_DefinedTwice);
        assert_as_new(&w, o);
        assert_int_equal(load(&w, 1, ""), 0);
        o = objects_of(&w);
        assert_int_equal(o->n_objects, 1);
        assert_int_equal(o->objects[0].reason, REASON_None);
        assert_null(o->objects[0].message);
        assert_true(o->files[0].complete);
        assert_as_new(&w, o);
        /* The one that was the second is the first. */
        assert_int_equal(load(&w, 1, USABLE("a", "i:1")), 0);
        (void)objects_of(&w);
        assert_int_equal(load(&w, 0, ""), 0);
        o = objects_of(&w);
        assert_int_equal(o->objects[0].same_as, 0);
        assert_as_new(&w, o);
}

static void classes_are_those_of_now(void **state) {
        _cleanup_world_ World w;
        const ApiSnapshot *s;

        (void)state;
        assert_int_equal(world_open(&w), 0);
        assert_int_equal(load(&w, 2, CLASS("5")), 0);
        s = source_api_snapshot(&w.source);
        assert_int_equal(s->n_priorities, 1);
        assert_int_equal(load(&w, 2, CLASS("6")), 0);
        s = source_api_snapshot(&w.source);
        assert_int_equal(s->n_priorities, 1);
        assert_int_equal(s->priorities[0].value, 6);
        w.source.left = w.source.snapshot_is_old = true;
        s = source_api_snapshot(&w.source);
        assert_int_equal(s->n_priorities + s->objects.n_objects, 0);
}

/* Any history: each name is absent, one of two versions, or invalid, in each of the collections. */
static void any_history(void **state) {
        static const char *const texts[][4] = {
                { NULL, USABLE("a", "i:1"), USABLE("a", "i:2"), INVALID("a") },
                { NULL, USABLE("b", "i:1"), USABLE("b", "i:2"), INVALID("b") },
                { NULL, USABLE("c", "i:1"), USABLE("c", "i:2"), INVALID("c") },
        };
        unsigned is[2][ARRAY_SIZE(texts)] = { 0 };
        uint32_t random = 1;
        _cleanup_world_ World w;

        (void)state;
        assert_int_equal(world_open(&w), 0);
        for (unsigned step = 0; step < 400; step++) {
                size_t follow;
                _cleanup_buf_ Buf items = BUF_INIT;

                random = random * 1664525 + 1013904223;
                follow = random >> 31;
                is[follow][(random >> 16) % ARRAY_SIZE(texts)] = (random >> 8) % 4;
                for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                        if (is[follow][i])
                                buf_printf(&items, "%s%s", items.len ? "," : "", texts[i][is[follow][i]]);
                assert_int_equal(load(&w, follow, buf_text(&items)), 0);
                assert_as_new(&w, objects_of(&w));
        }
}

/* Whatever failed, the next snapshot is whole. */
static int two_snapshots(void *user) {
        _cleanup_world_ World w;
        int r = world_open(&w);

        (void)user;
        for (int i = 0; r == 0 && i < 2; i++) {
                r = load(&w, 0, USABLE("a", "i:1") "," USABLE("b", "i:1") "," INVALID("d"));
                if (r == 0)
                        r = load(&w, 1, i ? USABLE("b", "i:2") "," USABLE("c", "i:2") : USABLE("c", "i:1"));
                if (r == 0)
                        r = load(&w, 2, CLASS("5"));
                if (r == 0 && !source_api_snapshot(&w.source)) {
                        assert_as_new(&w, objects_of(&w));
                        r = -ENOMEM;
                }
        }
        return r;
}

static void no_memory(void **state) {
        (void)state;
        (void)test_oom(two_snapshots, NULL);
}

/* ---- what is asked for, by a source that has a server ---- */

#define NODE_RESOURCE "/api/v1/nodes?fieldSelector=metadata.name%3Dn"
#define OPTED_IN DAEMONSETS "?labelSelector=daemonlet.io%2Fmode"
#define IN "/api/v1/namespaces/"
#define BOUND_IN(namespace) IN namespace "/pods?fieldSelector=spec.nodeName%3Dn"
#define UNBOUND_IN(namespace) IN namespace "/pods?fieldSelector=spec.nodeName%3D%2Cstatus.phase%3DPending"
#define DAEMONSET_OF(namespace, name)                                                                                  \
        "/apis/apps/v1/namespaces/" namespace "/daemonsets?fieldSelector=metadata.name%3D" name
#define CONFIGMAP_OF(name) IN "kube-system/configmaps?fieldSelector=metadata.name%3D" name
#define BASICS NODE_RESOURCE "\n" OPTED_IN "\n"
#define OF_DAEMONSET(name)                                                                                             \
        "\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"name\":\"" name                     \
        "\",\"uid\":\"1\",\"controller\":true}]"
#define POD_WITH(namespace, name, more, spec)                                                                          \
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                                       \
        "\",\"namespace\":\"" namespace "\",\"uid\":\"u-" name "\"" more "},\"spec\":{" spec                           \
                                        "},\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\"}]}}"
#define POD(namespace, name, spec) POD_WITH(namespace, name, "," OF_DAEMONSET("d"), spec)
#define ON(node) "\"nodeName\":\"" node "\""
#define MEANT_FOR(node)                                                                                                \
        "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{" \
        "\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"" node "\"]}]}]}}}"

static const ApiRef kube_system_pods = { API_PODS, "kube-system", "" },
                    kube_system_unbound = { API_UNBOUND, "kube-system", "" },
                    daemonset_a = { API_DAEMONSET, "kube-system", "a" };

static void source_done(SourceApi *s) {
        follow_drop_all(s);
        free(s->follows);
        free(s->unasked);
        snapshot_done(&s->snapshot);
        sd_event_unref(s->loop);
}
#define _cleanup_source_ _cleanup_(source_done)

/* With an identity of its own, and a server that answers. */
static int source_open(SourceApi *s, bool is_kubelet) {
        *s = (SourceApi){
                .kubeconfig = (char *)"k",
                .node_name = (char *)"n",
                .namespaces = (char *)"kube-system",
                .has_identity = true,
                .identity = { .is_kubelet = is_kubelet },
                .knocked = true,
                .other_since = -1,
                .node_since = -1,
                .node_gone_since = -1,
        };
        return sd_event_new(&s->loop) < 0 ? -ENOMEM : follow_basics(s);
}

static void open_source(SourceApi *s, bool is_kubelet) {
        assert_int_equal(source_open(s, is_kubelet), 0);
}

static void assert_follows(const SourceApi *s, const char *want) {
        _cleanup_buf_ Buf got = BUF_INIT;

        for (size_t i = 0; i < s->n_follows; i++)
                buf_printf(&got, "%s\n", reflector_resource(s->follows[i]->reflector));
        assert_string_equal(buf_text(&got), want);
}

static Follow *follow_by(const SourceApi *s, const char *resource) {
        for (size_t i = 0; i < s->n_follows; i++)
                if (streq(reflector_resource(s->follows[i]->reflector), resource))
                        return s->follows[i];
        fail_msg("%s is not followed", resource);
        return NULL;
}

/* As the call would hand it over. status 0: no answer. */
static void answer(Follow *f, int status, const char *kind, const char *items) {
        static unsigned version = 100;
        _cleanup_buf_ Buf body = BUF_INIT;
        ReflectorRequest request;

        reflector_set_streaming(f->reflector, STREAMING_NO);
        reflector_suspect(f->reflector); /* it lists anew */
        assert_int_equal(reflector_begin(f->reflector, 1000, 0, &request), 0);
        if (status) {
                reflector_head(f->reflector, status, -1);
                buf_printf(&body,
                           "{\"apiVersion\":\"v1\",\"kind\":\"%sList\",\"metadata\":{\"resourceVersion\":\"%u\"},"
                           "\"items\":[%s]}",
                           kind, version++, items);
                assert_int_equal(reflector_data(f->reflector, buf_text(&body), body.len, 1000), 0);
        }
        follow_end(f);
        reflector_end(f->reflector, status ? 0 : -ECONNREFUSED, "", 1000, 0);
        follow_look(f);
}

static int load_into(Follow *f, const char *item) {
        _cleanup_json_ cJSON *tree = NULL;
        _cleanup_buf_ Buf text = BUF_INIT;
        int r;

        buf_printf(&text, "[%s]", item);
        if (text.failed || json_parse(text.data, text.len, (Place){ 1, 1 }, NULL, NULL, &tree, NULL, NULL, NULL) < 0)
                return -ENOMEM;
        r = reflector_load(f->reflector, "1", tree);
        follow_look(f);
        return r;
}

static void the_order_is_that_of_the_refs(void **state) {
        static const ApiRef configmap = { API_CONFIGMAP, "kube-system", "c" }, other_pods = { API_PODS, "b", "" },
                            other_unbound = { API_UNBOUND, "b", "" };
        const ApiRef refs[] = { configmap,   kube_system_pods, kube_system_unbound,
                                daemonset_a, kube_system_pods, kube_system_unbound,
                                configmap },
                     turned[] = { other_unbound, other_pods, daemonset_a, kube_system_pods };
        _cleanup_source_ SourceApi s = { 0 };

        (void)state;
        open_source(&s, false);
        assert_follows(&s, BASICS);
        assert_int_equal(source_api_follow(&s, refs, ARRAY_SIZE(refs)), 0);
        assert_follows(&s, BASICS CONFIGMAP_OF("c") "\n" BOUND_IN("kube-system") "\n" UNBOUND_IN(
                                   "kube-system") "\n" DAEMONSET_OF("kube-system", "a") "\n");
        assert_int_equal(source_api_follow(&s, turned, ARRAY_SIZE(turned)), 0);
        assert_follows(&s, BASICS UNBOUND_IN("b") "\n" BOUND_IN("b") "\n" DAEMONSET_OF(
                                   "kube-system", "a") "\n" BOUND_IN("kube-system") "\n");
        assert_int_equal(source_api_follow(&s, NULL, 0), 0);
        assert_follows(&s, BASICS);
}

static void without_a_node_there_are_no_pods(void **state) {
        const ApiRef refs[] = { kube_system_pods, kube_system_unbound, daemonset_a };
        _cleanup_source_ SourceApi s = { 0 };

        (void)state;
        open_source(&s, false);
        s.node_name = NULL;
        follow_drop_all(&s);
        assert_int_equal(follow_basics(&s), 0);
        assert_int_equal(source_api_follow(&s, refs, ARRAY_SIZE(refs)), 0);
        assert_follows(&s, OPTED_IN "\n" DAEMONSET_OF("kube-system", "a") "\n");
        assert_false(source_api_known_bound(&s, "kube-system").followed);
        assert_false(source_api_known_unbound(&s, "kube-system").followed);
}

static void the_first_are_watched(void **state) {
        enum { MORE = 70 };
        char names[MORE][8];
        ApiRef refs[MORE + 2];
        _cleanup_source_ SourceApi s = { 0 };
        const Follow *bound, *unbound;

        (void)state;
        open_source(&s, false);
        for (size_t i = 0; i < MORE; i++) {
                (void)snprintf(names[i], sizeof(names[i]), "c%zu", i);
                refs[i + 2] = (ApiRef){ API_CONFIGMAP, "kube-system", names[i] };
        }
        assert_int_equal(source_api_follow(&s, refs + 2, MORE), 0);
        assert_int_equal(s.n_follows, MORE + 2);
        for (size_t i = 0; i < s.n_follows; i++)
                assert_int_equal(s.follows[i]->polled, i >= API_WATCH_MAX);
        /* Who comes first is served first, although it came last. */
        refs[0] = kube_system_pods;
        refs[1] = kube_system_unbound;
        assert_int_equal(source_api_follow(&s, refs, MORE + 2), 0);
        assert_int_equal(s.n_follows, MORE + 4);
        bound = follow_by(&s, BOUND_IN("kube-system"));
        unbound = follow_by(&s, UNBOUND_IN("kube-system"));
        assert_ptr_equal(bound, s.follows[2]);
        assert_ptr_equal(unbound, s.follows[3]);
        assert_ptr_equal(follow_of_node(&s), s.follows[0]);
        assert_false(bound->polled || unbound->polled);
        assert_true(follow_by(&s, CONFIGMAP_OF("c60"))->polled);
        assert_false(follow_by(&s, CONFIGMAP_OF("c59"))->polled);
        /* Without the unbound ones there is room for one more. */
        refs[1] = refs[MORE + 1];
        assert_int_equal(source_api_follow(&s, refs, MORE + 1), 0);
        assert_false(bound->polled || follow_by(&s, CONFIGMAP_OF("c69"))->polled);
        assert_true(follow_by(&s, CONFIGMAP_OF("c60"))->polled);
        refs[0] = refs[MORE];
        refs[MORE] = kube_system_pods;
        refs[MORE + 1] = kube_system_unbound;
        assert_int_equal(source_api_follow(&s, refs, MORE + 2), 0);
        unbound = follow_by(&s, UNBOUND_IN("kube-system"));
        assert_true(bound->polled && unbound->polled);
        assert_false(follow_by(&s, CONFIGMAP_OF("c68"))->polled);
        assert_false(follow_by(&s, CONFIGMAP_OF("c59"))->polled);
        assert_true(follow_by(&s, CONFIGMAP_OF("c60"))->polled);
}

#define LABELLED(annotations)                                                                                            \
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"a\",\"namespace\":\"kube-system\"," \
        "\"annotations\":{" annotations "}},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"       \
        "\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}},"        \
        "\"status\":{\"numberReady\":1}}"

static void daemonsets_that_did_not_opt_in_stand_apart(void **state) {
        const ApiRef refs[] = { daemonset_a, { API_DAEMONSET, "kube-system", "b" } };
        _cleanup_source_ SourceApi s = { 0 };
        Follow *a, *b, *all;
        const ApiSnapshot *snapshot;
        const char *bytes, *in_all;

        (void)state;
        open_source(&s, false);
        assert_int_equal(source_api_follow(&s, refs, 2), 0);
        a = follow_by(&s, DAEMONSET_OF("kube-system", "a"));
        b = follow_by(&s, DAEMONSET_OF("kube-system", "b"));
        all = follow_by(&s, OPTED_IN);
        s.news = 0;
        answer(a, 200, "DaemonSet", USABLE("a", "i:1"));
        assert_int_equal(s.news & (API_CHANGED_OBJECTS | API_CHANGED_STATE), API_CHANGED_OBJECTS | API_CHANGED_STATE);
        assert_true(a->unsaved && s.unsaved);
        answer(all, 200, "DaemonSet", USABLE("a", "i:1") "," USABLE("c", "i:1"));
        snapshot = source_api_snapshot(&s);
        assert_int_equal(snapshot->theirs.n_objects, 1);
        assert_int_equal(snapshot->objects.n_objects, 2);
        bytes = snapshot->theirs.objects[0].bytes;
        in_all = snapshot->objects.objects[0].bytes;
        assert_ptr_equal(objects_find(&snapshot->theirs, OBJECT_DAEMONSET, "kube-system", "a"),
                         snapshot->theirs.objects);
        assert_ptr_not_equal(bytes, in_all);

        /* What has not changed is not read again. */
        answer(b, 200, "DaemonSet", INVALID("b"));
        snapshot = source_api_snapshot(&s);
        assert_int_equal(snapshot->theirs.n_objects, 2);
        assert_ptr_equal(snapshot->theirs.objects[0].bytes, bytes);
        assert_ptr_equal(snapshot->objects.objects[0].bytes, in_all);
        assert_int_equal(snapshot->theirs.objects[1].reason, REASON_Invalid);
        assert_true(snapshot->complete);

        /* Nothing of them touches the others. */
        answer(a, 200, "DaemonSet", "");
        answer(b, 403, "Status", "");
        snapshot = source_api_snapshot(&s);
        assert_int_equal(snapshot->theirs.n_objects, 1);
        assert_int_equal(snapshot->objects.n_objects, 2);
        assert_true(snapshot->complete && source_api_node(&s).complete);
        assert_false(snapshot->suspect);
        s.left = s.snapshot_is_old = true;
        assert_int_equal(source_api_snapshot(&s)->theirs.n_objects, 0);
}

static void one_annotation_is_kept(void **state) {
        static const char *const rows[][2] = {
                { "\"x\":\"y\",\"daemonlet.io/handoff\":\"ready\",\"z\":\"\"",
                  "\"annotations\":{\"daemonlet.io/handoff\":\"ready\"}," },
                { "\"x\":\"y\"", "" },
                { "", "" },
        };
        _cleanup_source_ SourceApi s = { 0 };
        Follow *follows[2];

        (void)state;
        open_source(&s, false);
        assert_int_equal(source_api_follow(&s, &daemonset_a, 1), 0);
        follows[0] = follow_by(&s, DAEMONSET_OF("kube-system", "a"));
        follows[1] = follow_by(&s, OPTED_IN);
        for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
                static const char *const texts[] = {
                        LABELLED("\"x\":\"y\",\"daemonlet.io/handoff\":\"ready\",\"z\":\"\""), LABELLED("\"x\":\"y\""),
                        LABELLED("")
                };
                _cleanup_buf_ Buf want = BUF_INIT;
                const ReflectorItem *items;
                size_t n;

                assert_int_equal(load_into(follows[i % 2], texts[i / 2]), 0);
                items = reflector_items(follows[i % 2]->reflector, &n);
                assert_int_equal(n, 1);
                buf_printf(&want, "\"metadata\":{%s\"name\":\"a\"", rows[i / 2][1]);
                assert_non_null(strstr(items[0].bytes, buf_text(&want)));
                assert_null(strstr(items[0].bytes, "status"));
        }
}

static void assert_pods(SourceApi *s, const char *want) {
        static const char *const states[] = { "none", "unbound", "bound", "ready" };
        const ApiSnapshot *snapshot = source_api_snapshot(s);
        _cleanup_buf_ Buf got = BUF_INIT;

        assert_non_null(snapshot);
        for (size_t i = 0; i < snapshot->n_pods; i++) {
                const DaemonPod *p = &snapshot->pods[i];

                buf_printf(&got, "%s%s/%s of %s: %s", i ? ", " : "", p->namespace, p->name, p->daemonset,
                           states[p->pod]);
        }
        assert_string_equal(buf_text(&got), want);
}

static void pods_of_daemonsets_that_are_here(void **state) {
        const ApiRef refs[] = {
                kube_system_pods, kube_system_unbound, { API_PODS, "b", "" }, { API_UNBOUND, "b", "" }
        };
        _cleanup_source_ SourceApi s = { 0 };
        Follow *bound, *unbound, *b_bound, *b_unbound;

        (void)state;
        open_source(&s, false);
        assert_int_equal(source_api_follow(&s, refs, ARRAY_SIZE(refs)), 0);
        bound = follow_by(&s, BOUND_IN("kube-system"));
        unbound = follow_by(&s, UNBOUND_IN("kube-system"));
        b_bound = follow_by(&s, BOUND_IN("b"));
        b_unbound = follow_by(&s, UNBOUND_IN("b"));
        s.news = 0;
        s.unsaved = false;
        answer(bound, 200, "Pod",
               POD("kube-system", "z", ON("n")) "," POD_WITH("kube-system", "other", "", ON("n")) "," POD(
                       "kube-system", "elsewhere",
                       ON("m")) ",{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{"
                                "\"name\":\"odd\",\"namespace\":\"kube-system\"," OF_DAEMONSET("d") "},\"spec\":5}");
        assert_int_equal(s.news & (API_CHANGED_OBJECTS | API_CHANGED_STATE), API_CHANGED_OBJECTS | API_CHANGED_STATE);
        answer(unbound, 200, "Pod",
               POD("kube-system", "c", MEANT_FOR("n")) "," POD("kube-system", "not",
                                                               MEANT_FOR("m")) "," POD("kube-system", "anywhere", ""));
        answer(b_bound, 200, "Pod", POD("b", "z", ON("n")) "," POD("b", "a", ON("n")));
        answer(b_unbound, 200, "Pod", "");
        assert_pods(&s, "b/a of d: bound, b/z of d: bound, kube-system/c of d: unbound, kube-system/z of d: bound");

        /* It was just bound: who has not heard of it yet is not asked. */
        answer(bound, 200, "Pod", POD("kube-system", "c", ON("n")) "," POD("kube-system", "a", ON("n")));
        assert_pods(&s, "b/a of d: bound, b/z of d: bound, kube-system/a of d: bound, kube-system/c of d: bound");
        answer(unbound, 200, "Pod", "");
        answer(b_bound, 200, "Pod", "");
        /* What is fleeting is gone at once, and no doubt of the others. */
        assert_pods(&s, "kube-system/a of d: bound, kube-system/c of d: bound");
        assert_false(s.snapshot.suspect);

        /* A watch that was cut, and another identity that may not: they are as they were. */
        answer(bound, 0, "", "");
        assert_pods(&s, "kube-system/a of d: bound, kube-system/c of d: bound");
        answer(bound, 403, "Status", "");
        assert_pods(&s, "kube-system/a of d: bound, kube-system/c of d: bound");
        assert_false(s.unsaved || bound->unsaved || unbound->unsaved);
        assert_int_equal(s.snapshot.objects.n_objects + s.snapshot.theirs.n_objects, 0);
        s.left = s.snapshot_is_old = true;
        assert_pods(&s, "");
        s.left = false;
        s.snapshot_is_old = true;
        assert_pods(&s, "kube-system/a of d: bound, kube-system/c of d: bound");
        assert_int_equal(source_api_follow(&s, NULL, 0), 0);
        assert_pods(&s, "");
}

static void bound_and_unbound_are_asked_for_apart(void **state) {
        const ApiRef refs[] = {
                kube_system_unbound, kube_system_pods, { API_PODS, "b", "" }, { API_UNBOUND, "c", "" }
        };
        _cleanup_source_ SourceApi s = { 0 };

        (void)state;
        open_source(&s, false);
        assert_int_equal(source_api_follow(&s, refs + 1, 1), 0);
        assert_follows(&s, BASICS BOUND_IN("kube-system") "\n");
        assert_true(source_api_known_bound(&s, "kube-system").followed);
        assert_false(source_api_known_unbound(&s, "kube-system").followed);
        assert_false(source_api_known_unbound(&s, "kube-system").awaited);
        assert_string_equal(source_api_known_unbound(&s, "kube-system").problem, "");
        assert_int_equal(source_api_follow(&s, refs, ARRAY_SIZE(refs)), 0);
        assert_follows(&s, BASICS UNBOUND_IN("kube-system") "\n" BOUND_IN("kube-system") "\n" BOUND_IN(
                                   "b") "\n" UNBOUND_IN("c") "\n");
        assert_false(source_api_known_unbound(&s, "b").followed || source_api_known_bound(&s, "c").followed);
        answer(s.follows[2], 200, "Pod", POD("kube-system", "u", MEANT_FOR("n")));
        answer(s.follows[3], 200, "Pod", POD("kube-system", "z", ON("n")));
        answer(s.follows[5], 200, "Pod", POD("c", "u", MEANT_FOR("n")));
        assert_pods(&s, "c/u of d: unbound, kube-system/u of d: unbound, kube-system/z of d: bound");
        /* What is not asked for any more is not known any more. */
        assert_int_equal(source_api_follow(&s, refs + 1, 1), 0);
        assert_follows(&s, BASICS BOUND_IN("kube-system") "\n");
        assert_pods(&s, "kube-system/z of d: bound");
        assert_true(source_api_known_bound(&s, "kube-system").live);
        assert_int_equal(source_api_follow(&s, refs, 1), 0);
        assert_follows(&s, BASICS UNBOUND_IN("kube-system") "\n");
        assert_pods(&s, "");
        assert_true(source_api_known_unbound(&s, "kube-system").awaited);
}

static void the_kubelet_sees_what_is_bound(void **state) {
        const ApiRef refs[] = { daemonset_a,           kube_system_pods,
                                kube_system_unbound,   { API_CONFIGMAP, "kube-system", "c" },
                                { API_PODS, "b", "" }, { API_UNBOUND, "b", "" } };
        _cleanup_source_ SourceApi s = { 0 };
        ApiKnown known;

        (void)state;
        open_source(&s, true);
        assert_int_equal(source_api_follow(&s, refs, 1), 0);
        assert_follows(&s, NODE_RESOURCE "\n");
        assert_string_equal(source_api_known_bound(&s, "kube-system").problem, "");
        assert_int_equal(source_api_follow(&s, refs, ARRAY_SIZE(refs)), 0);
        assert_follows(&s, NODE_RESOURCE "\n/api/v1/pods?fieldSelector=spec.nodeName%3Dn\n");
        answer(s.follows[1], 200, "Pod", POD("b", "x", ON("n")) "," POD("a", "y", ON("n")));
        assert_pods(&s, "a/y of d: bound, b/x of d: bound");
        known = source_api_known_bound(&s, "b");
        assert_true(known.followed && known.live);
        assert_string_equal(known.problem, "");
        known = source_api_known_unbound(&s, "b");
        assert_false(known.followed || known.live || known.awaited);
        assert_string_equal(known.problem,
                            "the kubelet's identity sees only pods that are bound to this node; an identity of its own "
                            "needs get, list, watch of pods and daemonsets.apps in namespace b (see daemonlet rbac)");
        known = source_api_known_daemonset(&s, "kube-system", "a");
        assert_false(known.followed || known.live || known.awaited);
        assert_non_null(strstr(known.problem, "in namespace kube-system (see"));
        assert_string_equal(source_api_known_daemonset(&s, "elsewhere", "a").problem, "");

        assert_int_equal(source_api_follow(&s, refs + 4, 1), 0);
        assert_string_equal(source_api_known_daemonset(&s, "kube-system", "a").problem, "");
        assert_pods(&s, "a/y of d: bound, b/x of d: bound");

        /* Unbound ones alone are not asked for, only missed. */
        assert_int_equal(source_api_follow(&s, refs + 5, 1), 0);
        assert_follows(&s, NODE_RESOURCE "\n");
        assert_pods(&s, "");
        known = source_api_known_unbound(&s, "b");
        assert_false(known.followed || known.live || known.awaited);
        assert_non_null(strstr(known.problem, "in namespace b (see"));
        assert_false(source_api_known_bound(&s, "b").followed);
        assert_string_equal(source_api_known_unbound(&s, "kube-system").problem, "");

        /* One of its own instead. */
        s.identity.is_kubelet = false;
        assert_int_equal(follow_reload(&s), 0);
        assert_string_equal(source_api_known_unbound(&s, "b").problem, "");
        assert_int_equal(source_api_follow(&s, refs, 3), 0);
        assert_follows(&s, BASICS DAEMONSET_OF("kube-system",
                                               "a") "\n" BOUND_IN("kube-system") "\n" UNBOUND_IN("kube-system") "\n");
}

static void assert_known(ApiKnown known, bool live, bool awaited, const char *problem) {
        assert_true(known.followed);
        assert_int_equal(known.live, live);
        assert_int_equal(known.awaited, awaited);
        if (*problem)
                assert_non_null(strstr(known.problem, problem));
        else
                assert_string_equal(known.problem, "");
}
#define ASSERT_DAEMONSET(s, ...) assert_known(source_api_known_daemonset(&(s), "kube-system", "a"), __VA_ARGS__)
#define ASSERT_BOUND(s, ...) assert_known(source_api_known_bound(&(s), "kube-system"), __VA_ARGS__)
#define ASSERT_UNBOUND(s, ...) assert_known(source_api_known_unbound(&(s), "kube-system"), __VA_ARGS__)

static void how_far_it_is_known(void **state) {
        const ApiRef refs[] = { daemonset_a, kube_system_pods, kube_system_unbound };
        _cleanup_source_ SourceApi s = { 0 };
        Follow *a, *bound, *unbound;

        (void)state;
        open_source(&s, false);
        assert_false(source_api_known_daemonset(NULL, "kube-system", "a").followed);
        assert_string_equal(source_api_known_bound(NULL, "kube-system").problem, "");
        assert_false(source_api_known_daemonset(&s, "kube-system", "a").followed);
        assert_int_equal(source_api_follow(&s, refs, ARRAY_SIZE(refs)), 0);
        assert_false(source_api_known_daemonset(&s, "kube-system", "b").followed);
        assert_false(source_api_known_daemonset(&s, "b", "a").followed);
        assert_false(source_api_known_bound(&s, "b").followed || source_api_known_unbound(&s, "b").followed);
        a = follow_by(&s, DAEMONSET_OF("kube-system", "a"));
        bound = follow_by(&s, BOUND_IN("kube-system"));
        unbound = follow_by(&s, UNBOUND_IN("kube-system"));
        ASSERT_DAEMONSET(s, false, true, "");
        ASSERT_BOUND(s, false, true, "");
        ASSERT_UNBOUND(s, false, true, "");

        /* The cache is no answer. */
        assert_int_equal(load_into(a, USABLE("a", "i:1")), 0);
        ASSERT_DAEMONSET(s, false, true, "");
        answer(a, 200, "DaemonSet", USABLE("a", "i:1"));
        ASSERT_DAEMONSET(s, true, false, "");
        s.news = 0;
        answer(bound, 403, "Status", "");
        assert_int_equal(s.news, API_CHANGED_STATE);
        ASSERT_BOUND(s, false, false, "may not list pods in namespace kube-system");
        s.news = 0;
        answer(bound, 403, "Status", "");
        assert_int_equal(s.news, 0);
        answer(bound, 401, "Status", "");
        ASSERT_BOUND(s, false, false, "does not accept this identity");
        answer(unbound, 0, "", "");
        ASSERT_UNBOUND(s, false, false, "");
        answer(unbound, 500, "Status", "");
        ASSERT_UNBOUND(s, false, false, "");
        answer(bound, 200, "Pod", "");
        answer(unbound, 200, "Pod", "");
        ASSERT_BOUND(s, true, false, "");
        ASSERT_UNBOUND(s, true, false, "");

        /* What another cluster lacks is not believed yet. */
        s.other_since = 1;
        ASSERT_DAEMONSET(s, false, false, "");
        ASSERT_BOUND(s, false, false, "");
        s.other_since = -1;
        answer(a, 0, "", "");
        ASSERT_DAEMONSET(s, false, false, "");

        /* Another identity: all but what it has not to be told again is asked anew. */
        follow_await(&s);
        ASSERT_DAEMONSET(s, false, true, "");
        ASSERT_BOUND(s, true, false, "");
        answer(a, 0, "", "");
        ASSERT_DAEMONSET(s, false, false, "");
}

static void what_is_awaited_of_whom(void **state) {
        const ApiRef refs[] = { daemonset_a, kube_system_pods, kube_system_unbound };
        _cleanup_source_ SourceApi s = { 0 };
        sd_event *loop;

        (void)state;
        open_source(&s, false);
        assert_true(source_api_is_away(NULL));
        assert_int_equal(source_api_follow(&s, refs, ARRAY_SIZE(refs)), 0);
        assert_false(source_api_is_away(&s));
        /* Nobody has knocked yet. */
        s.shut = true;
        s.knocked = false;
        assert_true(source_api_is_away(&s));
        ASSERT_DAEMONSET(s, false, true, "");
        /* No loop, no identity, no member of it. */
        loop = s.loop;
        s.loop = NULL;
        s.shut = false;
        assert_true(source_api_is_away(&s));
        ASSERT_BOUND(s, false, false, "");
        s.loop = loop;
        /* Without an identity nobody is asked, but the server may be there. What it did for another does not count. */
        s.has_identity = false;
        assert_false(source_api_is_away(&s));
        ASSERT_BOUND(s, false, false, "");
        s.shut = true;
        assert_false(source_api_is_away(&s));
        ASSERT_BOUND(s, false, false, "");
        s.left = true;
        assert_true(source_api_is_away(&s));
        s.shut = false;
        assert_true(source_api_is_away(&s));
        s.has_identity = true;
        assert_true(source_api_is_away(&s));
        ASSERT_BOUND(s, false, false, "");
        s.left = false;
        assert_false(source_api_is_away(&s));
        /* No server is named. */
        s.kubeconfig = NULL;
        assert_true(source_api_is_away(&s));
        s.has_identity = false;
        assert_true(source_api_is_away(&s));
        s.has_identity = true;
        s.kubeconfig = (char *)"k";
        /* The first knock that fails is told, whatever was said before. */
        s.shut = true;
        (void)err_set(&s.server_problem, -EIO, "no answer");
        s.news = 0;
        api_not_heard(&s, -EIO, "no answer");
        assert_int_equal(s.news, API_CHANGED_STATE);
        ASSERT_DAEMONSET(s, false, false, "");
        ASSERT_UNBOUND(s, false, false, "");
        s.news = 0;
        api_not_heard(&s, -EIO, "no answer");
        assert_int_equal(s.news, 0);
        assert_true(source_api_is_away(&s));
        /* Then it answers, and so may they. */
        api_heard(&s);
        assert_int_equal(s.news, API_CHANGED_STATE);
        assert_false(source_api_is_away(&s));
        ASSERT_DAEMONSET(s, false, true, "");
        /* It is away again: what is not known by now is no longer awaited. */
        api_not_heard(&s, -EIO, "no answer");
        ASSERT_DAEMONSET(s, false, false, "");
}

static int follow_and_look(void *user) {
        const ApiRef refs[] = { kube_system_pods,      kube_system_unbound,
                                daemonset_a,           { API_PRIORITYCLASS, "", "high" },
                                { API_PODS, "b", "" }, { API_UNBOUND, "b", "" } };
        _cleanup_source_ SourceApi s = { 0 };
        int r = source_open(&s, user != NULL);

        if (r == 0)
                r = source_api_follow(&s, refs, ARRAY_SIZE(refs));
        for (size_t i = 0; r == 0 && i < s.n_follows; i++) {
                Follow *f = s.follows[i];

                if (f->kind == FOLLOW_BOUND && !streq(f->namespace, "b"))
                        r = load_into(f, POD("kube-system", "b", ON("n")) "," POD("kube-system", "a", ON("n")));
                else if (f->kind == FOLLOW_UNBOUND && streq(f->namespace, "kube-system"))
                        r = load_into(
                                f, POD("kube-system", "a", MEANT_FOR("n")) "," POD("kube-system", "c", MEANT_FOR("n")));
                else if (f->kind == FOLLOW_THEIRS)
                        r = load_into(f, USABLE("a", "i:1"));
        }
        if (r == 0 && !source_api_snapshot(&s))
                r = -ENOMEM;
        if (r == 0)
                assert_int_equal(s.snapshot.n_pods, user ? 2 : 3);
        return r;
}

static void no_memory_to_follow(void **state) {
        (void)state;
        (void)test_oom(follow_and_look, NULL);
        (void)test_oom(follow_and_look, (void *)"the kubelet");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_has_not_changed_is_not_read_again),
                cmocka_unit_test(what_was_defined_twice_counts_again),
                cmocka_unit_test(classes_are_those_of_now),
                cmocka_unit_test(any_history),
                cmocka_unit_test(no_memory),
                cmocka_unit_test(the_order_is_that_of_the_refs),
                cmocka_unit_test(without_a_node_there_are_no_pods),
                cmocka_unit_test(the_first_are_watched),
                cmocka_unit_test(daemonsets_that_did_not_opt_in_stand_apart),
                cmocka_unit_test(one_annotation_is_kept),
                cmocka_unit_test(pods_of_daemonsets_that_are_here),
                cmocka_unit_test(bound_and_unbound_are_asked_for_apart),
                cmocka_unit_test(the_kubelet_sees_what_is_bound),
                cmocka_unit_test(how_far_it_is_known),
                cmocka_unit_test(what_is_awaited_of_whom),
                cmocka_unit_test(no_memory_to_follow),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
