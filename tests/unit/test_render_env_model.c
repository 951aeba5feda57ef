/* SPDX-License-Identifier: Apache-2.0 */
/* A container's environment as a kubelet makes it, from the template with the objects and from the rendered one without
 * any: a second, simple implementation of the kubelet's rules, and random containers. */
#include "env_outcome.h"

#define OPTIONAL ",\"optional\":true"

/* ---- the model ---- */

enum { VARIABLES_MAX = 64 };

typedef struct Map {
        const char *names[VARIABLES_MAX];
        char *values[VARIABLES_MAX];
        size_t n;
} Map;

static void map_done(Map *m) {
        for (size_t i = 0; i < m->n; i++)
                free(m->values[i]);
        m->n = 0;
}

static size_t map_find(const Map *m, const char *name, size_t len) {
        size_t i = 0;

        while (i < m->n && (strlen(m->names[i]) != len || memcmp(m->names[i], name, len) != 0))
                i++;
        return i;
}

/* Takes the value. */
static void map_set(Map *m, const char *name, char *value) {
        size_t i = map_find(m, name, strlen(name));

        assert_non_null(value);
        assert_true(i < VARIABLES_MAX);
        if (i < m->n)
                free(m->values[i]);
        else
                m->names[m->n++] = name;
        m->values[i] = value;
}

static char *expand(const char *s, const Map *first, const Map *second) {
        _cleanup_buf_ Buf out = BUF_INIT;

        while (*s) {
                const char *close = s[0] == '$' && s[1] == '(' ? strchr(s, ')') : NULL;
                const Map *m = first;
                size_t i, len;

                if (s[0] == '$' && s[1] == '$') {
                        buf_char(&out, '$');
                        s += 2;
                        continue;
                }
                if (!close) {
                        buf_char(&out, *s++);
                        continue;
                }
                len = (size_t)(close - s) - 2;
                i = map_find(m, s + 2, len);
                if (i == m->n && second)
                        i = map_find(m = second, s + 2, len);
                if (i < m->n)
                        buf_str(&out, m->values[i]);
                else
                        buf_add(&out, s, len + 3);
                s = close + 1;
        }
        return buf_take(&out, NULL);
}

/* The objects of the simulation: plain values, without base64. */
static const cJSON *model_object(const cJSON *model, const char *kind, const cJSON *ref) {
        return json_get(json_get(model, kind), str_or_empty(json_string(ref, "name")));
}

/* Names that envFrom makes live as long as the container. */
static const char *joined(cJSON *names, const char *prefix, const char *key) {
        char text[64];

        (void)snprintf(text, sizeof(text), "%s%s", prefix, key);
        assert_true(cJSON_AddItemToArray(names, cJSON_CreateString(text)));
        return names->child->prev->valuestring;
}

/* False: the container does not start. */
static bool model_env_from(const cJSON *container, const cJSON *model, cJSON *names, Map *env) {
        const cJSON *from;

        cJSON_ArrayForEach(from, json_get(container, "envFrom")) {
                const cJSON *map = json_get(from, "configMapRef"), *ref = map ? map : json_get(from, "secretRef");
                const cJSON *object = model_object(model, map ? "cm" : "secret", ref), *datum;

                if (!object && !json_true(ref, "optional"))
                        return false;
                cJSON_ArrayForEach(datum, object)
                        map_set(env, joined(names, str_or_empty(json_string(from, "prefix")), datum->string),
                                strdup(datum->valuestring));
        }
        return true;
}

static bool model_environment(const cJSON *container, const cJSON *model, const Map *services, bool file, cJSON *names,
                              Map *env) {
        const cJSON *item;

        if (!model_env_from(container, model, names, env))
                return false;
        cJSON_ArrayForEach(item, json_get(container, "env")) {
                const cJSON *from = json_get(item, "valueFrom"), *map = json_get(from, "configMapKeyRef");
                const cJSON *ref = map ? map : json_get(from, "secretKeyRef");
                const char *name = json_string(item, "name");
                const char *value = json_string(model_object(model, map ? "cm" : "secret", ref),
                                                str_or_empty(json_string(ref, "key")));

                if (ref && !value && !json_true(ref, "optional"))
                        return false;
                if ((ref && !value) || (json_get(from, "fileKeyRef") && !file))
                        continue;
                map_set(env, name,
                        ref    ? strdup(value)
                        : from ? strdup("from the kubelet: $(A)$$")
                               : expand(str_or_empty(json_string(item, "value")), env, services));
        }
        for (size_t i = 0; i < services->n; i++)
                if (map_find(env, services->names[i], strlen(services->names[i])) == env->n)
                        map_set(env, services->names[i], strdup(services->values[i]));
        return true;
}

/* What the probe runs: it sees the list as it is written. */
static char *model_probe(const cJSON *container) {
        const cJSON *item, *command = json_path(container, "livenessProbe.exec.command");
        Map env = { 0 };
        char *text;

        cJSON_ArrayForEach(item, json_get(container, "env"))
                map_set(&env, json_string(item, "name"), strdup(str_or_empty(json_string(item, "value"))));
        text = expand(command->child->valuestring, &env, NULL);
        map_done(&env);
        return text;
}

/* ---- random containers ---- */

static uint64_t random_state;

static size_t below(size_t n) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        return (size_t)(random_state >> 33) % n;
}

#define PICK(list) ((list)[below(ARRAY_SIZE(list))])

static const char *const keys[] = { "A", "B", "C", "_A", "1", "KUBERNETES_SERVICE_PORT" };
static const char *const prefixes[] = { "", "", "P", "P_", "." };
static const char *const variables[] = { "A", "B", "C", "P_A", "PA", ".A", "KUBERNETES_SERVICE_HOST", "SVC" };
static const char *const objects[] = { "x", "y", "z" };

static void random_text(Buf *out) {
        static const char *const bits[] = { "$",  "$",    "$$",    "$(A)",  "$(B)",   "$(P_A)",
                                            "$(", ")",    "x",     "ü",     "(",      "$(KUBERNETES_SERVICE_HOST)",
                                            "A",  "$(C)", "$(PA)", "$(.A)", "$(SVC)", "$(KUBERNETES_SERVICE_PORT)" };

        for (size_t n = below(5); n > 0; n--)
                buf_str(out, PICK(bits));
}

static void random_objects(Buf *model, Buf *text) {
        static const char *const kinds[][3] = { { "cm", "ConfigMap", "data" }, { "secret", "Secret", "stringData" } };

        buf_char(model, '{');
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                size_t n = 0;

                buf_printf(model, "%s\"%s\":{", k ? "," : "", kinds[k][0]);
                for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
                        _cleanup_buf_ Buf data = BUF_INIT;
                        size_t m = 0;

                        if (below(3) == 0)
                                continue;
                        for (size_t j = 0; j < ARRAY_SIZE(keys); j++)
                                if (below(j < 3 ? 2 : 6) == 0) {
                                        buf_printf(&data, "%s\"%s\":\"", m++ ? "," : "", keys[j]);
                                        random_text(&data);
                                        buf_char(&data, '"');
                                }
                        buf_printf(model, "%s\"%s\":{%s}", n++ ? "," : "", objects[i], buf_text(&data));
                        buf_printf(text,
                                   "{\"apiVersion\":\"v1\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s\","
                                   "\"namespace\":\"kube-system\"},\"%s\":{%s}}\n",
                                   kinds[k][1], objects[i], kinds[k][2], buf_text(&data));
                }
                buf_char(model, '}');
        }
        buf_char(model, '}');
}

static void random_entry(Buf *out) {
        static const char *const sources[] = { "\"fieldRef\":{\"fieldPath\":\"metadata.name\"}",
                                               "\"fileKeyRef\":{\"key\":\"k\",\"optional\":true}" };
        static const char *const refs[] = { "configMapKeyRef", "secretKeyRef" };

        buf_printf(out, "{\"name\":\"%s\",", PICK(variables));
        if (below(2)) {
                buf_str(out, "\"value\":\"");
                random_text(out);
                buf_str(out, "\"}");
        } else if (below(4) == 0) {
                buf_printf(out, "\"valueFrom\":{%s}}", PICK(sources));
        } else {
                buf_printf(out, "\"valueFrom\":{\"%s\":{\"key\":\"%s\",\"name\":\"%s\"%s}}}", PICK(refs), PICK(keys),
                           PICK(objects), below(5) ? OPTIONAL : "");
        }
}

static void random_container(Buf *out) {
        static const char *const refs[] = { "configMapRef", "secretRef" };

        buf_str(out, "{\"env\":[");
        for (size_t i = 0, n = below(6); i < n; i++) {
                buf_str(out, i ? "," : "");
                random_entry(out);
        }
        buf_str(out, "],\"envFrom\":[");
        for (size_t i = 0, n = below(4); i < n; i++)
                buf_printf(out, "%s{\"%s\":{\"name\":\"%s\"%s},\"prefix\":\"%s\"}", i ? "," : "", PICK(refs),
                           PICK(objects), below(8) ? OPTIONAL : "", PICK(prefixes));
        buf_str(out, "],\"livenessProbe\":{\"exec\":{\"command\":[\"");
        random_text(out);
        buf_str(out, "\"]}}}");
}

static void assert_same_environment(const Map *a, const Map *b, const char *before, const char *after) {
        if (a->n != b->n)
                fail_msg("%zu variables and %zu: %s -> %s", a->n, b->n, before, after);
        for (size_t i = 0; i < a->n; i++) {
                size_t k = map_find(b, a->names[i], strlen(a->names[i]));

                if (k == b->n || !streq(a->values[i], b->values[k]))
                        fail_msg("%s is \"%s\" and \"%s\": %s -> %s", a->names[i], a->values[i],
                                 k == b->n ? "(unset)" : b->values[k], before, after);
        }
}

/* Every value in the record is one of the objects'. */
static void assert_recorded(const cJSON *values, const cJSON *model) {
        const cJSON *object, *value;

        cJSON_ArrayForEach(object, values) {
                bool secret = startswith(object->string, "Secret ");
                const cJSON *data = json_get(json_get(model, secret ? "secret" : "cm"),
                                             strchr(object->string, ' ') + 1);

                assert_true(cJSON_GetArraySize(object) > 0);
                cJSON_ArrayForEach(value, object) {
                        assert_string_equal(value->valuestring, json_string(data, value->string));
                        assert_true(!value->next || strcmp(value->string, value->next->string) < 0);
                }
        }
}

/* One container, with these objects: returns whether it started. */
static bool compare_one(const char *container, const cJSON *model, const RenderOptions *o) {
        Map services = { .names = { "SVC", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT" },
                         .values = { (char *)(uintptr_t) "s$$", (char *)(uintptr_t) "h", (char *)(uintptr_t) "1" },
                         .n = 3 };
        _cleanup_json_ cJSON *before = parse(container), *after = NULL, *names = cJSON_CreateArray();
        _cleanup_(outcome_done) Outcome got;

        assert_int_equal(outcome_of(container, o, &got), 0);
        after = parse(got.bytes);
        assert_false(got.refused);
        for (size_t file = 0; file < 2; file++) {
                _cleanup_(map_done) Map x = { 0 }, y = { 0 };
                bool starts;

                services.n = 3;
                starts = model_environment(before, model, &services, file, names, &x);
                assert_int_equal(starts, got.n_missing == 0);
                if (!starts)
                        return false;
                /* What was put in front has to be enough without the kubelet's. */
                services.n = strstr(buf_text(&got.says), "api_server") ? 1 : 3;
                assert_null(json_get(after, "envFrom") ? json_get(after, "envFrom")->child : NULL);
                assert_true(model_environment(after, NULL, &services, file, names, &y));
                assert_same_environment(&x, &y, container, got.bytes);
        }
        {
                _cleanup_free_ char *x = model_probe(before), *y = model_probe(after);

                if (!streq(x, y))
                        fail_msg("the probe runs \"%s\" and \"%s\": %s -> %s", x, y, container, got.bytes);
        }
        assert_recorded(got.values, model);
        return true;
}

static void a_kubelet_makes_the_same_of_it(void **state) {
        size_t started = 0;

        (void)state;
        random_state = 1;
        for (size_t set = 0; set < 200; set++) {
                _cleanup_buf_ Buf model_text = BUF_INIT, text = BUF_INIT;
                _cleanup_json_ cJSON *model = NULL;
                RenderOptions o = { .node_name = "node-1", .secret_env_inline = true };

                random_objects(&model_text, &text);
                model = parse(buf_text(&model_text));
                o.objects = objects_of(buf_text(&text));
                for (size_t i = 0; i < 50; i++) {
                        _cleanup_buf_ Buf container = BUF_INIT;

                        o.api_server = below(2) ? "h:1" : NULL;
                        random_container(&container);
                        started += compare_one(buf_text(&container), model, &o);
                }
        }
        assert_in_range(started, 3000, 9000);
        (void)objects_of("");
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(a_kubelet_makes_the_same_of_it) };

        return cmocka_run_group_tests_name("render env model", tests, NULL, NULL);
}
