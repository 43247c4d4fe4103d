#!/usr/bin/env python3
"""
kill -9 of every orch process at random moments, under a load that keeps its own record and while the daemon is asked
for imports, forks, commits, refs and drops: what was answered is there afterwards, what was not is whole or absent.

ORCH_KILL_ROUNDS=50 for the large run, ORCH_KILL_SEED=N for a run again.
"""
import random

import load
from orchtest import *

ROUNDS = int(os.environ.get("ORCH_KILL_ROUNDS", "8"))
SEED = int(os.environ.get("ORCH_KILL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
LOADS = 3
PROGRAMS = ("orch-fsd", "orch-worker", "orch-mount")


def lines(r):
    return [json.loads(x) for x in r.body.split(b"\n") if x]


class Asker(threading.Thread):
    """Asks the daemon for things until it is dead. What it was answered is in self.refs, self.spaces; what was asked
    and not answered in self.open. A refusal is in self.wrong, unless the killing had begun: the keeper may live
    long enough to tell that a worker or a mount process was killed."""

    def __init__(self, run, seed):
        super().__init__()
        self.d, self.run_of, self.r = run.d, run, random.Random(seed)
        self.refs, self.spaces, self.n = run.refs, run.spaces, 0
        self.open = None
        self.answers = 0
        self.wrong = []
        self.killing = threading.Event()

    def refused(self, method, path, body, r):
        if not self.killing.is_set():
            self.wrong.append("%s %s %s: %s" % (method, path, body, r))
        raise OSError("refused")

    def ask(self, method, path, body=None):
        r = self.d.http(method, path, body, timeout=60)
        if r.status != 200:
            self.refused(method, path, body, r)
        if b"\n" in r.body.strip() or b'"result"' in r.body or b'"event"' in r.body:
            last = lines(r)[-1]
            if "result" not in last:
                if "error" in last:
                    self.refused(method, path, body, r)
                raise OSError("cut off")
            return last["result"]
        return r.json()

    def name(self, what):
        self.n += 1
        return "%s%d.%d" % (what, self.run_of.round, self.n)

    def an_import(self):
        ref, source = self.name("i"), self.r.choice(self.run_of.sources)
        self.open = ("ref", ref, None)
        made = self.ask("POST", "/v1/snapshots/import", {"dir": source, "ref": ref})
        self.refs[ref] = made["id"]
        self.run_of.imported[made["id"]] = source

    def a_commit(self):
        ref = self.name("c")
        self.open = ("ref", ref, None)
        self.refs[ref] = self.ask("POST", "/v1/workspaces/w/commit", {"ref": ref})["id"]

    def a_ref(self):
        if not self.refs:
            return
        ref, to = self.r.choice(["moved", "other"]), self.r.choice(sorted(set(self.refs.values())))
        self.open = ("ref", ref, to)
        self.ask("PUT", "/v1/refs/" + ref, {"id": to})
        self.refs[ref] = to

    def no_ref(self):
        ref = self.r.choice(["moved", "other"])
        if ref not in self.refs:
            return
        self.open = ("ref", ref, None)
        self.ask("DELETE", "/v1/refs/" + ref)
        del self.refs[ref]

    def a_fork(self):
        if len(self.spaces) > 6:
            return self.a_drop()
        name = self.name("f")
        self.open = ("space", name)
        self.ask("POST", "/v1/workspaces/%s/fork" % self.r.choice(["w", "w"] + sorted(self.spaces)),
                 {"name": name, "mount": self.r.random() < 0.5})
        self.spaces.add(name)

    def a_drop(self):
        if not self.spaces:
            return
        name = self.r.choice(sorted(self.spaces))
        self.open = ("space", name)
        self.ask("DELETE", "/v1/workspaces/%s?force=1" % name)
        self.spaces.discard(name)

    def run(self):
        try:
            while True:
                self.r.choice([self.an_import, self.a_commit, self.a_commit, self.a_ref, self.no_ref, self.a_fork, self.a_fork,
                               self.a_drop])()
                self.open = None
                self.answers += 1
        except Exception:  # noqa: BLE001  (the daemon is gone; self.wrong has what is an answer)
            pass


class Run:
    def __init__(self, t, seed, passthrough):
        self.t, self.r, self.passthrough = t, random.Random(seed), passthrough
        self.refs, self.spaces, self.imported = {}, set(), {}
        self.round = self.operations = self.answers = 0
        self.sources = [t.tree({"d%d/f%d" % (i % 5, i): "%d of %d\n" % (i, k) * 500 for i in range(60)}) for k in range(3)]
        self.d = t.daemon()
        self.d.start()
        self.stream("/v1/snapshots/import", {"dir": t.tree({"%d/base%d" % (i, k): "base %d\n" % k * 400 for i in range(LOADS)
                                                            for k in range(6)}), "ref": "main"})
        self.w = self.ask("POST", "/v1/workspaces", {"name": "w", "from": "main", "passthrough": passthrough})

    def ask(self, method, path, body=None, status=200):
        r = self.d.http(method, path, body)
        self.t.eq(r.status, status, "round %d: %s %s: %s" % (self.round, method, path, r))
        return r.json()

    def stream(self, path, body=None):
        r = self.d.http("POST", path, body)
        self.t.ok("result" in lines(r)[-1], "round %d: %s: %s" % (self.round, path, r))
        return lines(r)[-1]["result"]

    def kill_everything(self):
        """At once, in any order, until nothing is left: what was being started dies too."""
        pids = [p for name in PROGRAMS for p in self.d.pids(name)]
        self.r.shuffle(pids)
        for p in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGKILL)

        def none_left():
            left = [p for name in PROGRAMS for p in self.d.pids(name)]
            for p in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(p, signal.SIGKILL)
            return not left
        wait_until(none_left, what="the end of everything")
        self.d.kill()

    def load_is_there(self, loads):
        for i, (out, err, status) in enumerate(loads):
            self.t.eq(status, 0, err)
            a = json.loads(out)
            self.operations += a["count"]
            wrong = load.difference(load.found("%s/%d" % (self.w["path"], i)), a)
            if wrong:
                raise Failure("round %d load %d: %s" % (self.round, i, wrong))

    def answers_are_there(self, asker):
        t, kind, name = self.t, *(asker.open or (None, None))[:2]
        t.eq(asker.wrong, [], "round %d: the daemon refused" % self.round)
        now = {r["name"]: r["id"] for r in self.ask("GET", "/v1/refs")["refs"]}
        now.pop("main")
        may = asker.open[2] if kind == "ref" else None
        for ref in set(now) | set(self.refs):
            if kind == "ref" and ref == name:
                if now.get(ref) not in (self.refs.get(ref), may) and ref[0] not in "ic":
                    raise Failure("round %d: ref %s is %s" % (self.round, ref, now.get(ref)))
                continue
            t.eq(now.get(ref), self.refs.get(ref), "round %d: ref %s" % (self.round, ref))
        for id in set(now.values()):
            self.ask("GET", "/v1/snapshots/" + id)
        spaces = {w["name"] for w in self.ask("GET", "/v1/workspaces")["workspaces"]} - {"w"}
        t.eq(spaces - {name}, self.spaces - {name}, "round %d: workspaces" % self.round)
        self.refs.clear()
        self.refs.update(now)
        self.spaces.clear()
        self.spaces.update(spaces)
        self.answers += asker.answers

    def everything_can_be_read(self):
        for name in sorted(self.spaces):
            path = self.ask("POST", "/v1/workspaces/%s/mount" % name)["path"]
            for i in range(LOADS):
                load.found("%s/%d" % (path, i))
            if self.r.random() < 0.5:
                self.ask("DELETE", "/v1/workspaces/" + name)
                self.spaces.discard(name)
        for id in self.r.sample(sorted(self.imported), min(1, len(self.imported))):
            out = self.t.path("out")
            self.stream("/v1/snapshots/%s/export" % id, {"dir": out})
            self.t.run(["diff", "-r", self.imported[id], out])
            shutil.rmtree(out)

    def one(self, number):
        self.round = number
        argv = ["mmap"] if self.passthrough else []
        ps = [self.t.start([sys.executable, "-B", load.__file__, "%s/%d" % (self.w["path"], i), str(self.r.randrange(1 << 30))] + argv,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(LOADS)]
        for p in ps:
            self.t.eq(p.stdout.readline(), b"begun\n", "round %d" % number)
        asker = Asker(self, self.r.randrange(1 << 30))
        asker.start()
        time.sleep(self.r.random() * 1.5)
        asker.killing.set()
        self.kill_everything()
        loads = [(*(x.decode() for x in p.communicate(timeout=60)), p.returncode) for p in ps]
        asker.join(60)
        self.d.start()
        self.w = self.ask("POST", "/v1/workspaces/w/mount")
        self.load_is_there(loads)
        self.answers_are_there(asker)
        self.t.eq(os.listdir(self.d.store + "/tmp"), [], "round %d" % number)
        self.everything_can_be_read()
        self.t.eq(self.stream("/v1/store/verify")["bad"], [], "round %d" % number)

    def end(self):
        for name in sorted(self.spaces) + ["w"]:
            self.ask("DELETE", "/v1/workspaces/" + name)
        t = self.t
        t.eq((os.listdir(self.d.store + "/layers"), os.listdir(self.d.store + "/tmp"), os.listdir(t.path("m"))), ([], [], []))
        with open("/proc/self/mountinfo") as f:
            t.eq([x for x in f if " %s/" % self.d.mounts in x], [])
        t.eq(self.stream("/v1/store/verify")["bad"], [])
        t.eq(self.d.stop(), 0)
        t.eq(self.d.pids(), [])


def run(t, seed, passthrough):
    print("# seed %d" % seed, flush=True)
    x = Run(t, seed, passthrough)
    try:
        for i in range(ROUNDS):
            x.one(i)
        x.end()
    except Failure as e:
        raise Failure("ORCH_KILL_SEED=%d: %s" % (seed, e)) from None
    print("# seed %d: %d kills, %d answered operations of the loads, %d of the daemon" % (seed, ROUNDS, x.operations, x.answers))


@test(needs="fuse root", timeout=120 + ROUNDS * 20)
def with_passthrough(t):
    run(t, SEED, True)


@test(needs="fuse root", timeout=120 + ROUNDS * 20)
def through_the_process(t):
    run(t, SEED + 1000, False)


main()
