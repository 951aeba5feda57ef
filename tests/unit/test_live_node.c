/* SPDX-License-Identifier: Apache-2.0 */
#include "core/live_node.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* ---- time ---- */

static const struct TimeRow {
        const char *text;
        int64_t want;
} time_rows[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01T00:00:01Z", 1 },
        { "2026-11-20T17:56:48Z", 1795197408 },
        { "2000-02-29T23:59:59Z", 951868799 },
        { "2000-03-01T00:00:00Z", 951868800 },
        { "2100-03-01T00:00:00Z", 4107542400 },
        { "9999-12-31T23:59:59Z", 253402300799 },
        { "2026-11-20T17:56:48.999999Z", 1795197408 },
        { "2026-11-20T17:56:48.1+00:00", 1795197408 },
        { "2026-11-20T19:26:48+01:30", 1795197408 },
        { "2026-11-20T12:56:48-05:00", 1795197408 },
        { "2026-11-21T17:55:48+23:59", 1795197408 },
        { "1969-12-31T23:30:00-01:00", 1800 },
        { "1969-12-31T23:59:59Z", -1 },
        { "1970-01-01T00:30:00+01:00", -1 },
        { "0001-01-01T00:00:00Z", -1 },
        { "0000-01-01T00:00:00Z", -1 },
        { "", -1 },
        { "2026", -1 },
        { "2026-11-20", -1 },
        { "2026-11-20T17:56:48", -1 },
        { "2026-11-20T17:56:48z", -1 },
        { "2026-11-20t17:56:48Z", -1 },
        { "2026-11-20 17:56:48Z", -1 },
        { "2026-11-20T17:56:48Z ", -1 },
        { " 2026-11-20T17:56:48Z", -1 },
        { "2026-11-20T17:56:48ZZ", -1 },
        { "2026-11-20T17:56Z", -1 },
        { "2026-11-20T17:56:48.Z", -1 },
        { "2026-11-20T17:56:48.5", -1 },
        { "2026-11-20T17:56:48+0100", -1 },
        { "2026-11-20T17:56:48+01", -1 },
        { "2026-11-20T17:56:48+24:00", -1 },
        { "2026-11-20T17:56:48+01:60", -1 },
        { "2026-11-20T24:00:00Z", -1 },
        { "2026-11-20T23:60:00Z", -1 },
        { "2026-11-20T23:59:60Z", -1 },
        { "2026-00-20T17:56:48Z", -1 },
        { "2026-13-20T17:56:48Z", -1 },
        { "2026-11-00T17:56:48Z", -1 },
        { "2026-11-31T17:56:48Z", -1 },
        { "2026-02-29T17:56:48Z", -1 },
        { "2100-02-29T17:56:48Z", -1 },
        { "2026-1-20T17:56:48Z", -1 },
        { "-026-11-20T17:56:48Z", -1 },
        { "+026-11-20T17:56:48Z", -1 },
};

static void times(void **unused) {
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(time_rows); i++)
                if (rfc3339_seconds(time_rows[i].text) != time_rows[i].want)
                        fail_msg("%s: %lld instead of %lld", time_rows[i].text,
                                 (long long)rfc3339_seconds(time_rows[i].text), (long long)time_rows[i].want);
}

/* Every day of eleven centuries, against libc. */
static void every_day(void **unused) {
        (void)unused;
        for (int64_t day = 0; day < 1100 * 365; day++) {
                const time_t at = day * 86400 + day % 86400;
                char text[64];
                struct tm tm;

                assert_non_null(gmtime_r(&at, &tm));
                assert_true(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
                if (rfc3339_seconds(text) != at)
                        fail_msg("%s: %lld instead of %lld", text, (long long)rfc3339_seconds(text), (long long)at);
        }
}

/* ---- reading ---- */

#define NODE(metadata, rest)                                                                                           \
        "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"a\"" metadata "}" rest "}"
#define STATUS(conditions) ",\"status\":{\"conditions\":[" conditions "]}"
#define READY(time) "{\"type\":\"Ready\",\"status\":\"True\",\"lastHeartbeatTime\":" time "}"

static int read_node(const char *text, LiveNode *ret) {
        Err err = { 0 };
        int r = live_node_read(text, strlen(text), ret, &err);

        assert_int_equal(r < 0, err.message[0] != 0);
        return r;
}

static void all_that_counts(void **unused) {
        _cleanup_live_node_ LiveNode n = { 0 };

        (void)unused;
        assert_int_equal(
                read_node(NODE(",\"uid\":\"u-1\",\"labels\":{\"z\":\"1\",\"a\":\"2\",\"e\":null}",
                               ",\"spec\":{\"podCIDR\":7,\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}" STATUS(
                                       "{\"type\":\"MemoryPressure\",\"status\":\"False\",\"lastHeartbeatTime\":"
                                       "\"2000-01-01T00:00:00Z\"}," READY("\"2026-11-20T17:56:48Z\""))),
                          &n),
                0);
        assert_string_equal(n.uid, "u-1");
        assert_string_equal(n.view.name, "a");
        assert_int_equal(n.view.n_labels, 3);
        assert_string_equal(node_view_label(&n.view, "z"), "1");
        assert_string_equal(node_view_label(&n.view, "e"), "");
        assert_int_equal(n.view.n_taints, 1);
        assert_string_equal(n.view.taints[0].key, "k");
        assert_int_equal(n.view.taints[0].effect, EFFECT_NO_EXECUTE);
        assert_int_equal(n.heartbeat, 1795197408);
        assert_false(n.has_fence_label);
}

static const struct HeartbeatRow {
        const char *text;
        int64_t want;
} heartbeat_rows[] = {
        { NODE("", ""), 0 },
        { NODE("", ",\"status\":{}"), 0 },
        { NODE("", STATUS("")), 0 },
        { NODE("", STATUS("{\"type\":\"Ready\",\"status\":\"True\"}")), 0 },
        { NODE("", STATUS(READY("null"))), 0 },
        { NODE("", STATUS(READY("\"0001-01-01T00:00:00Z\""))), 0 },
        { NODE("", STATUS(READY("\"1970-01-01T00:00:05Z\""))), 5 },
        { NODE("", STATUS("{\"type\":\"NotReady\",\"lastHeartbeatTime\":\"1970-01-01T00:00:05Z\"}")), 0 },
        { NODE("", STATUS("7,null,[]," READY("\"1970-01-01T00:00:05Z\""))), 5 },
};

static void heartbeats(void **unused) {
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(heartbeat_rows); i++) {
                _cleanup_live_node_ LiveNode n = { 0 };

                if (read_node(heartbeat_rows[i].text, &n) != 0 || n.heartbeat != heartbeat_rows[i].want)
                        fail_msg("%s: %lld", heartbeat_rows[i].text, (long long)n.heartbeat);
                assert_string_equal(n.uid, "");
        }
}

static void fences(void **unused) {
        static const struct {
                const char *text;
                bool want;
        } rows[] = {
                { NODE(",\"labels\":{\"daemonlet.io/static\":\"false\"}", ""), true },
                { NODE(",\"labels\":{\"daemonlet.io/static\":\"\"}", ""), true },
                { NODE(",\"labels\":{\"daemonlet.io/static\":null}", ""), true },
                { NODE(",\"labels\":{\"daemonlet.io/statics\":\"\",\"x\":\"daemonlet.io/static\"}", ""), false },
                { NODE(",\"annotations\":{\"daemonlet.io/static\":\"\"}", ""), false },
        };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_live_node_ LiveNode n = { 0 };

                assert_int_equal(read_node(rows[i].text, &n), 0);
                assert_int_equal(n.has_fence_label, rows[i].want);
        }
}

static void what_is_refused(void **unused) {
        static const char *const texts[] = {
                "",
                "{",
                "null",
                "[]",
                "7",
                "\"Node\"",
                "{}",
                "[" NODE("", "") "]",
                NODE("", "") NODE("", ""),
                "{\"kind\":\"Node\",\"metadata\":{\"name\":\"a\"}}",
                "{\"apiVersion\":\"v2\",\"kind\":\"Node\",\"metadata\":{\"name\":\"a\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":7,\"metadata\":{\"name\":\"a\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Node\"}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":[]}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":[]}}",
                NODE(",\"uid\":7", ""),
                NODE(",\"labels\":[]", ""),
                NODE(",\"labels\":\"x\"", ""),
                NODE(",\"labels\":{\"a\":1}", ""),
                NODE(",\"labels\":{\"a\":{}}", ""),
                NODE("", ",\"spec\":[]"),
                NODE("", ",\"spec\":{\"taints\":{}}"),
                NODE("", ",\"spec\":{\"taints\":[7]}"),
                NODE("", ",\"spec\":{\"taints\":[{\"key\":7,\"effect\":\"NoSchedule\"}]}"),
                NODE("", ",\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":[]}]}"),
                NODE("", ",\"status\":[]"),
                NODE("", ",\"status\":{\"conditions\":{\"type\":\"Ready\"}}"),
                NODE("", ",\"status\":{\"conditions\":\"Ready\"}"),
                NODE("", STATUS(READY("7"))),
                NODE("", STATUS(READY("\"yesterday\""))),
        };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                LiveNode n = { .heartbeat = 42 };

                if (read_node(texts[i], &n) != -EBADMSG)
                        fail_msg("%s", texts[i]);
                assert_int_equal(n.heartbeat, 42);
        }
}

static void a_real_one(void **unused) {
        const char *path = test_shared("apiserver/09-node-get.http");
        _cleanup_live_node_ LiveNode n = { 0 };
        _cleanup_free_ char *text = NULL;
        char *body, *end;

        (void)unused;
        if (!path)
                skip();
        text = test_read_file(path, NULL);
        body = strstr(text, "\n{");
        assert_non_null(body);
        end = strchr(body + 1, '\n');
        if (end)
                *end = 0;
        assert_int_equal(read_node(body + 1, &n), 0);
        assert_string_equal(n.uid, "7160d384-b656-49f7-b8eb-a8fef5a50699");
        assert_string_equal(node_view_label(&n.view, "disk"), "ssd");
        assert_int_equal(n.view.n_taints, 1);
        assert_int_equal(n.heartbeat, 1795197408);
}

static int oom_body(void *text) {
        _cleanup_live_node_ LiveNode n = { 0 };

        return live_node_read(text, strlen(text), &n, NULL);
}

static void out_of_memory(void **unused) {
        (void)unused;
        (void)test_oom(oom_body,
                       (char[]){ NODE(",\"uid\":\"u\",\"x\":1,\"labels\":{\"a\":\"b\"}",
                                      ",\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}" STATUS(
                                              READY("\"2026-11-20T17:56:48Z\""))) });
}

/* ---- reducing ---- */

static const struct ReduceRow {
        const char *text, *want; /* NULL: the same */
} reduce_rows[] = {
        { NODE(",\"uid\":\"u\",\"resourceVersion\":\"7\",\"managedFields\":[{}],\"labels\":{\"a\":\"b\"},"
               "\"annotations\":{\"name\":\"x\"},\"creationTimestamp\":\"x\"",
               ",\"spec\":{\"podCIDR\":\"x\",\"taints\":[{\"key\":\"k\",\"timeAdded\":\"t\"}],\"unschedulable\":true},"
               "\"status\":{\"images\":[1],\"conditions\":[{\"type\":\"A\"},{\"type\":\"Ready\",\"status\":\"True\","
               "\"lastHeartbeatTime\":\"t\",\"lastTransitionTime\":\"t\",\"message\":\"m\"},{\"type\":\"B\"}]},"
               "\"extra\":1"),
          NODE(",\"uid\":\"u\",\"resourceVersion\":\"7\",\"labels\":{\"a\":\"b\"}",
               ",\"spec\":{\"taints\":[{\"key\":\"k\",\"timeAdded\":\"t\"}]},\"status\":{\"conditions\":"
               "[{\"type\":\"Ready\",\"status\":\"True\",\"lastHeartbeatTime\":\"t\"}]}") },
        { "{\"a\":1}", "{}" },
        { "{}", NULL },
        { "[{\"a\":1}]", NULL },
        { "null", NULL },
        { "7", NULL },
        { "\"metadata\"", NULL },
        { "{\"metadata\":[1],\"spec\":\"x\",\"status\":7}", NULL },
        { "{\"metadata\":null,\"spec\":{\"taints\":7},\"status\":{\"conditions\":{\"a\":1}}}", NULL },
        { "{\"status\":{\"conditions\":[1,\"Ready\",[],{},{\"type\":7},null]}}", "{\"status\":{\"conditions\":[]}}" },
};

static void reducing(void **unused) {
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(reduce_rows); i++) {
                const struct ReduceRow *row = &reduce_rows[i];
                _cleanup_json_ cJSON *tree = NULL, *want = NULL;
                const char *text = row->want ? row->want : row->text;

                assert_int_equal(
                        json_parse(row->text, strlen(row->text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, NULL, NULL),
                        0);
                assert_int_equal(json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &want, NULL, NULL, NULL),
                                 0);
                assert_true(live_node_reduce(tree));
                if (!json_equal(tree, want))
                        fail_msg("%s", row->text);
        }
}

/* ---- comparing ---- */

#define TAINT(key, value, effect) "{\"key\":\"" key "\",\"value\":\"" value "\",\"effect\":\"" effect "\"}"
#define TAINTS(...) ",\"spec\":{\"taints\":[" __VA_ARGS__ "]}"
#define OF(labels) ",\"uid\":\"u\",\"labels\":{" labels "}"
#define A TAINT("a", "1", "NoSchedule")
#define B TAINT("b", "1", "NoExecute")

static const struct EqualRow {
        const char *a, *b;
        bool want;
} equal_rows[] = {
        { NODE("", ""), NODE("", ""), true },
        { NODE(OF("\"x\":\"1\",\"y\":\"2\""), ""), NODE(OF("\"y\":\"2\",\"x\":\"1\""), ""), true },
        { NODE("", STATUS(READY("\"1970-01-01T00:00:05Z\""))), NODE("", STATUS(READY("\"1970-01-01T00:00:06Z\""))),
          true },
        { NODE(",\"resourceVersion\":\"1\"", ""), NODE(",\"resourceVersion\":\"2\"", ""), true },
        { NODE("", TAINTS(A "," B)), NODE("", TAINTS(B "," A)), true },
        { NODE(",\"uid\":\"u\"", ""), NODE(",\"uid\":\"v\"", ""), false },
        { NODE(",\"uid\":\"u\"", ""), NODE("", ""), false },
        { NODE(OF("\"x\":\"1\""), ""), NODE(OF("\"x\":\"2\""), ""), false },
        { NODE(OF("\"x\":\"1\""), ""), NODE(OF("\"y\":\"1\""), ""), false },
        { NODE(OF("\"x\":\"1\""), ""), NODE(OF("\"x\":\"1\",\"y\":\"1\""), ""), false },
        { NODE("", TAINTS(A)), NODE("", TAINTS(A "," B)), false },
        { NODE("", TAINTS(A)), NODE("", TAINTS(B)), false },
        { NODE("", TAINTS(A)), NODE("", TAINTS(TAINT("a", "2", "NoSchedule"))), false },
        { NODE("", TAINTS(A)), NODE("", TAINTS(TAINT("a", "1", "NoExecute"))), false },
        { NODE("", TAINTS(A)), NODE("", TAINTS(TAINT("b", "1", "NoSchedule"))), false },
};

static void comparing(void **unused) {
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(equal_rows); i++) {
                _cleanup_live_node_ LiveNode a = { 0 }, b = { 0 };

                assert_int_equal(read_node(equal_rows[i].a, &a), 0);
                assert_int_equal(read_node(equal_rows[i].b, &b), 0);
                if (live_node_equal(&a, &b) != equal_rows[i].want || live_node_equal(&b, &a) != equal_rows[i].want)
                        fail_msg("%s\n%s", equal_rows[i].a, equal_rows[i].b);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(times),      cmocka_unit_test(every_day),     cmocka_unit_test(all_that_counts),
                cmocka_unit_test(heartbeats), cmocka_unit_test(fences),        cmocka_unit_test(what_is_refused),
                cmocka_unit_test(a_real_one), cmocka_unit_test(out_of_memory), cmocka_unit_test(reducing),
                cmocka_unit_test(comparing),
        };

        return cmocka_run_group_tests_name("live_node", tests, NULL, NULL);
}
