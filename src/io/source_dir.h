/* SPDX-License-Identifier: Apache-2.0 */
/* The local source: daemonsets.d. Reads `*.yaml`, `*.yml` and `*.json` without a leading dot, in byte order of their
 * names, refusing what others may write, and puts the last good objects in the place of what could not be read. */
#pragma once

#include "core/objects.h"

typedef struct LocalSnapshot {
        bool read;     /* the directory itself was read; else error says why and `objects` holds last good ones only */
        bool complete; /* read, and every file completely */
        char *error;
        bool replaced;   /* not read because another directory stands there than the one last read, and defines nothing:
                            not mounted, or moved away. If that is meant: read again without a last good copy */
        Objects objects; /* what counts now, last good stand-ins included */
        bool *stand_in;  /* for each of objects.objects: it comes from the last good copy */
        size_t n_stand_in;
        char *sources; /* the new last good copy, to be saved by store_save_sources; NULL: nothing to save */
        size_t sources_len;
} LocalSnapshot;

/* dir: path of daemonsets.d. last_good: what store_load_sources gave, or NULL (then `sources` is always new). strict:
 * as objects_read. A file that is unreadable or invalid keeps its last good objects; so does, while any file is
 * incomplete, an object whose own last file is not there. A directory that cannot be read keeps everything. 0 or
 * -ENOMEM. */
int source_dir_read(const char *dir, bool strict, const char *last_good, size_t last_good_len, LocalSnapshot *ret);
void local_snapshot_done(LocalSnapshot *s);

/* Whether a directory entry is a source file: no leading dot, *.yaml, *.yml or *.json. */
bool is_source_name(const char *name);
