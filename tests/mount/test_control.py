#!/usr/bin/env python3
"""Commands of the control socket, and what a mount does when its store or disk is not as it should be."""
from mountlib import Mount
from orchtest import *

SOURCE = {"a": b"base a", "dir/b": b"base b", "dir/deep/c": b"c" * 5000}


def put(path, data=b""):
    with open(path, "wb") as f:
        f.write(data)


@test(needs="fuse root")
def it_says_who_it_is(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    h = m.ok("hello")
    t.eq((h["workspace"], h["layer"], h["snapshot"], h["mountpoint"], h["pid"]),
         ("ws1", "1", m.snapshot, m.mnt, str(m.process.pid)))
    put(m.mnt + "/x")
    t.ok(int(m.ok("status")["seq"]) > int(h["seq"]))
    t.eq(m.ctl("unknown")["status"], str(-errno.ENOSYS))
    t.eq(m.ctl("seal")["status"], str(-errno.EINVAL))
    t.eq(m.ctl("seal", layer=1)["status"], str(-errno.EINVAL))
    m.ok("ping")
    m.ok("sync")
    with open("/proc/mounts") as f:
        t.match(f.read(), r"(?m)^orch:\d+:1 %s fuse\.orch rw,nosuid,nodev" % m.mnt)


@test(needs="fuse root")
def a_used_mount_is_not_unmounted(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    p = t.start(["sleep", "60"], cwd=m.mnt + "/dir")
    wait_until(lambda: os.readlink("/proc/%d/cwd" % p.pid) == m.mnt + "/dir", what="the process")
    r = m.ctl("umount")
    t.eq(r["status"], str(-errno.EBUSY))
    t.match(r["error"], r"in use by sleep \(pid %d\)" % p.pid)
    put(m.mnt + "/goes on")
    r = m.ok("umount", flags=1)
    t.eq(m.process.poll(), None)
    p.kill()
    p.wait()
    t.eq(m.wait(), 0)
    m.start()
    t.ok(os.path.exists(m.mnt + "/goes on"))


@test(needs="fuse root")
def a_copy_of_the_mount_in_another_namespace_does_not_keep_it(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    put(m.mnt + "/x", b"x")
    p = t.start(["unshare", "-m", "--propagation", "private", "sh", "-c", "echo ready; sleep 60"], stdout=subprocess.PIPE)
    t.eq(p.stdout.readline(), b"ready\n")
    m.umount()
    m.start()
    t.ok(os.path.exists(m.mnt + "/x"))
    p.kill()
    p.wait()


@test(needs="fuse root")
def it_ends_when_somebody_unmounts_and_on_sigterm(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    m.umount_by_path()
    t.eq(m.wait(), 0)
    t.ok(not os.path.exists(m.socket), "the socket stays")
    m.start()
    m.process.terminate()
    t.eq(m.wait(), 0)
    t.ok(not os.path.ismount(m.mnt))


@test(needs="fuse root")
def one_layer_has_one_writer(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    m.ok("seal", layer=2)
    for layer in (1, 2):
        other = Mount(t, layer=layer, store=m.store)
        other.errors_expected = True
        t.match(other.start(ok=False), "error EBUSY .*layer 2 is written by another|error EBUSY .*layer 1")
        t.eq(other.process.wait(20), 1)
        other.process = None
    m.kill()
    m.start()


def started_for_nobody(t, m):
    r, w = os.pipe()
    os.close(r)
    fds = [os.open(m.store + "/" + x, os.O_RDONLY | os.O_DIRECTORY) for x in ("objects", "packs", "layers")]
    p = t.start([program("orch-mount"), "--store-fds", "objects=%d,packs=%d,layers=%d" % tuple(fds), "--layer", "1",
                 "--mountpoint", m.mnt, "--control", m.socket, "--ready-fd", str(w)] + m.args, pass_fds=fds + [w])
    for fd in fds + [w]:
        os.close(fd)
    t.eq(p.wait(20), 0)
    t.ok(not os.path.exists(m.socket))


@test(needs="fuse root passthrough")
def a_mount_that_nobody_waits_for_ends(t):
    m = Mount(t, t.tree(SOURCE))
    started_for_nobody(t, m)
    t.ok(not os.path.ismount(m.mnt))


@test(needs="fuse root")
def without_the_right_to_unmount_it_ends_too(t):
    """What it leaves is a dead mount, which the next keeper takes away, and a layer that may be mounted."""
    m = Mount(t, t.tree(SOURCE), ["--no-passthrough"])
    started_for_nobody(t, m)
    t.raises(errno.ENOTCONN, os.listdir, m.mnt)
    m.umount_by_path()
    m.start()
    t.eq(open(m.mnt + "/a").read(), "base a")


@test(needs="fuse root")
def frozen_changes_wait_and_reads_do_not(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    os.mkdir(m.mnt + "/busy")  # its lock is held by the requests that wait
    m.ok("freeze", deadline_ms=20000)
    done = []
    threads = [threading.Thread(target=lambda i=i: (put(m.mnt + "/busy/f%d" % i, b"x"), done.append(i))) for i in range(8)]
    for x in threads:
        x.start()
    t.eq(t.run(["cat", m.mnt + "/dir/b"]).stdout, "base b")
    t.eq(sorted(t.run(["ls", m.mnt]).stdout.split()), ["a", "busy", "dir"])
    t.eq(done, [])
    m.ok("thaw")
    for x in threads:
        x.join(20)
    t.eq(sorted(done), list(range(8)))
    m.ok("freeze", deadline_ms=200)
    put(m.mnt + "/after the deadline")
    m.ok("freeze", deadline_ms=20000)
    x = threading.Thread(target=put, args=(m.mnt + "/g",))
    x.start()
    m.ok("thaw")
    x.join(20)


@test(needs="fuse root")
def a_killed_keeper_is_not_missed(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    import socket
    idle = []
    for _ in range(20):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(m.socket)
        idle.append(s)
    idle[0].close()
    idle[-1].send(b"garbage")
    put(m.mnt + "/x")
    m.ok("hello")


@test(needs="fuse root")
def a_damaged_tree_or_object_costs_one_path(t):
    m = Mount(t, t.tree(SOURCE))
    m.errors_expected = True
    pack = m.store + "/packs/1"
    with open(pack, "rb") as f:
        data = bytearray(f.read())
    at = data.rfind(b"deep")  # an entry of the tree of dir
    data[at] ^= 1
    os.chmod(pack, 0o600)
    with open(pack, "wb") as f:
        f.write(data)
    victim = hashlib.sha256(b"base a").hexdigest()
    path = "%s/objects/%s/%s/%s" % (m.store, victim[:2], victim[2:4], victim)
    os.chmod(path, 0o600)
    put(path, b"wrong!")
    m.start()
    t.raises(errno.EIO, os.listdir, m.mnt + "/dir")
    t.raises(errno.EIO, os.stat, m.mnt + "/dir/b")
    t.raises(errno.EIO, open, m.mnt + "/a", "rb")
    t.eq(sorted(os.listdir(m.mnt)), ["a", "dir"])
    put(m.mnt + "/a", b"new content needs nothing of the old")
    put(m.mnt + "/x", b"x")
    t.match(m.log(), "folder-unreadable.*name=dir")
    t.match(m.log(), "content-unreadable")


@test(needs="fuse root")
def a_store_that_is_not_there_is_said(t):
    m = Mount(t, t.tree(SOURCE))
    m.errors_expected = True

    def fails(pattern):
        t.match(m.start(ok=False), pattern)
        t.eq(m.process.wait(20), 1)
        m.process = None
    os.rename(m.store + "/packs/1", m.store + "/away")
    fails("error ENOENT .*snapshot")
    os.rename(m.store + "/away", m.store + "/packs/1")
    layer, m.layer = m.layer, 99
    fails("error ENOENT .*layer 99")
    m.layer = layer
    mnt, m.mnt = m.mnt, m.mnt + "/absent"
    fails("error E")
    m.mnt = mnt
    m.start()


@test(needs="fuse root loop", timeout=300)
def a_full_disk_is_an_error_number(t):
    image, disk = t.path("image"), t.dir("disk")
    t.run(["truncate", "-s", "24M", image])
    t.run(["mkfs.ext4", "-q", "-m", "0", image])
    t.run(["mount", "-o", "loop", image, disk])
    t.finally_(lambda: subprocess.run(["umount", "-l", disk], check=False))
    m = Mount(t, t.tree(SOURCE), store=None)
    m.umount_disk = disk
    shutil.copytree(m.store, disk + "/store")
    m.store = disk + "/store"
    m.start()
    made = 0
    with t_raises_nospace(t):
        for i in range(100000):
            put(m.mnt + "/f%d" % i, b"x" * 50000)
            made += 1
    t.ok(made > 50, "only %d files" % made)
    subprocess.run(["dd", "if=/dev/zero", "of=" + disk + "/rest", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
    with t_raises_nospace(t):  # names alone, until the log has no room
        for i in range(100000):
            os.mkdir(m.mnt + "/d%d" % i)
    for i in range(made):
        os.unlink(m.mnt + "/f%d" % i)
    wait_until(lambda: os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize > 8 << 20, what="space to be free again")
    put(m.mnt + "/again", b"y" * 100000)
    m.remount(kill=True)
    with open(m.mnt + "/again", "rb") as f:
        t.eq(f.read(), b"y" * 100000)
    m.umount()


class Filler(threading.Thread):
    """Changes names and attributes of a folder of its own, whatever the disk says; keeps its own record."""

    def __init__(self, root, number, until):
        super().__init__()
        self.root, self.number, self.until = "%s/t%d" % (root, number), number, until
        os.mkdir(self.root)
        self.there, self.full, self.done, self.wrong = {}, 0, 0, []

    def change(self, n):
        name = "%s/%d" % (self.root, n % 40)
        if n % 40 not in self.there:
            os.mkdir(name)
            self.there[n % 40] = b""
        elif n % 5 == 0:
            os.rmdir(name)
            del self.there[n % 40]
        else:
            value = b"%d " % n * (1 + n % 700)
            os.setxattr(name, "user.x", value)
            self.there[n % 40] = value
        if n % 97 == 0:
            fd = os.open(self.root, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def run(self):
        n = self.number * 7
        while time.monotonic() < self.until:
            n += 1
            try:
                self.change(n)
                self.done += 1
            except OSError as e:
                self.full += 1
                if e.errno != errno.ENOSPC:
                    self.wrong.append(repr(e))
                    return

    def check(self, t):
        t.eq(self.wrong, [])
        t.eq({int(x) for x in os.listdir(self.root)}, set(self.there))
        for k, v in self.there.items():
            name = "%s/%d" % (self.root, k)
            t.eq(os.getxattr(name, "user.x") if os.listxattr(name) else b"", v)


def log_rolls_on_a_full_disk(t, mkfs, megabytes, must_be_full=True):
    """The disk fills and empties again and again while four threads make the log roll; nobody sees anything but ENOSPC."""
    image, disk = t.path("image"), t.dir("disk")
    t.run(["truncate", "-s", "%dM" % megabytes, image])
    t.run(mkfs + [image])
    t.run(["mount", "-o", "loop", image, disk])
    t.finally_(lambda: subprocess.run(["umount", "-l", disk], check=False))
    m = Mount(t, t.tree(SOURCE), store=None)
    shutil.copytree(m.store, disk + "/store")
    m.store = disk + "/store"
    m.start()
    fillers = [Filler(m.mnt, i, time.monotonic() + 8) for i in range(4)]
    for x in fillers:
        x.start()
    while any(x.is_alive() for x in fillers):
        subprocess.run(["dd", "if=/dev/zero", "of=" + disk + "/rest", "bs=64k"], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["dd", "if=/dev/zero", "of=" + disk + "/rest2", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
        time.sleep(0.7)
        for name in ("rest2", "rest"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(disk + "/" + name)
        time.sleep(0.3)
    for x in fillers:
        x.join()
    t.eq(m.process.poll(), None, "it lives\n" + m.log()[-2000:])
    print("# %d changes, %d of them refused" % (sum(x.done + x.full for x in fillers), sum(x.full for x in fillers)))
    for x in fillers:
        x.check(t)
    t.ok(sum(x.full for x in fillers) > 0 or not must_be_full, "the log never was without room")
    m.remount(kill=True)
    for x in fillers:
        x.check(t)
    m.umount()
    subprocess.run(["dd", "if=/dev/zero", "of=" + disk + "/rest", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
    m.start()  # a full disk does not keep anybody from what is there
    for x in fillers:
        x.check(t)
    os.unlink(disk + "/rest")

    def made():
        with contextlib.suppress(OSError):
            os.mkdir(m.mnt + "/room again")
            return True
    wait_until(made, what="space to be free again", interval=0.1)
    m.remount(kill=True)
    t.ok(os.path.isdir(m.mnt + "/room again"))
    m.umount()


@test(needs="fuse root loop", timeout=300)
def a_log_rolls_on_a_full_ext4(t):
    log_rolls_on_a_full_disk(t, ["mkfs.ext4", "-q", "-m", "0"], 48)


@test(needs="fuse root loop mkfs.btrfs", timeout=300)
def a_log_rolls_on_a_full_btrfs(t):
    log_rolls_on_a_full_disk(t, ["mkfs.btrfs", "-q"], 200, must_be_full=False)  # it keeps some room for itself


@test(needs="fuse root loop mkfs.xfs", timeout=300)
def a_log_rolls_on_a_full_xfs(t):
    log_rolls_on_a_full_disk(t, ["mkfs.xfs", "-q"], 320)


@contextlib.contextmanager
def t_raises_nospace(t):
    try:
        yield
    except OSError as e:
        t.eq(e.errno, errno.ENOSPC)
    else:
        raise Failure("the disk is never full")


main()
