/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes of wanted manifests: made before a manifest that mounts them is written, swapped when what they are made
 * of changed, and removed when no pod needs them any more. */
#pragma once

#include "app/wanted.h"
#include "io/materialise.h"
#include "io/store.h"

/* Materialises what the wanted manifests mount. What has the right content already is not looked at any closer, unless
 * verify is said: then links that are missing are put back. Where that fails, a step that would write such a manifest
 * gets its failure set, so that the store leaves what stands. Files that would vanish all at once are kept, and the row
 * says so. 0, or the first failure (everything is tried). */
typedef struct VolumesFacts {
        const Wanted *wanted;
        const Objects *objects;
        const RenderOptions *render;
        const char *only_file; /* the only manifest that is looked at; NULL: all */
        bool verify;
} VolumesFacts;

int volumes_write(Materialise *m, const VolumesFacts *facts, Plan *plan, Err *err);

/* The directory of volumes cannot be had: no manifest that mounts one is written. 0 or -ENOMEM. */
int volumes_fail(const Wanted *wanted, Plan *plan, const Err *why);

/* Removes the volumes of manifests that neither stand nor are remembered nor wanted and whose pods are gone, as far as
 * can be told; where nothing can be told, five minutes after they should be. now: seconds, realtime. */
int volumes_sweep(Materialise *m, const Wanted *wanted, const StoreSnapshot *snapshot, int64_t now, Err *err);
