/* SPDX-License-Identifier: Apache-2.0 */
/* The renderer, field by field: each row is one rule about one field of a pod template. */
#include "apiref.h"
#include "render_objects.h"

#include <stdio.h>

#define POD_PATH "spec.template.spec."

/* A block of cases/render/fields.txt, which says what the members are. */
typedef struct Row {
        const char *name;
        const char *spec, *container;
        const char *pod, *pod_container;
        const char *warning;
        const char *reason;
        const char *message;
        const char *secret_env, *api_server;
        const char *files, *uses;
} Row;

#define THE_SAME "the same"
#define CA "the CA's PEM"

/* ---- the rows ---- */

/* Equal, or how it starts. */
static bool text_is(const char *got, const char *want) {
        size_t len = strlen(want);

        if (len >= 3 && streq(want + len - 3, "..."))
                return strncmp(got, want, len - 3) == 0;
        return streq(got, want);
}

static void check_warning(const Rendered *got, const char *want) {
        _cleanup_buf_ Buf text = BUF_INIT;

        if (!want) {
                if (got->warnings.n)
                        fail_msg("warning %s: %s", got->warnings.items[0].path, got->warnings.items[0].message);
                return;
        }
        assert_int_equal(got->warnings.n, 1);
        assert_int_equal(got->warnings.items[0].level, DIAG_WARNING);
        assert_int_equal(got->warnings.items[0].place.line, 0);
        diag_text(&got->warnings.items[0], &text);
        if (!startswith(buf_text(&text), POD_PATH) || !text_is(buf_text(&text) + strlen(POD_PATH), want))
                fail_msg("warning \"%s\" instead of \"%s\"", buf_text(&text), want);
}

/* The text with a word in place of what differs from pod to pod. */
static char *put_word(char *text, const char *of, const char *word) {
        _cleanup_buf_ Buf out = BUF_INIT;
        const char *from = text;

        assert_non_null(text);
        for (const char *at; *of && (at = strstr(from, of)); from = at + strlen(of)) {
                buf_add(&out, from, (size_t)(at - from));
                buf_str(&out, word);
        }
        buf_str(&out, from);
        free(text);
        return buf_take(&out, NULL);
}

/* The pod's own directory of volumes is VOLUMES. */
static void check_members(cJSON *got, const char *want, const char *given, const char *input) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_free_ char *expected = NULL, *seen = json_canonical_text(got, NULL);
        char dir[256];

        (void)snprintf(dir, sizeof(dir), VOLUMES_DIR "/kube-system_agent/%s", input);
        seen = put_word(seen, dir, "VOLUMES");
        buf_printf(&text, "{%s}", streq(want, THE_SAME) ? given : str_or_empty(want));
        expected = canonical(buf_text(&text));
        assert_string_equal(seen, expected);
}

static void check_pod(const Row *row, const Rendered *got) {
        _cleanup_json_ cJSON *pod = parse(got->bytes);
        cJSON *spec = json_get_mutable(pod, "spec"), *container;
        const char *reference = apiref_find(spec);

        assert_string_equal(json_string(spec, "restartPolicy"), "Always");
        json_delete(spec, "restartPolicy");
        if (!row->pod || !strstr(row->pod, "\"tolerations\""))
                json_delete(spec, "tolerations");
        container = cJSON_GetArrayItem(json_get(spec, "containers"), 0);
        if (!row->spec || !strstr(row->spec, "\"containers\"")) {
                json_delete(container, "name");
                json_delete(container, "image");
                check_members(container, row->pod_container, row->container, got->input);
                json_delete(spec, "containers");
        }
        check_members(spec, row->pod, row->spec, got->input);
        if (reference)
                fail_msg("refers to the API: %s", reference);
}

/* ---- what is materialised and used ---- */

static void add_files(const Payload *payload, cJSON *ret) {
        for (size_t i = 0; i < payload->n; i++) {
                const PayloadFile *f = &payload->files[i];
                _cleanup_buf_ Buf text = BUF_INIT;

                buf_printf(&text, "%04o %s", (unsigned)f->mode, f->bytes);
                assert_true(json_add_string(ret, f->path, buf_text(&text)));
        }
        if (payload->group >= 0)
                assert_true(json_add(ret, "(group)", json_new_int(payload->group)));
}

/* Every rendered volume is a directory of the host in the pod, and its payload is what the renderer said of it. */
static void check_volumes(const Row *row, const Object *object, const RenderOptions *o, const Rendered *got) {
        _cleanup_json_ cJSON *files = cJSON_CreateObject(), *pod = parse(got->bytes);
        _cleanup_free_ char *seen = NULL, *expected = NULL;
        const cJSON *volume = json_get(json_get(pod, "spec"), "volumes");

        volume = volume ? volume->child : NULL;
        for (size_t i = 0; i < got->n_volumes; i++) {
                const RenderedVolume *v = &got->volumes[i];
                _cleanup_payload_ Payload payload = { 0 };
                char dir[256], path[512], hash[PAYLOAD_HEX + 1];
                cJSON *of_volume = cJSON_CreateObject();

                (void)snprintf(dir, sizeof(dir), "kube-system_agent/%s/%s", got->input, v->name);
                (void)snprintf(path, sizeof(path), VOLUMES_DIR "/%s", dir);
                assert_string_equal(v->dir, dir);
                while (volume && !streq(json_string(volume, "name"), v->name))
                        volume = volume->next; /* they are in the pod's order */
                assert_non_null(volume);
                assert_int_equal(cJSON_GetArraySize(volume), 2);
                assert_string_equal(json_string(json_get(volume, "hostPath"), "path"), path);
                assert_string_equal(json_string(json_get(volume, "hostPath"), "type"), "Directory");
                assert_int_equal(render_payload(object, o, v->name, got->uid, &payload), 0);
                payload_hash(&payload, hash);
                assert_string_equal(v->hash, hash);
                assert_int_equal(v->empty, payload.n == 0);
                add_files(&payload, of_volume);
                assert_true(json_add(files, v->name, of_volume));
        }
        seen = put_word(json_canonical_text(files, NULL), got->uid, "UID");
        expected = canonical(row->files ? row->files : got->n_volumes ? "\"its row has no files\"" : "{}");
        assert_string_equal(seen, expected);
}

static void check_uses(const Row *row, const Rendered *got) {
        _cleanup_json_ cJSON *uses = cJSON_CreateObject();
        _cleanup_free_ char *seen = NULL, *expected = NULL;

        if (!row->uses)
                return;
        for (size_t i = 0; i < got->n_uses; i++) {
                const RenderedUse *u = &got->uses[i];
                char key[256], value[64];

                (void)snprintf(key, sizeof(key), "%s %s", u->kind == OBJECT_SECRET ? "Secret" : "ConfigMap", u->name);
                (void)snprintf(value, sizeof(value), "%s%s%s%s", u->env ? " env" : "", u->mount ? " mount" : "",
                               u->needed ? "" : " optional", u->found ? "" : " missing");
                assert_null(json_get(uses, key)); /* each once */
                assert_true(json_add_string(uses, key, *value ? value + 1 : ""));
        }
        seen = json_canonical_text(uses, NULL);
        expected = canonical(row->uses);
        assert_string_equal(seen, expected);
}

/* ---- a row ---- */

static void check_refusal(const Row *row, const Rendered *got) {
        assert_int_equal(got->status, startswith(row->reason, "Waiting") ? RENDER_WAITING : RENDER_REFUSED);
        assert_null(got->bytes);
        assert_null(got->volumes);
        assert_int_equal(got->n_volumes, 0);
        assert_string_equal(got->input, "");
        assert_string_equal(got->revision, "");
        assert_string_equal(got->uid, "");
        if (!text_is(got->message, row->message))
                fail_msg("message \"%s\" instead of \"%s\"", got->message, row->message);
}

static void render_row(void **state) {
        const Row *row = *state;
        _cleanup_free_ char *bytes = template_bytes(NULL, row->spec, row->container);
        _cleanup_(rendered_done) Rendered got = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        o.secret_env_inline = streq(row->secret_env, "inline");
        o.api_server = row->api_server;
        if (row->files) {
                o.ca_crt = CA;
                o.ca_crt_len = strlen(CA);
        }
        assert_int_equal(render(&object, &o, &got), 0);
        if (!streq(reason_name(got.reason), str_or_empty(row->reason)))
                fail_msg("%s instead of %s: %s", reason_name(got.reason), str_or_empty(row->reason),
                         str_or_empty(got.message));
        check_warning(&got, row->warning);
        check_uses(row, &got);
        if (row->reason) {
                check_refusal(row, &got);
                return;
        }
        assert_int_equal(got.status, RENDER_OK);
        assert_null(got.message);
        check_pod(row, &got);
        check_volumes(row, &object, &o, &got);
}

static const struct {
        const char *key;
        size_t offset;
} row_keys[] = {
        { "== ", offsetof(Row, name) },
        { "spec ", offsetof(Row, spec) },
        { "container ", offsetof(Row, container) },
        { "pod ", offsetof(Row, pod) },
        { "pod-container ", offsetof(Row, pod_container) },
        { "warning ", offsetof(Row, warning) },
        { "reason ", offsetof(Row, reason) },
        { "message ", offsetof(Row, message) },
        { "secret_env ", offsetof(Row, secret_env) },
        { "api_server ", offsetof(Row, api_server) },
        { "files ", offsetof(Row, files) },
        { "uses ", offsetof(Row, uses) },
};

/* The rows point into the text, which is cut up. */
static size_t read_rows(char *text, Row *rows, size_t max) {
        size_t n = 0;

        for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                size_t i = 0;

                if (line[0] == '#')
                        continue;
                while (i < ARRAY_SIZE(row_keys) && !startswith(line, row_keys[i].key))
                        i++;
                if (i == ARRAY_SIZE(row_keys) || (i > 0 && n == 0))
                        fail_msg("fields.txt: %s", line);
                if (i == 0)
                        n++;
                assert_true(n <= max);
                *(const char **)((char *)&rows[n - 1] + row_keys[i].offset) = line + strlen(row_keys[i].key);
        }
        return n;
}

/* ---- metadata ---- */

static const struct MetadataRow {
        const char *name;
        const char *metadata; /* members of the template's metadata */
        const char *want;     /* the pod's, less our own annotations, the name, namespace and uid */
        const char *warning;
} metadata_rows[] = {
        { "labels: unchanged, none added", "\"labels\":{\"app\":\"agent\",\"controller-revision-hash\":\"x\"}",
          "\"labels\":{\"app\":\"agent\",\"controller-revision-hash\":\"x\"}", NULL },
        { "labels: none", "", "", NULL },
        { "annotations: kept", "\"annotations\":{\"prometheus.io/port\":\"9100\"}",
          "\"annotations\":{\"prometheus.io/port\":\"9100\"}", NULL },
        { "annotations: kubernetes.io/config.mirror dropped",
          "\"annotations\":{\"kubernetes.io/config.mirror\":\"x\",\"kubernetes.io/configx\":\"y\"}",
          "\"annotations\":{\"kubernetes.io/configx\":\"y\"}", "kubernetes.io/config.mirror is reserved" },
        { "annotations: kubernetes.io/config.source dropped",
          "\"annotations\":{\"kubernetes.io/config.source\":\"api\"}", "", "kubernetes.io/config.source is reserved" },
        { "annotations: a user's own daemonlet.io dropped", "\"annotations\":{\"daemonlet.io/revision\":\"mine\"}", "",
          "daemonlet.io/revision is reserved" },
        { "generateName: dropped", "\"generateName\":\"a-\"", "", NULL },
        { "namespace: the DaemonSet's", "\"namespace\":\"other\"", "", NULL },
        { "name: the DaemonSet's", "\"name\":\"other\"", "", NULL },
        { "uid, resourceVersion, creationTimestamp, generation, managedFields, selfLink: dropped",
          "\"uid\":\"x\",\"resourceVersion\":\"1\",\"creationTimestamp\":\"2020-01-01T00:00:00Z\",\"generation\":1,"
          "\"managedFields\":[{\"manager\":\"m\"}],\"selfLink\":\"/x\"",
          "", NULL },
        { "ownerReferences: dropped", "\"ownerReferences\":[{\"kind\":\"DaemonSet\"}]", "", NULL },
        { "finalizers: dropped", "\"finalizers\":[\"x/y\"]", "", NULL },
        { "deletionTimestamp, deletionGracePeriodSeconds: dropped",
          "\"deletionTimestamp\":\"2020-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":1", "", NULL },
};

static void metadata_row(void **state) {
        const struct MetadataRow *row = *state;
        _cleanup_free_ char *bytes = template_bytes(row->metadata, NULL, NULL);
        _cleanup_(rendered_done) Rendered got = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();
        _cleanup_json_ cJSON *pod = NULL;
        cJSON *metadata, *annotations;

        assert_int_equal(render(&object, &o, &got), 0);
        assert_int_equal(got.status, RENDER_OK);
        assert_int_equal(got.warnings.n, row->warning ? 1 : 0);
        if (row->warning) {
                assert_true(startswith(got.warnings.items[0].message, row->warning));
                assert_string_equal(got.warnings.items[0].path, "spec.template.metadata.annotations");
        }
        pod = parse(got.bytes);
        metadata = json_get_mutable(pod, "metadata");
        annotations = json_get_mutable(metadata, "annotations");
        assert_string_equal(json_string(metadata, "name"), "agent");
        assert_string_equal(json_string(metadata, "namespace"), "kube-system");
        assert_string_equal(json_string(metadata, "uid"), got.uid);
        assert_string_equal(json_string(annotations, "daemonlet.io/daemonset"), "kube-system/agent");
        assert_string_equal(json_string(annotations, "daemonlet.io/input"), got.input);
        assert_string_equal(json_string(annotations, "daemonlet.io/revision"), got.revision);
        json_delete(metadata, "name");
        json_delete(metadata, "namespace");
        json_delete(metadata, "uid");
        json_delete(annotations, "daemonlet.io/daemonset");
        json_delete(annotations, "daemonlet.io/input");
        json_delete(annotations, "daemonlet.io/revision");
        if (!annotations->child)
                json_delete(metadata, "annotations");
        check_members(metadata, row->want, NULL, got.input);
}

/* ---- all of it ---- */

static struct CMUnitTest tests[512];
static char names[512][160];
static size_t n_tests;

static void add(const char *what, const char *name, CMUnitTestFunction function, const void *row) {
        assert_true(n_tests < ARRAY_SIZE(tests));
        (void)snprintf(names[n_tests], sizeof(names[0]), "%s: %s", what, name);
        tests[n_tests] = (struct CMUnitTest){ names[n_tests], function, NULL, NULL, (void *)(uintptr_t)row };
        n_tests++;
}

int main(void) {
        static Row rows[300];
        _cleanup_free_ char *text = test_read("cases/render/fields.txt", NULL);
        size_t n_rows = read_rows(text, rows, ARRAY_SIZE(rows));

        for (size_t i = 0; i < n_rows; i++)
                add("spec", rows[i].name, render_row, &rows[i]);
        for (size_t i = 0; i < ARRAY_SIZE(metadata_rows); i++)
                add("metadata", metadata_rows[i].name, metadata_row, &metadata_rows[i]);
        return _cmocka_run_group_tests("render", tests, n_tests, NULL, NULL);
}
