# SPDX-License-Identifier: Apache-2.0
"""A host made of temporary directories, and the real binary on it."""
import json, os, pathlib, shutil, subprocess, sys, tempfile, unittest

SRC = pathlib.Path(os.environ.get("srcdir", ".")).resolve()
BUILD = pathlib.Path(os.environ.get("builddir", ".")).resolve()
DAEMONLET = pathlib.Path(os.environ.get("DAEMONLET", BUILD / "src" / "daemonlet"))
SHARED = pathlib.Path(os.environ.get("SHARED_DIR", SRC / ".." / "shared"))

NODE = {"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "node-1", "labels": {"kubernetes.io/hostname": "node-1", "kubernetes.io/os": "linux",
                                                  "kubernetes.io/arch": "amd64", "disk": "hdd"}},
        "spec": {}}


def daemonset(name, namespace="kube-system", image="registry.example.com/a:1", meta=None, **spec):
    """A small DaemonSet as a JSON value; spec goes into the pod's spec."""
    return {"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": namespace, **(meta or {})},
            "spec": {"selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "main", "image": image}], **spec}}}}


class Row:
    def __init__(self, line):
        self.id, self.state, self.reason, self.revision, self.message = line.split("\t")

    def __repr__(self):
        return f"{self.id} {self.state} {self.reason} {self.revision} {self.message}"


class Host(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="daemonlet-test-"))
        self.addCleanup(self.remove)
        os.umask(0o022)
        self.sources, self.manifests = self.dir / "daemonsets.d", self.dir / "manifests"
        self.state, self.conf, self.node = self.dir / "state", self.dir / "daemonlet.conf", self.dir / "node.json"
        for d in (self.sources, self.manifests, self.dir / "proc"):
            d.mkdir()
        self.configure()
        self.set_node(NODE)

    def remove(self):
        for d in self.dir.rglob("*"):
            if d.is_dir() and not d.is_symlink():
                d.chmod(0o700)
        shutil.rmtree(self.dir)

    def configure(self, **sections):
        text = {"kubelet": {"manifest_dir": self.manifests, "proc_dir": self.dir / "proc",
                            "config": self.dir / "no-config", "flags_file": self.dir / "no-flags",
                            "extra_flags_file": self.dir / "no-extra-flags",
                            "root_dir": self.dir / "no-kubelet", "cgroup_dir": self.dir / "no-cgroups"},
                "daemonsets": {"dir": self.sources}, "agent": {"state_dir": self.state, "runtime_dir": self.dir / "run"}}
        for section, keys in sections.items():
            text.setdefault(section, {}).update(keys)
        put(self.conf, "".join(f"[{s}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items() if v is not None)
                               for s, keys in text.items()))

    def set_node(self, node):
        put(self.node, json.dumps(node))

    def label(self, **labels):
        node = json.loads(json.dumps(NODE))
        node["metadata"]["labels"].update(labels)
        self.set_node(node)

    def source(self, name, *objects):
        """Writes a file of daemonsets.d as an editor would: new file, renamed over."""
        text = objects[0] if len(objects) == 1 and isinstance(objects[0], str) else \
            "\n---\n".join(json.dumps(o) if len(objects) == 1 else yaml_of(o) for o in objects)
        put(self.sources / name, text)

    def run_(self, *args, node=True, config=True, env=None, **kw):
        command = [str(DAEMONLET)] + (["--config", str(self.conf)] if config else []) + \
                  (["--node", str(self.node)] if node else []) + [str(a) for a in args]
        return subprocess.run(command, capture_output=True, text=True, timeout=120,
                              env={**os.environ, **(env or {})}, **kw)

    def sync(self, *args, status=0, **kw):
        """sync -o tsv; the rows by NAMESPACE/NAME."""
        p = self.run_("sync", "-o", "tsv", *args, **kw)
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        self.stderr = p.stderr
        return {r.id: r for r in map(Row, p.stdout.splitlines())}

    def path(self, name, namespace="kube-system"):
        return self.manifests / f"daemonlet_{namespace}_{name}.json"

    def pod(self, name, namespace="kube-system"):
        return json.loads(self.path(name, namespace).read_text())

    def files(self):
        return sorted(p.name for p in self.manifests.iterdir())

    def prints(self):
        """Everything that can tell whether something was touched."""
        seen = {}
        for base in (self.manifests, self.state):
            for p in sorted(base.rglob("*")) + [base]:
                st = p.lstat()
                seen[str(p)] = (st.st_ino, st.st_mode, st.st_mtime_ns, st.st_ctime_ns, st.st_size)
        return seen


def put(path, text):
    """As an editor writes: whoever reads it meanwhile reads the whole of what it was, or of what it is."""
    tmp = path.with_name(".tmp-" + path.name)
    tmp.write_text(text)
    tmp.rename(path)


def yaml_of(o):
    # JSON is YAML.
    return json.dumps(o, indent=1)


def main():
    if pathlib.Path(sys.argv[0]).stem in os.environ.get("SKIP_TESTS", "").split():
        sys.exit(77)
    if not DAEMONLET.exists():
        sys.exit(f"{DAEMONLET} is missing")
    unittest.main(verbosity=2)
