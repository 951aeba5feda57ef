/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kubeconfig.h"
#include "core/base64.h"
#include "core/yaml.h"

#include <errno.h>

/* An entry of a named list; of equal names the first counts, as in client-go. name NULL: the only one. */
static const cJSON *find_named(const cJSON *list, const char *name) {
        const cJSON *item;

        if (!name)
                return cJSON_GetArraySize(list) == 1 ? list->child : NULL;
        cJSON_ArrayForEach(item, list) if (streq(json_string(item, "name"), name)) return item;
        return NULL;
}

static int find_cluster(const char *file, const cJSON *config, const cJSON **ret, Err *err) {
        const char *context_name = json_string(config, "current-context"), *cluster_name = NULL;
        const cJSON *context, *cluster;

        if (context_name && !*context_name)
                context_name = NULL;
        context = find_named(json_get(config, "contexts"), context_name);
        if (!context && context_name)
                return err_set(err, -EBADMSG, "%s: current-context is \"%s\", and there is no such context", file,
                               context_name);
        if (context)
                cluster_name = str_or_empty(json_string(json_get(context, "context"), "cluster"));
        cluster = find_named(json_get(config, "clusters"), cluster_name);
        if (!cluster && cluster_name)
                return err_set(err, -EBADMSG, "%s: there is no cluster \"%s\", which the context names", file,
                               cluster_name);
        if (!cluster)
                return err_set(err, -EBADMSG, "%s: no current-context, and not exactly one cluster", file);
        *ret = json_get(cluster, "cluster");
        return 0;
}

static int copy_string(const cJSON *object, const char *key, char **ret) {
        const char *value = json_string(object, key);

        if (!value || !*value)
                return 0;
        *ret = strdup(value);
        return *ret ? 0 : -ENOMEM;
}

static int read_cluster(const char *file, const cJSON *cluster, KubeCluster *c, Err *err) {
        const char *data = str_or_empty(json_string(cluster, "certificate-authority-data"));
        int r = copy_string(cluster, "server", &c->server);

        if (r == 0)
                r = copy_string(cluster, "certificate-authority", &c->ca_file);
        if (r == 0 && *data)
                r = base64_decode(data, strlen(data), &c->ca_data, &c->ca_data_len);
        if (r == -EBADMSG)
                return err_set(err, r, "%s: certificate-authority-data is no base64", file);
        return r < 0 ? err_oom(err) : 0;
}

int kubeconfig_cluster(const char *name, const char *text, size_t len, KubeCluster *ret, Err *err) {
        _cleanup_kube_cluster_ KubeCluster c = { 0 };
        _cleanup_yaml_ YamlStream stream = { 0 };
        const cJSON *cluster = NULL;
        Place place = { 0 };
        Err why = { 0 };
        int r = yaml_read(text, len, NULL, NULL, &stream, &place, &why);

        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0)
                return err_set(err, r, "%s:%u:%u: %s", name, (unsigned)place.line, (unsigned)place.column, why.message);
        if (stream.n != 1 || !cJSON_IsObject(stream.documents[0].root))
                return err_set(err, -EBADMSG, "%s: not a kubeconfig: one object is wanted", name);
        r = find_cluster(name, stream.documents[0].root, &cluster, err);
        if (r == 0)
                r = read_cluster(name, cluster, &c, err);
        if (r < 0)
                return r;
        *ret = c;
        c = (KubeCluster){ 0 };
        return 0;
}

void kube_cluster_done(KubeCluster *c) {
        free(c->server);
        free(c->ca_file);
        free(c->ca_data);
        *c = (KubeCluster){ 0 };
}
