/* SPDX-License-Identifier: Apache-2.0 */
/* The hash of what a pod was rendered from: what changes it restarts the pod, and nothing else may. */
#include "render_objects.h"

#include <stdio.h>

/* ---- hashes that were worked out with another program ---- */

static const char set_text[] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: kube-system}\n"
                               "data: {a: 1$, b: \"\\\"x\\\"\\n\", unused: u}\n"
                               "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: kube-system}\n"
                               "data: {p: aGlkZGVuJA==, unused: dQ==}\n"; /* hidden$ */

static char *input_template(const char *vector) {
        char path[128];
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ cJSON *tree = NULL;
        _cleanup_buf_ Buf object = BUF_INIT;

        (void)snprintf(path, sizeof(path), "cases/render/vectors/%s.preimage", vector);
        text = test_read(path, NULL);
        tree = parse(text);
        buf_str(&object, "{\"spec\":{\"template\":");
        json_canonical(json_get(tree, "template"), &object);
        buf_str(&object, "}}");
        return canonical(buf_text(&object));
}

/* Keys of the configuration that are not used do not count, whatever they say. */
static const struct InputRow {
        const char *vector;
        bool inline_secrets;
        const char *api_server;
} input_rows[] = {
        { "input", false, NULL },
        { "input", true, NULL },
        { "input-api-server", true, "10.0.0.1:6443" },
        { "input-config-map", false, NULL },
        { "input-config-map", true, NULL },
        { "input-everything", true, "10.0.0.1:6443" },
        { "input-secret-inline", true, NULL },
        { "input-secret-refuse", false, NULL },
        { "input-volumes", true, NULL },
};

static void input_row(void **state) {
        const struct InputRow *row = *state;
        _cleanup_free_ char *bytes = input_template(row->vector),
                            *expected = test_read("cases/render/vectors/expected.tsv", NULL);
        _cleanup_(rendered_done) Rendered got = { 0 };
        _cleanup_objects_ Objects set = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();
        char line[128];

        read_set(set_text, &set);
        o.objects = &set;
        o.secret_env_inline = row->inline_secrets;
        o.api_server = row->api_server;
        assert_int_equal(render(&object, &o, &got), 0);
        assert_string_equal(str_or_empty(got.message), "");
        (void)snprintf(line, sizeof(line), "\n%s\t%s\n", row->vector, got.input);
        if (!strstr(expected, line))
                fail_msg("another input:%s", line);
}

/* ---- what counts ---- */

static void input_is_that_of_every_node(void **state) {
        _cleanup_free_ char *bytes = template_bytes(NULL, "\"hostPID\":true", NULL);
        _cleanup_(rendered_done) Rendered here = { 0 }, there = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        assert_int_equal(render(&object, &o, &here), 0);
        o.node_name = "node-2";
        assert_int_equal(render(&object, &o, &there), 0);
        assert_string_equal(there.input, here.input);
        assert_string_equal(there.revision, here.revision);
        assert_string_not_equal(there.uid, here.uid);
}

static void input_sees_what_is_dropped(void **state) {
        _cleanup_free_ char *a = template_bytes(NULL, "\"nodeSelector\":{\"a\":\"b\"}", NULL),
                            *b = template_bytes(NULL, NULL, NULL);
        _cleanup_(rendered_done) Rendered with = { 0 }, without = { 0 };
        Object x = daemonset(a), y = daemonset(b);
        RenderOptions o = options();

        (void)state;
        assert_int_equal(render(&x, &o, &with), 0);
        assert_int_equal(render(&y, &o, &without), 0);
        assert_string_not_equal(with.input, without.input);
}

/* What a change of the world around a DaemonSet does to its input, and so to the bytes of its pod. */
static const struct ChangeRow {
        const char *name, *spec, *container;
        const char *from, *to; /* in the text of the set; NULL: no change there */
        RenderOptions options; /* what is set counts the second time */
        bool input, hash;      /* whether it changes the input; and a volume's content */
} change_rows[] = {
#define MOUNTED "\"volumes\":[{\"configMap\":{\"name\":\"c\"},\"name\":\"v\"}]"
#define MOUNTED_SECRET "\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"s\"}}]"
#define INLINED(kind, name, key, rest)                                                                                 \
        "\"env\":[{\"name\":\"E\",\"valueFrom\":{\"" kind "KeyRef\":{\"key\":\"" key "\",\"name\":\"" name "\"" rest   \
        "}}}]"
#define ALL_INLINED "\"envFrom\":[{\"configMapRef\":{\"name\":\"c\"}}]"
        { "nothing", MOUNTED, INLINED("configMap", "c", "a", ""), NULL, NULL, { 0 }, false, false },
        { "an inlined value", NULL, INLINED("configMap", "c", "a", ""), "1$", "2$", { 0 }, true, false },
        { "an inlined value of a Secret", NULL, INLINED("secret", "s", "p", ""), "aGlk", "eGlk", { 0 }, true, false },
        { "another key of its object",
          NULL,
          INLINED("configMap", "c", "a", ""),
          "unused: u",
          "used: v",
          { 0 },
          false,
          false },
        { "any key of envFrom", NULL, ALL_INLINED, "unused: u}", "unused: v}", { 0 }, true, false },
        { "a new key of envFrom", NULL, ALL_INLINED, "unused: u}", "unused: u, new: n}", { 0 }, true, false },
        { "a key that an optional entry lacked",
          NULL,
          INLINED("configMap", "c", "new", ",\"optional\":true"),
          "unused: u}",
          "new: n}",
          { 0 },
          true,
          false },
        { "a value that is mounted only", MOUNTED, NULL, "1$", "2$", { 0 }, false, true },
        { "a Secret's value that is mounted only", MOUNTED_SECRET, NULL, "aGlk", "eGlk", { 0 }, false, true },
        { "a value that is inlined and mounted",
          MOUNTED,
          INLINED("configMap", "c", "a", ""),
          "1$",
          "2$",
          { 0 },
          true,
          true },
        { "an object that is not used",
          MOUNTED,
          INLINED("configMap", "c", "a", ""),
          "aGlk",
          "eGlk",
          { 0 },
          false,
          false },
        { "the CA",
          "\"serviceAccountName\":\"default\"",
          NULL,
          NULL,
          NULL,
          { .ca_crt = "ca", .ca_crt_len = 2 },
          false,
          true },
        { "the CA without a token's directory",
          MOUNTED,
          NULL,
          NULL,
          NULL,
          { .ca_crt = "ca", .ca_crt_len = 2 },
          false,
          false },
        { "volumes_dir", MOUNTED, NULL, NULL, NULL, { .volumes_dir = "/else" }, true, false },
        { "volumes_dir with a token's directory",
          "\"automountServiceAccountToken\":true",
          NULL,
          NULL,
          NULL,
          { .volumes_dir = "/else" },
          true,
          false },
        { "volumes_dir where nothing is materialised",
          NULL,
          INLINED("configMap", "c", "a", ""),
          NULL,
          NULL,
          { .volumes_dir = "/else" },
          false,
          false },
        { "volumes_dir with volumes of the kubelet",
          "\"volumes\":[{\"hostPath\":{\"path\":\"/h\"},\"name\":\"h\"},{\"name\":\"p\",\"projected\":{\"sources\":"
          "[{\"downwardAPI\":{\"items\":[{\"fieldRef\":{\"fieldPath\":\"metadata.name\"},\"path\":\"n\"}]}}]}}]",
          NULL,
          NULL,
          NULL,
          { .volumes_dir = "/else" },
          false,
          false },
        { "api_server", NULL, NULL, NULL, NULL, { .api_server = "h:1" }, true, false },
        { "api_server where it is not injected",
          NULL,
          "\"env\":[{\"name\":\"KUBERNETES_SERVICE_PORT\",\"value\":\"1\"}]",
          NULL,
          NULL,
          { .api_server = "h:1" },
          false,
          false },
        { "secret_env without a Secret in the environment",
          MOUNTED_SECRET,
          INLINED("configMap", "c", "a", ""),
          NULL,
          NULL,
          { .secret_env_inline = true },
          false,
          false },
        { "secret_env with an optional Secret that is missing",
          NULL,
          INLINED("secret", "no", "p", ",\"optional\":true"),
          NULL,
          NULL,
          { .secret_env_inline = true },
          true,
          false },
        { "secret_env with one in an init container",
          "\"initContainers\":[{\"name\":\"i\",\"image\":\"i:1\",\"envFrom\":[{\"secretRef\":{\"name\":\"no\","
          "\"optional\":true}}]}]",
          NULL,
          NULL,
          NULL,
          { .secret_env_inline = true },
          true,
          false },
};

static RenderOptions changed(RenderOptions o, const RenderOptions *by) {
        o.secret_env_inline |= by->secret_env_inline;
        o.api_server = by->api_server ? by->api_server : o.api_server;
        o.volumes_dir = by->volumes_dir ? by->volumes_dir : o.volumes_dir;
        o.ca_crt = by->ca_crt;
        o.ca_crt_len = by->ca_crt_len;
        return o;
}

static void change_row(void **state) {
        const struct ChangeRow *row = *state;
        _cleanup_free_ char *bytes = template_bytes(NULL, row->spec, row->container);
        _cleanup_(rendered_done) Rendered first = { 0 }, second = { 0 };
        _cleanup_objects_ Objects before = { 0 }, after = { 0 };
        const char *at = row->from ? strstr(set_text, row->from) : set_text;
        _cleanup_buf_ Buf text = BUF_INIT;
        Object object = daemonset(bytes);
        RenderOptions o = options();

        assert_non_null(at);
        buf_add(&text, set_text, (size_t)(at - set_text));
        buf_str(&text, str_or_empty(row->to));
        buf_str(&text, at + strlen(str_or_empty(row->from)));
        read_set(set_text, &before);
        read_set(buf_text(&text), &after);
        /* A Secret in the environment is refused unless it is told, which some rows do the second time. */
        o.secret_env_inline = row->from && strstr(str_or_empty(row->container), "secretKeyRef");
        o.objects = &before;
        assert_int_equal(render(&object, &o, &first), 0);
        o = changed(o, &row->options);
        o.objects = &after;
        assert_int_equal(render(&object, &o, &second), 0);
        assert_string_equal(str_or_empty(first.message), "");
        assert_string_equal(str_or_empty(second.message), "");
        assert_int_equal(!streq(first.input, second.input), row->input);
        assert_int_equal(!streq(first.bytes, second.bytes), row->input);
        assert_int_equal(!streq(first.uid, second.uid), row->input);
        assert_int_equal(first.n_volumes, second.n_volumes);
        assert_true(first.n_volumes > 0 || !row->hash);
        for (size_t i = 0; i < first.n_volumes; i++)
                assert_int_equal(!streq(first.volumes[i].hash, second.volumes[i].hash), row->hash);
}

/* ---- all of it ---- */

static struct CMUnitTest tests[64];
static char names[64][160];
static size_t n_tests;

static void add(const char *what, const char *name, CMUnitTestFunction function, const void *row) {
        assert_true(n_tests < ARRAY_SIZE(tests));
        (void)snprintf(names[n_tests], sizeof(names[0]), "%s: %s", what, name);
        tests[n_tests] = (struct CMUnitTest){ names[n_tests], function, NULL, NULL, (void *)(uintptr_t)row };
        n_tests++;
}

#define ADD(what, function) add(what, #function, function, NULL)

int main(void) {
        for (size_t i = 0; i < ARRAY_SIZE(input_rows); i++)
                add("vector", input_rows[i].vector, input_row, &input_rows[i]);
        for (size_t i = 0; i < ARRAY_SIZE(change_rows); i++)
                add("change", change_rows[i].name, change_row, &change_rows[i]);
        ADD("what counts", input_is_that_of_every_node);
        ADD("what counts", input_sees_what_is_dropped);
        return _cmocka_run_group_tests("render input", tests, n_tests, NULL, NULL);
}
