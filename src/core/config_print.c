/* SPDX-License-Identifier: Apache-2.0 */
/* From the table to the sample file and the man page. */
#include <errno.h>

#include "core/config_internal.h"

enum { SAMPLE_WIDTH = 80 };

/* Words as comment lines of at most SAMPLE_WIDTH columns (a longer word stands alone). */
static void comment(const char *text, Buf *out) {
        size_t column = 0;

        while (*text) {
                size_t len = strcspn(text, " ");

                if (column > 0 && column + 1 + len > SAMPLE_WIDTH) {
                        buf_char(out, '\n');
                        column = 0;
                }
                if (column == 0) {
                        buf_char(out, '#');
                        column = 1;
                }
                buf_char(out, ' ');
                buf_add(out, text, len);
                column += 1 + len;
                text += len;
                text += strspn(text, " ");
        }
        buf_char(out, '\n');
}

int config_sample(Buf *out) {
        comment("The configuration of daemonlet. Every key is shown with its default: on a node that kubeadm made, "
                "nothing needs to be set. Files *.conf in daemonlet.conf.d are read after this one, in the order of "
                "their names; of equal keys the last one wins, and an empty value is the default again. Times are "
                "whole numbers with s, m or h. After a change: systemctl reload daemonlet.",
                out);
        for (size_t s = 0; s < config_n_sections; s++) {
                buf_char(out, '\n');
                comment(config_sections[s].help, out);
                buf_printf(out, "[%s]\n", config_sections[s].name);
                for (size_t i = 0; i < config_n_items; i++) {
                        const ConfigItem *item = &config_items[i];

                        if (!streq(item->section, config_sections[s].name))
                                continue;
                        buf_char(out, '\n');
                        comment(item->help, out);
                        buf_printf(out, "#%s = %s\n", item->key, item->fallback);
                }
        }
        return out->failed ? -ENOMEM : 0;
}

/* Text that roff shows as it is: a hyphen that can be copied, no escapes, no request at the start of a line. */
static void roff(const char *text, Buf *out) {
        if (*text == '.' || *text == '\'')
                buf_str(out, "\\&");
        for (; *text; text++) {
                if (*text == '-')
                        buf_str(out, "\\-");
                else if (*text == '\\')
                        buf_str(out, "\\e");
                else
                        buf_char(out, *text);
        }
}

int config_man(Buf *out) {
        for (size_t s = 0; s < config_n_sections; s++) {
                buf_printf(out, ".SS [%s]\n", config_sections[s].name);
                roff(config_sections[s].help, out);
                buf_char(out, '\n');
                for (size_t i = 0; i < config_n_items; i++) {
                        const ConfigItem *item = &config_items[i];

                        if (!streq(item->section, config_sections[s].name))
                                continue;
                        buf_str(out, ".TP\n\\fB");
                        roff(item->key, out);
                        buf_str(out, "\\fR = \\fI");
                        roff(item->fallback, out);
                        buf_str(out, "\\fR\n");
                        roff(item->help, out);
                        buf_char(out, '\n');
                }
        }
        return out->failed ? -ENOMEM : 0;
}
