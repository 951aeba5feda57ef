# SPDX-License-Identifier: Apache-2.0
"""A small Kubernetes API server on 127.0.0.1, real TLS, state in memory, and as many ways to fail as a network has.

    with ApiServer(dir) as server:
        server.apply(daemonset("a"))
        server.kubeconfig(dir / "kubeconfig", user="daemonlet:node-a")
        server.fault("/daemonsets", "status", code=503, headers={"Retry-After": "1"})
        server.wait_for(lambda: server.count("/daemonsets"))

It answers as kube-apiserver 1.26 does: heads, Status objects and their wording, chunks, bookmarks, expired continue tokens.
Objects are stored as they are applied, without the defaults that a real server fills in."""
import base64, binascii, collections, contextlib, copy, email.utils, gzip, json, os, pathlib, random, re, select, socket, \
    ssl, struct, subprocess, threading, time, urllib.parse, uuid

HOST = "127.0.0.1"
HEAD_MAX, BODY_MAX = 64 << 10, 4 << 20
STOP_SECONDS = 5
WATCH_SECONDS = 1800  # of a watch that asks for no timeout
PHRASES = {200: "OK", 201: "Created", 302: "Found", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized",
           403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
           415: "Unsupported Media Type",
           422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented",
           502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed", 409: "Conflict",
           410: "Expired", 415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests", 500: "InternalError",
           503: "ServiceUnavailable", 504: "Timeout"}
ANONYMOUS = ("system:anonymous", ["system:unauthenticated"])
NO_TEMPLATE = {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}}
NO_NODE_INFO = dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion",
                              "kubeletVersion", "kubeProxyVersion", "operatingSystem", "architecture"), "")


class Kind:
    """blank: what an object of this kind has when nothing is set, as in a bookmark."""
    def __init__(self, name, group, plural, namespaced=True, generation=False, blank=None):
        self.name, self.group, self.plural, self.namespaced = name, group, plural, namespaced
        self.generation, self.blank = generation, blank or {}
        self.api_version = f"{group}/v1" if group else "v1"
        self.qualified = f"{plural}.{group}" if group else plural
        self.prefix = f"/apis/{group}/v1" if group else "/api/v1"


KINDS = {k.name: k for k in (
    Kind("Node", "", "nodes", namespaced=False,
         blank={"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 0}}, "nodeInfo": NO_NODE_INFO}}),
    Kind("Namespace", "", "namespaces", namespaced=False, blank={"spec": {}, "status": {}}),
    Kind("DaemonSet", "apps", "daemonsets", generation=True,
         blank={"spec": {"selector": None, "template": NO_TEMPLATE, "updateStrategy": {}},
                "status": {"currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0}}),
    Kind("ConfigMap", "", "configmaps"),
    Kind("Secret", "", "secrets"),
    Kind("PriorityClass", "scheduling.k8s.io", "priorityclasses", namespaced=False, generation=True, blank={"value": 0}),
    Kind("Pod", "", "pods", blank={"spec": {"containers": None}, "status": {}}),
    Kind("ServiceAccount", "", "serviceaccounts"),
)}
RESOURCES = {(k.group, k.plural): k for k in KINDS.values()}
METADATA_ORDER = ["name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
                  "deletionTimestamp", "labels", "annotations", "ownerReferences", "finalizers", "managedFields"]


def timestamp(seconds=None):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def encode(value, pretty=False):
    """As Go's encoding/json writes it."""
    text = json.dumps(value, ensure_ascii=False, indent=2) if pretty else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for c in "<>&\u2028\u2029":
        text = text.replace(c, f"\\u{ord(c):04x}")
    return (text if pretty else text + "\n").encode()


def status(code, message, reason=None, metadata=None, **details):
    """A Status object of failure."""
    value = {"kind": "Status", "apiVersion": "v1", "metadata": metadata or {}, "status": "Failure", "message": message,
             "reason": reason or REASONS.get(code, "Unknown")}
    if details:
        value["details"] = details
    return {**value, "code": code}


class Refusal(Exception):
    """An answer that is no success."""
    def __init__(self, code, message, reason=None, headers=None, **more):
        super().__init__(message)
        self.answer = Answer(code, status(code, message, reason, **more), headers=headers)


class Answer:
    """value: a JSON value, or bytes as they are."""
    def __init__(self, code, value, content_type="application/json", headers=None):
        self.code, self.value, self.content_type, self.headers = code, value, content_type, dict(headers or {})


# ---- selectors ----

def label_selector(text):
    """A predicate over labels."""
    if not text:
        return lambda labels: True
    parts, rest = [], text
    while rest:
        m = re.match(r"\s*(?:(?P<not>!)\s*)?(?P<key>[A-Za-z0-9](?:[A-Za-z0-9._/-]*))\s*"
                     r"(?:(?P<op>==|=|!=)\s*(?P<value>[A-Za-z0-9._-]*)|(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?\s*(?:,|$)", rest)
        if not m or (m["not"] and (m["op"] or m["set"])):
            raise Refusal(400, f"unable to parse requirement: {rest}")
        key, rest = m["key"], rest[m.end():]
        if m["set"]:
            values = [v.strip() for v in m["values"].split(",")]
            parts.append((lambda l, k=key, v=values: k in l and l[k] in v) if m["set"] == "in" else
                         (lambda l, k=key, v=values: k not in l or l[k] not in v))
        elif m["op"] == "!=":
            parts.append(lambda l, k=key, v=m["value"]: l.get(k) != v)
        elif m["op"]:
            parts.append(lambda l, k=key, v=m["value"]: l.get(k) == v)
        elif m["not"]:
            parts.append(lambda l, k=key: k not in l)
        else:
            parts.append(lambda l, k=key: k in l)
    return lambda labels: all(p(labels) for p in parts)


def parse_fields(text):
    """[(field, is it equal, value)] of a field selector."""
    rows = []
    for part in filter(None, (text or "").split(",")):
        m = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part)
        if not m:
            raise Refusal(400, f'invalid selector: "{part}"; can\'t understand "{part}"')
        rows.append((m[1], m[2] != "!=", m[3]))
    return rows


def field_selector(kind, text):
    rows = parse_fields(text)
    known = ["metadata.name"] + ["metadata.namespace"] * kind.namespaced + ["spec.nodeName", "status.phase"] * (kind.name == "Pod")
    for field, _, _ in rows:
        if field not in known:
            raise Refusal(400, f'Unable to find "{kind.api_version}, Resource={kind.plural}" that match label selector "", '
                               f'field selector "{text}": field label not supported: {field}')

    def value(o, field):
        for step in field.split("."):
            o = o.get(step) or {}
        return o or ("Pending" if field == "status.phase" else "")  # as the real server fills it in
    return lambda o: all((value(o, field) == wanted) == equal for field, equal, wanted in rows)


def named_by_field(text):
    names = [value for field, equal, value in parse_fields(text) if field == "metadata.name" and equal]
    return names[0] if names else ""


# ---- certificates ----

class Authority:
    """A certificate authority in a directory, by the openssl command."""
    def __init__(self, directory, name):
        self.dir, self.name, self.serial = pathlib.Path(directory), name, 1
        self.dir.mkdir(parents=True, exist_ok=True)
        self.dir.chmod(0o700)
        self.pem, self.key = self.dir / f"{name}.pem", self.dir / f"{name}.key"
        self._run("req", "-x509", *self._new_key(self.key), "-days", "3650", "-subj", f"/CN={name}", "-out", self.pem)

    @staticmethod
    def _run(*args):
        p = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if p.returncode:
            raise RuntimeError(f"openssl {args[0]}: {p.stderr}")

    @staticmethod
    def _new_key(path):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path

    def issue(self, name, subject, extensions, days=365):
        """(certificate's path, key's path); kept under its name."""
        cert, key, request = (self.dir / f"{self.name}-{name}.{e}" for e in ("pem", "key", "csr"))
        if cert.exists():
            return cert, key
        self.serial += 1
        options = self.dir / f"{self.name}-{name}.ext"
        options.write_text(extensions)
        self._run("req", "-new", *self._new_key(key), "-subj", subject, "-out", request)
        self._run("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key, "-set_serial", self.serial,
                  "-days", days, "-extfile", options, "-out", cert)
        return cert, key


def openssl_subject(user, groups):
    return "".join(f"/{k}=" + re.sub(r"([/\\+])", r"\\\1", v) for k, v in [*(("O", g) for g in groups), ("CN", user)])


# ---- transcripts ----

def split_query(query):
    return urllib.parse.parse_qsl(query, keep_blank_values=True)


class Transcript:
    """A request and its answer as they were recorded: lines of "> ", an empty line, head and body as they came."""
    def __init__(self, path):
        self.name = pathlib.Path(path).name
        request, _, answer = pathlib.Path(path).read_bytes().partition(b"\n\n")
        lines = [line[2:] if line.startswith(b"> ") else line[1:] for line in request.split(b"\n")]
        head, _, body = b"\n".join(lines).partition(b"\n\n")
        first, *rest = head.decode().split("\n")
        self.method, self.target = first.split(" ", 1)
        self.path, _, query = self.target.partition("?")
        self.query = dict(split_query(query))
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}
        self.request_body = body
        head, _, self.body = answer.partition(b"\r\n\r\n")
        # A token that was blanked out made the body shorter than it says.
        head = re.sub(rb"(?<=\r\nContent-Length: )\d+", b"%d" % len(self.body), head)
        self.head = head + b"\r\n\r\n"
        first, *rest = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.answer_headers = dict(line.split(": ", 1) for line in rest)
        self.is_chunked = self.answer_headers.get("Transfer-Encoding") == "chunked"

    def values(self):
        """The JSON values of the body, one after another."""
        text, values, decoder = self.body.decode().strip(), [], json.JSONDecoder()
        while text:
            value, end = decoder.raw_decode(text)
            values.append(value)
            text = text[end:].lstrip()
        return values

    def matches(self, request):
        def relevant(query):
            return {k: v for k, v in query.items() if k not in ("resourceVersion", "timeoutSeconds")}
        return (self.method, self.path, relevant(self.query)) == (request.method, request.path, relevant(request.query))


# ---- connections ----

class Gone(Exception):
    """The connection ends here; how: "close" (TLS is closed too), "cut" (a bare FIN), "reset"."""
    def __init__(self, how="close"):
        super().__init__(how)
        self.how = how


class Connection:
    """A TLS socket whose waits end at once when the server wants the connection to end."""
    def __init__(self, server, raw):
        self.server, self.raw, self.tls, self.pending = server, raw, None, b""
        self.ending, self.thread, self.lock = None, None, threading.Lock()
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wake_in, self.wake_out = socket.socketpair()
        for s in (self.wake_in, self.wake_out):
            s.setblocking(False)
        self.closed = False

    def wake(self):
        with self.lock, contextlib.suppress(BlockingIOError):
            if not self.closed:
                self.wake_in.send(b".")

    def end(self, how):
        self.ending = self.ending or how
        self.wake()

    def wait(self, events, timeout=None):
        """Returns whether the socket is ready; false also when woken."""
        poll = select.poll()
        poll.register(self.raw if self.tls is None else self.tls, events)
        poll.register(self.wake_out, select.POLLIN)
        if self.ending:
            raise Gone(self.ending)
        ready = {fd for fd, _ in poll.poll(None if timeout is None else max(0, timeout * 1000))}
        if self.wake_out.fileno() in ready:
            with contextlib.suppress(BlockingIOError):
                self.wake_out.recv(4096)
        if self.ending:
            raise Gone(self.ending)
        return bool(ready - {self.wake_out.fileno()})

    def sleep(self, seconds):
        """A pause that ends early with the connection."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.wait(select.POLLRDHUP, left):
                raise Gone("cut")

    def _retry(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self.wait(select.POLLOUT)
            except (OSError, ValueError) as e:
                raise Gone("cut") from e

    def handshake(self, context):
        try:
            self.tls = context.wrap_socket(self.raw, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError) as e:  # it has left already
            raise Gone("cut") from e
        self._retry(self.tls.do_handshake)

    def receive(self):
        data = self._retry(lambda: self.tls.recv(65536))
        if not data:
            raise Gone
        self.server._counted(bytes_in=len(data))
        self.pending += data

    def poll_peer(self, timeout):
        """Waits; notices a peer that left."""
        if self.tls.pending() or self.wait(select.POLLIN, timeout):
            try:
                data = self.tls.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except (OSError, ValueError) as e:
                raise Gone("cut") from e
            if not data:
                raise Gone
            self.pending += data

    def send(self, data):
        view = memoryview(data)
        while view:
            n = self._retry(lambda: self.tls.send(view[:65536]))
            self.server._counted(bytes_out=n)
            view = view[n:]

    def close(self, how):
        sock = self.raw if self.tls is None else self.tls
        if how == "reset":
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "close" and self.tls is not None:
            with contextlib.suppress(OSError, ValueError):
                self.tls.unwrap()
        with self.lock:
            self.closed = True
            for s in (sock, self.wake_in, self.wake_out):
                s.close()


class Request:
    """One row of ApiServer.requests. status: None while there is no answer. ended: the answer is complete, or was given up."""
    def __init__(self, method, target, headers, body):
        self.time, self.method, self.target, self.headers, self.body = time.time(), method, target, headers, body
        path, _, query = target.partition("?")
        self.path, self.raw_query = urllib.parse.unquote(path), query
        self.query = dict(split_query(query))
        self.user, self.groups, self.status, self.ended, self.connection = None, [], None, False, None

    @property
    def watch(self):
        return self.method == "GET" and self.query.get("watch", "").lower() in ("1", "true")

    @property
    def pretty(self):
        if "pretty" in self.query:
            return self.query["pretty"].lower() in ("1", "true")
        return self.headers.get("user-agent", "").startswith(("curl", "Wget", "Mozilla/5.0"))

    def __iter__(self):
        return iter((self.time, self.method, self.path, self.query, self.user, self.status))

    def __repr__(self):
        return f"{self.method} {self.target} by {self.user}: {self.status}{'' if self.ended else ' ...'}"


class Body:
    """What writes the body of an answer: in chunks or not, whole or torn."""
    def __init__(self, connection, chunked, pieces=0, delay=0.0, rng=None):
        self.connection, self.chunked, self.pieces, self.delay = connection, chunked, pieces, delay
        self.rng = rng

    def write(self, data):
        while data:
            n = len(data) if not self.pieces else self.rng.randint(1, self.pieces)
            piece, data = data[:n], data[n:]
            self.connection.send(b"%x\r\n%s\r\n" % (len(piece), piece) if self.chunked else piece)
            if self.pieces and self.delay:
                self.connection.sleep(self.rng.random() * self.delay)

    def finish(self):
        if self.chunked:
            self.connection.send(b"0\r\n\r\n")


class Watch:
    """A running watch. Its fields are guarded by the server's lock."""
    def __init__(self, request, connection, kind, passes, namespace):
        self.request, self.connection, self.kind, self.passes, self.namespace = request, connection, kind, passes, namespace
        self.events, self.muted, self.bookmarks, self.ending, self.sent = collections.deque(), False, False, None, 0
        self.after = 0  # the version that it was asked for from

    def feed(self, change):
        """What of a change this watch sees."""
        if change.kind is not self.kind or (self.namespace and change.key[0] != self.namespace):
            return
        was = change.old is not None and self.passes(change.old)
        now = change.new is not None and self.passes(change.new)
        if now:
            self.events.append(("MODIFIED" if was else "ADDED", change.new))
        elif was:
            # The object as it was last seen, at the version that took it away.
            gone = copy.deepcopy(change.old)
            gone["metadata"]["resourceVersion"] = str(change.version)
            self.events.append(("DELETED", gone))


Change = collections.namedtuple("Change", "version kind key old new")


class Fault:
    """match: part of "METHOD /path?query" (a regular expression), a callable(method, path, query), or None."""
    def __init__(self, match, kind, times, skip, args):
        self.match, self.kind, self.times, self.skip, self.args = match, kind, times, skip, args
        self.used = 0

    def takes(self, request, streams):
        """streams: whether the answer would be a watch."""
        initial = streams and "sendInitialEvents" in request.query
        if (self.kind == "watch_410" and not streams) or \
                (self.kind in ("empty_list", "low_rv", "wrong_kind") and request.watch and not initial):
            return False
        if callable(self.match):
            return bool(self.match(request.method, request.path, request.query))
        return self.match is None or re.search(self.match, f"{request.method} {request.target}") is not None


FAULTS = {  # and their arguments with defaults
    "status": {"code": 503, "body": None, "message": None, "reason": None, "headers": None, "content_type": None},
    "close": {"tls": False},       # before the head
    "reset": {},                   # before the head
    "half": {"part": 0.5, "after": 0, "chunked": False, "how": "cut"},  # a watch: after so many events, within the next
    "torn": {"pieces": 16, "delay": 0.001, "seed": 1},
    "slow": {"delay": 1.0},        # before the head
    "until": {"event": None},      # a threading.Event: before the head
    "silent": {"head": False, "after": 0},  # a watch with head: quiet after so many events
    "garbage": {"body": None, "content_type": None, "after": 0},
    "hang_tls": {},                # match is for nothing: there is no request yet
    "huge": {"limit": None},
    "wrong_kind": {"to": None},
    "empty_list": {},
    "low_rv": {"version": 1},
    "watch_410": {"after": 0},
}
HTML = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Welcome to the guest network</h1></body></html>\n"


class ApiServer:
    def __init__(self, directory, prefix=""):
        """prefix: a path in front of all others, as a server behind a proxy has."""
        self.dir, self.prefix = pathlib.Path(directory) / "apiserver", prefix.rstrip("/")
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        # Settings that a test may change at any time.
        self.streaming = False         # streaming lists (sendInitialEvents)
        self.bookmark_interval = 60.0  # seconds
        self.gzip_threshold = 128 << 10
        self.tokens = {}               # token: (user, groups)
        self.rules = None              # None: everything is allowed; else {user or group: [rule]}
        self.anonymous = False         # without rules: whether who shows nothing may do everything too
        self.node_authorizer = False
        self.token_life = None         # seconds of a requested token, whatever was asked for
        # What happened.
        self.requests, self.token_requests = [], []
        self.bytes_in = self.bytes_out = self.connections_accepted = self.handshakes_done = self.handshakes_failed = 0
        self.errors = []               # of this server itself
        self._faults, self._replays, self._token_ends = [], [], {}
        self._connections, self._watches, self._listener, self._acceptor = set(), [], None, None
        self._ca, self._other = Authority(self.dir, "kubernetes"), None
        self.ca_path = self._ca.pem
        self.ca_pem = self._ca.pem.read_text()
        self.certificate, self._context = "good", None
        self._reservation = self._reserve()
        self.port = self._reservation.getsockname()[1]
        self.url = f"https://{HOST}:{self.port}{self.prefix}"
        self._flow = [str(uuid.uuid4()) for _ in range(2)]
        self.version = 0
        self.new_cluster()

    @staticmethod
    def _reserve():
        """A port that stays ours while the server is stopped, and that no client gets as its own (it would then connect
        to itself)."""
        low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        while True:
            s = socket.socket()
            try:
                s.bind((HOST, random.randint(10000, low - 1) if low > 11000 else 0))
            except OSError:
                s.close()
                continue
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return s

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- running ----

    def _server_certificate(self, which):
        names = "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1\n"
        usage = "extendedKeyUsage=serverAuth\n"
        if which == "other_ca":
            return self._other_authority().issue("server", "/CN=kube-apiserver", names + usage)
        if which == "other_name":
            return self._ca.issue("server-other-name", "/CN=elsewhere", "subjectAltName=DNS:elsewhere.example.com\n" + usage)
        if which == "expired":
            return self._ca.issue("server-expired", "/CN=kube-apiserver", names + usage, days=-1)
        assert which == "good", which
        return self._ca.issue("server", "/CN=kube-apiserver", names + usage)

    def _other_authority(self):
        self._other = self._other or Authority(self.dir, "other")
        if self._context:
            self._context.load_verify_locations(self._other.pem)
        return self._other

    def start(self, certificate=None):
        """certificate: "good", "expired", "other_ca" or "other_name"; None: as before. Restarts a running server."""
        self.stop()
        with self.lock:
            self.certificate = certificate or self.certificate
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            context.load_cert_chain(*self._server_certificate(self.certificate))
            # As the real one, which answers 401 to a certificate that is not good: strangers get through the handshake.
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self._ca.pem)
            if self._other:
                context.load_verify_locations(self._other.pem)
            context.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME
            self._context = context
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, self.port))
            listener.listen(128)
            listener.setblocking(False)
            self._listener, self._stopping = listener, socket.socketpair()
            self._acceptor = threading.Thread(target=self._accept, args=(listener, self._stopping[1]), daemon=True)
            self._acceptor.start()
            self.changed.notify_all()
        return self

    def stop(self, how="close"):
        """Nobody listens any more, and connections end: "close", "cut" (a FIN without a word of TLS) or "reset"."""
        with self.lock:
            listener, acceptor, self._listener, self._acceptor = self._listener, self._acceptor, None, None
            if not listener:
                return
            self._stopping[0].close()
        acceptor.join(STOP_SECONDS)
        listener.close()
        self._stopping[1].close()
        self.drop_connections(how)

    def drop_connections(self, how="close"):
        """Ends all connections that there are, and waits until they are gone."""
        with self.lock:
            connections = list(self._connections)
        for c in connections:
            c.end(how)
        for c in connections:
            if c.thread is not threading.current_thread():
                c.thread.join(STOP_SECONDS)

    def close(self):
        """For good: the port is given back."""
        self.stop()
        self._reservation.close()
        if self.errors:
            raise AssertionError("the API server failed: " + "; ".join(self.errors))

    @property
    def running(self):
        return self._listener is not None

    def _counted(self, **counters):
        with self.lock:
            for name, n in counters.items():
                setattr(self, name, getattr(self, name) + n)

    def _accept(self, listener, stopping):
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(stopping, select.POLLIN)
        while True:
            if stopping.fileno() in {fd for fd, _ in poll.poll()}:
                return
            try:
                raw, _ = listener.accept()
            except OSError:
                continue
            connection = Connection(self, raw)
            with self.changed:
                self.connections_accepted += 1
                self._connections.add(connection)
                connection.thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                connection.thread.start()
                self.changed.notify_all()

    def _serve(self, connection):
        how, shaken = "close", False
        try:
            if self._take_fault(None):
                while True:
                    connection.sleep(3600)
            connection.handshake(self._context)
            shaken = True
            self._counted(handshakes_done=1)
            who = self._certificate_user(connection.tls.getpeercert())
            while True:
                self._serve_request(connection, who)
        except Gone as e:
            how = e.how
        except Exception as e:  # a fault of the test's, not of the client
            self.errors.append(f"{type(e).__name__}: {e}")
            how = "reset"
        finally:
            connection.close(how)
            with self.changed:
                self.handshakes_failed += not shaken
                self._connections.discard(connection)
                self.changed.notify_all()

    # ---- one request ----

    def _read_request(self, connection):
        while b"\r\n\r\n" not in connection.pending:
            if len(connection.pending) > HEAD_MAX:
                raise Gone
            connection.receive()
        head, _, connection.pending = connection.pending.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if length > BODY_MAX:
            raise Gone
        if headers.get("expect", "").lower() == "100-continue":
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(connection.pending) < length:
            connection.receive()
        body, connection.pending = connection.pending[:length], connection.pending[length:]
        return Request(method, target, headers, body)

    def _serve_request(self, connection, who):
        request = self._read_request(connection)
        request.connection = connection
        outside = not request.path.startswith(self.prefix + "/")
        request.path = request.path[len(self.prefix):]
        identity = self._authenticate(request, who)
        request.user, request.groups = identity or (None, [])
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            fault = self._take_fault(request)
        try:
            self._answer_request(connection, request, identity, outside, fault)
        finally:
            with self.changed:
                request.ended = True
                self.changed.notify_all()
        if request.headers.get("connection", "").lower() == "close":
            raise Gone

    def _answer_request(self, connection, request, identity, outside, fault):
        if fault and self._fail_early(connection, request, fault):
            return
        replay = next((t for t in reversed(self._replays) if t.matches(request)), None)
        if replay:
            self._send_replay(connection, request, replay)
            return
        try:
            if outside:
                raise Refusal(404, "the server could not find the requested resource")
            if identity is None:
                raise Refusal(401, "Unauthorized")
            answer = self._route(connection, request)
        except Refusal as e:
            answer = e.answer
        if isinstance(answer, Watch):
            try:
                self._stream(connection, request, answer, fault)
            finally:
                with self.lock:
                    if answer in self._watches:
                        self._watches.remove(answer)
        else:
            self._send(connection, request, answer, fault)

    def _head(self, request, code, content_type, headers):
        fields = {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private", "Content-Type": content_type}
        if code != 401:
            fields["X-Kubernetes-Pf-Flowschema-Uid"], fields["X-Kubernetes-Pf-Prioritylevel-Uid"] = self._flow
        if code == 403 or content_type.startswith("text/plain"):
            fields["X-Content-Type-Options"] = "nosniff"
        length = {k: v for k, v in headers.items() if k in ("Content-Length", "Transfer-Encoding")}
        fields.update({k: v for k, v in headers.items() if k not in length})
        lines = [f"{k}: {v}" for k, v in [*sorted(fields.items()), ("Date", email.utils.formatdate(usegmt=True)), *length.items()]]
        head = f"HTTP/1.1 {code} {PHRASES.get(code, 'Unknown')}\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n"
        with self.changed:
            request.status = code
            self.changed.notify_all()
        return head.encode("latin-1")

    def _send(self, connection, request, answer, fault=None):
        if fault:
            self._spoil(request, answer, fault)
        data = answer.value if isinstance(answer.value, bytes) else encode(answer.value, request.pretty)
        headers = dict(answer.headers)
        if len(data) >= self.gzip_threshold and request.method == "GET" and \
                "gzip" in re.split(r"[\s,;]+", request.headers.get("accept-encoding", "")):
            data = gzip.compress(data, 1)
            headers["Content-Encoding"], headers["Vary"] = "gzip", "Accept-Encoding"
        half = fault and fault.kind == "half"
        chunked = fault.args["chunked"] if half else len(data) > 2048  # Go's net/http tells the length of no more than that
        headers.update({"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": len(data)})
        connection.send(self._head(request, answer.code, answer.content_type, headers))
        body = self._body(connection, chunked, fault)
        if half:
            body.write(data[:int(len(data) * fault.args["part"])])
            raise Gone(fault.args["how"])
        body.write(data)
        body.finish()

    @staticmethod
    def _body(connection, chunked, fault):
        if fault and fault.kind == "torn":
            return Body(connection, chunked, fault.args["pieces"], fault.args["delay"], random.Random(fault.args["seed"]))
        return Body(connection, chunked)

    def _send_replay(self, connection, request, transcript):
        with self.changed:
            request.status = transcript.status
            self.changed.notify_all()
        connection.send(transcript.head)
        body = Body(connection, transcript.is_chunked)
        body.write(transcript.body)
        body.finish()

    # ---- faults ----

    def fault(self, match, kind, times=1, skip=0, **args):
        """The next `times` requests that match (None: all of them, until remove_fault or clear_faults) fare badly; the
        first `skip` of them well. Kinds and arguments: FAULTS. The first fault that matches is the one. `used` of the
        returned object counts."""
        unknown = set(args) - set(FAULTS[kind])
        assert not unknown, f"{kind} takes no {unknown}"
        fault = Fault(match, kind, times, skip, {**FAULTS[kind], **args})
        with self.lock:
            self._faults.append(fault)
        return fault

    def remove_fault(self, fault):
        with self.lock:
            if fault in self._faults:
                self._faults.remove(fault)

    def clear_faults(self):
        with self.lock:
            self._faults.clear()

    def _take_fault(self, request):
        """request: None for a connection that was just accepted."""
        with self.changed:
            for f in self._faults:
                if (f.kind == "hang_tls") != (request is None) or (request and not f.takes(request, self._streams(request))):
                    continue
                if f.skip:
                    f.skip -= 1
                    continue
                f.used += 1
                if f.times is not None:
                    f.times -= 1
                    if not f.times:
                        self._faults.remove(f)
                self.changed.notify_all()
                return f
        return None

    def _streams(self, request):
        return request.watch and (self.streaming or "sendInitialEvents" not in request.query)

    def _fail_early(self, connection, request, fault):
        """Faults that need no real answer; true if that was all."""
        kind, args = fault.kind, fault.args
        if kind == "close":
            raise Gone("close" if args["tls"] else "cut")
        if kind == "reset":
            raise Gone("reset")
        if kind == "slow":
            connection.sleep(args["delay"])
            return False
        if kind == "until":
            while not args["event"].is_set():
                connection.sleep(0.02)
            return False
        if kind == "silent" and not (self._streams(request) and args["head"]):
            if args["head"]:
                connection.send(self._head(request, 200, "application/json", {"Transfer-Encoding": "chunked"}))
            while True:
                connection.poll_peer(3600)
        if kind == "status":
            value = args["body"]
            if value is None:
                value = status(args["code"], args["message"] or PHRASES.get(args["code"], "Unknown"), args["reason"])
            plain = isinstance(value, (str, bytes))
            self._send(connection, request, Answer(args["code"], value.encode() if isinstance(value, str) else value,
                                                   args["content_type"] or ("text/plain; charset=utf-8" if plain else
                                                                            "application/json"), args["headers"]))
            return True
        if kind == "garbage" and not self._streams(request):
            body = HTML if args["body"] is None else args["body"]
            self._send(connection, request, Answer(200, body.encode() if isinstance(body, str) else body,
                                                   args["content_type"] or "text/html; charset=utf-8"))
            return True
        if kind == "huge":
            connection.send(self._head(request, 200, "application/json", {"Transfer-Encoding": "chunked"}))
            body, sent = Body(connection, True), 0
            body.write(b'{"type":"ADDED","object":{"kind":"' if request.watch else b'{"kind":"')
            while args["limit"] is None or sent < args["limit"]:
                body.write(b"x" * 65536)
                sent += 65536
            raise Gone
        return False

    @staticmethod
    def _spoil(request, answer, fault):
        """Faults that change a good answer."""
        value, kind = answer.value, fault.kind
        if answer.code != 200 or not isinstance(value, dict):
            return
        if kind == "wrong_kind":
            value["kind"] = fault.args["to"] or ("PodList" if "items" in value else "Pod")
        elif kind == "empty_list" and "items" in value:
            value["items"] = []
            value["metadata"] = {"resourceVersion": value["metadata"]["resourceVersion"]}
        elif kind == "low_rv":
            value["metadata"]["resourceVersion"] = str(fault.args["version"])

    @staticmethod
    def _spoil_event(event, fault):
        """The same for the events of a streaming list; None: the event is left out."""
        kind, o = event
        if fault.kind == "empty_list" and kind == "ADDED":
            return None
        if fault.kind == "wrong_kind":
            return kind, {**o, "kind": fault.args["to"] or "Pod"}
        if fault.kind == "low_rv" and kind == "BOOKMARK":
            return kind, {**o, "metadata": {**o["metadata"], "resourceVersion": str(fault.args["version"])}}
        return event

    # ---- identities ----

    def _certificate_user(self, certificate):
        """(user, groups); None: it showed none; False: one that does not count."""
        if not certificate:
            return None
        def values(rdns, name):
            return [v for rdn in rdns for k, v in rdn if k == name]
        if values(certificate["issuer"], "commonName") != [self._ca.name]:
            return False
        if ssl.cert_time_to_seconds(certificate["notAfter"]) < time.time():
            return False
        return values(certificate["subject"], "commonName")[0], values(certificate["subject"], "organizationName")

    def _authenticate(self, request, who):
        """(user, groups), or None for 401."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if who:
            user, groups = who
        elif token and kind.lower() == "bearer":
            with self.lock:
                if token not in self.tokens or self._token_ends.get(token, float("inf")) < time.time():
                    return None
                user, groups = self.tokens[token]
        elif who is False:
            return None
        else:
            return ANONYMOUS
        return user, [*groups, "system:authenticated"]

    def add_token(self, token, user="daemonlet:node-a", groups=()):
        with self.lock:
            self.tokens[token] = (user, list(groups))
        return token

    def remove_token(self, token):
        with self.lock:
            self.tokens.pop(token, None)

    def client_certificate(self, user, groups=(), which="good"):
        """(certificate's path, key's path); which: "good", "expired" or "other_ca"."""
        name = "client-" + re.sub(r"[^A-Za-z0-9-]", "-", "-".join([user, *groups, which]))
        authority = self._other_authority() if which == "other_ca" else self._ca
        return authority.issue(name, openssl_subject(user, groups), "extendedKeyUsage=clientAuth\n",
                               days=-1 if which == "expired" else 365)

    def kubeconfig(self, path, user="daemonlet:node-a", groups=None, token=None, client_cert=None, server_name=None,
                   token_file=None, embed=True, ca="good", server=None, insecure=False, proxy=None):
        """Writes a kubeconfig (0600). token: registered for the user; token_file: written with the token, and named
        instead. client_cert: True, False, or as client_certificate; without token and client_cert: True. embed: data in
        the file, else paths. ca: "good", "other" or None."""
        path = pathlib.Path(path)
        if groups is None:
            groups = ["system:nodes"] if user.startswith("system:node:") else []
        if client_cert is None:
            client_cert = token is None
        lines = ["apiVersion: v1", "kind: Config", "current-context: test",
                 "contexts:", "- name: test", "  context: {cluster: test, user: test}",
                 "clusters:", "- name: test", "  cluster:", f"    server: {server or self.url}"]

        def material(key, file):
            if embed:
                lines.append(f"    {key}-data: {base64.b64encode(file.read_bytes()).decode()}")
            else:
                lines.append(f"    {key}: {file}")
        if ca:
            material("certificate-authority", self.ca_path if ca == "good" else self._other_authority().pem)
        lines += [f"    tls-server-name: {server_name}"] if server_name else []
        lines += ["    insecure-skip-tls-verify: true"] if insecure else []
        lines += [f"    proxy-url: {proxy}"] if proxy else []
        lines += ["users:", "- name: test"]
        lines.append("  user:" if client_cert or token else "  user: {}")
        if client_cert:
            cert, key = self.client_certificate(user, groups, "good" if client_cert is True else client_cert)
            material("client-certificate", cert)
            material("client-key", key)
        if token:
            self.add_token(token, user, groups)
            if token_file:
                self._write_private(pathlib.Path(token_file), token + "\n")
                lines.append(f"    tokenFile: {token_file}")
            else:
                lines.append(f"    token: {token}")
        self._write_private(path, "\n".join(lines) + "\n")
        return path

    @staticmethod
    def _write_private(path, text):
        temporary = path.with_name(path.name + ".tmp")
        temporary.touch(mode=0o600)
        temporary.chmod(0o600)
        temporary.write_text(text)
        temporary.rename(path)

    # ---- rights ----

    def apply_rbac(self, *objects):
        """Rules from ClusterRole, Role, ClusterRoleBinding and RoleBinding objects (and Lists of them); others are passed
        over. From now on only what they allow is allowed."""
        flat = [i for o in objects for i in (o["items"] if o["kind"] == "List" else [o])]
        roles = {(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]): o.get("rules") or []
                 for o in flat if o["kind"] in ("Role", "ClusterRole")}
        rules = {}
        for b in flat:
            if b["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
                continue
            namespace, ref = b["metadata"].get("namespace"), b["roleRef"]
            for subject in b.get("subjects") or []:
                name = subject["name"] if subject["kind"] != "ServiceAccount" else \
                    f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
                rules.setdefault(name, []).extend(
                    {**r, "namespace": namespace}
                    for r in roles[(ref["kind"], namespace if ref["kind"] == "Role" else None, ref["name"])])
        with self.lock:
            self.rules = {**(self.rules or {}), **rules}

    def _authorise(self, request, verb, kind, subresource, namespace, name):
        resource = kind.plural + (f"/{subresource}" if subresource else "")
        if kind.name == "Namespace":
            namespace = name  # a namespace counts as lying in itself
        why = self._forbidden(request, verb, kind, resource, namespace, name)
        if why is None:
            return
        subject = f'{kind.qualified} "{name}"' if name else kind.qualified
        scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        details = {"name": name} if name else {}
        details.update({"group": kind.group} if kind.group else {})
        raise Refusal(403, f'{subject} is forbidden: User "{request.user}" cannot {verb} resource "{resource}" in API group '
                           f'"{kind.group}" {scope}' + (f": {why}" if why else ""), **details, kind=kind.plural)

    def _forbidden(self, request, verb, kind, resource, namespace, name):
        """None, or why (perhaps "")."""
        with self.lock:
            rules = self.rules
            node = request.user[len("system:node:"):] if request.user.startswith("system:node:") else None
            if self.node_authorizer and node and "system:nodes" in request.groups:
                return self._node_forbidden(request, verb, kind, resource, name, node)
        if rules is None:
            return "" if request.user == ANONYMOUS[0] and not self.anonymous else None

        def fits(rule, key, value):
            return "*" in rule.get(key, []) or value in rule.get(key, [])
        for who in (request.user, *request.groups):
            for rule in rules.get(who, []):
                if fits(rule, "verbs", verb) and fits(rule, "apiGroups", kind.group) and fits(rule, "resources", resource) and \
                        (not rule.get("resourceNames") or name in rule["resourceNames"]) and \
                        rule.get("namespace") in (None, namespace):
                    return None
        return ""

    @staticmethod
    def _node_forbidden(request, verb, kind, resource, name, node):
        reads = verb in ("get", "list", "watch")
        if resource == "nodes" and reads:
            if name == node:
                return None
            return f"node '{node}' cannot read '{name}', only its own Node object" if name else \
                f"node '{node}' cannot read all nodes, only its own Node object"
        if resource == "pods" and reads:
            if ("spec.nodeName", True, node) in parse_fields(request.query.get("fieldSelector")):
                return None
            return "can only list/watch pods with spec.nodeName field selector"
        if resource in ("configmaps", "secrets") and reads:
            return f"no relationship found between node '{node}' and this object"
        return ""

    # ---- what is asked for ----

    def _route(self, connection, request):
        if request.path in ("/readyz", "/healthz", "/livez"):
            return Answer(200, b"ok", "text/plain; charset=utf-8")
        m = re.fullmatch(r"/(?:api/v1|apis/(?P<group>[^/]+)/v1)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)"
                         r"(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?", request.path)
        kind = RESOURCES.get((m["group"] or "", m["plural"])) if m else None
        namespace, name, sub = (m["namespace"] or "", m["name"] or "", m["sub"] or "") if m else ("", "", "")
        if not kind or (namespace and not kind.namespaced) or (name and kind.namespaced and not namespace):
            return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
        if request.method == "GET" and not sub:
            if name and not request.watch:
                return self._get(request, kind, namespace, name)
            return self._collection(connection, request, kind, namespace, name)
        if request.method == "POST" and kind.name == "ServiceAccount" and name and sub == "token":
            self._authorise(request, "create", kind, "token", namespace, name)
            return self._token(request, namespace, name)
        verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(request.method, "get")
        self._authorise(request, verb, kind, sub, namespace, name)
        raise Refusal(405, "the server does not allow this method on the requested resource", kind=kind.plural)

    def _get(self, request, kind, namespace, name):
        self._authorise(request, "get", kind, "", namespace, name)
        with self.lock:
            o = self._objects[kind.name].get((namespace, name))
        if o is None:
            raise Refusal(404, f'{kind.qualified} "{name}" not found', name=name,
                          **({"group": kind.group} if kind.group else {}), kind=kind.plural)
        return Answer(200, copy.deepcopy(o))

    def _collection(self, connection, request, kind, namespace, name):
        q = request.query
        fields = q.get("fieldSelector", "") or (f"metadata.name={name}" if name else "")
        self._authorise(request, "watch" if request.watch else "list", kind, "", namespace, named_by_field(fields))
        labels, fielded = label_selector(q.get("labelSelector")), field_selector(kind, fields)

        def passes(o):
            return labels(o["metadata"].get("labels") or {}) and fielded(o)
        version = q.get("resourceVersion", "")
        if version and not version.isdigit():
            raise Refusal(400, f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax')
        self._check_match(request, version)
        if request.watch:
            return self._watch(connection, request, kind, namespace, passes, version)
        return self._list(request, kind, namespace, passes, version)

    def _check_match(self, request, version):
        """The combinations of list options that are refused."""
        causes, q = [], request.query
        if q.get("resourceVersionMatch"):
            if request.watch and not (self.streaming and q.get("sendInitialEvents")):
                causes.append("resourceVersionMatch is forbidden for watch")
            if not version and not (self.streaming and q.get("sendInitialEvents")):
                causes.append("resourceVersionMatch is forbidden unless resourceVersion is provided")
            if q.get("sendInitialEvents") and self.streaming and not request.watch:
                causes.append("sendInitialEvents is forbidden for list")
        elif q.get("sendInitialEvents") and self.streaming:
            causes.append("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        if not causes:
            return
        texts = [f"resourceVersionMatch: Forbidden: {c}" for c in causes]
        raise Refusal(422, 'ListOptions.meta.k8s.io "" is invalid: ' + (texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"),
                      group="meta.k8s.io", kind="ListOptions",
                      causes=[{"reason": "FieldValueForbidden", "message": f"Forbidden: {c}", "field": "resourceVersionMatch"}
                              for c in causes])

    def _snapshot(self, kind, version):
        """The objects as they were at a version that is not compacted."""
        objects = dict(self._objects[kind.name])
        for change in reversed(self._history):
            if change.version <= version:
                break
            if change.kind is kind:
                if change.old is None:
                    objects.pop(change.key, None)
                else:
                    objects[change.key] = change.old
        return objects

    @staticmethod
    def _continue_token(version, start):
        text = encode({"v": "meta.k8s.io/v1", "rv": version, "start": start + "\0"}).strip()
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    def _list(self, request, kind, namespace, passes, version):
        q = request.query
        try:
            limit = int(q.get("limit") or 0)
        except ValueError:
            raise Refusal(400, f'strconv.ParseInt: parsing "{q["limit"]}": invalid syntax') from None
        with self.lock:
            at, start = self.version, ""
            if q.get("continue"):
                if version:
                    raise Refusal(400, "specifying resource version is not allowed when using continue")
                at, start = self._continued(q["continue"])
            elif version and int(version) > self.version:
                raise Refusal(504, f"Timeout: Too large resource version: {version}, current: {self.version}",
                              headers={"Retry-After": "1"},
                              causes=[{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                              retryAfterSeconds=1)
            elif version == "0":
                limit = 0  # the watch cache answers, and knows no pages
            elif q.get("resourceVersionMatch") == "Exact":
                at = int(version)
                if at < self._compacted:
                    raise Refusal(410, "The resourceVersion for the provided list is too old.")
            objects = self._snapshot(kind, at)
        # As etcd orders its keys.
        keys = sorted((k for k in objects if not namespace or k[0] == namespace),
                      key=lambda k: self._key_text(k, namespace).encode())
        keys = [k for k in keys if self._key_text(k, namespace).encode() >= start.encode()]
        items, seen = [], 0
        for key in keys:
            seen += 1
            if passes(objects[key]):
                items.append({k: v for k, v in objects[key].items() if k not in ("kind", "apiVersion")})
                if limit and len(items) == limit:
                    break
        metadata = {"resourceVersion": str(at)}
        if seen < len(keys):
            metadata["continue"] = self._continue_token(at, self._key_text(keys[seen - 1], namespace))
            if not q.get("labelSelector") and not q.get("fieldSelector"):
                metadata["remainingItemCount"] = len(keys) - seen
        return Answer(200, copy.deepcopy({"kind": kind.name + "List", "apiVersion": kind.api_version, "metadata": metadata,
                                          "items": items}))

    @staticmethod
    def _key_text(key, namespace):
        return "/".join(key) if key[0] and not namespace else key[1]

    def _continued(self, token):
        """(version, first key) of a continue token."""
        try:
            value = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            version, start = value["rv"], value["start"]
        except (ValueError, KeyError, TypeError, binascii.Error):
            raise Refusal(400, "continue key is not valid: illegal base64 data at input byte 0") from None
        if version == -1:
            return self.version, start
        if version < self._compacted:
            raise Refusal(410, "The provided continue parameter is too old to display a consistent list result. You can start a "
                               "new list without the continue parameter, or use the continue token in this response to retrieve "
                               "the remainder of the results. Continuing with the provided token results in an inconsistent list "
                               "- objects that were created, modified, or deleted between the time the first chunk was returned "
                               "and now may show up in the list.",
                          metadata={"continue": self._continue_token(-1, start[:-1])})
        return version, start

    # ---- watching ----

    def _watch(self, connection, request, kind, namespace, passes, version):
        q = request.query
        watch = Watch(request, connection, kind, passes, namespace)
        with self.changed:
            initial = self.streaming and q.get("sendInitialEvents", "").lower() in ("1", "true")
            if initial or version in ("", "0"):
                for key, o in sorted(self._objects[kind.name].items()):
                    watch.feed(Change(self.version, kind, key, None, o))
                if initial and self._bookmarked(request):
                    watch.events.append(("BOOKMARK", self._bookmark(kind, initial_end=True)))
            elif int(version) < self._compacted:
                watch.events.append(("ERROR", self._too_old(version)))
            else:
                for change in self._history:
                    if change.version > int(version):
                        watch.feed(change)
            # One that is asked for from the future sees nothing before it.
            watch.after = int(version or 0)
            self._watches.append(watch)
            self.changed.notify_all()
        return watch

    def _too_old(self, version):
        return status(410, f"too old resource version: {version} ({self._compacted or self.version})", "Expired")

    @staticmethod
    def _bookmarked(request):
        return request.query.get("allowWatchBookmarks", "").lower() in ("1", "true")

    def _bookmark(self, kind, initial_end=False):
        metadata = {"resourceVersion": str(self.version), "creationTimestamp": None}
        annotations = {"deprecated.daemonset.template.generation": "0"} if kind.name == "DaemonSet" else {}
        if initial_end:
            annotations["k8s.io/initial-events-end"] = "true"
        if annotations:
            metadata["annotations"] = annotations
        return {"kind": kind.name, "apiVersion": kind.api_version, "metadata": metadata, **copy.deepcopy(kind.blank)}

    def _stream(self, connection, request, watch, fault):
        seconds = float(request.query.get("timeoutSeconds") or WATCH_SECONDS)
        end = time.monotonic() + seconds
        last = end - 2 if seconds > 2 else None  # a bookmark shortly before the end
        beat = time.monotonic() + self.bookmark_interval
        after = fault.args.get("after") if fault else None
        connection.send(self._head(request, 200, "application/json", {"Transfer-Encoding": "chunked"}))
        body = self._body(connection, True, fault)
        while True:
            if after is not None and watch.sent >= after and self._fail_stream(body, request, watch, fault):
                return
            now = time.monotonic()
            with self.lock:
                muted, ending = watch.muted, watch.ending
                due = not muted and (watch.bookmarks or now >= beat or (last is not None and now >= last))
                if due:
                    beat, watch.bookmarks = now + self.bookmark_interval, False
                    last = None if last is not None and now >= last else last
                    if self._bookmarked(request) and self.version >= watch.after:
                        watch.events.append(("BOOKMARK", self._bookmark(watch.kind)))
                event = watch.events.popleft() if watch.events and not muted else None
            if ending in ("close", "cut", "reset"):
                raise Gone(ending)
            if event and fault:
                if event[0] == "BOOKMARK" and fault.kind in ("empty_list", "low_rv", "wrong_kind"):
                    event, fault = self._spoil_event(event, fault), None  # the list ends here
                else:
                    event = self._spoil_event(event, fault)
                if event is None:
                    continue
            if event and (fault is None or fault.kind != "half" or watch.sent < after):
                body.write(encode({"type": event[0], "object": event[1]}, request.pretty))
                with self.changed:
                    watch.sent += 1
                    self.changed.notify_all()
                if event[0] == "ERROR":
                    break
            elif event:
                data = encode({"type": event[0], "object": event[1]}, request.pretty)
                body.write(data[:max(1, int(len(data) * fault.args["part"]))])
                raise Gone(fault.args["how"])
            elif ending or (now >= end and not muted):
                break
            else:
                connection.poll_peer(None if muted else min(t for t in (end, beat, last) if t is not None) - now)
        body.finish()

    def _fail_stream(self, body, request, watch, fault):
        """What happens to a watch after so many events; true if that was its end."""
        if fault.kind == "silent":
            while True:
                if watch.ending:
                    raise Gone("cut" if watch.ending == "end" else watch.ending)
                watch.connection.poll_peer(3600)
        if fault.kind == "watch_410":
            body.write(encode({"type": "ERROR", "object": self._too_old(request.query.get("resourceVersion", ""))}, request.pretty))
        elif fault.kind == "garbage":
            text = HTML if fault.args["body"] is None else fault.args["body"]
            body.write(text.encode() if isinstance(text, str) else text)
        else:
            return False
        body.finish()
        return True

    def watches(self, pattern=""):
        """The running watches whose target matches."""
        with self.lock:
            return [w for w in self._watches if w.request.status and re.search(pattern, w.request.target)]

    def _each_watch(self, pattern, change):
        with self.lock:
            found = self.watches(pattern)
            for w in found:
                change(w)
                w.connection.wake()
        return len(found)

    def drop_watches(self, pattern="", how="end"):
        """"end" regularly, or the connection: "close", "cut", "reset". Returns how many."""
        return self._each_watch(pattern, lambda w: setattr(w, "ending", how))

    def mute_watches(self, pattern=""):
        """Running watches stay open and say nothing any more."""
        return self._each_watch(pattern, lambda w: setattr(w, "muted", True))

    def expire_watches(self, pattern=""):
        """Running watches end with the ERROR event of a 410."""
        return self._each_watch(pattern, lambda w: w.events.append(("ERROR", self._too_old(w.request.query.get("resourceVersion")))))

    def bookmark(self, pattern=""):
        """Running watches that asked for bookmarks get one now."""
        return self._each_watch(pattern, lambda w: setattr(w, "bookmarks", True))

    # ---- tokens ----

    def _token(self, request, namespace, name):
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refusal(415, "the body of the request was in an unknown format - accepted media types include: application/json, "
                               "application/yaml, application/vnd.kubernetes.protobuf")
        try:
            value = json.loads(request.body)
            asked = (value.get("apiVersion"), value.get("kind"))
            spec = value.get("spec") or {}
            seconds, audiences, bound = spec.get("expirationSeconds", 3600), spec.get("audiences"), spec.get("boundObjectRef")
            assert isinstance(seconds, int) and (audiences is None or all(isinstance(a, str) for a in audiences))
        except (ValueError, AttributeError, AssertionError, TypeError):
            raise Refusal(400, "the object provided is unrecognized (must be of type TokenRequest): couldn't get version/kind; "
                               "json parse error") from None
        if asked != ("authentication.k8s.io/v1", "TokenRequest"):
            raise Refusal(400, f"the API version in the data ({asked[0]}) does not match the expected API version "
                               f"(authentication.k8s.io/v1), or kind {asked[1]} is no TokenRequest")
        if self.get("ServiceAccount", namespace, name) is None:
            raise Refusal(404, f'serviceaccounts "{name}" not found', name=name, kind="serviceaccounts")
        if seconds < 600:
            message = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            raise Refusal(422, f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: {message}',
                          group="authentication.k8s.io", kind="TokenRequest",
                          causes=[{"reason": "FieldValueInvalid", "message": message, "field": "spec.expirationSeconds"}])
        if bound:
            o = self.get(bound.get("kind", ""), namespace, bound.get("name", "")) if bound.get("kind") in ("Pod", "Secret") else None
            if o is None or bound.get("uid") not in (None, "", o["metadata"]["uid"]):
                plural = bound.get("kind", "").lower() + "s"
                raise Refusal(404 if o is None else 409, f'{plural} "{bound.get("name")}" not found', name=bound.get("name"), kind=plural)
        return self._issue_token(request, namespace, name, spec, seconds)

    def _issue_token(self, request, namespace, name, spec, seconds):
        user = f"system:serviceaccount:{namespace}:{name}"
        audiences = spec.get("audiences") or ["https://kubernetes.default.svc"]
        now = time.time()
        ends = now + (seconds if self.token_life is None else self.token_life)
        claims = {"aud": audiences, "exp": int(ends), "iat": int(now), "sub": user, "jti": str(uuid.uuid4())}
        parts = [encode({"alg": "RS256", "kid": "test"}), encode(claims), os.urandom(32)]
        token = ".".join(base64.urlsafe_b64encode(p.strip() if p[:1] == b"{" else p).rstrip(b"=").decode() for p in parts)
        with self.changed:
            self.tokens[token] = (user, ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"])
            self._token_ends[token] = ends
            self.token_requests.append((namespace, name, spec, request.user))
            self.changed.notify_all()
        manager = request.headers.get("user-agent", "").partition("/")[0] or "unknown"
        fields = [{"manager": manager, "operation": "Update", "apiVersion": "authentication.k8s.io/v1", "time": timestamp(now),
                   "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {f"f:{k}": {} for k in sorted(spec)}}, "subresource": "token"}]
        return Answer(201, {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
                            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": timestamp(now),
                                         "managedFields": fields},
                            "spec": {"audiences": audiences, "expirationSeconds": seconds,
                                     "boundObjectRef": spec.get("boundObjectRef")},
                            "status": {"token": token, "expirationTimestamp": timestamp(ends)}})

    # ---- the objects ----

    def new_cluster(self, version=300):
        """Nothing is left of the old objects but their names' namespaces, and kube-system has another uid. Running watches
        end. version: where its resourceVersions begin."""
        with self.lock:
            self._objects = {name: {} for name in KINDS}
            self._history, self.version, self._compacted = [], version, version
            self._each_watch("", lambda w: setattr(w, "ending", "end"))
            for name in ("default", "kube-system"):
                self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    @property
    def cluster_uid(self):
        return self.get("Namespace", "", "kube-system")["metadata"]["uid"]

    def _change(self, kind, key, new):
        """Under the lock: new (None: delete it) becomes the object of this key."""
        self.version += 1
        objects = self._objects[kind.name]
        old = objects.pop(key, None)
        if new is not None:
            new["metadata"]["resourceVersion"] = str(self.version)
            objects[key] = new
        change = Change(self.version, kind, key, old, new)
        self._history.append(change)
        for w in self._watches:
            if change.version > w.after:
                w.feed(change)
                w.connection.wake()
        self.changed.notify_all()

    def apply(self, value):
        """Creates or replaces; what changes nothing is no change. Returns the object as it is stored."""
        o = copy.deepcopy(value)
        kind, given = KINDS[o.pop("kind")], dict(o.pop("metadata"))
        o.pop("apiVersion", None)
        key = (given.get("namespace") or "default" if kind.namespaced else "", given["name"])
        with self.changed:
            old = self._objects[kind.name].get(key)
            self._default(kind, o, given)
            metadata = {**given, **({"namespace": key[0]} if kind.namespaced else {})}
            for ours in ("uid", "creationTimestamp"):
                metadata[ours] = old["metadata"][ours] if old else given.get(ours) or \
                    (str(uuid.uuid4()) if ours == "uid" else timestamp())
            if kind.generation:
                metadata["generation"] = 1 if not old else \
                    old["metadata"]["generation"] + (old.get("spec") != o.get("spec"))
            if kind.name == "DaemonSet":
                metadata["annotations"] = {**(metadata.get("annotations") or {}),
                                           "deprecated.daemonset.template.generation": str(metadata["generation"])}
            metadata["managedFields"] = given.get("managedFields") or [
                {"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": kind.api_version,
                 "time": timestamp(), "fieldsType": "FieldsV1", "fieldsV1": self._fields(o)}]
            new = {"kind": kind.name, "apiVersion": kind.api_version,
                   "metadata": {k: metadata[k] for k in METADATA_ORDER if metadata.get(k) is not None and k != "resourceVersion"}, **o}
            # The version has its place in the order.
            new["metadata"] = {k: new["metadata"].get(k, "") for k in METADATA_ORDER if k in new["metadata"] or k == "resourceVersion"}
            if not old or self._essence(old) != self._essence(new):
                self._change(kind, key, new)
            return copy.deepcopy(self._objects[kind.name][key])

    @staticmethod
    def _essence(o):
        return {**o, "metadata": {k: v for k, v in o["metadata"].items() if k not in ("resourceVersion", "managedFields")}}

    @staticmethod
    def _default(kind, o, metadata):
        if kind.name == "Secret":
            o["data"] = {**(o.get("data") or {}), **{k: base64.b64encode(v.encode()).decode()
                                                     for k, v in o.pop("stringData", {}).items()}}
            o.setdefault("type", "Opaque")
        elif kind.name == "Namespace":
            metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
            o.setdefault("spec", {"finalizers": ["kubernetes"]})
            o.setdefault("status", {"phase": "Active"})

    @classmethod
    def _fields(cls, value):
        return {f"f:{k}": cls._fields(v) for k, v in value.items()} if isinstance(value, dict) else {}

    def get(self, kind, namespace, name):
        """A copy, or None."""
        with self.lock:
            return copy.deepcopy(self._objects[kind].get(self._key(kind, namespace, name)))

    @staticmethod
    def _key(kind, namespace, name):
        return (namespace or "default" if KINDS[kind].namespaced else "", name)

    def delete(self, kind, namespace, name):
        """Returns whether it was there."""
        key = self._key(kind, namespace, name)
        with self.changed:
            if key not in self._objects[kind]:
                return False
            self._change(KINDS[kind], key, None)
            return True

    def patch(self, kind, namespace, name, change):
        """change(object) changes a copy, which is then applied."""
        with self.lock:
            o = self.get(kind, namespace, name)
            change(o)
            return self.apply(o)

    def set_labels(self, kind, namespace, name, labels):
        """None as a value takes the label away."""
        def change(o):
            merged = {**(o["metadata"].get("labels") or {}), **labels}
            o["metadata"]["labels"] = {k: v for k, v in merged.items() if v is not None}
        return self.patch(kind, namespace, name, change)

    def set_taints(self, name, taints):
        return self.patch("Node", "", name, lambda o: o.setdefault("spec", {}).update(taints=taints))

    def patch_node_heartbeat(self, name, unix_time, ready=True):
        """The kubelet's word that it lives; lastTransitionTime moves only with the condition's status."""
        def change(o):
            conditions = o.setdefault("status", {}).setdefault("conditions", [])
            c = next((c for c in conditions if c["type"] == "Ready"), None)
            if c is None:
                conditions.append(c := {"type": "Ready"})
            if c.get("status") != str(ready):
                c["lastTransitionTime"] = timestamp(unix_time)
            c.update(status=str(ready), lastHeartbeatTime=timestamp(unix_time), reason="KubeletReady" if ready else "KubeletNotReady",
                     message="kubelet is posting ready status" if ready else "kubelet is not ready")
        return self.patch("Node", "", name, change)

    def compact(self):
        """Forgets the past: all resourceVersions until now are too old, and continue tokens have expired. Time has passed, so
        the version has moved on."""
        with self.lock:
            self._history.clear()
            self.version += 1
            self._compacted = self.version

    # ---- replay and records ----

    def replay(self, transcript):
        """Its answer, byte for byte, for its request (without regard to resourceVersion, timeoutSeconds and who asks);
        the last one that was registered counts."""
        transcript = transcript if isinstance(transcript, Transcript) else Transcript(transcript)
        with self.lock:
            self._replays.append(transcript)
        return transcript

    def clear_replays(self):
        with self.lock:
            self._replays.clear()

    def find(self, pattern, code=None):
        """Requests whose "METHOD target" matches, of this status if given."""
        with self.lock:
            return [r for r in self.requests if re.search(pattern, f"{r.method} {r.target}") and code in (None, r.status)]

    def count(self, pattern, code=None):
        return len(self.find(pattern, code))

    def clear_requests(self):
        with self.lock:
            self.requests.clear()

    def wait_for(self, predicate, timeout=60, what="what the test waits for"):
        """Waits for the server to have seen something; returns what predicate returned."""
        with self.changed:
            result = self.changed.wait_for(predicate, timeout)
            if not result:
                raise AssertionError(f"{what} did not come within {timeout} s; requests:\n" +
                                     "\n".join(map(repr, self.requests[-30:])))
            return result

    def wait_watch(self, pattern="", timeout=60):
        """Waits for a running watch; returns it."""
        return self.wait_for(lambda: self.watches(pattern), timeout, f"a watch of {pattern}")[0]
