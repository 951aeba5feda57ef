/* SPDX-License-Identifier: Apache-2.0 */
/* On process tables and files made in a temporary directory. Flags files in cases/kubelet/flags give the settings
 * beside them. */
#include "io/kubelet.h"

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void dump(const KubeletSettings *k, Buf *out) {
        buf_printf(out, "pid %d%s%s\n", k->pid, k->running ? " running" : "", k->known ? " known" : "");
        buf_printf(out, "hostname_override %s\n", k->hostname_override ? k->hostname_override : "-");
        buf_printf(out, "node_labels %s\n", k->node_labels ? k->node_labels : "-");
        buf_printf(out, "register_with_taints %s\n", k->register_with_taints ? k->register_with_taints : "-");
        for (size_t i = 0; i < k->n_config_taints; i++)
                buf_printf(out, "taint %s=%s:%s\n", k->config_taints[i].key, k->config_taints[i].value,
                           taint_effect_name(k->config_taints[i].effect));
        buf_printf(out, "static_pod_path %s\n", k->static_pod_path ? k->static_pod_path : "-");
        buf_printf(out, "kubeconfig %s\n", k->kubeconfig ? k->kubeconfig : "-");
        if (k->warning)
                buf_printf(out, "warning %s\n", k->warning);
}

/* ---- a host in a temporary directory ---- */

typedef struct Host {
        char dir[512];
        char proc[600], config[600], flags[600];
} Host;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void)st, (void)type, (void)ftw;
        return remove(path);
}

static int host_setup(void **state) {
        const char *tmp = getenv("TMPDIR");
        Host *h = calloc(1, sizeof(*h));

        assert_non_null(h);
        (void)snprintf(h->dir, sizeof(h->dir), "%s/test-kubelet-XXXXXX", tmp ? tmp : "/tmp");
        assert_non_null(mkdtemp(h->dir));
        (void)snprintf(h->proc, sizeof(h->proc), "%s/proc", h->dir);
        (void)snprintf(h->config, sizeof(h->config), "%s/config.yaml", h->dir);
        (void)snprintf(h->flags, sizeof(h->flags), "%s/flags.env", h->dir);
        assert_int_equal(mkdir(h->proc, 0755), 0);
        *state = h;
        return 0;
}

static int host_teardown(void **state) {
        Host *h = *state;

        assert_int_equal(nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        free(h);
        return 0;
}

/* Makes a file and the folders it lies in. */
static void put(const Host *h, const char *path, const char *text, size_t len) {
        char full[1200];
        FILE *f;

        assert_true((size_t)snprintf(full, sizeof(full), "%s/%s", h->dir, path) < sizeof(full));
        for (char *c = full + strlen(h->dir) + 1; (c = strchr(c, '/')); c++) {
                *c = 0;
                assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
                *c = '/';
        }
        f = fopen(full, "we");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, len, f), len);
        assert_int_equal(fclose(f), 0);
}

static void put_text(const Host *h, const char *path, const char *text) {
        put(h, path, text, strlen(text));
}

/* arguments: separated by blanks. */
static void put_process(const Host *h, const char *pid, const char *comm, const char *arguments) {
        _cleanup_free_ char *line = strdup(arguments);
        char path[100];
        size_t len = strlen(arguments);

        assert_non_null(line);
        for (char *c = line; *c; c++)
                if (*c == ' ')
                        *c = 0;
        (void)snprintf(path, sizeof(path), "proc/%s/cmdline", pid);
        put(h, path, line, len ? len + 1 : 0);
        (void)snprintf(path, sizeof(path), "proc/%s/comm", pid);
        put_text(h, path, comm);
}

static void put_link(const Host *h, const char *path, const char *target) {
        char full[1200], dir[1200];

        (void)snprintf(full, sizeof(full), "%s/%s", h->dir, path);
        (void)snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(full, '/') - full), full);
        assert_true(mkdir(dir, 0755) == 0 || errno == EEXIST);
        assert_int_equal(symlink(target, full), 0);
}

static int read_settings(const Host *h, KubeletSettings *k) {
        const KubeletPaths paths = { .proc_dir = h->proc, .config = h->config, .flags_file = h->flags };

        return kubelet_settings_read(&paths, k);
}

/* The settings as text, with the temporary directory as DIR. */
static void check(const Host *h, const char *want) {
        _cleanup_kubelet_settings_ KubeletSettings k;
        _cleanup_buf_ Buf text = BUF_INIT, got = BUF_INIT;
        const char *at, *found;

        assert_int_equal(read_settings(h, &k), 0);
        dump(&k, &text);
        for (at = buf_text(&text); (found = strstr(at, h->dir)); at = found + strlen(h->dir)) {
                buf_add(&got, at, (size_t)(found - at));
                buf_str(&got, "DIR");
        }
        buf_str(&got, at);
        assert_string_equal(buf_text(&got), want);
}

#define NOTHING "hostname_override -\nnode_labels -\nregister_with_taints -\n"
#define NO_PATHS "static_pod_path -\nkubeconfig -\n"

static void a_host_without_a_kubelet_has_no_settings(void **state) {
        check(*state, "pid 0\n" NOTHING NO_PATHS);
}

static void the_running_kubelets_flags_are_read(void **state) {
        Host *h = *state;

        put_process(h, "1", "systemd\n", "/sbin/init");
        put_process(h, "700", "kubelet\n",
                    "/usr/bin/kubelet --hostname-override=Node-1 -v 2 --kubeconfig /etc/k.conf --v=4 --node-labels=a=b "
                    "--register-with-taints=x:NoSchedule --pod-manifest-path=/m --fail-swap-on --node-labels c=d");
        /* A running kubelet's flags are the truth; the file may have changed since. */
        put_text(h, "flags.env", "KUBELET_KUBEADM_ARGS=--hostname-override=wrong\n");
        check(h, "pid 700 running known\nhostname_override Node-1\nnode_labels a=b,c=d\n"
                 "register_with_taints x:NoSchedule\nstatic_pod_path /m\nkubeconfig /etc/k.conf\n");
}

static const struct FlagRow {
        const char *arguments, *want; /* the lines from hostname_override on */
} flag_rows[] = {
        { "kubelet", NOTHING NO_PATHS },
        { "kubelet --hostname-override=a --hostname-override=b",
          "hostname_override b\nnode_labels -\nregister_with_taints -\n" NO_PATHS },
        { "kubelet --hostname_override a", "hostname_override a\nnode_labels -\nregister_with_taints -\n" NO_PATHS },
        { "kubelet --hostname_override a --node_labels=a=b",
          "hostname_override a\nnode_labels a=b\nregister_with_taints -\n" NO_PATHS },
        { "kubelet --hostname-overrides=a --hostname-overrid=b", NOTHING NO_PATHS },
        { "kubelet -hostname-override=a hostname-override=a", NOTHING NO_PATHS },
        { "kubelet -- --hostname-override=a", NOTHING NO_PATHS },
        { "kubelet --hostname-override", NOTHING NO_PATHS },
        { "--hostname-override=program", NOTHING NO_PATHS },
        { "kubelet --node-labels= --node-labels=a=b --node-labels=c=d,e=f",
          "hostname_override -\nnode_labels a=b,c=d,e=f\nregister_with_taints -\n" NO_PATHS },
        { "kubelet --register-with-taints=a:NoExecute --register-with-taints=",
          "hostname_override -\nnode_labels -\nregister_with_taints \n" NO_PATHS },
        { "kubelet --bootstrap-kubeconfig=/b --kubeconfig=/k", NOTHING "static_pod_path -\nkubeconfig /k\n" },
        { "kubelet --bootstrap-kubeconfig=/b --kubeconfig=", NOTHING "static_pod_path -\nkubeconfig /b\n" },
        { "kubelet --pod-manifest-path=", NOTHING NO_PATHS },
        { "kubelet --pod-manifest-path --kubeconfig --kubeconfig=/k",
          NOTHING "static_pod_path --kubeconfig\nkubeconfig /k\n" },
};

static void flags_are_read_as_pflag_reads_them(void **state) {
        Host *h = *state;

        for (size_t i = 0; i < ARRAY_SIZE(flag_rows); i++) {
                _cleanup_buf_ Buf want = BUF_INIT;

                put_process(h, "7", "kubelet\n", flag_rows[i].arguments);
                buf_printf(&want, "pid 7 running known\n%s", flag_rows[i].want);
                check(h, buf_text(&want));
        }
}

static const struct ProcessRow {
        const char *comm, *arguments;
        bool kubelet;
} process_rows[] = {
        { "kubelet\n", "kubelet", true },
        { "kubelet", "kubelet", true },
        { "kubelet\n", "/bin/sh /usr/bin/kubelet", true },
        { "exe\n", "/usr/local/bin/kubelet --v=2", true },
        { "kubelet\n", "", false },
        { "kubelet-wrapper\n", "/usr/bin/kubelet-wrapper", false },
        { "kubelets\n", "kubelets", false },
        { "vi\n", "vi kubelet", false },
};

static void a_kubelet_is_told_by_its_name(void **state) {
        Host *h = *state;

        for (size_t i = 0; i < ARRAY_SIZE(process_rows); i++) {
                _cleanup_kubelet_settings_ KubeletSettings k;

                put_process(h, "42", process_rows[i].comm, process_rows[i].arguments);
                assert_int_equal(read_settings(h, &k), 0);
                if (k.running != process_rows[i].kubelet)
                        fail_msg("%s: %d", process_rows[i].arguments, k.running);
                assert_int_equal(k.pid, k.running ? 42 : 0);
        }
}

static void names_that_are_no_pid_are_passed_over(void **state) {
        Host *h = *state;

        put_process(h, "self", "kubelet\n", "kubelet --hostname-override=wrong");
        put_process(h, "0123", "kubelet\n", "kubelet --hostname-override=wrong");
        put_process(h, "12a", "kubelet\n", "kubelet --hostname-override=wrong");
        check(h, "pid 0\n" NOTHING NO_PATHS);
}

static void the_kubelet_itself_is_preferred_to_a_wrapper(void **state) {
        Host *h = *state;

        put_process(h, "100", "kubelet\n", "/bin/sh /usr/bin/kubelet --hostname-override=wrong");
        put_process(h, "200", "kubelet\n", "/opt/bin/kubelet --hostname-override=right");
        put_process(h, "300", "kubelet\n", "/opt/bin/kubelet --hostname-override=later");
        check(h, "pid 200 running known\nhostname_override right\nnode_labels -\nregister_with_taints -\n" NO_PATHS);
}

static void a_kubelet_in_a_container_is_not_this_hosts(void **state) {
        Host *h = *state;

        put_process(h, "1", "systemd\n", "/sbin/init");
        put_process(h, "100", "kubelet\n", "/usr/bin/kubelet --hostname-override=kind");
        put_process(h, "200", "kubelet\n", "/usr/bin/kubelet --hostname-override=host");
        put_link(h, "proc/1/ns/pid", "pid:[1]");
        put_link(h, "proc/100/ns/pid", "pid:[2]");
        put_link(h, "proc/200/ns/pid", "pid:[1]");
        check(h, "pid 200 running known\nhostname_override host\nnode_labels -\nregister_with_taints -\n" NO_PATHS);
}

static void relative_paths_start_where_the_kubelet_starts(void **state) {
        Host *h = *state;

        put_process(h, "7", "kubelet\n",
                    "kubelet --config=etc/k.yaml --config-dir=d --kubeconfig=k.conf --pod-manifest-path=m");
        put_link(h, "proc/7/cwd", h->dir);
        put_text(h, "etc/k.yaml", "kind: KubeletConfiguration\nstaticPodPath: wrong\n");
        put_text(h, "d/1.conf", "kind: KubeletConfiguration\nregisterWithTaints: [{key: a, effect: NoSchedule}]\n");
        check(h, "pid 7 running known\n" NOTHING "taint a=:NoSchedule\nstatic_pod_path DIR/m\nkubeconfig DIR/k.conf\n");
        put_process(h, "7", "kubelet\n", "kubelet --config=etc/k.yaml");
        check(h, "pid 7 running known\n" NOTHING "static_pod_path DIR/etc/wrong\nkubeconfig -\n");
        put_text(h, "d/1.conf", "kind: KubeletConfiguration\nstaticPodPath: here\n");
        put_process(h, "7", "kubelet\n", "kubelet --config=etc/k.yaml --config-dir=d");
        check(h, "pid 7 running known\n" NOTHING "static_pod_path DIR/here\nkubeconfig -\n");
}

/* ---- configuration ---- */

#define KIND "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

static void the_configuration_is_read_as_yaml_and_json(void **state) {
        static const char *const files[] = { "cases/kubelet/config/kubeadm.yaml", "cases/kubelet/config/config.json" };
        Host *h = *state;

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *text = test_read(files[i], NULL);

                put_text(h, "config.yaml", text);
                check(h, "pid 0 known\n" NOTHING "taint dedicated=infra:NoSchedule\ntaint broken=:NoExecute\n"
                         "static_pod_path /etc/kubernetes/manifests\nkubeconfig -\n");
        }
}

static void flags_win_over_the_configuration(void **state) {
        Host *h = *state;

        put_text(h, "config.yaml", KIND "staticPodPath: /config\n");
        put_text(h, "flags.env", "KUBELET_EXTRA_ARGS=--pod-manifest-path=/flag --register-with-taints=a:NoSchedule\n");
        check(h, "pid 0 known\nhostname_override -\nnode_labels -\nregister_with_taints a:NoSchedule\n"
                 "static_pod_path /flag\nkubeconfig -\n");
        put_text(h, "flags.env", "KUBELET_EXTRA_ARGS=--pod-manifest-path=\n");
        check(h, "pid 0 known\n" NOTHING NO_PATHS);
}

static void drop_ins_are_laid_over_in_byte_order(void **state) {
        Host *h = *state;

        put_text(h, "config.yaml",
                 KIND "staticPodPath: /base\nregisterWithTaints: [{key: base, effect: NoSchedule}]\n");
        put_text(h, "d/20.conf", KIND "staticPodPath: /twenty\n");
        put_text(h, "d/10.conf",
                 KIND "staticPodPath: /ten\nregisterWithTaints: [{key: ten, value: v, effect: NoExecute}]\n");
        put_text(h, "d/99.yaml", KIND "staticPodPath: /no-drop-in\n");
        put_text(h, "d/15.dir/b.conf", KIND "staticPodPath: /inner\nregisterWithTaints: null\n");
        put_process(h, "7", "kubelet\n", "kubelet --node-labels=a=b");
        check(h, "pid 7 running known\nhostname_override -\nnode_labels a=b\nregister_with_taints -\n"
                 "taint base=:NoSchedule\nstatic_pod_path /base\nkubeconfig -\n");
        {
                char arguments[1200];

                (void)snprintf(arguments, sizeof(arguments), "kubelet --config-dir %s/d", h->dir);
                put_process(h, "7", "kubelet\n", arguments);
        }
        check(h, "pid 7 running known\n" NOTHING "static_pod_path /twenty\nkubeconfig -\n");
        put_text(h, "d/30.conf", KIND "staticPodPath: null\n");
        check(h, "pid 7 running known\n" NOTHING NO_PATHS);
        put_text(h, "d/30.conf", KIND "staticPodPath: \"\"\n");
        check(h, "pid 7 running known\n" NOTHING NO_PATHS);
}

static const struct WarningRow {
        const char *config, *want;
} warning_rows[] = {
        { "kind: Pod\nstaticPodPath: /x\n", "warning DIR/config.yaml: is not a KubeletConfiguration\n" },
        { "", "warning DIR/config.yaml: is not a KubeletConfiguration\n" },
        { "- a\n", "warning DIR/config.yaml: is not a KubeletConfiguration\n" },
};

static void what_cannot_be_used_is_named(void **state) {
        Host *h = *state;

        for (size_t i = 0; i < ARRAY_SIZE(warning_rows); i++) {
                _cleanup_buf_ Buf want = BUF_INIT;

                put_text(h, "config.yaml", warning_rows[i].config);
                buf_printf(&want, "pid 0 known\n" NOTHING NO_PATHS "%s", warning_rows[i].want);
                check(h, buf_text(&want));
        }
        put_text(h, "config.yaml", KIND "registerWithTaints: [{key: a, effect: Never}]\n");
        check(h, "pid 0 known\n" NOTHING "taint a=:\n" NO_PATHS
                 "warning DIR/config.yaml: registerWithTaints[0] is not a taint\n");
}

static void broken_and_missing_files_are_named(void **state) {
        Host *h = *state;
        _cleanup_kubelet_settings_ KubeletSettings a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

        put_text(h, "config.yaml", "kind: KubeletConfiguration\nstaticPodPath: [\n");
        assert_int_equal(read_settings(h, &a), 0);
        assert_non_null(a.warning);
        assert_non_null(strstr(a.warning, "/config.yaml:"));
        assert_null(a.static_pod_path);
        put_process(h, "7", "kubelet\n", "kubelet --config=/nonexistent/k.yaml");
        assert_int_equal(read_settings(h, &b), 0);
        assert_non_null(b.warning);
        assert_non_null(strstr(b.warning, "/nonexistent/k.yaml"));
        put_text(h, "config.yaml", KIND "staticPodPath: /base\n");
        put_process(h, "7", "kubelet\n", "kubelet --config-dir=/nonexistent/d");
        assert_int_equal(read_settings(h, &c), 0);
        assert_string_equal(c.static_pod_path, "/base");
        assert_non_null(c.warning);
        assert_non_null(strstr(c.warning, "/nonexistent/d"));
        (void)snprintf(h->proc, sizeof(h->proc), "%s/no-proc", h->dir);
        assert_int_equal(read_settings(h, &d), 0);
        assert_false(d.running);
        assert_non_null(strstr(d.warning, "/no-proc"));
        assert_string_equal(d.static_pod_path, "/base");
}

/* ---- flags files ---- */

static void flags_files_are_read(void **state) {
        size_t n, seen = 0;
        char **names = test_names("cases/kubelet/flags", &n);

        (void)state;
        for (size_t i = 0; i < n; i++) {
                _cleanup_kubelet_settings_ KubeletSettings k = { 0 };
                _cleanup_buf_ Buf text = BUF_INIT;
                _cleanup_free_ char *flags = NULL;
                char path[300];

                if (!strstr(names[i], ".env"))
                        continue;
                (void)snprintf(path, sizeof(path), "cases/kubelet/flags/%s", names[i]);
                flags = test_read(path, NULL);
                assert_int_equal(kubelet_flags_parse(flags, &k), 0);
                dump(&k, &text);
                *strrchr(path, '.') = 0;
                (void)strcat(path, ".settings");
                test_golden(path, buf_text(&text));
                seen++;
        }
        assert_int_equal(seen * 2, n);
        test_names_free(names, n);
}

static void a_second_reading_replaces_the_first(void **state) {
        _cleanup_kubelet_settings_ KubeletSettings k = { 0 };

        (void)state;
        assert_int_equal(kubelet_flags_parse("KUBELET_EXTRA_ARGS=--hostname-override=a --node-labels=a=b\n", &k), 0);
        assert_int_equal(kubelet_flags_parse("KUBELET_EXTRA_ARGS=--hostname-override=b\n", &k), 0);
        assert_string_equal(k.hostname_override, "b");
        assert_null(k.node_labels);
}

static int read_body(void *user) {
        _cleanup_kubelet_settings_ KubeletSettings k = { 0 };

        return read_settings(user, &k);
}

static void out_of_memory_leaves_nothing(void **state) {
        Host *h = *state;
        char arguments[1400];

        put_text(h, "config.yaml", KIND "staticPodPath: base\nregisterWithTaints: [{key: a, effect: NoSchedule}]\n");
        put_text(h, "d/10.conf", KIND "staticPodPath: ten\n");
        put_text(h, "d/20/x.conf", "kind: Pod\n");
        put_text(h, "flags.env", "KUBELET_KUBEADM_ARGS=\"--node-labels=a=b --hostname-override 'x'\"\n");
        (void)test_oom(read_body, h);
        (void)snprintf(arguments, sizeof(arguments),
                       "kubelet --config-dir=%s/d --node-labels=a=b --node-labels=c=d --kubeconfig=k "
                       "--register-with-taints=a:NoExecute --pod-manifest-path=m --hostname-override=h",
                       h->dir);
        put_process(h, "7", "kubelet\n", arguments);
        put_process(h, "1", "init\n", "init");
        put_link(h, "proc/7/cwd", h->dir);
        put_link(h, "proc/7/ns/pid", "pid:[1]");
        put_link(h, "proc/1/ns/pid", "pid:[1]");
        (void)test_oom(read_body, h);
}

static void the_start_of_the_kubelet_is_known(void **state) {
        Host *h = *state;
        _cleanup_kubelet_settings_ KubeletSettings k;
        const struct timespec changed[2] = { { .tv_sec = 5000 }, { .tv_sec = 5000 } };

        put_process(h, "700", "kubelet\n", "/usr/bin/kubelet");
        /* The name in brackets may hold blanks and brackets; the 22nd field is the start, in ticks since boot. */
        put_text(h, "proc/700/stat", "700 (kube) let) S 1 700 700 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 12300 9 9 9\n");
        put_text(h, "proc/stat", "cpu 1 2 3\nbtime 1000000\nprocesses 1\n");
        put_text(h, "config.yaml", "kind: KubeletConfiguration\nstaticPodPath: /m\n");
        assert_int_equal(utimensat(AT_FDCWD, h->config, changed, 0), 0);
        assert_int_equal(read_settings(h, &k), 0);
        assert_int_equal(k.started_at, 1000000 + 12300 / sysconf(_SC_CLK_TCK));
        assert_int_equal(k.config_changed_at, 5000);
        assert_false(k.static_pod_path_is_flag);
}

/* ---- whether it is still the same ---- */

static void put_start(const Host *h, const char *pid, int64_t ticks) {
        char path[100], text[200];

        (void)snprintf(path, sizeof(path), "proc/%s/stat", pid);
        (void)snprintf(text, sizeof(text), "%s (kube) let) S 1 7 7 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 %lld 9 9 9\n", pid,
                       (long long)ticks);
        put_text(h, path, text);
}

static int64_t boot_ms(void) {
        struct timespec t;

        assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
        return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void the_kubelet_is_up_since_its_start(void **state) {
        Host *h = *state;
        _cleanup_kubelet_settings_ KubeletSettings k;
        const int64_t ticks = sysconf(_SC_CLK_TCK);
        int64_t before, up;

        put_process(h, "700", "kubelet\n", "/usr/bin/kubelet");
        put_start(h, "700", 3 * ticks + ticks / 2);
        assert_int_equal(read_settings(h, &k), 0);
        assert_int_equal(k.start_ticks, 3 * ticks + ticks / 2);
        before = boot_ms();
        up = kubelet_up_for(h->proc, &k);
        assert_true(up >= before - 3500 && up <= boot_ms() - 3500);
        assert_false(kubelet_is_another(h->proc, &k));
        /* A start that lies in the future: two clocks are never quite one. */
        k.start_ticks = (before / 1000 + 3600) * ticks;
        put_start(h, "700", k.start_ticks);
        assert_int_equal(kubelet_up_for(h->proc, &k), 0);
        assert_false(kubelet_is_another(h->proc, &k));
}

static void another_process_of_the_same_number_is_another_kubelet(void **state) {
        Host *h = *state;
        _cleanup_kubelet_settings_ KubeletSettings k;

        put_process(h, "700", "kubelet\n", "/usr/bin/kubelet");
        put_start(h, "700", 100);
        assert_int_equal(read_settings(h, &k), 0);
        put_start(h, "700", 101);
        assert_int_equal(kubelet_up_for(h->proc, &k), -1);
        assert_true(kubelet_is_another(h->proc, &k));
        /* Of the first one nothing is left but its number. */
        put_process(h, "700", "vi\n", "vi");
        assert_int_equal(kubelet_up_for(h->proc, &k), -1);
        assert_false(kubelet_is_another(h->proc, &k));
}

static void put_boot(const Host *h, const char *id) {
        put_text(h, "proc/sys/kernel/random/boot_id", id);
}

/* All that a process said is known when it is gone, until the next boot. */
static void the_last_kubelet_of_this_boot_is_known(void **state) {
        Host *h = *state;
        _cleanup_kubelet_settings_ KubeletSettings k = { 0 }, last = { 0 };
        _cleanup_buf_ Buf had = BUF_INIT, got = BUF_INIT;

        put_process(h, "700", "kubelet\n",
                    "/usr/bin/kubelet --node-labels=a=b --hostname-override=n1 --register-with-taints=t=v:NoSchedule "
                    "--pod-manifest-path=/m --kubeconfig=/k");
        put_start(h, "700", 100);
        assert_int_equal(read_settings(h, &k), 0);
        assert_int_equal(kubelet_settings_last(h->dir, h->proc, &last), 0);
        /* Where the boot is not known it is not kept. */
        assert_int_equal(kubelet_settings_keep(h->dir, h->proc, &k), 0);
        assert_int_equal(kubelet_settings_last(h->dir, h->proc, &last), 0);
        put_boot(h, "one\n");
        assert_int_equal(kubelet_settings_last(h->dir, h->proc, &last), 0);
        assert_int_equal(kubelet_settings_keep(h->dir, h->proc, &k), 0);
        assert_int_equal(kubelet_settings_last(h->dir, h->proc, &last), 1);
        dump(&k, &had);
        dump(&last, &got);
        assert_string_equal(buf_text(&got), buf_text(&had));
        assert_int_equal(last.start_ticks, k.start_ticks);
        assert_true(last.static_pod_path_is_flag);
        put_boot(h, "two\n");
        assert_int_equal(kubelet_settings_last(h->dir, h->proc, &last), 0);
}

static void a_kubelet_that_ended_is_followed_by_another(void **state) {
        Host *h = *state;
        _cleanup_kubelet_settings_ KubeletSettings k;

        put_process(h, "700", "kubelet\n", "/usr/bin/kubelet");
        put_start(h, "700", 100);
        assert_int_equal(read_settings(h, &k), 0);
        for (int i = 0; i < 3; i++) {
                char path[1200];

                (void)snprintf(path, sizeof(path), "%s/700/%s", h->proc,
                               (const char *[]){ "stat", "comm", "cmdline" }[i]);
                assert_int_equal(unlink(path), 0);
        }
        assert_int_equal(kubelet_up_for(h->proc, &k), -1);
        assert_false(kubelet_is_another(h->proc, &k));
        put_process(h, "800", "kubelet\n", "/usr/bin/kubelet");
        put_start(h, "800", 100);
        assert_int_equal(kubelet_up_for(h->proc, &k), -1);
        assert_true(kubelet_is_another(h->proc, &k));
}

static void where_no_kubelet_ran_one_may_be_started(void **state) {
        Host *h = *state;
        _cleanup_kubelet_settings_ KubeletSettings k;

        assert_int_equal(read_settings(h, &k), 0);
        assert_int_equal(kubelet_up_for(h->proc, &k), -1);
        assert_false(kubelet_is_another(h->proc, &k));
        put_process(h, "700", "kubelet\n", "/usr/bin/kubelet");
        put_start(h, "700", 100);
        assert_int_equal(kubelet_up_for(h->proc, &k), -1);
        assert_true(kubelet_is_another(h->proc, &k));
        (void)snprintf(h->proc, sizeof(h->proc), "%s/no-proc", h->dir);
        assert_int_equal(kubelet_up_for(h->proc, &k), -1);
        assert_false(kubelet_is_another(h->proc, &k));
}

static void a_start_that_is_not_known_is_no_change(void **state) {
        static const char *const texts[] = { "", "700 (kubelet", "700 (kubelet) S 1 2 3", "700 (kubelet) S" };
        Host *h = *state;

        put_process(h, "700", "kubelet\n", "/usr/bin/kubelet");
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_kubelet_settings_ KubeletSettings k;

                put_text(h, "proc/700/stat", texts[i]);
                assert_int_equal(read_settings(h, &k), 0);
                assert_int_equal(k.start_ticks, 0);
                assert_int_equal(kubelet_up_for(h->proc, &k), -1);
                assert_false(kubelet_is_another(h->proc, &k));
        }
}

#define on_host(f) cmocka_unit_test_setup_teardown(f, host_setup, host_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                on_host(a_host_without_a_kubelet_has_no_settings),
                on_host(the_running_kubelets_flags_are_read),
                on_host(flags_are_read_as_pflag_reads_them),
                on_host(a_kubelet_is_told_by_its_name),
                on_host(names_that_are_no_pid_are_passed_over),
                on_host(the_kubelet_itself_is_preferred_to_a_wrapper),
                on_host(a_kubelet_in_a_container_is_not_this_hosts),
                on_host(relative_paths_start_where_the_kubelet_starts),
                on_host(the_configuration_is_read_as_yaml_and_json),
                on_host(flags_win_over_the_configuration),
                on_host(drop_ins_are_laid_over_in_byte_order),
                on_host(what_cannot_be_used_is_named),
                on_host(broken_and_missing_files_are_named),
                on_host(the_start_of_the_kubelet_is_known),
                on_host(the_kubelet_is_up_since_its_start),
                on_host(another_process_of_the_same_number_is_another_kubelet),
                on_host(the_last_kubelet_of_this_boot_is_known),
                on_host(a_kubelet_that_ended_is_followed_by_another),
                on_host(where_no_kubelet_ran_one_may_be_started),
                on_host(a_start_that_is_not_known_is_no_change),
                cmocka_unit_test(flags_files_are_read),
                cmocka_unit_test(a_second_reading_replaces_the_first),
                on_host(out_of_memory_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
