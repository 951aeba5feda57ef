/* SPDX-License-Identifier: Apache-2.0 */
/* Which cluster a kubeconfig speaks of. */
#include "core/kubeconfig.h"
#include "test.h"

#include <errno.h>

#define CLUSTERS                                                                                                       \
        "clusters:\n- name: one\n  cluster: {server: 'https://1', certificate-authority: pki/ca.crt}\n"                \
        "- name: two\n  cluster: {server: 'https://2', certificate-authority: x, certificate-authority-data: UEVN}\n"
#define CONTEXTS                                                                                                       \
        "contexts:\n- name: first\n  context: {cluster: one, user: u}\n- name: second\n  context: {cluster: two}\n"    \
        "- name: lost\n  context: {cluster: three}\n"

typedef struct Row {
        const char *name, *text;
        int result;
        const char *server, *ca_file, *ca_data; /* or the message */
} Row;

static const Row rows[] = {
        { "the current context", CLUSTERS CONTEXTS "current-context: first\n", 0, "https://1", "pki/ca.crt", NULL },
        { "data beside a file", CLUSTERS CONTEXTS "current-context: second\n", 0, "https://2", "x", "PEM" },
        { "json", "{\"kind\":\"Config\",\"clusters\":[{\"name\":\"a\",\"cluster\":{\"server\":\"https://a\"}}]}", 0,
          "https://a", NULL, NULL },
        { "no context, one cluster", "clusters:\n- name: a\n  cluster: {server: 'https://a'}\n", 0, "https://a", NULL,
          NULL },
        { "an empty current context is none",
          "current-context: ''\nclusters:\n- name: a\n  cluster: {server: 'https://a'}\n", 0, "https://a", NULL, NULL },
        { "one context that is not current", CLUSTERS "contexts:\n- name: only\n  context: {cluster: two}\n", 0,
          "https://2", "x", "PEM" },
        { "several clusters, no context", CLUSTERS, -EBADMSG, "k: no current-context, and not exactly one cluster",
          NULL, NULL },
        { "a context that is not there", CLUSTERS CONTEXTS "current-context: third\n", -EBADMSG,
          "k: current-context is \"third\", and there is no such context", NULL, NULL },
        { "a cluster that is not there", CLUSTERS CONTEXTS "current-context: lost\n", -EBADMSG,
          "k: there is no cluster \"three\", which the context names", NULL, NULL },
        { "no base64", "clusters:\n- name: a\n  cluster: {certificate-authority-data: '*'}\n", -EBADMSG,
          "k: certificate-authority-data is no base64", NULL, NULL },
        { "no object", "[]", -EBADMSG, "k: not a kubeconfig: one object is wanted", NULL, NULL },
        { "two documents", "{}\n---\n{}\n", -EBADMSG, "k: not a kubeconfig: one object is wanted", NULL, NULL },
        { "nothing", "", -EBADMSG, "k: not a kubeconfig: one object is wanted", NULL, NULL },
        { "values of other types", "current-context: 1\nclusters: 2\n", -EBADMSG,
          "k: no current-context, and not exactly one cluster", NULL, NULL },
};

static void test_row(void **state) {
        const Row *row = *state;
        _cleanup_kube_cluster_ KubeCluster c = { 0 };
        Err err = { 0 };

        assert_int_equal(kubeconfig_cluster("k", row->text, strlen(row->text), &c, &err), row->result);
        if (row->result < 0) {
                assert_string_equal(err.message, row->server);
                return;
        }
        assert_string_equal(str_or_empty(c.server), str_or_empty(row->server));
        assert_string_equal(str_or_empty(c.ca_file), str_or_empty(row->ca_file));
        assert_string_equal(str_or_empty(c.ca_data), str_or_empty(row->ca_data));
        assert_int_equal(c.ca_data_len, strlen(str_or_empty(row->ca_data)));
}

static void test_a_place_is_named(void **state) {
        static const char text[] = "clusters:\n\t- x\n";
        KubeCluster c;
        Err err = { 0 };

        (void)state;
        assert_int_equal(kubeconfig_cluster("k", text, strlen(text), &c, &err), -EBADMSG);
        assert_true(startswith(err.message, "k:2:"));
}

static int live(void *user) {
        static const char text[] = CLUSTERS CONTEXTS "current-context: second\n";
        _cleanup_kube_cluster_ KubeCluster c = { 0 };
        Err err = { 0 };

        (void)user;
        return kubeconfig_cluster("k", text, strlen(text), &c, &err);
}

static void test_out_of_memory(void **state) {
        (void)state;
        (void)test_oom(live, NULL);
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(rows) + 2];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                tests[i] = (struct CMUnitTest){ .name = rows[i].name,
                                                .test_func = test_row,
                                                .initial_state = (void *)(uintptr_t)&rows[i] };
        tests[ARRAY_SIZE(rows)] = (struct CMUnitTest)cmocka_unit_test(test_a_place_is_named);
        tests[ARRAY_SIZE(rows) + 1] = (struct CMUnitTest)cmocka_unit_test(test_out_of_memory);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
