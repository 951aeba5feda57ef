/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for a kubelet and its manifest directory, in memory and in simulated time (milliseconds): what it loads
 * and when, which pods it starts, refuses, keeps waiting, ends and forgets, and what a witness sees of them. Everything
 * follows from a seed.
 *
 * As a real one it lists the directory every 20 s and follows events in between; of two files with one pod name the one
 * written last wins at an event and the last in order at a list; a file that goes takes its name with it, even if
 * another file has it. It admits a pod once, starts one of a name when the one before is forgotten, and starts a uid
 * that came back while it was ending when housekeeping finds it ended. A kubelet that has an API server (has_api)
 * neither stops pods nor forgets them until it has seen it; from then on it tells the server now and then that it
 * lives. A process that is started anew knows nothing: it takes over the pods that it finds wanted, and ends the
 * others.
 *
 * With an API server there are pods of the DaemonSet controller as well. A kubelet process knows of them when it has
 * seen the server since its own start, and admits them like any other; what it does not know goes on running, is not
 * stopped, and does not count in its admission. The object in the server shows what the kubelet told last. */
#pragma once

#include "plan_world.h"

enum {
        KM_SETS = 5,
        KM_SPECS = 9,
        KM_FILES = 48,
        KM_PODS = 96,
        KM_EVENTS = 512,
        KM_OBJECTS = 16,
        KM_NAME = 96,
        KM_GRACE = 30 * 1000, /* of every pod of plan_world, milliseconds */
};

extern const char *const km_names[KM_SETS][2]; /* namespace, name */
extern const char *const km_specs[KM_SPECS];

typedef enum KmPhase {
        KM_REFUSED,    /* for good: it has no worker */
        KM_QUEUED,     /* one of its name is there still */
        KM_STARTING,   /* nothing runs yet */
        KM_RUNNING,    /* its containers run, */
        KM_ENDING,     /* still, though they are told to end */
        KM_CLEANING,   /* only its directory is left */
        KM_FORGETTING, /* nothing is left but the worker */
        KM_FINISHED,   /* housekeeping drops or restarts it */
} KmPhase;

typedef struct KmManifest {
        size_t set;
        const WorldPod *pod; /* NULL: somebody else's */
        char uid[KM_NAME];
        bool theirs; /* a pod of the API server */
} KmManifest;

typedef struct KmPod {
        KmManifest m;
        KmPhase phase;
        int64_t at;       /* of the next phase; -1: none by itself */
        int64_t trace_at; /* STARTING: when the first trace of it is seen */
        bool known;       /* to the present kubelet process */
        bool found;       /* running, by a process that did not start it */
        bool desired;     /* the kubelet has a manifest of it */
        bool of_former;   /* it was there when the host was started anew: only a directory is left */
        unsigned seq;     /* in the queue */
        int64_t ready_at; /* theirs: it is Ready from then on */
        /* What the test asks: how its manifest went. */
        bool stood, ours, left_by_agent, left_alive, left_unsynced, left_unseen, left_early;
        int64_t left_at;
} KmPod;

typedef struct KmFile {
        char name[KM_NAME];
        const char *bytes; /* one of the texts of the world, compared by address */
        bool mode_wrong;
        bool by_agent; /* it wrote these bytes, or has taken them for its own */
} KmFile;

typedef struct KmEvent {
        int64_t at;
        char file[KM_NAME];
        bool gone;
} KmEvent;

/* A pod of the DaemonSet controller for this node, as the API server has it. */
typedef struct KmObject {
        char name[KM_NAME], uid[KM_NAME];
        size_t set;
        const WorldPod *pod;
        bool bound, deleting, failed, ready;
        bool refused;      /* the scheduler has said that no node fits */
        bool fails;        /* the kubelet is about to say that it failed */
        int64_t told_at;   /* the kubelet hears of its last change; -1: it has */
        int64_t status_at; /* the kubelet tells how it is; -1: it has */
} KmObject;

/* A static pod's mirror in the API server. */
typedef struct KmMirror {
        const WorldPod *pod; /* NULL: there is none */
        int64_t at;          /* when it follows the static pod; -1: it has */
} KmMirror;

typedef struct Kubelet Kubelet;
struct Kubelet {
        World world; /* the pods */
        const WorldPod *pods[KM_SETS][KM_SPECS], *edited[KM_SETS][KM_SPECS];
        const char *foreign[KM_SETS];
        char files_of[KM_SETS][KM_NAME];
        int64_t now;
        Buf trace;

        KmFile files[KM_FILES];
        size_t n_files;
        KmEvent events[KM_EVENTS]; /* on their way to the kubelet */
        size_t n_events;
        unsigned lose; /* so many events get lost */
        int64_t missed_at;
        bool news; /* something that an agent is told of: a file or a pod's directory */

        bool up, booted; /* it runs; it has run since the host was started */
        unsigned boots;
        int64_t started, list_at, sync_at;
        bool has_api, api_up, synced;
        int64_t heard_since;
        int64_t beat_at, heartbeat; /* when it tells the server that it lives, and when it did last; -1 */
        bool refuses;               /* it lacks resources now and then */
        bool counts_ending;         /* whether a port is taken by a pod that is ending */
        bool has_witness;
        struct {
                bool present;
                KmManifest m;
        } store[KM_SETS];
        struct {
                char file[KM_NAME];
                size_t set;
        } keys[KM_FILES * 4];
        size_t n_keys;
        KmPod table[KM_PODS];
        size_t n_pods;
        unsigned seq;
        KmObject objects[KM_OBJECTS];
        size_t n_objects;
        KmMirror mirrors[KM_SETS];
        bool told; /* the API server has something new from the kubelet */

        void (*on_start)(Kubelet *k, const KmPod *pod); /* its containers begin to run */
};

/* A number below n; the same ones after the same seed. */
void km_seed(uint64_t seed);
uint64_t km_random(uint64_t n);
int64_t km_between(int64_t low, int64_t high);

void km_init(Kubelet *k);
void km_done(Kubelet *k);
void km_trace(Kubelet *k, const char *format, ...) _printf_(2, 3);

/* ---- the directory ---- */

KmFile *km_find_file(Kubelet *k, const char *name);
/* Written, or renamed over; NULL bytes: removed or renamed away. */
void km_put(Kubelet *k, const char *name, const char *bytes, bool by_agent);
void km_chmod(Kubelet *k, const char *name);

/* What the bytes are to a kubelet; false if they are no pod. */
bool km_parse(const Kubelet *k, const char *file, const char *bytes, KmManifest *ret);

/* ---- the kubelet ---- */

void km_start(Kubelet *k);
void km_stop(Kubelet *k);
/* Every pod dies. */
void km_reboot(Kubelet *k);
bool km_is_frozen(const Kubelet *k);
/* The API server goes, or comes back; the kubelet notices in its own time. */
void km_set_api(Kubelet *k, bool up);
/* The pod's containers end of themselves, and nothing tells of it. */
void km_die(Kubelet *k, KmPod *p);
/* A pod of the API server is ended by the kubelet itself, and has failed. */
void km_evict(Kubelet *k, KmPod *p);
/* It is in touch with the API server now. */
bool km_hears(const Kubelet *k);
KmObject *km_find_object(Kubelet *k, const char *uid);
/* It was changed in the API server: the kubelet hears of it. */
void km_tell(Kubelet *k, KmObject *o);
void km_remove_object(Kubelet *k, KmObject *o);
/* When it has something to do; -1: never. */
int64_t km_due(const Kubelet *k);
/* Does what is due now. */
void km_run(Kubelet *k);

bool km_has_containers(const KmPod *p);
KmPod *km_find_pod(Kubelet *k, const char *uid);
Witness km_witness(Kubelet *k, const char *uid);
bool km_pods_clash(const KmManifest *a, const KmManifest *b);
