"""orch-shim build: its ends, what it leaves, what the next one starts from."""
import grp

from orchtest import *


class Project:
    """A folder that is built with one key, a daemon started by the first build."""

    def __init__(self, t, files=None, env=None):
        self.t = t
        self.source = t.tree(files or {"in": "1\n"})
        self.socket = t.path("s")
        self.env = {"ORCH_SOCKET": self.socket, "ORCH_STORE": t.path("store"), "ORCH_MOUNTS": t.path("mnt")}
        self.env.update(env or {})
        self.count = 0
        t.finally_(self.stop)

    def argv(self, *args, command):
        self.count += 1
        out = self.t.path("out%d" % self.count)
        return ["orch-shim", "build", "--source", self.source, "--output-dir", out, *args, "--", *command], out

    def build(self, *args, command, status=0, env=None, timeout=60):
        """The result.json of a build, with the process's result as .process."""
        argv, out = self.argv(*args, command=command)
        r = self.t.run(argv, status=status, env={**self.env, **(env or {})}, timeout=timeout)
        result = Result(json.load(open(out + "/result.json")))
        result.process, result.folder = r, out
        result.log = open(out + "/build.log", "rb").read()
        json.load(open(out + "/manifest.json"))
        self.t.ok("<html" in open(out + "/report.html").read())
        return result

    def sh(self, script, *args, **kwargs):
        return self.build(*args, command=["sh", "-c", script], **kwargs)

    def shim(self, *args, **kwargs):
        return self.t.run(["orch-shim", *args], env=self.env, **kwargs)

    def refs(self):
        return {r["name"]: r["id"] for r in json.loads(self.shim("ref", "list", "--json").stdout)["refs"]}

    def workspaces(self):
        return [w["name"] for w in json.loads(self.shim("workspace", "list", "--json").stdout)["workspaces"]]

    def stop(self):
        self.t.run(["orch-shim", "daemon", "stop", "--force"], env=self.env, status=None)


class Result(dict):
    pass


def outputs(result, name):
    return {f["path"]: f for o in result["outputs"] if o["name"] == name for f in o["files"]}


# ---- exit truth

@test(needs="fuse sandbox")
def success_leaves_everything(t):
    p = Project(t)
    r = p.sh("cat in > out; echo said; echo erred >&2", "--output", "bin=out,required")
    t.eq((r["state"], r["exit_code"], r["signal"]), ("succeeded", 0, None))
    t.eq(r.log, b"said\nerred\n")
    t.eq(r.process.stdout, "said\nerred\n")
    t.eq(open(r.folder + "/bin/out").read(), "1\n")
    t.eq(outputs(r, "bin")["out"]["sha256"], hashlib.sha256(b"1\n").hexdigest())
    t.eq(p.workspaces(), [])
    t.match(r.process.stderr, "succeeded after")
    t.eq(os.listdir(p.socket + ".runs"), ["tasks"] if os.path.isdir(p.socket + ".runs/tasks") else [])


@test(needs="fuse sandbox")
def the_exit_code_is_the_commands(t):
    p = Project(t)
    r = p.sh("exit 3", status=1)
    t.eq((r["state"], r["exit_code"], r["signal"]), ("failed", 3, None))
    t.match(r.process.stderr, "exit code 3")


@test(needs="fuse sandbox")
def a_signal_is_told(t):
    p = Project(t)
    for provider in "sandbox", "local":
        r = p.sh("kill -9 $$", "--provider-strategy", provider, status=1)
        t.eq((r["state"], r["signal"]), ("killed", 9))
        t.ok(r["exit_code"] is None or r["exit_code"] < 0, r["exit_code"])


@test(needs="fuse sandbox")
def a_command_that_is_not_there_fails(t):
    p = Project(t)
    r = p.build(command=["no-such-program"], status=1)
    t.eq((r["state"], r["exit_code"]), ("failed", 127))


@test(needs="fuse sandbox")
def fifty_megabytes_of_log_arrive_complete_live_and_in_order(t):
    p = Project(t)
    script = "i=0; while [ $i -lt 50 ]; do head -c 1048575 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; echo $i"
    r = p.sh(script)
    want = (b"x" * 1048575 + b"\n") * 50 + b"50\n"
    t.ok(r.log == want, "build.log: %d bytes" % len(r.log))
    t.ok(r.process.stdout.encode() == want, "standard output: %d bytes" % len(r.process.stdout))


@test(needs="fuse sandbox")
def a_log_nobody_reads_holds_up_nothing(t):
    p = Project(t)
    argv, out = p.argv(command=["sh", "-c", "head -c 5000000 /dev/zero; echo done > out"])
    r, w = os.pipe()
    q = t.start(argv, env=p.env, stdout=w, stderr=subprocess.DEVNULL)
    os.close(w)
    os.close(r)
    t.eq(q.wait(60), 0)
    t.eq(os.path.getsize(out + "/build.log"), 5000000)


@test(needs="fuse sandbox")
def a_slow_reader_gets_all_of_the_log(t):
    p = Project(t)
    argv, out = p.argv(command=["sh", "-c", "head -c 3000000 /dev/zero"])
    q = t.start(argv, env=p.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(out + "/manifest.json"))
    t.eq(q.poll(), None)
    t.eq(len(q.stdout.read()), 3000000)
    t.eq(q.wait(20), 0)


@test(needs="fuse sandbox")
def a_daemonised_child_is_gone(t):
    p = Project(t)
    mark = "sleep 77%d" % os.getpid()
    p.sh("(setsid setsid %s >/dev/null 2>&1 &) ; true" % mark)
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                t.ok(mark.encode() != open("/proc/%s/cmdline" % name, "rb").read().replace(b"\0", b" ").strip(), name)


@test(needs="fuse sandbox")
def a_time_out_is_its_own_end(t):
    p = Project(t)
    begin = time.monotonic()
    r = p.sh("trap '' TERM; sleep 60 & wait; sleep 60", "--timeout", "1", status=5)
    t.eq(r["state"], "timed-out")
    t.ok(time.monotonic() - begin < 15)
    t.eq(p.workspaces(), [])


@test(needs="fuse sandbox")
def a_required_output_that_is_missing_fails_by_name(t):
    p = Project(t)
    r = p.sh("true", "--output", "bin=out/*.bin,required", "--output", "log=*.log", status=1)
    t.eq(r["state"], "failed")
    t.match(r["reason"], "required output missing: bin")
    t.ok("build/" not in "".join(p.refs()))


@test(needs="fuse")
def without_the_sandbox_program_it_is_infrastructure(t):
    p = Project(t)
    for name in "sh", "true", "fusermount3":
        if shutil.which(name):
            os.makedirs(t.path("bin"), exist_ok=True)
            os.symlink(shutil.which(name), t.path("bin", name))
    r = p.sh("true", status=3, env={"PATH": t.path("bin")})
    t.eq(r["state"], "infrastructure-error")
    t.match(r["reason"], "bwrap|bubblewrap")
    t.eq(p.workspaces(), [])


@test(needs="fuse sandbox")
def test_results_must_be_new_and_hold_a_test(t):
    p = Project(t, {"old.xml": "<testsuite><testcase/></testsuite>"})
    junit = "<testsuite><testcase name=\\\"a\\\"/><testcase><skipped/></testcase></testsuite>"
    r = p.sh('echo "%s" > new.xml' % junit, "--test-results", "new.xml")
    t.eq((r["tests"]["total"], r["tests"]["skipped"]), (2, 1))
    r = p.sh('mkdir -p a/b c; echo "%s" | tee a/b/r.xml > c/r.xml' % junit, "--test-results", "a/**/r.xml", "--test-results", "c/")
    t.eq((r["tests"]["files"], r["tests"]["total"]), (2, 4))
    for script, glob, why in (("true", "old.xml", "older than this build"), ("true", "*.nunit", "there is no such file"),
                              ("echo '<testsuite/>' > n.xml", "n.xml", "there is no test in it"),
                              ("echo PASS > n.xml", "n.xml", "not XML")):
        r = p.sh(script, "--test-results", glob, status=1)
        t.eq(r["state"], "failed")
        t.match(r["reason"], why)


@test(needs="fuse sandbox")
def a_folder_of_somebodys_is_left_alone(t):
    p = Project(t)
    for name in "bin/x", "manifest.json", "build.log":
        folder = t.tree({name: "mine"})
        r = p.shim("build", "--source", p.source, "--output-dir", folder, "--output", "bin=in", "--", "true", status=2)
        t.match(r.stderr, "no run has made it")
        t.eq(open(folder + "/" + name).read(), "mine")
        t.eq(len(os.listdir(folder)), 1)
    r = p.shim("build", "--source", p.source, "--output-dir", p.source, "--", "true", status=2)
    t.match(r.stderr, "is the source itself")
    t.match(p.shim("build", "--output", "build.log=x", "--", "true", status=2).stderr, "of its own")


@test(needs="fuse sandbox")
def a_folder_of_an_earlier_run_serves_again(t):
    p = Project(t)
    folder = t.dir()
    t.tree({"other": "mine"}, at=folder)
    for words in (["a", "b"], ["c"]):
        p.shim("build", "--source", p.source, "--output-dir", folder, "--skip-cache", "--output", "o=[a-c]", "--",
               "touch", *words)
        t.eq(sorted(os.listdir(folder + "/o")), words)
        t.eq(sorted(os.listdir(folder)), ["build.log", "manifest.json", "o", "other", "report.html", "result.json"])


# ---- from build to build

@test(needs="fuse sandbox")
def a_folder_serves_one_run_at_a_time(t):
    p = Project(t)
    argv, out = p.argv("--output", "o=made", command=["sh", "-c", "echo go; while ! [ -e stop ]; do sleep 0.05; done; echo 1 > made"])
    q = t.start(argv, env=p.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(out + "/build.log") and os.path.getsize(out + "/build.log"))
    r = t.run(argv[:-1] + ["true"], env=p.env, status=2)
    t.match(r.stderr, "the run's folder .*/out1: another build is writing to it")
    name, = p.workspaces()
    t.tree({"stop": ""}, at=t.path("mnt/" + name))
    t.eq(q.wait(20), 0)
    t.eq(open(out + "/o/made").read(), "1\n")
    # killed, it holds nothing back
    q = t.start(argv[:-1] + ["echo go; rm -f stop; sleep 600"], env=p.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(out + "/build.log") and os.path.getsize(out + "/build.log"))
    q.kill()
    q.wait(20)
    t.run(argv[:-1] + ["echo 2 > made"], env=p.env)
    t.eq(open(out + "/o/made").read(), "2\n")


@test(needs="fuse sandbox")
def a_result_that_is_a_source_too_is_its_own_base(t):
    p = Project(t)
    p.sh("true")
    p.shim("snapshot", "import", p.source, "--ref", "mine")
    t.tree({"new": "x"}, at=p.source)
    r = p.sh("ls")
    t.eq(r.log, b"in\nnew\n")
    t.eq(r["cache"]["hit"], True)
    t.match(r["cache"]["why"], "started from the .*: 1 of 2 source files unchanged")


@test(needs="fuse sandbox")
def an_empty_command_touches_nothing(t):
    p = Project(t)
    argv, out = p.argv(command=[""])
    t.match(t.run(argv, env=p.env, status=2).stderr, "the command behind -- is empty")
    t.match(t.run(argv[:-2] + ["--build-command", ""], env=p.env, status=2).stderr, "nothing to run")
    t.eq((os.path.exists(out), os.path.exists(p.socket)), (False, False))


# ---- what mends it

def as_nobody(t, d, *args, status):
    """orch-shim as a user who may not be able to reach this clone."""
    copy = shutil.copy(program("orch-shim"), t.path("orch-shim"))
    return t.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copy, *args],
                 env={"ORCH_SOCKET": d.socket, "HOME": t.path("home")}, status=status)


@test(needs="fuse root")
def a_source_that_cant_be_read_is_the_users(t):
    source = t.tree({"a": "x", "secret": "y"})
    os.chmod(source + "/secret", 0o600)
    os.chmod(t.path("."), 0o755)
    for folder in t.dir("home"), t.dir("s.runs"):
        os.chown(folder, 65534, 65534)
    with t.daemon() as d:
        os.chmod(d.socket, 0o666)
        out = t.path("home/out")
        r = as_nobody(t, d, "build", "--source", source, "--output-dir", out, "--retries", "3", "--", "true", status=2)
        t.match(r.stderr, "secret")
        t.match(r.stderr, "next: *Make it readable for the user who builds")
        t.ok("trying again" not in r.stderr)
        os.chmod(d.socket, 0o600)
        for args in ["ref", "list"], ["daemon", "status"]:
            said = as_nobody(t, d, *args, status=3).stderr
            t.match(said, "ask root to start the daemon .*use sudo")
            t.ok("usermod" not in said, said)
        os.chown(d.socket, 0, 1)
        t.match(as_nobody(t, d, "ref", "list", status=3).stderr, "usermod -aG %s USER" % grp.getgrgid(1).gr_name)


@test(needs="fuse sandbox")
def the_second_build_starts_from_the_first(t):
    p = Project(t, {"in": "1\n", "other": "x"})
    script = "[ out -nt in ] || { cat in > out; echo made; }"
    first = p.sh(script, "--output", "bin=out")
    t.eq((first.log, first["cache"]["hit"]), (b"made\n", False))
    second = p.sh(script, "--output", "bin=out")
    t.eq((second.log, second["cache"]["hit"], second["cache"]["from"]), (b"", True, first["run"]))
    t.eq(outputs(second, "bin")["out"]["change"], "unchanged")
    t.match(second.process.stderr, "started from the result of run %s: 2 of 2 source files unchanged" % first["run"])
    with open(p.source + "/in", "w") as f:
        f.write("2\n")
    third = p.sh(script, "--output", "bin=out")
    t.eq(third.log, b"made\n")
    t.eq(outputs(third, "bin")["out"]["change"], "produced")
    t.eq(open(third.folder + "/bin/out").read(), "2\n")
    t.match(third.process.stderr, "1 of 2 source files unchanged")


@test(needs="fuse sandbox")
def a_failed_build_replaces_nothing(t):
    p = Project(t)
    p.sh("echo good > out")
    good = p.refs()
    r = p.sh("echo bad > out; exit 1", status=1)
    t.eq(r["cache"]["hit"], True)
    t.eq({n: i for n, i in p.refs().items() if n.startswith("build/")}, {n: i for n, i in good.items() if n.startswith("build/")})
    t.eq(p.sh("cat out").log, b"good\n")


@test(needs="fuse sandbox")
def what_the_source_removes_is_gone_and_what_the_build_made_stays(t):
    p = Project(t, {"a": "1", "b": "2"})
    p.sh("touch made; rm a; echo 3 > b")
    os.unlink(p.source + "/b")
    r = p.sh("ls")
    t.eq(r.log, b"a\nmade\n")


@test(needs="fuse sandbox")
def what_a_build_does_to_its_source_the_next_one_does_not_see(t):
    p = Project(t, {"v": "1\n"})
    for n in range(3):
        r = p.sh("echo built >> v; cat v; echo x >> made; wc -l < made")
        t.eq(r.log, b"1\nbuilt\n%d\n" % (n + 1))
        t.eq(r["cache"]["hit"], n > 0)
        t.eq("1 source file that the last build had changed was put back" in r.process.stderr, n > 0, r.process.stderr)
    with open(p.source + "/v", "w") as f:
        f.write("2\n")
    t.eq(p.sh("cat v").log, b"2\n")


@test(needs="fuse sandbox")
def removed_and_retyped_source_files_come_back(t):
    p = Project(t, {"gone": "1", "file": "2", "d/e/f": "3", "x": "4"})
    os.chmod(p.source + "/x", 0o755)
    script = "find . -type f | sort; cat gone file d/e/f; [ -x x ]; rm -r gone file d; mkdir file; touch file/a file/b made; chmod 644 x; echo 5 > d"
    first = p.sh(script)
    second = p.sh(script)
    t.eq(first.log, b"./d/e/f\n./file\n./gone\n./x\n123")
    t.eq(second.log, first.log.replace(b"./x", b"./made\n./x"))
    t.match(second["cache"]["why"], "6 source files that the last build had changed were put back")
    t.match(second["cache"]["why"], "6 of 6 source files unchanged")


@test(needs="fuse sandbox")
def a_source_that_nobody_changed_keeps_its_times_and_its_start(t):
    p = Project(t, {"in": "1\n", "d/same": "2\n"})
    p.sh("true")
    first = p.sh("stat -c '%n %i %y' in d; touch made")
    second = p.sh("stat -c '%n %i %y' in d; exit 1", status=1)
    third = p.sh("stat -c '%n %i %y' in d; ls")
    t.eq(second.log, first.log)
    t.eq(third.log, first.log + b"d\nin\nmade\n")
    t.eq(third["cache"]["from"], first["run"])
    t.ok("put back" not in third.process.stderr)


@test(needs="fuse sandbox")
def keys_do_not_share(t):
    p = Project(t)
    p.sh("touch made", "--cache-key", "one")
    t.eq(p.sh("ls", "--cache-key", "two").log, b"in\n")
    t.eq(p.sh("ls", "--cache-key", "one").log, b"in\nmade\n")
    t.eq(p.sh("ls", "--cache-key", "one", "--skip-cache").log, b"in\n")
    t.eq(sorted(p.refs()), ["build/one", "build/two", "source/one", "source/two"])


@test(needs="fuse sandbox", timeout=180)
def two_at_once_share_nothing(t):
    p = Project(t)
    script = "echo $ORCH_RUN > mine; sleep 1; [ $(cat mine) = $ORCH_RUN ]"
    made = [p.argv("--output", "o=mine,required", command=["sh", "-c", script]) for _ in range(2)]
    running = [t.start(argv, env=p.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for argv, _ in made]
    for q in running:
        out = q.communicate(timeout=60)[0]
        t.eq(q.returncode, 0, out.decode())
    mine = [open(out + "/o/mine").read() for _, out in made]
    t.ok(mine[0] != mine[1])
    t.ok(p.sh("cat mine").log.decode() in mine)
    t.eq(p.workspaces(), [])


# ---- workspaces that stay

@test(needs="fuse sandbox")
def a_retained_workspace_goes_on(t):
    p = Project(t)
    p.sh("echo 1 > made; exit 1", "--workspace", "w", status=1)
    t.eq(p.workspaces(), ["w"])
    r = p.sh("ls", "--workspace", "w")
    t.eq(r.log, b"in\nmade\n")
    t.match(r["cache"]["why"], "started from workspace w as it was left: 1 of 1 source files unchanged")
    t.tree({"new": "x"}, at=p.source)
    t.eq(p.sh("ls; echo $LOCKED_WORKSPACE", "--workspace", "w").log, b"in\nmade\nnew\nw\n")
    r = p.sh("true", "--retain")
    t.eq(sorted(p.workspaces()), sorted(["w", "run-" + r["run"]]))


@test(needs="fuse sandbox")
def one_build_at_a_time_in_a_retained_workspace(t):
    p = Project(t)
    argv, out = p.argv("--workspace", "w", command=["sh", "-c", "echo in; while ! [ -e stop ]; do sleep 0.05; done"])
    q = t.start(argv, env=p.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(out + "/build.log") and os.path.getsize(out + "/build.log"))
    r = p.sh("true", "--workspace", "w", "--retries", "1", status=3)
    t.match(r["reason"], "workspace w: another build is in it")
    t.match(r.process.stderr, "trying again in 1 s, retry 1 of 1")
    t.tree({"stop": ""}, at=t.path("mnt/w"))
    t.eq(q.wait(20), 0)


# ---- the mount process ends while the command runs

class Running:
    """A build whose command says "go" and waits for its mount to be killed."""

    def __init__(self, p, *args, script):
        self.p, t = p, p.t
        argv, self.out = p.argv("--verbose", *args, command=["sh", "-c", "echo go; " + script])
        self.begin = time.monotonic()
        self.process = t.start(argv, env=p.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.out + "/build.log") and b"go" in open(self.out + "/build.log", "rb").read())
        w, = json.loads(p.shim("workspace", "list", "--json").stdout)["workspaces"]
        os.kill(w["pid"], signal.SIGKILL)

    def result(self, status):
        self.p.t.eq(self.process.wait(60), status)
        return json.load(open(self.out + "/result.json"))


@test(needs="fuse sandbox")
def a_mount_that_dies_is_infrastructure(t):
    p = Project(t)
    for script in "while ls . 2>&1; do sleep 0.1; done; exit 7", "while ls .; do sleep 0.1; done; exit 0", "sleep 300":
        b = Running(p, "--output", "o=in", script=script)
        r = b.result(3)
        t.ok(time.monotonic() - b.begin < 60, "nobody waited for a command that has lost its mount")
        t.eq(r["state"], "infrastructure-error")
        t.match(r["reason"], "the mount process of workspace run-.* ended during the build")
        t.eq(p.workspaces(), [])


@test(needs="fuse sandbox")
def a_mount_that_dies_is_retried(t):
    p = Project(t)
    for args in [], ["--workspace", "w"]:
        once = "[ -e $ONCE ] && exit 0; : >$ONCE; while ls .; do sleep 0.1; done; exit 7"
        tag = t.path("once%d" % len(args))
        r = Running(p, "--retries", "1", "--provider-strategy", "local", "--env", "ONCE=" + tag, *args, script=once)
        r = r.result(0)
        t.eq((r["state"], r["exit_code"], r["attempts"]), ("succeeded", 0, 2))


# ---- what the command finds

@test(needs="fuse sandbox")
def the_environment_is_the_contracts(t):
    p = Project(t, {"sub/x": ""})
    r = p.sh("pwd; env", "--env", "MINE=a b", "--env", "FROM_US", "--project-path", "sub", "--target-platform", "Android",
             "--cache-key", "k", env={"FROM_US": "1", "SECRET_OF_OURS": "2", "GITHUB_SHA": "abc", "GITHUB_TOKEN": "no", "buildName": "game"})
    env = dict(x.split("=", 1) for x in r.log.decode().splitlines()[1:])
    t.eq(r.log.decode().splitlines()[0], "/github/workspace/sub")
    for name, value in (("MINE", "a b"), ("FROM_US", "1"), ("GITHUB_WORKSPACE", "/github/workspace"), ("BUILD_TARGET", "Android"),
                        ("CACHE_KEY", "k"), ("GIT_SHA", "abc"), ("PROJECT_PATH", "sub"), ("BUILD_NAME", "game"), ("ORCH_RUN", r["run"])):
        t.eq(env.get(name), value, name)
    t.match(r["reproduce"], "--env MINE --env FROM_US ")
    t.ok("a b" not in open(r.folder + "/result.json").read() + open(r.folder + "/report.html").read().split("build.log")[0])
    t.ok("SECRET_OF_OURS" not in env and "GITHUB_TOKEN" not in env, env)


@test(needs="fuse sandbox")
def the_source_is_everything_but_what_is_ignored(t):
    p = Project(t, {"a": "", ".git/HEAD": "x", "b.tmp": "", ".orchignore": "*.tmp\n", "c.log": ""})
    r = p.sh("find . -type f | sort", "--exclude", "*.log")
    t.eq(r.log, b"./.git/HEAD\n./.orchignore\n./a\n")


@test(needs="fuse sandbox")
def odd_names_and_long_paths(t):
    p = Project(t)
    deep = t.path("with a space", "x" * 100, "caf\u00e9")
    os.makedirs(deep)
    p.source = t.tree({"a b": "1"}, at=deep)
    with open(os.fsencode(deep) + b"/bad\xff\nname", "w") as f:
        f.write("2")
    r = p.sh("ls | wc -l; cat *", "--output", "all=*")
    t.eq(r.log, b"3\n12")
    t.eq(sorted(os.listdir(os.fsencode(r.folder) + b"/all")), [b"a b", b"bad\xff\nname"])
    t.eq(sorted(f["change"] for o in r["outputs"] for f in o["files"]), ["unchanged", "unchanged"])


@test(needs="fuse sandbox")
def the_output_folder_and_a_store_inside_are_no_source(t):
    p = Project(t)
    p.env.update({"ORCH_STORE": p.source + "/.store", "ORCH_MOUNTS": p.source + "/.mnt"})
    for _ in range(2):
        r = t.run(["orch-shim", "build", "--", "sh", "-c", "ls -A"], env=p.env, cwd=p.source)
        t.eq(r.stdout, "in\n")
    t.eq(len(os.listdir(p.source + "/orch-output")), 2)


@test(needs="fuse sandbox")
def github_gets_its_summary_and_outputs(t):
    p = Project(t)
    env = {"GITHUB_STEP_SUMMARY": t.path("summary"), "GITHUB_OUTPUT": t.path("outputs"), "GITHUB_WORKSPACE": p.source}
    r = p.sh("touch x; exit 4", "--output", "o=x", status=1, env=env)
    t.match(open(t.path("summary")).read(), "### orch: failed")
    t.match(open(t.path("outputs")).read(), r"engineExitCode<<(orch_\w+)\n4\n\1\n")
    t.match(open(t.path("outputs")).read(), "artifactManifestPath<<.*\n%s/manifest.json" % r.folder)


@test(needs="fuse sandbox")
def json_on_standard_output_is_the_result(t):
    p = Project(t)
    r = p.sh("echo said", "--json")
    doc = json.loads(r.process.stdout)
    t.eq(doc["run"], r["run"])
    t.match(r.process.stderr, "^said$")


@test(needs="fuse sandbox")
def the_daemon_of_a_build_ends_by_itself(t):
    p = Project(t)
    p.sh("true")
    wait_until(lambda: t.run(["orch-shim", "daemon", "status"], env=p.env, status=None).status == 3, 60, "the daemon's end", 11)


@test(needs="fuse sandbox")
def a_daemon_killed_between_two_builds_loses_nothing(t):
    p = Project(t)
    p.sh("touch made")
    pid = json.loads(p.shim("daemon", "status", "--json").stdout)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists("/proc/%d" % pid))
    t.eq(p.sh("ls").log, b"in\nmade\n")


main()
