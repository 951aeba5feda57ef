/* SPDX-License-Identifier: Apache-2.0 */
/* Who is buried and who comes back: the pods of manifests that are removed or replaced hold their host ports for a
 * while. */
#include "io/store_internal.h"

#include <errno.h>

bool store_buries(const PlanStep *step) {
        return step->verb == STEP_HAND_OVER || step->verb == STEP_REMOVE || step->verb == STEP_WITHDRAW ||
               step->verb == STEP_FORGET || step->verb == STEP_REPLACE || step->verb == STEP_RESTORE;
}

/* The pod of what is removed or replaced may live on for a while: who it is, which ports it holds, and that its
 * successor has to wait for it. One that is replaced by itself is not buried, and neither is another DaemonSet's that
 * strayed into the file: it has a manifest of its own. */
static bool is_worth_a_tombstone(const PlanStep *step, const Manifest *m) {
        if (!m->is_pod || !m->uid || !streq(m->namespace, step->namespace) || !streq(m->name, step->name))
                return false;
        return !(step->bytes && memmem(step->bytes, step->len, m->uid, strlen(m->uid)));
}

int store_bury(Store *s, const PlanStep *step, int64_t now) {
        const int dirs[] = { s->manifests_fd, s->manifest_fd };
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                _cleanup_free_ char *bytes = NULL;
                Manifest m = { 0 };
                bool known;
                size_t len;

                r = file_read(dirs[i], step->file, MANIFEST_KUBELET_MAX, (FileTrust){ 0 }, &bytes, &len, NULL);
                if (r == 0)
                        r = manifest_parse(bytes, len, &m);
                known = r == 0 && is_worth_a_tombstone(step, &m);
                if (known)
                        r = index_add_tombstone(&s->index, &(PlanTombstone){ .namespace = m.namespace,
                                                                             .name = m.name,
                                                                             .uid = m.uid,
                                                                             .input = m.input,
                                                                             .ports = m.ports,
                                                                             .n_ports = m.n_ports,
                                                                             .removed_at = now,
                                                                             .grace = m.grace });
                manifest_done(&m);
                if (known || r == -ENOMEM)
                        return r;
        }
        return 0;
}

/* A removal that failed leaves nobody dead. */
void store_unbury(Store *s, const PlanStep *step, int64_t now) {
        Index *index = &s->index;

        for (size_t i = index->n_tombstones; i-- > 0;) {
                const PlanTombstone *t = &index->tombstones[i];

                if (t->removed_at == now && streq(t->namespace, step->namespace) && streq(t->name, step->name))
                        index_drop_tombstone(index, t->uid);
        }
}

void store_see(Store *s, const StoreSnapshot *snapshot) {
        for (size_t i = 0; i < s->index.n_tombstones; i++)
                for (size_t k = 0; k < snapshot->n_tombstones; k++)
                        if (streq(s->index.tombstones[i].uid, snapshot->tombstones[k].uid))
                                s->index.tombstones[i].witness = snapshot->tombstones[k].witness;
}

/* A pod that is written again is not dead, whatever was buried. */
void store_resurrect(Store *s, const PlanStep *step) {
        Index *index = &s->index;

        for (size_t i = index->n_tombstones; i-- > 0;) {
                const char *uid = index->tombstones[i].uid;

                if (memmem(step->bytes, step->len, uid, strlen(uid)))
                        index_drop_tombstone(index, uid);
        }
}
