#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The installed unit under a real systemd: a container over an overlay of /, whose writes stay in memory and go with
it. What happens in there is systemd_scenario.py. Needs root and systemd-nspawn; 77 where a container cannot be."""
import json, os, pathlib, shutil, subprocess, sys, tempfile, unittest
import host

SECONDS = 85
TEST_UNIT = """[Unit]
Description=Steps of the test
Requires=basic.target
After=basic.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart={python} /usr/lib/daemonlet-test/systemd_scenario.py {unit} {daemonlet} {sysconfdir}
"""
# In a mount namespace of its own, so that nothing stays mounted however this ends.
BOOT = """set -e
stage=$1 top=$2; shift 2
mount -t tmpfs -o mode=0755 tmpfs "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" overlay "$top/root"
cd "$top/root"
# What the machine has of these is not the test's.
rm -rf etc/daemonlet etc/kubernetes etc/machine-id etc/systemd/system var/log/journal
rm -rf var/lib/daemonlet var/lib/kubelet
mkdir -p etc/systemd/system results
# /lib is a link to usr/lib on some.
tar -C "$stage" -c . | tar -x --keep-directory-symlink
set -- --quiet --register=no --private-network "$@" -D "$top/root"
exec systemd-nspawn "$@" --boot systemd.unit=daemonlet-test.service
"""


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def install(stage):
    """make install into the stage; the paths of the unit and of the program as they are in the container."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR")}
    p = subprocess.run(["make", "-s", "install", f"DESTDIR={stage}"], cwd=host.BUILD, env=env, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if p.returncode:
        sys.exit(f"make install: {p.returncode}\n{p.stdout}")
    return tuple("/" + str(next(stage.rglob(name)).relative_to(stage))
                 for name in ("daemonlet.service", "bin/daemonlet"))


def own_cgroups(name):
    """Cgroups below that of this process in the hierarchies that systemd manages, or none where that cannot be."""
    paths = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 ") or rest.startswith("cgroup ") and rest.endswith("name=systemd"):
            paths.append(pathlib.Path(fields.split(" ")[4]) / name)
    try:
        for path in paths:
            path.mkdir()
    except OSError:
        remove_cgroups(paths)
        return []
    return paths


def remove_cgroups(paths):
    for path in paths:
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass  # a process that is ending still; it is empty and in nobody's way


def boot(directory):
    """Boots, runs the steps, and returns what came of each."""
    stage, top, results = (directory / d for d in ("stage", "top", "results"))
    for d in (stage, top, results):
        d.mkdir()
    os.chmod(stage, 0o755)
    unit, daemonlet = install(stage)
    (stage / "usr/lib/daemonlet-test").mkdir(parents=True)
    shutil.copy(host.SRC / "tests/integration/systemd_scenario.py", stage / "usr/lib/daemonlet-test")
    (stage / "usr/lib/systemd/system").mkdir(parents=True, exist_ok=True)
    (stage / "usr/lib/systemd/system/daemonlet-test.service").write_text(TEST_UNIT.format(
        python=sys.executable, unit=unit, daemonlet=daemonlet, sysconfdir=os.environ.get("sysconfdir", "/etc")))
    # A host without systemd has nobody who would make a scope for the container; two containers in one would fight.
    scope, cgroups = [], []
    if not pathlib.Path("/run/systemd/system").exists():
        scope, cgroups = ["--keep-unit"], own_cgroups(directory.name)
    try:
        output = run_container(stage, top, results, scope, cgroups)
    finally:
        remove_cgroups(cgroups)
    if not (results / "steps").exists():
        skip(f"no container can be booted here:\n{output[-4000:]}")
    journal = results / "journal"
    print(journal.read_text() if os.environ.get("VERBOSE") and journal.exists() else "", end="")
    return [json.loads(line) for line in (results / "steps").read_text().splitlines()]


def run_container(stage, top, results, scope, cgroups):
    def enter_cgroups():
        for c in cgroups:
            (c / "cgroup.procs").write_text(str(os.getpid()))

    p = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", BOOT, "sh", stage, top,
                        f"--bind={results}:/results", *scope], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SECONDS,
                       preexec_fn=enter_cgroups)
    return p.stdout


class Systemd(unittest.TestCase):
    """A method for each step of the scenario is added below."""


def add_steps(outcomes):
    for number, o in enumerate(outcomes):
        def check(self, o=o):
            if o["error"]:
                self.fail(o["error"])
        setattr(Systemd, f"test_{number:02}_{o['step']}", check)
        print(f"{o['seconds']:6.2f} s  {o['step']}")


if __name__ == "__main__":
    if "test_systemd" in os.environ.get("SKIP_TESTS", "").split():
        skip("not wanted")
    if os.environ.get("sysconfdir", "/etc") != "/etc":
        skip("built for an installation with paths of its own")
    if os.geteuid() != 0:
        skip("needs root")
    if os.environ.get("SANITIZED") == "yes":
        skip("sanitizers do not run in the unit's sandbox")
    for program in ("systemd-nspawn", "unshare", "make"):
        if not shutil.which(program):
            skip(f"{program} is missing")
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="daemonlet-test-") as directory:
        add_steps(boot(pathlib.Path(directory)))
    unittest.main(verbosity=2)
