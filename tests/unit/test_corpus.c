/* SPDX-License-Identifier: Apache-2.0 */
/* Real manifests against what Kubernetes' own validation says of them. The corpus is not part of the source tree: the
 * test is skipped where it is absent. */
#include "core/objects.h"

#include "test.h"

#include <stdio.h>

/* Cuts the next field off a line of tab-separated ones; NULL behind the last. */
static char *next_field(char **line) {
        char *field = *line, *tab = field ? strchr(field, '\t') : NULL;

        if (tab)
                *tab = 0;
        *line = tab ? tab + 1 : NULL;
        return field;
}

static const char *verdict(const Objects *o, const char *name) {
        const char *slash = strchr(name, '/');

        if (!slash)
                return o->files[0].unreadable ? "unreadable" : "readable";
        for (size_t i = 0; i < o->n_objects; i++) {
                const Object *object = &o->objects[i];

                if (object->kind == OBJECT_DAEMONSET && streq(object->name, slash + 1) &&
                    strlen(object->namespace) == (size_t)(slash - name) && startswith(name, object->namespace))
                        return object->reason == REASON_None      ? "ok"
                               : object->reason == REASON_Invalid ? "invalid"
                                                                  : reason_name(object->reason);
        }
        return "not there";
}

/* True if the row holds; else says why not. */
static bool check_row(const char *file, const char *name, const char *want) {
        char path[1024];
        const char *shared, *got;
        _cleanup_free_ char *text = NULL;
        _cleanup_objects_ Objects o = { 0 };
        size_t len;

        (void)snprintf(path, sizeof(path), "corpus/%s", file);
        shared = test_shared(path);
        if (!shared) {
                print_error("%s: not there\n", file);
                return false;
        }
        text = test_read_file(shared, &len);
        assert_int_equal(objects_read(&o, file, text, len, false), 0);
        assert_int_equal(objects_finish(&o), 0);
        got = verdict(&o, name);
        if (streq(got, want))
                return true;
        print_error("%s\t%s: %s instead of %s\n", file, name, got, want);
        for (size_t i = 0; i < o.n_objects; i++) {
                const Diag *d = diag_first_error(&o.objects[i].diags);

                if (d)
                        print_error("  %u:%u %s: %s\n", d->place.line, d->place.column, d->path, d->message);
        }
        if (o.files[0].error)
                print_error("  %u:%u %s\n", o.files[0].place.line, o.files[0].place.column, o.files[0].error);
        return false;
}

static void verdicts_equal_those_of_kubernetes(void **state) {
        const char *path = test_shared("corpus/EXPECTED.tsv");
        _cleanup_free_ char *text = NULL;
        size_t rows = 0, wrong = 0;

        (void)state;
        if (!path)
                skip();
        text = test_read_file(path, NULL);
        for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                const char *file = next_field(&line), *name = next_field(&line), *want = next_field(&line);

                if (!want || streq(file, "file"))
                        continue;
                rows++;
                wrong += !check_row(file, name, want);
        }
        assert_true(rows > 200);
        assert_int_equal(wrong, 0);
}

/* The cases for the decision are objects that the API server took. */
static void conformance_cases_are_valid(void **state) {
        size_t objects = 0;

        (void)state;
        if (!test_shared("conformance/decide/000/daemonsets.json"))
                skip();
        for (unsigned i = 0; i < 1000; i++) {
                char path[64];
                _cleanup_free_ char *text = NULL;
                _cleanup_objects_ Objects o = { 0 };
                size_t len;

                (void)snprintf(path, sizeof(path), "conformance/decide/%03u/daemonsets.json", i);
                if (!test_shared(path))
                        break;
                text = test_read_file(test_shared(path), &len);
                assert_int_equal(objects_read(&o, path, text, len, false), 0);
                assert_false(o.files[0].unreadable);
                for (size_t k = 0; k < o.n_objects; k++, objects++)
                        if (o.objects[k].reason != REASON_None)
                                fail_msg("%s: %s: %s", path, o.objects[k].name,
                                         o.objects[k].diags.n ? o.objects[k].diags.items[0].message : "");
        }
        assert_true(objects > 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(verdicts_equal_those_of_kubernetes),
                cmocka_unit_test(conformance_cases_are_valid),
        };

        return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
