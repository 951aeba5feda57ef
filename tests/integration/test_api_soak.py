#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A long row of random changes to what an API server, its Node and daemonsets.d say, mixed with all the ways in which server,
network and agent fail. SEED and SOAK_FAULTS in the environment repeat one or make it longer."""
import collections, contextlib, json, os, pathlib, random, select, shutil, signal, struct, subprocess, sys, threading, time

from agent import LIBC
from api_host import FENCE, NODE, ApiHost, fenced, node
from host import DAEMONLET, daemonset, main

FAULTS = int(os.environ.get("SOAK_FAULTS", "150"))
SECONDS = 60 if FAULTS <= 150 else FAULTS
SEED = int(os.environ.get("SEED", "1"))
SANITIZED = os.environ.get("SANITIZED", "no") != "no"
FAULTS_A_ROUND = 15
CALM = 75          # seconds within which all is as it should be again; the longest back-off takes 60
DELAY = 1.0         # seconds of removal_delay and settle
RSS_GROWTH = 1024   # kB
LINES_A_ROUND, LINES_A_STEP = 60, 8
SYSTEM, OTHER = "kube-system", "default"
OF_SERVER = [(SYSTEM, f"api-{i:02}") for i in range(10)] + [(OTHER, f"api-{i:02}") for i in range(4)]
OF_BOTH = [(SYSTEM, f"both-{i:02}") for i in range(3)]
OF_FILES = [(SYSTEM, f"local-{i:02}") for i in range(4)]
ANCHORS = [(SYSTEM, "anchor"), (OTHER, "anchor")]  # a source that becomes empty is another story
KEYS = OF_SERVER + OF_BOTH + OF_FILES + ANCHORS
PRIORITY, ACCOUNT = "soak", "soak"
OBJECTS = [(kind, namespace, f"o-{i}") for kind in ("ConfigMap", "Secret") for namespace in (SYSTEM, OTHER) for i in range(3)] + \
    [("PriorityClass", "", PRIORITY)]
RESOURCES = [r"daemonsets", r"/nodes", r"configmaps", r"secrets", r"priorityclasses", r"namespaces/kube-system ", r"/token", r"GET"]
IN_MOVED_FROM, IN_MOVED_TO, IN_DELETE = 0x40, 0x80, 0x200


def file_name(key):
    return f"daemonlet_{key[0]}_{key[1]}.json"


class Recorder:
    """Notes when files come to stand in a directory and when they leave it."""
    def __init__(self, path):
        self.path, self.lock, self.events = path, threading.Lock(), []
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        LIBC.inotify_add_watch(self.fd, os.fsencode(path), IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE)
        self.end_in, self.end_out = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while self.end_in not in (ready := select.select([self.fd, self.end_in], [], [])[0]):
            now, data = time.monotonic(), os.read(self.fd, 65536)
            with self.lock:
                while data:
                    _, mask, _, n = struct.unpack_from("iIII", data)
                    name, data = data[16:16 + n].rstrip(b"\0").decode(), data[16 + n:]
                    if mask & 0x4000:
                        self.events.append((now, "", "overflow", None))
                    elif name.startswith("daemonlet_"):
                        self.events.append((now, name, "stands" if mask & IN_MOVED_TO else "gone", self._image(name, mask)))

    def _image(self, name, mask):
        try:
            return json.loads((self.path / name).read_text())["spec"]["containers"][0]["image"] if mask & IN_MOVED_TO else None
        except OSError:  # gone already
            return None

    def take(self):
        with self.lock:
            events, self.events = self.events, []
            return events

    def close(self):
        os.write(self.end_out, b".")
        self.thread.join()
        for fd in (self.fd, self.end_in, self.end_out):
            os.close(fd)


class Unwanted:
    """When one source did not want one DaemonSet, though it had it before: [from, to], and whether that took it away."""
    def __init__(self, since):
        self.since, self.until, self.used = since, None, False

    def __repr__(self):
        return f"[{self.since:.2f}, {'' if self.until is None else f'{self.until:.2f}'}]{' used' if self.used else ''}"


class Truth:
    """What server and files say, kept beside them, and what follows from it."""
    def __init__(self):
        self.api, self.local = {}, {}  # by key: DaemonSet
        self.labels, self.taints, self.fence_broken = {"disk": "ssd", "zone": "a"}, [], False
        self.objects = {}  # (kind, namespace, name): its value
        self.unwanted = {k: {"api": [], "local": [], "": []} for k in KEYS}
        self.images = {k: set() for k in KEYS}
        self.was, self.touched = {}, collections.Counter()
        self.now_wanted = {}

    def wish(self, o, of_server):
        """present, keep or absent."""
        if o is None:
            return "absent"
        spec, namespace = o["spec"]["template"]["spec"], o["metadata"]["namespace"]
        selector = spec.get("nodeSelector", {})
        if of_server and (o["metadata"]["labels"]["daemonlet.io/mode"] != "static" or "daemonlet.io/static" not in selector or
                          self.fence_broken):
            return "keep"
        if any(self.labels.get(k) != v for k, v in selector.items() if k not in FENCE):
            return "absent"
        tolerated = {t["key"] for t in spec.get("tolerations", [])}
        effects = {t["effect"] for t in self.taints if t["key"] not in tolerated}
        if "NoExecute" in effects:
            return "absent"
        if "NoSchedule" in effects or any((kind, namespace, name) not in self.objects for kind, name in uses(o)):
            return "keep"
        return "present"

    def served(self, key):
        o = self.api.get(key)
        return o if o and "daemonlet.io/mode" in o["metadata"].get("labels", {}) else None

    def governing(self, key):
        o = self.served(key)
        return (o, True) if o else (self.local.get(key), False)

    def expected(self, key):
        return self.wish(*self.governing(key))

    def look(self, began):
        """Notes what a change made of it all, which began then."""
        ended = time.monotonic()
        for key in KEYS:
            for source, o in (("api", self.served(key)), ("local", self.local.get(key))):
                rows, absent = self.unwanted[key][source], self.wish(o, source == "api") == "absent"
                if o:
                    self.images[key].add(image_of(o))
                was_absent = self.was.get((key, source), True)
                if absent and not was_absent:
                    rows.append(Unwanted(began))
                elif not absent and was_absent and rows:
                    rows[-1].until = ended
                self.was[key, source] = absent
            wanted = json.dumps([(self.wish(o, s), image_of(o), self.inlined(o)) if o else None
                                 for o, s in ((self.served(key), True), (self.local.get(key), False))])
            if self.unwanted[key][""] and self.unwanted[key][""][0].until is None and self.expected(key) != "absent":
                self.unwanted[key][""][0].until = ended
            self.touched[key] += self.now_wanted.get(key) != wanted
            self.now_wanted[key] = wanted

    def inlined(self, o):
        """What manifests have of the values of other objects, but for priorities: these change nothing by themselves."""
        spec, namespace = o["spec"]["template"]["spec"], o["metadata"]["namespace"]
        return {e["name"]: self.objects.get(("ConfigMap", namespace, e["valueFrom"]["configMapKeyRef"]["name"]))
               for e in spec["containers"][0].get("env", [])}

    def calm(self):
        """All that happened was carried out."""
        for key in KEYS:
            o, of_server = self.governing(key)
            absent = self.wish(o, of_server) == "absent"
            self.unwanted[key] = {"api": [], "local": [], "": [Unwanted(time.monotonic() - 2 * DELAY)] if absent else []}
            self.images[key] = {image_of(o) for o in (self.served(key), self.local.get(key)) if o}
        self.touched.clear()


def image_of(o):
    return o["spec"]["template"]["spec"]["containers"][0]["image"]


def uses(o):
    """(kind, name) of the objects that have to be there."""
    spec = o["spec"]["template"]["spec"]
    for v in spec.get("volumes", []):
        yield ("ConfigMap", v["configMap"]["name"]) if "configMap" in v else ("Secret", v["secret"]["secretName"])
    for e in spec["containers"][0].get("env", []):
        yield "ConfigMap", e["valueFrom"]["configMapKeyRef"]["name"]


class Soak(ApiHost):
    removal_delay = "1s"

    def setUp(self):
        self.rng, self.truth, self.n_faults, self.n_changes = random.Random(SEED), Truth(), 0, 0
        self.later, self.lied, self.broken, self.restarts, self.kinds = [], False, set(), True, collections.Counter()
        self.protected, self.rss, self.history, self.token, self.fresh_child = set(), [], collections.deque(maxlen=400), None, None
        super().setUp()
        self.addCleanup(self.stop_fresh)
        self.server.streaming = True
        self.new_token()
        self.apply_node()
        for o in OBJECTS:
            self.apply_object(*o)
        for namespace in (SYSTEM, OTHER):
            self.server.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": namespace}})
            self.server.apply({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": "published\n"},
                               "metadata": {"name": "kube-root-ca.crt", "namespace": namespace}})
        for key in OF_SERVER + OF_BOTH + ANCHORS:
            self.apply(key)
        for key in OF_FILES + OF_BOTH:
            self.save(key)
        self.save((SYSTEM, "anchor"))
        self.truth.look(time.monotonic())
        self.truth.calm()

    def set_agent(self, **sections):
        super().set_agent(**{**sections, "api": {"namespaces": f"{SYSTEM},{OTHER}", "tokens": "yes", **sections.get("api", {})}})

    # ---- changes ----

    def daemonset(self, key, local=False, selector=None):
        """What it uses is always the same, its image is always new."""
        number, extra = KEYS.index(key), {}
        container = {"name": "main", "image": f"registry.example.com/a:{self.n_changes}-{self.n_faults}-{self.rng.randrange(10**6)}"}
        if not local and number % 4 == 0:
            extra["volumes"] = [{"name": "v", "configMap": {"name": f"o-{number % 3}"}}]
            container["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
        elif not local and number % 4 == 1:
            container["env"] = [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": f"o-{number % 3}", "key": "key"}}}]
        elif not local and number % 4 == 2:
            extra["volumes"] = [{"name": "v", "secret": {"secretName": f"o-{number % 3}"}}]
            container["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
        if number % 5 == 0:
            extra["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
        if number % 5 == 1 and not local:
            extra["priorityClassName"] = PRIORITY
        if number % 7 == 3:
            extra["serviceAccountName"] = ACCOUNT
        extra["containers"] = [container]
        if local:
            return daemonset(key[1], key[0], nodeSelector=selector or {}, **extra)
        return fenced(key[1], key[0], selector=selector, **extra)

    def selector(self, key):
        if key in self.protected or key in ANCHORS or self.rng.random() < 0.6:
            return {}
        return self.rng.choice([{"disk": "ssd"}, {"zone": "a"}])

    def key(self, keys):
        """One of them that may be taken away just now, or None."""
        keys = [k for k in keys if k not in self.protected and k not in ANCHORS]
        return self.rng.choice(keys) if keys else None

    def apply(self, key, o=None):
        o = o or self.daemonset(key, selector=self.selector(key))
        self.truth.api[key] = o
        self.server.apply(o)

    def delete(self, key):
        self.truth.api.pop(key, None)
        self.server.delete("DaemonSet", *key)

    def save(self, key, o=None):
        o = o or self.daemonset(key, local=True, selector=self.selector(key))
        self.truth.local[key] = o
        self.source(f"{key[1]}.json", o)
        self.broken.discard(key)

    def apply_object(self, kind, namespace, name):
        value = str(self.rng.randrange(10**6))
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        o = {"apiVersion": "v1", "kind": kind, "metadata": metadata}
        if kind == "PriorityClass":
            o["apiVersion"], o["value"] = "scheduling.k8s.io/v1", int(value)
        else:
            o["data" if kind == "ConfigMap" else "stringData"] = {"key": value}
        self.truth.objects[kind, namespace, name] = value
        self.server.apply(o)

    def apply_node(self):
        t = self.truth
        fence = {"daemonlet.io/static": ""} if t.fence_broken else {}
        self.server.apply(node({**t.labels, **fence}, t.taints, heartbeat=time.time()))

    def change_daemonset(self):
        key = self.rng.choice(OF_SERVER + OF_BOTH + ANCHORS)
        if key not in self.protected or self.truth.served(key):
            self.apply(key)

    def change_delete(self):
        if key := self.key(OF_SERVER + OF_BOTH):
            self.delete(key)

    def change_replace(self):
        if (key := self.key(OF_SERVER + OF_BOTH)) and key in self.truth.api:
            began = time.monotonic()
            self.delete(key)
            self.truth.look(began)
            self.apply(key)

    def change_opt_out(self):
        if (key := self.key(OF_SERVER + OF_BOTH)) and key in self.truth.api:
            o = self.daemonset(key, selector=self.selector(key))
            how = self.rng.randrange(3)
            if how == 0:
                o["metadata"]["labels"] = {}
            elif how == 1:
                o["metadata"]["labels"] = {"daemonlet.io/mode": "dynamic"}
            else:
                del o["spec"]["template"]["spec"]["nodeSelector"]["daemonlet.io/static"]
            self.apply(key, o)

    def change_object(self):
        kind, namespace, name = self.rng.choice(OBJECTS)
        if kind != "PriorityClass" and (kind, namespace, name) in self.truth.objects and self.rng.random() < 0.2:
            self.server.delete(kind, namespace, name)
            del self.truth.objects[kind, namespace, name]
        else:
            self.apply_object(kind, namespace, name)

    def change_labels(self):
        t, which = self.truth, self.rng.choice(("disk", "zone"))
        t.labels[which] = {"ssd": "hdd", "hdd": "ssd", "a": "b", "b": "a"}[t.labels[which]]
        t.fence_broken = self.rng.random() < 0.1
        self.apply_node()

    def change_taints(self):
        self.truth.taints = self.rng.choice([[], [], [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}],
                                             [{"key": "dedicated", "value": "x", "effect": "NoExecute"}]])
        self.apply_node()

    def change_heartbeat(self):
        if self.server.get("Node", "", NODE):
            self.server.patch_node_heartbeat(NODE, time.time())

    def change_node_goes(self):
        self.server.delete("Node", "", NODE)
        self.soon(self.rng.random() * 2, self.apply_node)

    def change_save(self):
        key = self.rng.choice(OF_FILES + OF_BOTH)
        if key in self.protected and key not in self.truth.local:
            return
        if self.rng.random() < 0.3:  # as some editors do
            with contextlib.suppress(FileNotFoundError):
                (self.sources / f"{key[1]}.json").unlink()
        self.save(key)

    def change_break(self):
        key = self.rng.choice(OF_FILES + OF_BOTH)
        if key in self.truth.local:
            (self.sources / f"{key[1]}.json").write_text(json.dumps(self.truth.local[key])[:-self.rng.randrange(1, 60)])
            self.broken.add(key)

    def change_remove(self):
        if (key := self.key(OF_FILES + OF_BOTH)) and key in self.truth.local:
            (self.sources / f"{key[1]}.json").unlink()
            del self.truth.local[key]
            self.broken.discard(key)

    CHANGES = [(8, change_daemonset), (3, change_delete), (2, change_replace), (3, change_opt_out), (5, change_object), (2, change_labels),
               (1, change_taints), (1, change_heartbeat), (1, change_node_goes), (4, change_save), (1, change_break), (2, change_remove)]

    # ---- faults ----

    def soon(self, seconds, act):
        self.later.append((time.monotonic() + seconds, act))

    def answer(self, kind, match=None, **args):
        self.server.fault(match or self.rng.choice(RESOURCES), kind, times=self.rng.choice((1, 1, 1, 2, 3)), **args)
        # Much of it is for requests that have to be made first.
        if self.rng.random() < 0.4:
            self.server.drop_watches(how=self.rng.choice(("end", "close", "cut", "reset")))

    def fault_status(self):
        headers = {"Retry-After": "1"} if self.rng.random() < 0.3 else {}
        body = self.rng.choice((None, None, "", "<html>bad gateway</html>", "404 page not found\n", "{", "null"))
        code = self.rng.choice((204, 302, 307, 400, 401, 403, 404, 405, 409, 410, 418, 422, 429, 500, 502, 503, 504))
        self.answer("status", code=code, body="" if code == 204 else body, headers=headers)

    def fault_close(self):
        self.answer("close", tls=self.rng.random() < 0.5)

    def fault_reset(self):
        self.answer("reset")

    def fault_half(self):
        self.answer("half", part=self.rng.random(), after=self.rng.randrange(4), chunked=self.rng.random() < 0.5,
                    how=self.rng.choice(("close", "cut", "reset")))

    def fault_torn(self):
        self.answer("torn", seed=self.rng.randrange(10**6), pieces=self.rng.choice((1, 16, 500)), delay=0.0005)

    def fault_slow(self):
        self.answer("slow", delay=self.rng.random())

    def fault_garbage(self):
        body = self.rng.choice((None, "", "null", "[]", "{}", '"x"', "\0\1\2", '{"kind":"DaemonSetList"', '{"items":[]}',
                                '{"kind":"List","items":{}}',
                                '{"kind":"DaemonSetList","apiVersion":"apps/v1","metadata":{},"items":[]}', '{"type":"ADDED"}\n',
                                '{"type":"DELETED","object":{}}\n', '{"type":"ADDED","object":{"kind":"DaemonSet"}}\n', "x" * 100000))
        self.answer("garbage", body=body, content_type=self.rng.choice((None, "application/json")), after=self.rng.randrange(3))

    def fault_wrong_kind(self):
        self.answer("wrong_kind", to=self.rng.choice((None, "PodList", "ConfigMap", "SecretList", "Status")))

    def fault_empty_list(self):
        self.lied = True
        self.answer("empty_list", match=self.rng.choice(RESOURCES[:4]))

    def fault_low_rv(self):
        # So low that no watch goes on from there: what was said before would be said again.
        self.answer("low_rv", match=self.rng.choice(RESOURCES[:4]), version=self.rng.randrange(1, 300))

    def fault_huge(self):
        self.answer("huge", limit=1 << 18)

    def fault_hang(self):
        """For a moment."""
        kind = self.rng.choice(("silent", "hang_tls"))
        fault = self.server.fault(self.rng.choice(RESOURCES), kind, times=2)
        self.soon(self.rng.random(), lambda: (self.server.remove_fault(fault), self.server.drop_connections("cut")))

    def fault_watch_410(self):
        self.answer("watch_410", after=self.rng.randrange(3))

    def fault_drop_watches(self):
        self.server.drop_watches(self.rng.choice(RESOURCES), how=self.rng.choice(("end", "close", "cut", "reset")))

    def fault_expire_watches(self):
        self.server.expire_watches(self.rng.choice(RESOURCES))

    def fault_mute(self):
        self.server.mute_watches(self.rng.choice(RESOURCES))
        self.soon(self.rng.random() * 2, self.unmute)

    def unmute(self):
        self.server.drop_watches(how=self.rng.choice(("cut", "reset", "close")))

    def fault_compact(self):
        self.server.compact()
        self.server.drop_watches(how="end")

    def fault_stop(self):
        self.server.stop(self.rng.choice(("close", "cut", "reset")))
        self.soon(self.rng.random() * 1.5, self.bring_back)

    def fault_certificate(self):
        self.server.start(self.rng.choice(("expired", "other_ca", "other_name")))
        self.soon(self.rng.random() * 1.5, self.bring_back)

    def bring_back(self):
        if not self.server.running or self.server.certificate != "good":
            self.server.start("good")

    def new_token(self):
        old, self.token = self.token, f"token-{self.rng.randrange(10**12)}" if self.rng.random() < 0.7 else None
        self.server.kubeconfig(self.kubeconfig, token=self.token, embed=self.rng.random() < 0.5,
                               token_file=self.dir / "token" if self.rng.random() < 0.5 else None)
        return old

    def fault_token(self):
        if self.rng.random() < 0.5:  # it is taken back before there is a new one
            self.server.remove_token(self.token)
            self.server.drop_connections("close")
            self.soon(self.rng.random(), self.new_token)
        else:
            self.server.remove_token(self.new_token())

    def fault_kubeconfig(self):
        how = self.rng.randrange(4)
        if how == 0:
            self.kubeconfig.unlink(missing_ok=True)
        elif how == 1:
            self.kubeconfig.write_text("{ this: is: no yaml")
        elif how == 2:
            self.kubeconfig.chmod(0o666)
        self.soon(self.rng.random() * 0.5, self.new_token)

    def fault_streaming(self):
        self.server.streaming = not self.server.streaming
        self.server.expire_watches()

    def fault_kill(self):
        if not self.restarts:
            return False
        self.stop(self.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
        self.start()

    def fault_kill_while_away(self):
        """What it knows by itself is what it knew."""
        if not self.restarts:
            return False
        # What was said, and what became of it, was not long ago.
        time.sleep(self.rng.random() * 0.5)
        self.server.stop(self.rng.choice(("cut", "reset")))
        self.stop(self.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
        self.start()
        self.soon(self.rng.random() * 2, self.bring_back)

    KINDS = [(5, fault_status), (2, fault_close), (2, fault_reset), (4, fault_half), (2, fault_torn), (2, fault_slow), (4, fault_garbage),
             (2, fault_wrong_kind), (2, fault_empty_list), (2, fault_low_rv), (1, fault_huge), (1, fault_hang), (2, fault_watch_410),
             (3, fault_drop_watches), (1, fault_expire_watches), (2, fault_mute), (2, fault_compact), (3, fault_stop),
             (2, fault_certificate), (2, fault_token), (2, fault_kubeconfig), (1, fault_streaming), (2, fault_kill),
             (2, fault_kill_while_away)]

    # ---- what has to hold at any time ----

    def note(self, text):
        self.history.append(f"{time.monotonic():.2f} {text}")

    def story(self, name=""):
        head = f"SEED={SEED}, {self.n_faults} faults, {self.n_changes} changes; {name}"
        return "\n".join([head, *self.history, self.log()[-6000:]])

    def check_events(self):
        """A manifest goes only for a reason, once for each, and not before its time; what is written was wanted."""
        for at, name, what, image in self.recorder.take():
            self.note(f"    at {at:.2f} {name} {what} {image or ''}")
            self.assertNotEqual(what, "overflow")
            key = tuple(name.removeprefix("daemonlet_").removesuffix(".json").split("_"))
            rows = [u for rows in self.truth.unwanted[key].values() for u in rows]
            if what == "stands":
                self.written[key] += 1
                if image is not None:
                    self.assertIn(image, self.truth.images[key], self.story(f"{name} was never wanted so"))
                continue
            # While it is not wanted, what is known of the Node and of the DaemonSet at different times may bring it more than once.
            reason = next((u for u in sorted(rows, key=lambda u: u.since)
                           if (not u.used or u.until is None) and at >= u.since + DELAY - 0.05), None)
            self.assertTrue(reason, f"{name} went at {at:.2f}, and was not wanted in {rows} only; " + self.story(name))
            reason.used = True

    def step(self, table):
        began, act = time.monotonic(), self.rng.choices([a for _, a in table], [w for w, _ in table])[0]
        self.note(act.__name__)
        done = act(self) is not False
        self.truth.look(began)
        self.check_events()
        return done and act.__name__

    def work_off(self, everything=False):
        now = time.monotonic()
        due = [a for t, a in self.later if everything or t <= now]
        self.later = [] if everything else [(t, a) for t, a in self.later if t > now]
        for act in due:
            self.note(f"later: {getattr(act, '__name__', '')}")
            act()

    def round(self):
        rng = self.rng
        self.protected = set(rng.sample(KEYS, len(KEYS) // 2))
        self.written, n = collections.Counter(), 0
        while n < FAULTS_A_ROUND:
            self.work_off()
            if rng.random() < 0.45:
                if kind := self.step(self.KINDS):
                    self.kinds[kind] += 1
                    self.n_faults += 1
                    n += 1
            else:
                self.step(self.CHANGES)
                self.n_changes += 1
            if rng.random() < 0.25:
                self.note("hurry")
                self.child.send_signal(signal.SIGHUP)
            if self.child.poll() is not None:
                self.fail(f"the agent ended with {self.child.returncode}; " + self.story())
            time.sleep(rng.random() * 0.12)

    # ---- calm ----

    def clear(self):
        self.server.clear_faults()
        self.work_off(everything=True)
        self.bring_back()
        self.new_token()
        self.apply_node()
        for key in list(self.broken):
            self.save(key, self.truth.local[key])
        # Who was told that there is nothing goes on from there; only a list tells more.
        if self.lied:
            self.server.compact()
        self.lied = False
        self.server.drop_watches()  # muted ones among them

    def stands(self, path, key):
        """Whether what stands is what simple thought expects."""
        o, _ = self.truth.governing(key)
        wish, file = self.truth.expected(key), path / file_name(key)
        if wish == "absent":
            return not file.exists()
        if wish == "keep":
            return True
        try:
            spec = json.loads(file.read_text())["spec"]
        except OSError:
            return False
        env = self.truth.inlined(o)
        return spec["containers"][0]["image"] == image_of(o) and \
            {e["name"]: e.get("value") for e in spec["containers"][0].get("env", [])} == env and \
            all(self.content(spec, v["name"]) == self.truth.objects[kind, key[0], name] for v, (kind, name) in
                zip(o["spec"]["template"]["spec"].get("volumes", []), uses(o)))

    @staticmethod
    def content(spec, volume):
        path = next(v["hostPath"]["path"] for v in spec["volumes"] if v["name"] == volume)
        try:
            return pathlib.Path(path, "key").read_text()
        except OSError:
            return None

    def off(self, path):
        return [f"{k} should be {self.truth.expected(k)}, is {self.row(k[1], k[0])}; {self.truth.governing(k)}"
                for k in KEYS if not self.stands(path, k)]

    def heal(self):
        """A list that is doubted counts in ten minutes; another list and events count at once."""
        self.heals += 1
        for r in self.api().get("resources", []):
            if r["state"] == "SuspectList" and self.heals % 3 == 0:
                self.server.expire_watches("/daemonsets")
            elif r["state"] == "SuspectList":
                for key in OF_SERVER + OF_BOTH:
                    if f"/{key[0]}/daemonsets" in r["resource"] and not self.truth.served(key):
                        # In a mode that changes nothing.
                        self.server.apply(fenced(*reversed(key), meta={"labels": {"daemonlet.io/mode": "dynamic"}}))
                        time.sleep(0.05)
                        if o := self.truth.api.get(key):
                            self.server.apply(o)
                        else:
                            self.server.delete("DaemonSet", *key)

    def wait_calm(self):
        end, last = time.monotonic() + CALM, 0.0
        while True:
            resources = self.api().get("resources", [])
            if resources and all(r["state"] == "Live" for r in resources) and not self.off(self.manifests):
                return
            if self.child.poll() is not None or time.monotonic() > end:
                said = {k: (self.status() or {}).get(k) for k in ("api", "node", "problem")}
                self.fail(f"ended with {self.child.poll()}, no calm: {self.off(self.manifests)}; truth: {self.truth.labels} "
                          f"{self.truth.taints}; it says: {json.dumps(said, indent=1)}; " + self.story())
            if time.monotonic() - last > 0.7:
                last = time.monotonic()
                self.heal()
                self.child.send_signal(signal.SIGHUP)
            time.sleep(0.03)
            self.check_events()

    def start_fresh(self):
        base = self.dir / "other"  # as long as "state"
        shutil.rmtree(base, ignore_errors=True)
        for name in ("manifests", "run"):
            (base / name).mkdir(parents=True)
        conf, text = self.dir / "other.conf", self.conf.read_text()
        for old, new in ((self.manifests, base / "manifests"), (self.state, base / "state"), (self.run_dir, base / "run")):
            text = text.replace(f"= {old}\n", f"= {new}\n")
        conf.write_text(text)
        with open(self.dir / "other.log", "wb") as log:
            self.fresh_child = subprocess.Popen([str(DAEMONLET), "--config", str(conf), "run"], stdout=log, stderr=log,
                                                stdin=subprocess.DEVNULL, env={**os.environ, "NOTIFY_SOCKET": "", "JOURNAL_STREAM": ""})
        return base

    def stop_fresh(self):
        if self.fresh_child:
            self.fresh_child.kill()
            self.fresh_child.wait()
            self.fresh_child = None

    def seen(self, manifests, state):
        """The manifests of what is certainly wanted, as if all states were at one place."""
        return {k: self.normal(manifests / file_name(k), state) for k in KEYS if self.truth.expected(k) == "present"}

    @staticmethod
    def normal(path, state):
        data = path.read_bytes()
        pod = json.loads(data)
        annotations, has_volumes = pod["metadata"]["annotations"], os.fsencode(state) in data
        if "priorityClassName" not in pod["spec"] and not has_volumes:
            return data
        if has_volumes:  # their place is part of the input, and the input's hash is part of the place
            pod = json.loads(data.replace(os.fsencode(state), b"STATE").replace(annotations["daemonlet.io/input"].encode(), b"INPUT"))
        # The priority is what was known when all else last changed.
        pod["spec"].pop("priority", None)
        del pod["metadata"]["uid"], pod["metadata"]["annotations"]["daemonlet.io/revision"]
        return pod

    def compare_with_fresh(self):
        base = self.start_fresh()
        self.wait_for(lambda: not self.off(base / "manifests") and not self.off(self.manifests),
                      "another agent to come to the same", CALM)
        self.assertEqual(self.seen(self.manifests, self.state), self.seen(base / "manifests", base / "state"), self.story())
        self.stop_fresh()
        self.assertEqual(self.off(self.manifests), [])

    def check_log(self, log, steps):
        lines = self.log()[log:].count("\n")
        self.assertLessEqual(lines, LINES_A_ROUND + LINES_A_STEP * steps, self.story("a flood of lines"))
        self.lines += lines

    def anonymous(self):
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])

    def test_random_changes_and_faults(self):
        print(f"SEED={SEED}", file=sys.stderr)
        self.lines, self.heals, self.written, began = 0, 0, collections.Counter(), time.monotonic()
        self.recorder = Recorder(self.manifests)
        self.addCleanup(self.recorder.close)
        self.start()
        self.wait_calm()
        middle = None
        while self.n_faults < FAULTS and (gone := time.monotonic() - began) < SECONDS:
            part = max(gone / SECONDS, self.n_faults / FAULTS)
            self.restarts = part < 0.4  # an agent that lives long shows what it loses
            log, steps = len(self.log()), self.n_faults + self.n_changes
            self.round()
            self.clear()
            self.truth.look(time.monotonic())
            self.wait_calm()
            self.compare_with_fresh()
            self.check_events()
            # No manifest is written without cause: each time is the restart of a pod.
            often = {k: (n, self.truth.touched[k]) for k, n in self.written.items()
                     if n > self.truth.touched[k] and self.truth.expected(k) != "keep"}
            self.assertEqual(often, {}, self.story("written more often than changed"))
            self.check_log(log, self.n_faults + self.n_changes - steps)
            self.assertEqual(self.server.errors, [], self.story())
            self.truth.calm()
            self.server.compact()
            if middle is None and part >= 0.5:
                middle = self.anonymous()
        after = self.anonymous()
        print(f"{self.n_faults} faults, {self.n_changes} changes in {time.monotonic() - began:.0f} s, {self.lines} lines of log, "
              f"RssAnon {middle} kB -> {after} kB; {dict(self.kinds)}", file=sys.stderr)
        if not SANITIZED and middle:
            self.assertLessEqual(after - middle, RSS_GROWTH)
        self.assertEqual(self.stop(), 0)


if __name__ == "__main__":
    main()
