#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A long row of random changes to daemonsets.d and to the manifest directory beside a running agent. SEED and
OPERATIONS in the environment repeat one or make it longer."""
import json, os, pathlib, random, shutil, subprocess, sys, time

from agent import AgentHost
from host import daemonset, main

OPERATIONS, SECONDS = int(os.environ.get("OPERATIONS", "10000")), 60
SEED = int(os.environ.get("SEED", "1"))
NAMES = [f"ds-{i:02}" for i in range(20)]


def text(rng, name):
    return json.dumps(daemonset(name, image=f"registry.example.com/a:{rng.randrange(4)}",
                                **({"nodeSelector": {"disk": "ssd"}} if rng.random() < 0.1 else {})))


class Storm:
    """Run in a process of its own, as `test_agent_soak.py storm DIR SEED FROM TO`."""
    def __init__(self, base, seed):
        base = pathlib.Path(base)
        self.sources, self.manifests, self.rng = base / "daemonsets.d", base / "manifests", random.Random(seed)

    def source(self):
        rng, name = self.rng, self.rng.choice(NAMES)
        path = self.sources / f"{name}.json"
        new = self.sources / f".{name}.new"
        act = rng.randrange(9)
        if act == 0:
            path.unlink()
        elif act == 1:
            path.write_text("{ this: is: no yaml")
        elif act == 2:
            path.write_text(text(rng, name)[:rng.randrange(200)])
        elif act == 3:
            path.rename(self.sources / f"{rng.choice(NAMES)}.json")
        elif act == 4:
            path.chmod(rng.choice((0o644, 0o600, 0o666)))
        elif act == 5:
            path.write_text(text(rng, name))
        else:
            new.write_text(text(rng, name))
            new.rename(path)

    def manifest(self):
        rng = self.rng
        path = self.manifests / f"daemonlet_kube-system_{rng.choice(NAMES)}.json"
        act = rng.randrange(9)
        if act == 0:
            path.unlink()
        elif act == 1:
            os.truncate(path, rng.randrange(300))
        elif act == 2:
            path.write_bytes(path.read_bytes().replace(b"registry", b"elsewhere"))
        elif act == 3:
            path.chmod(rng.choice((0o644, 0o600, 0)))
        elif act == 4:
            path.unlink()
            path.symlink_to("/etc/passwd")
        elif act == 5:
            path.unlink()
            path.mkdir()
        elif act == 6:
            shutil.copy(path, str(path) + rng.choice((".bak", "~", ".swp")))
        elif act == 7:
            path.rename(self.manifests / f"daemonlet_kube-system_{rng.choice(NAMES)}.json")
        else:
            (self.manifests / "etcd.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: etcd}\n")

    def run(self, first, last, seconds):
        end = time.monotonic() + seconds
        for i in range(first, last):
            if time.monotonic() > end:
                break
            try:
                self.rng.choice((self.source, self.manifest))()
            except OSError:
                pass
            # Half of it in bursts.
            if i % 200 >= 100:
                time.sleep(self.rng.random() * 0.008)
        print(i + 1)


class Soak(AgentHost):
    def anonymous(self):
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])

    def storm(self, first, last, seconds):
        p = subprocess.run([sys.executable, __file__, "storm", self.dir, str(SEED + first), str(first), str(last),
                            str(seconds)], capture_output=True, text=True, check=True)
        return int(p.stdout)

    def nothing_to_do(self):
        p = self.run_("sync", "--dry-run", "-o", "json")
        return p.stdout and all(r["action"] == "-" for r in json.loads(p.stdout)) and "would" not in p.stderr

    def test_random_changes(self):
        print(f"SEED={SEED}", file=sys.stderr)
        for name in NAMES:
            self.source(name + ".json", daemonset(name))
        self.start()
        self.wait_files(*NAMES)
        fifth = OPERATIONS // 5
        self.storm(0, fifth, SECONDS / 5)
        before = self.anonymous()
        done = self.storm(fifth, OPERATIONS, SECONDS * 4 / 5)
        # Everything is in force again, and what was fought over has been repaired after its pause.
        self.wait_for(self.nothing_to_do, "nothing to do", 90)
        after = self.anonymous()
        print(f"{done} operations, {self.counter('passes')} passes, {self.counter('repairs')} repairs, "
              f"RssAnon {before} kB -> {after} kB", file=sys.stderr)
        # A sanitizer keeps what was freed.
        if os.environ.get("SANITIZED", "no") == "no":
            self.assertLessEqual(after - before, 1024)
        for name in NAMES:
            self.source(name + ".json", daemonset(name))
        self.wait_for(lambda: all((self.row(n) or {}).get("state") == "Written" for n in NAMES), "all to be well", 90)
        self.assertEqual([f for f in self.files() if f.endswith(".json")],
                         sorted(self.path(n).name for n in NAMES))
        self.wait_for(self.nothing_to_do, "nothing to do", 30)
        self.assertEqual(self.stop(), 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["storm"]:
        Storm(sys.argv[2], int(sys.argv[3])).run(int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
    else:
        main()
