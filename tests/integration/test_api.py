# SPDX-License-Identifier: Apache-2.0
"""The agent and an API server: what it follows, and what becomes of it."""
import pathlib, re, threading, unittest

from api_host import STATIC, ApiHost, fenced, node
from apiserver import Transcript
from host import SHARED, daemonset, main


class Following(ApiHost):
    def test_daemonset_appears_changes_and_goes(self):
        self.start()
        self.wait_live()
        self.server.apply(fenced("a"))
        first = self.wait_file("a")
        self.assertEqual(self.pod("a")["metadata"]["annotations"]["daemonlet.io/daemonset"], "kube-system/a")
        self.server.apply(fenced("a", image="registry.example.com/a:2"))
        self.wait_for(lambda: self.path("a").read_bytes() != first, "the new image")
        self.server.delete("DaemonSet", "kube-system", "a")
        self.wait_files()


    def test_what_it_uses_is_followed_by_name(self):
        mount = {"volumes": [{"name": "c", "configMap": {"name": "settings"}}],
                 "containers": [{"name": "main", "image": "i:1", "volumeMounts": [{"name": "c", "mountPath": "/c"}]}]}
        self.start()
        self.wait_live()
        self.server.apply(fenced("a", **mount))
        self.wait_reason("a", "WaitingForConfigMap")
        self.server.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "kube-system"},
                           "data": {"key": "one"}})
        self.wait_file("a")
        volume = self.pod("a")["spec"]["volumes"][0]["hostPath"]["path"]
        content = lambda: pathlib.Path(volume, "key").read_text()
        self.assertEqual(content(), "one")
        before = self.inodes()
        self.server.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "kube-system"},
                           "data": {"key": "two"}})
        self.wait_for(lambda: content() == "two", "the new content")
        self.assertEqual(self.inodes(), before)
        self.assertIn("fieldSelector=metadata.name%3Dsettings", self.resource("configmaps")["resource"])

    def test_environment_of_the_server_and_of_files(self):
        """Each DaemonSet finds the objects of both; the server's win."""
        def env(name):
            return {e["name"]: e["value"] for e in self.pod(name)["spec"]["containers"][0]["env"]}

        def settings(name, value):
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"},
                    "data": {"key": value}}
        both = {"containers": [{"name": "main", "image": "i:1", "env": [
            {"name": n.upper(), "valueFrom": {"configMapKeyRef": {"name": n, "key": "key"}}} for n in ("file", "server", "twice")]}]}
        self.source("objects.yaml", settings("file", "f"), settings("twice", "f"))
        self.source("local.yaml", daemonset("local", **both))
        self.server.apply(settings("server", "s"))
        self.server.apply(settings("twice", "s"))
        self.server.apply(fenced("a", **both))
        self.start()
        for name in ("a", "local"):  # first perhaps with what the file says, if the server's answers come apart
            self.wait_for(lambda: env(name) == {"FILE": "f", "SERVER": "s", "TWICE": "s"}, f"the environment of {name}")

    def test_a_priority_class_is_awaited_but_not_for_ever(self):
        self.server.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 777})
        answer = threading.Event()
        self.server.fault("priorityclasses.*high", "until", times=None, event=answer)
        self.server.fault("priorityclasses.*forbidden", "status", times=None, code=403)
        self.server.apply(fenced("a", priorityClassName="high"))
        self.server.apply(fenced("b", priorityClassName="forbidden"))
        self.server.apply(fenced("c", priorityClassName="missing"))
        self.start()
        self.wait_file("b")
        self.wait_file("c")
        self.assertEqual(self.wait_reason("a", "WaitingForPriorityClass")["message"], "high")
        self.assertFalse(self.path("a").exists())
        answer.set()
        self.wait_file("a")
        self.assertEqual(self.pod("a")["spec"]["priority"], 777)
        self.assertNotIn("priority", self.pod("b")["spec"])
        self.assertNotIn("priority", self.pod("c")["spec"])

    def test_only_what_opted_in_with_the_fence_runs(self):
        self.start()
        self.wait_live()
        self.server.apply(daemonset("none"))
        self.server.apply(daemonset("unfenced", meta=STATIC))
        self.server.apply(fenced("odd", meta={"labels": {"daemonlet.io/mode": "dynamic"}}))
        self.server.apply(fenced("elsewhere", namespace="default"))
        self.server.apply(fenced("good"))
        self.wait_file("good")
        self.assertIn('daemonlet.io/static: ""', self.wait_reason("unfenced", "WouldRunTwice")["message"])
        self.wait_reason("odd", "UnknownMode")
        self.assertIsNone(self.row("none"))
        self.assertIsNone(self.row("elsewhere", "default"))
        self.wait_files("good")
        self.server.apply(node({"daemonlet.io/static": ""}))
        self.wait_reason("good", "FenceBroken")
        self.wait_files("good")

    def test_the_servers_copy_wins_while_it_exists(self):
        self.source("a.yaml", daemonset("a", image="local:1"))
        self.start()
        image = lambda: self.pod("a")["spec"]["containers"][0]["image"]
        self.wait_file("a")
        self.wait_live()
        self.server.apply(fenced("a", image="server:1"))
        self.wait_for(lambda: image() == "server:1", "the server's copy")
        self.wait_for(lambda: self.row("a")["source"] == "api", "the source to be told")
        self.server.delete("DaemonSet", "kube-system", "a")
        self.wait_for(lambda: image() == "local:1", "the local copy")
        self.wait_files("a")



    def test_explain_knows_what_the_server_said(self):
        self.server.apply(node({"disk": "ssd"}))
        self.server.apply(fenced("a", selector={"disk": "ssd"}))
        self.server.apply(daemonset("unfenced", meta=STATIC))
        self.source("both.yaml", daemonset("both", image="local:1"))
        self.server.apply(fenced("both", selector={"disk": "hdd"}))
        self.start()
        self.wait_file("a")
        self.wait_live()
        self.wait_reason("both", "NodeSelectorMismatch")
        self.stop()
        p = self.run_("explain", "-o", "tsv", node=False)
        rows = dict((r[0], r[1:]) for r in (line.split("\t") for line in p.stdout.splitlines()))
        self.assertEqual(rows, {"kube-system/a": ["true", "true", "Fits"],
                                "kube-system/unfenced": ["false", "true", "WouldRunTwice"],
                                "kube-system/both": ["false", "false", "NodeSelectorMismatch"]}, p.stderr)
        self.assertIn("node node-a (cache)", self.run_("explain", node=False).stderr)
        self.assertIn("add to spec.template.spec.nodeSelector", self.run_("explain", "kube-system/unfenced", node=False).stdout)


class Tokens(ApiHost):
    def setUp(self):
        super().setUp()
        for name in ("agent", "local"):
            self.server.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}})
        self.server.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt", "namespace": "kube-system"},
                           "data": {"ca.crt": "the published one\n"}})

    def directory(self, name):
        return pathlib.Path(self.pod(name)["spec"]["volumes"][0]["hostPath"]["path"])

    def token(self, name):
        try:
            return (self.directory(name) / "token").read_text()
        except OSError:
            return None

    def test_tokens_are_off(self):
        self.server.apply(fenced("a", serviceAccountName="agent"))
        self.start()
        self.wait_file("a")
        self.assertIsNone(self.token("a"))
        self.assertEqual(self.server.token_requests, [])

    def test_tokens_are_requested_and_renewed(self):
        self.set_agent(api={"tokens": "yes"})
        self.server.token_life = 3
        self.server.apply(fenced("a", serviceAccountName="agent"))
        self.start()
        self.wait_file("a")
        self.wait_for(lambda: (self.directory("a") / "ca.crt").read_text() == "the published one\n", "the published CA")
        first, before = self.wait_for(lambda: self.token("a"), "a token"), self.inodes()
        self.wait_for(lambda: self.token("a") not in (None, first), "another token", 30)
        self.assertEqual(self.inodes(), before)
        self.assertEqual(self.server.token_requests[0][:2], ("kube-system", "agent"))
        self.assertNotIn(first, self.log() + (self.run_dir / "status.json").read_text() + self.path("a").read_text())

    def test_a_pod_waits_for_a_token_that_is_refused(self):
        self.set_agent(api={"tokens": "yes"})
        self.server.delete("ServiceAccount", "kube-system", "agent")
        self.server.apply(fenced("a", serviceAccountName="agent"))
        self.start()
        self.assertIn("kube-system/agent", self.wait_reason("a", "WaitingForToken")["message"])
        self.wait_for(lambda: "answers 404 to the request of a token" in self.api()["problem"], "the reason to be told")
        self.assertEqual(self.run_("status", node=False).returncode, 1)

    def test_the_kubelets_identity_requests_none(self):
        self.kubeconfig = self.server.kubeconfig(self.dir / "kubelet.conf", user="system:node:node-a")
        self.server.node_authorizer = True
        self.set_agent(api={"tokens": "yes"})
        self.source("local.yaml", daemonset("local", serviceAccountName="local"))
        self.start()
        self.wait_file("local")
        self.wait_live()
        self.server.apply(node({"again": "yes"}))
        self.source("second.yaml", daemonset("second", nodeSelector={"again": "yes"}))
        self.wait_file("second")
        self.assertEqual(self.server.count("^POST"), 0)

    def test_a_local_one_starts_without_and_gets_it_later(self):
        self.set_agent(api={"tokens": "yes"})
        self.server.stop()
        self.source("local.yaml", daemonset("local", serviceAccountName="local"))
        self.start()
        self.wait_file("local")
        before = self.inodes()
        self.assertIsNone(self.token("local"))
        self.server.start()
        self.wait_for(lambda: self.token("local"), "its token", 30)
        self.assertEqual(self.inodes(), before)


class Outages(ApiHost):
    def test_starts_from_the_cache(self):
        self.server.apply(node({"disk": "ssd"}))
        self.server.apply(fenced("a", selector={"disk": "ssd"}))
        self.start()
        self.wait_file("a")
        self.wait_live()
        self.stop()
        self.server.stop()
        self.path("a").unlink()
        self.start()
        self.wait_file("a")
        self.assertEqual(self.status()["node"]["source"], "cache")
        self.assertEqual(self.row("a")["source"], "api")
        self.server.start()
        self.wait_live()
        self.wait_for(lambda: self.status()["node"]["source"] == "api", "the Node to be the server's")

    def test_a_server_that_is_away_takes_nothing_away(self):
        self.server.apply(fenced("a"))
        self.start()
        self.wait_file("a")
        self.wait_live()
        before = self.inodes()
        self.server.stop("reset")
        self.wait_away()
        self.server.start()
        self.wait_live()
        self.assertEqual(self.inodes(), before)


    def test_journal_and_metrics_tell_of_the_server(self):
        numbers = self.dir / "daemonlet.prom"
        self.set_agent(metrics={"textfile": str(numbers)})
        self.start()
        self.wait_live()
        self.wait_for(lambda: 'daemonlet_api_resources{state="Live"} 2' in numbers.read_text(), "the numbers")
        self.assertIn("daemonlet_api_reachable 1", numbers.read_text())
        self.wait_for(lambda: f"API server {self.server.url}: followed" in self.log(), "the journal to tell")
        self.server.stop("reset")
        self.wait_for(lambda: "daemonlet_api_reachable 0" in numbers.read_text(), "the numbers to tell")
        self.wait_for(lambda: "what it last said counts" in self.log(), "the journal to tell")
        self.wait_away()
        p = self.run_("status", node=False)
        self.assertIn("no answer; what it said ", p.stderr)
        self.assertEqual(p.returncode, 0, p.stderr)


class Recorded(Transcript):
    """A transcript of another client's request, for ours that asks the same."""
    def __init__(self, name, path, times=1, **query):
        super().__init__(SHARED / "apiserver" / name)
        self.pattern, self.times, self.wanted = re.compile(path), times, query

    def matches(self, request):
        if not self.times or request.method != self.method or not self.pattern.fullmatch(request.path) or \
           any((k in request.query) != want for k, want in self.wanted.items()):
            return False
        self.times -= 1
        return True


@unittest.skipUnless((SHARED / "apiserver").is_dir(), "the transcripts of a real API server are not here")
class Transcripts(ApiHost):
    """What a real server said, byte for byte."""
    serve = False

    def play(self, *transcripts):
        for t in transcripts:
            self.server.replay(t)
        self.server.start()
        self.start()

    def test_daemonsets(self):
        path = "/apis/apps/v1/namespaces/kube-system/daemonsets"
        refused = Recorded("26-list-watchlist.http", path, sendInitialEvents=True)
        listed = Recorded("03-list-labelselector.http", path, watch=False)
        watched = Recorded("04-watch-daemonsets.http", path, watch=True, sendInitialEvents=False)
        names = {o["metadata"]["name"] for o in listed.values()[0]["items"]}
        for event in watched.values():
            if event["type"] == "DELETED":
                names.discard(event["object"]["metadata"]["name"])
            elif event["type"] != "BOOKMARK":
                names.add(event["object"]["metadata"]["name"])
        self.assertGreater(len(names), 1)
        self.play(refused, listed, watched)
        self.wait_for(lambda: {r["name"] for r in self.status()["daemonsets"]} == names, f"exactly {names}", 30)
        self.assertEqual((refused.times, listed.times, watched.times), (0, 0, 0))
        # They never opted in as we want it.
        self.assertEqual({r["reason"] for r in self.status()["daemonsets"]}, {"UnknownMode"})
        self.wait_files()

    def test_node(self):
        """Through a label, a taint, a cordon and the deletion."""
        labels = {}
        watched = Recorded("11-watch-node.http", "/api/v1/nodes", watch=True, sendInitialEvents=False)
        for event in watched.values():
            labels.update(event["object"]["metadata"].get("labels") or {})
        own = {k: v for k, v in labels.items() if "kubernetes.io" not in k}
        self.assertTrue(own)
        self.source("a.yaml", daemonset("a", nodeSelector=own, tolerations=[{"operator": "Exists"}]))
        self.play(Recorded("26-list-watchlist.http", "/api/v1/nodes", sendInitialEvents=True),
                  Recorded("10-node-list-fieldselector.http", "/api/v1/nodes", watch=False), watched,
                  Recorded("12-node-404.http", "/api/v1/nodes/node-a"))
        self.wait_file("a")
        self.wait_for(lambda: self.status()["node"].get("deleted"), "the deletion to be known", 30)
        self.wait_files("a")

    def test_a_watch_from_too_long_ago(self):
        self.server.apply(node())
        self.server.apply(fenced("a"))
        old = Recorded("05-watch-too-old.http", "/apis/apps/v1/namespaces/kube-system/daemonsets", watch=True, sendInitialEvents=False)
        self.play(old)
        self.wait_file("a")
        self.wait_for(lambda: old.times == 0, "the answer to be used")
        self.server.apply(fenced("b"))
        self.wait_file("b")
        self.wait_files("a", "b")


if __name__ == "__main__":
    main()
