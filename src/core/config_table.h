/* SPDX-License-Identifier: Apache-2.0 */
/* The table that declares every key. Internal to core/config*.c. */
#pragma once

#include "core/config.h"

typedef enum ConfigType {
        CONFIG_NODE_NAME,  /* a DNS-1123 subdomain */
        CONFIG_LABELS,     /* k=v,k=v */
        CONFIG_TAINTS,     /* key=value:Effect,key:Effect */
        CONFIG_BOOL,       /* yes or no */
        CONFIG_DURATION,   /* seconds in an int64_t */
        CONFIG_WORD,       /* one of words, its index in an enum */
        CONFIG_PATH,       /* absolute */
        CONFIG_NAMESPACES, /* a,b */
        CONFIG_HOST_PORT,
} ConfigType;

typedef struct ConfigItem {
        const char *section, *key;
        ConfigType type;
        size_t offset; /* in Config */
        const char *fallback;
        const char *unset; /* the word that is stored as NULL, or NULL */
        const char *word;  /* a word that is stored as it is although it is none of the type, or NULL */
        const char *words; /* CONFIG_WORD: "auto always no", in the order of the enum */
        const char *help;  /* sentences */
} ConfigItem;

typedef struct ConfigSection {
        const char *name, *help;
} ConfigSection;

extern const ConfigSection config_sections[];
extern const size_t config_n_sections;
extern const ConfigItem config_items[]; /* grouped by section, in the order of config_sections */
extern const size_t config_n_items;
