#!/usr/bin/env python3
"""Many processes at the same few names, with seals in between: no error that can't be, no wrong link count, the same after a kill."""
from model import same, tree
from mountlib import Mount
from orchtest import *

SECONDS = float(os.environ.get("ORCH_RACE_SECONDS", "5"))

WORKER = r'''
import errno, mmap, os, random, sys, time
sys.path.insert(0, sys.argv[4])
from model import renameat2
root, seed, end = sys.argv[1], int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
r = random.Random(seed)
held = []
EXPECTED = {errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EINVAL, errno.EPERM, errno.ELOOP,
            errno.EBUSY, errno.EMLINK, errno.ENXIO, errno.ESTALE}
count = stale = 0

def name():
    return root + "/" + "/".join(r.choice("ab") + str(r.randrange(4)) for _ in range(r.choice([1, 1, 2, 2, 3])))

def op():
    k = r.randrange(14)
    p, q = name(), name()
    if k == 0: os.mkdir(p)
    elif k == 1: os.rmdir(p)
    elif k == 2: os.unlink(p)
    elif k == 3: os.rename(p, q)
    elif k == 4: renameat2(p, q, r.choice([1, 2]))
    elif k == 5: os.link(p, q, follow_symlinks=False)
    elif k == 6: os.symlink("b1", p)
    elif k == 7: os.truncate(p, r.choice([0, 10, 9000]))
    elif k == 8: os.chmod(p, r.choice([0o600, 0o644]))
    elif k == 9: os.listdir(p)
    elif k == 10:
        with open(p, "rb") as f:
            f.read()
    elif k == 11:
        held.append(os.open(p, r.choice([os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_TRUNC])))
        if len(held) > 6:
            os.close(held.pop(r.randrange(6)))
    elif k == 12 and held:
        os.pread(r.choice(held), 100, 0)
        os.fstat(r.choice(held))
    else:
        with open(p, "ab") as f:
            f.write(b"x" * r.choice([1, 5000]))

while time.monotonic() < end:
    try:
        op()
    except OSError as e:
        if e.errno not in EXPECTED:
            raise
        stale += e.errno == errno.ESTALE
    count += 1
print(count, stale)
'''


def run(t, args):
    m = Mount(t, t.tree({"a0/a0": b"1", "a1/b1/a1": b"2" * 9000, "b0": b"3", "b1/a2": b"4", "b2/b2/b2": b"5" * 200000}), args=args)
    m.start()
    here = os.path.dirname(os.path.abspath(__file__))
    seed = int.from_bytes(os.urandom(3), "big")
    print("# seed %d" % seed)
    workers = [t.start([sys.executable, "-c", WORKER, m.mnt, str(seed + i), str(SECONDS), here],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONPATH": os.path.join(SRC, "tests/lib")})
               for i in range(6)]
    layer = 1
    while any(w.poll() is None for w in workers):
        layer += 1
        m.ok("seal", layer=layer)
        time.sleep(0.2)
    done = stale = 0
    for w in workers:
        out, err = w.communicate()
        t.eq(w.returncode, 0, err.decode())
        done += int(out.split()[0])
        stale += int(out.split()[1])
    print("# %d operations (%d ESTALE), %d seals" % (done, stale, layer - 1))
    t.ok(stale <= done // 1000, "%d of %d answers are ESTALE" % (stale, done))
    time.sleep(0.3)  # what the kernel heard too late is put right after 0.1 s
    before = tree(m.mnt)
    check_links(t, m.mnt)
    m.remount(kill=True)
    same(tree(m.mnt), before, "after the kill:")
    check_links(t, m.mnt)
    shutil.rmtree(m.mnt, ignore_errors=True)
    t.eq(os.listdir(m.mnt), [])


def check_links(t, root):
    names = {}
    for folder, dirs, files in os.walk(root):
        for n in dirs + files:
            st = os.lstat(folder + "/" + n)
            if not stat.S_ISDIR(st.st_mode):
                names.setdefault(st.st_ino, []).append((folder + "/" + n, st.st_nlink))
        t.eq(os.stat(folder).st_nlink, 2 + len([d for d in dirs if not os.path.islink(folder + "/" + d)]), folder)
    for ino, found in names.items():
        t.eq({n for _, n in found}, {len(found)}, "link count of %s" % found)


@test(needs="fuse root", timeout=300)
def many_processes_at_the_same_names(t):
    run(t, [])


@test(needs="fuse root", timeout=300)
def many_processes_at_the_same_names_through_the_process(t):
    run(t, ["--no-passthrough"])


main()
