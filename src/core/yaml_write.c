/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as YAML, through libyaml's emitter. What it does not know is which plain texts a reader takes for something
 * other than a string: those are quoted here. */
#include "core/yaml_internal.h"

#include <errno.h>

static int write_bytes(void *user, unsigned char *data, size_t n) {
        Buf *out = user;

        buf_add(out, data, n);
        return !out->failed;
}

/* word: in lower case */
static bool is_word(const char *s, const char *word) {
        for (; *s && *word; s++, word++)
                if ((*s >= 'A' && *s <= 'Z' ? *s - 'A' + 'a' : *s) != *word)
                        return false;
        return *s == *word;
}

/* Whether a reader of any YAML 1.1 or 1.2 could take the plain text for a null, boolean, number, date, merge key or the
 * default value "=". Whatever begins like a number is quoted: 1:30 is one to some readers. */
static bool is_ambiguous(const char *s) {
        static const char *const words[] = { "~",   "null", "true", "false", "yes", "no",  "on",
                                             "off", "y",    "n",    "<<",    "=",   "nan", "inf" };
        const char *p = s + strspn(s, "+-.");

        if ((*p >= '0' && *p <= '9') || *s == 0)
                return true;
        if (is_word(p, "nan") || is_word(p, "inf"))
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (is_word(s, words[i]))
                        return true;
        return false;
}

/* Whether the text keeps its form in a literal block: whole lines of printable text, the first of which shows the
 * indentation. (The emitter would write others too, but libyaml does not read all of them back.) */
static bool is_block(const char *s) {
        if (!strchr(s, '\n') || strchr(" \t\n", s[0]))
                return false;
        for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
                if ((*p < 0x20 && *p != '\n' && *p != '\t') || *p == 0x7f)
                        return false;
                /* NEL, LS, PS and the BOM are line ends or worse to YAML. */
                if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8) ||
                    (p[0] == 0xef && p[1] >= 0xbb))
                        return false;
        }
        return true;
}

static int put(yaml_emitter_t *emitter, yaml_event_t *event, int initialized) {
        /* The emitter owns the event, also when it fails. */
        return initialized && yaml_emitter_emit(emitter, event) ? 0 : -ENOMEM;
}

static int put_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style) {
        yaml_event_t event;

        return put(emitter, &event,
                   yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1,
                                                style));
}

static int put_string(yaml_emitter_t *emitter, const char *text, bool key) {
        if (!key && is_block(text))
                return put_scalar(emitter, text, YAML_LITERAL_SCALAR_STYLE);
        if (strpbrk(text, "\n\r\t"))
                return put_scalar(emitter, text, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
        return put_scalar(emitter, text, is_ambiguous(text) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE);
}

static int put_item(yaml_emitter_t *emitter, const cJSON *item);

static int put_container(yaml_emitter_t *emitter, const cJSON *item) {
        bool object = cJSON_IsObject(item);
        yaml_event_t event;
        int r;

        r = put(emitter, &event,
                object ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)
                       : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
        for (const cJSON *c = item->child; c && r >= 0; c = c->next) {
                if (object)
                        r = put_string(emitter, c->string, true);
                if (r >= 0)
                        r = put_item(emitter, c);
        }
        if (r < 0)
                return r;
        return put(emitter, &event,
                   object ? yaml_mapping_end_event_initialize(&event) : yaml_sequence_end_event_initialize(&event));
}

static int put_item(yaml_emitter_t *emitter, const cJSON *item) {
        switch (item->type & 0xff) {
        case cJSON_Object:
        case cJSON_Array:
                return put_container(emitter, item);
        case cJSON_String:
                return put_string(emitter, item->valuestring, false);
        case cJSON_Raw:
                return put_scalar(emitter, item->valuestring, YAML_PLAIN_SCALAR_STYLE);
        case cJSON_True:
                return put_scalar(emitter, "true", YAML_PLAIN_SCALAR_STYLE);
        case cJSON_False:
                return put_scalar(emitter, "false", YAML_PLAIN_SCALAR_STYLE);
        default:
                return put_scalar(emitter, "null", YAML_PLAIN_SCALAR_STYLE);
        }
}

static int put_document(yaml_emitter_t *emitter, const cJSON *item) {
        yaml_event_t event;
        int r = put(emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));

        if (r >= 0)
                r = put(emitter, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
        if (r >= 0)
                r = put_item(emitter, item);
        if (r >= 0)
                r = put(emitter, &event, yaml_document_end_event_initialize(&event, 1));
        if (r >= 0)
                r = put(emitter, &event, yaml_stream_end_event_initialize(&event));
        return r;
}

int yaml_write(const cJSON *item, Buf *out) {
        yaml_emitter_t emitter;
        int r;

        if (!yaml_emitter_initialize(&emitter))
                return -ENOMEM;
        yaml_emitter_set_output(&emitter, write_bytes, out);
        yaml_emitter_set_unicode(&emitter, 1);
        yaml_emitter_set_width(&emitter, -1); /* a folded line could be read differently */
        r = put_document(&emitter, item);
        yaml_emitter_delete(&emitter);
        return out->failed ? -ENOMEM : r;
}
