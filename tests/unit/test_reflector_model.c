/* SPDX-License-Identifier: Apache-2.0 */
/* A reflector against a model of a server that pages, compacts, bookmarks, streams lists or not, restarts, is restored
 * from an older backup, and whose answers are cut, delayed, refused and replaced by garbage. Time is simulated.
 *
 * At each step: what leaves the snapshot was really deleted at some time; what is in it was once said by the server.
 * After an hour without faults the snapshot is what the server has, and LIVE. What is fleeting is never in doubt.
 *
 * MODEL_SEED=n runs one sequence, MODEL_RUNS=n that many. */
#include "core/reflector.h"
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
        NAMES = 11,
        PAGE = 3,
        UIDS_MAX = 4000,
        LOG_MAX = 4000,
        RUNS = 300,
        STEPS = 150, /* of trouble */
        HOUR = 3600 * 1000,
        AT_ONCE_MAX = 40, /* requests without any pause between them */
};

typedef struct Object {
        unsigned uid; /* 0: does not exist */
        unsigned value;
        uint64_t version;
} Object;

typedef struct LogEntry {
        const char *type;
        unsigned name;
        Object object;
} LogEntry;

typedef enum StreamingKind { STREAMS, REFUSES, IGNORES, ERRS, N_STREAMING } StreamingKind;

typedef struct Server {
        Object objects[NAMES], paged[NAMES], backup[NAMES];
        uint64_t version, compacted, paged_version;
        bool can_page; /* a continue token is still good */
        LogEntry log[LOG_MAX];
        size_t n_log;
        StreamingKind streaming;
        bool deleted[UIDS_MAX];    /* each uid: once deleted */
        int64_t lost_at[UIDS_MAX]; /* by a restored backup and not by a deletion; -1: not */
        bool replaced[UIDS_MAX];   /* so lost, and the backup had another object of that name */
        unsigned names[UIDS_MAX];
        unsigned uids;
        uint64_t before_restore;
} Server;

typedef struct Line {
        bool up, silent, streaming, ended; /* ended: the initial events are through */
        uint64_t from;                     /* the next event is of a later version */
        int64_t until, bookmark;
} Line;

typedef struct Model {
        uint64_t seed, random;
        int64_t now;
        bool trouble;
        bool poll, fleeting;
        Server *s;
        Line line;
        Reflector *r;
        ReflectorRequest request;
        bool asked;
        unsigned at_once;
        int64_t last_asked;
        Buf before; /* the snapshot as it was at the last check */
        unsigned uids[NAMES];
        uint64_t generation;
} Model;

static uint32_t draw(Model *m) {
        m->random = m->random * 6364136223846793005ULL + 1442695040888963407ULL;
        return (uint32_t)(m->random >> 32);
}

static unsigned below(Model *m, unsigned n) {
        return (unsigned)(((uint64_t)draw(m) * n) >> 32);
}

static bool one_in(Model *m, unsigned n) {
        return below(m, n) == 0;
}

#define wrong(m, ...)                                                                                                  \
        do {                                                                                                           \
                print_error("MODEL_SEED=%" PRIu64 " at %" PRId64 ": ", (m)->seed, (m)->now);                           \
                fail_msg(__VA_ARGS__);                                                                                 \
        } while (0)

/* ---- the server ---- */

static void record(Server *s, const char *type, unsigned name) {
        assert_true(s->n_log < LOG_MAX);
        s->log[s->n_log++] = (LogEntry){ .type = type, .name = name, .object = s->objects[name] };
}

static void change_something(Model *m) {
        Server *s = m->s;
        unsigned name = below(m, NAMES);
        Object *o = &s->objects[name];

        s->version += 1 + below(m, 3);
        o->version = s->version;
        if (o->uid == 0) {
                o->uid = ++s->uids;
                assert_true(s->uids < UIDS_MAX);
                s->names[o->uid] = name;
                s->lost_at[o->uid] = -1;
                record(s, "ADDED", name);
        } else if (one_in(m, 3)) {
                s->deleted[o->uid] = true;
                record(s, "DELETED", name);
                o->uid = 0;
        } else {
                o->value = below(m, 3);
                record(s, "MODIFIED", name);
        }
}

static void compact(Server *s) {
        s->compacted = s->version;
        s->can_page = false;
}

/* The agent cannot know that what it lacks now was never deleted. */
static void restore(Model *m) {
        Server *s = m->s;

        s->before_restore = s->version;
        s->version -= 10000; /* never to be reached again within a sequence */
        for (unsigned i = 0; i < NAMES; i++) {
                unsigned lost = s->objects[i].uid;

                if (lost && lost != s->backup[i].uid && !s->deleted[lost]) {
                        s->lost_at[lost] = m->now;
                        s->replaced[lost] = s->backup[i].uid > 0;
                }
                s->objects[i] = s->backup[i];
                s->objects[i].version = s->version;
        }
        s->n_log = 0;
        compact(s);
}

static void add_object(Buf *out, unsigned name, const Object *o, bool whole) {
        buf_printf(
                out,
                "{%s\"metadata\":{\"name\":\"n%u\",\"namespace\":\"ns%u\",\"uid\":\"%u\",\"resourceVersion\":\"%" PRIu64
                "\"},\"spec\":{\"value\":%u}}",
                whole ? "\"kind\":\"DaemonSet\",\"apiVersion\":\"apps/v1\"," : "", name, name % 3, o->uid, o->version,
                o->value);
}

static void add_event(Buf *out, const char *type, unsigned name, const Object *o) {
        buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
        add_object(out, name, o, true);
        buf_str(out, "}\n");
}

static void add_bookmark(Buf *out, uint64_t version, bool end) {
        buf_printf(out,
                   "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"DaemonSet\",\"apiVersion\":\"apps/v1\",\"metadata\":{"
                   "\"resourceVersion\":\"%" PRIu64 "\"%s}}}\n",
                   version, end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
}

static void add_error(Buf *out, int code, const char *reason) {
        buf_printf(
                out,
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}}\n",
                reason, reason, code);
}

/* ---- the line ---- */

static void send(Model *m, const char *bytes, size_t len, size_t upto) {
        size_t at = 0;

        len = upto < len ? upto : len;
        while (at < len && m->asked) {
                size_t n = 1 + below(m, one_in(m, 4) ? 5 : 600);
                int r;

                n = n < len - at ? n : len - at;
                r = reflector_data(m->r, bytes + at, n, m->now);
                at += n;
                if (r < 0) {
                        reflector_end(m->r, r, "refused by the reader", m->now, draw(m));
                        m->asked = false;
                        m->line.up = false;
                }
        }
}

static void finish(Model *m, int result) {
        if (m->asked)
                reflector_end(m->r, result, result < 0 ? "a fault" : "", m->now, draw(m));
        m->asked = false;
        m->line.up = false;
}

/* An answer that is complete, or cut anywhere. */
static void answer(Model *m, int status, const Buf *body) {
        bool cut = m->trouble && one_in(m, 8);

        reflector_head(m->r, status, m->trouble && one_in(m, 3) ? (int64_t)below(m, 30000) : -1);
        send(m, buf_text(body), body->len, cut ? below(m, (unsigned)body->len + 1) : body->len);
        finish(m, cut ? one_in(m, 2) ? 0 : -ECONNRESET : 0);
}

static void refuse(Model *m, int status, const char *reason) {
        _cleanup_buf_ Buf body = BUF_INIT;

        if (one_in(m, 4))
                buf_str(&body, "<html>Bad Gateway</html>");
        else
                buf_printf(&body, "{\"kind\":\"Status\",\"message\":\"%s\",\"code\":%d}", reason, status);
        answer(m, status, &body);
}

static void serve_list(Model *m) {
        Server *s = m->s;
        _cleanup_buf_ Buf body = BUF_INIT;
        const char *limit = strstr(m->request.target, "limit="), *token = strstr(m->request.target, "continue=");
        unsigned from = token ? (unsigned)atoi(token + strlen("continue=")) : 0, sent = 0, i;

        if (token && !s->can_page) {
                refuse(m, 410, "Expired");
                return;
        }
        if (!token) {
                memcpy(s->paged, s->objects, sizeof(s->paged));
                s->paged_version = s->version;
                s->can_page = true;
        }
        buf_str(&body, "{\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"items\":[");
        for (i = from; i < NAMES && (!limit || sent < PAGE); i++) {
                if (s->paged[i].uid == 0)
                        continue;
                buf_str(&body, sent++ > 0 ? "," : "");
                add_object(&body, i, &s->paged[i], false);
        }
        buf_printf(&body, "],\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"", s->paged_version);
        if (i < NAMES)
                buf_printf(&body, ",\"continue\":\"%u\"", i);
        buf_str(&body, "}}");
        answer(m, 200, &body);
}

static void open_line(Model *m) {
        const char *seconds = strstr(m->request.target, "timeoutSeconds=");

        assert_non_null(seconds);
        m->line.up = true;
        m->line.silent = m->trouble && one_in(m, 8);
        m->line.until = m->now + (m->trouble && one_in(m, 3) ? (int64_t)below(m, 90000)
                                                             : atoi(seconds + strlen("timeoutSeconds=")) * 1000);
        m->line.bookmark = m->now + below(m, 60000);
        reflector_head(m->r, 200, -1);
}

static void serve_streaming_list(Model *m) {
        Server *s = m->s;
        _cleanup_buf_ Buf body = BUF_INIT;

        if (s->streaming == REFUSES) {
                refuse(m, 422, "Invalid");
                return;
        }
        m->line = (Line){ .streaming = true, .from = s->version };
        open_line(m);
        if (s->streaming == ERRS) {
                add_error(&body, 500, "InternalError");
        } else {
                for (unsigned i = 0; i < NAMES; i++)
                        if (s->objects[i].uid)
                                add_event(&body, "ADDED", i, &s->objects[i]);
                if (s->streaming == STREAMS)
                        add_bookmark(&body, s->version, true);
        }
        if (m->trouble && one_in(m, 6)) {
                send(m, body.data, body.len, below(m, (unsigned)body.len + 1));
                finish(m, one_in(m, 2) ? 0 : -ECONNRESET);
        } else {
                send(m, body.data, body.len, body.len);
        }
}

static void serve_watch(Model *m) {
        Server *s = m->s;
        const char *version = strstr(m->request.target, "resourceVersion=");
        _cleanup_buf_ Buf body = BUF_INIT;

        assert_non_null(version);
        m->line = (Line){ .from = strtoull(version + strlen("resourceVersion="), NULL, 10) };
        if (m->line.from >= s->compacted) {
                open_line(m);
                return;
        }
        if (one_in(m, 2)) {
                refuse(m, 410, "Expired");
                return;
        }
        open_line(m);
        add_error(&body, 410, "Expired");
        send(m, body.data, body.len, body.len);
}

/* Whatever an agent may meet. True if the request is done with. */
static bool meet_trouble(Model *m) {
        static const int statuses[] = { 401, 403, 404, 429, 500, 502, 503, 504, 400, 410, 302, 204 };
        _cleanup_buf_ Buf body = BUF_INIT;

        switch (below(m, 12)) {
        case 0:
        case 1:
                m->now += below(m, 10000);
                finish(m, one_in(m, 2) ? -ECONNREFUSED : -ETIMEDOUT);
                return true;
        case 2:
                refuse(m, statuses[below(m, ARRAY_SIZE(statuses))], "trouble");
                return true;
        case 3:
                buf_str(&body, one_in(m, 2) ? "<html>Log in" : "{\"kind\":\"PodList\",\"items\":[]}");
                answer(m, 200, &body);
                return true;
        case 4:
                answer(m, 200, &body);
                return true;
        default:
                return false;
        }
}

static void ask(Model *m) {
        int64_t due = reflector_due(m->r);

        if (due < 0 || due > m->now || m->asked)
                return;
        m->at_once = m->now == m->last_asked ? m->at_once + 1 : 0;
        m->last_asked = m->now;
        if (m->at_once > AT_ONCE_MAX)
                wrong(m, "%u requests without a pause; now %s: %s", m->at_once, m->request.target,
                      reflector_problem(m->r));
        assert_int_equal(reflector_begin(m->r, m->now, draw(m), &m->request), 0);
        m->asked = true;
        if (m->trouble && meet_trouble(m))
                return;
        if (strstr(m->request.target, "sendInitialEvents="))
                serve_streaming_list(m);
        else if (strstr(m->request.target, "watch="))
                serve_watch(m);
        else
                serve_list(m);
}

/* What a watch has to say by now. */
static void serve_line(Model *m) {
        Server *s = m->s;
        _cleanup_buf_ Buf body = BUF_INIT;

        if (!m->line.up)
                return;
        if (m->line.silent) {
                if (m->now >= m->line.bookmark + REFLECTOR_SILENCE)
                        finish(m, -ETIMEDOUT);
                return;
        }
        for (size_t i = 0; i < s->n_log; i++)
                if (s->log[i].object.version > m->line.from)
                        add_event(&body, s->log[i].type, s->log[i].name, &s->log[i].object);
        /* One that asked for the future hears nothing, as from a real server. */
        if (m->now >= m->line.bookmark && s->version >= m->line.from) {
                add_bookmark(&body, s->version, false);
                m->line.bookmark = m->now + 60000;
        }
        if (s->version > m->line.from)
                m->line.from = s->version;
        if (m->trouble && one_in(m, 20))
                buf_str(&body, one_in(m, 2) ? "oops" : "{\"type\":\"NEW\",\"object\":{}}");
        if (m->trouble && one_in(m, 10)) {
                send(m, buf_text(&body), body.len, below(m, (unsigned)body.len + 1));
                finish(m, one_in(m, 2) ? 0 : -ECONNRESET);
                return;
        }
        send(m, buf_text(&body), body.len, body.len);
        if (m->line.up && s->version < m->line.from && m->now >= m->line.bookmark + REFLECTOR_SILENCE)
                finish(m, -ETIMEDOUT);
        else if (m->line.up && m->now >= m->line.until)
                finish(m, 0);
}

/* ---- the agent ---- */

static void restart_agent(Model *m) {
        const ReflectorSpec spec = { .path = "/apis/apps/v1/daemonsets", .kind = "DaemonSet", .fleeting = m->fleeting };
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_json_ cJSON *items = NULL;
        Reflector *fresh = reflector_new(&spec);

        assert_non_null(fresh);
        reflector_set_poll(fresh, m->poll);
        if (m->r && reflector_state(m->r) != REFLECTOR_UNREAD) {
                assert_int_equal(reflector_store(m->r, &text), 0);
                assert_int_equal(json_parse(text.data, text.len, (Place){ 0 }, NULL, NULL, &items, NULL, NULL, NULL),
                                 0);
                assert_int_equal(reflector_load(fresh, reflector_resource_version(m->r), items), 0);
                m->generation = reflector_generation(fresh);
        }
        m->r = reflector_free(m->r);
        m->r = fresh;
        m->asked = false;
        m->line.up = false;
}

/* Another object of the same name came after it: that one's list or events tell that the old one is no more. */
static bool has_successor(const Server *s, unsigned uid) {
        if (s->replaced[uid])
                return true;
        for (unsigned i = uid + 1; i <= s->uids; i++)
                if (s->names[i] == s->names[uid])
                        return true;
        return false;
}

static void check_loss(Model *m, unsigned uid) {
        Server *s = m->s;

        if (s->deleted[uid])
                return;
        if (s->lost_at[uid] < 0)
                wrong(m, "lost n%u of uid %u, which was never deleted", s->names[uid], uid);
        if (!m->fleeting && s->version < s->before_restore && m->now - s->lost_at[uid] < REFLECTOR_DOUBT &&
            !has_successor(s, uid))
                wrong(m, "lost n%u, which a restored server lacks since %" PRId64, s->names[uid], s->lost_at[uid]);
}

static void check(Model *m) {
        size_t n;
        const ReflectorItem *items = reflector_items(m->r, &n);
        ReflectorState state = reflector_state(m->r);
        unsigned uids[NAMES] = { 0 };
        bool changed = false;

        for (size_t i = 0; i < n; i++) {
                unsigned name = (unsigned)atoi(items[i].name + 1), uid = (unsigned)atoi(items[i].uid);

                if (uid == 0 || uid > m->s->uids || m->s->names[uid] != name)
                        wrong(m, "%s of uid %s was never said", items[i].name, items[i].uid);
                if (i > 0 && (strcmp(items[i - 1].namespace, items[i].namespace) > 0 ||
                              (streq(items[i - 1].namespace, items[i].namespace) &&
                               strcmp(items[i - 1].name, items[i].name) >= 0)))
                        wrong(m, "not sorted");
                uids[name] = uid;
        }
        for (unsigned i = 0; i < NAMES; i++) {
                if (m->uids[i] != uids[i] && m->uids[i])
                        check_loss(m, m->uids[i]);
                changed |= m->uids[i] != uids[i];
                m->uids[i] = uids[i];
        }
        if (changed && reflector_generation(m->r) == m->generation)
                wrong(m, "changed without a new generation");
        m->generation = reflector_generation(m->r);
        if ((state == REFLECTOR_LIVE) != (*reflector_problem(m->r) == 0))
                wrong(m, "%s: '%s'", reflector_state_name(state), reflector_problem(m->r));
        if (m->fleeting && (state == REFLECTOR_SUSPECT || reflector_doubt_ends(m->r) >= 0))
                wrong(m, "something fleeting is doubted");
        if (state == REFLECTOR_UNREAD && n > 0)
                wrong(m, "items of nowhere");
        if (reflector_confirmed(m->r) > m->now || m->asked != (reflector_due(m->r) < 0))
                wrong(m, "confirmed %" PRId64 ", due %" PRId64, reflector_confirmed(m->r), reflector_due(m->r));
}

static void disturb(Model *m) {
        switch (below(m, 30)) {
        case 0:
                compact(m->s);
                break;
        case 1:
                memcpy(m->s->backup, m->s->objects, sizeof(m->s->backup));
                break;
        case 2:
                if (one_in(m, 3)) {
                        restore(m);
                        finish(m, one_in(m, 2) ? -ECONNRESET : 0);
                }
                break;
        case 3:
                finish(m, one_in(m, 2) ? -ECONNRESET : 0);
                m->s->streaming = (StreamingKind)below(m, N_STREAMING);
                break;
        case 4:
                reflector_abort(m->r, m->now);
                m->asked = m->line.up = false;
                break;
        case 5:
                restart_agent(m);
                break;
        case 6:
                reflector_hurry(m->r, m->now + below(m, 1000));
                break;
        default:
                for (unsigned i = below(m, 3); i > 0; i--)
                        change_something(m);
        }
}

static void settle(Model *m) {
        int64_t ends = reflector_doubt_ends(m->r);

        if (ends < 0 || ends > m->now)
                return;
        if (!reflector_settle_doubts(m->r, m->now))
                wrong(m, "no doubt ends although one is due");
}

static void step(Model *m) {
        serve_line(m);
        check(m);
        ask(m);
        check(m);
        settle(m);
        check(m);
}

static void check_end(Model *m) {
        size_t n, want = 0;
        const ReflectorItem *items = reflector_items(m->r, &n);

        if (reflector_state(m->r) != REFLECTOR_LIVE)
                wrong(m, "%s after an hour of calm: %s", reflector_state_name(reflector_state(m->r)),
                      reflector_problem(m->r));
        for (unsigned i = 0; i < NAMES; i++) {
                const Object *o = &m->s->objects[i];
                char value[40];

                (void)snprintf(value, sizeof(value), "{\"value\":%u}", o->value);
                want += o->uid > 0;
                if (m->uids[i] != o->uid)
                        wrong(m, "n%u: uid %u instead of %u", i, m->uids[i], o->uid);
                for (size_t k = 0; k < n && o->uid; k++)
                        if ((unsigned)atoi(items[k].uid) == o->uid && !strstr(items[k].bytes, value))
                                wrong(m, "n%u is not up to date: %s", i, items[k].bytes);
        }
        if (n != want)
                wrong(m, "%zu objects instead of %zu", n, want);
}

static void run(uint64_t seed) {
        Model m = { .seed = seed, .random = seed * 2654435761U + 1, .now = 1000, .last_asked = -1 };
        int64_t calm;

        m.s = calloc(1, sizeof(*m.s));
        assert_non_null(m.s);
        m.s->version = m.s->compacted = 1000000;
        for (unsigned i = below(&m, 20); i > 0; i--)
                change_something(&m);
        memcpy(m.s->backup, m.s->objects, sizeof(m.s->backup));
        m.s->streaming = (StreamingKind)below(&m, N_STREAMING);
        m.poll = one_in(&m, 5);
        m.fleeting = seed % 5 == 0;
        restart_agent(&m);
        m.trouble = true;
        for (int i = 0; i < STEPS; i++) {
                m.now += below(&m, one_in(&m, 10) ? 120000 : 5000);
                disturb(&m);
                step(&m);
        }
        m.trouble = false;
        m.line.silent = false;
        for (calm = m.now + HOUR; m.now < calm; m.now += 500)
                step(&m);
        check_end(&m);
        m.r = reflector_free(m.r);
        free(m.s);
}

static void test_model(void **state) {
        const char *seed = getenv("MODEL_SEED"), *runs = getenv("MODEL_RUNS");
        uint64_t n = runs ? strtoull(runs, NULL, 10) : RUNS;

        (void)state;
        if (seed) {
                run(strtoull(seed, NULL, 10));
                return;
        }
        for (uint64_t i = 1; i <= n; i++)
                run(i);
        print_message("seeds 1 to %" PRIu64 "\n", n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
