/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes on the disk, as a kubelet lays them out, below a directory of ours (0700):
 *
 *   <root>/<pod>/<input>/<volume>/              what the pod mounts (read-only, hostPath of type Directory)
 *       ..data -> ..<hash>                      swapped atomically; every file of the volume changes at once
 *       ..<hash>/<path>                         the files, written and synced before anything points to them
 *       <first element of path> -> ..data/<first element of path>
 *
 * <pod> is namespace_name (shortened with a hash like a manifest's file name), <input> the hash of what the manifest
 * was made of: another template is another directory, so that an old pod that still ends keeps its files, and a changed
 * ConfigMap is a swap in the same one. Standing manifests name these paths for good: they never change.
 *
 * Killed at any point, the files behind ..data are whole-old or whole-new, and a volume that was not there yet appears
 * whole or not at all: a pod that mounts it waits until then. What was left half-made under a temporary name (..tmp-*)
 * or behind no ..data is removed by the next write of the volume. Things of others in a volume are left alone unless
 * they stand where a link of ours belongs.
 *
 * <root>, <pod> and <input> are 0700 and ours: a stranger's is refused (-EPERM), a link or a file in their place too
 * (-ENOTDIR). From the volume on directories are 0755, whatever the umask; with fsGroup they belong to the group and
 * are setgid, where the bit may be set (read-only mounts never need it). On a host with SELinux all that is new from
 * the volume on gets the type that containers may read.
 *
 * One writer at a time: the caller holds the lock of the store. The root is opened anew by every call, so that one that
 * was removed while we run is made again. */
#pragma once

#include "base/err.h"
#include "core/payload.h"

typedef struct Materialise Materialise;

/* Opens or makes the root; the directory above it must be there. read_only: nothing is made, and one that is not there
 * is empty. */
int materialise_open(const char *root, bool read_only, Materialise **ret, Err *err);
Materialise *materialise_free(Materialise *m);
DEFINE_CLEANUP(Materialise *, materialise_free)
#define _cleanup_materialise_ _cleanup_(materialise_freep)

/* For tests: the file whose presence says that this host has SELinux, instead of /sys/fs/selinux/enforce. */
void materialise_set_selinux(Materialise *m, const char *enforce_path);

/* dir: "<pod>/<input>/<volume>", each a plain name of at most 255 bytes without a leading dot; else -EINVAL. */

/* The hash of what the directory holds now: 1 and the hash, or 0 if there is none or none that can be read. Nothing is
 * verified but that ..data leads to a directory of such a name: what has its name was whole when it got it. */
int materialise_holds(const Materialise *m, const char *dir, char ret_hash[static PAYLOAD_HEX + 1]);

/* Makes the directory hold this payload. If it does already nothing is touched, but links and modes that are wrong are
 * put right. 0 or an errno: then the files that stand are the old ones, or all the new ones if the failure came after
 * the swap (a link that could not be made, old files that could not be removed); either way another call does the rest.
 * -EINVAL: a path that would lead out of the volume; nothing was done then. -ENAMETOOLONG: a path of more than 128
 * elements. The message names paths, never what is in them. */
int materialise_write(Materialise *m, const char *dir, const Payload *payload, Err *err);

/* Removes every <pod>/<input> directory for which in_use says no ("<pod>/<input>"), what a broken sweep left of such,
 * and empty <pod> ones. Other names with a leading dot and what is not a directory are left alone, links are not
 * followed, other file systems not entered; what vanishes meanwhile is as good. 0, or the first failure (everything is
 * tried). */
int materialise_sweep(Materialise *m, bool (*in_use)(void *user, const char *dir), void *user, Err *err);
