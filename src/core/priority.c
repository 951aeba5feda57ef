/* SPDX-License-Identifier: Apache-2.0 */
#include "core/priority.h"

#include <errno.h>

int priority_class_read(const char *bytes, size_t len, PriorityClass *ret) {
        _cleanup_json_ cJSON *root = NULL;
        const char *name;
        int64_t value;
        int r = json_parse(bytes, len, (Place){ 0 }, NULL, NULL, &root, NULL, NULL, NULL);

        if (r < 0)
                return r;
        name = json_string(json_get(root, "metadata"), "name");
        if (!name || !*name || !json_int(json_get(root, "value"), &value) || value < INT32_MIN || value > INT32_MAX)
                return -EBADMSG;
        ret->name = strdup(name);
        ret->value = value;
        return ret->name ? 0 : -ENOMEM;
}

void priority_class_done(PriorityClass *c) {
        free(c->name);
        *c = (PriorityClass){ 0 };
}

static int compare_name(const void *name, const void *class) {
        return strcmp(name, ((const PriorityClass *)class)->name);
}

bool priority_class_find(const PriorityClass *classes, size_t n, const char *name, int64_t *ret) {
        const PriorityClass *found = n ? bsearch(name, classes, n, sizeof(*classes), compare_name) : NULL;

        if (found)
                *ret = found->value;
        return found;
}
