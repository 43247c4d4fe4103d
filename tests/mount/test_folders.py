#!/usr/bin/env python3
"""Folders: large ones, ones that change while they are read, times, names, links, removed ones."""
from mountlib import Mount
from orchtest import *

SOURCE = {"a": b"1", "dir/b": b"2", "dir/deep/c": b"3"}


def put(path, data=b""):
    with open(path, "wb") as f:
        f.write(data)


# 1,000,000 by hand
ENTRIES = int(os.environ.get("ORCH_FOLDER_ENTRIES", "100000"))


@test(needs="fuse root", timeout=300 + ENTRIES // 1000)
def a_folder_of_100_000_entries(t):
    half = ENTRIES // 2
    src = t.path("big")
    os.mkdir(src)
    for i in range(half):
        put("%s/base%d" % (src, i))
    m = Mount(t, src)
    m.start()
    for i in range(half):
        os.mkdir("%s/new%d" % (m.mnt, i)) if i % 100 == 0 else os.mknod("%s/new%d" % (m.mnt, i), 0o600 | stat.S_IFIFO)
    for i in range(0, half, 10):
        os.unlink("%s/base%d" % (m.mnt, i))
    want = {"base%d" % i for i in range(half) if i % 10} | {"new%d" % i for i in range(half)}
    names = os.listdir(m.mnt)
    t.eq((len(names), set(names)), (len(want), want))
    t.eq(os.stat(m.mnt).st_nlink, 2 + half // 100 if ENTRIES <= 200000 else 1)  # docs/posix.md: unknown
    m.remount(kill=True)
    names = os.listdir(m.mnt)
    t.eq((len(names), set(names)), (len(want), want))


@test(needs="fuse root")
def a_listing_is_right_while_the_folder_changes(t):
    src = t.path("src")
    os.mkdir(src)
    for i in range(3000):
        put("%s/b%04d" % (src, i))
    m = Mount(t, src)
    m.start()
    for i in range(3000):
        put("%s/n%04d" % (m.mnt, i))
    stays = {x for x in os.listdir(m.mnt) if int(x[1:]) % 2}
    seen = []
    with os.scandir(m.mnt) as entries:
        for i, e in enumerate(entries):
            seen.append(e.name)
            if i % 7 == 0:  # changes of every kind, to entries that are not promised
                k = (i * 13) % 3000 & ~1
                for p in ("b", "n"):
                    try:
                        os.unlink("%s/%s%04d" % (m.mnt, p, k))
                    except FileNotFoundError:
                        pass
                put("%s/x%d" % (m.mnt, i))
                os.chmod("%s/b%04d" % (m.mnt, k | 1), 0o600)  # a base entry is recorded now
    kept = [x for x in seen if x in stays]
    t.eq(len(kept), len(set(kept)), "an entry is listed twice")
    t.eq(set(kept), stays, "an entry is not listed")


@test(needs="fuse root")
def who_renames_what_he_lists_comes_to_an_end(t):
    m = Mount(t, t.tree({"b%04d" % i: b"" for i in range(1000)}))
    m.start()
    for i in range(1000):
        put("%s/n%04d" % (m.mnt, i))
    m.ok("seal", layer=2)
    for i in range(1000):
        put("%s/o%04d" % (m.mnt, i))
    names = {"%s%04d" % (x, i) for x in "bno" for i in range(1000)}  # nobody lists before: the kernel would keep it
    for back in (True, False):
        seen = []
        with os.scandir(m.mnt) as entries:
            for e in entries:
                seen.append(e.name)
                if len(seen) > 7000:
                    break
                os.rename(m.mnt + "/" + e.name, m.mnt + "/x" + e.name)
                if back:
                    os.rename(m.mnt + "/x" + e.name, m.mnt + "/" + e.name)
        t.ok(len(seen) <= 7000, "the listing does not end")
        t.ok(names <= set(seen), "not listed: %s" % sorted(names - set(seen))[:5])
        put(m.mnt + "/b0000", b"the kernel does not keep the listing")


@test(needs="fuse root")
def rm_rf_of_what_is_being_listed(t):
    m = Mount(t, t.tree({"t/%d/%d/%d" % (i % 7, i % 11, i): b"x" for i in range(2000)}))
    m.start()
    for i in range(2000):
        put("%s/t/%d/n%d" % (m.mnt, i % 7, i))
    t.run(["rm", "-rf", m.mnt + "/t"])
    t.eq(os.listdir(m.mnt), [])
    m.remount()
    t.eq(os.listdir(m.mnt), [])


@test(needs="fuse root")
def times_and_link_counts_of_folders(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    d = m.mnt + "/dir"
    t.eq(os.stat(d).st_nlink, 3)

    def moves(change):
        before = os.stat(d)
        change()
        after = os.stat(d)
        t.ok(after.st_mtime_ns > before.st_mtime_ns and after.st_ctime_ns > before.st_ctime_ns, "times stay")
        return after
    t.eq(moves(lambda: os.mkdir(d + "/x")).st_nlink, 4)
    moves(lambda: put(d + "/f"))
    moves(lambda: os.rename(d + "/f", d + "/g"))
    moves(lambda: os.unlink(d + "/g"))
    t.eq(moves(lambda: os.rename(d + "/x", m.mnt + "/x")).st_nlink, 3)
    t.eq(moves(lambda: os.rename(m.mnt + "/x", d + "/x")).st_nlink, 4)
    t.eq(moves(lambda: os.rmdir(d + "/x")).st_nlink, 3)
    same = os.stat(d)
    put(d + "/b", b"other content")
    t.eq(os.stat(d).st_mtime_ns, same.st_mtime_ns)
    st = os.stat(m.mnt + "/a")
    os.chmod(m.mnt + "/a", 0o600)
    st2 = os.stat(m.mnt + "/a")
    t.eq(st2.st_mtime_ns, st.st_mtime_ns)
    t.ok(st2.st_ctime_ns > st.st_ctime_ns)
    for path in (m.mnt + "/a", d):  # of nothing: a change on ext4 too
        st = os.stat(path)
        os.chown(path, -1, -1)
        t.ok(os.stat(path).st_ctime_ns > st.st_ctime_ns, "chown(-1, -1)")
    for f in (d, m.mnt + "/a"):
        os.utime(f, ns=(-5 * 10**9 + 1, -86400 * 10**9 + 123456789))
        t.eq((os.stat(f).st_atime_ns, os.stat(f).st_mtime_ns), (-5 * 10**9 + 1, -86400 * 10**9 + 123456789))
    m.remount(kill=True)
    t.eq(os.stat(d).st_mtime_ns, -86400 * 10**9 + 123456789)
    t.eq(os.stat(m.mnt + "/a").st_mtime_ns, -86400 * 10**9 + 123456789)


@test(needs="fuse root")
def numbers_of_files_stay(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    put(m.mnt + "/new")
    names = ["/a", "/dir", "/dir/b", "/new", ""]
    before = [os.stat(m.mnt + n).st_ino for n in names]
    with open(m.mnt + "/dir/b", "ab") as f:
        f.write(b"x")
    os.chmod(m.mnt + "/a", 0o600)
    m.remount(kill=True)
    t.eq([os.stat(m.mnt + n).st_ino for n in names], before)
    put(m.mnt + "/newer")
    t.ok(os.stat(m.mnt + "/newer").st_ino not in before, "a number is used again")


@test(needs="fuse root")
def a_removed_folder_that_is_somebodys_own(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    os.mkdir(m.mnt + "/gone")
    fd = os.open(m.mnt + "/gone", os.O_RDONLY)
    os.rmdir(m.mnt + "/gone")
    t.eq(os.fstat(fd).st_nlink, 0)
    t.raises(errno.ENOENT, os.open, "x", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    t.eq(os.listdir(fd), [])
    os.close(fd)
    os.mkdir(m.mnt + "/gone")
    t.eq(os.listdir(m.mnt + "/gone"), [])


@test(needs="fuse root")
def names_of_every_kind(t):
    m = Mount(t)
    m.start()
    names = [b"x" * 255, b"\xff\xfe", "\u00e4 \n\t".encode(), b"a\\b", b"-rf", b"..."]
    root = os.fsencode(m.mnt)
    for n in names:
        put(root + b"/" + n, n)
    t.eq(sorted(os.listdir(root)), sorted(names))
    t.raises(errno.ENAMETOOLONG, put, root + b"/" + b"x" * 256)
    m.remount(kill=True)
    t.eq(sorted(os.listdir(root)), sorted(names))
    for n in names:
        with open(root + b"/" + n, "rb") as f:
            t.eq(f.read(), n)
    path = root
    for _ in range(15):
        path += b"/" + b"d" * 250
        os.mkdir(path)
    put(path + b"/f", b"deep")
    m.remount(kill=True)
    with open(path + b"/f", "rb") as f:
        t.eq(f.read(), b"deep")


@test(needs="fuse root")
def special_files(t):
    m = Mount(t)
    m.start()
    os.mkfifo(m.mnt + "/fifo")
    os.mknod(m.mnt + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind(m.mnt + "/sock")
    s.listen()
    c = socket.socket(socket.AF_UNIX)
    c.connect(m.mnt + "/sock")
    m_fifo = t.start(["sh", "-c", "cat < fifo > out"], cwd=m.mnt)
    put(m.mnt + "/fifo", b"through")
    t.eq(m_fifo.wait(), 0)
    with open(m.mnt + "/out", "rb") as f:
        t.eq(f.read(), b"through")
    t.raises(errno.EACCES, open, m.mnt + "/null", "rb")
    c.close()
    s.close()
    m.remount(kill=True)
    st = os.stat(m.mnt + "/null")
    t.eq((stat.S_ISCHR(st.st_mode), st.st_rdev), (True, os.makedev(1, 3)))
    t.ok(stat.S_ISFIFO(os.stat(m.mnt + "/fifo").st_mode) and stat.S_ISSOCK(os.stat(m.mnt + "/sock").st_mode))


@test(needs="fuse root")
def a_read_only_mount_changes_nothing(t):
    m = Mount(t, t.tree(SOURCE), args=["--read-only"])
    m.start()
    with open(m.mnt + "/dir/b", "rb") as f:
        t.eq(f.read(), b"2")
    t.raises(errno.EROFS, put, m.mnt + "/x")
    t.raises(errno.EROFS, os.unlink, m.mnt + "/a")
    t.eq(os.listdir(m.store + "/layers/1/spool"), [])
    m.umount()


main()
