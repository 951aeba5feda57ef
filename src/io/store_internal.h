/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the store share: store.c (directories, lock), store_state.c (index), store_scan.c (facts),
 * store_apply.c (steps), store_tombstones.c, store_handovers.c, store_quarantine.c (moving out), store_former.c (a
 * former manifest directory). */
#pragma once

#include "io/file.h"
#include "io/names.h"
#include "io/store.h"

#define INDEX_FILE "index.json"
#define SOURCES_FILE "sources.json"
#define DAMAGED_SUFFIX ".damaged"
#define STATE_TMP ".tmp" /* in next/: an interrupted write leaves nothing anywhere else */
#define MANIFEST_TMP MANIFEST_TMP_PREFIX "new"
#define MOVED_PREFIX MANIFEST_TMP_PREFIX "quarantine-"

enum {
        STATE_FILE_MAX = 64 * 1024 * 1024,
        MACHINE_ID_MAX = 64,
        QUARANTINE_MAX = 64,       /* entries that are kept */
        TOMBSTONE_EXTRA = 10 * 60, /* seconds behind the grace period after which a tombstone is forgotten */
};

/* Facts are const to their readers, but somebody must free them. */
static inline void free_const(const void *p) {
        free((void *)(uintptr_t)p);
}

/* ---- the index ---- */

typedef struct IndexEntry {
        char *file, *namespace, *name;
        char *origin; /* NULL: unknown */
} IndexEntry;

typedef struct Index {
        char *node_name;     /* NULL: not known on this machine */
        char *manifest_dir;  /* where the manifests were written; NULL: nowhere yet */
        IndexEntry *entries; /* sorted by file */
        size_t n, cap;
        PlanTombstone *tombstones; /* all pointers owned */
        size_t n_tombstones, cap_tombstones;
        PlanHandover *handovers; /* all pointers owned; sorted by namespace and name */
        size_t n_handovers;
} Index;

const IndexEntry *index_find(const Index *index, const char *file);
/* origin NULL keeps the one that is known. 0 or -ENOMEM. */
int index_put(Index *index, const char *file, const char *namespace, const char *name, const char *origin);
void index_drop(Index *index, const char *file);
/* Takes nothing; one of the same uid is replaced. 0 or -ENOMEM. */
int index_add_tombstone(Index *index, const PlanTombstone *tombstone);
void index_drop_tombstone(Index *index, const char *uid);
/* Forgets what is older than its grace period and some more, unless its pod was seen to run. */
void index_expire(Index *index, int64_t now);
int index_copy_tombstones(const Index *index, PlanTombstone **ret, size_t *ret_n);
void tombstones_free(PlanTombstone *tombstones, size_t n);
void index_done(Index *index);

/* 0, -EBADMSG (not an index of ours) or -ENOMEM. A node name of another machine is left out. */
int index_parse(const char *text, size_t len, const char *machine_id, Index *ret);
/* Canonical bytes, or NULL (out of memory). */
char *index_text(const Index *index, const char *machine_id, size_t *ret_len);

/* ---- store_handovers.c ---- */

/* What the plan wants remembered takes the place of what is, and is on the disk then; the same again writes nothing. A
 * failure leaves what was remembered. */
int store_save_handovers(Store *s, const Plan *plan, Err *err);
/* A copy in order, without what the witness said. 0 or -ENOMEM. */
int handovers_copy(const PlanHandover *from, size_t n, PlanHandover **ret);
void handovers_free(PlanHandover *handovers, size_t n);
/* json NULL: none. 0, -EBADMSG or -ENOMEM. */
int handovers_parse(const cJSON *json, Index *index);
/* NULL: out of memory. */
cJSON *handovers_tree(const Index *index);

/* ---- store_scan.c ---- */

/* How a regular file was when its bytes were read. */
typedef struct Seen {
        struct stat st;    /* of the opened descriptor, before they were read */
        time_t at;         /* realtime, before that */
        bool is_manifest;  /* they were parsed, and are a manifest of ours */
        const char **from; /* the pointer in the last scan that owns them still; NULL: nobody else does */
} Seen;

/* Whether a file that looks like this now still has the bytes that were read then. */
bool seen_holds(const Seen *seen, const struct stat *st, time_t now);

/* ---- the store ---- */

typedef struct Scan {
        time_t at;          /* realtime, when it began */
        PlanEntry *present; /* all pointers owned but those to bytes that are shared (Seen.from), as below */
        Seen *present_seen; /* of each entry */
        size_t n_present;
        int unreadable; /* why the first entry that could not be read could not, or 0 */
        const char *unreadable_file;
        PlanWritten *written;
        Seen *written_seen; /* of each one's bytes; next/ is read anew always */
        size_t n_written;
        PlanTombstone *tombstones;
        size_t n_tombstones;
        PlanHandover *handovers;
        size_t n_handovers;
        char *node_name;
        char *warning;
} Scan;

struct Store {
        char *manifest_dir, *state_dir;
        bool read_only;
        int manifest_fd, state_fd, manifests_fd, next_fd; /* -1: read only, and not there */
        int quarantine_fd;                                /* -1: not used yet */
        char machine_id[MACHINE_ID_MAX + 1];
        Index index;
        Buf warning; /* for the next scan */
        Scan scan;
};

/* ---- store_tombstones.c ---- */

/* Whether the step ends a pod that may hold host ports for a while. */
bool store_buries(const PlanStep *step);
/* Adds a tombstone if it is worth one. 0 or -ENOMEM. */
int store_bury(Store *s, const PlanStep *step, int64_t now);
/* The step failed: nobody is dead. */
void store_unbury(Store *s, const PlanStep *step, int64_t now);
/* A pod that is written again is not dead. */
void store_resurrect(Store *s, const PlanStep *step);

/* ---- the rest ---- */

/* Adds a sentence to the next scan's warning. */
void store_warn(Store *s, const char *format, ...) _printf_(2, 3);

/* Whether the path names the directory that is open. */
bool store_same_dir(int fd, const char *path);

/* -ESTALE if a path names another directory than the one that is open. */
int store_check_stale(const Store *s, Err *err);

/* Reads the index from the state directory; a damaged one is moved aside. */
int store_load_index(Store *s, Err *err);
/* Writes the index if its content changed. Sets *changed if it was written. */
int store_save_index(Store *s, bool *changed, Err *err);

/* A file of the state directory, written atomically through next/ unless its bytes are equal already. */
int store_write_state(Store *s, int dir_fd, const char *name, const char *bytes, size_t len, bool *changed, Err *err);

/* Whether a regular file of this name holds exactly these bytes: 1, 0, or -ENOMEM. */
int store_holds(int dir_fd, const char *name, const char *bytes, size_t len);

void scan_done(Scan *scan);

/* Removes our manifests from the directory that they were written to before the configuration named another, and notes
 * the present one in the index. For the end of a plan in which nothing failed. */
int store_leave_former(Store *s, Err *err);

/* ---- quarantine ---- */

/* Moves an entry of the manifest directory to the quarantine. One that is gone is fine. */
int quarantine_move(Store *s, const char *file, int64_t now, Err *err);
/* Copies a regular file or a link there (at most what a kubelet would load); what stands stays. */
int quarantine_copy(Store *s, const char *file, int64_t now, Err *err);
/* Forgets the oldest entries. */
int quarantine_trim(Store *s, Err *err);
