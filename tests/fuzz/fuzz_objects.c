/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a file of objects, and as a node: every object ends usable with bytes that read back as the same object,
 * or with a reason. */
#include "core/objects.h"

#include <stdint.h>

static void check(bool holds) {
        if (!holds)
                abort();
}

/* What was accepted is accepted in its canonical form, unchanged. */
static void read_again(const Object *object) {
        _cleanup_objects_ Objects again = { 0 };

        if (objects_read(&again, "again", object->bytes, object->len, false) < 0)
                return;
        check(again.n_objects == 1);
        check(again.objects[0].reason == REASON_None);
        check(streq(again.objects[0].bytes, object->bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_objects_ Objects o = { 0 };
        NodeView node = { 0 };
        char *text = malloc(size + 1);
        Err err = { 0 };

        if (!text)
                return 0;
        memcpy(text, data, size);
        text[size] = 0;
        /* Twice under another name: every object is then defined twice, equally. */
        if (objects_read(&o, "a", text, size, false) == 0 && objects_read(&o, "b", text, size, true) == 0 &&
            objects_finish(&o) == 0) {
                for (size_t i = 0; i < o.n_objects; i++) {
                        const Object *object = &o.objects[i];

                        check((object->bytes == NULL) == (object->reason == REASON_Invalid));
                        check((object->message != NULL) == (object->reason == REASON_DefinedTwice));
                        check(object->reason == REASON_None || !o.files[object->file].complete);
                        check(object->same_as <= i);
                        if (object->reason == REASON_None)
                                check(objects_find(&o, object->kind, object->namespace, object->name) ==
                                      &o.objects[object->same_as]);
                        if (object->bytes)
                                read_again(object);
                }
        }
        if (objects_read_node("n", text, size, &node, &err) == 0)
                check(node.name && *node.name);
        else
                check(*err.message);
        node_view_done(&node);
        free(text);
        return 0;
}
