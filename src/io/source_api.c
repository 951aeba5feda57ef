/* SPDX-License-Identifier: Apache-2.0 */
#include "io/clock.h"
#include "io/source_api_internal.h"

#include <errno.h>
#include <sys/random.h>

enum {                      /* milliseconds */
       TELL_PAUSE = 100,    /* between two tellings of changes */
       SAVE_PAUSE = 5000,   /* between two writes of the cache */
       MEMBER_POLL = 60000, /* how often it is looked whether the kubelet's kubeconfig is still there */
       OPENING = 4,         /* not milliseconds: requests that wait for the first word of their answer, at most */
};

uint32_t api_random(void) {
        uint32_t value = 0;

        if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value))
                value = (uint32_t)clock_boot_ms() * 2654435761u;
        return value;
}

bool api_may_ask(const SourceApi *s) {
        return s->loop && s->has_identity && !s->left;
}

/* ---- the gate ---- */

void api_heard(SourceApi *s) {
        bool was_shut = s->shut;

        s->heard_at = clock_real_s();
        s->shut = false;
        s->knocked = true;
        s->server_problem.message[0] = 0;
        s->is_distrusted = false;
        if (!was_shut)
                return;
        backoff_reset(&s->knocks);
        api_news(s, API_CHANGED_STATE);
        for (size_t i = 0; i < s->n_follows; i++)
                reflector_hurry(s->follows[i]->reflector, clock_boot_ms());
}

void api_not_heard(SourceApi *s, int result, const char *why) {
        bool new = (!streq(s->server_problem.message, why) && *why) || !s->knocked;

        s->server_problem = (Err){ 0 };
        (void)err_set(&s->server_problem, result, "%s", why);
        s->is_distrusted = result == -EPROTO;
        s->knocked = true;
        if (new || !s->shut)
                api_news(s, API_CHANGED_STATE);
        if (s->shut && s->knock_at > clock_boot_ms())
                return;
        s->shut = true;
        s->knock_at = clock_boot_ms() + backoff_next(&s->knocks, api_random());
}

/* ---- what is due ---- */

static void earlier(int64_t *first, int64_t at) {
        if (at >= 0 && (*first < 0 || at < *first))
                *first = at;
}

static size_t n_opening(const SourceApi *s) {
        size_t n = 0;

        for (size_t i = 0; i < s->n_follows; i++)
                n += s->follows[i]->call && !s->follows[i]->answered;
        return n;
}

static int64_t save_due(const SourceApi *s) {
        return s->unsaved ? s->saved_at + SAVE_PAUSE : -1;
}

static int64_t next_time(const SourceApi *s) {
        int64_t first = save_due(s);
        bool full = n_opening(s) >= OPENING;

        if (s->news)
                earlier(&first, s->told_at + TELL_PAUSE);
        earlier(&first, s->identity_due);
        if (s->other_since >= 0)
                earlier(&first, s->other_since + REFLECTOR_DOUBT);
        if (s->known_kubelet)
                earlier(&first,
                        s->left_since >= 0 && !s->left ? s->left_since + s->settle : s->looked_at + MEMBER_POLL);
        for (size_t i = 0; i < s->n_follows; i++)
                earlier(&first, reflector_doubt_ends(s->follows[i]->reflector));
        if (!api_may_ask(s))
                return first;
        if (s->shut) {
                if (!s->who.call)
                        earlier(&first, s->knock_at);
                return first;
        }
        for (size_t i = 0; i < s->n_follows && !full; i++)
                if (!s->follows[i]->call)
                        earlier(&first, reflector_due(s->follows[i]->reflector));
        earlier(&first, node_due(s));
        earlier(&first, tokens_due(s));
        return first;
}

void api_arm(SourceApi *s) {
        int64_t at = s->loop ? next_time(s) : -1;

        if (!s->timer)
                return;
        if (at >= 0)
                (void)sd_event_source_set_time(s->timer, (uint64_t)at * 1000);
        (void)sd_event_source_set_enabled(s->timer, at >= 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

void api_news(SourceApi *s, unsigned what) {
        s->news |= what;
        api_arm(s);
}

static void ask_what_is_due(SourceApi *s, int64_t now) {
        size_t opening = n_opening(s);

        if (s->shut) {
                if (!s->who.call && s->knock_at <= now)
                        cluster_ask(s);
                return;
        }
        for (size_t i = 0; i < s->n_follows && opening < OPENING; i++)
                if (follow_is_due(s->follows[i], now) && api_begin(s->follows[i], now) == 0)
                        opening++;
        node_ask(s, now);
        tokens_ask(s, now);
}

static void settle_doubts(SourceApi *s, int64_t now) {
        for (size_t i = 0; i < s->n_follows; i++)
                if (reflector_settle_doubts(s->follows[i]->reflector, now))
                        follow_look(s->follows[i]);
}

static bool all_is_saved(const SourceApi *s) {
        bool all = true;

        for (size_t i = 0; i < s->n_follows; i++)
                all &= !follow_is_cached(s->follows[i]) ||
                       (!s->follows[i]->unsaved && s->follows[i]->state != REFLECTOR_UNREAD);
        return all;
}

static void save(SourceApi *s, int64_t now) {
        s->unsaved = false;
        s->saved_at = now;
        for (size_t i = 0; i < s->n_follows; i++)
                follow_save(s->follows[i]);
        if (!s->cache_failed || !all_is_saved(s))
                return;
        s->cache_failed = false;
        buf_reset(&s->cache_note);
        api_news(s, API_CHANGED_STATE);
}

/* Who is told may free us: nothing is touched behind that. */
static int on_timer(sd_event_source *source, uint64_t usec, void *user) {
        SourceApi *s = user;
        int64_t now = clock_boot_ms();
        unsigned news = 0;

        (void)source, (void)usec;
        cluster_check_left(s, now);
        cluster_check_identity(s, now);
        cluster_settle(s, now);
        settle_doubts(s, now);
        if (api_may_ask(s))
                ask_what_is_due(s, now);
        if (s->news && s->told_at + TELL_PAUSE <= now) {
                news = s->news;
                s->news = 0;
                s->told_at = now;
        }
        /* What manifests are about to follow is known after a crash as well: else they would go back and forth. */
        if (s->unsaved && (save_due(s) <= now || (news & (API_CHANGED_NODE | API_CHANGED_OBJECTS))))
                save(s, now);
        api_arm(s);
        if (news)
                s->changed(s->user, news);
        return 0;
}

/* ---- life ---- */

static int copy(char **to, const char *from) {
        *to = from ? strdup(from) : NULL;
        return from && !*to ? -ENOMEM : 0;
}

static int copy_options(SourceApi *s, const SourceApiOptions *o) {
        s->loop = sd_event_ref(o->loop);
        s->allow_insecure = o->allow_insecure;
        s->proxy_of_environment = o->proxy_of_environment;
        s->settle = o->settle;
        s->changed = o->changed;
        s->user = o->user;
        if (copy(&s->kubeconfig, o->kubeconfig) < 0 || copy(&s->kubelet_kubeconfig, o->kubelet_kubeconfig) < 0 ||
            copy(&s->node_name, o->node_name) < 0 || copy(&s->namespaces, o->namespaces) < 0 ||
            copy(&s->state_dir, o->state_dir) < 0)
                return -ENOMEM;
        return 0;
}

static int start_loop(SourceApi *s) {
        int r = sd_event_add_time(s->loop, &s->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, s);

        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        /* The library takes its memory only where there is somebody to ask. */
        return r < 0 || !s->kubeconfig ? r : http_new(s->loop, &s->http);
}

int source_api_new(const SourceApiOptions *options, SourceApi **ret, Err *err) {
        _cleanup_source_api_ SourceApi *s = calloc(1, sizeof(*s));
        int64_t now = clock_boot_ms();
        int r;

        if (!s)
                return err_oom(err);
        s->node_since = s->node_gone_since = s->left_since = s->identity_due = s->other_since = -1;
        s->told_at = now - TELL_PAUSE;
        s->saved_at = now - SAVE_PAUSE;
        s->looked_at = now;
        s->shut = s->untidy = true;
        s->knock_at = now;
        r = copy_options(s, options);
        if (r == 0 && s->loop)
                r = start_loop(s);
        if (r == 0)
                r = cluster_open(s, options->machine_id_file);
        if (r == 0)
                r = follow_basics(s);
        if (r < 0)
                return r == -ENOMEM ? err_oom(err) : err_errno(err, r, "cannot set up the client of the API server");
        s->news = 0; /* what was found now is there to be asked for */
        api_arm(s);
        *ret = TAKE_PTR(s);
        return 0;
}

SourceApi *source_api_free(SourceApi *s) {
        if (!s)
                return NULL;
        if (s->unsaved)
                save(s, 0);
        follow_drop_all(s);
        free(s->follows);
        free(s->unasked);
        question_done(&s->who);
        question_done(&s->gone);
        tokens_free(s);
        snapshot_done(&s->snapshot);
        live_node_done(&s->node);
        api_cache_free(s->cache);
        buf_done(&s->cache_note);
        if (s->has_identity)
                api_identity_done(&s->identity);
        http_free(s->http);
        sd_event_source_disable_unref(s->timer);
        sd_event_unref(s->loop);
        free(s->kubeconfig);
        free(s->kubelet_kubeconfig);
        free(s->node_name);
        free(s->namespaces);
        free(s->state_dir);
        free(s->machine_id);
        free(s->known_cluster);
        free(s->known_uid);
        free(s->known_kubelet);
        free(s->reports);
        free(s);
        return NULL;
}

void source_api_hurry(SourceApi *s) {
        int64_t now = clock_boot_ms();

        if (s->kubeconfig)
                s->identity_due = now;
        s->knock_at = s->gone_due = now;
        if (!s->shut)
                for (size_t i = 0; i < s->n_follows; i++)
                        reflector_hurry(s->follows[i]->reflector, now);
        api_arm(s);
}

/* ---- reports ---- */

static const char *problem(const SourceApi *s) {
        if (s->identity_problem.message[0])
                return s->identity_problem.message;
        return s->server_problem.message[0] ? s->server_problem.message : tokens_problem(s);
}

int source_api_report(SourceApi *s, ApiReport *ret) {
        HttpCounters counters = s->http ? http_counters(s->http) : (HttpCounters){ 0 };

        free(s->reports);
        s->reports = calloc(s->n_follows + 1, sizeof(*s->reports));
        if (!s->reports)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_follows; i++) {
                const Follow *f = s->follows[i];
                ApiResourceReport *r = &s->reports[i];

                *r = (ApiResourceReport){
                        .resource = reflector_resource(f->reflector),
                        .state = reflector_state_name(reflector_state(f->reflector)),
                        /* That it has not answered yet is no problem of anything. */
                        .problem = s->loop && (s->shut || !f->ended) ? "" : reflector_problem(f->reflector),
                        .confirmed = f->said_at,
                        .polled = f->polled,
                        .optional = f->kind == FOLLOW_THEIRS || !follow_is_cached(f),
                };
                (void)reflector_items(f->reflector, &r->n);
        }
        *ret = (ApiReport){
                .kubeconfig = s->kubeconfig,
                .server = s->has_identity ? s->identity.server : NULL,
                .is_kubelet = s->has_identity && s->identity.is_kubelet,
                .reachable = !s->shut,
                .left = s->left,
                .heard_at = s->heard_at,
                .problem = problem(s),
                .to_mend = s->identity_problem.message[0] || s->is_distrusted || *tokens_problem(s),
                .note = buf_text(&s->cache_note),
                .resources = s->reports,
                .n_resources = s->n_follows,
                .requests = counters.requests,
                .bytes = counters.bytes,
        };
        return 0;
}
