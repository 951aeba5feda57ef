/* SPDX-License-Identifier: Apache-2.0 */
/* Which cluster a kubeconfig speaks of. */
#include "core/kubeconfig.h"
#include "test.h"
#include "wiped.h"

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
          "k: cluster \"a\": certificate-authority-data is no base64", NULL, NULL },
        { "no object", "[]", -EBADMSG, "k: not a kubeconfig: one object is wanted", NULL, NULL },
        { "two documents", "{}\n---\n{}\n", -EBADMSG, "k: not a kubeconfig: one object is wanted", NULL, NULL },
        { "nothing", "", -EBADMSG, "k: not a kubeconfig: one object is wanted", NULL, NULL },
        { "another kind", "{kind: Pod}", -EBADMSG, "k: not a kubeconfig: its kind is Pod", NULL, NULL },
        { "one cluster that is no list", "clusters: {a: {name: a}}", -EBADMSG,
          "k: no current-context, and not exactly one cluster", NULL, NULL },
        { "a context that names no cluster", CLUSTERS "contexts: [{name: x, context: {user: u}}]", -EBADMSG,
          "k: there is no cluster \"\", which the context names", NULL, NULL },
        { "a cluster that is there twice", CLUSTERS "- {name: one}\n" CONTEXTS "current-context: first\n", -EBADMSG,
          "k: the name \"one\" is there twice in clusters", NULL, NULL },
        { "another cluster that is there twice", CLUSTERS "- {name: one}\n" CONTEXTS "current-context: second\n", 0,
          "https://2", "x", "PEM" },
        { "a context that is there twice", CLUSTERS CONTEXTS "- {name: lost}\ncurrent-context: lost\n", -EBADMSG,
          "k: the name \"lost\" is there twice in contexts", NULL, NULL },
        { "data that is empty", "clusters: [{cluster: {certificate-authority: f, certificate-authority-data: ''}}]", 0,
          NULL, "f", NULL },
        { "data of no bytes", "clusters: [{cluster: {certificate-authority-data: \"\\n\"}}]", 0, NULL, NULL, NULL },
        { "a server that is no string", "clusters: [{name: a, cluster: {server: 1}}]", -EBADMSG,
          "k: cluster \"a\": server must be a string", NULL, NULL },
        { "what a client would refuse", "clusters: [{cluster: {server: 'http://x', insecure-skip-tls-verify: true}}]",
          0, "http://x", NULL, NULL },
        { "a user that would be refused", "clusters: [{cluster: {server: s}}]\nusers: [{user: {exec: {}}}]", 0, "s",
          NULL, NULL },
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
        assert_string_equal(str_or_empty(c.ca.file), str_or_empty(row->ca_file));
        assert_int_equal(!c.ca.data, !row->ca_data);
        assert_string_equal(str_or_empty(c.ca.data), str_or_empty(row->ca_data));
        assert_int_equal(c.ca.len, strlen(str_or_empty(row->ca_data)));
}

static void test_a_place_is_named(void **state) {
        static const char text[] = "clusters:\n\t- x\n";
        KubeCluster c;
        Err err = { 0 };

        (void)state;
        assert_int_equal(kubeconfig_cluster("k", text, strlen(text), &c, &err), -EBADMSG);
        assert_true(startswith(err.message, "k:2:"));
}

/* ---- cluster and user ---- */

/* Flow style: one cluster, one user, no context. */
#define CLUSTER(fields) "{clusters: [{name: c, cluster: {" fields "}}], users: ["
#define USER(fields) CLUSTER("server: 'https://h'") "{name: u, user: {" fields "}}]}"
#define SERVER(url) CLUSTER("server: '" url "'") "]}"
#define INSTEAD                                                                                                         \
        " is not supported; give it a client certificate (client-certificate, client-key) or a token file (tokenFile) " \
        "instead"
#define KUBELET_PEM "/var/lib/kubelet/pki/kubelet-client-current.pem"
#define PAIR "client-certificate: /c, client-key: k"
#define MANY                                                                                                           \
        "clusters:\n- {name: c, cluster: {server: 'https://h'}}\n- {name: d, cluster: {server: 'https://i'}}\n"        \
        "users:\n- {name: u, user: {token: t1}}\n- {name: v, user: {token: t2}}\n- {name: w, user: {exec: {}}}\n"      \
        "contexts:\n- {name: to-x, context: {cluster: c, user: v}}\n- {name: to-y, context: {cluster: d}}\n"           \
        "- {name: to-z, context: {cluster: d, user: gone}}\n- {name: to-e, context: {cluster: d, user: w, namespace: n}}\n"

typedef struct ReadRow {
        const char *name, *text;
        int result;
        const char *want; /* what was read, or the message */
} ReadRow;

static const ReadRow read_rows[] = {
        { "kubeadm's kubelet.conf",
          "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: UEVN\n    server: https://10.0.0.1:6443\n"
          "  name: default-cluster\ncontexts:\n- context:\n    cluster: default-cluster\n    namespace: default\n"
          "    user: default-auth\n  name: default-context\ncurrent-context: default-context\nkind: Config\n"
          "preferences: {}\nusers:\n- name: default-auth\n  user:\n    client-certificate: " KUBELET_PEM
          "\n    client-key: " KUBELET_PEM "\n",
          0, "https://10.0.0.1:6443 ca:PEM cert@" KUBELET_PEM " key@" KUBELET_PEM },
        { "every field",
          CLUSTER("server: 'https://h', certificate-authority: ca, certificate-authority-data: UEVN, "
                  "tls-server-name: kube.local, proxy-url: 'http://p:3128', insecure-skip-tls-verify: false, "
                  "disable-compression: true, extensions: []") "{name: u, user: {client-certificate: c, "
                                                               "client-certificate-data: QQ==, client-key: k, "
                                                               "client-key-data: Qg==, token: t, tokenFile: f}}]}",
          0, "https://h tls=kube.local proxy=http://p:3128 ca@ca ca:PEM cert@c cert:A key@k key:B token@f token:t" },
        { "certificate in data, key in a file", USER("client-certificate-data: QQ==, client-key: k"), 0,
          "https://h cert:A key@k" },
        { "no user at all", "{clusters: [{cluster: {server: 'https://h'}}]}", 0, "https://h" },
        { "a user of nothing", USER(""), 0, "https://h" },
        { "fields that are null",
          CLUSTER("server: 'https://h', certificate-authority: null, insecure-skip-tls-verify: null, proxy-url: ''") "{name: u, user: {token: null, exec: null, username: '', as: '', as-groups: [], client-key: null}}]}",
          0, "https://h" },
        { "insecure", CLUSTER("server: 'https://h', insecure-skip-tls-verify: true") "]}", 0, "https://h insecure" },
        { "the context's user", MANY "current-context: to-x\n", 0, "https://h token:t2" },
        { "a context without a user", MANY "current-context: to-y\n", 0, "https://i" },
        { "a user that is not there", MANY "current-context: to-z\n", -EBADMSG,
          "k: there is no user \"gone\", which the context names" },
        { "a refused user of another context", MANY "current-context: to-e\n", -EOPNOTSUPP,
          "k: user \"w\": exec" INSTEAD },
        { "a user that is there twice",
          "{clusters: [{name: c, cluster: {server: 'https://h'}}], users: [{name: u, user: {token: a}}, {name: u}], "
          "contexts: [{name: x, context: {cluster: c, user: u}}]}",
          -EBADMSG, "k: the name \"u\" is there twice in users" },
        { "several users, no context", CLUSTER("server: 'https://h'") "{name: u}, {name: v}]}", -EBADMSG,
          "k: no current-context, and more than one user" },

        { "exec", USER("exec: {command: aws}, token: t"), -EOPNOTSUPP, "k: user \"u\": exec" INSTEAD },
        { "an empty exec", USER("exec: {}"), -EOPNOTSUPP, "k: user \"u\": exec" INSTEAD },
        { "auth-provider", USER("auth-provider: {name: gcp}"), -EOPNOTSUPP, "k: user \"u\": auth-provider" INSTEAD },
        { "username", USER("username: SECRET"), -EOPNOTSUPP, "k: user \"u\": username" INSTEAD },
        { "password", USER("password: SECRET"), -EOPNOTSUPP, "k: user \"u\": password" INSTEAD },
        { "password of digits", USER("password: 1"), -EOPNOTSUPP, "k: user \"u\": password" INSTEAD },
        { "as", USER("as: root, " PAIR), -EOPNOTSUPP, "k: user \"u\": as" INSTEAD },
        { "as-uid", USER("as-uid: x"), -EOPNOTSUPP, "k: user \"u\": as-uid" INSTEAD },
        { "as-groups", USER("as-groups: [g]"), -EOPNOTSUPP, "k: user \"u\": as-groups" INSTEAD },
        { "as-user-extra", USER("as-user-extra: {a: [b]}"), -EOPNOTSUPP, "k: user \"u\": as-user-extra" INSTEAD },
        { "a certificate without a key", USER("client-certificate: c"), -EBADMSG,
          "k: user \"u\": client-certificate is there without client-key" },
        { "a key without a certificate", USER("client-key-data: QQ==, token: t"), -EBADMSG,
          "k: user \"u\": client-key is there without client-certificate" },
        { "a key that is no base64", USER("client-certificate: c, client-key-data: SECRET"), -EBADMSG,
          "k: user \"u\": client-key-data is no base64" },
        { "a certificate that is no base64", USER("client-key: c, client-certificate-data: SECRET"), -EBADMSG,
          "k: user \"u\": client-certificate-data is no base64" },
        { "a token of digits", USER("token: 12345"), -EBADMSG, "k: user \"u\": token must be a string" },
        { "a token file that is a list", USER("tokenFile: [SECRET]"), -EBADMSG,
          "k: user \"u\": tokenFile must be a string" },
        { "insecure as a string", CLUSTER("server: 'https://h', insecure-skip-tls-verify: 'true'") "]}", -EBADMSG,
          "k: cluster \"c\": insecure-skip-tls-verify must be true or false" },
        { "insecure with a CA file",
          CLUSTER("server: 'https://h', certificate-authority: x, insecure-skip-tls-verify: true") "]}", -EBADMSG,
          "k: cluster \"c\": insecure-skip-tls-verify and a certificate authority exclude each other" },
        { "insecure with CA data",
          CLUSTER("server: 'https://h', certificate-authority-data: QQ==, insecure-skip-tls-verify: true") "]}",
          -EBADMSG, "k: cluster \"c\": insecure-skip-tls-verify and a certificate authority exclude each other" },

        { "no server", CLUSTER("") "]}", -EBADMSG, "k: cluster \"c\": server is missing" },
        { "no cluster under the name", "{clusters: [{name: c}]}", -EBADMSG, "k: cluster \"c\": server is missing" },
        { "http", SERVER("http://h"), -EBADMSG, "k: cluster \"c\": server must be an https:// URL" },
        { "no scheme", SERVER("h:6443"), -EBADMSG, "k: cluster \"c\": server must be an https:// URL" },
        { "a path", SERVER("https://h:6443/k8s/clusters/c-1/"), 0, "https://h:6443/k8s/clusters/c-1/" },
        { "IPv6", SERVER("https://[fd00::1]:6443"), 0, "https://[fd00::1]:6443" },
        { "IPv6 without a port", SERVER("https://[::1]/"), 0, "https://[::1]/" },
        { "the last port", SERVER("https://h:65535"), 0, "https://h:65535" },
        { "an @ in the path", SERVER("https://h/a@b"), 0, "https://h/a@b" },
        { "a query", SERVER("https://h/?SECRET"), -EBADMSG, "k: cluster \"c\": server must not have a query (?)" },
        { "a query at once", SERVER("https://h?@"), -EBADMSG, "k: cluster \"c\": server must not have a query (?)" },
        { "a fragment", SERVER("https://h#SECRET"), -EBADMSG, "k: cluster \"c\": server must not have a fragment (#)" },
        { "credentials", SERVER("https://u:SECRET@h"), -EBADMSG,
          "k: cluster \"c\": server must not have credentials in it" },
        { "a space", SERVER("https://h/ x"), -EBADMSG, "k: cluster \"c\": server has characters that no URL has" },
        { "another alphabet", SERVER("https://\xc3\xa4"), -EBADMSG,
          "k: cluster \"c\": server has characters that no URL has" },
        { "a backslash", SERVER("https://h\\\\@i"), -EBADMSG,
          "k: cluster \"c\": server has characters that no URL has" },
        { "no host", SERVER("https://"), -EBADMSG, "k: cluster \"c\": server must have a valid host, and port if any" },
        { "no host but a path", SERVER("https:///x"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "a port alone", SERVER("https://:6443"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "no port behind the colon", SERVER("https://h:"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "port 0", SERVER("https://h:0"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "port 65536", SERVER("https://h:65536"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "a long port", SERVER("https://h:000443"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "a port of letters", SERVER("https://h:6a"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "a host with other characters", SERVER("https://h%41"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "IPv6 without brackets", SERVER("https://fd00::1"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "an open bracket", SERVER("https://[::1"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "empty brackets", SERVER("https://[]"), -EBADMSG,
          "k: cluster \"c\": server must have a valid host, and port if any" },
        { "socks5", CLUSTER("server: 'https://h', proxy-url: 'socks5://p'") "]}", 0, "https://h proxy=socks5://p" },
        { "a proxy of another scheme", CLUSTER("server: 'https://h', proxy-url: 'ftp://u:SECRET@p'") "]}", -EBADMSG,
          "k: cluster \"c\": proxy-url must be an http://, https:// or socks5:// URL" },
        { "a proxy without a host", CLUSTER("server: 'https://h', proxy-url: 'http://'") "]}", -EBADMSG,
          "k: cluster \"c\": proxy-url must be an http://, https:// or socks5:// URL" },
        { "a proxy with a line break", CLUSTER("server: 'https://h', proxy-url: \"http://p\\nSECRET\"") "]}", -EBADMSG,
          "k: cluster \"c\": proxy-url must be an http://, https:// or socks5:// URL" },
        { "a server name that is none", CLUSTER("server: 'https://h', tls-server-name: 'a/b'") "]}", -EBADMSG,
          "k: cluster \"c\": tls-server-name must be a host name or an address" },
        { "no object", "[]", -EBADMSG, "k: not a kubeconfig: one object is wanted" },
        { "no such context", MANY "current-context: nope\n", -EBADMSG,
          "k: current-context is \"nope\", and there is no such context" },
};

static void show(Buf *out, const char *what, const KubeMaterial *m) {
        if (m->file)
                buf_printf(out, " %s@%s", what, m->file);
        if (m->data)
                buf_printf(out, " %s:%s", what, m->data);
        assert_int_equal(m->len, strlen(str_or_empty(m->data)));
}

static void test_read_row(void **state) {
        const ReadRow *row = *state;
        _cleanup_kubeconfig_ KubeConfig c = { 0 };
        _cleanup_buf_ Buf out = BUF_INIT;
        Err err = { 0 };

        assert_int_equal(kubeconfig_read("k", row->text, strlen(row->text), &c, &err), row->result);
        if (row->result < 0) {
                assert_string_equal(err.message, row->want);
                assert_null(strstr(err.message, "SECRET"));
                assert_null(c.cluster.server);
                return;
        }
        buf_printf(&out, "%s", c.cluster.server);
        if (c.cluster.tls_server_name)
                buf_printf(&out, " tls=%s", c.cluster.tls_server_name);
        if (c.cluster.proxy_url)
                buf_printf(&out, " proxy=%s", c.cluster.proxy_url);
        buf_str(&out, c.cluster.insecure ? " insecure" : "");
        show(&out, "ca", &c.cluster.ca);
        show(&out, "cert", &c.user.cert);
        show(&out, "key", &c.user.key);
        show(&out, "token", &c.user.token);
        assert_string_equal(buf_text(&out), row->want);
}

/* ---- secrets ---- */

static void test_secrets_are_wiped(void **state) {
        static const char text[] = USER("token: SECRET-1, client-certificate: c, client-key-data: U0VDUkVU"),
                          refused[] = USER("password: SECRET");
        KubeConfig c = { 0 };
        KubeCluster cluster = { 0 };

        (void)state;
        watched = "SECRET";
        n_watched = 0;
        assert_int_equal(kubeconfig_read("k", text, strlen(text), &c, NULL), 0);
        assert_int_equal(n_watched, 1); /* the tree's token */
        kubeconfig_done(&c);
        assert_int_equal(n_watched, 3); /* token and key */
        assert_int_equal(kubeconfig_read("k", refused, strlen(refused), &c, NULL), -EOPNOTSUPP);
        assert_int_equal(n_watched, 4);
        assert_int_equal(kubeconfig_cluster("k", text, strlen(text), &cluster, NULL), 0);
        assert_int_equal(n_watched, 5);
        kube_cluster_done(&cluster);
}

/* However the text is broken, what stands in it is not told. */
static void test_messages_keep_secrets(void **state) {
        static const char *const texts[] = {
                "users:\n- user:\n    token: \"SECRET\n",
                "users:\n- user:\n    token: 'SECRET' SECRET\n",
                "users:\n- user:\n\ttoken: SECRET\n",
                "users:\n- user:\n    token: *SECRET\n",
                "users:\n- user:\n    token: @SECRET\n",
                "users:\n- user:\n    token: !!int SECRET\n",
                "users:\n- user:\n    token: 1e99999999999SECRET\n  }",
                "{\"users\": [{\"user\": {\"token\": \"SECRET\x01\"}}]}",
                "{\"users\": [{\"user\": {\"token\": SECRET}}]}",
                "{\"users\": [{\"user\": {\"SECRET\": {]}}]}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                KubeConfig c = { 0 };
                Err err = { 0 };

                assert_int_equal(kubeconfig_read("k", texts[i], strlen(texts[i]), &c, &err), -EBADMSG);
                assert_string_not_equal(err.message, "");
                if (strstr(err.message, "SECRET"))
                        fail_msg("%s", err.message);
        }
}

static void test_paths(void **state) {
        static const char *const paths[][3] = {
                { "/etc/kubernetes/kubelet.conf", "pki/ca.crt", "/etc/kubernetes/pki/ca.crt" },
                { "/etc/kubernetes/kubelet.conf", "/pki/ca.crt", "/pki/ca.crt" },
                { "/kubeconfig", "ca.crt", "/ca.crt" },
                { "conf/kubeconfig", "../ca.crt", "conf/../ca.crt" },
                { "kubeconfig", "ca.crt", "ca.crt" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                _cleanup_free_ char *path = kubeconfig_path(paths[i][0], paths[i][1]);

                assert_string_equal(path, paths[i][2]);
        }
}

static int live(void *user) {
        static const char text[] = CLUSTERS CONTEXTS "current-context: second\n";
        _cleanup_kube_cluster_ KubeCluster c = { 0 };
        Err err = { 0 };

        (void)user;
        return kubeconfig_cluster("k", text, strlen(text), &c, &err);
}

static int live_read(void *user) {
        _cleanup_kubeconfig_ KubeConfig c = { 0 };
        _cleanup_free_ char *path = NULL;
        const ReadRow *row = user;
        Err err = { 0 };
        int r = kubeconfig_read("k", row->text, strlen(row->text), &c, &err);

        if (r < 0)
                return r;
        path = kubeconfig_path("/a/b", c.user.cert.file);
        return path ? 0 : -ENOMEM;
}

static void test_out_of_memory(void **state) {
        (void)state;
        (void)test_oom(live, NULL);
        (void)test_oom(live_read, (void *)(uintptr_t)&read_rows[0]);
        (void)test_oom(live_read, (void *)(uintptr_t)&read_rows[1]);
}

int main(void) {
        static const struct CMUnitTest others[] = {
                cmocka_unit_test(test_a_place_is_named),      cmocka_unit_test(test_secrets_are_wiped),
                cmocka_unit_test(test_messages_keep_secrets), cmocka_unit_test(test_paths),
                cmocka_unit_test(test_out_of_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(rows) + ARRAY_SIZE(read_rows) + ARRAY_SIZE(others)];
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                tests[n++] = (struct CMUnitTest){ .name = rows[i].name,
                                                  .test_func = test_row,
                                                  .initial_state = (void *)(uintptr_t)&rows[i] };
        for (size_t i = 0; i < ARRAY_SIZE(read_rows); i++)
                tests[n++] = (struct CMUnitTest){ .name = read_rows[i].name,
                                                  .test_func = test_read_row,
                                                  .initial_state = (void *)(uintptr_t)&read_rows[i] };
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                tests[n++] = others[i];
        return cmocka_run_group_tests(tests, NULL, NULL);
}
