"""
Whose files are: the table of docs/ownership.md. Who sees which owner, who may write what, and what is left on the
host, for root and others in containers (with a view), in the sandbox, and on the host.
"""
import glob
import http.client

from orchtest import *
from containers import ByHand, Docker
from faults import Faults
from ordinary import ETC, Ordinary
from keeper_api import ask, create, drop, read, show, stream

OWNER = 1234
OTHER = 4242
HOME = {"HOME": "/nonexistent", "LC_ALL": "C"}

# In a workspace of OWNER's: prints "name=value" lines, each what happened to whoever runs it.
SCRIPT = r"""
try() {
	name=$1; shift
	if out=$("$@" 2>&1); then echo "$name=ok"; else echo "$name=${out##*: }"; fi
}
umask 022
echo "me=$(id -u)"
echo "sees=$(stat -c %u:%g a)"
try read cat secret
try write sh -c 'echo x >> a'
try make sh -c 'echo > made; mkdir folder; ln -s a link'
echo "made=$(stat -c %u:%g made 2>&1 || true)" | sed 's/=stat:.*/=/'
try public sh -c 'echo > public/p'
echo "public_seen=$(stat -c %u:%g public/p 2>&1 || true)" | sed 's/=stat:.*/=/'
try give chown 4242:4242 given
try take chown 0:0 taken
try mode chmod 4755 tool
echo "git=$(git status --porcelain --untracked-files=no 2>&1 | grep -o dubious | head -1)"
"""


def repository(t):
    """What everyone finds: a git repository with a few files."""
    source = t.tree({"a": "one\n", "secret": "two\n", "given": "", "taken": "", "tool": ""})
    os.mkdir(source + "/public")
    os.chmod(source + "/public", 0o777)
    os.chmod(source + "/secret", 0o600)
    for args in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]):
        t.git(source, *args)
    return source


def begin(t, owner=OWNER, name="w", source=None, args=()):
    d = t.daemon(args).start()
    os.chmod(d.socket, 0o666)
    stream(t, d, "POST", "/v1/snapshots/import", {"dir": source or repository(t), "ref": "main"})
    return d, create(t, d, name, owner={"uid": owner, "gid": owner})


def view(t, d, uid, name="w"):
    r = ask(t, d, "POST", "/v1/workspaces/%s/view" % name, {"uid": uid, "gid": uid})
    t.eq((r["idmapped"], [m[0] for m in mounts_below(r["path"])]), (True, [r["path"]]))
    return r["path"]


def parse(out):
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def owners(path, names=("made", "folder", "link", "public/p", "given", "taken")):
    """Whose they are on the host; a pair of equal numbers is one."""
    out = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            st = os.lstat(path + "/" + name)
            out[name] = st.st_uid if st.st_uid == st.st_gid else (st.st_uid, st.st_gid)
    return out


def nothing_of_roots(t, path):
    for folder, dirs, files in os.walk(path):
        for name in [""] + dirs + files:
            st = os.lstat(os.path.join(folder, name))
            t.ok(st.st_uid != 0 and st.st_gid != 0, "root owns %s/%s" % (folder, name))


def table(t, who, got, want):
    """want: what was said, as SCRIPT names it, and who owns what was left."""
    said, left = got
    if os.environ.get("ORCH_PRINT_TABLE"):  # to write docs/ownership.md
        print("# %s: %r %r" % (who, said, left))
    t.eq({k: said.get(k) for k in want[0]}, want[0], who)
    t.eq(left, want[1], who + ": on the host")


DENIED, NO_ID, FORBIDDEN = "Permission denied", "Value too large for defined data type", "Operation not permitted"
ALL_OK = {"read": "ok", "write": "ok", "make": "ok", "public": "ok"}
UNTOUCHED = {"given": OWNER, "taken": OWNER}
MADE = {"made": OWNER, "folder": OWNER, "link": OWNER, "public/p": OWNER, "given": OWNER, "taken": OWNER}
# What modes leave to somebody else; `name` is who he is.
STRANGER = {"read": DENIED, "write": DENIED, "make": DENIED, "public": "ok", "give": FORBIDDEN, "take": FORBIDDEN,
            "mode": FORBIDDEN, "git": "dubious"}

# who: (whom the view is for, who runs in it, the workspace's owner, what is said, whose things are on the host)
IN_CONTAINERS = {
    "root": (0, 0, OWNER, dict(ALL_OK, sees="0:0", made="0:0", give="ok", take="ok", mode="ok", git=""), dict(MADE, given=OTHER)),
    "user 1000": (1000, 1000, OWNER, dict(ALL_OK, sees="1000:1000", made="1000:1000", give=FORBIDDEN, take=NO_ID, mode="ok", git=""), MADE),
    # What he made would be root's, so he makes nothing.
    "root, in a view for user 1000": (1000, 0, OWNER, {
        "sees": "1000:1000", "read": "ok", "write": "ok", "make": NO_ID, "public": NO_ID, "give": "ok", "take": NO_ID, "git": "dubious"},
        dict(UNTOUCHED, given=OTHER)),
    "the owner's number, in a view for root": (0, OWNER, OWNER, dict(STRANGER, sees="0:0", public_seen="%d:%d" % (OWNER, OWNER)),
                                               dict(UNTOUCHED, **{"public/p": 65534})),
    "another, in a view for root": (0, OTHER, OWNER, dict(STRANGER, sees="0:0", public_seen="%d:%d" % (OTHER, OTHER)),
                                    dict(UNTOUCHED, **{"public/p": OTHER})),
    "nobody, in a view for root": (0, 65534, OWNER, dict(STRANGER, sees="0:0", public_seen="65534:65534"),
                                   dict(UNTOUCHED, **{"public/p": 4294967294})),
    "user 1000, of root's workspace": (1000, 1000, 0, dict(ALL_OK, sees="1000:1000", made="1000:1000", give=FORBIDDEN, git=""),
                                       {x: 0 for x in MADE}),
    "root, of root's workspace": (0, 0, 0, dict(ALL_OK, sees="0:0", made="0:0", give="ok", take="ok", git=""),
                                  dict({x: 0 for x in MADE}, given=OTHER)),
}


def in_containers(t, box):
    source = repository(t)
    for who, (container_user, run_as, owner, said, left) in IN_CONTAINERS.items():
        d, w = begin(t, owner, source=source)
        out = box.run(view(t, d, container_user), run_as, SCRIPT)
        table(t, who, (parse(out), owners(w["path"])), (said, left))
        if owner:
            nothing_of_roots(t, w["path"])
        drop(t, d, "w")
        t.eq(os.listdir(d.mounts + "/.views"), [])
        t.eq(d.stop(), 0)


@test(needs="fuse root idmap git", timeout=300)
def in_containers_made_by_hand(t):
    in_containers(t, ByHand(t))


@test(needs="fuse root idmap git docker", timeout=600)
def in_docker(t):
    in_containers(t, Docker(t))


def as_user(uid):
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]


ON_THE_HOST = {
    OWNER: (dict(ALL_OK, sees="%d:%d" % (OWNER, OWNER), made="%d:%d" % (OWNER, OWNER), give=FORBIDDEN, take=FORBIDDEN, mode="ok", git=""), MADE),
    OTHER: (dict(STRANGER, sees="%d:%d" % (OWNER, OWNER), public_seen="%d:%d" % (OTHER, OTHER)), dict(UNTOUCHED, **{"public/p": OTHER})),
}


@test(needs="fuse root idmap git", timeout=300)
def on_the_host(t):
    source = repository(t)
    for uid, want in ON_THE_HOST.items():
        d, w = begin(t, source=source)
        out = t.run(as_user(uid) + ["sh", "-c", SCRIPT], cwd=w["path"], env=HOME).stdout
        table(t, "user %d on the host" % uid, (parse(out), owners(w["path"])), want)
        nothing_of_roots(t, w["path"])
        # A view is root's to give away.
        t.ok(t.run(as_user(uid) + ["ls", view(t, d, 0)], status=None).status != 0)
        drop(t, d, "w")
        t.eq(d.stop(), 0)


@test(needs="fuse root git sandbox", timeout=300)
def in_the_sandbox(t):
    d, w = begin(t)
    argv = as_user(OWNER) + [program("orch-shim"), "workspace", "exec", "w", "--", "sh", "-c", SCRIPT]
    env = {"ORCH_SOCKET": d.socket, **HOME}
    # Beside the socket of another he writes no journal.
    t.match(t.run(argv, env=env, status=125).stderr, "ermission")
    os.mkdir(d.socket + ".runs")
    os.chown(d.socket + ".runs", OWNER, OWNER)
    said = parse(t.run(argv, env=env).stdout)
    want = dict(ALL_OK, me=str(OWNER), sees="%d:%d" % (OWNER, OWNER), made="%d:%d" % (OWNER, OWNER), git="", mode="ok",
                give="Invalid argument", take="Invalid argument")
    table(t, "the owner in the sandbox", (said, owners(w["path"])), (want, MADE))
    # What root runs there is the owner's, too.
    for name in "made", "link", "public/p":
        os.unlink(w["path"] + "/" + name)
    os.rmdir(w["path"] + "/folder")
    said = parse(d.shim("workspace", "exec", "w", "--", "sh", "-c", SCRIPT).stdout)
    table(t, "root in the sandbox", (said, owners(w["path"])), (dict(want, give=FORBIDDEN, take=FORBIDDEN), MADE))
    nothing_of_roots(t, w["path"])


# An ordinary user's own daemon; who: (--allow-other, where, who runs there, what is said, whose things are left); no more
# said: he doesn't come in. Root without a view is root on the host: what it makes is root's, until the daemon's user
# removes it.
OWN_DAEMON = {
    "its user": (False, "host", OWNER, dict(ALL_OK, sees="%d:%d" % (OWNER, OWNER), made="%d:%d" % (OWNER, OWNER), give=FORBIDDEN, take=FORBIDDEN,
                                            mode="ok", git=""), MADE),
    "its user in the sandbox": (False, "sandbox", OWNER, dict(ALL_OK, me=str(OWNER), sees="%d:%d" % (OWNER, OWNER), made="%d:%d" % (OWNER, OWNER),
                                                              git="", mode="ok", give="Invalid argument", take="Invalid argument"), MADE),
    "another": (False, "host", OTHER, None, UNTOUCHED),
    "root": (False, "host", 0, None, UNTOUCHED),
    "root in a container": (False, "container", 0, None, UNTOUCHED),
    "another, allow-other": (True, "host", OTHER, dict(STRANGER, sees="%d:%d" % (OWNER, OWNER), public_seen="%d:%d" % (OTHER, OTHER)),
                             dict(UNTOUCHED, **{"public/p": OTHER})),
    "root in a container, allow-other": (True, "container", 0, dict(
        ALL_OK, sees="%d:%d" % (OWNER, OWNER), made="0:0", give="ok", take="ok", mode="ok", git="dubious"),
        {"made": 0, "folder": 0, "link": 0, "public/p": 0, "given": OTHER, "taken": 0}),
    "its number in a container, allow-other": (True, "container", OWNER, dict(
        ALL_OK, sees="%d:%d" % (OWNER, OWNER), made="%d:%d" % (OWNER, OWNER), give=FORBIDDEN, take=FORBIDDEN, mode="ok", git=""), MADE),
}


def of_an_ordinary_user(t, box_of):
    """Whoever is not there can't enter, so what is left is told by the daemon's user."""
    source = repository(t)
    o = Ordinary(t, uid=OWNER, setup=ETC + "echo user_allow_other > /etc/fuse.conf; echo 'ordinary:x:%d:%d::/:/bin/sh' >> /etc/passwd" % (OWNER, OWNER))
    os.chmod(o.runtime, 0o755)
    box = box_of(t, o.within())
    t.run(["chown", "-R", "%d:%d" % (OWNER, OWNER), source])
    for who, (allow, where, uid, said, left) in OWN_DAEMON.items():
        d = o.daemon(["--allow-other"] if allow else []).start()
        o.shim("snapshot", "import", source, "--ref", "main")
        path = o.shim("workspace", "create", "w", "--from", "main", "--at", o.folder(who)).stdout.strip()
        status = 0 if said else None
        if where == "sandbox":
            out = o.shim("workspace", "exec", "w", "--", "sh", "-c", SCRIPT).stdout
        elif where == "container":
            out = box.run(path, uid, SCRIPT, status=status)
        else:
            out = o.run(["sh", "-c", 'ls "$0" && cd "$0" || exit 1; ' + SCRIPT, path], uid=uid, env=HOME, status=status)
            out = out.stdout if said else out.stderr
        look = "for x in made folder link public/p given taken; do [ -e $x ] && stat -c '%n=%u %g' $x; done; :"
        owned = {k: int(v.split()[0]) for k, v in parse(o.run(["sh", "-c", 'cd "$0" && ' + look, path]).stdout).items()}
        if said:
            table(t, who, (parse(out), owned), (said, left))
        else:
            t.match(out, "[Pp]ermission denied|can't cd to /workspace|creating mount source path.*file exists", who)
            t.eq(owned, left, who)
        # In the store everything is the daemon's user's; it commits and removes what root has made, too.
        o.shim("workspace", "commit", "w", "--ref", "main2")
        o.run(["sh", "-c", 'cd "$0" && rm -rf made folder link public && ls', path])
        o.shim("workspace", "drop", "w")
        nothing_of_roots(t, d.store)
        t.eq(d.stop(), 0)
        t.eq(o.left(), [])


@test(needs="fuse fusermount3 root sandbox git", timeout=300)
def with_an_ordinary_users_daemon(t):
    of_an_ordinary_user(t, ByHand)


@test(needs="fuse fusermount3 root sandbox git docker", timeout=600)
def with_an_ordinary_users_daemon_in_docker(t):
    of_an_ordinary_user(t, Docker)


@test(needs="fuse root idmap", timeout=300)
def data_and_attributes_go_both_ways(t):
    """One file system: what a view writes, the workspace shows, with passthrough and without."""
    source = t.tree({"a": "one\n"})
    box = ByHand(t)
    for passthrough in (True, False):
        d = t.daemon([] if passthrough else ["--no-passthrough"]).start()
        stream(t, d, "POST", "/v1/snapshots/import", {"dir": source, "ref": "main"})
        w = create(t, d, "w", owner={"uid": OWNER, "gid": OWNER})
        path = view(t, d, 0)
        script = ("echo two >> a; head -c 3000000 /dev/zero | tr '\\0' x > big; mkdir d; echo 1 > d/f; mv d/f d/g; ln a hard; chmod 2775 d; "
                  "mkdir d/e; stat -c %u:%g d/e; setpriv --reuid 1 --regid 1 --clear-groups rm -f a || true; ls")
        t.eq(box.run(path, 0, script).split(), ["0:0", "a", "big", "d", "hard"])
        t.eq((read(w["path"] + "/a"), os.path.getsize(w["path"] + "/big"), read(w["path"] + "/d/g")), ("one\ntwo\n", 3000000, "1\n"))
        t.eq(oct(os.stat(w["path"] + "/d/e").st_mode & 0o7777), "0o2755")
        nothing_of_roots(t, w["path"])
        with open(w["path"] + "/a", "a") as f:
            f.write("three\n")
        t.eq(box.run(path, 0, "cat a"), "one\ntwo\nthree\n")
        # Set-id bits: root in a container has the privilege, its users have not.
        script = "chmod 6777 a; echo x >> a; stat -c %a a; setpriv --reuid 1000 --clear-groups sh -c 'echo x >> a'; stat -c %a a"
        t.eq(box.run(path, 0, script).split(), ["6777", "777"])
        drop(t, d, "w")
        t.eq(d.stop(), 0)


@test(needs="fuse root idmap")
def the_first_call_may_change_the_root_folder(t):
    d, w = begin(t)
    path = view(t, d, 0)
    os.chmod(path, 0o700)
    t.eq(oct(os.stat(w["path"]).st_mode & 0o7777), "0o700")
    drop(t, d, "w")
    create(t, d, "w", owner={"uid": OWNER, "gid": OWNER})
    os.utime(view(t, d, 1000), (1, 1))


@test(needs="fuse root idmap")
def asked_again_it_is_the_same(t):
    d, w = begin(t)
    path = view(t, d, 0)
    t.eq(view(t, d, 0), path)
    t.eq(len([m for m in mounts_below(d.mounts) if m[0] == path]), 1)
    t.eq(view(t, d, 1000), d.mounts + "/.views/w.1000.1000")
    t.eq(ask(t, d, "POST", "/v1/workspaces/w/view", {"uid": 1000, "gid": 5})["path"], d.mounts + "/.views/w.1000.5")
    # Somebody took one away by hand.
    t.run(["umount", path])
    t.eq(view(t, d, 0), path)
    # A keeper that was killed and one that was replaced know nothing of them, and need not.
    d.kill()
    d.start()
    t.eq(view(t, d, 0), path)
    ask(t, d, "POST", "/v1/daemon/upgrade")
    t.eq(view(t, d, 0), path)
    t.eq(os.stat(path).st_uid, 0)
    t.eq(d.shim("workspace", "view", "w").stdout.strip(), path)
    t.eq(d.shim("workspace", "view", "w", "--uid", "1000", "--gid", "5").stdout.strip(), d.mounts + "/.views/w.1000.5")
    t.eq(json.loads(d.shim("workspace", "view", "w", "--uid", "1000", "--json").stdout), {"path": d.mounts + "/.views/w.1000.1000", "idmapped": True})
    for n in range(13):
        view(t, d, 2000 + n)
    ask(t, d, "POST", "/v1/workspaces/w/view", {"uid": 7}, status=409, code="EBUSY")
    t.eq(len(os.listdir(d.mounts + "/.views")), 16)
    ask(t, d, "POST", "/v1/workspaces/w/umount", {})
    t.eq((os.listdir(d.mounts + "/.views"), mounts_below(d.mounts)), ([], []))
    t.eq(d.pids("orch-mount"), [])
    # It is mounted for its view.
    view(t, d, 0)
    t.eq(show(t, d, "w")["state"], "mounted")


@test(needs="fuse root idmap")
def views_outlive_the_workspaces_own_mount(t):
    """Root took that away by hand: the views go on, and the workspace can be unmounted and mounted as ever."""
    d, w = begin(t)
    path = view(t, d, 0)
    t.run(["umount", w["path"]])
    t.eq(os.stat(path + "/a").st_uid, 0)
    ask(t, d, "POST", "/v1/workspaces/w/view", {"uid": 1000}, status=404, code="ENOENT")
    t.eq(ask(t, d, "POST", "/v1/workspaces/w/umount", {})["state"], "created")
    t.eq((mounts_below(d.mounts), os.listdir(d.mounts + "/.views"), d.pids("orch-mount")), ([], [], []))
    view(t, d, 1000)
    t.eq(os.stat(w["path"] + "/a").st_uid, OWNER)


@test(needs="fuse root idmap")
def what_is_wrong_is_refused(t):
    d, w = begin(t)
    for body in ({}, {"uid": -1}, {"uid": 4294967295}, {"uid": "0"}, {"uid": 0, "gid": -1}, {"uid": 0, "gid": 1.5}, {"uid": 0, "of": "w"}):
        ask(t, d, "POST", "/v1/workspaces/w/view", body, status=400, code="EUSAGE")
    ask(t, d, "POST", "/v1/workspaces/none/view", {"uid": 0}, status=404)
    bob = as_user(OTHER) + ["curl", "-sS", "--unix-socket", d.socket, "http://orch/v1/workspaces/w/view", "-d", '{"uid":0}']
    t.eq(json.loads(t.run(bob).stdout)["error"]["code"], "EPERM")
    owner = as_user(OWNER) + bob[len(as_user(OTHER)):]
    t.eq(json.loads(t.run(owner).stdout)["idmapped"], True)
    create(t, d, "r", read_only=True, owner={"uid": OWNER, "gid": OWNER})
    t.raises(errno.EROFS, open, view(t, d, 0, "r") + "/new", "w")


@test(needs="fuse root idmap", timeout=240)
def who_is_in_a_view_is_in_the_workspace(t):
    who_is_in_one(t, [])


@test(needs="fuse root idmap", timeout=240)
def the_same_where_the_keeper_unmounts(t):
    who_is_in_one(t, ["--no-passthrough"])


def who_is_in_one(t, args):
    d, w = begin(t, args=args)
    path, box = view(t, d, 0), ByHand(t)

    def refused(who):
        r = ask(t, d, "POST", "/v1/workspaces/w/umount", {}, status=409, code="EBUSY")
        t.match(r["error"]["message"], who)
        t.eq((os.stat(path + "/a").st_uid, os.stat(w["path"] + "/a").st_uid), (0, OWNER))
    # In a container that has a copy of it, with nothing of it in use.
    p = box.start(path, 0, "cd /; echo ready; read x", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.eq(p.stdout.readline(), b"ready\n")
    refused(r"in use by \S+ \(pid \d+\)")
    # The keeper's end leaves it, too.
    t.eq(d.stop(), 0)
    d.start()
    t.eq(show(t, d, "w")["pid"], w["pid"])
    p.communicate(b"\n", timeout=20)
    # In our own namespace, by the view, and by the workspace itself: then its views come back.
    for place in path, w["path"]:
        p = t.start(["sh", "-c", "echo ready; read x"], cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        t.eq(p.stdout.readline(), b"ready\n")
        refused(r"in use by sh \(pid %d\)" % p.pid)
        t.eq(len([m for m in mounts_below(d.mounts) if m[0] == path]), 1)
        p.communicate(b"\n", timeout=20)
    # A copy in which nobody is, of the view and of the whole tree, does not hold it.
    p = t.start(["unshare", "-m", "--propagation", "private", "sh", "-c", "echo ready; read x"], cwd="/",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.eq(p.stdout.readline(), b"ready\n")
    t.eq(ask(t, d, "POST", "/v1/workspaces/w/umount", {})["state"], "created")
    t.eq(d.pids("orch-mount"), [])
    p.communicate(b"\n", timeout=20)


@test(needs="fuse root idmap", timeout=240)
def a_lazy_unmount_lets_the_container_go_on(t):
    d, w = begin(t)
    path, box = view(t, d, 0), ByHand(t)
    p = box.start(path, 0, "echo ready; read x; cat a; echo y > made", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.eq(p.stdout.readline(), b"ready\n")
    t.eq(ask(t, d, "POST", "/v1/workspaces/w/umount", {"lazy": True})["state"], "mounted")
    t.eq(mounts_below(d.mounts), [])
    ask(t, d, "POST", "/v1/workspaces/w/view", {"uid": 0}, status=409, code="EBUSY")
    t.eq(p.communicate(b"\n", timeout=20)[0], b"one\n")
    wait_until(lambda: show(t, d, "w")["state"] == "created", what="the end of the mount process")
    t.eq(os.listdir(d.mounts + "/.views"), [])
    w = ask(t, d, "POST", "/v1/workspaces/w/mount")
    t.eq((read(w["path"] + "/made"), os.stat(w["path"] + "/made").st_uid), ("y\n", OWNER))


@test(needs="fuse root idmap", timeout=240)
def nothing_stays_of_who_was_killed(t):
    d, w = begin(t, args=["--mount-timeout", "1"])
    for keeper_too in (False, True):
        view(t, d, 0)
        view(t, d, 1000)
        if keeper_too:
            d.kill()
        os.kill(show(t, d, "w")["pid"] if not keeper_too else d.pids("orch-mount")[0], signal.SIGKILL)
        if keeper_too:
            wait_until(lambda: not d.pids("orch-mount"), what="the end of the mount process")
            d.start()
            os.chmod(d.socket, 0o666)
        wait_until(lambda: show(t, d, "w")["state"] == "created", what="the watcher")
        t.eq((mounts_below(d.mounts), os.listdir(d.mounts + "/.views")), ([], []))
        view(t, d, 0)
    # One that was killed after it had made the folder; a new one may be another daemon's, which is about to mount.
    d.kill()
    os.mkdir(d.mounts + "/.views/w.5.5", 0o755)
    os.mkdir(d.mounts + "/.views/other", 0o755)
    d.start()
    t.eq(sorted(os.listdir(d.mounts + "/.views")), ["other", "w.0.0", "w.5.5"])
    d.kill()
    time.sleep(2.5)
    d.start()
    t.eq(sorted(os.listdir(d.mounts + "/.views")), ["other", "w.0.0"])
    os.rmdir(d.mounts + "/.views/other")
    t.eq(os.stat(view(t, d, 0)).st_uid, 0)
    # The mount process that is asked to end takes them along, or the keeper does for one that may not.
    for args in [], ["--no-passthrough"]:
        if args:
            drop(t, d, "w")
            t.eq(d.stop(), 0)
            d, w = begin(t, args=args)
            view(t, d, 0)
        os.kill(show(t, d, "w")["pid"], signal.SIGTERM)
        wait_until(lambda: show(t, d, "w")["state"] == "created", what="the watcher")
        t.eq((mounts_below(d.mounts), os.listdir(d.mounts + "/.views")), ([], []))


@test(needs="fuse root idmap", timeout=120)
def many_are_asked_for_at_once(t):
    d, _ = begin(t)
    names = ["w%d" % n for n in range(8)]
    for name in names:
        create(t, d, name, owner={"uid": OWNER, "gid": OWNER})
    failed = []

    def work(name):
        try:
            for uid in range(16):
                t.eq(d.http("POST", "/v1/workspaces/%s/view" % name, {"uid": uid}).status, 200)
        except (Failure, OSError) as e:
            failed.append(str(e))
    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for x in threads:
        x.start()
    for x in threads:
        x.join(60)
    t.eq((failed, len(os.listdir(d.mounts + "/.views"))), ([], 128))
    for name in names:
        drop(t, d, name)
    t.eq(os.listdir(d.mounts + "/.views"), [])


def children(pid):
    out = []
    for path in glob.glob("/proc/%d/task/*/children" % pid):
        with contextlib.suppress(OSError), open(path) as f:  # a thread may end meanwhile
            out += f.read().split()
    return sorted(out)


def tried(d, *request):
    """However it ends: the keeper that meets the fault may not be able to answer."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        d.http(*request)


@test(needs="fuse root idmap faults", timeout=240)
def a_call_that_fails_leaves_nothing(t):
    f = Faults(t, "orch-fsd")
    d = t.daemon(env=f.env).start()
    d.allow_errors("view|unmount")
    stream(t, d, "POST", "/v1/snapshots/import", {"dir": t.tree({"a": "1"}), "ref": "main"})
    w = create(t, d, "w", owner={"uid": OWNER, "gid": OWNER})
    keeper = d.process.pid
    path, limit = view(t, d, 0), len(os.listdir("/proc/%d/fd" % keeper))
    before = children(keeper)

    def away():
        while any(m[0] == path for m in mounts_below(d.mounts)):
            t.run(["umount", path])

    def operation():
        tried(d, "POST", "/v1/workspaces/w/view", {"uid": 0})

    def check(name):
        t.eq(view(t, d, 0), path, name)
        t.eq((os.stat(path + "/a").st_uid, os.stat(w["path"] + "/a").st_uid), (0, OWNER), name)
        t.eq([m[0] for m in mounts_below(d.mounts)].count(path), 1, name)
        t.eq(children(keeper), before, name)
        wait_until(lambda: len(os.listdir("/proc/%d/fd" % keeper)) <= limit, 10, name + ": descriptors")
    f.loop("a view", ("alloc", "open", "read", "write", "fd", "sock", "fork"), operation, check, away)
    t.ok(f.fired_runs > 5, "%d runs met their fault" % f.fired_runs)

    def unmount():
        tried(d, "POST", "/v1/workspaces/w/umount", {})

    def check_unmounted(name):
        ask(t, d, "POST", "/v1/workspaces/w/umount", {})
        t.eq(mounts_below(d.mounts), [], name)
        # An empty folder may stay until the next time.
        t.ok(set(os.listdir(d.mounts + "/.views")) <= {"w.0.0"}, name)
    f.loop("an unmount", ("alloc", "open", "read", "fork"), unmount, check_unmounted, lambda: view(t, d, 0))
    view(t, d, 0)
    check_unmounted("the last")
    t.eq(os.listdir(d.mounts + "/.views"), [])


@test(needs="fuse root idmap")
def folders_of_others_stay(t):
    """Names of workspaces hold points and numbers; only a workspace's own views go with it."""
    d, _ = begin(t)
    for name in ("w.1", "w.1.2"):
        create(t, d, name, owner={"uid": OWNER, "gid": OWNER})
    view(t, d, 0, "w")
    view(t, d, 0, "w.1")
    os.mkdir(d.mounts + "/.views/w.1.2.3.4")  # of w.1.2, not yet mounted
    os.mkdir(d.mounts + "/.views/w.1.2.3")    # of w.1
    os.mkdir(d.mounts + "/.views/w.x.2")
    drop(t, d, "w")
    t.eq(sorted(os.listdir(d.mounts + "/.views")), ["w.1.0.0", "w.1.2.3", "w.1.2.3.4", "w.x.2"])
    drop(t, d, "w.1")
    t.eq(sorted(os.listdir(d.mounts + "/.views")), ["w.1.2.3.4", "w.x.2"])
    drop(t, d, "w.1.2")
    t.eq(os.listdir(d.mounts + "/.views"), ["w.x.2"])


def diff(d, a, b):
    return [json.loads(x) for x in d.http("GET", "/v1/diff?a=%s&b=%s" % (a, b)).body.splitlines() if b'"path"' in x]


@test(needs="fuse root")
def the_owner_may_be_the_containers_user_instead(t):
    """Without views: a workspace that was made for the container's user. What is committed is the same."""
    d, _ = begin(t)
    box, trees = ByHand(t), {}
    for user in (0, 1000, OWNER):
        w = create(t, d, "c%d" % user, owner={"uid": user, "gid": user})
        out = parse(box.run(w["path"], user, SCRIPT + "touch -d @1 a made folder public public/p given taken tool .git/* .git; chmod 4755 tool; rm -f .git/index"))
        t.eq((out["sees"], out["make"], out["made"], out["git"]), ("%d:%d" % (user, user), "ok", "%d:%d" % (user, user), ""))
        os.chown(w["path"] + "/given", user, user)
        t.eq(owners(w["path"]), {x: user for x in MADE})
        trees[user] = stream(t, d, "POST", "/v1/workspaces/c%d/commit" % user, {"ref": "c%d" % user})["id"]
        trees[user] = ask(t, d, "GET", "/v1/snapshots/" + trees[user])["tree"]
    for user in (1000, OWNER):
        t.eq([x["path"] for x in diff(d, "c0", "c%d" % user)], [])
    t.eq(len(set(trees.values())), 1, str(trees))


main()
