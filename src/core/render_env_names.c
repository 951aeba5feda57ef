/* SPDX-License-Identifier: Apache-2.0 */
/* Names of variables, and the places that refer to them as $(NAME). */
#include "core/render_env_internal.h"

/* ---- grammar ---- */

bool is_strict_env_name(const char *s) {
        for (const char *c = s; *c; c++) {
                bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || strchr("-._", *c);

                if (!letter && !(c > s && *c >= '0' && *c <= '9'))
                        return false;
        }
        return !streq(s, ".") && !startswith(s, "..");
}

bool is_relaxed_env_name(const char *s) {
        for (const char *c = s; *c; c++)
                if (*c < ' ' || *c > '~' || *c == '=')
                        return false;
        return *s;
}

/* ---- lookup ---- */

static int compare_bytes(const char *a, size_t n, const char *b, size_t m) {
        int order = memcmp(a, b, n < m ? n : m);

        return order ? order : (n > m) - (n < m);
}

static int compare_names(const void *a, const void *b) {
        const Name *x = a, *y = b;

        return compare_bytes(x->text, x->len, y->text, y->len);
}

static int compare_entries(const void *a, const void *b) {
        const Entry *x = a, *y = b;
        int order = strcmp(x->name, y->name);

        return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* The later source of the same name first. */
static int compare_variables(const void *a, const void *b) {
        const Variable *x = a, *y = b;
        int order = strcmp(x->name, y->name);

        return order ? order : (x->index < y->index) - (x->index > y->index);
}

const Entry *env_entries(const Env *e, Name name, size_t *ret_n) {
        size_t low = 0, high = e->n_entries, n = 0;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const char *text = e->entries[middle].name;

                if (compare_bytes(text, strlen(text), name.text, name.len) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        while (low + n < e->n_entries && strlen(e->entries[low + n].name) == name.len &&
               memcmp(e->entries[low + n].name, name.text, name.len) == 0)
                n++;
        *ret_n = n;
        return n > 0 ? e->entries + low : NULL;
}

const Variable *env_variable(const Env *e, Name name) {
        size_t low = 0, high = e->n_variables;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                const char *text = e->variables[middle].name;
                int order = compare_bytes(text, strlen(text), name.text, name.len);

                if (order == 0)
                        return &e->variables[middle];
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

void env_sort_entries(Env *e) {
        if (e->n_entries > 1)
                qsort(e->entries, e->n_entries, sizeof(*e->entries), compare_entries);
}

void env_sort_variables(Env *e) {
        size_t n = 0;

        if (e->n_variables > 1)
                qsort(e->variables, e->n_variables, sizeof(*e->variables), compare_variables);
        for (size_t i = 0; i < e->n_variables; i++)
                if (n > 0 && streq(e->variables[n - 1].name, e->variables[i].name))
                        free(e->variables[i].name);
                else
                        e->variables[n++] = e->variables[i];
        e->n_variables = n;
}

/* ---- references ---- */

/* The next $(NAME) at or behind s, as the kubelet reads it; *ret_end: behind it, or where the text ends if there is no
 * more. *ret_start is its $. */
static bool next_reference(const char *s, const char **ret_start, Name *ret_name, const char **ret_end) {
        for (; *s; s++) {
                const char *close;

                if (*s != '$' || !s[1])
                        continue;
                close = s[1] == '(' ? strchr(s, ')') : NULL;
                if (close) {
                        *ret_start = s;
                        *ret_name = (Name){ .text = s + 2, .len = (size_t)(close - s) - 2 };
                        *ret_end = close + 1;
                        return true;
                }
                if (s[1] == '(') /* never closed, and so is none behind it */
                        break;
                s++;
        }
        *ret_end = s + strlen(s);
        return false;
}

static void collect_references(Env *e) {
        for (size_t i = 0; i < e->n_entries; i++) {
                const char *at, *start;
                Name name;

                if (e->entries[i].fate != ENTRY_KEPT)
                        continue;
                at = str_or_empty(json_string(e->entries[i].item, "value"));
                while (next_reference(at, &start, &name, &at)) {
                        if (!ARRAY_GROW(e->references, e->n_references, e->cap_references)) {
                                e->r->failed = true;
                                return;
                        }
                        e->references[e->n_references++] = name;
                }
        }
        if (e->n_references > 1)
                qsort(e->references, e->n_references, sizeof(*e->references), compare_names);
}

bool env_is_referred_to(Env *e, const char *name) {
        const Name wanted = { .text = name, .len = strlen(name) };

        if (!e->collected)
                collect_references(e);
        e->collected = true;
        return e->n_references > 0 &&
               bsearch(&wanted, e->references, e->n_references, sizeof(*e->references), compare_names);
}

/* ---- probes ---- */

/* What a reference in a probe's command has to become. */
typedef enum Change { UNCHANGED, EMPTY, ESCAPED } Change;

static Change change_of(const Env *e, Name name) {
        size_t n;
        const Entry *entries = env_entries(e, name, &n);
        const Variable *variable;

        /* The last entry of the name counted. It gave nothing if its value was elsewhere. */
        if (n > 0)
                return entries[n - 1].fate == ENTRY_INLINED || entries[n - 1].fate == ENTRY_DROPPED ? EMPTY : UNCHANGED;
        variable = env_variable(e, name);
        return (variable && variable->placed) || (e->api_server && env_is_api_server(name)) ? ESCAPED : UNCHANGED;
}

/* The command's part with its references changed; *ret_changed: whether there were any. */
static void change_references(const Env *e, const char *s, Buf *out, bool *ret_changed) {
        const char *start, *end;
        Name name;

        for (; next_reference(s, &start, &name, &end); s = end) {
                Change change = change_of(e, name);

                buf_add(out, s, (size_t)(start - s));
                if (change == ESCAPED)
                        buf_char(out, '$');
                if (change != EMPTY)
                        buf_add(out, start, (size_t)(end - start));
                *ret_changed |= change != UNCHANGED;
        }
        buf_str(out, s);
}

void env_keep_probes(Env *e) {
        static const char *const probes[] = { "livenessProbe", "readinessProbe", "startupProbe" };

        for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
                cJSON *exec = json_get_mutable(json_get_mutable(e->container, probes[i]), "exec");
                cJSON *command = json_get_mutable(exec, "command");

                for (cJSON *part = cJSON_IsArray(command) ? command->child : NULL; part; part = part->next) {
                        _cleanup_buf_ Buf text = BUF_INIT;
                        bool changed = false;

                        if (!cJSON_IsString(part))
                                continue;
                        change_references(e, part->valuestring, &text, &changed);
                        if (text.failed || (changed && !cJSON_SetValuestring(part, buf_text(&text))))
                                e->r->failed = true;
                }
        }
}
