#!/usr/bin/env python3
"""
Forks and commits of workspaces in which jobs write: the job stands still for the instant, and what it alone
writes is exact. ORCH_PAUSE_FORKS=N takes N forks of the databases instead of 20.
"""
import mmap

from grouplib import Group
from orchtest import *

PYTHON = "/usr/bin/python3"
JOB = os.path.join(SRC, "tests/mount/pause_job.py")


def ask(t, d, method, path, body=None, status=200, code=None):
    r = d.http(method, path, body)
    t.eq(r.status, status, "%s %s: %s" % (method, path, r))
    if code:
        t.eq(r.json()["error"]["code"], code, str(r))
    return r.json()


def started(t, files=None, args=()):
    d = t.daemon(args)
    d.start()
    d.shim("snapshot", "import", t.tree(files or {"a": "one"}), "--ref", "main")
    return d


def create(t, d, name, **body):
    return ask(t, d, "POST", "/v1/workspaces", {"name": name, "from": "main", **body})["path"]


def fork(t, d, name, **body):
    return ask(t, d, "POST", "/v1/workspaces/w/fork", dict(body, name=name))


def commit(t, d):
    last = json.loads(d.http("POST", "/v1/workspaces/w/commit", {"ref": "c"}).body.splitlines()[-1])
    t.ok("result" in last, str(last))
    return last["result"]


def drop(t, d, name):
    ask(t, d, "DELETE", "/v1/workspaces/" + name)


def jobs(t, d):
    return ask(t, d, "GET", "/v1/workspaces/w")["jobs"]


def read(path):
    with open(path) as f:
        return f.read()


# Writes numbers to the file that it is told, forever.
COUNTER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o644)
n = 0
while True:
    n += 1
    os.pwrite(fd, b"%012d" % n, 0)
"""


def counter(t, path):
    p = t.start([sys.executable, "-c", COUNTER, path])
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path) == 12, what="the first number")
    return p


def goes_on(path):
    before = read(path)
    wait_until(lambda: read(path) != before, what="another number")


def register(t, d, group, pid, name="j", **more):
    return ask(t, d, "PUT", "/v1/workspaces/w/jobs/" + name, {"cgroup": [group.path], "pid": pid}, **more)


def counting_job(t, d, mnt):
    group = Group(t, "job")
    p = counter(t, mnt + "/n")
    group.add(p.pid)
    register(t, d, group, p.pid)
    return group, p


# ---- what the job writes is exact

def check(t, folder):
    return json.loads(t.run([PYTHON, JOB, "check", folder], timeout=120).stdout)


def start_writers(t, d, mnt):
    p = t.start(["orch-shim", "workspace", "exec", "w", "--", PYTHON, "job.py", "write", "."],
                env={"ORCH_SOCKET": d.socket}, stderr=subprocess.PIPE)
    # a listing in pieces may show a name before and after its rename
    wait_until(lambda: p.poll() is not None or sum(bool(re.fullmatch("ready[.][a-z]+", x)) for x in os.listdir(mnt)) == 6,
               timeout=60, what="all writers")
    t.eq(p.poll(), None, "the job ended")
    return p


def stop_writers(t, p, mnt):
    with open(mnt + "/stop", "w"):
        pass
    _, err = p.communicate(timeout=120)
    t.eq(p.returncode, 0, err.decode())
    last = check(t, mnt)
    t.eq(last, {x: int(read(mnt + "/done." + x)) for x in last}, "all that was written is there")
    return last


def exact(t, answer):
    t.eq((answer["paused"], answer["last_write_seen"]), (True, []), str(answer))
    t.ok(answer["paused_us"] > 0, str(answer))


def forks_of_writers(t, count, **how):
    d = started(t, {"job.py": open(JOB, "rb").read()})
    mnt = create(t, d, "w", **how)
    p = start_writers(t, d, mnt)
    t.eq(len(jobs(t, d)), 1)
    before = {}
    for i in range(count):
        f = fork(t, d, "f")
        exact(t, f)
        now = check(t, f["path"])
        t.ok(all(now[x] >= before.get(x, 1) for x in now), "%s, and then %s" % (before, now))
        before = now
        drop(t, d, "f")
        if i % 5 == 4:
            exact(t, commit(t, d))
            check(t, create(t, d, "c", **{"from": "c"}))
            drop(t, d, "c")
    print("# seen last: %s" % before)
    last = stop_writers(t, p, mnt)
    t.ok(all(last[x] > before[x] for x in last), "each went on: %s, and then %s" % (before, last))
    t.eq(jobs(t, d), [])
    ask(t, d, "POST", "/v1/workspaces/w/umount")
    drop(t, d, "w")


@test(needs="fuse root sandbox freezer lmdb", timeout=900)
def databases_of_a_job_are_of_one_instant(t):
    forks_of_writers(t, int(os.environ.get("ORCH_PAUSE_FORKS", "20")))


@test(needs="fuse root sandbox freezer lmdb", timeout=600)
def databases_without_passthrough_are_of_one_instant(t):
    forks_of_writers(t, 5, passthrough=False)


@test(needs="fuse root freezer")
def several_jobs_stand_still_together(t):
    d = started(t)
    mnt = create(t, d, "w")
    groups = [Group(t, "g%d" % i) for i in range(3)]
    for i, g in enumerate(groups):
        p = counter(t, mnt + "/n%d" % i)
        g.add(p.pid)
        register(t, d, g, p.pid, "j%d" % i)
    exact(t, fork(t, d, "f"))
    for i, g in enumerate(groups):
        t.ok(not g.freezing(), g.state())
        goes_on(mnt + "/n%d" % i)
    ask(t, d, "DELETE", "/v1/workspaces/w/jobs/j1")
    t.eq(fork(t, d, "f2")["last_write_seen"], ["n1"])


@test(needs="fuse root sandbox freezer")
def the_command_line_tells_of_the_pause(t):
    d = started(t)
    mnt = create(t, d, "w")
    p = t.start(["orch-shim", "workspace", "exec", "w", "--", "sh", "-c", "exec 3>f; while :; do echo x >&3; done"],
                env={"ORCH_SOCKET": d.socket})
    wait_until(lambda: os.path.exists(mnt + "/f"), what="the file")
    r = d.shim("workspace", "fork", "w", "f")
    t.match(r.stderr, r"paused for \d+\.\d ms")
    t.ok("as last seen" not in r.stderr, r.stderr)
    t.eq(r.stdout, d.mounts + "/f\n")
    exact(t, d.shim("workspace", "commit", "w", "--ref", "x", "--json").json())
    p.terminate()
    p.wait()
    r = d.shim("workspace", "fork", "w", "g", "--json").json()
    t.eq((r["paused"], r["paused_us"], r["last_write_seen"]), (False, 0, []))


@test(needs="fuse root sandbox freezer")
def a_build_is_a_job_of_its_workspace(t):
    d = started(t)
    source = t.tree({"x": "1"})
    p = t.start(["orch-shim", "build", "--source", source, "--output-dir", t.dir(), "--",
                 "sh", "-c", "exec 3>f; while [ ! -e stop ]; do echo x >&3; done"], env={"ORCH_SOCKET": d.socket},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seen = {}

    def busy():
        for w in ask(t, d, "GET", "/v1/workspaces")["workspaces"]:
            if os.path.exists(w["path"] + "/f"):
                seen.update(w)
        return p.poll() is not None or seen
    wait_until(busy, what="the build's command")
    t.ok(seen, "no build: %s" % (p.communicate()[0] if p.poll() is not None else ""))
    exact(t, ask(t, d, "POST", "/v1/workspaces/%s/fork" % seen["name"], {"name": "f"}))
    with open(seen["path"] + "/stop", "w"):
        pass
    out = p.communicate(timeout=60)[0]
    t.eq(p.returncode, 0, out.decode())


# ---- what others may write is named

@test(needs="fuse root freezer")
def who_is_outside_keeps_files_named(t):
    d = started(t)
    mnt = create(t, d, "w")
    group, _ = counting_job(t, d, mnt)
    exact(t, fork(t, d, "f0"))
    for name in ("open", "shared", "mapped", "reader"):
        with open(mnt + "/" + name, "wb") as f:
            f.write(b"." * 4096)
    mine = open(mnt + "/open", "r+b")
    t.eq(fork(t, d, "f1")["last_write_seen"], ["open"])
    with open(mnt + "/mapped", "r+b") as f:
        view = mmap.mmap(f.fileno(), 4096)
    t.eq(sorted(fork(t, d, "f2")["last_write_seen"]), ["mapped", "open"])
    view.close()
    mine.close()
    with open(mnt + "/reader", "rb"):
        exact(t, fork(t, d, "f3"))
    # the job's own file, which somebody else has open too
    with open(mnt + "/n", "r+b"):
        r = fork(t, d, "f4")
    t.eq((r["paused"], r["last_write_seen"]), (True, ["n"]))
    exact(t, fork(t, d, "f5"))
    # an open descriptor that the job shares with somebody outside
    fd = os.open(mnt + "/shared", os.O_WRONLY)
    q = t.start(["sleep", "1000"], pass_fds=[fd])
    os.close(fd)
    t.eq(fork(t, d, "f6")["last_write_seen"], ["shared"])
    group.add(q.pid)
    exact(t, fork(t, d, "f7"))
    exact(t, commit(t, d))


@test(needs="fuse root freezer")
def who_opens_during_the_pause_is_seen(t):
    d = started(t)
    mnt = create(t, d, "w")
    counting_job(t, d, mnt)
    end = threading.Event()

    def meddle():
        while not end.is_set():
            os.truncate(mnt + "/n", 12)
    x = threading.Thread(target=meddle)
    x.start()
    try:
        named = [fork(t, d, "f%d" % i)["last_write_seen"] for i in range(10)]
    finally:
        end.set()
        x.join()
    t.ok(["n"] in named, "truncated all the time, and never named")


@test(needs="fuse root")
def without_a_job_files_are_named(t):
    d = started(t)
    mnt = create(t, d, "w")
    counter(t, mnt + "/n")
    r = fork(t, d, "f")
    t.eq((r["paused"], r["paused_us"], r["last_write_seen"]), (False, 0, ["n"]))


@test(needs="fuse root freezer")
def no_time_for_it_means_no_pause(t):
    d = started(t, args=["--pause-limit", "0"])
    mnt = create(t, d, "w")
    counting_job(t, d, mnt)
    r = fork(t, d, "f")
    t.eq((r["paused"], r["paused_us"], r["last_write_seen"]), (False, 0, ["n"]))


# ---- what is not a job

@test(needs="fuse root freezer")
def hostile_jobs_are_refused(t):
    d = started(t)
    create(t, d, "w")
    group = Group(t, "x")
    p = t.start(["sleep", "1000"])

    def refused(code, status, cgroup, pid=None, name="j"):
        ask(t, d, "PUT", "/v1/workspaces/w/jobs/" + name, {"cgroup": cgroup, "pid": pid}, status, code)
        t.eq(jobs(t, d), [])
    for bad in (["/tmp"], ["/"], ["/sys/fs/cgroup"], [os.path.dirname(group.path)], [group.path + "/../x"],
                ["/proc/self/root" + group.path], ["/tmp/orch.x"], []):
        refused("EUSAGE", 400, bad, p.pid)
    os.makedirs(t.path("orch.plain"))
    refused("EUSAGE", 400, [t.path("orch.plain")], p.pid)
    refused("ENOENT", 404, [os.path.dirname(group.path) + "/orch.none"], p.pid)
    refused("EUSAGE", 400, [group.path], 0)
    refused("EUSAGE", 400, [group.path], "1")
    refused("EUSAGE", 400, [group.path], p.pid, "a%2Fb")
    ended = t.start(["true"])
    ended.wait()
    refused("EUSAGE", 400, [group.path], ended.pid)
    ask(t, d, "PUT", "/v1/workspaces/none/jobs/j", {"cgroup": [group.path]}, 404, "ENOENT")
    for pid in (d.process.pid, d.pids("orch-mount")[0], os.getpid()):
        inside = Group(t, "of%d" % pid)
        inside.add(pid)
        try:
            refused("EPERM", 403, [inside.path], p.pid)
        finally:
            with open(os.path.dirname(inside.path) + "/cgroup.procs", "w") as f:
                f.write(str(pid))
    ask(t, d, "DELETE", "/v1/workspaces/w/jobs/j", status=404, code="ENOENT")
    register(t, d, group, None)  # the client itself leads it
    t.eq(jobs(t, d), [{"id": "j", "pid": os.getpid()}])
    create(t, d, "w2")
    ask(t, d, "PUT", "/v1/workspaces/w2/jobs/k", {"cgroup": [group.path]}, 409, "EBUSY")
    below = group.path + "/orch.below"
    os.mkdir(below)
    t.finally_(lambda: os.rmdir(below))
    ask(t, d, "PUT", "/v1/workspaces/w2/jobs/k", {"cgroup": [below]}, 409, "EBUSY")
    ask(t, d, "DELETE", "/v1/workspaces/w/jobs/j")
    ask(t, d, "PUT", "/v1/workspaces/w2/jobs/k", {"cgroup": [below]})
    register(t, d, group, None, status=409, code="EBUSY")
    register(t, d, Group(t, "xy"), None)


@test(needs="root freezer")
def a_job_that_comes_beside_a_drop_is_not_left_to_the_next_of_that_name(t):
    d = started(t)
    group = Group(t, "x")
    for _ in range(60):
        create(t, d, "w", mount=False)
        put = []
        x = threading.Thread(target=lambda: put.append(
            d.http("PUT", "/v1/workspaces/w/jobs/j", {"cgroup": [group.path], "pid": os.getpid()}).status))
        x.start()
        while d.http("DELETE", "/v1/workspaces/w?force=1").status != 200:
            pass
        x.join()
        t.ok(put[0] in (200, 404, 409), str(put))
        create(t, d, "w", mount=False)
        t.eq(jobs(t, d), [])
        drop(t, d, "w")


@test(needs="fuse root freezer")
def a_job_that_holds_the_keeper_later_is_not_frozen(t):
    d = started(t)
    mnt = create(t, d, "w")
    group, _ = counting_job(t, d, mnt)
    top = os.path.dirname(group.path) + "/cgroup.procs"
    for pid in (d.process.pid, ask(t, d, "GET", "/v1/workspaces/w")["pid"]):
        group.add(pid)
        r = fork(t, d, "f%d" % pid, mount=False)  # a mount process would be born in the group
        t.eq((r["paused"], r["last_write_seen"]), (False, ["n"]))
        with open(top, "w") as f:
            f.write(str(pid))
    exact(t, fork(t, d, "f"))


@test(needs="fuse root freezer")
def other_users_register_what_is_theirs(t):
    d = started(t)
    os.chmod(d.socket, 0o666)
    group = Group(t, "x")
    mnt = create(t, d, "w", owner={"uid": 12345, "gid": 12345})
    create(t, d, "mine")
    mine = open(mnt + "/open", "wb")  # so that there is something to stand still for

    def put(workspace, uid=12345):
        curl = ["curl", "-sS", "--unix-socket", d.socket, "-X", "PUT", "http://orch/v1/workspaces/%s/jobs/j" % workspace,
                "-d", json.dumps({"cgroup": [group.path], "pid": theirs.pid})]
        return t.run(["setpriv", "--reuid", str(uid), "--regid", "12345", "--clear-groups", *curl]).json()
    theirs = t.start(["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "sleep", "1000"])
    wait_until(lambda: "\nUid:\t12345" in read("/proc/%d/status" % theirs.pid), what="the other user")
    t.eq(put("mine")["error"]["code"], "EPERM")
    t.eq(put("w", 12346)["error"]["code"], "EPERM")
    ours = t.start(["sleep", "1000"])
    group.add(ours.pid)
    t.eq(put("w")["error"]["code"], "EPERM")
    ours.kill()
    ours.wait()
    wait_until(lambda: not read(group.path + "/cgroup.procs"), what="an empty group")
    group.add(theirs.pid)
    t.eq(put("w"), {})
    t.eq(jobs(t, d), [{"id": "j", "pid": theirs.pid}])
    t.ok(fork(t, d, "f")["paused"])
    ours = t.start(["sleep", "1000"])
    group.add(ours.pid)  # root's process, after the job was registered
    t.ok(not fork(t, d, "g")["paused"])
    mine.close()


# ---- pauses that go wrong: a process that waits for a stopped mount process can't be frozen

@contextlib.contextmanager
def stuck_in(t, d, group):
    """A process in the group that nobody can freeze; it ends when it is told to."""
    mount = create(t, d, "other")
    pid = ask(t, d, "GET", "/v1/workspaces/other")["pid"]
    os.kill(pid, signal.SIGSTOP)
    # the thread that gets the signal stops the others, when it runs
    wait_until(lambda: all(read("/proc/%d/task/%s/stat" % (pid, x)).rsplit(")", 1)[1].split()[0] == "T"
                           for x in os.listdir("/proc/%d/task" % pid)), what="a stopped mount process")
    p = t.start(["stat", mount + "/nothing"], stderr=subprocess.DEVNULL)

    def go_on(wait=True):
        os.kill(pid, signal.SIGCONT)
        if wait:
            p.wait(20)
    try:
        wait_until(lambda: read("/proc/%d/wchan" % p.pid) == "request_wait_answer", what="a process that waits")
        group.add(p.pid)
        yield go_on
    finally:
        with contextlib.suppress(ProcessLookupError):
            go_on()


def fork_meanwhile(t, d, group, name="f"):
    """A fork that is under way, the job standing still."""
    answers = []

    def run():
        with contextlib.suppress(OSError, EOFError, Exception):
            answers.append(d.http("POST", "/v1/workspaces/w/fork", {"name": name}))
    x = threading.Thread(target=run)
    x.start()
    wait_until(group.freezing, what="the freezer", interval=0.001)
    return x, answers


@test(needs="fuse root freezer")
def what_can_t_be_frozen_goes_on(t):
    d = started(t, args=["--pause-limit", "1"])
    mnt = create(t, d, "w")
    group, _ = counting_job(t, d, mnt)
    with stuck_in(t, d, group) as go_on:
        begin = time.monotonic()
        r = fork(t, d, "f")
        t.ok(time.monotonic() - begin >= 1, "it was tried")
        t.eq((r["paused"], r["last_write_seen"]), (False, ["n"]))
        t.ok(not group.freezing(), group.state())
        goes_on(mnt + "/n")
        go_on()
        exact(t, fork(t, d, "f2"))


@test(needs="fuse root freezer")
def a_killed_keeper_leaves_nobody_frozen(t):
    d = started(t, args=["--pause-limit", "2"])
    mnt = create(t, d, "w")
    group, p = counting_job(t, d, mnt)
    with stuck_in(t, d, group) as go_on:
        x, _ = fork_meanwhile(t, d, group)
        d.kill()
        x.join()
        t.ok(group.freezing(), "the pause goes on without the keeper")
        wait_until(lambda: not group.freezing(), what="the thaw, without any keeper")
        goes_on(mnt + "/n")
        go_on()
        d.start()
        t.eq(jobs(t, d), [{"id": "j", "pid": p.pid}])
        exact(t, fork(t, d, "f2"))
        goes_on(mnt + "/n")


@test(needs="fuse root freezer")
def the_next_keeper_thaws_what_two_killed_ones_left(t):
    d = started(t, args=["--pause-limit", "60"])
    mnt = create(t, d, "w")
    group, p = counting_job(t, d, mnt)
    pid = ask(t, d, "GET", "/v1/workspaces/w")["pid"]
    with stuck_in(t, d, group) as go_on:
        x, _ = fork_meanwhile(t, d, group)
        d.kill()
        os.kill(pid, signal.SIGKILL)
        x.join()
        t.ok(group.freezing(), group.state())
        p.kill()  # and the job's leader: what is frozen can't see that
        go_on(wait=False)
        d.start()
        wait_until(lambda: not group.freezing(), what="the thaw by the next keeper")
        p.wait(20)
        wait_until(lambda: jobs(t, d) == [], what="the end of the job")


@test(needs="fuse root freezer")
def a_killed_mount_process_leaves_nobody_frozen(t):
    d = started(t, args=["--pause-limit", "60"])
    mnt = create(t, d, "w")
    group, _ = counting_job(t, d, mnt)
    pid = ask(t, d, "GET", "/v1/workspaces/w")["pid"]
    with stuck_in(t, d, group) as go_on:
        x, answers = fork_meanwhile(t, d, group)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not group.freezing(), what="the thaw by the keeper")
        x.join()
        t.ok(answers[0].status >= 400, str(answers[0]))
        go_on()


@test(needs="fuse root freezer")
def a_stopped_mount_process_leaves_nobody_frozen(t):
    d = started(t, args=["--pause-limit", "1"])
    mnt = create(t, d, "w")
    group, _ = counting_job(t, d, mnt)
    pid = ask(t, d, "GET", "/v1/workspaces/w")["pid"]
    with stuck_in(t, d, group) as go_on:
        x, answers = fork_meanwhile(t, d, group)
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: not group.freezing(), what="the thaw by the keeper")
        finally:
            os.kill(pid, signal.SIGCONT)
        x.join()
        r = answers[0].json()
        t.eq((r["paused"], r["last_write_seen"]), (False, ["n"]))
        goes_on(mnt + "/n")
        go_on()


@test(needs="fuse root freezer")
def a_seal_may_take_longer_than_other_answers(t):
    """Large files with a writer are copied. Given up, each fork would leave a copy and none would come to pass."""
    d = started(t, args=["--pause-limit", "1", "--mount-timeout", "2"])
    mnt = create(t, d, "w")
    group, _ = counting_job(t, d, mnt)
    pid = ask(t, d, "GET", "/v1/workspaces/w")["pid"]
    with stuck_in(t, d, group) as go_on:
        x, answers = fork_meanwhile(t, d, group)
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: not group.freezing(), what="the thaw by the keeper, after three seconds")
        finally:
            os.kill(pid, signal.SIGCONT)
        x.join()
        t.eq(answers[0].status, 200, str(answers[0]))
        go_on()


@test(needs="fuse root freezer")
def a_copy_that_takes_too_long_lets_the_job_go(t):
    d = started(t, args=["--pause-limit", "1"])
    mnt = create(t, d, "w")
    group, p = counting_job(t, d, mnt)
    pid = ask(t, d, "GET", "/v1/workspaces/w")["pid"]
    with open(mnt + "/big", "wb") as f:
        for _ in range(32):
            f.write(os.urandom(4 << 20))
    big = os.open(mnt + "/big", os.O_WRONLY)
    q = t.start(["sleep", "1000"], pass_fds=[big])
    os.close(big)
    group.add(q.pid)
    for i in range(10):
        x, answers = fork_meanwhile(t, d, group, "f%d" % i)
        with contextlib.suppress(Failure):
            wait_until(group.frozen, timeout=0.5, what="all standing still", interval=0.0005)
            os.kill(pid, signal.SIGSTOP)  # in the midst of its copies, or a little before or after
            wait_until(lambda: not group.freezing(), what="the thaw by the keeper")
        os.kill(pid, signal.SIGCONT)
        x.join()
        r = answers[0].json()
        t.ok(not group.freezing(), group.state())
        if r["last_write_seen"] and r["paused_us"]:  # and not stopped before the job stood still
            break
    t.ok(r["paused_us"] >= 1000000, str(r))
    t.ok("big" in r["last_write_seen"] or "n" in r["last_write_seen"], str(r))
    goes_on(mnt + "/n")
    q.kill()
    q.wait()
    exact(t, fork(t, d, "last"))


@test(needs="fuse root freezer")
def a_job_outlives_its_keeper_and_ends_with_its_leader(t):
    d = started(t)
    mnt = create(t, d, "w")
    group, p = counting_job(t, d, mnt)
    d.kill()
    d.start()
    t.eq(jobs(t, d), [{"id": "j", "pid": p.pid}])
    exact(t, fork(t, d, "f"))
    p.kill()
    p.wait()
    wait_until(lambda: jobs(t, d) == [], what="the end of the job")
    d.kill()
    d.start()
    t.eq(jobs(t, d), [])
    register(t, d, group, os.getpid())
    ask(t, d, "DELETE", "/v1/workspaces/w?force=1")
    create(t, d, "w")
    t.eq(jobs(t, d), [])


main()
