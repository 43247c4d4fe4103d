#!/usr/bin/env python3
"""
The power goes while builds write and workspaces are forked: what was synced is there, every file can be read, the store is sound.

The store lies on an ext4 in a file, and that file on an XFS that can clone it: a clone taken under load is what had
reached the disk at that instant. Each one is mounted afterwards, as after a reboot, and looked at.
"""
import random
import threading

from orchtest import *

BASE = b"".join(b"base %d\n" % i for i in range(3000))  # of several pages; files of the snapshot, which loads append to
IMAGES = int(os.environ.get("ORCH_POWER_CUTS", "6"))
SEED = int(os.environ.get("ORCH_POWER_SEED", "0")) or random.SystemRandom().randrange(1 << 30)

# Prints a line for each promise: "P <file> <content>" once that content is durable; every other line of a program
# that can't be held to what it did not sync. Files in "base/" are the snapshot's: appended to and not synced, they
# may end anywhere in what was appended. Files in "one/" hold a number and are replaced as editors do it:
# a new file, synced, renamed over the old one.
LOAD = r'''
import os, random, sys, time
root, seed = sys.argv[1], int(sys.argv[2])
r = random.Random(seed)
base = sorted(os.listdir(root + "/base"))
os.makedirs(root + "/one"); os.makedirs(root + "/many")

def durable(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)

def sync_folder(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)

n = 0
while True:
    n += 1
    what = r.random()
    name = "f%d" % r.randrange(40)
    if what < 0.25:
        durable(root + "/one/tmp", b"%d" % n)
        os.rename(root + "/one/tmp", root + "/one/" + name)
    elif what < 0.35:
        durable(root + "/one/tmp", b"%d" % n)
        os.rename(root + "/one/tmp", root + "/one/" + name)
        sync_folder(root + "/one")
        print("P one/%s %d" % (name, n), flush=True)
    elif what < 0.45:
        durable(root + "/many/n%d" % n, b"new %d" % n)
        sync_folder(root + "/many")
        print("P many/n%d new %d" % (n, n), flush=True)
    elif what < 0.8:
        for i in range(r.randrange(60)):
            with open(root + "/many/x%d" % r.randrange(300), "wb") as f:
                f.write(r.randbytes(r.choice([0, 10, 5000])))
    elif what < 0.85:
        for i in range(r.randrange(20)):
            with open(root + "/base/" + (base.pop() if base else "b0"), "ab") as f:
                f.write(b"more\n")
    elif what < 0.95:
        for i in range(r.randrange(60)):
            try:
                os.unlink(root + "/many/x%d" % r.randrange(300))
            except FileNotFoundError:
                pass
    else:
        time.sleep(r.random() * 1.5)
'''


class Disk:
    """An ext4 in a file on an XFS; clones of the file are what had reached the disk."""

    def __init__(self, t):
        self.t = t
        self.outer = t.dir("outer")
        image = t.path("outer.img")
        t.run(["truncate", "-s", "3G", image])
        t.run(["mkfs.xfs", "-q", "-m", "reflink=1", image])
        mount(t, image, self.outer)
        self.image = self.outer + "/disk.img"
        t.run(["truncate", "-s", "400M", self.image])
        t.run(["mkfs.ext4", "-q", self.image])
        self.root = t.dir("disk")
        # names reach the disk every second, the pages of files when the kernel likes
        mount(t, self.image, self.root, "commit=1")

    def cut(self, number):
        clone = "%s/cut%d.img" % (self.outer, number)
        self.t.run(["cp", "--reflink=always", self.image, clone])
        return clone


def mount(t, image, where, *options):
    t.run(["mount", "-o", ",".join(("loop",) + options), image, where])


class Load:
    def __init__(self, t, root, seed):
        self.promised = []  # (monotonic time, file, content), in the order in which they were made
        self.process = t.start([sys.executable, "-c", LOAD, root, str(seed)], stdout=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            word, path, content = line.decode().rstrip("\n").split(" ", 2)
            if word == "P":
                self.promised.append((time.monotonic(), path, content))

    def stop(self):
        self.process.kill()
        self.process.wait(20)
        self.reader.join()

    def before(self, when):
        """What was durable by then: {file: [contents that it may have had since, oldest first]}."""
        return {path: content for at, path, content in self.promised if at <= when}


class Churn:
    """Forks, commits and drops meanwhile, and what was answered when."""

    def __init__(self, d, seed):
        self.d, self.r = d, random.Random(seed)
        self.made, self.dropped, self.commits = {}, {}, []  # name: when asked (drops) or answered
        self.problems = []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        n = 0
        while not self.ending.wait(self.r.random() * 0.7):
            n += 1
            try:
                self.step("f%d" % n)
            except Exception as e:  # told by stop()
                self.problems.append(repr(e))
                return

    def step(self, name):
        what = self.r.random()
        left = sorted(set(self.made) - set(self.dropped))
        if what < 0.5:
            r = self.d.http("POST", "/v1/workspaces/w/fork", {"name": name, "mount": False})
            self.made[name] = time.monotonic()
        elif what < 0.75 or not left:
            r = self.d.http("POST", "/v1/workspaces/w/commit", {"ref": "result"})
            self.commits.append((time.monotonic(), json.loads(r.body.splitlines()[-1])["result"]["id"]))
        else:
            self.dropped[self.r.choice(left)] = time.monotonic()
            r = self.d.http("DELETE", "/v1/workspaces/" + list(self.dropped)[-1])
        if r.status != 200:
            raise Failure("%s %s" % (name, r))

    def stop(self):
        self.ending.set()
        self.thread.join()
        if self.problems:
            raise Failure("\n".join(self.problems))

    def check(self, t, after, when):
        """Forks that were there and not yet on their way out can be read; the ref is what it was, or newer."""
        forks = [n for n, at in self.made.items() if at <= when and self.dropped.get(n, when + 1) > when]
        for i, name in enumerate(forks):
            seen = t.dir("%s-%d-%d" % (name, id(after), i))
            t.eq(after.http("POST", "/v1/workspaces/%s/mount" % name, {"at": seen}).status, 200)
            t.eq(after.http("POST", "/v1/workspaces/%s/umount" % name, {}).status, 200)
        ids = [i for at, i in self.commits if at <= when]
        if ids:
            got = after.http("GET", "/v1/refs/result").json()["id"]
            t.ok(got in [i for _, i in self.commits][len(ids) - 1:], "result is %s, was %s" % (got, ids[-1]))
        return len(forks), len(ids)


def check(t, mnt, loads, when):
    files = 0
    for i, load in enumerate(loads):
        root = "%s/%d" % (mnt, i)
        for path, content in load.before(when).items():
            with open("%s/%s" % (root, path)) as f:
                got = f.read()
            if path.startswith("one/"):
                t.ok(got.isdigit() and int(got) >= int(content), "%s: %r, %r was durable" % (path, got, content))
            else:
                t.eq(got, content, path)
        for folder, _, names in os.walk(root):
            for name in names:
                with open(folder + "/" + name, "rb") as f:
                    got = f.read()
                files += 1
                if folder.endswith("/one") and name != "tmp":
                    t.ok(got.isdigit(), "%s/%s: %r" % (folder, name, got[:40]))
                if folder.endswith("/base"):
                    t.ok(got.startswith(BASE), "%s/%s: only %d bytes of the snapshot's %d are there" % (
                        folder, name, len(os.path.commonprefix([got, BASE])), len(BASE)))
    return files


def shared_folder(t, name):
    """Mounts that are made in it are seen here too, whatever mount namespace makes them."""
    where = t.dir(name)
    t.run(["mount", "--bind", where, where])
    t.run(["mount", "--make-shared", where])
    return where


def boot_again(t, number):
    """Everything that runs below this has another boot id than what ran before."""
    boot = t.path("boot%d" % number)
    with open(boot, "w") as f:
        f.write("%08x-0000-4000-8000-000000000000\n" % number)
    return ["unshare", "-m", "--propagation", "unchanged", "sh", "-c",
            'mount --make-private /proc && mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', boot]


@test(needs="fuse root loop mkfs.xfs", timeout=600)
def under_load(t):
    print("# seed %d" % SEED)
    r = random.Random(SEED)
    disk = Disk(t)
    d = t.daemon(store=disk.root + "/store")
    d.start()
    d.shim("snapshot", "import", t.tree({"%d/base/b%d" % (i, k): BASE for i in range(2) for k in range(400)}), "--ref", "main")
    mnt = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    loads = [Load(t, "%s/%d" % (mnt, i), SEED + i) for i in range(2)]
    churn = Churn(d, SEED + 9)
    cuts = []
    for i in range(IMAGES):
        time.sleep(0.5 + 3 * r.random())  # a moment of the load, not something to wait for
        when = time.monotonic()
        cuts.append((when, disk.cut(i)))
    churn.stop()
    for load in loads:
        load.stop()
    d.stop()
    for i, (when, image) in enumerate(cuts):
        root = t.dir("after%d" % i)
        mount(t, image, root)
        mnt = os.path.join(shared_folder(t, "seen%d" % i), "w")
        os.mkdir(mnt)
        after = t.daemon(store=root + "/store", name=str(i), wrap=boot_again(t, i))
        after.start()
        t.eq(after.http("POST", "/v1/workspaces/w/mount", {"at": mnt}).status, 200)
        files = check(t, mnt, loads, when)
        forks, commits = churn.check(t, after, when)
        after.shim("store", "verify")
        print("# image %d: %d promises, %d files, %d forks, %d commits" % (
            i, sum(len(x.before(when)) for x in loads), files, forks, commits))
        t.eq(after.stop(), 0)


main()
