"""
Programs with their data in a workspace of a real daemon, with passthrough and without.

    @program(needs="git", users=(0, 1000))
    def git(work):                          # one test for each way of serving and each user
        work.run(["git", "init"])           # in work.path, as that user
        with work.step("gc"):               # says how long it took
            work.run(["git", "gc"])
        work.move_on()                      # commit; work.path is a new workspace made from that commit

work.path is a folder onto which the workspace is bound, so it stays what it was when the workspace behind it is
another one, as in the sandbox of a build. ORCH_TEST_NATIVE=1 runs each test in a plain folder too, where
move_on() is a copy: what fails there is no fault of the mount.
"""
import pwd

from grouplib import Group
from keeper_api import ask, commit, create, drop, fork, show, started, verify
from orchtest import *
import orchtest

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON = "/usr/bin/python3"  # Debian's own has Debian's modules, and every user may run it


class Work:
    """A folder in which programs run, as one user."""

    def __init__(self, t, uid):
        self.t, self.uid = t, uid
        self.path = t.path("work")
        os.mkdir(self.path)
        self.home = self.outside("home.%d" % uid)

    def outside(self, name):
        """A folder of the user's beside the workspace, for sockets and what a test remembers."""
        path = self.t.dir(name)
        os.chown(path, self.uid, self.gid())
        return path

    def gid(self):
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(self.uid).pw_gid
        return self.uid

    def argv(self, argv):
        if self.uid == 0:
            return list(argv)
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid()), "--clear-groups", "--"] + list(argv)

    def env(self, env):
        return dict({"HOME": self.home, "PATH": PATH}, **(env or {}))

    def run(self, argv, status=0, timeout=300, env=None, cwd=None, **kwargs):
        return self.t.run(self.argv(argv), status=status, timeout=timeout, env=self.env(env),
                          cwd=os.path.join(self.path, cwd or ""), **kwargs)

    def start(self, argv, env=None, cwd=None, **kwargs):
        return self.t.start(self.argv(argv), env=self.env(env), cwd=os.path.join(self.path, cwd or ""), **kwargs)

    def write(self, files, at=""):
        """{"path": text or bytes} below the workspace, the user's."""
        root = os.path.join(self.path, at)
        with self.as_user():
            os.makedirs(root, exist_ok=True)
            self.t.tree(files, at=root)

    @contextlib.contextmanager
    def as_user(self):
        os.setegid(self.gid())
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    @contextlib.contextmanager
    def step(self, what):
        begin = time.monotonic()
        yield
        print("# %s: %s %.2f s" % (self.served, what, time.monotonic() - begin), flush=True)

    def finish(self):
        """What must hold when all is done."""

    def abandon(self):
        """After a failure: nothing holds a mount any longer."""

    def crash(self):
        """What serves the folder is killed, too, where that is a process."""

    fork_while = None


class Native(Work):
    served = "plain folder"

    def __init__(self, t, uid):
        super().__init__(t, uid)
        os.chown(self.path, uid, self.gid())

    def move_on(self):
        with self.step("copy"):
            self.t.run(["cp", "-a", self.path, self.path + ".new"], timeout=600)
            os.rename(self.path, self.path + ".old")
            os.rename(self.path + ".new", self.path)


class Workspace(Work):
    passthrough = True
    served = "passthrough"

    def __init__(self, t, uid):
        super().__init__(t, uid)
        self.count = 0
        self.daemon = started(t, {".empty/": None})
        self.enter("main")

    def enter(self, rev):
        """A new workspace of what `rev` names takes the place of the one that is there."""
        if self.count:
            self.leave()
        self.count += 1
        w = create(self.t, self.daemon, self.name(), passthrough=self.passthrough,
                   owner={"uid": self.uid, "gid": self.gid()}, **{"from": rev})
        self.bind(w)

    def name(self):
        return "w%d" % self.count

    def bind(self, w):
        self.t.eq((w["state"], w["passthrough"]), ("mounted", self.passthrough))
        self.t.run(["mount", "--bind", w["path"], self.path])
        served = re.findall(r"event=connected data=(\w+)", self.daemon.log())
        self.t.eq(served[-1], self.served)

    def leave(self):
        """Nothing of this test may hold it; a mount namespace that somebody made meanwhile has the mount too, and may."""
        self.t.run(["umount", self.path])
        end = time.monotonic() + 10
        while True:
            r = self.daemon.http("DELETE", "/v1/workspaces/" + self.name())
            if r.status == 200:
                return
            self.t.eq(r.status, 409, str(r))
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        users = [int(x) for x in re.findall(r"pid (\d+)", r.json()["error"]["message"])]
        self.t.ok(users and not set(users) & set(self.daemon.pids()), str(r))
        ask(self.t, self.daemon, "DELETE", "/v1/workspaces/%s?force=1" % self.name())

    def crash(self):
        """SIGKILL to the mount process, and the workspace mounted again."""
        os.kill(show(self.t, self.daemon, self.name())["pid"], signal.SIGKILL)
        wait_until(lambda: show(self.t, self.daemon, self.name())["state"] != "mounted", what="the end of the mount process")
        self.t.run(["umount", "-l", self.path], status=None)  # the keeper takes dead mounts away, binds too
        self.bind(ask(self.t, self.daemon, "POST", "/v1/workspaces/%s/mount" % self.name(), {}))

    @contextlib.contextmanager
    def fork_while(self, pids):
        """The path of a fork, taken while these processes (the first one leads) and their children stand still."""
        group = Group(self.t, "program")
        for pid in pids:
            group.add(pid)
        ask(self.t, self.daemon, "PUT", "/v1/workspaces/%s/jobs/program" % self.name(), {"cgroup": [group.path], "pid": pids[0]})
        f = fork(self.t, self.daemon, self.name(), "fork")
        self.t.eq((f["paused"], f["last_write_seen"]), (True, []), str(f))
        print("# %s: stood still for %.1f ms" % (self.served, f["paused_us"] / 1000))
        ask(self.t, self.daemon, "DELETE", "/v1/workspaces/%s/jobs/program" % self.name())
        yield f["path"]
        drop(self.t, self.daemon, "fork")

    def move_on(self):
        with self.step("commit"):
            commit(self.t, self.daemon, self.name(), ref="moved")
        with self.step("new workspace"):
            self.enter("moved")

    def finish(self):
        self.leave()
        verify(self.t, self.daemon)

    def abandon(self):
        self.t.run(["umount", "-l", self.path], status=None)


class Process(Workspace):
    passthrough = False
    served = "process"


def served_by():
    out = [(Workspace, "with_passthrough", "passthrough"), (Process, "through_the_process", "")]
    return ([(Native, "in_a_plain_folder", "")] if os.environ.get("ORCH_TEST_NATIVE") == "1" else []) + out


def user_id(user):
    return user if isinstance(user, int) else pwd.getpwnam(user).pw_uid


def program(needs="", users=(0, 1000), timeout=600):
    """Marks function(work): a test for each way of serving and each user (a number, or a name that may be missing)."""
    def one(function, kind, name, feature, user):
        def run(t):
            work = kind(t, user_id(user))
            try:
                function(work)
                work.finish()
            except BaseException:
                work.abandon()
                raise
        run.__name__ = "%s_%s%s" % (function.__name__, name, "" if user == 0 else "_as_%s" % user)
        test(needs="fuse root %s %s" % (feature, needs), timeout=timeout)(run)

    def mark(function):
        for kind, name, feature in served_by():
            for user in users:
                one(function, kind, name, feature, user)
        return function
    return mark


def tools(*names):
    """Each is a feature from now on: skipped where there is no such program."""
    for name in names:
        orchtest.FEATURES.setdefault(name, orchtest._tool(name))
