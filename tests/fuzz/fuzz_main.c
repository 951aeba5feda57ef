/* SPDX-License-Identifier: Apache-2.0 */
/* Replays files through a fuzz target where there is no libFuzzer: fuzz_x FILE|DIRECTORY... Without arguments the
 * target's corpus, tests/fuzz/corpus/<x> of the source tree, is replayed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
        FILE *f = fopen(path, "re");
        struct stat st;
        uint8_t *data;
        size_t n;

        if (!f || fstat(fileno(f), &st) < 0) {
                perror(path);
                return -1;
        }
        data = malloc((size_t)st.st_size + 1);
        if (!data)
                abort();
        n = fread(data, 1, (size_t)st.st_size, f);
        (void)fclose(f);
        (void)LLVMFuzzerTestOneInput(data, n);
        free(data);
        return 1;
}

static int replay(const char *path) {
        DIR *d = opendir(path);
        int replayed = 0;

        if (!d)
                return replay_file(path);
        for (struct dirent *e; (e = readdir(d));) {
                char file[4096];
                int n;

                if (e->d_name[0] == '.')
                        continue;
                (void)snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
                n = replay_file(file);
                if (n < 0) {
                        replayed = -1;
                        break;
                }
                replayed += n;
        }
        (void)closedir(d);
        return replayed;
}

int main(int argc, char **argv) {
        const char *name = strrchr(argv[0], '_'), *srcdir = getenv("srcdir");
        char corpus[4096];
        int replayed;

        if (argc > 1) {
                for (int i = 1; i < argc; i++)
                        if (replay(argv[i]) <= 0)
                                return 1;
                return 0;
        }
        (void)snprintf(corpus, sizeof(corpus), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", name ? name + 1 : "");
        replayed = replay(corpus);
        if (replayed <= 0) {
                (void)fprintf(stderr, "%s: nothing to replay\n", corpus);
                return 1;
        }
        (void)printf("%d inputs\n", replayed);
        return 0;
}
