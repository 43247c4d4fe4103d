"""A workspace that is used from other mount namespaces (sandboxes) is busy: no stop and no unmount takes it away."""
from orchtest import *
from faults import Faults
from keeper_api import ask, create, drop, read, show, started

# Says "ready" and ends when its input does.
WAIT = "echo ready; read x"


def other_namespace(t, script, *argv):
    """A process in a mount namespace of its own, as that of a sandbox: private."""
    p = t.start(["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *argv],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
    t.eq(p.stdout.readline(), b"ready\n")
    return p


def end(p):
    p.communicate(timeout=20)


def group(t):
    """A control group that can be frozen, with nothing in it."""
    for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"):
        path = "%s/orch.busy.%d" % (place, os.getpid())
        with contextlib.suppress(OSError):
            os.mkdir(path)
            if any(os.path.exists(path + "/" + x) for x in ("cgroup.freeze", "freezer.state")):
                t.finally_(lambda: os.rmdir(path))
                return path
            os.rmdir(path)
    raise Failure("no place for a control group")


def register(t, d, path, **more):
    """A job that this process leads, if no other one is named."""
    return d.http("PUT", "/v1/workspaces/w/jobs/j", {"cgroup": [path], **more}).status


def refused(t, d, who):
    for method, path in ("POST", "/v1/workspaces/w/umount"), ("DELETE", "/v1/workspaces/w"):
        r = d.http(method, path, {} if method == "POST" else None)
        t.eq(r.status, 409, str(r))
        t.eq(r.json()["error"]["code"], "EBUSY")
        t.match(r.json()["error"]["message"], who)


def stays(t, d, w):
    """A stop and a start leave the mount to whom uses it."""
    t.eq(d.stop(), 0)
    d.start()
    t.eq(show(t, d, "w")["pid"], w["pid"])


@test(needs="fuse sandbox")
def a_stopped_keeper_leaves_commands_their_mount(t):
    d = started(t)
    w = create(t, d, "w")
    p = t.start(["orch-shim", "workspace", "exec", "w", "--", "sh", "-c", "echo > begun; sleep 4; echo made >> out"],
                env={"ORCH_SOCKET": d.socket}, stderr=subprocess.PIPE)
    wait_until(lambda: os.path.exists(w["path"] + "/begun"), what="the command")
    refused(t, d, r"job exec-\S+ \(pid %d\)" % p.pid)
    stays(t, d, w)
    _, err = p.communicate(timeout=60)
    t.eq((p.returncode, err), (0, b""))
    t.eq(read(w["path"] + "/out"), "made\n")
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})


@test(needs="fuse sandbox", timeout=180)
def a_build_outlives_its_keeper(t):
    d = started(t)
    out = t.path("out")
    p = t.start(["orch-shim", "build", "--source", t.tree({"a": "1"}), "--output-dir", out, "--output", "o=out", "--",
                 "sh", "-c", "echo run; while ! [ -e go ]; do sleep 0.1; done; echo made > out"],
                env={"ORCH_SOCKET": d.socket}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: os.path.exists(out + "/build.log") and os.path.getsize(out + "/build.log") > 0, timeout=60)
    w = ask(t, d, "GET", "/v1/workspaces")["workspaces"][0]
    t.eq(d.stop(), 0)
    time.sleep(3)  # a mount that nobody had open ended after two seconds
    d.start()
    with open(w["path"] + "/go", "w"):
        pass
    _, err = p.communicate(timeout=100)
    t.eq(p.returncode, 0, err.decode())
    t.eq(read(out + "/o/out"), "made\n")
    t.eq(ask(t, d, "GET", "/v1/workspaces")["workspaces"], [])


@test(needs="fuse root freezer")
def a_job_holds_the_mount_until_it_ends(t):
    d = started(t)
    w, g = create(t, d, "w"), group(t)
    t.eq(register(t, d, g), 200)
    refused(t, d, r"job j \(pid %d\)" % os.getpid())
    stays(t, d, w)
    ask(t, d, "DELETE", "/v1/workspaces/w/jobs/j")
    t.eq(ask(t, d, "POST", "/v1/workspaces/w/umount", {})["state"], "created")
    ask(t, d, "POST", "/v1/workspaces/w/mount")
    t.eq(register(t, d, g), 200)
    ask(t, d, "DELETE", "/v1/workspaces/w?force=1")


@test(needs="fuse root", timeout=240)
def a_sandbox_that_nobody_registered_holds_the_mount(t):
    d = started(t)
    place = t.dir("inside")
    for script in ('mount --bind "$1" "$2"; cd /; ' + WAIT,  # at another place, nothing of it in use
                   'mount --bind "$1" "$2"; umount -l "$1"; cd "$2"; ' + WAIT,
                   'cd "$1"; ' + WAIT,
                   'exec 3< "$1/a"; ' + WAIT,
                   'exec 3< "$1/d"; ' + WAIT,
                   """exec python3 -c 'import mmap, os, sys
f = open(sys.argv[1] + "/a")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
os.closerange(3, 100)
print("ready", flush=True)
sys.stdin.read()' "$1" """):
        w = create(t, d, "w")
        p = other_namespace(t, script, w["path"], place)
        refused(t, d, r"in use by \S+ \(pid %d\)" % p.pid)
        stays(t, d, w)
        t.eq(read(w["path"] + "/a"), "one")
        end(p)
        ask(t, d, "POST", "/v1/workspaces/w/umount", {})
        drop(t, d, "w")


@test(needs="fuse root")
def a_stop_waits_for_sandboxes(t):
    d = started(t)
    w = create(t, d, "w")
    p = other_namespace(t, 'mount --bind "$1" "$2"; %s; cat "$2/a"' % WAIT, w["path"], t.dir("inside"))
    done = []
    x = threading.Thread(target=lambda: done.append(d.http("POST", "/v1/daemon/stop").status))
    x.start()
    time.sleep(3)
    t.eq((done, d.process.poll()), ([], None))
    t.eq(p.communicate(b"\n", timeout=20)[0], b"one")
    x.join()
    t.eq((done, d.process.wait(20)), ([200], 0))
    d.process = None


@test(needs="fuse root")
def a_copy_that_nobody_is_in_does_not_hold_it(t):
    d = started(t)
    w = create(t, d, "w")
    for script in (WAIT, 'mount --rbind / "$1"; ' + WAIT):  # of the whole tree, as while a sandbox is made
        p = other_namespace(t, script, t.dir("tree" + script[:1]))
        t.eq(ask(t, d, "POST", "/v1/workspaces/w/umount", {})["state"], "created")
        t.ok(not os.path.exists("/proc/%d" % w["pid"]), "the mount process has ended")
        end(p)
        w = ask(t, d, "POST", "/v1/workspaces/w/mount")


@test(needs="fuse root")
def what_is_detached_ends_with_its_last_user(t):
    d = started(t)
    w = create(t, d, "w")
    p = other_namespace(t, 'cd "$1"; %s; cat a' % WAIT, w["path"])
    t.eq(ask(t, d, "POST", "/v1/workspaces/w/umount", {"lazy": True})["state"], "mounted")
    refused(t, d, r"in use by sh \(pid %d\)" % p.pid)
    time.sleep(3)
    t.eq(p.communicate(b"\n", timeout=20)[0], b"one")
    wait_until(lambda: show(t, d, "w")["state"] == "created", what="the end of the mount process")


@test(needs="fuse root freezer faults")
def a_job_that_could_not_be_replaced_is_as_it_was(t):
    f = Faults(t, "orch-fsd")
    d = started(t, env=f.env)
    create(t, d, "w")
    g = group(t)
    t.eq(register(t, d, g), 200)
    other = t.start(["sleep", "1000"])
    d.allow_errors("job|record|database|write|sync")
    f.arm("fsync", 1, on=True)
    status = register(t, d, g, pid=other.pid)
    t.ok(f.disarm() > 0 and status >= 500, "status %d" % status)
    t.eq(show(t, d, "w")["jobs"], [{"id": "j", "pid": os.getpid()}])
    d.kill()
    d.start()
    t.eq(show(t, d, "w")["jobs"], [{"id": "j", "pid": os.getpid()}])


main()
