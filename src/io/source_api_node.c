/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/source_api_internal.h"

#include <errno.h>

#define UNUSABLE "the Node cannot be used: "

/* ---- is it gone? ---- */

/* The server's last list or event says so, but that may be about anything. */
static bool is_missing(const SourceApi *s) {
        const Follow *f = follow_of_node(s);
        size_t n = 0;

        if (!f || !s->has_node || s->node_gone_since >= 0 || reflector_state(f->reflector) != REFLECTOR_LIVE)
                return false;
        (void)reflector_items(f->reflector, &n);
        return n == 0;
}

/* A server that does not know the resource, or is something else altogether, says 404 as well. */
static bool says_not_found(const Question *q) {
        _cleanup_json_ cJSON *root = NULL;
        const cJSON *details;

        if (q->status != 404 || question_read(q, &root) < 0)
                return false;
        details = json_get(root, "details");
        return streq(json_string(root, "kind"), "Status") && streq(json_string(root, "reason"), "NotFound") &&
               streq(json_string(details, "kind"), "nodes") && streq(json_string(details, "name"), q->api->node_name);
}

static void on_cluster(Question *q) {
        SourceApi *s = q->api;

        if (!cluster_is_the_same(q) || !is_missing(s))
                return;
        s->node_gone_since = clock_boot_ms();
        api_news(s, API_CHANGED_NODE);
}

static void on_answer(Question *q) {
        SourceApi *s = q->api;

        /* Another cluster at the same place lacks it too. */
        if (is_missing(s) && says_not_found(q))
                cluster_ask_by(&s->gone, s, on_cluster);
}

int64_t node_due(const SourceApi *s) {
        return !s->gone.call && is_missing(s) ? s->gone_due : -1;
}

void node_ask(SourceApi *s, int64_t now) {
        int64_t due = node_due(s);
        _cleanup_buf_ Buf target = BUF_INIT;

        if (due < 0 || due > now)
                return;
        /* Until the answer is clear. */
        s->gone_due = now + backoff_next(&s->gone_tries, api_random());
        buf_printf(&target, "/api/v1/nodes/%s", s->node_name);
        if (!target.failed)
                (void)question_ask(&s->gone, s, buf_text(&target), NULL, 0, on_answer);
}

/* ---- what it says ---- */

static void take(SourceApi *s, const Follow *f, const ReflectorItem *item) {
        LiveNode new = { 0 };
        Err err = { 0 };
        bool live = reflector_state(f->reflector) == REFLECTOR_LIVE, same;

        if (live_node_read(item->bytes, item->len, &new, &err) < 0) {
                s->cache_failed = false;
                buf_reset(&s->cache_note);
                buf_printf(&s->cache_note, UNUSABLE "%s", err.message);
                api_news(s, API_CHANGED_STATE);
                return;
        }
        if (startswith(buf_text(&s->cache_note), UNUSABLE)) {
                buf_reset(&s->cache_note);
                api_news(s, API_CHANGED_STATE);
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
        backoff_reset(&s->gone_tries);
        api_news(s, same ? API_CHANGED_HEARTBEAT : API_CHANGED_NODE | API_CHANGED_HEARTBEAT);
}

void node_look(SourceApi *s, const Follow *f) {
        size_t n;
        const ReflectorItem *items = reflector_items(f->reflector, &n);

        if (n > 0)
                take(s, f, &items[0]);
        else if (is_missing(s)) {
                s->gone_due = clock_boot_ms();
                api_news(s, API_CHANGED_STATE);
        }
}

void source_api_keep_node(SourceApi *s) {
        if (!s->loop)
                return;
        for (size_t i = 0; i < s->n_follows; i++)
                if (s->follows[i]->kind == FOLLOW_NODE) {
                        s->follows[i]->unsaved = s->unsaved = true;
                        follow_save(s->follows[i]);
                }
}
