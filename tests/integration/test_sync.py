#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sync with the real binary: what is written, kept, restored, replaced, removed, quarantined and reported."""
import fcntl, hashlib, json, os, resource, shutil, signal, subprocess, uuid

from host import Host, Row, daemonset, main


class Sync(Host):
    def test_creates_one_manifest_each(self):
        self.source("a.json", daemonset("one"))
        self.source("b.yaml", daemonset("two"), daemonset("three", "monitoring"))
        rows = self.sync()
        self.assertEqual(self.files(), ["daemonlet_kube-system_one.json", "daemonlet_kube-system_two.json",
                                        "daemonlet_monitoring_three.json"])
        for row in rows.values():
            self.assertEqual((row.state, row.reason), ("Written", "Fits"))
        pod = self.pod("one")
        self.assertEqual(pod["kind"], "Pod")
        self.assertEqual(pod["metadata"]["annotations"]["daemonlet.io/daemonset"], "kube-system/one")
        self.assertEqual(pod["metadata"]["annotations"]["daemonlet.io/revision"], rows["kube-system/one"].revision)
        self.assertEqual(self.path("one").stat().st_mode & 0o7777, 0o600)

    def test_second_sync_touches_nothing(self):
        self.source("a.yaml", daemonset("one"), daemonset("two"), daemonset("elsewhere", nodeSelector={"disk": "ssd"}))
        first = self.sync()
        before = self.prints()
        second = self.sync()
        self.assertEqual(self.prints(), before)
        self.assertEqual({k: v.revision for k, v in first.items()}, {k: v.revision for k, v in second.items()})

    def test_edit_replaces_and_delete_removes(self):
        self.source("a.json", daemonset("one"))
        first = self.sync()["kube-system/one"].revision
        uid = self.pod("one")["metadata"]["uid"]
        self.source("a.json", daemonset("one", image="registry.example.com/a:2"))
        row = self.sync()["kube-system/one"]
        self.assertNotEqual(row.revision, first)
        self.assertNotEqual(self.pod("one")["metadata"]["uid"], uid)
        self.assertEqual(self.pod("one")["spec"]["containers"][0]["image"], "registry.example.com/a:2")
        (self.sources / "a.json").unlink()
        row = self.sync()["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("NotHere", "NotDefined"))
        self.assertEqual(self.files(), [])
        self.assertEqual(self.sync(), {})

    def test_follows_a_label(self):
        self.source("a.json", daemonset("ssd", nodeSelector={"disk": "ssd"}))
        row = self.sync()["kube-system/ssd"]
        self.assertEqual((row.state, row.reason), ("NotHere", "NodeSelectorMismatch"))
        self.assertIn("hdd", row.message)
        self.label(disk="ssd")
        self.assertEqual(self.sync()["kube-system/ssd"].state, "Written")
        self.assertNotIn("nodeSelector", self.pod("ssd")["spec"])
        self.label(disk="hdd")
        self.assertEqual(self.sync()["kube-system/ssd"].state, "NotHere")
        self.assertEqual(self.files(), [])

    def test_no_schedule_taint_keeps_and_no_execute_removes(self):
        node = json.loads(self.node.read_text())
        self.source("a.json", daemonset("one"))
        self.sync()
        before = self.path("one").read_bytes()
        node["spec"]["taints"] = [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]
        self.set_node(node)
        self.source("a.json", daemonset("one", image="registry.example.com/a:2"), daemonset("new"))
        rows = self.sync()
        self.assertEqual(self.path("one").read_bytes(), before)
        self.assertEqual(rows["kube-system/one"].reason, "UntoleratedTaint")
        self.assertFalse(self.path("new").exists())
        self.path("one").write_text("{")
        self.sync()
        self.assertEqual(self.path("one").read_bytes(), before)
        node["spec"]["taints"][0]["effect"] = "NoExecute"
        self.set_node(node)
        self.sync()
        self.assertEqual(self.files(), [])

    def test_drift_is_restored(self):
        self.source("a.json", daemonset("one"))
        self.sync()
        want, path = self.path("one").read_bytes(), self.path("one")

        def truncated():
            path.write_text("")

        def cut():
            path.write_bytes(want[:-20])

        def edited():
            path.write_bytes(want.replace(b"a:1", b"a:9"))

        def deleted():
            path.unlink()

        def link():
            path.unlink()
            (self.dir / "elsewhere.json").write_bytes(want)
            path.symlink_to(self.dir / "elsewhere.json")

        def directory():
            path.unlink()
            path.mkdir()
            (path / "inside").write_text("x")

        def mode():
            path.chmod(0o644)

        for damage in (truncated, cut, edited, deleted, link, directory, mode):
            with self.subTest(damage.__name__):
                damage()
                self.assertEqual(self.sync()["kube-system/one"].state, "Written")
                self.assertFalse(path.is_symlink())
                self.assertEqual(path.read_bytes(), want)
                self.assertEqual(path.stat().st_mode & 0o7777, 0o600)
                self.assertEqual(self.files(), [path.name])
                before = self.prints()
                self.sync()
                self.assertEqual(self.prints(), before)

    def pass_a_tick(self, before):
        """Until what is touched gets another time, whose steps are those of the kernel's clock."""
        probe = self.dir / "probe"
        probe.touch()
        while probe.stat().st_ctime_ns <= before:
            probe.touch()

    def test_copies_are_quarantined_and_the_manifest_is_touched(self):
        self.source("a.json", daemonset("one"))
        self.sync()
        for name in ("daemonlet_kube-system_one.json.bak", "zz-copy.yaml", "daemonlet_kube-system_other.json"):
            with self.subTest(name):
                (self.manifests / name).write_bytes(self.path("one").read_bytes())
                before = self.path("one").stat()
                self.pass_a_tick(before.st_ctime_ns)
                self.sync()
                self.assertEqual(self.files(), [self.path("one").name])
                after = self.path("one").stat()
                self.assertEqual(after.st_ino, before.st_ino)
                self.assertGreater(after.st_ctime_ns, before.st_ctime_ns, "the kubelet is told by a chmod")
                self.assertTrue(any(name in q.name for q in (self.state / "quarantine").iterdir()))

    def test_foreign_pods(self):
        foreign = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: one\n  namespace: kube-system\nspec: {}\n"
        other = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n  namespace: kube-system\nspec: {}\n"
        (self.manifests / "theirs.yaml").write_text(foreign)
        (self.manifests / "etcd.yaml").write_text(other)
        self.source("a.json", daemonset("one"))
        row = self.sync(status=1)["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Conflict", "ForeignPod"))
        self.assertIn("theirs.yaml", row.message)
        self.assertEqual(self.files(), ["etcd.yaml", "theirs.yaml"])
        (self.manifests / "theirs.yaml").unlink()
        self.assertEqual(self.sync()["kube-system/one"].state, "Written")
        self.assertEqual((self.manifests / "etcd.yaml").read_text(), other)

    def test_pattern_with_a_foreign_pod_is_a_conflict(self):
        self.source("a.json", daemonset("one"))
        self.path("one").write_text('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}')
        before = self.path("one").read_bytes()
        self.assertEqual(self.sync(status=1)["kube-system/one"].state, "Conflict")
        self.assertEqual(self.path("one").read_bytes(), before)

    def test_broken_file_keeps_what_it_defined(self):
        self.source("a.yaml", daemonset("one"))
        self.source("b.yaml", daemonset("two"))
        self.sync()
        before = self.path("one").read_bytes()
        self.source("a.yaml", "apiVersion: apps/v1\nkind: [")
        self.source("b.yaml", daemonset("two", image="registry.example.com/a:2"))
        rows = self.sync(status=1)
        self.assertEqual(rows["-"].reason, "Unreadable")
        self.assertIn("a.yaml:2:", rows["-"].message)
        self.assertEqual(self.path("one").read_bytes(), before)
        self.assertEqual(self.pod("two")["spec"]["containers"][0]["image"], "registry.example.com/a:2")
        # Renamed, still broken; another file goes: nothing that may have stood in it is removed.
        (self.sources / "a.yaml").rename(self.sources / "c.yaml")
        self.sync(status=1)
        self.assertEqual(self.path("one").read_bytes(), before)
        # b.yaml is readable and lacks "two" now.
        self.source("b.yaml", daemonset("three"))
        self.sync(status=1)
        self.assertEqual(self.files(), [self.path("one").name, self.path("three").name])
        (self.sources / "c.yaml").unlink()
        self.sync()
        self.assertEqual(self.files(), [self.path("three").name])

    def test_invalid_daemonset_keeps_the_last_good_one(self):
        self.source("a.yaml", daemonset("one"), daemonset("two"))
        self.sync()
        before = self.path("one").read_bytes()
        bad = daemonset("one")
        bad["spec"]["template"]["spec"]["restartPolicy"] = "Never"
        self.source("a.yaml", bad, daemonset("two"))
        row = self.sync(status=1)["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Invalid", "Invalid"))
        self.assertIn("restartPolicy", row.message)
        self.assertEqual(self.path("one").read_bytes(), before)
        # The last good version goes on being judged, and repaired.
        self.path("one").unlink()
        self.sync(status=1)
        self.assertEqual(self.path("one").read_bytes(), before)

    def test_defined_twice(self):
        self.source("a.json", daemonset("one"))
        self.source("b.json", daemonset("one"))
        self.assertEqual(self.sync()["kube-system/one"].state, "Written")
        before = self.path("one").read_bytes()
        self.source("b.json", daemonset("one", image="registry.example.com/a:2"))
        row = self.sync(status=1)["kube-system/one"]
        self.assertEqual(row.reason, "DefinedTwice")
        self.assertIn("a.json:1:1", row.message)
        self.assertIn("b.json:1:1", row.message)
        self.assertEqual(self.path("one").read_bytes(), before)

    def test_moving_between_files_changes_no_inode(self):
        self.source("a.yaml", daemonset("one"), daemonset("two"))
        self.sync()
        before = {p: self.path(p).stat() for p in ("one", "two")}
        self.source("b.yaml", daemonset("two"))
        self.source("c.yaml", daemonset("one"))
        (self.sources / "a.yaml").unlink()
        self.sync()
        self.source("all.yaml", daemonset("one"), daemonset("two"))
        (self.sources / "b.yaml").unlink()
        (self.sources / "c.yaml").unlink()
        self.sync()
        for name, st in before.items():
            now = self.path(name).stat()
            self.assertEqual((now.st_ino, now.st_mtime_ns, now.st_ctime_ns),
                             (st.st_ino, st.st_mtime_ns, st.st_ctime_ns))

    def test_state_lost_changes_nothing_on_disk(self):
        self.source("a.yaml", daemonset("one"), daemonset("two"))
        self.sync()
        before = {p: self.path(p).stat() for p in ("one", "two")}
        subprocess.run(["rm", "-rf", str(self.state)], check=True)
        self.sync()
        for name, st in before.items():
            now = self.path(name).stat()
            self.assertEqual((now.st_ino, now.st_ctime_ns), (st.st_ino, st.st_ctime_ns))
        # What was remembered is remembered again.
        self.path("one").write_text("")
        self.sync()
        self.assertEqual(self.pod("one")["metadata"]["name"], "one")

    def test_damaged_index_is_moved_aside(self):
        self.source("a.json", daemonset("one"))
        self.sync()
        (self.state / "index.json").write_text("{")
        before = self.path("one").stat()
        self.sync()
        self.assertIn("index.json", self.stderr)
        self.assertEqual(self.path("one").stat().st_ctime_ns, before.st_ctime_ns)
        self.assertTrue(list(self.state.glob("*damaged*")))

    def test_mass_removal_wants_a_word(self):
        self.source("a.yaml", *[daemonset(f"ds-{i}") for i in range(3)])
        self.sync()
        (self.sources / "a.yaml").unlink()
        rows = self.sync()
        self.assertEqual({r.reason for r in rows.values()}, {"MassRemoval"})
        self.assertEqual({r.state for r in rows.values()}, {"Held"})
        self.assertEqual(len(self.files()), 3)
        self.sync("--confirm")
        self.assertEqual(self.files(), [])

    def test_two_are_no_mass(self):
        self.source("a.yaml", daemonset("one"), daemonset("two"))
        self.sync()
        (self.sources / "a.yaml").unlink()
        self.sync()
        self.assertEqual(self.files(), [])

    def test_another_empty_directory_is_no_removal(self):
        self.source("a.yaml", daemonset("one"))
        self.sync()
        self.sources.rename(self.dir / "old")
        self.sources.mkdir()
        self.sync(status=74)
        self.assertEqual(self.files(), [self.path("one").name])
        self.sync("--confirm")
        self.assertEqual(self.files(), [])

    def test_another_directory_with_the_same_content_is_fine(self):
        self.source("a.yaml", daemonset("one"))
        self.source("b.yaml", daemonset("two"))
        self.sync()
        self.sources.rename(self.dir / "old")
        self.sources.mkdir()
        self.source("a.yaml", daemonset("one"))
        self.sync()
        self.assertEqual(self.files(), [self.path("one").name])

    def test_hold_always(self):
        self.configure(agent={"hold_offline": "always"})
        self.source("a.yaml", daemonset("one"), daemonset("two"))
        self.sync()
        before = self.path("one").read_bytes()
        self.source("a.yaml", daemonset("one", image="registry.example.com/a:2"))
        rows = self.sync()
        self.assertEqual((rows["kube-system/one"].state, rows["kube-system/one"].reason), ("Held", "HoldAlways"))
        self.assertEqual(rows["kube-system/two"].state, "Held")
        self.assertEqual(self.path("one").read_bytes(), before)
        self.path("one").unlink()
        self.sync()
        self.assertEqual(self.path("one").read_bytes(), before, "restored, not changed")
        rows = self.sync("--dry-run", "--now", "kube-system/one")
        self.assertEqual((rows["kube-system/one"].reason, rows["kube-system/two"].state), ("Fits", "Held"))
        self.assertEqual(self.path("one").read_bytes(), before)
        self.sync("--now", "kube-system/one")
        self.assertNotEqual(self.path("one").read_bytes(), before)
        self.assertEqual(self.risks(), ["kube-system/one"])
        self.assertIn("if the kubelet has not seen its API server", self.stderr)
        self.assertTrue(self.path("two").exists())
        # A removal, and what is not held any more.
        rows = self.sync("--now", "kube-system/one", "kube-system/two")
        self.assertEqual(rows["kube-system/two"].state, "NotHere")
        self.assertFalse(self.path("two").exists())
        self.assertEqual(self.risks(), ["kube-system/two"])

    def risks(self):
        """Whom the last sync warned of."""
        return [line.split(": ")[2] for line in self.stderr.splitlines() if "changing it now" in line]

    def test_held_until_the_kubelet_has_seen_its_server(self):
        (self.dir / "proc" / "4711").mkdir()
        for name, text in {"comm": "kubelet\n", "cmdline": "/usr/bin/kubelet\0--kubeconfig=/nowhere/kubelet.conf\0",
                           "stat": "4711 (kubelet) S " + " ".join(["0"] * 18) + " 1 0\n"}.items():
            (self.dir / "proc" / "4711" / name).write_text(text)
        self.source("a.yaml", daemonset("one"))
        self.sync()
        before = self.path("one").read_bytes()
        self.source("a.yaml", daemonset("one", image="registry.example.com/a:2"))
        self.assertEqual(self.sync()["kube-system/one"].reason, "ApiNotSynced")
        self.assertEqual(self.risks(), [])
        self.assertEqual(self.path("one").read_bytes(), before)
        self.sync("--now", "kube-system/one")
        self.assertNotEqual(self.path("one").read_bytes(), before)
        self.assertEqual(self.risks(), ["kube-system/one"])
        self.assertIn("changing it now: the kubelet has not seen its API server since its start", self.stderr)

    def test_now_is_no_word_for_a_mass_removal(self):
        names = [f"ds-{i}" for i in range(3)]
        self.source("a.yaml", *map(daemonset, names))
        self.sync()
        (self.sources / "a.yaml").unlink()
        row = self.sync("--now", "kube-system/ds-0", status=1)["kube-system/ds-0"]
        self.assertEqual((row.state, row.reason), ("Held", "MassRemoval"))
        self.assertEqual(self.risks(), [])
        self.assertEqual(len(self.files()), 3)

    def test_port_conflict(self):
        port = {"containers": [{"name": "main", "image": "a:1", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}
        self.source("a.yaml", daemonset("two", **port), daemonset("one", **port))
        rows = self.sync(status=1)
        self.assertEqual(rows["kube-system/one"].state, "Written")
        self.assertEqual((rows["kube-system/two"].state, rows["kube-system/two"].reason), ("Conflict", "PortConflict"))
        self.assertIn("8080", rows["kube-system/two"].message)
        self.assertEqual(self.files(), [self.path("one").name])

    def test_port_is_handed_over_only_when_it_is_free(self):
        port = {"containers": [{"name": "main", "image": "a:1", "ports": [{"containerPort": 80, "hostPort": 8080}]}],
                "terminationGracePeriodSeconds": 600}
        self.source("a.yaml", daemonset("old", **port))
        self.sync()
        self.source("a.yaml", daemonset("new", **port))
        row = self.sync()["kube-system/new"]
        self.assertEqual((row.state, row.reason), ("Waiting", "WaitingForPort"))
        self.assertEqual(self.files(), [])
        before = self.prints()
        self.assertEqual(self.sync()["kube-system/new"].state, "Waiting")
        self.assertEqual(self.prints(), before)

    def test_dry_run_tells_and_touches_nothing(self):
        self.source("a.yaml", daemonset("stays"), daemonset("changes"), daemonset("goes"))
        self.sync()
        self.source("a.yaml", daemonset("stays"), daemonset("changes", image="registry.example.com/a:2"),
                    daemonset("comes"))
        before = self.prints()
        p = self.run_("sync", "--dry-run", "-o", "json")
        self.assertEqual(p.returncode, 0, p.stderr)
        effects = {r["name"]: (r["action"], r["effect"]) for r in json.loads(p.stdout)}
        self.assertEqual(effects, {"stays": ("-", "-"), "changes": ("replace", "restart"), "comes": ("create", "start"),
                                   "goes": ("remove", "stop")})
        self.assertEqual(self.prints(), before)
        self.assertEqual(self.sync()["kube-system/comes"].state, "Written")

    def test_dry_run_makes_no_state(self):
        self.source("a.json", daemonset("one"))
        self.assertEqual(self.run_("sync", "--dry-run").returncode, 0)
        self.assertFalse(self.state.exists())

    def test_lock(self):
        self.source("a.json", daemonset("one"))
        fd = os.open(self.manifests, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        p = self.run_("sync")
        self.assertEqual(p.returncode, 75)
        self.assertIn("systemctl reload", p.stderr)
        # It is no agent that could be asked.
        p = self.run_("sync", "--now", "kube-system/one")
        self.assertEqual(p.returncode, 75)
        self.assertIn("systemctl reload", p.stderr)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.run_("sync", "--dry-run").returncode, 0)
        os.close(fd)
        self.sync()

    def test_left_over_temporary_files_are_swept(self):
        (self.manifests / ".daemonlet-12345").write_text("half")
        (self.manifests / ".other").write_text("not ours")
        self.source("a.json", daemonset("one"))
        self.sync()
        self.assertEqual(self.files(), [".other", self.path("one").name])

    def test_waiting_for_a_configmap(self):
        volumes = [{"name": "c", "configMap": {"name": "cfg"}}]
        self.source("a.json", daemonset("one", volumes=volumes))
        row = self.sync()["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Waiting", "WaitingForConfigMap"))
        self.assertIn("kube-system/cfg", row.message)
        self.assertEqual(self.files(), [])

    def test_waiting_keeps_what_stands(self):
        self.source("a.json", daemonset("one"))
        self.sync()
        before = self.path("one").read_bytes()
        self.source("a.json", daemonset("one", volumes=[{"name": "c", "configMap": {"name": "cfg"}}]))
        self.assertEqual(self.sync()["kube-system/one"].state, "Waiting")
        self.assertEqual(self.path("one").read_bytes(), before)

    def test_refused(self):
        self.source("a.json", daemonset("one", volumes=[{"name": "c", "persistentVolumeClaim": {"claimName": "x"}}]))
        row = self.sync(status=1)["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Refused", "UnsupportedVolume"))
        self.assertIn("volumes[0].persistentVolumeClaim", row.message)

    def test_what_another_renderer_wrote_stays(self):
        """A standing manifest of the same input is kept, whatever the present renderer would write."""
        self.source("a.json", daemonset("one"))
        mine = self.sync()["kube-system/one"].revision
        other = self.pod("one")
        other["spec"]["terminationGracePeriodSeconds"] = 77
        uid, _ = other["metadata"].pop("uid"), other["metadata"]["annotations"].pop("daemonlet.io/revision")
        content = json.dumps(other, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        revision = hashlib.sha256(content).hexdigest()[:16]
        digest = bytearray(hashlib.sha256(b"daemonlet/v1\nnode-1\n" + content).digest()[:16])
        digest[6], digest[8] = digest[6] & 0x0f | 0x80, digest[8] & 0x3f | 0x80
        other["metadata"]["uid"] = str(uuid.UUID(bytes=bytes(digest)))
        self.assertNotEqual(other["metadata"]["uid"], uid)
        other["metadata"]["annotations"]["daemonlet.io/revision"] = revision
        theirs = json.dumps(other, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
        for remembered in (True, False):
            with self.subTest(remembered=remembered):
                self.path("one").write_text(theirs)
                if remembered:
                    (self.state / "manifests" / self.path("one").name).write_text(theirs)
                else:
                    shutil.rmtree(self.state)
                row = self.sync()["kube-system/one"]
                self.assertEqual((row.state, row.reason, row.revision), ("Written", "StaleRender", revision))
                self.assertEqual(self.path("one").read_text(), theirs)
        row = self.sync("--rerender")["kube-system/one"]
        self.assertEqual((row.reason, row.revision), ("Fits", mine))

    def test_identity_as_worked_out_here(self):
        self.source("a.json", daemonset("one"))
        self.sync()
        pod = self.pod("one")
        uid, revision = pod["metadata"].pop("uid"), pod["metadata"]["annotations"].pop("daemonlet.io/revision")
        content = json.dumps(pod, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.assertEqual(revision, hashlib.sha256(content).hexdigest()[:16])
        digest = hashlib.sha256(b"daemonlet/v1\nnode-1\n" + content).hexdigest()
        self.assertEqual(uid.replace("-", "")[:12], digest[:12])
        self.assertEqual(uuid.UUID(uid).version, 8)
        template = daemonset("one")["spec"]["template"]
        preimage = json.dumps({"config": {}, "daemonset": "kube-system/one", "template": template, "values": {}},
                              sort_keys=True, separators=(",", ":")).encode()
        self.assertEqual(pod["metadata"]["annotations"]["daemonlet.io/input"], hashlib.sha256(preimage).hexdigest()[:32])

    def test_what_cannot_be_written_is_told(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

        self.source("a.json", daemonset("one"))
        row = self.sync(status=74, preexec_fn=limit)["kube-system/one"]
        self.assertEqual((row.state, row.reason, row.revision), ("Held", "StoreFailed", ""))
        self.assertIn("daemonlet_kube-system_one.json", row.message)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.sync()["kube-system/one"].state, "Written")

    def test_port_of_a_replaced_pod_is_waited_for(self):
        def with_port(name, port):
            ports = [{"containerPort": 80, "hostPort": port}]
            return daemonset(name, containers=[{"name": "main", "image": "a:1", "ports": ports}],
                             terminationGracePeriodSeconds=600)

        self.source("a.yaml", with_port("one", 8080))
        self.sync()
        self.source("a.yaml", with_port("one", 8081))
        self.sync()
        self.source("a.yaml", with_port("one", 8081), with_port("two", 8080))
        self.assertEqual(self.sync()["kube-system/two"].reason, "WaitingForPort")

    def test_a_changed_directory_counts_for_the_next_kubelet(self):
        """The kubelet reads its configuration when it starts."""
        old, new, config = self.manifests, self.dir / "new", self.dir / "kubelet.yaml"
        new.mkdir()
        process = self.dir / "proc" / "700"
        process.mkdir()
        (process / "comm").write_text("kubelet\n")
        (process / "cmdline").write_bytes(b"/usr/bin/kubelet\0--config=%s\0" % str(config).encode())
        ticks = os.sysconf("SC_CLK_TCK")

        def started(at):
            (self.dir / "proc" / "stat").write_text("cpu 1\nbtime 1000\n")
            (process / "stat").write_text(f"700 (kubelet) S {'0 ' * 18}{(at - 1000) * ticks} 0\n")

        def configured(directory, at):
            config.write_text(f"kind: KubeletConfiguration\nstaticPodPath: {directory}\n")
            os.utime(config, (at, at))

        self.configure(kubelet={"manifest_dir": None, "config": config})
        self.source("a.json", daemonset("one"))
        configured(old, 2000)
        started(3000)
        self.sync()
        configured(new, 4000)
        self.sync()
        self.assertEqual(([p.name for p in old.iterdir()], list(new.iterdir())), ([self.path("one").name], []))
        started(5000)
        self.sync()
        self.assertEqual((list(old.iterdir()), [p.name for p in new.iterdir()]), ([], [self.path("one").name]))

    def test_in_place_saving_removes_nothing(self):
        """Who saves in place empties the file first."""
        self.source("a.yaml", daemonset("one"))
        self.sync()
        (self.sources / "a.yaml").write_text("")
        row = self.sync(status=1)["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Written", "SourceIncomplete"))
        self.assertTrue(self.path("one").exists())

    def test_withheld_removal_is_told(self):
        self.source("a.yaml", daemonset("one"))
        self.source("b.yaml", daemonset("two"))
        self.sync()
        (self.sources / "b.yaml").unlink()
        self.source("c.yaml", "a: [")
        row = self.sync(status=1)["kube-system/two"]
        self.assertEqual(row.reason, "SourceIncomplete")
        self.assertIn("last good", row.message)

    def test_now_wants_a_known_name(self):
        self.source("a.yaml", daemonset("one"))
        self.sync("--now", "kube-system/typo", status=1)
        self.assertIn("kube-system/typo: no such DaemonSet", self.stderr)
        self.sync("--now", "kube-system/one", "kube-system/one")
        for bad in ("one", "/one", "kube-system/", "a/b/c", "*", "Kube/one"):
            self.assertEqual(self.run_("sync", "--now", "kube-system/one", bad).returncode, 64, bad)

    def test_on_delete_waits_for_the_manifest_to_go(self):
        def made(image):
            ds = daemonset("one", image=image)
            ds["spec"]["updateStrategy"] = {"type": "OnDelete"}
            return ds

        self.source("a.json", made("registry.example.com/a:1"))
        self.assertEqual(self.sync()["kube-system/one"].reason, "Fits")
        before = self.path("one").read_bytes()
        self.source("a.json", made("registry.example.com/a:2"))
        row = self.sync()["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Held", "OnDelete"))
        self.assertEqual(self.path("one").read_bytes(), before)
        self.path("one").write_text("")
        self.sync()
        self.assertEqual(self.path("one").read_bytes(), before, "damage is put right with the last bytes")
        self.path("one").unlink()
        self.assertEqual(self.sync()["kube-system/one"].reason, "Fits")
        self.assertEqual(self.pod("one")["spec"]["containers"][0]["image"], "registry.example.com/a:2")
        self.source("a.json", made("registry.example.com/a:3"))
        self.sync("--now", "kube-system/one")
        self.assertEqual(self.pod("one")["spec"]["containers"][0]["image"], "registry.example.com/a:3")
        self.assertEqual(self.risks(), ["kube-system/one"])
        self.assertIn("updateStrategy is OnDelete", self.stderr)

    def test_purge(self):
        self.source("a.yaml", *[daemonset(f"ds-{i}") for i in range(4)])
        self.sync()
        theirs = self.manifests / "etcd.yaml"
        theirs.write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n")
        p = self.run_("purge", node=False, stdin=subprocess.DEVNULL)
        self.assertEqual(p.returncode, 64)
        self.assertIn("--yes", p.stderr)
        self.assertEqual(len(self.files()), 5)
        p = self.run_("purge", "--yes", "kube-system/ds-1", "-o", "tsv", node=False)
        self.assertEqual((p.returncode, Row(p.stdout.splitlines()[0]).state), (0, "NotHere"), p.stderr)
        self.assertEqual(len(self.files()), 4)
        self.assertFalse(self.path("ds-1").exists())
        self.assertEqual(self.run_("purge", "--yes", "ds-1", node=False).returncode, 64)
        self.assertEqual(self.run_("purge", "--yes", node=False).returncode, 0)
        self.assertEqual(self.files(), ["etcd.yaml"])
        self.sync()
        self.assertEqual(len(self.files()), 5)

    def test_moving_the_manifest_directory(self):
        self.source("a.json", daemonset("one"))
        self.sync()
        other = self.dir / "other"
        other.mkdir()
        self.configure(kubelet={"manifest_dir": other})
        self.sync()
        self.assertEqual([p.name for p in other.iterdir()], [self.path("one").name])
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    main()
