/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kubeconfig.h"
#include "core/base64.h"
#include "core/yaml.h"

#include <errno.h>

/* An entry of `clusters` or `users`: where it stands, for messages, and its fields. */
typedef struct Entry {
        const char *file, *kind, *name;
        const cJSON *fields; /* NULL: none */
} Entry;

static int refuse(const Entry *e, int code, const char *key, const char *what, Err *err) {
        return err_set(err, code, "%s: %s \"%s\": %s%s", e->file, e->kind, e->name, key, what);
}

/* ---- the document, and what its current context names ---- */

typedef struct Document {
        YamlStream stream;
        const cJSON *root;
} Document;

static void wipe(char *secret, size_t len) {
        if (secret)
                explicit_bzero(secret, len);
        free(secret);
}

static void wipe_strings(cJSON *item) {
        for (cJSON *c = item->child; c; c = c->next)
                wipe_strings(c);
        if (item->valuestring)
                explicit_bzero(item->valuestring, strlen(item->valuestring));
}

static void document_done(Document *d) {
        for (size_t i = 0; i < d->stream.n; i++)
                wipe_strings(d->stream.documents[i].root);
        yaml_stream_done(&d->stream);
}
#define _cleanup_document_ _cleanup_(document_done)

static int read_document(const char *file, const char *text, size_t len, Document *d, Err *err) {
        Place place = { 0 };
        Err why = { 0 };
        const char *kind;
        int r = yaml_read(text, len, NULL, NULL, &d->stream, &place, &why);

        if (r == -ENOMEM)
                return err_oom(err);
        if (r < 0)
                return err_set(err, r, "%s:%u:%u: %s", file, place.line, place.column, why.message);
        if (d->stream.n != 1 || !cJSON_IsObject(d->stream.documents[0].root))
                return err_set(err, -EBADMSG, "%s: not a kubeconfig: one object is wanted", file);
        d->root = d->stream.documents[0].root;
        kind = json_string(d->root, "kind");
        if (kind && *kind && !streq(kind, "Config"))
                return err_set(err, -EBADMSG, "%s: not a kubeconfig: its kind is %s", file, kind);
        return 0;
}

/* An entry of a named list, or NULL. name NULL: the only one. client-go takes a name that is there twice for an error
 * as well. */
static int find_named(const char *file, const cJSON *root, const char *key, const char *name, const cJSON **ret,
                      Err *err) {
        const cJSON *list = json_get(root, key), *item;

        *ret = NULL;
        if (!cJSON_IsArray(list))
                return 0;
        if (!name) {
                *ret = cJSON_GetArraySize(list) == 1 ? list->child : NULL;
                return 0;
        }
        cJSON_ArrayForEach(item, list) {
                if (!streq(json_string(item, "name"), name))
                        continue;
                if (*ret)
                        return err_set(err, -EBADMSG, "%s: the name \"%s\" is there twice in %s", file, name, key);
                *ret = item;
        }
        return 0;
}

/* *ret: NULL if there is none. */
static int find_context(const char *file, const cJSON *root, const cJSON **ret, Err *err) {
        const char *name = json_string(root, "current-context");
        const cJSON *entry;
        int r;

        if (name && !*name)
                name = NULL;
        r = find_named(file, root, "contexts", name, &entry, err);
        if (r < 0)
                return r;
        if (!entry && name)
                return err_set(err, -EBADMSG, "%s: current-context is \"%s\", and there is no such context", file,
                               name);
        *ret = entry;
        return 0;
}

static int find_cluster(const char *file, const cJSON *root, const cJSON *context, Entry *ret, Err *err) {
        const char *name = context ? str_or_empty(json_string(json_get(context, "context"), "cluster")) : NULL;
        const cJSON *entry;
        int r = find_named(file, root, "clusters", name, &entry, err);

        if (r < 0)
                return r;
        if (!entry && name)
                return err_set(err, -EBADMSG, "%s: there is no cluster \"%s\", which the context names", file, name);
        if (!entry)
                return err_set(err, -EBADMSG, "%s: no current-context, and not exactly one cluster", file);
        *ret = (Entry){ file, "cluster", str_or_empty(json_string(entry, "name")), json_get(entry, "cluster") };
        return 0;
}

/* client-go goes on without a user where the one that the context names is missing; that would only be told by the
 * server, and badly. */
static int find_user(const char *file, const cJSON *root, const cJSON *context, Entry *ret, Err *err) {
        const char *name = context ? str_or_empty(json_string(json_get(context, "context"), "user")) : NULL;
        const cJSON *entry = NULL;
        int r = name && !*name ? 0 : find_named(file, root, "users", name, &entry, err);

        if (r < 0)
                return r;
        if (!entry && name && *name)
                return err_set(err, -EBADMSG, "%s: there is no user \"%s\", which the context names", file, name);
        if (!entry && !name && cJSON_GetArraySize(json_get(root, "users")) > 1)
                return err_set(err, -EBADMSG, "%s: no current-context, and more than one user", file);
        *ret = (Entry){ file, "user", str_or_empty(json_string(entry, "name")), json_get(entry, "user") };
        return 0;
}

/* ---- fields ---- */

/* NULL for one that is missing, null or empty. */
static int get_string(const Entry *e, const char *key, const char **ret, Err *err) {
        const cJSON *item = json_get(e->fields, key);

        *ret = NULL;
        if (!item || cJSON_IsNull(item))
                return 0;
        if (!cJSON_IsString(item))
                return refuse(e, -EBADMSG, key, " must be a string", err);
        if (*item->valuestring)
                *ret = item->valuestring;
        return 0;
}

static int copy_string(const Entry *e, const char *key, char **ret, Err *err) {
        const char *value;
        int r = get_string(e, key, &value, err);

        if (r < 0 || !value)
                return r;
        *ret = strdup(value);
        return *ret ? 0 : err_oom(err);
}

static int read_bool(const Entry *e, const char *key, bool *ret, Err *err) {
        const cJSON *item = json_get(e->fields, key);

        if (item && !cJSON_IsNull(item) && !cJSON_IsBool(item))
                return refuse(e, -EBADMSG, key, " must be true or false", err);
        *ret = cJSON_IsTrue(item);
        return 0;
}

static void material_done(KubeMaterial *m) {
        free(m->file);
        wipe(m->data, m->len);
        *m = (KubeMaterial){ 0 };
}

static int read_pem(const Entry *e, const char *file_key, const char *data_key, KubeMaterial *m, Err *err) {
        const char *data = NULL;
        int r = copy_string(e, file_key, &m->file, err);

        if (r == 0)
                r = get_string(e, data_key, &data, err);
        if (r < 0 || !data)
                return r;
        r = base64_decode(data, strlen(data), &m->data, &m->len);
        if (r == -EBADMSG)
                return refuse(e, r, data_key, " is no base64", err);
        if (r < 0)
                return err_oom(err);
        if (m->len == 0) {
                free(m->data);
                m->data = NULL;
        }
        return 0;
}

static int read_token(const Entry *e, KubeMaterial *m, Err *err) {
        int r = copy_string(e, "tokenFile", &m->file, err);

        if (r == 0)
                r = copy_string(e, "token", &m->data, err);
        if (m->data)
                m->len = strlen(m->data);
        return r;
}

static int read_cluster(const Entry *e, KubeCluster *c, Err *err) {
        int r = copy_string(e, "server", &c->server, err);

        if (r == 0)
                r = read_pem(e, "certificate-authority", "certificate-authority-data", &c->ca, err);
        if (r == 0)
                r = copy_string(e, "tls-server-name", &c->tls_server_name, err);
        if (r == 0)
                r = copy_string(e, "proxy-url", &c->proxy_url, err);
        return r < 0 ? r : read_bool(e, "insecure-skip-tls-verify", &c->insecure, err);
}

static int read_user(const Entry *e, KubeUser *u, Err *err) {
        int r = read_pem(e, "client-certificate", "client-certificate-data", &u->cert, err);

        if (r == 0)
                r = read_pem(e, "client-key", "client-key-data", &u->key, err);
        return r < 0 ? r : read_token(e, &u->token, err);
}

/* ---- what a client can work with ---- */

#define DIGITS "0123456789"
#define ALNUM DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_visible(const char *s) {
        for (; *s; s++)
                if (*s <= ' ' || *s > '~')
                        return false;
        return true;
}

/* "host[:port]" */
static bool is_authority(const char *s, size_t len) {
        size_t host, digits;
        unsigned port = 0;

        if (*s == '[') {
                host = 1 + strspn(s + 1, DIGITS "abcdefABCDEF:.");
                if (host == 1 || s[host++] != ']')
                        return false;
        } else {
                host = strspn(s, ALNUM ".-_");
        }
        if (host == 0 || host == len)
                return host > 0;
        digits = strspn(s + host + 1, DIGITS);
        if (s[host] != ':' || digits == 0 || digits > 5 || host + 1 + digits != len)
                return false;
        for (size_t i = host + 1; i < len; i++)
                port = 10 * port + (unsigned)(s[i] - '0');
        return port > 0 && port <= 65535;
}

/* What is wrong with the URL, or NULL. It may hold a password: it is not told. */
static const char *server_fault(const char *url) {
        const char *authority = url;
        size_t len;

        if (!startswith(url, "https://"))
                return " must be an https:// URL";
        authority += strlen("https://");
        if (!is_visible(url) || strpbrk(url, "\"<>\\^`{|}"))
                return " has characters that no URL has";
        len = strcspn(authority, "/?#");
        if (memchr(authority, '@', len))
                return " must not have credentials in it";
        if (strchr(url, '?'))
                return " must not have a query (?)";
        if (strchr(url, '#'))
                return " must not have a fragment (#)";
        return is_authority(authority, len) ? NULL : " must have a valid host, and port if any";
}

static bool is_proxy(const char *url) {
        static const char *const schemes[] = { "http://", "https://", "socks5://" };

        for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
                if (startswith(url, schemes[i]))
                        return url[strlen(schemes[i])] && is_visible(url);
        return false;
}

static int check_cluster(const Entry *e, const KubeCluster *c, Err *err) {
        const char *fault;

        if (!c->server)
                return refuse(e, -EBADMSG, "server", " is missing", err);
        fault = server_fault(c->server);
        if (fault)
                return refuse(e, -EBADMSG, "server", fault, err);
        if (c->tls_server_name && c->tls_server_name[strspn(c->tls_server_name, ALNUM ".-_:")])
                return refuse(e, -EBADMSG, "tls-server-name", " must be a host name or an address", err);
        if (c->proxy_url && !is_proxy(c->proxy_url))
                return refuse(e, -EBADMSG, "proxy-url", " must be an http://, https:// or socks5:// URL", err);
        if (c->insecure && (c->ca.file || c->ca.data))
                return refuse(e, -EBADMSG, "insecure-skip-tls-verify",
                              " and a certificate authority exclude each other", err);
        return 0;
}

/* Before the fields are read: these tell more than what is missing beside them. */
static int check_methods(const Entry *e, Err *err) {
        static const char *const refused[] = { "exec", "auth-provider", "username",  "password",
                                               "as",   "as-uid",        "as-groups", "as-user-extra" };

        for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
                const cJSON *item = json_get(e->fields, refused[i]);

                if (!item || cJSON_IsNull(item) || (cJSON_IsString(item) && !*item->valuestring) ||
                    (cJSON_IsArray(item) && !item->child))
                        continue;
                return refuse(e, -EOPNOTSUPP, refused[i],
                              " is not supported; give it a client certificate (client-certificate, client-key) or a "
                              "token file (tokenFile) instead",
                              err);
        }
        return 0;
}

static int check_user(const Entry *e, const KubeUser *u, Err *err) {
        bool cert = u->cert.file || u->cert.data, key = u->key.file || u->key.data;

        if (cert && !key)
                return refuse(e, -EBADMSG, "client-certificate", " is there without client-key", err);
        if (key && !cert)
                return refuse(e, -EBADMSG, "client-key", " is there without client-certificate", err);
        return 0;
}

/* ---- all of it ---- */

int kubeconfig_cluster(const char *name, const char *text, size_t len, KubeCluster *ret, Err *err) {
        _cleanup_kube_cluster_ KubeCluster c = { 0 };
        _cleanup_document_ Document d = { 0 };
        const cJSON *context = NULL;
        Entry cluster = { 0 };
        int r = read_document(name, text, len, &d, err);

        if (r == 0)
                r = find_context(name, d.root, &context, err);
        if (r == 0)
                r = find_cluster(name, d.root, context, &cluster, err);
        if (r == 0)
                r = read_cluster(&cluster, &c, err);
        if (r < 0)
                return r;
        *ret = c;
        c = (KubeCluster){ 0 };
        return 0;
}

int kubeconfig_read(const char *name, const char *text, size_t len, KubeConfig *ret, Err *err) {
        _cleanup_kubeconfig_ KubeConfig c = { 0 };
        _cleanup_document_ Document d = { 0 };
        const cJSON *context = NULL;
        Entry cluster = { 0 }, user = { 0 };
        int r = read_document(name, text, len, &d, err);

        if (r == 0)
                r = find_context(name, d.root, &context, err);
        if (r == 0)
                r = find_cluster(name, d.root, context, &cluster, err);
        if (r == 0)
                r = read_cluster(&cluster, &c.cluster, err);
        if (r == 0)
                r = check_cluster(&cluster, &c.cluster, err);
        if (r == 0)
                r = find_user(name, d.root, context, &user, err);
        if (r == 0)
                r = check_methods(&user, err);
        if (r == 0)
                r = read_user(&user, &c.user, err);
        if (r == 0)
                r = check_user(&user, &c.user, err);
        if (r < 0)
                return r;
        *ret = c;
        c = (KubeConfig){ 0 };
        return 0;
}

char *kubeconfig_path(const char *kubeconfig, const char *file) {
        const char *slash = strrchr(kubeconfig, '/');
        _cleanup_buf_ Buf path = BUF_INIT;

        if (file[0] != '/' && slash)
                buf_add(&path, kubeconfig, (size_t)(slash - kubeconfig) + 1);
        buf_str(&path, file);
        return buf_take(&path, NULL);
}

void kube_cluster_done(KubeCluster *c) {
        free(c->server);
        material_done(&c->ca);
        free(c->tls_server_name);
        wipe(c->proxy_url, strlen(str_or_empty(c->proxy_url))); /* a password may be in it */
        *c = (KubeCluster){ 0 };
}

void kubeconfig_done(KubeConfig *c) {
        kube_cluster_done(&c->cluster);
        material_done(&c->user.cert);
        material_done(&c->user.key);
        material_done(&c->user.token);
}
