#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ConfigMaps and Secrets that pods use: who may read them, and what happens when they cannot be written, or when the
writer is killed."""
import base64, json, os, pathlib, shutil, signal, stat, subprocess, unittest

import host
import test_faults
from agent import AgentHost
from host import daemonset
from kubernetes_model import IS_ROOT, config_map, secret
from test_volumes import Volumes, as_list, of_map, of_secret, texts, user

EX_IOERR = 74


# ---- who may read, and what makes nothing ----

class Secrecy(Volumes, AgentHost):
    WORD = "pa55word-which-nobody-may-read"

    def words(self):
        return [self.WORD, base64.b64encode(self.WORD.encode()).decode()]

    def assert_silent(self, text, where):
        for word in self.words():
            self.assertNotIn(word, text, where)

    def is_open_to_others(self, path):
        above = [p for p in path.parents if p == self.dir or self.dir in p.parents]
        return path.stat().st_mode & 0o077 and all(p.stat().st_mode & 0o011 for p in above)

    def assert_closed(self):
        """What holds the word is behind closed directories."""
        found = 0
        for base in (self.state, self.run_dir, self.manifests):
            for p in base.rglob("*"):
                if p.is_symlink() or not p.is_file() or not any(w.encode() in p.read_bytes() for w in self.words()):
                    continue
                found += 1
                self.assertFalse(self.is_open_to_others(p), p)
        return found

    def sources_of(self, **kw):
        self.source("keys.json", secret("keys", {"k": self.WORD}, data={"l": self.words()[1]}))
        self.source("one.json", user("one", of_secret("keys"), securityContext={"fsGroup": os.getgid()}, **kw))

    def check_commands(self):
        files = sorted(self.sources.iterdir())
        for command in (["explain"], ["explain", "kube-system/one"], ["check", "-v"], ["render"], ["status"],
                        ["sync", "--dry-run"], ["explain", *files], ["rbac"]):
            takes = files if command[0] in ("check", "render", "rbac") else []
            for output in ("table", "wide", "json", "yaml", "tsv", "name"):
                p = self.run_(*command, "-o", output, *takes)
                self.assert_silent(p.stdout + p.stderr, command)

    def test_nobody_is_told_a_secret(self):
        self.set_agent(metrics={"textfile": self.dir / "daemonlet.prom"})
        self.sources_of()
        self.start("-v")
        self.wait_file("one")
        self.assertEqual(self.texts("one", "secret"), {"k": self.WORD, "l": self.WORD})
        self.check_commands()
        self.sources_of(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}])
        self.wait_reason("one", "SecretInEnv")
        self.check_commands()
        # A Secret that is wrong in every way is quoted nowhere.
        for wrong in ({"data": {"k": self.WORD}}, {"data": {"k": [self.WORD]}}, {"stringData": {"k": {"x": self.WORD}}},
                      {"stringData": self.WORD}, {"stringData": {"k/": self.WORD}}, {"type": 5, "data": self.words()},
                      {"immutable": self.WORD}):
            self.source("keys.json", {**secret("keys"), **wrong})
            self.settle()
            self.check_commands()
        self.source("keys.json", json.dumps(secret("keys", {"k": self.WORD}))[:-9] + "]")
        self.check_commands()
        self.assertEqual(self.stop(), 0)
        for told in (self.run_dir / "status.json", self.log_path, self.dir / "daemonlet.prom"):
            self.assert_silent(told.read_text(), told)
        self.assertGreater(self.assert_closed(), 0)
        for manifest in self.manifests.iterdir():
            self.assert_silent(manifest.read_text(), manifest)

    def test_inlined_by_word_of_the_operator(self):
        """Then it is in the manifest, and in what render prints; nowhere else."""
        self.set_agent(pods={"secret_env": "inline"})
        self.sources_of(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}])
        self.start("-v")
        self.wait_file("one")
        self.assertIn(self.WORD, self.path("one").read_text())
        p = self.run_("render", "-o", "json", *sorted(self.sources.iterdir()))
        self.assertIn(self.WORD, p.stdout)
        self.assert_silent(p.stderr, "render")
        for command in (["explain", "kube-system/one"], ["status", "-o", "json"], ["sync", "--dry-run"]):
            p = self.run_(*command)
            self.assert_silent(p.stdout + p.stderr, command)
        self.assertEqual(self.stop(), 0)
        for told in (self.run_dir / "status.json", self.log_path):
            self.assert_silent(told.read_text(), told)
        self.assertGreater(self.assert_closed(), 1)

    def test_modes(self):
        self.addCleanup(os.umask, 0o022)
        self.sources_of()
        os.umask(0)
        self.start()
        os.umask(0o022)
        self.wait_file("one")
        mounted = self.mounted("one", "secret")
        paths = [self.volumes, *self.volumes.rglob("*")]
        modes = {str(p): p.stat().st_mode & 0o777 for p in paths if not p.is_symlink()}
        for directory in (self.volumes, self.volumes / "kube-system_one", mounted.parent):
            self.assertEqual(modes.pop(str(directory)), 0o700, directory)
        self.assertEqual(set(modes.values()), {0o755, 0o644})
        self.volumes.chmod(0o755)
        mounted.parent.chmod(0o777)
        self.source("keys.json", secret("keys", {"k": "other"}))
        self.wait_texts("one", {"k": "other"}, "secret")
        self.wait_for(lambda: [p.stat().st_mode & 0o777 for p in (self.volumes, mounted.parent)] == [0o700, 0o700],
                      "their modes to be put right")

    def test_commands_that_only_look_make_nothing(self):
        self.sources_of()
        files = sorted(self.sources.iterdir())
        looks = (["sync", "--dry-run"], ["explain"], ["explain", *files], ["check", *files], ["render", *files],
                 ["status"])
        for command in looks:
            self.run_(*command)
            self.assertFalse(self.volumes.exists(), command)
            self.assertEqual(self.files(), [])
        self.sync()
        self.source("keys.json", secret("keys", {"k": "other"}))
        self.source("two.json", user("two", of_secret("keys")))
        before = self.prints()
        for command in looks:
            self.run_(*command)
            self.assertEqual(self.prints(), before, command)


# ---- what cannot be written ----

class Failures(Volumes, AgentHost):
    def start_both(self):
        self.source("config.json", config_map("config", {"a": "1"}))
        self.source("one.json", user("one", of_map("config")))
        self.source("two.json", daemonset("two"))
        self.start()
        self.wait_files("one", "two")
        self.wait_reason("one", "Fits")

    def check_failure(self, break_, mend, data):
        """The next manifest cannot have its volumes: the old one stands, and all is done once it can be."""
        self.start_both()
        before, manifest = self.print_of("one"), self.path("one").read_bytes()
        break_()
        self.source("all.json", as_list([config_map("config", data), user("one", of_map("config"), hostNetwork=True)]))
        (self.sources / "config.json").unlink()
        (self.sources / "one.json").unlink()
        row = self.wait_reason("one", "StoreFailed")
        self.assertEqual(row["state"], "Held")
        self.assertNotEqual(row["message"], "")
        self.wait_for(lambda: "kube-system/one: volume " in self.problem(), "the problem")
        self.assertEqual((self.print_of("one"), self.path("one").read_bytes()), (before, manifest))
        self.path("two").unlink()
        self.wait_file("two")
        mend()
        # After a pause, which was the longer the longer it took to look at all that.
        self.wait_for(lambda: self.path("one").read_bytes() != manifest, "the agent to try again", 40)
        self.assertEqual(self.texts("one"), data)
        self.wait_reason("one", "Fits")
        self.wait_for(lambda: self.problem() == "", "the end of the problem", 40)

    def mount(self, options):
        self.volumes.mkdir(parents=True)
        self.state.chmod(0o700)
        command = ["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", self.volumes]
        if not IS_ROOT or subprocess.run(command, capture_output=True).returncode:
            self.skipTest("cannot mount a tmpfs")
        self.addCleanup(subprocess.run, ["umount", "-l", self.volumes], check=True)

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.volumes], check=True)

    def test_full_disk(self):
        self.mount("size=128k")
        self.check_failure(lambda: None, lambda: self.remount("size=8m"), {"a": "x" * 300000})

    def test_full_disk_while_files_are_swapped(self):
        self.mount("size=128k")
        self.start_both()
        before, data = self.print_of("one"), {"a": "y" * 300000}
        self.source("config.json", config_map("config", data))
        self.wait_for(lambda: "kube-system/one: volume " in self.problem(), "the problem")
        self.assertEqual((self.texts("one"), self.print_of("one")), ({"a": "1"}, before))
        self.remount("size=8m")
        self.wait_texts("one", data)
        self.wait_for(lambda: self.problem() == "", "the end of the problem", 40)

    def test_directory_of_a_stranger(self):
        if not IS_ROOT:
            self.skipTest("needs root")
        self.check_failure(lambda: os.chown(self.volumes, 65534, 65534), lambda: os.chown(self.volumes, 0, 0),
                           {"a": "2"})

    def test_a_file_in_the_place_of_the_directory(self):
        # Between two steps the agent would make the directory.
        def break_():
            self.child.send_signal(signal.SIGSTOP)
            self.volumes.rename(self.state / "elsewhere")
            self.volumes.write_text("")
            self.child.send_signal(signal.SIGCONT)

        def mend():
            self.child.send_signal(signal.SIGSTOP)
            self.volumes.unlink()
            (self.state / "elsewhere").rename(self.volumes)
            self.child.send_signal(signal.SIGCONT)

        self.check_failure(break_, mend, {"a": "2"})

    def check_sync(self, *messages):
        """Those that mount nothing are none the worse."""
        self.path("two").unlink()
        p = self.run_("sync", "-o", "tsv")
        self.assertEqual(p.returncode, EX_IOERR, p.stdout + p.stderr)
        for message in messages:
            self.assertIn(message, p.stderr)
        self.assertTrue(self.path("two").exists())

    def prepare_sync(self):
        self.source("config.json", config_map("config", {"a": "1"}))
        self.source("one.json", user("one", of_map("config")))
        self.source("two.json", daemonset("two"))
        self.sync()
        manifest = self.path("one").read_bytes()
        self.source("one.json", user("one", of_map("config"), hostNetwork=True))
        return manifest

    def test_sync_on_a_read_only_file_system(self):
        self.mount("size=1m")
        manifest = self.prepare_sync()
        self.remount("ro")
        self.check_sync("one", "Read-only file system")
        self.assertEqual((self.path("one").read_bytes(), self.texts("one")), (manifest, {"a": "1"}))
        self.remount("rw")
        self.sync()
        self.assertNotEqual(self.path("one").read_bytes(), manifest)

    def test_sync_with_a_file_in_the_place_of_the_directory(self):
        manifest = self.prepare_sync()
        self.volumes.rename(self.state / "elsewhere")
        self.volumes.write_text("")
        self.check_sync("volumes")
        self.assertEqual(self.path("one").read_bytes(), manifest)
        self.volumes.unlink()
        self.sync()
        self.assertEqual(self.texts("one"), {"a": "1"})


# ---- killed, and failing, at any call ----

test_faults.SECONDS = float(os.environ.get("FAULTS_SECONDS", "4"))
test_faults.ERRORS.update({"symlinkat": ["ENOSPC", "EROFS"], "readlinkat": ["EIO"], "fchown": ["EPERM", "EIO"]})


class Faults(Volumes, test_faults.Faults):
    """one has its files swapped, two gets another manifest with other files, four is new, what was left goes."""
    test_full_disk = test_state_directory_full_or_read_only = test_order_on_the_disk = None
    test_kernel_without_renameat2 = test_interrupted_calls_are_repeated = None

    @classmethod
    def setUpClass(cls):
        if os.environ.get("SANITIZED") == "yes" or not test_faults.can_trace():
            raise unittest.SkipTest("strace cannot trace here")

    def prepare(self):
        def users(*names, network=False):
            return [user(n, of_map("config", items=[{"key": k, "path": f"{k}/{k}"} for k in "abc"], optional=True),
                         of_map("config", "all"), securityContext={"fsGroup": os.getgid()},
                         **({"hostNetwork": True} if n == "two" and network else {})) for n in names]

        self.configure(kubelet={"cgroup_dir": self.dir / "cgroup"})
        (self.dir / "cgroup" / "kubepods").mkdir(parents=True)
        (self.dir / "cgroup" / "cgroup.controllers").write_text("cpu\n")
        self.source("config.json", config_map("config", {"a": "old a", "b": "old b"}))
        self.source("users.json", as_list(users("one", "two", "three")))
        super().sync()
        self.source("config.json", config_map("config", {"b": "new b", "c": "new c"}))
        self.source("users.json", as_list(users("one", "two", "four", network=True)))
        # What an earlier crash left, and what nobody needs.
        (self.mounted("one") / "..tmp-new").mkdir()
        (self.mounted("one") / "..tmp-new" / "half").write_text("half")
        shutil.copytree(self.mounted("one").parent, self.volumes / "kube-system_gone" / "0123", symlinks=True)
        shutil.copytree(self.dir, self.first_copy, symlinks=True)
        self.expected = [{str(d): texts(d) for d in self.all_mounted()}]

    def all_mounted(self):
        return [pathlib.Path(v["hostPath"]["path"]) for p in self.manifests.iterdir() if not p.name.startswith(".")
                for v in json.loads(p.read_text())["spec"]["volumes"]]

    def rewind(self):
        if len(self.expected) == 1:  # the faultless sync has just been
            self.expected.append({str(d): texts(d) for d in self.all_mounted()})
            self.run_("sync", "-q")  # what the pods of the first left goes with the next
            self.tree_after = self.tree()
        for base in (self.manifests, self.state):
            for p in base.iterdir():
                shutil.rmtree(p) if p.is_dir() and not p.is_symlink() else p.unlink()
            shutil.copytree(self.first_copy / base.name, base, symlinks=True, dirs_exist_ok=True)

    def tree(self):
        """Every name below the directory of volumes with its mode, group, and bytes or target; the setgid bit, which
        may be forbidden, left out."""
        return {str(p): (p.lstat().st_mode & ~stat.S_ISGID, p.lstat().st_gid, os.readlink(p) if p.is_symlink() else
                         p.read_bytes() if p.is_file() else None) for p in sorted(self.volumes.rglob("*"))}

    def check_whole(self, what):
        now = self.standing()
        for name in set(now) | set(self.before) | set(self.after):
            self.assertIn(now.get(name), (self.before.get(name), self.after.get(name)), f"{name} after {what}")
        for name in ("one", "two"):
            self.assertIn(self.path(name).name, now, what)
        for d in self.all_mounted():
            whole = texts(d / "..data")
            self.assertIn(whole, [e[str(d)] for e in self.expected if str(d) in e], f"{d} after {what}")
            for link in d.iterdir():  # a link leads to the whole, or to what is no longer in it
                if not link.name.startswith(".."):
                    self.assertEqual(os.readlink(link), f"..data/{link.name}")
            if "_one" not in str(d):  # it came whole: all its links, too
                self.assertEqual(texts(d), whole, f"{d} after {what}")
        # The old pod may run on.
        for d, files in self.expected[0].items():
            if "_one" not in d:
                self.assertEqual(texts(pathlib.Path(d)), files, f"{d} after {what}")
        return now

    def check_finished(self, what):
        for _ in range(2):
            p = self.run_("sync", "-q")
            self.assertEqual(p.returncode, 0, f"{what}: {p.stderr}")
        self.assertEqual(self.standing(), self.after, what)
        self.assertEqual([f for f in self.files() if f.startswith(".")], [], what)
        tree = self.tree()
        different = sorted(p for p in set(tree) | set(self.tree_after) if tree.get(p) != self.tree_after.get(p))
        self.assertEqual(different, [], what)


if __name__ == "__main__":
    host.main()
