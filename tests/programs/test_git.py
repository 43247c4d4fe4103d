#!/usr/bin/env python3
"""git in a workspace: clones, packs, worktrees, fsck."""
from programslib import *

tools("git")
FILES = 2000
COMMITS = 20


def git(work, *args, **kwargs):
    return work.run(["git", *args], **kwargs).stdout


def fill(work):
    """A repository with some history: each commit touches some files, adds some, removes and renames some."""
    git(work, "init", "-q", "-b", "main", "repo")
    work.write({"d%d/f%d" % (i % 50, i): "file %d\n" % i * (1 + i % 40) for i in range(FILES)}, at="repo")
    for n in range(COMMITS):
        work.write({"d%d/f%d" % (i % 50, i): "commit %d file %d\n" % (n, i) * 30 for i in range(n, FILES, 37)}, at="repo")
        work.write({"new%d/x%d" % (n, i): "new %d\n" % i for i in range(20)}, at="repo")
        if n:
            git(work, "mv", "new%d" % (n - 1), "moved%d" % (n - 1), cwd="repo")
        git(work, "add", "-A", cwd="repo")
        git(work, "commit", "-qm", "commit %d" % n, cwd="repo")


def sound(work, repo):
    r = work.run(["git", "fsck", "--strict", "--full"], cwd=repo)
    work.t.eq([x for x in r.stdout.splitlines() + r.stderr.splitlines() if not x.startswith("dangling ")], [], repo)
    work.t.eq(git(work, "status", "--porcelain", cwd=repo), "", repo)


def branches(work):
    """Two worktrees on branches of their own, a merge of both, a rebase."""
    for name in ("one", "two"):
        git(work, "worktree", "add", "-q", "-b", name, "../tree-" + name, cwd="repo")
        work.write({"only-%s" % name: name, "d1/f1": "changed by %s\n" % name if name == "one" else "file 1\n"}, at="tree-" + name)
        git(work, "add", "-A", cwd="tree-" + name)
        git(work, "commit", "-qm", name, cwd="tree-" + name)
    git(work, "merge", "-q", "--no-edit", "-s", "ort", "-X", "ours", "one", "two", cwd="repo", status=None)
    git(work, "reset", "-q", "--hard", "main", cwd="repo")
    git(work, "merge", "-q", "--no-edit", "one", cwd="repo")
    git(work, "rebase", "-q", "main", "-X", "theirs", cwd="tree-two")


@program(needs="git")
def git_keeps_a_repository(work):
    t = work.t
    with work.step("%d commits" % COMMITS):
        fill(work)
    head = git(work, "rev-parse", "HEAD", cwd="repo")
    with work.step("worktrees"):
        branches(work)
    with work.step("clones"):
        git(work, "clone", "-q", "repo", "linked")  # hard links to the objects
        git(work, "clone", "-q", "--no-local", "repo", "copied")
        git(work, "clone", "-q", "--mirror", "repo", "mirror.git")
    with work.step("gc"):
        git(work, "gc", "-q", "--aggressive", "--prune=now", cwd="repo")
        git(work, "repack", "-adfq", cwd="linked")
        git(work, "pack-refs", "--all", cwd="copied")
    with work.step("fsck"):
        for repo in ("repo", "linked", "copied", "tree-one", "tree-two"):
            sound(work, repo)
        git(work, "fsck", "--strict", cwd="mirror.git")
    work.move_on()
    with work.step("status, fsck"):
        for repo in ("repo", "linked", "copied", "tree-one", "tree-two"):
            sound(work, repo)
    t.eq(git(work, "rev-parse", "HEAD~1", cwd="repo").strip() == "", False)
    t.eq(git(work, "rev-list", "-1", "main~1", cwd="repo"), head)
    goes_on(work)


def goes_on(work):
    t = work.t
    t.eq(len(git(work, "worktree", "list", cwd="repo").splitlines()), 3)
    git(work, "worktree", "remove", "../tree-one", cwd="repo")
    t.run(["rm", "-rf", work.path + "/tree-two"])
    git(work, "worktree", "prune", cwd="repo")
    t.eq(len(git(work, "worktree", "list", cwd="repo").splitlines()), 1)
    work.write({"d2/f2": "later\n"}, at="repo")
    git(work, "commit", "-qam", "later", cwd="repo")
    git(work, "pull", "-q", "--ff-only", cwd="linked")
    t.eq(git(work, "rev-parse", "HEAD", cwd="linked"), git(work, "rev-parse", "HEAD", cwd="repo"))
    git(work, "push", "-q", "../mirror.git", "main", cwd="repo")
    git(work, "gc", "-q", "--prune=now", cwd="repo")
    sound(work, "repo")
    sound(work, "linked")


main()
