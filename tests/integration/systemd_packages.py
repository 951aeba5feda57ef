# SPDX-License-Identifier: Apache-2.0
"""The life of the Debian package. Runs as root in a container of test_systemd.py as systemd_scenario.py does, on the
package database of the machine, whose changes go with the container."""
from systemd_scenario import *

DEB = pathlib.Path(__file__).with_name("daemonlet.deb")
ENABLED = pathlib.Path("/etc/systemd/system/multi-user.target.wants/daemonlet.service")
# Where a package of ours may leave something, and where only that counts which is named after us.
PLACES = ("/etc", "/run", "/srv", "/usr/bin", "/usr/sbin", "/usr/lib/systemd", "/usr/share/doc", "/usr/share/man", "/var")
OTHERS = ("/etc/kubernetes", "/etc/.updated", "/run", "/srv", "/var")
before = set()


def files():
    found = {os.path.join(directory, name) for place in PLACES for directory, directories, names in os.walk(place)
             for name in directories + names}
    return {f for f in found if "daemonlet" in f or not f.startswith(OTHERS)}


def dpkg(*arguments):
    return run("dpkg", *arguments)


def inode(name="one"):
    return manifest(name).stat().st_ino


def is_enabled():
    return run("systemctl", "is-enabled", "daemonlet", status=None).strip() == "enabled"


def version_above():
    """The package as one of a later version."""
    directory = pathlib.Path("/tmp/above")
    shutil.rmtree(directory, ignore_errors=True)
    run("dpkg-deb", "-R", DEB, directory)
    control = directory / "DEBIAN/control"
    control.write_text("".join(line.rstrip() + "+above\n" if line.startswith("Version:") else line
                               for line in control.read_text().splitlines(keepends=True)))
    unit, = directory.rglob("daemonlet.service")
    unit.write_text(unit.read_text().replace("Description=", "Description=Above: "))
    run("dpkg-deb", "--root-owner-group", "-Znone", "-b", directory, "/tmp/above.deb")
    return "/tmp/above.deb"


# ---- steps, in their order ----

def installing_starts_and_enables_nothing():
    dpkg("-P", "daemonlet")
    before.update(files())
    dpkg("-i", DEB)
    assert run("dpkg-query", "-Wf", "${db:Status-Status}", "daemonlet") == "installed"
    assert dpkg("--verify", "daemonlet") == ""
    assert run("systemctl", "is-enabled", "daemonlet", status=1).strip() == "disabled"
    assert not is_running() and not ENABLED.exists()
    run("systemctl", "preset", "daemonlet")
    assert not is_enabled(), "a preset enables it"


def unit_is_valid():
    assert run("systemd-analyze", "verify", "--man=no", UNIT) == ""
    run("systemd-analyze", "security", "--no-pager", "--threshold=27", "daemonlet.service")


def catalog_and_manual_pages_are_known():
    assert "Defined-By: daemonlet" in run("journalctl", "--dump-catalog")
    for page in ("man8/daemonlet.8.gz", "man5/daemonlet.conf.5.gz"):
        run("gzip", "-t", f"/usr/share/man/{page}")


def enabled_it_runs():
    source("one")
    write("/srv/kubelet/own.yaml", f"kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n"
                                   f"staticPodPath: {MANIFESTS}\n")
    MANIFESTS.mkdir(parents=True)
    kubelet()
    run("systemctl", "start", "kubelet")
    run("systemctl", "enable", "--now", "daemonlet")
    assert is_enabled() and is_well() and stands("one")
    source("two")
    until(lambda: stands("two"), "a new source is seen")


def upgrading_restarts_what_runs():
    pid, inode_before = main_pid(), inode()
    conf = CONF / "daemonlet.conf"
    conf.write_text(conf.read_text() + "# edited\n")
    dpkg("-i", version_above())
    assert run("dpkg-query", "-Wf", "${Version}", "daemonlet").endswith("+above")
    assert show("Description").startswith("Above: ")
    assert main_pid() not in (0, pid) and is_enabled()
    until(is_well, "the new version runs")
    assert inode() == inode_before and conf.read_text().endswith("# edited\n")


def upgrading_starts_nothing_that_was_stopped():
    run("systemctl", "stop", "daemonlet")
    dpkg("-i", DEB)
    assert not is_running() and is_enabled()
    run("systemctl", "start", "daemonlet")


def upgrading_leaves_it_disabled():
    run("systemctl", "disable", "daemonlet")
    pid = main_pid()
    dpkg("-i", DEB)
    assert is_running() and main_pid() != pid, "what runs is restarted also where it is disabled"
    assert not is_enabled()
    run("systemctl", "enable", "daemonlet")


def removing_stops_it_and_leaves_the_pods():
    inode_before = inode()
    out = dpkg("-r", "daemonlet")
    assert "daemonlet purge" in out and manifest("one").name in out, out
    assert show("ActiveState") == "inactive" and show("LoadState") == "not-found"
    assert not pathlib.Path(DAEMONLET).exists() and not pathlib.Path("/run/daemonlet").exists()
    assert stands("one") and stands("two") and inode() == inode_before
    assert (CONF / "daemonlet.conf").exists() and (CONF / "daemonsets.d/one.json").exists()
    assert pathlib.Path("/var/lib/daemonlet/index.json").exists()
    assert "Defined-By: daemonlet" not in run("journalctl", "--dump-catalog")


def installing_again_goes_on_as_before():
    inode_before = inode()
    dpkg("-i", DEB)
    assert is_enabled() and not is_running()
    run("systemctl", "start", "daemonlet")
    assert is_well() and inode() == inode_before


def purging_leaves_what_is_not_ours():
    inode_before = inode()
    write(CONF / "daemonlet.conf.d/own.conf", "[node]\n")
    mounted = pathlib.Path("/var/lib/daemonlet/volumes/kube-system_one/input/config")
    mounted.mkdir(parents=True)
    out = dpkg("-P", "daemonlet")
    assert "daemonlet purge" in out and "daemonsets.d stay" in out, out
    assert main_pid() == 0 and stands("one") and inode() == inode_before
    assert not ENABLED.is_symlink() and mounted.is_dir()
    assert os.listdir("/var/lib/daemonlet") == ["volumes"]
    shutil.rmtree("/var/lib/daemonlet")
    assert sorted(os.listdir(CONF)) == ["daemonsets.d"]
    assert sorted(os.listdir(CONF / "daemonsets.d")) == ["one.json", "two.json"]
    shutil.rmtree(CONF / "daemonsets.d")


def purging_leaves_no_trace():
    dpkg("-i", DEB)
    run("systemctl", "enable", "--now", "daemonlet")
    run("systemctl", "stop", "daemonlet")
    run(DAEMONLET, "purge", "--yes")
    assert os.listdir(MANIFESTS) == []
    out = dpkg("-P", "daemonlet")
    assert "daemonlet purge" not in out and "stay" not in out, out
    run("dpkg-query", "-W", "daemonlet", status=1)
    assert files() <= before, files() - before


STEPS = [installing_starts_and_enables_nothing, unit_is_valid, catalog_and_manual_pages_are_known, enabled_it_runs,
         upgrading_restarts_what_runs, upgrading_starts_nothing_that_was_stopped, upgrading_leaves_it_disabled,
         removing_stops_it_and_leaves_the_pods, installing_again_goes_on_as_before, purging_leaves_what_is_not_ours,
         purging_leaves_no_trace]

if __name__ == "__main__":
    run_steps(STEPS)
