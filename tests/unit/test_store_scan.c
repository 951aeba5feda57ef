/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan takes from the one before instead of reading it, and above all what it does not. */
#include "io/store_internal.h"
#include "store_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The scan's clock stands still, ahead by this much of when the world was made: nobody has to wait until a file has
 * rested, and no file rests because the machine is slow. */
static time_t made_at, ahead;

time_t time(time_t *ret) {
        if (ret)
                *ret = made_at + ahead;
        return made_at + ahead;
}

enum {
        RESTED = 100,       /* seconds ahead: whatever was written just now has rested */
        BELIEVED = 4 * 60,  /* and is believed still after as much again */
        FORGOTTEN = 6 * 60, /* and is not any more after this */
};

/* ---- who is opened ---- */

static int watch = -1;

static void watch_directory(const char *path) {
        assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
}

static void note_name(const struct inotify_event *e, Names *ret) {
        if (!(e->mask & IN_ISDIR))
                assert_int_equal(names_add(ret, e->name), 0);
}

/* The names of the files that were opened in the three directories since the last call: "a a b". Static buffer. */
static const char *opened(void) {
        static char text[4096];
        char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        _cleanup_names_ Names names = { 0 };
        ssize_t n;

        while ((n = read(watch, buffer, sizeof(buffer))) > 0)
                for (char *p = buffer; p < buffer + n; p += sizeof(struct inotify_event)) {
                        const struct inotify_event *e = (const struct inotify_event *)(void *)p;

                        note_name(e, &names);
                        p += e->len;
                }
        assert_int_equal(errno, EAGAIN);
        text[0] = 0;
        for (size_t i = 0; i < names.n; i++) {
                assert_true(strlen(text) + strlen(names.items[i]) + 2 < sizeof(text));
                strcat(strcat(text, text[0] ? " " : ""), names.items[i]);
        }
        return text;
}

/* ---- a world in which a stands, and is remembered ---- */

static int set_up(void **unused) {
        struct timespec now;

        (void)world_set_up(unused);
        assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
        made_at = now.tv_sec;
        ahead = 0;
        open_store();
        apply_ok(step_of(STEP_CREATE, A_FILE, a1));
        watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        assert_true(watch >= 0);
        watch_directory(manifests);
        watch_directory(in_state("manifests"));
        watch_directory(in_state("next"));
        return 0;
}

static int tear_down(void **unused) {
        assert_int_equal(close(watch), 0);
        watch = -1;
        return world_tear_down(unused);
}

#define SCAN_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static const char *scan_opens(void) {
        (void)opened();
        scan();
        return opened();
}

/* Everything has rested, was read, and would not be read again. */
static void settle(void) {
        ahead = RESTED;
        scan();
        assert_string_equal(scan_opens(), "");
}

static bool stands(const char *bytes) {
        const PlanEntry *e = find_entry(A_FILE);

        return e && e->kind == ENTRY_REGULAR && !e->unreadable && bytes_are(e->bytes, e->len, bytes);
}

static bool is_remembered(const char *bytes) {
        const PlanWritten *w = find_written(A_FILE);

        return w && bytes_are(w->bytes, w->len, bytes);
}

/* Another revision with as many bytes; free it. */
static char *altered(char image_end) {
        char *made = strdup(a1), *at = strstr(made, "\"one\"");

        assert_non_null(at);
        at[3] = image_end;
        return made;
}

/* Writes over the bytes in place, and back goes the mtime. */
static void overwrite(const char *path, const char *bytes) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        struct stat st;

        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(pwrite(fd, bytes, strlen(bytes), 0), strlen(bytes));
        assert_int_equal(futimens(fd, (struct timespec[]){ st.st_atim, st.st_mtim }), 0);
        assert_int_equal(close(fd), 0);
}

/* ---- what is not read again ---- */

static void what_rested_is_not_read_again(void **unused) {
        (void)unused;
        put_file(in_manifests("x"), "text", 0644);
        ahead = RESTED;
        assert_string_equal(scan_opens(), A_FILE " x " A_FILE);
        for (int i = 0; i < 3; i++) {
                assert_string_equal(scan_opens(), "");
                assert_true(stands(a1));
                assert_true(is_remembered(a1));
                assert_true(bytes_are(find_entry("x")->bytes, find_entry("x")->len, "text"));
                assert_false(find_entry("x")->mode_wrong);
                assert_string_equal(snapshot.written[0].origin, "file:x.yaml");
                assert_null(snapshot.written[0].next);
        }
}

static void only_what_changed_is_read_again(void **unused) {
        (void)unused;
        apply_ok(step_of(STEP_CREATE, B_FILE, b1));
        put_file(in_manifests("0"), "", 0600);
        settle();
        overwrite(in_manifests(B_FILE), a2);
        put_file(in_manifests("1"), "new", 0600);
        assert_string_equal(scan_opens(), "1 " B_FILE);
        assert_true(stands(a1));
        assert_true(bytes_are(find_entry("0")->bytes, find_entry("0")->len, ""));
        assert_string_equal(scan_opens(), "");
        assert_int_equal(unlink(in_manifests("0")), 0);
        apply_ok(step_of(STEP_REMOVE, B_FILE, NULL));
        assert_string_equal(scan_opens(), "");
        assert_int_equal(snapshot.n_present, 2);
        assert_int_equal(snapshot.n_written, 1);
        assert_true(stands(a1));
        assert_true(is_remembered(a1));
}

static void another_store_reads_all(void **unused) {
        (void)unused;
        settle();
        open_store();
        assert_string_equal(scan_opens(), A_FILE " " A_FILE);
        store = store_free(store);
        assert_int_equal(try_open(true), 0);
        assert_string_equal(scan_opens(), A_FILE " " A_FILE);
        assert_string_equal(scan_opens(), "");
        assert_true(is_remembered(a1));
}

static void what_is_being_written_is_read_always(void **unused) {
        (void)unused;
        put_file(in_state("next/" A_FILE), a2, 0600);
        ahead = RESTED;
        for (int i = 0; i < 3; i++) {
                assert_string_equal(scan_opens(), i == 0 ? A_FILE " " A_FILE " " A_FILE : A_FILE);
                assert_true(bytes_are(snapshot.written[0].next, snapshot.written[0].next_len, a2));
                assert_true(is_remembered(a1));
        }
        put_file(in_state("next/" A_FILE), "{}", 0600);
        put_file(in_state("next/" B_FILE), b1, 0600);
        scan();
        assert_non_null(strstr(snapshot.warning, "damaged"));
        assert_null(snapshot.written[0].next);
        assert_int_equal(snapshot.n_written, 2);
        assert_null(snapshot.written[1].bytes);
        assert_true(bytes_are(snapshot.written[1].next, snapshot.written[1].next_len, b1));
        assert_int_equal(unlink(in_state("next/" A_FILE)), 0);
        assert_int_equal(unlink(in_state("next/" B_FILE)), 0);
        assert_string_equal(scan_opens(), "");
        assert_int_equal(snapshot.n_written, 1);
        assert_null(snapshot.written[0].next);
}

static void what_a_link_leads_to_is_read_always(void **unused) {
        _cleanup_free_ char *other = altered('x');

        (void)unused;
        put_file(in_dir(base, "target"), a1, 0600);
        put_link(in_manifests("link"), "../target");
        ahead = RESTED;
        for (int i = 0; i < 3; i++) {
                scan();
                assert_true(bytes_are(find_entry("link")->bytes, find_entry("link")->len, i == 2 ? other : a1));
                if (i == 1)
                        overwrite(in_dir(base, "target"), other);
        }
}

/* ---- what changed is seen ---- */

static void is_overwritten(const char *path) {
        _cleanup_free_ char *other = altered('x');

        overwrite(path, other);
}

static void is_replaced(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        assert_int_equal(link(path, in_dir(base, "kept")), 0); /* or the inode number would be free for the new one */
        put_file(in_dir(base, "new"), a1, 0600);
        is_overwritten(in_dir(base, "new"));
        assert_int_equal(utimensat(AT_FDCWD, in_dir(base, "new"), (struct timespec[]){ st.st_atim, st.st_mtim }, 0), 0);
        assert_int_equal(rename(in_dir(base, "new"), path), 0);
}

static void is_made_anew(const char *path) {
        assert_int_equal(unlink(path), 0);
        put_file(path, a1, 0600);
        is_overwritten(path);
}

static void is_cut(const char *path) {
        assert_int_equal(truncate(path, 10), 0);
}

static void is_closed_to_others_no_more(const char *path) {
        assert_int_equal(chmod(path, 0644), 0);
}

static void becomes_a_link(const char *path) {
        assert_int_equal(rename(path, in_dir(base, "kept")), 0);
        put_link(path, in_dir(base, "kept"));
}

static void becomes_a_directory(const char *path) {
        assert_int_equal(unlink(path), 0);
        put_dir(path, 0700);
}

static void is_deleted(const char *path) {
        assert_int_equal(unlink(path), 0);
}

static void goes_and_comes_back(const char *path) {
        assert_int_equal(rename(path, in_dir(base, "kept")), 0);
        assert_int_equal(rename(in_dir(base, "kept"), path), 0);
}

static void becomes_too_large(const char *path) {
        assert_int_equal(truncate(path, MANIFEST_KUBELET_MAX), 0);
}

static const struct ChangeRow {
        const char *name;
        void (*change)(const char *path);
        const char *bytes; /* "x": as altered; "a": as they were; NULL: none */
        EntryKind kind;
        bool mode_wrong, gone, damaged;
} change_rows[] = {
        { .name = "overwritten in place, mtime set back", .change = is_overwritten, .bytes = "x" },
        { .name = "replaced by another inode of the same mtime", .change = is_replaced, .bytes = "x" },
        { .name = "deleted and made anew", .change = is_made_anew, .bytes = "x" },
        { .name = "cut", .change = is_cut, .bytes = "{\"apiVersi", .damaged = true },
        { .name = "too large", .change = becomes_too_large, .damaged = true },
        { .name = "another mode", .change = is_closed_to_others_no_more, .bytes = "a", .mode_wrong = true },
        { .name = "moved away and back", .change = goes_and_comes_back, .bytes = "a" },
        { .name = "a link", .change = becomes_a_link, .kind = ENTRY_LINK, .damaged = true },
        { .name = "a directory", .change = becomes_a_directory, .kind = ENTRY_DIRECTORY, .damaged = true },
        { .name = "deleted", .change = is_deleted, .gone = true },
};

static void change_row(void **data) {
        const struct ChangeRow *row = *data;
        _cleanup_free_ char *other = NULL;
        const char *want;

        (void)set_up(NULL);
        other = altered('x');
        want = streq(row->bytes, "x") ? other : streq(row->bytes, "a") ? a1 : row->bytes;
        settle();
        row->change(in_manifests(A_FILE));
        for (int i = 0; i < 2; i++) {
                const PlanEntry *e;

                scan();
                e = find_entry(A_FILE);
                assert_int_equal(!e, row->gone);
                assert_int_equal(snapshot.n_present, row->gone ? 0 : 1);
                assert_true(is_remembered(a1));
                if (!e)
                        continue;
                assert_int_equal(e->kind, row->kind);
                assert_int_equal(e->mode_wrong, row->mode_wrong);
                assert_false(e->unreadable);
                assert_true(bytes_are(e->bytes, e->len, want));
        }
        (void)tear_down(NULL);
}

static void remembered_row(void **data) {
        const struct ChangeRow *row = *data;
        _cleanup_free_ char *other = NULL;

        (void)set_up(NULL);
        other = altered('x');
        settle();
        row->change(in_state("manifests/" A_FILE));
        for (int i = 0; i < 2; i++) {
                scan();
                assert_int_equal(snapshot.warning != NULL, row->damaged);
                assert_true(is_remembered(row->damaged || row->gone ? NULL : *row->bytes == 'x' ? other : a1));
                assert_string_equal(snapshot.written[0].name, "a");
                assert_true(stands(a1));
        }
        (void)tear_down(NULL);
}

static void unreadable_file_is_seen(void **unused) {
        (void)unused;
        if (geteuid() == 0)
                skip();
        settle();
        assert_int_equal(chmod(in_manifests(A_FILE), 0), 0);
        for (int i = 0; i < 2; i++) {
                scan();
                assert_true(find_entry(A_FILE)->unreadable);
                assert_null(find_entry(A_FILE)->bytes);
        }
        assert_int_equal(chmod(in_manifests(A_FILE), 0600), 0);
        scan();
        assert_true(stands(a1));
}

/* Bytes that were let through only because they stood as well are looked at when they do not any more. */
static void damage_that_stood_is_no_manifest(void **unused) {
        (void)unused;
        put_file(in_manifests(A_FILE), "{}", 0600);
        put_file(in_state("manifests/" A_FILE), "{}", 0600);
        settle();
        assert_true(is_remembered("{}"));
        assert_null(snapshot.warning);
        put_file(in_manifests(A_FILE), a1, 0600);
        for (int i = 0; i < 2; i++) {
                scan();
                assert_true(is_remembered(NULL));
                assert_non_null(strstr(snapshot.warning, "damaged"));
        }
        overwrite(in_manifests(A_FILE), a1);
        put_file(in_state("manifests/" A_FILE), a1, 0600);
        scan();
        assert_true(is_remembered(a1));
        assert_null(snapshot.warning);
}

/* ---- stamps that do not tell ---- */

static void change_at_once_is_seen(void **unused) {
        _cleanup_free_ char *other = altered('x');

        (void)unused;
        for (int i = 0; i < 300; i++) {
                const char *bytes = i % 2 ? a1 : other;

                overwrite(in_manifests(A_FILE), bytes);
                overwrite(in_state("manifests/" A_FILE), bytes);
                scan();
                assert_true(stands(bytes));
                assert_true(is_remembered(bytes));
        }
}

static void young_files_are_read_again(void **unused) {
        (void)unused;
        for (int i = 0; i < 3; i++)
                assert_string_equal(scan_opens(), A_FILE " " A_FILE);
        ahead = RESTED;
        assert_string_equal(scan_opens(), A_FILE " " A_FILE);
        assert_string_equal(scan_opens(), "");
}

/* A page of a file that takes writes without a new stamp, as one that is written to in the clock's same tick does. */
static char *map_page(const char *path) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        char *page, *image;

        assert_true(fd >= 0);
        page = mmap(NULL, strlen(a1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(page != MAP_FAILED);
        assert_int_equal(close(fd), 0);
        image = memmem(page, strlen(a1), "\"one\"", 5);
        assert_non_null(image);
        image[3] = 'e';
        return image + 3;
}

static void unmap_page(char *image_end) {
        const char *at = strstr(a1, "\"one\"");

        assert_int_equal(munmap(image_end - (at + 3 - a1), strlen(a1)), 0);
}

static const struct SilentRow {
        const char *name;
        time_t read, often, scan; /* how far the clock is ahead; often: at one more scan between the two, or 0 */
        bool seen;                /* whether the change must be seen */
} silent_rows[] = {
        { "unseen for a while", RESTED, 0, RESTED, false },
        { "unseen a little later", RESTED, 0, RESTED + BELIEVED, false },
        { "seen in a young file", 0, 0, 0, true },
        { "seen at last", RESTED, 0, RESTED + FORGOTTEN, true },
        { "seen at last however often one looks", RESTED, RESTED + BELIEVED, RESTED + FORGOTTEN, true },
        { "seen after the clock was set back", RESTED, 0, RESTED - 10, true },
        { "seen in a file of the future", -RESTED, 0, -RESTED, true },
        { "seen in a file that was of the future", -RESTED, 0, RESTED, true },
};

static void silent_row(void **data) {
        const struct SilentRow *row = *data;

        (void)set_up(NULL);
        for (int i = 0; i < 2; i++) {
                const char *path = i == 0 ? in_manifests(A_FILE) : in_state("manifests/" A_FILE);
                _cleanup_free_ char *other = altered('x');
                char *image_end = map_page(path);
                struct stat before, after;

                ahead = row->read;
                scan();
                assert_int_equal(stat(path, &before), 0);
                *image_end = 'x';
                assert_int_equal(stat(path, &after), 0);
                if (row->often) {
                        ahead = row->often;
                        scan();
                }
                ahead = row->scan;
                scan();
                /* Where the page was written to the disk meanwhile, the change has a stamp. */
                if (row->seen ||
                    (before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec))
                        assert_true(i == 0 ? stands(row->seen ? other : a1) : is_remembered(row->seen ? other : a1));
                unmap_page(image_end);
        }
        (void)tear_down(NULL);
}

/* ---- the rule itself ---- */

static void any_other_look_is_another_file(void **unused) {
        const Seen seen = { .at = 1000,
                            .st = { .st_dev = 1,
                                    .st_ino = 2,
                                    .st_mode = S_IFREG | 0600,
                                    .st_uid = 3,
                                    .st_size = 4,
                                    .st_mtim = { 997, 5 },
                                    .st_ctim = { 997, 6 } } };
        struct stat others[9];
        Seen young = seen;

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                others[i] = seen.st;
        others[0].st_dev++;
        others[1].st_ino++;
        others[2].st_mode |= 04;
        others[3].st_uid++;
        others[4].st_size++;
        others[5].st_mtim.tv_sec--;
        others[6].st_mtim.tv_nsec++;
        others[7].st_ctim.tv_sec--;
        others[8].st_ctim.tv_nsec++;
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                assert_false(seen_holds(&seen, &others[i], 1000));
        assert_true(seen_holds(&seen, &seen.st, 1000));
        assert_true(seen_holds(&seen, &seen.st, 1300));
        assert_false(seen_holds(&seen, &seen.st, 1301));
        assert_false(seen_holds(&seen, &seen.st, 999));
        young.st.st_mtim.tv_sec++;
        assert_false(seen_holds(&young, &young.st, 1000));
        young = seen;
        young.st.st_ctim.tv_sec++;
        assert_false(seen_holds(&young, &young.st, 1000));
        young = seen;
        young.st.st_mtim.tv_sec = (time_t)INT64_MIN;
        assert_true(seen_holds(&young, &young.st, 1000));
        young.st.st_mode = S_IFLNK | 0777;
        assert_false(seen_holds(&young, &young.st, 1000));
}

/* ---- scans that fail ---- */

/* Behind the manifest directory, so that all of its bytes are shared when it fails. */
static void failed_scan_leaves_the_last_one(void **unused) {
        StoreSnapshot before;
        int next_fd;

        (void)unused;
        put_file(in_manifests("new"), "new", 0600);
        settle();
        before = snapshot;
        put_file(in_manifests("newer"), "newer", 0600);
        next_fd = store->next_fd;
        store->next_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(store_scan(store, &snapshot, NULL), -ENOTDIR);
                assert_memory_equal(&before, &snapshot, sizeof(before));
                assert_true(stands(a1));
                assert_true(is_remembered(a1));
        }
        assert_int_equal(close(store->next_fd), 0);
        store->next_fd = next_fd;
        assert_string_equal(scan_opens(), "newer");
        assert_true(stands(a1));
        assert_true(is_remembered(a1));
}

/* The second scan fails somewhere; what the first one found is there still, and a third one finds it too. */
static int scan_body(void *unused) {
        const StoreOptions options = { .manifest_dir = manifests, .state_dir = state };
        _cleanup_store_ Store *s = NULL;
        StoreSnapshot seen = { 0 };
        int r = store_open(&options, &s, NULL), again;

        (void)unused;
        if (r == 0)
                r = store_scan(s, &seen, NULL);
        if (r < 0)
                return r;
        r = store_scan(s, &seen, NULL);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(seen.n_present, 3);
                assert_int_equal(seen.n_written, 2);
                assert_true(bytes_are(seen.present[1].bytes, seen.present[1].len, BARE("b", "1")));
                assert_true(bytes_are(seen.present[2].bytes, seen.present[2].len, "x"));
                assert_true(bytes_are(seen.written[0].bytes, seen.written[0].len, BARE("a", "1")));
                assert_true(bytes_are(seen.written[1].bytes, seen.written[1].len, BARE("b", "1")));
                again = store_scan(s, &seen, NULL);
                r = r == 0 ? again : r;
        }
        return r;
}

static void scanning_again_survives_out_of_memory(void **unused) {
        (void)unused;
        apply_ok(step_of(STEP_REPLACE, A_FILE, BARE("a", "1")));
        apply_ok(step_of(STEP_CREATE, B_FILE, BARE("b", "1")));
        put_file(in_manifests(A_FILE), "other", 0600);
        put_file(in_manifests("x"), "x", 0600);
        put_file(in_state("next/" B_FILE), "damaged", 0600);
        store = store_free(store);
        ahead = RESTED;
        test_oom(scan_body, NULL);
}

int main(void) {
        const struct CMUnitTest fixed[] = {
                SCAN_TEST(what_rested_is_not_read_again),
                SCAN_TEST(only_what_changed_is_read_again),
                SCAN_TEST(another_store_reads_all),
                SCAN_TEST(what_is_being_written_is_read_always),
                SCAN_TEST(what_a_link_leads_to_is_read_always),
                SCAN_TEST(unreadable_file_is_seen),
                SCAN_TEST(damage_that_stood_is_no_manifest),
                SCAN_TEST(change_at_once_is_seen),
                SCAN_TEST(young_files_are_read_again),
                cmocka_unit_test(any_other_look_is_another_file),
                SCAN_TEST(failed_scan_leaves_the_last_one),
                SCAN_TEST(scanning_again_survives_out_of_memory),
        };
        enum { FIXED = ARRAY_SIZE(fixed), CHANGES = ARRAY_SIZE(change_rows), SILENT = ARRAY_SIZE(silent_rows) };
        struct CMUnitTest tests[FIXED + 2 * CHANGES + SILENT];
        size_t n = FIXED;

        memcpy(tests, fixed, sizeof(fixed));
        for (size_t i = 0; i < CHANGES; i++) {
                void *row = (void *)(uintptr_t)&change_rows[i];

                tests[n++] = (struct CMUnitTest){ .name = change_rows[i].name,
                                                  .test_func = change_row,
                                                  .initial_state = row };
                tests[n++] = (struct CMUnitTest){ .name = change_rows[i].name,
                                                  .test_func = remembered_row,
                                                  .initial_state = row };
        }
        for (size_t i = 0; i < SILENT; i++)
                tests[n++] = (struct CMUnitTest){ .name = silent_rows[i].name,
                                                  .test_func = silent_row,
                                                  .initial_state = (void *)(uintptr_t)&silent_rows[i] };
        return _cmocka_run_group_tests("store_scan", tests, n, NULL, NULL);
}
