"""orch-shim build as its user sees it: incremental builds, the truth about how a command ended, the sandbox."""
from orchtest import *
import itertools

MAKEFILE = """
OBJS = $(patsubst %.c,%.o,$(wildcard *.c))
all: prog
prog: $(OBJS)
\t$(CC) -o $@ $(OBJS)
%.o: %.c common.h
\t@echo COMPILE $<
\t$(CC) -c -o $@ $<
"""


def project(t, files=6):
    """A C program of some files, one of which has a header of its own."""
    tree = {"Makefile": MAKEFILE, "common.h": "#define ONE 1\n", "main.c": "int main(void) { return 0; }\n",
            "keep/": None, "data/asset.bin": os.urandom(100000)}
    for i in range(files):
        tree["f%d.c" % i] = '#include "common.h"\nint f%d(void) { return ONE + %d; }\n' % (i, i)
    return t.tree(tree)


_count = itertools.count(1)


class Run:
    """One orch-shim build: its end, result.json, build.log, the folder of its outputs."""

    def __init__(self, d, source, command, *options, status=0, timeout=120, env=None, key="k"):
        self.dir = d.t.path("out%d" % next(_count))
        self.argv = ["build", "--source", source, "--cache-key", key, "--output-dir", self.dir, *options]
        self.argv += ["--", *command] if command else []
        self.end = d.shim(*self.argv, status=status, timeout=timeout, env=env)
        self.seconds = self.end.seconds
        self.result = self.read_json("result.json")
        self.log = self.read("build.log")

    def find(self, name):
        for folder, _, files in os.walk(self.dir):
            if name in files:
                return os.path.join(folder, name)
        return None

    def read(self, name):
        path = self.find(name)
        if path is None:
            return None
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            return f.read()

    def read_json(self, name):
        text = self.read(name)
        return json.loads(text) if text is not None else None


def sh(script):
    return ["sh", "-c", script]


# ---- where a build starts from

@test(needs="fuse sandbox gcc make")
def a_second_build_compiles_nothing_and_a_third_what_changed(t):
    source = project(t)
    with t.daemon() as d:
        options = ["--output", "prog=prog,required"]
        first = Run(d, source, ["make"], *options)
        t.eq(first.log.count("COMPILE"), 7)
        t.eq(first.result["state"], "succeeded")
        t.ok(first.find("prog"), "prog was not collected")
        second = Run(d, source, ["make"], *options)
        t.eq(second.log.count("COMPILE"), 0)
        t.ok(second.find("prog"), "prog was not collected from the second build")
        t.match(json.dumps(second.result), "unchanged")
        with open(source + "/f3.c", "a") as f:
            f.write("int more(void) { return 3; }\n")
        third = Run(d, source, ["make"], *options)
        t.eq(re.findall(r"COMPILE (\S+)", third.log), ["f3.c"])
        t.eq(os.listdir(source + "/keep"), [], "the source itself was built in")
        t.ok(not os.path.exists(source + "/prog"), "the source itself was built in")


@test(needs="fuse sandbox gcc make")
def a_failed_build_never_replaces_a_good_one(t):
    source = project(t)
    with t.daemon() as d:
        Run(d, source, ["make"])
        with open(source + "/f1.c", "a") as f:
            f.write("syntax error\n")
        broken = Run(d, source, sh("make -k; rm -f f2.o f3.o; exit 1"), status=1)
        t.eq(broken.result["state"], "failed")
        with open(source + "/f1.c", "w") as f:
            f.write("int f1(void) { return 1; }\n")
        good = Run(d, source, ["make"])
        t.eq(re.findall(r"COMPILE (\S+)", good.log), ["f1.c"], "something of the failed build was kept")


@test(needs="fuse sandbox gcc make")
def a_removed_source_is_gone_and_a_made_file_stays(t):
    source = project(t)
    with t.daemon() as d:
        Run(d, source, ["make"])
        os.unlink(source + "/f5.c")
        again = Run(d, source, sh("ls f5.c 2>/dev/null; ls *.o | wc -l"))
        t.ok("f5.c" not in again.log, "a file that was removed from the source is still there")
        t.match(again.log, r"^\s*[67]$")


@test(needs="fuse sandbox gcc make")
def two_builds_at_once_share_no_writable_byte(t):
    source = project(t)
    with t.daemon() as d:
        runs = []
        for i in (1, 2):
            out = t.path("both%d" % i)
            script = "echo %d > mine; make; i=0; while [ $i -lt 20 ]; do cat mine; sleep 0.05; i=$((i+1)); done" % i
            runs.append((i, out, t.start(["orch-shim", "build", "--source", source, "--cache-key", "k", "--output-dir", out,
                                          "--output", "mine=mine,required", "--", *sh(script)],
                                         env={"ORCH_SOCKET": d.socket}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)))
        for i, out, p in runs:
            _, err = p.communicate(timeout=120)
            t.eq(p.returncode, 0, err.decode())
            log = open(os.path.join(out, "build.log")).read()
            t.eq(set(re.findall(r"^[12]$", log, re.M)), {str(i)}, "one build saw the other's file")


# ---- how a command ended

@test(needs="fuse sandbox")
def the_exit_code_is_told_as_it_is(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        r = Run(d, source, sh("exit 3"), status=1)
        t.eq((r.result["state"], r.result["exit_code"]), ("failed", 3))
        r = Run(d, source, sh("kill -9 $$"), status=1)
        t.eq((r.result["state"], r.result["signal"]), ("killed", 9))
        r = Run(d, source, ["/no/such/program"], status=None)
        t.ok(r.end.status in (1, 3), "a program that is not there ended with %d" % r.end.status)


@test(needs="fuse")
def the_local_provider_tells_the_same(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        local = ["--provider-strategy", "local"]
        r = Run(d, source, sh("exit 3"), *local, status=1)
        t.eq((r.result["state"], r.result["exit_code"]), ("failed", 3))
        r = Run(d, source, sh("kill -9 $$"), *local, status=1)
        t.eq((r.result["state"], r.result["signal"]), ("killed", 9))
        Run(d, source, sh("test -f a && echo made > b"), *local, "--output", "b=b,required")


@test(needs="fuse sandbox")
def a_time_out_ends_the_build(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        begin = time.monotonic()
        r = Run(d, source, sh("trap '' TERM; sleep 1000 & sleep 1000"), "--timeout", "1", status=5)
        t.eq(r.result["state"], "timed-out")
        t.ok(time.monotonic() - begin < 30, "it took %g s" % (time.monotonic() - begin))


@test(needs="fuse sandbox")
def an_interrupt_cancels_within_seconds(t):
    source = t.tree({"a": "1"})
    for sig in (signal.SIGINT, signal.SIGTERM):
        with t.daemon(name=str(int(sig))) as d:
            out = t.path("int%d" % sig)
            p = t.start(["orch-shim", "build", "--source", source, "--output-dir", out, "--", *sh("echo started; sleep 1000")],
                        env={"ORCH_SOCKET": d.socket}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            seen = b""
            while b"started" not in seen.split(b"\n")[-2:][0] and b"\nstarted" not in b"\n" + seen:
                chunk = os.read(p.stdout.fileno(), 65536)
                t.ok(chunk, "the build ended: %s" % seen.decode("utf-8", "replace"))
                seen += chunk
            begin = time.monotonic()
            p.send_signal(sig)
            p.stdout.read()
            t.eq(p.wait(20), 4)
            t.ok(time.monotonic() - begin < 5 + 5 * (float(os.environ.get("ORCH_TEST_TIMEOUT_SCALE", "1")) - 1),
                 "it took %g s" % (time.monotonic() - begin))
            t.eq(json.load(open(os.path.join(out, "result.json")))["state"], "cancelled")
            t.eq(d.http("GET", "/v1/workspaces").json()["workspaces"], [], "the workspace was left")


@test(needs="fuse sandbox")
def a_daemonised_child_is_gone_afterwards(t):
    source = t.tree({"a": "1"})
    mark = "97%d" % os.getpid()
    for provider in ("sandbox", "local"):
        with t.daemon(name=provider) as d:
            Run(d, source, sh("(setsid sh -c 'sleep %s & ' >/dev/null 2>&1 </dev/null &) ; sleep 0.2" % mark),
                "--provider-strategy", provider)
            left = [p for p in os.listdir("/proc") if p.isdigit() and _cmdline(p) == ["sleep", mark]]
            t.eq(left, [], provider)


def _cmdline(pid):
    try:
        with open("/proc/%s/cmdline" % pid) as f:
            return f.read().rstrip("\0").split("\0")
    except OSError:
        return []


@test(needs="fuse")
def an_unknown_option_touches_nothing(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        r = d.shim("build", "--source", source, "--outptu", "x=y", "--", "true", status=2)
        t.match(r.stderr, r"--output")
        t.eq(d.http("GET", "/v1/snapshots").json()["snapshots"], [])
        t.ok(not os.path.exists(t.path("orch-output")), "a folder for outputs was made")


@test(needs="fuse sandbox")
def a_missing_required_output_is_named(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        r = Run(d, source, ["true"], "--output", "package=dist/*.zip,required", status=1)
        t.match(r.end.stderr + r.end.stdout, "package")


@test(needs="fuse")
def a_missing_sandbox_is_infrastructure(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        r = Run(d, source, ["true"], status=3, env={"PATH": t.dir("empty")})
        t.match(r.end.stderr + r.end.stdout, r"bwrap|bubblewrap")


@test(needs="fuse sandbox", timeout=300)
def fifty_megabytes_of_log_arrive_complete_and_in_order(t):
    source = t.tree({"a": "1"})
    line = "x" * 90
    count = 50 * 1000 * 1000 // (len(line) + 9)
    with t.daemon() as d:
        r = Run(d, source, ["awk", "BEGIN { for (i = 0; i < %d; i++) printf \"%%08d%s\\n\", i }" % (count, line)])
        lines = r.log.split("\n")
        t.eq(len(lines) - 1, count)
        t.ok(all(int(x[:8]) == i for i, x in enumerate(lines[:-1])), "lines are out of order")
        t.ok(r.log in r.end.stdout or r.log in r.end.stderr or r.end.stdout.count(line) == count,
             "the terminal did not get all of it")


@test(needs="fuse sandbox")
def the_log_is_live(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        fifo = t.path("out-live")
        p = t.start(["orch-shim", "build", "--source", source, "--output-dir", fifo, "--",
                     *sh("echo live; while [ ! -e /nonexistent ]; do sleep 0.1; done")],
                    env={"ORCH_SOCKET": d.socket}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        seen = b""
        while b"\nlive\n" not in b"\n" + seen:
            chunk = os.read(p.stdout.fileno(), 65536)
            t.ok(chunk, "the build ended: %s" % seen.decode("utf-8", "replace"))
            seen += chunk
        p.send_signal(signal.SIGTERM)
        p.stdout.read()
        t.eq(p.wait(20), 4)


# ---- the sandbox

@test(needs="fuse sandbox root")
def the_sandbox_shows_and_allows_nothing_else(t):
    source = t.tree({"a": "1"})
    script = """
        echo caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
        echo bound=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
        for x in / /usr /etc /bin /lib /dev; do touch $x/probe 2>/dev/null && echo "wrote $x"; done
        mount -o remount,rw / 2>/dev/null && echo remounted
        for x in /root /run; do [ -z "$(ls -A $x 2>/dev/null)" ] || echo "saw $x: $(ls -A $x)"; done
        for x in /home/*; do [ "$x" = "$HOME" ] || [ "$x" = "/home/*" ] || echo "saw $x"; done
        for x in %s %s %s; do [ ! -e "$x" ] || echo "saw $x"; done
        echo secret=$ORCH_SOCKET$MY_SECRET
        echo pwd=$PWD home=$HOME
        touch mine && echo ok-workspace; touch /tmp/x && echo ok-tmp
        for p in /proc/[0-9]*; do grep -q "[f]oreground" $p/cmdline 2>/dev/null && echo "saw $p"; done
        echo end
    """
    with t.daemon() as d:
        r = Run(d, source, sh(script % (d.store, d.socket, d.mounts)), env={"MY_SECRET": "s3cret"})
        t.match(r.log, r"^caps=0+$")
        t.match(r.log, r"^end$")
        t.match(r.log, r"^ok-workspace$")
        t.match(r.log, r"^ok-tmp$")
        t.match(r.log, r"^secret=$")
        for bad in ("wrote", "remounted", "saw"):
            t.ok(not re.search("^%s" % bad, r.log, re.M), r.log)


@test(needs="fuse sandbox")
def the_environment_is_an_allow_list(t):
    source = t.tree({"a": "1"})
    with t.daemon() as d:
        env = {"MY_SECRET": "s3cret", "WANTED": "from-outside"}
        r = Run(d, source, ["env"], "--env", "WANTED", "--env", "GIVEN=x y", env=env)
        t.ok("s3cret" not in r.log, "the environment leaks into the sandbox")
        t.match(r.log, "^WANTED=from-outside$")
        t.match(r.log, "^GIVEN=x y$")


# ---- survival

@test(needs="fuse sandbox gcc make")
def a_killed_daemon_loses_nothing_between_builds(t):
    source = project(t)
    d = t.daemon()
    d.start()
    Run(d, source, ["make"])
    d.kill()
    d.start()
    again = Run(d, source, ["make"])
    t.eq(again.log.count("COMPILE"), 0)
    d.stop()
    t.eq(d.log_problems(), [])


main()
