#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One write of a volume, or one sweep, killed at every system call, and with every call failing: strace injects it.

Whatever happens, a volume is whole, old or new, and one that was not there yet is whole or not there; and the next call
without faults finishes the work and leaves nothing behind. The unit test's program makes the call."""
import collections, os, pathlib, re, shutil, subprocess, sys, tempfile, time, unittest

import host
from test_faults import can_trace

PROGRAM = host.BUILD / "tests" / "unit" / "test_materialise"
SECONDS = float(os.environ.get("FAULTS_SECONDS", "3"))  # for each of the long tests; 1000: every fault
POD, INPUT = "kube-system_a", "kube-system_a/00112233"

ERRORS = {
    "openat": ["EACCES", "EIO", "ENOSPC", "EMFILE"],
    "write": ["ENOSPC", "EIO", "EDQUOT"],
    "fsync": ["EIO", "ENOSPC", "EDQUOT"],
    "mkdir": ["ENOSPC", "EACCES", "EIO"],
    "mkdirat": ["ENOSPC", "EACCES", "EIO", "EDQUOT"],
    "symlinkat": ["ENOSPC", "EACCES", "EIO", "EDQUOT"],
    "renameat": ["ENOSPC", "EACCES", "EIO", "EDQUOT"],
    "unlinkat": ["EROFS", "EACCES", "EIO"],
    "readlinkat": ["EACCES", "EIO"],
    "fchmod": ["EIO", "EROFS"],
    "fsetxattr": ["EACCES", "ENOSPC"],
    "lsetxattr": ["EACCES", "ENOSPC"],
    "setxattr": ["EACCES"],
    "newfstatat": ["EIO"],
    "fstat": ["EIO"],
    "fcntl": ["EMFILE"],
    "getdents64": ["EIO"],
}
# Where one of these fails what is left cannot be cleared away either, or it was what cleared it away.
CLEARING = ("unlinkat", "openat", "getdents64", "newfstatat", "fstat", "fcntl")

Call = collections.namedtuple("Call", "name nth line")


def files_of(generation):
    return {"a": (generation, 0o644), "dir/b": (generation, 0o600), "dir/deep/c": (generation, 0o640),
            f"only-{generation}/x": (generation, 0o644)}


class Faults(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="daemonlet-test-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.root, self.trace_file, self.enforce = self.dir / "volumes", self.dir / "trace", self.dir / "enforce"
        self.volume = self.root / INPUT / "config"
        self.template = self.dir / "template"
        if os.geteuid() == 0:
            self.enforce.write_text("1")

    # ---- calls ----

    def command(self, what, generation="2"):
        return [PROGRAM, what, self.root, generation, self.enforce] if what == "write" else [PROGRAM, what, self.root]

    def run_(self, what, *generation):
        return subprocess.run(self.command(what, *generation), capture_output=True, text=True, timeout=60)

    def run_ok(self, what, *generation):
        p = self.run_(what, *generation)
        self.assertEqual(p.returncode, 0, p.stderr)

    def strace(self, what, *options):
        return subprocess.run(["strace", "-qq", "-o", self.trace_file, *options, *self.command(what)],
                              capture_output=True, text=True, timeout=120)

    def rewind(self):
        shutil.rmtree(self.root, ignore_errors=True)
        if self.template.exists():
            shutil.copytree(self.template, self.root, symlinks=True)

    def save(self):
        shutil.copytree(self.root, self.template, symlinks=True)

    def calls(self, what):
        """The system calls in their order, from the first that names the directory of the volumes or the one above."""
        self.rewind()
        p = self.strace(what, "-y", "-s", "300")
        self.assertEqual(p.returncode, 0, p.stderr)
        seen, calls, started = collections.Counter(), [], False
        for line in self.trace_file.read_text().splitlines():
            m = re.match(r"(\w+)\(", line)
            if not m:
                continue
            seen[m[1]] += 1
            started = started or (m[1] == "openat" and f'"{self.dir}' in line)
            if started and m[1] not in ("exit_group", "brk", "mmap", "munmap", "mprotect", "close", "access"):
                calls.append(Call(m[1], seen[m[1]], line))
        return calls

    # ---- what must hold ----

    def content(self):
        """What is behind ..data, or None where no volume is."""
        if not os.path.lexists(self.volume):
            return None
        data = self.volume / "..data"
        return {str(p.relative_to(data)): (p.read_text(), p.stat().st_mode & 0o7777)
                for p in sorted(data.rglob("*")) if not p.is_dir()}

    def check_whole(self, allowed, what):
        now = self.content()
        self.assertIn(now, allowed, what)
        # A file that the old and the new ones have is never missing under its own name.
        if now is not None:
            self.assertEqual((self.volume / "a").read_text(), now["a"][0], what)
            self.assertEqual((self.volume / "dir/b").read_text(), now["dir/b"][0], what)
        return now

    def check_finished(self, generation, what):
        data = os.readlink(self.volume / "..data")
        self.assertRegex(data, r"^\.\.[0-9a-f]{32}$")
        self.assertEqual(self.content(), files_of(generation), what)
        self.assertEqual(sorted(os.listdir(self.volume)), sorted([data, "..data", "a", "dir", f"only-{generation}"]), what)
        for name in ("a", "dir", f"only-{generation}"):
            self.assertEqual(os.readlink(self.volume / name), f"..data/{name}", what)
        self.assertEqual(os.listdir(self.root / INPUT), ["config"], what)
        directories = [p for p in self.volume.rglob("*") if p.is_dir() and not p.is_symlink()]
        for p in [self.volume, *directories]:
            self.assertEqual(p.stat().st_mode & 0o7777, 0o755, f"{p} after {what}")
        for p in (self.root, self.root / POD, self.root / INPUT):
            self.assertEqual(p.stat().st_mode & 0o7777, 0o700, f"{p} after {what}")
        if self.enforce.exists():
            for p in [self.volume, *self.volume.rglob("*")]:
                self.assertEqual(os.getxattr(p, "security.selinux", follow_symlinks=False),
                                 b"system_u:object_r:container_file_t:s0\0", f"{p} after {what}")

    def check_no_temporary(self, what):
        left = [p for p in self.root.rglob("*") if p.name.startswith("..tmp-")]
        self.assertEqual(left, [], what)

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

    # ---- writing ----

    def prepare(self, story):
        """What stands before the write of generation 2; returns its files."""
        if story == "first":
            return None
        self.run_ok("write", "1" if story == "change" else "2")
        if story == "repair":
            (self.volume / "a").unlink()
            (self.volume / "dir").unlink()
            (self.volume / "dir").write_text("in its place")
            (self.volume / "..0123456789abcdef0123456789abcdef").mkdir()
        self.save()
        return self.content()

    def kill_everywhere(self, story):
        old = self.prepare(story)
        calls = self.calls("write")

        def one(call):
            self.rewind()
            p = self.strace("write", "-e", f"inject={call.name}:signal=KILL:when={call.nth}")
            what = f"kill at {call.line}"
            self.assertIn(p.returncode, (-9, 137), what)
            if story == "repair":
                self.assertEqual(self.content(), old, what)
            else:
                self.check_whole((old, files_of("2")), what)
            self.run_ok("write", "2")
            self.check_finished("2", what)

        self.assertGreater(len(calls), 30)
        self.run_faults(calls, one)

    def fail_everywhere(self, story):
        old = self.prepare(story)
        calls = self.calls("write")
        faults = [(c, e) for c in calls for e in ERRORS.get(c.name, [])]
        unknown = {c.name for c in calls} - set(ERRORS) - {"geteuid", "getrandom", "futex", "read", "lseek"}
        self.assertEqual(unknown, set(), "calls whose failures are not tried")

        def one(fault):
            call, error = fault
            self.rewind()
            p = self.strace("write", "-e", f"inject={call.name}:error={error}:when={call.nth}")
            what = f"{error} from {call.line}: {p.stderr}"
            self.assertIn(p.returncode, (0, 1), what)
            if p.returncode == 0:
                self.check_finished("2", what)
            else:
                self.assertRegex(p.stderr, "volume", what)
                if story == "repair":
                    self.assertEqual(self.content(), old, what)
                else:
                    self.check_whole((old, files_of("2")), what)
                if call.name not in CLEARING:
                    self.check_no_temporary(what)
            self.run_ok("write", "2")
            self.check_finished("2", what)

        self.run_faults(faults, one)

    def test_first_write_killed(self):
        self.kill_everywhere("first")

    def test_change_killed(self):
        self.kill_everywhere("change")

    def test_repair_killed(self):
        self.kill_everywhere("repair")

    def test_first_write_fails(self):
        self.fail_everywhere("first")

    def test_change_fails(self):
        self.fail_everywhere("change")

    def test_repair_fails(self):
        self.fail_everywhere("repair")

    def test_what_cannot_be_read_is_not_taken_for_missing(self):
        """Links that are looked at, and the old files behind ..data: nothing is removed for it before the swap."""
        old = self.prepare("change")
        calls = self.calls("write")
        swap = next(i for i, c in enumerate(calls) if c.name == "renameat" and '"..data")' in c.line)
        looks = [(i, c) for i, c in enumerate(calls)
                 if c.name == "readlinkat" or re.match(r'openat\([^,]*, "\.\.[0-9a-f]{32}"', c.line)]
        self.assertGreater(len(looks), 6)
        self.assertLess(looks[1][0], swap)
        for i, call in looks:
            for error in ("EIO", "EACCES"):
                self.rewind()
                p = self.strace("write", "-e", f"inject={call.name}:error={error}:when={call.nth}")
                self.assertEqual(p.returncode, 1, call.line)
                self.assertEqual(self.content(), old if i < swap else files_of("2"), call.line)
                self.run_ok("write", "2")
                self.check_finished("2", call.line)

    def test_full_disk(self):
        """From some call on nothing can be made any more: the old files stand and nothing is left behind."""
        for story in ("first", "change"):
            shutil.rmtree(self.template, ignore_errors=True)
            shutil.rmtree(self.root, ignore_errors=True)
            old = self.prepare(story)
            for call in [c for c in self.calls("write") if c.name in ("write", "mkdirat", "symlinkat")]:
                if call.name == "symlinkat" and '"..data/' in call.line and story == "change":
                    continue  # behind the swap
                for error in ("ENOSPC", "EDQUOT", "EIO"):
                    self.rewind()
                    p = self.strace("write", "-e", f"inject={call.name}:error={error}:when={call.nth}+")
                    self.assertEqual(p.returncode, 1, call.line)
                    self.assertEqual(self.content(), old, call.line)
                    self.check_no_temporary(call.line)
                    if story == "change":
                        self.check_finished("1", call.line)
                    self.run_ok("write", "2")
                    self.check_finished("2", call.line)

    def test_interrupted_calls_are_repeated(self):
        for call in [c for c in self.calls("write") if c.name in ("openat", "write", "fsync")]:
            self.rewind()
            p = self.strace("write", "-e", f"inject={call.name}:error=EINTR:when={call.nth}")
            self.assertEqual(p.returncode, 0, f"{call.line}: {p.stderr}")
            self.check_finished("2", call.line)

    # ---- order ----

    def test_order_on_the_disk(self):
        """What a power cut may lose is what was not synced: files before the names that lead to them, names before what
        they replace is removed."""
        self.prepare("change")
        lines = [c.line for c in self.calls("write")]

        def first(pattern, start=0):
            for i in range(start, len(lines)):
                if re.search(pattern, lines[i]):
                    return i
            self.fail(f"no {pattern} behind call {start}")

        volume = re.escape(str(self.volume))
        named = first(r'^renameat\(.*"\.\.tmp-new", .*, "\.\.[0-9a-f]{32}"\)')
        swap = first(r'^renameat\(.*"\.\.tmp-link", .*, "\.\.data"\)', named)
        for path in ("/a", "/dir/b", "/dir/deep/c", "/only-2/x", "", "/dir", "/dir/deep", "/only-2"):
            last_made = max([i for i in range(named) if re.match(rf"(openat.*O_CREAT|mkdirat|fchmod|write|fsetxattr).*"
                                                                 rf"<{volume}/\.\.tmp-new{path}>", lines[i])], default=0)
            self.assertLess(first(rf"^fsync\(\d+<{volume}/\.\.tmp-new{path}>\)", last_made), named, path)
        self.assertLess(first(rf"^fsync\(\d+<{volume}>\)", named), swap)
        removed = first(r"^unlinkat\(", swap)
        self.assertLess(first(rf"^fsync\(\d+<{volume}>\)", swap), removed)
        for link in [i for i, line in enumerate(lines) if re.match(r'symlinkat\("\.\.data/', line)]:
            self.assertLess(swap, link)
            self.assertLess(link, removed)

    def test_order_of_a_first_write(self):
        """A volume gets its name when it is whole and synced, and that name and those above are synced, too."""
        lines = [c.line for c in self.calls("write")]
        place = [i for i, line in enumerate(lines) if re.match(r'renameat\(.*"\.\.tmp-new", .*, "config"\)', line)]
        self.assertEqual(len(place), 1)
        new = re.escape(str(self.root / INPUT / "..tmp-new"))
        synced = max(i for i, line in enumerate(lines) if re.match(rf"fsync\(\d+<{new}>\)", line))
        made = max(i for i, line in enumerate(lines) if re.match(rf"(symlinkat|renameat)\(.*<{new}>, ", line))
        self.assertLess(made, synced + 1)
        self.assertLess(synced, place[0])
        for directory in (self.dir, self.root, self.root / POD, self.root / INPUT):
            self.assertTrue(any(re.match(rf"fsync\(\d+<{re.escape(str(directory))}>\)", line) for line in lines), directory)
        self.assertTrue(any(re.match(rf"fsync\(\d+<{re.escape(str(self.root / INPUT))}>\)", line)
                            for line in lines[place[0]:]))

    def test_old_files_stay_until_the_swap_is_synced(self):
        """Had the sync behind the swap failed, the next write must not remove what the disk may still lead to."""
        self.prepare("change")
        calls = self.calls("write")
        swap = next(i for i, c in enumerate(calls) if c.name == "renameat" and '"..data")' in c.line)
        sync = next(c for c in calls[swap:] if c.name == "fsync")
        self.rewind()
        p = self.strace("write", "-e", f"inject=fsync:error=EIO:when={sync.nth}")
        self.assertEqual(p.returncode, 1)
        self.assertEqual(len([n for n in os.listdir(self.volume) if re.match(r"\.\.[0-9a-f]{32}$", n)]), 2)
        p = self.strace("write", "-y", "-s", "300")
        self.assertEqual(p.returncode, 0, p.stderr)
        lines = self.trace_file.read_text().splitlines()
        syncs = [i for i, line in enumerate(lines) if re.match(rf"fsync\(\d+<{re.escape(str(self.volume))}>\)", line)]
        unlinks = [i for i, line in enumerate(lines) if line.startswith("unlinkat(")]
        self.assertLess(syncs[0], unlinks[0])
        self.check_finished("2", "the second write")

    # ---- sweeping ----

    def prepare_sweep(self):
        self.run_ok("write", "1")
        self.save()

    def check_swept(self, what):
        self.run_ok("sweep")
        self.assertEqual(os.listdir(self.root), [], what)

    def check_write_after(self, what):
        """The same input comes back after half of a sweep."""
        self.run_ok("write", "1")
        self.assertEqual(self.content(), files_of("1"), what)

    def test_sweep_killed(self):
        self.prepare_sweep()

        def one(call):
            what = f"kill at {call.line}"
            for after in (self.check_swept, self.check_write_after):
                self.rewind()
                p = self.strace("sweep", "-e", f"inject={call.name}:signal=KILL:when={call.nth}")
                self.assertIn(p.returncode, (-9, 137), what)
                self.check_whole((None, files_of("1")), what)
                after(what)

        self.run_faults(self.calls("sweep"), one)

    def test_sweep_of_a_pod_that_vanishes(self):
        """Between two steps of the sweep: then there is nothing to do."""
        self.prepare_sweep()
        pod = re.escape(str(self.root / POD))
        calls = [c for c in self.calls("sweep") if re.match(rf'openat\(\d+<{re.escape(str(self.root))}>, "{POD}"|'
                                                            rf'openat\(\d+<{pod}>, "(\.|00112233)"|'
                                                            rf'renameat\(\d+<{pod}>, "00112233"', c.line)]
        self.assertEqual(len(calls), 4)
        for call in calls:
            self.rewind()
            p = self.strace("sweep", "-e", f"inject={call.name}:error=ENOENT:when={call.nth}")
            self.assertEqual(p.returncode, 0, f"{call.line}: {p.stderr}")
            self.assertEqual(self.content(), files_of("1"), call.line)

    def test_sweep_fails(self):
        self.prepare_sweep()

        def one(fault):
            call, error = fault
            what = f"{error} from {call.line}"
            self.rewind()
            p = self.strace("sweep", "-e", f"inject={call.name}:error={error}:when={call.nth}")
            self.assertIn(p.returncode, (0, 1), what)
            if p.returncode == 1:
                self.assertNotEqual(p.stderr.strip(), "", what)
            elif not (call.name == "openat" and "O_PATH" in call.line):
                self.assertEqual(os.listdir(self.root), [], what)
            self.check_whole((None, files_of("1")), what)
            self.check_swept(what)

        self.run_faults([(c, e) for c in self.calls("sweep") for e in ERRORS.get(c.name, [])], one)


if __name__ == "__main__":
    if os.environ.get("SANITIZED") == "yes":
        # A sanitizer's own system calls differ from run to run, so that none can be named by its number.
        raise SystemExit(77)
    if not PROGRAM.exists():
        print("built without unit tests", file=sys.stderr)
        sys.exit(77)
    if not can_trace():
        print("strace cannot trace here", file=sys.stderr)
        sys.exit(77)
    host.main()
