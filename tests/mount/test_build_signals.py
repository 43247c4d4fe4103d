"""orch-shim build and signals: cancelled in every phase, killed at every phase, undone by the next."""
from orchtest import *

PHASES = ["connecting to the daemon", "importing the source", "choosing what to start from", "making the workspace",
          "running the command", "collecting the outputs", "keeping the result for the next build"]


class Builds:
    def __init__(self, t):
        self.t = t
        self.source = t.tree({"d%d/f%d" % (i % 20, i): "x%d" % i for i in range(400)})
        self.env = {"ORCH_SOCKET": t.path("s"), "ORCH_STORE": t.path("store"), "ORCH_MOUNTS": t.path("mnt")}
        self.count = 0
        t.finally_(self.stop)

    def start(self, *args, script="echo run; sleep 0.3; echo made > out"):
        self.count += 1
        self.out = self.t.path("out%d" % self.count)
        return self.t.start(["orch-shim", "build", "--verbose", "--source", self.source, "--output-dir", self.out, "--output",
                             "o=out", "--cache-key", "k", *args, "--", "sh", "-c", script],
                            env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def until(self, q, phase):
        """Reads what the build says until it begins that phase."""
        said = []
        for line in iter(q.stderr.readline, b""):
            said.append(line.decode())
            if said[-1] == "orch-shim: %s\n" % phase:
                return
        raise AssertionError("'%s' never began:\n%s" % (phase, "".join(said)))

    def shim(self, *args, **kwargs):
        return self.t.run(["orch-shim", *args], env=self.env, **kwargs)

    def is_clean(self):
        t = self.t
        if self.shim("daemon", "status", status=None).status != 0:
            return  # cancelled before it had one
        t.eq(json.loads(self.shim("workspace", "list", "--json").stdout)["workspaces"], [])
        t.eq([n for n in os.listdir(self.env["ORCH_SOCKET"] + ".runs") if n.endswith(".run")], [])

    def stop(self):
        self.t.run(["orch-shim", "daemon", "stop", "--force"], env=self.env, status=None)


def ended(t, q, begin, limit=5.0):
    q.stderr.read()
    status = q.wait(60)
    took = time.monotonic() - begin
    t.ok(took < limit * max(1, float(os.environ.get("ORCH_TEST_TIMEOUT_SCALE", "1"))), "it took %.1f s" % took)
    return status


@test(needs="fuse sandbox", timeout=240)
def a_signal_cancels_in_every_phase(t):
    b = Builds(t)
    for sig in signal.SIGINT, signal.SIGTERM:
        for phase in PHASES:
            q = b.start()
            b.until(q, phase)
            begin = time.monotonic()
            q.send_signal(sig)
            status = ended(t, q, begin)
            # the last phases may be over before the signal comes
            t.ok(status == 4 or (status == 0 and phase == PHASES[-1]), "%s: %s" % (phase, status))
            t.eq(json.load(open(b.out + "/result.json"))["state"], "cancelled" if status == 4 else "succeeded")
            b.is_clean()


@test(needs="fuse sandbox")
def a_command_that_ignores_the_signal_is_killed(t):
    b = Builds(t)
    q = b.start(script="trap '' TERM INT; echo go; while :; do sleep 1; done")
    b.until(q, "running the command")
    wait_until(lambda: os.path.getsize(b.out + "/build.log") > 0)
    begin = time.monotonic()
    q.send_signal(signal.SIGTERM)
    t.eq(ended(t, q, begin), 4)
    b.is_clean()


@test(needs="fuse sandbox")
def a_second_signal_waits_for_nothing(t):
    b = Builds(t)
    q = b.start(script="trap '' TERM INT; echo go; while :; do sleep 1; done")
    b.until(q, "running the command")
    wait_until(lambda: os.path.getsize(b.out + "/build.log") > 0)
    q.send_signal(signal.SIGINT)
    time.sleep(0.1)
    begin = time.monotonic()
    q.send_signal(signal.SIGINT)
    t.eq(ended(t, q, begin, 3.0), 4)


@test(needs="fuse sandbox", timeout=240)
def what_a_killed_build_left_the_next_one_removes(t):
    b = Builds(t)
    for phase in PHASES:
        q = b.start(script="echo run; sleep 30")if phase == "running the command" else b.start()
        b.until(q, phase)
        q.kill()
        q.wait(20)
        q.stderr.close()
        q = b.start()
        t.eq(ended(t, q, time.monotonic(), 60), 0)
        b.is_clean()


@test(needs="fuse sandbox")
def gc_removes_it_too(t):
    b = Builds(t)
    q = b.start(script="echo run; sleep 98%d" % os.getpid())
    b.until(q, "running the command")
    wait_until(lambda: os.path.getsize(b.out + "/build.log") > 0)
    q.kill()
    q.wait(20)
    q.stderr.close()
    t.match(b.shim("gc", "--dry-run").stderr, "would remove workspace run-")
    t.eq(len(json.loads(b.shim("workspace", "list", "--json").stdout)["workspaces"]), 1)
    t.match(b.shim("gc").stderr, "removing workspace run-")
    b.is_clean()
    t.match(b.shim("gc").stderr, "no killed run has left anything")
    left = [p for p in os.listdir("/proc") if p.isdigit() and
            ("sleep\0" + "98%d" % os.getpid()).encode() in open_cmdline(p)]
    t.eq(left, [])


@test(needs="fuse sandbox", timeout=180)
def a_damaged_journal_is_told_and_nothing_of_it_is_touched(t):
    b = Builds(t)
    runs = b.env["ORCH_SOCKET"] + ".runs"

    def killed():
        before = set(os.listdir(runs)) if os.path.isdir(runs) else set()
        q = b.start(script="echo run; sleep 30")
        b.until(q, "running the command")
        q.kill()
        q.wait(20)
        q.stderr.close()
        return next(n for n in os.listdir(runs) if n.endswith(".run") and n not in before)[:-len(".run")]

    def workspaces():
        return {x["name"] for x in json.loads(b.shim("workspace", "list", "--json").stdout)["workspaces"]}

    hurt = killed()
    mine = workspaces()
    t.eq(len(mine), 1)
    path = "%s/%s.run" % (runs, hurt)
    text = open(path).read()
    with open(path, "w") as f:  # as if it had made something else
        f.write(text.replace(next(iter(mine)), "precious"))
    b.shim("workspace", "create", "precious", "--from", json.loads(b.shim("snapshot", "list", "--json").stdout)["snapshots"][0]["id"])
    other = killed()  # this build meets it, too
    said = b.shim("gc").stderr
    t.match(said, "the journal of a run, .*%s.run, can't be trusted" % hurt)
    t.match(said, "removing workspace run-.* of run %s" % other)
    t.ok("removing workspace precious" not in said, said)
    t.eq(workspaces(), mine | {"precious"})
    t.ok("no killed run" not in b.shim("gc").stderr, "a damaged journal is something left")
    with open(path, "w") as f:
        f.write(text)
    b.shim("workspace", "drop", "precious")
    b.shim("gc")
    b.is_clean()


def open_cmdline(pid):
    with contextlib.suppress(OSError):
        return open("/proc/%s/cmdline" % pid, "rb").read()
    return b""


@test(needs="fuse sandbox")
def a_daemon_that_hangs_holds_up_no_cancel(t):
    b = Builds(t)
    q = b.start(script="echo run; sleep 30")
    b.until(q, "running the command")
    wait_until(lambda: os.path.getsize(b.out + "/build.log") > 0)
    pid = json.loads(b.shim("daemon", "status", "--json").stdout)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        q.send_signal(signal.SIGTERM)
        t.eq(ended(t, q, begin), 4)
    finally:
        os.kill(pid, signal.SIGCONT)
    t.eq(ended(t, b.start(), time.monotonic(), 60), 0)
    b.is_clean()


@test(needs="fuse sandbox")
def a_daemon_killed_while_the_command_runs_is_started_again(t):
    b = Builds(t)
    q = b.start(script="echo run; while ! [ -e stop ]; do sleep 0.1; done; echo made > out")
    b.until(q, "running the command")
    wait_until(lambda: os.path.getsize(b.out + "/build.log") > 0)
    workspace = json.loads(b.shim("workspace", "list", "--json").stdout)["workspaces"][0]
    os.kill(json.loads(b.shim("daemon", "status", "--json").stdout)["pid"], signal.SIGKILL)
    with open(workspace["path"] + "/stop", "w"):
        pass
    t.eq(ended(t, q, time.monotonic(), 60), 0)
    t.eq(open(b.out + "/o/out").read(), "made\n")
    b.is_clean()


@test(needs="fuse sandbox", timeout=180)
def a_living_builds_things_are_left_alone(t):
    b = Builds(t)
    q = b.start(script="echo run; while ! [ -e stop ]; do sleep 0.1; done; echo made > out")
    b.until(q, "running the command")
    workspace = json.loads(b.shim("workspace", "list", "--json").stdout)["workspaces"][0]
    t.match(b.shim("gc").stderr, "no killed run has left anything")
    other = b.start()
    t.eq(ended(t, other, time.monotonic(), 60), 0)
    with open(workspace["path"] + "/stop", "w"):
        pass
    t.eq(ended(t, q, time.monotonic(), 60), 0)


main()
