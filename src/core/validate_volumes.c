/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes: one source each, and what each source must have. */
#include "core/selector.h"
#include "core/validate.h"

#define FILE_MODE RANGE(0, 0777)

/* ---- volumes made of API objects ---- */

static const Rule item_rows[] = {
        { "key", .flags = REQUIRED },
        { "path", REQUIRED, .text = bad_item_path },
        { "mode", 0, FILE_MODE },
};
static const Rules item_rules = RULES(item_rows, NULL);

static const Rule config_map_rows[] = {
        { "name", .flags = REQUIRED },
        { "items", LIST, .rules = &item_rules },
        { "defaultMode", 0, FILE_MODE },
};
static const Rules config_map_rules = RULES(config_map_rows, NULL);

static const Rule secret_rows[] = {
        { "secretName", REQUIRED, .help = "the Secret's name (the field is secretName, not name)" },
        { "items", LIST, .rules = &item_rules },
        { "defaultMode", 0, FILE_MODE },
};
static const Rules secret_rules = RULES(secret_rows, NULL);

static void check_downward_file(const At *file) {
        static const char *const sources[] = { "fieldRef", "resourceFieldRef", NULL };

        (void)refuse_several(file, sources, "source", "needs fieldRef or resourceFieldRef");
}

static const Rule downward_file_rows[] = {
        { "path", REQUIRED, .text = bad_item_path },
        { "fieldRef", 0, .rules = &volume_field_rules },
        { "resourceFieldRef", 0, .rules = &volume_resource_rules },
        { "mode", 0, FILE_MODE },
};
static const Rules downward_file_rules = RULES(downward_file_rows, check_downward_file);

static const Rule downward_rows[] = {
        { "items", LIST, .rules = &downward_file_rules },
        { "defaultMode", 0, FILE_MODE },
};
static const Rules downward_rules = RULES(downward_rows, NULL);

/* ---- projected ---- */

static const Rule token_rows[] = {
        { "path", REQUIRED, .text = bad_item_path },
        { "expirationSeconds", 0, RANGE(600, 4294967296) },
};
static const Rules token_rules = RULES(token_rows, NULL);

static void check_projection(const At *projection) {
        static const char *const sources[] = {
                "secret", "configMap", "downwardAPI", "podCertificate", "serviceAccountToken", "clusterTrustBundle",
                NULL
        };

        (void)refuse_several(projection, sources, "source in each entry", NULL);
}

static const Rule projection_rows[] = {
        { "secret", 0, .rules = &config_map_rules },
        { "configMap", 0, .rules = &config_map_rules },
        { "downwardAPI", 0, .rules = &downward_rules },
        { "serviceAccountToken", 0, .rules = &token_rules },
};
static const Rules projection_rules = RULES(projection_rows, check_projection);

static void note_path(const At *entry, const char *field, NameSet *paths) {
        At path = at_field(entry, field);

        if (cJSON_IsString(path.item) && *path.item->valuestring &&
            !name_set_add(paths, path.item->valuestring, entry->walk->diags))
                refuse(&path, "\"%s\" is the path of another source already", QUOTED(path.item->valuestring));
}

/* All sources end in one directory. (clusterTrustBundle and podCertificate belong to gates that are off: the API server
 * drops them unseen.) */
static void check_projected_paths(const At *sources) {
        static const char *const listed[] = { "secret", "configMap", "downwardAPI" };
        _cleanup_names_ NameSet paths = { 0 };

        for (each_at(source, sources)) {
                for (size_t i = 0; i < ARRAY_SIZE(listed); i++) {
                        At kind = at_field(&source, listed[i]), items = at_field(&kind, "items");

                        if (!cJSON_IsArray(items.item))
                                continue;
                        for (each_at(item, &items))
                                note_path(&item, "path", &paths);
                }
        }
}

static const Rule projected_rows[] = {
        { "sources", LIST, .rules = &projection_rules, .all = check_projected_paths },
        { "defaultMode", 0, FILE_MODE },
};
static const Rules projected_rules = RULES(projected_rows, NULL);

/* ---- volumes of the node ---- */

static const Rule empty_dir_rows[] = { { "sizeLimit", 0, .check = check_quantity_not_negative } };
static const Rules empty_dir_rules = RULES(empty_dir_rows, NULL);

static const Rule host_path_rows[] = {
        { "path", REQUIRED, .text = bad_back_steps },
        { "type", 0,
          .choices = CHOICES("DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
                             "BlockDevice") },
};
static const Rules host_path_rules = RULES(host_path_rows, NULL);

/* The API server takes an empty reference in a template, but no pod that is made of it. */
static const Rule image_rows[] = {
        { "reference", .flags = REQUIRED },
        { "pullPolicy", 0, .choices = CHOICES("Always", "IfNotPresent", "Never") },
};
static const Rules image_rules = RULES(image_rows, NULL);

/* ---- claims ---- */

static const Rule claim_rows[] = { { "claimName", .flags = REQUIRED } };
static const Rules claim_rules = RULES(claim_rows, NULL);

static const Rule claim_spec_rows[] = {
        { "accessModes", REQUIRED | LIST,
          .choices = CHOICES("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod") },
        { "selector", 0, .check = check_label_selector },
        { "volumeMode", EMPTY_COUNTS, .choices = CHOICES("Block", "Filesystem") },
};

static void check_claim_storage(const At *spec) {
        At resources = at_field(spec, "resources"), requests = at_field(&resources, "requests");
        At storage = at_field(&requests, "storage");
        Quantity q;

        if (!storage.item)
                refuse(&storage, "required");
        else if (quantity_read(storage.item, &q) && (q.negative || (q.whole == 0 && q.nano == 0)))
                refuse(&storage, "must be greater than 0");
}
static const Rules claim_spec_rules = RULES(claim_spec_rows, check_claim_storage);

static const Rule claim_template_rows[] = { { "spec", REQUIRED, .rules = &claim_spec_rules } };
static const Rules claim_template_rules = RULES(claim_template_rows, NULL);

static const Rule ephemeral_rows[] = { { "volumeClaimTemplate", REQUIRED, .rules = &claim_template_rules } };
static const Rules ephemeral_rules = RULES(ephemeral_rows, NULL);

/* ---- volumes of the network and of clouds ---- */

static const Rule nfs_rows[] = { { "server", .flags = REQUIRED }, { "path", REQUIRED, .text = bad_absolute_path } };
static const Rules nfs_rules = RULES(nfs_rows, NULL);

static const char *bad_initiator(const char *s) {
        return startswith(s, "iqn") || startswith(s, "eui") || startswith(s, "naa") ? NULL
                                                                                    : "must start with iqn, eui or naa";
}

static void check_iscsi(const At *iscsi) {
        At secret = at_field(iscsi, "secretRef");

        if (!secret.item && (json_true(iscsi->item, "chapAuthDiscovery") || json_true(iscsi->item, "chapAuthSession")))
                refuse(&secret, "required for CHAP");
}

static const Rule iscsi_rows[] = {
        { "targetPortal", .flags = REQUIRED },
        { "iqn", REQUIRED, .text = bad_initiator },
        { "lun", 0, RANGE(0, 255) },
        { "initiatorName", EMPTY_COUNTS, .text = bad_initiator },
};
static const Rules iscsi_rules = RULES(iscsi_rows, check_iscsi);

static void check_fc(const At *fc) {
        At names = at_field(fc, "targetWWNs"), lun = at_field(fc, "lun");
        const cJSON *ids = json_get(fc->item, "wwids");
        bool by_name = names.item && names.item->child, by_id = ids && ids->child;

        if (by_name == by_id)
                refuse(&names, by_name ? "not allowed together with wwids" : "required, or wwids instead");
        if (by_name && !lun.item)
                refuse(&lun, "required beside targetWWNs");
}

static const Rule fc_rows[] = { { "lun", 0, RANGE(0, 255) } };
static const Rules fc_rules = RULES(fc_rows, check_fc);

static const Rule csi_rows[] = { { "driver", REQUIRED, .text = bad_driver_name } };
static const Rules csi_rules = RULES(csi_rows, NULL);

static const Rule rbd_rows[] = { { "monitors", .flags = REQUIRED }, { "image", .flags = REQUIRED } };
static const Rules rbd_rules = RULES(rbd_rows, NULL);

static const Rule cephfs_rows[] = { { "monitors", .flags = REQUIRED } };
static const Rules cephfs_rules = RULES(cephfs_rows, NULL);

static const Rule glusterfs_rows[] = { { "endpoints", .flags = REQUIRED }, { "path", .flags = REQUIRED } };
static const Rules glusterfs_rules = RULES(glusterfs_rows, NULL);

static const Rule flex_rows[] = { { "driver", .flags = REQUIRED } };
static const Rules flex_rules = RULES(flex_rows, NULL);

static const Rule volume_id_rows[] = { { "volumeID", .flags = REQUIRED } };
static const Rules volume_id_rules = RULES(volume_id_rows, NULL);

static const Rule aws_rows[] = { { "volumeID", .flags = REQUIRED }, { "partition", 0, RANGE(0, 255) } };
static const Rules aws_rules = RULES(aws_rows, NULL);

static const Rule gce_rows[] = { { "pdName", .flags = REQUIRED }, { "partition", 0, RANGE(0, 255) } };
static const Rules gce_rules = RULES(gce_rows, NULL);

static const Rule azure_file_rows[] = { { "secretName", .flags = REQUIRED }, { "shareName", .flags = REQUIRED } };
static const Rules azure_file_rules = RULES(azure_file_rows, NULL);

static const Rule azure_disk_rows[] = {
        { "diskName", .flags = REQUIRED },
        { "diskURI", .flags = REQUIRED },
        { "cachingMode", EMPTY_COUNTS, .choices = CHOICES("None", "ReadOnly", "ReadWrite") },
        { "kind", EMPTY_COUNTS, .choices = CHOICES("Shared", "Dedicated", "Managed") },
};
static const Rules azure_disk_rules = RULES(azure_disk_rows, NULL);

static const Rule vsphere_rows[] = { { "volumePath", .flags = REQUIRED } };
static const Rules vsphere_rules = RULES(vsphere_rows, NULL);

static const Rule photon_rows[] = { { "pdID", .flags = REQUIRED } };
static const Rules photon_rules = RULES(photon_rows, NULL);

static const Rule scale_io_rows[] = { { "gateway", .flags = REQUIRED },
                                      { "system", .flags = REQUIRED },
                                      { "volumeName", .flags = REQUIRED } };
static const Rules scale_io_rules = RULES(scale_io_rows, NULL);

static const Rule storageos_rows[] = {
        { "volumeName", REQUIRED, .text = bad_dns_label },
        { "volumeNamespace", 0, .text = bad_dns_label },
};
static const Rules storageos_rules = RULES(storageos_rows, NULL);

static const Rule quobyte_rows[] = { { "registry", .flags = REQUIRED }, { "volume", .flags = REQUIRED } };
static const Rules quobyte_rules = RULES(quobyte_rows, NULL);

static const Rule git_rows[] = { { "repository", .flags = REQUIRED }, { "directory", 0, .text = bad_relative_path } };
static const Rules git_rules = RULES(git_rows, NULL);

static void check_flocker(const At *flocker) {
        bool name = *str_or_empty(json_string(flocker->item, "datasetName"));
        bool uuid = *str_or_empty(json_string(flocker->item, "datasetUUID"));

        if (name == uuid)
                refuse(flocker, "needs one of datasetName and datasetUUID");
}
static const Rules flocker_rules = { .check = check_flocker };

/* ---- the volume ---- */

const char *const volume_kinds[] = { "emptyDir",
                                     "hostPath",
                                     "configMap",
                                     "secret",
                                     "projected",
                                     "downwardAPI",
                                     "persistentVolumeClaim",
                                     "ephemeral",
                                     "csi",
                                     "image",
                                     "nfs",
                                     "iscsi",
                                     "fc",
                                     "rbd",
                                     "cephfs",
                                     "glusterfs",
                                     "flexVolume",
                                     "cinder",
                                     "awsElasticBlockStore",
                                     "gcePersistentDisk",
                                     "azureFile",
                                     "azureDisk",
                                     "vsphereVolume",
                                     "photonPersistentDisk",
                                     "portworxVolume",
                                     "scaleIO",
                                     "storageos",
                                     "quobyte",
                                     "gitRepo",
                                     "flocker",
                                     NULL };

/* A volume without any source is an emptyDir. */
static void check_volume(const At *volume) {
        (void)refuse_several(volume, volume_kinds, "kind of volume", NULL);
}

static const Rule volume_rows[] = {
        { "name", REQUIRED, .text = bad_dns_label },
        { "emptyDir", 0, .rules = &empty_dir_rules },
        { "hostPath", 0, .rules = &host_path_rules },
        { "configMap", 0, .rules = &config_map_rules },
        { "secret", 0, .rules = &secret_rules },
        { "projected", 0, .rules = &projected_rules },
        { "downwardAPI", 0, .rules = &downward_rules },
        { "persistentVolumeClaim", 0, .rules = &claim_rules },
        { "ephemeral", 0, .rules = &ephemeral_rules },
        { "csi", 0, .rules = &csi_rules },
        { "image", 0, .rules = &image_rules },
        { "nfs", 0, .rules = &nfs_rules },
        { "iscsi", 0, .rules = &iscsi_rules },
        { "fc", 0, .rules = &fc_rules },
        { "rbd", 0, .rules = &rbd_rules },
        { "cephfs", 0, .rules = &cephfs_rules },
        { "glusterfs", 0, .rules = &glusterfs_rules },
        { "flexVolume", 0, .rules = &flex_rules },
        { "cinder", 0, .rules = &volume_id_rules },
        { "awsElasticBlockStore", 0, .rules = &aws_rules },
        { "gcePersistentDisk", 0, .rules = &gce_rules },
        { "azureFile", 0, .rules = &azure_file_rules },
        { "azureDisk", 0, .rules = &azure_disk_rules },
        { "vsphereVolume", 0, .rules = &vsphere_rules },
        { "photonPersistentDisk", 0, .rules = &photon_rules },
        { "portworxVolume", 0, .rules = &volume_id_rules },
        { "scaleIO", 0, .rules = &scale_io_rules },
        { "storageos", 0, .rules = &storageos_rules },
        { "quobyte", 0, .rules = &quobyte_rules },
        { "gitRepo", 0, .rules = &git_rules },
        { "flocker", 0, .rules = &flocker_rules },
};
const Rules volume_rules = RULES(volume_rows, check_volume);
