/* SPDX-License-Identifier: Apache-2.0 */
/* Reading. cJSON builds the tree, but it takes more than JSON (control characters, leading zeros), turns numbers into
 * doubles and knows no places. So a scanner goes over the text twice: before cJSON, to check the grammar, and after it,
 * in step with the tree, to note places and the text of numbers. Decoding of strings is cJSON's alone. */
#include "base/utf8.h"
#include "core/json.h"

#include <errno.h>

enum { NUMBER_MAX = 63 }; /* cJSON reads no longer ones */

typedef struct Scan {
        const char *text;
        size_t len, at;
        Place place; /* of text[at] */
        Err *err;
} Scan;

static int scan_value(Scan *s, cJSON *item, unsigned depth);

static int bad(Scan *s, const char *what) {
        return err_set(s->err, -EBADMSG, "%s", what);
}

static int peek(const Scan *s) {
        return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void step(Scan *s, size_t bytes) {
        s->at += bytes;
        s->place.column++;
}

static void skip_space(Scan *s) {
        for (;;) {
                switch (peek(s)) {
                case '\n':
                        s->at++;
                        s->place.line++;
                        s->place.column = 1;
                        break;
                case ' ':
                case '\t':
                case '\r':
                        step(s, 1);
                        break;
                default:
                        return;
                }
        }
}

static bool is_digit(int c) {
        return c >= '0' && c <= '9';
}

static size_t skip_digits(Scan *s) {
        size_t n = 0;

        for (; is_digit(peek(s)); n++)
                step(s, 1);
        return n;
}

static int scan_number(Scan *s, cJSON *item) {
        size_t start = s->at;

        if (peek(s) == '-')
                step(s, 1);
        if (peek(s) == '0')
                step(s, 1);
        else if (skip_digits(s) == 0)
                return bad(s, "a value is expected here");
        if (is_digit(peek(s)))
                return bad(s, "a number must not begin with 0");
        if (peek(s) == '.') {
                step(s, 1);
                if (skip_digits(s) == 0)
                        return bad(s, "digits are expected after the decimal point");
        }
        if (peek(s) == 'e' || peek(s) == 'E') {
                step(s, 1);
                if (peek(s) == '+' || peek(s) == '-')
                        step(s, 1);
                if (skip_digits(s) == 0)
                        return bad(s, "digits are expected in the exponent");
        }
        if (s->at - start > NUMBER_MAX)
                return bad(s, "the number has too many digits");
        if (!item)
                return 0;
        item->valuestring = strndup(s->text + start, s->at - start);
        if (!item->valuestring)
                return -ENOMEM;
        item->type = cJSON_Raw;
        return 0;
}

static int hex4(const Scan *s, size_t at) {
        int value = 0;

        if (s->len - at < 4)
                return -1;
        for (size_t i = at; i < at + 4; i++) {
                int c = (unsigned char)s->text[i];
                int digit = is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;

                if (digit < 0)
                        return -1;
                value = value * 16 + digit;
        }
        return value;
}

static void step_ascii(Scan *s, size_t n) {
        s->at += n;
        s->place.column += (unsigned)n;
}

static int scan_escape(Scan *s) {
        int c, code, low;

        step(s, 1);
        c = peek(s);
        if (c != 'u') {
                if (c < 0 || !memchr("\"\\/bfnrt", c, 8))
                        return bad(s, "unknown escape in a string");
                step(s, 1);
                return 0;
        }
        step(s, 1);
        code = hex4(s, s->at);
        if (code < 0)
                return bad(s, "\\u wants four hexadecimal digits");
        if (code == 0)
                return bad(s, "\\u0000 is not allowed");
        if (code >= 0xdc00 && code <= 0xdfff)
                return bad(s, "\\u escape is half of a surrogate pair");
        step_ascii(s, 4);
        if (code < 0xd800 || code > 0xdbff)
                return 0;
        low = s->len - s->at >= 6 && s->text[s->at] == '\\' && s->text[s->at + 1] == 'u' ? hex4(s, s->at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
                return bad(s, "\\u escape is half of a surrogate pair");
        step_ascii(s, 6);
        return 0;
}

static int scan_string(Scan *s) {
        if (peek(s) != '"')
                return bad(s, "a string in double quotes is expected here");
        step(s, 1);
        for (;;) {
                int c = peek(s);
                size_t length;

                if (c < 0)
                        return bad(s, "the text ends inside a string");
                if (c == '"') {
                        step(s, 1);
                        return 0;
                }
                if (c == '\\') {
                        int r = scan_escape(s);

                        if (r < 0)
                                return r;
                        continue;
                }
                if (c < 0x20)
                        return bad(s, "control character in a string (write it as an escape)");
                length = utf8_char(s->text + s->at, s->len - s->at);
                if (length == 0)
                        return bad(s, "the text is not valid UTF-8");
                step(s, length);
        }
}

static int scan_word(Scan *s, const char *word) {
        size_t n = strlen(word);

        if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0)
                return bad(s, "a value is expected here");
        step_ascii(s, n);
        return 0;
}

static int scan_member(Scan *s, cJSON *item, unsigned depth) {
        int r;

        skip_space(s);
        r = scan_string(s);
        if (r < 0)
                return r;
        skip_space(s);
        if (peek(s) != ':')
                return bad(s, "a colon is expected after the key");
        step(s, 1);
        return scan_value(s, item, depth);
}

/* An object or a list; child walks in step when there is a tree. */
static int scan_container(Scan *s, cJSON *item, char close, unsigned depth) {
        cJSON *child = item ? item->child : NULL;

        if (depth >= JSON_DEPTH_MAX)
                return bad(s, "nested too deeply");
        step(s, 1);
        skip_space(s);
        if (peek(s) == close) {
                step(s, 1);
                return 0;
        }
        for (;;) {
                int r = close == '}' ? scan_member(s, child, depth + 1) : scan_value(s, child, depth + 1);

                if (r < 0)
                        return r;
                skip_space(s);
                if (child)
                        child = child->next;
                if (peek(s) == close) {
                        step(s, 1);
                        return 0;
                }
                if (peek(s) != ',')
                        return bad(s, s->at < s->len ? "a comma or the closing bracket is expected here"
                                                     : "the text ends before the closing bracket");
                step(s, 1);
        }
}

static int scan_value(Scan *s, cJSON *item, unsigned depth) {
        skip_space(s);
        if (item)
                json_set_place(item, s->place);
        switch (peek(s)) {
        case '{':
                return scan_container(s, item, '}', depth);
        case '[':
                return scan_container(s, item, ']', depth);
        case '"':
                return scan_string(s);
        case 't':
                return scan_word(s, "true");
        case 'f':
                return scan_word(s, "false");
        case 'n':
                return scan_word(s, "null");
        case -1:
                return bad(s, "the text ends where a value is expected");
        default:
                return scan_number(s, item);
        }
}

int json_parse(const char *text, size_t len, Place first, JsonDuplicate duplicate, void *user, cJSON **ret,
               size_t *ret_end, Place *ret_place, Err *err) {
        _cleanup_json_ cJSON *tree = NULL;
        Scan scan = { .text = text, .len = len, .place = first, .err = err };
        const char *end;
        int r;

        r = len > JSON_SIZE_MAX ? bad(&scan, "larger than 10 MiB") : scan_value(&scan, NULL, 0);
        if (r == 0 && !ret_end) {
                skip_space(&scan);
                if (scan.at < len)
                        r = bad(&scan, "nothing may follow the value");
        }
        if (ret_place)
                *ret_place = scan.place;
        if (r < 0)
                return r;
        if (ret_end)
                *ret_end = scan.at;

        /* The grammar is right, so cJSON can only fail for want of memory. */
        tree = cJSON_ParseWithLengthOpts(text, scan.at, &end, false);
        if (!tree)
                return err_oom(err);
        scan = (Scan){ .text = text, .len = len, .place = first, .err = err };
        if (scan_value(&scan, tree, 0) < 0 || !json_drop_duplicates(tree, duplicate, user))
                return err_oom(err);
        *ret = TAKE_PTR(tree);
        return 0;
}
