/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the cache share: api_cache.c (directory, writing, removing), api_cache_read.c (reading, setting
 * aside). */
#pragma once

#include "base/hash.h"
#include "io/api_cache.h"
#include "io/file.h"

#include <errno.h>
#include <time.h>

enum {
        FORMAT = 1,
        NAME_DIGITS = 32,
};

#define SUFFIX ".json"
#define TMP_PREFIX ".tmp-"
#define HEAD_PREFIX "{\"checksum\":\""
#define HEAD_MIDDLE "\","
/* What stands before the bytes that the checksum covers. */
#define COVERED_AT (strlen(HEAD_PREFIX) + HASH_HEX + strlen(HEAD_MIDDLE))

/* A file's name with room for what may stand before or behind it. */
typedef struct FileName {
        char text[64];
} FileName;

/* What a file looked like: enough to spare a write; no content is believed for it. */
typedef struct Stamp {
        ino_t inode;
        off_t size;
        struct timespec changed;
} Stamp;

/* What stands on disk, known since it was read or written. */
typedef struct Record {
        FileName name;
        uint8_t content[HASH_BYTES];
        int64_t said_at;
        Stamp stamp;
        bool synced; /* the directory was synced since */
} Record;

struct ApiCache {
        char *state_dir;
        char *node, *machine_id, *cluster;
        bool read_only;
        Record *records;
        size_t n_records, cap_records;
};

/* The file's name. */
FileName cache_name(const char *resource);
FileName cache_name_with(const char *before, const FileName *name, const char *behind);

/* The directory, or -ENOENT. It is opened anew each time, as somebody may have removed it. */
int cache_open_dir(const ApiCache *c, bool make, Err *err);

/* A file, a link or an empty directory. 0 if there is none of the name. */
int cache_unlink(int dir_fd, const char *name);

void cache_forget(ApiCache *c, const FileName *name);

/* Our own results beside those of the system. */
enum {
        DAMAGED = -EBADMSG,
        FOREIGN = -ESTALE,
};

/* A file whose checksum and first line are right. */
typedef struct Standing {
        char *text;
        cJSON *head;
        const char *resource_version; /* in head */
        int64_t said_at;
        const char *items; /* in text */
        size_t items_len;
} Standing;

void cache_standing_done(Standing *s);
#define _cleanup_standing_ _cleanup_(cache_standing_done)

/* 0, -ENOENT, DAMAGED, FOREIGN, -ENOMEM, or an errno where it only could not be read. */
int cache_read(const ApiCache *c, int dir_fd, const FileName *name, const char *resource, Standing *ret, Err *err);

/* Remembers what was read. 0 or -ENOMEM. */
int cache_learn(ApiCache *c, int dir_fd, const FileName *name, const Standing *s);
