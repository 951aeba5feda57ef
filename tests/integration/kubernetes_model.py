# SPDX-License-Identifier: Apache-2.0
"""What a container sees of ConfigMaps and Secrets: Kubernetes' rules once more, as simply as they can be said.

Written from the kubelet's sources (kubelet_pods.go, volume/{configmap,secret,projected,downwardapi}, volume_linux.go,
forked/golang/expansion) and from nothing of this tree. The same functions answer for a template with its API objects
and for a static pod whose volumes are directories of the host. The mode of a volume's own directory is not told: a
kubelet makes it of an emptyDir (0777), and nobody writes to it. At the end, templates and objects made at random."""
import base64, json, os, posixpath, random, stat

from host import daemonset

WAITS_FOR = {"ConfigMap": "WaitingForConfigMap", "Secret": "WaitingForSecret"}
MADE_KINDS = ("configMap", "secret", "projected", "downwardAPI")


class Missing(Exception):
    """The kubelet would not start the container: an object or a key is missing. args: kind, name, key or None."""


class Impossible(Exception):
    """The kubelet could never start the container: its files do not fit into one directory."""


class Objects:
    """The API objects of one namespace, as the API server keeps them."""

    def __init__(self, *objects):
        self.data = {}
        for o in objects:
            data = {k: v.encode() for k, v in (o.get("data") or {}).items()} if o["kind"] == "ConfigMap" else {}
            encoded = o.get("binaryData" if o["kind"] == "ConfigMap" else "data") or {}
            binary = {k: base64.b64decode(v.replace("\n", ""), validate=True) for k, v in encoded.items()}
            # stringData is laid over data when a Secret is written.
            text = {k: v.encode() for k, v in (o.get("stringData") or {}).items()}
            self.data[o["kind"], o["metadata"]["name"]] = ({**data, **binary, **text}, data)

    def files(self, kind, name):
        """Each key with its bytes, or None."""
        found = self.data.get((kind, name))
        return found[0] if found else None

    def variables(self, kind, name):
        """The same for an environment: binaryData of a ConfigMap does not count."""
        found = self.data.get((kind, name))
        return found[0 if kind == "Secret" else 1] if found else None


class Pod:
    """Who the pod is; what the downward API tells."""

    def __init__(self, name, namespace, uid, node, labels, annotations):
        self.name, self.namespace, self.uid, self.node = name, namespace, uid, node
        self.labels, self.annotations = labels, annotations

    def field(self, path):
        for field, values in (("metadata.labels", self.labels), ("metadata.annotations", self.annotations)):
            if path.startswith(field + "['"):
                return values.get(path[len(field) + 2:-2], "")
            if path == field:
                return "\n".join(f"{k}={json.dumps(v)}" for k, v in sorted(values.items()))
        return {"metadata.name": self.name, "metadata.namespace": self.namespace, "metadata.uid": self.uid,
                "spec.nodeName": self.node}[path]


# ---- the environment ----

def expand(text, lookup):
    """$(NAME) and $$; what is not known stays."""
    out, i = "", 0
    while i < len(text):
        if text[i] != "$" or i + 1 == len(text):
            out, i = out + text[i], i + 1
        elif text[i + 1] == "$":
            out, i = out + "$", i + 2
        elif text[i + 1] == "(" and ")" in text[i + 2:]:
            end = text.index(")", i + 2)
            name = text[i + 2:end]
            known = lookup(name)
            out, i = out + (f"$({name})" if known is None else known), end + 1
        else:
            out, i = out + text[i:i + 2], i + 2
    return out


def environment(container, objects, pod, service):
    made = {}
    for source in container.get("envFrom") or []:
        kind = "ConfigMap" if "configMapRef" in source else "Secret"
        ref = source["configMapRef" if kind == "ConfigMap" else "secretRef"]
        data = objects.variables(kind, ref["name"])
        if data is None:
            if ref.get("optional"):
                continue
            raise Missing(kind, ref["name"], None)
        made.update({source.get("prefix", "") + k: v.decode() for k, v in data.items()})
    for entry in container.get("env") or []:
        source = entry.get("valueFrom") or {}
        if entry.get("value"):
            value = expand(entry["value"], lambda name: made.get(name, service.get(name)))
        elif "fieldRef" in source:
            value = pod.field(source["fieldRef"]["fieldPath"])
        elif "configMapKeyRef" in source or "secretKeyRef" in source:
            kind = "ConfigMap" if "configMapKeyRef" in source else "Secret"
            ref = source["configMapKeyRef" if kind == "ConfigMap" else "secretKeyRef"]
            data = objects.variables(kind, ref["name"])
            if data is None or ref["key"] not in data:
                if ref.get("optional"):
                    continue
                raise Missing(kind, ref["name"], None if data is None else ref["key"])
            value = data[ref["key"]].decode()
        else:
            value = ""
        made[entry["name"]] = value
    return {**service, **made}


def probe_commands(container):
    """These see the env list as it is written, and nothing else."""
    static = {e["name"]: e.get("value", "") for e in container.get("env") or []}
    return {probe: [expand(part, static.get) for part in container[probe]["exec"]["command"]]
            for probe in ("livenessProbe", "readinessProbe", "startupProbe") if "exec" in container.get(probe, {})}


# ---- files ----

def chosen(kind, name, source, default_mode, objects):
    """(path, bytes, mode) of one ConfigMap or Secret."""
    data = objects.files(kind, name)
    if data is None:
        if not source.get("optional"):
            raise Missing(kind, name, None)
        data = {}
    if not source.get("items"):
        return [(k, v, default_mode) for k, v in data.items()]
    files = []
    for item in source["items"]:
        if item["key"] in data:
            files.append((item["path"], data[item["key"]], item.get("mode", default_mode)))
        elif not source.get("optional"):
            raise Missing(kind, name, item["key"])
    return files


def downward(source, default_mode, pod):
    return [(i["path"], pod.field(i["fieldRef"]["fieldPath"]).encode(), i.get("mode", default_mode))
            for i in source.get("items") or []]


def gathered(volume, objects, pod):
    if "configMap" in volume:
        source = volume["configMap"]
        return chosen("ConfigMap", source["name"], source, source.get("defaultMode", 0o644), objects)
    if "secret" in volume:
        source = volume["secret"]
        return chosen("Secret", source["secretName"], source, source.get("defaultMode", 0o644), objects)
    if "downwardAPI" in volume:
        return downward(volume["downwardAPI"], volume["downwardAPI"].get("defaultMode", 0o644), pod)
    files, mode = [], volume["projected"].get("defaultMode", 0o644)
    for source in volume["projected"].get("sources") or []:
        if "secret" in source:
            files += chosen("Secret", source["secret"]["name"], source["secret"], mode, objects)
        if "configMap" in source:
            files += chosen("ConfigMap", source["configMap"]["name"], source["configMap"], mode, objects)
        if "downwardAPI" in source:
            files += downward(source["downwardAPI"], mode, pod)
    return files


def made_tree(volume, objects, pod, group):
    """{path: (bytes, mode, group)} and {directory + "/": (None, mode, group)} of a volume that the kubelet makes."""
    tree, set_gid = {}, 0 if group is None else stat.S_ISGID
    for path, data, mode in gathered(volume, objects, pod):
        clean = posixpath.normpath(path)
        if clean == "." or any(len(p) > 255 for p in clean.split("/")):
            raise Impossible(path)
        tree[clean] = (data, mode | (0o440 if set_gid else 0), group)
    for path in list(tree):
        while "/" in path:
            path = posixpath.dirname(path)
            if path in tree:
                raise Impossible(path)
            tree[path + "/"] = (None, 0o755 | set_gid, group)
    return tree


def host_tree(directory, told_groups):
    """The same of a directory of the host, through its links; what starts with ".." is how it is made. told_groups:
    whether the files' groups matter."""
    tree = {}

    def look(path, name):
        st = os.stat(path)
        group = st.st_gid if told_groups else None
        if stat.S_ISDIR(st.st_mode):
            tree[name + "/"] = (None, stat.S_IMODE(st.st_mode), group)
            for inside in os.listdir(path):
                look(f"{path}/{inside}", f"{name}/{inside}")
        else:
            with open(path, "rb") as f:
                tree[name] = (f.read(), stat.S_IMODE(st.st_mode), group)

    for name in os.listdir(directory):
        if not name.startswith(".."):
            look(f"{directory}/{name}", name)
    return tree


def below(tree, path):
    """What a mount with a subPath shows: a directory's content, or {"": file}; a path that is not there is made, as an
    empty directory."""
    clean = posixpath.normpath(path or ".")
    if clean == ".":
        return tree
    if clean in tree:
        return {"": tree[clean]}
    return {p[len(clean) + 1:]: f for p, f in tree.items() if p.startswith(clean + "/") and p != clean + "/"}


# ---- all of it ----

def container_view(container, trees, env):
    mounts = {}
    for m in container.get("volumeMounts") or []:
        tree, read_only = trees[m["name"]]
        path = expand(m["subPathExpr"], env.get) if "subPathExpr" in m else m.get("subPath")
        mounts[m["mountPath"]] = (below(tree, path), read_only or m.get("readOnly", False))
    return {"env": env, "mounts": mounts, "probes": probe_commands(container),
            "command": [expand(c, env.get) for c in container.get("command") or []],
            "args": [expand(a, env.get) for a in container.get("args") or []],
            "lifecycle": container.get("lifecycle")}


def pod_view(spec, objects, pod, service=None, host_dir=None):
    """What each container sees, by its name. host_dir: the only directory of the host that is looked into; other
    hostPath volumes show nothing."""
    trees, group = {}, (spec.get("securityContext") or {}).get("fsGroup")
    for volume in spec.get("volumes") or []:
        made = any(kind in volume for kind in MADE_KINDS)
        path = volume.get("hostPath", {}).get("path", "")
        tree = made_tree(volume, objects, pod, group) if made else {}
        if host_dir and path.startswith(f"{host_dir}/"):
            assert volume["hostPath"]["type"] == "Directory" and stat.S_ISDIR(os.lstat(path).st_mode), path
            tree = host_tree(path, group is not None)
        trees[volume["name"]] = (tree, made)
    views = {}
    for container in (spec.get("initContainers") or []) + spec["containers"]:
        env = environment(container, objects, pod, service or {})
        views[container["name"]] = container_view(container, trees, env)
    return views


# ---- at random ----

IS_ROOT = os.geteuid() == 0


def config_map(name, data=None, namespace="kube-system", **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
            "data": data or {}, **more}


def secret(name, text=None, namespace="kube-system", **more):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "stringData": text or {}, **more}


class Random(random.Random):
    """Templates and objects, made at random: names are few, so that they meet."""
    KEYS = ["A", "B", "a", "b.conf", "KEY_1", "x-y", ".hidden", "p", "1"]
    MAPS = [f"map-{i}" for i in range(6)]
    SECRETS = [f"secret-{i}" for i in range(4)]
    TEXT_SECRETS = [f"text-{i}" for i in range(3)]  # fit for an environment
    PATHS = ["one", "p", "p/q", "p/r", "./s", "d//e", "f/", "d/g/./h", "p/..q", "B", "x" * 255]
    VARIABLES = ["A", "B", "C", "KEY_1", "P_A", "x-y", "1"]
    PIECES = ["$", "$$", "$(", ")", "(", "x", " ", "\u00fc", "\n", '"', "\\", "$(A)", "$(B)", "$(C)", "$(KEY_1)",
              "$(P_A)", "$(1)", "$(x-y)", "$(NONE)", "$(KUBERNETES_SERVICE_HOST)", "$()"]
    MODES = [0o400, 0o440, 0o444, 0o600, 0o640, 0o644, 0o755, 0o777] + ([0, 0o11, 0o222] if IS_ROOT else [])
    FIELDS = ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels['app']",
              "metadata.labels['none']", "metadata.annotations['note']"]
    GROUPS = [0, 4321] if IS_ROOT else [os.getgid()]

    def chance(self, share):
        return self.random() < share

    def some(self, what, least=0, most=4):
        return self.sample(what, min(len(what), self.randint(least, most)))

    def text(self):
        return "".join(self.choice(self.PIECES) for _ in range(self.choice([0, 1, 1, 2, 4, 9])))

    def encoded(self):
        data = base64.b64encode(self.randbytes(self.choice([0, 1, 2, 3, 60]))).decode()
        return data[:20] + "\n" + data[20:] if len(data) > 40 else data

    def objects(self):
        made = []
        for name in self.some(self.MAPS, 4, 6):
            keys = self.some(self.KEYS, 0, 6)
            binary = {k: self.encoded() for k in keys if self.chance(0.2)}
            made.append(config_map(name, {k: self.text() for k in keys if k not in binary},
                                   **({"binaryData": binary} if binary else {})))
        for name in self.some(self.SECRETS, 3, 4):
            made.append(secret(name, {k: self.text() for k in self.some(self.KEYS, 0, 2)},
                               data={k: self.encoded() for k in self.some(self.KEYS, 0, 4)}))
        for name in self.some(self.TEXT_SECRETS, 2, 3):
            data = {k: base64.b64encode(self.text().encode()).decode() for k in self.some(self.KEYS, 0, 4)}
            made.append(secret(name, {k: self.text() for k in self.some(self.KEYS, 0, 4)}, data=data))
        return made

    def optional(self):
        return {} if self.chance(0.15) else {"optional": self.chance(0.97)}

    def mode(self, field):
        return {field: self.choice(self.MODES)} if self.chance(0.3) else {}

    def source(self, name_field, names, paths):
        """A source of a volume. paths: those that are free, or None if one may come twice."""
        source = {name_field: self.choice(names), **self.optional()}
        if self.chance(0.5):
            source["items"] = []
            for key in self.some(self.KEYS, 1, 4):
                if paths is None:
                    path = self.choice(self.PATHS)
                elif paths:
                    path = paths.pop()
                else:
                    break
                source["items"].append({"key": key, "path": path, **self.mode("mode")})
        return source

    def downward(self, paths):
        fields = [*self.FIELDS, "metadata.labels"]
        return {"items": [{"path": paths.pop(), "fieldRef": {"fieldPath": self.choice(fields)}, **self.mode("mode")}
                          for _ in range(min(len(paths), self.randint(1, 2)))]}

    def volume(self, name):
        kind = self.choice(["configMap", "secret", "projected", "projected", "emptyDir", "downwardAPI"])
        if kind == "configMap":
            source = {**self.source("name", self.MAPS, None), **self.mode("defaultMode")}
        elif kind == "secret":
            source = {**self.source("secretName", self.SECRETS + self.TEXT_SECRETS, None), **self.mode("defaultMode")}
        elif kind == "downwardAPI":
            source = {**self.downward(list(self.PATHS)), **self.mode("defaultMode")}
        elif kind == "emptyDir":
            source = {}
        else:
            paths, source = self.sample(self.PATHS, len(self.PATHS)), {"sources": [], **self.mode("defaultMode")}
            for _ in range(self.randint(1, 4)):
                what = self.choice(["configMap", "configMap", "secret", "downwardAPI"])
                one = self.downward(paths) if what == "downwardAPI" else \
                    self.source("name", self.MAPS if what == "configMap" else self.SECRETS, paths)
                source["sources"].append({what: one})
        return {"name": name, kind: source}

    def entry(self):
        name, what = self.choice(self.VARIABLES), self.choice(["value", "value", "configMap", "secret", "field"])
        if what == "value":
            return {"name": name, **({"value": self.text()} if self.chance(0.9) else {})}
        if what == "field":
            path = self.choice([*self.FIELDS, "spec.nodeName"])
            return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        names = self.MAPS if what == "configMap" else self.TEXT_SECRETS
        ref = {"name": self.choice(names), "key": self.choice(self.KEYS), **self.optional()}
        return {"name": name, "valueFrom": {f"{what}KeyRef": ref}}

    def env_source(self):
        what = self.choice(["configMap", "secret"])
        ref = {"name": self.choice(self.MAPS if what == "configMap" else self.TEXT_SECRETS), **self.optional()}
        return {**({"prefix": self.choice(["P_", "p."])} if self.chance(0.4) else {}), f"{what}Ref": ref}

    def commands(self, n=3):
        return [self.text() or "x" for _ in range(self.randint(1, n))]

    def mount(self, volume, path):
        mount = {"name": volume, "mountPath": path}
        if self.chance(0.3):
            mount["readOnly"] = self.chance(0.5)
        if self.chance(0.2):
            mount["subPath"] = self.choice(self.KEYS + ["p", "p/q", "d", "d/g", "none/at/all", "./p/"])
        elif self.chance(0.1):
            mount["subPathExpr"] = "$(SUB)"
        return mount

    def container(self, name, volumes):
        made = {"name": name, "image": "registry.example.com/a:1", "args": self.commands()}
        if name == "init":
            made["restartPolicy"] = "Always"  # so that it may have probes
        made["env"] = [self.entry() for _ in range(self.choice([0, 1, 3, 8]))]
        made["env"].append({"name": "SUB", "value": self.choice(self.KEYS)})
        if self.chance(0.6):
            made["envFrom"] = [self.env_source() for _ in range(self.randint(1, 3))]
        if self.chance(0.5):
            made["command"] = self.commands()
        if self.chance(0.5):
            made["livenessProbe"] = {"exec": {"command": self.commands()}}
        if self.chance(0.3):
            made["lifecycle"] = {"preStop": {"exec": {"command": self.commands()}}}
        mounted = volumes + self.some(volumes, 0, 2)
        made["volumeMounts"] = [self.mount(v["name"], f"/m{i}") for i, v in enumerate(mounted)]
        return made

    def user(self, name):
        volumes = [self.volume(f"v{i}") for i in range(self.randint(0, 4))]
        spec = {"volumes": volumes, "containers": [self.container("main", volumes)]}
        if self.chance(0.4):
            spec["initContainers"] = [self.container("init", volumes)]
        if self.chance(0.3):
            spec["securityContext"] = {"fsGroup": self.choice(self.GROUPS)}
        made = daemonset(name, **spec)
        made["spec"]["template"]["metadata"]["annotations"] = {"note": "a note"}
        return made
