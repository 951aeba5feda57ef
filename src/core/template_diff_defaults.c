/* SPDX-License-Identifier: Apache-2.0 */
/* What an absent field of a pod template means: the defaults of Kubernetes 1.36 that its API server writes into
 * templates (SetDefaults_* and the +default marks) and into pods (SetDefaults_Pod, admission of service accounts), and
 * those that its documentation gives to an absent field. */
#include "core/render.h"
#include "core/template_diff_internal.h"

const Spot *spot_within(const Spot *spot, const char *type) {
        while (spot && !(spot->type && streq(spot->type->name, type)))
                spot = spot->up;
        return spot;
}

/* ---- defaults that other fields tell ---- */

static const char *pull_policy(const char *image) {
        return image_is_latest(image) ? "Always" : "IfNotPresent";
}

static const char *container_pull_policy(const Spot *object, int side) {
        return pull_policy(str_or_empty(json_string(object->sides[side], "image")));
}

static const char *volume_pull_policy(const Spot *object, int side) {
        return pull_policy(str_or_empty(json_string(object->sides[side], "reference")));
}

/* The name of long ago counts where the other is absent. */
static const char *service_account(const Spot *object, int side) {
        const char *old = str_or_empty(json_string(object->sides[side], "serviceAccount"));

        return *old ? old : "default";
}

static const char *host_port(const Spot *object, int side) {
        const Spot *pod = spot_within(object, "PodSpec");
        const cJSON *port = json_get(object->sides[side], "containerPort");

        return pod && json_true(pod->sides[side], "hostNetwork") && json_is_number(port) ? port->valuestring : NULL;
}

/* ---- the table ---- */

typedef struct Default {
        const char *type, *field, *value;
        const char *(*find)(const Spot *object, int side);
} Default;

static const Default defaults[] = {
        { "AzureDiskVolumeSource", "cachingMode", "ReadWrite", NULL },
        { "AzureDiskVolumeSource", "fsType", "ext4", NULL },
        { "AzureDiskVolumeSource", "kind", "Shared", NULL },
        { "ConfigMapVolumeSource", "defaultMode", "420", NULL },
        { "Container", "imagePullPolicy", NULL, container_pull_policy },
        { "Container", "terminationMessagePath", "/dev/termination-log", NULL },
        { "Container", "terminationMessagePolicy", "File", NULL },
        { "ContainerPort", "hostPort", NULL, host_port },
        { "ContainerPort", "protocol", "TCP", NULL },
        { "DownwardAPIVolumeSource", "defaultMode", "420", NULL },
        { "HTTPGetAction", "path", "/", NULL },
        { "HTTPGetAction", "scheme", "HTTP", NULL },
        { "ISCSIVolumeSource", "iscsiInterface", "default", NULL },
        { "ImageVolumeSource", "pullPolicy", NULL, volume_pull_policy },
        { "ObjectFieldSelector", "apiVersion", "v1", NULL },
        { "PersistentVolumeClaimSpec", "volumeMode", "Filesystem", NULL },
        { "PodCertificateProjection", "maxExpirationSeconds", "86400", NULL },
        { "PodSpec", "dnsPolicy", "ClusterFirst", NULL },
        { "PodSpec", "enableServiceLinks", "true", NULL },
        { "PodSpec", "hostUsers", "true", NULL },
        { "PodSpec", "restartPolicy", "Always", NULL },
        { "PodSpec", "schedulerName", "default-scheduler", NULL },
        { "PodSpec", "serviceAccountName", NULL, service_account },
        { "PodSpec", "terminationGracePeriodSeconds", "30", NULL },
        { "Probe", "failureThreshold", "3", NULL },
        { "Probe", "periodSeconds", "10", NULL },
        { "Probe", "successThreshold", "1", NULL },
        { "Probe", "timeoutSeconds", "1", NULL },
        { "ProjectedVolumeSource", "defaultMode", "420", NULL },
        { "RBDVolumeSource", "keyring", "/etc/ceph/keyring", NULL },
        { "RBDVolumeSource", "pool", "rbd", NULL },
        { "RBDVolumeSource", "user", "admin", NULL },
        { "ResourceFieldSelector", "divisor", "1", NULL },
        { "ScaleIOVolumeSource", "fsType", "xfs", NULL },
        { "ScaleIOVolumeSource", "storageMode", "ThinProvisioned", NULL },
        { "SecretVolumeSource", "defaultMode", "420", NULL },
        { "SecurityContext", "procMount", "Default", NULL },
        { "ServiceAccountTokenProjection", "expirationSeconds", "3600", NULL },
        { "Toleration", "operator", "Equal", NULL },
        { "TopologySpreadConstraint", "minDomains", "1", NULL },
        { "TopologySpreadConstraint", "nodeAffinityPolicy", "Honor", NULL },
        { "TopologySpreadConstraint", "nodeTaintsPolicy", "Ignore", NULL },
        { "VolumeMount", "mountPropagation", "None", NULL },
        { "VolumeMount", "recursiveReadOnly", "Disabled", NULL },
};

const char *template_default(const Spot *object, const SchemaField *field, int side) {
        for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
                if (streq(defaults[i].field, field->name) && streq(defaults[i].type, object->type->name))
                        return defaults[i].find ? defaults[i].find(object, side) : defaults[i].value;
        return NULL;
}

/* ---- zeros ---- */

/* Most fields are left out of what the API server gives where they are zero. Here a pointer tells 0 from nothing. */
static const char *const counting[][2] = {
        { "ClusterTrustBundleProjection", "labelSelector" },
        { "ConfigMapVolumeSource", "defaultMode" },
        { "DownwardAPIVolumeFile", "mode" },
        { "DownwardAPIVolumeSource", "defaultMode" },
        { "EmptyDirVolumeSource", "sizeLimit" },
        { "FCVolumeSource", "lun" },
        { "KeyToPath", "mode" },
        { "PersistentVolumeClaimSpec", "selector" },
        { "PersistentVolumeClaimSpec", "storageClassName" },
        { "PodAffinityTerm", "labelSelector" },
        { "PodAffinityTerm", "namespaceSelector" },
        { "PodSecurityContext", "fsGroup" },
        { "PodSecurityContext", "runAsGroup" },
        { "PodSecurityContext", "runAsUser" },
        { "PodSpec", "automountServiceAccountToken" },
        { "PodSpec", "enableServiceLinks" },
        { "PodSpec", "hostUsers" },
        { "PodSpec", "terminationGracePeriodSeconds" },
        { "ProjectedVolumeSource", "defaultMode" },
        { "SecretVolumeSource", "defaultMode" },
        { "SecurityContext", "allowPrivilegeEscalation" },
        { "SecurityContext", "runAsGroup" },
        { "SecurityContext", "runAsNonRoot" },
        { "SecurityContext", "runAsUser" },
        { "Toleration", "tolerationSeconds" },
        { "TopologySpreadConstraint", "labelSelector" },
        { "Volume", "downwardAPI" },
        { "Volume", "projected" },
};

bool template_zero_counts(const SchemaType *type, const SchemaField *field) {
        for (size_t i = 0; i < ARRAY_SIZE(counting); i++)
                if (streq(counting[i][1], field->name) && streq(counting[i][0], type->name))
                        return true;
        return false;
}

/* ---- the rest ---- */

bool template_is_ignored(const SchemaType *type, const SchemaField *field) {
        if (streq(type->name, "ObjectMeta"))
                return !streq(field->name, "annotations") && !streq(field->name, "labels") &&
                       !streq(field->name, "finalizers");
        return streq(type->name, "PodSpec") && streq(field->name, "serviceAccount");
}

/* A container without a request has that of its limit. */
const cJSON *template_twin(const Spot *object, const SchemaField *field, int side) {
        bool of_container = streq(object->type->name, "ResourceRequirements") && object->up && object->up->type &&
                            streq(object->up->type->name, "Container");

        return of_container && streq(field->name, "requests") ? json_get(object->sides[side], "limits") : NULL;
}
