/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks. */
#pragma once

#include "base/util.h"

/* Milliseconds of the clock that everything is due by: it never jumps, and counts while the host sleeps. */
int64_t clock_boot_ms(void);

/* Seconds since 1970, as the host has it now: it may jump. */
int64_t clock_real_s(void);
