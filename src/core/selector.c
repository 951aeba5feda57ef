/* SPDX-License-Identifier: Apache-2.0 */
#include "core/selector.h"

#include <errno.h>

enum {
        NAME_MAX_LEN = 63,
        SUBDOMAIN_MAX_LEN = 253,
};

static bool is_lower_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c) {
        return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* The name of a qualified name, and a label value that is not empty: alphanumeric at both ends. */
static bool is_name_part(const char *s) {
        size_t len = strnlen(s, NAME_MAX_LEN + 1);

        if (len == 0 || len > NAME_MAX_LEN || !is_alnum(s[0]) || !is_alnum(s[len - 1]))
                return false;
        for (size_t i = 0; i < len; i++)
                if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
                        return false;
        return true;
}

static bool is_dns_part(const char *s, size_t len) {
        if (len == 0 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[len - 1]))
                return false;
        for (size_t i = 0; i < len; i++)
                if (!is_lower_alnum(s[i]) && s[i] != '-')
                        return false;
        return true;
}

/* The parts of a subdomain have no length limit of their own upstream, only the whole has. */
static bool is_subdomain(const char *s, size_t len) {
        if (len > SUBDOMAIN_MAX_LEN)
                return false;
        for (;;) {
                const char *dot = memchr(s, '.', len);
                size_t part = dot ? (size_t)(dot - s) : len;

                if (!is_dns_part(s, part))
                        return false;
                if (!dot)
                        return true;
                s += part + 1;
                len -= part + 1;
        }
}

bool is_qualified_name(const char *s) {
        const char *slash = strchr(s, '/');

        if (!slash)
                return is_name_part(s);
        /* A second slash fails as a character of the name. */
        return is_subdomain(s, (size_t)(slash - s)) && is_name_part(slash + 1);
}

bool is_label_value(const char *s) {
        return !*s || is_name_part(s);
}

bool is_dns1123_label(const char *s) {
        size_t len = strnlen(s, NAME_MAX_LEN + 1);

        return len <= NAME_MAX_LEN && is_dns_part(s, len);
}

bool is_dns1123_subdomain(const char *s) {
        return is_subdomain(s, strnlen(s, SUBDOMAIN_MAX_LEN + 1));
}

bool selector_parse_int(const char *s, int64_t *ret) {
        bool negative = *s == '-';
        int64_t value = 0;

        if (*s == '-' || *s == '+')
                s++;
        if (!*s)
                return false;
        /* Counted downwards: the negative range is the larger one. */
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return false;
                if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, *s - '0', &value))
                        return false;
        }
        if (!negative && __builtin_sub_overflow((int64_t)0, value, &value))
                return false;
        *ret = value;
        return true;
}

/* How many values an operator takes, and where it may stand. */
static const struct Operator {
        const char *name;
        size_t min, max;
        bool field; /* allowed in matchFields, with exactly one value */
        const char *wants;
} operators[] = {
        [OP_IN] = { "In", 1, SIZE_MAX, true, "at least one value" },
        [OP_NOT_IN] = { "NotIn", 1, SIZE_MAX, true, "at least one value" },
        [OP_EXISTS] = { "Exists", 0, 0, false, "no values" },
        [OP_DOES_NOT_EXIST] = { "DoesNotExist", 0, 0, false, "no values" },
        [OP_GT] = { "Gt", 1, 1, false, "exactly one value" },
        [OP_LT] = { "Lt", 1, 1, false, "exactly one value" },
};

static bool operator_find(const char *name, RequirementOperator *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
                if (streq(operators[i].name, name)) {
                        *ret = (RequirementOperator)i;
                        return true;
                }
        return false;
}

/* The rules of a label requirement (apimachinery's labels.NewRequirement); writes what is wrong, if anything. */
static void check_expression(Requirement *r, Buf *error) {
        const struct Operator *op = &operators[r->op];

        if (!is_qualified_name(r->key))
                buf_printf(error, "\"%s\" is not a valid label key", r->key);
        else if (r->n_values < op->min || r->n_values > op->max)
                buf_printf(error, "%s: operator %s wants %s", r->key, op->name, op->wants);
        else if ((r->op == OP_GT || r->op == OP_LT) && !selector_parse_int(r->values[0], &r->bound))
                buf_printf(error, "%s: operator %s wants an integer, not \"%s\"", r->key, op->name, r->values[0]);
        for (size_t i = 0; i < r->n_values && error->len == 0; i++)
                if (!is_label_value(r->values[i]))
                        buf_printf(error, "%s: \"%s\" is not a valid label value", r->key, r->values[i]);
}

static void check_field(const Requirement *r, Buf *error) {
        const struct Operator *op = &operators[r->op];

        if (!op->field)
                buf_printf(error, "field %s: operator %s is not one of In, NotIn", r->key, op->name);
        else if (r->n_values != 1)
                buf_printf(error, "field %s: operator %s wants exactly one value", r->key, op->name);
}

static int read_values(const cJSON *list, Requirement *r) {
        const cJSON *item;
        int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;

        if (n == 0)
                return 0;
        r->values = calloc((size_t)n, sizeof(*r->values));
        if (!r->values)
                return -ENOMEM;
        cJSON_ArrayForEach(item, list) {
                r->values[r->n_values] = strdup(str_or_empty(cJSON_GetStringValue(item)));
                if (!r->values[r->n_values])
                        return -ENOMEM;
                r->n_values++;
        }
        return 0;
}

int requirement_parse(const cJSON *json, bool field, Requirement *ret, char **ret_error) {
        _cleanup_(requirement_done) Requirement r = { 0 };
        _cleanup_buf_ Buf error = BUF_INIT;
        const char *op = str_or_empty(json_string(json, "operator"));
        char *text = NULL;

        r.key = strdup(str_or_empty(json_string(json, "key")));
        if (!r.key || read_values(json_get(json, "values"), &r) < 0)
                return -ENOMEM;
        if (!operator_find(op, &r.op))
                buf_printf(&error, "%s: operator \"%s\" is not one of %s", r.key, op,
                           field ? "In, NotIn" : "In, NotIn, Exists, DoesNotExist, Gt, Lt");
        else if (field)
                check_field(&r, &error);
        else
                check_expression(&r, &error);
        if (error.failed)
                return -ENOMEM;
        if (error.len > 0) {
                text = buf_take(&error, NULL);
                if (!text)
                        return -ENOMEM;
        }
        *ret_error = text;
        *ret = r;
        r = (Requirement){ 0 };
        return 0;
}

void requirement_done(Requirement *r) {
        free(r->key);
        for (size_t i = 0; i < r->n_values; i++)
                free(r->values[i]);
        free(r->values);
        *r = (Requirement){ 0 };
}

static bool has_value(const Requirement *r, const char *value) {
        for (size_t i = 0; i < r->n_values; i++)
                if (streq(r->values[i], value))
                        return true;
        return false;
}

bool requirement_matches(const Requirement *r, const NodeView *node, const Label *overlay) {
        const char *value = node_view_label_over(node, overlay, r->key);
        int64_t number;

        switch (r->op) {
        case OP_IN:
                return value && has_value(r, value);
        case OP_NOT_IN:
                return !value || !has_value(r, value);
        case OP_EXISTS:
                return value;
        case OP_DOES_NOT_EXIST:
                return !value;
        case OP_GT:
                return value && selector_parse_int(value, &number) && number > r->bound;
        case OP_LT:
                return value && selector_parse_int(value, &number) && number < r->bound;
        }
        return false;
}

bool field_requirement_matches(const Requirement *r, const NodeView *node) {
        const char *value = streq(r->key, "metadata.name") ? node->name : "";
        bool equal = r->n_values == 1 && streq(r->values[0], value);

        return r->op == OP_NOT_IN ? !equal : equal;
}

bool node_term_matches(const NodeTerm *term, const NodeView *node, const Label *overlay) {
        if (term->error || (term->n_expressions == 0 && term->n_fields == 0))
                return false;
        for (size_t i = 0; i < term->n_expressions; i++)
                if (!requirement_matches(&term->expressions[i], node, overlay))
                        return false;
        for (size_t i = 0; i < term->n_fields; i++)
                if (!field_requirement_matches(&term->fields[i], node))
                        return false;
        return true;
}

void requirement_text(const Requirement *r, Buf *out) {
        buf_printf(out, "%s %s", r->key, operators[r->op].name);
        for (size_t i = 0; i < r->n_values; i++)
                buf_printf(out, "%s%s", i ? "," : " (", r->values[i]);
        if (r->n_values > 0)
                buf_char(out, ')');
}
