"""
The same random operations on a mount and on a native folder, compared after each: results, error numbers,
and from time to time the whole tree. A seed makes a run again.
"""
import errno
import os
import random
import stat

from orchtest import Failure

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def renameat2(old, new, flags):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))


def tree(root, content=True):
    """{path: what can be compared} of everything below root."""
    out = {}
    inodes = {}

    def visit(path, rel):
        st = os.lstat(path)
        kind = stat.S_IFMT(st.st_mode)
        x = [kind, stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_nlink]
        if stat.S_ISLNK(kind):
            x.append(os.readlink(path))
        elif stat.S_ISREG(kind):
            x += [st.st_size, inodes.setdefault(st.st_ino, len(inodes)) if st.st_nlink > 1 else None]
            if content:
                with open(path, "rb") as f:
                    x.append(f.read())
        elif stat.S_ISDIR(kind):
            names = sorted(os.listdir(path))
            x.append(names)
        if not stat.S_ISLNK(kind):
            x.append(sorted((n, os.getxattr(path, n)) for n in os.listxattr(path) if n.startswith("user.")))
        out[rel] = x
        if stat.S_ISDIR(kind):
            for n in names:
                visit(path + "/" + n, rel + "/" + n)
    visit(root, "")
    return out


def compare(a, b, where=""):
    same(tree(a), tree(b), where)


def same(ta, tb, where=""):
    for k in sorted(set(ta) | set(tb)):
        if ta.get(k) != tb.get(k):
            raise Failure("%s %s differs\n  mount:  %.300r\n  native: %.300r" % (where, k or "/", ta.get(k), tb.get(k)))


class Model:
    def __init__(self, mnt, native, seed):
        self.roots = (mnt, native)
        self.r = random.Random(seed)
        self.seed = seed
        self.step = 0
        self.trace = []
        self.open = []  # (fd, fd, writable)
        self.dirs = [""]
        self.files = []

    def path(self, exists=0.7):
        r = self.r
        if self.files and r.random() < exists:
            return r.choice(self.files)
        return r.choice(self.dirs) + "/" + r.choice("abcdefgh") + r.choice(["", "", "1", "2"])

    def both(self, name, f, *args):
        """Runs f(root, *args) on both; the results or error numbers must be equal."""
        self.step += 1
        self.trace.append((self.step, name) + tuple(repr(a)[:40] for a in args))
        got = []
        for i, root in enumerate(self.roots):
            try:
                got.append(("ok", f(root, i)))
            except OSError as e:
                got.append(("error", errno.errorcode.get(e.errno, e.errno)))
        if got[0] != got[1]:
            raise Failure("seed %s: %s\n  mount:  %.300r\n  native: %.300r\nlast operations:\n%s" % (
                self.seed, self.trace[-1], got[0], got[1], "\n".join(map(str, self.trace[-15:]))))
        return got[0]

    def close_all(self):
        for a, b, _ in self.open:
            os.close(a)
            os.close(b)
        self.open = []

    # each operation

    def op_write(self):
        p, data, at = self.path(), self.r.randbytes(self.r.choice([1, 100, 5000, 70000])), self.r.choice([0, 0, 10, 9000])
        flags = os.O_WRONLY | self.r.choice([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_TRUNC,
                                             os.O_APPEND, os.O_CREAT | os.O_TRUNC])

        def f(root, i):
            fd = os.open(root + p, flags, 0o644)
            try:
                return os.pwrite(fd, data, at)
            finally:
                os.close(fd)
        if self.both("write", f, p, hex(flags), len(data), at)[0] == "ok" and p not in self.files:
            self.files.append(p)

    def op_read(self):
        p = self.path(0.9)

        def f(root, i):
            with open(root + p, "rb") as x:
                return x.read()
        self.both("read", f, p)

    def op_stat(self):
        p = self.path(0.9)

        def f(root, i):
            st = os.lstat(root + p)
            return st.st_mode, st.st_nlink, st.st_size if stat.S_ISREG(st.st_mode) else 0, st.st_uid, st.st_gid
        self.both("stat", f, p)

    def op_mkdir(self):
        p = self.path(0.2)
        if p.count("/") > 6:
            return
        if self.both("mkdir", lambda root, i: os.mkdir(root + p, 0o755), p)[0] == "ok":
            self.dirs.append(p)

    def op_rmdir(self):
        p = self.r.choice(self.dirs + [self.path()])
        if p and self.both("rmdir", lambda root, i: os.rmdir(root + p), p)[0] == "ok":
            self.dirs = [d for d in self.dirs if d != p]

    def op_unlink(self):
        p = self.path(0.9)
        if self.both("unlink", lambda root, i: os.unlink(root + p), p)[0] == "ok":
            self.files = [x for x in self.files if x != p]

    def op_link(self):
        a, b = self.path(0.9), self.path(0.2)
        if self.both("link", lambda root, i: os.link(root + a, root + b, follow_symlinks=False), a, b)[0] == "ok":
            self.files.append(b)

    def op_symlink(self):
        a, b = self.r.choice(["x", "../y", "a/b", "z" * 300]), self.path(0.1)
        if self.both("symlink", lambda root, i: os.symlink(a, root + b), a, b)[0] == "ok":
            self.files.append(b)

    def op_mkfifo(self):
        p = self.path(0.1)
        self.both("mkfifo", lambda root, i: os.mkfifo(root + p, 0o600), p)
        self.both("unlink fifo", lambda root, i: os.unlink(root + p), p)
        self.files = [x for x in self.files if x != p]

    def moved(self, a, b):
        def name(x):
            return b + x[len(a):] if x == a or x.startswith(a + "/") else x
        self.files = sorted(set(map(name, self.files)))
        self.dirs = sorted(set(map(name, self.dirs)))

    def op_rename(self):
        a = self.r.choice(self.dirs) if self.r.random() < 0.3 else self.path(0.9)
        b = self.path(0.5) if self.r.random() < 0.8 else self.r.choice(self.dirs)
        if not a or not b:
            return
        flags = self.r.choice([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])
        if self.both("rename", lambda root, i: renameat2(root + a, root + b, flags), a, b, flags)[0] == "ok":
            self.rescan()

    def op_chmod(self):
        p, mode = self.path(0.9), self.r.choice([0o600, 0o644, 0o755, 0o4755, 0o2755, 0o1777])
        self.both("chmod", lambda root, i: os.chmod(root + p, mode), p, oct(mode))

    def op_chown(self):
        p, uid, gid = self.path(0.9), self.r.choice([-1, 0, 1000]), self.r.choice([-1, 0, 1000])
        self.both("chown", lambda root, i: os.lchown(root + p, uid, gid), p, uid, gid)

    def op_utimens(self):
        p, a, m = self.path(0.9), self.r.randrange(-10**18, 2 * 10**18), self.r.randrange(-10**18, 2 * 10**18)

        def f(root, i):
            os.utime(root + p, ns=(a, m), follow_symlinks=False)
            return os.lstat(root + p).st_mtime_ns
        self.both("utimens", f, p, m)

    def op_truncate(self):
        p, n = self.path(0.9), self.r.choice([0, 0, 1, 100, 4096, 100000])
        self.both("truncate", lambda root, i: os.truncate(root + p, n), p, n)

    def op_xattr(self):
        p, n, v = self.path(0.9), "user." + self.r.choice("abc"), self.r.randbytes(self.r.choice([0, 5, 300]))
        if self.r.random() < 0.3:
            self.both("removexattr", lambda root, i: os.removexattr(root + p, n, follow_symlinks=False), p, n)
        else:
            flags = self.r.choice([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE])
            self.both("setxattr", lambda root, i: os.setxattr(root + p, n, v, flags, follow_symlinks=False), p, n, flags)

    def op_list(self):
        p = self.r.choice(self.dirs)
        self.both("list", lambda root, i: sorted(os.listdir(root + p)), p)

    def op_open(self):
        p = self.path(0.9)
        flags = self.r.choice([os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_TRUNC])
        fds = [-1, -1]

        def f(root, i):
            fds[i] = os.open(root + p, flags | os.O_NOFOLLOW, 0o644)
            return stat.S_IFMT(os.fstat(fds[i]).st_mode)
        r = self.both("open", f, p, hex(flags))
        if r[0] == "ok":
            writable = flags & os.O_ACCMODE != os.O_RDONLY
            if writable:
                if p not in self.files and flags & os.O_CREAT:
                    self.files.append(p)
                self.open.append((fds[0], fds[1], True))
            else:  # a reader of shared content keeps the old bytes when it is copied up: documented
                os.close(fds[0])
                os.close(fds[1])
        if len(self.open) > 10:
            a, b, _ = self.open.pop(0)
            os.close(a)
            os.close(b)

    def op_handle(self):
        if not self.open:
            return
        fds = self.r.choice(self.open)[:2]
        kind = self.r.choice(["pwrite", "pread", "fstat", "ftruncate", "fsync", "fchmod", "fallocate"])
        at, n = self.r.choice([0, 3, 5000]), self.r.choice([1, 50, 9000])
        data = self.r.randbytes(n)

        def f(root, i):
            fd = fds[i]
            if kind == "pwrite":
                return os.pwrite(fd, data, at)
            if kind == "pread":
                return os.pread(fd, n, at)
            if kind == "fstat":
                st = os.fstat(fd)
                return st.st_mode, st.st_nlink, st.st_size if stat.S_ISREG(st.st_mode) else 0
            if kind == "ftruncate":
                return os.ftruncate(fd, at)
            if kind == "fsync":
                return os.fsync(fd)
            if kind == "fchmod":
                return os.fchmod(fd, 0o640)
            return os.posix_fallocate(fd, at, n)
        self.both("handle " + kind, f, at, n)

    def rescan(self):
        self.files, self.dirs = [], [""]
        root = self.roots[1]
        for folder, dirs, files in os.walk(root):
            rel = folder[len(root):]
            self.dirs += [rel + "/" + d for d in dirs if not os.path.islink(folder + "/" + d)]
            self.files += [rel + "/" + f for f in files]
            self.files += [rel + "/" + d for d in dirs if os.path.islink(folder + "/" + d)]
        self.files.sort()
        self.dirs.sort()

    WEIGHTS = {"write": 12, "read": 5, "stat": 5, "mkdir": 5, "rmdir": 2, "unlink": 6, "link": 3, "symlink": 2, "mkfifo": 1,
               "rename": 8, "chmod": 3, "chown": 2, "utimens": 3, "truncate": 4, "xattr": 3, "list": 3, "open": 6, "handle": 12}

    def run(self, steps, every=200):
        self.rescan()
        ops, weights = zip(*self.WEIGHTS.items())
        for i in range(steps):
            getattr(self, "op_" + self.r.choices(ops, weights)[0])()
            if i % every == every - 1:
                self.compare()

    def compare(self):
        try:
            compare(*self.roots, where="seed %s step %d:" % (self.seed, self.step))
        except Failure as e:
            raise Failure("%s\nlast operations:\n%s" % (e, "\n".join(map(str, self.trace[-60:])))) from None
