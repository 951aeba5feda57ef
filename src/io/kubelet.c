/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kubelet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/utf8.h"
#include "io/clock.h"
#include "io/file.h"
#include "io/kubelet_internal.h"
#include "io/names.h"

enum { PROC_FILE_MAX = 4 * 1024 * 1024 }; /* a command line is at most a few pages; the kernel allows megabytes */

int kubelet_warn(KubeletSettings *k, const char *format, ...) {
        char text[ERR_MAX];
        va_list ap;

        if (k->warning)
                return 0;
        va_start(ap, format);
        (void)vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        utf8_flatten(text);
        k->warning = strdup(text);
        return k->warning ? 0 : -ENOMEM;
}

char *kubelet_resolve(const char *dir, const char *path) {
        _cleanup_buf_ Buf text = BUF_INIT;

        if (*path != '/' && dir)
                buf_printf(&text, "%s/", dir);
        buf_str(&text, path);
        return buf_take(&text, NULL);
}

/* ---- the running process ---- */

typedef struct Process {
        int pid;            /* 0: none */
        int64_t started_at; /* seconds since 1970, 0: not known */
        int64_t start_ticks;
        char *arguments;
        size_t len;
        char *cwd; /* or NULL */
} Process;

static void process_done(Process *p) {
        free(p->arguments);
        free(p->cwd);
        *p = (Process){ 0 };
}

static bool is_pid(const char *name) {
        return strspn(name, "123456789") > 0 && name[strspn(name, "0123456789")] == 0 && strlen(name) <= 9;
}

/* The target of a link under a process's directory, or NULL where it cannot be read. */
static int read_link(int proc, const char *pid, const char *name, char **ret) {
        char path[64], target[PATH_MAX];
        ssize_t n;

        *ret = NULL;
        (void)snprintf(path, sizeof(path), "%s/%s", pid, name);
        n = readlinkat(proc, path, target, sizeof(target));
        if (n < 0 || (size_t)n == sizeof(target))
                return 0;
        *ret = strndup(target, (size_t)n);
        return *ret ? 0 : -ENOMEM;
}

/* Kubelets in containers (of a test cluster, say) are to be seen from outside, but are not this host's. */
static int is_of_this_host(int proc, const char *pid, bool *ret) {
        _cleanup_free_ char *own = NULL, *first = NULL;

        if (read_link(proc, pid, "ns/pid", &own) < 0 || read_link(proc, "1", "ns/pid", &first) < 0)
                return -ENOMEM;
        *ret = !own || !first || streq(own, first);
        return 0;
}

/* A file of a process; a process that has gone meanwhile has none. */
static int read_proc_file(int proc, const char *pid, const char *name, char **ret, size_t *ret_len) {
        char path[64];
        int r;

        (void)snprintf(path, sizeof(path), "%s/%s", pid, name);
        r = file_read(proc, path, PROC_FILE_MAX, (FileTrust){ 0 }, ret, ret_len, NULL);
        return r == -ENOMEM ? r : r == 0;
}

/* 2: started as "kubelet"; 1: called so (a wrapper, for one); 0: neither, or a zombie, or a thread of the kernel. */
static int rank(const char *comm, const char *arguments, size_t len) {
        const char *slash;

        if (len == 0)
                return 0;
        slash = strrchr(arguments, '/');
        if (streq(slash ? slash + 1 : arguments, "kubelet"))
                return 2;
        return strncmp(comm, "kubelet\n", strlen("kubelet\n")) == 0 || streq(comm, "kubelet");
}

static int consider(int proc, const char *pid, int *best, Process *p) {
        _cleanup_free_ char *comm = NULL, *arguments = NULL, *cwd = NULL;
        size_t len, comm_len;
        bool ours;
        int r = read_proc_file(proc, pid, "comm", &comm, &comm_len);

        if (r <= 0)
                return r;
        r = read_proc_file(proc, pid, "cmdline", &arguments, &len);
        if (r <= 0)
                return r;
        r = rank(comm, arguments, len);
        if (r <= *best)
                return 0;
        if (is_of_this_host(proc, pid, &ours) < 0 || (ours && read_link(proc, pid, "cwd", &cwd) < 0))
                return -ENOMEM;
        if (!ours)
                return 0;
        *best = r;
        process_done(p);
        *p = (Process){ .pid = atoi(pid), .arguments = TAKE_PTR(arguments), .len = len, .cwd = TAKE_PTR(cwd) };
        return 0;
}

/* When a process was started: ticks since boot in the 22nd field of its stat file (the 20th behind the name in
 * brackets, which may hold blanks). 0: there is no such process. */
static int start_ticks(int proc, int pid, int64_t *ret) {
        _cleanup_free_ char *text = NULL;
        const char *field;
        char name[16];
        size_t len;
        int r;

        *ret = 0;
        (void)snprintf(name, sizeof(name), "%d", pid);
        r = read_proc_file(proc, name, "stat", &text, &len);
        if (r <= 0)
                return r;
        field = strrchr(text, ')');
        for (int i = 0; field && i < 20; i++)
                field = strchr(field + 1, ' ');
        if (field)
                *ret = strtoll(field, NULL, 10);
        return 0;
}

/* The same in seconds since 1970, by the time of the boot. */
static int start_time(int proc, Process *p) {
        _cleanup_free_ char *text = NULL;
        const char *boot;
        size_t len;
        int r = start_ticks(proc, p->pid, &p->start_ticks);

        if (r == 0 && p->start_ticks > 0 &&
            file_read(proc, "stat", PROC_FILE_MAX, (FileTrust){ 0 }, &text, &len, NULL) == -ENOMEM)
                r = -ENOMEM;
        boot = text ? strstr(text, "\nbtime ") : NULL;
        if (boot)
                p->started_at = strtoll(boot + strlen("\nbtime "), NULL, 10) + p->start_ticks / sysconf(_SC_CLK_TCK);
        return r;
}

/* Of several the one that looks most like a kubelet, then the first. */
static int find_process(const char *proc_dir, KubeletSettings *k, Process *ret) {
        _cleanup_fd_ int proc = file_open_at(AT_FDCWD, proc_dir, O_RDONLY | O_DIRECTORY, 0);
        _cleanup_names_ Names names = { 0 };
        _cleanup_(process_done) Process p = { 0 };
        int best = 0, r = proc < 0 ? proc : names_read(proc, is_pid, &names);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return kubelet_warn(k, "%s: %s", proc_dir, strerrordesc_np(-r));
        for (size_t i = 0; i < names.n; i++) {
                r = consider(proc, names.items[i], &best, &p);
                if (r < 0)
                        return r;
        }
        r = p.pid ? start_time(proc, &p) : 0;
        if (r < 0)
                return r;
        *ret = p;
        p = (Process){ 0 };
        return 0;
}

int64_t kubelet_up_for(const char *proc_dir, const KubeletSettings *k) {
        _cleanup_fd_ int proc = k->pid ? file_open_at(AT_FDCWD, proc_dir, O_RDONLY | O_DIRECTORY, 0) : -1;
        int64_t ticks = 0, up;

        if (proc < 0 || start_ticks(proc, k->pid, &ticks) < 0 || ticks == 0 || ticks != k->start_ticks)
                return -1;
        up = clock_boot_ms() - ticks * 1000 / sysconf(_SC_CLK_TCK);
        return up > 0 ? up : 0;
}

bool kubelet_is_another(const char *proc_dir, const KubeletSettings *k) {
        _cleanup_kubelet_settings_ KubeletSettings scratch = { 0 };
        _cleanup_(process_done) Process p = { 0 };

        if (kubelet_up_for(proc_dir, k) >= 0)
                return false;
        return find_process(proc_dir, &scratch, &p) == 0 && p.pid &&
               (p.pid != k->pid || p.start_ticks != k->start_ticks);
}

/* ---- from flags to settings ---- */

static int resolve_to(const char *cwd, const char *path, char **field) {
        char *resolved = NULL;

        /* An empty value of a flag is the same as none. */
        if (path && *path) {
                resolved = kubelet_resolve(cwd, path);
                if (!resolved)
                        return -ENOMEM;
        }
        free(*field);
        *field = resolved;
        return 0;
}

static void move_to(char **from, char **field) {
        free(*field);
        *field = TAKE_PTR(*from);
}

/* Flags win over the configuration, wherever they stand. */
static int apply_flags(KubeletFlags *f, const char *cwd, KubeletSettings *k) {
        const char *kubeconfig = f->kubeconfig && *f->kubeconfig ? f->kubeconfig : f->bootstrap_kubeconfig;

        move_to(&f->hostname_override, &k->hostname_override);
        move_to(&f->node_labels, &k->node_labels);
        move_to(&f->register_with_taints, &k->register_with_taints);
        k->static_pod_path_is_flag = f->pod_manifest_path;
        if (f->pod_manifest_path && resolve_to(cwd, f->pod_manifest_path, &k->static_pod_path) < 0)
                return -ENOMEM;
        return resolve_to(cwd, kubeconfig, &k->kubeconfig);
}

int kubelet_flags_parse(const char *text, KubeletSettings *into) {
        _cleanup_kubelet_flags_ KubeletFlags f = { 0 };
        int r = kubelet_flags_from_file(text, &f);

        return r < 0 ? r : apply_flags(&f, NULL, into);
}

/* Adds the text of a flags file. */
static int read_flags_file(const char *path, Buf *text, KubeletSettings *k) {
        _cleanup_free_ char *bytes = NULL;
        size_t len;
        Err err = { 0 };
        int r = path ? file_read(AT_FDCWD, path, PROC_FILE_MAX, (FileTrust){ .follow = true }, &bytes, &len, &err)
                     : -ENOENT;

        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return kubelet_warn(k, "%s", err.message);
        k->known = true;
        buf_str(text, bytes);
        buf_char(text, '\n');
        return 0;
}

/* One text, as kubeadm's unit reads them one after the other: what both set, the second one says. */
static int read_flags_files(const KubeletPaths *paths, KubeletFlags *f, KubeletSettings *k) {
        _cleanup_buf_ Buf text = BUF_INIT;
        int r = read_flags_file(paths->flags_file, &text, k);

        if (r == 0)
                r = read_flags_file(paths->extra_flags_file, &text, k);
        if (r < 0)
                return r;
        return text.failed ? -ENOMEM : kubelet_flags_from_file(buf_text(&text), f);
}

static int read_flags(const KubeletPaths *paths, const Process *p, KubeletFlags *f, KubeletSettings *k) {
        if (p->pid == 0)
                return read_flags_files(paths, f, k);
        k->running = k->known = true;
        k->pid = p->pid;
        k->started_at = p->started_at;
        k->start_ticks = p->start_ticks;
        return kubelet_flags_from_arguments(p->arguments, p->len, f);
}

int kubelet_settings_read(const KubeletPaths *paths, KubeletSettings *ret) {
        _cleanup_kubelet_settings_ KubeletSettings k = { 0 };
        _cleanup_kubelet_flags_ KubeletFlags f = { 0 };
        _cleanup_(process_done) Process p = { 0 };
        _cleanup_free_ char *config = NULL, *config_dir = NULL;
        int r = find_process(paths->proc_dir, &k, &p);

        if (r == 0)
                r = read_flags(paths, &p, &f, &k);
        if (r == 0)
                r = resolve_to(p.cwd, f.config, &config);
        if (r == 0)
                r = resolve_to(p.cwd, f.config_dir, &config_dir);
        if (r == 0)
                r = kubelet_config_read(config ? config : paths->config, config, config_dir, p.cwd, &k);
        if (r == 0)
                r = apply_flags(&f, p.cwd, &k);
        if (r < 0)
                return r;
        *ret = k;
        k = (KubeletSettings){ 0 };
        return 0;
}

void kubelet_settings_done(KubeletSettings *k) {
        free(k->hostname_override);
        free(k->node_labels);
        free(k->register_with_taints);
        for (size_t i = 0; i < k->n_config_taints; i++) {
                free(k->config_taints[i].key);
                free(k->config_taints[i].value);
        }
        free(k->config_taints);
        free(k->static_pod_path);
        free(k->kubeconfig);
        free(k->warning);
        *k = (KubeletSettings){ 0 };
}
