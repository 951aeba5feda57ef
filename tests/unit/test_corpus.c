/* SPDX-License-Identifier: Apache-2.0 */
/* Real manifests against what Kubernetes' own validation says of them, and what becomes of them with the objects that
 * their projects publish beside them. The corpus is not part of the source tree: the tests are skipped where it is
 * absent. */
#include "apiref.h"
#include "core/render.h"
#include "test.h"

#include <dirent.h>
#include <stdio.h>

/* Cuts the next field off a line of tab-separated ones; NULL behind the last. */
static char *next_field(char **line) {
        char *field = *line, *tab = field ? strchr(field, '\t') : NULL;

        if (tab)
                *tab = 0;
        *line = tab ? tab + 1 : NULL;
        return field;
}

/* name: "namespace/name" */
static const Object *find_daemonset(const Objects *o, const char *name) {
        const char *slash = strchr(name, '/');

        for (size_t i = 0; slash && i < o->n_objects; i++) {
                const Object *object = &o->objects[i];

                if (object->kind == OBJECT_DAEMONSET && streq(object->name, slash + 1) &&
                    strlen(object->namespace) == (size_t)(slash - name) && startswith(name, object->namespace))
                        return object;
        }
        return NULL;
}

static const char *verdict(const Objects *o, const char *name) {
        const Object *object = find_daemonset(o, name);

        if (!strchr(name, '/'))
                return o->files[0].unreadable ? "unreadable" : "readable";
        if (!object)
                return "not there";
        return object->reason == REASON_None      ? "ok"
               : object->reason == REASON_Invalid ? "invalid"
                                                  : reason_name(object->reason);
}

static void read_shared(Objects *o, const char *path) {
        _cleanup_free_ char *text = NULL;
        const char *shared = test_shared(path);
        size_t len;

        if (!shared)
                fail_msg("%s: not there", path);
        text = test_read_file(shared, &len);
        assert_int_equal(objects_read(o, path, text, len, false), 0);
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

/* ---- what becomes of them ---- */

/* A sample of ceph-csi defines once more what its other file has. */
static int is_companion(const struct dirent *entry) {
        return entry->d_name[0] != '.' && !strstr(entry->d_name, "-sample.");
}

/* A published file, and what its project has in companion/, as one set. */
static void read_project(const char *file, Objects *ret) {
        struct dirent **entries = NULL;
        char path[1024];
        int n = 0;

        (void)snprintf(path, sizeof(path), "corpus/%s", file);
        read_shared(ret, path);
        (void)snprintf(path, sizeof(path), "corpus/%.*s/companion", (int)strcspn(file, "/"), file);
        if (test_shared(path))
                n = scandir(test_shared(path), &entries, is_companion, alphasort);
        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
                char companion[1300];

                (void)snprintf(companion, sizeof(companion), "%s/%s", path, entries[i]->d_name);
                read_shared(ret, companion);
                free(entries[i]);
        }
        free(entries);
        assert_int_equal(objects_finish(ret), 0);
}

static const cJSON *find_named(const cJSON *list, const char *name) {
        const cJSON *item;

        cJSON_ArrayForEach(item, list) {
                if (streq(json_string(item, "name"), name))
                        return item;
        }
        return NULL;
}

static bool is_rendered(const Rendered *got, const char *volume) {
        for (size_t i = 0; i < got->n_volumes; i++)
                if (streq(got->volumes[i].name, volume))
                        return true;
        return false;
}

/* Every mount has its volume, those of what is materialised are read-only, and there is one at each path. */
static void check_mounts(const cJSON *spec, const char *list, const Rendered *got) {
        const cJSON *container, *mount, *other;

        cJSON_ArrayForEach(container, json_get(spec, list)) {
                cJSON_ArrayForEach(mount, json_get(container, "volumeMounts")) {
                        const char *name = json_string(mount, "name");

                        if (!find_named(json_get(spec, "volumes"), name))
                                fail_msg("no volume %s: %s", name, got->bytes);
                        if (is_rendered(got, name) && !json_true(mount, "readOnly"))
                                fail_msg("%s is not read-only: %s", name, got->bytes);
                        for (other = mount->next; other; other = other->next)
                                if (streq(json_string(mount, "mountPath"), json_string(other, "mountPath")))
                                        fail_msg("two mounts at %s: %s", json_string(mount, "mountPath"), got->bytes);
                }
        }
}

static void check_pod(const Object *daemonset, const RenderOptions *options, const Rendered *got) {
        _cleanup_(manifest_done) Manifest m = { 0 };
        _cleanup_json_ cJSON *pod = NULL;
        const char *reference;
        const cJSON *spec;

        assert_int_equal(manifest_parse(got->bytes, got->len, &m), 0);
        assert_true(m.is_pod && m.verifies);
        assert_string_equal(m.uid, got->uid);
        assert_int_equal(m.n_ports, got->n_ports);
        assert_int_equal(json_parse(got->bytes, got->len, (Place){ 1, 1 }, NULL, NULL, &pod, NULL, NULL, NULL), 0);
        spec = json_get(pod, "spec");
        reference = apiref_find(spec);
        if (reference)
                fail_msg("refers to the API (%s): %s", reference, got->bytes);
        check_mounts(spec, "initContainers", got);
        check_mounts(spec, "containers", got);
        for (size_t i = 0; i < got->n_volumes; i++) {
                const RenderedVolume *v = &got->volumes[i];
                _cleanup_payload_ Payload payload = { 0 };
                char hash[PAYLOAD_HEX + 1];

                assert_non_null(json_get(find_named(json_get(spec, "volumes"), v->name), "hostPath"));
                assert_int_equal(render_payload(daemonset, options, v->name, got->uid, &payload), 0);
                payload_hash(&payload, hash);
                assert_string_equal(v->hash, hash);
                assert_int_equal(v->empty, payload.n == 0);
        }
}

/* What no static pod can have. */
static const struct {
        const char *file, *what;
} refused[] = {
        { "azurefile-csi/example-daemonset-pvc.yaml", "].persistentVolumeClaim: " },
        { "csi-driver-nfs/example-daemonset-nfs-ephemeral.yaml", "].ephemeral: " },
        { "csi-driver-smb/example-daemonset-ephemeral.yaml", "].ephemeral: " },
};

static bool check_complete(const char *file, const Rendered *got) {
        for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
                if (streq(file, refused[i].file))
                        return got->status == RENDER_REFUSED && got->reason == REASON_UnsupportedVolume &&
                               strstr(got->message, refused[i].what);
        return got->status == RENDER_OK;
}

/* How many are missing by the message: what stands between semicolons, the last of which may be "and N more". */
static size_t count_missing(const char *message) {
        size_t n = 0, more = 0;

        for (const char *s = message; s; s = strstr(s, "; ")) {
                s += startswith(s, "; ") ? 2 : 0;
                if (sscanf(s, "and %zu more", &more) != 1)
                        n++;
        }
        return n + more;
}

static bool is_used_in_vain(const Rendered *got, ObjectKind kind, const char *name) {
        for (size_t i = 0; i < got->n_uses; i++)
                if (got->uses[i].kind == kind && streq(got->uses[i].name, name))
                        return !got->uses[i].found;
        return false;
}

/* Those that are needed and not there. */
static size_t count_vain(const Rendered *got) {
        size_t n = 0;

        for (size_t i = 0; i < got->n_uses; i++)
                n += got->uses[i].needed && !got->uses[i].found;
        return n;
}

/* lacks: "ConfigMap/a,Secret/b", which is cut up. */
static bool check_lacks(const Object *daemonset, char *lacks, const Rendered *got) {
        size_t n = 0, named = 0;

        if (got->status != RENDER_WAITING)
                return false;
        if (got->reason != (strstr(lacks, "ConfigMap/") ? REASON_WaitingForConfigMap : REASON_WaitingForSecret))
                return false;
        for (char *save = NULL, *item = strtok_r(lacks, ",", &save); item; item = strtok_r(NULL, ",", &save), n++) {
                char *name = strchr(item, '/') + 1, text[600];

                name[-1] = 0;
                (void)snprintf(text, sizeof(text), "%s %s/%s is missing (", item, daemonset->namespace, name);
                named += strstr(got->message, text) != NULL;
                if (!is_used_in_vain(got, streq(item, "Secret") ? OBJECT_SECRET : OBJECT_CONFIGMAP, name))
                        return false;
        }
        return named == (n < 3 ? n : 3) && count_missing(got->message) == n && count_vain(got) == n;
}

typedef struct Counts {
        size_t complete, lacks, wrong, invalid, status[3];
} Counts;

static void render_row(const char *file, const char *name, bool complete, char *lacks, Counts *c) {
        _cleanup_objects_ Objects set = { 0 };
        _cleanup_(rendered_done) Rendered got = { 0 };
        RenderOptions options = {
                .node_name = "node-1",
                .objects = &set,
                .volumes_dir = "/var/lib/daemonlet/volumes",
                .secret_env_inline = true,
        };
        const Object *daemonset;

        read_project(file, &set);
        daemonset = find_daemonset(&set, name);
        if (!daemonset)
                fail_msg("%s\t%s: not there", file, name);
        complete ? c->complete++ : c->lacks++;
        if (daemonset->reason == REASON_Invalid) {
                c->invalid++;
                return;
        }
        assert_int_equal(daemonset->reason, REASON_None);
        assert_int_equal(render(daemonset, &options, &got), 0);
        c->status[got.status]++;
        if (got.status == RENDER_OK)
                check_pod(daemonset, &options, &got);
        if (complete ? check_complete(file, &got) : check_lacks(daemonset, lacks, &got))
                return;
        c->wrong++;
        print_error("%s\t%s: %s: %s\n", file, name, reason_name(got.reason), str_or_empty(got.message));
}

static void they_become_pods_or_wait_for_what_they_lack(void **state) {
        const char *path = test_shared("corpus/REFS.tsv");
        _cleanup_free_ char *text = NULL;
        Counts c = { 0 };

        (void)state;
        if (!path)
                skip();
        text = test_read_file(path, NULL);
        for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                const char *file = next_field(&line), *name = next_field(&line), *what = next_field(&line);

                if (what && (streq(what, "complete") || streq(what, "lacks")))
                        render_row(file, name, streq(what, "complete"), line, &c);
        }
        assert_int_equal(c.wrong, 0);
        assert_int_equal(c.complete, 166);
        assert_int_equal(c.lacks, 41);
        assert_int_equal(c.invalid, 6);
        assert_int_equal(c.status[RENDER_OK], 157);
        assert_int_equal(c.status[RENDER_REFUSED], ARRAY_SIZE(refused));
        assert_int_equal(c.status[RENDER_WAITING], 41);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(verdicts_equal_those_of_kubernetes),
                cmocka_unit_test(conformance_cases_are_valid),
                cmocka_unit_test(they_become_pods_or_wait_for_what_they_lack),
        };

        return cmocka_run_group_tests_name("corpus", tests, NULL, NULL);
}
