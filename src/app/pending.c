/* SPDX-License-Identifier: Apache-2.0 */
#include "app/pending.h"

void pending_changed(Pending *p, int64_t now) {
        if (!p->due)
                p->first = now;
        p->due = true;
        p->last = now;
}

static size_t find(const Pending *p, const char *name) {
        size_t i = 0;

        while (i < p->n_writers && !streq(p->writers[i], name))
                i++;
        return i;
}

void pending_writing(Pending *p, const char *name, int64_t now) {
        pending_changed(p, now);
        if (find(p, name) < p->n_writers || p->n_writers == PENDING_WRITERS_MAX)
                return;
        p->writers[p->n_writers] = strdup(name);
        if (p->writers[p->n_writers])
                p->n_writers++;
}

void pending_closed(Pending *p, const char *name, int64_t now) {
        size_t i = find(p, name);

        pending_changed(p, now);
        if (i == p->n_writers)
                return;
        free(p->writers[i]);
        p->writers[i] = p->writers[--p->n_writers];
}

void pending_now(Pending *p) {
        p->due = p->at_once = true;
}

int64_t pending_time(const Pending *p) {
        if (!p->due)
                return -1;
        if (p->at_once)
                return p->n_writers ? p->first + PENDING_PATIENCE : 0;
        if (p->n_writers == 0 || p->last + PENDING_QUIET > p->first + PENDING_PATIENCE)
                return p->last + PENDING_QUIET;
        return p->first + PENDING_PATIENCE;
}

static void forget_writers(Pending *p) {
        while (p->n_writers > 0)
                free(p->writers[--p->n_writers]);
}

void pending_take(Pending *p) {
        /* Who was not waited for is given up, lest every later change waits for it again. */
        if (!p->at_once)
                forget_writers(p);
        p->due = p->at_once = false;
}

void pending_done(Pending *p) {
        forget_writers(p);
}
