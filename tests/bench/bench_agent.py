# SPDX-License-Identifier: Apache-2.0
"""What the running agent costs: `daemonlet run` on a host of temporary directories whose pods all run."""
import json, os, pathlib, shutil, signal, socket, statistics, subprocess, sys, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from agent import Watch

WATCHDOG = 40  # seconds, as the unit has it
DEADLINE = 60
QUIET = 200  # milliseconds for which daemonsets.d has to be quiet before it is read

# A source of 3 KB, a manifest of 4 KB.
CONTAINER = """\
      - name: {name}
        image: registry.example.com/node/{name}-{n}:v1.27.{n}@sha256:{digest}
        imagePullPolicy: IfNotPresent
        args:
        - --node-name=$(NODE_NAME)
        - --listen=0.0.0.0:9{n:05}
        - --log-level=info
        - --cluster-cidr=10.244.0.0/16
        - --state=/var/lib/agent-{n}/{name}
        env:
        - name: NODE_NAME
          valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}
        - name: POD_NAMESPACE
          valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}
        - name: SAVED
          value: "{saved}"
        - name: DESCRIPTION
          value: "{filler}"
        resources:
          requests: {{cpu: 100m, memory: 64Mi}}
          limits: {{memory: 256Mi}}
        readinessProbe:
          httpGet: {{host: 127.0.0.1, path: /healthz, port: 9099}}
          periodSeconds: 10
          failureThreshold: 6
        livenessProbe:
          exec: {{command: [/bin/{name}, -check, -timeout=5s]}}
          initialDelaySeconds: 10
        securityContext:
          privileged: true
          capabilities: {{add: [NET_ADMIN, NET_RAW, SYS_MODULE], drop: [ALL]}}
        volumeMounts:
        - {{name: run, mountPath: /run/agent}}
        - {{name: lib, mountPath: /var/lib/agent-{n}}}
        - {{name: modules, mountPath: /lib/modules, readOnly: true}}
"""
DAEMONSET = """\
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: agent-{n:05}
  namespace: kube-system
  labels: {{app: agent-{n:05}}}
spec:
  selector:
    matchLabels: {{app: agent-{n:05}}}
  updateStrategy:
    type: RollingUpdate
    rollingUpdate: {{maxUnavailable: 1}}
  template:
    metadata:
      labels: {{app: agent-{n:05}, tier: node}}
      annotations: {{prometheus.io/scrape: "true", prometheus.io/port: "9099"}}
    spec:
      nodeSelector: {{kubernetes.io/os: linux}}
      priorityClassName: system-node-critical
      terminationGracePeriodSeconds: 5
      tolerations:
      - operator: Exists
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
            - matchExpressions:
              - {{key: kubernetes.io/arch, operator: In, values: [amd64, arm64]}}
              - {{key: node.kubernetes.io/no-agent, operator: DoesNotExist}}
      containers:
{containers}\
      volumes:
      - name: run
        hostPath: {{path: /run/agent-{n}, type: DirectoryOrCreate}}
      - name: lib
        hostPath: {{path: /var/lib/agent-{n}, type: DirectoryOrCreate}}
      - name: modules
        hostPath: {{path: /lib/modules}}
"""


def daemonset(n, saved=0):
    filler = "what a container of a real agent is told in its environment besides " * 4
    containers = "".join(CONTAINER.format(name=name, n=n, digest=f"{n:064x}", saved=f"save-{saved}.", filler=filler)
                         for name in ("main", "helper"))
    return DAEMONSET.format(n=n, containers=containers)


class Agent:
    """A host and the agent on it."""
    all = []

    def __init__(self, bench, name):
        self.all.append(self)
        self.bench, self.dir, self.child, self.pings = bench, bench.make_host(name), None, 0
        self.sources, self.manifests = self.dir / "daemonsets.d", self.dir / "manifests"
        self.options = ["--node", bench.src / "conf/examples/node.yaml"]
        (self.dir / "away").mkdir()

    def generate(self, n):
        for i in range(n):
            path = self.sources / f"agent-{i:05}.yaml"
            path.write_text(daemonset(i))
            path.chmod(0o644)
        return self

    def copy(self, files):
        for n, f in enumerate(files):
            target = self.sources / f"{n:02}-{f.name.rsplit('.', 1)[0]}.yaml"
            shutil.copyfile(f, target)
            target.chmod(0o644)
        return self

    def start(self):
        """Until READY=1; milliseconds."""
        (self.dir / "notify").unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.dir / "notify"))
        self.notify.settimeout(DEADLINE)
        env = {**os.environ, "NOTIFY_SOCKET": str(self.dir / "notify"), "WATCHDOG_USEC": str(WATCHDOG * 1000000)}
        for key in ("WATCHDOG_PID", "JOURNAL_STREAM"):
            env.pop(key, None)
        with open(self.dir / "log", "ab") as log:
            start = time.perf_counter()
            self.child = subprocess.Popen([self.bench.daemonlet, "--config", self.dir / "conf", *self.options, "run"],
                                          env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while b"READY=1" not in self.notify.recv(65536):
            pass
        took = (time.perf_counter() - start) * 1e3
        self.notify.settimeout(None)
        # The service manager reads what it is told, else the agent would wait for it.
        threading.Thread(target=self.listen, args=(self.notify,), daemon=True).start()
        return took

    def listen(self, notify):
        while True:
            try:
                message = notify.recv(65536)
            except OSError:
                return
            if not message:
                return
            self.pings += b"WATCHDOG=1" in message.split(b"\n")

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        status = self.child.wait(DEADLINE)
        self.child = None
        self.notify.shutdown(socket.SHUT_RDWR)
        self.notify.close()
        assert status == 0, (self.dir / "log").read_text()[-2000:]

    def run_pods(self):
        """What a kubelet makes for each manifest: a cgroup with a process, and a directory."""
        tree = self.dir / "cgroups" / "kubepods"
        tree.mkdir(parents=True)
        (self.dir / "cgroups" / "cgroup.controllers").touch()
        for path in self.manifests.iterdir():
            uid = json.loads(path.read_text())["metadata"]["uid"]
            (tree / f"pod{uid}").mkdir()
            (tree / f"pod{uid}" / "cgroup.events").write_text("populated 1\nfrozen 0\n")
            (self.dir / "kubelet" / "pods" / uid).mkdir(parents=True)

    def proc(self, name, key):
        for line in open(f"/proc/{self.child.pid}/{name}"):
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise KeyError(key)

    def mib(self, key):
        return self.proc("status", key) / 1024

    def ran(self):
        """Nanoseconds; 0 where the kernel does not tell."""
        try:
            return int(pathlib.Path(f"/proc/{self.child.pid}/schedstat").read_text().split()[0])
        except OSError:
            return 0

    def wait_idle(self, seconds=0.3):
        """Until it has not run for a while: a repair or a save is followed by a look at the result."""
        before, since = self.ran(), time.monotonic()
        while time.monotonic() - since < seconds:
            time.sleep(0.01)
            now = self.ran()
            if now != before:
                before, since = now, time.monotonic()

    # ---- ways to save a file ----

    def save_over(self, path, text):
        new = path.with_name("." + path.name + ".new")
        new.write_text(text)
        new.chmod(0o644)
        start = time.perf_counter()
        new.rename(path)
        return start

    def save_in_place(self, path, text):
        start = time.perf_counter()
        path.write_text(text)
        return start

    def save_like_vim(self, path, text):
        """Moves the old one away, writes a new one, removes the old one."""
        old = path.with_name(path.name + "~")
        start = time.perf_counter()
        path.rename(old)
        with open(path, "w") as f:
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        path.chmod(0o644)
        old.unlink()
        return start

    def save(self, how, n, saved):
        """From the first system call that others see to the new manifest; milliseconds."""
        manifest = self.manifests / f"daemonlet_kube-system_agent-{n:05}.json"
        text, want = daemonset(n, saved), f"save-{saved}.".encode()
        watch = Watch(self.manifests)
        try:
            start = how(self.sources / f"agent-{n:05}.yaml", text)
            while want not in manifest.read_bytes():
                watch.wait(DEADLINE)
                assert time.perf_counter() - start < DEADLINE, "the save came to nothing"
            return (time.perf_counter() - start) * 1e3
        finally:
            watch.close()


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def ms(value):
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms"


def bench_drift(bench, n, rounds):
    agent = Agent(bench, f"drift-{n}").generate(n)
    agent.start()
    agent.run_pods()
    agent.wait_idle()
    # What was written in the last two seconds is read again in each pass: no manifest of a real host is that young.
    time.sleep(3)
    for what, count, extra in (("", rounds, ()), (", no pause between two", rounds // 4, ("busy",))):
        p = subprocess.run([bench.build / "tests/bench/bench_drift", agent.manifests, agent.dir / "away", str(count),
                            str(agent.child.pid), *extra], capture_output=True, text=True)
        if p.returncode:
            sys.exit(p.stderr + (agent.dir / "log").read_text()[-2000:])
        rows = {way: [float(v) / 1e3 for v in values] for way, *values in map(str.split, p.stdout.splitlines())}
        for way, (p50, p99, worst, less) in rows.items():
            if way == "all" or not extra:
                name = f"{count} events" if way == "all" else way
                bench.row(f"{n} DaemonSets: drift to repaired, p99, {name}{what}", ms(p99),
                          "5 ms" if way == "all" and not extra else "-",
                          f"p50 {ms(p50)}, worst {ms(worst)}, p99 less waits for a processor {ms(less)}")
    agent.stop()


def bench_saves(bench, agent, rounds):
    saved = 0
    for what, how in (("by rename", agent.save_over), ("in place", agent.save_in_place),
                      ("vim's way", agent.save_like_vim)):
        times = []
        for i in range(rounds):
            saved += 1
            times.append(agent.save(how, saved % 50, saved))
            agent.wait_idle(0.01)
        bench.row(f"50 DaemonSets: file saved {what} to manifest, p99 of {rounds}", ms(quantile(times, 0.99)), "500 ms",
                  f"p50 {ms(statistics.median(times))}, {QUIET} ms of it quiet time")


class Idle:
    """An agent that is left alone for a minute, while others are measured."""
    def __init__(self, agent):
        """agent: it has started."""
        self.agent = agent
        self.agent.run_pods()
        self.agent.wait_idle()
        self.first = self.take()

    def take(self):
        switches = self.agent.proc("status", "voluntary_ctxt_switches")
        return time.monotonic(), switches, self.agent.ran(), self.agent.pings

    def report(self, what, seconds=60, note=""):
        bench = self.agent.bench
        time.sleep(max(0, self.first[0] + seconds - time.monotonic()))
        spent, switches, ran, pings = (b - a for a, b in zip(self.first, self.take()))
        n = len(list(self.agent.manifests.iterdir()))
        what = f"idle, {what}, {n} manifests: "
        bench.row(what + "RssAnon", f"{self.agent.mib('RssAnon'):.2f} MiB", "3 MiB")
        bench.row(what + "VmRSS", f"{self.agent.mib('VmRSS'):.2f} MiB", "13 MiB",
                  f"peak {self.agent.mib('VmHWM'):.2f} MiB")
        # It sleeps once for each time that it woke up.
        bench.row(what + "wake-ups in 10 s", f"{switches * 10 / spent:.2f} times", "1 times",
                  f"{switches} in {spent:.0f} s, {pings} of them for the watchdog{note}, {ran / 1e6:.2f} ms of running")
        self.agent.stop()


def bench_start(bench, files, rounds):
    cold, warm = [], []
    for i in range(rounds):
        agent = Agent(bench, f"start-{i}").copy(files)
        cold.append(agent.start())
        agent.stop()
        warm.append(agent.start())
        agent.stop()
        shutil.rmtree(agent.dir)
    for what, times in (("nothing there", cold), ("state and manifests there", warm)):
        bench.row(f"start to ready, {len(files)} vendor files, {what}, p50 of {rounds}", ms(statistics.median(times)), "-",
                  f"worst {ms(max(times))}")


def bench_many(bench, n, rounds):
    agent = Agent(bench, f"many-{n}").generate(n)
    cold = agent.start()
    agent.run_pods()
    agent.stop()
    warm = agent.start()
    agent.wait_idle()
    bench.row(f"{n} DaemonSets: start to ready", ms(warm), "-", f"{ms(cold)} when nothing is there")
    rss, peak = agent.mib("RssAnon"), agent.mib("VmHWM")
    times = []
    for i in range(rounds):
        times.append(agent.save(agent.save_over, i * 37 % n, i + 1) - QUIET)
        agent.wait_idle(0.05)
    bench.row(f"{n} DaemonSets: one file saved to manifest, less {QUIET} ms, p50 of {rounds}", ms(statistics.median(times)),
              "300 ms", f"worst {ms(max(times))}")
    bench.row(f"{n} DaemonSets: RssAnon, idle", f"{rss:.1f} MiB", "-",
              f"peak resident {peak:.1f} MiB; after the saves {agent.mib('RssAnon'):.1f} and {agent.mib('VmHWM'):.1f} MiB")
    agent.stop()
    shutil.rmtree(agent.dir)


def run_all(bench):
    files = bench.vendor_files()
    idle = Agent(bench, "idle").copy(files)
    idle.start()
    idle = Idle(idle)
    saves = Agent(bench, "saves").generate(50)
    saves.start()
    saves.run_pods()
    saves.wait_idle()
    bench_saves(bench, saves, 100)
    saves.stop()
    idle.report(f"{len(files)} vendor files")
    bench_start(bench, files, 20)
    bench_drift(bench, 50, 2000)
    bench_drift(bench, 1000, 2000)
    bench_many(bench, 1000, 20)
    bench_many(bench, 10000, 5)


def run(bench, rows=run_all):
    try:
        rows(bench)
    finally:
        for agent in Agent.all:
            if agent.child:
                agent.child.kill()
                agent.child.wait()
