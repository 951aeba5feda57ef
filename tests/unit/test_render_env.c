/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a container: cases, limits, memory. */
#include "env_outcome.h"

static const char objects_text[] =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm, namespace: kube-system}\n"
        "data: {A: a, B: 'b$(A)$$', '1st': one, x.y: dotted, E: '', Z: 'ü'}\nbinaryData: {BIN: AAEC}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm2, namespace: kube-system}\ndata: {A: a2, C: c2}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: empty, namespace: kube-system}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cm, namespace: other}\ndata: {A: wrong}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: there, namespace: other}\ndata: {A: wrong}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: api, namespace: kube-system}\n"
        "data: {KUBERNETES_SERVICE_PORT: '1'}\n"
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: sec, namespace: kube-system}\n"
        "data: {S: cGEkJCQoQSlzcw==, EMPTY: ''}\n" /* pa$$$(A)ss */
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: cm, namespace: kube-system}\ndata: {A: c2VjcmV0}\n"
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: bin, namespace: kube-system}\n"
        "data: {LATIN: aGlkZGVu/w==, NUL: aGlkAGRlbg==, OK: b2s=}\n";

static const struct Row {
        const char *name, *container;
        const char *expected; /* NULL: the same */
        const char *says;
        const char *api_server;
        bool refuse; /* secret_env */
} rows[] = {
#define CM_KEY(name, rest) "{\"name\":\"" name "\",\"valueFrom\":{\"configMapKeyRef\":{" rest "}}}"
#define SECRET_KEY(name, rest) "{\"name\":\"" name "\",\"valueFrom\":{\"secretKeyRef\":{" rest "}}}"
#define PLAIN(name, value) "{\"name\":\"" name "\",\"value\":\"" value "\"}"
#define ENV(list) "{\"env\":[" list "]}"
#define FROM(list) "{\"envFrom\":[" list "]}"
#define BOTH(env, from) "{\"env\":[" env "],\"envFrom\":[" from "]}"
#define CM(name, rest) "{\"configMapRef\":{\"name\":\"" name "\"" rest "}}"
#define CM_AS(prefix, name) "{\"configMapRef\":{\"name\":\"" name "\"},\"prefix\":\"" prefix "\"}"
#define SECRET(name, rest) "{\"secretRef\":{\"name\":\"" name "\"" rest "}}"
#define OPTIONAL ",\"optional\":true"
#define AT "spec.template.spec.containers[0]."
#define RELAXED(name)                                                                                                  \
        "\"" name "\" is a relaxed name: kubelets before 1.35 refuse this in a static pod, and the pod then does not " \
        "run\n"
#define INLINE_REFUSED(name)                                                                                           \
        "Secret kube-system/" name " would be readable to everyone who may read pods, through the mirror pod; mount "  \
        "it as a volume, or set secret_env = inline in [pods]\n"
#define NO_TEXT(key)                                                                                                   \
        key " of Secret kube-system/bin is no text (UTF-8 without NUL bytes) and cannot be a variable's value; mount " \
            "it as a volume\n"
#define REST_OF_CM PLAIN("E", "") "," PLAIN("Z", "ü") "," PLAIN("x.y", "dotted")
#define VALUES_OF_CM "\"1st\":\"one\",\"A\":\"a\",\"B\":\"b$(A)$$\",\"E\":\"\",\"Z\":\"ü\",\"x.y\":\"dotted\""

        { "nothing", "{\"name\":\"a\"}", NULL, "", NULL, false },
        { "plain values stay as they are", ENV(PLAIN("A", "$(B)$$") ",{\"name\":\"B\"}"), NULL, "", NULL, false },
        { "empty lists stay", BOTH("", ""), NULL, "", NULL, false },
        { "lists of another type stay", "{\"env\":null,\"envFrom\":{}}", NULL, "", NULL, false },
        { "a key", ENV(PLAIN("X", "x") "," CM_KEY("V", "\"key\":\"A\",\"name\":\"cm\"") "," PLAIN("Y", "y")),
          ENV(PLAIN("X", "x") "," PLAIN("V", "a") "," PLAIN("Y", "y")), "values {\"ConfigMap cm\":{\"A\":\"a\"}}\n",
          NULL, false },
        { "a key: every dollar is doubled", ENV(CM_KEY("V", "\"key\":\"B\",\"name\":\"cm\"")),
          ENV(PLAIN("V", "b$$(A)$$$$")), "values {\"ConfigMap cm\":{\"B\":\"b$(A)$$\"}}\n", NULL, false },
        { "a key: an empty value is a value", ENV(CM_KEY("V", "\"key\":\"E\",\"name\":\"cm\"")), ENV(PLAIN("V", "")),
          "values {\"ConfigMap cm\":{\"E\":\"\"}}\n", NULL, false },
        { "a key of binaryData is missing", ENV(CM_KEY("V", "\"key\":\"BIN\",\"name\":\"cm\"")), NULL,
          "missing cm BIN at " AT "env[0].valueFrom.configMapKeyRef\n", NULL, false },
        { "a key is missing, of an optional one dropped",
          ENV(CM_KEY("V", "\"key\":\"no\",\"name\":\"cm\"" OPTIONAL) "," CM_KEY("W", "\"key\":\"no\",\"name\":\"cm\"")),
          ENV(CM_KEY("W", "\"key\":\"no\",\"name\":\"cm\"")),
          "missing cm no at " AT "env[1].valueFrom.configMapKeyRef\n", NULL, false },
        { "an object is missing", ENV(CM_KEY("V", "\"key\":\"A\",\"name\":\"there\"")), NULL,
          "missing there at " AT "env[0].valueFrom.configMapKeyRef\n", NULL, false },
        { "an object is missing and optional", ENV(CM_KEY("V", "\"key\":\"A\",\"name\":\"there\"" OPTIONAL)), "{}", "",
          NULL, false },
        { "an object without data", BOTH(CM_KEY("V", "\"key\":\"A\",\"name\":\"empty\"" OPTIONAL), CM("empty", "")),
          "{}", "", NULL, false },
        { "a reference without name and key", ENV("{\"valueFrom\":{\"configMapKeyRef\":{}}}"), NULL,
          "missing  at " AT "env[0].valueFrom.configMapKeyRef\n", NULL, false },
        { "a Secret's key", ENV(SECRET_KEY("V", "\"key\":\"S\",\"name\":\"sec\"")), ENV(PLAIN("V", "pa$$$$$$(A)ss")),
          "secret_env\nvalues {\"Secret sec\":{\"S\":\"pa$$$(A)ss\"}}\n", NULL, false },
        { "a Secret's key: an empty value", ENV(SECRET_KEY("V", "\"key\":\"EMPTY\",\"name\":\"sec\"")),
          ENV(PLAIN("V", "")), "secret_env\nvalues {\"Secret sec\":{\"EMPTY\":\"\"}}\n", NULL, false },
        { "a Secret and a ConfigMap of one name",
          ENV(SECRET_KEY("V", "\"key\":\"A\",\"name\":\"cm\"") "," CM_KEY("W", "\"key\":\"A\",\"name\":\"cm\"")),
          ENV(PLAIN("V", "secret") "," PLAIN("W", "a")),
          "secret_env\nvalues {\"ConfigMap cm\":{\"A\":\"a\"},\"Secret cm\":{\"A\":\"secret\"}}\n", NULL, false },
        { "a Secret's key is refused", ENV(SECRET_KEY("V", "\"key\":\"S\",\"name\":\"sec\"")), NULL,
          "SecretInEnv " AT "env[0].valueFrom.secretKeyRef: " INLINE_REFUSED("sec") "secret_env\n", NULL, true },
        { "a Secret that is missing is refused", FROM(SECRET("no", "")), "{}",
          "SecretInEnv " AT "envFrom[0].secretRef: " INLINE_REFUSED("no") "missing no at " AT
                                                                          "envFrom[0].secretRef\nsecret_env\n",
          NULL, true },
        { "a Secret that is missing and optional is not",
          BOTH(SECRET_KEY("V", "\"key\":\"S\",\"name\":\"no\"" OPTIONAL), SECRET("no", OPTIONAL)), "{}", "secret_env\n",
          NULL, true },
        { "a Secret that is there and optional is refused", FROM(SECRET("sec", OPTIONAL)), "{}",
          "SecretInEnv " AT "envFrom[0].secretRef: " INLINE_REFUSED("sec") "secret_env\n", NULL, true },
        { "a Secret's value that is not UTF-8", ENV(SECRET_KEY("V", "\"key\":\"LATIN\",\"name\":\"bin\"")), NULL,
          "UnsupportedField " AT "env[0].valueFrom.secretKeyRef: " NO_TEXT("LATIN") "secret_env\n", NULL, false },
        { "a Secret's values that are no text", BOTH(PLAIN("LATIN", "l"), SECRET("bin", "")),
          ENV(PLAIN("OK", "ok") "," PLAIN("LATIN", "l")),
          "UnsupportedField " AT
          "envFrom[0].secretRef: " NO_TEXT("NUL") "secret_env\nvalues {\"Secret bin\":{\"OK\":\"ok\"}}\n",
          NULL, false },
        { "other sources stay",
          ENV("{\"name\":\"U\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.uid\"}}},"
              "{\"name\":\"C\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}},"
              "{\"name\":\"F\",\"valueFrom\":{\"fileKeyRef\":{\"key\":\"k\",\"path\":\"p\",\"volumeName\":\"v\"}}}"),
          NULL,
          "warning " AT "env[0].valueFrom.fieldRef.fieldPath: metadata.uid is the static pod's own and not that of the "
          "pod in the API\nwarning " AT
          "env[2].valueFrom.fileKeyRef: needs a kubelet with the feature EnvFiles (on from 1.35)\n",
          NULL, false },
        { "envFrom stands in front, by name", BOTH(PLAIN("0", "$(A)"), CM("cm2", "")),
          ENV(PLAIN("A", "a2") "," PLAIN("C", "c2") "," PLAIN("0", "$(A)")),
          "warning " AT "env[0].name: " RELAXED("0") "values {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n", NULL,
          false },
        { "envFrom: the later source wins", FROM(CM("cm", "") "," CM("cm2", "")),
          ENV(PLAIN("1st", "one") "," PLAIN("A", "a2") "," PLAIN("B", "b$$(A)$$$$") "," PLAIN("C",
                                                                                              "c2") "," REST_OF_CM),
          "warning " AT "envFrom[0].configMapRef: " RELAXED(
                  "1st") "values {\"ConfigMap cm\":{\"1st\":\"one\",\"B\":\"b$(A)$$\",\"E\":\"\",\"Z\":\"ü\",\"x.y\":"
                         "\"dotted\"},\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n",
          NULL, false },
        { "envFrom: the later source wins, the other way round", FROM(CM("cm2", "") "," CM("cm", "")),
          ENV(PLAIN("1st", "one") "," PLAIN("A", "a") "," PLAIN("B", "b$$(A)$$$$") "," PLAIN("C", "c2") "," REST_OF_CM),
          "warning " AT "envFrom[1].configMapRef: " RELAXED("1st") "values {\"ConfigMap cm\":{" VALUES_OF_CM
                                                                   "},\"ConfigMap cm2\":{\"C\":\"c2\"}}\n",
          NULL, false },
        { "envFrom: a prefix", FROM(CM_AS("P_", "cm2") "," CM("cm2", "")),
          ENV(PLAIN("A", "a2") "," PLAIN("C", "c2") "," PLAIN("P_A", "a2") "," PLAIN("P_C", "c2")),
          "values {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n", NULL, false },
        { "envFrom: relaxed and impossible names",
          FROM(CM_AS(". ", "cm2") "," CM_AS("=", "cm2") "," CM_AS("..", "cm2")),
          ENV(PLAIN(". A", "a2") "," PLAIN(". C", "c2") "," PLAIN("..A", "a2") "," PLAIN("..C", "c2")),
#define FROM_0 "warning " AT "envFrom[0].configMapRef: "
#define FROM_1 "warning " AT "envFrom[1].configMapRef: "
#define FROM_2 "warning " AT "envFrom[2].configMapRef: "
          FROM_0 RELAXED(". A") FROM_0 RELAXED(". C") FROM_2 RELAXED("..A") FROM_2 RELAXED("..C") FROM_1
          "\"=A\" can be no variable's name; left out\n" FROM_1 "\"=C\" can be no variable's name; left out\n"
          "values {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n",
          NULL, false },
        { "envFrom: what env sets is left out", BOTH(PLAIN("A", "x"), CM("cm2", "")),
          ENV(PLAIN("C", "c2") "," PLAIN("A", "x")), "values {\"ConfigMap cm2\":{\"C\":\"c2\"}}\n", NULL, false },
        { "envFrom: what env takes from an object is left out",
          BOTH(CM_KEY("C", "\"key\":\"A\",\"name\":\"cm\""), CM("cm2", "")), ENV(PLAIN("A", "a2") "," PLAIN("C", "a")),
          "values {\"ConfigMap cm\":{\"A\":\"a\"},\"ConfigMap cm2\":{\"A\":\"a2\"}}\n", NULL, false },
        { "envFrom: nothing is left", FROM(CM_AS("=", "api")), "{}",
          FROM_0 "\"=KUBERNETES_SERVICE_PORT\" can be no variable's name; left out\n", NULL, false },
        { "envFrom: nothing is left, and an empty list stays", BOTH("", CM_AS("=", "api")), ENV(""),
          FROM_0 "\"=KUBERNETES_SERVICE_PORT\" can be no variable's name; left out\n", NULL, false },
        { "envFrom: what env sets and refers to stays", BOTH(PLAIN("A", "x$(A)"), CM("cm2", "")),
          ENV(PLAIN("A", "a2") "," PLAIN("C", "c2") "," PLAIN("A", "x$(A)")),
          "values {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n", NULL, false },
        { "envFrom: an escaped reference is none", BOTH(PLAIN("A", "$$(A)$(x$(A"), CM("cm2", "")),
          ENV(PLAIN("C", "c2") "," PLAIN("A", "$$(A)$(x$(A")), "values {\"ConfigMap cm2\":{\"C\":\"c2\"}}\n", NULL,
          false },
        { "envFrom: what env perhaps sets stays",
          BOTH("{\"name\":\"A\",\"valueFrom\":{\"fileKeyRef\":{\"key\":\"k\",\"optional\":true}}}", CM("cm2", "")),
          ENV(PLAIN("A", "a2") "," PLAIN(
                  "C", "c2") ",{\"name\":\"A\",\"valueFrom\":{\"fileKeyRef\":{\"key\":\"k\",\"optional\":true}}}"),
          "warning " AT "env[0].valueFrom.fileKeyRef: needs a kubelet with the feature EnvFiles (on from 1.35)\n"
          "values {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n",
          NULL, false },
        { "envFrom: what env would set but is dropped stays",
          BOTH(CM_KEY("A", "\"key\":\"no\",\"name\":\"cm\"" OPTIONAL), CM("cm2", "")),
          ENV(PLAIN("A", "a2") "," PLAIN("C", "c2")), "values {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n", NULL,
          false },
        { "envFrom: missing", FROM(CM("there", "") "," CM("cm2", "")), ENV(PLAIN("A", "a2") "," PLAIN("C", "c2")),
          "missing there at " AT "envFrom[0].configMapRef\nvalues {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n",
          NULL, false },
        { "envFrom: missing and optional", FROM(CM("there", OPTIONAL)), "{}", "", NULL, false },
        { "envFrom: a source that is not known stays", FROM("{\"x\":{}}," CM("there", OPTIONAL)), FROM("{\"x\":{}}"),
          "", NULL, false },
        { "API server", "{\"name\":\"a\"}",
          "{\"env\":[" PLAIN("KUBERNETES_SERVICE_HOST", "k8s.example") "," PLAIN("KUBERNETES_SERVICE_PORT",
                                                                                 "6443") "],\"name\":\"a\"}",
          "api_server\n", "k8s.example:6443", false },
        { "API server: IPv6, in front of all", BOTH(PLAIN("X", "$(KUBERNETES_SERVICE_HOST)"), CM("cm2", "")),
          ENV(PLAIN("KUBERNETES_SERVICE_HOST", "fd00::1") "," PLAIN("KUBERNETES_SERVICE_PORT", "443") "," PLAIN(
                  "A", "a2") "," PLAIN("C", "c2") "," PLAIN("X", "$(KUBERNETES_SERVICE_HOST)")),
          "api_server\nvalues {\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n", "[fd00::1]:443", false },
        { "API server: env has the host", ENV(PLAIN("KUBERNETES_SERVICE_HOST", "h")), NULL, "", "a:1", false },
        { "API server: env has the port", ENV(PLAIN("KUBERNETES_SERVICE_PORT", "1")), NULL, "", "a:1", false },
        { "API server: envFrom has the port", FROM(CM("api", "")), ENV(PLAIN("KUBERNETES_SERVICE_PORT", "1")),
          "values {\"ConfigMap api\":{\"KUBERNETES_SERVICE_PORT\":\"1\"}}\n", "a:1", false },
        { "API server: what is dropped is not there",
          ENV(CM_KEY("KUBERNETES_SERVICE_HOST", "\"key\":\"A\",\"name\":\"there\"" OPTIONAL)),
          ENV(PLAIN("KUBERNETES_SERVICE_HOST", "a") "," PLAIN("KUBERNETES_SERVICE_PORT", "1")), "api_server\n", "a:1",
          false },
        { "probes give what they gave",
          "{\"env\":[" CM_KEY("V", "\"key\":\"A\",\"name\":\"cm\"") "," CM_KEY("D", "\"key\":\"no\",\"name\":\"cm\"" OPTIONAL) "," PLAIN(
                  "X",
                  "x") "],\"envFrom\":[" CM("cm2",
                                            "") "],\"livenessProbe\":{\"exec\":{\"command\":[\"<$(V)$(D)$(X)$(A)$(no)$$(V)$(V\"]}},\"name\":\"a\","
                                                "\"readinessProbe\":{\"exec\":{\"command\":[\"sh\",\"$(C)\",7]}},"
                                                "\"startupProbe\":{\"exec\":{\"command\":[\"$(V)\"]}}}",
          "{\"env\":[" PLAIN("A", "a2") "," PLAIN("C", "c2") "," PLAIN("V", "a") "," PLAIN(
                  "X", "x") "],\"livenessProbe\":{\"exec\":{\"command\":[\"<$(X)$$(A)$(no)$$(V)$(V\"]}},\"name\":\"a\","
                            "\"readinessProbe\":{\"exec\":{\"command\":[\"sh\",\"$$(C)\",7]}},"
                            "\"startupProbe\":{\"exec\":{\"command\":[\"\"]}}}",
          "values {\"ConfigMap cm\":{\"A\":\"a\"},\"ConfigMap cm2\":{\"A\":\"a2\",\"C\":\"c2\"}}\n", NULL, false },
};

static void row(void **state) {
        const struct Row *row = *state;
        const RenderOptions o = { .node_name = "node-1",
                                  .objects = objects_of(objects_text),
                                  .api_server = row->api_server,
                                  .secret_env_inline = !row->refuse };
        _cleanup_free_ char *expected = canonical(row->expected ? row->expected : row->container);
        _cleanup_(outcome_done) Outcome got, again;

        assert_int_equal(outcome_of(row->container, &o, &got), 0);
        assert_string_equal(got.bytes, expected);
        assert_string_equal(buf_text(&got.says), row->says);
        assert_null(strstr(buf_text(&got.says), "hid")); /* of the Secret's values that are no text */
        assert_int_equal(outcome_of(got.bytes, &o, &again), 0);
        assert_string_equal(again.bytes, got.bytes);
}

static void without_objects_all_is_missing(void **state) {
        const RenderOptions o = { .node_name = "node-1" };
        _cleanup_(outcome_done) Outcome got;

        (void)state;
        assert_int_equal(outcome_of(FROM(CM("cm", "") "," CM("cm", OPTIONAL)), &o, &got), 0);
        assert_string_equal(buf_text(&got.says), "missing cm at " AT "envFrom[0].configMapRef\n");
}

/* ---- limits ---- */

/* {"name":"a","env":[n references]} or envFrom, or n containers in a list. */
static char *repeated(const char *open, const char *item, size_t n, const char *close) {
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_str(&text, open);
        for (size_t i = 0; i < n; i++)
                buf_printf(&text, "%s%s", i ? "," : "", item);
        buf_str(&text, close);
        return buf_take(&text, NULL);
}

/* A ConfigMap "large" with one value of that length, beside 20000 small ones. */
static Objects *large_objects(size_t len) {
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_str(&text, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"large\",\"namespace\":"
                       "\"kube-system\"},\"data\":{\"A\":\"");
        for (size_t i = 0; i < len; i++)
                buf_char(&text, 'x');
        buf_str(&text, "\"}}\n{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"many\","
                       "\"namespace\":\"kube-system\"},\"data\":{\"A0\":\"\"");
        for (size_t i = 1; i < 20000; i++)
                buf_printf(&text, ",\"A%zu\":\"\"", i);
        buf_str(&text, "}}\n");
        return objects_of(buf_text(&text));
}

#define TOO_LARGE "the environment would be larger than 1048576 bytes, the most that a pod in the API can have\n"

static void a_value_of_one_mebibyte_is_the_limit(void **state) {
        /* With its name, "V". */
        const size_t rest = MANIFEST_SIZE_MAX - strlen("{\"name\":\"V\",\"value\":\"\"},");
        RenderOptions o = { .node_name = "node-1" };

        (void)state;
        for (size_t more = 0; more < 2; more++) {
                _cleanup_(outcome_done) Outcome got;

                o.objects = large_objects(rest + more);
                assert_int_equal(outcome_of(ENV(CM_KEY("V", "\"key\":\"A\",\"name\":\"large\"")), &o, &got), 0);
                assert_int_equal(got.refused, more);
                if (more)
                        assert_string_equal(buf_text(&got.says),
                                            "TooLarge " AT "env[0].valueFrom.configMapKeyRef: " TOO_LARGE);
        }
}

static void more_than_a_manifest_holds_is_not_made(void **state) {
        _cleanup_free_ char *env = repeated("{\"env\":[", CM_KEY("V", "\"key\":\"A\",\"name\":\"large\""), 20000, "]}"),
                            *from = repeated("{\"envFrom\":[", CM("large", ""), 20000, "]}");
        RenderOptions o = { .node_name = "node-1", .objects = large_objects(100000) };
        _cleanup_(outcome_done) Outcome x, y;

        (void)state;
        assert_int_equal(outcome_of(env, &o, &x), 0);
        assert_string_equal(buf_text(&x.says) + strlen(buf_text(&x.says)) - strlen("\"}}\n"), "\"}}\n");
        assert_true(startswith(buf_text(&x.says), "TooLarge " AT "env[10].valueFrom.configMapKeyRef: " TOO_LARGE));
        assert_int_equal(outcome_of(from, &o, &y), 0);
        assert_true(startswith(buf_text(&y.says), "TooLarge " AT "envFrom[83].configMapRef: " TOO_LARGE));
}

/* Nothing here waits for a clock: a square of these would take minutes. */
static void long_lists_cost_no_square(void **state) {
        _cleanup_free_ char *env = repeated(
                "{\"env\":[", CM_KEY("V", "\"key\":\"A19999\",\"name\":\"many\"") "," PLAIN("A7", "$(A9)"), 15000,
                "],\"envFrom\":[" CM("many", "") "]}");
        RenderOptions o = { .node_name = "node-1", .objects = large_objects(1) };
        _cleanup_json_ cJSON *tree = NULL;
        _cleanup_(outcome_done) Outcome got;

        (void)state;
        assert_int_equal(outcome_of(env, &o, &got), 0);
        assert_false(got.refused);
        tree = parse(got.bytes);
        /* A7 is set by env and not referred to. */
        assert_int_equal(cJSON_GetArraySize(json_get(tree, "env")), 19999 + 30000);
        assert_int_equal(cJSON_GetArraySize(json_get(got.values, "ConfigMap many")), 19999);
}

static void containers_share_one_limit(void **state) {
        _cleanup_free_ char *list = repeated("[", FROM(CM("large", "")), 20000, "]");
        const Object agent = { .namespace = (char *)(uintptr_t) "kube-system" };
        const RenderOptions o = { .node_name = "node-1", .objects = large_objects(100000) };
        void (*const parts[])(Render * r, cJSON * list, const Path *path) = { render_containers,
                                                                              render_init_containers };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                _cleanup_json_ cJSON *tree = parse(list);
                Render r = { .daemonset = &agent, .options = &o };

                parts[i](&r, tree, PATH_KEY(NULL, "containers"));
                assert_int_equal(r.refusal, REASON_TooLarge);
                assert_int_equal(r.n_refusals, 1);
                assert_non_null(json_get(cJSON_GetArrayItem(tree, 10), "env"));
                assert_null(json_get(cJSON_GetArrayItem(tree, 11), "env"));
                cJSON_Delete(r.values);
                references_done(&r);
                buf_done(&r.refusals);
                diags_done(&r.warnings);
        }
}

/* ---- memory ---- */

static const RenderOptions *oom_options;

static int oom_row(void *user) {
        const struct Row *this = user;
        Outcome got;
        int r = outcome_of(this->container, oom_options, &got);

        outcome_done(&got);
        return r;
}

static void out_of_memory(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const RenderOptions o = { .node_name = "node-1",
                                          .objects = objects_of(objects_text),
                                          .api_server = rows[i].api_server,
                                          .secret_env_inline = !rows[i].refuse };

                oom_options = &o;
                test_oom(oom_row, (void *)(uintptr_t)&rows[i]);
        }
        (void)objects_of("");
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(rows) + 6];
        size_t n = 0;

        for (; n < ARRAY_SIZE(rows); n++)
                tests[n] = (struct CMUnitTest){ rows[n].name, row, NULL, NULL, (void *)(uintptr_t)&rows[n] };
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(without_objects_all_is_missing);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_value_of_one_mebibyte_is_the_limit);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(more_than_a_manifest_holds_is_not_made);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(long_lists_cost_no_square);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(containers_share_one_limit);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(out_of_memory);
        return _cmocka_run_group_tests("render env", tests, n, NULL, NULL);
}
