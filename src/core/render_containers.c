/* SPDX-License-Identifier: Apache-2.0 */
/* Containers: nearly everything in them is the kubelet's business and kept. What is looked at: the environment's
 * references to API objects, images that need a registry, and what kubelets before 1.35 refuse in a static pod although
 * the API server takes it. */
#include "core/render_internal.h"

#define BEFORE_1_35 "kubelets before 1.35 refuse this in a static pod, and the pod then does not run"

typedef struct Container {
        cJSON *json;
        bool sidecar; /* an init container that keeps running */
} Container;

/* ---- the environment ---- */

static EnvVerdict env_config_map(Render *r, const cJSON *ref, const Path *path) {
        return reference_env(r, REFERENCE_CONFIGMAP, json_string(ref, "name"), json_true(ref, "optional"), path);
}

static EnvVerdict env_secret(Render *r, const cJSON *ref, const Path *path) {
        return reference_env(r, REFERENCE_SECRET, json_string(ref, "name"), json_true(ref, "optional"), path);
}

static EnvVerdict env_field(Render *r, const cJSON *ref, const Path *path) {
        render_field_ref(r, ref, path);
        return ENV_KEEP;
}

static EnvVerdict env_file(Render *r, const cJSON *ref, const Path *path) {
        (void)ref;
        render_warn(r, path, "needs a kubelet with the feature EnvFiles (on from 1.35)");
        return ENV_KEEP;
}

typedef struct EnvSource {
        const char *field;
        EnvVerdict (*look)(Render *r, const cJSON *ref, const Path *path);
} EnvSource;

static const EnvSource value_from[] = {
        { "configMapKeyRef", env_config_map },
        { "secretKeyRef", env_secret },
        { "fieldRef", env_field },
        { "fileKeyRef", env_file },
};

static const EnvSource env_from[] = {
        { "configMapRef", env_config_map },
        { "secretRef", env_secret },
};

static EnvVerdict look_at_sources(Render *r, const cJSON *holder, const EnvSource *sources, size_t n,
                                  const Path *path) {
        for (size_t i = 0; i < n; i++) {
                const cJSON *ref = json_get(holder, sources[i].field);

                if (cJSON_IsObject(ref) && sources[i].look(r, ref, PATH_KEY(path, sources[i].field)) == ENV_DROP)
                        return ENV_DROP;
        }
        return ENV_KEEP;
}

/* The grammar of environment variables' names before it was relaxed. */
static bool is_strict_env_name(const char *s) {
        for (const char *c = s; *c; c++) {
                bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || strchr("-._", *c);

                if (!letter && !(c > s && *c >= '0' && *c <= '9'))
                        return false;
        }
        return true;
}

static void check_env_name(Render *r, const cJSON *item, const char *key, const Path *path) {
        const char *name = json_string(item, key);

        if (name && !is_strict_env_name(name))
                render_warn(r, PATH_KEY(path, key), "\"%s\" is a relaxed name: %s", name, BEFORE_1_35);
}

static void look_at_env(Render *r, const Container *c, cJSON *list, const Path *path) {
        size_t i = 0;

        (void)c;
        for (cJSON *item = list->child, *next; item; item = next, i++) {
                const Path *at = PATH_INDEX(path, i);

                next = item->next;
                check_env_name(r, item, "name", at);
                if (look_at_sources(r, json_get(item, "valueFrom"), value_from, ARRAY_SIZE(value_from),
                                    PATH_KEY(at, "valueFrom")) == ENV_DROP)
                        cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
        }
}

static void look_at_env_from(Render *r, const Container *c, cJSON *list, const Path *path) {
        size_t i = 0;

        (void)c;
        for (cJSON *item = list->child, *next; item; item = next, i++) {
                const Path *at = PATH_INDEX(path, i);

                next = item->next;
                check_env_name(r, item, "prefix", at);
                if (look_at_sources(r, item, env_from, ARRAY_SIZE(env_from), at) == ENV_DROP)
                        cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
        }
}

/* ---- what old kubelets refuse ---- */

static void look_at_restart_policy(Render *r, const Container *c, cJSON *value, const Path *path) {
        if (!c->sidecar && value_is_set(value))
                render_warn(r, path, "%s", BEFORE_1_35);
}

static void look_at_restart_rules(Render *r, const Container *c, cJSON *value, const Path *path) {
        (void)c;
        if (value_is_set(value))
                render_warn(r, path, "%s", BEFORE_1_35);
}

static void look_at_resize_policy(Render *r, const Container *c, cJSON *value, const Path *path) {
        if (c->sidecar && value_is_set(value))
                render_warn(r, path, "in a sidecar: %s", BEFORE_1_35);
}

static void look_at_lifecycle(Render *r, const Container *c, cJSON *value, const Path *path) {
        static const char *const hooks[] = { "postStart", "preStop" };

        (void)c;
        for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
                const cJSON *sleep = json_get(json_get(value, hooks[i]), "sleep");
                int64_t seconds = 0;

                /* An absent number of seconds is 0 as well. */
                (void)json_int(json_get(sleep, "seconds"), &seconds);
                if (sleep && seconds == 0)
                        render_warn(r, PATH_KEY(PATH_KEY(path, hooks[i]), "sleep"), "of 0 seconds: %s", BEFORE_1_35);
        }
}

/* ---- images ---- */

/* What Kubernetes pulls always where no policy is given: the tag latest, or neither tag nor digest. */
static bool is_latest(const char *image) {
        const char *digest = strchr(image, '@'), *end = digest ? digest : image + strlen(image), *tag = end;

        while (tag > image && tag[-1] != ':' && tag[-1] != '/')
                tag--;
        if (tag > image && tag[-1] == ':')
                return end - tag == 6 && strncmp(tag, "latest", 6) == 0;
        return !digest;
}

void render_image(Render *r, const char *image, const char *policy, const Path *image_path, const Path *policy_path) {
        if (!image || !*image)
                return;
        if (streq(policy, "Always"))
                render_warn(r, policy_path,
                            "Always needs the registry at each start, even where the image is on the node; use "
                            "IfNotPresent and a fixed tag");
        else if (!(policy && *policy) && is_latest(image))
                render_warn(
                        r, image_path,
                        "\"%s\" is pulled at each start and needs the registry, even where it is on the node; use a "
                        "fixed tag or imagePullPolicy IfNotPresent",
                        image);
}

/* ---- all of a container ---- */

static const struct {
        const char *field;
        int type; /* of the value; others are left alone */
        void (*look)(Render *r, const Container *c, cJSON *value, const Path *path);
} container_fields[] = {
        { "env", cJSON_Array, look_at_env },
        { "envFrom", cJSON_Array, look_at_env_from },
        { "lifecycle", cJSON_Object, look_at_lifecycle },
        { "resizePolicy", cJSON_Array, look_at_resize_policy },
        { "restartPolicy", cJSON_String, look_at_restart_policy },
        { "restartPolicyRules", cJSON_Array, look_at_restart_rules },
};

static void look_at_container(Render *r, const Container *c, const Path *path) {
        for (size_t i = 0; i < ARRAY_SIZE(container_fields); i++) {
                cJSON *value = json_get_mutable(c->json, container_fields[i].field);

                if (value && (value->type & 0xff) == container_fields[i].type)
                        container_fields[i].look(r, c, value, PATH_KEY(path, container_fields[i].field));
        }
        render_image(r, json_string(c->json, "image"), json_string(c->json, "imagePullPolicy"), PATH_KEY(path, "image"),
                     PATH_KEY(path, "imagePullPolicy"));
}

void render_containers(Render *r, cJSON *list, const Path *path) {
        size_t i = 0;

        for (cJSON *item = list->child; item; item = item->next, i++)
                look_at_container(r, &(Container){ .json = item }, PATH_INDEX(path, i));
}

void render_init_containers(Render *r, cJSON *list, const Path *path) {
        size_t i = 0;

        for (cJSON *item = list->child; item; item = item->next, i++)
                look_at_container(
                        r, &(Container){ .json = item, .sidecar = streq(json_string(item, "restartPolicy"), "Always") },
                        PATH_INDEX(path, i));
}
