#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The witness on real cgroups, v2 and v1, below one that the test makes for itself: no pod of a kubelet is near."""
import os, pathlib, select, shutil, subprocess, sys, tempfile, threading, time, unittest, uuid

BUILD = pathlib.Path(os.environ.get("builddir", ".")).resolve()
LOOK = BUILD / "tests" / "unit" / "test_witness"  # test_witness CGROUP_DIR KUBELET_ROOT UID...
SECONDS = 60  # nothing here takes that long unless it is broken

# A process that lives until its standard input ends, and ends with the test whatever happens.
CHILD = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]


def own_cgroups():
    """The cgroups of this process by hierarchy; "" is v2."""
    own = {}
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            own[name.removeprefix("name=")] = path
    return own


def mounts(kind):
    """Mount points of cgroup file systems, with the cgroup at their root and their options."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        fstype, _, options = rest.split(" ")[:3]
        if fstype == kind:
            yield fields.split(" ")[3], pathlib.Path(fields.split(" ")[4]), options.split(",")


def make_below_own(kind, name):
    """Makes an empty cgroup below the one of this process; None where that cannot be."""
    own = own_cgroups().get(name)
    for root, point, options in mounts(kind):
        if own is None or (kind == "cgroup" and name not in options and f"name={name}" not in options):
            continue
        inside = os.path.relpath(own, root) if own.startswith(root) else "."
        if inside.startswith(".."):
            continue
        path = point / inside / f"daemonlet-test-{uuid.uuid4()}"
        try:
            path.mkdir()
            return path
        except OSError:
            continue
    return None


def remove(cgroup):
    for directory, _, _ in os.walk(cgroup, topdown=False):
        os.rmdir(directory)


def name_slice(parent, uid):
    return f"{parent}-pod{uid.replace('-', '_')}.slice"


class Cgroups:
    """One test for each version. A class without tests of its own."""
    def setUp(self):
        self.top = self.make_top()
        if not self.top:
            self.skipTest("no cgroup can be made here")
        self.addCleanup(remove, self.top)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="daemonlet-test-"))
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "pods").mkdir()
        self.uid, self.other = str(uuid.uuid4()), str(uuid.uuid4())

    def look(self, *uids):
        p = subprocess.run([LOOK, self.top, self.root, *(uids or [self.uid])], capture_output=True, text=True,
                           timeout=SECONDS)
        self.assertEqual(p.returncode, 0, p.stderr)
        return p.stdout.split()

    def start_in(self, cgroup):
        child = subprocess.Popen(CHILD, stdin=subprocess.PIPE)
        self.addCleanup(self.end, child)
        try:
            (cgroup / "cgroup.procs").write_text(str(child.pid))
        except OSError as e:
            self.skipTest(f"no process can be moved to a cgroup: {e}")
        return child

    def end(self, child):
        child.stdin.close()
        child.wait(SECONDS)

    def wait_until(self, what):
        end = time.monotonic() + SECONDS
        while not what():
            self.assertLess(time.monotonic(), end, "it did not come about")
            self.wait_for_change(end)

    def test_life_of_a_pod(self):
        for tree, pod in (("kubepods", f"burstable/pod{self.uid}"), ("kubepods", f"pod{self.uid}"),
                          ("kubelet.slice/kubelet-kubepods.slice",
                           "kubelet-kubepods-besteffort.slice/" + name_slice("kubelet-kubepods-besteffort", self.uid))):
            with self.subTest(tree=tree, pod=pod):
                self.live(self.hierarchy() / tree, pod)

    def live(self, tree, pod):
        pod, directory = tree / pod, self.root / "pods" / self.uid
        container = pod / "cri-containerd-0123.scope"
        tree.mkdir(parents=True, exist_ok=True)
        self.assertEqual(self.look(), ["gone"])
        pod.mkdir(parents=True)
        self.assertEqual(self.look(), ["terminating"])
        directory.mkdir()
        container.mkdir()
        self.assertEqual(self.look(), ["terminating"])

        child = self.start_in(container)
        self.assertEqual(self.look(self.uid, self.other), ["running", "gone"])
        directory.rmdir()
        self.assertEqual(self.look(), ["running"])
        directory.mkdir()

        self.end(child)
        self.wait_until(lambda: self.is_empty(container))
        self.assertEqual(self.look(), ["terminating"])
        container.rmdir()
        pod.rmdir()
        self.assertEqual(self.look(), ["terminating"])
        directory.rmdir()
        self.assertEqual(self.look(), ["gone"])

    def test_cgroups_that_vanish_meanwhile(self):
        burstable = self.hierarchy() / "kubepods" / "burstable"
        steady, fleeting = burstable / f"pod{self.other}", burstable / f"pod{self.uid}"
        steady.mkdir(parents=True)
        child = self.start_in(steady)
        stop = threading.Event()

        def flicker():
            while not stop.is_set():
                (fleeting / "container").mkdir(parents=True)
                (fleeting / "container").rmdir()
                fleeting.rmdir()

        thread = threading.Thread(target=flicker)
        thread.start()
        try:
            answers = [self.look(self.uid, self.other) for _ in range(100)]
        finally:
            stop.set()
            thread.join()
        self.assertEqual({a[1] for a in answers}, {"running"})
        self.assertLessEqual({a[0] for a in answers}, {"terminating", "gone"})
        self.end(child)
        self.wait_until(lambda: self.is_empty(steady))


class V2(Cgroups, unittest.TestCase):
    def make_top(self):
        return make_below_own("cgroup2", "")

    def hierarchy(self):
        return self.top

    def is_empty(self, cgroup):
        return "populated 0" in (cgroup / "cgroup.events").read_text()

    def wait_for_change(self, end):
        # The kernel notifies of cgroup.events. What changed before is seen by reading again, hence not too long.
        with open(self.top / "cgroup.events") as events:
            events.read()
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            poll.poll(10)


class V1(Cgroups, unittest.TestCase):
    """A cgroup with the name of a hierarchy in it looks as the directory of all hierarchies does."""
    # Not memory: a process that is moved there would leave the limits of whoever started the test.
    HIERARCHIES = "pids", "systemd", "cpu"

    def make_top(self):
        for self.name in self.HIERARCHIES:
            top = make_below_own("cgroup", self.name)
            if top:
                (top / self.name).mkdir()
                return top
        return None

    def hierarchy(self):
        return self.top / self.name

    def is_empty(self, cgroup):
        return not (cgroup / "cgroup.procs").read_text()

    def wait_for_change(self, end):
        select.select([], [], [], 0.01)  # nothing notifies


if __name__ == "__main__":
    if not LOOK.exists():
        print(f"{LOOK} is missing")
        sys.exit(77)
    result = unittest.main(verbosity=2, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if len(result.skipped) == result.testsRun else 0)
