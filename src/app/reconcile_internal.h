/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a pass: reconcile.c does it, reconcile_rows.c adds to its rows what only the sources know. */
#pragma once

#include "app/reconcile.h"

/* Says in the rows of a new plan what stands in for what, and marks what the DaemonSet controller runs. 0 or -ENOMEM.
 */
int reconcile_note_rows(Reconcile *r);
