/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "core/manifest.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

static char *repeat(char c, size_t n) {
        char *s = malloc(n + 1);

        assert_non_null(s);
        memset(s, c, n);
        s[n] = 0;
        return s;
}

/* ---- file names ---- */

static const struct NameRow {
        const char *name;
        const char *namespace, *pod;
        const char *want; /* NULL: -EINVAL */
} name_rows[] = {
        { "a plain name", "kube-system", "kube-proxy", "daemonlet_kube-system_kube-proxy.json" },
        { "a name with dots", "default", "a.b", "daemonlet_default_a.b.json" },
        { "a name like a suffix", "default", "x.json", "daemonlet_default_x.json.json" },
        { "digits first", "0", "0", "daemonlet_0_0.json" },
        { "an empty namespace", "", "a", NULL },
        { "an empty name", "a", "", NULL },
        { "a slash", "a", "../b", NULL },
        { "a slash inside", "a", "b/c", NULL },
        { "a slash in the namespace", "a/b", "c", NULL },
        { "an underscore", "a", "b_c", NULL },
        { "an underscore in the namespace", "a_b", "c", NULL },
        { "a leading dot", "a", ".b", NULL },
        { "a leading dot in the namespace", ".a", "b", NULL },
        { "a newline", "a", "b\nc", NULL },
        { "a control character", "a", "b\x01", NULL },
        { "a delete character", "a", "b\x7f", NULL },
        { "upper case", "a", "B", NULL },
        { "a character beyond ASCII", "a", "\xc3\xa4", NULL },
        { "a space", "a", "b c", NULL },
};

static void file_name_row(void **state) {
        const struct NameRow *row = *state;
        char got[MANIFEST_NAME_MAX + 1] = "untouched";
        int r = manifest_file_name(row->namespace, row->pod, got);

        if (row->want) {
                assert_int_equal(r, 0);
                assert_string_equal(got, row->want);
                assert_true(manifest_name_is_ours(got));
        } else {
                assert_int_equal(r, -EINVAL);
                assert_string_equal(got, "untouched");
        }
}

static void file_name_of_255_bytes_is_whole(void **state) {
        /* 10 + 11 + 1 + name + 5 */
        _cleanup_free_ char *name = repeat('a', 255 - 27);
        char got[MANIFEST_NAME_MAX + 1], want[MANIFEST_NAME_MAX + 1];

        (void)state;
        assert_int_equal(manifest_file_name("kube-system", name, got), 0);
        assert_int_equal(strlen(got), 255);
        (void)snprintf(want, sizeof(want), "daemonlet_kube-system_%s.json", name);
        assert_string_equal(got, want);
        assert_true(manifest_name_is_ours(got));
}

static void file_name_of_256_bytes_is_cut_with_a_hash(void **state) {
        _cleanup_free_ char *name = repeat('a', 256 - 27), *kept = repeat('a', 255 - 27 - 17);
        char got[MANIFEST_NAME_MAX + 1], want[MANIFEST_NAME_MAX + 1];

        (void)state;
        assert_int_equal(manifest_file_name("kube-system", name, got), 0);
        assert_int_equal(strlen(got), 255);
        /* head -c 229 /dev/zero | tr '\0' a | sha256sum | head -c 16 */
        (void)snprintf(want, sizeof(want), "daemonlet_kube-system_%s_%s.json", kept, "2fb73fce55178544");
        assert_string_equal(got, want);
        assert_true(manifest_name_is_ours(got));
}

static void long_file_names_differ(void **state) {
        _cleanup_free_ char *a = repeat('a', 253), *b = repeat('a', 253), *namespace = repeat('n', 63);
        char x[MANIFEST_NAME_MAX + 1], y[MANIFEST_NAME_MAX + 1];

        (void)state;
        b[252] = 'b';
        assert_int_equal(manifest_file_name(namespace, a, x), 0);
        assert_int_equal(manifest_file_name(namespace, b, y), 0);
        assert_int_equal(strlen(x), 255);
        assert_string_not_equal(x, y);
        assert_true(manifest_name_is_ours(x));
        assert_true(manifest_name_is_ours(y));
}

static void namespace_that_leaves_no_room_is_refused(void **state) {
        _cleanup_free_ char *fits = repeat('n', 255 - 16 - 17 - 1), *too_long = repeat('n', 255 - 16 - 17),
                            *name = repeat('a', 100);
        char got[MANIFEST_NAME_MAX + 1];

        (void)state;
        assert_int_equal(manifest_file_name(fits, name, got), 0);
        assert_int_equal(strlen(got), 255);
        assert_int_equal(manifest_file_name(too_long, name, got), -EINVAL);
}

static const struct OursRow {
        const char *name, *file;
        bool want;
} ours_rows[] = {
        { "our pattern", "daemonlet_a_b.json", true },
        { "dots in the name", "daemonlet_a_b.c.json", true },
        { "a file of kubeadm", "kube-apiserver.yaml", false },
        { "nothing", "", false },
        { "the prefix alone", "daemonlet_", false },
        { "no name", "daemonlet_a_.json", false },
        { "no namespace", "daemonlet__b.json", false },
        { "one part", "daemonlet_a.json", false },
        { "three parts", "daemonlet_a_b_c.json", false },
        { "a hash behind a name that needs none", "daemonlet_a_b_0123456789abcdef.json", false },
        { "a backup", "daemonlet_a_b.json.bak", false },
        { "a backup with a tilde", "daemonlet_a_b.json~", false },
        { "yaml", "daemonlet_a_b.yaml", false },
        { "no suffix", "daemonlet_a_b", false },
        { "upper case", "daemonlet_A_b.json", false },
        { "the temporary prefix", ".daemonlet-a_b.json", false },
        { "a leading dot", ".daemonlet_a_b.json", false },
        { "a dot in front of the name", "daemonlet_a_.b.json", false },
        { "a name that is only a suffix", "daemonlet_a_json", false },
};

static void ours_row(void **state) {
        const struct OursRow *row = *state;

        assert_int_equal(manifest_name_is_ours(row->file), row->want);
}

static void shortened_name_needs_hash_and_length(void **state) {
        _cleanup_free_ char *cut = repeat('a', 255 - 27 - 17);
        char file[300];

        (void)state;
        (void)snprintf(file, sizeof(file), "daemonlet_kube-system_%s_0123456789abcdef.json", cut);
        assert_true(manifest_name_is_ours(file));
        (void)snprintf(file, sizeof(file), "daemonlet_kube-system_%s_0123456789abcdeg.json", cut);
        assert_false(manifest_name_is_ours(file));
        (void)snprintf(file, sizeof(file), "daemonlet_kube-system_%s_0123456789abcde.json", cut);
        assert_false(manifest_name_is_ours(file));
        (void)snprintf(file, sizeof(file), "daemonlet_kube-system_%sa_0123456789abcdef.json", cut);
        assert_false(manifest_name_is_ours(file));
}

static cJSON *parse(const char *text) {
        cJSON *tree = NULL;
        Err err = { "" };
        Place place;

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

/* ---- identity ---- */

/* The value of a line "key<TAB>value" of the vectors. */
static void vector(const char *key, char *ret, size_t size) {
        _cleanup_free_ char *text = test_read("cases/render/vectors/expected.tsv", NULL);
        size_t len = strlen(key);

        for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (startswith(line, key) && line[len] == '\t') {
                        assert_true(strlen(line + len + 1) < size);
                        memcpy(ret, line + len + 1, strlen(line + len + 1) + 1);
                        return;
                }
        fail_msg("no vector %s", key);
}

static void identity_is_that_of_the_vectors(void **state) {
        _cleanup_free_ char *text = test_read("cases/render/vectors/pod.json", NULL),
                            *content = test_read("cases/render/vectors/revision.preimage", NULL);
        _cleanup_json_ cJSON *pod = parse(text);
        char revision[REVISION_HEX + 1], uid[37], want[64];
        _cleanup_free_ char *left = NULL;

        (void)state;
        assert_int_equal(manifest_identity(pod, "node-1", revision, uid), 0);
        vector("revision", want, sizeof(want));
        assert_string_equal(revision, want);
        vector("uid", want, sizeof(want));
        assert_string_equal(uid, want);
        left = json_canonical_text(pod, NULL);
        assert_string_equal(left, content);
}

static void uid_depends_on_the_node_and_revision_does_not(void **state) {
        _cleanup_free_ char *text = test_read("cases/render/vectors/pod.json", NULL);
        _cleanup_json_ cJSON *pod = parse(text);
        char a[REVISION_HEX + 1], b[REVISION_HEX + 1], x[37], y[37];

        (void)state;
        assert_int_equal(manifest_identity(pod, "node-1", a, x), 0);
        assert_int_equal(manifest_identity(pod, "node-2", b, y), 0);
        assert_string_equal(a, b);
        assert_string_not_equal(x, y);
}

static void identity_of_a_tree_without_metadata(void **state) {
        _cleanup_json_ cJSON *pod = parse("{\"metadata\":1}"), *none = parse("{}");
        char revision[REVISION_HEX + 1], uid[37];

        (void)state;
        assert_int_equal(manifest_identity(pod, "n", revision, uid), 0);
        assert_int_equal(manifest_identity(none, "n", revision, uid), 0);
        /* printf '{}' | sha256sum */
        assert_string_equal(revision, "44136fa355b3678a");
}

/* ---- reading ---- */

#define POD "\"apiVersion\":\"v1\",\"kind\":\"Pod\""

static const struct ParseRow {
        const char *name, *text;
        const char *want; /* "namespace/name daemonset input revision uid grace verifies", "-" for NULL; NULL: no pod */
} parse_rows[] = {
        { "a foreign pod", "{" POD ",\"metadata\":{\"name\":\"a\"}}", "default/a - - - - 30 no" },
        { "all of it",
          "{" POD ",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"uid\":\"u\",\"annotations\":{"
          "\"daemonlet.io/daemonset\":\"n/a\",\"daemonlet.io/input\":\"i\",\"daemonlet.io/revision\":\"r\"}},"
          "\"spec\":{\"terminationGracePeriodSeconds\":5}}",
          "n/a n/a i r u 5 no" },
        { "white space around", "\n {" POD ",\"metadata\":{\"name\":\"a\"}}\n\n", "default/a - - - - 30 no" },
        { "an empty namespace", "{" POD ",\"metadata\":{\"name\":\"a\",\"namespace\":\"\"}}",
          "default/a - - - - 30 no" },
        { "a grace of 0", "{" POD ",\"metadata\":{\"name\":\"a\"},\"spec\":{\"terminationGracePeriodSeconds\":0}}",
          "default/a - - - - 0 no" },
        { "a negative grace", "{" POD ",\"metadata\":{\"name\":\"a\"},\"spec\":{\"terminationGracePeriodSeconds\":-9}}",
          "default/a - - - - 1 no" },
        { "duplicate keys", "{" POD ",\"metadata\":{\"name\":\"b\",\"name\":\"a\"}}", "default/a - - - - 30 no" },
        { "nulls", "{" POD ",\"metadata\":{\"name\":\"a\",\"annotations\":null,\"namespace\":null},\"spec\":null}",
          "default/a - - - - 30 no" },
        { "annotations of another type", "{" POD ",\"metadata\":{\"name\":\"a\",\"annotations\":[1]}}",
          "default/a - - - - 30 no" },
        { "YAML", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec: {terminationGracePeriodSeconds: 7}\n",
          "default/a - - - - 7 no" },
        { "the first of several documents",
          "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n",
          "default/a - - - - 30 no" },
        { "a broken second document",
          "# comment\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n}{: broken\n\t-",
          "default/a - - - - 30 no" },
        { "nothing", "", NULL },
        { "white space", " \n", NULL },
        { "cut JSON", "{" POD ",\"metadata\":{\"name\":\"a\"", NULL },
        { "garbage",
          "\x7f"
          "ELF\x01\x02\xff\xfe",
          NULL },
        { "a number", "17", NULL },
        { "a list", "[{" POD "}]", NULL },
        { "a List", "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[]}", NULL },
        { "another kind", "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"a\"}}", NULL },
        { "another version", "{\"apiVersion\":\"v2\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}", NULL },
        { "no name", "{" POD ",\"metadata\":{}}", NULL },
        { "an empty name", "{" POD ",\"metadata\":{\"name\":\"\"}}", NULL },
        { "a name that is a number", "{" POD ",\"metadata\":{\"name\":1}}", NULL },
        { "no metadata", "{" POD "}", NULL },
        { "only separators", "---\n---\n---\n---\n---\n---\n}{", NULL },
};

static const char *dash(const char *s) {
        return s ? s : "-";
}

static void parse_row(void **state) {
        const struct ParseRow *row = *state;
        _cleanup_(manifest_done) Manifest m = { 0 };
        _cleanup_buf_ Buf got = BUF_INIT;

        assert_int_equal(manifest_parse(row->text, strlen(row->text), &m), 0);
        assert_int_equal(m.is_pod, row->want != NULL);
        if (!row->want) {
                assert_null(m.name);
                return;
        }
        buf_printf(&got, "%s/%s %s %s %s %s %d %s", m.namespace, m.name, dash(m.daemonset), dash(m.input),
                   dash(m.revision), dash(m.uid), (int)m.grace, m.verifies ? "yes" : "no");
        assert_string_equal(buf_text(&got), row->want);
}

static void parse_no_bytes(void **state) {
        _cleanup_(manifest_done) Manifest m = { 0 };

        (void)state;
        assert_int_equal(manifest_parse(NULL, 0, &m), 0);
        assert_false(m.is_pod);
}

static void parse_takes_what_a_kubelet_loads(void **state) {
        static const char pod[] = "{" POD ",\"metadata\":{\"name\":\"a\"}}";
        _cleanup_free_ char *text = repeat(' ', MANIFEST_KUBELET_MAX);
        _cleanup_(manifest_done) Manifest fits = { 0 }, too_large = { 0 };

        (void)state;
        memcpy(text, pod, sizeof(pod) - 1);
        assert_int_equal(manifest_parse(text, MANIFEST_KUBELET_MAX - 1, &fits), 0);
        assert_true(fits.is_pod);
        assert_int_equal(manifest_parse(text, MANIFEST_KUBELET_MAX, &too_large), 0);
        assert_false(too_large.is_pod);
}

/* A pod with its identity, as a renderer makes it. */
static char *identified_pod(void) {
        _cleanup_json_ cJSON *pod = parse(
                "{" POD ",\"metadata\":{\"annotations\":{\"daemonlet.io/daemonset\":\"n/a\"},"
                "\"name\":\"a\",\"namespace\":\"n\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                "\"ports\":[{\"hostPort\":80}]}]}}");
        cJSON *metadata = json_get_mutable(pod, "metadata");
        char revision[REVISION_HEX + 1], uid[37], *text;

        assert_int_equal(manifest_identity(pod, "node-1", revision, uid), 0);
        assert_true(json_add_string(metadata, "uid", uid));
        assert_true(json_add_string(json_get_mutable(metadata, "annotations"), ANNOTATION_REVISION, revision));
        text = json_canonical_text(pod, NULL);
        assert_non_null(text);
        return text;
}

static void revision_verifies_what_was_not_changed(void **state) {
        _cleanup_free_ char *text = identified_pod();
        _cleanup_(manifest_done) Manifest whole = { 0 }, changed = { 0 };

        (void)state;
        assert_int_equal(manifest_parse(text, strlen(text), &whole), 0);
        assert_true(whole.verifies);
        assert_int_equal(whole.n_ports, 1);
        assert_int_equal(whole.ports[0].port, 80);
        strstr(text, "\"hostPort\":80")[strlen("\"hostPort\":")] = '9';
        assert_int_equal(manifest_parse(text, strlen(text), &changed), 0);
        assert_true(changed.is_pod);
        assert_false(changed.verifies);
}

/* ---- out of memory ---- */

static int oom_parse(void *text) {
        Manifest m = { 0 };
        int r = manifest_parse(text, strlen(text), &m);

        if (r == 0)
                manifest_done(&m);
        return r;
}

static int oom_file_name(void *name) {
        char file[MANIFEST_NAME_MAX + 1];

        return manifest_file_name("kube-system", name, file);
}

static int oom_identity(void *pod) {
        char revision[REVISION_HEX + 1], uid[37];

        return manifest_identity(pod, "node-1", revision, uid);
}

static void out_of_memory(void **state) {
        _cleanup_free_ char *pod = identified_pod(), *name = repeat('a', 250);
        _cleanup_json_ cJSON *tree = parse(pod);
        char yaml[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", garbage[] = "apiVersion: v1\n---\n}{";

        (void)state;
        test_oom(oom_parse, pod);
        test_oom(oom_parse, yaml);
        test_oom(oom_parse, garbage);
        test_oom(oom_file_name, name);
        test_oom(oom_identity, tree);
}

/* ---- all of it ---- */

static struct CMUnitTest tests[256];
static char names[256][128];
static size_t n_tests;

static void add(const char *what, const char *name, CMUnitTestFunction function, const void *row) {
        assert_true(n_tests < ARRAY_SIZE(tests));
        (void)snprintf(names[n_tests], sizeof(names[0]), "%s: %s", what, name);
        tests[n_tests] = (struct CMUnitTest){ names[n_tests], function, NULL, NULL, (void *)(uintptr_t)row };
        n_tests++;
}

#define ADD_ROWS(what, rows, function)                                                                                 \
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)                                                                  \
        add(what, (rows)[i].name, function, &(rows)[i])
#define ADD(what, function) add(what, #function, function, NULL)

int main(void) {
        ADD_ROWS("file name", name_rows, file_name_row);
        ADD("file name", file_name_of_255_bytes_is_whole);
        ADD("file name", file_name_of_256_bytes_is_cut_with_a_hash);
        ADD("file name", long_file_names_differ);
        ADD("file name", namespace_that_leaves_no_room_is_refused);
        ADD_ROWS("ours", ours_rows, ours_row);
        ADD("ours", shortened_name_needs_hash_and_length);
        ADD("identity", identity_is_that_of_the_vectors);
        ADD("identity", uid_depends_on_the_node_and_revision_does_not);
        ADD("identity", identity_of_a_tree_without_metadata);
        ADD_ROWS("parse", parse_rows, parse_row);
        ADD("parse", parse_no_bytes);
        ADD("parse", parse_takes_what_a_kubelet_loads);
        ADD("parse", revision_verifies_what_was_not_changed);
        ADD("memory", out_of_memory);
        return _cmocka_run_group_tests("manifest", tests, n_tests, NULL, NULL);
}
