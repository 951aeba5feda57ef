#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The hand-over to the DaemonSet controller and back: who runs a DaemonSet, through outages and reboots."""
import copy, json, os, pathlib, random, select, signal, subprocess, time, unittest

from api_host import NODE, STATIC, fenced, node
from controller import Writes, World, is_mirror, listed
from host import daemonset, main, put
from test_api_hold import HoldHost
from test_faults import can_trace
from test_metrics import parse

PORT = {"hostNetwork": True,
        "containers": [{"name": "main", "image": "a:1", "ports": [{"containerPort": 9100, "hostPort": 9100}]}]}
LONG = 40  # seconds; what waits for a kubelet to have forgotten a pod, and for a server to be asked again
REFUSED = 240  # what a kubelet refused is written again after a minute, and goes for theirs after two


def handoff(mode):
    return {"annotations": {"daemonlet.io/handoff": mode}}


def with_port(name, **kw):
    return daemonset(name, **{**copy.deepcopy(PORT), **kw})


def as_stored(o):
    """With some of the defaults that a real API server fills in."""
    o = copy.deepcopy(o)
    spec = o["spec"]["template"]["spec"]
    o["spec"].update(revisionHistoryLimit=10, updateStrategy={"type": "RollingUpdate",
                                                              "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    o["spec"]["template"]["metadata"]["creationTimestamp"] = None
    for key, value in {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                       "securityContext": {}, "terminationGracePeriodSeconds": 30}.items():
        spec.setdefault(key, value)
    for c in spec["containers"]:
        for key, value in {"imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log",
                           "terminationMessagePolicy": "File"}.items():
            c.setdefault(key, value)
        for p in c.get("ports", []):
            p.setdefault("protocol", "TCP")
    return o


class HandoverHost(HoldHost):
    world, boots = None, 1

    def setUp(self):
        super().setUp()
        self.world = World(self)

    def tearDown(self):
        if self.world:
            self.assertEqual((self.world.clashes, self.world.refused_static), ([], []))

    def set_agent(self, **sections):
        """The kubelet's kubeconfig is known while it is down."""
        flags = self.dir / "flags"
        put(flags, f'KUBELET_KUBEADM_ARGS="--kubeconfig={self.dir}/kubelet.conf"\n')
        super().set_agent(kubelet={"flags_file": flags, **sections.pop("kubelet", {})}, **sections)

    def wait_for(self, predicate, what, deadline=None):
        """The world goes on whenever somebody waits."""
        def look():
            if self.world:
                self.world.step()
            return predicate()
        return super().wait_for(look, what, deadline)

    # ---- what happens ----

    def local(self, o, name=None):
        self.source(f"{name or o['metadata']['name']}.json", o)

    def hurry(self):
        """What would be tried after a while is tried now."""
        self.child.send_signal(signal.SIGHUP)

    def wait_hurried(self, predicate, what, deadline=LONG):
        """Without the pauses between failures; where all is slow, it must come to an end between two reloads."""
        began, pause = time.monotonic(), 1

        def look():
            nonlocal began, pause
            if not predicate():
                if time.monotonic() > began + pause:
                    self.hurry()
                    began, pause = time.monotonic(), min(pause * 1.2, 5)
                return False
            return True
        self.wait_for(look, what, deadline)

    def wait_all_live(self):
        """As wait_live. What was being asked for when the server came back may have failed after that."""
        self.wait_hurried(self.is_live, "all to be live")

    def agent_restarts(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def server_stops(self):
        self.server.stop()
        self.wait_away()

    def server_returns(self):
        self.server.start()
        self.hurry()
        self.wait_all_live()

    def kubelet_starts(self, ago, pid=4711, **kw):
        super().kubelet_starts(ago, pid, boot=f"boot-{self.boots}", **kw)

    def kubelet_restarts(self):
        self.boot_kubelet(4711 + self.world.steps)

    def boot_kubelet(self, pid):
        self.kubelet_starts(12, pid)
        self.world.kubelet_starts()

    def power_off(self):
        self.world.power_off()
        self.boots += 1
        self.set_kubelet(0, boot=f"boot-{self.boots}")

    def reboot(self):
        """A power loss; the agent comes first."""
        self.stop(signal.SIGKILL)
        self.power_off()
        self.start()

    # ---- what is seen ----

    def runs(self, *objects):
        """From files, through us."""
        for o in objects:
            self.local(o)
        if not self.child:
            self.start()
            self.wait_live()
        for o in objects:
            self.wait_file(o["metadata"]["name"])
            self.wait_state(o["metadata"]["name"], "Running")

    def part(self, name="one"):
        """What a row says of the controller's part."""
        return (self.row(name) or {}).get("controller") or {}

    def wait_part(self, name="one", **members):
        return self.wait_for(lambda: {k: self.part(name).get(k) for k in members} == members and self.row(name),
                             f"the controller's part of {name} to be {members}", LONG)

    def pods(self, name="one"):
        return self.world.theirs(name)

    def wait_pod(self, name="one", ready=None, bound=None, other_than=None):
        """The controller's pod; its name."""
        def there():
            for p in self.pods(name):
                conditions = {c["type"]: c["status"] for c in p["status"].get("conditions", [])}
                if p["metadata"]["name"] != other_than and not p["metadata"].get("deletionTimestamp") and \
                   ready in (None, conditions.get("Ready") == "True") and bound in (None, bool(p["spec"].get("nodeName"))):
                    return p["metadata"]["name"]
            return None
        return self.wait_for(there, f"the controller's pod of {name}", LONG)

    def wait_pods_known(self):
        """Until the agent has heard of as many bound pods as there are."""
        def known():
            bound = [p for p in listed(self.server, "Pod") if p["spec"].get("nodeName") == NODE]
            return self.resource(f"/pods?fieldSelector=spec.nodeName%3D{NODE}").get("objects") == len(bound)
        self.wait_for(known, "the bound pods to be known", LONG)

    def wait_named(self, name, reason, pod):
        """Until its row has this reason, and names the pod."""
        def named():
            row = self.row(name) or {}
            return row.get("reason") == reason and pod in row["message"] and row
        return self.wait_for(named, f"{name} to be {reason} for {pod}", LONG)

    def wait_handed_over(self, name="one", reason="HandedOver", pod=None):
        """Until its row says so, and names the pod; ours is gone then."""
        def over():
            row = self.row(name) or {}
            return (row.get("state"), row.get("reason")) == ("HandedOver", reason) and \
                (pod is None or pod in row["message"]) and row
        row = self.wait_for(over, f"{name} to be handed over", LONG)
        self.assertFalse(self.path(name).exists(), row)
        return row

    def wait_copies(self, static, api, name="one"):
        self.wait_for(lambda: self.world.copies(name) == (static, api), f"{static} static and {api} other pods of {name}", LONG)

    def fence(self):
        """Whatever was announced before has been looked at, and the server was asked once more if it is there."""
        self.fences = getattr(self, "fences", 0) + 1
        name = f"fence-{self.fences}"
        self.local(daemonset(name))
        self.wait_file(name)
        self.wait_reason(name, "Fits")

    def check_ours_stays(self, name="one"):
        before = self.path(name).read_bytes()
        with Writes(self.manifests) as writes:
            self.fence()
            self.fence()
            self.assertEqual(writes.of(self.path(name)), [])
        self.assertEqual(self.path(name).read_bytes(), before)

    def check_ours_stays_away(self, name="one"):
        with Writes(self.manifests) as writes:
            self.fence()
            self.fence()
            self.assertEqual(writes.of(self.path(name)), [])
        self.assertFalse(self.path(name).exists())

    def hands_over(self, o):
        """The ordinary way: from the file, then applied; its pod's name."""
        name = o["metadata"]["name"]
        self.runs(o)
        self.server.apply(o)
        self.wait_handed_over(name)
        self.wait_copies(0, 1, name)
        pod = self.wait_pod(name, ready=True)
        self.wait_handed_over(name, pod=pod)
        return pod

    def said(self, *args, status=None):
        p = self.run_(*args, node=False)
        if status is not None:
            self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        return p.stdout + p.stderr


class StandIn(HandoverHost):
    """The world without an agent: what is known of real kubelets, schedulers and controllers."""

    def tearDown(self):
        pass  # it is to go wrong here

    def manifest(self, uid, name="one", port=None):
        spec = with_port(name)["spec"]["template"]["spec"] if port else {"containers": [{"name": "main", "image": "a:1"}]}
        text = json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": {
            "name": name, "namespace": "kube-system", "uid": uid,
            "annotations": {"daemonlet.io/daemonset": f"kube-system/{name}"}}})
        (self.manifests / ".new").write_text(text)
        (self.manifests / ".new").rename(self.path(name))

    def go(self, steps=10):
        for _ in range(steps):
            self.world.step()

    def test_twins_without_host_ports_both_run(self):
        self.manifest("u1")
        self.server.apply(daemonset("one"))
        self.go()
        self.assertEqual(self.world.copies("one"), (1, 1))
        self.assertGreater(self.world.overlap("one"), 0)
        self.path("one").unlink()
        self.go()
        self.assertEqual(self.world.copies("one"), (0, 1))
        self.assertEqual(self.world.gap("one"), 0)
        self.assertEqual([p for p in listed(self.server, "Pod") if is_mirror(p)], [])

    def test_a_static_pod_with_the_port_leaves_theirs_unbound(self):
        self.manifest("u1", port=9100)
        self.go()
        self.server.apply(with_port("one"))
        self.go()
        self.assertEqual(self.world.copies("one"), (1, 0))
        [pod] = self.pods()
        self.assertEqual((pod["spec"].get("nodeName"), pod["status"]["phase"]), (None, "Pending"))
        self.path("one").unlink()
        self.go()
        self.assertEqual(self.world.copies("one"), (0, 1))
        self.assertEqual([p["metadata"]["name"] for p in self.pods()], [pod["metadata"]["name"]])
        self.assertGreater(self.world.gap("one"), 0)

    def test_the_second_with_the_port_is_refused_for_good(self):
        self.server.apply(with_port("one"))
        self.go()
        self.manifest("u1", port=9100)
        self.go()
        self.assertEqual((self.world.copies("one"), self.world.refused_static), ((0, 1), ["kube-system/one"]))
        self.server.delete("DaemonSet", "kube-system", "one")
        self.go()
        self.assertEqual(self.world.copies("one"), (0, 0))
        self.manifest("u2", port=9100)
        self.go()
        self.assertEqual(self.world.copies("one"), (1, 0))

    def test_a_kubelet_that_has_not_synced(self):
        """It starts new names, changes and stops nothing, and runs two of what changed before its start."""
        self.manifest("u1")
        self.go()
        self.server.stop()
        self.world.kubelet_starts()
        self.manifest("v1", "two")
        self.go()
        self.manifest("v2", "two")
        self.go()
        self.assertEqual(set(self.world.running), {"u1", "v1"})
        self.world.kubelet_starts()
        self.path("one").unlink()
        self.go()
        self.assertEqual(set(self.world.running), {"u1", "v1", "v2"})
        self.server.start()
        self.go()
        self.assertEqual(set(self.world.running), {"v2"})

    def test_a_kubelet_that_has_forgotten_theirs(self):
        """What it does not know is in nobody's way, and the port has two holders: that is seen."""
        self.server.apply(with_port("one"))
        self.go()
        self.server.stop()
        self.world.kubelet_starts()
        self.go()
        self.assertEqual((self.world.copies("one"), self.world.clashes), ((0, 1), []))
        self.manifest("u1", port=9100)
        self.go()
        self.assertEqual(self.world.copies("one"), (1, 1))
        self.assertIn("port 9100", self.world.clashes[0])

    def test_after_a_power_loss_theirs_is_refused_where_ours_has_the_port(self):
        self.server.apply(with_port("one"))
        self.go()
        [old] = self.pods()
        self.server.stop()
        self.world.power_off()
        self.manifest("u1", port=9100)
        self.go()
        self.assertEqual(self.world.copies("one"), (0, 0))
        self.world.kubelet_starts()
        self.go()
        self.assertEqual(self.world.copies("one"), (1, 0))
        self.assertTrue((self.kubelet_root / "pods" / old["metadata"]["uid"]).exists())
        self.server.start()
        self.go()
        [new] = self.pods()
        self.assertEqual(self.world.refused_api, [old["metadata"]["name"]])
        self.assertNotEqual(old["metadata"]["name"], new["metadata"]["name"])
        self.assertNotIn("nodeName", new["spec"])
        self.assertEqual((self.world.copies("one"), self.world.clashes), ((1, 0), []))
        self.assertFalse((self.kubelet_root / "pods" / old["metadata"]["uid"]).exists())

    def test_a_template_that_changes_and_a_pod_that_ends(self):
        self.server.apply(daemonset("one"))
        self.go()
        [first] = self.pods()
        self.assertEqual(first["status"]["conditions"][1], {"type": "Ready", "status": "True"})
        self.world.ends = False
        self.server.apply(daemonset("one", image="a:2"))
        self.go()
        [same] = self.pods()
        self.assertIn("deletionTimestamp", same["metadata"])
        self.assertEqual(self.world.copies("one"), (0, 0))
        self.world.ends = True
        self.go()
        [second] = self.pods()
        self.assertNotEqual(first["metadata"]["name"], second["metadata"]["name"])
        self.assertEqual(self.world.copies("one"), (0, 1))
        self.server.patch("Pod", "kube-system", second["metadata"]["name"], lambda o: o.update(status={"phase": "Failed"}))
        self.go()
        self.assertNotEqual(self.pods()[0]["metadata"]["name"], second["metadata"]["name"])
        self.server.apply(fenced("one"))
        self.go()
        self.assertEqual((self.pods(), self.world.copies("one")), ([], (0, 0)))


class There(HandoverHost):
    """File first, then the same in the server."""

    def test_without_host_ports(self):
        self.world.readiness = False
        self.runs(daemonset("one"))
        self.assertNotIn("controller", self.wait_reason("one", "Fits"))
        self.server.apply(as_stored(daemonset("one")))
        pod = self.wait_pod(ready=False, bound=True)
        self.wait_copies(1, 1)
        row = self.wait_part(daemonset="Runs", pod=pod, podState="Bound", runs="both", difference=None, blind=None)
        self.assertEqual((row["state"], row["reason"]), ("Running", "HandingOver"))
        self.assertIn(pod, row["message"])
        self.check_ours_stays()
        self.world.readiness = True
        row = self.wait_handed_over(pod=pod)
        self.assertNotIn("differ", row["message"])
        self.wait_copies(0, 1)
        self.wait_part(daemonset="Runs", pod=pod, podState="Ready", runs="controller")
        self.assertRegex(self.log(), rf"hand-over daemonlet_kube-system_one.json: .*{pod}")
        self.assertEqual([c for c, _ in self.world.course("one")], [(1, 0), (1, 1), (0, 1)])
        self.assertEqual(self.world.gap("one"), 0)
        self.assertGreater(self.world.overlap("one"), 0)
        self.check_ours_stays_away()
        self.assertEqual(self.said("status", status=0).count("HandedOver"), 2)  # the state and the reason

    def test_with_host_ports(self):
        self.runs(with_port("one"))
        self.world.ends = False
        self.server.apply(as_stored(with_port("one")))
        pod = self.wait_pod(bound=False)
        self.wait_handed_over(pod=pod)
        self.wait_copies(0, 0)
        self.wait_part(daemonset="Runs", pod=pod, podState="Unbound")
        self.check_ours_stays_away()
        self.assertEqual(self.wait_pod(), self.wait_pod(bound=False))
        self.world.ends = True
        self.wait_copies(0, 1)
        self.wait_part(pod=pod, podState="Ready", runs="controller")
        self.assertEqual([c for c, _ in self.world.course("one")], [(1, 0), (0, 0), (0, 1)])
        self.assertEqual(self.world.overlap("one"), 0)
        self.assertEqual(self.world.refused_api, [])

    def test_what_the_file_says_of_it(self):
        """The annotation is the file's, and the server's copy need not have it."""
        self.runs(daemonset("never", meta=handoff("never")), with_port("exists", meta=handoff("exists")),
                  daemonset("early", meta=handoff("exists")), daemonset("ready", meta=handoff("ready")))
        self.world.readiness = False
        for name in ("never", "early", "ready"):
            self.server.apply(daemonset(name))
        self.server.apply(with_port("exists"))
        self.wait_handed_over("exists")
        self.wait_handed_over("early", pod=self.wait_pod("early", ready=False))
        self.wait_part("ready", podState="Bound", runs="both")
        self.wait_part("never", daemonset="Runs", runs="both")
        self.check_ours_stays("ready")
        self.world.readiness = True
        self.wait_handed_over("ready", pod=self.wait_pod("ready", ready=True))
        self.wait_pod("never", ready=True)
        self.check_ours_stays("never")
        self.assertEqual(self.row("never")["state"], "Running")
        self.assertEqual(self.world.gap("ready"), 0)
        # The word counts when it is said.
        self.local(daemonset("never"))
        self.wait_handed_over("never")
        self.local(daemonset("never", meta=handoff("never")))
        self.wait_file("never")
        self.wait_copies(1, 1, "never")

    def test_ready_with_host_ports_waits_for_ever(self):
        self.runs(with_port("one", meta=handoff("ready")))
        self.server.apply(with_port("one"))
        row = self.wait_part(pod=self.wait_pod(bound=False), podState="Unbound", runs="daemonlet")
        self.assertEqual((row["state"], row["reason"]), ("Running", "HandingOver"))
        self.check_ours_stays()
        self.assertEqual(self.world.copies("one"), (1, 0))

    def test_no_word(self):
        self.runs(daemonset("one"))
        self.local(daemonset("two", meta=handoff("perhaps")))
        self.assertIn("daemonlet.io/handoff", self.wait_state("two", "Invalid")["message"])

    def test_the_controller_has_no_pod_here(self):
        """It is in charge, and will have none: by a label of the Node."""
        self.world.controllers = False
        self.runs(daemonset("one"))
        self.server.apply(daemonset("one"))
        row = self.wait_part(daemonset="Runs", pod=None, runs="daemonlet")
        self.assertEqual(row["reason"], "HandingOver")
        self.check_ours_stays()
        self.world.controllers = True
        self.wait_handed_over()

    def test_the_next_cluster_knows_it_already(self):
        """A file where the controller runs the pod: nothing is ever written."""
        self.runs(daemonset("other"))
        for o in (daemonset("one"), with_port("two")):
            name = o["metadata"]["name"]
            self.server.apply(o)
            pod = self.wait_pod(name, ready=True)
            self.wait_pods_known()
            with Writes(self.manifests) as writes:
                self.local(o)
                self.wait_handed_over(name, pod=pod)
                self.fence()
                self.assertEqual(writes.of(self.path(name)), [])
        # The same for an agent that finds both.
        self.stop()
        self.server.apply(daemonset("three"))
        self.wait_pod("three", ready=True)
        self.local(daemonset("three"))
        with Writes(self.manifests) as writes:
            self.start()
            for name in ("one", "two", "three"):
                self.wait_handed_over(name)
            self.assertEqual(writes.names, [])
            self.assertEqual([n for n in writes.read() if "fence" not in n], [])

    def test_an_answer_is_awaited_but_no_server(self):
        """A slow answer is waited for; where nobody answers, ours is written."""
        self.runs(daemonset("other"))
        slow = self.server.fault("daemonsets.*metadata.name", "silent", times=None)
        with Writes(self.manifests) as writes:
            self.local(daemonset("one"))
            self.wait_reason("one", "ControllerAwaited")
            self.assertEqual(writes.of(self.path("one")), [])
        self.server.remove_fault(slow)
        self.server_stops()
        self.wait_file("one")
        self.wait_copies(1, 0)

    def test_a_refused_way_of_asking_is_no_answer(self):
        """A server that knows no streaming lists is asked in another way: till then nothing has come of it."""
        self.local(daemonset("one"))
        listed = "daemonsets.*metadata.name%3Done(?!.*sendInitialEvents)"
        self.server.fault(listed, "silent", times=None)
        with Writes(self.manifests) as writes:
            self.start()
            self.server.wait_for(lambda: self.server.find(listed))
            self.wait_reason("one", "ControllerAwaited")
            self.local(daemonset("other"))
            self.wait_file("other")
            self.assertEqual(writes.of(self.path("one")), [])
        self.assertEqual([r.get("problem", "") for r in self.api()["resources"]], [""] * len(self.api()["resources"]))
        self.wait_for(lambda: self.path("one").exists(), "ours", LONG)

    def test_an_answer_that_never_comes(self):
        """The server is there and says nothing: ours is not kept waiting for ever."""
        self.runs(daemonset("other"))
        self.server.fault("daemonsets.*metadata.name", "silent", times=None)
        self.local(daemonset("one"))
        self.wait_reason("one", "ControllerAwaited")
        self.wait_for(lambda: self.path("one").exists(), "ours", LONG)
        self.wait_copies(1, 0)

    def test_all_at_once(self):
        """That is no mass removal, and no removal waits."""
        self.set_agent(agent={"removal_delay": "10m"})
        names = ["a", "b", "c", "d"]
        self.runs(*(daemonset(n, meta=handoff("exists")) for n in names))
        with self.server.lock:
            for n in names:
                self.server.apply(daemonset(n))
        for n in names:
            self.wait_handed_over(n)

    def test_a_pod_that_failed_is_none(self):
        self.runs(daemonset("one", meta=handoff("exists")))
        self.world.controllers = False
        self.server.apply(daemonset("one"))
        pod = self.world.pod_of(self.server.get("DaemonSet", "kube-system", "one"))
        pod["spec"]["nodeName"], pod["status"] = NODE, {"phase": "Failed"}
        self.server.apply(pod)
        self.wait_part(daemonset="Runs")
        self.check_ours_stays()
        self.world.controllers = True
        self.wait_handed_over()

    @staticmethod
    def field_of(pod):
        terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        return terms[0]["matchFields"][0]

    def test_pods_of_others_are_none(self):
        """A mirror pod of ours, a Job's, those of another node, and a plain one of a fitting name."""
        self.runs(daemonset("one", meta=handoff("exists")))
        self.world.controllers = False
        stored = self.server.apply(daemonset("one"))
        for change in (lambda o: o["metadata"].update(ownerReferences=[]),
                       lambda o: o["metadata"]["ownerReferences"][0].update(kind="Job", apiVersion="batch/v1"),
                       lambda o: o["metadata"]["ownerReferences"][0].update(kind="ReplicaSet"),
                       lambda o: o["metadata"]["ownerReferences"][0].update(name="two"),
                       lambda o: o["spec"].update(nodeName="node-b"),
                       lambda o: (o["spec"].pop("nodeName"), self.field_of(o).update(values=["node-b"])),
                       lambda o: (o["spec"].pop("nodeName"), self.field_of(o).update(operator="NotIn"))):
            pod = self.world.pod_of(stored)
            pod["spec"]["nodeName"] = NODE
            change(pod)
            self.server.apply(pod)
        self.wait_part(daemonset="Runs", pod=None)
        self.check_ours_stays()
        self.assertIsNone(self.part().get("pod"))

    def test_another_namespace(self):
        """It is none of those whose DaemonSets are followed."""
        self.local(daemonset("one", "monitoring"))
        self.start()
        self.wait_file("one", namespace="monitoring")
        self.wait_for(lambda: self.world.copies("one", "monitoring") == (1, 0), "ours", LONG)
        self.server.apply(daemonset("one", "monitoring"))
        self.wait_for(lambda: (self.row("one", "monitoring") or {}).get("state") == "HandedOver", "the hand-over", LONG)
        self.assertFalse(self.path("one", "monitoring").exists())
        self.wait_for(lambda: self.world.copies("one", "monitoring") == (0, 1), "theirs", LONG)

    def test_two_of_one_name(self):
        """In two namespaces; one is applied."""
        for namespace in ("kube-system", "monitoring"):
            self.local(daemonset("one", namespace), namespace)
        self.start()
        self.wait_file("one")
        self.wait_file("one", namespace="monitoring")
        self.server.apply(daemonset("one", "monitoring"))
        self.wait_for(lambda: (self.row("one", "monitoring") or {}).get("state") == "HandedOver", "the hand-over", LONG)
        self.check_ours_stays()
        self.assertNotIn("controller", self.row("one"))


class Away(HandoverHost):
    """While the controller runs it."""

    def test_agent_restarts(self):
        pods = {o["metadata"]["name"]: self.hands_over(o) for o in (daemonset("one"), with_port("two"))}
        with Writes(self.manifests) as writes:
            for how in (signal.SIGTERM, signal.SIGKILL):
                self.agent_restarts(how)
                for name, pod in pods.items():
                    self.wait_handed_over(name, pod=pod)
                self.check_ours_stays_away()
            self.server_stops()
            for how in (signal.SIGTERM, signal.SIGKILL):
                self.agent_restarts(how)
                for name, pod in pods.items():
                    self.wait_handed_over(name, pod=pod)
                self.check_ours_stays_away()
                self.check_ours_stays_away("two")
            for name in pods:
                self.assertEqual(writes.of(self.path(name)), [])
        self.server_returns()
        for name, pod in pods.items():
            self.wait_handed_over(name, pod=pod)

    def test_the_kubelet_restarts_without_server(self):
        """It does not know their pod; but that runs."""
        pod = self.hands_over(with_port("one"))
        self.server_stops()
        self.kubelet_restarts()
        self.wait_copies(0, 1)
        self.check_ours_stays_away()
        self.agent_restarts()
        self.wait_handed_over(pod=pod)
        self.check_ours_stays_away()
        self.server_returns()
        self.wait_for(lambda: self.world.kubelet.synced, "the kubelet to sync")
        self.check_ours_stays_away()
        self.assertEqual(self.world.copies("one"), (0, 1))

    def test_a_rolling_update(self):
        for o in (daemonset("one"), with_port("two")):
            name = o["metadata"]["name"]
            pod = self.hands_over(o)
            self.world.ends = False
            o["spec"]["template"]["spec"]["containers"][0]["image"] = "a:2"
            with Writes(self.manifests) as writes:
                self.server.apply(o)
                self.wait_copies(0, 0, name)
                self.fence()
                self.assertEqual(self.row(name)["state"], "HandedOver")
                self.world.ends = True
                new = self.wait_pod(name, ready=True, other_than=pod)
                self.wait_copies(0, 1, name)
                self.wait_handed_over(name, pod=new)
                self.fence()
                self.assertEqual(writes.of(self.path(name)), [])

    def test_their_pod_is_deleted_or_fails(self):
        pod = self.hands_over(daemonset("one"))
        with Writes(self.manifests) as writes:
            self.world.delete_pod(self.pods()[0])
            new = self.wait_pod(ready=True, other_than=pod)
            self.wait_handed_over(pod=new)
            self.server.patch("Pod", "kube-system", new, lambda o: o.update(status={"phase": "Failed", "reason": "Evicted"}))
            self.wait_handed_over(pod=self.wait_pod(ready=True, other_than=new))
            self.fence()
            self.assertEqual(writes.of(self.path("one")), [])

    def test_two_of_theirs(self):
        """As with maxSurge: one of them is enough."""
        first = self.hands_over(daemonset("one"))
        self.world.controllers = False
        with Writes(self.manifests) as writes:
            pod = self.world.pod_of(self.server.get("DaemonSet", "kube-system", "one"))
            pod["spec"]["nodeName"], second = NODE, pod["metadata"]["name"]
            self.server.apply(pod)
            self.wait_copies(0, 2)
            self.world.delete_pod(self.server.get("Pod", "kube-system", first))
            self.wait_copies(0, 1)
            self.wait_handed_over(pod=second)
            self.fence()
            self.assertEqual(writes.of(self.path("one")), [])

    def test_the_file_changes_or_goes(self):
        pod = self.hands_over(daemonset("one"))
        with Writes(self.manifests) as writes:
            self.local(daemonset("one", image="b:1"))
            self.wait_for(lambda: "image" in self.part().get("difference", ""), "the difference")
            self.wait_handed_over(pod=pod)
            (self.sources / "one.json").unlink()
            self.wait_for(lambda: self.row("one") is None, "its row to go")
            self.fence()
            self.local(daemonset("one"))
            self.wait_handed_over(pod=pod)
            self.assertEqual(writes.of(self.path("one")), [])

    def test_operators(self):
        pod = self.hands_over(daemonset("one"))
        with Writes(self.manifests) as writes:
            p = self.run_("restart", "kube-system/one", node=False)
            self.assertNotEqual(p.returncode, 0, p.stdout)
            for argument in ("--rerender", "--confirm"):
                self.run_("sync", argument, node=False)
            self.run_("sync", "--now", "kube-system/one", node=False)
            self.fence()
            self.wait_handed_over(pod=pod)
            self.assertEqual(writes.of(self.path("one")), [])

    def test_their_pod_has_the_port_that_another_one_wants(self):
        """Our kubelet would refuse it for good."""
        self.hands_over(with_port("one"))
        self.local(with_port("two"))
        self.wait_for(lambda: self.row("two") and self.row("two")["reason"] in ("PortConflict", "WaitingForPort"), "its wait")
        self.check_ours_stays_away("two")
        self.world.ends = False
        self.server.delete("DaemonSet", "kube-system", "one")
        self.wait_reason("one", "ControllerEnding")
        self.check_ours_stays_away("two")
        self.world.ends = True
        self.wait_copies(1, 0)
        self.check_ours_stays_away("two")

    def test_a_node_that_fits_no_more(self):
        self.server.apply(node({"disk": "ssd"}))
        o = daemonset("one", nodeSelector={"disk": "ssd"})
        pod = self.hands_over(o)
        with Writes(self.manifests) as writes:
            self.server.set_labels("Node", "", NODE, {"disk": "hdd"})
            self.wait_copies(0, 0)
            self.wait_reason("one", "NodeSelectorMismatch")
            self.server.set_labels("Node", "", NODE, {"disk": "ssd"})
            new = self.wait_pod(ready=True, other_than=pod)
            self.wait_handed_over(pod=new)
            self.fence()
            self.assertEqual(writes.of(self.path("one")), [])

    def test_answers_that_lack_something(self):
        """A list without it is believed; but then theirs runs still, and has the port."""
        pod = self.hands_over(with_port("one"))
        with Writes(self.manifests) as writes:
            for pattern in ("/pods[?]", "daemonsets[?].*metadata.name%3Done"):
                for kind, arguments in (("empty_list", {}), ("status", {"code": 500}), ("status", {"code": 403}), ("garbage", {}),
                                        ("status", {"code": 404}), ("half", {})):
                    fault = self.server.fault(f"GET .*{pattern}", kind, **arguments)
                    self.server.compact()
                    self.wait_hurried(lambda: self.server.expire_watches(pattern) or fault.used, f"a watch of {pattern}")
                    self.wait_hurried(lambda: fault.used, f"{kind} of {pattern}")
                    self.fence()
                    self.wait_all_live()
                    self.assertEqual(writes.of(self.path("one")), [], (pattern, kind, arguments))
            self.wait_handed_over(pod=pod)

    def test_the_agent_has_no_server_any_more(self):
        """By configuration. Their pod is seen to run."""
        self.hands_over(with_port("one"))
        with Writes(self.manifests) as writes:
            self.set_agent(api={"kubeconfig": "none"})
            self.hurry()
            self.wait_for(lambda: not self.api(), "the server to be forgotten")
            self.fence()
            self.agent_restarts()
            self.fence()
            self.assertEqual(writes.of(self.path("one")), [])

    def test_its_files_go_and_come(self):
        self.source("settings.json", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"key": "value"},
                                      "metadata": {"name": "settings", "namespace": "kube-system"}})
        o = daemonset("one", volumes=[{"name": "v", "configMap": {"name": "settings"}}], containers=[
            {"name": "main", "image": "a:1", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}])

        def file():
            return pathlib.Path(self.pod("one")["spec"]["volumes"][0]["hostPath"]["path"]) / "key"
        self.runs(o)
        old = file()
        self.assertEqual(old.read_text(), "value")
        self.world.ends = False
        self.server.apply(o)
        self.wait_handed_over()
        self.fence()
        self.assertEqual(old.read_text(), "value")  # its pod has not ended
        self.world.ends = True
        self.wait_for(lambda: not old.exists(), "its files to go", LONG)
        with Writes(self.state / "volumes") as writes:
            self.agent_restarts()
            self.wait_handed_over()
            self.fence()
            self.assertEqual(writes.read(), [])
        self.assertFalse(old.exists())
        self.server.delete("DaemonSet", "kube-system", "one")
        self.wait_file("one")
        self.assertEqual(file().read_text(), "value")

    def test_the_server_leaves_for_a_moment(self):
        pod = self.hands_over(daemonset("one"))
        with Writes(self.manifests) as writes:
            for _ in range(3):
                self.server_stops()
                self.fence()
                self.server_returns()
                self.wait_handed_over(pod=pod)
            self.assertEqual(writes.of(self.path("one")), [])
        self.assertEqual([c for c, _ in self.world.course("one")], [(1, 0), (1, 1), (0, 1)])


class Reboots(HandoverHost):
    def comes_back(self, *names):
        """After a power loss, before there is a kubelet, and then with it."""
        self.server_stops()
        self.reboot()
        for name in names:
            self.wait_file(name)
        self.assertFalse(self.world.kubelet.is_up)
        self.boot_kubelet(600 + self.boots)
        for name in names:
            self.wait_copies(1, 0, name)
            self.wait_state(name, "Running")

    def test_without_host_ports(self):
        pod = self.hands_over(daemonset("one"))
        self.comes_back("one")
        self.assertRegex(self.log(), "daemonlet_kube-system_one.json: taken back: the host was restarted")
        self.world.readiness = False
        self.server.start()
        self.hurry()
        # The status of their pod says Ready until the kubelet has looked.
        self.wait_copies(1, 1)
        self.wait_part(pod=pod, podState="Bound", runs="both")
        self.check_ours_stays()
        self.world.readiness = True
        self.wait_handed_over(pod=pod)
        self.wait_copies(0, 1)
        self.check_ours_stays_away()
        self.comes_back("one")

    def test_with_host_ports(self):
        """The kubelet refuses their pod, as ours has the port; the controller makes another one."""
        pod = self.hands_over(with_port("one"))
        self.comes_back("one")
        self.server_returns()
        new = self.wait_pod(ready=True, other_than=pod)
        self.wait_handed_over(pod=new)
        self.wait_copies(0, 1)
        self.assertEqual(self.world.refused_api, [pod])
        self.check_ours_stays_away()

    def test_the_server_is_there(self):
        """Before the kubelet: it is asked, and theirs will run."""
        pod = self.hands_over(with_port("one"))
        self.reboot()
        self.wait_live()
        self.wait_handed_over(pod=pod)
        self.boot_kubelet(600)
        self.wait_copies(0, 1)
        self.assertEqual(self.wait_pod(ready=True), pod)
        self.check_ours_stays_away()

    def test_the_kubelet_has_not_synced(self):
        self.hands_over(with_port("one"))
        self.comes_back("one")
        self.world.kubelet.reaches = False
        self.server_returns()
        self.wait_reason("one", "HandingOver")  # theirs is bound since before, and would be refused
        self.check_ours_stays()
        self.world.kubelet.reaches = True
        self.wait_handed_over()
        self.wait_copies(0, 1)


class Unheld(HandoverHost):
    hold = "no"

    def test_a_status_of_before_the_reboot(self):
        """The server says Ready of a pod that is not there."""
        pod = self.hands_over(daemonset("one"))
        uid = self.pods()[0]["metadata"]["uid"]
        self.server_stops()
        self.reboot()
        self.wait_file("one")
        self.world.kubelet.reaches = False
        self.pod_ends(uid)
        self.boot_kubelet(600)
        self.wait_copies(1, 0)
        self.server_returns()
        self.wait_part(pod=pod, podState="Ready", runs="daemonlet")
        self.check_ours_stays()
        self.world.kubelet.reaches = True
        self.wait_handed_over(pod=pod)
        self.wait_copies(0, 1)
        self.assertEqual([c for c, _ in self.world.course("one")][-3:], [(1, 0), (1, 1), (0, 1)])


class Holds(HandoverHost):
    def test_a_kubelet_that_has_not_synced(self):
        self.world.kubelet.reaches = False
        self.runs(with_port("one"), daemonset("two", meta=handoff("exists")))
        self.server.apply(with_port("one"))
        self.server.apply(daemonset("two"))
        # Without a mirror of ours theirs is bound, and such a kubelet would refuse it.
        for name, state, reason in ("one", "Running", "HandingOver"), ("two", "Held", "ApiNotSynced"):
            row = self.wait_named(name, reason, self.wait_pod(name))
            self.assertEqual(row["state"], state)
            self.check_ours_stays(name)
        self.agent_restarts()
        self.wait_reason("two", "ApiNotSynced")
        self.check_ours_stays()
        self.world.kubelet.reaches = True
        for name in ("one", "two"):
            self.wait_handed_over(name)
            self.wait_copies(0, 1, name)

    def test_what_was_pending_is_over(self):
        """Their pod goes before the hold does: nothing was handed over."""
        self.world.kubelet.reaches = False
        self.runs(daemonset("one", meta=handoff("exists")))
        self.server.apply(daemonset("one"))
        self.wait_reason("one", "ApiNotSynced")
        self.world.controllers = False
        self.assertTrue(self.server.delete("Pod", "kube-system", self.wait_pod()))
        self.wait_reason("one", "HandingOver")
        self.agent_restarts()
        self.wait_reason("one", "HandingOver")
        self.world.kubelet.reaches = True
        self.wait_for(lambda: self.world.kubelet.synced, "the kubelet to sync")
        self.check_ours_stays()

    def test_an_operator_says_now(self):
        self.world.kubelet.reaches = False
        self.runs(daemonset("one", meta=handoff("exists")))
        self.server.apply(daemonset("one"))
        self.wait_reason("one", "ApiNotSynced")
        self.sync("--now", "kube-system/one", node=False)
        self.wait_handed_over()


class Back(HandoverHost):
    """The DaemonSet is deleted in the server."""

    def delete(self, name="one"):
        self.assertTrue(self.server.delete("DaemonSet", "kube-system", name))

    def test_without_host_ports(self):
        self.hands_over(daemonset("one"))
        self.world.ends = False
        self.delete()
        self.wait_file("one")
        self.world.ends = True
        self.wait_copies(1, 0)
        self.wait_state("one", "Running")
        self.assertRegex(self.log(), "daemonlet_kube-system_one.json: taken back: .*deleted in the API server")
        self.wait_for(lambda: "controller" not in self.row("one"), "their pod to be forgotten")
        # And again.
        self.server.apply(daemonset("one"))
        self.wait_handed_over()
        self.wait_copies(0, 1)

    def test_with_host_ports(self):
        pod = self.hands_over(with_port("one"))
        self.world.ends = False
        self.delete()
        row = self.wait_reason("one", "ControllerEnding")
        self.assertIn(pod, row.get("controller", {}).get("pod", row["message"]))
        self.check_ours_stays_away()
        self.agent_restarts()
        self.wait_reason("one", "ControllerEnding")
        self.check_ours_stays_away()
        self.world.ends = True
        self.wait_for(lambda: self.path("one").exists(), "ours", LONG)
        self.wait_copies(1, 0)
        self.wait_state("one", "Running")
        self.assertEqual(self.world.overlap("one"), 0)

    def test_while_the_agent_is_away(self):
        self.hands_over(daemonset("one"))
        self.stop()
        self.delete()
        self.start()
        self.wait_file("one")
        self.wait_copies(1, 0)

    def test_deleted_and_applied_again(self):
        """kubectl replace --force."""
        pod = self.hands_over(with_port("one"))
        self.delete()
        self.server.apply(with_port("one"))
        self.wait_handed_over(pod=self.wait_pod(ready=True, other_than=pod))
        self.wait_copies(0, 1)

    def test_their_pod_is_left_behind(self):
        """kubectl delete --cascade=orphan: it runs on, and is nobody's."""
        self.hands_over(with_port("one"))
        with self.server.lock:
            self.server.patch("Pod", "kube-system", self.wait_pod(), lambda o: o["metadata"].pop("ownerReferences"))
            self.delete()
        self.wait_reason("one", "ControllerEnding")
        self.check_ours_stays_away()
        self.assertEqual(self.world.copies("one"), (0, 1))
        [pod] = [p for p in listed(self.server, "Pod") if p["metadata"]["name"].startswith("one-") and not is_mirror(p)]
        self.world.delete_pod(pod)
        self.wait_for(lambda: self.path("one").exists(), "ours", LONG)
        self.wait_copies(1, 0)

    def stopped(self, *objects):
        self.set_agent(daemonsets={"dir": self.sources, "on_api_deleted": "stop"})
        for o in objects:
            self.hands_over(o)
        for o in objects:
            self.delete(o["metadata"]["name"])
            self.wait_reason(o["metadata"]["name"], "DeletedInApi")
            self.wait_copies(0, 0, o["metadata"]["name"])

    def test_it_stays_stopped(self):
        self.stopped(daemonset("one"), with_port("two"))
        with Writes(self.manifests) as writes:
            self.agent_restarts()
            self.wait_reason("one", "DeletedInApi")
            self.check_ours_stays_away()
            self.server_stops()
            self.agent_restarts(signal.SIGKILL)
            self.wait_reason("one", "DeletedInApi")
            self.check_ours_stays_away()
            self.reboot()
            self.wait_reason("one", "DeletedInApi")
            self.boot_kubelet(600)
            self.check_ours_stays_away()
            self.wait_reason("two", "DeletedInApi")
            self.server_returns()
            self.wait_part(daemonset="Absent", runs="nobody")
            self.check_ours_stays_away()
            self.server.apply(daemonset("one"))
            self.wait_handed_over(pod=self.wait_pod(ready=True))
            self.wait_copies(0, 1)
            for name in ("one", "two"):
                self.assertEqual(writes.of(self.path(name)), [])
        # The other one: the key is taken away.
        self.set_agent()
        self.hurry()
        self.wait_file("two")
        self.wait_copies(1, 0, "two")
        self.assertEqual(self.world.copies("one"), (0, 1))

    def test_the_file_goes_and_comes(self):
        self.stopped(daemonset("one"))
        (self.sources / "one.json").unlink()
        self.wait_for(lambda: self.row("one") is None, "its row to go")
        self.local(daemonset("one"))
        self.wait_file("one")
        self.wait_copies(1, 0)

    def test_deleted_before_it_was_handed_over(self):
        """Ours ran all the time: it is not stopped."""
        self.set_agent(daemonsets={"dir": self.sources, "on_api_deleted": "stop"})
        self.world.controllers = False
        self.runs(daemonset("one"))
        self.server.apply(daemonset("one"))
        self.wait_part(daemonset="Runs")
        self.delete()
        self.wait_for(lambda: not self.part(), "the news")
        self.check_ours_stays()


class Rights(HandoverHost):
    """What an identity may not see."""

    def test_the_kubelets_own(self):
        self.server.kubeconfig(self.kubelet_kubeconfig, user=f"system:node:{NODE}", groups=["system:nodes"])
        self.server.node_authorizer = True
        self.set_agent(api={"kubeconfig": None})
        self.runs(daemonset("one"), with_port("two"))
        self.assertEqual(self.api()["identity"], "kubelet")
        self.server.apply(daemonset("one"))
        self.server.apply(with_port("two"))
        self.wait_handed_over("one", pod=self.wait_pod("one", ready=True))
        self.wait_copies(0, 1, "one")
        self.assertEqual(self.world.gap("one"), 0)
        self.wait_part("one", daemonset="Unknown", podState="Ready", runs="controller")
        self.wait_pod("two", bound=False)
        blind = self.wait_part("two", daemonset="Unknown", runs="daemonlet")["controller"]["blind"]
        self.assertIn("pods", blind)
        self.assertIn(blind, self.said("status"))
        self.assertIn(blind, self.said("explain", "kube-system/two"))
        self.check_ours_stays("two")
        self.assertEqual(self.world.copies("two"), (1, 0))
        # Nothing else was asked for than it may see.
        self.assertEqual([r for r in self.server.find("/pods") if "spec.nodeName%3D" not in r.target], [])
        self.assertEqual(self.server.count("/daemonsets"), 0)
        self.agent_restarts()
        self.wait_handed_over("one")

    RULES = [{"apiGroups": [""], "resources": ["nodes"], "resourceNames": [NODE], "verbs": ["get", "list", "watch"]},
             {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
             {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get", "list", "watch"]}]

    def allow(self, *rules):
        role = {"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [*self.RULES, *rules]}
        self.server.rules = None
        self.server.apply_rbac(role, {"kind": "ClusterRoleBinding", "metadata": {"name": "r"},
                                      "roleRef": {"kind": "ClusterRole", "name": "r"},
                                      "subjects": [{"kind": "User", "name": f"daemonlet:{NODE}"}]})

    def test_no_right_to_pods(self):
        self.allow()
        self.local(daemonset("one"))
        self.start()
        self.wait_file("one")
        self.wait_copies(1, 0)
        self.server.apply(daemonset("one"))
        self.wait_pod(ready=True)
        row = self.wait_part(daemonset="Runs", runs="daemonlet")
        self.assertEqual((row["state"], row["reason"]), ("Running", "HandingOver"))
        blind = row["controller"]["blind"]
        self.assertIn("pods", blind)
        self.assertIn(blind, row["message"])
        self.assertIn(blind, self.said("status"))
        self.check_ours_stays()
        self.allow({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]})
        self.wait_hurried(lambda: (self.row("one") or {}).get("state") == "HandedOver", "the hand-over")
        self.wait_handed_over()
        self.wait_part(blind=None)
        self.assertEqual(self.world.gap("one"), 0)

    def test_what_rbac_prints_is_enough(self):
        f = self.dir / "rbac.json"
        f.write_text(json.dumps([daemonset("one"), with_port("two")][0]) + "\n---\n" + json.dumps(with_port("two")))
        self.set_node(node())
        p = self.run_("rbac", "-o", "json", f)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.server.apply_rbac(json.loads(p.stdout))
        self.kubeconfig = self.server.kubeconfig(self.dir / "kubeconfig", groups=["daemonlet:nodes"])
        for o in (daemonset("one"), with_port("two")):
            self.hands_over(o)
        self.assertEqual(self.server.find("", 403), [])


class Fence(HandoverHost):
    """DaemonSets of the server that run through us, until they do not."""

    def served(self, *objects):
        for o in objects:
            self.server.apply(o)
        self.start()
        self.wait_live()
        for o in objects:
            self.wait_file(o["metadata"]["name"])
            self.wait_state(o["metadata"]["name"], "Running")

    def fenced_port(self, name):
        return fenced(name, **copy.deepcopy(PORT))

    def test_fence_and_label_are_taken_away(self):
        self.world.readiness = False
        self.served(fenced("one"), self.fenced_port("two"))
        self.assertEqual(self.pods(), [])
        self.server.apply(daemonset("one"))
        self.wait_copies(1, 1)
        self.wait_part(daemonset="Runs", podState="Bound", runs="both")
        self.check_ours_stays()
        self.world.readiness = True
        self.wait_handed_over(reason="HandedBack", pod=self.wait_pod(ready=True))
        self.assertEqual(self.world.gap("one"), 0)
        self.server.apply(with_port("two"))
        self.wait_handed_over("two", reason="HandedBack")
        self.wait_copies(0, 1, "two")
        self.agent_restarts()
        self.wait_for(lambda: (self.row("one") or {}).get("state") in (None, "HandedOver"), "it to stay away")
        self.check_ours_stays_away()

    def test_only_the_label_is_taken_away(self):
        self.served(fenced("one"))
        self.server.apply(fenced("one", meta={"labels": {"other": "yes"}}))
        self.wait_for(lambda: not self.path("one").exists(), "ours to go")
        self.wait_copies(0, 0)
        self.assertEqual(self.pods(), [])

    def test_only_the_fence_is_taken_away(self):
        self.world.readiness = False
        self.served(fenced("one"), self.fenced_port("two"))
        self.server.apply(daemonset("one", meta=STATIC))
        self.wait_copies(1, 1)
        self.wait_part(daemonset="Runs", podState="Bound", runs="both")
        self.check_ours_stays()
        self.world.readiness = True
        self.wait_handed_over(reason="HandedBack", pod=self.wait_pod(ready=True))
        self.assertEqual(self.world.gap("one"), 0)
        self.server.apply(with_port("two", meta=STATIC))
        self.wait_handed_over("two", reason="HandedBack")
        self.wait_copies(0, 1, "two")
        # And back again.
        self.world.ends = False
        self.server.apply(fenced("one"))
        self.wait_file("one")
        self.server.apply(self.fenced_port("two"))
        self.wait_reason("two", "ControllerEnding")
        self.check_ours_stays_away("two")
        self.world.ends = True
        for name in ("one", "two"):
            self.wait_for(lambda: self.path(name).exists(), f"ours of {name}", LONG)
            self.wait_copies(1, 0, name)

    def test_all_at_once(self):
        names = ["a", "b", "c"]
        self.served(*(fenced(n) for n in names))
        with self.server.lock:
            for n in names:
                self.server.apply(daemonset(n))
        for n in names:
            self.wait_copies(0, 1, n)
            self.assertFalse(self.path(n).exists())
            self.assertEqual(self.world.gap(n), 0)

    def test_a_file_of_the_same_name(self):
        """It counts when the server's copy runs through us no more; the controller does not need it."""
        self.local(daemonset("one"))
        self.served(fenced("one"))
        self.wait_for(lambda: self.row("one")["source"] == "api", "the server's copy to count")
        self.server.apply(daemonset("one"))
        self.wait_handed_over(pod=self.wait_pod(ready=True), reason="HandedOver")
        self.server.apply(fenced("one"))
        self.wait_file("one")
        self.wait_copies(1, 0)
        self.wait_for(lambda: (self.row("one")["reason"], self.row("one")["source"]) == ("Fits", "api"), "the server's copy to count")


class Differences(HandoverHost):
    def test_another_image(self):
        self.runs(daemonset("one"))
        self.server.apply(as_stored(daemonset("one", image="a:2")))
        self.wait_handed_over()
        difference = self.wait_part(runs="controller")["controller"]["difference"]
        for word in ("image", "registry.example.com/a:1", "a:2"):
            self.assertIn(word, difference)
        self.assertIn(difference, self.said("status", status=0))
        self.server.apply(as_stored(daemonset("one")))
        self.wait_part(difference=None, runs="controller")

    def after_a_reboot(self):
        self.runs(daemonset("one", image="a:1"))
        self.server.apply(as_stored(daemonset("one", image="a:2")))
        self.wait_handed_over()
        self.wait_part(podState="Ready")
        self.server_stops()
        self.reboot()
        self.wait_file("one")
        image = self.image()
        self.boot_kubelet(600)
        self.wait_copies(1, 0)
        self.fence()
        self.assertEqual(self.image(), image)
        return image

    def test_the_file_is_followed(self):
        self.set_agent(daemonsets={"dir": self.sources, "follow_api": "no"})
        self.assertEqual(self.after_a_reboot(), "a:1")

    def test_what_stands_is_not_changed_for_the_server(self):
        self.set_agent(daemonsets={"dir": self.sources, "follow_api": "yes"})
        self.world.controllers = False
        self.runs(daemonset("one", image="a:1"))
        self.server.apply(as_stored(daemonset("one", image="a:2")))
        self.wait_part(daemonset="Runs")
        self.check_ours_stays()
        self.agent_restarts()
        self.wait_part(daemonset="Runs")
        self.check_ours_stays()
        self.assertEqual(self.image(), "a:1")

    def test_the_server_is_followed(self):
        self.set_agent(daemonsets={"dir": self.sources, "follow_api": "yes"})
        self.assertEqual(self.after_a_reboot(), "a:2")
        self.assertEqual(self.row("one")["source"], "file:one.json")
        # The server is back: the template was the right one already.
        with Writes(self.manifests) as writes:
            self.server_returns()
            self.wait_handed_over()
            self.assertEqual(writes.of(self.path("one")), [])


class Words(HandoverHost):
    def number(self, name):
        try:
            return parse(self.textfile.read_text()).get((f"daemonlet_{name}", frozenset()))
        except FileNotFoundError:
            return None

    def test_who_runs_it(self):
        collector = self.dir / "collector"
        collector.mkdir()
        self.textfile = collector / "daemonlet.prom"
        self.set_agent(metrics={"textfile": self.textfile})
        self.runs(daemonset("one"), daemonset("two"))
        self.wait_for(lambda: (self.number("handovers_total"), self.number("takebacks_total")) == (0, 0), "the counters")
        self.server.apply(daemonset("one"))
        self.wait_handed_over()
        pod = self.wait_pod()
        self.wait_part(pod=pod, runs="controller")
        self.wait_for(lambda: self.number("handovers_total") == 1, "the hand-over to be counted")
        self.assertEqual(self.counter("handovers"), 1)
        text = self.said("status", status=0)
        self.assertRegex(text, "one +HandedOver +HandedOver")
        rows = {r[0]: r[1:] for r in (line.split("\t") for line in self.said("status", "-o", "tsv").splitlines()) if len(r) > 3}
        self.assertEqual(rows["kube-system/one"][:3], ["HandedOver", "HandedOver", ""])
        self.assertIn(pod, rows["kube-system/one"][3])
        explained = self.said("explain", "kube-system/one")
        self.assertIn(pod, explained)
        self.assertRegex(explained, "(?i)controller")
        status = json.loads(self.run_("status", "-o", "json", node=False).stdout)
        one, two = (next(r for r in status["daemonsets"] if r["name"] == n) for n in ("one", "two"))
        self.assertEqual((one["controller"]["runs"], one["controller"]["pod"]), ("controller", pod))
        self.assertNotIn("controller", two)
        self.server.delete("DaemonSet", "kube-system", "one")
        self.wait_file("one")
        self.wait_for(lambda: (self.number("handovers_total"), self.number("takebacks_total")) == (1, 1), "both to be counted")
        self.wait_state("one", "Running")
        self.assertRegex(self.said("status"), "one +Running")

    def test_sync_says_the_same(self):
        """A single pass asks no server: what was handed over stays away."""
        pod = self.hands_over(daemonset("one"))
        self.stop()
        for _ in range(2):
            row = self.sync(node=False)["kube-system/one"]
            self.assertEqual((row.state, row.reason), ("HandedOver", "HandedOver"))
            self.assertIn(pod, row.message)
        self.assertEqual([f for f in self.files() if "one" in f], [])


@unittest.skipUnless(can_trace(), "strace cannot inject signals here")
class Killed(HandoverHost):
    """In the middle of a hand-over: what is gone stays away, although the server is away then."""

    def dies_in(self, call, nth):
        """The agent at its nth such system call from now on, while theirs becomes Ready; false: it needed fewer."""
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(self.child.pid), "-e", f"trace={call}",
                                   "-e", f"inject={call}:signal=KILL:when={nth}"], stderr=subprocess.DEVNULL)
        status = pathlib.Path(f"/proc/{self.child.pid}/status")
        self.wait_for(lambda: "TracerPid:\t0\n" not in status.read_text(), "strace")
        self.server.apply(daemonset("one"))
        end = time.monotonic() + LONG
        while self.child.poll() is None and (self.row("one") or {}).get("state") != "HandedOver":
            self.assertLess(time.monotonic(), end, self.log()[-3000:])
            self.world.step()
            select.select([], [], [], 0.02)
        tracer.terminate()
        tracer.wait()
        return self.child.poll() is not None

    def round(self, call, nth):
        killed = self.dies_in(call, nth)
        stood = self.path("one").exists()
        if killed:
            self.child = None
            self.server.stop()
            with Writes(self.manifests) as writes:
                self.start()
                self.fence()
                if not stood:
                    self.assertEqual(writes.of(self.path("one")), [])
            self.server_returns()
        self.wait_handed_over()
        self.server.delete("DaemonSet", "kube-system", "one")
        self.wait_file("one")
        self.wait_copies(1, 0)
        self.wait_state("one", "Running")
        return killed, stood

    def test_at_each_call(self):
        self.runs(daemonset("one"))
        seen = set()
        for call in ("fsync", "renameat", "unlinkat"):
            for nth in range(1, 6):
                with self.subTest(call=call, nth=nth):
                    killed, stood = self.round(call, nth)
                    seen.add((killed, stood))
                    if not killed:
                        break
        self.assertLessEqual({(True, True), (True, False)}, seen)


class Walk(HandoverHost):
    """Whatever happens in whatever order: never two on one port, and in the end the one that should run."""
    STEPS = int(os.environ.get("WALK_STEPS", "12"))

    def setUp(self):
        super().setUp()
        self.objects = {"one": daemonset("one"), "two": with_port("two")}

    def tearDown(self):
        # Where theirs was deleted and comes again while ours is written one of both is refused; it is tried again.
        self.assertEqual(self.world.clashes, [])

    # ---- what may happen ----

    def do_server(self):
        if self.server.running:
            self.server.stop()
        else:
            self.server.start()
            self.hurry()

    def do_apply(self):
        name = self.rng.choice(["one", "two"])
        o = self.objects[name]
        o["spec"]["template"]["spec"]["containers"][0]["image"] = f"a:{self.rng.randint(1, 3)}"
        self.server.apply(o)

    def do_fence(self):
        """Through us, from the server."""
        name = self.rng.choice(["one", "two"])
        self.server.apply(fenced(name) if name == "one" else fenced(name, **copy.deepcopy(PORT)))

    def do_delete(self):
        self.server.delete("DaemonSet", "kube-system", self.rng.choice(["one", "two"]))

    def do_file(self):
        name = self.rng.choice(["one", "two"])
        path = self.sources / f"{name}.json"
        if path.exists():
            path.unlink()
        else:
            self.local(self.objects[name])

    def do_delete_pod(self):
        pods = self.pods("one") + self.pods("two")
        if pods and self.server.running:
            self.world.delete_pod(self.rng.choice(pods))

    def do_agent(self):
        self.agent_restarts(self.rng.choice([signal.SIGTERM, signal.SIGKILL]))

    def do_kubelet(self):
        self.kubelet_restarts()

    def do_ends(self):
        self.world.ends = not self.world.ends

    def do_readiness(self):
        self.world.readiness = not self.world.readiness

    def do_reaches(self):
        self.world.kubelet.reaches = not self.world.kubelet.reaches

    def do_reboot(self):
        self.reboot()
        for _ in range(self.rng.randint(0, 20)):
            self.world.step()
        self.boot_kubelet(4711 + self.world.steps)

    def go(self, looks):
        left = [looks]

        def enough():
            left[0] -= 1
            return left[0] < 0
        self.wait_for(enough, "some time to pass", LONG)

    def calm(self):
        """Everything works: who runs it is who should."""
        self.world.ends = self.world.readiness = self.world.kubelet.reaches = True
        if not self.server.running:
            self.server.start()
        for name in self.objects:
            stored, local = self.server.get("DaemonSet", "kube-system", name), (self.sources / f"{name}.json").exists()
            ours = "nodeSelector" in stored["spec"]["template"]["spec"] if stored else local
            want = (1, 0) if ours else (0, 1) if stored else (0, 0)
            state = "Running" if ours else "HandedOver" if local else None
            self.wait_hurried(lambda: self.world.copies(name) == want and
                              state in (None, (self.row(name) or {}).get("state")), f"{name} to be {state} {want}: {self.did}",
                              REFUSED)

    def walk(self, seed):
        self.rng, self.did = random.Random(seed), []
        verbs = sorted(n for n in dir(self) if n.startswith("do_"))
        self.server.apply(fenced("keeper", selector={"no": "where"}))  # an empty list would be doubted
        for o in self.objects.values():
            self.local(o)
        self.start()
        for _ in range(self.STEPS):
            verb = self.rng.choice(verbs)
            self.did.append(verb[3:])
            getattr(self, verb)()
            self.go(self.rng.choice([0, 1, 3, 10, 30]))
            self.assertEqual(self.world.clashes, [], f"seed {seed}: {self.did}")
        self.calm()

    def test_walks(self):
        first, n = int(os.environ.get("WALK_SEED", "1")), int(os.environ.get("WALKS", "2"))
        for seed in range(first, first + n):
            with self.subTest(seed=seed):
                if seed > first:
                    self.stop_for_good()
                    self.doCleanups()
                    self.setUp()
                self.walk(seed)


class Story(HandoverHost):
    """One DaemonSet with a host port and one without, from the first boot on. STORY=1 prints it."""

    def tell(self, what):
        if not os.environ.get("STORY"):
            return
        print(f"\n# {what}\n$ daemonlet status")
        p = self.run_("status", node=False)
        print("\n".join([p.stdout.rstrip(), *(f"  {line}" for line in p.stderr.splitlines())]), flush=True)

    def each(self, function, *args):
        return [function(*args, name) for name in ("agent", "exporter")]

    def test_the_story(self):
        agent, exporter = daemonset("agent", image="agent:1"), with_port("exporter")
        self.server.stop()
        self.power_off()
        self.local(agent)
        self.local(exporter)
        self.start()
        self.each(self.wait_file)
        self.tell("The first boot: no API server, and the kubelet is not started yet.")
        self.boot_kubelet(500)
        self.each(self.wait_copies, 1, 0)
        for name in ("agent", "exporter"):
            self.wait_state(name, "Running")
        self.tell("The kubelet runs them; there is still no API server.")
        self.server_returns()
        self.fence()
        self.tell("The API server is there, and knows nothing of them.")
        self.server.apply(as_stored(agent))
        self.server.apply(as_stored(exporter))
        for name in ("agent", "exporter"):
            self.wait_handed_over(name)
            self.wait_part(name, podState="Ready", runs="controller")
        self.tell("kubectl apply of both files: handed over.")
        self.assertEqual([c for c, _ in self.world.course("agent")], [(1, 0), (1, 1), (0, 1)])
        self.assertEqual([c for c, _ in self.world.course("exporter")], [(1, 0), (0, 0), (0, 1)])
        self.figures()
        old = self.each(lambda name: self.wait_pod(name, ready=True))
        with Writes(self.manifests) as writes:
            for o in (agent, exporter):
                o["spec"]["template"]["spec"]["containers"][0]["image"] = "other:2"
                self.server.apply(as_stored(o))
            for name, pod in zip(("agent", "exporter"), old):
                self.wait_handed_over(name, pod=self.wait_pod(name, ready=True, other_than=pod))
            self.assertEqual([n for n in writes.read() if n.startswith("daemonlet_")], [])
        self.tell("A rolling update by the controller.")
        self.server_stops()
        self.reboot()
        self.each(self.wait_file)
        self.tell("A power loss, and no API server.")
        self.boot_kubelet(501)
        self.each(self.wait_copies, 1, 0)
        for name in ("agent", "exporter"):
            self.wait_state(name, "Running")
        self.tell("The kubelet is up, and ours run.")
        self.server_returns()
        for name in ("agent", "exporter"):
            self.wait_handed_over(name)
            self.wait_part(name, podState="Ready", runs="controller")
        self.each(self.wait_copies, 0, 1)
        self.tell("The API server is back: handed over again.")
        self.figures()
        for name in ("agent", "exporter"):
            self.server.delete("DaemonSet", "kube-system", name)
        self.each(self.wait_copies, 1, 0)
        for name in ("agent", "exporter"):
            self.wait_state(name, "Running")
        self.tell("Both are deleted in the API server.")
        self.figures()

    def figures(self):
        if os.environ.get("STORY"):
            for name in ("agent", "exporter"):
                print(f"# {name}: {self.world.gap(name):.2f} s without a pod, {self.world.overlap(name):.2f} s with two; " +
                      ", ".join(f"{s}+{a} for {t:.2f} s" for (s, a), t in self.world.course(name)), flush=True)


if __name__ == "__main__":
    main()
