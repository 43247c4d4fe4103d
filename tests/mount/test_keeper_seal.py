"""Fork, commit and changes through the control API, with keepers and mounts that die in between."""
import resource

from keeper_api import ask, commit, create, drop, export, fork, layers, lines, read, show, started, stream, verify, write
from orchtest import *


@test(needs="fuse")
def a_fork_is_the_state_of_an_instant(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/new", "before")
    os.unlink(w["path"] + "/a")
    f = fork(t, d, "w", "f")
    t.eq((f["last_write_seen"], f["state"], f["owner"]), ([], "mounted", w["owner"]))
    write(w["path"] + "/new", "after")
    t.eq((sorted(os.listdir(f["path"])), read(f["path"] + "/new")), (["d", "new"], "before"))
    write(f["path"] + "/d/b", "fork's")
    t.eq((read(w["path"] + "/d/b"), read(w["path"] + "/new")), ("two", "after"))
    g = fork(t, d, "f", "g")
    t.eq((read(g["path"] + "/d/b"), read(g["path"] + "/new")), ("fork's", "before"))
    for name in ("w", "f"):
        drop(t, d, name)
    t.eq(read(g["path"] + "/new"), "before")
    ask(t, d, "POST", "/v1/workspaces/g/umount", {})
    g = ask(t, d, "POST", "/v1/workspaces/g/mount")
    t.eq((read(g["path"] + "/d/b"), read(g["path"] + "/new")), ("fork's", "before"))
    verify(t, d)
    drop(t, d, "g")
    t.eq(layers(d), 0)


@test(needs="fuse")
def a_file_with_a_writer_is_named(t):
    d = started(t)
    w = create(t, d, "w")
    with open(w["path"] + "/log", "w") as f:
        f.write("half")
        f.flush()
        k = fork(t, d, "w", "k")
        t.eq([x.lstrip("/") for x in k["last_write_seen"]], ["log"])
        f.write(" whole")
    t.eq((read(k["path"] + "/log"), read(w["path"] + "/log")), ("half", "half whole"))


def kill_mount(t, d, name):
    """The mount process is killed, and another one serves the workspace."""
    pid = show(t, d, name)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in d.pids("orch-mount"), what="the end of the mount")
    return ask(t, d, "POST", "/v1/workspaces/%s/mount" % name)


@test(needs="fuse passthrough")
def a_writer_that_outlived_the_mount_process_does_not_write_into_forks_and_snapshots(t):
    d = started(t)
    w = create(t, d, "w")
    log = open(w["path"] + "/log", "w")

    def say(text):
        log.write(text)
        log.flush()
    say("1")
    w = kill_mount(t, d, "w")
    t.eq(os.stat(w["path"] + "/log").st_size, 1)
    say("2")
    f = fork(t, d, "w", "f")
    t.eq([x.lstrip("/") for x in f["last_write_seen"]], ["log"])
    say("3")
    t.eq((read(f["path"] + "/log"), read(w["path"] + "/log")), ("12", "123"))
    made = commit(t, d, "w", ref="one")
    say("4")
    t.eq((read(export(t, d, made["id"]) + "/log"), read(w["path"] + "/log")), ("123", "1234"))
    w = kill_mount(t, d, "w")
    t.eq(os.stat(w["path"] + "/log").st_size, 4)
    say("5")
    log.close()
    made = commit(t, d, "w", ref="two")
    wait_until(lambda: os.stat(w["path"] + "/log").st_size == 5, what="the whole size")
    t.eq((read(export(t, d, made["id"]) + "/log"), t.run(["cat", w["path"] + "/log"]).stdout), ("12345", "12345"))
    verify(t, d)


@test(needs="fuse")
def forks_of_what_is_not_mounted_or_read_only(t):
    d = started(t)
    place = t.dir()
    w = create(t, d, "w", at=place)
    write(place + "/new", "x")
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    f = fork(t, d, "w", "f")
    t.eq(read(f["path"] + "/new"), "x")
    t.eq((show(t, d, "w")["state"], show(t, d, "w")["path"]), ("created", place))
    g = fork(t, d, "w", "g", mount=False)
    t.eq((g["state"], "pid" in g), ("created", False))
    create(t, d, "r", read_only=True)
    h = fork(t, d, "r", "h")
    write(h["path"] + "/made", "y")
    t.eq(h["read_only"], False)
    for name in "wfgrh":
        drop(t, d, name)
    t.eq(layers(d), 0)


@test(needs="fuse")
def a_commit_and_the_workspace_goes_on(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/new", "x")
    os.rename(w["path"] + "/d", w["path"] + "/e")
    inode, before = os.stat(w["path"] + "/new").st_ino, show(t, d, "w")
    made = commit(t, d, "w", ref="build/k", record={"outcome": "good"})
    snap = ask(t, d, "GET", "/v1/snapshots/build%2Fk")
    t.eq((snap["id"], snap["parent"], snap["record"]), (made["id"], before["snapshot"], {"outcome": "good"}))
    after = show(t, d, "w")
    t.eq((after["snapshot"], after["pid"]), (made["id"], before["pid"]))
    t.ok(after["seq"] >= before["seq"] and after["layer"] != before["layer"])
    t.eq((layers(d), os.stat(w["path"] + "/new").st_ino), (1, inode))
    write(w["path"] + "/later", "y")
    t.eq(sorted(os.listdir(w["path"])), ["a", "e", "later", "new"])
    out = t.path("out")
    stream(t, d, "POST", "/v1/snapshots/build%2Fk/export", {"dir": out})
    t.eq((sorted(os.listdir(out)), read(out + "/e/b"), read(out + "/new")), (["a", "e", "new"], "two", "x"))
    second = commit(t, d, "w", ref="build/k", expect=made["id"])
    r = d.http("POST", "/v1/workspaces/w/commit", {"ref": "build/k", "expect": made["id"]})
    t.eq((r.status, r.json()["error"]["code"]), (409, "ECONFLICT"))
    third = commit(t, d, "w")
    t.eq(third["id"], second["id"], "nothing changed: the same name")
    x = create(t, d, "x", **{"from": "build/k"})
    t.eq((read(x["path"] + "/later"), os.stat(x["path"] + "/new").st_ino), ("y", inode))
    verify(t, d)


@test(needs="fuse root")
def a_commit_leaves_the_workspace_its_sockets_and_fifos(t):
    """Snapshots do not hold them; a build that goes on does."""
    import socket
    d = started(t, {"a": "one", "d/e/b": "two", "gone/c": "x", "moved/c": "x", "left/c": "x"})
    path = create(t, d, "w")["path"]
    for name in ("d/e/fifo", "gone/fifo", "moved/fifo", "fifo", "renamed"):
        os.mkfifo(path + "/" + name)
    os.mkdir(path + "/fresh")
    os.mknod(path + "/fresh/device", stat.S_IFCHR | 0o640, os.makedev(240, 3))
    os.link(path + "/fifo", path + "/left/same")
    s = socket.socket(socket.AF_UNIX)
    os.chdir(path)
    s.bind("fresh/s")
    s.listen()
    inode, b = os.stat(path + "/d/e/fifo").st_ino, os.urandom(3000000)
    with open(path + "/big", "wb") as f:
        f.write(b)
    asked = threading.Thread(target=lambda: commit(t, d, "w", ref="one"))
    before = show(t, d, "w")["layer"]
    asked.start()
    wait_until(lambda: os.listdir(d.store + "/layers") != [before], what="the seal")
    shutil.rmtree(path + "/gone")  # perhaps before the rebase, perhaps after
    os.rename(path + "/moved", path + "/d/moved")
    os.rename(path + "/renamed", path + "/new")
    asked.join()
    for _ in range(2):
        t.eq(sorted(os.listdir(path)), ["a", "big", "d", "fifo", "fresh", "left", "new"])
        t.eq((sorted(os.listdir("d")), os.listdir("d/e"), sorted(os.listdir("d/moved")), sorted(os.listdir("left"))),
             (["e", "moved"], ["b", "fifo"], ["c", "fifo"], ["c", "same"]))
        t.eq((os.stat("d/e/fifo").st_ino, os.stat("fifo").st_nlink, os.stat("left/same").st_nlink), (inode, 2, 2))
        t.eq(os.stat("fresh/device").st_rdev, os.makedev(240, 3))
        c = socket.socket(socket.AF_UNIX)
        c.connect("fresh/s")
        c.close()
        commit(t, d, "w", ref="two")
    os.chdir("/")
    s.close()
    pid = show(t, d, "w")["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in d.pids("orch-mount"), what="the end of the mount")
    ask(t, d, "POST", "/v1/workspaces/w/mount")
    t.eq((os.stat(path + "/d/e/fifo").st_ino, sorted(os.listdir(path + "/fresh"))), (inode, ["device", "s"]))
    x = create(t, d, "x", **{"from": "two"})["path"]
    t.eq((sorted(os.listdir(x)), os.listdir(x + "/fresh"), os.listdir(x + "/left")), (["a", "big", "d", "fresh", "left"], [], ["c"]))
    for name in "wx":
        drop(t, d, name)
    t.eq(layers(d), 0)
    verify(t, d)


@test(needs="fuse")
def layers_go_when_nothing_stands_on_them(t):
    """Also when the top layer begins with a checkpoint larger than a page: what a rebase writes."""
    d = started(t)
    path = create(t, d, "w")["path"]
    for i in range(3):
        for k in range(200):
            write(path + "/%d" % k, str(i))
        fork(t, d, "w", "f", mount=False)
        x = threading.Thread(target=lambda: commit(t, d, "w"))
        x.start()
        while x.is_alive():
            for k in range(200):
                os.chmod(path + "/%d" % k, 0o600 + i)
        x.join()
        for k in range(200):
            os.chmod(path + "/%d" % k, 0o640 + i)
        commit(t, d, "w")
        drop(t, d, "f")
        commit(t, d, "w")
        t.eq(layers(d), 1)
    drop(t, d, "w")
    t.eq(layers(d), 0)


@test(needs="fuse")
def a_commit_of_what_is_not_mounted(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/new", "x")
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    made = commit(t, d, "w", ref="r")
    w = show(t, d, "w")
    t.eq((w["state"], w["snapshot"]), ("created", made["id"]))
    w = ask(t, d, "POST", "/v1/workspaces/w/mount")
    t.eq(read(w["path"] + "/new"), "x")
    t.eq(layers(d), 1)


@test(needs="fuse")
def forks_survive_the_commit_of_their_source(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/new", "x")
    f = fork(t, d, "w", "f")
    commit(t, d, "w", ref="r")
    t.eq(read(f["path"] + "/new"), "x")
    ask(t, d, "POST", "/v1/workspaces/f/umount", {})
    f = ask(t, d, "POST", "/v1/workspaces/f/mount")
    t.eq(read(f["path"] + "/new"), "x")
    commit(t, d, "f", ref="r2")
    t.eq(layers(d), 2)
    drop(t, d, "w")
    drop(t, d, "f")
    t.eq(layers(d), 0)
    verify(t, d)


@test(needs="fuse")
def changes_are_listed(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/new", "x")
    os.unlink(w["path"] + "/a")
    got = lines(d.http("GET", "/v1/workspaces/w/changes"))
    t.eq({x["path"].lstrip("/"): x["change"] for x in got[:-1] if x["path"].strip("/")}, {"new": "created", "a": "removed"})
    seq = got[-1]["result"]["seq"]
    t.eq(got[-1]["result"]["count"], len(got) - 1)
    t.eq(lines(d.http("GET", "/v1/workspaces/w/changes?since=%d" % seq))[-1]["result"]["count"], 0)
    write(w["path"] + "/d/b", "changed")
    got = lines(d.http("GET", "/v1/workspaces/w/changes?since=%d" % seq))
    t.ok(("d/b", "modified") in [(x["path"].lstrip("/"), x["change"]) for x in got[:-1]], str(got))
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    again = lines(d.http("GET", "/v1/workspaces/w/changes?since=%d" % seq))
    t.eq([x["path"] for x in again[:-1]], [x["path"] for x in got[:-1]])
    t.eq(d.http("GET", "/v1/workspaces/w/changes?since=x").status, 400)


@test(needs="fuse")
def a_cancelled_commit_leaves_the_workspace_whole(t):
    d = started(t)
    w = create(t, d, "w")
    for i in range(200):
        with open(w["path"] + "/%d" % i, "wb") as f:
            f.write(os.urandom(100000))
    import socket
    for delay in (0, 0.02, 0.05, 0.1):
        s = socket.socket(socket.AF_UNIX)
        s.connect(d.socket)
        s.sendall(b"POST /v1/workspaces/w/commit HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"ref\":\"gone\"}"[:-1] + b"")
        time.sleep(delay)
        s.close()
    wait_until(lambda: not d.pids("orch-worker"), what="the end of the workers")
    t.eq(len(os.listdir(w["path"])), 202)
    made = commit(t, d, "w", ref="r")
    t.eq(made["files"], 203)
    t.eq(os.listdir(d.store + "/tmp"), [])
    verify(t, d)


@test(needs="fuse", timeout=300)
def keepers_killed_during_forks_and_commits(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/n", "0")
    for n in range(12):
        x = threading.Thread(target=lambda: quiet(lambda: (
            d.http("POST", "/v1/workspaces/w/fork", {"name": "f%d" % n}),
            d.http("POST", "/v1/workspaces/w/commit", {"ref": "r"}))))
        x.start()
        time.sleep(0.004 * n)
        d.kill()
        x.join()
        wait_until(lambda: not d.pids("orch-worker"), what="the end of the worker")
        d.start()
        t.eq(read(w["path"] + "/n"), str(n))
        write(w["path"] + "/n", str(n + 1))
        t.eq(show(t, d, "w")["state"], "mounted")
        for f in ask(t, d, "GET", "/v1/workspaces")["workspaces"]:
            if f["name"] != "w":
                f = ask(t, d, "POST", "/v1/workspaces/%s/mount" % f["name"])
                t.ok(int(read(f["path"] + "/n")) <= n)
                if n % 2:
                    drop(t, d, f["name"])
    commit(t, d, "w", ref="last")
    verify(t, d)
    for f in ask(t, d, "GET", "/v1/workspaces")["workspaces"]:
        drop(t, d, f["name"])
    d.restart()
    t.eq(layers(d), 0)
    d.stop()
    t.eq(d.pids(), [], "nothing runs any more")


def quiet(f):
    with contextlib.suppress(Exception):
        f()


@test(needs="fuse", timeout=300)
def everything_killed_at_random(t):
    d = started(t)
    w = create(t, d, "w")
    for n in range(8):
        x = threading.Thread(target=lambda: quiet(lambda: (
            d.http("POST", "/v1/workspaces/w/fork", {"name": "f%d" % n, "mount": False}),
            d.http("POST", "/v1/workspaces/w/commit", {"ref": "r"}))))
        write(w["path"] + "/n", str(n))
        x.start()
        time.sleep(0.007 * n)
        d.kill()
        for p in d.pids():
            os.kill(p, signal.SIGKILL)
        x.join()
        wait_until(lambda: not d.pids(), what="the end of all")
        d.start()
        w = ask(t, d, "POST", "/v1/workspaces/w/mount")
        t.eq(read(w["path"] + "/n"), str(n))
    verify(t, d)


@test(needs="fuse", timeout=300)
def many_forks_at_once(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/n", "x" * 100000)
    wrong = []

    def one(i):
        try:
            f = fork(t, d, "w", "f%d" % i)
            if len(read(f["path"] + "/n")) != 100000:
                wrong.append(i)
            write(f["path"] + "/mine", str(i))
        except Exception as e:  # noqa: BLE001
            wrong.append(repr(e))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(16)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    t.eq(wrong, [])
    t.eq([read(d.mounts + "/f%d/mine" % i) for i in range(16)], [str(i) for i in range(16)])
    for i in range(16):
        drop(t, d, "f%d" % i)
    drop(t, d, "w")
    t.eq(layers(d), 0)


@test(needs="fuse root", timeout=200)
def more_writers_than_an_answer_can_name(t):
    d = started(t)
    mnt = create(t, d, "w")["path"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), max(hard, 4096)))
    open_files = [open("%s/writer-with-a-long-name-%s-%d" % (mnt, "x" * 60, i), "w") for i in range(700)]
    deep = os.open(mnt, os.O_RDONLY)
    for _ in range(4100):
        os.mkdir("e", dir_fd=deep)
        below = os.open("e", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    try:
        open_files.append(os.fdopen(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=deep), "w"))
        f = fork(t, d, "w", "f")
        t.eq(len(f["last_write_seen"]) + f["last_write_seen_more"], 701)
        t.ok(len(f["last_write_seen"]) > 20, "few are named: %d" % len(f["last_write_seen"]))
        r = d.shim("workspace", "fork", "w", "f2")
        t.match(r.stderr, "%d more files were being written" % f["last_write_seen_more"])
    finally:
        for x in open_files:
            x.close()
        os.close(deep)
    t.eq(fork(t, d, "w", "f3")["last_write_seen_more"], 0)


@test(needs="fuse", timeout=120)
def forks_go_on_beside_many_who_look(t):
    d = started(t)
    w = create(t, d, "w")
    over, wrong = threading.Event(), []

    def look():
        while not over.is_set():
            r = show(t, d, "w")
            if "error" in r or "mount" not in r:
                wrong.append(r)
    threads = [threading.Thread(target=look) for _ in range(40)]
    for x in threads:
        x.start()
    try:
        for n in range(40):
            write(w["path"] + "/f", str(n))
            fork(t, d, "w", "f%d" % n, mount=False)
            if n % 8 == 0:
                t.ok(commit(t, d, "w")["rebased"])
    finally:
        over.set()
        for x in threads:
            x.join()
    t.eq(wrong[:3], [])


@test(needs="fuse root")
def a_folder_of_private_files_that_is_a_link_is_not_followed(t):
    d = started(t)
    w = create(t, d, "w")
    write(w["path"] + "/new", "private")
    fork(t, d, "w", "f", mount=False)
    ask(t, d, "POST", "/v1/workspaces/w/umount")
    for layer in os.listdir(d.store + "/layers"):
        spool = "%s/layers/%s/spool" % (d.store, layer)
        os.rename(spool, d.store + "/layers/%s/elsewhere" % layer)
        os.symlink("elsewhere", spool)
    for name in "w", "f":
        e = ask(t, d, "POST", "/v1/workspaces/%s/mount" % name, status=500, code="ECORRUPT")["error"]
        t.match(e["message"], r"layers/\d+/spool is not a folder")
    bad = stream(t, d, "POST", "/v1/store/verify")["bad"]
    t.eq(sorted(x["name"] for x in bad if "not a folder" in x["error"]), sorted(os.listdir(d.store + "/layers")))
    for layer in os.listdir(d.store + "/layers"):
        os.unlink("%s/layers/%s/spool" % (d.store, layer))
        os.rename(d.store + "/layers/%s/elsewhere" % layer, "%s/layers/%s/spool" % (d.store, layer))
    for name in "w", "f":
        t.eq(read(ask(t, d, "POST", "/v1/workspaces/%s/mount" % name)["path"] + "/new"), "private")
    verify(t, d)
    d.allow_errors("spool is not a folder")


main()
