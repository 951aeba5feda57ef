/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are, which cluster it is, and whether this host left it. */
#include "io/clock.h"
#include "io/file.h"
#include "io/source_api_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CLUSTER_FILE "cluster.json"
#define KUBE_SYSTEM "/api/v1/namespaces/kube-system"
#define KUBELET_CONF "kubelet.conf"
#define VERSION_PATH "/version"

enum { CLUSTER_FILE_MAX = 64 * 1024 };

/* ---- what is remembered ---- */

static int take_string(const cJSON *root, const char *key, char **to) {
        const char *value = json_string(root, key);

        if (!value || !*value)
                return 0;
        *to = strdup(value);
        return *to ? 0 : -ENOMEM;
}

static int load_cluster(SourceApi *s) {
        _cleanup_fd_ int dir = file_open_at(AT_FDCWD, s->state_dir, O_RDONLY | O_DIRECTORY, 0);
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ cJSON *root = NULL;
        size_t len;

        if (dir < 0 ||
            file_read(dir, CLUSTER_FILE, CLUSTER_FILE_MAX, (FileTrust){ .check = true }, &text, &len, NULL) < 0 ||
            json_parse(text, len, (Place){ 0 }, NULL, NULL, &root, NULL, NULL, NULL) < 0)
                return 0;
        s->left = json_true(root, "left");
        if (take_string(root, "cluster", &s->known_cluster) < 0 || take_string(root, "kubeSystem", &s->known_uid) < 0 ||
            take_string(root, "kubelet", &s->known_kubelet) < 0)
                return -ENOMEM;
        return 0;
}

/* What cannot be kept is learnt again. */
static void save_cluster(SourceApi *s) {
        _cleanup_fd_ int dir = s->loop ? file_open_at(AT_FDCWD, s->state_dir, O_RDONLY | O_DIRECTORY, 0) : -1;
        _cleanup_json_ cJSON *root = cJSON_CreateObject();
        _cleanup_buf_ Buf text = BUF_INIT;

        if (dir < 0 || !json_add_string(root, "cluster", str_or_empty(s->known_cluster)) ||
            !json_add_string(root, "kubeSystem", str_or_empty(s->known_uid)) ||
            !json_add_string(root, "kubelet", str_or_empty(s->known_kubelet)) ||
            (s->left && !json_add(root, "left", cJSON_CreateTrue())))
                return;
        json_canonical(root, &text);
        if (!text.failed)
                (void)file_update_at(dir, CLUSTER_FILE ".tmp", CLUSTER_FILE, buf_text(&text), text.len, 0600, NULL);
}

static bool set(char **to, const char *value) {
        char *copy;

        if (streq(*to, value))
                return false;
        copy = strdup(value);
        if (!copy)
                return false;
        free(*to);
        *to = copy;
        return true;
}

/* ---- the cache ---- */

static void read_machine_id(SourceApi *s, const char *path) {
        size_t len;

        if (file_read(AT_FDCWD, path, 4096, (FileTrust){ .follow = true }, &s->machine_id, &len, NULL) == 0)
                s->machine_id[strcspn(s->machine_id, "\n")] = 0;
}

static int open_cache(SourceApi *s) {
        const ApiCacheKey key = {
                .node = str_or_empty(s->node_name),
                .machine_id = str_or_empty(s->machine_id),
                .cluster = s->has_identity ? s->identity.cluster : str_or_empty(s->known_cluster),
        };

        s->cache = api_cache_free(s->cache);
        /* Without a cluster there is nothing that it could be of. */
        return *key.cluster ? api_cache_new(s->state_dir, &key, !s->loop, &s->cache) : 0;
}

/* ---- identity ---- */

static int use_identity(SourceApi *s, ApiIdentity *new) {
        bool same = s->has_identity && api_identity_equal(&s->identity, new);
        bool moved = !s->has_identity || !streq(s->identity.server, new->server);
        /* An unknown identity counts as one of our own. */
        bool was_kubelet = s->has_identity && s->identity.is_kubelet;
        bool other_rights = (s->has_identity || s->n_follows > 0) && was_kubelet != new->is_kubelet;
        bool other_cluster = s->has_identity && !streq(s->identity.cluster, new->cluster);
        int r = 0;

        if (s->has_identity)
                api_identity_done(&s->identity);
        s->identity = *new;
        *new = (ApiIdentity){ 0 };
        s->has_identity = true;
        if (same)
                return 0;
        if (s->http) {
                const HttpIdentity identity = {
                        .ca = s->identity.ca,
                        .ca_len = s->identity.ca_len,
                        .cert = s->identity.cert,
                        .cert_len = s->identity.cert_len,
                        .key = s->identity.key,
                        .key_len = s->identity.key_len,
                        .tls_server_name = s->identity.tls_server_name,
                        .insecure = s->identity.insecure,
                        .proxy = s->identity.proxy_url     ? s->identity.proxy_url
                                 : s->proxy_of_environment ? ""
                                                           : NULL,
                        .user_agent = "daemonlet/" PACKAGE_VERSION,
                };

                r = http_set_identity(s->http, &identity);
        }
        if (r == 0 && !s->left && (other_cluster || !s->cache))
                r = open_cache(s);
        if (r == 0 && other_rights && !s->left)
                r = follow_reload(s);
        if (moved || other_cluster) {
                follow_restart(s, other_cluster);
                /* What the former server still says would be taken for the new one's word. */
                question_done(&s->who);
                question_done(&s->gone);
                tokens_restart(s);
        }
        s->shut = true;
        s->knock_at = clock_boot_ms();
        follow_await(s);
        api_news(s, API_CHANGED_STATE);
        if (r < 0) {
                /* Half of it is none: it is read as a new one when it is tried again. */
                api_identity_done(&s->identity);
                s->has_identity = false;
        }
        return r;
}

static int read_identity(SourceApi *s) {
        _cleanup_api_identity_ ApiIdentity new = { 0 };
        Err err = { 0 };
        int r;

        if (!s->kubeconfig)
                r = err_set(&err, -ENOENT, "there is no kubeconfig");
        else
                r = api_identity_read(s->kubeconfig, s->allow_insecure, &new, &err);
        if (r == 0)
                r = use_identity(s, &new);
        if (!streq(s->identity_problem.message, err.message))
                api_news(s, API_CHANGED_STATE);
        s->identity_problem = err;
        return r;
}

void cluster_check_identity(SourceApi *s, int64_t now) {
        bool due = s->identity_due >= 0 && s->identity_due <= now;

        if (!s->kubeconfig ||
            (!due && !(s->has_identity && s->identity_due < 0 && api_identity_has_changed(&s->identity))))
                return;
        s->identity_due = -1;
        if (read_identity(s) < 0)
                s->identity_due = now + backoff_next(&s->identity_backoff, api_random());
        else
                backoff_reset(&s->identity_backoff);
}

static bool is_gone(const char *path) {
        return path && access(path, F_OK) < 0 && errno == ENOENT;
}

/* A kubelet that is to be given a new identity has a bootstrap kubeconfig beside it until it has one. */
static bool is_bootstrapping(const char *kubeconfig) {
        const char *slash = strrchr(kubeconfig, '/');
        _cleanup_buf_ Buf path = BUF_INIT;

        buf_add(&path, kubeconfig, slash ? (size_t)(slash - kubeconfig) + 1 : 0);
        buf_str(&path, "bootstrap-" KUBELET_CONF);
        return path.failed || access(buf_text(&path), F_OK) == 0;
}

static bool is_away(const SourceApi *s) {
        return is_gone(s->known_kubelet) && (!s->kubelet_kubeconfig || is_gone(s->kubelet_kubeconfig)) &&
               !is_bootstrapping(s->known_kubelet);
}

int cluster_open(SourceApi *s, const char *machine_id_file) {
        int r = load_cluster(s);

        if (r < 0)
                return r;
        s->left &= is_away(s);
        read_machine_id(s, machine_id_file);
        r = read_identity(s);
        if (r == -ENOMEM)
                return r;
        if (r < 0 && s->kubeconfig)
                s->identity_due = clock_boot_ms() + backoff_next(&s->identity_backoff, api_random());
        if (!s->cache && !s->left)
                r = open_cache(s);
        cluster_check_left(s, clock_boot_ms());
        return r == -ENOMEM ? r : 0;
}

/* ---- which cluster ---- */

/* Also where nothing of the one before is in a list that could be doubted: the cache is not of it. */
static void doubt_cluster(SourceApi *s) {
        s->other_since = clock_boot_ms();
        follow_restart(s, true);
        tokens_restart(s);
        s->cache_failed = false;
        buf_reset(&s->cache_note);
        buf_str(&s->cache_note, "another cluster answers than before; what it lacks is kept for a while");
}

static void learn_uid(SourceApi *s, const Question *q) {
        _cleanup_json_ cJSON *root = NULL;
        const char *uid = NULL;

        if (q->status == 200 && question_read(q, &root) == 0)
                uid = json_string(json_get(root, "metadata"), "uid");
        if (!uid || !*uid || streq(uid, s->known_uid))
                return;
        if (s->known_uid)
                doubt_cluster(s);
        (void)set(&s->known_uid, uid);
}

bool cluster_is_other(const SourceApi *s) {
        return s->other_since >= 0;
}

void cluster_settle(SourceApi *s, int64_t now) {
        if (s->other_since < 0 || now - s->other_since < REFLECTOR_DOUBT)
                return;
        s->other_since = -1;
        api_news(s, API_CHANGED_OBJECTS | API_CHANGED_STATE);
}

static void on_cluster(Question *q) {
        SourceApi *s = q->api;

        learn_uid(s, q);
        if (s->known_cluster && !streq(s->known_cluster, s->identity.cluster))
                doubt_cluster(s);
        (void)set(&s->known_cluster, s->identity.cluster);
        if (s->kubelet_kubeconfig && access(s->kubelet_kubeconfig, F_OK) == 0)
                (void)set(&s->known_kubelet, s->kubelet_kubeconfig);
        /* A list that is doubted is of the cluster before: after a restart of ours it has to be doubted anew. */
        if (!cluster_is_other(s) && !follow_is_any_doubted(s))
                save_cluster(s);
}

void cluster_ask_by(Question *q, SourceApi *s, void (*done)(Question *q)) {
        /* The kubelet's identity may not read namespaces, but everybody may ask for the version. */
        (void)question_ask(q, s, s->identity.is_kubelet ? VERSION_PATH : KUBE_SYSTEM, NULL, 0, done);
}

void cluster_ask(SourceApi *s) {
        cluster_ask_by(&s->who, s, on_cluster);
}

bool cluster_is_the_same(Question *q) {
        const SourceApi *s = q->api;

        on_cluster(q);
        /* Where the UID was never to be had, the CA has to do. */
        return !cluster_is_other(s) && (q->status == 200 || !s->known_uid || s->identity.is_kubelet);
}

/* ---- left ---- */

/* Nothing of that cluster is kept: neither in memory nor on disk. */
static void leave(SourceApi *s) {
        s->left = true;
        follow_drop_all(s);
        question_done(&s->who);
        question_done(&s->gone);
        live_node_done(&s->node);
        s->has_node = false;
        s->node_since = s->node_gone_since = s->other_since = -1;
        if (s->cache && s->loop)
                (void)api_cache_drop(s->cache, NULL);
        s->cache = api_cache_free(s->cache);
        free(s->known_uid);
        free(s->known_cluster);
        s->known_uid = s->known_cluster = NULL;
        save_cluster(s);
        api_news(s, API_CHANGED_OBJECTS | API_CHANGED_STATE | API_CHANGED_NODE);
}

static void join(SourceApi *s, int64_t now) {
        s->left = false;
        s->shut = true;
        s->identity_due = s->kubeconfig ? now : -1;
        s->knock_at = now;
        (void)open_cache(s);
        (void)follow_reload(s);
        follow_await(s);
}

/* `kubeadm reset` takes the kubelet's kubeconfig away. */
void cluster_check_left(SourceApi *s, int64_t now) {
        s->looked_at = now;
        if (!is_away(s)) {
                s->left_since = -1;
                if (s->left)
                        join(s, now);
                return;
        }
        if (s->left_since < 0)
                s->left_since = now;
        if (!s->left && now - s->left_since >= s->settle)
                leave(s);
}
