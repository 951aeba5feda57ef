# SPDX-License-Identifier: Apache-2.0
"""What following the API server costs. The server is the integration tests', in a process of its own."""
import json, os, pathlib, select, shutil, statistics, struct, subprocess, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import bench_agent
from agent import LIBC, Watch
from api_host import NODE, STATIC, FENCE, node
from apiserver import ApiServer
from bench_agent import DEADLINE, ms, quantile

IN_MOVED_TO = 0x80
TELL_PAUSE = 0.15  # seconds after which the next event is told at once
STORM, RATE = 10, 100  # seconds, events in each


# ---- the server's side ----

def container(name, n, saved):
    return {"name": name, "image": f"registry.example.com/node/{name}-{n}:v1.27.{n}@sha256:{n:064x}",
            "imagePullPolicy": "IfNotPresent",
            "args": ["--node-name=$(NODE_NAME)", f"--listen=0.0.0.0:9{n:05}", "--log-level=info",
                     "--cluster-cidr=10.244.0.0/16", f"--state=/var/lib/agent-{n}/{name}"],
            "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}},
                    {"name": "SAVED", "value": f"save-{saved}."},
                    {"name": "DESCRIPTION", "value": "what a container of a real agent is told besides " * 6}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"host": "127.0.0.1", "path": "/healthz", "port": 9099, "scheme": "HTTP"},
                               "periodSeconds": 10, "failureThreshold": 6},
            "livenessProbe": {"exec": {"command": [f"/bin/{name}", "-check", "-timeout=5s"]}, "initialDelaySeconds": 10},
            "securityContext": {"privileged": True,
                                "capabilities": {"add": ["NET_ADMIN", "NET_RAW", "SYS_MODULE"], "drop": ["ALL"]}},
            "volumeMounts": [{"name": "run", "mountPath": "/run/agent"}, {"name": "lib", "mountPath": f"/var/lib/agent-{n}"},
                             {"name": "modules", "mountPath": "/lib/modules", "readOnly": True}]}


def daemonset(n, saved=0, configmaps=()):
    """A DaemonSet of bench_agent's size."""
    labels = {"app": f"agent-{n:05}"}
    term = {"matchExpressions": [{"key": "daemonlet.io/no-agent", "operator": "DoesNotExist"}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    pod = {"nodeSelector": {"kubernetes.io/os": "linux", **FENCE}, "priorityClassName": "system-node-critical",
           "terminationGracePeriodSeconds": 5, "tolerations": [{"operator": "Exists"}], "affinity": affinity,
           "containers": [container(name, n, saved) for name in ("main", "helper")],
           "volumes": [{"name": "run", "hostPath": {"path": f"/run/agent-{n}", "type": "DirectoryOrCreate"}},
                       {"name": "lib", "hostPath": {"path": f"/var/lib/agent-{n}", "type": "DirectoryOrCreate"}},
                       {"name": "modules", "hostPath": {"path": "/lib/modules"}},
                       *({"name": name, "configMap": {"name": name}} for name in configmaps)]}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": f"agent-{n:05}", "namespace": "kube-system", "labels": {**labels, **STATIC["labels"]}},
            "spec": {"selector": {"matchLabels": labels},
                     "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                     "template": {"metadata": {"labels": {**labels, "tier": "node"}}, "spec": pod}}}


class Served(ApiServer):
    """What the bench asks of it: each method's arguments and result are JSON."""
    sent_at = 0

    def _change(self, *args):
        self.sent_at = time.monotonic()
        super()._change(*args)

    def open(self, path, streaming):
        self.streaming = streaming
        self.start()
        self.kubeconfig(path)
        self.apply(node(heartbeat=time.time()))

    def load(self, n, n_configmaps=0):
        used = [f"config-{i:02}" for i in range(n_configmaps)]
        for name in used:
            self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"},
                        "data": {"settings": f"{name}\n" * 50}})
        for i in range(n):
            self.apply(daemonset(i, configmaps=used[i::n]))

    def change_one(self, n, saved):
        """When its event was sent."""
        self.apply(daemonset(n, saved))
        return self.sent_at

    def counters(self):
        with self.lock:
            return {"requests": len(self.requests), "in": self.bytes_in, "out": self.bytes_out,
                    "connections": self.connections_accepted, "watches": len(self._watches)}

    def storm(self, what, n):
        """So many events a second; returns how many it came to, and in what time."""
        start, sent = time.monotonic(), 0
        while (now := time.monotonic()) < start + STORM:
            if sent < (now - start) * RATE:
                sent += 1
                if what == "heartbeats":
                    self.patch_node_heartbeat(NODE, time.time() - STORM * RATE + sent)
                else:
                    self.set_labels("DaemonSet", "kube-system", f"agent-{sent % n:05}", {"changed": f"c{sent}"})
            else:
                time.sleep(start + sent / RATE - now if sent / RATE > now - start else 0)
        return sent, time.monotonic() - start


def serve(directory):
    server = Served(directory)
    for line in sys.stdin:
        name, *args = json.loads(line)
        print(json.dumps(getattr(server, name)(*args)), flush=True)
    server.close()


class Server:
    """The other end: its methods are those of Served."""
    all = []

    def __init__(self, directory, streaming=True):
        directory.mkdir()
        self.child = subprocess.Popen([sys.executable, __file__, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True)
        self.all.append(self)
        self.kubeconfig = directory / "kubeconfig"
        self.open(str(self.kubeconfig), streaming)

    def __getattr__(self, name):
        def call(*args):
            self.child.stdin.write(json.dumps([name, *args]) + "\n")
            self.child.stdin.flush()
            answer = self.child.stdout.readline()
            assert answer, "the API server of the bench ended"
            return json.loads(answer)
        return call

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(DEADLINE) == 0
        self.all.remove(self)


# ---- the agent's side ----

class Renames:
    """New names in a directory."""
    def __init__(self, directory):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert LIBC.inotify_add_watch(self.fd, os.fsencode(directory), IN_MOVED_TO) >= 0

    def wait(self, name):
        """When it was heard of."""
        while True:
            assert select.select([self.fd], [], [], DEADLINE)[0], f"{name} did not come"
            at, data = time.monotonic(), os.read(self.fd, 65536)
            while data:
                size = struct.unpack_from("iIII", data)[3]
                if data[16:16 + size].rstrip(b"\0").decode() == name:
                    return at
                data = data[16 + size:]

    def close(self):
        os.close(self.fd)


class ApiAgent(bench_agent.Agent):
    """An agent with an API server, beside a kubelet that has synced."""
    def __init__(self, bench, name, n, n_configmaps=0, streaming=True):
        super().__init__(bench, name)
        self.options, self.n = [], n
        self.server = Server(self.dir / "server", streaming)
        self.server.load(n, n_configmaps)
        self.make_kubelet(self.dir / "proc")
        (self.dir / "conf.d").mkdir()
        (self.dir / "conf.d" / "api.conf").write_text(
            f"[kubelet]\nproc_dir = {self.dir}/proc\n[api]\nkubeconfig = {self.server.kubeconfig}\n"
            f"[node]\nname = {NODE}\n[agent]\nhold_offline = no\n")

    @staticmethod
    def make_kubelet(proc):
        """A process since the boot."""
        (proc / "4711").mkdir(parents=True)
        (proc / "sys/kernel/random").mkdir(parents=True)
        (proc / "sys/kernel/random/boot_id").write_text("one\n")
        (proc / "stat").write_text(f"cpu 0\nbtime {int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))}\n")
        (proc / "4711/comm").write_text("kubelet\n")
        (proc / "4711/cmdline").write_bytes(b"/usr/bin/kubelet\0")
        (proc / "4711/stat").write_text(f"4711 (kubelet) S {'0 ' * 18}1 0\n")

    def status(self):
        try:
            return json.loads((self.dir / "run" / "status.json").read_text())
        except (OSError, ValueError):
            return {}

    def is_live(self):
        seen = self.status().get("api", {}).get("resources", [])
        return seen and all(r["state"] == "Live" for r in seen)

    def is_complete(self):
        return len(os.listdir(self.manifests)) >= self.n

    def wait_until(self, *conditions):
        """Until each of them has held; when that was."""
        (self.dir / "run").mkdir(exist_ok=True)
        watch, times = Watch(self.manifests, self.dir / "run"), [None] * len(conditions)
        end = time.monotonic() + DEADLINE
        try:
            while True:
                for i, holds in enumerate(conditions):
                    if times[i] is None and holds():
                        times[i] = time.monotonic()
                if None not in times:
                    return times
                assert time.monotonic() < end, (self.dir / "log").read_text()[-2000:]
                watch.wait(1)
        finally:
            watch.close()

    def start(self):
        """(milliseconds until READY=1, all manifests, all live)."""
        start = time.monotonic()
        ready = super().start()
        done, live = self.wait_until(self.is_complete, self.is_live)
        return ready, (done - start) * 1e3, (live - start) * 1e3

    def change(self, n, saved):
        """From the event to the manifest's rename; milliseconds."""
        name = f"daemonlet_kube-system_agent-{n:05}.json"
        renames = Renames(self.manifests)
        try:
            sent = self.server.change_one(n, saved)
            took = (renames.wait(name) - sent) * 1e3
            assert f"save-{saved}.".encode() in (self.manifests / name).read_bytes()
            return took
        finally:
            renames.close()

    def count_passes(self, saved):
        """The report is written where something has changed."""
        self.change(0, saved)
        self.wait_idle()
        return self.status()["counters"]["passes"]

    def stop(self):
        super().stop()
        self.server.close()
        shutil.rmtree(self.dir)


def kib(n):
    return f"{n / 1024:.0f} KiB"


def bench_events(bench, n, rounds):
    agent = ApiAgent(bench, f"events-{n}", n)
    agent.start()
    agent.run_pods()
    agent.wait_idle()
    times, ran = [], 0
    for i in range(rounds):
        before = agent.ran()
        times.append(agent.change(i * 37 % n, i + 1))
        agent.wait_idle(TELL_PAUSE)
        ran += agent.ran() - before
    bench.row(f"{n} DaemonSets of the API: event to manifest, p99 of {rounds}", ms(quantile(times, 0.99)), "-",
              f"p50 {ms(statistics.median(times))}, worst {ms(max(times))}, {ran / rounds / 1e6:.2f} ms of running each")
    agent.stop()


def bench_start(bench, n, streaming):
    agent = ApiAgent(bench, f"start-{streaming}", n, streaming=streaming)
    ready, done, live = agent.start()
    counters = agent.server.counters()
    what = f"{n} DaemonSets of the API, {'streaming lists' if streaming else 'pages'}: "
    bench.row(what + "start to all manifests", ms(done), "-", f"ready {ms(ready)}, all live {ms(live)}")
    bench.row(what + "requests at the start", f"{counters['requests']} times", "-",
              f"{kib(counters['in'])} to the server, {kib(counters['out'])} from it, {counters['connections']} connections")
    agent.run_pods()
    agent.wait_idle()
    bench.row(what + "RssAnon, idle", f"{agent.mib('RssAnon'):.2f} MiB", "-",
              f"VmRSS {agent.mib('VmRSS'):.2f} MiB, peak {agent.mib('VmHWM'):.2f} MiB")
    agent.stop()


def bench_storm(bench, n, what):
    agent = ApiAgent(bench, f"storm-{n}-{what}", n)
    agent.start()
    agent.run_pods()
    passes, before = agent.count_passes(1), agent.ran()
    sent, seconds = agent.server.storm(what, n)
    agent.wait_idle()
    ran, passes = agent.ran() - before, agent.count_passes(2) - passes - 1
    bench.row(f"{n} DaemonSets of the API: {RATE} {what} a second, for a second", ms(ran / 1e6 / seconds), "-",
              f"of running; {sent / seconds:.0f} a second for {seconds:.0f} s, {passes} passes")
    agent.stop()


def bench_watches(bench, n, n_configmaps):
    agent = ApiAgent(bench, "watches", n, n_configmaps)
    agent.start()
    agent.run_pods()
    agent.wait_idle()
    counters = agent.server.counters()
    bench.row(f"{counters['watches']} watches over HTTP/1.1: RssAnon, idle", f"{agent.mib('RssAnon'):.2f} MiB", "-",
              f"VmRSS {agent.mib('VmRSS'):.2f} MiB, peak {agent.mib('VmHWM'):.2f} MiB; {counters['connections']} connections")
    agent.stop()


def run_all(bench):
    idle = ApiAgent(bench, "api-idle", 50)
    idle.start()
    idle = bench_agent.Idle(idle)
    bench_start(bench, 500, True)
    bench_start(bench, 500, False)
    for n, rounds in ((1, 200), (50, 200), (500, 100)):
        bench_events(bench, n, rounds)
    for n in (50, 500):
        bench_storm(bench, n, "label changes")
    bench_storm(bench, 50, "heartbeats")
    bench_watches(bench, 50, 62)
    idle.report("50 DaemonSets of the API", note=", and a bookmark a minute for each of 2 watches")


def run(bench):
    try:
        bench_agent.run(bench, run_all)
    finally:
        for server in Server.all:
            server.child.kill()
            server.child.wait()


if __name__ == "__main__":
    serve(sys.argv[1])
