#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sync killed at every system call, and with every call on its directories failing: strace injects the faults.

Whatever happens, each manifest is whole, old or new; the exit status tells whether all was done; and the next sync
finishes the work and leaves nothing behind."""
import collections, os, re, shutil, subprocess, sys, time

import host
from host import Host, daemonset

NOT_WELL = 1
EX_IOERR = 74
SECONDS = float(os.environ.get("FAULTS_SECONDS", "20"))  # for each of the two long tests; 1000: every fault
SECOND_IMAGE = "registry.example.com/a:2"

# What a failing disk, a full or read-only one, or a security module says; by system call.
ERRORS = {
    "openat": ["EACCES", "EIO", "ENOSPC", "EROFS"],
    "write": ["ENOSPC", "EIO"],
    "fsync": ["EIO", "ENOSPC"],
    "rename": ["EROFS", "EIO"],
    "renameat": ["EROFS", "EACCES", "ENOSPC", "EIO"],
    "renameat2": ["EROFS", "EACCES", "ENOSPC", "EIO"],
    "linkat": ["EROFS", "EIO"],
    "unlinkat": ["EROFS", "EACCES", "EIO"],
    "mkdirat": ["ENOSPC", "EROFS"],
    "fchmod": ["EPERM", "EROFS"],
    "read": ["EIO"],
    "getdents64": ["EIO"],
    "flock": ["ENOLCK"],
}

Call = collections.namedtuple("Call", "name nth line")


def can_trace():
    try:
        p = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "inject=openat:signal=KILL:when=1", "true"],
                           capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return p.returncode in (-9, 137)


class Faults(Host):
    def setUp(self):
        super().setUp()
        self.first_copy = self.dir.with_name(self.dir.name + "-template")
        self.addCleanup(shutil.rmtree, self.first_copy, True)
        self.trace_file = self.dir.with_name(self.dir.name + "-trace")
        self.addCleanup(lambda: self.trace_file.unlink(missing_ok=True))
        self.prepare()
        self.before = self.standing()
        self.sync(status=None)
        self.after = self.standing()
        self.rewind()

    # ---- the story: one is replaced, two restored, three removed, four created, a copy goes to the quarantine ----

    def prepare(self):
        for name in ("one", "two", "three"):
            self.source(f"{name}.json", daemonset(name))
        self.sync()
        self.source("one.json", daemonset("one", image=SECOND_IMAGE))
        self.path("two").write_text(self.path("two").read_text()[:-20])
        (self.sources / "three.json").unlink()
        self.source("four.json", daemonset("four"))
        (self.manifests / "one.bak").write_text(self.path("one").read_text())
        shutil.copytree(self.dir, self.first_copy, symlinks=True)

    def rewind(self):
        """Everything as it was before the sync, in the same directories."""
        for base in (self.manifests, self.state):
            for p in base.rglob("*"):
                if not p.is_dir():
                    p.unlink()
            source = self.first_copy / base.name
            for p in sorted(source.rglob("*")):
                target = base / p.relative_to(source)
                if p.is_dir():
                    target.mkdir(exist_ok=True)
                else:
                    shutil.copy2(p, target)

    def standing(self):
        return {p.name: p.read_text() for p in self.manifests.iterdir() if not p.name.startswith(".")}

    def sync(self, status=0, **kw):
        if status is not None:
            return super().sync(status=status, **kw)
        p = self.run_("sync", "-q")
        self.assertEqual(p.returncode, 0, p.stderr)

    # ---- what must hold ----

    def check_whole(self, what):
        now = self.standing()
        for name in set(now) | set(self.before) | set(self.after):
            self.assertIn(now.get(name), (self.before.get(name), self.after.get(name)), f"{name} after {what}")
        # What was to be replaced or restored is never missing on the way.
        for name in ("one", "two"):
            self.assertIn(self.path(name).name, now, what)
        return now

    def check_finished(self, what):
        """A sync without faults does the rest."""
        p = self.run_("sync", "-q")
        self.assertEqual(p.returncode, 0, f"{what}: {p.stderr}")
        self.assertEqual(self.standing(), self.after, what)
        self.assertEqual([f for f in self.files() if f.startswith(".")], [], what)
        self.assertEqual(list((self.state / "next").iterdir()), [], what)
        self.assertEqual({p.name: p.read_text() for p in (self.state / "manifests").iterdir()}, self.after, what)

    # ---- strace ----

    def strace(self, *options):
        command = ["strace", "-qq", "-o", str(self.trace_file), *options, str(host.DAEMONLET), "--config",
                   str(self.conf), "--node", str(self.node), "sync", "-q"]
        # The leak check cannot work in a process that is traced.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        return subprocess.run(command, capture_output=True, text=True, timeout=120,
                              env={**os.environ, "ASAN_OPTIONS": sanitizer})

    def calls(self):
        """The system calls of a sync in their order, from the one that opens the manifest directory."""
        self.rewind()
        p = self.strace("-y", "-s", "300")
        self.assertEqual(p.returncode, 0, p.stderr)
        seen, calls, started = collections.Counter(), [], False
        for line in self.trace_file.read_text().splitlines():
            m = re.match(r"(\w+)\(", line)
            if not m:
                continue
            seen[m[1]] += 1
            started = started or (m[1] == "openat" and f'"{self.manifests}"' in line)
            if started:
                calls.append(Call(m[1], seen[m[1]], line))
        self.assertGreater(len(calls), 100)
        return calls

    def touches(self, call):
        return str(self.manifests) in call.line or str(self.state) in call.line

    def run_faults(self, faults, one):
        """Runs all of them, or an even choice of as many as the time allows."""
        start = time.monotonic()
        for fault in faults[:5]:
            one(fault)
        each = (time.monotonic() - start) / 5
        step = max(1, int(each * len(faults) / SECONDS + 0.999))
        for i, fault in enumerate(faults[5:]):
            if i % step == 0:
                one(fault)
        print(f"{len(faults)} faults, every {step}. tried, {time.monotonic() - start:.0f} s", file=sys.stderr)

    # ---- the tests ----

    def test_killed_at_every_call(self):
        def one(call):
            self.rewind()
            p = self.strace("-e", f"inject={call.name}:signal=KILL:when={call.nth}")
            what = f"kill at {call.line}"
            self.assertIn(p.returncode, (-9, 137), what)
            self.check_whole(what)
            self.check_finished(what)

        calls = [c for c in self.calls() if c.name not in ("exit_group", "brk", "mmap", "munmap", "close")]
        self.run_faults(calls, one)

    def test_every_call_fails(self):
        def one(fault):
            call, error = fault
            self.rewind()
            p = self.strace("-e", f"inject={call.name}:error={error}:when={call.nth}")
            what = f"{error} from {call.line}"
            now = self.check_whole(what)
            # 1: it was a source that could not be read, which is a row and not the end.
            self.assertIn(p.returncode, (0, NOT_WELL, EX_IOERR), f"{what}: {p.stderr}")
            if p.returncode == NOT_WELL:
                self.assertIn("Unreadable", p.stdout, what)
            if p.returncode == 0:
                self.assertEqual(now, self.after, f"exit status 0, but not all is done: {what}")
            else:
                self.assertNotEqual(p.stderr, "", what)
            self.check_finished(what)

        faults = [(c, e) for c in self.calls() if self.touches(c) for e in ERRORS.get(c.name, [])]
        self.assertGreater(len(faults), 50)
        self.run_faults(faults, one)

    def test_full_disk(self):
        """From the first write on nothing can be written any more."""
        first = next(c for c in self.calls() if c.name == "write" and self.touches(c))
        for error in ("ENOSPC", "EIO", "EDQUOT"):
            self.rewind()
            p = self.strace("-e", f"inject=write:error={error}:when={first.nth}+")
            self.assertEqual(p.returncode, EX_IOERR)
            now = self.check_whole(error)
            self.assertEqual(now[self.path("one").name], self.before[self.path("one").name])
            self.assertNotIn(self.path("three").name, now, "a removal needs no space")
            self.check_finished(error)

    def test_state_directory_full_or_read_only(self):
        """Only what goes through next/ fails: repairs and removals are done."""
        writes = [c for c in self.calls() if c.name == "openat" and f"<{self.state}/next>" in c.line and "O_CREAT" in c.line]
        self.assertGreaterEqual(len(writes), 3)
        for error in ("EROFS", "ENOSPC"):
            self.rewind()
            first = writes[0].nth
            p = self.strace("-e", f"inject=openat:error={error}:when={first}..{first + 1}")
            self.assertEqual(p.returncode, EX_IOERR, p.stderr)
            now = self.check_whole(error)
            self.assertEqual(now[self.path("two").name], self.after[self.path("two").name], "restored")
            self.assertNotIn(self.path("three").name, now)
            self.check_finished(error)

    def test_order_on_the_disk(self):
        """What a power cut may lose is what was not synced: bytes before names, state before manifests, manifests before
        state says that they stand."""
        lines = [c.line for c in self.calls()]

        def first(pattern, start=0):
            for i in range(start, len(lines)):
                if re.search(pattern, lines[i]):
                    return i
            self.fail(f"no {pattern} behind call {start}")

        manifests, state = re.escape(str(self.manifests)), re.escape(str(self.state))
        installs = [i for i, line in enumerate(lines) if re.match(r"rename\w*\(", line) and '".daemonlet-new"' in line]
        self.assertEqual(len(installs), 3)
        for i in installs:
            made = max(j for j in range(i) if re.match(r"openat", lines[j]) and '".daemonlet-new", O_WRONLY' in lines[j])
            self.assertLess(first(rf"^fsync\(\d+<{manifests}/\.daemonlet-new>\)", made), i)
        for name in ("one", "four"):
            renamed = first(rf'^rename.*"\.tmp".*{state}/next.*_{name}\.json"')
            self.assertLess(first(rf"^fsync\(\d+<{state}/next/\.tmp>\)"), renamed)
            self.assertLess(first(rf"^fsync\(\d+<{state}/next>\)", renamed), min(installs))
        synced = first(rf"^fsync\(\d+<{manifests}>\)", max(installs))
        for name in ("one", "four"):
            self.assertLess(synced, first(rf"^rename.*{state}/next.*_{name}\.json.*{state}/manifests"))
        # The tombstone is written before the pod loses its manifest.
        self.assertLess(first(r'^rename.*"index\.json"'), first(r'^unlinkat.*manifests.*_three\.json"'))
        for directory in ("manifests", "next"):
            first(rf"^fsync\(\d+<{state}/{directory}>\)", synced)
        self.assertEqual(sum(bool(re.search(rf"^fsync\(\d+<{manifests}>\)", line)) for line in lines), 1)

    def test_kernel_without_renameat2(self):
        for error in ("ENOSYS", "EINVAL"):
            self.rewind()
            p = self.strace("-e", f"inject=renameat2:error={error}")
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertEqual(self.standing(), self.after)
            self.assertEqual([f for f in self.files() if f.startswith(".")], [])
            self.check_finished(error)

    def test_interrupted_calls_are_repeated(self):
        for name in ("openat", "write", "fsync", "read"):
            for call in [c for c in self.calls() if c.name == name and self.touches(c)][::7]:
                self.rewind()
                p = self.strace("-e", f"inject={name}:error=EINTR:when={call.nth}")
                self.assertEqual(p.returncode, 0, f"{call.line}: {p.stderr}")
                self.assertEqual(self.standing(), self.after, call.line)


if __name__ == "__main__":
    if os.environ.get("SANITIZED") == "yes":
        # A sanitizer's own system calls differ from run to run, so that none can be named by its number.
        raise SystemExit(77)
    if not can_trace():
        print("strace cannot trace here", file=sys.stderr)
        sys.exit(77)
    host.main()
