/* SPDX-License-Identifier: Apache-2.0 */
#include "core/manifest.h"
#include "base/hash.h"
#include "core/yaml.h"

#include <errno.h>
#include <stdio.h>

#define HASH_TAG "daemonlet/v1\n"

enum {
        NAME_HASH_HEX = 16,
        GRACE_DEFAULT = 30,
        SEPARATORS_TRIED = 4,
        GRACE_MIN = 1, /* what Kubernetes makes of a negative grace period */
};

/* ---- file names ---- */

/* The length of the longest start of s that could be a namespace or name: DNS characters, no leading dot. */
static size_t plain_part(const char *s) {
        size_t n = 0;

        if (s[0] == '.')
                return 0;
        while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || s[n] == '-' || s[n] == '.')
                n++;
        return n;
}

int manifest_file_name(const char *namespace, const char *name, char ret[static MANIFEST_NAME_MAX + 1]) {
        const size_t fixed = strlen(MANIFEST_PREFIX MANIFEST_SUFFIX) + 1;
        size_t namespace_len = plain_part(namespace), name_len = plain_part(name), room;
        uint8_t digest[HASH_BYTES];
        char tail[NAME_HASH_HEX + 2] = "";

        if (namespace_len == 0 || namespace[namespace_len] || name_len == 0 || name[name_len])
                return -EINVAL;
        if (namespace_len + fixed + sizeof(tail) - 1 >= MANIFEST_NAME_MAX)
                return -EINVAL;
        room = MANIFEST_NAME_MAX - fixed - namespace_len;
        if (name_len > room) {
                hash_sha256(&(HashPart){ name, name_len }, 1, digest);
                /* "_" is legal in no name, so a shortened name is never another DaemonSet's full one. */
                tail[0] = '_';
                hash_hex(digest, NAME_HASH_HEX, tail + 1);
                name_len = room - (sizeof(tail) - 1);
        }
        (void)snprintf(ret, MANIFEST_NAME_MAX + 1, MANIFEST_PREFIX "%s_%.*s%s" MANIFEST_SUFFIX, namespace,
                       (int)name_len, name, tail);
        return 0;
}

static bool is_hash_tail(const char *s) {
        if (*s++ != '_')
                return false;
        for (size_t i = 0; i < NAME_HASH_HEX; i++)
                if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
                        return false;
        return streq(s + NAME_HASH_HEX, MANIFEST_SUFFIX);
}

bool manifest_name_is_ours(const char *file) {
        size_t len = strlen(file), n;

        if (len > MANIFEST_NAME_MAX || !startswith(file, MANIFEST_PREFIX))
                return false;
        file += strlen(MANIFEST_PREFIX);
        n = plain_part(file);
        if (n == 0 || file[n] != '_')
                return false;
        file += n + 1;
        n = plain_part(file);
        if (n == 0)
                return false;
        if (file[n] == '_')
                return len == MANIFEST_NAME_MAX && is_hash_tail(file + n);
        /* The suffix is made of the same characters as the name in front of it. */
        return !file[n] && n > strlen(MANIFEST_SUFFIX) && streq(file + n - strlen(MANIFEST_SUFFIX), MANIFEST_SUFFIX);
}

/* ---- host ports ---- */

typedef struct PortList {
        HostPort *items;
        size_t n, cap;
} PortList;

static void port_list_done(PortList *l) {
        free(l->items);
}

/* Copies a text that fits; one that does not is no address or protocol of the API, and "" (any) is the safe reading. */
static void copy_text(char *to, size_t size, const char *from) {
        size_t len = strlen(from);

        if (len < size)
                memcpy(to, from, len + 1);
        else
                to[0] = 0;
}

static int64_t port_number(const cJSON *port, const char *key) {
        int64_t n;

        return json_int(json_get(port, key), &n) && n > 0 && n <= UINT16_MAX ? n : 0;
}

static int add_container_ports(PortList *list, const cJSON *container, bool host_network) {
        const cJSON *port;

        cJSON_ArrayForEach(port, json_get(container, "ports")) {
                const char *protocol = json_string(port, "protocol");
                int64_t number = port_number(port, "hostPort");
                HostPort *p;

                /* On the host's network the kubelet's defaults make every container port a host port. */
                if (number == 0 && host_network)
                        number = port_number(port, "containerPort");
                if (number == 0)
                        continue;
                if (!ARRAY_GROW(list->items, list->n, list->cap))
                        return -ENOMEM;
                p = &list->items[list->n++];
                p->port = (uint16_t)number;
                copy_text(p->ip, sizeof(p->ip), str_or_empty(json_string(port, "hostIP")));
                copy_text(p->protocol, sizeof(p->protocol), protocol && *protocol ? protocol : "TCP");
        }
        return 0;
}

int host_ports_from_spec(const cJSON *pod_spec, HostPort **ret_ports, size_t *ret_n) {
        _cleanup_(port_list_done) PortList list = { 0 };
        bool host_network = json_true(pod_spec, "hostNetwork");
        const cJSON *container;
        int r;

        cJSON_ArrayForEach(container, json_get(pod_spec, "containers")) {
                r = add_container_ports(&list, container, host_network);
                if (r < 0)
                        return r;
        }
        cJSON_ArrayForEach(container, json_get(pod_spec, "initContainers")) {
                /* Others have ended before the pod runs. */
                if (!streq(json_string(container, "restartPolicy"), "Always"))
                        continue;
                r = add_container_ports(&list, container, host_network);
                if (r < 0)
                        return r;
        }
        *ret_n = list.n;
        *ret_ports = TAKE_PTR(list.items);
        return 0;
}

static bool is_any_address(const char *ip) {
        return !*ip || streq(ip, "0.0.0.0") || streq(ip, "::");
}

bool host_ports_clash(const HostPort *a, const HostPort *b) {
        if (a->port != b->port || !streq(a->protocol, b->protocol))
                return false;
        return is_any_address(a->ip) || is_any_address(b->ip) || streq(a->ip, b->ip);
}

/* ---- identity ---- */

/* What the hashes go over. */
static int take_content(cJSON *pod, char **ret, size_t *ret_len) {
        cJSON *metadata = json_get_mutable(pod, "metadata"), *annotations = json_get_mutable(metadata, "annotations");

        if (metadata)
                json_delete(metadata, "uid");
        if (annotations)
                json_delete(annotations, ANNOTATION_REVISION);
        *ret = json_canonical_text(pod, ret_len);
        return *ret ? 0 : -ENOMEM;
}

static void revision_of(const char *content, size_t len, char ret[static REVISION_HEX + 1]) {
        uint8_t digest[HASH_BYTES];

        hash_sha256(&(HashPart){ content, len }, 1, digest);
        hash_hex(digest, REVISION_HEX, ret);
}

int manifest_identity(cJSON *pod, const char *node_name, char ret_revision[static REVISION_HEX + 1],
                      char ret_uid[static 37]) {
        _cleanup_free_ char *content = NULL;
        uint8_t digest[HASH_BYTES];
        size_t len = 0;
        int r;

        r = take_content(pod, &content, &len);
        if (r < 0)
                return r;
        revision_of(content, len, ret_revision);
        hash_sha256((HashPart[]){ { HASH_TAG, strlen(HASH_TAG) },
                                  { node_name, strlen(node_name) },
                                  { "\n", 1 },
                                  { content, len } },
                    4, digest);
        hash_uuid8(digest, ret_uid);
        return 0;
}

bool manifest_uid(const char *bytes, size_t len, char ret_uid[static 37]) {
        static const char key[] = ",\"uid\":\"", end[] = "\"},\"spec\":{";
        const char *spec = bytes ? memmem(bytes, len, end, strlen(end)) : NULL;

        /* The uid is the last member of metadata, and spec follows; no string can hold these quotes. */
        if (!spec || (size_t)(spec - bytes) < strlen(key) + 36 ||
            memcmp(spec - 36 - strlen(key), key, strlen(key)) != 0)
                return false;
        memcpy(ret_uid, spec - 36, 36);
        ret_uid[36] = 0;
        return true;
}

/* ---- reading ---- */

/* The start of the next line that begins with "---", from an offset on; len if there is none. */
static size_t next_separator(const char *bytes, size_t len, size_t from) {
        while (from < len) {
                const char *newline = memchr(bytes + from, '\n', len - from);

                if (!newline)
                        break;
                from = (size_t)(newline - bytes) + 1;
                if (len - from >= 3 && memcmp(bytes + from, "---", 3) == 0)
                        return from;
        }
        return len;
}

/* The first document of a YAML text; *ret stays NULL if there is none. A kubelet reads no further than the first
 * document, so what stands behind it may be broken: then the text counts up to a separator. */
static int read_yaml(const char *bytes, size_t len, cJSON **ret) {
        size_t end = len;

        for (unsigned i = 0; i < SEPARATORS_TRIED; i++) {
                _cleanup_yaml_ YamlStream stream = { 0 };
                Place place;
                int r = yaml_read(bytes, end, NULL, NULL, &stream, &place, NULL);

                if (r == -ENOMEM)
                        return r;
                if (r == 0 && stream.n > 0) {
                        *ret = TAKE_PTR(stream.documents[0].root);
                        return 0;
                }
                /* A first separator may only open the first document, with nothing but comments in front of it. */
                end = next_separator(bytes, len, end == len ? 0 : end);
                if (end == len)
                        return 0;
        }
        return 0;
}

static int read_tree(const char *bytes, size_t len, cJSON **ret) {
        Place place;
        int r;

        if (len == 0 || len >= MANIFEST_KUBELET_MAX)
                return 0;
        /* What we wrote is JSON; the detour over YAML is for the files of others. */
        r = json_parse(bytes, len, (Place){ 1, 1 }, NULL, NULL, ret, NULL, &place, NULL);
        if (r == 0 || r == -ENOMEM)
                return r;
        return read_yaml(bytes, len, ret);
}

/* A string member of a mapping, copied; NULL where it is absent or empty. */
static int copy_string(const cJSON *object, const char *key, char **ret) {
        const char *s = json_string(object, key);

        if (!s || !*s)
                return 0;
        *ret = strdup(s);
        return *ret ? 0 : -ENOMEM;
}

static int read_names(const cJSON *metadata, Manifest *m) {
        const cJSON *annotations = json_get(metadata, "annotations");
        const struct {
                const cJSON *object;
                const char *key;
                char **to;
        } rows[] = {
                { metadata, "namespace", &m->namespace },
                { metadata, "name", &m->name },
                { metadata, "uid", &m->uid },
                { annotations, ANNOTATION_DAEMONSET, &m->daemonset },
                { annotations, ANNOTATION_INPUT, &m->input },
                { annotations, ANNOTATION_REVISION, &m->revision },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int r = copy_string(rows[i].object, rows[i].key, rows[i].to);

                if (r < 0)
                        return r;
        }
        if (!m->namespace)
                m->namespace = strdup("default");
        return m->namespace ? 0 : -ENOMEM;
}

static int64_t grace_of(const cJSON *spec) {
        int64_t grace;

        if (!json_int(json_get(spec, "terminationGracePeriodSeconds"), &grace))
                return GRACE_DEFAULT;
        return grace < 0 ? GRACE_MIN : grace;
}

static int read_pod(cJSON *pod, Manifest *m) {
        const cJSON *spec = json_get(pod, "spec");
        _cleanup_free_ char *content = NULL;
        char revision[REVISION_HEX + 1];
        size_t len = 0;
        int r;

        r = read_names(json_get(pod, "metadata"), m);
        if (r < 0)
                return r;
        m->is_pod = true;
        m->grace = grace_of(spec);
        r = host_ports_from_spec(spec, &m->ports, &m->n_ports);
        if (r < 0 || !m->revision)
                return r;
        r = take_content(pod, &content, &len);
        if (r < 0)
                return r;
        revision_of(content, len, revision);
        m->verifies = streq(revision, m->revision);
        return 0;
}

/* A pod without a name is refused by every kubelet. */
static bool is_pod(const cJSON *tree) {
        const char *name = json_string(json_get(tree, "metadata"), "name");

        return streq(json_string(tree, "apiVersion"), "v1") && streq(json_string(tree, "kind"), "Pod") && name && *name;
}

int manifest_parse(const char *bytes, size_t len, Manifest *ret) {
        _cleanup_(manifest_done) Manifest m = { 0 };
        _cleanup_json_ cJSON *tree = NULL;
        int r;

        r = read_tree(bytes, len, &tree);
        if (r < 0)
                return r;
        if (is_pod(tree)) {
                r = read_pod(tree, &m);
                if (r < 0)
                        return r;
        }
        *ret = m;
        m = (Manifest){ 0 };
        return 0;
}

void manifest_done(Manifest *m) {
        free(m->namespace);
        free(m->name);
        free(m->daemonset);
        free(m->input);
        free(m->revision);
        free(m->uid);
        free(m->ports);
        *m = (Manifest){ 0 };
}
