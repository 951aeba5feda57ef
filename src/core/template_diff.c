/* SPDX-License-Identifier: Apache-2.0 */
#include "core/template_diff.h"

#include "core/template_diff_internal.h"
#include "core/validate.h"

#include <errno.h>

/* ---- what is not shown ---- */

/* ASCII case does not count; `word` is lower case. */
static bool contains(const char *text, const char *word) {
        for (; *text; text++) {
                size_t i = 0;

                while (word[i] && (text[i] | ('A' <= text[i] && text[i] <= 'Z' ? 0x20 : 0)) == word[i])
                        i++;
                if (!word[i])
                        return true;
        }
        return false;
}

static bool names_secret(const char *text) {
        static const char *const words[] = { "passw",       "passphrase", "pwd",           "secret",  "token",
                                             "credential",  "apikey",     "api-key",       "api_key", "private-key",
                                             "private_key", "privatekey", "authorization", "bearer" };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (contains(text, words[i]))
                        return true;
        return false;
}

/* scheme://user:password@host */
static bool has_login(const char *text) {
        for (const char *s = strstr(text, "://"); s; s = strstr(s, "://")) {
                s += strlen("://");
                if (s[strcspn(s, "@/ \t\n")] == '@')
                        return true;
        }
        return false;
}

static bool holds_secret(const cJSON *item) {
        return cJSON_IsString(item) && (names_secret(item->valuestring) || has_login(item->valuestring));
}

static bool is_hidden_field(const Spot *spot) {
        const char *type = spot->up && spot->up->type ? spot->up->type->name : NULL;

        return (streq(type, "EnvVar") && !streq(spot->name, "name")) ||
               (streq(type, "HTTPHeader") && streq(spot->name, "value")) ||
               (type && (streq(spot->name, "args") || streq(spot->name, "command")));
}

static bool is_hidden(const Spot *spot) {
        bool telling = false; /* a number or a boolean is no secret */

        for (size_t i = 0; i < SIDES; i++) {
                telling |= cJSON_IsString(spot->sides[i]) || cJSON_IsObject(spot->sides[i]);
                if (holds_secret(spot->sides[i]) || holds_secret(spot->before[i]))
                        return true;
        }
        for (; telling && spot; spot = spot->up)
                if (is_hidden_field(spot) || (spot->kind != SPOT_INDEX && names_secret(spot->name)))
                        return true;
        return false;
}

/* ---- telling a difference ---- */

/* Cut, and on one line. */
static void write_text(const char *text, Buf *out) {
        Quoted q = quoted(text);

        for (char *s = q.text; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        *s = ' ';
        buf_str(out, q.text);
}

static void write_path(const Spot *spot, Buf *out) {
        if (spot->up)
                write_path(spot->up, out);
        if (spot->kind == SPOT_INDEX) {
                buf_printf(out, "[%zu]", spot->index);
                return;
        }
        buf_str(out, spot->kind == SPOT_KEY ? "[" : spot->up ? "." : "");
        write_text(spot->name, out);
        buf_str(out, spot->kind == SPOT_KEY ? "]" : "");
}

/* Where long texts begin to differ, and a little before. */
static size_t start_of(const Spot *spot) {
        enum { LONG = 60, BEFORE = 12 };
        const cJSON *a = spot->sides[OURS], *b = spot->sides[THEIRS];
        size_t n = 0;

        if (!cJSON_IsString(a) || !cJSON_IsString(b))
                return 0;
        if (strlen(a->valuestring) <= LONG && strlen(b->valuestring) <= LONG)
                return 0;
        while (a->valuestring[n] && a->valuestring[n] == b->valuestring[n])
                n++;
        n = n > 2 * BEFORE ? n - BEFORE : 0;
        while (n > 0 && ((unsigned char)a->valuestring[n] & 0xc0) == 0x80)
                n--;
        return n;
}

static void write_value(const cJSON *item, size_t start, Buf *out) {
        const char *name = json_string(item, "name");

        if (!item) {
                buf_str(out, "absent");
        } else if (cJSON_IsBool(item)) {
                buf_str(out, cJSON_IsTrue(item) ? "true" : "false");
        } else if (!item->valuestring) {
                write_text(name ? name : "set", out);
        } else if (!*item->valuestring) {
                buf_str(out, "\"\"");
        } else {
                buf_str(out, start > 0 ? "..." : "");
                write_text(item->valuestring + start, out);
        }
}

/* by_default: whether the value of that side is one that is not written there. Always true. */
static bool tell(Buf *out, const Spot *spot, const bool by_default[static SIDES]) {
        static const char *const places[] = { " here", " in the API server" };
        const Spot *variable = spot_within(spot->up, "EnvVar");
        const cJSON *both = spot->sides[OURS] && spot->sides[THEIRS] ? spot->sides[OURS] : NULL;
        bool hidden = is_hidden(spot);

        write_path(spot, out);
        if (variable) {
                buf_str(out, " (");
                write_text(str_or_empty(json_string(variable->sides[OURS], "name")), out);
                buf_char(out, ')');
        }
        if (hidden && both) {
                buf_str(out, " differs: the value is not shown");
                return true;
        }
        for (size_t i = 0; i < SIDES; i++) {
                buf_str(out, i == OURS ? " is " : " and ");
                if (hidden && spot->sides[i])
                        buf_str(out, "set");
                else
                        write_value(spot->sides[i], start_of(spot), out);
                buf_printf(out, "%s%s", by_default[i] ? " (by default)" : "", places[i]);
        }
        return true;
}

static const bool written[SIDES] = { false, false };

/* ---- values ---- */

static bool is_zero(const SchemaType *type, const SchemaField *field, const cJSON *item);

/* The field's value, or NULL where it is as good as absent. */
static const cJSON *value_of(const SchemaType *type, const SchemaField *field, const cJSON *object) {
        const cJSON *item = json_get(object, field->name);

        return item && !cJSON_IsNull(item) && !is_zero(type, field, item) ? item : NULL;
}

static bool is_nothing(const SchemaType *type, const cJSON *object) {
        for (size_t i = 0; i < type->n; i++)
                if (value_of(type, &schema_fields[type->first + i], object))
                        return false;
        return true;
}

static bool is_zero(const SchemaType *type, const SchemaField *field, const cJSON *item) {
        int64_t number;
        Quantity quantity;

        if (template_zero_counts(type, field))
                return false;
        if (cJSON_IsArray(item) || field->shape == SCHEMA_MAP || field->kind == SCHEMA_ANY_OBJECT)
                return !item->child;
        if (cJSON_IsObject(item))
                return is_nothing(&schema_types[field->type], item);
        if (field->kind == SCHEMA_QUANTITY)
                return quantity_read(item, &quantity) && !quantity.whole && !quantity.nano;
        if (json_is_number(item))
                return json_int(item, &number) && number == 0;
        return cJSON_IsString(item) ? !*item->valuestring : cJSON_IsFalse(item);
}

/* As the API server rounds what stands in a list of resources. */
static void round_up(Quantity *q) {
        enum { MILLI = 1000 * 1000 };

        q->nano = (q->nano + MILLI - 1) / MILLI * MILLI;
        q->whole += q->nano / (1000 * MILLI);
        q->nano %= 1000 * MILLI;
}

static bool equal_quantities(const cJSON *a, const cJSON *b, bool rounded) {
        Quantity x, y;

        if (!quantity_read(a, &x) || !quantity_read(b, &y))
                return streq(a->valuestring, b->valuestring);
        if (rounded) {
                round_up(&x);
                round_up(&y);
        }
        return quantity_compare(&x, &y) == 0;
}

static bool equal_scalars(const cJSON *a, const cJSON *b, const SchemaField *field) {
        int64_t x, y;

        if (field->kind == SCHEMA_QUANTITY)
                return equal_quantities(a, b, field->shape == SCHEMA_MAP);
        if (json_int(a, &x) && json_int(b, &y))
                return x == y;
        return json_equal(a, b);
}

/* ---- the walk: each function tells the first difference, and whether there is one ---- */

static bool diff_object(Buf *out, const Spot *at);

static bool diff_value(Buf *out, Spot *at, const SchemaField *field) {
        if (field->kind == SCHEMA_STRUCT) {
                at->type = &schema_types[field->type];
                return diff_object(out, at);
        }
        return !equal_scalars(at->sides[OURS], at->sides[THEIRS], field) && tell(out, at, written);
}

static bool diff_list(Buf *out, const Spot *list, const SchemaField *field) {
        Spot at = { .up = list, .kind = SPOT_INDEX };

        for (size_t i = 0; i < SIDES; i++)
                at.sides[i] = list->sides[i] ? list->sides[i]->child : NULL;
        for (; at.sides[OURS] || at.sides[THEIRS]; at.index++) {
                if (!at.sides[OURS] || !at.sides[THEIRS])
                        return tell(out, &at, written);
                if (diff_value(out, &at, field))
                        return true;
                for (size_t i = 0; i < SIDES; i++) {
                        at.before[i] = at.sides[i];
                        at.sides[i] = at.sides[i]->next;
                }
        }
        return false;
}

/* twins: where absent keys are looked up. */
static bool diff_map(Buf *out, const Spot *map, const SchemaField *field, const cJSON *const twins[static SIDES]) {
        const cJSON *next[SIDES];

        for (size_t i = 0; i < SIDES; i++)
                next[i] = map->sides[i] ? map->sides[i]->child : NULL;
        while (next[OURS] || next[THEIRS]) {
                int order = !next[OURS] ? 1 : !next[THEIRS] ? -1 : strcmp(next[OURS]->string, next[THEIRS]->string);
                Spot at = { .up = map, .kind = SPOT_KEY, .name = next[order > 0 ? THEIRS : OURS]->string };
                bool by_default[SIDES];

                for (size_t i = 0; i < SIDES; i++) {
                        bool there = i == OURS ? order <= 0 : order >= 0;

                        at.sides[i] = there ? next[i] : json_get(twins[i], at.name);
                        by_default[i] = !there && at.sides[i];
                        next[i] = there ? next[i]->next : next[i];
                }
                if (!at.sides[OURS] || !at.sides[THEIRS] || !equal_scalars(at.sides[OURS], at.sides[THEIRS], field))
                        return tell(out, &at, by_default);
        }
        return false;
}

static cJSON item_of(const char *text, SchemaKind kind) {
        int type = kind == SCHEMA_BOOL                            ? streq(text, "true") ? cJSON_True : cJSON_False
                   : kind == SCHEMA_INT32 || kind == SCHEMA_INT64 ? cJSON_Raw
                                                                  : cJSON_String;

        return (cJSON){ .type = type, .valuestring = (char *)text };
}

static bool diff_scalar(Buf *out, const Spot *object, Spot *at, const SchemaField *field) {
        bool by_default[SIDES];
        cJSON items[SIDES];

        for (int i = 0; i < SIDES; i++) {
                const char *text = at->sides[i] ? NULL : template_default(object, field, i);

                by_default[i] = text;
                if (!text)
                        continue;
                items[i] = item_of(text, field->kind);
                at->sides[i] = &items[i];
        }
        if (!at->sides[OURS] && !at->sides[THEIRS])
                return false;
        if (at->sides[OURS] && at->sides[THEIRS] && equal_scalars(at->sides[OURS], at->sides[THEIRS], field))
                return false;
        return tell(out, at, by_default);
}

static bool diff_field(Buf *out, const Spot *object, const SchemaField *field) {
        const cJSON *raw[SIDES], *twins[SIDES];
        Spot at = { .up = object, .kind = SPOT_FIELD, .name = field->name };

        for (int i = 0; i < SIDES; i++) {
                raw[i] = json_get(object->sides[i], field->name);
                at.sides[i] = value_of(object->type, field, object->sides[i]);
                twins[i] = template_twin(object, field, i);
        }
        if (field->shape == SCHEMA_LIST)
                return diff_list(out, &at, field);
        if (field->shape == SCHEMA_MAP)
                return diff_map(out, &at, field, twins);
        if (field->kind != SCHEMA_STRUCT)
                return diff_scalar(out, object, &at, field);
        /* Defaults only stand in objects that are there, be they empty. */
        if (cJSON_IsObject(raw[OURS]) && cJSON_IsObject(raw[THEIRS]))
                return diff_value(out, &at, field);
        return (at.sides[OURS] || at.sides[THEIRS]) && tell(out, &at, written);
}

static bool diff_object(Buf *out, const Spot *at) {
        for (size_t i = 0; i < at->type->n; i++) {
                const SchemaField *field = &schema_fields[at->type->first + i];

                if (!template_is_ignored(at->type, field) && diff_field(out, at, field))
                        return true;
        }
        return false;
}

int template_diff(const Object *ours, const Object *theirs, Buf *out) {
        _cleanup_json_ cJSON *a = NULL, *b = NULL;
        Spot top = { .kind = SPOT_FIELD, .name = "spec.template", .type = schema_type("PodTemplateSpec") };
        int r = json_parse(ours->bytes, ours->len, (Place){ 0 }, NULL, NULL, &a, NULL, NULL, NULL);

        if (r == 0)
                r = json_parse(theirs->bytes, theirs->len, (Place){ 0 }, NULL, NULL, &b, NULL, NULL, NULL);
        if (r < 0)
                return r;
        top.sides[OURS] = json_path(a, "spec.template");
        top.sides[THEIRS] = json_path(b, "spec.template");
        (void)diff_object(out, &top);
        return out->failed ? -ENOMEM : 0;
}
