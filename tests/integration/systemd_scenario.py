# SPDX-License-Identifier: Apache-2.0
"""The installed unit. Runs as root in a container of test_systemd.py, under a real systemd: each step that passes or
fails is a line of /results/steps. The steps build on one another."""
import contextlib, json, os, pathlib, pwd, shutil, signal, stat, subprocess, sys, time, traceback

UNIT, DAEMONLET, CONF = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]) / "daemonlet"
KUBERNETES = pathlib.Path("/etc/kubernetes")
MANIFESTS = KUBERNETES / "static"
SECONDS = 60  # nothing here takes that long unless it is broken
END = time.monotonic() + 400  # a step may begin until then


def run(*command, status=0):
    p = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert status is None or p.returncode == status, f"{command}: {p.returncode}\n{p.stdout}{p.stderr}"
    return p.stdout + p.stderr


def show(name, unit="daemonlet"):
    return run("systemctl", "show", "--value", "-p", name, unit).strip()


def main_pid():
    return int(show("MainPID"))


def until(condition, what=""):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # a file that may come
            if condition():
                return
        time.sleep(0.02)
    raise AssertionError(f"not within {SECONDS} s: {what or condition.__doc__}\n"
                         + run("systemctl", "status", "daemonlet", status=None))


def manifest(name):
    return MANIFESTS / f"daemonlet_kube-system_{name}.json"


def stands(name):
    try:
        return json.loads(manifest(name).read_text())["metadata"]["name"] == name
    except FileNotFoundError:
        return False


def is_running():
    return (show("ActiveState"), show("SubState")) == ("active", "running")


def is_well():
    return is_running() and subprocess.run([DAEMONLET, "status"], capture_output=True).returncode == 0


def write(path, text):
    """As an editor: a new file, renamed over."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(".new").write_text(text)
    path.with_name(".new").rename(path)


def source(name, **spec):
    write(CONF / "daemonsets.d" / f"{name}.json", json.dumps({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": {"app": name}},
                 "template": {"metadata": {"labels": {"app": name}},
                              "spec": {"containers": [{"name": "main", "image": "example.com/a:1"}], **spec}}}}))


def kubelet(*flags):
    """A process that is called kubelet; where its configuration is tells only its working directory."""
    write("/run/systemd/system/kubelet.service", f"""
[Service]
WorkingDirectory=/srv/kubelet
ExecStart=@{sys.executable} kubelet -S -c 'import signal; signal.pause()' --config=own.yaml \
--hostname-override=node-1 {' '.join(flags)}
""")
    run("systemctl", "daemon-reload")


def remove_tree(path):
    """The agent puts back what is removed, until the directory itself is gone."""
    until(lambda: shutil.rmtree(path, ignore_errors=True) or not path.exists(), f"{path} is gone")


def fields_of_process(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


# ---- steps, in their order ----

def unit_is_valid():
    assert run("systemd-analyze", "verify", "--man=no", UNIT) == ""


def enabling_starts_it_at_boot():
    run("systemctl", "enable", UNIT)
    assert run("systemctl", "is-enabled", "daemonlet").strip() == "enabled"
    assert "daemonlet.service" in show("Wants", "multi-user.target").split()


def start_is_ready_when_the_manifest_stands():
    source("one")
    write("/srv/kubelet/own.yaml", f"kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n"
                                   f"staticPodPath: {MANIFESTS}\n")
    MANIFESTS.mkdir(parents=True)
    kubelet()
    run("systemctl", "start", "kubelet")
    run("systemctl", "start", "daemonlet")
    assert is_running()
    assert stands("one")


def status_text_is_shown():
    text = show("StatusText")
    assert text, "no status text"
    assert f'Status: "{text}"' in run("systemctl", "status", "daemonlet")


def directories_have_their_modes():
    assert stat.S_IMODE(pathlib.Path("/run/daemonlet").stat().st_mode) == 0o755
    assert stat.S_IMODE(pathlib.Path("/run/daemonlet/status.json").stat().st_mode) == 0o644
    assert stat.S_IMODE(pathlib.Path("/var/lib/daemonlet").stat().st_mode) == 0o700


def anybody_may_ask_for_the_status():
    out = run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", DAEMONLET, "status", "-o", "tsv")
    assert out.startswith("kube-system/one\t"), out


def sandbox_holds():
    pid = str(main_pid())
    for path, writable in ((MANIFESTS, True), ("/var/lib/daemonlet", True), ("/run/daemonlet", True),
                           (CONF / "daemonsets.d", False), ("/etc", False), ("/usr", False), ("/var/lib", False),
                           ("/run", False), ("/root", False), ("/sys/fs/cgroup/systemd", False),
                           ("/sys/fs/cgroup/unified", False), ("/sys/fs/cgroup", False)):
        test = subprocess.run(["nsenter", "-t", pid, "-m", "test", "-w", path])
        assert (test.returncode == 0) == writable, f"{path} is {'not ' if writable else ''}writable"
    fields = fields_of_process(pid)
    assert fields["NoNewPrivs"] == "1", fields
    # The container has filters of its own.
    assert int(fields["Seccomp_filters"]) > int(fields_of_process("self")["Seccomp_filters"]), fields
    # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SYS_PTRACE
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 1 << 0 | 1 << 1 | 1 << 19, fields
    assert set(show("RestrictAddressFamilies").split()) == {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}


def a_new_source_is_seen():
    source("two")
    until(lambda: stands("two"), "two.json is seen")


def reload_rereads_the_kubelet():
    source("labelled", nodeSelector={"rack": "r1"})
    kubelet("--node-labels=rack=r1")
    run("systemctl", "restart", "kubelet")
    pid = main_pid()
    run("systemctl", "reload", "daemonlet")
    until(lambda: stands("labelled"), "the kubelet's new label is seen")
    until(is_running, "the reload ends")
    assert main_pid() == pid


def an_api_server_is_followed():
    """Names, TLS and the resolver's threads, all within the sandbox."""
    from apiserver import ApiServer
    with ApiServer("/srv") as server:
        server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
        server.apply({"apiVersion": "apps/v1", "kind": "DaemonSet",
                      "metadata": {"name": "cluster", "namespace": "kube-system", "labels": {"daemonlet.io/mode": "static"}},
                      "spec": {"selector": {"matchLabels": {"app": "cluster"}},
                               "template": {"metadata": {"labels": {"app": "cluster"}},
                                            "spec": {"nodeSelector": {"daemonlet.io/static": ""},
                                                     "containers": [{"name": "main", "image": "example.com/a:1"}]}}}})
        server.kubeconfig(CONF / "kubeconfig", server=server.url.replace("127.0.0.1", "localhost"))
        run("systemctl", "reload", "daemonlet")
        until(lambda: stands("cluster"), "the server's DaemonSet")
        server.delete("DaemonSet", "kube-system", "cluster")
        until(lambda: not manifest("cluster").exists(), "it is gone")
    assert is_running()


def damage_is_repaired():
    before = manifest("one").read_text()
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(manifest("one"), nobody, -1)
    until(lambda: manifest("one").stat().st_uid == 0, "the owner is put right")
    manifest("one").unlink()
    until(lambda: stands("one"), "the deleted manifest is back")
    # What a stranger owns and nobody else may read.
    manifest("one").unlink()
    until(lambda: stands("one"))
    other = MANIFESTS / "copy.json"
    shutil.copy(manifest("one"), other.with_name(".copy"))
    os.chown(other.with_name(".copy"), nobody, -1)
    other.with_name(".copy").chmod(0o600)
    other.with_name(".copy").rename(other)
    until(lambda: not other.exists(), "the copy of a stranger is quarantined")
    assert manifest("one").read_text() == before


def manifest_directory_is_made_again():
    for _ in range(2):
        remove_tree(MANIFESTS)
        MANIFESTS.mkdir()
        until(lambda: stands("one") and stands("two"), "manifests are in the new directory")
    until(is_well, "all is well again")


def manifest_directory_is_mounted_over():
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", MANIFESTS)
    until(lambda: stands("one") and stands("two"), "manifests are in what was mounted")
    # The agent keeps the directory open, as the kubelet's watch does not.
    run("umount", "--lazy", MANIFESTS)
    manifest("one").unlink()
    until(lambda: stands("one"), "the directory below is looked after again")
    until(is_well, "all is well again")


def parent_of_the_manifest_directory_is_made_again():
    remove_tree(KUBERNETES)
    MANIFESTS.mkdir(parents=True)
    until(lambda: stands("one") and stands("two"), "manifests are in the new directory")
    until(is_well, "all is well again")


def crash_is_restarted_and_touches_nothing():
    before, inode, restarts = main_pid(), manifest("one").stat().st_ino, int(show("NRestarts"))
    os.kill(before, signal.SIGSEGV)
    until(lambda: is_running() and main_pid() not in (0, before), "a new process runs")
    assert int(show("NRestarts")) == restarts + 1
    assert manifest("one").stat().st_ino == inode


def hanging_is_ended_by_the_watchdog():
    drop_in = "/run/systemd/system/daemonlet.service.d/watchdog.conf"
    write(drop_in, "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "daemonlet")
    before = main_pid()
    os.kill(before, signal.SIGSTOP)
    until(lambda: is_running() and main_pid() not in (0, before), "a new process runs")
    until(lambda: "Watchdog timeout" in run("journalctl", "-b", "_PID=1", "-u", "daemonlet"), "it is told")
    # Two seconds are little on a busy machine, and no matter of the steps below.
    write(drop_in, "[Service]\nRestartSec=100ms\n")
    run("systemctl", "daemon-reload")


def a_stray_sigterm_does_not_end_it():
    before = main_pid()
    os.kill(before, signal.SIGTERM)
    until(lambda: is_running() and main_pid() not in (0, before), "a new process runs")


def it_may_be_there_before_kubernetes_is():
    run("systemctl", "stop", "daemonlet")
    remove_tree(KUBERNETES)
    run("systemctl", "start", "daemonlet")
    pid = main_pid()
    MANIFESTS.mkdir()
    until(lambda: stands("one") and stands("two"), "manifests are in the new directory")
    assert main_pid() == pid


def a_wrong_configuration_does_not_stop_the_kubelet():
    drop_in = CONF / "daemonlet.conf.d" / "wrong.conf"
    run("systemctl", "stop", "daemonlet", "kubelet")
    write(drop_in, "[node]\nnonsense = 1\n")
    run("systemctl", "start", "--no-block", "daemonlet", "kubelet")
    until(lambda: show("ActiveState", "kubelet") == "active", "the kubelet runs")
    assert not is_running()
    drop_in.unlink()
    until(is_running, "it starts when the configuration is right")


def manifests_stand_before_the_kubelet_starts():
    run("systemctl", "stop", "daemonlet", "kubelet")
    run("systemctl", "start", "daemonlet", "kubelet")
    ready = int(show("ActiveEnterTimestampMonotonic"))
    kubelet_starts = int(show("InactiveExitTimestampMonotonic", "kubelet"))
    assert 0 < ready <= kubelet_starts, (ready, kubelet_starts)


def stop_leaves_the_manifests():
    inode = manifest("one").stat().st_ino
    run("systemctl", "stop", "daemonlet")
    assert show("Result") == "success" and show("ActiveState") == "inactive"
    assert stands("one") and stands("two") and manifest("one").stat().st_ino == inode
    assert not pathlib.Path("/run/daemonlet").exists()
    run(DAEMONLET, "status", status=3)


def journal_has_the_fields():
    out = run("journalctl", "-b", "-u", "daemonlet", "-o", "json", "SYSLOG_IDENTIFIER=daemonlet")
    entries = [json.loads(line) for line in out.splitlines()]
    of_one = [e for e in entries if e.get("DAEMONSET") == "kube-system/one" and e.get("NODE") == "node-1"]
    assert any(e["PRIORITY"] == "5" and "create" in e["MESSAGE"] for e in of_one), out


def journal_explains_the_messages():
    run("journalctl", "--update-catalog")
    ids = {e.get("MESSAGE_ID") for e in map(json.loads, run(
        "journalctl", "-b", "-u", "daemonlet", "-o", "json", "SYSLOG_IDENTIFIER=daemonlet").splitlines())}
    assert len(ids - {None}) >= 4, ids
    for message_id in ids - {None}:
        assert "Defined-By: daemonlet" in run("journalctl", "--dump-catalog", message_id), message_id


STEPS = [unit_is_valid, enabling_starts_it_at_boot, start_is_ready_when_the_manifest_stands, status_text_is_shown,
         directories_have_their_modes, anybody_may_ask_for_the_status, sandbox_holds, a_new_source_is_seen,
         reload_rereads_the_kubelet, damage_is_repaired, manifest_directory_is_made_again,
         manifest_directory_is_mounted_over, parent_of_the_manifest_directory_is_made_again,
         crash_is_restarted_and_touches_nothing, hanging_is_ended_by_the_watchdog, a_stray_sigterm_does_not_end_it,
         it_may_be_there_before_kubernetes_is, a_wrong_configuration_does_not_stop_the_kubelet,
         manifests_stand_before_the_kubelet_starts, an_api_server_is_followed, stop_leaves_the_manifests, journal_has_the_fields,
         journal_explains_the_messages]


def run_steps(steps):
    with open("/results/steps", "w", buffering=1) as results:
        for step in steps:
            began, error = time.monotonic(), None
            try:
                assert began < END, "not run: the steps before took too long"
                step()
            except Exception:
                error = traceback.format_exc()
            seconds = time.monotonic() - began
            print(json.dumps({"step": step.__name__, "error": error, "seconds": seconds}), file=results)
    with open("/results/journal", "w") as journal:
        subprocess.run(["journalctl", "-b", "-u", "daemonlet", "-o", "short-monotonic", "--no-pager"], stdout=journal)


if __name__ == "__main__":
    run_steps(STEPS)
