/* SPDX-License-Identifier: Apache-2.0 */
#include "core/payload.h"

#include "base/hash.h"
#include "core/base64.h"

#include <errno.h>

enum {
        MODE_DEFAULT = 0644,
        MODE_BITS = 0777,
        MODE_GROUP = 0440, /* what fsGroup adds */
        MODE_TOKEN = 0600,
        MODE_READ = 0444,
        ELEMENT_MAX = 255,
        LENGTH_MAX = 4096,
};

/* A file, and when it was made: of one path the last counts. */
typedef struct Draft {
        PayloadFile file;
        size_t order;
} Draft;

typedef struct Making {
        const PayloadFacts *facts;
        Draft *drafts;
        size_t n, cap;
        size_t size; /* bytes read and made so far */
} Making;

static void file_done(PayloadFile *f) {
        if (f->bytes)
                explicit_bzero(f->bytes, f->len);
        free(f->bytes);
        free(f->path);
        *f = (PayloadFile){ 0 };
}

static void making_done(Making *m) {
        for (size_t i = 0; i < m->n; i++)
                file_done(&m->drafts[i].file);
        free(m->drafts);
}

void payload_done(Payload *p) {
        for (size_t i = 0; i < p->n; i++)
                file_done(&p->files[i]);
        free(p->files);
        *p = (Payload){ 0 };
}

/* ---- paths ---- */

/* The path as it is on the disk, given to the caller. The API server lets "./a//b/" pass, and the kubelet cleans it. */
static int clean_path(const char *path, char **ret) {
        _cleanup_buf_ Buf clean = BUF_INIT;
        bool first = true;
        char *taken;

        if (*path == '/' || strlen(path) > LENGTH_MAX)
                return -EEXIST;
        for (const char *s = path; *s;) {
                size_t n = strcspn(s, "/");

                if (n > ELEMENT_MAX || (startswith(s, "..") && (n == 2 || first)))
                        return -EEXIST;
                if (n > 1 || (n == 1 && *s != '.')) {
                        if (!first)
                                buf_char(&clean, '/');
                        buf_add(&clean, s, n);
                        first = false;
                }
                s += n + (s[n] == '/');
        }
        if (first) /* the directory of the volume itself */
                return -EEXIST;
        taken = buf_take(&clean, NULL);
        if (!taken)
                return -ENOMEM;
        *ret = taken;
        return 0;
}

/* Where a character stands in the order of paths: what is below a directory comes right behind it. */
static unsigned rank(char c) {
        return c == '/' ? 1 : c ? (unsigned char)c + 1U : 0;
}

static int compare_paths(const char *a, const char *b) {
        while (*a && *a == *b)
                a++, b++;
        return (rank(*a) > rank(*b)) - (rank(*a) < rank(*b));
}

static bool is_below(const char *path, const char *dir) {
        return startswith(path, dir) && path[strlen(dir)] == '/';
}

/* ---- files ---- */

static int charge(Making *m, size_t size) {
        if (size > PAYLOAD_SIZE_MAX - m->size)
                return -EFBIG;
        m->size += size;
        return 0;
}

/* Takes what the file holds if it can. */
static int add(Making *m, const char *path, PayloadFile *file) {
        int r = charge(m, strlen(path) + file->len);

        if (r < 0)
                return r;
        r = clean_path(path, &file->path);
        if (r < 0)
                return r;
        if (!ARRAY_GROW(m->drafts, m->n, m->cap))
                return -ENOMEM;
        m->drafts[m->n] = (Draft){ .file = *file, .order = m->n };
        m->n++;
        *file = (PayloadFile){ 0 };
        return 0;
}

/* A copy with a NUL behind it. */
static int add_bytes(Making *m, const char *path, const char *bytes, size_t len, uint32_t mode) {
        _cleanup_(file_done) PayloadFile file = { .len = len, .mode = mode };

        file.bytes = calloc(1, len + 1);
        if (!file.bytes)
                return -ENOMEM;
        if (len > 0)
                memcpy(file.bytes, bytes, len);
        return add(m, path, &file);
}

static uint32_t mode_of(const cJSON *holder, const char *key, uint32_t otherwise) {
        int64_t mode;

        return json_int(json_get(holder, key), &mode) ? (uint32_t)mode & MODE_BITS : otherwise;
}

/* ---- ConfigMaps and Secrets ---- */

typedef struct Entry {
        const char *key, *text;
        bool base64;
} Entry;

typedef struct Entries {
        cJSON *tree;
        Entry *entries; /* by key */
        size_t n, cap;
} Entries;

static void wipe(cJSON *item) {
        for (; item; item = item->next) {
                if (item->valuestring)
                        explicit_bzero(item->valuestring, strlen(item->valuestring));
                wipe(item->child);
        }
}

static void entries_done(Entries *e) {
        wipe(e->tree);
        cJSON_Delete(e->tree);
        free(e->entries);
}

static int compare_entries(const void *a, const void *b) {
        const Entry *x = a, *y = b;

        return strcmp(x->key, y->key);
}

static bool read_map(Entries *e, const char *field, bool base64) {
        const cJSON *item;

        cJSON_ArrayForEach(item, json_get(e->tree, field)) {
                if (!cJSON_IsString(item))
                        continue;
                if (!ARRAY_GROW(e->entries, e->n, e->cap))
                        return false;
                e->entries[e->n++] = (Entry){ .key = item->string, .text = item->valuestring, .base64 = base64 };
        }
        return true;
}

/* Nothing if there is no such object. */
static int read_entries(Making *m, ObjectKind kind, const char *name, Entries *e) {
        const PayloadFacts *facts = m->facts;
        const Object *object = facts->objects ? objects_find(facts->objects, kind, facts->namespace, name) : NULL;
        Place place;
        int r;

        if (!object)
                return 0;
        r = charge(m, object->len);
        if (r < 0)
                return r;
        r = json_parse(object->bytes, object->len, (Place){ 0 }, NULL, NULL, &e->tree, NULL, &place, NULL);
        /* The bytes are canonical ones of our own making, so that nothing else can be wrong with them. */
        if (r < 0 || !read_map(e, "data", kind == OBJECT_SECRET) || !read_map(e, "binaryData", true))
                return -ENOMEM;
        if (e->n > 1)
                qsort(e->entries, e->n, sizeof(*e->entries), compare_entries);
        return 0;
}

static int add_entry(Making *m, const Entry *entry, const char *path, uint32_t mode) {
        _cleanup_(file_done) PayloadFile file = { .mode = mode };
        int r;

        if (!entry->base64)
                return add_bytes(m, path, entry->text, strlen(entry->text), mode);
        r = base64_decode(entry->text, strlen(entry->text), &file.bytes, &file.len);
        if (r == -EBADMSG) /* no valid object has one */
                return 0;
        return r < 0 ? r : add(m, path, &file);
}

static int add_items(Making *m, const Entries *e, const cJSON *items, uint32_t mode) {
        const cJSON *item;

        cJSON_ArrayForEach(item, items) {
                Entry wanted = { .key = str_or_empty(json_string(item, "key")) };
                const Entry *entry = e->n ? bsearch(&wanted, e->entries, e->n, sizeof(*e->entries), compare_entries)
                                          : NULL;
                int r = entry ? add_entry(m, entry, str_or_empty(json_string(item, "path")),
                                          mode_of(item, "mode", mode))
                              : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_object(Making *m, ObjectKind kind, const cJSON *source, const char *name_field, uint32_t mode) {
        _cleanup_(entries_done) Entries e = { 0 };
        const cJSON *items = json_get(source, "items");
        int r = read_entries(m, kind, str_or_empty(json_string(source, name_field)), &e);

        if (r < 0)
                return r;
        if (cJSON_IsArray(items) && items->child)
                return add_items(m, &e, items, mode);
        for (size_t i = 0; i < e.n; i++) {
                r = add_entry(m, &e.entries[i], e.entries[i].key, mode);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- volumes ---- */

static int add_downward(Making *m, const cJSON *source, uint32_t mode) {
        const cJSON *item;

        cJSON_ArrayForEach(item, json_get(source, "items")) {
                _cleanup_(file_done) PayloadFile file = { .mode = mode_of(item, "mode", mode) };
                int r = payload_downward(m->facts, item, &file.bytes);

                if (r == -EOPNOTSUPP)
                        continue;
                if (r < 0)
                        return r;
                file.len = strlen(file.bytes);
                r = add(m, str_or_empty(json_string(item, "path")), &file);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The cluster itself says which CA its servers have. */
static int add_published_ca(Making *m) {
        const Entry wanted = { .key = "ca.crt" }, *entry;
        _cleanup_(entries_done) Entries e = { 0 };
        int r = read_entries(m, OBJECT_CONFIGMAP, PAYLOAD_ROOT_CA, &e);

        entry = r == 0 && e.n ? bsearch(&wanted, e.entries, e.n, sizeof(*e.entries), compare_entries) : NULL;
        return entry ? add_entry(m, entry, wanted.key, MODE_DEFAULT) : r;
}

static int add_service_account(Making *m) {
        const PayloadFacts *facts = m->facts;
        int r = add_bytes(m, "namespace", facts->namespace, strlen(facts->namespace), MODE_DEFAULT);

        if (r == 0 && facts->ca_crt)
                r = add_bytes(m, "ca.crt", facts->ca_crt, facts->ca_crt_len, MODE_DEFAULT);
        return r == 0 && facts->tokens ? add_published_ca(m) : r;
}

static uint32_t token_mode(const PayloadFacts *facts, uint32_t mode) {
        if (facts->fs_group >= 0 || facts->user == 0)
                return MODE_TOKEN;
        return facts->user > 0 ? mode | MODE_READ : mode;
}

static int add_token(Making *m, const cJSON *source, uint32_t mode) {
        const PayloadFacts *facts = m->facts;
        const Token *token = tokens_find(facts->tokens, facts->namespace, str_or_empty(facts->account),
                                         token_audience(source), token_seconds(source));

        if (!token)
                return 0;
        return add_bytes(m, str_or_empty(json_string(source, "path")), token->bytes, strlen(token->bytes),
                         token_mode(facts, mode));
}

static int add_projected(Making *m, const cJSON *projected) {
        uint32_t mode = mode_of(projected, "defaultMode", MODE_DEFAULT);
        const cJSON *source;

        cJSON_ArrayForEach(source, json_get(projected, "sources")) {
                int r = 0;

                if (json_get(source, "secret"))
                        r = add_object(m, OBJECT_SECRET, json_get(source, "secret"), "name", mode);
                else if (json_get(source, "configMap"))
                        r = add_object(m, OBJECT_CONFIGMAP, json_get(source, "configMap"), "name", mode);
                else if (json_get(source, "downwardAPI"))
                        r = add_downward(m, json_get(source, "downwardAPI"), mode);
                else if (json_get(source, "serviceAccountToken"))
                        r = add_token(m, json_get(source, "serviceAccountToken"), mode);
                else if (json_get(source, PAYLOAD_ACCOUNT))
                        r = add_service_account(m);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_volume(Making *m) {
        const cJSON *config_map = json_get(m->facts->volume, "configMap"),
                    *secret = json_get(m->facts->volume, "secret");

        if (config_map)
                return add_object(m, OBJECT_CONFIGMAP, config_map, "name",
                                  mode_of(config_map, "defaultMode", MODE_DEFAULT));
        if (secret)
                return add_object(m, OBJECT_SECRET, secret, "secretName", mode_of(secret, "defaultMode", MODE_DEFAULT));
        return add_projected(m, json_get(m->facts->volume, "projected"));
}

bool payload_is_wanted(const cJSON *volume) {
        static const char *const wanted[] = { "secret", "configMap", "serviceAccountToken", PAYLOAD_ACCOUNT };
        const cJSON *source;

        if (json_get(volume, "configMap") || json_get(volume, "secret"))
                return true;
        cJSON_ArrayForEach(source, json_path(volume, "projected.sources")) {
                for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
                        if (json_get(source, wanted[i]))
                                return true;
        }
        return false;
}

/* ---- the whole ---- */

static int compare_drafts(const void *a, const void *b) {
        const Draft *x = a, *y = b;
        int c = compare_paths(x->file.path, y->file.path);

        return c ? c : (x->order > y->order) - (x->order < y->order);
}

/* Moves the last file of each path. */
static int gather(Making *m, Payload *ret) {
        _cleanup_payload_ Payload made = { .group = m->facts->fs_group >= 0 ? m->facts->fs_group : -1 };

        if (m->n == 0)
                goto out;
        if (m->n > 1)
                qsort(m->drafts, m->n, sizeof(*m->drafts), compare_drafts);
        made.files = calloc(m->n, sizeof(*made.files));
        if (!made.files)
                return -ENOMEM;
        made.cap = m->n;
        for (size_t i = 0; i < m->n; i++) {
                PayloadFile *file = &m->drafts[i].file;

                if (i + 1 < m->n && streq(file->path, m->drafts[i + 1].file.path))
                        continue;
                if (made.n > 0 && is_below(file->path, made.files[made.n - 1].path))
                        return -EEXIST;
                if (made.group >= 0)
                        file->mode |= MODE_GROUP;
                made.files[made.n++] = *file;
                *file = (PayloadFile){ 0 };
        }
out:
        *ret = made;
        made = (Payload){ 0 };
        return 0;
}

int payload_make(const PayloadFacts *facts, Payload *ret) {
        _cleanup_(making_done) Making m = { .facts = facts };
        int r = add_volume(&m);

        return r < 0 ? r : gather(&m, ret);
}

/* ---- the hash ---- */

static void big_endian(uint64_t value, uint8_t ret[static 8]) {
        for (unsigned i = 0; i < 8; i++)
                ret[i] = (uint8_t)(value >> (56 - 8 * i));
}

/* A chain: SHA-256 of the group, and with each file of what was before, three numbers (length of the path, length of
 * the bytes, mode), path and bytes. Directories on the disk are named by it: another form would write all anew. */
void payload_hash(const Payload *p, char ret[static PAYLOAD_HEX + 1]) {
        uint8_t digest[HASH_BYTES], numbers[3][8];

        big_endian((uint64_t)p->group, numbers[0]);
        hash_sha256(&(HashPart){ numbers[0], sizeof(numbers[0]) }, 1, digest);
        for (size_t i = 0; i < p->n; i++) {
                const PayloadFile *f = &p->files[i];
                size_t path_len = strlen(f->path);

                big_endian(path_len, numbers[0]);
                big_endian(f->len, numbers[1]);
                big_endian(f->mode, numbers[2]);
                hash_sha256(
                        (const HashPart[]){
                                { digest, sizeof(digest) },
                                { numbers, sizeof(numbers) },
                                { f->path, path_len },
                                { f->bytes, f->len },
                        },
                        4, digest);
        }
        hash_hex(digest, PAYLOAD_HEX, ret);
}
