#!/usr/bin/env python3
"""Open files, their contents and what several processes see of them: what the model test has not in its alphabet."""
import ctypes
import fcntl
import hashlib
import mmap
import struct

from mountlib import Mount
from orchtest import *

SOURCE = {"a": b"base a", "dir/b": b"base b" * 1000, "exe": b"#!/bin/sh\necho hi\n", "big": b"0123456789abcdef" * 65536}
LIBC = ctypes.CDLL(None, use_errno=True)


def put(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def both(function):
    """A test of both ways that data can take."""
    def with_passthrough(t):
        m = Mount(t, t.tree(SOURCE))
        m.start()
        t.match(m.log(), "data=passthrough")
        function(t, m)

    def through_the_process(t):
        m = Mount(t, t.tree(SOURCE), args=["--no-passthrough"])
        m.start()
        t.match(m.log(), "data=process")
        function(t, m)
    with_passthrough.__name__ = function.__name__
    through_the_process.__name__ = function.__name__ + "_through_the_process"
    test(needs="fuse root passthrough")(with_passthrough)
    test(needs="fuse root")(through_the_process)
    return function


def as_nobody(function):
    """Runs function in a child without privilege; true when it succeeded."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([3, 4])
            os.setgid(65534)
            os.setuid(65534)
            function()
            os._exit(0)
        except BaseException as e:  # noqa: BLE001  (the child must not go on)
            print("# child: %r" % e, flush=True)
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


@test(needs="fuse root")
def a_foreign_writer_takes_the_set_id_bits_away(t):
    for args in (["--allow-other"], ["--allow-other", "--no-passthrough"]):
        m = Mount(t, t.tree(SOURCE), args=args)
        m.start()
        check_set_ids(t, m)


def check_set_ids(t, m):
    os.chmod(m.mnt, 0o755)
    def append():
        fd = os.open(m.mnt + "/a", os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"x")
        os.close(fd)
    changes = {"append": append, "truncate": lambda: os.truncate(m.mnt + "/a", 3),
               "open to truncate": lambda: os.close(os.open(m.mnt + "/a", os.O_WRONLY | os.O_TRUNC))}
    for what, change in changes.items():
        # without the group's x the bit is no program's: who is of the group leaves it (4 is a group of nobody's)
        for gid, before, after in ((0, 0o4777, 0o777), (0, 0o2777, 0o777), (0, 0o2767, 0o767), (4, 0o2767, 0o2767),
                                   (65534, 0o6767, 0o2767), (0, 0o6777, 0o777)):
            os.chown(m.mnt + "/a", 0, gid)
            os.chmod(m.mnt + "/a", before)
            t.ok(as_nobody(change), what)
            t.eq(oct(os.stat(m.mnt + "/a").st_mode & 0o7777), oct(after), what)
            os.chmod(m.mnt + "/a", before)
            change()
            t.eq(oct(os.stat(m.mnt + "/a").st_mode & 0o7777), oct(before), what + " by root")
    os.chmod(m.mnt + "/a", 0o6755)
    os.chown(m.mnt + "/a", 1, 1)
    t.eq(oct(os.stat(m.mnt + "/a").st_mode & 0o7777), oct(0o755), "chown")
    os.chmod(m.mnt + "/a", 0o6755)
    os.chown(m.mnt + "/a", -1, -1)
    t.eq(oct(os.stat(m.mnt + "/a").st_mode & 0o7777), oct(0o755), "chown to nobody")
    os.chmod(m.mnt + "/a", 0o666)
    os.seteuid(65534)  # who has it open may write whatever it became meanwhile
    try:
        fd = os.open(m.mnt + "/a", os.O_WRONLY)
        os.seteuid(0)
        os.chmod(m.mnt + "/a", 0o4777)
        os.seteuid(65534)
        t.eq(os.write(fd, b"x"), 1)
    finally:
        os.seteuid(0)
    os.close(fd)
    os.chmod(m.mnt + "/dir", 0o6755)
    os.chown(m.mnt + "/dir", 1, 1)
    t.eq(oct(os.stat(m.mnt + "/dir").st_mode & 0o7777), oct(0o6755), "chown of a folder")


@test(needs="fuse root")
def a_change_of_group_takes_the_bit_of_other_files_too(t):
    m = Mount(t, t.tree(SOURCE), args=["--allow-other"])
    m.start()
    for root in (m.mnt, t.tmp):
        os.chmod(root, 0o755)
        for gid, after in ((0, 0o666), (4, 0o2666)):  # 4 is one of nobody's groups
            os.mkfifo(root + "/fifo")
            os.chown(root + "/fifo", 65534, gid)
            os.chmod(root + "/fifo", 0o2666)
            t.ok(as_nobody(lambda root=root: os.chown(root + "/fifo", -1, 3)))
            t.eq(oct(os.stat(root + "/fifo").st_mode & 0o7777), oct(after), root)
            os.unlink(root + "/fifo")


# Who is asked for is told by no number: the kernel asks for CAP_FSETID in its first user namespace.
WRITERS = {"root": [], "root without CAP_FSETID": ["setpriv", "--bounding-set", "-fsetid"],
           "a user": ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"],
           "a user with CAP_FSETID": ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups",
                                      "--inh-caps", "+fsetid", "--ambient-caps", "+fsetid"],
           "root of another user namespace": ["unshare", "-Ur"]}


@test(needs="fuse root userns")
def set_id_bits_stay_with_the_privilege_that_ext4_asks_for(t):
    for args in (["--allow-other"], ["--allow-other", "--no-passthrough"]):
        m = Mount(t, t.tree(SOURCE), args=args)
        m.start()
        os.chmod(m.mnt, 0o755)
        with open(t.path("a"), "w"):
            pass
        kept = {}
        for who, prefix in WRITERS.items():
            for script in ("echo x >> %s", "echo x > %s", "truncate -s 2 %s"):
                modes = []
                for path in (t.path("a"), m.mnt + "/a"):
                    os.chmod(path, 0o6777)
                    t.run(prefix + ["sh", "-c", script % path])
                    modes.append(oct(os.stat(path).st_mode & 0o7777))
                t.eq(modes[1], modes[0], "%s: %s" % (who, script))
                kept.setdefault(who, set()).add(modes[1])
        t.eq([x for x in kept if kept[x] == {"0o6777"}], ["root", "a user with CAP_FSETID"])


@both
def attributes_have_names(t, m):
    os.setxattr(m.mnt + "/a", "user.x", b"1")
    t.raises(errno.EINVAL, os.getxattr, m.mnt + "/a", "user.")
    t.raises(errno.EINVAL, os.setxattr, m.mnt + "/a", "user.", b"1")
    t.raises(errno.EINVAL, os.removexattr, m.mnt + "/a", "user.")
    t.raises(errno.EOPNOTSUPP, os.setxattr, m.mnt + "/a", "trusted.x", b"1")
    t.eq(os.listxattr(m.mnt + "/a"), ["user.x"])


@both
def an_unlinked_file_lives_until_its_last_close(t, m):
    for name in ("a", "new"):
        if name == "new":
            put(m.mnt + "/new", b"base a")
        f = open(m.mnt + "/" + name, "r+b", buffering=0)
        g = open(m.mnt + "/" + name, "rb", buffering=0)
        os.unlink(m.mnt + "/" + name)
        t.eq(os.fstat(f.fileno()).st_nlink, 0)
        f.write(b"BASE")
        t.eq(g.read(), b"BASE a")
        os.chmod(f.fileno(), 0o600)
        t.eq(os.fstat(g.fileno()).st_mode & 0o777, 0o600)
        reopened = open("/proc/self/fd/%d" % f.fileno(), "rb")
        t.eq(reopened.read(), b"BASE a")
        for x in (f, g, reopened):
            x.close()
    spool = m.store + "/layers/1/spool"
    wait_until(lambda: not os.listdir(spool), what="the spool to be empty")


@both
def unlinked_open_files_are_gone_after_a_kill(t, m):
    f = open(m.mnt + "/x", "wb", buffering=0)
    f.write(b"1" * 100)
    os.unlink(m.mnt + "/x")
    put(m.mnt + "/y", b"2")
    m.kill()
    f.close()
    m.start()
    wait_until(lambda: len(os.listdir(m.store + "/layers/1/spool")) == 1, what="one file in the spool")
    t.eq(get(m.mnt + "/y"), b"2")


@both
def rename_over_an_open_file(t, m):
    f = open(m.mnt + "/a", "rb")
    put(m.mnt + "/n", b"new")
    os.rename(m.mnt + "/n", m.mnt + "/a")
    t.eq(get(m.mnt + "/a"), b"new")
    t.eq(f.read(), b"base a")
    t.eq(os.fstat(f.fileno()).st_nlink, 0)
    f.close()


@both
def a_reader_and_a_writer_of_a_base_file(t, m):
    """The reader keeps a consistent file, the name has the new content for everybody else at once."""
    ino = os.stat(m.mnt + "/a").st_ino
    r = open(m.mnt + "/a", "rb", buffering=0)
    view = mmap.mmap(r.fileno(), 6, prot=mmap.PROT_READ)
    with open(m.mnt + "/a", "r+b", buffering=0) as w:
        w.write(b"CHANGED")
        t.eq(get(m.mnt + "/a"), b"CHANGED")
        t.eq(os.stat(m.mnt + "/a").st_ino, ino)
        t.eq(os.stat(m.mnt + "/a").st_size, 7)
        t.eq(os.fstat(w.fileno()).st_size, 7)
        t.ok(os.pread(r.fileno(), 10, 0) in (b"base a", b"CHANGED"), "neither the old nor the new content")
        t.ok(view[:6] in (b"base a", b"CHANGE"))
    with open(m.mnt + "/a", "ab", buffering=0) as w:
        w.write(b"!")
    t.eq(get(m.mnt + "/a"), b"CHANGED!")
    os.fchmod(r.fileno(), 0o600)
    t.eq(os.stat(m.mnt + "/a").st_mode & 0o777, 0o600)
    os.truncate(m.mnt + "/a", 3)
    t.eq(get(m.mnt + "/a"), b"CHA")
    view.close()
    r.close()
    m.remount(kill=True)
    t.eq(get(m.mnt + "/a"), b"CHA")


@test(needs="fuse root passthrough strace", timeout=200)
def names_and_descriptors_the_moment_somebody_writes(t):
    """By its name it is the new file for all, by a reader's descriptor what he has: also before the kernel was told."""
    m = Mount(t, t.tree({"f%d" % i: b"old" for i in range(30)}))
    m.start()
    task = "/proc/%d/task" % m.process.pid
    notifier = wait_until(lambda: [x for x in os.listdir(task) if get("%s/%s/comm" % (task, x)) == b"orch-notifier\n"], what="its name")
    tracer = t.start(["strace", "-qq", "-o", "/dev/null", "-e", "trace=writev", "-e", "inject=writev:delay_enter=30ms",
                      "-p", notifier[0]])
    wait_until(lambda: b"TracerPid:\t0\n" not in get("/proc/%s/status" % notifier[0]), what="strace")
    wrong = []

    def by_name(path, there):
        there.wait()
        if get(path) != b"new":
            wrong.append(path)
    for i in range(30):
        path = m.mnt + "/f%d" % i
        with open(path, "rb") as reader:
            there = threading.Barrier(4)
            threads = [threading.Thread(target=by_name, args=(path, there)) for _ in range(3)]
            for x in threads:
                x.start()
            with open(path, "r+b", buffering=0) as f:
                f.write(b"new")
                there.wait()
                t.eq(get("/proc/self/fd/%d" % reader.fileno()), b"old", path)
            for x in threads:
                x.join()
    t.eq(wrong, [])
    tracer.send_signal(signal.SIGINT)
    tracer.wait(20)


@both
def a_descriptor_opened_before_somebody_wrote(t, m):
    """With passthrough it goes on with what was there; what it says of the file's attributes is so now."""
    a = m.mnt + "/a"
    path, reader = os.open(a, os.O_PATH), os.open(a, os.O_RDONLY)
    put(a, b"longer than it was")
    os.chmod(a, 0o640)
    os.link(a, m.mnt + "/link")
    for fd in (path, reader):
        wait_until(lambda fd=fd: stat.S_IMODE(os.fstat(fd).st_mode) == 0o640, what="the mode")
        t.eq(os.fstat(fd).st_nlink, 2)
        content = get("/proc/self/fd/%d" % fd)
        t.ok(content in (b"base a", b"longer than it was"), content)
    t.eq(os.fstat(reader).st_size, len(get("/proc/self/fd/%d" % reader)))
    os.close(reader)
    t.eq(get("/proc/self/fd/%d" % path), b"longer than it was")
    put("/proc/self/fd/%d" % path, b"!", "ab")
    t.eq((get(a), os.fstat(path).st_size), (b"longer than it was!", 19))
    m.ok("seal", layer=2)
    put("/proc/self/fd/%d" % path, b"?", "ab")
    t.eq(get(a), b"longer than it was!?")
    os.truncate("/proc/self/fd/%d" % path, 2)
    os.utime("/proc/self/fd/%d" % path, (5, 5))
    os.unlink(a)
    os.unlink(m.mnt + "/link")
    t.eq((os.fstat(path).st_size, os.fstat(path).st_mtime, os.fstat(path).st_nlink), (2, 5, 0))
    os.close(path)
    m.remount(kill=True)
    t.ok(not os.path.exists(a))


@both
def truncation_of_a_base_file_that_is_read(t, m):
    r = open(m.mnt + "/dir/b", "rb", buffering=0)
    os.truncate(m.mnt + "/dir/b", 0)
    t.eq(get(m.mnt + "/dir/b"), b"")
    r2 = open(m.mnt + "/big", "rb", buffering=0)
    os.truncate(m.mnt + "/big", 100000)
    t.eq(len(get(m.mnt + "/big")), 100000)
    r3 = open(m.mnt + "/a", "rb", buffering=0)
    put(m.mnt + "/a", b"again")
    t.eq(get(m.mnt + "/a"), b"again")
    for x in (r, r2, r3):
        x.close()


@both
def other_names_of_a_copied_file_follow(t, m):
    src = t.tree({"x": b"one file"})
    os.link(src + "/x", src + "/y")
    os.mkdir(src + "/d")
    os.link(src + "/x", src + "/d/z")
    h = Mount(t, src, args=m.args)
    h.start()
    names = ["/x", "/y", "/d/z"]
    for n in names:
        t.eq(os.stat(h.mnt + n).st_nlink, 3)
    r = open(h.mnt + "/y", "rb")
    put(h.mnt + "/x", b"!", "ab")
    for n in names:
        wait_until(lambda n=n: get(h.mnt + n) == b"one file!", what="the new content of " + n)
    t.eq(len({os.stat(h.mnt + n).st_ino for n in names}), 1)
    r.close()
    os.unlink(h.mnt + "/y")
    h.remount(kill=True)
    t.eq([os.stat(h.mnt + n).st_nlink for n in ("/x", "/d/z")], [2, 2])
    put(h.mnt + "/d/z", b"?", "ab")
    t.eq(get(h.mnt + "/x"), b"one file!?")


@both
def mappings_see_writes_and_files_see_mappings(t, m):
    put(m.mnt + "/map", b"\0" * 8192)
    with open(m.mnt + "/map", "r+b", buffering=0) as f:
        view = mmap.mmap(f.fileno(), 8192)
        before = os.fstat(f.fileno()).st_mtime_ns
        view[4096:4099] = b"abc"
        view.flush()
        t.eq(os.pread(f.fileno(), 3, 4096), b"abc")
        t.eq(get(m.mnt + "/map")[4096:4099], b"abc")
        os.pwrite(f.fileno(), b"xyz", 10)
        t.eq(view[10:13], b"xyz")
        view.close()
    wait_until(lambda: os.stat(m.mnt + "/map").st_mtime_ns > before, what="the mtime to move")
    with open(m.mnt + "/big", "r+b") as f:  # private mapping of a base file
        view = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
        view[0:1] = b"X"
        t.eq(get(m.mnt + "/big")[:1], b"0")
        view.close()


@both
def times_move_by_stores_through_a_mapping(t, m):
    """While its descriptor is open; after it is closed, at the next open."""
    put(m.mnt + "/map", b"\0" * 8192)
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    fd = os.open(m.mnt + "/map", os.O_RDWR)
    at = LIBC.mmap(None, 8192, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, 0)  # Python's own keeps a descriptor

    def moved(before, then):
        ctypes.memset(at, 1, 10)
        LIBC.msync(ctypes.c_void_p(at), 8192, 4)  # written back: the next store is one that the file system sees
        wait_until(lambda: then() > before, what="the mtime to move")
    moved(os.fstat(fd).st_mtime_ns, lambda: os.stat(m.mnt + "/map").st_mtime_ns)
    moved(os.fstat(fd).st_mtime_ns, lambda: os.fstat(fd).st_mtime_ns)
    os.close(fd)

    def opened():
        with open(m.mnt + "/map", "rb") as f:
            return os.fstat(f.fileno()).st_mtime_ns
    for _ in range(2):
        moved(os.stat(m.mnt + "/map").st_mtime_ns, opened)
    LIBC.munmap(ctypes.c_void_p(at), 8192)


@both
def a_file_without_a_name_gets_one(t, m):
    try:
        fd = os.open(m.mnt, os.O_TMPFILE | os.O_RDWR, 0o640)
    except OSError as e:
        if e.errno == errno.EOPNOTSUPP:
            skip("tmpfile", "libfuse without O_TMPFILE")
        raise
    os.write(fd, b"data")
    t.eq(os.fstat(fd).st_nlink, 0)
    follow = 0x400
    t.eq(LIBC.linkat(-100, b"/proc/self/fd/%d" % fd, -100, os.fsencode(m.mnt + "/named"), follow), 0, "linkat")
    t.eq(os.fstat(fd).st_nlink, 1)
    os.close(fd)
    fd = os.open(m.mnt, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"lost")
    os.close(fd)
    m.remount(kill=True)
    t.eq(get(m.mnt + "/named"), b"data")
    wait_until(lambda: len(os.listdir(m.store + "/layers/1/spool")) == 1, what="one file in the spool")


@both
def programs_run_and_can_not_be_written_meanwhile(t, m):
    shutil.copy("/bin/sleep", m.mnt + "/sleep")
    os.chmod(m.mnt + "/exe", 0o755)
    t.eq(t.run([m.mnt + "/exe"]).stdout, "hi\n")
    p = t.start([m.mnt + "/sleep", "30"])
    wait_until(lambda: os.readlink("/proc/%d/exe" % p.pid).startswith(m.mnt), what="exec")
    t.raises(errno.ETXTBSY, open, m.mnt + "/sleep", "r+b")
    p.kill()
    p.wait()
    put(m.mnt + "/sleep", b"", "r+b")
    src = t.dir("programs")
    shutil.copy("/bin/sleep", src)
    h = Mount(t, src, args=m.args)  # a program of the base
    h.start()
    sleep = h.mnt + "/sleep"
    p = t.start([sleep, "30"])
    wait_until(lambda: os.readlink("/proc/%d/exe" % p.pid).startswith(h.mnt), what="exec")
    t.raises(errno.ETXTBSY, open, sleep, "r+b")
    t.raises(errno.ETXTBSY, os.truncate, sleep, 0)
    put(h.mnt + "/new", b"another")
    os.rename(h.mnt + "/new", sleep)  # which is how a running program is replaced
    put(sleep, b"!", "ab")
    p.kill()
    p.wait()
    t.eq(get(sleep), b"another!")


@both
def holes_and_allocations(t, m):
    with open(m.mnt + "/sparse", "w+b", buffering=0) as f:
        os.pwrite(f.fileno(), b"x" * 4096, 10 << 20)
        t.eq(os.lseek(f.fileno(), 0, os.SEEK_DATA), 10 << 20)
        t.eq(os.lseek(f.fileno(), 10 << 20, os.SEEK_HOLE), (10 << 20) + 4096)
        t.ok(os.stat(m.mnt + "/sparse").st_blocks * 512 < 1 << 20, "it takes the disk of its data")
        os.posix_fallocate(f.fileno(), 0, 12 << 20)
        t.eq(os.stat(m.mnt + "/sparse").st_size, 12 << 20)
        t.ok(os.stat(m.mnt + "/sparse").st_blocks * 512 >= 12 << 20)
        libc_punch(t, f.fileno(), 10 << 20, 4096)
        t.eq(os.pread(f.fileno(), 4, 10 << 20), b"\0" * 4)


@both
def what_a_mapping_stored_is_data(t, m):
    with open(m.mnt + "/sparse", "w+b", buffering=0) as f:
        f.truncate(1 << 20)
        view = mmap.mmap(f.fileno(), 1 << 20)
        for at in (0, 500000, 700000):
            view[at:at + 3] = b"new"
            t.eq(os.lseek(f.fileno(), at, os.SEEK_DATA), at)
            t.eq(os.lseek(f.fileno(), at + 10000, os.SEEK_HOLE), at + 10000)
        with open(m.mnt + "/sparse", "rb") as g:
            t.eq(os.lseek(g.fileno(), 400000, os.SEEK_DATA) // 4096, 500000 // 4096)
        t.run(["cp", "--sparse=auto", m.mnt + "/sparse", m.mnt + "/copy"])
        t.eq(get(m.mnt + "/copy"), view[:])
        view.close()


def libc_punch(t, fd, at, length):
    r = LIBC.fallocate(fd, 3, ctypes.c_long(at), ctypes.c_long(length))
    t.eq(r, 0, "fallocate PUNCH_HOLE")


@both
def contents_are_copied_inside(t, m):
    with open(m.mnt + "/big", "rb") as a, open(m.mnt + "/copy", "wb") as b:
        left = os.stat(m.mnt + "/big").st_size
        while left > 0:
            n = os.copy_file_range(a.fileno(), b.fileno(), left)
            t.ok(n > 0, "nothing copied")
            left -= n
    t.eq(get(m.mnt + "/copy"), get(m.mnt + "/big"))
    t.run(["cp", "--sparse=always", m.mnt + "/big", m.mnt + "/copy2"])
    t.run(["cmp", m.mnt + "/big", m.mnt + "/copy2"])


@both
def several_append_at_once(t, m):
    script = "for i in $(seq 500); do echo $1$i; done >> \"$2\""
    children = [t.start(["sh", "-c", script, "sh", x * 20, m.mnt + "/log"]) for x in "abcd"]
    for c in children:
        t.eq(c.wait(), 0)
    lines = get(m.mnt + "/log").decode().split()
    t.eq(sorted(lines), sorted(x * 20 + str(i) for x in "abcd" for i in range(1, 501)))


@both
def locks_are_between_processes(t, m):
    put(m.mnt + "/lock", b"")
    for lock in ("flock", "lockf"):
        with open(m.mnt + "/lock", "r+b") as f:
            getattr(fcntl, lock)(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            other = "import fcntl,sys; fcntl.%s(open(sys.argv[1],'r+b'), fcntl.LOCK_EX|fcntl.LOCK_NB)" % lock
            t.ok(t.run([sys.executable, "-c", other, m.mnt + "/lock"], status=None).status != 0, lock)
        t.run([sys.executable, "-c", other, m.mnt + "/lock"])


@both
def an_empty_file_of_the_base_is_a_lock(t, m):
    h = Mount(t, t.tree({"lock": b""}), args=m.args)
    h.start()
    lock = h.mnt + "/lock"
    for i in range(2):  # of the base, then of a sealed layer
        a = os.open(lock, os.O_RDONLY)  # as flock(1) does
        fcntl.flock(a, fcntl.LOCK_EX)
        watch = Watch(t, lock)
        b = os.open(lock, os.O_RDWR)
        t.raises(errno.EAGAIN, fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(b, b"pid %d" % i)
        t.eq(([e for _, e, _ in watch.read()], os.read(a, 20)), (["open", "modify"], b"pid %d" % i))
        view = mmap.mmap(b, 5)
        view[:3] = b"PID"
        t.eq((os.pread(a, 20, 0), get(lock)), (b"PID %d" % i,) * 2)
        view.close()
        for fd in (a, b, watch.fd):
            os.close(fd)
        t.eq(get(lock), b"PID %d" % i)
        put(lock, b"other", "ab")
        t.eq(get(lock), b"PID %dother" % i)
        os.truncate(lock, 0)
        h.ok("seal", layer=2 + i)


@both
def fsync_says_when_it_is_there(t, m):
    with open(m.mnt + "/f", "wb") as f:
        f.write(b"1")
        f.flush()
        os.fsync(f.fileno())
        os.fdatasync(f.fileno())
    d = os.open(m.mnt + "/dir", os.O_RDONLY)
    os.fsync(d)
    os.close(d)
    t.run(["sync", "-f", m.mnt])


@test(needs="fuse root passthrough strace")
def who_writes_with_o_sync_has_a_durable_name(t):
    m = Mount(t, t.tree(SOURCE))
    trace = t.path("trace")
    m.start(wrap=["strace", "-f", "-qq", "-o", trace, "-e", "trace=fsync,fdatasync,msync"])
    for what, path, flags, synced in (("made", "new", os.O_CREAT | os.O_SYNC, True), ("made", "other", os.O_CREAT, False),
                                      ("copied up", "a", os.O_DSYNC, True), ("copied up", "big", 0, False),
                                      ("there", "new", os.O_DSYNC | os.O_APPEND, True)):
        put(m.mnt + "/before-" + path, b"its record is in the log, too")
        before = get(trace).count(b"sync(")
        fd = os.open(m.mnt + "/" + path, os.O_WRONLY | flags)
        made = get(trace).count(b"sync(") - before - (what == "copied up")  # a copy is synced in any case
        t.eq(made > 0, synced, "%s, %s: %d syncs" % (path, what, made))
        t.ok(made >= 0, "%s: its copy was not synced" % path)
        os.write(fd, b"12")
        os.close(fd)
    t.eq((get(m.mnt + "/new"), get(m.mnt + "/a"), get(m.mnt + "/other")), (b"1212", b"12se a", b"12"))


@both
def a_large_copy_holds_nobody_up(t, m):
    src = t.path("large")
    os.mkdir(src)
    block = os.urandom(1 << 20)
    with open(src + "/large", "wb") as f:
        for _ in range(300):
            f.write(block)
    h = Mount(t, src, args=m.args)
    h.start()
    ready = threading.Event()
    answers = []

    def append(i):
        with open(h.mnt + "/large", "ab", buffering=0) as f:  # the first has it copied, the others wait for that copy
            f.write(b"%d" % i)
        answers.append(i)
        ready.set()
    threads = [threading.Thread(target=append, args=(i,)) for i in range(3)]
    for x in threads:
        x.start()
    others = 0
    while not ready.is_set():
        put(h.mnt + "/other%d" % (others % 50), b"x")
        others += 1
    for x in threads:
        x.join(60)
    print("# %d files were written meanwhile" % others)  # one or two when they wait for the copy
    t.eq(sorted(answers), [0, 1, 2])
    t.ok(others > 2, "only %d files were written while one was copied" % others)
    t.eq(os.stat(h.mnt + "/large").st_size, (300 << 20) + 3)


@both
def who_waits_for_a_large_copy_can_be_killed(t, m):
    src = t.path("large")
    os.mkdir(src)
    block = os.urandom(1 << 20)
    with open(src + "/large", "wb") as f:
        for _ in range(300):
            f.write(block)
    h = Mount(t, src, args=m.args)
    h.start()
    spool = h.store + "/layers/1/spool/"

    def begun():
        return [x for x in os.listdir(spool) if os.stat(spool + x).st_size]
    for how in ("exec 3>>%s/large", "exec truncate -s 1 %s/large"):
        p = t.start(["sh", "-c", how % h.mnt])
        wait_until(begun, what="the copy to begin")
        p.kill()
        t.eq(p.wait(20), -signal.SIGKILL)
        wait_until(lambda: os.listdir(spool) == [], what="the copy to be given up")
        t.eq(os.stat(h.mnt + "/large").st_size, 300 << 20)
    killed = t.start(["sh", "-c", "exec 3>>%s/large" % h.mnt])
    wait_until(begun, what="the copy to begin")
    other = t.start(["sh", "-c", "trap : USR1; echo x >> %s/large" % h.mnt])
    wait_until(lambda: waits(other.pid), what="the second one to wait")
    other.send_signal(signal.SIGUSR1)  # ends nobody: open(2) of a file is not interrupted by it, as on ext4
    killed.kill()
    t.eq((killed.wait(20), other.wait(60)), (-signal.SIGKILL, 0))
    t.eq(os.stat(h.mnt + "/large").st_size, (300 << 20) + 2)


def waits(pid):
    return b"request_wait_answer" in get("/proc/%d/wchan" % pid)


@both
def files_of_more_than_4_gib(t, m):
    """Sparse: what is behind 4 GiB is reached by every way, also in a base file (ORCH_LARGE_FILE_GIB: its size)."""
    far = 5 << 30
    with open(m.mnt + "/far", "w+b", buffering=0) as f:
        os.pwrite(f.fileno(), b"far away", far)
        t.eq(os.stat(m.mnt + "/far").st_size, far + 8)
        t.eq(os.lseek(f.fileno(), 0, os.SEEK_DATA), far)
        t.eq(os.lseek(f.fileno(), 1 << 32, os.SEEK_HOLE), 1 << 32)
        view = mmap.mmap(f.fileno(), 8, offset=far)
        t.eq(view[:], b"far away")
        view[:3] = b"FAR"
        view.close()
        t.eq(os.pread(f.fileno(), 10, far), b"FAR away")
        os.copy_file_range(f.fileno(), f.fileno(), 8, offset_src=far, offset_dst=(1 << 32) - 4)
        t.eq(os.pread(f.fileno(), 8, (1 << 32) - 4), b"FAR away")
        libc_punch(t, f.fileno(), 0, 1 << 32)
        t.eq(os.pread(f.fileno(), 8, (1 << 32) - 4), b"\0\0\0\0away")
        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, far)
    put(m.mnt + "/far", b"!", "ab")
    os.truncate(m.mnt + "/far", far + 9)
    src = t.path("far")
    os.mkdir(src)
    size = (int(os.environ.get("ORCH_LARGE_FILE_GIB", "0")) << 30) or (1 << 32) + 4096
    with open(src + "/base", "wb") as f:
        f.truncate(size)
        f.seek(size - 4)
        f.write(b"last")
    h = Mount(t, src, args=m.args)
    h.start()
    with open(h.mnt + "/base", "rb") as f:
        t.eq(os.pread(f.fileno(), 10, size - 4), b"last")
    put(h.mnt + "/base", b"!", "ab")
    for x in (m, h):
        x.remount(kill=True)
    with open(h.mnt + "/base", "rb") as f:
        t.eq((os.pread(f.fileno(), 10, size - 4), os.fstat(f.fileno()).st_size), (b"last!", size + 1))
    with open(m.mnt + "/far", "rb") as f:
        t.eq((os.pread(f.fileno(), 20, far), os.fstat(f.fileno()).st_size), (b"FAR away!", far + 9))


def blocks_shared(t, kind, options):
    """A large file of the base costs no blocks when it is opened for writing: its private file has those of the object."""
    image, disk = t.path("image"), t.dir("disk")
    t.run(["truncate", "-s", "1G", image])
    t.run(["mkfs." + kind, "-q"] + options + [image])
    t.run(["mount", "-o", "loop", image, disk])
    src = t.path("src")
    os.mkdir(src)
    put(src + "/large", os.urandom(64 << 20))
    for args in ([], ["--no-passthrough"]):
        m = Mount(t, args=args, store=disk + "/store" + "".join(args))
        m.snapshot = m.tool("store", m.store, src).strip()
        m.new_layer(1, 0)
        m.start()
        os.sync()
        before = os.statvfs(disk)
        put(m.mnt + "/large", b"!", "r+b")  # appending, XFS would make room for more
        os.sync()
        after = os.statvfs(disk)
        took = (before.f_bfree - after.f_bfree) * after.f_frsize
        t.ok(took < 16 << 20, "%d bytes were used on %s" % (took, kind))
        t.eq(get(m.mnt + "/large"), b"!" + get(src + "/large")[1:])
        t.run(["cp", m.mnt + "/large", m.mnt + "/copy"])  # by copy_file_range
        os.sync()
        took = (after.f_bfree - os.statvfs(disk).f_bfree) * after.f_frsize
        t.ok(took < 16 << 20, "%d bytes were used by a copy on %s" % (took, kind))
        t.run(["cmp", m.mnt + "/large", m.mnt + "/copy"])
        m.umount()
    t.run(["umount", disk])


@test(needs="fuse root loop mkfs.xfs", timeout=120)
def a_copy_shares_its_blocks_on_xfs(t):
    blocks_shared(t, "xfs", ["-m", "reflink=1"])


@test(needs="fuse root loop mkfs.btrfs", timeout=120)
def a_copy_shares_its_blocks_on_btrfs(t):
    blocks_shared(t, "btrfs", [])


class Watch:
    """inotify, which Python has not."""
    NAMES = {1: "access", 2: "modify", 4: "attrib", 8: "close_write", 16: "close", 32: "open", 64: "from", 128: "to",
             256: "create", 512: "delete", 1024: "delete_self", 2048: "move_self"}

    def __init__(self, t, *paths):
        self.fd = LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.paths = {LIBC.inotify_add_watch(self.fd, os.fsencode(p), 0xfff): os.path.basename(p) for p in paths}
        t.ok(self.fd >= 0 and -1 not in self.paths, "inotify")

    def read(self):
        """[(watched, event, name)] since the last time."""
        out = []
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return out
        while data:
            wd, mask, _, length = struct.unpack_from("iIII", data)
            name = data[16:16 + length].rstrip(b"\0").decode()
            out += [(self.paths[wd], self.NAMES[b], name) for b in self.NAMES if mask & b]
            data = data[16 + length:]
        return out


@both
def watchers_hear_what_is_done_through_the_mount(t, m):
    native = t.tree(SOURCE)
    watches = [Watch(t, root, root + "/a", root + "/dir") for root in (m.mnt, native)]
    roots = {os.path.basename(m.mnt): "root", os.path.basename(native): "root"}

    def same(what):
        got = [[(roots.get(w, w), e, n) for w, e, n in x.read()] for x in watches]
        t.eq(got[0], got[1], what)
        t.ok(got[0], "no event of " + what)
        return got[0]

    def each(what, change):
        for root in (m.mnt, native):
            change(root)
        return same(what)
    t.ok(("a", "modify", "") in each("a base file is written", lambda r: put(r + "/a", b"1", "ab")))
    each("and again", lambda r: put(r + "/a", b"2", "ab"))
    each("truncated", lambda r: os.truncate(r + "/a", 1))
    each("made", lambda r: put(r + "/new", b"3"))
    each("its mode", lambda r: os.chmod(r + "/a", 0o600))
    each("its time", lambda r: os.utime(r + "/a", (1, 1)))
    each("a link", lambda r: os.link(r + "/a", r + "/link"))
    each("moved", lambda r: os.rename(r + "/a", r + "/dir/a"))
    each("a folder", lambda r: os.mkdir(r + "/dir/sub"))
    each("over another", lambda r: os.rename(r + "/new", r + "/link"))
    each("unlinked", lambda r: os.unlink(r + "/link"))
    each("a folder goes", lambda r: os.rmdir(r + "/dir/sub"))
    each("a program writes", lambda r: subprocess.run(["sh", "-c", "echo x > %s/out" % r], check=True))
    m.ok("seal", layer=2)
    t.eq(watches[0].read(), [], "a seal is no event")
    each("written after a seal", lambda r: put(r + "/dir/a", b"4", "ab"))
    for w in watches:
        os.close(w.fd)


@both
def direct_io_reads_and_writes(t, m):
    buf = mmap.mmap(-1, 8192)
    buf.write(b"d" * 8192)
    fd = os.open(m.mnt + "/direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    t.eq(os.pwritev(fd, [buf], 0), 8192)
    t.eq(os.preadv(fd, [buf], 4096), 4096)
    os.close(fd)
    t.eq(get(m.mnt + "/direct"), b"d" * 8192)


def aio_write(fd, buffer, size, at):
    """io_submit and io_getevents of one write; libc has no names for them."""
    context, event = ctypes.c_ulong(0), ctypes.create_string_buffer(32)
    block = ctypes.create_string_buffer(struct.pack("<QIiHhIQQqQII", 0, 0, 0, 1, 0, fd, buffer, size, at, 0, 0, 0), 64)
    blocks = (ctypes.c_void_p * 1)(ctypes.addressof(block))
    if LIBC.syscall(206, 1, ctypes.byref(context)) < 0:
        raise OSError(ctypes.get_errno(), "io_setup")
    done = LIBC.syscall(209, context, 1, blocks) == 1 and LIBC.syscall(208, context, 1, 1, event, None) == 1
    result = struct.unpack("<QQqq", event.raw)[2] if done else -ctypes.get_errno()
    LIBC.syscall(207, context)
    return result


@both
def who_writes_past_the_cache_is_seen_in_it(t, m):
    size, end = 655360, threading.Event()
    buf = mmap.mmap(-1, size)
    at = ctypes.addressof(ctypes.c_char.from_buffer(buf))
    fd = os.open(m.mnt + "/aio", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    buf.write(b"\0" * size)
    t.eq(aio_write(fd, at, size, 0), size)

    def read():  # its pages may be filled before a write, and must not stay after it
        while not end.is_set():
            get(m.mnt + "/aio")
    readers = [threading.Thread(target=read) for _ in range(3)]
    for x in readers:
        x.start()
    try:
        for i in range(100):
            buf.seek(0)
            buf.write(bytes([i % 255 + 1]) * size)
            t.eq(aio_write(fd, at, size, 0), size)
            old = [n for n, x in enumerate(get(m.mnt + "/aio")[::4096]) if x != i % 255 + 1]
            t.eq(old, [], "pages that are old after write %d" % i)
    finally:
        end.set()
        for x in readers:
            x.join()
        os.close(fd)


def object_path(m, data):
    name = hashlib.sha256(data).hexdigest()
    return "%s/objects/%s/%s/%s" % (m.store, name[:2], name[2:4], name)


def damage(path, restore_mtime=False):
    """Two other bytes of the same file; returns what it was."""
    before, st = get(path), os.stat(path)
    os.chmod(path, 0o600)
    with open(path, "r+b") as f:
        f.write(b"XX")
    if restore_mtime:
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    return before, st


def mend(path, before, st):
    """What verify --repair and an import do: the bad file goes away, another one gets its name."""
    os.rename(path, path + ".quarantine")
    put(path + ".new", before)
    os.utime(path + ".new", ns=(st.st_atime_ns, st.st_mtime_ns))
    os.rename(path + ".new", path)


@both
def an_object_that_is_damaged_after_it_was_read(t, m):
    m.errors_expected = True
    for name in ("a", "big"):
        path = object_path(m, SOURCE[name])
        t.eq(get(m.mnt + "/" + name), SOURCE[name])
        was = damage(path)
        t.raises(errno.EIO, open, m.mnt + "/" + name, "rb")
        t.raises(errno.EIO, open, m.mnt + "/" + name, "r+b")
        t.match(m.log(), "content-unreadable.*" + os.path.basename(path))
        mend(path, *was)
        t.eq(get(m.mnt + "/" + name), SOURCE[name])
    os.utime(path)  # touched only: looked through again, and served
    t.eq(get(m.mnt + "/big"), SOURCE["big"])


@both
def an_object_that_is_damaged_while_it_is_open(t, m):
    m.errors_expected = True
    for name in ("a", "big"):
        path = object_path(m, SOURCE[name])
        with open(m.mnt + "/" + name, "rb") as f:
            was = damage(path)
            f.read()  # the kernel may keep what is wrong now
            t.raises(errno.EIO, open, m.mnt + "/" + name, "rb")
            mend(path, *was)
            t.raises(errno.EIO, open, m.mnt + "/" + name, "rb")
        t.match(m.log(), os.path.basename(path) + ".* replaced while it is open")
        wait_until(lambda: opens(m.mnt + "/" + name), what="the end of the last use")
        t.eq(get(m.mnt + "/" + name), SOURCE[name])


def opens(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return True
    except OSError:
        return False


@both
def an_object_that_rotted_is_replaced(t, m):
    """Nothing but the name tells: the mount must not keep the quarantined file."""
    path = object_path(m, SOURCE["a"])
    t.eq(get(m.mnt + "/a"), SOURCE["a"])
    mend(path, *damage(path, restore_mtime=True))
    t.eq(get(m.mnt + "/a"), SOURCE["a"])


main()
