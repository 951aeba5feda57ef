/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the plan: one item for each manifest file that is wanted, stands or is remembered. The items are joined and
 * classified first, decided next (host ports last), and turned into steps and rows at the end. */
#pragma once

#include "base/buf.h"
#include "core/plan.h"

typedef enum Standing {
        STANDS_NOTHING,
        STANDS_LAST,       /* exactly the bytes last written */
        STANDS_NEXT,       /* the bytes of a write that was interrupted after it was done */
        STANDS_GENUINE,    /* a manifest of ours whose revision verifies, but not one that state knows */
        STANDS_EDITED,     /* ours by name and annotation, but its revision does not verify */
        STANDS_DAMAGED,    /* no manifest: empty, cut, a link, a directory, another DaemonSet's pod */
        STANDS_FOREIGN,    /* somebody else's pod under our file name */
        STANDS_UNREADABLE, /* nothing is known, so nothing is done */
} Standing;

typedef struct PlanItem {
        const char *file, *namespace, *name; /* namespace is NULL where nothing tells it */
        const PlanWanted *wanted;            /* each of the three may be NULL, not all */
        const PlanWritten *written;
        const PlanEntry *entry;
        char *own_names; /* backs namespace and name where they were cut out of the file name */

        /* What stands. */
        Standing stands;
        bool misplaced; /* DAMAGED: a pod with our annotation that belongs under another file name */
        char input[INPUT_HEX + 1], revision[REVISION_HEX + 1]; /* LAST to EDITED: its annotations; "" if absent */
        Manifest *seen;                                        /* the entry parsed, where that was needed */
        Manifest *last; /* the last bytes parsed, where other ones or none stand and they are a manifest of this item */
        const char *foreign; /* the file with somebody else's pod of this name */
        bool copied;         /* a copy of it is moved out of the directory */
        bool fought;         /* a copy of it would be, but something fights over it */

        /* The decision. */
        bool has_step;
        StepVerb verb;
        bool quarantine;    /* what stands is moved away; beside a FORGET or alone */
        bool rerender;      /* REPLACE because of the renderer, not of the input */
        bool delayed;       /* its removal waits */
        int64_t wait;       /* for so many milliseconds */
        bool pending;       /* a change or removal is held */
        bool damped;        /* its repair waits */
        bool again;         /* RESTORE of what was withdrawn */
        bool gone;          /* the pod of what was withdrawn is gone */
        bool absent;        /* the kubelet should run its pod, and there is none, */
        int64_t absent_for; /* for so many milliseconds */
        bool stale;         /* kept although the present renderer writes something else */
        Handover handover;
        bool host_ports;            /* ours has some; */
        bool ours_runs;             /* something of ours runs here, */
        bool theirs_run;            /* theirs does; looked at where the controller may have a part in it */
        bool unplaced;              /* ours made room for a pod that is not known to have found a place; */
        bool yields;                /* something of ours has yet to end for it */
        bool missing;               /* what it was handed over to is missing, or word of it */
        const PlanHandover *record; /* of its last hand-over; or NULL */
        bool in_shadow;             /* it is wanted, but what stands is the server's: `wanted` is NULL meanwhile */
        bool override;              /* state and reason below are reported, not the wish's */
        State state;
        Reason reason;
        Buf note;           /* what to say besides the steps */
        Manifest *lingers;  /* what stands if nothing is changed, parsed for its ports; empty if nothing does */
        size_t first_claim; /* its ports in the table of claims */
        size_t n_claims;
        unsigned rank; /* in the contest for ports */
} PlanItem;

typedef struct Planner {
        const PlanFacts *facts;
        char **made_files; /* the file name of each wanted one */
        PlanItem *items;   /* by file name */
        size_t n_items;
        PlanItem **by_wanted; /* NULL where a DaemonSet comes in twice */
        bool mass_removal;
        Plan plan;
} Planner;

/* ---- plan_items.c: joining the facts ---- */

int planner_join(Planner *p);
PlanItem *planner_find(const Planner *p, const char *file); /* or NULL */
/* *ret is NULL if there is no such item. 0 or -ENOMEM. */
int planner_find_pod(const Planner *p, const char *namespace, const char *name, PlanItem **ret);
void planner_done(Planner *p);
void manifest_freep(Manifest **m); /* NULL inside is fine; NULL afterwards */

/* What a running agent remembers of a manifest file, or NULL. */
const PlanMemory *memory_of(const PlanFacts *f, const char *file);

/* By namespace, then by name. */
int item_compare_names(const PlanItem *a, const PlanItem *b);

/* ---- plan_present.c: what stands ---- */

/* Classifies every item and every other entry of the directory; adds the steps for what is not a manifest of an item.
 */
int planner_classify(Planner *p);

/* Reads an annotation of `digits` characters out of canonical bytes without parsing them: fast, and exact, because in
 * canonical form the quotes of a key cannot occur inside a string and metadata.annotations comes before every other
 * map. False if it is not there in that form. */
bool canonical_annotation(const char *bytes, size_t len, const char *annotation, size_t digits, char *ret);

static inline bool bytes_equal(const char *a, size_t a_len, const char *b, size_t b_len) {
        return a && b && a_len == b_len && (a == b || memcmp(a, b, a_len) == 0);
}

/* A manifest of ours stands, whatever its content. */
static inline bool item_stands(const PlanItem *it) {
        return it->stands >= STANDS_LAST && it->stands <= STANDS_EDITED;
}

/* What stands is what we wrote. */
static inline bool item_intact(const PlanItem *it) {
        return it->stands == STANDS_LAST || it->stands == STANDS_NEXT;
}

/* There are last bytes that can be written again. Bytes that state lost to a bad disk are none. */
static inline bool item_has_last(const PlanItem *it) {
        return it->stands == STANDS_LAST || it->last;
}

static inline bool item_writes_new(const PlanItem *it) {
        return it->has_step && (it->verb == STEP_CREATE || it->verb == STEP_REPLACE);
}

/* ---- plan_handover.c: what the DaemonSet controller runs ---- */

/* Decides for each item who runs it. */
int planner_handover(Planner *p);
/* Ours does not run, as theirs does. */
bool item_is_away(const PlanItem *it);
/* Nothing of ours is written before something is known of theirs. */
bool item_awaits_theirs(const PlanItem *it);
/* With this plan ours goes, or does not begin, for a pod that is not bound yet. */
bool item_makes_room(const PlanFacts *f, const PlanItem *it);
/* It comes back with this plan. */
bool item_is_back(const PlanItem *it);
/* The controller's pod, or the last one; NULL: none is known. */
const char *item_theirs_pod(const PlanItem *it);
/* What to say about it; nothing where nobody else has a part in it. */
void item_handover_words(const PlanFacts *f, const PlanItem *it, Buf *out);
/* What must be remembered of all of them. */
int planner_remember(Planner *p);

/* ---- plan_decide.c: what becomes of each ---- */

int planner_decide(Planner *p);

/* The wish, as far as it can be fulfilled; ABSENT for what no source defines. */
PlanWish item_wish(const PlanItem *it);

/* Takes back new bytes: what stands stays, restored if need be. Reports this state. */
void item_stay_as(PlanItem *it, State state, Reason reason);

/* Reports this, not what the wish says. */
void item_report(PlanItem *it, State state, Reason reason);

/* Parses what stands if nothing changes into `lingers`; nothing is parsed twice. */
int item_read_lingering(PlanItem *it);

/* Whether a manifest of ours stands after the plan. */
bool item_will_stand(const PlanItem *it);

/* Whether a change or removal must wait: the kubelet would run the old pod and the new one beside each other. */
bool item_is_held(const Planner *p, const PlanItem *it);

/* Where to write one more thing that the row says; a failure shows when the row is made. */
Buf *item_note(PlanItem *it);

/* The bytes that stand after the plan if the item stays as it is; NULL if none. */
const char *item_staying(const PlanItem *it, size_t *ret_len);

/* ---- plan_ports.c: host ports ---- */

/* Takes back creations and replacements whose host ports are not free. */
int planner_ports(Planner *p);

/* ---- plan_restart.c: pods that are to start again ---- */

/* Withdraws manifests for a restart, and takes back writes that must wait for the end of a pod. */
int planner_restarts(Planner *p);

/* A pod is there, whatever it does. */
bool is_seen(Witness witness);
/* Nothing of the pod is left, as far as can be told. A clock that went back makes none end early. */
bool tombstone_is_over(const PlanFacts *f, const PlanTombstone *t);
/* Whether an earlier pod of the item is still seen. */
bool item_is_ending(const PlanFacts *f, const PlanItem *it);
/* The same, but for what is left for good: a directory that a kubelet does not clean up. */
bool item_is_ending_soon(const PlanFacts *f, const PlanItem *it);
/* Whether an earlier pod of the item has processes. */
bool item_still_runs(const PlanFacts *f, const PlanItem *it);
/* Whether its manifest was withdrawn, to be restored. */
bool item_is_withdrawn(const PlanFacts *f, const PlanItem *it);

/* ---- plan_steps.c, plan_rows.c: the result ---- */

/* namespace and name may be NULL. 0 or -ENOMEM. */
int plan_add_step(Plan *plan, const PlanStep *step, const char *file, const char *namespace, const char *name,
                  const char *why);
int planner_steps(Planner *p);
int planner_rows(Planner *p);

/* "restored: the manifest was edited"; "" without a step that changes the directory. */
void item_words(const PlanItem *it, Buf *out);
StepEffect item_effect(const PlanItem *it);
/* Whether the plan ends with a TOUCH of it. */
bool item_touched(const PlanItem *it);
