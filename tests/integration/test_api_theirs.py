#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the agent asks the API server for to learn who runs a DaemonSet: with which identity, and what it keeps of it."""
import json, pathlib

from api_host import NODE, ApiHost, node
from host import daemonset, main
from test_api_hold import HoldHost

DS = "/apis/apps/v1/namespaces/kube-system/daemonsets"
PODS = "/api/v1/namespaces/kube-system/pods"
HERE = f"fieldSelector=spec.nodeName%3D{NODE}"
OWN = [f"/api/v1/nodes?fieldSelector=metadata.name%3D{NODE}", f"{DS}?labelSelector=daemonlet.io%2Fmode", f"{PODS}?{HERE}",
       f"{DS}?fieldSelector=metadata.name%3Dlocal"]
UNBOUND = f"{PODS}?fieldSelector=spec.nodeName%3D%2Cstatus.phase%3DPending"
KUBELET = [OWN[0], f"/api/v1/pods?{HERE}"]


def with_port(name, port=9100, handoff=None):
    return daemonset(name, meta=handoff and {"annotations": {"daemonlet.io/handoff": handoff}}, containers=[
        {"name": "main", "image": "a:1", "ports": [{"containerPort": 9100, **({"hostPort": port} if port else {})}]}])


def pod(name, daemonset_, node=NODE, uid="u", **status):
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": daemonset_, "uid": uid, "controller": True}
    return {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running", **status}, "spec": {"nodeName": node},
            "metadata": {"name": name, "namespace": "kube-system", "ownerReferences": [owner]}}


class Asked(ApiHost):
    def asked(self):
        return sorted(r["resource"] for r in self.api().get("resources", []))

    def wait_asked(self, *want):
        self.wait_for(lambda: self.asked() == sorted(want), f"{want} to be followed")

    def paths_asked(self):
        """Of the server, whatever the agent says."""
        with self.server.lock:
            return " ".join(repr(r) for r in self.server.requests)


class Theirs(Asked):
    def setUp(self):
        super().setUp()
        self.source("local.json", with_port("local"))

    def refused(self):
        with self.server.lock:
            return [repr(r) for r in self.server.requests if r.status == 403]

    def be_a_kubelet(self):
        self.server.node_authorizer = True
        self.server.kubeconfig(self.kubeconfig, user=f"system:node:{NODE}")

    def test_an_identity_of_its_own(self):
        self.start()
        self.wait_asked(*OWN, UNBOUND)
        self.wait_live()
        self.server.apply(pod("local-x", "local"))
        self.wait_for(lambda: self.resource(OWN[2]).get("objects") == 1, "the pod")
        self.wait_for(lambda: self.resource(UNBOUND).get("objects") == 0, "nothing unbound")

    def test_unbound_ones_only_where_they_may_wait_for_ours(self):
        self.source("local.json", daemonset("local"))
        self.start()
        self.wait_asked(*OWN)
        self.wait_live()
        self.assertNotIn("Pending", self.paths_asked())
        for o in (with_port("local"), daemonset("local"), with_port("local", handoff="never"), with_port("local", port=None),
                  with_port("local", port=None, handoff="exists"), with_port("local", port=None, handoff="ready")):
            with self.subTest(o):
                self.source("local.json", o)
                container = o["spec"]["template"]["spec"]["containers"][0]
                mode = o["metadata"].get("annotations", {}).get("daemonlet.io/handoff")
                waits = any("hostPort" in p for p in container.get("ports", [])) or mode == "exists"
                self.wait_asked(*OWN, *([UNBOUND] if waits else []))
                self.wait_live()
        self.assertIn("Pending", self.paths_asked())

    def test_unbound_ones_only_of_the_namespace(self):
        self.source("local.json", daemonset("local"))
        other = with_port("other")
        other["metadata"]["namespace"] = "b"
        self.source("other.json", other)
        self.start()
        self.wait_asked(*OWN, *(r.replace("kube-system", "b").replace("local", "other") for r in (OWN[2], OWN[3], UNBOUND)))
        self.wait_live()

    def test_the_kubelet_asks_for_no_unbound_ones(self):
        self.be_a_kubelet()
        self.start()
        self.wait_live()
        self.source("local.json", with_port("local", handoff="exists"))
        self.source("later.json", daemonset("later"))
        self.wait_file("later")
        self.wait_asked(*KUBELET)
        self.wait_live()
        self.assertNotIn("Pending", self.paths_asked())

    def test_pods_are_not_kept_on_disk(self):
        self.source("local.json", with_port("local", handoff="never"))
        for o in (with_port("local"), pod("local-x", "local")):
            self.server.apply(o)
        self.start()
        self.wait_asked(*OWN, UNBOUND)
        self.wait_live()
        self.stop()
        kept = [json.loads(f.read_text().splitlines()[0])["resource"] for f in pathlib.Path(self.state, "api").glob("*.json")]
        self.assertEqual(sorted(kept), sorted(r for r in OWN if "/pods" not in r))
        self.server.stop()
        self.start()
        self.wait_away()
        self.assertEqual(self.resource(OWN[2])["state"], "Unread")
        self.assertEqual(self.resource(UNBOUND)["state"], "Unread")
        self.assertEqual(self.resource(OWN[3])["state"], "Stale")

    def test_the_kubelets_identity(self):
        self.be_a_kubelet()
        self.start()
        self.wait_asked(*KUBELET)
        self.wait_live()
        for o in (pod("local-x", "local"), pod("local-y", "local", node="node-b")):
            self.server.apply(o)
        self.wait_for(lambda: self.resource("/pods").get("objects") == 1, "the pod")
        self.assertEqual(self.refused(), [])

    def test_an_identity_that_changes_its_kind(self):
        self.start()
        self.wait_live()
        self.be_a_kubelet()
        self.wait_asked(*KUBELET)
        self.wait_live()
        self.server.kubeconfig(self.kubeconfig)
        self.wait_asked(*OWN, UNBOUND)
        self.wait_live()
        self.assertEqual(self.refused(), [])

    def test_an_identity_that_is_not_known_at_first(self):
        """It counts as one of its own until it turns out to be the kubelet's."""
        self.start()
        self.wait_live()
        self.stop()
        pathlib.Path(self.kubeconfig).write_text("kind: Config\n")
        self.start()
        self.wait_asked(*OWN, UNBOUND)
        self.be_a_kubelet()
        self.wait_asked(*KUBELET)
        self.wait_live()
        self.assertEqual(self.refused(), [])

    def test_what_may_not_be_asked_is_not_waited_for(self):
        self.server.rules = {"daemonlet:node-a": [
            {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["nodes"]},
            {"verbs": ["list", "watch"], "apiGroups": ["apps"], "resources": ["daemonsets"]}]}
        self.start()
        self.wait_files("local")
        self.wait_for(lambda: "add to its Role" in self.resource(OWN[2]).get("problem", ""), "the right to be named")
        # What was asked for in a way that this server does not know is asked for in another one first.
        self.wait_for(lambda: all(self.resource(r).get("state") == "Live" for r in (OWN[0], OWN[1], OWN[3])), "the rest")
        p = self.run_("status", node=False)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("add to its Role", p.stderr)

    def test_a_server_that_is_away_is_not_waited_for(self):
        self.server.stop()
        self.start()
        self.wait_files("local")
        self.wait_away()


class HandedOver(Asked, HoldHost):
    def test_what_was_handed_over_in_this_boot_asks_for_no_unbound_ones(self):
        self.kubelet_starts(30, boot="boot-1")
        self.source("local.json", with_port("local"))
        self.start()
        self.wait_asked(*OWN, UNBOUND)
        self.wait_live()
        theirs = self.server.apply(with_port("local"))
        uid = self.server.apply(pod("local-x", "local", uid=theirs["metadata"]["uid"],
                                    conditions=[{"type": "Ready", "status": "True"}]))["metadata"]["uid"]
        self.pod_starts(uid)
        self.wait_reason("local", "HandedOver")
        self.server.apply(node({"some": "news"}))
        self.wait_asked(*OWN)
        self.wait_live()

        # Nor after a restart.
        self.stop()
        self.start()
        self.wait_reason("local", "HandedOver")
        self.server.apply(node({"other": "news"}))
        self.wait_asked(*OWN)

        # In another boot it is not known yet who comes back.
        self.stop()
        self.server.delete("Pod", "kube-system", "local-x")
        self.pod_ends(uid)
        self.set_kubelet(0, boot="boot-2")
        self.start()
        self.wait_asked(*OWN, UNBOUND)
        self.wait_live()


if __name__ == "__main__":
    main()
