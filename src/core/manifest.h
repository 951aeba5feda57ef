/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest file: its name, and what can be told from its bytes. Pure. */
#pragma once

#include "core/json.h"

#define MANIFEST_PREFIX "daemonlet_"
#define MANIFEST_SUFFIX ".json"
#define MANIFEST_TMP_PREFIX ".daemonlet-"
#define ANNOTATION_DAEMONSET "daemonlet.io/daemonset"
#define ANNOTATION_INPUT "daemonlet.io/input"
#define ANNOTATION_REVISION "daemonlet.io/revision"

enum {
        MANIFEST_NAME_MAX = 255,
        MANIFEST_SIZE_MAX = 1024 * 1024,         /* what we write */
        MANIFEST_KUBELET_MAX = 10 * 1024 * 1024, /* what a kubelet loads: less than this */
        REVISION_HEX = 16,
        INPUT_HEX = 32,
};

typedef struct HostPort {
        char ip[46];      /* "" = every address */
        char protocol[8]; /* "TCP" where absent */
        uint16_t port;
} HostPort;

/* "daemonlet_<namespace>_<name>.json"; if that were longer than MANIFEST_NAME_MAX, the name is cut, and "_" and 16 hex
 * digits of its SHA-256 stand behind it, so that exactly MANIFEST_NAME_MAX bytes are used. Parts that are not made of
 * a-z, 0-9, "-" and "." alone, are empty, start with "." or leave no room are refused: -EINVAL (no valid DaemonSet has
 * such a name, so no file of ours does). 0, -EINVAL or -ENOMEM; ret is untouched on failure. */
int manifest_file_name(const char *namespace, const char *name, char ret[static MANIFEST_NAME_MAX + 1]);

/* Whether a file name has our exact pattern (whoever made it): one that manifest_file_name can give. */
bool manifest_name_is_ours(const char *file);

/* What stands in the bytes of a file that a kubelet would load. */
typedef struct Manifest {
        bool is_pod;     /* one v1 Pod object (JSON or YAML), as a kubelet would take it */
        char *namespace; /* "default" where absent */
        char *name;
        char *daemonset; /* our annotation, or NULL: not ours */
        char *input;     /* or NULL */
        char *revision;  /* or NULL */
        char *uid;       /* or NULL */
        bool verifies;   /* the revision annotation matches the content */
        HostPort *ports; /* host ports, hostNetwork's container ports included */
        size_t n_ports;
        int64_t grace; /* terminationGracePeriodSeconds, 30 where absent; a negative one counts as 1, as in Kubernetes
                        */
} Manifest;

/* Bytes that are no Pod give is_pod = false, not an error. 0 or -ENOMEM. */
int manifest_parse(const char *bytes, size_t len, Manifest *ret);
void manifest_done(Manifest *m);

/* metadata.uid of canonical bytes of ours, found without parsing them; false if they are not of that form. */
bool manifest_uid(const char *bytes, size_t len, char ret_uid[static 37]);

/* Revision and uid of a canonical Pod: the hash goes over the pod without metadata.uid and without the revision
 * annotation, in canonical form. Both are taken out of the tree. revision = the first REVISION_HEX digits of
 * SHA-256(content); uid = UUIDv8 of SHA-256("daemonlet/v1\n" node_name "\n" content). 0 or -ENOMEM. */
int manifest_identity(cJSON *pod, const char *node_name, char ret_revision[static REVISION_HEX + 1],
                      char ret_uid[static 37]);

/* The host ports of a pod spec (containers and sidecar init containers: those with restartPolicy Always); with
 * hostNetwork every container port counts. 0 or -ENOMEM. */
int host_ports_from_spec(const cJSON *pod_spec, HostPort **ret_ports, size_t *ret_n);
/* Same protocol and port, and the same address or one of them any. */
bool host_ports_clash(const HostPort *a, const HostPort *b);
