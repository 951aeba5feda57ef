/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a container, without references to API objects.
 *
 * What the kubelet does (makeEnvironmentVariables and expansion.Expand, before and after names were relaxed):
 * - A map is filled from envFrom, in order: the later source wins. Of a ConfigMap data counts, not binaryData; a
 *   missing object is skipped if it is optional and else keeps the container from starting.
 * - Then env, in order, writes to the same map. In a value $(NAME) becomes what the map holds at that moment, so what
 *   envFrom or an earlier entry gave, else the Service variable of that name, else it stays as it is; $$ becomes $.
 *   Values from valueFrom are taken as they are. An optional key or object that is missing sets nothing, and what was
 *   in the map stays there; one that is not optional keeps the container from starting.
 * - Service variables, KUBERNETES_SERVICE_HOST among them, are added where the map has no such name.
 * - Up to 1.29, and up to 1.31 by default, a name from envFrom that breaks the strict grammar is skipped; later any
 *   name is taken that is printable ASCII without '='.
 * - Commands, arguments and subPathExpr are expanded from the result. Not so the command of an exec probe: that sees
 *   the env list as it is written, where an entry with valueFrom is empty, and one from envFrom does not exist.
 *
 * What is made of it: the values, with every $ doubled, stand in place of valueFrom, and those from envFrom, each name
 * once and sorted, in front of env: there they fill the map as envFrom did. Those are left out that env sets whatever
 * happens and refers to nowhere. In probes' commands, references to what is now a plain value are changed so that they
 * still give what they gave. Names that a kubelet before 1.35 refuses in a static pod are kept, with a warning.
 *
 * The address of the API server stands in front of all, unless the container sets one of its two variables itself:
 * host and port belong together, so it gets both or none. */
#include "core/render_env_internal.h"

enum { CANDIDATES_MAX = 8 * MANIFEST_SIZE_MAX }; /* bytes of envFrom, before the later one wins */

#define RELAXED_NAME                                                                                                   \
        "\"%s\" is a relaxed name: kubelets before 1.35 refuse this in a static pod, and the pod then does not run"

/* ---- env ---- */

static Fate look_at_key(Env *e, ObjectKind kind, cJSON *item, const cJSON *ref, const Path *path) {
        const Object *object = env_object(e, kind, ref, path);
        const char *key = str_or_empty(json_string(ref, "key"));
        bool optional = json_true(ref, "optional");
        const Data *data = object ? env_data(e, object) : NULL;
        const cJSON *datum = data ? env_datum(data, key) : NULL;
        cJSON *value;

        if (!datum) {
                if (data && !optional)
                        reference_no_key(e->r, kind, object->name, key, path);
                return optional ? ENTRY_DROPPED : ENTRY_KEPT;
        }
        value = env_value(e, str_or_empty(json_string(item, "name")), object, datum, path);
        if (!value)
                return ENTRY_KEPT;
        if (!json_put(item, "value", value))
                e->r->failed = true;
        json_delete(item, "valueFrom");
        return ENTRY_INLINED;
}

static Fate look_at_config_map(Env *e, cJSON *item, const cJSON *ref, const Path *path) {
        return look_at_key(e, OBJECT_CONFIGMAP, item, ref, path);
}

static Fate look_at_secret(Env *e, cJSON *item, const cJSON *ref, const Path *path) {
        return look_at_key(e, OBJECT_SECRET, item, ref, path);
}

static Fate look_at_field(Env *e, cJSON *item, const cJSON *ref, const Path *path) {
        (void)item;
        render_field_ref(e->r, ref, path);
        return ENTRY_KEPT;
}

static Fate look_at_file(Env *e, cJSON *item, const cJSON *ref, const Path *path) {
        (void)item;
        render_warn(e->r, path, "needs a kubelet with the feature EnvFiles (on from 1.35)");
        return json_true(ref, "optional") ? ENTRY_UNSURE : ENTRY_KEPT;
}

static const struct {
        const char *field;
        Fate (*look)(Env *e, cJSON *item, const cJSON *ref, const Path *path);
} value_from[] = {
        { "fieldRef", look_at_field },
        { "configMapKeyRef", look_at_config_map },
        { "secretKeyRef", look_at_secret },
        { "fileKeyRef", look_at_file },
};

static Fate look_at_entry(Env *e, cJSON *item, const Path *path) {
        const char *name = json_string(item, "name");

        if (name && !is_strict_env_name(name))
                render_warn(e->r, PATH_KEY(path, "name"), RELAXED_NAME, name);
        for (size_t i = 0; i < ARRAY_SIZE(value_from); i++) {
                const cJSON *ref = json_get(json_get(item, "valueFrom"), value_from[i].field);
                const Path *at = PATH_KEY(PATH_KEY(path, "valueFrom"), value_from[i].field);

                if (cJSON_IsObject(ref)) /* there is only one */
                        return value_from[i].look(e, item, ref, at);
        }
        return ENTRY_KEPT;
}

static void look_at_env(Env *e) {
        const cJSON *list = json_get(e->container, "env");
        size_t i = 0;

        for (cJSON *item = cJSON_IsArray(list) ? list->child : NULL; item; item = item->next, i++) {
                Fate fate = look_at_entry(e, item, PATH_INDEX(PATH_KEY(e->path, "env"), i));

                if (!ARRAY_GROW(e->entries, e->n_entries, e->cap_entries)) {
                        e->r->failed = true;
                        return;
                }
                e->entries[e->n_entries++] = (Entry){
                        .item = item, .name = str_or_empty(json_string(item, "name")), .index = i, .fate = fate
                };
        }
        env_sort_entries(e);
}

/* ---- envFrom ---- */

static const struct {
        const char *field;
        ObjectKind kind;
} env_from[] = {
        { "configMapRef", OBJECT_CONFIGMAP },
        { "secretRef", OBJECT_SECRET },
};

static bool add_variable(Env *e, const Object *object, const char *prefix, const cJSON *datum, size_t index) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_free_ char *name = NULL;

        buf_str(&text, prefix);
        buf_str(&text, datum->string);
        name = buf_take(&text, NULL);
        if (!name || !ARRAY_GROW(e->variables, e->n_variables, e->cap_variables)) {
                e->r->failed = true;
                return false;
        }
        e->candidates += strlen(name) + strlen(datum->valuestring) + ENTRY_BYTES;
        e->variables[e->n_variables++] = (Variable){
                .name = TAKE_PTR(name), .object = object, .datum = datum, .index = index
        };
        return true;
}

static void add_variables(Env *e, const Object *object, const char *prefix, size_t index, const Path *path) {
        const Data *data = env_data(e, object);

        for (size_t i = 0; data && i < data->n && !e->full; i++) {
                if (!add_variable(e, object, prefix, data->items[i], index))
                        return;
                if (e->candidates > CANDIDATES_MAX)
                        env_refuse_as_too_large(e, path);
        }
}

/* Whether the source is of a kind that is known, and is no longer needed. */
static bool look_at_source(Env *e, const cJSON *item, size_t index, const Path *path) {
        for (size_t i = 0; i < ARRAY_SIZE(env_from); i++) {
                const cJSON *ref = json_get(item, env_from[i].field);
                const Path *at = PATH_KEY(path, env_from[i].field);
                const Object *object;

                if (!cJSON_IsObject(ref))
                        continue;
                object = env_object(e, env_from[i].kind, ref, at);
                if (object)
                        add_variables(e, object, str_or_empty(json_string(item, "prefix")), index, at);
                return true;
        }
        return false;
}

static void look_at_env_from(Env *e) {
        cJSON *list = json_get_mutable(e->container, "envFrom");
        bool any = false;
        size_t i = 0;

        for (cJSON *item = cJSON_IsArray(list) ? list->child : NULL, *next; item; item = next, i++) {
                next = item->next;
                if (!look_at_source(e, item, i, PATH_INDEX(PATH_KEY(e->path, "envFrom"), i)))
                        continue;
                cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
                any = true;
        }
        if (any && !list->child)
                json_delete(e->container, "envFrom");
        env_sort_variables(e);
}

/* ---- the new list ---- */

/* Whether env sets the variable whatever happens. */
static bool is_set_by_env(const Env *e, const char *name) {
        size_t n;
        const Entry *entries = env_entries(e, (Name){ name, strlen(name) }, &n);

        for (size_t i = 0; i < n; i++)
                if (entries[i].fate == ENTRY_KEPT || entries[i].fate == ENTRY_INLINED)
                        return true;
        return false;
}

/* Puts a variable in front of what env has. Takes the value; NULL is a failure. */
static void place(Env *e, cJSON *list, cJSON *first, const char *name, cJSON *value) {
        cJSON *item = cJSON_CreateObject();

        if (!item || !json_add_string(item, "name", name)) {
                cJSON_Delete(value);
                value = NULL;
        }
        if (item && json_add(item, "value", value)) {
                env_insert_before(list, first, item);
                return;
        }
        cJSON_Delete(item);
        e->r->failed = true;
}

static void place_variable(Env *e, cJSON *list, cJSON *first, Variable *v) {
        const Path *path = PATH_KEY(PATH_INDEX(PATH_KEY(e->path, "envFrom"), v->index),
                                    v->object->kind == OBJECT_SECRET ? "secretRef" : "configMapRef");
        cJSON *value;

        if (is_set_by_env(e, v->name) && !env_is_referred_to(e, v->name))
                return;
        if (!is_relaxed_env_name(v->name)) {
                render_warn(e->r, path, "\"%s\" can be no variable's name; left out", v->name);
                return;
        }
        value = env_value(e, v->name, v->object, v->datum, path);
        if (!value)
                return;
        if (!is_strict_env_name(v->name))
                render_warn(e->r, path, RELAXED_NAME, v->name);
        place(e, list, first, v->name, value);
        v->placed = true;
}

static const char *const api_server_names[] = { "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT" };

bool env_is_api_server(Name name) {
        for (size_t i = 0; i < ARRAY_SIZE(api_server_names); i++)
                if (strlen(api_server_names[i]) == name.len && memcmp(api_server_names[i], name.text, name.len) == 0)
                        return true;
        return false;
}

/* Whether the container says itself where the API server is, even if it does so in part only. */
static bool has_api_server(const Env *e) {
        for (size_t i = 0; i < ARRAY_SIZE(api_server_names); i++) {
                const Name name = { api_server_names[i], strlen(api_server_names[i]) };
                size_t n;
                const Entry *entries = env_entries(e, name, &n);

                for (size_t k = 0; k < n; k++)
                        if (entries[k].fate != ENTRY_DROPPED)
                                return true;
                if (env_variable(e, name))
                        return true;
        }
        return false;
}

static void place_api_server(Env *e, cJSON *list, cJSON *first) {
        const char *address = e->r->options->api_server, *colon = strrchr(address, ':');
        _cleanup_buf_ Buf host = BUF_INIT;

        if (!colon)
                return;
        if (*address == '[' && colon > address + 1) /* what stands in front of the colon is "[v6]" */
                buf_add(&host, address + 1, (size_t)(colon - address) - 2);
        else
                buf_add(&host, address, (size_t)(colon - address));
        place(e, list, first, api_server_names[0], host.failed ? NULL : cJSON_CreateString(buf_text(&host)));
        place(e, list, first, api_server_names[1], cJSON_CreateString(colon + 1));
        e->api_server = e->r->uses_api_server = true;
}

static void drop_entries(Env *e) {
        cJSON *list = json_get_mutable(e->container, "env");
        bool any = false;

        for (size_t i = 0; i < e->n_entries; i++)
                if (e->entries[i].fate == ENTRY_DROPPED) {
                        cJSON_Delete(cJSON_DetachItemViaPointer(list, e->entries[i].item));
                        e->entries[i].item = NULL;
                        any = true;
                }
        if (any && !list->child)
                json_delete(e->container, "env");
}

static void place_all(Env *e) {
        bool api_server = e->r->options->api_server && !has_api_server(e), is_new;
        cJSON *list = json_get_mutable(e->container, "env"), *first;

        if (!api_server && e->n_variables == 0)
                return;
        is_new = !cJSON_IsArray(list);
        if (is_new) {
                list = cJSON_CreateArray();
                if (!json_put(e->container, "env", list)) {
                        e->r->failed = true;
                        return;
                }
        }
        first = list->child;
        if (api_server)
                place_api_server(e, list, first);
        for (size_t i = 0; i < e->n_variables; i++)
                place_variable(e, list, first, &e->variables[i]);
        if (is_new && !list->child)
                json_delete(e->container, "env");
}

/* ---- all of it ---- */

static void env_done(Env *e) {
        for (size_t i = 0; i < e->n_variables; i++)
                free(e->variables[i].name);
        for (size_t i = 0; i < e->n_inlined; i++)
                cJSON_Delete(e->inlined[i].value);
        for (size_t i = 0; e->data && i < objects_count(e->r->options->objects); i++) {
                cJSON_Delete(e->data[i].tree);
                free(e->data[i].items);
        }
        free(e->entries);
        free(e->variables);
        free(e->references);
        free(e->inlined);
        free(e->data);
}

void render_env(Render *r, cJSON *container, const Path *path) {
        _cleanup_(env_done) Env e = { .r = r, .path = path, .container = container };

        look_at_env(&e);
        look_at_env_from(&e);
        if (r->failed)
                return;
        place_all(&e);
        env_keep_probes(&e);
        drop_entries(&e);
        env_record(&e);
}
