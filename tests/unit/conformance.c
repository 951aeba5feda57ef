/* SPDX-License-Identifier: Apache-2.0 */
#include "conformance.h"

#include "test.h"

#include <dirent.h>
#include <stdio.h>

cJSON *conformance_parse(const char *where, const char *text, size_t len) {
        Place place;
        Err err = { 0 };
        cJSON *tree;

        if (json_parse(text, len, (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s:%u:%u: %s", where, place.line, place.column, err.message);
        return tree;
}

static char *join(const char *dir, const char separator, const char *name) {
        _cleanup_buf_ Buf b = BUF_INIT;
        char *path;

        buf_printf(&b, "%s%c%s", dir, separator, name);
        path = buf_take(&b, NULL);
        assert_non_null(path);
        return path;
}

static char *read_in(const char *dir, const char *name, size_t *ret_len) {
        _cleanup_free_ char *path = join(dir, '/', name);

        return test_read_file(path, ret_len);
}

static cJSON *read_json(const char *dir, const char *name) {
        size_t len;
        _cleanup_free_ char *text = read_in(dir, name, &len);

        return conformance_parse(dir, text, len);
}

static bool is_true(const char *word) {
        assert_true(streq(word, "true") || streq(word, "false"));
        return streq(word, "true");
}

static void read_case(const char *path, const cJSON *daemonset, const cJSON *all, char **lines, ConformanceCase *ret) {
        const cJSON *spec = json_path(daemonset, "spec.template.spec");
        const cJSON *meta = json_get(daemonset, "metadata");
        _cleanup_free_ char *id = join(json_string(meta, "namespace"), '/', json_string(meta, "name"));
        const char *folder = strrchr(path, '/') + 1;
        char *line = strsep(lines, "\n");

        assert_non_null(line);
        assert_string_equal(strsep(&line, "\t"), id);
        ret->should_run = is_true(strsep(&line, "\t"));
        ret->should_continue_running = is_true(strsep(&line, "\t"));
        assert_null(line);
        ret->where = join(folder, ' ', id);
        assert_int_equal(pod_scheduling_from_json(spec, &ret->pod), 0);
        if (json_get(spec, "tolerations")) {
                ret->tolerations = cJSON_Duplicate(json_get(spec, "tolerations"), true);
                assert_non_null(ret->tolerations);
        }
        ret->controller_tolerations = cJSON_Duplicate(json_get(all, id), true);
        assert_non_null(ret->controller_tolerations);
}

void conformance_read(const char *path, ConformanceFolder *ret) {
        _cleanup_json_ cJSON *node = read_json(path, "node.json");
        _cleanup_json_ cJSON *daemonsets = read_json(path, "daemonsets.json");
        _cleanup_json_ cJSON *tolerations = read_json(path, "tolerations.json");
        _cleanup_free_ char *expected = read_in(path, "expected.tsv", NULL);
        const cJSON *items = json_get(daemonsets, "items"), *item;
        char *lines = expected;

        *ret = (ConformanceFolder){ 0 };
        assert_int_equal(node_view_from_json(node, &ret->node), 0);
        ret->cases = calloc((size_t)cJSON_GetArraySize(items), sizeof(*ret->cases));
        assert_non_null(ret->cases);
        cJSON_ArrayForEach(item, items) read_case(path, item, tolerations, &lines, &ret->cases[ret->n_cases++]);
        assert_true(ret->n_cases > 0);
        assert_true(!lines || !*lines);
}

void conformance_done(ConformanceFolder *f) {
        node_view_done(&f->node);
        for (size_t i = 0; i < f->n_cases; i++) {
                free(f->cases[i].where);
                pod_scheduling_done(&f->cases[i].pod);
                cJSON_Delete(f->cases[i].tolerations);
                cJSON_Delete(f->cases[i].controller_tolerations);
        }
        free(f->cases);
        *f = (ConformanceFolder){ 0 };
}

static int no_dots(const struct dirent *e) {
        return e->d_name[0] != '.';
}

char **conformance_folders(const char *path, size_t *ret_n) {
        struct dirent **entries;
        int n = scandir(path, &entries, no_dots, alphasort);
        char **folders;

        if (n <= 0) {
                fail_msg("%s: no folders", path);
                return NULL;
        }
        folders = calloc((size_t)n, sizeof(*folders));
        assert_non_null(folders);
        for (int i = 0; i < n; i++) {
                folders[i] = join(path, '/', entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        *ret_n = (size_t)n;
        return folders;
}
