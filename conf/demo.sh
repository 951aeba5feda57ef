#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Usage: demo.sh DAEMONLET EXAMPLES DIR
# Runs the main job on the examples into a local directory, as an ordinary user.
set -eu
daemonlet=$1 examples=$2 dir=$3
umask 022
rm -rf "$dir"
mkdir -p "$dir/daemonsets.d" "$dir/manifests"
cp "$examples"/daemonsets.d/*.yaml "$dir/daemonsets.d/"
# A checkout may have been made under another umask; sources that others may write are refused.
chmod 0755 "$dir" "$dir/daemonsets.d" "$dir/manifests"
chmod 0644 "$dir"/daemonsets.d/*
dir=$(cd "$dir" && pwd)
cat >"$dir/daemonlet.conf" <<EOF
[kubelet]
manifest_dir = $dir/manifests
[daemonsets]
dir = $dir/daemonsets.d
[agent]
state_dir = $dir/state
runtime_dir = $dir/run
EOF
status=0
"$daemonlet" --config "$dir/daemonlet.conf" --node "$examples/node.yaml" sync || status=$?
# 1: some were refused, as the table says; anything else is a failure.
[ "$status" -le 1 ] || exit "$status"
echo
echo "$dir/manifests:"
ls -l "$dir/manifests"
