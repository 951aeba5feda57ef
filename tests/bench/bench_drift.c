/* SPDX-License-Identifier: Apache-2.0 */
/* bench_drift MANIFESTS AWAY N PID [busy]: damages the manifests of the agent PID in turn, N times in five ways, and
 * prints how long each took to be right again, from just before the system call that damages to when the same bytes
 * with the same mode were seen to stand: `<way> <p50> <p99> <max> <p99 less what the agent waited for a processor>`,
 * microseconds, `all` last. AWAY is a directory of the same file system. Each time it waits until the agent is idle;
 * with busy it does not. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
        FILES_MAX = 16384,
        BYTES_MAX = 64 * 1024,
        REPAIR_MAX = 10000, /* milliseconds after which nobody repairs */
        IDLE = 2000,        /* microseconds without running that make an idle agent */
        LOOK = 200,
};

enum { UNLINK, EDIT, CUT, CHMOD, MOVE, N_WAYS };

static const char *const ways[] = { "unlink", "edit", "truncate", "chmod", "move" };

typedef struct File {
        char name[256];
        char *bytes;
        size_t len;
} File;

static File files[FILES_MAX];
static size_t n_files;
static int watch_fd, dir_fd, away_fd;

static _Noreturn void die(const char *what) {
        (void)fprintf(stderr, "bench_drift: %s: %s\n", what, strerror(errno));
        exit(1);
}

static double now_us(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static ssize_t read_whole(const char *name, char *buffer) {
        int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -1;
        n = read(fd, buffer, BYTES_MAX);
        (void)close(fd);
        return n;
}

static void learn_files(const char *path) {
        char buffer[BYTES_MAX];
        DIR *dir = opendir(path);

        if (!dir)
                die(path);
        for (const struct dirent *e; n_files < FILES_MAX && (e = readdir(dir));) {
                File *f = &files[n_files];
                ssize_t n;

                if (strncmp(e->d_name, "daemonlet_", 10) != 0)
                        continue;
                n = read_whole(e->d_name, buffer);
                f->bytes = n > 0 ? malloc((size_t)n) : NULL;
                if (!f->bytes)
                        die(e->d_name);
                memcpy(f->bytes, buffer, (size_t)n);
                memcpy(f->name, e->d_name, strlen(e->d_name) + 1);
                f->len = (size_t)n;
                n_files++;
        }
        (void)closedir(dir);
        if (n_files == 0)
                die("no manifests");
}

static bool is_right(const File *f) {
        char buffer[BYTES_MAX];
        struct stat st;

        return fstatat(dir_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_mode == (S_IFREG | 0600) &&
               st.st_size == (off_t)f->len && read_whole(f->name, buffer) == (ssize_t)f->len &&
               memcmp(buffer, f->bytes, f->len) == 0;
}

/* Nanoseconds that the agent has run, and that it could have run but for want of a processor; 0 where the kernel does
 * not tell. */
static void read_times(const char *pid, unsigned long long *ret_ran, unsigned long long *ret_waited) {
        char path[64];
        FILE *f;

        *ret_ran = *ret_waited = 0;
        (void)snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
        f = fopen(path, "re");
        if (!f)
                return;
        if (fscanf(f, "%llu %llu", ret_ran, ret_waited) != 2)
                *ret_ran = *ret_waited = 0;
        (void)fclose(f);
}

/* One that waits for a processor is not asleep. */
static bool is_asleep(const char *pid) {
        char path[64], state = 0;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
        f = fopen(path, "re");
        if (!f)
                die(path);
        if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
                state = 0;
        (void)fclose(f);
        return state == 'S';
}

/* Until it has not run for a while: what it does after a repair belongs to no later one. */
static void wait_idle(const char *pid) {
        unsigned long long before, ran, waited;

        read_times(pid, &before, &waited);
        for (int still = 0; still < IDLE; still += LOOK) {
                (void)usleep(LOOK);
                read_times(pid, &ran, &waited);
                if (ran != before || !is_asleep(pid))
                        still = 0;
                before = ran;
        }
}

static void forget_events(void) {
        char buffer[16 * 1024];

        while (read(watch_fd, buffer, sizeof(buffer)) > 0)
                ;
}

/* Only the system call itself is timed: what it needs is made before. */
static double damage(const File *f, int way) {
        int fd = way == EDIT ? openat(dir_fd, f->name, O_WRONLY | O_CLOEXEC) : -1;
        char path[64 + sizeof(f->name)];
        double start;
        int r = -1;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir_fd, f->name);
        start = now_us();
        if (way == UNLINK)
                r = unlinkat(dir_fd, f->name, 0);
        else if (way == EDIT)
                r = pwrite(fd, "X", 1, (off_t)f->len / 2) == 1 ? 0 : -1;
        else if (way == CUT)
                r = truncate(path, (off_t)f->len / 2);
        else if (way == CHMOD)
                r = fchmodat(dir_fd, f->name, 0644, 0);
        else if (way == MOVE)
                r = renameat(dir_fd, f->name, away_fd, f->name);
        if (fd >= 0)
                (void)close(fd);
        if (r < 0)
                die(f->name);
        return start;
}

static double repair_time(const File *f, int way) {
        double start;

        forget_events();
        start = damage(f, way);
        do {
                struct pollfd p = { .fd = watch_fd, .events = POLLIN };

                if (poll(&p, 1, REPAIR_MAX) <= 0)
                        die("nobody repaired it");
                forget_events();
        } while (!is_right(f));
        return now_us() - start;
}

/* ---- the figures ---- */

typedef struct Times {
        double *took, *less; /* all of it, and less what the agent waited for a processor */
        size_t n;
} Times;

static Times times_new(size_t n) {
        Times t = { .took = calloc(n + 1, sizeof(double)), .less = calloc(n + 1, sizeof(double)) };

        if (!t.took || !t.less)
                die("memory");
        return t;
}

static void times_add(Times *t, double took, double less) {
        t->took[t->n] = took;
        t->less[t->n++] = less;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void print(const char *what, const Times *t) {
        size_t n = t->n;

        if (n == 0)
                return;
        qsort(t->took, n, sizeof(double), compare);
        qsort(t->less, n, sizeof(double), compare);
        (void)printf("%s %.0f %.0f %.0f %.0f\n", what, t->took[n / 2], t->took[n * 99 / 100], t->took[n - 1],
                     t->less[n * 99 / 100]);
}

int main(int argc, char **argv) {
        size_t rounds = argc > 4 ? strtoul(argv[3], NULL, 10) : 0;
        Times all = times_new(rounds), by_way[N_WAYS];

        if (argc < 5)
                return 64;
        watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        dir_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        away_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (watch_fd < 0 || dir_fd < 0 || away_fd < 0 ||
            inotify_add_watch(watch_fd, argv[1], IN_MOVED_TO | IN_ATTRIB) < 0)
                die(argv[1]);
        learn_files(argv[1]);
        for (int way = 0; way < N_WAYS; way++)
                by_way[way] = times_new(rounds);
        for (size_t i = 0; i < rounds; i++) {
                /* Every file meets every way. */
                int way = (int)((i + i / n_files) % N_WAYS);
                unsigned long long ran, before, waited;
                double took, less;

                if (argc == 5)
                        wait_idle(argv[4]);
                read_times(argv[4], &ran, &before);
                took = repair_time(&files[i % n_files], way);
                read_times(argv[4], &ran, &waited);
                less = took - (double)(waited - before) / 1e3;
                times_add(&all, took, less);
                times_add(&by_way[way], took, less);
        }
        for (int way = 0; way < N_WAYS; way++)
                print(ways[way], &by_way[way]);
        print("all", &all);
        return 0;
}
