/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities, and the rules of resource lists. */
#include "core/selector.h"
#include "core/validate.h"

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool scale(Quantity *q, unsigned factor) {
        uint64_t nano = (uint64_t)q->nano * factor;

        if (q->whole > (UINT64_MAX - nano / 1000000000) / factor)
                return false;
        q->whole = q->whole * factor + nano / 1000000000;
        q->nano = (uint32_t)(nano % 1000000000);
        return true;
}

static bool shrink(Quantity *q) {
        uint64_t nano = q->whole % 10 * 1000000000 + q->nano;

        if (nano % 10)
                return false; /* finer than we can tell */
        q->whole /= 10;
        q->nano = (uint32_t)(nano / 10);
        return true;
}

/* The suffix as a power of ten, or of 1024; false for one that is none. */
static bool suffix_read(const char *s, int *ret_ten, unsigned *ret_binary) {
        static const char prefixes[] = "numkMGTPE";
        static const int powers[] = { -9, -6, -3, 3, 6, 9, 12, 15, 18 };
        const char *p = *s ? strchr(prefixes, *s) : NULL;
        int sign = 1;

        *ret_ten = 0;
        *ret_binary = 0;
        if (!*s)
                return true;
        if ((*s == 'e' || *s == 'E') && s[1]) {
                s++;
                if (*s == '+' || *s == '-')
                        sign = *s++ == '-' ? -1 : 1;
                for (; is_digit(*s) && *ret_ten < 1000; s++)
                        *ret_ten = *ret_ten * 10 + (*s - '0');
                *ret_ten *= sign;
                return !*s;
        }
        if (s[1] == 'i' && !s[2]) {
                static const char binary[] = "KMGTPE";

                p = strchr(binary, *s);
                *ret_binary = p ? (unsigned)(p - binary) + 1 : 0;
                return p != NULL;
        }
        if (!p || s[1])
                return false;
        *ret_ten = powers[p - prefixes];
        return true;
}

bool quantity_read(const cJSON *item, Quantity *ret) {
        const char *s = cJSON_IsString(item) || json_is_number(item) ? item->valuestring : NULL;
        Quantity q = { 0 };
        unsigned binary;
        int ten;
        uint32_t unit = 100000000;

        if (!s || !*s)
                return false;
        if (*s == '+' || *s == '-')
                q.negative = *s++ == '-';
        for (; is_digit(*s); s++) {
                if (!scale(&q, 10) || q.whole > UINT64_MAX - 9)
                        return false;
                q.whole += (uint64_t)(*s - '0');
        }
        if (*s == '.') {
                for (s++; is_digit(*s); s++, unit /= 10) {
                        if (unit == 0 && *s != '0')
                                return false;
                        q.nano += (uint32_t)(*s - '0') * unit;
                }
        }
        if (!suffix_read(s, &ten, &binary))
                return false;
        for (; binary > 0; binary--)
                if (!scale(&q, 1024))
                        return false;
        for (; ten > 0 && (q.whole || q.nano); ten--)
                if (!scale(&q, 10))
                        return false;
        for (; ten < 0 && (q.whole || q.nano); ten++)
                if (!shrink(&q))
                        return false;
        q.negative &= q.whole || q.nano;
        *ret = q;
        return true;
}

static int compare_size(const Quantity *a, const Quantity *b) {
        if (a->whole != b->whole)
                return a->whole < b->whole ? -1 : 1;
        return (a->nano > b->nano) - (a->nano < b->nano);
}

int quantity_compare(const Quantity *a, const Quantity *b) {
        if (a->negative != b->negative)
                return a->negative ? -1 : 1;
        return a->negative ? -compare_size(a, b) : compare_size(a, b);
}

/* ---- resource lists ---- */

void check_quantity_not_negative(const At *quantity) {
        Quantity q;

        if (quantity_read(quantity->item, &q) && q.negative)
                refuse(quantity, "must not be negative");
}

static bool is_hugepages(const char *name) {
        return startswith(name, "hugepages-");
}

/* Resources of Kubernetes itself, as opposed to extended ones (example.com/gpu). */
static bool is_native(const char *name) {
        return !strchr(name, '/') || strstr(name, "kubernetes.io/");
}

static bool is_compute(const char *name) {
        return streq(name, "cpu") || streq(name, "memory");
}

static void check_resource_name(const At *at) {
        const char *wrong = bad_label_key(at->name);

        if (wrong)
                refuse(at, "the resource's name %s", wrong);
        else if (!strchr(at->name, '/') && !is_compute(at->name) && !streq(at->name, "ephemeral-storage") &&
                 !is_hugepages(at->name))
                refuse(at, "no resource of a container: use cpu, memory, ephemeral-storage, hugepages-SIZE, or a name "
                           "with a domain as example.com/device");
        else if (!is_native(at->name) && startswith(at->name, "requests."))
                refuse(at, "the name of an extended resource must not start with 'requests.'");
}

static bool hugepages_divide(const char *name, const Quantity *value) {
        cJSON size = { .type = cJSON_String, .valuestring = (char *)(name + strlen("hugepages-")) };
        Quantity page;

        if (!quantity_read(&size, &page) || page.whole == 0 || page.nano)
                return true;
        return value->whole % page.whole == 0 && !value->nano;
}

void check_resource_list(const At *list) {
        if (!cJSON_IsObject(list->item))
                return;
        for (const cJSON *c = list->item->child; c; c = c->next) {
                At at = at_key(list, c);
                Quantity q;

                check_resource_name(&at);
                if (!quantity_read(c, &q))
                        continue;
                if (q.negative)
                        refuse(&at, "must not be negative");
                else if (!is_native(at.name) && q.nano)
                        refuse(&at, "must be a whole number");
                else if (is_hugepages(at.name) && !hugepages_divide(at.name, &q))
                        refuse(&at, "must be a multiple of the page size");
        }
}

static void check_request(const At *request, const At *limits) {
        const cJSON *limit = json_get(limits->item, request->name);
        bool overcommit = is_native(request->name) && !is_hugepages(request->name);
        Quantity wanted, allowed;

        if (!limit) {
                if (!overcommit)
                        refuse(request, "needs a limit of the same size");
                return;
        }
        if (!quantity_read(request->item, &wanted) || !quantity_read(limit, &allowed))
                return;
        if (!overcommit && quantity_compare(&wanted, &allowed) != 0)
                refuse(request, "%s must be equal to the limit, %s", QUOTED(request->item->valuestring),
                       QUOTED(limit->valuestring));
        else if (quantity_compare(&wanted, &allowed) > 0)
                refuse(request, "%s is more than the limit, %s", QUOTED(request->item->valuestring),
                       QUOTED(limit->valuestring));
}

static bool has_resource(const cJSON *list, bool (*test)(const char *name)) {
        if (!cJSON_IsObject(list))
                return false;
        for (const cJSON *c = list->child; c; c = c->next)
                if (test(c->string))
                        return true;
        return false;
}

static void check_claims(const At *claims) {
        if (!cJSON_IsArray(claims->item))
                return;
        for (each_at(claim, claims)) {
                At name = at_field(&claim, "name");
                const PodFacts *pod = claims->walk->pod;

                if (!cJSON_IsString(name.item) || !*name.item->valuestring)
                        refuse(&name, "required: a name of spec.resourceClaims");
                else if (pod && !name_set_has(&pod->claims, name.item->valuestring))
                        refuse(&name, "no resource claim of the pod is named \"%s\"", QUOTED(name.item->valuestring));
        }
}

void check_resources(const At *resources) {
        At limits = at_field(resources, "limits"), requests = at_field(resources, "requests"),
           claims = at_field(resources, "claims");

        check_resource_list(&limits);
        check_resource_list(&requests);
        check_claims(&claims);
        if (cJSON_IsObject(requests.item)) {
                for (const cJSON *c = requests.item->child; c; c = c->next) {
                        At request = at_key(&requests, c);

                        check_request(&request, &limits);
                }
        }
        if ((has_resource(limits.item, is_hugepages) || has_resource(requests.item, is_hugepages)) &&
            !has_resource(limits.item, is_compute) && !has_resource(requests.item, is_compute))
                refuse(resources, "hugepages need cpu or memory beside them");
}

void check_pod_resources(const At *resources) {
        static const char *const lists[] = { "limits", "requests" };
        At claims = at_field(resources, "claims");

        if (claims.item)
                refuse(&claims, "not allowed for the pod as a whole");
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                At list = at_field(resources, lists[i]);

                for (const cJSON *c = cJSON_IsObject(list.item) ? list.item->child : NULL; c; c = c->next) {
                        At at = at_key(&list, c);

                        if (!is_compute(c->string) && !is_hugepages(c->string))
                                refuse(&at, "for the pod as a whole only cpu, memory and hugepages-SIZE are supported");
                }
        }
        if (!claims.item)
                check_resources(resources);
}
