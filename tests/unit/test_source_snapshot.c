/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot of the API source: what has not changed is not read again, and nobody can tell. */
#include "io/source_api_internal.h"
#include "objects_dump.h"
#include "test.h"

#include <errno.h>

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

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_has_not_changed_is_not_read_again),
                cmocka_unit_test(what_was_defined_twice_counts_again),
                cmocka_unit_test(classes_are_those_of_now),
                cmocka_unit_test(any_history),
                cmocka_unit_test(no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
