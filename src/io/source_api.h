/* SPDX-License-Identifier: Apache-2.0 */
/* The API server as a source: follows the own Node, the DaemonSets that opted in, and the objects that they use, each
 * with a reflector of its own (core/reflector.h), and holds the last complete snapshot of all of them. What the server
 * said last is kept in the cache (io/api_cache.h) and counts until it says otherwise.
 *
 * One gate for all: while the server does not answer, one request at a time knocks, with back-off; everything else
 * waits. The identity is read again when its files change, and when the server does not accept it. With the kubelet's
 * own identity only the Node is followed, and the pods that are bound to it.
 *
 * A cluster is known by its CA, and by the UID of kube-system where that may be read. Another one at the same place
 * makes every list suspect; the cache of another one is set aside. */
#pragma once

#include "core/daemon_pod.h"
#include "core/live_node.h"
#include "core/objects.h"
#include "core/priority.h"
#include "core/reflector.h"
#include "core/token.h"

#include <systemd/sd-event.h>

typedef struct SourceApi SourceApi;

/* What changed, as bits. */
enum {
        API_CHANGED_NODE = 1,      /* its labels, taints or uid; it is gone, or back */
        API_CHANGED_HEARTBEAT = 2, /* its Ready condition's heartbeat */
        API_CHANGED_OBJECTS = 4,
        API_CHANGED_STATE = 8, /* how far it can be relied on */
        API_CHANGED_TOKENS = 16,
};

typedef struct SourceApiOptions {
        sd_event *loop;                 /* NULL: nothing is asked, what the cache has counts, nothing is written */
        const char *kubeconfig;         /* NULL: there is none (yet) */
        const char *kubelet_kubeconfig; /* the kubelet's own, by which a node that left its cluster is known; or NULL */
        bool allow_insecure;
        bool proxy_of_environment;
        const char *node_name;  /* NULL: not known, no Node is followed */
        const char *namespaces; /* "a,b" */
        int64_t settle;         /* milliseconds */
        const char *state_dir;
        const char *machine_id_file; /* /etc/machine-id */
        void (*changed)(void *user,
                        unsigned what); /* from the loop; several changes at once, at most ten times a second */
        void *user;
} SourceApiOptions;

/* Reads the cache; the first requests are made from the loop. Copies the strings. What is wrong with kubeconfig or
 * cache is told by the snapshot. 0, -ENOMEM, or an errno of the loop. */
int source_api_new(const SourceApiOptions *options, SourceApi **ret, Err *err);
SourceApi *source_api_free(SourceApi *s);
DEFINE_CLEANUP(SourceApi *, source_api_free)
#define _cleanup_source_api_ _cleanup_(source_api_freep)

/* What belongs to a DaemonSet: objects that it uses, and what tells whether the DaemonSet controller runs it. */
typedef enum ApiRefKind {
        API_CONFIGMAP,
        API_SECRET,
        API_PRIORITYCLASS,
        API_DAEMONSET, /* the DaemonSet of this name, whether it opted in or not */
        API_PODS,      /* of the DaemonSet controller in this namespace, bound to this node; */
        API_UNBOUND,   /* those that are pending and unbound: of all nodes */
        N_API_REF_KINDS
} ApiRefKind;
typedef struct ApiRef {
        ApiRefKind kind;
        const char *namespace, *name; /* namespace "" for a PriorityClass; name "" for pods */
} ApiRef;

/* Follows exactly these, besides Node and DaemonSets; each is known by its own list and watch, the first API_WATCH_MAX
 * (with those of Node and DaemonSets), the rest by polling. Where the identity is the kubelet's nothing but the pods
 * that are bound to this node, of all namespaces, if any are asked for; API_CHANGED_STATE tells when another kind of
 * identity is in use. No pods without the name of the node; what is known of them is not kept on disk. 0 or -ENOMEM. */
enum { API_WATCH_MAX = 64 };
int source_api_follow(SourceApi *s, const ApiRef *refs, size_t n);

/* Keeps tokens for exactly these needs: requested when they are new, renewed in time, forgotten otherwise; for none
 * with the kubelet's identity. 0 or -ENOMEM. */
int source_api_want_tokens(SourceApi *s, const TokenNeed *needs, size_t n);

/* Asks again now, and reads the identity again. */
void source_api_hurry(SourceApi *s);

/* Writes the Node to the cache as it is now, its heartbeat included. */
void source_api_keep_node(SourceApi *s);

typedef enum ApiNodeState {
        API_NODE_UNKNOWN, /* nothing was ever heard of it: the server says that there is none, or there is no server */
        API_NODE_AWAITED, /* nothing was ever heard of it, but the server has not been asked yet */
        API_NODE_CACHED,  /* as it was when the server was last heard */
        API_NODE_LIVE,
        API_NODE_GONE, /* deleted: the server says so; `node` is as it was */
} ApiNodeState;

typedef struct ApiSnapshot {
        ApiNodeState node_state;
        LiveNode node;             /* unless UNKNOWN or AWAITED */
        int64_t node_gone_since;   /* clock_boot_ms since which it is known to be gone; -1 */
        Objects objects;           /* DaemonSets, ConfigMaps and Secrets as they count now */
        bool complete;             /* all of them are as the server says now; true as well where the cluster was left */
        bool suspect;              /* a list lacked what it had; it is not believed yet */
        PriorityClass *priorities; /* by name */
        size_t n_priorities;
        const char **awaited; /* PriorityClasses that the server was asked for and has said nothing of yet */
        size_t n_awaited;
        const Tokens *tokens;
        Objects theirs;  /* the DaemonSets that were asked for by name, as they are known, live or not */
        DaemonPod *pods; /* of the DaemonSet controller, and here; by namespace and name */
        size_t n_pods;
} ApiSnapshot;

/* Valid until it is asked for again; NULL: out of memory. */
const ApiSnapshot *source_api_snapshot(SourceApi *s);

/* Whether the next snapshot has other objects than the last one that was given. */
bool source_api_has_more(const SourceApi *s);

/* What is known just now, besides the snapshot; of no source at all: nothing. */
typedef struct ApiNodeFacts {
        int64_t heartbeat;  /* seconds since 1970, as the kubelet wrote it; 0: none */
        int64_t since;      /* clock_boot_ms of the first contact, or of the present uid's; -1: no contact yet */
        int64_t gone_since; /* as in the snapshot */
        bool live;          /* it is as the server says now */
        bool gone_now;      /* it is gone, and the server would tell if it came back */
        bool follows;       /* DaemonSets are followed */
        bool complete;      /* as in the snapshot */
} ApiNodeFacts;
ApiNodeFacts source_api_node(const SourceApi *s);

/* How far something that was asked for by name is known just now. When it changes API_CHANGED_STATE is told. */
typedef struct ApiKnown {
        bool followed; /* the server is asked for it; false until source_api_follow names it */
        bool live;     /* what the snapshot has of it is as the server says now */
        bool awaited;  /* nothing has come of it yet with this identity, neither an answer nor a failure; it is about to
                          be asked for, or is being so */
        const char *problem; /* why it is not live, where it is a matter of rights; "". Valid until the next
                                source_api_follow, and while the loop does not run */
} ApiKnown;
ApiKnown source_api_known_daemonset(const SourceApi *s, const char *namespace, const char *name);
/* pods: those that are bound; and those that are unbound, which the kubelet's identity cannot follow. */
ApiKnown source_api_known_bound(const SourceApi *s, const char *namespace);
ApiKnown source_api_known_unbound(const SourceApi *s, const char *namespace);

/* Whether the server cannot be asked now: it does not answer, or there is none, or no loop. One that does not accept
 * our identity, or whose kubeconfig is unusable, is not away. */
bool source_api_is_away(const SourceApi *s);

/* For status. One line each, "" where there is nothing to say. */
typedef struct ApiResourceReport {
        const char *resource; /* path and selector */
        const char *state;    /* "Live", "Stale", "SuspectList", "Unread" */
        const char *problem;
        int64_t confirmed; /* seconds since 1970; 0: never */
        size_t n;          /* objects */
        bool polled;
        bool optional; /* it only tells what the DaemonSet controller runs: without it everything goes on as it is */
} ApiResourceReport;

typedef struct ApiReport {
        const char *kubeconfig, *server; /* or NULL */
        bool is_kubelet;                 /* the identity is the kubelet's */
        bool reachable;                  /* the server answered the last request */
        bool left;                       /* this host is no member any more */
        int64_t heard_at; /* when it last answered: seconds since 1970; 0: never (this process or cache) */
        const char *problem;
        bool to_mend; /* the problem will not pass by itself: it is of the identity, or of the server's certificate */
        const char *note; /* of the cache */
        const ApiResourceReport *resources;
        size_t n_resources;
        uint64_t requests, bytes; /* of this source: made, and received on the wire */
} ApiReport;
int source_api_report(SourceApi *s, ApiReport *ret); /* valid until the next call; 0 or -ENOMEM */
