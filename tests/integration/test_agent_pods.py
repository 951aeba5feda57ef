#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The running agent and the pods of its manifests: what the witness sees, restarts, pods that do not start, ports."""
import json, os, signal, subprocess, time

from host import DAEMONLET, daemonset, main
from pods import Pods


class Witness(Pods):
    def test_states_follow_the_pod(self):
        self.start()
        uid = self.run_one("one")
        self.pod_starts(uid, processes=False)
        (self.kubelet_root / "pods" / uid).rmdir()  # an event, as the kubelet makes them
        self.wait_state("one", "Starting")
        self.pod_ends(uid)
        self.pod_starts(uid)
        self.wait_state("one", "Running")

    def test_a_removed_pod_is_terminating_until_it_is_gone(self):
        self.source("b.json", daemonset("two"))
        self.start()
        uid = self.run_one("one")
        node = json.loads(self.node.read_text())
        self.source("one.json", daemonset("one", nodeSelector={"disk": "ssd"}))
        self.wait_for(lambda: not self.path("one").exists(), "its removal")
        self.wait_state("one", "Terminating")
        self.pod_ends(uid)
        self.wait_state("one", "NotHere")
        self.assertEqual(node, json.loads(self.node.read_text()))

    def test_strange_pods_are_no_news(self):
        self.start()
        self.run_one("one")
        self.settle()
        self.wait_state("one", "Running")
        before = self.passes()
        for i in range(20):
            self.pod_starts(f"00000000-0000-4000-8000-{i:012}")
        self.pod_starts("00000000-0000-4000-8000-000000000000")
        self.settle()
        self.assertLessEqual(self.passes() - before, 6)

    def passes(self):
        """Passes are counted in a report that says something new."""
        before = (self.status() or {}).get("counters", {}).get("passes")
        self.settle()
        self.wait_for(lambda: self.counter("passes") != before, "a new report")
        return self.counter("passes")

    def test_port_goes_to_the_next_when_the_pod_is_gone(self):
        ports = {"containers": [{"name": "main", "image": "a:1", "ports": [{"hostPort": 80, "containerPort": 80}]}]}
        self.start()
        uid = self.run_one("one", **ports)
        self.source("one.json", daemonset("one", nodeSelector={"disk": "ssd"}, **ports))
        self.wait_for(lambda: not self.path("one").exists(), "its removal")
        self.source("two.json", daemonset("two", **ports))
        self.wait_reason("two", "WaitingForPort")
        self.assertFalse(self.path("two").exists())
        self.pod_ends(uid)
        self.wait_file("two")


class Now(Pods):
    """sync --now, which the agent does for whoever asks, since it has the lock."""

    def setUp(self):
        super().setUp()
        self.hold("always")

    def hold(self, policy):
        self.set_agent(agent={"hold_offline": policy})

    def now(self, *names, status=0):
        return self.sync("--now", *names, status=status)

    def image(self, name="one"):
        return self.pod(name)["spec"]["containers"][0]["image"]

    def change(self, name, image="a:2"):
        self.source(f"{name}.json", daemonset(name, image=image))
        return self.wait_reason(name, "HoldAlways")

    def check_risks(self, *names):
        told = [line for line in self.stderr.splitlines() if "changing it now" in line]
        self.assertEqual(len(told), len(names), self.stderr)
        for line, name in zip(told, names):
            self.assertTrue(line.startswith(f"daemonlet: warning: kube-system/{name}: changing it now: "), line)

    def check_no_questions(self):
        self.assertEqual(list((self.dir / "run" / "now").iterdir()), [])

    def test_the_asked_one_is_changed_and_no_other(self):
        self.start()
        old, other = self.run_one("one"), self.run_one("two")
        self.change("one")
        self.change("two")
        rows = self.now("kube-system/one")
        self.assertEqual([(r.id, r.state, r.reason) for r in rows.values()], [("kube-system/one", "Starting", "Fits")])
        self.assertEqual(rows["kube-system/one"].revision,
                         self.pod("one")["metadata"]["annotations"]["daemonlet.io/revision"])
        self.check_risks("one")
        self.assertEqual(self.image(), "a:2")
        self.assertNotEqual(self.uid("one"), old)
        self.assertEqual((self.uid("two"), self.row("two")["reason"]), (other, "HoldAlways"))
        self.check_no_questions()
        # That was one word for one change.
        self.pod_ends(old)
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        self.change("one", "a:3")
        self.assertEqual(self.image(), "a:2")

    def test_several(self):
        self.start()
        for name in ("one", "two"):
            self.run_one(name)
            self.change(name)
        rows = self.now("kube-system/two", "kube-system/one", "kube-system/two", "kube-system/none", status=1)
        self.assertEqual([(r.id, r.state) for r in rows.values()],
                         [("kube-system/two", "Starting"), ("kube-system/one", "Starting")])
        self.assertIn("kube-system/none: no such DaemonSet", self.stderr)
        self.assertEqual((self.image("one"), self.image("two")), ("a:2", "a:2"))
        self.check_no_questions()

    def test_in_the_formats_of_sync(self):
        self.start()
        self.run_one("one")
        self.change("one")
        p = self.run_("-q", "sync", "--now", "kube-system/one", "-o", "json")
        [row] = json.loads(p.stdout)
        self.assertEqual((row["name"], row["action"], row["effect"]), ("one", "replace", "restart"))
        self.assertEqual(p.stderr, "")
        self.assertEqual(self.run_("sync", "--now", "kube-system/one", "-o", "name").stdout, "kube-system/one\n")

    def test_a_removal(self):
        self.source("b.json", daemonset("two"))
        self.start()
        uid = self.run_one("one")
        (self.sources / "one.json").unlink()
        self.wait_reason("one", "HoldAlways")
        row = self.now("kube-system/one")["kube-system/one"]
        self.check_risks("one")
        self.assertEqual((row.state, row.reason, row.revision), ("Terminating", "NotDefined", ""))
        self.assertFalse(self.path("one").exists())
        self.pod_ends(uid)
        self.wait_for(lambda: not self.row("one"), "its end")

    def test_what_is_not_held_is_nothing_to_warn_of(self):
        self.source("b.json", daemonset("elsewhere", nodeSelector={"disk": "ssd"}))
        self.start()
        self.run_one("one")
        inodes = self.inodes()
        rows = self.now("kube-system/one", "kube-system/elsewhere")
        self.assertEqual([(r.state, r.reason) for r in rows.values()],
                         [("Running", "Fits"), ("NotHere", "NodeSelectorMismatch")])
        self.check_risks()
        self.assertEqual(self.inodes(), inodes)

    def test_held_for_another_reason(self):
        names = ["one", "two", "three"]
        self.source("a.yaml", *map(daemonset, names))
        self.start()
        self.wait_files(*names)
        (self.sources / "a.yaml").unlink()
        self.wait_reason("one", "MassRemoval")
        row = self.now("kube-system/one", status=1)["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Held", "MassRemoval"))
        self.check_risks()
        self.wait_files(*names)

    def test_what_waits_for_the_deletion(self):
        self.hold("auto")

        self.wait_for_the_deletion()
        self.now("kube-system/one")
        self.assertEqual(self.image(), "a:2")
        self.check_risks("one")
        self.assertIn("updateStrategy is OnDelete", self.stderr)

    def test_the_sources_are_read_as_they_are_now(self):
        (self.dir / "outside.json").write_text(json.dumps(daemonset("one", image="a:1")))
        os.link(self.dir / "outside.json", self.sources / "one.json")
        self.start()
        self.wait_file("one")
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        (self.dir / "outside.json").write_text(json.dumps(daemonset("one", image="a:2")))  # nobody is told
        self.now("kube-system/one")
        self.assertEqual(self.image(), "a:2")
        # The last report did not know that it is held.
        self.check_risks("one")

    def test_sources_that_are_being_written_are_waited_for(self):
        self.start()
        self.run_one("one")
        with open(self.sources / "two.json", "w") as f:
            f.write("{")
            f.flush()
            self.source("one.json", daemonset("one", image="a:2"))
            command = subprocess.Popen([str(DAEMONLET), "--config", str(self.conf), "sync", "--now", "kube-system/one"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(command.kill)
            self.wait_for(lambda: any((self.dir / "run" / "now").iterdir()) or command.poll() is not None, "the question")
            f.seek(0)
            f.write(json.dumps(daemonset("two")))
        self.assertEqual(command.wait(30), 0)
        self.assertEqual(self.image(), "a:2")
        self.wait_file("two")

    def test_what_the_agent_is_not_asked_for(self):
        self.start()
        self.run_one("one")
        self.change("one")
        inodes = self.inodes()
        for args in ((), ("--rerender",), ("--rerender", "--now", "kube-system/one"),
                     ("--confirm", "--now", "kube-system/one")):
            p = self.run_("sync", *args)
            self.assertEqual((p.returncode, p.stdout), (75, ""), p.stderr)
            self.assertIn("systemctl reload", p.stderr)
        p = self.run_("sync", "--dry-run", "--now", "kube-system/one", "-o", "json")
        self.assertEqual([r["action"] for r in json.loads(p.stdout)], ["replace"])
        self.assertEqual(self.inodes(), inodes)
        self.assertEqual(self.run_("sync", "--now", "one").returncode, 64)

    def test_asked_before_the_agent_was_killed(self):
        self.start()
        self.run_one("one")
        self.change("one")
        self.child.send_signal(signal.SIGSTOP)
        command = subprocess.Popen([str(DAEMONLET), "--config", str(self.conf), "sync", "--now", "kube-system/one"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(command.kill)
        self.wait_for(lambda: any((self.dir / "run" / "now").iterdir()), "the question")
        self.stop(signal.SIGKILL)
        self.start(wait=False)
        self.assertEqual(command.wait(30), 0)
        self.assertEqual(self.image(), "a:2")


class Restart(Pods):
    def restart(self, name="kube-system/one", status=0):
        p = self.run_("restart", name)
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        return p.stdout + p.stderr

    def test_withdrawn_until_the_pod_is_gone_and_then_the_same_bytes(self):
        self.start()
        uid = self.run_one("one")
        want, repairs = self.path("one").read_bytes(), self.counter("repairs")
        self.assertEqual(self.restart(), "kube-system/one restarting\n")
        self.assertEqual(self.files(), [])
        self.assertEqual(self.wait_reason("one", "Restarting")["state"], "Terminating")
        began = time.monotonic()
        self.pod_ends(uid)
        self.wait_file("one", want)
        self.assertGreater(time.monotonic() - began, 5.5)
        self.wait_state("one", "Starting")
        self.pod_starts(uid)
        self.wait_state("one", "Running")
        self.assertEqual((self.counter("repairs"), self.counter("restarts")), (repairs, 1))
        self.assertEqual(list((self.dir / "run" / "restart").iterdir()), [])

    def test_killed_meanwhile(self):
        self.start()
        uid = self.run_one("one")
        want = self.path("one").read_bytes()
        self.restart()
        self.stop(signal.SIGKILL)
        self.start()
        self.wait_reason("one", "Restarting")
        self.assertEqual(self.files(), [])
        self.pod_ends(uid)
        self.wait_file("one", want)

    def test_without_an_agent_the_command_does_it(self):
        self.start()
        uid = self.run_one("one")
        self.source("b.json", daemonset("two"))
        want = self.wait_file("two") and self.path("one").read_bytes()
        self.stop()
        self.path("two").unlink()
        command = subprocess.Popen([str(DAEMONLET), "--config", str(self.conf), "restart", "--node", str(self.node),
                                    "kube-system/one"])
        self.addCleanup(command.kill)
        self.wait_for(lambda: self.files() == [], "its withdrawal")
        self.pod_ends(uid)
        self.assertEqual(command.wait(60), 0)
        self.assertEqual(self.path("one").read_bytes(), want)
        self.assertFalse(self.path("two").exists(), "what was not asked for was done")

    def test_without_an_agent_it_comes_back_although_something_else_fails(self):
        self.start()
        uid = self.run_one("one")
        want = self.path("one").read_bytes()
        self.stop()
        (self.state / "sources.json").unlink()
        (self.state / "sources.json").mkdir()  # what is read cannot be remembered
        (self.state / "sources.json" / "x").touch()
        command = subprocess.Popen([str(DAEMONLET), "--config", str(self.conf), "restart", "--node", str(self.node),
                                    "kube-system/one"], stderr=subprocess.PIPE, text=True)
        self.addCleanup(command.kill)
        self.wait_for(lambda: not self.path("one").exists(), "its withdrawal")
        self.pod_ends(uid)
        command.wait(60)
        self.assertEqual(self.path("one").read_bytes(), want, command.stderr.read())

    def test_refused(self):
        self.source("b.json", daemonset("elsewhere", nodeSelector={"disk": "ssd"}))
        self.start()
        self.run_one("one")
        self.assertIn("nothing of it stands here", self.restart("kube-system/none", status=1))
        self.assertIn("disk=ssd wanted", self.restart("kube-system/elsewhere", status=1))
        self.assertIn("NAMESPACE/NAME", self.restart("one", status=64))
        inodes = self.inodes()
        self.set_kubelet(0)
        self.assertIn("no kubelet runs", self.restart(status=1))
        self.assertEqual(self.inodes(), inodes)
        self.stop()
        self.assertIn("no kubelet runs", self.restart(status=1))
        self.assertIn("nothing of it stands here", self.restart("kube-system/none", status=1))
        self.assertEqual(self.inodes(), inodes)

    def test_adopts_what_waits_for_the_deletion(self):
        self.wait_for_the_deletion()
        self.restart()
        self.wait_for(lambda: self.pod("one")["spec"]["containers"][0]["image"] == "a:2", "the new revision")


class NotStarted(Pods):
    """A minute is waited for here, once, for all that takes a minute."""

    def test_written_again_after_a_minute(self):
        self.source("one.json", daemonset("one"))
        self.start()
        want = self.wait_file("one")
        self.wait_state("one", "Starting")
        self.wait_for(lambda: not self.path("one").exists(), "its withdrawal", 150)
        self.wait_file("one", want)
        self.wait_for(lambda: self.counter("restarts") == 1 and self.row("one")["state"] == "Starting", "a report")
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running", 40)
        self.assertEqual(self.counter("repairs"), 0)


class Kubelet(Pods):
    named_node, environment = False, {"WATCHDOG_USEC": "400000"}  # ten heartbeats a second

    def test_a_restarted_kubelet_is_asked_for_its_flags(self):
        self.set_agent(node={"name": "node-1"})
        self.source("one.json", daemonset("one", nodeSelector={"rack": "r1"}))
        self.start()
        self.wait_reason("one", "NodeSelectorMismatch")
        self.set_kubelet(4712, "--node-labels=rack=r1")
        self.wait_file("one")


    def test_a_stopped_kubelet_was_set_as_it_was(self):
        """What its process said counts until another one runs: no pod goes because it is stopped, whatever is read."""
        kubeconfig = self.dir / "kubelet.conf"
        kubeconfig.write_text(json.dumps({"clusters": [{"name": "c", "cluster": {
            "certificate-authority-data": "UEVN"}}]}))
        self.set_agent(node={"name": "node-1"})
        self.set_kubelet(4711, "--node-labels=rack=r1", f"--kubeconfig={kubeconfig}")
        self.source("one.json", daemonset("one", nodeSelector={"rack": "r1"}, serviceAccountName="one"))
        self.start()
        self.wait_file("one")
        inodes = self.inodes()
        [crt] = self.state.glob("volumes/*/*/*/ca.crt")
        self.assertEqual(crt.read_text(), "PEM")
        self.set_kubelet(0)
        kubeconfig.unlink()
        self.child.send_signal(signal.SIGHUP)
        self.source("two.json", daemonset("two"))
        self.wait_file("two")
        time.sleep(2)  # heartbeats, and the removal delay
        self.assertEqual({n: i for n, i in self.inodes().items() if n in inodes}, inodes)
        self.assertEqual((self.row("one")["reason"], crt.read_text()), ("Fits", "PEM"))
        # Nor is it known less to an agent that is started anew, and to a command.
        self.stop()
        self.start()
        self.source("three.json", daemonset("three"))
        self.wait_file("three")
        self.assertEqual({n: i for n, i in self.inodes().items() if n in inodes}, inodes)
        self.stop()
        self.assertEqual(self.sync(node=False)["kube-system/one"].reason, "Fits")
        self.start()
        # The next one may say something else.
        self.set_kubelet(4712)
        self.wait_for(lambda: not self.path("one").exists(), "its removal")

    def test_a_late_kubeconfig(self):
        kubeconfig = self.dir / "late" / "kubelet.conf"
        self.set_agent(node={"name": "node-1"})
        self.set_kubelet(4711, f"--kubeconfig={kubeconfig}")
        self.source("one.json", daemonset("one", serviceAccountName="one"))
        self.start()
        self.wait_file("one")
        self.assertEqual(list(self.state.glob("volumes/*/*/*/ca.crt")), [])
        kubeconfig.parent.mkdir()
        kubeconfig.write_text(json.dumps({"clusters": [{"name": "c", "cluster": {
            "certificate-authority-data": "UEVN"}}]}))
        self.wait_for(lambda: [p.read_text() for p in self.state.glob("volumes/*/*/*/ca.crt")] == ["PEM"], "ca.crt")


if __name__ == "__main__":
    main()
