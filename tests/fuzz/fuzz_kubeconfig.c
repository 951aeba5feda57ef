/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a kubeconfig: what is refused is told, and what is read keeps the promises that clients rely on. */
#include "core/kubeconfig.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok) {
        if (!ok)
                __builtin_trap();
}

static void check_material(const KubeMaterial *m) {
        require(m->data ? m->len > 0 && m->data[m->len] == 0 : m->len == 0);
        require(!m->file || *m->file);
}

static bool is_given(const KubeMaterial *m) {
        return m->file || m->data;
}

static void check(const KubeConfig *c) {
        const char *server = c->cluster.server;

        require(server && startswith(server, "https://") && strlen(server) > strlen("https://"));
        require(!strpbrk(server, " \r\n\t\\?#\""));
        require(!memchr(server + 8, '@', strcspn(server + 8, "/")));
        require(!c->cluster.insecure || !is_given(&c->cluster.ca));
        require(!c->cluster.proxy_url || !strpbrk(c->cluster.proxy_url, " \r\n\t"));
        require(!c->cluster.tls_server_name || !strpbrk(c->cluster.tls_server_name, " \r\n\t/@"));
        require(is_given(&c->user.cert) == is_given(&c->user.key));
        check_material(&c->cluster.ca);
        check_material(&c->user.cert);
        check_material(&c->user.key);
        check_material(&c->user.token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_kubeconfig_ KubeConfig config = { 0 };
        _cleanup_kube_cluster_ KubeCluster cluster = { 0 };
        Err err = { 0 }, cluster_err = { 0 };
        int r = kubeconfig_read("k", (const char *)data, size, &config, &err),
            cluster_r = kubeconfig_cluster("k", (const char *)data, size, &cluster, &cluster_err);

        require((r == 0) == (err.message[0] == 0) && (cluster_r == 0) == (cluster_err.message[0] == 0));
        require(r == 0 || r == -EBADMSG || r == -EOPNOTSUPP);
        require(cluster_r == 0 || cluster_r == -EBADMSG);
        if (cluster_r == 0)
                check_material(&cluster.ca);
        if (r < 0)
                return 0;
        /* Who only wants the cluster gets the same one. */
        require(cluster_r == 0 && streq(cluster.server, config.cluster.server));
        check(&config);
        return 0;
}
