"""F10: a change reaches a workspace. F11: a folder becomes a snapshot. F12: a workspace becomes one. F14: LFS."""
from peers import *
from figures import ORCH, Figure, Goal, Group, one
from rows import missing, row
from sources import many_files, mixed_files, path_of, put

missing("F10", "part: sync when nothing changed, sync of a Git commit in place: not built yet")
missing("F14", "not built yet: LFS")

GIT = ("git", "-c", "core.fsync=none", "-c", "gc.auto=0", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-C")


class _GitPeer:
    """A repository with the tree before and after the change, and a clone that goes from one to the other."""

    def __init__(self, b, before, after):
        self.repo = b.fresh("git")
        command(*GIT, self.repo, "init", "-q")
        for name, tree in ("before", before), ("after", after):
            command(*GIT, self.repo, "--work-tree=" + tree, "add", "-A")
            command(*GIT, self.repo, "commit", "-q", "-m", name)
            command(*GIT, self.repo, "branch", "-f", name)
        command(*GIT, self.repo, "reset", "-q", "--hard", "before")

    def checkout(self):
        took = timed(*GIT, self.repo, "checkout", "-q", "--detach", "after")
        command(*GIT, self.repo, "checkout", "-q", "--detach", "before")
        return took


@row("F10", needs="fuse git rsync")
def syncs(b):
    """
    What can be done of it today: the changed folder is imported, applied three-way onto the result of a build, and a
    workspace of that is made, until its first file can be read. Peers bring an existing copy to the same state.
    """
    count = b.size("synced_files")
    before = b.fresh("before")
    many_files(before, count, 2000)
    base = b.imported(before)
    numbers = iter(range(1, 1 << 30))
    for changed in 1, b.size("synced_change"):
        after, copy = b.fresh("after"), b.fresh("copy")
        command("cp", "-a", before + "/.", after)
        command("cp", "-a", before + "/.", copy)
        paths = [path_of(i) for i in range(0, count, count // changed)][:changed]

        def change(folder, paths=paths):
            stamp = b"%d\n" % next(numbers)
            for path in paths:
                put("%s/%s" % (folder, path), stamp)
            b.settle()
            return stamp
        change(after)
        git = _GitPeer(b, before, after)
        ref = b.name("after")
        b.shim("snapshot", "import", after, "--ref", ref, "--parent", base)   # the scan index knows it from now on

        def orch(after=after, ref=ref, first=paths[0]):
            stamp = change(after)
            begin = time.monotonic()
            b.shim("snapshot", "import", after, "--ref", ref)
            b.http("POST", "/v1/snapshots/apply", {"base": base, "incoming": ref, "mine": base, "conflict": "source", "ref": ref + "-on"})
            name = b.name("synced")
            mnt = b.shim("workspace", "create", name, "--from", ref + "-on").stdout.strip()
            with open("%s/%s" % (mnt, first), "rb") as f:
                seen = f.read()
            took = time.monotonic() - begin
            b.drop(name)
            if seen != stamp:
                raise Failure("the workspace does not show the change")
            return took

        def rsync(after=after, copy=copy):
            change(after)
            return timed("rsync", "-a", "--delete", after + "/", copy)
        yield one("folder of %d files, %d changed, until seen" % (count, changed), "s",
                  {"git checkout": git.checkout, "rsync -a": rsync, ORCH: orch},
                  Goal(">=", 5, "git checkout", faster=True), Goal(">=", 5, "rsync -a", faster=True))


FIRST = "orch, first time"
PART = "orch, 1 % changed"


@row("F11", needs="fuse rsync zstd")
def imports(b):
    count, size = b.size("imported_files"), 8000
    source = b.fresh("project")
    many_files(source, count, size)
    scratch = b.fresh("scratch")
    numbers = iter(range(1, 1 << 30))
    again_ref = b.imported(source)

    def imported(folder, ref):
        return seconds(b.shim, "snapshot", "import", folder, "--ref", ref)

    def first():
        other = b.fresh("other")
        many_files(other, count, size, salt=next(numbers))
        b.settle()
        took = imported(other, b.name("first"))
        shutil.rmtree(other)
        return took

    def part():
        for i in range(0, count, 100):
            put("%s/%s" % (source, path_of(i)), (b"%d %d " % (i, next(numbers)) * size)[:size])
        b.settle()
        return imported(source, again_ref)
    tar = "tar+zstd"
    yield one("%d files of 8 KB become a snapshot; orch: unchanged" % count, "s", {
        tar: lambda: tar_round(source, scratch), "cp -a": lambda: copied("cp", source, scratch),
        "rsync -a": lambda: copied("rsync", source, scratch), FIRST: first, PART: part,
        ORCH: lambda: (imported(source, again_ref), imported(source, again_ref))[1]},
        Goal(">=", 20, tar, faster=True), Goal("<=", 1, tar, of=FIRST))


@row("F12", needs="fuse zstd")
def commits(b):
    count, size = b.size("committed_files"), 100000
    source = b.fresh("result")
    mixed_files(source, count, size)
    name, mnt = b.workspace(b.imported(source))
    archive = b.fresh("archive") + "/a.tar.zst"
    changed = range(0, count, 100)

    def change(root):
        for i in changed:
            with open("%s/%s" % (root, path_of(i)), "ab") as f:
                f.write(os.urandom(16))

    def tar():
        change(source)
        return {"time": tar_pack(source, archive)}

    def commit():
        change(mnt)
        of_changed = sum(os.stat("%s/%s" % (mnt, path_of(i))).st_size for i in changed)
        begin = time.monotonic()
        result = b.shim("workspace", "commit", name, "--ref", "result", "--json").json()
        return {"time": time.monotonic() - begin, "hashed": result["hashed_bytes"] / of_changed}
    what = "commit, 1 %% of %d files of 100 KB changed" % count
    yield Group({"time": Figure(what, "s", (Goal(">=", 20, "tar+zstd", faster=True),)),
                 "hashed": Figure(what + ": bytes hashed / bytes of changed files", "", (Goal("<=", 1),))},
                {"tar+zstd": tar, ORCH: commit})
