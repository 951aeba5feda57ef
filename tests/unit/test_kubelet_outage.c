/* SPDX-License-Identifier: Apache-2.0 */
/* An outage of the API server, told step by step: what stands and what runs after each, with the real plan and ledger
 * and a stand-in kubelet that neither stops nor updates a pod before it has seen the server. Each story is told with
 * several seeds: pods start and end, events come, and servers are asked again at other times. */
#include "agent_model.h"

#include <stdio.h>

enum { SEEDS = 20 };

/* Words: "api up|down", "agent up|down|restart", "kubelet up|down|restart", "reboot" (both down), "want SPEC",
 * "undefine", "misfit", "unlink", "edit" (a stranger does it to the manifest), "restart", "now" (an operator says so),
 * "dies" (its pod, of itself), "break", "mend" (the local files), "forget" (what the server said is lost),
 * "agent-first", "kubelet-first" (who hears of the server first when it is back), "wait SECONDS",
 * "see FILE PODS STATE [REASON]": the specs of manifest and running pods, "-" for none; "starts N": pods ever started.
 *
 * It begins with a/x = 1 running for a minute, and the kubelet known to have synced. */
typedef struct Story {
        const char *name, *text;
        bool of_api;     /* a/x is defined by the API server */
        bool standalone; /* there is no API server */
        bool moment; /* two run for the moment that a kubelet which has synced needs to find what it has forgotten */
} Story;

#define RESTARTED "api down | kubelet restart | wait 30 | "

static const Story stories[] = {
        /* A kubelet that has seen the server is not disturbed by an outage. */
        { .name = "an edit while all is well", .text = "want 4 | wait 60 | see 4 4 Running" },
        { .name = "an edit without an API server",
          .text = "kubelet restart | want 4 | wait 60 | see 4 4 Running",
          .standalone = true },
        { .name = "an outage that the kubelet does not feel", .text = "api down | want 4 | wait 60 | see 4 4 Running" },
        { .name = "a removal that the kubelet does not feel", .text = "api down | undefine | wait 60 | see - - none" },
        { .name = "the heartbeat is remembered",
          .text = "api down | agent restart | want 4 | wait 60 | see 4 4 Running" },
        { .name = "the heartbeat is lost",
          .text = "api down | agent down | forget | agent up | want 4 | wait 60 | see 1 1 Held ApiNotSynced | "
                  "api up | wait 120 | see 4 4 Running" },

        /* A kubelet that was started in the outage. */
        { .name = "an edit",
          .text = RESTARTED "want 4 | wait 60 | see 1 1 Held ApiNotSynced | "
                            "api up | wait 120 | see 4 4 Running | starts 2" },
        { .name = "an edit, the agent hears first",
          .text = RESTARTED "want 4 | wait 60 | agent-first | api up | wait 25 | see 1 1 Held ApiNotSynced | "
                            "wait 120 | see 4 4 Running | starts 2" },
        { .name = "an edit, the kubelet hears first",
          .text = RESTARTED "want 4 | wait 60 | kubelet-first | api up | wait 25 | see 1 1 Held ApiNotSynced | "
                            "wait 120 | see 4 4 Running | starts 2" },
        { .name = "an edit, then the outage and the restart",
          .text = "kubelet down | api down | want 4 | wait 60 | see 1 1 Held ApiNotSynced | kubelet up | wait 60 | "
                  "see 1 1 Held ApiNotSynced | api up | wait 120 | see 4 4 Running | starts 2" },
        { .name = "an edit, and the kubelet is restarted once more",
          .text = RESTARTED "want 4 | wait 60 | kubelet restart | wait 60 | see 1 1 Held ApiNotSynced | "
                            "kubelet down | wait 60 | see 1 1 Held ApiNotSynced | kubelet up | wait 30 | "
                            "api up | wait 120 | see 4 4 Running | starts 2" },
        { .name = "an edit, and the agent is restarted",
          .text = RESTARTED "want 4 | wait 60 | agent restart | wait 30 | see 1 1 Held ApiNotSynced | agent down | "
                            "wait 30 | agent up | wait 5 | see 1 1 Held ApiNotSynced | api up | wait 120 | "
                            "see 4 4 Running | starts 2" },
        { .name = "an edit while the agent is away",
          .text = RESTARTED "agent down | want 4 | wait 60 | agent up | wait 30 | see 1 1 Held ApiNotSynced | "
                            "api up | wait 120 | see 4 4 Running | starts 2" },
        { .name = "the server is back while the agent is away",
          .text = RESTARTED "want 4 | wait 60 | agent down | api up | wait 120 | see 1 1 none | agent up | wait 60 | "
                            "see 4 4 Running | starts 2" },
        { .name = "an edit back: nothing is left of it",
          .text = RESTARTED "want 4 | wait 60 | see 1 1 Held ApiNotSynced | want 1 | wait 5 | see 1 1 Running | "
                            "api up | wait 120 | see 1 1 Running | starts 1" },
        { .name = "several edits: the last one counts",
          .text = RESTARTED "want 4 | wait 20 | want 5:80,81 | wait 20 | want 6:82 | wait 20 | "
                            "see 1 1 Held ApiNotSynced | api up | wait 120 | see 6:82 6:82 Running | starts 2" },
        { .name = "a removal",
          .text = RESTARTED "undefine | wait 60 | see 1 1 Held ApiNotSynced | api up | wait 120 | "
                            "see - - none | starts 1" },
        { .name = "a removal that is taken back",
          .text = RESTARTED "undefine | wait 60 | see 1 1 Held ApiNotSynced | want 1 | wait 5 | see 1 1 Running | "
                            "api up | wait 120 | see 1 1 Running | starts 1" },
        { .name = "a removal, and the host is started anew",
          .text = RESTARTED "undefine | wait 60 | reboot | agent up | wait 20 | see - - none | kubelet up | wait 60 | "
                            "see - - none" },
        { .name = "a verdict",
          .text = RESTARTED "misfit | wait 120 | see 1 1 Held ApiNotSynced | api up | wait 40 | "
                            "see 1 1 Held | wait 120 | see - - NotHere" },
        { .name = "a restart is asked",
          .text = RESTARTED "restart | wait 10 | see 1 1 Held ApiNotSynced | api up | wait 120 | "
                            "see 1 1 Running | starts 1" },
        { .name = "drift: deleted",
          .text = RESTARTED "unlink | wait 1 | see 1 1 Running | api up | wait 120 | "
                            "see 1 1 Running | starts 1" },
        { .name = "drift: edited", .text = RESTARTED "edit | wait 1 | see 1 1 Running | wait 60 | see 1 1 Running" },
        { .name = "drift, and an edit",
          .text = RESTARTED "want 4 | wait 10 | unlink | wait 1 | see 1 1 Held ApiNotSynced | edit | wait 1 | "
                            "see 1 1 Held ApiNotSynced | api up | wait 120 | see 4 4 Running | starts 2" },
        { .name = "a heartbeat of the process before does not count",
          .text = "kubelet down | want 4 | wait 20 | kubelet up | wait 1 | see 1 1 Held ApiNotSynced | wait 90 | "
                  "see 4 4 Running | starts 2" },

        /* The host is started anew. */
        { .name = "an edit, the host, the agent comes first",
          .text = RESTARTED "want 4 | wait 60 | see 1 1 Held ApiNotSynced | reboot | wait 5 | agent up | wait 5 | "
                            "see 4 - Starting | kubelet up | wait 60 | see 4 4 Running | api up | wait 120 | "
                            "see 4 4 Running | starts 2" },
        { .name = "the host, an edit, the agent comes first",
          .text = "api down | reboot | want 4 | agent up | wait 5 | see 4 - Starting | kubelet up | wait 60 | "
                  "see 4 4 Running | starts 2" },
        { .name = "the host, an edit, the kubelet comes first",
          .text = "api down | reboot | want 4 | kubelet up | wait 20 | agent up | wait 60 | "
                  "see 1 1 Held ApiNotSynced | api up | wait 120 | see 4 4 Running | starts 3" },
        { .name = "the host, an edit before the kubelet",
          .text = "api down | reboot | agent up | wait 20 | want 4 | wait 2 | see 4 - Starting | kubelet up | "
                  "wait 60 | see 4 4 Running | starts 2" },

        /* What is new starts at once. */
        { .name = "a first creation",
          .text = "undefine | wait 90 | see - - none | " RESTARTED "want 4 | wait 20 | see 4 4 Running" },
        { .name = "a creation beside an earlier pod",
          .text = RESTARTED "undefine | wait 20 | now | wait 20 | see - 1 none | want 4 | wait 60 | "
                            "see - 1 Held ApiNotSynced | api up | wait 180 | see 4 4 Running | starts 2" },
        { .name = "a creation beside an earlier pod that the next kubelet does not know",
          .text = RESTARTED "undefine | wait 20 | now | wait 20 | see - 1 none | kubelet restart | want 4 | wait 60 | "
                            "see - 1 Held ApiNotSynced | wait 1200 | see - 1 Held ApiNotSynced | api up | wait 180 | "
                            "see 4 4 Running | starts 2",
          .moment = true },
        { .name = "a creation beside an earlier pod, taken back",
          .text = RESTARTED "undefine | wait 20 | now | wait 20 | want 4 | wait 60 | see - 1 Held ApiNotSynced | "
                            "undefine | wait 20 | see - 1 none | api up | wait 120 | see - - none | starts 1" },
        { .name = "it does not fit, and an earlier pod runs: nothing is held",
          .text = RESTARTED "undefine | wait 20 | now | wait 20 | misfit | wait 60 | see - 1 Terminating" },
        { .name = "a creation beside an earlier pod, and the host is started anew",
          .text = RESTARTED "undefine | wait 20 | now | wait 20 | want 4 | wait 60 | see - 1 Held ApiNotSynced | "
                            "reboot | agent up | wait 5 | see 4 - Starting | kubelet up | wait 60 | see 4 4 Running" },
        { .name = "the earlier pod dies of itself",
          .text = RESTARTED "undefine | wait 20 | now | wait 20 | kubelet restart | want 4 | wait 60 | "
                            "see - 1 Held ApiNotSynced | dies | wait 30 | see 4 4 Running | starts 2" },
        { .name = "the same one again beside its earlier pod",
          .text = RESTARTED "undefine | wait 20 | now | wait 20 | want 1 | wait 60 | see - 1 Held ApiNotSynced | "
                            "api up | wait 180 | see 1 1 Running | starts 2" },

        /* DaemonSets of the API server. */
        { .name = "of the server: an edit", .text = "want 4 | wait 60 | see 4 4 Running", .of_api = true },
        { .name = "of the server: an edit that is not heard",
          .text = "api down | want 4 | wait 60 | see 1 1 Running | api up | wait 120 | see 4 4 Running",
          .of_api = true },
        { .name = "of the server: a removal that is not heard",
          .text = "api down | undefine | wait 120 | see 1 1 Running | agent restart | wait 120 | see 1 1 Running | "
                  "api up | wait 120 | see - - none",
          .of_api = true },
        { .name = "of the server: what it said is lost",
          .text = "api down | agent down | forget | agent up | wait 120 | see 1 1 Running SourceIncomplete | unlink | "
                  "wait 90 | see 1 1 Running SourceIncomplete | api up | "
                  "wait 120 | see 1 1 Running Fits",
          .of_api = true },
        { .name = "of the server: a removal while a local file is broken",
          .text = "break | wait 5 | undefine | wait 60 | see - - none",
          .of_api = true },
        { .name = "of a file: a removal while a file is broken",
          .text = "break | wait 5 | undefine | wait 60 | see 1 1 Running | mend | wait 60 | see - - none" },
        { .name = "of a file: a removal while the server is away",
          .text = "api down | undefine | wait 60 | see - - none" },

        /* What the live Node says. */
        { .name = "a verdict settles",
          .text = "misfit | wait 50 | see 1 1 Held NodeSettling | wait 60 | see - - NotHere" },
        { .name = "a verdict comes and goes",
          .text = "misfit | wait 50 | want 1 | wait 5 | see 1 1 Running | misfit | wait 50 | "
                  "see 1 1 Held NodeSettling | want 1 | wait 120 | see 1 1 Running | starts 1" },
        { .name = "what fits again is created at once",
          .text = "misfit | wait 120 | see - - NotHere | want 4 | wait 20 | see 4 4 Running" },
        { .name = "a verdict, and the agent is restarted",
          .text = "misfit | wait 50 | agent restart | wait 50 | see 1 1 Held NodeSettling | wait 60 | see - - NotHere" },
        { .name = "a verdict of the local view", .text = "misfit | wait 60 | see - - NotHere", .standalone = true },
};

typedef struct Tale {
        Kubelet k;
        Agent a;
        AmWish wishes[KM_SETS];
        const Story *story;
        uint64_t seed;
        size_t set; /* that it is about */
        unsigned starts;
        bool agent_first, kubelet_first;
        const char *at; /* the step */
} Tale;

static Tale *tale; /* the present one, for the callbacks */

static void _printf_(1, 2) broken(const char *format, ...) {
        char what[512];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(what, sizeof(what), format, ap);
        va_end(ap);
        (void)fputs(buf_text(&tale->k.trace), stderr);
        fail_msg("%s, seed %d, at %.60s: %s", tale->story->name, (int)tale->seed, tale->at, what);
}

/* Never two, whoever is forgotten by whom. */
static void on_start(Kubelet *k, const KmPod *p) {
        tale->starts += p->m.set == tale->set;
        for (size_t i = 0; i < k->n_pods; i++) {
                const KmPod *other = &k->table[i];

                if (other == p || other->m.set != p->m.set || !km_has_containers(other))
                        continue;
                if (!tale->story->moment || km_is_frozen(k) || (other->known && !other->found))
                        broken("two of %s", k->files_of[p->m.set]);
        }
}

static void on_step(Agent *a, size_t set, const PlanStep *s) {
        (void)a, (void)set, (void)s;
}

static void go_on(Tale *t, int64_t end) {
        while (t->k.now < end) {
                int64_t due[] = { km_due(&t->k), am_due(&t->a) }, next = end;

                for (size_t i = 0; i < ARRAY_SIZE(due); i++)
                        if (due[i] >= 0 && due[i] < next)
                                next = due[i];
                t->k.now = next > t->k.now ? next : t->k.now;
                km_run(&t->k);
                am_run(&t->a);
                if (t->k.news)
                        am_news(&t->a);
                t->k.news = false;
                if (t->a.passes_at_now > 8)
                        broken("the agent works without time going on");
        }
}

/* ---- steps ---- */

static const char *running(Tale *t) {
        static char text[256];
        size_t n = 0;

        (void)snprintf(text, sizeof(text), "-");
        for (size_t i = 0; i < t->k.n_pods; i++)
                if (t->k.table[i].m.set == t->set && km_has_containers(&t->k.table[i]))
                        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? "+" : "",
                                              t->k.table[i].m.pod->spec);
        return text;
}

static void see(Tale *t, char **words) {
        const KmFile *f = km_find_file(&t->k, t->k.files_of[t->set]);
        const char *stands = f ? world_spec(&t->k.world, f->bytes, strlen(f->bytes)) : "-";
        int state = t->a.up ? t->a.states[t->set] : -1;
        const char *shows = state < 0 ? "none" : state_name((State)state);

        if (!streq(stands, words[1]))
                broken("%s stands", stands);
        if (!streq(running(t), words[2]))
                broken("%s runs", running(t));
        if (!streq(shows, words[3]))
                broken("it is %s %s", shows, reason_name(t->a.reasons[t->set]));
        if (words[4] && !streq(reason_name(t->a.reasons[t->set]), words[4]))
                broken("it is %s %s", shows, reason_name(t->a.reasons[t->set]));
}

static void wish(Tale *t, bool defined, PlanWish w, const char *spec) {
        AmWish *x = &t->wishes[t->set];

        *x = (AmWish){ .defined = defined, .wish = w, .spec = x->spec, .since = t->k.now };
        for (size_t i = 0; spec && i < KM_SPECS; i++)
                if (streq(km_specs[i], spec))
                        x->spec = i;
        km_trace(&t->k, "%s: %s", t->k.files_of[t->set], defined ? km_specs[x->spec] : "not defined");
        am_sources_changed(&t->a);
}

static void api(Tale *t, bool up) {
        km_set_api(&t->k, up);
        am_api_changed(&t->a);
        if (t->agent_first)
                t->k.sync_at = t->k.now + 40 * 1000;
        if (t->kubelet_first)
                t->a.connect_at = t->k.now + 40 * 1000;
        if (t->agent_first)
                t->a.connect_at = t->k.now + 1000;
        if (t->kubelet_first)
                t->k.sync_at = t->k.now + 1000;
}

static void agent(Tale *t, const char *how) {
        if (!streq(how, "up"))
                am_kill(&t->a);
        if (!streq(how, "down"))
                am_start(&t->a);
}

static void kubelet(Tale *t, const char *how) {
        if (!streq(how, "up"))
                km_stop(&t->k);
        if (!streq(how, "down"))
                km_start(&t->k);
}

static void stranger(Tale *t, const char *bytes) {
        km_put(&t->k, t->k.files_of[t->set], bytes, false);
        am_news(&t->a);
}

static void dies(Tale *t) {
        for (size_t i = 0; i < t->k.n_pods; i++)
                if (t->k.table[i].m.set == t->set && t->k.table[i].phase == KM_RUNNING)
                        km_die(&t->k, &t->k.table[i]);
}

static void act(Tale *t, char **words) {
        const char *verb = words[0], *what = words[1];

        if (streq(verb, "wait"))
                go_on(t, t->k.now + 1000 * (int64_t)strtol(what, NULL, 10));
        else if (streq(verb, "see"))
                see(t, words);
        else if (streq(verb, "starts")) {
                if (t->starts != strtoul(what, NULL, 10))
                        broken("%u started", t->starts);
        } else if (streq(verb, "api"))
                api(t, streq(what, "up"));
        else if (streq(verb, "agent"))
                agent(t, what);
        else if (streq(verb, "kubelet"))
                kubelet(t, what);
        else if (streq(verb, "reboot")) {
                am_kill(&t->a);
                km_reboot(&t->k);
        } else if (streq(verb, "want"))
                wish(t, true, WISH_PRESENT, what);
        else if (streq(verb, "undefine"))
                wish(t, false, WISH_ABSENT, NULL);
        else if (streq(verb, "misfit"))
                wish(t, true, WISH_ABSENT, NULL);
        else if (streq(verb, "unlink"))
                stranger(t, NULL);
        else if (streq(verb, "edit"))
                stranger(t, t->k.edited[t->set][0]->r.bytes);
        else if (streq(verb, "restart"))
                am_ask_restart(&t->a, t->set);
        else if (streq(verb, "now"))
                am_ask_now(&t->a);
        else if (streq(verb, "dies"))
                dies(t);
        else if (streq(verb, "break") || streq(verb, "mend")) {
                t->a.broken = streq(verb, "break");
                am_sources_changed(&t->a);
        } else if (streq(verb, "forget"))
                am_lose_cache(&t->a);
        else if (streq(verb, "agent-first"))
                t->agent_first = true;
        else if (streq(verb, "kubelet-first"))
                t->kubelet_first = true;
        else
                fail_msg("unknown word %s", verb);
}

static void tell(Tale *t) {
        _cleanup_free_ char *text = strdup(t->story->text);
        char *save = NULL;

        assert_non_null(text);
        for (char *s = strtok_r(text, "|", &save); s; s = strtok_r(NULL, "|", &save)) {
                char *words[8] = { 0 }, *save_word = NULL;
                size_t n = 0;

                t->at = t->story->text + (s - text);
                for (char *x = strtok_r(s, " ", &save_word); x && n < 7; x = strtok_r(NULL, " ", &save_word))
                        words[n++] = x;
                if (n > 0)
                        act(t, words);
        }
}

static void begin(Tale *t, const Story *story, uint64_t seed) {
        memset(t, 0, sizeof(*t));
        tale = t;
        t->story = story;
        t->seed = seed;
        t->at = "the beginning";
        t->set = story->of_api ? 3 : 0;
        km_seed(seed);
        km_init(&t->k);
        t->k.on_start = on_start;
        t->k.has_api = t->k.api_up = !story->standalone;
        t->k.has_witness = true;
        am_init(&t->a, &t->k, t->wishes);
        t->a.holds = t->k.has_api;
        t->a.on_step = on_step;
        t->a.of_api[3] = story->of_api;
        for (size_t i = 0; i < KM_SETS; i++)
                t->wishes[i] = (AmWish){ .defined = i == t->set || i == 1, .wish = WISH_PRESENT };
        km_start(&t->k);
        am_start(&t->a);
        go_on(t, 120 * 1000);
        see(t, (char *[]){ (char[]){ "see" }, (char[]){ "1" }, (char[]){ "1" }, (char[]){ "Running" }, NULL });
}

static void test_story(void **state) {
        static Tale t;

        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                begin(&t, *state, seed);
                tell(&t);
                ledger_done(&t.a.ledger);
                km_done(&t.k);
        }
}

int main(void) {
        struct CMUnitTest tests[ARRAY_SIZE(stories)];

        for (size_t i = 0; i < ARRAY_SIZE(stories); i++)
                tests[i] = (struct CMUnitTest){ .name = stories[i].name,
                                                .test_func = test_story,
                                                .initial_state = (void *)(uintptr_t)&stories[i] };
        return cmocka_run_group_tests_name("an outage", tests, NULL, NULL);
}
