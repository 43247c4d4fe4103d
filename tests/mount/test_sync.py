"""Import, workspace, commit, export, apply, end to end: what a snapshot holds is what a native folder holds."""
from orchtest import *
from model import Model, compare


def stream(t, d, method, path, body):
    r = d.http(method, path, body)
    last = json.loads(r.body.decode().splitlines()[-1])
    t.ok("result" in last, "%s %s: %s" % (method, path, last))
    return last["result"]


def ask(t, d, method, path, body=None):
    r = d.http(method, path, body)
    t.eq(r.status, 200, "%s %s: %s" % (method, path, r))
    return r.json()


def source(t):
    root = t.tree({"a": b"1", "d/b": b"2" * 100000, "d/sub/c": b"", "l": ("->", "d/b"), "empty/": None, "x": b"#!/bin/sh\n"})
    os.link(root + "/a", root + "/d/a2")
    os.link(root + "/a", root + "/d/sub/a3")
    os.link(root + "/x", root + "/x2")
    os.chmod(root + "/x", 0o755)
    t.tree({"many/%d/%d" % (i % 7, i): b"%d" % i for i in range(200)}, at=root)
    return root


def stamps(root):
    """{path: (mtime, inode number)}"""
    out = {}
    for folder, folders, files in os.walk(root):
        for name in [""] + files + [f for f in folders if os.path.islink(folder + "/" + f)]:
            path = os.path.join(folder, name) if name else folder
            st = os.lstat(path)
            out[os.path.relpath(path, root)] = (st.st_mtime_ns, st.st_ino)
    return out


def differing(a, b, index):
    return sorted(k for k in set(a) | set(b) if k not in a or k not in b or a[k][index] != b[k][index])


@test(needs="fuse root", timeout=400)
def what_is_committed_is_what_was_done(t):
    root, native = source(t), t.path("native")
    t.run(["cp", "-a", root, native])
    d = t.daemon()
    d.start()
    stream(t, d, "POST", "/v1/snapshots/import", {"dir": root, "ref": "main"})
    mnt = ask(t, d, "POST", "/v1/workspaces", {"name": "w", "from": "main"})["path"]
    seed = int(os.environ.get("ORCH_MODEL_SEED", "0")) or int.from_bytes(os.urandom(3), "big")
    print("# seed %d" % seed)
    for i in range(8):
        m = Model(mnt, native, seed + i)
        m.run(250, every=10**9)
        compare(mnt, native, "seed %d round %d: before the commit" % (seed, i))
        before = stamps(mnt)
        r = stream(t, d, "POST", "/v1/workspaces/w/commit", {"ref": "done"})
        where = "seed %d round %d" % (seed, i)
        out = t.path("out%d" % i)
        stream(t, d, "POST", "/v1/snapshots/done/export", {"dir": out})
        compare(out, native, where + ": export")
        t.eq(differing(before, stamps(out), 0), [], where + ": mtimes of the export")
        compare(mnt, native, where + ": mount")
        t.eq(differing(before, stamps(mnt), 1), [], where + ": inode numbers after the commit")
        m.close_all()
        if i % 3 == 2:
            ask(t, d, "POST", "/v1/workspaces/w/umount", {})
            ask(t, d, "POST", "/v1/workspaces/w/mount", {})
            compare(mnt, native, where + ": mounted again")
            t.eq(differing(before, stamps(mnt), 1), [], where + ": inode numbers after a mount")
        again = stream(t, d, "POST", "/v1/snapshots/import", {"dir": out})
        t.eq(again["hashed_bytes"] >= 0 and again["files"], r["files"], where)
    ask(t, d, "POST", "/v1/workspaces", {"name": "fresh", "from": "done"})
    compare(d.mounts + "/fresh", native, "seed %d: a fresh mount" % seed)
    ask(t, d, "DELETE", "/v1/workspaces/fresh")
    bad = stream(t, d, "POST", "/v1/store/verify", {})
    t.eq(bad["bad"], [])


@test(needs="fuse")
def a_second_build_starts_from_the_first_ones_result(t):
    src = t.tree({"a.c": b"1", "b.c": b"1", "gone.c": b"1", "d/h": b"1"})
    d = t.daemon()
    d.start()
    first = stream(t, d, "POST", "/v1/snapshots/import", {"dir": src, "ref": "source/k"})
    w = ask(t, d, "POST", "/v1/workspaces", {"name": "w", "from": "source/k"})["path"]
    for name in ("a.o", "b.o", "d/h.o"):
        with open(w + "/" + name, "w") as f:
            f.write("made")
    built = stream(t, d, "POST", "/v1/workspaces/w/commit", {"ref": "build/k"})
    mtimes = stamps(w)
    ask(t, d, "DELETE", "/v1/workspaces/w")
    with open(src + "/a.c", "w") as f:
        f.write("2")
    os.utime(src + "/a.c", ns=(0, 1))  # older than its object: what a checkout of an old commit does
    os.unlink(src + "/gone.c")
    second = stream(t, d, "POST", "/v1/snapshots/import", {"dir": src, "ref": "source/k", "parent": first["id"]})
    r = stream(t, d, "POST", "/v1/snapshots/apply", {"base": first["id"], "incoming": second["id"], "mine": built["id"],
                                                     "conflict": "replace", "ref": "start"})
    t.eq((r["changed"], r["conflicts"]), (2, []))
    w = ask(t, d, "POST", "/v1/workspaces", {"name": "w", "from": "start"})["path"]
    t.eq(sorted(os.listdir(w)), ["a.c", "a.o", "b.c", "b.o", "d"])
    now = stamps(w)
    changed = set(differing({k: v for k, v in mtimes.items() if k in now}, now, 0))
    t.eq(changed, {".", "a.c"})
    t.ok(now["a.c"][0] > max(v[0] for v in mtimes.values()), "the new source is not newer than the objects")
    t.eq([k for k in now if now[k][1] != mtimes[k][1]], [])


main()
