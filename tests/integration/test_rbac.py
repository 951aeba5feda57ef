#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""daemonlet rbac: what it prints, what it says, and when it prints nothing."""
import json, subprocess

from host import DAEMONLET, SRC, Host, daemonset, main

STATIC = {"labels": {"daemonlet.io/mode": "static"}}


def agent(name, namespace="kube-system", meta=STATIC, **spec):
    return daemonset(name, namespace, meta=meta, **spec)


class Rbac(Host):
    def file(self, name, *objects):
        path = self.dir / name
        path.write_text("\n".join(json.dumps(o) for o in objects))
        return path

    def rbac(self, *args, status=0, node=False, **kw):
        p = self.run_("rbac", *args, node=node, **kw)
        self.assertEqual(p.returncode, status, p.stderr)
        self.stderr = p.stderr
        return p.stdout

    def rules(self, *args, **kw):
        """The rules by "Kind namespace/name" and resource: their names."""
        tree = json.loads(self.rbac("-o", "json", *args, **kw))
        self.assertEqual((tree["apiVersion"], tree["kind"]), ("v1", "List"))
        self.items = tree["items"]
        return {(f'{o["kind"]} {o["metadata"].get("namespace", "")}/{o["metadata"]["name"]}', r["resources"][0]):
                r.get("resourceNames") for o in self.items if "rules" in o for r in o["rules"]}

    def volumes(self, **kinds):
        return [{"name": k.lower(), k: v} for k, v in kinds.items()]

    def test_rules(self):
        f = self.file("a.json", agent("one", volumes=self.volumes(configMap={"name": "cm"}, secret={"secretName": "s"})))
        g = self.file("b.json", agent("two", volumes=self.volumes(configMap={"name": "other"})))
        want = {("ClusterRole /daemonlet-node", "namespaces"): ["kube-system"],
                ("Role kube-system/daemonlet-daemonsets", "daemonsets"): None,
                ("Role kube-system/daemonlet-daemonsets", "pods"): None,
                ("Role kube-system/daemonlet-objects", "configmaps"): ["cm", "other"],
                ("Role kube-system/daemonlet-objects", "secrets"): ["s"]}
        self.assertEqual(self.rules(f, g), want)
        self.assertEqual(self.stderr, "")
        self.assertEqual({o["kind"] for o in self.items}, {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})
        self.assertEqual(self.rbac(f, g), self.rbac(g, f))
        self.assertEqual(self.rbac(f, g), self.rbac(f, g, "-o", "yaml"))
        self.assertEqual(self.rules(self.sources.parent / "a.json", g, f), want, "the same file twice")

    def test_yaml_is_the_same_as_json(self):
        f = self.file("a.json", agent("one", volumes=self.volumes(configMap={"name": "cm"})))
        self.rules(f)
        text = self.rbac(f)
        documents = text.split("---\n")
        self.assertTrue(all(line.startswith("# ") for line in documents[0].splitlines()), documents[0])
        self.assertIn("1 DaemonSet.", documents[0])
        self.assertEqual(len(documents) - 1, len(self.items))
        for document, item in zip(documents[1:], self.items):
            self.assertIn(f'\nkind: {item["kind"]}\n', document)
            self.assertIn(f'\n  name: {item["metadata"]["name"]}\n', document)

    def test_node(self):
        f = self.file("a.json", agent("one"))
        text = self.rbac(f)
        self.assertIn("conf/rbac.yaml", text)
        self.assertNotIn("- nodes\n", text)
        self.configure(node={"name": "this-host"})
        self.assertNotIn("this-host", self.rbac(f), "the host's name is no matter")
        text = self.rbac(f, node=True)
        self.assertNotIn("conf/rbac.yaml", text)
        rules = self.rules(f, node=True)
        self.assertEqual(rules[("ClusterRole /daemonlet-node-node-1", "nodes")], ["node-1"])
        subjects = [o["subjects"] for o in self.items if o["metadata"]["name"] == "daemonlet-node-node-1" and
                    "subjects" in o]
        self.assertEqual([[(s["kind"], s["name"]) for s in list_] for list_ in subjects], [[("User", "daemonlet:node-1")]])

    def test_tokens(self):
        f = self.file("a.json", agent("one", serviceAccountName="acc"), agent("two", "logging", serviceAccountName="b"))
        text = self.rbac(f)
        comments = text.split("---\n")[0]
        self.assertIn("[api] tokens = no", comments)
        self.assertIn("kube-system/acc, logging/b.", comments)
        self.assertNotIn("serviceaccounts", text.split("---\n", 1)[1])
        self.assertNotIn(("Role kube-system/daemonlet-objects", "configmaps"), self.rules(f))
        self.assertIn("kube-system/acc, logging/b", self.stderr, "JSON has no comments")
        self.rules("-q", f)
        self.assertEqual(self.stderr, "")
        self.configure(api={"tokens": "yes"})
        self.assertNotIn("[api] tokens", self.rbac(f).split("---\n")[0])
        rules = self.rules(f)
        self.assertNotIn("acc", self.stderr)
        self.assertEqual(rules[("Role kube-system/daemonlet-objects", "serviceaccounts/token")], ["acc"])
        self.assertEqual(rules[("Role kube-system/daemonlet-objects", "configmaps")], ["kube-root-ca.crt"])
        self.assertEqual(rules[("Role logging/daemonlet-objects", "serviceaccounts/token")], ["b"])
        verbs = {r["resources"][0]: r["verbs"] for o in self.items for r in o.get("rules", [])}
        self.assertEqual(verbs["serviceaccounts/token"], ["create"])

    def test_without_accounts_nothing_is_said_of_them(self):
        f = self.file("a.json", agent("one"))
        self.assertNotIn("With yes", self.rbac(f))
        self.rules(f)
        self.assertEqual(self.stderr, "")

    def test_warnings(self):
        f = self.file("a.json", agent("one", meta={}), agent("two", "logging"))
        self.assertIn(("Role logging/daemonlet-daemonsets", "daemonsets"), self.rules(f))
        lines = self.stderr.splitlines()
        self.assertEqual(len(lines), 2, self.stderr)
        self.assertIn("warning: kube-system/one", lines[0])
        self.assertIn("daemonlet.io/mode=static", lines[0])
        self.assertIn("warning: logging/two", lines[1])
        self.assertIn("[api] namespaces (kube-system)", lines[1])
        self.rbac("-q", f)
        self.assertEqual(self.stderr, "")
        self.configure(api={"namespaces": "logging,kube-system"})
        self.rbac(self.file("b.json", agent("two", "logging"), agent("one")))
        self.assertEqual(self.stderr, "")

    def test_nothing_is_printed_of_half_a_set(self):
        good = self.file("a.json", agent("one"))
        broken = agent("two")
        del broken["spec"]["selector"]
        for name, bad in (("invalid", self.file("b.json", broken)), ("missing", self.dir / "missing.json"),
                          ("twice", self.file("c.json", agent("one", image="registry.example.com/b:2")))):
            with self.subTest(name):
                self.assertEqual(self.rbac(good, bad, status=1), "")
                self.assertIn("nothing is printed", self.stderr)
        self.assertEqual(self.rbac(bad, good, "-o", "json", status=1), "")
        unknown = self.file("d.json", agent("three", nodeSelectr={}))
        self.rbac(unknown)
        self.assertEqual(self.rbac("--strict", unknown, status=1), "")

    def test_what_cannot_be_a_static_pod(self):
        refs = self.volumes(persistentVolumeClaim={"claimName": "c"}, secret={"secretName": "s"})
        f = self.file("a.json", agent("one", volumes=refs), agent("two", volumes=self.volumes(configMap={"name": "cm"})))
        rules = self.rules(f, status=1)
        self.assertEqual(rules[("Role kube-system/daemonlet-objects", "configmaps")], ["cm"])
        self.assertNotIn(("Role kube-system/daemonlet-objects", "secrets"), rules)
        self.assertIn("kube-system/one: UnsupportedVolume: ", self.stderr)

    def test_secrets_in_the_environment_as_configured(self):
        o = agent("one")
        o["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "s"}}]
        f = self.file("a.json", o)
        self.rules(f, status=1)
        self.assertIn("SecretInEnv", self.stderr)
        self.configure(pods={"secret_env": "inline"})
        self.assertEqual(self.rules(f)[("Role kube-system/daemonlet-objects", "secrets")], ["s"])

    def test_no_daemonset(self):
        f = self.file("a.json", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
        self.assertEqual(list(self.rules(f)), [("ClusterRole /daemonlet-node", "namespaces")])
        self.assertIn("no DaemonSet", self.stderr)

    def test_standard_input_and_directories(self):
        text = json.dumps(agent("one"))
        want = self.rbac(self.file("a.json", agent("one")))
        self.assertEqual(self.rbac("-", input=text), want)
        self.source("x.json", agent("one"))
        self.assertEqual(self.rbac(self.sources), want)

    def test_usage(self):
        for args, message in (([], "needs at least one argument"), (["-o", "table", "x"], 'no output format "table"'),
                              (["--upstream", "x"], "takes no --upstream"), (["--dry-run", "x"], "takes no --dry-run")):
            self.rbac(*args, status=64)
            self.assertIn(message, self.stderr)
        self.conf.write_text("[api]\ntokens = perhaps\n")
        self.assertEqual(self.rbac(self.file("a.json", agent("one")), status=78), "")

    def test_full_output_device(self):
        f = self.file("a.json", agent("one"))
        for format in ("yaml", "json"):
            with open("/dev/full", "w") as full:
                p = subprocess.run([DAEMONLET, "--config", self.conf, "rbac", "-o", format, f], stdout=full,
                                   stderr=subprocess.PIPE, text=True)
            self.assertEqual(p.returncode, 74, p.stderr)

    def test_the_file_to_begin_with(self):
        """conf/rbac.yaml has the same objects, so that one never takes back what the other says."""
        text = (SRC / "conf" / "rbac.yaml").read_text()
        documents = text.split("\n\n", 1)[1].split("---\n")
        got = ["".join(line + "\n" for line in d.splitlines() if not line.startswith("#")) for d in documents]
        self.assertEqual(got, self.rbac(self.file("a.json", agent("one"))).split("---\n")[1:])


if __name__ == "__main__":
    main()
