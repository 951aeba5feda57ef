/* SPDX-License-Identifier: Apache-2.0 */
#include "core/reflector_internal.h"

#include <errno.h>

/* ---- one item: all of its strings in one piece of memory, which `namespace` begins ---- */

void item_done(ReflectorItem *item) {
        free(item->namespace);
        *item = (ReflectorItem){ 0 };
}

static char *place_text(char **at, const char *text, size_t len) {
        char *placed = *at;

        memcpy(placed, text, len);
        placed[len] = 0;
        *at += len + 1;
        return placed;
}

static int item_new(const cJSON *metadata, const char *bytes, size_t len, ReflectorItem *ret) {
        const char *namespace = str_or_empty(json_string(metadata, "namespace")), *name = json_string(metadata, "name"),
                   *uid = str_or_empty(json_string(metadata, "uid")),
                   *version = str_or_empty(json_string(metadata, "resourceVersion"));
        char *at = malloc(strlen(namespace) + strlen(name) + strlen(uid) + strlen(version) + len + 5);
        uint8_t digest[HASH_BYTES];

        if (!at)
                return -ENOMEM;
        *ret = (ReflectorItem){ .namespace = place_text(&at, namespace, strlen(namespace)),
                                .name = place_text(&at, name, strlen(name)),
                                .uid = place_text(&at, uid, strlen(uid)),
                                .resource_version = place_text(&at, version, strlen(version)),
                                .bytes = place_text(&at, bytes, len),
                                .len = len,
                                .doubted_since = -1 };
        hash_sha256(&(HashPart){ bytes, len }, 1, digest);
        hash_hex(digest, HASH_HEX, ret->digest);
        return 0;
}

/* Items of a list bear neither apiVersion nor kind. */
static int complete(const Reflector *r, cJSON *object, const char *api_version, Err *err) {
        const cJSON *kind = json_get(object, "kind"), *version = json_get(object, "apiVersion");

        if (kind ? !streq(cJSON_GetStringValue(kind), r->kind) : !api_version)
                return err_set(err, -EBADMSG, "an object that is no %s", r->kind);
        if (version ? !cJSON_IsString(version) || !*version->valuestring : !api_version)
                return err_set(err, -EBADMSG, "an object without apiVersion");
        if ((!kind && !json_add_string(object, "kind", r->kind)) ||
            (!version && !json_add_string(object, "apiVersion", api_version)))
                return err_oom(err);
        return 0;
}

static bool is_text_or_absent(const cJSON *metadata, const char *key) {
        const cJSON *value = json_get(metadata, key);

        return !value || cJSON_IsString(value);
}

int item_read(const Reflector *r, cJSON *object, const char *api_version, ReflectorItem *ret, Err *err) {
        _cleanup_json_ cJSON *identity = NULL;
        _cleanup_free_ char *bytes = NULL;
        const cJSON *metadata = json_get(object, "metadata");
        size_t len;
        int result;

        if (!cJSON_IsObject(object) || !*str_or_empty(json_string(metadata, "name")) ||
            !is_text_or_absent(metadata, "namespace") || !is_text_or_absent(metadata, "uid") ||
            !is_text_or_absent(metadata, "resourceVersion"))
                return err_set(err, -EBADMSG, "an object without a readable metadata.name, namespace or uid");
        /* A server, or something in between, that disregards path or selector. */
        if (!reflector_asked_for(r, str_or_empty(json_string(metadata, "namespace")), json_string(metadata, "name")))
                return err_set(err, -EBADMSG, "an object of another namespace or name than was asked for");
        result = complete(r, object, api_version, err);
        if (result < 0)
                return result;

        /* Whatever `reduce` takes away: who the object is stays known. */
        json_delete(json_get_mutable(object, "metadata"), "managedFields");
        identity = cJSON_Duplicate(metadata, true);
        if (!identity || (r->reduce && !r->reduce(object)))
                return err_oom(err);
        json_delete(json_get_mutable(object, "metadata"), "resourceVersion");
        bytes = json_canonical_text(object, &len);
        if (!bytes || item_new(identity, bytes, len, ret) < 0)
                return err_oom(err);
        return 0;
}

/* ---- a set of items ---- */

void set_done(ItemSet *set) {
        for (size_t i = 0; i < set->n; i++)
                item_done(&set->items[i]);
        free(set->items);
        *set = (ItemSet){ 0 };
}

static int compare(const ReflectorItem *a, const char *namespace, const char *name) {
        int c = strcmp(a->namespace, namespace);

        return c ? c : strcmp(a->name, name);
}

static size_t position(const ItemSet *set, const char *namespace, const char *name) {
        size_t low = 0, high = set->n;

        /* Lists come sorted. */
        if (high > 0 && compare(&set->items[high - 1], namespace, name) < 0)
                return high;
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (compare(&set->items[middle], namespace, name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

ReflectorItem *set_find(const ItemSet *set, const char *namespace, const char *name) {
        size_t i = position(set, namespace, name);

        return i < set->n && compare(&set->items[i], namespace, name) == 0 ? &set->items[i] : NULL;
}

static bool item_same(const ReflectorItem *a, const ReflectorItem *b) {
        return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0 && streq(a->uid, b->uid);
}

int set_put(ItemSet *set, ReflectorItem *item, size_t extra, bool *ret_changed, Err *err) {
        size_t i = position(set, item->namespace, item->name);
        bool there = i < set->n && compare(&set->items[i], item->namespace, item->name) == 0;
        int result = 0;

        if (set->bytes + item->len - (there ? set->items[i].len : 0) >
            (size_t)REFLECTOR_ANSWER_MAX * (extra > 0 ? 2 : 1))
                result = err_set(err, -EFBIG, "more than %d MiB of objects", REFLECTOR_ANSWER_MAX >> 20);
        else if (!there && set->n >= REFLECTOR_ITEMS_MAX + extra)
                result = err_set(err, -EFBIG, "more than %d objects", REFLECTOR_ITEMS_MAX);
        else if (!there && !ARRAY_GROW(set->items, set->n, set->cap))
                result = err_oom(err);
        if (result < 0) {
                item_done(item);
                return result;
        }
        if (ret_changed)
                *ret_changed = !there || !item_same(&set->items[i], item);
        if (there) {
                set->bytes -= set->items[i].len;
                item_done(&set->items[i]);
        } else {
                memmove(set->items + i + 1, set->items + i, (set->n - i) * sizeof(*set->items));
                set->n++;
        }
        set->items[i] = *item;
        set->bytes += item->len;
        *item = (ReflectorItem){ 0 };
        return 0;
}

void set_remove(ItemSet *set, ReflectorItem *item) {
        size_t i = (size_t)(item - set->items);

        set->bytes -= item->len;
        item_done(item);
        memmove(set->items + i, set->items + i + 1, (set->n - i - 1) * sizeof(*set->items));
        set->n--;
}

/* ---- a list becomes the snapshot ---- */

bool version_is_lower(const char *a, const char *b) {
        size_t a_len, b_len;

        a += strspn(a, "0") - (a[0] && a[strspn(a, "0")] == 0);
        b += strspn(b, "0") - (b[0] && b[strspn(b, "0")] == 0);
        a_len = strspn(a, "0123456789");
        b_len = strspn(b, "0123456789");
        if (a_len == 0 || a[a_len] || b_len == 0 || b[b_len])
                return false;
        return a_len != b_len ? a_len < b_len : strcmp(a, b) < 0;
}

void reflector_drop_pending(Reflector *r) {
        set_done(&r->pending);
        free(r->pending_version);
        free(r->token);
        r->pending_version = r->token = NULL;
        r->pages = 0;
}

static bool is_suspect(Reflector *r, const char *version, Err *why) {
        if (r->single || r->fleeting || !r->version)
                return false;
        if (r->pending_suspect)
                (void)err_set(why, 0, "it may be another cluster's");
        else if (r->pending.n == 0 && r->set.n > 0)
                (void)err_set(why, 0, "it is empty");
        else if (version_is_lower(version, r->version))
                (void)err_set(why, 0, "its resourceVersion %.40s is lower than the last one, %.40s", version,
                              r->version);
        return why->message[0];
}

/* What the list lacks but is kept, for now. */
static bool is_kept(const ReflectorItem *old, bool suspect) {
        return suspect || old->doubted;
}

static size_t count_kept(const Reflector *r, bool suspect, size_t *ret_bytes) {
        size_t kept = 0;

        *ret_bytes = 0;
        for (size_t i = 0; i < r->set.n; i++) {
                const ReflectorItem *old = &r->set.items[i];

                if (!is_kept(old, suspect) || set_find(&r->pending, old->namespace, old->name))
                        continue;
                kept++;
                *ret_bytes += old->len;
        }
        return kept;
}

/* Moves both sets into `to`, which has room for all. Returns whether anything changed. */
static bool merge(Reflector *r, bool suspect, int64_t now, ItemSet *to) {
        size_t a = 0, b = 0;
        bool changed = false;

        while (a < r->set.n || b < r->pending.n) {
                ReflectorItem *old = a < r->set.n ? &r->set.items[a] : NULL,
                              *new = b < r->pending.n ? &r->pending.items[b] : NULL;
                int order = !old ? 1 : !new ? -1 : compare(old, new->namespace, new->name);
                ReflectorItem *taken = NULL;

                if (order < 0 && is_kept(old, suspect)) {
                        taken = old;
                        old->doubted_since = old->doubted ? old->doubted_since : now;
                        old->doubted = true;
                } else if (order >= 0) {
                        taken = new;
                        changed |= order > 0 || !item_same(old, new);
                } else {
                        changed = true;
                }
                if (taken) {
                        to->bytes += taken->len;
                        to->items[to->n++] = *taken;
                        *taken = (ReflectorItem){ 0 };
                }
                a += order <= 0;
                b += order >= 0;
        }
        return changed;
}

int reflector_take_list(Reflector *r, const char *version, int64_t now, Err *err) {
        Err suspicion = { 0 };
        bool suspect = is_suspect(r, version, &suspicion);
        size_t kept_bytes, kept = count_kept(r, suspect, &kept_bytes);
        ItemSet to = { .cap = kept + r->pending.n };
        char *copy;

        if (kept > REFLECTOR_ITEMS_MAX || kept_bytes > REFLECTOR_ANSWER_MAX)
                return err_set(err, -EFBIG, "too many objects that are kept although they are not listed");
        copy = strdup(version);
        to.items = calloc(to.cap + 1, sizeof(*to.items));
        if (!copy || !to.items) {
                free(copy);
                free(to.items);
                return err_oom(err);
        }
        r->generation += merge(r, suspect, now, &to);
        set_done(&r->set);
        r->set = to;
        r->doubted = kept;
        if (suspect) {
                r->suspicion.message[0] = 0;
                (void)err_set(&r->suspicion, 0,
                              "the list is suspect: %s; what it lacks is kept until the server has said the same for "
                              "%d minutes",
                              suspicion.message, REFLECTOR_DOUBT / 60000);
        }
        free(r->version);
        r->version = copy;
        if (r->pending_suspect)
                r->suspect = false;
        reflector_drop_pending(r);
        return 0;
}

/* ---- doubts ---- */

int64_t reflector_doubt_ends(const Reflector *r) {
        int64_t first = -1;

        for (size_t i = 0; r->sure && r->doubted > 0 && i < r->set.n; i++) {
                const ReflectorItem *item = &r->set.items[i];

                if (item->doubted && (first < 0 || item->doubted_since < first))
                        first = item->doubted_since;
        }
        return first < 0 ? -1 : first + REFLECTOR_DOUBT;
}

bool reflector_settle_doubts(Reflector *r, int64_t now) {
        size_t kept = 0;
        bool changed;

        if (!r->sure || r->doubted == 0)
                return false;
        for (size_t i = 0; i < r->set.n; i++) {
                ReflectorItem *item = &r->set.items[i];

                if (item->doubted && now - item->doubted_since >= REFLECTOR_DOUBT) {
                        r->doubted--;
                        r->set.bytes -= item->len;
                        item_done(item);
                } else {
                        r->set.items[kept++] = *item;
                }
        }
        changed = kept < r->set.n;
        r->set.n = kept;
        r->generation += changed;
        return changed;
}

/* ---- the cache ---- */

int reflector_load(Reflector *r, const char *version, const cJSON *items) {
        ItemSet set = { 0 };
        int result = cJSON_IsArray(items) && strlen(version) <= REFLECTOR_VERSION_MAX ? 0 : -EBADMSG;
        char *copy;

        for (const cJSON *i = result < 0 ? NULL : items->child; i && result == 0; i = i->next) {
                _cleanup_json_ cJSON *object = cJSON_Duplicate(i, true);
                ReflectorItem item = { 0 };

                result = object ? item_read(r, object, NULL, &item, NULL) : -ENOMEM;
                if (result == 0)
                        result = set_put(&set, &item, REFLECTOR_ITEMS_MAX, NULL, NULL);
        }
        copy = strdup(version);
        if (result < 0 || !copy) {
                free(copy);
                set_done(&set);
                return result == -ENOMEM || result == 0 ? -ENOMEM : -EBADMSG;
        }
        set_done(&r->set);
        r->set = set;
        r->doubted = 0;
        free(r->version);
        r->version = copy;
        r->generation++;
        r->live = r->sure = false;
        /* Something was doubted when it was stored: it still is. */
        r->suspect |= !*version && set.n > 0;
        r->problem = (Err){ .message = "known from the cache only; the server has not answered yet" };
        return 0;
}

int reflector_store(const Reflector *r, Buf *out) {
        buf_char(out, '[');
        for (size_t i = 0; i < r->set.n; i++) {
                if (i > 0)
                        buf_char(out, ',');
                buf_add(out, r->set.items[i].bytes, r->set.items[i].len);
        }
        buf_char(out, ']');
        return out->failed ? -ENOMEM : 0;
}
