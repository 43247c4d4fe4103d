"""A folder comes back as it was: every byte and all metadata, through mount, export, commit and remount."""
from orchtest import *
import random
import socket
import tempfile


def big_tree(root, folders=100, files=100):
    """More than 10,000 files, reproducible."""
    r = random.Random(42)
    for i in range(folders):
        folder = os.path.join(root, "dir%d" % (i % 10), "sub%d" % i)
        os.makedirs(folder)
        for k in range(files):
            with open(os.path.join(folder, "f%d.txt" % k), "wb") as f:
                f.write(b"%d %d\n" % (i, k) + r.randbytes(r.choice([0, 1, 100, 5000])))


def odd_tree(root):
    """Every kind of entry that an import keeps, and some that it does not (returned)."""
    root = os.fsencode(root)

    def put(name, data=b"x"):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        return path
    put(b"empty")
    put(b"big", random.Random(1).randbytes(3_000_000))
    put(b"exact-16k", b"a" * 16384)
    put(b"over-16k", b"b" * 16385)
    put(b"n" * 255)
    put(b"not-utf8-\xff\xfe")
    put(b"new\nline and blank\t\x01")
    put("größe-日本語-\U0001f600".encode())
    put(b"deep/" + b"/".join([b"d" * 100] * 20) + b"/leaf")
    os.makedirs(os.path.join(root, b"empty-folder/inner"))
    for mode in (0o000, 0o400, 0o444, 0o600, 0o644, 0o755, 0o777, 0o1644, 0o2755, 0o4755):
        os.chmod(put(b"mode-%04o" % mode), mode)
    os.makedirs(os.path.join(root, b"sticky"))
    os.chmod(os.path.join(root, b"sticky"), 0o1777)
    os.symlink(b"empty", os.path.join(root, b"link"))
    os.symlink(b"/no/such/\xff" + b"x" * 3000, os.path.join(root, b"dangling"))
    first = put(b"hard/one", b"hard")
    for name in (b"hard/two", b"other-hard"):
        os.link(first, os.path.join(root, name))
    sparse = put(b"sparse", b"")
    with open(sparse, "r+b") as f:
        f.seek(20_000_000)
        f.write(b"end")
    for number, ns in enumerate((1, 999_999_999, 1_500_000_000_123_456_789, 4_000_000_000_000_000_001, -5_000_000_001)):
        path = put(b"time-%d" % number)
        os.utime(path, ns=(ns, ns))
    path = put(b"attributes")
    os.setxattr(path, b"user.plain", b"value")
    os.setxattr(path, b"user.binary", bytes(range(256)))
    os.setxattr(os.path.join(root, b"empty-folder"), b"user.folder", b"")
    os.mkfifo(os.path.join(root, b"fifo"))
    s = socket.socket(socket.AF_UNIX)
    s.bind(os.path.join(root, b"socket"))
    s.close()
    for folder, _, _ in os.walk(root, topdown=False):
        os.utime(folder, ns=(10**18 + 7, 10**18 + 7 + len(folder)))
    return [b"socket", b"fifo"]


def describe(root, skip=()):
    """{path: all that can be seen of it}; hard links as the first path of their group."""
    root = os.fsencode(root)
    out, groups = {}, {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(folders + files) + ([b""] if folder == root else []):
            path = os.path.join(folder, name) if name else root
            rel = os.path.relpath(path, root)
            if rel in skip:
                continue
            st = os.lstat(path)
            kind = stat.S_IFMT(st.st_mode)
            if stat.S_ISREG(kind):
                h = hashlib.sha256()
                with open(path, "rb") as f:
                    while chunk := f.read(1 << 20):
                        h.update(chunk)
                content = h.hexdigest()
            else:
                content = os.readlink(path) if stat.S_ISLNK(kind) else None
            group = groups.setdefault(st.st_ino, rel) if stat.S_ISREG(kind) and st.st_nlink > 1 else None
            names = [] if stat.S_ISLNK(kind) else os.listxattr(path, follow_symlinks=False)
            out[rel] = {
                "mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid,
                "size": None if stat.S_ISDIR(kind) else st.st_size, "mtime": st.st_mtime_ns,
                "links": None if stat.S_ISDIR(kind) else st.st_nlink, "content": content, "group": group,
                "xattrs": {n: os.getxattr(path, n, follow_symlinks=False) for n in names if n.startswith("user.")},
            }
    return out


def differences(a, b, limit=20):
    out = []
    for path in sorted(set(a) | set(b)):
        if a.get(path) != b.get(path):
            x, y = a.get(path), b.get(path)
            if x is None or y is None:
                out.append("%r: only %s" % (path, "before" if y is None else "after"))
            else:
                out.append("%r: %s" % (path, {k: (x[k], y[k]) for k in x if x[k] != y[k]}))
    return "\n".join(out[:limit] + (["... %d in all" % len(out)] if len(out) > limit else []))


def check_round_trip(t, d, source, skip=()):
    want = describe(source, skip)
    snapshot = d.shim("snapshot", "import", source, "--ref", "main", timeout=300).stdout.strip()
    t.match(snapshot, r"^[0-9a-f]{64}$")
    mnt = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
    t.eq(differences(want, describe(mnt)), "", "through the mount")
    out = t.path("exported")
    d.shim("snapshot", "export", "main", out, timeout=300)
    t.eq(differences(want, describe(out)), "", "through an export")
    before = {p: os.lstat(os.path.join(os.fsencode(mnt), p)).st_ino for p in want}
    with open(mnt + "/added", "w") as f:
        f.write("added")
    os.utime(mnt, ns=(want[b"."]["mtime"],) * 2)
    d.shim("workspace", "commit", "w", "--ref", "main", timeout=300)
    os.unlink(mnt + "/added")
    os.utime(mnt, ns=(want[b"."]["mtime"],) * 2)
    d.shim("workspace", "commit", "w", "--ref", "main", timeout=300)
    d.shim("workspace", "umount", "w")
    mnt = d.shim("workspace", "mount", "w").stdout.strip() or mnt
    t.eq(differences(want, describe(mnt)), "", "through commit and remount")
    after = {p: os.lstat(os.path.join(os.fsencode(mnt), p)).st_ino for p in want}
    t.eq(after, before, "inode numbers after commit and remount")
    return snapshot


@test(needs="fuse root", timeout=600)
def every_kind_of_entry_comes_back(t):
    source = t.dir("source")
    skipped = odd_tree(source)
    want_skipped = [x for x in skipped]
    with t.daemon() as d:
        check_round_trip(t, d, source, want_skipped)


@test(needs="fuse", timeout=600)
def ten_thousand_files_come_back(t):
    source = t.dir("source")
    big_tree(source)
    with t.daemon() as d:
        check_round_trip(t, d, source)


@test(needs="fuse", timeout=300)
def the_same_input_has_the_same_name(t):
    source = t.tree({"a": "1", "b/c": "2"})
    with t.daemon() as d, t.daemon(name="2") as e:
        one = d.shim("snapshot", "import", source, "--ref", "main").stdout.strip()
        again = d.shim("snapshot", "import", source, "--ref", "main").stdout.strip()
        t.eq(again, one)
        two = e.shim("snapshot", "import", source, "--ref", "main").stdout.strip()
        t.eq(d.shim("snapshot", "show", one, "--json").json()["tree"], e.shim("snapshot", "show", two, "--json").json()["tree"])


def roomy_folder(t):
    """In memory where there is some: 100,000 files are quick to make there, and the source may lie anywhere."""
    if not os.access("/dev/shm", os.W_OK) or shutil.disk_usage("/dev/shm").free < 2 << 30:
        return t.dir("source")
    folder = tempfile.mkdtemp(prefix=t.tag, dir="/dev/shm")
    t.finally_(shutil.rmtree, folder)
    return folder


def hundred_thousand_files(source):
    for i in range(100):
        os.mkdir("%s/d%d" % (source, i))
        for j in range(1000):
            with open("%s/d%d/f%d.txt" % (source, i, j), "wb") as f:
                f.write(b"%d\n" % (j % 300))


@test(needs="strace", timeout=600)
def importing_a_hundred_thousand_unchanged_files_again_opens_none(t):
    source = roomy_folder(t)
    hundred_thousand_files(source)
    newest = time.time()
    with t.daemon() as d:
        first = d.shim("snapshot", "import", source, "--ref", "r", timeout=300).stdout.strip()
        wait_until(lambda: time.time() - newest > 4, timeout=30, what="files that are no longer young")
        d.shim("snapshot", "import", source, "--ref", "r", timeout=300)  # this one may read the young again
    trace = t.path("trace")
    strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=open,openat,openat2", "-o", trace]
    with t.daemon(wrap=strace) as d:
        again = d.shim("snapshot", "import", source, "--ref", "r", timeout=300).stdout.strip()
        t.eq(again, first)
        t.ok(b"d99" in open(trace, "rb").read(), "the trace does not show the walk")
        opened = [line for line in open(trace, "rb").read().split(b"\n") if b".txt" in line]
        t.eq(opened[:5], [], "%d files were opened" % len(opened))
        os.truncate(trace, 0)
        with open(source + "/d7/f7.txt", "ab") as f:
            f.write(b"changed")
        d.shim("snapshot", "import", source, "--ref", "r", timeout=300)
        opened = [line for line in open(trace, "rb").read().split(b"\n") if b".txt" in line]
        t.eq(len(opened), 1, "files opened after one was changed")


@test(needs="fuse", timeout=300)
def sixteen_forks_use_the_disk_of_one(t):
    source = t.dir("source")
    with open(source + "/large", "wb") as f:
        f.write(os.urandom(20_000_000))
    with t.daemon() as d:
        d.shim("snapshot", "import", source, "--ref", "main")
        mnt = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
        with open(mnt + "/private", "wb") as f:
            f.write(os.urandom(20_000_000))
        os.sync()
        before = disk(d.store)
        mounts = [d.shim("workspace", "fork", "w", "f%d" % i).stdout.strip() for i in range(16)]
        os.sync()
        t.ok(disk(d.store) - before < 16_000_000, "16 forks took %d bytes" % (disk(d.store) - before))
        for i, m in enumerate(mounts):
            with open(m + "/private", "r+b") as f:
                f.write(b"fork %02d" % i)
        for i, m in enumerate(mounts):
            t.eq(open(m + "/private", "rb").read(7), b"fork %02d" % i)
            t.eq(os.path.getsize(m + "/private"), 20_000_000)
        t.ok(open(mnt + "/private", "rb").read(5) != b"fork ", "a fork wrote to what it was forked from")


def disk(folder):
    total, seen = 0, set()
    for f, _, files in os.walk(folder):
        for name in files:
            st = os.lstat(os.path.join(f, name))
            if st.st_ino not in seen:
                seen.add(st.st_ino)
                total += st.st_blocks * 512
    return total


main()
