"""An ordinary user's daemon, mounts and builds: docs/unprivileged.md."""
from orchtest import *
from ordinary import ETC, Ordinary

MAKEFILE = "all:\n\tsleep 1; id -u > who; echo built > out.txt\n"


def status(o, name):
    return json.loads(o.shim("workspace", "status", name, "--json").stdout)


def states(o):
    return {w["name"]: w["state"] for w in json.loads(o.shim("workspace", "list", "--json").stdout)["workspaces"]}


def begin(o, d=None, files=None):
    d = (d or o.daemon()).start()
    o.shim("snapshot", "import", o.tree(files or {"a": "one\n"}), "--ref", "main")
    return d


@test(needs="fuse fusermount3 root sandbox make", timeout=240)
def builds_at_once(t):
    """Without a daemon: the first build starts one, which ends by itself."""
    o = Ordinary(t)
    source = o.tree({"Makefile": MAKEFILE})

    def build(n):
        return o.start(["orch-shim", "build", "--source", source, "--output", "out=out.txt,required", "--output-dir",
                        o.home + "/out%d" % n, "--", "make"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    running = [build(n) for n in range(2)]
    for p in running:
        text = p.communicate(timeout=60)[0].decode()
        t.eq(p.returncode, 0, text)
        t.match(text, "succeeded")
    for n in range(2):
        found = [os.path.join(f, x) for f, _, names in os.walk(o.home + "/out%d" % n) for x in names if x == "out.txt"]
        t.eq([open(x).read() for x in found], ["built\n"])
        t.eq([os.stat(x).st_uid for x in found], [o.uid])
    wait_until(lambda: not o.left(), timeout=60, what="the end of the daemon")


@test(needs="fuse fusermount3 root", timeout=120)
def work_in_a_workspace(t):
    o = Ordinary(t)
    d = begin(o)
    path = o.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    o.run(["sh", "-c", 'cd "$0" && echo two > b && mkdir d && ln b d/c && head -c 5000000 /dev/urandom > big', path])
    t.eq(status(o, "w")["mount"]["data"], "process")
    fork = o.shim("workspace", "fork", "w", "f").stdout.strip()
    o.run(["cmp", path + "/big", fork + "/big"])
    o.shim("workspace", "commit", "w", "--ref", "main2")
    o.shim("workspace", "umount", "w")
    o.shim("workspace", "mount", "w")
    t.eq(o.run(["stat", "-c", "%h:%u", path + "/d/c"]).stdout, "2:%d\n" % o.uid)
    o.shim("snapshot", "export", "main2", o.home + "/exported")
    t.eq(os.stat(o.home + "/exported/d/c").st_uid, o.uid)
    t.match(o.shim("store", "verify").stderr, ": 0 bad")
    t.match(o.shim("workspace", "view", "w", status=None).stderr, "for root alone.*rootless")
    o.shim("workspace", "drop", "f")
    # In use, then given up.
    p = o.start(["sh", "-c", 'cd "$0" && echo ready && read x; cat a', path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    t.eq(p.stdout.readline(), b"ready\n")
    t.match(o.shim("workspace", "umount", "w", status=1).stderr, r"in use by sh \(pid %d\)" % p.pid)
    o.shim("workspace", "umount", "w", "--lazy")
    t.eq(o.mounts(), [])
    t.eq(p.communicate(b"\n", timeout=20)[0], b"one\n")
    wait_until(lambda: states(o)["w"] == "created", what="the end of the mount process")
    o.shim("daemon", "stop")
    d.process.wait(20)
    d.process = None
    t.eq(o.left(), [])


@test(needs="fuse fusermount3 root", timeout=120)
def nothing_stays_of_who_was_killed(t):
    o = Ordinary(t)
    d = begin(o)
    path = o.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    for how in ("mount", "keeper", "both", "told"):
        o.run(["sh", "-c", 'echo "$1" >> "$0/log"', path, how])
        pid = status(o, "w")["pid"]
        if how in ("keeper", "both"):
            d.kill()
        if how != "keeper":
            os.kill(pid, signal.SIGTERM if how == "told" else signal.SIGKILL)
        if how == "both":
            wait_until(lambda: not d.pids("orch-mount"), what="the end of the mount process")
            t.eq(o.mounts(), [path])
        if how in ("keeper", "both"):
            d.start()
        if how == "keeper":
            t.eq(status(o, "w")["pid"], pid)
        else:
            wait_until(lambda: states(o)["w"] == "created", what="the watcher after " + how)
            t.eq(o.mounts(), [], how)
            o.shim("workspace", "mount", "w")
    t.eq(o.run(["cat", path + "/log"]).stdout, "mount\nkeeper\nboth\ntold\n")
    o.shim("daemon", "upgrade")
    t.eq(o.run(["cat", path + "/a"]).stdout, "one\n")
    # A user's own fusermount3 -u.
    o.run(["fusermount3", "-u", path])
    wait_until(lambda: states(o)["w"] == "created", what="the end of the mount process")
    o.shim("workspace", "mount", "w")
    o.shim("daemon", "stop", "--force")
    wait_until(lambda: not o.left(), what="the end of the daemon")
    d._wait(20)


def closed(mode):
    return {"setup": 'f=$(command -v fusermount3); cp "$f" "$0/f"; chmod %s "$0/f"; mount --bind "$0/f" "$f"' % mode}


# What keeps fusermount3 from mounting: (how the user is made, what the message holds).
REFUSALS = {
    "no name": ({"uid": 54321}, "fusermount3 refuses: could not determine username"),
    "closed device": ({"device_mode": "600"}, "fusermount3 refuses: .*/dev/fuse: Permission denied"),
    "too many": ({"setup": "echo 'mount_max = 0' > \"$0/conf\"; mount --bind \"$0/conf\" /etc/fuse.conf"},
                 "fusermount3 refuses: too many FUSE filesystems mounted.*mount_max"),
    "not set-uid": (closed("755"), "fusermount3 refuses: .*not permitted"),
    "a group's": (closed("4750"), "fusermount3 may not be run by this user"),
    "not there": ({}, "fusermount3 is not installed.*apt-get install fuse3"),
}


@test(needs="fuse fusermount3 root", timeout=240)
def who_is_refused_hears_why(t):
    for name, (how, text) in REFUSALS.items():
        o = Ordinary(t, **how)
        d = o.daemon()
        if name == "not there":
            d.wrap += ["env", "PATH=/nonexistent"]
        begin(o, d)
        d.allow_errors("fusermount3")
        r = o.shim("workspace", "create", "w", "--from", "main", status=3)
        t.match(r.stderr, text, name)
        t.match(r.stderr, "orch-shim doctor|apt-get install fuse3", name)
        t.eq((o.mounts(), states(o), d.pids("orch-mount")), ([], {}, []), name)
        t.eq(d.stop(), 0)


# Who looks at a mount, and whether he sees it without and with allow-other.
def sees(o, path, uid):
    return o.run(["cat", path + "/a"], uid=uid, status=None).status == 0


@test(needs="fuse fusermount3 root", timeout=120)
def others_enter_where_it_is_allowed(t):
    """allow-other: not by default, refused at once where root does not allow it, by modes where he does."""
    other, conf = 54321, 'echo "%s" > "$0/conf"; mount --bind "$0/conf" /etc/fuse.conf'
    for allowed in (False, True):
        o = Ordinary(t, setup=conf % ("user_allow_other" if allowed else "#user_allow_other"))
        os.chmod(o.runtime, 0o755)
        store, run = o.home + "/other", o.runtime + "/other"
        r = o.run(["orch-fsd", "--store", store, "--socket", run + "/s", "--mounts", run + "/m", "--allow-other", "--background"],
                  status=0 if allowed else 2)
        if not allowed:
            t.match(r.stderr, "^orch-fsd: allow-other: fusermount3 would refuse.*echo user_allow_other >> /etc/fuse.conf$")
            t.eq((os.path.exists(store), os.path.exists(run)), (False, False))
        else:
            o.shim("--socket", run + "/s", "daemon", "stop")
        for args in ([], ["--allow-other"])[:1 + allowed]:
            d = begin(o, o.daemon(args), {"a": "one\n", "shut": "two\n"})
            place = o.folder("place%d%d" % (allowed, len(args)))
            path = o.shim("workspace", "create", "w", "--from", "main", "--at", place).stdout.strip()
            o.run(["chmod", "600", path + "/shut"])
            t.eq([sees(o, path, uid) for uid in (o.uid, 0, other)], [True, bool(args), bool(args)])
            if args:
                t.eq(o.run(["stat", "-c", "%u", path + "/a"], uid=0).stdout, "%d\n" % o.uid)
                t.match(o.run(["cat", path + "/shut"], uid=other, status=1).stderr, "Permission denied")
                t.match(o.run(["touch", path + "/new"], uid=other, status=1).stderr, "Permission denied")
                o.run(["touch", path + "/roots"], uid=0)
                t.eq(o.run(["stat", "-c", "%u", path + "/roots"]).stdout, "0\n")
            o.shim("workspace", "drop", "w")
            o.shim("ref", "remove", "main")
            t.eq(d.stop(), 0)
    r = t.run(["orch-fsd", "--store", t.path("roots"), "--no-allow-other"], status=2)
    t.match(r.stderr, "root's daemon can't do without")
    t.ok(not os.path.exists(t.path("roots")))



def checks(o, how=(), env=None, **kwargs):
    r = o.run([*how, program("orch-shim"), "doctor", "--json"], env=env, status=None, **kwargs)
    found = {c["name"]: c for c in r.json()["checks"]}
    t = o.t
    t.eq(r.status, 1 if any(c["needed"] for c in found.values()) else 0)
    return found


# What doctor finds, and that its line mends it: (how the user is made, the check, what it finds).
MENDS = {
    "no name": ({"uid": 54321, "setup": ETC}, "user-name", "uid 54321 has no name"),
    "closed device": ({"device_mode": "600"}, "fuse", "/dev/fuse: Permission denied"),
    "too many": ({"setup": ETC + "echo 'mount_max = 0' > /etc/fuse.conf"}, "mount-max", "of 0 mounts"),
    "not set-uid": (closed("755"), "fuse", "is not root's and set-uid"),
    "a group's": (closed("4750"), "fuse", "not for this user"),
    "alone": ({"setup": ETC + "echo > /etc/fuse.conf"}, "allow-other", "no user_allow_other"),
}


@test(needs="fuse fusermount3 root", timeout=240)
def the_line_of_doctor_mends_it(t):
    for name, (how, check, found) in MENDS.items():
        o = Ordinary(t, **how)
        before = checks(o)[check]
        t.ok(found in before["found"], str(before))
        t.eq((before["ok"], before["needed"]), (False, check != "allow-other"), name)
        o.root("sh", "-ec", before["mend"])
        t.eq(checks(o)[check]["ok"], True, name)
        d = begin(o, o.daemon(["--allow-other"] if check == "allow-other" else []))
        o.shim("workspace", "create", "w", "--from", "main")
        t.eq(len(o.mounts()), 1)
        o.shim("workspace", "drop", "w")
        t.eq(d.stop(), 0)


# No further user namespaces for a command: it is in one whose limit is 0, without a capability.
NO_NAMESPACES = ["unshare", "-U", "--map-current-user", "--keep-caps", "sh", "-c", "echo 0 > /proc/sys/user/max_user_namespaces && "
                 'exec setpriv --inh-caps=-all --ambient-caps=-all "$@"', "x"]


@test(needs="fuse fusermount3 root sandbox userns", timeout=120)
def doctor_finds_what_lacks(t):
    o = Ordinary(t)

    def lacks(check, found, mend, needed, how=(), env=None):
        c = checks(o, how, env)[check]
        t.eq((c["ok"], c["needed"]), (False, needed), str(c))
        t.match(c["found"], found)
        t.match(c["mend"], mend)
    whole = checks(o)
    for name in ("fuse", "user-name", "mount-max", "runtime-dir", "open-files", "store", "sandbox", "user-namespaces"):
        t.eq((name, whole[name]["ok"]), (name, True), str(whole[name]))
    # What nobody but root's daemon can have is set apart.
    t.eq([n for n, c in whole.items() if c["roots"]], ["passthrough", "views"] if _kernel(6, 12) else ["passthrough"])
    text = o.shim("doctor").stdout
    t.match(text.split("Only a daemon of root's has these. Builds, forks and commits work without them:")[1], r"\npassthrough: ")
    lacks("fuse", "no_new_privs", "NoNewPrivileges", True, ["setpriv", "--no-new-privs"])
    lacks("runtime-dir", "not set, /tmp/orch-%d" % o.uid, "export XDG_RUNTIME_DIR=/run/user/%d" % o.uid, False, env={"XDG_RUNTIME_DIR": None})
    lacks("runtime-dir", "not a folder of yours", "install -d -m 700 -o %d /nonexistent" % o.uid, True, env={"XDG_RUNTIME_DIR": "/nonexistent"})
    lacks("open-files", "1024 open files", "hard nofile", False, ["prlimit", "--nofile=1024"])
    lacks("fuse", "no fusermount3", "apt-get install fuse3", True, ["env", "PATH=/nonexistent"])
    lacks("sandbox", "no bwrap", "apt-get install bubblewrap", False, ["env", "PATH=/nonexistent"])
    lacks("store", "/proc: ", "--store", True, env={"HOME": "/proc"})
    # No further user namespaces: in one whose limit is 0.
    lacks("user-namespaces", "max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=", False, NO_NAMESPACES)
    lacks("sandbox", "bwrap.*ENOSPC|bwrap.*max_user_namespaces", "see user-namespaces", False, NO_NAMESPACES)
    # Who uses root's daemon needs nothing of it.
    d = t.daemon().start()
    os.chmod(d.socket, 0o666)
    member = checks(o, ["env", "PATH=/nonexistent"], {"ORCH_SOCKET": d.socket})
    t.eq([member[n]["found"] for n in ("fuse", "allow-other")], ["the daemon is root's"] * 2)
    t.eq((member["store"]["ok"], member["views"]["roots"]), (True, False))


def _kernel(major, minor):
    return tuple(int(x) for x in re.findall(r"\d+", os.uname().release)[:2]) >= (major, minor)


@test(needs="fuse fusermount3 root sandbox userns", timeout=120)
def a_refused_build_says_the_line(t):
    o = Ordinary(t, **closed("755"))
    r = o.shim("build", "--source", o.tree({"a": ""}), "--output-dir", o.home + "/out", "--", "true", status=3)
    t.match(r.stderr, "next: .*is not root's and set-uid.*chmod 4755")
    o.shim("daemon", "stop")
    # Mounts can be had, but no sandbox.
    o = Ordinary(t)
    d = begin(o)
    r = o.run([*NO_NAMESPACES, program("orch-shim"), "build", "--source", o.tree({"a": ""}), "--output-dir", o.home + "/out", "--", "true"], status=3)
    t.match(r.stderr, r"next: .*max_user_namespaces is 0.*sysctl -w user.max_user_namespaces=")
    t.eq(d.stop(), 0)
    wait_until(lambda: not o.left(), timeout=60, what="the end of the daemon")



@test(needs="fuse root", timeout=120)
def without_a_home(t):
    """Neither HOME nor XDG_*: all lies in /tmp, in a folder that nobody else has made."""
    o = Ordinary(t, uid=100000 + os.getpid() % 100000)
    folder, env = "/tmp/orch-%d" % o.uid, {"HOME": None, "XDG_RUNTIME_DIR": None}
    t.finally_(shutil.rmtree, folder, True)
    source = o.tree({"a": "one\n"})
    o.run(["orch-fsd", "--background"], env=env)
    o.shim("snapshot", "import", source, "--ref", "main", env=env)
    t.eq(json.loads(o.shim("daemon", "status", "--json", env=env).stdout)["store"], folder + "/store")
    t.eq(checks(o, env=env)["runtime-dir"]["found"], "not set, %s is used" % folder)
    o.shim("daemon", "stop", env=env)
    t.ok(os.path.exists(folder + "/store/FORMAT"))
    # Somebody was there before: neither his daemon is asked, nor is one started there.
    with open(folder + "/orch-fsd.conf", "w") as f:
        f.write("log-level = strange\n")
    os.chown(folder, 1, 1)
    os.chmod(folder, 0o755)
    t.match(o.shim("ref", "list", env=env, status=2).stderr, folder + " belongs to user 1: set XDG_RUNTIME_DIR")
    t.match(o.run(["orch-fsd", "--store", o.home + "/store", "--background"], env=env, status=1).stderr, folder + ": belongs to user 1")


@test(needs="fuse root userns sandbox", timeout=120)
def root_of_a_user_namespace(t):
    """A daemon in a rootless container: it mounts by itself, and groups can't be set."""
    o = Ordinary(t)
    source = o.tree({"a": "one\n"})
    script = r"""
set -e
"$0" --store "$HOME/s" --socket "$HOME/k/s" --mounts "$HOME/m" --background
export ORCH_SOCKET="$HOME/k/s"
"$1" snapshot import "$2" --ref main
path=$("$1" workspace create w --from main)
echo two >> "$path/a"
stat -c %u "$path/a"
"$1" workspace status w --json | grep '"data"'
"$1" workspace exec w -- sh -c 'id -u; echo three >> a'
tail -n 1 "$path/a"
"$1" workspace commit w --ref main
"$1" doctor --json > "$HOME/doctor" || true
"$1" workspace drop w
"$1" daemon stop
"""
    out = o.run(["unshare", "-Urm", "sh", "-c", script, program("orch-fsd"), program("orch-shim"), source]).stdout.splitlines()
    t.eq([x.strip() for x in out[1:5]], ["0", '"data": "process",', "0", "three"])
    found = {c["name"]: c for c in json.loads(open(o.home + "/doctor").read())["checks"]}
    t.eq([(found[n]["found"], found[n]["roots"]) for n in ("passthrough",)], [("root of this user namespace alone", True)])



@test(needs="fuse fusermount3 root", timeout=120)
def a_mount_that_can_not_be_taken_away_is_told(t):
    """Nobody but fusermount3 can; it has its reasons."""
    o = Ordinary(t, uid=54321, setup=ETC + "echo 'ordinary:x:54321:54321::/:/bin/sh' >> /etc/passwd")
    d = begin(o)
    d.allow_errors("fusermount3")
    path = o.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    for how in ("stop", "killed", "drop"):
        o.root("sed", "-i", "/^ordinary:/d", "/etc/passwd")
        pid = status(o, "w")["pid"]
        if how == "killed":
            os.kill(pid, signal.SIGKILL)
        elif how == "drop":
            o.shim("workspace", "drop", "w", "--force")
        else:
            p = o.start(["sh", "-c", 'cd "$0" && echo ready && read x', path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            t.eq(p.stdout.readline(), b"ready\n")
            o.shim("daemon", "stop", "--force")
            p.communicate(b"\n", timeout=20)
            d._wait(20)
            d.start()
        if how != "drop":
            wait_until(lambda: states(o)["w"] == "created", what="the end of the mount process")
            t.match(status(o, "w")["error"], "its mount stays, without a process: .*could not determine username")
        t.eq(o.mounts(), [path], how)
        o.root("sh", "-c", "echo 'ordinary:x:54321:54321::/:/bin/sh' >> /etc/passwd")
        # Whoever is mounted there next takes it away.
        if how == "drop":
            o.shim("workspace", "create", "w", "--from", "main")
        else:
            o.shim("workspace", "mount", "w")
        t.eq(("error" in status(o, "w"), o.run(["cat", path + "/a"]).stdout, o.mounts()), (False, "one\n", [path]))
    o.shim("workspace", "drop", "w")
    t.eq(d.stop(), 0)



def delegate(t, uid):
    """Control groups that can be frozen, given to a user as systemd does with Delegate=yes."""
    made = []
    for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"):
        group = "%s/orch-test-user.%d" % (place, os.getpid())
        with contextlib.suppress(OSError):
            os.mkdir(group)
            if not any(os.path.exists(group + "/" + x) for x in ("cgroup.freeze", "freezer.state")):
                os.rmdir(group)
                continue
            t.finally_(wait_until, lambda g=group: subprocess.run(["rmdir", g], stderr=subprocess.DEVNULL).returncode == 0, 20, "an empty group")
            for name in ["", *os.listdir(group)]:
                os.chown(os.path.join(group, name), uid, uid)
            made.append(group)
    return made


@test(needs="fuse fusermount3 root sandbox freezer", timeout=120)
def a_fork_pauses_what_runs_in_delegated_groups(t):
    """Without them it does not; in either case it names what was open, since nobody looks into the processes of others."""
    o = Ordinary(t)
    d = begin(o)
    join = 'for g in $GROUPS_OF_TEST; do echo $$ > "$g/cgroup.procs"; done; exec "$@"'
    for groups in ([], delegate(t, o.uid)):
        o.shim("workspace", "create", "w", "--from", "main")
        command = o.argv(["orch-shim", "workspace", "exec", "w", "--", "sh", "-c", "exec 3>>log; echo 1 >&3; echo ready; read x"])
        p = t.start(["sh", "-ec", join, "x", *command], env={**o.env, "GROUPS_OF_TEST": " ".join(groups)}, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE)
        t.eq(p.stdout.readline(), b"ready\n")
        t.eq(len(status(o, "w")["jobs"]), len(groups) and 1)
        r = o.run(["curl", "-sS", "--unix-socket", d.socket, "http://orch/v1/workspaces/w/fork", "-d", '{"name":"f"}']).json()
        t.eq((r.get("paused"), r.get("last_write_seen")), (bool(groups), ["log"]), str(r))
        p.communicate(b"\n", timeout=20)
        t.eq(p.returncode, 0)
        for name in ("f", "w"):
            o.shim("workspace", "drop", name)
    t.eq(d.stop(), 0)


main()
