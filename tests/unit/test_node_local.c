/* SPDX-License-Identifier: Apache-2.0 */
#include "io/node_local.h"

#include "test.h"

#include <errno.h>
#include <sys/utsname.h>

#define S(text) ((char *)(text))

/* ---- the name ---- */

static const struct NameRow {
        const char *configured, *override, *last, *host;
        const char *name;
        bool known, note;
} name_rows[] = {
        { "conf", "Flag", "last", "host", "conf", true, false },
        { NULL, "Flag", "last", "host", "flag", true, false },
        { NULL, " Flag\n", NULL, "host", "flag", true, false },
        { NULL, "", NULL, "host", "host", true, false },
        { NULL, NULL, "last", "host", "last", true, true },
        { NULL, NULL, "last", "last", "last", true, false },
        { NULL, NULL, "last", "LAST", "last", true, false },
        { NULL, NULL, "last", "localhost", "last", true, false },
        { NULL, NULL, "last", "", "last", true, false },
        { NULL, NULL, "", "host", "host", true, false },
        { NULL, NULL, NULL, "Host.Example.COM", "host.example.com", true, false },
        { NULL, NULL, NULL, " host\n", "host", true, false },
        { NULL, NULL, NULL, "localhost", "localhost", false, false },
        { NULL, NULL, NULL, "LocalHost", "localhost", false, false },
        { NULL, NULL, NULL, "localhost.localdomain", "localhost.localdomain", false, false },
        { NULL, NULL, NULL, "localhosts", "localhosts", true, false },
        { NULL, NULL, NULL, "(none)", "(none)", false, false },
        { NULL, NULL, NULL, "", "", false, false },
};

static void the_name_comes_from_the_first_that_knows_it(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(name_rows); i++) {
                const struct NameRow *row = &name_rows[i];
                const Config config = { .node_name = S(row->configured) };
                const KubeletSettings kubelet = { .hostname_override = S(row->override) };
                _cleanup_free_ char *name = NULL, *note = NULL;
                bool known;

                assert_int_equal(node_local_name(&config, &kubelet, row->host, row->last, &name, &known, &note), 0);
                if (!streq(name, row->name) || known != row->known || !note == row->note)
                        fail_msg("row %zu: %s %d %s", i, name, known, str_or_empty(note));
                if (note)
                        assert_string_equal(note, "the host is called host now, the node keeps its name last; set "
                                                  "[node] name to change it");
        }
}

static void machines_have_gos_names(void **state) {
        static const struct {
                const char *machine, *go;
        } rows[] = {
                { "x86_64", "amd64" },    { "aarch64", "arm64" }, { "armv7l", "arm" },      { "armv6l", "arm" },
                { "i686", "386" },        { "i386", "386" },      { "ppc64le", "ppc64le" }, { "s390x", "s390x" },
                { "riscv64", "riscv64" }, { "vax", "vax" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                assert_string_equal(node_go_arch(rows[i].machine), rows[i].go);
}

/* ---- the view ---- */

static void dump(const NodeView *node, Buf *out) {
        buf_printf(out, "%s", node->name);
        for (size_t i = 0; i < node->n_labels; i++)
                buf_printf(out, " %s=%s", node->labels[i].key, node->labels[i].value);
        for (size_t i = 0; i < node->n_taints; i++)
                buf_printf(out, " %s=%s:%s", node->taints[i].key, node->taints[i].value,
                           taint_effect_name(node->taints[i].effect));
}

static void check_view(const KubeletSettings *kubelet, const char *hostname, const char *os, const char *more_labels,
                       const char *taints) {
        _cleanup_node_view_ NodeView node;
        _cleanup_buf_ Buf got = BUF_INIT, want = BUF_INIT;
        struct utsname u;
        const char *arch;

        assert_int_equal(uname(&u), 0);
        arch = node_go_arch(u.machine);
        assert_int_equal(node_local_view("n1", kubelet, &node, NULL), 0);
        dump(&node, &got);
        buf_printf(&want,
                   "n1 beta.kubernetes.io/arch=%s beta.kubernetes.io/os=linux kubernetes.io/arch=%s "
                   "kubernetes.io/hostname=%s kubernetes.io/os=%s%s%s",
                   arch, arch, hostname, os, more_labels, taints);
        assert_string_equal(buf_text(&got), buf_text(&want));
}

static void the_view_is_what_the_kubelet_registers(void **state) {
        Taint taints[] = { { S("c"), S("1"), EFFECT_NO_SCHEDULE }, { S("d"), S(""), EFFECT_NO_EXECUTE } };
        KubeletSettings k = { 0 };

        (void)state;
        check_view(&k, "n1", "linux", "", "");
        k.config_taints = taints;
        k.n_config_taints = 2;
        check_view(&k, "n1", "linux", "", " c=1:NoSchedule d=:NoExecute");
        k.register_with_taints = S("a=b:NoSchedule,e:NoExecute");
        check_view(&k, "n1", "linux", "", " a=b:NoSchedule e=:NoExecute");
        k.register_with_taints = S("");
        check_view(&k, "n1", "linux", "", "");
        k.hostname_override = S(" Over ");
        check_view(&k, "over", "linux", "", "");
        k.hostname_override = S("");
        check_view(&k, "n1", "linux", "", "");
        k.node_labels = S("zone=1,kubernetes.io/os=plan9,zone=2,last");
        check_view(&k, "n1", "plan9", " last= zone=2", "");
}

static void malformed_flags_are_named(void **state) {
        KubeletSettings labels = { .node_labels = S("a b=c") }, taints = { .register_with_taints = S("a:Never") };
        NodeView node;
        Err err = { 0 };

        (void)state;
        assert_int_equal(node_local_view("n1", &labels, &node, &err), -EINVAL);
        assert_non_null(strstr(err.message, "the kubelet's --node-labels: \"a b\""));
        err = (Err){ 0 };
        assert_int_equal(node_local_view("n1", &taints, &node, &err), -EINVAL);
        assert_non_null(strstr(err.message, "the kubelet's --register-with-taints: \"a:Never\""));
}

static void the_configuration_is_laid_over(void **state) {
        const Config none = { 0 },
                     both = { .node_labels = S("a=2,b=3"), .node_taints = S("t=2:NoSchedule,u:NoExecute") };
        const Config bad = { .node_labels = S("-") };
        _cleanup_node_view_ NodeView node = { .name = strdup("n1") };
        _cleanup_buf_ Buf got = BUF_INIT;
        Err err = { 0 };

        (void)state;
        assert_int_equal(node_view_set_label(&node, "a", "1"), 0);
        assert_int_equal(node_view_set_taint(&node, "t", "1", EFFECT_NO_SCHEDULE), 0);
        assert_int_equal(node_lay_over(&none, &node, &err), 0);
        dump(&node, &got);
        assert_string_equal(buf_text(&got), "n1 a=1 t=1:NoSchedule");
        buf_reset(&got);
        assert_int_equal(node_lay_over(&both, &node, &err), 0);
        dump(&node, &got);
        assert_string_equal(buf_text(&got), "n1 a=2 b=3 t=2:NoSchedule u=:NoExecute");
        assert_int_equal(node_lay_over(&bad, &node, &err), -EINVAL);
        assert_true(*err.message);
}

static void sources_have_names(void **state) {
        (void)state;
        assert_string_equal(node_source_name(NODE_FROM_FILE), "file");
        assert_string_equal(node_source_name(NODE_FROM_API), "api");
        assert_string_equal(node_source_name(NODE_FROM_CACHE), "cache");
        assert_string_equal(node_source_name(NODE_FROM_LOCAL), "local");
}

static int view_body(void *user) {
        const Config config = { .node_labels = S("x=1,kubernetes.io/os=y"), .node_taints = S("t:NoSchedule") };
        _cleanup_node_view_ NodeView node = { 0 };
        int r = node_local_view("n1", user, &node, NULL);

        return r < 0 ? r : node_lay_over(&config, &node, NULL);
}

static int name_body(void *user) {
        const Config config = { 0 };
        _cleanup_free_ char *name = NULL, *note = NULL;
        bool known;

        return node_local_name(&config, user, "host", "last", &name, &known, &note);
}

static void out_of_memory_leaves_nothing(void **state) {
        Taint taints[] = { { S("c"), S("1"), EFFECT_NO_SCHEDULE } };
        KubeletSettings a = { .hostname_override = S("h"),
                              .node_labels = S("a=b"),
                              .register_with_taints = S("a:NoExecute") };
        KubeletSettings b = { .config_taints = taints, .n_config_taints = 1 };

        (void)state;
        (void)test_oom(view_body, &a);
        (void)test_oom(view_body, &b);
        (void)test_oom(name_body, &a);
        (void)test_oom(name_body, &b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_name_comes_from_the_first_that_knows_it),
                cmocka_unit_test(machines_have_gos_names),
                cmocka_unit_test(the_view_is_what_the_kubelet_registers),
                cmocka_unit_test(malformed_flags_are_named),
                cmocka_unit_test(the_configuration_is_laid_over),
                cmocka_unit_test(sources_have_names),
                cmocka_unit_test(out_of_memory_leaves_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
