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


main()
