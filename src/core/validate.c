/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over rule tables. */
#include "core/validate.h"

#include <stdarg.h>
#include <stdio.h>

At at_top(Walk *walk, const cJSON *item) {
        return (At){ .walk = walk, .item = item, .kind = AT_FIELD };
}

At at_field(const At *up, const char *field) {
        return (At){ .up = up, .walk = up->walk, .item = json_get(up->item, field), .kind = AT_FIELD, .name = field };
}

At at_index(const At *up, size_t index, const cJSON *item) {
        return (At){ .up = up, .walk = up->walk, .item = item, .kind = AT_INDEX, .index = index };
}

At at_key(const At *up, const cJSON *item) {
        return (At){ .up = up, .walk = up->walk, .item = item, .kind = AT_KEY, .name = item->string };
}

const At *at_up(const At *at, unsigned levels) {
        while (levels-- > 0 && at->up)
                at = at->up;
        return at;
}

static void write_path(const At *at, Buf *out) {
        if (!at->up)
                return;
        write_path(at->up, out);
        if (at->kind == AT_INDEX)
                buf_printf(out, "[%zu]", at->index);
        else if (at->kind == AT_KEY)
                buf_printf(out, "[%s]", at->name);
        else
                buf_printf(out, "%s%s", out->len ? "." : "", at->name);
}

/* Of the item, or where it is missing of what it is missing from. */
static Place nearest_place(const At *at) {
        for (; at; at = at->up)
                if (at->item && json_place(at->item).line)
                        return json_place(at->item);
        return (Place){ 0 };
}

_printf_(3, 0) static void report(const At *at, DiagLevel level, const char *format, va_list ap) {
        _cleanup_buf_ Buf path = BUF_INIT;
        char message[1024];

        write_path(at, &path);
        (void)vsnprintf(message, sizeof(message), format, ap);
        diag_add(at->walk->diags, level, nearest_place(at), buf_text(&path), "%s", message);
        at->walk->diags->failed |= path.failed;
}

void refuse(const At *at, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        report(at, DIAG_ERROR, format, ap);
        va_end(ap);
}

void warn(const At *at, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        report(at, DIAG_WARNING, format, ap);
        va_end(ap);
}

Quoted quoted(const char *s) {
        enum { KEPT = 80 };
        Quoted q;
        size_t len = strnlen(s, KEPT + 1);

        if (len > KEPT) {
                for (len = KEPT; len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80; len--)
                        ;
                (void)snprintf(q.text, sizeof(q.text), "%.*s...", (int)len, s);
        } else {
                memcpy(q.text, s, len + 1);
        }
        return q;
}

/* ---- rows ---- */

static void check_choice(const At *at, const char *const *choices) {
        _cleanup_buf_ Buf list = BUF_INIT;

        for (size_t i = 0; choices[i]; i++)
                if (streq(choices[i], at->item->valuestring))
                        return;
        for (size_t i = 0; choices[i]; i++)
                buf_printf(&list, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
        refuse(at, "\"%s\" is not supported: use %s", QUOTED(at->item->valuestring), buf_text(&list));
        at->walk->diags->failed |= list.failed;
}

static void check_range(const At *at, const Rule *rule) {
        int64_t value;

        if (!json_int(at->item, &value) || (value >= rule->min && value <= rule->max))
                return;
        if (rule->max == INT64_MAX)
                refuse(at, "%lld is too small: must be at least %lld", (long long)value, (long long)rule->min);
        else
                refuse(at, "%lld is out of range: must be from %lld to %lld", (long long)value, (long long)rule->min,
                       (long long)rule->max);
}

/* Go cannot tell an absent field from "". */
static bool is_absent(const cJSON *item, const Rule *rule) {
        if (!item)
                return true;
        if (cJSON_IsString(item))
                return !*item->valuestring && !(rule->flags & EMPTY_COUNTS);
        return rule->flags & (REQUIRED | FORBIDDEN) && (cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child;
}

static void check_value(const At *at, const Rule *rule) {
        if (cJSON_IsString(at->item)) {
                const char *wrong = rule->text ? rule->text(at->item->valuestring) : NULL;

                if (wrong)
                        refuse(at, "\"%s\" %s", QUOTED(at->item->valuestring), wrong);
                if (rule->choices)
                        check_choice(at, rule->choices);
        }
        if (rule->ranged)
                check_range(at, rule);
        /* null as an item of a list is an empty object. */
        if (rule->rules && (cJSON_IsObject(at->item) || cJSON_IsNull(at->item)))
                rules_apply(rule->rules, at);
        if (rule->check)
                rule->check(at);
}

static void check_row(const At *at, const Rule *rule) {
        const char *help = rule->help;

        if (is_absent(at->item, rule)) {
                if (rule->flags & REQUIRED)
                        refuse(at, "required%s%s", help ? ": " : "", str_or_empty(help));
                return;
        }
        if (rule->flags & FORBIDDEN) {
                refuse(at, "not allowed%s%s", help ? ": " : "", str_or_empty(help));
                return;
        }
        if (!(rule->flags & LIST)) {
                check_value(at, rule);
                return;
        }
        if (!cJSON_IsArray(at->item))
                return;
        for (each_at(item, at))
                check_value(&item, rule);
        if (rule->unique)
                refuse_repeated(at, rule->unique);
        if (rule->all)
                rule->all(at);
}

void rules_apply(const Rules *rules, const At *at) {
        for (size_t i = 0; i < rules->n; i++) {
                At field = at_field(at, rules->rows[i].field);

                check_row(&field, &rules->rows[i]);
        }
        if (rules->check)
                rules->check(at);
}

void refuse_repeated(const At *list, const char *field) {
        _cleanup_names_ NameSet seen = { 0 };

        for (each_at(item, list)) {
                At value = at_field(&item, field);

                if (!cJSON_IsString(value.item) || !*value.item->valuestring)
                        continue;
                if (!name_set_add(&seen, value.item->valuestring, list->walk->diags))
                        refuse(&value, "\"%s\" is there already: must be unique", QUOTED(value.item->valuestring));
        }
}

size_t refuse_several(const At *at, const char *const *fields, const char *what, const char *required) {
        const char *first = NULL;
        size_t n = 0;

        for (size_t i = 0; fields[i]; i++) {
                At field = at_field(at, fields[i]);

                if (!field.item)
                        continue;
                if (n++ == 0)
                        first = fields[i];
                else
                        refuse(&field, "only one %s is allowed, and %s is there already", what, first);
        }
        if (n == 0 && required)
                refuse(at, "%s", required);
        return n;
}

/* ---- sets of names ---- */

static size_t name_slot(const char *const *slots, size_t n_slots, const char *name) {
        uint64_t hash = 14695981039346656037u; /* FNV-1a */
        size_t i;

        for (const char *c = name; *c; c++)
                hash = (hash ^ (unsigned char)*c) * 1099511628211u;
        for (i = (size_t)(hash ^ hash >> 32) & (n_slots - 1); slots[i] && !streq(slots[i], name);)
                i = (i + 1) & (n_slots - 1);
        return i;
}

static bool name_set_grow(NameSet *s) {
        size_t n_slots = s->n_slots ? 2 * s->n_slots : 16;
        const char **slots = calloc(n_slots, sizeof(*slots));

        if (!slots)
                return false;
        for (size_t i = 0; i < s->n_slots; i++)
                if (s->slots[i])
                        slots[name_slot(slots, n_slots, s->slots[i])] = s->slots[i];
        free(s->slots);
        s->slots = slots;
        s->n_slots = n_slots;
        return true;
}

bool name_set_add(NameSet *s, const char *name, Diags *diags) {
        size_t i;

        if (2 * (s->n + 1) > s->n_slots && !name_set_grow(s)) {
                diags->failed = true;
                return true;
        }
        i = name_slot(s->slots, s->n_slots, name);
        if (s->slots[i])
                return false;
        s->slots[i] = name;
        s->n++;
        return true;
}

bool name_set_has(const NameSet *s, const char *name) {
        return s->n_slots && s->slots[name_slot(s->slots, s->n_slots, name)];
}

void name_set_done(NameSet *s) {
        free(s->slots);
        *s = (NameSet){ 0 };
}
