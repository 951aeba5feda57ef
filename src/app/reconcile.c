/* SPDX-License-Identifier: Apache-2.0 */
#include "app/reconcile_internal.h"
#include "app/requests.h"
#include "app/theirs.h"
#include "io/clock.h"
#include "io/witness.h"

#include <errno.h>

/* A kubelet that is stopped was set as it was. */
static int as_the_last(Reconcile *r, KubeletSettings *last) {
        KubeletSettings kept = { 0 };
        int e = 1;

        if (r->kubelet.running)
                return 0;
        if (last && last->running) {
                kept = *last;
                *last = (KubeletSettings){ 0 };
        } else
                e = kubelet_settings_last(r->config.state_dir, r->config.kubelet_proc_dir, &kept);
        if (e <= 0)
                return e;
        kubelet_settings_done(&r->kubelet);
        r->kubelet = kept;
        return 0;
}

int reconcile_open(const Options *options, KubeletSettings *last_kubelet, Reconcile *r, Err *err) {
        _cleanup_free_ char *last = NULL;
        StoreOptions store_options;
        int e;

        e = setup_config(options, &r->config, err);
        if (e == 0)
                e = setup_kubelet(&r->config, &r->kubelet);
        if (e == 0)
                e = as_the_last(r, last_kubelet);
        if (e == 0)
                e = kubelet_boot_id(r->config.kubelet_proc_dir, &r->boot);
        if (e == 0)
                e = store_last_manifest_dir(r->config.state_dir, &last);
        if (e == 0)
                e = setup_manifest_dir(&r->config, &r->kubelet, last, &r->manifest_dir, err);
        if (e < 0)
                return e == -ENOMEM ? err_oom(err) : e;
        store_options = (StoreOptions){
                .manifest_dir = r->manifest_dir,
                .state_dir = r->config.state_dir,
                .read_only = options->dry_run,
        };
        e = store_open(&store_options, &r->store, err);
        if (e == 0)
                e = setup_volumes_dir(&r->config, &r->volumes_dir, err);
        if (e == 0 && !options->dry_run &&
            kubelet_settings_keep(r->config.state_dir, r->config.kubelet_proc_dir, &r->kubelet) < 0)
                e = err_oom(err);
        if (e == 0 && (setup_ca(&r->config, &r->kubelet, &r->ca_crt, &r->ca_crt_len, &r->ca_note) < 0 ||
                       setup_last_ca(&r->config, options->dry_run, &r->ca_crt, &r->ca_crt_len) < 0))
                e = err_oom(err);
        r->hold_warning = api_hold_warning(&r->config, &r->kubelet);
        return e;
}

/* ---- reading ---- */

static int read_local(const Options *options, Reconcile *r, Err *err) {
        _cleanup_free_ char *last_good = NULL;
        size_t len = 0;
        int ret = store_load_sources(r->store, &last_good, &len, err);

        if (ret < 0)
                return ret;
        ret = source_dir_read(r->config.daemonsets_dir, options->strict, last_good, len, &r->local);
        if (ret == 0 && r->local.replaced && options->confirm) {
                local_snapshot_done(&r->local);
                ret = source_dir_read(r->config.daemonsets_dir, options->strict, NULL, 0, &r->local);
        }
        return ret < 0 ? err_oom(err) : 0;
}

static int make_wanted(const Options *options, Reconcile *r, const ApiSnapshot *api, Wanted *before) {
        WantedFacts facts = {
                .node = &r->node.view,
                .node_known = r->node.known,
                .node_is_live = r->node.source == NODE_FROM_API || r->node.source == NODE_FROM_CACHE ||
                                (api && api->node_state == API_NODE_AWAITED),
                .fence_broken = api && api->node_state > API_NODE_AWAITED && api->node.has_fence_label,
                .node_deleted = api_node_is_deleted(&r->api, api, &r->config, r->node_deleted),
                .awaited = api ? api->awaited : NULL,
                .n_awaited = api ? api->n_awaited : 0,
                .decide = setup_decide(options, &r->config),
                .local = &r->local,
                .theirs = api ? &api->theirs : NULL,
                .follow_api = r->config.follow_api,
                .former = r->former,
                .n_former = r->n_former,
                .before = before,
        };

        r->node_deleted = facts.node_deleted;
        r->api_stale = api && !api->complete;
        r->api_suspect = api && api->suspect;
        r->local.objects.over = api ? &api->objects : NULL;
        r->render = setup_render_options(&r->config, &r->node.view, r->volumes_dir);
        r->render.ca_crt = r->ca_crt;
        r->render.ca_crt_len = r->ca_crt_len;
        r->render.objects = &r->local.objects;
        if (api) {
                r->render.tokens = r->config.api_tokens ? api->tokens : NULL;
                r->render.priorities = api->priorities;
                r->render.n_priorities = api->n_priorities;
        }
        facts.render = r->render;
        return wanted_make(&facts, &r->wanted);
}

static int read_node(const Options *options, Reconcile *r, const ApiSnapshot *api, Err *err) {
        int e;

        node_facts_done(&r->node);
        e = setup_node(options, &r->config, &r->kubelet, store_node_name(r->store), &r->node, err);
        /* A node that was named on the command line is what it says it is. */
        return e == 0 && !options->node_file ? api_lay_node(api, &r->config, &r->node, err) : e;
}

static void former_done(Reconcile *r) {
        for (size_t i = 0; i < r->n_former; i++) {
                free(r->former[i].namespace);
                free(r->former[i].name);
        }
        free(r->former);
        r->former = NULL;
        r->n_former = 0;
}

typedef struct FormerList {
        Reconcile *r;
        const ApiSnapshot *api;
        size_t cap;
} FormerList;

static int add_former(void *user, const char *namespace, const char *name) {
        FormerList *l = user;
        FormerName former;

        if (objects_find(&l->api->objects, OBJECT_DAEMONSET, namespace, name) ||
            !config_has_namespace(l->r->config.api_namespaces, namespace))
                return 0;
        former = (FormerName){ strdup(namespace), strdup(name) };
        if (!former.namespace || !former.name || !ARRAY_GROW(l->r->former, l->r->n_former, l->cap)) {
                free(former.namespace);
                free(former.name);
                return -ENOMEM;
        }
        l->r->former[l->r->n_former++] = former;
        return 0;
}

/* Those of the API server that were written and that it does not define any more. */
static int list_former(Reconcile *r, const ApiSnapshot *api) {
        FormerList list = { .r = r, .api = api };

        former_done(r);
        return api ? store_each_of(r->store, ORIGIN_API, add_former, &list) : 0;
}

static int look_at_theirs(Reconcile *r, const ApiSnapshot *api, Wanted *before) {
        const TheirsFacts facts = {
                .source = r->api.source, .snapshot = api, .node = &r->node.view, .node_known = r->node.known
        };

        return theirs_make(&facts, &r->wanted, before);
}

static int follow(const Reconcile *r, bool *ret_more) {
        ApiFollow what = {
                .wanted = &r->wanted,
                .former = r->former,
                .n_former = r->n_former,
                .boot = r->boot,
        };

        what.given = store_handovers(r->store, &what.n_given);
        return api_follow(&r->api, &r->config, &what, ret_more);
}

/* What the DaemonSets of the server use is known once they are, and so on: the cache may have all of it. */
enum { CACHE_ROUNDS = 3 };

int reconcile_combine(const Options *options, Reconcile *r, Err *err) {
        bool more = true;
        int e = 0;

        plan_done(&r->plan);
        for (int i = 0; e == 0 && more && i < CACHE_ROUNDS; i++) {
                const ApiSnapshot *api = NULL;
                _cleanup_wanted_ Wanted before = r->wanted;

                r->wanted = (Wanted){ 0 };
                more = false;
                if (r->api.source) {
                        api = source_api_snapshot(r->api.source);
                        if (!api)
                                return err_oom(err);
                }
                e = read_node(options, r, api, err);
                if (e == 0)
                        e = list_former(r, api);
                if (e == 0)
                        e = make_wanted(options, r, api, &before);
                if (e == 0 && api)
                        e = follow(r, &more);
                if (e == 0)
                        e = look_at_theirs(r, api, &before);
        }
        return e == -ENOMEM ? err_oom(err) : e;
}

static int open_api(const Options *options, Reconcile *r, Err *err) {
        NodeFacts node = { 0 };
        int e = setup_node(options, &r->config, &r->kubelet, store_node_name(r->store), &node, err);

        if (e == 0)
                e = api_open(&r->api, &r->config, &r->kubelet, node.known ? node.view.name : NULL, &r->hook, err);
        node_facts_done(&node);
        return e;
}

static int list_complete_files(Reconcile *r) {
        const Objects *objects = &r->local.objects;

        r->complete_files = calloc(objects->n_files + 1, sizeof(*r->complete_files));
        if (!r->complete_files)
                return -ENOMEM;
        for (size_t i = 0; i < objects->n_files; i++)
                if (objects->files[i].complete)
                        r->complete_files[r->n_complete_files++] = objects->files[i].name;
        return 0;
}

static void forget_reading(Reconcile *r) {
        plan_done(&r->plan);
        free(r->complete_files);
        r->complete_files = NULL;
        r->n_complete_files = 0;
        wanted_done(&r->wanted);
        local_snapshot_done(&r->local);
        node_facts_done(&r->node);
}

int reconcile_read(const Options *options, Reconcile *r, Err *err) {
        int e;

        forget_reading(r);
        e = open_api(options, r, err);
        if (e == 0)
                e = read_local(options, r, err);
        if (e == 0)
                e = reconcile_combine(options, r, err);
        if (e == 0)
                e = list_complete_files(r);
        return e == -ENOMEM ? err_oom(err) : e;
}

/* ---- planning ---- */

/* Directories of pods are left from before the boot: without a kubelet since then no pod has run. */
static Witness ask(const WitnessView *view, const char *uid, bool nothing_runs) {
        Witness w = witness_of(view, uid);

        return w == WITNESS_UNKNOWN && nothing_runs ? WITNESS_GONE : w;
}

/* What the pods of our manifests do. */
int reconcile_ask_witness(Reconcile *r) {
        const WitnessPaths paths = { .cgroup_dir = r->config.kubelet_cgroup_dir,
                                     .kubelet_root = r->config.kubelet_root_dir };
        _cleanup_witness_ WitnessView *view = NULL;
        bool nothing_runs;
        char uid[37];

        if (witness_look(&paths, &view) < 0)
                return -ENOMEM;
        /* One that ran since the boot is remembered. */
        nothing_runs = !r->kubelet.running && witness_no_cgroups(view);
        for (size_t i = 0; i < r->snapshot.n_written; i++) {
                PlanWritten *w = &r->snapshot.written[i];

                if (manifest_uid(w->bytes, w->len, uid))
                        w->witness = ask(view, uid, nothing_runs);
        }
        for (size_t i = 0; i < r->snapshot.n_tombstones; i++)
                r->snapshot.tombstones[i].witness = ask(view, r->snapshot.tombstones[i].uid, nothing_runs);
        for (size_t i = 0; i < r->snapshot.n_handovers; i++)
                r->snapshot.handovers[i].witness = ask(view, r->snapshot.handovers[i].uid, nothing_runs);
        for (size_t i = 0; i < r->wanted.n; i++)
                r->wanted.items[i].theirs.witness = ask(view, str_or_empty(r->wanted.items[i].theirs.pod_uid),
                                                        nothing_runs);
        store_see(r->store, &r->snapshot);
        return 0;
}

bool reconcile_has_pod(const Reconcile *r, const char *uid) {
        char known[37];

        for (size_t i = 0; i < r->snapshot.n_written; i++)
                if (manifest_uid(r->snapshot.written[i].bytes, r->snapshot.written[i].len, known) && streq(known, uid))
                        return true;
        for (size_t i = 0; i < r->snapshot.n_tombstones; i++)
                if (streq(r->snapshot.tombstones[i].uid, uid))
                        return true;
        for (size_t i = 0; i < r->snapshot.n_handovers; i++)
                if (streq(r->snapshot.handovers[i].uid, uid))
                        return true;
        for (size_t i = 0; i < r->wanted.n; i++)
                if (streq(r->wanted.items[i].theirs.pod_uid, uid))
                        return true;
        return false;
}

static int make_plan(const Options *options, const ReconcilePass *pass, Reconcile *r) {
        PlanFacts facts = {
                .wanted = r->wanted.wanted,
                .n_wanted = r->wanted.n,
                .present = r->snapshot.present,
                .n_present = r->snapshot.n_present,
                .written = r->snapshot.written,
                .n_written = r->snapshot.n_written,
                .tombstones = r->snapshot.tombstones,
                .n_tombstones = r->snapshot.n_tombstones,
                .handovers = r->snapshot.handovers,
                .n_handovers = r->snapshot.n_handovers,
                .boot = r->boot,
                .local_read = r->local.read,
                .local_complete = r->local.complete,
                .complete_files = r->complete_files,
                .n_complete_files = r->n_complete_files,
                .rerender = options->rerender,
                .confirm = options->confirm,
                .kubelet_ran = r->kubelet.running,
                .kubelet_up_for = kubelet_up_for(r->config.kubelet_proc_dir, &r->kubelet),
                .memory = pass->memory,
                .n_memory = pass->n_memory,
                .removal_delay = pass->removal_delay,
                .now = pass->now,
        };
        _cleanup_names_ Names targets = { 0 };

        api_facts(&r->api, &r->config, &r->kubelet, r->local.complete, &facts);
        facts.api_synced &= !api_awaits_former(&r->api, r->former, r->n_former);
        r->kubelet_synced = facts.kubelet_synced;
        if (pass->now_files) {
                free(r->held);
                r->held = calloc(pass->now_files->n + 1, sizeof(*r->held));
                if (!r->held || requests_find_targets(&facts, pass->now_files, &targets, r->held) < 0)
                        return -ENOMEM;
                facts.now_targets = (const char *const *)targets.items;
                facts.n_now_targets = targets.n;
        }
        return plan_make(&facts, &r->plan);
}

/* That this kubelet has synced must outlive us: its server may be away when we start again. */
static void keep_sync(Reconcile *r) {
        uint64_t kubelet = (uint64_t)r->kubelet.start_ticks;

        if (!r->kubelet_synced || r->synced_kubelet == kubelet)
                return;
        r->synced_kubelet = kubelet;
        source_api_keep_node(r->api.source);
}

int reconcile_plan(const Options *options, const ReconcilePass *pass, Reconcile *r, Err *err) {
        int e;

        plan_done(&r->plan);
        e = store_scan(r->store, &r->snapshot, err);
        if (e == 0)
                e = reconcile_ask_witness(r);
        if (e == 0)
                e = make_plan(options, pass, r);
        if (e == 0)
                e = reconcile_note_rows(r);
        return e == -ENOMEM ? err_oom(err) : e;
}

/* ---- carrying out ---- */

/* A step that failed: what stood stands, and the row must not say otherwise. */
static int report_failures(Plan *plan) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *step = &plan->steps[i];
                PlanRow *row = step->failure ? plan_find_row(plan, step->namespace, step->name) : NULL;
                char *message;

                if (!row)
                        continue;
                message = strdup(step->failure);
                if (!message)
                        return -ENOMEM;
                free(row->message);
                row->message = message;
                row->state = STATE_HELD;
                row->reason = REASON_StoreFailed;
                row->revision[0] = 0;
                row->written_at = 0;
                row->unsettled = false;
        }
        return 0;
}

/* Before the manifests that mount them. */
static int write_volumes(Reconcile *r, Err *err) {
        const VolumesFacts facts = {
                .wanted = &r->wanted,
                .objects = &r->local.objects,
                .render = &r->render,
                .only_file = r->only_file,
                .verify = !r->volumes_verified,
        };
        int e = r->volumes ? 0 : materialise_open(r->volumes_dir, false, &r->volumes, err);

        if (e == -ENOMEM)
                return err_oom(err);
        if (e < 0 && volumes_fail(&r->wanted, &r->plan, err) < 0)
                return err_oom(err);
        if (e == 0)
                e = volumes_write(r->volumes, &facts, &r->plan, err);
        r->volumes_verified = e == 0;
        return e;
}

int reconcile_apply(Reconcile *r, const Options *options, int64_t now, Err *err) {
        Err errors[5] = { 0 };
        int results[5] = { 0 };

        keep_sync(r);
        results[3] = write_volumes(r, &errors[3]);
        results[0] = store_apply(r->store, &r->plan, now, &r->result, &errors[0]);
        if (results[0] == -ESTALE)
                return err_set(err, -ESTALE, "%s", errors[0].message);
        if (report_failures(&r->plan) < 0)
                return err_oom(err);
        /* What was scanned before the plan was carried out stands for what went with it: that is gone next time. */
        if (r->volumes)
                results[4] = volumes_sweep(r->volumes, &r->wanted, &r->snapshot, now, &errors[4]);
        if (r->local.sources) {
                results[1] = store_save_sources(r->store, r->local.sources, r->local.sources_len, &errors[1]);
                if (results[1] == 0) {
                        free(r->local.sources);
                        r->local.sources = NULL;
                }
        }
        /* A node that was named on the command line says nothing about this host. */
        if (r->node.known && !options->node_file)
                results[2] = store_set_node_name(r->store, r->node.view.name, &errors[2]);
        for (size_t i = 0; i < ARRAY_SIZE(results); i++)
                if (results[i] < 0)
                        return err_set(err, results[i], "%s", errors[i].message);
        return 0;
}

void reconcile_done(Reconcile *r) {
        forget_reading(r);
        api_close(&r->api);
        store_free(r->store);
        materialise_free(r->volumes);
        free(r->manifest_dir);
        free(r->volumes_dir);
        free(r->ca_crt);
        free(r->ca_note);
        free(r->held);
        former_done(r);
        free(r->boot);
        kubelet_settings_done(&r->kubelet);
        config_done(&r->config);
        *r = (Reconcile){ 0 };
}
