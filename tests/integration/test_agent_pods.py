#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The running agent and the pods of its manifests: what the witness sees, restarts, pods that do not start, ports."""
import json, os, pathlib, shutil, signal, subprocess, time, unittest

from agent import AgentHost
from host import DAEMONLET, daemonset, main


class Pods(AgentHost):
    """A kubelet that is nothing but what can be seen of it: a process, cgroups, pod directories."""

    def setUp(self):
        super().setUp()
        self.cgroups, self.kubelet_root = self.dir / "cgroup", self.dir / "kubelet"
        (self.cgroups / "kubepods" / "besteffort").mkdir(parents=True)
        (self.cgroups / "cgroup.controllers").write_text("cpu memory\n")
        (self.kubelet_root / "pods").mkdir(parents=True)
        self.set_agent(kubelet={"cgroup_dir": self.cgroups, "root_dir": self.kubelet_root})
        self.set_kubelet(4711)

    def set_kubelet(self, pid, *flags):
        """The process that is called kubelet, started at boot; 0: none."""
        proc = self.dir / "proc"
        for p in proc.iterdir():
            shutil.rmtree(p)
        random = proc / "sys" / "kernel" / "random"
        random.mkdir(parents=True)
        (random / "boot_id").write_text("one\n")
        if not pid:
            return
        new = proc / ".new"
        new.mkdir()
        (new / "comm").write_text("kubelet\n")
        (new / "cmdline").write_bytes(b"\0".join([b"/usr/bin/kubelet", *map(str.encode, flags)]) + b"\0")
        (new / "stat").write_text(f"{pid} (kubelet) S " + " ".join(["0"] * 18) + " 1 0\n")
        new.rename(proc / str(pid))

    def uid(self, name):
        return self.pod(name)["metadata"]["uid"]

    def pod_starts(self, uid, processes=True):
        cgroup = self.cgroups / "kubepods" / "besteffort" / f"pod{uid}"
        cgroup.mkdir(exist_ok=True)
        (cgroup / "cgroup.events").write_text(f"populated {int(processes)}\nfrozen 0\n")
        (self.kubelet_root / "pods" / uid).mkdir(exist_ok=True)

    def pod_ends(self, uid):
        shutil.rmtree(self.cgroups / "kubepods" / "besteffort" / f"pod{uid}", ignore_errors=True)
        shutil.rmtree(self.kubelet_root / "pods" / uid, ignore_errors=True)

    def wait_state(self, name, state, deadline=None):
        return self.wait_for(lambda: (self.row(name) or {}).get("state") == state and self.row(name),
                             f"{name} to be {state}", deadline)

    def run_one(self, name, **kw):
        self.source(f"{name}.json", daemonset(name, **kw))
        self.wait_file(name)
        self.wait_state(name, "Starting")
        self.pod_starts(self.uid(name))
        self.wait_state(name, "Running")
        return self.uid(name)


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
        self.assertEqual(command.wait(30), 0)
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
        time.sleep(0.5)
        self.pod_ends(uid)
        command.wait(30)
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
        def on_delete(image):
            d = daemonset("one", image=image)
            d["spec"]["updateStrategy"] = {"type": "OnDelete"}
            return d

        self.source("one.json", on_delete("a:1"))
        self.start()
        self.wait_file("one")
        self.source("one.json", on_delete("a:2"))
        self.wait_reason("one", "OnDelete")
        self.restart()
        self.wait_for(lambda: self.pod("one")["spec"]["containers"][0]["image"] == "a:2", "the new revision")


class NotStarted(Pods):
    """A minute is waited for here, once, for all that takes a minute."""

    def test_written_again_after_a_minute(self):
        self.source("one.json", daemonset("one"))
        self.start()
        want = self.wait_file("one")
        self.wait_state("one", "Starting")
        self.wait_for(lambda: not self.path("one").exists(), "its withdrawal", 75)
        self.wait_file("one", want)
        self.wait_for(lambda: self.counter("restarts") == 1 and self.row("one")["state"] == "Starting", "a report")
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running", 15)
        self.assertEqual(self.counter("repairs"), 0)


class Kubelet(Pods):
    named_node, environment = False, {"WATCHDOG_USEC": "400000"}  # ten heartbeats a second

    def test_a_restarted_kubelet_is_asked_for_its_flags(self):
        self.set_agent(node={"name": "node-1"}, kubelet={"cgroup_dir": self.cgroups, "root_dir": self.kubelet_root})
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
        self.set_agent(node={"name": "node-1"}, kubelet={"cgroup_dir": self.cgroups, "root_dir": self.kubelet_root})
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
        self.set_agent(node={"name": "node-1"}, kubelet={"cgroup_dir": self.cgroups, "root_dir": self.kubelet_root})
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
