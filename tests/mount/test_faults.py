#!/usr/bin/env python3
"""
Each call of the mount process fails once, operation by operation, in one living mount: an error number for somebody,
nothing else. Nothing is left behind (descriptors, threads, half-made layers), it works afterwards, and so does the next
mount of the layer. docs/testing.md tells of ORCH_FAULT_ALL=1, which tries every call.
"""
from faults import Faults
from model import tree
from mountlib import Mount
from orchtest import *

KINDS = ("alloc", "write", "fsync", "rename", "clone", "read", "open", "unlink", "mmap", "fd", "sock", "thread")
BROKEN = "event=(state-incomplete|log-broken)"
FILES = {"a": b"base", "dir/b": b"x" * 5000, "big": b"z" * 300000}


def put(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


class Rig:
    def __init__(self, t):
        self.t = t
        self.f = Faults(t, "orch-mount")
        self.m = Mount(t, t.tree(FILES))
        self.m.errors_expected = True
        self.m.start(env=self.f.env)
        self.layer = 1
        self.count = 0
        self.limit = None
        self.revived = 0

    def attempt(self, steps):
        """How many failed, each with an error number or an answer that tells it."""
        for s in steps:
            with contextlib.suppress(OSError, Failure):
                s()

    def holds(self):
        base = "/proc/%d/" % self.m.process.pid
        return len(os.listdir(base + "fd")), len(os.listdir(base + "task"))

    def in_libfuse(self, kind):
        return re.match("_?fuse_", self.f.place(kind)) is not None

    def revive(self, name):
        """
        A log or a memory that is not what it should be ends the writing, and nothing that was answered is lost: every
        change is refused, and the next mount puts it right.
        """
        m = self.m
        self.t.match(m.log(), BROKEN, name)
        m.umount()
        os.truncate(m.log_path, 0)
        m.start(env=self.f.env)
        self.revived += 1

    def check(self, name):
        m = self.m
        self.t.eq(m.process.poll(), None, "%s: it ended\n%s" % (name, m.log()))
        if self.f.fired_now("read") and "receive_buf" in self.f.place("read"):
            self.t.match(m.log(), "event=receive-failed", name)
        if re.search(BROKEN, m.log()):
            self.revive(name)
        shutil.rmtree("%s/w%d" % (m.mnt, self.count), ignore_errors=True)
        put(m.mnt + "/works", b"%d" % self.count)
        self.t.eq(open(m.mnt + "/works", "rb").read(), b"%d" % self.count, name)
        for x in os.listdir(m.store + "/layers"):
            self.t.ok(os.path.exists("%s/layers/%s/log.1" % (m.store, x)), "%s: layer %s was not made whole" % (name, x))
        if self.in_libfuse("alloc"):
            self.limit = None  # libfuse drops a request that it has no memory for: a release, then, is lost
            self.f.arm("alloc", 0)
        if self.limit is None:
            self.limit = self.holds()
        if "seal" not in name:  # a sealed layer stays open below the next
            wait_until(lambda: all(a <= b for a, b in zip(self.holds(), self.limit)), 10,
                       "%s: (descriptors, threads) to come down from %s to %s" % (name, self.holds(), self.limit))
        self.count += 1


def fresh(rig):
    """A folder of its own with files of the snapshot and of the layer, made without faults."""
    root = "%s/w%d" % (rig.m.mnt, rig.count)
    os.mkdir(root)
    put(root + "/a", b"private")
    put(root + "/large", b"l" * 200000)
    os.mkdir(root + "/sub")
    put(root + "/sub/x", b"1")
    os.link(root + "/a", root + "/linked")
    return root


def each(rig, what, steps, sample=6):
    root = []

    def prepare():
        root[:] = [fresh(rig)]

    rig.f.loop(what, KINDS, lambda: rig.attempt(steps(root[0])), rig.check, prepare, sample)


def end(rig):
    """The log can be read again, and says the same."""
    before = tree(rig.m.mnt)
    rig.m.umount()
    rig.m.start()
    rig.t.eq(tree(rig.m.mnt), before, "after the next mount")
    rig.m.umount()
    rig.t.ok(rig.f.fired_runs, "no call failed")


@test(needs="fuse root faults", timeout=3000)
def names(t):
    rig = Rig(t)
    each(rig, "names", lambda r: [
        lambda: put(r + "/new", b"1"), lambda: os.mkdir(r + "/d"), lambda: os.rename(r + "/sub/x", r + "/d/x"),
        lambda: os.rename(r + "/sub", r + "/moved"), lambda: os.link(r + "/a", r + "/d/a"), lambda: os.symlink("x", r + "/l"),
        lambda: os.readlink(r + "/l"), lambda: os.unlink(r + "/linked"), lambda: os.rmdir(r + "/moved"),
        lambda: os.mkfifo(r + "/fifo"), lambda: os.listdir(r), lambda: os.rename(r + "/a", r + "/large")])
    end(rig)


@test(needs="fuse root faults", timeout=3000)
def contents(t):
    rig = Rig(t)
    back = t.path("orig")
    os.mkdir(back)

    def steps(r):
        return [lambda: put(r + "/a", b"more", "ab"), lambda: put(rig.m.mnt + "/big", b"!", "ab"),
                lambda: os.truncate(r + "/large", 10), lambda: os.truncate(rig.m.mnt + "/dir/b", 100 + rig.count % 7),
                lambda: open(r + "/large", "rb").read(), lambda: shutil.copyfile(rig.m.mnt + "/big", r + "/copy"),
                lambda: os.setxattr(r + "/a", "user.x", b"y" * 100), lambda: os.getxattr(r + "/a", "user.x"),
                lambda: os.listxattr(r + "/a"), lambda: os.removexattr(r + "/a", "user.x"), lambda: os.chmod(r + "/a", 0o600),
                lambda: os.chown(r + "/a", 1, 1), lambda: os.utime(r + "/a", (1, 1)), lambda: os.statvfs(r)]
    each(rig, "contents", steps)
    end(rig)


@test(needs="fuse root faults", timeout=3000)
def commands(t):
    """What the keeper asks for."""
    rig = Rig(t)
    m = rig.m

    def seal(_r):
        rig.layer += 1
        return [lambda: put(m.mnt + "/a", b"before %d" % rig.layer), lambda: m.ok("seal", layer=rig.layer),
                lambda: put(m.mnt + "/a", b"after %d" % rig.layer, "ab"), lambda: put(m.mnt + "/big", b"?", "ab")]

    each(rig, "sync", lambda r: [lambda: m.ok("sync"), lambda: m.ok("status")])
    each(rig, "seal", seal, sample=4)
    # the mount goes on in the layer that the last seal made
    m.layer = int(m.ok("hello")["layer"]) if "layer" in m.ctl("hello") else rig.layer
    end(rig)


@test(needs="fuse root faults", timeout=3000)
def start_and_end(t):
    f = Faults(t, "orch-mount")
    m = Mount(t, t.tree(FILES))
    m.errors_expected = True

    def operation():
        line = m.start(ok=False, env=f.env)
        if line == "ready\n":
            with contextlib.suppress(Failure):
                m.ok("umount")
            with contextlib.suppress(subprocess.TimeoutExpired):
                m.process.wait(2)
            if m.process.poll() is None:  # it could not be asked: it lives, and can be asked again
                m.ok("umount")
            t.eq(m.process.wait(20), 0, m.log())
        elif line:
            t.match(line, "^error E")
            t.eq(m.process.wait(20), 1, m.log())
        else:  # nobody was told: it has ended, for the pipe was closed, and left no mount
            t.ok(m.process.wait(20) in (0, 1, 2), m.log())
        m.process = None

    def check(name):
        t.eq([x[0] for x in mounts_below(m.mnt)], [], name + ": a mount is left")
        t.ok(not os.path.exists(m.socket) or "unlink" in name, name + ": a socket is left")

    f.loop("start and end", KINDS + ("openat2",), operation, check, sample=8)
    m.start()
    put(m.mnt + "/at last", b"3")
    m.umount()


STEPS = 40  # of each kind that a checkpoint has at most, and what goes before it
STATE = 10000  # bytes of one record: a checkpoint every 800 of them
STEPS_MAX = 40


def fill_until_killed(m, limit):
    """Records of 10 kB that replace each other, and folders that come and go; what was answered, what was asked."""
    n = 0
    asked = set(os.listdir(m.mnt))
    names = set(asked)
    try:
        while n < limit:
            os.setxattr(m.mnt + "/dir", "user.n", b"%08d" % (n + 1) * (STATE // 8))
            n += 1
            if n % 50 == 0:
                asked = names ^ {"d%d" % (n // 50 % 7)}
                for name in asked - names:
                    os.mkdir(m.mnt + "/" + name)
                for name in names - asked:
                    os.rmdir(m.mnt + "/" + name)
                names = asked
            if n % 400 == 0:
                fd = os.open(m.mnt, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
    except OSError as e:
        if e.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
            raise
        return n, names, asked, True
    return n, names, asked, False


@test(needs="fuse root faults", timeout=600)
def a_kill_at_each_step_of_a_checkpoint(t):
    """Just before each write, fsync, rename and removal of the log's segments."""
    killed = {}
    for kind in ("write", "fsync", "rename", "unlink"):
        for n in range(1, STEPS + 1):
            m = Mount(t, t.tree({"dir/b": b"x"}))
            if m.start(ok=False, env={"ORCH_FAULT": "%s:%d:KILL" % (kind, n)}) == "ready\n":
                count, names, asked, dead = fill_until_killed(m, 1800)
            else:
                count, names, asked, dead = 0, {"dir"}, {"dir"}, True
            if not dead:
                with contextlib.suppress(Failure):
                    m.ctl("umount")
            if m.wait() == 0:
                break
            killed[kind] = killed.get(kind, 0) + 1
            subprocess.run(["umount", "-l", m.mnt], check=False, stderr=subprocess.DEVNULL)
            for _ in range(2):
                m.start()
                value = int(os.getxattr(m.mnt + "/dir", "user.n")[:8]) if count or dead and "user.n" in os.listxattr(m.mnt + "/dir") else 0
                t.ok(value in (count, count + 1), "%s:%d: %d records were answered, %d is there" % (kind, n, count, value))
                t.ok(set(os.listdir(m.mnt)) in (names, asked), "%s:%d: other names" % (kind, n))
                logs = [x[4:] for x in os.listdir(m.store + "/layers/1") if x.startswith("log.")]
                t.ok("tmp" not in logs, "%s:%d: half a checkpoint is left" % (kind, n))
                numbers = sorted(map(int, logs))
                t.eq(numbers, list(range(numbers[0], numbers[-1] + 1)), "%s:%d: old segments are left" % (kind, n))
                m.kill()
    print("# killed: %s" % killed)
    t.ok(killed.get("rename", 0) >= 1 and killed.get("unlink", 0) >= 5 and killed.get("write", 0) >= 2, "too few steps were met: %s" % killed)


main()
