/* SPDX-License-Identifier: Apache-2.0 */
/* bench_reconcile N DIR: N generated DaemonSets in DIR (made anew); times of the parts of a pass in which nothing
 * changes. */
#include "app/wanted.h"
#include "io/store.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void die(const char *what, const Err *err) {
        (void)fprintf(stderr, "bench_reconcile: %s: %s\n", what, err ? err->message : strerror(errno));
        exit(1);
}

static void generate(const char *dir, size_t n) {
        char path[4096 + 32];

        for (size_t i = 0; i < n; i++) {
                FILE *f;

                (void)snprintf(path, sizeof(path), "%s/ds-%05zu.yaml", dir, i);
                f = fopen(path, "we");
                if (!f)
                        die(path, NULL);
                (void)fprintf(
                        f,
                        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata:\n  name: ds-%05zu\n  namespace: kube-system\n"
                        "spec:\n  selector:\n    matchLabels: {app: ds-%05zu}\n  template:\n    metadata:\n"
                        "      labels: {app: ds-%05zu}\n    spec:\n      nodeSelector: {kubernetes.io/os: linux}\n"
                        "      tolerations:\n      - operator: Exists\n      containers:\n      - name: main\n"
                        "        image: registry.example.com/agent-%zu:v1.2.3\n        args: [--verbose, --node=a]\n"
                        "        resources:\n          requests: {cpu: 100m, memory: 50Mi}\n        volumeMounts:\n"
                        "        - {name: run, mountPath: /run/agent}\n      volumes:\n"
                        "      - name: run\n        hostPath: {path: /run/agent, type: DirectoryOrCreate}\n",
                        i, i, i, i);
                (void)fclose(f);
        }
}

static void make_dir(char *path, size_t size, const char *dir, const char *name) {
        (void)snprintf(path, size, "%s/%s", dir, name);
        if (mkdir(path, 0755) < 0)
                die(path, NULL);
}

static void plan(const StoreSnapshot *snapshot, const Wanted *wanted, Plan *ret) {
        const PlanFacts facts = { .wanted = wanted->wanted,
                                  .n_wanted = wanted->n,
                                  .present = snapshot->present,
                                  .n_present = snapshot->n_present,
                                  .written = snapshot->written,
                                  .n_written = snapshot->n_written,
                                  .local_read = true,
                                  .local_complete = true,
                                  .all_synced = true };

        if (plan_make(&facts, ret) < 0)
                die("plan", NULL);
}

int main(int argc, char **argv) {
        char sources[4096], manifests[4096], state[4096];
        StoreOptions options = { .manifest_dir = manifests, .state_dir = state };
        NodeView node = { 0 };
        LocalSnapshot local;
        Wanted wanted;
        WantedFacts facts = { .node = &node, .node_known = true, .decide.tolerate_unready = true, .local = &local };
        StoreSnapshot snapshot;
        StoreResult result;
        Store *store;
        Plan first, second;
        Err err = { 0 };
        double t[6], written;

        if (argc != 3)
                return 64;
        make_dir(sources, sizeof(sources), argv[2], "daemonsets.d");
        make_dir(manifests, sizeof(manifests), argv[2], "manifests");
        (void)snprintf(state, sizeof(state), "%s/state", argv[2]);
        generate(sources, strtoul(argv[1], NULL, 10));
        node.name = strdup("node-1");
        (void)node_view_set_label(&node, "kubernetes.io/os", "linux");
        facts.render = (RenderOptions){ .node_name = node.name, .volumes_dir = "/var/lib/daemonlet/volumes" };

        t[0] = now_ms();
        if (source_dir_read(sources, false, NULL, 0, &local) < 0 || !local.complete)
                die("sources", NULL);
        t[1] = now_ms();
        if (wanted_make(&facts, &wanted) < 0)
                die("wanted", NULL);
        t[2] = now_ms();
        if (store_open(&options, &store, &err) < 0 || store_scan(store, &snapshot, &err) < 0)
                die("store", &err);
        plan(&snapshot, &wanted, &first);
        if (store_apply(store, &first, 1, &result, &err) < 0)
                die("apply", &err);
        written = now_ms();
        /* What has rested and was read is not read again: an agent's ordinary pass. */
        (void)sleep(4);
        if (store_scan(store, &snapshot, &err) < 0)
                die("scan", &err);
        t[3] = now_ms();
        if (store_scan(store, &snapshot, &err) < 0)
                die("scan", &err);
        t[4] = now_ms();
        plan(&snapshot, &wanted, &second);
        t[5] = now_ms();
        if (first.n_steps < strtoul(argv[1], NULL, 10))
                die("the first plan lacks steps", NULL);
        if (second.n_steps > 0)
                die("the second plan has steps", NULL);
        (void)printf("%s %.2f %.2f %.2f %.2f %.2f\n", argv[1], t[1] - t[0], t[2] - t[1], written - t[2], t[4] - t[3],
                     t[5] - t[4]);
        plan_done(&first);
        plan_done(&second);
        wanted_done(&wanted);
        local_snapshot_done(&local);
        node_view_done(&node);
        store_free(store);
        return 0;
}
