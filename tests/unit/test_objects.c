/* SPDX-License-Identifier: Apache-2.0 */
#include "objects_dump.h"

#include "test.h"

#include <errno.h>
#include <stdio.h>

static void read_text(Objects *o, const char *name, const char *text) {
        assert_int_equal(objects_read(o, name, text, strlen(text), false), 0);
}

/* ---- the cases: input as data, what comes of it beside it ---- */

/* Objects called ok-* must be usable and bad-* must not, so that a golden file written anew cannot hide a mistake. */
static void check_names(const Objects *o) {
        for (size_t i = 0; i < o->n_objects; i++) {
                const Object *object = &o->objects[i];

                if (startswith(object->name, "ok-") && object->reason != REASON_None && !object->message &&
                    object->diags.n_errors == 0)
                        fail_msg("%s is refused", object->name);
                if (startswith(object->name, "bad-") && object->reason == REASON_None)
                        fail_msg("%s is accepted", object->name);
                assert_true((object->bytes == NULL) == (object->reason == REASON_Invalid));
                assert_true(object->file < o->n_files);
        }
}

static void case_row(void **state) {
        const char *name = *state;
        char path[256], want[256];
        _cleanup_free_ char *text = NULL;
        _cleanup_objects_ Objects o = { 0 };
        _cleanup_buf_ Buf got = BUF_INIT;
        size_t len;

        (void)snprintf(path, sizeof(path), "cases/objects/%s", name);
        (void)snprintf(want, sizeof(want), "cases/objects/%.*s.expected", (int)(strlen(name) - strlen(".yaml")), name);
        text = test_read(path, &len);
        assert_int_equal(objects_read(&o, name, text, len, startswith(text, "# strict")), 0);
        assert_int_equal(objects_finish(&o), 0);
        objects_dump(&o, &got);
        assert_false(got.failed);
        check_names(&o);
        /* The values of ConfigMaps and Secrets in the cases. */
        assert_null(strstr(buf_text(&got), "top-secret"));
        test_golden(want, buf_text(&got));
}

/* ---- the canonical bytes ---- */

#define META(name) "metadata: {name: " name ", namespace: ns}\n"
#define DAEMONSET(api, spec, pod)                                                                                      \
        "apiVersion: " api "\nkind: DaemonSet\n" META(                                                                 \
                "d") "spec:\n  " spec "\n  template:\n"                                                                \
                     "    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: i}]" pod "}\n"
#define SELECTOR "selector: {matchLabels: {a: b}}"
#define META_BYTES(name) "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\"}"
#define DAEMONSET_BYTES(pod)                                                                                                        \
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\"," META_BYTES(                                                           \
                "d") ",\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}" \
                     "},\"spec\":{\"containers\":[{\"image\":\"i\",\"name\":\"c\"}]" pod "}}}}"

static const struct BytesRow {
        const char *what, *text, *want;
} bytes_rows[] = {
        { "as it is", DAEMONSET("apps/v1", SELECTOR, ""), DAEMONSET_BYTES("") },
        { "an older version becomes apps/v1", DAEMONSET("apps/v1beta2", SELECTOR, ""), DAEMONSET_BYTES("") },
        { "before apps/v1 the selector is the template's labels",
          DAEMONSET("extensions/v1beta1", "minReadySeconds:", ""), DAEMONSET_BYTES("") },
        { "a volume without source is an emptyDir", DAEMONSET("apps/v1", SELECTOR, ", volumes: [{name: v}]"),
          DAEMONSET_BYTES(",\"volumes\":[{\"emptyDir\":{},\"name\":\"v\"}]") },
        { "a volume with a source is left alone",
          DAEMONSET("apps/v1", SELECTOR, ", volumes: [{name: v, hostPath: {path: /v}}]"),
          DAEMONSET_BYTES(",\"volumes\":[{\"hostPath\":{\"path\":\"/v\"},\"name\":\"v\"}]") },
        { "numbers stay as they are written",
          DAEMONSET("apps/v1", SELECTOR, ", overhead: {cpu: 0.50, memory: 1Gi}, terminationGracePeriodSeconds: 0"),
          DAEMONSET_BYTES(",\"overhead\":{\"cpu\":0.50,\"memory\":\"1Gi\"},\"terminationGracePeriodSeconds\":0") },
        { "nulls are absent", DAEMONSET("apps/v1", SELECTOR, ", nodeSelector: null, hostNetwork: ~"),
          DAEMONSET_BYTES("") },
        { "status is dropped", DAEMONSET("apps/v1", SELECTOR, "") "status: {desiredNumberScheduled: 1}\n",
          DAEMONSET_BYTES("") },
        { "metadata keeps what says what it is",
          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: ns, labels: {a: b}, annotations: {x: w}, uid: "
          "u, resourceVersion: '5', generation: 2, creationTimestamp: '2020-01-01T00:00:00Z', finalizers: [a/b], "
          "managedFields: [], ownerReferences: [], generateName: g}\n",
          "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{\"x\":\"w\"},\"labels\":{"
          "\"a\":\"b\"},\"name\":\"c\",\"namespace\":\"ns\"}}" },
        { "no namespace is default", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
          "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\",\"namespace\":\"default\"}}" },
        { "an empty namespace is default", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: ''}\n",
          "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\",\"namespace\":\"default\"}}" },
        { "stringData is laid over data",
          "apiVersion: v1\nkind: Secret\n" META("s") "data: {a: AAAA, b: BBBB}\nstringData: {b: text, c: '', d: f, "
                                                     "e: fo}\n",
          "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"AAAA\",\"b\":\"dGV4dA==\",\"c\":\"\",\"d\":\"Zg==\",\"e\":\"Zm8="
          "\"},\"kind\":\"Secret\"," META_BYTES("s") "}" },
        { "stringData over keys that fall into one slot",
          "apiVersion: v1\nkind: Secret\n" META("s") "data: {A: b2xk, a: b2xk}\nstringData: {A: new, a: new}\n",
          "{\"apiVersion\":\"v1\",\"data\":{\"A\":\"bmV3\",\"a\":\"bmV3\"},\"kind\":\"Secret\"," META_BYTES("s") "}" },
        { "stringData alone", "apiVersion: v1\nkind: Secret\n" META("s") "stringData: {a: foo}\n",
          "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"Zm9v\"},\"kind\":\"Secret\"," META_BYTES("s") "}" },
        { "bytes beyond ASCII", "apiVersion: v1\nkind: Secret\n" META("s") "stringData: {a: \"\\xff\\u20ac\"}\n",
          "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"w7/igqw=\"},\"kind\":\"Secret\"," META_BYTES("s") "}" },
        { "line breaks in base64 do not count",
          "apiVersion: v1\nkind: Secret\n" META("s") "data:\n  a: |\n    AA\n    AA\n",
          "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"AAAA\"},\"kind\":\"Secret\"," META_BYTES("s") "}" },
        { "an item of a typed list gets its kind",
          "apiVersion: v1\nkind: SecretList\nitems: [{metadata: {name: s, namespace: ns}}]\n",
          "{\"apiVersion\":\"v1\",\"kind\":\"Secret\"," META_BYTES("s") "}" },
};

static void bytes_row(void **state) {
        const struct BytesRow *row = *state;
        _cleanup_objects_ Objects o = { 0 };

        read_text(&o, "x", row->text);
        assert_int_equal(o.n_objects, 1);
        if (o.objects[0].diags.n)
                fail_msg("%s: %s", o.objects[0].diags.items[0].path, o.objects[0].diags.items[0].message);
        assert_int_equal(o.objects[0].reason, REASON_None);
        assert_string_equal(o.objects[0].bytes, row->want);
        assert_int_equal(o.objects[0].len, strlen(row->want));
}

static void scheduling_is_compiled(void **state) {
        _cleanup_objects_ Objects o = { 0 };

        (void)state;
        read_text(&o, "x",
                  DAEMONSET("apps/v1", SELECTOR, ", nodeName: n1, hostNetwork: true, tolerations: [{key: k}]"));
        assert_string_equal(o.objects[0].scheduling.node_name, "n1");
        assert_true(o.objects[0].scheduling.host_network);
        assert_int_equal(o.objects[0].scheduling.n_tolerations, 1);
}

static void the_annotation_of_the_handover(void **state) {
        static const struct {
                const char *meta;
                HandoffMode want;
                Reason reason;
        } rows[] = {
                { "", HANDOFF_AUTO, REASON_None },
                { ", annotations: {a: never}", HANDOFF_AUTO, REASON_None },
                { ", annotations: {daemonlet.io/handoff: ''}", HANDOFF_AUTO, REASON_None },
                { ", annotations: {daemonlet.io/handoff: never}", HANDOFF_NEVER, REASON_None },
                { ", annotations: {a: never, daemonlet.io/handoff: exists}", HANDOFF_EXISTS, REASON_None },
                { ", annotations: {daemonlet.io/handoff: ready}", HANDOFF_READY, REASON_None },
                { ", annotations: {daemonlet.io/handoff: soon}", HANDOFF_AUTO, REASON_Invalid },
                { ", labels: {daemonlet.io/handoff: never}", HANDOFF_AUTO, REASON_None },
        };
        char text[512];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_objects_ Objects o = { 0 };

                (void)snprintf(
                        text, sizeof(text),
                        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d%s}\nspec:\n  " SELECTOR
                        "\n  template:\n    metadata: {labels: {a: b}, annotations: {daemonlet.io/handoff: never}}\n"
                        "    spec: {containers: [{name: c, image: i}]}\n",
                        rows[i].meta);
                read_text(&o, "x", text);
                assert_int_equal(o.n_objects, 1);
                assert_int_equal(o.objects[0].reason, rows[i].reason);
                assert_int_equal(o.objects[0].handoff, rows[i].want);
        }
}

/* ---- several files ---- */

#define CONFIGMAP(name, data) "apiVersion: v1\nkind: ConfigMap\n" META(name) "data: {" data "}\n"

static void definitions_that_differ_are_all_refused(void **state) {
        _cleanup_objects_ Objects o = { 0 };

        (void)state;
        read_text(&o, "a.yaml", CONFIGMAP("c", "k: v") "---\n" CONFIGMAP("other", "k: v"));
        read_text(&o, "b.yaml", CONFIGMAP("other", "k: v"));
        read_text(&o, "c.yaml", "\n" CONFIGMAP("c", "k: w"));
        assert_non_null(objects_find(&o, OBJECT_CONFIGMAP, "ns", "c"));
        assert_int_equal(objects_finish(&o), 0);
        assert_int_equal(o.objects[0].reason, REASON_DefinedTwice);
        assert_int_equal(o.objects[3].reason, REASON_DefinedTwice);
        assert_string_equal(o.objects[0].message, "defined differently at a.yaml:1:1 and c.yaml:2:1: keep one of them");
        assert_string_equal(o.objects[3].message, o.objects[0].message);
        assert_non_null(o.objects[0].bytes);
        assert_false(o.files[0].complete);
        assert_true(o.files[1].complete);
        assert_false(o.files[2].complete);
        assert_null(objects_find(&o, OBJECT_CONFIGMAP, "ns", "c"));
}

static void equal_definitions_count_once(void **state) {
        _cleanup_objects_ Objects o = { 0 };

        (void)state;
        read_text(&o, "a", CONFIGMAP("b", "") "---\n" CONFIGMAP("c", "k: v, l: w"));
        read_text(&o, "b", CONFIGMAP("c", "l: w, k: v"));
        assert_int_equal(objects_finish(&o), 0);
        assert_int_equal(o.objects[1].same_as, 1);
        assert_int_equal(o.objects[2].same_as, 1);
        assert_int_equal(o.objects[2].reason, REASON_None);
        assert_true(o.files[1].complete);
        assert_ptr_equal(objects_find(&o, OBJECT_CONFIGMAP, "ns", "c"), &o.objects[1]);
        assert_null(objects_find(&o, OBJECT_SECRET, "ns", "c"));
        assert_null(objects_find(&o, OBJECT_CONFIGMAP, "m", "c"));
        assert_null(objects_find(&o, OBJECT_CONFIGMAP, "ns", "d"));
}

static void three_definitions_name_every_place(void **state) {
        _cleanup_objects_ Objects o = { 0 };

        (void)state;
        read_text(&o, "a", CONFIGMAP("c", "k: v"));
        read_text(&o, "b", CONFIGMAP("c", "k: v"));
        read_text(&o, "c", CONFIGMAP("c", "k: w"));
        assert_int_equal(objects_finish(&o), 0);
        assert_string_equal(o.objects[1].message, "defined differently at a:1:1, b:1:1 and c:1:1: keep one of them");
        assert_int_equal(o.objects[1].same_as, 1);
}

static void very_many_definitions(void **state) {
        enum { MANY = 10000 };
        _cleanup_objects_ Objects o = { 0 };
        _cleanup_buf_ Buf text = BUF_INIT;

        (void)state;
        buf_str(&text, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMapList\",\"items\":[");
        for (unsigned i = 0; i < MANY; i++)
                buf_printf(&text, "%s{\"metadata\":{\"name\":\"c%u\"},\"data\":{\"k\":\"%u\"}}", i ? "," : "",
                           i < MANY - 100 ? i : MANY - 100, i);
        buf_str(&text, "]}");
        assert_int_equal(objects_read(&o, "x", buf_text(&text), text.len, false), 0);
        assert_int_equal(o.n_objects, MANY);
        assert_int_equal(objects_finish(&o), 0);
        assert_int_equal(o.objects[0].reason, REASON_None);
        assert_int_equal(o.objects[MANY - 101].reason, REASON_None);
        assert_int_equal(o.objects[MANY - 100].reason, REASON_DefinedTwice);
        assert_non_null(strstr(o.objects[MANY - 1].message, " and 84 more places: keep one of them"));
        for (unsigned i = 0; i < MANY; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "c%u", i);
                assert_true((objects_find(&o, OBJECT_CONFIGMAP, "default", name) != NULL) == (i < MANY - 100));
        }
}

static void an_invalid_object_is_not_found(void **state) {
        _cleanup_objects_ Objects o = { 0 };

        (void)state;
        read_text(&o, "a", CONFIGMAP("c", "'a b': v"));
        assert_null(objects_find(&o, OBJECT_CONFIGMAP, "ns", "c"));
        read_text(&o, "b", CONFIGMAP("c", "a: v"));
        assert_int_equal(objects_finish(&o), 0);
        assert_int_equal(o.objects[0].reason, REASON_Invalid);
        assert_ptr_equal(objects_find(&o, OBJECT_CONFIGMAP, "ns", "c"), &o.objects[1]);
        assert_false(o.files[0].complete);
        assert_true(o.files[1].complete);
}

static void a_file_that_could_not_be_had(void **state) {
        _cleanup_objects_ Objects o = { 0 };

        (void)state;
        assert_int_equal(objects_add_unreadable(&o, "secret.yaml", "permission denied"), 0);
        assert_true(o.files[0].unreadable);
        assert_false(o.files[0].complete);
        assert_string_equal(o.files[0].name, "secret.yaml");
        assert_string_equal(o.files[0].error, "permission denied");
        assert_int_equal(objects_finish(&o), 0);
}

/* ---- limits ---- */

static void more_duplicate_keys_than_are_kept(void **state) {
        _cleanup_objects_ Objects o = { 0 };
        _cleanup_buf_ Buf text = BUF_INIT;

        (void)state;
        buf_str(&text, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\"},\"data\":{");
        for (unsigned i = 0; i < 1100; i++)
                buf_printf(&text, "%s\"k%u\":\"\",\"k%u\":\"\"", i ? "," : "", i, i);
        buf_str(&text, "}}");
        assert_int_equal(objects_read(&o, "x", buf_text(&text), text.len, false), 0);
        assert_true(o.files[0].complete);
        assert_int_equal(o.objects[0].diags.n_warnings, 1024);
        assert_string_equal(o.files[0].diags.items[0].message, "76 more duplicate keys");
        assert_int_equal(objects_read(&o, "x", buf_text(&text), text.len, true), 0);
        assert_false(o.files[1].complete);
        assert_int_equal(o.objects[1].reason, REASON_Invalid);
}

/* One byte more than data may have in all. */
static void data_that_is_too_large(void **state) {
        (void)state;
        for (size_t over = 0; over < 2; over++) {
                _cleanup_objects_ Objects o = { 0 };
                _cleanup_buf_ Buf text = BUF_INIT;

                buf_str(&text, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\"},"
                               "\"binaryData\":{\"a\":\"AAA=\"},\"data\":{\"b\":\"");
                for (size_t i = 0; i < 1024 * 1024 - 2 + over; i++)
                        buf_char(&text, 'x');
                buf_str(&text, "\"}}");
                assert_int_equal(objects_read(&o, "x", buf_text(&text), text.len, false), 0);
                assert_int_equal(o.objects[0].reason, over ? REASON_Invalid : REASON_None);
        }
}

static void a_secret_that_is_too_large(void **state) {
        (void)state;
        for (size_t over = 0; over < 2; over++) {
                _cleanup_objects_ Objects o = { 0 };
                _cleanup_buf_ Buf text = BUF_INIT;

                /* The text replaces the bytes of the same key. */
                buf_str(&text, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"c\"},"
                               "\"data\":{\"b\":\"AAAA\",\"c\":\"AA==\"},\"stringData\":{\"b\":\"");
                for (size_t i = 0; i < 1024 * 1024 - 1 + over; i++)
                        buf_char(&text, 'x');
                buf_str(&text, "\"}}");
                assert_int_equal(objects_read(&o, "x", buf_text(&text), text.len, false), 0);
                assert_int_equal(o.objects[0].reason, over ? REASON_Invalid : REASON_None);
        }
}

/* ---- from set to set ---- */

#define MAP(name, more) "{apiVersion: v1, kind: ConfigMap, metadata: {name: " name "}" more "}\n"

static void objects_go_with_their_files(void **state) {
        _cleanup_objects_ Objects from = { 0 }, to = { 0 };
        const char *bytes;

        (void)state;
        read_text(&from, "gone", MAP("x", ""));
        read_text(&from, "one", MAP("a", ", data: {k: v}"));
        read_text(&from, "two", MAP("b", ", data: [], data: {k: 1}"));
        read_text(&from, "three", MAP("a", ", data: {k: v}"));
        read_text(&from, "stays", MAP("s", ", data: []"));
        assert_int_equal(objects_finish(&from), 0);
        assert_int_equal(from.objects[3].same_as, 1);
        bytes = from.objects[3].bytes;
        read_text(&to, "zero", MAP("z", ""));
        assert_int_equal(objects_move(&from, 2, &to), 0);
        assert_int_equal(objects_move(&from, 3, &to), 0);
        assert_int_equal(to.objects[2].same_as, 2);
        read_text(&to, "four", MAP("c", ""));
        assert_int_equal(objects_finish(&to), 0);
        assert_int_equal(to.n_objects, 4);
        assert_int_equal(to.n_files, 4);
        for (size_t i = 0; i < to.n_objects; i++) {
                assert_int_equal(to.objects[i].file, i);
                assert_int_equal(to.objects[i].same_as, i);
        }
        assert_ptr_equal(objects_find(&to, OBJECT_CONFIGMAP, "default", "a"), &to.objects[2]);
        assert_ptr_equal(to.objects[2].bytes, bytes);
        assert_string_equal(to.files[2].name, "three");
        assert_true(to.files[2].complete);
        /* An invalid one, with what is wrong with it. */
        assert_null(objects_find(&to, OBJECT_CONFIGMAP, "default", "b"));
        assert_int_equal(to.objects[1].reason, REASON_Invalid);
        assert_int_equal(to.objects[1].diags.n_errors, 1);
        assert_int_equal(to.objects[1].diags.n_warnings, 1);
        assert_string_equal(to.files[1].name, "two");
        assert_false(to.files[1].complete);
}

/* Whichever set holds it, it is held once. */
static int move_one(void *user) {
        _cleanup_objects_ Objects from = { 0 }, to = { 0 };
        static const char text[] = MAP("a", ", data: {k: v}");
        int r = objects_read(&from, "one", text, strlen(text), false);

        (void)user;
        if (r < 0)
                return r;
        r = objects_move(&from, 0, &to);
        if (r < 0)
                assert_true(from.objects[0].bytes && from.files[0].name && to.n_objects + to.n_files == 0);
        return r;
}

static void no_memory_for_a_move(void **state) {
        (void)state;
        (void)test_oom(move_one, NULL);
}

/* ---- nodes ---- */

static const struct NodeRow {
        const char *what, *text, *want; /* NULL: a node */
} node_rows[] = {
        { "a node", "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {a: b}}\n", NULL },
        { "a node in JSON",
          "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"labels\":{\"a\":\"b\"}}}", NULL },
        { "nothing", "", "n.yaml: holds 0 objects: exactly one Node is wanted" },
        { "two nodes",
          "{apiVersion: v1, kind: Node, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: b}}\n",
          "n.yaml: holds 2 objects: exactly one Node is wanted" },
        { "a pod", "apiVersion: v1\nkind: Pod\n",
          "n.yaml:1:1: not a Node: kind Node of apiVersion v1 is wanted, this is Pod" },
        { "a node of another group", "apiVersion: example.com/v1\nkind: Node\n",
          "n.yaml:1:1: not a Node: kind Node of apiVersion v1 is wanted, this is Node" },
        { "a list", "[1]\n", "n.yaml:1:1: not a Node: kind Node of apiVersion v1 is wanted, this is a list" },
        { "a text", "text\n", "n.yaml:1:1: not a Node: kind Node of apiVersion v1 is wanted, this is a text" },
        { "no name", "apiVersion: v1\nkind: Node\nmetadata: {labels: {a: b}}\n",
          "n.yaml:1:1: metadata.name: required" },
        { "an empty name", "apiVersion: v1\nkind: Node\nmetadata: {name: ''}\n",
          "n.yaml:1:1: metadata.name: required" },
};

static void node_row(void **state) {
        const struct NodeRow *row = *state;
        _cleanup_(node_view_done) NodeView node = { 0 };
        Err err = { 0 };
        int r = objects_read_node("n.yaml", row->text, strlen(row->text), &node, &err);

        if (row->want) {
                assert_int_equal(r, -EBADMSG);
                assert_string_equal(err.message, row->want);
        } else {
                assert_int_equal(r, 0);
                assert_string_equal(node.name, "n1");
                assert_string_equal(node_view_label(&node, "a"), "b");
        }
}

static void a_node_with_a_mistake_is_refused_with_its_place(void **state) {
        NodeView node = { 0 };
        Err err = { 0 };
        const char *text = "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n  labels: [a]\n";

        (void)state;
        assert_int_equal(objects_read_node("n.yaml", text, strlen(text), &node, &err), -EBADMSG);
        assert_true(startswith(err.message, "n.yaml:5:11: metadata.labels: "));
        err = (Err){ 0 };
        text = "kind: Node\n\tx: y\n";
        assert_int_equal(objects_read_node("n.yaml", text, strlen(text), &node, &err), -EBADMSG);
        assert_true(startswith(err.message, "n.yaml:2:"));
}

/* ---- no memory ---- */

static void with_no_memory(int (*body)(void *user), const char *text) {
        _cleanup_free_ char *copy = strdup(text);

        assert_non_null(copy);
        test_oom(body, copy);
}

static int read_all(void *user) {
        const char *text = user;
        _cleanup_objects_ Objects o = { 0 };
        int r = objects_read(&o, "first", text, strlen(text), true);

        /* Nothing half-read stays. */
        if (r < 0)
                assert_true(o.n_files + o.n_objects + o.n_skipped == 0);
        if (r == 0)
                r = objects_read(&o, "second", text, strlen(text), false);
        if (r == 0)
                r = objects_add_unreadable(&o, "third", "why");
        if (r == 0)
                r = objects_finish(&o);
        return r;
}

static void no_memory_for_objects(void **state) {
        (void)state;
        with_no_memory(read_all,
                       "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, "
                       "data: {a: b, a: c}}\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: AAAA}, "
                       "stringData: {b: c, a: d}}\n- {apiVersion: v1, kind: Service}\n- {}\n---\n"
                       "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: d}}\n");
        with_no_memory(read_all, DAEMONSET("extensions/v1beta1", "minReadySeconds: -1",
                                           ", volumes: [{name: v}, {name: w, x: y}], dnsPolicy: x"));
        with_no_memory(read_all, DAEMONSET("apps/v1beta2", "minReadySeconds: 1",
                                           ", volumes: [{name: v}], hostAliases: [{ip: '::'}]"));
        with_no_memory(read_all, DAEMONSET("apps/v7", "", ""));
        with_no_memory(read_all, "a: [\n");
}

static int read_node(void *user) {
        const char *text = user;
        _cleanup_(node_view_done) NodeView node = { 0 };
        Err err = { 0 };
        int r = objects_read_node("n", text, strlen(text), &node, &err);

        /* What is wrong with the text is told whatever happens; only success and no memory are of interest here. */
        return r == -EBADMSG ? 0 : r;
}

static void no_memory_for_a_node(void **state) {
        (void)state;
        with_no_memory(read_node, "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {a: b}}\n");
        with_no_memory(read_node, "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: [b]}\n");
}

static void read_set(Objects *o, const char *text) {
        assert_int_equal(objects_read(o, "x", text, strlen(text), false), 0);
        assert_int_equal(objects_finish(o), 0);
}

static void one_set_over_another(void **state) {
        _cleanup_objects_ Objects local = { 0 }, over = { 0 };
        const Object *a, *b, *c;

        (void)state;
        read_set(&local, "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata: {from: local}\n---\n"
                         "kind: ConfigMap\napiVersion: v1\nmetadata: {name: b}\n");
        read_set(&over, "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata: {from: over}\n---\n"
                        "kind: ConfigMap\napiVersion: v1\nmetadata: {name: c}\n---\n"
                        "kind: ConfigMap\napiVersion: v1\nmetadata: {name: b}\ndata: {invalid: 1}\n");
        local.over = &over;
        a = objects_find(&local, OBJECT_CONFIGMAP, "default", "a");
        b = objects_find(&local, OBJECT_CONFIGMAP, "default", "b");
        c = objects_find(&local, OBJECT_CONFIGMAP, "default", "c");
        assert_ptr_equal(a, &over.objects[0]);
        assert_ptr_equal(b, &local.objects[1]); /* that of the other is not usable */
        assert_ptr_equal(c, &over.objects[1]);
        assert_null(objects_find(&local, OBJECT_SECRET, "default", "c"));
        assert_int_equal(objects_count(&local), 5);
        assert_int_equal(objects_place(&local, &local.objects[0]), 0);
        assert_int_equal(objects_place(&local, b), 1);
        assert_int_equal(objects_place(&local, a), 2);
        assert_int_equal(objects_place(&local, c), 3);
        assert_int_equal(objects_place(&local, &over.objects[2]), 4);
}

/* ---- main ---- */

static const struct CMUnitTest plain[] = {
        cmocka_unit_test(scheduling_is_compiled),
        cmocka_unit_test(the_annotation_of_the_handover),
        cmocka_unit_test(definitions_that_differ_are_all_refused),
        cmocka_unit_test(equal_definitions_count_once),
        cmocka_unit_test(three_definitions_name_every_place),
        cmocka_unit_test(very_many_definitions),
        cmocka_unit_test(an_invalid_object_is_not_found),
        cmocka_unit_test(a_file_that_could_not_be_had),
        cmocka_unit_test(more_duplicate_keys_than_are_kept),
        cmocka_unit_test(data_that_is_too_large),
        cmocka_unit_test(a_secret_that_is_too_large),
        cmocka_unit_test(a_node_with_a_mistake_is_refused_with_its_place),
        cmocka_unit_test(one_set_over_another),
        cmocka_unit_test(objects_go_with_their_files),
        cmocka_unit_test(no_memory_for_a_move),
        cmocka_unit_test(no_memory_for_objects),
        cmocka_unit_test(no_memory_for_a_node),
};

enum { MAX_TESTS = 512 };
static struct CMUnitTest tests[MAX_TESTS];
static size_t n_tests;

static void add(const char *name, CMUnitTestFunction function, const void *row) {
        assert_true(n_tests < MAX_TESTS);
        tests[n_tests++] = (struct CMUnitTest){ .name = name, .test_func = function, .initial_state = (void *)row };
}

int main(void) {
        size_t n;
        char **names = test_names("cases/objects", &n);
        int failed;

        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                tests[n_tests++] = plain[i];
        for (size_t i = 0; i < ARRAY_SIZE(bytes_rows); i++)
                add(bytes_rows[i].what, bytes_row, &bytes_rows[i]);
        for (size_t i = 0; i < ARRAY_SIZE(node_rows); i++)
                add(node_rows[i].what, node_row, &node_rows[i]);
        for (size_t i = 0; i < n; i++)
                if (strlen(names[i]) > 5 && streq(names[i] + strlen(names[i]) - 5, ".yaml"))
                        add(names[i], case_row, names[i]);
        failed = _cmocka_run_group_tests("objects", tests, n_tests, NULL, NULL);
        test_names_free(names, n);
        return failed;
}
