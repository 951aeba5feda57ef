/* SPDX-License-Identifier: Apache-2.0 */
/* Whether two pod templates mean the same: one as somebody wrote it, one as an API server gives it back, with the
 * defaults of Kubernetes in it. Pure. */
#pragma once

#include "base/buf.h"
#include "core/objects.h"

/* Looks for the first field in which the template of `ours` and that of `theirs` (both usable DaemonSets) differ, in
 * the order of the canonical form, and says it in one line: "spec.template.spec.containers[0].image is a:1 here and a:2
 * in the API server", or "... is 30 (by default) here and 60 in the API server", "... is absent here and set in ...".
 *
 * A field that one of them lacks counts as having the default that the API server of Kubernetes 1.36 would give it or
 * the pod made of it, or that its documentation names (also a request that is absent beside a limit, the host port in a
 * hostNetwork pod, the deprecated serviceAccount). A default stands only in an object that is there. Null is absent;
 * so are "", 0, false, and empty maps and lists, but not where the API tells them from absence (runAsUser 0, an empty
 * labelSelector, an empty label). Quantities are compared by their value, in lists of resources rounded up to
 * thousandths; lists in their order. Of metadata only labels, annotations and finalizers count, as pods get no more.
 * Fields that the API does not have are not looked at.
 *
 * Long values are cut. Never shown, only where they stand: values in args and command of a container, and in the
 * commands of its probes and hooks; values of env and of HTTP headers; and texts that seem to hold a secret by their
 * field, key, content or the item of the list before them. *out stays empty if there is no difference. 0 or -ENOMEM. */
int template_diff(const Object *ours, const Object *theirs, Buf *out);
