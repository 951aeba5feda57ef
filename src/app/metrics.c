/* SPDX-License-Identifier: Apache-2.0 */
#include "app/metrics.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const struct {
        int64_t microseconds;
        const char *seconds;
} bounds[METRICS_BUCKETS] = {
        { 500, "0.0005" },  { 1000, "0.001" }, { 2500, "0.0025" }, { 5000, "0.005" },  { 10000, "0.01" },
        { 25000, "0.025" }, { 50000, "0.05" }, { 100000, "0.1" },  { 250000, "0.25" }, { 1000000, "1" },
};

void metrics_observe(Metrics *m, int64_t microseconds, bool success, int64_t now) {
        size_t i = 0;

        if (microseconds < 0)
                microseconds = 0;
        while (i < METRICS_BUCKETS && microseconds > bounds[i].microseconds)
                i++;
        if (i < METRICS_BUCKETS)
                m->buckets[i]++;
        m->passes++;
        m->microseconds += microseconds;
        if (success)
                m->last_success_at = now;
        else
                m->failures++;
}

/* ---- rows ---- */

/* Borrowed from status.json. */
typedef struct Row {
        const char *namespace, *name, *state, *reason;
        size_t at;
} Row;

typedef struct Rows {
        Row *rows;
        size_t n;
} Rows;

static void rows_done(Rows *r) {
        free(r->rows);
}

/* Not a file or an object of which no name is known. */
static bool has_name(const Row *r) {
        return r->name[0] && !(r->namespace[0] == 0 && streq(r->name, "-"));
}

static int compare_places(const void *a, const void *b) {
        const Row *x = a, *y = b;

        return (x->at > y->at) - (x->at < y->at);
}

static int compare_names(const void *a, const void *b) {
        const Row *x = a, *y = b;
        int c = strcmp(x->namespace, y->namespace);

        if (c == 0)
                c = strcmp(x->name, y->name);
        return c ? c : compare_places(a, b);
}

/* A series that is there twice would make the collector drop the whole file. */
static void drop_twins(Rows *r) {
        size_t kept = 0;

        qsort(r->rows, r->n, sizeof(*r->rows), compare_names);
        for (size_t i = 0; i < r->n; i++) {
                const Row *row = &r->rows[i], *last = kept ? &r->rows[kept - 1] : NULL;

                if (!last || !has_name(row) || !streq(row->namespace, last->namespace) || !streq(row->name, last->name))
                        r->rows[kept++] = *row;
        }
        r->n = kept;
        qsort(r->rows, r->n, sizeof(*r->rows), compare_places);
}

static int rows_read(const cJSON *array, Rows *ret) {
        Rows r = { .rows = calloc((size_t)cJSON_GetArraySize(array) + 1, sizeof(*r.rows)) };

        if (!r.rows)
                return -ENOMEM;
        for (const cJSON *item = array ? array->child : NULL; item; item = item->next) {
                r.rows[r.n] = (Row){
                        .namespace = str_or_empty(json_string(item, "namespace")),
                        .name = str_or_empty(json_string(item, "name")),
                        .state = str_or_empty(json_string(item, "state")),
                        .reason = str_or_empty(json_string(item, "reason")),
                        .at = r.n,
                };
                r.n++;
        }
        drop_twins(&r);
        *ret = r;
        return 0;
}

/* ---- text ---- */

static void put_family(Buf *out, const char *name, const char *type, const char *help) {
        buf_printf(out, "# HELP daemonlet_%s %s\n# TYPE daemonlet_%s %s\n", name, help, name, type);
}

static void put_unsigned(Buf *out, const char *name, const char *type, const char *help, uint64_t value) {
        put_family(out, name, type, help);
        buf_printf(out, "daemonlet_%s %" PRIu64 "\n", name, value);
}

static void put_gauge(Buf *out, const char *name, const char *help, int64_t value) {
        put_family(out, name, "gauge", help);
        buf_printf(out, "daemonlet_%s %" PRId64 "\n", name, value);
}

static void put_label(Buf *out, const char *name, const char *value) {
        buf_printf(out, "%s=\"", name);
        for (const char *p = value; *p; p++)
                if (*p == '\n')
                        buf_str(out, "\\n");
                else {
                        if (*p == '\\' || *p == '"')
                                buf_char(out, '\\');
                        buf_char(out, *p);
                }
        buf_char(out, '"');
}

static void put_rows(Buf *out, const Rows *rows) {
        put_family(out, "daemonsets", "gauge", "DaemonSets in each state.");
        for (State s = STATE_RUNNING; s <= STATE_HANDED_OVER; s++) {
                size_t n = 0;

                for (size_t i = 0; i < rows->n; i++)
                        n += streq(rows->rows[i].state, state_name(s));
                buf_printf(out, "daemonlet_daemonsets{state=\"%s\"} %zu\n", state_name(s), n);
        }
        put_family(out, "verdicts", "gauge", "DaemonSets with each reason that occurs.");
        for (Reason reason = REASON_None + 1; reason < REASON_COUNT; reason++) {
                size_t n = 0;

                for (size_t i = 0; i < rows->n; i++)
                        n += streq(rows->rows[i].reason, reason_name(reason));
                if (n)
                        buf_printf(out, "daemonlet_verdicts{reason=\"%s\"} %zu\n", reason_name(reason), n);
        }
        put_family(out, "daemonset_state", "gauge", "Always 1; the labels tell state and reason of a DaemonSet.");
        for (size_t i = 0; i < rows->n; i++) {
                const Row *r = &rows->rows[i];

                if (!has_name(r))
                        continue;
                buf_str(out, "daemonlet_daemonset_state{");
                put_label(out, "namespace", r->namespace);
                put_label(out, ",daemonset", r->name);
                put_label(out, ",state", r->state);
                put_label(out, ",reason", r->reason);
                buf_str(out, "} 1\n");
        }
}

static void put_counters(Buf *out, const Ledger *l) {
        const struct {
                const char *name, *help;
                uint64_t value;
        } counters[] = {
                { "repairs_total", "Manifests that were put right.", l->repairs },
                { "quarantined_total", "Files that were moved out of the manifest directory.", l->quarantined },
                { "conflicts_total", "Times that a DaemonSet came into conflict.", l->conflicts },
                { "holds_total", "Times that a DaemonSet became held.", l->holds },
                { "restarts_total", "Manifests that were withdrawn to start their pods again.", l->restarts },
                { "handovers_total", "Manifests that were withdrawn for the DaemonSet controller's pod.",
                  l->handovers },
                { "takebacks_total", "Manifests that were written again after a hand-over.", l->takebacks },
        };

        for (size_t i = 0; i < ARRAY_SIZE(counters); i++)
                put_unsigned(out, counters[i].name, "counter", counters[i].help, counters[i].value);
}

static void put_durations(Buf *out, const Metrics *m) {
        static const char name[] = "reconcile_duration_seconds";
        uint64_t n = 0;

        put_family(out, name, "histogram", "Duration of passes.");
        for (size_t i = 0; i < METRICS_BUCKETS; i++) {
                n += m->buckets[i];
                buf_printf(out, "daemonlet_%s_bucket{le=\"%s\"} %" PRIu64 "\n", name, bounds[i].seconds, n);
        }
        buf_printf(out, "daemonlet_%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, m->passes);
        /* No double: a locale could give it a comma. */
        buf_printf(out, "daemonlet_%s_sum %" PRId64 ".%06" PRId64 "\n", name, m->microseconds / 1000000,
                   m->microseconds % 1000000);
        buf_printf(out, "daemonlet_%s_count %" PRIu64 "\n", name, m->passes);
}

static void put_api(Buf *out, const ApiReport *api) {
        static const char *const states[] = { "Live", "Stale", "SuspectList", "Unread" };

        put_gauge(out, "api_reachable", "Whether the API server answers.", api->reachable);
        put_gauge(out, "api_heard_timestamp_seconds", "When the API server last answered, since 1970; 0: never.",
                  api->heard_at);
        put_unsigned(out, "api_requests_total", "counter", "Requests to the API server.", api->requests);
        put_unsigned(out, "api_received_bytes_total", "counter", "Bytes received from the API server.", api->bytes);
        put_family(out, "api_resources", "gauge",
                   "What is followed at the API server, by how far it can be relied on.");
        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                size_t n = 0;

                for (size_t k = 0; k < api->n_resources; k++)
                        n += streq(api->resources[k].state, states[i]);
                buf_printf(out, "daemonlet_api_resources{state=\"%s\"} %zu\n", states[i], n);
        }
}

int metrics_text(const MetricsFacts *facts, Buf *out) {
        const Metrics *m = facts->metrics;
        _cleanup_(rows_done) Rows rows = { 0 };
        int r = rows_read(facts->rows, &rows);

        if (r < 0)
                return r;
        put_family(out, "build_info", "gauge", "Always 1; the label tells the version.");
        buf_str(out, "daemonlet_build_info{version=\"" PACKAGE_VERSION "\"} 1\n");
        put_gauge(out, "start_time_seconds", "When the agent started, since 1970.", m->started_at);
        put_rows(out, &rows);
        put_counters(out, facts->ledger);
        put_unsigned(out, "failures_total", "counter", "Passes that failed.", m->failures);
        put_durations(out, m);
        put_gauge(out, "last_success_timestamp_seconds",
                  "End of the last pass without a failure, since 1970; 0 if there was none.", m->last_success_at);
        if (facts->api)
                put_api(out, facts->api);
        put_gauge(out, "problem", "1 while something is wrong that daemonlet status names.", facts->problem);
        return out->failed ? -ENOMEM : 0;
}

/* ---- file ---- */

/* As file_make_at, without fsync: numbers of before a crash are of no use to anybody, and a pass need not wait for the
 * disk. */
static int make_file(int dir_fd, const char *name, const char *text, size_t len) {
        int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        _cleanup_fd_ int fd = file_open_at(dir_fd, name, flags, 0600);
        int r;

        if (fd == -EEXIST) {
                /* What an interrupted write left. */
                if (unlinkat(dir_fd, name, 0) < 0)
                        return -errno;
                fd = file_open_at(dir_fd, name, flags, 0600);
        }
        if (fd < 0)
                return fd;
        r = file_write_fd(fd, text, len);
        if (r == 0 && fchmod(fd, 0644) < 0)
                r = -errno;
        if (r < 0)
                (void)unlinkat(dir_fd, name, 0);
        return r;
}

static int replace_file(int dir_fd, const char *tmp, const char *name, const char *text, size_t len) {
        int r = make_file(dir_fd, tmp, text, len);

        if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0) {
                r = -errno;
                (void)unlinkat(dir_fd, tmp, 0);
        }
        return r;
}

/* What went wrong, and what to do about it. */
static int explain(int r, const char *path, const char *dir, const char *tmp, Err *err) {
        static const char what[] = "[metrics] textfile: cannot write";

        switch (-r) {
        case ENOENT:
                return err_set(err, r, "%s %s: there is no directory %s; make it", what, path, dir);
        case ENOTDIR:
                return err_set(err, r, "%s %s: %s is not a directory; name a file in one", what, path, dir);
        case EISDIR:
                return err_set(err, r, "%s %s: it or %s beside it is a directory; remove that or name another file",
                               what, path, tmp);
        case EROFS:
                return err_set(err, r,
                               "%s %s: %s is read-only for the agent; in its unit (systemctl edit daemonlet) set "
                               "[Service] ReadWritePaths=-%s and restart it",
                               what, path, dir, dir);
        case EACCES:
        case EPERM:
                return err_set(err, r, "%s %s: the agent may not write to %s; let its user do so", what, path, dir);
        default:
                return err_errno(err, r, "%s %s", what, path);
        }
}

int metrics_write(const char *path, const char *text, size_t len, Err *err) {
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_buf_ Buf dir = BUF_INIT, tmp = BUF_INIT;
        _cleanup_fd_ int fd = -1;
        int r;

        if (!slash)
                buf_char(&dir, '.');
        else /* the root keeps its slash */
                buf_add(&dir, path, slash > path ? (size_t)(slash - path) : 1);
        buf_printf(&tmp, ".%s.new", name);
        if (dir.failed || tmp.failed)
                return err_oom(err);
        if (!*name)
                return explain(-EISDIR, path, buf_text(&dir), buf_text(&tmp), err);
        fd = file_open_at(AT_FDCWD, buf_text(&dir), O_RDONLY | O_DIRECTORY, 0);
        r = fd < 0 ? fd : replace_file(fd, buf_text(&tmp), name, text, len);
        return r < 0 ? explain(r, path, buf_text(&dir), buf_text(&tmp), err) : 0;
}
