/* SPDX-License-Identifier: Apache-2.0 */
/* Host ports of a pod, and which of them clash. */
#include "core/manifest.h"
#include "test.h"

#include <stdio.h>

static const struct PortRow {
        const char *name, *spec;
        const char *want; /* "ip/protocol/port " for each */
} port_rows[] = {
        { "no containers", "{}", "" },
        { "no spec", "null", "" },
        { "a container port alone is none", "{\"containers\":[{\"ports\":[{\"containerPort\":80}]}]}", "" },
        { "a host port", "{\"containers\":[{\"ports\":[{\"containerPort\":80,\"hostPort\":8080}]}]}", "/TCP/8080 " },
        { "address and protocol",
          "{\"containers\":[{\"ports\":[{\"hostIP\":\"127.0.0.1\",\"hostPort\":53,\"protocol\":\"UDP\"}]}]}",
          "127.0.0.1/UDP/53 " },
        { "an empty protocol", "{\"containers\":[{\"ports\":[{\"hostPort\":53,\"protocol\":\"\"}]}]}", "/TCP/53 " },
        { "hostNetwork", "{\"hostNetwork\":true,\"containers\":[{\"ports\":[{\"containerPort\":9100}]}]}",
          "/TCP/9100 " },
        { "hostNetwork and a host port",
          "{\"hostNetwork\":true,\"containers\":[{\"ports\":[{\"containerPort\":1,\"hostPort\":2}]}]}", "/TCP/2 " },
        { "hostNetwork false", "{\"hostNetwork\":false,\"containers\":[{\"ports\":[{\"containerPort\":1}]}]}", "" },
        { "several containers",
          "{\"containers\":[{\"ports\":[{\"hostPort\":1},{\"hostPort\":2}]},{},{\"ports\":[{\"hostPort\":3}]}]}",
          "/TCP/1 /TCP/2 /TCP/3 " },
        { "a sidecar",
          "{\"initContainers\":[{\"restartPolicy\":\"Always\",\"ports\":[{\"hostPort\":7}]}],\"containers\":[]}",
          "/TCP/7 " },
        { "an init container is no sidecar",
          "{\"initContainers\":[{\"ports\":[{\"hostPort\":7}]},{\"restartPolicy\":\"Never\",\"ports\":[{\"hostPort\":8}]}]}",
          "" },
        { "the highest port", "{\"containers\":[{\"ports\":[{\"hostPort\":65535}]}]}", "/TCP/65535 " },
        { "ports out of range",
          "{\"containers\":[{\"ports\":[{\"hostPort\":65536},{\"hostPort\":0},{\"hostPort\":-1}]}]}", "" },
        { "wrong types", "{\"containers\":[1,{\"ports\":{\"a\":2}},{\"ports\":[{\"hostPort\":\"80\"},3]}]}", "" },
        { "an address that is none counts as any",
          "{\"containers\":[{\"ports\":[{\"hostIP\":\"1234567890123456789012345678901234567890123456\",\"hostPort\":1}]}]}",
          "/TCP/1 " },
        { "the longest address",
          "{\"containers\":[{\"ports\":[{\"hostIP\":\"123456789012345678901234567890123456789012345\",\"hostPort\":1}]}]}",
          "123456789012345678901234567890123456789012345/TCP/1 " },
};

static cJSON *parse(const char *text) {
        cJSON *tree = NULL;
        Err err = { "" };
        Place place;

        if (json_parse(text, strlen(text), (Place){ 1, 1 }, NULL, NULL, &tree, NULL, &place, &err) < 0)
                fail_msg("%s: %s", text, err.message);
        return tree;
}

static void port_row(void **state) {
        const struct PortRow *row = *state;
        _cleanup_json_ cJSON *spec = parse(row->spec);
        _cleanup_buf_ Buf got = BUF_INIT;
        _cleanup_free_ HostPort *ports = NULL;
        size_t n;

        assert_int_equal(host_ports_from_spec(spec, &ports, &n), 0);
        for (size_t i = 0; i < n; i++)
                buf_printf(&got, "%s/%s/%u ", ports[i].ip, ports[i].protocol, ports[i].port);
        assert_string_equal(buf_text(&got), row->want);
}

static const struct ClashRow {
        const char *name;
        HostPort a, b;
        bool want;
} clash_rows[] = {
        { "the same", { "", "TCP", 80 }, { "", "TCP", 80 }, true },
        { "another port", { "", "TCP", 80 }, { "", "TCP", 81 }, false },
        { "another protocol", { "", "TCP", 53 }, { "", "UDP", 53 }, false },
        { "the same address", { "10.0.0.1", "TCP", 80 }, { "10.0.0.1", "TCP", 80 }, true },
        { "another address", { "10.0.0.1", "TCP", 80 }, { "10.0.0.2", "TCP", 80 }, false },
        { "any and one", { "", "TCP", 80 }, { "10.0.0.2", "TCP", 80 }, true },
        { "one and any", { "10.0.0.2", "TCP", 80 }, { "", "TCP", 80 }, true },
        { "IPv4's any and one", { "0.0.0.0", "TCP", 80 }, { "10.0.0.2", "TCP", 80 }, true },
        { "one and IPv6's any", { "10.0.0.2", "TCP", 80 }, { "::", "TCP", 80 }, true },
        { "IPv4's any and IPv6's any", { "0.0.0.0", "TCP", 80 }, { "::", "TCP", 80 }, true },
        { "IPv6 addresses", { "::1", "TCP", 80 }, { "::2", "TCP", 80 }, false },
        { "any, but another port", { "0.0.0.0", "TCP", 80 }, { "::", "TCP", 81 }, false },
};

static void clash_row(void **state) {
        const struct ClashRow *row = *state;

        assert_int_equal(host_ports_clash(&row->a, &row->b), row->want);
        assert_int_equal(host_ports_clash(&row->b, &row->a), row->want);
}

static int oom_ports(void *spec) {
        _cleanup_free_ HostPort *ports = NULL;
        size_t n;

        return host_ports_from_spec(spec, &ports, &n);
}

static void out_of_memory(void **state) {
        _cleanup_json_ cJSON *spec = parse("{\"containers\":[{\"ports\":[{\"hostPort\":80}]}]}");

        (void)state;
        test_oom(oom_ports, spec);
}

/* ---- all of it ---- */

static struct CMUnitTest tests[64];
static char names[64][128];
static size_t n_tests;

static void add(const char *what, const char *name, CMUnitTestFunction function, const void *row) {
        assert_true(n_tests < ARRAY_SIZE(tests));
        (void)snprintf(names[n_tests], sizeof(names[0]), "%s: %s", what, name);
        tests[n_tests] = (struct CMUnitTest){ names[n_tests], function, NULL, NULL, (void *)(uintptr_t)row };
        n_tests++;
}

#define ADD_ROWS(what, rows, function)                                                                                 \
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)                                                                  \
        add(what, (rows)[i].name, function, &(rows)[i])
#define ADD(what, function) add(what, #function, function, NULL)

int main(void) {
        ADD_ROWS("ports", port_rows, port_row);
        ADD_ROWS("clash", clash_rows, clash_row);
        ADD("memory", out_of_memory);
        return _cmocka_run_group_tests("host ports", tests, n_tests, NULL, NULL);
}
