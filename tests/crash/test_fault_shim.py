"""
Each call of orch-shim fails once, command by command: it ends with a status of its own and tells why, and what it could
not undo is undone by the next build. docs/testing.md tells of ORCH_FAULT_ALL=1, which tries every call.
"""
from faults import Faults
from orchtest import *

KINDS = ("alloc", "read", "write", "fsync", "rename", "open", "unlink", "mmap", "fd", "sock", "thread", "fork", "openat2",
         "clone")
STATUSES = range(0, 128)


class Rig:
    def __init__(self, t):
        self.t = t
        self.f = Faults(t, "orch-shim")
        self.d = t.daemon()
        self.d.allow_errors(".")
        self.d.start()
        self.source = t.tree({"a": "1", "d/b": "2"})
        self.d.shim("snapshot", "import", self.source, "--ref", "main")
        self.runs = 0
        self.limit = None

    def command(self, *words, quiet=False):
        r = self.d.shim(*words, env=self.f.env, status=None, timeout=60)
        self.t.ok(r.status in STATUSES, str(r))
        if r.status != 0 and self.f.fired_now("write") == 0:
            told = r.stdout if words[0] == "doctor" else r.stderr
            self.t.ok(told.strip() or r.stderr.strip(), "it failed and told nothing: %s" % r)

    def rest(self, name):
        """The next build finds nothing of this one."""
        left = self.d.http("GET", "/v1/workspaces").json()["workspaces"] + self.run_files()
        if left:
            self.build_plain()
        self.t.eq(self.d.http("GET", "/v1/workspaces").json()["workspaces"], [], name)
        self.t.eq(self.run_files(), [], name)
        wait_until(lambda: [p for p in self.d.pids() if p != self.d.process.pid] == [], 10, name + ": processes to end")
        self.t.eq(mounts_below(self.t.tmp), [], name + ": a mount is left")
        fds = len(os.listdir("/proc/%d/fd" % self.d.process.pid))
        self.limit = self.limit or fds + 2
        wait_until(lambda: len(os.listdir("/proc/%d/fd" % self.d.process.pid)) <= self.limit, 10, name + ": descriptors of the daemon")

    def run_files(self):
        folder = self.d.socket + ".runs"
        return [x for x in (os.listdir(folder) if os.path.isdir(folder) else []) if x.endswith(".run")]

    def build_words(self):
        self.runs += 1
        return ["build", "--source", self.source, "--cache-key", "k", "--output", "o=out", "--env", "A=1", "--output-dir",
                self.t.path("o%d" % self.runs), "--", "sh", "-c", "mkdir out; echo 1 > out/x; echo said"]

    def build_plain(self):
        r = self.d.shim(*self.build_words())
        self.t.eq(open(self.t.path("o%d/o/out/x" % self.runs)).read(), "1\n", str(r))

    def done(self):
        self.build_plain()
        self.d.shim("store", "verify")
        self.t.eq(os.listdir(self.d.store + "/tmp"), [])
        self.t.eq(self.d.stop(), 0)
        self.t.ok(self.f.fired_runs, "no call failed")


@test(needs="fuse sandbox faults", timeout=3000)
def build(t):
    rig = Rig(t)
    rig.f.loop("build", KINDS, lambda: rig.command(*rig.build_words()), rig.rest, sample=5)
    rig.done()


@test(needs="fuse faults", timeout=3000)
def commands(t):
    rig = Rig(t)
    out = t.path("out")

    def export():
        shutil.rmtree(out, ignore_errors=True)
        rig.command("snapshot", "export", "main", out)

    def workspace():
        rig.command("workspace", "create", "w", "--from", "main")
        rig.command("workspace", "list", "--json")
        rig.command("workspace", "commit", "w", "--ref", "other")

    def undo(name):
        if rig.d.http("GET", "/v1/workspaces/w").status == 200:
            rig.d.http("DELETE", "/v1/workspaces/w?force=1")
        rig.rest(name)

    rig.f.loop("import", KINDS, lambda: rig.command("snapshot", "import", rig.source, "--ref", "main"), rig.rest, sample=4)
    rig.f.loop("export", KINDS, export, rig.rest, sample=4)
    rig.f.loop("workspace", KINDS, workspace, undo, sample=4)
    rig.f.loop("refs", KINDS, lambda: rig.command("ref", "list"), rig.rest, sample=4)
    rig.f.loop("verify", KINDS, lambda: rig.command("store", "verify"), rig.rest, sample=4)
    rig.f.loop("doctor", KINDS, lambda: rig.command("doctor", "--json"), rig.rest, sample=4)
    rig.done()


@test(needs="faults", timeout=3000)
def without_a_daemon(t):
    f = Faults(t, "orch-shim")
    source = t.tree({"a": "1", ".git/HEAD": "ref: refs/heads/x\n"})

    def run(*words):
        r = t.run(["orch-shim", *words], status=None, env={"ORCH_SOCKET": t.path("none"), **f.env})
        t.ok(r.status in STATUSES, str(r))

    for words in (["build", "--print-input"], ["build", "--dry-run", "--source", source, "--output", "a=b", "--env", "A=1", "--", "true"],
                  ["--help"], ["ref", "list"]):
        f.loop(" ".join(words[:2]), KINDS, lambda w=words: run(*w), lambda _name: None, sample=12)
    t.ok(f.fired_runs, "no call failed")


main()
