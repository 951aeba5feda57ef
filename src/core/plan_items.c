/* SPDX-License-Identifier: Apache-2.0 */
/* Joining what is wanted, remembered and present by file name: sorted once, merged in one pass. */
#include "core/plan_internal.h"

#include <errno.h>

typedef enum RefKind { REF_WANTED, REF_WRITTEN, REF_PRESENT } RefKind;

typedef struct Ref {
        const char *file;
        RefKind kind;
        size_t index;
} Ref;

static int compare_refs(const void *a, const void *b) {
        const Ref *x = a, *y = b;
        int c = strcmp(x->file, y->file);

        if (c)
                return c;
        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        return x->index < y->index ? -1 : x->index > y->index;
}

/* The file of a DaemonSet. One whose name is no valid name has no file: it gets a path that no entry can have, so that
 * it is still reported. */
static int make_file(const PlanWanted *w, char **ret) {
        char file[MANIFEST_NAME_MAX + 1];
        int r = manifest_file_name(w->namespace, w->name, file);

        if (r == -EINVAL) {
                _cleanup_buf_ Buf path = BUF_INIT;

                buf_printf(&path, "%s/%s", w->namespace, w->name);
                *ret = buf_take(&path, NULL);
        } else if (r < 0)
                return r;
        else
                *ret = strdup(file);
        return *ret ? 0 : -ENOMEM;
}

static int make_files(Planner *p) {
        const PlanFacts *f = p->facts;

        p->made_files = calloc(f->n_wanted + 1, sizeof(*p->made_files));
        if (!p->made_files)
                return -ENOMEM;
        for (size_t i = 0; i < f->n_wanted; i++) {
                int r = make_file(&f->wanted[i], &p->made_files[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

static size_t collect_refs(const Planner *p, Ref *refs) {
        const PlanFacts *f = p->facts;
        size_t n = 0;

        for (size_t i = 0; i < f->n_wanted; i++)
                refs[n++] = (Ref){ p->made_files[i], REF_WANTED, i };
        for (size_t i = 0; i < f->n_written; i++)
                refs[n++] = (Ref){ f->written[i].file, REF_WRITTEN, i };
        for (size_t i = 0; i < f->n_present; i++)
                if (manifest_name_is_ours(f->present[i].file))
                        refs[n++] = (Ref){ f->present[i].file, REF_PRESENT, i };
        return n;
}

/* Adds one reference to its item; what comes in twice counts once. */
static void merge_ref(Planner *p, PlanItem *it, const Ref *ref) {
        const PlanFacts *f = p->facts;

        it->file = ref->file;
        if (ref->kind == REF_WANTED && !it->wanted) {
                it->wanted = &f->wanted[ref->index];
                it->namespace = it->wanted->namespace;
                it->name = it->wanted->name;
                p->by_wanted[ref->index] = it;
        } else if (ref->kind == REF_WRITTEN && !it->written) {
                it->written = &f->written[ref->index];
                if (!it->wanted) {
                        it->namespace = it->written->namespace;
                        it->name = it->written->name;
                }
        } else if (ref->kind == REF_PRESENT && !it->entry)
                it->entry = &f->present[ref->index];
}

/* The server's copy stands, and nobody has said that it is gone: it is not the local one's turn yet. */
static void leave_in_shadow(const PlanFacts *f, PlanItem *it) {
        it->in_shadow = it->wanted && it->written && it->written->bytes && !f->api_synced && !f->confirm &&
                        streq(it->written->origin, ORIGIN_API) && startswith(it->wanted->origin, ORIGIN_FILE);
        if (it->in_shadow)
                it->wanted = NULL;
}

int planner_join(Planner *p) {
        const PlanFacts *f = p->facts;
        size_t n_max = f->n_wanted + f->n_written + f->n_present, n;
        _cleanup_free_ Ref *refs = NULL;
        int r;

        r = make_files(p);
        if (r < 0)
                return r;
        refs = calloc(n_max + 1, sizeof(*refs));
        p->by_wanted = calloc(f->n_wanted + 1, sizeof(PlanItem *));
        if (!refs || !p->by_wanted)
                return -ENOMEM;
        n = collect_refs(p, refs);
        qsort(refs, n, sizeof(*refs), compare_refs);

        for (size_t i = 0; i < n; i++)
                if (i == 0 || !streq(refs[i].file, refs[i - 1].file))
                        p->n_items++;
        p->items = calloc(p->n_items + 1, sizeof(*p->items));
        if (!p->items)
                return -ENOMEM;
        for (size_t i = 0, at = 0; i < n; i++) {
                if (i > 0 && !streq(refs[i].file, refs[i - 1].file))
                        at++;
                merge_ref(p, &p->items[at], &refs[i]);
        }
        for (size_t i = 0; i < p->n_items; i++)
                leave_in_shadow(f, &p->items[i]);
        return 0;
}

static int compare_file(const void *key, const void *item) {
        return strcmp(key, ((const PlanItem *)item)->file);
}

PlanItem *planner_find(const Planner *p, const char *file) {
        return p->n_items ? bsearch(file, p->items, p->n_items, sizeof(*p->items), compare_file) : NULL;
}

int planner_find_pod(const Planner *p, const char *namespace, const char *name, PlanItem **ret) {
        char file[MANIFEST_NAME_MAX + 1];
        int r = manifest_file_name(namespace, name, file);

        if (r < 0 && r != -EINVAL)
                return r;
        *ret = r < 0 ? NULL : planner_find(p, file);
        return 0;
}

static int compare_memory(const void *file, const void *memory) {
        return strcmp(file, ((const PlanMemory *)memory)->file);
}

const PlanMemory *memory_of(const PlanFacts *f, const char *file) {
        return f->n_memory ? bsearch(file, f->memory, f->n_memory, sizeof(*f->memory), compare_memory) : NULL;
}

int item_compare_names(const PlanItem *a, const PlanItem *b) {
        int c = strcmp(a->namespace, b->namespace);

        return c ? c : strcmp(a->name, b->name);
}

void manifest_freep(Manifest **m) {
        if (*m)
                manifest_done(*m);
        free(*m);
        *m = NULL;
}

void planner_done(Planner *p) {
        for (size_t i = 0; p->items && i < p->n_items; i++) {
                PlanItem *it = &p->items[i];

                manifest_freep(&it->seen);
                manifest_freep(&it->last);
                manifest_freep(&it->lingers);
                buf_done(&it->note);
                free(it->own_names);
        }
        for (size_t i = 0; p->made_files && i < p->facts->n_wanted; i++)
                free(p->made_files[i]);
        free(p->items);
        free(p->by_wanted);
        free(p->made_files);
        plan_done(&p->plan);
}
