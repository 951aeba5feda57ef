#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The file for Prometheus that a running agent keeps."""
import os, re, shutil, signal, subprocess, time, unittest

from agent import AgentHost
from host import daemonset, main

STATES = {"Running", "Starting", "NotStarted", "Terminating", "Written", "Held", "Waiting", "Refused", "Invalid", "Conflict",
          "NotHere", "HandedOver"}
SAMPLE = re.compile(r'(daemonlet_[a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\]|\\["\\n])*",?)+)\})? (\+?[0-9.]+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\["\\n])*)"')
ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n"}


def parse(text):
    """Values by name and labels; an exception for whatever a collector would refuse."""
    values, types, helped = {}, {}, set()
    if not text.endswith("\n"):
        raise ValueError("the last line is cut")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            if name in helped or len(line.split(" ", 3)[3]) < 10:
                raise ValueError(line)
            helped.add(name)
            continue
        if line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            if name in types or name not in helped:
                raise ValueError(line)
            types[name] = family = kind, name
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            raise ValueError(line)
        name, labels, value = match.groups()
        kind, base = family
        if name != base and not (kind == "histogram" and name in (base + "_bucket", base + "_sum", base + "_count")):
            raise ValueError(f"{line} in the family {base}")
        if (kind == "counter") != name.endswith("_total"):
            raise ValueError(f"{line} is a {kind}")
        key = name, frozenset((k, re.sub(r'\\.', lambda m: ESCAPES[m[0]], v)) for k, v in LABEL.findall(labels or ""))
        if key in values:
            raise ValueError(f"{line} is there twice")
        values[key] = float(value)
    return values


class MetricsHost(AgentHost):
    def setUp(self):
        super().setUp()
        self.collector = self.dir / "collector"
        self.textfile = self.collector / "daemonlet.prom"
        self.collector.mkdir()
        self.with_metrics()

    def with_metrics(self, **sections):
        self.set_agent(metrics={"textfile": self.textfile}, **sections)

    def values(self):
        try:
            return parse(self.textfile.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def value(self, name, **labels):
        return self.values().get(("daemonlet_" + name, frozenset(labels.items())))

    def wait_value(self, want, name, **labels):
        """What could not be done is tried again after ever longer pauses."""
        self.wait_for(lambda: self.value(name, **labels) == want, f"{name} {labels} to be {want}", 40)

    def each(self):
        """(state, reason) by (namespace, name)."""
        got = {}
        for (name, labels), value in self.values().items():
            if name == "daemonlet_daemonset_state":
                labels = dict(labels)
                self.assertEqual((value, set(labels)), (1, {"namespace", "daemonset", "state", "reason"}))
                got[labels["namespace"], labels["daemonset"]] = labels["state"], labels["reason"]
        return got

    def by_label(self, name, label, values=None):
        values = self.values() if values is None else values
        return {dict(labels)[label]: value for (n, labels), value in values.items() if n == "daemonlet_" + name}

    def three(self):
        """One that fits, one that cannot be a static pod, one of another node."""
        self.source("a.json", daemonset("fits"))
        self.source("b.json", daemonset("refused", "storage", volumes=[
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]))
        self.source("c.json", daemonset("elsewhere", nodeSelector={"disk": "ssd"}))


class Numbers(MetricsHost):
    def test_every_daemonset(self):
        self.three()
        before = int(time.time())
        self.start()
        self.wait_file("fits")
        self.wait_value(1, "daemonsets", state="Written")
        self.assertEqual(self.each(), {("kube-system", "fits"): ("Written", "Fits"),
                                       ("storage", "refused"): ("Refused", "UnsupportedVolume"),
                                       ("kube-system", "elsewhere"): ("NotHere", "NodeSelectorMismatch")})
        self.assertEqual(self.by_label("daemonsets", "state"),
                         {s: {"Written": 1, "Refused": 1, "NotHere": 1}.get(s, 0) for s in STATES})
        self.assertEqual(self.by_label("verdicts", "reason"),
                         {"Fits": 1, "UnsupportedVolume": 1, "NodeSelectorMismatch": 1})
        version = self.run_("--version", node=False, config=False).stdout.split()[1]
        self.assertEqual(self.by_label("build_info", "version"), {version: 1})
        self.assertEqual(self.value("problem"), 0)
        started, succeeded = self.value("start_time_seconds"), self.value("last_success_timestamp_seconds")
        self.assertTrue(before <= started <= succeeded <= time.time())
        for counter in ("repairs", "quarantined", "conflicts", "holds", "restarts", "failures"):
            self.assertEqual(self.value(counter + "_total"), 0, counter)

    def test_durations(self):
        self.three()
        self.start()
        self.wait_value(1, "daemonsets", state="Written")
        values = self.values()  # of one moment: the agent may still be looking at what it wrote
        count, total = (values["daemonlet_reconcile_duration_seconds_" + n, frozenset()] for n in ("count", "sum"))
        buckets = self.by_label("reconcile_duration_seconds_bucket", "le", values)
        bounds = sorted(buckets, key=float)
        self.assertEqual((bounds[0], bounds[-1]), ("0.0005", "+Inf"))
        self.assertEqual([buckets[b] for b in bounds], sorted(buckets.values()))
        self.assertEqual(buckets["+Inf"], count)
        self.assertGreaterEqual(buckets["+Inf"], 1)
        # Writing a manifest takes time, and less than the test waited.
        self.assertTrue(0 < total < 60)
        self.settle()
        self.wait_for(lambda: self.value("reconcile_duration_seconds_count") > buckets["+Inf"], "more passes")

    def test_follows_what_happens(self):
        self.three()
        self.start()
        self.wait_value(1, "daemonsets", state="Written")
        self.settle()
        self.wait_value(self.counter("repairs"), "repairs_total")
        self.assertGreaterEqual(self.value("repairs_total"), 1)
        copy = self.manifests / (self.path("fits").name + ".bak")
        copy.write_bytes(self.path("fits").read_bytes())
        self.wait_value(1, "quarantined_total")
        self.source("d.json", daemonset("another"))
        self.wait_value(2, "daemonsets", state="Written")
        self.source("d.json", daemonset("another", nodeSelector={"disk": "ssd"}))
        self.wait_for(lambda: self.each().get(("kube-system", "another")) == ("NotHere", "NodeSelectorMismatch"), "its end")
        self.wait_value(2, "verdicts", reason="NodeSelectorMismatch")
        (self.sources / "c.json").unlink()
        self.wait_for(lambda: ("kube-system", "elsewhere") not in self.each(), "it to be forgotten")

    def test_what_has_no_name_counts_and_has_no_series(self):
        self.three()
        self.source("x.json", "{ this: is: no yaml")
        self.source("y.json", "kind: DaemonSet\n")
        self.start()
        self.wait_for(lambda: (self.value("daemonsets", state="Invalid") or 0) >= 2, "both")
        self.assertEqual(len(self.each()), 3)
        self.assertEqual(self.value("verdicts", reason="Unreadable"), 1)

    def test_strange_names(self):
        strange = 'a"b\\c\nd\u00e9'
        self.source("a.json", daemonset("fits"))
        self.source("b.json", daemonset(strange))
        self.start()
        self.wait_value(1, "daemonsets", state="Invalid")
        row = next(r for r in self.status()["daemonsets"] if r["state"] == "Invalid")
        self.assertEqual(self.each()[row["namespace"], row["name"]], ("Invalid", "Invalid"))
        self.assertEqual(row["name"], strange)
        self.check_with_promtool()

    def test_promtool(self):
        self.three()
        self.start()
        self.wait_value(1, "daemonsets", state="Written")
        self.settle()
        self.check_with_promtool()

    def check_with_promtool(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed")
        p = subprocess.run(["promtool", "check", "metrics"], input=self.textfile.read_bytes(), capture_output=True)
        self.assertEqual((p.returncode, p.stdout, p.stderr), (0, b"", b""))

    def test_problems_and_failures(self):
        self.three()
        self.start()
        self.wait_value(1, "daemonsets", state="Written")
        self.sources.rename(self.dir / "away")
        self.wait_value(1, "problem")
        (self.dir / "away").rename(self.sources)
        self.wait_value(0, "problem")
        # A pass that cannot do all: what is to be moved away cannot be.
        failures, good = self.value("failures_total"), self.value("last_success_timestamp_seconds")
        shutil.rmtree(self.state / "quarantine", ignore_errors=True)
        (self.state / "quarantine").write_text("")
        (self.manifests / (self.path("fits").name + ".bak")).write_bytes(self.path("fits").read_bytes())
        self.wait_value(1, "problem")
        self.wait_for(lambda: self.value("failures_total") > failures, "a failure")
        self.assertGreaterEqual(self.value("last_success_timestamp_seconds"), good)
        (self.state / "quarantine").unlink()
        self.wait_value(0, "problem")
        self.wait_value(1, "quarantined_total")


class File(MetricsHost):
    def test_is_for_everybody_and_alone(self):
        self.three()
        os.umask(0o077)
        self.start()
        self.wait_value(1, "daemonsets", state="Written")
        self.stop()
        self.assertEqual(self.textfile.stat().st_mode, 0o100644)
        self.wait_for(lambda: [p.name for p in self.collector.iterdir()] == ["daemonlet.prom"], "nothing else to stand there")

    def test_never_seen_half(self):
        self.source("many.json", {"apiVersion": "v1", "kind": "List",
                                  "items": [daemonset(f"n{i}", nodeSelector={"disk": "ssd"}) for i in range(200)] +
                                           [daemonset("fits")]})
        self.start()
        self.wait_value(200, "daemonsets", state="NotHere")
        seen, end = set(), self.value("reconcile_duration_seconds_count") + 20
        while self.value("reconcile_duration_seconds_count") < end:
            self.path("fits").unlink(missing_ok=True)
            # parse complains about what is cut; what is missing shows in the number.
            seen.add(len(self.each()))
            self.wait_file("fits")
        self.assertEqual(seen, {201})

    def test_none_without_the_key(self):
        self.set_agent()
        self.three()
        self.start()
        self.wait_file("fits")
        self.settle()
        self.assertEqual(list(self.collector.iterdir()), [])
        self.with_metrics()
        self.child.send_signal(signal.SIGHUP)
        self.wait_value(1, "daemonsets", state="Written")

    def test_the_key_names_another_file(self):
        self.three()
        self.start()
        self.wait_value(1, "daemonsets", state="Written")
        self.textfile = self.collector / "other.prom"
        self.with_metrics()
        self.wait_value(1, "daemonsets", state="Written")


class Problems(MetricsHost):
    """The numbers cannot be written: that is told, everything else goes on, and it is tried again."""
    def check_goes_on(self, *words):
        problem = self.wait_for(self.problem, "a problem")
        for word in ("[metrics] textfile", str(self.textfile), *words):
            self.assertIn(word, problem)
        p = self.run_("status")
        self.assertIn(str(self.textfile), p.stdout + p.stderr)
        self.wait_file("fits")
        self.settle()
        self.assertIn("[metrics] textfile", self.problem())

    def check_comes_back(self):
        self.wait_for(lambda: not self.problem(), "no problem", 40)
        self.wait_value(1, "daemonsets", state="Written")
        self.assertEqual(self.value("problem"), 0)
        self.assertEqual(self.value("failures_total"), 0)
        lines = [l for l in self.log().splitlines() if "[metrics] textfile" in l and "started; " not in l]
        self.assertEqual(len(lines), 1, lines)

    def test_directory_missing_at_the_start(self):
        self.three()
        self.collector.rmdir()
        self.start()
        self.check_goes_on("there is no directory")
        self.collector.mkdir()
        self.check_comes_back()

    def test_directory_goes(self):
        self.three()
        self.start()
        self.wait_value(1, "daemonsets", state="Written")
        self.collector.rename(self.dir / "away")
        self.settle()
        self.check_goes_on("there is no directory")
        (self.dir / "away").rename(self.collector)
        self.check_comes_back()
        self.wait_value(self.counter("repairs"), "repairs_total")

    def test_something_else_stands_there(self):
        self.three()
        self.textfile.mkdir()
        self.start()
        self.check_goes_on("is a directory")
        self.wait_for(lambda: [p.name for p in self.collector.iterdir()] == ["daemonlet.prom"], "nothing else to stand there")
        self.textfile.rmdir()
        self.check_comes_back()

    def test_the_key_is_taken_away(self):
        self.three()
        self.collector.rmdir()
        self.start()
        self.check_goes_on()
        self.set_agent()
        self.wait_for(lambda: not self.problem(), "no problem")

    @unittest.skipUnless(os.geteuid() == 0 and
                         subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0,
                         "needs root and mount namespaces")
    def test_read_only(self):
        self.three()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(self.collector)], check=True)
        self.addCleanup(lambda: subprocess.run(["umount", "-l", str(self.collector)], capture_output=True))
        self.start()
        self.check_goes_on("read-only", f"ReadWritePaths=-{self.collector}")
        subprocess.run(["mount", "-o", "remount,rw", str(self.collector)], check=True)
        self.check_comes_back()


if __name__ == "__main__":
    main()
