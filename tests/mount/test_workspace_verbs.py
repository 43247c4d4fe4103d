"""orch-shim workspace ...: every verb on a real mount."""
from orchtest import *

FILES = {"a.txt": b"1", "dir/b": b"2"}


def start(t):
    d = t.daemon().start()
    d.shim("snapshot", "import", t.tree(FILES), "--ref", "main")
    return d


@test(needs="fuse")
def create_list_status_umount_mount_drop(t):
    d = start(t)
    path = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    t.eq(open(path + "/dir/b", "rb").read(), b"2")
    t.match(d.shim("workspace", "list").stdout, r"^w +mounted +[0-9a-f]{12} +\S+ \S+ +" + path)
    status = json.loads(d.shim("workspace", "status", "w", "--json").stdout)
    t.eq((status["name"], status["state"], status["path"]), ("w", "mounted", path))
    d.shim("workspace", "umount", "w")
    t.ok(not os.path.ismount(path))
    t.eq(d.shim("workspace", "mount", "w").stdout.strip(), path)
    t.eq(open(path + "/a.txt", "rb").read(), b"1")
    d.shim("workspace", "drop", "w")
    t.eq(json.loads(d.shim("workspace", "list", "--json").stdout)["workspaces"], [])
    t.match(d.shim("workspace", "drop", "w", status=1).stderr, "w")


@test(needs="fuse")
def at_a_place_of_ones_own(t):
    d = start(t)
    place = t.dir("place")
    t.eq(d.shim("workspace", "create", "w", "--from", "main", "--at", "place").stdout.strip(), place)
    t.ok(os.path.ismount(place))
    d.shim("workspace", "drop", "w")
    t.ok(not os.path.ismount(place))


@test(needs="fuse")
def read_only(t):
    d = start(t)
    path = d.shim("workspace", "create", "w", "--from", "main", "--read-only").stdout.strip()
    t.raises(errno.EROFS, open, path + "/new", "w")
    d.shim("workspace", "drop", "w")


@test(needs="fuse")
def usage(t):
    d = start(t)
    t.match(d.shim("workspace", "create", "w", status=2).stderr, "--from is missing")
    t.match(d.shim("workspace", "create", "w", "--from", "main", "--owner", "nobody-of-that-name", status=2).stderr, "no user")
    t.match(d.shim("workspace", "create", "a/b", "--from", "main", status=2).stderr, "a/b")
    t.match(d.shim("workspace", "create", "w", "--from", "nothing", status=1).stderr, "nothing")


@test(needs="fuse")
def changes_and_commit(t):
    d = start(t)
    path = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    t.tree({"a.txt": b"other", "new/c": b"3"}, at=path)
    os.unlink(path + "/dir/b")
    lines = d.shim("workspace", "changes", "w").stdout.split("\n")
    t.ok({"M a.txt", "A new", "A new/c", "D dir/b"} <= set(lines), lines)
    t.tree({"x\nA forged": b"", "q\x1b\"\\\x7f": b""}, at=path)
    lines = d.shim("workspace", "changes", "w").stdout.split("\n")
    t.ok({r'A "x\nA forged"', r'A "q\033\"\\\177"'} <= set(lines) and "A forged" not in lines, lines)
    j = json.loads(d.shim("workspace", "changes", "w", "--json").stdout)
    t.ok("x\nA forged" in [x["path"] for x in j["changes"]], j)
    seq = j["seq"]
    t.eq(d.shim("workspace", "changes", "w", "--since", str(seq)).stdout, "")
    snap = d.shim("workspace", "commit", "w", "--ref", "two").stdout.strip()
    t.eq(json.loads(d.shim("ref", "list", "--json").stdout)["refs"][1]["id"], snap)
    d.shim("snapshot", "export", "two", t.path("out"))
    t.eq(open(t.path("out/new/c"), "rb").read(), b"3")
    t.ok(not os.path.exists(t.path("out/dir/b")))
    d.shim("workspace", "drop", "w")


@test(needs="fuse")
def a_commit_names_what_is_too_deep(t):
    d = start(t)
    path = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    deep = os.open(path, os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("nest", dir_fd=deep)
        below = os.open("nest", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    said = d.shim("workspace", "commit", "w", status=None).stderr
    t.match(said, "more than 2048 folders below each other: nest/nest/nest")


@test(needs="fuse")
def fork(t):
    d = start(t)
    path = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    t.tree({"new": b"3"}, at=path)
    other = d.shim("workspace", "fork", "w", "f").stdout.strip()
    t.eq(open(other + "/new", "rb").read(), b"3")
    t.tree({"mine": b"4"}, at=other)
    t.ok(not os.path.exists(path + "/mine"))
    for name in "f", "w":
        d.shim("workspace", "drop", name)


@test(needs="fuse sandbox")
def exec_runs_in_the_sandbox(t):
    d = start(t)
    path = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    r = d.shim("workspace", "exec", "w", "--", "sh", "-c", "pwd; cat a.txt; echo x > made")
    t.ok(r.stdout.startswith("/github/workspace\n1"), r)
    t.eq(open(path + "/made").read(), "x\n")
    d.shim("workspace", "exec", "w", "--", "sh", "-c", "exit 7", status=7)
    d.shim("workspace", "exec", "w", "--", "sh", "-c", "kill -9 $$", status=137)
    t.match(d.shim("workspace", "exec", "w", status=2).stderr, "nothing to run")
    d.shim("workspace", "umount", "w")
    t.match(d.shim("workspace", "exec", "w", "--", "true", status=1).stderr, "is not mounted")


@test(needs="fuse sandbox", timeout=120)
def exec_says_that_its_mount_died(t):
    d = start(t)
    for script in "touch on; while ls .; do sleep 0.1; done; exit 0", "touch on; sleep 300":
        path = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
        q = t.start(["orch-shim", "workspace", "exec", "w", "--", "sh", "-c", script], env={"ORCH_SOCKET": d.socket},
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: os.path.exists(path + "/on"))
        os.kill(json.loads(d.shim("workspace", "status", "w", "--json").stdout)["pid"], signal.SIGKILL)
        said = q.communicate(timeout=60)[1]
        t.eq(q.returncode, 3, said)
        t.match(said, "the mount process of workspace w ended during the command")
        d.shim("workspace", "drop", "w")


@test(needs="fuse sandbox")
def gc_removes_what_a_killed_exec_left(t):
    d = start(t)
    path = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    mark = "96%d" % os.getpid()
    q = t.start(["orch-shim", "workspace", "exec", "w", "--", "sh", "-c", "touch on; sleep " + mark], env={"ORCH_SOCKET": d.socket},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(path + "/on"))
    q.kill()
    q.wait(10)
    d.shim("gc")
    t.eq([p for p in os.listdir("/proc") if p.isdigit() and is_running(p, b"sleep\0" + mark.encode())], [])
    t.match(d.shim("gc").stderr, "no killed run has left anything")


def is_running(pid, words):
    with contextlib.suppress(OSError):
        return words in open("/proc/%s/cmdline" % pid, "rb").read()
    return False


main()
