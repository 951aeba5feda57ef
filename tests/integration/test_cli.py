#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line as a contract: exit statuses, messages, output formats."""
import json, subprocess

from host import DAEMONLET, SHARED, SRC, Host, daemonset, main


class Usage(Host):
    def test_wrong_command_lines(self):
        rows = [
            ([], "a command is missing"),
            (["frobnicate"], 'unknown command "frobnicate"'),
            (["exlpain"], 'did you mean "explain"?'),
            (["sync", "--dry-rnu"], 'did you mean "--dry-run"?'),
            (["sync", "-x"], 'unknown option "-x"'),
            (["sync", "-o"], "needs a value"),
            (["sync", "-o", "xml"], 'unknown output format "xml"'),
            (["check"], "needs at least one argument"),
            (["render"], "needs at least one argument"),
            (["check", "--dry-run", "x"], "check takes no --dry-run"),
            (["check", "--strict=yes", "x"], "takes no value"),
            (["sync", "extra"], "sync takes no arguments"),
            (["sync", "--now"], "NAMESPACE/NAME"),
            (["sync", "--now", "noslash"], "NAMESPACE/NAME"),
        ]
        for args, message in rows:
            with self.subTest(" ".join(args)):
                p = subprocess.run([DAEMONLET, *args], capture_output=True, text=True)
                self.assertEqual(p.returncode, 64, p.stderr)
                self.assertIn(message, p.stderr)
                self.assertEqual(len(p.stderr.splitlines()), 1, "one line")
                self.assertEqual(p.stdout, "")

    def test_help(self):
        p = subprocess.run([DAEMONLET, "--help"], capture_output=True, text=True)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        for command in ("run", "status", "sync", "check", "explain", "render", "purge"):
            self.assertIn(command, p.stdout)
            for args in ([command, "--help"], ["--help", command], [command, "-h"]):
                q = subprocess.run([DAEMONLET, *args], capture_output=True, text=True)
                self.assertEqual((q.returncode, q.stderr), (0, ""))
                self.assertTrue(q.stdout.startswith(f"Usage: daemonlet {command}"))

    def test_version(self):
        p = subprocess.run([DAEMONLET, "--version"], capture_output=True, text=True)
        self.assertEqual(p.returncode, 0)
        self.assertRegex(p.stdout, r"^daemonlet \d+\.\d+\.\d+\n$")

    def test_full_output_device(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([DAEMONLET, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(p.returncode, 74)
        self.assertIn("standard output", p.stderr)


class Configuration(Host):
    def wrong(self, text, *needles):
        self.conf.write_text(text)
        for command in (["sync"], ["explain"]):
            p = self.run_(*command)
            self.assertEqual(p.returncode, 78, p.stderr)
            for needle in needles:
                self.assertIn(needle, p.stderr)
        self.assertEqual(self.files(), [])

    def test_wrong_configuration(self):
        self.source("a.json", daemonset("one"))
        self.wrong("[node]\nnmae = x\n", "daemonlet.conf:2", 'did you mean "name"')
        self.wrong("[nodes]\nname = x\n", "daemonlet.conf:", "[node]")
        self.wrong("[node]\nsettle = soon\n", "daemonlet.conf:2", "settle")
        self.wrong("[node]\ntolerate_unready = perhaps\n", "daemonlet.conf:2")
        self.wrong("name = x\n", "daemonlet.conf:1")
        self.wrong("[node]\njust words\n", "daemonlet.conf:2")
        self.wrong("[node]\nlabels = a=b," + "x" * 300 + "=\x01\n", "daemonlet.conf:2")

    def test_named_configuration_must_exist(self):
        self.conf.unlink()
        p = self.run_("sync")
        self.assertEqual(p.returncode, 78)
        self.assertIn(str(self.conf), p.stderr)

    def test_configuration_that_others_may_write(self):
        self.conf.chmod(0o666)
        p = self.run_("sync")
        self.assertEqual(p.returncode, 78)
        self.assertIn("writ", p.stderr)

    def test_drop_ins_of_a_directory_that_others_may_write(self):
        d = self.dir / "daemonlet.conf.d"
        d.mkdir()
        d.chmod(0o777)
        p = self.run_("sync")
        self.assertEqual(p.returncode, 78)
        self.assertIn("daemonlet.conf.d", p.stderr)

    def test_drop_ins_in_order(self):
        d = self.dir / "daemonlet.conf.d"
        d.mkdir()
        (d / "20-b.conf").write_text("[node]\nlabels = disk=tape\n")
        (d / "10-a.conf").write_text("[node]\nlabels = disk=ssd\nname = node-a\n")
        (d / "30-c.conf.disabled").write_text("nonsense\n")
        self.source("a.json", daemonset("one", nodeSelector={"disk": "tape"}))
        p = self.run_("explain", "-o", "tsv", node=False)
        self.assertEqual(p.stdout, "kube-system/one\ttrue\ttrue\tFits\n", p.stderr)
        (d / "40-d.conf").write_text("[node]\nx = y\n")
        p = self.run_("explain", node=False)
        self.assertEqual(p.returncode, 78)
        self.assertIn("40-d.conf:2", p.stderr)

    def test_long_values_are_not_cut(self):
        labels = ",".join(f"label-{i}=value-{i}" for i in range(60)) + ",disk=ssd"
        self.configure(node={"name": "node-1", "labels": labels})
        self.source("a.json", daemonset("one", nodeSelector={"disk": "ssd", "label-59": "value-59"}))
        self.assertEqual(self.run_("explain", "-o", "tsv", node=False).stdout, "kube-system/one\ttrue\ttrue\tFits\n")


class BadDirectories(Host):
    def setUp(self):
        super().setUp()
        self.source("a.json", daemonset("one"))

    def failing(self, status, *needles):
        p = self.run_("sync", "-o", "tsv")
        self.assertEqual(p.returncode, status, p.stderr)
        for needle in needles:
            self.assertIn(needle, p.stderr)
        return p

    def test_manifest_directory_missing(self):
        self.manifests.rmdir()
        self.failing(74, str(self.manifests))
        self.assertFalse(self.manifests.exists(), "never made by us")

    def test_manifest_directory_is_a_file(self):
        self.manifests.rmdir()
        self.manifests.write_text("x")
        self.failing(74, str(self.manifests))
        self.assertEqual(self.manifests.read_text(), "x")

    def test_static_pods_off(self):
        config = self.dir / "kubelet.yaml"
        config.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n")
        self.configure(kubelet={"manifest_dir": None, "config": config})
        self.failing(78, "StaticPodsOff")

    def test_manifest_directory_as_the_kubelet_has_it(self):
        config = self.dir / "kubelet.yaml"
        config.write_text("kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n"
                          f"staticPodPath: {self.manifests}\n")
        self.configure(kubelet={"manifest_dir": None, "config": config})
        self.sync()
        self.assertEqual(self.files(), [self.path("one").name])

    def test_sources_missing(self):
        self.sync()
        self.sources.rename(self.dir / "gone")
        p = self.failing(74, str(self.sources))
        self.assertIn("kube-system/one\tWritten", p.stdout)
        self.assertEqual(self.files(), [self.path("one").name])

    def test_sources_that_others_may_write(self):
        self.sync()
        self.sources.chmod(0o777)
        self.source("a.json", daemonset("one", image="registry.example.com/evil:1"))
        self.failing(74, str(self.sources), "writ")
        self.assertNotIn("evil", self.path("one").read_text())
        self.sources.chmod(0o775)
        self.failing(74)
        self.sources.chmod(0o755)
        self.sync()

    def test_a_file_that_others_may_write(self):
        self.sync()
        before = self.path("one").read_bytes()
        self.source("a.json", daemonset("one", image="registry.example.com/evil:1"))
        self.source("b.json", daemonset("two"))
        (self.sources / "a.json").chmod(0o664)
        rows = self.sync(status=1)
        self.assertIn("a.json", rows["-"].message)
        self.assertEqual(self.path("one").read_bytes(), before)
        self.assertTrue(self.path("two").exists(), "other files still count")

    def test_a_link_is_no_source(self):
        (self.dir / "x.json").write_text(json.dumps(daemonset("linked")))
        (self.sources / "x.json").symlink_to(self.dir / "x.json")
        rows = self.sync(status=1)
        self.assertIn("x.json", rows["-"].message)
        self.assertFalse(self.path("linked").exists())

    def test_oversize_file(self):
        (self.sources / "big.yaml").write_bytes(b"# " + b"x" * (10 * 1024 * 1024))
        rows = self.sync(status=1)
        self.assertIn("big.yaml", rows["-"].message)
        self.assertTrue(self.path("one").exists())

    def test_names_that_would_escape(self):
        for name in ("../../etc/passwd", "a/b", "..", "a_b", "A", "", "x" * 254, "a\n", "a\u0000"):
            with self.subTest(repr(name)):
                self.source("bad.json", daemonset(name))
                self.sync(status=1)
                self.source("bad.json", daemonset("ok", namespace=name or "-"))
                self.sync(status=1)
        self.assertEqual(self.files(), [self.path("one").name])
        self.assertEqual(sorted(p.name for p in self.dir.iterdir() if p.is_file()), ["daemonlet.conf", "node.json"])

    def test_hidden_and_other_files_are_no_sources(self):
        for name in (".a.json", "a.json.bak", "a.json~", "README", "b.txt", "yaml"):
            (self.sources / name).write_text(json.dumps(daemonset("other")))
        self.sync()
        self.assertEqual(self.files(), [self.path("one").name])

    def test_wrong_node_file(self):
        for text in ("{", "apiVersion: v1\nkind: Pod\n", "[]", ""):
            self.node.write_text(text)
            p = self.run_("sync")
            self.assertEqual(p.returncode, 78, text)
            self.assertIn("node.json", p.stderr)
        self.node.unlink()
        self.assertEqual(self.run_("sync").returncode, 74)
        self.assertEqual(self.files(), [])


class Check(Host):
    def check(self, *files, status=0, options=()):
        p = self.run_("check", "-o", "tsv", *options, *files)
        self.assertEqual(p.returncode, status, p.stderr)
        self.stderr = p.stderr
        return [line.split("\t") for line in p.stdout.splitlines()]

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    def test_results(self):
        ok = self.write("ok.json", daemonset("fine"))
        waiting = self.write("waiting.json", daemonset("w", volumes=[{"name": "c", "configMap": {"name": "cfg"}}]))
        refused = self.write("refused.json", daemonset("r", volumes=[{"name": "c", "persistentVolumeClaim": {"claimName": "x"}}]))
        invalid = self.write("invalid.json", daemonset("i", restartPolicy="Never"))
        unreadable = self.write("unreadable.yaml", "a: [")
        self.assertEqual(self.check(ok), [[str(ok), "kube-system/fine", "ok", "", ""]])
        rows = self.check(ok, waiting, refused, invalid, unreadable, self.dir / "missing.yaml", status=1)
        self.assertEqual([(r[1], r[2], r[3]) for r in rows],
                         [("kube-system/fine", "ok", ""), ("kube-system/w", "waiting", "WaitingForConfigMap"),
                          ("kube-system/r", "refused", "UnsupportedVolume"), ("kube-system/i", "invalid", "Invalid"),
                          ("-", "unreadable", "Unreadable"), ("-", "unreadable", "Unreadable")])
        self.assertTrue(all(len(r) == 5 for r in rows))
        for f in (waiting, refused, invalid, unreadable):
            self.check(f, status=1)

    def test_named_files_may_be_writable_by_others(self):
        ok = self.write("ok.json", daemonset("fine"))
        ok.chmod(0o666)
        self.check(ok)

    def test_directory_and_standard_input(self):
        self.source("b.json", daemonset("b"))
        self.source("a.json", daemonset("a"))
        self.assertEqual([r[1] for r in self.check(self.sources)], ["kube-system/a", "kube-system/b"])
        p = self.run_("check", "-o", "name", "-", input=json.dumps(daemonset("stdin")))
        self.assertEqual(p.stdout, "kube-system/stdin\n")

    def test_strict(self):
        typo = self.write("typo.json", daemonset("t", hostnetwork=True))
        self.check(typo)
        self.assertIn('did you mean "hostNetwork"', self.stderr)
        rows = self.check(typo, status=1, options=["--strict"])
        self.assertEqual(rows[0][2], "invalid")

    def test_strict_says_why(self):
        f = self.write("twice.yaml", "apiVersion: apps/v1\nkind: DaemonSet\nkind: DaemonSet\nmetadata:\n  name: t\nspec:\n"
                     "  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n"
                     "    spec: {containers: [{name: c, image: i}]}\n")
        self.assertEqual(self.check(f)[0][2], "ok")
        rows = self.check(f, status=1, options=["--strict"])
        self.assertEqual(rows[-1][2], "invalid")
        self.assertIn("duplicate key", rows[-1][4])

    def test_terminal_controls_are_taken_out(self):
        bad = daemonset("x\u009b2J\u202e\u001b[1m")
        p = self.run_("check", self.write("bad.json", bad))
        for control in "\u009b", "\u202e", "\u001b":
            self.assertNotIn(control, p.stdout + p.stderr)

    def test_alias_is_not_shown(self):
        """It may be a secret that was not quoted."""
        p = self.run_("check", self.write("s.yaml", "stringData: {b: *hunter2}\n"))
        self.assertNotIn("hunter2", p.stdout + p.stderr)

    def test_other_kinds_are_listed(self):
        f = self.write("svc.yaml", "apiVersion: v1\nkind: Service\nmetadata:\n  name: dns\n")
        self.check(f)
        self.assertEqual(self.stderr, "")
        p = self.run_("check", "-v", f)
        self.assertIn("Service dns", p.stderr)

    def test_service_account_is_a_warning(self):
        f = self.write("sa.json", daemonset("t", serviceAccountName="agent"))
        self.assertEqual(self.check(f)[0][2], "ok")
        self.assertIn("token", self.stderr)
        self.assertEqual(self.run_("check", "-q", f).stderr, "")


class Formats(Host):
    def setUp(self):
        super().setUp()
        self.source("a.yaml", daemonset("one"), daemonset("ssd", nodeSelector={"disk": "ssd"}))

    def test_explain(self):
        p = self.run_("explain", "-o", "tsv")
        self.assertEqual(p.stdout, "kube-system/one\ttrue\ttrue\tFits\n"
                                   "kube-system/ssd\tfalse\tfalse\tNodeSelectorMismatch\n")
        rows = json.loads(self.run_("explain", "-o", "json").stdout)
        self.assertEqual([(r["namespace"], r["name"], r["shouldRun"], r["shouldContinueRunning"], r["reason"]) for r in rows],
                         [("kube-system", "one", True, True, "Fits"),
                          ("kube-system", "ssd", False, False, "NodeSelectorMismatch")])
        for row in rows:
            for check in row["checks"]:
                self.assertEqual(set(check), {"check", "ok", "message"})
                self.assertIsInstance(check["ok"], bool)
        failed = [c for c in rows[1]["checks"] if not c["ok"]]
        self.assertEqual([c["check"] for c in failed], ["NodeSelector"])
        self.assertIn("hdd", failed[0]["message"])

    def test_tables(self):
        for command in (["explain"], ["sync", "--dry-run"], ["check", str(self.sources)]):
            p = self.run_(*command)
            header = p.stdout.splitlines()[0]
            self.assertEqual(header, header.upper())
            self.assertNotIn("\033", p.stdout)
            self.assertEqual(len(self.run_(*command, "-o", "name").stdout.splitlines()), 2)
            wide = self.run_(*command, "-o", "wide").stdout
            self.assertGreaterEqual(len(wide), len(p.stdout))
            self.assertIn("kube-system", self.run_(*command, "-o", "yaml").stdout)

    def test_explain_one(self):
        p = self.run_("explain", "kube-system/ssd")
        self.assertIn("TaintsNoExecute", p.stdout)
        self.assertNotIn("one", p.stdout)
        p = self.run_("explain", "kube-system/none")
        self.assertEqual(p.returncode, 1)
        self.assertIn("no such DaemonSet", p.stderr)
        p = self.run_("explain", "sub/missing.yaml", "-o", "tsv")
        self.assertEqual(p.returncode, 1)
        self.assertIn("No such file", p.stderr)

    def test_explain_files_without_any_setup(self):
        f = self.dir / "x.json"
        f.write_text(json.dumps(daemonset("x")))
        p = self.run_("explain", "--upstream", "-o", "tsv", f, config=False)
        self.assertEqual((p.returncode, p.stdout), (0, "kube-system/x\ttrue\ttrue\tFits\n"), p.stderr)

    def test_upstream_does_not_tolerate_unready(self):
        node = json.loads(self.node.read_text())
        node["spec"]["taints"] = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
        self.set_node(node)
        self.assertIn("one\ttrue\ttrue", self.run_("explain", "-o", "tsv").stdout)
        self.assertIn("one\tfalse\ttrue\tUntoleratedTaint", self.run_("explain", "--upstream", "-o", "tsv").stdout)

    def test_render(self):
        p = self.run_("render", self.sources)
        listing = json.loads(p.stdout)
        self.assertEqual((listing["apiVersion"], listing["kind"]), ("v1", "List"))
        self.assertEqual([i["metadata"]["name"] for i in listing["items"]], ["one", "ssd"])
        self.sync()
        self.assertEqual(listing["items"][0], self.pod("one"))
        self.assertEqual(self.run_("render", "-o", "name", self.sources).stdout, "kube-system/one\nkube-system/ssd\n")
        self.assertIn("kind: List", self.run_("render", "-o", "yaml", self.sources).stdout)

    def test_render_refused(self):
        self.source("b.json", daemonset("r", volumes=[{"name": "c", "persistentVolumeClaim": {"claimName": "x"}}]))
        p = self.run_("render", self.sources)
        self.assertEqual(p.returncode, 1)
        self.assertEqual(len(json.loads(p.stdout)["items"]), 2)
        self.assertIn("kube-system/r: UnsupportedVolume", p.stderr)

    def test_sync_json(self):
        rows = json.loads(self.run_("sync", "-o", "json").stdout)
        self.assertEqual([r["state"] for r in rows], ["Written", "NotHere"])

    def test_tabs_and_newlines_become_spaces(self):
        bad = daemonset("tab")
        bad["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "a\tb\nc"
        f = self.dir / "t.json"
        f.write_text(json.dumps(bad))
        lines = self.run_("check", "-o", "tsv", f).stdout.splitlines()
        self.assertEqual(len(lines), 1)
        self.assertEqual(lines[0].count("\t"), 4)


class Demo(Host):
    def test_demo(self):
        p = subprocess.run([SRC / "conf" / "demo.sh", DAEMONLET, SRC / "conf" / "examples", self.dir / "demo"],
                           capture_output=True, text=True, umask=0o002)
        self.assertEqual(p.returncode, 0, p.stderr)
        for word in ("route-agent", "node-metrics", "ssd-monitor", "NodeSelectorMismatch", "log-shipper   Written",
                     "UnsupportedVolume", "daemonlet_kube-system_route-agent.json"):
            self.assertIn(word, p.stdout)


class Conformance(Host):
    """The real controller's verdicts, through the command line that programs use."""

    def test_verdicts_and_tolerations(self):
        base = SHARED / "conformance" / "decide"
        if not base.is_dir():
            base = SRC / "tests" / "cases" / "decide" / "conformance"
        cases = 0
        for d in sorted(base.iterdir()):
            want = [line.split("\t") for line in (d / "expected.tsv").read_text().splitlines()]
            p = self.run_("explain", "--upstream", "--node", d / "node.json", "-o", "tsv", d / "daemonsets.json", node=False)
            got = [line.split("\t") for line in p.stdout.splitlines()]
            self.assertEqual([g[:3] for g in got], want, d.name)
            cases += len(want)
            tolerations = json.loads((d / "tolerations.json").read_text())
            q = self.run_("render", "--node", d / "node.json", d / "daemonsets.json", node=False)
            pods = {f"{i['metadata']['namespace']}/{i['metadata']['name']}": i["spec"].get("tolerations")
                    for i in json.loads(q.stdout)["items"]}
            self.assertEqual(pods, tolerations, d.name)
        self.assertGreaterEqual(cases, 250)


if __name__ == "__main__":
    main()
