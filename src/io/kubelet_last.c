/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of the last kubelet of this boot, for the time while none runs: the flags of its process are nowhere
 * else when they are not in a file of flags. */
#include "io/kubelet.h"

#include <errno.h>
#include <fcntl.h>

#include "io/file.h"

#define LAST_FILE "kubelet.json"

enum { LAST_MAX = 1024 * 1024 };

/* Another boot is another kubelet, which may have been set anew. -ENOENT where it cannot be told. */
static int read_boot_id(const char *proc_dir, char **ret) {
        _cleanup_buf_ Buf path = BUF_INIT;
        size_t len;

        buf_printf(&path, "%s/sys/kernel/random/boot_id", proc_dir);
        if (path.failed)
                return -ENOMEM;
        return file_read(AT_FDCWD, buf_text(&path), LAST_MAX, (FileTrust){ 0 }, ret, &len, NULL);
}

int kubelet_boot_id(const char *proc_dir, char **ret) {
        int r = read_boot_id(proc_dir, ret);

        if (r < 0) {
                *ret = NULL;
                return r == -ENOMEM ? r : 0;
        }
        (*ret)[strcspn(*ret, "\n")] = 0;
        if (**ret)
                return 0;
        free(*ret);
        *ret = NULL;
        return 0;
}

static bool add_text(cJSON *object, const char *key, const char *value) {
        return !value || json_add_string(object, key, value);
}

/* As the flag has them: of two places for taints one is enough. */
static int taints_text(const KubeletSettings *k, Buf *out) {
        if (k->register_with_taints)
                buf_str(out, k->register_with_taints);
        for (size_t i = 0; !k->register_with_taints && i < k->n_config_taints; i++)
                buf_printf(out, "%s%s=%s:%s", i ? "," : "", k->config_taints[i].key, k->config_taints[i].value,
                           taint_effect_name(k->config_taints[i].effect));
        return out->failed ? -ENOMEM : 0;
}

static char *last_text(const KubeletSettings *k, const char *boot_id, size_t *ret_len) {
        _cleanup_json_ cJSON *tree = cJSON_CreateObject();
        _cleanup_buf_ Buf taints = BUF_INIT;
        bool has_taints = k->register_with_taints || k->n_config_taints > 0;

        if (taints_text(k, &taints) < 0 || !json_add_string(tree, "bootId", boot_id) ||
            !json_add(tree, "pid", json_new_int(k->pid)) ||
            !json_add(tree, "startTicks", json_new_int(k->start_ticks)) ||
            !json_add(tree, "startedAt", json_new_int(k->started_at)) ||
            !json_add(tree, "configChangedAt", json_new_int(k->config_changed_at)) ||
            !add_text(tree, "hostnameOverride", k->hostname_override) ||
            !add_text(tree, "nodeLabels", k->node_labels) ||
            !add_text(tree, "registerWithTaints", has_taints ? buf_text(&taints) : NULL) ||
            !add_text(tree, "staticPodPath", k->static_pod_path) ||
            !json_add(tree, "staticPodPathIsFlag", cJSON_CreateBool(k->static_pod_path_is_flag)) ||
            !add_text(tree, "kubeconfig", k->kubeconfig))
                return NULL;
        return json_canonical_text(tree, ret_len);
}

int kubelet_settings_keep(const char *state_dir, const char *proc_dir, const KubeletSettings *k) {
        _cleanup_fd_ int dir = k->running ? file_open_at(AT_FDCWD, state_dir, O_RDONLY | O_DIRECTORY, 0) : -1;
        _cleanup_free_ char *boot_id = NULL, *text = NULL;
        size_t len = 0;
        int r;

        if (dir < 0)
                return 0;
        r = read_boot_id(proc_dir, &boot_id);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        text = last_text(k, boot_id, &len);
        if (!text)
                return -ENOMEM;
        r = file_update_at(dir, LAST_FILE ".tmp", LAST_FILE, text, len, 0600, NULL);
        return r == -ENOMEM ? r : 0;
}

static int take_text(const cJSON *tree, const char *key, char **ret) {
        const char *value = json_string(tree, key);

        if (!value)
                return 0;
        *ret = strdup(value);
        return *ret ? 0 : -ENOMEM;
}

static int from_tree(const cJSON *tree, KubeletSettings *k) {
        const struct {
                const char *key;
                char **field;
        } texts[] = {
                { "hostnameOverride", &k->hostname_override },
                { "nodeLabels", &k->node_labels },
                { "registerWithTaints", &k->register_with_taints },
                { "staticPodPath", &k->static_pod_path },
                { "kubeconfig", &k->kubeconfig },
        };
        int64_t pid = 0;

        (void)json_int(json_get(tree, "pid"), &pid);
        (void)json_int(json_get(tree, "startTicks"), &k->start_ticks);
        (void)json_int(json_get(tree, "startedAt"), &k->started_at);
        (void)json_int(json_get(tree, "configChangedAt"), &k->config_changed_at);
        k->pid = (int)pid;
        k->running = k->known = true;
        k->static_pod_path_is_flag = json_true(tree, "staticPodPathIsFlag");
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (take_text(tree, texts[i].key, texts[i].field) < 0)
                        return -ENOMEM;
        return 0;
}

int kubelet_settings_last(const char *state_dir, const char *proc_dir, KubeletSettings *ret) {
        _cleanup_fd_ int dir = file_open_at(AT_FDCWD, state_dir, O_RDONLY | O_DIRECTORY, 0);
        _cleanup_kubelet_settings_ KubeletSettings k = { 0 };
        _cleanup_free_ char *boot_id = NULL, *text = NULL;
        _cleanup_json_ cJSON *tree = NULL;
        size_t len;
        int r = dir < 0 ? dir : file_read(dir, LAST_FILE, LAST_MAX, (FileTrust){ .check = true }, &text, &len, NULL);

        if (r == 0)
                r = read_boot_id(proc_dir, &boot_id);
        if (r == 0)
                r = json_parse(text, len, (Place){ 1, 1 }, NULL, NULL, &tree, NULL, NULL, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (!streq(json_string(tree, "bootId"), boot_id))
                return 0;
        r = from_tree(tree, &k);
        if (r < 0)
                return r;
        *ret = k;
        k = (KubeletSettings){ 0 };
        return 1;
}
