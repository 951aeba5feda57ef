/* SPDX-License-Identifier: Apache-2.0 */
/* Carrying a plan out, in three rounds: first state learns what will be written, then the manifest directory changes,
 * last state learns what was written. A process that is killed in any round leaves each manifest whole, and whatever
 * stands known to state. What is handed over is remembered before all of them. */
#include "io/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

typedef enum Progress {
        TODO,
        EQUAL, /* these bytes stand already */
        DONE,
        FAILED,
} Progress;

typedef struct Apply {
        Store *s;
        Plan *plan;
        int64_t now;
        Progress *progress;     /* of each step */
        bool directory_changed; /* the manifest directory */
        bool state_changed;     /* the state directory itself */
        bool written_changed;   /* manifests/ */
        bool next_changed;      /* next/ */
        int first;              /* the first failure */
        Err *err;
} Apply;

static void note(Apply *a, int code, const char *message) {
        if (a->first == 0)
                a->first = err_set(a->err, code, "%s", message);
}

static void fail_step(Apply *a, size_t i, int code, Err *why) {
        PlanStep *step = &a->plan->steps[i];

        a->progress[i] = FAILED;
        note(a, err_wrap(why, code, "%s %s", step_verb_name(step->verb), step->file), why->message);
        free(step->failure);
        step->failure = strdup(why->message);
}

static bool writes(const PlanStep *step) {
        return step->verb == STEP_RESTORE || step->verb == STEP_REPLACE || step->verb == STEP_CREATE;
}

/* Bytes that are restored are in state already. */
static bool writes_next(const PlanStep *step) {
        return step->verb == STEP_REPLACE || step->verb == STEP_CREATE;
}

/* ---- what an interrupted plan left in next/ ---- */

/* 1: it stands; 0: it does not; or -ENOMEM. */
static int next_stands(Apply *a, const char *file) {
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        int r = file_read(a->s->next_fd, file, MANIFEST_KUBELET_MAX, (FileTrust){ 0 }, &bytes, &len, NULL);

        if (r == -ENOMEM)
                return r;
        return r == 0 && manifest_name_is_ours(file) ? store_holds(a->s->manifest_fd, file, bytes, len) : 0;
}

static int resolve_one(Apply *a, const char *file) {
        int r = next_stands(a, file);

        if (r < 0)
                return r;
        if (r > 0) {
                if (renameat(a->s->next_fd, file, a->s->manifests_fd, file) < 0)
                        return -errno;
                a->written_changed = true;
        } else if (unlinkat(a->s->next_fd, file, 0) < 0 && errno != ENOENT) {
                return -errno;
        }
        a->next_changed = true;
        return 0;
}

/* What stands becomes the bytes last written, the rest was never used. */
static void resolve_next(Apply *a) {
        _cleanup_names_ Names names = { 0 };
        Err why = { 0 };
        int r = names_read(a->s->next_fd, NULL, &names);

        /* What stands may not be on the disk yet, and state must not be ahead of it. */
        if (r == 0 && names.n > 0)
                r = file_sync_dir(a->s->manifest_fd);
        for (size_t i = 0; i < names.n && r == 0; i++)
                r = resolve_one(a, names.items[i]);
        if (r == -ENOMEM)
                note(a, err_oom(&why), why.message);
        else if (r < 0)
                note(a, err_errno(&why, r, "cannot tidy %s/next", a->s->state_dir), why.message);
}

/* ---- what was handed over ---- */

/* A manifest that goes without anybody knowing why would come back with the next plan. */
static void remember_handovers(Apply *a) {
        Err why = { 0 };
        int r = store_save_handovers(a->s, a->plan, &why);

        if (r == 0)
                return;
        note(a, err_wrap(&why, r, "cannot remember what is handed over"), why.message);
        for (size_t i = 0; i < a->plan->n_steps; i++) {
                const PlanStep *step = &a->plan->steps[i];
                Err step_why = why;

                if (step->verb == STEP_HAND_OVER && !step->failure)
                        fail_step(a, i, r, &step_why);
        }
}

/* ---- first round: state learns what will be ---- */

static int prepare_write(Apply *a, size_t i, Err *why) {
        const PlanStep *step = &a->plan->steps[i];
        int r = store_holds(a->s->manifest_fd, step->file, step->bytes, step->len);

        if (r < 0)
                return err_oom(why);
        if (r > 0) {
                a->progress[i] = EQUAL;
                return 0;
        }
        if (!writes_next(step))
                return 0;
        return store_write_state(a->s, a->s->next_fd, step->file, step->bytes, step->len, &a->next_changed, why);
}

/* Without its bytes on the disk no manifest is touched. */
static void sync_next(Apply *a) {
        int r = a->next_changed ? file_sync_dir(a->s->next_fd) : 0;

        for (size_t i = 0; i < a->plan->n_steps && r < 0; i++)
                if (writes_next(&a->plan->steps[i]) && a->progress[i] == TODO) {
                        Err why = { 0 };

                        fail_step(a, i, err_errno(&why, r, "cannot sync %s/next", a->s->state_dir), &why);
                }
}

static void prepare(Apply *a) {
        bool buried = false;
        Err why = { 0 };
        int r;

        for (size_t i = 0; i < a->plan->n_steps; i++) {
                const PlanStep *step = &a->plan->steps[i];
                Err step_why = { 0 };

                if (step->failure) {
                        a->progress[i] = FAILED;
                        continue;
                }
                r = 0;
                if (writes(step))
                        r = prepare_write(a, i, &step_why);
                if (r == 0 && store_buries(step) && a->progress[i] == TODO) {
                        buried = true;
                        if (store_bury(a->s, step, a->now) < 0)
                                r = err_oom(&step_why);
                }
                if (r < 0)
                        fail_step(a, i, r, &step_why);
        }
        sync_next(a);
        /* A full disk is no reason to let a pod run that must go: without the tombstone a port may be taken too soon.
         */
        r = buried ? store_save_index(a->s, &a->state_changed, &why) : 0;
        if (r < 0)
                note(a, r, why.message);
}

/* ---- second round: the manifest directory ---- */

static int do_sweep(Apply *a, const PlanStep *step, Err *why) {
        if (unlinkat(a->s->manifest_fd, step->file, 0) < 0 && errno != ENOENT)
                return err_errno(why, -errno, "cannot unlink it");
        a->directory_changed = true;
        return 0;
}

static int do_quarantine(Apply *a, const PlanStep *step, Err *why) {
        a->directory_changed = true;
        return quarantine_move(a->s, step->file, a->now, why);
}

static void save_copy(Apply *a, const PlanStep *step) {
        Err why = { 0 };
        int r = quarantine_copy(a->s, step->file, a->now, &why);

        if (r < 0)
                note(a, r, why.message);
}

/* What is not what we wrote is somebody's work, even if it has to go. */
static int do_remove(Apply *a, const PlanStep *step, Err *why) {
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        int r = file_read(a->s->manifests_fd, step->file, MANIFEST_KUBELET_MAX, (FileTrust){ 0 }, &bytes, &len, NULL);

        if (r == 0)
                r = store_holds(a->s->manifest_fd, step->file, bytes, len);
        if (r == -ENOMEM)
                return err_oom(why);
        if (r <= 0)
                save_copy(a, step);
        return do_sweep(a, step, why);
}

static int do_nothing(Apply *a, const PlanStep *step, Err *why) {
        (void)a;
        (void)step;
        (void)why;
        return 0;
}

/* Gives the temporary file its name. A new manifest never takes the place of something. */
static int install(Apply *a, const PlanStep *step) {
        int fd = a->s->manifest_fd;

        if (step->verb != STEP_CREATE)
                return renameat(fd, MANIFEST_TMP, fd, step->file) < 0 ? -errno : 0;
        if (renameat2(fd, MANIFEST_TMP, fd, step->file, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -errno;
        /* A file system or a kernel that cannot do this: a link does not overwrite either. */
        if (linkat(fd, MANIFEST_TMP, fd, step->file, 0) < 0)
                return -errno;
        (void)unlinkat(fd, MANIFEST_TMP, 0);
        return 0;
}

static int do_write(Apply *a, const PlanStep *step, Err *why) {
        int r;

        if (step->move_first) {
                r = do_quarantine(a, step, why);
                if (r < 0)
                        return r;
        } else if (step->save_copy) {
                save_copy(a, step);
        }
        r = file_make_at(a->s->manifest_fd, MANIFEST_TMP, step->bytes, step->len, 0600, why);
        if (r < 0)
                return r;
        r = install(a, step);
        if (r < 0) {
                (void)unlinkat(a->s->manifest_fd, MANIFEST_TMP, 0);
                return r == -EEXIST ? err_set(why, r, "something of this name appeared meanwhile")
                                    : err_errno(why, r, "cannot rename %s", MANIFEST_TMP);
        }
        a->directory_changed = true;
        return 0;
}

/* The owner first: changing it can clear bits of the mode. */
static int set_mode(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_uid != geteuid() && fchown(fd, geteuid(), (gid_t)-1) < 0)
                return -errno;
        return fchmod(fd, 0600) < 0 ? -errno : 0;
}

/* The kubelet looks at the file again whenever its mode is set, even to the same one. */
static int do_touch(Apply *a, const PlanStep *step, Err *why) {
        _cleanup_fd_ int fd = file_open_at(a->s->manifest_fd, step->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
        struct stat st;
        int r = fd < 0 ? fd : set_mode(fd);

        /* Our own file, but closed to ourselves. */
        if (fd == -EACCES && fstatat(a->s->manifest_fd, step->file, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
                r = fchmodat(a->s->manifest_fd, step->file, 0600, 0) < 0 ? -errno : 0;
        return r < 0 ? err_errno(why, r, "cannot set its mode") : 0;
}

/* New bytes that state cannot take (a full disk) are not written; but where nothing good stands, the last ones are
 * better than nothing, and they are in state already. */
static void fall_back(Apply *a, const PlanStep *step) {
        _cleanup_free_ char *bytes = NULL;
        PlanStep last = *step;
        Err why = { 0 };

        if (step->verb != STEP_CREATE && !step->save_copy)
                return;
        if (file_read(a->s->manifests_fd, step->file, MANIFEST_KUBELET_MAX, (FileTrust){ 0 }, &bytes, &last.len, NULL) <
            0)
                return;
        last.bytes = bytes;
        (void)do_write(a, &last, &why);
}

static void carry_out(Apply *a) {
        static int (*const verbs[])(Apply *, const PlanStep *, Err *) = {
                [STEP_SWEEP] = do_sweep,    [STEP_QUARANTINE] = do_quarantine, [STEP_HAND_OVER] = do_remove,
                [STEP_REMOVE] = do_remove,  [STEP_WITHDRAW] = do_remove,       [STEP_FORGET] = do_nothing,
                [STEP_RECORD] = do_nothing, [STEP_RESTORE] = do_write,         [STEP_REPLACE] = do_write,
                [STEP_CREATE] = do_write,   [STEP_TOUCH] = do_touch,
        };

        for (size_t i = 0; i < a->plan->n_steps; i++) {
                const PlanStep *step = &a->plan->steps[i];
                Err why = { 0 };
                int r;

                if (a->progress[i] == FAILED && writes_next(step))
                        fall_back(a, step);
                if (a->progress[i] != TODO)
                        continue;
                r = verbs[step->verb](a, step, &why);
                if (r < 0)
                        fail_step(a, i, r, &why);
                else
                        a->progress[i] = DONE;
        }
}

/* ---- third round: state learns what was ---- */

static int forget(Apply *a, const PlanStep *step) {
        if (unlinkat(a->s->manifests_fd, step->file, 0) == 0)
                a->written_changed = true;
        else if (errno != ENOENT)
                return -errno;
        index_drop(&a->s->index, step->file);
        return 0;
}

static int remember(Apply *a, const PlanStep *step, Progress progress, Err *why) {
        Store *s = a->s;
        int r = 0;

        if (progress == DONE && writes_next(step) && renameat(s->next_fd, step->file, s->manifests_fd, step->file) == 0)
                a->written_changed = a->next_changed = true;
        else if (step->bytes)
                r = store_write_state(s, s->manifests_fd, step->file, step->bytes, step->len, &a->written_changed, why);
        if (r < 0)
                return r;
        if (step->bytes)
                store_resurrect(a->s, step);
        if (!step->namespace || !step->name)
                return 0;
        r = index_put(&s->index, step->file, step->namespace, step->name, step->origin);
        return r < 0 ? err_oom(why) : 0;
}

static int settle_step(Apply *a, const PlanStep *step, Progress progress, Err *why) {
        int r;

        if (progress == FAILED) {
                if (store_buries(step))
                        store_unbury(a->s, step, a->now);
                return 0;
        }
        if (step->verb == STEP_RECORD || step->verb == STEP_WITHDRAW || writes(step))
                return remember(a, step, progress, why);
        if (step->verb != STEP_HAND_OVER && step->verb != STEP_REMOVE && step->verb != STEP_FORGET)
                return 0;
        r = forget(a, step);
        return r < 0 ? err_errno(why, r, "cannot forget %s", step->file) : 0;
}

static void sync_state_dirs(Apply *a) {
        const struct {
                bool changed;
                int fd;
        } dirs[] = {
                { a->written_changed, a->s->manifests_fd },
                { a->next_changed, a->s->next_fd },
                { a->state_changed, a->s->state_fd },
                { a->directory_changed && a->s->quarantine_fd >= 0, a->s->quarantine_fd },
        };

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                Err why = { 0 };
                int r = dirs[i].changed ? file_sync_dir(dirs[i].fd) : 0;

                if (r < 0)
                        note(a, err_errno(&why, r, "cannot sync the state directory %s", a->s->state_dir), why.message);
        }
}

static void settle(Apply *a) {
        Err why = { 0 };
        int r = a->directory_changed ? file_sync_dir(a->s->manifest_fd) : 0;

        /* Not known to be on the disk: state keeps both the old and the new bytes, and the next plan looks again. */
        if (r < 0) {
                note(a, err_errno(&why, r, "cannot sync %s", a->s->manifest_dir), why.message);
                return;
        }
        for (size_t i = 0; i < a->plan->n_steps; i++) {
                Err step_why = { 0 };

                r = settle_step(a, &a->plan->steps[i], a->progress[i], &step_why);
                if (r < 0)
                        note(a, r, step_why.message);
        }
        if (a->next_changed)
                resolve_next(a);
        index_expire(&a->s->index, a->now);
        if (a->first == 0) {
                r = store_leave_former(a->s, &why);
                if (r < 0)
                        note(a, r, why.message);
                why = (Err){ 0 };
        }
        r = store_save_index(a->s, &a->state_changed, &why);
        if (r < 0)
                note(a, r, why.message);
        sync_state_dirs(a);
        why = (Err){ 0 };
        r = quarantine_trim(a->s, &why);
        if (r < 0)
                note(a, r, why.message);
}

/* The plan left it alone; that must not look as if all were well. */
static void note_unreadable(Apply *a) {
        const Scan *scan = &a->s->scan;
        Err why = { 0 };

        if (scan->unreadable < 0)
                note(a,
                     err_errno(&why, scan->unreadable, "cannot read %s/%s, so nothing was done about it",
                               a->s->manifest_dir, scan->unreadable_file),
                     why.message);
}

int store_apply(Store *s, Plan *plan, int64_t now, StoreResult *ret, Err *err) {
        _cleanup_free_ Progress *progress = calloc(plan->n_steps + 1, sizeof(*progress));
        Apply a = { .s = s, .plan = plan, .now = now, .progress = progress, .err = err };
        int r;

        *ret = (StoreResult){ 0 };
        if (!progress)
                return err_oom(err);
        if (s->read_only)
                return err_set(err, -EROFS, "the store was opened for reading only");
        r = store_check_stale(s, err);
        if (r < 0)
                return r;
        note_unreadable(&a);
        resolve_next(&a);
        remember_handovers(&a);
        prepare(&a);
        carry_out(&a);
        settle(&a);
        for (size_t i = 0; i < plan->n_steps; i++)
                if (progress[i] == FAILED)
                        ret->failed++;
                else
                        ret->done++;
        return a.first;
}
