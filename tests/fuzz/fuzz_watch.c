/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the stream of a watch, and as the answer to a LIST, a watch and a streaming list: chunking makes no
 * difference, and the reflector is never harmed. The first byte is the size of the chunks. */
#include "core/reflector.h"
#include "core/watch.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENT_MAX = 2048 };

/* A line for each event. */
static int see(void *user, WatchEvent *event) {
        Buf *seen = user;

        buf_printf(seen, "%d ", (int)event->type);
        json_canonical(event->object, seen);
        buf_char(seen, '\n');
        return 0;
}

static int feed(const char *bytes, size_t len, size_t chunk, Buf *seen, bool *ret_whole) {
        _cleanup_watch_parser_ WatchParser p;
        Err err = { 0 };
        int r = 0;

        watch_parser_init(&p, EVENT_MAX);
        for (size_t at = 0; at < len && r == 0; at += chunk)
                r = watch_feed(&p, bytes + at, chunk < len - at ? chunk : len - at, see, seen, &err);
        assert(r == 0 || ((r == -EBADMSG || r == -EFBIG) && err.message[0]));
        *ret_whole = watch_is_whole(&p);
        return r;
}

static void check_watch(const char *bytes, size_t len, size_t chunk) {
        _cleanup_buf_ Buf whole = BUF_INIT, pieces = BUF_INIT;
        bool ended, ended_too;
        int r = feed(bytes, len, len ? len : 1, &whole, &ended), again = feed(bytes, len, chunk, &pieces, &ended_too);

        assert(r == again && (r < 0 || ended == ended_too));
        assert(whole.len == pieces.len && memcmp(buf_text(&whole), buf_text(&pieces), whole.len) == 0);
}

/* ---- the reflector ---- */

typedef enum Mode { MODE_LIST, MODE_WATCH, MODE_STREAM, N_MODES } Mode;

#define OLD "{\"kind\":\"A\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"old\",\"uid\":\"u\"}}"
#define OLD_LIST                                                                                                       \
        "{\"kind\":\"AList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" OLD "]}"

static void answer(Reflector *r, const char *bytes, size_t len, size_t chunk) {
        int result = 0;

        reflector_head(r, 200, -1);
        for (size_t at = 0; at < len && result == 0; at += chunk)
                result = reflector_data(r, bytes + at, chunk < len - at ? chunk : len - at, 2000);
        reflector_end(r, result, "", 3000, 0);
}

static Reflector *reflect(Mode mode, const char *bytes, size_t len, size_t chunk) {
        static const ReflectorSpec spec = { .path = "/api/v1/as", .kind = "A" };
        _cleanup_json_ cJSON *items = cJSON_Parse("[" OLD "]");
        ReflectorRequest request;
        Reflector *r = reflector_new(&spec);
        int result;

        assert(r && items);
        result = reflector_load(r, "5", items);
        assert(result == 0);
        reflector_set_streaming(r, mode == MODE_STREAM ? STREAMING_YES : STREAMING_NO);
        result = reflector_begin(r, 1000, 0, &request);
        assert(result == 0);
        if (mode == MODE_WATCH) {
                answer(r, OLD_LIST, strlen(OLD_LIST), sizeof(OLD_LIST));
                assert(reflector_state(r) == REFLECTOR_LIVE);
                result = reflector_begin(r, 1000, 0, &request);
                assert(result == 0 && request.stream);
        }
        answer(r, bytes, len, chunk);
        assert(reflector_due(r) >= 1000);
        return r;
}

/* All that is known of it, in one text. */
static void describe(Reflector *r, Buf *out) {
        size_t n;
        const ReflectorItem *items = reflector_items(r, &n);
        ReflectorRequest request;
        int result;

        buf_printf(out, "%s %s %d %d %d\n", reflector_state_name(reflector_state(r)), reflector_resource_version(r),
                   reflector_status(r), (int)reflector_generation(r), (int)(reflector_due(r) - 1000));
        for (size_t i = 0; i < n; i++) {
                int order = i == 0 ? -1 : strcmp(items[i - 1].namespace, items[i].namespace);

                assert(order < 0 || (order == 0 && strcmp(items[i - 1].name, items[i].name) < 0));
                assert(items[i].name[0] && strlen(items[i].bytes) == items[i].len);
                buf_printf(out, "%s/%s %s %s %d %s\n", items[i].namespace, items[i].name, items[i].uid,
                           items[i].resource_version, items[i].doubted, items[i].bytes);
        }
        for (const char *c = reflector_problem(r); *c; c++)
                assert((unsigned char)*c >= ' ');
        result = reflector_begin(r, reflector_due(r), 0, &request);
        assert(result == 0);
        for (const char *c = request.target; *c; c++)
                assert(*c > ' ' && *c < 127);
        buf_str(out, request.target);
}

/* Without an event or a list that says so, what was known stays. */
static void check_kept(const Reflector *r, const char *bytes, size_t len) {
        size_t n;

        (void)reflector_items(r, &n);
        assert(n > 0 || memmem(bytes, len, "DELETED", 7) || memmem(bytes, len, "\\u", 2) ||
               reflector_state(r) == REFLECTOR_LIVE);
}

static void check_reflector(Mode mode, const char *bytes, size_t len, size_t chunk) {
        _cleanup_buf_ Buf whole = BUF_INIT, pieces = BUF_INIT;
        _cleanup_reflector_ Reflector *a = reflect(mode, bytes, len, len ? len : 1),
                                      *b = reflect(mode, bytes, len, chunk);

        check_kept(a, bytes, len);
        describe(a, &whole);
        describe(b, &pieces);
        assert(strcmp(buf_text(&whole), buf_text(&pieces)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        size_t chunk = size > 0 && data[0] > 0 ? data[0] : 1, len = size > 0 ? size - 1 : 0;
        const char *bytes = (const char *)data + (size > 0);

        check_watch(bytes, len, chunk);
        for (Mode mode = MODE_LIST; mode < N_MODES; mode++)
                check_reflector(mode, bytes, len, chunk);
        return 0;
}
