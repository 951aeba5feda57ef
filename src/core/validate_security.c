/* SPDX-License-Identifier: Apache-2.0 */
/* Security contexts of pods and containers. */
#include "core/validate.h"

#define USER_ID RANGE(0, INT32_MAX)

/* ---- profiles ---- */

static void check_local_profile(const At *profile, TextCheck text) {
        At name = at_field(profile, "localhostProfile");
        bool local = streq(json_string(profile->item, "type"), "Localhost");

        if (local && !name.item)
                refuse(&name, "required with type Localhost");
        else if (!local && name.item)
                refuse(&name, "only together with type Localhost");
        else if (cJSON_IsString(name.item) && text(name.item->valuestring))
                refuse(&name, "\"%s\" %s", QUOTED(name.item->valuestring), text(name.item->valuestring));
}

static void check_seccomp(const At *profile) {
        check_local_profile(profile, bad_relative_path);
}

static const char *bad_apparmor_name(const char *s) {
        size_t len = strlen(s);

        if (len == 0 || len > 4095)
                return "must be from 1 to 4095 characters";
        return s[0] <= ' ' || s[len - 1] == ' ' ? "must not be padded with whitespace" : NULL;
}

static void check_apparmor(const At *profile) {
        check_local_profile(profile, bad_apparmor_name);
}

static const Rule profile_rows[] = {
        { "type", REQUIRED, .choices = CHOICES("Localhost", "RuntimeDefault", "Unconfined") },
};
static const Rules seccomp_rules = RULES(profile_rows, check_seccomp);
static const Rules apparmor_rules = RULES(profile_rows, check_apparmor);

/* ---- containers ---- */

static void check_proc_mount(const At *mount) {
        if (cJSON_IsString(mount->item) && streq(mount->item->valuestring, "Unmasked") && mount->walk->pod->host_users)
                refuse(mount, "Unmasked needs hostUsers: false");
}

static void check_privileges(const At *context) {
        At escalation = at_field(context, "allowPrivilegeEscalation");
        const cJSON *add = json_get(json_get(context->item, "capabilities"), "add");

        if (!cJSON_IsFalse(escalation.item))
                return;
        if (json_true(context->item, "privileged"))
                refuse(&escalation, "cannot be false while privileged is true");
        for (const cJSON *c = cJSON_IsArray(add) ? add->child : NULL; c; c = c->next)
                if (cJSON_IsString(c) && streq(c->valuestring, "CAP_SYS_ADMIN"))
                        refuse(&escalation, "cannot be false while CAP_SYS_ADMIN is added");
}

static const Rule security_rows[] = {
        { "runAsUser", 0, USER_ID },
        { "runAsGroup", 0, USER_ID },
        { "procMount", EMPTY_COUNTS, .choices = CHOICES("Default", "Unmasked"), .check = check_proc_mount },
        { "seccompProfile", 0, .rules = &seccomp_rules },
        { "appArmorProfile", 0, .rules = &apparmor_rules },
};
const Rules security_rules = RULES(security_rows, check_privileges);

/* ---- pods ---- */

/* Sysctls of a namespace that the pod shares with the host would change the host. */
static void check_host_sysctl(const At *name) {
        static const char *const ipc[] = { "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue." };
        const cJSON *pod = name->walk->pod->spec;
        char dotted[256];
        size_t i;

        if (!cJSON_IsString(name->item) || strlen(name->item->valuestring) >= sizeof(dotted))
                return;
        for (i = 0; name->item->valuestring[i]; i++)
                dotted[i] = name->item->valuestring[i] == '/' ? '.' : name->item->valuestring[i];
        dotted[i] = 0;
        if (startswith(dotted, "net.") && name->walk->pod->host_network)
                refuse(name, "not allowed together with hostNetwork");
        for (i = 0; i < ARRAY_SIZE(ipc); i++)
                if (startswith(dotted, ipc[i]) && json_true(pod, "hostIPC"))
                        refuse(name, "not allowed together with hostIPC");
}

static const Rule sysctl_rows[] = { { "name", REQUIRED, .text = bad_sysctl_name, .check = check_host_sysctl } };
static const Rules sysctl_rules = RULES(sysctl_rows, NULL);

static const Rule pod_security_rows[] = {
        { "runAsUser", 0, USER_ID },
        { "runAsGroup", 0, USER_ID },
        { "fsGroup", 0, USER_ID },
        { "supplementalGroups", LIST, USER_ID },
        { "fsGroupChangePolicy", EMPTY_COUNTS, .choices = CHOICES("OnRootMismatch", "Always") },
        { "supplementalGroupsPolicy", EMPTY_COUNTS, .choices = CHOICES("Merge", "Strict") },
        { "seLinuxChangePolicy", EMPTY_COUNTS, .choices = CHOICES("Recursive", "MountOption") },
        { "sysctls", LIST, .rules = &sysctl_rules, .unique = "name" },
        { "seccompProfile", 0, .rules = &seccomp_rules },
        { "appArmorProfile", 0, .rules = &apparmor_rules },
};
const Rules pod_security_rules = RULES(pod_security_rows, NULL);
