/* SPDX-License-Identifier: Apache-2.0 */
/* Probes and lifecycle hooks: what they do, and when. */
#include "core/validate.h"

/* ---- actions ---- */

static void check_port_or_name(const At *port) {
        const char *wrong = cJSON_IsString(port->item) ? bad_port_name(port->item->valuestring) : NULL;
        int64_t number;

        if (wrong)
                refuse(port, "\"%s\" %s", QUOTED(port->item->valuestring), wrong);
        if (json_int(port->item, &number) && (number < 1 || number > 65535))
                refuse(port, "%lld is out of range: must be from 1 to 65535", (long long)number);
}

static const Rule exec_rows[] = { { "command", .flags = REQUIRED } };
static const Rules exec_rules = RULES(exec_rows, NULL);

static const Rule header_rows[] = { { "name", REQUIRED, .text = bad_header_name } };
static const Rules header_rules = RULES(header_rows, NULL);

static const Rule http_rows[] = {
        { "port", REQUIRED, .check = check_port_or_name },
        { "scheme", 0, .choices = CHOICES("HTTP", "HTTPS") },
        { "httpHeaders", LIST, .rules = &header_rules },
};
static const Rules http_rules = RULES(http_rows, NULL);

static const Rule tcp_rows[] = { { "port", REQUIRED, .check = check_port_or_name } };
static const Rules tcp_rules = RULES(tcp_rows, NULL);

static const Rule grpc_rows[] = { { "port", REQUIRED, RANGE(1, 65535) } };
static const Rules grpc_rules = RULES(grpc_rows, NULL);

static void check_sleep(const At *sleep) {
        At at = at_field(sleep, "seconds");
        int64_t seconds, grace = sleep->walk->pod->grace_seconds;

        if (json_int(at.item, &seconds) && (seconds < 0 || seconds > grace))
                refuse(&at, "%lld is out of range: must be from 0 to terminationGracePeriodSeconds, %lld",
                       (long long)seconds, (long long)grace);
}

/* ---- probes ---- */

#define PROBE_ROWS                                                                                                     \
        { "exec", 0, .rules = &exec_rules }, { "httpGet", 0, .rules = &http_rules },                                   \
                { "tcpSocket", 0, .rules = &tcp_rules }, { "grpc", 0, .rules = &grpc_rules },                          \
                { "initialDelaySeconds", 0, NOT_NEGATIVE }, { "timeoutSeconds", 0, NOT_NEGATIVE },                     \
                { "periodSeconds", 0, NOT_NEGATIVE }, {                                                                \
                "failureThreshold", 0, NOT_NEGATIVE                                                                    \
        }

static void check_probe(const At *probe) {
        static const char *const actions[] = { "exec", "httpGet", "tcpSocket", "grpc", NULL };

        (void)refuse_several(probe, actions, "action", "needs one of exec, httpGet, tcpSocket and grpc");
}

static void check_success_once(const At *threshold) {
        int64_t value;

        if (json_int(threshold->item, &value) && value != 1 && value != 0)
                refuse(threshold, "%lld must be 1 for a liveness or startup probe", (long long)value);
}

static const Rule liveness_rows[] = {
        PROBE_ROWS,
        { "successThreshold", 0, .check = check_success_once },
        { "terminationGracePeriodSeconds", 0, RANGE(1, INT64_MAX) },
};
const Rules liveness_rules = RULES(liveness_rows, check_probe);

static const Rule readiness_rows[] = {
        PROBE_ROWS,
        { "successThreshold", 0, NOT_NEGATIVE },
        { "terminationGracePeriodSeconds", FORBIDDEN, .help = "a readiness probe ends nothing" },
};
const Rules readiness_rules = RULES(readiness_rows, check_probe);

/* ---- lifecycle (stopSignal belongs to a gate that is off: the API server drops it unseen) ---- */

static void check_hook(const At *hook) {
        static const char *const actions[] = { "exec", "httpGet", "tcpSocket", "sleep", NULL };

        (void)refuse_several(hook, actions, "action", "needs one of exec, httpGet, tcpSocket and sleep");
}

static const Rule hook_rows[] = {
        { "exec", 0, .rules = &exec_rules },
        { "httpGet", 0, .rules = &http_rules },
        { "tcpSocket", 0, .rules = &tcp_rules },
        { "sleep", 0, .check = check_sleep },
};
static const Rules hook_rules = RULES(hook_rows, check_hook);

static const Rule lifecycle_rows[] = {
        { "postStart", 0, .rules = &hook_rules },
        { "preStop", 0, .rules = &hook_rules },
};
const Rules lifecycle_rules = RULES(lifecycle_rows, NULL);
