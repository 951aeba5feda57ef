/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes, by kind. The rule behind the table is the kubelet's for static pods (enforced from 1.34 on): no volume may
 * refer to an object of the API. */
#include "core/render_internal.h"

#include <errno.h>

typedef enum VolumeAction {
        VOLUME_KEEP,
        VOLUME_KEEP_NO_SECRET, /* kept unless it has a secretRef */
        VOLUME_REFUSE,
        VOLUME_LOOK,
} VolumeAction;

#define USE_HOST_PATH "use a hostPath volume, or leave this DaemonSet to the API server"
#define BY_CSI "kubelets of today mount this kind through a CSI driver and an attachment that needs the API server"
#define NO_LONGER "kubelets of today cannot mount this kind, and the pod then does not start"
#define NOT_FROM(version) "kubelets from " version " on cannot mount this kind, and the pod then does not start"

/* ---- objects and their keys ---- */

static int compare_keys(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The keys of both maps, sorted; borrowed from the object. NULL: out of memory. */
static const char **sorted_keys(const cJSON *object, size_t *ret_n) {
        const cJSON *data = json_get(object, "data"), *binary = json_get(object, "binaryData"), *item;
        const char **keys = calloc((size_t)cJSON_GetArraySize(data) + (size_t)cJSON_GetArraySize(binary) + 1,
                                   sizeof(*keys));
        size_t n = 0;

        if (!keys)
                return NULL;
        cJSON_ArrayForEach(item, data) keys[n++] = item->string;
        cJSON_ArrayForEach(item, binary) keys[n++] = item->string;
        qsort(keys, n, sizeof(*keys), compare_keys);
        *ret_n = n;
        return keys;
}

/* Every key that the items name has to be there. */
static void look_at_items(Render *r, ObjectKind kind, const Object *o, const cJSON *source, const Path *path) {
        const Path *items = PATH_KEY(path, "items");
        _cleanup_json_ cJSON *object = NULL;
        _cleanup_free_ const char **keys = NULL;
        const cJSON *item;
        size_t i = 0, n;

        if (!value_is_set(json_get(source, "items")) || json_true(source, "optional"))
                return;
        if (json_parse(o->bytes, o->len, (Place){ 0 }, NULL, NULL, &object, NULL, NULL, NULL) == 0)
                keys = sorted_keys(object, &n);
        if (!keys) {
                r->failed = true;
                return;
        }
        cJSON_ArrayForEach(item, json_get(source, "items")) {
                const char *key = str_or_empty(json_string(item, "key"));
                const Path *at = PATH_INDEX(items, i++);

                if (!bsearch(&key, keys, n, sizeof(*keys), compare_keys))
                        reference_no_key(r, kind, o->name, key, PATH_KEY(at, "key"));
        }
}

static void look_at_object(Render *r, ObjectKind kind, const char *name, const cJSON *source, const Path *path) {
        const Object *o = reference_find(r, kind, name, json_true(source, "optional"), false, path);

        if (!o)
                return;
        /* Each is read for each volume: a small template must not ask for hours of it. */
        r->mounted += o->len;
        if (r->mounted > PAYLOAD_SIZE_MAX)
                render_refuse(r, REASON_TooLarge, path,
                              "the objects of all volumes take more than 64 MiB; mount fewer");
        else
                look_at_items(r, kind, o, source, path);
}

static void look_at_config_map(Render *r, cJSON *source, const Path *path) {
        look_at_object(r, OBJECT_CONFIGMAP, json_string(source, "name"), source, path);
}

static void look_at_secret(Render *r, cJSON *source, const Path *path) {
        look_at_object(r, OBJECT_SECRET, json_string(source, "secretName"), source, path);
}

static void look_at_projected_secret(Render *r, cJSON *source, const Path *path) {
        look_at_object(r, OBJECT_SECRET, json_string(source, "name"), source, path);
}

static void look_at_token(Render *r, cJSON *source, const Path *path) {
        (void)source;
        if (!r->options->tokens)
                render_warn(r, path, "no token is requested ([api] tokens is off); its file is missing");
}

static void look_at_downward_api(Render *r, cJSON *source, const Path *path) {
        const Path *items = PATH_KEY(path, "items");
        const cJSON *item;
        size_t i = 0;

        cJSON_ArrayForEach(item, json_get(source, "items")) {
                const Path *at = PATH_INDEX(items, i++);

                render_field_ref(r, json_get(item, "fieldRef"), PATH_KEY(at, "fieldRef"));
        }
}

/* Beside other sources the agent has to write the files itself. */
static void look_at_projected_downward_api(Render *r, cJSON *source, const Path *path) {
        const PayloadFacts facts = { .namespace = r->daemonset->namespace, .pod_name = r->daemonset->name, .uid = "" };
        const Path *items = PATH_KEY(path, "items");
        const cJSON *item;
        size_t i = 0;

        look_at_downward_api(r, source, path);
        cJSON_ArrayForEach(item, json_get(source, "items")) {
                const Path *at = PATH_INDEX(items, i++);
                _cleanup_free_ char *text = NULL;
                int k = payload_downward(&facts, item, &text);

                if (k == -EOPNOTSUPP)
                        render_refuse(r, REASON_UnsupportedVolume, at,
                                      "only the kubelet knows this, and it cannot be asked beside other sources in one "
                                      "volume; give it a downwardAPI volume of its own");
                else if (k < 0)
                        r->failed = true;
        }
}

static void look_at_image(Render *r, cJSON *source, const Path *path) {
        render_image(r, json_string(source, "reference"), json_string(source, "pullPolicy"),
                     PATH_KEY(path, "reference"), PATH_KEY(path, "pullPolicy"));
}

/* ---- tables ---- */

typedef struct VolumeKind {
        const char *field;
        VolumeAction action;
        const char *text; /* REFUSE: why and what to do; KEEP: a warning, or NULL */
        void (*look)(Render *r, cJSON *source, const Path *path);
} VolumeKind;

static const VolumeKind projected_kinds[] = {
        { "clusterTrustBundle", VOLUME_REFUSE,
          "a ClusterTrustBundle comes from the API server; put the certificates on "
          "the host and use a hostPath volume",
          NULL },
        { "configMap", VOLUME_LOOK, NULL, look_at_config_map },
        { "downwardAPI", VOLUME_LOOK, NULL, look_at_projected_downward_api },
        { "podCertificate", VOLUME_REFUSE,
          "a pod certificate is signed by the API server; put a certificate on the host "
          "and use a hostPath volume",
          NULL },
        { "secret", VOLUME_LOOK, NULL, look_at_projected_secret },
        { "serviceAccountToken", VOLUME_LOOK, NULL, look_at_token },
};

static void look_at_projected(Render *r, cJSON *source, const Path *path);

static const VolumeKind volume_kinds[] = {
        { "awsElasticBlockStore", VOLUME_KEEP, BY_CSI, NULL },
        { "azureDisk", VOLUME_KEEP, BY_CSI, NULL },
        { "azureFile", VOLUME_REFUSE,
          "its credentials are a Secret that the kubelet would have to read; mount the share "
          "on the host and use a hostPath volume",
          NULL },
        { "cephfs", VOLUME_KEEP_NO_SECRET, NOT_FROM("1.31"), NULL },
        { "cinder", VOLUME_KEEP_NO_SECRET, BY_CSI, NULL },
        { "configMap", VOLUME_LOOK, NULL, look_at_config_map },
        { "csi", VOLUME_REFUSE,
          "a static pod cannot use an inline CSI volume; for a driver's socket use a hostPath "
          "volume, else leave this DaemonSet to the API server",
          NULL },
        { "downwardAPI", VOLUME_LOOK, NULL, look_at_downward_api },
        { "emptyDir", VOLUME_KEEP, NULL, NULL },
        { "ephemeral", VOLUME_REFUSE, "the claim of an ephemeral volume is made by the API server; " USE_HOST_PATH,
          NULL },
        { "fc", VOLUME_KEEP, NULL, NULL },
        { "flexVolume", VOLUME_KEEP_NO_SECRET, NULL, NULL },
        { "flocker", VOLUME_KEEP, NO_LONGER, NULL },
        { "gcePersistentDisk", VOLUME_KEEP, BY_CSI, NULL },
        { "gitRepo", VOLUME_KEEP, NOT_FROM("1.33"), NULL },
        { "glusterfs", VOLUME_REFUSE,
          "its servers are an Endpoints object of the API; mount it on the host and use a "
          "hostPath volume",
          NULL },
        { "hostPath", VOLUME_KEEP, NULL, NULL },
        { "image", VOLUME_LOOK, NULL, look_at_image },
        { "iscsi", VOLUME_KEEP_NO_SECRET, NULL, NULL },
        { "nfs", VOLUME_KEEP, NULL, NULL },
        { "persistentVolumeClaim", VOLUME_REFUSE, "a static pod cannot use a PersistentVolumeClaim; " USE_HOST_PATH,
          NULL },
        { "photonPersistentDisk", VOLUME_KEEP, NO_LONGER, NULL },
        { "portworxVolume", VOLUME_KEEP, BY_CSI, NULL },
        { "projected", VOLUME_LOOK, NULL, look_at_projected },
        { "quobyte", VOLUME_KEEP, NO_LONGER, NULL },
        { "rbd", VOLUME_KEEP_NO_SECRET, NOT_FROM("1.31"), NULL },
        { "scaleIO", VOLUME_KEEP_NO_SECRET, NO_LONGER, NULL },
        { "secret", VOLUME_LOOK, NULL, look_at_secret },
        { "storageos", VOLUME_KEEP_NO_SECRET, NO_LONGER, NULL },
        { "vsphereVolume", VOLUME_KEEP, BY_CSI, NULL },
};

static void look_at_source(Render *r, const VolumeKind *kind, cJSON *source, const Path *path) {
        switch (kind->action) {
        case VOLUME_REFUSE:
                render_refuse(r, REASON_UnsupportedVolume, path, "%s", kind->text);
                return;
        case VOLUME_LOOK:
                kind->look(r, source, path);
                return;
        case VOLUME_KEEP_NO_SECRET:
                if (json_get(source, "secretRef")) {
                        render_refuse(r, REASON_UnsupportedVolume, PATH_KEY(path, "secretRef"),
                                      "a static pod's volume cannot refer to a Secret; mount it on the host and use a "
                                      "hostPath volume");
                        return;
                }
                break;
        case VOLUME_KEEP:
                break;
        }
        if (kind->text)
                render_warn(r, path, "%s", kind->text);
}

static void look_at_kinds(Render *r, const VolumeKind *kinds, size_t n, cJSON *holder, const Path *path) {
        cJSON *source;

        cJSON_ArrayForEach(source, holder) {
                if (!cJSON_IsObject(source) || !source->string)
                        continue;
                for (size_t i = 0; i < n; i++)
                        if (streq(source->string, kinds[i].field)) {
                                look_at_source(r, &kinds[i], source, PATH_KEY(path, kinds[i].field));
                                break;
                        }
        }
}

/* With nothing but the downward API the volume is the kubelet's. */
static bool is_kubelets(const cJSON *projected) {
        const cJSON *source;

        cJSON_ArrayForEach(source, json_get(projected, "sources")) {
                const cJSON *kind;

                cJSON_ArrayForEach(kind,
                                   source) if (value_is_set(kind) && !streq(kind->string, "downwardAPI")) return false;
        }
        return true;
}

static void look_at_projected(Render *r, cJSON *source, const Path *path) {
        const Path *sources = PATH_KEY(path, "sources");
        bool kubelets = is_kubelets(source);
        cJSON *item;
        size_t i = 0;

        cJSON_ArrayForEach(item, json_get_mutable(source, "sources")) {
                const Path *at = PATH_INDEX(sources, i++);
                cJSON *downward = kubelets ? json_get_mutable(item, "downwardAPI") : NULL;

                if (downward)
                        look_at_downward_api(r, downward, PATH_KEY(at, "downwardAPI"));
                else
                        look_at_kinds(r, projected_kinds, ARRAY_SIZE(projected_kinds), item, at);
        }
}

void render_volumes(Render *r, cJSON *list, const Path *path) {
        cJSON *item;
        size_t i = 0;

        cJSON_ArrayForEach(item, list)
                look_at_kinds(r, volume_kinds, ARRAY_SIZE(volume_kinds), item, PATH_INDEX(path, i++));
}
