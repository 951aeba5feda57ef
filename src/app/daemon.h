/* SPDX-License-Identifier: Apache-2.0 */
/* The agent: one thread, one sd-event loop. Events only mark what has to be looked at again; one place then looks and
 * acts, through the same calls as `sync`. Idle it wakes for nothing but the watchdog. */
#pragma once

#include "app/options.h"

/* Runs until SIGTERM or SIGINT, which leave every manifest in place. SIGHUP reads everything again. Returns the exit
 * status: 0, EX_CONFIG for a configuration that is wrong at the start (one that becomes wrong later is reported, and
 * the last good one counts), EX_TEMPFAIL if another agent holds the lock. */
int daemon_run(const Options *options);
