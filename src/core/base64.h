/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as the API has it: the standard alphabet with padding; line breaks (CR, LF) anywhere are ignored, nothing else
 * is, and bits behind the last byte do not matter (Go's base64.StdEncoding). Pure. */
#pragma once

#include "base/util.h"

bool base64_valid(const char *text, size_t len);

/* The decoded bytes, with a NUL behind them, given to the caller. -EBADMSG if the text is malformed, -ENOMEM. */
int base64_decode(const char *text, size_t len, char **ret, size_t *ret_len);
