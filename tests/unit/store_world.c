/* SPDX-License-Identifier: Apache-2.0 */
#include "store_world.h"

#include <stdio.h>

char *base;
char manifests[4096], state[4096];
Store *store;
StoreSnapshot snapshot;
StoreResult result;
Err err;
char *a1, *a2, *b1; /* manifests: two revisions of a, one of b */

static char *make_manifest(const char *name, const char *image, const char *more) {
        _cleanup_json_ cJSON *pod = NULL;
        char text[2048], revision[REVISION_HEX + 1], uid[37];
        Place place;
        char *made;

        (void)snprintf(text, sizeof(text),
                       "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
                       "\"kube-system\",\"annotations\":{\"daemonlet.io/daemonset\":\"kube-system/%s\"}},\"spec\":{"
                       "\"containers\":[{\"name\":\"c\",\"image\":\"%s\"%s}],\"terminationGracePeriodSeconds\":7}}",
                       name, name, image, more);
        assert_int_equal(json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &pod, NULL, &place, NULL), 0);
        assert_int_equal(manifest_identity(pod, "node", revision, uid), 0);
        assert_true(json_add_string(json_get_mutable(pod, "metadata"), "uid", uid));
        assert_true(json_add_string(json_get_mutable(json_get_mutable(pod, "metadata"), "annotations"),
                                    ANNOTATION_REVISION, revision));
        made = json_canonical_text(pod, NULL);
        assert_non_null(made);
        return made;
}

int world_set_up(void **unused) {
        (void)unused;
        base = tmpdir_new();
        (void)snprintf(manifests, sizeof(manifests), "%s/manifests", base);
        (void)snprintf(state, sizeof(state), "%s/var/lib/state", base);
        put_dir(manifests, 0755);
        a1 = make_manifest("a", "one", ",\"ports\":[{\"containerPort\":80,\"hostPort\":8080}]");
        a2 = make_manifest("a", "two", "");
        b1 = make_manifest("b", "one", "");
        store = NULL;
        err = (Err){ 0 };
        return 0;
}

int world_tear_down(void **unused) {
        (void)unused;
        store = store_free(store);
        free(a1);
        free(a2);
        free(b1);
        tmpdir_free(base);
        return 0;
}

int try_open(bool read_only) {
        const StoreOptions options = { .manifest_dir = manifests, .state_dir = state, .read_only = read_only };

        err = (Err){ 0 };
        return store_open(&options, &store, &err);
}

void open_store(void) {
        store = store_free(store);
        if (try_open(false) < 0)
                fail_msg("%s", err.message);
}

void scan(void) {
        if (store_scan(store, &snapshot, &err) < 0)
                fail_msg("%s", err.message);
}

int apply(const PlanStep *steps, size_t n, int64_t now) {
        return apply_with(steps, n, NULL, 0, now);
}

int apply_with(const PlanStep *steps, size_t n, const PlanHandover *handovers, size_t n_handovers, int64_t now) {
        PlanStep copies[256];
        PlanHandover all[16];
        Plan plan = { .steps = copies, .n_steps = n, .handovers = all, .n_handovers = n_handovers };
        int r;

        assert_true(n_handovers <= ARRAY_SIZE(all));
        if (n_handovers)
                memcpy(all, handovers, n_handovers * sizeof(*handovers));
        assert_true(n <= ARRAY_SIZE(copies));
        if (n)
                memcpy(copies, steps, n * sizeof(*steps));
        err = (Err){ 0 };
        r = store_apply(store, &plan, now, &result, &err);
        for (size_t i = 0; i < n; i++)
                free(copies[i].failure);
        return r;
}

/* One step on a file of ours. */
PlanStep step_of(StepVerb verb, const char *file, const char *bytes) {
        return (PlanStep){ .verb = verb,
                           .file = (char *)(uintptr_t)file,
                           .bytes = bytes,
                           .len = bytes ? strlen(bytes) : 0,
                           .namespace = (char *)(uintptr_t) "kube-system",
                           .name = (char *)(uintptr_t)(streq(file, B_FILE) ? "b" : "a"),
                           .origin = "file:x.yaml" };
}

int apply_one(PlanStep step) {
        return apply(&step, 1, NOW);
}

void apply_ok(PlanStep step) {
        if (apply_one(step) < 0)
                fail_msg("%s", err.message);
        assert_int_equal(result.done, 1);
        assert_int_equal(result.failed, 0);
}

PlanHandover handover_of(const char *name) {
        return (PlanHandover){ .namespace = "kube-system",
                               .name = name,
                               .pod = streq(name, "a") ? "a-1" : "b-1",
                               .uid = streq(name, "a") ? "uid-a" : "uid-b",
                               .boot = "boot-1" };
}

void remember_ok(const PlanHandover *handovers, size_t n) {
        if (apply_with(NULL, 0, handovers, n, NOW) < 0)
                fail_msg("%s", err.message);
}

const char *in_manifests(const char *name) {
        return in_dir(manifests, name);
}

const char *in_state(const char *name) {
        return in_dir(state, name);
}

const PlanEntry *find_entry(const char *file) {
        for (size_t i = 0; i < snapshot.n_present; i++)
                if (streq(snapshot.present[i].file, file))
                        return &snapshot.present[i];
        return NULL;
}

const PlanWritten *find_written(const char *file) {
        for (size_t i = 0; i < snapshot.n_written; i++)
                if (streq(snapshot.written[i].file, file))
                        return &snapshot.written[i];
        return NULL;
}

bool bytes_are(const char *bytes, size_t len, const char *want) {
        return want ? bytes && len == strlen(want) && memcmp(bytes, want, len) == 0 : !bytes;
}

/* Replaces a text in a file of state. */
void edit_state(const char *file, const char *from, const char *to) {
        _cleanup_free_ char *text = test_read_file(in_state(file), NULL);
        char *at = strstr(text, from);
        _cleanup_buf_ Buf made = BUF_INIT;

        assert_non_null(at);
        buf_add(&made, text, (size_t)(at - text));
        buf_str(&made, to);
        buf_str(&made, at + strlen(from));
        put_file(in_state(file), buf_text(&made), 0600);
}
