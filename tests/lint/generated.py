#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Texts that come from tables in the source are as the tables say. With --update they are written anew."""
import os, pathlib, re, subprocess, sys

root = pathlib.Path(os.environ.get("srcdir", "."))
gendoc = pathlib.Path(os.environ.get("builddir", ".")) / "tests" / "gendoc"
update = "--update" in sys.argv


def region(path, mark, text):
    old = (root / path).read_text()
    pattern = re.compile(rf'(\.\\" {mark}: begin \(generated\)\n).*?(\.\\" {mark}: end\n)', re.S)
    assert pattern.search(old), f"{path} has no region {mark}"
    return path, old, pattern.sub(lambda m: m.group(1) + text + m.group(2), old)


def generate(what):
    return subprocess.run([gendoc, what], check=True, capture_output=True, text=True).stdout


if not update and os.environ.get("sysconfdir", "/etc") != "/etc":
    # The texts in the tree show the paths of a usual installation; this build has others.
    sys.exit(77)
sample = root / "conf/daemonlet.conf"
texts = [("conf/daemonlet.conf", sample.read_text() if sample.exists() else "", generate("sample")),
         region("man/daemonlet.conf.5", "keys", generate("config")),
         region("man/daemonlet.8", "reasons", generate("reasons"))]
status = 0
for path, old, new in texts:
    if old == new:
        continue
    if update:
        (root / path).write_text(new)
        print("wrote", path)
    else:
        print(f"{path} is not what the tables say; run tests/lint/generated.py --update", file=sys.stderr)
        status = 1
sys.exit(status)
