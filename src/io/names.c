/* SPDX-License-Identifier: Apache-2.0 */
#include "io/names.h"

#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

int names_add(Names *names, const char *name) {
        char *copy = strdup(name);

        if (!copy || !ARRAY_GROW(names->items, names->n, names->cap)) {
                free(copy);
                return -ENOMEM;
        }
        names->items[names->n++] = copy;
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

void names_sort_unique(Names *names) {
        size_t kept = 0;

        if (names->n == 0)
                return;
        qsort(names->items, names->n, sizeof(*names->items), compare_names);
        for (size_t i = 1; i < names->n; i++)
                if (streq(names->items[i], names->items[kept]))
                        free(names->items[i]);
                else
                        names->items[++kept] = names->items[i];
        names->n = kept + 1;
}

void names_done(Names *names) {
        for (size_t i = 0; i < names->n; i++)
                free(names->items[i]);
        free(names->items);
        *names = (Names){ 0 };
}

static int read_names(DIR *dir, bool (*keep)(const char *name), Names *names) {
        for (;;) {
                const struct dirent *e;

                errno = 0;
                e = readdir(dir);
                if (!e)
                        return -errno; /* 0 at the end */
                if (streq(e->d_name, ".") || streq(e->d_name, "..") || (keep && !keep(e->d_name)))
                        continue;
                if (names_add(names, e->d_name) < 0)
                        return -ENOMEM;
        }
}

int names_read(int dir_fd, bool (*keep)(const char *name), Names *ret) {
        _cleanup_fd_ int fd = file_open_at(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
        Names names = { 0 };
        DIR *dir;
        int r;

        if (fd < 0)
                return fd;
        dir = fdopendir(fd);
        if (!dir)
                return -errno;
        fd = -1;
        r = read_names(dir, keep, &names);
        (void)closedir(dir);
        if (r < 0) {
                names_done(&names);
                return r;
        }
        names_sort_unique(&names);
        *ret = names;
        return 0;
}
