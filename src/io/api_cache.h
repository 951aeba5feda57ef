/* SPDX-License-Identifier: Apache-2.0 */
/* What the API server last said, on disk: one file for each resource that is followed, below `api/` of the state
 * directory (0700; files 0600, since there are Secrets among them). It is acted on after a reboot without the server,
 * so it is never trusted half: a file counts if it is of this version, this node, this machine and this cluster, and
 * its checksum fits. What is damaged or foreign is moved aside (".damaged" or ".foreign" behind the name, one of each
 * kept) and reported.
 *
 * A file's name is the first 32 hex digits of the SHA-256 of the resource, and ".json". It has two lines of canonical
 * JSON; the items stand in a line of their own, so that they can be read one by one:
 *     {"checksum":C,"cluster":T,"machineId":T,"node":T,"resource":T,"resourceVersion":T,"saidAt":N,"version":1}
 *     [item,item,...]
 * C is the SHA-256 (64 hex digits) of all that stands behind the comma after it, to the end of the file. Every later
 * version begins in the same way. */
#pragma once

#include "core/json.h"

enum {
        API_CACHE_MAX = 32 << 20,    /* bytes of a file; an item has at most JSON_SIZE_MAX */
        API_CACHE_REFRESH = 60 * 60, /* seconds after which a file is written again for said_at alone */
};

typedef struct ApiCache ApiCache;

typedef struct ApiCacheKey {
        const char *node;
        const char *machine_id; /* of /etc/machine-id; "" where there is none */
        const char *cluster;    /* of the CA, and the UID of kube-system where it is known: any text */
} ApiCacheKey;

/* Copies the key. The directory is made by the first write, the state directory is there by then. read_only: nothing is
 * made, moved or written, and what would write does nothing. 0 or -ENOMEM. */
int api_cache_new(const char *state_dir, const ApiCacheKey *key, bool read_only, ApiCache **ret);
ApiCache *api_cache_free(ApiCache *c);
DEFINE_CLEANUP(ApiCache *, api_cache_free)
#define _cleanup_api_cache_ _cleanup_(api_cache_freep)

/* One resource as it was last written. */
typedef struct ApiCacheEntry {
        char *resource;         /* "/api/v1/nodes?fieldSelector=metadata.name%3Da": what was asked for */
        char *resource_version; /* of the list */
        int64_t said_at;        /* seconds, realtime: when the server last confirmed it */
        cJSON *items;           /* array of objects; their places are not known */
} ApiCacheEntry;
void api_cache_entry_done(ApiCacheEntry *e);
#define _cleanup_api_cache_entry_ _cleanup_(api_cache_entry_done)

/* 1: found; 0: there is none that counts; ret_note: one line if one was set aside or cannot be read, or NULL (given to
 * the caller). Damaged is also what cannot be trusted (a link, a directory, unsafe owner or mode, too large); a file
 * that only could not be read (EIO, no more descriptors) stays where it is. -ENOMEM. */
int api_cache_load(ApiCache *c, const char *resource, ApiCacheEntry *ret, char **ret_note);

/* items: the canonical text of a JSON array. Written atomically and synced (file and directory), not at all if it would
 * say the same but for said_at within the last hour. 0 or an errno (-EFBIG: more than API_CACHE_MAX); what stood stays.
 */
int api_cache_save(ApiCache *c, const char *resource, const char *resource_version, int64_t said_at, const char *items,
                   size_t len, Err *err);

/* Unlinks the files of all resources but these, and what interrupted writes left. What was set aside stays, and so does
 * what is not ours. Goes on after a failure. 0 or an errno. */
int api_cache_keep(ApiCache *c, const char *const *resources, size_t n, Err *err);

/* Unlinks all of it, what was set aside too, and the directory: the cluster is no longer ours. Goes on after a failure.
 * 0 or an errno. */
int api_cache_drop(ApiCache *c, Err *err);
