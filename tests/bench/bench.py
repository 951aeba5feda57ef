#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: what it costs, on tmpfs, beside the budgets. Usage: bench.py BUILDDIR [SECTION...]"""
import os, pathlib, re, shutil, statistics, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
import bench_agent, bench_api

build = pathlib.Path(sys.argv[1])
src = pathlib.Path(os.environ.get("srcdir", "."))
shared = pathlib.Path(os.environ.get("SHARED_DIR", src / ".." / "shared"))
daemonlet = build / "src" / "daemonlet"
scratch = pathlib.Path(tempfile.mkdtemp(prefix="daemonlet-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


def row(what, measured, budget="-", note=""):
    print(f"{what:<70} {budget:>8}   {measured:>10}   {'OVER BUDGET; ' * is_over(measured, budget)}{note}", flush=True)


def is_over(measured, budget):
    """Whether both are numbers of the same unit, the first one the greater."""
    numbers = [re.fullmatch(r"([\d.]+) (\S+)", text) for text in (measured, budget)]
    return all(numbers) and numbers[0][2] == numbers[1][2] and float(numbers[0][1]) > float(numbers[1][1])


def instructions(*command):
    """Instructions as callgrind counts them: the same on every machine."""
    if not shutil.which("valgrind"):
        return "no valgrind"
    p = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *map(str, command)],
                       capture_output=True, text=True)
    m = re.search(r"Collected : (\d+)", p.stderr)
    return f"{int(m.group(1)) / 1e6:.1f} M instr" if m else "callgrind failed"


def vendor_files():
    """50 vendor files, or as many copies of the examples where the shared data is absent."""
    corpus = sorted(p for p in shared.glob("corpus/*/*.y*ml") if p.stat().st_size < 100_000)
    step = max(1, len(corpus) // 50)
    return corpus[::step][:50] or sorted((src / "conf/examples/daemonsets.d").glob("*.yaml")) * 10


def make_host(name):
    d = scratch / name
    for sub in ("daemonsets.d", "manifests"):
        (d / sub).mkdir(parents=True)
    (d / "conf").write_text(f"[kubelet]\nmanifest_dir = {d}/manifests\nproc_dir = {d}/none\nroot_dir = {d}/kubelet\n"
                            f"config = {d}/none\nflags_file = {d}/none\ncgroup_dir = {d}/cgroups\n"
                            f"[daemonsets]\ndir = {d}/daemonsets.d\n"
                            f"[agent]\nstate_dir = {d}/state\nruntime_dir = {d}/run\n")
    return d


def sync(d):
    command = [daemonlet, "-q", "--config", d / "conf", "--node", src / "conf/examples/node.yaml", "sync", "-o", "tsv"]
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], list(map(str, command)), os.environ,
                         file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                                       (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)])
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1), status
    return (time.perf_counter() - start) * 1e3, usage.ru_maxrss / 1024, command


def bench_sync():
    files = vendor_files()
    cold, again = [], []
    for i in range(11):
        d = make_host(f"sync-{i}")
        for n, f in enumerate(files):
            target = d / "daemonsets.d" / f"{n:02}-{f.name.rsplit('.', 1)[0]}.yaml"
            shutil.copyfile(f, target)
            target.chmod(0o644)
        cold.append(sync(d))
        again.append(sync(d))
    size = sum(f.stat().st_size for f in files) // 1024
    row(f"sync of {len(files)} files ({size} KiB), nothing there", f"{statistics.median(c[0] for c in cold):.1f} ms", "30 ms",
        f"peak {max(c[1] for c in cold):.1f} MiB, " + instructions(*cold[0][2]) + " (nothing changed)")
    row("the same again, nothing to do", f"{statistics.median(c[0] for c in again):.1f} ms")


def bench_reconcile(n):
    tool = build / "tests/bench/bench_reconcile"
    best = None
    for i in range(5):
        d = scratch / f"reconcile-{n}-{i}"
        d.mkdir()
        p = subprocess.run([tool, str(n), d], check=True, capture_output=True, text=True)
        values = [float(v) for v in p.stdout.split()[1:]]
        best = values if best is None else [min(a, b) for a, b in zip(best, values)]
        shutil.rmtree(d)
    d = scratch / f"callgrind-{n}"
    d.mkdir()
    count = instructions(tool, n, d) if n <= 1000 else ""
    read, wanted, first, scan, plan = best
    row(f"{n} DaemonSets: read and check", f"{read:.1f} ms", "-", count and f"{count} in all five rows")
    row(f"{n} DaemonSets: decide and render all", f"{wanted:.1f} ms")
    row(f"{n} DaemonSets: first write", f"{first:.1f} ms")
    row(f"{n} DaemonSets: nothing changed: scan", f"{scan:.1f} ms")
    row(f"{n} DaemonSets: nothing changed: plan", f"{plan:.1f} ms", "20 ms" if n == 1000 else "", "scan and plan together" if n == 1000 else "")


def bench_decide():
    tool = build / "tests/bench/bench_decide"
    p = subprocess.run([tool], check=True, capture_output=True, text=True)
    m = re.search(r"([\d.]+) ns.*?\((.*)\)", p.stdout)
    row("one decision", m.group(1) + " ns", "600 ns", f"{m.group(2)}, {instructions(tool)}")


sections = {"decide": bench_decide, "sync": bench_sync, "reconcile": lambda: [bench_reconcile(n) for n in (1000, 10000)],
            "agent": lambda: bench_agent.run(sys.modules[__name__]),
            "api": lambda: bench_api.run(sys.modules[__name__])}
try:
    row("what", "measured", "budget", "" if os.path.isdir("/dev/shm") else f"not on tmpfs: {scratch}")
    for name, section in sections.items():
        if name in (sys.argv[2:] or sections):
            section()
finally:
    shutil.rmtree(scratch)
