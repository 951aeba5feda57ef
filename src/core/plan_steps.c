/* SPDX-License-Identifier: Apache-2.0 */
/* From decisions to steps, in the order of a plan, and their words. */
#include "core/plan_internal.h"

#include <errno.h>

static const char *standing_word(const PlanItem *it) {
        static const char *const kinds[] = {
                [ENTRY_REGULAR] = "was damaged",
                [ENTRY_LINK] = "was a link",
                [ENTRY_DIRECTORY] = "was a directory",
                [ENTRY_OTHER] = "was no regular file",
        };

        if (it->stands == STANDS_NOTHING)
                return "was missing";
        if (it->misplaced)
                return "was another DaemonSet's pod";
        return it->stands == STANDS_DAMAGED ? kinds[it->entry->kind] : "was edited";
}

static const char *why_gone(const PlanItem *it) {
        if (it->handover == HANDOVER_STOPPED)
                return "the DaemonSet was deleted in the API server";
        if (item_is_away(it))
                return "the DaemonSet controller runs it";
        return it->wanted ? "this node should not run it" : "no source defines it";
}

static void why_replaced(const PlanItem *it, Buf *out) {
        if (it->rerender)
                buf_str(out, "replaced: rendered anew");
        else if (it->stands == STANDS_DAMAGED || it->stands == STANDS_EDITED)
                buf_printf(out, "replaced: the manifest %s", standing_word(it));
        else
                buf_str(out, "replaced: the template changed");
}

void item_words(const PlanItem *it, Buf *out) {
        if (it->quarantine)
                buf_printf(out, "quarantined: the manifest %s", standing_word(it));
        if (!it->has_step || it->verb == STEP_RECORD)
                return;
        if (it->quarantine)
                buf_str(out, "; ");
        switch (it->verb) {
        case STEP_CREATE:
                buf_str(out, item_is_back(it) ? "taken back" : "created");
                break;
        case STEP_REPLACE:
                why_replaced(it, out);
                break;
        case STEP_RESTORE:
                if (it->again)
                        buf_str(out, "written again: its pod is gone");
                else
                        buf_printf(out, "restored: the manifest %s", standing_word(it));
                break;
        case STEP_WITHDRAW:
                buf_printf(out, "withdrawn: %s",
                           it->absent ? "the kubelet has refused its pod" : "its pod is to be restarted");
                break;
        case STEP_HAND_OVER:
                buf_str(out, "handed over");
                break;
        case STEP_REMOVE:
                buf_printf(out, "removed: %s", why_gone(it));
                break;
        case STEP_FORGET:
                buf_printf(out, "forgotten: nothing stands, and %s", why_gone(it));
                break;
        default:
                break;
        }
}

StepEffect item_effect(const PlanItem *it) {
        if (!it->has_step)
                return EFFECT_POD_NONE;
        switch (it->verb) {
        case STEP_CREATE:
                return EFFECT_POD_START;
        case STEP_RESTORE:
                return it->stands == STANDS_NOTHING ? EFFECT_POD_START : EFFECT_POD_RESTART;
        case STEP_REPLACE:
        case STEP_WITHDRAW:
                return EFFECT_POD_RESTART;
        case STEP_HAND_OVER:
        case STEP_REMOVE:
                return EFFECT_POD_STOP;
        default:
                return EFFECT_POD_NONE;
        }
}

bool item_touched(const PlanItem *it) {
        /* With a conflict the event would make the kubelet change from the other file's pod to ours. */
        if (!item_stands(it) || it->foreign || it->damped || (it->has_step && it->verb != STEP_RECORD))
                return false;
        return it->copied || (it->entry->mode_wrong && it->stands != STANDS_EDITED);
}

/* ---- steps ---- */

static void step_done(PlanStep *s) {
        free(s->file);
        free(s->namespace);
        free(s->name);
        free(s->why);
}

int plan_add_step(Plan *plan, const PlanStep *step, const char *file, const char *namespace, const char *name,
                  const char *why) {
        PlanStep s = *step;

        s.file = strdup(file);
        s.namespace = strdup(str_or_empty(namespace));
        s.name = strdup(str_or_empty(name));
        s.why = strdup(why);
        if (!s.file || !s.namespace || !s.name || !s.why || !ARRAY_GROW(plan->steps, plan->n_steps, plan->cap_steps)) {
                step_done(&s);
                return -ENOMEM;
        }
        plan->steps[plan->n_steps++] = s;
        return 0;
}

static void set_bytes(const PlanItem *it, PlanStep *s) {
        const PlanWritten *w = it->written;

        switch (it->verb) {
        case STEP_RECORD:
                s->bytes = it->entry->bytes;
                s->len = it->entry->len;
                break;
        case STEP_RESTORE:
                s->bytes = w->bytes;
                s->len = w->len;
                s->save_copy = it->stands != STANDS_NOTHING;
                s->again = it->again;
                break;
        case STEP_CREATE:
        case STEP_REPLACE:
                s->bytes = it->wanted->rendered->bytes;
                s->len = it->wanted->rendered->len;
                /* What we wrote ourselves, now or before state was lost, is not worth a copy. */
                s->save_copy = it->stands == STANDS_EDITED || it->stands == STANDS_DAMAGED ||
                               (it->stands == STANDS_GENUINE && item_has_last(it));
                break;
        default:
                break;
        }
        s->move_first = s->save_copy && it->stands == STANDS_DAMAGED &&
                        (it->entry->kind == ENTRY_DIRECTORY || it->entry->kind == ENTRY_OTHER);
}

static int add_main_step(const PlanFacts *f, Plan *plan, const PlanItem *it, const char *origin) {
        _cleanup_buf_ Buf why = BUF_INIT;
        PlanStep s = { .verb = it->verb, .origin = origin, .effect = item_effect(it) };
        PlanItem alone = *it;

        if (!it->has_step)
                return 0;
        alone.quarantine = false;
        item_words(&alone, &why);
        if (item_is_back(it) || it->verb == STEP_HAND_OVER) {
                buf_str(&why, ": ");
                item_handover_words(f, it, &why);
        }
        if (it->verb == STEP_RECORD)
                buf_printf(&why, "recorded: it stands as it should, defined by %s",
                           origin ? origin : "an unknown source");
        if (why.failed)
                return -ENOMEM;
        set_bytes(it, &s);
        s.back = item_is_back(it);
        s.pod = s.back || it->verb == STEP_HAND_OVER ? item_theirs_pod(it) : NULL;
        return plan_add_step(plan, &s, it->file, it->namespace, it->name, buf_text(&why));
}

static int add_quarantine(Plan *plan, const PlanItem *it, const char *origin) {
        _cleanup_buf_ Buf why = BUF_INIT;

        if (!it->quarantine)
                return 0;
        buf_printf(&why, "quarantined: the manifest %s", standing_word(it));
        if (why.failed)
                return -ENOMEM;
        return plan_add_step(plan, &(PlanStep){ .verb = STEP_QUARANTINE, .origin = origin }, it->file, it->namespace,
                             it->name, buf_text(&why));
}

static int add_touch(Plan *plan, const PlanItem *it, const char *origin) {
        if (!item_touched(it))
                return 0;
        return plan_add_step(plan, &(PlanStep){ .verb = STEP_TOUCH, .origin = origin, .again = it->copied }, it->file,
                             it->namespace, it->name,
                             it->copied ? "touched: a copy was moved away, and the kubelet takes the manifest back"
                                        : "touched: the mode or owner was wrong");
}

static int compare_steps(const void *a, const void *b) {
        const PlanStep *x = a, *y = b;

        if (x->verb != y->verb)
                return x->verb < y->verb ? -1 : 1;
        return strcmp(x->file, y->file);
}

int planner_steps(Planner *p) {
        for (size_t i = 0; i < p->n_items; i++) {
                const PlanItem *it = &p->items[i];
                const char *origin = it->wanted ? it->wanted->origin : it->written ? it->written->origin : NULL;
                int r = add_quarantine(&p->plan, it, origin);

                if (r >= 0)
                        r = add_main_step(p->facts, &p->plan, it, origin);
                if (r >= 0)
                        r = add_touch(&p->plan, it, origin);
                if (r < 0)
                        return r;
        }
        if (p->plan.n_steps)
                qsort(p->plan.steps, p->plan.n_steps, sizeof(*p->plan.steps), compare_steps);
        return 0;
}
