/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <errno.h>

#include "core/config_internal.h"
#include "core/config_table.h"
#include "core/selector.h"

/* ---- lists of labels and taints ---- */

static bool is_space(char c) {
        return c == ' ' || c == '\t';
}

/* A copy without white space at both ends. */
static char *dup_trimmed(const char *s, size_t len) {
        while (len > 0 && is_space(*s)) {
                s++;
                len--;
        }
        while (len > 0 && is_space(s[len - 1]))
                len--;
        return strndup(s, len);
}

/* Calls each with every item between commas, trimmed; empty ones are left out, as the kubelet does. */
static int each_item(const char *text, int (*each)(char *item, void *user, Err *err), void *user, Err *err) {
        for (;;) {
                const char *end = strchrnul(text, ',');
                _cleanup_free_ char *item = dup_trimmed(text, (size_t)(end - text));
                int r;

                if (!item)
                        return err_oom(err);
                if (*item) {
                        r = each(item, user, err);
                        if (r < 0)
                                return r;
                }
                if (!*end)
                        return 0;
                text = end + 1;
        }
}

/* Cuts "key=value" at the first sign; value "" without one. Both without white space around. */
static int cut_pair(const char *item, char **ret_key, char **ret_value) {
        const char *sign = strchrnul(item, '=');
        _cleanup_free_ char *key = dup_trimmed(item, (size_t)(sign - item));
        _cleanup_free_ char *value = *sign ? dup_trimmed(sign + 1, strlen(sign + 1)) : strdup("");

        if (!key || !value)
                return -ENOMEM;
        *ret_key = TAKE_PTR(key);
        *ret_value = TAKE_PTR(value);
        return 0;
}

static int check_pair(const char *key, const char *value, const char *item, Err *err) {
        if (!is_qualified_name(key))
                return err_set(err, -EINVAL, "\"%s\" in \"%s\" is not a label key: [prefix/]name", key, item);
        if (!is_label_value(value))
                return err_set(err, -EINVAL,
                               "\"%s\" in \"%s\" is not a label value: at most 63 letters, digits, '-', '_' and '.', "
                               "with a letter or digit at both ends",
                               value, item);
        return 0;
}

typedef struct EachLabel {
        int (*add)(void *user, const char *key, const char *value);
        void *user;
} EachLabel;

static int one_label(char *item, void *user, Err *err) {
        const EachLabel *e = user;
        _cleanup_free_ char *key = NULL, *value = NULL;
        int r = cut_pair(item, &key, &value);

        if (r < 0)
                return err_oom(err);
        r = check_pair(key, value, item, err);
        return r < 0 ? r : e->add(e->user, key, value);
}

int config_each_label(const char *text, int (*add)(void *user, const char *key, const char *value), void *user,
                      Err *err) {
        return each_item(text, one_label, &(EachLabel){ add, user }, err);
}

typedef struct EachTaint {
        int (*add)(void *user, const char *key, const char *value, TaintEffect effect);
        void *user;
} EachTaint;

static int one_taint(char *item, void *user, Err *err) {
        const EachTaint *e = user;
        _cleanup_free_ char *pair = NULL, *key = NULL, *value = NULL;
        const char *colon = strchr(item, ':');
        TaintEffect effect;
        int r;

        if (!colon || !taint_effect_parse(colon + 1, &effect))
                return err_set(err, -EINVAL,
                               "\"%s\" is not a taint: key=value:Effect or key:Effect with the effect NoSchedule, "
                               "PreferNoSchedule or NoExecute",
                               item);
        pair = strndup(item, (size_t)(colon - item));
        if (!pair || cut_pair(pair, &key, &value) < 0)
                return err_oom(err);
        r = check_pair(key, value, item, err);
        return r < 0 ? r : e->add(e->user, key, value, effect);
}

int config_each_taint(const char *text, int (*add)(void *user, const char *key, const char *value, TaintEffect effect),
                      void *user, Err *err) {
        return each_item(text, one_taint, &(EachTaint){ add, user }, err);
}

/* ---- values ---- */

static int ignore_label(void *user, const char *key, const char *value) {
        (void)user, (void)key, (void)value;
        return 0;
}

static int ignore_taint(void *user, const char *key, const char *value, TaintEffect effect) {
        (void)effect;
        return ignore_label(user, key, value);
}

static int check_labels(const char *value, Err *err) {
        return config_each_label(value, ignore_label, NULL, err);
}

static int check_taints(const char *value, Err *err) {
        return config_each_taint(value, ignore_taint, NULL, err);
}

static int check_node_name(const char *value, Err *err) {
        if (is_dns1123_subdomain(value))
                return 0;
        return err_set(err, -EINVAL,
                       "\"%s\" is not a node name: lower-case letters, digits, '-' and '.', with a letter or digit at "
                       "both ends of each part",
                       value);
}

static int check_path(const char *value, Err *err) {
        if (value[0] == '/')
                return 0;
        return err_set(err, -EINVAL, "\"%s\" must be an absolute path", value);
}

static int one_namespace(char *item, void *user, Err *err) {
        size_t *n = user;

        (*n)++;
        if (is_dns1123_label(item))
                return 0;
        return err_set(err, -EINVAL, "\"%s\" is not a namespace: lower-case letters, digits and '-'", item);
}

static int check_namespaces(const char *value, Err *err) {
        size_t n = 0;
        int r = each_item(value, one_namespace, &n, err);

        if (r == 0 && n == 0)
                return err_set(err, -EINVAL, "\"%s\" names no namespace", value);
        return r;
}

static bool is_ipv6_in_brackets(const char *s, size_t len) {
        if (len < 4 || s[0] != '[' || s[len - 1] != ']')
                return false;
        for (size_t i = 1; i < len - 1; i++)
                if (!strchr("0123456789abcdefABCDEF:.", s[i]))
                        return false;
        return memchr(s, ':', len);
}

static int check_host_port(const char *value, Err *err) {
        const char *colon = strrchr(value, ':');
        _cleanup_free_ char *host = colon ? strndup(value, (size_t)(colon - value)) : NULL;
        int64_t port;

        if (colon && !host)
                return err_oom(err);
        if (host && (is_dns1123_subdomain(host) || is_ipv6_in_brackets(host, strlen(host))) && colon[1] >= '0' &&
            colon[1] <= '9' && selector_parse_int(colon + 1, &port) && port > 0 && port <= UINT16_MAX)
                return 0;
        return err_set(err, -EINVAL,
                       "\"%s\" is not host:port: a name or address (IPv6 in brackets) and a port from 1 to 65535",
                       value);
}

/* Values that are kept as text. */
static int (*const checks[])(const char *value, Err *err) = {
        [CONFIG_NODE_NAME] = check_node_name,   [CONFIG_LABELS] = check_labels,
        [CONFIG_TAINTS] = check_taints,         [CONFIG_PATH] = check_path,
        [CONFIG_NAMESPACES] = check_namespaces, [CONFIG_HOST_PORT] = check_host_port,
};

static int join_item(char *item, void *user, Err *err) {
        Buf *out = user;

        (void)err;
        buf_printf(out, "%s%s", out->len ? "," : "", item);
        return 0;
}

/* A list without blanks and empty items, so that whoever uses it need only cut at commas. */
static char *tidy_list(const char *value) {
        _cleanup_buf_ Buf out = BUF_INIT;

        return each_item(value, join_item, &out, NULL) < 0 ? NULL : buf_take(&out, NULL);
}

static int set_text(const ConfigItem *item, const char *value, char **field, Err *err) {
        char *copy = NULL;

        if (!streq(value, item->unset)) {
                if (!streq(value, item->word)) {
                        int r = checks[item->type](value, err);

                        if (r < 0)
                                return r;
                }
                copy = item->type == CONFIG_NAMESPACES ? tidy_list(value) : strdup(value);
                if (!copy)
                        return err_oom(err);
        }
        free(*field);
        *field = copy;
        return 0;
}

static int set_bool(const char *value, bool *field, Err *err) {
        static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (streq(words[i], value)) {
                        *field = i % 2;
                        return 0;
                }
        return err_set(err, -EINVAL, "\"%s\" is neither yes nor no", value);
}

static int set_duration(const char *value, int64_t *field, Err *err) {
        static const struct Unit {
                char letter;
                int64_t seconds;
        } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 } };
        size_t digits = strspn(value, "0123456789");
        int64_t seconds = 0;

        for (size_t i = 0; i < digits; i++)
                if (__builtin_mul_overflow(seconds, 10, &seconds) ||
                    __builtin_add_overflow(seconds, value[i] - '0', &seconds))
                        return err_set(err, -EINVAL, "\"%s\" is too long a time", value);
        if (streq(value, "0")) {
                *field = 0;
                return 0;
        }
        for (size_t i = 0; digits > 0 && i < ARRAY_SIZE(units); i++) {
                if (value[digits] != units[i].letter || value[digits + 1])
                        continue;
                if (__builtin_mul_overflow(seconds, units[i].seconds, &seconds))
                        return err_set(err, -EINVAL, "\"%s\" is too long a time", value);
                *field = seconds;
                return 0;
        }
        return err_set(err, -EINVAL,
                       "\"%s\" is not a time: a whole number with s, m or h (seconds, minutes, hours), or 0", value);
}

static int set_word(const ConfigItem *item, const char *value, int *field, Err *err) {
        const char *word = item->words;

        for (int i = 0; *word; i++) {
                const char *end = strchrnul(word, ' ');

                if (strlen(value) == (size_t)(end - word) && startswith(word, value)) {
                        *field = i;
                        return 0;
                }
                word = end + (*end == ' ');
        }
        return err_set(err, -EINVAL, "\"%s\" is not one of: %s", value, item->words);
}

_Static_assert(sizeof(HoldOffline) == sizeof(int) && sizeof(OnDeleted) == sizeof(int) &&
                       sizeof(SecretEnv) == sizeof(int),
               "enums are set as int");

int config_set(Config *c, const ConfigItem *item, const char *value, Err *err) {
        void *field = (char *)c + item->offset;

        switch (item->type) {
        case CONFIG_BOOL:
                return set_bool(value, field, err);
        case CONFIG_DURATION:
                return set_duration(value, field, err);
        case CONFIG_WORD:
                return set_word(item, value, field, err);
        case CONFIG_NODE_NAME:
        case CONFIG_LABELS:
        case CONFIG_TAINTS:
        case CONFIG_PATH:
        case CONFIG_NAMESPACES:
        case CONFIG_HOST_PORT:
                return set_text(item, value, field, err);
        }
        return -EINVAL;
}

static bool is_text(const ConfigItem *item) {
        return item->type != CONFIG_BOOL && item->type != CONFIG_DURATION && item->type != CONFIG_WORD;
}

int config_init(Config *ret) {
        _cleanup_config_ Config c = { 0 };

        for (size_t i = 0; i < config_n_items; i++) {
                int r = config_set(&c, &config_items[i], config_items[i].fallback, NULL);

                if (r < 0)
                        return r;
        }
        *ret = c;
        c = (Config){ 0 };
        return 0;
}

void config_done(Config *c) {
        for (size_t i = 0; i < config_n_items; i++)
                if (is_text(&config_items[i]))
                        free(*(char **)((char *)c + config_items[i].offset));
        *c = (Config){ 0 };
}

bool config_has_namespace(const char *namespaces, const char *namespace) {
        size_t len = strlen(namespace);

        for (const char *p = str_or_empty(namespaces); *p; p += *p == ',') {
                size_t n = strcspn(p, ",");

                if (n == len && strncmp(p, namespace, n) == 0)
                        return true;
                p += n;
        }
        return false;
}
