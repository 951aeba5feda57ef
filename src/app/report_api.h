/* SPDX-License-Identifier: Apache-2.0 */
/* What status.json and `status` say of the API server. No secrets. */
#pragma once

#include "app/api.h"
#include "core/json.h"

/* Adds "api" to the report: server, identity, whether it answers, and each resource that is followed; for what is not
 * live, when it was last heard of. Nothing where there is no API server. 0 or -ENOMEM. */
int report_api_add(cJSON *status, SourceApi *source);

/* One line for people; nothing where there is no API server. now: seconds since 1970. */
void report_api_line(const cJSON *status, int64_t now, Buf *out);

/* Whether the report tells of a fault that somebody has to mend: of the identity, of rights, of the cache. A server
 * that is away is none, and neither is a right that only a hand-over needs. */
bool report_api_is_well(const cJSON *status);
