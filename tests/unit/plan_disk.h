/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest directory and a state directory in memory: filled at random, seen as the facts of a plan, and changed by
 * plans as the store does it, whole or interrupted. */
#pragma once

#include "plan_world.h"

enum {
        N_NAMES = 5,
        FILES_MAX = 32,
        TOMBSTONES_MAX = 512,
};

extern const char *const disk_names[N_NAMES][2]; /* namespace, name */

typedef struct DiskFile {
        char file[MANIFEST_NAME_MAX + 1];
        EntryKind kind;
        bool mode_wrong, unreadable;
        const char *bytes;
        size_t len;
} DiskFile;

typedef struct Memory {
        bool known;
        bool learnt; /* the bytes were recorded just now: with the same facts nobody has looked at their pod yet */
        const char *origin, *bytes, *next;
        size_t len, next_len;
} Memory;

typedef struct Tombstone {
        size_t name;
        const WorldPod *pod;
        bool learnt; /* as in Memory */
        int64_t removed_at;
} Tombstone;

/* What is remembered of a hand-over. */
typedef struct Record {
        bool known, unplaced, stopped;
        const char *pod, *boot;
} Record;

typedef struct Disk {
        DiskFile files[FILES_MAX];
        size_t n_files;
        Memory memory[N_NAMES];
        Record records[N_NAMES];
        Tombstone tombstones[TOMBSTONES_MAX];
        size_t n_tombstones;
} Disk;

/* What is asked for; the same for several plans. */
typedef struct Wishes {
        struct {
                bool wanted;
                PlanWish wish;
                State state;
                const char *spec, *origin;
                bool by_live_node; /* WISH_ABSENT */
                bool only_new;     /* WISH_PRESENT */
                bool shared;       /* the DaemonSet controller may have a part in it: */
                PlanTheirs theirs;
        } of[N_NAMES];
        PlanFacts facts; /* the flags only */
        bool file_complete, now_one;
        uint64_t witness; /* 0: there is no witness; else the seed of what it says */
} Wishes;

/* A number below n; the same ones after the same seed. */
void chance_seed(uint64_t seed);
uint64_t chance(uint64_t n);

void disk_random(World *w, Disk *d);
void disk_damage(World *w, Disk *d);
void wishes_random(Wishes *s, int64_t now);

/* Replaces the facts of the world by what the disk and the wishes say; its pods stay. */
void disk_facts(World *w, const Disk *d, const Wishes *s);

DiskFile *disk_find(Disk *d, const char *file);
size_t disk_name(const char *namespace, const char *name); /* index, or N_NAMES */
bool same_bytes(const char *a, size_t a_len, const char *b, size_t b_len);
/* The pod with these bytes, or NULL. */
const WorldPod *disk_pod(const World *w, const char *bytes, size_t len);
Witness disk_witness(const Wishes *wishes, const WorldPod *pod);
Witness disk_witness_of(const Wishes *wishes, const char *uid);

/* What the store does before a plan: of a write that was interrupted, what stands becomes the bytes last written. */
void disk_resolve(World *w, Disk *d);
/* What is remembered of hand-overs is saved before the steps. */
void disk_remember(Disk *d, const Plan *plan);
/* half: 0 = the whole step; of a write, 1 = killed before the rename, 2 = killed after it. */
void disk_step(World *w, Disk *d, const PlanStep *s, int half);
void disk_apply(World *w, Disk *d, const Plan *plan);
