/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of a watch: the same events whatever the chunks. */
#include "core/watch.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

#define ADDED "{\"type\":\"ADDED\",\"object\":{\"a\":1}}"
#define BOOKMARK "{\"type\":\"BOOKMARK\",\"object\":{\"b\":[\"}\"]}}"

/* Events as lines: the type's number and the object. */
typedef struct Seen {
        Buf lines;
        size_t n;
        size_t fail_at; /* the handler refuses this one, from 1; 0: none */
} Seen;

static int see(void *user, WatchEvent *event) {
        Seen *seen = user;

        buf_printf(&seen->lines, "%d ", event->type);
        json_canonical(event->object, &seen->lines);
        buf_char(&seen->lines, '\n');
        seen->n++;
        if (seen->lines.failed)
                return -ENOMEM;
        return seen->n == seen->fail_at ? -ECANCELED : 0;
}

/* Feeds a text in chunks: `first` bytes, then `each` bytes at a time. A chunk is a piece of memory of its own, so that
 * a look behind its end is seen. */
static int feed(WatchParser *p, const char *text, size_t len, size_t first, size_t each, Seen *seen, Err *err) {
        for (size_t at = 0, n = first; at < len; at += n, n = each) {
                _cleanup_free_ char *chunk = NULL;
                int r;

                n = n < len - at ? n : len - at;
                chunk = malloc(n ? n : 1);
                assert_non_null(chunk);
                memcpy(chunk, text + at, n);
                r = watch_feed(p, chunk, n, see, seen, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

typedef struct Outcome {
        int result;
        bool whole;
        Seen seen;
        Err err;
} Outcome;

static Outcome run_max(const char *text, size_t len, size_t first, size_t each, size_t max) {
        _cleanup_watch_parser_ WatchParser p;
        Outcome o = { 0 };

        watch_parser_init(&p, max);
        o.result = feed(&p, text, len, first, each, &o.seen, &o.err);
        o.whole = watch_is_whole(&p);
        return o;
}

static Outcome run(const char *text, size_t len, size_t first, size_t each) {
        return run_max(text, len, first, each, WATCH_EVENT_MAX);
}

static void outcome_done(Outcome *o) {
        buf_done(&o->seen.lines);
}
#define _cleanup_outcome_ _cleanup_(outcome_done)

static void assert_same(const Outcome *a, const Outcome *b) {
        assert_int_equal(a->result, b->result);
        assert_string_equal(buf_text(&a->seen.lines), buf_text(&b->seen.lines));
        if (a->result == 0)
                assert_int_equal(a->whole, b->whole);
}

/* Cut in two at every place, and fed in chunks of every small size. */
static void check_chunks(const char *text, size_t len) {
        _cleanup_outcome_ Outcome all = run(text, len, len, len);

        for (size_t split = 1; split<len; split += len> 4096 ? len / 701 : 1) {
                _cleanup_outcome_ Outcome o = run(text, len, split, len);

                assert_same(&all, &o);
        }
        for (size_t each = 1; each < 10; each++) {
                _cleanup_outcome_ Outcome o = run(text, len, each, each);

                assert_same(&all, &o);
        }
}

static void test_every_type_in_every_chunking(void **state) {
        size_t len;
        _cleanup_free_ char *text = test_read("cases/watch/small.json", &len);
        _cleanup_outcome_ Outcome o = run(text, len, len, len);
        const char *line;

        (void)state;
        assert_int_equal(o.result, 0);
        assert_true(o.whole);
        assert_int_equal(o.seen.n, 5);
        line = buf_text(&o.seen.lines);
        for (int type = WATCH_ADDED; type <= WATCH_ERROR; type++, line = strchr(line, '\n') + 1)
                assert_int_equal(line[0] - '0', type);
        assert_non_null(strstr(buf_text(&o.seen.lines), "a \\\"brace\\\" } and a \\\\ and é é"));
        check_chunks(text, len);
}

static void test_indented(void **state) {
        size_t len;
        _cleanup_free_ char *text = test_read("cases/watch/indented.json", &len);
        _cleanup_outcome_ Outcome o = run(text, len, len, len);

        (void)state;
        assert_int_equal(o.result, 0);
        assert_int_equal(o.seen.n, 2);
        assert_non_null(strstr(buf_text(&o.seen.lines), "\"note\":\"{\\n  \\\"a\\\": [\\n\""));
        check_chunks(text, len);
}

static void test_events_of_one_chunk_come_in_order_and_at_once(void **state) {
        static const char text[] = ADDED BOOKMARK "\r\n\t " ADDED "{\"type\":\"ADDED\",";
        _cleanup_outcome_ Outcome o = run(text, strlen(text), strlen(text), 1);

        (void)state;
        assert_int_equal(o.result, 0);
        assert_false(o.whole);
        assert_string_equal(buf_text(&o.seen.lines), "0 {\"a\":1}\n3 {\"b\":[\"}\"]}\n0 {\"a\":1}\n");
        check_chunks(text, strlen(text));
}

static void test_an_event_is_handed_on_with_its_last_byte(void **state) {
        _cleanup_watch_parser_ WatchParser p;
        Seen seen = { 0 };

        (void)state;
        watch_parser_init(&p, WATCH_EVENT_MAX);
        assert_true(watch_is_whole(&p));
        assert_int_equal(watch_feed(&p, ADDED, strlen(ADDED) - 1, see, &seen, NULL), 0);
        assert_int_equal(seen.n, 0);
        assert_false(watch_is_whole(&p));
        assert_int_equal(watch_feed(&p, "}", 1, see, &seen, NULL), 0);
        assert_int_equal(seen.n, 1);
        assert_true(watch_is_whole(&p));
        assert_int_equal(watch_feed(&p, "", 0, see, &seen, NULL), 0);
        assert_int_equal(watch_feed(&p, " \n", 2, see, &seen, NULL), 0);
        assert_true(watch_is_whole(&p));
        buf_done(&seen.lines);
}

static void test_strings_hide_their_braces(void **state) {
        static const char *const rows[] = {
                "{\"type\":\"ADDED\",\"object\":{\"a\":\"\\\"}\"}}",
                "{\"type\":\"ADDED\",\"object\":{\"a\\\"{\":1}}",
                "{\"type\":\"ADDED\",\"object\":{\"a\":\"\\\\\"}}",
                "{\"type\":\"ADDED\",\"object\":{\"a\":\"\\\\\\\"]\"}}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_outcome_ Outcome o = run(rows[i], strlen(rows[i]), strlen(rows[i]), 1);

                assert_int_equal(o.result, 0);
                assert_int_equal(o.seen.n, 1);
                assert_true(o.whole);
                check_chunks(rows[i], strlen(rows[i]));
        }
}

static void test_garbage(void **state) {
        static const struct {
                const char *text, *message;
                size_t events; /* before it */
        } rows[] = {
                { "<html><body>Log in", "<html><body>Log in", 0 },
                { ADDED "502 Bad Gateway", "502 Bad Gateway", 1 },
                { "[]", "[]", 0 },
                { "null", "null", 0 },
                { "}", "}", 0 },
                { "\x1b[31m\x01", " [31m ", 0 },
                { "\xef\xbb\xbf" ADDED, "an object is expected", 0 },
                { "{\"type\":\"ADDED\"}", "a known type and an object", 0 },
                { "{\"type\":\"ADDED\",\"object\":null}", "a known type and an object", 0 },
                { "{\"type\":\"ADDED\",\"object\":[]}", "a known type and an object", 0 },
                { "{\"type\":\"added\",\"object\":{}}", "a known type and an object", 0 },
                { "{\"type\":1,\"object\":{}}", "a known type and an object", 0 },
                { "{\"object\":{}}", "a known type and an object", 0 },
                { "{\"kind\":\"DaemonSetList\",\"items\":[]}", "a known type and an object", 0 },
                { ADDED ADDED "{\"type\" \"ADDED\"}", "a colon is expected", 2 },
                { "{]", "string in double quotes", 0 },
                { "{\"type\":\"ADDED\",\"object\":{\"a\":\"\xff\"}}", "UTF-8", 0 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                size_t len = strlen(rows[i].text);
                _cleanup_outcome_ Outcome o = run(rows[i].text, len, len, len);

                assert_int_equal(o.result, -EBADMSG);
                assert_int_equal(o.seen.n, rows[i].events);
                if (!strstr(o.err.message, rows[i].message))
                        fail_msg("row %zu: %s", i, o.err.message);
                for (const char *c = o.err.message; *c; c++)
                        assert_true((unsigned char)*c >= ' ');
                check_chunks(rows[i].text, len);
        }
}

static void test_what_came_is_cut_short(void **state) {
        char text[500];
        Err err = { 0 };
        _cleanup_watch_parser_ WatchParser p;

        (void)state;
        memset(text, 'x', sizeof(text));
        watch_parser_init(&p, WATCH_EVENT_MAX);
        assert_int_equal(watch_feed(&p, text, sizeof(text), see, NULL, &err), -EBADMSG);
        assert_true(strlen(err.message) < 150);
        assert_non_null(strstr(err.message, "xxx..."));
}

static void test_too_large(void **state) {
        static const char text[] = "\n\n\n" ADDED "  " ADDED;
        size_t len = strlen(text), event = strlen(ADDED);

        (void)state;
        for (size_t each = 1; each <= len; each++) {
                _cleanup_outcome_ Outcome fits = run_max(text, len, each, each, event),
                                          large = run_max(text, len, each, each, event - 1);

                assert_int_equal(fits.result, 0);
                assert_int_equal(fits.seen.n, 2);
                assert_int_equal(large.result, -EFBIG);
                assert_int_equal(large.seen.n, 0);
                assert_non_null(strstr(large.err.message, "larger than"));
        }
}

static void test_endless_event_is_refused_in_time(void **state) {
        _cleanup_watch_parser_ WatchParser p;
        char chunk[1000];
        size_t fed = 1;
        int r = 0;

        (void)state;
        memset(chunk, '[', sizeof(chunk));
        watch_parser_init(&p, 100000);
        assert_int_equal(watch_feed(&p, "{", 1, see, NULL, NULL), 0);
        for (; r == 0; fed += sizeof(chunk))
                r = watch_feed(&p, chunk, sizeof(chunk), see, NULL, NULL);
        assert_int_equal(r, -EFBIG);
        assert_true(fed <= 102000);
}

static void test_large_event_leaves_no_large_buffer(void **state) {
        size_t len = 1 << 20;
        _cleanup_free_ char *text = malloc(len);
        _cleanup_watch_parser_ WatchParser p;
        Seen seen = { 0 };
        Err err = { 0 };

        (void)state;
        assert_non_null(text);
        memset(text, ' ', len);
        memcpy(text, "{\"type\":", 8);
        memcpy(text + len - 24, "\"ADDED\",\"object\":{}    }", 24);
        watch_parser_init(&p, WATCH_EVENT_MAX);
        assert_int_equal(feed(&p, text, len, 1000, 1000, &seen, &err), 0);
        assert_int_equal(seen.n, 1);
        assert_true(p.pending.cap <= 65536);
        buf_done(&seen.lines);
}

static void test_torn_end_is_not_whole(void **state) {
        (void)state;
        for (size_t n = 1; n < strlen(ADDED); n++) {
                _cleanup_outcome_ Outcome o = run(ADDED, n, n, n);

                assert_int_equal(o.result, 0);
                assert_false(o.whole);
        }
}

static void test_handler_ends_it(void **state) {
        _cleanup_watch_parser_ WatchParser p;
        Seen seen = { .fail_at = 2 };

        (void)state;
        watch_parser_init(&p, WATCH_EVENT_MAX);
        assert_int_equal(watch_feed(&p, ADDED ADDED ADDED, 3 * strlen(ADDED), see, &seen, NULL), -ECANCELED);
        assert_int_equal(seen.n, 2);
        buf_done(&seen.lines);
}

static void check_transcript(const char *path, const char *types) {
        const char *shared = test_shared(path);
        _cleanup_free_ char *text = NULL;
        const char *body, *line;
        size_t len;

        if (!shared)
                skip();
        text = test_read_file(shared, &len);
        body = strstr(text, "\r\n\r\n");
        assert_non_null(body);
        len -= (size_t)(body - text);
        {
                _cleanup_outcome_ Outcome o = run(body, len, len, len);

                assert_int_equal(o.result, 0);
                assert_true(o.whole);
                assert_int_equal(o.seen.n, strlen(types));
                line = buf_text(&o.seen.lines);
                for (size_t i = 0; types[i]; i++, line = strchr(line, '\n') + 1)
                        assert_int_equal(line[0], types[i]);
        }
        check_chunks(body, len);
}

static void test_transcript_daemonsets(void **state) {
        (void)state;
        check_transcript("apiserver/04-watch-daemonsets.http", "1112233");
}

static void test_transcript_too_old(void **state) {
        (void)state;
        check_transcript("apiserver/05-watch-too-old.http", "4");
}

static void test_transcript_node(void **state) {
        (void)state;
        check_transcript("apiserver/11-watch-node.http", "1111233");
}

static int oom_body(void *user) {
        static const char text[] = ADDED BOOKMARK;
        _cleanup_watch_parser_ WatchParser p;
        Seen seen = { 0 };
        int r;

        (void)user;
        watch_parser_init(&p, WATCH_EVENT_MAX);
        r = watch_feed(&p, text, 20, see, &seen, NULL);
        if (r == 0)
                r = watch_feed(&p, text + 20, strlen(text) - 20, see, &seen, NULL);
        buf_done(&seen.lines);
        return r;
}

static void test_memory(void **state) {
        (void)state;
        (void)test_oom(oom_body, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_type_in_every_chunking),
                cmocka_unit_test(test_indented),
                cmocka_unit_test(test_events_of_one_chunk_come_in_order_and_at_once),
                cmocka_unit_test(test_an_event_is_handed_on_with_its_last_byte),
                cmocka_unit_test(test_strings_hide_their_braces),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_what_came_is_cut_short),
                cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_endless_event_is_refused_in_time),
                cmocka_unit_test(test_large_event_leaves_no_large_buffer),
                cmocka_unit_test(test_torn_end_is_not_whole),
                cmocka_unit_test(test_handler_ends_it),
                cmocka_unit_test(test_transcript_daemonsets),
                cmocka_unit_test(test_transcript_too_old),
                cmocka_unit_test(test_transcript_node),
                cmocka_unit_test(test_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
