/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "core/payload.h"
#include "test.h"
#include "wiped.h"

#include <errno.h>
#include <stdio.h>

/* In place of libc's, which is stable by chance: equal items change their order. */
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *)) {
        char *items = base, held[64];

        assert_true(size <= sizeof(held));
        for (size_t i = 1; i < n; i++) {
                size_t at = i;

                memcpy(held, items + i * size, size);
                for (; at > 0 && compare(items + (at - 1) * size, held) >= 0; at--)
                        memcpy(items + at * size, items + (at - 1) * size, size);
                memcpy(items + at * size, held, size);
        }
}

/* ---- helpers ---- */

static cJSON *parse(const char *text) {
        cJSON *tree = NULL;
        Err err = { "" };
        Place place;

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

/* The usable objects of a text, in the form that they have in the agent. */
static void known(const char *yaml, Objects *ret) {
        assert_int_equal(objects_read(ret, "objects", yaml, strlen(yaml), false), 0);
        assert_int_equal(objects_finish(ret), 0);
        for (size_t i = 0; i < ret->n_objects; i++)
                if (ret->objects[i].reason != REASON_None)
                        fail_msg("%s is not usable", ret->objects[i].name);
}

/* One line for each file: "644 path=bytes"; a zero byte is shown as "^@", a newline in the bytes as "|". */
static char *dump(const Payload *p) {
        _cleanup_buf_ Buf text = BUF_INIT;
        char *taken;

        for (size_t i = 0; i < p->n; i++) {
                const PayloadFile *f = &p->files[i];

                buf_printf(&text, "%03o %s=", f->mode, f->path);
                for (size_t k = 0; k < f->len; k++)
                        if (f->bytes[k] == 0)
                                buf_str(&text, "^@");
                        else
                                buf_char(&text, f->bytes[k] == '\n' ? '|' : f->bytes[k]);
                buf_char(&text, '\n');
                assert_int_equal(f->bytes[f->len], 0);
        }
        taken = buf_take(&text, NULL);
        assert_non_null(taken);
        return taken;
}

/* ---- a table of volumes ---- */

static const char objects_yaml[] =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}, data: {one: '1', two: '2'}}\n"
        "---\n"
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: bin, namespace: ns}, data: {text: \"a\\nb\", zz: ''},"
        " binaryData: {raw: AAEC/w==, also: YWxzbw==}}\n"
        "---\n"
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: empty, namespace: ns}}\n"
        "---\n"
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: other}, data: {one: other}}\n"
        "---\n"
        "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, data: {key: azE=, pass: AHA=, over: b2xk},"
        " stringData: {over: new, plain: YWJj}}\n"
        "---\n"
        "{apiVersion: v1, kind: Secret, metadata: {name: c, namespace: ns}, data: {one: c2VjcmV0}}\n"
        "---\n"
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: tree, namespace: ns},"
        " data: {a: '1', a-b: '2', a.b: '3', a0: '4', Z: '5'}}\n";

#define CM(rest) "{\"name\":\"v\",\"configMap\":{\"name\":" rest "}}"
#define SECRET(rest) "{\"name\":\"v\",\"secret\":{\"secretName\":" rest "}}"
#define PROJECTED(sources) "{\"name\":\"v\",\"projected\":{\"sources\":[" sources "]}}"
#define PROJECTED_MODE(mode, sources)                                                                                  \
        "{\"name\":\"v\",\"projected\":{\"defaultMode\":" mode ",\"sources\":[" sources "]}}"
#define ONE_ITEM(path) CM("\"c\",\"items\":[{\"key\":\"one\",\"path\":\"" path "\"}]")
#define TWO_ITEMS(first, second)                                                                                       \
        CM("\"c\",\"items\":[{\"key\":\"one\",\"path\":\"" first "\"},{\"key\":\"two\",\"path\":\"" second "\"}]")
#define FIELD(field, path) "{\"path\":\"" path "\",\"fieldRef\":{\"fieldPath\":\"" field "\"}}"
#define DOWNWARD(items) PROJECTED("{\"downwardAPI\":{\"items\":[" items "]}}")
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define LONG_250 FIFTY FIFTY FIFTY FIFTY FIFTY

typedef struct Row {
        const char *name, *volume, *want;
        int r;
        bool group; /* fsGroup 0 */
} Row;

static const Row rows[] = {
        { "every key of a ConfigMap", CM("\"c\""), "644 one=1\n644 two=2\n", 0, false },
        { "no items are as none at all", CM("\"c\",\"items\":[]"), "644 one=1\n644 two=2\n", 0, false },
        { "binary data", CM("\"bin\""), "644 also=also\n644 raw=^@\001\002\377\n644 text=a|b\n644 zz=\n", 0, false },
        { "an item of binary data", CM("\"bin\",\"items\":[{\"key\":\"raw\",\"path\":\"r\"}]"),
          "644 r=^@\001\002\377\n", 0, false },
        { "an empty ConfigMap", CM("\"empty\""), "", 0, false },
        { "a missing ConfigMap", CM("\"none\""), "", 0, false },
        { "a missing optional ConfigMap", CM("\"none\",\"optional\":true"), "", 0, false },
        { "a Secret: stringData is laid over data", SECRET("\"s\""),
          "644 key=k1\n644 over=new\n644 pass=^@p\n644 plain=YWJj\n", 0, false },
        { "a missing Secret", SECRET("\"none\""), "", 0, false },
        { "a Secret has the name in another field", "{\"name\":\"v\",\"secret\":{\"name\":\"s\"}}", "", 0, false },
        { "a Secret and a ConfigMap of one name", SECRET("\"c\""), "644 one=secret\n", 0, false },

        { "default mode", CM("\"c\",\"defaultMode\":256"), "400 one=1\n400 two=2\n", 0, false },
        { "default mode of a Secret", SECRET("\"c\",\"defaultMode\":0"), "000 one=secret\n", 0, false },
        { "mode of an item",
          CM("\"c\",\"defaultMode\":256,\"items\":[{\"key\":\"one\",\"path\":\"a\",\"mode\":0},"
             "{\"key\":\"two\",\"path\":\"b\"},{\"key\":\"two\",\"path\":\"c\",\"mode\":511}]"),
          "000 a=1\n400 b=2\n777 c=2\n", 0, false },
        { "no bits beyond the permissions", CM("\"c\",\"defaultMode\":4095"), "777 one=1\n777 two=2\n", 0, false },
        { "a mode that is none", CM("\"c\",\"defaultMode\":\"0400\""), "644 one=1\n644 two=2\n", 0, false },
        { "a group reads",
          SECRET("\"s\",\"defaultMode\":256,\"items\":[{\"key\":\"key\",\"path\":\"a\"},"
                 "{\"key\":\"key\",\"path\":\"b\",\"mode\":0},"
                 "{\"key\":\"key\",\"path\":\"c\",\"mode\":63}]"),
          "440 a=k1\n440 b=k1\n477 c=k1\n", 0, true },
        { "a group that reads already", CM("\"c\""), "644 one=1\n644 two=2\n", 0, true },

        { "items: a missing key",
          CM("\"c\",\"items\":[{\"key\":\"one\",\"path\":\"x/y\"},"
             "{\"key\":\"none\",\"path\":\"z\"},{\"key\":\"on\",\"path\":\"z\"}]"),
          "644 x/y=1\n", 0, false },
        { "items: a missing object", CM("\"none\",\"items\":[{\"key\":\"one\",\"path\":\"x\"}]"), "", 0, false },
        { "items: one key twice", TWO_ITEMS("b", "a"), "644 a=2\n644 b=1\n", 0, false },
        { "items: the last of a path wins", TWO_ITEMS("x", "x"), "644 x=2\n", 0, false },
        { "items: the last of a path wins, however it is written", TWO_ITEMS("x/y", "./x//y/"), "644 x/y=2\n", 0,
          false },
        { "items: order is that of a walk",
          CM("\"tree\",\"items\":["
             "{\"key\":\"a\",\"path\":\"a0\"},{\"key\":\"a\",\"path\":\"a-b\"},"
             "{\"key\":\"a\",\"path\":\"a/z\"},{\"key\":\"a\",\"path\":\"a/b/c\"},"
             "{\"key\":\"a\",\"path\":\"\303\244\"},{\"key\":\"a\",\"path\":\"Z\"}]"),
          "644 Z=1\n644 a/b/c=1\n644 a/z=1\n644 a-b=1\n644 a0=1\n644 \303\244=1\n", 0, false },

        { "path: a directory of another", TWO_ITEMS("x", "x/y"), NULL, -EEXIST, false },
        { "path: below another", TWO_ITEMS("x/y", "x"), NULL, -EEXIST, false },
        { "path: far below another", TWO_ITEMS("x/y/z/u", "x/y"), NULL, -EEXIST, false },
        { "path: a directory of another, with one between them in bytes",
          CM("\"c\",\"items\":[{\"key\":\"one\",\"path\":\"x\"},{\"key\":\"one\",\"path\":\"x-y\"},"
             "{\"key\":\"one\",\"path\":\"x!\"},{\"key\":\"one\",\"path\":\"x/y\"}]"),
          NULL, -EEXIST, false },
        { "path: only the name's beginning in common", TWO_ITEMS("x", "xy/z"), "644 x=1\n644 xy/z=2\n", 0, false },
        { "path: absolute", ONE_ITEM("/etc/passwd"), NULL, -EEXIST, false },
        { "path: up", ONE_ITEM("../x"), NULL, -EEXIST, false },
        { "path: up in between", ONE_ITEM("x/../y"), NULL, -EEXIST, false },
        { "path: up at the end", ONE_ITEM("x/.."), NULL, -EEXIST, false },
        { "path: reserved", ONE_ITEM("..data"), NULL, -EEXIST, false },
        { "path: reserved in disguise", ONE_ITEM(".//./..data"), NULL, -EEXIST, false },
        { "path: three dots are two and more", ONE_ITEM("..."), NULL, -EEXIST, false },
        { "path: two dots further down", ONE_ITEM("x/..y"), "644 x/..y=1\n", 0, false },
        { "path: one dot", ONE_ITEM(".x/.y"), "644 .x/.y=1\n", 0, false },
        { "path: the directory itself", ONE_ITEM("."), NULL, -EEXIST, false },
        { "path: the directory itself, longer", ONE_ITEM(".//./"), NULL, -EEXIST, false },
        { "path: none", CM("\"c\",\"items\":[{\"key\":\"one\",\"path\":\"\"}]"), NULL, -EEXIST, false },
        { "path: no field", CM("\"c\",\"items\":[{\"key\":\"one\"}]"), NULL, -EEXIST, false },
        { "path: a bad one of a missing key", CM("\"c\",\"items\":[{\"key\":\"none\",\"path\":\"..\"}]"), "", 0,
          false },
        { "path: 255 bytes", ONE_ITEM("x/" LONG_250 "12345"), "644 x/" LONG_250 "12345=1\n", 0, false },
        { "path: 256 bytes", ONE_ITEM("x/" LONG_250 "123456"), NULL, -EEXIST, false },

        { "projected: all sources in one directory",
          PROJECTED("{\"configMap\":{\"name\":\"c\"}},{\"secret\":{\"name\":\"s\",\"items\":[{\"key\":\"key\","
                    "\"path\":\"k\"}]}},{\"downwardAPI\":{\"items\":[" FIELD("metadata.namespace", "d/ns") "]}}"),
          "644 d/ns=ns\n644 k=k1\n644 one=1\n644 two=2\n", 0, false },
        { "projected: one mode for all",
          PROJECTED_MODE("288", "{\"configMap\":{\"name\":\"c\",\"defaultMode\":1}},{\"secret\":{\"name\":\"s\","
                                "\"items\":[{\"key\":\"key\",\"path\":\"k\",\"mode\":384}]}},{\"downwardAPI\":{"
                                "\"items\":[" FIELD("metadata.namespace",
                                                    "ns") ",{\"path\":\"n\",\"mode\":1,"
                                                          "\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}]}}"),
          "600 k=k1\n001 n=agent-node\n440 ns=ns\n440 one=1\n440 two=2\n", 0, false },
        { "projected: the last source wins",
          PROJECTED("{\"configMap\":{\"name\":\"c\"}},{\"secret\":{\"name\":\"c\"}}"), "644 one=secret\n644 two=2\n", 0,
          false },
        { "projected: the last source wins, with its mode",
          PROJECTED("{\"secret\":{\"name\":\"c\",\"items\":[{\"key\":\"one\",\"path\":\"one\",\"mode\":1}]}},"
                    "{\"configMap\":{\"name\":\"c\"}}"),
          "644 one=1\n644 two=2\n", 0, false },
        { "projected: sources that are missing",
          PROJECTED("{\"configMap\":{\"name\":\"none\"}},{\"secret\":{\"name\":\"none\",\"optional\":true}},"
                    "{\"configMap\":{\"name\":\"c\"}}"),
          "644 one=1\n644 two=2\n", 0, false },
        { "projected: a directory of another source's file",
          PROJECTED("{\"configMap\":{\"name\":\"c\"}},{\"secret\":{\"name\":\"s\",\"items\":[{\"key\":\"key\","
                    "\"path\":\"one/k\"}]}}"),
          NULL, -EEXIST, false },
        { "projected: a token is not ours",
          PROJECTED("{\"serviceAccountToken\":{\"path\":\"token\"}},{\"configMap\":{\"name\":\"c\"}}"),
          "644 one=1\n644 two=2\n", 0, false },
        { "projected: a token alone", PROJECTED("{\"serviceAccountToken\":{\"path\":\"token\"}}"), "", 0, false },
        { "projected: nothing", PROJECTED(""), "", 0, false },
        { "projected: what is no source", PROJECTED("{},{\"other\":{\"name\":\"c\"}}"), "", 0, false },
        { "the ServiceAccount's directory",
          PROJECTED_MODE("256", "{\"serviceAccountToken\":{}},{\"daemonletServiceAccount\":{}}"),
          "644 ca.crt=PEM^@|\n644 namespace=ns\n", 0, false },
        { "the ServiceAccount's directory with a group",
          PROJECTED("{\"serviceAccountToken\":{}},{\"daemonletServiceAccount\":{}}"),
          "644 ca.crt=PEM^@|\n644 namespace=ns\n", 0, true },

        { "downward: fields",
          DOWNWARD(FIELD("metadata.name", "a") "," FIELD("metadata.namespace", "b") "," FIELD("metadata.uid", "c")),
          "644 a=agent-node\n644 b=ns\n644 c=uid-1\n", 0, false },
        { "downward: labels",
          DOWNWARD(FIELD("metadata.labels", "a") "," FIELD("metadata.labels['app']",
                                                           "b") "," FIELD("metadata.labels['none']", "c")),
          "644 a=Z=\"1\"|a.b=\"2\"|app=\"x\"|app-k=\"\"\n644 b=x\n644 c=\n", 0, false },
        { "downward: annotations",
          DOWNWARD(FIELD("metadata.annotations['e/a']", "a") "," FIELD("metadata.annotations['none']", "b") "," FIELD(
                  "metadata.annotations['app']", "c")),
          "644 a=b|a\n644 b=\n644 c=\n", 0, false },
        { "downward: what only the kubelet knows is left out",
          DOWNWARD(FIELD("metadata.annotations", "a") ",{\"path\":\"b\",\"resourceFieldRef\":{\"resource\":"
                                                      "\"limits.cpu\",\"containerName\":\"c\"}}," FIELD(
                                                              "metadata.uid", "c") ",{\"path\":\"d\"}"),
          "644 c=uid-1\n", 0, false },
        { "downward: paths are checked", DOWNWARD(FIELD("metadata.uid", "a/../../b")), NULL, -EEXIST, false },
        { "downward: the last wins", DOWNWARD(FIELD("metadata.uid", "a") "," FIELD("metadata.name", "./a")),
          "644 a=agent-node\n", 0, false },
};

static PayloadFacts facts_of(const Objects *objects, const cJSON *volume, const cJSON *labels,
                             const cJSON *annotations) {
        return (PayloadFacts){ .objects = objects,
                               .namespace = "ns",
                               .volume = volume,
                               .fs_group = -1,
                               .pod_name = "agent-node",
                               .uid = "uid-1",
                               .labels = labels,
                               .annotations = annotations,
                               .ca_crt = "PEM\0\nx",
                               .ca_crt_len = 5 };
}

static const char labels_json[] = "{\"app-k\":\"\",\"app\":\"x\",\"Z\":\"1\",\"a.b\":\"2\"}";
static const char annotations_json[] = "{\"e/a\":\"b\\na\",\"daemonlet.io/revision\":\"r\",\"kubernetes.io/config.x\":"
                                       "\"y\",\"kubernetes.io/configure\":\"z\",\"e\":\"short\"}";

static void test_rows(void **state) {
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_json_ cJSON *labels = parse(labels_json), *annotations = parse(annotations_json);

        (void)state;
        known(objects_yaml, &objects);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const Row *row = &rows[i];
                _cleanup_json_ cJSON *volume = parse(row->volume);
                _cleanup_payload_ Payload p = { .n = 0 };
                _cleanup_free_ char *got = NULL;
                PayloadFacts facts = facts_of(&objects, volume, labels, annotations);
                int r;

                facts.fs_group = row->group ? 0 : -1;
                r = payload_make(&facts, &p);
                if (r != row->r)
                        fail_msg("%s: %d", row->name, r);
                if (r < 0)
                        continue;
                got = dump(&p);
                if (!streq(got, row->want))
                        fail_msg("%s:\n%s", row->name, got);
                assert_int_equal(p.group, facts.fs_group);
        }
}

/* ---- tokens ---- */

#define TOKEN(rest) "{\"serviceAccountToken\":{" rest "}}"
#define PLAIN_TOKEN PROJECTED(TOKEN("\"path\":\"token\""))
#define MODE_OF_TOKEN(mode) PROJECTED_MODE(mode, TOKEN("\"path\":\"token\""))

static const char *const token_names[][3] = {
        { "ns", "agent", "" }, { "ns", "agent", "vault" }, { "ns", "other", "" }, { "other", "agent", "" }
};

/* Of 3600 s, each named by what it is for; of the first one there is one of 3607 s as well. */
static void known_tokens(Tokens *ret) {
        for (size_t i = 0; i <= ARRAY_SIZE(token_names); i++) {
                const char *const *names = token_names[i % ARRAY_SIZE(token_names)];
                int64_t seconds = i < ARRAY_SIZE(token_names) ? 3600 : 3607;
                _cleanup_buf_ Buf bytes = BUF_INIT;
                Token token = { .expires_at = 1 };

                buf_printf(&bytes, "token-%s-%s-%s-%d", names[0], names[1], names[2], (int)seconds);
                token.bytes = buf_take(&bytes, NULL);
                assert_int_equal(token_need_init(&token.need, names[0], names[1], names[2], seconds), 0);
                assert_int_equal(tokens_put(ret, &token), 0);
        }
}

static const struct {
        const char *name, *volume, *want;
        int r;
        int64_t group, user;
} token_rows[] = {
        { "alone", PLAIN_TOKEN, "644 token=token-ns-agent--3600\n", 0, -1, -1 },
        { "of an audience", PROJECTED(TOKEN("\"audience\":\"vault\",\"path\":\"./a//b\"")),
          "644 a/b=token-ns-agent-vault-3600\n", 0, -1, -1 },
        { "of its life",
          PROJECTED(TOKEN("\"expirationSeconds\":3607,\"path\":\"a\"") "," TOKEN(
                  "\"expirationSeconds\":3600,\"path\":\"b\"")),
          "644 a=token-ns-agent--3607\n644 b=token-ns-agent--3600\n", 0, -1, -1 },
        { "not known: audience", PROJECTED(TOKEN("\"audience\":\"v\",\"path\":\"token\"")), "", 0, -1, -1 },
        { "not known: life", PROJECTED(TOKEN("\"expirationSeconds\":3601,\"path\":\"token\"")), "", 0, -1, -1 },
        { "not known: a bad path does not matter", PROJECTED(TOKEN("\"audience\":\"v\",\"path\":\"..\"")), "", 0, -1,
          -1 },
        { "a bad path", PROJECTED(TOKEN("\"path\":\"../token\"")), NULL, -EEXIST, -1, -1 },
        { "no path", PROJECTED(TOKEN("")), NULL, -EEXIST, -1, -1 },
        { "an odd source", PROJECTED("{\"serviceAccountToken\":7}"), NULL, -EEXIST, -1, -1 },
        { "a directory of another file", PROJECTED("{\"configMap\":{\"name\":\"c\"}}," TOKEN("\"path\":\"one/t\"")),
          NULL, -EEXIST, -1, -1 },
        { "the last wins", PROJECTED("{\"configMap\":{\"name\":\"c\"}}," TOKEN("\"path\":\"one\"")),
          "644 one=token-ns-agent--3600\n644 two=2\n", 0, -1, -1 },
        { "another wins", PROJECTED(TOKEN("\"path\":\"one\"") ",{\"configMap\":{\"name\":\"c\"}}"),
          "644 one=1\n644 two=2\n", 0, -1, -1 },
        { "the ServiceAccount's directory",
          PROJECTED(TOKEN("\"expirationSeconds\":3607,\"path\":\"token\"") ",{\"daemonletServiceAccount\":{}}"),
          "644 ca.crt=PEM^@|\n644 namespace=ns\n644 token=token-ns-agent--3607\n", 0, -1, -1 },

        { "mode of the volume", MODE_OF_TOKEN("256"), "400 token=token-ns-agent--3600\n", 0, -1, -1 },
        { "mode: a group", PLAIN_TOKEN, "640 token=token-ns-agent--3600\n", 0, 0, -1 },
        { "mode: a group and another mode", MODE_OF_TOKEN("511"), "640 token=token-ns-agent--3600\n", 0, 1000, -1 },
        { "mode: a group and a user", PLAIN_TOKEN, "640 token=token-ns-agent--3600\n", 0, 1000, 1000 },
        { "mode: a group and root", PLAIN_TOKEN, "640 token=token-ns-agent--3600\n", 0, 1000, 0 },
        { "mode: root", PLAIN_TOKEN, "600 token=token-ns-agent--3600\n", 0, -1, 0 },
        { "mode: root and another mode", MODE_OF_TOKEN("0"), "600 token=token-ns-agent--3600\n", 0, -1, 0 },
        { "mode: a user", PLAIN_TOKEN, "644 token=token-ns-agent--3600\n", 0, -1, 1 },
        { "mode: a user must be able to read", MODE_OF_TOKEN("256"), "444 token=token-ns-agent--3600\n", 0, -1, 1000 },
        { "mode: a user and more", MODE_OF_TOKEN("448"), "744 token=token-ns-agent--3600\n", 0, -1, 1000 },
        { "mode: only that of the token",
          PROJECTED(TOKEN("\"path\":\"token\"") ",{\"secret\":{\"name\":\"c\"}},{\"daemonletServiceAccount\":{}}"),
          "644 ca.crt=PEM^@|\n644 namespace=ns\n644 one=secret\n600 token=token-ns-agent--3600\n", 0, -1, 0 },
};

static void test_tokens(void **state) {
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_tokens_ Tokens tokens = { 0 };

        (void)state;
        known(objects_yaml, &objects);
        known_tokens(&tokens);
        for (size_t i = 0; i < ARRAY_SIZE(token_rows); i++) {
                _cleanup_json_ cJSON *volume = parse(token_rows[i].volume);
                PayloadFacts facts = facts_of(&objects, volume, NULL, NULL);
                _cleanup_payload_ Payload p = { .n = 0 };
                _cleanup_free_ char *got = NULL;
                int r;

                facts.tokens = &tokens;
                facts.account = "agent";
                facts.fs_group = token_rows[i].group;
                facts.user = token_rows[i].user;
                r = payload_make(&facts, &p);
                if (r != token_rows[i].r)
                        fail_msg("%s: %d", token_rows[i].name, r);
                if (r < 0)
                        continue;
                got = dump(&p);
                if (!streq(got, token_rows[i].want))
                        fail_msg("%s:\n%s", token_rows[i].name, got);
        }
}

static void test_tokens_are_of_the_account(void **state) {
        static const struct {
                const char *namespace, *account, *want;
        } pods[] = {
                { "ns", "other", "644 token=token-ns-other--3600\n" },
                { "other", "agent", "644 token=token-other-agent--3600\n" },
                { "ns", "default", "" },
                { "ns", NULL, "" },
        };
        _cleanup_json_ cJSON *volume = parse(PLAIN_TOKEN);
        _cleanup_tokens_ Tokens tokens = { 0 };

        (void)state;
        known_tokens(&tokens);
        for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
                PayloadFacts facts = { .namespace = pods[i].namespace, .volume = volume, .fs_group = -1, .user = -1 };
                _cleanup_payload_ Payload p = { .n = 0 };
                _cleanup_free_ char *got = NULL;

                facts.tokens = &tokens;
                facts.account = pods[i].account;
                assert_int_equal(payload_make(&facts, &p), 0);
                got = dump(&p);
                assert_string_equal(got, pods[i].want);
        }
}

/* ---- objects that no reader would let through ---- */

static int make_of_bytes(ObjectKind kind, const char *bytes, const char *volume, Payload *ret) {
        Object object = { .kind = kind,
                          .namespace = (char *)(uintptr_t) "ns",
                          .name = (char *)(uintptr_t) "o",
                          .bytes = (char *)(uintptr_t)bytes,
                          .len = strlen(bytes) };
        Objects objects = { .objects = &object, .n_objects = 1 };
        _cleanup_json_ cJSON *tree = parse(volume);
        PayloadFacts facts = facts_of(&objects, tree, NULL, NULL);

        return payload_make(&facts, ret);
}

static void test_odd_objects(void **state) {
        static const struct {
                const char *bytes, *want;
                int r;
        } odd[] = {
                { "{\"data\":{\"a\":\"Yg==\",\"..\":\"Yg==\"}}", NULL, -EEXIST },
                { "{\"data\":{\"a/../b\":\"Yg==\"}}", NULL, -EEXIST },
                { "{\"data\":{\"a\":\"Yg=\",\"b\":\"Yg==\",\"c\":7,\"d\":{\"e\":\"Yg==\"}}}", "644 b=b\n", 0 },
                { "{\"data\":7}", "", 0 },
                { "{}", "", 0 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
                _cleanup_payload_ Payload p = { .n = 0 };
                _cleanup_free_ char *got = NULL;

                assert_int_equal(make_of_bytes(OBJECT_SECRET, odd[i].bytes, SECRET("\"o\""), &p), odd[i].r);
                if (odd[i].r < 0)
                        continue;
                got = dump(&p);
                assert_string_equal(got, odd[i].want);
        }
}

static void test_published_ca(void **state) {
        static const char text[] =
                "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"kube-root-ca.crt\","
                "\"namespace\":\"ns\"},\"data\":{\"ca.crt\":\"published\",\"other\":\"x\"}}";
        _cleanup_json_ cJSON *volume = parse(PROJECTED("{\"daemonletServiceAccount\":{}}"));
        _cleanup_objects_ Objects objects = { 0 };
        _cleanup_tokens_ Tokens tokens = { 0 };

        (void)state;
        known(text, &objects);
        for (int on = 0; on < 2; on++) {
                PayloadFacts facts = facts_of(&objects, volume, NULL, NULL);
                _cleanup_payload_ Payload p = { .n = 0 };
                _cleanup_free_ char *got = NULL;

                facts.tokens = on ? &tokens : NULL;
                assert_int_equal(payload_make(&facts, &p), 0);
                got = dump(&p);
                assert_string_equal(got, on ? "644 ca.crt=published\n644 namespace=ns\n"
                                            : "644 ca.crt=PEM^@|\n644 namespace=ns\n");
        }
}

static void test_facts_that_are_missing(void **state) {
        _cleanup_json_ cJSON *volume = parse(
                PROJECTED("{\"configMap\":{\"name\":\"c\"}},{\"configMap\":{}},{\"daemonletServiceAccount\":{}},"
                          "{\"downwardAPI\":{\"items\":[" FIELD("metadata.labels", "l") "," FIELD(
                                  "metadata.annotations['a']",
                                  "a") "," FIELD("metadata.uid", "u") "," FIELD("metadata.name", "n") "]}}"));
        PayloadFacts facts = { .namespace = "ns", .volume = volume, .fs_group = -7 };
        _cleanup_payload_ Payload p = { .n = 0 };
        _cleanup_free_ char *got = NULL;

        (void)state;
        assert_int_equal(payload_make(&facts, &p), 0);
        got = dump(&p);
        assert_string_equal(got, "644 a=\n644 l=\n644 n=\n644 namespace=ns\n644 u=\n");
        assert_int_equal(p.group, -1);
}

/* Of another shape than any that is valid: no files, and no harm. */
static void test_odd_volumes(void **state) {
        static const char *const odd[] = {
                "7",
                "[]",
                "{}",
                "{\"configMap\":7}",
                "{\"secret\":[]}",
                "{\"secret\":{\"secretName\":7}}",
                "{\"projected\":7}",
                "{\"projected\":{\"sources\":7}}",
                "{\"projected\":{\"sources\":[7,\"secret\",[]]}}",
                "{\"projected\":{\"sources\":{\"secret\":{\"name\":\"o\"}}}}",
                "{\"projected\":{\"sources\":[{\"downwardAPI\":7},{\"downwardAPI\":{\"items\":[7,{\"fieldRef\":7}]}}]}}",
                "{\"secret\":{\"secretName\":\"o\",\"items\":[7,{\"key\":7}]}}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
                _cleanup_payload_ Payload p = { .n = 77 };

                assert_int_equal(make_of_bytes(OBJECT_SECRET, "{\"data\":{\"a\":\"Yg==\"}}", odd[i], &p), 0);
                assert_int_equal(p.n, 0);
        }
}

static void test_paths_have_a_longest(void **state) {
        (void)state;
        for (size_t more = 0; more < 2; more++) {
                _cleanup_buf_ Buf volume = BUF_INIT;
                _cleanup_payload_ Payload p = { .n = 0 };

                buf_str(&volume, "{\"secret\":{\"secretName\":\"o\",\"items\":[{\"key\":\"a\",\"path\":\"");
                for (size_t i = 0; i < 2047 + more; i++)
                        buf_str(&volume, "x/");
                buf_str(&volume, more ? "x" : "xy");
                buf_str(&volume, "\"}]}}");
                assert_false(volume.failed);
                assert_int_equal(make_of_bytes(OBJECT_SECRET, "{\"data\":{\"a\":\"\"}}", buf_text(&volume), &p),
                                 more ? -EEXIST : 0);
                assert_int_equal(p.n, !more);
        }
}

/* ---- limits ---- */

#define ACCOUNT_AND(rest) PROJECTED("{\"daemonletServiceAccount\":{}}" rest)
#define NO_FILE ",{\"configMap\":{\"name\":\"o\",\"items\":[{\"key\":\"no\",\"path\":\"x\"}]}}"
#define ONE_FILE_TWICE                                                                                                 \
        ",{\"configMap\":{\"name\":\"o\",\"items\":[{\"key\":\"a\",\"path\":\"x\"},{\"key\":\"a\",\"path\":\"x\"}]}}"

static int make_large(const Objects *objects, const char *volume, size_t ca_crt_len) {
        _cleanup_json_ cJSON *tree = parse(volume);
        _cleanup_free_ char *ca = calloc(1, ca_crt_len);
        PayloadFacts facts = facts_of(objects, tree, NULL, NULL);
        _cleanup_payload_ Payload p = { .n = 0 };
        int r;

        assert_non_null(ca);
        facts.ca_crt = ca;
        facts.ca_crt_len = ca_crt_len;
        r = payload_make(&facts, &p);
        assert_true(r < 0 || p.n > 0);
        return r;
}

static void test_size_has_a_limit(void **state) {
        static char bytes[] = "{\"data\":{\"a\":\"12345\"}}";
        Object object = { .kind = OBJECT_CONFIGMAP,
                          .namespace = (char *)(uintptr_t) "ns",
                          .name = (char *)(uintptr_t) "o",
                          .bytes = bytes,
                          .len = strlen(bytes) };
        Objects objects = { .objects = &object, .n_objects = 1 };
        size_t max = PAYLOAD_SIZE_MAX - strlen("namespace") - strlen("ns") - strlen("ca.crt");

        (void)state;
        assert_int_equal(make_large(&objects, ACCOUNT_AND(""), max), 0);
        assert_int_equal(make_large(&objects, ACCOUNT_AND(""), max + 1), -EFBIG);
        /* An object counts, whether it gives files or not, and each time. */
        assert_int_equal(make_large(&objects, ACCOUNT_AND(NO_FILE NO_FILE), max - 2 * object.len), 0);
        assert_int_equal(make_large(&objects, ACCOUNT_AND(NO_FILE NO_FILE), max - 2 * object.len + 1), -EFBIG);
        /* So does a file, and one that another replaces. */
        assert_int_equal(make_large(&objects, ACCOUNT_AND(ONE_FILE_TWICE), max - object.len - 12), 0);
        assert_int_equal(make_large(&objects, ACCOUNT_AND(ONE_FILE_TWICE), max - object.len - 11), -EFBIG);
}

/* ---- the downward API ---- */

static void test_downward(void **state) {
        static const struct {
                const char *field, *want;
        } fields[] = {
                { "metadata.name", "agent-node" },
                { "metadata.namespace", "ns" },
                { "metadata.uid", "uid-1" },
                { "metadata.labels['app']", "x" },
                { "metadata.labels['ap']", "" },
                { "metadata.labels['app-']", "" },
                { "metadata.labels['e/a']", "" },
                { "metadata.labels['']", "" },
                { "metadata.annotations['e']", "short" },
                { "metadata.annotations['E']", "" },
                { "metadata.annotations['kubernetes.io/configure']", "z" },
                { "metadata.annotations['kubernetes.io/config.x']", NULL },
                { "metadata.annotations['kubernetes.io/config.hash']", NULL },
                { "metadata.annotations['daemonlet.io/revision']", NULL },
                { "metadata.labels['daemonlet.io/revision']", "" },
                { "metadata.annotations", NULL },
                { "metadata.labels[']", NULL },
                { "metadata.labels['", NULL },
                { "metadata.labels['app'", NULL },
                { "metadata.labelsx['app']", NULL },
                { "metadata.annotationsx", NULL },
                { "metadata.name['app']", NULL },
                { "spec.nodeName", NULL },
                { "", NULL },
        };
        _cleanup_json_ cJSON *labels = parse(labels_json), *annotations = parse(annotations_json);
        PayloadFacts facts = facts_of(NULL, NULL, labels, annotations);

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                _cleanup_buf_ Buf text = BUF_INIT;
                _cleanup_json_ cJSON *item = NULL;
                _cleanup_free_ char *got = NULL;
                int r;

                buf_printf(&text, "{\"path\":\"p\",\"fieldRef\":{\"fieldPath\":\"%s\"}}", fields[i].field);
                item = parse(buf_text(&text));
                r = payload_downward(&facts, item, &got);
                if (r != (fields[i].want ? 0 : -EOPNOTSUPP) || !streq(got, fields[i].want))
                        fail_msg("%s: %d, \"%s\"", fields[i].field, r, str_or_empty(got));
        }
}

static void test_labels_are_quoted_as_go_does(void **state) {
        _cleanup_json_ cJSON *item = parse(FIELD("metadata.labels", "p"));
        _cleanup_json_ cJSON *labels = parse("{\"a\":\"\\\"\\\\'`\",\"b\":\"\\u0007\\b\\f\\n\\r\\t\\u000b\","
                                             "\"c\":\"\\u0001\\u001f\\u007f ~\",\"d\":\"\303\244\",\"e\":7}");
        PayloadFacts facts = facts_of(NULL, NULL, labels, NULL);
        _cleanup_free_ char *got = NULL;

        (void)state;
        assert_int_equal(payload_downward(&facts, item, &got), 0);
        assert_string_equal(got, "a=\"\\\"\\\\'`\"\nb=\"\\a\\b\\f\\n\\r\\t\\v\"\nc=\"\\x01\\x1f\\x7f ~\"\n"
                                 "d=\"\303\244\"\ne=\"\"");
}

/* ---- which volumes ---- */

static void test_wanted(void **state) {
        static const struct {
                const char *volume;
                bool wanted;
        } volumes[] = {
                { CM("\"c\""), true },
                { SECRET("\"s\""), true },
                { PROJECTED("{\"configMap\":{\"name\":\"c\"}}"), true },
                { PROJECTED("{\"secret\":{\"name\":\"c\"}}"), true },
                { PROJECTED("{\"serviceAccountToken\":{\"path\":\"t\"}}"), true },
                { PROJECTED("{\"serviceAccountToken\":{}},{\"daemonletServiceAccount\":{}}"), true },
                { PROJECTED("{\"daemonletServiceAccount\":{}}"), true },
                { PROJECTED("{\"downwardAPI\":{}},{\"downwardAPI\":{}},{\"secret\":{\"name\":\"c\"}}"), true },
                { PROJECTED("{\"downwardAPI\":{\"items\":[" FIELD("metadata.name", "a") "]}}"), false },
                { PROJECTED(""), false },
                { PROJECTED("{}"), false },
                { "{\"name\":\"v\",\"projected\":{}}", false },
                { "{\"name\":\"v\",\"emptyDir\":{}}", false },
                { "{\"name\":\"v\",\"hostPath\":{\"path\":\"/secret\"}}", false },
                { "{\"name\":\"v\",\"downwardAPI\":{\"items\":[]}}", false },
                { "{\"name\":\"secret\"}", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
                _cleanup_json_ cJSON *volume = parse(volumes[i].volume);

                if (payload_is_wanted(volume) != volumes[i].wanted)
                        fail_msg("%s", volumes[i].volume);
        }
        assert_false(payload_is_wanted(NULL));
}

/* ---- the hash ---- */

static void hash_of_volume(const Objects *objects, const char *text, int64_t group, char *ret) {
        _cleanup_json_ cJSON *volume = parse(text);
        PayloadFacts facts = facts_of(objects, volume, NULL, NULL);
        _cleanup_payload_ Payload p = { .n = 0 };

        facts.fs_group = group;
        assert_int_equal(payload_make(&facts, &p), 0);
        payload_hash(&p, ret);
}

/* The form is kept: directories on the disks of others have these names. */
static void test_hash_is_what_it_was(void **state) {
        static PayloadFile files[] = {
                { .path = (char *)(uintptr_t) "a/b", .bytes = (char *)(uintptr_t) "x\0y", .len = 3, .mode = 0644 },
                { .path = (char *)(uintptr_t) "c", .bytes = (char *)(uintptr_t) "", .len = 0, .mode = 0400 },
        };
        char got[PAYLOAD_HEX + 1];

        (void)state;
        payload_hash(&(Payload){ .files = files, .n = 2, .group = 1000 }, got);
        assert_string_equal(got, "f3e10ecaefac6c9c19a63d7e94697212");
        payload_hash(&(Payload){ .group = -1 }, got);
        assert_string_equal(got, "12a3ae445661ce5dee78d0650d33362d");
}

static void test_hash_does_not_depend_on_order(void **state) {
        static const char *const same[] = {
                PROJECTED("{\"configMap\":{\"name\":\"c\"}},{\"secret\":{\"name\":\"s\"}}"),
                PROJECTED("{\"secret\":{\"name\":\"s\"}},{\"configMap\":{\"name\":\"c\"}}"),
                PROJECTED("{\"secret\":{\"name\":\"s\"}},{\"configMap\":{\"name\":\"c\",\"items\":["
                          "{\"key\":\"two\",\"path\":\"two\"},{\"key\":\"one\",\"path\":\"./one\"}]}}"),
                PROJECTED("{\"secret\":{\"name\":\"s\"}},{\"configMap\":{\"name\":\"c\",\"items\":["
                          "{\"key\":\"two\",\"path\":\"one\"},{\"key\":\"one\",\"path\":\"one\",\"mode\":420},"
                          "{\"key\":\"two\",\"path\":\"two\"}]}}"),
        };
        _cleanup_objects_ Objects objects = { 0 };
        char want[PAYLOAD_HEX + 1], got[PAYLOAD_HEX + 1];

        (void)state;
        known(objects_yaml, &objects);
        hash_of_volume(&objects, same[0], -1, want);
        for (size_t i = 1; i < ARRAY_SIZE(same); i++) {
                hash_of_volume(&objects, same[i], -1, got);
                assert_string_equal(got, want);
        }
        hash_of_volume(&objects, same[0], 0, got);
        assert_string_not_equal(got, want);
}

enum { CHANGED_MAX = 512 };

static void note_hash(const Payload *p, char seen[][PAYLOAD_HEX + 1], size_t *n) {
        assert_true(*n < CHANGED_MAX);
        payload_hash(p, seen[*n]);
        for (size_t i = 0; i < *n; i++)
                if (streq(seen[i], seen[*n]))
                        fail_msg("changes %zu and %zu have one hash", i, *n);
        ++*n;
}

static void note_bits(const Payload *p, char *bytes, size_t len, char seen[][PAYLOAD_HEX + 1], size_t *n, bool text) {
        for (size_t i = 0; i < len; i++)
                for (unsigned bit = 1; bit < 256; bit <<= 1) {
                        bytes[i] = (char)(bytes[i] ^ (char)bit);
                        if (bytes[i] || !text)
                                note_hash(p, seen, n);
                        bytes[i] = (char)(bytes[i] ^ (char)bit);
                }
}

/* Every single change gives a hash of its own. */
static void test_hash_tells_every_change(void **state) {
        static char seen[CHANGED_MAX][PAYLOAD_HEX + 1];
        char path_a[] = "ab", path_b[] = "b/c", bytes_a[] = "123", bytes_b[] = "\0x";
        char shorter[] = "a", longer[] = "b123", longest[] = "ab1", rest[] = "23", empty[] = "", both[] = "123b/c";
        PayloadFile files[] = { { path_a, bytes_a, 3, 0644 }, { path_b, bytes_b, 2, 0600 }, { longer, empty, 0, 0 } };
        Payload p = { .files = files, .n = 2, .group = -1 };
        size_t n = 0;

        (void)state;
        note_hash(&p, seen, &n);
        for (size_t i = 0; i < 2; i++) {
                note_bits(&p, files[i].path, strlen(files[i].path), seen, &n, true);
                note_bits(&p, files[i].bytes, files[i].len, seen, &n, false);
                for (unsigned bit = 1; bit < 01000; bit <<= 1) {
                        files[i].mode ^= bit;
                        note_hash(&p, seen, &n);
                        files[i].mode ^= bit;
                }
        }
        for (unsigned bit = 0; bit < 63; bit++) {
                p.group = (int64_t)1 << bit;
                note_hash(&p, seen, &n);
        }
        p.group = 0;
        note_hash(&p, seen, &n);
        p.group = -1;
        for (p.n = 0; p.n < 4; p.n++)
                if (p.n != 2)
                        note_hash(&p, seen, &n);
        p.n = 2;
        /* Bytes on the other side of a border. */
        files[0] = (PayloadFile){ shorter, longer, 4, 0644 };
        note_hash(&p, seen, &n);
        files[0] = (PayloadFile){ longest, rest, 2, 0644 };
        note_hash(&p, seen, &n);
        files[0] = (PayloadFile){ path_a, both, 6, 0644 };
        files[1] = (PayloadFile){ empty, bytes_b, 2, 0600 };
        note_hash(&p, seen, &n);
}

/* ---- memory ---- */

static const char everything[] = PROJECTED(
        "{\"configMap\":{\"name\":\"c\",\"items\":[{\"key\":\"two\",\"path\":\"x/y\"},{\"key\":\"one\",\"path\":"
        "\"x/y\"},{\"key\":\"one\",\"path\":\"x/..z\"}]}},{\"secret\":{\"name\":\"s\"}},{\"serviceAccountToken\":{"
        "\"path\":\"t\"}},{\"daemonletServiceAccount\":{}},{\"downwardAPI\":{\"items\":[" FIELD(
                "metadata.labels", "l") "," FIELD("metadata.uid", "u") "," FIELD("metadata.annotations['e/a']",
                                                                                 "a") "]}}");

typedef struct Made {
        Objects objects;
        Tokens tokens;
        cJSON *volume, *labels, *annotations;
        size_t files;
} Made;

static int make_once(void *user) {
        Made *m = user;
        PayloadFacts facts = facts_of(&m->objects, m->volume, m->labels, m->annotations);
        PayloadFile file;
        Payload p = { .files = &file, .n = 77 };
        int r;

        facts.tokens = &m->tokens;
        facts.account = "agent";
        r = payload_make(&facts, &p);
        if (r < 0) {
                /* Untouched. */
                assert_ptr_equal(p.files, &file);
                assert_int_equal(p.n, 77);
                return r;
        }
        m->files = p.n;
        payload_done(&p);
        payload_done(&p);
        return 0;
}

static void made_init(Made *m, const char *volume) {
        *m = (Made){ .volume = parse(volume), .labels = parse(labels_json), .annotations = parse(annotations_json) };
        known(objects_yaml, &m->objects);
        known_tokens(&m->tokens);
}

static void made_done(Made *m) {
        cJSON_Delete(m->volume);
        cJSON_Delete(m->labels);
        cJSON_Delete(m->annotations);
        objects_done(&m->objects);
        tokens_done(&m->tokens);
}

static void test_every_allocation_fails_once(void **state) {
        static const struct {
                const char *volume;
                size_t files;
        } volumes[] = { { everything, 12 }, { CM("\"bin\""), 4 }, { SECRET("\"s\""), 4 } };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(volumes); i++) {
                Made m;

                made_init(&m, volumes[i].volume);
                (void)test_oom(make_once, &m);
                assert_int_equal(m.files, volumes[i].files);
                made_done(&m);
        }
}

/* How often a marked text is overwritten while a volume is made and dropped. */
static size_t overwritten(const char *mark, const char *volume, int want) {
        Made m;

        made_init(&m, volume);
        watched = mark;
        n_watched = 0;
        assert_int_equal(make_once(&m), want);
        watched = NULL;
        made_done(&m);
        return n_watched;
}

static void test_secrets_are_overwritten(void **state) {
        static const char twice[] = PROJECTED("{\"secret\":{\"name\":\"c\"}},{\"secret\":{\"name\":\"c\"}}");
        static const char below_itself[] = SECRET("\"c\",\"items\":[{\"key\":\"one\",\"path\":\"a/b\"},"
                                                  "{\"key\":\"one\",\"path\":\"a\"}]");
        static const char bad_path[] = SECRET("\"c\",\"items\":[{\"key\":\"one\",\"path\":\"..\"}]");

        (void)state;
        /* As it is in the Secret, and as it is in the file. */
        assert_int_equal(overwritten("c2VjcmV0", SECRET("\"c\""), 0), 1);
        assert_int_equal(overwritten("secret", SECRET("\"c\""), 0), 1);
        /* One of them is replaced. */
        assert_int_equal(overwritten("c2VjcmV0", twice, 0), 2);
        assert_int_equal(overwritten("secret", twice, 0), 2);
        /* On the way out. */
        assert_int_equal(overwritten("secret", below_itself, -EEXIST), 2);
        assert_int_equal(overwritten("secret", bad_path, -EEXIST), 1);
        assert_int_equal(overwritten("c2VjcmV0", bad_path, -EEXIST), 1);
        assert_int_equal(overwritten("token-ns-agent--3600", PLAIN_TOKEN, 0), 1);
        assert_int_equal(overwritten("token-ns-agent--3600", PROJECTED(TOKEN("\"path\":\"..\"")), -EEXIST), 1);
}

/* ---- random volumes against a second, simple way to the same files ---- */

enum { OBJECTS = 4, KEYS = 6, SOURCES = 4, ITEMS = 4, FILES_MAX = 128, ROUNDS = 3000 };

static uint64_t seed;

static size_t below(size_t n) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (size_t)(seed >> 11) % n;
}

static const char *const keys[KEYS] = { "a", "b", "a-b", "a.b", "k", "Z" };

/* Paths as they are written and as they are on the disk; NULL: they cannot be. */
static const struct {
        const char *written, *real;
        bool rare; /* they spoil a volume, or often do */
} paths[] = {
        { "a", "a", false },       { "b", "b", false },      { "./a", "a", false },       { "a-b", "a-b", false },
        { "d/a", "d/a", false },   { "d//b", "d/b", false }, { "d-/x", "d-/x", false },   { "e/f/", "e/f", false },
        { "e/./g", "e/g", false }, { "e.f", "e.f", false },  { "h/..a", "h/..a", false }, { "k/a/b", "k/a/b", true },
        { "d", "d", true },        { "..x", NULL, true },    { "d/../a", NULL, true },    { "/a", NULL, true },
        { ".", NULL, true },
};

static size_t some_path(void) {
        size_t i;

        do
                i = below(ARRAY_SIZE(paths));
        while (paths[i].rare && below(6));
        return i;
}

typedef struct Value {
        bool there, binary;
        size_t len;
        char bytes[4];
} Value;

typedef struct Thing {
        ObjectKind kind;
        char name[32];
        Value values[KEYS];
} Thing;

typedef struct Expected {
        const char *path;
        char bytes[16];
        size_t len;
        unsigned mode;
} Expected;

typedef struct Random {
        Thing things[OBJECTS];
        Objects objects;
        Object list[OBJECTS];
        Buf volume;
        Expected files[FILES_MAX];
        size_t n;
        bool bad;
} Random;

static void expect(Random *x, const char *path, const void *bytes, size_t len, unsigned mode) {
        size_t i = 0;

        if (!path) {
                x->bad = true;
                return;
        }
        while (i < x->n && !streq(x->files[i].path, path))
                i++;
        assert_true(i < FILES_MAX && len <= sizeof(x->files[i].bytes));
        x->files[i] = (Expected){ .path = path, .len = len, .mode = mode };
        memcpy(x->files[i].bytes, bytes, len);
        if (i == x->n)
                x->n++;
}

static void write_base64(const Value *v, Buf *out) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

        for (size_t i = 0; i < v->len; i += 3) {
                unsigned long bits = 0;

                for (size_t k = 0; k < 3; k++)
                        bits = bits << 8 | (i + k < v->len ? (unsigned char)v->bytes[i + k] : 0);
                for (size_t k = 0; k < 4; k++)
                        buf_char(out, i + k > v->len ? '=' : digits[bits >> (18 - 6 * k) & 63]);
        }
}

static void write_map(const Thing *t, bool binary, const char *field, Buf *out) {
        bool first = true;

        buf_printf(out, "\"%s\":{", field);
        for (size_t k = 0; k < KEYS; k++) {
                const Value *v = &t->values[k];

                if (!v->there || v->binary != binary)
                        continue;
                buf_printf(out, "%s\"%s\":\"", first ? "" : ",", keys[k]);
                if (binary)
                        write_base64(v, out);
                else
                        buf_add(out, v->bytes, v->len);
                buf_char(out, '"');
                first = false;
        }
        buf_char(out, '}');
}

static void random_thing(Random *x, size_t i) {
        Thing *t = &x->things[i];
        Object *object = &x->list[i];
        _cleanup_buf_ Buf text = BUF_INIT;

        *t = (Thing){ .kind = below(2) ? OBJECT_SECRET : OBJECT_CONFIGMAP };
        (void)snprintf(t->name, sizeof(t->name), "o%zu", i);
        for (size_t k = 0; k < KEYS; k++) {
                Value *v = &t->values[k];

                v->there = below(3) > 0;
                v->binary = t->kind == OBJECT_SECRET || below(3) == 0;
                v->len = below(sizeof(v->bytes) + 1);
                for (size_t b = 0; b < v->len; b++)
                        v->bytes[b] = (char)(v->binary ? below(256) : 'a' + below(26));
        }
        buf_char(&text, '{');
        if (t->kind == OBJECT_CONFIGMAP) {
                write_map(t, true, "binaryData", &text);
                buf_char(&text, ',');
        }
        write_map(t, t->kind == OBJECT_SECRET, "data", &text);
        buf_char(&text, '}');
        *object = (Object){ .kind = t->kind, .namespace = (char *)(uintptr_t) "ns", .name = t->name };
        object->bytes = buf_take(&text, &object->len);
        assert_non_null(object->bytes);
}

static unsigned random_mode(Random *x, const char *field, unsigned otherwise) {
        unsigned mode = (unsigned)below(01000);

        if (below(2))
                return otherwise;
        buf_printf(&x->volume, ",\"%s\":%u", field, mode);
        return mode;
}

static void random_items(Random *x, const Thing *t, unsigned mode) {
        size_t n = below(ITEMS + 1);

        buf_str(&x->volume, ",\"items\":[");
        for (size_t i = 0; i < n; i++) {
                size_t key = below(KEYS), path = some_path();
                unsigned own;

                buf_printf(&x->volume, "%s{\"key\":\"%s\",\"path\":\"%s\"", i ? "," : "", keys[key],
                           paths[path].written);
                own = random_mode(x, "mode", mode);
                buf_char(&x->volume, '}');
                if (t && t->values[key].there)
                        expect(x, paths[path].real, t->values[key].bytes, t->values[key].len, own);
        }
        buf_char(&x->volume, ']');
        for (size_t k = 0; n == 0 && t && k < KEYS; k++)
                if (t->values[k].there)
                        expect(x, keys[k], t->values[k].bytes, t->values[k].len, mode);
}

/* What stands between the braces of a source. */
static void random_source(Random *x, ObjectKind kind, const char *name_field, bool own_mode, unsigned mode) {
        size_t i = below(OBJECTS + 1);
        const Thing *t;

        /* The first of its kind, rather than none. */
        for (size_t k = 0; k < OBJECTS && i < OBJECTS && x->things[i].kind != kind; k++)
                i = k;
        t = i < OBJECTS && x->things[i].kind == kind ? &x->things[i] : NULL;
        buf_printf(&x->volume, "\"%s\":\"o%zu\"", name_field, i);
        if (below(2))
                buf_printf(&x->volume, ",\"optional\":%s", below(2) ? "true" : "false");
        if (own_mode)
                mode = random_mode(x, "defaultMode", mode);
        random_items(x, t, mode);
}

static void random_downward(Random *x, unsigned mode) {
        static const struct {
                const char *field, *value;
        } fields[] = { { "metadata.name", "agent-node" },
                       { "metadata.uid", "uid-1" },
                       { "metadata.labels['app']", "x" },
                       { "metadata.annotations['none']", "" },
                       { "metadata.annotations", NULL } };
        size_t n = below(ITEMS);

        buf_str(&x->volume, "\"items\":[");
        for (size_t i = 0; i < n; i++) {
                size_t field = below(ARRAY_SIZE(fields)), path = some_path();
                unsigned own;

                buf_printf(&x->volume, "%s{\"fieldRef\":{\"fieldPath\":\"%s\"},\"path\":\"%s\"", i ? "," : "",
                           fields[field].field, paths[path].written);
                own = random_mode(x, "mode", mode);
                buf_char(&x->volume, '}');
                if (fields[field].value)
                        expect(x, paths[path].real, fields[field].value, strlen(fields[field].value), own);
        }
        buf_char(&x->volume, ']');
}

static void random_projected(Random *x) {
        size_t n = below(SOURCES + 1);
        unsigned mode;

        buf_str(&x->volume, "{\"name\":\"v\",\"projected\":{\"n\":0");
        mode = random_mode(x, "defaultMode", 0644);
        buf_str(&x->volume, ",\"sources\":[");
        for (size_t i = 0; i < n; i++) {
                buf_str(&x->volume, i ? ",{" : "{");
                switch (below(7)) {
                case 0:
                        buf_str(&x->volume, "\"downwardAPI\":{");
                        random_downward(x, mode);
                        break;
                case 1:
                        buf_str(&x->volume, "\"serviceAccountToken\":{\"path\":\"a\"");
                        break;
                case 2:
                        buf_str(&x->volume, "\"daemonletServiceAccount\":{");
                        expect(x, "namespace", "ns", 2, 0644);
                        expect(x, "ca.crt", "PEM\0\n", 5, 0644);
                        break;
                case 3:
                case 4:
                        buf_str(&x->volume, "\"secret\":{");
                        random_source(x, OBJECT_SECRET, "name", false, mode);
                        break;
                default:
                        buf_str(&x->volume, "\"configMap\":{");
                        random_source(x, OBJECT_CONFIGMAP, "name", false, mode);
                }
                buf_str(&x->volume, "}}");
        }
        buf_str(&x->volume, "]}}");
}

static void random_volume(Random *x) {
        for (size_t i = 0; i < OBJECTS; i++)
                random_thing(x, i);
        x->objects = (Objects){ .objects = x->list, .n_objects = OBJECTS };
        switch (below(4)) {
        case 0:
                buf_str(&x->volume, "{\"name\":\"v\",\"configMap\":{");
                random_source(x, OBJECT_CONFIGMAP, "name", true, 0644);
                buf_str(&x->volume, "}}");
                break;
        case 1:
                buf_str(&x->volume, "{\"name\":\"v\",\"secret\":{");
                random_source(x, OBJECT_SECRET, "secretName", true, 0644);
                buf_str(&x->volume, "}}");
                break;
        default:
                random_projected(x);
        }
        assert_false(x->volume.failed);
        for (size_t i = 0; i < x->n; i++)
                for (size_t k = 0; k < x->n; k++) {
                        size_t len = strlen(x->files[i].path);

                        if (strncmp(x->files[i].path, x->files[k].path, len) == 0 && x->files[k].path[len] == '/')
                                x->bad = true;
                }
}

/* The elements one by one. */
static bool stands_before(const char *a, const char *b) {
        while (*a && *b) {
                char left[64], right[64];
                int c;

                (void)snprintf(left, sizeof(left), "%.*s", (int)strcspn(a, "/"), a);
                (void)snprintf(right, sizeof(right), "%.*s", (int)strcspn(b, "/"), b);
                c = strcmp(left, right);
                if (c)
                        return c < 0;
                a += strlen(left);
                b += strlen(right);
                a += *a == '/';
                b += *b == '/';
        }
        return !*a && *b;
}

static void compare(const Random *x, const Payload *p, bool group) {
        if (p->n != x->n)
                fail_msg("%zu files, not %zu: %s", p->n, x->n, buf_text(&x->volume));
        for (size_t i = 0; i < x->n; i++) {
                const Expected *e = &x->files[i];
                size_t k = 0;

                while (k < p->n && !streq(p->files[k].path, e->path))
                        k++;
                if (k == p->n || p->files[k].len != e->len || memcmp(p->files[k].bytes, e->bytes, e->len) != 0 ||
                    p->files[k].mode != (e->mode | (group ? 0440U : 0U)))
                        fail_msg("%s: %s", e->path, buf_text(&x->volume));
        }
        for (size_t i = 0; i + 1 < p->n; i++)
                assert_true(stands_before(p->files[i].path, p->files[i + 1].path));
}

static void random_round(Random *x, size_t *files) {
        _cleanup_json_ cJSON *labels = parse(labels_json), *volume = NULL;
        _cleanup_payload_ Payload p = { .n = 0 };
        bool group;
        PayloadFacts facts;
        int r;

        random_volume(x);
        volume = parse(buf_text(&x->volume));
        facts = facts_of(&x->objects, volume, labels, NULL);
        group = below(2);
        facts.fs_group = group ? (int64_t)below(2000) : -1;
        r = payload_make(&facts, &p);
        if (r != (x->bad ? -EEXIST : 0))
                fail_msg("%d: %s", r, buf_text(&x->volume));
        if (!x->bad) {
                compare(x, &p, group);
                assert_int_equal(p.group, facts.fs_group);
        }
        *files += p.n;
}

static void test_random_volumes(void **state) {
        Random *x = malloc(sizeof(*x));
        size_t good = 0, files = 0;

        (void)state;
        assert_non_null(x);
        for (size_t round = 0; round < ROUNDS; round++) {
                *x = (Random){ .n = 0 };
                seed = (round + 1) * 0x9e3779b97f4a7c15U;
                (void)below(2);
                random_round(x, &files);
                good += !x->bad;
                for (size_t i = 0; i < OBJECTS; i++)
                        free(x->list[i].bytes);
                buf_done(&x->volume);
        }
        free(x);
        /* Neither all bad nor all empty. */
        assert_in_range(good, ROUNDS / 2, ROUNDS - ROUNDS / 20);
        assert_true(files > ROUNDS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rows),
                cmocka_unit_test(test_tokens),
                cmocka_unit_test(test_tokens_are_of_the_account),
                cmocka_unit_test(test_odd_objects),
                cmocka_unit_test(test_odd_volumes),
                cmocka_unit_test(test_published_ca),
                cmocka_unit_test(test_published_ca),
                cmocka_unit_test(test_facts_that_are_missing),
                cmocka_unit_test(test_paths_have_a_longest),
                cmocka_unit_test(test_size_has_a_limit),
                cmocka_unit_test(test_downward),
                cmocka_unit_test(test_labels_are_quoted_as_go_does),
                cmocka_unit_test(test_wanted),
                cmocka_unit_test(test_hash_is_what_it_was),
                cmocka_unit_test(test_hash_does_not_depend_on_order),
                cmocka_unit_test(test_hash_tells_every_change),
                cmocka_unit_test(test_every_allocation_fails_once),
                cmocka_unit_test(test_secrets_are_overwritten),
                cmocka_unit_test(test_random_volumes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
