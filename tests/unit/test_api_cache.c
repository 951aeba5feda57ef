/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "io/api_cache.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define NODES "/api/v1/nodes?fieldSelector=metadata.name%3Dnode-a"
#define SETS "/apis/apps/v1/daemonsets"
#define ITEMS "[{\"kind\":\"Node\",\"metadata\":{\"name\":\"node-a\"}},{\"a\":1.50}]"

static const ApiCacheKey our_key = { .node = "node-a", .machine_id = "0123", .cluster = "ca:\"x\" uid:1" };

static char *dir;
static ApiCache *cache;
static char *note;

static ApiCache *open_cache(const ApiCacheKey *key, bool read_only) {
        ApiCache *c = NULL;

        assert_int_equal(api_cache_new(dir, key, read_only, &c), 0);
        return c;
}

static void reopen(const ApiCacheKey *key, bool read_only) {
        api_cache_free(cache);
        cache = open_cache(key, read_only);
}

static int set_up(void **unused) {
        (void)unused;
        dir = tmpdir_new();
        cache = open_cache(&our_key, false);
        return 0;
}

static int tear_down(void **unused) {
        (void)unused;
        cache = api_cache_free(cache);
        free(note);
        note = NULL;
        tmpdir_free(dir);
        return 0;
}

/* "<name of the resource's file><suffix>" */
static const char *name_of(const char *resource, const char *suffix) {
        static char names[4][128];
        static unsigned next;
        char *name = names[next++ % ARRAY_SIZE(names)];
        uint8_t digest[HASH_BYTES];

        hash_sha256(&(HashPart){ resource, strlen(resource) }, 1, digest);
        hash_hex(digest, 32, name);
        strcat(strcat(name, ".json"), suffix);
        return name;
}

static const char *path_of(const char *resource, const char *suffix) {
        return in_dir(in_dir(dir, "api"), name_of(resource, suffix));
}

static const char *names(void) {
        return names_in(in_dir(dir, "api"));
}

static void save(const char *resource, const char *version, int64_t said_at, const char *items) {
        Err err = { 0 };

        if (api_cache_save(cache, resource, version, said_at, items, strlen(items), &err) != 0)
                fail_msg("%s", err.message);
        assert_string_equal(err.message, "");
}

/* Loads; the note is kept in `note`. */
static bool load(const char *resource, ApiCacheEntry *ret) {
        int r;

        free(note);
        note = (char *)"untouched";
        r = api_cache_load(cache, resource, ret, &note);
        assert_in_range(r, 0, 1);
        if (r == 1)
                assert_null(note);
        return r == 1;
}

/* What is loaded, as "<resourceVersion> <said_at> <items>"; NULL if nothing is. Free it. */
static char *loaded(const char *resource) {
        _cleanup_api_cache_entry_ ApiCacheEntry e = { 0 };
        Buf text = BUF_INIT;

        if (!load(resource, &e))
                return NULL;
        assert_string_equal(e.resource, resource);
        buf_printf(&text, "%s %lld ", e.resource_version, (long long)e.said_at);
        json_canonical(e.items, &text);
        return buf_take(&text, NULL);
}

static void assert_loads(const char *resource, const char *want) {
        _cleanup_free_ char *have = loaded(resource);

        if (want && !have)
                fail_msg("not loaded: %s", str_or_empty(note));
        if (!streq(have, want))
                fail_msg("\"%s\" instead of \"%s\"", str_or_empty(have), str_or_empty(want));
}

static void assert_note(const char *part) {
        if (!note || !strstr(note, part))
                fail_msg("\"%s\" has no \"%s\"", str_or_empty(note), part);
        assert_null(strchr(note, '\n'));
}

static void put_bytes(const char *path, const char *bytes, size_t len) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, len), len);
        assert_int_equal(close(fd), 0);
}

/* A file whose checksum fits: rest is what stands behind the comma. */
static void put_sealed(const char *resource, const char *rest) {
        _cleanup_buf_ Buf text = BUF_INIT;
        uint8_t digest[HASH_BYTES];
        char hex[HASH_HEX + 1];

        hash_sha256(&(HashPart){ rest, strlen(rest) }, 1, digest);
        hash_hex(digest, HASH_HEX, hex);
        buf_printf(&text, "{\"checksum\":\"%s\",%s", hex, rest);
        put_dir(in_dir(dir, "api"), 0700);
        put_bytes(path_of(resource, ""), text.data, text.len);
}

#define HEAD_OF(node, machine, cluster, resource, rest)                                                                \
        "\"cluster\":\"" cluster "\",\"machineId\":\"" machine "\",\"node\":\"" node "\",\"resource\":\"" resource     \
        "\"," rest
#define OUR_CLUSTER "ca:\\\"x\\\" uid:1"
#define OUR_HEAD(rest) HEAD_OF("node-a", "0123", OUR_CLUSTER, SETS, rest)
#define TAIL(version) "\"resourceVersion\":\"7\",\"saidAt\":5,\"version\":" version "}\n"

/* ---- what is written is read ---- */

static void round_trip(void **unused) {
        (void)unused;
        assert_loads(NODES, NULL);
        assert_null(note);
        save(NODES, "7", 1700000000, ITEMS);
        save(SETS, "", -1, "[]");
        assert_loads(NODES, "7 1700000000 " ITEMS);
        assert_loads(SETS, " -1 []");
        reopen(&our_key, false);
        assert_loads(NODES, "7 1700000000 " ITEMS);
        assert_loads("/other", NULL);
        assert_null(note);
        assert_int_equal(mode_of(in_dir(dir, "api")), 0700);
        assert_int_equal(mode_of(path_of(NODES, "")), 0600);
        save(NODES, "8", 1700000001, "[{}]");
        assert_loads(NODES, "8 1700000001 [{}]");
}

/* The format is a promise to later versions. */
static void the_format(void **unused) {
        _cleanup_free_ char *written = NULL;

        (void)unused;
        save(SETS, "7", 5, "[{\"a\":1}]");
        written = test_read_file(path_of(SETS, ""), NULL);
        put_sealed(SETS, OUR_HEAD(TAIL("1")) "[{\"a\":1}]\n");
        assert_true(file_is(path_of(SETS, ""), written));
        assert_string_equal(name_of(SETS, ""), "6d9dfc5707375f96b7f8333d0ad697e4.json");
}

static void the_umask_does_not_matter(void **unused) {
        mode_t saved = umask(0);

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        (void)umask(saved);
        assert_int_equal(mode_of(in_dir(dir, "api")), 0700);
        assert_int_equal(mode_of(path_of(NODES, "")), 0600);
}

static void an_open_directory_is_closed(void **unused) {
        (void)unused;
        save(NODES, "7", 5, ITEMS);
        put_dir(in_dir(dir, "api"), 0777);
        save(NODES, "8", 6, ITEMS);
        assert_int_equal(mode_of(in_dir(dir, "api")), 0700);
}

/* ---- damage ---- */

static const char old_state[] = "7 5 [{\"a\":\"\xc3\xa9\"}]";

static void save_small(void) {
        save(SETS, "7", 5, "[{\"a\":\"\xc3\xa9\"}]");
}

static void every_truncation(void **unused) {
        _cleanup_free_ char *text = NULL;
        size_t len;

        (void)unused;
        save_small();
        text = test_read_file(path_of(SETS, ""), &len);
        for (size_t n = 0; n < len; n++) {
                put_bytes(path_of(SETS, ""), text, n);
                assert_loads(SETS, NULL);
                assert_note(".json.damaged");
                assert_string_equal(names(), name_of(SETS, ".damaged"));
        }
        put_bytes(path_of(SETS, ""), text, len);
        assert_loads(SETS, old_state);
}

static void every_bit_flip(void **unused) {
        _cleanup_free_ char *text = NULL;
        size_t len;

        (void)unused;
        save_small();
        text = test_read_file(path_of(SETS, ""), &len);
        for (size_t n = 0; n < 8 * len; n++) {
                text[n / 8] ^= (char)(1 << n % 8);
                put_bytes(path_of(SETS, ""), text, len);
                assert_loads(SETS, NULL);
                assert_note("damaged");
                text[n / 8] ^= (char)(1 << n % 8);
        }
        put_bytes(path_of(SETS, ""), text, len);
        assert_loads(SETS, old_state);
}

/* xorshift: the same in every run. */
static uint32_t draw(void) {
        static uint32_t x = 2463534242;

        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        return x;
}

/* Several bits, bytes moved, blocks of zeros, text added. */
static void random_damage(void **unused) {
        _cleanup_free_ char *text = NULL, *bad = NULL;
        size_t len;

        (void)unused;
        save_small();
        text = test_read_file(path_of(SETS, ""), &len);
        bad = malloc(len + 16);
        assert_non_null(bad);
        for (int round = 0; round < 500; round++) {
                size_t n = len, at = draw() % len, from = draw() % len, size = 1 + draw() % 16;

                memcpy(bad, text, len);
                if (round % 4 == 0)
                        for (int i = 0; i < 3; i++)
                                bad[draw() % len] ^= (char)(1 << draw() % 8);
                else if (round % 4 == 1)
                        memmove(bad + at, text + from, len - (at > from ? at : from));
                else if (round % 4 == 2)
                        memset(bad + at, 0, size < len - at ? size : len - at);
                else
                        for (n = len; n < len + size; n++)
                                bad[n] = "\n]} [{,"[draw() % 7];
                if (n == len && memcmp(bad, text, len) == 0)
                        continue;
                put_bytes(path_of(SETS, ""), bad, n);
                assert_loads(SETS, NULL);
                assert_note("damaged");
        }
}

static const struct SealedRow {
        const char *name, *rest;
        const char *loads; /* NULL: it does not */
        const char *aside, *say;
} sealed_rows[] = {
        { "a right one counts", OUR_HEAD(TAIL("1")) "[{}]\n", "7 5 [{}]", NULL, NULL },
        { "a later version", OUR_HEAD(TAIL("2")) "[{}]\n", NULL, ".foreign", "another version" },
        { "version 0", OUR_HEAD(TAIL("0")) "[{}]\n", NULL, ".foreign", "another version" },
        { "a later version without our fields", "\"version\":2}\n[]\n", NULL, ".foreign", "another version" },
        { "a version that is a text", OUR_HEAD(TAIL("\"1\"")) "[{}]\n", NULL, ".damaged", "no version" },
        { "another node", HEAD_OF("node-b", "0123", OUR_CLUSTER, SETS, TAIL("1")) "[]\n", NULL, ".foreign",
          "another node" },
        { "another machine", HEAD_OF("node-a", "", OUR_CLUSTER, SETS, TAIL("1")) "[]\n", NULL, ".foreign",
          "another machine" },
        { "another cluster", HEAD_OF("node-a", "0123", "", SETS, TAIL("1")) "[]\n", NULL, ".foreign",
          "another cluster" },
        { "another resource", HEAD_OF("node-a", "0123", OUR_CLUSTER, "/api/v1/nodes", TAIL("1")) "[]\n", NULL,
          ".foreign", "another resource" },
        { "no node", "\"cluster\":\"" OUR_CLUSTER "\",\"machineId\":\"0123\",\"version\":1}\n[]\n", NULL, ".damaged",
          "no node" },
        { "no said_at", OUR_HEAD("\"resourceVersion\":\"7\",\"version\":1}\n") "[]\n", NULL, ".damaged", "saidAt" },
        { "a said_at with a fraction", OUR_HEAD("\"resourceVersion\":\"7\",\"saidAt\":1.5,\"version\":1}\n") "[]\n",
          NULL, ".damaged", "saidAt" },
        { "no resourceVersion", OUR_HEAD("\"saidAt\":5,\"version\":1}\n") "[]\n", NULL, ".damaged", "resourceVersion" },
        { "a head that is no JSON", "nonsense\n[]\n", NULL, ".damaged", "its first line: " },
        { "a head that is a list", "1]\n[]\n", NULL, ".damaged", "its first line: " },
        { "one line", OUR_HEAD(TAIL("1")), NULL, ".damaged", "two lines" },
        { "no newline at the end", OUR_HEAD(TAIL("1")) "[]", NULL, ".damaged", "two lines" },
        { "no newline at all", "\"version\":1}", NULL, ".damaged", "two lines" },
        { "an empty second line", OUR_HEAD(TAIL("1")) "\n", NULL, ".damaged", "no list" },
        { "items that are an object", OUR_HEAD(TAIL("1")) "{}\n", NULL, ".damaged", "no list" },
        { "a bracket alone", OUR_HEAD(TAIL("1")) "]\n", NULL, ".damaged", "no list" },
        { "items without an end", OUR_HEAD(TAIL("1")) "[{}\n", NULL, ".damaged", "no list" },
        { "an item that is a list", OUR_HEAD(TAIL("1")) "[{},[]]\n", NULL, ".damaged", "no object" },
        { "a comma at the end", OUR_HEAD(TAIL("1")) "[{},]\n", NULL, ".damaged", "item 1" },
        { "no comma", OUR_HEAD(TAIL("1")) "[{}{}]\n", NULL, ".damaged", "commas" },
        { "two lists", OUR_HEAD(TAIL("1")) "[{}],[{}]\n", NULL, ".damaged", "commas" },
        { "an item that is no JSON", OUR_HEAD(TAIL("1")) "[{},{a}]\n", NULL, ".damaged", "item 1" },
        { "an item that is cut", OUR_HEAD(TAIL("1")) "[{},{]\n", NULL, ".damaged", "item 1" },
};

static void sealed(void **state) {
        const struct SealedRow *row = *state;

        put_sealed(SETS, row->rest);
        assert_loads(SETS, row->loads);
        if (row->loads)
                return;
        assert_note(row->say);
        assert_note(row->aside);
        assert_string_equal(names(), name_of(SETS, row->aside));
        assert_loads(SETS, NULL);
        assert_null(note);
}

static void put_nested(unsigned depth) {
        _cleanup_buf_ Buf rest = BUF_INIT;

        buf_str(&rest, OUR_HEAD(TAIL("1")) "[");
        for (unsigned i = 0; i < depth; i++)
                buf_str(&rest, "{\"a\":");
        buf_str(&rest, "1");
        for (unsigned i = 0; i < depth; i++)
                buf_char(&rest, '}');
        buf_str(&rest, "]\n");
        put_sealed(SETS, buf_text(&rest));
}

static void depth(void **unused) {
        ApiCacheEntry e = { 0 };

        (void)unused;
        put_nested(JSON_DEPTH_MAX);
        assert_true(load(SETS, &e));
        api_cache_entry_done(&e);
        put_nested(JSON_DEPTH_MAX + 1);
        assert_loads(SETS, NULL);
        assert_note("nested too deeply");
        put_nested(100000);
        assert_loads(SETS, NULL);
        assert_note("nested too deeply");
}

/* The file of one resource under the name of another. */
static void swapped_files(void **unused) {
        (void)unused;
        save(NODES, "7", 5, ITEMS);
        save(SETS, "8", 6, "[]");
        assert_int_equal(rename(path_of(NODES, ""), path_of(SETS, "")), 0);
        assert_loads(SETS, NULL);
        assert_note("another resource");
        assert_loads(NODES, NULL);
        assert_null(note);
}

static void foreign_keys(void **unused) {
        static const ApiCacheKey keys[] = {
                { "node-b", "0123", "ca:\"x\" uid:1" },
                { "node-a", "", "ca:\"x\" uid:1" },
                { "node-a", "0123", "ca:\"x\"" },
        };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                reopen(&our_key, false);
                save(NODES, "7", 5, ITEMS);
                reopen(&keys[i], false);
                assert_loads(NODES, NULL);
                assert_note("foreign");
                assert_string_equal(names(), name_of(NODES, ".foreign"));
        }
}

static void put_any(const char *resource, const char *what) {
        const char *path = path_of(resource, "");

        put_dir(in_dir(dir, "api"), 0700);
        if (streq(what, "link"))
                put_link(path, "elsewhere");
        else if (streq(what, "directory"))
                put_dir(path, 0700);
        else if (streq(what, "fifo"))
                assert_int_equal(mkfifo(path, 0600), 0);
        else if (streq(what, "group"))
                assert_int_equal(chmod(path, 0620), 0);
        else if (streq(what, "others"))
                assert_int_equal(chmod(path, 0602), 0);
        else if (streq(what, "owner"))
                assert_int_equal(chown(path, 1, 1), 0);
        else
                assert_int_equal(truncate(path, (off_t)API_CACHE_MAX + 1), 0);
}

static const struct UntrustedRow {
        const char *name, *what, *say;
        bool file; /* a right one that is then spoiled */
} untrusted_rows[] = {
        { "a link", "link", "symbolic link", false },
        { "a directory", "directory", "is a directory", false },
        { "a fifo", "fifo", "not a regular file", false },
        { "a file that the group may write", "group", "writable by group", true },
        { "a file that others may write", "others", "writable by group", true },
        { "a file of a stranger", "owner", "owned by user 1", true },
        { "a file that is too large", "large", "is larger than", true },
};

static void untrusted(void **state) {
        const struct UntrustedRow *row = *state;

        if (streq(row->what, "owner") && geteuid() != 0)
                skip();
        /* Twice: what is set aside replaces what was, whatever that is. */
        for (int i = 0; i < 2; i++) {
                if (row->file)
                        save(SETS, "7", 5, ITEMS);
                put_any(SETS, row->what);
                assert_loads(SETS, NULL);
                assert_note(row->say);
                assert_note(".damaged");
                assert_string_equal(names(), name_of(SETS, ".damaged"));
        }
        put_any(SETS, "directory");
        assert_loads(SETS, NULL);
        put_bytes(path_of(SETS, ""), "", 0);
        assert_loads(SETS, NULL);
        assert_note("checksum");
        save(SETS, "7", 5, ITEMS);
        assert_loads(SETS, "7 5 " ITEMS);
}

static void what_cannot_be_moved_aside(void **unused) {
        (void)unused;
        save(NODES, "7", 5, ITEMS);
        put_dir(path_of(SETS, ".damaged"), 0700);
        put_file(in_dir(path_of(SETS, ".damaged"), "x"), "x", 0600);
        put_bytes(path_of(SETS, ""), "x", 1);
        assert_loads(SETS, NULL);
        assert_note("cannot be moved aside");
        assert_loads(NODES, "7 5 " ITEMS);
        save(SETS, "7", 5, ITEMS);
        assert_loads(SETS, "7 5 " ITEMS);
}

/* What fails for want of descriptors is no damage. */
static void a_transient_failure(void **unused) {
        struct rlimit was, none;
        _cleanup_free_ char *before = NULL, *after = NULL;
        bool found = false;

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        before = tree_state(dir);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
        /* None for the state directory, then none for ours or for the file. */
        for (rlim_t n = 0; !found && n < was.rlim_cur; n++) {
                _cleanup_api_cache_entry_ ApiCacheEntry e = { 0 };

                none = (struct rlimit){ .rlim_cur = n, .rlim_max = was.rlim_max };
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
                found = load(NODES, &e);
                assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
                if (!found)
                        assert_note("Too many open files");
        }
        after = tree_state(dir);
        assert_string_equal(before, after);
        assert_loads(NODES, "7 5 " ITEMS);
}

/* Nor is what we may not read. Root may read all, so it becomes another for a while. */
static void an_unreadable_file(void **unused) {
        const bool root = geteuid() == 0;
        const char *const paths[] = { dir, in_dir(dir, "api"), path_of(NODES, "") };

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        assert_int_equal(chmod(paths[2], 0), 0);
        for (size_t i = 0; root && i < ARRAY_SIZE(paths); i++)
                assert_int_equal(chown(paths[i], 1, -1), 0);
        assert_int_equal(root ? seteuid(1) : 0, 0);
        assert_loads(NODES, NULL);
        assert_int_equal(root ? seteuid(0) : 0, 0);
        assert_note("Permission denied");
        assert_true(exists(paths[2]));
}

static void a_directory_that_is_none(void **unused) {
        Err err = { 0 };

        (void)unused;
        put_dir(in_dir(dir, "real"), 0700);
        put_link(in_dir(dir, "api"), "real");
        assert_loads(NODES, NULL);
        assert_note("/api: ");
        assert_true(api_cache_save(cache, NODES, "7", 5, "[]", 2, &err) < 0);
        assert_non_null(strstr(err.message, "cannot cache the answer of " NODES));
        assert_true(api_cache_keep(cache, NULL, 0, &err) < 0);
        assert_true(api_cache_drop(cache, &err) < 0);
        assert_string_equal(names_in(in_dir(dir, "real")), "");
}

static void a_strangers_directory(void **unused) {
        Err err = { 0 };

        (void)unused;
        if (geteuid() != 0)
                skip();
        save(NODES, "7", 5, ITEMS);
        assert_int_equal(chown(in_dir(dir, "api"), 1, 1), 0);
        assert_loads(NODES, NULL);
        assert_note("belongs to user 1");
        assert_int_equal(api_cache_save(cache, NODES, "8", 5, "[]", 2, &err), -EPERM);
        assert_int_equal(api_cache_drop(cache, &err), -EPERM);
        assert_true(exists(path_of(NODES, "")));
}

/* ---- when it is written ---- */

static struct stat stat_of(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st;
}

/* Whether a save replaced the file: a descriptor of the old one keeps its inode from being used again. */
static bool writes(const char *version, int64_t said_at, const char *items) {
        struct stat before = stat_of(path_of(NODES, "")), after;
        int fd = open(path_of(NODES, ""), O_RDONLY | O_CLOEXEC);

        save(NODES, version, said_at, items);
        after = stat_of(path_of(NODES, ""));
        assert_int_equal(close(fd), 0);
        return before.st_ino != after.st_ino;
}

static void written_only_when_needed(void **unused) {
        (void)unused;
        for (int fresh = 0; fresh < 2; fresh++) {
                const int64_t t = 1700000000 + 100000 * fresh;

                save(NODES, "7", t, ITEMS);
                /* As the writer knows it; then as one who must read it first. */
                for (int i = 0; i < 2; i++) {
                        assert_false(writes("7", t, ITEMS));
                        assert_false(writes("7", t + API_CACHE_REFRESH - 1, ITEMS));
                        if (fresh)
                                reopen(&our_key, false);
                }
                assert_true(writes("7", t + API_CACHE_REFRESH, ITEMS));
                assert_false(writes("7", t + API_CACHE_REFRESH, ITEMS));
                /* The clock was set back. */
                assert_true(writes("7", t, ITEMS));
                assert_true(writes("8", t, ITEMS));
                assert_true(writes("8", t, "[]"));
                assert_true(writes("", t, "8[]"));
                assert_true(writes("8", t, "[]"));
                assert_loads(NODES, fresh ? "8 1700100000 []" : "8 1700000000 []");
                assert_false(writes("8", t, "[]"));
                assert_true(writes("8", INT64_MIN, "[]"));
                assert_true(writes("8", INT64_MAX, "[]"));
        }
}

static void what_was_loaded_is_known(void **unused) {
        (void)unused;
        save(NODES, "7", 5, ITEMS);
        reopen(&our_key, false);
        assert_loads(NODES, "7 5 " ITEMS);
        assert_false(writes("7", 6, ITEMS));
        assert_true(writes("7", 6, "[]"));
}

static void what_changed_under_us_is_written(void **unused) {
        _cleanup_free_ char *text = NULL;
        size_t len;

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        text = test_read_file(path_of(NODES, ""), &len);
        assert_int_equal(unlink(path_of(NODES, "")), 0);
        save(NODES, "7", 5, ITEMS);
        assert_true(exists(path_of(NODES, "")));
        /* Only damage counts, not that it was touched. */
        assert_int_equal(chmod(path_of(NODES, ""), 0640), 0);
        assert_false(writes("7", 5, ITEMS));
        text[len - 4] ^= 1;
        put_bytes(path_of(NODES, ""), text, len);
        assert_true(writes("7", 5, ITEMS));
        assert_int_equal(chmod(path_of(NODES, ""), 0660), 0);
        assert_true(writes("7", 5, ITEMS));
        assert_int_equal(unlink(path_of(NODES, "")), 0);
        put_link(path_of(NODES, ""), "elsewhere");
        save(NODES, "7", 5, ITEMS);
        assert_loads(NODES, "7 5 " ITEMS);
        assert_false(exists(in_dir(in_dir(dir, "api"), "elsewhere")));
        /* The whole directory, too. */
        assert_int_equal(rename(in_dir(dir, "api"), in_dir(dir, "gone")), 0);
        save(NODES, "7", 5, ITEMS);
        assert_loads(NODES, "7 5 " ITEMS);
}

static void another_keys_file_is_replaced(void **unused) {
        static const ApiCacheKey other = { "node-a", "0123", "another" };

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        reopen(&other, false);
        assert_true(writes("7", 5, ITEMS));
        assert_loads(NODES, "7 5 " ITEMS);
}

/* ---- interrupted and failed writes ---- */

static void an_interrupted_write(void **unused) {
        char name[160];

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        (void)snprintf(name, sizeof(name), ".tmp-%s", name_of(NODES, ""));
        put_file(in_dir(in_dir(dir, "api"), name), "half", 0644);
        reopen(&our_key, false);
        assert_loads(NODES, "7 5 " ITEMS);
        assert_false(writes("7", 5, ITEMS));
        save(NODES, "8", 6, ITEMS);
        assert_false(exists(in_dir(in_dir(dir, "api"), name)));
        assert_loads(NODES, "8 6 " ITEMS);
        assert_int_equal(mode_of(path_of(NODES, "")), 0600);
}

/* A save in a child that is killed before its n-th stop at a system call, entry or return. False: it ended before. */
static bool killed_at(int n) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                        _exit(77);
                (void)raise(SIGSTOP);
                _exit(api_cache_save(cache, NODES, "8", 6, "[]", 2, NULL) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        for (; WIFSTOPPED(status) && n > 0; n--) {
                assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
        }
        if (WIFSTOPPED(status)) {
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                return true;
        }
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77)
                skip();
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
}

static void killed_at_any_point(void **unused) {
        static const char *const one[] = { NODES };
        int n_old = 0, n_new = 0;
        bool more = true;

        (void)unused;
        for (int n = 1; more; n++) {
                _cleanup_free_ char *have = NULL;

                save(NODES, "7", 5, ITEMS);
                more = killed_at(n);
                reopen(&our_key, false);
                have = loaded(NODES);
                if (streq(have, "7 5 " ITEMS))
                        n_old++;
                else if (streq(have, "8 6 []"))
                        n_new++;
                else
                        fail_msg("stop %d: %s, %s", n, str_or_empty(have), str_or_empty(note));
                assert_int_equal(api_cache_keep(cache, one, 1, NULL), 0);
                assert_string_equal(names(), name_of(NODES, ""));
        }
        /* Two stops each for making, writing, mode, syncing and renaming; and some behind that. */
        assert_true(n_old >= 10 && n_new >= 2);
}

static void a_full_disk(void **unused) {
        static char items[65536];
        struct rlimit was, small;
        Err err = { 0 };
        int r;

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        memset(items, ' ', sizeof(items));
        items[0] = '[';
        items[sizeof(items) - 1] = ']';
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
        small = (struct rlimit){ .rlim_cur = 4096, .rlim_max = was.rlim_max };
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        r = api_cache_save(cache, NODES, "8", 6, items, sizeof(items), &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        assert_int_equal(r, -EFBIG);
        assert_non_null(strstr(err.message, NODES));
        assert_string_equal(names(), name_of(NODES, ""));
        assert_false(writes("7", 5, ITEMS));
        assert_loads(NODES, "7 5 " ITEMS);
}

static void no_state_directory(void **unused) {
        Err err = { 0 };
        ApiCache *c = NULL;

        (void)unused;
        assert_int_equal(api_cache_new(in_dir(dir, "none"), &our_key, false, &c), 0);
        assert_int_equal(api_cache_save(c, NODES, "7", 5, "[]", 2, &err), -ENOENT);
        assert_int_equal(api_cache_keep(c, NULL, 0, &err), 0);
        assert_int_equal(api_cache_drop(c, &err), 0);
        api_cache_free(c);
        assert_string_equal(names_in(dir), "");
}

/* ---- sizes ---- */

/* n objects, each with a text of about size bytes. */
static char *many_items(size_t n, size_t size, size_t *ret_len) {
        Buf out = BUF_INIT;
        _cleanup_free_ char *fill = malloc(size + 1);

        assert_non_null(fill);
        memset(fill, 'x', size);
        fill[size] = 0;
        buf_char(&out, '[');
        for (size_t i = 0; i < n; i++)
                buf_printf(&out, "%s{\"fill\":\"%s\",\"i\":%zu}", i ? "," : "", fill, i);
        buf_char(&out, ']');
        return buf_take(&out, ret_len);
}

static void large_answers(void **unused) {
        static const struct { size_t n, size; } rows[] = { { 500, 20 * 1024 }, { 4, 5 << 20 }, { 1, (10 << 20) - 32 } };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_api_cache_entry_ ApiCacheEntry e = { 0 };
                _cleanup_free_ char *items = NULL, *back = NULL;
                size_t len;

                items = many_items(rows[i].n, rows[i].size, &len);
                assert_int_equal(api_cache_save(cache, SETS, "7", 5, items, len, NULL), 0);
                assert_true(load(SETS, &e));
                back = json_canonical_text(e.items, NULL);
                assert_true(streq(back, items));
        }
}

static void too_large_an_item(void **unused) {
        _cleanup_free_ char *items = NULL;
        size_t len;

        (void)unused;
        items = many_items(1, JSON_SIZE_MAX, &len);
        assert_int_equal(api_cache_save(cache, SETS, "7", 5, items, len, NULL), 0);
        assert_loads(SETS, NULL);
        assert_note("item 0");
}

static void too_large_an_answer(void **unused) {
        _cleanup_free_ char *items = calloc(1, (size_t)API_CACHE_MAX + 1);
        Err err = { 0 };

        (void)unused;
        assert_non_null(items);
        save(SETS, "7", 5, ITEMS);
        assert_int_equal(api_cache_save(cache, SETS, "8", 5, items, API_CACHE_MAX - 100, &err), -EFBIG);
        assert_non_null(strstr(err.message, "more than 33554432 bytes"));
        assert_int_equal(api_cache_save(cache, SETS, "8", 5, items, (size_t)API_CACHE_MAX + 1, NULL), -EFBIG);
        assert_loads(SETS, "7 5 " ITEMS);
}

/* ---- keeping and dropping ---- */

static void keeping(void **unused) {
        static const char *const both[] = { NODES, SETS }, *const one[] = { "/none", SETS };
        Err err = { 0 };

        (void)unused;
        assert_int_equal(api_cache_keep(cache, both, 2, &err), 0);
        assert_false(exists(in_dir(dir, "api")));
        save(NODES, "7", 5, ITEMS);
        save(SETS, "7", 5, ITEMS);
        put_file(in_dir(in_dir(dir, "api"), ".tmp-x"), "half", 0600);
        put_file(in_dir(in_dir(dir, "api"), "notes.json"), "", 0600);
        put_file(path_of(NODES, ".damaged"), "", 0600);
        put_file(path_of(SETS, ".foreign"), "", 0600);
        assert_int_equal(api_cache_keep(cache, both, 2, &err), 0);
        assert_false(exists(in_dir(in_dir(dir, "api"), ".tmp-x")));
        assert_loads(NODES, "7 5 " ITEMS);
        assert_loads(SETS, "7 5 " ITEMS);
        assert_int_equal(api_cache_keep(cache, one, 2, &err), 0);
        assert_false(exists(path_of(NODES, "")));
        assert_true(exists(path_of(NODES, ".damaged")) && exists(path_of(SETS, ".foreign")));
        assert_true(exists(in_dir(in_dir(dir, "api"), "notes.json")));
        assert_loads(NODES, NULL);
        assert_loads(SETS, "7 5 " ITEMS);
        save(NODES, "7", 5, ITEMS);
        assert_loads(NODES, "7 5 " ITEMS);
        assert_int_equal(api_cache_keep(cache, NULL, 0, &err), 0);
        assert_false(exists(path_of(NODES, "")) || exists(path_of(SETS, "")));
        assert_string_equal(err.message, "");
}

static void keeping_goes_on(void **unused) {
        Err err = { 0 };
        static const char *const few[] = { "/a", "/b", "/c" };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(few); i++) {
                save(few[i], "7", 5, ITEMS);
                if (i == 1) {
                        assert_int_equal(unlink(path_of(few[i], "")), 0);
                        put_dir(path_of(few[i], ""), 0700);
                        put_file(in_dir(path_of(few[i], ""), "x"), "", 0600);
                }
        }
        put_dir(in_dir(in_dir(dir, "api"), ".tmp-d"), 0700);
        assert_true(api_cache_keep(cache, NULL, 0, &err) < 0);
        assert_non_null(strstr(err.message, name_of(few[1], "")));
        assert_string_equal(names(), name_of(few[1], ""));
}

static void dropping(void **unused) {
        Err err = { 0 };

        (void)unused;
        assert_int_equal(api_cache_drop(cache, &err), 0);
        save(NODES, "7", 5, ITEMS);
        save(SETS, "7", 5, ITEMS);
        put_file(in_dir(in_dir(dir, "api"), ".tmp-x"), "half", 0600);
        put_file(path_of("/c", ".damaged"), "", 0600);
        put_dir(path_of("/d", ".foreign"), 0700);
        put_file(in_dir(in_dir(dir, "api"), "secret.json~"), "", 0600);
        put_file(in_dir(dir, "index.json"), "", 0600);
        assert_int_equal(api_cache_drop(cache, &err), 0);
        assert_string_equal(names_in(dir), "index.json");
        assert_loads(NODES, NULL);
        assert_null(note);
        save(NODES, "7", 5, ITEMS);
        assert_loads(NODES, "7 5 " ITEMS);
}

/* ---- reading only ---- */

static void read_only(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        static const char *const one[] = { "/none" };
        Err err = { 0 };

        (void)unused;
        reopen(&our_key, true);
        assert_loads(NODES, NULL);
        assert_int_equal(api_cache_save(cache, NODES, "7", 5, "[]", 2, &err), 0);
        assert_string_equal(names_in(dir), "");
        reopen(&our_key, false);
        save(NODES, "7", 5, ITEMS);
        put_bytes(path_of(SETS, ""), "x", 1);
        put_file(in_dir(in_dir(dir, "api"), ".tmp-x"), "half", 0600);
        put_dir(in_dir(dir, "api"), 0755);
        reopen(&our_key, true);
        before = tree_state(dir);
        assert_loads(NODES, "7 5 " ITEMS);
        assert_loads(SETS, NULL);
        assert_note("does not begin with a checksum");
        assert_null(strstr(note, "aside"));
        assert_int_equal(api_cache_save(cache, NODES, "8", 5, "[]", 2, &err), 0);
        assert_int_equal(api_cache_keep(cache, one, 1, &err), 0);
        assert_int_equal(api_cache_drop(cache, &err), 0);
        after = tree_state(dir);
        assert_string_equal(before, after);
        assert_string_equal(err.message, "");
}

/* ---- out of memory ---- */

/* All of it, with one thing damaged; what was made is told to the test by its end. */
static int oom_story(void *unused) {
        static const char *const both[] = { NODES, SETS };
        _cleanup_api_cache_ ApiCache *c = NULL;
        _cleanup_api_cache_entry_ ApiCacheEntry e = { 0 }, none = { 0 };
        _cleanup_free_ char *said = NULL, *said_too = NULL;
        int r;

        (void)unused;
        put_dir(in_dir(dir, "api"), 0700);
        put_bytes(path_of(SETS, ""), "x", 1);
        r = api_cache_new(dir, &our_key, false, &c);
        if (r < 0)
                return r;
        r = api_cache_load(c, SETS, &none, &said);
        if (r < 0)
                return r;
        assert_int_equal(r, 0);
        r = api_cache_save(c, NODES, "7", 5, ITEMS, strlen(ITEMS), NULL);
        if (r == 0)
                r = api_cache_save(c, NODES, "8", 5, ITEMS, strlen(ITEMS), NULL);
        if (r == 0)
                r = api_cache_load(c, NODES, &e, &said_too);
        if (r < 0)
                return r;
        assert_int_equal(r, 1);
        assert_string_equal(e.resource_version, "8");
        r = api_cache_keep(c, both, 2, NULL);
        return r < 0 ? r : api_cache_drop(c, NULL);
}

static void out_of_memory(void **unused) {
        (void)unused;
        (void)test_oom(oom_story, NULL);
}

/* A load or a save that fails for want of memory leaves the file as it was. */
static int oom_load(void *unused) {
        _cleanup_api_cache_ ApiCache *c = NULL;
        _cleanup_api_cache_entry_ ApiCacheEntry e = { 0 };
        _cleanup_free_ char *said = NULL;
        int r = api_cache_new(dir, &our_key, false, &c);

        (void)unused;
        if (r == 0)
                r = api_cache_load(c, NODES, &e, &said);
        if (r >= 0)
                r = api_cache_save(c, NODES, "7", 6, ITEMS, strlen(ITEMS), NULL);
        return r;
}

static void out_of_memory_is_no_damage(void **unused) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        (void)unused;
        save(NODES, "7", 5, ITEMS);
        before = tree_state(dir);
        (void)test_oom(oom_load, NULL);
        after = tree_state(dir);
        assert_string_equal(before, after);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static int set_up_row(void **state) {
        return set_up(state);
}

int main(void) {
        static const struct CMUnitTest fixed[] = {
                UNIT(round_trip),
                UNIT(the_format),
                UNIT(the_umask_does_not_matter),
                UNIT(an_open_directory_is_closed),
                UNIT(every_truncation),
                UNIT(every_bit_flip),
                UNIT(random_damage),
                UNIT(depth),
                UNIT(swapped_files),
                UNIT(foreign_keys),
                UNIT(what_cannot_be_moved_aside),
                UNIT(a_transient_failure),
                UNIT(an_unreadable_file),
                UNIT(a_directory_that_is_none),
                UNIT(a_strangers_directory),
                UNIT(written_only_when_needed),
                UNIT(what_was_loaded_is_known),
                UNIT(what_changed_under_us_is_written),
                UNIT(another_keys_file_is_replaced),
                UNIT(an_interrupted_write),
                UNIT(killed_at_any_point),
                UNIT(a_full_disk),
                UNIT(no_state_directory),
                UNIT(large_answers),
                UNIT(too_large_an_item),
                UNIT(too_large_an_answer),
                UNIT(keeping),
                UNIT(keeping_goes_on),
                UNIT(dropping),
                UNIT(read_only),
                UNIT(out_of_memory),
                UNIT(out_of_memory_is_no_damage),
        };
        struct CMUnitTest tests[ARRAY_SIZE(fixed) + ARRAY_SIZE(sealed_rows) + ARRAY_SIZE(untrusted_rows)];
        size_t n = ARRAY_SIZE(fixed);

        memset(tests, 0, sizeof(tests));
        memcpy(tests, fixed, sizeof(fixed));
        for (size_t i = 0; i < ARRAY_SIZE(sealed_rows); i++)
                tests[n++] = (struct CMUnitTest){ sealed_rows[i].name, sealed, set_up_row, tear_down,
                                                  (void *)(uintptr_t)&sealed_rows[i] };
        for (size_t i = 0; i < ARRAY_SIZE(untrusted_rows); i++)
                tests[n++] = (struct CMUnitTest){ untrusted_rows[i].name, untrusted, set_up_row, tear_down,
                                                  (void *)(uintptr_t)&untrusted_rows[i] };
        return _cmocka_run_group_tests("api_cache", tests, n, NULL, NULL);
}
