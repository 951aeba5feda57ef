/* SPDX-License-Identifier: Apache-2.0 */
/* What is wanted, made again from what was wanted before: the same as made anew, whatever changed between. */
#include "app/wanted.h"
#include "core/token.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

#define DAEMONSET(name, image, pod)                                                                                    \
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: " name                                                \
        ", namespace: kube-system, labels: {daemonlet.io/mode: static}}, spec: {selector: {matchLabels: {a: b}}, "     \
        "template: {metadata: {labels: {a: b}}, spec: {nodeSelector: {" FENCE_LABEL ": '', zone: x}, "                 \
        "containers: [{name: c, image: '" image "'" pod "}}}}\n"
#define PLAIN(name, image) DAEMONSET(name, image, "}]")

/* What may change. Texts of one object each, NULL at the end. */
typedef struct Input {
        const char *local[6], *api[6], *theirs[6], *former[3];
        bool follow_api;
        const char *node_name, *zone, *volumes_dir, *api_server;
        bool secret_env_inline, tokens_off, no_digests;
        int64_t priority; /* 0: the class is not known */
        const char *ca_crt, *token;
} Input;

typedef struct Made {
        LocalSnapshot local;
        Objects api, theirs;
        FormerName former[3];
        NodeView node;
        PriorityClass priority;
        Token token;
        Tokens tokens;
        WantedFacts facts;
        Wanted wanted;
} Made;

static int read_texts(const char *const *texts, bool digests, Objects *ret) {
        for (size_t i = 0; texts[i]; i++) {
                uint8_t digest[HASH_BYTES];

                if (objects_read(ret, "x.yaml", texts[i], strlen(texts[i]), false) < 0)
                        return -ENOMEM;
                assert_int_equal(ret->n_objects, i + 1);
                if (!digests)
                        continue;
                hash_sha256(&(HashPart){ texts[i], strlen(texts[i]) }, 1, digest);
                hash_hex(digest, HASH_HEX, ret->objects[i].digest);
        }
        return objects_finish(ret);
}

static void made_done(Made *m) {
        wanted_done(&m->wanted);
        objects_done(&m->api);
        objects_done(&m->theirs);
        local_snapshot_done(&m->local);
        node_view_done(&m->node);
}
#define _cleanup_made_ _cleanup_(made_done)

/* Local files are those of the last time, where there is one: moved from there. */
static int make_facts(const Input *s, Made *last, Made *ret) {
        *ret = (Made){ .local = { .read = true, .complete = true },
                       .priority = { .name = (char *)(uintptr_t) "high", .value = s->priority } };
        if (last) {
                ret->local = last->local;
                last->local = (LocalSnapshot){ 0 };
        }
        if (!last && read_texts(s->local, false, &ret->local.objects) < 0)
                return -ENOMEM;
        if (read_texts(s->api, !s->no_digests, &ret->api) < 0 ||
            read_texts(s->theirs, !s->no_digests, &ret->theirs) < 0)
                return -ENOMEM;
        ret->local.objects.over = &ret->api;
        ret->node.name = strdup(s->node_name ? s->node_name : "node-1");
        if (!ret->node.name || node_view_set_label(&ret->node, FENCE_LABEL, "") < 0 ||
            node_view_set_label(&ret->node, "zone", s->zone ? s->zone : "x") < 0)
                return -ENOMEM;
        ret->token = (Token){ .need = { .namespace = (char *)(uintptr_t) "kube-system",
                                        .account = (char *)(uintptr_t) "default",
                                        .audience = (char *)(uintptr_t) "",
                                        .seconds = TOKEN_SECONDS },
                              .bytes = (char *)(uintptr_t)s->token };
        ret->tokens = (Tokens){ .tokens = &ret->token, .n = s->token != NULL };
        ret->facts = (WantedFacts){
                .node = &ret->node,
                .node_known = true,
                .local = &ret->local,
                .theirs = &ret->theirs,
                .follow_api = s->follow_api,
                .former = ret->former,
                .render = { .node_name = ret->node.name,
                            .secret_env_inline = s->secret_env_inline,
                            .volumes_dir = s->volumes_dir ? s->volumes_dir : "/var/lib/daemonlet/volumes",
                            .api_server = s->api_server,
                            .ca_crt = s->ca_crt,
                            .ca_crt_len = strlen(str_or_empty(s->ca_crt)),
                            .priorities = &ret->priority,
                            .n_priorities = s->priority != 0,
                            .tokens = s->tokens_off ? NULL : &ret->tokens },
        };
        for (size_t i = 0; i < ARRAY_SIZE(s->former) && s->former[i]; i++)
                ret->former[ret->facts.n_former++] = (FormerName){ (char *)(uintptr_t) "kube-system",
                                                                   (char *)(uintptr_t)s->former[i] };
        return 0;
}

static char *text_of(const Wanted *w) {
        Buf text = BUF_INIT;

        for (size_t i = 0; i < w->n; i++) {
                const PlanWanted *p = &w->wanted[i];
                const Rendered *r = &w->items[i].rendered;

                assert_true(!p->rendered || p->rendered == r);
                buf_printf(&text, "%s/%s %d %d %d %s %s: %d %d %s %s %s %s %zu ", p->namespace, p->name, p->wish,
                           p->state, p->reason, str_or_empty(p->message), p->origin, p->rendered != NULL, r->status,
                           str_or_empty(r->message), r->input, r->revision, r->uid, r->n_ports);
                for (size_t k = 0; k < r->warnings.n; k++)
                        diag_text(&r->warnings.items[k], &text);
                for (size_t k = 0; k < r->n_volumes; k++)
                        buf_printf(&text, " %s %s", r->volumes[k].dir, r->volumes[k].hash);
                buf_printf(&text, " %zu %zu %s\n%s", r->n_uses, r->n_tokens, str_or_empty(r->priority_class),
                           str_or_empty(r->bytes));
        }
        assert_false(text.failed);
        return buf_take(&text, NULL);
}

/* Makes both states, the second one with the help of the first, and compares with the second one made anew. Returns
 * the names of those whose rendering was taken. */
static const char *taken(const Input *a, const Input *b) {
        static char names[256];
        _cleanup_made_ Made first, second;
        _cleanup_(wanted_done) Wanted fresh = { 0 };
        _cleanup_free_ char *got = NULL, *want = NULL;
        _cleanup_free_ const char **bytes = NULL;

        assert_int_equal(make_facts(a, NULL, &first), 0);
        assert_int_equal(wanted_make(&first.facts, &first.wanted), 0);
        bytes = calloc(first.wanted.n + 1, sizeof(*bytes));
        for (size_t i = 0; i < first.wanted.n; i++)
                bytes[i] = first.wanted.items[i].rendered.bytes;
        assert_int_equal(make_facts(b, &first, &second), 0);
        assert_int_equal(wanted_make(&second.facts, &fresh), 0);
        second.facts.before = &first.wanted;
        assert_int_equal(wanted_make(&second.facts, &second.wanted), 0);
        got = text_of(&second.wanted);
        want = text_of(&fresh);
        assert_string_equal(got, want);
        names[0] = 0;
        for (size_t i = 0; i < second.wanted.n; i++)
                for (size_t k = 0; k < first.wanted.n; k++)
                        if (bytes[k] && second.wanted.items[i].rendered.bytes == bytes[k])
                                (void)strcat(strcat(names, *names ? " " : ""), second.wanted.wanted[i].name);
        return names;
}

static const Input plain = { .api = { PLAIN("a", "i:1"), PLAIN("b", "i:1"), PLAIN("c", "i:1") } };

static void the_same_again(void **state) {
        Input none = plain;

        (void)state;
        assert_string_equal(taken(&plain, &plain), "a b c");
        none.no_digests = true;
        assert_string_equal(taken(&none, &none), "");
}

static void objects_change(void **state) {
        static const struct {
                const char *api[6], *want;
        } rows[] = {
                { { PLAIN("a", "i:1"), PLAIN("b", "i:2"), PLAIN("c", "i:1") }, "a c" },
                { { PLAIN("a", "i:1"), PLAIN("c", "i:1") }, "a c" },
                { { PLAIN("aa", "i:1"), PLAIN("a", "i:1"), PLAIN("b", "i:1"), PLAIN("c", "i:1") }, "a b c" },
                { { PLAIN("c", "i:1"), PLAIN("b", "i:1"), PLAIN("a", "i:1") }, "c b a" },
                { { PLAIN("d", "i:1") }, "" },
                { { PLAIN("a", ""), PLAIN("b", "i:1") }, "b" },
                { { PLAIN("a", "i:1"), PLAIN("a", "i:2"), PLAIN("b", "i:1") }, "b" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                Input s = { 0 };

                memcpy(s.api, rows[i].api, sizeof(s.api));
                assert_string_equal(taken(&plain, &s), rows[i].want);
                /* And back: what was not there, or was another one, is made. */
                (void)taken(&s, &plain);
        }
}

/* Whatever every rendering depends on. */
static void options_change(void **state) {
        Input s[] = { plain, plain, plain, plain, plain, plain }, other = plain;

        (void)state;
        s[0].node_name = "node-2";
        s[1].volumes_dir = "/other";
        s[2].api_server = "10.0.0.1:443";
        s[3].secret_env_inline = true;
        s[4].tokens_off = true;
        s[5].api_server = "";
        for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
                assert_string_equal(taken(&plain, &s[i]), "");
                assert_string_equal(taken(&s[i], &plain), "");
                assert_string_equal(taken(&s[i], &s[i]), "a b c");
        }
        other.api_server = "10.0.0.2:443";
        assert_string_equal(taken(&s[2], &other), "");
}

/* Its labels and taints decide, and are not rendered. */
static void the_node_changes(void **state) {
        Input away = plain;

        (void)state;
        away.zone = "y";
        assert_string_equal(taken(&plain, &away), "");
        assert_string_equal(taken(&away, &plain), "");
        assert_string_equal(taken(&away, &away), "");
}

#define MAP(kind, value) "{apiVersion: v1, kind: " kind ", metadata: {name: m, namespace: kube-system}, " value "}\n"
#define USES(source) DAEMONSET("u", "i:1", ", " source)
#define ENV(ref) USES("env: [{name: E, valueFrom: {" ref ": {name: m, key: k, optional: true}}}]}]")
#define VOLUME(volume) USES("volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, " volume "}]")

#define TOKEN VOLUME("projected: {sources: [{serviceAccountToken: {path: t}}]}")

/* What depends on more than the DaemonSet is made every time. */
static void what_others_are_used_by(void **state) {
        static const struct {
                const char *daemonset;
                Input a, b;
        } rows[] = {
                { ENV("configMapKeyRef"),
                  { .api = { MAP("ConfigMap", "data: {k: a}") } },
                  { .api = { MAP("ConfigMap", "data: {k: b}") } } },
                { ENV("configMapKeyRef"), { .zone = NULL }, { .api = { MAP("ConfigMap", "data: {k: b}") } } },
                { ENV("configMapKeyRef"),
                  { .local = { MAP("ConfigMap", "data: {k: a}") } },
                  { .api = { MAP("ConfigMap", "data: {k: b}") } } },
                { ENV("secretKeyRef"),
                  { .secret_env_inline = true, .api = { MAP("Secret", "stringData: {k: a}") } },
                  { .secret_env_inline = true, .api = { MAP("Secret", "stringData: {k: b}") } } },
                { VOLUME("configMap: {name: m}"),
                  { .api = { MAP("ConfigMap", "data: {k: a}") } },
                  { .api = { MAP("ConfigMap", "data: {k: b}") } } },
                { TOKEN, { .zone = NULL }, { .ca_crt = "a" } },
                { USES("}], priorityClassName: high"), { .zone = NULL }, { .priority = 5 } },
                { USES("}], priorityClassName: high"), { .priority = 5 }, { .priority = 6 } },
                { TOKEN, { .zone = NULL }, { .token = "a" } },
                { TOKEN, { .token = "a" }, { .token = "b" } },
                { USES("}], serviceAccountName: s"), { .zone = NULL }, { .tokens_off = true } },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                for (int back = 0; back < 2; back++) {
                        Input a = back ? rows[i].b : rows[i].a, b = back ? rows[i].a : rows[i].b;

                        for (size_t k = 0; k < 2; k++) {
                                const char **api = k ? b.api : a.api;

                                api[api[0] ? 1 : 0] = rows[i].daemonset;
                        }
                        assert_string_equal(taken(&a, &b), "");
                }
}

/* Of a name that both have the server's counts; local ones are known by their place. */
static void local_ones(void **state) {
        static const Input local = { .local = { PLAIN("a", "i:1"), PLAIN("b", "i:1") } },
                           both = { .local = { PLAIN("a", "i:1"), PLAIN("b", "i:1") }, .api = { PLAIN("a", "i:1") } };
        Input bare = both;

        (void)state;
        assert_string_equal(taken(&local, &local), "a b");
        assert_string_equal(taken(&local, &both), "b");
        assert_string_equal(taken(&both, &local), "b");
        assert_string_equal(taken(&both, &both), "b a");
        bare.no_digests = true;
        assert_string_equal(taken(&bare, &both), "b");
}

/* ---- the DaemonSet controller's ---- */

#define UNFENCED(name, image, more)                                                                                    \
        "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: " name                                                \
        ", namespace: kube-system}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "   \
        "spec: {containers: [{name: c, image: '" image "'}]" more "}}}}\n"
#define CLAIM "volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]"

/* "NAME wish image origin" of each, with what is special about it. */
static const char *described(const Input *s) {
        static char text[512];
        _cleanup_made_ Made made;
        size_t n = 0;

        assert_int_equal(make_facts(s, NULL, &made), 0);
        assert_int_equal(wanted_make(&made.facts, &made.wanted), 0);
        text[0] = 0;
        for (size_t i = 0; i < made.wanted.n; i++) {
                const PlanWanted *w = &made.wanted.wanted[i];
                const WantedItem *item = &made.wanted.items[i];
                const char *image = w->rendered ? strstr(w->rendered->bytes, "\"image\":\"") : NULL;

                assert_ptr_equal(wanted_own(item), item->followed ? item->followed : item->object);
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s %.3s %s%s%s%s", n ? "; " : "", w->name,
                                      (const char *const[]){ "absent", "keep", "present" }[w->wish],
                                      image ? image + 9 : "-", w->origin, w->only_new ? " only-new" : "",
                                      item->followed ? " followed" : "", item->former ? " former" : "");
        }
        return text;
}

static void templates_of_the_server(void **state) {
        static const struct {
                Input s;
                const char *want;
        } rows[] = {
                { { .local = { UNFENCED("a", "i:1", "") }, .theirs = { UNFENCED("a", "i:2", "") } },
                  "a present i:1 file:x.yaml" },
                { { .local = { UNFENCED("a", "i:1", "") }, .theirs = { UNFENCED("a", "i:2", "") }, .follow_api = true },
                  "a present i:2 file:x.yaml only-new followed" },
                { { .local = { UNFENCED("a", "i:1", "") }, .theirs = { UNFENCED("b", "i:2", "") }, .follow_api = true },
                  "a present i:1 file:x.yaml" },
                /* What cannot run here is not followed. */
                { { .local = { UNFENCED("a", "i:1", "") }, .theirs = { PLAIN("a", "i:2") }, .follow_api = true },
                  "a present i:1 file:x.yaml" },
                { { .local = { UNFENCED("a", "i:1", "") },
                    .theirs = { UNFENCED("a", "i:2", ", " CLAIM) },
                    .follow_api = true },
                  "a present i:1 file:x.yaml" },
                { { .local = { UNFENCED("a", "i:1", "") },
                    .theirs = { UNFENCED("a", "i:2", ", nodeSelector: {zone: y}") },
                    .follow_api = true },
                  "a present i:1 file:x.yaml" },
                { { .local = { UNFENCED("a", "i:1", "") }, .theirs = { UNFENCED("a", "", "") }, .follow_api = true },
                  "a present i:1 file:x.yaml" },
                /* One that opted in counts already. */
                { { .local = { UNFENCED("a", "i:1", "") },
                    .api = { PLAIN("a", "i:3") },
                    .theirs = { UNFENCED("a", "i:2", "") },
                    .follow_api = true },
                  "a present i:3 api" },
                { { .api = { PLAIN("a", "i:3") }, .theirs = { UNFENCED("a", "i:2", "") }, .follow_api = true },
                  "a present i:3 api" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                assert_string_equal(described(&rows[i].s), rows[i].want);
}

static void followed_ones_are_not_rendered_twice(void **state) {
        static const Input one = { .local = { UNFENCED("a", "i:1", "") },
                                   .theirs = { UNFENCED("a", "i:2", "") },
                                   .follow_api = true },
                           other = { .local = { UNFENCED("a", "i:1", "") },
                                     .theirs = { UNFENCED("a", "i:3", "") },
                                     .follow_api = true },
                           off = { .local = { UNFENCED("a", "i:1", "") }, .theirs = { UNFENCED("a", "i:2", "") } };

        (void)state;
        assert_string_equal(taken(&one, &one), "a");
        assert_string_equal(taken(&one, &other), "");
        assert_string_equal(taken(&one, &off), "");
        assert_string_equal(taken(&off, &one), "");
        assert_string_equal(taken(&off, &off), "a");
}

static void former_ones(void **state) {
        static const struct {
                Input s;
                const char *want;
        } rows[] = {
                { { .former = { "a" } }, "" },
                { { .former = { "a" }, .theirs = { UNFENCED("a", "i:2", "") } }, "a keep - api former" },
                { { .former = { "a" }, .theirs = { UNFENCED("a", "i:2", ", nodeSelector: {" FENCE_LABEL ": ''}") } },
                  "" },
                /* It has opted in again, and only the list by the label does not have it yet. */
                { { .former = { "a" }, .theirs = { PLAIN("a", "i:2") } }, "a keep - api former" },
                { { .former = { "a" }, .theirs = { UNFENCED("b", "i:2", "") } }, "" },
                { { .former = { "a", "b" },
                    .api = { PLAIN("c", "i:1") },
                    .theirs = { UNFENCED("a", "i:2", ""), UNFENCED("b", "i:2", "") } },
                  "c present i:1 api; a keep - api former; b keep - api former" },
                { { .former = { "a" }, .local = { UNFENCED("a", "i:1", "") }, .theirs = { UNFENCED("a", "i:2", "") } },
                  "a present i:1 file:x.yaml" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                assert_string_equal(described(&rows[i].s), rows[i].want);
}

static int make_twice(void *user) {
        static const Input after = { .api = { PLAIN("a", "i:1"), PLAIN("b", "i:2"), PLAIN("c", "i:1") },
                                     .local = { UNFENCED("l", "i:1", "") },
                                     .theirs = { UNFENCED("l", "i:2", ""), UNFENCED("f", "i:2", "") },
                                     .former = { "f" },
                                     .follow_api = true };
        _cleanup_made_ Made first = { 0 }, second = { 0 };
        int r = make_facts(&plain, NULL, &first);

        (void)user;
        if (r == 0)
                r = wanted_make(&first.facts, &first.wanted);
        if (r == 0)
                r = make_facts(&after, NULL, &second);
        second.facts.before = &first.wanted;
        return r == 0 ? wanted_make(&second.facts, &second.wanted) : r;
}

static void no_memory(void **state) {
        (void)state;
        (void)test_oom(make_twice, NULL);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_same_again),
                cmocka_unit_test(objects_change),
                cmocka_unit_test(options_change),
                cmocka_unit_test(the_node_changes),
                cmocka_unit_test(what_others_are_used_by),
                cmocka_unit_test(local_ones),
                cmocka_unit_test(templates_of_the_server),
                cmocka_unit_test(followed_ones_are_not_rendered_twice),
                cmocka_unit_test(former_ones),
                cmocka_unit_test(no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
