#!/usr/bin/env python3
"""The n-th allocation, write, fsync, rename, clone of the mount process fails: an error number for somebody, nothing else."""
from model import tree
from mountlib import Mount
from orchtest import *

LIMIT = int(os.environ.get("ORCH_FAULT_LIMIT", "40"))


def put(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())


def work(m):
    """Something of everything; how many steps failed."""
    root = m.mnt
    steps = [lambda: put(root + "/new", b"1"), lambda: put(root + "/a", b"more", "ab"), lambda: put(root + "/big", b"!", "ab"),
             lambda: os.mkdir(root + "/d"), lambda: os.rename(root + "/new", root + "/d/new"),
             lambda: os.link(root + "/a", root + "/d/a"), lambda: os.setxattr(root + "/a", "user.x", b"y" * 100),
             lambda: os.truncate(root + "/dir/b", 0), lambda: os.unlink(root + "/dir/b"), lambda: os.symlink("x", root + "/l"),
             lambda: m.ok("sync"), lambda: m.ok("seal", layer=2), lambda: put(root + "/a", b"again", "ab"),
             lambda: os.listdir(root), lambda: put(root + "/after", b"2")]
    failed = 0
    for s in steps:
        try:
            s()
        except (OSError, Failure):
            failed += 1
    return failed


def run(t, kind):
    hit = 0
    for n in range(1, LIMIT + 1):
        m = Mount(t, t.tree({"a": b"base", "dir/b": b"x" * 5000, "big": b"z" * 300000}))
        m.errors_expected = True
        line = m.start(ok=False, env={"ORCH_FAULT": "%s:%d" % (kind, n)})
        if line == "ready\n":
            failed = work(m)
            t.eq(m.process.poll(), None, "%s:%d: it died\n%s" % (kind, n, m.log()))
            left = [x for x in os.listdir(m.store + "/layers") if not os.path.exists("%s/layers/%s/log.1" % (m.store, x))]
            t.eq(left, [], "%s:%d: a layer that was not made is left" % (kind, n))
            hit += failed > 0
            m.kill()
        else:
            t.ok(re.match("error E", line) or (kind == "write" and line == ""), "%s:%d: %r" % (kind, n, line))
            t.eq(m.process.wait(20), 1 if line else 0, m.log())
            m.process = None
            hit += 1
        t.ok("Sanitizer" not in m.log(), m.log())
        m.start()
        tree(m.mnt)
        put(m.mnt + "/at last", b"3")
        m.umount()
    print("# %d of %d were felt" % (hit, LIMIT))


for _kind in ("alloc", "write", "fsync", "rename", "clone", "read"):
    def _one(t, kind=_kind):
        run(t, kind)
    _one.__name__ = "each_%s_fails_once" % _kind
    test(needs="fuse root faults", timeout=600)(_one)


STATE = 10000  # bytes of one record: a checkpoint every 800 of them


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
        for n in range(1, LIMIT + 1):
            m = Mount(t, t.tree({"dir/b": b"x"}))
            m.start(ok=False, env={"ORCH_FAULT": "%s:%d:KILL" % (kind, n)})
            if m.process.poll() is None:
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
