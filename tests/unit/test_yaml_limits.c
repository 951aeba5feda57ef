/* SPDX-License-Identifier: Apache-2.0 */
/* core/yaml: limits, places, duplicate keys, writing, running out of memory. */
#include "yaml_reading.h"

#include <errno.h>
#include <stdio.h>

/* ---- what no file can show ---- */

static void test_text_that_is_no_utf8(void **state) {
        static const struct {
                const char *text;
                size_t len;
                unsigned line, column;
                const char *needle;
        } rows[] = {
                { "a: \xff\n", 5, 1, 4, "not UTF-8 (byte 0xff)" },
                { "a: 1\nb: \xc3\xa9\xc0\x80\n", 13, 2, 5, "not UTF-8 (byte 0xc0)" },
                { "a: \xed\xa0\x80\n", 7, 1, 4, "not UTF-8" },
                { "a: \xf5\x80\x80\x80\n", 8, 1, 4, "not UTF-8" },
                { "a: \xe2\x82", 5, 1, 4, "not UTF-8" },
                { "a\0b\n", 4, 1, 2, "NUL" },
                { "\0", 1, 1, 1, "NUL" },
                { "\xff\xfe"
                  "a\0:\0",
                  6, 1, 1, "UTF-16" },
                { "\xfe\xff\0a\0:", 6, 1, 1, "UTF-16" },
                { "a\0:\0 \0"
                  "1\0\n\0",
                  10, 1, 2, "NUL" },
                { "\r\na\r\r\x01", 6, 4, 1, "control character 0x01" },
                { "{\"a\": \"\xff\"}", 10, 1, 0, "UTF-8" },
                { "{a: \x1b}", 6, 1, 5, "control character 0x1b" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_reading_ Reading got = read_text(rows[i].text, rows[i].len);

                if (got.r != -EBADMSG || got.place.line != rows[i].line ||
                    (rows[i].column > 0 && got.place.column != rows[i].column) ||
                    !strstr(got.err.message, rows[i].needle))
                        fail_msg("row %zu: %d %u:%u %s", i, got.r, got.place.line, got.place.column, got.err.message);
        }
}

/* n times the text, between a head and a tail. */
static char *repeated(const char *head, const char *text, size_t n, const char *tail, size_t *ret_len) {
        Buf b = BUF_INIT;

        buf_str(&b, head);
        for (size_t i = 0; i < n; i++)
                buf_str(&b, text);
        buf_str(&b, tail);
        return buf_take(&b, ret_len);
}

static void test_limits(void **state) {
        static const struct {
                const char *head, *text;
                size_t n;
                const char *tail;
                const char *needle; /* NULL: it is read */
        } rows[] = {
                { "", "[", 100,
                  "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
                  "]]]]]]]]]]]]]]]]]]",
                  NULL },
                { "", "[", 101, "", "nested too deeply" },
                { "", "[", 5000000, "", "nested too deeply" },
                { "", "- ", 5000000, "", "nested too deeply" },
                { "", "- ", 100, "x", NULL },
                { "", "- ", 101, "x", "nested too deeply" },
                { "", "? ", 5000000, "", "cannot be a key" },
                { "", "{a: ", 2500000, "", "nested too deeply" },
                { "{\"a\":", "[", 5000000, "", "nested too deeply" },
                { "a: &a 1\nb:\n", "- *a\n", 200000, "", NULL },
                { "a: &a 1\nb:\n", "- *a\n", 200001, "", "expand to too many values" },
                { "a: &a {b: 1}\nb:\n", "  <<: *a\n", 200001, "", "expand to too many values" },
                { "- &a [[[1]]]\n- ", "[", 96, "*a", "',' or ']' is missing" },
                { "- &a [[[1]]]\n- ", "[", 97, "*a]", "nested too deeply" },
                { "- &a [[[1]]]\n", "- ", 97, "*a", NULL },
                { "- &a [[[1]]]\n", "- ", 98, "*a", "nested too deeply" },
                { "- &b {c: [1]}\n", "- ", 98, "<<: *b", NULL },
                { "- &b {c: [1]}\n", "- ", 99, "<<: *b", "nested too deeply" },
                { "- &b {c: [1]}\n", "- ", 98, "*b", NULL },
                { "- &b {c: [1]}\n", "- ", 99, "*b", "nested too deeply" },
                { "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                  "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                  "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
                  "", 0, "", "expand to too many values" },
                { "", "%TAG !a! x\n", 101, "--- 1\n", "too many lines start with %" },
                { "", "x", JSON_SIZE_MAX - 1, "\n", NULL },
                { "", "x", JSON_SIZE_MAX, "\n", "larger than 10 MiB" },
                { "", "//\n", 1000000, "a: b: c\n", "comments in YAML" },
                { "- &a 1\n", "- &a 1\n", 300000, "- *a\n", NULL },
                { "", "k: 1\n", 300000, "", NULL },
                { "a: [", "b,", 999000, "]", NULL },
                { "a: [", "b,", 1000000, "]", "too many values" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                size_t len = 0;
                _cleanup_free_ char *text = repeated(rows[i].head, rows[i].text, rows[i].n, rows[i].tail, &len);
                _cleanup_reading_ Reading got = read_text(text, len);

                if (rows[i].needle ? got.r != -EBADMSG || !strstr(got.err.message, rows[i].needle) : got.r != 0)
                        fail_msg("row %zu: %d %u:%u %s", i, got.r, got.place.line, got.place.column, got.err.message);
        }
}

static void test_many_different_keys_and_anchors(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_reading_ Reading got = { 0 };

        (void)state;
        for (unsigned i = 0; i < 200000; i++)
                buf_printf(&text, "k%u: &a%u 1\n", i, i);
        for (unsigned i = 0; i < 100000; i++)
                buf_printf(&text, "k%u: *a%u\n", 2 * i, 2 * i);
        got = read_text(buf_text(&text), text.len);
        assert_int_equal(got.r, 0);
        assert_int_equal(cJSON_GetArraySize(got.stream.documents[0].root), 200000);
        assert_true(startswith(buf_text(&got.duplicates), "k0 1:5>200001:5 k10 11:6>200006:6 "));
}

static void test_places(void **state) {
        static const char text[] = "a: 1\n"
                                   "b:\n"
                                   "  c: [x, 'y']\n"
                                   "  d: |\n"
                                   "    z\n"
                                   "e:\n"
                                   "- f: \xc3\xa9\xc3\xa9\n"
                                   "  g: &g {h: 2}\n"
                                   "i: *g\r\n"
                                   "j:\r\n"
                                   "  - k\r\n"
                                   "l:\n";
        static const struct {
                const char *path;
                unsigned line, column;
        } rows[] = {
                { "a", 1, 4 }, { "b", 2, 1 },    { "b.c", 3, 6 }, { "b.d", 4, 6 }, { "e", 6, 1 },
                { "i", 9, 4 }, { "i.h", 8, 13 }, { "j", 10, 1 },  { "l", 12, 3 },
        };
        _cleanup_reading_ Reading got = read_text(text, strlen(text));
        const cJSON *root, *f;

        (void)state;
        assert_int_equal(got.r, 0);
        root = got.stream.documents[0].root;
        assert_int_equal(json_place(root).line, 1);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Place place = json_place(json_path(root, rows[i].path));

                if (place.line != rows[i].line || place.column != rows[i].column)
                        fail_msg("%s: %u:%u", rows[i].path, place.line, place.column);
        }
        f = json_get(json_get(root, "e")->child, "f");
        assert_int_equal(json_place(f).column, 6);
        assert_int_equal(json_place(json_get(root, "b")->child->child->next).column, 10);
}

/* What marked items while they were read is gone. */
static void assert_no_marks(const cJSON *item) {
        assert_int_equal(item->valueint, 0);
        for (const cJSON *c = item->child; c; c = c->next)
                assert_no_marks(c);
}

static void test_duplicates(void **state) {
        static const struct {
                const char *text, *result, *told;
        } rows[] = {
                { "a: 1\nb: 2\na: 3\n", "{\"a\":3,\"b\":2}", "a 1:4>3:4 " },
                { "a: 1\na: 2\na: 3\n", "{\"a\":3}", "a 1:4>3:4 a 2:4>3:4 " },
                { "x: {a: 1, a: 2}\n", "{\"x\":{\"a\":2}}", "a 1:8>1:14 " },
                { "1: a\n'1': b\n", "{\"1\":\"b\"}", "1 1:4>2:6 " },
                /* Overriding is what a merge is for, but not when the merge does it. */
                { "x: &x {a: 1}\nw:\n  <<: *x\n  a: 2\n", "{\"w\":{\"a\":2},\"x\":{\"a\":1}}", "" },
                { "x: &x {a: 1}\nz:\n  a: 2\n  <<: *x\n", "{\"x\":{\"a\":1},\"z\":{\"a\":1}}", "a 3:6>1:11 " },
                { "<<: [{a: 1}, {a: 2}]\n", "{\"a\":1}", "" },
                { "x: &x {a: 1}\nw: &y\n  <<: *x\n  a: 2\nz:\n  <<: *y\n  a: 3\n  a: 4\n",
                  "{\"w\":{\"a\":2},\"x\":{\"a\":1},\"z\":{\"a\":4}}", "a 7:6>8:6 " },
                { "x: &x {a: 1}\nw: {<<: *x, b: 1}\nz: {b: 1, b: 2}\n",
                  "{\"w\":{\"a\":1,\"b\":1},\"x\":{\"a\":1},\"z\":{\"b\":2}}", "b 3:8>3:14 " },
                { "{\"a\": 1, \"a\": 2}", "{\"a\":2}", "a 1:7>1:15 " },
                /* More keys than are compared one with the other. */
                { "{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, o: 1, p: 1, q: 1, "
                  "r: 1, a: 2, r: 3, a: 4} # yaml\n",
                  "{\"a\":4,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,"
                  "\"m\":1,\"o\":1,\"p\":1,\"q\":1,\"r\":3}",
                  "a 1:5>1:119 a 1:107>1:119 r 1:101>1:113 " },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_reading_ Reading got = read_text(rows[i].text, strlen(rows[i].text));
                _cleanup_free_ char *text = result_text(&got, '\n');

                if (rows[i].text[0] != '{')
                        assert_no_marks(got.stream.documents[0].root);
                if (!streq(text, rows[i].result) || !streq(buf_text(&got.duplicates), rows[i].told))
                        fail_msg("row %zu: %s told %s", i, text, buf_text(&got.duplicates));
        }
}

static void test_nothing_is_told_where_nobody_asks(void **state) {
        YamlStream s = { 0 };

        (void)state;
        assert_int_equal(yaml_read("a: 1\na: 2\n", 10, NULL, NULL, &s, NULL, NULL), 0);
        yaml_stream_done(&s);
        assert_int_equal(yaml_read("a: [", 4, NULL, NULL, &s, NULL, NULL), -EBADMSG);
        assert_int_equal(yaml_read("", 0, NULL, NULL, &s, NULL, NULL), 0);
        assert_int_equal(s.n, 0);
        assert_null(s.documents);
}

/* ---- writing ---- */

static void test_write(void **state) {
        size_t len = 0;
        _cleanup_free_ char *input = test_read("cases/yaml/write/strings.json", &len);
        _cleanup_reading_ Reading got = read_text(input, len);
        _cleanup_buf_ Buf out = BUF_INIT;

        (void)state;
        assert_int_equal(got.r, 0);
        assert_int_equal(yaml_write(got.stream.documents[0].root, &out), 0);
        test_golden("cases/yaml/write/strings.yaml", buf_text(&out));
        assert_round_trip(got.stream.documents[0].root, "strings.json");
        for (const cJSON *c = json_get(got.stream.documents[0].root, "strings")->child; c; c = c->next)
                assert_round_trip(c, c->valuestring);
}

/* Every short string of characters that mean something to YAML. */
static void test_write_all_short_strings(void **state) {
        static const char alphabet[] = " \n\t-:#'\"\\|>a1.~[{*!%,?&@\r\x01";
        size_t n = strlen(alphabet);
        _cleanup_json_ cJSON *list = cJSON_CreateArray(), *keys = cJSON_CreateObject();

        (void)state;
        for (size_t i = 0; i < n * n * n; i++) {
                char text[] = { alphabet[i % n], alphabet[i / n % n], alphabet[i / n / n], 0 };

                assert_true(json_append(list, cJSON_CreateString(text)));
                if (i % 10 == 0)
                        assert_true(json_add(keys, text, cJSON_CreateNull()));
        }
        assert_round_trip(list, "list of short strings");
        assert_round_trip(keys, "short keys");
}

/* ---- running out of memory ---- */

static const char everything[] = "a: &a {x: 1_000, y: 0.5, z: .5, <<: {p: q}}\n"
                                 "b: {<<: [*a, {r: !!binary eA==}], 1.50: s, &k t: yes}\n"
                                 "c: [*a, *k, \"\\x41\", 'd', &l [~], *l]\n"
                                 "a: &a [x]\n"
                                 "e: |\n"
                                 "  text\n"
                                 "f: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1,\n"
                                 "    o: 1, p: 1, q: 1, r: 1, a: 2}\n"
                                 "--- # second\n"
                                 "- g\n";

static int oom_read(void *user) {
        _cleanup_yaml_ YamlStream s = { 0 };
        Err err = { 0 };
        int r = yaml_read(user, strlen(user), NULL, NULL, &s, NULL, &err);

        assert_true(r == 0 || (r == -ENOMEM && streq(err.message, "out of memory")));
        return r;
}

static int oom_write(void *user) {
        _cleanup_buf_ Buf out = BUF_INIT;

        return yaml_write(user, &out);
}

static int oom_error(void *user) {
        _cleanup_yaml_ YamlStream s = { 0 };
        int r = yaml_read(user, strlen(user), NULL, NULL, &s, NULL, NULL);

        return r == -EBADMSG ? 0 : r;
}

static void test_out_of_memory(void **state) {
        static char json[] = "{\"a\": [1, {\"b\": \"c\"}], \"a\": 2}\n{}\n---\nd: e\n",
                    flow[] = "{a: [b, c], d: &e f}\n";
        static char bad[] = "{\"a\": [1, 2,,]}", tab[] = "a:\n\tb\n";
        char text[sizeof(everything)];
        _cleanup_reading_ Reading got = read_text(everything, strlen(everything));

        (void)state;
        memcpy(text, everything, sizeof(text));
        assert_int_equal(got.r, 0);
        (void)test_oom(oom_read, text);
        (void)test_oom(oom_read, json);
        (void)test_oom(oom_read, flow);
        (void)test_oom(oom_error, bad);
        (void)test_oom(oom_error, tab);
        (void)test_oom(oom_write, got.stream.documents[0].root);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_that_is_no_utf8),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_many_different_keys_and_anchors),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_duplicates),
                cmocka_unit_test(test_nothing_is_told_where_nobody_asks),
                cmocka_unit_test(test_write),
                cmocka_unit_test(test_write_all_short_strings),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
