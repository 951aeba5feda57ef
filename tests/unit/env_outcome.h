/* SPDX-License-Identifier: Apache-2.0 */
/* What render_env makes of one container. */
#pragma once

#include "core/render_internal.h"
#include "render_objects.h"

#include <errno.h>
#include <stdio.h>

typedef struct Outcome {
        char *bytes; /* of the container */
        Buf says;    /* a line for everything else */
        cJSON *values;
        size_t n_missing;
        bool refused, failed;
} Outcome;

static inline void outcome_done(Outcome *o) {
        free(o->bytes);
        buf_done(&o->says);
        cJSON_Delete(o->values);
        *o = (Outcome){ 0 };
}

static inline void say(const Render *r, Buf *out) {
        for (size_t i = 0; i < r->warnings.n; i++) {
                buf_str(out, "warning ");
                diag_text(&r->warnings.items[i], out);
                buf_char(out, '\n');
        }
        if (r->n_refusals > 0)
                buf_printf(out, "%s %s\n", reason_name(r->refusal), buf_text(&r->refusals));
        for (size_t i = 0; i < r->n_missing; i++)
                buf_printf(out, "missing %s%s%s at %s\n", r->missing[i].name, r->missing[i].key ? " " : "",
                           str_or_empty(r->missing[i].key), r->missing[i].path);
        for (size_t i = 0; i < r->n_uses; i++)
                if (!r->uses[i].env || r->uses[i].mount)
                        buf_str(out, "a use that is none of the environment\n");
        if (r->secret_env)
                buf_str(out, "secret_env\n");
        if (r->uses_api_server)
                buf_str(out, "api_server\n");
        if (r->values) {
                buf_str(out, "values ");
                json_canonical(r->values, out);
                buf_char(out, '\n');
        }
}

static inline int outcome_of(const char *container, const RenderOptions *options, Outcome *ret) {
        const Object agent = { .kind = OBJECT_DAEMONSET,
                               .namespace = (char *)(uintptr_t) "kube-system",
                               .name = (char *)(uintptr_t) "agent" };
        Render r = { .daemonset = &agent, .options = options };
        cJSON *tree = NULL;
        int k = json_parse(container, strlen(container), (Place){ 0 }, NULL, NULL, &tree, NULL, NULL, NULL);

        *ret = (Outcome){ 0 };
        if (k == 0) {
                render_env(&r, tree, PATH_INDEX(PATH_KEY(NULL, "containers"), 0));
                ret->bytes = json_canonical_text(tree, NULL);
                say(&r, &ret->says);
                ret->values = r.values;
                ret->n_missing = r.n_missing;
                ret->refused = r.n_refusals > 0;
                ret->failed = r.failed || r.warnings.failed || r.refusals.failed || ret->says.failed || !ret->bytes;
                k = ret->failed ? -ENOMEM : 0;
        }
        cJSON_Delete(tree);
        references_done(&r);
        buf_done(&r.refusals);
        diags_done(&r.warnings);
        return k;
}

/* The objects of a text, until the next call. */
static inline Objects *objects_of(const char *text) {
        static Objects set;

        objects_done(&set);
        set = (Objects){ 0 };
        assert_int_equal(objects_read(&set, "objects", text, strlen(text), false), 0);
        assert_int_equal(objects_finish(&set), 0);
        for (size_t i = 0; i < set.n_objects; i++)
                assert_int_equal(set.objects[i].reason, REASON_None);
        return &set;
}
