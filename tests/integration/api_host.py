# SPDX-License-Identifier: Apache-2.0
"""A host whose agent follows an API server of the tests' own."""
import time

from agent import AgentHost
from apiserver import ApiServer
from host import daemonset

NODE = "node-a"
FENCE = {"daemonlet.io/static": ""}
STATIC = {"labels": {"daemonlet.io/mode": "static"}}


def fenced(name, namespace="kube-system", selector=None, meta=None, **spec):
    """A DaemonSet for the API server: opted in, with the fence."""
    return daemonset(name, namespace, meta=meta or STATIC, nodeSelector={**FENCE, **(selector or {})}, **spec)


def node(labels=None, taints=None, heartbeat=None, name=NODE):
    o = {"apiVersion": "v1", "kind": "Node",
         "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})}},
         "spec": {"taints": taints} if taints else {}, "status": {"conditions": []}}
    if heartbeat is not None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(heartbeat))
        o["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastHeartbeatTime": when,
                                      "lastTransitionTime": when, "reason": "KubeletReady", "message": ""}]
    return o


class ApiHost(AgentHost):
    named_node = False
    settle_time = "1s"
    hold = "no"
    serve = True  # from the start

    def setUp(self):
        super().setUp()
        self.server = ApiServer(self.dir)
        self.addCleanup(self.server.close)
        self.kubeconfig = self.server.kubeconfig(self.dir / "kubeconfig")
        self.set_agent()
        if self.serve:
            self.server.start()
            self.server.apply(node())

    def set_agent(self, **sections):
        api = {"kubeconfig": getattr(self, "kubeconfig", "none"), **sections.pop("api", {})}
        named = {"name": NODE, "settle": self.settle_time, **sections.pop("node", {})}
        agent = {"hold_offline": self.hold, **sections.pop("agent", {})}
        super().set_agent(api=api, node=named, agent=agent, **sections)

    # ---- what the agent says of the server ----

    def api(self):
        return (self.status() or {}).get("api") or {}

    def resource(self, part):
        for r in self.api().get("resources", []):
            if part in r["resource"]:
                return r
        return {}

    def wait_resource(self, part, state):
        return self.wait_for(lambda: self.resource(part).get("state") == state, f"{part} to be {state}")

    def is_live(self):
        """All that is followed."""
        seen = self.api().get("resources")
        return seen and all(r["state"] == "Live" for r in seen)

    def wait_live(self):
        return self.wait_for(self.is_live, "the API server to be followed", 30)

    def wait_away(self):
        return self.wait_for(lambda: self.api() and not self.api()["reachable"], "the API server to be away", 30)
