/* SPDX-License-Identifier: Apache-2.0 */
#include "app/theirs.h"
#include "core/decide.h"
#include "core/template_diff.h"

#include <errno.h>

/* ---- its pod ---- */

/* Whoever may make pods can name any owner, but its uid only if he may read it. */
static bool is_owned(const DaemonPod *p, const Object *theirs) {
        return !theirs || !*str_or_empty(theirs->uid) || streq(p->owner_uid, theirs->uid);
}

/* Of several the one that is farthest: while the controller replaces a pod there may be two. theirs: NULL where the
 * DaemonSet is not known. */
static const DaemonPod *find_pod(const ApiSnapshot *s, const Object *o, const Object *theirs) {
        const DaemonPod *best = NULL;

        for (size_t i = 0; s && i < s->n_pods; i++) {
                const DaemonPod *p = &s->pods[i];

                if (streq(p->namespace, o->namespace) && streq(p->daemonset, o->name) && p->pod != POD_NONE &&
                    is_owned(p, theirs) && (!best || p->pod > best->pod))
                        best = p;
        }
        return best;
}

static void look_at_pods(const TheirsFacts *f, const Object *o, const Object *theirs, PlanTheirs *t) {
        ApiKnown bound = source_api_known_bound(f->source, o->namespace),
                 unbound = source_api_known_unbound(f->source, o->namespace);
        const DaemonPod *pod = find_pod(f->snapshot, o, theirs);

        t->awaited |= bound.awaited || unbound.awaited;
        t->pods_known = bound.live && (!unbound.followed || unbound.live || (pod && pod->pod >= POD_BOUND));
        if (!pod || !t->pods_known)
                return;
        t->pod = pod->pod;
        t->pod_name = pod->name;
        t->pod_uid = pod->uid;
}

/* ---- what cannot be seen ---- */

static int note_blind(const TheirsFacts *f, WantedItem *item) {
        const Object *o = item->object;
        ApiKnown daemonset = source_api_known_daemonset(f->source, o->namespace, o->name),
                 bound = source_api_known_bound(f->source, o->namespace),
                 unbound = source_api_known_unbound(f->source, o->namespace);
        /* With the kubelet's identity there are only those that are bound: enough where nothing keeps them unbound. */
        bool kubelet = !unbound.followed && *unbound.problem;
        const char *why = bound.problem;

        if (!*why && (!kubelet || item->rendered.n_ports > 0))
                why = unbound.problem;
        if (!*why && !kubelet)
                why = daemonset.problem;
        item->blind = *why ? strdup(why) : NULL;
        return *why && !item->blind ? -ENOMEM : 0;
}

/* ---- the DaemonSet ---- */

static int note_unfit(const TheirsFacts *f, const Object *theirs, WantedItem *item) {
        static const DecideOptions upstream = { .upstream = true };
        _cleanup_buf_ Buf text = BUF_INIT;
        Verdict verdict;

        if (!f->node_known)
                return 0;
        decide(f->node, &theirs->scheduling, &upstream, &verdict);
        for (Check c = 0; c < CHECK_COUNT && !verdict.should_run && text.len == 0; c++)
                if (!verdict.passed[c])
                        decide_explain(f->node, &theirs->scheduling, &upstream, &verdict, c, &text);
        item->unfit = text.len ? buf_take(&text, NULL) : NULL;
        return text.failed ? -ENOMEM : 0;
}

/* The difference between the same two was told before. */
static bool take_difference(Wanted *before, size_t at, WantedItem *item) {
        WantedItem *old = before && at < before->n ? &before->items[at] : NULL;

        if (!old || wanted_own(old) != wanted_own(item) || !*item->theirs_digest ||
            !streq(old->theirs_digest, item->theirs_digest))
                return false;
        item->difference = TAKE_PTR(old->difference);
        return true;
}

static int note_difference(const Object *theirs, WantedItem *item, Wanted *before, size_t at) {
        _cleanup_buf_ Buf text = BUF_INIT;
        const Object *own = wanted_own(item);

        if (item->from_api || own->reason != REASON_None)
                return 0;
        memcpy(item->theirs_digest, theirs->digest, sizeof(theirs->digest));
        if (take_difference(before, at, item))
                return 0;
        if (template_diff(own, theirs, &text) < 0)
                return -ENOMEM;
        item->difference = text.len ? buf_take(&text, NULL) : NULL;
        return 0;
}

/* Of all that are asked for by name. One that cannot be used is there as well. */
static const Object *find_named(const Objects *set, const Object *o) {
        const Object *usable = objects_find(set, OBJECT_DAEMONSET, o->namespace, o->name);

        if (usable)
                return usable;
        for (size_t i = 0; i < set->n_objects; i++)
                if (streq(set->objects[i].name, o->name) && streq(set->objects[i].namespace, o->namespace))
                        return &set->objects[i];
        return NULL;
}

/* What the server has of this name; NULL: nothing, as far as is known. */
static const Object *theirs_of(const TheirsFacts *f, const WantedItem *item) {
        if (item->from_api && !item->former)
                return item->object;
        return f->snapshot ? find_named(&f->snapshot->theirs, item->object) : NULL;
}

static int look_at_daemonset(const TheirsFacts *f, const Object *theirs, WantedItem *item, Wanted *before, size_t at) {
        bool opted_in = item->from_api && !item->former;
        ApiKnown known = source_api_known_daemonset(f->source, item->object->namespace, item->object->name);
        PlanTheirs *t = &item->theirs;
        int r = 0;

        t->awaited = !opted_in && known.awaited;
        if (opted_in ? !f->snapshot->complete : !known.live)
                t->daemonset = THEIRS_UNKNOWN;
        else if (!theirs)
                t->daemonset = THEIRS_ABSENT;
        else
                t->daemonset = theirs->reason == REASON_None && wanted_is_fenced(theirs) ? THEIRS_FENCED : THEIRS_RUNS;
        if (!theirs || theirs->reason != REASON_None || t->daemonset == THEIRS_FENCED)
                return 0;
        r = note_unfit(f, theirs, item);
        return r == 0 ? note_difference(theirs, item, before, at) : r;
}

int theirs_make(const TheirsFacts *facts, Wanted *wanted, Wanted *before) {
        for (size_t i = 0; i < wanted->n; i++) {
                WantedItem *item = &wanted->items[i];
                const Object *theirs = theirs_of(facts, item);
                PlanTheirs *t = &item->theirs;

                *t = (PlanTheirs){ .pod_name = "", .pod_uid = "", .mode = wanted_own(item)->handoff };
                if (look_at_daemonset(facts, theirs, item, before, i) < 0 || note_blind(facts, item) < 0)
                        return -ENOMEM;
                look_at_pods(facts, item->object, theirs, t);
                t->unfit = str_or_empty(item->unfit);
                t->difference = str_or_empty(item->difference);
                t->blind = str_or_empty(item->blind);
                wanted->wanted[i].theirs = t;
        }
        return 0;
}
