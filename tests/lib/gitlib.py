"""Git repositories for tests: written object by object, so that they may hold what Git itself would never write."""
import random
import zlib

from orchtest import *
from orchtest import Failure

FILE, PROGRAM, LINK, FOLDER, MODULE = "100644", "100755", "120000", "40000", "160000"


def git_env(t):
    """Nobody's configuration, a fixed author."""
    home = t.dir()
    return dict(os.environ, HOME=home, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", LC_ALL="C",
                GIT_AUTHOR_NAME="A", GIT_AUTHOR_EMAIL="a@example.org", GIT_COMMITTER_NAME="C",
                GIT_COMMITTER_EMAIL="c@example.org")


class Repo:
    """A bare repository. Ids are hex digits."""

    def __init__(self, t, path=None):
        self.t = t
        self.env = git_env(t)
        self.path = path or t.dir() + "/repo.git"
        self.time = 1600000000
        self.loose = {}  # what is in no pack yet
        self.offsets = {}  # oid => (pack, first byte, end)
        if not os.path.exists(self.path):
            self.git("init", "-q", "--bare", self.path, at=None)

    def git(self, *argv, at="", status=0, input=None):
        where = [] if at is None else ["--git-dir=" + self.path]
        p = subprocess.run(["git"] + where + list(argv), env=self.env, input=input, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, check=False)
        if p.returncode != status:
            raise Failure("git %s: %s" % (" ".join(argv), p.stderr.decode("utf-8", "replace")))
        return p.stdout

    def place(self, oid):
        return "%s/objects/%s/%s" % (self.path, oid[:2], oid[2:])

    def write(self, kind, data, oid=None):
        """Whatever it is. oid: the name that it gets, if not its own."""
        whole = b"%s %d\0" % (kind.encode(), len(data)) + data
        oid = oid or hashlib.sha1(whole).hexdigest()
        if not os.path.exists(self.place(oid)):
            self.loose[oid] = (kind, data)
            os.makedirs(os.path.dirname(self.place(oid)), exist_ok=True)
            with open(self.place(oid), "wb") as f:
                f.write(zlib.compress(whole, 1))
        return oid

    def pack(self):
        """Puts what was written since into a pack, as a fetch would, whatever it holds. (Git goes on with the loose files.)"""
        if not self.loose:
            return
        out, places = bytearray(b"PACK" + (2).to_bytes(4, "big") + len(self.loose).to_bytes(4, "big")), {}
        for oid, (kind, data) in self.loose.items():
            begin, size = len(out), len(data)
            byte = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}[kind] << 4 | size & 15
            size >>= 4
            while size:
                out.append(byte | 128)
                byte, size = size & 127, size >> 7
            out.append(byte)
            out += zlib.compress(data, 1)
            places[oid] = (begin, len(out))
        out += hashlib.sha1(out).digest()
        path = "%s/objects/pack/pack-%s" % (self.path, hashlib.sha1(out).hexdigest())
        with open(path + ".pack", "wb") as f:
            f.write(out)
        self.git("index-pack", "-o", path + ".idx", path + ".pack")
        self.offsets.update({oid: (path + ".pack",) + place for oid, place in places.items()})
        self.loose = {}

    def blob(self, data):
        return self.write("blob", data)

    def tree(self, entries, sort=True):
        """entries: (mode, name, id)."""
        entries = [(m, os.fsencode(n), i) for m, n, i in entries]
        if sort:
            entries.sort(key=lambda e: e[1] + (b"/" if e[0].lstrip("0").startswith("4") else b""))
        return self.write("tree", b"".join(b"%s %s\0%s" % (m.encode(), n, bytes.fromhex(i)) for m, n, i in entries))

    def commit(self, tree, parents=(), when=None):
        self.time += 60
        when = self.time if when is None else when
        return self.write("commit", (
            "tree %s\n%sauthor A <a@example.org> %s +0000\ncommitter C <c@example.org> %s +0000\n\nm\n" % (
                tree, "".join("parent %s\n" % p for p in parents), when, when)).encode())

    def folder(self, files):
        """files: {path: bytes, (mode, bytes) or (MODULE, id)} => the id of the tree."""
        here, below = [], {}
        for path, what in files.items():
            path = os.fsencode(path)
            mode, data = what if isinstance(what, tuple) else (FILE, what)
            name, slash, rest = path.partition(b"/")
            if slash:
                below.setdefault(name, {})[rest] = what
            else:
                here.append((mode, name, data if mode == MODULE else self.blob(data)))
        here += [(FOLDER, name, self.folder(sub)) for name, sub in below.items()]
        return self.tree(here)

    def commit_files(self, files, parents=(), when=None):
        return self.commit(self.folder(files), parents, when)

    def checkout(self, commit, name=None):
        """What Git makes of it: a folder, without .git."""
        path = self.t.dir() + "/" + (name or "checkout")
        os.mkdir(path, 0o755)
        index = path + ".index"
        p = subprocess.run(["git", "--git-dir=" + self.path, "--work-tree=" + path, "-c", "core.bare=false", "checkout",
                            "-q", "-f", commit, "--", "."], env=dict(self.env, GIT_INDEX_FILE=index), umask=0o022,
                           stderr=subprocess.PIPE, check=False)
        if p.returncode:
            raise Failure("git checkout: %s" % p.stderr.decode("utf-8", "replace"))
        return path


def content(root):
    """Paths with type, mode, content; nothing of times and numbers. Empty for a folder that is not there."""
    root, out = os.fsencode(root), {}
    for folder, folders, files in os.walk(root):
        for name in files + folders:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            row = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode)]
            if stat.S_ISLNK(st.st_mode):
                row = ["link", os.readlink(path)]
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    row.append(f.read())
            out[os.path.relpath(path, root)] = row
    return out


def same_content(t, a, b):
    a, b = content(a), content(b)
    for path in sorted(set(a) | set(b)):
        if a.get(path) != b.get(path):
            raise Failure("%r: %.300r\nis not %.300r" % (path, a.get(path), b.get(path)))


WORDS = ["a", "b", "src", "lib", "Makefile", "x.txt", "X.txt", "y.c", "main.c", "doc", "\u00e4\u00f6", "sp ace", "tab\there", "new\nline",
         "-dash", "\udcff\udcfe", "quote\"", "back\\slash", ".hidden", "a.b.c", "~", "#", "*", "[x]", "con", "e\u0301"]


def next_files(rnd, files):
    """The next commit's files: a few changes of every kind."""
    files = dict(files)

    def path():
        return "/".join(rnd.choice(WORDS) for _ in range(rnd.randint(1, 4)))

    def room(p):
        """Whatever is in the way of path p goes."""
        for q in list(files):
            if q == p or q.startswith(p + "/") or p.startswith(q + "/"):
                del files[q]

    for _ in range(rnd.randint(1, 6)):
        kind = rnd.randrange(8)
        old = rnd.choice(sorted(files)) if files else None
        if old is None or kind == 0:  # new
            p = path()
            room(p)
            files[p] = (rnd.choice([FILE, PROGRAM]), rnd.randbytes(rnd.randint(0, 400)))
        elif kind == 1:  # changed
            files[old] = (files[old][0], files[old][1] + b"x")
        elif kind == 2:  # removed
            del files[old]
        elif kind == 3:  # renamed, perhaps by case only, or into a folder's place
            what, p = files.pop(old), rnd.choice([path(), old.swapcase()])
            room(p)
            files[p] = what
        elif kind == 4:  # mode
            if files[old][0] != LINK:
                files[old] = (PROGRAM if files[old][0] == FILE else FILE, files[old][1])
        elif kind == 5:  # type
            files[old] = (LINK, rnd.choice([b"x.txt", b"../..", b"/etc", b"loop", b"\xff"])) if files[old][0] != LINK \
                else (FILE, b"was a link\n")
        elif kind == 6:  # a file becomes a folder, or a folder a file
            if "/" in old and rnd.random() < 0.5:
                p = old.rpartition("/")[0]
                room(p)
                files[p] = (FILE, b"was a folder\n")
            else:
                what = files.pop(old)
                files[old + "/" + rnd.choice(WORDS)] = what
        else:  # the same content once more
            p = path()
            what = files[old]
            room(p)
            files[p] = what
    return files
