#!/usr/bin/env python3
"""Programs that a build runs, with their data on a mount."""
import sqlite3

from mountlib import Mount
from orchtest import *


def project(files=40):
    """A small C project; a later source file depends on each header."""
    out = {"Makefile": "CFLAGS=-O0\nOBJ=%s\nprog: $(OBJ)\n\t$(CC) -o $@ $(OBJ)\n%%.o: %%.c all.h\n\t$(CC) $(CFLAGS) -c -o $@ $<\n"
           "clean:\n\trm -f *.o prog\n" % " ".join("f%d.o" % i for i in range(files)),
           "all.h": "".join("int f%d(void);\n" % i for i in range(files))}
    for i in range(1, files):
        out["f%d.c" % i] = '#include "all.h"\nint f%d(void) { return %d; }\n' % (i, i)
    out["f0.c"] = '#include <stdio.h>\n#include "all.h"\nint main(void) { int s = 0;\n%s printf("%%d\\n", s); return 0; }\n' % (
        "".join(" s += f%d();\n" % i for i in range(1, files)))
    return out


@test(needs="fuse root gcc make", timeout=300)
def make_builds_and_builds_only_what_changed(t):
    m = Mount(t, t.tree(project()))
    m.start()
    t.run(["make", "-j4"], cwd=m.mnt, timeout=120)
    t.eq(t.run([m.mnt + "/prog"]).stdout, "%d\n" % sum(range(40)))
    t.match(t.run(["make"], cwd=m.mnt).stdout, "up to date")
    m.remount(kill=True)
    t.match(t.run(["make"], cwd=m.mnt).stdout, "up to date")
    m.ok("seal", layer=2)
    t.match(t.run(["make"], cwd=m.mnt).stdout, "up to date")
    with open(m.mnt + "/f7.c", "a") as f:
        f.write("/* changed */\n")
    out = t.run(["make"], cwd=m.mnt).stdout
    t.eq(re.findall(r"-o (\S+\.o) ", out), ["f7.o"])
    t.run(["make", "clean"], cwd=m.mnt)
    t.eq(sorted(x for x in os.listdir(m.mnt) if x.endswith(".o")), [])


@test(needs="fuse root", timeout=300)
def sqlite_keeps_a_database(t):
    for mode in ("wal", "delete"):
        m = Mount(t)
        m.start()
        db = sqlite3.connect(m.mnt + "/db", isolation_level=None)
        db.execute("pragma journal_mode=" + mode)
        db.execute("create table x(a integer primary key, b blob)")
        child = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
for i in range(100):
    db.execute("begin immediate")
    db.execute("insert into x(b) values(randomblob(3000))")
    db.execute("commit")
"""
        children = [t.start([sys.executable, "-c", child, m.mnt + "/db"]) for _ in range(3)]
        for c in children:
            t.eq(c.wait(), 0)
        t.eq(db.execute("select count(*) from x").fetchone(), (300,))
        db.close()
        m.remount(kill=True)
        db = sqlite3.connect(m.mnt + "/db")
        t.eq(db.execute("select count(*) from x").fetchone(), (300,))
        t.eq(db.execute("pragma integrity_check").fetchone(), ("ok",))
        db.close()
        m.umount()


@test(needs="fuse root git", timeout=300)
def git_works(t):
    m = Mount(t, t.tree(project()))
    m.start()
    t.git(m.mnt, "init", "-q")
    t.git(m.mnt, "add", "-A")
    t.git(m.mnt, "commit", "-qm", "one")
    t.git(m.mnt, "checkout", "-qb", "b")
    with open(m.mnt + "/f1.c", "a") as f:
        f.write("/* b */\n")
    t.git(m.mnt, "commit", "-qam", "two")
    t.git(m.mnt, "gc", "-q")
    t.git(m.mnt, "checkout", "-q", "-")
    t.eq(t.git(m.mnt, "status", "--porcelain").stdout, "")
    t.git(m.mnt, "clone", "-q", m.mnt, m.mnt + "/clone")
    t.git(m.mnt + "/clone", "fsck", "--full")
    m.remount(kill=True)
    t.git(m.mnt, "fsck", "--full")
    t.eq(t.git(m.mnt, "status", "--porcelain").stdout, "?? clone/\n")


def git_worktrees(t, m):
    repo = m.mnt + "/repo"
    t.tree(project(), at=repo)
    t.git(repo, "init", "-q", "-b", "main")
    t.git(repo, "add", "-A")
    t.git(repo, "commit", "-qm", "one")
    t.git(repo, "worktree", "add", "-q", "-b", "b", "../tree")
    with open(m.mnt + "/tree/f1.c", "a") as f:
        f.write("/* b */\n")
    t.git(m.mnt + "/tree", "commit", "-qam", "two")
    t.git(repo, "merge", "-q", "b")
    t.git(m.mnt, "clone", "-q", "repo", "linked")  # objects are hard links
    t.git(repo, "gc", "-q", "--prune=now")
    m.remount(kill=True)
    m.ok("seal", layer=2)
    for tree in ("repo", "tree", "linked"):
        t.eq(t.git(m.mnt + "/" + tree, "status", "--porcelain").stdout, "")
        t.eq(t.git(m.mnt + "/" + tree, "fsck", "--full", "--strict").stderr, "")
    t.git(repo, "worktree", "remove", "../tree")
    t.eq(sorted(os.listdir(m.mnt)), ["linked", "repo"])


@test(needs="fuse root git", timeout=300)
def git_keeps_worktrees(t):
    for args in ([], ["--no-passthrough"]):
        m = Mount(t, args=args)
        m.start()
        git_worktrees(t, m)
        m.umount()


# Writes transactions for ever, says what was committed.
LMDB_WRITER = """
import lmdb, sys
e = lmdb.open(sys.argv[1], map_size=1 << 26, writemap=sys.argv[2] == "map")
with e.begin() as x:
    n = int(x.get(b"a", b"-1")) + 1
while True:
    with e.begin(write=True) as x:
        x.put(b"a", b"%d" % n)
        x.put(b"item %d" % (n % 200), b"%d " % n * 500)
        x.put(b"b", b"%d" % n)
    print(n, flush=True)
    n += 1
"""
LMDB_READER = """
import lmdb, sys
with lmdb.open(sys.argv[1], readonly=True) as e, e.begin() as x:
    a = int(x.get(b"a"))
    assert int(x.get(b"b")) == a and e.stat()["entries"] == min(a + 1, 200) + 2
    for n in range(max(0, a - 199), a + 1):
        assert x.get(b"item %d" % (n % 200)) == b"%d " % n * 500, n
    print(a)
"""


def lmdb_rounds(t, m, mode):
    env = m.mnt + "/env"
    for n in range(3):
        p = t.start(["/usr/bin/python3", "-c", LMDB_WRITER, env, mode], stdout=subprocess.PIPE)
        for _ in range(40):
            told = p.stdout.readline()
        p.kill()
        told = (p.stdout.read().splitlines() or [told])[-1]
        t.eq(p.wait(20), -signal.SIGKILL)
        if n == 1:
            m.remount(kill=True)
        there = int(t.run(["/usr/bin/python3", "-c", LMDB_READER, env]).stdout)
        t.ok(there - int(told) in (0, 1), "answered: %d, there: %d" % (int(told), there))


@test(needs="fuse root lmdb", timeout=300)
def lmdb_outlives_its_writer(t):
    """Also the mount process, killed after him: what he was told is in the pages that he wrote, or mapped."""
    for args in ([], ["--no-passthrough"]):
        for mode in ("write", "map"):
            m = Mount(t, args=args)
            m.start()
            lmdb_rounds(t, m, mode)
            m.umount()


@test(needs="fuse root", timeout=300)
def a_build_goes_on_while_layers_are_sealed(t):
    """Writers that never stop see neither an error nor a wrong byte through many seals; each fork is whole."""
    m = Mount(t, t.tree({"seed": b"x" * 10000}))
    m.start()
    script = """
import os, sys
root = sys.argv[1]
log = open(root + "/log%s" % sys.argv[2], "ab", buffering=0)
for i in range(400):
    name = root + "/w%s-%d" % (sys.argv[2], i % 50)
    with open(name + ".tmp", "wb") as f:
        f.write(b"%d " % i * 200)
    os.rename(name + ".tmp", name)
    data = open(name, "rb").read()
    assert data == b"%d " % i * 200, (name, i, data[:20])
    log.write(b"%d\\n" % i)
    if i % 10 == 0:
        with open(root + "/seed", "r+b") as f:
            f.write(b"%04d" % i)
"""
    children = [t.start([sys.executable, "-c", script, m.mnt, str(w)], stderr=subprocess.PIPE) for w in range(3)]
    layer = 1
    while any(c.poll() is None for c in children):
        layer += 1
        m.ok("seal", layer=layer)
        if layer % 5 == 0:
            m.new_layer(1000 + layer, layer - 1)
            f = Mount(t, layer=1000 + layer, store=m.store)
            f.start()
            for w in range(3):
                path = f.mnt + "/log%d" % w
                lines = open(path).read().split() if os.path.exists(path) else []
                t.eq(lines, [str(i) for i in range(len(lines))])
            for name in os.listdir(f.mnt):
                if re.match(r"w\d-\d+$", name):
                    words = open(f.mnt + "/" + name).read().split()
                    t.eq((len(words), len(set(words))), (200, 1), name)
            f.umount()
    for c in children:
        t.eq(c.wait(), 0, c.stderr.read().decode())
    print("# %d seals" % (layer - 1))
    for w in range(3):
        t.eq(open(m.mnt + "/log%d" % w).read().split(), [str(i) for i in range(400)])


main()
