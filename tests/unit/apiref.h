/* SPDX-License-Identifier: Apache-2.0 */
/* An independent look at a pod: whether it refers to an object of the API, by the rule with which kubelets from 1.34 on
 * refuse static pods (HasAPIObjectReference). Written without the renderer's tables, so that a hole in them shows. */
#pragma once

#include "core/json.h"

/* The first member of any of these names in a tree. */
static inline const char *apiref_any_member(const cJSON *tree, const char *const *names) {
        for (const cJSON *c = tree ? tree->child : NULL; c; c = c->next) {
                const char *found;

                for (size_t i = 0; cJSON_IsObject(tree) && names[i]; i++)
                        if (streq(c->string, names[i]))
                                return names[i];
                found = apiref_any_member(c, names);
                if (found)
                        return found;
        }
        return NULL;
}

/* Of a projected volume only the downward API is the kubelet's own. */
static inline const char *apiref_source(const cJSON *projected) {
        const cJSON *source, *kind;

        cJSON_ArrayForEach(source, json_get(projected, "sources")) {
                cJSON_ArrayForEach(kind, source) {
                        if (!streq(kind->string, "downwardAPI"))
                                return kind->string;
                }
        }
        return NULL;
}

static inline const char *apiref_volume(const cJSON *volume) {
        static const char *const kinds[] = { "azureFile", "configMap", "csi",
                                             "ephemeral", "glusterfs", "persistentVolumeClaim",
                                             "secret" };

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (json_get(volume, kinds[i]))
                        return kinds[i];
        return apiref_source(json_get(volume, "projected"));
}

/* The first reference to the API in a pod's spec, or NULL. secretRef: of envFrom, and of the volumes cephfs, cinder,
 * flexVolume, iscsi, rbd, scaleIO and storageos. */
static inline const char *apiref_find(const cJSON *spec) {
        static const char *const anywhere[] = { "configMapKeyRef",
                                                "configMapRef",
                                                "nodePublishSecretRef",
                                                "resourceClaims",
                                                "secretKeyRef",
                                                "secretRef",
                                                NULL };
        static const char *const in_spec[] = { "imagePullSecrets", "serviceAccount", "serviceAccountName" };
        const char *found = apiref_any_member(spec, anywhere);
        const cJSON *volume;

        for (size_t i = 0; !found && i < ARRAY_SIZE(in_spec); i++)
                if (json_get(spec, in_spec[i]))
                        found = in_spec[i];
        cJSON_ArrayForEach(volume, json_get(spec, "volumes")) {
                if (!found)
                        found = apiref_volume(volume);
        }
        return found;
}
