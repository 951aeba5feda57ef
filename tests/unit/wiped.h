/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what a program wipes: linked in, its explicit_bzero stands in front of libc's. */
#pragma once

#include <stddef.h>

extern const char *watched; /* the text that is looked for; NULL: none */
extern size_t n_watched;    /* how often memory with it was wiped */
