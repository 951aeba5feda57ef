# SPDX-License-Identifier: Apache-2.0
"""The agent and an API server that misbehaves: nothing that stands is touched, status says what is wrong, and when it is
over the agent follows again."""
import hashlib, json, pathlib, re, signal, time

from api_host import NODE, ApiHost, fenced, node
from apiserver import ApiServer
from host import daemonset, main

DS = r"daemonsets\?labelSelector"
PATIENCE = 90  # seconds; whoever is not hurried may pause for up to 60
LIST = r"daemonsets\?labelSelector(?!.*watch=1(?!.*sendInitialEvents))"  # of either way


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"}, "data": data}


def using(*names):
    """Parts of a pod that mounts these ConfigMaps."""
    return {"volumes": [{"name": n, "configMap": {"name": n}} for n in names],
            "containers": [{"name": "main", "image": "i:1",
                            "volumeMounts": [{"name": n, "mountPath": f"/{n}"} for n in names]}]}


class FaultHost(ApiHost):
    removal_delay = "0s"  # what is to go goes in the pass that sees it
    api_conf = {}

    def setUp(self):
        self.serial = 0
        super().setUp()

    def tearDown(self):
        if self.child and self.child.poll() is None:
            self.stop()

    def stop(self, how=signal.SIGTERM):
        status = super().stop(how)
        self.assertEqual(status, 0, self.log()[-3000:])
        return status

    def set_agent(self, **sections):
        super().set_agent(**{**sections, "api": {**self.api_conf, **sections.get("api", {})}})

    def stand(self, *names):
        """Manifests of the server's DaemonSets a, b and these, and of a local one."""
        self.source("local.yaml", daemonset("local"))
        for name in ("a", "b", *names):
            self.server.apply(fenced(name))
        self.start()
        for name in ("a", "b", "local", *names):
            self.wait_file(name)
        self.wait_live()
        # What is done to watches from now on is done to running ones.
        self.wait_for(lambda: len(self.server.watches()) >= len(self.api()["resources"]), "all to be watched", 30)
        self.assertEqual(self.verdict().returncode, 0)
        self.before = self.inodes()

    # ---- what it says ----

    def verdict(self):
        return self.run_("status", node=False)

    def said(self):
        """All that status.json has of the server, as text."""
        return json.dumps(self.api(), ensure_ascii=False)

    def wait_said(self, *words, hurry=True):
        wait, deadline = (self.hurried, None) if hurry else (self.wait_for, PATIENCE)
        return wait(lambda: all(w in self.said() for w in words), f"status to say {words}", deadline)

    def stale(self):
        """If DaemonSets are Stale, what one report says of the server, of them and of Nodes: the next one may say it of
        another."""
        api = self.api()
        daemonsets, nodes = (next(r for r in api["resources"] if part in r["resource"]) for part in ("daemonsets", "nodes"))
        return daemonsets["state"] == "Stale" and (api, daemonsets, nodes)

    def image(self, name):
        try:
            return self.pod(name)["spec"]["containers"][0]["image"]
        except OSError:
            return None

    def wait_well(self, hurry=True):
        """Until all is live, and nobody has anything to mend."""
        wait, deadline = (self.hurried, None) if hurry else (self.wait_for, PATIENCE)
        def well():
            api = self.api()
            return all(r["state"] == "Live" for r in api["resources"]) and not api["problem"]
        wait(well, "all to be well", deadline)
        seen = self.verdict()
        self.assertEqual(seen.returncode, 0, seen.stderr)

    # ---- waiting ----

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def hurried(self, predicate, what, deadline=None):
        """Waits without patience for back-offs; where all is slow, it must come to an end between two reloads."""
        last, pause = 0.0, 0.1

        def look():
            nonlocal last, pause
            got = predicate()
            if not got and time.monotonic() - last > pause:
                last, pause = time.monotonic(), min(pause * 1.2, 5)
                self.reload()
            return got
        return self.wait_for(look, what, deadline)

    def end_watches(self, pattern=DS):
        """They are listed anew."""
        self.hurried(lambda: self.server.expire_watches(pattern), f"a watch of {pattern}")

    def unchanged(self):
        """A whole pass later all is as it was."""
        self.serial += 1
        mark = f"mark-{self.serial}"
        self.source(f"{mark}.yaml", daemonset(mark))
        self.reload()
        self.wait_file(mark)
        now = self.inodes()
        self.assertEqual({name: now.get(name) for name in self.before}, self.before)

    def follows_again(self, hurry=True, deadline=None):
        """A change on the server arrives, and nothing else changes."""
        self.serial += 1
        image = f"registry.example.com/a:{self.serial + 1000}"
        self.server.apply(fenced("a", image=image))
        wait, deadline = (self.hurried, deadline) if hurry else (self.wait_for, deadline or PATIENCE)
        wait(lambda: self.image("a") == image, "a change on the server to arrive", deadline)
        wait(lambda: self.resource("daemonsets").get("state") == "Live", "DaemonSets to be live", deadline)
        now, a = self.inodes(), self.path("a").name
        self.assertEqual({n: now.get(n) for n in self.before if n != a}, {n: i for n, i in self.before.items() if n != a})
        self.before = now


HTML = ["no list that can be used", "malformed JSON"]
ANSWERS = [  # name, kind of fault, its arguments, words of the status
    ("html", "garbage", {}, HTML),
    ("html-with-json-type", "garbage", {"content_type": "application/json"}, HTML),
    ("empty", "garbage", {"body": ""}, []),
    ("null", "garbage", {"body": "null"}, []),
    ("500", "status", {"code": 500, "message": "etcdserver: leader changed"}, ["the server answered 500", "leader changed"]),
    ("502-html", "status", {"code": 502, "body": "<html>bad gateway</html>"}, ["the server answered 502", "bad gateway"]),
    ("503", "status", {"code": 503, "headers": {"Retry-After": "1"}}, ["the server answered 503"]),
    ("429", "status", {"code": 429, "headers": {"Retry-After": "1"}}, ["the server answered 429"]),
    ("401", "status", {"code": 401}, ["does not accept this identity"]),
    ("403", "status", {"code": 403}, ["forbidden: this identity may not", "daemonsets.apps in namespace kube-system",
                                      "{apiGroups: [apps], resources: [daemonsets], verbs: [get, list, watch]}"]),
    ("404", "status", {"code": 404, "body": "404 page not found\n"}, ["the server has no such resource", "page not found"]),
    ("410", "status", {"code": 410, "message": "too old resource version"}, ["too old resource version"]),
    ("redirect", "status", {"code": 302, "body": "", "headers": {"Location": "https://login.example.com/"}}, ["answered 302"]),
    ("204", "status", {"code": 204, "body": ""}, ["answered 204"]),
    ("half", "half", {}, ["closed"]),
    ("half-chunked", "half", {"chunked": True}, ["closed"]),
    ("half-reset", "half", {"how": "reset", "chunked": True}, []),
    ("closed", "close", {}, []),
    ("reset", "reset", {}, []),
    ("wrong-kind", "wrong_kind", {}, []),
    ("wrong-list", "wrong_kind", {"to": "PodList"}, ["PodList"]),
]


class Answers(FaultHost):
    """One agent lives through them all."""

    def live_through(self, cases):
        self.stand()
        for name, kind, arguments, words in cases:
            with self.subTest(fault=name):
                fault = self.server.fault(LIST, kind, times=None, **arguments)
                self.end_watches()
                self.wait_said(*words) if words else None
                self.hurried(lambda: fault.used > 1, "the fault to be met twice")
                server, daemonsets, nodes = self.hurried(self.stale, "it to be told")
                self.assertNotEqual(daemonsets.get("problem", "") + server["problem"], "")
                self.assertEqual(nodes.get("problem", ""), "")
                self.unchanged()
                self.server.clear_faults()
                self.follows_again()
                self.wait_well()

    def test_lists(self):
        self.live_through(ANSWERS)

    def test_streaming_lists(self):
        self.server.streaming = True
        # What a watch may not, a list may: the faults are of both.
        self.live_through([(n, k, a, []) for n, k, a, w in ANSWERS if n in
                           ("html", "503", "403", "410", "half", "reset", "wrong-kind", "empty")])
        self.assertTrue(self.server.find("sendInitialEvents", 200))
        # An older server takes over.
        self.server.streaming = False
        self.end_watches()
        self.follows_again()


class Watches(FaultHost):
    def test_whatever_happens_to_a_watch(self):
        self.stand()
        watch = r"daemonsets\?.*watch=1.*&resourceVersion="
        garbage = '{"type":"ADDED","object":{"kind":"DaemonSet"\n<html>\n'
        for name, kind, arguments in (
                ("torn", "torn", {"pieces": 7, "delay": 0}),
                ("half an event", "half", {"after": 0}),
                ("half an event, then a reset", "half", {"after": 1, "how": "reset"}),
                ("garbage", "garbage", {"body": garbage}),
                ("garbage later", "garbage", {"after": 1, "body": garbage}),
                ("HTML", "garbage", {}),
                ("gone", "watch_410", {}),
                ("gone later", "watch_410", {"after": 1}),
                ("refused", "status", {"code": 500}),
                ("not there", "status", {"code": 404}),
                ("too old", "status", {"code": 410})):
            with self.subTest(fault=name):
                fault = self.server.fault(watch, kind, times=2, **arguments)
                self.hurried(lambda: self.server.drop_watches(DS, "end") or fault.used, "a watch to end")
                self.hurried(lambda: fault.used > 0, f"the fault {name} to be met")
                self.follows_again()
                self.server.remove_fault(fault)
                self.unchanged()
        for how in ("end", "close", "cut", "reset"):
            with self.subTest(how=how):
                self.server.drop_watches("", how)
                self.follows_again()
        self.server.expire_watches()
        self.follows_again()
        self.unchanged()

    def test_a_slow_server(self):
        self.stand()
        self.server.fault(DS, "slow", times=None, delay=0.3)
        self.end_watches()
        self.follows_again()
        self.server.clear_faults()
        self.server.fault(None, "torn", times=None, pieces=40, delay=0.001)
        self.server.drop_connections()
        self.follows_again(deadline=PATIENCE)
        self.unchanged()

    def test_silence(self):
        """The server takes requests and says nothing; then its connections die."""
        self.stand()
        self.server.mute_watches()
        self.server.apply(fenced("a", image="unheard:1"))
        fault = self.server.fault(DS, "silent", times=None)
        headed = self.server.fault(r"nodes\?", "silent", times=None, head=True)
        self.unchanged()
        self.server.drop_connections("cut")
        self.hurried(lambda: fault.used and headed.used, "the silence to be met")
        self.hurried(lambda: self.resource("daemonsets")["state"] == "Stale", "the silence to be told")
        self.unchanged()
        self.server.drop_connections("cut")
        self.unchanged()
        self.server.clear_faults()
        self.server.drop_connections("cut")
        self.follows_again()
        self.hurried(lambda: self.resource("nodes")["state"] == "Live", "the Node to be live")

    def test_no_handshake(self):
        self.stand()
        fault = self.server.fault(None, "hang_tls", times=None)
        self.server.drop_connections()
        self.hurried(lambda: fault.used and not self.api()["reachable"], "the server to be away")
        self.unchanged()
        self.assertEqual(self.verdict().returncode, 0)
        self.server.clear_faults()
        self.server.drop_connections()
        self.follows_again()

    def test_an_answer_without_end(self):
        self.stand()
        fault = self.server.fault(LIST, "huge", times=None)
        self.end_watches()
        self.wait_said("larger than", "bytes")
        self.unchanged()
        self.server.clear_faults()
        self.follows_again()
        self.assertGreater(fault.used, 0)
        fault = self.server.fault(r"daemonsets\?.*watch=1", "huge", times=1)
        self.server.drop_watches(DS)
        self.hurried(lambda: fault.used, "the endless event")
        self.follows_again()
        self.unchanged()


class Away(FaultHost):
    def test_nobody_listens(self):
        self.stand()
        self.server.stop()
        self.wait_away()
        self.wait_said("efused", hurry=False)
        seen = self.verdict()
        self.assertEqual(seen.returncode, 0)  # nobody on this host has to mend it
        self.assertIn("no answer", seen.stderr)
        self.assertIn("counts", seen.stderr)
        self.unchanged()
        self.server.start()
        self.follows_again(hurry=False)

    def test_retry_after(self):
        """It is obeyed, by each resource for itself, and what the server answers in the end counts."""
        self.stand()
        pause = 3
        busy = {c: self.server.fault(p, "status", times=1, code=c, headers={"Retry-After": str(pause)})
                for p, c in ((LIST, 503), (r"nodes\?", 429))}
        self.server.expire_watches()
        self.server.wait_for(lambda: all(f.used for f in busy.values()))
        self.follows_again(hurry=False)
        self.wait_live()
        for pattern, code in ((DS, 503), (r"nodes\?", 429)):
            asked = self.server.find(pattern)
            first = next(i for i, r in enumerate(asked) if r.status == code)
            self.assertGreaterEqual(asked[first + 1].time - asked[first].time, pause - 0.01)

    def test_a_refusal_confirms_nothing(self):
        self.stand()
        fault = self.server.fault(LIST, "status", times=None, code=500)
        self.end_watches()
        self.hurried(lambda: fault.used and self.resource("daemonsets")["state"] == "Stale", "the fault to be met")
        confirmed = self.resource("daemonsets")["confirmedAt"]
        self.hurried(lambda: time.time() >= confirmed + 2, "time to pass")
        used = fault.used
        self.hurried(lambda: fault.used > used + 1, "another refusal")
        self.unchanged()
        self.assertEqual(self.resource("daemonsets")["confirmedAt"], confirmed)
        self.server.clear_faults()
        self.follows_again()

    def test_one_knocks_while_nobody_answers(self):
        """Connections that are refused by the server's word come one at a time."""
        self.stand()
        self.server.fault(None, "close", times=None)
        self.server.clear_requests()
        self.server.drop_connections("reset")
        self.wait_away()
        # The four watches that ended may have been asked for again before it was clear that all are in vain.
        self.assertLessEqual(len([r for r in self.server.find("") if "kube-system/" in r.target or "nodes" in r.target]), 4)
        self.unchanged()
        self.server.clear_faults()
        self.follows_again()


class Rights(FaultHost):
    USER = "daemonlet:node-a"

    def allow(self, *rules):
        self.server.rules = {self.USER: [
            {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["nodes", "namespaces", "pods"]}, *rules]}

    DAEMONSETS = {"verbs": ["get", "list", "watch"], "apiGroups": ["apps"], "resources": ["daemonsets"]}

    def test_no_right_to_daemonsets(self):
        self.stand()
        self.allow()
        self.end_watches()
        self.wait_said("forbidden: this identity may not list daemonsets.apps in namespace kube-system; add to its Role: "
                       "{apiGroups: [apps], resources: [daemonsets], verbs: [get, list, watch]}")
        self.assertEqual(self.resource("nodes")["state"], "Live")
        self.assertEqual(self.status()["node"]["source"], "api")
        seen = self.verdict()
        self.assertEqual(seen.returncode, 1)
        self.assertIn("add to its Role", seen.stderr)
        self.server.set_labels("Node", "", NODE, {"disk": "ssd"})
        self.unchanged()
        self.allow(self.DAEMONSETS)
        self.follows_again()
        self.wait_well()

    def test_no_right_to_one_configmap(self):
        for name in ("open", "closed"):
            self.server.apply(configmap(name, key="value"))
        self.allow(self.DAEMONSETS, {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"],
                                     "resourceNames": ["open"]})
        self.stand()
        self.server.apply(fenced("uses-open", **using("open")))
        self.server.apply(fenced("uses-closed", **using("closed")))
        self.wait_file("uses-open")
        self.wait_reason("uses-closed", "WaitingForConfigMap")
        self.wait_said("may not list configmaps in namespace kube-system", "resourceNames: [closed]", hurry=False)
        self.assertEqual(self.verdict().returncode, 1)
        self.unchanged()
        self.allow(self.DAEMONSETS, {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"],
                                     "resourceNames": ["open", "closed"]})
        self.hurried(lambda: self.path("uses-closed").exists(), "what waited")
        # A right that is lost changes nothing of what stands.
        self.before = self.inodes()
        self.allow(self.DAEMONSETS)
        self.server.expire_watches("configmaps")
        self.wait_said("resourceNames: [open]")
        self.unchanged()


class Certificates(FaultHost):
    def test_certificates_that_are_not_good(self):
        self.stand()
        for certificate, words in (("expired", ["certificate has expired"]),
                                   ("other_ca", ["SSL certificate problem: self-signed certificate in certificate chain"]),
                                   ("other_name", ["certificate", "name", "127.0.0.1"])):
            with self.subTest(certificate=certificate):
                self.server.start(certificate)
                self.wait_said(*words)
                seen = self.verdict()
                for word in words:
                    self.assertIn(word, seen.stderr)
                self.assertEqual(seen.returncode, 1)  # somebody has to mend it
                self.unchanged()
                self.server.start("good")
                self.follows_again()
                self.wait_well()

    def test_server_name(self):
        self.server.start("other_name")
        self.server.kubeconfig(self.kubeconfig, server_name="elsewhere.example.com")
        self.stand()
        self.follows_again()

    def test_insecure_is_refused_unless_allowed(self):
        self.stand()
        self.server.start("other_ca")
        self.server.kubeconfig(self.kubeconfig, ca=None, insecure=True)
        self.wait_said("insecure-skip-tls-verify is obeyed only with allow_insecure = yes in [api]")
        self.assertEqual(self.verdict().returncode, 1)
        self.unchanged()
        self.set_agent(api={"allow_insecure": "yes"})
        self.hurried(lambda: "allow_insecure" not in self.said(), "the new configuration")
        self.follows_again()


class Identity(FaultHost):
    def test_exec_plugin(self):
        self.stand()
        good = self.kubeconfig.read_text()
        text = re.sub(r"(?ms)^  user:\n.*", "  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n"
                                            "      command: aws\n", good)
        self.write_kubeconfig(text)
        self.wait_said("exec", str(self.kubeconfig))
        self.assertEqual(self.verdict().returncode, 1)
        self.follows_again()  # the old identity goes on
        self.unchanged()
        self.write_kubeconfig(good)
        self.hurried(lambda: "exec" not in self.said(), "the good one")
        self.assertEqual(self.verdict().returncode, 0)

    def write_kubeconfig(self, text):
        tmp = self.kubeconfig.with_name("new-kubeconfig")
        tmp.touch(0o600)
        tmp.write_text(text)
        tmp.rename(self.kubeconfig)

    def test_kubeconfig_comes_later(self):
        good = self.kubeconfig.read_text()
        self.kubeconfig.unlink()
        self.source("local.yaml", daemonset("local"))
        self.server.apply(fenced("a"))
        self.start()
        self.wait_file("local")
        self.assertIn(str(self.kubeconfig), self.api()["problem"])
        self.assertEqual(self.api()["identity"], "none")
        self.assertEqual(self.verdict().returncode, 1)
        self.before = self.inodes()
        self.write_kubeconfig(good)
        self.wait_file("a")
        self.wait_live()
        self.assertEqual(self.verdict().returncode, 0)
        self.unchanged()

    def test_kubeconfig_breaks_and_is_mended(self):
        self.stand()
        good = self.kubeconfig.read_text()
        for text, words in ((good[:len(good) // 3], []), ("", []), ("{", []),
                            (good.replace("current-context: test", "current-context: other"), ["other"])):
            with self.subTest(text=text[-20:]):
                self.write_kubeconfig(text)
                self.wait_said(str(self.kubeconfig) + ":", *words)
                self.hurried(lambda: self.api()["problem"], "the problem")
                self.assertEqual(self.verdict().returncode, 1)
                self.follows_again(hurry=False)
                self.unchanged()
        self.kubeconfig.unlink()
        self.wait_said("No such file")
        self.follows_again(hurry=False)
        self.write_kubeconfig(good)
        self.wait_for(lambda: not self.api()["problem"], "the good one")
        self.assertEqual(self.verdict().returncode, 0)

    def test_another_fault_than_before_is_told(self):
        tokens = self.dir / "token"
        self.server.kubeconfig(self.kubeconfig, token="first", token_file=tokens)
        self.stand()
        broken = self.server.fault(None, "status", code=500, times=None)
        self.server.drop_watches()
        self.wait_said("500", hurry=False)
        self.server.remove_token("first")
        self.server.remove_fault(broken)
        self.wait_said("does not accept this identity", hurry=False)

    def test_token_is_renewed_in_its_file(self):
        tokens = self.dir / "token"
        self.server.kubeconfig(self.kubeconfig, token="first", token_file=tokens)
        self.stand()
        # In time: nobody notices.
        self.server.add_token("second")
        self.write_private(tokens, "second\n")
        self.server.remove_token("first")
        self.server.drop_watches()
        self.follows_again(hurry=False)
        # Too late.
        self.server.remove_token("second")
        self.server.drop_watches()
        self.wait_said("does not accept this identity", hurry=False)
        self.wait_for(lambda: self.verdict().returncode == 1, "a bad verdict", PATIENCE)
        self.unchanged()
        self.server.add_token("third")
        self.write_private(tokens, "third\n")
        self.follows_again()
        self.wait_well()

    @staticmethod
    def write_private(path, text):
        tmp = path.with_name(path.name + ".new")
        tmp.touch(0o600)
        tmp.write_text(text)
        tmp.rename(path)

    def test_client_certificate_is_rotated_by_a_link(self):
        """As the kubelet does with kubelet-client-current.pem."""
        pki, revoked = self.dir / "pki", set()
        pki.mkdir(0o700)
        real = self.server._certificate_user
        self.server._certificate_user = lambda c: False if (real(c) or [None])[0] in revoked else real(c)

        def rotate(user):
            cert, key = self.server.client_certificate(user)
            self.write_private(pki / f"{user}.pem", cert.read_text() + key.read_text())
            (pki / "next.pem").symlink_to(f"{user}.pem")
            (pki / "next.pem").rename(pki / "current.pem")
        rotate("one")
        text = re.sub(r"(?m)^    client-(certificate|key)(-data)?: .*", rf"    client-\1: {pki}/current.pem",
                      self.kubeconfig.read_text())
        self.write_kubeconfig(text)
        self.stand()
        self.assertEqual({r.user for r in self.server.find(DS)}, {"one"})
        rotate("two")
        revoked.add("one")
        self.server.clear_requests()
        self.server.drop_connections("cut")
        self.follows_again(hurry=False)
        self.assertEqual(self.server.wait_watch(DS).request.user, "two")
        self.wait_well(hurry=False)
        self.unchanged()


class Evidence(FaultHost):
    def replace_server(self, change):
        self.server.stop()
        self.wait_away()
        change()
        self.server.apply(node())
        self.server.start()

    def test_another_cluster_at_the_same_place(self):
        self.stand()
        self.replace_server(lambda: self.server.new_cluster(version=7))
        self.hurried(lambda: self.resource("daemonsets")["state"] == "SuspectList", "the list to be doubted")
        self.wait_said("another cluster answers than before")
        self.unchanged()
        self.assertEqual(self.verdict().returncode, 1)
        self.server.apply(fenced("new"))
        self.wait_file("new")
        self.server.apply(fenced("a"))
        self.unchanged()
        # Also after a restart.
        self.stop()
        self.start()
        self.hurried(lambda: self.resource("daemonsets").get("state") == "SuspectList", "the doubt to last")
        self.unchanged()
        self.server.apply(fenced("b"))
        self.hurried(lambda: self.resource("daemonsets").get("state") == "Live", "the doubt to end")
        self.unchanged()

    def test_the_kubeconfig_of_another_cluster(self):
        """What the cluster before had stays for a while; what the new one has counts at once. Its CA tells it from the other
        one: kube-system may not be read."""
        second = ApiServer(self.dir / "second")
        self.server.rules = second.rules = {"daemonlet:node-a": [
            {"verbs": ["list", "watch"], "apiGroups": ["", "apps"], "resources": ["nodes", "daemonsets", "pods"]}]}
        self.stand()
        self.addCleanup(second.close)
        second.start()
        for o in (node(), fenced("a"), fenced("new")):
            second.apply(o)
        second.kubeconfig(self.kubeconfig)
        self.wait_file("new")
        self.server.wait_for(lambda: not self.server.watches(), what="the end of the watches")
        self.hurried(lambda: self.resource("daemonsets")["state"] == "SuspectList", "the list to be doubted")
        self.assertEqual(self.api()["server"], second.url)
        self.unchanged()
        self.stop()
        second.stop()
        self.start()
        self.wait_away()
        self.unchanged()
        second.start()
        self.hurried(lambda: self.resource("daemonsets").get("state") == "SuspectList", "the doubt to last")
        second.apply(fenced("b"))
        self.hurried(lambda: self.resource("daemonsets")["state"] == "Live", "the doubt to end")
        self.unchanged()

    def test_an_old_backup(self):
        """The same cluster with an earlier state: what is missing stays, what is new counts."""
        self.stand()
        uid = self.server.cluster_uid

        def restore():
            self.server.new_cluster(version=7)
            self.server._objects["Namespace"][("", "kube-system")]["metadata"]["uid"] = uid
            self.server.apply(fenced("b"))
            self.server.apply(fenced("new"))
        self.replace_server(restore)
        self.end_watches()  # those from the future hear nothing
        self.hurried(lambda: self.resource("daemonsets")["state"] == "SuspectList", "the list to be doubted")
        self.assertIn("lower than the last one", self.resource("daemonsets")["problem"])
        self.wait_file("new")
        self.unchanged()
        self.server.apply(fenced("a"))
        self.hurried(lambda: self.resource("daemonsets")["state"] == "Live", "the doubt to end")
        self.unchanged()

    def test_empty_list(self):
        self.stand()
        for streaming in (False, True):
            with self.subTest(streaming=streaming):
                self.server.streaming = streaming
                self.server.fault(LIST, "empty_list", times=None)
                self.end_watches()
                self.hurried(lambda: self.resource("daemonsets")["state"] == "SuspectList", "the list to be doubted")
                self.assertIn("it is empty", self.resource("daemonsets")["problem"])
                self.assertEqual(self.verdict().returncode, 1)
                self.unchanged()
                self.server.clear_faults()
                self.end_watches()
                self.follows_again()
                self.wait_well()

    def test_the_node_is_not_gone_for_an_empty_list(self):
        self.server.apply(node({"disk": "ssd"}))
        self.set_agent(node={"on_deleted": "remove", "deleted_grace": "0s"})
        self.server.apply(fenced("ssd", selector={"disk": "ssd"}))
        self.stand()
        asked = self.server.count(f"nodes/{NODE}")
        self.server.fault(r"nodes\?", "empty_list", times=None)
        self.end_watches(r"nodes\?")
        self.hurried(lambda: self.server.count(f"nodes/{NODE}", 200) > asked, "the Node to be asked for by its name")
        self.unchanged()
        self.server.clear_faults()
        self.server.expire_watches(r"nodes\?")
        self.follows_again()

    def test_deleted_while_nobody_looked(self):
        self.stand("c")
        self.stop()
        self.server.delete("DaemonSet", "kube-system", "c")
        self.server.stop()
        self.start()
        self.wait_away()
        self.unchanged()  # nobody has said that it is gone
        self.server.start()
        self.hurried(lambda: not self.path("c").exists(), "what was deleted to go")
        del self.before[self.path("c").name]
        self.unchanged()

    def test_local_one_in_the_shadow_of_a_server_that_is_away(self):
        self.source("shadow.yaml", daemonset("shadow", image="local:1"))
        self.server.apply(fenced("shadow", image="server:1"))
        self.stand()
        self.wait_for(lambda: self.image("shadow") == "server:1", "the server's copy")
        self.before = self.inodes()
        self.stop()
        self.server.stop()
        self.start()
        self.wait_away()
        self.unchanged()
        self.assertEqual(self.row("shadow")["source"], "api")
        self.server.start()
        self.server.delete("DaemonSet", "kube-system", "shadow")
        self.hurried(lambda: self.image("shadow") == "local:1", "the local one")


class Many(FaultHost):
    def test_pages_and_tokens_that_expire(self):
        for i in range(120):
            self.server.apply(fenced(f"elsewhere-{i:03}", selector={"kubernetes.io/hostname": "elsewhere"}))
        self.stand()
        self.assertEqual(self.resource("daemonsets")["objects"], 122)
        self.assertEqual(self.server.count("limit=50&continue=", 200), 2)
        # The second page comes too late, again and again: then the list is asked for in one.
        late = []
        self.server.fault(lambda m, p, q: "continue" in q and (late.append(self.server.compact()) or False), "slow")
        self.server.clear_requests()
        self.end_watches()
        self.server.wait_for(lambda: self.server.find(r"daemonsets\?labelSelector=[^&]*$", 200), what="a list without pages")
        self.assertEqual(self.server.count("continue=", 410), 3)
        self.follows_again()
        self.assertEqual(self.resource("daemonsets")["objects"], 122)
        self.server.clear_faults()
        # Half of the pages say nothing of the rest.
        self.server.fault("continue=", "status", times=None, code=500)
        self.server.delete("DaemonSet", "kube-system", "b")
        self.wait_for(lambda: not self.path("b").exists(), "b to go")
        del self.before[self.path("b").name]
        self.end_watches()
        self.wait_said("answered 500")
        self.unchanged()
        self.server.clear_faults()
        self.follows_again()

    def test_no_more_than_64_watches(self):
        names = [f"cm-{i:02}" for i in range(70)]
        for name in names:
            self.server.apply(configmap(name, key="one"))
        self.stand()
        self.server.apply(fenced("many", **using(*names)))
        # It takes hundreds of fsync.
        self.wait_for(lambda: self.path("many").exists(), "many", PATIENCE)
        self.server.wait_for(lambda: len(self.server.watches()) == 64, PATIENCE, "64 watches")
        self.wait_for(lambda: sum(bool(r.get("polled")) for r in self.api()["resources"]) == 10, "10 to be polled", PATIENCE)
        volumes = {v["name"]: pathlib.Path(v["hostPath"]["path"]) for v in self.pod("many")["spec"]["volumes"]}
        self.before = self.inodes()
        for name in names:
            self.server.apply(configmap(name, key="two"))
        self.hurried(lambda: all((volumes[n] / "key").read_text() == "two" for n in names), "all the new contents", PATIENCE)
        self.assertEqual(len(self.server.watches()), 64)
        self.unchanged()
        # Those who were beyond the limit come in when others go.
        self.server.apply(fenced("many", **using(*names[60:])))
        self.hurried(lambda: len(self.server.watches("configmaps")) == 10, "10 watches", PATIENCE)
        self.wait_for(lambda: not any(r.get("polled") for r in self.api()["resources"]), "nothing to be polled", PATIENCE)

    def test_namespaces(self):
        self.set_agent(api={"namespaces": "kube-system,apps"})
        self.server.apply(fenced("x", namespace="apps"))
        self.stand()
        self.wait_file("x", namespace="apps")
        self.before = self.inodes()
        # What is wrong with one is not wrong with the other.
        self.server.fault("namespaces/apps/daemonsets", "status", times=None, code=403)
        self.end_watches("namespaces/apps/daemonsets")
        self.wait_said("in namespace apps")
        self.unchanged()
        self.follows_again()
        self.server.clear_faults()
        self.hurried(lambda: "in namespace apps" not in self.said(), "the right to be back")
        # It is taken out of the configuration.
        self.set_agent()
        self.reload()
        self.wait_for(lambda: not self.path("x", "apps").exists(), "what is no longer followed to go")
        self.set_agent(api={"namespaces": "apps,kube-system"})
        self.reload()
        self.wait_file("x", namespace="apps")
        del self.before[self.path("x", "apps").name]
        self.unchanged()

    def test_pretty_answers(self):
        """A server or a proxy that writes JSON over many lines."""
        real = type(self.server)._read_request

        def pretty(connection):
            request = real(self.server, connection)
            request.query["pretty"] = "true"
            return request
        self.server._read_request = pretty
        for streaming in (False, True):
            self.server.streaming = streaming
            if not self.child:
                self.stand()
            self.end_watches()
            self.follows_again()
        self.unchanged()


class Proxy(FaultHost):
    environment = {k: "http://127.0.0.1:9" for k in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY")}

    def test_environment(self):
        self.stand()
        self.follows_again()
        self.set_agent(api={"proxy": "environment"})
        self.hurried(lambda: self.api() and not self.api()["reachable"], "the proxy not to answer")
        self.unchanged()
        self.set_agent(api={"proxy": "none"})
        self.follows_again()


class Cache(FaultHost):
    def files_of(self, part=""):
        """The files of the cache by resource."""
        found = {}
        for p in (self.state / "api").glob("*.json"):
            head = json.loads(p.read_text().split("\n")[0])
            if part in head["resource"]:
                found[p] = head
        return found

    def restart_alone(self, change=lambda: None):
        """The agent starts, and the server is away."""
        self.stop()
        self.server.stop()
        change()
        self.start()
        self.wait_away()

    def test_restart_without_the_server(self):
        self.server.apply(configmap("settings", key="one"))
        self.server.apply(fenced("waits", selector={"disk": "ssd"}))
        self.server.apply(fenced("uses", **using("settings")))
        self.stand("uses-not")
        self.wait_file("uses")
        self.wait_live()
        self.before = self.inodes()
        volume = pathlib.Path(self.pod("uses")["spec"]["volumes"][0]["hostPath"]["path"])
        self.restart_alone()
        self.unchanged()
        self.assertEqual((volume / "key").read_text(), "one")
        # What is known still has its effects.
        self.set_agent(node={"labels": "disk=ssd"})
        self.reload()
        self.wait_file("waits")
        self.path("uses").unlink()
        self.wait_file("uses")
        del self.before[self.path("uses").name]
        self.unchanged()
        self.server.apply(configmap("settings", key="two"))
        self.server.start()
        self.hurried(lambda: (volume / "key").read_text() == "two", "the new content")
        self.unchanged()

    def mended(self):
        self.server.start()
        self.hurried(lambda: self.resource("daemonsets").get("state") == "Live", "the server to mend it")
        self.follows_again()
        self.assertEqual(self.row("b")["reason"], "Fits")
        self.stop()
        self.assertTrue(self.files_of("daemonsets?label"))
        self.server.stop()
        self.start()
        self.wait_away()
        self.assertEqual(self.api()["note"], "")
        self.unchanged()

    def test_damaged(self):
        self.stand()

        def damage():
            for p in self.files_of("daemonsets?label"):
                data = bytearray(p.read_bytes())
                data[-20] ^= 1
                p.write_bytes(data)
        self.restart_alone(damage)
        self.assertIn("moved aside", self.api()["note"])
        self.assertIn("its checksum does not fit", self.api()["note"])
        self.assertEqual(len(list((self.state / "api").glob("*.damaged"))), 1)
        self.wait_reason("a", "SourceIncomplete")
        self.assertEqual(self.verdict().returncode, 1)
        self.unchanged()
        self.server.start()
        self.wait_for(lambda: not self.api()["note"], "the cache to be written anew", PATIENCE)
        self.wait_well()
        self.mended()

    def foreign(self, key):
        self.stand()

        def change():
            for p, head in self.files_of("daemonsets?label").items():
                _, items, _ = p.read_text().split("\n")
                covered = json.dumps({k: v for k, v in sorted({**head, key: "0" * 32}.items()) if k != "checksum"},
                                     separators=(",", ":"))[1:] + "\n" + items + "\n"
                p.write_text('{"checksum":"%s",%s' % (hashlib.sha256(covered.encode()).hexdigest(), covered))
        self.restart_alone(change)
        self.assertIn("moved aside", self.api()["note"])
        self.assertIn("another", self.api()["note"])
        self.assertEqual(len(list((self.state / "api").glob("*.foreign"))), 1)
        self.wait_reason("a", "SourceIncomplete")
        self.unchanged()
        self.mended()

    def test_of_another_machine(self):
        self.foreign("machineId")

    def test_of_another_cluster(self):
        self.foreign("cluster")

    def test_lost_with_a_local_one_in_the_shadow(self):
        """What stands is the server's; that the cache is lost does not say that the server's copy is gone."""
        self.source("shadow.yaml", daemonset("shadow", image="local:1"))
        self.server.apply(fenced("shadow", image="server:1"))
        self.stand()
        self.wait_for(lambda: self.image("shadow") == "server:1", "the server's copy")
        self.before = self.inodes()

        def lose():
            for p in self.files_of("daemonsets?label"):
                p.unlink()
        self.restart_alone(lose)
        self.wait_reason("shadow", "SourceIncomplete")
        self.unchanged()
        self.server.start()
        self.hurried(lambda: self.row("shadow")["reason"] == "Fits", "the server's copy to count")
        self.assertEqual(self.row("shadow")["source"], "api")
        self.unchanged()
        self.server.delete("DaemonSet", "kube-system", "shadow")
        self.wait_for(lambda: self.image("shadow") == "local:1", "the local one")

    def test_cannot_be_written(self):
        self.state.mkdir(mode=0o700, exist_ok=True)
        (self.state / "api").write_text("in the way")
        self.source("local.yaml", daemonset("local"))
        self.server.apply(fenced("a"))
        self.start()
        self.wait_file("a")
        self.wait_file("local")
        self.wait_live()
        self.wait_for(lambda: str(self.state / "api") in self.api()["note"], "the fault to be told")
        self.assertEqual(self.verdict().returncode, 1)
        self.before = self.inodes()
        self.follows_again()
        self.stop()
        self.server.stop()
        self.start()
        self.wait_away()
        self.wait_reason("a", "SourceIncomplete")
        self.unchanged()


if __name__ == "__main__":
    main()
