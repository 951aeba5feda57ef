/* SPDX-License-Identifier: Apache-2.0 */
#include "wiped.h"

#include <string.h>

const char *watched;
size_t n_watched;

/* Not inlined: the function that it stands for is said to read nothing. */
__attribute__((noinline)) static void overwrite(void *p, size_t n) {
        volatile char *bytes = p;

        if (watched && n >= strlen(watched) && memmem(p, n, watched, strlen(watched)))
                n_watched++;
        for (size_t i = 0; i < n; i++)
                bytes[i] = 0;
}

/* The program's own are found before libc's; the second is what the first becomes with _FORTIFY_SOURCE. */
void(explicit_bzero)(void *p, size_t n);
void(explicit_bzero)(void *p, size_t n) {
        overwrite(p, n);
}

void __explicit_bzero_chk(void *p, size_t n, size_t size);
void __explicit_bzero_chk(void *p, size_t n, size_t size) {
        (void)size;
        overwrite(p, n);
}
