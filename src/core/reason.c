/* SPDX-License-Identifier: Apache-2.0 */
#include "core/reason.h"

static const struct {
        const char *name, *help;
} reasons[REASON_COUNT] = {
#define X(code, help) [REASON_##code] = { #code, help },
        REASON_TABLE(X)
#undef X
};

const char *reason_name(Reason r) {
        return r == REASON_None ? "" : reasons[r].name;
}

const char *reason_help(Reason r) {
        return reasons[r].help;
}
