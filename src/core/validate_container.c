/* SPDX-License-Identifier: Apache-2.0 */
/* Containers: ports, mounts, probes' owners, restart rules. */
#include "core/validate.h"

/* ---- ports ---- */

static void check_port(const At *port) {
        At host = at_field(port, "hostPort"), ip = at_field(port, "hostIP");
        int64_t host_port = 0, container_port = 0;

        (void)json_int(host.item, &host_port);
        (void)json_int(json_get(port->item, "containerPort"), &container_port);
        if (port->walk->pod->host_network && host_port != 0 && host_port != container_port)
                refuse(&host, "%lld must be equal to containerPort, %lld, because hostNetwork is true",
                       (long long)host_port, (long long)container_port);
        if (cJSON_IsString(ip.item) && *ip.item->valuestring && bad_ip(ip.item->valuestring))
                warn(&ip, "\"%s\" %s", QUOTED(ip.item->valuestring), bad_ip(ip.item->valuestring));
}

static const Rule port_rows[] = {
        { "containerPort", REQUIRED, RANGE(1, 65535) },
        { "hostPort", 0, RANGE(0, 65535) },
        { "protocol", 0, .choices = CHOICES("TCP", "UDP", "SCTP") },
        { "name", 0, .text = bad_port_name },
};
static const Rules port_rules = RULES(port_rows, check_port);

/* ---- volume mounts and devices ---- */

static void refuse_unknown_volume(const At *name) {
        const cJSON *volumes = json_get(name->walk->pod->spec, "volumes");
        _cleanup_buf_ Buf known = BUF_INIT;

        for (const cJSON *c = cJSON_IsArray(volumes) ? volumes->child : NULL; c; c = c->next) {
                if (known.len > 200) {
                        buf_str(&known, ", ...");
                        break;
                }
                if (json_string(c, "name"))
                        buf_printf(&known, "%s%s", known.len ? ", " : "", QUOTED(json_string(c, "name")));
        }
        refuse(name, "no volume named \"%s\" (%s%s)", QUOTED(name->item->valuestring),
               known.len ? "volumes: " : "the pod has no volumes", buf_text(&known));
        name->walk->diags->failed |= known.failed;
}

static void check_volume_name(const At *name) {
        if (cJSON_IsString(name->item) && !name_set_has(&name->walk->pod->volumes, name->item->valuestring))
                refuse_unknown_volume(name);
}

static void check_propagation(const At *propagation) {
        const At *container = at_up(propagation, 3);
        const cJSON *context = json_get(container->item, "securityContext");

        if (cJSON_IsString(propagation->item) && streq(propagation->item->valuestring, "Bidirectional") &&
            !json_true(context, "privileged"))
                refuse(propagation, "Bidirectional is for privileged containers only");
}

static void check_recursive(const At *recursive) {
        const cJSON *mount = recursive->up->item;
        const char *propagation = json_string(mount, "mountPropagation");

        if (!cJSON_IsString(recursive->item) || streq(recursive->item->valuestring, "Disabled"))
                return;
        if (!json_true(mount, "readOnly"))
                refuse(recursive, "needs readOnly: true");
        if (propagation && !streq(propagation, "None"))
                refuse(recursive, "needs mountPropagation None or none at all");
}

static void check_sub_path(const At *mount) {
        At expression = at_field(mount, "subPathExpr");

        if (*str_or_empty(json_string(mount->item, "subPath")) &&
            *str_or_empty(json_string(mount->item, "subPathExpr")))
                refuse(&expression, "not allowed together with subPath");
}

static const Rule mount_rows[] = {
        { "name", REQUIRED, .check = check_volume_name },
        { "mountPath", .flags = REQUIRED },
        { "subPath", 0, .text = bad_relative_path },
        { "subPathExpr", 0, .text = bad_relative_path },
        { "mountPropagation", EMPTY_COUNTS, .choices = CHOICES("None", "HostToContainer", "Bidirectional"),
          .check = check_propagation },
        { "recursiveReadOnly", EMPTY_COUNTS, .choices = CHOICES("Disabled", "IfPossible", "Enabled"),
          .check = check_recursive },
};
static const Rules mount_rules = RULES(mount_rows, check_sub_path);

static void check_device_volume(const At *name) {
        const PodFacts *pod = name->walk->pod;

        check_volume_name(name);
        if (cJSON_IsString(name->item) && name_set_has(&pod->volumes, name->item->valuestring) &&
            !name_set_has(&pod->block_volumes, name->item->valuestring))
                refuse(name, "only persistentVolumeClaim and ephemeral volumes can be block devices");
}

static const Rule device_rows[] = {
        { "name", REQUIRED, .check = check_device_volume },
        { "devicePath", REQUIRED, .text = bad_back_steps },
};
static const Rules device_rules = RULES(device_rows, NULL);

static void check_devices(const At *devices) {
        At mounts = at_field(devices->up, "volumeMounts");
        _cleanup_names_ NameSet names = { 0 }, paths = { 0 };

        refuse_repeated(devices, "devicePath");
        if (!devices->walk->pod->host_users)
                refuse(devices, "not allowed while hostUsers is false");
        for (each_at(device, devices)) {
                if (json_string(device.item, "name"))
                        (void)name_set_add(&names, json_string(device.item, "name"), devices->walk->diags);
                if (json_string(device.item, "devicePath"))
                        (void)name_set_add(&paths, json_string(device.item, "devicePath"), devices->walk->diags);
        }
        if (!cJSON_IsArray(mounts.item))
                return;
        for (each_at(mount, &mounts)) {
                At name = at_field(&mount, "name"), path = at_field(&mount, "mountPath");

                if (cJSON_IsString(name.item) && name_set_has(&names, name.item->valuestring))
                        refuse(&name, "the volume is among volumeDevices already");
                if (cJSON_IsString(path.item) && name_set_has(&paths, path.item->valuestring))
                        refuse(&path, "the path is among volumeDevices already");
        }
}

/* ---- restart and resize policies ---- */

static const Rule exit_code_rows[] = { { "operator", REQUIRED, .choices = CHOICES("In", "NotIn") } };
static const Rules exit_code_rules = RULES(exit_code_rows, NULL);

static const Rule restart_rule_rows[] = {
        { "action", REQUIRED, .choices = CHOICES("Restart", "RestartAllContainers") },
        { "exitCodes", REQUIRED, .rules = &exit_code_rules },
};
static const Rules restart_rule_rules = RULES(restart_rule_rows, NULL);

static void check_restart_rules(const At *rules) {
        At policy = at_field(rules->up, "restartPolicy");

        if (cJSON_GetArraySize(rules->item) > 20)
                refuse(rules, "at most 20 rules are allowed");
        if (rules->item->child && !policy.item)
                refuse(&policy, "required beside restartPolicyRules");
}

static const Rule resize_rows[] = {
        { "resourceName", REQUIRED, .choices = CHOICES("cpu", "memory") },
        { "restartPolicy", REQUIRED, .choices = CHOICES("NotRequired", "RestartContainer") },
};
static const Rules resize_rules = RULES(resize_rows, NULL);

/* ---- containers ---- */

static bool is_space(char c) {
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The API server takes such a template, but refuses every pod that is made of it. */
static void check_image(const At *image) {
        const char *s = cJSON_IsString(image->item) ? image->item->valuestring : "";

        if (*s && (is_space(s[0]) || is_space(s[strlen(s) - 1])))
                refuse(image, "\"%s\" must not have leading or trailing whitespace", QUOTED(s));
}

#define CONTAINER_ROWS                                                                                                 \
        { "name", REQUIRED, .text = bad_dns_label }, { "image", REQUIRED, .check = check_image },                      \
                { "imagePullPolicy", 0, .choices = CHOICES("Always", "IfNotPresent", "Never") },                       \
                { "terminationMessagePolicy", 0, .choices = CHOICES("File", "FallbackToLogsOnError") },                \
                { "ports", LIST, .rules = &port_rules, .unique = "name" }, { "env", LIST, .rules = &env_rules },       \
                { "envFrom", LIST, .rules = &env_from_rules },                                                         \
                { "volumeMounts", LIST, .rules = &mount_rules, .unique = "mountPath" },                                \
                { "volumeDevices", LIST, .rules = &device_rules, .unique = "name", .all = check_devices },             \
                { "resources", 0, .check = check_resources },                                                          \
                { "resizePolicy", LIST, .rules = &resize_rules, .unique = "resourceName" },                            \
                { "securityContext", 0, .rules = &security_rules },                                                    \
                { "restartPolicy", EMPTY_COUNTS, .choices = CHOICES("Always", "OnFailure", "Never") }, {               \
                "restartPolicyRules", LIST, .rules = &restart_rule_rules, .all = check_restart_rules                   \
        }

static const Rule container_rows[] = {
        CONTAINER_ROWS,
        { "lifecycle", 0, .rules = &lifecycle_rules },
        { "livenessProbe", 0, .rules = &liveness_rules },
        { "readinessProbe", 0, .rules = &readiness_rules },
        { "startupProbe", 0, .rules = &liveness_rules },
};
const Rules container_rules = RULES(container_rows, NULL);

/* Sidecars are watched as other containers are; what runs once and ends is not. */
static void check_init_container(const At *container) {
        static const char *const watched[] = { "lifecycle", "livenessProbe", "readinessProbe", "startupProbe" };
        const char *policy = json_string(container->item, "restartPolicy");
        At resize = at_field(container, "resizePolicy");

        if (streq(policy, "Always")) {
                static const Rules sidecar_rules = {
                        .rows = container_rows + ARRAY_SIZE(container_rows) - ARRAY_SIZE(watched),
                        .n = ARRAY_SIZE(watched),
                };

                rules_apply(&sidecar_rules, container);
                return;
        }
        for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
                At field = at_field(container, watched[i]);

                if (field.item)
                        refuse(&field, "not allowed for an init container without restartPolicy: Always");
        }
        if (!cJSON_IsArray(resize.item))
                return;
        for (each_at(item, &resize)) {
                At restart = at_field(&item, "restartPolicy");

                if (streq(json_string(item.item, "restartPolicy"), "RestartContainer"))
                        refuse(&restart, "RestartContainer is not for an init container without restartPolicy: Always");
        }
}

static const Rule init_container_rows[] = { CONTAINER_ROWS };
const Rules init_container_rules = RULES(init_container_rows, check_init_container);
