"""
Two users of one daemon: none reads, writes or mounts over what is the other's, by a request, by a link that
is swapped in while the daemon works, or by what the daemon leaves in the file system.
"""
from orchtest import *
import orchtest
from ordinary import Ordinary
import socket
import stat as modes

# How long each race is tried; a minute finds more.
RACE_S = float(os.environ.get("ORCH_RACE_SECONDS", "4"))

# Moves a folder away, puts a link to another there, and back, for ever.
SWAPPER = r'''
import os, sys
base, victim = sys.argv[1:]
os.chdir(base)
def quiet(f, *args):
    try:
        f(*args)
    except OSError:
        pass
while True:
    quiet(os.rename, "m", "real")
    quiet(os.symlink, victim, "m")
    quiet(os.unlink, "m")
    quiet(os.rename, "real", "m")
'''


class User:
    def __init__(self, t, d, uid, groups=()):
        self.t, self.d, self.uid = t, d, uid
        self.prefix = ["setpriv", "--reuid", str(uid), "--regid", str(uid)]
        self.prefix += ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]

    def run(self, *argv, **kwargs):
        return self.t.run(self.prefix + list(argv), **kwargs)

    def sh(self, script, **kwargs):
        return self.run("sh", "-c", script, **kwargs)

    def start(self, *argv, **kwargs):
        return self.t.start(self.prefix + list(argv), **kwargs)

    def ask(self, method, path, body=None):
        """The last line of the answer."""
        data = ["-d", json.dumps(body)] if body is not None else []
        r = self.run("curl", "-sS", "-X", method, "--unix-socket", self.d.socket, "http://orch" + path, *data)
        return json.loads(r.stdout.strip().split("\n")[-1])

    def refused(self, codes, method, path, body=None):
        answer = self.ask(method, path, body)
        self.t.ok("error" in answer, "%s %s %s by %d was done: %s" % (method, path, body, self.uid, answer))
        self.t.ok(answer["error"]["code"] in codes.split(), "%s %s: %s" % (method, path, answer))
        return answer["error"]["message"]

    def done(self, method, path, body=None):
        answer = self.ask(method, path, body)
        # A workspace may have an "error" too, a text.
        self.t.ok(not isinstance(answer.get("error"), dict), "%s %s %s: %s" % (method, path, body, answer))
        return answer

    def folder(self, name, mode=0o755):
        path = self.t.dir(name)
        os.chown(path, self.uid, self.uid)
        os.chmod(path, mode)
        return path

    def write(self, path, text, mode=0o644):
        with open(path, "w") as f:
            f.write(text)
        os.chown(path, self.uid, self.uid)
        os.chmod(path, mode)


def two(t):
    """A daemon of root's with the snapshot main, and two of its users."""
    d = t.daemon()
    d.start()
    os.chmod(d.socket, 0o666)
    alice, bob = User(t, d, 1000, [2000]), User(t, d, 1001)
    source = alice.folder("source")
    alice.write(source + "/open", "for all")
    alice.write(source + "/secret", "for one", 0o600)
    alice.done("POST", "/v1/snapshots/import", {"dir": source, "ref": "main"})
    return d, alice, bob


def mounts(t):
    return [m[0] for m in orchtest.mounts_below(t.tmp)]


@test(needs="fuse root", timeout=180)
def an_import_reads_what_the_peer_may_read(t):
    d, alice, bob = two(t)
    closed = alice.folder("closed", 0o700)
    alice.write(closed + "/treasure", "the text of a treasure")
    bob.refused("EACCES", "POST", "/v1/snapshots/import", {"dir": closed})
    # What the store and the scan index know of it by now gives nothing away.
    alice.done("POST", "/v1/snapshots/import", {"dir": closed, "ref": "closed"})
    message = bob.refused("EACCES", "POST", "/v1/snapshots/import", {"dir": closed, "parent": "closed"})
    t.ok("treasure" not in message, message)
    os.symlink(closed, bob.folder("bobs") + "/link")
    bob.refused("EACCES", "POST", "/v1/snapshots/import", {"dir": t.path("bobs/link")})
    # A file among readable ones, of which only the metadata is there to be seen.
    mixed = alice.folder("mixed")
    alice.write(mixed + "/open", "x")
    alice.write(mixed + "/shut", "the text of a treasure", 0o600)
    alice.done("POST", "/v1/snapshots/import", {"dir": mixed, "ref": "mixed"})
    answer = bob.ask("POST", "/v1/snapshots/import", {"dir": mixed, "parent": "mixed", "ref": "bob"})
    if "error" in answer:
        t.eq(answer["error"]["code"], "EACCES")
    else:
        names = [e["name"] for e in bob.done("GET", "/v1/snapshots/bob/tree")["entries"]]
        t.eq(names, ["open"])
    # The folder of a group, for one who is in it.
    shared = alice.folder("shared", 0o750)
    os.chown(shared, 0, 2000)
    alice.done("POST", "/v1/snapshots/import", {"dir": shared})
    bob.refused("EACCES", "POST", "/v1/snapshots/import", {"dir": shared})
    # The store itself is nobody's to import.
    bob.refused("EACCES", "POST", "/v1/snapshots/import", {"dir": d.store})


@test(needs="fuse root")
def an_export_writes_what_the_peer_may_write(t):
    d, alice, bob = two(t)
    home = alice.folder("hers")
    bob.refused("EACCES", "POST", "/v1/snapshots/main/export", {"dir": home + "/new"})
    bob.refused("EACCES", "POST", "/v1/snapshots/main/export", {"dir": home})
    t.eq(os.listdir(home), [])
    # A link that bob has planted where alice exports to.
    both = t.dir("both")
    os.chmod(both, 0o1777)
    alice.write(home + "/precious", "kept")
    bob.run("ln", "-s", home, both + "/out")
    alice.refused("ENOTEMPTY EEXIST ELOOP ENOTDIR EACCES", "POST", "/v1/snapshots/main/export", {"dir": both + "/out"})
    t.eq(os.listdir(home), ["precious"])
    alice.done("POST", "/v1/snapshots/main/export", {"dir": both + "/mine"})
    t.eq(os.stat(both + "/mine/open").st_uid, 1000)
    t.eq(modes.S_IMODE(os.stat(both + "/mine/secret").st_mode), 0o600)


@test(needs="fuse root")
def a_place_is_the_peers_own(t):
    d, alice, bob = two(t)
    hers = alice.folder("hers")
    os.symlink(hers, bob.folder("his") + "/link")
    for at, codes in ((hers, "EPERM"), (t.path("his/link"), "EPERM"), ("/proc", "EPERM"), (t.path("none"), "ENOENT"),
                      (d.store, "EACCES"), (alice.folder("shut", 0o700), "EACCES EPERM"), (t.path("source"), "EPERM ENOTEMPTY"),
                      ("his", "EUSAGE"), (t.path("his/../hers"), "EPERM")):
        bob.refused(codes, "POST", "/v1/workspaces", {"name": "b", "from": "main", "at": at})
    t.eq(mounts(t), [])
    t.eq(d.http("GET", "/v1/workspaces").json()["workspaces"], [])
    t.eq(os.listdir(d.store + "/layers"), [])


@test(needs="fuse root")
def names_and_owners_are_checked(t):
    d, alice, bob = two(t)
    alice.done("POST", "/v1/workspaces", {"name": "a", "from": "main", "mount": False})
    for name in ("../a", "a/../b", "..", ".hidden", "-rf", "a\nb", "m\0", "x" * 200):
        bob.refused("EUSAGE", "POST", "/v1/workspaces", {"name": name, "from": "main"})
    bob.refused("EEXIST", "POST", "/v1/workspaces", {"name": "a", "from": "main"})
    for owner in ({"uid": 0, "gid": 0}, {"uid": 1000, "gid": 1000}, {"uid": 1001, "gid": 0}, "root", {"uid": 4294967295, "gid": 1}):
        bob.refused("EPERM EUSAGE", "POST", "/v1/workspaces", {"name": "b", "from": "main", "owner": owner})


@test(needs="fuse root")
def a_workspace_is_its_owners(t):
    d, alice, bob = two(t)
    w = alice.done("POST", "/v1/workspaces", {"name": "a", "from": "main"})
    before = d.http("GET", "/v1/workspaces/a").json()["snapshot"]
    for method, path, body in (("POST", "/a/umount", {}), ("POST", "/a/umount", {"lazy": True}), ("POST", "/a/mount", {}),
                               ("POST", "/a/commit", {"ref": "x"}), ("POST", "/a/fork", {"name": "b"}),
                               ("GET", "/a/changes", None), ("DELETE", "/a", None), ("DELETE", "/a?force=1", None)):
        bob.refused("EPERM", method, "/v1/workspaces" + path, body)
    t.eq(mounts(t), [w["path"]])
    t.eq(d.http("GET", "/v1/workspaces/a").json()["snapshot"], before)
    for method, path, body in (("POST", "/v1/daemon/stop", {"force": True}), ("POST", "/v1/daemon/upgrade", {}),
                               ("POST", "/v1/store/verify", {"repair": True})):
        bob.refused("EPERM", method, path, body)
    # Through the mount the modes count, as on any file system.
    t.eq(bob.run("cat", w["path"] + "/open").stdout, "for all")
    t.match(bob.run("cat", w["path"] + "/secret", status=1).stderr, "Permission denied")
    for script in ("echo x >>'%s/open'", "echo x >'%s/new'", "rm -f '%s/open'", "chmod 777 '%s/secret'", "ln '%s/secret' '%s/hard'",
                   "mv '%s/open' '%s/moved'", "mkdir '%s/d'", "truncate -s0 '%s/open'"):
        t.ok(bob.sh(script.replace("%s", w["path"]), status=None).status != 0, script)
    alice.sh("umask 077; echo mine >'%s/private'; mkdir '%s/shut'; echo x >'%s/shut/f'" % ((w["path"],) * 3))
    for path in ("private", "shut/f"):
        t.ok(bob.run("cat", "%s/%s" % (w["path"], path), status=None).status != 0, path)
    # Her fork and what she commits stay hers.
    alice.done("POST", "/v1/workspaces/a/fork", {"name": "f"})
    t.ok(bob.run("cat", d.mounts + "/f/private", status=None).status != 0)
    t.eq(sorted(os.listdir(w["path"])), ["open", "private", "secret", "shut"])


@test(needs="fuse root", timeout=240)
def a_folder_swapped_for_a_link_is_never_mounted_over(t):
    d, alice, bob = two(t)
    his, victim = bob.folder("his"), alice.folder("victim")
    bob.run("mkdir", his + "/m")
    alice.write(victim + "/precious", "kept")
    os.mkdir(t.path("empty"))  # root's
    for target in (victim, t.path("empty")):
        p = bob.start(sys.executable, "-c", SWAPPER, his, target)
        end, made, tries = time.monotonic() + RACE_S, 0, 0
        while time.monotonic() < end or made == 0 and time.monotonic() < end + 60:
            tries += 1
            name = "w%d" % tries
            r = bob.ask("POST", "/v1/workspaces", {"name": name, "from": "main", "at": his + "/m"})
            made += "error" not in r
            t.ok(target not in mounts(t), "mounted over somebody's folder")
            bob.ask("DELETE", "/v1/workspaces/%s?force=1" % name)
            t.eq(mounts(t), [], "left after %s" % r)
        print("# %d of %d were mounted" % (made, tries))
        p.kill()
        p.wait()
    t.eq(os.listdir(victim), ["precious"])
    t.eq(d.pids("orch-mount"), [])


@test(needs="fuse root")
def a_moved_folder_takes_its_mount_along(t):
    """Whoever moves the folder and puts a link there has not made the daemon unmount what is behind that link."""
    d, alice, bob = two(t)
    his = bob.folder("his")
    other = t.dir("other")
    os.mkdir(other + "/m")
    t.run(["mount", "-t", "tmpfs", "none", other + "/m"])
    for n, end in enumerate(("umount", "lazy", "drop", "force", "killed", "keeper killed")):
        base, name = "%s/%d" % (his, n), "w%d" % n
        bob.run("mkdir", "-p", base + "/m")
        w = bob.done("POST", "/v1/workspaces", {"name": name, "from": "main", "at": base + "/m"})
        bob.sh("mv '%s' '%s.moved' && ln -s '%s' '%s'" % (base, base, other, base))
        t.eq(open(base + ".moved/m/open").read(), "for all")
        if end in ("umount", "lazy"):
            bob.done("POST", "/v1/workspaces/%s/umount" % name, {"lazy": end == "lazy"})
            t.eq(bob.done("GET", "/v1/workspaces/" + name)["state"], "created")
        elif end in ("drop", "force"):
            bob.done("DELETE", "/v1/workspaces/%s%s" % (name, "?force=1" if end == "force" else ""))
        else:
            if end == "keeper killed":
                d.kill()
            os.kill(w["pid"], signal.SIGKILL)
            if end == "keeper killed":
                wait_until(lambda: not d.pids("orch-mount"), what="the end of the mount")
                d.start()
                os.chmod(d.socket, 0o666)
            wait_until(lambda: bob.done("GET", "/v1/workspaces/" + name)["state"] == "created", what="the watcher")
        t.eq(mounts(t), [other + "/m"], end)


@test(needs="fuse root")
def another_daemons_mount_is_left_alone(t):
    first = t.daemon()
    second = t.daemon(["--mounts", first.mounts], name="2")
    source = t.tree({"a": "1"})
    for d in (first, second):
        d.start()
        d.http("POST", "/v1/snapshots/import", {"dir": source, "ref": "main"})
    w = first.http("POST", "/v1/workspaces", {"name": "w", "from": "main"}).json()
    r = second.http("POST", "/v1/workspaces", {"name": "w", "from": "main"})
    t.eq(r.json()["error"]["code"], "EBUSY", str(r))
    t.eq(open(w["path"] + "/a").read(), "1")
    t.eq(second.http("GET", "/v1/workspaces").json()["workspaces"], [])
    os.kill(w["pid"], signal.SIGKILL)
    wait_until(lambda: first.http("GET", "/v1/workspaces/w").json()["state"] == "created", what="the watcher")
    t.eq(second.http("POST", "/v1/workspaces", {"name": "w", "from": "main"}).status, 200)


@test(needs="fuse root")
def mounts_may_lie_behind_a_link(t):
    os.symlink(t.dir("real"), t.path("mnt"))
    with t.daemon() as d:
        d.http("POST", "/v1/snapshots/import", {"dir": t.tree({"a": "1"}), "ref": "main"})
        w = d.http("POST", "/v1/workspaces", {"name": "w", "from": "main"}).json()
        t.eq(w.get("path"), t.path("real/w"), str(w))


@test(needs="fuse root", timeout=180)
def a_worker_shows_nothing(t):
    d, alice, bob = two(t)
    big = bob.folder("big")
    with open(big + "/f", "wb") as f:
        f.truncate(4 << 30)
    os.chown(big + "/f", 1001, 1001)
    p = bob.start("curl", "-sS", "--unix-socket", d.socket, "http://orch/v1/snapshots/import", "-d", json.dumps({"dir": big}),
                  stdout=subprocess.DEVNULL)

    def worker():
        for pid in d.pids("orch-worker"):
            with contextlib.suppress(OSError):
                with open("/proc/%d/status" % pid) as f:
                    if re.search(r"^Uid:(\t1001){4}$", f.read(), re.M):
                        return pid
        return None
    pid = wait_until(worker, what="a worker under bob's ids")
    status = orchtest._read("/proc/%d/status" % pid)
    t.match(status, r"(?m)^Gid:(\t1001){4}$")
    t.match(status, r"(?m)^Groups:\s*$")
    t.match(status, r"(?m)^CapEff:\s0+$")
    t.match(status, r"(?m)^NoNewPrivs:\s1$")
    for name in ("environ", "maps", "fd/", "mem", "cwd/", "root/"):
        t.ok(bob.run("ls" if name.endswith("/") else "cat", "/proc/%d/%s" % (pid, name), status=None).status != 0, name)
    if shutil.which("strace"):
        t.ok(bob.run("strace", "-o", "/dev/null", "-p", str(pid), status=None, timeout=20).status != 0, "it was traced")
    allowed = re.compile(r"^(pipe:|/memfd:orch-task|/dev/null|anon_inode:|%s(/f)?$|%s/(objects|packs|scan|tmp)(/|$))"
                         % (re.escape(big), re.escape(d.store)))
    have = [os.readlink("/proc/%d/fd/%s" % (pid, n)) for n in os.listdir("/proc/%d/fd" % pid)]
    t.eq([x for x in have if not allowed.match(x)], [], "inherited descriptors")
    quarantine = [x for x in os.listdir(d.store + "/tmp")]
    t.ok(quarantine, "no quarantine while an import runs")
    p.kill()
    p.wait()
    wait_until(lambda: not d.pids("orch-worker"), what="the end of the cancelled import")
    wait_until(lambda: not os.listdir(d.store + "/tmp"), what="the end of the quarantine")


@test(needs="fuse root")
def nothing_of_the_daemon_lies_open(t):
    d, alice, bob = two(t)
    w = alice.done("POST", "/v1/workspaces", {"name": "a", "from": "main"})
    t.eq(modes.S_IMODE(os.stat(d.store).st_mode) & 0o077, 0, "the store is open")
    t.eq(modes.S_IMODE(os.stat(t.path("m")).st_mode), 0o700)
    sockets = os.listdir(t.path("m"))
    t.eq(len(sockets), 1)
    t.eq(modes.S_IMODE(os.stat(t.path("m", sockets[0])).st_mode), 0o600)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    t.ok(bob.run(sys.executable, "-c", "import socket,sys; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(sys.argv[1])",
                 t.path("m", sockets[0]), status=None).status != 0)
    s.close()
    t.eq(modes.S_IMODE(os.stat(d.mounts).st_mode), 0o755)
    # Whoever opened it (systemd's StateDirectory sets its own mode) has not opened it for long.
    alice.done("POST", "/v1/workspaces/a/umount", {})
    d.stop()
    os.chmod(d.store, 0o755)
    d.start()
    t.eq(modes.S_IMODE(os.stat(d.store).st_mode), 0o700)
    t.ok(bob.run("ls", d.store, status=None).status != 0)
    for folder, dirs, files in os.walk(d.store):
        for name in dirs + files:
            st = os.lstat(os.path.join(folder, name))
            t.ok(st.st_uid == 0 and not st.st_mode & 0o022, "%s/%s may be written by others" % (folder, name))
    os.chmod(d.socket, 0o666)
    w = alice.done("POST", "/v1/workspaces/a/mount", {})
    for name in ("environ", "maps", "fd/"):
        path = "/proc/%d/%s" % (w["pid"], name)
        t.ok(alice.run("ls" if name.endswith("/") else "cat", path, status=None).status != 0, path)


@test(needs="fuse fusermount3 root", timeout=180)
def an_ordinary_user_keeps_a_daemon(t):
    o = Ordinary(t)
    d = o.daemon()
    d.start()
    me, bob = User(t, d, o.uid), User(t, d, 1001)
    inside = ["nsenter", "-t", str(o.holder.pid), "-m"]
    source = me.folder("source")
    me.write(source + "/a", "one")
    me.done("POST", "/v1/snapshots/import", {"dir": source, "ref": "main"})
    w = me.done("POST", "/v1/workspaces", {"name": "w", "from": "main"})
    t.eq(t.run(inside + me.prefix + ["cat", w["path"] + "/a"]).stdout, "one")
    t.run(inside + me.prefix + ["sh", "-c", "echo two >'%s/b'" % w["path"]])
    # Without allow_other not even root looks in.
    t.ok(t.run(inside + bob.prefix + ["cat", w["path"] + "/a"], status=None).status != 0)
    d.kill()
    d.process = None
    t.ok(d.pids("orch-mount"), "the mount lives on")
    pid = d.pids("orch-mount")[0]
    d.start()
    t.eq(me.done("GET", "/v1/workspaces/w")["pid"], pid)
    me.done("POST", "/v1/workspaces/w/commit", {"ref": "main"})
    me.done("POST", "/v1/workspaces/w/fork", {"name": "f"})
    me.done("POST", "/v1/workspaces/w/umount", {})
    place = me.folder("place")
    w = me.done("POST", "/v1/workspaces/w/mount", {"at": place})
    t.eq(w["path"], place)
    # Idmapped mounts are for root; what is to be done instead is said.
    t.match(me.refused("EOPNOTSUPP", "POST", "/v1/workspaces/w/view", {"uid": 0}), "for root alone.*rootless")
    t.ok(not os.path.exists(d.mounts + "/.views"))
    # The daemon acts for its own user only, root is no exception.
    root = User(t, d, 0)
    root.refused("EPERM", "POST", "/v1/snapshots/import", {"dir": source})
    root.refused("EPERM", "POST", "/v1/snapshots/main/export", {"dir": t.path("out")})
    for name in ("w", "f"):
        me.done("DELETE", "/v1/workspaces/" + name)
    t.eq(d.pids("orch-mount"), [])
    t.eq(d.stop(), 0)


main()
