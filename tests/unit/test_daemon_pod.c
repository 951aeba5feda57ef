/* SPDX-License-Identifier: Apache-2.0 */
#include "core/daemon_pod.h"
#include "test.h"

#include <errno.h>

#define POD(meta, rest) "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p-x7\"" meta "}" rest "}"
#define OWNERS(x) ",\"ownerReferences\":[" x "]"
#define OWNER_WITH(group, kind, name, controller, more)                                                                \
        "{\"apiVersion\":" group ",\"blockOwnerDeletion\":true,\"controller\":" controller ",\"kind\":" kind           \
        ",\"name\":" name more "}"
#define OWNER(group, kind, name, controller) OWNER_WITH(group, kind, name, controller, ",\"uid\":\"d-1\"")
#define OURS OWNER("\"apps/v1\"", "\"DaemonSet\"", "\"flannel\"", "true")
#define SPEC(x) ",\"spec\":{" x "}"
#define BOUND(node) "\"nodeName\":\"" node "\""
#define TERMS(x)                                                                                                        \
        "\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[" x \
        "]}}}"
#define FIELDS(x) "{\"matchFields\":[" x "]}"
#define FIELD(key, operator, values) "{\"key\":" key ",\"operator\":" operator",\"values\":[" values "]}"
#define MEANT(node) TERMS(FIELDS(FIELD("\"metadata.name\"", "\"In\"", "\"" node "\"")))
#define STATUS(phase, conditions) ",\"status\":{\"phase\":\"" phase "\",\"conditions\":[" conditions "]}"
#define CONDITION(type, status) "{\"type\":\"" type "\",\"status\":\"" status "\",\"lastProbeTime\":null}"
#define READY CONDITION("Ready", "True")
#define UNSCHEDULED STATUS("Pending", CONDITION("PodScheduled", "False"))
#define DYING ",\"deletionTimestamp\":\"2026-11-20T17:56:48Z\",\"deletionGracePeriodSeconds\":30"

static void check_reduced(const char *text);

static int read_pod(const char *text, DaemonPod *ret) {
        return daemon_pod_read(text, strlen(text), "a", ret);
}

/* ---- whose it is, and where ---- */

static const struct PodRow {
        const char *what, *text, *daemonset;
        bool here;
        TheirPod pod;
} pod_rows[] = {
        { "bound and ready", POD(OWNERS(OURS), SPEC(BOUND("a") "," MEANT("a")) STATUS("Running", READY)), "flannel",
          true, POD_READY },
        { "among other conditions",
          POD(OWNERS(OURS),
              SPEC(BOUND("a")) STATUS(
                      "Running", CONDITION("Initialized", "False") "," READY "," CONDITION("PodScheduled", "False"))),
          "flannel", true, POD_READY },
        { "no condition of another type counts",
          POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Running", CONDITION("ContainersReady", "True"))), "flannel", true,
          POD_BOUND },
        { "not ready", POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Running", CONDITION("Ready", "False"))), "flannel",
          true, POD_BOUND },
        { "ready is not known", POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Running", CONDITION("Ready", "Unknown"))),
          "flannel", true, POD_BOUND },
        { "no conditions", POD(OWNERS(OURS), SPEC(BOUND("a")) ",\"status\":{\"phase\":\"Pending\"}"), "flannel", true,
          POD_BOUND },
        { "no status", POD(OWNERS(OURS), SPEC(BOUND("a"))), "flannel", true, POD_BOUND },
        { "null in the conditions", POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Running", "null," READY)), "flannel",
          true, POD_READY },
        { "ready and being deleted", POD(OWNERS(OURS) DYING, SPEC(BOUND("a")) STATUS("Running", READY)), "flannel",
          true, POD_BOUND },
        { "deletionTimestamp null",
          POD(OWNERS(OURS) ",\"deletionTimestamp\":null", SPEC(BOUND("a")) STATUS("Running", READY)), "flannel", true,
          POD_READY },
        { "failed", POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Failed", "")), "flannel", true, POD_NONE },
        { "failed, with an old condition", POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Failed", READY)), "flannel", true,
          POD_NONE },
        { "succeeded", POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Succeeded", "")), "flannel", true, POD_NONE },
        { "failed while unbound", POD(OWNERS(OURS), SPEC(MEANT("a")) STATUS("Failed", "")), "flannel", true, POD_NONE },
        { "phase unknown", POD(OWNERS(OURS), SPEC(BOUND("a")) STATUS("Unknown", "")), "flannel", true, POD_BOUND },
        { "bound elsewhere", POD(OWNERS(OURS), SPEC(BOUND("b")) STATUS("Running", READY)), "flannel", false, POD_NONE },
        { "bound elsewhere, whatever its affinity",
          POD(OWNERS(OURS), SPEC(BOUND("b") "," MEANT("a")) STATUS("Running", READY)), "flannel", false, POD_NONE },
        { "bound here, whatever its affinity", POD(OWNERS(OURS), SPEC(BOUND("a") "," MEANT("b"))), "flannel", true,
          POD_BOUND },
        { "bound here, with an affinity that is none",
          POD(OWNERS(OURS), SPEC(BOUND("a") ","
                                            "\"affinity\":7")),
          "flannel", true, POD_BOUND },
        { "a longer name", POD(OWNERS(OURS), SPEC(BOUND("ab"))), "flannel", false, POD_NONE },
        { "unbound", POD(OWNERS(OURS), SPEC(MEANT("a")) UNSCHEDULED), "flannel", true, POD_UNBOUND },
        { "unbound, among other conditions",
          POD(OWNERS(OURS), SPEC(MEANT("a")) STATUS("Pending", "null," CONDITION("Ready", "True") "," CONDITION(
                                                                       "PodScheduled", "False"))),
          "flannel", true, POD_UNBOUND },
        { "unbound, and the scheduler found no place",
          POD(OWNERS(OURS),
              SPEC(MEANT("a")) STATUS("Pending",
                                      "{\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":\"Unschedulable\"}")),
          "flannel", true, POD_UNBOUND },
        { "unbound, and the scheduler is not to look at it yet",
          POD(OWNERS(OURS),
              SPEC(MEANT("a")) STATUS(
                      "Pending", "{\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":\"SchedulingGated\"}")),
          "flannel", true, POD_NONE },
        { "unbound, and being deleted", POD(OWNERS(OURS) DYING, SPEC(MEANT("a")) UNSCHEDULED), "flannel", true,
          POD_UNBOUND },
        { "unbound is never ready",
          POD(OWNERS(OURS), SPEC(MEANT("a")) STATUS("Pending", CONDITION("PodScheduled", "False") "," READY)),
          "flannel", true, POD_UNBOUND },
        { "unbound, and the scheduler has not looked at it", POD(OWNERS(OURS), SPEC(MEANT("a"))), "flannel", true,
          POD_NONE },
        { "unbound, and no condition tells of the scheduler", POD(OWNERS(OURS), SPEC(MEANT("a")) STATUS("Pending", "")),
          "flannel", true, POD_NONE },
        { "unbound, and another condition is false",
          POD(OWNERS(OURS), SPEC(MEANT("a")) STATUS("Pending", CONDITION("Ready", "False"))), "flannel", true,
          POD_NONE },
        { "unbound, and about to be bound",
          POD(OWNERS(OURS), SPEC(MEANT("a")) STATUS("Pending", CONDITION("PodScheduled", "True"))), "flannel", true,
          POD_NONE },
        { "unbound, and the scheduler does not know",
          POD(OWNERS(OURS), SPEC(MEANT("a")) STATUS("Pending", CONDITION("PodScheduled", "Unknown"))), "flannel", true,
          POD_NONE },
        { "bound, and what the scheduler said counts no more", POD(OWNERS(OURS), SPEC(BOUND("a")) UNSCHEDULED),
          "flannel", true, POD_BOUND },
        { "an empty nodeName is none", POD(OWNERS(OURS), SPEC(BOUND("") "," MEANT("a")) UNSCHEDULED), "flannel", true,
          POD_UNBOUND },
        { "unbound for another node", POD(OWNERS(OURS), SPEC(MEANT("b")) UNSCHEDULED), "flannel", false, POD_NONE },
        { "unbound for one of a longer name", POD(OWNERS(OURS), SPEC(MEANT("ab")) UNSCHEDULED), "flannel", false,
          POD_NONE },
        { "unbound for any", POD(OWNERS(OURS), SPEC("") UNSCHEDULED), "flannel", false, POD_NONE },
        { "no spec", POD(OWNERS(OURS), UNSCHEDULED), "flannel", false, POD_NONE },
        { "one of several values",
          POD(OWNERS(OURS), SPEC(TERMS(FIELDS(FIELD("\"metadata.name\"", "\"In\"", "\"b\",null,\"a\"")))) UNSCHEDULED),
          "flannel", true, POD_UNBOUND },
        { "one of several terms and fields",
          POD(OWNERS(OURS),
              SPEC(TERMS("{},null," FIELDS("null," FIELD("\"metadata.name\"", "\"In\"", "\"b\"")) "," FIELDS(
                      FIELD("\"metadata.uid\"", "\"In\"", "\"u\"") "," FIELD("\"metadata.name\"", "\"In\"", "\"a\""))))
                      UNSCHEDULED),
          "flannel", true, POD_UNBOUND },
        { "NotIn", POD(OWNERS(OURS), SPEC(TERMS(FIELDS(FIELD("\"metadata.name\"", "\"NotIn\"", "\"a\"")))) UNSCHEDULED),
          "flannel", false, POD_NONE },
        { "another field",
          POD(OWNERS(OURS), SPEC(TERMS(FIELDS(FIELD("\"metadata.names\"", "\"In\"", "\"a\"")))) UNSCHEDULED), "flannel",
          false, POD_NONE },
        { "matchExpressions are about labels",
          POD(OWNERS(OURS),
              SPEC(TERMS("{\"matchExpressions\":[" FIELD("\"metadata.name\"", "\"In\"", "\"a\"") "]}")) UNSCHEDULED),
          "flannel", false, POD_NONE },
        { "a preference is none",
          POD(OWNERS(OURS), SPEC("\"affinity\":{\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":["
                                 "{\"weight\":1,\"preference\":" FIELDS(
                                         FIELD("\"metadata.name\"", "\"In\"", "\"a\"")) "}]}}") UNSCHEDULED),
          "flannel", false, POD_NONE },
        { "a later apps version", POD(OWNERS(OWNER("\"apps/v2\"", "\"DaemonSet\"", "\"x\"", "true")), SPEC(BOUND("a"))),
          "x", true, POD_BOUND },
        { "the owner that is the controller",
          POD(OWNERS("null," OWNER("\"apps/v1\"", "\"DaemonSet\"", "\"y\"",
                                   "false") "," OWNER("\"v1\"", "\"ConfigMap\"", "\"z\"", "false") "," OURS),
              SPEC(BOUND("a"))),
          "flannel", true, POD_BOUND },
        { "no owner", POD("", SPEC(BOUND("a")) STATUS("Running", READY)), NULL, false, POD_NONE },
        { "no owners", POD(OWNERS(""), SPEC(BOUND("a"))), NULL, false, POD_NONE },
        { "owners null", POD(",\"ownerReferences\":null", SPEC(BOUND("a"))), NULL, false, POD_NONE },
        { "a mirror pod", POD(OWNERS(OWNER("\"v1\"", "\"Node\"", "\"a\"", "true")), SPEC(BOUND("a"))), NULL, false,
          POD_NONE },
        { "a ReplicaSet's", POD(OWNERS(OWNER("\"apps/v1\"", "\"ReplicaSet\"", "\"r\"", "true")), SPEC(BOUND("a"))),
          NULL, false, POD_NONE },
        { "another group", POD(OWNERS(OWNER("\"x.io/v1\"", "\"DaemonSet\"", "\"r\"", "true")), SPEC(BOUND("a"))), NULL,
          false, POD_NONE },
        { "another group that begins so",
          POD(OWNERS(OWNER("\"apps.kruise.io/v1alpha1\"", "\"DaemonSet\"", "\"r\"", "true")), SPEC(BOUND("a"))), NULL,
          false, POD_NONE },
        { "no controller", POD(OWNERS(OWNER("\"apps/v1\"", "\"DaemonSet\"", "\"r\"", "false")), SPEC(BOUND("a"))), NULL,
          false, POD_NONE },
        { "controller null", POD(OWNERS(OWNER("\"apps/v1\"", "\"DaemonSet\"", "\"r\"", "null")), SPEC(BOUND("a"))),
          NULL, false, POD_NONE },
        { "an owner without a name", POD(OWNERS(OWNER("\"apps/v1\"", "\"DaemonSet\"", "\"\"", "true")), SPEC("")), NULL,
          false, POD_NONE },
        { "what is another's may be of any type", POD(",\"deletionTimestamp\":7", ",\"spec\":7,\"status\":[]"), NULL,
          false, POD_NONE },
        { "what is not looked at may be of any type",
          POD(OWNERS(OURS) ",\"labels\":7",
              SPEC(BOUND("a") ",\"containers\":\"x\"") ",\"status\":{\"conditions\":[{\"type\":\"X\",\"status\":7}],"
                                                       "\"podIP\":8}"),
          "flannel", true, POD_BOUND },
};

static void whose_and_where(void **state) {
        const struct PodRow *row = *state;
        _cleanup_daemon_pod_ DaemonPod p = { 0 };

        assert_int_equal(read_pod(row->text, &p), 0);
        assert_string_equal(p.name, "p-x7");
        if (!row->daemonset) {
                assert_null(p.daemonset);
                assert_null(p.owner_uid);
        } else {
                assert_string_equal(p.daemonset, row->daemonset);
                assert_string_equal(p.owner_uid, "d-1");
        }
        assert_int_equal(p.here, row->here);
        assert_int_equal(p.pod, row->pod);
}

static void names(void **unused) {
        _cleanup_daemon_pod_ DaemonPod p = { 0 }, q = { 0 };

        (void)unused;
        assert_int_equal(read_pod(POD(",\"namespace\":\"kube-system\",\"uid\":\"u-1\"" OWNERS(OURS), ""), &p), 0);
        assert_string_equal(p.namespace, "kube-system");
        assert_string_equal(p.uid, "u-1");
        assert_int_equal(read_pod(POD("", ""), &q), 0);
        assert_string_equal(q.namespace, "");
        assert_string_equal(q.uid, "");
}

/* OWNERS of a DaemonSet's pod, with what the reference has besides. */
#define OURS_WITH(more) OWNER_WITH("\"apps/v1\"", "\"DaemonSet\"", "\"flannel\"", "true", more)
#define NODE_WITH(more) OWNER_WITH("\"v1\"", "\"Node\"", "\"a\"", "false", more)

static void the_owners_uid(void **unused) {
        static const char *const rows[][2] = {
                { OWNERS(OURS_WITH(",\"uid\":\"e-2\"")), "e-2" },
                { OWNERS(OURS_WITH(",\"uid\":\"\"")), "" },
                { OWNERS(OURS_WITH(",\"uid\":null")), "" },
                { OWNERS(OURS_WITH("")), "" },
                { OWNERS(NODE_WITH(",\"uid\":\"n-1\"") "," OURS_WITH(",\"uid\":\"e-2\"")), "e-2" },
                { OWNERS(NODE_WITH(",\"uid\":\"n-1\"") "," OURS_WITH("")), "" },
                { OWNERS(OURS_WITH("") "," NODE_WITH(",\"uid\":\"n-1\"")), "" },
                { OWNERS(NODE_WITH(",\"uid\":\"n-1\"")), NULL },
                { OWNERS(NODE_WITH(",\"uid\":7")), NULL },
        };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                _cleanup_daemon_pod_ DaemonPod p = { 0 };
                _cleanup_buf_ Buf text = BUF_INIT;

                /* The pod's own uid is another one. */
                buf_printf(&text, POD(",\"uid\":\"u-1\"%s", SPEC(BOUND("a"))), rows[i][0]);
                assert_int_equal(read_pod(buf_text(&text), &p), 0);
                assert_string_equal(p.uid, "u-1");
                assert_int_equal(p.here, rows[i][1] != NULL);
                if (rows[i][1])
                        assert_string_equal(p.owner_uid, rows[i][1]);
                else
                        assert_null(p.owner_uid);
                check_reduced(buf_text(&text));
        }
}

static void what_is_refused(void **unused) {
        static const char *const texts[] = {
                "",
                "{",
                "null",
                "[]",
                "{}",
                "[" POD("", "") "]",
                POD("", "") POD("", ""),
                "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}",
                "{\"apiVersion\":\"v2\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"p\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":7,\"metadata\":{\"name\":\"p\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":[]}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"\"}}",
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":7}}",
                POD(",\"uid\":7", ""),
                POD(",\"namespace\":[]", ""),
                POD(",\"ownerReferences\":{}", ""),
                POD(",\"ownerReferences\":\"DaemonSet\"", ""),
                POD(OWNERS("7"), ""),
                POD(OWNERS(OWNER("7", "\"DaemonSet\"", "\"x\"", "true")), ""),
                POD(OWNERS(OWNER("\"apps/v1\"", "[]", "\"x\"", "true")), ""),
                POD(OWNERS(OWNER("\"apps/v1\"", "\"DaemonSet\"", "7", "true")), ""),
                POD(OWNERS(OWNER("\"apps/v1\"", "\"DaemonSet\"", "\"x\"", "\"true\"")), ""),
                POD(OWNERS(OURS_WITH(",\"uid\":7")), ""),
                POD(OWNERS(OURS_WITH(",\"uid\":[\"d-1\"]")), ""),
                POD(OWNERS(OURS) ",\"deletionTimestamp\":7", ""),
                POD(OWNERS(OURS) ",\"deletionTimestamp\":\"soon\"", ""),
                POD(OWNERS(OURS), ",\"spec\":[]"),
                POD(OWNERS(OURS), SPEC("\"nodeName\":7")),
                POD(OWNERS(OURS), SPEC("\"affinity\":7")),
                POD(OWNERS(OURS), SPEC("\"affinity\":{\"nodeAffinity\":[]}")),
                POD(OWNERS(OURS), SPEC(TERMS("7"))),
                POD(OWNERS(OURS), SPEC(TERMS("{\"matchFields\":{}}"))),
                POD(OWNERS(OURS), SPEC(TERMS(FIELDS("\"a\"")))),
                POD(OWNERS(OURS), SPEC(TERMS(FIELDS(FIELD("7", "\"In\"", "\"a\""))))),
                POD(OWNERS(OURS), SPEC(TERMS(FIELDS(FIELD("\"metadata.name\"", "\"In\"", "7"))))),
                POD(OWNERS(OURS), ",\"status\":7"),
                POD(OWNERS(OURS), ",\"status\":{\"phase\":7}"),
                POD(OWNERS(OURS), ",\"status\":{\"conditions\":{}}"),
                POD(OWNERS(OURS), STATUS("Running", "7")),
                POD(OWNERS(OURS), STATUS("Running", "{\"type\":7,\"status\":\"True\"}")),
                POD(OWNERS(OURS), STATUS("Running", "{\"type\":\"Ready\",\"status\":true}")),
                POD(OWNERS(OURS), STATUS("Pending", "{\"type\":\"PodScheduled\",\"status\":false}")),
                POD(OWNERS(OURS), STATUS("Pending", "{\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":7}")),
        };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                DaemonPod p = { .pod = POD_READY };

                if (read_pod(texts[i], &p) != -EBADMSG)
                        fail_msg("%s", texts[i]);
                assert_int_equal(p.pod, POD_READY);
                assert_null(p.name);
        }
}

#define REAL_OWNERS OWNERS(OURS "," OWNER("\"v1\"", "\"Node\"", "\"n\"", "false"))

/* As kube-controller-manager, the scheduler and the kubelet leave it. */
#define REAL                                                                                                           \
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"flannel-x7k2p\",\"generateName\":\"flannel-" \
        "\",\"namespace\":\"kube-system\",\"uid\":\"u-1\",\"resourceVersion\":\"812\",\"generation\":1,"               \
        "\"creationTimestamp\":\"2026-11-20T17:56:48Z\",\"labels\":{\"app\":\"flannel\"},"                             \
        "\"deletionTimestamp\":\"2026-11-20T18:00:00Z\",\"managedFields\":[{\"manager\":\"k\"}]" REAL_OWNERS           \
        "},\"spec\":{\"volumes\":[{\"name\":\"v\"}],\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],"                \
        "\"affinity\":{\"podAffinity\":{},\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[],"   \
        "\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[],"         \
        "\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"a\"],\"x\":1}]}],\"y\":1}}}"
#define REAL_STATUS                                                                                                                                                                      \
        "},\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\",\"reason\":\"x\"},{\"type\":\"Initialized\",\"status\":\"True\"},{\"type\":" \
        "\"Ready\",\"status\":\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":\"2026-11-20T17:56:48Z\"}],"                                                                        \
        "\"hostIP\":\"10.0.0.1\",\"startTime\":\"2026-11-20T17:56:48Z\",\"containerStatuses\":[{\"name\":\"c\"}]}}"
#define KEPT_META                                                                                                         \
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"flannel-x7k2p\",\"namespace\":\"kube-system\"," \
        "\"uid\":\"u-1\",\"resourceVersion\":\"812\""
#define KEPT_OWNER                                                                                                     \
        ",\"deletionTimestamp\":\"2026-11-20T18:00:00Z\",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\","            \
        "\"controller\":true,\"kind\":\"DaemonSet\",\"name\":\"flannel\",\"uid\":\"d-1\"}]}"
#define KEPT_STATUS                                                                                                            \
        ",\"status\":{\"phase\":\"Running\",\"conditions\":[{\"reason\":\"x\",\"status\":\"True\",\"type\":\"PodScheduled\"}," \
        "{\"type\":\"Ready\",\"status\":\"True\"}]}}"

/* ---- reducing ---- */

static const struct ReduceRow {
        const char *text, *want; /* NULL: the same */
} reduce_rows[] = {
        { REAL REAL_STATUS, KEPT_META KEPT_OWNER SPEC(MEANT("a")) KEPT_STATUS },
        { REAL ",\"nodeName\":\"a\"" REAL_STATUS, KEPT_META KEPT_OWNER SPEC(BOUND("a")) KEPT_STATUS },
        { POD(",\"namespace\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"5\",\"labels\":{}" DYING OWNERS(
                      OWNER("\"v1\"", "\"Node\"", "\"n\"", "true")),
              SPEC(BOUND("a")) STATUS("Running", READY)),
          POD(",\"namespace\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"5\"", "") },
        { POD(OWNERS(OURS_WITH(",\"uid\":null")), ""),
          POD(OWNERS("{\"apiVersion\":\"apps/v1\",\"controller\":true,\"kind\":\"DaemonSet\",\"name\":\"flannel\","
                     "\"uid\":null}"),
              "") },
        { POD(OWNERS(OURS_WITH("")), ""),
          POD(OWNERS("{\"apiVersion\":\"apps/v1\",\"controller\":true,\"kind\":\"DaemonSet\",\"name\":\"flannel\"}"),
              "") },
        { "{\"a\":1}", "{}" },
        { "{}", NULL },
        { "[{\"a\":1}]", NULL },
        { "null", NULL },
        { "7", NULL },
        { "\"metadata\"", NULL },
        { "{\"metadata\":[1],\"spec\":\"x\",\"status\":7}", "{\"metadata\":[1]}" },
        { "{\"metadata\":{\"ownerReferences\":7},\"spec\":\"x\",\"status\":[{}]}", NULL },
        { "{\"metadata\":{\"ownerReferences\":[7]},\"spec\":{\"affinity\":[1]},\"status\":{\"conditions\":{\"a\":1}}}",
          NULL },
        { "{\"metadata\":{\"ownerReferences\":[7]},\"status\":{\"conditions\":[1,\"Ready\",[],{},{\"type\":7},"
          "{\"type\":\"PodReadyToStartContainers\",\"status\":\"False\"},null]}}",
          "{\"metadata\":{\"ownerReferences\":[7]},\"status\":{\"conditions\":[1,\"Ready\",[],{\"type\":7}]}}" },
};

static cJSON *parse(const char *text) {
        cJSON *tree = NULL;

        assert_int_equal(json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, NULL, NULL), 0);
        return tree;
}

static void reducing(void **unused) {
        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(reduce_rows); i++) {
                const struct ReduceRow *row = &reduce_rows[i];
                _cleanup_json_ cJSON *tree = parse(row->text), *want = parse(row->want ? row->want : row->text);
                _cleanup_free_ char *text = NULL;

                assert_true(daemon_pod_reduce(tree));
                text = json_canonical_text(tree, NULL);
                if (!json_equal(tree, want))
                        fail_msg("%s\n%s", row->text, text);
        }
}

static void assert_same(const char *text, const char *reduced) {
        _cleanup_daemon_pod_ DaemonPod p = { 0 }, q = { 0 };
        int r = read_pod(text, &p);

        if (read_pod(reduced, &q) != r || p.here != q.here || p.pod != q.pod || !streq(p.name, q.name) ||
            !streq(p.namespace, q.namespace) || !streq(p.uid, q.uid) || !streq(p.daemonset, q.daemonset) ||
            !streq(p.owner_uid, q.owner_uid))
                fail_msg("%s\n%s", text, reduced);
}

/* Reduced once, nothing is lost that is read; twice is as good as once. */
static void check_reduced(const char *text) {
        _cleanup_json_ cJSON *tree = parse(text);
        _cleanup_free_ char *once = NULL, *twice = NULL;

        assert_true(daemon_pod_reduce(tree));
        once = json_canonical_text(tree, NULL);
        assert_true(daemon_pod_reduce(tree));
        twice = json_canonical_text(tree, NULL);
        assert_string_equal(once, twice);
        assert_same(text, once);
}

static void each_place(cJSON *root, cJSON *item) {
        static const char *const others[] = { "null", "7",   "true", "\"\"",   "\"x\"",     "[]",
                                              "{}",   "[7]", "[{}]", "[null]", "{\"a\":7}", "[\"a\"]" };

        for (cJSON *c = item->child; c; c = c->next)
                each_place(root, c);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
                _cleanup_json_ cJSON *other = parse(others[i]);
                _cleanup_free_ char *text = NULL;
                const cJSON kept = *item;

                item->type = other->type | (item->type & cJSON_StringIsConst);
                item->valuestring = other->valuestring;
                item->child = other->child;
                text = json_canonical_text(root, NULL);
                item->type = kept.type;
                item->valuestring = kept.valuestring;
                item->child = kept.child;
                check_reduced(text);
        }
}

/* Every value of a pod replaced by every kind of another. */
static void any_tree(void **unused) {
        static const char *const texts[] = { REAL REAL_STATUS, REAL ",\"nodeName\":\"a\"" REAL_STATUS };

        (void)unused;
        for (size_t i = 0; i < ARRAY_SIZE(pod_rows); i++)
                check_reduced(pod_rows[i].text);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_json_ cJSON *root = parse(texts[i]);

                check_reduced(texts[i]);
                each_place(root, root);
        }
}

static int oom_body(void *text) {
        _cleanup_daemon_pod_ DaemonPod p = { 0 };

        return daemon_pod_read(text, strlen(text), "a", &p);
}

static void out_of_memory(void **unused) {
        (void)unused;
        (void)test_oom(oom_body, (char[]){ REAL ",\"nodeName\":\"a\"" REAL_STATUS });
        (void)test_oom(oom_body, (char[]){ POD("", "") });
}

/* ---- main ---- */

static const struct CMUnitTest plain[] = {
        cmocka_unit_test(names),    cmocka_unit_test(the_owners_uid), cmocka_unit_test(what_is_refused),
        cmocka_unit_test(reducing), cmocka_unit_test(any_tree),       cmocka_unit_test(out_of_memory),
};

static struct CMUnitTest tests[ARRAY_SIZE(plain) + ARRAY_SIZE(pod_rows)];

int main(void) {
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                tests[n++] = plain[i];
        for (size_t i = 0; i < ARRAY_SIZE(pod_rows); i++)
                tests[n++] = (struct CMUnitTest){ .name = pod_rows[i].what,
                                                  .test_func = whose_and_where,
                                                  .initial_state = (void *)&pod_rows[i] };
        return _cmocka_run_group_tests("daemon_pod", tests, n, NULL, NULL);
}
