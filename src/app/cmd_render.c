/* SPDX-License-Identifier: Apache-2.0 */
#include "app/cmd.h"
#include "app/files.h"
#include "app/output.h"
#include "app/setup.h"
#include "core/render.h"

#include <errno.h>

/* Appends the pod to the list, or says why there is none and clears *all_well. */
static int render_one(const Objects *objects, const Object *o, const RenderOptions *render_options,
                      const Options *options, cJSON *items, bool *all_well) {
        _cleanup_(rendered_done) Rendered rendered = { 0 };
        cJSON *pod;
        Place place;
        int r;

        if (o->reason != REASON_None) {
                _cleanup_free_ char *why = object_error(objects, o);

                say_error("%s/%s: %s: %s", o->namespace, o->name, reason_name(o->reason), str_or_empty(why));
                *all_well = false;
                return why ? 0 : -ENOMEM;
        }
        r = render(o, render_options, &rendered);
        if (r < 0)
                return r;
        for (size_t i = 0; i < rendered.warnings.n; i++)
                say_warning(options, "%s/%s: %s: %s", o->namespace, o->name, rendered.warnings.items[i].path,
                            rendered.warnings.items[i].message);
        if (rendered.status != RENDER_OK) {
                say_error("%s/%s: %s: %s", o->namespace, o->name, reason_name(rendered.reason), rendered.message);
                *all_well = false;
                return 0;
        }
        r = json_parse(rendered.bytes, rendered.len, (Place){ 1, 1 }, NULL, NULL, &pod, NULL, &place, NULL);
        if (r < 0)
                return r;
        return json_append(items, pod) ? 0 : -ENOMEM;
}

#define LINES (FORMAT_BIT(FORMAT_TABLE) | FORMAT_BIT(FORMAT_WIDE) | FORMAT_BIT(FORMAT_TSV))

static const Column columns[] = {
        { "NAME", "namespace/name", LINES },
        { "REVISION", "revision", LINES },
        { "UID", "uid", LINES },
};

/* A row a pod: its metadata, and the revision out of the annotations. */
static int print_lines(const cJSON *items, Format format, Err *err) {
        _cleanup_json_ cJSON *rows = cJSON_CreateArray();

        for (const cJSON *pod = items->child; pod; pod = pod->next) {
                const cJSON *metadata = json_get(pod, "metadata");
                const char *revision = json_string(json_get(metadata, "annotations"), ANNOTATION_REVISION);
                cJSON *row = cJSON_Duplicate(metadata, true);

                if (!json_add_string(row, "revision", str_or_empty(revision)) || !json_append(rows, row))
                        return err_oom(err);
        }
        return rows ? output_rows(rows, columns, ARRAY_SIZE(columns), format, err) : err_oom(err);
}

static int print_pods(const cJSON *items, const Options *options, Err *err) {
        _cleanup_json_ cJSON *list = cJSON_CreateObject();

        if (options->format != FORMAT_JSON && options->format != FORMAT_YAML)
                return print_lines(items, options->format, err);
        if (!json_add_string(list, "apiVersion", "v1") || !json_add_string(list, "kind", "List") ||
            !json_add(list, "items", cJSON_Duplicate(items, true)))
                return err_oom(err);
        return output_rows(list, NULL, 0, options->format, err);
}

int cmd_render(const Options *options) {
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_json_ cJSON *items = cJSON_CreateArray();
        _cleanup_host_ Host host = { 0 };
        RenderOptions render_options;
        bool all_well;
        Err err = { 0 };
        int r;

        r = setup_host(options, &host, &err);
        if (r < 0)
                return fail(r, &err);
        render_options = setup_render(&host, &objects);
        r = items ? files_read(options, options->args, options->n_args, &objects) : -ENOMEM;
        if (r == 0)
                files_say_diags(options, &objects);
        all_well = r == 0 && files_all_well(&objects);
        for (size_t i = 0; r == 0 && i < objects.n_objects; i++)
                if (objects.objects[i].kind == OBJECT_DAEMONSET && objects.objects[i].same_as == i)
                        r = render_one(&objects, &objects.objects[i], &render_options, options, items, &all_well);
        if (r == 0)
                r = print_pods(items, options, &err);
        if (r < 0)
                return fail(r, &err);
        return all_well ? 0 : EXIT_NOT_WELL;
}
