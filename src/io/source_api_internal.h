/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the API source.
 *
 *   source_api.c           its life, the gate and the timer: what is asked when
 *   source_api_call.c      one request of a reflector over io/http
 *   source_api_follow.c    which reflectors there are
 *   source_api_cluster.c   the identity, which cluster it is, whether it was left
 *   source_api_node.c      the own Node
 *   source_api_snapshot.c  what it all amounts to
 *   source_api_tokens.c    ServiceAccount tokens */
#pragma once

#include "core/backoff.h"
#include "io/api_cache.h"
#include "io/api_identity.h"
#include "io/http.h"
#include "io/source_api.h"

/* What a reflector is for. */
typedef enum FollowKind {
        FOLLOW_NODE,
        FOLLOW_DAEMONSETS,
        FOLLOW_OBJECT, /* ConfigMap or Secret */
        FOLLOW_PRIORITYCLASS,
        FOLLOW_THEIRS,  /* a DaemonSet by its name, whether it opted in or not */
        FOLLOW_BOUND,   /* pods of this node */
        FOLLOW_UNBOUND, /* pods that are pending, and of no node yet */
} FollowKind;

typedef struct Follow {
        SourceApi *api;
        FollowKind kind;
        Reflector *reflector;
        HttpCall *call;
        bool answered; /* the call has its head */
        bool polled;
        char *namespace, *name; /* as asked for by source_api_follow ("" is all of them); NULL: it was not */
        bool ended;             /* some request of this identity was answered, or came to nothing */
        bool wanted;            /* while the set is renewed */
        size_t rank;            /* the first ones are watched */
        uint64_t generation;    /* that was looked at */
        bool unsaved;           /* the cache has an older one */
        int64_t said_at;        /* seconds, realtime: when the server last said anything of it; 0: never */
        ReflectorState state;   /* that was told, */
        int status;             /* and HTTP's, which is why; or 0 */
} Follow;

/* What was asked for, but the server is not, since the identity is the kubelet's: DaemonSets and unbound pods. */
typedef struct Unasked {
        char *namespace;
        char *why;
} Unasked;

enum {
        QUESTION_TIMEOUT = 30 * 1000, /* milliseconds */
        QUESTION_ANSWER_MAX = 1024 * 1024,
};

/* A single question besides the reflectors: which cluster is this, is the Node really gone, a token. */
typedef struct Question Question;
struct Question {
        SourceApi *api;
        HttpCall *call; /* NULL: none is under way */
        Buf answer;
        int status;
        int64_t retry_after;
        void (*done)(Question *q); /* the server answered, though perhaps with an error */
};

typedef struct WantedToken {
        Question question; /* first: it is found by it */
        TokenNeed need;
        bool wanted; /* while the set is renewed */
        Backoff backoff;
        int64_t due; /* when it is to be requested: clock_boot_ms */
        Err problem;
} WantedToken;

/* What is asked, besides the identity. */
typedef struct ApiCall {
        const char *target; /* path and query */
        const char *body;   /* then it is a POST; or NULL */
        size_t len;
        int64_t timeout, silence; /* milliseconds; 0: none */
        size_t max;               /* bytes of the answer; 0: no limit */
} ApiCall;

struct SourceApi {
        sd_event *loop;
        sd_event_source *timer;
        char *kubeconfig, *kubelet_kubeconfig, *node_name, *namespaces, *state_dir, *machine_id;
        bool allow_insecure, proxy_of_environment;
        int64_t settle;
        void (*changed)(void *user, unsigned what);
        void *user;

        /* identity and cluster */
        ApiIdentity identity;
        bool has_identity;
        Err identity_problem;
        Backoff identity_backoff;
        int64_t identity_due; /* when to read it again; -1: when its files change */
        char *known_cluster;  /* of which the cache is: SHA-256; NULL: none yet */
        char *known_uid;      /* of its kube-system; or NULL */
        char *known_kubelet;  /* the kubelet's kubeconfig by which this host was a member; or NULL */
        Question who;
        int64_t left_since; /* the kubelet's kubeconfig has been gone since; -1 */
        int64_t looked_at;  /* for it */
        bool left;
        int64_t other_since; /* another cluster than before answers since; -1 */

        /* asking */
        Http *http;
        bool shut;    /* the gate: the server does not answer */
        bool knocked; /* it was asked with this identity, and answered or did not */
        Backoff knocks;
        int64_t knock_at;
        int64_t heard_at; /* seconds, realtime */
        Err server_problem;
        bool is_distrusted; /* somebody answers, but not as the server should: TLS, no HTTP */
        Streaming streaming;
        Follow **follows; /* Node, DaemonSets, then the others as they were asked for */
        size_t n_follows, cap_follows;
        Unasked *unasked;
        size_t n_unasked, cap_unasked;

        /* the Node */
        LiveNode node;
        bool has_node;
        int64_t node_since, node_gone_since;
        Question gone; /* GET of a Node that a list lacks, then of the cluster */
        int64_t gone_due;
        Backoff gone_tries;

        /* tokens: pointers, since calls point to them */
        WantedToken **wanted_tokens;
        size_t n_wanted_tokens, cap_wanted_tokens;
        Tokens tokens;

        ApiCache *cache;
        Buf cache_note;
        bool cache_failed; /* the note is of the cache itself, until all of it is written */
        bool unsaved;      /* some follow is */
        bool untidy;       /* the cache may have files of what is no longer used */
        int64_t saved_at;
        ApiSnapshot snapshot;
        bool snapshot_is_old; /* items changed since it was made */
        unsigned news;        /* not told yet */
        int64_t told_at;
        ApiResourceReport *reports;
};

/* source_api.c */
uint32_t api_random(void);
void api_news(SourceApi *s, unsigned what); /* tells them soon */
void api_arm(SourceApi *s);
bool api_may_ask(const SourceApi *s); /* there is somebody to ask, and the cluster was not left */
void api_heard(SourceApi *s);         /* the server answered, whatever it said */
void api_not_heard(SourceApi *s, int result, const char *why);

/* source_api_call.c */
int api_begin(Follow *f, int64_t now);
bool follow_is_due(const Follow *f, int64_t now);
/* done: once, from the loop. 0, or what http_start returns. Nothing while one is under way. */
int question_ask(Question *q, SourceApi *s, const char *target, const char *body, size_t len,
                 void (*done)(Question *q));
/* The answer as JSON; 0, -EBADMSG, -ENOMEM. */
int question_read(const Question *q, cJSON **ret);
/* Gives up what is under way, with what has come of it. */
void question_done(Question *q);

/* source_api_follow.c */
int follow_basics(SourceApi *s);
void follow_drop_all(SourceApi *s);
bool follow_is_any_doubted(const SourceApi *s);  /* a list lacks what it had */
bool follow_is_cached(const Follow *f);          /* what is known of it goes to the disk */
void follow_end(Follow *f);                      /* a request came to its end */
void follow_await(SourceApi *s);                 /* nothing was asked with the identity yet */
void follow_look(Follow *f);                     /* notices what its reflector learnt */
void follow_save(Follow *f);                     /* to the cache, if there is news */
int follow_reload(SourceApi *s);                 /* the cache is another one */
void follow_restart(SourceApi *s, bool suspect); /* gives up what is under way: another server is asked */
const Follow *follow_of_node(const SourceApi *s);

/* source_api_cluster.c */
int cluster_open(SourceApi *s, const char *machine_id_file);
void cluster_check_identity(SourceApi *s, int64_t now); /* reads it where that is due */
void cluster_ask(SourceApi *s);                         /* knocks: which one is it? */
/* Asks that by a question of the caller's; true for its answer if it is the one that it was. */
void cluster_ask_by(Question *q, SourceApi *s, void (*done)(Question *q));
bool cluster_is_the_same(Question *q);
void cluster_check_left(SourceApi *s, int64_t now);
bool cluster_is_other(const SourceApi *s);      /* than before: what it lacks is not believed yet */
void cluster_settle(SourceApi *s, int64_t now); /* believes it in time */

/* source_api_node.c */
void node_look(SourceApi *s, const Follow *f);
int64_t node_due(const SourceApi *s); /* when a Node that is missing is to be asked for by its name; -1: it is not */
void node_ask(SourceApi *s, int64_t now);

/* source_api_tokens.c */
int64_t tokens_due(const SourceApi *s);
void tokens_ask(SourceApi *s, int64_t now);
const char *tokens_problem(const SourceApi *s); /* of the first one that was refused; "" */
void tokens_restart(SourceApi *s);              /* another server or cluster: all are requested anew */
void tokens_free(SourceApi *s);

/* source_api_snapshot.c */
void snapshot_done(ApiSnapshot *snapshot);
