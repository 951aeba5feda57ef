/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a text and looking at all that came of it, for the tests of core/yaml. */
#pragma once

#include "core/yaml.h"
#include "test.h"

typedef struct Reading {
        YamlStream stream;
        Buf duplicates; /* "key line:column>line:column " each */
        Place place;
        Err err;
        int r;
} Reading;

static inline void note_duplicate(void *user, const char *key, Place dropped, Place kept) {
        buf_printf(user, "%s %u:%u>%u:%u ", key, dropped.line, dropped.column, kept.line, kept.column);
}

static inline Reading read_text(const char *text, size_t len) {
        Reading got = { 0 };

        got.r = yaml_read(text, len, note_duplicate, &got.duplicates, &got.stream, &got.place, &got.err);
        if (got.r < 0)
                assert_int_equal(got.stream.n, 0);
        return got;
}

static inline void reading_done(Reading *got) {
        yaml_stream_done(&got->stream);
        buf_done(&got->duplicates);
}

#define _cleanup_reading_ _cleanup_(reading_done)

/* The documents in canonical form with the separator between them, or "!line:column message". */
static inline char *result_text(const Reading *got, char separator) {
        Buf out = BUF_INIT;

        if (got->r < 0)
                buf_printf(&out, "!%u:%u: %s", got->place.line, got->place.column, got->err.message);
        for (size_t i = 0; i < got->stream.n; i++) {
                if (i > 0)
                        buf_char(&out, separator);
                json_canonical(got->stream.documents[i].root, &out);
        }
        buf_str(&out, "");
        return buf_take(&out, NULL);
}

static inline void assert_round_trip(const cJSON *root, const char *what) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_reading_ Reading again = { 0 };

        assert_int_equal(yaml_write(root, &text), 0);
        again = read_text(buf_text(&text), text.len);
        if (again.r < 0 || again.stream.n != 1 || !json_equal(root, again.stream.documents[0].root))
                fail_msg("%s: written and read again it differs:\n%s", what, buf_text(&text));
}
