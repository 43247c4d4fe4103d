#!/usr/bin/env python3
"""Random operations on a mount and on a native folder give the same, through kills and remounts too."""
import os
import random
import shutil

from model import Model
from mountlib import Mount
from orchtest import *

STEPS = int(os.environ.get("ORCH_MODEL_STEPS", "1500"))
SEED = int(os.environ.get("ORCH_MODEL_SEED", "0")) or random.SystemRandom().randrange(1 << 30)


def source(t, seed):
    """A folder with something of each kind in it."""
    r = random.Random(seed)
    root = t.path("source")
    os.mkdir(root)
    folders = [root]
    for i in range(12):
        d = r.choice(folders) + "/" + "abcdefgh"[i % 8] + str(i % 3)
        if not os.path.exists(d):
            os.mkdir(d)
            folders.append(d)
    files = []
    for i in range(60):
        p = r.choice(folders) + "/" + r.choice("abcdefgh") + r.choice(["", "1", "2"])
        if os.path.lexists(p):
            continue
        if files and r.random() < 0.2:
            os.link(r.choice(files), p)
            continue
        if r.random() < 0.1:
            os.symlink("a/b", p)
            continue
        with open(p, "wb") as f:
            f.write(r.randbytes(r.choice([0, 10, 3000, 200000])))
        if r.random() < 0.2:
            os.setxattr(p, "user.a", b"base")
        files.append(p)
    return root


def run(t, seed, args=(), rounds=4, kill=True):
    print("# seed %d" % seed)
    src = source(t, seed)
    native = t.path("native")
    t.run(["cp", "-a", src, native])
    m = Mount(t, src, args=args)
    m.start()
    for i in range(rounds):
        model = Model(m.mnt, native, seed + i)
        model.compare()
        model.run(STEPS // rounds)
        model.compare()
        model.close_all()
        m.remount(kill=kill and i % 2 == 0)
        model.compare()


@test(needs="fuse root", timeout=600)
def with_passthrough(t):
    run(t, SEED)


@test(needs="fuse root", timeout=600)
def through_the_process(t):
    run(t, SEED + 1000, args=["--no-passthrough"])


main()
