# SPDX-License-Identifier: Apache-2.0
"""The agent and its own Node: whose labels and taints count, what they take away and when, the Node that is deleted, and
the host that leaves its cluster."""
import contextlib, shutil, signal, time

from api_host import NODE, ApiHost, fenced, node
from host import daemonset, main

SSD = {"disk": "ssd"}
OUT = {"key": "dedicated", "value": "db", "effect": "NoExecute"}
ONE_NODE = f"^GET /api/v1/nodes/{NODE}( |$)"


class NodeHost(ApiHost):
    """What is not to go has a settle that is longer than the test; what waits for removal_delay only goes at once."""
    settle_time, removal_delay = "60s", "0"

    def view(self):
        return (self.status() or {}).get("node", {}).get("source")

    def wait_view(self, source):
        return self.wait_for(lambda: self.view() == source, f"the node to be known by {source}")

    def run_with_label(self):
        """One of the server and one of a file, which both want the label; the Node has it."""
        self.server.apply(node(SSD))
        self.server.apply(fenced("served", selector=SSD))
        self.source("local.json", daemonset("local", nodeSelector=SSD))
        self.source("calm.json", daemonset("calm"))
        self.start()
        self.wait_live()
        self.wait_files("calm", "local", "served")

    def label(self, value):
        self.server.set_labels("Node", "", NODE, {"disk": value})

    def server_is_back(self):
        self.server.start()
        self.hurry()

    def hurry(self):
        """What would be tried after a while is tried now."""
        self.child.send_signal(signal.SIGHUP)

    def outlast_a_removal(self):
        """Until a removal that was begun now has been carried out: so would have been any other that waits no longer."""
        self.source("yardstick.json", daemonset("yardstick", tolerations=[{"operator": "Exists"}]))
        self.wait_file("yardstick")
        (self.sources / "yardstick.json").unlink()
        self.wait_for(lambda: not self.path("yardstick").exists(), "a removal")


class View(NodeHost):
    def test_the_live_node_counts_then_its_copy_and_the_local_view_at_first(self):
        self.source("ssd.json", daemonset("ssd", nodeSelector=SSD))
        self.source("os.json", daemonset("os", nodeSelector={"kubernetes.io/os": "linux"}))
        self.server.stop()
        self.start()
        self.wait_files("os")
        self.assertEqual(self.view(), "local")
        self.server.apply(node(SSD))
        self.server_is_back()
        self.wait_files("os", "ssd")
        self.wait_view("api")
        self.stop()
        self.server.stop()
        self.path("ssd").unlink()
        self.start()
        self.wait_files("os", "ssd")
        self.assertEqual(self.view(), "cache")
        self.server_is_back()
        self.wait_view("api")
        self.server.stop("reset")
        self.wait_view("cache")

    def test_the_local_view_takes_nothing_away_before_the_server_has_been_asked(self):
        self.run_with_label()
        self.stop()
        self.server.stop()
        shutil.rmtree(self.state / "api")
        self.start()
        self.assertEqual(self.view(), "local")
        self.wait_reason("local", "NodeSettling")
        self.outlast_a_removal()
        self.wait_files("calm", "local", "served")
        self.server.delete("Node", "", NODE)
        self.server_is_back()  # and says that there is no Node yet
        self.wait_files("calm")

    def test_our_configuration_is_laid_over_it(self):
        self.set_agent(node={"labels": "disk=nvme,rack=r1", "taints": "team=x:NoSchedule"})
        self.server.apply(node(SSD))
        for name, wanted in ("ssd", SSD), ("nvme", {"disk": "nvme"}), ("rack", {"rack": "r1"}):
            self.source(f"{name}.json", daemonset(name, nodeSelector=wanted,
                                                  tolerations=[{"key": "team", "operator": "Exists"}]))
        self.source("tainted.json", daemonset("tainted"))
        self.start()
        self.wait_view("api")
        self.wait_files("nvme", "rack")
        self.wait_reason("tainted", "UntoleratedTaint")
        self.label("tape")
        self.server.set_taints(NODE, [OUT])
        self.wait_reason("rack", "NodeSettling")
        self.assertEqual(self.row("ssd")["state"], "NotHere")

    def test_another_name_has_nothing_of_the_former_ones_copy(self):
        self.run_with_label()
        self.stop()
        self.server.stop()
        self.set_agent(node={"name": "node-b"})
        self.source("ssd.json", daemonset("ssd", nodeSelector=SSD))
        self.start()
        self.assertEqual(self.view(), "local")
        self.wait_reason("ssd", "NodeSelectorMismatch")
        self.assertEqual(self.row("served")["reason"], "SourceIncomplete")  # it stands, and nothing is known of it
        self.server.apply(node({"disk": "hdd"}, name="node-b"))
        self.server_is_back()
        self.wait_view("api")
        self.assertTrue(self.server.count("metadata.name%3Dnode-b"))
        self.assertEqual(self.row("ssd")["state"], "NotHere")

    def test_a_node_that_cannot_be_used_changes_nothing(self):
        self.run_with_label()
        before = self.inodes()
        self.server.patch("Node", "", NODE, lambda o: o["metadata"].update(labels=["disk"]))
        self.wait_for(lambda: "cannot be used" in self.api()["note"], "it to be told")
        self.assertEqual(self.inodes(), before)
        self.server.apply(node(SSD))
        self.wait_for(lambda: not self.api()["note"], "it to be over")
        self.assertEqual(self.inodes(), before)


class Settling(NodeHost):
    settle_time = "4s"  # long enough for all that is to be seen meanwhile

    def test_what_a_label_makes_wanted_comes_at_once_and_what_it_does_not_goes_later(self):
        self.run_with_label()
        self.source("hdd.json", daemonset("hdd", nodeSelector={"disk": "hdd"}))
        self.wait_reason("hdd", "NodeSelectorMismatch")
        self.stop()  # the next agent has the label in its copy, and its first contact is what takes it away
        self.label("hdd")
        self.start()
        self.wait_reason("local", "NodeSettling")
        self.wait_reason("served", "NodeSettling")
        self.wait_files("calm", "hdd", "local", "served")
        self.wait_files("calm", "hdd")
        self.wait_reason("local", "NodeSelectorMismatch")

    def test_noexecute_stops_and_noschedule_only_keeps_out(self):
        self.run_with_label()
        self.server.set_taints(NODE, [{**OUT, "effect": "NoSchedule"}])
        self.wait_for(lambda: self.row("calm")["reason"] not in ("Fits", ""), "the taint to be seen")
        self.source("new.json", daemonset("new"))
        self.wait_for(lambda: (self.row("new") or {}).get("state") == "NotHere", "the new one to be kept out")
        self.source("kept.json", daemonset("kept", tolerations=[{"operator": "Exists"}]))
        self.wait_files("calm", "kept", "local", "served")
        self.server.set_taints(NODE, [OUT])
        self.wait_reason("calm", "NodeSettling")
        self.wait_files("kept")


class Unsettled(NodeHost):
    def test_a_change_that_goes_back_takes_nothing_away(self):
        self.run_with_label()
        before = self.inodes()
        for change in lambda: self.label(None), lambda: self.server.set_taints(NODE, [OUT]):
            change()
            self.wait_reason("local", "NodeSettling")
            self.wait_reason("served", "NodeSettling")
            self.outlast_a_removal()
            self.assertEqual(self.inodes(), before)
            self.server.apply(node(SSD))
            self.wait_reason("local", "Fits")
            self.wait_reason("served", "Fits")
        self.assertEqual(self.inodes(), before)

    def test_a_node_that_registers_without_its_labels_yet(self):
        self.server.delete("Node", "", NODE)
        self.set_kubelet_labels()
        self.source("local.json", daemonset("local", nodeSelector=SSD))
        self.start()
        self.wait_live()
        self.wait_files("local")
        self.assertEqual(self.view(), "local")
        before = self.inodes()
        self.server.apply(node())
        self.wait_reason("local", "NodeSettling")
        self.wait_view("api")
        self.outlast_a_removal()
        self.assertEqual(self.inodes(), before)
        self.label("ssd")
        self.wait_reason("local", "Fits")
        self.assertEqual(self.inodes(), before)

    def test_a_node_that_registers_anew_gets_its_labels_later(self):
        self.run_with_label()
        self.label(None)
        self.wait_reason("local", "NodeSettling")
        before = self.inodes()
        self.server.delete("Node", "", NODE)
        self.server.apply(node({"rack": "r1"}))
        self.source("rack.json", daemonset("rack", nodeSelector={"rack": "r1"}))
        self.wait_file("rack")
        self.label("ssd")
        self.wait_reason("local", "Fits")
        self.assertEqual({k: v for k, v in self.inodes().items() if "rack" not in k}, before)

    def set_kubelet_labels(self):
        flags = self.dir / "flags"
        flags.write_text('KUBELET_KUBEADM_ARGS="--node-labels=disk=ssd"\n')
        self.set_agent(kubelet={"flags_file": flags})


class Anew(NodeHost):
    """A removal by the file takes as long as settle, and begins later: what stands when it is done was not let go."""
    settle_time = removal_delay = "4s"  # within which the server, or the agent, is stopped

    def test_an_absent_server_takes_nothing_away_and_a_new_node_has_its_own_time(self):
        self.run_with_label()
        before = self.inodes()
        self.source("rack.json", daemonset("rack", nodeSelector={"rack": "r1"}))
        self.label(None)
        self.wait_reason("local", "NodeSettling")
        self.server.stop("reset")
        self.wait_away()
        self.outlast_a_removal()  # the old one's label has been away for long enough, as far as is known
        self.assertEqual(self.inodes(), before)
        self.server.delete("Node", "", NODE)
        self.server.apply(node({"rack": "r1"}))
        self.server_is_back()
        self.wait_files("calm", "rack")
        self.wait_for(lambda: "remove daemonlet_kube-system_local" in self.log(), "its removal to be told")
        log = self.log()
        self.assertLess(log.index("create daemonlet_kube-system_rack"), log.index("remove daemonlet_kube-system_local"))

    def test_contact_is_what_begins_it(self):
        self.run_with_label()
        self.stop()
        self.label(None)
        self.start()
        self.wait_reason("local", "NodeSettling")
        self.wait_view("api")
        self.stop()
        self.server.stop()
        before = self.inodes()
        self.start()
        self.assertEqual(self.view(), "cache")
        self.wait_reason("local", "NodeSettling")
        self.outlast_a_removal()
        self.assertEqual(self.inodes(), before)
        self.assertEqual(self.row("local")["reason"], "NodeSettling")


class Deleted(NodeHost):
    on_deleted, grace = "remove", "0"

    def setUp(self):
        super().setUp()
        self.set_agent()

    def set_agent(self, **sections):
        super().set_agent(**{**sections, "node": {"on_deleted": self.on_deleted, "deleted_grace": self.grace,
                                                  **sections.get("node", {})}})

    def delete(self):
        self.server.clear_requests()
        self.server.delete("Node", "", NODE)

    def asked(self, code, times=1):
        return self.server.wait_for(lambda: self.server.count(ONE_NODE, code) >= times,
                                    what=f"a GET of the Node and {code}")


class DeletedAndKept(Deleted):
    on_deleted, grace = "keep", "0"

    def test_everything_stays_and_status_says_why(self):
        self.run_with_label()
        before = self.inodes()
        self.delete()
        self.asked(404)
        self.wait_for(lambda: self.status()["node"].get("deleted"), "status to tell it")
        self.outlast_a_removal()
        self.assertEqual(self.inodes(), before)
        self.server.apply(node(SSD))
        self.wait_for(lambda: not self.status()["node"].get("deleted"), "status to tell that it is back")
        self.assertEqual(self.inodes(), before)


class DeletedAndRemoved(Deleted):
    def test_all_go_when_the_grace_is_over_and_come_back_with_the_node(self):
        self.set_agent(node={"deleted_grace": "1s"})
        self.run_with_label()
        began = time.monotonic()
        self.delete()
        self.wait_for(lambda: not self.path("served").exists(), "the first to go")
        self.assertGreaterEqual(time.monotonic() - began, 1)
        # Once, and again only where it took a second to tell whose answer it is.
        asked = self.server.count(ONE_NODE, 404)
        self.assertLessEqual(asked, 2)
        self.wait_files()
        for name in "calm", "local", "served":
            self.assertEqual(self.wait_reason(name, "NodeDeleted")["state"], "NotHere")
        self.assertEqual(self.server.count(ONE_NODE, 404), asked)
        self.server.apply(node(SSD))
        self.wait_files("calm", "local", "served")
        self.wait_reason("served", "Fits")

    def test_what_is_no_404_of_the_node_takes_nothing_away(self):
        self.run_with_label()
        before = self.inodes()
        answers = [("status", {"code": 403}), ("garbage", {}), ("status", {"code": 404, "body": "404 page not found\n"}),
                   ("status", {"code": 404, "message": "the server could not find the requested resource"}),
                   ("status", {"code": 500})]
        for kind, args in answers:
            with self.subTest(kind=kind, **args):
                self.server.clear_faults()
                self.server.fault(ONE_NODE, kind, times=None, **args)
                self.delete()
                self.server.wait_for(lambda: [r for r in self.server.find(ONE_NODE) if r.ended], what="a GET of the Node")
                self.wait_for(lambda: self.resource("nodes").get("objects") == 0, "the Node to be missed")
                self.server.apply(node(SSD))
                self.wait_for(lambda: self.resource("nodes").get("objects") == 1, "the Node to be back")
        self.delete()
        self.hurry()
        self.asked(500)
        self.outlast_a_removal()
        self.assertEqual(self.inodes(), before)

    def test_it_is_asked_again_until_the_answer_is_clear(self):
        self.run_with_label()
        self.server.fault(ONE_NODE, "status", code=403)
        self.delete()
        self.asked(403)
        self.hurry()
        self.asked(404)
        self.wait_files()

    def test_back_within_the_grace(self):
        self.set_agent(node={"deleted_grace": "60s"})
        self.run_with_label()
        before = self.inodes()
        self.delete()
        self.asked(404)
        self.server.apply(node())
        self.wait_reason("local", "NodeSettling")
        self.label("ssd")
        self.wait_reason("local", "Fits")
        self.assertEqual(self.inodes(), before)

    def test_an_empty_list_of_a_server_that_still_has_it(self):
        self.run_with_label()
        before = self.inodes()
        self.server.fault("/api/v1/nodes[?](?!.*watch)", "empty_list", times=None)
        self.server.clear_requests()
        self.server.expire_watches("/nodes")
        self.asked(200)
        self.outlast_a_removal()
        self.assertEqual(self.inodes(), before)
        self.label("tape")
        self.wait_reason("local", "NodeSettling")

    def test_the_node_of_another_cluster_is_not_missed(self):
        self.run_with_label()
        before = self.inodes()
        self.server.clear_requests()
        self.server.new_cluster(version=1000)
        self.wait_for(lambda: self.server.count(ONE_NODE, 404) or self.hurry(), "a GET of the Node and 404")
        self.outlast_a_removal()
        self.assertEqual(self.inodes(), before)


class KubeletsIdentity(NodeHost):
    def setUp(self):
        super().setUp()
        self.server.node_authorizer = True
        self.server.kubeconfig(self.kubeconfig, user=f"system:node:{NODE}")

    def test_only_the_node_and_its_pods_are_followed_and_calmly(self):
        self.server.apply(node(SSD))
        self.server.apply(fenced("served"))
        self.source("local.json", daemonset("local", nodeSelector=SSD))
        mount = {"volumes": [{"name": "c", "configMap": {"name": "settings"}}],
                 "containers": [{"name": "main", "image": "i:1", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}]}
        self.source("uses.json", daemonset("uses", **mount))
        self.start()
        self.wait_live()
        self.wait_files("local")
        self.wait_reason("uses", "WaitingForConfigMap")
        self.assertEqual((self.api()["identity"], self.view()), ("kubelet", "api"))
        self.assertEqual([r["resource"] for r in self.api()["resources"]],
                         [f"/api/v1/nodes?fieldSelector=metadata.name%3D{NODE}",
                          f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NODE}"])
        self.label("hdd")
        self.wait_reason("local", "NodeSettling")
        self.label("ssd")
        self.wait_reason("local", "Fits")
        self.outlast_a_removal()
        with self.server.lock:
            seen = list(map(repr, self.server.requests))
        self.assertEqual([r for r in seen if "daemonsets" in r or "configmaps" in r or "403" in r], [])
        self.assertLessEqual(len(seen), 7)

    def test_what_it_may_not_ask_stays_as_it_was(self):
        self.server.kubeconfig(self.kubeconfig)
        self.run_with_label()
        before = self.inodes()
        self.server.kubeconfig(self.kubeconfig, user=f"system:node:{NODE}")
        self.wait_for(lambda: self.api().get("identity") == "kubelet", "the identity to be read")
        self.wait_live()
        self.outlast_a_removal()
        self.assertEqual(self.inodes(), before)
        self.assertEqual(self.row("served")["reason"], "SourceIncomplete")


class Member(NodeHost):
    own = True  # the agent's identity is not the kubelet's

    def setUp(self):
        super().setUp()
        self.kubelet_conf = self.dir / "kubelet.conf"
        self.server.kubeconfig(self.kubelet_conf, user=f"system:node:{NODE}" if self.own else "daemonlet:node-a")
        self.set_kubelet(4711, f"--kubeconfig={self.kubelet_conf}")
        if not self.own:
            self.kubeconfig = self.kubelet_conf
        self.set_agent()

    def set_kubelet(self, pid, *flags):
        proc = self.dir / "proc"
        random = proc / "sys" / "kernel" / "random"
        random.mkdir(parents=True)
        (random / "boot_id").write_text("one\n")
        (proc / "stat").write_text(f"cpu 0\nbtime {int(time.time()) - 3600}\n")
        new = proc / ".new"
        new.mkdir()
        (new / "comm").write_text("kubelet\n")
        (new / "cmdline").write_bytes(b"\0".join([b"/usr/bin/kubelet", *map(str.encode, flags)]) + b"\0")
        (new / "stat").write_text(f"{pid} (kubelet) S " + " ".join(["0"] * 18) + " 1 0\n")
        new.rename(proc / str(pid))


class Reset(Member):
    settle_time = "1s"

    def run_member(self):
        self.server.apply(node(SSD))
        mount = {"volumes": [{"name": "s", "secret": {"secretName": "password"}}],
                 "containers": [{"name": "main", "image": "i:1", "volumeMounts": [{"name": "s", "mountPath": "/s"}]}]}
        self.server.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password", "namespace": "kube-system"},
                           "stringData": {"key": "hunter2"}})
        self.server.apply(fenced("secret", **mount))
        self.server.apply(fenced("served"))
        self.source("calm.json", daemonset("calm"))
        self.start()
        self.wait_live()
        self.wait_files("calm", "secret", "served")
        self.stop()
        self.assertTrue(self.cached_secrets())
        self.start()
        self.wait_live()

    def cached_secrets(self):
        """Files of the cache in which the Secret is; the agent may be writing one just now."""
        found = []
        for p in (self.state / "api").rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                found += [p] if p.is_file() and b"aHVudGVyMg==" in p.read_bytes() else []
        return found

    def vanish(self):
        aside = self.dir / "aside"
        self.kubelet_conf.rename(aside)
        return aside

    def test_the_clusters_go_and_come_with_the_next_one(self):
        self.run_member()
        aside = self.vanish()
        self.wait_for(lambda: self.api()["left"], "it to be told")
        self.wait_files("calm")
        self.wait_view("local")
        self.wait_for(lambda: not list((self.state / "api").rglob("*")), "the cache to be empty")
        self.server.clear_requests()
        self.outlast_a_removal()
        self.assertEqual(self.server.requests, [])
        if self.own:
            self.stop()
            self.assertEqual([p.name for p in (self.state / "api").rglob("*")], [])
            self.start()
            self.wait_for(lambda: self.api()["left"], "it to be told again")
            self.outlast_a_removal()
            self.assertEqual((self.server.requests, self.files()), ([], [self.path("calm").name]))
        self.source("ssd.json", daemonset("ssd", nodeSelector=SSD))
        self.wait_reason("ssd", "NodeSelectorMismatch")
        self.server.apply(node())
        aside.rename(self.kubelet_conf)
        self.wait_files("calm", "secret", "served")
        self.wait_for(lambda: not self.api()["left"], "it to be told")
        self.wait_view("api")
        self.assertNotIn("create daemonlet_kube-system_ssd", self.log())  # for the Node as it was

    def test_away_for_a_moment(self):
        self.set_agent(node={"settle": "60s"})
        self.run_member()
        before = self.inodes()
        aside = self.vanish()
        self.outlast_a_removal()
        aside.rename(self.kubelet_conf)
        self.hurry()
        self.label("hdd")
        self.wait_view("api")
        self.assertFalse(self.api()["left"])
        self.assertEqual(self.inodes(), before)
        self.assertTrue(self.cached_secrets())


class ResetOfTheOnlyIdentity(Reset):
    own = False
    test_away_for_a_moment = None


class Heartbeat(Member):
    def test_it_is_no_news(self):
        self.server.apply(node(SSD))
        self.source("local.json", daemonset("local", nodeSelector=SSD))
        self.source("rack.json", daemonset("rack", nodeSelector={"rack": "r1"}))
        self.start()
        self.wait_live()
        self.wait_file("local")
        self.server.patch_node_heartbeat(NODE, time.time())  # the kubelet has synced
        self.server.set_labels("Node", "", NODE, {"rack": "r1"})  # and this is behind it in the stream
        self.wait_file("rack")
        self.outlast_a_removal()
        self.wait_for(lambda: not self.row("yardstick"), "it to be told")
        before, passes = self.inodes(), self.counter("passes")
        for i in range(8):
            self.server.patch_node_heartbeat(NODE, time.time() + 1 + i)
            time.sleep(0.11)  # several at once would be one piece of news
        self.server.set_labels("Node", "", NODE, {"rack": None})
        self.wait_reason("rack", "NodeSettling")
        self.assertLessEqual(self.counter("passes"), passes + 4)
        self.assertEqual(self.inodes(), before)


if __name__ == "__main__":
    main()
