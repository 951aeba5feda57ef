/* SPDX-License-Identifier: Apache-2.0 */
#include "wiped.h"

#include <stddef.h>
#include <string.h>

unsigned wiped;

__attribute__((noinline)) static void wipe_and_count(void *p, size_t n) {
        wiped += memmem(p, n, "SECRET", strlen("SECRET")) != NULL;
        memset(p, 0, n);
}

/* The program's own are found before libc's; the second is what the first becomes with _FORTIFY_SOURCE. */
void(explicit_bzero)(void *p, size_t n);
void(explicit_bzero)(void *p, size_t n) {
        wipe_and_count(p, n);
}
void __explicit_bzero_chk(void *p, size_t n, size_t room);
void __explicit_bzero_chk(void *p, size_t n, size_t room) {
        (void)room;
        wipe_and_count(p, n);
}
