/* SPDX-License-Identifier: Apache-2.0 */
/* The rights that DaemonSets need: whole sets beside the rules expected, and what must hold for any rules. */
#include "core/rbac.h"
#include "core/yaml.h"
#include "render_objects.h"

#include <errno.h>
#include <stdio.h>

#define CASES "cases/rbac"
#define NODE "worker-1.example.org"

static RbacOptions options_for(const Objects *objects, bool all) {
        return (RbacOptions){
                .render = { .objects = objects,
                            .volumes_dir = VOLUMES_DIR,
                            .node_name = all ? NODE : NULL,
                            .secret_env_inline = all },
                .namespaces = "kube-system,logging",
                .tokens = all,
        };
}

static void make(const Objects *objects, bool all, Rbac *ret) {
        const RbacOptions options = options_for(objects, all);

        assert_int_equal(rbac_make(&options, ret), 0);
}

/* ---- what holds for all rules ---- */

static bool has_string(const cJSON *list, const char *s) {
        const cJSON *item;

        cJSON_ArrayForEach(item, list) {
                if (streq(cJSON_GetStringValue(item), s))
                        return true;
        }
        return false;
}

/* Only DaemonSets and pods have no names; an empty list, or an empty name in it, would be the whole collection. Sorted,
 * and each once. */
static void check_names(const cJSON *rule, const char *resource) {
        const cJSON *names = json_get(rule, "resourceNames"), *name;
        const char *last = "";

        if (streq(resource, "daemonsets") || streq(resource, "pods")) {
                assert_null(names);
                return;
        }
        assert_true(cJSON_GetArraySize(names) > 0);
        cJSON_ArrayForEach(name, names) {
                assert_true(strcmp(last, name->valuestring) < 0);
                last = name->valuestring;
        }
}

static void check_rule(const cJSON *rule) {
        static const struct {
                const char *resource, *group;
        } known[] = {
                { "namespaces", "" },
                { "nodes", "" },
                { "priorityclasses", "scheduling.k8s.io" },
                { "daemonsets", "apps" },
                { "pods", "" },
                { "configmaps", "" },
                { "secrets", "" },
                { "serviceaccounts/token", "" },
        };
        const cJSON *resources = json_get(rule, "resources"), *groups = json_get(rule, "apiGroups"), *verb;
        const char *resource;
        bool found = false;

        assert_int_equal(cJSON_GetArraySize(resources), 1);
        assert_int_equal(cJSON_GetArraySize(groups), 1);
        resource = resources->child->valuestring;
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (streq(resource, known[i].resource)) {
                        assert_string_equal(groups->child->valuestring, known[i].group);
                        found = true;
                }
        assert_true(found);
        assert_true(cJSON_GetArraySize(json_get(rule, "verbs")) > 0);
        cJSON_ArrayForEach(verb, json_get(rule, "verbs")) {
                if (streq(resource, "serviceaccounts/token"))
                        assert_string_equal(verb->valuestring, "create");
                else
                        assert_true(streq(verb->valuestring, "get") || streq(verb->valuestring, "list") ||
                                    streq(verb->valuestring, "watch"));
        }
        check_names(rule, resource);
}

static const char *metadata(const cJSON *object, const char *key) {
        return json_string(json_get(object, "metadata"), key);
}

static void check_binding(const cJSON *role, const cJSON *binding) {
        const cJSON *reference = json_get(binding, "roleRef"), *subjects = json_get(binding, "subjects");
        bool node = streq(json_string(json_path(role, "metadata.labels"), RBAC_LABEL), "node");
        bool cluster = streq(json_string(role, "kind"), "ClusterRole");

        assert_string_equal(json_string(binding, "kind"), cluster ? "ClusterRoleBinding" : "RoleBinding");
        assert_string_equal(metadata(role, "name"), metadata(binding, "name"));
        assert_true(streq(metadata(role, "namespace"), metadata(binding, "namespace")));
        assert_true(cluster == !metadata(role, "namespace"));
        assert_string_equal(json_string(reference, "kind"), json_string(role, "kind"));
        assert_string_equal(json_string(reference, "name"), metadata(role, "name"));
        assert_int_equal(cJSON_GetArraySize(subjects), 1);
        assert_string_equal(json_string(subjects->child, "kind"), node ? "User" : "Group");
        assert_string_equal(json_string(subjects->child, "name"), node ? "daemonlet:" NODE : "daemonlet:nodes");
        /* Whoever may read one Node must not be everybody. */
        assert_true(node == startswith(metadata(role, "name"), "daemonlet-node-"));
}

static void check_objects(const cJSON *objects) {
        for (const cJSON *role = objects->child; role; role = role->next->next) {
                const cJSON *rule;

                assert_true(cJSON_GetArraySize(json_get(role, "rules")) > 0);
                cJSON_ArrayForEach(rule, json_get(role, "rules")) check_rule(rule);
                assert_non_null(role->next);
                check_binding(role, role->next);
                for (const cJSON *other = role->next->next; other; other = other->next->next)
                        assert_false(streq(metadata(role, "name"), metadata(other, "name")) &&
                                     streq(metadata(role, "namespace"), metadata(other, "namespace")));
        }
}

/* ---- cases ---- */

static void rules_text(const Rbac *rbac, Buf *out) {
        for (const cJSON *object = rbac->objects->child; object; object = object->next) {
                buf_str(out, "---\n");
                assert_int_equal(yaml_write(object, out), 0);
        }
        assert_false(out->failed);
}

static void notes_text(const Rbac *rbac, Buf *out) {
        static const char *const kinds[] = {
                [RBAC_REFUSED] = "refused",
                [RBAC_NOT_OPTED_IN] = "not opted in",
                [RBAC_NOT_FOLLOWED] = "not followed",
        };

        buf_printf(out, "%zu DaemonSets; tokens: %s\n", rbac->n_daemonsets, rbac->accounts);
        for (size_t i = 0; i < rbac->n_notes; i++) {
                const RbacNote *note = &rbac->notes[i];

                buf_printf(out, "%s/%s: %s", note->daemonset->namespace, note->daemonset->name, kinds[note->kind]);
                assert_true((note->kind == RBAC_REFUSED) == (note->message != NULL));
                if (note->message)
                        buf_printf(out, ": %s: %s", reason_name(note->reason), note->message);
                buf_char(out, '\n');
        }
}

static void read_case(const char *name, Objects *ret) {
        _cleanup_free_ char *text = NULL;
        char path[256];
        size_t len;

        (void)snprintf(path, sizeof(path), CASES "/%s/input.yaml", name);
        text = test_read(path, &len);
        *ret = (Objects){ 0 };
        assert_int_equal(objects_read(ret, "input.yaml", text, len, false), 0);
        assert_int_equal(objects_finish(ret), 0);
        for (size_t i = 0; i < ret->n_objects; i++)
                assert_int_equal(ret->objects[i].reason, REASON_None);
}

static void golden_file(const char *name, const char *file, const Buf *text) {
        char path[256];

        (void)snprintf(path, sizeof(path), CASES "/%s/%s", name, file);
        test_golden(path, buf_text(text));
}

/* Every word of the input that starts with used- is there (with all that can be), none that starts with not-. */
static void check_words(const char *name, const char *rules) {
        _cleanup_free_ char *input = NULL;
        char path[256], *rest;

        (void)snprintf(path, sizeof(path), CASES "/%s/input.yaml", name);
        input = test_read(path, NULL);
        assert_null(strstr(rules, "- not-"));
        rest = input;
        for (const char *word; (word = strtok_r(rest, " {},:\n", &rest));) {
                char item[128];

                (void)snprintf(item, sizeof(item), "- %s\n", word);
                if (startswith(word, "used-") && !strstr(rules, item))
                        fail_msg("%s: %s is not among the rules", name, word);
        }
}

static void golden(void **state) {
        const char *name = *state;
        _cleanup_buf_ Buf rules = BUF_INIT, rules_all = BUF_INIT, notes = BUF_INIT;
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_rbac_ Rbac some = { 0 }, all = { 0 };

        read_case(name, &objects);
        make(&objects, false, &some);
        make(&objects, true, &all);
        rules_text(&some, &rules);
        rules_text(&all, &rules_all);
        notes_text(&some, &notes);
        notes_text(&all, &notes);
        golden_file(name, "rules.yaml", &rules);
        golden_file(name, "rules-all.yaml", &rules_all);
        golden_file(name, "notes.txt", &notes);
        check_objects(some.objects);
        check_objects(all.objects);
        assert_null(strstr(buf_text(&rules), "- not-"));
        check_words(name, buf_text(&rules_all));
        assert_null(strstr(buf_text(&rules), "serviceaccounts/token"));
        assert_null(strstr(buf_text(&rules), "- nodes\n"));
        assert_string_equal(all.accounts, "");
}

/* The documents in reverse order, a file each. */
static void any_order(void **state) {
        const char *name = *state;
        _cleanup_objects_ Objects objects = { 0 }, reversed = { 0 };
        _cleanup_buf_ Buf first = BUF_INIT, second = BUF_INIT;
        _cleanup_rbac_ Rbac a = { 0 }, b = { 0 };

        read_case(name, &objects);
        for (size_t i = objects.n_objects; i-- > 0;) {
                char file[32];

                (void)snprintf(file, sizeof(file), "%zu.json", i);
                assert_int_equal(objects_read(&reversed, file, objects.objects[i].bytes, objects.objects[i].len, false),
                                 0);
        }
        assert_int_equal(objects_finish(&reversed), 0);
        make(&objects, true, &a);
        make(&reversed, true, &b);
        rules_text(&a, &first);
        rules_text(&b, &second);
        assert_string_equal(buf_text(&first), buf_text(&second));
}

/* ---- what validation does not let through ---- */

static void render_spec_text(const char *spec, Rbac *ret) {
        _cleanup_free_ char *bytes = template_bytes(NULL, spec, NULL);
        Object o = daemonset(bytes);
        Objects objects = { .objects = &o, .n_objects = 1 };

        o.mode = (char *)(uintptr_t) "static";
        make(&objects, true, ret);
        check_objects(ret->objects);
}

static void names_that_no_object_has(void **state) {
        static const char *const bad[] = { "", "*", "A", "a/b", "a\\nb", "..", "a b" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_buf_ Buf spec = BUF_INIT, rules = BUF_INIT;
                _cleanup_rbac_ Rbac rbac = { 0 };

                buf_printf(
                        &spec,
                        "\"priorityClassName\":\"%s\",\"serviceAccountName\":\"%s\",\"automountServiceAccountToken\":"
                        "true,\"volumes\":[{\"name\":\"a\",\"configMap\":{\"name\":\"%s\"}},{\"name\":\"b\","
                        "\"secret\":{\"secretName\":\"%s\"}},{\"name\":\"c\",\"secret\":{}}]",
                        bad[i], bad[i], bad[i], bad[i]);
                render_spec_text(buf_text(&spec), &rbac);
                assert_int_equal(rbac.n_notes, 0);
                rules_text(&rbac, &rules);
                assert_null(strstr(buf_text(&rules), "secrets"));
                assert_null(strstr(buf_text(&rules), "priorityclasses"));
                /* The rest of it counts. */
                assert_non_null(strstr(buf_text(&rules), "- kube-root-ca.crt\n"));
                assert_true((strstr(buf_text(&rules), "serviceaccounts/token") != NULL) == (bad[i][0] == 0));
        }
}

static void a_node_that_cannot_be(void **state) {
        static const char *const bad[] = { "", "a b", "A\nb", "system:masters" };
        const Objects none = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                RbacOptions options = options_for(&none, false);
                _cleanup_rbac_ Rbac rbac = { 0 };

                options.render.node_name = bad[i];
                assert_int_equal(rbac_make(&options, &rbac), 0);
                assert_int_equal(cJSON_GetArraySize(rbac.objects), 2);
        }
}

/* How long a pod's name is depends on the node; without one none is too long. */
static void long_names(void **state) {
        char name[253], text[1024];
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_rbac_ Rbac some = { 0 }, all = { 0 };

        (void)state;
        memset(name, 'a', sizeof(name));
        name[251] = 0;
        (void)snprintf(text, sizeof(text),
                       "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: %s, namespace: logging, labels: {"
                       "daemonlet.io/mode: static}}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {"
                       "labels: {a: b}}, spec: {containers: [{name: a, image: 'r.example/a:1'}]}}}}",
                       name);
        assert_int_equal(objects_read(&objects, "a.yaml", text, strlen(text), false), 0);
        assert_int_equal(objects_finish(&objects), 0);
        make(&objects, false, &some);
        assert_int_equal(some.n_daemonsets, 1);
        assert_int_equal(some.n_notes, 0);
        make(&objects, true, &all);
        assert_int_equal(all.n_notes, 1);
        assert_int_equal(all.notes[0].reason, REASON_NameTooLong);
}

/* Invalid ones are the caller's to tell of. */
static void invalid_daemonsets(void **state) {
        static const char text[] =
                "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a, namespace: b}, spec: {}}";
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_rbac_ Rbac rbac = { 0 };

        (void)state;
        assert_int_equal(objects_read(&objects, "a.yaml", text, strlen(text), false), 0);
        assert_int_equal(objects_finish(&objects), 0);
        assert_int_equal(objects.objects[0].reason, REASON_Invalid);
        make(&objects, false, &rbac);
        assert_int_equal(rbac.n_daemonsets, 0);
        assert_int_equal(rbac.n_notes, 0);
        assert_int_equal(cJSON_GetArraySize(rbac.objects), 2);
}

/* The name of a class is all that the renderer's own table and this one have in common. */
static void critical_classes(void **state) {
        static const char *const names[] = { "system-node-critical", "system-cluster-critical" };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_buf_ Buf spec = BUF_INIT;
                _cleanup_rbac_ Rbac rbac = { 0 };
                const cJSON *object;

                buf_printf(&spec, "\"priorityClassName\":\"%s\"", names[i]);
                render_spec_text(buf_text(&spec), &rbac);
                cJSON_ArrayForEach(object, rbac.objects)
                        assert_string_not_equal(metadata(object, "name"), "daemonlet-priorityclasses");
        }
}

/* ---- out of memory ---- */

static int make_once(void *user) {
        const RbacOptions options = options_for(user, true);
        RbacOptions without = options;
        _cleanup_rbac_ Rbac a = { 0 }, b = { 0 };
        int r;

        without.tokens = false;
        without.render.secret_env_inline = false;
        r = rbac_make(&options, &a);
        if (r == 0)
                r = rbac_make(&without, &b);
        if (r == 0)
                assert_true(has_string(json_get(json_get(a.objects->child, "rules")->child, "verbs"), "get"));
        return r;
}

static void out_of_memory(void **state) {
        _cleanup_objects_ Objects objects = { 0 };

        read_case(*state, &objects);
        (void)test_oom(make_once, &objects);
}

int main(void) {
        struct CMUnitTest tests[128] = {
                cmocka_unit_test(names_that_no_object_has),
                cmocka_unit_test(a_node_that_cannot_be),
                cmocka_unit_test(long_names),
                cmocka_unit_test(invalid_daemonsets),
                cmocka_unit_test(critical_classes),
        };
        static char names[128][96];
        size_t n_cases, n = 5;
        char **cases = test_names(CASES, &n_cases);
        static const struct {
                const char *what;
                CMUnitTestFunction function;
        } kinds[] = { { "golden", golden }, { "any order", any_order }, { "out of memory", out_of_memory } };
        int r;

        for (size_t i = 0; i < n_cases; i++)
                for (size_t k = 0; k < ARRAY_SIZE(kinds) && !strstr(cases[i], ".md"); k++, n++) {
                        assert_true(n < ARRAY_SIZE(tests));
                        (void)snprintf(names[n], sizeof(names[n]), "%s: %s", kinds[k].what, cases[i]);
                        tests[n] = (struct CMUnitTest){ names[n], kinds[k].function, NULL, NULL, cases[i] };
                }
        r = _cmocka_run_group_tests("rbac", tests, n, NULL, NULL);
        test_names_free(cases, n_cases);
        return r;
}
