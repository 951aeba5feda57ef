/* SPDX-License-Identifier: Apache-2.0 */
#include "tmpdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

char *tmpdir_new(void) {
        const char *base = getenv("TMPDIR");
        char path[4096];
        char *dir;

        assert_true((size_t)snprintf(path, sizeof(path), "%s/daemonlet-test-XXXXXX", base ? base : "/tmp") <
                    sizeof(path));
        if (!mkdtemp(path))
                fail_msg("%s: %s", path, strerror(errno));
        dir = strdup(path);
        assert_non_null(dir);
        return dir;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
        (void)st;
        (void)type;
        (void)at;
        return remove(path);
}

/* A directory that a test closed must be opened before nftw can look into it. */
static int open_one(const char *path, const struct stat *st, int type, struct FTW *at) {
        (void)st;
        (void)at;
        return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

void tmpdir_free(char *dir) {
        (void)nftw(dir, open_one, 16, FTW_PHYS);
        if (nftw(dir, remove_one, 16, FTW_PHYS | FTW_DEPTH) < 0)
                fail_msg("%s: %s", dir, strerror(errno));
        free(dir);
}

const char *in_dir(const char *dir, const char *name) {
        static char paths[8][4096];
        static unsigned next;
        char *path = paths[next++ % ARRAY_SIZE(paths)];

        assert_true((size_t)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name) < sizeof(paths[0]));
        return path;
}

void put_dir(const char *path, mode_t mode) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                fail_msg("%s: %s", path, strerror(errno));
        assert_int_equal(chmod(path, mode), 0);
}

void put_file(const char *path, const char *text, mode_t mode) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0)
                fail_msg("%s: %s", path, strerror(errno));
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(fchmod(fd, mode), 0);
        assert_int_equal(close(fd), 0);
}

void put_link(const char *path, const char *target) {
        if (symlink(target, path) < 0)
                fail_msg("%s: %s", path, strerror(errno));
}

bool file_is(const char *path, const char *text) {
        _cleanup_free_ char *have = exists(path) ? test_read_file(path, NULL) : NULL;

        return streq(have, text);
}

bool exists(const char *path) {
        struct stat st;

        return lstat(path, &st) == 0;
}

mode_t mode_of(const char *path) {
        struct stat st;

        if (lstat(path, &st) < 0)
                fail_msg("%s: %s", path, strerror(errno));
        return st.st_mode & 07777;
}

const char *names_in(const char *path) {
        static char text[65536];
        struct dirent **entries;
        int n = scandir(path, &entries, NULL, alphasort);

        text[0] = 0;
        for (int i = 0; i < n; i++) {
                if (!streq(entries[i]->d_name, ".") && !streq(entries[i]->d_name, "..")) {
                        assert_true(strlen(text) + strlen(entries[i]->d_name) + 2 < sizeof(text));
                        if (text[0])
                                strcat(text, " ");
                        strcat(text, entries[i]->d_name);
                }
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        return text;
}

static Buf *state;

static int describe_one(const char *path, const struct stat *st, int type, struct FTW *at) {
        (void)type;
        (void)at;
        buf_printf(state, "%s %lu %o %u %ld %ld.%09ld %ld.%09ld\n", path, (unsigned long)st->st_ino, st->st_mode,
                   st->st_uid, (long)st->st_size, (long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                   (long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
        return 0;
}

char *tree_state(const char *path) {
        Buf text = BUF_INIT;
        char *taken;

        state = &text;
        assert_int_equal(nftw(path, describe_one, 16, FTW_PHYS), 0);
        state = NULL;
        taken = buf_take(&text, NULL);
        assert_non_null(taken);
        return taken;
}
