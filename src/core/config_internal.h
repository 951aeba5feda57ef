/* SPDX-License-Identifier: Apache-2.0 */
/* What core/config*.c share. */
#pragma once

#include "core/config_table.h"

/* Sets one key from its text. -EINVAL with what is wrong with the value, -ENOMEM; the field is then as it was. */
int config_set(Config *c, const ConfigItem *item, const char *value, Err *err);
