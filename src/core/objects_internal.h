/* SPDX-License-Identifier: Apache-2.0 */
/* Internal to core/objects: the kinds, and the way of one tree into an Object. */
#pragma once

#include "core/objects.h"

typedef struct KindInfo {
        const char *kind, *list; /* "ConfigMap", "ConfigMapList" */
        ObjectKind id;
        const char *served[4]; /* the apiVersions that are read, NULL-terminated; the first one is what bytes carry */
        void (*validate)(const cJSON *tree, Diags *diags);
} KindInfo;

const KindInfo *kind_by_name(const char *kind);
const KindInfo *kind_by_list(const char *list);

bool kind_is_served(const KindInfo *kind, const char *api_version);

/* Whether the apiVersion belongs to Kubernetes' own groups of these kinds ("", apps, extensions), served or not. */
bool is_builtin_group(const char *api_version);

/* Appends an Object of the kind for the tree: checked, and if it is valid with its bytes. api_version: of the tree or
 * of the list around it, or NULL. The tree stays the caller's but is changed. 0 or -ENOMEM. */
int objects_add(Objects *o, size_t file, const KindInfo *kind, const char *api_version, cJSON *tree, bool strict);

/* Makes the object Invalid: it has no bytes and no scheduling. */
void object_refuse(Object *object);

/* Fills in what the API server would (selector of old versions, before the check). 0 or -ENOMEM. */
int object_prepare(const KindInfo *kind, const char *api_version, cJSON *tree);

/* Brings a valid tree into the form that `bytes` has. 0 or -ENOMEM. */
int object_normalise(const KindInfo *kind, const char *namespace, cJSON *tree);

/* Frees what was appended behind these counts. */
void objects_truncate(Objects *o, size_t n_files, size_t n_objects, size_t n_skipped);
