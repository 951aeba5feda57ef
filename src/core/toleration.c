/* SPDX-License-Identifier: Apache-2.0 */
#include "core/toleration.h"

#include <errno.h>

bool toleration_matches(const Toleration *toleration, const Taint *taint) {
        if (toleration->unknown_effect)
                return false;
        if (toleration->effect != EFFECT_NONE && toleration->effect != taint->effect)
                return false;
        /* Validation wants Exists where there is no key, but upstream's matching does not look: with Equal an empty key
         * stands for every key whose value is equal. */
        if (*toleration->key && !streq(toleration->key, taint->key))
                return false;
        switch (toleration->op) {
        case TOLERATION_EQUAL:
                return streq(toleration->value, taint->value);
        case TOLERATION_EXISTS:
                return true;
        case TOLERATION_LT:
        case TOLERATION_GT:
        case TOLERATION_OTHER:
                return false;
        }
        return false;
}

/* The cast serves the type that tolerations read from JSON share; nothing ever writes here. */
#define CONTROLLER(name, eff)                                                                                          \
        { .key = (char *)"node.kubernetes.io/" name, .value = (char *)"", .op = TOLERATION_EXISTS, .effect = (eff) }

const Toleration controller_tolerations[] = {
        CONTROLLER("not-ready", EFFECT_NO_EXECUTE),
        CONTROLLER("unreachable", EFFECT_NO_EXECUTE),
        CONTROLLER("disk-pressure", EFFECT_NO_SCHEDULE),
        CONTROLLER("memory-pressure", EFFECT_NO_SCHEDULE),
        CONTROLLER("pid-pressure", EFFECT_NO_SCHEDULE),
        CONTROLLER("unschedulable", EFFECT_NO_SCHEDULE),
        CONTROLLER("network-unavailable", EFFECT_NO_SCHEDULE),
};

size_t controller_tolerations_count(bool host_network) {
        return ARRAY_SIZE(controller_tolerations) - (host_network ? 0 : 1);
}

bool controller_tolerates(const Taint *taint, bool host_network) {
        for (size_t i = 0; i < controller_tolerations_count(host_network); i++)
                if (toleration_matches(&controller_tolerations[i], taint))
                        return true;
        return false;
}

static cJSON *toleration_to_json(const Toleration *t) {
        _cleanup_json_ cJSON *object = cJSON_CreateObject();

        if (!object || !json_add_string(object, "key", t->key) || !json_add_string(object, "operator", "Exists") ||
            !json_add_string(object, "effect", taint_effect_name(t->effect)))
                return NULL;
        return TAKE_PTR(object);
}

/* Key, operator, value and effect as written are equal; tolerationSeconds does not count. */
static bool is_same(const cJSON *json, const Toleration *t) {
        return streq(str_or_empty(json_string(json, "key")), t->key) &&
               streq(str_or_empty(json_string(json, "operator")), "Exists") &&
               !*str_or_empty(json_string(json, "value")) &&
               streq(str_or_empty(json_string(json, "effect")), taint_effect_name(t->effect));
}

static void drop_empty(cJSON *toleration) {
        static const char *const keys[] = { "key", "operator", "value", "effect" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                const char *value = json_string(toleration, keys[i]);

                if (value && !*value)
                        json_delete(toleration, keys[i]);
        }
}

static int add_one(cJSON *list, const Toleration *t) {
        bool found = false;

        for (cJSON *item = list->child, *next; item; item = next) {
                cJSON *json;

                next = item->next;
                if (!is_same(item, t))
                        continue;
                json = toleration_to_json(t);
                if (!json)
                        return -ENOMEM;
                if (!cJSON_ReplaceItemViaPointer(list, item, json)) {
                        cJSON_Delete(json);
                        return -ENOMEM;
                }
                found = true;
        }
        if (found)
                return 0;
        return json_append(list, toleration_to_json(t)) ? 0 : -ENOMEM;
}

int tolerations_add_controllers(cJSON **tolerations, bool host_network) {
        _cleanup_json_ cJSON *list = NULL;
        cJSON *item;

        /* On a copy, so that a failure leaves the caller's list as it was. */
        list = cJSON_IsArray(*tolerations) ? cJSON_Duplicate(*tolerations, true) : cJSON_CreateArray();
        if (!list)
                return -ENOMEM;
        cJSON_ArrayForEach(item, list) drop_empty(item);
        for (size_t i = 0; i < controller_tolerations_count(host_network); i++)
                if (add_one(list, &controller_tolerations[i]) < 0)
                        return -ENOMEM;
        cJSON_Delete(*tolerations);
        *tolerations = TAKE_PTR(list);
        return 0;
}
