/* SPDX-License-Identifier: Apache-2.0 */
/* An independent look at a pod: whether it refers to an object of the API, by the rule with which kubelets from 1.34 on
 * refuse static pods. Written without the renderer's tables, so that a hole in them shows. */
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

/* The first reference to the API in a pod's spec, or NULL. */
static inline const char *apiref_find(const cJSON *spec) {
        static const char *const anywhere[] = { "secretRef",    "secretKeyRef",   "configMapKeyRef",
                                                "configMapRef", "resourceClaims", NULL };
        static const char *const in_spec[] = { "serviceAccountName", "serviceAccount", "imagePullSecrets" };
        static const char *const in_volumes[] = {
                "configMap", "secret",    "persistentVolumeClaim", "ephemeral",          "csi",
                "azureFile", "glusterfs", "serviceAccountToken",   "clusterTrustBundle", "podCertificate",
                NULL
        };
        const char *found = apiref_any_member(spec, anywhere);

        for (size_t i = 0; !found && i < ARRAY_SIZE(in_spec); i++)
                if (json_get(spec, in_spec[i]))
                        found = in_spec[i];
        return found ? found : apiref_any_member(json_get(spec, "volumes"), in_volumes);
}
