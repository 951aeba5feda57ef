/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a pod of the API server: what is taken away of it changes nothing that counts, and what is said of it
 * holds together. */
#include "core/daemon_pod.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok) {
        if (!ok)
                __builtin_trap();
}

/* As a reflector keeps it: reduced, canonical. NULL: no JSON. */
static char *reduce(const char *bytes, size_t size, size_t *ret_len) {
        _cleanup_json_ cJSON *root = NULL;

        if (json_parse(bytes, size, (Place){ 1, 1 }, NULL, NULL, &root, NULL, NULL, NULL) < 0)
                return NULL;
        require(daemon_pod_reduce(root));
        return json_canonical_text(root, ret_len);
}

static void check_same(const DaemonPod *a, const DaemonPod *b) {
        require(streq(a->namespace, b->namespace) && streq(a->name, b->name) && streq(a->uid, b->uid));
        require(!a->daemonset == !b->daemonset && (!a->daemonset || streq(a->daemonset, b->daemonset)));
        require(a->here == b->here && a->pod == b->pod);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_daemon_pod_ DaemonPod pod = { 0 }, again = { 0 };
        _cleanup_free_ char *reduced = NULL, *twice = NULL;
        size_t len = 0, twice_len = 0;
        int r = daemon_pod_read((const char *)data, size, "node-a", &pod);

        require(r == 0 || r == -EBADMSG);
        reduced = reduce((const char *)data, size, &len);
        if (!reduced) {
                require(r < 0);
                return 0;
        }
        twice = reduce(reduced, len, &twice_len);
        require(twice && twice_len == len && memcmp(twice, reduced, len) == 0);
        require(daemon_pod_read(reduced, len, "node-a", &again) == r);
        if (r < 0)
                return 0;
        check_same(&pod, &again);
        require(*pod.name && (pod.here || pod.pod == POD_NONE));
        return 0;
}
