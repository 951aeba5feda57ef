#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What make deb, make rpm, make install and make uninstall put where. How the Debian package lives under systemd is
test_systemd.py's; what is missing for a package is skipped."""
import hashlib, os, pathlib, re, shutil, subprocess, tempfile, unittest
import container, host

HAVE_DEB, HAVE_RPM = shutil.which("dpkg-deb") and shutil.which("dpkg"), shutil.which("rpmbuild")
SANITIZED = os.environ.get("SANITIZED") == "yes"
# What is in both packages, beside the unit, whose directory is the distribution's.
FILES = {"/etc/daemonlet/daemonlet.conf", "/usr/bin/daemonlet", "/usr/lib/systemd/catalog/daemonlet.catalog",
         "/usr/lib/systemd/system-preset/90-daemonlet.preset", "/usr/share/doc/daemonlet/README.md",
         "/usr/share/doc/daemonlet/examples/daemonlet.conf", "/usr/share/doc/daemonlet/examples/node.yaml",
         "/usr/share/doc/daemonlet/examples/rbac.yaml",
         *(f"/usr/share/doc/daemonlet/examples/daemonsets.d/{p.name}"
           for p in (host.SRC / "conf/examples/daemonsets.d").glob("*.yaml"))}
UNIT = re.compile(r"(/usr)?/lib/systemd/system/daemonlet\.service")


def run(*command, **kw):
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, **kw)
    if p.returncode:
        raise AssertionError(f"{command}: {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


class Directory(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        os.umask(0o022)
        directory = tempfile.TemporaryDirectory(prefix="daemonlet-test-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)

    def check_program(self, top):
        """The program, the unit and the manual of a package know the paths of the system only."""
        program, unit = top / "usr/bin/daemonlet", next(top.rglob("daemonlet.service")).read_text()
        self.assertIn("daemonlet", run(program, "--version"))
        self.assertNotIn(str(host.BUILD).encode(), program.read_bytes())
        self.assertIn("\nExecStart=/usr/bin/daemonlet run\n", unit)
        self.assertIn("ReadWritePaths=-/var/lib/daemonlet -/run/daemonlet\n", unit)
        preset = (top / "usr/lib/systemd/system-preset/90-daemonlet.preset").read_text()
        self.assertEqual([line for line in preset.splitlines() if not line.startswith("#")],
                         ["disable daemonlet.service"])

    def check_scripts(self, text):
        for line in text.splitlines():
            self.assertNotRegex(line.partition("#")[0], r"\b(enable|unmask|preset)\b|(?<!try-)restart ")


@unittest.skipUnless(HAVE_DEB, "dpkg-deb is missing")
class Deb(Directory):
    @classmethod
    def setUpClass(cls):
        container.run_make("-j2", "deb")
        cls.deb = container.package("daemonlet_*.deb")

    def test_control(self):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", run("dpkg-deb", "-f", self.deb), re.M))
        version = re.search(r"AC_INIT\(\[daemonlet\], \[(.+)\]\)", (host.SRC / "configure.ac").read_text())[1]
        arch = run("dpkg", "--print-architecture").strip()
        self.assertEqual((fields["Package"], fields["Version"], fields["Architecture"]), ("daemonlet", version, arch))
        self.assertEqual(self.deb.name, f"daemonlet_{version}_{arch}.deb")
        for library in ("libc6", "libcjson1", "libinih1", "libssl3", "libsystemd0", "libyaml-0-2"):
            self.assertRegex(fields["Depends"], rf"(^|, ){library}(t64)?( \(|,|$)")
        self.assertNotIn("@", run("dpkg-deb", "-f", self.deb).replace(fields["Maintainer"], ""))
        self.assertRegex(fields["Maintainer"], r"^\S.* <\S+@\S+>$")

    def test_files(self):
        seen = set()
        for line in run("dpkg-deb", "-c", self.deb).splitlines():
            mode, owner, _, _, _, path = line.split(None, 5)
            path = path[1:]
            self.assertEqual(owner, "root/root", path)
            executable = path == "/usr/bin/daemonlet" or mode[0] == "d"
            self.assertEqual(mode[1:], "rwxr-xr-x" if executable else "rw-r--r--", path)
            seen.add(path)
        files = {f for f in seen if not f.endswith("/")}
        doc = {f"/usr/share/doc/daemonlet/{name}" for name in ("changelog.gz", "copyright", "NEWS.md.gz")}
        unit = {f for f in files if UNIT.fullmatch(f)}
        self.assertEqual(len(unit), 1)
        self.assertEqual(files, FILES | doc | unit | {"/usr/share/man/man8/daemonlet.8.gz",
                                                      "/usr/share/man/man5/daemonlet.conf.5.gz"})
        self.assertIn("/etc/daemonlet/daemonsets.d/", seen)

    def test_contents(self):
        run("dpkg-deb", "-R", self.deb, self.dir / "x")
        top, control = self.dir / "x", self.dir / "x/DEBIAN"
        self.check_program(top)
        self.assertEqual((control / "conffiles").read_text(), "/etc/daemonlet/daemonlet.conf\n")
        sums = dict(reversed(line.split("  ")) for line in (control / "md5sums").read_text().splitlines())
        files = {str(p.relative_to(top)): p for p in top.rglob("*") if p.is_file() and control not in p.parents}
        del files["etc/daemonlet/daemonlet.conf"]
        self.assertEqual(sums, {f: hashlib.md5(p.read_bytes()).hexdigest() for f, p in files.items()})
        scripts = [p for p in control.iterdir() if p.stat().st_mode & 0o111]
        self.assertEqual(sorted(p.name for p in scripts), ["postinst", "postrm", "prerm"])
        for script in scripts:
            run("sh", "-n", script)
            self.check_scripts(script.read_text())

    def test_the_same_again(self):
        before = self.deb.read_bytes()
        os.umask(0o077)
        container.run_make("deb")
        self.assertEqual(self.deb.read_bytes(), before)

    @unittest.skipUnless(shutil.which("lintian"), "lintian is missing")
    def test_lintian(self):
        run("lintian", "--allow-root", "--fail-on", "error,warning", self.deb)


@unittest.skipUnless(HAVE_RPM, "rpmbuild is missing")
class Rpm(Directory):
    @classmethod
    def setUpClass(cls):
        container.run_make("rpm")
        cls.rpm = container.package("daemonlet-*.rpm")

    def query(self, *arguments):
        return run("rpm", "-qp", *arguments, self.rpm)

    def test_files(self):
        rows = [line.split("\t") for line in self.query(
            "--qf", r"[%{FILENAMES}\t%{FILEMODES:perms}\t%{FILEUSERNAME}:%{FILEGROUPNAME}\t%{FILEFLAGS:fflags}\n]"
        ).splitlines()]
        rows = [r for r in rows if not r[0].startswith("/usr/lib/.build-id")]
        files = {path for path, mode, _, _ in rows if mode[0] != "d"}
        manual = {f for f in files if "/man/" in f}
        self.assertEqual({f.removesuffix(".gz") for f in manual},
                         {"/usr/share/man/man8/daemonlet.8", "/usr/share/man/man5/daemonlet.conf.5"})
        unit = {f for f in files if UNIT.fullmatch(f)}
        self.assertEqual(len(unit), 1)
        doc = {f"/usr/share/doc/daemonlet/{name}" for name in ("LICENSE", "NEWS.md")}
        self.assertEqual(files - manual, FILES | doc | unit)
        for path, mode, owner, flags in rows:
            executable = path == "/usr/bin/daemonlet" or mode[0] == "d"
            self.assertEqual((mode[1:], owner), ("rwxr-xr-x" if executable else "rw-r--r--", "root:root"), path)
            self.assertEqual("c" in flags and "n" in flags, path == "/etc/daemonlet/daemonlet.conf", path)
        self.assertLessEqual({"/etc/daemonlet", "/etc/daemonlet/daemonsets.d", "/usr/share/doc/daemonlet"},
                             {path for path, mode, _, _ in rows if mode[0] == "d"})

    def test_scripts(self):
        text = self.query("--scripts")
        for kind in ("postinstall", "preuninstall", "postuninstall"):
            self.assertIn(f"{kind} scriptlet", text)
        self.check_scripts(text)
        self.assertIn("libcjson.so.1", self.query("--requires"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_installed_and_erased(self):
        # No shell is in there, nor anything that the package requires.
        rpm = ("rpm", "--root", self.dir, "--nodeps", "--noscripts")
        run("rpm", "--root", self.dir, "--initdb")
        database = {p for p in self.dir.rglob("*")}
        run(*rpm, "-i", self.rpm)
        self.check_program(self.dir)
        self.assertEqual(run("rpm", "--root", self.dir, "-V", "--nodeps", "daemonlet"), "")
        conf = self.dir / "etc/daemonlet/daemonlet.conf"
        conf.write_text(conf.read_text() + "# edited\n")
        run(*rpm, "-U", "--replacepkgs", self.rpm)
        self.assertTrue(conf.read_text().endswith("# edited\n"))
        run(*rpm, "-e", "daemonlet")
        left = {p for p in self.dir.rglob("*") if p.is_file()} - database
        self.assertEqual({p for p in left if "/var/lib/rpm/" not in str(p) and "/.rpmdb/" not in str(p)},
                         {conf.with_suffix(".conf.rpmsave")})


@unittest.skipIf(SANITIZED, "the same without sanitizers")
class Make(Directory):
    """make install and make uninstall, into a directory."""

    def install(self):
        container.run_make("install", f"DESTDIR={self.dir}")

    def uninstall(self):
        """What is left."""
        container.run_make("uninstall", f"DESTDIR={self.dir}")
        return sorted(str(p.relative_to(self.dir)) for p in self.dir.rglob("*"))

    def test_without_a_trace(self):
        self.install()
        self.assertEqual(len(list(self.dir.rglob("daemonlet"))), 3, "bin, share/doc, etc")
        self.assertEqual(self.uninstall(), [])

    def test_configuration_stays(self):
        self.install()
        conf = next(self.dir.rglob("etc/daemonlet/daemonlet.conf"))
        conf.write_text("[node]\nname = a\n")
        conf.chmod(0o600)
        source = conf.parent / "daemonsets.d/a.yaml"
        source.write_text("")
        self.install()
        self.assertEqual((conf.read_text(), conf.stat().st_mode & 0o777), ("[node]\nname = a\n", 0o600))
        left = self.uninstall()
        self.assertEqual([self.dir / p for p in left if (self.dir / p).is_file()], [conf, source])
        self.assertEqual({self.dir / p for p in left if (self.dir / p).is_dir()},
                         {p for p in source.parents if self.dir in p.parents})

    def test_what_is_shared_stays(self):
        self.install()
        others = [p.with_name("other") for name in ("daemonlet.service", "daemonlet.8", "daemonlet.catalog", "node.yaml")
                  for p in self.dir.rglob(name)]
        self.assertEqual(len(others), 4)
        for p in others:
            p.write_text("")
        left = self.uninstall()
        self.assertEqual({self.dir / p for p in left if (self.dir / p).is_file()}, set(others))


if __name__ == "__main__":
    host.main()
