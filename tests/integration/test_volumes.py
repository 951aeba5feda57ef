#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ConfigMaps and Secrets that pods use: that a container sees what it would see of the API, and what happens when they
change, are missing or go."""
import collections, json, os, pathlib, shutil, sys, time, unittest

import host
import kubernetes_model as model
import test_agent_pods
from agent import AgentHost
from host import Host, daemonset
from kubernetes_model import config_map, secret

NOT_WELL = 1
API_SERVER = {"KUBERNETES_SERVICE_HOST": "192.0.2.7", "KUBERNETES_SERVICE_PORT": "6443"}
NODE = host.NODE["metadata"]["name"]


def user(name, *volumes, env=None, env_from=None, **spec):
    """A DaemonSet that mounts volumes, each at its name."""
    container = {"name": "main", "image": "registry.example.com/a:1",
                 "volumeMounts": [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]}
    container.update({k: v for k, v in (("env", env), ("envFrom", env_from)) if v})
    return daemonset(name, containers=[container], **({"volumes": list(volumes)} if volumes else {}), **spec)


def of_map(name, volume="config", **more):
    return {"name": volume, "configMap": {"name": name, **more}}


def of_secret(name, volume="secret", **more):
    return {"name": volume, "secret": {"secretName": name, **more}}


def from_map(name, key, variable="FROM_MAP", **more):
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": name, "key": key, **more}}}


def as_list(items):
    return {"apiVersion": "v1", "kind": "List", "items": items}


class Volumes:
    """Beside a Host."""

    @property
    def volumes(self):
        return self.state / "volumes"

    def dirs(self, name, namespace="kube-system"):
        """The directories of all inputs of a DaemonSet, by name."""
        pod = self.volumes / f"{namespace}_{name}"
        return sorted(p for p in pod.iterdir() if not p.name.startswith(".")) if pod.exists() else []

    def mounted(self, name, volume="config"):
        """The directory that the standing manifest mounts."""
        for v in self.pod(name)["spec"]["volumes"]:
            if v["name"] == volume:
                self.assertEqual(v["hostPath"]["type"], "Directory")
                return pathlib.Path(v["hostPath"]["path"])
        raise AssertionError(f"no volume {volume}")

    def texts(self, name, volume="config"):
        return texts(self.mounted(name, volume))

    def wait_texts(self, name, want, volume="config"):
        def seen():
            try:
                return self.texts(name, volume) == want
            except FileNotFoundError:
                return False  # the link of a key that is being removed
        self.wait_for(seen, f"{want} in {name}", 40)  # it may be tried again after a pause

    def print_of(self, name):
        st = self.path(name).lstat()
        return st.st_ino, st.st_mtime_ns, st.st_ctime_ns


def texts(directory):
    """What a pod sees in a directory."""
    return {p: f[0].decode() for p, f in model.host_tree(directory, False).items() if f[0] is not None}


# ---- what a container sees ----

class Equivalence(Volumes, Host):
    """For random templates and objects. VOLUMES_CASES: how many; SEED: the seed that was printed."""

    def test_containers_see_what_kubernetes_would_show(self):
        seed = int(os.environ.get("SEED", "1"))
        cases, began = int(os.environ.get("VOLUMES_CASES") or 300), time.monotonic()
        print(f"SEED={seed}", file=sys.stderr)
        rng, self.seen = model.Random(seed), collections.Counter()
        for number, service in enumerate((API_SERVER, {})):
            api_server = ":".join(service.values()) or None
            self.configure(pods={"secret_env": "inline", "api_server": api_server})
            objects = rng.objects()
            users = [rng.user(f"user-{number}-{i}") for i in range(cases // 2)]
            self.source("users.json", as_list(objects + users))
            p = self.run_("sync", "-o", "tsv", "--confirm")
            self.assertIn(p.returncode, (0, NOT_WELL), p.stderr)
            rows = {r.id: r for r in map(host.Row, p.stdout.splitlines())}
            self.compare_all(users, model.Objects(*objects), service, rows)
        print(f"{dict(self.seen)}, {time.monotonic() - began:.1f} s", file=sys.stderr)
        if cases >= 100:
            self.assertGreater(self.seen["ok"], cases // 4)
            self.assertTrue(self.seen["waiting"] and self.seen["impossible"] and self.seen["files"], self.seen)

    def compare_all(self, users, objects, service, rows):
        for o in users:
            name = o["metadata"]["name"]
            with self.subTest(name):
                self.compare(o, objects, service, rows[f"kube-system/{name}"])

    def compare(self, o, objects, service, row):
        template, name = o["spec"]["template"], o["metadata"]["name"]
        written = self.pod(name) if self.path(name).exists() else {"metadata": {"uid": ""}}
        pod = model.Pod(f"{name}-{NODE}", "kube-system", written["metadata"]["uid"], NODE,
                        template["metadata"]["labels"], template["metadata"]["annotations"])
        told = f"{row}\n{json.dumps(template)}"
        try:
            want = model.pod_view(template["spec"], objects, pod, service)
        except model.Missing as missing:
            self.seen["waiting"] += 1
            self.assertEqual((row.state, self.path(name).exists()), ("Waiting", False), told)
            self.assertIn(row.reason, model.WAITS_FOR.values(), told)
            self.assertTrue(missing.args[1] in row.message or " more" in row.message, f"{missing.args} {told}")
            return
        except model.Impossible as impossible:
            self.seen["impossible"] += 1
            if row.reason == "Fits":  # a volume that is the kubelet's still, with downwardAPI alone
                with self.assertRaises(model.Impossible):
                    model.pod_view(written["spec"], model.Objects(), pod, host_dir=self.volumes)
                return
            self.assertIn(row.reason, ["UnsupportedVolume", *model.WAITS_FOR.values()], f"{impossible} {told}")
            self.assertFalse(self.path(name).exists())
            return
        self.assertEqual(row.reason, "Fits", told)
        self.seen["ok"] += 1
        for reference in ("configMap", "secretName", "secretRef", "configMapRef", "KeyRef"):
            self.assertNotIn(f'"{reference}', json.dumps(written["spec"]))
        # No objects: whatever the pod still asks the API for is missing.
        got = model.pod_view(written["spec"], model.Objects(), pod, host_dir=self.volumes)
        self.seen["files"] += sum(len(tree) for view in got.values() for tree, _ in view["mounts"].values())
        self.assertEqual(got, want, told)


# ---- what changes while it runs ----

class Live(Volumes, AgentHost):
    def objects_of(self, name):
        """What explain says of the objects that a DaemonSet uses."""
        p = self.run_("explain", "-o", "json", f"kube-system/{name}")
        self.assertEqual(p.returncode, 0, p.stderr)
        return [c["message"] for c in json.loads(p.stdout)[0]["checks"] if c["check"] == "Object"]

    def start_one(self, *volumes, data=None, **kw):
        self.source("config.json", config_map("config", data or {"a": "1", "b": "2"}))
        self.source("one.json", user("one", *(volumes or [of_map("config")]), **kw))
        self.start()
        self.wait_file("one")

    def test_a_change_swaps_the_files_and_the_manifest_stays(self):
        self.start_one()
        before, inside = self.print_of("one"), os.open(self.mounted("one"), os.O_PATH)  # as a bind mount has it
        self.addCleanup(os.close, inside)
        self.assertEqual(self.texts("one"), {"a": "1", "b": "2"})
        self.assertEqual(self.objects_of("one"),
                         ["ConfigMap config is mounted: a change of it swaps the files, and the pod goes on"])
        for data in ({"b": "3", "c": "4"}, {"c": "4"}, {"a": "1", "b": "2"}):
            self.source("config.json", config_map("config", data))
            self.wait_texts("one", data)
            self.assertEqual(texts(f"/proc/self/fd/{inside}"), data)
            self.wait_for(lambda: sorted(p.name for p in self.mounted("one").iterdir())[2:] == sorted(data),
                          "nothing of the old files")  # behind ..data and where it leads
        self.source("two.json", daemonset("two"))
        self.wait_file("two")
        self.assertEqual((self.print_of("one"), len(self.dirs("one"))), (before, 1))

    def test_a_change_in_the_environment_is_another_manifest(self):
        both = "is in the environment: a change of it restarts the pod"
        self.start_one(of_map("config"), env=[from_map("config", "a")])
        self.assertEqual(self.objects_of("one"), [f"ConfigMap config {both}"])
        want, first = self.path("one").read_bytes(), self.mounted("one")
        self.source("config.json", config_map("config", {"a": "9", "b": "2"}))
        self.wait_for(lambda: self.path("one").read_bytes() != want, "another manifest")
        self.assertEqual(self.pod("one")["spec"]["containers"][0]["env"], [{"name": "FROM_MAP", "value": "9"}])
        self.assertEqual(self.texts("one"), {"a": "9", "b": "2"})
        self.assertEqual(texts(first), {"a": "1", "b": "2"}, "the old pod's files are its own")
        # Only b changes: that is no part of the environment.
        self.wait_for(lambda: (self.row("one") or {}).get("reason") == "Fits", "calm")
        before = self.print_of("one")
        self.source("config.json", config_map("config", {"a": "9", "b": "3"}))
        self.wait_texts("one", {"a": "9", "b": "3"})
        self.source("two.json", daemonset("two"))
        self.wait_file("two")
        self.assertEqual(self.print_of("one"), before)

    def test_waits_for_what_is_missing_and_goes_on_by_itself(self):
        self.source("one.json", user("one", of_map("config"), of_secret("keys", items=[{"key": "k", "path": "k"}])))
        self.start()
        row = self.wait_reason("one", "WaitingForConfigMap")
        self.assertEqual(row["state"], "Waiting")
        for name in ("ConfigMap kube-system/config is missing", "Secret kube-system/keys is missing"):
            self.assertIn(name, row["message"])
        self.source("config.json", config_map("config", {"a": "1"}))
        self.wait_reason("one", "WaitingForSecret")
        self.source("keys.json", secret("keys", {"other": "x"}))
        self.wait_for(lambda: "kube-system/keys has no key k" in self.row("one")["message"], "the key's name")
        self.assertEqual((self.files(), list(self.volumes.rglob("*"))), ([], []))
        self.source("keys.json", secret("keys", {"k": "v"}))
        self.wait_file("one")
        self.assertEqual((self.texts("one"), self.texts("one", "secret")), ({"a": "1"}, {"k": "v"}))

    def test_an_object_that_goes_leaves_everything_as_it_was(self):
        self.start_one(of_map("config"), of_secret("keys", optional=True), env=[from_map("config", "a")])
        before = self.print_of("one")
        (self.sources / "config.json").unlink()
        row = self.wait_reason("one", "WaitingForConfigMap")
        self.assertEqual(row["state"], "Waiting")
        self.assertEqual(self.print_of("one"), before)
        self.settle()  # what stands is still repaired
        self.assertEqual(self.texts("one"), {"a": "1", "b": "2"})
        self.assertEqual(self.stop(), 0)
        self.start()  # and not forgotten by a new agent
        self.wait_reason("one", "WaitingForConfigMap")
        self.assertEqual(self.texts("one"), {"a": "1", "b": "2"})
        before = self.print_of("one")
        self.source("config.json", config_map("config", {"a": "1", "b": "2"}))
        self.wait_reason("one", "Fits")
        self.assertEqual(self.print_of("one"), before)

    def test_nothing_empties_the_directory_of_a_pod(self):
        def nothing(data):
            return config_map("config", data)

        self.start_one(of_map("config", optional=True))
        cases = {"emptied": lambda: self.source("config.json", nothing({})),
                 "removed": (self.sources / "config.json").unlink}
        for case, empty in cases.items():
            with self.subTest(case):
                self.source("config.json", nothing({"a": "1"}))
                self.wait_texts("one", {"a": "1"})
                self.wait_reason("one", "Fits")
                before = self.print_of("one")
                empty()
                row = self.wait_reason("one", "VolumeKept")
                self.assertIn("volume config", row["message"])
                self.assertEqual((self.texts("one"), self.print_of("one")), ({"a": "1"}, before))
        self.source("config.json", nothing({"b": "2"}))
        self.wait_texts("one", {"b": "2"})
        self.wait_reason("one", "Fits")

    def test_a_volume_that_never_had_anything_may_be_empty(self):
        self.source("one.json", user("one", of_map("config", optional=True), of_secret("keys", optional=True)))
        self.start()
        self.wait_file("one")
        self.wait_reason("one", "Fits")
        self.assertEqual((self.texts("one"), self.texts("one", "secret")), ({}, {}))
        before = self.print_of("one")
        self.source("keys.json", secret("keys", {"k": "v"}))
        self.wait_texts("one", {"k": "v"}, "secret")
        self.assertEqual(self.print_of("one"), before)

    def test_one_source_of_several_may_go(self):
        sources = [{"configMap": {"name": n, "optional": True}} for n in ("config", "more")]
        self.source("more.json", config_map("more", {"c": "3"}))
        self.start_one({"name": "config", "projected": {"sources": sources}})
        self.assertEqual(self.texts("one"), {"a": "1", "b": "2", "c": "3"})
        (self.sources / "config.json").unlink()
        self.wait_texts("one", {"c": "3"})
        (self.sources / "more.json").unlink()
        self.wait_reason("one", "VolumeKept")
        self.assertEqual(self.texts("one"), {"c": "3"})

    def test_the_directory_is_made_again(self):
        self.start_one()
        self.volumes.rename(self.dir / "away")  # emptied in its place it would be filled again meanwhile
        shutil.rmtree(self.dir / "away", ignore_errors=True)
        self.source("two.json", daemonset("two"))
        self.wait_texts("one", {"a": "1", "b": "2"})
        self.assertEqual(self.volumes.stat().st_mode & 0o7777, 0o700)

    def test_an_unreadable_file_changes_nothing(self):
        self.start_one()
        self.wait_reason("one", "Fits")
        before = self.print_of("one")
        self.source("config.json", "{ this is no YAML")
        self.wait_for(lambda: "config.json" in json.dumps(self.status()), "the file to be reported")
        self.source("two.json", daemonset("two"))
        self.wait_file("two")
        self.assertEqual((self.texts("one"), self.print_of("one")), ({"a": "1", "b": "2"}, before))


    def test_an_object_that_is_invalid_is_told(self):
        """Its last good version counts, and the DaemonSet that uses it says so."""
        self.start_one()
        self.wait_reason("one", "Fits")
        before = self.print_of("one")
        self.source("config.json", {**config_map("config"), "data": {"a": 5}})
        row = self.wait_reason("one", "SourceIncomplete")
        self.assertIn("ConfigMap config", row["message"])
        self.assertEqual((self.texts("one"), self.print_of("one")), ({"a": "1", "b": "2"}, before))
        self.source("config.json", config_map("config", {"a": "5"}))
        self.wait_texts("one", {"a": "5"})
        self.wait_reason("one", "Fits")


# ---- what is no longer needed ----

class Former(Volumes, test_agent_pods.Pods):
    """With a kubelet whose pods can be seen."""

    def start_one(self):
        self.source("keys.json", secret("keys", {"k": "v"}))
        self.start()
        uid = self.run_one("one", **user("one", of_secret("keys"))["spec"]["template"]["spec"])
        return uid, self.mounted("one", "secret")

    def test_files_go_when_the_pod_is_gone(self):
        uid, former = self.start_one()
        self.source("one.json", user("one", of_secret("keys"), hostNetwork=True))
        self.wait_for(lambda: self.uid("one") != uid, "the next pod")
        self.pod_starts(self.uid("one"))
        self.source("keys.json", secret("keys", {"k": "next"}))
        self.wait_texts("one", {"k": "next"}, "secret")
        self.settle()
        self.assertEqual(texts(former), {"k": "v"})
        self.pod_ends(uid)
        self.wait_for(lambda: not former.parent.exists(), "the old files to go")
        self.assertEqual(self.dirs("one"), [self.mounted("one", "secret").parent])

    def test_of_a_removed_daemonset(self):
        self.source("two.json", daemonset("two"))
        uid, former = self.start_one()
        (self.sources / "one.json").unlink()
        (self.sources / "keys.json").unlink()
        self.wait_for(lambda: not self.path("one").exists(), "its removal")
        self.settle()
        self.assertEqual(texts(former), {"k": "v"})
        self.pod_ends(uid)
        self.wait_for(lambda: not (self.volumes / "kube-system_one").exists(), "its files to go")

    def test_a_restart_keeps_them(self):
        uid, former = self.start_one()
        inode = former.stat().st_ino
        self.assertEqual(self.run_("restart", "kube-system/one").returncode, 0)
        self.pod_ends(uid)
        self.wait_for(lambda: self.path("one").exists(), "its manifest", 40)  # after six seconds
        self.wait_file("one")
        self.assertEqual((texts(former), former.stat().st_ino), ({"k": "v"}, inode))

    def test_a_pod_that_is_seen_keeps_them_however_long_it_takes(self):
        """A kubelet that is stopped stops no pod."""
        self.source("keys.json", secret("keys", {"k": "v"}))
        self.source("one.json", user("one", of_secret("keys")))
        self.sync()
        uid, former = self.uid("one"), self.mounted("one", "secret")
        self.pod_starts(uid)
        (self.sources / "one.json").unlink()
        self.sync()
        age_tombstones(self.state, 3600)
        for _ in range(3):
            self.sync()
            self.assertEqual(texts(former), {"k": "v"})
        self.pod_ends(uid)
        self.sync()
        self.assertFalse(former.exists())


    def test_purge_leaves_no_secret_behind(self):
        self.source("keys.json", secret("keys", {"k": "v"}))
        self.source("one.json", user("one", of_secret("keys")))
        self.sync()
        uid, former = self.uid("one"), self.mounted("one", "secret")
        self.pod_starts(uid)
        self.assertEqual(self.run_("purge", "--yes", node=False).returncode, 0)
        self.assertEqual((self.files(), texts(former)), ([], {"k": "v"}))
        self.pod_ends(uid)
        self.assertEqual(self.run_("purge", "--yes", node=False).returncode, 0)
        self.assertEqual(list(self.volumes.iterdir()), [])


def age_tombstones(state, seconds):
    """As if they had been written so long ago."""
    index = state / "index.json"
    tree = json.loads(index.read_text())
    assert tree["tombstones"]
    for t in tree["tombstones"]:
        t["removedAt"] -= seconds
    index.write_text(json.dumps(tree))


class Unseen(Volumes, Host):
    """Without anything that could tell what became of a pod."""

    def test_old_files_wait_for_the_grace_time_and_five_minutes(self):
        self.source("keys.json", secret("keys", {"k": "v"}))
        self.source("one.json", user("one", of_secret("keys"), terminationGracePeriodSeconds=100))
        self.sync()
        former = self.mounted("one", "secret")
        self.source("one.json", user("one", of_secret("keys"), hostNetwork=True))
        for _ in range(3):
            self.sync()
            self.assertEqual(texts(former), {"k": "v"})
        age_tombstones(self.state, 400 - 100)
        self.sync()
        self.assertEqual(texts(former), {"k": "v"})
        age_tombstones(self.state, 101)
        self.sync()
        self.assertEqual(self.dirs("one"), [self.mounted("one", "secret").parent])

    def test_back_to_the_former_template(self):
        self.source("config.json", config_map("config", {"a": "1"}))
        self.source("one.json", user("one", of_map("config")))
        self.sync()
        want, former = self.path("one").read_bytes(), self.mounted("one")
        self.source("one.json", user("one", of_map("config"), hostNetwork=True))
        self.source("config.json", config_map("config", {"a": "2"}))
        self.sync()
        self.source("one.json", user("one", of_map("config")))
        self.sync()
        self.assertEqual((self.path("one").read_bytes(), self.mounted("one")), (want, former))
        self.assertEqual(self.texts("one"), {"a": "2"})

    def test_nothing_is_touched_twice(self):
        self.source("all.json", as_list([config_map("config", {"a": "1"}), secret("keys", {"k": "v"}),
                                         user("one", of_map("config"), of_secret("keys"), env=[from_map("config", "a")],
                                              securityContext={"fsGroup": os.getgid()})]))
        self.sync()
        before = self.prints()
        for _ in range(2):
            self.sync()
            self.assertEqual({k: v for k, v in self.prints().items() if k in before}, before)


# ---- files of vendors, as they are ----

CORPUS = host.SHARED / "corpus"
VENDORS = {  # file: namespace/name, what it waits for
    "antrea/antrea.yaml": ("kube-system/antrea-agent", []),
    "calico/calico.yaml": ("kube-system/calico-node", []),
    "calico/calico-etcd.yaml": ("kube-system/calico-node", []),
    "canal/canal.yaml": ("kube-system/canal", []),
    "ceph-csi/csi-cephfsplugin.yaml": ("default/csi-cephfsplugin", [
        "default/ceph-config", "default/ceph-csi-config", "default/ceph-csi-encryption-kms-config"]),
    "ceph-csi/csi-rbdplugin.yaml": ("default/csi-rbdplugin", [
        "default/ceph-config", "default/ceph-csi-config", "default/ceph-csi-encryption-kms-config"]),
    "flannel/kube-flannel.yaml": ("kube-flannel/kube-flannel-ds", []),
    "fluentd/fluentd-daemonset-azureblob.yaml": ("kube-system/fluentd-azureblob", []),
    "fluentd/fluentd-daemonset-elasticsearch-rbac.yaml": ("kube-system/fluentd", []),
    "kube-proxy/kubeadm-kube-proxy.yaml": ("kube-system/kube-proxy", []),
    "multus/multus-daemonset.yaml": ("kube-system/kube-multus-ds", []),
    "multus/multus-daemonset-thick.yaml": ("kube-system/kube-multus-ds", []),
    "node-exporter/nodeExporter-daemonset.yaml": ("monitoring/node-exporter", []),
}


@unittest.skipUnless(CORPUS.exists(), "the corpus is not here")
class Vendors(Volumes, Host):
    def test_each_runs_or_says_what_is_missing(self):
        for file, (name, missing) in VENDORS.items():
            with self.subTest(file):
                for f in self.sources.iterdir():
                    f.unlink()
                shutil.copy(CORPUS / file, self.sources)
                row = self.sync("--confirm")[name]
                if missing:
                    self.assertEqual((row.state, row.reason), ("Waiting", "WaitingForConfigMap"), row)
                    self.assertEqual([m.split()[1] for m in row.message.split("; ")], missing)
                    continue
                self.assertEqual((row.state, row.reason), ("Written", "Fits"), row)
                pod = json.loads(self.path(*reversed(name.split("/"))).read_text())
                for v in pod["spec"].get("volumes", []):
                    self.assertFalse({"configMap", "secret", "projected"} & set(v), v)
                    if str(self.volumes) in v.get("hostPath", {}).get("path", "") and v["name"] != "etcd-certs":
                        self.assertNotEqual(texts(v["hostPath"]["path"]), {}, v)  # that Secret is empty

    def test_ceph_runs_when_its_objects_are_there(self):
        shutil.copy(CORPUS / "ceph-csi/csi-rbdplugin.yaml", self.sources)
        name, missing = VENDORS["ceph-csi/csi-rbdplugin.yaml"]
        objects = [config_map(m.split("/")[1], {"k": "v"}, namespace="default") for m in missing]
        for o in objects[:-1]:
            self.source(f"{o['metadata']['name']}.json", o)
            self.assertEqual(self.sync()[name].state, "Waiting")
        self.source("last.json", objects[-1])
        self.assertEqual(self.sync()[name].reason, "Fits")


if __name__ == "__main__":
    host.main()
