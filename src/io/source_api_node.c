/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/source_api_internal.h"

#include <errno.h>

/* A list or an event without it may be about anything; the server is asked for the Node by its name. */
static void on_gone(Question *q) {
        SourceApi *s = q->api;
        const Follow *f = follow_of_node(s);
        _cleanup_json_ cJSON *root = NULL;
        size_t n = 1;

        if (f)
                (void)reflector_items(f->reflector, &n);
        if (q->status != 404 || n > 0 ||
            json_parse(buf_text(&q->answer), q->answer.len, (Place){ 0 }, NULL, NULL, &root, NULL, NULL, NULL) < 0 ||
            !streq(json_string(root, "kind"), "Status") || !streq(json_string(root, "reason"), "NotFound"))
                return;
        if (s->node_gone_since < 0)
                s->node_gone_since = clock_boot_ms();
        api_news(s, API_CHANGED_NODE);
}

static void ask_if_gone(SourceApi *s) {
        _cleanup_buf_ Buf target = BUF_INIT;

        buf_printf(&target, "/api/v1/nodes/%s", s->node_name);
        if (!target.failed)
                (void)question_ask(&s->gone, s, buf_text(&target), NULL, 0, on_gone);
}

static void take(SourceApi *s, const Follow *f, const ReflectorItem *item) {
        LiveNode new = { 0 };
        Err err = { 0 };
        bool live = reflector_state(f->reflector) == REFLECTOR_LIVE, same;

        if (live_node_read(item->bytes, item->len, &new, &err) < 0) {
                buf_reset(&s->cache_note);
                buf_printf(&s->cache_note, "the Node cannot be used: %s", err.message);
                return;
        }
        same = s->has_node && live_node_equal(&s->node, &new);
        /* First contact, a Node that was registered anew, and one that is back. */
        if (live && (s->node_since < 0 || s->node_gone_since >= 0 || !streq(s->node.uid, new.uid))) {
                s->node_since = clock_boot_ms();
                same = false;
        }
        live_node_done(&s->node);
        s->node = new;
        s->has_node = true;
        s->node_gone_since = -1;
        api_news(s, same ? API_CHANGED_HEARTBEAT : API_CHANGED_NODE | API_CHANGED_HEARTBEAT);
}

void node_look(SourceApi *s, const Follow *f) {
        size_t n;
        const ReflectorItem *items = reflector_items(f->reflector, &n);

        if (n > 0)
                take(s, f, &items[0]);
        else if (reflector_state(f->reflector) == REFLECTOR_LIVE)
                ask_if_gone(s);
}

void source_api_keep_node(SourceApi *s) {
        for (size_t i = 0; i < s->n_follows; i++)
                if (s->follows[i]->kind == FOLLOW_NODE) {
                        s->follows[i]->unsaved = s->unsaved = true;
                        follow_save(s->follows[i]);
                }
}
