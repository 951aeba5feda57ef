#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The running agent: drift, ways of saving, removals, directories that come and go, signals, configuration."""
import contextlib, json, os, pathlib, random, shutil, signal, subprocess, threading, time, unittest

from agent import AgentHost
from host import DAEMONLET, daemonset, main

FOREIGN = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: one\n  namespace: kube-system\nspec: {}\n"


def text(*args, **kw):
    return json.dumps(daemonset(*args, **kw))


class Drift(AgentHost):
    def test_every_kind_is_repaired(self):
        self.source("a.json", daemonset("one"))
        self.start()
        want, path = self.wait_file("one"), self.path("one")

        def truncated():
            path.write_text("")

        def edited():
            path.write_bytes(want.replace(b"a:1", b"a:9"))

        def renamed():
            path.rename(self.manifests / ".elsewhere")

        def link():
            (self.dir / "link").symlink_to(self.dir / "no-such-file")
            (self.dir / "link").rename(path)

        def directory():
            other = self.dir / "directory"
            other.mkdir()
            (other / "inside").write_text("x")
            while other.exists():
                path.unlink(missing_ok=True)
                with contextlib.suppress(NotADirectoryError):  # it was repaired in between
                    other.rename(path)

        def mode():
            path.chmod(0o644)

        def copies():
            for end in (".bak", "~", ".swp"):
                (self.manifests / (path.name + end)).write_bytes(want)

        for damage in (truncated, edited, path.unlink, renamed, link, directory, mode, copies):
            with self.subTest(damage.__name__):
                damage()
                self.wait_for(lambda: not path.is_symlink() and path.is_file() and path.read_bytes() == want and
                              path.stat().st_mode & 0o7777 == 0o600 and
                              [f for f in self.files() if f != ".elsewhere"] == [path.name], damage.__name__)
        self.wait_for(lambda: self.counter("repairs") >= 5, "the counter of repairs")
        self.wait_for(lambda: self.counter("quarantined") >= 3, "the counter of quarantined")

    def test_foreign_pod_conflicts_until_it_goes(self):
        (self.manifests / "theirs.yaml").write_text(FOREIGN)
        self.source("a.json", daemonset("one"))
        self.start()
        self.assertEqual(self.wait_reason("one", "ForeignPod")["state"], "Conflict")
        self.assertEqual(self.files(), ["theirs.yaml"])
        (self.manifests / "theirs.yaml").unlink()
        self.wait_file("one")
        self.wait_reason("one", "Fits")

    def test_others_files_cost_no_rewriting(self):
        self.source("a.json", daemonset("one"), daemonset("two"))
        (self.manifests / "etcd.yaml").write_text(FOREIGN.replace("one", "etcd"))
        self.start()
        self.wait_file("one"), self.wait_file("two")
        before = {k: v for k, v in self.inodes().items() if k != "etcd.yaml"}
        for i in range(2000):
            (self.manifests / "etcd.yaml").chmod(0o600 if i % 2 else 0o644)
        (self.manifests / "marker.json").write_bytes(self.path("one").read_bytes())
        self.wait_for(lambda: not (self.manifests / "marker.json").exists(), "the storm to be over")
        self.assertEqual({k: v for k, v in self.inodes().items() if k != "etcd.yaml"}, before)

    def test_fight_is_damped_and_ends_well(self):
        self.source("a.json", daemonset("one"), daemonset("two"))
        self.start()
        want, path, end = self.wait_file("one"), self.path("one"), threading.Event()

        def fight():
            while not end.is_set():
                try:
                    os.truncate(path, 0)
                except FileNotFoundError:
                    pass
                end.wait(0.001)

        thread = threading.Thread(target=fight)
        thread.start()
        try:
            row = self.wait_for(lambda: (r := self.row("one") or {}).get("reason") == "Fight" and r, "a fight", 60)
            self.assertEqual(row["state"], "Held")
            count, spent = self.counter("repairs"), cpu(self.child.pid)
            self.assertLess(count, 110)
            # The others are looked after all the while.
            self.path("two").unlink()
            self.wait_file("two")
            # The next repair of the one comes after ten seconds, and nothing burns until then.
            began = time.monotonic()
            self.wait_for(lambda: self.counter("repairs") > count + 1, "the next repair", 40)
            self.assertLess(cpu(self.child.pid) - spent, max(2, (time.monotonic() - began) / 5))
        finally:
            end.set()
            thread.join()
        self.wait_for(lambda: path.read_bytes() == want, "the last repair", 40)
        self.wait_reason("one", "Fits")

    def test_fights_with_copies_and_modes_are_damped(self):
        """Who makes copies under ever new names fights over the manifest that they are copies of."""
        def copy(i):
            (self.manifests / f".new-{i}").write_bytes(want)
            (self.manifests / f".new-{i}").rename(self.manifests / f"copy-{i}")

        def mode(i):
            path.chmod((0o644, 0o640)[i % 2])

        def calm():
            return path.stat().st_mode & 0o7777 == 0o600 and not any(f.startswith("copy") for f in self.files())

        def fought():
            """Faster than the agent repairs it would be many repairs in one look."""
            if calm():
                damage(next(deeds))
            return (self.row(name) or {}).get("reason") == "Fight"

        for name, damage in (("one", copy), ("two", mode)):
            with self.subTest(name):
                self.source(f"{name}.json", daemonset(name))
                if not self.child:
                    self.start()
                want, path = self.wait_file(name), self.path(name)
                deeds, counted = iter(range(100000)), lambda: self.counter("quarantined") + self.counter("repairs")
                start = counted()
                self.wait_for(fought, "the fight to be damped", 60)
                self.assertLess(counted() - start, 150)
                for _ in range(50):
                    damage(next(deeds))
                # It ends well, and by itself.
                self.wait_for(calm, "the last repair", 40)
                self.wait_reason(name, "Fits")


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Saving(AgentHost):
    """Whatever way a file is saved in, the pod never goes meanwhile."""
    removal_delay = "30s"  # that of a slow editor is no removal

    def setUp(self):
        super().setUp()
        self.source("a.json", daemonset("one"))
        self.source("b.json", daemonset("two"))
        self.start()
        self.wait_file("one"), self.wait_file("two")
        self.before = self.inodes()

    def image(self, name):
        return self.pod(name)["spec"]["containers"][0]["image"] if self.path(name).exists() else "gone"

    def saved(self, seen="registry.example.com/a:2"):
        """Until the new image stands; the other manifest was never touched."""
        self.wait_for(lambda: self.image("one") != "registry.example.com/a:1", "the new version")
        self.assertEqual(self.image("one"), seen)
        self.assertEqual(self.inodes()[self.path("two").name], self.before[self.path("two").name])

    NEW = text("one", image="registry.example.com/a:2")

    def test_write_in_place(self):
        (self.sources / "a.json").write_text(self.NEW)
        self.saved()

    def test_rename_over_within_half_a_second(self):
        start = time.monotonic()
        self.source("a.json", self.NEW)
        self.saved()
        self.assertLess(time.monotonic() - start, 4)  # after 5 who writes would not be waited for

    def test_as_vim_does(self):
        swap = open(self.sources / ".a.json.swp", "w")
        swap.write("b0VIM")
        swap.flush()
        start = time.monotonic()
        (self.sources / "4913").write_text("")
        (self.sources / "4913").unlink()
        (self.sources / "a.json").rename(self.sources / "a.json~")
        (self.sources / "a.json").write_text(self.NEW)
        (self.sources / "a.json~").unlink()
        self.saved()
        self.assertLess(time.monotonic() - start, 4, "the swap file that stays open is nobody's source")
        swap.close()

    def test_delete_then_create(self):
        (self.sources / "a.json").unlink()
        self.wait_reason("one", "RemovalDelay")
        (self.sources / "a.json").write_text(self.NEW)
        self.saved()

    def test_delete_all_then_create(self):
        for name in "ab":
            (self.sources / f"{name}.json").unlink()
        self.wait_reason("one", "RemovalDelay", "MassRemoval")
        (self.sources / "b.json").write_text(text("two"))
        (self.sources / "a.json").write_text(self.NEW)
        self.saved()

    def test_back_within_the_delay_changes_nothing(self):
        (self.sources / "a.json").rename(self.dir / "kept")
        self.wait_reason("one", "RemovalDelay")
        (self.dir / "kept").rename(self.sources / "a.json")
        self.wait_reason("one", "Fits")
        self.assertEqual(self.inodes(), self.before)

    def test_slow_writer(self):
        # A list whose first half is a whole document of its own: taken at half, it would remove "three".
        self.source("a.json", text("one", image="registry.example.com/a:1") + "\n---\n" + text("three"))
        self.wait_file("three")
        self.wait_for(lambda: self.row("three"), "the row of three")
        before = self.inodes()
        with open(self.sources / "a.json", "w") as f:
            f.write(self.NEW)
            f.flush()
            seen, began = (before, "Fits"), time.monotonic()
            while time.monotonic() < began + 1:
                self.assertEqual(seen, (before, "Fits"))
                time.sleep(0.02)
                seen = self.inodes(), self.row("three")["reason"]
            # After five seconds the agent waits no longer.
            self.assertTrue(seen == (before, "Fits") or time.monotonic() > began + 4, seen)
            f.write("\n---\n" + text("three"))
        self.saved()
        self.assertEqual(self.inodes()[self.path("three").name], before[self.path("three").name])

    def test_removal_waits(self):
        self.stop()
        self.set_agent(agent={"removal_delay": "1s"})
        self.start()
        start = time.monotonic()
        (self.sources / "a.json").unlink()
        self.wait_files("two")
        self.assertGreater(time.monotonic() - start, 0.9)

    def test_damage_while_the_removal_waits_is_restored(self):
        want = self.wait_file("one")
        (self.sources / "a.json").unlink()
        self.wait_reason("one", "RemovalDelay")
        self.path("one").write_text("")
        self.wait_file("one", want)


class Bulk(AgentHost):
    def test_a_burst_is_a_handful_of_passes(self):
        self.start()
        before, pauses, last = self.counter("passes"), 0, time.monotonic()
        for i in range(200):
            (self.sources / f"{i:03}.json").write_text(text(f"ds-{i:03}"))
            pauses += time.monotonic() - last > 0.1  # of ours: the agent may take it for the end of the burst
            last = time.monotonic()
        self.wait_for(lambda: len(self.files()) == 200, "all of them", 60)
        self.wait_for(lambda: len(self.status()["daemonsets"]) == 200, "the report")
        self.assertLess(self.counter("passes") - before, 10 + 3 * pauses)

    def test_mass_removal_is_held(self):
        for n in ("one", "two", "three"):
            self.source(n + ".json", daemonset(n))
        self.start()
        self.wait_files("one", "two", "three")
        before = self.inodes()
        self.child.send_signal(signal.SIGSTOP)  # one after the other they would be no mass
        for n in ("one", "two", "three"):
            (self.sources / (n + ".json")).unlink()
        self.child.send_signal(signal.SIGCONT)
        self.wait_reason("one", "MassRemoval")
        time.sleep(1.5)
        self.assertEqual(self.inodes(), before)
        self.stop()
        self.sync("--confirm")
        self.assertEqual(self.files(), [])

    def test_idle_means_idle(self):
        self.source("a.json", daemonset("one"), daemonset("two"))
        self.start()
        self.wait_files("one", "two")
        self.settle()
        self.settle()
        # A repair and what it causes is a fixed number of passes; nothing may be added by three quiet seconds.
        at, spent = self.counter("passes"), cpu(self.child.pid)
        time.sleep(3)
        self.assertLessEqual(cpu(self.child.pid) - spent, 0.1)
        self.settle()
        self.assertLessEqual(self.counter("passes") - at, 5)


class Directories(AgentHost):
    def setUp(self):
        super().setUp()
        for n in ("one", "two", "three"):
            self.source(n + ".json", daemonset(n))

    def started(self):
        self.start()
        self.wait_files("one", "two", "three")
        return self.inodes()

    def still_follows(self):
        self.source("four.json", daemonset("four"))
        self.wait_file("four")

    def test_sources_replaced_by_an_empty_directory(self):
        self.set_agent(agent={"removal_delay": "30s"})  # for the three, once there is a fourth
        before = self.started()
        self.sources.rename(self.dir / "away")
        self.sources.mkdir()
        self.wait_for(self.problem, "a problem")
        self.assertEqual(self.inodes(), before)
        self.still_follows()
        for n in ("one", "two", "three"):
            self.source(n + ".json", daemonset(n))
        self.wait_for(lambda: not self.problem(), "no problem")
        self.wait_for(lambda: self.row("one") and self.row("one")["reason"] == "Fits", "all is well")
        self.assertLessEqual(before.items(), self.inodes().items())

    def test_sources_missing_then_back(self):
        before = self.started()
        self.sources.rename(self.dir / "away")
        self.wait_for(self.problem, "a problem")
        self.path("one").unlink()
        self.wait_file("one")
        self.assertEqual(self.run_("status").returncode, 1)
        (self.dir / "away").rename(self.sources)
        self.wait_for(lambda: not self.problem(), "no problem")
        self.assertEqual({k: v for k, v in self.inodes().items() if k != self.path("one").name},
                         {k: v for k, v in before.items() if k != self.path("one").name})
        self.still_follows()

    def test_manifests_removed_and_made_again(self):
        self.started()
        self.remove_manifests()
        self.manifests.mkdir()
        self.wait_files("one", "two", "three")
        self.remove_manifests()
        # The directory alone is gone for a while: no spinning, and back at once.
        self.wait_for(self.problem_without_manifests, "a problem")
        spent = cpu(self.child.pid)
        time.sleep(3.5)
        self.assertLess(cpu(self.child.pid) - spent, 0.3)
        start = time.monotonic()
        self.manifests.mkdir()
        self.wait_files("one", "two", "three")
        self.assertLess(time.monotonic() - start, 3)  # it would be tried after 1, 3 and 7 seconds
        self.wait_for(lambda: not self.problem(), "no problem")
        self.still_follows()

    def remove_manifests(self):
        # Emptied in its place it would be filled again meanwhile.
        self.manifests.rename(self.dir / "gone")
        shutil.rmtree(self.dir / "gone")

    def problem_without_manifests(self):
        return "manifests" in self.problem() and self.problem()

    def wait_for(self, predicate, what, deadline=None):
        return super().wait_for(lambda: self.quiet(predicate), what, deadline)

    @staticmethod
    def quiet(predicate):
        try:
            return predicate()
        except FileNotFoundError:
            return None

    def test_manifests_replaced_by_rename(self):
        self.started()
        (self.dir / "new").mkdir()
        self.manifests.rename(self.dir / "old")
        (self.dir / "new").rename(self.manifests)
        self.wait_files("one", "two", "three")
        self.still_follows()

    def test_manifests_late_with_parents(self):
        self.manifests.rmdir()
        self.manifests = self.dir / "etc" / "kubernetes" / "manifests"
        self.set_agent()
        self.start(wait=False)
        self.wait_for(self.problem_without_manifests, "a problem")
        self.manifests.mkdir(parents=True)
        self.wait_files("one", "two", "three")

    def test_sources_late(self):
        self.sources.rename(self.dir / "away")
        self.start()
        self.wait_for(self.problem, "a problem")
        (self.dir / "away").rename(self.sources)
        self.wait_files("one", "two", "three")
        self.wait_for(lambda: not self.problem(), "no problem")

    @unittest.skipUnless(os.geteuid() == 0 and
                         subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0,
                         "needs root and mount namespaces")
    def test_empty_mount_over_the_sources(self):
        before = self.started()
        self.stop()
        script = 'mount -t tmpfs -o mode=755 none "$1" && touch "$2" && exec sleep 60'
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", '"$@" & echo $! >"$0.pid"; wait', str(self.dir / "agent"),
                 str(DAEMONLET), "--config", str(self.conf), "--node", str(self.node), "run"], stdout=log, stderr=log)
        pid = int(self.wait_for(lambda: (self.dir / "agent.pid").exists() and (self.dir / "agent.pid").read_text(), "pid"))
        self.addCleanup(lambda: subprocess.run(["kill", "-9", str(pid)], capture_output=True))
        self.wait_for(lambda: json.loads((self.run_dir / "status.json").read_text())["pid"] == pid, "a report")
        subprocess.run(["nsenter", "-t", str(pid), "-m", "mount", "-t", "tmpfs", "-o", "mode=755", "none",
                        str(self.sources)], check=True)
        read = lambda: json.loads((self.run_dir / "status.json").read_text())
        self.wait_for(lambda: read()["problem"], "a problem")
        self.assertEqual(self.inodes(), before)
        # While it is read it is busy.
        self.wait_for(lambda: subprocess.run(["nsenter", "-t", str(pid), "-m", "umount", str(self.sources)],
                                             capture_output=True).returncode == 0, "the mount to go")
        self.wait_for(lambda: not read()["problem"], "no problem")
        self.assertEqual(self.inodes(), before)
        os.kill(pid, signal.SIGTERM)
        self.child.wait(10)
        self.child = None


class Reports(AgentHost):
    def test_syntax_error_keeps_the_last_good_version(self):
        self.source("a.json", daemonset("one"))
        self.start()
        self.wait_file("one")
        before = self.inodes()
        self.source("a.json", "{ this: is: no yaml")
        self.wait_for(lambda: any(r["state"] == "Invalid" for r in self.status()["daemonsets"]), "the error to show")
        self.assertEqual(self.inodes(), before)
        status = self.run_("status")
        self.assertEqual(status.returncode, 1)
        self.assertIn("a.json:1:", status.stderr)  # where and why
        self.source("a.json", daemonset("one", image="registry.example.com/a:2"))
        self.wait_for(lambda: b"a:2" in self.path("one").read_bytes(), "the fix")
        self.wait_for(lambda: self.run_("status").returncode == 0, "all is well")

    def test_exit_codes(self):
        self.assertEqual(self.run_("status").returncode, 3)
        self.source("a.json", daemonset("one"))
        self.start()
        self.wait_reason("one", "Fits")
        self.assertEqual(self.run_("status").returncode, 0)
        self.assertEqual(self.run_("sync").returncode, 75)
        self.assertEqual(self.run_("run").returncode, 75)
        self.assertEqual(self.run_("sync", "--dry-run").returncode, 0)
        self.source("a.json", "kind: DaemonSet\n")
        self.wait_for(lambda: self.run_("status").returncode == 1, "not well")
        self.stop()
        self.assertEqual(self.run_("status").returncode, 3)

    def test_status_for_people(self):
        self.source("a.json", daemonset("one"), daemonset("two", nodeSelector={"disk": "ssd"}))
        self.start()
        self.wait_file("one")
        self.settle()
        status = self.run_("status")
        rows = [line.split() for line in status.stdout.splitlines()]
        self.assertEqual(rows[0], "NAMESPACE NAME STATE REASON REVISION SOURCE AGE".split())
        self.assertEqual(rows[1][:4], ["kube-system", "one", "Written", "Fits"])
        self.assertEqual(rows[1][5], "file:a.json")
        self.assertRegex(rows[1][6], r"^\d+s$")
        self.assertEqual(rows[2], ["kube-system", "two", "NotHere", "NodeSelectorMismatch", "<none>", "file:a.json",
                                   "<none>"])
        self.assertIn("node node-1 (file); 1 repairs, 0 quarantined, 0 held, 0 conflicts, 0 restarts", status.stderr)
        self.assertTrue(self.run_("status", "-o", "wide").stdout.splitlines()[0].endswith("MESSAGE"))
        whole = json.loads(self.run_("status", "-o", "json").stdout)
        self.assertLess(abs(whole["daemonsets"][0]["writtenAt"] - time.time()), 60)
        self.assertEqual((whole["lastErrors"], whole["counters"]["repairs"]), ([], 1))

    def test_last_errors(self):
        """Told once in the log, counted in the report, and kept there when all is well again."""
        self.source("a.json", daemonset("one"))
        self.start()
        self.wait_file("one")
        aside = self.manifests.with_name("aside")
        self.manifests.rename(aside)
        self.wait_for(self.problem, "a problem")
        aside.rename(self.manifests)
        self.wait_for(lambda: not self.problem(), "all to be well")
        errors = self.wait_for(lambda: self.status()["lastErrors"], "the error to be remembered")
        self.assertIn(str(self.manifests), errors[0]["message"])
        self.assertEqual(self.log().count(errors[0]["message"]), 1)
        self.assertRegex(self.run_("status").stderr, r"error \d+s ago, 1 times: ")

    def test_configuration(self):
        self.source("a.json", daemonset("one", nodeSelector={"zone": "x"}))
        self.start()
        self.wait_reason("one", "NodeSelectorMismatch")
        self.set_agent(node={"labels": "zone=x"})
        self.wait_file("one")
        before = self.inodes()
        with open(self.conf, "a") as f:
            f.write("[agent]\nno_such_key = 1\n")
        self.wait_for(lambda: "no_such_key" in self.problem(), "the wrong configuration to show")
        self.assertEqual(self.run_("status", config=False, env={}).returncode in (0, 1, 3), True)
        self.path("one").unlink()
        self.wait_file("one")
        # It is still wrong when it is tried again, and shows all the while.
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            self.assertIn("no_such_key", self.problem())
            time.sleep(0.05)
        self.set_agent(node={"labels": "zone=x"})
        self.wait_for(lambda: not self.problem(), "no problem")
        self.assertEqual(len(self.inodes()), len(before))

    def test_wrong_configuration_at_the_start(self):
        self.conf.write_text("[agent]\nno_such_key = 1\n")
        self.start(wait=False)
        self.assertEqual(self.child.wait(10), 78)
        self.child = None

    def test_relative_configuration_path(self):
        self.source("a.json", daemonset("one", nodeSelector={"zone": "x"}))
        conf, self.conf = self.conf, self.conf.name
        cwd = os.getcwd()
        os.chdir(self.dir)
        try:
            self.start()
        finally:
            os.chdir(cwd)
            self.conf = conf
        self.wait_reason("one", "NodeSelectorMismatch")
        self.set_agent(node={"labels": "zone=x"})
        self.wait_file("one")


class Ends(AgentHost):
    def setUp(self):
        super().setUp()
        for n in ("one", "two", "three"):
            self.source(n + ".json", daemonset(n))

    def test_sigterm_leaves_everything(self):
        self.start()
        self.wait_files("one", "two", "three")
        before, start = self.inodes(), time.monotonic()
        self.assertEqual(self.stop(), 0)
        self.assertLess(time.monotonic() - start, 5)
        self.assertEqual(self.inodes(), before)

    def test_sighup_reads_everything_again(self):
        self.start()
        self.wait_files("one", "two", "three")
        before = self.inodes()
        node = json.loads(self.node.read_text())
        self.source("four.json", daemonset("four", nodeSelector={"disk": "ssd"}))
        self.wait_reason("four", "NodeSelectorMismatch")
        self.label(disk="ssd")
        self.child.send_signal(signal.SIGHUP)
        self.wait_file("four")
        self.assertLessEqual(before.items(), self.inodes().items())

    def test_killed_at_any_time(self):
        rng = random.Random(int(os.environ.get("SEED", "1")))
        self.start()
        self.wait_files("one", "two", "three")
        want = self.bytes()
        before = self.inodes()
        for i in range(25):
            damage = rng.random() < 0.5
            if damage:
                victim = rng.choice(sorted(want))
                (self.manifests / victim).write_text("")
            self.start_again(rng.random() * 0.02)
            self.wait_for(lambda: self.bytes() == want, "the same again")
            if not damage:
                self.assertEqual(self.inodes(), before)
            self.wait_for(self.status, "a report")
            before = self.inodes()

    def start_again(self, seconds):
        threading.Event().wait(seconds)
        self.stop(signal.SIGKILL)
        self.start(wait=False)


if __name__ == "__main__":
    main()
