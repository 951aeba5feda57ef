/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

static const Place start = { 1, 1 };

static cJSON *parse(const char *text) {
        cJSON *tree;
        Place place;
        Err err = { 0 };

        if (json_parse(text, strlen(text), start, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %u:%u: %s", text, place.line, place.column, err.message);
        return tree;
}

static void test_canonical(void **state) {
        static const struct {
                const char *in, *out;
        } rows[] = {
                { " {\"b\" : 1 , \"a\":[ ] }\n", "{\"a\":[],\"b\":1}" },
                { "[1,-0,0.15,1e3,9223372036854775808,1E+2]", "[1,-0,0.15,1e3,9223372036854775808,1E+2]" },
                { "\"\\u00e9\\ud83d\\ude00\\/\\u001f\\n\\\"\\\\\\b\\f\\r\\t\"",
                  "\"\xc3\xa9\xf0\x9f\x98\x80/\\u001f\\n\\\"\\\\\\b\\f\\r\\t\"" },
                { "{\"a\":{\"y\":null,\"x\":true},\"Z\":false}", "{\"Z\":false,\"a\":{\"x\":true,\"y\":null}}" },
                { "{\"\xc3\xa9\":1,\"z\":2}", "{\"z\":2,\"\xc3\xa9\":1}" },
                { "\"\"", "\"\"" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_json_ cJSON *tree = parse(rows[i].in);
                _cleanup_free_ char *text = json_canonical_text(tree, NULL);

                assert_string_equal(text, rows[i].out);
        }
}

static void test_many_members_are_sorted(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_json_ cJSON *tree = NULL;
        _cleanup_free_ char *out = NULL;

        (void)state;
        buf_char(&text, '{');
        for (int i = 99; i >= 0; i--)
                buf_printf(&text, "\"k%02d\":%d%s", i, i, i ? "," : "}");
        tree = parse(buf_text(&text));
        out = json_canonical_text(tree, NULL);
        assert_true(startswith(out, "{\"k00\":0,\"k01\":1,"));
        assert_non_null(strstr(out, "\"k98\":98,\"k99\":99}"));
}

static void test_refused(void **state) {
        static const struct {
                const char *in, *message;
                Place place;
        } rows[] = {
                { "", "ends where a value", { 1, 1 } },
                { "{\"a\":1,}", "double quotes", { 1, 8 } },
                { "{\n  \"a\" 1}", "colon", { 2, 7 } },
                { "[1 2]", "comma", { 1, 4 } },
                { "[1", "ends before the closing", { 1, 3 } },
                { "01", "begin with 0", { 1, 2 } },
                { "-", "a value is expected", { 1, 2 } },
                { "1.", "decimal point", { 1, 3 } },
                { "1e", "exponent", { 1, 3 } },
                { "1234567890123456789012345678901234567890123456789012345678901234", "too many digits", { 1, 65 } },
                { "tru", "a value is expected", { 1, 1 } },
                { "nan", "a value is expected", { 1, 1 } },
                { "'a'", "a value is expected", { 1, 1 } },
                { "{} x", "nothing may follow", { 1, 4 } },
                { "\"\\x\"", "unknown escape", { 1, 3 } },
                { "\"\\u12g4\"", "four hexadecimal", { 1, 4 } },
                { "\"\\u0000\"", "u0000", { 1, 4 } },
                { "\"\\ud800\"", "surrogate", { 1, 8 } },
                { "\"\\udc00\"", "surrogate", { 1, 4 } },
                { "\"\xc3\xa9\xff\"", "UTF-8", { 1, 3 } },
                { "\"\xed\xa0\x80\"", "UTF-8", { 1, 2 } },
                { "\"\xc0\x80\"", "UTF-8", { 1, 2 } },
                { "\"a\nb\"", "control character", { 1, 3 } },
                { "\"a", "ends inside a string", { 1, 3 } },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                cJSON *tree = NULL;
                Place place = { 0 };
                Err err = { 0 };

                if (json_parse(rows[i].in, strlen(rows[i].in), start, NULL, NULL, &tree, NULL, &place, &err) !=
                    -EBADMSG)
                        fail_msg("%s is taken", rows[i].in);
                assert_null(tree);
                if (!strstr(err.message, rows[i].message))
                        fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].in, err.message, rows[i].message);
                assert_int_equal(place.line, rows[i].place.line);
                assert_int_equal(place.column, rows[i].place.column);
        }
}

static void test_depth(void **state) {
        char text[2 * JSON_DEPTH_MAX + 3];
        _cleanup_json_ cJSON *tree = NULL;
        cJSON *none;
        Place place;

        (void)state;
        memset(text, '[', JSON_DEPTH_MAX);
        memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
        text[2 * JSON_DEPTH_MAX] = 0;
        tree = parse(text);
        memset(text, '[', JSON_DEPTH_MAX + 1);
        memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
        assert_int_equal(json_parse(text, sizeof(text) - 1, start, NULL, NULL, &none, NULL, &place, NULL), -EBADMSG);
}

static void test_places(void **state) {
        _cleanup_json_ cJSON *tree = parse("{\n \"a\": [1,\r\n\t\"\xc3\xa9\", {\"b\":  true}]}"), *copy = NULL;
        const cJSON *list = json_get(tree, "a");
        const struct {
                const cJSON *item;
                Place want;
        } rows[] = {
                { tree, { 1, 1 } },
                { list, { 2, 7 } },
                { cJSON_GetArrayItem(list, 0), { 2, 8 } },
                { cJSON_GetArrayItem(list, 1), { 3, 2 } },
                { cJSON_GetArrayItem(list, 2), { 3, 7 } },
                { json_get(cJSON_GetArrayItem(list, 2), "b"), { 3, 14 } },
                { NULL, { 0, 0 } },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(json_place(rows[i].item).line, rows[i].want.line);
                assert_int_equal(json_place(rows[i].item).column, rows[i].want.column);
        }
        copy = cJSON_Duplicate(tree, true);
        assert_int_equal(json_place(json_get(copy, "a")).column, 7);
        assert_true(json_equal(tree, copy));
}

static void note_duplicate(void *user, const char *key, Place dropped, Place kept) {
        buf_printf(user, "%s %u:%u %u:%u;", key, dropped.line, dropped.column, kept.line, kept.column);
}

static void test_duplicate_keys_last_wins(void **state) {
        static const char text[] = "{\"a\":1,\"b\":{\"x\":1,\"x\":2},\"a\":2,\"c\":0,\"a\":3}";
        _cleanup_buf_ Buf seen = BUF_INIT;
        _cleanup_json_ cJSON *tree = NULL;
        _cleanup_free_ char *out = NULL;
        Place place;

        (void)state;
        assert_int_equal(json_parse(text, strlen(text), start, note_duplicate, &seen, &tree, NULL, &place, NULL), 0);
        out = json_canonical_text(tree, NULL);
        assert_string_equal(out, "{\"a\":3,\"b\":{\"x\":2},\"c\":0}");
        assert_string_equal(buf_text(&seen), "a 1:6 1:42;a 1:30 1:42;x 1:17 1:23;");
}

static void test_concatenated_documents(void **state) {
        static const char text[] = "{\"a\":1}\n{\"b\":2}";
        _cleanup_json_ cJSON *one = NULL, *two = NULL;
        Place place;
        size_t end;

        (void)state;
        assert_int_equal(json_parse(text, strlen(text), start, NULL, NULL, &one, &end, &place, NULL), 0);
        assert_int_equal(end, 7);
        assert_int_equal(json_parse(text + end, strlen(text) - end, place, NULL, NULL, &two, &end, &place, NULL), 0);
        assert_int_equal(json_place(two).line, 2);
        assert_int_equal(json_place(two).column, 1);
}

static void test_integers(void **state) {
        static const struct {
                const char *text;
                bool ok;
                int64_t value;
        } rows[] = {
                { "0", true, 0 },
                { "-5", true, -5 },
                { "9223372036854775807", true, INT64_MAX },
                { "1.0", false, 0 },
                { "1e3", false, 0 },
                { "9223372036854775808", false, 0 },
                { "\"1\"", false, 0 },
                { "-9223372036854775808", true, INT64_MIN },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_json_ cJSON *item = parse(rows[i].text);
                int64_t value = 0;

                assert_int_equal(json_int(item, &value), rows[i].ok);
                assert_true(value == rows[i].value);
        }
}

static void test_lookups(void **state) {
        _cleanup_json_ cJSON *tree = parse("{\"a\":{\"b\":{\"c\":\"x\"}},\"A\":true,\"n\":null}");

        (void)state;
        assert_string_equal(json_string(json_path(tree, "a.b"), "c"), "x");
        assert_ptr_equal(json_path(tree, ""), tree);
        assert_null(json_path(tree, "a.x.c"));
        assert_null(json_get(tree, "N"));
        assert_null(json_get(NULL, "a"));
        assert_null(json_string(tree, "a"));
        assert_true(json_true(tree, "A"));
        assert_false(json_true(tree, "a"));
}

static void test_equal(void **state) {
        static const struct {
                const char *a, *b;
                bool equal;
        } rows[] = {
                { "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", true },
                { "{\"a\":1}", "{\"a\":1,\"b\":2}", false },
                { "{\"a\":1,\"b\":2}", "{\"a\":1}", false },
                { "[1,2]", "[2,1]", false },
                { "[1]", "[1,1]", false },
                { "1", "1.0", false },
                { "\"1\"", "1", false },
                { "null", "null", true },
                { "true", "false", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_json_ cJSON *a = parse(rows[i].a), *b = parse(rows[i].b);

                assert_int_equal(json_equal(a, b), rows[i].equal);
        }
}

static void test_building(void **state) {
        _cleanup_json_ cJSON *tree = parse("{\"a\":1,\"b\":2}");
        _cleanup_free_ char *out = NULL;

        (void)state;
        assert_true(json_put(tree, "a", json_new_int(-7)));
        assert_true(json_put(tree, "c", cJSON_CreateArray()));
        assert_true(json_append(json_get_mutable(tree, "c"), json_new_number("1.50")));
        assert_true(json_add_string(tree, "d", "x"));
        assert_true(json_put(tree, "d", cJSON_DetachItemFromObjectCaseSensitive(tree, "b")));
        assert_false(json_add(tree, "e", NULL));
        assert_false(json_put(tree, "a", NULL));
        json_delete(tree, "none");
        out = json_canonical_text(tree, NULL);
        assert_string_equal(out, "{\"a\":-7,\"c\":[1.50],\"d\":2}");
}

static int parse_and_write(void *user) {
        _cleanup_json_ cJSON *tree = NULL;
        _cleanup_free_ char *out = NULL;
        Place place;
        int r;

        r = json_parse(user, strlen(user), start, NULL, NULL, &tree, NULL, &place, NULL);
        if (r < 0)
                return r;
        if (!json_put(tree, "a", json_new_int(3)) || !json_add_string(tree, "new", "x"))
                return -ENOMEM;
        out = json_canonical_text(tree, NULL);
        return out ? 0 : -ENOMEM;
}

static void test_out_of_memory(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT;

        (void)state;
        buf_char(&text, '{');
        for (int i = 0; i < 40; i++)
                buf_printf(&text, "\"k%d\":[%d,\"x\"],", i, i);
        buf_str(&text, "\"a\":1,\"a\":2}");
        (void)test_oom(parse_and_write, text.data);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_canonical),
                cmocka_unit_test(test_many_members_are_sorted),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_places),
                cmocka_unit_test(test_duplicate_keys_last_wins),
                cmocka_unit_test(test_concatenated_documents),
                cmocka_unit_test(test_integers),
                cmocka_unit_test(test_lookups),
                cmocka_unit_test(test_equal),
                cmocka_unit_test(test_building),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
