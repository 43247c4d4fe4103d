"""Upgrades, ends and starts of the keeper under load, and what it does when its surroundings change."""
from orchtest import *
import orchtest
import socket

UPGRADES = int(os.environ.get("ORCH_UPGRADES", "6"))
CYCLES = int(os.environ.get("ORCH_KEEPER_CYCLES", "60"))


def lines(r):
    return [json.loads(x) for x in r.body.split(b"\n") if x]


def started(t, d=None, files=None):
    d = d or t.daemon()
    d.start()
    r = d.http("POST", "/v1/snapshots/import", {"dir": t.tree(files or {"a": "one", "d/b": "two"}), "ref": "main"})
    t.ok(b'"result"' in r.body, str(r))
    return d


def info(d):
    return d.http("GET", "/v1/daemon").json()


def create(t, d, name, **body):
    r = d.http("POST", "/v1/workspaces", dict({"name": name, "from": "main"}, **body))
    t.eq(r.status, 200, str(r))
    return r.json()


def own_tree(t):
    """Programs of this build in a folder of the test, laid out as an installation, to be replaced at will."""
    root = t.dir("prefix")
    for name in ("bin", "mount", "worker"):
        os.mkdir(root + "/" + name)
    for name, place in (("orch-fsd", "bin"), ("orch-mount", "mount"), ("orch-worker", "worker")):
        shutil.copy2(program(name), root + "/" + place)
    return root


class OwnDaemon:
    """A daemon that runs the copy: Daemon starts program("orch-fsd"), so its argv is exchanged."""

    def __new__(cls, t, root, args=()):
        # sh -c 'shift; exec COPY "$@"' keeps the pid.
        return t.daemon(args, wrap=["sh", "-c", 'shift; exec "$0" "$@"', root + "/bin/orch-fsd"])


def put_program(root, text=None, source=None):
    """Renames a new program over the running one."""
    new = root + "/bin/new"
    if source:
        shutil.copy2(source, new)
    else:
        with open(new, "w") as f:
            f.write(text)
        os.chmod(new, 0o755)
    os.rename(new, root + "/bin/orch-fsd")


def slow_import(t, d, gib=40):
    """Starts an import that takes long, and returns when its worker runs."""
    folder = t.dir("slow%d" % len(os.listdir(t.tmp)))
    with open(folder + "/f", "wb") as f:
        f.truncate(gib << 30)
    before = info(d)["workers"]
    p = t.start(["curl", "-sS", "--unix-socket", d.socket, "http://orch/v1/snapshots/import", "-d",
                 json.dumps({"dir": folder, "ref": "slow"})], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: info(d)["workers"] > before, what="the worker")
    return p


class Load:
    """Threads that work until told to stop; what goes wrong is kept."""

    def __init__(self, t):
        self.t, self.wrong, self.done, self.counts = t, [], threading.Event(), {}
        self.threads = []

    def add(self, name, step):
        def run():
            n = 0
            while not self.done.is_set():
                try:
                    step(n)
                    n += 1
                except Exception as e:  # noqa: BLE001
                    self.wrong.append("%s: %r" % (name, e))
                    break
                self.counts[name] = n
        x = threading.Thread(target=run, daemon=True)
        self.threads.append(x)
        x.start()

    def end(self):
        self.done.set()
        for x in self.threads:
            x.join(60)
        self.t.eq(self.wrong, [])
        for name, n in self.counts.items():
            self.t.ok(n > 0, "no %s was done" % name)
        print("# %s" % self.counts)


@test(needs="fuse", timeout=400)
def upgrades_under_load(t):
    """File operations, requests, imports and commits go on over many upgrades, also to another program."""
    root = own_tree(t)
    d = started(t, OwnDaemon(t, root))
    w = create(t, d, "w")
    source = t.tree({"%d/%d" % (a, b): "%d-%d" % (a, b) for a in range(10) for b in range(20)})
    load = Load(t)

    def files(n):
        path = "%s/f%d" % (w["path"], n % 50)
        with open(path, "w") as f:
            f.write(str(n))
        with open(path) as f:
            t.eq(f.read(), str(n))
        if n % 7 == 0:
            os.unlink(path)

    def again(method, path, body=None):
        """Whoever does not use orch-shim asks again as the answer says."""
        while True:
            r = d.http(method, path, body)
            if r.status != 503 or b'"EAGAIN"' not in r.body:
                return r
            t.eq(r.headers.get("Retry-After"), "1")
            time.sleep(0.02)

    def requests(n):
        t.eq(again("GET", "/v1/daemon").status, 200)
        name = "x%d" % n
        r = again("POST", "/v1/workspaces", {"name": name, "from": "main", "mount": n % 3 == 0})
        t.eq(r.status, 200, str(r))
        t.eq(again("DELETE", "/v1/workspaces/" + name).status, 200)

    def imports(n):
        with open("%s/0/0" % source, "w") as f:
            f.write(str(n))
        r = lines(again("POST", "/v1/snapshots/import", {"dir": source, "ref": "stream"}))
        t.ok("result" in r[-1], str(r[-1]))

    def commits(_n):
        r = d.shim("workspace", "commit", "w", "--ref", "w", status=None)
        t.eq(r.status, 0, str(r))
    for step in (files, requests, imports, commits):
        load.add(step.__name__, step)
    pid = info(d)["pid"]
    for n in range(UPGRADES):
        before = info(d)["started"]
        if n % 2:
            put_program(root, source=program("orch-fsd"))
        r = d.shim("daemon", "upgrade", timeout=120)
        t.eq((info(d)["pid"], info(d)["started"] != before), (pid, True), str(r))
        t.eq(d.http("GET", "/v1/workspaces/w").json()["pid"], w["pid"])
        seen = {k: v for k, v in load.counts.items()}
        wait_until(lambda: load.wrong or all(load.counts.get(k, 0) > seen.get(k, 0) for k in ("files", "requests", "imports", "commits")),
                   timeout=60, what="the load after an upgrade")
    load.end()
    t.eq(len([x for x in os.listdir("/proc/%d/fd" % pid)]) < 60, True, "descriptors were lost to the successors")
    with open("/proc/%d/cmdline" % pid) as f:
        t.ok(f.read().split("\0").count("--foreground") <= 2, "the command line grows")
    r = lines(d.http("POST", "/v1/store/verify"))[-1]
    t.eq(r["result"]["bad_count"], 0)
    r = d.http("DELETE", "/v1/workspaces/w")
    t.eq(r.status, 200, str(r))
    t.eq(d.http("GET", "/v1/workspaces").json()["workspaces"], [])
    t.eq(d.stop(), 0)
    t.eq((os.listdir(d.store + "/tmp"), os.listdir(d.store + "/layers")), ([], []))


@test(needs="fuse", timeout=240)
def an_upgrade_waits_for_streams_and_refuses_no_mount(t):
    d = started(t)
    p = slow_import(t, d)
    before = info(d)["started"]
    answers = []
    x = threading.Thread(target=lambda: answers.append(d.http("POST", "/v1/daemon/upgrade", timeout=200)))
    x.start()
    source = t.tree({"n": "1"})
    wait_until(lambda: d.http("POST", "/v1/snapshots/import", {"dir": source}).status == 503, what="the upgrade to wait")
    r = d.http("POST", "/v1/snapshots/import", {"dir": source})
    t.eq((r.json()["error"]["code"], r.headers.get("Retry-After")), ("EAGAIN", "1"))
    r = d.http("POST", "/v1/daemon/upgrade")
    t.eq((r.status, r.json()["error"]["code"]), (409, "EBUSY"))
    w = create(t, d, "w")
    t.eq(open(w["path"] + "/a").read(), "one")
    shim = t.start(["orch-shim", "snapshot", "import", source, "--ref", "patient"], env={"ORCH_SOCKET": d.socket},
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    t.eq((answers, p.poll()), ([], None))
    p.terminate()  # the import is cancelled
    p.wait()
    x.join(60)
    t.eq([r.status for r in answers], [200], str(answers[0]))
    wait_until(lambda: info(d)["started"] != before, what="the successor")
    t.eq(shim.wait(60), 0, "orch-shim did not wait")
    t.eq(d.http("GET", "/v1/refs/patient").status, 200)
    t.eq(d.http("GET", "/v1/workspaces/w").json()["pid"], w["pid"])
    t.eq(os.listdir(d.store + "/tmp"), [])


@test(timeout=240)
def an_upgrade_that_is_given_up_changes_nothing(t):
    d = started(t)
    p = slow_import(t, d)
    before = info(d)["started"]
    u = t.start(["curl", "-sS", "--unix-socket", d.socket, "-X", "POST", "http://orch/v1/daemon/upgrade"])
    source = t.tree({"n": "1"})
    wait_until(lambda: d.http("POST", "/v1/snapshots/import", {"dir": source}).status == 503, what="the upgrade to wait")
    u.kill()
    u.wait()
    wait_until(lambda: d.http("POST", "/v1/snapshots/import", {"dir": source}).status == 200, what="imports again")
    # A stop comes before an upgrade that waits.
    answers = []
    x = threading.Thread(target=lambda: answers.append(d.http("POST", "/v1/daemon/upgrade", timeout=100)))
    x.start()
    wait_until(lambda: d.http("POST", "/v1/snapshots/import", {"dir": source}).status == 503, what="the upgrade to wait")
    t.eq((info(d)["started"], p.poll()), (before, None))
    t.eq(d.http("POST", "/v1/daemon/stop").status, 200)
    x.join(60)
    t.ok(answers[0].status in (499, 503), str(answers[0]))
    t.eq(d.process.wait(30), 0)
    d.process = None
    t.match(p.communicate(timeout=30)[0].decode(), "ECANCELLED")
    t.eq((os.listdir(d.store + "/tmp"), os.path.exists(d.socket)), ([], False))


@test(needs="fuse", timeout=120)
def a_program_that_can_not_follow_is_refused(t):
    root = own_tree(t)
    d = started(t, OwnDaemon(t, root, ["--workers-max", "3"]))
    w = create(t, d, "w")
    before = info(d)

    def refused(want):
        r = d.http("POST", "/v1/daemon/upgrade")
        t.ok(r.status >= 400, str(r))
        t.match(r.json()["error"]["message"], want)
        t.eq((info(d)["started"], info(d)["pid"]), (before["started"], before["pid"]))
        r = d.shim("daemon", "upgrade", status=None)
        t.ok(r.status in (1, 3), str(r))
        t.match(r.stderr, want)
    put_program(root, "garbage\0" * 100)
    refused("does not start")
    put_program(root, "#!/bin/sh\necho 'orch-fsd 9'; exit 3\n")
    refused("does not start")
    put_program(root, "#!/bin/sh\necho other 1.0\n")
    refused("is not orch-fsd")
    put_program(root, "#!/bin/sh\nfor a; do test \"$a\" != --workers-max || { echo \"unknown option '$a'\" >&2; exit 2; }; done\necho orch-fsd 9\n")
    refused("unknown option '--workers-max'")
    os.unlink(root + "/bin/orch-fsd")
    refused("orch-fsd")
    put_program(root, source=program("orch-fsd"))
    d.shim("daemon", "upgrade")
    t.eq(info(d)["pid"], before["pid"])
    t.eq(d.http("GET", "/v1/workspaces/w").json()["pid"], w["pid"])


@test(needs="fuse", timeout=120)
def the_old_program_goes_on_when_the_new_can_not_be_executed(t):
    """It passed its trial, but is gone or can't be executed a moment later."""
    root = own_tree(t)
    d = started(t, OwnDaemon(t, root))
    w = create(t, d, "w")
    before = info(d)
    put_program(root, "#!/bin/sh\nrm -f '%s/bin/orch-fsd'\necho orch-fsd 9\n" % root)
    t.eq(d.http("POST", "/v1/daemon/upgrade").status, 200)
    d.allow_errors("event=replace ")
    wait_until(lambda: info(d)["started"] != before["started"], what="the old program anew")
    t.eq((info(d)["pid"], info(d)["version"]), (before["pid"], before["version"]))
    t.eq(d.http("GET", "/v1/workspaces/w").json()["pid"], w["pid"])
    create(t, d, "x")
    put_program(root, source=program("orch-fsd"))
    d.shim("daemon", "upgrade")
    t.eq(info(d)["mounts_alive"], 2)


@test(needs="fuse", timeout=240)
def a_stop_cancels_what_runs(t):
    for how in ("SIGTERM", "twice", "SIGINT", "force"):
        d = started(t, t.daemon(store=t.path("store")))
        w = create(t, d, how)
        with open(w["path"] + "/f", "w") as f:
            f.write("x" * 1000)
        p = slow_import(t, d)
        if how == "force":
            d.shim("daemon", "stop", "--force")
        else:
            d.process.send_signal(signal.SIGINT if how == "SIGINT" else signal.SIGTERM)
            if how == "twice":
                d.process.send_signal(signal.SIGTERM)
        t.match(p.communicate(timeout=60)[0].decode(), "ECANCELLED", how)
        t.eq(d.process.wait(30), 0, how)
        d.process = None
        t.eq((os.listdir(d.store + "/tmp"), d.pids("orch-worker"), d.pids("orch-mount"), os.path.exists(d.socket)),
             ([], [], [], False), how)
        d.start()
        t.eq(d.http("GET", "/v1/refs/slow").status, 404)
        w = d.http("POST", "/v1/workspaces/%s/mount" % how).json()
        t.eq(os.path.getsize(w["path"] + "/f"), 1000)
        d.http("DELETE", "/v1/workspaces/" + how)
        t.eq(d.stop(), 0)


@test(needs="fuse")
def other_signals_change_nothing(t):
    d = started(t)
    w = create(t, d, "w")
    for sig in (signal.SIGHUP, signal.SIGPIPE):
        d.process.send_signal(sig)
        os.kill(w["pid"], sig)
    t.eq(d.http("POST", "/v1/workspaces/w/fork", {"name": "f"}).status, 200)
    t.eq(open(w["path"] + "/a").read(), "one")
    # A client that goes away while it is answered.
    s = socket.socket(socket.AF_UNIX)
    s.connect(d.socket)
    s.sendall(b"GET /v1/snapshots HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    s.close()
    t.ok(d.answers())


@test
def commands_of_the_daemon(t):
    d = t.daemon()
    r = d.shim("daemon", "stop", status=3)
    t.match(r.stderr, "no daemon answers on %s" % d.socket)
    started(t, d)
    want = {"version", "pid", "uid", "store", "store_id", "mounts", "socket", "started", "mounts_alive", "workers", "exit_idle_s"}
    t.eq(set(d.shim("daemon", "status", "--json").json()), want)
    text = d.shim("daemon", "status").stdout
    for name in want:
        t.match(text, r"(?m)^%s\b" % name)
    t.match(text, r"(?m)^pid\s+%d$" % d.process.pid)
    d.kill()
    for command in ("stop", "status", "upgrade"):  # the socket is stale
        t.match(d.shim("daemon", command, status=3).stderr, "no daemon answers")
    d.start()
    d.shim("daemon", "stop")
    t.eq(d.process.wait(20), 0)
    d.process = None


@test(timeout=120)
def of_ten_starts_one_wins(t):
    for n in range(3):
        d = t.daemon(store=t.path("store"))
        argv = ["orch-fsd", "--store", d.store, "--mounts", d.mounts, "--background"]
        both = n % 2 == 0
        starts = [t.start(argv + ["--socket", d.socket if both else "%s.%d" % (d.socket, k)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                  for k in range(10)]
        said = [(p.communicate(timeout=60)[0].decode(), p.returncode) for p in starts]
        won = [x for x in said if x[1] == 0]
        t.eq(len(won), 1, str(said))
        t.eq(won[0][0], "")
        pids = d.pids("orch-fsd")
        t.eq(len(pids), 1)
        for text, status in said:
            if status:
                t.match(text, r"^orch-fsd: .*(another keeper has it: pid %d|another daemon answers on)[^\n]*\n$" % pids[0])
        left = [x for x in os.listdir(t.tmp) if x.startswith("s") and not x.startswith("store")]
        t.eq(len(left), 1, "sockets of the losers: %s" % left)
        os.kill(pids[0], signal.SIGTERM)
        wait_until(lambda: not d.pids("orch-fsd"), what="its end")


@test(needs="fuse")
def a_lost_socket_is_told(t):
    d = started(t)
    w = create(t, d, "w")
    f = open(w["path"] + "/a")
    os.unlink(d.socket)
    wait_until(lambda: "event=socket-lost" in d.log(), what="the watcher")
    other = t.daemon(name="2")
    other.socket = d.socket
    other.start()  # a store of its own: nothing to say against it
    t.eq(d.stop(), 0)
    t.ok(other.answers(), "the socket of another daemon was removed")
    t.eq(other.stop(), 0)
    t.eq(d.log().count("socket-lost"), 1)
    d.start()
    t.eq(d.http("GET", "/v1/workspaces/w").json()["pid"], w["pid"])
    f.close()


@test(needs="fuse")
def a_store_that_is_moved_goes_on(t):
    d = started(t)
    w = create(t, d, "w")
    moved = t.path("moved")
    os.rename(d.store, moved)
    with open(w["path"] + "/new", "w") as f:
        f.write("x")
    t.eq(d.http("POST", "/v1/workspaces/w/fork", {"name": "f"}).status in (200, 404, 500), True)
    t.eq(t.run(["orch-fsd", "--store", moved, "--socket", t.path("s2"), "--mounts", t.path("mnt2"), "--background"], status=1)
         .stderr.count("another keeper has it: pid %d" % d.process.pid), 1)
    os.rename(moved, d.store)
    t.eq(open(w["path"] + "/new").read(), "x")
    t.eq(lines(d.http("POST", "/v1/workspaces/w/commit", {"ref": "r"}))[-1].get("error"), None)


@test(needs="root")
def a_start_that_fails_says_why_and_leaves_nothing(t):
    small = t.dir("small")
    t.run(["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=4", "none", small])
    t.finally_(lambda: subprocess.run(["umount", "-l", small], check=False))
    while True:  # no inode is left
        try:
            open("%s/%d" % (small, len(os.listdir(small))), "x").close()
        except OSError:
            break
    base = ["orch-fsd", "--store", t.path("st"), "--mounts", t.path("mn"), "--background"]
    r = t.run(base + ["--socket", small + "/run/s"], status=1)
    t.match(r.stderr, r"^orch-fsd: .*%s.*No space left on device\n$" % small)
    t.run(["mount", "-o", "remount,ro", small])
    r = t.run(base + ["--socket", small + "/run/s"], status=1)
    t.match(r.stderr, r"^orch-fsd: .*Read-only file system\n$")
    r = t.run(base + ["--socket", t.path("s"), "--log-file", small + "/log"], status=1)
    t.match(r.stderr, r"^orch-fsd: .*%s/log.*Read-only file system\n$" % small)
    t.ok(not os.path.exists(t.path("s")), "a socket is left")
    t.eq(t.daemon().pids("orch-fsd"), [])
    d = t.daemon(store=t.path("st"))
    d.mounts = t.path("mn")
    d.start()  # what the failures left of the store is good
    t.eq(d.stop(), 0)


def take_pid(t, pid):
    """A process of nobody's that has this number; None when another was faster too often."""
    for _ in range(2000):
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w") as f:
                f.write(str(pid - 1))
        except OSError:
            return None
        p = t.start(["sleep", "1000"])
        if p.pid == pid:
            return p
        p.kill()
        p.wait()
    return None


def tree(root):
    out = {}
    for folder, dirs, files in os.walk(root):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                st = os.fstat(f.fileno())
                out[os.path.relpath(os.path.join(folder, name), root)] = (f.read(), st.st_mode, st.st_ino, st.st_mtime_ns)
        out.update({os.path.relpath(os.path.join(folder, name), root): None for name in dirs})
    return out


def crash(t, d):
    """All that a reboot ends: processes and mounts. What lies in the store and in <run> stays."""
    slow_import(t, d).kill()
    pids = d.pids("orch-fsd") + d.pids("orch-mount") + d.pids("orch-worker")
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    d.process.wait()
    d.process = None
    wait_until(lambda: not d.pids("orch-mount") and not d.pids("orch-worker"), what="the end of everything")
    for point, _minor, _kind in orchtest.mounts_below(t.tmp):
        t.run(["umount", "-l", point])


def prepare_crash(t, d):
    """Three workspaces, one at a given place, one a fork, with content of their own; what they look like."""
    place = t.dir("place")
    for body in ({"name": "w"}, {"name": "at", "at": place}):
        w = create(t, d, body.pop("name"), **body)
        for n in range(30):
            with open("%s/f%d" % (w["path"], n), "w") as f:
                f.write("%d" % n * 100)
        os.unlink(w["path"] + "/a")
        os.rename(w["path"] + "/f1", w["path"] + "/d/moved")
    t.eq(d.http("POST", "/v1/workspaces/w/fork", {"name": "f"}).status, 200)
    with open(d.mounts + "/f/own", "w") as f:
        f.write("of the fork")
    return {w["name"]: (w, tree(w["path"])) for w in d.http("GET", "/v1/workspaces").json()["workspaces"]}


def mounted_again(t, d, before, view, error):
    for name, (was, content) in before.items():
        w = d.http("GET", "/v1/workspaces/" + name).json()
        t.eq((w["state"], w["path"]), ("created", was["path"]))
        t.match(w["error"], error)
    for name, (was, content) in before.items():
        r = d.http("POST", "/v1/workspaces/%s/mount" % name)
        t.eq(r.status, 200, str(r))
        t.ok("error" not in r.json(), str(r))
        t.eq(tree(view + was["path"]), content, name)


@test(needs="fuse root", timeout=240)
def after_a_reboot_nothing_is_taken_for_ours(t):
    """The store is what the power cut left; the boot id is another; all pids and the places are other people's."""
    d = started(t)
    before = prepare_crash(t, d)
    crash(t, d)
    store_id = info_of_store(d)
    # What else may lie about.
    os.makedirs(d.store + "/tmp/1234/objects")
    os.makedirs(d.store + "/layers/999.new/spool")
    for name in ("%s-999.sock" % store_id[:8], "00000000-1.sock"):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.bind(t.path("m", name))
        s.close()
    open(d.socket + ".lock", "w").close()
    shutil.rmtree(d.mounts)  # it lies in /run
    foreign = [x for x in (take_pid(t, was["pid"]) for was, _ in before.values()) if x]
    t.ok(foreign, "no pid could be taken")
    print("# %d of %d pids are another's" % (len(foreign), len(before)))
    place = before["at"][0]["path"]
    other = t.daemon(name="2")  # another daemon has its workspace of the same name there now
    started(t, other)
    with open(t.path("boot"), "w") as f:
        f.write("11111111-2222-3333-4444-555555555555\n")
    w = create(t, other, "at", at=place)
    setup = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    d.wrap = ["unshare", "-m", "--propagation", "private", "sh", "-c", setup, t.path("boot")]
    d.start()
    t.eq(open(place + "/a").read(), "one", "a foreign mount was taken away")
    view = "/proc/%d/root" % d.process.pid
    t.eq(open(view + place + "/a").read(), "one", "a foreign mount was taken away")
    t.eq([p.poll() for p in foreign], [None] * len(foreign), "a foreign process was ended")
    t.eq(d.http("POST", "/v1/workspaces/at/mount").json()["error"]["code"] in ("EBUSY", "ENOTEMPTY"), True)
    t.run(["nsenter", "-t", str(d.process.pid), "-m", "umount", "-l", place])
    t.eq(other.http("DELETE", "/v1/workspaces/at").status, 200)
    left = sorted(os.listdir(t.path("m")))
    t.eq(left, ["00000000-1.sock"], "sockets")
    t.eq((os.listdir(d.store + "/tmp"), [x for x in os.listdir(d.store + "/layers") if not x.isdigit()]), ([], []))
    mounted_again(t, d, before, view, "the machine was started again")
    t.eq([p.poll() for p in foreign], [None] * len(foreign), "a foreign process was ended")
    t.eq(lines(d.http("POST", "/v1/store/verify"))[-1]["result"]["bad_count"], 0)
    for name in before:
        t.eq(d.http("DELETE", "/v1/workspaces/" + name).status, 200)
    t.eq(os.listdir(d.store + "/layers"), [])
    t.eq(d.stop(), 0)


def info_of_store(d):
    with open(d.store + "/FORMAT") as f:
        return re.search(r"(?m)^(?:id|store)\W+([0-9a-f-]{8,})", f.read()).group(1)


@test(needs="fuse root", timeout=240)
def a_pid_that_is_another_process_now_is_left_alone(t):
    """The same boot: the mount processes were killed, and their numbers given to others."""
    d = started(t)
    before = prepare_crash(t, d)
    crash(t, d)
    foreign = [x for x in (take_pid(t, was["pid"]) for was, _ in before.values()) if x]
    t.ok(foreign, "no pid could be taken")
    d.start()
    mounted_again(t, d, before, "", "has ended")
    for name in before:
        t.eq(d.http("DELETE", "/v1/workspaces/%s?force=1" % name).status, 200)
    t.eq([p.poll() for p in foreign], [None] * len(foreign), "a foreign process was ended")
    t.eq(os.listdir(t.path("m")), [])


def resources(pid):
    status = dict(re.findall(r"^(\w+):\s+(\d+)", open("/proc/%d/status" % pid).read(), re.M))
    return len(os.listdir("/proc/%d/fd" % pid)), int(status["Threads"]), int(status["VmRSS"])


@test(needs="fuse", timeout=400)
def cycles_cost_the_keeper_nothing(t):
    d = started(t)
    pid = d.process.pid

    def cycle(n):
        w = create(t, d, "w")
        with open(w["path"] + "/f", "w") as f:
            f.write(str(n))
        t.eq(d.http("POST", "/v1/workspaces/w/fork", {"name": "f", "mount": n % 2 == 0}).status, 200)
        if n % 5 == 0:
            t.ok("result" in lines(d.http("POST", "/v1/workspaces/w/commit", {"ref": "r"}))[-1])
        for name in ("w", "f"):
            t.eq(d.http("DELETE", "/v1/workspaces/" + name).status, 200)
    for n in range(CYCLES // 3):  # what grows once: arenas, caches
        cycle(n)
    fds, threads, rss = resources(pid)
    for n in range(CYCLES):
        cycle(n)
    print("# after %d cycles: %s" % (CYCLES, resources(pid)))
    # A connection that just ends, a thread that the database begins late: some, but none a cycle.
    wait_until(lambda: resources(pid)[0] <= fds + 4 and resources(pid)[1] <= threads + 4,
               what="descriptors and threads as before: %s" % str((fds, threads)))
    after = resources(pid)
    print("# descriptors %d, threads %d, %d KiB -> %s" % (fds, threads, rss, after))
    t.ok(after[2] <= rss + 4096 + 40 * CYCLES, "memory grew from %d to %d KiB in %d cycles" % (rss, after[2], CYCLES))
    t.eq((os.listdir(d.store + "/layers"), os.listdir(t.path("m")), d.pids("orch-mount"), d.pids("orch-worker")), ([], [], [], []))


def fill_queue(path):
    """Connections that nobody accepts, until there is no room for another."""
    out = []
    while len(out) < 1000:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.setblocking(False)
        try:
            s.connect(path)
        except BlockingIOError:
            s.close()
            break
        out.append(s)
    return out


@test(needs="fuse root", timeout=120)
def a_mount_process_that_accepts_nobody_holds_up_no_start(t):
    d = started(t, t.daemon(["--mount-timeout", "1"]))
    w = create(t, d, "w")
    create(t, d, "other")
    os.kill(w["pid"], signal.SIGSTOP)
    waiting = fill_queue(t.path("m/" + [x for x in os.listdir(t.path("m")) if x.endswith("-%d.sock" % w["layer"])][0]))
    try:
        t.eq(d.http("POST", "/v1/workspaces/w/fork", {"name": "f"}, timeout=20).status, 504)
        d.kill()
        d.start()
        t.match(d.http("GET", "/v1/workspaces/w", timeout=20).json()["error"], "does not answer|timed out")
        t.eq(d.http("POST", "/v1/workspaces/other/fork", {"name": "g"}).status, 200)
    finally:
        for s in waiting:
            s.close()
        os.kill(w["pid"], signal.SIGCONT)
    t.eq(d.http("POST", "/v1/workspaces/w/fork", {"name": "f"}).status, 200)


@test(needs="fuse root", timeout=300)
def stuck_mount_processes_are_waited_for_together(t):
    count = int(os.environ.get("ORCH_STUCK_MOUNTS", "12"))
    d = started(t, t.daemon(["--mount-timeout", "4"]))
    create(t, d, "other")
    stuck = [create(t, d, "w%d" % i) for i in range(count)]
    try:
        for w in stuck:
            os.kill(w["pid"], signal.SIGSTOP)
        d.kill()
        begin = time.monotonic()
        d.start(timeout=120)
        took = time.monotonic() - begin
        print("# %d stuck: started after %.1f s" % (count, took))
        t.ok(took < count, "%.1f s for %d of them" % (took, count))
        errors = {w["name"]: w.get("error", "") for w in d.http("GET", "/v1/workspaces").json()["workspaces"]}
        t.eq(errors.pop("other"), "")
        t.eq([x for x in errors.values() if "does not answer" not in x], [])
        t.eq(d.http("POST", "/v1/workspaces/other/fork", {"name": "g"}).status, 200)
    finally:
        for w in stuck:
            os.kill(w["pid"], signal.SIGCONT)
    wait_until(lambda: all(not w.get("error") for w in d.http("GET", "/v1/workspaces").json()["workspaces"]), 60, "their answers")
    t.eq(d.http("POST", "/v1/workspaces/w0/fork", {"name": "f"}).status, 200)


@test(needs="fuse root", timeout=120)
def one_place_takes_one_workspace(t):
    d = started(t)
    for n in range(20):
        at, answers = t.dir("at%d" % n), []
        threads = [threading.Thread(target=lambda x: answers.append(
            d.http("POST", "/v1/workspaces", {"name": "w%s-%d" % (x, n), "from": "main", "at": at}).status), args=(x,))
            for x in "ab"]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        t.eq((sorted(answers), len([x for x in mounts_below(t.tmp) if x[0] == at])), ([200, 409], 1))


main()
