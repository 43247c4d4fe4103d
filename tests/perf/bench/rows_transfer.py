"""F10: a change reaches a workspace. F11: a folder becomes a snapshot. F12: a workspace becomes one. F14: LFS."""
from peers import *
from figures import ORCH, Figure, Goal, Group, one
from rows import missing, row
from sources import many_files, mixed_files, path_of, put

missing("F10", "part: sync when nothing changed, sync of a Git commit in place: not built yet")
missing("F14", "not built yet: LFS")

GIT = ("git", "-c", "core.fsync=none", "-c", "gc.auto=0", "-c", "user.name=bench", "-c", "user.email=bench@example.org", "-C")


class _GitPeer:
    """A clone that has `before` checked out, and goes to a commit in which some files differ, and back."""

    def __init__(self, b, before):
        self.tree = b.fresh("git")
        command("cp", "-a", before + "/.", self.tree)
        command(*GIT, self.tree, "init", "-q")
        command(*GIT, self.tree, "add", "-A")
        command(*GIT, self.tree, "commit", "-q", "-m", "before")
        command(*GIT, self.tree, "tag", "before")

    def commit(self, paths, name):
        for path in paths:
            put("%s/%s" % (self.tree, path), name.encode())
        command(*GIT, self.tree, "commit", "-q", "-a", "-m", name)
        command(*GIT, self.tree, "tag", name)
        command(*GIT, self.tree, "checkout", "-q", "--detach", "before")

    def checkout(self, name):
        took = timed(*GIT, self.tree, "checkout", "-q", "--detach", name)
        command(*GIT, self.tree, "checkout", "-q", "--detach", "before")
        return took


class _Synced:
    """One folder that changes, a snapshot of what it was, a copy that rsync keeps, a clone."""

    def __init__(self, b):
        self.b, self.count = b, b.size("synced_files")
        before = b.fresh("before")
        many_files(before, self.count, 2000)
        self.base = b.imported(before)
        self.folder, self.copy = b.fresh("after"), b.fresh("copy")
        for folder in self.folder, self.copy:
            command("cp", "-a", before + "/.", folder)
        self.git = _GitPeer(b, before)
        self.ref = b.name("after")
        # the scan index knows the folder from now on
        b.shim("snapshot", "import", self.folder, "--ref", self.ref, "--parent", self.base)
        self._numbers = iter(range(1, 1 << 30))

    def change(self, paths):
        stamp = b"%d\n" % next(self._numbers)
        for path in paths:
            put("%s/%s" % (self.folder, path), stamp)
        self.b.settle()
        return stamp

    def orch(self, paths):
        b, stamp = self.b, self.change(paths)
        begin = time.monotonic()
        b.shim("snapshot", "import", self.folder, "--ref", self.ref)
        b.http("POST", "/v1/snapshots/apply", {"base": self.base, "incoming": self.ref, "mine": self.base, "conflict": "source",
                                               "ref": self.ref + "-on"})
        name = b.name("synced")
        mnt = b.shim("workspace", "create", name, "--from", self.ref + "-on").stdout.strip()
        with open("%s/%s" % (mnt, paths[0]), "rb") as f:
            seen = f.read()
        took = time.monotonic() - begin
        b.drop(name)
        if seen != stamp:
            raise Failure("the workspace does not show the change")
        return took

    def rsync(self, paths):
        self.change(paths)
        return timed("rsync", "-a", "--delete", self.folder + "/", self.copy)


@row("F10", needs="fuse git rsync")
def syncs(b):
    """
    What can be done of it today: the changed folder is imported, applied three-way onto the result of a build, and a
    workspace of that is made, until its first file can be read. Peers bring an existing copy to the same state.
    """
    synced = _Synced(b)
    for changed in 1, b.size("synced_change"):
        paths = [path_of(i) for i in range(0, synced.count, synced.count // changed)][:changed]
        synced.git.commit(paths, "after%d" % changed)
        yield one("folder of %d files, %d changed, until seen" % (synced.count, changed), "s",
                  {"git checkout": lambda changed=changed: synced.git.checkout("after%d" % changed),
                   "rsync -a": lambda paths=paths: synced.rsync(paths), ORCH: lambda paths=paths: synced.orch(paths)},
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
