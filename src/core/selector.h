/* SPDX-License-Identifier: Apache-2.0 */
/* Node selectors: nodeSelector maps and nodeSelectorTerms, as k8s.io/component-helpers/scheduling/corev1/nodeaffinity
 * evaluates them. Pure. */
#pragma once

#include "core/model.h"

/* Whether a label key is a qualified name ([prefix/]name), and a label value a valid one (at most 63 characters,
 * alphanumeric at both ends, "" allowed), and a DNS-1123 label or subdomain. All as k8s.io/apimachinery's validation.
 */
bool is_qualified_name(const char *s);
bool is_label_value(const char *s);
bool is_dns1123_label(const char *s);
bool is_dns1123_subdomain(const char *s);

/* Parses one nodeSelectorRequirement of an expression (labels) or of a field; on a rule that Kubernetes' parser would
 * reject (unknown operator, wrong number of values, a bound that is no integer, a malformed key or value) *ret_error is
 * set to the reason, given to the caller. 0 or -ENOMEM. */
int requirement_parse(const cJSON *json, bool field, Requirement *ret, char **ret_error);
void requirement_done(Requirement *r);

/* Whether the node's labels satisfy the requirement / its fields do. overlay: one label laid over the node's, or NULL.
 */
bool requirement_matches(const Requirement *r, const NodeView *node, const Label *overlay);
bool field_requirement_matches(const Requirement *r, const NodeView *node);

/* Whether one term matches; an empty one and one with an error match nothing. */
bool node_term_matches(const NodeTerm *term, const NodeView *node, const Label *overlay);

/* Go's strconv.ParseInt in base 10: an optional sign and digits, nothing else, within int64. */
bool selector_parse_int(const char *s, int64_t *ret);

/* "disk In (ssd,nvme)", for messages. */
void requirement_text(const Requirement *r, Buf *out);
