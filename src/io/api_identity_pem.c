/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "io/api_identity_internal.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

DEFINE_CLEANUP(BIO *, BIO_free_all)
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_CLEANUP(X509 *, X509_free)

static int fault(const Pem *pem, const char *what, Err *err) {
        unsigned long e;
        bool out_of_memory = false;

        while ((e = ERR_get_error()))
                out_of_memory = out_of_memory || ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE;
        return out_of_memory ? err_oom(err) : err_set(err, -EBADMSG, "%s: the %s %s", pem->file, pem->what, what);
}

static BIO *open_pem(const Pem *pem) {
        ERR_clear_error();
        return pem->len > INT_MAX ? NULL : BIO_new_mem_buf(pem->text, (int)pem->len);
}

/* The next certificate, or NULL: at the end of the text, or where one cannot be read (*ret_broken). */
static X509 *next_certificate(BIO *bio, bool *ret_broken) {
        X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        unsigned long e = x ? 0 : ERR_peek_last_error();

        *ret_broken = !x && !(ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE);
        return x;
}

static int add_certificate(X509 *x, Buf *der) {
        unsigned char *bytes = NULL;
        int n = i2d_X509(x, &bytes);

        if (n < 0)
                return -ENOMEM;
        buf_add(der, bytes, (size_t)n);
        OPENSSL_free(bytes);
        return der->failed ? -ENOMEM : 0;
}

/* All certificates, one after the other. first may be NULL. */
static int read_certificates(const Pem *pem, Buf *der, X509 **first, Err *err) {
        _cleanup_(BIO_free_allp) BIO *bio = open_pem(pem);
        bool broken;

        if (!bio)
                return err_oom(err);
        for (;;) {
                _cleanup_(X509_freep) X509 *x = next_certificate(bio, &broken);
                int r = x ? add_certificate(x, der) : 0;

                if (r < 0)
                        return err_oom(err);
                if (!x)
                        break;
                if (first && !*first)
                        *first = TAKE_PTR(x);
        }
        if (broken)
                return fault(pem, "cannot be read (PEM is wanted; perhaps it is being written)", err);
        return der->len > 0 ? 0 : fault(pem, "holds no certificate (PEM is wanted)", err);
}

int pem_hash_certificates(const Pem *ca, char ret_hash[static HASH_HEX + 1], Err *err) {
        _cleanup_buf_ Buf der = BUF_INIT;
        uint8_t digest[HASH_BYTES];
        int r = read_certificates(ca, &der, NULL, err);

        ERR_clear_error();
        if (r < 0)
                return r;
        hash_sha256(&(HashPart){ der.data, der.len }, 1, digest);
        hash_hex(digest, HASH_HEX, ret_hash);
        return 0;
}

/* libcrypto would ask on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *user) {
        (void)buffer;
        (void)size;
        (void)writing;
        *(bool *)user = true;
        return -1;
}

static int read_key(const Pem *pem, EVP_PKEY **ret, Err *err) {
        _cleanup_(BIO_free_allp) BIO *bio = open_pem(pem);
        bool encrypted = false;

        if (!bio)
                return err_oom(err);
        *ret = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
        if (*ret)
                return 0;
        return fault(pem,
                     encrypted ? "is encrypted, and nobody is here to unlock it"
                               : "cannot be read (PEM is wanted; perhaps it is being written)",
                     err);
}

static bool is_system_nodes(const X509 *x) {
        static const char group[] = "system:nodes";
        const X509_NAME *subject = X509_get_subject_name(x);

        for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
                const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
                const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);

                if (OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) == NID_organizationName &&
                    ASN1_STRING_length(value) == (int)strlen(group) &&
                    memcmp(ASN1_STRING_get0_data(value), group, strlen(group)) == 0)
                        return true;
        }
        return false;
}

static int check_time(const Pem *pem, const X509 *x, Err *err) {
        const ASN1_TIME *limit = NULL;
        const char *what = NULL;
        struct tm tm;

        /* 0 is a time that cannot be read. */
        if (X509_cmp_current_time(X509_get0_notBefore(x)) >= 0) {
                limit = X509_get0_notBefore(x);
                what = "not valid before";
        } else if (X509_cmp_current_time(X509_get0_notAfter(x)) <= 0) {
                limit = X509_get0_notAfter(x);
                what = "not valid any more since";
        } else {
                return 0;
        }
        if (!ASN1_TIME_to_tm(limit, &tm))
                return fault(pem, "has a time that cannot be read", err);
        return err_set(err, -EKEYEXPIRED, "%s: the %s is %s %04d-%02d-%02dT%02d:%02d:%02dZ", pem->file, pem->what, what,
                       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static int check_pair(const Pem *cert, const Pem *key, bool *ret_is_kubelet, Err *err) {
        _cleanup_(X509_freep) X509 *x = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_buf_ Buf der = BUF_INIT;
        int r = read_certificates(cert, &der, &x, err);

        if (r == 0)
                r = read_key(key, &pkey, err);
        if (r < 0)
                return r;
        if (X509_check_private_key(x, pkey) != 1)
                return fault(key, "does not belong to the client certificate (perhaps they are being replaced)", err);
        r = check_time(cert, x, err);
        if (r == 0)
                *ret_is_kubelet = is_system_nodes(x);
        return r;
}

int pem_check_pair(const Pem *cert, const Pem *key, bool *ret_is_kubelet, Err *err) {
        int r = check_pair(cert, key, ret_is_kubelet, err);

        ERR_clear_error();
        return r;
}
