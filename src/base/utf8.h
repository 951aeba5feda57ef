/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include "base/util.h"

/* Length in bytes (1 to 4) of the well-formed character at s, of which n >= 1 bytes are there; 0 if it is malformed or
 * cut. */
size_t utf8_char(const char *s, size_t n);

/* Makes a line of a text that is shown to people: control characters (C0, DEL, C1), line and paragraph separators and
 * the controls of writing direction become spaces, malformed bytes question marks; a character that is cut at the end
 * goes. What is shown can then neither move a terminal's cursor nor pretend to be another line. */
void utf8_flatten(char *s);

/* Whether all n bytes are well-formed. */
bool utf8_valid(const char *s, size_t n);
