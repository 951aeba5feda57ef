# SPDX-License-Identifier: Apache-2.0
"""A host whose kubelet is nothing but what can be seen of it: a process, cgroups, pod directories."""
import os, shutil, time

from agent import AgentHost
from host import daemonset, put

HERTZ = os.sysconf("SC_CLK_TCK")


class Pods(AgentHost):
    def setUp(self):
        super().setUp()
        (self.cgroups / "kubepods" / "besteffort").mkdir(parents=True)
        (self.cgroups / "cgroup.controllers").write_text("cpu memory\n")
        (self.kubelet_root / "pods").mkdir(parents=True)
        self.set_kubelet(4711)

    @property
    def cgroups(self):
        return self.dir / "cgroup"

    @property
    def kubelet_root(self):
        return self.dir / "kubelet"

    def set_agent(self, **sections):
        kubelet = {"cgroup_dir": self.cgroups, "root_dir": self.kubelet_root, **sections.pop("kubelet", {})}
        super().set_agent(kubelet=kubelet, **sections)

    def set_kubelet(self, pid, *flags, started=None, boot="one", booted=None):
        """The process that is called kubelet, started at that time (None: with the boot); pid 0: none. booted: when the
        kernel says that it was."""
        proc = self.dir / "proc"
        random = proc / "sys" / "kernel" / "random"
        for p in proc.iterdir():
            if p.name.isdigit():
                shutil.rmtree(p.rename(proc / ".old"))
        random.mkdir(parents=True, exist_ok=True)
        put(random / "boot_id", boot + "\n")
        origin = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        put(proc / "stat", f"cpu 0\nbtime {int(origin if booted is None else booted)}\n")
        if not pid:
            return
        ticks = 1 if started is None else int((started - origin) * HERTZ)
        new = proc / ".new"
        new.mkdir()
        (new / "comm").write_text("kubelet\n")
        (new / "cmdline").write_bytes(b"\0".join([b"/usr/bin/kubelet", *map(str.encode, flags)]) + b"\0")
        (new / "stat").write_text(f"{pid} (kubelet) S " + " ".join(["0"] * 18) + f" {ticks} 0\n")
        new.rename(proc / str(pid))

    def uid(self, name):
        return self.pod(name)["metadata"]["uid"]

    def pod_starts(self, uid, processes=True):
        cgroup = self.cgroups / "kubepods" / "besteffort" / f"pod{uid}"
        cgroup.mkdir(exist_ok=True)
        (cgroup / "cgroup.events").write_text(f"populated {int(processes)}\nfrozen 0\n")
        (self.kubelet_root / "pods" / uid).mkdir(exist_ok=True)

    def pod_ends(self, uid):
        shutil.rmtree(self.cgroups / "kubepods" / "besteffort" / f"pod{uid}", ignore_errors=True)
        shutil.rmtree(self.kubelet_root / "pods" / uid, ignore_errors=True)

    def wait_state(self, name, state, deadline=None):
        return self.wait_for(lambda: (self.row(name) or {}).get("state") == state and self.row(name),
                             f"{name} to be {state}", deadline)

    def run_one(self, name, **kw):
        self.source(f"{name}.json", daemonset(name, **kw))
        self.wait_file(name)
        self.wait_state(name, "Starting")
        self.pod_starts(self.uid(name))
        self.wait_state(name, "Running")
        return self.uid(name)

    def wait_for_the_deletion(self):
        """An agent, and a manifest whose change waits until somebody removes it."""
        for image in ("a:1", "a:2"):
            d = daemonset("one", image=image)
            d["spec"]["updateStrategy"] = {"type": "OnDelete"}
            self.source("one.json", d)
            if not self.child:
                self.start()
                self.wait_file("one")
        self.wait_reason("one", "OnDelete")
