/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the witness share. Nothing here is for others. */
#pragma once

#include "io/names.h"
#include "io/witness.h"

#include <dirent.h>

enum {
        UID_LEN = 36,      /* a UUID */
        UID_HASH_LEN = 32, /* what the kubelet makes up for a static pod */
};

typedef enum Seen {
        SEEN_NOTHING, /* it is not there */
        SEEN_PART,    /* it could not be read to its end */
        SEEN_ALL,
} Seen;

typedef struct WitnessPod {
        char uid[UID_LEN + 1];
        bool has_cgroup; /* else it has a directory only */
        bool populated;  /* the cgroup has processes */
} WitnessPod;

struct WitnessView {
        WitnessPod *pods; /* sorted by uid */
        size_t n_pods, cap_pods;
        Seen cgroups;     /* the kubepods trees */
        Seen directories; /* the kubelet's pods directory */
        bool searched;    /* all that could hold a kubepods tree was looked through */
};

/* Whether it is a uid, written with this dash. */
bool witness_is_uid(const char *s, size_t len, char dash);

/* Copies the pod to the end of the view. 0 or -ENOMEM. */
int witness_add(WitnessView *v, const WitnessPod *pod);

/* Finds all pods that have a cgroup; sets cgroups and searched. 0 or -ENOMEM. */
int witness_look_at_cgroups(WitnessView *v, const char *path);

/* ---- directories ---- */

static inline void closedirp(DIR **dir) {
        if (*dir)
                (void)closedir(*dir);
}
#define _cleanup_dir_ _cleanup_(closedirp)

/* flags: O_NOFOLLOW or 0. */
int witness_dir_open(int at, const char *name, int flags, DIR **ret);

/* Adds the directories in it that pass keep (NULL: all). 0, -ENOMEM, or why it could not be read to its end; what was
 * read before is there all the same. */
int witness_dir_read(DIR *dir, bool (*keep)(const char *name), Names *names);
