/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as objects, and every usable DaemonSet in it rendered beside them: what comes out is a pod of ours that
 * verifies and has its volumes, or a reason; twice the same. */
#include "core/render.h"

#include <stdint.h>

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_pod(const Object *o, const RenderOptions *options, const Rendered *r) {
        Manifest m;

        check(r->len > 0 && r->len <= MANIFEST_SIZE_MAX);
        if (manifest_parse(r->bytes, r->len, &m) < 0)
                return;
        check(m.is_pod && m.verifies && streq(m.uid, r->uid) && streq(m.input, r->input));
        check(streq(m.namespace, o->namespace) && streq(m.name, o->name));
        manifest_done(&m);
        for (size_t i = 0; i < r->n_volumes; i++) {
                const RenderedVolume *v = &r->volumes[i];
                _cleanup_payload_ Payload p = { 0 };
                char hash[PAYLOAD_HEX + 1];

                check(memmem(r->bytes, r->len, v->dir, strlen(v->dir)));
                if (render_payload(o, options, v->name, r->uid, &p) < 0)
                        continue;
                payload_hash(&p, hash);
                check(streq(hash, v->hash));
                check(v->empty == (p.n == 0));
                for (size_t k = 0; k < p.n; k++)
                        check(p.files[k].path[0] != '/' && !startswith(p.files[k].path, "..") &&
                              !strstr(p.files[k].path, "/../"));
        }
}

static void check_rendering(const Object *o, const RenderOptions *options) {
        Rendered once, twice;

        if (render(o, options, &once) < 0)
                return;
        check((once.status == RENDER_OK) == (once.bytes != NULL));
        check((once.status == RENDER_OK) == (once.message == NULL));
        if (once.bytes)
                check_pod(o, options, &once);
        if (render(o, options, &twice) == 0) {
                check(once.status == twice.status && once.len == twice.len);
                check(!once.bytes || memcmp(once.bytes, twice.bytes, once.len) == 0);
                rendered_done(&twice);
        }
        rendered_done(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_objects_ Objects o = { 0 };
        RenderOptions options = { .node_name = "node-1",
                                  .objects = &o,
                                  .volumes_dir = "/var/lib/daemonlet/volumes",
                                  .api_server = size % 2 ? "[fd00::1]:6443" : NULL,
                                  .secret_env_inline = size % 3 == 0 };
        char *text = malloc(size + 1);

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;
        if (objects_read(&o, "a", text, size, false) == 0 && objects_finish(&o) == 0)
                for (size_t i = 0; i < o.n_objects; i++)
                        if (o.objects[i].kind == OBJECT_DAEMONSET && o.objects[i].reason == REASON_None)
                                check_rendering(&o.objects[i], &options);
        free(text);
        return 0;
}
