/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator of the test programs. A program's own malloc is found before libc's by every library in the process, so
 * that libyaml, cJSON and libcrypto are reached as well as our code. */
#include "test.h"

#include <errno.h>
#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__) || defined(TEST_FOREIGN_MALLOC)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#ifndef OWN_MALLOC
#define OWN_MALLOC 1
#endif

#if OWN_MALLOC
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static bool armed;
static size_t count, fail_at;
static long live;

static bool fails(void) {
        return armed && ++count == fail_at;
}

static void *out_of_memory(void) {
        errno = ENOMEM;
        return NULL;
}

static void *made(void *p) {
        if (p && armed)
                live++;
        return p;
}

void *malloc(size_t n) {
        return fails() ? out_of_memory() : made(__libc_malloc(n));
}

void *calloc(size_t n, size_t size) {
        return fails() ? out_of_memory() : made(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n) {
        void *grown;

        if (fails())
                return out_of_memory();
        grown = __libc_realloc(p, n);
        return p ? grown : made(grown);
}

void free(void *p) {
        if (p && armed)
                live--;
        __libc_free(p);
}

size_t test_oom(int (*body)(void *user), void *user) {
        size_t failed = 0;

        /* Once unharmed, so that libraries have made what they keep for ever. */
        assert_int_equal(body(user), 0);
        if (getenv("TEST_NO_OOM"))
                return 0;
        for (fail_at = 1;; fail_at++) {
                int r;

                count = 0;
                live = 0;
                armed = true;
                r = body(user);
                armed = false;
                if (live != 0)
                        fail_msg("%ld allocations leaked when allocation %zu failed", live, fail_at);
                if (count < fail_at) {
                        assert_int_equal(r, 0);
                        return failed;
                }
                if (r != -ENOMEM)
                        fail_msg("%d instead of -ENOMEM when allocation %zu failed", r, fail_at);
                failed++;
        }
}
#else
size_t test_oom(int (*body)(void *user), void *user) {
        assert_int_equal(body(user), 0);
        return 0;
}
#endif
