/* SPDX-License-Identifier: Apache-2.0 */
/* The index: what state remembers of each manifest besides its bytes. In memory it is the truth while the lock is held;
 * on disk it is one canonical JSON object. */
#include "io/store_internal.h"

#include <errno.h>
#include <stdio.h>

enum { INDEX_VERSION = 1 };

static void entry_done(IndexEntry *e) {
        free(e->file);
        free(e->namespace);
        free(e->name);
        free(e->origin);
}

static void tombstone_done(PlanTombstone *t) {
        free_const(t->namespace);
        free_const(t->name);
        free_const(t->uid);
        free_const(t->input);
        free_const(t->ports);
}

void tombstones_free(PlanTombstone *tombstones, size_t n) {
        for (size_t i = 0; i < n; i++)
                tombstone_done(&tombstones[i]);
        free(tombstones);
}

void index_done(Index *index) {
        for (size_t i = 0; i < index->n; i++)
                entry_done(&index->entries[i]);
        free(index->entries);
        tombstones_free(index->tombstones, index->n_tombstones);
        handovers_free(index->handovers, index->n_handovers);
        free(index->node_name);
        free(index->manifest_dir);
        *index = (Index){ 0 };
}

/* Where the file is, or where it would be put in. */
static size_t position(const Index *index, const char *file) {
        size_t low = 0, high = index->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (strcmp(index->entries[middle].file, file) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int store_each_of(const Store *s, const char *origin, int (*add)(void *user, const char *namespace, const char *name),
                  void *user) {
        const Index *index = &s->index;
        int r = 0;

        for (size_t i = 0; r == 0 && i < index->n; i++)
                if (streq(index->entries[i].origin, origin))
                        r = add(user, index->entries[i].namespace, index->entries[i].name);
        return r;
}

const IndexEntry *index_find(const Index *index, const char *file) {
        size_t i = position(index, file);

        return i < index->n && streq(index->entries[i].file, file) ? &index->entries[i] : NULL;
}

int index_put(Index *index, const char *file, const char *namespace, const char *name, const char *origin) {
        size_t i = position(index, file);
        bool known = i < index->n && streq(index->entries[i].file, file);
        IndexEntry made;

        if (!origin && known)
                origin = index->entries[i].origin;
        made = (IndexEntry){ .file = strdup(file), .namespace = strdup(namespace), .name = strdup(name) };
        if (origin)
                made.origin = strdup(origin);
        if (!made.file || !made.namespace || !made.name || (origin && !made.origin) ||
            !ARRAY_GROW(index->entries, index->n, index->cap)) {
                entry_done(&made);
                return -ENOMEM;
        }
        if (known) {
                entry_done(&index->entries[i]);
        } else {
                memmove(index->entries + i + 1, index->entries + i, (index->n - i) * sizeof(made));
                index->n++;
        }
        index->entries[i] = made;
        return 0;
}

void index_drop(Index *index, const char *file) {
        size_t i = position(index, file);

        if (i == index->n || !streq(index->entries[i].file, file))
                return;
        entry_done(&index->entries[i]);
        index->n--;
        memmove(index->entries + i, index->entries + i + 1, (index->n - i) * sizeof(*index->entries));
}

/* ---- tombstones ---- */

static int tombstone_copy(const PlanTombstone *from, PlanTombstone *ret) {
        PlanTombstone made = *from;
        HostPort *ports = NULL;

        made.namespace = strdup(from->namespace);
        made.name = strdup(from->name);
        made.uid = strdup(from->uid);
        if (from->input)
                made.input = strdup(from->input);
        if (from->n_ports)
                ports = malloc(from->n_ports * sizeof(*ports));
        made.ports = ports;
        if (!made.namespace || !made.name || !made.uid || (from->input && !made.input) || (from->n_ports && !ports)) {
                tombstone_done(&made);
                return -ENOMEM;
        }
        if (ports)
                memcpy(ports, from->ports, from->n_ports * sizeof(*ports));
        *ret = made;
        return 0;
}

int index_add_tombstone(Index *index, const PlanTombstone *tombstone) {
        PlanTombstone made;

        if (!ARRAY_GROW(index->tombstones, index->n_tombstones, index->cap_tombstones) ||
            tombstone_copy(tombstone, &made) < 0)
                return -ENOMEM;
        index_drop_tombstone(index, tombstone->uid);
        index->tombstones[index->n_tombstones++] = made;
        return 0;
}

static void remove_tombstone(Index *index, size_t i) {
        tombstone_done(&index->tombstones[i]);
        index->n_tombstones--;
        memmove(index->tombstones + i, index->tombstones + i + 1,
                (index->n_tombstones - i) * sizeof(*index->tombstones));
}

void index_drop_tombstone(Index *index, const char *uid) {
        /* There is one at most, and uid may be its own. */
        for (size_t i = index->n_tombstones; i-- > 0;)
                if (streq(index->tombstones[i].uid, uid)) {
                        remove_tombstone(index, i);
                        return;
                }
}

void index_expire(Index *index, int64_t now) {
        for (size_t i = index->n_tombstones; i-- > 0;) {
                PlanTombstone *t = &index->tombstones[i];

                /* A time in the future was taken before the clock was set back: it counts from now. */
                if (t->removed_at - now > t->grace + TOMBSTONE_EXTRA)
                        t->removed_at = now;
                /* A kubelet that is stopped stops no pod. (Traces without a process may stay for ever.) */
                if (t->witness != WITNESS_RUNNING && now - t->removed_at > t->grace + TOMBSTONE_EXTRA)
                        remove_tombstone(index, i);
        }
}

int index_copy_tombstones(const Index *index, PlanTombstone **ret, size_t *ret_n) {
        PlanTombstone *made;
        size_t n = index->n_tombstones;

        *ret = NULL;
        *ret_n = 0;
        if (n == 0)
                return 0;
        made = calloc(n, sizeof(*made));
        if (!made)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (tombstone_copy(&index->tombstones[i], &made[i]) < 0) {
                        tombstones_free(made, i);
                        return -ENOMEM;
                }
        *ret = made;
        *ret_n = n;
        return 0;
}

/* ---- from and to JSON ---- */

static int parse_entries(const cJSON *manifests, Index *index) {
        for (const cJSON *e = manifests ? manifests->child : NULL; e; e = e->next) {
                const char *namespace = json_string(e, "namespace"), *name = json_string(e, "name");
                int r;

                if (!manifest_name_is_ours(e->string) || !namespace || !name)
                        return -EBADMSG;
                r = index_put(index, e->string, namespace, name, json_string(e, "origin"));
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool parse_port(const cJSON *json, HostPort *ret) {
        const char *ip = json_string(json, "ip"), *protocol = json_string(json, "protocol");
        int64_t port;

        if (!json_int(json_get(json, "port"), &port) || port < 1 || port > UINT16_MAX)
                return false;
        *ret = (HostPort){ .port = (uint16_t)port };
        return snprintf(ret->ip, sizeof(ret->ip), "%s", str_or_empty(ip)) < (int)sizeof(ret->ip) &&
               snprintf(ret->protocol, sizeof(ret->protocol), "%s", protocol ? protocol : "TCP") <
                       (int)sizeof(ret->protocol);
}

static int parse_tombstone(const cJSON *json, Index *index) {
        const cJSON *ports = json_get(json, "ports");
        PlanTombstone t = { .namespace = json_string(json, "namespace"),
                            .name = json_string(json, "name"),
                            .uid = json_string(json, "uid"),
                            .input = json_string(json, "input") };
        _cleanup_free_ HostPort *made = NULL;
        int n = cJSON_GetArraySize(ports);

        if (!t.namespace || !t.name || !t.uid || !json_int(json_get(json, "removedAt"), &t.removed_at) ||
            !json_int(json_get(json, "grace"), &t.grace) || t.grace < 0 || t.grace > INT32_MAX)
                return -EBADMSG;
        made = calloc((size_t)n + 1, sizeof(*made));
        if (!made)
                return -ENOMEM;
        for (const cJSON *p = ports ? ports->child : NULL; p; p = p->next)
                if (!parse_port(p, &made[t.n_ports++]))
                        return -EBADMSG;
        t.ports = made;
        return index_add_tombstone(index, &t);
}

static int parse_tree(const cJSON *root, const char *machine_id, Index *index) {
        const char *machine = json_string(root, "machineId"), *node_name = json_string(root, "nodeName");
        const char *manifest_dir = json_string(root, "manifestDir");
        int64_t version;
        int r;

        if (!json_int(json_get(root, "version"), &version) || version != INDEX_VERSION)
                return -EBADMSG;
        r = parse_entries(json_get(root, "manifests"), index);
        if (r < 0)
                return r;
        for (const cJSON *t = cJSON_IsArray(json_get(root, "tombstones")) ? json_get(root, "tombstones")->child : NULL;
             t; t = t->next) {
                r = parse_tombstone(t, index);
                if (r < 0)
                        return r;
        }
        r = handovers_parse(json_get(root, "handovers"), index);
        if (r < 0)
                return r;
        if (manifest_dir) {
                index->manifest_dir = strdup(manifest_dir);
                if (!index->manifest_dir)
                        return -ENOMEM;
        }
        /* A disk that was cloned brings another machine's name with it. */
        if (node_name && streq(str_or_empty(machine), machine_id)) {
                index->node_name = strdup(node_name);
                if (!index->node_name)
                        return -ENOMEM;
        }
        return 0;
}

int index_parse(const char *text, size_t len, const char *machine_id, Index *ret) {
        _cleanup_json_ cJSON *root = NULL;
        Index made = { 0 };
        Place place;
        int r = json_parse(text, len, (Place){ 1, 1 }, NULL, NULL, &root, NULL, &place, NULL);

        if (r < 0)
                return r;
        r = parse_tree(root, machine_id, &made);
        if (r < 0) {
                index_done(&made);
                return r;
        }
        *ret = made;
        return 0;
}

static cJSON *entry_tree(const IndexEntry *e) {
        cJSON *made = cJSON_CreateObject();

        if (made && json_add_string(made, "namespace", e->namespace) && json_add_string(made, "name", e->name) &&
            (!e->origin || json_add_string(made, "origin", e->origin)))
                return made;
        cJSON_Delete(made);
        return NULL;
}

static cJSON *port_tree(const HostPort *p) {
        cJSON *made = cJSON_CreateObject();

        if (made && json_add_string(made, "ip", p->ip) && json_add_string(made, "protocol", p->protocol) &&
            json_add(made, "port", json_new_int(p->port)))
                return made;
        cJSON_Delete(made);
        return NULL;
}

static cJSON *tombstone_tree(const PlanTombstone *t) {
        _cleanup_json_ cJSON *made = cJSON_CreateObject(), *ports = cJSON_CreateArray();

        if (!made || !ports)
                return NULL;
        for (size_t i = 0; i < t->n_ports; i++)
                if (!json_append(ports, port_tree(&t->ports[i])))
                        return NULL;
        if (!json_add(made, "ports", TAKE_PTR(ports)) || !json_add_string(made, "namespace", t->namespace) ||
            !json_add_string(made, "name", t->name) || !json_add_string(made, "uid", t->uid) ||
            (t->input && !json_add_string(made, "input", t->input)) ||
            !json_add(made, "removedAt", json_new_int(t->removed_at)) ||
            !json_add(made, "grace", json_new_int(t->grace)))
                return NULL;
        return TAKE_PTR(made);
}

char *index_text(const Index *index, const char *machine_id, size_t *ret_len) {
        _cleanup_json_ cJSON *root = cJSON_CreateObject(), *manifests = cJSON_CreateObject(),
                             *tombstones = cJSON_CreateArray();

        if (!root || !manifests || !tombstones)
                return NULL;
        for (size_t i = 0; i < index->n; i++)
                if (!json_add(manifests, index->entries[i].file, entry_tree(&index->entries[i])))
                        return NULL;
        for (size_t i = 0; i < index->n_tombstones; i++)
                if (!json_append(tombstones, tombstone_tree(&index->tombstones[i])))
                        return NULL;
        if (!json_add(root, "manifests", TAKE_PTR(manifests)) || !json_add(root, "tombstones", TAKE_PTR(tombstones)) ||
            (index->n_handovers && !json_add(root, "handovers", handovers_tree(index))) ||
            !json_add(root, "version", json_new_int(INDEX_VERSION)) ||
            !json_add_string(root, "machineId", machine_id) ||
            (index->manifest_dir && !json_add_string(root, "manifestDir", index->manifest_dir)) ||
            (index->node_name && !json_add_string(root, "nodeName", index->node_name)))
                return NULL;
        return json_canonical_text(root, ret_len);
}
