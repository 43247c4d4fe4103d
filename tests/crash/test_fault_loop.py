"""
Each call of the keeper and of its workers fails once, operation by operation, in one living daemon: the error is
told, nothing is left behind (descriptors, threads, processes, files of the store), the store verifies, and the
same operation works afterwards. docs/testing.md tells of ORCH_FAULT_ALL=1, which tries every call.
"""
import http.client

from faults import ALL, Faults
from gitlib import *
from gitlib import LINK, MODULE
from orchtest import *

KINDS = ("alloc", "read", "write", "fsync", "rename", "open", "unlink", "mmap", "fd", "sock", "thread", "fork", "openat2",
         "clone")


class Rig:
    """A daemon with something in its store, and what it holds when it is at rest."""

    def __init__(self, t, name):
        self.t = t
        self.f = Faults(t, name)
        self.d = t.daemon(env=self.f.env)
        self.d.allow_errors(".")
        self.d.start()
        self.source = t.tree({"a": "one", "d/b": "two", "d/c": "x" * 40000, "l": ("->", "a"), "e/": None})
        self.call("POST", "/v1/snapshots/import", {"dir": self.source, "ref": "main"})
        t.tree({"a": "two", "d/new": "y" * 30000}, at=self.source)
        self.call("POST", "/v1/snapshots/import", {"dir": self.source, "ref": "second"})
        self.runs = 0
        self.told = set()

    def call(self, method, path, body=None):
        """Must work: the last line of the answer."""
        r = self.d.http(method, path, body)
        self.t.eq(r.status, 200, "%s %s: %s" % (method, path, r))
        last = json.loads(r.body.strip().split(b"\n")[-1])
        self.t.ok("error" not in last, "%s %s: %s" % (method, path, r))
        return last

    def attempt(self, method, path, body=None):
        """May fail, and says so: an error with code and message, or a connection that ends."""
        try:
            r = self.d.http(method, path, body, timeout=30)
        except (ConnectionError, http.client.HTTPException):
            return None
        if path == "/metrics" and r.status == 200:
            return r
        lines = [x for x in r.body.split(b"\n") if x]
        if not lines:
            return None
        last = json.loads(lines[-1])
        if r.status != 200 or "error" in last:
            self.t.ok(last["error"]["code"] and last["error"]["message"], "an error without words: %s" % r)
        return r

    def holds(self):
        """Descriptors, threads, children of the keeper."""
        base = "/proc/%d/" % self.d.process.pid
        children = []
        for task in os.listdir(base + "task"):
            with contextlib.suppress(OSError):  # a thread that has ended since
                children += open(base + "task/%s/children" % task).read().split()
        return len(os.listdir(base + "fd")), len(os.listdir(base + "task")), len(children)

    def at_rest(self, name, limit):
        self.t.eq(self.d.process.poll(), None, "%s: the daemon died\n%s" % (name, self.d.log_tail()))
        wait_until(lambda: all(a <= b for a, b in zip(self.holds(), limit)), 10,
                   "%s: (descriptors, threads, children) to come down from %s to %s: %s" % (
                       name, self.holds(), limit, self.open_files()))

    def open_files(self):
        base = "/proc/%d/fd/" % self.d.process.pid
        found = []
        for x in os.listdir(base):
            with contextlib.suppress(FileNotFoundError):  # closed since
                found.append(os.readlink(base + x))
        return sorted(found)

    def clean(self, name):
        self.left("tmp", "%s", name)
        self.left("layers", r"layer=%s\b", name)
        self.t.eq(self.d.pids("orch-worker"), [], name + ": a worker is left")
        self.t.eq(self.d.pids("orch-mount"), [], name + ": a mount process is left")
        self.t.eq(mounts_below(self.d.mounts), [], name + ": a mount is left")
        self.runs += 1
        if self.runs % 10 == 0:
            self.verify(name)

    def left(self, folder, words, name):
        """What could not be removed is told in the log; it goes with the next start."""
        for x in set(os.listdir(self.d.store + "/" + folder)) - self.told:
            told = r"layer=%s\b" % x[5:] if x.startswith("gone-") else words % x
            self.t.ok(re.search(told, self.d.log()), "%s: %s/%s is left, and nothing tells it\n%s" % (name, folder, x, self.d.log_tail()))
            self.told.add(x)

    def verify(self, name):
        self.t.eq(self.call("POST", "/v1/store/verify")["result"]["bad"], [], name)


def each(rig, what, *requests, before=(), after=(), kinds=KINDS, sample=4, prepare_more=None):
    """The requests one after another with one failing call; `before` and `after` them without."""
    limit = None

    def prepare():
        for x in before:
            rig.call(*x)
        if prepare_more:
            prepare_more()

    def operation():
        for x in requests:
            x() if callable(x) else rig.attempt(*x)

    def check(name):
        nonlocal limit
        for x in rig.d.http("GET", "/v1/workspaces").json()["workspaces"]:
            rig.call("DELETE", "/v1/workspaces/%s?force=1" % x["name"])
        for x in after:
            rig.d.http(*x)
        if limit is None:
            rig.verify(name)
            limit = rig.holds()
        rig.at_rest(name, limit)
        rig.clean(name)

    rig.f.loop(what, kinds, operation, check, prepare, sample)


def done(rig):
    """The next start takes away what a failed call has left."""
    rig.verify("at the end")
    rig.d.restart()
    for x in "tmp", "layers":
        rig.t.eq(os.listdir(rig.d.store + "/" + x), [], "left in " + x)
    rig.verify("after the next start")
    rig.t.eq(rig.d.stop(), 0, "status of the daemon")
    rig.t.ok(rig.f.fired_runs, "no call failed")


@test(needs="fuse faults", timeout=3000)
def start_and_stop(t):
    f = Faults(t, "orch-fsd")
    source = t.tree({"a": "one", "d/b": "two"})
    d = t.daemon(env=f.env)
    d.allow_errors(".")

    def operation():
        try:
            d.start()
        except Failure as e:
            t.match(str(e), "ended with status (1|2) ")
            t.match(d.log(), "level=error|orch-fsd: ", "it ended and told nothing")
            d.process = None
        else:
            t.eq(d.stop(), 0, "status of the daemon")
        os.truncate(d.log_path, 0)

    def check(name):
        d.start()
        t.eq(json.loads(d.http("POST", "/v1/store/verify").body.strip().split(b"\n")[-1])["result"]["bad"], [], name)
        t.eq([p for p in d.pids() if p != d.process.pid], [], name + ": a process is left")
        t.eq(d.stop(), 0)
        t.eq(os.listdir(d.store + "/tmp") + os.listdir(d.store + "/layers"), [], name)

    with d:
        d.shim("snapshot", "import", source, "--ref", "main")
    f.loop("start and stop", KINDS, operation, check, sample=8)
    t.ok(f.fired_runs, "no call failed")


CREATE = ("POST", "/v1/workspaces", {"name": "w", "from": "main", "mount": False})
MOUNTED = ("POST", "/v1/workspaces", {"name": "w", "from": "main"})


@test(needs="fuse faults", timeout=3000)
def answers_from_the_store(t):
    rig = Rig(t, "orch-fsd")
    each(rig, "reads", ("GET", "/v1/daemon"), ("GET", "/metrics"), ("GET", "/v1/snapshots"), ("GET", "/v1/snapshots/main"),
         ("GET", "/v1/snapshots/main/tree"), ("GET", "/v1/diff?a=main&b=second"), ("GET", "/v1/refs"), ("GET", "/v1/refs/main"),
         ("GET", "/v1/workspaces"), ("GET", "/v1/store"))
    each(rig, "refs", ("PUT", "/v1/refs/other", {"id": "main"}), ("DELETE", "/v1/refs/other"), after=[("DELETE", "/v1/refs/other")])
    each(rig, "verify", ("POST", "/v1/store/verify"), ("POST", "/v1/store/verify", {"repair": True}))
    done(rig)


@test(needs="fuse faults", timeout=3000)
def transfers_by_the_keeper(t):
    rig = Rig(t, "orch-fsd")
    transfers(rig)
    done(rig)


@test(needs="fuse faults", timeout=3000)
def transfers_by_a_worker(t):
    rig = Rig(t, "orch-worker")
    transfers(rig)
    done(rig)


def transfers(rig):
    out = rig.t.path("out")
    count = [0]

    def fresh():
        """A source that the store does not have."""
        count[0] += 1
        rig.t.tree({"new": "%d" % count[0], "big": "%d" % count[0] * 20000}, at=rig.source)
        rig.attempt("POST", "/v1/snapshots/import", {"dir": rig.source, "ref": "second"})

    def export():
        shutil.rmtree(out, ignore_errors=True)
        rig.attempt("POST", "/v1/snapshots/main/export", {"dir": out})

    def commit():
        with contextlib.suppress(OSError):
            rig.t.tree({"made": "1", "d/c": "2", "big": "b" * 50000}, at=rig.d.mounts + "/w")
        rig.attempt("POST", "/v1/workspaces/w/commit", {"ref": "third"})

    each(rig, "import", fresh)
    each(rig, "import of the same", ("POST", "/v1/snapshots/import", {"dir": rig.source, "ref": "second"}))
    each(rig, "export", export)
    each(rig, "apply", ("POST", "/v1/snapshots/apply", {"base": "main", "incoming": "second", "mine": "main", "ref": "third"}))
    each(rig, "commit", commit, before=[MOUNTED])


@test(needs="fuse faults git", timeout=3000)
def commits_of_git_by_the_keeper(t):
    rig = Rig(t, "orch-fsd")
    commits(rig)
    done(rig)


@test(needs="fuse faults git", timeout=3000)
def commits_of_git_by_a_worker(t):
    rig = Rig(t, "orch-worker")
    commits(rig)
    done(rig)


def commits(rig):
    """The mirror has the commit, so git itself is not run: its calls are test_git_mirror.py's."""
    repo, count = Repo(rig.t), [0]

    def commit():
        count[0] += 1
        files = {".gitattributes": b"*.txt eol=crlf\n*.id ident\n", "a.txt": b"1\n", "d/b.id": b"$Id$", "d/e/c": b"%d" % count[0],
                 "f/%d" % count[0]: b"x" * 30000, "l": (LINK, b"a.txt"), "m": (MODULE, "1" * 40)}
        c = repo.commit_files(files)
        repo.git("update-ref", "refs/heads/main", c)
        rig.call("POST", "/v1/git/fetch", {"url": repo.path, "rev": "main"})
        return {"url": repo.path, "rev": c, "ref": "git"}

    todo = []

    def prepare():
        todo[:] = [commit()]

    rig.call("POST", "/v1/snapshots/git", commit())
    for what in ("a new commit", "the same commit"):
        for kind in KINDS if what == "a new commit" else ("alloc", "open", "mmap"):
            each(rig, what, lambda: rig.attempt("POST", "/v1/snapshots/git", todo[0]), kinds=(kind,), sample=6 if kind == "alloc" else 3,
                 prepare_more=prepare if what == "a new commit" or not todo else None)


@test(needs="fuse faults", timeout=3000)
def an_error_means_that_nothing_was_published(t):
    rig = Rig(t, "orch-fsd")
    w = rig.call(*MOUNTED)
    rig.call("PUT", "/v1/refs/third", {"id": "main"})
    count = [0]
    was = answer = None

    def third():
        return rig.d.http("GET", "/v1/refs/third").json()["id"]

    def prepare():
        nonlocal was
        count[0] += 1
        rig.t.tree({"made": "%d" % count[0]}, at=w["path"])
        was = third()

    def operation():
        nonlocal answer
        answer = rig.attempt("POST", "/v1/workspaces/w/commit", {"ref": "third"})

    def check(name):
        last = json.loads(answer.body.strip().split(b"\n")[-1]) if answer and answer.body else {}
        if "error" in last:
            t.eq(third(), was, name + ": it was published, but the answer is an error: %s" % last)
        if "result" in last:
            t.eq(third(), last["result"]["id"], name)

    rig.f.loop("commit", ("alloc",), operation, check, prepare, sample=1000 if ALL else 60, grows=True)
    rig.call("DELETE", "/v1/workspaces/w?force=1")
    done(rig)


@test(needs="fuse faults", timeout=3000)
def workspaces(t):
    rig = Rig(t, "orch-fsd")
    w = "/v1/workspaces/w"
    each(rig, "create and drop", CREATE, ("GET", w), ("DELETE", w))
    each(rig, "create and mount", MOUNTED)
    each(rig, "mount and unmount", ("POST", w + "/mount"), ("POST", w + "/umount"), before=[CREATE])
    each(rig, "fork", ("POST", w + "/fork", {"name": "f"}), ("GET", w + "/changes"), before=[MOUNTED])
    each(rig, "drop", ("DELETE", w), before=[MOUNTED])
    done(rig)


@test(needs="fuse faults", timeout=3000)
def a_mount_process_that_was_not_identified_is_ended(t):
    """The keeper could not look at its own child in /proc: that is ended like any other."""
    rig = Rig(t, "orch-fsd")
    each(rig, "create and mount", MOUNTED, kinds=("open", "read"), sample=40)
    done(rig)


@test(needs="fuse faults", timeout=3000)
def an_unmount_can_be_asked_for_again(t):
    """Also when the process has ended already and only the record could not be written."""
    rig = Rig(t, "orch-fsd")
    w = "/v1/workspaces/w"

    def check(name):
        r = rig.d.http("POST", w + "/umount")
        t.eq((r.status, r.json().get("state")), (200, "created"), "%s: %s" % (name, r))
        rig.call("DELETE", w)
        rig.clean(name)

    rig.f.loop("unmount", ("alloc", "open", "read", "write", "sock", "fd"), lambda: rig.attempt("POST", w + "/umount"), check,
               lambda: rig.call(*MOUNTED), sample=60)
    done(rig)


main()
