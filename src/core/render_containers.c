/* SPDX-License-Identifier: Apache-2.0 */
/* Containers: nearly everything in them is the kubelet's business and kept. What is looked at: the environment (in
 * render_env.c), images that need a registry, and what kubelets before 1.35 refuse in a static pod although the API
 * server takes it. */
#include "core/render_internal.h"

#define BEFORE_1_35 "kubelets before 1.35 refuse this in a static pod, and the pod then does not run"

typedef struct Container {
        cJSON *json;
        bool sidecar; /* an init container that keeps running */
} Container;

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

bool image_is_latest(const char *image) {
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
        else if (!(policy && *policy) && image_is_latest(image))
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
        { "lifecycle", cJSON_Object, look_at_lifecycle },
        { "resizePolicy", cJSON_Array, look_at_resize_policy },
        { "restartPolicy", cJSON_String, look_at_restart_policy },
        { "restartPolicyRules", cJSON_Array, look_at_restart_rules },
};

static void look_at_container(Render *r, const Container *c, const Path *path) {
        render_env(r, c->json, path);
        for (size_t i = 0; i < ARRAY_SIZE(container_fields); i++) {
                cJSON *value = json_get_mutable(c->json, container_fields[i].field);

                if (value && (value->type & 0xff) == container_fields[i].type)
                        container_fields[i].look(r, c, value, PATH_KEY(path, container_fields[i].field));
        }
        render_image(r, json_string(c->json, "image"), json_string(c->json, "imagePullPolicy"), PATH_KEY(path, "image"),
                     PATH_KEY(path, "imagePullPolicy"));
}

/* No less than what the environment takes in the manifest. */
static size_t env_size(const cJSON *container) {
        const cJSON *item;
        size_t size = 0;

        cJSON_ArrayForEach(item, json_get(container, "env")) size += strlen(str_or_empty(json_string(item, "name"))) +
                                                                     strlen(str_or_empty(json_string(item, "value")));
        return size;
}

/* One small container may take a large environment from an object, and there may be many: what cannot become a manifest
 * is not made. */
static void look_at_list(Render *r, cJSON *list, bool init, const Path *path) {
        size_t i = 0, size = 0;

        for (cJSON *item = list->child; item; item = item->next, i++) {
                bool sidecar = init && streq(json_string(item, "restartPolicy"), "Always");

                look_at_container(r, &(Container){ .json = item, .sidecar = sidecar }, PATH_INDEX(path, i));
                size += env_size(item);
                if (size <= MANIFEST_SIZE_MAX)
                        continue;
                render_refuse(r, REASON_TooLarge, path,
                              "the environment would be larger than %d bytes, the most that a pod in the API can have",
                              (int)MANIFEST_SIZE_MAX);
                return;
        }
}

void render_containers(Render *r, cJSON *list, const Path *path) {
        look_at_list(r, list, false, path);
}

void render_init_containers(Render *r, cJSON *list, const Path *path) {
        look_at_list(r, list, true, path);
}
