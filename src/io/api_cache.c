/* SPDX-License-Identifier: Apache-2.0 */
#include "io/api_cache_internal.h"
#include "io/names.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int api_cache_new(const char *state_dir, const ApiCacheKey *key, bool read_only, ApiCache **ret) {
        _cleanup_api_cache_ ApiCache *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->read_only = read_only;
        c->state_dir = strdup(state_dir);
        c->node = strdup(key->node);
        c->machine_id = strdup(key->machine_id);
        c->cluster = strdup(key->cluster);
        if (!c->state_dir || !c->node || !c->machine_id || !c->cluster)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

ApiCache *api_cache_free(ApiCache *c) {
        if (!c)
                return NULL;
        free(c->state_dir);
        free(c->node);
        free(c->machine_id);
        free(c->cluster);
        free(c->records);
        free(c);
        return NULL;
}

/* ---- names and the directory ---- */

FileName cache_name(const char *resource) {
        uint8_t digest[HASH_BYTES];
        FileName name;

        hash_sha256(&(HashPart){ resource, strlen(resource) }, 1, digest);
        hash_hex(digest, NAME_DIGITS, name.text);
        strcpy(name.text + NAME_DIGITS, SUFFIX);
        return name;
}

static bool is_file_name(const char *name) {
        return strspn(name, "0123456789abcdef") == NAME_DIGITS && streq(name + NAME_DIGITS, SUFFIX);
}

FileName cache_name_with(const char *before, const FileName *name, const char *behind) {
        FileName made;

        (void)snprintf(made.text, sizeof(made.text), "%s%.*s%s", before, (int)(NAME_DIGITS + strlen(SUFFIX)),
                       name->text, behind);
        return made;
}

static int open_state(const ApiCache *c) {
        return file_open_at(AT_FDCWD, c->state_dir, O_RDONLY | O_DIRECTORY, 0);
}

static int make_dir(int state_fd) {
        int r;

        if (mkdirat(state_fd, "api", 0700) < 0)
                return -errno;
        r = file_sync_dir(state_fd);
        return r < 0 ? r : file_open_at(state_fd, "api", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

static int check_dir(const ApiCache *c, int fd, Err *err) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_errno(err, -errno, "%s/api", c->state_dir);
        if (st.st_uid != geteuid())
                return err_set(err, -EPERM, "%s/api belongs to user %u, not to user %u", c->state_dir, st.st_uid,
                               geteuid());
        if (!c->read_only && (st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
                return err_errno(err, -errno, "cannot close %s/api to others", c->state_dir);
        return 0;
}

int cache_open_dir(const ApiCache *c, bool make, Err *err) {
        _cleanup_fd_ int state_fd = open_state(c), fd = -1;
        int r;

        if (state_fd < 0)
                return err_errno(err, state_fd, "%s", c->state_dir);
        fd = file_open_at(state_fd, "api", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
        if (fd == -ENOENT && make)
                fd = make_dir(state_fd);
        if (fd < 0)
                return err_errno(err, fd, "%s/api", c->state_dir);
        r = check_dir(c, fd, err);
        if (r < 0)
                return r;
        r = fd;
        fd = -1;
        return r;
}

int cache_unlink(int dir_fd, const char *name) {
        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno == EISDIR && unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
                return 0;
        return -errno;
}

/* ---- what is known to stand ---- */

static Record *find_record(const ApiCache *c, const FileName *name) {
        for (size_t i = 0; i < c->n_records; i++)
                if (streq(c->records[i].name.text, name->text))
                        return &c->records[i];
        return NULL;
}

void cache_forget(ApiCache *c, const FileName *name) {
        Record *r = find_record(c, name);

        if (r)
                *r = c->records[--c->n_records];
}

static bool stamp_of(int dir_fd, const FileName *name, Stamp *ret) {
        struct stat st;

        if (fstatat(dir_fd, name->text, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        *ret = (Stamp){ .inode = st.st_ino, .size = st.st_size, .changed = st.st_ctim };
        return true;
}

static bool looks_the_same(int dir_fd, const Record *record) {
        const Stamp *then = &record->stamp;
        Stamp now;

        return stamp_of(dir_fd, &record->name, &now) && now.inode == then->inode && now.size == then->size &&
               now.changed.tv_sec == then->changed.tv_sec && now.changed.tv_nsec == then->changed.tv_nsec;
}

/* There is room: ARRAY_GROW was called. */
static void remember(ApiCache *c, int dir_fd, const Record *record) {
        Record *r = &c->records[c->n_records];

        *r = *record;
        if (stamp_of(dir_fd, &record->name, &r->stamp))
                c->n_records++;
}

/* All that a file says but for said_at and what is the same in all files of this name that count. */
static void hash_content(const char *resource_version, const char *items, size_t len, uint8_t ret[static HASH_BYTES]) {
        HashPart parts[] = { { resource_version, strlen(resource_version) + 1 }, { items, len } };

        hash_sha256(parts, ARRAY_SIZE(parts), ret);
}

int cache_learn(ApiCache *c, int dir_fd, const FileName *name, const Standing *s) {
        Record record = { .name = *name, .said_at = s->said_at };

        cache_forget(c, name);
        if (!ARRAY_GROW(c->records, c->n_records, c->cap_records))
                return -ENOMEM;
        hash_content(s->resource_version, s->items, s->items_len, record.content);
        remember(c, dir_fd, &record);
        return 0;
}

/* ---- writing ---- */

static bool is_fresh(const Record *record, const Record *wanted) {
        int64_t age;

        return memcmp(record->content, wanted->content, HASH_BYTES) == 0 &&
               !__builtin_sub_overflow(wanted->said_at, record->said_at, &age) && age >= 0 && age < API_CACHE_REFRESH;
}

/* What stands, read if it is not known; NULL if nothing does that counts. 0 or -ENOMEM. */
static int know(ApiCache *c, int dir_fd, const FileName *name, const char *resource, Record **ret) {
        _cleanup_standing_ Standing s = { 0 };
        int r;

        *ret = find_record(c, name);
        if (*ret && looks_the_same(dir_fd, *ret))
                return 0;
        *ret = NULL;
        cache_forget(c, name);
        r = cache_read(c, dir_fd, name, resource, &s, NULL);
        if (r == 0)
                r = cache_learn(c, dir_fd, name, &s);
        if (r == 0)
                *ret = find_record(c, name);
        return r == -ENOMEM ? r : 0;
}

static char *head_text(const ApiCache *c, const char *resource, const char *resource_version, int64_t said_at,
                       size_t *ret_len) {
        _cleanup_json_ cJSON *head = cJSON_CreateObject();

        if (!head || !json_add_string(head, "cluster", c->cluster) ||
            !json_add_string(head, "machineId", c->machine_id) || !json_add_string(head, "node", c->node) ||
            !json_add_string(head, "resource", resource) ||
            !json_add_string(head, "resourceVersion", resource_version) ||
            !json_add(head, "saidAt", json_new_int(said_at)) || !json_add(head, "version", json_new_int(FORMAT)))
                return NULL;
        return json_canonical_text(head, ret_len);
}

/* The file from its pieces; the items are copied once and not looked at. */
static int compose(const char *head, size_t head_len, const char *items, size_t len, char **ret, size_t *ret_len,
                   Err *err) {
        /* The brace of the head stands before the checksum. */
        const HashPart covered[] = { { head + 1, head_len - 1 }, { "\n", 1 }, { items, len }, { "\n", 1 } };
        uint8_t digest[HASH_BYTES];
        char hex[HASH_HEX + 1], *text, *end;

        if (len > API_CACHE_MAX || COVERED_AT + head_len + len + 1 > API_CACHE_MAX)
                return err_set(err, -EFBIG, "more than %d bytes", API_CACHE_MAX);
        text = malloc(COVERED_AT + head_len + len + 2);
        if (!text)
                return err_oom(err);
        hash_sha256(covered, ARRAY_SIZE(covered), digest);
        hash_hex(digest, HASH_HEX, hex);
        end = stpcpy(stpcpy(stpcpy(text, HEAD_PREFIX), hex), HEAD_MIDDLE);
        for (size_t i = 0; i < ARRAY_SIZE(covered); i++)
                end = mempcpy(end, covered[i].data, covered[i].len);
        *ret = text;
        *ret_len = (size_t)(end - text);
        return 0;
}

static int write_file(ApiCache *c, int dir_fd, const Record *record, const char *text, size_t len, Err *err) {
        FileName tmp = cache_name_with(TMP_PREFIX, &record->name, "");
        int r;

        cache_forget(c, &record->name);
        if (!ARRAY_GROW(c->records, c->n_records, c->cap_records))
                return err_oom(err);
        r = file_write_at(dir_fd, tmp.text, record->name.text, text, len, 0600, err);
        if (r < 0)
                return r;
        r = file_sync_dir(dir_fd);
        if (r < 0)
                return err_errno(err, r, "cannot sync %s/api", c->state_dir);
        remember(c, dir_fd, record);
        return 0;
}

static int save(ApiCache *c, Record *wanted, const char *resource, const char *resource_version, const char *items,
                size_t len, Err *err) {
        _cleanup_free_ char *head = NULL, *text = NULL;
        _cleanup_fd_ int dir_fd = cache_open_dir(c, true, err);
        size_t head_len, text_len = 0;
        Record *known;
        int r;

        if (dir_fd < 0)
                return dir_fd;
        if (know(c, dir_fd, &wanted->name, resource, &known) < 0)
                return err_oom(err);
        if (known && is_fresh(known, wanted)) {
                /* One that was read may have been renamed just before its writer was killed. */
                r = known->synced ? 0 : file_sync_dir(dir_fd);
                known->synced = r == 0;
                return r < 0 ? err_errno(err, r, "cannot sync %s/api", c->state_dir) : 0;
        }
        head = head_text(c, resource, resource_version, wanted->said_at, &head_len);
        if (!head)
                return err_oom(err);
        r = compose(head, head_len, items, len, &text, &text_len, err);
        return r < 0 ? r : write_file(c, dir_fd, wanted, text, text_len, err);
}

int api_cache_save(ApiCache *c, const char *resource, const char *resource_version, int64_t said_at, const char *items,
                   size_t len, Err *err) {
        Record wanted = { .name = cache_name(resource), .said_at = said_at, .synced = true };
        int r;

        if (c->read_only)
                return 0;
        hash_content(resource_version, items, len, wanted.content);
        r = save(c, &wanted, resource, resource_version, items, len, err);
        return r < 0 && r != -ENOMEM ? err_wrap(err, r, "cannot cache the answer of %s", resource) : r;
}

/* ---- removing ---- */

/* No message where there is none. */
static int open_existing(const ApiCache *c, Err *err) {
        Err why = { 0 };
        int fd = cache_open_dir(c, false, &why);

        return fd < 0 && fd != -ENOENT ? err_set(err, fd, "%s", why.message) : fd;
}

static bool is_among(const char *name, const FileName *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (streq(names[i].text, name))
                        return true;
        return false;
}

/* Unlinks all, or only our files that are not among those to keep. */
static int unlink_names(const ApiCache *c, int dir_fd, bool all, const FileName *keep, size_t n, Err *err) {
        _cleanup_names_ Names names = { 0 };
        int failed = 0, r;

        r = names_read(dir_fd, NULL, &names);
        if (r < 0)
                return err_errno(err, r, "%s/api", c->state_dir);
        for (size_t i = 0; i < names.n; i++) {
                const char *name = names.items[i];

                if (!all && !startswith(name, TMP_PREFIX) && (!is_file_name(name) || is_among(name, keep, n)))
                        continue;
                r = cache_unlink(dir_fd, name);
                if (r < 0)
                        failed = err_errno(err, r, "cannot remove %s/api/%s", c->state_dir, name);
        }
        r = file_sync_dir(dir_fd);
        if (r < 0 && failed == 0)
                failed = err_errno(err, r, "cannot sync %s/api", c->state_dir);
        return failed;
}

int api_cache_keep(ApiCache *c, const char *const *resources, size_t n, Err *err) {
        _cleanup_free_ FileName *keep = NULL;
        _cleanup_fd_ int dir_fd = -1;

        if (c->read_only)
                return 0;
        keep = calloc(n ? n : 1, sizeof(*keep));
        if (!keep)
                return err_oom(err);
        for (size_t i = 0; i < n; i++)
                keep[i] = cache_name(resources[i]);
        for (size_t i = c->n_records; i-- > 0;)
                if (!is_among(c->records[i].name.text, keep, n))
                        c->records[i] = c->records[--c->n_records];
        dir_fd = open_existing(c, err);
        if (dir_fd < 0)
                return dir_fd == -ENOENT ? 0 : dir_fd;
        return unlink_names(c, dir_fd, false, keep, n, err);
}

int api_cache_drop(ApiCache *c, Err *err) {
        _cleanup_fd_ int state_fd = -1, dir_fd = -1;
        int r;

        if (c->read_only)
                return 0;
        c->n_records = 0;
        dir_fd = open_existing(c, err);
        if (dir_fd < 0)
                return dir_fd == -ENOENT ? 0 : dir_fd;
        r = unlink_names(c, dir_fd, true, NULL, 0, err);
        if (r < 0)
                return r;
        state_fd = open_state(c);
        if (state_fd < 0)
                return err_errno(err, state_fd, "%s", c->state_dir);
        if (unlinkat(state_fd, "api", AT_REMOVEDIR) < 0)
                return err_errno(err, -errno, "cannot remove %s/api", c->state_dir);
        r = file_sync_dir(state_fd);
        return r < 0 ? err_errno(err, r, "cannot sync %s", c->state_dir) : 0;
}
