/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that are materialised, beyond what a row of cases/render/fields.txt can tell: where they are, what they hold
 * on which node, and what cannot be made. */
#include "render_objects.h"

#include <errno.h>
#include <stdio.h>

#define PROJECTED(sources) "\"volumes\":[{\"name\":\"v\",\"projected\":{\"sources\":[" sources "]}}]"
#define CONFIG_MAP(rest) "\"volumes\":[{\"configMap\":{\"name\":\"here\"" rest "},\"name\":\"v\"}]"
#define ACCOUNT "\"serviceAccountName\":\"default\""
#define FIELD(field, path) "{\"fieldRef\":{\"fieldPath\":\"" field "\"},\"path\":\"" path "\"}"
#define DOWNWARD(items) "{\"downwardAPI\":{\"items\":[" items "]}},{\"configMap\":{\"name\":\"empty\"}}"

static void render_ok(const Object *object, const RenderOptions *o, Rendered *ret) {
        assert_int_equal(render(object, o, ret), 0);
        if (ret->status != RENDER_OK)
                fail_msg("%s: %s", reason_name(ret->reason), ret->message);
}

/* The text of a file of a volume, or NULL. */
static const char *file_of(const Payload *p, const char *path) {
        for (size_t i = 0; i < p->n; i++)
                if (streq(p->files[i].path, path)) {
                        assert_int_equal(strlen(p->files[i].bytes), p->files[i].len);
                        return p->files[i].bytes;
                }
        return NULL;
}

/* ---- where they are ---- */

static void directory_is_named_as_the_manifest(void **state) {
        static const size_t lengths[] = { 1, 63, 200, 240 };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
                _cleanup_free_ char *bytes = template_bytes(NULL, CONFIG_MAP(""), NULL);
                _cleanup_(rendered_done) Rendered got = { 0 };
                char name[256] = "", file[MANIFEST_NAME_MAX + 1], dir[512];
                Object object = daemonset(bytes);
                RenderOptions o = options();

                memset(name, 'n', lengths[i]);
                object.name = name;
                o.node_name = "n";
                render_ok(&object, &o, &got);
                assert_int_equal(manifest_file_name("kube-system", name, file), 0);
                file[strlen(file) - strlen(".json")] = 0;
                (void)snprintf(dir, sizeof(dir), "%s/%s/v", file + strlen("daemonlet_"), got.input);
                assert_string_equal(got.volumes[0].dir, dir);
                assert_true(strcspn(dir, "/") <= 255);
        }
}

static void mounted_secrets_are_not_in_the_manifest(void **state) {
        _cleanup_free_ char *bytes = template_bytes(
                NULL, "\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"here\"}}]", NULL);
        _cleanup_(rendered_done) Rendered got = { 0 };
        _cleanup_payload_ Payload payload = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        render_ok(&object, &o, &got);
        assert_int_equal(render_payload(&object, &o, "v", got.uid, &payload), 0);
        assert_string_equal(file_of(&payload, "k"), "secret");
        assert_null(strstr(got.bytes, "secret"));
        assert_null(strstr(got.bytes, "c2VjcmV0"));
}

/* ---- what they hold ---- */

static void fields_are_those_of_the_static_pod(void **state) {
        _cleanup_free_ char *bytes = template_bytes(
                "\"annotations\":{\"a\":\"x\",\"kubernetes.io/config.source\":\"api\"},\"labels\":{\"b\":\"y\",\"a\":\"z\"}",
                PROJECTED(DOWNWARD(FIELD("metadata.name", "name") "," FIELD("metadata.uid", "uid") "," FIELD(
                        "metadata.annotations['a']", "a") "," FIELD("metadata.labels", "labels"))),
                NULL);
        _cleanup_(rendered_done) Rendered here = { 0 }, there = { 0 };
        _cleanup_payload_ Payload payload = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        render_ok(&object, &o, &there);
        o.node_name = "Node-2";
        render_ok(&object, &o, &here);
        assert_int_equal(render_payload(&object, &o, "v", here.uid, &payload), 0);
        assert_string_equal(file_of(&payload, "name"), "agent-node-2");
        assert_string_equal(file_of(&payload, "uid"), here.uid);
        assert_string_equal(file_of(&payload, "a"), "x");
        assert_string_equal(file_of(&payload, "labels"), "a=\"z\"\nb=\"y\"");
        assert_string_not_equal(here.volumes[0].hash, there.volumes[0].hash);
        assert_string_equal(here.volumes[0].dir, there.volumes[0].dir);
}

static void content_without_fields_is_that_of_every_node(void **state) {
        _cleanup_free_ char *bytes = template_bytes(NULL, ACCOUNT "," CONFIG_MAP(""), NULL);
        _cleanup_(rendered_done) Rendered here = { 0 }, there = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        render_ok(&object, &o, &here);
        o.node_name = "node-2";
        render_ok(&object, &o, &there);
        assert_int_equal(here.n_volumes, 2);
        for (size_t i = 0; i < here.n_volumes; i++)
                assert_string_equal(here.volumes[i].hash, there.volumes[i].hash);
        assert_string_not_equal(here.volumes[0].hash, here.volumes[1].hash);
}

static void account_has_the_certificate_once_it_is_known(void **state) {
        _cleanup_free_ char *bytes = template_bytes(NULL, ACCOUNT, NULL);
        _cleanup_payload_ Payload without = { 0 }, with = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        assert_int_equal(render_payload(&object, &o, "kube-api-access", "u", &without), 0);
        assert_int_equal(without.n, 1);
        assert_string_equal(file_of(&without, "namespace"), "kube-system");
        assert_int_equal(without.files[0].mode, 0644);
        o.ca_crt = "certificate and more";
        o.ca_crt_len = strlen("certificate");
        assert_int_equal(render_payload(&object, &o, "kube-api-access", "u", &with), 0);
        assert_int_equal(with.n, 2);
        assert_string_equal(file_of(&with, "ca.crt"), "certificate");
}

/* ---- what cannot be made ---- */

static void paths_that_exclude_each_other_are_refused(void **state) {
        static const char *const specs[] = {
                CONFIG_MAP(",\"items\":[{\"key\":\"k\",\"path\":\"a\"},{\"key\":\"raw\",\"path\":\"a/b\"}]"),
                CONFIG_MAP(",\"items\":[{\"key\":\"k\",\"path\":\".\"}]"),
                PROJECTED(
                        "{\"configMap\":{\"name\":\"same\"}},{\"configMap\":{\"items\":[{\"key\":\"b\",\"path\":\"k/b\"}],"
                        "\"name\":\"other\"}}"),
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
                _cleanup_free_ char *bytes = template_bytes(NULL, specs[i], NULL);
                _cleanup_(rendered_done) Rendered got = { 0 };
                _cleanup_payload_ Payload payload = { 0 };
                Object object = daemonset(bytes);
                RenderOptions o = options();

                assert_int_equal(render(&object, &o, &got), 0);
                assert_int_equal(got.status, RENDER_REFUSED);
                assert_int_equal(got.reason, REASON_UnsupportedVolume);
                assert_true(startswith(got.message, "spec.template.spec.volumes"));
                assert_int_equal(got.n_volumes, 0);
                assert_string_equal(got.input, "");
                assert_true(got.n_uses > 0);
                assert_int_equal(render_payload(&object, &o, "v", "u", &payload), -EEXIST);
        }
}

/* A small template may name one large value again and again. */
static void more_than_a_volume_may_hold_is_refused(void **state) {
        enum { SIZE = 1000 * 1000, ITEMS = PAYLOAD_SIZE_MAX / SIZE + 1 };
        _cleanup_free_ char *value = malloc(SIZE + 1), *bytes = NULL;
        _cleanup_buf_ Buf set_text = BUF_INIT, spec = BUF_INIT;
        _cleanup_(rendered_done) Rendered got = { 0 };
        _cleanup_payload_ Payload payload = { 0 };
        _cleanup_objects_ Objects set = { 0 };
        RenderOptions o = options();
        Object object;

        (void)state;
        assert_non_null(value);
        memset(value, 'x', SIZE);
        value[SIZE] = 0;
        buf_printf(&set_text,
                   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: here, namespace: kube-system}\n"
                   "data: {k: %s}\n",
                   value);
        read_set(buf_text(&set_text), &set);
        buf_str(&spec, "\"volumes\":[{\"configMap\":{\"items\":[");
        for (int i = 0; i < ITEMS; i++)
                buf_printf(&spec, "%s{\"key\":\"k\",\"path\":\"%d\"}", i ? "," : "", i);
        buf_str(&spec, "],\"name\":\"here\"},\"name\":\"v\"}]");
        bytes = template_bytes(NULL, buf_text(&spec), NULL);
        object = daemonset(bytes);
        o.objects = &set;
        assert_int_equal(render(&object, &o, &got), 0);
        assert_int_equal(got.status, RENDER_REFUSED);
        assert_int_equal(got.reason, REASON_TooLarge);
        assert_true(startswith(got.message, "spec.template.spec.volumes"));
        assert_int_equal(render_payload(&object, &o, "v", "u", &payload), -EFBIG);
}

static void refused_pod_has_no_volumes(void **state) {
        _cleanup_free_ char *value = malloc(MANIFEST_SIZE_MAX + 1), *bytes = NULL;
        _cleanup_(rendered_done) Rendered got = { 0 };
        _cleanup_buf_ Buf args = BUF_INIT;
        RenderOptions o = options();
        Object object;

        (void)state;
        assert_non_null(value);
        memset(value, 'x', MANIFEST_SIZE_MAX);
        value[MANIFEST_SIZE_MAX] = 0;
        buf_printf(&args, "\"args\":[\"%s\"]", value);
        bytes = template_bytes(NULL, CONFIG_MAP(""), buf_text(&args));
        object = daemonset(bytes);
        assert_int_equal(render(&object, &o, &got), 0);
        assert_int_equal(got.reason, REASON_TooLarge);
        assert_null(got.volumes);
        assert_int_equal(got.n_volumes, 0);
        assert_int_equal(got.n_uses, 1);
}

/* One large object, mounted often. */
static void more_than_volumes_may_read_is_refused(void **state) {
        enum { SIZE = 1000 * 1000, FIT = PAYLOAD_SIZE_MAX / (SIZE + 200) };
        _cleanup_free_ char *value = malloc(SIZE + 1);
        _cleanup_buf_ Buf set_text = BUF_INIT;
        _cleanup_objects_ Objects set = { 0 };

        (void)state;
        assert_non_null(value);
        memset(value, 'x', SIZE);
        value[SIZE] = 0;
        buf_printf(&set_text,
                   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: here, namespace: kube-system}\n"
                   "data: {k: %s}\n",
                   value);
        read_set(buf_text(&set_text), &set);
        for (int n = FIT; n <= FIT + 1; n++) {
                _cleanup_(rendered_done) Rendered got = { 0 };
                _cleanup_buf_ Buf spec = BUF_INIT;
                _cleanup_free_ char *bytes = NULL;
                RenderOptions o = options();
                Object object;

                buf_str(&spec, "\"volumes\":[");
                for (int i = 0; i < n; i++)
                        buf_printf(&spec, "%s{\"configMap\":{\"name\":\"here\"},\"name\":\"v%d\"}", i ? "," : "", i);
                buf_char(&spec, ']');
                bytes = template_bytes(NULL, buf_text(&spec), NULL);
                object = daemonset(bytes);
                o.objects = &set;
                assert_int_equal(render(&object, &o, &got), 0);
                assert_int_equal(got.reason, n == FIT ? REASON_None : REASON_TooLarge);
        }
}

/* ---- what is missing ---- */

static char *many_volumes(size_t n, const char *rest) {
        _cleanup_buf_ Buf spec = BUF_INIT;

        buf_str(&spec, "\"volumes\":[");
        for (size_t i = 0; i < n; i++)
                buf_printf(&spec, "%s{\"configMap\":{\"name\":\"no%zu\"%s},\"name\":\"v%zu\"}", i ? "," : "", i, rest,
                           i);
        buf_char(&spec, ']');
        return template_bytes(NULL, buf_text(&spec), NULL);
}

static void very_many_that_are_missing_are_not_all_counted(void **state) {
        static const struct {
                size_t n;
                const char *end;
        } rows[] = {
                { 63, "; and 60 more" }, { 64, "; and 61 more" }, { 65, "; and 61 more" }, { 200, "; and 61 more" }
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *bytes = many_volumes(rows[i].n, "");
                _cleanup_(rendered_done) Rendered got = { 0 };
                Object object = daemonset(bytes);
                RenderOptions o = options();

                assert_int_equal(render(&object, &o, &got), 0);
                assert_int_equal(got.reason, REASON_WaitingForConfigMap);
                assert_string_equal(got.message + strlen(got.message) - strlen(rows[i].end), rows[i].end);
                assert_int_equal(got.n_uses, rows[i].n);
        }
}

static void without_a_set_all_is_missing(void **state) {
        _cleanup_free_ char *optional = many_volumes(2, ",\"optional\":true"), *needed = many_volumes(2, "");
        _cleanup_(rendered_done) Rendered fine = { 0 }, waits = { 0 };
        Object x = daemonset(optional), y = daemonset(needed);
        RenderOptions o = options();

        (void)state;
        o.objects = NULL;
        render_ok(&x, &o, &fine);
        assert_int_equal(fine.n_volumes, 2);
        assert_true(fine.volumes[0].empty && fine.volumes[1].empty);
        assert_int_equal(render(&y, &o, &waits), 0);
        assert_string_equal(waits.message, "ConfigMap kube-system/no0 is missing (volumes[0].configMap); ConfigMap "
                                           "kube-system/no1 is missing (volumes[1].configMap)");
}

/* ---- tokens ---- */

#define TOKEN(rest) "{\"serviceAccountToken\":{" rest "\"path\":\"token\"}}"
#define VAULT "\"audience\":\"vault\","
#define OWN_PLACE "{\"mountPath\":\"/var/run/secrets/kubernetes.io/serviceaccount\",\"name\":\"v\"}"

static void put_token(Tokens *set, const char *account, const char *audience, int64_t seconds, const char *bytes,
                      int64_t expires_at) {
        Token token = { .bytes = strdup(bytes), .expires_at = expires_at };

        assert_non_null(token.bytes);
        assert_int_equal(token_need_init(&token.need, "kube-system", account, audience, seconds), 0);
        assert_int_equal(tokens_put(set, &token), 0);
}

/* One "<account> <audience> <seconds>;" for each. */
static char *needs_text(const Rendered *r) {
        _cleanup_buf_ Buf text = BUF_INIT;
        char *taken;

        buf_str(&text, "");
        for (size_t i = 0; i < r->n_tokens; i++) {
                assert_string_equal(r->tokens[i].namespace, "kube-system");
                buf_printf(&text, "%s %s %d;", r->tokens[i].account, r->tokens[i].audience, (int)r->tokens[i].seconds);
        }
        taken = buf_take(&text, NULL);
        assert_non_null(taken);
        return taken;
}

static void tokens_that_are_needed_are_told(void **state) {
        static const struct {
                const char *spec, *container, *want;
                Reason reason;
        } rows[] = {
                { NULL, NULL, "", REASON_None },
                { CONFIG_MAP(""), NULL, "", REASON_None },
                { ACCOUNT, NULL, "default  3607;", REASON_None },
                { "\"serviceAccountName\":\"\",\"serviceAccount\":\"old\"", NULL, "old  3607;", REASON_None },
                { "\"serviceAccountName\":\"new\",\"serviceAccount\":\"old\"", NULL, "new  3607;", REASON_None },
                { "\"automountServiceAccountToken\":true", NULL, "default  3607;", REASON_None },
                { "\"automountServiceAccountToken\":false,\"serviceAccountName\":\"new\"", NULL, "", REASON_None },
                { PROJECTED(TOKEN("")), NULL, "default  3600;", REASON_None },
                { "\"automountServiceAccountToken\":false,\"serviceAccountName\":\"new\"," PROJECTED(
                          TOKEN("") "," TOKEN(VAULT) "," TOKEN("\"expirationSeconds\":7200,") "," TOKEN(VAULT)),
                  NULL, "new  3600;new  7200;new vault 3600;", REASON_None },
                { "\"serviceAccountName\":\"new\",\"volumes\":[{\"name\":\"a\",\"projected\":{\"sources\":[" TOKEN(
                          "\"expirationSeconds\":3607,") "]}},{\"name\":\"b\",\"projected\":{\"sources\":[" TOKEN(VAULT) "]}}]",
                  NULL, "new  3607;new vault 3600;", REASON_None },
                /* The place is taken: nobody would mount the directory. */
                { "\"serviceAccountName\":\"new\"," CONFIG_MAP(""), "\"volumeMounts\":[" OWN_PLACE "]", "",
                  REASON_None },
                { PROJECTED(TOKEN("") ",{\"configMap\":{\"name\":\"none\"}}"), NULL, "default  3600;",
                  REASON_WaitingForConfigMap },
                { PROJECTED(TOKEN("")) ",\"resourceClaims\":[{\"name\":\"c\"}]", NULL, "default  3600;",
                  REASON_UnsupportedField },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *bytes = template_bytes(NULL, rows[i].spec, rows[i].container);
                Tokens none = { 0 };

                for (int known = 0; known < 2; known++) {
                        _cleanup_(rendered_done) Rendered got = { 0 };
                        _cleanup_free_ char *text = NULL;
                        Object object = daemonset(bytes);
                        RenderOptions o = options();
                        Reason want = rows[i].reason;

                        o.tokens = known ? &none : NULL;
                        o.wait_for_tokens = true;
                        if (known && want == REASON_None && *rows[i].want)
                                want = REASON_WaitingForToken;
                        assert_int_equal(render(&object, &o, &got), 0);
                        assert_string_equal(reason_name(got.reason), reason_name(want));
                        text = needs_text(&got);
                        assert_string_equal(text, rows[i].want);
                }
        }
}

static void pod_waits_for_its_tokens(void **state) {
        static const struct {
                const char *spec, *want;
        } rows[] = {
                { "\"serviceAccountName\":\"agent\"",
                  "there is no token yet of ServiceAccount kube-system/agent for the API server (3607 s)" },
                { PROJECTED(TOKEN("") "," TOKEN(VAULT)),
                  "there is no token yet of ServiceAccount kube-system/default for audience vault (3600 s)" },
                { PROJECTED(
                          TOKEN(VAULT) "," TOKEN("\"expirationSeconds\":601,") "," TOKEN("\"expirationSeconds\":600,")),
                  "there is no token yet of ServiceAccount kube-system/default for the API server (600 s); "
                  "ServiceAccount kube-system/default for the API server (601 s); "
                  "ServiceAccount kube-system/default for audience vault (3600 s)" },
                { PROJECTED(TOKEN(VAULT) "," TOKEN("\"expirationSeconds\":601,") "," TOKEN(
                          "\"expirationSeconds\":600,") "," TOKEN("") "," TOKEN("\"expirationSeconds\":602,")),
                  "there is no token yet of ServiceAccount kube-system/default for the API server (600 s); "
                  "ServiceAccount kube-system/default for the API server (601 s); "
                  "ServiceAccount kube-system/default for the API server (602 s); and 1 more" },
        };
        _cleanup_tokens_ Tokens tokens = { 0 };

        (void)state;
        put_token(&tokens, "default", "", 3600, "a-token", 1);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *bytes = template_bytes(NULL, rows[i].spec, NULL);
                _cleanup_(rendered_done) Rendered got = { 0 };
                Object object = daemonset(bytes);
                RenderOptions o = options();

                o.tokens = &tokens;
                o.wait_for_tokens = true;
                assert_int_equal(render(&object, &o, &got), 0);
                assert_int_equal(got.status, RENDER_WAITING);
                assert_int_equal(got.reason, REASON_WaitingForToken);
                assert_string_equal(got.message, rows[i].want);
                assert_null(got.bytes);
                assert_int_equal(got.n_volumes, 0);
                rendered_done(&got);
                o.wait_for_tokens = false;
                assert_int_equal(render(&object, &o, &got), 0);
                assert_int_equal(got.status, RENDER_OK);
        }
}

static void tokens_are_in_files_only(void **state) {
        _cleanup_free_ char *bytes = template_bytes(NULL, "\"serviceAccountName\":\"agent\"," PROJECTED(TOKEN(VAULT)),
                                                    NULL);
        _cleanup_(rendered_done) Rendered off = { 0 }, first = { 0 }, same = { 0 }, renewed = { 0 };
        Rendered *const all[] = { &first, &same, &renewed };
        _cleanup_payload_ Payload account = { 0 }, own = { 0 };
        _cleanup_tokens_ Tokens tokens = { 0 };
        Object object = daemonset(bytes);
        RenderOptions o = options();

        (void)state;
        render_ok(&object, &o, &off);
        assert_true(off.volumes[0].empty);
        o.tokens = &tokens;
        put_token(&tokens, "agent", "", 3607, "account-token", 1);
        put_token(&tokens, "agent", "vault", 3600, "vault-token", 1);
        render_ok(&object, &o, &first);
        assert_int_equal(off.warnings.n, 2);
        assert_int_equal(first.warnings.n, 0);
        put_token(&tokens, "agent", "vault", 3600, "vault-token", 2);
        render_ok(&object, &o, &same);
        put_token(&tokens, "agent", "vault", 3600, "vault-token-2", 3);
        render_ok(&object, &o, &renewed);
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                assert_string_equal(all[i]->bytes, off.bytes);
                assert_string_equal(all[i]->input, off.input);
                assert_string_equal(all[i]->uid, off.uid);
                assert_int_equal(all[i]->n_volumes, 2);
                assert_false(all[i]->volumes[0].empty);
                for (size_t v = 0; v < 2; v++) {
                        assert_string_equal(all[i]->volumes[v].dir, off.volumes[v].dir);
                        assert_string_not_equal(all[i]->volumes[v].hash, off.volumes[v].hash);
                }
        }
        for (size_t v = 0; v < 2; v++)
                assert_string_equal(first.volumes[v].hash, same.volumes[v].hash);
        assert_string_not_equal(renewed.volumes[0].hash, first.volumes[0].hash);
        assert_string_equal(renewed.volumes[1].hash, first.volumes[1].hash);
        assert_int_equal(render_payload(&object, &o, "v", renewed.uid, &own), 0);
        assert_string_equal(file_of(&own, "token"), "vault-token-2");
        assert_int_equal(render_payload(&object, &o, "kube-api-access", renewed.uid, &account), 0);
        assert_string_equal(file_of(&account, "token"), "account-token");
        assert_string_equal(file_of(&account, "namespace"), "kube-system");
}

static void mode_of_a_token_is_for_who_runs(void **state) {
#define POD(user) "\"securityContext\":{" user "},"
#define RUN(user) "{\"image\":\"r.example/a:1\",\"name\":\"a\",\"securityContext\":{" user "}}"
#define USER(n) "\"runAsUser\":" n
        static const struct {
                const char *spec;
                uint32_t mode;
        } rows[] = {
                { "\"containers\":[" RUN("") "]", 0644 },
                { POD(USER("0")) "\"containers\":[" RUN("") "," RUN("") "]", 0600 },
                { POD(USER("7")) "\"containers\":[" RUN(USER("0")) "]", 0600 },
                { POD(USER("7")) "\"containers\":[" RUN(USER("0")) "," RUN("") "]", 0644 },
                { "\"containers\":[" RUN(USER("0")) "," RUN("") "]", 0644 },
                { "\"containers\":[" RUN("") "," RUN(USER("0")) "]", 0644 },
                { "\"containers\":[" RUN(USER("0")) "],\"initContainers\":[" RUN(USER("0")) "]", 0600 },
                { "\"containers\":[" RUN(USER("0")) "],\"initContainers\":[" RUN(USER("1")) "]", 0644 },
                { "\"containers\":[" RUN(USER("1")) "],\"initContainers\":[" RUN(USER("0")) "]", 0644 },
                { POD("\"fsGroup\":5") "\"containers\":[" RUN(USER("1")) "]", 0640 },
        };
        _cleanup_tokens_ Tokens tokens = { 0 };

        (void)state;
        put_token(&tokens, "default", "", 3600, "a-token", 1);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_payload_ Payload payload = { 0 };
                _cleanup_buf_ Buf spec = BUF_INIT;
                _cleanup_free_ char *bytes = NULL;
                RenderOptions o = options();
                Object object;

                buf_printf(&spec, "%s,%s", rows[i].spec, PROJECTED(TOKEN("")));
                bytes = template_bytes(NULL, buf_text(&spec), NULL);
                object = daemonset(bytes);
                o.tokens = &tokens;
                assert_int_equal(render_payload(&object, &o, "v", "u", &payload), 0);
                assert_int_equal(payload.n, 1);
                if (payload.files[0].mode != rows[i].mode)
                        fail_msg("%03o: %s", payload.files[0].mode, rows[i].spec);
        }
}

/* ---- out of memory ---- */

static Tokens oom_tokens;

static int oom_render(void *daemonset_bytes) {
        Object object = daemonset(daemonset_bytes);
        RenderOptions o = options();
        Rendered got = { 0 };
        int r;

        o.tokens = &oom_tokens;
        r = render(&object, &o, &got);
        assert_true(r < 0 ? got.n_tokens == 0 : got.n_tokens == 2);
        rendered_done(&got);
        return r;
}

static void tokens_and_no_memory(void **state) {
        _cleanup_free_ char *waits = template_bytes(NULL, ACCOUNT "," PROJECTED(TOKEN(VAULT) "," TOKEN(VAULT)), NULL),
                            *fine = template_bytes(NULL, ACCOUNT "," PROJECTED(TOKEN("")), NULL);

        (void)state;
        (void)known_objects();
        put_token(&oom_tokens, "default", "", 3600, "a-token", 1);
        put_token(&oom_tokens, "default", "", 3607, "another-token", 1);
        (void)test_oom(oom_render, waits);
        (void)test_oom(oom_render, fine);
        tokens_done(&oom_tokens);
}

static const char *oom_volume;

static int oom_payload(void *daemonset_bytes) {
        Object object = daemonset(daemonset_bytes);
        RenderOptions o = options();
        Payload payload = { 0 };
        int r;

        o.ca_crt = "ca";
        o.ca_crt_len = 2;
        r = render_payload(&object, &o, oom_volume, "u", &payload);
        payload_done(&payload);
        return r;
}

static void out_of_memory(void **state) {
        static const struct {
                const char *volume, *spec;
        } rows[] = {
                { "v", CONFIG_MAP(",\"items\":[{\"key\":\"raw\",\"path\":\"a/b\"}]") },
                { "v", "\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"here\"}}]" },
                { "v", PROJECTED("{\"secret\":{\"name\":\"here\"}}," DOWNWARD(FIELD("metadata.labels", "l"))) },
                { "kube-api-access", ACCOUNT },
        };

        (void)state;
        (void)known_objects();
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_free_ char *bytes = template_bytes(NULL, rows[i].spec, NULL);

                oom_volume = rows[i].volume;
                test_oom(oom_payload, bytes);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(directory_is_named_as_the_manifest),
                cmocka_unit_test(mounted_secrets_are_not_in_the_manifest),
                cmocka_unit_test(fields_are_those_of_the_static_pod),
                cmocka_unit_test(content_without_fields_is_that_of_every_node),
                cmocka_unit_test(account_has_the_certificate_once_it_is_known),
                cmocka_unit_test(paths_that_exclude_each_other_are_refused),
                cmocka_unit_test(more_than_a_volume_may_hold_is_refused),
                cmocka_unit_test(more_than_volumes_may_read_is_refused),
                cmocka_unit_test(refused_pod_has_no_volumes),
                cmocka_unit_test(very_many_that_are_missing_are_not_all_counted),
                cmocka_unit_test(without_a_set_all_is_missing),
                cmocka_unit_test(tokens_that_are_needed_are_told),
                cmocka_unit_test(pod_waits_for_its_tokens),
                cmocka_unit_test(tokens_are_in_files_only),
                cmocka_unit_test(mode_of_a_token_is_for_who_runs),
                cmocka_unit_test(tokens_and_no_memory),
                cmocka_unit_test(out_of_memory),
        };

        return cmocka_run_group_tests_name("render place", tests, NULL, NULL);
}
