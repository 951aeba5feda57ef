/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's log: one line an event. Under systemd it goes to the journal with fields, else to standard error. Secrets
 * have no business in it. */
#pragma once

#include "base/util.h"

typedef enum LogLevel {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6
} LogLevel; /* syslog's numbers */

typedef struct LogFields {
        const char *daemonset;  /* DAEMONSET=NAMESPACE/NAME; each may be NULL */
        const char *reason;     /* REASON= */
        const char *node;       /* NODE= */
        const char *pod;        /* POD=, of the DaemonSet controller */
        const char *message_id; /* MESSAGE_ID=, 32 hex digits of the catalog */
} LogFields;

/* Logs one line; control characters become spaces. */
void log_event(LogLevel level, const LogFields *fields, const char *format, ...) _printf_(3, 4);
