/* SPDX-License-Identifier: Apache-2.0 */
#include "app/volumes.h"

#include <errno.h>

enum { SWEEP_AFTER = 5 * 60 }; /* seconds behind the grace period of a pod of which nothing can be told */

/* ---- writing ---- */

typedef enum Outcome { UNTOUCHED, KEPT } Outcome;

/* An object that became empty, or an optional one that went, empties no pod that may be running. */
static bool would_vanish(const RenderedVolume *v, bool holds, const char *hash) {
        return v->empty && holds && !streq(hash, v->hash);
}

static int write_one(Materialise *m, const VolumesFacts *f, const Object *daemonset, const char *uid,
                     const RenderedVolume *v, Outcome *ret, Err *err) {
        char hash[PAYLOAD_HEX + 1] = "";
        _cleanup_payload_ Payload payload = { 0 };
        bool holds = materialise_holds(m, v->dir, hash);

        *ret = UNTOUCHED;
        if (would_vanish(v, holds, hash)) {
                *ret = KEPT;
                return 0;
        }
        if (holds && streq(hash, v->hash) && !f->verify)
                return 0;
        if (render_payload(daemonset, f->render, v->name, uid, &payload) < 0)
                return err_oom(err);
        return materialise_write(m, v->dir, &payload, err);
}

static int set_text(char **field, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

/* The manifest must not be written: its pod would wait for the directory while the old one is stopped already. */
static int fail_steps(Plan *plan, const PlanWanted *w, const Err *why) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                PlanStep *s = &plan->steps[i];

                if (streq(s->namespace, w->namespace) && streq(s->name, w->name) &&
                    (s->verb == STEP_CREATE || s->verb == STEP_REPLACE || s->verb == STEP_WITHDRAW) &&
                    set_text(&s->failure, why->message) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int note_kept(Plan *plan, const PlanWanted *w, const RenderedVolume *v) {
        PlanRow *row = plan_find_row(plan, w->namespace, w->name);
        _cleanup_buf_ Buf text = BUF_INIT;

        if (!row)
                return 0;
        if (*row->message)
                buf_printf(&text, "%s; ", row->message);
        buf_printf(&text, "volume %s would become empty: its files stay as they were", v->name);
        if (text.failed || set_text(&row->message, buf_text(&text)) < 0)
                return -ENOMEM;
        if (row->reason == REASON_Fits)
                row->reason = REASON_VolumeKept;
        return 0;
}

/* 0, or -ENOMEM; *ret_failed is the first failure. */
static int write_all_of(Materialise *m, const VolumesFacts *f, size_t i, Plan *plan, int *ret_failed, Err *err) {
        const Object *daemonset = f->wanted->items[i].object;
        const PlanWanted *w = &f->wanted->wanted[i];

        for (size_t k = 0; k < w->rendered->n_volumes; k++) {
                const RenderedVolume *v = &w->rendered->volumes[k];
                Outcome outcome;
                Err why = { 0 };
                int r = write_one(m, f, daemonset, w->rendered->uid, v, &outcome, &why), noted = 0;

                if (r < 0) {
                        *ret_failed = err_set(err, r, "%s/%s: %s", w->namespace, w->name, why.message);
                        noted = fail_steps(plan, w, &why);
                } else if (outcome == KEPT)
                        noted = note_kept(plan, w, v);
                if (noted < 0)
                        return noted;
        }
        return 0;
}

static bool is_of_pod(const char *namespace, const char *name, const char *file) {
        char own[MANIFEST_NAME_MAX + 1];

        return manifest_file_name(namespace, name, own) == 0 && streq(own, file);
}

int volumes_write(Materialise *m, const VolumesFacts *facts, Plan *plan, Err *err) {
        int failed = 0;

        for (size_t i = 0; i < facts->wanted->n; i++) {
                const PlanWanted *w = &facts->wanted->wanted[i];

                if (w->wish != WISH_PRESENT || !w->rendered || facts->wanted->items[i].away ||
                    (facts->only_file && !is_of_pod(w->namespace, w->name, facts->only_file)))
                        continue;
                if (write_all_of(m, facts, i, plan, &failed, err) < 0)
                        return err_oom(err);
        }
        return failed;
}

int volumes_fail(const Wanted *wanted, Plan *plan, const Err *why) {
        for (size_t i = 0; i < wanted->n; i++) {
                const PlanWanted *w = &wanted->wanted[i];

                if (w->wish == WISH_PRESENT && w->rendered && w->rendered->n_volumes > 0 &&
                    fail_steps(plan, w, why) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* ---- sweeping ---- */

typedef struct Sweep {
        const Wanted *wanted;
        const StoreSnapshot *snapshot;
        int64_t now;
        bool failed;
} Sweep;

/* Whether these are the bytes of a manifest that mounts from this input. What cannot be told is in use. */
static bool mounts(const char *bytes, size_t len, const char *input) {
        return bytes && memmem(bytes, len, input, strlen(input));
}

static bool is_ended(const PlanTombstone *t, int64_t now) {
        if (t->witness == WITNESS_UNKNOWN)
                return now - t->removed_at > t->grace + SWEEP_AFTER;
        return t->witness == WITNESS_GONE;
}

static bool is_used(const Sweep *s, const char *file, const char *input, const char *dir) {
        const StoreSnapshot *snapshot = s->snapshot;
        size_t len = strlen(dir);

        for (size_t i = 0; i < snapshot->n_present; i++) {
                const PlanEntry *e = &snapshot->present[i];

                if (streq(e->file, file) && (e->unreadable || mounts(e->bytes, e->len, input)))
                        return true;
        }
        for (size_t i = 0; i < snapshot->n_written; i++) {
                const PlanWritten *w = &snapshot->written[i];

                if (!streq(w->file, file))
                        continue;
                if ((!w->bytes && !w->next) || mounts(w->bytes, w->len, input) || mounts(w->next, w->next_len, input))
                        return true;
        }
        for (size_t i = 0; i < snapshot->n_tombstones; i++) {
                const PlanTombstone *t = &snapshot->tombstones[i];

                if (is_of_pod(t->namespace, t->name, file) && (!t->input || streq(t->input, input)) &&
                    !is_ended(t, s->now))
                        return true;
        }
        for (size_t i = 0; i < s->wanted->n; i++) {
                const Rendered *r = s->wanted->wanted[i].rendered;

                for (size_t k = 0; r && !s->wanted->items[i].away && k < r->n_volumes; k++)
                        if (strncmp(r->volumes[k].dir, dir, len) == 0 && r->volumes[k].dir[len] == '/')
                                return true;
        }
        return false;
}

/* dir: "<pod>/<input>". */
static bool in_use(void *user, const char *dir) {
        const char *slash = strchr(dir, '/');
        Sweep *s = user;
        _cleanup_buf_ Buf file = BUF_INIT;

        if (!slash)
                return true;
        buf_printf(&file, MANIFEST_PREFIX "%.*s" MANIFEST_SUFFIX, (int)(slash - dir), dir);
        s->failed |= file.failed;
        return file.failed || is_used(s, buf_text(&file), slash + 1, dir);
}

int volumes_sweep(Materialise *m, const Wanted *wanted, const StoreSnapshot *snapshot, int64_t now, Err *err) {
        Sweep s = { .wanted = wanted, .snapshot = snapshot, .now = now };
        int r = materialise_sweep(m, in_use, &s, err);

        return s.failed ? err_oom(err) : r;
}
