#!/usr/bin/env python3
"""Seal, fork, commit (rebase) and the list of changes of a mount."""
import mmap
import random
import stat

from faults import Faults
from model import Model, compare, tree
from mountlib import Mount
from orchtest import *

SOURCE = {"a": b"base a", "dir/b": b"base b", "dir/deep/c": b"base c", "link": ("->", "a"), "big": b"x" * 300000,
          "old/gone": b"1", "old/moved": b"2"}


def put(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def fork(t, m, sealed, layer):
    """A second mount whose layer stands on a sealed one."""
    m.new_layer(layer, sealed)
    f = Mount(t, layer=layer, store=m.store, args=m.args)
    f.start()
    return f


def changes(m, since):
    out = m.tool("ctl", m.socket, "changes", "seq=%d" % since)
    lines = [json.loads(x) for x in out.splitlines() if x.startswith("{")]
    return {x["path"]: x["change"] for x in lines}, int(re.search(r"^seq=(\d+)", out, re.M).group(1))


@test(needs="fuse root")
def what_a_killed_seal_left_is_in_nobodys_way(t):
    m = Mount(t, t.tree(SOURCE))
    os.makedirs(m.store + "/layers/2.new/spool")
    put(m.store + "/layers/2.new/log.1", b"")
    m.start()
    m.ok("seal", layer=2)
    put(m.mnt + "/a", b"after")
    t.eq(sorted(os.listdir(m.store + "/layers")), ["1", "2"])
    m.remount(kill=True)
    t.eq(get(m.mnt + "/a"), b"after")


@test(needs="fuse root")
def a_seal_without_room_leaves_no_layer(t):
    m = Mount(t, t.tree(SOURCE))
    t.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "orch-test", m.store + "/layers"])
    m.new_layer(1, 0)
    m.start()
    with contextlib.suppress(OSError):
        put(m.mnt + "/fill", os.urandom(4 << 20))
    t.eq(int(m.ctl("seal", layer=2)["status"]), -errno.ENOSPC)
    t.eq(os.listdir(m.store + "/layers"), ["1"])
    os.unlink(m.mnt + "/fill")
    m.ok("seal", layer=2)
    m.umount()


@test(needs="fuse root")
def a_fork_has_the_state_of_the_seal(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    put(m.mnt + "/new", b"private")
    put(m.mnt + "/a", b" changed", "ab")
    os.rename(m.mnt + "/old/moved", m.mnt + "/dir/moved")
    os.unlink(m.mnt + "/old/gone")
    shutil.copytree(m.mnt, t.path("at_seal"), symlinks=True)
    r = m.ok("seal", layer=2)
    t.eq((r["sealed"], r["layer"], r["json"]), ("1", "2", "[]"))
    put(m.mnt + "/new", b" later", "ab")
    put(m.mnt + "/later", b"later")
    os.rmdir(m.mnt + "/old")
    f = fork(t, m, 1, 3)
    compare(f.mnt, t.path("at_seal"))
    put(f.mnt + "/new", b" in the fork", "ab")
    t.eq(get(m.mnt + "/new"), b"private later")
    t.eq(get(f.mnt + "/new"), b"private in the fork")
    before = tree(m.mnt), tree(f.mnt)
    m.remount(kill=True)
    f.remount(kill=True)
    t.eq((tree(m.mnt), tree(f.mnt)), before)
    t.eq(m.ok("hello")["layer"], "2")


@test(needs="fuse root")
def a_mount_of_the_sealed_layer_goes_on_in_its_successor(t):
    m = Mount(t)
    m.start()
    put(m.mnt + "/a", b"1")
    m.ok("seal", layer=7)
    put(m.mnt + "/b", b"2")
    m.remount()
    t.eq(m.ok("hello")["layer"], "7")
    t.eq((get(m.mnt + "/a"), get(m.mnt + "/b")), (b"1", b"2"))


@test(needs="fuse root")
def files_with_writers_go_on_and_are_named(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    a = open(m.mnt + "/log", "wb", buffering=0)
    a.write(b"before ")
    b = open(m.mnt + "/dir/b", "r+b", buffering=0)
    b.write(b"BASE")
    tmp = open(m.mnt + "/unlinked", "w+b", buffering=0)
    tmp.write(b"still here")
    os.unlink(m.mnt + "/unlinked")
    r = m.ok("seal", layer=2)
    t.eq(sorted(json.loads(r["json"])), ["dir/b", "log"])
    a.write(b"after")
    b.write(b" c")
    f = fork(t, m, 1, 3)
    t.eq((get(f.mnt + "/log"), get(f.mnt + "/dir/b")), (b"before ", b"BASE b"))
    t.eq((get(m.mnt + "/log"), get(m.mnt + "/dir/b")), (b"before after", b"BASE c"))
    tmp.seek(0)
    t.eq(tmp.read(), b"still here")
    put(m.mnt + "/log", b" appended", "ab")
    t.eq(get(m.mnt + "/log"), b"before after appended")
    for x in (a, b, tmp):
        x.close()
    m.remount(kill=True)
    t.eq(get(m.mnt + "/log"), b"before after appended")
    t.eq(get(f.mnt + "/log"), b"before ")
    # what is unlinked and closed leaves nothing behind
    wait_until(lambda: sorted(os.listdir(m.store + "/layers/2/spool")) != [] and
               len(os.listdir(m.store + "/layers/2/spool")) == 2, what="only the two files in the spool")


@test(needs="fuse root", timeout=300)
def more_writers_than_a_segment_of_the_log_holds(t):
    """The first transaction of the new layer is larger than 256 KiB, or what is pinned for it is."""
    for name, deep in (("many", False), ("deep", True)):
        m = Mount(t)
        m.start()
        os.chdir(m.mnt)
        files = []
        for i in range(1500 if deep else 900):
            if deep:
                os.mkdir("d" * 200)
                os.chdir("d" * 200)
            else:
                files.append(open("%0240d" % i, "wb", buffering=0))
                files[-1].write(b"before ")
        if deep:
            files.append(open("last", "wb", buffering=0))
            files[-1].write(b"before ")
            last = os.stat("last").st_ino
        os.chdir("/")
        m.ok("seal", layer=2)
        for f in files:
            f.write(b"after")
            os.fsync(f.fileno())
        put(m.mnt + "/new", b"new")
        inode = {f.fileno(): os.fstat(f.fileno()).st_ino for f in files}
        for f in files:
            f.close()
        f = fork(t, m, 1, 3)
        for kill in (False, True):
            m.remount(kill=kill)
            t.eq(get(m.mnt + "/new"), b"new")
            if not deep:
                t.eq({get("%s/%0240d" % (m.mnt, i)) for i in range(900)}, {b"before after"})
                t.eq({get("%s/%0240d" % (f.mnt, i)) for i in range(900)}, {b"before "})
        if deep:
            os.chdir(m.mnt)
            for i in range(1500):
                os.chdir("d" * 200)
            t.eq((get("last"), os.stat("last").st_ino), (b"before after", last))
            os.chdir("/")
        f.umount()
        m.umount()


@test(needs="fuse root faults", timeout=300)
def a_seal_that_can_not_record_its_open_files_loses_no_byte(t):
    """No memory at each step of a seal: it fails or it holds; what the writer was answered is there."""
    faults = Faults(t, "orch-mount")
    broken = 0
    for n in range(1, 400):
        m = Mount(t)
        m.errors_expected = True
        m.start(env=faults.env)
        with open(m.mnt + "/log", "wb", buffering=0) as f:
            f.write(b"before ")
            faults.arm("alloc", n)
            status = int(m.ctl("seal", layer=2)["status"])
            fired = faults.disarm()
            f.write(b"after")
        if "seal-not-recorded" in m.log() or "state-incomplete" in m.log():
            t.ok(status < 0, "a seal that holds nothing was answered as done")
            broken += 1
        m.kill()
        m.start()
        t.eq(get(m.mnt + "/log"), b"before after", "alloc:%d" % n)
        put(m.mnt + "/log", b" again", "ab")
        t.eq(get(m.mnt + "/log"), b"before after again", "alloc:%d" % n)
        m.umount()
        if not fired:
            break
    print("# %d allocations, %d broken seals" % (n, broken))
    t.ok(broken > 0, "no seal failed behind its instant")


@test(needs="fuse root passthrough")
def a_mapping_without_a_descriptor_is_not_sealed(t):
    m = Mount(t)
    m.start()
    put(m.mnt + "/map", b"." * 4096)
    with open(m.mnt + "/map", "r+b") as f:
        view = mmap.mmap(f.fileno(), 4096)
    view[:3] = b"one"
    m.ok("seal", layer=2)
    view[:3] = b"two"
    f = fork(t, m, 1, 3)
    t.eq(get(f.mnt + "/map")[:3], b"one")
    t.eq(get(m.mnt + "/map")[:3], b"two")
    view.close()


@test(needs="fuse root passthrough")
def a_writer_that_outlived_the_mount_process_is_found(t):
    """Its descriptor and its mapping write the private file itself; the next process's kernel need not know the file."""
    m = Mount(t, t.tree(SOURCE))
    m.start()
    os.mkdir(m.mnt + "/new")
    put(m.mnt + "/new/map", b"." * 4096)
    put(m.mnt + "/still", b"nobody writes it")
    m.remount()  # else the dead mount, which the writers keep, has it open
    with open(m.mnt + "/new/map", "r+b") as f:
        view = mmap.mmap(f.fileno(), 4096)
    log = open(m.mnt + "/dir/deep/c", "ab", buffering=0)
    log.write(b" 1")
    gone = open(m.mnt + "/new/gone", "ab", buffering=0)
    m.kill()
    m.start()
    log.write(b" 2")
    view[:3] = b"one"
    t.eq(sorted(json.loads(m.ok("seal", layer=2)["json"])), ["dir/deep/c", "new/gone", "new/map"])
    k = fork(t, m, 1, 10)
    log.write(b" 3")
    view[:3] = b"two"
    t.eq((get(k.mnt + "/dir/deep/c"), get(k.mnt + "/new/map")[:3]), (b"base c 1 2", b"one"))
    t.eq((get(m.mnt + "/dir/deep/c"), get(m.mnt + "/new/map")[:3]), (b"base c 1 2 3", b"two"))
    os.unlink(m.mnt + "/new/gone")
    t.eq(sorted(json.loads(m.ok("seal", layer=3)["json"])), ["dir/deep/c", "new/map"], "they are still there")
    log.write(b" 4")
    put(m.mnt + "/dir/deep/c", b" 5", "ab")
    t.eq(get(m.mnt + "/dir/deep/c"), b"base c 1 2 3 4 5")
    for x in (log, gone, view):
        x.close()
    t.eq(json.loads(m.ok("seal", layer=4)["json"]), [], "they are gone")
    before = tree(k.mnt), tree(m.mnt)
    m.remount(kill=True)
    t.eq((tree(k.mnt), tree(m.mnt)), before)
    t.eq(json.loads(m.ok("seal", layer=5)["json"]), [], "nobody outlived it")


@test(needs="fuse root passthrough")
def the_size_follows_a_writer_that_outlived_the_mount_process(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    log = open(m.mnt + "/log", "ab", buffering=0)
    log.write(b"x" * 1000)
    m.kill()
    m.start()
    t.eq(os.stat(m.mnt + "/log").st_size, 1000)
    for n in range(2, 5):
        log.write(b"y" * 1000)
        wait_until(lambda: os.stat(m.mnt + "/log").st_size == n * 1000, what="the size of what was written")
        m.ok("seal", layer=n)
        f = fork(t, m, n - 1, 10 + n)
        t.eq((os.stat(f.mnt + "/log").st_size, t.run(["cat", f.mnt + "/log"]).stdout), (n * 1000, t.run(["cat", m.mnt + "/log"]).stdout))
        f.umount()
    log.write(b"z" * 1000)
    log.close()
    m.ok("seal", layer=5)
    m.ok("rebase", snapshot=commit(t, m, 4, 100), layer=4)
    wait_until(lambda: os.stat(m.mnt + "/log").st_size == 5000, what="the whole size")
    t.eq(len(t.run(["cat", m.mnt + "/log"]).stdout), 5000)


@test(needs="fuse root")
def a_commit_tells_what_was_written_behind_the_kernels_back(t):
    """As by a writer of an earlier mount process who ended before anybody looked for him."""
    m = Mount(t)
    m.start()
    put(m.mnt + "/log", b"x" * 1000)
    put(m.mnt + "/recorded", b"x" * 1000)
    t.eq([os.stat(m.mnt + "/" + n).st_size for n in ("log", "recorded")], [1000, 1000])
    for name in spool(m, 1):
        put("%s/layers/1/spool/%s" % (m.store, name), b"y" * 500, "ab")
    m.ok("seal", layer=2)
    os.chmod(m.mnt + "/recorded", 0o600)
    m.ok("rebase", snapshot=commit(t, m, 1, 100), layer=1)
    wait_until(lambda: [os.stat(m.mnt + "/" + n).st_size for n in ("log", "recorded")] == [1500, 1500], what="the sizes of the snapshot")
    t.eq([len(t.run(["cat", m.mnt + "/" + n]).stdout) for n in ("log", "recorded")], [1500, 1500])


@test(needs="fuse root")
def a_commit_makes_the_snapshot_the_base(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    put(m.mnt + "/new", b"private")
    put(m.mnt + "/a", b" changed", "ab")
    os.makedirs(m.mnt + "/fresh/folder")
    put(m.mnt + "/fresh/folder/x", b"x")
    os.link(m.mnt + "/fresh/folder/x", m.mnt + "/dir/x2")
    os.rename(m.mnt + "/old", m.mnt + "/dir/older")
    open_file = open(m.mnt + "/new", "rb")
    m.ok("seal", layer=2)
    os.chmod(m.mnt + "/new", 0o600)
    put(m.mnt + "/fresh/folder/y", b"y")
    os.rename(m.mnt + "/fresh", m.mnt + "/dir/fresh2")
    put(m.mnt + "/a", b" twice", "ab")
    late = open(m.mnt + "/dir/x2", "rb")
    f = fork(t, m, 1, 3)
    snapshot = m.tool("commit", m.store, f.mnt).strip()
    f.umount()
    before = tree(m.mnt)
    inodes = {p: os.lstat(m.mnt + p).st_ino for p in before}
    seq = int(m.ok("hello")["seq"])
    m.ok("rebase", snapshot=snapshot, layer=1)
    t.eq(tree(m.mnt), before)
    t.eq(open_file.read(), b"private")
    open_file.close()
    put(m.mnt + "/dir/x2", b"!", "ab")  # while somebody reads it from where it was before the commit
    t.eq(get(m.mnt + "/dir/fresh2/folder/x"), b"x!")
    late.close()
    before = tree(m.mnt)
    put(m.mnt + "/after", b"after")
    os.unlink(m.mnt + "/after")
    shutil.rmtree(m.store + "/layers/1")
    t.eq(tree(m.mnt), before)
    m.layer = 2
    m.remount(kill=True)
    t.eq(tree(m.mnt), before)
    t.eq({p: os.lstat(m.mnt + p).st_ino for p in before}, inodes)
    h = m.ok("hello")
    t.eq((h["snapshot"], h["layer"]), (snapshot, "2"))
    t.ok(int(h["seq"]) > seq, "the change sequence goes on")
    t.eq(m.ctl("rebase", snapshot=snapshot, layer=1)["status"], "-16")


@test(needs="fuse root")
def changes_are_what_was_made_since(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    first, seq = changes(m, 0)
    t.eq(first, {})
    put(m.mnt + "/dir/deep/new", b"1")
    put(m.mnt + "/a", b"2", "ab")
    os.chmod(m.mnt + "/big", 0o600)
    os.unlink(m.mnt + "/old/gone")
    os.rename(m.mnt + "/old/moved", m.mnt + "/moved")
    put(m.mnt + "/passing", b"")
    os.unlink(m.mnt + "/passing")
    want = {"dir/deep/new": "created", "a": "modified", "big": "attributes", "old/gone": "removed",
            "old/moved": "removed", "moved": "created"}
    got, seq2 = changes(m, seq)
    t.eq(got, want)
    t.eq(changes(m, seq2)[0], {})
    m.ok("seal", layer=2)
    m.remount()
    t.eq(changes(m, seq)[0], want)
    t.eq(changes(m, seq2)[0], {})
    put(m.mnt + "/dir/deep/new", b"3")
    t.eq(changes(m, seq2)[0], {"dir/deep/new": "modified"})
    with open(m.mnt + "/a", "ab", buffering=0) as f:
        _, seq3 = changes(m, seq2)
        f.write(b"x")
    t.eq(changes(m, seq3)[0], {"a": "modified"})


@test(needs="fuse root", timeout=300)
def random_changes_between_seals_and_commits(t):
    m = Mount(t, t.tree(SOURCE))
    native = t.path("native")
    t.run(["cp", "-a", t.path("d1"), native])
    m.start()
    seed = random_seed()
    print("# seed %d" % seed)
    layer, below = 1, None
    for i in range(12):
        x = Model(m.mnt, native, seed + i)
        x.run(150)
        layer += 1
        m.ok("seal", layer=layer)
        y = Model(m.mnt, native, seed + 100 + i)
        y.run(60)
        if i % 3 == 2:
            m.layer = layer
            f = fork(t, m, layer - 1, 1000 + i)
            snapshot = m.tool("commit", m.store, f.mnt).strip()
            f.umount()
            r = m.ctl("rebase", snapshot=snapshot, layer=layer - 1)
            t.eq(r["status"], "0", str(r))
            m.snapshot = snapshot
        x.close_all()
        try:
            compare(m.mnt, native, "seed %d round %d" % (seed, i))
        except Failure:
            print("\n".join(map(str, x.trace[-100:] + ["SEAL"] + y.trace)))
            raise
        if i % 4 == 3:
            m.remount(kill=True)
            compare(m.mnt, native, "seed %d round %d remounted" % (seed, i))


def commit(t, m, sealed, layer):
    """The snapshot of base and layers up to a sealed one, made as the mount shows it: name spaces are the same."""
    f = fork(t, m, sealed, layer)
    snapshot = m.tool("commit", m.store, f.mnt).strip()
    f.umount()
    return snapshot


def facts(root):
    """What a file system must not change by itself, times and inode numbers too."""
    out = {}
    for path in tree(root, content=False):
        st = os.lstat(root + path)
        out[path] = (st.st_ino, st.st_mtime_ns, st.st_size if not stat.S_ISDIR(st.st_mode) else 0, st.st_mode)
    return out


def spool(m, layer):
    return sorted(os.listdir("%s/layers/%d/spool" % (m.store, layer)))


@test(needs="fuse root")
def a_commit_with_forks_since(t):
    """Files, folders, names and removals of three layers, of which the lowest is committed."""
    m = Mount(t, t.tree(dict(SOURCE, **{"both": b"both", "folder/x": b"x", "folder/y": b"y"})))
    m.start()
    put(m.mnt + "/in1", b"1")
    put(m.mnt + "/in1 gone in 2", b"1")
    put(m.mnt + "/in1 changed in 3", b"1")
    os.link(m.mnt + "/in1", m.mnt + "/dir/in1 too")
    os.unlink(m.mnt + "/old/gone")
    os.makedirs(m.mnt + "/new/deep")
    put(m.mnt + "/new/deep/f", b"f")
    put(m.mnt + "/both", b" in 1", "ab")
    m.ok("seal", layer=2)
    put(m.mnt + "/in2", b"2")
    os.unlink(m.mnt + "/in1 gone in 2")
    os.rename(m.mnt + "/new", m.mnt + "/dir/new2")
    shutil.rmtree(m.mnt + "/folder")
    os.mkdir(m.mnt + "/folder")
    put(m.mnt + "/folder/z", b"z")
    os.link(m.mnt + "/in2", m.mnt + "/folder/in2 too")
    os.chmod(m.mnt + "/in1", 0o600)
    put(m.mnt + "/gone in 3", b"2" * 5000)
    put(m.mnt + "/gone in 3, too", b"2" * 5000)
    put(m.mnt + "/both", b" and 2", "ab")
    os.unlink(m.mnt + "/a")
    m.ok("seal", layer=3)
    held = open(m.mnt + "/gone in 3", "rb")
    reader = open(m.mnt + "/in2", "rb")
    f = fork(t, m, 2, 30)
    os.unlink(m.mnt + "/gone in 3")
    os.unlink(m.mnt + "/gone in 3, too")
    time.sleep(0.2)  # the kernel forgets it
    os.rename(m.mnt + "/dir/new2/deep", m.mnt + "/deep3")
    put(m.mnt + "/in1 changed in 3", b"3", "ab")
    os.unlink(m.mnt + "/dir/b")
    put(m.mnt + "/in3", b"3")
    writer = open(m.mnt + "/in3", "ab", buffering=0)
    before, fork_before, seq = (tree(m.mnt), facts(m.mnt)), (tree(f.mnt), facts(f.mnt)), int(m.ok("hello")["seq"])
    listed = changes(m, seq)[0]
    m.ok("rebase", snapshot=commit(t, m, 1, 100), layer=1)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    t.eq(changes(m, seq)[0], listed)
    t.eq((held.read(), reader.read()), (b"2" * 5000, b"2"))
    r = m.ok("status")
    t.eq((json.loads(r["json"])["layers"], json.loads(r["json"])["parent"]), (1, 0))
    writer.write(b"4")
    t.eq(get(m.mnt + "/in3"), b"34")
    put(m.mnt + "/in2", b" after", "ab")
    reader.close()
    t.eq((get(m.mnt + "/folder/in2 too"), get(f.mnt + "/folder/in2 too")), (b"2 after", b"2"))
    held.close()
    writer.close()
    wait_until(lambda: not deleted(m), what="no descriptor of a removed file: %s" % deleted(m))
    t.eq((tree(f.mnt), facts(f.mnt)), fork_before)
    f.umount()
    for x in (1, 2):
        shutil.rmtree("%s/layers/%d" % (m.store, x))
    before = tree(m.mnt), facts(m.mnt)
    m.layer = 3
    m.remount(kill=True)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    wait_until(lambda: len(spool(m, 3)) == len([n for n in before[1] if get_or_none(m.mnt + n) is not None
                                                 and n.split("/")[-1] in ("in2", "z", "both", "in1 changed in 3", "in3")]),
               what="the private files in use, and no others, in the spool: %s" % spool(m, 3))


def deleted(m):
    """Descriptors of files that are nowhere any more."""
    folder = "/proc/%d/fd/" % m.process.pid
    return [os.readlink(folder + n) for n in os.listdir(folder)
            if stat.S_ISREG(os.stat(folder + n).st_mode) and os.stat(folder + n).st_nlink == 0]


def get_or_none(path):
    return get(path) if os.path.isfile(path) and not os.path.islink(path) else None


@test(needs="fuse root")
def changes_through_forks_and_commits(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    put(m.mnt + "/in1", b"1")
    os.chmod(m.mnt + "/old", 0o700)
    m.ok("seal", layer=2)
    _, seq1 = changes(m, 0)
    os.chmod(m.mnt + "/dir", 0o711)
    put(m.mnt + "/in2", b"2")
    put(m.mnt + "/in1", b" in 2", "ab")
    os.chmod(m.mnt + "/old/gone", 0o600)
    m.ok("seal", layer=3)
    _, seq2 = changes(m, seq1)
    put(m.mnt + "/dir/new", b"3")
    os.rename(m.mnt + "/in2", m.mnt + "/dir/in3")
    os.unlink(m.mnt + "/old/moved")
    want2 = {"dir/new": "created", "dir/in3": "created", "in2": "removed", "old/moved": "removed"}
    want1 = dict(want2, **{"dir": "attributes", "in1": "modified", "old/gone": "attributes"})
    for what in ("chain", "rebase", "flatten", "remount", "again"):
        if what == "rebase":
            m.ok("rebase", snapshot=commit(t, m, 1, 100), layer=1)
        elif what == "flatten":
            m.ok("seal", layer=4)
            m.ok("seal", layer=5)
            m.ok("flatten")
            m.layer = 5
        elif what == "remount":
            m.remount(kill=True)
        t.eq((changes(m, seq2)[0], changes(m, seq1)[0]), (want2, want1), what)
    _, seq3 = changes(m, seq2)
    t.ok(seq3 > seq2 > seq1)
    put(m.mnt + "/dir/new", b"4")
    t.eq(changes(m, seq3)[0], {"dir/new": "modified"})


@test(needs="fuse root")
def what_a_fork_shares_is_not_changed_through_the_source(t):
    """After a commit private files of later layers have a name in both; each way of changing one."""
    ways = {
        "write": lambda p: put(p, b"!", "r+b"),
        "append": lambda p: put(p, b"!", "ab"),
        "truncate": lambda p: os.truncate(p, 3),
        "empty": lambda p: os.truncate(p, 0),
        "O_TRUNC": lambda p: put(p, b"!"),
        "utime": lambda p: os.utime(p, ns=(5, 7 * 10**9)),
        "chmod": lambda p: os.chmod(p, 0o600),
        "fallocate": fallocate,
        "mmap": store,
        "xattr": lambda p: os.setxattr(p, "user.x", b"y"),
        "copy_range": copy_range,
        "ftruncate": lambda p: open_and(p, lambda fd: os.ftruncate(fd, 1)),
        "futimens": lambda p: open_and(p, lambda fd: os.utime(fd, ns=(5, 9 * 10**9))),
        "read_only_futimens": lambda p: open_and(p, lambda fd: os.utime(fd, ns=(5, 9 * 10**9)), os.O_RDONLY),
        "unlink": os.unlink,
    }
    for args in ([], ["--no-passthrough"]):
        m = Mount(t, t.tree(SOURCE), args=args)
        m.start()
        put(m.mnt + "/first", b"1")
        m.ok("seal", layer=2)
        for name in ways:
            put(m.mnt + "/" + name, b"content of " + name.encode())
        put(m.mnt + "/donor", b"donor")
        m.ok("seal", layer=3)
        f = fork(t, m, 2, 30)
        before = tree(f.mnt), facts(f.mnt)
        m.ok("rebase", snapshot=commit(t, m, 1, 100), layer=1)
        t.eq(os.stat("%s/layers/2/spool/%s" % (m.store, spool(m, 2)[0])).st_nlink, 2)
        for name, way in ways.items():
            old = facts(m.mnt).get("/" + name)
            way(m.mnt + "/" + name)
            t.ok(facts(m.mnt).get("/" + name) != old or name in ("chmod", "xattr", "fallocate", "mmap"), name)
        t.eq((tree(f.mnt), facts(f.mnt)), before)
        f.remount(kill=True)
        t.eq((tree(f.mnt), facts(f.mnt)), before)
        after = tree(m.mnt), facts(m.mnt)
        m.layer = 3
        m.remount(kill=True)
        t.eq((tree(m.mnt), facts(m.mnt)), after)
        m.umount()
        f.umount()


def open_and(path, f, flags=os.O_RDWR):
    fd = os.open(path, flags)
    try:
        f(fd)
    finally:
        os.close(fd)


def fallocate(path):
    open_and(path, lambda fd: os.posix_fallocate(fd, 0, 8192))


def store(path):
    def f(fd):
        with mmap.mmap(fd, 4) as view:
            view[:4] = b"MMAP"
    open_and(path, f)


def copy_range(path):
    with open(os.path.dirname(path) + "/donor", "rb") as donor:
        open_and(path, lambda fd: os.copy_file_range(donor.fileno(), fd, 5))


@test(needs="fuse root")
def a_seal_that_was_cut_short_shares_nothing_that_changes(t):
    """The sealed layer's name and the new one's lead to one file: times and truncation make a copy, too."""
    m = Mount(t)
    m.start()
    put(m.mnt + "/a", b"1234")
    put(m.mnt + "/b", b"1234")
    m.ok("seal", layer=2)
    put(m.mnt + "/a", b"5", "ab")
    put(m.mnt + "/b", b"5", "ab")
    m.umount()
    for name in spool(m, 2):
        os.link("%s/layers/2/spool/%s" % (m.store, name), "%s/layers/1/spool/9%s" % (m.store, name))
    m.layer = 2
    m.start()
    os.utime(m.mnt + "/a", ns=(1, 1))
    os.truncate(m.mnt + "/b", 1)
    t.eq((os.stat(m.mnt + "/a").st_mtime_ns, os.stat(m.mnt + "/b").st_size), (1, 1))
    for name in spool(m, 1):
        st = os.stat("%s/layers/1/spool/%s" % (m.store, name))
        if name.startswith("9"):
            t.eq((st.st_size, st.st_mtime_ns != 1), (5, True))


@test(needs="fuse root")
def what_snapshots_lack_stays(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    os.makedirs(m.mnt + "/run/deep")
    for name in ("pipe", "dir/pipe", "run/deep/pipe", "old/pipe", "gone", "replaced"):
        os.mkfifo(m.mnt + "/" + name, 0o640)
    os.mknod(m.mnt + "/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.link(m.mnt + "/pipe", m.mnt + "/dir/second")
    m.ok("seal", layer=2)
    os.unlink(m.mnt + "/gone")
    m.ok("seal", layer=3)
    os.unlink(m.mnt + "/replaced")
    put(m.mnt + "/replaced", b"file")
    os.rename(m.mnt + "/run", m.mnt + "/ran")
    shutil.rmtree(m.mnt + "/old")
    before = tree(m.mnt), facts(m.mnt)
    snapshot = commit(t, m, 1, 100)
    m.ok("rebase", snapshot=snapshot, layer=1)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    m.layer = 3
    m.remount(kill=True)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    os.unlink(m.mnt + "/dir/pipe")
    t.eq(os.stat(m.mnt + "/pipe").st_nlink, 2)


@test(needs="fuse root")
def a_listing_goes_on_through_a_commit(t):
    """No name is left out and none comes twice, whatever became of the layers while a folder was listed."""
    m = Mount(t, t.tree({"d/base%04d" % i: b"" for i in range(1000)}))
    m.start()
    names = {"base%04d" % i for i in range(1000)}
    layer = 1
    for round in range(3):
        for i in range(500):
            put(m.mnt + "/d/%d.%d" % (round, i), b"")
        names |= {"%d.%d" % (round, i) for i in range(500)}
        layer += 1
        m.ok("seal", layer=layer)
    with os.scandir(m.mnt + "/d") as a, os.scandir(m.mnt + "/d") as b:
        got = [[next(a).name for _ in range(300)], [next(b).name for _ in range(1900)]]
        # the kernel has read ahead; what it drops it asks for again
        os.unlink(m.mnt + "/d/" + got[0][0])
        put(m.mnt + "/d/late", b"")
        m.ok("rebase", snapshot=commit(t, m, layer - 2, 100), layer=layer - 2)
        got[0] += [next(a).name for _ in range(100)]
        layer += 1
        m.ok("seal", layer=layer)
        m.ok("flatten")
        got[0] += [x.name for x in a]
        got[1] += [x.name for x in b]
    for x in got:
        t.eq(len(x), len(set(x)), "a name twice")
        t.eq(names - set(x), set(), "left out")
    t.eq(set(os.listdir(m.mnt + "/d")), (names | {"late"}) - {got[0][0]})


@test(needs="fuse root", timeout=300)
def many_seals_cost_no_more(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    want = {}
    for i in range(2, 60):
        name = "f%d" % (i % 7)
        put(m.mnt + "/" + name, str(i).encode())
        want[name] = str(i).encode()
        if i % 5 == 0:
            os.mkdir(m.mnt + "/d%d" % i)
        m.ok("seal", layer=i)
    st = json.loads(m.ok("status")["json"])
    t.eq((st["layers"], st["layer"]), (59, 59))
    t.ok(st["strata"] <= 17, st)
    before = tree(m.mnt), facts(m.mnt)
    f = fork(t, m, 58, 1000)
    t.eq((tree(f.mnt), facts(f.mnt)), before)
    f.umount()
    m.ok("flatten", layer=40)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    st = json.loads(m.ok("status")["json"])
    t.eq((st["layers"], st["parent"]), (41, 40))
    m.layer = 59
    m.remount(kill=True)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    # a border that no stratum has any more: the mount has merged all sealed ones
    m.ok("rebase", snapshot=commit(t, m, 20, 1001), layer=20)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    st = json.loads(m.ok("status")["json"])
    t.eq((st["layers"], st["parent"], st["strata"]), (1, 0, 1))
    t.eq(int(m.ctl("flatten", layer=40)["status"]), -errno.ENOENT)
    m.ok("flatten")
    for x in os.listdir(m.store + "/layers"):
        if x != "59":
            shutil.rmtree(m.store + "/layers/" + x)
    m.remount(kill=True)
    t.eq((tree(m.mnt), facts(m.mnt)), before)
    t.eq({n: get(m.mnt + "/" + n) for n in want}, want)


@test(needs="fuse root")
def a_name_below_the_kept_layers_keeps_its_file(t):
    """Written and removed by one name above the border, while the other name was recorded below it."""
    m = Mount(t, t.tree(SOURCE))
    m.start()
    put(m.mnt + "/x", b"first")
    os.link(m.mnt + "/x", m.mnt + "/y")
    os.symlink("target", m.mnt + "/s")
    os.link(m.mnt + "/s", m.mnt + "/s2", follow_symlinks=False)
    m.ok("seal", layer=2)
    put(m.mnt + "/x", b"and second", "ab")
    os.unlink(m.mnt + "/x")
    os.unlink(m.mnt + "/s2")
    m.ok("seal", layer=3)
    put(m.mnt + "/z", b"")
    m.ok("seal", layer=4)
    m.ok("flatten", layer=1)

    def check():
        t.eq(get(m.mnt + "/y"), b"firstand second")
        t.eq((os.lstat(m.mnt + "/y").st_nlink, os.lstat(m.mnt + "/s").st_nlink), (1, 1))
        t.eq({"x", "s2"} & set(os.listdir(m.mnt)), set())
    m.layer = 4
    for kill in True, False:
        m.remount(kill=kill)
        check()
    m.ok("rebase", snapshot=commit(t, m, 1, 1000), layer=1)
    check()
    m.remount(kill=True)
    check()


@test(needs="fuse root")
def nothing_changed_needs_no_layer(t):
    m = Mount(t, t.tree(SOURCE))
    m.start()
    r = m.ok("seal", layer=2, flags=4)
    t.eq((r["sealed"], r["layer"], os.listdir(m.store + "/layers")), ("0", "1", ["1"]))
    get(m.mnt + "/a")
    os.listdir(m.mnt + "/dir")
    t.eq(m.ok("seal", layer=2, flags=4)["layer"], "1", "reading is no change")
    put(m.mnt + "/new", b"1")
    r = m.ok("seal", layer=2, flags=4)
    t.eq((r["sealed"], r["layer"], r["layers"]), ("1", "2", "2"))
    r = m.ok("seal", layer=3, flags=4)
    t.eq((r["sealed"], r["layer"], r["layers"]), ("1", "2", "2"))
    f = fork(t, m, 1, 30)
    t.eq(tree(f.mnt), tree(m.mnt))
    with open(m.mnt + "/a", "ab") as w:
        w.write(b"x")
        w.flush()
        r = m.ok("seal", layer=3, flags=4)
        t.eq((r["sealed"], r["layer"]), ("2", "3"))
        t.eq(m.ok("seal", layer=4, flags=4)["sealed"], "3", "a writer is no state of rest")
    t.eq(m.ok("seal", layer=5)["sealed"], "4", "asked without the flag it always seals")


@test(needs="fuse root faults", timeout=300)
def a_commit_that_fails_halfway(t):
    """ORCH_FAULT_TRIES (5) places for each kind of failure: the workspace is what it was, also after a remount."""
    r = random.Random(random_seed())
    felt = 0
    # about where a rebase is reached
    for kind, least, most in (("alloc", 205, 330), ("fsync", 18, 26), ("rename", 3, 8), ("write", 12, 18)):
        for _ in range(int(os.environ.get("ORCH_FAULT_TRIES", "5"))):
            n = r.randrange(least, most)
            m = Mount(t, t.tree(SOURCE))
            m.errors_expected = True
            if m.start(ok=False, env={"ORCH_FAULT": "%s:%d" % (kind, n)}) != "ready\n":
                m.process.wait(20)
                m.process = None
                continue
            layer = 1
            for i in range(1, 4):
                with contextlib.suppress(OSError):
                    put(m.mnt + "/in%d" % i, b"%d" % i * 1000)
                with contextlib.suppress(OSError):
                    os.mkfifo(m.mnt + "/dir/pipe%d" % i)
                layer += m.ctl("seal", layer=layer + 1)["status"] == "0"
            try:
                before = tree(m.mnt), facts(m.mnt)
            except OSError:
                before = tree(m.mnt), facts(m.mnt)
            if layer > 2:
                snapshot = commit(t, m, 1, 100 + layer)
                bad = m.ctl("rebase", snapshot=snapshot, layer=1)["status"] != "0"
                felt += bad
                where = "%s:%d, rebase %s" % (kind, n, bad)
                t.eq((tree(m.mnt), facts(m.mnt)), before, where)
                with contextlib.suppress(OSError):
                    put(m.mnt + "/after", b"after")
                if bad:
                    m.ctl("rebase", snapshot=snapshot, layer=1)
                before = tree(m.mnt), facts(m.mnt)
            m.layer = layer
            m.kill()
            m.start()
            if "state-incomplete" not in m.log():  # else the log has what was not answered
                t.eq((tree(m.mnt), facts(m.mnt)), before, "%s:%d remounted" % (kind, n))
            m.umount()
    print("# %d rebases failed" % felt)
    t.ok(felt > 0, "no rebase was hit")


class Copy:
    """A fork, and a native folder with the same content; it may be changed, both alike."""
    def __init__(self, t, mount, native):
        self.t, self.m, self.native = t, mount, native
        self.facts = facts(mount.mnt)
        self.changed = False

    def change(self, seed):
        self.changed = True
        x = Model(self.m.mnt, self.native, seed)
        x.run(30)
        x.close_all()

    def check(self, where):
        compare(self.m.mnt, self.native, where)
        if not self.changed:
            self.t.eq(facts(self.m.mnt), self.facts, where)


@test(needs="fuse root", timeout=600)
def random_forks_and_commits(t):
    """ORCH_FORK_ROUNDS rounds (25) of changes, each with a seal and maybe a fork; commits that are overtaken by up to
    five seals; short chains again; kills. The workspace and all forks are compared with native copies."""
    m = Mount(t, t.tree(SOURCE))
    native = t.path("native")
    t.run(["cp", "-a", t.path("d1"), native])
    m.start()
    seed = random_seed()
    print("# seed %d" % seed)
    r = random.Random(seed)
    layer, forks, pending, models = 1, [], None, []
    for i in range(int(os.environ.get("ORCH_FORK_ROUNDS", "25"))):
        where = "seed %d round %d" % (seed, i)
        models.append(Model(m.mnt, native, seed + i))
        models[-1].run(r.choice([5, 40, 80]))
        layer += 1
        m.ok("seal", layer=layer)
        m.layer = layer
        if r.random() < 0.4:
            copy = t.path("copy%d" % i)
            t.run(["cp", "-a", native, copy])
            forks.append(Copy(t, fork(t, m, layer - 1, 10000 + i), copy))
        if pending is None and r.random() < 0.5:
            pending = [layer - 1, commit(t, m, layer - 1, 20000 + i), r.randrange(6)]
        elif pending and pending[2] == 0:
            m.ok("rebase", snapshot=pending[1], layer=pending[0])
            m.snapshot = pending[1]
            pending = None
        elif pending:
            pending[2] -= 1
        if r.random() < 0.1:
            m.ok("flatten", layer=pending[0] if pending else 0)
        try:
            compare(m.mnt, native, where)
            for f in forks:
                f.check(where + " fork of %d" % f.m.layer)
        except Failure:
            print("\n".join(map(str, models[-1].trace[-100:])))
            raise
        if forks and r.random() < 0.3:
            r.choice(forks).change(seed + 1000 + i)
        if r.random() < 0.15:
            for x in models:
                x.close_all()
            before = facts(m.mnt)
            m.remount(kill=r.random() < 0.5)
            t.eq(facts(m.mnt), before, where + " remounted")
            compare(m.mnt, native, where + " remounted")
        if len(forks) > 5 or (forks and r.random() < 0.1):
            f = forks.pop(r.randrange(len(forks)))
            f.m.remount(kill=True)
            f.check(where + " remounted fork")
            f.m.umount()
    for x in models:
        x.close_all()
    for f in forks:
        f.m.remount(kill=True)
        f.check("seed %d at the end" % seed)


def random_seed():
    return int(os.environ.get("ORCH_MODEL_SEED", "0")) or int.from_bytes(os.urandom(3), "big")


main()
