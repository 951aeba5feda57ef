/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kubeconfig.h"
#include "io/api_identity_internal.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>

#define FILE_MAX (1024 * 1024)

enum { FILE_KUBECONFIG, FILE_CA, FILE_CERT, FILE_KEY, FILE_TOKEN };

static void wipe(char *secret, size_t len) {
        if (secret)
                explicit_bzero(secret, len);
        free(secret);
}

/* ---- files ---- */

static void stamp(ApiIdentityFile *f, const struct stat *st) {
        f->modified = st->st_mtim;
        f->changed = st->st_ctim;
        f->inode = st->st_ino;
        f->device = st->st_dev;
        f->size = st->st_size;
}

/* Takes the path. What is replaced between the look and the reading looks different afterwards. */
static int read_file(char *path, ApiIdentityFile *f, char **ret, size_t *ret_len, Err *err) {
        struct stat st = { 0 };

        if (!path)
                return err_oom(err);
        f->path = path;
        if (stat(path, &st) < 0)
                return err_errno(err, -errno, "%s", path);
        stamp(f, &st);
        return file_read(AT_FDCWD, path, FILE_MAX, (FileTrust){ .check = true, .follow = true }, ret, ret_len, err);
}

static int read_named_file(const char *kubeconfig, const char *file, ApiIdentityFile *f, char **ret, size_t *ret_len,
                           Err *err) {
        return read_file(kubeconfig_path(kubeconfig, file), f, ret, ret_len, err);
}

/* ---- material ---- */

/* The data is taken. */
static int take_pem(const char *kubeconfig, KubeMaterial *m, ApiIdentityFile *f, char **ret, size_t *ret_len,
                    Err *err) {
        if (!m->data && m->file)
                return read_named_file(kubeconfig, m->file, f, ret, ret_len, err);
        *ret_len = m->len;
        *ret = TAKE_PTR(m->data);
        return 0;
}

static Pem pem(const ApiIdentity *i, unsigned file, const char *what, const char *text, size_t len) {
        const char *path = i->files[file].path;

        return (Pem){ path ? path : i->files[FILE_KUBECONFIG].path, what, text, len };
}

static int take_ca(const char *kubeconfig, KubeMaterial *m, ApiIdentity *i, Err *err) {
        uint8_t digest[HASH_BYTES];
        Pem ca;
        int r = take_pem(kubeconfig, m, &i->files[FILE_CA], &i->ca, &i->ca_len, err);

        if (r < 0)
                return r;
        if (!i->ca) {
                hash_sha256(&(HashPart){ i->server, strlen(i->server) }, 1, digest);
                hash_hex(digest, HASH_HEX, i->cluster);
                return 0;
        }
        ca = pem(i, FILE_CA, "certificate authority", i->ca, i->ca_len);
        return pem_hash_certificates(&ca, i->cluster, err);
}

static int take_pair(const char *kubeconfig, KubeUser *user, ApiIdentity *i, Err *err) {
        Pem cert, key;
        int r = take_pem(kubeconfig, &user->cert, &i->files[FILE_CERT], &i->cert, &i->cert_len, err);

        if (r == 0)
                r = take_pem(kubeconfig, &user->key, &i->files[FILE_KEY], &i->key, &i->key_len, err);
        if (r < 0 || !i->cert)
                return r;
        cert = pem(i, FILE_CERT, "client certificate", i->cert, i->cert_len);
        key = pem(i, FILE_KEY, "client key", i->key, i->key_len);
        return pem_check_pair(&cert, &key, &i->is_kubelet, err);
}

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The token without white space around, in memory of its own; what it came in is wiped. */
static int take_token(const char *kubeconfig, KubeMaterial *m, ApiIdentity *i, Err *err) {
        size_t start = 0;
        const char *where = kubeconfig;
        int r;

        if (m->file) {
                wipe(TAKE_PTR(m->data), m->len);
                r = read_named_file(kubeconfig, m->file, &i->files[FILE_TOKEN], &m->data, &m->len, err);
                if (r < 0)
                        return r;
                where = i->files[FILE_TOKEN].path;
        }
        if (!m->data)
                return 0;
        while (start < m->len && is_space(m->data[start]))
                start++;
        while (m->len > start && is_space(m->data[m->len - 1]))
                m->data[--m->len] = 0;
        if (start == m->len)
                return err_set(err, -EBADMSG, "%s: the token is empty", where);
        for (size_t at = start; at < m->len; at++)
                if (m->data[at] <= ' ' || m->data[at] > '~')
                        return err_set(err, -EBADMSG, "%s: the token must be one line of visible ASCII", where);
        i->token = strdup(m->data + start);
        return i->token ? 0 : err_oom(err);
}

/* ---- the identity ---- */

static int take_cluster(const char *path, KubeCluster *c, bool allow_insecure, ApiIdentity *i, Err *err) {
        size_t len = strlen(c->server);

        if (c->insecure && !allow_insecure)
                return err_set(err, -EPERM,
                               "%s: insecure-skip-tls-verify is obeyed only with allow_insecure = yes in [api]; better "
                               "give the cluster its certificate-authority",
                               path);
        while (len > 0 && c->server[len - 1] == '/')
                c->server[--len] = 0;
        i->server = TAKE_PTR(c->server);
        i->tls_server_name = TAKE_PTR(c->tls_server_name);
        i->proxy_url = TAKE_PTR(c->proxy_url);
        i->insecure = c->insecure;
        return take_ca(path, &c->ca, i, err);
}

int api_identity_read(const char *path, bool allow_insecure, ApiIdentity *ret, Err *err) {
        _cleanup_api_identity_ ApiIdentity i = { 0 };
        _cleanup_kubeconfig_ KubeConfig config = { 0 };
        char *text = NULL;
        size_t len = 0;
        int r = read_file(strdup(path), &i.files[FILE_KUBECONFIG], &text, &len, err);

        if (r == 0)
                r = kubeconfig_read(path, text, len, &config, err);
        wipe(text, len);
        if (r == 0)
                r = take_cluster(path, &config.cluster, allow_insecure, &i, err);
        if (r == 0)
                r = take_pair(path, &config.user, &i, err);
        if (r == 0)
                r = take_token(path, &config.user.token, &i, err);
        if (r < 0)
                return r;
        *ret = i;
        i = (ApiIdentity){ 0 };
        return 0;
}

bool api_identity_has_changed(const ApiIdentity *identity) {
        for (unsigned n = 0; n < API_IDENTITY_FILES; n++) {
                const ApiIdentityFile *was = &identity->files[n];
                ApiIdentityFile is = { 0 };
                struct stat st;

                if (!was->path)
                        continue;
                if (stat(was->path, &st) < 0)
                        return true;
                stamp(&is, &st);
                if (is.inode != was->inode || is.device != was->device || is.size != was->size ||
                    is.modified.tv_sec != was->modified.tv_sec || is.modified.tv_nsec != was->modified.tv_nsec ||
                    is.changed.tv_sec != was->changed.tv_sec || is.changed.tv_nsec != was->changed.tv_nsec)
                        return true;
        }
        return false;
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len) {
        return !a == !b && a_len == b_len && (!a || memcmp(a, b, a_len) == 0);
}

bool api_identity_equal(const ApiIdentity *a, const ApiIdentity *b) {
        return streq(a->server, b->server) && streq(a->tls_server_name, b->tls_server_name) &&
               streq(a->proxy_url, b->proxy_url) && a->insecure == b->insecure &&
               same(a->ca, a->ca_len, b->ca, b->ca_len) && same(a->cert, a->cert_len, b->cert, b->cert_len) &&
               same(a->key, a->key_len, b->key, b->key_len) && streq(a->token, b->token);
}

void api_identity_done(ApiIdentity *identity) {
        free(identity->server);
        free(identity->tls_server_name);
        wipe(identity->proxy_url, strlen(str_or_empty(identity->proxy_url))); /* a password may be in it */
        free(identity->ca);
        wipe(identity->cert, identity->cert_len); /* a combined file holds the key too */
        wipe(identity->key, identity->key_len);
        wipe(identity->token, strlen(str_or_empty(identity->token)));
        for (unsigned n = 0; n < API_IDENTITY_FILES; n++)
                free(identity->files[n].path);
        *identity = (ApiIdentity){ 0 };
}
