#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The running agent while its system calls fail, and much changes: what nobody touches stands all the while, what is
changed is whole at any moment, and when the disk is well again so is everything. SEED repeats a run."""
import glob, os, pathlib, random, shutil, sys, time, unittest

from agent import AgentHost
from host import daemonset, main

SEED = int(os.environ.get("SEED", "1"))
CALM, WILD = [f"calm-{i}" for i in range(4)], [f"wild-{i}" for i in range(8)]
FAULTS = {"fsync": "EIO", "write": "ENOSPC", "renameat,renameat2": "ENOSPC", "unlinkat": "EROFS", "openat": "EACCES",
          "getdents64": "EIO", "read": "EIO", "newfstatat": "ENOMEM", "fchmod": "EPERM", "inotify_add_watch": "ENOSPC"}
CALLS = ",".join(FAULTS)
CHANGES, STARTED = 250, 300  # so many calls of a kind go well first


class Faults(AgentHost):
    @classmethod
    def faults(cls, rng):
        """Every so many calls of a kind fail, in a step that is different each time."""
        for calls, error in FAULTS.items():
            start = STARTED if calls in ("openat", "read", "newfstatat") else rng.randrange(20, 60)
            yield from ("-e", f"inject={calls}:error={error}:when={start}+{rng.randrange(7, 60)}")

    def config_map(self, value):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared", "namespace": "kube-system"},
                "data": {"a": value, "b": value}}

    def wild(self, name, version):
        volumes = {"volumes": [{"name": "v", "configMap": {"name": "shared"}}]} if name < "wild-4" else {}
        return daemonset(name, image=f"registry.example.com/a:{version}", **volumes)

    def change(self, rng):
        name = rng.choice(WILD)
        act = rng.randrange(5)
        if act < 2:
            self.source(f"{name}.json", self.wild(name, rng.randrange(5)))
        elif act == 2:
            self.source("shared.json", self.config_map(str(rng.randrange(5))))
        else:
            self.path(name).unlink(missing_ok=True)
        time.sleep(rng.random() * 0.03)

    def calm(self):
        return [(p.st_ino, p.st_mtime_ns, p.st_mode) for p in (self.path(n).lstat() for n in CALM)]

    def check(self, calm):
        self.assertEqual(self.calm(), calm)
        for name in WILD:
            try:
                pod = self.pod(name)
            except FileNotFoundError:
                continue
            self.assertEqual(pod["metadata"]["name"], name)
        for files in map(pathlib.Path, glob.glob(f"{self.state}/volumes/*/*/v")):  # passes over what goes meanwhile
            # Both were written at once; the link is read once, as one open directory would be.
            try:
                data = files / os.readlink(files / "..data")
                values = {(data / f).read_text() for f in ("a", "b")}
            except FileNotFoundError:
                continue  # swapped meanwhile
            self.assertEqual(len(values), 1, values)
        self.errors |= {(e["daemonset"], e["message"]) for e in (self.status() or {}).get("lastErrors", [])}
        # Where its own event loop cannot be read it ends, and is started again, as its unit does it.
        if self.child.poll() is not None:
            self.assertEqual(self.child.returncode, 74, self.log()[-2000:])
            self.start()

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    @unittest.skipIf(os.environ.get("SANITIZED", "no") == "yes", "a sanitizer calls the system as well")
    def test_changes_while_calls_fail(self):
        print(f"SEED={SEED}", file=sys.stderr)
        rng, self.errors = random.Random(SEED), set()
        self.source("shared.json", self.config_map("0"))
        for name in CALM:
            self.source(f"{name}.json", daemonset(name))
        for name in WILD:
            self.source(f"{name}.json", self.wild(name, 0))
        self.start()
        self.wait_files(*CALM, *WILD)
        calm = self.calm()
        self.stop()
        self.wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={CALLS}",
                        *self.faults(rng)]
        self.start()
        # A slow agent makes fewer calls meanwhile.
        changes, end = 0, time.monotonic() + 60
        while changes < CHANGES or (len(self.errors) <= 3 and time.monotonic() < end):
            self.change(rng)
            self.check(calm)
            changes += 1
        self.assertGreater(len(self.errors), 3, "no call has failed")
        self.stop_for_good()
        self.wrapper = []
        # The disk is well again.
        self.start()
        for name in WILD:
            self.source(f"{name}.json", self.wild(name, 9))
        self.wait_for(lambda: all(self.pod(n)["spec"]["containers"][0]["image"].endswith(":9") for n in WILD),
                      "the last version", 60)
        self.wait_files(*CALM, *WILD)
        self.wait_for(lambda: not self.problem(), "no problem", 60)
        self.assertEqual(self.calm(), calm)


if __name__ == "__main__":
    main()
