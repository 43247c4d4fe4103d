"""Commits in workspaces: a mounted one is what a checkout is, and from commit to commit what is the same keeps its number and time."""
import random

from gitlib import *
from gitlib import FILE
from orchtest import *


def numbers(root):
    out = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in folders + files:
            st = os.lstat(os.path.join(folder, name))
            out[os.path.relpath(os.path.join(folder, name), os.fsencode(root))] = (st.st_ino, st.st_mtime_ns, stat.S_IFMT(st.st_mode))
    return out


@test(needs="fuse git", timeout=300)
def a_workspace_at_each_commit_is_a_checkout(t):
    rnd = random.Random(int(os.environ.get("ORCH_TEST_SEED", "11")))
    r, ids, history = Repo(t), [], []
    files = {"%s/%s" % (a, b): (FILE, rnd.randbytes(50)) for a in ("src", "lib", "doc") for b in "abcdef"}
    for _ in range(8):
        ids.append(r.commit_files(files, ids[-1:]))
        history.append(files)
        files = next_files(rnd, files)
    r.git("update-ref", "refs/heads/main", ids[-1])
    before, seen = None, None
    with t.daemon() as d:
        for n, c in enumerate(ids):
            d.shim("snapshot", "import", "--git", r.path, "--commit", c, "--ref", "main")
            mnt = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
            same_content(t, mnt, r.checkout(c, "c%d" % n))
            now = numbers(mnt)
            t.eq(len({v[0] for v in now.values()}), len(now))  # no number twice
            if before is not None:
                for path, (ino, mtime, kind) in now.items():
                    old = before.get(path)
                    text = os.fsdecode(path)
                    if kind == stat.S_IFDIR:
                        if old and old[2] == kind:
                            t.eq((path, ino), (path, old[0]))
                    elif old and old[2] == kind and history[n].get(text, (0, 0))[1] == history[n - 1].get(text, (0, 1))[1]:
                        t.eq((path, ino, mtime), (path, old[0], old[1]))
                    else:
                        t.ok(mtime > seen, "%r is not newer than everything before" % path)
            before, seen = now, max(v[1] for v in now.values())
            d.shim("workspace", "drop", "w")


@test(needs="fuse git make gcc", timeout=300)
def make_believes_a_new_commit(t):
    """A result of a build is older than what the next commit changes, and newer than what it does not."""
    r = Repo(t)
    makefile = b"all: a.out b.out\n%.out: %.in\n\tcp $< $@\n\techo $< >> made\n"
    one = r.commit_files({"Makefile": makefile, "a.in": b"1", "b.in": b"1"})
    two = r.commit_files({"Makefile": makefile, "a.in": b"2", "b.in": b"1"}, [one])
    r.git("update-ref", "refs/heads/main", two)
    with t.daemon() as d:
        base = d.shim("snapshot", "import", "--git", r.path, "--commit", one, "--ref", "source").stdout.strip()
        mnt = d.shim("workspace", "create", "w", "--from", "source").stdout.strip()
        t.run(["make", "-C", mnt, "-s"])
        d.shim("workspace", "commit", "w", "--ref", "built")
        d.shim("workspace", "drop", "w")
        d.shim("snapshot", "import", "--git", r.path, "--commit", two, "--ref", "source")
        lines = d.http("POST", "/v1/snapshots/apply", {"base": base, "incoming": "source", "mine": "built", "ref": "next"}).body.decode()
        t.ok('"result"' in lines, lines)
        mnt = d.shim("workspace", "create", "w", "--from", "next").stdout.strip()
        os.unlink(mnt + "/made")
        t.run(["make", "-C", mnt, "-s"])
        with open(mnt + "/made") as f:
            t.eq(f.read(), "a.in\n")
        with open(mnt + "/a.out") as f:
            t.eq(f.read(), "2")


main()
