/* SPDX-License-Identifier: Apache-2.0 */
/* The reflector: what each outcome of a request means for the snapshot, its state and the next request. The clock is a
 * number; random is 0, so that a back-off is the shortest one: 1, 2, 4, 8, 12 seconds. */
#include "core/reflector.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

#define PATH "/apis/apps/v1/namespaces/kube-system/daemonsets"
#define RESOURCE PATH "?labelSelector=l"
#define LIST_TARGET RESOURCE "&limit=50"
#define STREAM_TARGET                                                                                                  \
        RESOURCE "&watch=1&allowWatchBookmarks=true&timeoutSeconds=300&sendInitialEvents=true&resourceVersionMatch="   \
                 "NotOlderThan"
#define WATCH_TARGET(version) RESOURCE "&watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=" version

#define META(name, uid, version)                                                                                       \
        "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"kube-system\",\"uid\":\"" uid                             \
        "\",\"resourceVersion\":\"" version "\",\"managedFields\":[{\"a\":1}]}"
#define ITEM(name, version) "{" META(name, "u-" name, version) "}"
#define OBJECT(name, uid, version, more)                                                                               \
        "{\"kind\":\"DaemonSet\",\"apiVersion\":\"apps/v1\"," META(name, uid, version) more "}"
#define EVENT(type, name, version) "{\"type\":\"" type "\",\"object\":" OBJECT(name, "u-" name, version, "") "}\n"
#define BOOKMARK(version)                                                                                              \
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"DaemonSet\",\"metadata\":{\"resourceVersion\":\"" version       \
        "\"}}}\n"
#define END_MARK(version)                                                                                              \
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"DaemonSet\",\"metadata\":{\"resourceVersion\":\"" version       \
        "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define ERROR_EVENT(code, reason)                                                                                      \
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"message\":\"because\\nof this\",\"reason\":\"" reason   \
        "\",\"code\":" code "}}\n"
#define STATUS(message) "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"" message "\"}"
#define LIST(version, items)                                                                                           \
        "{\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"resourceVersion\":\"" version          \
        "\"},\"items\":[" items "]}\n"
#define PAGE(version, token, items)                                                                                    \
        "{\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"resourceVersion\":\"" version          \
        "\",\"continue\":\"" token "\"},\"items\":[" items "]}\n"
#define AB ITEM("a", "7") "," ITEM("b", "8")

typedef struct World {
        Reflector *r;
        int64_t now;
        ReflectorRequest request;
} World;

static void ask(World *w) {
        int64_t due = reflector_due(w->r);

        assert_true(due >= 0);
        w->now = due > w->now ? due : w->now;
        assert_int_equal(reflector_begin(w->r, w->now, 0, &w->request), 0);
        assert_int_equal(reflector_due(w->r), -1);
}

static World world_of(const ReflectorSpec *spec) {
        World w = { .r = reflector_new(spec), .now = 1000000 };

        assert_non_null(w.r);
        assert_int_equal(reflector_state(w.r), REFLECTOR_UNREAD);
        assert_true(reflector_due(w.r) >= 0 && reflector_due(w.r) <= w.now);
        return w;
}

static const ReflectorSpec daemonsets = { .path = PATH, .selector = "labelSelector=l", .kind = "DaemonSet" };

static World new_world(void) {
        return world_of(&daemonsets);
}

static void world_done(World *w) {
        w->r = reflector_free(w->r);
}
#define _cleanup_world_ _cleanup_(world_done)

/* The answer to the request under way, in pieces of 7 bytes, `after` milliseconds later. A result < 0 ends it. */
static void reply(World *w, int status, int64_t retry_after, const char *body, int result, int64_t after) {
        w->now += after;
        if (status > 0)
                reflector_head(w->r, status, retry_after);
        for (size_t len = body ? strlen(body) : 0, at = 0; at < len; at += 7) {
                int r = reflector_data(w->r, body + at, len - at < 7 ? len - at : 7, w->now);

                if (r < 0) {
                        result = r;
                        break;
                }
        }
        reflector_end(w->r, result, result < 0 ? "the line is cut" : "", w->now, 0);
}

static void say(World *w, const char *text) {
        assert_int_equal(reflector_data(w->r, text, strlen(text), w->now), 0);
}

static void good(World *w, const char *body) {
        reply(w, 200, -1, body, 0, 0);
}

static void assert_items(const World *w, const char *names) {
        _cleanup_buf_ Buf got = BUF_INIT;
        size_t n;
        const ReflectorItem *items = reflector_items(w->r, &n);

        for (size_t i = 0; i < n; i++)
                buf_printf(&got, "%s%s%s", i > 0 ? "," : "", items[i].name, items[i].doubted ? "?" : "");
        assert_string_equal(buf_text(&got), names);
}

/* What follows; the next request is begun. problem: a part of it. */
static void expect(World *w, ReflectorState state, const char *problem, const char *names, int64_t delay,
                   const char *target) {
        if (reflector_state(w->r) != state)
                fail_msg("%s instead of %s: %s", reflector_state_name(reflector_state(w->r)),
                         reflector_state_name(state), reflector_problem(w->r));
        if (problem ? !strstr(reflector_problem(w->r), problem) : *reflector_problem(w->r))
                fail_msg("problem: %s", reflector_problem(w->r));
        assert_null(strchr(reflector_problem(w->r), '\n'));
        assert_items(w, names);
        assert_int_equal((reflector_due(w->r) > w->now ? reflector_due(w->r) : w->now) - w->now, delay);
        ask(w);
        assert_string_equal(w->request.target, target);
}

static void load_ab(World *w) {
        _cleanup_json_ cJSON *items = cJSON_Parse("[" OBJECT("a", "u-a", "7", "") "," OBJECT("b", "u-b", "8", "") "]");

        assert_int_equal(reflector_load(w->r, "100", items), 0);
        expect(w, REFLECTOR_STALE, "cache", "a,b", 0,
               reflector_streaming(w->r) == STREAMING_NO ? LIST_TARGET : STREAM_TARGET);
}

/* ---- each outcome ---- */

typedef enum Phase {
        IN_STREAM, /* a streaming list, nothing known */
        IN_LIST,   /* a list, a and b known from the cache */
        IN_PAGE,   /* the second page of it, after a page with c */
        IN_WATCH,  /* a watch from 100, a and b known and live */
} Phase;

typedef struct Outcome {
        const char *name;
        Phase phase;
        int status;
        int64_t retry_after;
        const char *body;
        int result;
        int64_t after;
        ReflectorState state;
        const char *problem, *names;
        int64_t delay;
        const char *target;
        int want_status;
} Outcome;

#define STALE_AB REFLECTOR_STALE
#define FORBIDDEN_RULE                                                                                                 \
        " daemonsets.apps in namespace kube-system; add to its Role: {apiGroups: [apps], resources: [daemonsets], "    \
        "verbs: [get, list, watch]}"

static const Outcome outcomes[] = {
        /* name, phase, status, retry, body, result, after | state, problem, names, delay, target, status */
        { "stream_complete", IN_STREAM, 200, -1, EVENT("ADDED", "a", "7") END_MARK("100"), 0, 5000, REFLECTOR_LIVE,
          NULL, "a", 0, WATCH_TARGET("100"), 0 },
        { "stream_empty", IN_STREAM, 200, -1, END_MARK("100"), 0, 5000, REFLECTOR_LIVE, NULL, "", 0,
          WATCH_TARGET("100"), 0 },
        { "stream_400", IN_STREAM, 400, -1, STATUS("no"), 0, 5, REFLECTOR_UNREAD, "400: no", "", 0, LIST_TARGET, 400 },
        { "stream_404", IN_STREAM, 404, -1, "404 page not found\n", 0, 5, REFLECTOR_UNREAD, "no such resource", "", 0,
          LIST_TARGET, 404 },
        { "stream_405", IN_STREAM, 405, -1, NULL, 0, 5, REFLECTOR_UNREAD, "405", "", 0, LIST_TARGET, 405 },
        { "stream_422", IN_STREAM, 422, -1, STATUS("no"), 0, 5, REFLECTOR_UNREAD, "422", "", 0, LIST_TARGET, 422 },
        { "stream_error", IN_STREAM, 200, -1, ERROR_EVENT("500", "InternalError"), 0, 5, REFLECTOR_UNREAD,
          "because of this", "", 0, LIST_TARGET, 500 },
        { "stream_gone", IN_STREAM, 200, -1, ERROR_EVENT("410", "Expired"), 0, 5, REFLECTOR_UNREAD, "because", "", 0,
          LIST_TARGET, 410 },
        { "stream_plain_bookmark", IN_STREAM, 200, -1, EVENT("ADDED", "a", "7") BOOKMARK("9"), 0, 5, REFLECTOR_UNREAD,
          "instead of a streaming list", "", 0, LIST_TARGET, 0 },
        { "stream_never_ends", IN_STREAM, 200, -1, EVENT("ADDED", "a", "7"), 0, 60001, REFLECTOR_UNREAD, "does not end",
          "", 0, LIST_TARGET, 0 },
        { "stream_silent", IN_STREAM, 200, -1, EVENT("ADDED", "a", "7"), -ETIMEDOUT, 500, REFLECTOR_UNREAD, "silent",
          "", 1000, LIST_TARGET, 0 },
        { "stream_without_end", IN_STREAM, 200, -1, EVENT("ADDED", "a", "7"), 0, 500, REFLECTOR_UNREAD,
          "cut short: it ends too early", "", 1000, LIST_TARGET, 0 },
        { "stream_cut", IN_STREAM, 200, -1, EVENT("ADDED", "a", "7"), -ECONNRESET, 500, REFLECTOR_UNREAD,
          "cut short: the line is cut", "", 1000, LIST_TARGET, 0 },
        { "stream_garbage", IN_STREAM, 200, -1, "<html>", 0, 500, REFLECTOR_UNREAD, "not a stream of events", "", 1000,
          LIST_TARGET, 0 },
        { "stream_unreachable", IN_STREAM, 0, -1, NULL, -ECONNREFUSED, 5, REFLECTOR_UNREAD,
          "cannot be reached: the line is cut", "", 1000, STREAM_TARGET, 0 },
        { "stream_403", IN_STREAM, 403, -1, STATUS("no"), 0, 5, REFLECTOR_UNREAD,
          "forbidden: this identity may not watch" FORBIDDEN_RULE, "", 1000, LIST_TARGET, 403 },
        { "stream_401", IN_STREAM, 401, -1, STATUS("no"), 0, 5, REFLECTOR_UNREAD, "identity", "", 1000, STREAM_TARGET,
          401 },
        { "stream_429", IN_STREAM, 429, 5000, STATUS("no"), 0, 5, REFLECTOR_UNREAD, "429", "", 5200, STREAM_TARGET,
          429 },
        { "stream_500", IN_STREAM, 500, -1, STATUS("no"), 0, 5, REFLECTOR_UNREAD, "500", "", 1000, LIST_TARGET, 500 },
        { "stream_410", IN_STREAM, 410, -1, STATUS("no"), 0, 5, REFLECTOR_UNREAD, "410", "", 0, LIST_TARGET, 410 },

        { "list", IN_LIST, 200, -1, LIST("200", ITEM("b", "8") "," ITEM("c", "9")), 0, 5, REFLECTOR_LIVE, NULL, "b,c",
          0, WATCH_TARGET("200"), 0 },
        { "list_of_another_namespace", IN_LIST, 200, -1,
          LIST("200", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}"), 0, 5, STALE_AB,
          "another namespace or name", "a,b", 1000, LIST_TARGET, 0 },
        { "list_of_no_namespace", IN_LIST, 200, -1, LIST("200", "{\"metadata\":{\"name\":\"a\"}}"), 0, 5, STALE_AB,
          "another namespace or name", "a,b", 1000, LIST_TARGET, 0 },
        { "list_of_a_longer_namespace", IN_LIST, 200, -1,
          LIST("200", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"kube-system2\"}}"), 0, 5, STALE_AB,
          "another namespace or name", "a,b", 1000, LIST_TARGET, 0 },
        { "watch_of_another_namespace", IN_WATCH, 200, -1,
          "{\"type\":\"ADDED\",\"object\":{\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"c\",\"namespace\":\"other\","
          "\"resourceVersion\":\"101\"}}}\n",
          0, 5, STALE_AB, "another namespace or name", "a,b", 1000, STREAM_TARGET, 0 },
        { "list_of_kind_list", IN_LIST, 200, -1,
          "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"200\"},\"items\":[" OBJECT(
                  "c", "u", "1", "") "]}",
          0, 5, REFLECTOR_LIVE, NULL, "c", 0, WATCH_TARGET("200"), 0 },
        { "list_items_first", IN_LIST, 200, -1,
          " {\"items\" : [ " ITEM("c", "9") " ] ,\"metadata\":{\"resourceVersion\":\"2 &00\"},\"x\":[{}],"
                                            "\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSetList\"} ",
          0, 5, REFLECTOR_LIVE, NULL, "c", 0, WATCH_TARGET("2%20%2600"), 0 },
        { "list_empty", IN_LIST, 200, -1, LIST("200", ""), 0, 5, REFLECTOR_SUSPECT, "it is empty", "a?,b?", 0,
          WATCH_TARGET("200"), 0 },
        { "list_lower", IN_LIST, 200, -1, LIST("99", ITEM("b", "8") "," ITEM("c", "9")), 0, 5, REFLECTOR_SUSPECT,
          "99 is lower than the last one, 100", "a?,b,c", 0, WATCH_TARGET("99"), 0 },
        { "list_lower_but_all_there", IN_LIST, 200, -1, LIST("99", AB), 0, 5, REFLECTOR_LIVE, NULL, "a,b", 0,
          WATCH_TARGET("99"), 0 },
        { "list_longer_number", IN_LIST, 200, -1, LIST("1000", ITEM("c", "9")), 0, 5, REFLECTOR_LIVE, NULL, "c", 0,
          WATCH_TARGET("1000"), 0 },
        { "list_no_number", IN_LIST, 200, -1, LIST("1a", ITEM("c", "9")), 0, 5, REFLECTOR_LIVE, NULL, "c", 0,
          WATCH_TARGET("1a"), 0 },
        { "list_401", IN_LIST, 401, -1, STATUS("Unauthorized"), 0, 5, STALE_AB,
          "the server does not accept this identity (token or certificate expired?)", "a,b", 1000, LIST_TARGET, 401 },
        { "list_403", IN_LIST, 403, -1, STATUS("no"), 0, 5, STALE_AB,
          "forbidden: this identity may not list" FORBIDDEN_RULE, "a,b", 1000, LIST_TARGET, 403 },
        { "list_404", IN_LIST, 404, -1, STATUS("not found"), 0, 5, STALE_AB, "the server has no such resource; ", "a,b",
          1000, LIST_TARGET, 404 },
        { "list_410", IN_LIST, 410, -1, STATUS("old"), 0, 5, STALE_AB, "410: old", "a,b", 0, LIST_TARGET, 410 },
        { "list_429", IN_LIST, 429, 30000, STATUS("slow"), 0, 5, STALE_AB, "429: slow", "a,b", 30200, LIST_TARGET,
          429 },
        { "list_429_shortly", IN_LIST, 429, 1, NULL, 0, 5, STALE_AB, "429", "a,b", 1000, LIST_TARGET, 429 },
        { "list_429_for_ever", IN_LIST, 429, INT64_MAX, NULL, 0, 5, STALE_AB, "429", "a,b", 3600200, LIST_TARGET, 429 },
        { "list_503", IN_LIST, 503, 5000, "<html>\n\x1b[1mBad \xff Gateway\x01</html>", 0, 5, STALE_AB,
          "503: <html>  [1mBad ? Gateway </html>", "a,b", 5200, LIST_TARGET, 503 },
        { "list_500", IN_LIST, 500, 50000, "null", 0, 5, STALE_AB, "500: null", "a,b", 1000, LIST_TARGET, 500 },
        { "list_302", IN_LIST, 302, -1, NULL, 0, 5, STALE_AB, "302", "a,b", 1000, LIST_TARGET, 302 },
        { "list_204", IN_LIST, 204, -1, NULL, 0, 5, STALE_AB, "204", "a,b", 1000, LIST_TARGET, 204 },
        { "list_500_cut", IN_LIST, 500, -1, "half", -ECONNRESET, 5, STALE_AB, "500: half", "a,b", 1000, LIST_TARGET,
          500 },
        { "list_unreachable", IN_LIST, 0, -1, NULL, -EHOSTUNREACH, 5, STALE_AB, "cannot be reached", "a,b", 1000,
          LIST_TARGET, 0 },
        { "list_no_head", IN_LIST, 0, -1, NULL, 0, 5, STALE_AB, "cannot be reached", "a,b", 1000, LIST_TARGET, 0 },
        { "list_cut", IN_LIST, 200, -1, LIST("200", ""), -ECONNRESET, 5, STALE_AB, "the line is cut", "a,b", 1000,
          LIST_TARGET, 0 },
        { "list_half", IN_LIST, 200, -1,
          "{\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"metadata\":{"
          "\"resourceVersion\":\"200\"},\"items\":[" AB,
          0, 5, STALE_AB, "malformed", "a,b", 1000, LIST_TARGET, 0 },
        { "list_nothing", IN_LIST, 200, -1, "", 0, 5, STALE_AB, "malformed", "a,b", 1000, LIST_TARGET, 0 },
        { "list_html", IN_LIST, 200, -1, "<!DOCTYPE html>", 0, 5, STALE_AB, "malformed", "a,b", 1000, LIST_TARGET, 0 },
        { "list_more_behind", IN_LIST, 200, -1, LIST("200", "") "{}", 0, 5, STALE_AB, "nothing may follow", "a,b", 1000,
          LIST_TARGET, 0 },
        { "list_other_kind", IN_LIST, 200, -1,
          "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"200\"},\"items\":[]}", 0, 5,
          STALE_AB, "an object of kind PodList", "a,b", 1000, LIST_TARGET, 0 },
        { "list_similar_kind", IN_LIST, 200, -1,
          "{\"kind\":\"DaemonBetList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"200\"},\"items\":[]}",
          0, 5, STALE_AB, "an object of kind DaemonBetList", "a,b", 1000, LIST_TARGET, 0 },
        { "list_status", IN_LIST, 200, -1, STATUS("ok"), 0, 5, STALE_AB, "an object of kind Status", "a,b", 1000,
          LIST_TARGET, 0 },
        { "list_without_version", IN_LIST, 200, -1, LIST("", ""), 0, 5, STALE_AB, "without a usable resourceVersion",
          "a,b", 1000, LIST_TARGET, 0 },
        { "list_without_items", IN_LIST, 200, -1,
          "{\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"resourceVersion\":\"200\"}}", 0, 5,
          STALE_AB, "without items", "a,b", 1000, LIST_TARGET, 0 },
        { "list_items_null", IN_LIST, 200, -1,
          "{\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"resourceVersion\":\"200\"},"
          "\"items\":null}",
          0, 5, STALE_AB, "without items", "a,b", 1000, LIST_TARGET, 0 },
        { "list_items_twice", IN_LIST, 200, -1,
          "{\"items\":[" AB "],\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"metadata\":{"
          "\"resourceVersion\":\"200\"},\"items\":[]}",
          0, 5, STALE_AB, "twice", "a,b", 1000, LIST_TARGET, 0 },
        { "list_without_api_version", IN_LIST, 200, -1,
          "{\"kind\":\"DaemonSetList\",\"metadata\":{\"resourceVersion\":\"200\"},\"items\":[]}", 0, 5, STALE_AB,
          "without apiVersion", "a,b", 1000, LIST_TARGET, 0 },
        { "list_item_without_name", IN_LIST, 200, -1, LIST("200", AB ",{\"metadata\":{}}"), 0, 5, STALE_AB,
          "without a readable metadata.name", "a,b", 1000, LIST_TARGET, 0 },
        { "list_item_without_metadata", IN_LIST, 200, -1, LIST("200", "{}"), 0, 5, STALE_AB, "metadata.name", "a,b",
          1000, LIST_TARGET, 0 },
        { "list_item_null", IN_LIST, 200, -1, LIST("200", AB ",null"), 0, 5, STALE_AB, "metadata.name", "a,b", 1000,
          LIST_TARGET, 0 },
        { "list_item_of_other_kind", IN_LIST, 200, -1, LIST("200", "{\"kind\":\"Pod\"," META("a", "u", "1") "}"), 0, 5,
          STALE_AB, "no DaemonSet", "a,b", 1000, LIST_TARGET, 0 },
        { "list_item_with_numeric_uid", IN_LIST, 200, -1, LIST("200", "{\"metadata\":{\"name\":\"a\",\"uid\":1}}"), 0,
          5, STALE_AB, "uid", "a,b", 1000, LIST_TARGET, 0 },
        { "list_comma_missing", IN_LIST, 200, -1, LIST("200", ITEM("a", "7") ITEM("b", "8")), 0, 5, STALE_AB, "comma",
          "a,b", 1000, LIST_TARGET, 0 },
        { "list_trailing_comma", IN_LIST, 200, -1, LIST("200", ITEM("a", "7") ","), 0, 5, STALE_AB, "malformed", "a,b",
          1000, LIST_TARGET, 0 },
        { "list_first_page", IN_LIST, 200, -1, PAGE("200", "t/+=", ITEM("c", "9")), 0, 5, STALE_AB, "cache", "a,b", 0,
          LIST_TARGET "&continue=t%2F%2B%3D", 0 },

        { "page_last", IN_PAGE, 200, -1, LIST("200", ITEM("d", "9")), 0, 5, REFLECTOR_LIVE, NULL, "c,d", 0,
          WATCH_TARGET("200"), 0 },
        { "page_middle", IN_PAGE, 200, -1, PAGE("200", "u", ITEM("d", "9")), 0, 5, STALE_AB, "cache", "a,b", 0,
          LIST_TARGET "&continue=u", 0 },
        { "page_last_empty", IN_PAGE, 200, -1, LIST("200", ""), 0, 5, REFLECTOR_LIVE, NULL, "c", 0, WATCH_TARGET("200"),
          0 },
        { "page_again", IN_PAGE, 200, -1, PAGE("200", "t", ITEM("d", "9")), 0, 5, STALE_AB, "do not end", "a,b", 1000,
          LIST_TARGET, 0 },
        { "page_of_another_time", IN_PAGE, 200, -1, LIST("201", ITEM("d", "9")), 0, 5, STALE_AB,
          "different resourceVersions", "a,b", 0, LIST_TARGET, 0 },
        { "page_expired", IN_PAGE, 410, -1, STATUS("old"), 0, 5, STALE_AB, "410: old", "a,b", 0, LIST_TARGET, 410 },
        { "page_500", IN_PAGE, 500, -1, NULL, 0, 5, STALE_AB, "500", "a,b", 1000, LIST_TARGET, 500 },
        { "page_unreachable", IN_PAGE, 0, -1, NULL, -ECONNREFUSED, 5, STALE_AB, "reached", "a,b", 1000, LIST_TARGET,
          0 },
        { "page_garbage", IN_PAGE, 200, -1, "oops", 0, 5, STALE_AB, "malformed", "a,b", 1000, LIST_TARGET, 0 },

        { "watch_ends", IN_WATCH, 200, -1, NULL, 0, 60000, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("100"), 0 },
        { "watch_ends_soon", IN_WATCH, 200, -1, BOOKMARK("120"), 0, 2000, REFLECTOR_LIVE, NULL, "a,b", 0,
          WATCH_TARGET("120"), 0 },
        { "watch_ends_at_once", IN_WATCH, 200, -1, NULL, 0, 5, STALE_AB, "ends watches at once", "a,b", 1000,
          WATCH_TARGET("100"), 0 },
        { "watch_ends_mute", IN_WATCH, 200, -1, NULL, 0, 130000, STALE_AB, "says nothing", "a,b", 1000, STREAM_TARGET,
          0 },
        { "watch_added", IN_WATCH, 200, -1, EVENT("ADDED", "c", "101"), 0, 9999, REFLECTOR_LIVE, NULL, "a,b,c", 0,
          WATCH_TARGET("101"), 0 },
        { "watch_deleted", IN_WATCH, 200, -1, EVENT("DELETED", "a", "101"), 0, 9999, REFLECTOR_LIVE, NULL, "b", 0,
          WATCH_TARGET("101"), 0 },
        { "watch_deleted_unknown", IN_WATCH, 200, -1, EVENT("DELETED", "x", "101"), 0, 9999, REFLECTOR_LIVE, NULL,
          "a,b", 0, WATCH_TARGET("101"), 0 },
        { "watch_deleted_another", IN_WATCH, 200, -1,
          "{\"type\":\"DELETED\",\"object\":" OBJECT("a", "u-old", "101", "") "}", 0, 9999, REFLECTOR_LIVE, NULL, "a,b",
          0, WATCH_TARGET("101"), 0 },
        { "watch_deleted_without_uid", IN_WATCH, 200, -1,
          "{\"type\":\"DELETED\",\"object\":" OBJECT("a", "", "101", "") "}", 0, 9999, REFLECTOR_LIVE, NULL, "b", 0,
          WATCH_TARGET("101"), 0 },
        { "watch_older_event", IN_WATCH, 200, -1, EVENT("DELETED", "a", "5"), 0, 9999, REFLECTOR_LIVE, NULL, "b", 0,
          WATCH_TARGET("100"), 0 },
        { "watch_backward", IN_WATCH, 200, -1, BOOKMARK("50"), 0, 9999, STALE_AB, "at resourceVersion 50", "a,b", 0,
          STREAM_TARGET, 0 },
        { "watch_gone", IN_WATCH, 200, -1, ERROR_EVENT("410", "Expired"), 0, 9999, STALE_AB, "because of this", "a,b",
          0, STREAM_TARGET, 410 },
        { "watch_expired_without_code", IN_WATCH, 200, -1, ERROR_EVENT("0", "Expired"), 0, 9999, STALE_AB, "because",
          "a,b", 0, STREAM_TARGET, 0 },
        { "watch_error", IN_WATCH, 200, -1, ERROR_EVENT("500", "InternalError"), 0, 9999, STALE_AB, "because of this",
          "a,b", 1000, STREAM_TARGET, 500 },
        { "watch_error_without_all", IN_WATCH, 200, -1, "{\"type\":\"ERROR\",\"object\":{}}", 0, 9999, STALE_AB,
          "no reason given", "a,b", 1000, STREAM_TARGET, 0 },
        { "watch_410", IN_WATCH, 410, -1, STATUS("old"), 0, 5, STALE_AB, "410: old", "a,b", 0, STREAM_TARGET, 410 },
        { "watch_400", IN_WATCH, 400, -1, STATUS("bad"), 0, 5, STALE_AB, "400: bad", "a,b", 1000, STREAM_TARGET, 400 },
        { "watch_404", IN_WATCH, 404, -1, NULL, 0, 5, STALE_AB, "no such resource", "a,b", 1000, STREAM_TARGET, 404 },
        { "watch_403", IN_WATCH, 403, -1, NULL, 0, 5, STALE_AB, "may not watch" FORBIDDEN_RULE, "a,b", 1000,
          WATCH_TARGET("100"), 403 },
        { "watch_401", IN_WATCH, 401, -1, NULL, 0, 5, STALE_AB, "identity", "a,b", 1000, WATCH_TARGET("100"), 401 },
        { "watch_503", IN_WATCH, 503, 7000, NULL, 0, 5, STALE_AB, "503", "a,b", 7200, WATCH_TARGET("100"), 503 },
        { "watch_unreachable", IN_WATCH, 0, -1, NULL, -ETIMEDOUT, 10000, STALE_AB, "reached", "a,b", 1000,
          WATCH_TARGET("100"), 0 },
        { "watch_cut", IN_WATCH, 200, -1, EVENT("ADDED", "c", "101") "{\"type\":", -ECONNRESET, 9999, STALE_AB,
          "the line is cut", "a,b,c", 1000, WATCH_TARGET("101"), 0 },
        { "watch_torn", IN_WATCH, 200, -1, BOOKMARK("101") "{\"type\":", 0, 9999, STALE_AB, "ends too early", "a,b",
          1000, WATCH_TARGET("101"), 0 },
        { "watch_silent", IN_WATCH, 200, -1, NULL, -ETIMEDOUT, 130000, STALE_AB, "silent", "a,b", 1000, STREAM_TARGET,
          0 },
        { "watch_html", IN_WATCH, 200, -1, "<html>Log in", 0, 9999, STALE_AB, "not a stream", "a,b", 1000,
          STREAM_TARGET, 0 },
        { "watch_list", IN_WATCH, 200, -1, LIST("200", ""), 0, 9999, STALE_AB, "not a stream", "a,b", 1000,
          STREAM_TARGET, 0 },
        { "watch_event_without_name", IN_WATCH, 200, -1,
          "{\"type\":\"DELETED\",\"object\":{\"kind\":\"DaemonSet\",\"apiVersion\":\"apps/v1\",\"metadata\":{}}}", 0,
          9999, STALE_AB, "metadata.name", "a,b", 1000, STREAM_TARGET, 0 },
        { "watch_event_without_kind", IN_WATCH, 200, -1, "{\"type\":\"DELETED\",\"object\":" ITEM("a", "101") "}", 0,
          9999, STALE_AB, "no DaemonSet", "a,b", 1000, STREAM_TARGET, 0 },
        { "watch_event_of_other_kind", IN_WATCH, 200, -1,
          "{\"type\":\"DELETED\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," META("a", "u-a", "101") "}}", 0,
          9999, STALE_AB, "no DaemonSet", "a,b", 1000, STREAM_TARGET, 0 },
        { "watch_event_without_version", IN_WATCH, 200, -1, EVENT("DELETED", "a", ""), 0, 9999, STALE_AB,
          "resourceVersion", "a,b", 1000, STREAM_TARGET, 0 },
        { "watch_bookmark_without_version", IN_WATCH, 200, -1, BOOKMARK(""), 0, 9999, STALE_AB, "bookmark", "a,b", 1000,
          STREAM_TARGET, 0 },
};

static World world_in(Phase phase) {
        World w = new_world();

        if (phase == IN_STREAM) {
                ask(&w);
                assert_string_equal(w.request.target, STREAM_TARGET);
                return w;
        }
        reflector_set_streaming(w.r, phase == IN_WATCH ? STREAMING_YES : STREAMING_NO);
        load_ab(&w);
        if (phase == IN_PAGE) {
                good(&w, PAGE("200", "t", ITEM("c", "9")));
                expect(&w, REFLECTOR_STALE, "cache", "a,b", 0, LIST_TARGET "&continue=t");
        } else if (phase == IN_WATCH) {
                reflector_head(w.r, 200, -1);
                say(&w, EVENT("ADDED", "a", "7") EVENT("ADDED", "b", "8") END_MARK("100"));
                reply(&w, 200, -1, NULL, 0, 65000);
                expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("100"));
        }
        return w;
}

static void test_outcome(void **state) {
        const Outcome *o = *state;
        _cleanup_world_ World w = world_in(o->phase);

        assert_int_equal(w.request.stream, o->phase == IN_STREAM || o->phase == IN_WATCH);
        assert_int_equal(w.request.timeout, w.request.stream ? 330000 : 30000);
        reply(&w, o->status, o->retry_after, o->body, o->result, o->after);
        assert_int_equal(reflector_status(w.r), o->want_status);
        expect(&w, o->state, o->problem, o->names, o->delay, o->target);
}

/* ---- sequences ---- */

static void test_streaming_is_learnt(void **state) {
        static const int refusals[] = { 400, 404, 405, 422 };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
                _cleanup_world_ World w = world_in(IN_STREAM);

                reply(&w, refusals[i], -1, NULL, 0, 5);
                assert_int_equal(reflector_streaming(w.r), STREAMING_NO);
        }
        {
                _cleanup_world_ World w = world_in(IN_STREAM);

                good(&w, END_MARK("100"));
                assert_int_equal(reflector_streaming(w.r), STREAMING_YES);
        }
        {
                _cleanup_world_ World w = world_in(IN_STREAM);

                reply(&w, 503, -1, NULL, 0, 5);
                assert_int_equal(reflector_streaming(w.r), STREAMING_UNKNOWN);
        }
}

static void test_streaming_list_that_fails_once(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        good(&w, ERROR_EVENT("410", "Expired"));
        expect(&w, REFLECTOR_STALE, "because", "a,b", 0, STREAM_TARGET);
        good(&w, ERROR_EVENT("500", "InternalError"));
        expect(&w, REFLECTOR_STALE, "because", "a,b", 0, LIST_TARGET);
        assert_int_equal(reflector_streaming(w.r), STREAMING_YES);
        good(&w, LIST("200", AB));
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("200"));
        reply(&w, 200, -1, ERROR_EVENT("410", "Expired"), 0, 200000);
        expect(&w, REFLECTOR_STALE, "because", "a,b", 1000, STREAM_TARGET);
}

static void test_streaming_list_counts_when_it_is_complete(void **state) {
        _cleanup_world_ World w = new_world();

        (void)state;
        load_ab(&w);
        reflector_head(w.r, 200, -1);
        say(&w, EVENT("ADDED", "b", "8") EVENT("ADDED", "c", "9") EVENT("ADDED", "d", "9") EVENT("DELETED", "d", "10"));
        assert_items(&w, "a,b");
        assert_int_equal(reflector_state(w.r), REFLECTOR_STALE);
        assert_int_equal(reflector_confirmed(w.r), -1);
        say(&w, END_MARK("200"));
        assert_items(&w, "b,c");
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
        assert_int_equal(reflector_confirmed(w.r), w.now);
        say(&w, EVENT("DELETED", "b", "201"));
        assert_items(&w, "c");
        assert_string_equal(reflector_resource_version(w.r), "201");
}

static void test_continue_expires_again_and_again(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);

        (void)state;
        for (int i = 0; i < 3; i++) {
                good(&w, PAGE("200", "t", ITEM("c", "9")));
                expect(&w, REFLECTOR_STALE, "", "a,b", 0, LIST_TARGET "&continue=t");
                reply(&w, 410, -1, STATUS("old"), 0, 5);
                expect(&w, REFLECTOR_STALE, "410", "a,b", 0, i < 2 ? LIST_TARGET : RESOURCE);
        }
        good(&w, LIST("200", ITEM("d", "9")));
        expect(&w, REFLECTOR_LIVE, NULL, "d", 0, WATCH_TARGET("200"));
        /* All of it counts in a row only. */
        reply(&w, 410, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_STALE, "410", "d", 0, LIST_TARGET);
        for (int i = 0; i < 2; i++) {
                good(&w, PAGE("200", "t", ITEM("c", "9")));
                ask(&w);
                reply(&w, 410, -1, STATUS("old"), 0, 5);
                expect(&w, REFLECTOR_STALE, "410", "d", 0, LIST_TARGET);
        }
}

static void test_pages_where_none_were_asked_for(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);

        (void)state;
        for (int i = 0; i < 3; i++) {
                good(&w, PAGE("200", "t", ""));
                ask(&w);
                reply(&w, 410, -1, NULL, 0, 5);
                ask(&w);
        }
        assert_string_equal(w.request.target, RESOURCE);
        good(&w, PAGE("200", "t", ""));
        expect(&w, REFLECTOR_STALE, "410", "a,b", 0, LIST_TARGET "&continue=t");
        reply(&w, 410, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_STALE, "410", "a,b", 1000, LIST_TARGET);
}

static void test_endless_pages(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        int pages = 0;

        (void)state;
        for (; reflector_due(w.r) <= w.now && pages < 100000; pages++) {
                char page[400];

                (void)snprintf(page, sizeof(page), PAGE("200", "t%d", ""), pages);
                good(&w, page);
                if (reflector_due(w.r) <= w.now)
                        ask(&w);
        }
        assert_true(pages <= 1000);
        expect(&w, REFLECTOR_STALE, "do not end", "a,b", 1000, LIST_TARGET);
}

static void test_history_expires_again_and_again(void **state) {
        static const int64_t delays[] = { 0, 1000, 2000, 4000, 8000, 12000, 12000 };
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reply(&w, 410, -1, NULL, 0, 5);
        for (size_t i = 0; i < ARRAY_SIZE(delays); i++) {
                expect(&w, REFLECTOR_STALE, "", "a,b", delays[i], i % 2 ? LIST_TARGET : STREAM_TARGET);
                if (i % 2) {
                        good(&w, LIST("100", AB));
                        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("100"));
                        good(&w, ERROR_EVENT("410", "Expired"));
                } else {
                        reflector_head(w.r, 200, -1);
                        say(&w, EVENT("ADDED", "a", "7") EVENT("ADDED", "b", "8") END_MARK("100"));
                        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
                        reflector_set_streaming(w.r, STREAMING_NO);
                        good(&w, ERROR_EVENT("410", "Expired"));
                }
                if (i % 2)
                        reflector_set_streaming(w.r, STREAMING_YES);
        }
}

static void test_a_long_watch_ends_the_back_off(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        for (int i = 0; i < 4; i++) {
                reply(&w, 0, -1, NULL, -ECONNREFUSED, 0);
                expect(&w, REFLECTOR_STALE, "reached", "a,b", 1000 << i, WATCH_TARGET("100"));
        }
        reply(&w, 200, -1, BOOKMARK("100"), -ECONNRESET, 59999);
        expect(&w, REFLECTOR_STALE, "cut", "a,b", 12000, WATCH_TARGET("100"));
        reply(&w, 200, -1, BOOKMARK("100"), -ECONNRESET, 60000);
        expect(&w, REFLECTOR_STALE, "cut", "a,b", 1000, WATCH_TARGET("100"));
        /* A dead line is no long watch. */
        reply(&w, 200, -1, NULL, -ECONNRESET, 100000);
        expect(&w, REFLECTOR_STALE, "cut", "a,b", 2000, WATCH_TARGET("100"));
}

static void test_watches_that_end_soon_are_not_a_loop(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reply(&w, 200, -1, BOOKMARK("100"), 0, 2000);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("100"));
        reply(&w, 200, -1, BOOKMARK("100"), 0, 2000);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 1000, WATCH_TARGET("100"));
        reply(&w, 200, -1, BOOKMARK("100"), 0, 2000);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 2000, WATCH_TARGET("100"));
        reply(&w, 200, -1, BOOKMARK("100"), 0, 100000);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("100"));
        reply(&w, 200, -1, BOOKMARK("100"), 0, 2000);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("100"));
}

static void test_a_watch_that_is_refused_lists_anew(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reply(&w, 504, -1, STATUS("Too large resource version"), 0, 5);
        expect(&w, REFLECTOR_STALE, "504: Too large", "a,b", 1000, WATCH_TARGET("100"));
        reply(&w, 504, -1, STATUS("Too large resource version"), 0, 5);
        expect(&w, REFLECTOR_STALE, "504", "a,b", 2000, STREAM_TARGET);
}

/* An identity that may list but not watch: it sees something now and then, and is told what it lacks. */
static void test_forbidden_to_watch(void **state) {
        _cleanup_world_ World w = world_in(IN_STREAM);

        (void)state;
        reply(&w, 403, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_UNREAD, "may not watch", "", 1000, LIST_TARGET);
        good(&w, LIST("200", ITEM("a", "7")));
        expect(&w, REFLECTOR_LIVE, NULL, "a", 0, WATCH_TARGET("200"));
        reply(&w, 403, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_STALE, "may not watch", "a", 2000, WATCH_TARGET("200"));
        reply(&w, 403, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_STALE, "may not watch", "a", 4000, STREAM_TARGET);
        reply(&w, 403, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_STALE, "may not watch", "a", 61600, LIST_TARGET);
        good(&w, LIST("300", ITEM("a", "8")));
        expect(&w, REFLECTOR_LIVE, NULL, "a", 0, WATCH_TARGET("300"));
        reply(&w, 403, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_STALE, "may not watch", "a", 62400, STREAM_TARGET);
}

/* A server that starts refuses everybody for some seconds. A watch that is allowed says that this is over. */
static void test_forbidden_for_a_moment(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        for (int i = 0; i < REFLECTOR_REFUSALS + 1; i++) {
                reply(&w, i % 2 ? 401 : 403, -1, NULL, 0, 5);
                assert_int_equal(reflector_state(w.r), REFLECTOR_STALE);
                assert_in_range(reflector_due(w.r) - w.now, 0, REFLECTOR_FORBIDDEN - 1);
                ask(&w);
                reply(&w, 200, -1, BOOKMARK("100"), -ECONNRESET, 5);
                ask(&w);
        }
}

static void test_live_again_when_a_watch_is_resumed(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reply(&w, 200, -1, NULL, -ECONNRESET, 5);
        expect(&w, REFLECTOR_STALE, "cut", "a,b", 1000, WATCH_TARGET("100"));
        reflector_head(w.r, 200, -1);
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
        assert_int_not_equal(reflector_confirmed(w.r), w.now);
        say(&w, BOOKMARK("100"));
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
        assert_string_equal(reflector_problem(w.r), "");
        assert_int_equal(reflector_confirmed(w.r), w.now);
}

static void test_generation_is_of_the_items(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);
        uint64_t generation = reflector_generation(w.r);
        const ReflectorItem *items;
        size_t n;

        (void)state;
        reflector_head(w.r, 200, -1);
        say(&w, BOOKMARK("101") EVENT("MODIFIED", "a", "102") EVENT("ADDED", "a", "6") EVENT("DELETED", "x", "103"));
        assert_int_equal(reflector_generation(w.r), generation);
        assert_string_equal(reflector_resource_version(w.r), "103");
        items = reflector_items(w.r, &n);
        assert_string_equal(items[0].resource_version, "6");
        assert_string_equal(items[0].bytes, "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":"
                                            "\"a\",\"namespace\":\"kube-system\",\"uid\":\"u-a\"}}");
        assert_int_equal(items[0].len, strlen(items[0].bytes));
        say(&w, "{\"type\":\"MODIFIED\",\"object\":" OBJECT("a", "u-a", "104", ",\"x\":1") "}");
        assert_int_equal(reflector_generation(w.r), generation + 1);
        say(&w, "{\"type\":\"MODIFIED\",\"object\":" OBJECT("a", "u-new", "105", ",\"x\":1") "}");
        assert_int_equal(reflector_generation(w.r), generation + 2);
        say(&w, EVENT("ADDED", "c", "106"));
        assert_int_equal(reflector_generation(w.r), generation + 3);
        say(&w, EVENT("DELETED", "c", "107"));
        assert_int_equal(reflector_generation(w.r), generation + 4);
        assert_items(&w, "a,b");
}

static void test_generation_of_lists(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        uint64_t generation = reflector_generation(w.r);

        (void)state;
        good(&w, LIST("200", ITEM("a", "170") "," ITEM("b", "180")));
        assert_int_equal(reflector_generation(w.r), generation);
        ask(&w);
        good(&w, ERROR_EVENT("410", "Expired"));
        ask(&w);
        good(&w, LIST("300", ITEM("a", "170")));
        assert_int_equal(reflector_generation(w.r), generation + 1);
}

/* By it whoever holds what was made of an item knows whether that is still good. */
static void test_digest_is_of_the_bytes(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);
        char a[HASH_HEX + 1], b[HASH_HEX + 1];
        const ReflectorItem *items;
        size_t n;

        (void)state;
        items = reflector_items(w.r, &n);
        assert_int_equal(strlen(items[0].digest), HASH_HEX);
        (void)memcpy(a, items[0].digest, sizeof(a));
        (void)memcpy(b, items[1].digest, sizeof(b));
        assert_string_not_equal(a, b);
        reflector_head(w.r, 200, -1);
        say(&w, EVENT("MODIFIED", "a", "102"));
        items = reflector_items(w.r, &n);
        assert_string_equal(items[0].digest, a);
        say(&w,
            "{\"type\":\"MODIFIED\",\"object\":" OBJECT("a", "u-a", "104", ",\"x\":1") "}" EVENT("ADDED", "aa", "105"));
        items = reflector_items(w.r, &n);
        assert_string_not_equal(items[0].digest, a);
        assert_string_equal(items[2].digest, b);
        /* The same again is known again, by a list too. */
        reply(&w, 0, -1, ERROR_EVENT("410", "Expired"), 0, 0);
        ask(&w);
        reflector_head(w.r, 200, -1);
        say(&w, EVENT("ADDED", "a", "7") EVENT("ADDED", "b", "8") END_MARK("300"));
        items = reflector_items(w.r, &n);
        assert_items(&w, "a,b");
        assert_string_equal(items[0].digest, a);
        assert_string_equal(items[1].digest, b);
}

static bool keep_little(cJSON *object) {
        json_delete(object, "metadata");
        json_delete(object, "spec");
        return true;
}

static void test_reduce(void **state) {
        ReflectorSpec spec = daemonsets;
        _cleanup_world_ World w = { 0 };
        const ReflectorItem *items;
        uint64_t generation;
        size_t n;

        (void)state;
        spec.reduce = keep_little;
        w = world_of(&spec);
        reflector_set_streaming(w.r, STREAMING_NO);
        ask(&w);
        good(&w, LIST("200", "{" META("a", "u-a", "7") ",\"spec\":{},\"kept\":[1.0]}"));
        items = reflector_items(w.r, &n);
        assert_int_equal(n, 1);
        assert_string_equal(items[0].bytes, "{\"apiVersion\":\"apps/v1\",\"kept\":[1.0],\"kind\":\"DaemonSet\"}");
        assert_string_equal(items[0].namespace, "kube-system");
        assert_string_equal(items[0].name, "a");
        assert_string_equal(items[0].uid, "u-a");
        assert_string_equal(items[0].resource_version, "7");
        assert_int_equal(items[0].doubted_since, -1);

        /* Another object of the same name is a change, even where it does not show. */
        generation = reflector_generation(w.r);
        ask(&w);
        reflector_head(w.r, 200, -1);
        say(&w, "{\"type\":\"MODIFIED\",\"object\":" OBJECT("a", "u-a", "201", ",\"kept\":[1.0],\"spec\":5") "}");
        assert_int_equal(reflector_generation(w.r), generation);
        say(&w, "{\"type\":\"MODIFIED\",\"object\":" OBJECT("a", "u-b", "202", ",\"kept\":[1.0]") "}");
        assert_int_equal(reflector_generation(w.r), generation + 1);
}

/* ---- doubts ---- */

static void test_doubts_end(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        int64_t since = w.now;
        uint64_t generation;

        (void)state;
        assert_int_equal(reflector_doubt_ends(w.r), -1);
        good(&w, LIST("200", ""));
        expect(&w, REFLECTOR_SUSPECT, "empty", "a?,b?", 0, WATCH_TARGET("200"));
        generation = reflector_generation(w.r);
        assert_string_equal(reflector_resource_version(w.r), "");
        assert_int_equal(reflector_doubt_ends(w.r), since + REFLECTOR_DOUBT);
        assert_false(reflector_settle_doubts(w.r, since + REFLECTOR_DOUBT - 1));
        assert_items(&w, "a?,b?");
        assert_int_equal(reflector_generation(w.r), generation);
        assert_true(reflector_settle_doubts(w.r, since + REFLECTOR_DOUBT));
        assert_items(&w, "");
        assert_int_equal(reflector_generation(w.r), generation + 1);
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
        assert_string_equal(reflector_problem(w.r), "");
        assert_int_equal(reflector_doubt_ends(w.r), -1);
        assert_string_equal(reflector_resource_version(w.r), "200");
        assert_false(reflector_settle_doubts(w.r, since + 2 * REFLECTOR_DOUBT));
}

static void test_doubts_do_not_end_while_the_server_is_away(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        int64_t since = w.now;

        (void)state;
        good(&w, LIST("200", ""));
        ask(&w);
        reply(&w, 0, -1, NULL, -ECONNREFUSED, 1000);
        assert_int_equal(reflector_state(w.r), REFLECTOR_STALE);
        assert_int_equal(reflector_doubt_ends(w.r), -1);
        assert_false(reflector_settle_doubts(w.r, since + REFLECTOR_DOUBT));
        assert_items(&w, "a?,b?");
        w.now = since + REFLECTOR_DOUBT;
        ask(&w);
        reflector_head(w.r, 200, -1);
        assert_int_equal(reflector_state(w.r), REFLECTOR_SUSPECT);
        assert_int_equal(reflector_doubt_ends(w.r), -1);
        assert_false(reflector_settle_doubts(w.r, w.now));
        say(&w, BOOKMARK("200"));
        assert_int_equal(reflector_doubt_ends(w.r), since + REFLECTOR_DOUBT);
        assert_true(reflector_settle_doubts(w.r, w.now));
        assert_items(&w, "");
}

static void test_what_is_said_again_is_not_doubted(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        int64_t since = w.now;

        (void)state;
        good(&w, LIST("200", ""));
        ask(&w);
        reflector_head(w.r, 200, -1);
        say(&w, EVENT("MODIFIED", "a", "201"));
        assert_items(&w, "a,b?");
        assert_int_equal(reflector_state(w.r), REFLECTOR_SUSPECT);
        say(&w, EVENT("DELETED", "b", "202"));
        assert_items(&w, "a");
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
        assert_false(reflector_settle_doubts(w.r, since + 2 * REFLECTOR_DOUBT));
        assert_items(&w, "a");
}

static void test_doubts_outlive_lists(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        int64_t since = w.now;

        (void)state;
        good(&w, LIST("50", ITEM("c", "9")));
        ask(&w);
        reply(&w, 200, -1, ERROR_EVENT("410", "Expired"), 0, 5000);
        ask(&w);
        /* Not suspect itself: what it lacks goes, what was doubted stays in doubt since then. */
        good(&w, LIST("60", ITEM("b", "9") "," ITEM("d", "9")));
        expect(&w, REFLECTOR_SUSPECT, "lower", "a?,b,d", 0, WATCH_TARGET("60"));
        assert_int_equal(reflector_doubt_ends(w.r), since + REFLECTOR_DOUBT);
        /* Again one from the past: another doubt, of its own time. */
        reply(&w, 200, -1, ERROR_EVENT("410", "Expired"), 0, 5000);
        ask(&w);
        good(&w, LIST("40", ITEM("b", "9")));
        expect(&w, REFLECTOR_SUSPECT, "40 is lower than the last one, 60", "a?,b,d?", 0, WATCH_TARGET("40"));
        assert_true(reflector_settle_doubts(w.r, since + REFLECTOR_DOUBT));
        assert_items(&w, "b,d?");
        assert_true(reflector_doubt_ends(w.r) > since + REFLECTOR_DOUBT);
}

static void test_another_clusters_list(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reflector_suspect(w.r);
        reflector_abort(w.r, w.now);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, STREAM_TARGET);
        good(&w, EVENT("ADDED", "b", "8") END_MARK("5000"));
        expect(&w, REFLECTOR_SUSPECT, "another cluster", "a?,b", 1000, WATCH_TARGET("5000"));
        /* Only the next list. */
        reply(&w, 410, -1, NULL, 0, 5);
        ask(&w);
        good(&w, END_MARK("6000"));
        assert_items(&w, "a?,b?");
        assert_int_equal(reflector_state(w.r), REFLECTOR_SUSPECT);
}

static void test_a_server_that_went_back_is_suspect(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reflector_set_streaming(w.r, STREAMING_NO);
        good(&w, BOOKMARK("50"));
        expect(&w, REFLECTOR_STALE, "and was at 100", "a,b", 0, LIST_TARGET);
        good(&w, LIST("150", ITEM("a", "7")));
        expect(&w, REFLECTOR_SUSPECT, "another cluster", "a,b?", 0, WATCH_TARGET("150"));
        /* Again and again: with back-off. */
        good(&w, BOOKMARK("50"));
        expect(&w, REFLECTOR_STALE, "and was at 150", "a,b?", 1000, LIST_TARGET);
}

static void test_suspicion_in_the_middle_of_a_list(void **state) {
        _cleanup_world_ World w = world_in(IN_PAGE);

        (void)state;
        reflector_suspect(w.r);
        good(&w, PAGE("200", "u", ITEM("d", "9")));
        expect(&w, REFLECTOR_STALE, "cache", "a,b", 0, LIST_TARGET);
        good(&w, LIST("200", ITEM("e", "9")));
        expect(&w, REFLECTOR_SUSPECT, "another cluster", "a?,b?,e", 0, WATCH_TARGET("200"));
}

static void test_a_list_that_began_before_the_suspicion(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);

        (void)state;
        reflector_suspect(w.r);
        good(&w, LIST("200", ITEM("a", "9") "," ITEM("c", "9")));
        expect(&w, REFLECTOR_LIVE, NULL, "a,c", 0, LIST_TARGET);
        good(&w, LIST("300", ITEM("a", "9")));
        expect(&w, REFLECTOR_SUSPECT, "another cluster", "a,c?", 0, WATCH_TARGET("300"));
}

static void test_single_is_not_doubted(void **state) {
        ReflectorSpec spec = { .path = "/api/v1/nodes",
                               .selector = "fieldSelector=metadata.name%3Dnode-a",
                               .kind = "Node",
                               .single = true };
        _cleanup_world_ World w = world_of(&spec);

        (void)state;
        reflector_set_streaming(w.r, STREAMING_NO);
        assert_string_equal(reflector_resource(w.r), "/api/v1/nodes?fieldSelector=metadata.name%3Dnode-a");
        ask(&w);
        reply(&w, 403, -1, STATUS("x"), 0, 5);
        assert_string_equal(reflector_problem(w.r),
                            "forbidden: this identity may not list nodes; add to its ClusterRole: {apiGroups: [\"\"], "
                            "resources: [nodes], verbs: [get, list, watch], resourceNames: [node-a]}");
        ask(&w);
        good(&w, "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"200\"},\"items\":[{"
                 "\"metadata\":{\"name\":\"node-a\"}}]}");
        assert_items(&w, "node-a");
        /* Something in between took the selector away. */
        ask(&w);
        reply(&w, 200, -1,
              "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Node\",\"metadata\":{\"name\":\"node-b\","
              "\"resourceVersion\":\"201\"}}}",
              0, 5);
        assert_int_equal(reflector_state(w.r), REFLECTOR_STALE);
        assert_items(&w, "node-a");
        ask(&w);
        reply(&w, 410, -1, NULL, 0, 5);
        ask(&w);
        good(&w,
             "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"100\"},\"items\":[]}");
        assert_items(&w, "");
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
}

static void test_the_fleeting_is_not_doubted(void **state) {
        static const ReflectorSpec spec = {
                .path = PATH, .selector = "labelSelector=l", .kind = "DaemonSet", .fleeting = true
        };
        _cleanup_world_ World w = world_of(&spec);
        _cleanup_json_ cJSON *items = cJSON_Parse("[" OBJECT("a", "u-a", "7", "") "]");

        (void)state;
        reflector_set_streaming(w.r, STREAMING_NO);
        load_ab(&w);
        good(&w, LIST("200", ""));
        expect(&w, REFLECTOR_LIVE, NULL, "", 0, WATCH_TARGET("200"));
        /* From the past. */
        reply(&w, 200, -1, EVENT("ADDED", "c", "201") ERROR_EVENT("410", "Expired"), 0, 5000);
        assert_items(&w, "c");
        ask(&w);
        good(&w, LIST("150", ITEM("a", "7")));
        expect(&w, REFLECTOR_LIVE, NULL, "a", 0, WATCH_TARGET("150"));
        /* Perhaps another cluster's. */
        reflector_suspect(w.r);
        reply(&w, 410, -1, NULL, 0, 5);
        ask(&w);
        good(&w, LIST("300", ITEM("b", "8")));
        expect(&w, REFLECTOR_LIVE, NULL, "b", 0, WATCH_TARGET("300"));
        assert_int_equal(reflector_doubt_ends(w.r), -1);
        /* What an older version stored while it was in doubt. */
        reflector_abort(w.r, w.now);
        assert_int_equal(reflector_load(w.r, "", items), 0);
        ask(&w);
        good(&w, LIST("400", ""));
        expect(&w, REFLECTOR_LIVE, NULL, "", 0, WATCH_TARGET("400"));
}

/* ---- polling, hurry, abort ---- */

static void test_poll(void **state) {
        ReflectorSpec spec = daemonsets;
        _cleanup_world_ World w = { 0 };

        (void)state;
        spec.poll = true;
        w = world_of(&spec);
        ask(&w);
        assert_string_equal(w.request.target, LIST_TARGET);
        reply(&w, 500, -1, NULL, 0, 5);
        ask(&w);
        reply(&w, 500, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_UNREAD, "500", "", 2000, LIST_TARGET);
        good(&w, LIST("200", AB));
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 48000, LIST_TARGET);
        reply(&w, 500, -1, NULL, 0, 5);
        expect(&w, REFLECTOR_STALE, "500", "a,b", 1000, LIST_TARGET);
        good(&w, LIST("200", ITEM("a", "7")));
        reflector_set_poll(w.r, false);
        expect(&w, REFLECTOR_LIVE, NULL, "a", 48000, STREAM_TARGET);
}

static void test_from_watch_to_poll(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reflector_set_poll(w.r, true);
        reflector_abort(w.r, w.now);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, LIST_TARGET);
        good(&w, LIST("200", AB));
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 48000, LIST_TARGET);
}

static void test_hurry(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reflector_hurry(w.r, w.now);
        assert_int_equal(reflector_due(w.r), -1);
        reply(&w, 0, -1, NULL, -ECONNREFUSED, 5);
        reflector_hurry(w.r, w.now + 100000);
        assert_int_equal(reflector_due(w.r), w.now + 1000);
        reflector_hurry(w.r, w.now + 300);
        assert_int_equal(reflector_due(w.r), w.now + 300);
}

static void test_abort(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH);

        (void)state;
        reflector_head(w.r, 200, -1);
        say(&w, BOOKMARK("150") "{\"type\":");
        w.now += 10;
        reflector_abort(w.r, w.now);
        assert_int_equal(reflector_due(w.r), w.now);
        assert_int_equal(reflector_data(w.r, "x", 1, w.now), -ECANCELED);
        reflector_end(w.r, 0, "", w.now, 0);
        reflector_abort(w.r, w.now + 99);
        expect(&w, REFLECTOR_LIVE, NULL, "a,b", 0, WATCH_TARGET("150"));
        good(&w, BOOKMARK("151"));
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
}

static void test_abort_in_a_list(void **state) {
        _cleanup_world_ World w = world_in(IN_PAGE);

        (void)state;
        reflector_head(w.r, 200, -1);
        say(&w, "{\"kind\":");
        reflector_set_streaming(w.r, STREAMING_YES);
        reflector_abort(w.r, w.now);
        expect(&w, REFLECTOR_STALE, "cache", "a,b", 0, STREAM_TARGET);
        good(&w, EVENT("ADDED", "d", "9") END_MARK("200"));
        assert_items(&w, "d");
}

static void test_random_draws_the_length_of_a_watch(void **state) {
        _cleanup_world_ World w = new_world();

        (void)state;
        assert_int_equal(reflector_begin(w.r, w.now, UINT32_MAX, &w.request), 0);
        assert_non_null(strstr(w.request.target, "timeoutSeconds=600&"));
        assert_int_equal(w.request.timeout, 630000);
}

/* ---- limits ---- */

static void add_items(Buf *out, int from, int n) {
        for (int i = from; i < from + n; i++)
                buf_printf(out, "%s{\"metadata\":{\"name\":\"n%05d\",\"namespace\":\"kube-system\"}}",
                           i > from ? "," : "", i);
}

static void many(World *w, int from, int n) {
        _cleanup_buf_ Buf list = BUF_INIT;

        buf_str(&list,
                "{\"kind\":\"DaemonSetList\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"resourceVersion\":\"200\"},"
                "\"items\":[");
        add_items(&list, from, n);
        buf_str(&list, "]}");
        reflector_head(w->r, 200, -1);
        assert_int_equal(reflector_data(w->r, list.data, list.len, w->now), 0);
        reflector_end(w->r, 0, "", w->now, 0);
}

static void test_too_many_objects(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        size_t n;

        (void)state;
        many(&w, 0, REFLECTOR_ITEMS_MAX + 1);
        expect(&w, REFLECTOR_STALE, "more than 10000 objects", "a,b", 1000, LIST_TARGET);
        many(&w, 0, REFLECTOR_ITEMS_MAX);
        assert_int_equal(reflector_state(w.r), REFLECTOR_LIVE);
        (void)reflector_items(w.r, &n);
        assert_int_equal(n, REFLECTOR_ITEMS_MAX);
        ask(&w);
        reply(&w, 200, -1, EVENT("ADDED", "one-more", "201"), 0, 5);
        assert_int_equal(reflector_state(w.r), REFLECTOR_STALE);
        assert_non_null(strstr(reflector_problem(w.r), "more than 10000 objects"));
        (void)reflector_items(w.r, &n);
        assert_int_equal(n, REFLECTOR_ITEMS_MAX);
}

static void test_doubts_do_not_pile_up(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        size_t n;

        (void)state;
        for (int i = 0; i < 3; i++) {
                reflector_suspect(w.r);
                reflector_abort(w.r, w.now);
                ask(&w);
                many(&w, i * 9998, 9998);
                assert_int_equal(reflector_state(w.r), i < 2 ? REFLECTOR_SUSPECT : REFLECTOR_STALE);
                (void)reflector_items(w.r, &n);
                assert_int_equal(n, i == 0 ? 10000 : 19998);
                if (i < 2)
                        ask(&w);
        }
        assert_non_null(strstr(reflector_problem(w.r), "although they are not listed"));
}

/* Feeds the same piece until it is refused. */
static size_t flood(World *w, const char *piece, int want, int result) {
        size_t len = strlen(piece), fed = 0;
        int r = 0;

        for (; r == 0 && fed < (size_t)REFLECTOR_ANSWER_MAX * 2; fed += len)
                r = reflector_data(w->r, piece, len, w->now);
        assert_int_equal(r, want);
        assert_int_equal(reflector_data(w->r, piece, len, w->now), want);
        reflector_end(w->r, result, "", w->now, 0);
        return fed;
}

static void test_too_large_an_answer(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST);
        _cleanup_free_ char *piece = malloc(1 << 20);

        (void)state;
        assert_non_null(piece);
        memset(piece, ' ', 1 << 20);
        piece[(1 << 20) - 1] = 0;
        reflector_head(w.r, 200, -1);
        say(&w, LIST("200", ""));
        assert_in_range(flood(&w, piece, -EFBIG, 0), REFLECTOR_ANSWER_MAX - (2 << 20),
                        REFLECTOR_ANSWER_MAX + (2 << 20));
        expect(&w, REFLECTOR_STALE, "more than", "a,b", 1000, LIST_TARGET);
        reflector_head(w.r, 500, -1);
        assert_true(flood(&w, piece, -EFBIG, -EFBIG) <= 1 << 20);
        expect(&w, REFLECTOR_STALE, "500", "a,b", 2000, LIST_TARGET);
}

/* ---- the cache ---- */

static void test_store_and_load(void **state) {
        _cleanup_world_ World w = world_in(IN_WATCH), again = new_world();
        _cleanup_buf_ Buf text = BUF_INIT, second = BUF_INIT;
        _cleanup_json_ cJSON *items = NULL;

        (void)state;
        assert_int_equal(reflector_store(again.r, &text), 0);
        assert_string_equal(buf_text(&text), "[]");
        buf_reset(&text);
        assert_int_equal(reflector_store(w.r, &text), 0);
        assert_int_equal(json_parse(text.data, text.len, (Place){ 0 }, NULL, NULL, &items, NULL, NULL, NULL), 0);
        assert_int_equal(reflector_load(again.r, reflector_resource_version(w.r), items), 0);
        assert_items(&again, "a,b");
        assert_string_equal(reflector_resource_version(again.r), "100");
        assert_int_equal(reflector_state(again.r), REFLECTOR_STALE);
        assert_int_equal(reflector_confirmed(again.r), -1);
        assert_int_equal(reflector_store(again.r, &second), 0);
        assert_string_equal(buf_text(&second), buf_text(&text));
}

static void test_doubts_survive_the_cache(void **state) {
        _cleanup_world_ World w = world_in(IN_LIST), again = new_world();
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_json_ cJSON *items = NULL;

        (void)state;
        good(&w, LIST("50", ITEM("b", "8")));
        assert_int_equal(reflector_store(w.r, &text), 0);
        items = cJSON_Parse(text.data);
        assert_int_equal(reflector_load(again.r, reflector_resource_version(w.r), items), 0);
        reflector_set_streaming(again.r, STREAMING_NO);
        ask(&again);
        good(&again, LIST("60", ITEM("b", "8")));
        assert_items(&again, "a?,b");
}

static void test_unusable_cache(void **state) {
        static const char *const rows[] = {
                "{}",
                "[1]",
                "[{}]",
                "[" OBJECT("a", "u", "1", "") ",{\"metadata\":{\"name\":\"b\"}}]",
                "[{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"b\"}}]",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_world_ World w = new_world();
                _cleanup_json_ cJSON *items = cJSON_Parse(rows[i]);

                assert_int_equal(reflector_load(w.r, "5", items), -EBADMSG);
                assert_int_equal(reflector_state(w.r), REFLECTOR_UNREAD);
                assert_items(&w, "");
        }
}

static void test_names_of_states(void **state) {
        (void)state;
        assert_string_equal(reflector_state_name(REFLECTOR_UNREAD), "Unread");
        assert_string_equal(reflector_state_name(REFLECTOR_LIVE), "Live");
        assert_string_equal(reflector_state_name(REFLECTOR_STALE), "Stale");
        assert_string_equal(reflector_state_name(REFLECTOR_SUSPECT), "SuspectList");
}

/* ---- transcripts ---- */

static char *transcript_body(const char *path) {
        const char *shared = test_shared(path);
        _cleanup_free_ char *text = shared ? test_read_file(shared, NULL) : NULL;

        return text ? strdup(strstr(text, "\r\n\r\n") + 4) : NULL;
}

static void test_transcripts(void **state) {
        _cleanup_free_ char *list = transcript_body("apiserver/03-list-labelselector.http"),
                            *watch = transcript_body("apiserver/04-watch-daemonsets.http"),
                            *page1 = transcript_body("apiserver/01-list-page1.http"),
                            *page2 = transcript_body("apiserver/02-list-page2.http"),
                            *expired = transcript_body("apiserver/06-list-expired-continue.http"),
                            *refused = transcript_body("apiserver/26-list-watchlist.http");
        _cleanup_world_ World w = { 0 };

        (void)state;
        if (!list && !watch && !page1 && !page2 && !expired && !refused)
                skip();
        w = new_world();
        ask(&w);
        reply(&w, 422, -1, refused, 0, 5);
        expect(&w, REFLECTOR_UNREAD, "resourceVersionMatch is forbidden for watch", "", 0, LIST_TARGET);
        good(&w, page1);
        ask(&w);
        reply(&w, 410, -1, expired, 0, 5);
        expect(&w, REFLECTOR_UNREAD, "410: The provided continue parameter is too old", "", 0, LIST_TARGET);
        good(&w, page1);
        ask(&w);
        good(&w, page2);
        ask(&w);
        reflector_abort(w.r, w.now);
        ask(&w);
        good(&w, list);
        expect(&w, REFLECTOR_LIVE, NULL, "ds-1,ds-2,ds-3,ds-4,ds-5", 0, WATCH_TARGET("388"));
        reply(&w, 200, -1, watch, 0, 70000);
        expect(&w, REFLECTOR_LIVE, NULL, "ds-1,ds-2,ds-3", 0, WATCH_TARGET("400"));
}

/* ---- memory ---- */

/* Every way through the machine; a failed allocation may show as an error or as a problem. */
static int oom_body(void *user) {
        static const char *const answers[] = {
                STATUS("x"),
                LIST("200", AB),
                EVENT("ADDED", "c", "201") BOOKMARK("202") EVENT("DELETED", "a", "203"),
        };
        static const int statuses[] = { 422, 200, 200 };
        _cleanup_reflector_ Reflector *r = reflector_new(&daemonsets);
        _cleanup_buf_ Buf text = BUF_INIT;
        ReflectorRequest request;
        size_t n;

        if (!r || reflector_load(r, "100", user) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
                size_t len = strlen(answers[i]), half = len / 2;

                if (reflector_begin(r, 0, 0, &request) < 0)
                        return -ENOMEM;
                reflector_head(r, statuses[i], -1);
                if (reflector_data(r, answers[i], half, 0) == 0)
                        (void)reflector_data(r, answers[i] + half, len - half, 0);
                reflector_end(r, 0, "", 5000, 0);
                if (i > 0 && strstr(reflector_problem(r), "out of memory"))
                        return -ENOMEM;
                if (i == 0 && !strstr(reflector_problem(r), "422: x"))
                        return -ENOMEM;
                if (i > 0)
                        assert_int_equal(reflector_state(r), REFLECTOR_LIVE);
        }
        (void)reflector_items(r, &n);
        assert_int_equal(n, 2);
        return reflector_store(r, &text);
}

static void test_memory(void **state) {
        _cleanup_json_ cJSON *items = cJSON_Parse("[" OBJECT("a", "u-a", "7", "") "," OBJECT("b", "u-b", "8", "") "]");

        (void)state;
        (void)test_oom(oom_body, items);
}

int main(void) {
        const struct CMUnitTest sequences[] = {
                cmocka_unit_test(test_streaming_is_learnt),
                cmocka_unit_test(test_streaming_list_that_fails_once),
                cmocka_unit_test(test_streaming_list_counts_when_it_is_complete),
                cmocka_unit_test(test_continue_expires_again_and_again),
                cmocka_unit_test(test_pages_where_none_were_asked_for),
                cmocka_unit_test(test_endless_pages),
                cmocka_unit_test(test_history_expires_again_and_again),
                cmocka_unit_test(test_a_long_watch_ends_the_back_off),
                cmocka_unit_test(test_watches_that_end_soon_are_not_a_loop),
                cmocka_unit_test(test_a_watch_that_is_refused_lists_anew),
                cmocka_unit_test(test_forbidden_to_watch),
                cmocka_unit_test(test_forbidden_for_a_moment),
                cmocka_unit_test(test_live_again_when_a_watch_is_resumed),
                cmocka_unit_test(test_generation_is_of_the_items),
                cmocka_unit_test(test_generation_of_lists),
                cmocka_unit_test(test_digest_is_of_the_bytes),
                cmocka_unit_test(test_reduce),
                cmocka_unit_test(test_doubts_end),
                cmocka_unit_test(test_doubts_do_not_end_while_the_server_is_away),
                cmocka_unit_test(test_what_is_said_again_is_not_doubted),
                cmocka_unit_test(test_doubts_outlive_lists),
                cmocka_unit_test(test_another_clusters_list),
                cmocka_unit_test(test_a_server_that_went_back_is_suspect),
                cmocka_unit_test(test_suspicion_in_the_middle_of_a_list),
                cmocka_unit_test(test_a_list_that_began_before_the_suspicion),
                cmocka_unit_test(test_single_is_not_doubted),
                cmocka_unit_test(test_the_fleeting_is_not_doubted),
                cmocka_unit_test(test_poll),
                cmocka_unit_test(test_from_watch_to_poll),
                cmocka_unit_test(test_hurry),
                cmocka_unit_test(test_abort),
                cmocka_unit_test(test_abort_in_a_list),
                cmocka_unit_test(test_random_draws_the_length_of_a_watch),
                cmocka_unit_test(test_too_many_objects),
                cmocka_unit_test(test_doubts_do_not_pile_up),
                cmocka_unit_test(test_too_large_an_answer),
                cmocka_unit_test(test_store_and_load),
                cmocka_unit_test(test_doubts_survive_the_cache),
                cmocka_unit_test(test_unusable_cache),
                cmocka_unit_test(test_names_of_states),
                cmocka_unit_test(test_transcripts),
                cmocka_unit_test(test_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(outcomes) + ARRAY_SIZE(sequences)];

        for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
                tests[i] = (struct CMUnitTest){ .name = outcomes[i].name,
                                                .test_func = test_outcome,
                                                .initial_state = (void *)&outcomes[i] };
        memcpy(tests + ARRAY_SIZE(outcomes), sequences, sizeof(sequences));
        return _cmocka_run_group_tests("reflector", tests, ARRAY_SIZE(tests), NULL, NULL);
}
