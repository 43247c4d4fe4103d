#!/usr/bin/env python3
"""
The model test: several processes do the same random operations on a mount and on ext4, each is compared (result,
error number, attributes, bytes), from time to time everything; meanwhile the workspace is committed, forked and
mounted again, the keeper killed and upgraded, the mount process killed. Forks are compared with the twin of the
moment they were taken, and some go on as models of their own.

ORCH_MODEL_STEPS=200000 for the large run (each of the two tests), ORCH_MODEL_SEED=N for one that failed,
ORCH_MODEL_WORKERS=1 for one that can be repeated exactly.
"""
import random

from orchtest import *
from twins import Model, twin

STEPS = int(os.environ.get("ORCH_MODEL_STEPS", "6000"))
SEED = int(os.environ.get("ORCH_MODEL_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
WORKERS = int(os.environ.get("ORCH_MODEL_WORKERS", "4"))
TIMEOUT = 240 + STEPS // 50
ROUND = 250  # operations of one worker between two quiet points


def source(t, r):
    """A folder with something of each kind in it, in each part."""
    root = t.dir()
    for part in ["part%d" % i for i in range(WORKERS)] + ["shared"]:
        top = root + "/" + part
        os.mkdir(top)
        folders, files = [top], []
        for i in range(8):
            d = r.choice(folders) + "/" + "abcdefgh"[i]
            os.mkdir(d)
            os.chmod(d, 0o777)
            folders.append(d)
        for _ in range(30):
            p = r.choice(folders) + "/" + r.choice("abcdefgh") + r.choice(["", "1", "2"])
            kind = r.random()
            if os.path.lexists(p):
                continue
            if files and kind < 0.2:
                os.link(r.choice(files), p)
            elif kind < 0.3:
                os.symlink(r.choice(["a/b", "a", "c1"]), p)
            else:
                with open(p, "wb") as f:
                    f.write(r.randbytes(r.choice([0, 10, 3000, 5000, 200000])))
                    f.truncate(f.tell() + r.choice([0, 0, 0, 300000]))
                if r.random() < 0.3:
                    os.setxattr(p, "user.a", b"base")
                if r.random() < 0.5:
                    os.chown(p, 1000, 1000)
                files.append(p)
        os.chmod(top, 0o777)
    return root


class Run:
    """One daemon, its workspace "w" with a model, perhaps a fork with another."""

    def __init__(self, t, seed, passthrough):
        self.t, self.seed, self.r = t, seed, random.Random(seed)
        self.count, self.forks, self.events = 0, 0, {}
        self.d = t.daemon()
        self.d.allow_errors("event=content-unreadable .*ECANCELED")
        self.d.start()
        src = source(t, self.r)
        self.stream("/v1/snapshots/import", {"dir": src, "ref": "main"})
        w = self.ask("POST", "/v1/workspaces", {"name": "w", "from": "main", "passthrough": passthrough})
        self.passthrough = passthrough
        self.models = {"w": Model(t, w["path"], twin(t, src, "native"), seed, WORKERS, passthrough)}
        self.finished = 0

    def ask(self, method, path, body=None):
        r = self.d.http(method, path, body, timeout=300)
        self.t.eq(r.status, 200, "%s %s: %s" % (method, path, r))
        return r.json()

    def stream(self, path, body=None):
        r = self.d.http("POST", path, body, timeout=300)
        last = json.loads(r.body.strip().split(b"\n")[-1])
        self.t.ok("result" in last, "%s: %s" % (path, r))
        return last["result"]

    def total(self):
        return self.finished + sum(m.done() for m in self.models.values())

    # while the workers work

    def commit(self, name):
        self.stream("/v1/workspaces/%s/commit" % name, {})

    def fork(self, name, new):
        return self.ask("POST", "/v1/workspaces/%s/fork" % name, {"name": new})

    def drop(self, name):
        self.ask("DELETE", "/v1/workspaces/" + name)

    def fork_and_drop(self, name):
        self.fork(name, "passing")
        self.drop("passing")

    def kill_keeper(self, _name):
        self.d.kill()
        self.d.start()

    def upgrade(self, _name):
        before = self.ask("GET", "/v1/daemon")["started"]
        self.ask("POST", "/v1/daemon/upgrade")
        wait_until(lambda: self.ask("GET", "/v1/daemon")["started"] != before, what="the successor")

    # while they do not

    def fork_is_the_twin(self, name):
        m = self.models[name]
        m.flush()
        f = self.fork(name, "taken")
        m.same_as(f["path"], "a fork")
        self.drop("taken")

    def fork_goes_on(self, name):
        if len(self.models) > 1:
            return
        m = self.models[name]
        m.flush()
        m.settle()
        self.forks += 1
        new = "fork%d" % self.forks
        f = self.fork(name, new)
        m.same_as(f["path"], "a fork")
        self.models[new] = Model(self.t, f["path"], twin(self.t, m.native, "native.%d" % self.forks),
                                 self.seed + self.forks, WORKERS, self.passthrough)

    def commit_is_the_twin(self, name):
        m = self.models[name]
        m.flush()
        made = self.stream("/v1/workspaces/%s/commit" % name, {"ref": "made"})
        m.compare()
        x = self.ask("POST", "/v1/workspaces", {"name": "made", "from": made["id"]})
        m.same_as(x["path"], "a workspace made of a commit", "plain")
        self.drop("made")

    def remount(self, name):
        m = self.models[name]
        m.close()
        m.settle(forget=True)
        self.ask("POST", "/v1/workspaces/%s/umount" % name, {})
        self.ask("POST", "/v1/workspaces/%s/mount" % name)
        m.compare()

    def kill_mount(self, name):
        m = self.models[name]
        m.close()
        m.settle(forget=True)
        pid = self.ask("GET", "/v1/workspaces/" + name)["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists("/proc/%d" % pid) or
                   self.ask("GET", "/v1/workspaces/" + name)["state"] == "created", what="the end of the mount")
        self.ask("POST", "/v1/workspaces/%s/mount" % name)
        m.compare()

    def end_fork(self, name):
        if name == "w":
            return
        m = self.models.pop(name)
        m.compare()
        m.end()
        self.finished += m.done()
        self.drop(name)

    LOUD = ("commit", "fork_and_drop", "kill_keeper", "upgrade")
    QUIET = ("fork_is_the_twin", "fork_goes_on", "commit_is_the_twin", "remount", "kill_mount", "kill_mount", "end_fork")

    def do(self, kind):
        name = self.r.choice(sorted(self.models))
        self.events[kind] = self.events.get(kind, 0) + 1
        self.last = (kind, name)
        getattr(self, kind)(name)

    def round(self):
        for m in self.models.values():
            m.go(ROUND)
        for _ in range(self.r.randrange(3)):
            time.sleep(self.r.random() * 0.15)
            self.do(self.r.choice(self.LOUD))
        for m in self.models.values():
            m.wait()
        if self.r.random() < 0.3:
            for m in self.models.values():
                m.compare()
        if self.r.random() < 0.5:
            self.do(self.r.choice(self.QUIET))

    def end(self):
        for name in sorted(self.models, reverse=True):
            self.models[name].compare()
            self.remount(name)
            self.models[name].end()
            self.finished += self.models.pop(name).done()
            self.drop(name)
        r = self.stream("/v1/store/verify")
        self.t.eq(r["bad"], [])
        self.t.eq(os.listdir(self.d.store + "/layers"), [])
        self.t.eq(os.listdir(self.d.store + "/tmp"), [])
        self.t.eq(self.d.stop(), 0)


def run(t, seed, passthrough):
    print("# seed %d" % seed, flush=True)
    x = Run(t, seed, passthrough)
    try:
        while x.total() < STEPS:
            x.round()
        x.end()
    except Failure as e:
        raise Failure("ORCH_MODEL_SEED=%d, last event %s: %s" % (seed, getattr(x, "last", None), e)) from None
    print("# seed %d: %d operations; %s" % (seed, x.finished, x.events), flush=True)


@test(needs="fuse root", timeout=TIMEOUT)
def with_passthrough(t):
    run(t, SEED, True)


@test(needs="fuse root", timeout=TIMEOUT)
def through_the_process(t):
    run(t, SEED + 1000, False)


main()
