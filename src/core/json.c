/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- places: line and column packed into the double that our items do not use otherwise (exact up to 2^53) ---- */

#define COLUMNS 16777216.0 /* 2^24; a file has at most 10 MiB */

void json_set_place(cJSON *item, Place place) {
        item->valuedouble = (double)place.line * COLUMNS + (double)place.column;
}

Place json_place(const cJSON *item) {
        uint64_t packed = item && !cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;

        return (Place){ .line = (unsigned)(packed >> 24), .column = (unsigned)(packed & 0xffffff) };
}

/* ---- members of an object in the order of their keys ---- */

enum { MEMBERS_STACK = 32 };

typedef struct Member {
        cJSON *item;
        size_t order;
} Member;

static int compare_members(const void *a, const void *b) {
        const Member *x = a, *y = b;
        int c = strcmp(x->item->string, y->item->string);

        return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* Sorted by key, then by place in the object. Uses the caller's buffer if it is large enough, else *ret_heap. False
 * when out of memory. */
static bool members_sorted(const cJSON *object, Member *buffer, Member **ret, Member **ret_heap, size_t *ret_n) {
        size_t n = 0;
        Member *members = buffer;

        for (const cJSON *c = object->child; c; c = c->next)
                n++;
        *ret_heap = NULL;
        if (n > MEMBERS_STACK) {
                members = *ret_heap = malloc(n * sizeof(*members));
                if (!members)
                        return false;
        }
        n = 0;
        for (cJSON *c = object->child; c; c = c->next, n++)
                members[n] = (Member){ .item = c, .order = n };
        if (n > 1)
                qsort(members, n, sizeof(*members), compare_members);
        *ret = members;
        *ret_n = n;
        return true;
}

static bool drop_in_object(cJSON *object, JsonDuplicate duplicate, void *user) {
        Member buffer[MEMBERS_STACK], *members;
        _cleanup_free_ Member *heap = NULL;
        size_t n;

        if (!members_sorted(object, buffer, &members, &heap, &n))
                return false;
        for (size_t i = 0; i + 1 < n; i++) {
                size_t last = i + 1;

                if (!streq(members[i].item->string, members[last].item->string))
                        continue;
                while (last + 1 < n && streq(members[i].item->string, members[last + 1].item->string))
                        last++;
                if (duplicate)
                        duplicate(user, members[i].item->string, json_place(members[i].item),
                                  json_place(members[last].item));
                cJSON_Delete(cJSON_DetachItemViaPointer(object, members[i].item));
        }
        return true;
}

bool json_drop_duplicates(cJSON *item, JsonDuplicate duplicate, void *user) {
        if (cJSON_IsObject(item) && !drop_in_object(item, duplicate, user))
                return false;
        for (cJSON *c = item->child; c; c = c->next)
                if (!json_drop_duplicates(c, duplicate, user))
                        return false;
        return true;
}

/* ---- canonical writing ---- */

static void write_string(const char *s, Buf *out) {
        const char *plain = s;

        buf_char(out, '"');
        for (; *s; s++) {
                static const char short_escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt";
                unsigned char c = (unsigned char)*s;
                const char *e;

                if (c >= 0x20 && c != '"' && c != '\\')
                        continue;
                buf_add(out, plain, (size_t)(s - plain));
                plain = s + 1;
                for (e = short_escapes; *e && *e != (char)c; e += 2)
                        ;
                if (*e) {
                        buf_char(out, '\\');
                        buf_char(out, e[1]);
                } else {
                        buf_printf(out, "\\u%04x", c);
                }
        }
        buf_add(out, plain, (size_t)(s - plain));
        buf_char(out, '"');
}

static void write_object(const cJSON *object, Buf *out) {
        Member buffer[MEMBERS_STACK], *members;
        _cleanup_free_ Member *heap = NULL;
        size_t n;

        if (!members_sorted(object, buffer, &members, &heap, &n)) {
                out->failed = true;
                return;
        }
        buf_char(out, '{');
        for (size_t i = 0; i < n; i++) {
                if (i)
                        buf_char(out, ',');
                write_string(members[i].item->string, out);
                buf_char(out, ':');
                json_canonical(members[i].item, out);
        }
        buf_char(out, '}');
}

void json_canonical(const cJSON *item, Buf *out) {
        switch (item->type & 0xff) {
        case cJSON_Object:
                write_object(item, out);
                break;
        case cJSON_Array:
                buf_char(out, '[');
                for (const cJSON *c = item->child; c; c = c->next) {
                        json_canonical(c, out);
                        if (c->next)
                                buf_char(out, ',');
                }
                buf_char(out, ']');
                break;
        case cJSON_String:
                write_string(item->valuestring, out);
                break;
        case cJSON_Raw:
                buf_str(out, item->valuestring);
                break;
        case cJSON_True:
                buf_str(out, "true");
                break;
        case cJSON_False:
                buf_str(out, "false");
                break;
        default:
                buf_str(out, "null");
                break;
        }
}

char *json_canonical_text(const cJSON *item, size_t *ret_len) {
        _cleanup_buf_ Buf out = BUF_INIT;

        json_canonical(item, &out);
        return buf_take(&out, ret_len);
}

/* ---- lookups and comparison ---- */

const cJSON *json_get(const cJSON *object, const char *key) {
        return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

cJSON *json_get_mutable(cJSON *object, const char *key) {
        return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const cJSON *json_path(const cJSON *object, const char *dotted) {
        char key[64];

        while (object && *dotted) {
                size_t n = strcspn(dotted, ".");

                if (n >= sizeof(key))
                        return NULL;
                memcpy(key, dotted, n);
                key[n] = 0;
                object = json_get(object, key);
                dotted += n + (dotted[n] == '.');
        }
        return object;
}

const char *json_string(const cJSON *object, const char *key) {
        return cJSON_GetStringValue(json_get(object, key));
}

bool json_true(const cJSON *object, const char *key) {
        return cJSON_IsTrue(json_get(object, key));
}

bool json_is_number(const cJSON *item) {
        return cJSON_IsRaw(item);
}

bool json_int(const cJSON *item, int64_t *ret) {
        const char *digits;
        char *end;
        intmax_t value;

        if (!json_is_number(item))
                return false;
        digits = item->valuestring + (item->valuestring[0] == '-');
        if (digits[strspn(digits, "0123456789")] != 0)
                return false;
        errno = 0;
        value = strtoimax(item->valuestring, &end, 10);
        if (errno != 0 || value < INT64_MIN || value > INT64_MAX)
                return false;
        *ret = (int64_t)value;
        return true;
}

static bool equal_objects(const cJSON *a, const cJSON *b) {
        size_t n = 0;

        for (const cJSON *c = a->child; c; c = c->next, n++) {
                const cJSON *other = json_get(b, c->string);

                if (!other || !json_equal(c, other))
                        return false;
        }
        for (const cJSON *c = b->child; c; c = c->next)
                n--;
        return n == 0;
}

bool json_equal(const cJSON *a, const cJSON *b) {
        const cJSON *x, *y;

        if (a == b)
                return true;
        if (!a || !b || (a->type & 0xff) != (b->type & 0xff))
                return false;
        switch (a->type & 0xff) {
        case cJSON_Object:
                return equal_objects(a, b);
        case cJSON_Array:
                for (x = a->child, y = b->child; x && y; x = x->next, y = y->next)
                        if (!json_equal(x, y))
                                return false;
                return x == y;
        case cJSON_String:
        case cJSON_Raw:
                return streq(a->valuestring, b->valuestring);
        default:
                return true;
        }
}

/* ---- building ---- */

cJSON *json_new_number(const char *text) {
        return cJSON_CreateRaw(text);
}

cJSON *json_new_int(int64_t value) {
        char text[24];

        (void)snprintf(text, sizeof(text), "%" PRId64, value);
        return json_new_number(text);
}

bool json_add(cJSON *object, const char *key, cJSON *item) {
        if (item && cJSON_AddItemToObject(object, key, item))
                return true;
        cJSON_Delete(item);
        return false;
}

bool json_add_string(cJSON *object, const char *key, const char *value) {
        return json_add(object, key, cJSON_CreateString(value));
}

bool json_append(cJSON *array, cJSON *item) {
        if (item && cJSON_AddItemToArray(array, item))
                return true;
        cJSON_Delete(item);
        return false;
}

void json_delete(cJSON *object, const char *key) {
        cJSON_DeleteItemFromObjectCaseSensitive(object, key);
}

void json_keep(cJSON *object, const char *const *keys) {
        cJSON *next;

        for (cJSON *member = cJSON_IsObject(object) ? object->child : NULL; member; member = next) {
                size_t i = 0;

                next = member->next;
                while (keys[i] && !streq(member->string, keys[i]))
                        i++;
                if (!keys[i])
                        cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
        }
}

bool json_put(cJSON *object, const char *key, cJSON *item) {
        cJSON *old;

        if (!item)
                return false;
        old = json_get_mutable(object, key);
        if (!old)
                return json_add(object, key, item);
        /* Not cJSON_ReplaceItemInObject: on failure it would have deleted nothing but kept the item's owner unclear. */
        if (!(item->type & cJSON_StringIsConst))
                cJSON_free(item->string);
        item->type &= ~cJSON_StringIsConst;
        item->string = strdup(key);
        if (!item->string || !cJSON_ReplaceItemViaPointer(object, old, item)) {
                cJSON_Delete(item);
                return false;
        }
        return true;
}
