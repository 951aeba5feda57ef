/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_world.h"

#include <stdio.h>

#define ADD(items, n, cap)                                                                                             \
        ({                                                                                                             \
                assert_true(ARRAY_GROW(items, n, cap));                                                                \
                memset(&(items)[n], 0, sizeof(*(items)));                                                              \
                &(items)[(n)++];                                                                                       \
        })

void world_init(World *w) {
        *w = (World){ .facts = { .local_read = true,
                                 .local_complete = true,
                                 .api_synced = true,
                                 .all_synced = true,
                                 .kubelet_synced = true,
                                 .kubelet_up_for = 3600 * 1000,
                                 .kubelet_ran = true,
                                 .boot = "one",
                                 .now = 1000 } };
}

void world_done(World *w) {
        for (size_t i = 0; i < w->n_pods; i++) {
                free(w->pods[i]->r.bytes);
                free(w->pods[i]->r.ports);
                free(w->pods[i]);
        }
        for (size_t i = 0; i < w->n_owned; i++)
                free(w->owned[i]);
        free(w->pods);
        free(w->owned);
        free(w->wanted);
        free(w->present);
        free(w->written);
        free(w->tombstones);
        free(w->memory);
        free(w->handovers);
        free(w->files);
        free(w->targets);
}

char *world_text(World *w, const char *format, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        assert_true(vasprintf(&text, format, ap) >= 0);
        va_end(ap);
        *ADD(w->owned, w->n_owned, w->cap_owned) = text;
        return text;
}

char *world_file(World *w, const char *namespace, const char *name) {
        char file[MANIFEST_NAME_MAX + 1];

        assert_int_equal(manifest_file_name(namespace, name, file), 0);
        return world_text(w, "%s", file);
}

/* ---- pods ---- */

/* "80,53/UDP,10.0.0.1@443" as the ports of a container. */
static void add_ports(cJSON *container, const char *ports) {
        cJSON *list = cJSON_CreateArray();
        char copy[256], *save = NULL;

        (void)snprintf(copy, sizeof(copy), "%s", ports);
        for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
                char *at = strchr(p, '@'), *slash = strchr(p, '/');
                cJSON *port = cJSON_CreateObject();

                if (slash)
                        *slash = 0;
                assert_true(json_add(port, "hostPort", json_new_int(strtol(at ? at + 1 : p, NULL, 10))));
                if (slash)
                        assert_true(json_add_string(port, "protocol", slash + 1));
                if (at) {
                        *at = 0;
                        assert_true(json_add_string(port, "hostIP", p));
                }
                assert_true(json_append(list, port));
        }
        assert_true(json_add(container, "ports", list));
}

static cJSON *pod_tree(const char *namespace, const char *name, const char *image, const char *ports) {
        cJSON *pod = cJSON_CreateObject(), *metadata = cJSON_CreateObject(), *spec = cJSON_CreateObject();
        cJSON *containers = cJSON_CreateArray(), *container = cJSON_CreateObject();

        assert_true(json_add_string(pod, "apiVersion", "v1"));
        assert_true(json_add_string(pod, "kind", "Pod"));
        assert_true(json_add_string(metadata, "name", name));
        assert_true(json_add_string(metadata, "namespace", namespace));
        assert_true(json_add(pod, "metadata", metadata));
        assert_true(json_add_string(container, "name", "main"));
        assert_true(json_add_string(container, "image", image));
        if (*ports)
                add_ports(container, ports);
        assert_true(json_append(containers, container));
        assert_true(json_add(spec, "containers", containers));
        assert_true(json_add(pod, "spec", spec));
        return pod;
}

static void make_pod(WorldPod *p, const char *namespace, const char *name) {
        const char *colon = strchr(p->spec, ':');
        bool edited = strchr(p->spec, '!') && (!colon || strchr(p->spec, '!') < colon);
        char image[32], annotation[512];
        _cleanup_json_ cJSON *pod = NULL;
        cJSON *annotations = cJSON_CreateObject();
        _cleanup_buf_ Buf bytes = BUF_INIT;

        (void)snprintf(image, sizeof(image), "image-%c%c", p->spec[0],
                       p->spec[1] >= 'a' && p->spec[1] <= 'z' ? p->spec[1] : '0');
        pod = pod_tree(namespace, name, image, colon ? colon + 1 : "");
        memset(p->r.input, p->spec[0], INPUT_HEX);
        (void)snprintf(annotation, sizeof(annotation), "%s/%s", namespace, name);
        assert_true(json_add_string(annotations, ANNOTATION_DAEMONSET, annotation));
        assert_true(json_add_string(annotations, ANNOTATION_INPUT, p->r.input));
        assert_true(json_add(json_get_mutable(pod, "metadata"), "annotations", annotations));
        assert_int_equal(manifest_identity(pod, "node-1", p->r.revision, p->r.uid), 0);
        assert_true(json_add_string(annotations, ANNOTATION_REVISION, p->r.revision));
        assert_true(json_add_string(json_get_mutable(pod, "metadata"), "uid", p->r.uid));
        if (edited)
                assert_true(json_add_string(json_get_mutable(pod, "spec"), "schedulerName", "edited"));
        assert_int_equal(host_ports_from_spec(json_get(pod, "spec"), &p->r.ports, &p->r.n_ports), 0);
        json_canonical(pod, &bytes);
        buf_char(&bytes, '\n');
        p->r.bytes = buf_take(&bytes, &p->r.len);
        assert_non_null(p->r.bytes);
}

const WorldPod *world_pod(World *w, const char *namespace, const char *name, const char *spec) {
        char label[512];
        WorldPod *p;

        (void)snprintf(label, sizeof(label), "%s/%s %s", namespace, name, spec);
        for (size_t i = 0; i < w->n_pods; i++)
                if (streq(w->pods[i]->label, label))
                        return w->pods[i];
        p = calloc(1, sizeof(*p));
        assert_non_null(p);
        *ADD(w->pods, w->n_pods, w->cap_pods) = p;
        p->label = world_text(w, "%s", label);
        p->spec = p->label + strlen(label) - strlen(spec);
        make_pod(p, namespace, name);
        return p;
}

const char *world_foreign(World *w, const char *namespace, const char *name) {
        _cleanup_json_ cJSON *pod = pod_tree(namespace, name, "foreign", "");
        _cleanup_free_ char *text = json_canonical_text(pod, NULL);

        assert_non_null(text);
        return world_text(w, "%s", text);
}

const char *world_spec(const World *w, const char *bytes, size_t len) {
        if (!bytes)
                return "-";
        for (size_t i = 0; i < w->n_pods; i++)
                if (w->pods[i]->r.len == len && memcmp(w->pods[i]->r.bytes, bytes, len) == 0)
                        return w->pods[i]->spec;
        return "?";
}

/* ---- facts ---- */

PlanWanted *world_want(World *w, const char *namespace, const char *name, PlanWish wish, const char *spec) {
        PlanWanted *x = ADD(w->wanted, w->facts.n_wanted, w->cap_wanted);

        w->facts.wanted = w->wanted;
        *x = (PlanWanted){ .namespace = world_text(w, "%s", namespace),
                           .name = world_text(w, "%s", name),
                           .wish = wish,
                           .state = wish == WISH_KEEP ? STATE_WAITING : STATE_NOT_HERE,
                           .reason = wish == WISH_PRESENT ? REASON_Fits
                                     : wish == WISH_KEEP  ? REASON_WaitingForConfigMap
                                                          : REASON_NodeSelectorMismatch,
                           .origin = "file:a.yaml",
                           .rendered = spec ? &world_pod(w, namespace, name, spec)->r : NULL };
        return x;
}

PlanEntry *world_entry(World *w, const char *file, EntryKind kind, const char *bytes, size_t len) {
        PlanEntry *x = ADD(w->present, w->facts.n_present, w->cap_present);

        w->facts.present = w->present;
        *x = (PlanEntry){ .file = world_text(w, "%s", file), .kind = kind, .bytes = bytes, .len = len };
        return x;
}

PlanWritten *world_written(World *w, const char *namespace, const char *name, const char *spec, const char *next) {
        PlanWritten *x = ADD(w->written, w->facts.n_written, w->cap_written);

        w->facts.written = w->written;
        *x = (PlanWritten){ .file = world_file(w, namespace, name),
                            .namespace = world_text(w, "%s", namespace),
                            .name = world_text(w, "%s", name),
                            .origin = "file:a.yaml" };
        if (spec) {
                x->bytes = world_pod(w, namespace, name, spec)->r.bytes;
                x->len = world_pod(w, namespace, name, spec)->r.len;
        }
        if (next) {
                x->next = world_pod(w, namespace, name, next)->r.bytes;
                x->next_len = world_pod(w, namespace, name, next)->r.len;
        }
        return x;
}

PlanTombstone *world_tombstone(World *w, const char *namespace, const char *name, const char *spec) {
        PlanTombstone *x = ADD(w->tombstones, w->facts.n_tombstones, w->cap_tombstones);
        const WorldPod *p = world_pod(w, namespace, name, spec);

        w->facts.tombstones = w->tombstones;
        *x = (PlanTombstone){ .namespace = world_text(w, "%s", namespace),
                              .name = world_text(w, "%s", name),
                              .uid = p->r.uid,
                              .ports = p->r.ports,
                              .n_ports = p->r.n_ports,
                              .removed_at = 990,
                              .grace = 30 };
        return x;
}

PlanMemory *world_memory(World *w, const char *namespace, const char *name) {
        PlanMemory *x = ADD(w->memory, w->facts.n_memory, w->cap_memory);

        w->facts.memory = w->memory;
        *x = (PlanMemory){ .file = world_file(w, namespace, name), .unwanted_for = -1 };
        return x;
}

PlanHandover *world_handover(World *w, const char *namespace, const char *name, const char *pod) {
        PlanHandover *x = ADD(w->handovers, w->facts.n_handovers, w->cap_handovers);

        w->facts.handovers = w->handovers;
        *x = (PlanHandover){ .namespace = world_text(w, "%s", namespace),
                             .name = world_text(w, "%s", name),
                             .pod = world_text(w, "%s", pod),
                             .uid = world_uid(w, pod),
                             .boot = "one" };
        return x;
}

const char *world_uid(World *w, const char *pod) {
        return *pod ? world_text(w, "uid-of-%s", pod) : "";
}

PlanTheirs *world_theirs(World *w, const char *name, TheirDaemonSet daemonset, TheirPod pod) {
        PlanTheirs *x = calloc(1, sizeof(*x));

        assert_non_null(x);
        *ADD(w->owned, w->n_owned, w->cap_owned) = x;
        *x = (PlanTheirs){ .daemonset = daemonset,
                           .pods_known = true,
                           .pod = pod,
                           .pod_name = pod == POD_NONE ? "" : world_text(w, "%s-k7x2p", name),
                           .unfit = "",
                           .blind = "",
                           .difference = "" };
        x->pod_uid = world_uid(w, x->pod_name);
        return x;
}

/* ---- facts from text ---- */

enum { WORDS_MAX = 16 };

typedef struct Line {
        char *words[WORDS_MAX];
        size_t n;
} Line;

/* The value of the word key=value, or NULL. */
static char *option(const Line *l, const char *key) {
        size_t n = strlen(key);

        for (size_t i = 0; i < l->n; i++)
                if (strncmp(l->words[i], key, n) == 0 && l->words[i][n] == '=')
                        return l->words[i] + n + 1;
        return NULL;
}

static int64_t number(const Line *l, const char *key, int64_t otherwise) {
        const char *word = option(l, key);

        if (streq(word, "ever"))
                return INT64_MAX;
        return word ? strtoll(word, NULL, 10) : otherwise;
}

static bool flag(const Line *l, const char *word) {
        for (size_t i = 0; i < l->n; i++)
                if (streq(l->words[i], word))
                        return true;
        return false;
}

static unsigned pick(const char *word, const char *const *names, unsigned n) {
        for (unsigned i = 0; word && i < n; i++)
                if (streq(names[i], word))
                        return i;
        fail_msg("unknown word %s", str_or_empty(word));
        return 0;
}
#define PICK(word, ...)                                                                                                \
        pick(word, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static Witness witness_option(const Line *l) {
        const char *word = option(l, "witness");

        return word ? (Witness)PICK(word, "unknown", "running", "terminating", "gone") : WITNESS_UNKNOWN;
}

static const char *origin_option(World *w, const Line *l) {
        const char *origin = option(l, "origin");

        return !origin ? "file:a.yaml" : streq(origin, "none") ? NULL : world_text(w, "%s", origin);
}

/* Splits "namespace/name" in place. */
static char *split_name(char *word) {
        char *slash = word ? strchr(word, '/') : NULL;

        if (!slash)
                fail_msg("no NAMESPACE/NAME: %s", str_or_empty(word));
        *slash = 0;
        return slash + 1;
}

static Reason reason_of(const char *word) {
        for (unsigned i = 0; i < REASON_COUNT; i++)
                if (streq(reason_name((Reason)i), word))
                        return (Reason)i;
        fail_msg("unknown reason %s", word);
        return REASON_None;
}

/* want NS/NAME present SPEC | keep | absent [state=STATE] [reason=REASON] [origin=] [message=] [on-delete]
 * [by-live-node] [only-new] */
static void read_want(World *w, const Line *l) {
        char *name = split_name(l->words[1]), *state = option(l, "state");
        PlanWish wish = (PlanWish)PICK(l->words[2], "absent", "keep", "present");
        PlanWanted *x = world_want(w, l->words[1], name, wish, wish == WISH_PRESENT ? l->words[3] : NULL);

        x->origin = origin_option(w, l);
        x->on_delete = flag(l, "on-delete");
        x->by_live_node = flag(l, "by-live-node");
        x->only_new = flag(l, "only-new");
        x->reason = option(l, "reason") ? reason_of(option(l, "reason")) : x->reason;
        x->message = option(l, "message") ? world_text(w, "%s", option(l, "message")) : NULL;
        for (unsigned i = 0; state && i <= STATE_HANDED_OVER; i++)
                if (streq(state_name((State)i), state))
                        x->state = (State)i;
}

/* stands NS/NAME [SPEC] [kind=] [file=] [foreign] [text=] [too-large] [unreadable] [mode-wrong] [modified=] */
static void read_stands(World *w, const Line *l) {
        char *name = split_name(l->words[1]), *file = option(l, "file"), *text = option(l, "text");
        EntryKind kind = option(l, "kind") ? (EntryKind)PICK(option(l, "kind"), "regular", "link", "directory", "other")
                                           : ENTRY_REGULAR;
        PlanEntry *x = world_entry(w, file ? file : world_file(w, l->words[1], name), kind, NULL, 0);

        x->unreadable = flag(l, "unreadable");
        x->mode_wrong = flag(l, "mode-wrong");
        x->modified = number(l, "modified", 0);
        if (text)
                x->bytes = world_text(w, "%s", text);
        else if (flag(l, "foreign"))
                x->bytes = world_foreign(w, l->words[1], name);
        else if (l->n > 2 && strchr("0123456789", l->words[2][0]))
                x->bytes = world_pod(w, l->words[1], name, l->words[2])->r.bytes;
        x->len = x->bytes ? strlen(x->bytes) : 0;
}

/* written NS/NAME SPEC|- [next=SPEC] [origin=] [witness=] [garbage] */
static void read_written(World *w, const Line *l) {
        char *name = split_name(l->words[1]);
        const char *spec = streq(l->words[2], "-") ? NULL : l->words[2];
        PlanWritten *x = world_written(w, l->words[1], name, spec, option(l, "next"));

        x->origin = origin_option(w, l);
        x->witness = witness_option(l);
        if (flag(l, "garbage")) {
                x->bytes = "{\"apiVersion\":";
                x->len = strlen(x->bytes);
        }
}

/* tombstone NS/NAME PORTS|pod=SPEC [removed=] [grace=] [witness=] */
static void read_tombstone(World *w, const Line *l) {
        char *name = split_name(l->words[1]), *spec = option(l, "pod");
        PlanTombstone *x = world_tombstone(w, l->words[1], name, spec ? spec : world_text(w, "9:%s", l->words[2]));

        x->witness = witness_option(l);
        x->removed_at = number(l, "removed", x->removed_at);
        x->grace = number(l, "grace", x->grace);
}

static const char *text_option(World *w, const Line *l, const char *key) {
        const char *text = option(l, key);

        return text ? world_text(w, "%s", text) : "";
}

/* theirs NS/NAME runs|absent|fenced|unknown [pod=unbound|bound|ready] [pods-unknown] [awaited]
 * [mode=never|exists|ready] [witness=] [unfit=] [blind=] [difference=]; of what is wanted in a line above */
static void read_theirs(World *w, const Line *l) {
        char *name = split_name(l->words[1]);
        TheirDaemonSet daemonset = (TheirDaemonSet)PICK(l->words[2], "unknown", "absent", "fenced", "runs");
        TheirPod pod = option(l, "pod") ? (TheirPod)PICK(option(l, "pod"), "none", "unbound", "bound", "ready")
                                        : POD_NONE;
        PlanTheirs *x = world_theirs(w, name, daemonset, pod);
        bool found = false;

        x->pods_known = !flag(l, "pods-unknown");
        x->awaited = flag(l, "awaited");
        x->mode = option(l, "mode") ? (HandoffMode)PICK(option(l, "mode"), "", "never", "exists", "ready")
                                    : HANDOFF_AUTO;
        x->witness = witness_option(l);
        x->unfit = text_option(w, l, "unfit");
        x->blind = text_option(w, l, "blind");
        x->difference = text_option(w, l, "difference");
        for (size_t i = 0; i < w->facts.n_wanted; i++)
                if (streq(w->wanted[i].namespace, l->words[1]) && streq(w->wanted[i].name, name)) {
                        w->wanted[i].theirs = x;
                        found = true;
                }
        if (!found)
                fail_msg("theirs of what is not wanted: %s/%s", l->words[1], name);
}

/* handover NS/NAME [pod=] [boot=] [unplaced] [stopped] [witness=]; in the order of names */
static void read_handover(World *w, const Line *l) {
        char *name = split_name(l->words[1]), *pod = option(l, "pod");
        PlanHandover *x = world_handover(w, l->words[1], name, str_or_empty(pod));

        x->boot = option(l, "boot") ? world_text(w, "%s", option(l, "boot")) : x->boot;
        x->unplaced = flag(l, "unplaced");
        x->stopped = flag(l, "stopped");
        x->witness = witness_option(l);
}

/* memory NS/NAME [unwanted=] [damped] [restart] [absent=] [retries=] [gone=] [held=] [missing=] [unplaced=]; in the
 * order of files */
static void read_memory(World *w, const Line *l) {
        char *name = split_name(l->words[1]);
        PlanMemory *x = world_memory(w, l->words[1], name);

        x->unwanted_for = number(l, "unwanted", -1);
        x->damped = flag(l, "damped");
        x->restart = flag(l, "restart");
        x->absent_for = number(l, "absent", 0);
        x->retries = (unsigned)number(l, "retries", 0);
        x->gone_for = number(l, "gone", 0);
        x->held_since = number(l, "held", 0);
        x->missing_for = number(l, "missing", 0);
        x->unplaced_for = number(l, "unplaced", 0);
}

/* set WORD... */
static void read_set(World *w, const Line *l) {
        PlanFacts *f = &w->facts;
        const struct {
                const char *word;
                bool *to;
                bool value;
        } flags[] = {
                { "local-unread", &f->local_read, false },
                { "local-incomplete", &f->local_complete, false },
                { "not-synced", &f->all_synced, false },
                { "api-unsynced", &f->api_synced, false },
                { "rerender", &f->rerender, true },
                { "confirm", &f->confirm, true },
                { "kubelet-unsynced", &f->kubelet_synced, false },
                { "server-away", &f->server_away, true },
                { "stop-if-deleted", &f->stop_if_deleted, true },
        };

        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                if (flag(l, flags[i].word))
                        *flags[i].to = flags[i].value;
        if (option(l, "hold"))
                f->hold = (HoldPolicy)PICK(option(l, "hold"), "never", "until-synced", "always");
        if (option(l, "boot"))
                f->boot = streq(option(l, "boot"), "unknown") ? NULL : world_text(w, "%s", option(l, "boot"));
        f->now = number(l, "clock", f->now);
        f->kubelet_up_for = number(l, "kubelet-up", f->kubelet_up_for);
        f->kubelet_ran = f->kubelet_up_for >= 0 || flag(l, "kubelet-ran");
        f->removal_delay = number(l, "removal-delay", f->removal_delay);
        f->settle = number(l, "settle", f->settle);
        f->node_for = number(l, "node-for", f->node_for);
        if (option(l, "complete")) {
                *ADD(w->files, f->n_complete_files, w->cap_files) = world_text(w, "%s", option(l, "complete"));
                f->complete_files = w->files;
        }
        if (option(l, "now")) {
                *ADD(w->targets, f->n_now_targets, w->cap_targets) = world_text(w, "%s", option(l, "now"));
                f->now_targets = w->targets;
        }
}

void world_read(World *w, char *text) {
        static const struct {
                const char *word;
                void (*read)(World *w, const Line *l);
        } rows[] = {
                { "want", read_want },           { "stands", read_stands },     { "written", read_written },
                { "tombstone", read_tombstone }, { "memory", read_memory },     { "set", read_set },
                { "theirs", read_theirs },       { "handover", read_handover },
        };
        char *save = NULL;

        for (char *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
                Line l = { 0 };
                char *save_word = NULL;
                bool known = s[0] == '#';

                for (char *x = strtok_r(s, " ", &save_word); x && l.n < WORDS_MAX; x = strtok_r(NULL, " ", &save_word))
                        l.words[l.n++] = x;
                for (size_t i = 0; !known && i < ARRAY_SIZE(rows); i++)
                        if (l.n > 0 && streq(l.words[0], rows[i].word)) {
                                rows[i].read(w, &l);
                                known = true;
                        }
                if (!known)
                        fail_msg("unknown line: %s", str_or_empty(l.words[0]));
        }
}

/* ---- output ---- */

/* The spec of the pod with this revision. */
static const char *spec_of_revision(const World *w, const PlanRow *row) {
        char prefix[512];

        if (!*row->revision)
                return "-";
        (void)snprintf(prefix, sizeof(prefix), "%s/%s ", row->namespace, row->name);
        for (size_t i = 0; i < w->n_pods; i++)
                if (streq(w->pods[i]->r.revision, row->revision) && startswith(w->pods[i]->label, prefix) &&
                    !strchr(w->pods[i]->spec, '!'))
                        return w->pods[i]->spec;
        return "?";
}

/* Revisions are hashes: in messages the spec says more. */
static void print_text(const World *w, const char *text, Buf *out) {
        while (*text) {
                size_t i = 0;

                while (i < w->n_pods && !startswith(text, w->pods[i]->r.revision))
                        i++;
                if (i < w->n_pods) {
                        buf_printf(out, "<%s>", w->pods[i]->spec);
                        text += REVISION_HEX;
                } else
                        buf_char(out, *text++);
        }
}

/* What a ledger would learn. */
static void print_memory(const PlanRow *r, Buf *out) {
        buf_printf(out, "  %s%s%s%s%s", r->delayed ? " delayed" : "", r->damped ? " damped" : "",
                   r->alive ? " alive" : "", r->gone ? " gone" : "", r->unsettled ? " unsettled" : "");
        if (r->wait == INT64_MAX)
                buf_str(out, " wait=ever");
        else if (r->wait)
                buf_printf(out, " wait=%lld", (long long)r->wait);
        if (r->held_since)
                buf_printf(out, " held=%lld", (long long)r->held_since);
        if (r->missing)
                buf_str(out, " missing");
        if (r->unplaced)
                buf_str(out, " unplaced");
        if (r->absent_for >= 0)
                buf_printf(out, " absent=%lld", (long long)r->absent_for);
        if (r->written_at)
                buf_printf(out, " at=%lld", (long long)r->written_at);
        buf_char(out, '\n');
}

void world_print(const World *w, const Plan *plan, Buf *out) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const PlanStep *s = &plan->steps[i];

                buf_printf(out, "%s %s", step_verb_name(s->verb), s->file);
                if (s->bytes)
                        buf_printf(out, " %s", world_spec(w, s->bytes, s->len));
                buf_printf(out, "%s%s%s%s", s->save_copy ? " +save" : "", s->move_first ? " +move" : "",
                           s->again ? " +again" : "", s->back ? " +back" : "");
                if (s->pod)
                        buf_printf(out, " pod=%s", s->pod);
                buf_printf(out, " [%s] %s\n", step_effect_name(s->effect), s->why);
        }
        for (size_t i = 0; i < plan->n_rows; i++) {
                const PlanRow *r = &plan->rows[i];

                buf_printf(out, "= %s/%s %s %s %s %s [%s] (%s) ", r->namespace, r->name, state_name(r->state),
                           r->reason ? reason_name(r->reason) : "-", spec_of_revision(w, r),
                           r->has_step ? step_verb_name(r->verb) : "-", step_effect_name(r->effect),
                           r->origin ? r->origin : "unknown");
                print_text(w, r->message, out);
                buf_char(out, '\n');
                if (w->facts.memory)
                        print_memory(r, out);
        }
        for (size_t i = 0; i < plan->n_handovers; i++) {
                const PlanHandover *h = &plan->handovers[i];

                buf_printf(out, "remember %s/%s %s %s%s%s\n", h->namespace, h->name, *h->pod ? h->pod : "-", h->boot,
                           h->unplaced ? " unplaced" : "", h->stopped ? " stopped" : "");
        }
}
