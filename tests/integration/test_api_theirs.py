#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the agent asks the API server for to learn who runs a DaemonSet: with which identity, and what it keeps of it."""
import json, pathlib

from api_host import NODE, ApiHost
from host import daemonset, main

DS = "/apis/apps/v1/namespaces/kube-system/daemonsets"
PODS = "/api/v1/namespaces/kube-system/pods"
HERE = f"fieldSelector=spec.nodeName%3D{NODE}"
OWN = [f"/api/v1/nodes?fieldSelector=metadata.name%3D{NODE}", f"{DS}?labelSelector=daemonlet.io%2Fmode", f"{PODS}?{HERE}",
       f"{PODS}?fieldSelector=spec.nodeName%3D%2Cstatus.phase%3DPending", f"{DS}?fieldSelector=metadata.name%3Dlocal"]
KUBELET = [OWN[0], f"/api/v1/pods?{HERE}"]


def pod(name, daemonset_, node=NODE):
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": daemonset_, "uid": "u", "controller": True}
    return {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running"}, "spec": {"nodeName": node},
            "metadata": {"name": name, "namespace": "kube-system", "ownerReferences": [owner]}}


class Theirs(ApiHost):
    def setUp(self):
        super().setUp()
        self.source("local.json", daemonset("local"))

    def asked(self):
        return sorted(r["resource"] for r in self.api().get("resources", []))

    def wait_asked(self, want):
        self.wait_for(lambda: self.asked() == sorted(want), f"{want} to be followed")

    def refused(self):
        with self.server.lock:
            return [repr(r) for r in self.server.requests if r.status == 403]

    def be_a_kubelet(self):
        self.server.node_authorizer = True
        self.server.kubeconfig(self.kubeconfig, user=f"system:node:{NODE}")

    def test_an_identity_of_its_own(self):
        self.start()
        self.wait_asked(OWN)
        self.wait_live()
        self.server.apply(pod("local-x", "local"))
        self.wait_for(lambda: self.resource(OWN[2]).get("objects") == 1, "the pod")
        self.wait_for(lambda: self.resource(OWN[3]).get("objects") == 0, "nothing unbound")

    def test_pods_are_not_kept_on_disk(self):
        for o in (daemonset("local"), pod("local-x", "local")):
            self.server.apply(o)
        self.start()
        self.wait_live()
        self.stop()
        kept = [json.loads(f.read_text().splitlines()[0])["resource"] for f in pathlib.Path(self.state, "api").glob("*.json")]
        self.assertEqual(sorted(kept), sorted(r for r in OWN if "/pods" not in r))
        self.server.stop()
        self.start()
        self.wait_away()
        self.assertEqual(self.resource(OWN[2])["state"], "Unread")
        self.assertEqual(self.resource(OWN[4])["state"], "Stale")

    def test_the_kubelets_identity(self):
        self.be_a_kubelet()
        self.start()
        self.wait_asked(KUBELET)
        self.wait_live()
        for o in (pod("local-x", "local"), pod("local-y", "local", node="node-b")):
            self.server.apply(o)
        self.wait_for(lambda: self.resource("/pods").get("objects") == 1, "the pod")
        self.assertEqual(self.refused(), [])

    def test_an_identity_that_changes_its_kind(self):
        self.start()
        self.wait_live()
        self.be_a_kubelet()
        self.wait_asked(KUBELET)
        self.wait_live()
        self.server.kubeconfig(self.kubeconfig)
        self.wait_asked(OWN)
        self.wait_live()
        self.assertEqual(self.refused(), [])

    def test_an_identity_that_is_not_known_at_first(self):
        """It counts as one of its own until it turns out to be the kubelet's."""
        self.start()
        self.wait_live()
        self.stop()
        pathlib.Path(self.kubeconfig).write_text("kind: Config\n")
        self.start()
        self.wait_asked(OWN)
        self.be_a_kubelet()
        self.wait_asked(KUBELET)
        self.wait_live()
        self.assertEqual(self.refused(), [])

    def test_what_may_not_be_asked_is_not_waited_for(self):
        self.server.rules = {"daemonlet:node-a": [
            {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["nodes"]},
            {"verbs": ["list", "watch"], "apiGroups": ["apps"], "resources": ["daemonsets"]}]}
        self.start()
        self.wait_files("local")
        self.wait_for(lambda: "add to its Role" in self.resource(OWN[2]).get("problem", ""), "the right to be named")
        p = self.run_("status", node=False)
        self.assertEqual(p.returncode, 0, p.stderr)
        self.assertIn("add to its Role", p.stderr)

    def test_a_server_that_is_away_is_not_waited_for(self):
        self.server.stop()
        self.start()
        self.wait_files("local")
        self.wait_away()


if __name__ == "__main__":
    main()
