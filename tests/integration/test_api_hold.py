#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is held until the kubelet has synced with its API server, and what counts as evidence that it has."""
import pathlib, shutil, signal, time

from agent import AgentHost
from api_host import NODE, ApiHost, fenced, node
from host import daemonset, main
from pods import Pods

SYNCED = 20  # seconds after the kubelet's start


class HoldHost(Pods, ApiHost):
    hold, removal_delay = "auto", "0"
    environment = {"WATCHDOG_USEC": "400000"}  # the kubelet's process is looked at ten times a second

    def setUp(self):
        super().setUp()
        self.kubelet_kubeconfig = self.dir / "kubelet.conf"
        shutil.copy(self.kubeconfig, self.kubelet_kubeconfig)
        self.kubelet_starts(30)

    # ---- the kubelet ----

    def kubelet_starts(self, ago, pid=4711, **kw):
        self.started = time.time() - ago
        self.set_kubelet(pid, f"--kubeconfig={self.kubelet_kubeconfig}", started=self.started, **kw)

    def kubelet_restarts(self):
        """Another process, whose start the last heartbeat of the one before may look later than."""
        self.kubelet_starts(12, 4712)

    def heartbeat(self, after=SYNCED):
        self.server.patch_node_heartbeat(NODE, self.started + after)

    # ---- pods and their manifests ----

    def change(self, name, image="a:2", **spec):
        self.source(f"{name}.json", daemonset(name, image=image, **spec))

    def image(self, name="one"):
        return self.pod(name)["spec"]["containers"][0]["image"]

    def wait_image(self, image, name="one"):
        self.wait_for(lambda: self.path(name).exists() and self.image(name) == image, f"{image} of {name}")

    def wait_held(self, name="one"):
        return self.wait_reason(name, "ApiNotSynced")

    def runs(self, *names):
        """An agent, and pods that run."""
        for name in names:
            self.source(f"{name}.json", daemonset(name))
        self.start()
        self.wait_live()
        for name in names:
            self.wait_file(name)
            self.pod_starts(self.uid(name))
            self.wait_state(name, "Running")

    def fence(self):
        """Whatever was announced before has been looked at."""
        AgentHost.settle(self)

    def check_nothing_changes(self):
        before = self.bytes()
        self.fence()
        self.fence()
        self.assertEqual(self.bytes(), before)


class Held(HoldHost):
    def test_what_runs_is_held_and_the_rest_is_done(self):
        self.runs("one", "two", "three")
        old = self.bytes()
        began = int(time.time())
        self.change("one")
        self.change("two")
        (self.sources / "three.json").unlink()
        self.change("four")
        self.wait_file("four")
        for name in ("one", "two"):
            row = self.wait_held(name)
            self.assertEqual(row["state"], "Held")
            self.assertRegex(row["message"], "new revision [0-9a-f]{16} is pending")
            self.assertEqual(row["revision"], self.pod(name)["metadata"]["annotations"]["daemonlet.io/revision"])
            self.assertNotIn(row["revision"], row["message"])
            self.assertTrue(began <= row["heldSince"] <= time.time(), row)
        self.assertIn("removal is pending", self.wait_held("three")["message"])
        self.assertNotIn("heldSince", self.wait_for(lambda: self.row("four"), "the row of four"))
        self.assertEqual({n: b for n, b in self.bytes().items() if n in old}, old)
        # Damage goes, and with it nothing comes.
        since, repairs = self.row("one")["heldSince"], self.counter("repairs")
        self.path("one").write_text("{")
        self.path("two").unlink()
        self.path("three").unlink()
        self.wait_for(lambda: {n: b for n, b in self.bytes().items() if n in old} == old, "the repairs")
        self.wait_for(lambda: self.counter("repairs") == repairs + 3, "their count")
        self.assertEqual({self.row(n)["reason"] for n in ("one", "two", "three")}, {"ApiNotSynced"})
        self.assertEqual(self.row("one")["heldSince"], since)
        p = self.run_("status", node=False)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("kube-system/one: held for ", p.stderr)
        # The first report without the hold has none at all.
        self.heartbeat()

        def released():
            rows = {r["name"]: r for r in self.status()["daemonsets"]}
            return rows["one"]["reason"] != "ApiNotSynced" and rows
        rows = self.wait_for(released, "the end of the hold")
        self.assertEqual((rows["one"]["reason"], rows["two"]["reason"]), ("Fits", "Fits"))
        self.assertNotEqual(rows["three"]["reason"], "ApiNotSynced")
        self.assertFalse([r for r in rows.values() if "heldSince" in r])
        self.assertEqual((self.image("one"), self.image("two")), ("a:2", "a:2"))
        self.wait_files("one", "two", "four")

    def test_an_edit_taken_back_leaves_nothing_pending(self):
        self.runs("one", "two")
        first, second = self.path("one").read_bytes(), self.row("one")["revision"]
        before = self.inodes()
        self.change("one", "a:2")
        pending = self.wait_held()["message"]
        self.change("one", "a:3")
        self.wait_for(lambda: self.row("one")["message"] != pending, "another revision to be pending")
        self.wait_held()
        self.source("one.json", daemonset("one"))
        self.assertNotIn("heldSince", self.wait_reason("one", "Fits"))
        (self.sources / "two.json").unlink()
        self.wait_held("two")
        self.source("two.json", daemonset("two"))
        self.wait_reason("two", "Fits")
        self.heartbeat()
        self.source("late.json", daemonset("late"))
        self.wait_file("late")
        self.assertEqual({n: i for n, i in self.inodes().items() if n in before}, before)
        self.assertEqual((self.path("one").read_bytes(), self.row("one")["revision"]), (first, second))

    def test_only_the_last_of_several_edits_is_made(self):
        self.runs("one")
        for image in ("a:2", "a:3"):
            pending = (self.row("one") or {}).get("message")
            self.change("one", image)
            self.wait_for(lambda: self.wait_held()["message"] != pending, "it to be pending")
        self.heartbeat()
        self.wait_for(lambda: self.image() != "registry.example.com/a:1", "the change")
        self.assertEqual(self.image(), "a:3")

    def test_a_pod_that_is_gone_holds_nothing(self):
        self.runs("one", "two", "three")
        self.pod_ends(self.uid("one"))
        self.wait_state("one", "Starting")
        self.change("one")
        self.wait_image("a:2")
        # Nor does one that goes meanwhile.
        self.change("two")
        self.wait_held("two")
        (self.sources / "three.json").unlink()
        self.wait_held("three")
        self.pod_ends(self.uid("two"))
        self.wait_image("a:2", "two")
        self.pod_ends(self.uid("three"))
        self.wait_files("one", "two")

    def test_a_pod_of_which_nothing_is_known_is_held(self):
        """A kubelet without cgroups per QoS class: a directory may be a living pod's or a dead one's."""
        self.runs("one")
        shutil.rmtree(self.cgroups / "kubepods")
        self.change("one")
        self.wait_held()
        self.pod_ends(self.uid("one"))
        self.wait_image("a:2")

    def test_a_new_pod_of_a_name_is_held_again(self):
        """Two revisions beside the running one are as bad as one."""
        self.runs("one")
        self.pod_ends(self.uid("one"))
        self.wait_state("one", "Starting")
        self.change("one")
        self.wait_image("a:2")
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        self.change("one", "a:3")
        self.wait_held()
        self.assertEqual(self.image(), "a:2")

    def test_daemonsets_of_the_server(self):
        self.start()
        self.wait_live()
        self.server.apply(node({"disk": "ssd"}))
        for name, selector in (("one", {}), ("two", {}), ("three", {"disk": "ssd"}), ("free", {"disk": "ssd"})):
            self.server.apply(fenced(name, selector=selector))
            self.wait_file(name)
            if name != "free":
                self.pod_starts(self.uid(name))
                self.wait_state(name, "Running")
        old = self.bytes()
        self.server.apply(fenced("one", image="a:2"))
        self.server.delete("DaemonSet", "kube-system", "two")
        self.server.set_labels("Node", "", NODE, {"disk": "hdd"})
        self.server.apply(fenced("four"))
        for name in ("one", "two", "three"):
            self.wait_held(name)
        # Nothing else keeps them when the Node has settled.
        self.wait_files("one", "two", "three", "four")
        self.check_nothing_changes()
        self.assertEqual({n: b for n, b in old.items() if "free" not in n},
                         {n: b for n, b in self.bytes().items() if "four" not in n})
        self.heartbeat()
        self.wait_files("one", "four")
        self.wait_image("a:2")

    def test_the_files_of_what_is_held_stay(self):
        def config_map(name, value):
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"},
                    "data": {"key": value}}

        def user(name, of):
            return daemonset(name, volumes=[{"name": "v", "configMap": {"name": of}}], containers=[
                {"name": "main", "image": "a:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}])

        def file_of(name):
            return pathlib.Path(self.pod(name)["spec"]["volumes"][0]["hostPath"]["path"]) / "key"

        for name in ("one", "two"):
            self.source(f"of-{name}.json", config_map(f"of-{name}", "old"))
            self.source(f"{name}.json", user(name, f"of-{name}"))
        self.start()
        for name in ("one", "two"):
            self.wait_file(name)
            self.pod_starts(self.uid(name))
            self.wait_state(name, "Running")
        self.source("next.json", config_map("next", "new"))
        self.source("one.json", user("one", "next"))
        for name in ("of-one", "of-two", "two"):
            (self.sources / f"{name}.json").unlink()
        self.wait_held("one")
        self.wait_held("two")
        self.check_nothing_changes()
        self.assertEqual([file_of(n).read_text() for n in ("one", "two")], ["old", "old"])
        old, started = file_of("one"), self.uid("one")
        self.wait_live()
        self.heartbeat()
        self.wait_for(lambda: self.uid("one") != started, "the change")
        self.assertEqual(file_of("one").read_text(), "new")
        self.assertEqual(old.read_text(), "old")  # its pod runs still

    def test_a_restart_is_refused(self):
        self.runs("one")
        before = self.inodes()
        p = self.run_("restart", "kube-system/one")
        self.assertEqual(p.returncode, 1)
        self.assertIn("it cannot be restarted now", p.stdout + p.stderr)
        self.assertEqual(self.inodes(), before)
        self.fence()
        self.assertEqual(self.row("one")["reason"], "Fits")

    def test_an_operator_says_now(self):
        self.runs("one", "two")
        for name in ("one", "two"):
            self.change(name)
            self.wait_held(name)
        row = self.sync("--now", "kube-system/one", node=False)["kube-system/one"]
        self.assertEqual((row.state, row.reason), ("Starting", "Fits"))
        self.assertIn("has not seen its API server since its start", self.stderr)
        self.assertEqual((self.image("one"), self.image("two")), ("a:2", "registry.example.com/a:1"))
        # The kubelet does not stop the pod of before: whatever is written now would be a third one.
        self.change("one", "a:3")
        self.wait_held("one")
        self.stop()
        rows = self.sync(node=False)
        self.assertEqual((rows["kube-system/two"].state, rows["kube-system/two"].reason), ("Held", "ApiNotSynced"))
        self.assertEqual(self.sync("--now", "kube-system/two", node=False)["kube-system/two"].reason, "Fits")
        self.assertIn("has not seen its API server since its start", self.stderr)
        self.assertEqual(self.image("two"), "a:2")


class Restarts(HoldHost):
    """Of the agent, the kubelet, the server and the host."""

    def agent_restarts(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def test_the_agent_while_something_is_held(self):
        self.runs("one", "two", "three")
        self.change("one")
        self.wait_held()
        (self.sources / "two.json").unlink()
        self.wait_held("two")
        before = self.inodes()
        for how in (signal.SIGTERM, signal.SIGKILL):
            self.agent_restarts(how)
            self.wait_held("one")
            self.wait_held("two")
            self.assertEqual(self.inodes(), before)
        self.server.stop()
        self.agent_restarts()
        self.wait_held("one")
        self.wait_held("two")
        # What is changed while there is no agent is held by the next one.
        self.stop()
        self.change("three")
        self.start()
        self.wait_held("three")
        self.assertEqual(self.inodes(), before)
        self.server.start()
        self.heartbeat()
        self.agent_restarts()  # it would knock within seconds
        self.wait_image("a:2")
        self.wait_image("a:2", "three")
        self.wait_files("one", "three")

    def test_the_kubelet_after_it_had_synced(self):
        self.runs("one")
        self.heartbeat()
        self.change("one")
        self.wait_image("a:2")
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        self.server.stop()
        self.wait_away()
        self.kubelet_restarts()
        self.change("one", "a:3")
        self.wait_held()
        self.agent_restarts()
        self.wait_held()
        self.check_nothing_changes()
        self.heartbeat()
        self.server.start()
        self.agent_restarts()
        self.wait_image("a:3")

    def test_a_kubelet_of_which_nobody_was_told(self):
        """Between two looks at its process."""
        self.environment = {}
        self.runs("one")
        self.heartbeat()
        self.change("two")
        self.wait_file("two")
        self.kubelet_restarts()
        self.change("one")
        self.wait_held()

    def test_the_kubelet_is_stopped(self):
        """Its pods run on, and when it comes back it has forgotten them."""
        self.runs("one")
        self.heartbeat()
        self.change("two")
        self.wait_file("two")
        self.set_kubelet(0)
        self.change("one")
        self.wait_held()
        self.agent_restarts()
        self.wait_held()
        self.kubelet_restarts()
        self.check_nothing_changes()
        self.heartbeat()
        self.wait_image("a:2")

    def test_an_outage_after_the_sync_does_no_harm(self):
        self.runs("one", "two", "three")
        self.heartbeat()
        self.change("one")
        self.wait_image("a:2")
        self.server.stop()
        self.wait_away()
        self.change("two")
        self.wait_image("a:2", "two")
        (self.sources / "three.json").unlink()
        self.wait_files("one", "two")
        # The cache has what the next agent has to know, however this one ended.
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        self.stop(signal.SIGKILL)
        self.change("one", "a:3")
        self.start()
        self.wait_image("a:3")
        self.pod_starts(self.uid("two"))
        self.stop()
        self.change("two", "a:3")
        self.assertEqual(self.sync(node=False)["kube-system/two"].reason, "Fits")
        self.assertEqual(self.image("two"), "a:3")

    def outage(self):
        """An edit and a restart of the kubelet while the server is away."""
        self.runs("one")
        self.heartbeat()
        self.change("two")
        self.wait_file("two")
        self.server.stop()
        self.wait_away()
        self.kubelet_restarts()
        self.change("one")
        self.wait_held()

    def server_is_back(self):
        """The agent would knock when its pause is over, which is the longer the longer the server was away."""
        self.server.start()
        self.child.send_signal(signal.SIGHUP)

    def test_the_agent_sees_the_server_first(self):
        self.outage()
        self.server_is_back()
        self.wait_live()
        self.check_nothing_changes()
        self.wait_held()
        self.heartbeat()
        self.wait_image("a:2")

    def test_the_kubelet_sees_the_server_first(self):
        self.outage()
        self.heartbeat()
        self.check_nothing_changes()
        self.wait_held()
        self.server_is_back()
        self.wait_image("a:2")

    def reboot(self):
        """Processes and cgroups are gone, directories are left."""
        shutil.rmtree(self.cgroups / "kubepods")
        self.set_kubelet(0, boot="two")

    def set_agent(self, **sections):
        flags = self.dir / "flags"
        flags.write_text(f'KUBELET_KUBEADM_ARGS="--kubeconfig={self.dir}/kubelet.conf"\n')
        super().set_agent(kubelet={"flags_file": flags, **sections.pop("kubelet", {})}, **sections)

    def test_the_host(self):
        self.runs("one", "two")
        self.change("one")
        self.wait_held()
        old = self.uid("one")
        self.server.stop()
        self.stop()
        self.reboot()
        self.change("three")
        (self.sources / "two.json").unlink()
        self.start()
        self.wait_image("a:2")
        self.wait_files("one", "three")
        self.assertTrue((self.kubelet_root / "pods" / old).exists())
        # The next kubelet starts them, and has seen no server either.
        self.kubelet_starts(5, 700, boot="two")
        (self.cgroups / "kubepods" / "besteffort").mkdir(parents=True)
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        self.change("one", "a:3")
        self.wait_held()
        self.server.start()
        self.heartbeat()
        self.agent_restarts()
        self.wait_image("a:3")

    def test_a_kubelet_that_is_stopped_is_no_reboot(self):
        self.runs("one")
        self.stop()
        self.set_kubelet(0, boot="two")  # and yet there are cgroups
        self.change("one")
        self.start()
        self.wait_held()
        # Nor is it one where nobody can tell.
        self.stop()
        self.cgroups.rename(self.dir / "elsewhere")
        self.start()
        self.wait_held()
        (self.kubelet_root / "pods" / self.uid("one")).rmdir()
        self.wait_image("a:2")


class Evidence(HoldHost):
    def see(self, when):
        """A heartbeat, and that it was seen: the same change of the Node makes it fit for another one."""
        self.seen = getattr(self, "seen", 0) + 1
        name = f"probe-{self.seen}"
        self.source(f"{name}.json", daemonset(name, nodeSelector={name: "yes"}))
        self.wait_reason(name, "NodeSelectorMismatch")
        with self.server.lock:
            self.server.patch("Node", "", NODE, lambda o: o.update(node({f"probe-{i + 1}": "yes" for i in range(self.seen)},
                                                                       heartbeat=when)))
        self.wait_file(name)

    def test_which_heartbeats_are_none(self):
        self.runs("one")
        self.change("one")
        self.wait_held()
        for when in (self.started - 3600,  # of the one before
                     self.started + 7,     # perhaps of before the sync
                     time.time() + 3600):  # of before a clock went back
            self.see(when)
            self.assertEqual(self.image(), "registry.example.com/a:1")
            self.wait_held()
        # Not ready is its word as well.
        self.server.patch_node_heartbeat(NODE, self.started + SYNCED, ready=False)
        self.wait_image("a:2")

    def test_a_clock_may_be_a_little_behind(self):
        self.runs("one")
        self.change("one")
        self.wait_held()
        self.server.patch_node_heartbeat(NODE, time.time() + 40)
        self.wait_image("a:2")

    def test_the_clock_was_set_after_the_kubelet_started(self):
        """It started in the past or in the future then, as the time of the boot says that the agent read."""
        for name, booted in (("one", 1000), ("two", time.time() + 86400)):
            self.server.apply(node(heartbeat=time.time() - 3600))
            self.kubelet_starts(30, booted=booted)
            self.runs(name)
            self.change(name)
            self.wait_held(name)
            self.heartbeat()
            self.wait_image("a:2", name)
            self.stop()


class Policies(HoldHost):
    def test_never(self):
        self.set_agent(agent={"hold_offline": "no"})
        self.runs("one", "two")
        self.change("one")
        self.wait_image("a:2")
        (self.sources / "two.json").unlink()
        self.wait_files("one")
        self.assertNotIn("nothing is held", self.log())

    def test_always(self):
        self.set_agent(agent={"hold_offline": "always"})
        self.heartbeat()
        self.runs("one")
        self.change("one")
        row = self.wait_reason("one", "HoldAlways")
        self.assertEqual(row["state"], "Held")
        self.assertIn("heldSince", row)
        self.check_nothing_changes()
        self.assertEqual(self.run_("status", node=False).returncode, 0)
        self.sync("--now", "kube-system/one", node=False)
        self.assertEqual(self.image(), "a:2")

    def test_with_the_kubelets_own_identity(self):
        """kubeadm's default: the Node is all that may be followed, and it is enough."""
        self.server.kubeconfig(self.kubelet_kubeconfig, user=f"system:node:{NODE}", groups=["system:nodes"])
        self.set_agent(api={"kubeconfig": None})
        self.runs("one")
        self.assertEqual(self.api()["identity"], "kubelet")
        self.change("one")
        self.wait_held()
        self.server.patch_node_heartbeat(NODE, time.time() + 40)
        self.wait_image("a:2")
        # A kubelet that is stopped has one still, and so has the next agent; but no process that could have synced.
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        self.set_kubelet(0)
        self.change("one", "a:3")
        self.wait_held()
        self.stop()
        self.start()
        self.wait_held()
        self.assertEqual(self.api()["identity"], "kubelet")

    def test_a_policy_that_changes(self):
        self.runs("one")
        self.change("one")
        self.wait_held()
        self.set_agent(agent={"hold_offline": "no"})
        self.wait_image("a:2")

    def test_no_api_server_for_the_agent(self):
        self.set_agent(api={"kubeconfig": "none"})
        self.start()
        self.run_one("one")
        self.change("one")
        self.wait_image("a:2")
        self.assertIn("[api] kubeconfig = none, but the kubelet uses an API server", self.log())
        self.stop()
        # It is not said where the operator has chosen.
        self.log_path.unlink()
        self.set_agent(api={"kubeconfig": "none"}, agent={"hold_offline": "no"})
        self.start()
        self.assertNotIn("but the kubelet uses an API server", self.log())

    def test_no_api_server_for_the_kubelet(self):
        self.set_kubelet(4711)
        self.runs("one")
        self.change("one")
        self.wait_image("a:2")
        # The next one has one.
        self.pod_starts(self.uid("one"))
        self.wait_state("one", "Running")
        self.kubelet_restarts()
        self.change("one", "a:3")
        self.wait_held()
        self.heartbeat()
        self.wait_image("a:3")


if __name__ == "__main__":
    main()
