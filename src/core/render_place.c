/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that are materialised: where they are, how the pod mounts them, and what they hold. The directory of a
 * ServiceAccount's token is one of them. Tokens that they need are told here. */
#include "core/render_internal.h"

#include <errno.h>
#include <stdio.h>

#define ACCOUNT_VOLUME "kube-api-access"
#define ACCOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"

enum { TOKENS_NAMED_MAX = 3 }; /* in a message */

static const char *const container_lists[] = { "initContainers", "containers" };

/* ---- the ServiceAccount's directory ---- */

/* "" if the template names none. */
static const char *named_account(const cJSON *spec) {
        const char *name = str_or_empty(json_string(spec, "serviceAccountName"));

        return *name ? name : str_or_empty(json_string(spec, "serviceAccount"));
}

const char *account_name(const cJSON *spec) {
        const char *name = named_account(spec);

        return *name ? name : "default";
}

/* Kubernetes gives the directory to every pod; one that names no account has no use for it, and could not start
 * without it. */
bool account_is_wanted(const cJSON *spec) {
        const cJSON *automount = json_get(spec, "automountServiceAccountToken");

        return cJSON_IsBool(automount) ? cJSON_IsTrue(automount) : *named_account(spec);
}

static const cJSON *find_volume(const cJSON *spec, const char *name) {
        const cJSON *volume;

        cJSON_ArrayForEach(volume,
                           json_get(spec, "volumes")) if (streq(json_string(volume, "name"), name)) return volume;
        return NULL;
}

/* A name that no volume of the template has. */
static void account_volume_name(const cJSON *spec, char ret[static 32]) {
        (void)snprintf(ret, 32, ACCOUNT_VOLUME);
        for (unsigned i = 1; find_volume(spec, ret); i++)
                (void)snprintf(ret, 32, ACCOUNT_VOLUME "-%u", i);
}

static bool add_source(cJSON *list, const char *kind, cJSON *value) {
        _cleanup_json_ cJSON *source = cJSON_CreateObject();

        return json_add(source, kind, value) && json_append(list, TAKE_PTR(source));
}

/* {"name":...,"projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},
 * {"daemonletServiceAccount":{}}]}} */
static cJSON *account_volume(const char *name) {
        _cleanup_json_ cJSON *volume = cJSON_CreateObject(), *projected = cJSON_CreateObject(),
                             *token = cJSON_CreateObject();
        cJSON *list = cJSON_CreateArray();

        if (!json_add(projected, "sources", list) || !json_add_string(volume, "name", name) ||
            !json_add(token, "expirationSeconds", json_new_int(TOKEN_SECONDS_ACCOUNT)) ||
            !json_add_string(token, "path", "token") || !add_source(list, "serviceAccountToken", TAKE_PTR(token)) ||
            !add_source(list, PAYLOAD_ACCOUNT, cJSON_CreateObject()))
                return NULL;
        return json_add(volume, "projected", TAKE_PTR(projected)) ? TAKE_PTR(volume) : NULL;
}

static bool mounts_at(const cJSON *container, const char *path) {
        const cJSON *mount;

        cJSON_ArrayForEach(mount, json_get(container, "volumeMounts")) if (streq(json_string(mount, "mountPath"),
                                                                                 path)) return true;
        return false;
}

/* The member of an object that is a list; made if it is missing. */
static cJSON *list_of(cJSON *object, const char *key) {
        cJSON *list = json_get_mutable(object, key);

        if (cJSON_IsArray(list))
                return list;
        list = cJSON_CreateArray();
        return json_put(object, key, list) ? list : NULL;
}

static bool add_mount(cJSON *container, const char *volume, const char *path) {
        cJSON *mount = cJSON_CreateObject();

        if (!json_add_string(mount, "name", volume) || !json_add_string(mount, "mountPath", path)) {
                cJSON_Delete(mount);
                return false;
        }
        return json_append(list_of(container, "volumeMounts"), mount);
}

/* A container that mounts something of its own there keeps it, as in Kubernetes. */
void account_mount(Render *r) {
        char name[32];
        bool used = false;

        account_volume_name(r->spec, name);
        for (size_t i = 0; i < ARRAY_SIZE(container_lists); i++) {
                cJSON *container;

                cJSON_ArrayForEach(container, json_get_mutable(r->spec, container_lists[i])) {
                        if (mounts_at(container, ACCOUNT_PATH))
                                continue;
                        used = true;
                        r->failed |= !add_mount(container, name, ACCOUNT_PATH);
                }
        }
        if (used)
                r->failed |= !json_append(list_of(r->spec, "volumes"), account_volume(name));
}

/* ---- tokens ---- */

static bool add_need(Render *r, const char *account, const cJSON *source) {
        if (!ARRAY_GROW(r->tokens, r->n_tokens, r->cap_tokens) ||
            token_need_init(&r->tokens[r->n_tokens], r->daemonset->namespace, account, token_audience(source),
                            token_seconds(source)) < 0)
                return false;
        r->n_tokens++;
        return true;
}

void tokens_gather(Render *r, const char *account) {
        const cJSON *volume, *source;

        cJSON_ArrayForEach(volume, json_get(r->spec, "volumes")) {
                cJSON_ArrayForEach(source, json_path(volume, "projected.sources")) {
                        const cJSON *token = json_get(source, "serviceAccountToken");

                        if (token)
                                r->failed |= !add_need(r, account, token);
                }
        }
        r->n_tokens = token_needs_merge(r->tokens, r->n_tokens);
}

RenderStatus tokens_judge(const Render *r, Reason *ret_reason, char **ret_message) {
        _cleanup_buf_ Buf text = BUF_INIT;
        size_t n = 0;

        if (!r->options->tokens || !r->options->wait_for_tokens)
                return RENDER_OK;
        for (size_t i = 0; i < r->n_tokens; i++) {
                const TokenNeed *need = &r->tokens[i];

                if (tokens_find(r->options->tokens, need->namespace, need->account, need->audience, need->seconds) ||
                    n++ >= TOKENS_NAMED_MAX)
                        continue;
                buf_str(&text, n > 1 ? "; " : "there is no token yet of ");
                token_need_text(need, &text);
        }
        if (n == 0)
                return RENDER_OK;
        if (n > TOKENS_NAMED_MAX)
                buf_printf(&text, "; and %zu more", n - TOKENS_NAMED_MAX);
        *ret_reason = REASON_WaitingForToken;
        *ret_message = buf_take(&text, NULL);
        return RENDER_WAITING;
}

/* ---- where the volumes are ---- */

bool spec_materialises(const cJSON *spec) {
        const cJSON *volume;

        cJSON_ArrayForEach(volume, json_get(spec, "volumes")) if (payload_is_wanted(volume)) return true;
        return false;
}

/* "<pod>/<input>/<volume>": the pod is named as in its manifest's file name. */
static char *volume_dir(const Object *daemonset, const char *input, const char *volume) {
        char file[MANIFEST_NAME_MAX + 1];
        _cleanup_buf_ Buf dir = BUF_INIT;

        /* Who has no valid name is never written. */
        if (manifest_file_name(daemonset->namespace, daemonset->name, file) < 0)
                return NULL;
        file[strlen(file) - strlen(MANIFEST_SUFFIX)] = 0;
        buf_printf(&dir, "%s/%s/%s", file + strlen(MANIFEST_PREFIX), input, volume);
        return buf_take(&dir, NULL);
}

/* The directory has to be there, or the pod waits: it never starts on nothing. */
static int to_host_path(const RenderOptions *options, const char *dir, cJSON *volume) {
        _cleanup_json_ cJSON *host_path = cJSON_CreateObject();
        _cleanup_buf_ Buf path = BUF_INIT;

        buf_printf(&path, "%s/%s", str_or_empty(options->volumes_dir), dir);
        if (path.failed || !json_add_string(host_path, "path", buf_text(&path)) ||
            !json_add_string(host_path, "type", "Directory"))
                return -ENOMEM;
        for (cJSON *source = volume->child, *next; source; source = next) {
                next = source->next;
                if (!streq(source->string, "name"))
                        cJSON_Delete(cJSON_DetachItemViaPointer(volume, source));
        }
        return json_add(volume, "hostPath", TAKE_PTR(host_path)) ? 0 : -ENOMEM;
}

static int compare_volumes(const void *a, const void *b) {
        const RenderedVolume *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static bool is_placed(const RenderedVolume **sorted, size_t n, const char *name) {
        const RenderedVolume wanted = { .name = (char *)(uintptr_t)str_or_empty(name) }, *key = &wanted;

        return bsearch(&key, sorted, n, sizeof(*sorted), compare_volumes);
}

/* A mount of a single file is bound to the file of the day. */
static void warn_of_sub_path(Render *r, const cJSON *mount, const Path *path) {
        static const char *const keys[] = { "subPath", "subPathExpr" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (*str_or_empty(json_string(mount, keys[i])))
                        render_warn(r, PATH_KEY(path, keys[i]),
                                    "the container does not see changes before it starts anew, as in Kubernetes");
}

/* Every mount of what is materialised. Sorted: there may be many of both. */
static int mount_read_only(Render *r, const Rendered *rendered) {
        _cleanup_free_ const RenderedVolume **sorted = calloc(rendered->n_volumes + 1, sizeof(*sorted));
        cJSON *container, *mount;

        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < rendered->n_volumes; i++)
                sorted[i] = &rendered->volumes[i];
        qsort(sorted, rendered->n_volumes, sizeof(*sorted), compare_volumes);
        for (size_t i = 0; i < ARRAY_SIZE(container_lists); i++) {
                const Path *list = PATH_KEY(NULL, container_lists[i]);
                size_t n = 0;

                cJSON_ArrayForEach(container, json_get_mutable(r->spec, container_lists[i])) {
                        const Path *of = PATH_INDEX(list, n++), *mounts = PATH_KEY(of, "volumeMounts");
                        size_t k = 0;

                        cJSON_ArrayForEach(mount, json_get_mutable(container, "volumeMounts")) {
                                const Path *at = PATH_INDEX(mounts, k++);

                                if (!is_placed(sorted, rendered->n_volumes, json_string(mount, "name")))
                                        continue;
                                warn_of_sub_path(r, mount, at);
                                if (!json_put(mount, "readOnly", cJSON_CreateTrue()))
                                        return -ENOMEM;
                        }
                }
        }
        return 0;
}

static int place_one(const Render *r, const char *input, cJSON *volume, RenderedVolume *ret) {
        const char *name = str_or_empty(json_string(volume, "name"));

        ret->name = strdup(name);
        ret->dir = volume_dir(r->daemonset, input, name);
        if (!ret->name || !ret->dir)
                return -ENOMEM;
        return to_host_path(r->options, ret->dir, volume);
}

int volumes_place(Render *r, const char *input, Rendered *ret) {
        cJSON *volumes = json_get_mutable(r->spec, "volumes"), *volume;
        int n = cJSON_GetArraySize(volumes);

        ret->volumes = calloc((size_t)n + 1, sizeof(*ret->volumes));
        if (!ret->volumes)
                return -ENOMEM;
        cJSON_ArrayForEach(volume, volumes) {
                int k;

                if (!payload_is_wanted(volume))
                        continue;
                k = place_one(r, input, volume, &ret->volumes[ret->n_volumes++]);
                if (k < 0)
                        return k;
        }
        return mount_read_only(r, ret);
}

/* ---- what they hold ---- */

/* The one user that all containers run as, as the kubelet finds it; else -1. */
static int64_t user_of(const cJSON *spec) {
        int64_t one = -1;

        for (size_t i = 0; i < ARRAY_SIZE(container_lists); i++) {
                const cJSON *container;

                cJSON_ArrayForEach(container, json_get(spec, container_lists[i])) {
                        int64_t user;

                        if (!json_int(json_path(container, "securityContext.runAsUser"), &user) &&
                            !json_int(json_path(spec, "securityContext.runAsUser"), &user))
                                return -1;
                        if (one >= 0 && user != one)
                                return -1;
                        one = user;
                }
        }
        return one;
}

/* volume: of the template; NULL: the account's. */
static int payload_of(const Object *daemonset, const RenderOptions *options, const cJSON *template, const cJSON *volume,
                      const char *name, const char *uid, Payload *ret) {
        const cJSON *spec = json_get(template, "spec"), *metadata = json_get(template, "metadata");
        _cleanup_json_ cJSON *account = volume ? NULL : account_volume(name);
        _cleanup_free_ char *pod = pod_full_name(daemonset, options);
        PayloadFacts facts = {
                .objects = options->objects,
                .namespace = daemonset->namespace,
                .volume = volume ? volume : account,
                .fs_group = -1,
                .pod_name = pod,
                .uid = uid,
                .labels = json_get(metadata, "labels"),
                .annotations = json_get(metadata, "annotations"),
                .ca_crt = options->ca_crt,
                .ca_crt_len = options->ca_crt_len,
                .tokens = options->tokens,
                .account = account_name(spec),
                .user = user_of(spec),
        };

        if (!facts.volume || !pod)
                return -ENOMEM;
        (void)json_int(json_get(json_get(spec, "securityContext"), "fsGroup"), &facts.fs_group);
        return payload_make(&facts, ret);
}

int volumes_fill(const Object *daemonset, const RenderOptions *options, const cJSON *template, Rendered *ret) {
        const cJSON *volumes = json_get(json_get(template, "spec"), "volumes");
        const cJSON *volume = volumes ? volumes->child : NULL;

        for (size_t i = 0; i < ret->n_volumes; i++) {
                RenderedVolume *v = &ret->volumes[i];
                _cleanup_payload_ Payload payload = { 0 };
                int k;

                while (volume && !streq(json_string(volume, "name"), v->name)) /* in the template's order, ours last */
                        volume = volume->next;
                k = payload_of(daemonset, options, template, volume, v->name, ret->uid, &payload);

                if (k < 0)
                        return k;
                payload_hash(&payload, v->hash);
                v->empty = payload.n == 0;
        }
        return 0;
}

int render_payload(const Object *daemonset, const RenderOptions *options, const char *volume, const char *uid,
                   Payload *ret) {
        _cleanup_json_ cJSON *template = NULL;
        int k = template_read(daemonset, &template);

        return k < 0 ? k
                     : payload_of(daemonset, options, template, find_volume(json_get(template, "spec"), volume), volume,
                                  uid, ret);
}
