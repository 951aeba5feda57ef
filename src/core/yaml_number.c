/* SPDX-License-Identifier: Apache-2.0 */
/* What a plain scalar is. The rules are those of YAML 1.1 as Go's yaml.v2 understands them, which Kubernetes reads
 * with: some are odd (0b-1 is -1, a float that is too large is a string), and all have been compared with it. */
#include "core/yaml_internal.h"

static const struct {
        char word[6];
        ScalarKind kind;
} words[] = {
        { "~", SCALAR_NULL },          { "null", SCALAR_NULL },       { "Null", SCALAR_NULL },
        { "NULL", SCALAR_NULL },       { "true", SCALAR_TRUE },       { "True", SCALAR_TRUE },
        { "TRUE", SCALAR_TRUE },       { "y", SCALAR_TRUE },          { "Y", SCALAR_TRUE },
        { "yes", SCALAR_TRUE },        { "Yes", SCALAR_TRUE },        { "YES", SCALAR_TRUE },
        { "on", SCALAR_TRUE },         { "On", SCALAR_TRUE },         { "ON", SCALAR_TRUE },
        { "false", SCALAR_FALSE },     { "False", SCALAR_FALSE },     { "FALSE", SCALAR_FALSE },
        { "n", SCALAR_FALSE },         { "N", SCALAR_FALSE },         { "no", SCALAR_FALSE },
        { "No", SCALAR_FALSE },        { "NO", SCALAR_FALSE },        { "off", SCALAR_FALSE },
        { "Off", SCALAR_FALSE },       { "OFF", SCALAR_FALSE },       { ".nan", SCALAR_NAN },
        { ".NaN", SCALAR_NAN },        { ".NAN", SCALAR_NAN },        { ".inf", SCALAR_INF },
        { ".Inf", SCALAR_INF },        { ".INF", SCALAR_INF },        { "+.inf", SCALAR_INF },
        { "+.Inf", SCALAR_INF },       { "+.INF", SCALAR_INF },       { "-.inf", SCALAR_MINUS_INF },
        { "-.Inf", SCALAR_MINUS_INF }, { "-.INF", SCALAR_MINUS_INF },
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static size_t count_digits(const char *text, size_t len) {
        size_t n = 0;

        while (n < len && is_digit(text[n]))
                n++;
        return n;
}

/* ---- integers ---- */

/* The digits of a number in its base; false if there is none, a digit too large, or more than 64 bits. */
static bool parse_digits(const char *text, size_t len, unsigned base, uint64_t *ret) {
        uint64_t value = 0;

        for (size_t i = 0; i < len; i++) {
                char c = text[i];
                unsigned d = is_digit(c)            ? (unsigned)(c - '0')
                             : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                             : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                    : 16;

                if (d >= base || __builtin_mul_overflow(value, base, &value) ||
                    __builtin_add_overflow(value, d, &value))
                        return false;
        }
        *ret = value;
        return len > 0;
}

/* A sign, a base (0x, 0o, 0b, or a plain 0 for octal), digits. */
static bool resolve_int(const char *text, size_t len, Buf *number) {
        bool negative = len > 0 && text[0] == '-', signed_ = negative || (len > 0 && text[0] == '+');
        const char *p = text + signed_;
        size_t n = len - signed_;
        unsigned base = 10;
        uint64_t value;

        if (n >= 4 && !signed_ && p[0] == '0' && p[1] == 'b' && (p[2] == '-' || p[2] == '+')) {
                negative = p[2] == '-';
                signed_ = true;
                base = 2;
                p += 3;
                n -= 3;
        } else if (n >= 3 && p[0] == '0' && !is_digit(p[1])) {
                base = (p[1] | 0x20) == 'x' ? 16 : (p[1] | 0x20) == 'o' ? 8 : (p[1] | 0x20) == 'b' ? 2 : 0;
                p += 2;
                n -= 2;
        } else if (n >= 2 && p[0] == '0') {
                base = 8;
        }
        if (base == 0 || !parse_digits(p, n, base, &value))
                return false;
        /* Only without a sign may the 64th bit be used. */
        if (signed_ && value > (uint64_t)INT64_MAX + negative)
                return false;
        buf_printf(number, "%s%llu", negative && value > 0 ? "-" : "", (unsigned long long)value);
        return true;
}

/* ---- floats, in decimal: nothing is rounded, and no locale can interfere ---- */

typedef struct Decimal {
        bool negative;
        const char *whole, *fraction, *exponent; /* digits; exponent: what is behind the e, with its sign */
        size_t n_whole, n_fraction, n_exponent;
        size_t n_significant; /* digits from the first to the last that is not 0; 0: the value is zero */
        int64_t magnitude;    /* the decimal exponent of the first significant digit */
} Decimal;

static char decimal_digit(const Decimal *d, size_t i) {
        return i < d->n_whole ? d->whole[i] : d->fraction[i - d->n_whole];
}

static size_t decimal_first(const Decimal *d) {
        size_t first = 0;

        while (first < d->n_whole + d->n_fraction && decimal_digit(d, first) == '0')
                first++;
        return first;
}

static void decimal_measure(Decimal *d) {
        size_t first = decimal_first(d), n = d->n_whole + d->n_fraction;
        int64_t exponent = 0;
        bool negative = d->n_exponent > 0 && d->exponent[0] == '-';

        for (size_t i = 0; i < d->n_exponent; i++)
                if (is_digit(d->exponent[i]) && exponent < 100000000)
                        exponent = exponent * 10 + (d->exponent[i] - '0');
        while (n > first && decimal_digit(d, n - 1) == '0')
                n--;
        d->n_significant = n - first;
        d->magnitude = (int64_t)d->n_whole - 1 - (int64_t)first + (negative ? -exponent : exponent);
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool decimal_parse(const char *text, size_t len, Decimal *ret) {
        const char *p = text, *end = text + len;
        Decimal d = { 0 };

        d.negative = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        d.whole = p;
        d.n_whole = count_digits(p, (size_t)(end - p));
        p += d.n_whole;
        if (p < end && *p == '.') {
                d.fraction = ++p;
                d.n_fraction = count_digits(p, (size_t)(end - p));
                p += d.n_fraction;
        }
        if (d.n_whole + d.n_fraction == 0)
                return false;
        if (p < end && (*p == 'e' || *p == 'E')) {
                size_t sign = p + 1 < end && (p[1] == '-' || p[1] == '+');

                d.exponent = ++p;
                d.n_exponent = (size_t)(end - p);
                if (d.n_exponent <= sign || count_digits(p + sign, d.n_exponent - sign) != d.n_exponent - sign)
                        return false;
                p = end;
        }
        decimal_measure(&d);
        *ret = d;
        return p == end;
}

/* Whether a double would be infinite: from half a unit above its greatest value on. */
static bool decimal_overflows(const Decimal *d) {
        static const char limit[] = "17976931348623158079";
        size_t first = decimal_first(d);

        if (d->n_significant == 0 || d->magnitude != 308)
                return d->n_significant > 0 && d->magnitude > 308;
        for (size_t i = 0; i < sizeof(limit) - 1; i++) {
                char c = i < d->n_significant ? decimal_digit(d, first + i) : '0';

                if (c != limit[i])
                        return c > limit[i];
        }
        return true;
}

/* Go writes whole floats of up to 21 digits without exponent, so they can be read as integers. */
static bool decimal_write_whole(const Decimal *d, Buf *out) {
        size_t first = decimal_first(d);

        if (d->n_significant == 0 || d->magnitude < -324) {
                buf_char(out, '0');
                return true;
        }
        if (d->magnitude < 0 || d->magnitude > 20 || d->n_significant > (size_t)d->magnitude + 1)
                return false;
        if (d->negative)
                buf_char(out, '-');
        for (size_t i = 0; i <= (size_t)d->magnitude; i++)
                buf_char(out, i < d->n_significant ? decimal_digit(d, first + i) : '0');
        return true;
}

/* The number as it was written, less what JSON has no room for. */
static void decimal_write(const Decimal *d, Buf *out) {
        size_t zeros = 0;

        if (decimal_write_whole(d, out))
                return;
        while (zeros + 1 < d->n_whole && d->whole[zeros] == '0')
                zeros++;
        if (d->negative)
                buf_char(out, '-');
        if (d->n_whole == 0)
                buf_char(out, '0');
        buf_add(out, d->whole + zeros, d->n_whole - zeros);
        if (d->n_fraction > 0) {
                buf_char(out, '.');
                buf_add(out, d->fraction, d->n_fraction);
        }
        if (d->n_exponent > 0) {
                buf_char(out, 'e');
                buf_add(out, d->exponent, d->n_exponent);
        }
}

static ScalarKind resolve_float(const char *text, size_t len, Buf *number) {
        Decimal d;

        if (!decimal_parse(text, len, &d) || decimal_overflows(&d))
                return SCALAR_STRING;
        decimal_write(&d, number);
        return SCALAR_FLOAT;
}

/* ---- words and numbers ---- */

/* Underscores may stand anywhere in a number, but in one that starts with a point only between digits. */
static ScalarKind resolve_number(const char *text, size_t len, Buf *number) {
        _cleanup_buf_ Buf plain = BUF_INIT;

        if (memchr(text, '_', len)) {
                for (size_t i = 0; i < len; i++) {
                        if (text[i] != '_')
                                buf_char(&plain, text[i]);
                        else if (text[0] == '.' && (!is_digit(text[i - 1]) || i + 1 == len || !is_digit(text[i + 1])))
                                return SCALAR_STRING;
                }
                number->failed = plain.failed;
                text = buf_text(&plain);
                len = plain.len;
        }
        if (text[0] != '.' && resolve_int(text, len, number))
                return SCALAR_INT;
        return resolve_float(text, len, number);
}

ScalarKind yaml_resolve(const char *text, size_t len, Buf *number) {
        buf_reset(number);
        if (len == 0)
                return SCALAR_NULL;
        /* Most scalars are told by their first byte to be strings. */
        if (!strchr("+-.0123456789~yYnNtTfFoO", text[0]))
                return SCALAR_STRING;
        if (len < sizeof(words[0].word))
                for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                        if (words[i].word[0] == text[0] && strlen(words[i].word) == len &&
                            memcmp(words[i].word, text, len) == 0)
                                return words[i].kind;
        return strchr("+-.0123456789", text[0]) ? resolve_number(text, len, number) : SCALAR_STRING;
}

/* Up to six digits need no rounding to 32 bits; with more the key that Kubernetes makes is hardly the one meant. */
bool yaml_float_key(const char *text, size_t len, Buf *out) {
        Decimal d;
        size_t first;
        int64_t e;

        if (!decimal_parse(text, len, &d) || d.n_significant > 6)
                return false;
        first = decimal_first(&d);
        e = d.n_significant > 0 ? d.magnitude : 0;
        if (e > 37 || e < -37)
                return false;
        if (d.negative)
                buf_char(out, '-');
        if (e < -4 || e >= 6) {
                buf_char(out, decimal_digit(&d, first));
                for (size_t i = 1; i < d.n_significant; i++)
                        buf_printf(out, "%s%c", i == 1 ? "." : "", decimal_digit(&d, first + i));
                buf_printf(out, "e%c%02d", e < 0 ? '-' : '+', abs((int)e));
                return true;
        }
        if (e < 0)
                buf_str(out, "0.");
        for (int64_t i = e; i < -1; i++)
                buf_char(out, '0');
        for (int64_t i = 0; i < (int64_t)d.n_significant || i <= e; i++) {
                if (e >= 0 && i == e + 1)
                        buf_char(out, '.');
                buf_char(out, i < (int64_t)d.n_significant ? decimal_digit(&d, first + (size_t)i) : '0');
        }
        return true;
}
