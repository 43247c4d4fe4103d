#!/usr/bin/env python3
"""Forks and commits of workspaces that are at work: while a commit hashes, under writers, in every order, through kills."""
import http.client
import random
import socket

from keeper_api import ask, changes, commit, create, drop, export, fork, layers, read, show, started, stream, verify, write
from model import Model, compare, tree
from orchtest import *


class Hold:
    """A daemon's workers wait at their start while a file is there, so that a commit takes as long as a test wants."""

    def __init__(self, t):
        self.t = t
        self.folder = t.dir()
        self.flag = self.folder + "/hold"
        os.symlink(program("orch-mount"), self.folder + "/orch-mount")
        write(self.folder + "/orch-worker", "#!/bin/sh\nif [ -e %s ]; then\n\techo > %s.$$\n"
              "\twhile [ -e %s ]; do sleep 0.02; done\nfi\nexec '%s' \"$@\"\n" % (
                  self.flag, self.flag, self.flag, program("orch-worker")))
        os.chmod(self.folder + "/orch-worker", 0o755)

    def env(self):
        return {"ORCH_LIBEXECDIR": self.folder}

    def hold(self):
        write(self.flag, "")

    def held(self):
        return len([x for x in os.listdir(self.folder) if x.startswith("hold.")])

    def go(self):
        os.unlink(self.flag)
        for x in os.listdir(self.folder):
            if x.startswith("hold."):
                os.unlink(self.folder + "/" + x)


class Background(threading.Thread):
    """A request that goes on; .end() waits and gives what came of it."""

    def __init__(self, d, method, path, body):
        super().__init__()
        self.work = lambda: d.http(method, path, body, timeout=120)
        self.response = None
        self.start()

    def run(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.response = self.work()

    def end(self):
        self.join()
        if self.response is None:
            return None
        return json.loads(self.response.body.strip().split(b"\n")[-1])


def begin_commit(t, d, h, name, **body):
    """A commit whose worker has begun and waits."""
    before = h.held()
    if not os.path.exists(h.flag):
        h.hold()
    b = Background(d, "POST", "/v1/workspaces/%s/commit" % name, body)
    wait_until(lambda: h.held() > before, what="the worker of a commit")
    return b


def held_daemon(t):
    h = Hold(t)
    return h, started(t, env=h.env())


@test(needs="fuse")
def a_commit_holds_nobody_up(t):
    h, d = held_daemon(t)
    w = create(t, d, "w")
    write(w["path"] + "/in", "the commit")
    write(w["path"] + "/moves", "1")
    b = begin_commit(t, d, h, "w", ref="r")
    write(w["path"] + "/later", "1")
    write(w["path"] + "/in", "changed")
    f = fork(t, d, "w", "f")
    os.rename(w["path"] + "/moves", w["path"] + "/d/moved")
    g = fork(t, d, "w", "g", mount=False)
    t.eq((f["state"], g["state"], read(f["path"] + "/moves")), ("mounted", "created", "1"))
    t.ok({"later", "d/moved"} <= set(changes(d, "w")), changes(d, "w"))
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    t.eq(show(t, d, "w")["state"], "created")
    ask(t, d, "POST", "/v1/workspaces/w/mount")
    second = Background(d, "POST", "/v1/workspaces/w/commit", {"ref": "second"})
    time.sleep(0.3)
    t.eq((b.response, second.response, h.held()), (None, None, 1), "the second commit waits for the first")
    number = os.stat(w["path"] + "/d/moved").st_ino
    before = tree(w["path"])
    h.go()
    made = b.end()["result"]
    t.eq(made["rebased"], True)
    later = second.end()["result"]
    t.eq((later["rebased"], tree(w["path"]), os.stat(w["path"] + "/d/moved").st_ino), (True, before, number))
    t.eq(show(t, d, "w")["snapshot"], later["id"])
    t.eq(ask(t, d, "GET", "/v1/snapshots/second")["parent"], made["id"])
    out = export(t, d, "r")
    t.eq((read(out + "/in"), sorted(os.listdir(out))), ("the commit", ["a", "d", "in", "moves"]))
    t.eq(show(t, d, "w")["mount"]["layers"], 1)
    drop(t, d, "f")
    drop(t, d, "g")
    t.eq(layers(d), 1, "what only the forks needed went with them")
    verify(t, d)


@test(needs="fuse")
def a_commit_of_what_is_dropped_meanwhile(t):
    h, d = held_daemon(t)
    w = create(t, d, "w")
    write(w["path"] + "/in", "the commit")
    f = fork(t, d, "w", "f")
    write(w["path"] + "/in2", "the commit, too")
    b = begin_commit(t, d, h, "w", ref="r")
    write(w["path"] + "/later", "1")
    drop(t, d, "w")
    drop(t, d, "f")
    kept = layers(d)
    t.eq(kept, 2, "the layers that the commit reads")
    x = create(t, d, "w")
    write(x["path"] + "/other", "x")
    h.go()
    made = b.end()["result"]
    t.eq((made["rebased"], made["new"]), (False, True))
    out = export(t, d, "r")
    t.eq((read(out + "/in"), read(out + "/in2"), "later" in os.listdir(out)), ("the commit", "the commit, too", False))
    x = show(t, d, "w")
    t.ok(x["snapshot"] != made["id"])
    t.eq((sorted(os.listdir(x["path"])), layers(d)), (["a", "d", "other"], 1))
    verify(t, d)


@test(needs="fuse")
def a_commit_of_what_is_not_mounted_any_more(t):
    h, d = held_daemon(t)
    place = t.dir()
    w = create(t, d, "w", at=place)
    write(place + "/in", "1")
    b = begin_commit(t, d, h, "w", ref="r")
    write(place + "/later", "2")
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    h.go()
    made = b.end()["result"]
    w = show(t, d, "w")
    t.eq((made["rebased"], w["state"], w["path"], w["snapshot"]), (True, "created", place, made["id"]))
    t.eq(layers(d), 1)
    ask(t, d, "POST", "/v1/workspaces/w/mount")
    t.eq((read(place + "/in"), read(place + "/later")), ("1", "2"))
    b = begin_commit(t, d, h, "w", ref="r")
    write(place + "/later", "3")
    for p in d.pids("orch-mount"):
        os.kill(p, signal.SIGKILL)
    h.go()
    made = b.end()["result"]
    t.eq((made["rebased"], show(t, d, "w")["snapshot"]), (True, made["id"]))
    ask(t, d, "POST", "/v1/workspaces/w/mount")
    t.eq((read(place + "/in"), read(place + "/later"), layers(d)), ("1", "3", 1))
    verify(t, d)


@test(needs="fuse")
def a_commit_that_ends_without_a_snapshot(t):
    """Its client leaves, its ref has moved, its keeper is killed: the workspace is whole, the next commit has all."""
    h, d = held_daemon(t)
    w = create(t, d, "w")
    for n in range(4):
        write(w["path"] + "/n%d" % n, str(n))
        h.hold()
        if n == 0:
            s = socket.socket(socket.AF_UNIX)
            s.connect(d.socket)
            s.sendall(b"POST /v1/workspaces/w/commit HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            wait_until(lambda: h.held() == 1, what="the worker")
            fork(t, d, "w", "f0", mount=False)
            s.close()
            wait_until(lambda: not any(h.folder in cmdline(p) for p in d.pids("sh")), what="the end of the worker")
            h.go()
        elif n == 1:
            b = begin_commit(t, d, h, "w", ref="moved", expect="")
            fork(t, d, "w", "f1", mount=False)
            ask(t, d, "PUT", "/v1/refs/moved", {"id": "main"})
            h.go()
            t.eq(b.end()["error"]["code"], "ECONFLICT")
        else:
            b = begin_commit(t, d, h, "w", ref="gone")
            fork(t, d, "w", "f%d" % n, mount=False)
            d.kill()
            b.end()
            h.go()
            d.start()
            t.eq(d.http("GET", "/v1/refs/gone").status, 404)
            t.eq(os.listdir(d.store + "/tmp"), [])
        t.eq([read(w["path"] + "/n%d" % k) for k in range(n + 1)], [str(k) for k in range(n + 1)])
    made = commit(t, d, "w", ref="last")
    t.eq((made["rebased"], show(t, d, "w")["mount"]["layers"]), (True, 1))
    out = export(t, d, "last")
    t.eq(sorted(os.listdir(out)), ["a", "d", "n0", "n1", "n2", "n3"])
    for n in range(4):
        f = ask(t, d, "POST", "/v1/workspaces/f%d/mount" % n)
        t.eq(sorted(os.listdir(f["path"])), ["a", "d"] + ["n%d" % k for k in range(n + 1)])
        drop(t, d, "f%d" % n)
    drop(t, d, "w")
    t.eq(layers(d), 0)
    verify(t, d)


def cmdline(pid):
    with contextlib.suppress(OSError):
        return read("/proc/%d/cmdline" % pid)
    return ""


@test(needs="fuse")
def of_those_who_expect_the_same_one_wins(t):
    d = started(t)
    base = ask(t, d, "GET", "/v1/refs/main")["id"]
    for n in range(6):
        f = create(t, d, "w%d" % n)
        write(f["path"] + "/mine", str(n))
    expect = ""
    for turn in range(3):
        all = [Background(d, "POST", "/v1/workspaces/w%d/commit" % n, {"ref": "race", "expect": expect}) for n in range(6)]
        got = [b.end() for b in all]
        won = [n for n in range(6) if "result" in got[n]]
        t.eq(len(won), 1, got)
        t.eq({x["error"]["code"] for x in got if "error" in x}, {"ECONFLICT"})
        expect = ask(t, d, "GET", "/v1/refs/race")["id"]
        t.eq(got[won[0]]["result"]["id"], expect)
        t.eq(read(export(t, d, "race") + "/mine"), "%d" % won[0] + "+" * turn)
        for n in range(6):
            t.eq(read(d.mounts + "/w%d/mine" % n), "%d" % n + "+" * turn, "a loser loses nothing")
            write(d.mounts + "/w%d/mine" % n, "%d" % n + "+" * (turn + 1))
    for n in range(6):
        now = ask(t, d, "GET", "/v1/refs/race")["id"]
        made = commit(t, d, "w%d" % n, ref="race", expect=now)
        t.eq(read(export(t, d, made["id"]) + "/mine"), "%d+++" % n)
    moves = [Background(d, "PUT", "/v1/refs/other", {"id": "main", "expect": ""}) for _ in range(8)]
    t.eq(sorted("id" in b.end() for b in moves), [False] * 7 + [True])
    moves = [Background(d, "PUT", "/v1/refs/other", {"id": "race", "expect": base}) for _ in range(8)]
    t.eq(sorted("id" in b.end() for b in moves), [False] * 7 + [True])
    verify(t, d)


@test(needs="fuse", timeout=600)
def many_forks_make_no_long_chain(t):
    """ORCH_FORK_COUNT forks (140) with a change before each, then 40 without."""
    count = int(os.environ.get("ORCH_FORK_COUNT", "140"))
    d = started(t)
    w = create(t, d, "w")
    longest = 0
    for n in range(count):
        write(w["path"] + "/n%d" % (n % 50), str(n))
        fork(t, d, "w", "f%d" % n, mount=False)
        if n % 10 == 9:
            longest = max(longest, show(t, d, "w")["mount"]["layers"])
    t.ok(longest <= 130, "%d layers" % longest)
    t.ok(show(t, d, "w")["mount"]["strata"] <= 18, show(t, d, "w"))
    want = {"n%d" % (n % 50): str(n) for n in range(count)}
    t.eq({n: read(w["path"] + "/" + n) for n in want}, want)
    for n in sorted({0, 1, count // 2, count - 2, count - 1}):
        f = ask(t, d, "POST", "/v1/workspaces/f%d/mount" % n)
        want = {"n%d" % (k % 50): str(k) for k in range(n + 1)}
        t.eq({x: read(f["path"] + "/" + x) for x in os.listdir(f["path"]) if x not in "ad"}, want)
        if n != count // 2:
            drop(t, d, "f%d" % n)
    before = layers(d)
    for n in range(40):
        fork(t, d, "w", "g%d" % n, mount=False)
    t.ok(layers(d) <= before + 41, "a fork of what did not change makes one layer, its own")
    t.ok(show(t, d, "w")["mount"]["layers"] <= 130)
    d.restart()
    w = ask(t, d, "POST", "/v1/workspaces/w/mount")
    write(w["path"] + "/after", "restart")
    made = commit(t, d, "w", ref="r")
    t.eq((made["rebased"], show(t, d, "w")["mount"]["layers"]), (True, 1))
    g = ask(t, d, "POST", "/v1/workspaces/g39/mount")
    t.eq(read(g["path"] + "/n%d" % ((count - 1) % 50)), str(count - 1))
    for x in ask(t, d, "GET", "/v1/workspaces")["workspaces"]:
        drop(t, d, x["name"])
    t.eq(layers(d), 0)
    verify(t, d)


# ---- a load that keeps its own record

LOAD = r"""
import os, sys, time
place, record, me = sys.argv[1:4]
out = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
folder = "%s/w%s" % (place, me)
os.mkdir(folder)
n = 0
while not os.path.exists(record + ".stop"):
    n += 1
    os.write(out, b"begin %d\n" % n)
    with open("%s/new" % folder, "wb") as f:
        f.write(b"%08d" % n * (1 + n % 700))
    if n % 5 == 0:
        os.mkdir("%s/d%d" % (folder, n))
    os.rename("%s/new" % folder, "%s/%d" % (folder, n))
    if n % 3 == 0:
        os.unlink("%s/%d" % (folder, n - 2))
    with open("%s/log" % folder, "ab") as f:
        f.write(b"%08d\n" % n)
    os.write(out, b"done %d\n" % n)
    time.sleep(0.01)
os.write(out, b"end\n")
"""


class Load:
    def __init__(self, t, place, workers):
        self.t, self.workers = t, workers
        self.records = [t.path("load%d" % i) for i in range(workers)]
        script = t.path("load.py")
        write(script, LOAD)
        self.processes = [t.start([sys.executable, script, place, self.records[i], str(i)]) for i in range(workers)]

    def now(self):
        """What each has begun and what it has been answered for sure."""
        out = []
        for r in self.records:
            with contextlib.suppress(FileNotFoundError):
                text = read(r)
                whole = text[:text.rfind("\n") + 1].split("\n")
                done = [int(x.split()[1]) for x in whole if x.startswith("done")]
                begun = [int(x.split()[1]) for x in whole if x.startswith("begin")]
                out.append((done[-1] if done else 0, begun[-1] if begun else 0))
                continue
            out.append((0, 0))
        return out

    def stop(self):
        for r in self.records:
            write(r + ".stop", "")
        for p in self.processes:
            self.t.eq(p.wait(60), 0, "a writer saw an error")


def names_of(n):
    """What a writer's folder holds after its n-th turn."""
    gone = {k - 2 for k in range(3, n + 1, 3)}
    return {str(k) for k in range(1, n + 1) if k not in gone} | {"d%d" % k for k in range(5, n + 1, 5)}


def check_state(t, root, before, after, unsure=()):
    """A state taken between two looks at the records of the load: some turn of each, whole."""
    for i, ((done, _), (_, begun)) in enumerate(zip(before, after)):
        folder = "%s/w%d" % (root, i)
        if not os.path.isdir(folder):
            t.ok(done == 0, "worker %d was answered %d" % (i, done))
            continue
        names = set(os.listdir(folder)) - {"new", "log"}
        last = max([int(x.lstrip("d")) for x in names], default=0)
        candidates = [n for n in (last - 1, last, last + 1) if n >= 0 and (
            names == names_of(n) or (names_of(n) - {str(n - 2)} <= names <= names_of(n) | names_of(n + 1) | {str(n - 2)}))]
        t.ok(candidates, "worker %d: %s is the state of no turn near %d" % (i, sorted(names ^ names_of(last)), last))
        t.ok(done <= max(candidates) + 0 and min(candidates) <= begun,
             "worker %d: turn %s, but %d was answered before and %d begun after" % (i, candidates, done, begun))
        for x in names:
            if not x.startswith("d"):
                want = b"%08d" % int(x) * (1 + int(x) % 700)
                with open(folder + "/" + x, "rb") as f:
                    t.eq(f.read() == want, True, "%s/%s" % (folder, x))
        if "w%d/log" % i not in unsure and os.path.exists(folder + "/log"):
            lines = read(folder + "/log").split()
            t.ok(done <= len(lines) <= begun, "worker %d: %d lines, %d answered, %d begun" % (i, len(lines), done, begun))
            t.eq(lines, ["%08d" % (k + 1) for k in range(len(lines))])


@test(needs="fuse", timeout=600)
def under_writers_every_state_is_one_that_was(t):
    """ORCH_LOAD_ROUNDS rounds (6), each with forks and a commit while three processes write."""
    d = started(t)
    w = create(t, d, "w")
    load = Load(t, w["path"], 3)
    r = random.Random(random_seed(t))
    wait_until(lambda: min(x[0] for x in load.now()) > 3, what="the load")
    for n in range(int(os.environ.get("ORCH_LOAD_ROUNDS", "6"))):
        before = load.now()
        b = Background(d, "POST", "/v1/workspaces/w/commit", {"ref": "c%d" % n})
        forks = []
        for k in range(r.randrange(4)):
            at = load.now()
            f = fork(t, d, "w", "f%d.%d" % (n, k), mount=r.random() < 0.5)
            forks.append((f, at, load.now()))
        end = b.end()
        after = load.now()
        t.ok("result" in end, end)
        for f, at, until in forks:
            f = dict(ask(t, d, "POST", "/v1/workspaces/%s/mount" % f["name"]), last_write_seen=f["last_write_seen"])
            check_state(t, f["path"], at, until, f["last_write_seen"])
            drop(t, d, f["name"])
        check_state(t, export(t, d, "c%d" % n), before, after, end["result"]["last_write_seen"])
        if n % 4 == 2:
            d.kill()
            d.start()
    load.stop()
    at = load.now()
    check_state(t, w["path"], at, at)
    t.eq(commit(t, d, "w")["rebased"], True)
    check_state(t, w["path"], at, at)
    t.eq(layers(d), 1)
    verify(t, d)


# ---- everything, at random

class Ws:
    def __init__(self, name, place, native):
        self.name, self.place, self.native, self.mounted = name, place, native, True


class World:
    """Workspaces that are forks of forks, each beside a native folder with the same content."""

    def __init__(self, t, d, h, seed):
        self.t, self.d, self.h, self.r, self.seed = t, d, h, random.Random(seed), seed
        self.count = self.step = 0
        self.commits, self.waiting = [], []
        self.all = [self.add(create(t, d, "w0"), export(t, d, "main"))]

    def add(self, w, like):
        native = self.t.path("native%d" % self.count)
        self.count += 1
        self.t.run(["cp", "-a", like, native])
        return Ws(w["name"], w["path"], native)

    def pick(self):
        return self.r.choice(self.all)

    def mount(self, x):
        if not x.mounted:
            ask(self.t, self.d, "POST", "/v1/workspaces/%s/mount" % x.name)
        x.mounted = True

    def change(self):
        x = self.pick()
        self.mount(x)
        m = Model(x.place, x.native, self.seed * 1000 + self.step)
        m.run(self.r.choice([10, 30]))
        m.close_all()

    def fork(self):
        x = self.pick()
        if len(self.all) < 7:
            f = fork(self.t, self.d, x.name, "w%d" % self.count)
            self.all.append(self.add(f, x.native))

    def copy(self, x):
        native = self.t.path("commit%d" % self.step)
        self.t.run(["cp", "-a", x.native, native])
        return native

    def commit(self):
        x = self.pick()
        if any(c[0] is x for c in self.waiting):
            return
        native = self.copy(x)
        if self.r.random() < 0.5:
            self.commits.append((commit(self.t, self.d, x.name)["id"], native))
            return
        self.waiting.append((x, begin_commit(self.t, self.d, self.h, x.name), native))

    def finish(self):
        if not self.waiting:
            return
        self.h.go()
        for x, b, native in self.waiting:
            end = b.end()
            self.t.ok("result" in end, end)
            self.t.eq(end["result"]["rebased"], x in self.all, "seed %d" % self.seed)
            self.commits.append((end["result"]["id"], native))
        self.waiting = []

    def umount(self):
        x = self.pick()
        if x.mounted:
            ask(self.t, self.d, "POST", "/v1/workspaces/%s/umount" % x.name, {})
        x.mounted = False

    def drop(self):
        if len(self.all) > 2:
            x = self.all.pop(self.r.randrange(len(self.all)))
            drop(self.t, self.d, x.name)

    def kill(self):
        """The keeper alone, or all. What commits were on their way end without a snapshot."""
        everything = self.r.random() < 0.4
        pids = self.d.pids()
        self.d.kill()
        for p in pids if everything else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGKILL)
        for _, b, _ in self.waiting:
            b.end()
        if self.waiting:
            self.h.go()
        self.waiting = []
        self.d.start()
        for x in self.all:
            x.mounted = x.mounted and not everything

    def check(self):
        for x in self.all:
            self.mount(x)
            compare(x.place, x.native, "seed %d step %d %s:" % (self.seed, self.step, x.name))
        for id, native in self.commits:
            compare(export(self.t, self.d, id), native, "seed %d commit %s:" % (self.seed, id[:8]))
        self.commits = []

    OPS = {"change": 10, "fork": 5, "commit": 5, "finish": 3, "umount": 2, "drop": 2, "kill": 1}

    def run(self, steps):
        ops, weights = zip(*self.OPS.items())
        for self.step in range(1, steps + 1):
            op = self.r.choices(ops, weights)[0]
            if op in ("change", "kill") or not (self.waiting and op == "commit" and self.r.random() < 0.5):
                self.one(op)
            if self.step % 15 == 0:
                self.finish()
                self.check()
        self.finish()
        self.check()

    def one(self, op):
        if self.waiting and op == "commit":
            # others would wait with it: a commit that is awaited needs its worker
            x = self.pick()
            if not any(c[0] is x for c in self.waiting):
                self.waiting.append((x, begin_commit(self.t, self.d, self.h, x.name), self.copy(x)))
            return
        getattr(self, op)()


def random_seed(t):
    seed = int(os.environ.get("ORCH_MODEL_SEED", "0")) or int.from_bytes(os.urandom(3), "big")
    print("# seed %d" % seed)
    return seed


@test(needs="fuse root", timeout=900)
def forks_of_forks_at_random(t):
    """ORCH_FORK_STEPS steps (60): changes, forks, commits that are overtaken, unmounts, drops and kills."""
    h = Hold(t)
    d = started(t, env=h.env(), args=["--workers-max", "16"])
    d.allow_errors("mount-ended|not-adopted")
    world = World(t, d, h, random_seed(t))
    world.run(int(os.environ.get("ORCH_FORK_STEPS", "60")))
    for x in world.all:
        drop(t, d, x.name)
    d.restart()
    t.eq(layers(d), 0)
    verify(t, d)


main()
