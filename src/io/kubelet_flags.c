/* SPDX-License-Identifier: Apache-2.0 */
#include "io/kubelet_internal.h"

#include <errno.h>

static const struct Flag {
        const char *name;
        size_t offset;
        bool joins; /* given again, it adds to what was there */
} flags[] = {
        { "hostname-override", offsetof(KubeletFlags, hostname_override), false },
        { "node-labels", offsetof(KubeletFlags, node_labels), true },
        { "register-with-taints", offsetof(KubeletFlags, register_with_taints), false },
        { "pod-manifest-path", offsetof(KubeletFlags, pod_manifest_path), false },
        { "config", offsetof(KubeletFlags, config), false },
        { "config-dir", offsetof(KubeletFlags, config_dir), false },
        { "kubeconfig", offsetof(KubeletFlags, kubeconfig), false },
        { "bootstrap-kubeconfig", offsetof(KubeletFlags, bootstrap_kubeconfig), false },
};

static char **field_of(KubeletFlags *f, const struct Flag *flag) {
        return (char **)((char *)f + flag->offset);
}

void kubelet_flags_done(KubeletFlags *f) {
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                free(*field_of(f, &flags[i]));
        *f = (KubeletFlags){ 0 };
}

/* The kubelet takes _ for - in the names of flags. */
static bool name_equals(const char *given, size_t len, const char *name) {
        if (strlen(name) != len)
                return false;
        for (size_t i = 0; i < len; i++)
                if ((given[i] == '_' ? '-' : given[i]) != name[i])
                        return false;
        return true;
}

static const struct Flag *find_flag(const char *given, size_t len) {
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                if (name_equals(given, len, flags[i].name))
                        return &flags[i];
        return NULL;
}

static int set_flag(KubeletFlags *f, const struct Flag *flag, const char *value) {
        char **field = field_of(f, flag);
        _cleanup_buf_ Buf text = BUF_INIT;
        char *copy;

        if (flag->joins && *field && **field)
                buf_printf(&text, "%s,", *field);
        buf_str(&text, value);
        copy = buf_take(&text, NULL);
        if (!copy)
                return -ENOMEM;
        free(*field);
        *field = copy;
        return 0;
}

/* Behind an argument of the list, or NULL at its end. */
static const char *next_argument(const char *argument, const char *end) {
        const char *next = argument + strnlen(argument, (size_t)(end - argument)) + 1;

        return next < end ? next : NULL;
}

int kubelet_flags_from_arguments(const char *arguments, size_t len, KubeletFlags *f) {
        const char *end = arguments + len;
        const char *a = len > 0 ? next_argument(arguments, end) : NULL;

        for (; a && !streq(a, "--"); a = next_argument(a, end)) {
                size_t n = strcspn(a, "=");
                const struct Flag *flag;
                int r;

                if (!startswith(a, "--"))
                        continue;
                /* The value of a flag that is not known here is passed over as an argument without dashes. */
                flag = find_flag(a + 2, n - 2);
                if (!flag)
                        continue;
                if (a[n]) {
                        r = set_flag(f, flag, a + n + 1);
                } else {
                        a = next_argument(a, end);
                        if (!a)
                                return 0;
                        r = set_flag(f, flag, a);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the flags file ---- */

static const char *in_double_quotes(const char *s, Buf *out) {
        for (; *s && *s != '"'; s++) {
                if (*s == '\\' && s[1] && strchr("\"\\$`\n", s[1])) {
                        s++;
                        if (*s == '\n')
                                continue;
                }
                buf_char(out, *s);
        }
        return *s ? s + 1 : s;
}

static const char *in_single_quotes(const char *s, Buf *out) {
        const char *end = strchrnul(s, '\'');

        buf_add(out, s, (size_t)(end - s));
        return *end ? end + 1 : end;
}

/* Up to one of the stops outside of quotes, with quotes and backslashes taken away as a shell does. */
static const char *unquote(const char *s, const char *stops, Buf *out) {
        while (*s && !strchr(stops, *s)) {
                if (*s == '"') {
                        s = in_double_quotes(s + 1, out);
                } else if (*s == '\'') {
                        s = in_single_quotes(s + 1, out);
                } else if (*s == '\\' && s[1]) {
                        if (s[1] != '\n')
                                buf_char(out, s[1]);
                        s += 2;
                } else {
                        buf_char(out, *s++);
                }
        }
        return s;
}

/* The words of a value as a list of arguments behind an empty program name. */
static int flags_from_words(const char *text, KubeletFlags *f) {
        static const char blanks[] = " \t\r\n";
        _cleanup_buf_ Buf list = BUF_INIT;

        buf_add(&list, "", 1);
        for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
                text = unquote(text, blanks, &list);
                buf_add(&list, "", 1);
        }
        if (list.failed)
                return -ENOMEM;
        return kubelet_flags_from_arguments(list.data, list.len, f);
}

/* The last value of a variable into value; false if it is not set. */
static bool find_variable(const char *text, const char *name, Buf *value) {
        _cleanup_buf_ Buf ignored = BUF_INIT;
        size_t len = strlen(name);
        bool found = false;

        while (*text) {
                text += strspn(text, " \t\r\n");
                if (startswith(text, name) && text[len] == '=') {
                        buf_reset(value);
                        text = unquote(text + len + 1, "\n", value);
                        found = true;
                } else if (*text == '#' || *text == ';') {
                        text = strchrnul(text, '\n');
                } else {
                        text = unquote(text, "\n", &ignored);
                }
        }
        if (ignored.failed)
                value->failed = true;
        return found;
}

int kubelet_flags_from_file(const char *text, KubeletFlags *f) {
        /* In the order in which kubeadm's unit hands them to the kubelet. */
        static const char *const names[] = { "KUBELET_KUBEADM_ARGS", "KUBELET_EXTRA_ARGS" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                _cleanup_buf_ Buf value = BUF_INIT;
                bool found = find_variable(text, names[i], &value);

                if (value.failed)
                        return -ENOMEM;
                if (found && flags_from_words(buf_text(&value), f) < 0)
                        return -ENOMEM;
        }
        return 0;
}
