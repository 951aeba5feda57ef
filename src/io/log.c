/* SPDX-License-Identifier: Apache-2.0 */
#include "io/log.h"
#include "base/err.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

/* Whether standard error is the journal's stream: JOURNAL_STREAM names its device and inode. */
static bool is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device, inode;
        struct stat st;

        return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == device && st.st_ino == inode;
}

static void add_field(struct iovec *fields, char **texts, int *n, const char *name, const char *value) {
        int len = value && *value ? asprintf(&texts[*n], "%s=%s", name, value) : -1;

        if (len >= 0) {
                fields[*n] = (struct iovec){ .iov_base = texts[*n], .iov_len = (size_t)len };
                ++*n;
        }
}

static void send_to_journal(LogLevel level, const LogFields *fields, const char *line) {
        struct iovec iov[8];
        char *texts[8], priority[2] = { (char)('0' + level), 0 };
        int n = 0;

        add_field(iov, texts, &n, "MESSAGE", line);
        add_field(iov, texts, &n, "PRIORITY", priority);
        add_field(iov, texts, &n, "SYSLOG_IDENTIFIER", "daemonlet");
        add_field(iov, texts, &n, "MESSAGE_ID", fields->message_id);
        add_field(iov, texts, &n, "DAEMONSET", fields->daemonset);
        add_field(iov, texts, &n, "REASON", fields->reason);
        add_field(iov, texts, &n, "NODE", fields->node);
        add_field(iov, texts, &n, "POD", fields->pod);
        (void)sd_journal_sendv(iov, n);
        while (n-- > 0)
                free(texts[n]);
}

void log_event(LogLevel level, const LogFields *fields, const char *format, ...) {
        static const LogFields none;
        Err line = { 0 };
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line.message, sizeof(line.message), format, ap);
        va_end(ap);
        utf8_flatten(line.message);
        if (is_journal())
                send_to_journal(level, fields ? fields : &none, line.message);
        else
                (void)fprintf(stderr, "daemonlet: %s%s\n",
                              level <= LOG_LEVEL_ERROR     ? "error: "
                              : level == LOG_LEVEL_WARNING ? "warning: "
                                                           : "",
                              line.message);
}
