/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kubelet_internal.h"

#include <errno.h>
#include <fcntl.h>

#include "core/yaml.h"
#include "io/file.h"
#include "io/names.h"

enum { DROP_IN_DEPTH = 16 }; /* folders in folders */

static void taints_free(Taint *taints, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(taints[i].key);
                free(taints[i].value);
        }
        free(taints);
}

/* registerWithTaints: the list takes the place of the one before. The taints of a Node are read already; so a node it
 * shall be. */
static int lay_taints(const cJSON *list, const char *file, KubeletSettings *k) {
        _cleanup_json_ cJSON *node = cJSON_CreateObject();
        _cleanup_node_view_ NodeView view = { 0 };
        cJSON *spec = cJSON_AddObjectToObject(node, "spec");

        if (!spec || !json_add(spec, "taints", cJSON_Duplicate(list, true)) || node_view_from_json(node, &view) < 0)
                return -ENOMEM;
        taints_free(k->config_taints, k->n_config_taints);
        k->n_config_taints = view.n_taints;
        k->config_taints = TAKE_PTR(view.taints);
        view.n_taints = 0;
        for (size_t i = 0; i < k->n_config_taints; i++)
                if (!*k->config_taints[i].key || k->config_taints[i].effect == EFFECT_NONE)
                        return kubelet_warn(k, "%s: registerWithTaints[%zu] is not a taint", file, i);
        return 0;
}

static int lay_static_pod_path(const cJSON *value, const char *dir, KubeletSettings *k) {
        const char *path = str_or_empty(cJSON_GetStringValue(value));
        char *resolved = NULL;

        if (*path) {
                resolved = kubelet_resolve(dir, path);
                if (!resolved)
                        return -ENOMEM;
        }
        free(k->static_pod_path);
        k->static_pod_path = resolved;
        return 0;
}

/* Lays one file over what came before: what it does not mention stays, null takes away. */
static int lay_over(const cJSON *root, const char *file, const char *dir, KubeletSettings *k) {
        const cJSON *path = json_get(root, "staticPodPath"), *taints = json_get(root, "registerWithTaints");
        int r = 0;

        if (!streq(json_string(root, "kind"), "KubeletConfiguration"))
                return kubelet_warn(k, "%s: is not a KubeletConfiguration", file);
        if (path)
                r = lay_static_pod_path(path, dir, k);
        if (r == 0 && taints)
                r = lay_taints(taints, file, k);
        return r;
}

static int lay_text(const char *text, size_t len, const char *file, const char *dir, KubeletSettings *k) {
        _cleanup_yaml_ YamlStream stream = { 0 };
        Place place = { 0 };
        Err err = { 0 };
        int r = yaml_read(text, len, NULL, NULL, &stream, &place, &err);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return kubelet_warn(k, "%s:%u:%u: %s", file, place.line, place.column, err.message);
        return lay_over(stream.n > 0 ? stream.documents[0].root : NULL, file, dir, k);
}

/* dir: what a relative path in the file starts from. */
static int lay_file(const char *file, bool may_be_absent, const char *dir, KubeletSettings *k) {
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t len;
        Err err = { 0 };
        int r = file_read(AT_FDCWD, file, JSON_SIZE_MAX, (FileTrust){ .follow = true }, &text, &len, &err);

        if (r == -ENOENT && may_be_absent)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return kubelet_warn(k, "%s", err.message);
        k->known = true;
        if (stat(file, &st) == 0 && st.st_mtim.tv_sec > k->config_changed_at)
                k->config_changed_at = st.st_mtim.tv_sec;
        return lay_text(text, len, file, dir, k);
}

static bool is_drop_in(const char *name) {
        size_t len = strlen(name);

        return len >= strlen(".conf") && streq(name + len - strlen(".conf"), ".conf");
}

static int lay_drop_ins(const char *path, const char *cwd, unsigned depth, KubeletSettings *k) {
        _cleanup_names_ Names names = { 0 };
        _cleanup_fd_ int fd = file_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
        int r = fd < 0 ? fd : names_read(fd, NULL, &names);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return kubelet_warn(k, "%s: %s", path, strerrordesc_np(-r));
        for (size_t i = 0; i < names.n; i++) {
                _cleanup_free_ char *inner = kubelet_resolve(path, names.items[i]);
                struct stat st;

                if (!inner)
                        return -ENOMEM;
                if (fstatat(fd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if (S_ISDIR(st.st_mode))
                        r = depth < DROP_IN_DEPTH ? lay_drop_ins(inner, cwd, depth + 1, k)
                                                  : kubelet_warn(k, "%s: nested too deep", inner);
                else if (is_drop_in(names.items[i]))
                        r = lay_file(inner, false, cwd, k);
                if (r < 0)
                        return r;
        }
        return 0;
}

int kubelet_config_read(const char *path, bool named, const char *config_dir, const char *cwd, KubeletSettings *k) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path)) : NULL;
        int r;

        if (slash && !dir)
                return -ENOMEM;
        r = lay_file(path, !named, dir, k);
        if (r == 0 && config_dir)
                r = lay_drop_ins(config_dir, cwd, 0, k);
        return r;
}
