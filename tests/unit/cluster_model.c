/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_model.h"

#include <stdio.h>

enum {                              /* milliseconds */
       LOST = 45 * 1000,            /* without a heartbeat the pods of a node are not Ready */
       BACKOFF_MAX = 2 * 60 * 1000, /* 15 minutes in a real one, which no test waits for */
};

void cm_init(Cluster *c, Kubelet *k) {
        *c = (Cluster){ .k = k, .controller_at = -1, .scheduler_at = -1 };
}

/* Something happened: both look at it in their time. */
static void stir(Cluster *c) {
        if (c->controller_at < 0)
                c->controller_at = c->k->now + km_between(20, 1500);
        if (c->scheduler_at < 0)
                c->scheduler_at = c->k->now + km_between(20, 1500);
        c->news = true;
}

void cm_api_changed(Cluster *c) {
        if (!c->k->api_up)
                return;
        c->up_since = c->k->now;
        c->controller_at = c->scheduler_at = -1;
        stir(c);
        /* They ask again in their own time. */
        c->controller_at += km_between(0, 15000);
        c->scheduler_at += km_between(0, 15000);
}

/* ---- what people do ---- */

void cm_apply(Cluster *c, size_t set, size_t spec) {
        if (!c->k->api_up)
                return;
        km_trace(c->k, "the cluster: %s is applied as %s", c->k->files_of[set], km_specs[spec]);
        if (!c->sets[set].exists)
                c->sets[set] = (ClusterSet){ .exists = true };
        c->sets[set].spec = spec;
        stir(c);
}

void cm_delete(Cluster *c, size_t set) {
        if (!c->k->api_up || !c->sets[set].exists)
                return;
        km_trace(c->k, "the cluster: %s is deleted", c->k->files_of[set]);
        c->sets[set] = (ClusterSet){ 0 };
        stir(c);
}

void cm_fence(Cluster *c, size_t set, bool fenced) {
        if (!c->k->api_up || !c->sets[set].exists || c->sets[set].fenced == fenced)
                return;
        km_trace(c->k, "the cluster: %s is %s", c->k->files_of[set], fenced ? "fenced" : "not fenced any more");
        c->sets[set].fenced = fenced;
        stir(c);
}

void cm_misfit(Cluster *c, size_t set, bool misfit) {
        if (!c->k->api_up || !c->sets[set].exists || c->sets[set].misfit == misfit)
                return;
        km_trace(c->k, "the cluster: %s %s", c->k->files_of[set], misfit ? "does not fit" : "fits again");
        c->sets[set].misfit = misfit;
        stir(c);
}

void cm_short(Cluster *c, size_t set, bool is_short) {
        if (c->is_short[set] == is_short)
                return;
        km_trace(c->k, "the node: there is %s room for the pods of %s", is_short ? "no" : "again", c->k->files_of[set]);
        c->is_short[set] = is_short;
        stir(c);
}

static void delete_object(Cluster *c, KmObject *o) {
        if (o->deleting)
                return;
        km_trace(c->k, "      %s is deleted", o->name);
        c->news = true;
        if (!o->bound) {
                km_remove_object(c->k, o);
                return;
        }
        o->deleting = true;
        km_tell(c->k, o);
}

void cm_delete_pod(Cluster *c, size_t set) {
        KmObject *o = cm_find(c, set);

        if (!c->k->api_up || !o)
                return;
        delete_object(c, o);
        stir(c);
}

/* ---- the controller ---- */

KmObject *cm_find(const Cluster *c, size_t set) {
        for (size_t i = 0; i < c->k->n_objects; i++)
                if (c->k->objects[i].set == set && !c->k->objects[i].failed)
                        return &c->k->objects[i];
        return NULL;
}

bool cm_wants(const Cluster *c, size_t set) {
        const ClusterSet *s = &c->sets[set];

        return s->exists && !s->fenced && !s->misfit;
}

static bool is_outdated(const Cluster *c, const KmObject *o) {
        return !cm_wants(c, o->set) || o->pod != c->k->pods[o->set][c->sets[o->set].spec];
}

static void make_pod(Cluster *c, size_t set) {
        Kubelet *k = c->k;
        KmObject *o = &k->objects[k->n_objects];

        assert_true(k->n_objects < KM_OBJECTS);
        k->n_objects++;
        *o = (KmObject){ .set = set, .pod = k->pods[set][c->sets[set].spec], .told_at = -1, .status_at = -1 };
        (void)snprintf(o->uid, KM_NAME, "theirs-%u", ++c->serial);
        (void)snprintf(o->name, KM_NAME, "%s-%u", km_names[set][1], c->serial);
        km_trace(k, "      %s of %s/%s %s is made", o->name, km_names[set][0], km_names[set][1], o->pod->spec);
        c->news = true;
}

/* False: it has to wait. */
static bool may_replace(Cluster *c, ClusterSet *s) {
        if (s->fail_at > c->k->now)
                return false;
        s->backoff = s->backoff ? s->backoff * 2 : 1000;
        if (s->backoff > BACKOFF_MAX)
                s->backoff = BACKOFF_MAX;
        s->fail_at = c->k->now + s->backoff;
        return true;
}

static void control(Cluster *c) {
        bool has[KM_SETS] = { false };

        for (size_t i = c->k->n_objects; i-- > 0;) {
                KmObject *o = &c->k->objects[i];
                size_t set = o->set;

                if (o->ready)
                        c->sets[set].backoff = 0;
                if (o->failed && !is_outdated(c, o) && !o->deleting && !may_replace(c, &c->sets[set])) {
                        c->controller_at = c->sets[set].fail_at;
                        has[set] = true;
                        continue;
                }
                if (o->failed || is_outdated(c, o))
                        delete_object(c, o);
                else
                        has[set] = true;
        }
        for (size_t i = 0; i < c->k->n_objects; i++)
                has[c->k->objects[i].set] = true;
        for (size_t i = 0; i < KM_SETS; i++)
                if (cm_wants(c, i) && !has[i])
                        make_pod(c, i);
}

/* ---- the scheduler ---- */

static bool has_ports(const WorldPod *a, const WorldPod *b) {
        return km_pods_clash(&(KmManifest){ .pod = a }, &(KmManifest){ .pod = b });
}

static bool is_free(const Cluster *c, const KmObject *o) {
        const Kubelet *k = c->k;

        for (size_t i = 0; i < KM_SETS; i++)
                if (k->mirrors[i].pod && has_ports(k->mirrors[i].pod, o->pod))
                        return false;
        for (size_t i = 0; i < k->n_objects; i++)
                if (k->objects[i].bound && !k->objects[i].failed && has_ports(k->objects[i].pod, o->pod))
                        return false;
        return true;
}

static void schedule(Cluster *c) {
        for (size_t i = 0; i < c->k->n_objects; i++) {
                KmObject *o = &c->k->objects[i];

                if (o->bound)
                        continue;
                if (!is_free(c, o) || c->is_short[o->set]) {
                        c->news |= !o->refused;
                        o->refused = true;
                        continue;
                }
                km_trace(c->k, "      %s is bound", o->name);
                o->bound = true;
                km_tell(c->k, o);
                c->news = true;
        }
}

/* ---- time ---- */

static int64_t lost_at(const Cluster *c) {
        int64_t since = c->k->heartbeat > c->up_since ? c->k->heartbeat : c->up_since;

        for (size_t i = 0; i < c->k->n_objects; i++)
                if (c->k->objects[i].ready)
                        return since + LOST;
        return -1;
}

/* The node's pods are not Ready when the kubelet has not been heard for long. */
static void watch_node(Cluster *c) {
        int64_t at = lost_at(c);

        if (at < 0 || at > c->k->now)
                return;
        for (size_t i = 0; i < c->k->n_objects; i++)
                c->k->objects[i].ready = false;
        km_trace(c->k, "      the node is lost");
        stir(c);
}

static void earlier(int64_t *due, int64_t at) {
        if (at >= 0 && (*due < 0 || at < *due))
                *due = at;
}

int64_t cm_due(const Cluster *c) {
        int64_t due = -1;

        if (!c->k->api_up)
                return -1;
        earlier(&due, c->controller_at);
        earlier(&due, c->scheduler_at);
        earlier(&due, lost_at(c));
        return due;
}

void cm_run(Cluster *c) {
        if (c->k->told)
                stir(c);
        c->k->told = false;
        if (!c->k->api_up)
                return;
        watch_node(c);
        if (c->controller_at >= 0 && c->controller_at <= c->k->now) {
                c->controller_at = -1;
                control(c);
                if (c->scheduler_at < 0)
                        c->scheduler_at = c->k->now + km_between(20, 1500);
        }
        if (c->scheduler_at >= 0 && c->scheduler_at <= c->k->now) {
                c->scheduler_at = -1;
                schedule(c);
        }
        if (c->k->told)
                stir(c);
        c->k->told = false;
}
