/* SPDX-License-Identifier: Apache-2.0 */
#include "app/api.h"
#include "core/selector.h"
#include "io/clock.h"

#include <errno.h>
#include <unistd.h>

#define MACHINE_ID "/etc/machine-id"

enum {
        SYNC_SLACK = 10
}; /* seconds after its start by which a heartbeat of the kubelet is this process's, and it synced */
enum { CLOCK_SLACK = 60 }; /* seconds for which a heartbeat may be ahead of us */

/* ---- opening ---- */

static bool is_off(const Config *config) {
        return streq(config->api_kubeconfig, "none");
}

static char *make_key(const Config *c, const SourceApiOptions *o) {
        _cleanup_buf_ Buf key = BUF_INIT;

        buf_printf(&key, "%s\n%s\n%d %d\n%s\n%s\n%lld\n%s", str_or_empty(o->kubeconfig),
                   str_or_empty(o->kubelet_kubeconfig), o->allow_insecure, o->proxy_of_environment,
                   str_or_empty(o->node_name), str_or_empty(o->namespaces), (long long)o->settle, c->state_dir);
        return buf_take(&key, NULL);
}

int api_open(ApiLink *link, const Config *config, const KubeletSettings *kubelet, const char *node_name,
             const ApiHook *hook, Err *err) {
        SourceApiOptions options = {
                .loop = hook->loop,
                .kubeconfig = setup_kubeconfig(config, kubelet),
                .kubelet_kubeconfig = setup_kubelet_kubeconfig(kubelet),
                .allow_insecure = config->api_allow_insecure,
                .proxy_of_environment = config->api_proxy == API_PROXY_ENVIRONMENT,
                .node_name = node_name,
                .namespaces = config->api_namespaces,
                .settle = config->settle * 1000,
                .state_dir = config->state_dir,
                .machine_id_file = MACHINE_ID,
                .changed = hook->changed,
                .user = hook->user,
        };
        _cleanup_free_ char *key = make_key(config, &options);

        if (!key)
                return err_oom(err);
        if (is_off(config)) {
                api_close(link);
                return 0;
        }
        if (link->source && streq(link->key, key))
                return 0;
        api_close(link);
        link->key = TAKE_PTR(key);
        return source_api_new(&options, &link->source, err);
}

void api_close(ApiLink *link) {
        link->source = source_api_free(link->source);
        free(link->key);
        link->key = NULL;
}

/* ---- the node ---- */

static int copy_view(const NodeView *from, NodeView *to) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < from->n_labels; i++)
                r = node_view_set_label(to, from->labels[i].key, from->labels[i].value);
        for (size_t i = 0; r == 0 && i < from->n_taints; i++)
                r = node_view_set_taint(to, from->taints[i].key, from->taints[i].value, from->taints[i].effect);
        return r;
}

int api_lay_node(const ApiSnapshot *snapshot, const Config *config, NodeFacts *node, Err *err) {
        _cleanup_node_view_ NodeView view = { 0 };
        int r;

        if (!snapshot || snapshot->node_state <= API_NODE_AWAITED || !node->known)
                return 0;
        view.name = strdup(node->view.name);
        if (!view.name || copy_view(&snapshot->node.view, &view) < 0)
                return err_oom(err);
        r = node_lay_over(config, &view, err);
        if (r < 0)
                return r;
        node_view_done(&node->view);
        node->view = view;
        view = (NodeView){ 0 };
        node->source = snapshot->node_state == API_NODE_LIVE ? NODE_FROM_API : NODE_FROM_CACHE;
        return 0;
}

bool api_node_is_deleted(const ApiLink *link, const ApiSnapshot *snapshot, const Config *config, bool was) {
        return snapshot && snapshot->node_state == API_NODE_GONE && config->on_deleted == ON_DELETED_REMOVE &&
               (was || source_api_node(link->source).gone_now) &&
               clock_boot_ms() - snapshot->node_gone_since >= config->deleted_grace * 1000;
}

int64_t api_due(const ApiLink *link, const Config *config) {
        ApiNodeFacts node = source_api_node(link->source);

        if (!node.gone_now || config->on_deleted != ON_DELETED_REMOVE)
                return -1;
        return node.gone_since + config->deleted_grace * 1000;
}

/* ---- what DaemonSets use ---- */

typedef struct Refs {
        ApiRef *refs;
        size_t n, cap;
        TokenNeed *needs; /* shallow: of the rendered ones */
        size_t n_needs, cap_needs;
} Refs;

static void refs_done(Refs *r) {
        free(r->refs);
        free(r->needs);
}

/* There is no object of a name that is none, and in a URL it would ask for something else. */
static int add_ref(Refs *r, ApiRefKind kind, const char *namespace, const char *name) {
        if (kind != API_PODS && kind != API_UNBOUND && !is_dns1123_subdomain(name))
                return 0;
        if (!ARRAY_GROW(r->refs, r->n, r->cap))
                return -ENOMEM;
        r->refs[r->n++] = (ApiRef){ .kind = kind, .namespace = namespace, .name = name };
        return 0;
}

static int add_objects(Refs *r, const PlanWanted *w, const Rendered *rendered) {
        int e = 0;

        for (size_t i = 0; e == 0 && i < rendered->n_uses; i++)
                e = add_ref(r, rendered->uses[i].kind == OBJECT_SECRET ? API_SECRET : API_CONFIGMAP, w->namespace,
                            rendered->uses[i].name);
        if (e == 0 && rendered->priority_class)
                e = add_ref(r, API_PRIORITYCLASS, "", rendered->priority_class);
        return e;
}

static int add_tokens(Refs *r, const PlanWanted *w, const Rendered *rendered) {
        for (size_t i = 0; i < rendered->n_tokens; i++) {
                if (!ARRAY_GROW(r->needs, r->n_needs, r->cap_needs))
                        return -ENOMEM;
                r->needs[r->n_needs++] = rendered->tokens[i];
        }
        return rendered->n_tokens > 0 ? add_ref(r, API_CONFIGMAP, w->namespace, PAYLOAD_ROOT_CA) : 0;
}

/* Unbound ones are those of all nodes, and a rollout makes many: they are looked at only where theirs may have to wait
 * for ours. */
static bool wants_unbound(const ApiFollow *f, size_t i) {
        const WantedItem *item = &f->wanted->items[i];
        const PlanWanted *w = &f->wanted->wanted[i];
        const PlanHandover *given = plan_find_handover(f->given, f->n_given, w->namespace, w->name);
        bool is_away = given && f->boot && streq(given->boot, f->boot);
        bool waits = item->rendered.n_ports > 0 || wanted_own(item)->handoff == HANDOFF_EXISTS || !item->rendered.bytes;

        if (item->from_api && wanted_is_fenced(item->object))
                return false;
        /* While ours is away: till theirs runs, whatever becomes of the ports that it went for. */
        return is_away ? given->unplaced : waits;
}

static bool has_pods(const Refs *r, ApiRefKind kind, const char *namespace) {
        for (size_t i = 0; i < r->n; i++)
                if (r->refs[i].kind == kind && streq(r->refs[i].namespace, namespace))
                        return true;
        return false;
}

static int add_pods_of(Refs *r, const char *namespace, bool unbound) {
        int e = has_pods(r, API_PODS, namespace) ? 0 : add_ref(r, API_PODS, namespace, "");

        return e == 0 && unbound && !has_pods(r, API_UNBOUND, namespace) ? add_ref(r, API_UNBOUND, namespace, "") : e;
}

/* The pods first: of what is beyond the watches it is learnt later. */
static int add_pods(Refs *r, const ApiFollow *f) {
        int e = 0;

        for (size_t i = 0; e == 0 && i < f->wanted->n; i++)
                if (f->wanted->wanted[i].wish != WISH_ABSENT)
                        e = add_pods_of(r, f->wanted->wanted[i].namespace, wants_unbound(f, i));
        for (size_t i = 0; e == 0 && i < f->n_former; i++)
                e = add_pods_of(r, f->former[i].namespace, true);
        return e;
}

/* Those that opted in are followed anyway. */
static int add_daemonsets(Refs *r, const ApiFollow *f) {
        const Wanted *wanted = f->wanted;
        int e = 0;

        for (size_t i = 0; e == 0 && i < wanted->n; i++)
                if (wanted->wanted[i].wish != WISH_ABSENT && !wanted->items[i].from_api)
                        e = add_ref(r, API_DAEMONSET, wanted->wanted[i].namespace, wanted->wanted[i].name);
        for (size_t i = 0; e == 0 && i < f->n_former; i++)
                e = add_ref(r, API_DAEMONSET, f->former[i].namespace, f->former[i].name);
        return e;
}

int api_follow(const ApiLink *link, const Config *config, const ApiFollow *what, bool *ret_more) {
        _cleanup_(refs_done) Refs refs = { 0 };
        const Wanted *wanted = what->wanted;
        int r = add_pods(&refs, what);

        for (size_t i = 0; r == 0 && i < wanted->n; i++) {
                const WantedItem *item = &wanted->items[i];

                /* What is never used needs no rights. */
                if (item->rendered.status == RENDER_REFUSED)
                        continue;
                if (item->from_api || item->followed)
                        r = add_objects(&refs, &wanted->wanted[i], &item->rendered);
                if (r == 0 && config->api_tokens)
                        r = add_tokens(&refs, &wanted->wanted[i], &item->rendered);
        }
        if (r == 0)
                r = add_daemonsets(&refs, what);
        if (r == 0)
                r = source_api_follow(link->source, refs.refs, refs.n);
        if (r == 0)
                r = source_api_want_tokens(link->source, refs.needs, refs.n_needs);
        *ret_more = source_api_has_more(link->source);
        return r;
}

bool api_awaits_former(const ApiLink *link, const FormerName *former, size_t n) {
        for (size_t i = 0; link->source && i < n; i++)
                if (source_api_known_daemonset(link->source, former[i].namespace, former[i].name).awaited)
                        return true;
        return false;
}

/* ---- hold and evidence ---- */

static HoldPolicy hold_policy(const Config *config, const KubeletSettings *kubelet) {
        if (config->hold_offline == HOLD_OFFLINE_ALWAYS)
                return HOLD_ALWAYS;
        if (config->hold_offline == HOLD_OFFLINE_NO || is_off(config) || !setup_kubelet_kubeconfig(kubelet))
                return HOLD_NEVER;
        return HOLD_UNTIL_SYNCED;
}

const char *api_hold_warning(const Config *config, const KubeletSettings *kubelet) {
        if (config->hold_offline != HOLD_OFFLINE_AUTO || !is_off(config) || !setup_kubelet_kubeconfig(kubelet))
                return NULL;
        return "[api] kubeconfig = none, but the kubelet uses an API server: while it has not reached that since its start, "
               "a changed manifest could run two copies of a pod; nothing is held (set [agent] hold_offline)";
}

/* Its heartbeat is the kubelet's own word, by this host's clock: of this process, and not from before a clock went
 * back. When the process started is told by that clock as it is now: it may have been set since.
 */
static bool is_synced(int64_t heartbeat, int64_t up_for, int64_t now) {
        return up_for >= 0 && heartbeat > now - up_for / 1000 + SYNC_SLACK && heartbeat <= now + CLOCK_SLACK;
}

void api_facts(const ApiLink *link, const Config *config, const KubeletSettings *kubelet, bool local_complete,
               PlanFacts *facts) {
        const ApiNodeFacts node = source_api_node(link->source);

        facts->hold = hold_policy(config, kubelet);
        facts->kubelet_synced = is_synced(node.heartbeat, facts->kubelet_up_for, facts->now);
        facts->server_away = !link->source || source_api_is_away(link->source);
        facts->stop_if_deleted = config->on_api_deleted == ON_API_DELETED_STOP;
        facts->api_synced = !link->source || node.complete;
        facts->all_synced = local_complete && (!link->source || !node.follows || node.complete);
        /* What it said last takes nothing away while it cannot be asked. */
        facts->node_for = node.live && node.since >= 0 ? clock_boot_ms() - node.since : 0;
        facts->settle = facts->memory ? config->settle * 1000 : 0;
}
