/* SPDX-License-Identifier: Apache-2.0 */
/* core/schema, core/diag and core/base64: the rows of tests/cases/schema, the generated table, real files. */
#include "core/base64.h"
#include "core/schema.h"
#include "core/schema_table.h"
#include "core/yaml.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

static cJSON *parse(const char *text) {
        YamlStream s = { 0 };
        Err err = { 0 };
        cJSON *root;

        if (yaml_read(text, strlen(text), NULL, NULL, &s, NULL, &err) < 0 || s.n != 1)
                fail_msg("%s: %s", text, err.message);
        root = TAKE_PTR(s.documents[0].root);
        yaml_stream_done(&s);
        return root;
}

/* ---- rows: type, text, tree afterwards, findings ---- */

static cJSON *string_column(const char *text, size_t *ret_end) {
        cJSON *item = NULL;
        Place place;
        Err err = { 0 };

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &item, ret_end, &place, &err) < 0 ||
            !cJSON_IsString(item))
                fail_msg("malformed row: %s", text);
        return item;
}

static void run_object_row(const char *row) {
        char type[40];
        size_t n = strcspn(row, "\t"), end = 0;
        _cleanup_json_ cJSON *input = NULL, *tree = NULL;
        _cleanup_buf_ Buf got = BUF_INIT;
        Diags diags = { 0 };

        assert_true(n < sizeof(type) && row[n] == '\t');
        memcpy(type, row, n);
        type[n] = 0;
        input = string_column(row + n + 1, &end);
        tree = parse(input->valuestring);
        schema_check(tree, schema_type(type), "", &diags);
        json_canonical(tree, &got);
        for (size_t i = 0; i < diags.n; i++) {
                const Diag *d = &diags.items[i];

                buf_printf(&got, "\t%c %u:%u ", d->level == DIAG_ERROR ? 'E' : 'W', d->place.line, d->place.column);
                diag_text(d, &got);
        }
        diags_done(&diags);
        if (row[n + 1 + end] != '\t' || !streq(row + n + 1 + end + 1, buf_text(&got)))
                fail_msg("%s\nexpected %s\ngot      %s", input->valuestring, row + n + 1 + end + 1, buf_text(&got));
}

static void run_quantity_row(const char *row) {
        size_t end = 0;
        _cleanup_json_ cJSON *input = string_column(row, &end);

        if (schema_is_quantity(input->valuestring) != streq(row + end, "\tyes"))
                fail_msg("%s", row);
}

static void run_rows(const char *path, void (*run)(const char *row)) {
        _cleanup_free_ char *text = test_read(path, NULL);
        size_t n = 0;

        for (char *line = text, *next; line && *line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = 0;
                if (*line == 0 || *line == '#')
                        continue;
                run(line);
                n++;
        }
        assert_true(n > 10);
}

static void test_objects(void **state) {
        (void)state;
        run_rows("cases/schema/objects.cases", run_object_row);
}

static void test_quantities(void **state) {
        (void)state;
        run_rows("cases/schema/quantities.cases", run_quantity_row);
}

static void test_path_prefix(void **state) {
        _cleanup_json_ cJSON *tree = parse("hostNetwork: 1\nfoo: 2\ncontainers: [{}, {tty: 3}]\n");
        Diags diags = { 0 };

        (void)state;
        schema_check(tree, schema_type("PodSpec"), "spec.template.spec", &diags);
        assert_int_equal(diags.n, 3);
        assert_string_equal(diags.items[0].path, "spec.template.spec.hostNetwork");
        assert_string_equal(diags.items[1].path, "spec.template.spec.foo");
        assert_string_equal(diags.items[2].path, "spec.template.spec.containers[1].tty");
        diags_done(&diags);
}

/* ---- the table ---- */

static void test_table_is_sorted_and_complete(void **state) {
        static const char *const known[] = { "DaemonSet", "Pod", "ConfigMap", "Secret", "Node", "PodSpec" };
        size_t next = 0;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                assert_non_null(schema_type(known[i]));
        assert_null(schema_type("Deployment"));
        assert_null(schema_type("daemonset"));
        assert_null(schema_type(""));
        for (size_t i = 0; i < schema_types_count; i++) {
                const SchemaType *t = &schema_types[i];

                assert_true(i == 0 || strcmp(schema_types[i - 1].name, t->name) < 0);
                assert_int_equal(t->first, next);
                next += t->n;
                for (size_t k = t->first; k < next; k++) {
                        assert_true(k == t->first || strcmp(schema_fields[k - 1].name, schema_fields[k].name) < 0);
                        assert_true(schema_fields[k].type < schema_types_count);
                }
        }
        assert_int_equal(next, 718);
}

/* ---- real files ---- */

static void test_every_field_of_the_api_is_known(void **state) {
        static const char *const files[] = { "apps.v1.DaemonSet.yaml", "apps.v1.DaemonSet.json.yaml" };

        (void)state;
        if (!test_shared("corpus/kubernetes-api-allfields/apps.v1.DaemonSet.yaml"))
                skip();
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                char path[200];
                _cleanup_free_ char *text = NULL;
                _cleanup_json_ cJSON *tree = NULL;
                Diags diags = { 0 };

                (void)snprintf(path, sizeof(path), "corpus/kubernetes-api-allfields/%s", files[i]);
                text = test_read_file(test_shared(path), NULL);
                tree = parse(text);
                schema_check(tree, schema_type("DaemonSet"), "", &diags);
                for (size_t k = 0; k < diags.n; k++)
                        fail_msg("%s: %s: %s", files[i], diags.items[k].path, diags.items[k].message);
                diags_done(&diags);
        }
}

/* ---- diagnoses ---- */

static void test_diags_are_one_line_and_limited(void **state) {
        static const Place place = { 3, 4 };
        _cleanup_buf_ Buf text = BUF_INIT;
        char longer[3000];
        Diags d = { 0 };

        (void)state;
        assert_null(diag_first_error(&d));
        memset(longer, 'x', sizeof(longer));
        longer[sizeof(longer) - 1] = 0;
        memcpy(longer + 1023, "\xc3\xa9", 2);
        diag_add(&d, DIAG_WARNING, place, "a\nb", "two\nlines\x1b[0m %d", 7);
        diag_add(&d, DIAG_WARNING, place, NULL, "%s", longer);
        diag_text(&d.items[0], &text);
        assert_string_equal(buf_text(&text), "a b: two lines [0m 7");
        assert_int_equal(strlen(d.items[1].message), 1023);
        buf_reset(&text);
        diag_text(&d.items[1], &text);
        assert_true(startswith(buf_text(&text), "xxx"));
        for (unsigned i = 0; i < DIAGS_MAX + 10; i++)
                diag_add(&d, DIAG_WARNING, place, "", "warning %u", i);
        assert_int_equal(d.n, DIAGS_MAX);
        assert_int_equal(d.n_warnings, DIAGS_MAX + 12);
        assert_null(diag_first_error(&d));
        /* An error is never hidden by warnings. */
        diag_add(&d, DIAG_ERROR, place, "e", "first");
        diag_add(&d, DIAG_ERROR, (Place){ 9, 1 }, "f", "second");
        assert_int_equal(d.n, DIAGS_MAX);
        assert_int_equal(d.n_errors, 2);
        assert_string_equal(diag_first_error(&d)->message, "first");
        assert_int_equal(diag_first_error(&d)->place.column, 4);
        assert_string_equal(d.items[DIAGS_MAX - 1].message, "second");
        for (unsigned i = 0; i < DIAGS_MAX; i++)
                diag_add(&d, DIAG_ERROR, place, "", "error %u", i);
        assert_int_equal(d.n, DIAGS_MAX);
        assert_string_equal(d.items[0].message, "first");
        assert_string_equal(d.items[DIAGS_MAX - 1].message, "error 61");
        assert_false(d.failed);
        diags_done(&d);
        assert_int_equal(d.n, 0);
        diags_done(&d);
}

/* ---- base64 ---- */

static void test_base64(void **state) {
        static const struct {
                const char *text, *data; /* data NULL: malformed */
        } rows[] = {
                { "", "" },
                { "YQ==", "a" },
                { "YWI=", "ab" },
                { "YWJj", "abc" },
                { "YWJjZA==", "abcd" },
                { "+/+/", "\xfb\xff\xbf" },
                { "Y\nQ\r\n=\n=\n", "a" },
                { "YR==", "a" },
                { "YQ", NULL },
                { "YQ=", NULL },
                { "Y", NULL },
                { "Y===", NULL },
                { "====", NULL },
                { "YQ==YQ==", NULL },
                { "YQ== ", NULL },
                { "Y Q==", NULL },
                { "-_-_", NULL },
                { "YQ===", NULL },
                { "YWI==", NULL },
                { "YWJj=", NULL },
                { "=", NULL },
                { "\n", "" },
                { "YQ=a", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *data = NULL;
                size_t n = 0, len = strlen(rows[i].text);
                int r = base64_decode(rows[i].text, len, &data, &n);

                assert_int_equal(base64_valid(rows[i].text, len), rows[i].data != NULL);
                if (r != (rows[i].data ? 0 : -EBADMSG) || (r == 0 && (n != strlen(data) || !streq(data, rows[i].data))))
                        fail_msg("%s: %d", rows[i].text, r);
        }
}

/* ---- running out of memory ---- */

static int oom_check(void *user) {
        _cleanup_json_ cJSON *tree = cJSON_Duplicate(user, true);
        Diags diags = { 0 };
        int r = -ENOMEM;

        if (tree) {
                schema_check(tree, schema_type("DaemonSet"), "prefix", &diags);
                if (!diags.failed) {
                        assert_int_equal(diags.n_errors, 2);
                        assert_int_equal(diags.n_warnings, 3);
                        r = 0;
                }
        }
        diags_done(&diags);
        return r;
}

static int oom_base64(void *user) {
        _cleanup_free_ char *data = NULL;
        size_t n;

        return base64_decode(user, 4, &data, &n);
}

static void test_out_of_memory(void **state) {
        static char text[] = "YQ==";
        _cleanup_json_ cJSON *tree = parse(
                "{spec: {template: {spec: {nodeSelector: {a: , b: 1}, hostnetwork: x, containers: "
                "[{args: [null]}, null]}}, minReadySeconds: x}}");

        (void)state;
        (void)test_oom(oom_check, tree);
        (void)test_oom(oom_base64, text);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_objects),
                cmocka_unit_test(test_quantities),
                cmocka_unit_test(test_path_prefix),
                cmocka_unit_test(test_table_is_sorted_and_complete),
                cmocka_unit_test(test_every_field_of_the_api_is_known),
                cmocka_unit_test(test_diags_are_one_line_and_limited),
                cmocka_unit_test(test_base64),
                cmocka_unit_test(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
