/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"
#include "io/names.h"
#include "tmpdir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char *dir;
static int dir_fd;

static int set_up(void **unused) {
        (void)unused;
        dir = tmpdir_new();
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0;
}

static int tear_down(void **unused) {
        (void)unused;
        (void)close(dir_fd);
        tmpdir_free(dir);
        return 0;
}

/* ---- reading ---- */

static void put_fifo(const char *path) {
        assert_int_equal(mkfifo(path, 0600), 0);
}

static void put_socket(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        assert_true(strlen(path) < sizeof(address.sun_path));
        strcpy(address.sun_path, path);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
}

typedef enum Made { NOTHING, A_FILE, A_LINK, A_DIRECTORY, A_FIFO, A_SOCKET } Made;

static const struct ReadRow {
        const char *name;
        Made made;
        mode_t mode;
        bool check, follow;
        size_t max;
        int want;
        const char *say; /* in the message */
} read_rows[] = {
        { "a file is read", A_FILE, 0600, true, false, 100, 0, NULL },
        { "a file of exactly the limit is read", A_FILE, 0600, true, false, 5, 0, NULL },
        { "a file above the limit is refused", A_FILE, 0600, true, false, 4, -EFBIG, "larger than 4 bytes" },
        { "a missing file", NOTHING, 0, true, false, 100, -ENOENT, "x: No such file" },
        { "a file that the group may write is refused", A_FILE, 0660, true, false, 100, -EPERM, "writable by group" },
        { "a file that others may write is refused", A_FILE, 0606, true, false, 100, -EPERM, "mode 0606" },
        { "it is read where that is not checked", A_FILE, 0666, false, false, 100, 0, NULL },
        { "a file that others may read is read", A_FILE, 0644, true, false, 100, 0, NULL },
        { "a link is refused", A_LINK, 0, true, false, 100, -ELOOP, "symbolic link" },
        { "a link is refused without checks too", A_LINK, 0, false, false, 100, -ELOOP, "symbolic link" },
        { "a link is followed where that is wanted", A_LINK, 0, false, true, 100, 0, NULL },
        { "a followed link's target is checked", A_LINK, 0, true, true, 100, -EPERM, "writable by group" },
        { "a directory", A_DIRECTORY, 0700, false, true, 100, -EISDIR, "is a directory" },
        { "a pipe does not block", A_FIFO, 0, true, false, 100, -EINVAL, "not a regular file" },
        { "a pipe does not block when followed and checked", A_FIFO, 0, true, true, 100, -EINVAL, "regular" },
        { "a socket", A_SOCKET, 0, false, true, 100, -EINVAL, "not a regular file" },
};

static void make(Made made, const char *path, mode_t mode) {
        if (made == A_FILE)
                put_file(path, "hello", mode);
        if (made == A_DIRECTORY)
                put_dir(path, mode);
        if (made == A_FIFO)
                put_fifo(path);
        if (made == A_SOCKET)
                put_socket(path);
        if (made == A_LINK) {
                put_file(in_dir(dir, "target"), "hello", 0666);
                put_link(path, "target");
        }
}

static void read_row(void **state) {
        const struct ReadRow *row = *state;
        _cleanup_free_ char *data = NULL;
        size_t len = 99;
        Err err = { 0 };
        int r;

        (void)set_up(NULL);
        make(row->made, in_dir(dir, "x"), row->mode);
        r = file_read(dir_fd, "x", row->max, (FileTrust){ .check = row->check, .follow = row->follow }, &data, &len,
                      &err);
        assert_int_equal(r, row->want);
        if (r == 0) {
                assert_string_equal(data, "hello");
                assert_int_equal(len, 5);
                assert_string_equal(err.message, "");
        } else {
                assert_null(data);
                assert_non_null(strstr(err.message, row->say));
                assert_true(startswith(err.message, "x: "));
        }
        (void)tear_down(NULL);
}

static void strangers_file_is_refused(void **unused) {
        struct stat st = { .st_mode = S_IFREG | 0600, .st_uid = geteuid() };
        Err err = { 0 };

        (void)unused;
        assert_int_equal(file_check_trust(&st, "x", &err), 0);
        st.st_uid = 0;
        assert_int_equal(file_check_trust(&st, "x", &err), 0);
        st.st_uid = geteuid() + 12345;
        assert_int_equal(file_check_trust(&st, "x", &err), -EPERM);
        assert_non_null(strstr(err.message, "owned by user"));
}

static void empty_file_is_read(void **unused) {
        _cleanup_free_ char *data = NULL;
        size_t len = 99;

        (void)unused;
        put_file(in_dir(dir, "x"), "", 0600);
        assert_int_equal(file_read(dir_fd, "x", 0, (FileTrust){ .check = true }, &data, &len, NULL), 0);
        assert_int_equal(len, 0);
        assert_string_equal(data, "");
}

/* A file that says nothing of its size, as those of /proc. */
static void file_of_unknown_size_is_read(void **unused) {
        _cleanup_free_ char *data = NULL;
        size_t len;

        (void)unused;
        assert_int_equal(file_read(AT_FDCWD, "/proc/self/status", 1 << 20, (FileTrust){ 0 }, &data, &len, NULL), 0);
        assert_true(len > 100);
        assert_int_equal(strlen(data), len);
}

static void growing_stream_is_cut_off(void **unused) {
        char *data = NULL;
        size_t len;
        int pipe_fds[2];
        char block[20000];

        (void)unused;
        memset(block, 'x', sizeof(block));
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(write(pipe_fds[1], block, sizeof(block)), sizeof(block));
        assert_int_equal(close(pipe_fds[1]), 0);
        assert_int_equal(file_read_fd(pipe_fds[0], sizeof(block) - 1, 0, &data, &len), -EFBIG);
        assert_null(data);
        close(pipe_fds[0]);
}

static void pipe_is_read_to_its_end(void **unused) {
        _cleanup_free_ char *data = NULL;
        char path[64], block[20000];
        size_t len;
        int pipe_fds[2];

        (void)unused;
        memset(block, 'x', sizeof(block));
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(write(pipe_fds[1], block, sizeof(block)), sizeof(block));
        assert_int_equal(close(pipe_fds[1]), 0);
        (void)snprintf(path, sizeof(path), "/dev/fd/%d", pipe_fds[0]);
        assert_int_equal(file_read(AT_FDCWD, path, sizeof(block), (FileTrust){ .follow = true }, &data, &len, NULL), 0);
        assert_int_equal(len, sizeof(block));
        close(pipe_fds[0]);
}

static void dash_is_standard_input(void **unused) {
        _cleanup_free_ char *data = NULL;
        int saved = dup(STDIN_FILENO), pipe_fds[2];
        size_t len;
        int r;

        (void)unused;
        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(write(pipe_fds[1], "in", 2), 2);
        assert_int_equal(close(pipe_fds[1]), 0);
        assert_int_equal(dup2(pipe_fds[0], STDIN_FILENO), STDIN_FILENO);
        close(pipe_fds[0]);
        r = file_read(AT_FDCWD, "-", 100, (FileTrust){ .follow = true }, &data, &len, NULL);
        (void)dup2(saved, STDIN_FILENO);
        (void)close(saved);
        assert_int_equal(r, 0);
        assert_string_equal(data, "in");
}

static void dash_is_a_name_where_trust_counts(void **unused) {
        char *data = NULL;
        size_t len;

        (void)unused;
        assert_int_equal(file_read(dir_fd, "-", 100, (FileTrust){ .check = true }, &data, &len, NULL), -ENOENT);
}

static void unreadable_file_says_so(void **unused) {
        char *data = NULL;
        size_t len;
        Err err = { 0 };

        (void)unused;
        if (geteuid() == 0)
                skip();
        put_file(in_dir(dir, "x"), "hello", 0);
        assert_int_equal(file_read(dir_fd, "x", 100, (FileTrust){ .check = true }, &data, &len, &err), -EACCES);
        assert_string_equal(err.message, "x: Permission denied");
}

/* ---- writing ---- */

static void write_is_atomic_and_has_its_mode(void **unused) {
        static const mode_t masks[] = { 0, 002, 022, 077, 0777 };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
                mode_t saved = umask(masks[i]);
                int r = file_write_at(dir_fd, ".tmp", "x", "hello", 5, 0640, NULL);

                (void)umask(saved);
                assert_int_equal(r, 0);
                assert_int_equal(mode_of(in_dir(dir, "x")), 0640);
                assert_true(file_is(in_dir(dir, "x"), "hello"));
                assert_string_equal(names_in(dir), "x");
        }
}

static void write_replaces_an_interrupted_one(void **unused) {
        (void)unused;
        put_file(in_dir(dir, ".tmp"), "half of it, and longer than the new one", 0600);
        assert_int_equal(file_write_at(dir_fd, ".tmp", "x", "hello", 5, 0600, NULL), 0);
        assert_true(file_is(in_dir(dir, "x"), "hello"));
        assert_string_equal(names_in(dir), "x");
}

static void update_touches_only_what_differs(void **unused) {
        static const char *const others[] = { "hallo", "hello, and more", "h" };
        struct stat before, after;

        (void)unused;
        assert_int_equal(file_update_at(dir_fd, ".tmp", "x", "hello", 5, 0600, NULL), 0);
        assert_int_equal(stat(in_dir(dir, "x"), &before), 0);
        assert_int_equal(file_update_at(dir_fd, ".tmp", "x", "hello", 5, 0600, NULL), 0);
        assert_int_equal(stat(in_dir(dir, "x"), &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                put_file(in_dir(dir, "x"), others[i], 0600);
                assert_int_equal(file_update_at(dir_fd, ".tmp", "x", "hello", 5, 0600, NULL), 0);
                assert_true(file_is(in_dir(dir, "x"), "hello"));
        }
        /* What others may write to is made anew, whatever it holds. */
        assert_int_equal(chmod(in_dir(dir, "x"), 0666), 0);
        assert_int_equal(file_update_at(dir_fd, ".tmp", "x", "hello", 5, 0600, NULL), 0);
        assert_int_equal(stat(in_dir(dir, "x"), &after), 0);
        assert_int_equal(after.st_mode & 07777, 0600);
}

static void temporary_name_that_is_a_link_is_not_followed(void **unused) {
        (void)unused;
        put_file(in_dir(dir, "victim"), "precious", 0600);
        put_link(in_dir(dir, ".tmp"), "victim");
        assert_int_equal(file_write_at(dir_fd, ".tmp", "x", "hello", 5, 0600, NULL), 0);
        assert_true(file_is(in_dir(dir, "victim"), "precious"));
        assert_true(file_is(in_dir(dir, "x"), "hello"));
}

static void failed_rename_leaves_nothing(void **unused) {
        Err err = { 0 };

        (void)unused;
        put_dir(in_dir(dir, "x"), 0700);
        assert_int_equal(file_write_at(dir_fd, ".tmp", "x", "hello", 5, 0600, &err), -EISDIR);
        assert_string_equal(names_in(dir), "x");
        assert_non_null(strstr(err.message, "cannot rename .tmp to x"));
}

static void failed_write_leaves_nothing(void **unused) {
        struct rlimit saved, limit;
        char block[5000];
        Err err = { 0 };
        int r;

        (void)unused;
        memset(block, 'x', sizeof(block));
        put_file(in_dir(dir, "x"), "old", 0600);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &saved), 0);
        limit = (struct rlimit){ .rlim_cur = 4096, .rlim_max = saved.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        (void)signal(SIGXFSZ, SIG_IGN);
        r = file_write_at(dir_fd, ".tmp", "x", block, sizeof(block), 0600, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &saved), 0);
        assert_int_equal(r, -EFBIG);
        assert_true(file_is(in_dir(dir, "x"), "old"));
        assert_string_equal(names_in(dir), "x");
        assert_non_null(strstr(err.message, "cannot write .tmp"));
}

/* ---- names ---- */

static bool keep_b(const char *name) {
        return name[0] == 'b';
}

static void names_are_sorted_by_bytes(void **unused) {
        static const char *const files[] = { "b", "B", "a", "\xc3\xa4", ".x", "b2", "b10" };
        Names names = { 0 };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                put_file(in_dir(dir, files[i]), "", 0600);
        assert_int_equal(names_read(dir_fd, NULL, &names), 0);
        assert_int_equal(names.n, 7);
        assert_string_equal(names.items[0], ".x");
        assert_string_equal(names.items[1], "B");
        assert_string_equal(names.items[6], "\xc3\xa4");
        names_done(&names);
        /* Again, from the same descriptor. */
        assert_int_equal(names_read(dir_fd, keep_b, &names), 0);
        assert_int_equal(names.n, 3);
        assert_string_equal(names.items[1], "b10");
        assert_int_equal(names_add(&names, "b10"), 0);
        assert_int_equal(names_add(&names, "a"), 0);
        names_sort_unique(&names);
        assert_int_equal(names.n, 4);
        assert_string_equal(names.items[0], "a");
        assert_string_equal(names.items[2], "b10");
        names_done(&names);
        names_sort_unique(&names);
        assert_int_equal(names_read(-1, NULL, &names), -EBADF);
}

/* ---- out of memory ---- */

static int read_body(void *unused) {
        _cleanup_free_ char *data = NULL;
        _cleanup_names_ Names names = { 0 };
        Err err = { 0 };
        size_t len;
        int r = file_read(AT_FDCWD, "/proc/self/status", 1 << 20, (FileTrust){ 0 }, &data, &len, &err);

        (void)unused;
        if (r == -ENOMEM)
                assert_string_equal(err.message, "out of memory");
        return r < 0 ? r : names_read(dir_fd, NULL, &names);
}

static void reading_survives_out_of_memory(void **unused) {
        (void)unused;
        put_file(in_dir(dir, "a"), "", 0600);
        put_file(in_dir(dir, "b"), "", 0600);
        test_oom(read_body, NULL);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest fixed[] = {
                cmocka_unit_test(strangers_file_is_refused),
                WITH_DIR(empty_file_is_read),
                cmocka_unit_test(file_of_unknown_size_is_read),
                cmocka_unit_test(growing_stream_is_cut_off),
                cmocka_unit_test(pipe_is_read_to_its_end),
                cmocka_unit_test(dash_is_standard_input),
                WITH_DIR(dash_is_a_name_where_trust_counts),
                WITH_DIR(unreadable_file_says_so),
                WITH_DIR(write_is_atomic_and_has_its_mode),
                WITH_DIR(write_replaces_an_interrupted_one),
                WITH_DIR(update_touches_only_what_differs),
                WITH_DIR(temporary_name_that_is_a_link_is_not_followed),
                WITH_DIR(failed_rename_leaves_nothing),
                WITH_DIR(failed_write_leaves_nothing),
                WITH_DIR(names_are_sorted_by_bytes),
                WITH_DIR(reading_survives_out_of_memory),
        };
        struct CMUnitTest tests[ARRAY_SIZE(fixed) + ARRAY_SIZE(read_rows)];

        memcpy(tests, fixed, sizeof(fixed));
        for (size_t i = 0; i < ARRAY_SIZE(read_rows); i++)
                tests[ARRAY_SIZE(fixed) + i] = (struct CMUnitTest){
                        .name = read_rows[i].name,
                        .test_func = read_row,
                        .initial_state = (void *)(uintptr_t)&read_rows[i],
                };
        return _cmocka_run_group_tests("file", tests, ARRAY_SIZE(tests), NULL, NULL);
}
