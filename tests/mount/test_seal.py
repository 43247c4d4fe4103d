#!/usr/bin/env python3
"""Seal, fork, commit (rebase) and the list of changes of a mount."""
import mmap

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


def random_seed():
    return int(os.environ.get("ORCH_MODEL_SEED", "0")) or int.from_bytes(os.urandom(3), "big")


main()
