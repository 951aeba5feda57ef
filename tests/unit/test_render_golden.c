/* SPDX-License-Identifier: Apache-2.0 */
/* The renderer on whole DaemonSets: shapes of well-known ones, each beside the exact bytes of its static pod or the
 * reason why there is none. */
#include "apiref.h"
#include "core/render.h"
#include "test.h"

#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#define CASES "cases/render"

static RenderOptions options_for(const Objects *objects) {
        return (RenderOptions){ .node_name = "node-1",
                                .objects = objects,
                                .volumes_dir = "/var/lib/daemonlet/volumes" };
}

static void read_objects(const char *name, const char *text, size_t len, Objects *ret) {
        assert_int_equal(objects_read(ret, name, text, len, false), 0);
        assert_int_equal(objects_finish(ret), 0);
}

static const Object *the_daemonset(const Objects *objects) {
        const Object *found = NULL;

        for (size_t i = 0; i < objects->n_objects; i++) {
                const Object *o = &objects->objects[i];

                if (o->reason != REASON_None)
                        fail_msg("%s is not usable: %s", o->name,
                                 o->diags.n ? o->diags.items[0].message : str_or_empty(o->message));
                if (o->kind != OBJECT_DAEMONSET)
                        continue;
                assert_null(found);
                found = o;
        }
        if (!found)
                fail_msg("no DaemonSet: %s", objects->n_files ? str_or_empty(objects->files[0].error) : "");
        return found;
}

static void check_no_reference(const Rendered *got) {
        cJSON *pod = NULL;
        Place place;
        const char *reference;

        assert_int_equal(json_parse(got->bytes, got->len, (Place){ 1, 1 }, NULL, NULL, &pod, NULL, &place, NULL), 0);
        reference = apiref_find(json_get(pod, "spec"));
        if (reference)
                fail_msg("refers to the API (%s): %s", reference, got->bytes);
        cJSON_Delete(pod);
}

static void check_manifest(const Rendered *got, const Object *daemonset) {
        _cleanup_(manifest_done) Manifest m = { 0 };
        char file[MANIFEST_NAME_MAX + 1];

        assert_int_equal(manifest_parse(got->bytes, got->len, &m), 0);
        assert_true(m.is_pod);
        assert_true(m.verifies);
        assert_string_equal(m.namespace, daemonset->namespace);
        assert_string_equal(m.name, daemonset->name);
        assert_string_equal(m.uid, got->uid);
        assert_int_equal(m.n_ports, got->n_ports);
        assert_int_equal(manifest_file_name(m.namespace, m.name, file), 0);
        check_no_reference(got);
}

/* ---- golden files ---- */

/* The file must hold this text; an empty text means that there is no such file. */
static void compare(const char *name, const char *file, const char *text) {
        char path[256];

        (void)snprintf(path, sizeof(path), CASES "/%s/%s", name, file);
        if (*text)
                test_golden(path, text);
        else if (streq(getenv("UPDATE_GOLDEN"), "1"))
                (void)unlink(test_path(path));
        else if (access(test_path(path), F_OK) == 0)
                fail_msg("%s should not be there", path);
}

static void warnings_text(const Diags *warnings, Buf *out) {
        for (size_t i = 0; i < warnings->n; i++) {
                diag_text(&warnings->items[i], out);
                buf_char(out, '\n');
        }
}

static void volumes_text(const Rendered *got, Buf *out) {
        for (size_t i = 0; i < got->n_volumes; i++) {
                const RenderedVolume *v = &got->volumes[i];

                buf_printf(out, "%s %s %s%s\n", v->name, v->dir, v->hash, v->empty ? " empty" : "");
        }
}

static void golden(void **state) {
        const char *name = *state;
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_(rendered_done) Rendered got = { 0 };
        _cleanup_buf_ Buf warnings = BUF_INIT, reason = BUF_INIT, volumes = BUF_INIT;
        _cleanup_free_ char *text = NULL;
        const Object *daemonset;
        RenderOptions options;
        char path[256];
        size_t len;

        (void)snprintf(path, sizeof(path), CASES "/%s/input.yaml", name);
        text = test_read(path, &len);
        read_objects("input.yaml", text, len, &objects);
        daemonset = the_daemonset(&objects);
        options = options_for(&objects);
        assert_int_equal(render(daemonset, &options, &got), 0);
        warnings_text(&got.warnings, &warnings);
        volumes_text(&got, &volumes);
        if (got.status != RENDER_OK)
                buf_printf(&reason, "%s\n%s\n", reason_name(got.reason), got.message);
        else
                check_manifest(&got, daemonset);
        compare(name, "pod.json", got.status == RENDER_OK ? got.bytes : "");
        compare(name, "waiting.txt", got.status == RENDER_WAITING ? buf_text(&reason) : "");
        compare(name, "refused.txt", got.status == RENDER_REFUSED ? buf_text(&reason) : "");
        compare(name, "volumes.txt", buf_text(&volumes));
        compare(name, "warnings.txt", buf_text(&warnings));
}

/* ---- the same bytes, whatever the order of the keys and the locale ---- */

static void reverse_members(cJSON *tree) {
        cJSON *reversed = NULL, *next;

        for (cJSON *c = tree->child; c; c = c->next)
                reverse_members(c);
        if (!cJSON_IsObject(tree) || !tree->child)
                return;
        reversed = cJSON_CreateObject();
        assert_non_null(reversed);
        for (cJSON *c = tree->child; c; c = next) {
                next = c->next;
                assert_true(cJSON_InsertItemInArray(reversed, 0, cJSON_DetachItemViaPointer(tree, c)));
        }
        tree->child = reversed->child;
        reversed->child = NULL;
        cJSON_Delete(reversed);
}

/* Objects are found in another order then. */
static void compare_uses(const Rendered *first, const Rendered *second) {
        assert_int_equal(first->n_uses, second->n_uses);
        for (size_t i = 0; i < first->n_uses; i++) {
                const RenderedUse *x = &first->uses[i], *y = NULL;

                for (size_t k = 0; k < second->n_uses; k++)
                        if (second->uses[k].kind == x->kind && streq(second->uses[k].name, x->name))
                                y = &second->uses[k];
                assert_non_null(y);
                assert_int_equal(x->env, y->env);
                assert_int_equal(x->mount, y->mount);
                assert_int_equal(x->needed, y->needed);
                assert_int_equal(x->found, y->found);
        }
}

static void shuffled(void **state) {
        const char *name = *state;
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_(rendered_done) Rendered first = { 0 }, second = { 0 };
        _cleanup_free_ char *text = NULL, *bytes = NULL;
        _cleanup_json_ cJSON *tree = NULL;
        RenderOptions options = options_for(&objects);
        Object other;
        char path[256];
        size_t len;
        Place place;

        (void)snprintf(path, sizeof(path), CASES "/%s/input.yaml", name);
        text = test_read(path, &len);
        read_objects("input.yaml", text, len, &objects);
        other = *the_daemonset(&objects);
        assert_int_equal(render(&other, &options, &first), 0);
        assert_int_equal(json_parse(other.bytes, other.len, (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, NULL), 0);
        reverse_members(tree);
        bytes = cJSON_PrintUnformatted(tree);
        assert_non_null(bytes);
        assert_string_not_equal(bytes, other.bytes);
        other.bytes = bytes;
        other.len = strlen(bytes);
        /* Where it is installed: a locale with another decimal point and another order of letters. */
        (void)setlocale(LC_ALL, "de_DE.UTF-8");
        assert_int_equal(render(&other, &options, &second), 0);
        (void)setlocale(LC_ALL, "C");
        assert_int_equal(first.status, second.status);
        assert_int_equal(first.len, second.len);
        assert_string_equal(str_or_empty(first.bytes), str_or_empty(second.bytes));
        assert_string_equal(first.uid, second.uid);
        assert_string_equal(first.input, second.input);
        compare_uses(&first, &second);
        assert_int_equal(first.n_volumes, second.n_volumes);
        for (size_t i = 0; i < first.n_volumes; i++)
                assert_string_equal(first.volumes[i].hash, second.volumes[i].hash);
}

/* ---- all of it ---- */

static struct CMUnitTest tests[512];
static char names[512][128];
static size_t n_tests;

static void add(const char *what, const char *name, CMUnitTestFunction function) {
        assert_true(n_tests < ARRAY_SIZE(tests));
        (void)snprintf(names[n_tests], sizeof(names[0]), "%s: %s", what, name);
        tests[n_tests] = (struct CMUnitTest){ names[n_tests], function, NULL, NULL, (void *)(uintptr_t)name };
        n_tests++;
}

int main(void) {
        size_t n;
        char **cases = test_names(CASES, &n);
        int r;

        for (size_t i = 0; i < n; i++) {
                char path[256];

                (void)snprintf(path, sizeof(path), CASES "/%s/input.yaml", cases[i]);
                if (access(test_path(path), F_OK) != 0)
                        continue;
                add("golden", cases[i], golden);
                add("shuffled", cases[i], shuffled);
        }
        r = _cmocka_run_group_tests("render golden", tests, n_tests, NULL, NULL);
        test_names_free(cases, n);
        return r;
}
