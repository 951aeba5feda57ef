/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the texts that are generated from tables: gendoc sample|config|reasons. */
#include "core/config.h"
#include "core/reason.h"

#include <stdio.h>

static void print_reasons(Buf *out) {
        for (Reason r = REASON_None + 1; r < REASON_COUNT; r++)
                buf_printf(out, ".TP\n.B %s\n%s\n", reason_name(r), reason_help(r));
}

int main(int argc, char **argv) {
        _cleanup_buf_ Buf out = BUF_INIT;

        if (argc != 2)
                return 64;
        if (streq(argv[1], "sample"))
                (void)config_sample(&out);
        else if (streq(argv[1], "config"))
                (void)config_man(&out);
        else if (streq(argv[1], "reasons"))
                print_reasons(&out);
        else
                return 64;
        return out.failed || fputs(buf_text(&out), stdout) < 0;
}
