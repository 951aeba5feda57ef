/* SPDX-License-Identifier: Apache-2.0 */
#include "core/selector.h"

#include "test.h"

#include <errno.h>

/* ---- names and numbers ---- */

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10
#define X63 X60 "xxx"
#define X240 X60 X60 X60 X60
#define X253 X240 X10 "xxx"

static const struct NameRow {
        const char *text;
        bool qualified, value, label, subdomain;
} name_rows[] = {
        { "", false, true, false, false },
        { "a", true, true, true, true },
        { "9", true, true, true, true },
        { "A", true, true, false, false },
        { "a-b", true, true, true, true },
        { "a_b", true, true, false, false },
        { "a.b", true, true, false, true },
        { "a..b", true, true, false, false },
        { ".a", false, false, false, false },
        { "a.", false, false, false, false },
        { "-a", false, false, false, false },
        { "a-", false, false, false, false },
        { "_a", false, false, false, false },
        { "a_", false, false, false, false },
        { "a-.b", true, true, false, false },
        { "a.-b", true, true, false, false },
        { "a b", false, false, false, false },
        { "a\n", false, false, false, false },
        { "\303\244", false, false, false, false },
        { "a:b", false, false, false, false },
        { "example.com/a", true, false, false, false },
        { "example.com/A_b.c", true, false, false, false },
        { "Example.com/a", false, false, false, false },
        { "example_com/a", false, false, false, false },
        { "example.com/", false, false, false, false },
        { "/a", false, false, false, false },
        { "a/b/c", false, false, false, false },
        { "a//b", false, false, false, false },
        { ".com/a", false, false, false, false },
        { X63, true, true, true, true },
        { X63 "x", false, false, false, true },
        { X63 "/a", true, false, false, false },
        { X63 "x/a", true, false, false, false },
        { X253, false, false, false, true },
        { X253 "x", false, false, false, false },
        { X253 "/a", true, false, false, false },
        { X253 "x/a", false, false, false, false },
        { "a/" X63, true, false, false, false },
        { "a/" X63 "x", false, false, false, false },
};

static void names_are_told_apart_as_upstream_does(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(name_rows); i++) {
                const struct NameRow *row = &name_rows[i];

                if (is_qualified_name(row->text) != row->qualified)
                        fail_msg("qualified name: %s", row->text);
                if (is_label_value(row->text) != row->value)
                        fail_msg("label value: %s", row->text);
                if (is_dns1123_label(row->text) != row->label)
                        fail_msg("DNS label: %s", row->text);
                if (is_dns1123_subdomain(row->text) != row->subdomain)
                        fail_msg("DNS subdomain: %s", row->text);
        }
}

static const struct NumberRow {
        const char *text;
        bool ok;
        int64_t value;
} number_rows[] = {
        { "0", true, 0 },
        { "-0", true, 0 },
        { "007", true, 7 },
        { "+5", true, 5 },
        { "-5", true, -5 },
        { "9223372036854775807", true, INT64_MAX },
        { "9223372036854775808", false, 0 },
        { "-9223372036854775808", true, INT64_MIN },
        { "-9223372036854775809", false, 0 },
        { "92233720368547758070", false, 0 },
        { "18446744073709551616", false, 0 },
        { "", false, 0 },
        { "-", false, 0 },
        { "+", false, 0 },
        { "+-1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "1_000", false, 0 },
        { "0x1", false, 0 },
        { "1.0", false, 0 },
        { "1e3", false, 0 },
};

static void integers_are_read_as_go_reads_them(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(number_rows); i++) {
                const struct NumberRow *row = &number_rows[i];
                int64_t value = 0;

                if (selector_parse_int(row->text, &value) != row->ok)
                        fail_msg("%s", row->text);
                assert_int_equal(value, row->value);
        }
}

/* ---- requirements ---- */

static cJSON *parse(const char *text) {
        Place place;
        Err err = { 0 };
        cJSON *tree;

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

static const struct ParseRow {
        bool field;
        const char *json;
        const char *text;  /* the requirement in words; NULL: not looked at */
        const char *error; /* NULL: none */
} parse_rows[] = {
        { false, "{'key':'disk','operator':'In','values':['ssd','nvme']}", "disk In (ssd,nvme)", NULL },
        { false, "{'key':'disk','operator':'In','values':['']}", "disk In ()", NULL },
        { false, "{'key':'disk','operator':'NotIn','values':['hdd']}", "disk NotIn (hdd)", NULL },
        { false, "{'key':'disk','operator':'Exists'}", "disk Exists", NULL },
        { false, "{'key':'disk','operator':'Exists','values':[]}", "disk Exists", NULL },
        { false, "{'key':'disk','operator':'DoesNotExist'}", "disk DoesNotExist", NULL },
        { false, "{'key':'example.com/cpus','operator':'Gt','values':['8']}", "example.com/cpus Gt (8)", NULL },
        { false, "{'key':'cpus','operator':'Lt','values':['007']}", "cpus Lt (007)", NULL },
        { false, "{'key':'disk','operator':'In','values':[]}", NULL, "disk: operator In wants at least one value" },
        { false, "{'key':'disk','operator':'NotIn'}", NULL, "disk: operator NotIn wants at least one value" },
        { false, "{'key':'disk','operator':'Exists','values':['a']}", NULL, "disk: operator Exists wants no values" },
        { false, "{'key':'disk','operator':'DoesNotExist','values':['a']}", NULL,
          "disk: operator DoesNotExist wants no values" },
        { false, "{'key':'cpus','operator':'Gt'}", NULL, "cpus: operator Gt wants exactly one value" },
        { false, "{'key':'cpus','operator':'Lt','values':['1','2']}", NULL,
          "cpus: operator Lt wants exactly one value" },
        { false, "{'key':'cpus','operator':'Gt','values':['many']}", NULL,
          "cpus: operator Gt wants an integer, not \"many\"" },
        { false, "{'key':'cpus','operator':'Gt','values':['9223372036854775808']}", NULL,
          "cpus: operator Gt wants an integer, not \"9223372036854775808\"" },
        /* A negative bound is an integer, but no label value. */
        { false, "{'key':'cpus','operator':'Gt','values':['-1']}", NULL, "cpus: \"-1\" is not a valid label value" },
        { false, "{'key':'disk','operator':'In','values':['ok','no good']}", NULL,
          "disk: \"no good\" is not a valid label value" },
        { false, "{'key':'a b','operator':'Exists'}", NULL, "\"a b\" is not a valid label key" },
        { false, "{'key':'','operator':'Exists'}", NULL, "\"\" is not a valid label key" },
        { false, "{'operator':'Exists'}", NULL, "\"\" is not a valid label key" },
        { false, "{'key':'disk','operator':'in','values':['a']}", NULL,
          "disk: operator \"in\" is not one of In, NotIn, Exists, DoesNotExist, Gt, Lt" },
        { false, "{'key':'disk'}", NULL, "disk: operator \"\" is not one of In, NotIn, Exists, DoesNotExist, Gt, Lt" },
        { true, "{'key':'metadata.name','operator':'In','values':['n 1']}", "metadata.name In (n 1)", NULL },
        { true, "{'key':'metadata.name','operator':'NotIn','values':['n1']}", "metadata.name NotIn (n1)", NULL },
        { true, "{'key':'any thing','operator':'In','values':['n1']}", "any thing In (n1)", NULL },
        { true, "{'key':'metadata.name','operator':'In','values':['a','b']}", NULL,
          "field metadata.name: operator In wants exactly one value" },
        { true, "{'key':'metadata.name','operator':'NotIn','values':[]}", NULL,
          "field metadata.name: operator NotIn wants exactly one value" },
        { true, "{'key':'metadata.name','operator':'Exists'}", NULL,
          "field metadata.name: operator Exists is not one of In, NotIn" },
        { true, "{'key':'metadata.name','operator':'Gt','values':['1']}", NULL,
          "field metadata.name: operator Gt is not one of In, NotIn" },
        { true, "{'key':'metadata.name','operator':'Is','values':['1']}", NULL,
          "metadata.name: operator \"Is\" is not one of In, NotIn" },
};

/* Rows are written with single quotes to be readable. */
static cJSON *parse_quoted(const char *text) {
        _cleanup_free_ char *copy = strdup(text);

        assert_non_null(copy);
        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        return parse(copy);
}

static void requirements_are_checked_as_upstream_does(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(parse_rows); i++) {
                const struct ParseRow *row = &parse_rows[i];
                _cleanup_json_ cJSON *json = parse_quoted(row->json);
                _cleanup_free_ char *error = NULL;
                _cleanup_buf_ Buf text = BUF_INIT;
                Requirement r;

                assert_int_equal(requirement_parse(json, row->field, &r, &error), 0);
                if (!streq(error, row->error))
                        fail_msg("%s: %s instead of %s", row->json, str_or_empty(error), str_or_empty(row->error));
                requirement_text(&r, &text);
                if (row->text)
                        assert_string_equal(buf_text(&text), row->text);
                requirement_done(&r);
        }
}

static const struct MatchRow {
        const char *expression, *field; /* one of them */
        bool matches;
} match_rows[] = {
        { "{'key':'disk','operator':'In','values':['hdd','ssd']}", NULL, true },
        { "{'key':'disk','operator':'In','values':['hdd']}", NULL, false },
        { "{'key':'none','operator':'In','values':['']}", NULL, false },
        { "{'key':'empty','operator':'In','values':['']}", NULL, true },
        { "{'key':'disk','operator':'NotIn','values':['hdd']}", NULL, true },
        { "{'key':'disk','operator':'NotIn','values':['hdd','ssd']}", NULL, false },
        { "{'key':'none','operator':'NotIn','values':['hdd']}", NULL, true },
        { "{'key':'disk','operator':'Exists'}", NULL, true },
        { "{'key':'empty','operator':'Exists'}", NULL, true },
        { "{'key':'none','operator':'Exists'}", NULL, false },
        { "{'key':'disk','operator':'DoesNotExist'}", NULL, false },
        { "{'key':'none','operator':'DoesNotExist'}", NULL, true },
        { "{'key':'cpus','operator':'Gt','values':['7']}", NULL, true },
        { "{'key':'cpus','operator':'Gt','values':['8']}", NULL, false },
        { "{'key':'cpus','operator':'Gt','values':['9']}", NULL, false },
        { "{'key':'cpus','operator':'Lt','values':['7']}", NULL, false },
        { "{'key':'cpus','operator':'Lt','values':['8']}", NULL, false },
        { "{'key':'cpus','operator':'Lt','values':['9']}", NULL, true },
        { "{'key':'none','operator':'Gt','values':['0']}", NULL, false },
        { "{'key':'none','operator':'Lt','values':['9']}", NULL, false },
        { "{'key':'disk','operator':'Gt','values':['0']}", NULL, false },
        { "{'key':'disk','operator':'Lt','values':['9']}", NULL, false },
        { "{'key':'huge','operator':'Gt','values':['0']}", NULL, false },
        { "{'key':'Disk','operator':'Exists'}", NULL, false },
        { NULL, "{'key':'metadata.name','operator':'In','values':['n1']}", true },
        { NULL, "{'key':'metadata.name','operator':'In','values':['n2']}", false },
        { NULL, "{'key':'metadata.name','operator':'NotIn','values':['n1']}", false },
        { NULL, "{'key':'metadata.name','operator':'NotIn','values':['n2']}", true },
        { NULL, "{'key':'metadata.uid','operator':'In','values':['']}", true },
        { NULL, "{'key':'metadata.uid','operator':'In','values':['n1']}", false },
        { NULL, "{'key':'metadata.uid','operator':'NotIn','values':['n1']}", true },
        { NULL, "{'key':'disk','operator':'In','values':['ssd']}", false },
};

static void requirements_match_as_upstream_does(void **state) {
        Label labels[] = {
                { (char *)"cpus", (char *)"8" },
                { (char *)"disk", (char *)"ssd" },
                { (char *)"empty", (char *)"" },
                { (char *)"huge", (char *)"9223372036854775808" },
        };
        const NodeView node = { .name = (char *)"n1", .labels = labels, .n_labels = ARRAY_SIZE(labels) };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(match_rows); i++) {
                const struct MatchRow *row = &match_rows[i];
                _cleanup_json_ cJSON *json = parse_quoted(row->field ? row->field : row->expression);
                _cleanup_free_ char *error = NULL;
                Requirement r;
                NodeTerm term = { 0 };
                bool matches;

                assert_int_equal(requirement_parse(json, row->field, &r, &error), 0);
                assert_null(error);
                matches = row->field ? field_requirement_matches(&r, &node) : requirement_matches(&r, &node, NULL);
                if (matches != row->matches)
                        fail_msg("%s", row->field ? row->field : row->expression);
                if (row->field)
                        term = (NodeTerm){ .fields = &r, .n_fields = 1 };
                else
                        term = (NodeTerm){ .expressions = &r, .n_expressions = 1 };
                assert_int_equal(node_term_matches(&term, &node, NULL), row->matches);
                term.error = (char *)"broken";
                assert_false(node_term_matches(&term, &node, NULL));
                requirement_done(&r);
        }
        assert_false(node_term_matches(&(NodeTerm){ 0 }, &node, NULL));
}

static void an_overlay_hides_the_nodes_own_label(void **state) {
        Label labels[] = { { (char *)"disk", (char *)"ssd" } };
        const NodeView node = { .name = (char *)"n1", .labels = labels, .n_labels = 1 };
        const Label other = { (char *)"disk", (char *)"" }, more = { (char *)"more", (char *)"x" };
        Requirement exists = { .key = (char *)"more", .op = OP_EXISTS };
        char *ssd[] = { (char *)"ssd" };
        Requirement in = { .key = (char *)"disk", .op = OP_IN, .values = ssd, .n_values = 1 };

        (void)state;
        assert_true(requirement_matches(&in, &node, NULL));
        assert_false(requirement_matches(&in, &node, &other));
        assert_true(requirement_matches(&in, &node, &more));
        assert_false(requirement_matches(&exists, &node, &other));
        assert_true(requirement_matches(&exists, &node, &more));
}

static int parse_body(void *user) {
        _cleanup_free_ char *error = NULL;
        Requirement r;
        int k = requirement_parse(user, false, &r, &error);

        if (k < 0)
                return k;
        requirement_done(&r);
        return 0;
}

static void out_of_memory_leaves_nothing(void **state) {
        _cleanup_json_ cJSON *good = parse_quoted("{'key':'disk','operator':'In','values':['ssd','nvme']}");
        _cleanup_json_ cJSON *bad = parse_quoted("{'key':'disk','operator':'Of','values':['ssd','nvme']}");

        (void)state;
        (void)test_oom(parse_body, good);
        (void)test_oom(parse_body, bad);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_are_told_apart_as_upstream_does),
                cmocka_unit_test(integers_are_read_as_go_reads_them),
                cmocka_unit_test(requirements_are_checked_as_upstream_does),
                cmocka_unit_test(requirements_match_as_upstream_does),
                cmocka_unit_test(an_overlay_hides_the_nodes_own_label),
                cmocka_unit_test(out_of_memory_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
