/* SPDX-License-Identifier: Apache-2.0 */
#include "app/daemon.h"
#include "app/cmd.h"
#include "app/daemon_internal.h"
#include "io/clock.h"
#include "io/log.h"
#include "io/message_ids.h"
#include "io/source_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

enum {                    /* milliseconds */
       BLIND_POLL = 5000, /* how often everything is looked at where something cannot be watched */
       HEARTBEAT = 12000, /* how often the watchdog is told, and the kubelet's process looked at */
};

static int64_t next_time(const Daemon *d) {
        int64_t sources = pending_time(&d->sources);
        int64_t times[] = {
                sources,
                pending_time(&d->settings),
                /* What waits for a reading comes with it. */
                sources >= 0 ? -1 : ledger_removal_due(&d->ledger),
                ledger_look_due(&d->ledger),
                daemon_node_due(d),
                dirwatch_is_blind(d->watch) ? clock_boot_ms() + BLIND_POLL : -1,
        };
        int64_t first = d->retry_at;

        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
                /* What is due still, after all that was due was done, could not be done: it waits for the retry. */
                if (times[i] < 0 || (d->retry_at >= 0 && times[i] <= d->turned_at))
                        continue;
                /* What was due in this turn and still is must not spin. */
                if (times[i] <= d->turned_at)
                        times[i] = d->turned_at + LEDGER_LOOK_MIN;
                if (first < 0 || times[i] < first)
                        first = times[i];
        }
        return first;
}

static void arm(Daemon *d) {
        int64_t at = next_time(d);

        if (at < 0) {
                (void)sd_event_source_set_enabled(d->timer, SD_EVENT_OFF);
                return;
        }
        (void)sd_event_source_set_time(d->timer, (uint64_t)at * 1000);
        (void)sd_event_source_set_enabled(d->timer, SD_EVENT_ONESHOT);
}

static void tell(Daemon *d) {
        const ObserverFacts facts = {
                .reconcile = &d->r, .has_read = d->has_read, .passed = d->passed, .ledger = &d->ledger
        };

        observer_tell(&d->observer, &facts);
        if (!d->passed)
                return;
        daemon_answer(d);
        d->passed = false;
}

/* Every handler ends here. */
static void turn(Daemon *d) {
        d->turned_at = clock_boot_ms();
        if (d->retry_at >= 0 && d->retry_at <= d->turned_at)
                daemon_retry(d);
        if (daemon_work(d, d->turned_at) || !d->observer.status || d->observer.problems[PART_METRICS].message[0])
                tell(d);
        if (observer_problem(&d->observer)[0] || !d->is_open)
                daemon_try_again(d);
        else {
                d->retry_at = -1;
                d->retry_pause = 0;
        }
        arm(d);
}

/* ---- events ---- */

void daemon_api_changed(void *user, unsigned what) {
        Daemon *d = user;

        d->combine |= (what & ~API_CHANGED_HEARTBEAT) != 0;
        d->look |= (what & API_CHANGED_HEARTBEAT) && !d->r.kubelet_synced;
        turn(d);
}

static void on_manifest(Daemon *d, const char *name) {
        /* Our own temporary file is no news, and neither is what is fought over until its next repair is due. */
        if (!startswith(name, MANIFEST_TMP_PREFIX) && !ledger_is_waiting(&d->ledger, name, clock_boot_ms()))
                d->look = true;
}

/* Of all the pods that come and go on this node, ours are news. */
static void on_pod(Daemon *d, const char *uid) {
        d->look |= !*uid || reconcile_has_pod(&d->r, uid);
}

/* Swap files and the like are nobody's source; an editor keeps them open for hours. */
static bool is_news(unsigned target, const char *name) {
        return !*name || (target == WATCH_SOURCES ? is_source_name(name) : *name != '.');
}

static void on_change(void *user, unsigned target, DirEvent event, const char *name) {
        Daemon *d = user;
        Pending *p = target == WATCH_SOURCES ? &d->sources : &d->settings;

        if (target == WATCH_MANIFESTS)
                on_manifest(d, name);
        else if (target == WATCH_PODS)
                on_pod(d, name);
        else if (target >= WATCH_REQUESTS)
                d->look |= !*name || manifest_name_is_ours(name);
        else if (!is_news(target, name))
                return;
        else if (event == DIR_EVENT_WRITING)
                pending_writing(p, name, clock_boot_ms());
        else if (event == DIR_EVENT_CHANGED || event == DIR_EVENT_LOST)
                pending_changed(p, clock_boot_ms());
        else
                pending_closed(p, name, clock_boot_ms());
}

static int on_inotify(sd_event_source *source, int fd, uint32_t events, void *user) {
        Daemon *d = user;

        (void)source, (void)fd, (void)events;
        if (dirwatch_read(d->watch) < 0)
                dirwatch_refresh(d->watch);
        turn(d);
        return 0;
}

static int on_mounts(sd_event_source *source, int fd, uint32_t events, void *user) {
        Daemon *d = user;

        (void)source, (void)fd, (void)events;
        dirwatch_refresh(d->watch);
        turn(d);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user) {
        Daemon *d = user;

        (void)source, (void)usec;
        if (dirwatch_is_blind(d->watch)) {
                dirwatch_refresh(d->watch);
                d->look = true;
                pending_now(&d->sources);
        }
        turn(d);
        return 0;
}

/* That the loop turns is what the watchdog asks. The kubelet's start is no event, and it settles the node's labels and
 * the manifest directory. */
static int on_heartbeat(sd_event_source *source, uint64_t usec, void *user) {
        Daemon *d = user;

        if (d->watchdog)
                (void)sd_notify(0, "WATCHDOG=1");
        (void)sd_event_source_set_time(source, usec + d->beat);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (d->is_open && kubelet_is_another(d->r.config.kubelet_proc_dir, &d->r.kubelet)) {
                pending_now(&d->settings);
                turn(d);
        }
        return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *user) {
        Daemon *d = user;

        (void)source, (void)info;
        (void)sd_notify(0, "RELOADING=1");
        pending_now(&d->settings);
        pending_now(&d->sources);
        d->look = true;
        turn(d);
        (void)sd_notify(0, "READY=1");
        return 0;
}

static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *user) {
        (void)info, (void)user;
        (void)sd_notify(0, "STOPPING=1");
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* ---- start and end ---- */

static int add_sources(Daemon *d) {
        static const struct {
                int number;
                sd_event_signal_handler_t handler;
        } signals[] = { { SIGTERM, on_end }, { SIGINT, on_end }, { SIGHUP, on_reload } };
        sigset_t set;
        int r = 0;

        (void)signal(SIGPIPE, SIG_IGN); /* the log's reader may go */
        (void)sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                (void)sigaddset(&set, signals[i].number);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(signals); i++)
                r = sd_event_add_signal(d->loop, NULL, signals[i].number, signals[i].handler, d);
        if (r >= 0)
                r = sd_event_add_io(d->loop, NULL, dirwatch_fd(d->watch), EPOLLIN, on_inotify, d);
        if (r >= 0 && d->mounts >= 0)
                r = sd_event_add_io(d->loop, NULL, d->mounts, EPOLLPRI, on_mounts, d);
        if (r >= 0)
                r = sd_event_add_time(d->loop, &d->timer, CLOCK_BOOTTIME, 0, 10 * 1000, on_timer, d);
        if (r >= 0)
                r = sd_event_source_set_enabled(d->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(d->loop, &d->heartbeat, CLOCK_MONOTONIC, d->beat, d->beat / 8,
                                               on_heartbeat, d);
        return r < 0 ? r : 0;
}

/* Three beats in the time after which the service manager loses patience. */
static void set_beat(Daemon *d) {
        uint64_t patience = 0;

        d->beat = (uint64_t)HEARTBEAT * 1000;
        d->watchdog = sd_watchdog_enabled(0, &patience) > 0;
        if (d->watchdog && patience / 3 < d->beat)
                d->beat = patience / 3;
}

static int start(Daemon *d, Err *err) {
        int r;

        d->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        r = dirwatch_new(on_change, d, &d->watch, err);
        if (r < 0)
                return r;
        set_beat(d);
        r = sd_event_new(&d->loop);
        if (r >= 0)
                r = add_sources(d);
        if (r < 0)
                return err_errno(err, r, "cannot set up the event loop");
        /* What is wrong now is said at once; later it would be waited out. */
        r = daemon_reopen(d, err);
        if (r == -EINVAL || r == -EBUSY || r == -ENOMEM)
                return r;
        return 0;
}

static void daemon_done(Daemon *d) {
        daemon_close(d);
        kubelet_settings_done(&d->last_kubelet);
        api_close(&d->last_api);
        ledger_done(&d->ledger);
        pending_done(&d->sources);
        pending_done(&d->settings);
        daemon_forget_requests(d);
        observer_done(&d->observer);
        sd_event_source_unref(d->timer);
        sd_event_source_unref(d->heartbeat);
        dirwatch_free(d->watch);
        if (d->mounts >= 0)
                (void)close(d->mounts);
        sd_event_unref(d->loop);
}

int daemon_run(const Options *options) {
        _cleanup_(daemon_done)
                Daemon d = { .options = options, .mounts = -1, .retry_at = -1, .look = true, .ledger = LEDGER_INIT };
        Err err = { 0 };
        int r;

        d.observer.metrics.started_at = clock_real_s();
        r = start(&d, &err);
        if (r < 0)
                return fail(r, &err);
        turn(&d);
        (void)sd_notify(0, "READY=1");
        log_event(LOG_LEVEL_INFO, &(LogFields){ .node = d.r.node.view.name, .message_id = MESSAGE_ID_STARTED },
                  "started; %s", observer_problem(&d.observer)[0] ? observer_problem(&d.observer) : "all is well");
        r = sd_event_loop(d.loop);
        return r < 0 ? fail(r, &err) : r;
}
