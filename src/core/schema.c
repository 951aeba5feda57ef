/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema.h"

#include "core/base64.h"
#include "core/schema_table.h"

#include <stdarg.h>
#include <stdio.h>

enum { QUOTE_MAX = 40 }; /* bytes of a value or name that a message shows */

/* Where the check is: rendered as a path only when something is wrong. */
typedef struct Step {
        const struct Step *up;
        enum { STEP_FIELD, STEP_KEY, STEP_INDEX } kind;
        const char *name;
        size_t index;
} Step;

typedef struct Check {
        Diags *diags;
        const char *prefix;
        bool secret; /* show no values at all */
} Check;

static const char *const wanted[] = {
        [SCHEMA_STRING] = "a string",
        [SCHEMA_BOOL] = "true or false",
        [SCHEMA_INT32] = "an integer (int32)",
        [SCHEMA_INT64] = "an integer (int64)",
        [SCHEMA_INT_OR_STRING] = "an integer or a string",
        [SCHEMA_QUANTITY] = "a quantity such as 100m or 1Gi",
        [SCHEMA_TIME] = "a time such as 2006-01-02T15:04:05Z",
        [SCHEMA_BYTES] = "bytes in base64",
        [SCHEMA_ANY_OBJECT] = "an object",
        [SCHEMA_STRUCT] = "an object",
};

/* ---- reporting ---- */

static void write_path(const Step *step, Buf *out) {
        if (!step)
                return;
        write_path(step->up, out);
        switch (step->kind) {
        case STEP_FIELD:
                buf_printf(out, "%s%s", out->len > 0 ? "." : "", step->name);
                break;
        case STEP_KEY:
                buf_printf(out, "[%s]", step->name);
                break;
        default:
                buf_printf(out, "[%zu]", step->index);
        }
}

static void _printf_(5, 6)
        report(Check *c, DiagLevel level, const cJSON *item, const Step *step, const char *format, ...) {
        _cleanup_buf_ Buf path = BUF_INIT;
        char message[512];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);
        buf_str(&path, c->prefix);
        write_path(step, &path);
        c->diags->failed |= path.failed;
        diag_add(c->diags, level, json_place(item), buf_text(&path), "%s", message);
}

/* How much of a text may be shown: whole characters only. */
static int shown(const char *text) {
        size_t n = strnlen(text, QUOTE_MAX);

        while (n > 0 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80)
                n--;
        return (int)n;
}

/* "a string ("80")": what the item is, with its value where it may be shown. */
static void describe(const Check *c, const cJSON *item, char *ret, size_t size) {
        const char *text = str_or_empty(item->valuestring);
        const char *dots = strlen(text) > QUOTE_MAX ? "..." : "";

        if (cJSON_IsString(item) && !c->secret)
                (void)snprintf(ret, size, "a string (\"%.*s%s\")", shown(text), text, dots);
        else if (json_is_number(item) && !c->secret)
                (void)snprintf(ret, size, "the number %.*s%s", shown(text), text, dots);
        else
                (void)snprintf(ret, size, "%s",
                               cJSON_IsString(item)   ? "a string"
                               : json_is_number(item) ? "a number"
                               : cJSON_IsBool(item)   ? "a boolean"
                               : cJSON_IsArray(item)  ? "a list"
                               : cJSON_IsObject(item) ? "an object"
                                                      : "null");
}

static void report_wrong(Check *c, const cJSON *item, const Step *step, const char *type, const char *more) {
        char is[128];

        describe(c, item, is, sizeof(is));
        report(c, DIAG_ERROR, item, step, "must be %s, is %s%s", type, is, more);
}

/* A value in the place of a whole object or list, or of a string, can be a password: it is not shown. */
static void report_hidden(Check *c, const cJSON *item, const Step *step, const char *type) {
        Check hidden = { .diags = c->diags, .prefix = c->prefix, .secret = true };

        report_wrong(&hidden, item, step, type, "");
}

static void report_no_string(Check *c, const cJSON *item, const Step *step, SchemaKind kind) {
        if (json_is_number(item))
                report(c, DIAG_ERROR, item, step, "must be %s, is a number here: quote it", wanted[kind]);
        else if (cJSON_IsBool(item))
                report(c, DIAG_ERROR, item, step,
                       "must be %s, is a boolean: quote it (unquoted true, false, yes, no, on and off are booleans in YAML)",
                       wanted[kind]);
        else
                report_hidden(c, item, step, wanted[kind]);
}

/* ---- scalars ---- */

static size_t count_digits(const char *s) {
        return strspn(s, "0123456789");
}

bool schema_is_quantity(const char *text) {
        static const char *const suffixes[] = { "",  "n", "u",  "m",  "k",  "M",  "G",  "T",
                                                "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
        const char *p = text + (*text == '+' || *text == '-');
        size_t digits;

        if (*text == 0)
                return false;
        p += count_digits(p);
        if (*p == '.')
                p += 1 + count_digits(p + 1);
        for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
                if (streq(p, suffixes[i]))
                        return true;
        if (*p != 'e' && *p != 'E')
                return false;
        p += 1 + (p[1] == '+' || p[1] == '-');
        digits = count_digits(p);
        return digits > 0 && digits - strspn(p, "0") <= 18 && p[digits] == 0;
}

static bool take_digits(const char **s, unsigned count, unsigned max, unsigned *ret) {
        unsigned value = 0;

        for (unsigned i = 0; i < count; i++, (*s)++) {
                if (**s < '0' || **s > '9')
                        return false;
                value = value * 10 + (unsigned)(**s - '0');
        }
        *ret = value;
        return value <= max;
}

static bool take_char(const char **s, char c) {
        return *(*s)++ == c;
}

/* RFC 3339 as Go reads it: upper case T and Z, any number of digits behind the second. */
static bool is_time(const char *s) {
        unsigned year, month, day, x, y;
        static const unsigned char days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        if (!take_digits(&s, 4, 9999, &year) || !take_char(&s, '-') || !take_digits(&s, 2, 12, &month) || month == 0 ||
            !take_char(&s, '-') || !take_digits(&s, 2, days[month - 1], &day) || day == 0)
                return false;
        if (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))
                return false;
        if (!take_char(&s, 'T') || !take_digits(&s, 2, 23, &x) || !take_char(&s, ':') || !take_digits(&s, 2, 59, &x) ||
            !take_char(&s, ':') || !take_digits(&s, 2, 59, &x))
                return false;
        if ((*s == '.' || *s == ',') && count_digits(s + 1) > 0)
                s += 1 + count_digits(s + 1);
        if (streq(s, "Z"))
                return true;
        return (*s == '+' || *s == '-') && s++ && take_digits(&s, 2, 24, &x) && take_char(&s, ':') &&
               take_digits(&s, 2, 60, &y) && *s == 0;
}

static void check_int(Check *c, const cJSON *item, SchemaKind kind, const Step *step) {
        int64_t value = 0;

        if (!json_is_number(item)) {
                report_wrong(c, item, step, wanted[kind], "");
                return;
        }
        if (json_int(item, &value) && (kind == SCHEMA_INT64 || (value >= INT32_MIN && value <= INT32_MAX)))
                return;
        report_wrong(c, item, step, wanted[kind],
                     item->valuestring[strspn(item->valuestring, "-0123456789")] ? "" : ": out of range");
}

static bool is_padded_quantity(const char *text) {
        char trimmed[QUOTE_MAX * 2];
        size_t start = strspn(text, " \t\r\n"), n = strlen(text + start);

        while (n > 0 && strchr(" \t\r\n", text[start + n - 1]))
                n--;
        if (n >= sizeof(trimmed))
                return false;
        memcpy(trimmed, text + start, n);
        trimmed[n] = 0;
        return schema_is_quantity(trimmed);
}

/* y and n are booleans to Kubernetes' YAML reader but to few others: as a name or a value they are evidently text. */
static bool is_letter(const cJSON *item) {
        return cJSON_IsBool(item) && item->valuestring;
}

static void make_letter(Check *c, cJSON *item, const Step *step) {
        item->type = (item->type & ~0xff) | cJSON_String;
        report(c, DIAG_WARNING, item, step,
               "is an unquoted y or n, taken for text here: quote it, Kubernetes reads a boolean");
}

static void check_scalar(Check *c, cJSON *item, SchemaKind kind, const Step *step) {
        const char *text = str_or_empty(item->valuestring);
        bool good;

        switch (kind) {
        case SCHEMA_INT32:
        case SCHEMA_INT64:
                check_int(c, item, kind, step);
                return;
        case SCHEMA_INT_OR_STRING:
                if (json_is_number(item))
                        check_int(c, item, SCHEMA_INT32, step);
                else if (!cJSON_IsString(item))
                        report_wrong(c, item, step, wanted[kind], "");
                return;
        case SCHEMA_STRING:
                if (is_letter(item))
                        make_letter(c, item, step);
                else if (!cJSON_IsString(item))
                        report_no_string(c, item, step, kind);
                return;
        case SCHEMA_BYTES:
                if (!cJSON_IsString(item))
                        report_no_string(c, item, step, kind);
                else if (!base64_valid(text, strlen(text)))
                        report(c, DIAG_ERROR, item, step, "must be bytes in base64, with padding");
                return;
        case SCHEMA_BOOL:
                good = cJSON_IsBool(item);
                break;
        case SCHEMA_QUANTITY:
                good = json_is_number(item) || (cJSON_IsString(item) && is_padded_quantity(text));
                break;
        default:
                good = cJSON_IsString(item) && is_time(text);
        }
        if (!good)
                report_wrong(c, item, step, wanted[kind], "");
}

/* ---- objects, lists, maps ---- */

static void check_struct(Check *c, cJSON *object, const SchemaType *type, const Step *step);

static void check_kind(Check *c, cJSON *item, const SchemaField *field, const Step *step) {
        if (field->kind == SCHEMA_STRUCT)
                check_struct(c, item, &schema_types[field->type], step);
        else if (field->kind != SCHEMA_ANY_OBJECT)
                check_scalar(c, item, field->kind, step);
        else if (!cJSON_IsObject(item))
                report_hidden(c, item, step, wanted[SCHEMA_ANY_OBJECT]);
}

/* Makes of a null what Go's decoder leaves there: the zero value of the type. */
static bool make_zero(cJSON *item, SchemaKind kind) {
        bool number = kind == SCHEMA_INT32 || kind == SCHEMA_INT64 || kind == SCHEMA_INT_OR_STRING;
        int type = kind == SCHEMA_STRUCT || kind == SCHEMA_ANY_OBJECT ? cJSON_Object
                   : kind == SCHEMA_BOOL                              ? cJSON_False
                   : number                                           ? cJSON_Raw
                                                                      : cJSON_String;

        if (type == cJSON_Raw || type == cJSON_String) {
                item->valuestring = strdup(number || kind == SCHEMA_QUANTITY ? "0" : "");
                if (!item->valuestring)
                        return false;
        }
        item->type = (item->type & ~0xff) | type;
        return true;
}

static void check_items(Check *c, cJSON *container, const SchemaField *field, const Step *step) {
        bool list = field->shape == SCHEMA_LIST;
        Step inner = { .up = step, .kind = list ? STEP_INDEX : STEP_KEY };

        if (list ? !cJSON_IsArray(container) : !cJSON_IsObject(container)) {
                report_hidden(c, container, step, list ? "a list" : "an object");
                return;
        }
        for (cJSON *item = container->child; item; item = item->next, inner.index++) {
                inner.name = item->string;
                if (cJSON_IsNull(item)) {
                        if (list)
                                report(c, DIAG_WARNING, item, &inner,
                                       "is null: Kubernetes takes that for an empty item");
                        if (!make_zero(item, field->kind))
                                c->diags->failed = true;
                        continue;
                }
                check_kind(c, item, field, &inner);
        }
}

static int compare_field(const void *name, const void *field) {
        return strcmp(name, ((const SchemaField *)field)->name);
}

static const char *field_name(const void *fields, size_t i) {
        return ((const SchemaField *)fields)[i].name;
}

static void report_unknown(Check *c, const cJSON *item, const SchemaType *type, const Step *step) {
        /* What will not be shown need not be guessed at. */
        const char *near = c->diags->n < DIAGS_MAX
                                   ? nearest_name(item->string, type->n, field_name, &schema_fields[type->first])
                                   : NULL;
        const char *dots = strlen(item->string) > QUOTE_MAX ? "..." : "";

        if (near)
                report(c, DIAG_WARNING, item, step, "unknown field \"%.*s%s\"; did you mean \"%s\"?",
                       shown(item->string), item->string, dots, near);
        else
                report(c, DIAG_WARNING, item, step, "unknown field \"%.*s%s\"", shown(item->string), item->string,
                       dots);
}

static void check_struct(Check *c, cJSON *object, const SchemaType *type, const Step *step) {
        cJSON *next;

        if (!cJSON_IsObject(object)) {
                report_hidden(c, object, step, wanted[SCHEMA_STRUCT]);
                return;
        }
        for (cJSON *item = object->child; item; item = next) {
                const SchemaField *field = bsearch(item->string, &schema_fields[type->first], type->n, sizeof(*field),
                                                   compare_field);
                Step inner = { .up = step, .kind = STEP_FIELD, .name = item->string };

                next = item->next;
                if (!field)
                        report_unknown(c, item, type, &inner);
                if (cJSON_IsNull(item))
                        cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
                else if (field && field->shape != SCHEMA_ONE)
                        check_items(c, item, field, &inner);
                else if (field)
                        check_kind(c, item, field, &inner);
        }
}

static int compare_type(const void *name, const void *type) {
        return strcmp(name, ((const SchemaType *)type)->name);
}

const SchemaType *schema_type(const char *name) {
        return bsearch(name, schema_types, schema_types_count, sizeof(*schema_types), compare_type);
}

void schema_check(cJSON *tree, const SchemaType *type, const char *path, Diags *diags) {
        Check c = { .diags = diags, .prefix = path, .secret = streq(type->name, "Secret") };

        check_struct(&c, tree, type, NULL);
}
