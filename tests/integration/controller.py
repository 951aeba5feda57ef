# SPDX-License-Identifier: Apache-2.0
"""The cluster around one host, as far as a hand-over can tell: DaemonSet controller, scheduler, and a kubelet with its
memory and its refusals. Nothing of it runs by itself: World.step lets each of them look once, and records what ran.

Of the real ones: the controller's pod is bound by the scheduler, which leaves it pending while a pod that is bound to the
node has its host port (a mirror pod is one); the kubelet refuses for good what clashes with a pod that it knows; as long
as it has not seen the API server since its start it starts new static pods, and neither changes nor stops any pod."""
import contextlib, copy, hashlib, json, os, random, select, shutil, struct, time

from agent import LIBC
from api_host import NODE

MIRROR = "kubernetes.io/config.mirror"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # of generated names
IN_CREATE, IN_MOVED_TO, IN_CLOSE_WRITE = 0x100, 0x80, 0x8
EVENT = struct.Struct("iIII")


def listed(server, kind):
    """Copies of all objects of a kind."""
    with server.lock:
        return [copy.deepcopy(o) for o in server._objects[kind].values()]


def host_ports(spec):
    """What the scheduler and the kubelet compare; on the host's network each port is one."""
    return {(p.get("protocol", "TCP"), p.get("hostPort") or p["containerPort"])
            for c in spec.get("containers", []) for p in c.get("ports", []) if p.get("hostPort") or spec.get("hostNetwork")}


def is_mirror(pod):
    return MIRROR in (pod["metadata"].get("annotations") or {})


def has_ended(pod):
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def owner(pod, kind):
    """The owner reference that is a controller of this kind, or None."""
    return next((o for o in pod["metadata"].get("ownerReferences") or [] if o.get("controller") and o["kind"] == kind), None)


def revision(daemonset):
    text = json.dumps(daemonset["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


class Writes:
    """Every name that something was written under in a directory."""
    def __init__(self, directory):
        self.fd, self.names = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), []
        LIBC.inotify_add_watch(self.fd, os.fsencode(directory), IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.read()
        os.close(self.fd)

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            data = os.read(self.fd, 65536)
            while data:
                length = EVENT.unpack_from(data)[3]
                self.names.append(os.fsdecode(data[EVENT.size:EVENT.size + length].rstrip(b"\0")))
                data = data[EVENT.size + length:]
        return self.names

    def of(self, path):
        return [n for n in self.read() if n == path.name]


class Running:
    """A pod whose containers are on the host, whatever the kubelet knows of it."""
    def __init__(self, uid, key, daemonset, ports, static):
        self.uid, self.key, self.daemonset, self.ports, self.static = uid, key, daemonset, ports, static
        self.ending = False

    def __repr__(self):
        return f"{'static' if self.static else 'API'} pod {'/'.join(self.key)}{' (ending)' if self.ending else ''}"


class Kubelet:
    def __init__(self, world):
        self.world, self.server, self.host = world, world.server, world.host
        self.is_up, self.reaches = True, True  # the process; the API server for it
        self.start()

    def start(self):
        """Another process: it has forgotten everything."""
        self.is_up, self.synced = True, False
        self.known, self.refused = set(), {}  # uids; refused static pods by uid

    @property
    def asks(self):
        return self.reaches and self.server.running

    def step(self):
        if not self.is_up:
            return
        self.end_pods()
        if self.asks and not self.synced:
            self.synced = True
            self.host.heartbeat()
        manifests = self.read_manifests()
        self.static_pods(manifests)
        if self.asks:
            self.api_pods()
            self.mirror_pods(manifests)

    # ---- what runs ----

    def admits(self, ports):
        """It looks at the pods that it knows: those that end have their ports still."""
        return not any(p.ports & ports for p in self.world.running.values() if p.uid in self.known)

    def starts(self, pod):
        self.world.running[pod.uid] = pod
        self.known.add(pod.uid)
        self.host.pod_starts(pod.uid)

    def ends(self, pod):
        if not pod.ending:
            pod.ending = True
            self.host.pod_starts(pod.uid, processes=False)

    def end_pods(self):
        """What was told to end a step ago is gone."""
        for pod in [p for p in self.world.running.values() if p.ending and self.world.ends]:
            self.world.gone(pod)
            self.known.discard(pod.uid)

    # ---- static pods ----

    def read_manifests(self):
        """By uid."""
        found = {}
        for path in sorted(self.host.manifests.iterdir()):
            if path.name.startswith("."):
                continue
            with contextlib.suppress(OSError, ValueError):
                pod = json.loads(path.read_text())
                found[pod["metadata"]["uid"]] = pod
        return found

    def static_pods(self, manifests):
        for pod in list(self.world.running.values()):
            if pod.static and pod.uid not in manifests and self.synced:
                self.ends(pod)
        self.refused = {uid: what for uid, what in self.refused.items() if uid in manifests}
        for uid, manifest in manifests.items():
            key = (manifest["metadata"]["namespace"], manifest["metadata"]["name"])
            if uid in self.world.running:
                self.known.add(uid)
            elif uid not in self.refused and not self.has_another(key):
                self.start_static(uid, key, manifest)

    def has_another(self, key):
        """One of this name that it started: the next one waits for its end."""
        return any(p.static and p.key == key and p.uid in self.known for p in self.world.running.values())

    def start_static(self, uid, key, manifest):
        ports = host_ports(manifest["spec"])
        if self.admits(ports):
            name = manifest["metadata"]["annotations"]["daemonlet.io/daemonset"]
            self.starts(Running(uid, key, tuple(name.split("/")), ports, True))
        else:
            self.refused[uid] = "/".join(key)
            self.world.refused_static.append("/".join(key))

    def mirror_pods(self, manifests):
        """Of each until it has ended."""
        wanted = {(p.key[0], f"{p.key[1]}-{NODE}"): p.uid for p in self.world.running.values()
                  if p.static and p.uid in self.known}
        for pod in filter(is_mirror, listed(self.server, "Pod")):
            key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
            if wanted.get(key) != pod["metadata"]["annotations"][MIRROR]:
                self.server.delete("Pod", *key)
        for key, uid in wanted.items():
            if uid in manifests and self.server.get("Pod", *key) is None:
                self.server.apply(self.mirror_of(key, uid, manifests[uid]))

    def mirror_of(self, key, uid, manifest):
        node = self.server.get("Node", "", NODE)
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"namespace": key[0], "name": key[1], "labels": manifest["metadata"].get("labels") or {},
                             "annotations": {**manifest["metadata"].get("annotations", {}), MIRROR: uid,
                                             "kubernetes.io/config.source": "file"},
                             "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": NODE, "controller": True,
                                                  "uid": node["metadata"]["uid"] if node else ""}]},
                "spec": {**manifest["spec"], "nodeName": NODE}, "status": self.status_of(True)}

    # ---- pods of the API server ----

    def api_pods(self):
        bound = {p["metadata"]["uid"]: p for p in listed(self.server, "Pod")
                 if p["spec"].get("nodeName") == NODE and not is_mirror(p)}
        for pod in list(self.world.running.values()):
            if not pod.static and pod.uid not in bound:
                self.ends(pod)
        for uid, pod in bound.items():
            self.api_pod(uid, pod)
        self.sweep({*bound, *self.world.running})

    def api_pod(self, uid, pod):
        meta, running = pod["metadata"], self.world.running.get(uid)
        if running:
            self.known.add(uid)
        if meta.get("deletionTimestamp"):
            if running:
                self.ends(running)
            else:
                self.server.delete("Pod", meta["namespace"], meta["name"])
        elif has_ended(pod):
            pass
        elif running:
            self.tell(pod, self.status_of(self.world.readiness))
        elif self.admits(host_ports(pod["spec"])):
            by = owner(pod, "DaemonSet")
            self.starts(Running(uid, (meta["namespace"], meta["name"]), (meta["namespace"], by["name"] if by else ""),
                                host_ports(pod["spec"]), False))
            self.tell(pod, self.status_of(False))
        else:
            self.world.refused_api.append(meta["name"])
            self.tell(pod, {"phase": "Failed", "reason": "NodePorts",
                            "message": "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports"})

    @staticmethod
    def status_of(ready):
        return {"phase": "Running", "conditions": [{"type": t, "status": str(ready or t == "PodScheduled")}
                                                   for t in ("Initialized", "Ready", "ContainersReady", "PodScheduled")]}

    def tell(self, pod, status):
        if pod.get("status") != status:
            self.server.patch("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], lambda o: o.update(status=status))

    def sweep(self, uids):
        """Directories that are left of the boot before."""
        for path in (self.host.kubelet_root / "pods").iterdir():
            if path.name not in uids:
                shutil.rmtree(path)


class World:
    """controllers: whether they run. is_full: there is no cpu left on the node for the scheduler. readiness: what the
    kubelet says of the pods that it runs. ends: whether what was told to end does."""
    def __init__(self, host):
        self.host, self.server = host, host.server
        self.controllers, self.is_full, self.readiness, self.ends = True, False, True, True
        self.running, self.random = {}, random.Random(1)
        self.steps, self.history = 0, []          # of (time, {daemonset: (static, API) pods that run and do not end})
        self.clashes = []                         # two that had one host port at a time
        self.refused_static, self.refused_api = [], []
        self.kubelet = Kubelet(self)

    # ---- what happens to the host ----

    def kubelet_stops(self):
        self.kubelet.is_up = False

    def power_off(self):
        """Processes and cgroups are gone, directories are left."""
        self.kubelet_stops()
        self.running.clear()
        shutil.rmtree(self.host.cgroups / "kubepods")

    def kubelet_starts(self):
        """What was told to end by the one before has ended meanwhile."""
        for pod in [p for p in self.running.values() if p.ending]:
            self.gone(pod)
        (self.host.cgroups / "kubepods" / "besteffort").mkdir(parents=True, exist_ok=True)
        self.kubelet.start()

    def gone(self, pod):
        self.host.pod_ends(pod.uid)
        del self.running[pod.uid]

    # ---- one look of everybody ----

    def step(self):
        self.steps += 1
        self.kubelet.step()
        if self.server.running and self.controllers:
            self.collect_garbage()
            for daemonset in listed(self.server, "DaemonSet"):
                self.control(daemonset)
            self.schedule()
        self.record()

    def delete_pod(self, pod):
        """As with kubectl: the kubelet has the last word where there is one."""
        meta = pod["metadata"]
        if not pod["spec"].get("nodeName"):
            self.server.delete("Pod", meta["namespace"], meta["name"])
        elif not meta.get("deletionTimestamp"):
            self.server.patch("Pod", meta["namespace"], meta["name"], lambda o: o["metadata"].update(
                deletionTimestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), deletionGracePeriodSeconds=30))

    def collect_garbage(self):
        uids = {d["metadata"]["uid"] for d in listed(self.server, "DaemonSet")}
        for pod in listed(self.server, "Pod"):
            by = owner(pod, "DaemonSet")
            if by and by["uid"] not in uids:
                self.delete_pod(pod)

    def theirs(self, name, namespace="kube-system"):
        """The controller's pods of a DaemonSet, the newest last."""
        return sorted((p for p in listed(self.server, "Pod") if p["metadata"]["namespace"] == namespace and
                       (owner(p, "DaemonSet") or {}).get("name") == name),
                      key=lambda p: int(p["metadata"]["resourceVersion"]))

    def control(self, daemonset):
        meta, spec = daemonset["metadata"], daemonset["spec"]["template"]["spec"]
        node = self.server.get("Node", "", NODE)
        labels = (node or {"metadata": {}})["metadata"].get("labels") or {}
        fits = node is not None and all(labels.get(k) == v for k, v in (spec.get("nodeSelector") or {}).items())
        pods = [p for p in self.theirs(meta["name"], meta["namespace"]) if owner(p, "DaemonSet")["uid"] == meta["uid"]]
        for pod in pods:
            if not fits or has_ended(pod) or \
                    pod["metadata"]["labels"]["controller-revision-hash"] != revision(daemonset):
                self.delete_pod(pod)
        if fits and not pods:
            self.server.apply(self.pod_of(daemonset))

    def pod_of(self, daemonset):
        meta, template = daemonset["metadata"], copy.deepcopy(daemonset["spec"]["template"])
        name = f"{meta['name']}-" + "".join(self.random.choice(LETTERS) for _ in range(5))
        labels = {**(template["metadata"].get("labels") or {}), "controller-revision-hash": revision(daemonset),
                  "pod-template-generation": str(meta["generation"])}
        here = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}
        affinity = template["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = here
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"namespace": meta["namespace"], "name": name, "generateName": f"{meta['name']}-", "labels": labels,
                             "annotations": template["metadata"].get("annotations") or {},
                             "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": meta["name"],
                                                  "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}]},
                "spec": template["spec"], "status": {"phase": "Pending"}}

    def schedule(self):
        for pod in listed(self.server, "Pod"):
            if pod["spec"].get("nodeName"):
                continue
            ports = host_ports(pod["spec"])
            taken = any(host_ports(p["spec"]) & ports for p in listed(self.server, "Pod")
                        if p["spec"].get("nodeName") == NODE and not has_ended(p))
            if taken or self.is_full:
                # Ports come first: of the rest nothing is said.
                why = "node(s) didn't have free ports for the requested pod ports" if taken else "Insufficient cpu"
                conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                               "message": f"0/1 nodes are available: 1 {why}."}]
                self.kubelet.tell(pod, {"phase": "Pending", "conditions": conditions})
            else:
                self.server.patch("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"], lambda o: (
                    o["spec"].update(nodeName=NODE), o["status"].update(conditions=[{"type": "PodScheduled", "status": "True"}])))

    # ---- what was seen ----

    def record(self):
        copies, holders = {}, {}
        for pod in self.running.values():
            static, api = copies.get(pod.daemonset, (0, 0))
            if not pod.ending:
                copies[pod.daemonset] = (static + pod.static, api + (not pod.static))
            for port in pod.ports:
                holders.setdefault(port, []).append(pod)
        for port, pods in holders.items():
            if len(pods) > 1:
                self.clashes.append(f"step {self.steps}: port {port[1]}: {pods}")
        if not self.history or self.history[-1][1] != copies:
            self.history.append((time.monotonic(), copies))

    def copies(self, name, namespace="kube-system"):
        """(static, API) pods that run now."""
        return self.history[-1][1].get((namespace, name), (0, 0)) if self.history else (0, 0)

    def course(self, name, namespace="kube-system"):
        """(static, API) pods from the first that ran until now, each different one after another, with seconds."""
        rows, now = [], time.monotonic()
        ends = [at for at, _ in self.history[1:]] + [now]
        for (at, copies), end in zip(self.history, ends):
            seen = copies.get((namespace, name), (0, 0))
            if rows and rows[-1][0] == seen:
                rows[-1] = (seen, rows[-1][1] + end - at)
            elif rows or seen != (0, 0):
                rows.append((seen, end - at))
        return rows

    def seconds(self, name, passes, namespace="kube-system"):
        return sum(seconds for copies, seconds in self.course(name, namespace) if passes(sum(copies)))

    def gap(self, name, namespace="kube-system"):
        """Seconds without any."""
        return self.seconds(name, lambda n: n == 0, namespace)

    def overlap(self, name, namespace="kube-system"):
        """Seconds with more than one."""
        return self.seconds(name, lambda n: n > 1, namespace)
