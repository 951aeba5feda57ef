/* SPDX-License-Identifier: Apache-2.0 */
/* Files in cases/config/good give the values beside them, files in cases/config/bad the error beside them. */
#include "core/config.h"

#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static void dump(const Config *c, Buf *out) {
        buf_printf(out, "name %s\n", c->node_name ? c->node_name : "-");
        buf_printf(out, "labels %s\n", c->node_labels ? c->node_labels : "-");
        buf_printf(out, "taints %s\n", c->node_taints ? c->node_taints : "-");
        buf_printf(out, "tolerate_unready %d\n", c->tolerate_unready);
        buf_printf(out, "settle %" PRId64 "\n", c->settle);
        buf_printf(out, "on_deleted %d\n", (int)c->on_deleted);
        buf_printf(out, "deleted_grace %" PRId64 "\n", c->deleted_grace);
        buf_printf(out, "config %s\n", c->kubelet_config);
        buf_printf(out, "flags_file %s\n", c->kubelet_flags_file);
        buf_printf(out, "extra_flags_file %s\n", str_or_empty(c->kubelet_extra_flags_file));
        buf_printf(out, "root_dir %s\n", c->kubelet_root_dir);
        buf_printf(out, "proc_dir %s\n", c->kubelet_proc_dir);
        buf_printf(out, "manifest_dir %s\n", c->manifest_dir ? c->manifest_dir : "-");
        buf_printf(out, "dir %s\n", c->daemonsets_dir);
        buf_printf(out, "on_api_deleted %d\n", (int)c->on_api_deleted);
        buf_printf(out, "follow_api %d\n", c->follow_api);
        buf_printf(out, "kubeconfig %s\n", c->api_kubeconfig ? c->api_kubeconfig : "-");
        buf_printf(out, "namespaces %s\n", c->api_namespaces);
        buf_printf(out, "tokens %d\n", c->api_tokens);
        buf_printf(out, "state_dir %s\n", c->state_dir);
        buf_printf(out, "runtime_dir %s\n", c->runtime_dir);
        buf_printf(out, "hold_offline %d\n", (int)c->hold_offline);
        buf_printf(out, "removal_delay %" PRId64 "\n", c->removal_delay);
        buf_printf(out, "api_server %s\n", c->pods_api_server ? c->pods_api_server : "-");
        buf_printf(out, "secret_env %d\n", (int)c->secret_env);
        buf_printf(out, "textfile %s\n", c->metrics_textfile ? c->metrics_textfile : "-");
        assert_false(out->failed);
}

static const char defaults[] = "name -\n"
                               "labels -\n"
                               "taints -\n"
                               "tolerate_unready 1\n"
                               "settle 60\n"
                               "on_deleted 0\n"
                               "deleted_grace 300\n"
                               "config /var/lib/kubelet/config.yaml\n"
                               "flags_file /var/lib/kubelet/kubeadm-flags.env\n"
                               "extra_flags_file /etc/default/kubelet\n"
                               "root_dir /var/lib/kubelet\n"
                               "proc_dir /proc\n"
                               "manifest_dir -\n"
                               "dir /etc/daemonlet/daemonsets.d\n"
                               "on_api_deleted 0\n"
                               "follow_api 0\n"
                               "kubeconfig -\n"
                               "namespaces kube-system\n"
                               "tokens 0\n"
                               "state_dir /var/lib/daemonlet\n"
                               "runtime_dir /run/daemonlet\n"
                               "hold_offline 0\n"
                               "removal_delay 5\n"
                               "api_server -\n"
                               "secret_env 0\n"
                               "textfile -\n";

static void check_dump(const char *what, const Config *c, const char *want) {
        _cleanup_buf_ Buf text = BUF_INIT;

        dump(c, &text);
        if (!streq(buf_text(&text), want))
                fail_msg("%s:\n%s\ninstead of\n%s", what, buf_text(&text), want);
}

static void everything_has_a_default(void **state) {
        _cleanup_config_ Config c;

        (void)state;
        assert_int_equal(config_init(&c), 0);
        check_dump("defaults", &c, defaults);
}

static int read_into(Config *c, const char *text, Err *err) {
        return config_read(c, "daemonlet.conf", text, strlen(text), err);
}

static bool ends_with(const char *s, const char *end) {
        size_t ls = strlen(s), le = strlen(end);

        return ls >= le && streq(s + ls - le, end);
}

static char *path_in(const char *dir, const char *name, const char *suffix) {
        _cleanup_buf_ Buf path = BUF_INIT;
        char *taken;

        buf_printf(&path, "cases/config/%s/%.*s%s", dir, (int)strcspn(name, "."), name, suffix);
        taken = buf_take(&path, NULL);
        assert_non_null(taken);
        return taken;
}

typedef void (*CaseBody)(const char *name, const char *text, size_t len, const char *beside);

static void each_case(const char *dir, const char *suffix, CaseBody body) {
        _cleanup_free_ char *all = path_in(dir, "", "");
        size_t n, seen = 0;
        char **names = test_names(all, &n);

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *conf = NULL, *other = NULL, *text = NULL;
                size_t len;

                if (!ends_with(names[i], ".conf"))
                        continue;
                conf = path_in(dir, names[i], ".conf");
                other = path_in(dir, names[i], suffix);
                text = test_read(conf, &len);
                body(names[i], text, len, other);
                seen++;
        }
        assert_int_equal(seen * 2, n);
        test_names_free(names, n);
}

static void good_case(const char *name, const char *text, size_t len, const char *beside) {
        _cleanup_buf_ Buf got = BUF_INIT;
        _cleanup_config_ Config c;
        Err err = { 0 };

        assert_int_equal(config_init(&c), 0);
        if (config_read(&c, name, text, len, &err) < 0)
                fail_msg("%s", err.message);
        dump(&c, &got);
        test_golden(beside, buf_text(&got));
}

static void good_files_are_read(void **state) {
        (void)state;
        each_case("good", ".values", good_case);
}

static void bad_case(const char *name, const char *text, size_t len, const char *beside) {
        _cleanup_buf_ Buf got = BUF_INIT;
        _cleanup_config_ Config c;
        Err err = { 0 };

        assert_int_equal(config_init(&c), 0);
        if (config_read(&c, name, text, len, &err) != -EINVAL)
                fail_msg("%s is read", name);
        buf_printf(&got, "%s\n", err.message);
        test_golden(beside, buf_text(&got));
        /* The message is the caller's choice, not the error. */
        config_done(&c);
        assert_int_equal(config_init(&c), 0);
        assert_int_equal(config_read(&c, name, text, len, NULL), -EINVAL);
}

static void bad_files_are_refused_with_their_line(void **state) {
        (void)state;
        each_case("bad", ".error", bad_case);
}

static void a_drop_in_overrides_and_an_empty_value_resets(void **state) {
        _cleanup_config_ Config c;

        (void)state;
        assert_int_equal(config_init(&c), 0);
        assert_int_equal(read_into(&c, "[node]\nname = a\nsettle = 2m\nlabels = a=b\n[api]\nkubeconfig = none\n", NULL),
                         0);
        assert_string_equal(c.node_name, "a");
        assert_int_equal(c.settle, 120);
        assert_string_equal(c.api_kubeconfig, "none");
        assert_int_equal(read_into(&c, "[node]\nname = b\nsettle =\nlabels=\n[api]\nkubeconfig = auto\n", NULL), 0);
        assert_string_equal(c.node_name, "b");
        assert_int_equal(c.settle, 60);
        assert_null(c.node_labels);
        assert_null(c.api_kubeconfig);
}

/* A value of every length around what inih takes at once comes through whole, or the line is refused. */
static void long_values_come_through_whole(void **state) {
        (void)state;
        for (size_t n = 1; n < 1500; n++) {
                _cleanup_buf_ Buf text = BUF_INIT, value = BUF_INIT;
                _cleanup_config_ Config c;
                Err err = { 0 };

                buf_str(&value, "/");
                for (size_t i = 1; i < n; i++)
                        buf_char(&value, "abc/def=ghi:jkl;mno#pqr"[(i + n) % 23]);
                buf_printf(&text, "[daemonsets]\ndir = %s\n[node]\nname = last\n", buf_text(&value));
                assert_int_equal(config_init(&c), 0);
                if (read_into(&c, buf_text(&text), &err) < 0)
                        fail_msg("%zu: %s", n, err.message);
                assert_string_equal(c.daemonsets_dir, buf_text(&value));
                assert_string_equal(c.node_name, "last");
        }
}

/* Blanks inside a value must survive wherever a piece ends. */
static void blanks_in_long_values_survive(void **state) {
        (void)state;
        for (size_t n = 150; n < 420; n++) {
                _cleanup_buf_ Buf text = BUF_INIT, value = BUF_INIT;
                _cleanup_config_ Config c;

                buf_str(&value, "/");
                for (size_t i = 1; i < 500; i++)
                        buf_char(&value, i >= n && i < n + 20 ? ' ' : 'x');
                buf_printf(&text, "[daemonsets]\ndir=%s\n", buf_text(&value));
                assert_int_equal(config_init(&c), 0);
                assert_int_equal(read_into(&c, buf_text(&text), NULL), 0);
                assert_string_equal(c.daemonsets_dir, buf_text(&value));
        }
}

static void a_line_that_cannot_be_split_is_refused(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT;
        _cleanup_config_ Config c;
        Err err = { 0 };

        (void)state;
        buf_str(&text, "[daemonsets]\ndir = /a");
        for (size_t i = 0; i < 300; i++)
                buf_char(&text, ' ');
        buf_str(&text, "b\n");
        assert_int_equal(config_init(&c), 0);
        assert_int_equal(read_into(&c, buf_text(&text), &err), -EINVAL);
        assert_string_equal(err.message, "daemonlet.conf:2: the line is too long");
}

static void a_nul_is_refused(void **state) {
        static const char text[] = "[node]\nname = a\0b\n";
        _cleanup_config_ Config c;
        Err err = { 0 };

        (void)state;
        assert_int_equal(config_init(&c), 0);
        assert_int_equal(config_read(&c, "x.conf", text, sizeof(text) - 1, &err), -EINVAL);
        assert_string_equal(err.message, "x.conf:2: a control character");
}

static void the_sample_is_the_one_in_conf(void **state) {
        _cleanup_buf_ Buf sample = BUF_INIT;
        const char *line;

        (void)state;
        assert_int_equal(config_sample(&sample), 0);
        test_golden("../conf/daemonlet.conf", buf_text(&sample));
        for (line = buf_text(&sample); *line; line = strchr(line, '\n') + 1)
                assert_true(strcspn(line, "\n") <= 80);
}

static void the_sample_shows_the_defaults(void **state) {
        _cleanup_buf_ Buf sample = BUF_INIT;
        _cleanup_config_ Config c;
        Err err = { 0 };
        char *at;

        (void)state;
        assert_int_equal(config_sample(&sample), 0);
        assert_int_equal(config_init(&c), 0);
        assert_int_equal(read_into(&c, buf_text(&sample), &err), 0);
        check_dump("as it is", &c, defaults);
        /* "#key = default" becomes a setting, "# text" stays a comment. */
        for (at = sample.data; (at = strstr(at, "\n#")); at++)
                if (at[2] != ' ')
                        at[1] = ' ';
        if (read_into(&c, buf_text(&sample), &err) < 0)
                fail_msg("%s", err.message);
        check_dump("uncommented", &c, defaults);
}

static void the_man_page_section_is_the_golden_one(void **state) {
        _cleanup_buf_ Buf man = BUF_INIT;

        (void)state;
        assert_int_equal(config_man(&man), 0);
        test_golden("cases/config/man.golden", buf_text(&man));
}

/* ---- lists ---- */

static int add_label(void *user, const char *key, const char *value) {
        buf_printf(user, "<%s|%s>", key, value);
        return 0;
}

static int add_taint(void *user, const char *key, const char *value, TaintEffect effect) {
        buf_printf(user, "<%s|%s|%s>", key, value, taint_effect_name(effect));
        return 0;
}

static const struct ListRow {
        const char *text, *labels, *taints; /* NULL: -EINVAL */
} list_rows[] = {
        { "", "", "" },
        { " , ,", "", "" },
        { "a=b", "<a|b>", NULL },
        { "a=", "<a|>", NULL },
        { "a", "<a|>", NULL },
        { " a = b , c=d", "<a|b><c|d>", NULL },
        { "example.com/a=b,", "<example.com/a|b>", NULL },
        { "a=b=c", NULL, NULL },
        { "=b", NULL, NULL },
        { "a b=c", NULL, NULL },
        { "a=b c", NULL, NULL },
        { "a=b,c=-", NULL, NULL },
        { "a:NoSchedule", NULL, "<a||NoSchedule>" },
        { "a=:NoExecute", NULL, "<a||NoExecute>" },
        { "a=b:NoExecute, c:PreferNoSchedule", NULL, "<a|b|NoExecute><c||PreferNoSchedule>" },
        { "a=b:noexecute", NULL, NULL },
        { "a=b:", NULL, NULL },
        { "a=b:NoExecute:NoSchedule", NULL, NULL },
        { "a=b=c:NoExecute", NULL, NULL },
        { ":NoExecute", NULL, NULL },
};

static void lists_are_cut_as_the_kubelets_flags_are(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(list_rows); i++) {
                const struct ListRow *row = &list_rows[i];
                _cleanup_buf_ Buf labels = BUF_INIT, taints = BUF_INIT;
                Err err = { 0 };
                int r = config_each_label(row->text, add_label, &labels, &err);

                if (r != (row->labels ? 0 : -EINVAL) || (row->labels && !streq(buf_text(&labels), row->labels)))
                        fail_msg("labels %s: %d %s", row->text, r, buf_text(&labels));
                assert_int_equal(*err.message != 0, r < 0);
                err = (Err){ 0 };
                r = config_each_taint(row->text, add_taint, &taints, &err);
                if (r != (row->taints ? 0 : -EINVAL) || (row->taints && !streq(buf_text(&taints), row->taints)))
                        fail_msg("taints %s: %d %s", row->text, r, buf_text(&taints));
                assert_int_equal(*err.message != 0, r < 0);
        }
}

static int stop_label(void *user, const char *key, const char *value) {
        (void)key, (void)value;
        return ++*(int *)user == 2 ? -E2BIG : 0;
}

static int stop_taint(void *user, const char *key, const char *value, TaintEffect effect) {
        (void)effect;
        return stop_label(user, key, value);
}

static void lists_stop_when_the_caller_does(void **state) {
        int n = 0;

        (void)state;
        assert_int_equal(config_each_label("a=1,b=2,c=3", stop_label, &n, NULL), -E2BIG);
        assert_int_equal(n, 2);
        n = 0;
        assert_int_equal(config_each_taint("a:NoExecute,b:NoExecute,c:NoExecute", stop_taint, &n, NULL), -E2BIG);
        assert_int_equal(n, 2);
}

/* ---- out of memory ---- */

static int read_body(void *user) {
        _cleanup_config_ Config c = { 0 };
        int r = config_init(&c);

        return r < 0 ? r : read_into(&c, user, NULL);
}

static int refuse_body(void *user) {
        int r = read_body(user);

        return r == -EINVAL ? 0 : r;
}

static int print_body(void *user) {
        _cleanup_buf_ Buf sample = BUF_INIT, man = BUF_INIT;

        (void)user;
        return config_sample(&sample) < 0 || config_man(&man) < 0 ? -ENOMEM : 0;
}

static void out_of_memory_is_told_and_leaves_nothing(void **state) {
        _cleanup_free_ char *text = test_read("cases/config/good/all.conf", NULL);

        (void)state;
        (void)test_oom(read_body, text);
        (void)test_oom(refuse_body, (char *)"[nodes]\nname = a\n");
        (void)test_oom(refuse_body, (char *)"[node]\nnames = a\n");
        (void)test_oom(print_body, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(everything_has_a_default),
                cmocka_unit_test(good_files_are_read),
                cmocka_unit_test(bad_files_are_refused_with_their_line),
                cmocka_unit_test(a_drop_in_overrides_and_an_empty_value_resets),
                cmocka_unit_test(long_values_come_through_whole),
                cmocka_unit_test(blanks_in_long_values_survive),
                cmocka_unit_test(a_line_that_cannot_be_split_is_refused),
                cmocka_unit_test(a_nul_is_refused),
                cmocka_unit_test(the_sample_is_the_one_in_conf),
                cmocka_unit_test(the_sample_shows_the_defaults),
                cmocka_unit_test(the_man_page_section_is_the_golden_one),
                cmocka_unit_test(lists_are_cut_as_the_kubelets_flags_are),
                cmocka_unit_test(lists_stop_when_the_caller_does),
                cmocka_unit_test(out_of_memory_is_told_and_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
