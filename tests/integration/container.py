# SPDX-License-Identifier: Apache-2.0
"""A real systemd: a container over an overlay of /, whose writes stay in memory and go with it."""
import json, os, pathlib, shutil, subprocess, sys
import host

SECONDS = 600
LIBRARY = "usr/lib/daemonlet-test"
TEST_UNIT = """[Unit]
Description=Steps of the test
Requires=basic.target
After=basic.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart={command}
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
rm -rf var/lib/daemonlet var/lib/kubelet usr/sbin/policy-rc.d etc/dpkg/dpkg.cfg.d
rm -f usr/local/lib/systemd/system/daemonlet.service
mkdir -p etc/systemd/system results
# /lib is a link to usr/lib on some.
tar -C "$stage" -c . | tar -x --keep-directory-symlink
set -- --quiet --register=no --private-network "$@" -D "$top/root"
exec systemd-nspawn "$@" --boot systemd.unit=daemonlet-test.service
"""


class NoContainer(Exception):
    """No container can be booted here."""


def why_not():
    """Why no container can be here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [p for p in ("systemd-nspawn", "unshare", "make") if not shutil.which(p)]
    return f"{', '.join(missing)} is missing" if missing else None


def run_make(*arguments):
    """Make in the build directory, not as a part of the make that runs the tests."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR")}
    p = subprocess.run(["make", "-s", *arguments], cwd=host.BUILD, env=env, text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    if p.returncode:
        raise AssertionError(f"make {' '.join(arguments)}: {p.returncode}\n{p.stdout}")
    return p.stdout


def package(pattern):
    """The package that was built last."""
    return max(host.BUILD.glob(pattern), key=lambda p: p.stat().st_mtime_ns)


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


def boot(directory, scenario, *arguments):
    """Boots with the files of directory/stage, runs the steps of the scenario, and returns what came of each."""
    stage, top, results = (directory / d for d in ("stage", "top", "results"))
    top.mkdir()
    results.mkdir()
    os.chmod(stage, 0o755)
    for d in (LIBRARY, "usr/lib/systemd/system"):
        (stage / d).mkdir(parents=True, exist_ok=True)
    for script in [*(host.SRC / "tests/integration").glob("systemd_*.py"), host.SRC / "tests/integration/apiserver.py"]:
        shutil.copy(script, stage / LIBRARY)
    (stage / "usr/lib/systemd/system/daemonlet-test.service").write_text(
        TEST_UNIT.format(command=f"{sys.executable} /{LIBRARY}/{scenario} {' '.join(map(str, arguments))}"))
    # A host without systemd has nobody who would make a scope for the container; two containers in one would fight.
    scope, cgroups = [], []
    if not pathlib.Path("/run/systemd/system").exists():
        scope, cgroups = ["--keep-unit"], own_cgroups(f"{directory.parent.name}-{directory.name}")
    try:
        output = run_container(stage, top, results, scope, cgroups)
    finally:
        remove_cgroups(cgroups)
    if not (results / "steps").exists():
        raise NoContainer(f"no container can be booted here:\n{output[-4000:]}")
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


def add_steps(case, outcomes):
    """A method of the test case for each step."""
    for number, o in enumerate(outcomes):
        def check(self, o=o):
            if o["error"]:
                self.fail(o["error"])
        setattr(case, f"test_{number:02}_{o['step']}", check)
        print(f"{o['seconds']:6.2f} s  {o['step']}")
