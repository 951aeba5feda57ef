/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: from what is wanted, what stands, and what was last written, to an ordered list of steps with their
 * reasons. Every rule of the manifest directory is here and nowhere else; the store only carries steps out. Pure:
 * times, witness and API facts are parameters. Applying a plan and planning again gives no steps. */
#pragma once

#include "core/handover.h"
#include "core/manifest.h"
#include "core/reason.h"
#include "core/render.h"

/* ---- facts ---- */

typedef enum State {
        STATE_RUNNING,
        STATE_STARTING,
        STATE_NOT_STARTED,
        STATE_TERMINATING,
        STATE_WRITTEN,
        STATE_HELD,
        STATE_WAITING,
        STATE_REFUSED,
        STATE_INVALID,
        STATE_CONFLICT,
        STATE_NOT_HERE,
        STATE_HANDED_OVER,
} State;

/* "Running", "NotStarted", ... as printed. */
const char *state_name(State s);

typedef enum PlanWish {
        WISH_ABSENT,  /* neither shouldRun nor shouldContinueRunning: the manifest goes */
        WISH_KEEP,    /* what stands is kept and restored if damaged; nothing is created or changed */
        WISH_PRESENT, /* the manifest stands and is current */
} PlanWish;

#define ORIGIN_FILE "file:"
#define ORIGIN_API "api"

typedef enum Witness { WITNESS_UNKNOWN, WITNESS_RUNNING, WITNESS_TERMINATING, WITNESS_GONE } Witness;

/* What the API server knows of a DaemonSet that the DaemonSet controller may run as well (core/handover.h). All
 * pointers borrowed; "" where there is nothing to say. */
typedef struct PlanTheirs {
        TheirDaemonSet daemonset;
        bool awaited, pods_known;
        TheirPod pod;
        const char *pod_name, *pod_uid; /* "" for POD_NONE */
        Witness witness;                /* of that pod */
        HandoffMode mode;
        const char *unfit;      /* why the controller should have no pod here, by the template in the API server */
        const char *blind;      /* what cannot be seen of it, and why */
        const char *difference; /* in what the template in the API server is another one than ours */
} PlanTheirs;

/* One DaemonSet that some source defines. All pointers borrowed. */
typedef struct PlanWanted {
        const char *namespace, *name;
        PlanWish wish;
        State state;   /* what to report for WISH_ABSENT (NotHere) and WISH_KEEP (Waiting, Refused, Invalid, NotHere) */
        Reason reason; /* the verdict's or the refusal's */
        const char *message;
        bool on_delete;    /* updateStrategy OnDelete: what stands is changed only when somebody removes it */
        bool by_live_node; /* WISH_ABSENT because of what the live Node says: it must have settled (PlanFacts.settle) */
        bool only_new;     /* WISH_PRESENT: what stands is kept, whatever was rendered; for what is to be created */
        const char *origin;       /* ORIGIN_FILE "<name>" or ORIGIN_API */
        const Rendered *rendered; /* WISH_PRESENT only */
        const PlanTheirs *theirs; /* NULL: nobody else ever runs it */
} PlanWanted;

typedef enum EntryKind { ENTRY_REGULAR, ENTRY_LINK, ENTRY_DIRECTORY, ENTRY_OTHER } EntryKind;

/* One entry of the manifest directory (not "." and ".."). */
typedef struct PlanEntry {
        const char *file;
        EntryKind kind;
        bool mode_wrong;   /* regular, but not 0600 or not owned by the agent's user */
        bool unreadable;   /* regular, but its bytes could not be had (I/O error): nothing is known, nothing is done */
        const char *bytes; /* regular only; NULL if unreadable, or too large for a kubelet to load */
        size_t len;
        int64_t modified; /* of a regular file: seconds, realtime; 0: not known */
} PlanEntry;

/* What state remembers of one manifest of ours. */
typedef struct PlanWritten {
        const char *file, *namespace, *name;
        const char *origin; /* NULL: unknown */
        const char *bytes;  /* last written; NULL: not known */
        size_t len;
        const char *next; /* being written when the process was interrupted: as good as `bytes` if it stands; or NULL */
        size_t next_len;
        Witness witness; /* of the pod with the uid in bytes */
} PlanWritten;

/* A removed, replaced or withdrawn manifest whose pod may not be gone. */
typedef struct PlanTombstone {
        const char *namespace, *name, *uid;
        const char *input; /* of the manifest: its volumes are kept for the pod; NULL: not known */
        const HostPort *ports;
        size_t n_ports;
        int64_t removed_at; /* seconds, realtime */
        int64_t grace;      /* seconds */
        Witness witness;
} PlanTombstone;

/* A DaemonSet that was handed over to the controller, and did not come back for good. */
typedef struct PlanHandover {
        const char *namespace, *name;
        const char *pod, *uid; /* the controller's last pod here; "" where none was seen */
        const char *boot;      /* the boot in which it is away; of an earlier one, or "": it came back */
        bool unplaced;         /* ours made room for an unbound pod, and none of theirs has run since */
        bool stopped;          /* then it was deleted in the API server, and so it runs nowhere */
        Witness witness;       /* of that pod; a fact only */
} PlanHandover;

/* Of two PlanHandover, by namespace and name: the order of every set of them. */
int plan_compare_handovers(const void *a, const void *b);
/* In a set of that order; or NULL. */
const PlanHandover *plan_find_handover(const PlanHandover *set, size_t n, const char *namespace, const char *name);

/* What a running agent remembers of one manifest file from pass to pass (core/ledger); nothing for a single pass. */
typedef struct PlanMemory {
        const char *file;
        int64_t unwanted_for; /* milliseconds since its removal was first due; -1: it was not due before */
        bool damped;          /* something fights over it: no repair now */
        bool restart;         /* an operator asks for a restart of its pod */
        int64_t absent_for;   /* milliseconds for which what stands has had no pod, though a kubelet ran; or 0 */
        unsigned retries;     /* how often it was written again because of that since its pod was last seen */
        int64_t gone_for;     /* milliseconds since the pod of what was withdrawn was first seen gone; or 0 */
        int64_t held_since;   /* seconds, realtime: it is held since; 0: it was not */
        int64_t missing_for;  /* milliseconds for which theirs, or word of it, is missing (PlanRow.missing); or 0 */
        int64_t unplaced_for; /* milliseconds for which theirs finds no place (PlanRow.unplaced); or 0 */
} PlanMemory;

enum {                                  /* milliseconds */
       PLAN_ABSENT = 60 * 1000,         /* without a pod for so long a manifest is NotStarted */
       PLAN_RETRY_MAX = 16 * 60 * 1000, /* the longest time before it is written again */
       PLAN_GONE = 6 * 1000,            /* by which a kubelet has forgotten a pod whose traces are gone */
};

/* How long a manifest stands without a pod before it is written again: a minute, doubled each time. */
int64_t plan_retry_after(unsigned retries);

typedef enum HoldPolicy { HOLD_NEVER, HOLD_UNTIL_SYNCED, HOLD_ALWAYS } HoldPolicy;

typedef struct PlanFacts {
        const PlanWanted *wanted;
        size_t n_wanted;
        const PlanEntry *present;
        size_t n_present;
        const PlanWritten *written;
        size_t n_written;
        const PlanTombstone *tombstones;
        size_t n_tombstones;
        const PlanHandover *handovers; /* by namespace and name */
        size_t n_handovers;
        const char *boot;                  /* the present one, to compare; NULL: not known */
        bool server_away;                  /* the API server cannot be asked */
        bool stop_if_deleted;              /* [daemonsets] on_api_deleted = stop */
        bool local_read;                   /* daemonsets.d itself was read */
        const char *const *complete_files; /* names of the local files that were read completely */
        size_t n_complete_files;
        bool local_complete;      /* daemonsets.d was read and every file in it completely */
        bool api_synced;          /* the API server's DaemonSets are all known and as it says now, or there are none */
        bool all_synced;          /* every configured source is complete */
        const PlanMemory *memory; /* by file, in byte order; NULL: this is a single pass, nothing is remembered */
        size_t n_memory;
        int64_t removal_delay; /* milliseconds for which a removal must have been due; 0: at once */
        int64_t settle;        /* the same where the live Node is the cause (by_live_node), */
        int64_t node_for;      /* and for which this Node (its uid) must have been followed */
        HoldPolicy hold;
        bool kubelet_synced;            /* this kubelet process has seen the API server */
        int64_t kubelet_up_for;         /* milliseconds since the running kubelet was started; -1: none runs */
        bool kubelet_ran;               /* one runs, or has run since this host booted */
        bool rerender;                  /* adopt what the present renderer writes */
        bool confirm;                   /* MassRemoval is meant */
        const char *const *now_targets; /* NAMESPACE/NAME that overrides the hold */
        size_t n_now_targets;
        int64_t now; /* seconds, realtime */
} PlanFacts;

/* ---- result ---- */

typedef enum StepVerb {                  /* in the order of a plan */
                        STEP_SWEEP,      /* unlink our own temporary file that an interrupted write left */
                        STEP_QUARANTINE, /* move the entry out of the directory */
                        STEP_HAND_OVER,  /* the same as STEP_REMOVE, for a pod of the DaemonSet controller */
                        STEP_REMOVE,     /* unlink the manifest, forget it, leave a tombstone of its pod */
                        STEP_WITHDRAW,   /* unlink the manifest, to be restored when its pod is gone; leaves a tombstone
                                          */
                        STEP_FORGET,     /* state only: nothing stands and nothing is wanted; leaves a tombstone */
                        STEP_RECORD,     /* state only: bytes and origin of a manifest that stands as it should */
                        STEP_RESTORE,    /* write the last bytes again */
                        STEP_REPLACE,    /* write new bytes over what stands; leaves a tombstone of the old pod */
                        STEP_CREATE,     /* write a manifest where none stood */
                        STEP_TOUCH, /* chmod the manifest to 0600: wrong mode, or so that the kubelet takes it back */
} StepVerb;

const char *step_verb_name(StepVerb v); /* "create", "replace", "restore", "remove", "quarantine", ... */

/* What happens to the pod: for the dry run. */
typedef enum StepEffect { EFFECT_POD_NONE, EFFECT_POD_START, EFFECT_POD_RESTART, EFFECT_POD_STOP } StepEffect;
const char *step_effect_name(StepEffect e); /* "-", "start", "restart", "stop" */

typedef struct PlanStep {
        StepVerb verb;
        char *file;
        const char *bytes; /* RESTORE, REPLACE, CREATE, RECORD: what must stand; borrowed from the facts; else NULL */
        size_t len;
        bool save_copy;  /* RESTORE, REPLACE: what stands is damage or somebody's edit: copy it to quarantine first */
        bool move_first; /* a directory stands there: it must be moved away before the write */
        bool again;      /* RESTORE of what was withdrawn, TOUCH of what a copy stood beside: no repair of its own */
        bool back;       /* CREATE: of what was handed over */
        const char *pod; /* HAND_OVER, and where back: the controller's; borrowed; else NULL */
        char *namespace, *name; /* "" where nothing tells it (SWEEP, QUARANTINE) */
        const char *origin;     /* for state; borrowed; NULL: unknown */
        StepEffect effect;
        char *why;     /* one line for a person */
        char *failure; /* why it could not be carried out; NULL: it was, or was not tried. The store sets it; set
                          before, the step is not tried */
} PlanStep;

/* What is reported for one DaemonSet (or for a manifest of ours that no source defines). */
typedef struct PlanRow {
        char *namespace, *name;
        State state;
        Reason reason;
        char revision[REVISION_HEX + 1]; /* of what stands after the plan; "" if nothing */
        char *message;                   /* "" if there is nothing to say */
        const char *origin;
        StepEffect effect;
        StepVerb verb; /* the step for it, if has_step */
        bool has_step;
        bool delayed;       /* its removal is due and waits */
        int64_t wait;       /* for so many milliseconds more; INT64_MAX: until the sources were read again */
        int64_t held_since; /* STATE_HELD for a change that is pending: seconds, realtime; else 0 */
        bool damped;        /* its repair is due and waits, since something fights over the file */
        bool alive;         /* the pod of what stands was seen */
        int64_t absent_for; /* milliseconds without a pod, though the kubelet should run one; -1: that is not so */
        bool gone;          /* the pod of what was withdrawn is gone; it is restored after PLAN_GONE */
        bool unsettled;     /* the witness will tell something new soon */
        Handover handover;
        bool ours_runs;         /* a pod of ours runs here, of what stands or of what was withdrawn; */
        bool theirs_run;        /* the DaemonSet controller's pod does, */
        const char *theirs_pod; /* which is this, or was the last one; borrowed from the facts; NULL: none is known */
        bool missing;           /* what it was handed over to is missing, or the server's answer */
        bool unplaced;          /* ours made room for a pod that is not known to have found a place; */
        bool unplaced_anew;     /* it does so with this plan */
        int64_t written_at;     /* what stands: seconds, realtime; 0: nothing stands, or not known */
} PlanRow;

typedef struct Plan {
        PlanStep *steps;
        size_t n_steps, cap_steps;
        PlanRow *rows; /* wanted ones in their order, then the others by name */
        size_t n_rows, cap_rows;
        PlanHandover *handovers; /* what is to be remembered, before a step is carried out; by name; borrowed strings */
        size_t n_handovers, cap_handovers;
} Plan;

/* 0 or -ENOMEM. */
int plan_make(const PlanFacts *facts, Plan *ret);

/* The row of a DaemonSet, or NULL. */
PlanRow *plan_find_row(const Plan *p, const char *namespace, const char *name);

/* Drops the steps of all other files; the rows stay. */
void plan_keep_file(Plan *p, const char *file);

void plan_done(Plan *p);
#define _cleanup_plan_ _cleanup_(plan_done)
