/* SPDX-License-Identifier: Apache-2.0 */
/* From text to known objects: DaemonSets, ConfigMaps and Secrets of one set of files, checked as the API server would.
 *
 * A text is refused whole if it cannot be parsed (ObjectFile.unreadable). An object that breaks a rule is kept
 * as invalid with all its errors; the others of the file count, but a file with an invalid object was not read
 * completely. Only canonical bytes are kept, no trees. Pure. */
#pragma once

#include "base/hash.h"
#include "core/diag.h"
#include "core/handover.h"
#include "core/model.h"
#include "core/reason.h"

/* By this label a DaemonSet of the API server opts in; its value tells how it is run. */
#define MODE_LABEL "daemonlet.io/mode"

typedef enum ObjectKind { OBJECT_DAEMONSET, OBJECT_CONFIGMAP, OBJECT_SECRET } ObjectKind;

/* "DaemonSet", "ConfigMap", "Secret". */
const char *object_kind_name(ObjectKind kind);
bool object_kind_parse(const char *name, ObjectKind *ret);

/* One text that was read. */
typedef struct ObjectFile {
        char *name;      /* as given: "flannel.yaml", "-", "daemonsets.d/x.yaml" */
        bool unreadable; /* nothing of it counts; error and place tell why */
        bool complete;   /* readable, and every object in it valid and not defined twice */
        char *error;
        Place place;
        Diags diags; /* what belongs to no object: documents without kind (errors), duplicate keys (warnings) */
} ObjectFile;

/* One object. */
typedef struct Object {
        ObjectKind kind;
        char *namespace, *name; /* "default" where absent; name "" if missing (then invalid) */
        size_t file;            /* index into Objects.files */
        Place place;            /* where the object starts */
        Reason reason;          /* None: usable. Invalid or DefinedTwice: not; diags or message say why */
        char *message;          /* DefinedTwice: every place */
        size_t same_as;         /* index of an equal earlier definition, or its own index */
        Diags diags;
        char *bytes; /* canonical JSON of the object (apiVersion apps/v1, selector and emptyDir defaulted, metadata only
                        name, namespace, labels, annotations; no status; a Secret's stringData merged into data), nulls
                        taken out. NULL where Invalid */
        size_t len;
        bool on_delete;      /* spec.updateStrategy.type is OnDelete */
        char *uid;           /* DaemonSets: metadata.uid, "" where there is none; NULL where Invalid */
        char *mode;          /* DaemonSets: the label daemonlet.io/mode, "" where there is none; NULL where Invalid */
        HandoffMode handoff; /* DaemonSets: the annotation daemonlet.io/handoff; valid unless Invalid */
        PodScheduling scheduling;  /* DaemonSets only; valid unless Invalid */
        char digest[HASH_HEX + 1]; /* of the text that it was read from, where the caller noted it; else "" */
} Object;

/* An object of a kind that is not ours: listed by `check -v`. */
typedef struct SkippedObject {
        char *kind, *name; /* "" where absent */
        size_t file;
        Place place;
} SkippedObject;

typedef struct Objects Objects;
struct Objects {
        ObjectFile *files;
        size_t n_files, cap_files;
        Object *objects; /* in input order */
        size_t n_objects, cap_objects;
        SkippedObject *skipped;
        size_t n_skipped, cap_skipped;
        const struct Objects *over; /* a set whose objects win over those of this one; borrowed, or NULL */
        size_t *sorted;             /* by kind, namespace and name: made by objects_finish, for objects_find */
        size_t n_sorted;
};

/* Reads one text under a name and appends what it holds. Bad input is not an error of the function: it is recorded
 * in the file and its objects. strict: warnings about input make the object invalid. 0 or -ENOMEM. */
int objects_read(Objects *o, const char *name, const char *text, size_t len, bool strict);

/* Records a file whose bytes could not be had (permissions, size); complete = false. 0 or -ENOMEM. */
int objects_add_unreadable(Objects *o, const char *name, const char *error);

/* Moves an object, which is not defined twice, with its file, which holds nothing else, to the end of another set that
 * is not finished yet. What is left of `from` is for further moves and for objects_done only. 0; -ENOMEM: nothing has
 * changed. */
int objects_move(Objects *from, size_t object, Objects *to);

/* Call once after the last text: finds objects that are defined twice. 0 or -ENOMEM. */
int objects_finish(Objects *o);

/* The usable object of this kind and name (that of `over` if it has one; else the first definition), or NULL. */
const Object *objects_find(const Objects *o, ObjectKind kind, const char *namespace, const char *name);

/* The same, of one file only. */
const Object *objects_find_in(const Objects *o, size_t file, ObjectKind kind, const char *namespace, const char *name);

/* How many there are, those of `over` among them, and the place of one of them: below that number, each another. */
size_t objects_count(const Objects *o);
size_t objects_place(const Objects *o, const Object *object);

void objects_done(Objects *o);
#define _cleanup_objects_ _cleanup_(objects_done)

/* Reads a text that must hold exactly one v1 Node. Errors carry name:line:column. -EBADMSG, -ENOMEM. */
int objects_read_node(const char *name, const char *text, size_t len, NodeView *ret, Err *err);
