/* SPDX-License-Identifier: Apache-2.0 */
/* The renderer's pod as a whole: its name and size, its identity, memory. */
#include "render_objects.h"

#include <stdio.h>

/* ---- the whole pod ---- */

static void pod_has_nothing_but_its_four_members(void **state) {
        _cleanup_free_ char *bytes = template_bytes(NULL, NULL, NULL);
        _cleanup_(rendered_done) Rendered got = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();
        _cleanup_json_ cJSON *pod = NULL;
        _cleanup_free_ char *again = NULL;
        size_t len;

        (void)state;
        assert_int_equal(render(&object, &o, &got), 0);
        pod = parse(got.bytes);
        assert_int_equal(cJSON_GetArraySize(pod), 4);
        assert_string_equal(json_string(pod, "apiVersion"), "v1");
        assert_string_equal(json_string(pod, "kind"), "Pod");
        /* canonical, with a newline at the end */
        again = json_canonical_text(pod, &len);
        assert_int_equal(got.len, len + 1);
        assert_memory_equal(got.bytes, again, len);
        assert_string_equal(got.bytes + len, "\n");
}

static void manifest_of_a_rendered_pod_verifies(void **state) {
        _cleanup_free_ char *bytes = template_bytes(NULL, "\"hostNetwork\":true",
                                                    "\"ports\":[{\"containerPort\":9100}]");
        _cleanup_(rendered_done) Rendered got = { 0 };
        _cleanup_(manifest_done) Manifest m = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        assert_int_equal(render(&object, &o, &got), 0);
        assert_int_equal(manifest_parse(got.bytes, got.len, &m), 0);
        assert_true(m.verifies);
        assert_string_equal(m.daemonset, "kube-system/agent");
        assert_string_equal(m.input, got.input);
        assert_string_equal(m.revision, got.revision);
        assert_string_equal(m.uid, got.uid);
        assert_int_equal(m.n_ports, 1);
        assert_int_equal(got.n_ports, 1);
        assert_int_equal(got.ports[0].port, 9100);
}

static const struct NodeRow {
        const char *name, *node;
        bool fits;
} node_rows[] = {
        { "name: a node's name in upper case", "Node-1", true },
        { "name: a node's name with dots", "ip-10-0-0-1.eu.compute.internal", true },
        /* "agent-" and 247 characters */
        { "name: 253 characters with the node's",
          "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
          "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
          "nnnnnnnnnnnnnnnnnnn",
          true },
        { "name: 254 characters with the node's",
          "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
          "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
          "nnnnnnnnnnnnnnnnnnnn",
          false },
        { "name: a node's name that is no DNS name", "node_1", false },
        { "name: a node's name that ends in a dash", "node-", false },
};

static void node_row(void **state) {
        const struct NodeRow *row = *state;
        _cleanup_free_ char *bytes = template_bytes(NULL, NULL, NULL);
        _cleanup_(rendered_done) Rendered got = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        o.node_name = row->node;
        assert_int_equal(render(&object, &o, &got), 0);
        assert_int_equal(got.status, row->fits ? RENDER_OK : RENDER_REFUSED);
        assert_int_equal(got.reason, row->fits ? REASON_None : REASON_NameTooLong);
        if (!row->fits)
                assert_non_null(strstr(got.message, "agent-no") ?: strstr(got.message, "agent-nn"));
}

/* Renders with one value that is n bytes long in a member of the container or an annotation. */
static void render_long(size_t n, bool annotation, Rendered *ret) {
        _cleanup_free_ char *value = malloc(n + 1), *bytes = NULL;
        _cleanup_buf_ Buf member = BUF_INIT;
        RenderOptions o = options();
        Object object;

        assert_non_null(value);
        memset(value, 'x', n);
        value[n] = 0;
        buf_printf(&member, annotation ? "\"annotations\":{\"a\":\"%s\"}" : "\"args\":[\"%s\"]", value);
        bytes = template_bytes(annotation ? buf_text(&member) : NULL, NULL, annotation ? NULL : buf_text(&member));
        object = daemonset(bytes);
        assert_int_equal(render(&object, &o, ret), 0);
}

static void size_of_one_mebibyte_is_the_limit(void **state) {
        _cleanup_(rendered_done) Rendered small = { 0 }, fits = { 0 }, too_large = { 0 };
        size_t rest;

        (void)state;
        render_long(1, false, &small);
        rest = MANIFEST_SIZE_MAX - small.len;
        render_long(1 + rest, false, &fits);
        assert_int_equal(fits.status, RENDER_OK);
        assert_int_equal(fits.len, MANIFEST_SIZE_MAX);
        render_long(2 + rest, false, &too_large);
        assert_int_equal(too_large.status, RENDER_REFUSED);
        assert_int_equal(too_large.reason, REASON_TooLarge);
        assert_string_equal(
                too_large.message,
                "the static pod would take 1048577 bytes; 1048576 is the most that a pod in the API can have");
        assert_string_equal(too_large.uid, "");
        assert_string_equal(too_large.revision, "");
        assert_null(too_large.bytes);
}

static void annotations_leave_room_for_those_of_the_kubelet(void **state) {
        _cleanup_(rendered_done) Rendered fits = { 0 }, too_large = { 0 };
        /* Ours: three keys of 22, 18 and 21 bytes, but the revision is not yet there; values 17 and 32. */
        size_t ours = 22 + 18 + 17 + 32, rest = 256 * 1024 - 256 - ours - 1;

        (void)state;
        render_long(rest, true, &fits);
        assert_int_equal(fits.status, RENDER_OK);
        render_long(rest + 1, true, &too_large);
        assert_int_equal(too_large.reason, REASON_TooLarge);
        assert_true(startswith(too_large.message, "spec.template.metadata.annotations would take 262145 bytes"));
}

static void several_refusals_are_named_and_counted(void **state) {
        _cleanup_free_ char *bytes = template_bytes(
                NULL,
                "\"volumes\":[{\"name\":\"a\",\"csi\":{\"driver\":\"d\"}},{\"name\":\"b\",\"ephemeral\":{}},"
                "{\"name\":\"c\",\"glusterfs\":{}},{\"name\":\"d\",\"azureFile\":{}},"
                "{\"name\":\"e\",\"configMap\":{\"name\":\"absent\"}}],\"resourceClaims\":[{\"name\":\"r\"}]",
                NULL);
        _cleanup_(rendered_done) Rendered got = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        assert_int_equal(render(&object, &o, &got), 0);
        /* In the order of the keys; the first one gives the reason; what is refused waits for nothing. */
        assert_int_equal(got.status, RENDER_REFUSED);
        assert_int_equal(got.reason, REASON_UnsupportedField);
        assert_non_null(strstr(got.message, "; spec.template.spec.volumes[0].csi: "));
        assert_non_null(strstr(got.message, "; spec.template.spec.volumes[1].ephemeral: "));
        assert_null(strstr(got.message, "glusterfs"));
        assert_non_null(strstr(got.message, "; and 2 more"));
}

/* ---- out of memory ---- */

static int oom_render(void *daemonset_bytes) {
        Object object = daemonset(daemonset_bytes);
        RenderOptions o = options();
        Rendered got = { 0 };
        int r;

        o.secret_env_inline = true;
        o.api_server = "h:1";
        o.ca_crt = "ca";
        o.ca_crt_len = 2;
        r = render(&object, &o, &got);
        if (r == 0)
                rendered_done(&got);
        return r;
}

#define OOM_VOLUMES                                                                                                    \
        "\"volumes\":[{\"configMap\":{\"items\":[{\"key\":\"k\",\"path\":\"p\"}],\"name\":\"here\"},\"name\":\"v\"},"  \
        "{\"name\":\"p\",\"projected\":{\"sources\":[{\"secret\":{\"name\":\"here\"}},{\"downwardAPI\":{\"items\":[{"  \
        "\"fieldRef\":{\"fieldPath\":\"metadata.labels\"},\"path\":\"l\"}]}},{\"serviceAccountToken\":{\"path\":\"t\"}}]}}]"
#define OOM_CONTAINER                                                                                                      \
        "\"env\":[{\"name\":\"E\",\"valueFrom\":{\"configMapKeyRef\":{\"key\":\"k\",\"name\":\"here\"}}},{\"name\":\"O\"," \
        "\"valueFrom\":{\"configMapKeyRef\":{\"key\":\"k\",\"name\":\"no\",\"optional\":true}}}],\"envFrom\":"             \
        "[{\"secretRef\":{\"name\":\"here\"}}],\"volumeMounts\":[{\"mountPath\":\"/v\",\"name\":\"v\"}]"

static void out_of_memory(void **state) {
        _cleanup_free_ char *
                fine = template_bytes("\"labels\":{\"a\":\"b\"},\"annotations\":{\"c\":\"d\",\"daemonlet.io/x\":\"e\"}",
                                      "\"serviceAccountName\":\"s\",\"hostNetwork\":true,\"nodeName\":\"n\","
                                      "\"priorityClassName\":\"system-node-critical\","
                                      "\"tolerations\":[{\"operator\":\"Exists\"}]",
                                      "\"ports\":[{\"containerPort\":1}]"),
               *full = template_bytes(NULL, "\"serviceAccountName\":\"default\"," OOM_VOLUMES, OOM_CONTAINER),
               *waits = template_bytes(NULL, "\"volumes\":[{\"configMap\":{\"name\":\"m\"}},{\"secret\":{}}]", NULL),
               *lacks = template_bytes(NULL,
                                       "\"volumes\":[{\"configMap\":{\"items\":[{\"key\":\"no\"}],\"name\":\"here\"}}]",
                                       "\"envFrom\":[{\"secretRef\":{\"name\":\"twice\"}}]"),
               *mixed = template_bytes(NULL,
                                       "\"volumes\":[{\"configMap\":{\"items\":[{\"key\":\"k\",\"path\":"
                                       "\"a\"},{\"key\":\"raw\",\"path\":\"a/b\"}],\"name\":\"here\"},"
                                       "\"name\":\"v\"}]",
                                       NULL),
               *refused = template_bytes(NULL, "\"volumes\":[{\"csi\":{}},{\"ephemeral\":{}}]", NULL);
        Rendered large = { 0 };

        (void)state;
        (void)known_objects();
        test_oom(oom_render, fine);
        test_oom(oom_render, full);
        test_oom(oom_render, waits);
        test_oom(oom_render, lacks);
        test_oom(oom_render, mixed);
        test_oom(oom_render, refused);
        render_long(1, false, &large);
        rendered_done(&large);
        rendered_done(&large); /* harmless */
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
        for (size_t i = 0; i < ARRAY_SIZE(node_rows); i++)
                add("metadata", node_rows[i].name, node_row, &node_rows[i]);
        ADD("pod", pod_has_nothing_but_its_four_members);
        ADD("pod", manifest_of_a_rendered_pod_verifies);
        ADD("pod", size_of_one_mebibyte_is_the_limit);
        ADD("pod", annotations_leave_room_for_those_of_the_kubelet);
        ADD("pod", several_refusals_are_named_and_counted);
        ADD("memory", out_of_memory);
        return _cmocka_run_group_tests("render pod", tests, n_tests, NULL, NULL);
}
