/* SPDX-License-Identifier: Apache-2.0 */
#include "app/setup.h"
#include "core/kubeconfig.h"
#include "core/objects.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MANIFEST_DIR_KUBEADM "/etc/kubernetes/manifests"
#define KUBECONFIG_KUBEADM "/etc/kubernetes/kubelet.conf"
#define CONFIG_SIZE_MAX (1024 * 1024)
#define CA_MAX (1024 * 1024)
#define CA_FILE "ca.crt"

/* ---- configuration ---- */

static int read_config_file(Config *config, const char *path, bool must_exist, Err *err) {
        _cleanup_free_ char *text = NULL;
        Err inner = { 0 };
        size_t len;
        int r;

        r = file_read(AT_FDCWD, path, CONFIG_SIZE_MAX, (FileTrust){ .check = true }, &text, &len, &inner);
        if (r == -ENOENT && !must_exist)
                return 0;
        /* A file that is unsafe, or was named and is not there, is a matter of configuration and not of I/O. */
        if (r == -EPERM || r == -ELOOP || r == -ENOENT || r == -EISDIR)
                r = -EINVAL;
        if (r < 0)
                return err_set(err, r, "%s", inner.message);
        return config_read(config, path, text, len, err);
}

static int is_drop_in(const struct dirent *e) {
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && streq(e->d_name + n - 5, ".conf");
}

/* Byte order, whatever the locale. */
static int compare_entries(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(Config *config, const char *path, Err *err) {
        struct dirent **names = NULL;
        char dir[PATH_MAX], file[PATH_MAX + 256];
        struct stat st;
        int n, r = 0;

        if ((size_t)snprintf(dir, sizeof(dir), "%s.d", path) >= sizeof(dir))
                return err_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
        /* Who may write to the directory may take a drop-in away. */
        if (stat(dir, &st) < 0)
                return errno == ENOENT ? 0 : err_errno(err, -errno, "cannot read %s", dir);
        if (file_check_trust(&st, dir, err) < 0)
                return -EINVAL;
        n = scandir(dir, &names, is_drop_in, compare_entries);
        if (n < 0)
                return err_errno(err, -errno, "cannot read %s", dir);
        for (int i = 0; i < n; i++) {
                if (r == 0) {
                        (void)snprintf(file, sizeof(file), "%s/%s", dir, names[i]->d_name);
                        r = read_config_file(config, file, true, err);
                }
                free(names[i]);
        }
        free(names);
        return r;
}

int setup_config(const Options *options, Config *ret, Err *err) {
        const char *path = options->config_path ? options->config_path : CONFIG_PATH;
        _cleanup_config_ Config config = { 0 };
        int r;

        if (config_init(&config) < 0)
                return err_oom(err);
        r = read_config_file(&config, path, options->config_path != NULL, err);
        if (r == 0)
                r = read_drop_ins(&config, path, err);
        if (r < 0)
                return r;
        *ret = config;
        config = (Config){ 0 };
        return 0;
}

/* ---- this host ---- */

int setup_kubelet(const Config *config, KubeletSettings *ret) {
        const KubeletPaths paths = {
                .proc_dir = config->kubelet_proc_dir,
                .config = config->kubelet_config,
                .flags_file = config->kubelet_flags_file,
                .extra_flags_file = config->kubelet_extra_flags_file,
        };

        return kubelet_settings_read(&paths, ret);
}

static int node_from_file(const char *path, NodeFacts *ret, Err *err) {
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r;

        r = file_read(AT_FDCWD, path, JSON_SIZE_MAX, (FileTrust){ .follow = true }, &text, &len, err);
        if (r < 0)
                return r;
        r = objects_read_node(path, text, len, &ret->view, err);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        ret->source = NODE_FROM_FILE;
        ret->known = ret->view.name && ret->view.name[0];
        return 0;
}

static int node_from_host(const Config *config, const KubeletSettings *kubelet, const char *last_known, NodeFacts *ret,
                          Err *err) {
        _cleanup_free_ char *name = NULL;
        char hostname[256] = "";
        int r;

        if (gethostname(hostname, sizeof(hostname) - 1) < 0)
                hostname[0] = 0;
        r = node_local_name(config, kubelet, hostname, last_known, &name, &ret->known, &ret->note);
        if (r < 0)
                return err_oom(err);
        ret->source = NODE_FROM_LOCAL;
        return node_local_view(name, kubelet, &ret->view, err);
}

int setup_node(const Options *options, const Config *config, const KubeletSettings *kubelet, const char *last_known,
               NodeFacts *ret, Err *err) {
        int r;

        *ret = (NodeFacts){ 0 };
        r = options->node_file ? node_from_file(options->node_file, ret, err)
                               : node_from_host(config, kubelet, last_known, ret, err);
        if (r == 0)
                r = node_lay_over(config, &ret->view, err);
        if (r < 0)
                node_facts_done(ret);
        return r;
}

void node_facts_done(NodeFacts *n) {
        node_view_done(&n->view);
        free(n->note);
        *n = (NodeFacts){ 0 };
}

/* The kubelet reads its configuration when it starts: a change counts for the next one. */
static bool is_pending(const KubeletSettings *kubelet) {
        return kubelet->running && kubelet->started_at > 0 && !kubelet->static_pod_path_is_flag &&
               kubelet->config_changed_at > kubelet->started_at;
}

int setup_manifest_dir(const Config *config, const KubeletSettings *kubelet, const char *last, char **ret, Err *err) {
        const char *dir = config->manifest_dir;

        if (!dir)
                dir = last && is_pending(kubelet) ? last : kubelet->static_pod_path;
        if (!dir && kubelet->warning)
                return err_set(err, -EINVAL, "where the kubelet reads static pods is not known: %s", kubelet->warning);
        if (!dir && kubelet->known)
                return err_set(
                        err, -EINVAL,
                        "StaticPodsOff: this host's kubelet is set to read no static pods; set staticPodPath in its "
                        "configuration (kubeadm uses %s), or [kubelet] manifest_dir in ours",
                        MANIFEST_DIR_KUBEADM);
        *ret = strdup(dir ? dir : MANIFEST_DIR_KUBEADM);
        return *ret ? 0 : err_oom(err);
}

DecideOptions setup_decide(const Options *options, const Config *config) {
        return (DecideOptions){ .upstream = options->upstream, .tolerate_unready = config->tolerate_unready };
}

/* ---- volumes ---- */

int setup_volumes_dir(const Config *config, char **ret, Err *err) {
        _cleanup_free_ char *cwd = config->state_dir[0] == '/' ? NULL : getcwd(NULL, 0);
        _cleanup_buf_ Buf path = BUF_INIT;
        size_t len = strlen(config->state_dir);

        if (config->state_dir[0] != '/' && !cwd)
                return err_errno(err, -errno, "the working directory");
        while (len > 1 && config->state_dir[len - 1] == '/')
                len--;
        if (cwd)
                buf_printf(&path, "%s/", streq(cwd, "/") ? "" : cwd);
        buf_add(&path, config->state_dir, len);
        buf_str(&path, "/volumes");
        *ret = buf_take(&path, NULL);
        return *ret ? 0 : err_oom(err);
}

const char *setup_kubeconfig(const Config *config, const KubeletSettings *kubelet) {
        static const char own[] = SYSCONFDIR "/daemonlet/kubeconfig";

        if (config->api_kubeconfig)
                return streq(config->api_kubeconfig, "none") ? NULL : config->api_kubeconfig;
        return access(own, F_OK) == 0 ? own : setup_kubelet_kubeconfig(kubelet);
}

const char *setup_kubelet_kubeconfig(const KubeletSettings *kubelet) {
        /* kubeadm gives the flag in the unit and not in its flags file: it is not seen before the kubelet runs. */
        if (!kubelet->kubeconfig && kubelet->known && !kubelet->running && access(KUBECONFIG_KUBEADM, F_OK) == 0)
                return KUBECONFIG_KUBEADM;
        return kubelet->kubeconfig;
}

static int read_ca_file(const char *kubeconfig, const char *file, char **ret, size_t *ret_len, Err *err) {
        _cleanup_free_ char *path = kubeconfig_path(kubeconfig, file);

        if (!path)
                return err_oom(err);
        return file_read(AT_FDCWD, path, CA_MAX, (FileTrust){ .check = true, .follow = true }, ret, ret_len, err);
}

static int read_ca(const char *path, char **ret, size_t *ret_len, Err *err) {
        _cleanup_kube_cluster_ KubeCluster cluster = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = file_read(AT_FDCWD, path, CA_MAX, (FileTrust){ .check = true, .follow = true }, &text, &len, err);

        if (r == 0)
                r = kubeconfig_cluster(path, text, len, &cluster, err);
        if (text)
                explicit_bzero(text, len); /* there are keys in it */
        if (r < 0)
                return r;
        if (cluster.ca.data) {
                *ret = TAKE_PTR(cluster.ca.data);
                *ret_len = cluster.ca.len;
                return 0;
        }
        return cluster.ca.file ? read_ca_file(path, cluster.ca.file, ret, ret_len, err) : 0;
}

int setup_ca(const Config *config, const KubeletSettings *kubelet, char **ret, size_t *ret_len, char **ret_note) {
        const char *path = setup_kubeconfig(config, kubelet);
        _cleanup_buf_ Buf note = BUF_INIT;
        Err err = { 0 };
        int r;

        *ret = *ret_note = NULL;
        *ret_len = 0;
        if (!path)
                return 0;
        r = read_ca(path, ret, ret_len, &err);
        /* A kubelet's kubeconfig comes with its bootstrap: it is no fault that it is not there yet. */
        if (r == 0 || (r == -ENOENT && !config->api_kubeconfig))
                return 0;
        if (r == -ENOMEM)
                return r;
        buf_printf(&note, "no ca.crt for pods: %s", err.message);
        *ret_note = buf_take(&note, NULL);
        return *ret_note ? 0 : -ENOMEM;
}

int setup_last_ca(const Config *config, bool read_only, char **ca, size_t *len) {
        _cleanup_fd_ int dir = file_open_at(AT_FDCWD, config->state_dir, O_RDONLY | O_DIRECTORY, 0);
        int r = 0;

        if (dir < 0 || streq(config->api_kubeconfig, "none"))
                return 0;
        if (!*ca)
                r = file_read(dir, CA_FILE, CA_MAX, (FileTrust){ .check = true }, ca, len, NULL);
        else if (!read_only)
                r = file_update_at(dir, CA_FILE ".tmp", CA_FILE, *ca, *len, 0600, NULL);
        return r == -ENOMEM ? r : 0;
}

/* ---- all of it ---- */

int setup_host(const Options *options, Host *ret, Err *err) {
        Host h = { 0 };
        int r;

        r = setup_config(options, &h.config, err);
        if (r == 0)
                r = setup_kubelet(&h.config, &h.kubelet);
        if (r == 0)
                r = setup_node(options, &h.config, &h.kubelet, NULL, &h.node, err);
        if (r == 0)
                r = setup_volumes_dir(&h.config, &h.volumes_dir, err);
        if (r < 0) {
                host_done(&h);
                return r == -ENOMEM ? err_oom(err) : r;
        }
        *ret = h;
        return 0;
}

RenderOptions setup_render_options(const Config *config, const NodeView *node, const char *volumes_dir) {
        return (RenderOptions){
                .node_name = node->name,
                .secret_env_inline = config->secret_env == SECRET_ENV_INLINE,
                .api_server = config->pods_api_server,
                .volumes_dir = volumes_dir,
        };
}

RenderOptions setup_render(const Host *host, const Objects *objects) {
        RenderOptions options = setup_render_options(&host->config, &host->node.view, host->volumes_dir);

        options.objects = objects;
        return options;
}

void host_done(Host *h) {
        config_done(&h->config);
        kubelet_settings_done(&h->kubelet);
        node_facts_done(&h->node);
        free(h->volumes_dir);
}
