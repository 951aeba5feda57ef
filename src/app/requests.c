/* SPDX-License-Identifier: Apache-2.0 */
#include "app/requests.h"
#include "io/clock.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { LOOK = 100 * 1000 * 1000 }; /* nanoseconds between two looks */

static const char *const directories[N_REQUEST_KINDS] = { [REQUEST_RESTART] = "restart", [REQUEST_NOW] = "now" };

char *requests_path(const char *runtime_dir, RequestKind kind) {
        _cleanup_buf_ Buf path = BUF_INIT;

        buf_printf(&path, "%s/%s", runtime_dir, directories[kind]);
        return buf_take(&path, NULL);
}

/* A directory that others may write to is not listened to. */
static int open_dir(const char *runtime_dir, RequestKind kind) {
        _cleanup_free_ char *path = requests_path(runtime_dir, kind);
        _cleanup_fd_ int fd = path ? file_open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) : -ENOMEM;
        struct stat st;
        int r;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (file_check_trust(&st, path, NULL) < 0)
                return -EPERM;
        r = fd;
        fd = -1;
        return r;
}

int requests_open(const char *runtime_dir) {
        (void)mkdir(runtime_dir, 0755);
        for (RequestKind kind = 0; kind < N_REQUEST_KINDS; kind++) {
                _cleanup_free_ char *path = requests_path(runtime_dir, kind);

                if (!path)
                        return -ENOMEM;
                if (mkdir(path, 0700) < 0 && errno != EEXIST)
                        return -errno;
        }
        return 0;
}

static bool is_question(int dir, const char *file) {
        struct stat st;

        return fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

int requests_read(const char *runtime_dir, RequestKind kind, Names *ret) {
        _cleanup_fd_ int fd = open_dir(runtime_dir, kind);
        _cleanup_names_ Names names = { 0 };
        int r = fd < 0 ? fd : names_read(fd, manifest_name_is_ours, &names);

        for (size_t i = 0; r == 0 && i < names.n; i++)
                if (is_question(fd, names.items[i]))
                        r = names_add(ret, names.items[i]);
        return r == -ENOMEM ? r : 0;
}

void requests_answer(const char *runtime_dir, RequestKind kind, const char *file, const char *answer) {
        _cleanup_fd_ int fd = open_dir(runtime_dir, kind);

        /* Who asked and went away has taken the question along. */
        if (fd < 0 || !is_question(fd, file))
                return;
        /* A question that cannot be answered must not be asked for ever. */
        if (file_write_at(fd, ".answer", file, answer, strlen(answer), 0600, NULL) < 0)
                (void)unlinkat(fd, file, 0);
}

int requests_ask(const char *runtime_dir, RequestKind kind, const char *file, Err *err) {
        _cleanup_fd_ int dir = open_dir(runtime_dir, kind), fd = -1;

        if (dir < 0)
                return err_errno(err, dir, "cannot ask the agent: %s/%s", runtime_dir, directories[kind]);
        fd = file_open_at(dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
        return fd < 0 ? err_errno(err, fd, "cannot ask the agent: %s/%s/%s", runtime_dir, directories[kind], file) : 0;
}

int requests_take(const char *runtime_dir, RequestKind kind, const char *file, char **ret, Err *err) {
        _cleanup_fd_ int dir = open_dir(runtime_dir, kind);
        int r = dir;
        size_t len;

        *ret = NULL;
        if (dir >= 0 && is_question(dir, file))
                return 0;
        if (dir >= 0)
                r = file_read(dir, file, JSON_SIZE_MAX, (FileTrust){ .check = true }, ret, &len, NULL);
        if (r < 0)
                return err_errno(err, r, "the agent's answer is lost: %s/%s/%s", runtime_dir, directories[kind], file);
        (void)unlinkat(dir, file, 0);
        return 0;
}

void requests_withdraw(const char *runtime_dir, RequestKind kind, const char *file) {
        _cleanup_fd_ int dir = open_dir(runtime_dir, kind);

        if (dir >= 0)
                (void)unlinkat(dir, file, 0);
}

void requests_pause(void) {
        (void)nanosleep(&(struct timespec){ .tv_nsec = LOOK }, NULL);
}

int requests_wait(const char *runtime_dir, RequestKind kind, const char *file, int64_t until, char **ret, Err *err) {
        int r = requests_take(runtime_dir, kind, file, ret, err);

        while (r == 0 && !*ret) {
                if (clock_boot_ms() > until) {
                        requests_withdraw(runtime_dir, kind, file);
                        return err_set(err, -ETIMEDOUT, "the agent has not answered for %d s; see daemonlet status",
                                       REQUESTS_PATIENCE / 1000);
                }
                requests_pause();
                r = requests_take(runtime_dir, kind, file, ret, err);
        }
        return r;
}

int requests_parse_target(const char *arg, RequestTarget *ret) {
        const char *slash = strchr(arg, '/');
        size_t n = slash ? (size_t)(slash - arg) : 0;

        if (!slash || n >= sizeof(ret->namespace))
                return -EINVAL;
        memcpy(ret->namespace, arg, n);
        ret->namespace[n] = 0;
        ret->name = slash + 1;
        return manifest_file_name(ret->namespace, ret->name, ret->file);
}

/* ---- what a plan makes of them ---- */

const PlanRow *requests_row(const Plan *plan, const char *file) {
        char own[MANIFEST_NAME_MAX + 1];

        for (size_t i = 0; i < plan->n_rows; i++) {
                const PlanRow *row = &plan->rows[i];

                if (manifest_file_name(row->namespace, row->name, own) == 0 && streq(own, file))
                        return row;
        }
        return NULL;
}

int requests_find_targets(const PlanFacts *facts, const Names *files, Names *ret, Reason *ret_held) {
        _cleanup_plan_ Plan plan = { 0 };
        int e = plan_make(facts, &plan);

        for (size_t i = 0; e == 0 && i < files->n; i++) {
                const PlanRow *row = requests_row(&plan, files->items[i]);
                _cleanup_buf_ Buf target = BUF_INIT;

                if (!row)
                        continue;
                ret_held[i] = row->state == STATE_HELD ? row->reason : REASON_None;
                buf_printf(&target, "%s/%s", row->namespace, row->name);
                e = target.failed ? -ENOMEM : names_add(ret, buf_text(&target));
        }
        return e;
}

const char *requests_restart_answer(const Plan *plan, const char *file) {
        const PlanRow *row = requests_row(plan, file);

        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];

                if (streq(s->file, file) && (s->verb == STEP_WITHDRAW || s->verb == STEP_REPLACE))
                        return s->failure ? s->failure : ANSWER_RESTARTING;
        }
        if (!row)
                return "nothing of it stands here";
        return *row->message ? row->message : "it is being put right; ask again";
}
