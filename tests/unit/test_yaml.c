/* SPDX-License-Identifier: Apache-2.0 */
/* core/yaml: the rows and files of tests/cases/yaml, and real files. */
#include "yaml_reading.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

/* ---- rows: tests/cases/yaml/<topic>.cases ---- */

/* Cuts the row behind its JSON string; returns what follows the tab ("" if nothing). */
static char *row_input(char *row, size_t number, cJSON **ret) {
        size_t end = 0;
        Place place;
        Err err = { 0 };

        if (json_parse(row, strlen(row), (Place){ 1, 1 }, NULL, NULL, ret, &end, &place, &err) < 0 ||
            !cJSON_IsString(*ret) || (row[end] != '\t' && row[end] != 0))
                fail_msg("row %zu is malformed: %s", number, row);
        return row + end + (row[end] == '\t');
}

static void run_row(char *row, const char *file, size_t number) {
        _cleanup_json_ cJSON *input = NULL;
        const char *want = row_input(row, number, &input);
        _cleanup_reading_ Reading got = read_text(input->valuestring, strlen(input->valuestring));
        _cleanup_free_ char *text = result_text(&got, '\t');

        if (!streq(text, want))
                fail_msg("%s:%zu\n%s\nexpected %s\ngot      %s", file, number, input->valuestring, want, text);
        /* What is not YAML but JSON may have numbers that YAML writes in another way. */
        for (size_t i = 0; i < got.stream.n && input->valuestring[strspn(input->valuestring, " \n\t")] != '{'; i++)
                assert_round_trip(got.stream.documents[i].root, input->valuestring);
}

static void run_rows(const char *path) {
        _cleanup_free_ char *text = test_read(path, NULL);
        char *line = text, *save = NULL;
        size_t number = 1, n = 0;

        for (line = text; line && *line; line = save, number++) {
                save = strchr(line, '\n');
                if (save)
                        *save++ = 0;
                if (*line == 0 || *line == '#')
                        continue;
                run_row(line, path, number);
                n++;
        }
        assert_true(n > 10);
}

static void test_scalars(void **state) {
        (void)state;
        run_rows("cases/yaml/scalars.cases");
}

static void test_keys(void **state) {
        (void)state;
        run_rows("cases/yaml/keys.cases");
}

static void test_tags(void **state) {
        (void)state;
        run_rows("cases/yaml/tags.cases");
}

static void test_structures(void **state) {
        (void)state;
        run_rows("cases/yaml/structures.cases");
}

static void test_errors(void **state) {
        (void)state;
        run_rows("cases/yaml/errors.cases");
}

static void test_differences_from_kubernetes(void **state) {
        (void)state;
        run_rows("cases/yaml/differences.cases");
}

static void test_mistakes_are_named(void **state) {
        (void)state;
        run_rows("cases/yaml/mistakes.cases");
}

/* ---- files: <name>.yaml with <name>.json (a document a line) or <name>.error ("line:column part of the message") ----
 */

static void run_file(const char *name) {
        char path[300];
        size_t len = 0, stem = strlen(name) - strlen(".yaml");
        _cleanup_free_ char *input = NULL, *want = NULL, *text = NULL;
        _cleanup_reading_ Reading got = { 0 };
        unsigned line = 0, column = 0;
        int n = 0;

        (void)snprintf(path, sizeof(path), "cases/yaml/%s", name);
        input = test_read(path, &len);
        got = read_text(input, len);
        text = result_text(&got, '\n');
        (void)snprintf(path, sizeof(path), "cases/yaml/%.*s.%s", (int)stem, name, got.r < 0 ? "error" : "json");
        want = test_read(path, NULL);
        want[strcspn(want, "\n") + (got.r == 0 ? strlen(want + strcspn(want, "\n")) - 1 : 0)] = 0;
        if (got.r == 0) {
                assert_string_equal(text, want);
                return;
        }
        assert_int_equal(sscanf(want, "%u:%u %n", &line, &column, &n), 2);
        if (got.place.line != line || got.place.column != column || !strstr(got.err.message, want + n))
                fail_msg("%s: expected %s, got %s", name, want, text);
}

static void test_files(void **state) {
        size_t n = 0, found = 0;
        char **names = test_names("cases/yaml", &n);

        (void)state;
        for (size_t i = 0; i < n; i++)
                if (strlen(names[i]) > 5 && streq(names[i] + strlen(names[i]) - 5, ".yaml")) {
                        run_file(names[i]);
                        found++;
                }
        assert_true(found >= 5);
        test_names_free(names, n);
}

/* ---- real files ---- */

static void read_corpus(const char *path, size_t *n, size_t *refused) {
        DIR *d = opendir(path);

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));) {
                char inner[4096];
                size_t len = strlen(e->d_name);

                (void)snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
                if (e->d_name[0] != '.' && e->d_type == DT_DIR) {
                        read_corpus(inner, n, refused);
                } else if (len > 5 && streq(e->d_name + len - 5, ".yaml")) {
                        size_t size = 0;
                        _cleanup_free_ char *text = test_read_file(inner, &size);
                        _cleanup_reading_ Reading got = read_text(text, size);

                        ++*n;
                        *refused += got.r < 0;
                        if (got.r < 0 && !strstr(inner, "legacy-flexplugin-appsv1beta2") && !strstr(inner, "-wrong") &&
                            !strstr(inner, "-tabs-invalid"))
                                fail_msg("%s:%u:%u: %s", inner, got.place.line, got.place.column, got.err.message);
                        for (size_t i = 0; i < got.stream.n; i++)
                                assert_round_trip(got.stream.documents[i].root, inner);
                }
        }
        assert_int_equal(closedir(d), 0);
}

static void test_corpus(void **state) {
        const char *path = test_shared("corpus");
        size_t n = 0, refused = 0;
        char copy[4096];

        (void)state;
        if (!path)
                skip();
        (void)snprintf(copy, sizeof(copy), "%s", path);
        read_corpus(copy, &n, &refused);
        assert_true(n > 200);
        assert_int_equal(refused, 3);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scalars),
                cmocka_unit_test(test_keys),
                cmocka_unit_test(test_tags),
                cmocka_unit_test(test_structures),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_differences_from_kubernetes),
                cmocka_unit_test(test_mistakes_are_named),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_corpus),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
