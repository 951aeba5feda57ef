/* SPDX-License-Identifier: Apache-2.0 */
#include "io/node_local.h"

#include <errno.h>
#include <sys/utsname.h>

#include "core/selector.h"

const char *node_source_name(NodeSource s) {
        static const char *const names[] = {
                [NODE_FROM_FILE] = "file",
                [NODE_FROM_API] = "api",
                [NODE_FROM_CACHE] = "cache",
                [NODE_FROM_LOCAL] = "local",
        };

        return names[s];
}

const char *node_go_arch(const char *machine) {
        static const struct Arch {
                const char *machine, *go;
        } archs[] = {
                { "x86_64", "amd64" },
                { "aarch64", "arm64" },
                { "armv5tel", "arm" },
                { "armv6l", "arm" },
                { "armv7l", "arm" },
                { "armv8l", "arm" },
                { "i386", "386" },
                { "i486", "386" },
                { "i586", "386" },
                { "i686", "386" },
                { "loongarch64", "loong64" },
                { "ppc64le", "ppc64le" },
                { "riscv64", "riscv64" },
                { "s390x", "s390x" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(archs); i++)
                if (streq(archs[i].machine, machine))
                        return archs[i].go;
        return machine;
}

/* As the kubelet makes a hostname of what it is given: outer white space off, in lower case. */
static char *lower_name(const char *s) {
        size_t len;
        char *name;

        s += strspn(s, " \t\r\n");
        len = strlen(s);
        while (len > 0 && strchr(" \t\r\n", s[len - 1]))
                len--;
        name = strndup(s, len);
        for (char *c = name; c && *c; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c - 'A' + 'a');
        return name;
}

/* A host that has not been told its name yet is no node of that name. */
static bool is_certain(const char *name) {
        return is_dns1123_subdomain(name) && !streq(name, "localhost") && !startswith(name, "localhost.");
}

static int note_change(const char *host, const char *kept, char **ret_note) {
        _cleanup_buf_ Buf note = BUF_INIT;

        if (streq(host, kept) || !is_certain(host))
                return 0;
        buf_printf(&note, "the host is called %s now, the node keeps its name %s; set [node] name to change it", host,
                   kept);
        *ret_note = buf_take(&note, NULL);
        return *ret_note ? 0 : -ENOMEM;
}

int node_local_name(const Config *config, const KubeletSettings *kubelet, const char *hostname, const char *last_known,
                    char **ret_name, bool *ret_known, char **ret_note) {
        _cleanup_free_ char *host = lower_name(hostname), *name = NULL, *note = NULL;
        bool known = true;

        if (!host)
                return -ENOMEM;
        if (config->node_name) {
                name = strdup(config->node_name);
        } else if (kubelet->hostname_override && *kubelet->hostname_override) {
                name = lower_name(kubelet->hostname_override);
        } else if (last_known && *last_known) {
                name = strdup(last_known);
                if (name && note_change(host, name, &note) < 0)
                        return -ENOMEM;
        } else {
                known = is_certain(host);
                name = TAKE_PTR(host);
        }
        if (!name)
                return -ENOMEM;
        *ret_name = TAKE_PTR(name);
        *ret_known = known;
        *ret_note = TAKE_PTR(note);
        return 0;
}

static int add_label(void *user, const char *key, const char *value) {
        return node_view_set_label(user, key, value);
}

static int add_taint(void *user, const char *key, const char *value, TaintEffect effect) {
        return node_view_set_taint(user, key, value, effect);
}

/* What every kubelet registers, whatever its flags say. */
static int add_own_labels(NodeView *node, const char *hostname) {
        struct utsname u;
        const char *arch = uname(&u) == 0 ? node_go_arch(u.machine) : "";
        const struct Own {
                const char *key, *value;
        } own[] = {
                { "kubernetes.io/hostname", hostname }, { "kubernetes.io/os", "linux" },
                { "kubernetes.io/arch", arch },         { "beta.kubernetes.io/os", "linux" },
                { "beta.kubernetes.io/arch", arch },
        };

        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
                if (node_view_set_label(node, own[i].key, own[i].value) < 0)
                        return -ENOMEM;
        return 0;
}

static int add_kubelet_taints(const KubeletSettings *kubelet, NodeView *node, Err *err) {
        int r = 0;

        if (kubelet->register_with_taints) {
                r = config_each_taint(kubelet->register_with_taints, add_taint, node, err);
                return r == -EINVAL ? err_wrap(err, r, "the kubelet's --register-with-taints") : r;
        }
        for (size_t i = 0; r == 0 && i < kubelet->n_config_taints; i++) {
                const Taint *t = &kubelet->config_taints[i];

                r = node_view_set_taint(node, t->key, t->value, t->effect);
        }
        return r;
}

int node_local_view(const char *name, const KubeletSettings *kubelet, NodeView *ret, Err *err) {
        _cleanup_node_view_ NodeView node = { .name = strdup(name) };
        _cleanup_free_ char *hostname = lower_name(kubelet->hostname_override ? kubelet->hostname_override : "");
        int r;

        if (!node.name || !hostname || add_own_labels(&node, *hostname ? hostname : name) < 0)
                return err_oom(err);
        if (kubelet->node_labels) {
                r = config_each_label(kubelet->node_labels, add_label, &node, err);
                if (r < 0)
                        return r == -EINVAL ? err_wrap(err, r, "the kubelet's --node-labels") : err_oom(err);
        }
        r = add_kubelet_taints(kubelet, &node, err);
        if (r < 0)
                return r == -EINVAL ? r : err_oom(err);
        *ret = node;
        node = (NodeView){ 0 };
        return 0;
}

int node_lay_over(const Config *config, NodeView *node, Err *err) {
        int r = 0;

        if (config->node_labels)
                r = config_each_label(config->node_labels, add_label, node, err);
        if (r == 0 && config->node_taints)
                r = config_each_taint(config->node_taints, add_taint, node, err);
        return r == -ENOMEM ? err_oom(err) : r;
}
