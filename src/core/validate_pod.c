/* SPDX-License-Identifier: Apache-2.0 */
/* The pod as a whole: every field of its spec, and what must agree between its parts. */
#include "core/selector.h"
#include "core/validate.h"

#include <stdio.h>

/* ---- host ports: protocol, address and number may be taken once ---- */

typedef struct HostPort {
        const char *protocol, *ip;
        int64_t port;
        size_t container, index;
        const cJSON *item;
} HostPort;

typedef struct HostPorts {
        HostPort *items;
        size_t n, cap;
} HostPorts;

static void host_ports_done(HostPorts *p) {
        free(p->items);
}

/* Equal ones side by side, in the order of the input. */
static int compare_host_ports(const void *a, const void *b) {
        const HostPort *x = a, *y = b;
        int c = (x->port > y->port) - (x->port < y->port);

        if (c == 0)
                c = strcmp(x->protocol, y->protocol);
        if (c == 0)
                c = strcmp(x->ip, y->ip);
        if (c == 0)
                c = (x->container > y->container) - (x->container < y->container);
        return c ? c : (x->index > y->index) - (x->index < y->index);
}

static bool same_host_port(const HostPort *a, const HostPort *b) {
        return a->port == b->port && streq(a->protocol, b->protocol) && streq(a->ip, b->ip);
}

static void collect_host_ports(const At *container, HostPorts *into) {
        const cJSON *ports = json_get(container->item, "ports");
        size_t index = 0;

        for (const cJSON *c = cJSON_IsArray(ports) ? ports->child : NULL; c; c = c->next, index++) {
                const char *protocol = json_string(c, "protocol");
                int64_t port = 0;

                if (!json_int(json_get(c, "hostPort"), &port) && container->walk->pod->host_network)
                        (void)json_int(json_get(c, "containerPort"), &port);
                if (port == 0)
                        continue;
                if (!ARRAY_GROW(into->items, into->n, into->cap)) {
                        container->walk->diags->failed = true;
                        return;
                }
                into->items[into->n++] = (HostPort){
                        .protocol = protocol && *protocol ? protocol : "TCP",
                        .ip = str_or_empty(json_string(c, "hostIP")),
                        .port = port,
                        .container = container->index,
                        .index = index,
                        .item = c,
                };
        }
}

/* The host's ports of a list of containers that run at the same time. On the host's network a port without hostPort
 * takes the container's own number there, when the pod is made. */
static void check_host_ports(const At *list, HostPorts *ports) {
        if (ports->n)
                qsort(ports->items, ports->n, sizeof(*ports->items), compare_host_ports);
        for (size_t i = 1; i < ports->n; i++) {
                const HostPort *p = &ports->items[i];

                if (!same_host_port(p, p - 1))
                        continue;
                const cJSON *container = cJSON_GetArrayItem(list->item, (int)p->container);
                At c = at_index(list, p->container, container), all = at_field(&c, "ports");
                At port = at_index(&all, p->index, p->item), field = at_field(&port, "hostPort");

                refuse(&field, "%s port %lld of the host is taken already in this pod", p->protocol,
                       (long long)p->port);
        }
}

static void check_containers(const At *list) {
        __attribute__((cleanup(host_ports_done))) HostPorts ports = { 0 };

        for (each_at(container, list))
                collect_host_ports(&container, &ports);
        check_host_ports(list, &ports);
}

/* Init containers run one after the other; only their names share a space with the others. */
static void check_init_containers(const At *list) {
        const cJSON *others = json_get(list->walk->pod->spec, "containers");
        _cleanup_names_ NameSet names = { 0 };

        for (const cJSON *c = cJSON_IsArray(others) ? others->child : NULL; c; c = c->next)
                if (json_string(c, "name"))
                        (void)name_set_add(&names, json_string(c, "name"), list->walk->diags);
        for (each_at(container, list)) {
                __attribute__((cleanup(host_ports_done))) HostPorts ports = { 0 };
                At name = at_field(&container, "name");

                if (cJSON_IsString(name.item) && name_set_has(&names, name.item->valuestring))
                        refuse(&name, "\"%s\" is the name of a container already: must be unique",
                               QUOTED(name.item->valuestring));
                collect_host_ports(&container, &ports);
                check_host_ports(list, &ports);
        }
}

/* ---- DNS ---- */

static void check_searches(const At *searches) {
        size_t len = 0, n = 0;

        for (each_at(search, searches)) {
                len += cJSON_IsString(search.item) ? strlen(search.item->valuestring) + (n > 0) : 0;
                n++;
        }
        if (n > 32)
                refuse(searches, "%zu search domains: at most 32 are allowed", n);
        if (len > 2048)
                refuse(searches, "%zu characters in all: at most 2048 are allowed", len);
}

static void check_name_servers(const At *servers) {
        if (cJSON_GetArraySize(servers->item) > 3)
                refuse(servers, "%d name servers: at most 3 are allowed", cJSON_GetArraySize(servers->item));
}

static const Rule dns_option_rows[] = { { "name", .flags = REQUIRED } };
static const Rules dns_option_rules = RULES(dns_option_rows, NULL);

static const Rule dns_rows[] = {
        { "nameservers", LIST, .text = bad_ip, .all = check_name_servers },
        { "searches", LIST, .text = bad_search_domain, .all = check_searches },
        { "options", LIST, .rules = &dns_option_rules },
};
static const Rules dns_rules = RULES(dns_rows, NULL);

/* ---- small lists ---- */

static const Rule gate_rows[] = { { "conditionType", REQUIRED, .text = bad_label_key } };
static const Rules gate_rules = RULES(gate_rows, NULL);

static const Rule scheduling_gate_rows[] = { { "name", REQUIRED, .text = bad_label_key } };
static const Rules scheduling_gate_rules = RULES(scheduling_gate_rows, NULL);

static const Rule alias_rows[] = {
        { "ip", REQUIRED, .text = bad_ip },
        { "hostnames", LIST, .text = bad_dns_subdomain },
};
static const Rules alias_rules = RULES(alias_rows, NULL);

static const Rule os_rows[] = { { "name", REQUIRED, .choices = CHOICES("linux", "windows") } };
static const Rules os_rules = RULES(os_rows, NULL);

static void check_claim(const At *claim) {
        static const char *const sources[] = { "resourceClaimName", "resourceClaimTemplateName", NULL };

        (void)refuse_several(claim, sources, "of resourceClaimName and resourceClaimTemplateName",
                             "needs resourceClaimName or resourceClaimTemplateName");
}

static const Rule claim_rows[] = {
        { "name", REQUIRED, .text = bad_dns_label },
        { "resourceClaimName", EMPTY_COUNTS, .text = bad_dns_subdomain },
        { "resourceClaimTemplateName", EMPTY_COUNTS, .text = bad_dns_subdomain },
};
static const Rules claim_rules = RULES(claim_rows, check_claim);

static void check_grace(const At *grace) {
        int64_t seconds;

        if (json_int(grace->item, &seconds) && seconds < 0)
                warn(grace, "%lld is negative: Kubernetes takes it as 1", (long long)seconds);
}

/* The old name of serviceAccountName; it counts where the new one is absent. */
static void check_old_service_account(const At *account) {
        const char *s = cJSON_IsString(account->item) ? account->item->valuestring : "";

        if (*s && !*str_or_empty(json_string(account->up->item, "serviceAccountName")) && bad_dns_subdomain(s))
                refuse(account, "\"%s\" %s", QUOTED(s), bad_dns_subdomain(s));
}

/* ---- the pod ---- */

static void check_host_namespaces(const At *pod) {
        static const char *const fields[] = { "hostPID", "hostIPC", "hostNetwork" };
        At share = at_field(pod, "shareProcessNamespace");

        if (cJSON_IsTrue(share.item) && json_true(pod->item, "hostPID"))
                refuse(&share, "cannot be true together with hostPID");
        if (pod->walk->pod->host_users)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                At field = at_field(pod, fields[i]);

                if (cJSON_IsTrue(field.item))
                        refuse(&field, "cannot be true while hostUsers is false");
        }
}

static void check_host_name(const At *pod) {
        At override = at_field(pod, "hostnameOverride");

        if (!override.item)
                return;
        if (json_true(pod->item, "setHostnameAsFQDN"))
                refuse(&override, "not allowed together with setHostnameAsFQDN");
        if (pod->walk->pod->host_network)
                refuse(&override, "not allowed together with hostNetwork");
        if (cJSON_IsString(override.item) && strlen(override.item->valuestring) > 64)
                refuse(&override, "must be at most 64 characters");
}

static void check_dns_none(const At *pod) {
        At config = at_field(pod, "dnsConfig"), servers = at_field(&config, "nameservers");

        if (streq(json_string(pod->item, "dnsPolicy"), "None") && (!servers.item || !servers.item->child))
                refuse(&servers, "required: dnsPolicy None needs at least one name server");
}

static void check_pod(const At *pod) {
        check_host_namespaces(pod);
        check_host_name(pod);
        check_dns_none(pod);
}

static const Rule pod_rows[] = {
        { "volumes", LIST, .rules = &volume_rules, .unique = "name" },
        { "containers", REQUIRED | LIST, .rules = &container_rules, .all = check_containers, .unique = "name",
          .help = "a pod needs at least one container" },
        { "initContainers", LIST, .rules = &init_container_rules, .all = check_init_containers, .unique = "name" },
        { "ephemeralContainers", FORBIDDEN, .help = "a pod template cannot have them" },
        { "restartPolicy", 0, .choices = CHOICES("Always"), .help = "pods of a DaemonSet are always restarted" },
        { "activeDeadlineSeconds", FORBIDDEN, .help = "pods of a DaemonSet run without end" },
        { "terminationGracePeriodSeconds", 0, .check = check_grace },
        { "dnsPolicy", 0, .choices = CHOICES("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None") },
        { "dnsConfig", 0, .rules = &dns_rules },
        { "nodeSelector", 0, .check = check_labels },
        { "nodeName", 0, .text = bad_dns_subdomain },
        { "affinity", 0, .rules = &affinity_rules },
        { "tolerations", LIST, .rules = &toleration_rules },
        { "topologySpreadConstraints", LIST, .rules = &spread_rules },
        { "serviceAccountName", 0, .text = bad_dns_subdomain },
        { "serviceAccount", 0, .check = check_old_service_account },
        { "hostname", 0, .text = bad_dns_label },
        { "subdomain", 0, .text = bad_dns_label },
        { "hostnameOverride", EMPTY_COUNTS, .text = bad_dns_subdomain },
        { "hostAliases", LIST, .rules = &alias_rules },
        { "priorityClassName", 0, .text = bad_dns_subdomain },
        { "preemptionPolicy", EMPTY_COUNTS, .choices = CHOICES("PreemptLowerPriority", "Never") },
        { "runtimeClassName", EMPTY_COUNTS, .text = bad_dns_subdomain },
        { "overhead", 0, .check = check_resource_list },
        { "os", 0, .rules = &os_rules },
        { "readinessGates", LIST, .rules = &gate_rules },
        { "schedulingGates", LIST, .rules = &scheduling_gate_rules, .unique = "name" },
        { "resourceClaims", LIST, .rules = &claim_rules, .unique = "name" },
        { "resources", 0, .check = check_pod_resources },
        { "securityContext", 0, .rules = &pod_security_rules },
};
const Rules pod_rules = RULES(pod_rows, check_pod);
