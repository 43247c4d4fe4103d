"""orch-worker alone: its protocol, its ids, what it opens, how it ends. The test plays the keeper."""
from orchtest import *
from orchtest import program
from workerlib import *
from workerlib import SEED

NOBODY = {"uid": 65534, "gid": 65534, "groups": [65534]}


def sample(t):
    root = t.tree({"a.txt": b"1", "dir/b": b"2" * 100000, "dir/sub/c": b"", "l": ("->", "../away"), "empty/": None})
    os.link(root + "/a.txt", root + "/dir/other")
    with open(root + "/sparse", "wb") as f:
        f.truncate(5 << 20)
        f.seek(3 << 20)
        f.write(b"x")
    with open(os.fsencode(root) + b"/\xff\xfe", "wb") as f:
        f.write(b"name")
    os.chmod(root + "/dir/sub", 0o1770)
    os.utime(root + "/a.txt", ns=(0, -123456789))
    os.utime(root + "/dir", ns=(0, 987654321))
    return root


@test
def a_wrong_task_is_refused(t):
    s = Store(t)
    d = t.dir()
    cases = [
        ({"task": "fly"}, "task: task"),
        ({"task": "import"}, "dir"),
        ({"task": "import", "dir": "relative"}, "dir"),
        ({"task": "import", "dir": d, "moon": 1}, "moon"),
        ({"task": "import", "dir": d, "layers": []}, "layers"),
        ({"task": "import", "dir": d, "seed": "12"}, "seed"),
        ({"task": "import", "dir": d, "ignore_file": "a/b"}, "ignore_file"),
        ({"task": "import", "dir": d, "parent": "abc"}, "parent"),
        ({"task": "import", "dir": d, "threads": -1}, "threads"),
        ({"task": "import", "dir": d, "exclude": "x"}, "exclude"),
        ({"task": "import", "dir": d, "user": {"uid": 4294967295, "gid": 1}}, "uid"),
        ({"task": "import", "dir": d, "fds": {"objects": 1}}, "objects"),
        ({"task": "import", "dir": d, "fds": {"objects": 900, "packs": 901, "quarantine": 902}}, "descriptor 900"),
        ({"task": "import", "dir": d, "fds": {}}, "objects"),
        ({"task": "apply", "base": "0" * 64, "incoming": "0" * 64, "mine": "0" * 64, "conflict": "maybe"}, "conflict"),
        ({"task": "commit", "snapshot": "0" * 64, "layers": [7]}, "layers"),
        ({"task": "commit", "snapshot": "0" * 64, "layers": ["0"]}, "layers"),
    ]
    for task, word in cases:
        e = s.fail(task)
        t.eq(e["code"], "EUSAGE", task)
        t.ok(word in e["message"], "%s: %s" % (task, e["message"]))
    p = s.start({"task": "import"})
    for text in (b"", b"{", b"[]", b'{"task":"import","task":"import"}', b" " * (2 << 20), b'{"task":1}'):
        p = s.start({"task": "import"})
        p.task = text
        with contextlib.suppress(BrokenPipeError):
            t.eq(s.finish(p)[-1]["error"]["code"], "EUSAGE")


@test
def a_folder_comes_back_as_it_was(t):
    s = Store(t)
    root, out = sample(t), t.path("out")
    r = s.run({"task": "import", "dir": root})
    t.eq((r["files"], r["new_objects"], r["skipped"]), (10, 5, []))
    s.run({"task": "export", "dir": out, "snapshot": r["snapshot"]})
    t.eq(describe(out), describe(root))
    again = s.run({"task": "import", "dir": out, "parent": r["snapshot"]})
    t.eq(again["snapshot"], r["snapshot"])
    t.eq(again["new_objects"], 0)
    t.eq(s.fail({"task": "export", "dir": out, "snapshot": r["snapshot"]})["code"], "ENOTEMPTY")


def dig(root, depth):
    """Folders below each other, a file at the bottom; returns a descriptor of the lowest."""
    fd = os.open(root, os.O_RDONLY)
    for i in range(depth):
        name = "folder-number-%d" % i
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def descend(root, depth):
    fd = os.open(root, os.O_RDONLY)
    for i in range(depth):
        below = os.open("folder-number-%d" % i, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


@test
def paths_may_be_longer_than_the_system_takes(t):
    s = Store(t)
    root = t.dir()
    t.finally_(subprocess.run, ["rm", "-rf", root, t.path("out")])  # Python's own removal is recursive
    fd = dig(root, 1000)
    with open(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "w") as f:
        f.write("deep")
    os.link("file", "other", src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)
    r = s.run({"task": "import", "dir": root})
    t.eq((r["files"], r["bytes"]), (1002, 8))
    s.run({"task": "export", "dir": t.path("out"), "snapshot": r["snapshot"]})
    fd = descend(t.path("out"), 1000)
    t.eq((os.read(os.open("file", os.O_RDONLY, dir_fd=fd), 9), os.stat("other", dir_fd=fd).st_nlink), (b"deep", 2))
    os.close(fd)
    again = s.run({"task": "import", "dir": t.path("out"), "parent": r["snapshot"]})
    t.eq(again["snapshot"], r["snapshot"])


@test(needs="strace")
def an_unchanged_folder_opens_no_file(t):
    s = Store(t)
    root = sample(t)
    t.tree({"many/%d/%d" % (i % 10, i): b"%d" % i for i in range(500)}, at=root)
    first = s.run({"task": "import", "dir": root})
    t.eq(first["read_files"], 505)
    young = time.time()
    wait_until(lambda: time.time() > young + 2.1, what="the files to be older than the slack")
    s.run({"task": "import", "dir": root})
    trace = t.path("trace")
    r = s.run({"task": "import", "dir": root}, ["strace", "-f", "-o", trace, "-e", "trace=open,openat,openat2,getxattr,lgetxattr,llistxattr"])
    t.eq((r["snapshot"], r["read_files"], r["hashed_bytes"]), (first["snapshot"], 0, 0))
    with open(trace, errors="replace") as f:
        calls = [line for line in f if re.search(r'"[^"]*(\d+/\d+|a\.txt|sparse|sub/c)"', line) and "O_DIRECTORY" not in line]
    t.eq(calls, [])


@test(needs="root")
def it_works_under_the_users_ids(t):
    s = Store(t)
    root = t.tree({"a": b"1", "secret/key": b"2", "hidden": b"3"})
    e = s.fail({"task": "import", "dir": t.dir("closed") and t.path("closed", "x"), "user": NOBODY})
    t.eq(e["code"], "ENOENT")
    os.chmod(root + "/secret", 0o700)
    os.chmod(root + "/hidden", 0o600)
    e = s.fail({"task": "import", "dir": root, "user": NOBODY})
    t.eq(e["code"], "EACCES")
    t.ok("secret (Permission denied)" in e["message"] and "hidden (Permission denied)" in e["message"], e["message"])
    # root reads all of it, and the index of that is nothing to others
    s.run({"task": "import", "dir": root})
    young = time.time()
    wait_until(lambda: time.time() > young + 2.1, what="the files to be older than the slack")
    s.run({"task": "import", "dir": root})
    t.eq(s.fail({"task": "import", "dir": root, "user": NOBODY})["code"], "EACCES")
    os.chmod(root + "/secret", 0o755)
    os.chmod(root + "/hidden", 0o644)
    os.chown(root + "/a", 65534, 65534)
    r = s.run({"task": "import", "dir": root, "user": NOBODY})
    t.match(r["scan"], "^65534-[0-9a-f]{64}$")
    out = t.dir("out")
    os.chown(out, 65534, 65534)
    s.run({"task": "export", "dir": out, "snapshot": r["snapshot"], "user": NOBODY})
    t.eq([os.stat(p).st_uid for p in (out + "/a", out + "/hidden", out + "/secret/key")], [65534] * 3)
    e = s.fail({"task": "export", "dir": "/orch-not-there", "snapshot": r["snapshot"], "user": NOBODY})
    t.eq(e["code"], "EACCES")
    # as root, owners come back
    s.run({"task": "export", "dir": t.path("out2"), "snapshot": r["snapshot"], "owner": {"uid": 65534, "gid": 65534}})
    t.eq([os.stat(t.path("out2", n)).st_uid for n in ("a", "hidden")], [65534, 0])


@test
def three_sides_are_merged(t):
    s = Store(t)
    base = s.run({"task": "import", "dir": t.tree({"a": b"1", "b": b"1", "c": b"1"})})["snapshot"]
    incoming = s.run({"task": "import", "dir": t.tree({"a": b"2", "b": b"2", "c": b"1"})})["snapshot"]
    mine = s.run({"task": "import", "dir": t.tree({"a": b"1", "b": b"3", "o": b"1"})})["snapshot"]
    task = {"task": "apply", "base": base, "incoming": incoming, "mine": mine, "conflict": "fail"}
    e = s.fail(task)
    t.eq(e["code"], "ECONFLICT")
    t.eq(e["conflicts"], [{"path": "b", "base": "file", "incoming": "file", "mine": "file"}])
    task["conflict"] = "replace"
    r = s.run(task)
    t.eq((r["changed"], r["conflict_count"], len(r["conflicts"])), (2, 1, 1))
    s.run({"task": "export", "dir": t.path("out"), "snapshot": r["snapshot"]})
    t.eq({n: open(t.path("out", n), "rb").read() for n in os.listdir(t.path("out"))}, {"a": b"2", "b": b"2", "o": b"1"})
    task["conflict"] = "source"
    r = s.run(task)
    t.eq((r["changed"], r["reset"], r["conflict_count"]), (2, 1, 1))
    s.run({"task": "export", "dir": t.path("out2"), "snapshot": r["snapshot"]})
    t.eq({n: open(t.path("out2", n), "rb").read() for n in os.listdir(t.path("out2"))},
         {"a": b"2", "b": b"2", "c": b"1", "o": b"1"})


@test
def what_is_damaged_is_named_and_never_written(t):
    s = Store(t)
    id = s.run({"task": "import", "dir": t.tree({"d/good": b"good", "d/hurt": b"hurt"})})["snapshot"]
    name = hashlib.sha256(b"hurt").hexdigest()
    path = "%s/objects/%s/%s/%s" % (s.path, name[:2], name[2:4], name)
    os.chmod(path, 0o644)
    with open(path, "r+b") as f:
        f.write(b"HURT")
    e = s.fail({"task": "export", "dir": t.path("out1"), "snapshot": id})
    t.eq(e["code"], "ECORRUPT")
    t.ok("d/hurt" in e["message"] and name in e["message"], e["message"])
    t.ok(not os.path.exists(t.path("out1", "d", "hurt")) or os.path.getsize(t.path("out1", "d", "hurt")) == 0)
    os.unlink(path)
    e = s.fail({"task": "export", "dir": t.path("out2"), "snapshot": id})
    t.eq(e["code"], "ENOENT")
    t.ok(name in e["message"], e["message"])
    # an import of the same content brings the object back, index or not
    s.run({"task": "import", "dir": t.path("d1"), "parent": id})
    s.run({"task": "export", "dir": t.path("out3"), "snapshot": id})
    t.eq(s.fail({"task": "export", "dir": t.path("out5"), "snapshot": "ab" * 32})["code"], "ENOENT")
    for pack in os.listdir(s.path + "/packs"):
        with open(s.path + "/packs/" + pack, "r+b") as f:
            f.truncate(os.path.getsize(s.path + "/packs/" + pack) // 2)
    e = s.fail({"task": "export", "dir": t.path("out4"), "snapshot": id})
    t.ok(e["code"] in ("ECORRUPT", "ENOENT"), e)
    t.ok(not os.path.exists(t.path("out4")), "a folder is left")


@test
def sigterm_cancels(t):
    s = Store(t)
    root = t.dir()
    with open(root + "/huge", "wb") as f:
        f.truncate(1 << 40)
    p = s.start({"task": "import", "dir": root})
    p.stdin.write(p.task)
    p.stdin.close()
    p.stdin = None
    wait_until(lambda: os.listdir(p.quarantine), what="the worker to be at work")
    p.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    lines = s.finish(p, send=False)
    t.eq(lines[-1]["error"]["code"], "ECANCELLED")
    t.ok(time.monotonic() - begin < 5, "it took its time")
    t.ok(any(line.get("event") == "progress" for line in lines) or len(lines) == 1, lines)


@test
def it_does_not_outlive_its_parent(t):
    s = Store(t)
    root = t.dir()
    with open(root + "/huge", "wb") as f:
        f.truncate(1 << 40)
    q = s.quarantine({})
    fds = s.open({"task": "import"}, q)
    parent = t.start([sys.executable, "-c", "import subprocess,sys,time\n"
                      "p = subprocess.Popen(sys.argv[1:], stdin=0, close_fds=False)\nprint(p.pid, flush=True)\ntime.sleep(600)\n",
                      program("orch-worker")], stdout=subprocess.PIPE, stdin=subprocess.PIPE, pass_fds=list(fds.values()))
    parent.stdin.write(json.dumps({"task": "import", "dir": root, "fds": fds, "seed": SEED}).encode())
    parent.stdin.close()
    pid = int(parent.stdout.readline())
    for fd in fds.values():
        os.close(fd)
    wait_until(lambda: os.listdir(q), what="the worker to be at work")
    parent.kill()
    parent.wait()
    wait_until(lambda: not os.path.exists("/proc/%d" % pid), what="the worker to go")


@test(needs="root")
def a_full_disk_is_an_error_that_says_so(t):
    s = Store(t)
    root = t.tree({"f%d" % i: os.urandom(100000) for i in range(30)})
    small = t.dir("small")
    t.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "orch-test", small])
    p = s.start({"task": "import", "dir": root}, quarantine=small)
    last = s.finish(p)[-1]
    t.eq(last["error"]["code"], "ENOSPC")
    t.match(last["error"]["message"], "import %s" % re.escape(root))


@test(needs="faults", timeout=600)
def each_failed_call_is_an_error(t):
    s = Store(t)
    root = sample(t)
    base = s.run({"task": "import", "dir": root})["snapshot"]
    other = s.run({"task": "import", "dir": t.tree({"a.txt": b"new", "n/m": b"x"}), "parent": base})["snapshot"]
    tasks = [
        {"task": "import", "dir": t.tree({"a.txt": b"changed", "dir/b": b"2" * 300000}), "parent": base},
        {"task": "export", "dir": None, "snapshot": base},
        {"task": "apply", "base": base, "incoming": other, "mine": base, "conflict": "replace",
         "wall_ns": 2000000000000000000},
    ]
    for task in tasks:
        want = s.run(dict(task, dir=t.dir()) if task["task"] == "export" else task)
        for kind in ("alloc", "read", "write", "openat2", "clone"):
            n, good, bad = 0, 0, 0
            while good < 12:  # some failures are nothing but another way to do it
                n += 1
                if task["task"] == "export":
                    task["dir"] = t.dir()
                p = s.start(task, env={"ORCH_FAULT": "%s:%d" % (kind, n)})
                out, err = p.communicate(p.task, 60)
                what = "%s %s:%d" % (task["task"], kind, n)
                t.eq(err, b"", what)
                shutil.rmtree(p.quarantine)
                t.ok(p.returncode in (0, 1), "%s: status %d" % (what, p.returncode))
                good = good + 1 if p.returncode == 0 else 0
                bad += p.returncode
                last = json.loads(out.decode().splitlines()[-1]) if out else {"error": None}
                if p.returncode == 0:
                    t.eq(last["result"].get("snapshot"), want.get("snapshot"), what)
                else:
                    t.ok("error" in last or kind in ("alloc", "write"), "%s: %s" % (what, last))
            t.ok(bad or kind in ("clone", "openat2") or (kind, task["task"]) == ("read", "apply"), "no %s was made to fail" % kind)


@test
def names_that_are_not_utf8_are_told_readably(t):
    s = Store(t)
    root = t.dir()
    os.mkfifo(os.fsencode(root) + b"/pipe\xff")
    r = s.run({"task": "import", "dir": root})
    t.eq(r["skipped"], ["pipe\\xff"])
    t.ok({"event": "warning", "message": "skipped fifo pipe\\xff"} in s.events, s.events)
    import base64
    odd = os.fsencode(t.dir()) + b"/d\xfe"
    os.mkdir(odd)
    t.eq(s.run({"task": "import", "dir_b64": base64.b64encode(odd).decode()})["files"], 0)


main()
