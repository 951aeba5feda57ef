/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *source_dir(void) {
        const char *dir = getenv("srcdir");

        return dir ? dir : ".";
}

const char *test_path(const char *path) {
        static char full[4096];

        assert_true((size_t)snprintf(full, sizeof(full), "%s/tests/%s", source_dir(), path) < sizeof(full));
        return full;
}

const char *test_shared(const char *path) {
        static char full[4096];
        const char *dir = getenv("SHARED_DIR");

        if (dir)
                assert_true((size_t)snprintf(full, sizeof(full), "%s/%s", dir, path) < sizeof(full));
        else
                assert_true((size_t)snprintf(full, sizeof(full), "%s/../shared/%s", source_dir(), path) < sizeof(full));
        return access(full, R_OK) == 0 ? full : NULL;
}

char *test_read_file(const char *path, size_t *ret_len) {
        FILE *f = fopen(path, "re");
        struct stat st;
        char *data;
        size_t len;

        if (!f)
                fail_msg("%s: %s", path, strerror(errno));
        assert_int_equal(fstat(fileno(f), &st), 0);
        data = malloc((size_t)st.st_size + 1);
        assert_non_null(data);
        len = fread(data, 1, (size_t)st.st_size, f);
        assert_int_equal(len, st.st_size);
        data[len] = 0;
        assert_int_equal(fclose(f), 0);
        if (ret_len)
                *ret_len = len;
        return data;
}

char *test_read(const char *path, size_t *ret_len) {
        return test_read_file(test_path(path), ret_len);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char **test_names(const char *path, size_t *ret_n) {
        DIR *d = opendir(test_path(path));
        char **names = NULL;
        size_t n = 0, cap = 0;

        if (!d)
                fail_msg("%s: %s", test_path(path), strerror(errno));
        for (struct dirent *e; (e = readdir(d));) {
                if (e->d_name[0] == '.')
                        continue;
                assert_true(ARRAY_GROW(names, n, cap));
                names[n] = strdup(e->d_name);
                assert_non_null(names[n++]);
        }
        assert_int_equal(closedir(d), 0);
        if (n == 0)
                fail_msg("%s is empty", test_path(path));
        qsort(names, n, sizeof(*names), compare_names);
        *ret_n = n;
        return names;
}

void test_names_free(char **names, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
}

void test_golden(const char *path, const char *text) {
        const char *update = getenv("UPDATE_GOLDEN");
        _cleanup_free_ char *want = NULL;

        if (update && streq(update, "1")) {
                FILE *f = fopen(test_path(path), "we");

                if (!f)
                        fail_msg("%s: %s", test_path(path), strerror(errno));
                assert_true(fputs(text, f) >= 0);
                assert_int_equal(fclose(f), 0);
                return;
        }
        want = test_read(path, NULL);
        if (!streq(want, text))
                fail_msg("%s differs (UPDATE_GOLDEN=1 writes it anew)\n--- expected\n%s\n--- got\n%s", path, want,
                         text);
}
