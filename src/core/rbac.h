/* SPDX-License-Identifier: Apache-2.0 */
/* The rights that the agents' identities need at the API server for a set of DaemonSets, as RBAC objects. Pure.
 *
 * Least rights: an object that can be named is named in resourceNames, and nothing may be written but tokens made. One
 * identity a node (user daemonlet:<node> in group daemonlet:nodes); the group shares everything but the Node. Printed
 * are, each with its binding:
 * - ClusterRole daemonlet-node: get the Namespace kube-system (its UID tells which cluster this is);
 * - ClusterRole daemonlet-node-<node>: get, list, watch this Node, for its user alone; only where a node is given;
 * - ClusterRole daemonlet-priorityclasses: get, list, watch those used, but not the two that every cluster has;
 * - for each namespace, Role daemonlet-daemonsets: get, list, watch DaemonSets (a label selector has no names) and pods
 *   (that is how a node learns that the DaemonSet controller runs one; the controller makes the names), and Role
 *   daemonlet-objects: get, list, watch the ConfigMaps and Secrets that the DaemonSets refer to, and create tokens
 *   of their ServiceAccounts where the pods get one.
 * A role that would be empty is left out. Everything is sorted by bytes (namespace, role, resource, name), so the same
 * set gives the same tree whatever the order and number of its files. */
#pragma once

#include "core/render.h"

#define RBAC_GROUP "daemonlet:nodes"
#define RBAC_USER_PREFIX "daemonlet:"
#define RBAC_LABEL "daemonlet.io/rbac" /* on every object: "group", or "node" where it belongs to one node */

typedef struct RbacOptions {
        RenderOptions render; /* with the set in `objects`. node_name NULL: no rule for a Node, and no DaemonSet's name
                                 is too long; volumes_dir may be NULL */
        const char *namespaces; /* [api] namespaces: "a,b" */
        bool tokens;            /* [api] tokens */
} RbacOptions;

typedef enum RbacNoteKind {
        RBAC_REFUSED,      /* it cannot be a static pod: what it refers to is not among the rules */
        RBAC_NOT_OPTED_IN, /* it lacks the label daemonlet.io/mode=static: the agents run it from a local file only */
        RBAC_NOT_FOLLOWED, /* its namespace is not among `namespaces` */
} RbacNoteKind;

/* What to say about one DaemonSet. */
typedef struct RbacNote {
        RbacNoteKind kind;
        const Object *daemonset; /* borrowed from the set */
        Reason reason;           /* REFUSED only */
        char *message;           /* REFUSED only */
} RbacNote;

typedef struct Rbac {
        cJSON *objects;      /* an array: each role and behind it its binding */
        size_t n_daemonsets; /* that it was made for */
        char *accounts;      /* without tokens: "namespace/name, ..." of the ServiceAccounts whose tokens pods would
                                get, sorted; "" if there are none */
        RbacNote *notes;     /* in the order of the set, and of the kinds */
        size_t n_notes, cap_notes;
} Rbac;

/* The rights for the usable DaemonSets of the set (equal definitions count once). Whether an object is in the set or
 * not makes no difference; neither does whether it is optional. A reference with a name that no object can have gives
 * no rule (an empty one would stand for the whole collection). With tokens, the ConfigMap kube-root-ca.crt is added
 * where a pod gets one. 0 or -ENOMEM. */
int rbac_make(const RbacOptions *options, Rbac *ret);

void rbac_done(Rbac *r);
#define _cleanup_rbac_ _cleanup_(rbac_done)
