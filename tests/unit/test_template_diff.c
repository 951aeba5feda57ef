/* SPDX-License-Identifier: Apache-2.0 */
#include "core/template_diff.h"
#include "core/template_diff_internal.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>

/* ---- pairs: as somebody wrote it, and as an API server has it ---- */

#define DAEMONSET(meta, spec)                                                                                          \
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {a: b}}\n"        \
        "  template: {metadata: {labels: {a: b}" meta "}, spec: {" spec "}}\n"
#define POD(spec) DAEMONSET("", spec)
#define IN_CONTAINER(more) POD("containers: [{name: c, image: 'i:1'" more "}]")
#define IN_POD(more) POD("containers: [{name: c, image: 'i:1'}]" more)

/* What every container and every pod is given. */
#define C "\"resources\":{},\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\""
#define PULLED(policy) "\"imagePullPolicy\":\"" policy "\"," C
#define P                                                                                                              \
        "\"dnsPolicy\":\"ClusterFirst\",\"restartPolicy\":\"Always\",\"schedulerName\":\"default-scheduler\","         \
        "\"securityContext\":{},\"terminationGracePeriodSeconds\":30"
#define SERVED(meta, spec)                                                                                             \
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"d\",\"uid\":\"u\"},\"spec\":{"    \
        "\"revisionHistoryLimit\":10,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{"        \
        "\"creationTimestamp\":null,\"labels\":{\"a\":\"b\"}" meta "},\"spec\":{" spec "," P "}},\"updateStrategy\":{" \
        "\"rollingUpdate\":{\"maxSurge\":0,\"maxUnavailable\":1},\"type\":\"RollingUpdate\"}},\"status\":{}}"
#define SERVED_POD(spec) SERVED("", spec)
#define SERVED_IN_CONTAINER(more)                                                                                      \
        SERVED_POD("\"containers\":[{\"image\":\"i:1\",\"name\":\"c\"," PULLED("IfNotPresent") more "}]")
#define SERVED_IN_POD(more)                                                                                            \
        SERVED_POD("\"containers\":[{\"image\":\"i:1\",\"name\":\"c\"," PULLED("IfNotPresent") "}]" more)
#define IMAGE(image) POD("containers: [{name: c, image: '" image "'}]")
#define SERVED_IMAGE(image, policy)                                                                                    \
        SERVED_POD("\"containers\":[{\"image\":\"" image "\",\"name\":\"c\"," PULLED(policy) "}]")
#define VOLUME(source) IN_POD(", volumes: [{name: v, " source "}]")
#define SERVED_VOLUME(source) SERVED_IN_POD(",\"volumes\":[{\"name\":\"v\"," source "}]")
#define PROBE "\"failureThreshold\":3,\"periodSeconds\":10,\"successThreshold\":1,\"timeoutSeconds\":1"
#define TCP "\"protocol\":\"TCP\""

static const struct PairRow {
        const char *what, *ours, *theirs;
} pairs[] = {
        { "the least", IN_CONTAINER(""), SERVED_IN_CONTAINER("") },
        { "what is written is what would be given",
          POD("dnsPolicy: ClusterFirst, restartPolicy: Always, schedulerName: default-scheduler, "
              "terminationGracePeriodSeconds: 30, securityContext: {}, containers: [{name: c, image: 'i:1', "
              "imagePullPolicy: IfNotPresent, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: "
              "File, resources: {}}]"),
          SERVED_IN_CONTAINER("") },
        { "no tag", IMAGE("r.example:5000/i"), SERVED_IMAGE("r.example:5000/i", "Always") },
        { "latest", IMAGE("r.example:5000/i:latest"), SERVED_IMAGE("r.example:5000/i:latest", "Always") },
        { "a tag", IMAGE("r.example:5000/i:latest1"), SERVED_IMAGE("r.example:5000/i:latest1", "IfNotPresent") },
        { "a digest", IMAGE("i@sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270"),
          SERVED_IMAGE("i@sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270", "IfNotPresent") },
        { "latest with a digest",
          IMAGE("i:latest@sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270"),
          SERVED_IMAGE("i:latest@sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270", "Always") },
        { "probes",
          IN_CONTAINER(", livenessProbe: {httpGet: {port: 80}}, readinessProbe: {tcpSocket: {port: http}, "
                       "periodSeconds: 5, initialDelaySeconds: 0}, startupProbe: {grpc: {port: 9}}"),
          SERVED_IN_CONTAINER(",\"livenessProbe\":{" PROBE
                              ",\"httpGet\":{\"path\":\"/\",\"port\":80,\"scheme\":\"HTTP\"}}"
                              ",\"readinessProbe\":{\"failureThreshold\":3,\"periodSeconds\":5,\"successThreshold\":1,"
                              "\"timeoutSeconds\":1,\"tcpSocket\":{\"port\":\"http\"}}"
                              ",\"startupProbe\":{" PROBE ",\"grpc\":{\"port\":9,\"service\":\"\"}}") },
        { "hooks",
          IN_CONTAINER(", lifecycle: {preStop: {httpGet: {port: p, path: /x}}, postStart: {exec: {command: [a]}}}"),
          SERVED_IN_CONTAINER(
                  ",\"lifecycle\":{\"postStart\":{\"exec\":{\"command\":[\"a\"]}},\"preStop\":{\"httpGet\":{"
                  "\"path\":\"/x\",\"port\":\"p\",\"scheme\":\"HTTP\"}}}") },
        { "ports", IN_CONTAINER(", ports: [{containerPort: 80}, {containerPort: 53, hostPort: 53, protocol: UDP}]"),
          SERVED_IN_CONTAINER(",\"ports\":[{\"containerPort\":80," TCP "},{\"containerPort\":53,\"hostPort\":53,"
                              "\"protocol\":\"UDP\"}]") },
        { "ports of the host's network",
          POD("hostNetwork: true, containers: [{name: c, image: 'i:1', ports: [{containerPort: 80}]}]"),
          SERVED_POD("\"hostNetwork\":true,\"containers\":[{\"image\":\"i:1\",\"name\":\"c\"," PULLED(
                  "IfNotPresent") ",\"ports\":[{\"containerPort\":80,\"hostPort\":80," TCP "}]}]") },
        { "false and 0 that mean nothing",
          POD("hostNetwork: false, hostPID: false, hostIPC: false, containers: [{name: c, image: 'i:1', stdin: false, "
              "tty: false, workingDir: '', volumeMounts: [{name: v, mountPath: /v, readOnly: false, subPath: ''}], "
              "env: [{name: A, value: ''}], args: [], ports: [{containerPort: 80, hostPort: 0, hostIP: ''}]}], "
              "volumes: [{name: v, emptyDir: {medium: ''}}], tolerations: [], nodeSelector: {}, imagePullSecrets: null"),
          SERVED_POD("\"containers\":[{\"image\":\"i:1\",\"name\":\"c\"," PULLED(
                  "IfNotPresent") ",\"env\":[{\"name\":\"A\"}],\"ports\":[{\"containerPort\":80," TCP
                                  "}],\"volumeMounts\":[{\"mountPath\":\"/v\",\"name\":\"v\"}]}],"
                                  "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]") },
        { "false and 0 that are kept", IN_CONTAINER(", securityContext: {privileged: false, runAsUser: 0}"),
          SERVED_IN_CONTAINER(",\"securityContext\":{\"privileged\":false,\"runAsUser\":0}") },
        { "objects with nothing in them",
          IN_CONTAINER(
                  ", securityContext: {privileged: false, capabilities: {add: []}}, envFrom: null, resources: {limits: "
                  "{}}"),
          SERVED_IN_CONTAINER("") },
        { "an empty object with a default in it", IN_CONTAINER(", securityContext: {}"),
          SERVED_IN_CONTAINER(",\"securityContext\":{\"procMount\":\"Default\"}") },
        { "quantities",
          IN_CONTAINER(
                  ", resources: {requests: {cpu: 0.1, memory: 1024Mi, ephemeral-storage: 1e9}, limits: {cpu: '2.0', "
                  "memory: 2Gi, ephemeral-storage: 2G}}"),
          SERVED_IN_CONTAINER(",\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"1Gi\",\"ephemeral-storage\":"
                              "\"1e9\"},\"limits\":{\"cpu\":\"2\",\"memory\":\"2Gi\",\"ephemeral-storage\":\"2G\"}}") },
        { "quantities are rounded up to thousandths",
          POD("overhead: {cpu: 1500u}, containers: [{name: c, image: 'i:1', resources: {requests: {cpu: 0.0001, memory: "
              "1.9999}}}]"),
          SERVED_POD(
                  "\"overhead\":{\"cpu\":\"2m\"},\"containers\":[{\"image\":\"i:1\",\"name\":\"c\",\"imagePullPolicy\":"
                  "\"IfNotPresent\",\"resources\":{\"requests\":{\"cpu\":\"1m\",\"memory\":\"2\"}}}]") },
        { "requests of limits", IN_CONTAINER(", resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}"),
          SERVED_IN_CONTAINER(",\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":"
                              "\"500m\",\"memory\":\"1Gi\"}}") },
        { "all requests of limits", IN_CONTAINER(", resources: {limits: {cpu: 1}}"),
          SERVED_IN_CONTAINER(",\"resources\":{\"limits\":{\"cpu\":\"1\"},\"requests\":{\"cpu\":\"1000m\"}}") },
        { "the service account", IN_POD(", serviceAccountName: x"),
          SERVED_IN_POD(",\"serviceAccount\":\"x\",\"serviceAccountName\":\"x\"") },
        { "the service account by its old name", IN_POD(", serviceAccount: x"),
          SERVED_IN_POD(",\"serviceAccount\":\"x\",\"serviceAccountName\":\"x\"") },
        { "the service account by both names", IN_POD(", serviceAccount: y, serviceAccountName: x"),
          SERVED_IN_POD(",\"serviceAccount\":\"x\",\"serviceAccountName\":\"x\"") },
        { "the default service account", IN_POD(""),
          SERVED_IN_POD(",\"serviceAccount\":\"default\",\"serviceAccountName\":\"default\"") },
        { "what pods are given", IN_POD(""), SERVED_IN_POD(",\"enableServiceLinks\":true") },
        { "hostPath", VOLUME("hostPath: {path: /x}"), SERVED_VOLUME("\"hostPath\":{\"path\":\"/x\",\"type\":\"\"}") },
        { "configMap", VOLUME("configMap: {name: n, optional: false}"),
          SERVED_VOLUME("\"configMap\":{\"defaultMode\":420,\"name\":\"n\",\"optional\":false}") },
        { "secret", VOLUME("secret: {secretName: n, defaultMode: 0600}"),
          SERVED_VOLUME("\"secret\":{\"defaultMode\":384,\"secretName\":\"n\"}") },
        { "emptyDir", IN_POD(", volumes: [{name: v}]"), SERVED_VOLUME("\"emptyDir\":{}") },
        { "projected",
          VOLUME("projected: {sources: [{serviceAccountToken: {path: t}}, {downwardAPI: {items: [{path: p, fieldRef: "
                 "{fieldPath: metadata.name}}]}}, {configMap: {name: n}}]}"),
          SERVED_VOLUME(
                  "\"projected\":{\"defaultMode\":420,\"sources\":[{\"serviceAccountToken\":{\"expirationSeconds\":"
                  "3600,\"path\":\"t\"}},{\"downwardAPI\":{\"items\":[{\"fieldRef\":{\"apiVersion\":\"v1\","
                  "\"fieldPath\":\"metadata.name\"},\"path\":\"p\"}]}},{\"configMap\":{\"name\":\"n\"}}]}") },
        { "downwardAPI",
          VOLUME("downwardAPI: {items: [{path: p, resourceFieldRef: {containerName: c, resource: limits.cpu}}]}"),
          SERVED_VOLUME("\"downwardAPI\":{\"defaultMode\":420,\"items\":[{\"path\":\"p\",\"resourceFieldRef\":{"
                        "\"containerName\":\"c\",\"divisor\":\"0\",\"resource\":\"limits.cpu\"}}]}") },
        { "image volume", VOLUME("image: {reference: r}"),
          SERVED_VOLUME("\"image\":{\"pullPolicy\":\"Always\",\"reference\":\"r\"}") },
        { "iscsi", VOLUME("iscsi: {targetPortal: 'a:1', iqn: 'iqn.2001-04.com.example:x', lun: 0}"),
          SERVED_VOLUME("\"iscsi\":{\"iqn\":\"iqn.2001-04.com.example:x\",\"iscsiInterface\":\"default\",\"lun\":0,"
                        "\"targetPortal\":\"a:1\"}") },
        { "rbd", VOLUME("rbd: {monitors: [a], image: i}"),
          SERVED_VOLUME(
                  "\"rbd\":{\"image\":\"i\",\"keyring\":\"/etc/ceph/keyring\",\"monitors\":[\"a\"],\"pool\":\"rbd\","
                  "\"user\":\"admin\"}") },
        { "a claim of its own",
          VOLUME("ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: "
                 "1024Mi}}}}}"),
          SERVED_VOLUME("\"ephemeral\":{\"volumeClaimTemplate\":{\"metadata\":{\"creationTimestamp\":null},\"spec\":{"
                        "\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}},"
                        "\"volumeMode\":\"Filesystem\"}}}") },
        { "env",
          IN_CONTAINER(", env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: B, valueFrom: "
                       "{resourceFieldRef: {resource: limits.cpu}}}, {name: C, valueFrom: {configMapKeyRef: {name: n, "
                       "key: k}}}]"),
          SERVED_IN_CONTAINER(
                  ",\"env\":[{\"name\":\"A\",\"valueFrom\":{\"fieldRef\":{\"apiVersion\":\"v1\",\"fieldPath\":"
                  "\"spec.nodeName\"}}},{\"name\":\"B\",\"valueFrom\":{\"resourceFieldRef\":{\"divisor\":\"0\","
                  "\"resource\":\"limits.cpu\"}}},{\"name\":\"C\",\"valueFrom\":{\"configMapKeyRef\":{\"key\":"
                  "\"k\",\"name\":\"n\",\"optional\":false}}}]") },
        { "init containers", IN_POD(", initContainers: [{name: j, image: j, ports: [{containerPort: 1}]}]"),
          SERVED_IN_POD(",\"initContainers\":[{\"image\":\"j\",\"name\":\"j\"," PULLED(
                  "Always") ",\"ports\":[{\"containerPort\":1," TCP "}]}]") },
        { "spread",
          IN_POD(", topologySpreadConstraints: [{maxSkew: 1, topologyKey: k, whenUnsatisfiable: DoNotSchedule}]"),
          SERVED_IN_POD(
                  ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"minDomains\":1,\"nodeAffinityPolicy\":\"Honor\","
                  "\"nodeTaintsPolicy\":\"Ignore\",\"topologyKey\":\"k\",\"whenUnsatisfiable\":\"DoNotSchedule\"}]") },
        { "tolerations", IN_POD(", tolerations: [{key: k, value: v}, {operator: Exists}]"),
          SERVED_IN_POD(",\"tolerations\":[{\"key\":\"k\",\"operator\":\"Equal\",\"value\":\"v\"},{\"operator\":"
                        "\"Exists\"}]") },
        { "metadata that pods do not get",
          DAEMONSET(", name: x, namespace: y, resourceVersion: '1'", "containers: [{name: "
                                                                     "c, image: 'i:1'}]"),
          SERVED_IN_CONTAINER("") },
        { "metadata null", DAEMONSET(", annotations: {}", "containers: [{name: c, image: 'i:1'}]"),
          SERVED(",\"annotations\":null,\"finalizers\":[]",
                 "\"containers\":[{\"image\":\"i:1\",\"name\":\"c\"," PULLED("IfNotPresent") "}]") },
};

static const Object *read_one(Objects *o, const char *text) {
        assert_int_equal(objects_read(o, "x", text, strlen(text), false), 0);
        if (o->n_objects != 1 || o->objects[0].reason != REASON_None)
                fail_msg("%s: %s", text, o->n_objects ? o->objects[0].diags.items[0].message : o->files[0].error);
        return &o->objects[0];
}

static void diff_texts(const char *ours, const char *theirs, Buf *out) {
        _cleanup_objects_ Objects a = { 0 }, b = { 0 };

        buf_reset(out);
        assert_int_equal(template_diff(read_one(&a, ours), read_one(&b, theirs), out), 0);
}

/* ---- what is told of a difference ---- */

#define S "spec.template.spec."
#define HERE " here and "
#define THERE " in the API server"
#define HIDDEN " differs: the value is not shown"
#define TEN "0123456789"
#define MONITORS(list) VOLUME("rbd: {image: i, monitors: [" list "]}")
#define ANNOTATION(pair) DAEMONSET(", annotations: {" pair "}", "containers: [{name: c, image: 'i:1'}]")
#define EXEC(of, word, end) IN_CONTAINER(", " of "{exec: {command: [sh, -c, 'redis-cli -a " word " ping']}}" end)

static const struct DiffRow {
        const char *what, *ours, *theirs, *want;
} diffs[] = {
        { "a value", IMAGE("a:1"), IMAGE("a:2"), S "containers[0].image is a:1" HERE "a:2" THERE },
        { "one that is absent here", IN_POD(""), IN_POD(", hostname: h"), S "hostname is absent" HERE "h" THERE },
        { "one that is absent there", IN_POD(", hostname: h"), IN_POD(""), S "hostname is h" HERE "absent" THERE },
        { "a default here", IN_POD(""), IN_POD(", terminationGracePeriodSeconds: 60"),
          S "terminationGracePeriodSeconds is 30 (by default)" HERE "60" THERE },
        { "a default there", IN_POD(", terminationGracePeriodSeconds: 0"), IN_POD(""),
          S "terminationGracePeriodSeconds is 0" HERE "30 (by default)" THERE },
        { "a default of another field", IMAGE("i:1"),
          POD("containers: [{name: c, image: 'i:1', imagePullPolicy: Always}]"),
          S "containers[0].imagePullPolicy is IfNotPresent (by default)" HERE "Always" THERE },
        { "the old service account", IN_POD(", serviceAccount: x"), IN_POD(", serviceAccountName: y"),
          S "serviceAccountName is x (by default)" HERE "y" THERE },
        { "a host port by the network of one side",
          POD("hostNetwork: true, containers: [{name: c, image: 'i:1', ports: [{containerPort: 80}]}]"),
          IN_CONTAINER(", ports: [{containerPort: 80}]"),
          S "containers[0].ports[0].hostPort is 80 (by default)" HERE "absent" THERE },
        { "an object", IN_CONTAINER(", livenessProbe: {exec: {command: [a]}}"), IN_CONTAINER(""),
          S "containers[0].livenessProbe is set" HERE "absent" THERE },
        { "no default in what is absent", IN_CONTAINER(""),
          SERVED_IN_CONTAINER(",\"livenessProbe\":{" PROBE ",\"exec\":{"
                              "\"command\":[\"a\"]}}"),
          S "containers[0].livenessProbe is absent" HERE "set" THERE },
        { "a field in an object", IN_CONTAINER(", livenessProbe: {exec: {command: [a]}}"),
          IN_CONTAINER(", livenessProbe: {exec: {command: [a]}, periodSeconds: 11}"),
          S "containers[0].livenessProbe.periodSeconds is 10 (by default)" HERE "11" THERE },
        { "an item more", MONITORS("a"), MONITORS("a, b"), S "volumes[0].rbd.monitors[1] is absent" HERE "b" THERE },
        { "an empty item more", MONITORS("a, ''"), MONITORS("a"),
          S "volumes[0].rbd.monitors[1] is \"\"" HERE "absent" THERE },
        { "a named item more", POD("containers: [{name: c, image: 'i:1'}, {name: side, image: 's:1'}]"),
          IN_CONTAINER(""), S "containers[1] is side" HERE "absent" THERE },
        { "the order of a list", MONITORS("a, b"), MONITORS("b, a"),
          S "volumes[0].rbd.monitors[0] is a" HERE "b" THERE },
        { "the first one of several, in canonical order", POD("hostname: h, containers: [{name: c, image: 'i:1'}]"),
          POD("hostname: g, containers: [{name: d, image: 'i:2'}]"), S "containers[0].image is i:1" HERE "i:2" THERE },
        { "a label", DAEMONSET(", annotations: {x: y}", "containers: [{name: c, image: 'i:1'}]"), IN_CONTAINER(""),
          "spec.template.metadata.annotations[x] is y" HERE "absent" THERE },
        { "an empty label is one", DAEMONSET(", annotations: {x: ''}", "containers: [{name: c, image: 'i:1'}]"),
          IN_CONTAINER(""), "spec.template.metadata.annotations[x] is \"\"" HERE "absent" THERE },
        { "keys in their order", IN_POD(", nodeSelector: {a: x, c: y}"), IN_POD(", nodeSelector: {a: x, b: y}"),
          S "nodeSelector[b] is absent" HERE "y" THERE },
        { "a quantity", IN_CONTAINER(", resources: {limits: {cpu: 1}}"),
          IN_CONTAINER(", resources: {limits: {cpu: 1001m}}"),
          S "containers[0].resources.limits[cpu] is 1" HERE "1001m" THERE },
        { "quantities are not rounded where the API server does not", VOLUME("emptyDir: {sizeLimit: 1.0001}"),
          VOLUME("emptyDir: {sizeLimit: 1.0002}"), S "volumes[0].emptyDir.sizeLimit is 1.0001" HERE "1.0002" THERE },
        { "a request, which is the limit", IN_CONTAINER(", resources: {limits: {cpu: '1'}}"),
          IN_CONTAINER(", resources: {limits: {cpu: '1'}, requests: {cpu: 500m}}"),
          S "containers[0].resources.requests[cpu] is 1 (by default)" HERE "500m" THERE },
        { "not so for the pod as a whole", IN_POD(", resources: {limits: {cpu: '1'}}"),
          IN_POD(", resources: {limits: {cpu: '1'}, requests: {cpu: '1'}}"),
          S "resources.requests[cpu] is absent" HERE "1" THERE },
        { "a number and a name", IN_CONTAINER(", livenessProbe: {tcpSocket: {port: 80}}"),
          IN_CONTAINER(", livenessProbe: {tcpSocket: {port: x80}}"),
          S "containers[0].livenessProbe.tcpSocket.port is 80" HERE "x80" THERE },
        { "the old service account on one side", IN_POD(", serviceAccount: x"), IN_POD(""),
          S "serviceAccountName is x (by default)" HERE "default (by default)" THERE },
        { "false that counts", IN_POD(", automountServiceAccountToken: false"), IN_POD(""),
          S "automountServiceAccountToken is false" HERE "absent" THERE },
        { "0 that counts", IN_CONTAINER(", securityContext: {runAsUser: 0}"), IN_CONTAINER(", securityContext: {}"),
          S "containers[0].securityContext.runAsUser is 0" HERE "absent" THERE },
        { "no mode at all", VOLUME("configMap: {name: n, defaultMode: 0}"), VOLUME("configMap: {name: n}"),
          S "volumes[0].configMap.defaultMode is 0" HERE "420 (by default)" THERE },
        { "a selector of all",
          IN_POD(", topologySpreadConstraints: [{maxSkew: 1, topologyKey: k, whenUnsatisfiable: DoNotSchedule, "
                 "labelSelector: {}}]"),
          IN_POD(", topologySpreadConstraints: [{maxSkew: 1, topologyKey: k, whenUnsatisfiable: DoNotSchedule}]"),
          S "topologySpreadConstraints[0].labelSelector is set" HERE "absent" THERE },
        { "another kind of empty volume", VOLUME("projected: {}"), VOLUME("emptyDir: {}"),
          S "volumes[0].projected is set" HERE "absent" THERE },
        { "a long value", MONITORS("'" TEN TEN TEN TEN TEN TEN TEN TEN TEN "'"), MONITORS("x"),
          S "volumes[0].rbd.monitors[0] is " TEN TEN TEN TEN TEN TEN TEN TEN "..." HERE "x" THERE },
        { "long values that begin alike", MONITORS("" TEN TEN TEN TEN TEN TEN "aX"),
          MONITORS("" TEN TEN TEN TEN TEN TEN "aY"),
          S "volumes[0].rbd.monitors[0] is ...9" TEN "aX" HERE "...9" TEN "aY" THERE },
        { "and are cut between characters", MONITORS("" TEN TEN TEN TEN TEN "\u00e4" TEN "aX"),
          MONITORS("" TEN TEN TEN TEN TEN "\u00e4" TEN "aY"),
          S "volumes[0].rbd.monitors[0] is ...\u00e4" TEN "aX" HERE "...\u00e4" TEN "aY" THERE },
        { "a long value and a short one that begin alike", MONITORS("" TEN TEN TEN "a"),
          MONITORS("" TEN TEN TEN "b" TEN TEN TEN ""),
          S "volumes[0].rbd.monitors[0] is ...89" TEN "a" HERE "...89" TEN "b" TEN TEN TEN THERE },
        { "long values of which little is alike", MONITORS("" TEN TEN "aa" TEN TEN TEN TEN ""),
          MONITORS("" TEN TEN "ab" TEN TEN TEN TEN ""),
          S "volumes[0].rbd.monitors[0] is " TEN TEN "aa" TEN TEN TEN TEN HERE TEN TEN "ab" TEN TEN TEN TEN THERE },
        { "a finalizer", DAEMONSET(", finalizers: [x/y]", "containers: [{name: c, image: 'i:1'}]"), IN_CONTAINER(""),
          "spec.template.metadata.finalizers[0] is x/y" HERE "absent" THERE },
        { "lines", MONITORS("\"a\\nb\\x7f\""), MONITORS("x"), S "volumes[0].rbd.monitors[0] is a b " HERE "x" THERE },
        { "the value of a variable", IN_CONTAINER(", env: [{name: A, value: hunter2}]"),
          IN_CONTAINER(", env: [{name: A, value: hunter3}]"), S "containers[0].env[0].value (A)" HIDDEN },
        { "a value that is absent", IN_CONTAINER(", env: [{name: A, value: hunter2}]"),
          IN_CONTAINER(", env: [{name: A}]"), S "containers[0].env[0].value (A) is set" HERE "absent" THERE },
        { "a variable more", IN_CONTAINER(", env: [{name: PASSWORD, value: hunter2}]"), IN_CONTAINER(""),
          S "containers[0].env[0] is PASSWORD" HERE "absent" THERE },
        { "another variable", IN_CONTAINER(", env: [{name: A, value: hunter2}]"), IN_CONTAINER(", env: [{name: B}]"),
          S "containers[0].env[0].name (A) is A" HERE "B" THERE },
        { "where a variable is from",
          IN_CONTAINER(", env: [{name: A, valueFrom: {secretKeyRef: {name: hunter2, key: k}}}]"),
          IN_CONTAINER(", env: [{name: A, valueFrom: {secretKeyRef: {name: n, key: k}}}]"),
          S "containers[0].env[0].valueFrom.secretKeyRef.name (A)" HIDDEN },
        { "an annotation with a telling key",
          DAEMONSET(", annotations: {db-Password: hunter2}", "containers: [{name: c, image: 'i:1'}]"), IN_CONTAINER(""),
          "spec.template.metadata.annotations[db-Password] is set" HERE "absent" THERE },
        { "a telling item", MONITORS("'x TOKEN=hunter2'"), MONITORS("'x TOKEN=hunter3'"),
          S "volumes[0].rbd.monitors[0]" HIDDEN },
        { "what follows a telling item", MONITORS("x, --password, hunter2"), MONITORS("x, --password, hunter3"),
          S "volumes[0].rbd.monitors[2]" HIDDEN },
        { "what follows one that is telling there", MONITORS("--user, hunter2"), MONITORS("--api-key, hunter2"),
          S "volumes[0].rbd.monitors[0]" HIDDEN },
        { "a login in a URL", ANNOTATION("a: 'x http://a/b db://u:hunter2@h/'"), ANNOTATION("a: x"),
          "spec.template.metadata.annotations[a]" HIDDEN },
        { "no login in a URL", ANNOTATION("a: 'http://h/a@b'"), ANNOTATION("a: x"),
          "spec.template.metadata.annotations[a] is http://h/a@b" HERE "x" THERE },
        { "an argument", IN_CONTAINER(", args: [a, hunter2]"), IN_CONTAINER(", args: [a, hunter3]"),
          S "containers[0].args[1]" HIDDEN },
        { "an argument that is one everywhere", IN_CONTAINER(", args: [redis-cli, -a, hunter2, ping]"),
          IN_CONTAINER(", args: [redis-cli, ping]"), S "containers[0].args[1]" HIDDEN },
        { "an argument more", IN_CONTAINER(", args: [a, hunter2]"), IN_CONTAINER(", args: [a]"),
          S "containers[0].args[1] is set" HERE "absent" THERE },
        { "all arguments", IN_CONTAINER(""), IN_CONTAINER(", args: [hunter2]"),
          S "containers[0].args[0] is absent" HERE "set" THERE },
        { "an empty argument", IN_CONTAINER(", args: ['']"), IN_CONTAINER(", args: [hunter2]"),
          S "containers[0].args[0]" HIDDEN },
        { "an argument that looks like a number", IN_CONTAINER(", args: ['2']"), IN_CONTAINER(", args: ['3']"),
          S "containers[0].args[0]" HIDDEN },
        { "a long argument", IN_CONTAINER(", args: [" TEN TEN TEN TEN TEN TEN TEN "hunter2]"),
          IN_CONTAINER(", args: [" TEN TEN TEN TEN TEN TEN TEN "hunter3]"), S "containers[0].args[0]" HIDDEN },
        { "a command", IN_CONTAINER(", command: [sh, -c, 'redis-cli -a hunter2 ping']"),
          IN_CONTAINER(", command: [sh, -c, 'redis-cli -a hunter3 ping']"), S "containers[0].command[2]" HIDDEN },
        { "a command more", IN_CONTAINER(", command: ['redis-cli -a hunter2 ping']"), IN_CONTAINER(""),
          S "containers[0].command[0] is set" HERE "absent" THERE },
        { "that of an init container",
          IN_POD(", initContainers: [{name: i, image: 'i:1', command: [hunter2], args: [a]}]"),
          IN_POD(", initContainers: [{name: i, image: 'i:1', command: [hunter3], args: [a]}]"),
          S "initContainers[0].command[0]" HIDDEN },
        { "that of a liveness probe", EXEC("livenessProbe: ", "hunter2", ""), EXEC("livenessProbe: ", "hunter3", ""),
          S "containers[0].livenessProbe.exec.command[2]" HIDDEN },
        { "that of a readiness probe", EXEC("readinessProbe: ", "hunter2", ""), EXEC("readinessProbe: ", "hunter3", ""),
          S "containers[0].readinessProbe.exec.command[2]" HIDDEN },
        { "that of a startup probe", EXEC("startupProbe: ", "hunter2", ""), EXEC("startupProbe: ", "hunter3", ""),
          S "containers[0].startupProbe.exec.command[2]" HIDDEN },
        { "that of a hook after the start", EXEC("lifecycle: {postStart: ", "hunter2", "}"),
          EXEC("lifecycle: {postStart: ", "hunter3", "}"),
          S "containers[0].lifecycle.postStart.exec.command[2]" HIDDEN },
        { "that of a hook before the end", EXEC("lifecycle: {preStop: ", "hunter2", "}"),
          EXEC("lifecycle: {preStop: ", "hunter3", "}"), S "containers[0].lifecycle.preStop.exec.command[2]" HIDDEN },
        { "a hook more", EXEC("lifecycle: {preStop: ", "hunter2", "}"), IN_CONTAINER(""),
          S "containers[0].lifecycle is set" HERE "absent" THERE },
        { "a probe of another kind", EXEC("livenessProbe: ", "hunter2", ""),
          IN_CONTAINER(", livenessProbe: {tcpSocket: {port: 80}}"),
          S "containers[0].livenessProbe.exec is set" HERE "absent" THERE },
        { "the name of a container in which all differs", IN_POD(""),
          IN_POD(", initContainers: [{name: i, image: 'i:1', command: [hunter2], args: [hunter2]}]"),
          S "initContainers[0] is absent" HERE "i" THERE },
        { "a key of such a name is none", ANNOTATION("command: x"), ANNOTATION("command: y"),
          "spec.template.metadata.annotations[command] is x" HERE "y" THERE },
        { "nor is that of a label", IN_POD(", nodeSelector: {args: x}"), IN_POD(", nodeSelector: {args: y}"),
          S "nodeSelector[args] is x" HERE "y" THERE },
        { "a header", IN_CONTAINER(", livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: X, value: hunter2}]}}"),
          IN_CONTAINER(", livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: X, value: hunter3}]}}"),
          S "containers[0].livenessProbe.httpGet.httpHeaders[0].value" HIDDEN },
        { "the name of a secret", IN_POD(", imagePullSecrets: [{name: hunter2}]"), IN_POD(""),
          S "imagePullSecrets[0] is set" HERE "absent" THERE },
        { "numbers of a secret", VOLUME("secret: {secretName: n, defaultMode: 256}"), VOLUME("secret: {secretName: n}"),
          S "volumes[0].secret.defaultMode is 256" HERE "420 (by default)" THERE },
};

static void difference(void **state) {
        const struct DiffRow *row = *state;
        _cleanup_buf_ Buf out = BUF_INIT, back = BUF_INIT;

        diff_texts(row->ours, row->theirs, &out);
        assert_string_equal(buf_text(&out), row->want);
        assert_null(strstr(buf_text(&out), "hunter"));
        diff_texts(row->theirs, row->ours, &back);
        assert_null(strstr(buf_text(&back), "hunter"));
        assert_true(back.len > 0);
        assert_memory_equal(buf_text(&out), buf_text(&back), strcspn(row->want, " "));
        diff_texts(row->ours, row->ours, &out);
        assert_string_equal(buf_text(&out), "");
}

/* ---- whole templates ---- */

static cJSON *parse(const char *text) {
        cJSON *tree = NULL;

        assert_int_equal(json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, NULL, NULL), 0);
        return tree;
}

/* What an API server fills in, as SetDefaults_* have it: the path of the objects, the field, and its value. "*" stands
 * for the containers of both kinds. */
static const char *const server[][3] = {
        { "", "dnsPolicy", "\"ClusterFirst\"" },
        { "", "restartPolicy", "\"Always\"" },
        { "", "schedulerName", "\"default-scheduler\"" },
        { "", "securityContext", "{}" },
        { "", "terminationGracePeriodSeconds", "30" },
        { "*", "resources", "{}" },
        { "*", "terminationMessagePath", "\"/dev/termination-log\"" },
        { "*", "terminationMessagePolicy", "\"File\"" },
        { "*.env[].valueFrom.fieldRef", "apiVersion", "\"v1\"" },
        { "*.env[].valueFrom.resourceFieldRef", "divisor", "\"0\"" },
        { "*.lifecycle.postStart.httpGet", "path", "\"/\"" },
        { "*.lifecycle.postStart.httpGet", "scheme", "\"HTTP\"" },
        { "*.lifecycle.preStop.httpGet", "path", "\"/\"" },
        { "*.lifecycle.preStop.httpGet", "scheme", "\"HTTP\"" },
        { "*.ports[]", "protocol", "\"TCP\"" },
        { "volumes[].configMap", "defaultMode", "420" },
        { "volumes[].downwardAPI", "defaultMode", "420" },
        { "volumes[].downwardAPI.items[].fieldRef", "apiVersion", "\"v1\"" },
        { "volumes[].downwardAPI.items[].resourceFieldRef", "divisor", "\"0\"" },
        { "volumes[].ephemeral.volumeClaimTemplate.spec", "volumeMode", "\"Filesystem\"" },
        { "volumes[].hostPath", "type", "\"\"" },
        { "volumes[].iscsi", "iscsiInterface", "\"default\"" },
        { "volumes[].projected", "defaultMode", "420" },
        { "volumes[].projected.sources[].downwardAPI.items[].fieldRef", "apiVersion", "\"v1\"" },
        { "volumes[].projected.sources[].serviceAccountToken", "expirationSeconds", "3600" },
        { "volumes[].secret", "defaultMode", "420" },
};

static const char *const probes[] = { "livenessProbe", "readinessProbe", "startupProbe" };
static const char *const probe_fields[][3] = {
        { "", "failureThreshold", "3" }, { "", "periodSeconds", "10" },   { "", "successThreshold", "1" },
        { "", "timeoutSeconds", "1" },   { ".httpGet", "path", "\"/\"" }, { ".httpGet", "scheme", "\"HTTP\"" },
        { ".grpc", "service", "\"\"" },
};

static void fill_in(cJSON *object, const char *path, const char *field, const char *value) {
        size_t len = strcspn(path, ".[");
        char name[64];

        if (!*path) {
                if (cJSON_IsObject(object) && !json_get(object, field))
                        assert_true(json_add(object, field, parse(value)));
                return;
        }
        (void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
        path += len;
        object = json_get_mutable(object, name);
        if (!startswith(path, "[]")) {
                fill_in(object, path + (*path == '.'), field, value);
                return;
        }
        path += strlen("[]");
        for (cJSON *c = object ? object->child : NULL; c; c = c->next)
                fill_in(c, path + (*path == '.'), field, value);
}

static void fill_in_containers(cJSON *pod, const char *path, const char *field, const char *value) {
        static const char *const lists[] = { "containers[]", "initContainers[]" };
        char whole[128];

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                (void)snprintf(whole, sizeof(whole), "%s%s", lists[i], path);
                fill_in(pod, whole, field, value);
        }
}

/* Images whose policy the test need not work out. */
static void fill_in_images(cJSON *containers) {
        for (cJSON *c = containers ? containers->child : NULL; c; c = c->next) {
                const char *image = str_or_empty(json_string(c, "image")), *latest = strstr(image, ":latest");
                bool always = latest && (!latest[strlen(":latest")] || latest[strlen(":latest")] == '@');

                if (strstr(image, ":1") || latest)
                        fill_in(c, "", "imagePullPolicy", always ? "\"Always\"" : "\"IfNotPresent\"");
        }
}

static void as_served(cJSON *pod) {
        const char *account = json_string(pod, "serviceAccountName");
        char path[64];

        for (size_t i = 0; i < ARRAY_SIZE(server); i++)
                if (*server[i][0] == '*')
                        fill_in_containers(pod, server[i][0] + 1, server[i][1], server[i][2]);
                else
                        fill_in(pod, server[i][0], server[i][1], server[i][2]);
        for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
                for (size_t j = 0; j < ARRAY_SIZE(probe_fields); j++) {
                        (void)snprintf(path, sizeof(path), ".%s%s", probes[i], probe_fields[j][0]);
                        fill_in_containers(pod, path, probe_fields[j][1], probe_fields[j][2]);
                }
        fill_in_images(json_get_mutable(pod, "containers"));
        fill_in_images(json_get_mutable(pod, "initContainers"));
        if (account && !json_get(pod, "serviceAccount"))
                assert_true(json_add_string(pod, "serviceAccount", account));
        if (cJSON_IsFalse(json_get(pod, "hostNetwork")))
                json_delete(pod, "hostNetwork");
}

static cJSON *pod_of(cJSON *root) {
        return json_get_mutable(json_get_mutable(json_get_mutable(root, "spec"), "template"), "spec");
}

static void diff_trees(const cJSON *a, const cJSON *b, Buf *out) {
        Object ours = { 0 }, theirs = { 0 };

        buf_reset(out);
        ours.bytes = json_canonical_text(a, &ours.len);
        theirs.bytes = json_canonical_text(b, &theirs.len);
        assert_int_equal(template_diff(&ours, &theirs, out), 0);
        free(ours.bytes);
        free(theirs.bytes);
}

typedef struct Change {
        cJSON *root;
        const cJSON *served;
        size_t n;
} Change;

/* Fields that say nothing themselves, or that change what others say. */
static bool is_excepted(const char *path) {
        return startswith(path, "spec.template.metadata.name") || startswith(path, "spec.template.metadata.resource") ||
               startswith(path, S "serviceAccount") || startswith(path, S "hostNetwork");
}

static void expect_path(const char *path, const cJSON *a, const cJSON *b) {
        _cleanup_buf_ Buf out = BUF_INIT;

        diff_trees(a, b, &out);
        if (is_excepted(path))
                return;
        if (!startswith(buf_text(&out), path) || out.data[strlen(path)] != ' ')
                fail_msg("%s: %s", path, buf_text(&out));
        if (strstr(path, ".args[") || strstr(path, ".command["))
                assert_string_equal(buf_text(&out) + strlen(path), HIDDEN);
}

static void change_leaf(Change *c, cJSON *leaf, const char *path) {
        const cJSON kept = *leaf;
        char text[4096];
        int64_t number;

        if (cJSON_IsBool(leaf)) {
                leaf->type ^= cJSON_True | cJSON_False;
        } else {
                if (json_int(leaf, &number))
                        (void)snprintf(text, sizeof(text), "%lld", (long long)number + 1000);
                else if (json_is_number(leaf))
                        (void)snprintf(text, sizeof(text), "7");
                else
                        (void)snprintf(text, sizeof(text), "x%.4000s", leaf->valuestring);
                leaf->valuestring = text;
        }
        expect_path(path, c->root, c->served);
        expect_path(path, c->served, c->root);
        leaf->type = kept.type;
        leaf->valuestring = kept.valuestring;
        c->n++;
}

static void change_each(Change *c, cJSON *item, const char *path, bool map) {
        size_t i = 0;
        char inner[512];

        if (!cJSON_IsObject(item) && !cJSON_IsArray(item)) {
                change_leaf(c, item, path);
                return;
        }
        for (cJSON *child = item->child; child; child = child->next, i++) {
                static const char *const maps[] = { "annotations", "labels",           "nodeSelector",
                                                    "matchLabels", "limits",           "requests",
                                                    "overhead",    "volumeAttributes", "options" };
                bool child_map = false;

                for (size_t j = 0; child->string && !map && j < ARRAY_SIZE(maps); j++)
                        child_map |= streq(child->string, maps[j]) && cJSON_IsObject(child);
                if (cJSON_IsArray(item))
                        (void)snprintf(inner, sizeof(inner), "%s[%zu]", path, i);
                else
                        (void)snprintf(inner, sizeof(inner), map ? "%s[%s]" : "%s.%s", path, child->string);
                change_each(c, child, inner, child_map);
        }
}

static size_t check_template(const Object *object) {
        _cleanup_json_ cJSON *root = parse(object->bytes), *served = parse(object->bytes);
        _cleanup_buf_ Buf out = BUF_INIT;
        Change change = { .root = root, .served = served };
        cJSON *template = json_get_mutable(json_get_mutable(root, "spec"), "template");

        as_served(pod_of(served));
        diff_trees(root, served, &out);
        assert_string_equal(buf_text(&out), "");
        diff_trees(served, root, &out);
        assert_string_equal(buf_text(&out), "");
        change_each(&change, template, "spec.template", false);
        return change.n;
}

/* Every template of the rendering's cases means the same with the defaults in it, and another thing with any of its
 * values changed. */
static void templates_of_the_cases(void **unused) {
        size_t n, checked = 0;
        char **names = test_names("cases/render", &n), path[256];

        (void)unused;
        for (size_t i = 0; i < n; i++) {
                _cleanup_objects_ Objects o = { 0 };
                _cleanup_free_ char *text = NULL;

                if (strchr(names[i], '.') || streq(names[i], "README.md") || streq(names[i], "vectors"))
                        continue;
                (void)snprintf(path, sizeof(path), "cases/render/%s/input.yaml", names[i]);
                text = test_read(path, NULL);
                assert_int_equal(objects_read(&o, names[i], text, strlen(text), false), 0);
                for (size_t j = 0; j < o.n_objects; j++)
                        if (o.objects[j].kind == OBJECT_DAEMONSET && o.objects[j].reason == REASON_None)
                                checked += check_template(&o.objects[j]);
        }
        assert_true(checked > 900);
        test_names_free(names, n);
}

static void pair(void **state) {
        const struct PairRow *row = *state;
        _cleanup_buf_ Buf out = BUF_INIT;
        _cleanup_objects_ Objects ours = { 0 }, theirs = { 0 };

        diff_texts(row->ours, row->theirs, &out);
        assert_string_equal(buf_text(&out), "");
        diff_texts(row->theirs, row->ours, &out);
        assert_string_equal(buf_text(&out), "");
        (void)check_template(read_one(&ours, row->ours));
        (void)check_template(read_one(&theirs, row->theirs));
}

/* A row with a misspelt type or field would do nothing. */
static void every_row_is_of_the_schema(void **unused) {
        size_t n_defaults = 0, n_counting = 0;
        Spot pod = { .type = schema_type("PodSpec") };
        cJSON *spec = parse("{\"hostNetwork\":true}"), *port = parse("{\"containerPort\":1}");

        (void)unused;
        pod.sides[OURS] = spec;
        for (size_t i = 0; i < schema_types_count; i++) {
                const SchemaType *type = &schema_types[i];
                Spot object = { .up = &pod, .type = type, .sides = { port, NULL } };

                for (size_t j = 0; j < type->n; j++) {
                        const SchemaField *field = &schema_fields[type->first + j];

                        n_defaults += template_default(&object, field, OURS) != NULL;
                        n_counting += template_zero_counts(type, field);
                }
        }
        assert_int_equal(n_defaults, 44);
        assert_int_equal(n_counting, 28);
        cJSON_Delete(spec);
        cJSON_Delete(port);
}

/* What kubectl applied, and what a real API server made of it. */
static void a_real_one(void **unused) {
        const char *path = test_shared("apiserver/04-watch-daemonsets.http");
        _cleanup_free_ char *text = NULL;
        _cleanup_buf_ Buf out = BUF_INIT;
        size_t n = 0;

        (void)unused;
        if (!path)
                skip();
        text = test_read_file(path, NULL);
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
                _cleanup_json_ cJSON *event = NULL;
                _cleanup_free_ char *theirs = NULL;
                const char *ours;

                if (*line != '{' ||
                    json_parse(line, strlen(line), (Place){ 1, 1 }, NULL, NULL, &event, NULL, NULL, NULL) < 0)
                        continue;
                ours = json_string(json_path(event, "object.metadata.annotations"),
                                   "kubectl.kubernetes.io/last-applied-configuration");
                if (!ours)
                        continue;
                theirs = json_canonical_text(json_get(event, "object"), NULL);
                diff_texts(ours, theirs, &out);
                /* In the end only the image was changed. */
                if (out.len && !startswith(buf_text(&out), S "containers[0].image is "))
                        fail_msg("%s", buf_text(&out));
                n += out.len == 0;
        }
        assert_true(n > 0);
}

typedef struct OomPair {
        const Object *ours, *theirs;
} OomPair;

static int oom_body(void *user) {
        const OomPair *p = user;
        _cleanup_buf_ Buf out = BUF_INIT;

        return template_diff(p->ours, p->theirs, &out);
}

static void out_of_memory(void **unused) {
        _cleanup_objects_ Objects a = { 0 }, b = { 0 };
        OomPair p = { read_one(&a, IMAGE("a:1")), read_one(&b, SERVED_IMAGE("a:2", "IfNotPresent")) };

        (void)unused;
        (void)test_oom(oom_body, &p);
}

/* ---- main ---- */

static const struct CMUnitTest plain[] = {
        cmocka_unit_test(templates_of_the_cases),
        cmocka_unit_test(every_row_is_of_the_schema),
        cmocka_unit_test(a_real_one),
        cmocka_unit_test(out_of_memory),
};

static struct CMUnitTest tests[ARRAY_SIZE(plain) + ARRAY_SIZE(pairs) + ARRAY_SIZE(diffs)];

int main(void) {
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
                tests[n++] = plain[i];
        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
                tests[n++] = (struct CMUnitTest){ .name = pairs[i].what,
                                                  .test_func = pair,
                                                  .initial_state = (void *)&pairs[i] };
        for (size_t i = 0; i < ARRAY_SIZE(diffs); i++)
                tests[n++] = (struct CMUnitTest){ .name = diffs[i].what,
                                                  .test_func = difference,
                                                  .initial_state = (void *)&diffs[i] };
        return _cmocka_run_group_tests("template_diff", tests, n, NULL, NULL);
}
