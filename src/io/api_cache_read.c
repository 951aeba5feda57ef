/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what stands, and setting aside what does not count. */
#include "io/api_cache_internal.h"

#include <stdio.h>
#include <unistd.h>

void cache_standing_done(Standing *s) {
        free(s->text);
        cJSON_Delete(s->head);
}

void api_cache_entry_done(ApiCacheEntry *e) {
        free(e->resource);
        free(e->resource_version);
        cJSON_Delete(e->items);
        *e = (ApiCacheEntry){ 0 };
}

/* ---- reading ---- */

static int read_trusted(int dir_fd, const FileName *name, char **ret, size_t *ret_len, Err *err) {
        int r = file_read(dir_fd, name->text, API_CACHE_MAX, (FileTrust){ .check = true }, ret, ret_len, err);

        switch (r) {
        case -EPERM:
        case -ELOOP:
        case -EISDIR:
        case -EINVAL:
        case -EFBIG:
                return DAMAGED;
        case FOREIGN: /* of a network file system */
                return -EIO;
        default:
                return r;
        }
}

static int check_sum(const char *text, size_t len, Err *err) {
        char hex[HASH_HEX + 1];
        uint8_t digest[HASH_BYTES];
        const char *sum = text + strlen(HEAD_PREFIX);

        if (len < COVERED_AT || memcmp(text, HEAD_PREFIX, strlen(HEAD_PREFIX)) != 0 ||
            memcmp(sum + HASH_HEX, HEAD_MIDDLE, strlen(HEAD_MIDDLE)) != 0)
                return err_set(err, DAMAGED, "it does not begin with a checksum");
        hash_sha256(&(HashPart){ text + COVERED_AT, len - COVERED_AT }, 1, digest);
        hash_hex(digest, HASH_HEX, hex);
        return memcmp(hex, sum, HASH_HEX) == 0 ? 0 : err_set(err, DAMAGED, "its checksum does not fit");
}

static int check_head(const ApiCache *c, const char *resource, Standing *s, Err *err) {
        const struct {
                const char *key, *want, *say;
        } of[] = {
                { "node", c->node, "node" },
                { "machineId", c->machine_id, "machine" },
                { "cluster", c->cluster, "cluster" },
                { "resource", resource, "resource" },
        };
        int64_t version;

        if (!json_int(json_get(s->head, "version"), &version))
                return err_set(err, DAMAGED, "it has no version");
        if (version != FORMAT)
                return err_set(err, FOREIGN, "it is of another version of the format");
        for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
                const char *have = json_string(s->head, of[i].key);

                if (!have)
                        return err_set(err, DAMAGED, "it has no %s", of[i].key);
                if (!streq(have, of[i].want))
                        return err_set(err, FOREIGN, "it is of another %s", of[i].say);
        }
        s->resource_version = json_string(s->head, "resourceVersion");
        if (!s->resource_version || !json_int(json_get(s->head, "saidAt"), &s->said_at))
                return err_set(err, DAMAGED, "it has no resourceVersion or no saidAt");
        return 0;
}

static int parse_standing(const ApiCache *c, const char *resource, size_t len, Standing *s, Err *err) {
        const char *newline;
        int r = check_sum(s->text, len, err);

        if (r < 0)
                return r;
        newline = memchr(s->text, '\n', len);
        if (!newline || newline + 1 == s->text + len || s->text[len - 1] != '\n')
                return err_set(err, DAMAGED, "it has not two lines");
        s->items = newline + 1;
        s->items_len = (size_t)(s->text + len - 1 - s->items);
        r = json_parse(s->text, (size_t)(newline - s->text), (Place){ 0 }, NULL, NULL, &s->head, NULL, NULL, err);
        return r < 0 ? err_wrap(err, r, "its first line") : check_head(c, resource, s, err);
}

int cache_read(const ApiCache *c, int dir_fd, const FileName *name, const char *resource, Standing *ret, Err *err) {
        _cleanup_standing_ Standing s = { 0 };
        size_t len;
        int r = read_trusted(dir_fd, name, &s.text, &len, err);

        if (r == 0)
                r = parse_standing(c, resource, len, &s, err);
        if (r < 0)
                return r;
        *ret = s;
        s = (Standing){ 0 };
        return 0;
}

/* One by one, as all of them are more than json_parse takes. */
static int parse_items(const char *text, size_t len, cJSON **ret, Err *err) {
        _cleanup_json_ cJSON *items = cJSON_CreateArray();
        size_t at = 1, end;

        if (!items)
                return err_oom(err);
        if (len < 2 || text[0] != '[' || text[len - 1] != ']')
                return err_set(err, DAMAGED, "its second line is no list");
        while (len > 2) {
                size_t left = len - 1 - at;
                cJSON *item;
                int r = json_parse(text + at, left < JSON_SIZE_MAX ? left : JSON_SIZE_MAX, (Place){ 0 }, NULL, NULL,
                                   &item, &end, NULL, err);

                if (r < 0)
                        return err_wrap(err, r, "item %d", cJSON_GetArraySize(items));
                if (!json_append(items, item))
                        return err_oom(err);
                if (!cJSON_IsObject(item))
                        return err_set(err, DAMAGED, "an item is no object");
                at += end;
                if (at == len - 1)
                        break;
                if (text[at++] != ',')
                        return err_set(err, DAMAGED, "its items are not separated by commas");
        }
        *ret = TAKE_PTR(items);
        return 0;
}

static int take_entry(const char *resource, const Standing *s, ApiCacheEntry *ret, Err *err) {
        _cleanup_api_cache_entry_ ApiCacheEntry e = { .said_at = s->said_at };
        int r;

        e.resource = strdup(resource);
        e.resource_version = strdup(s->resource_version);
        if (!e.resource || !e.resource_version)
                return err_oom(err);
        r = parse_items(s->items, s->items_len, &e.items, err);
        if (r < 0)
                return r;
        *ret = e;
        e = (ApiCacheEntry){ 0 };
        return 0;
}

static int read_entry(ApiCache *c, int dir_fd, const FileName *name, const char *resource, ApiCacheEntry *ret,
                      Err *err) {
        _cleanup_api_cache_entry_ ApiCacheEntry e = { 0 };
        _cleanup_standing_ Standing s = { 0 };
        int r = cache_read(c, dir_fd, name, resource, &s, err);

        if (r == 0)
                r = take_entry(resource, &s, &e, err);
        if (r == 0)
                r = cache_learn(c, dir_fd, name, &s);
        if (r < 0)
                return r;
        *ret = e;
        e = (ApiCacheEntry){ 0 };
        return 0;
}

/* ---- setting aside ---- */

static int rename_over(int dir_fd, const FileName *from, const FileName *to) {
        int r;

        if (renameat(dir_fd, from->text, dir_fd, to->text) == 0)
                return 0;
        /* A file does not replace a directory, nor the other way round. */
        r = cache_unlink(dir_fd, to->text);
        if (r < 0)
                return r;
        return renameat(dir_fd, from->text, dir_fd, to->text) < 0 ? -errno : 0;
}

static int set_aside(ApiCache *c, int dir_fd, const FileName *name, bool foreign, Err *why) {
        FileName aside = cache_name_with("", name, foreign ? ".foreign" : ".damaged");
        int r;

        cache_forget(c, name);
        if (c->read_only)
                return 0;
        r = rename_over(dir_fd, name, &aside);
        if (r < 0)
                return err_wrap(why, r, "cannot be moved aside (%s)", strerror(-r));
        (void)file_sync_dir(dir_fd); /* if it comes back it is set aside again */
        return err_wrap(why, 0, "moved aside as %s/api/%s", c->state_dir, aside.text);
}

static char *note_of(const char *resource, Err *why) {
        (void)err_wrap(why, 0, "cached answer of %s", resource);
        return strdup(why->message);
}

int api_cache_load(ApiCache *c, const char *resource, ApiCacheEntry *ret, char **ret_note) {
        FileName name = cache_name(resource);
        Err why = { 0 };
        _cleanup_fd_ int dir_fd = cache_open_dir(c, false, &why);
        int r = dir_fd < 0 ? dir_fd : read_entry(c, dir_fd, &name, resource, ret, &why);

        *ret_note = NULL;
        if (r == 0)
                return 1;
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (dir_fd >= 0 && (r == DAMAGED || r == FOREIGN))
                (void)set_aside(c, dir_fd, &name, r == FOREIGN, &why);
        *ret_note = note_of(resource, &why);
        return *ret_note ? 0 : -ENOMEM;
}
