/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the reflector: its state, the set of items, and what its parts call of one another. */
#pragma once

#include "core/backoff.h"
#include "core/reflector.h"
#include "core/watch.h"

#include "base/err.h"

enum {
        REFLECTOR_LIST_TIMEOUT = 30 * 1000, /* of one LIST */
        REFLECTOR_STREAM_LIST = 60 * 1000,  /* until a streaming list says that it is complete */
        REFLECTOR_WATCH_GRACE = 30 * 1000,  /* for a watch to end after the seconds that it asked for */
        REFLECTOR_HASTY = 1000,             /* a watch that ends sooner is not resumed at once */
        REFLECTOR_RETRY_MAX = 3600 * 1000,  /* no Retry-After is longer */
        REFLECTOR_PAGES_MAX = 1000,         /* of one list; a server may send fewer objects than asked for */
        REFLECTOR_RESTARTS = 2,             /* in a row, for a continue token that expired; then without pages */
        REFLECTOR_VERSION_MAX = 256,        /* bytes of a resourceVersion */
        REFLECTOR_TOKEN_MAX = 8192,         /* bytes of a continue token */
        REFLECTOR_FAILURE_MAX = 16 * 1024,  /* bytes of an answer that is no success */
};

/* Sorted by namespace and name. */
typedef struct ItemSet {
        ReflectorItem *items;
        size_t n, cap;
        size_t bytes; /* of all items */
} ItemSet;

typedef enum Asking {
        ASKING_NOTHING,
        ASKING_LIST,   /* a list, or one page of it */
        ASKING_STREAM, /* a streaming list that is not complete yet */
        ASKING_WATCH,  /* also a streaming list from its end mark on */
} Asking;

typedef enum Next { NEXT_LIST, NEXT_PAGE, NEXT_WATCH } Next;

/* What ended a stream from within. */
typedef enum Fault {
        FAULT_NONE,
        FAULT_GARBAGE,  /* not the stream of a watch, or an object that cannot be read */
        FAULT_EXPIRED,  /* the resourceVersion is too old */
        FAULT_ERROR,    /* another ERROR event */
        FAULT_REFUSED,  /* no streaming list */
        FAULT_BACKWARD, /* the server is behind what it said before */
        FAULT_MEMORY,
} Fault;

struct Reflector {
        char *resource;        /* path?selector */
        char *path, *selector; /* selector NULL: none */
        char *kind;
        bool single, fleeting, poll;
        bool (*reduce)(cJSON *object);
        Streaming streaming;

        /* What is known. */
        ItemSet set;
        size_t doubted; /* items of the set */
        char *version;  /* the last resourceVersion said; NULL: no snapshot */
        uint64_t generation;
        int64_t confirmed;
        bool live;
        bool sure;     /* live, and the server has said something since it became so: doubts go on */
        Err problem;   /* while not live */
        Err suspicion; /* while live and something is doubted */
        int status;
        bool answered;

        /* What to ask next, and when. */
        Next next;
        int64_t due;
        Backoff backoff;
        unsigned expired;  /* 410 for a watch, in a row */
        unsigned early;    /* watches that ended regularly but soon, in a row */
        unsigned failed;   /* watches that were refused, in a row */
        unsigned refusals; /* answers 401 and 403 since a watch, or what is polled, was allowed */
        unsigned restarts; /* of lists whose continue token expired, in a row */
        bool unpaged;      /* the next list is asked for without pages */
        bool plain;        /* the next list is not a streaming one */
        bool suspect;      /* the next list is suspect */

        /* The list that is being read. */
        ItemSet pending;
        char *pending_version, *token;
        unsigned pages;
        bool pending_suspect;

        /* The request under way. */
        Asking asking;
        char *target;
        int64_t began, heard; /* heard: the last good event; -1: none */
        int answer;           /* status; 0: no head yet */
        int64_t retry_after;
        Buf body;
        WatchParser parser;
        int failure; /* what reflector_data returned */
        Fault fault;
        Err why; /* of the fault */
};

/* ---- reflector_items.c ---- */

void item_done(ReflectorItem *item);
void set_done(ItemSet *set);

/* Reads an object and reduces it; the tree is changed. api_version: for an object that bears neither apiVersion nor
 * kind; NULL: it must. -EBADMSG: not an object of the reflector's kind with a name; -ENOMEM. */
int item_read(const Reflector *r, cJSON *object, const char *api_version, ReflectorItem *ret, Err *err);

/* Takes the item, also on failure. -ENOMEM; -EFBIG: more than REFLECTOR_ITEMS_MAX (beside `extra` ones), or more than
 * REFLECTOR_ANSWER_MAX bytes. ret_changed: whether it differs from what stood under its name; may be NULL. */
int set_put(ItemSet *set, ReflectorItem *item, size_t extra, bool *ret_changed, Err *err);

/* NULL: not there. */
ReflectorItem *set_find(const ItemSet *set, const char *namespace, const char *name);
void set_remove(ItemSet *set, ReflectorItem *item);

/* Makes the pending list the snapshot, with `version`. What it lacks stays, doubted, where the list is suspect.
 * -ENOMEM, -EFBIG: nothing has changed. */
int reflector_take_list(Reflector *r, const char *version, int64_t now, Err *err);

void reflector_drop_pending(Reflector *r);

/* Whether both are whole numbers, and a is the lower one. */
bool version_is_lower(const char *a, const char *b);

/* ---- reflector_list.c ---- */

/* Reads the answer to a LIST into r->pending. ret_version; ret_token: NULL where it was the last page. -EBADMSG,
 * -EFBIG, -ENOMEM. */
int reflector_read_list(Reflector *r, const char *text, size_t len, char **ret_version, char **ret_token, Err *err);

/* A resourceVersion that can be used: a short text. */
bool version_is_usable(const char *version);

/* ---- reflector_events.c ---- */

/* Feeds a stream. < 0: r->fault and r->why say what it was. */
int reflector_read_events(Reflector *r, const char *bytes, size_t len, int64_t now);

/* ---- reflector_target.c ---- */

/* NULL: out of memory. seconds: that a watch asks for. */
char *reflector_make_target(const Reflector *r, Asking asking, unsigned seconds);

/* Whether an object is where path and selector look for it. */
bool reflector_asked_for(const Reflector *r, const char *namespace, const char *name);

/* Sets r->problem to what an answer without success means. */
void reflector_explain_answer(Reflector *r);

/* ---- reflector_outcome.c ---- */

/* The end of the request under way: sets what is next, `due` (which is now) and what is known. */
void reflector_conclude(Reflector *r, int result, const char *why, int64_t now, uint32_t random);
