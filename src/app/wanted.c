/* SPDX-License-Identifier: Apache-2.0 */
#include "app/wanted.h"
#include "app/files.h"

#include <errno.h>

typedef struct Maker {
        const WantedFacts *facts;
        const Objects *objects;
        RenderOptions render;
        Wanted *before;     /* of the same options, or NULL */
        size_t next_before; /* where it is looked at first */
} Maker;

/* The verdict's first failed check in words. */
static int explain_failure(const Maker *m, const Object *o, const Verdict *verdict, char **ret) {
        _cleanup_buf_ Buf text = BUF_INIT;

        for (Check c = 0; c < CHECK_COUNT && text.len == 0; c++)
                if (!verdict->passed[c])
                        decide_explain(m->facts->node, &o->scheduling, &m->facts->decide, verdict, c, &text);
        *ret = buf_take(&text, NULL);
        return *ret ? 0 : -ENOMEM;
}

/* Its value never enters alone, so what starts without it stays without it until something else changes. */
static bool awaits_class(const Maker *m, const WantedItem *item) {
        for (size_t i = 0; item->from_api && item->rendered.priority_class && i < m->facts->n_awaited; i++)
                if (streq(m->facts->awaited[i], item->rendered.priority_class))
                        return true;
        return false;
}

/* ---- renderings that stay ---- */

/* There is one, and besides the options below it depends on the DaemonSet only: on no object, token or class. */
static bool is_lasting(const Rendered *r) {
        return r->bytes && r->n_uses == 0 && r->n_tokens == 0 && !r->priority_class;
}

static void hash_options(const RenderOptions *o, char ret[static HASH_HEX + 1]) {
        const char *node = str_or_empty(o->node_name), *api_server = str_or_empty(o->api_server),
                   *volumes_dir = str_or_empty(o->volumes_dir);
        const uint8_t flags[] = { o->secret_env_inline, o->api_server != NULL, o->tokens != NULL };
        const HashPart parts[] = { { flags, sizeof(flags) },
                                   { node, strlen(node) + 1 },
                                   { api_server, strlen(api_server) + 1 },
                                   { volumes_dir, strlen(volumes_dir) + 1 } };
        uint8_t digest[HASH_BYTES];

        hash_sha256(parts, ARRAY_SIZE(parts), digest);
        hash_hex(digest, HASH_HEX, ret);
}

/* The server's objects are made anew, the local ones are not. */
static bool is_of_same_object(const WantedItem *a, const WantedItem *b) {
        if (a->from_api || a->followed)
                return *a->digest && streq(a->digest, b->digest);
        return a->object == b->object;
}

/* Both are mostly in the same order. */
static bool take_rendered(Maker *m, WantedItem *item) {
        for (size_t i = 0; m->before && i < m->before->n; i++) {
                size_t at = (m->next_before + i) % m->before->n;
                WantedItem *old = &m->before->items[at];

                if (!is_of_same_object(old, item))
                        continue;
                m->next_before = at + 1;
                if (!is_lasting(&old->rendered))
                        return false;
                item->rendered = old->rendered;
                old->rendered = (Rendered){ 0 };
                return true;
        }
        return false;
}

static int want_rendered(Maker *m, const Object *o, PlanWanted *w, WantedItem *item) {
        RenderOptions options = m->render;
        int r;

        /* What a local file defines has to start before there is a server that could make a token. */
        options.wait_for_tokens = item->from_api;
        r = take_rendered(m, item) ? 0 : render(o, &options, &item->rendered);
        if (r < 0)
                return r;
        w->message = item->rendered.message;
        if (item->rendered.status == RENDER_OK && awaits_class(m, item)) {
                w->wish = WISH_KEEP;
                w->state = STATE_WAITING;
                w->reason = REASON_WaitingForPriorityClass;
                w->message = item->rendered.priority_class;
                return 0;
        }
        if (item->rendered.status == RENDER_OK) {
                w->wish = WISH_PRESENT;
                w->reason = REASON_Fits;
                w->rendered = &item->rendered;
                return 0;
        }
        w->wish = WISH_KEEP;
        w->state = item->rendered.status == RENDER_WAITING ? STATE_WAITING : STATE_REFUSED;
        w->reason = item->rendered.reason;
        return 0;
}

static int want_usable(Maker *m, const Object *o, PlanWanted *w, WantedItem *item) {
        Verdict verdict;

        if (!m->facts->node_known) {
                w->wish = WISH_KEEP;
                w->state = STATE_WAITING;
                w->reason = REASON_NodeNameUnknown;
                w->message = "set [node] name";
                return 0;
        }
        decide(m->facts->node, &o->scheduling, &m->facts->decide, &verdict);
        if (verdict.should_run)
                return want_rendered(m, o, w, item);
        w->wish = verdict.should_continue_running ? WISH_KEEP : WISH_ABSENT;
        w->state = STATE_NOT_HERE;
        w->reason = verdict.reason;
        w->by_live_node = m->facts->node_is_live && w->wish == WISH_ABSENT;
        if (explain_failure(m, o, &verdict, &item->message) < 0)
                return -ENOMEM;
        w->message = item->message;
        return 0;
}

static int want_unusable(const Maker *m, const Object *o, PlanWanted *w, WantedItem *item) {
        item->message = object_error(item->from_api ? m->objects->over : m->objects, o);
        if (!item->message)
                return -ENOMEM;
        w->wish = WISH_KEEP;
        w->state = o->reason == REASON_DefinedTwice ? STATE_REFUSED : STATE_INVALID;
        w->reason = o->reason;
        w->message = item->message;
        return 0;
}

bool wanted_is_fenced(const Object *daemonset) {
        const PodScheduling *s = &daemonset->scheduling;

        for (size_t i = 0; i < s->n_node_selector; i++)
                if (streq(s->node_selector[i].key, FENCE_LABEL) && !*s->node_selector[i].value)
                        return true;
        return false;
}

Reason wanted_api_refusal(const Object *o, bool fence_broken, const char **ret_message) {
        if (!streq(o->mode, "static")) {
                *ret_message = "its label " MODE_LABEL " must be \"static\"";
                return REASON_UnknownMode;
        }
        if (!wanted_is_fenced(o)) {
                *ret_message =
                        "the DaemonSet controller runs it too; add to spec.template.spec.nodeSelector: " FENCE_LABEL
                        ": \"\"";
                return REASON_WouldRunTwice;
        }
        if (fence_broken) {
                *ret_message = "this node's Node has the label " FENCE_LABEL
                               ", which no Node may have; remove it: kubectl "
                               "label node NODE " FENCE_LABEL "-";
                return REASON_FenceBroken;
        }
        return REASON_None;
}

/* It lost its opt-in, and perhaps its fence: what stands is kept as it is until that is certain. */
static int want_former(const Maker *m, const Object *o, PlanWanted *w) {
        static const DecideOptions upstream = { .upstream = true };
        Verdict verdict = { .should_continue_running = true };

        if (m->facts->node_known)
                decide(m->facts->node, &o->scheduling, &upstream, &verdict);
        w->state = STATE_NOT_HERE;
        if (!verdict.should_continue_running) {
                w->wish = WISH_ABSENT;
                w->reason = verdict.reason;
                w->by_live_node = m->facts->node_is_live;
                w->message = "the DaemonSet controller runs it, and not here";
                return 0;
        }
        w->wish = WISH_KEEP;
        w->reason = REASON_HandingOver;
        w->message = "it lost its opt-in, the label " MODE_LABEL;
        return 0;
}

static const Object *find_theirs(const Maker *m, const char *namespace, const char *name) {
        const Objects *theirs = m->facts->theirs;

        return theirs ? objects_find(theirs, OBJECT_DAEMONSET, namespace, name) : NULL;
}

/* The template in the API server in the place of the file's, where it can run here. 1: so it is; 0 or -ENOMEM. */
static int want_followed(Maker *m, const Object *o, PlanWanted *w, WantedItem *item) {
        const Object *theirs = find_theirs(m, o->namespace, o->name);
        WantedItem followed = *item;
        PlanWanted wish = *w;
        int r;

        if (!theirs || wanted_is_fenced(theirs))
                return 0;
        followed.object = theirs;
        followed.followed = o;
        memcpy(followed.digest, theirs->digest, sizeof(theirs->digest));
        r = want_usable(m, theirs, &wish, &followed);
        if (r < 0 || wish.wish != WISH_PRESENT) {
                rendered_done(&followed.rendered);
                free(followed.message);
                return r;
        }
        wish.rendered = &item->rendered;
        wish.only_new = true;
        *item = followed;
        *w = wish;
        return 1;
}

static int want_one(Maker *m, const Object *o, PlanWanted *w, WantedItem *item) {
        _cleanup_buf_ Buf origin = BUF_INIT;
        Reason refusal;

        if (item->from_api)
                buf_str(&origin, ORIGIN_API);
        else
                buf_printf(&origin, ORIGIN_FILE "%s", m->objects->files[o->file].name);
        item->origin = buf_take(&origin, NULL);
        if (!item->origin)
                return -ENOMEM;
        *w = (PlanWanted){
                .namespace = o->namespace, .name = o->name, .on_delete = o->on_delete, .origin = item->origin
        };
        if (m->facts->node_deleted) {
                w->wish = WISH_ABSENT;
                w->state = STATE_NOT_HERE;
                w->reason = REASON_NodeDeleted;
                w->message = "the Node was deleted from the API server";
                return 0;
        }
        if (item->former)
                return want_former(m, o, w);
        if (o->reason != REASON_None)
                return want_unusable(m, o, w, item);
        if (m->facts->follow_api && !item->from_api && m->facts->node_known) {
                int r = want_followed(m, o, w, item);

                if (r != 0)
                        return r < 0 ? r : 0;
        }
        refusal = item->from_api ? wanted_api_refusal(o, m->facts->fence_broken, &w->message) : REASON_None;
        if (refusal == REASON_None)
                return want_usable(m, o, w, item);
        w->wish = WISH_KEEP;
        w->state = STATE_REFUSED;
        w->reason = refusal;
        return 0;
}

/* ---- each name once: of several objects of one name the API server's counts, then the usable one ---- */

typedef struct Candidate {
        const Object *object;
        size_t index; /* in its set */
        bool from_api;
} Candidate;

static int compare_names(const Object *a, const Object *b) {
        int c = strcmp(a->namespace, b->namespace);

        return c ? c : strcmp(a->name, b->name);
}

static int compare_candidates(const void *a, const void *b) {
        const Candidate *x = a, *y = b;
        int c = compare_names(x->object, y->object);

        if (c)
                return c;
        c = y->from_api - x->from_api;
        if (c == 0)
                c = (x->object->reason != REASON_None) - (y->object->reason != REASON_None);
        return c ? c : (x->index > y->index) - (x->index < y->index);
}

/* Local ones first, each in the order of the input. */
static int compare_items(const void *a, const void *b) {
        const WantedItem *x = a, *y = b;

        if (x->from_api != y->from_api)
                return x->from_api - y->from_api;
        return (x->object > y->object) - (x->object < y->object);
}

static size_t list_candidates(const Objects *objects, bool from_api, Candidate *ret) {
        size_t n = 0;

        for (size_t i = 0; i < objects->n_objects; i++)
                if (objects->objects[i].kind == OBJECT_DAEMONSET && objects->objects[i].name[0])
                        ret[n++] = (Candidate){ &objects->objects[i], i, from_api };
        return n;
}

/* Fills items[].object (and twins) in input order; returns how many. */
static size_t choose(const LocalSnapshot *local, Candidate *candidates, WantedItem *items) {
        size_t n = list_candidates(&local->objects, false, candidates), n_items = 0;

        if (local->objects.over)
                n += list_candidates(local->objects.over, true, candidates + n);
        if (n > 1)
                qsort(candidates, n, sizeof(*candidates), compare_candidates);
        for (size_t i = 0; i < n; i++) {
                const Candidate *c = &candidates[i];

                if (i > 0 && compare_names(c->object, candidates[i - 1].object) == 0) {
                        WantedItem *chosen = &items[n_items - 1];

                        if (c->object->reason != REASON_None && !chosen->invalid_twin && chosen->stand_in) {
                                chosen->invalid_twin = true;
                                chosen->twin = c->index;
                        }
                        continue;
                }
                items[n_items] = (WantedItem){ .object = c->object,
                                               .from_api = c->from_api,
                                               .stand_in = !c->from_api && local->stand_in &&
                                                           local->stand_in[c->index] };
                memcpy(items[n_items++].digest, c->object->digest, sizeof(c->object->digest));
        }
        if (n_items > 1)
                qsort(items, n_items, sizeof(*items), compare_items);
        return n_items;
}

/* Behind the others. */
static size_t add_former(const WantedFacts *f, WantedItem *items, size_t n) {
        size_t n_defined = n;

        for (size_t i = 0; f->theirs && i < f->n_former; i++) {
                const Object *o = objects_find(f->theirs, OBJECT_DAEMONSET, f->former[i].namespace, f->former[i].name);
                bool defined = false;

                for (size_t k = 0; o && k < n_defined; k++)
                        defined |= compare_names(items[k].object, o) == 0;
                /* Fenced and without the label it goes: nobody runs it. With it, only the list by the label does not
                 * know yet that it opted in again. */
                if (!o || defined || (wanted_is_fenced(o) && !*o->mode))
                        continue;
                items[n] = (WantedItem){ .object = o, .from_api = true, .former = true };
                memcpy(items[n++].digest, o->digest, sizeof(o->digest));
        }
        return n;
}

int wanted_make(const WantedFacts *facts, Wanted *ret) {
        const Objects *objects = &facts->local->objects;
        Maker maker = { .facts = facts, .objects = objects, .render = facts->render };
        size_t max = objects->n_objects + (objects->over ? objects->over->n_objects : 0) + facts->n_former + 1;
        _cleanup_free_ Candidate *candidates = calloc(max, sizeof(*candidates));
        _cleanup_wanted_ Wanted w = {
                .wanted = calloc(max, sizeof(*w.wanted)),
                .items = calloc(max, sizeof(*w.items)),
        };

        if (!candidates || !w.wanted || !w.items)
                return -ENOMEM;
        maker.render.objects = objects;
        hash_options(&maker.render, w.options);
        if (facts->before && streq(facts->before->options, w.options))
                maker.before = facts->before;
        w.n = add_former(facts, w.items, choose(facts->local, candidates, w.items));
        for (size_t i = 0; i < w.n; i++)
                if (want_one(&maker, w.items[i].object, &w.wanted[i], &w.items[i]) < 0)
                        return -ENOMEM;
        *ret = w;
        w = (Wanted){ 0 };
        return 0;
}

void wanted_done(Wanted *w) {
        for (size_t i = 0; w->items && i < w->n; i++) {
                rendered_done(&w->items[i].rendered);
                free(w->items[i].message);
                free(w->items[i].unfit);
                free(w->items[i].difference);
                free(w->items[i].blind);
                free(w->items[i].origin);
        }
        free(w->items);
        free(w->wanted);
        *w = (Wanted){ 0 };
}
