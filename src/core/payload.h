/* SPDX-License-Identifier: Apache-2.0 */
/* What a materialised volume holds: the files that a kubelet would make of a configMap, secret or projected volume,
 * with their modes. Pure; who looks for objects and keys that are missing, and says so, is the renderer.
 *
 * Kubernetes' rules that are reproduced (pkg/volume/{configmap,secret,projected,util}):
 * - without items every key of data and binaryData is a file of that name; with items only those, at their paths;
 * - mode: that of the item, else defaultMode of the volume (of the projected volume, for all its sources), else 0644;
 * - a missing optional object gives no files, and so does a missing key of an optional source;
 * - paths are cleaned: "./a//b/" is "a/b"; of several files with one path the last wins;
 * - with fsGroup every file and directory belongs to that group and the group may read it (files: mode | 0440,
 *   directories: mode | 0550 and setgid);
 * - a token's file: with fsGroup 0600 (and so 0640), else the mode of the volume. Where all containers run as one user
 *   the kubelet gives them the file, with 0600. Ours are root's: that is 0600 as well if the user is root, and else the
 *   mode of the volume with 0444 added, as the containers could not read it otherwise (others of the host cannot reach
 *   it: see io/materialise.h). */
#pragma once

#include "core/objects.h"
#include "core/token.h"

typedef struct PayloadFile {
        char *path;  /* relative, checked: no element is "..", "." or empty or longer than 255 bytes, the first does not
                        start with "..", and the whole is not longer than 4096 */
        char *bytes; /* with a NUL behind them */
        size_t len;
        uint32_t mode; /* 0 to 0777, as it is to be on the disk */
} PayloadFile;

typedef struct Payload {
        PayloadFile *files; /* by path, element by element ("a/b" before "a-b"), each once; none is a directory of
                               another */
        size_t n, cap;
        int64_t group; /* fsGroup; -1: none */
} Payload;

typedef struct PayloadFacts {
        const Objects *objects;
        const char *namespace;
        const cJSON *volume; /* of the template: {"name":...,"configMap":{...}} */
        int64_t fs_group;    /* of the pod's securityContext; -1: none */
        /* For downwardAPI items of projected volumes. */
        const char *pod_name; /* with the node's name behind it */
        const char *uid;
        const cJSON *labels, *annotations; /* of the template; may be NULL */
        /* For the directory of the ServiceAccount's token. */
        const char *ca_crt; /* PEM; NULL: not known */
        size_t ca_crt_len;
        /* For tokens. */
        const Tokens *tokens; /* NULL: they are off */
        const char *account;  /* the pod's ServiceAccount; unused without tokens */
        int64_t user;         /* the one user that all containers run as; -1: none, or several; unused without tokens */
} PayloadFacts;

enum { PAYLOAD_SIZE_MAX = 64 * 1024 * 1024 };

/* Whether volumes of this kind have a payload: configMap, secret, and projected with any source but downwardAPI. */
bool payload_is_wanted(const cJSON *volume);

/* What the volume holds. Sources and keys that are missing give no files, whether they are optional or not, and neither
 * do downwardAPI items that payload_downward cannot answer, and tokens that are not in the set.
 * -EEXIST: the kubelet could not write it either, as one path is a directory of another, or of the volume itself ("."),
 * or no path at all (absolute, "..", too long). -EFBIG: the objects of all sources and the files take more than
 * PAYLOAD_SIZE_MAX bytes (an object counts with each source and a file with each item that names it, so that a
 * template of a few MiB cannot ask for a TiB). -ENOMEM. */
int payload_make(const PayloadFacts *facts, Payload *ret);

/* One item of a projected downwardAPI source, given to the caller: as the kubelet has it, a label or annotation that is
 * missing is "", and all labels are lines of key="value" by key, without a newline at the end. -EOPNOTSUPP: only the
 * kubelet can answer it (resourceFieldRef, all annotations, those of kubernetes.io/config. and daemonlet.io/, which are
 * not the template's in a static pod). -ENOMEM. */
int payload_downward(const PayloadFacts *facts, const cJSON *item, char **ret);

/* A source that the renderer makes up for the directory of a ServiceAccount's token, beside the token's: files
 * `namespace`, and `ca.crt` where it is known, both 0644. */
#define PAYLOAD_ACCOUNT "daemonletServiceAccount"

/* Where tokens are on, the ConfigMap of this name, if it is known, has the ca.crt that counts. */
#define PAYLOAD_ROOT_CA "kube-root-ca.crt"

enum { PAYLOAD_HEX = 32 };

/* A hash of paths, bytes, modes and group: first PAYLOAD_HEX digits of SHA-256. Cannot fail. */
void payload_hash(const Payload *p, char ret[static PAYLOAD_HEX + 1]);

/* Overwrites the bytes before it frees them: they may be secret. */
void payload_done(Payload *p);
#define _cleanup_payload_ _cleanup_(payload_done)
