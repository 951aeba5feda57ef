#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The installed unit and the Debian package under a real systemd. What happens in there is systemd_scenario.py and
systemd_packages.py. Needs root and systemd-nspawn; 77 where a container cannot be."""
import os, pathlib, shutil, sys, tempfile, threading, unittest
import container, host


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


class Unit(unittest.TestCase):
    """A method for each step of systemd_scenario.py is added below."""


class Package(unittest.TestCase):
    """A method for each step of systemd_packages.py is added below."""


def test_unit(directory):
    """make install, into the stage; the paths of the unit and of the program as they are in the container."""
    stage = directory / "stage"
    stage.mkdir(parents=True)
    container.run_make("install", f"DESTDIR={stage}")
    unit, daemonlet = ("/" + str(next(stage.rglob(name)).relative_to(stage))
                       for name in ("daemonlet.service", "bin/daemonlet"))
    container.add_steps(Unit, container.boot(directory, "systemd_scenario.py", unit, daemonlet,
                                             os.environ.get("sysconfdir", "/etc")))


def test_package(directory, build):
    build.join()
    if build.error:
        def test_make_deb(self):
            self.fail(build.error)
        Package.test_make_deb = test_make_deb
        return
    library = directory / "stage" / container.LIBRARY
    library.mkdir(parents=True)
    shutil.copy(container.package("daemonlet_*.deb"), library / "daemonlet.deb")
    container.add_steps(Package, container.boot(directory, "systemd_packages.py", "/lib/systemd/system/daemonlet.service",
                                                "/usr/bin/daemonlet", "/etc"))


class Build(threading.Thread):
    """make deb, while the unit's container waits for this and that."""
    error = None

    def run(self):
        try:
            container.run_make("-j2", "deb")
        except AssertionError as e:
            self.error = str(e)


def main():
    if "test_systemd" in os.environ.get("SKIP_TESTS", "").split():
        skip("not wanted")
    if os.environ.get("SANITIZED") == "yes":
        skip("sanitizers do not run in the unit's sandbox")
    if container.why_not():
        skip(container.why_not())
    parts = {"unit", "package"}
    if os.environ.get("sysconfdir", "/etc") != "/etc":
        parts.discard("unit")
        print("without the unit: built for an installation with paths of its own")
    if not (shutil.which("dpkg-deb") and pathlib.Path("/var/lib/dpkg/status").exists()):
        parts.discard("package")
        print("without the package: this is no Debian")
    if not parts:
        sys.exit(77)
    os.umask(0o022)
    build = Build()
    if "package" in parts:
        build.start()
    with tempfile.TemporaryDirectory(prefix="daemonlet-test-") as directory:
        try:
            if "unit" in parts:
                test_unit(pathlib.Path(directory) / "unit")
            if "package" in parts:
                test_package(pathlib.Path(directory) / "package", build)
        except container.NoContainer as e:
            skip(e)
        finally:
            if build.is_alive():
                build.join()
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
