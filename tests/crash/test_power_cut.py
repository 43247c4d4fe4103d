#!/usr/bin/env python3
"""
The power goes while builds write: what was synced is there, every file can be read, the store is sound.

The store lies on an ext4 in a file, and that file on an XFS that can clone it: a clone taken under load is what had
reached the disk at that instant. Each one is mounted afterwards, as after a reboot, and looked at.
"""
import random
import threading

from orchtest import *

IMAGES = int(os.environ.get("ORCH_POWER_CUTS", "6"))
SEED = int(os.environ.get("ORCH_POWER_SEED", "0")) or random.SystemRandom().randrange(1 << 30)

# Prints a line for each promise: "P <file> <content>" once that content is durable; every other line of a program
# that can't be held to what it did not sync. Files in "one/" hold a number and are replaced as editors do it:
# a new file, synced, renamed over the old one.
LOAD = r'''
import os, random, sys, time
root, seed = sys.argv[1], int(sys.argv[2])
r = random.Random(seed)
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
    d.shim("snapshot", "import", t.tree({"a": "1"}), "--ref", "main")
    mnt = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    for i in range(2):
        os.mkdir("%s/%d" % (mnt, i))
    loads = [Load(t, "%s/%d" % (mnt, i), SEED + i) for i in range(2)]
    cuts = []
    for i in range(IMAGES):
        time.sleep(0.5 + 3 * r.random())  # a moment of the load, not something to wait for
        when = time.monotonic()
        cuts.append((when, disk.cut(i)))
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
        after.shim("store", "verify")
        print("# image %d: %d promises, %d files" % (i, sum(len(x.before(when)) for x in loads), files))
        t.eq(after.stop(), 0)


main()
