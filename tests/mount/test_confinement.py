#!/usr/bin/env python3
"""What the process of a mount may do: its capabilities, its list of system calls, and who unmounts when it can't."""
import signal

from keeper_api import *
from orchtest import *

PTRACE_AND_OVERRIDE, ADMIN = 1 << 19 | 1 << 1, 1 << 21

with open(os.path.join(BUILD, "Makefile")) as makefile:
    SANITIZED = re.search(r"-fsanitize=[\w,]*(address|thread)", makefile.read())  # such a build needs more system calls


def status(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def confined(t, pid, capabilities):
    s = status(pid)
    for key in "CapPrm", "CapEff", "CapBnd":
        t.eq("%s %x" % (key, int(s[key], 16)), "%s %x" % (key, capabilities))
    for key in "CapInh", "CapAmb":
        t.eq(int(s[key], 16), 0, key)
    for task in os.listdir("/proc/%d/task" % pid):  # threads have what they were started with
        t.eq(int(status(int(task))["CapEff"], 16), capabilities)
    if not SANITIZED:
        t.eq((s["NoNewPrivs"], s["Seccomp"]), ("1", "2"))


def use(t, path):
    with open(path + "/new", "w") as f:
        f.write("x")
    os.mkdir(path + "/folder")
    t.eq(sorted(os.listdir(path)), ["a", "d", "folder", "new"])


@test(needs="fuse root passthrough")
def with_passthrough(t):
    d = started(t)
    w = create(t, d, "w")
    confined(t, w["pid"], PTRACE_AND_OVERRIDE | ADMIN)
    use(t, w["path"])
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})


@test(needs="fuse root")
def without_passthrough_the_keeper_unmounts(t):
    d = started(t)
    w = create(t, d, "w", passthrough=False)
    confined(t, w["pid"], PTRACE_AND_OVERRIDE)
    use(t, w["path"])
    with open(w["path"] + "/new") as f:
        r = ask(t, d, "POST", "/v1/workspaces/w/umount", {}, status=409, code="EBUSY")
        t.match(r["error"]["message"], r"busy: in use by \S+ \(pid %d\)" % os.getpid())
        time.sleep(2.5)  # longer than a mount process waits that was told to end
        t.eq(f.read(), "x")
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    t.eq((mounts_below(d.mounts), d.pids("orch-mount")), ([], []))
    w = ask(t, d, "POST", "/v1/workspaces/w/mount", {})
    with open(w["path"] + "/new") as f:
        ask(t, d, "POST", "/v1/workspaces/w/umount", {"lazy": True})
        t.eq((f.read(), mounts_below(d.mounts)), ("x", []))
    wait_until(lambda: not d.pids("orch-mount"), what="the end of the last user")
    drop(t, d, "w")
    t.eq(d.stop(), 0)


@test(needs="fuse root")
def told_to_end_without_the_right_to_unmount(t):
    """The keeper takes the mount away, and nothing that was written is lost."""
    d = started(t)
    w = create(t, d, "w", passthrough=False)
    use(t, w["path"])
    os.kill(w["pid"], signal.SIGTERM)
    wait_until(lambda: ask(t, d, "GET", "/v1/workspaces/w")["state"] == "created", what="the end")
    t.match(ask(t, d, "GET", "/v1/workspaces/w")["error"], r"the mount process \(pid %d\) ended" % w["pid"])
    t.eq(mounts_below(d.mounts), [])
    w = ask(t, d, "POST", "/v1/workspaces/w/mount", {})
    t.eq(sorted(os.listdir(w["path"])), ["a", "d", "folder", "new"])
    drop(t, d, "w")
    t.eq(d.stop(), 0)


@test(needs="fuse root")
def a_mount_that_fails_leaves_nothing(t):
    """It is mounted before its layer is read; a layer that can't be read takes the mount away again."""
    d = started(t)
    w = create(t, d, "w", passthrough=False)
    use(t, w["path"])
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    layer = ask(t, d, "GET", "/v1/workspaces/w")["layer"]
    log = "%s/layers/%s/log.1" % (d.store, layer)
    with open(log, "r+b") as f:
        head = f.read(64)
        f.seek(0)
        f.write(b"\xff" * 64)
    r = ask(t, d, "POST", "/v1/workspaces/w/mount", {}, status=500)
    t.eq((mounts_below(d.mounts), d.pids("orch-mount")), ([], []), r)
    with open(log, "r+b") as f:
        f.write(head)
    w = ask(t, d, "POST", "/v1/workspaces/w/mount", {})
    t.eq(sorted(os.listdir(w["path"])), ["a", "d", "folder", "new"])
    drop(t, d, "w")


main()
