/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the validation that are best looked at alone; the rules themselves have their cases as data. */
#include "core/validate.h"

#include "test.h"

#include <stdio.h>

/* ---- the walk ---- */

static void a_path_leads_to_the_value_and_the_place_to_the_nearest_item(void **state) {
        static const char text[] = "{\"a\": {\"list\": [{}, {\"b\": \"x\"}]}}";
        _cleanup_json_ cJSON *tree = NULL;
        Diags diags = { 0 };
        Walk walk = { .diags = &diags };
        Place place;

        (void)state;
        assert_int_equal(json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, NULL), 0);
        At top = at_top(&walk, tree), a = at_field(&top, "a"), list = at_field(&a, "list");

        refuse(&top, "the whole");
        for (each_at(item, &list)) {
                At b = at_field(&item, "b"), deep = at_field(&b, "deeper"), key = at_key(&a, list.item);

                warn(&deep, "here");
                refuse(&key, "a key");
                assert_ptr_equal(at_up(&deep, 2), &item);
                assert_ptr_equal(at_up(&deep, 99), &top);
        }
        assert_int_equal(diags.n, 5);
        assert_string_equal(diags.items[0].path, "");
        assert_string_equal(diags.items[1].path, "a.list[0].b.deeper");
        assert_int_equal(diags.items[1].place.column, 17); /* of the item, which has no b */
        assert_string_equal(diags.items[2].path, "a[list]");
        assert_string_equal(diags.items[3].path, "a.list[1].b.deeper");
        assert_int_equal(diags.items[3].place.column, 27); /* of b, which has no field */
        assert_int_equal(diags.n_errors, 3);
        diags_done(&diags);
}

static void what_is_quoted_is_cut_between_characters(void **state) {
        char text[200];

        (void)state;
        assert_string_equal(QUOTED("short"), "short");
        memset(text, 'x', 80);
        text[80] = 0;
        assert_string_equal(QUOTED(text), text);
        /* 79 and a character of three bytes: it does not fit. */
        strcpy(text + 79, "\xe2\x82\xac and more");
        assert_int_equal(strlen(QUOTED(text)), 79 + 3);
        assert_string_equal(QUOTED(text) + 78, "x...");
}

static void a_set_knows_its_names(void **state) {
        _cleanup_names_ NameSet set = { 0 };
        char names[100][8];
        Diags diags = { 0 };

        (void)state;
        assert_false(name_set_has(&set, "a"));
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                (void)snprintf(names[i], sizeof(names[i]), "n%zu", i);
                assert_true(name_set_add(&set, names[i], &diags));
                assert_false(name_set_add(&set, names[i], &diags));
                assert_false(name_set_has(&set, "a"));
        }
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                assert_true(name_set_has(&set, names[i]));
        assert_int_equal(set.n, ARRAY_SIZE(names));
}

/* ---- forms of text, at their limits ---- */

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X250 X50 X50 X50 X50 X50

static const struct TextRow {
        const char *what;
        TextCheck check;
        const char *good[6], *bad[6];
} text_rows[] = {
        { "port names",
          bad_port_name,
          { "a", "fifteen-letters", "1a" },
          { "", "sixteen-letterss", "1", "a--b", "-a" } },
        { "environment names", bad_env_name, { "A", " ", "~", "a b" }, { "", "=", "a=", "\x1f", "\x7f", "\xc3\xa4" } },
        { "keys",
          bad_config_key,
          { ".a", "a..", "A_b-c.d", X250 "abc" },
          { "", ".", "..", "..a", "a/b", X250 "abcd" } },
        { "header names", bad_header_name, { "X-A", "1" }, { "", "a_b", "a:", "a b" } },
        { "search domains",
          bad_search_domain,
          { ".", "a.", "_a._b", "a-b.c" },
          { "", "..", "a..", "-a", "A", X250 "abcd" } },
        { "sysctls", bad_sysctl_name, { "a", "a.b", "a/b", "a-b_c.d", "a--b" }, { "", ".", "a.", ".a", "a.-b", "A" } },
        { "drivers", bad_driver_name, { "A", "a.B" }, { "", "a_b", X50 "12345678901234", "-a" } },
        { "relative paths",
          bad_relative_path,
          { "", "a", "...", "a/..b/c..", "..a" },
          { "/", "..", "a/..", "../a", "a/../b" } },
        { "paths of items", bad_item_path, { "a", ".a", "a/..b" }, { "/a", "..", "..a", "...", "a/.." } },
        { "absolute paths", bad_absolute_path, { "/", "/.." }, { "", "a", "./" } },
        { "addresses",
          bad_ip,
          { "0.0.0.0", "::", "1::", "::1", "1:2:3:4:5:6:7:8", "::1.2.3.4" },
          { "", "1.2.3", "01.2.3.4", "::ffff:1.2.3.4", ":::", "fe80::1%1" } },
};

static void text_row(void **state) {
        const struct TextRow *row = *state;

        for (size_t i = 0; i < ARRAY_SIZE(row->good) && row->good[i]; i++)
                if (row->check(row->good[i]))
                        fail_msg("\"%s\" %s", row->good[i], row->check(row->good[i]));
        for (size_t i = 0; i < ARRAY_SIZE(row->bad) && row->bad[i]; i++)
                if (!row->check(row->bad[i]))
                        fail_msg("\"%s\" is accepted", row->bad[i]);
}

/* ---- quantities ---- */

static const struct QuantityRow {
        const char *a, *b;
        int order; /* of a against b; UNTOLD: one of them cannot be told exactly */
} quantity_rows[] = {
#define UNTOLD 9
        { "1", "1", 0 },
        { "1", "2", -1 },
        { "0", "-0", 0 },
        { "-1", "1", -1 },
        { "-2", "-1", -1 },
        { "1000m", "1", 0 },
        { "0.1", "100m", 0 },
        { "1k", "1000", 0 },
        { "1Ki", "1k", 1 },
        { "1024Mi", "1Gi", 0 },
        { "1e3", "1k", 0 },
        { "1E3", "1k", 0 },
        { "1E", "1e18", 0 },
        { "1.5Gi", "1536Mi", 0 },
        { "1u", "1000n", 0 },
        { "1n", "0", 1 },
        { "15Ei", "16Ei", UNTOLD },
        { "0.5n", "1n", UNTOLD },
        { "1e-9", "1n", 0 },
        { "+1", "1", 0 },
        { "1e99", "1", UNTOLD },
        { "0e99", "0", 0 },
        { "x", "1", UNTOLD },
        { "", "1", UNTOLD },
        { "1KI", "1", UNTOLD },
        { "1mi", "1", UNTOLD },
        { "18446744073709551615", "1", UNTOLD },
        { "1.0000000001", "1", UNTOLD },
        { "1.0000000000", "1", 0 },
        { "1e", "1", UNTOLD },
        { "1i", "1", UNTOLD },
};

static void quantities_are_compared(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(quantity_rows); i++) {
                const struct QuantityRow *row = &quantity_rows[i];
                _cleanup_json_ cJSON *x = cJSON_CreateString(row->a), *y = cJSON_CreateString(row->b);
                Quantity a, b;
                int order = UNTOLD;

                if (quantity_read(x, &a) && quantity_read(y, &b))
                        order = quantity_compare(&a, &b);
                if (order != row->order)
                        fail_msg("%s against %s: %d instead of %d", row->a, row->b, order, row->order);
                if (order != UNTOLD)
                        assert_int_equal(quantity_compare(&b, &a), -row->order);
        }
}

/* ---- main ---- */

int main(void) {
        static struct CMUnitTest tests[ARRAY_SIZE(text_rows) + 4] = {
                cmocka_unit_test(a_path_leads_to_the_value_and_the_place_to_the_nearest_item),
                cmocka_unit_test(what_is_quoted_is_cut_between_characters),
                cmocka_unit_test(a_set_knows_its_names),
                cmocka_unit_test(quantities_are_compared),
        };

        for (size_t i = 0; i < ARRAY_SIZE(text_rows); i++)
                tests[4 + i] = (struct CMUnitTest){ .name = text_rows[i].what,
                                                    .test_func = text_row,
                                                    .initial_state = (void *)&text_rows[i] };
        return cmocka_run_group_tests_name("validate", tests, NULL, NULL);
}
