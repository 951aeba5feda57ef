/* SPDX-License-Identifier: Apache-2.0 */
/* Host ports. A kubelet refuses a pod whose host port is taken, and refuses it for good, so a manifest is written only
 * when its ports are free: of two DaemonSets one wins, and nobody takes a port from a pod that may still have it. */
#include "core/plan_internal.h"

#include <errno.h>

enum { N_HEADS = 1024 }; /* a power of two */

typedef enum ClaimKind {
        CLAIM_NONE = 0,
        CLAIM_WON = 1,     /* a wanted DaemonSet that runs here or will */
        CLAIM_STAYS = 2,   /* stands and stays */
        CLAIM_HELD = 4,    /* stands for the time being */
        CLAIM_LEAVING = 8, /* its pod may not be gone yet */
        CLAIM_OPEN = 16,   /* stands, and it is not decided yet whether it is replaced */
} ClaimKind;

typedef struct Claim {
        const HostPort *port;
        const char *namespace, *name;
        ClaimKind kind;
        size_t next; /* in its chain: index + 1, or 0 */
} Claim;

typedef struct Ports {
        Claim *claims;
        size_t n, cap;
        size_t heads[N_HEADS]; /* by port number: index + 1, or 0 */
} Ports;

static void ports_done(Ports *p) {
        free(p->claims);
}

static int claim(Ports *p, const HostPort *ports, size_t n_ports, const char *namespace, const char *name,
                 ClaimKind kind) {
        for (size_t i = 0; i < n_ports; i++) {
                size_t *head = &p->heads[ports[i].port % N_HEADS];

                if (!ARRAY_GROW(p->claims, p->n, p->cap))
                        return -ENOMEM;
                p->claims[p->n++] = (Claim){ &ports[i], namespace, name, kind, *head };
                *head = p->n;
        }
        return 0;
}

static int claim_for(Ports *p, PlanItem *it, const HostPort *ports, size_t n_ports, ClaimKind kind) {
        return claim(p, ports, n_ports, it->namespace, it->name, kind);
}

/* A claim of one of these kinds on the port by somebody else; of several the first by name, so that what is reported
 * does not depend on the order of insertion. */
static const Claim *find(const Ports *p, const PlanItem *it, const HostPort *port, unsigned kinds) {
        const Claim *best = NULL;

        for (size_t i = p->heads[port->port % N_HEADS]; i; i = p->claims[i - 1].next) {
                const Claim *c = &p->claims[i - 1];
                int order;

                if (!(c->kind & kinds) || !host_ports_clash(c->port, port))
                        continue;
                if (streq(c->namespace, it->namespace) && streq(c->name, it->name))
                        continue;
                order = best ? strcmp(c->namespace, best->namespace) : -1;
                if (order < 0 || (order == 0 && strcmp(c->name, best->name) < 0))
                        best = c;
        }
        return best;
}

/* ---- what stands ---- */

int item_read_lingering(PlanItem *it) {
        size_t len = 0;
        const char *bytes = item_staying(it, &len);
        int r;

        if (it->lingers)
                return 0;
        it->lingers = calloc(1, sizeof(*it->lingers));
        if (!it->lingers)
                return -ENOMEM;
        if (!bytes)
                return 0;
        r = manifest_parse(bytes, len, it->lingers);
        if (r < 0) {
                free(it->lingers);
                it->lingers = NULL;
        }
        return r;
}

static bool has_verb(const PlanItem *it, StepVerb verb) {
        return it->has_step && it->verb == verb;
}

/* Another input stays than the rendered one: its own ports count. */
static bool keeps_other(const PlanItem *it) {
        const char *input = has_verb(it, STEP_RESTORE) ? it->last->input : it->input;
        size_t len;

        return it->wanted->only_new && !item_writes_new(it) && item_staying(it, &len) &&
               !streq(input, it->wanted->rendered->input);
}

static bool is_contender(const PlanItem *it) {
        return item_wish(it) == WISH_PRESENT && !it->foreign && it->stands != STANDS_UNREADABLE && !keeps_other(it);
}

static int claim_read(Ports *p, PlanItem *it, const Manifest *m, ClaimKind kind) {
        return claim_for(p, it, m->ports, m->n_ports, kind);
}

/* What is removed or replaced keeps its ports until its pod is gone: the one with the last bytes, of which the witness
 * knows, and the one of what stands, if that is another. */
static int claim_leaving(Ports *p, PlanItem *it) {
        ClaimKind kind = it->written && it->written->witness == WITNESS_GONE ? CLAIM_NONE : CLAIM_LEAVING;
        int r;

        if (it->last && it->stands != STANDS_NEXT) {
                r = claim_read(p, it, it->last, kind);
                if (r < 0)
                        return r;
        }
        if (!item_stands(it))
                return 0;
        if (it->seen)
                return claim_read(p, it, it->seen, CLAIM_LEAVING);
        r = item_read_lingering(it);
        return r < 0 ? r : claim_read(p, it, it->lingers, it->stands == STANDS_LAST ? kind : CLAIM_LEAVING);
}

/* What stands is neither what was written last nor kept: whatever becomes of the item, the pod that was started from it
 * may be alive. */
static int claim_stray(Ports *p, PlanItem *it) {
        bool written_over = has_verb(it, STEP_RESTORE) || has_verb(it, STEP_REPLACE);

        if (!written_over || !it->last || !it->seen || !item_stands(it) || streq(it->seen->uid, it->last->uid))
                return 0;
        return claim_read(p, it, it->seen, CLAIM_LEAVING);
}

/* The claims of what does not take part in the contest. */
static int claim_bystander(Ports *p, PlanItem *it) {
        int r;

        if (!it->namespace)
                return 0;
        if (has_verb(it, STEP_HAND_OVER) || has_verb(it, STEP_REMOVE) || has_verb(it, STEP_FORGET))
                return claim_leaving(p, it);
        r = item_read_lingering(it);
        return r < 0 ? r : claim_read(p, it, it->lingers, item_wish(it) == WISH_ABSENT ? CLAIM_HELD : CLAIM_STAYS);
}

/* The controller's pod has them, or will. */
static int claim_theirs(Ports *p, PlanItem *it) {
        const Rendered *r = it->wanted ? it->wanted->rendered : NULL;

        if (!r || (it->handover != HANDOVER_AWAY && !item_awaits_theirs(it)))
                return 0;
        return claim_for(p, it, r->ports, r->n_ports, CLAIM_STAYS);
}

static int claim_tombstones(Ports *p, const PlanFacts *f) {
        for (size_t i = 0; i < f->n_tombstones; i++) {
                const PlanTombstone *t = &f->tombstones[i];
                int r;

                if (tombstone_is_over(f, t))
                        continue;
                r = claim(p, t->ports, t->n_ports, t->namespace, t->name, CLAIM_LEAVING);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the contest ---- */

enum { RANK_KEEPS, RANK_ADDS, RANK_NEW };

/* Whether the port is one that what stands has already. */
static bool has_port(const PlanItem *it, const HostPort *port) {
        for (size_t i = 0; it->lingers && i < it->lingers->n_ports; i++) {
                const HostPort *have = &it->lingers->ports[i];

                if (host_ports_clash(have, port) && (streq(have->ip, port->ip) || !*have->ip))
                        return true;
        }
        return false;
}

/* Those that have their ports come first, then those that stand and want more, then the new ones. */
static int rank(Ports *p, PlanItem *it) {
        const Rendered *r = it->wanted->rendered;
        size_t len;
        int error;

        it->first_claim = p->n;
        if (!item_staying(it, &len)) {
                it->rank = RANK_NEW;
                return 0;
        }
        if (!item_writes_new(it) && !it->override)
                return 0;
        error = item_read_lingering(it);
        if (error < 0)
                return error;
        for (size_t i = 0; i < r->n_ports; i++)
                if (!has_port(it, &r->ports[i]))
                        it->rank = RANK_ADDS;
        error = claim_for(p, it, it->lingers->ports, it->lingers->n_ports, it->override ? CLAIM_HELD : CLAIM_OPEN);
        it->n_claims = p->n - it->first_claim;
        return error;
}

static int compare_contenders(const void *a, const void *b) {
        const PlanItem *x = *(PlanItem *const *)a, *y = *(PlanItem *const *)b;

        if (x->rank != y->rank)
                return x->rank < y->rank ? -1 : 1;
        return item_compare_names(x, y);
}

/* The first port of the item that somebody has. */
static const Claim *find_any(const Ports *p, const PlanItem *it, bool added_only, unsigned kinds,
                             const HostPort **ret_port) {
        const Rendered *r = it->wanted->rendered;

        for (size_t i = 0; i < r->n_ports; i++) {
                const Claim *c = added_only && has_port(it, &r->ports[i]) ? NULL : find(p, it, &r->ports[i], kinds);

                if (c) {
                        *ret_port = &r->ports[i];
                        return c;
                }
        }
        return NULL;
}

static void lose(PlanItem *it, const Claim *c, const HostPort *port, bool waiting) {
        Buf *note;

        /* With the port in its way, what the renderer would do does not matter. */
        if (it->stale)
                buf_reset(&it->note);
        note = item_note(it);
        buf_str(note, "host port ");
        if (*port->ip)
                buf_printf(note, strchr(port->ip, ':') ? "[%s]:" : "%s:", port->ip);
        buf_printf(note, "%u/%s is %s %s/%s", (unsigned)port->port, port->protocol,
                   waiting ? "still held by" : "taken by", c->namespace, c->name);
        item_stay_as(it, waiting ? STATE_WAITING : STATE_CONFLICT,
                     waiting ? REASON_WaitingForPort : REASON_PortConflict);
}

/* Its place is decided: what becomes of the ports that it has. */
static void settle(Ports *p, const PlanItem *it, ClaimKind kind) {
        for (size_t i = 0; i < it->n_claims; i++) {
                Claim *c = &p->claims[it->first_claim + i];

                if (c->kind == CLAIM_OPEN)
                        c->kind = kind;
        }
}

/* It does not get its ports, but keeps those that it has; where they were not read they are the wanted ones. */
static int contend_lost(Ports *p, PlanItem *it, const Claim *c, const HostPort *port) {
        const Rendered *r = it->wanted->rendered;
        size_t len;

        lose(it, c, port, false);
        settle(p, it, CLAIM_STAYS);
        return it->lingers || !item_staying(it, &len) ? 0 : claim_for(p, it, r->ports, r->n_ports, CLAIM_STAYS);
}

/* Decides one contender. Where it depends on another one that is not decided yet it can be put off: *ret_decided is
 * then false. */
static int contend(Ports *p, PlanItem *it, bool may_put_off, bool *ret_decided) {
        const Rendered *r = it->wanted->rendered;
        const HostPort *port = NULL;
        bool writes = item_writes_new(it);
        const Claim *c = find_any(p, it, false, CLAIM_WON, &port);
        int error = 0;

        *ret_decided = true;
        if (!c && writes)
                c = find_any(p, it, true, CLAIM_STAYS, &port);
        if (!c && writes) {
                c = find_any(p, it, true, CLAIM_OPEN, &port);
                if (c && may_put_off) {
                        *ret_decided = false;
                        return 0;
                }
        }
        if (c)
                return contend_lost(p, it, c, port);
        c = writes ? find_any(p, it, true, CLAIM_HELD | CLAIM_LEAVING, &port) : NULL;
        if (c) {
                lose(it, c, port, true);
                settle(p, it, CLAIM_STAYS);
        } else if (writes) {
                settle(p, it, CLAIM_NONE);
                error = claim_leaving(p, it);
        }
        return error < 0 ? error : claim_for(p, it, r->ports, r->n_ports, CLAIM_WON);
}

static bool wants_same_port(const PlanItem *it, PlanItem *const *others, size_t n) {
        const Rendered *a = it->wanted->rendered;

        for (size_t i = 0; i < n; i++) {
                const Rendered *b = others[i]->wanted->rendered;

                for (size_t j = 0; j < a->n_ports; j++)
                        for (size_t k = 0; k < b->n_ports; k++)
                                if (host_ports_clash(&a->ports[j], &b->ports[k]))
                                        return true;
        }
        return false;
}

/* Decides contenders of one rank, in order. Those that are put off, and those that are behind them for a port, are
 * tried again as long as that helps; then they stand in each other's way, and the first of them loses. */
static int contend_all(Ports *ports, PlanItem **contenders, size_t n) {
        bool may_put_off = true;

        while (n > 0) {
                size_t left = 0;

                for (size_t i = 0; i < n; i++) {
                        bool decided = false;
                        int r = 0;

                        if (!wants_same_port(contenders[i], contenders, left))
                                r = contend(ports, contenders[i], may_put_off, &decided);
                        if (r < 0)
                                return r;
                        if (decided)
                                may_put_off = true;
                        else
                                contenders[left++] = contenders[i];
                }
                may_put_off = left < n;
                n = left;
        }
        return 0;
}

/* Whether a manifest with host ports would be written; if not, what else has ports does not matter. */
static bool any_written_ports(const Planner *p) {
        for (size_t i = 0; i < p->n_items; i++)
                if (is_contender(&p->items[i]) && item_writes_new(&p->items[i]) &&
                    p->items[i].wanted->rendered->n_ports)
                        return true;
        return false;
}

static int hold_contest(Ports *ports, PlanItem **contenders, size_t n) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = rank(ports, contenders[i]);
        if (r < 0)
                return r;
        qsort(contenders, n, sizeof(*contenders), compare_contenders);
        for (size_t i = 0, end; r >= 0 && i < n; i = end) {
                for (end = i; end < n && contenders[end]->rank == contenders[i]->rank;)
                        end++;
                r = contend_all(ports, contenders + i, end - i);
        }
        return r;
}

int planner_ports(Planner *p) {
        _cleanup_(ports_done) Ports ports = { 0 };
        _cleanup_free_ PlanItem **contenders = NULL;
        bool written = any_written_ports(p);
        size_t n = 0;
        int r = 0;

        contenders = calloc(p->n_items + 1, sizeof(PlanItem *));
        if (!contenders)
                return -ENOMEM;
        for (size_t i = 0; r >= 0 && i < p->n_items; i++) {
                PlanItem *it = &p->items[i];

                if (written)
                        r = claim_stray(&ports, it);
                if (r < 0)
                        return r;
                if (is_contender(it)) {
                        /* Without ports there is nothing to win, but old ones may be given up. */
                        if (it->wanted->rendered->n_ports || (written && (item_writes_new(it) || it->override)))
                                contenders[n++] = it;
                } else if (written) {
                        r = claim_bystander(&ports, it);
                        if (r >= 0)
                                r = claim_theirs(&ports, it);
                }
        }
        if (r >= 0 && written)
                r = claim_tombstones(&ports, p->facts);
        return r < 0 ? r : hold_contest(&ports, contenders, n);
}
