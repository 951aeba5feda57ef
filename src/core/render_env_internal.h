/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of render_env share: the environment of one container, while it is made. The rules are told in
 * render_env.c. */
#pragma once

#include "core/render_internal.h"

enum { ENTRY_BYTES = sizeof("{\"name\":\"\",\"value\":\"\"},") - 1 }; /* of an entry, besides its name and value */

typedef enum Fate {
        ENTRY_KEPT,
        ENTRY_UNSURE,  /* kept, but the kubelet may find nothing to set */
        ENTRY_INLINED, /* its value was that of an object */
        ENTRY_DROPPED,
} Fate;

/* An entry of the env list, as the template has it. */
typedef struct Entry {
        cJSON *item;
        const char *name; /* of the item */
        size_t index;
        Fate fate;
} Entry;

/* A variable from envFrom. */
typedef struct Variable {
        char *name;
        const Object *object;
        const cJSON *datum;
        size_t index; /* of its source in envFrom */
        bool placed;  /* in the env list */
} Variable;

/* The data of an object, by key. */
typedef struct Data {
        cJSON *tree;
        const cJSON **items; /* NULL: not read yet */
        size_t n;
} Data;

typedef struct Name {
        const char *text;
        size_t len;
} Name;

/* A value that was put into the environment. */
typedef struct Inlined {
        const Object *object;
        const char *key;
        cJSON *value;
} Inlined;

typedef struct Env {
        Render *r;
        const Path *path; /* of the container */
        cJSON *container;
        Entry *entries; /* sorted by name and index once all are known */
        size_t n_entries, cap_entries;
        Variable *variables; /* sorted by name once all are known, each once */
        size_t n_variables, cap_variables;
        Name *references; /* names that values of env refer to; sorted */
        size_t n_references, cap_references;
        Inlined *inlined;
        size_t n_inlined, cap_inlined;
        Data *data;              /* by objects_place; NULL: none yet */
        size_t candidates, size; /* bytes: of envFrom in all, and of what was inlined */
        bool collected;          /* the references */
        bool full;               /* more than a manifest can hold, and said so */
        bool api_server;         /* its address was put in front */
} Env;

/* ---- values (render_env_values.c) ---- */

/* The object of a reference. NULL: it is not there, or may not be used, and that is noted. */
const Object *env_object(Env *e, ObjectKind kind, const cJSON *ref, const Path *path);

/* Its data, read once for a container, however often it is referred to. NULL: out of memory, and that is noted. */
const Data *env_data(Env *e, const Object *object);

/* The value of a key; NULL: it has none. */
const cJSON *env_datum(const Data *data, const char *key);

/* The value for an entry of that name in the env list, given to the caller and kept for the input's hash. NULL: there
 * is none, and that is noted. */
cJSON *env_value(Env *e, const char *name, const Object *object, const cJSON *datum, const Path *path);

/* More than a manifest can hold: refused once. */
void env_refuse_as_too_large(Env *e, const Path *path);

/* Puts the item in front of a member of its list; NULL: at the end. */
void env_insert_before(cJSON *list, cJSON *before, cJSON *item);

/* Records in r->values what was inlined. */
void env_record(Env *e);

/* ---- names and references (render_env_names.c) ---- */

/* The grammar before it was relaxed, and the one after. */
bool is_strict_env_name(const char *s);
bool is_relaxed_env_name(const char *s);

/* Sorts what the functions below look into. */
void env_sort_entries(Env *e);
void env_sort_variables(Env *e); /* and leaves of each name the one that wins */

/* The entries of a name: *ret_n of them, in the order of the list. */
const Entry *env_entries(const Env *e, Name name, size_t *ret_n);
const Variable *env_variable(const Env *e, Name name); /* NULL: none */

bool env_is_api_server(Name name);

/* Whether a value in env refers to the name. The names are collected at the first call. */
bool env_is_referred_to(Env *e, const char *name);

/* Makes the commands of exec probes give what they gave. */
void env_keep_probes(Env *e);
