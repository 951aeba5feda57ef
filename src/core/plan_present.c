/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in the manifest directory: ours as written, ours but changed, damage, copies, somebody else's. */
#include "core/plan_internal.h"

#include <errno.h>
#include <stdio.h>

bool canonical_annotation(const char *bytes, size_t len, const char *annotation, size_t digits, char *ret) {
        const char *end = bytes + len, *at = bytes;
        size_t key_len = strlen(annotation);
        size_t want = key_len + digits + 5; /* "key":"digits" */

        while ((at = memchr(at, '"', (size_t)(end - at)))) {
                const char *value = at + key_len + 4;

                if ((size_t)(end - at) < want)
                        return false;
                if (memcmp(at + 1, annotation, key_len) == 0 && memcmp(at + 1 + key_len, "\":\"", 3) == 0) {
                        if (value[digits] != '"' || memchr(value, '"', digits) || memchr(value, '\\', digits))
                                return false;
                        memcpy(ret, value, digits);
                        ret[digits] = 0;
                        return true;
                }
                at++;
        }
        return false;
}

static void take_annotations(PlanItem *it, const Manifest *m) {
        (void)snprintf(it->input, sizeof(it->input), "%s", str_or_empty(m->input));
        (void)snprintf(it->revision, sizeof(it->revision), "%s", str_or_empty(m->revision));
}

/* The annotations of an intact manifest. */
static int read_annotations(PlanItem *it) {
        const PlanEntry *e = it->entry;
        Manifest m = { 0 };
        int r;

        if (canonical_annotation(e->bytes, e->len, ANNOTATION_INPUT, INPUT_HEX, it->input) &&
            canonical_annotation(e->bytes, e->len, ANNOTATION_REVISION, REVISION_HEX, it->revision))
                return 0;
        r = manifest_parse(e->bytes, e->len, &m);
        if (r < 0)
                return r;
        take_annotations(it, &m);
        manifest_done(&m);
        return 0;
}

static int parse_new(const char *bytes, size_t len, Manifest **ret) {
        Manifest *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        r = manifest_parse(bytes, len, m);
        if (r < 0) {
                free(m);
                return r;
        }
        *ret = m;
        return 0;
}

/* Whether it is a pod with our annotation whose name, namespace and annotation all belong under this file name. */
static int belongs(const Manifest *m, const char *file, bool *ret) {
        char want[MANIFEST_NAME_MAX + 1];
        size_t n;
        int r;

        *ret = false;
        if (!m->is_pod || !m->namespace || !m->name || !m->daemonset)
                return 0;
        n = strlen(m->namespace);
        r = manifest_file_name(m->namespace, m->name, want);

        if (r < 0 && r != -EINVAL)
                return r;
        *ret = r == 0 && streq(want, file) && strncmp(m->daemonset, m->namespace, n) == 0 && m->daemonset[n] == '/' &&
               streq(m->daemonset + n + 1, m->name);
        return 0;
}

/* An entry under our file name whose bytes state does not know. */
static int classify_unknown(PlanItem *it) {
        bool right = false;
        Manifest *m;
        int r = parse_new(it->entry->bytes, it->entry->len, &it->seen);

        if (r < 0)
                return r;
        m = it->seen;
        it->stands = STANDS_DAMAGED;
        if (!m->is_pod || !m->namespace || !m->name)
                return 0;
        if (!m->daemonset) {
                it->stands = STANDS_FOREIGN;
                return 0;
        }
        r = belongs(m, it->file, &right);
        if (r < 0)
                return r;
        if (!right) {
                it->misplaced = true;
                return 0;
        }
        it->stands = m->verifies ? STANDS_GENUINE : STANDS_EDITED;
        take_annotations(it, m);
        if (!it->namespace) {
                it->namespace = m->namespace;
                it->name = m->name;
        }
        return 0;
}

/* Nothing but the file name tells whose manifest it is. */
static int name_from_file(PlanItem *it) {
        char *names, *separator;
        size_t len = strlen(it->file);

        if (it->namespace)
                return 0;
        names = strdup(it->file);
        if (!names)
                return -ENOMEM;
        it->own_names = names;
        names[len - strlen(MANIFEST_SUFFIX)] = 0;
        it->namespace = names + strlen(MANIFEST_PREFIX);
        separator = strchr(it->namespace, '_');
        it->name = separator ? separator + 1 : "";
        if (separator)
                *separator = 0;
        return 0;
}

static int classify_entry(PlanItem *it) {
        const PlanEntry *e = it->entry;
        const PlanWritten *w = it->written;

        if (!e)
                return 0;
        if (e->kind == ENTRY_REGULAR && e->unreadable) {
                it->stands = STANDS_UNREADABLE;
                return name_from_file(it);
        }
        it->stands = STANDS_DAMAGED;
        if (e->kind != ENTRY_REGULAR || !e->bytes)
                return 0;
        if (w && bytes_equal(e->bytes, e->len, w->bytes, w->len))
                it->stands = STANDS_LAST;
        else if (w && bytes_equal(e->bytes, e->len, w->next, w->next_len))
                it->stands = STANDS_NEXT;
        else
                return classify_unknown(it);
        return read_annotations(it);
}

/* What could be written again. Only looked at where it may be needed: bytes that stand need no check. */
static int read_last(PlanItem *it) {
        const PlanWritten *w = it->written;
        bool right = false;
        int r;

        if (!w || !w->bytes || it->stands == STANDS_LAST)
                return 0;
        r = parse_new(w->bytes, w->len, &it->last);
        if (r >= 0)
                r = belongs(it->last, it->file, &right);
        if (!right)
                manifest_freep(&it->last);
        return r;
}

static int classify_item(PlanItem *it) {
        int r = classify_entry(it);

        return r < 0 ? r : read_last(it);
}

/* A pod that is not ours: a conflict for the DaemonSet that has its name. The first file by name is reported. */
static int mark_foreign(Planner *p, const Manifest *m, const char *file) {
        PlanItem *it;
        int r = planner_find_pod(p, m->namespace, m->name, &it);

        if (r < 0)
                return r;
        if (it && it->stands != STANDS_FOREIGN && (!it->foreign || strcmp(file, it->foreign) < 0))
                it->foreign = file;
        return 0;
}

/* A pod of ours under a name that is not its own: when it goes, the kubelet forgets the pod of the real manifest. */
static int mark_copied(Planner *p, const Manifest *m) {
        PlanItem *it;
        int r = planner_find_pod(p, m->namespace, m->name, &it);

        if (r < 0)
                return r;
        if (it)
                it->copied = true;
        return 0;
}

/* Whoever makes copies again and again is damped as one who damages the manifest. */
static int is_fought_over(Planner *p, const Manifest *m, bool *ret) {
        char file[MANIFEST_NAME_MAX + 1];
        const PlanMemory *memory;
        PlanItem *it;
        int r = manifest_file_name(m->namespace, m->name, file);

        *ret = false;
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        memory = memory_of(p->facts, file);
        it = planner_find(p, file);
        /* Without a row nobody would look at it again. */
        *ret = it && memory && memory->damped;
        if (*ret)
                it->fought = true;
        return 0;
}

static int quarantine_copy(Planner *p, const Manifest *m, const char *file) {
        _cleanup_buf_ Buf why = BUF_INIT;
        bool fought;
        int r = is_fought_over(p, m, &fought);

        if (r < 0 || fought)
                return r;
        buf_printf(&why, "quarantined: a copy of the manifest of %s", m->daemonset);
        if (why.failed)
                return -ENOMEM;
        r = plan_add_step(&p->plan, &(PlanStep){ .verb = STEP_QUARANTINE }, file, m->namespace, m->name,
                          buf_text(&why));
        return r < 0 ? r : mark_copied(p, m);
}

/* Any entry that does not have our pattern. A kubelet ignores dot files and directories; a link's bytes are known only
 * if somebody read them for us. */
static int classify_other(Planner *p, const PlanEntry *e) {
        Manifest m = { 0 };
        int r = 0;

        if (startswith(e->file, MANIFEST_TMP_PREFIX) && (e->kind == ENTRY_REGULAR || e->kind == ENTRY_LINK))
                return plan_add_step(&p->plan, &(PlanStep){ .verb = STEP_SWEEP }, e->file, NULL, NULL,
                                     "swept: left by an interrupted write");
        if (e->file[0] == '.' || !e->bytes || e->unreadable || (e->kind != ENTRY_REGULAR && e->kind != ENTRY_LINK))
                return 0;
        r = manifest_parse(e->bytes, e->len, &m);
        if (r < 0)
                return r;
        if (m.is_pod && m.namespace && m.name)
                r = m.daemonset ? quarantine_copy(p, &m, e->file) : mark_foreign(p, &m, e->file);
        manifest_done(&m);
        return r;
}

int planner_classify(Planner *p) {
        const PlanFacts *f = p->facts;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < p->n_items; i++)
                r = classify_item(&p->items[i]);
        for (size_t i = 0; r >= 0 && i < p->n_items; i++) {
                PlanItem *it = &p->items[i];

                if (it->stands == STANDS_FOREIGN) {
                        it->foreign = it->file;
                        r = mark_foreign(p, it->seen, it->file);
                } else if (it->misplaced)
                        r = mark_copied(p, it->seen);
        }
        for (size_t i = 0; r >= 0 && i < f->n_present; i++)
                if (!manifest_name_is_ours(f->present[i].file))
                        r = classify_other(p, &f->present[i]);
        return r;
}
