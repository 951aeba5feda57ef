/* SPDX-License-Identifier: Apache-2.0 */
/* A set of objects as text, for comparison with what is expected. */
#pragma once

#include "core/objects.h"

/* "KIND namespace/name reason", files and skipped objects, each followed by its diags:
 * "  line:column level path: message". Files' names are left out of messages that do not need them. */
void objects_dump(const Objects *o, Buf *out);
