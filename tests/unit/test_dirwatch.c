/* SPDX-License-Identifier: Apache-2.0 */
/* Watched directories and files, on real ones: what is told, and what becomes of the watch when they go. inotify queues
 * its events before the call that caused them returns, so nothing here has to wait. */
#include "io/dirwatch.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

typedef struct Seen {
        char *dir;
        DirWatch *w;
        Buf text; /* "0 created name\n" ... */
} Seen;

static void on_event(void *user, unsigned target, DirEvent event, const char *name) {
        static const char *const words[] = {
                [DIR_EVENT_CHANGED] = "changed",
                [DIR_EVENT_WRITING] = "writing",
                [DIR_EVENT_CLOSED] = "closed",
                [DIR_EVENT_LOST] = "lost",
        };
        Seen *s = user;

        buf_printf(&s->text, "%u %s %s\n", target, words[event], name);
}

static int setup(void **state) {
        Seen *s = calloc(1, sizeof(*s));
        Err err = { 0 };

        assert_non_null(s);
        s->dir = tmpdir_new();
        put_dir(in_dir(s->dir, "d"), 0755);
        assert_int_equal(dirwatch_new(on_event, s, &s->w, &err), 0);
        assert_int_equal(dirwatch_set(s->w, 0, in_dir(s->dir, "d"), false), 0);
        *state = s;
        return 0;
}

static int teardown(void **state) {
        Seen *s = *state;

        dirwatch_free(s->w);
        tmpdir_free(s->dir);
        buf_done(&s->text);
        free(s);
        return 0;
}

/* What was told since the last call. */
static const char *told(Seen *s) {
        static char text[65536];

        buf_done(&s->text);
        s->text = (Buf)BUF_INIT;
        assert_int_equal(dirwatch_read(s->w), 0);
        (void)snprintf(text, sizeof(text), "%s", buf_text(&s->text));
        return text;
}

static bool tells(Seen *s, const char *line) {
        return strstr(told(s), line) != NULL;
}

static const char *at(Seen *s, const char *name) {
        return in_dir(s->dir, name);
}

/* Whether target 0 follows what happens in its directory now. */
static void follows(Seen *s) {
        (void)told(s);
        put_file(at(s, "d/probe"), "x", 0644);
        assert_true(tells(s, "0 closed probe\n"));
        assert_int_equal(unlink(at(s, "d/probe")), 0);
        assert_string_equal(told(s), "0 changed probe\n");
}

/* ---- entries ---- */

static void test_an_entry_is_written(void **state) {
        Seen *s = *state;
        int fd = open(at(s, "d/a"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_string_equal(told(s), "0 changed a\n");
        assert_int_equal(write(fd, "x", 1), 1);
        assert_string_equal(told(s), "0 writing a\n");
        assert_int_equal(close(fd), 0);
        assert_string_equal(told(s), "0 closed a\n");
        assert_string_equal(told(s), "");
}

static void test_an_entry_changes(void **state) {
        Seen *s = *state;

        put_file(at(s, "d/a"), "x", 0600);
        (void)told(s);
        assert_int_equal(chmod(at(s, "d/a"), 0644), 0);
        assert_string_equal(told(s), "0 changed a\n");
        assert_int_equal(truncate(at(s, "d/a"), 0), 0);
        assert_string_equal(told(s), "0 writing a\n");
        assert_int_equal(rename(at(s, "d/a"), at(s, "d/b")), 0);
        assert_string_equal(told(s), "0 changed a\n0 changed b\n");
        assert_int_equal(rename(at(s, "d/b"), at(s, "out")), 0);
        assert_string_equal(told(s), "0 changed b\n");
        assert_int_equal(rename(at(s, "out"), at(s, "d/c")), 0);
        assert_string_equal(told(s), "0 changed c\n");
        assert_int_equal(unlink(at(s, "d/c")), 0);
        assert_string_equal(told(s), "0 changed c\n");
        put_link(at(s, "d/l"), "nowhere");
        assert_string_equal(told(s), "0 changed l\n");
        assert_int_equal(mkdir(at(s, "d/sub"), 0700), 0);
        assert_string_equal(told(s), "0 changed sub\n");
}

static void test_neighbours_are_not_told(void **state) {
        Seen *s = *state;

        put_file(at(s, "other"), "x", 0600);
        assert_string_equal(told(s), "");
}

static void test_the_descriptor_is_ready_when_something_is_told(void **state) {
        Seen *s = *state;
        struct pollfd p = { .fd = dirwatch_fd(s->w), .events = POLLIN };

        assert_int_equal(poll(&p, 1, 0), 0);
        put_file(at(s, "d/a"), "x", 0600);
        assert_int_equal(poll(&p, 1, 0), 1);
        (void)told(s);
        assert_int_equal(poll(&p, 1, 0), 0);
}

/* ---- files ---- */

static void test_a_file_hears_of_itself_only(void **state) {
        Seen *s = *state;

        assert_int_equal(dirwatch_set(s->w, 1, at(s, "d/conf"), true), 0);
        put_file(at(s, "d/conf"), "x", 0600);
        assert_true(tells(s, "1 closed conf\n"));
        put_file(at(s, "d/conf.new"), "y", 0600);
        assert_false(tells(s, "\n1 "));
        assert_int_equal(rename(at(s, "d/conf.new"), at(s, "d/conf")), 0);
        assert_string_equal(told(s), "0 changed conf.new\n0 changed conf\n1 changed conf\n");
}

static void test_a_file_comes_with_its_directories(void **state) {
        Seen *s = *state;

        assert_int_equal(dirwatch_set(s->w, 1, at(s, "x/y/conf"), true), 0);
        put_dir(at(s, "x"), 0755);
        assert_string_equal(told(s), "");
        put_dir(at(s, "x/y"), 0755);
        put_file(at(s, "x/y/conf"), "x", 0600);
        assert_true(tells(s, "1 lost \n"));
        put_file(at(s, "x/y/conf"), "y", 0600);
        assert_true(tells(s, "1 closed conf\n"));
}

static void test_relative_paths(void **state) {
        Seen *s = *state;
        int old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(old >= 0);
        assert_int_equal(chdir(s->dir), 0);
        assert_int_equal(dirwatch_set(s->w, 0, "d", false), 0);
        assert_int_equal(dirwatch_set(s->w, 1, "conf", true), 0);
        assert_int_equal(dirwatch_set(s->w, 2, "late", false), 0);
        put_file("conf", "x", 0600);
        assert_true(tells(s, "1 closed conf\n"));
        put_dir("late", 0755);
        assert_true(tells(s, "2 lost \n"));
        follows(s);
        assert_int_equal(fchdir(old), 0);
        assert_int_equal(close(old), 0);
}

/* ---- directories ---- */

static void test_deleted_and_made_again(void **state) {
        Seen *s = *state;

        /* Many file systems give the new one the inode number of the old one. */
        for (int i = 0; i < 5; i++) {
                assert_int_equal(rmdir(at(s, "d")), 0);
                assert_true(tells(s, "0 lost \n"));
                put_dir(at(s, "d"), 0755);
                assert_true(tells(s, "0 lost \n"));
                follows(s);
                assert_int_equal(rmdir(at(s, "d")), 0);
                put_dir(at(s, "d"), 0755);
                assert_true(tells(s, "0 lost \n"));
                follows(s);
        }
        assert_false(dirwatch_is_blind(s->w));
}

static void test_replaced_by_rename(void **state) {
        Seen *s = *state;

        put_dir(at(s, "new"), 0755);
        assert_int_equal(rename(at(s, "d"), at(s, "old")), 0);
        assert_int_equal(rename(at(s, "new"), at(s, "d")), 0);
        assert_true(tells(s, "0 lost \n"));
        put_file(at(s, "old/x"), "x", 0600);
        assert_string_equal(told(s), "");
        follows(s);
        /* Over an empty one, in one step. */
        put_dir(at(s, "new"), 0755);
        assert_int_equal(rename(at(s, "new"), at(s, "d")), 0);
        assert_true(tells(s, "0 lost \n"));
        follows(s);
}

static void test_late_with_missing_parents(void **state) {
        Seen *s = *state;

        assert_int_equal(dirwatch_set(s->w, 0, at(s, "a/b/c/d"), false), 0);
        assert_false(dirwatch_is_blind(s->w));
        put_dir(at(s, "a"), 0755);
        assert_string_equal(told(s), "");
        put_dir(at(s, "a/b"), 0755);
        put_dir(at(s, "a/b/c"), 0755);
        assert_string_equal(told(s), "");
        put_dir(at(s, "a/b/c/d"), 0755);
        assert_string_equal(told(s), "0 lost \n");
        put_file(at(s, "a/b/c/d/x"), "x", 0600);
        assert_true(tells(s, "0 closed x\n"));
        /* And away again, from above. */
        assert_int_equal(rename(at(s, "a/b/c"), at(s, "gone")), 0);
        assert_string_equal(told(s), "0 lost \n");
        put_dir(at(s, "a/b/c"), 0755);
        put_dir(at(s, "a/b/c/d"), 0755);
        assert_string_equal(told(s), "0 lost \n");
}

static void test_a_link(void **state) {
        Seen *s = *state;

        put_dir(at(s, "one"), 0755);
        put_dir(at(s, "two"), 0755);
        put_link(at(s, "l"), "one");
        assert_int_equal(dirwatch_set(s->w, 1, at(s, "l"), false), 0);
        put_file(at(s, "one/x"), "x", 0600);
        assert_true(tells(s, "1 closed x\n"));
        put_link(at(s, "l.new"), "two");
        assert_int_equal(rename(at(s, "l.new"), at(s, "l")), 0);
        assert_true(tells(s, "1 lost \n"));
        put_file(at(s, "one/x"), "y", 0600);
        assert_string_equal(told(s), "");
        put_file(at(s, "two/x"), "y", 0600);
        assert_true(tells(s, "1 closed x\n"));
}

static void test_a_file_in_the_way(void **state) {
        Seen *s = *state;

        assert_int_equal(rmdir(at(s, "d")), 0);
        put_file(at(s, "d"), "x", 0600);
        assert_true(tells(s, "0 lost \n"));
        assert_false(dirwatch_is_blind(s->w));
        assert_int_equal(unlink(at(s, "d")), 0);
        put_dir(at(s, "d"), 0755);
        assert_true(tells(s, "0 lost \n"));
        follows(s);
}

static void test_two_targets_share_a_directory(void **state) {
        Seen *s = *state;

        assert_int_equal(dirwatch_set(s->w, 1, at(s, "d/"), false), 0);
        assert_int_equal(dirwatch_set(s->w, 2, at(s, "d/sub"), false), 0); /* its parent is d */
        assert_int_equal(unlink(at(s, "d")), -1);
        put_file(at(s, "d/a"), "x", 0600);
        assert_true(tells(s, "0 closed a\n1 closed a\n"));
        assert_int_equal(dirwatch_set(s->w, 1, NULL, false), 0);
        follows(s);
        assert_int_equal(dirwatch_set(s->w, 0, at(s, "elsewhere"), false), 0);
        put_dir(at(s, "d/sub"), 0755);
        assert_string_equal(told(s), "2 lost \n");
}

static void test_watches_do_not_pile_up(void **state) {
        Seen *s = *state;
        char path[64], line[256];
        size_t watches = 0;
        FILE *f;

        for (int i = 0; i < 50; i++) {
                assert_int_equal(rename(at(s, "d"), at(s, "old")), 0);
                put_dir(at(s, "d"), 0755);
                (void)told(s);
                (void)snprintf(path, sizeof(path), "kept%d", i);
                assert_int_equal(rename(at(s, "old"), at(s, path)), 0);
                assert_int_equal(dirwatch_set(s->w, 1, at(s, path), false), 0);
                (void)told(s);
        }
        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", dirwatch_fd(s->w));
        f = fopen(path, "re");
        assert_non_null(f);
        while (fgets(line, sizeof(line), f))
                watches += strstr(line, "inotify wd:") != NULL;
        (void)fclose(f);
        assert_int_equal(watches, 3); /* d, the last kept one, and what both are in */
        follows(s);
}

/* ---- limits ---- */

static void read_until_lost(Seen *s) {
        /* A storm is read in portions. */
        for (int i = 0; i < 100; i++) {
                buf_done(&s->text);
                s->text = (Buf)BUF_INIT;
                assert_int_equal(dirwatch_read(s->w), 0);
                if (strstr(buf_text(&s->text), "0 lost \n"))
                        return;
        }
        fail_msg("nothing was told of events that were lost");
}

static void overflow(Seen *s, bool moved) {
        long limit;
        FILE *f;

        f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%ld", &limit), 1);
        (void)fclose(f);
        if (limit > 200000)
                skip();
        put_file(at(s, "d/a"), "x", 0600);
        put_file(at(s, "d/b"), "x", 0600);
        /* Equal events behind each other are one. */
        for (long i = 0; i < limit + 10; i++)
                assert_int_equal(chmod(at(s, i % 2 ? "d/a" : "d/b"), 0600), 0);
        if (!moved) {
                read_until_lost(s);
                return;
        }
        /* Missed. */
        assert_int_equal(rename(at(s, "d"), at(s, "old")), 0);
        put_dir(at(s, "d"), 0755);
        read_until_lost(s);
        follows(s);
}

static void test_overflow_tells_that_events_were_lost(void **state) {
        overflow(*state, false);
}

static void test_overflow_finds_a_directory_that_was_replaced(void **state) {
        overflow(*state, true);
}

static void test_what_cannot_be_watched_makes_blind(void **state) {
        Seen *s = *state;

        if (geteuid() == 0)
                skip();
        put_dir(at(s, "closed"), 0755);
        put_dir(at(s, "closed/d"), 0755);
        assert_int_equal(chmod(at(s, "closed/d"), 0), 0);
        assert_int_equal(dirwatch_set(s->w, 1, at(s, "closed/d"), false), 0);
        assert_true(dirwatch_is_blind(s->w));
        assert_int_equal(chmod(at(s, "closed/d"), 0755), 0);
        dirwatch_refresh(s->w);
        assert_false(dirwatch_is_blind(s->w));
}

static int set_two(void *user) {
        Seen *s = user;
        int r = dirwatch_set(s->w, 1, at(s, "d"), false);

        /* Without memory what was watched is watched still. */
        return r == 0 ? dirwatch_set(s->w, 1, NULL, false) : r;
}

static void test_out_of_memory(void **state) {
        Seen *s = *state;

        (void)test_oom(set_two, s);
        follows(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(test_an_entry_is_written),
                TEST(test_an_entry_changes),
                TEST(test_neighbours_are_not_told),
                TEST(test_the_descriptor_is_ready_when_something_is_told),
                TEST(test_a_file_hears_of_itself_only),
                TEST(test_a_file_comes_with_its_directories),
                TEST(test_relative_paths),
                TEST(test_deleted_and_made_again),
                TEST(test_replaced_by_rename),
                TEST(test_late_with_missing_parents),
                TEST(test_a_link),
                TEST(test_a_file_in_the_way),
                TEST(test_two_targets_share_a_directory),
                TEST(test_watches_do_not_pile_up),
                TEST(test_overflow_tells_that_events_were_lost),
                TEST(test_overflow_finds_a_directory_that_was_replaced),
                TEST(test_what_cannot_be_watched_makes_blind),
                TEST(test_out_of_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
