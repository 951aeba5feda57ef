/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what a program wipes: linked in, its explicit_bzero stands in front of libc's. */
#pragma once

extern unsigned wiped; /* how often memory with SECRET in it was wiped */
