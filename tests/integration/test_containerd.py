#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a container sees of a written manifest: its mounts, environment and command, made into arguments of ctr as the
kubelet and its runtime would, with a containerd of our own and an image of busybox. Needs root and Debian's containerd,
runc and busybox-static; 77 where no container can run.

All of it happens in namespaces of mounts, processes and networks of its own: what containerd starts and mounts ends
with the process that runs the tests, however that ends, and is not seen by a containerd of the machine. Files and
cgroups, which outlive it, are removed by the one that started it."""
import base64, hashlib, io, json, os, pathlib, platform, re, shutil, signal, subprocess, sys, tarfile, tempfile, time
import uuid

import container, host
from host import Host, daemonset

SECONDS = 60  # nothing here takes that long unless it is broken
IMAGE = "registry.example.com/busybox:1"
APPLETS = "cat", "env", "ls", "mkdir", "printf", "readlink", "rm", "sh", "sleep", "tar", "touch", "true"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}  # else Go has the kernel's name
NAME = "DAEMONLET_TEST_NAME"  # what the names of containers, and so of their cgroups, begin with; set inside
# What shims and runc make is below /run/containerd, wherever containerd has its own.
ENTER = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--net",
         "sh", "-c", 'mount -t tmpfs -o mode=0755 tmpfs /run && exec "$@"', "sh")
CONFIG = """version = 2
root = "/run/containerd-root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
"""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
BLOB = bytes(range(256)) * 300


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def run(*command, check=True):
    p = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=SECONDS)
    if check and p.returncode:
        raise AssertionError(f"{command}: {p.returncode}\n{p.stdout.decode(errors='replace')}\n{p.stderr.decode()}")
    return p


# ---- the image ----

def make_layer(busybox):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(name, kind, data=b"", target="", mode=0o755):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname, info.mode = kind, len(data), target, mode
            tar.addfile(info, io.BytesIO(data))
        for name in "bin", "etc", "proc", "run", "sys", "tmp", "var":
            add(name, tarfile.DIRTYPE)
        add("var/run", tarfile.SYMTYPE, target="/run")
        add("bin/busybox", tarfile.REGTYPE, busybox)
        for name in APPLETS:
            add(f"bin/{name}", tarfile.SYMTYPE, target="busybox")
    return out.getvalue()


def make_image(path):
    """An OCI layout in a tar file."""
    layer = make_layer(pathlib.Path(shutil.which("busybox")).read_bytes())
    blobs = []

    def add(kind, data, **more):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        blobs.append((hashlib.sha256(data).hexdigest(), data))
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{blobs[-1][0]}",
                "size": len(data), **more}

    machine = platform.machine()
    config = add("config.v1+json", {
        "architecture": ARCHITECTURES.get(machine, machine), "os": "linux", "config": {"Env": [f"PATH={PATH}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}})
    manifest = add("manifest.v1+json", {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                        "config": config, "layers": [add("layer.v1.tar", layer)]},
                   annotations={"io.containerd.image.name": IMAGE})
    files = [("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode()),
             ("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()),
             *((f"blobs/sha256/{name}", data) for name, data in blobs)]
    with tarfile.open(path, "w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


# ---- containerd ----

class NoContainer(Exception):
    """No container can run here."""


def start_containerd(directory):
    """containerd with the image, once a container has run."""
    (directory / "config.toml").write_text(CONFIG)
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(["containerd", "--config", directory / "config.toml", "--log-level", "warn"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        end = time.monotonic() + SECONDS
        while run("ctr", "version", check=False).returncode:
            if process.poll() is not None or time.monotonic() > end:
                raise NoContainer("containerd does not start:\n" + (directory / "log").read_text()[-2000:])
            time.sleep(0.02)
        make_image(directory / "image.tar")
        run("ctr", "image", "import", "--snapshotter", "native", directory / "image.tar")
        p = run(*run_command(f"{os.environ[NAME]}-0"), "true", check=False)
        if b"OCI runtime" in p.stderr:
            raise NoContainer(f"runc starts no container: {p.stderr.decode()[-2000:]}")
        assert p.returncode == 0, p.stderr
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def run_command(name, *arguments, image=IMAGE, detached=False):
    # This snapshotter works on every file system. A cgroup below that of this process, without shares of the CPU, needs
    # no controller.
    how = ["--detach", "--null-io"] if detached else ["--rm"]
    return ["ctr", "run", *how, "--snapshotter", "native", "--cgroup", "", "--cpu-shares", "0", *arguments, image, name]


# ---- what the kubelet does ----

def expand(text, values):
    """k8s.io/kubernetes/third_party/forked/golang/expansion"""
    return re.sub(r"\$(?:\$|\(([^)]*)\))",
                  lambda m: "$" if m[1] is None else values.get(m[1], m[0]), text)


def environment(container):
    values = {}
    assert "envFrom" not in container, "a static pod has none"
    for variable in container.get("env", []):
        assert "valueFrom" not in variable, "a static pod has no objects to refer to"
        values[variable["name"]] = expand(variable.get("value", ""), values)
    return values


def host_path(volume, mount):
    path = pathlib.Path(volume["hostPath"]["path"])
    assert volume["hostPath"]["type"] == "Directory" and path.is_dir(), f"the pod waits for {path}"
    if "subPath" not in mount:
        return path
    # Links are followed once, when the container starts, and lead nowhere else.
    below = (path / mount["subPath"]).resolve(strict=True)
    assert below.is_relative_to(path.resolve()), below
    return below


def ctr_arguments(pod):
    """Of the first container: options, and its command."""
    container = pod["spec"]["containers"][0]
    volumes = {v["name"]: v for v in pod["spec"].get("volumes", [])}
    values = environment(container)
    options = [f"--env={name}={value}" for name, value in values.items()]
    for mount in container.get("volumeMounts", []):
        access = "ro" if mount.get("readOnly") else "rw"
        options.append(f"--mount=type=bind,src={host_path(volumes[mount['name']], mount)},dst={mount['mountPath']},"
                       f"options=rbind:rprivate:{access}")
    return options, [expand(part, values) for part in container.get("command", []) + container.get("args", [])]


# ---- what is in it ----

def config_map(name, data, binary=None):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"},
            "data": data, "binaryData": {k: base64.b64encode(v).decode() for k, v in (binary or {}).items()}}


def secret(name, **data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "kube-system"},
            "data": {k: base64.b64encode(v).decode() for k, v in data.items()}}


SETTINGS = config_map("settings", {"app.conf": "level = debug\n", "run.sh": "#!/bin/sh\n", "unused": "x"},
                      {"blob": BLOB})
PASSWORD = secret("password", user=b"admin", pass_=b"\0$(HOST)\xff")
VOLUMES = [
    {"name": "settings", "configMap": {"name": "settings", "defaultMode": 0o640, "items": [
        {"key": "app.conf", "path": "conf/app.conf", "mode": 0o400}, {"key": "run.sh", "path": "run.sh", "mode": 0o755},
        {"key": "blob", "path": "conf/deep/blob"}]}},
    {"name": "all", "configMap": {"name": "settings"}},
    {"name": "password", "secret": {"secretName": "password", "defaultMode": 0o600}},
    {"name": "mixed", "projected": {"defaultMode": 0o444, "sources": [
        {"configMap": {"name": "settings", "items": [{"key": "app.conf", "path": "app.conf"}]}},
        {"secret": {"name": "password", "items": [{"key": "user", "path": "user", "mode": 0o400}]}},
        {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                                   {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}]
MOUNTS = [{"name": "settings", "mountPath": "/etc/settings"}, {"name": "all", "mountPath": "/etc/all"},
          {"name": "password", "mountPath": "/etc/password"}, {"name": "mixed", "mountPath": "/srv/mixed"},
          {"name": "settings", "mountPath": "/etc/single.conf", "subPath": "conf/app.conf"}]


def sleeper(**spec):
    d = daemonset("app", image=IMAGE, volumes=VOLUMES, **spec)
    d["spec"]["template"]["spec"]["containers"][0].update(command=["sleep", "600"], volumeMounts=MOUNTS)
    return d


class Containerd(Host):
    count = 0  # of containers, and of processes in them

    def written(self, *objects, name="app"):
        """The pod that stands for these objects."""
        self.source("a.json", {"apiVersion": "v1", "kind": "List", "items": objects})
        self.assertEqual(self.sync()[f"kube-system/{name}"].state, "Written")
        return self.pod(name)

    @classmethod
    def new_id(cls):
        Containerd.count += 1
        return f"{os.environ[NAME]}-{Containerd.count}"

    def output(self, pod):
        """What a container prints that ends by itself."""
        options, command = ctr_arguments(pod)
        image = pod["spec"]["containers"][0]["image"]
        return run(*run_command(self.new_id(), *options, image=image), *command).stdout

    def start(self, pod):
        options, command = ctr_arguments(pod)
        self.id = self.new_id()
        self.addCleanup(self.stop)
        image = pod["spec"]["containers"][0]["image"]
        run(*run_command(self.id, *options, image=image, detached=True), *command)

    def stop(self):
        run("ctr", "task", "rm", "--force", self.id, check=False)
        run("ctr", "container", "rm", self.id, check=False)

    def inside(self, *command, user="0:0", check=True):
        return run("ctr", "task", "exec", "--exec-id", self.new_id(), "--user", user, self.id, *command, check=check)

    def shell(self, script, user="0:0", check=True):
        return self.inside("sh", "-c", script, user=user, check=check).stdout.decode()

    def tree(self, path, user="0:0"):
        """What a program sees, following links: mode, owner and group, and the bytes of each file."""
        seen, archive = {}, self.inside("tar", "-C", path, "-chf", "-", ".", user=user).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for m in tar:
                name = m.name.removeprefix("./").rstrip("/")
                if name != "." and not name.startswith(".."):
                    seen[name] = (oct(m.mode), f"{m.uid}:{m.gid}", tar.extractfile(m).read() if m.isfile() else None)
        return seen

    def test_files_modes_and_owners(self):
        self.start(self.written(SETTINGS, PASSWORD, sleeper()))
        self.assertEqual(self.tree("/etc/settings"), {
            "conf": ("0o755", "0:0", None), "conf/app.conf": ("0o400", "0:0", b"level = debug\n"),
            "conf/deep": ("0o755", "0:0", None), "conf/deep/blob": ("0o640", "0:0", BLOB),
            "run.sh": ("0o755", "0:0", b"#!/bin/sh\n")})
        self.assertEqual(self.tree("/etc/all"), {
            "app.conf": ("0o644", "0:0", b"level = debug\n"), "run.sh": ("0o644", "0:0", b"#!/bin/sh\n"),
            "unused": ("0o644", "0:0", b"x"), "blob": ("0o644", "0:0", BLOB)})
        self.assertEqual(self.tree("/etc/password"), {
            "user": ("0o600", "0:0", b"admin"), "pass_": ("0o600", "0:0", b"\0$(HOST)\xff")})
        self.assertEqual(self.tree("/srv/mixed"), {
            "app.conf": ("0o444", "0:0", b"level = debug\n"), "user": ("0o400", "0:0", b"admin"),
            "labels": ("0o444", "0:0", b'app="app"'), "name": ("0o444", "0:0", b"app-node-1")})
        self.assertEqual(self.shell("cat /etc/single.conf; ls -ln /etc/single.conf").split()[:6],
                         ["level", "=", "debug", "-r--------", "1", "0"])

    def test_links_are_those_of_kubernetes(self):
        self.start(self.written(SETTINGS, PASSWORD, sleeper()))
        self.assertEqual(self.shell("ls -A /etc/settings | cat").split()[-3:], ["..data", "conf", "run.sh"])
        self.assertRegex(self.shell("cd /etc/settings; for l in conf run.sh ..data; do readlink $l; done"),
                         r"\A\.\.data/conf\n\.\.data/run\.sh\n\.\.[0-9a-f]+\n\Z")

    def test_group_of_the_pod(self):
        self.start(self.written(SETTINGS, PASSWORD, sleeper(securityContext={"fsGroup": 2000, "runAsUser": 1000})))
        self.assertEqual(self.tree("/etc/settings", user="1000:2000"), {
            "conf": ("0o2755", "0:2000", None), "conf/app.conf": ("0o440", "0:2000", b"level = debug\n"),
            "conf/deep": ("0o2755", "0:2000", None), "conf/deep/blob": ("0o640", "0:2000", BLOB),
            "run.sh": ("0o755", "0:2000", b"#!/bin/sh\n")})
        self.assertEqual(self.tree("/etc/password", user="1000:2000"), {
            "user": ("0o640", "0:2000", b"admin"), "pass_": ("0o640", "0:2000", b"\0$(HOST)\xff")})
        self.assertEqual(self.shell("cat /etc/single.conf", user="1000:2000"), "level = debug\n")
        for path in "/etc/settings/conf/app.conf", "/etc/password/user", "/srv/mixed/user", "/etc/single.conf":
            p = self.inside("cat", path, user="1000:3000", check=False)
            self.assertIn(b"Permission denied", p.stderr, path)
            self.assertEqual(p.stdout, b"")
        # The mode is for all, and so are the directories above it.
        self.assertEqual(self.shell("cat /srv/mixed/app.conf", user="1000:3000"), "level = debug\n")

    def test_service_account(self):
        self.start(self.written(sleeper(serviceAccountName="robot"), SETTINGS, PASSWORD))
        self.assertEqual(self.tree(ACCOUNT), {"namespace": ("0o644", "0:0", b"kube-system")})

    def test_environment(self):
        d = daemonset("app", image=IMAGE)
        d["spec"]["template"]["spec"]["containers"][0].update(
            command=["env", "-0"],
            envFrom=[{"configMapRef": {"name": "base"}}, {"configMapRef": {"name": "more"}, "prefix": "MORE_"},
                     {"secretRef": {"name": "secret"}}],
            env=[{"name": "GREETING", "value": "$(HOST) says $$(HOST), $$, $, $(NOBODY) and $HOST"},
                 {"name": "RAW", "valueFrom": {"configMapKeyRef": {"name": "base", "key": "PRICE"}}},
                 {"name": "OURS", "value": "yes"}, {"name": "COPY", "value": "<$(RAW)|$(TOKEN)>"},
                 {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "base", "key": "no", "optional": True}}}])
        self.configure(pods={"secret_env": "inline"})
        base = config_map("base", {"HOST": "other", "PRICE": "$(HOST) at $$5, $6 $", "EMPTY": "", "OURS": "no"})
        more = config_map("more", {"LINES": "one\n  two=$$(HOST)\n", "COMMA": "a,b \"c\""})
        out = self.output(self.written(d, base, more, secret("secret", HOST=b"example", TOKEN=b"$$(RAW)")))
        have = dict(v.split("=", 1) for v in out.decode().split("\0") if v)
        for name in "PATH", "HOME":  # of the image and of runc
            have.pop(name)
        self.assertEqual(have, {
            "HOST": "example", "PRICE": "$(HOST) at $$5, $6 $", "EMPTY": "", "TOKEN": "$$(RAW)", "OURS": "yes",
            "MORE_LINES": "one\n  two=$$(HOST)\n", "MORE_COMMA": "a,b \"c\"",
            "GREETING": "example says $(HOST), $, $, $(NOBODY) and $HOST", "RAW": "$(HOST) at $$5, $6 $",
            "COPY": "<$(HOST) at $$5, $6 $|$$(RAW)>"})

    def test_command(self):
        d = daemonset("app", image=IMAGE)
        d["spec"]["template"]["spec"]["containers"][0].update(
            command=["printf", "%s\\0"], args=["$(PRICE)", "$$(PRICE)", "$(NOBODY)", "$PRICE $$"],
            envFrom=[{"configMapRef": {"name": "base"}}])
        out = self.output(self.written(d, config_map("base", {"PRICE": "$$5 $(X)"})))
        self.assertEqual(out.decode().split("\0"), ["$$5 $(X)", "$(PRICE)", "$(NOBODY)", "$PRICE $", ""])

    def test_change_reaches_a_running_container(self):
        pod = self.written(SETTINGS, PASSWORD, sleeper())
        self.start(pod)
        old = self.shell("readlink /etc/settings/..data")
        changed = config_map("settings", {"app.conf": "level = info\n", "run.sh": "#!/bin/sh\n"}, {"blob": b"small"})
        self.assertEqual(self.written(changed, secret("password", user=b"root"), sleeper()), pod, "no restart")
        self.assertEqual(self.tree("/etc/settings"), {
            "conf": ("0o755", "0:0", None), "conf/app.conf": ("0o400", "0:0", b"level = info\n"),
            "conf/deep": ("0o755", "0:0", None), "conf/deep/blob": ("0o640", "0:0", b"small"),
            "run.sh": ("0o755", "0:0", b"#!/bin/sh\n")})
        self.assertEqual(sorted(self.tree("/etc/all")), ["app.conf", "blob", "run.sh"])
        self.assertEqual(self.tree("/etc/password"), {"user": ("0o600", "0:0", b"root")})
        self.assertEqual(self.tree("/srv/mixed")["user"], ("0o400", "0:0", b"root"))
        self.assertEqual(self.shell("cat /etc/single.conf"), "level = debug\n")
        self.assertNotEqual(self.shell("readlink /etc/settings/..data"), old)
        # One that starts now has the new file there.
        self.stop()
        self.start(pod)
        self.assertEqual(self.shell("cat /etc/single.conf"), "level = info\n")

    def test_nothing_can_be_written(self):
        self.start(self.written(SETTINGS, PASSWORD, sleeper(serviceAccountName="robot")))
        for directory in ("/etc/settings", "/etc/settings/conf", "/etc/all", "/etc/password", "/srv/mixed", ACCOUNT):
            p = self.inside("touch", f"{directory}/new", check=False)
            self.assertIn(b"Read-only file system", p.stderr, directory)
        for script in ("echo x >/etc/single.conf", "echo x >>/etc/settings/run.sh", "rm /etc/settings/..data",
                       "rm /etc/settings/run.sh", "mkdir /etc/password/new"):
            p = self.inside("sh", "-c", script, check=False)
            self.assertIn(b"Read-only file system", p.stderr, script)
            self.assertNotEqual(p.returncode, 0)
        self.shell("touch /etc/new")  # the container's own


def why_not():
    """Why no container can be here, or None; not all is known before one was tried."""
    missing = [p for p in ("containerd", "ctr", "runc", "busybox", "unshare") if not shutil.which(p)]
    if missing:
        return f"{', '.join(missing)} is missing"
    if os.geteuid() != 0:
        return "needs root"
    p = run(*ENTER, "true", check=False)
    if p.returncode:
        return f"no namespaces can be made here: {p.stderr.decode()}"
    with tempfile.TemporaryDirectory() as directory:
        shutil.copy(shutil.which("busybox"), f"{directory}/true")
        alone = run("chroot", directory, "/true", check=False).returncode == 0
    return None if alone else "busybox is not that of busybox-static"


def remove_cgroups(name):
    """Of containers that nobody stopped. Their processes may be ending still."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        left = [pathlib.Path(directory, d) for directory, names, _ in os.walk("/sys/fs/cgroup")
                for d in names if d.startswith(name)]
        if not left:
            return
        container.remove_cgroups(left)


def run_inside():
    """This script again, in namespaces of its own; its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="daemonlet-test-") as directory:
        name = f"daemonlet-test-{uuid.uuid4().hex}"
        try:
            return subprocess.run([*ENTER, sys.executable, *sys.argv],
                                  env={**os.environ, NAME: name, "TMPDIR": directory}).returncode
        finally:
            remove_cgroups(name)


def main():
    if "test_containerd" in os.environ.get("SKIP_TESTS", "").split():
        skip("not wanted")
    if NAME not in os.environ:
        why = why_not()
        return skip(why) if why else sys.exit(run_inside())
    try:
        process = start_containerd(pathlib.Path(os.environ["TMPDIR"]))
    except NoContainer as e:
        skip(e)
    try:
        host.main()
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


if __name__ == "__main__":
    main()
