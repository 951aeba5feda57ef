/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_internal.h"

#include "base/buf.h"

#include <ctype.h>
#include <errno.h>

#define SET(option, value) (code = code ? code : curl_easy_setopt(c->easy, option, value))

static CURLcode set_blob(HttpCall *c, CURLoption option, const char *bytes, size_t len) {
        /* Not copied: the pool outlives its calls, and wipes the key. */
        struct curl_blob blob = { .data = (void *)bytes, .len = len, .flags = CURL_BLOB_NOCOPY };

        return bytes ? curl_easy_setopt(c->easy, option, &blob) : CURLE_OK;
}

static CURLcode set_identity(HttpCall *c, const HttpIdentity *id) {
        CURLcode code = CURLE_OK;

        SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_SSL_VERIFYPEER, id->insecure ? 0L : 1L);
        SET(CURLOPT_SSL_VERIFYHOST, id->insecure ? 0L : 2L);
        if (id->ca) {
                /* The host's certificates would count beside it. */
                SET(CURLOPT_CAINFO, NULL);
                SET(CURLOPT_CAPATH, NULL);
        }
        code = code ? code : set_blob(c, CURLOPT_CAINFO_BLOB, id->ca, id->ca_len);
        code = code ? code : set_blob(c, CURLOPT_SSLCERT_BLOB, id->cert, id->cert_len);
        code = code ? code : set_blob(c, CURLOPT_SSLKEY_BLOB, id->key, id->key_len);
        SET(CURLOPT_KEYPASSWD, ""); /* else OpenSSL asks on the terminal */
        if (!id->proxy || *id->proxy) {
                SET(CURLOPT_PROXY, str_or_empty(id->proxy));
                SET(CURLOPT_NOPROXY, "");
        }
        SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        if (id->user_agent)
                SET(CURLOPT_USERAGENT, id->user_agent);
        return code;
}

static CURLcode set_request(HttpCall *c, const HttpRequest *request) {
        CURLcode code = CURLE_OK;
        bool is_post = streq(request->method, "POST");

        if (request->body || is_post) {
                SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->body ? request->body_len : 0));
                SET(CURLOPT_COPYPOSTFIELDS, str_or_empty(request->body));
        }
        if (!is_post && (request->body || !streq(request->method, "GET")))
                SET(CURLOPT_CUSTOMREQUEST, request->method);
        return code;
}

static bool is_one_line(const char *s) {
        for (; *s; s++)
                if (iscntrl((unsigned char)*s))
                        return false;
        return true;
}

static int add_header(HttpCall *c, const char *name, const char *value) {
        _cleanup_buf_ Buf b = BUF_INIT;
        struct curl_slist *list = NULL;

        if (!value)
                return 0;
        if (!is_one_line(value))
                return -EINVAL;
        buf_str(&b, name);
        buf_str(&b, value);
        if (!b.failed)
                list = curl_slist_append(c->headers, b.data);
        if (b.data)
                explicit_bzero(b.data, b.cap); /* a token, maybe */
        if (!list)
                return -ENOMEM;
        c->headers = list;
        return 0;
}

static int set_headers(HttpCall *c, const HttpRequest *request) {
        int r = add_header(c, "Accept: ", request->accept);

        r = r < 0 ? r : add_header(c, "Authorization: Bearer ", request->token);
        r = r < 0 ? r : add_header(c, "Content-Type: ", request->content_type);
        r = r < 0 ? r : add_header(c, "Expect:", ""); /* no round trip before a long body */
        if (r < 0)
                return r;
        return curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers) ? -ENOMEM : 0;
}

static int url_result(CURLUcode code) {
        if (code == CURLUE_OK)
                return 0;
        return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
}

static void curl_freep(char **p) {
        curl_free(*p);
}

static void curl_url_cleanupp(CURLU **u) {
        curl_url_cleanup(*u);
}

/* libcurl takes the server's name from the URL; so that becomes the name in its certificate, and CONNECT_TO and the
 * Host header say what the URL said. */
static int set_server_name(HttpCall *c, CURLU *url, const char *name) {
        _cleanup_(curl_freep) char *host = NULL, *port = NULL, *given = NULL;
        _cleanup_buf_ Buf to = BUF_INIT, value = BUF_INIT, bracketed = BUF_INIT;
        CURLUcode code;
        int r;

        code = curl_url_get(url, CURLUPART_HOST, &host, 0);
        code = code ? code : curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
        if (!code && curl_url_get(url, CURLUPART_PORT, &given, 0) == CURLUE_OUT_OF_MEMORY)
                code = CURLUE_OUT_OF_MEMORY;
        if (code)
                return url_result(code);
        buf_printf(&to, "::%s:%s", host, port);
        buf_printf(&value, given ? "%s:%s" : "%s", host, given);
        buf_printf(&bracketed, strchr(name, ':') ? "[%s]" : "%s", name);
        if (to.failed || value.failed || bracketed.failed)
                return -ENOMEM;
        r = url_result(curl_url_set(url, CURLUPART_HOST, bracketed.data, 0));
        r = r < 0 ? r : add_header(c, "Host: ", value.data);
        if (r < 0)
                return r;
        c->connect_to = curl_slist_append(NULL, to.data);
        return c->connect_to && !curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, c->connect_to) ? 0 : -ENOMEM;
}

static int set_url(HttpCall *c, const HttpIdentity *identity, const char *text) {
        _cleanup_(curl_url_cleanupp) CURLU *url = curl_url();
        _cleanup_(curl_freep) char *scheme = NULL, *whole = NULL;
        int r;

        if (!url)
                return -ENOMEM;
        r = url_result(curl_url_set(url, CURLUPART_URL, text, 0));
        r = r < 0 ? r : url_result(curl_url_get(url, CURLUPART_SCHEME, &scheme, 0));
        if (r < 0)
                return r;
        if (!streq(scheme, "https"))
                return -EINVAL;
        if (identity->tls_server_name)
                r = set_server_name(c, url, identity->tls_server_name);
        r = r < 0 ? r : url_result(curl_url_get(url, CURLUPART_URL, &whole, 0));
        if (r < 0)
                return r;
        return curl_easy_setopt(c->easy, CURLOPT_URL, whole) ? -ENOMEM : 0;
}

int http_request_set(HttpCall *c, const HttpIdentity *identity, const HttpRequest *request) {
        CURLcode code;
        int r = is_one_line(request->method) ? set_url(c, identity, request->url) : -EINVAL;

        r = r < 0 ? r : set_headers(c, request);
        if (r < 0)
                return r;
        code = set_identity(c, identity);
        code = code ? code : set_request(c, request);
        if (code)
                return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
        return 0;
}
