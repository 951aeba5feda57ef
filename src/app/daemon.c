/* SPDX-License-Identifier: Apache-2.0 */
#include "app/daemon.h"
#include "app/cmd.h"
#include "app/pending.h"
#include "app/report.h"
#include "io/dirwatch.h"
#include "io/file.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

enum {
        RETRY_MIN = 1000, /* milliseconds after which what failed is tried again, doubled each time */
        RETRY_MAX = 30000,
        BLIND_POLL = 5000, /* how often everything is looked at where something cannot be watched */
};

/* What is watched. */
enum { WATCH_MANIFESTS, WATCH_SOURCES, WATCH_CONFIG, WATCH_DROP_INS, WATCH_KUBELET_CONFIG, WATCH_KUBELET_FLAGS };

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
        int64_t passes;
        Err problem;
        char *written; /* status.json as it was last written, without its time */
        int status;    /* exit status */
} Daemon;

static int64_t boot_ms(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_BOOTTIME, &ts);
        return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- telling ---- */

static void say_problem(Daemon *d, const Err *err) {
        if (!streq(d->problem.message, err->message))
                log_event(LOG_LEVEL_ERROR, &(LogFields){ .node = d->r.node.view.name }, "%s", err->message);
        d->problem = *err;
}

static void say_steps(const Daemon *d) {
        for (size_t i = 0; i < d->r.plan.n_steps; i++) {
                const PlanStep *s = &d->r.plan.steps[i];
                char daemonset[320];

                if (s->verb == STEP_RECORD || s->verb == STEP_FORGET)
                        continue;
                (void)snprintf(daemonset, sizeof(daemonset), "%s/%s", s->namespace, s->name);
                log_event(s->failure ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE,
                          &(LogFields){ .daemonset = s->name[0] ? daemonset : NULL, .node = d->r.node.view.name },
                          "%s %s: %s", step_verb_name(s->verb), s->file,
                          s->failure ? s->failure : str_or_empty(s->why));
        }
}

static int write_status(const Daemon *d, const char *text, size_t len) {
        _cleanup_fd_ int fd = -1;

        (void)mkdir(d->r.config.runtime_dir, 0755);
        fd = file_open_at(AT_FDCWD, d->r.config.runtime_dir, O_RDONLY | O_DIRECTORY, 0);
        return fd < 0 ? fd : file_write_at(fd, ".status.json.new", "status.json", text, len, 0644, NULL);
}

/* status.json and systemd's status text; written when they say something new. */
static void tell(Daemon *d) {
        ReportFacts facts = { .reconcile = d->has_read ? &d->r : NULL,
                              .ledger = &d->ledger,
                              .problem = d->problem.message };
        _cleanup_json_ cJSON *status = report_status(&facts);
        _cleanup_buf_ Buf summary = BUF_INIT;
        _cleanup_free_ char *text = status ? json_canonical_text(status, NULL) : NULL;
        size_t len;

        if (!text || streq(text, d->written))
                return;
        if (d->problem.message[0])
                buf_str(&summary, d->problem.message);
        else if (d->has_read)
                report_summary(json_get(status, "daemonsets"), &summary);
        (void)sd_notifyf(0, "STATUS=%s", buf_text(&summary));
        free(d->written);
        d->written = TAKE_PTR(text);
        if (!json_put(status, "updatedAt", json_new_int((int64_t)time(NULL))) ||
            !json_put(json_get_mutable(status, "counters"), "passes", json_new_int(d->passes)))
                return;
        text = json_canonical_text(status, &len);
        if (d->is_open && text && write_status(d, text, len) < 0)
                log_event(LOG_LEVEL_WARNING, NULL, "cannot write %s/status.json", d->r.config.runtime_dir);
}

/* ---- doing ---- */

static void try_again(Daemon *d) {
        d->retry_pause = d->retry_pause ? d->retry_pause * 2 : RETRY_MIN;
        if (d->retry_pause > RETRY_MAX)
                d->retry_pause = RETRY_MAX;
        d->retry_at = boot_ms() + d->retry_pause;
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

/* Starts over: configuration, kubelet, directories. What is wrong with a new configuration leaves the old one in force.
 */
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
        r = reconcile_read(d->options, &d->r, err);
        if (r < 0)
                return r;
        d->has_read = d->look = true;
        if (d->r.local.error)
                return err_set(err, -EIO, "%s; nothing is removed", d->r.local.error);
        return 0;
}

static int pass(Daemon *d, Err *err) {
        ReconcilePass facts = { .now = (int64_t)time(NULL), .removal_delay = d->r.config.removal_delay * 1000 };
        int64_t now = boot_ms();
        int r;

        d->look = false;
        d->passes++;
        if (ledger_memory(&d->ledger, now, &facts.memory, &facts.n_memory) < 0)
                return err_oom(err);
        r = reconcile_plan(d->options, &facts, &d->r, err);
        if (r < 0)
                return r;
        r = reconcile_apply(&d->r, d->options, facts.now, err);
        say_steps(d);
        if (ledger_learn(&d->ledger, &d->r.plan, now) < 0)
                return err_oom(err);
        return r;
}

/* Does what is due, in order; what fails is tried again. */
static int work(Daemon *d, int64_t now, Err *err) {
        int64_t due = ledger_due(&d->ledger, d->r.config.removal_delay * 1000);
        int r = 0, read = 0;

        if (!d->is_open || (pending_time(&d->settings) >= 0 && pending_time(&d->settings) <= now)) {
                pending_take(&d->settings);
                r = reopen(d, err);
                if (r < 0 && !d->is_open)
                        return r;
        }
        /* What is to be removed is read a second time first. */
        if (due >= 0 && due <= now)
                pending_now(&d->sources);
        if (pending_time(&d->sources) >= 0 && pending_time(&d->sources) <= now) {
                read = read_sources(d, err);
                if (read < 0 && !d->has_read)
                        return read;
        }
        if (d->look && d->has_read) {
                int e = pass(d, err);

                /* A directory was replaced: open the new one. */
                if (e == -ESTALE) {
                        close_all(d);
                        d->look = true;
                }
                r = r < 0 ? r : e;
        }
        return r < 0 ? r : read;
}

static int64_t next_time(const Daemon *d) {
        int64_t times[] = { d->retry_at, pending_time(&d->sources), pending_time(&d->settings),
                            ledger_due(&d->ledger, d->r.config.removal_delay * 1000),
                            dirwatch_is_blind(d->watch) ? boot_ms() + BLIND_POLL : -1 };
        int64_t first = -1;

        for (size_t i = 0; i < ARRAY_SIZE(times); i++)
                if (times[i] >= 0 && (first < 0 || times[i] < first))
                        first = times[i];
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
        int64_t now = boot_ms();
        Err err = { 0 };
        int r;

        if (d->retry_at >= 0 && d->retry_at <= now) {
                d->retry_at = -1;
                d->look = true;
                pending_now(&d->sources);
        }
        r = work(d, now, &err);
        if (r < 0) {
                say_problem(d, &err);
                try_again(d);
        } else if (d->retry_at < 0) {
                d->problem = (Err){ 0 };
                d->retry_pause = 0;
        }
        tell(d);
        arm(d);
}

/* ---- events ---- */

static void on_change(void *user, unsigned target, DirEvent event, const char *name) {
        Daemon *d = user;
        Pending *p = target == WATCH_SOURCES ? &d->sources : &d->settings;

        if (target == WATCH_MANIFESTS) {
                /* Our own temporary file is no news. */
                d->look |= !startswith(name, MANIFEST_TMP_PREFIX);
                return;
        }
        if (event == DIR_EVENT_WRITING)
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
        sigset_t signals;
        int r;

        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigaddset(&signals, SIGINT);
        (void)sigaddset(&signals, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        r = sd_event_add_signal(d->loop, NULL, SIGTERM, on_end, d);
        if (r >= 0)
                r = sd_event_add_signal(d->loop, NULL, SIGINT, on_end, d);
        if (r >= 0)
                r = sd_event_add_signal(d->loop, NULL, SIGHUP, on_reload, d);
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
        log_event(LOG_LEVEL_INFO, NULL, "started; %s", d.problem.message[0] ? d.problem.message : "all is well");
        r = sd_event_loop(d.loop);
        return r < 0 ? fail(r, &err) : 0;
}
