/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of text: each function says what is wrong with it, or NULL. */
#include "core/selector.h"
#include "core/validate.h"

#include <arpa/inet.h>

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_lower(char c) {
        return c >= 'a' && c <= 'z';
}

static char lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool only(const char *s, const char *others) {
        for (; *s; s++)
                if (!is_digit(*s) && !is_lower(lower(*s)) && !strchr(others, *s))
                        return false;
        return true;
}

const char *bad_dns_label(const char *s) {
        return is_dns1123_label(s) ? NULL
                                   : "must be a DNS label: at most 63 lower-case letters, digits and '-', with a "
                                     "letter or digit at both ends";
}

const char *bad_dns_subdomain(const char *s) {
        return is_dns1123_subdomain(s) ? NULL
                                       : "must be a DNS name: at most 253 lower-case letters, digits, '-' and '.', "
                                         "with a letter or digit at both ends of each part";
}

const char *bad_label_key(const char *s) {
        return is_qualified_name(s) ? NULL
                                    : "must be a qualified name: an optional DNS name and '/', then at most 63 "
                                      "letters, digits, '-', '_' and '.', with a letter or digit at both ends";
}

const char *bad_label_value(const char *s) {
        return is_label_value(s) ? NULL
                                 : "must be a label value: empty, or at most 63 letters, digits, '-', '_' and '.', "
                                   "with a letter or digit at both ends";
}

const char *bad_port_name(const char *s) {
        static const char *const wrong = "must be a port name: at most 15 lower-case letters, digits and '-', at least "
                                         "one letter, no '-' at the ends and no two in a row";
        size_t len = strlen(s);
        bool letter = false;

        if (len == 0 || len > 15 || s[0] == '-' || s[len - 1] == '-' || strstr(s, "--"))
                return wrong;
        for (; *s; s++) {
                letter |= is_lower(*s);
                if (!is_lower(*s) && !is_digit(*s) && *s != '-')
                        return wrong;
        }
        return letter ? NULL : wrong;
}

const char *bad_env_name(const char *s) {
        for (const char *c = s; *c; c++)
                if (*c < ' ' || *c > '~' || *c == '=')
                        return "must be printable ASCII without '='";
        return *s ? NULL : "must not be empty";
}

const char *bad_config_key(const char *s) {
        if (!*s || strlen(s) > 253 || !only(s, "-._"))
                return "must be at most 253 letters, digits, '-', '_' and '.'";
        return streq(s, ".") || startswith(s, "..") ? "must not be '.' or start with '..'" : NULL;
}

const char *bad_header_name(const char *s) {
        return *s && only(s, "-") ? NULL : "must be an HTTP header's name: letters, digits and '-'";
}

static const char *bad_underscore_subdomain(const char *s) {
        char plain[256];
        size_t len = strlen(s);

        if (len >= sizeof(plain))
                return bad_dns_subdomain(s);
        /* An underscore may stand where a letter may. */
        for (size_t i = 0; i <= len; i++)
                plain[i] = s[i];
        for (size_t i = 0; i < len; i++)
                if (plain[i] == '_')
                        plain[i] = 'a';
        return bad_dns_subdomain(plain);
}

const char *bad_search_domain(const char *s) {
        char plain[256];
        size_t len = strlen(s);

        if (streq(s, "."))
                return NULL;
        if (len == 0 || len >= sizeof(plain))
                return bad_dns_subdomain(s);
        memcpy(plain, s, len + 1);
        if (plain[len - 1] == '.')
                plain[len - 1] = 0;
        return bad_underscore_subdomain(plain);
}

const char *bad_sysctl_name(const char *s) {
        static const char *const wrong = "must be a sysctl's name, as net.ipv4.ip_forward";

        if (strlen(s) > 253)
                return wrong;
        for (;;) {
                size_t len = strcspn(s, "./");

                if (len == 0 || s[0] == '-' || s[0] == '_' || s[len - 1] == '-' || s[len - 1] == '_')
                        return wrong;
                for (size_t i = 0; i < len; i++)
                        if (!is_lower(s[i]) && !is_digit(s[i]) && s[i] != '-' && s[i] != '_')
                                return wrong;
                if (!s[len])
                        return NULL;
                s += len + 1;
        }
}

const char *bad_driver_name(const char *s) {
        char small[64];
        size_t len = strlen(s);

        if (len >= sizeof(small))
                return "must be at most 63 characters";
        for (size_t i = 0; i <= len; i++)
                small[i] = lower(s[i]);
        return bad_dns_subdomain(small);
}

/* ---- paths ---- */

const char *bad_back_steps(const char *s) {
        for (const char *part = s;; part++) {
                size_t len = strcspn(part, "/");

                if (len == 2 && part[0] == '.' && part[1] == '.')
                        return "must not contain '..'";
                part += len;
                if (!*part)
                        return NULL;
        }
}

const char *bad_relative_path(const char *s) {
        return *s == '/' ? "must be a relative path" : bad_back_steps(s);
}

const char *bad_item_path(const char *s) {
        const char *wrong = bad_relative_path(s);

        return wrong ? wrong : startswith(s, "..") ? "must not start with '..'" : NULL;
}

const char *bad_absolute_path(const char *s) {
        return *s == '/' ? NULL : "must be an absolute path";
}

/* ---- addresses: since 1.36 without leading zeros (as inet_pton has it), and none of IPv4 in the clothes of IPv6 ----
 */

const char *bad_ip(const char *s) {
        struct in6_addr six;
        struct in_addr four;

        if (inet_pton(AF_INET, s, &four) == 1)
                return NULL;
        if (inet_pton(AF_INET6, s, &six) != 1)
                return "must be an IP address";
        return IN6_IS_ADDR_V4MAPPED(&six) ? "must be written as an IPv4 address" : NULL;
}
