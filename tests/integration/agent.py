# SPDX-License-Identifier: Apache-2.0
"""A host with a running agent, and ways to wait for what it does."""
import ctypes, ctypes.util, json, os, select, signal, struct, subprocess, time

from host import DAEMONLET, Host

DEADLINE = float(os.environ.get("DEADLINE", "10"))
LIBC = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)
IN_ALL = 0x1 << 1 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800  # modify ... move self


class Watch:
    """Wakes when something happens in one of the directories."""
    def __init__(self, *paths):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for p in paths:
            LIBC.inotify_add_watch(self.fd, os.fsencode(p), IN_ALL)

    def wait(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            os.read(self.fd, 65536)

    def close(self):
        os.close(self.fd)


class AgentHost(Host):
    removal_delay = "1s"
    named_node, environment = True, {}
    wrapper = []  # a command in front of the agent's own

    def setUp(self):
        super().setUp()
        self.run_dir, self.child = self.dir / "run", None
        self.run_dir.mkdir()
        self.log_path = self.dir / "log"
        self.set_agent()
        self.addCleanup(self.stop_for_good)

    def set_agent(self, **sections):
        self.configure(**{**sections, "agent": {"removal_delay": self.removal_delay, **sections.get("agent", {})}})

    # ---- the agent ----

    def start(self, *args, wait=True):
        """Starts the agent and waits for its first report."""
        (self.run_dir / "status.json").unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            node = ["--node", str(self.node)] if self.named_node else []
            self.child = subprocess.Popen([*self.wrapper, str(DAEMONLET), "--config", str(self.conf), *node, "run", *args], stdout=log,
                                          stderr=log, stdin=subprocess.DEVNULL, start_new_session=bool(self.wrapper),
                                          env={**os.environ, "NOTIFY_SOCKET": "", "JOURNAL_STREAM": "",
                                               **self.environment})
        if wait:
            self.wait_for(self.status, "a first report")
        return self.child

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        status = self.child.wait(DEADLINE)
        self.child = None
        return status

    def stop_for_good(self):
        if self.child and self.wrapper and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ---- what it says ----

    def status(self):
        """status.json of the present agent, or None."""
        try:
            seen = json.loads((self.run_dir / "status.json").read_text())
        except (OSError, ValueError):
            return None
        return seen if not self.child or self.wrapper or seen["pid"] == self.child.pid else None

    def row(self, name, namespace="kube-system"):
        for row in (self.status() or {}).get("daemonsets", []):
            if (row["namespace"], row["name"]) == (namespace, name):
                return row
        return None

    def problem(self):
        return (self.status() or {}).get("problem", "")

    def counter(self, name):
        return self.status()["counters"][name]

    # ---- waiting ----

    def wait_for(self, predicate, what, deadline=None):
        """Until the predicate holds, looking again whenever something happened; its value."""
        end = time.monotonic() + (deadline or DEADLINE)
        watch = Watch(self.manifests, self.run_dir, self.state / "quarantine")
        try:
            while True:
                got = predicate()
                if got:
                    return got
                if self.child and self.child.poll() is not None:
                    self.fail(f"the agent ended with {self.child.returncode}: {self.log()[-2000:]}")
                if time.monotonic() > end:
                    self.fail(f"waited in vain for {what}; {self.files()} {self.status()}\n{self.log()[-3000:]}")
                watch.wait(0.02)
        finally:
            watch.close()

    def wait_file(self, name, want=None, namespace="kube-system"):
        """Until the manifest stands, whole and 0600; its bytes."""
        path = self.path(name, namespace)

        def stands():
            try:
                st = path.lstat()
                got = path.read_bytes()
            except OSError:
                return None
            if st.st_mode != 0o100600 or not got.rstrip().endswith(b"}"):
                return None
            return got if want is None or got == want else None
        return self.wait_for(stands, f"manifest {path.name}")

    def wait_files(self, *names):
        want = sorted(self.path(n).name for n in names)
        self.wait_for(lambda: self.files() == want, f"exactly {want}")

    def wait_reason(self, name, *reasons):
        return self.wait_for(lambda: (self.row(name) or {}).get("reason") in reasons and self.row(name),
                             f"{name} to be {reasons}")

    def settle(self):
        """A drift and its repair: whatever was announced before it has been looked at when it is done."""
        path = next(p for p in sorted(self.manifests.iterdir()) if p.name.startswith("daemonlet_"))
        want, before = path.read_bytes(), self.counter("repairs")
        path.unlink()
        self.wait_for(lambda: path.exists() and path.read_bytes() == want, f"{path.name} to be repaired")
        self.wait_for(lambda: self.counter("repairs") > before, "the repair to be counted")

    def inodes(self):
        return {p.name: (p.lstat().st_ino, p.lstat().st_mtime_ns) for p in self.manifests.iterdir()}
