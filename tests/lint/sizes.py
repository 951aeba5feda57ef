#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A file that passes 500 lines or a function that passes 60 asks for a seam."""
import os, pathlib, re, sys

root = pathlib.Path(os.environ.get("srcdir", "."))
bad = []
for path in sorted(root.glob("src/*/*.[ch]")):
    if path.name == "schema_table.c":
        continue
    lines = path.read_text().splitlines()
    if len(lines) > 500:
        bad.append(f"{path}: {len(lines)} lines")
    start = None
    for number, line in enumerate(lines, 1):
        if start is None and re.match(r"^[a-z_].*[^;]$", line) and line.rstrip().endswith("{") and "(" in line:
            start = number
        elif start is None and line.rstrip().endswith(") {") and line.startswith(" "):
            # The last line of a signature that was wrapped.
            if number > 1 and re.match(r"^[a-z_].*\($|^[a-z_].*,$", lines[number - 2]):
                start = number - 1
        elif line == "}" and start is not None:
            if number - start - 1 > 60:
                bad.append(f"{path}:{start}: a function of {number - start - 1} lines")
            start = None
for b in bad:
    print("sizes:", b, file=sys.stderr)
sys.exit(1 if bad else 0)
