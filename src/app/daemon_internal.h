/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the agent: daemon.c turns the event loop and knows when something is due; daemon_work.c does it. */
#pragma once

#include "app/observe.h"
#include "app/pending.h"
#include "app/requests.h"
#include "io/dirwatch.h"
#include "io/names.h"

#include <systemd/sd-event.h>

/* What is watched. */
enum {
        WATCH_MANIFESTS,
        WATCH_SOURCES,
        WATCH_CONFIG,
        WATCH_DROP_INS,
        WATCH_KUBELET_CONFIG,
        WATCH_KUBELET_FLAGS,
        WATCH_KUBELET_EXTRA_FLAGS,
        WATCH_KUBECONFIG,
        WATCH_KUBELET_KUBECONFIG,
        WATCH_PODS,
        WATCH_REQUESTS, /* and one more for each further kind */
};

typedef struct Daemon {
        const Options *options;
        sd_event *loop;
        sd_event_source *timer, *heartbeat;
        uint64_t beat; /* microseconds between two heartbeats */
        bool watchdog; /* somebody wants to know that it beats */
        DirWatch *watch;
        int mounts; /* /proc/self/mountinfo, or -1 */
        Reconcile r;
        KubeletSettings last_kubelet; /* of one that ran */
        ApiLink last_api;             /* it goes on while everything else is opened anew */
        bool combine;                 /* the API server had news */
        bool is_open;                 /* r is usable */
        bool has_read;                /* node and sources were read */
        Pending sources;              /* daemonsets.d */
        Pending settings;             /* our configuration and the kubelet's */
        bool look;                    /* at the manifest directory */
        Ledger ledger;
        int64_t retry_at, retry_pause;   /* milliseconds; -1: nothing to try again */
        int64_t turned_at;               /* start of the present or last turn */
        bool was_writable;               /* the manifest directory was, or was not there yet */
        bool passed;                     /* in this turn */
        Names requests[N_REQUEST_KINDS]; /* being answered in this turn */
        Err unplanned;                   /* why there is no plan that could answer them; empty: there is */
        Observer observer;
} Daemon;

/* Something failed: sets the time at which it is tried again, unless one is set. */
void daemon_try_again(Daemon *d);

/* It is that time: what failed is due. */
void daemon_retry(Daemon *d);

/* Starts over: configuration, kubelet, directories. A new configuration that is wrong leaves the old one in force. */
int daemon_reopen(Daemon *d, Err *err);

/* Does what is due, in order. `now` is one for all: what was not due for the reading is not due for the pass. True if
 * there was anything to do. */
bool daemon_work(Daemon *d, int64_t now);

/* Answers what operators ask, after a pass. */
void daemon_answer(Daemon *d);
void daemon_forget_requests(Daemon *d);

/* The API server had news. */
void daemon_api_changed(void *user, unsigned what);

/* When a Node that was deleted takes its pods with it: clock_boot_ms, or -1. */
int64_t daemon_node_due(const Daemon *d);

/* The node's name as far as it is known, or NULL. */
const char *daemon_node_name(const Daemon *d);

void daemon_close(Daemon *d);
