/* SPDX-License-Identifier: Apache-2.0 */
#include "core/render.h"
#include "base/hash.h"
#include "core/render_internal.h"
#include "core/selector.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum {
        REFUSALS_NAMED_MAX = 3,
        NAME_MAX_WITH_NODE = 253,
        ANNOTATIONS_MAX = 256 * 1024, /* keys and values of all, as Kubernetes counts them */
        ANNOTATIONS_KUBELET = 256,    /* room for the four that the kubelet adds to a pod and its mirror */
};

/* ---- what the parts say ---- */

void path_text(const Path *path, Buf *out) {
        if (!path) {
                buf_str(out, "spec.template.spec");
                return;
        }
        path_text(path->up, out);
        if (path->key)
                buf_printf(out, ".%s", path->key);
        else
                buf_printf(out, "[%zu]", path->index);
}

void render_warn(Render *r, const Path *path, const char *format, ...) {
        _cleanup_buf_ Buf where = BUF_INIT;
        char message[ERR_MAX];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        path_text(path, &where);
        r->failed |= where.failed;
        diag_add(&r->warnings, DIAG_WARNING, (Place){ 0 }, buf_text(&where), "%s", message);
}

void render_refuse(Render *r, Reason reason, const Path *path, const char *format, ...) {
        char message[ERR_MAX];
        va_list ap;

        if (r->n_refusals == 0)
                r->refusal = reason;
        if (r->n_refusals++ >= REFUSALS_NAMED_MAX)
                return;
        va_start(ap, format);
        (void)vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        if (r->n_refusals > 1)
                buf_str(&r->refusals, "; ");
        path_text(path, &r->refusals);
        buf_printf(&r->refusals, ": %s", message);
}

bool value_is_set(const cJSON *value) {
        if (!value || cJSON_IsNull(value))
                return false;
        if (cJSON_IsObject(value) || cJSON_IsArray(value))
                return value->child;
        return !cJSON_IsString(value) || *value->valuestring;
}

static const struct {
        const char *field, *text;
} downward_fields[] = {
        { "metadata.uid", "metadata.uid is the static pod's own and not that of the pod in the API" },
        { "spec.serviceAccountName", "spec.serviceAccountName is empty in a static pod" },
};

void render_field_ref(Render *r, const cJSON *field_ref, const Path *path) {
        const char *field = json_string(field_ref, "fieldPath");

        for (size_t i = 0; i < ARRAY_SIZE(downward_fields); i++)
                if (streq(field, downward_fields[i].field))
                        render_warn(r, PATH_KEY(path, "fieldPath"), "%s", downward_fields[i].text);
}

/* ---- the input hash ---- */

int template_read(const Object *daemonset, cJSON **ret_template) {
        _cleanup_json_ cJSON *tree = NULL;
        cJSON *spec, *template;
        Place place;
        int r = json_parse(daemonset->bytes, daemonset->len, (Place){ 0 }, NULL, NULL, &tree, NULL, &place, NULL);

        /* The bytes are canonical ones of our own making, so that nothing else can be wrong with them. */
        if (r < 0)
                return -ENOMEM;
        spec = json_get_mutable(tree, "spec");
        template = spec ? cJSON_DetachItemFromObjectCaseSensitive(spec, "template") : NULL;
        if (!template)
                template = cJSON_CreateObject();
        *ret_template = template;
        return template ? 0 : -ENOMEM;
}

typedef struct InputFacts {
        const Object *daemonset;
        const RenderOptions *options;
        const char *template;                      /* canonical */
        const cJSON *values;                       /* or NULL */
        bool secret_env, api_server, materialises; /* which keys of the configuration are used */
} InputFacts;

static int input_of(const InputFacts *f, char ret_input[static INPUT_HEX + 1]) {
        _cleanup_json_ cJSON *config = cJSON_CreateObject();
        const RenderOptions *o = f->options;
        _cleanup_buf_ Buf text = BUF_INIT;
        uint8_t digest[HASH_BYTES];

        if (!config ||
            (f->secret_env && !json_add_string(config, "secret_env", o->secret_env_inline ? "inline" : "refuse")) ||
            (f->api_server && !json_add_string(config, "api_server", str_or_empty(o->api_server))) ||
            (f->materialises && !json_add_string(config, "volumes_dir", str_or_empty(o->volumes_dir))))
                return -ENOMEM;
        buf_str(&text, "{\"config\":");
        json_canonical(config, &text);
        /* Namespace and name are DNS names: nothing in them needs an escape. */
        buf_printf(&text, ",\"daemonset\":\"%s/%s\",\"template\":", f->daemonset->namespace, f->daemonset->name);
        buf_str(&text, f->template);
        buf_str(&text, ",\"values\":");
        if (f->values)
                json_canonical(f->values, &text);
        else
                buf_str(&text, "{}");
        buf_char(&text, '}');
        if (text.failed)
                return -ENOMEM;
        hash_sha256(&(HashPart){ text.data, text.len }, 1, digest);
        hash_hex(digest, INPUT_HEX, ret_input);
        return 0;
}

/* ---- metadata ---- */

char *pod_full_name(const Object *daemonset, const RenderOptions *options) {
        _cleanup_buf_ Buf full = BUF_INIT;
        char *name;

        buf_printf(&full, "%s-%s", daemonset->name, str_or_empty(options->node_name));
        name = buf_take(&full, NULL);
        for (char *c = name; c && *c; c++) /* the kubelet writes the node's name in lower case */
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c - 'A' + 'a');
        return name;
}

static void check_name(Render *r) {
        const char *name = r->daemonset->name, *node = r->options->node_name;
        _cleanup_free_ char *full = pod_full_name(r->daemonset, r->options);

        if (!full) {
                r->failed = true;
                return;
        }
        if (strlen(full) <= NAME_MAX_WITH_NODE && is_dns1123_subdomain(full))
                return;
        r->refusal = REASON_NameTooLong;
        r->n_refusals = 1;
        buf_printf(&r->refusals,
                   "metadata.name: the pod's name would be %s-%s, which is %s; use a shorter or plainer name", name,
                   node, strlen(full) > NAME_MAX_WITH_NODE ? "longer than 253 characters" : "no DNS name");
}

/* Annotations that would make the kubelet take the pod for a mirror pod, or that are ours. */
static bool is_reserved_annotation(const char *key) {
        return startswith(key, "kubernetes.io/config.") || startswith(key, "daemonlet.io/");
}

static cJSON *make_annotations(Render *r, cJSON *template_metadata, const char *input) {
        _cleanup_json_ cJSON *annotations = NULL;
        char daemonset[2 * NAME_MAX_WITH_NODE];

        if (cJSON_IsObject(json_get(template_metadata, "annotations")))
                annotations = cJSON_DetachItemFromObjectCaseSensitive(template_metadata, "annotations");
        else
                annotations = cJSON_CreateObject();
        if (!annotations)
                return NULL;
        for (cJSON *item = annotations->child, *next; item; item = next) {
                next = item->next;
                if (!is_reserved_annotation(item->string))
                        continue;
                diag_add(&r->warnings, DIAG_WARNING, (Place){ 0 }, "spec.template.metadata.annotations",
                         "%s is reserved for the kubelet or for daemonlet; dropped", item->string);
                cJSON_Delete(cJSON_DetachItemViaPointer(annotations, item));
        }
        (void)snprintf(daemonset, sizeof(daemonset), "%s/%s", r->daemonset->namespace, r->daemonset->name);
        if (!json_add_string(annotations, ANNOTATION_DAEMONSET, daemonset) ||
            !json_add_string(annotations, ANNOTATION_INPUT, input))
                return NULL;
        return TAKE_PTR(annotations);
}

/* Of a template's metadata only labels and annotations are a pod's; names, owners and the like are the controller's. */
static cJSON *make_metadata(Render *r, cJSON *template_metadata, const char *input) {
        _cleanup_json_ cJSON *metadata = cJSON_CreateObject();
        cJSON *annotations;

        if (!metadata || !json_add_string(metadata, "name", r->daemonset->name) ||
            !json_add_string(metadata, "namespace", r->daemonset->namespace))
                return NULL;
        if (json_get(template_metadata, "labels") &&
            !json_add(metadata, "labels", cJSON_DetachItemFromObjectCaseSensitive(template_metadata, "labels")))
                return NULL;
        annotations = make_annotations(r, template_metadata, input);
        if (!json_add(metadata, "annotations", annotations))
                return NULL;
        return TAKE_PTR(metadata);
}

static size_t annotations_size(const cJSON *annotations) {
        const cJSON *item;
        size_t size = ANNOTATIONS_KUBELET;

        cJSON_ArrayForEach(item, annotations)
                size += strlen(item->string) + strlen(str_or_empty(cJSON_GetStringValue(item)));
        return size;
}

/* ---- the pod ---- */

/* Takes the spec out of the template; makes an empty one where there is none (no valid DaemonSet). */
static cJSON *take_spec(cJSON *template) {
        if (cJSON_IsObject(json_get(template, "spec")))
                return cJSON_DetachItemFromObjectCaseSensitive(template, "spec");
        return cJSON_CreateObject();
}

/* Wraps the finished spec (taken, also on failure). NULL: out of memory. */
static cJSON *make_pod(Render *r, cJSON *template, cJSON *spec, const char *input) {
        _cleanup_json_ cJSON *pod = cJSON_CreateObject();

        if (!pod) {
                cJSON_Delete(spec);
                return NULL;
        }
        if (!json_add(pod, "spec", spec) || !json_add_string(pod, "apiVersion", "v1") ||
            !json_add_string(pod, "kind", "Pod") ||
            !json_add(pod, "metadata", make_metadata(r, json_get_mutable(template, "metadata"), input)))
                return NULL;
        return TAKE_PTR(pod);
}

static int refuse_too_large(const char *what, size_t size, size_t max, Rendered *ret) {
        _cleanup_buf_ Buf text = BUF_INIT;

        buf_printf(&text, "%s would take %zu bytes; %zu is the most that a pod in the API can have", what, size, max);
        ret->status = RENDER_REFUSED;
        ret->reason = REASON_TooLarge;
        ret->message = buf_take(&text, NULL);
        return ret->message ? 0 : -ENOMEM;
}

/* Identity, bytes and ports of the pod. */
static int finish(const RenderOptions *options, cJSON *pod, Rendered *ret) {
        cJSON *metadata = json_get_mutable(pod, "metadata"), *annotations = json_get_mutable(metadata, "annotations");
        _cleanup_buf_ Buf text = BUF_INIT;
        size_t size = annotations_size(annotations);
        int r;

        if (size > ANNOTATIONS_MAX)
                return refuse_too_large("spec.template.metadata.annotations", size, ANNOTATIONS_MAX, ret);
        r = manifest_identity(pod, options->node_name, ret->revision, ret->uid);
        if (r < 0)
                return r;
        if (!json_put(metadata, "uid", cJSON_CreateString(ret->uid)) ||
            !json_put(annotations, ANNOTATION_REVISION, cJSON_CreateString(ret->revision)))
                return -ENOMEM;
        json_canonical(pod, &text);
        buf_char(&text, '\n');
        if (text.failed)
                return -ENOMEM;
        if (text.len > MANIFEST_SIZE_MAX)
                return refuse_too_large("the static pod", text.len, MANIFEST_SIZE_MAX, ret);
        r = host_ports_from_spec(json_get(pod, "spec"), &ret->ports, &ret->n_ports);
        if (r < 0)
                return r;
        ret->bytes = buf_take(&text, &ret->len);
        return ret->bytes ? 0 : -ENOMEM;
}

/* Whether something stands in the way of the pod. */
static int judge(Render *r, Rendered *ret) {
        if (r->failed || r->warnings.failed)
                return -ENOMEM;
        if (r->n_refusals > 0) {
                if (r->n_refusals > REFUSALS_NAMED_MAX)
                        buf_printf(&r->refusals, "; and %zu more", r->n_refusals - REFUSALS_NAMED_MAX);
                ret->status = RENDER_REFUSED;
                ret->reason = r->refusal;
                ret->message = buf_take(&r->refusals, NULL);
                return ret->message ? 0 : -ENOMEM;
        }
        ret->status = references_judge(r, &ret->reason, &ret->message);
        if (ret->status == RENDER_OK)
                ret->status = tokens_judge(r, &ret->reason, &ret->message);
        return ret->status == RENDER_OK || ret->message ? 0 : -ENOMEM;
}

static void render_done(Render *r) {
        references_done(r);
        token_needs_free(r->tokens, r->n_tokens);
        free(r->priority_class);
        cJSON_Delete(r->values);
        buf_done(&r->refusals);
        diags_done(&r->warnings);
}

/* What payload_make refuses. */
static int refuse_volume(int error, Rendered *ret) {
        bool large = error == -EFBIG;

        ret->status = RENDER_REFUSED;
        ret->reason = large ? REASON_TooLarge : REASON_UnsupportedVolume;
        ret->message = strdup(large ? "spec.template.spec.volumes: what one volume holds would take more than 64 MiB; "
                                      "split it, or name fewer keys"
                                    : "spec.template.spec.volumes: in one volume a file's path is the directory of "
                                      "another's, the volume itself, or too long; change the items' paths");
        return ret->message ? 0 : -ENOMEM;
}

/* The pod without its identity, and the hash of what went in. */
static int render_template(Render *r, const char *text, cJSON *template, Rendered *ret) {
        _cleanup_json_ cJSON *spec = take_spec(template), *pod = NULL;
        InputFacts facts = { .daemonset = r->daemonset, .options = r->options, .template = text };
        _cleanup_free_ char *account = strdup(account_name(spec));
        int k;

        if (!spec || !account)
                return -ENOMEM;
        r->spec = spec;
        r->host_network = json_true(spec, "hostNetwork");
        check_name(r);
        render_spec(r);
        tokens_gather(r, account);
        k = judge(r, ret);
        if (k < 0 || ret->status != RENDER_OK)
                return k;
        facts.values = r->values;
        facts.secret_env = r->secret_env;
        facts.api_server = r->uses_api_server;
        facts.materialises = spec_materialises(spec);
        k = input_of(&facts, ret->input);
        if (k == 0)
                k = volumes_place(r, ret->input, ret);
        if (k < 0)
                return k;
        pod = make_pod(r, template, TAKE_PTR(spec), ret->input);
        if (!pod || r->warnings.failed)
                return -ENOMEM;
        return finish(r->options, pod, ret);
}

static int render_all(Render *r, Rendered *ret) {
        _cleanup_json_ cJSON *template = NULL, *again = NULL;
        _cleanup_free_ char *text = NULL;
        int k = template_read(r->daemonset, &template);

        if (k < 0)
                return k;
        text = json_canonical_text(template, NULL);
        if (!text)
                return -ENOMEM;
        k = render_template(r, text, template, ret);
        if (k < 0 || ret->status != RENDER_OK || ret->n_volumes == 0)
                return k;
        k = template_read(r->daemonset, &again);
        if (k == 0)
                k = volumes_fill(r->daemonset, r->options, again, ret);
        return k == -EEXIST || k == -EFBIG ? refuse_volume(k, ret) : k;
}

/* What belongs to a pod that can be written. */
static void forget_pod(Rendered *r) {
        free(r->bytes);
        free(r->ports);
        for (size_t i = 0; i < r->n_volumes; i++) {
                free(r->volumes[i].name);
                free(r->volumes[i].dir);
        }
        free(r->volumes);
        r->bytes = NULL;
        r->ports = NULL;
        r->volumes = NULL;
        r->len = r->n_ports = r->n_volumes = 0;
        r->input[0] = r->revision[0] = r->uid[0] = 0;
}

int render(const Object *daemonset, const RenderOptions *options, Rendered *ret) {
        _cleanup_(render_done) Render r = { .daemonset = daemonset, .options = options };
        _cleanup_(rendered_done) Rendered rendered = { .status = RENDER_OK };
        int k = render_all(&r, &rendered);

        if (k < 0)
                return k;
        if (rendered.status != RENDER_OK)
                forget_pod(&rendered);
        rendered.warnings = r.warnings;
        r.warnings = (Diags){ 0 };
        references_merge(&r);
        rendered.uses = TAKE_PTR(r.uses);
        rendered.n_uses = r.n_uses;
        r.n_uses = 0;
        rendered.tokens = TAKE_PTR(r.tokens);
        rendered.n_tokens = r.n_tokens;
        r.n_tokens = 0;
        rendered.priority_class = TAKE_PTR(r.priority_class);
        *ret = rendered;
        rendered = (Rendered){ 0 };
        return 0;
}

void rendered_done(Rendered *r) {
        forget_pod(r);
        free(r->message);
        for (size_t i = 0; i < r->n_uses; i++)
                free(r->uses[i].name);
        free(r->uses);
        token_needs_free(r->tokens, r->n_tokens);
        free(r->priority_class);
        diags_done(&r->warnings);
        *r = (Rendered){ 0 };
}
