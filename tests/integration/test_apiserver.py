#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The API server of the tests, held against the transcripts of a real one; and its faults do what they say."""
import base64, contextlib, gzip, json, pathlib, shutil, socket, ssl, subprocess, sys, tempfile, time, unittest

import apiserver
from apiserver import ApiServer, Transcript
from host import SHARED, daemonset, main

TRANSCRIPTS = SHARED / "apiserver"
DAEMONSETS = "/apis/apps/v1/daemonsets"
# Those fields of a head that differ from answer to answer.
VARYING = ("Audit-Id", "Date", "Content-Length", "X-Kubernetes-Pf-Flowschema-Uid", "X-Kubernetes-Pf-Prioritylevel-Uid")


class Cut(Exception):
    """The connection ended before the answer did; how: "close" (TLS was closed too), "cut" or "reset"; got: what came."""
    def __init__(self, how, got):
        super().__init__(f"{how} after {got[:200]}")
        self.how, self.got = how, got


class Client:
    """A connection, byte by byte, so that nothing is smoothed over."""
    def __init__(self, server, token="test", cert=None, ca=None, user_agent="daemonlet/test", name="127.0.0.1", timeout=30):
        context = ssl.create_default_context(cadata=ca or server.ca_pem)
        if cert:
            context.load_cert_chain(*cert)
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout)
        self.token, self.user_agent, self.pending = token, user_agent, b""
        # Not an SSLSocket: that one cannot tell a reset and a bare FIN apart.
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        try:
            self._tls(self.tls.do_handshake)
        except BaseException:
            self.close()
            raise

    def _tls(self, call, *args):
        while True:
            try:
                result = call(*args)
                self.socket.sendall(self.outgoing.read())
                return result
            except ssl.SSLWantReadError:
                try:
                    self.socket.sendall(self.outgoing.read())
                    data = self.socket.recv(65536)
                except (ConnectionResetError, BrokenPipeError) as e:
                    raise Cut("reset", self.pending) from e
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            except ssl.SSLCertVerificationError:
                with contextlib.suppress(OSError):
                    self.socket.sendall(self.outgoing.read())
                raise
            except ssl.SSLEOFError as e:
                raise Cut("cut", self.pending) from e
            except ssl.SSLZeroReturnError as e:
                raise Cut("close", self.pending) from e

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _receive(self):
        data = self._tls(self.tls.read, 65536)
        if not data:
            raise Cut("close", self.pending)
        self.pending += data

    def _until(self, end):
        while end not in self.pending:
            self._receive()
        before, _, self.pending = self.pending.partition(end)
        return before

    def _exactly(self, n):
        while len(self.pending) < n:
            self._receive()
        data, self.pending = self.pending[:n], self.pending[n:]
        return data

    def send(self, target, method="GET", body=None, **headers):
        fields = {"Host": "127.0.0.1", "User-Agent": self.user_agent, **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields = {"Content-Type": "application/json", **fields, "Content-Length": len(body)}
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        self._tls(self.tls.write, "\r\n".join(lines).encode() + (body or b""))

    def head(self):
        self.raw_head = self._until(b"\r\n\r\n") + b"\r\n\r\n"
        first, *lines = self.raw_head.decode().rstrip().split("\r\n")
        self.status, self.headers = int(first.split()[1]), dict(line.split(": ", 1) for line in lines)
        return self

    def chunks(self):
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            self._exactly(2)
        self._exactly(2)

    def read(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(self.chunks())
        else:
            self.body = self._exactly(int(self.headers["Content-Length"]))
        return self

    def ask(self, target, **kw):
        self.send(target, **kw)
        return self.head().read()

    def json(self):
        return json.loads(self.body)

    def events(self):
        """Of a watch, one by one as they come."""
        text, decoder = "", json.JSONDecoder()
        for chunk in self.chunks():
            text += chunk.decode()
            while text.strip():
                try:
                    value, end = decoder.raw_decode(text.lstrip())
                except ValueError:
                    break
                text = text.lstrip()[end:]
                yield value


def names(items):
    return [i["metadata"]["name"] for i in items]


def shape(value, depth=3):
    """Keys in their order, so deep."""
    if isinstance(value, dict) and depth:
        return {k: None if k in ("managedFields", "labels", "annotations", "data", "f:spec") else shape(v, depth - 1)
                for k, v in value.items()}, list(value)
    return type(value).__name__


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        # Keys take their time: one server for a class, a new cluster for a test.
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="daemonlet-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.server = ApiServer(cls.dir)
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        s = self.server
        s.new_cluster()
        s.clear_faults(), s.clear_replays(), s.clear_requests(), s.tokens.clear(), s.token_requests.clear()
        s.rules, s.node_authorizer, s.streaming, s.bookmark_interval, s.token_life = None, False, False, 60.0, None
        s.gzip_threshold, s.anonymous = 128 << 10, False
        s.add_token("test", "daemonlet:node-a")
        s.start(certificate="good")

    def client(self, **kw):
        c = Client(self.server, **kw)
        self.addCleanup(c.close)
        return c

    def ask(self, target, method="GET", body=None, headers=None, **kw):
        with Client(self.server, **kw) as c:
            return c.ask(target, method=method, body=body, **(headers or {}))

    def watch(self, target=DAEMONSETS + "?watch=1", since=None, **kw):
        """(client, its events): a watch that runs."""
        c = self.client(**kw)
        version = self.server.version if since is None else since
        c.send(f"{target}&resourceVersion={version}")
        return c.head(), c.events()

    def quiet(self, client, call):
        client.socket.settimeout(0.05)
        with self.assertRaises(TimeoutError):
            call()

    def fill(self, n=5, **labels):
        return [self.server.apply(daemonset(f"ds-{i + 1}", meta={"labels": {"tier": "node", **labels}})) for i in range(n)]

    def refused(self, target, code, reason, message, **kw):
        c = self.ask(target, **kw)
        self.assertEqual((c.status, c.json().get("reason"), c.json().get("code")), (code, reason, code), c.body)
        self.assertIn(message, c.json()["message"])
        return c


@unittest.skipUnless(TRANSCRIPTS.is_dir(), "no transcripts")
class Transcripts(Case):
    """The same questions to our server."""
    def take_over(self, *names):
        """The objects of these transcripts become ours."""
        for name in names:
            t = self.transcript(name)
            value = t.values()[0]
            for o in value.get("items", [value]):
                if "items" in value:
                    o = {"kind": value["kind"].removesuffix("List"), "apiVersion": value["apiVersion"], **o}
                self.server.apply(o)

    def transcript(self, name):
        return Transcript(next(TRANSCRIPTS.glob(f"{name}-*.http")))

    def compare_heads(self, t, c):
        self.assertEqual(c.status, t.status, t.name)
        self.assertEqual(list(c.headers), list(t.answer_headers), t.name)
        self.assertEqual({k: v for k, v in c.headers.items() if k not in VARYING},
                         {k: v for k, v in t.answer_headers.items() if k not in VARYING}, t.name)

    def compare(self, name, target=None, exact=True, **kw):
        t = self.transcript(name)
        kw = {"method": t.method, "body": t.request_body or None, **kw}
        c = self.ask(target or t.target, **kw)
        self.compare_heads(t, c)
        if exact:
            self.assertEqual(c.body, t.body, t.name)
        elif t.body:
            self.assertEqual(shape(c.json()), shape(t.values()[0]), t.name)
        return t, c

    def test_refusals_are_the_same_to_the_byte(self):
        self.server.rules = {"nobody": []}
        self.compare("07", token="bad")
        self.compare("07b", token=None)
        self.compare("08")
        self.server.rules = None
        for name in ("12", "15", "22"):
            self.compare(name)
        _, c = self.compare("26")
        self.assertEqual(len(c.json()["details"]["causes"]), 2)

    def test_objects_are_the_same_but_for_versions(self):
        self.take_over("09", "13", "14", "23", "03")
        for name in ("09", "13", "14", "23"):
            t, c = self.compare(name, exact=False)
            ours, theirs = c.json(), t.values()[0]
            ours["metadata"]["resourceVersion"] = theirs["metadata"]["resourceVersion"]
            self.assertEqual(json.dumps(ours), json.dumps(theirs), name)
        for name in ("03", "10", "21"):
            t, c = self.compare(name, exact=False)
            self.assertEqual([shape(i) for i in c.json()["items"]], [shape(i) for i in t.values()[0]["items"]])

    def test_pages(self):
        self.take_over("01", "02")
        self.server.apply(daemonset("ds-5"))
        t, first = self.compare("01", exact=False)
        token = first.json()["metadata"]["continue"]
        theirs = json.loads(base64.urlsafe_b64decode(t.values()[0]["metadata"]["continue"] + "=="))
        ours = json.loads(base64.urlsafe_b64decode(token + "=="))
        self.assertEqual({**ours, "rv": theirs["rv"]}, theirs)
        _, second = self.compare("02", f"{DAEMONSETS}?limit=2&continue={token}", exact=False)
        self.assertEqual(names(first.json()["items"] + second.json()["items"]), ["ds-1", "ds-2", "ds-3", "ds-4"])
        self.assertEqual([c.json()["metadata"]["remainingItemCount"] for c in (first, second)], [3, 1])
        self.server.compact()
        self.compare("06", f"{DAEMONSETS}?limit=2&continue={token}")

    def test_watches(self):
        self.server.version, self.server._compacted = 440, 440
        self.compare("05")
        t, c = self.compare("25", self.transcript("25").target.replace("Seconds=3", "Seconds=0.1"))
        self.assertEqual(c.body, b"")
        for name, resource in (("04", "DaemonSet"), ("11", "Node")):
            t = self.transcript(name)
            theirs = t.values()
            target = t.target.partition("&watch")[0]
            self.take_over("03" if resource == "DaemonSet" else "09")
            self.server.apply(daemonset("ds-5", meta={"labels": {"tier": "node"}}))
            c, events = self.watch(f"{target}&watch=1&allowWatchBookmarks=true")
            self.compare_heads(t, c)
            which = ("Node", "", "node-a") if resource == "Node" else ("DaemonSet", "kube-system", "ds-1")
            self.server.set_labels(*which, {"changed": "yes"})
            self.server.delete(*which)
            self.server.bookmark()
            for kind in ("MODIFIED", "DELETED", "BOOKMARK"):
                ours, real = next(events), next(e for e in theirs if e["type"] == kind)
                self.assertEqual(shape(ours, depth := 2 if kind == "DELETED" else 3), shape(real, depth))
                if kind == "BOOKMARK":
                    ours["object"]["metadata"]["resourceVersion"] = real["object"]["metadata"]["resourceVersion"]
                    self.assertEqual(json.dumps(ours), json.dumps(real))

    def test_token_request(self):
        self.server.apply({"kind": "ServiceAccount", "metadata": {"name": "agent", "namespace": "kube-system"}})
        self.compare("16", exact=False)

    def test_replay_is_the_same_to_the_byte(self):
        for path in sorted(TRANSCRIPTS.glob("*.http")):
            t = self.server.replay(path)
            with self.subTest(path.name), Client(self.server) as c:
                for _ in range(2):  # the connection is kept
                    c.ask(t.target.replace("resourceVersion=388", "resourceVersion=7"), method=t.method)
                    self.assertEqual((c.raw_head, c.body), (t.head, t.body))


class Objects(Case):
    def test_apply_get_delete(self):
        s = self.server
        a = s.apply(daemonset("a"))
        self.assertEqual((a["metadata"]["generation"], a["metadata"]["resourceVersion"]), (1, str(s.version)))
        self.assertEqual(s.apply(daemonset("a")), a, "nothing changed")
        b = s.apply(daemonset("a", image="registry.example.com/a:2"))
        self.assertEqual((b["metadata"]["uid"], b["metadata"]["generation"]), (a["metadata"]["uid"], 2))
        c = s.set_labels("DaemonSet", "kube-system", "a", {"x": "y"})
        self.assertEqual((c["metadata"]["labels"], c["metadata"]["generation"]), ({"x": "y"}, 2))
        self.assertEqual(self.ask("/apis/apps/v1/namespaces/kube-system/daemonsets/a").json(), c)
        self.assertTrue(s.delete("DaemonSet", "kube-system", "a"))
        self.assertFalse(s.delete("DaemonSet", "kube-system", "a"))
        self.assertIsNone(s.get("DaemonSet", "kube-system", "a"))
        self.assertNotEqual(s.apply(daemonset("a"))["metadata"]["uid"], a["metadata"]["uid"])

    def test_secret_and_namespace(self):
        s = self.server
        o = s.apply({"kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "stringData": {"k": "v"}})
        self.assertEqual((o["data"], o["type"], "stringData" in o), ({"k": "dg=="}, "Opaque", False))
        uid = self.ask("/api/v1/namespaces/kube-system").json()["metadata"]["uid"]
        self.assertEqual(uid, s.cluster_uid)
        s.new_cluster()
        self.assertNotEqual(uid, s.cluster_uid)

    def test_heartbeat(self):
        s = self.server
        s.apply({"kind": "Node", "metadata": {"name": "node-a"}})
        first = s.patch_node_heartbeat("node-a", 1_800_000_000)["status"]["conditions"][0]
        second = s.patch_node_heartbeat("node-a", 1_800_000_010)["status"]["conditions"][0]
        self.assertEqual(first["lastHeartbeatTime"], "2027-01-15T08:00:00Z")
        self.assertEqual((second["lastHeartbeatTime"], second["lastTransitionTime"]), ("2027-01-15T08:00:10Z", first["lastTransitionTime"]))

    def test_lists(self):
        self.fill(3)
        self.server.apply(daemonset("other", namespace="apps"))
        self.assertEqual(names(self.ask(DAEMONSETS).json()["items"]), ["other", "ds-1", "ds-2", "ds-3"])
        o = self.ask("/apis/apps/v1/namespaces/apps/daemonsets").json()
        self.assertEqual((names(o["items"]), o["kind"], "kind" in o["items"][0]), (["other"], "DaemonSetList", False))
        for target in ("/nothing", "/apis/apps/v1/nothing", "/apis/apps/v1/namespaces/x/nodes", "/api/v1/daemonsets"):
            c = self.ask(target)
            self.assertEqual((c.status, c.body), (404, b"404 page not found\n"))
        self.refused(DAEMONSETS, 405, "MethodNotAllowed", "does not allow", method="DELETE")
        c = self.refused(DAEMONSETS + "?resourceVersion=9999", 504, "Timeout", "Too large resource version: 9999")
        self.assertEqual(c.headers["Retry-After"], "1")

    def test_label_selectors(self):
        rows = {"a": {"tier": "node"}, "b": {"tier": "web", "x": ""}, "c": {}}
        for name, labels in rows.items():
            self.server.apply(daemonset(name, meta={"labels": labels}))
        for selector, wanted in (("tier", "ab"), ("!tier", "c"), ("tier=node", "a"), ("tier==node", "a"), ("tier!=node", "bc"),
                                 ("tier in (node,web)", "ab"), ("tier in (web), x", "b"), ("tier notin (node)", "bc"),
                                 ("x=", "b"), ("", "abc"), ("tier=node,x", "")):
            with self.subTest(selector):
                quoted = apiserver.urllib.parse.quote(selector)
                o = self.ask(f"{DAEMONSETS}?labelSelector={quoted}").json()
                self.assertEqual("".join(names(o["items"])), wanted)
        self.refused(DAEMONSETS + "?labelSelector=a%3D%3D%3Db", 400, "BadRequest", "unable to parse requirement")

    def test_field_selectors(self):
        for name, node in (("a", "node-a"), ("b", "node-b"), ("c", None)):
            self.server.apply({"kind": "Pod", "metadata": {"name": name, "namespace": name}, "spec": {"nodeName": node} if node else {}})
        for selector, wanted in (("spec.nodeName%3Dnode-a", "a"), ("spec.nodeName%3D", "c"), ("metadata.name!%3Db", "ac"),
                                 ("metadata.namespace%3Db,spec.nodeName%3Dnode-b", "b"), ("metadata.namespace%3Dz", "")):
            self.assertEqual("".join(names(self.ask(f"/api/v1/pods?fieldSelector={selector}").json()["items"])), wanted, selector)
        for name, node, phase in (("d", None, "Failed"), ("e", None, "Pending"), ("f", "node-a", "Pending")):
            self.server.apply({"kind": "Pod", "metadata": {"name": name, "namespace": "d"}, "spec": {"nodeName": node} if node else {},
                               "status": {"phase": phase}})
        for selector, wanted in (("spec.nodeName%3D%2Cstatus.phase%3DPending", "ce"), ("status.phase%3DFailed", "d"),
                                 ("spec.nodeName%3Dnode-a,status.phase%3DPending", "af"), ("status.phase!%3DPending", "d")):
            self.assertEqual("".join(names(self.ask(f"/api/v1/pods?fieldSelector={selector}").json()["items"])), wanted, selector)
        self.assertEqual(names(self.ask("/api/v1/namespaces/d/pods?fieldSelector=spec.nodeName%3D%2Cstatus.phase%3DPending")
                               .json()["items"]), ["e"])
        self.refused(DAEMONSETS + "?fieldSelector=status.phase%3Dx", 400, "BadRequest", "field label not supported: status.phase")
        self.refused(DAEMONSETS + "?fieldSelector=spec.nodeName%3Dx", 400, "BadRequest", "field label not supported: spec.nodeName")

    def test_pages_are_one_snapshot(self):
        self.fill(5)
        version = self.server.version
        got, target = [], f"{DAEMONSETS}?limit=2"
        while True:
            o = self.ask(target).json()
            got += names(o["items"])
            self.assertEqual(o["metadata"]["resourceVersion"], str(version))
            if "continue" not in o["metadata"]:
                break
            target = f"{DAEMONSETS}?limit=2&continue=" + o["metadata"]["continue"]
            self.server.delete("DaemonSet", "kube-system", "ds-4")
            self.server.apply(daemonset("ds-35"))
        self.assertEqual(got, ["ds-1", "ds-2", "ds-3", "ds-4", "ds-5"])
        token = self.ask(f"{DAEMONSETS}?limit=1").json()["metadata"]["continue"]
        self.server.compact()
        again = self.refused(f"{DAEMONSETS}?limit=1&continue={token}", 410, "Expired", "too old").json()["metadata"]["continue"]
        self.assertEqual(names(self.ask(f"{DAEMONSETS}?continue={again}").json()["items"]), ["ds-2", "ds-3", "ds-35", "ds-5"])
        token = self.ask(f"{DAEMONSETS}?limit=1").json()["metadata"]["continue"]
        self.assertEqual(self.ask(f"{DAEMONSETS}?limit=1&continue={token}").status, 200, "a new token is good")
        self.refused(f"{DAEMONSETS}?continue=xx", 400, "BadRequest", "continue key is not valid")

    def test_a_list_of_the_past(self):
        self.fill(2)
        target = f"{DAEMONSETS}?resourceVersionMatch=Exact&resourceVersion={self.server.version - 1}"
        self.assertEqual(names(self.ask(target).json()["items"]), ["ds-1"])
        self.server.compact()
        self.refused(target, 410, "Expired", "too old")
        self.refused(DAEMONSETS + "?resourceVersionMatch=Exact", 422, "Invalid", "unless resourceVersion is provided")

    def test_text(self):
        self.fill(1, odd="a")
        self.server.apply({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {"k": "<é&>"}})
        target = "/api/v1/namespaces/n/configmaps/c"
        self.assertIn('"k":"\\u003cé\\u0026\\u003e"}}\n'.encode(), self.ask(target).body)
        for agent in ("curl/7.88", "Wget/1", "Mozilla/5.0 x"):
            body = self.ask(target, user_agent=agent).body
            self.assertTrue(body.startswith(b'{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",\n'), body)
        c, events = self.watch(since=self.server.version - 2, user_agent="curl/7.88")
        self.assertTrue(next(c.chunks()).startswith(b'{\n  "type": "ADDED",\n  "object": {\n    "kind"'))

    def test_gzip(self):
        self.fill(3)
        self.server.gzip_threshold = 1000
        c = self.ask(DAEMONSETS, headers={"Accept_Encoding": "deflate, gzip"})
        self.assertEqual((c.headers["Content-Encoding"], c.headers["Vary"]), ("gzip", "Accept-Encoding"))
        self.assertEqual(json.loads(gzip.decompress(c.body)), self.ask(DAEMONSETS).json())
        self.server.gzip_threshold = 1 << 20
        self.assertNotIn("Content-Encoding", self.ask(DAEMONSETS, headers={"Accept_Encoding": "gzip"}).headers)

    def test_records(self):
        s = self.server
        with self.client() as c:
            c.ask(DAEMONSETS + "?limit=5")
            c.ask("/api/v1/nodes/x")
        when, method, path, query, user, status = s.requests[0]
        self.assertEqual((method, path, query, user, status), ("GET", DAEMONSETS, {"limit": "5"}, "daemonlet:node-a", 200))
        self.assertLess(abs(time.time() - when), 60)
        self.assertEqual((s.count("daemonsets"), s.count("^GET /api/v1/nodes/x$", 404), s.count("nodes", 200)), (1, 1, 0))
        s.wait_for(lambda: s.requests[-1].ended)
        with self.assertRaisesRegex(AssertionError, "pods did not come within(.|\n)*nodes/x by daemonlet:node-a: 404"):
            s.wait_for(lambda: s.count("pods"), 0.01, "pods")
        before = s.bytes_out
        body = self.ask(DAEMONSETS).body
        s.wait_for(lambda: s.requests[-1].ended)  # it is counted when it was sent
        self.assertGreater(s.bytes_out - before, len(body))
        self.assertGreater(s.bytes_in, 100)

    def test_prefix(self):
        with ApiServer(self.dir / "prefix", prefix="/k8s/clusters/c-1/") as s:
            s.add_token("test")
            with Client(s) as c:
                self.assertTrue(s.url.endswith("/k8s/clusters/c-1"))
                self.assertEqual(c.ask("/k8s/clusters/c-1/api/v1/nodes").status, 200)
                self.assertEqual(c.ask("/api/v1/nodes").status, 404)


class Watches(Case):
    def test_events(self):
        s = self.server
        self.fill(1)
        version = s.version
        s.apply(daemonset("before"))
        c, events = self.watch(since=version)
        s.apply(daemonset("after"))
        s.delete("DaemonSet", "kube-system", "ds-1")
        s.apply({"kind": "Pod", "metadata": {"name": "p"}})
        got = [next(events) for _ in range(3)]
        self.assertEqual([(e["type"], e["object"]["metadata"]["name"]) for e in got],
                         [("ADDED", "before"), ("ADDED", "after"), ("DELETED", "ds-1")])
        self.assertEqual([e["object"]["metadata"]["resourceVersion"] for e in got], [str(version + i) for i in (1, 2, 3)])
        self.assertEqual(got[0]["object"]["kind"], "DaemonSet")

    def test_what_stops_matching_is_deleted(self):
        s = self.server
        self.fill(1)
        c, events = self.watch(DAEMONSETS + "?watch=true&labelSelector=tier%3Dnode")
        s.set_labels("DaemonSet", "kube-system", "ds-1", {"tier": None})
        s.set_labels("DaemonSet", "kube-system", "ds-1", {"tier": "web"})
        s.set_labels("DaemonSet", "kube-system", "ds-1", {"tier": "node"})
        gone, back = next(events), next(events)
        self.assertEqual((gone["type"], back["type"]), ("DELETED", "ADDED"))
        self.assertEqual(gone["object"]["metadata"]["labels"], {"tier": "node"}, "as it was last seen")
        self.assertEqual(int(back["object"]["metadata"]["resourceVersion"]) - int(gone["object"]["metadata"]["resourceVersion"]), 2)

    def test_a_pod_that_is_bound_goes_from_one_watch_to_the_other(self):
        s, pods = self.server, "/api/v1/namespaces/kube-system/pods?watch=1&fieldSelector=spec.nodeName%3D"

        def pod(phase="Pending", **spec):
            return {"kind": "Pod", "metadata": {"name": "p", "namespace": "kube-system"}, "spec": spec, "status": {"phase": phase}}
        _, unbound = self.watch(pods + "%2Cstatus.phase%3DPending")
        _, here = self.watch(pods + "node-a")
        _, there = self.watch(pods + "node-b")
        s.apply(pod())
        s.apply(pod(nodeName="node-a"))
        s.apply(pod("Running", nodeName="node-a"))
        s.delete("Pod", "kube-system", "p")
        s.apply(pod(nodeName="node-b"))
        self.assertEqual([e["type"] for e in (next(unbound), next(unbound))], ["ADDED", "DELETED"])
        got = [next(here) for _ in range(3)]
        self.assertEqual([e["type"] for e in got], ["ADDED", "MODIFIED", "DELETED"])
        self.assertEqual([e["object"]["status"]["phase"] for e in got], ["Pending", "Running", "Running"])
        self.assertEqual(next(there)["object"]["spec"], {"nodeName": "node-b"}, "the first that it sees")

    def test_without_a_version_or_with_0_what_is_there_comes_first(self):
        self.fill(2)
        for version in ("", "0"):
            c, events = self.watch(since=version)
            self.assertEqual([next(events)["type"] for _ in range(2)], ["ADDED", "ADDED"])

    def test_one_name_and_one_namespace(self):
        s = self.server
        _, events = self.watch(DAEMONSETS.replace("/daemonsets", "/namespaces/apps/daemonsets") + "?watch=1")
        _, named = self.watch(DAEMONSETS + "?watch=1&fieldSelector=metadata.name%3Db")
        for namespace, name in (("kube-system", "a"), ("apps", "a"), ("apps", "b")):
            s.apply(daemonset(name, namespace=namespace))
        self.assertEqual([next(events)["object"]["metadata"]["name"] for _ in range(2)], ["a", "b"])
        self.assertEqual(next(named)["object"]["metadata"]["name"], "b")

    def test_bookmarks(self):
        s = self.server
        s.bookmark_interval = 0.05
        c, events = self.watch(DAEMONSETS + "?watch=1&allowWatchBookmarks=true")
        self.assertEqual([next(events)["type"] for _ in range(3)], ["BOOKMARK"] * 3)
        s.bookmark_interval = 60
        c, events = self.watch(DAEMONSETS + "?watch=1&allowWatchBookmarks=true")
        self.assertEqual(s.wait_watch("allow").request.path, DAEMONSETS)
        s.apply({"kind": "Pod", "metadata": {"name": "p"}})
        s.bookmark()
        self.assertEqual(next(events)["object"]["metadata"]["resourceVersion"], str(s.version))

        # One comes two seconds before the end; none to who did not ask.
        c, events = self.watch(DAEMONSETS + "?watch=1&allowWatchBookmarks=true&timeoutSeconds=2.05")
        self.assertEqual(next(events)["type"], "BOOKMARK")
        s.bookmark_interval = 0.02
        for target, since in (("", None), ("&allowWatchBookmarks=1", s.version + 1)):
            c, events = self.watch(f"{DAEMONSETS}?watch=1&timeoutSeconds=0.1{target}", since=since)
            self.assertEqual(list(events), [])

    def test_the_end(self):
        c, events = self.watch(DAEMONSETS + "?watch=1&timeoutSeconds=0.05")
        self.assertEqual(list(events), [])
        self.assertEqual(c.ask(DAEMONSETS).status, 200, "the connection goes on")
        # A peer that leaves is noticed.
        c, _ = self.watch()
        self.server.wait_watch()
        c.close()
        self.server.wait_for(lambda: not self.server.watches())

    def test_the_past_and_the_future(self):
        c, events = self.watch(since=1)
        self.assertEqual([(e["type"], e["object"]["code"], e["object"]["message"]) for e in events],
                         [("ERROR", 410, "too old resource version: 1 (300)")])
        version = self.server.version
        c, events = self.watch(since=version + 2)
        self.server.wait_watch()
        self.fill(3)
        self.assertEqual(next(events)["object"]["metadata"]["name"], "ds-3")
        self.server.compact()
        c, events = self.watch(since=version)
        self.assertEqual([e["object"]["reason"] for e in events], ["Expired"])

    def test_streaming_lists(self):
        s = self.server
        self.fill(2)
        target = DAEMONSETS + "?watch=1&sendInitialEvents=true&allowWatchBookmarks=true"
        c = self.refused(target + "&resourceVersionMatch=NotOlderThan", 422, "Invalid", "[resourceVersionMatch: Forbidden")
        c = self.refused(target + "&resourceVersionMatch=NotOlderThan&resourceVersion=7", 422, "Invalid", "forbidden for watch")
        self.assertEqual(len(c.json()["details"]["causes"]), 1)
        s.streaming = True
        self.refused(target, 422, "Invalid", "requires setting resourceVersionMatch")
        c, events = self.watch(target + "&resourceVersionMatch=NotOlderThan", since="")
        got = [next(events) for _ in range(3)]
        self.assertEqual([e["type"] for e in got], ["ADDED", "ADDED", "BOOKMARK"])
        self.assertEqual(got[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true")
        self.assertEqual(got[2]["object"]["metadata"]["resourceVersion"], str(s.version))
        s.delete("DaemonSet", "kube-system", "ds-1")
        self.assertEqual(next(events)["type"], "DELETED")
        # Faults of lists are faults of streaming ones, too.
        for kind, wanted in (("empty_list", []), ("wrong_kind", ["Pod"]), ("low_rv", ["DaemonSet"])):
            s.fault(None, kind)
            c, events = self.watch(target + "&resourceVersionMatch=NotOlderThan", since="")
            got = [next(events) for _ in range(1 + len(wanted))]
            self.assertEqual([e["object"]["kind"] for e in got[:-1]], wanted)
            self.assertEqual(got[-1]["object"]["metadata"]["resourceVersion"], "1" if kind == "low_rv" else str(s.version))

    def test_dropped_muted_expired(self):
        s = self.server
        for how in ("end", "close", "cut", "reset"):
            c, events = self.watch()
            s.wait_watch()
            self.assertEqual(s.drop_watches(DAEMONSETS, how), 1)
            s.wait_for(lambda: not s.watches())
            if how == "end":
                self.assertEqual(list(events), [])
            else:
                with self.assertRaises(Cut) as caught:
                    list(events)
                self.assertEqual(caught.exception.how, how)
        c, events = self.watch()
        s.wait_watch()
        s.mute_watches()
        self.fill(1)
        self.quiet(c, lambda: next(events))
        s.drop_watches()
        c, events = self.watch()
        s.wait_watch()
        s.expire_watches()
        self.assertEqual([e["object"]["code"] for e in events], [410])


class Identities(Case):
    def test_who(self):
        s = self.server
        user = lambda **kw: (self.ask("/api/v1/nodes", **kw).status, s.requests[-1].user, s.requests[-1].groups)
        self.assertEqual(user(), (200, "daemonlet:node-a", ["system:authenticated"]))
        self.assertEqual(user(token="bad")[:2], (401, None))
        self.assertEqual(user(token=None)[:2], (403, "system:anonymous"))
        self.assertEqual(self.ask("/readyz", token=None).body, b"ok")
        node = ("system:node:node-a", ["system:nodes"])
        self.assertEqual(user(token=None, cert=s.client_certificate(*node)), (200, node[0], ["system:nodes", "system:authenticated"]))
        for which in ("expired", "other_ca"):
            self.assertEqual(user(token=None, cert=s.client_certificate(*node, which))[:2], (401, None))

    def test_kubeconfig(self):
        s = self.server
        path = s.kubeconfig(self.dir / "kubeconfig", user="system:node:node-a", server_name="kubernetes")
        text = path.read_text()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        fields = dict(line.strip().split(": ", 1) for line in text.splitlines() if ": " in line)
        self.assertEqual((fields["server"], fields["tls-server-name"]), (s.url, "kubernetes"))
        self.assertEqual(base64.b64decode(fields["certificate-authority-data"]).decode(), s.ca_pem)
        self.assertTrue(base64.b64decode(fields["client-key-data"]).startswith(b"-----BEGIN PRIVATE KEY"))
        path = s.kubeconfig(self.dir / "kubeconfig", token="t-1", token_file=self.dir / "token", embed=False)
        self.assertEqual((self.dir / "token").read_text(), "t-1\n")
        self.assertIn(f"    tokenFile: {self.dir / 'token'}\n", path.read_text())
        self.assertNotIn("client-certificate", path.read_text())
        self.assertEqual(s.tokens["t-1"], ("daemonlet:node-a", []))
        if shutil.which("kubectl"):
            p = subprocess.run(["kubectl", f"--kubeconfig={path}", "get", "--raw", "/api/v1/nodes"], capture_output=True, text=True)
            self.assertEqual(json.loads(p.stdout)["kind"], "NodeList", p.stderr)

    def test_rules(self):
        s = self.server
        s.apply({"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "kube-system"}})
        role = {"kind": "Role", "metadata": {"name": "r", "namespace": "kube-system"},
                "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["c"], "verbs": ["get", "list", "watch"]},
                          {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["a"], "verbs": ["create"]}]}
        binding = {"kind": "RoleBinding", "metadata": {"name": "r", "namespace": "kube-system"},
                   "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "daemonlet:node-a"}]}
        s.apply_rbac({"kind": "List", "items": [role, binding]},
                     {"kind": "ClusterRole", "metadata": {"name": "c"},
                      "rules": [{"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["*"]}]},
                     {"kind": "ClusterRoleBinding", "metadata": {"name": "c"}, "roleRef": {"kind": "ClusterRole", "name": "c"},
                      "subjects": [{"kind": "Group", "name": "system:authenticated"}]})
        base = "/api/v1/namespaces/kube-system/"
        rows = [("configmaps/c", 200), ("configmaps/d", 403), ("configmaps", 403), ("configmaps?fieldSelector=metadata.name%3Dc", 200),
                ("configmaps?watch=1&timeoutSeconds=0.01&fieldSelector=metadata.name%3Dc", 200),
                ("configmaps?watch=1&fieldSelector=metadata.name%3Dd", 403), ("secrets/c", 403)]
        for target, wanted in rows:
            self.assertEqual(self.ask(base + target).status, wanted, target)
        self.assertEqual(self.ask("/api/v1/namespaces/default/configmaps/c").status, 403)
        self.assertEqual(self.ask(DAEMONSETS).status, 200)
        self.refused(base + "configmaps/d", 403, "Forbidden", 'configmaps "d" is forbidden: User "daemonlet:node-a" cannot get resource '
                     '"configmaps" in API group "" in the namespace "kube-system"')
        self.refused(base + "serviceaccounts/b/token", 403, "Forbidden", 'serviceaccounts "b" is forbidden: User "daemonlet:node-a" cannot '
                     'create resource "serviceaccounts/token"', method="POST", body={})
        self.assertEqual(self.ask(base + "serviceaccounts/a/token", method="POST", body={}).status, 400)

    def test_node_authorizer(self):
        s = self.server
        s.node_authorizer = True
        s.add_token("node", "system:node:node-a", ["system:nodes"])
        s.apply({"kind": "Node", "metadata": {"name": "node-a"}})
        rows = [("/api/v1/nodes/node-a", 200), ("/api/v1/nodes/node-b", 403), ("/api/v1/nodes", 403),
                ("/api/v1/nodes?fieldSelector=metadata.name%3Dnode-a", 200), (DAEMONSETS, 403),
                ("/api/v1/nodes?watch=1&timeoutSeconds=0.01&fieldSelector=metadata.name%3Dnode-a", 200),
                ("/api/v1/pods", 403), ("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a", 200),
                ("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-b", 403), ("/api/v1/pods?fieldSelector=spec.nodeName%3D", 403),
                ("/api/v1/namespaces/kube-system/pods?fieldSelector=spec.nodeName%3D%2Cstatus.phase%3DPending", 403),
                ("/api/v1/pods?fieldSelector=spec.nodeName!%3Dnode-a", 403),
                ("/api/v1/pods?watch=1&timeoutSeconds=0.01&fieldSelector=spec.nodeName%3Dnode-a", 200),
                ("/api/v1/pods?watch=1&timeoutSeconds=0.01", 403),
                ("/api/v1/namespaces/kube-system/pods?fieldSelector=spec.nodeName%3Dnode-a", 200), ("/api/v1/namespaces/kube-system", 403)]
        for target, wanted in rows:
            self.assertEqual(self.ask(target, token="node").status, wanted, target)
        self.assertEqual(self.ask(DAEMONSETS).status, 200, "others are not concerned")
        self.refused(DAEMONSETS, 403, "Forbidden", 'User "system:node:node-a" cannot list resource "daemonsets"', token="node")

    def test_token_requests(self):
        s = self.server
        s.apply({"kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "kube-system"}})
        pod = s.apply({"kind": "Pod", "metadata": {"name": "p", "namespace": "kube-system"}})
        target = "/api/v1/namespaces/kube-system/serviceaccounts/a/token"

        def ask(target=target, **spec):
            return self.ask(target, method="POST", body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        o = ask(audiences=["x"], boundObjectRef={"kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}, expirationSeconds=7200)
        token = o.json()["status"]["token"]
        self.assertEqual((o.status, o.json()["spec"]["audiences"]), (201, ["x"]))
        self.assertEqual(self.ask("/api/v1/nodes", token=token).status, 200)
        self.assertEqual(s.requests[-1].user, "system:serviceaccount:kube-system:a")
        self.assertEqual(s.token_requests[0][:2], ("kube-system", "a"))
        s.token_life = -1
        self.assertEqual(self.ask("/api/v1/nodes", token=ask().json()["status"]["token"]).status, 401)
        self.assertEqual(ask(expirationSeconds=60).status, 422)
        self.assertEqual(ask(target.replace("/a/", "/b/")).status, 404)
        self.assertEqual(ask(boundObjectRef={"kind": "Pod", "name": "q"}).status, 404)
        for body, code in ((b"{", 400), ({"kind": "Pod", "apiVersion": "v1"}, 400), (b"[]", 400),
                           ({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": "1"}}, 400)):
            self.assertEqual(self.ask(target, method="POST", body=body).status, code, body)
        self.assertEqual(self.ask(target, method="POST", body={}, headers={"Content_Type": "text/plain"}).status, 415)


class Faults(Case):
    def test_status(self):
        s = self.server
        f = s.fault("/daemonsets", "status", code=429, headers={"Retry-After": "3"}, skip=1, times=2)
        self.assertEqual([self.ask(t).status for t in (DAEMONSETS, "/api/v1/nodes", DAEMONSETS, DAEMONSETS, DAEMONSETS)],
                         [200, 200, 429, 429, 200])
        self.assertEqual(f.used, 2)
        f = s.fault(lambda method, path, query: query.get("limit") == "7", "status", code=503, body="down", times=None)
        c = self.ask(DAEMONSETS + "?limit=7")
        self.assertEqual((c.status, c.body, c.headers["Content-Type"]), (503, b"down", "text/plain; charset=utf-8"))
        s.remove_fault(f)
        self.assertEqual(self.ask(DAEMONSETS + "?limit=7").status, 200)
        s.fault(None, "status", code=500, message="etcdserver: leader changed")
        self.refused(DAEMONSETS, 500, "InternalError", "leader changed")

    def test_connections_that_end(self):
        s = self.server
        for kind, args, how in (("close", {}, "cut"), ("close", {"tls": True}, "close"), ("reset", {}, "reset")):
            with self.subTest(kind, **args), self.assertRaises(Cut) as caught:
                s.fault(None, kind, **args)
                self.ask(DAEMONSETS)
            self.assertEqual((caught.exception.how, caught.exception.got), (how, b""))
        self.assertEqual([(r.status, r.ended) for r in s.requests], [(None, True)] * 3)

    def test_half(self):
        s = self.server
        self.fill(3)
        whole = self.ask(DAEMONSETS).body
        s.fault(None, "half", part=0.4)
        c = self.client()
        with self.assertRaises(Cut) as caught:
            c.ask(DAEMONSETS)
        self.assertEqual(caught.exception.got, whole[:int(len(whole) * 0.4)])
        self.assertEqual(c.headers["Content-Length"], str(len(whole)))
        s.fault(None, "half", after=1)
        c, events = self.watch(since="0")
        self.assertEqual(next(events)["type"], "ADDED")
        with self.assertRaises(Cut):
            next(events)

    def test_torn(self):
        s = self.server
        self.fill(3)
        whole = self.ask(DAEMONSETS).body
        s.fault(None, "torn", pieces=40, delay=0, times=2)
        c = self.client()
        c.send(DAEMONSETS)
        pieces = list(c.head().chunks())
        self.assertEqual(b"".join(pieces), whole)
        self.assertGreater(len(pieces), 20)
        c, events = self.watch(since="0")
        self.assertEqual([next(events)["type"] for _ in range(3)], ["ADDED"] * 3)

    def test_slow_and_silent(self):
        s = self.server
        s.fault(None, "slow", delay=0.1)
        start = time.monotonic()
        self.assertEqual(self.ask(DAEMONSETS).status, 200)
        self.assertGreaterEqual(time.monotonic() - start, 0.1)
        s.fault(None, "silent")
        c = self.client()
        c.send(DAEMONSETS)
        self.quiet(c, c.head)
        c.close()
        s.wait_for(lambda: s.requests[-1].ended)
        # Who leaves is not waited for.
        s.fault(None, "slow", delay=3600)
        with self.client() as c:
            c.send(DAEMONSETS)
            s.wait_for(lambda: len(s.requests) == 3)
        s.wait_for(lambda: s.requests[-1].ended)
        s.fault(None, "silent", head=True, after=1)
        self.fill(2)
        c, events = self.watch(since="0")
        self.assertEqual(next(events)["type"], "ADDED")
        self.quiet(c, lambda: next(events))
        self.assertEqual(s.drop_watches(), 1)

    def test_garbage_and_watch_410(self):
        s = self.server
        self.fill(1)
        s.fault(None, "garbage", times=3)
        c = self.ask(DAEMONSETS)
        self.assertEqual((c.status, c.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b"<html>", c.body)
        self.assertIn(b"<html>", self.ask(DAEMONSETS + "?watch=1&sendInitialEvents=true").body)
        c, _ = self.watch(since="0")
        self.assertEqual((c.headers["Content-Type"], next(c.chunks())[:9]), ("application/json", b"<!DOCTYPE"))
        f = s.fault(None, "watch_410", after=1)
        self.ask(DAEMONSETS)
        self.assertEqual(f.used, 0, "a list is not meant")
        c, events = self.watch(since="0")
        self.assertEqual([e["type"] for e in events], ["ADDED", "ERROR"])

    def test_huge(self):
        self.server.fault(None, "huge", times=2)
        for target in (DAEMONSETS, DAEMONSETS + "?watch=1"):
            with self.client() as c:
                c.send(target)
                chunks, n = c.head().chunks(), 0
                while n < 1 << 20:
                    n += len(next(chunks))
        self.server.wait_for(lambda: all(r.ended for r in self.server.requests))

    def test_wrong_lists(self):
        s = self.server
        self.fill(2)
        for kind in ("wrong_kind", "empty_list", "low_rv"):
            s.fault(None, kind)
        o = self.ask(DAEMONSETS).json()
        self.assertEqual((o["kind"], len(o["items"])), ("PodList", 2))
        o = self.ask(DAEMONSETS + "?limit=1").json()
        self.assertEqual((o["kind"], o["items"], o["metadata"]), ("DaemonSetList", [], {"resourceVersion": str(s.version)}))
        o = self.ask(DAEMONSETS).json()
        self.assertEqual((o["metadata"]["resourceVersion"], len(o["items"])), ("1", 2))
        self.assertEqual(len(self.ask(DAEMONSETS).json()["items"]), 2, "nothing of it stays")

    def test_no_handshake(self):
        s = self.server
        s.fault(None, "hang_tls", times=2)
        for leave in (True, False):
            failed = s.handshakes_failed
            with self.assertRaises(TimeoutError):
                Client(s, timeout=0.05)
            if leave:
                s.wait_for(lambda: s.handshakes_failed > failed)
        start = time.monotonic()
        s.stop()
        self.assertLess(time.monotonic() - start, apiserver.STOP_SECONDS)

    def test_outage(self):
        s = self.server
        self.fill(1)
        for how in ("close", "cut", "reset"):
            c, events = self.watch()
            idle = self.client()
            idle.ask("/readyz")
            s.wait_watch()
            s.stop(how)
            for broken in (lambda: next(events), lambda: idle._receive()):
                with self.assertRaises(Cut) as caught:
                    broken()
                self.assertEqual(caught.exception.how, how)
            with self.assertRaises(ConnectionRefusedError):
                Client(s)
            s.apply(daemonset("meanwhile-" + how))
            port = s.port
            s.start()
            self.assertEqual(s.port, port)
        self.assertEqual(len(self.ask(DAEMONSETS).json()["items"]), 4)

    def test_certificates(self):
        s = self.server
        for which, message in (("expired", "certificate has expired"), ("other_name", "not valid for|doesn't match"),
                               ("other_ca", "unable to get local issuer|signature failure|self-signed")):
            s.start(certificate=which)
            with self.subTest(which), self.assertRaisesRegex(ssl.SSLCertVerificationError, message):
                Client(s)
        s.start(certificate="other_name")
        self.assertEqual(self.ask(DAEMONSETS, name="elsewhere.example.com").status, 200)
        s.start()
        self.assertEqual(s.certificate, "other_name")
        s.start(certificate="good")
        self.assertEqual(self.ask(DAEMONSETS).status, 200)


if __name__ == "__main__":
    if not shutil.which("openssl"):
        sys.exit(77)
    main()
