# SPDX-License-Identifier: Apache-2.0
"""A host with a running agent, and ways to wait for what it does."""
import contextlib, ctypes, ctypes.util, fcntl, json, os, pathlib, select, signal, subprocess, time

from host import DAEMONLET, Host

DEADLINE = float(os.environ.get("DEADLINE", "60"))  # nothing here takes that long unless it is broken
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
        if not self.child:
            return
        if self.wrapper and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.kill()
        self.child.wait()
        self.child = None
        if self.wrapper:
            self.wait_unlocked()

    def wait_unlocked(self):
        """Who was traced ends a moment later than who traced it, and has the lock until then."""
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(self.manifests, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.close(lock)

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
        """Until the predicate holds, looking again whenever something happened; its value. A file or a row that the
        predicate misses may come: it does not hold yet."""
        end = time.monotonic() + max(deadline or 0, DEADLINE)
        watch = Watch(self.manifests, self.run_dir, self.state / "quarantine")
        try:
            while True:
                ended, late = self.child and self.child.poll() is not None, time.monotonic() > end
                got, missed = None, ""
                try:
                    got = predicate()
                except (FileNotFoundError, TypeError) as e:
                    missed = repr(e)
                if got:
                    return got
                if ended:
                    self.fail(f"the agent ended with {self.child.returncode}: {self.log()[-2000:]}")
                if late:
                    self.fail(f"waited in vain for {what}; {missed} {os.listdir(self.manifests) if self.manifests.exists() else None} "
                              f"{self.status()}\n{self.log()[-3000:]}")
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
        self.wait_for(lambda: super(AgentHost, self).files() == want, f"exactly {want}")

    def wait_reason(self, name, *reasons):
        return self.wait_for(lambda: (self.row(name) or {}).get("reason") in reasons and self.row(name),
                             f"{name} to be {reasons}")

    # ---- what stands in the manifest directory ----
    # The agent may be writing just now: what it has not named yet is no manifest, and a name that was listed may be gone.

    def files(self):
        return [f for f in super().files() if f != ".daemonlet-new"]

    def each_file(self, look):
        """look(path) of every file, by name."""
        found = {}
        for name in self.files():
            with contextlib.suppress(FileNotFoundError):
                found[name] = look(self.manifests / name)
        return found

    def bytes(self):
        return self.each_file(pathlib.Path.read_bytes)

    def inodes(self):
        return self.each_file(lambda p: (p.lstat().st_ino, p.lstat().st_mtime_ns))

    def settle(self):
        """A drift and its repair: whatever was announced before it has been looked at when it is done."""
        path = self.manifests / next(name for name in self.files() if name.startswith("daemonlet_"))
        want, before = path.read_bytes(), self.counter("repairs")
        path.unlink()
        self.wait_for(lambda: path.read_bytes() == want, f"{path.name} to be repaired")
        self.wait_for(lambda: self.counter("repairs") > before, "the repair to be counted")
