"""The import of a commit by orch-worker alone: the same as Git's checkout, at the cost of what changed, whatever the repository holds."""
import random

from gitlib import *
from gitlib import FILE, FOLDER, LINK, MODULE, PROGRAM, WORDS
from orchtest import *
from workerlib import *


class MemoStore(Store):
    """Publishes tables of a memo, too."""

    def publish(self, q, result):
        if result.get("memo"):
            os.makedirs(self.memo, exist_ok=True)
            os.rename(q + "/memo", "%s/%d.%d" % (self.memo, os.geteuid(), self.count))
        super().publish(q, result)


class Importer:
    """A store, and a mirror of one repository."""

    def __init__(self, t):
        self.t = t
        self.mirror = t.dir()
        self.store = MemoStore(t, os.path.basename(self.mirror) + ".store")
        self.memo = self.store.memo = self.mirror + "/memo"
        os.mkdir(self.memo)
        self.repo = Repo(t, self.mirror + "/repo.git")
        self.events = []

    def task(self, commit, **more):
        self.repo.pack()
        return dict({"task": "git-import", "url": "https://example.org/r", "rev": commit,
                     "folders": {"mirror": self.mirror}}, **more)

    def run(self, commit, **more):
        self.result = self.store.run(self.task(commit, **more))
        self.events = self.store.events
        return self.result["snapshot"]

    def warnings(self):
        return [e["message"] for e in self.events if e["event"] == "warning"]

    def fail(self, commit, **more):
        return self.store.fail(self.task(commit, **more))

    def export(self, snapshot):
        path = self.t.dir() + "/out"
        self.store.run({"task": "export", "snapshot": snapshot, "dir": path})
        return path

    def like_git(self, commit, **more):
        """Imports, and compares with a checkout. The folder that it was exported to."""
        out = self.export(self.run(commit, **more))
        same_content(self.t, out, self.repo.checkout(commit))
        return out


def tree_ids(repo, commit):
    """All trees and blobs below a commit, each once."""
    lines = repo.git("ls-tree", "-r", "-t", "-z", commit).split(b"\0")[:-1]
    rows = [line.split(b"\t")[0].split() for line in lines]
    root = repo.git("rev-parse", commit + "^{tree}").strip()
    return ({r[2] for r in rows if r[1] == b"tree"} | {root},
            {r[2] for r in rows if r[1] == b"blob" and r[0] != b"120000"})


@test
def a_commit_is_what_a_checkout_makes(t):
    i = Importer(t)
    files = {w: b"content of " + os.fsencode(w) for w in WORDS}
    files.update({"p": (PROGRAM, b"#!/bin/sh\n"), "d/e/f/g": b"", "l": (LINK, b"d/e"), "loop": (LINK, b"loop"),
                  "abs": (LINK, b"/etc/passwd"), "up": (LINK, b"../../.."), "big": b"0123456789abcdef" * 200000,
                  "n" * 255: b"long"})
    out = i.like_git(i.repo.commit_files(files))
    t.eq(i.result["bytes"], sum(os.lstat(os.path.join(d, f)).st_size for d, _, fs in os.walk(out) for f in fs
                                if not os.path.islink(os.path.join(d, f))))
    t.eq(sorted(i.warnings()), ["x.txt differs from its neighbour in upper and lower case only"])
    # the time of the commit, everywhere
    t.eq({row[4] for row in describe(out)}, {i.repo.time * 10**9})
    t.eq({stat.S_IMODE(row[1]) for row in describe(out) if not stat.S_ISLNK(row[1])}, {0o644, 0o755})


@test
def the_same_commit_makes_the_same_snapshot(t):
    i = Importer(t)
    c = i.repo.commit_files({"a": b"1", "d/b": b"2", "d/l": (LINK, b"a"), "e/d/b": b"2"})
    first = i.run(c)
    t.eq((i.result["read_files"], i.result["read_trees"], i.result["memo"]), (2, 4, True))
    t.eq(i.run(c), first)
    t.eq((i.result["read_files"], i.result["read_trees"], i.result["memo"]), (0, 0, False))
    t.eq(i.run(c, parent=first), first)
    t.eq(i.run(c, threads=1), first)
    shutil.rmtree(i.memo)  # there need not be one
    t.eq(i.run(c), first)
    t.eq((i.result["read_files"], i.result["new_objects"]), (2, 0))


def changes(a, b):
    return {p for p in set(a) | set(b) if a.get(p) != b.get(p)}


@test(timeout=300)
def twenty_commits_cost_what_they_change(t):
    """Generated ones: from each to the next the files of a checkout, unread what was known, unmoved what is the same."""
    seed = int(os.environ.get("ORCH_TEST_SEED", "0")) or int.from_bytes(os.urandom(4), "little")
    print("# ORCH_TEST_SEED=%d" % seed)
    rnd, i = random.Random(seed), Importer(t)
    files = {w + "/" + v: (FILE, os.fsencode(w + v)) for w in WORDS[:8] for v in WORDS[:8] if w.lower() != "x.txt"}
    known, parent, commit, before = set(), None, None, None
    for n in range(int(os.environ.get("ORCH_TEST_COMMITS", "20"))):
        commit = i.repo.commit_files(files, [commit] if commit else [])
        snapshot = i.run(commit, wall_ns=(i.repo.time + 10**6) * 10**9, **({"parent": parent} if parent else {}))
        out = i.export(snapshot)
        same_content(t, out, i.repo.checkout(commit, "c%d" % n))
        trees, blobs = tree_ids(i.repo, commit)
        if n < 60:  # more tables than a keeper leaves
            t.eq(i.result["read_files"], len(blobs - known))
        # what collides by case is told each time, so such a folder is read each time, and those above it
        t.ok(i.warnings() or i.result["read_trees"] < len(trees) or n == 0, i.result)
        known |= blobs
        now = {row[0]: row for row in describe(out)}
        if before:
            latest = max(row[4] for row in before.values())
            for path, row in now.items():
                old = before.get(path)
                same = old and stat.S_IFMT(old[1]) == stat.S_IFMT(row[1]) and (
                    old[5:6] + old[8:] == row[5:6] + row[8:] if not stat.S_ISDIR(row[1]) else
                    names(before, path) == names(now, path))
                if same:
                    t.eq((path, row[4]), (path, old[4]))
                else:
                    t.ok(row[4] > latest, "%r is not newer than what was there" % path)
        before, parent = now, snapshot
        shutil.rmtree(out)
        files = next_files(rnd, files)


def names(rows, folder):
    """What lies in a folder, with types."""
    prefix = b"" if folder == b"." else folder + b"/"
    return {(p[len(prefix):], stat.S_IFMT(r[1])) for p, r in rows.items()
            if p.startswith(prefix) and p != b"." and b"/" not in p[len(prefix):]}


@test(needs="git", timeout=300)
def this_projects_own_history(t):
    if not os.path.exists(SRC + "/.git") or subprocess.run(["git", "-C", SRC, "rev-parse", "-q", "--verify", "HEAD~20"],
                                                           stdout=subprocess.DEVNULL, check=False).returncode:
        skip("history", "this is no clone with 20 commits")
    i = Importer(t)
    shutil.rmtree(i.repo.path)
    i.repo.git("clone", "-q", "--bare", "--no-local", SRC, i.repo.path, at=None)
    commits = i.repo.git("rev-list", "--first-parent", "-n20", "HEAD").decode().split()[::-1]
    known, parent = (set(), set()), {}
    for n, c in enumerate(commits + commits[:1]):  # and back to the first
        snapshot = i.run(c, **parent)
        trees, blobs = tree_ids(i.repo, c)
        t.eq(i.result["read_files"], len(blobs - known[1]))
        t.eq(i.result["read_trees"], len(trees - known[0]))
        known, parent = (known[0] | trees, known[1] | blobs), {"parent": snapshot}
        if n in (0, 19, 20):
            out = i.export(snapshot)
            same_content(t, out, i.repo.checkout(c, "c%d" % n))
            shutil.rmtree(out)


# ---- attributes

ATTRIBUTES = {
    ".gitattributes": b"*.txt text eol=crlf\n*.auto text=auto eol=crlf\n*.id ident\n*.bin binary\n*.both ident eol=crlf\n"
                      b"[attr]dos text eol=crlf\n*.dos dos\nkeep.dos -dos eol=lf\n/top/*.x eol=crlf\ntop/*/deep.x ident\n"
                      b"**/any/*.y eol=crlf\nall/** eol=crlf\nall/not -text\n\"q\\165ote d\" eol=crlf\n*.u16 working-tree-encoding=UTF-16\n"
                      b"*.le text working-tree-encoding=UTF-16LE eol=crlf\n*.bom working-tree-encoding=UTF-16LE-BOM\n"
                      b"*.lat working-tree-encoding=ISO-8859-1\nunset.txt !eol\nnot/ eol=crlf\n[!a]?.z eol=crlf\n",
    "sub/.gitattributes": b"*.txt eol=lf\ninner/*.q eol=crlf\n[attr]late eol=crlf\n*.late late\n!x eol=crlf\r\n*.cr eol=crlf\r\n",
    "sub/inner/.gitattributes": b"*.txt -text\n",
}


@test(needs="git")
def attributes_do_what_git_does(t):
    i = Importer(t)
    texts = [b"one\ntwo\nthree\n", b"mixed\r\nand\nmore\r\n", b"no end", b"", b"\n", b"nul\0\n", b"lone\rcr\n",
             b"$Id$\n$Id: old $\n$Id: two words $\n", b"\xc3\xa4\xc3\xb6 $Id$\n", b"\x01\x02\x03\n", b"\xff\xfe\n", b"dos\n\x1a",
             b"\xe2\x82\xac\n", b"\xf0\x9f\x98\x80 $Id$ $Id: $ $Id:$\n"]
    names = ["f.txt", "f.auto", "f.id", "f.bin", "f.both", "f.dos", "keep.dos", "top/f.x", "top/d/f.x", "top/d/deep.x",
             "any/f.y", "a/b/any/f.y", "all/f", "all/d/f", "all/not", "quote d", "f.u16", "f.le", "f.bom", "f.lat", "unset.txt",
             "not/f", "ab.z", "bb.z", "sub/f.txt", "sub/f.auto", "sub/inner/f.q", "sub/inner/f.txt", "sub/f.late", "sub/f.cr",
             "sub/top/f.x"]
    parent = {}
    for text in texts:
        files = dict(ATTRIBUTES)
        files.update({name: text for name in names})
        i.like_git(i.repo.commit_files(files), **parent)
        parent = {"parent": i.result["snapshot"]}


@test(needs="git", timeout=600)
def random_attributes_do_what_git_does(t):
    seed = int(os.environ.get("ORCH_TEST_SEED", "0")) or int.from_bytes(os.urandom(4), "little")
    print("# ORCH_TEST_SEED=%d" % seed)
    rnd, i = random.Random(seed), Importer(t)
    pieces = ["*", "**", "a", "b", "[ab]", "[!a]", "?", "/", "/", "/", "*.x", ".x", "\\a", "\\", "a*", "**/", "/**", "[", "]", "c"]
    words = ["text", "-text", "!text", "text=auto", "text=input", "crlf", "-crlf", "crlf=input", "eol=crlf", "eol=crlf", "eol=crlf", "eol=lf", "!eol",
             "ident", "-ident", "!ident", "binary", "-binary", "m", "-m", "!m", "n", "n=v", "diff", "x=y"]
    names = ["a", "b", "a.x", "c.x"]
    paths = [n for n in names] + ["%s.d/%s" % (d, n) for d in "ab" for n in names] + ["%s/%s/%s" % (d, e, n) for d in "cd" for e in ("a", "e.x") for n in names]

    def text():
        out = ["[attr]m ident -diff", "[attr]n m eol=crlf", "[attr]m eol=crlf" if rnd.random() < 0.2 else "# no"]
        for _ in range(rnd.randint(1, 8)):
            pattern = "".join(rnd.choice(pieces) for _ in range(rnd.randint(1, 4)))
            # of "a**" and of a quoted slash Git makes what its matcher happens to do (docs/git.md)
            pattern = "/".join(part if part.strip("*") == "" else re.sub(r"\*\*+", "*", part).rstrip("\\") for part in pattern.split("/")) or "a"
            if rnd.random() < 0.1:
                pattern = '"%s"' % pattern.replace("\\", "\\\\")
            out.append("%s %s" % (pattern, " ".join(rnd.choice(words) for _ in range(rnd.randint(1, 3)))))
        return ("\n".join(out) + "\n").encode()
    content = b"one $Id$\ntwo\n"
    for n in range(int(os.environ.get("ORCH_TEST_COMMITS", "20"))):
        files = {p: content for p in paths}
        files[".gitattributes"] = text()
        for folder in rnd.sample(["a.d/", "c/", "c/a/", "d/e.x/"], 2):
            files[folder + ".gitattributes"] = text()
        c = i.repo.commit_files(files)
        out = i.export(i.run(c))
        try:
            same_content(t, out, i.repo.checkout(c, "c%d" % n))
        except Failure as e:
            raise Failure("%s\n%s" % (e, {p: files[p] for p in files if p.endswith("attributes")})) from None
        shutil.rmtree(out)


@test
def what_is_not_applied_is_told(t):
    i = Importer(t)
    c = i.repo.commit_files({".gitattributes": b"*.c filter=crypt\n*.k working-tree-encoding=KLINGON\n*.lfs filter=lfs -text\n",
                             "a.c": b"1", "b.c": b"2", "d/e.k": b"3", "f.lfs": b"version https://git-lfs.github.com/spec/v1\n",
                             "d/g.lfs": b"pointer\n", ".gitmodules": b"", "m": (MODULE, "1" * 40)})
    for _ in range(2):  # also when everything is known
        i.run(c)
        t.eq(i.result["lfs_files"], 2)
        t.eq(sorted(i.warnings()), [
            'filter "crypt" is not applied: its files are as in the repository, for example a.c',
            "m is a submodule: its folder is empty",
            'working-tree-encoding "KLINGON" is not applied: its files are as in the repository, for example d/e.k'])
    out = i.export(i.result["snapshot"])
    t.eq(content(out)[b"a.c"][2], b"1")
    t.eq(os.listdir(out + "/m"), [])


@test
def another_state_of_attributes_is_another_thing(t):
    """The same trees and blobs under other attributes are not taken for what was made before."""
    i = Importer(t)
    tree = i.repo.folder({"d/x.txt": b"a\nb\n", "d/e/x.txt": b"a\nb\n"})
    sub = (FOLDER, "d", tree)
    plain = i.repo.commit(i.repo.tree([sub]))
    crlf = i.repo.commit(i.repo.tree([sub, (FILE, ".gitattributes", i.repo.blob(b"*.txt eol=crlf\n"))]))
    one = i.repo.commit(i.repo.tree([sub, (FILE, ".gitattributes", i.repo.blob(b"d/d/e/*.txt eol=crlf\n"))]))
    macro = i.repo.folder({".gitattributes": b"[attr]m eol=crlf\n*.txt m\n", "x.txt": b"a\nb\n"})
    twice = i.repo.commit(i.repo.tree([(FOLDER, "s", macro)]))
    for n, c in enumerate([plain, crlf, one, plain, i.repo.commit(macro), twice]):
        out = i.export(i.run(c))
        same_content(t, out, i.repo.checkout(c, "c%d" % n))


# ---- sparse

@test
def sparse_takes_what_is_asked_for(t):
    i = Importer(t)
    c = i.repo.commit_files({"a/b/c.txt": b"1", "a/b/d.bin": b"2", "a/e": b"3", "f/g.txt": b"4", "h": b"5", "f/l": (LINK, b"x"),
                             "k/m": (MODULE, "2" * 40), ".gitattributes": b"*.txt eol=crlf\n"})
    cases = [({"include": ["/a"]}, ["a", "a/b", "a/b/c.txt", "a/b/d.bin", "a/e"]),
             ({"include": ["*.txt"]}, ["a", "a/b", "a/b/c.txt", "f", "f/g.txt"]),
             ({"exclude": ["*.txt", "k/", "/.gitattributes"]}, ["a", "a/b", "a/b/d.bin", "a/e", "f", "f/l", "h"]),
             ({"include": ["/a", "/f"], "exclude": ["b/"]}, ["a", "a/e", "f", "f/g.txt", "f/l"]),
             ({"include": ["nothing"]}, []),
             ({"exclude": ["*"]}, [])]
    for more, want in cases:
        for _ in range(2):
            out = i.export(i.run(c, **more))
            t.eq(sorted(content(out)), sorted(os.fsencode(w) for w in want))
        t.eq(i.result["read_files"], 0)
    whole = i.export(i.run(c))
    t.eq(len(content(whole)), 12)


# ---- hostile repositories

def hostile_trees(r):
    """(what the message must say, tree) for what nobody may get into a workspace."""
    b, sub = r.blob(b"x"), r.folder({"config": b"[core]\n"})
    name = [".git", ".GIT", ".Git", "git~1", "GIT~1", ".git.", ".git ", ".git::$INDEX_ALLOCATION", ".g\u200cit", ".git\\hooks",
            ".GIT\ufeff", "a\\.git", "..", ".", ""]
    for n in name:
        yield "the name" if n else "malformed", r.write("tree", b"40000 %s\0" % os.fsencode(n) + bytes.fromhex(sub))
        if n:
            yield "the name", r.tree([(FOLDER, "deep", r.tree([(FILE, n, b)]))])
    yield "holds a slash", r.tree([(FILE, "a/b", b)])
    yield "holds a slash", r.tree([(FILE, "/etc/passwd", b)])
    yield "holds a slash", r.tree([(FILE, "../x", b)])
    yield "longer than 255", r.tree([(FILE, "n" * 256, b)])
    yield ".gitmodules, and is a symlink", r.tree([(LINK, ".gitmodules", b)])
    yield ".gitmodules, and is a symlink", r.tree([(LINK, "GITMOD~1", b)])
    yield "in order", r.tree([(FILE, "b", b), (FILE, "a", b)], sort=False)
    yield "in order", r.tree([(FILE, "a", b), (LINK, "a", b)], sort=False)
    yield "twice", r.tree([(FILE, "a", b), (FILE, "a-", b), (FOLDER, "a", sub)], sort=False)
    yield "of no type", r.tree([("0", "a", b)])
    yield "of no type", r.tree([("20000", "a", b)])
    yield "of no type", r.tree([("140000", "a", b)])
    yield "malformed", r.write("tree", b"100644 a\0short")
    yield "malformed", r.write("tree", b"100644 a")
    yield "malformed", r.write("tree", b"garbage")
    yield "malformed", r.write("tree", b"9 a\0" + b"i" * 20)
    yield "target is empty", r.tree([(LINK, "l", r.blob(b""))])
    yield "target is empty", r.tree([(LINK, "l", r.blob(b"a\0b"))])
    yield "4095 are allowed", r.tree([(LINK, "l", r.blob(b"x" * 4096))])
    yield "is a blob, not a tree", r.tree([(FOLDER, "d", b)])
    yield "is a tree, not a blob", r.tree([(FILE, "f", sub)])
    yield "is a tree, not a blob", r.tree([(LINK, "f", sub)])
    yield "is a tree, not a blob", r.tree([(FILE, ".gitattributes", sub)])
    yield "not in the repository", r.tree([(FILE, "f", "0" * 40)])
    yield "not in the repository", r.tree([(FOLDER, "d", "1" * 40)])


@test(timeout=300)
def hostile_trees_are_refused(t):
    i = Importer(t)
    n = 0
    for want, tree in hostile_trees(i.repo):
        e = i.fail(i.repo.commit(tree))
        t.ok(want in e["message"], "%s: %s" % (want, e))
        t.eq(e["code"], "EFBIG" if "4095" in want else "ECORRUPT")
        t.ok(all(c >= " " and c != "\x7f" for c in e["message"]), "%r" % e["message"])
        n += 1
    print("# %d trees" % n)
    t.eq(i.run(i.repo.commit_files({"a": b"1"})) != "", True)


@test(needs="git", timeout=300)
def what_fsck_calls_dangerous_is_refused(t):
    """Random names of dangerous pieces: none that Git's fsck objects to comes in, and no other is refused, but for mixtures of
    what several systems would overlook."""
    i = Importer(t)
    rnd = random.Random(int(os.environ.get("ORCH_TEST_SEED", "2")))
    pieces = [".git", ".GIT", "git~1", "GIT~1", ".gitmodules", "gitmod~1", "gi7eba~1", "gi7eb~10", "..", ".", " ", "\u200c", "\u206f", "\ufeff",
              "\\", ":", "$DATA", "x", "\u2010", "~1", "mod", "g", "i", "t", "\udcff", "\n"]
    names = {"".join(rnd.choice(pieces) for _ in range(rnd.randint(1, 4))) for _ in range(int(os.environ.get("ORCH_TEST_NAMES", "400")))} - {""}
    blob, trees = i.repo.blob(b"x"), {}
    for n in sorted(names, key=os.fsencode):
        for mode in (FILE, LINK):
            trees[i.repo.tree([(mode, n, blob)])] = (mode, n)
    p = subprocess.run(["git", "--git-dir=" + i.repo.path, "fsck", "--strict", "--no-dangling"], env=i.repo.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    bad = {m.group(1).decode() for m in re.finditer(rb"in tree ([0-9a-f]{40}): (?:hasDot|hasDotdot|hasDotgit|gitmodulesSymlink|fullPathname|emptyName)", p.stdout)}
    good = sorted((v for k, v in trees.items() if k not in bad), key=lambda v: os.fsencode(v[1]))
    wrong = []
    for k in sorted(bad & set(trees)):
        q = i.store.start(i.task(i.repo.commit(i.repo.tree([(FOLDER, "d", k)]))))
        last = i.store.finish(q)[-1]
        shutil.rmtree(q.quarantine)
        if "the name" not in last.get("error", {"message": ""})["message"]:
            wrong.append("%r comes in" % (trees[k],))
    for mode in (FILE, LINK):
        some = [v for v in good if v[0] == mode and not re.search("[\u200c\u206f\ufeff\udcff]", v[1]) and (mode == FILE or "\\" not in v[1])]
        entries = {os.fsencode(n): (m, n, blob) for m, n in some}
        c = i.repo.commit(i.repo.tree(list(entries.values())))
        p = i.store.start(i.task(c))
        last = i.store.finish(p)[-1]
        shutil.rmtree(p.quarantine)
        wrong += [last["error"]["message"]] if "error" in last else []
    t.eq(wrong, [])
    print("# %d names: %d trees are dangerous, %d are not" % (len(names), len(bad), len(good)))
    t.ok(len(bad) > 20 and len(good) > 20)


@test
def hostile_trees_are_contained(t):
    """What Git takes, and what could do harm only where somebody writes by path: nobody does."""
    i = Importer(t)
    r = i.repo
    sub = r.folder({"hooks/post-checkout": (PROGRAM, b"#!/bin/sh\ntouch /tmp/pwned\n"), "config": b"x"})
    tree = r.tree([(LINK, "a", r.blob(b".git/hooks")), (FOLDER, "A", sub),  # CVE-2021-21300, CVE-2024-32002
                   (LINK, ".gitattributes", r.blob(b"/etc/passwd")), (FILE, ".gitmodules", r.blob(b"[submodule \"x\"]\n\tpath = -x\n")),
                   (MODULE, "sub", "1" * 40), (FILE, "esc\x1b[31m\x07", r.blob(b"x")), (FILE, "C:\\x", r.blob(b"x")),
                   (FILE, "nul\n", r.blob(b"x")), (LINK, "out", r.blob(b"../../../../../../etc/shadow")), (FILE, "CON", r.blob(b""))])
    out = i.export(i.run(r.commit(tree)))
    t.eq(os.readlink(out + "/a"), ".git/hooks")
    t.ok(not os.path.exists(out + "/.git"))
    t.eq(sorted(i.warnings()), [".gitattributes is a symlink and not obeyed", "a differs from its neighbour in upper and lower case only",
                                "sub is a submodule: its folder is empty"])
    w = i.repo.commit(r.tree([(FILE, "\x1b[31m", r.blob(b"1")), (FILE, "\x1b[31M", r.blob(b"1"))]))
    i.run(w)
    t.ok(i.warnings()[0].startswith("\\x1b[31m differs"), "%r" % i.warnings())


@test(timeout=300)
def trees_that_grow_are_bounded(t):
    i = Importer(t)
    r = i.repo
    tree = r.folder({"f": b"x"})
    for _ in range(12):  # 10^12 files
        tree = r.tree([(FOLDER, "%d" % n, tree) for n in range(10)])
    e = i.fail(r.commit(tree))
    t.eq(e["code"], "EFBIG")
    t.ok("more than 20000000 entries" in e["message"], e["message"])
    t.eq(i.fail(r.commit(tree), exclude=["*.o"])["code"], "EFBIG")
    # with a pattern that makes every folder another one
    e = i.fail(r.commit(tree), exclude=["/1/2/3"], entries_max=100000)
    t.eq(e["code"], "EFBIG")
    chain = r.folder({"f": b"x"})
    for _ in range(2048):
        chain = r.tree([(FOLDER, "d", chain)])
    i.run(r.commit(chain))
    t.eq(i.result["files"], 2049)
    i.run(r.commit(chain), parent=i.result["snapshot"])
    chain = r.tree([(FOLDER, "d", chain)])
    e = i.fail(r.commit(chain))  # what is below is remembered
    t.eq((e["code"], "2048 folders" in e["message"]), ("ENAMETOOLONG", True))
    e = Importer(t).store.fail(i.task(r.commit(chain)))
    t.eq((e["code"], "2048 folders" in e["message"]), ("ENAMETOOLONG", True))
    e = i.fail(r.commit_files({"a/b": b"0123456789"}), blob_max=9)
    t.eq(e["code"], "EFBIG")
    t.ok("a/b" in e["message"] and "10 bytes, 9 are allowed" in e["message"], e["message"])
    i.run(r.commit_files({"a/b": b"0123456789"}), blob_max=10)


@test
def hostile_attributes_are_bounded(t):
    i = Importer(t)
    for text in (b"* text\n" * 70000, b"x" * (5 << 20)):
        e = i.fail(i.repo.commit_files({".gitattributes": text, "a": b"1"}))
        t.eq(e["code"], "EFBIG")
    i.run(i.repo.commit_files({"d/.gitattributes": b"x" * 5000 + b" text\n* te\xffxt\n!a text\n", "d/a": b"1"}))
    t.eq(i.warnings(), ["d/.gitattributes has lines that Git does not obey either"])
    deep = {"/".join("d" * n) + "/.gitattributes": b"**/*/**/*/x ident\n" * 50 for n in range(1, 60)}
    i.run(i.repo.commit_files(deep))


@test
def what_is_no_commit_is_refused(t):
    i = Importer(t)
    r = i.repo
    tree = r.folder({"a": b"1"})
    tag = r.write("tag", b"object %s\ntype tree\ntag x\n" % tree.encode())
    e = i.fail("1" * 40)
    t.eq(e["code"], "ENOENT")
    t.ok("commit 111111111111 of https://example.org/r: " in e["message"] and "not in the repository" in e["message"], e["message"])
    for oid in (tree, tag, r.blob(b"x"), r.write("commit", b"nothing\n")):
        t.eq(i.fail(oid)["code"], "ECORRUPT")
    for when in ("0", "-5", "99999999999999999999", "x"):
        i.run(r.commit(tree, when=when))
    e = i.store.fail(i.task("main"))
    t.eq(e["code"], "EUSAGE")
    for more, word in (({"include": "x"}, "include"), ({"exclude": [1]}, "exclude"), ({"source": "x"}, "source"), ({"dir": "/"}, "dir"),
                       ({"parent": "x"}, "parent"), ({"entries_max": -1}, "entries_max"), ({"url": None}, "url"), ({"fds": {}}, "descriptor")):
        e = i.fail("1" * 40, **more)
        t.eq((e["code"], word in e["message"]), ("EUSAGE", True))
    shutil.rmtree(i.repo.path + "/objects")
    e = i.fail("1" * 40)
    t.ok("no Git repository" in e["message"], e["message"])
    shutil.rmtree(i.repo.path)
    t.eq(i.fail("1" * 40)["code"], "ENOENT")


@test
def damage_in_the_repository_is_named(t):
    i = Importer(t)
    r = i.repo
    c = r.commit_files({"a/b": os.urandom(5000), "a/c/d": b"2"})
    blob = r.git("rev-parse", c + ":a/b").decode().strip()
    tree = r.git("rev-parse", c + ":a/c").decode().strip()
    i.task(c)
    for oid, where in ((blob, "a/b: blob "), (tree, "a/c: tree ")):
        pack, begin, end = r.offsets[oid]
        with open(pack, "rb") as f:
            good = f.read()
        os.chmod(pack, 0o644)
        for how in ("middle", "zeros", "size", "cut"):
            data = bytearray(good)
            if how == "middle":
                data[(begin + end) // 2] ^= 0x55
            elif how == "zeros":
                data[begin + 4:end] = bytes(end - begin - 4)
            elif how == "size":
                data[begin] ^= 1
            else:
                data = data[:(begin + end) // 2]
            with open(pack, "wb") as f:
                f.write(data)
            e = i.fail(c)
            # a pack that is shorter than its index says is none
            t.eq(e["code"], "ENOENT" if how == "cut" else "ECORRUPT")
            t.ok(where + oid in e["message"] or how == "cut", "%s: %s" % (how, e))
        with open(pack, "wb") as f:
            f.write(good)
    i.run(c)


@test(timeout=600)
def damage_anywhere_ends(t):
    """Bytes of a pack are changed at random: the import fails and says why, or they did not matter; it neither hangs nor crashes."""
    i = Importer(t)
    r = i.repo
    rnd = random.Random(int(os.environ.get("ORCH_TEST_SEED", "1")))
    text = b"".join(b"line %d %d\n" % (n, rnd.randrange(10**6)) for n in range(400))
    commit = None
    for n in range(6):  # so that there are deltas
        text = text[:5000 * n // 6] + b"new %d\n" % n + text[5000 * n // 6:]
        commit = r.commit_files({"d/f": text, "d/g": rnd.randbytes(300), "e/x%d" % n: b"1"}, [commit] if commit else [])
    r.git("update-ref", "refs/heads/main", commit)
    r.loose = {}
    r.git("repack", "-q", "-a", "-d")
    pack = [r.path + "/objects/pack/" + p for p in os.listdir(r.path + "/objects/pack") if p.endswith(".pack")][0]
    old = [c for c in r.git("rev-list", "main").decode().split()]
    os.chmod(pack, 0o644)
    with open(pack, "rb") as f:
        good = f.read()
    failed, rounds = 0, int(os.environ.get("ORCH_TEST_DAMAGES", "60"))
    for n in range(rounds):
        data = bytearray(good)
        at = rnd.randrange(12, len(data) - 20)
        kind = rnd.randrange(3)
        if kind == 0:
            data[at] ^= 1 << rnd.randrange(8)
        elif kind == 1:
            data[at:at + 40] = bytes(len(data[at:at + 40]))
        else:
            data[at:at + 8] = rnd.randbytes(len(data[at:at + 8]))
        with open(pack, "wb") as f:
            f.write(data)
        p = i.store.start(i.task(rnd.choice(old)))
        last = i.store.finish(p)[-1]
        shutil.rmtree(p.quarantine)
        failed += "error" in last
        if "error" in last:
            t.eq((last["error"]["code"], at), ("ECORRUPT" if last["error"]["code"] != "ENOENT" else "ENOENT", at))
    print("# %d of %d failed" % (failed, rounds))
    t.ok(failed, "no damage was seen")


# ---- the memo

@test
def a_memo_that_is_damaged_or_anothers_is_not_believed(t):
    i = Importer(t)
    c = i.repo.commit_files({"a": b"1", "b": b"2"})
    first = i.run(c)
    memo = i.memo + "/"
    name = os.listdir(memo)[0]
    os.rename(memo + name, memo + "%d.1" % (os.geteuid() + 1))
    t.eq(i.run(c), first)
    t.eq((i.result["read_files"], i.warnings()), (2, []))
    for n in os.listdir(memo):
        os.unlink(memo + n)
    t.eq(i.run(c), first)
    name = os.listdir(memo)[0]
    with open(memo + name, "rb") as f:
        data = bytearray(f.read())
    data[60] ^= 1
    os.unlink(memo + name)
    with open(memo + name, "wb") as f:
        f.write(data)
    t.eq(i.run(c), first)
    t.eq(i.result["read_files"], 2)
    t.ok("checksum" in i.warnings()[0], i.warnings())
    other = i.store.run(dict(i.task(c), seed="0" * 16))
    t.eq(other["read_files"], 2)


@test
def what_the_store_lost_is_read_again(t):
    i = Importer(t)
    first = i.run(i.repo.commit_files({"a": b"1", "d/b": b"2"}))
    d = hashlib.sha256(b"2").hexdigest()
    os.unlink("%s/objects/%s/%s/%s" % (i.store.path, d[:2], d[2:4], d))
    i.run(i.repo.commit_files({"a": b"1", "d/b": b"2", "d/c": b"3"}), parent=first)
    t.eq((i.result["read_files"], i.result["new_objects"]), (2, 2))


# ---- killed

@test(timeout=300)
def killed_anywhere_it_leaves_its_folder_alone(t):
    """Nothing but the quarantine is written, and the next one makes the same."""
    i = Importer(t)
    rnd = random.Random(5)
    c = i.repo.commit_files({"d%d/f%d" % (n % 50, n): rnd.randbytes(2000) for n in range(600)})
    begun = time.monotonic()
    want = i.run(c)
    whole = time.monotonic() - begun
    for path in (i.memo, i.store.path + "/objects", i.store.path + "/packs"):
        shutil.rmtree(path)
        os.mkdir(path)
    killed = 0
    for _ in range(int(os.environ.get("ORCH_TEST_KILLS", "5"))):
        p = i.store.start(i.task(c))
        p.stdin.write(p.task)
        p.stdin.close()
        time.sleep(rnd.random() * whole)
        p.kill()
        killed += p.wait() < 0
        p.stdout.close()
        p.stderr.close()
        shutil.rmtree(p.quarantine)
        t.eq(os.listdir(i.memo), [])
        for name in ("objects", "packs", "scan", "tmp"):
            t.eq(os.listdir(i.store.path + "/" + name), [])
    print("# %d killed" % killed)
    t.eq(i.run(c), want)


@test
def a_parent_that_is_no_commit_goes_on_too(t):
    """A folder's snapshot with hard links as parent: a number belongs to one file."""
    i = Importer(t)
    d = t.tree({"a": b"same", "d/c": b"2", "gone": b"3"})
    os.link(d + "/a", d + "/d/b")
    parent = i.store.run({"task": "import", "dir": d})["snapshot"]
    c = i.repo.commit_files({"a": b"same", "d/b": b"same", "d/c": b"2", "new": b"4"})
    out = i.like_git(c, parent=parent)
    rows = {r[0]: r for r in describe(out)}
    t.eq(rows[b"a"][6], 1)
    t.eq(rows[b"d/c"][4], os.stat(d + "/d/c").st_mtime_ns)
    t.ok(rows[b"new"][4] > max(os.stat(d + "/" + n).st_mtime_ns for n in ("a", "d", "gone")))


main()
