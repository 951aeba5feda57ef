/* SPDX-License-Identifier: Apache-2.0 */
#include "app/daemon.h"
#include "app/cmd.h"
#include "app/journal.h"
#include "app/pending.h"
#include "app/report.h"
#include "io/dirwatch.h"
#include "io/file.h"
#include "io/log.h"
#include "io/message_ids.h"
#include "io/source_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

enum {
        RETRY_MIN = 1000, /* milliseconds after which what failed is tried again, doubled each time */
        RETRY_MAX = 30000,
        STALE_TRIES = 3,   /* directories that are replaced while they are opened */
        BLIND_POLL = 5000, /* how often everything is looked at where something cannot be watched */
};

/* What is watched. */
enum { WATCH_MANIFESTS, WATCH_SOURCES, WATCH_CONFIG, WATCH_DROP_INS, WATCH_KUBELET_CONFIG, WATCH_KUBELET_FLAGS };

/* What can fail by itself, and is tried again by itself. */
typedef enum Part { PART_SETTINGS, PART_SOURCES, PART_MANIFESTS, N_PARTS } Part;

typedef struct Daemon {
        const Options *options;
        sd_event *loop;
        sd_event_source *timer;
        DirWatch *watch;
        int mounts; /* /proc/self/mountinfo, or -1 */
        Reconcile r;
        bool is_open;     /* r is usable */
        bool has_read;    /* node and sources were read */
        Pending sources;  /* daemonsets.d */
        Pending settings; /* our configuration and the kubelet's */
        bool look;        /* at the manifest directory */
        Ledger ledger;
        int64_t retry_at, retry_pause; /* milliseconds; -1: nothing to try again */
        int64_t turned_at;             /* start of the present or last turn */
        int64_t passes;
        bool was_writable;     /* the manifest directory was, or was not there yet */
        Err problems[N_PARTS]; /* what failed when it was last tried; empty: nothing */
        char *written;         /* status.json as it was last written, without its time; NULL: write it */
        bool mute;             /* it has been logged that status.json cannot be written */
} Daemon;

static int64_t boot_ms(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_BOOTTIME, &ts);
        return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- telling ---- */

/* Notes how a part went. */
static void note(Daemon *d, Part part, int r, const Err *err) {
        Err *known = &d->problems[part];

        if (r < 0 && !streq(known->message, err->message))
                log_event(LOG_LEVEL_ERROR,
                          &(LogFields){ .node = d->r.node.view.name, .message_id = MESSAGE_ID_PROBLEM }, "%s",
                          err->message);
        *known = r < 0 ? *err : (Err){ 0 };
}

/* The first problem, or "". */
static const char *problem(const Daemon *d) {
        for (Part p = 0; p < N_PARTS; p++)
                if (d->problems[p].message[0])
                        return d->problems[p].message;
        return "";
}

static void write_anew(Daemon *d, cJSON *status) {
        _cleanup_free_ char *text = NULL;
        size_t len;

        if (json_put(status, "updatedAt", json_new_int((int64_t)time(NULL))) &&
            json_put(json_get_mutable(status, "counters"), "passes", json_new_int(d->passes)))
                text = json_canonical_text(status, &len);
        if (text && report_write(d->r.config.runtime_dir, text, len) == 0) {
                d->mute = false;
                return;
        }
        free(d->written);
        d->written = NULL;
        if (!d->mute)
                log_event(LOG_LEVEL_WARNING, NULL, "cannot write %s/status.json", d->r.config.runtime_dir);
        d->mute = true;
}

/* status.json and systemd's status text; written when they say something new. */
static void tell(Daemon *d) {
        const char *wrong = problem(d);
        ReportFacts facts = { .reconcile = d->has_read ? &d->r : NULL, .ledger = &d->ledger, .problem = wrong };
        _cleanup_json_ cJSON *status = report_status(&facts);
        _cleanup_buf_ Buf summary = BUF_INIT;
        _cleanup_free_ char *text = status ? json_canonical_text(status, NULL) : NULL;

        if (!text || streq(text, d->written))
                return;
        if (*wrong)
                buf_str(&summary, wrong);
        else if (d->has_read)
                report_summary(json_get(status, "daemonsets"), &summary);
        (void)sd_notifyf(0, "STATUS=%s", buf_text(&summary));
        free(d->written);
        d->written = TAKE_PTR(text);
        /* An agent that could not open its directories tells that as well. */
        if (d->r.config.runtime_dir)
                write_anew(d, status);
}

/* ---- doing ---- */

static void try_again(Daemon *d) {
        if (d->retry_at >= 0)
                return;
        d->retry_pause = d->retry_pause ? d->retry_pause * 2 : RETRY_MIN;
        if (d->retry_pause > RETRY_MAX)
                d->retry_pause = RETRY_MAX;
        d->retry_at = boot_ms() + d->retry_pause;
}

/* It is time to: what failed is due. */
static void retry(Daemon *d) {
        d->retry_at = -1;
        if (d->problems[PART_SETTINGS].message[0])
                pending_now(&d->settings);
        if (d->problems[PART_SOURCES].message[0])
                pending_now(&d->sources);
        d->look |= d->problems[PART_MANIFESTS].message[0] != 0;
}

static void watch_all(Daemon *d) {
        const Config *c = &d->r.config;
        const char *config = d->options->config_path ? d->options->config_path : CONFIG_PATH;
        _cleanup_buf_ Buf drop_ins = BUF_INIT;

        buf_printf(&drop_ins, "%s.d", config);
        if (dirwatch_set(d->watch, WATCH_MANIFESTS, d->r.manifest_dir, false) < 0 ||
            dirwatch_set(d->watch, WATCH_SOURCES, c->daemonsets_dir, false) < 0 ||
            dirwatch_set(d->watch, WATCH_CONFIG, config, true) < 0 ||
            dirwatch_set(d->watch, WATCH_DROP_INS, buf_text(&drop_ins), false) < 0 ||
            dirwatch_set(d->watch, WATCH_KUBELET_CONFIG, c->kubelet_config, true) < 0 ||
            dirwatch_set(d->watch, WATCH_KUBELET_FLAGS, c->kubelet_flags_file, true) < 0)
                try_again(d);
}

static void close_all(Daemon *d) {
        reconcile_done(&d->r);
        d->is_open = d->has_read = false;
}

/* Starts over: configuration, kubelet, directories. A new configuration that is wrong leaves the old one in force. */
static int reopen(Daemon *d, Err *err) {
        Config config = { 0 };
        int r = setup_config(d->options, &config, err);

        if (r < 0)
                return r;
        config_done(&config);
        close_all(d);
        r = reconcile_open(d->options, &d->r, err);
        /* A directory that is not there yet is watched for as well. */
        if (d->r.manifest_dir)
                watch_all(d);
        if (r < 0)
                return r;
        d->is_open = true;
        pending_now(&d->sources);
        return 0;
}

static int read_sources(Daemon *d, Err *err) {
        int r;

        pending_take(&d->sources);
        d->has_read = false;
        r = reconcile_read(d->options, &d->r, err);
        if (r < 0)
                return r;
        d->has_read = d->look = true;
        if (d->r.local.error)
                return err_set(err, -EIO, "%s; nothing is removed", d->r.local.error);
        return 0;
}

static int pass(Daemon *d, int64_t now, Err *err) {
        ReconcilePass facts = { .now = (int64_t)time(NULL), .removal_delay = d->r.config.removal_delay * 1000 };
        int r;

        d->look = false;
        d->passes++;
        /* While daemonsets.d changes, what was read of it is old. */
        if (pending_time(&d->sources) >= 0)
                facts.removal_delay = INT64_MAX;
        if (ledger_memory(&d->ledger, now, &facts.memory, &facts.n_memory) < 0)
                return err_oom(err);
        r = reconcile_plan(d->options, &facts, &d->r, err);
        if (r < 0)
                return r;
        r = reconcile_apply(&d->r, d->options, facts.now, err);
        if (r == -ESTALE)
                return r;
        journal_steps(&d->r.plan, d->r.node.view.name);
        if (ledger_learn(&d->ledger, &d->r.plan, now) < 0)
                return err_oom(err);
        return r;
}

static bool is_due(const Pending *p, int64_t now) {
        int64_t at = pending_time(p);

        return at >= 0 && at <= now;
}

static bool open_if_due(Daemon *d, int64_t now) {
        Err err = { 0 };
        int r;

        if (d->is_open && !is_due(&d->settings, now))
                return false;
        pending_take(&d->settings);
        r = reopen(d, &err);
        d->was_writable |= r == -ENOENT;
        note(d, PART_SETTINGS, r, &err);
        return true;
}

static bool read_if_due(Daemon *d, int64_t now) {
        int64_t due = ledger_due(&d->ledger, d->r.config.removal_delay * 1000);
        Err err = { 0 };

        /* What is to be removed is read a second time first. */
        if (due >= 0 && due <= now)
                pending_now(&d->sources);
        if (!d->is_open || !is_due(&d->sources, now))
                return false;
        note(d, PART_SOURCES, read_sources(d, &err), &err);
        return true;
}

/* In the unit's sandbox nothing that was made anew since the start can be written to, for good: the service manager is
 * to make a new sandbox. A directory that was read-only from the start is a matter of settings and waited out. */
static void leave_old_sandbox(Daemon *d, int r) {
        if (r == 0)
                d->was_writable = true;
        if (r == -EROFS && d->was_writable && getenv("NOTIFY_SOCKET"))
                (void)sd_event_exit(d->loop, EX_IOERR);
}

/* Does what is due, in order. `now` is one for all: what was not due for the reading is not due for the pass. True if
 * there was anything to do. */
static bool work(Daemon *d, int64_t now) {
        bool did = false;

        for (int tries = 0; tries < STALE_TRIES; tries++) {
                Err err = { 0 };
                int r;

                did |= open_if_due(d, now);
                did |= read_if_due(d, now);
                if (!d->look || !d->has_read)
                        return did;
                did = true;
                r = pass(d, now, &err);
                note(d, PART_MANIFESTS, r == -ESTALE ? 0 : r, &err);
                leave_old_sandbox(d, r);
                if (r != -ESTALE)
                        return did;
                /* A directory was replaced: open the new one. */
                close_all(d);
                d->look = true;
        }
        return did;
}

static int64_t next_time(const Daemon *d) {
        int64_t sources = pending_time(&d->sources);
        int64_t times[] = {
                sources,
                pending_time(&d->settings),
                /* What waits for a reading comes with it. */
                sources >= 0 ? -1 : ledger_due(&d->ledger, d->r.config.removal_delay * 1000),
                dirwatch_is_blind(d->watch) ? boot_ms() + BLIND_POLL : -1,
        };
        int64_t first = d->retry_at;

        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
                /* What is due still, after all that was due was done, could not be done: it waits for the retry. */
                if (times[i] < 0 || (d->retry_at >= 0 && times[i] <= d->turned_at))
                        continue;
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

/* Every handler ends here. */
static void turn(Daemon *d) {
        d->turned_at = boot_ms();
        if (d->retry_at >= 0 && d->retry_at <= d->turned_at)
                retry(d);
        if (work(d, d->turned_at) || !d->written)
                tell(d);
        if (problem(d)[0] || !d->is_open)
                try_again(d);
        else {
                d->retry_at = -1;
                d->retry_pause = 0;
        }
        arm(d);
}

/* ---- events ---- */

static void on_manifest(Daemon *d, const char *name) {
        /* Our own temporary file is no news, and neither is what is fought over until its next repair is due. */
        if (!startswith(name, MANIFEST_TMP_PREFIX) && !ledger_is_waiting(&d->ledger, name, boot_ms()))
                d->look = true;
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
        else if (!is_news(target, name))
                return;
        else if (event == DIR_EVENT_WRITING)
                pending_writing(p, name, boot_ms());
        else if (event == DIR_EVENT_CHANGED || event == DIR_EVENT_LOST)
                pending_changed(p, boot_ms());
        else
                pending_closed(p, name, boot_ms());
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
                r = sd_event_set_watchdog(d->loop, true);
        return r < 0 ? r : 0;
}

static int start(Daemon *d, Err *err) {
        int r;

        d->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
        r = dirwatch_new(on_change, d, &d->watch, err);
        if (r < 0)
                return r;
        r = sd_event_new(&d->loop);
        if (r >= 0)
                r = add_sources(d);
        if (r < 0)
                return err_errno(err, r, "cannot set up the event loop");
        /* What is wrong now is said at once; later it would be waited out. */
        r = reopen(d, err);
        if (r == -EINVAL || r == -EBUSY || r == -ENOMEM)
                return r;
        return 0;
}

static void daemon_done(Daemon *d) {
        close_all(d);
        ledger_done(&d->ledger);
        pending_done(&d->sources);
        pending_done(&d->settings);
        sd_event_source_unref(d->timer);
        dirwatch_free(d->watch);
        if (d->mounts >= 0)
                (void)close(d->mounts);
        sd_event_unref(d->loop);
        free(d->written);
}

int daemon_run(const Options *options) {
        _cleanup_(daemon_done) Daemon d = { .options = options, .mounts = -1, .retry_at = -1, .look = true };
        Err err = { 0 };
        int r = start(&d, &err);

        if (r < 0)
                return fail(r, &err);
        turn(&d);
        (void)sd_notify(0, "READY=1");
        log_event(LOG_LEVEL_INFO, &(LogFields){ .node = d.r.node.view.name, .message_id = MESSAGE_ID_STARTED },
                  "started; %s", problem(&d)[0] ? problem(&d) : "all is well");
        r = sd_event_loop(d.loop);
        return r < 0 ? fail(r, &err) : r;
}
