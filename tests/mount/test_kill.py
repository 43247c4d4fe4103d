#!/usr/bin/env python3
"""SIGKILL to the mount process at random moments under load: whatever was answered is there afterwards."""
import random

import load
from mountlib import Mount
from orchtest import *

ROUNDS = int(os.environ.get("ORCH_KILL_ROUNDS", "8"))

def run(t, args, maps):
    seed = int.from_bytes(os.urandom(3), "big")
    print("# seed %d" % seed)
    r = random.Random(seed)
    m = Mount(t, t.tree({"0/a1": b"base", "0/sub/b2": b"base 2" * 1000, "1/c3": b"3"}), args=args)
    m.start()
    steps = 0
    for i in range(ROUNDS):
        workers = [t.start([sys.executable, "-B", load.__file__, "%s/%d" % (m.mnt, w), str(seed + i * 10 + w)] + maps,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE) for w in range(3)]
        for w in workers:
            t.eq(w.stdout.readline(), b"begun\n")
        time.sleep(r.random() * 0.8)
        m.kill()
        answers = []
        for w in workers:
            out, err = w.communicate(timeout=30)
            t.eq(w.returncode, 0, err.decode())
            answers.append(json.loads(out))
        m.start()
        for w, a in enumerate(answers):
            steps += a["count"]
            wrong = load.difference(load.found("%s/%d" % (m.mnt, w)), a)
            if wrong:
                raise Failure("seed %d round %d worker %d: %s" % (seed, i, w, wrong))
    print("# %d answered operations, %d kills" % (steps, ROUNDS))


@test(needs="fuse root", timeout=300)
def nothing_answered_is_lost(t):
    run(t, [], ["mmap"])


@test(needs="fuse root", timeout=300)
def nothing_answered_is_lost_through_the_process(t):
    run(t, ["--no-passthrough"], [])


@test(needs="fuse root")
def a_file_that_a_power_cut_took_is_empty_after_the_reboot(t):
    m = Mount(t)
    m.start()
    with open(m.mnt + "/kept", "w") as f:
        f.write("kept")
    with open(m.mnt + "/lost", "w") as f:
        f.write("lost")
    m.kill()
    spool = m.store + "/layers/1/spool"
    os.unlink(spool + "/" + max(os.listdir(spool), key=int))
    m.errors_expected = True
    m.start()
    t.raises(errno.EIO, open, m.mnt + "/lost")
    m.kill()
    m.args.append("--after-reboot")
    m.start()
    t.eq((os.stat(m.mnt + "/lost").st_size, open(m.mnt + "/kept").read()), (0, "kept"))
    t.match(m.log(), "event=lost-content")
    with open(m.mnt + "/lost", "w") as f:
        f.write("again")
    m.args.pop()
    m.remount(kill=True)
    t.eq(open(m.mnt + "/lost").read(), "again")


@test(needs="fuse root")
def a_torn_transaction_is_cut_off(t):
    m = Mount(t)
    m.start()
    for i in range(20):
        with open(m.mnt + "/f%d" % i, "w") as f:
            f.write("x")
    m.kill()
    log = m.store + "/layers/1/log.1"
    with open(log, "rb") as f:
        data = bytearray(f.read())
    end = len(data.rstrip(b"\0"))
    data[end - 9] ^= 0xff
    with open(log, "wb") as f:
        f.write(data)
    m.start()
    names = set(os.listdir(m.mnt))
    t.ok({"f%d" % i for i in range(19)} <= names, "more than the last transaction is lost: %s" % sorted(names))
    with open(m.mnt + "/again", "w") as f:
        f.write("y")
    m.remount(kill=True)
    t.eq(set(os.listdir(m.mnt)), names | {"again"})


@test(needs="fuse root")
def a_damaged_log_is_refused_by_name(t):
    m = Mount(t)
    m.start()
    for i in range(100):
        os.mkdir(m.mnt + "/f%d" % i)
        if i % 50 == 40:
            d = os.open(m.mnt, os.O_RDONLY)
            os.fsync(d)
            os.close(d)
    m.umount()
    log = m.store + "/layers/1/log.1"
    with open(log, "r+b") as f:
        f.seek(2000)
        b = f.read(1)
        f.seek(2000)
        f.write(bytes([b[0] ^ 1]))
    m.errors_expected = True
    t.match(m.start(ok=False), "error E.*layer 1: log.1")
    m.process.wait(10)
    m.process = None


@test(needs="fuse root")
def a_log_is_rolled_and_shortened(t):
    m = Mount(t)
    m.start()
    want = set()
    for i in range(300):
        os.mkdir(m.mnt + "/d%d" % i)
        want.add("d%d" % i)
    for round in range(60):
        for i in range(300):
            os.chmod(m.mnt + "/d%d" % i, 0o700 + round % 8)
    for i in range(200):
        for _ in range(30):
            os.rename(m.mnt + "/d%d" % i, m.mnt + "/x")
            os.rename(m.mnt + "/x", m.mnt + "/d%d" % i)
    logs = os.listdir(m.store + "/layers/1")
    t.ok("log.1" not in logs or len(logs) > 2, "the log was never rolled: %s" % logs)
    m.remount(kill=True)
    t.eq(set(os.listdir(m.mnt)), want)
    t.eq({os.stat(m.mnt + "/" + x).st_mode & 0o777 for x in want}, {0o700 + 59 % 8})


@test(needs="fuse root")
def what_a_killed_checkpoint_left_is_removed(t):
    m = Mount(t)
    m.start()
    os.mkdir(m.mnt + "/d")
    folder = m.store + "/layers/1"
    shutil.copy(folder + "/log.1", t.path("old"))
    n = 0
    while os.path.exists(folder + "/log.1"):
        n += 1
        os.setxattr(m.mnt + "/d", "user.x", b"%d" % n * 10000)
    m.kill()
    newest = [x for x in os.listdir(folder) if x.startswith("log.")]
    shutil.copy(t.path("old"), folder + "/log.1")
    with open(folder + "/log.tmp", "w") as f:
        f.write("half a checkpoint")
    m.start()
    t.eq((os.listdir(m.mnt), os.getxattr(m.mnt + "/d", "user.x")), (["d"], b"%d" % n * 10000))
    t.eq(sorted(x for x in os.listdir(folder) if x.startswith("log.")), sorted(newest))


@test(needs="fuse root")
def a_log_does_not_grow_by_being_killed(t):
    m = Mount(t)
    m.start()
    folder = m.store + "/layers/1"
    size = sum(os.path.getsize(folder + "/" + x) for x in os.listdir(folder) if x.startswith("log."))
    for i in range(20):
        os.mkdir(m.mnt + "/d%d" % i)
        m.remount(kill=True)
    t.eq(sorted(os.listdir(m.mnt)), sorted("d%d" % i for i in range(20)))
    now = sum(os.path.getsize(folder + "/" + x) for x in os.listdir(folder) if x.startswith("log."))
    t.ok(now <= size, "the log grew from %d to %d bytes" % (size, now))


main()
