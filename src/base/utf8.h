/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include "base/util.h"

/* Length in bytes (1 to 4) of the well-formed character at s, of which n >= 1 bytes are there; 0 if it is malformed or
 * cut. */
size_t utf8_char(const char *s, size_t n);

/* Whether all n bytes are well-formed. */
bool utf8_valid(const char *s, size_t n);
