#!/usr/bin/env python3
"""
The corruption matrix: each thing that a store is made of, damaged in each way, while nothing runs and under a
keeper with mounted workspaces.

For each cell the same is asked. Everything is read in every workspace and compared with what was there before: a
file either is what it was, or it can't be read (EIO and the like); it is never something else, and never just not
there. What can't be read must be in `hurts`. Nothing crashes and nothing hangs. `store verify` tells the damage by
its kind (`told`), --repair leaves what is in `left`, a second one finds nothing new, and importing the same sources
again heals what was imported.

ORCH_TEST_CORRUPTION=N tries each damage at N places (1); ORCH_TEST_CELL=PATTERN only cells with such a name.
"""
import fnmatch
import random
from faults import Faults
from orchtest import *

PLACES = int(os.environ.get("ORCH_TEST_CORRUPTION", "1"))
ONLY = os.environ.get("ORCH_TEST_CELL", "*")
TOOL = os.path.join(BUILD, "tests/crash/db-tool")
WORKSPACES = ("w1", "f1", "w2", "w3")
ALL = ("w1/*", "f1/*", "w2/*", "w3/*")
OURS = ("w1/*", "f1/*", "w2/*")  # what stands on the first source


# ---- looking

def look_at(path):
    st = os.lstat(path)
    mode = stat.S_IMODE(st.st_mode)
    if stat.S_ISDIR(st.st_mode):
        return ("folder", mode)
    if stat.S_ISLNK(st.st_mode):
        return ("link", os.readlink(path))
    fd = os.open(path, os.O_RDONLY)
    try:
        h = hashlib.sha256()
        while True:
            b = os.read(fd, 1 << 20)
            if not b:
                return ("file", mode, st.st_size, st.st_mtime_ns, h.hexdigest())
            h.update(b)
    finally:
        os.close(fd)


def look(root):
    """{path: what it is, or ("error", errno)}"""
    out = {}

    def into(path, name):
        try:
            out[name] = look_at(path)
            names = sorted(os.listdir(path)) if out[name][0] == "folder" else []
        except OSError as e:
            out[name] = ("error", e.errno)
            return
        for n in names:
            into(path + "/" + n, name + "/" + n if name else n)

    into(root, "")
    return out


def differences(name, before, now, hurts, rotten):
    """What is wrong: not what it was, and not a refusal that was to be expected."""
    bad = []
    hidden = [p for p, x in now.items() if x[0] == "error"]
    for path, x in now.items():
        full = name + "/" + path
        if x[0] == "error":
            if x[1] == errno.ENOENT or not any(fnmatch.fnmatch(full, g) for g in hurts):
                bad.append("%s: %s" % (full, errno.errorcode[x[1]]))
        elif path not in before:
            bad.append("%s: was not there" % full)
        elif x != before[path] and not any(fnmatch.fnmatch(full, g) for g in rotten):
            bad.append("%s: is %s, was %s" % (full, x, before[path]))
    for path in before:
        if path not in now and not any(path == h or h == "" or path.startswith(h + "/") for h in hidden):
            bad.append("%s/%s: has gone" % (name, path))
    return bad


# ---- the store that is damaged

class World:
    """A store with everything in it, kept aside; each cell gets a copy in the same place."""

    def __init__(self, t):
        self.t = t
        self.golden = t.path("golden")
        self.store = t.path("store")
        self.sources = [t.tree({"a.txt": "small\n", "big.bin": random.Random(1).randbytes(300000), "d/b.txt": "b\n",
                                "d/e/c.txt": "c\n", "d/link": ("->", "../a.txt"), "other.bin": random.Random(2).randbytes(200000)}),
                        t.tree({"z.txt": "third\n", "y/x.bin": random.Random(3).randbytes(100000), "y/l": ("->", "x.bin")})]
        os.link(self.sources[0] + "/a.txt", self.sources[0] + "/d/hard")
        t.run(["cp", "-a", self.sources[0], t.path("changed")])
        put(t.path("changed") + "/d/b.txt", "changed\n")
        self.imports = (("main", self.sources[0]), ("second", t.path("changed")), ("third", self.sources[1]))
        with self.daemon() as d:
            self.make(d)
        self.t.run([TOOL, self.store + "/db", "list"])  # it moves the records out of the log, into a table
        with self.daemon() as d:  # as it is after a remount
            self.mount(d)
            self.before = {w: look(d.mounts + "/" + w) for w in WORKSPACES}
            self.layers = {x["name"]: x["layer"] for x in d.http("GET", "/v1/workspaces").json()["workspaces"]}
            self.refs = {x["name"]: x["id"] for x in d.http("GET", "/v1/refs").json()["refs"]}
        self.parent = next(int(x) for x in os.listdir(self.store + "/layers") if int(x) not in self.layers.values())
        shutil.copytree(self.store, self.golden, symlinks=True)

    def daemon(self):
        d = self.t.daemon(store=self.store)
        d.allow_errors(".")
        return d

    def make(self, d):
        for ref, source in self.imports:
            d.shim("snapshot", "import", source, "--ref", ref)
        for w, ref in (("w1", "main"), ("w2", "second"), ("w3", "third")):
            m = d.shim("workspace", "create", w, "--from", ref).stdout.strip()
            os.makedirs(m + "/n")
            put(m + "/n/" + w, w * 3000)
            for i in range(20):
                put(m + "/n/f%d" % i, str(i))
        m = d.mounts + "/w1"
        with open(m + "/a.txt", "a") as f:
            f.write("more\n")
        os.rename(m + "/d/b.txt", m + "/d/moved.txt")
        d.shim("workspace", "fork", "w1", "f1")
        put(m + "/after", "after the fork")
        for i in range(20):
            put(m + "/n/g%d" % i, str(i))
        put(d.mounts + "/f1/mine", "fork")

    def mount(self, d):
        """{workspace: what it said} of those that could not be mounted."""
        failed = {}
        for w in WORKSPACES:
            r = d.shim("workspace", "mount", w, status=None)
            if r.status != 0:
                failed[w] = r.stderr
        return failed

    def scan(self):
        return self.store + "/scan/" + sorted(os.listdir(self.store + "/scan"))[0]

    def restore(self):
        shutil.rmtree(self.store, ignore_errors=True)
        self.t.run(["cp", "-a", self.golden, self.store])


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


# ---- damages

def write_at(path, at, data):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, data, at)
    os.close(fd)


def flip(path, rnd, at=None):
    size = os.stat(path).st_size
    at = rnd.randrange(size) if at is None else at % size
    with open(path, "rb") as f:
        f.seek(at)
        b = f.read(1)[0]
    write_at(path, at, bytes([b ^ (1 << rnd.randrange(8))]))


def rot(path, rnd):
    st = os.stat(path)
    flip(path, rnd)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def cut(path, size):
    os.truncate(path, size)


def swap(a, b):
    os.rename(a, a + ".swap")
    os.rename(b, a)
    os.rename(a + ".swap", b)


def replace(path, make):
    os.unlink(path) if not os.path.isdir(path) else shutil.rmtree(path)
    make(path)


FILE_DAMAGES = {
    "flipped": lambda p, r: flip(p, r),
    "cut to nothing": lambda p, r: cut(p, 0),
    "cut in half": lambda p, r: cut(p, os.stat(p).st_size // 2),
    "cut by a byte": lambda p, r: cut(p, os.stat(p).st_size - 1),
    "made zeros": lambda p, r: write_at(p, 0, bytes(os.stat(p).st_size)),
    "removed": lambda p, r: os.unlink(p),
    "made longer": lambda p, r: open(p, "ab").write(b"\0garbage") and None,
    "a link": lambda p, r: replace(p, lambda q: os.symlink("/etc/hostname", q)),
    "a fifo": lambda p, r: replace(p, os.mkfifo),
    "a folder": lambda p, r: replace(p, os.mkdir),
}


# ---- where things are

def obj(content):
    h = hashlib.sha256(content).hexdigest()
    return "objects/%s/%s/%s" % (h[:2], h[2:4], h)


# ---- one cell

class Cell:
    def __init__(self, thing, how, damage, hurts=(), told=None, left=(), healed=(), start=None, either=False,
                 rotten=(), lost=(), live=False, remount=False, ignore=(), anew=None, refs_lost=False):
        self.name = "%s %s%s" % (thing, how, ", live" if live else "")
        self.damage = damage          # damage(world, rnd)
        self.hurts = hurts            # what may be unreadable afterwards
        self.told = told              # regular expression that one of verify's findings matches; None: it finds nothing
        self.left = left              # kinds that verify still tells after a repair
        self.healed = healed          # kinds that it tells after the sources were imported again
        self.start = start            # the keeper does not start and says this
        self.either = either          # or it starts, and all is there
        self.rotten = rotten          # what may be other bytes: documented exceptions
        self.lost = lost              # workspaces that have gone
        self.live = live              # damaged under a running keeper and mounted workspaces
        self.remount = remount        # and all is there after an unmount
        self.ignore = ignore          # kinds that verify may tell or not: it is mended by itself
        self.refs_lost = refs_lost
        self.anew = anew              # the database is made anew, and that says this; then all is there


def run_cell(w, cell, seed):
    rnd = random.Random("%s/%d" % (cell.name, seed))
    w.restore()
    d = w.daemon()
    if cell.live:
        d.start()
        w.t.eq(w.mount(d), {}, cell.name)
        for n in WORKSPACES:
            os.stat(d.mounts + "/" + n)
        cell.damage(w, rnd)
    else:
        cell.damage(w, rnd)
        try:
            d.start()
        except Failure as e:
            d.process = None
            w.t.ok(cell.start and re.search(cell.start, str(e)), "%s: does not start: %s" % (cell.name, e))
            if cell.anew is None:
                return
            make_anew(w, d, cell, str(e))
        else:
            w.t.ok(not cell.start or cell.either, "%s: it started" % cell.name)
    use(w, d, cell)
    if cell.remount:
        remount(w, d, cell)
    if cell.anew is not None:
        refs = {x["name"]: x["id"] for x in d.http("GET", "/v1/refs").json()["refs"]}
        w.t.eq(refs, {} if cell.refs_lost else w.refs, cell.name + ": refs")
    mend(w, d, cell)
    w.t.eq(d.stop(), 0, cell.name)


def make_anew(w, d, cell, error):
    """By the command that the error names; the old database is kept."""
    w.t.ok("`orch-fsd --repair-database --store %s`" % w.store in error, "%s: no way out: %s" % (cell.name, error))
    had = sorted(os.listdir(w.store + "/db")) if os.path.isdir(w.store + "/db") else None
    out = w.t.run([program("orch-fsd"), "--repair-database", "--store", w.store, "--mounts", d.mounts]).stdout
    w.t.ok(re.search(cell.anew, out, re.M), "%s: it says %s" % (cell.name, out))
    w.t.eq([] if re.search("^ref.* lost", out, re.M) is None else ["refs"], ["refs"] if cell.refs_lost else [], "%s: %s" % (cell.name, out))
    if had is not None:
        w.t.eq(sorted(os.listdir(w.store + "/quarantine/db-1")), had, cell.name + ": the old one")
    d.start()


def bad_of(d, repair=False):
    r = d.http("POST", "/v1/store/verify", {"repair": repair})
    last = json.loads(r.body.strip().split(b"\n")[-1])
    if "result" not in last:
        raise Failure("verify: %s" % last)
    return last["result"]["bad"]


def key_of(bad):
    return sorted("%s %s" % (b["kind"], b["name"]) for b in bad)


def read_all(w, d, cell):
    """Differences of all workspaces that can be mounted."""
    failed = w.mount(d)
    bad = []
    for n, why in failed.items():
        if not any(fnmatch.fnmatch(n + "/", g.replace("*", "")) for g in cell.hurts if g.endswith("/*")):
            bad.append("%s can't be mounted: %s" % (n, why))
    for n in WORKSPACES:
        if n not in failed:
            bad += differences(n, w.before[n], look(d.mounts + "/" + n), cell.hurts, cell.rotten)
    return bad, failed


def use(w, d, cell):
    bad, failed = read_all(w, d, cell)
    w.t.eq(bad, [], cell.name)
    w.t.eq(len(d.pids("orch-mount")), len(WORKSPACES) - len(failed), cell.name + ": mount processes")
    for n in set(WORKSPACES) - set(failed):  # and it can be written
        try:
            put(d.mounts + "/%s/written" % n, "x")
            os.unlink(d.mounts + "/%s/written" % n)
        except OSError as e:
            w.t.ok(n + "/*" in cell.hurts, "%s: %s can't be written: %s" % (cell.name, n, e))
    names = {x["name"]: x for x in d.http("GET", "/v1/workspaces").json()["workspaces"]}
    for n in set(failed) - set(cell.lost):
        w.t.ok(n in names, "%s: %s is not shown" % (cell.name, n))
    w.t.eq(d.process.poll(), None, cell.name)


def remount(w, d, cell):
    for n in WORKSPACES:
        put(d.mounts + "/%s/kept" % n, "kept")
        d.shim("workspace", "umount", n)
    w.t.eq(w.mount(d), {}, cell.name)
    for n in WORKSPACES:
        w.t.eq(open(d.mounts + "/%s/kept" % n).read(), "kept", cell.name)
        os.unlink(d.mounts + "/%s/kept" % n)
    w.t.eq(read_all(w, d, cell)[0], [], cell.name + ": mounted again")


def drop(w, d, cell):
    """What can't be mended can be given up."""
    for n in w.mount(d):
        if n not in cell.lost:
            d.shim("workspace", "drop", n)
            w.t.ok(n not in d.shim("workspace", "list").stdout.split(), cell.name)
            d.shim("workspace", "create", n, "--from", "third")


def mend(w, d, cell):
    bad = [b for b in bad_of(d) if b["kind"] not in cell.ignore]
    if cell.told is None:
        w.t.eq(key_of(bad), [], cell.name)
        return
    w.t.ok(any(re.search(cell.told, "%s %s: %s" % (b["kind"], b["name"], b["error"])) for b in bad),
           "%s: verify tells %s" % (cell.name, bad))
    bad_of(d, True)
    left = bad_of(d)
    w.t.ok(set(b["kind"] for b in left) <= set(cell.left), "%s: after the repair %s" % (cell.name, left))
    again = bad_of(d, True)
    w.t.eq(key_of(again), key_of(left), cell.name + ": a second repair")
    w.t.eq([b for b in again if b["repaired"]], [], cell.name + ": a second repair mends")
    heal(w, d, cell)
    if not cell.left:
        w.t.eq([n for n in w.mount(d) if n not in cell.lost], [], cell.name + ": mended")
    drop(w, d, cell)


def heal(w, d, cell):
    """The same sources again, then everything of them is there."""
    for ref, source in w.imports:
        d.shim("snapshot", "import", source, "--ref", ref)
    for ref, name in (("main", "h1"), ("third", "h3")):
        m = d.shim("workspace", "create", name, "--from", ref).stdout.strip()
        got = [p for p, x in look(m).items() if x[0] == "error"]
        w.t.eq(got, [], "%s: not healed" % cell.name)
        d.shim("workspace", "drop", name)
    bad = bad_of(d)
    w.t.ok(set(b["kind"] for b in bad) <= set(cell.healed), "%s: after the import %s" % (cell.name, bad))


def run_cells(t, cells):
    w = World(t)
    problems = []
    for cell in cells(w):
        if not fnmatch.fnmatch(cell.name, ONLY):
            continue
        for seed in range(PLACES):
            try:
                run_cell(w, cell, seed)
            except Failure as e:
                problems.append(str(e))
                for d in t._daemons:
                    if d.process is not None:
                        problems.append(d.log_tail(8))
            for d in t._daemons:
                end(w, d)
            t._daemons.clear()
    t.ok(not problems, "\n\n".join(p[:1500] for p in problems))


def end(w, d):
    """Whatever the cell did: nothing of it is left."""
    with contextlib.suppress(Failure):
        d.stop()
    d.process = None
    for pid in d.pids("orch-mount"):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for n in os.listdir(d.mounts) if os.path.isdir(d.mounts) else []:
        subprocess.run(["umount", "-l", d.mounts + "/" + n], stderr=subprocess.DEVNULL)
    wait_until(lambda: not d.pids("orch-mount"), what="the end of the mounts")


# ---- the matrix

BIG = random.Random(1).randbytes(300000)


def object_cells(w):
    hurts = ("w1/big.bin", "f1/big.bin", "w2/big.bin")
    path = obj(BIG)
    for how, damage in FILE_DAMAGES.items():
        yield Cell("a large object", how, lambda w, r, f=damage: f(w.store + "/" + path, r), hurts, "^object ",
                   left=("snapshot",))
    yield Cell("a large object", "rotten", lambda w, r: rot(w.store + "/" + path, r), hurts, "^object ", left=("snapshot",),
               rotten=hurts)
    yield Cell("a large object", "swapped", lambda w, r: swap(w.store + "/" + path, w.store + "/" + obj(random.Random(2).randbytes(200000))),
               hurts + tuple(h.replace("big", "other") for h in hurts), "^object ", left=("snapshot",))
    yield Cell("a large object", "of another mode", lambda w, r: os.chmod(w.store + "/" + path, 0o666), (), "^object .*mode")
    yield Cell("a large object", "of another owner", lambda w, r: os.chown(w.store + "/" + path, 12345, 12345), (),
               "^object .*another user")
    yield Cell("a large object", "of another owner and mode", lambda w, r: os.chown(w.store + "/" + path, 12345, 0) or
               os.chmod(w.store + "/" + path, 0o600), (), "^object .*another user")
    yield Cell("a large object", "touched", lambda w, r: os.utime(w.store + "/" + path), (), "^object .*mtime")
    small = obj(b"c\n")
    hurts = ("w1/d/e/c.txt", "f1/d/e/c.txt", "w2/d/e/c.txt")
    for how in ("flipped", "cut to nothing", "removed"):
        yield Cell("a small object", how, lambda w, r, f=FILE_DAMAGES[how]: f(w.store + "/" + small, r), hurts, "^object ",
                   left=("snapshot",))


def pack_cells(w):
    def pack(n):
        return w.store + "/packs/%d" % n

    for how, damage in FILE_DAMAGES.items():
        # some damage of a record leaves the others readable
        yield Cell("the pack of the third source", how, lambda w, r, f=damage: f(pack(3), r), ("w3/*",), "^(pack|record|snapshot) ",
                   left=("snapshot", "layer"))
    for how in ("cut to nothing", "removed", "made zeros", "a fifo"):
        yield Cell("the pack of the first source", how, lambda w, r, f=FILE_DAMAGES[how]: f(pack(1), r), OURS,
                   "^(pack .*|snapshot .* in no pack)", left=("snapshot", "layer"))
    for where, at in (("header", 3), ("first record", 40), ("index", -60), ("footer", -20)):
        yield Cell("the %s of a pack" % where, "flipped", lambda w, r, at=at: flip(pack(1), r, at), OURS, "^(pack|record) ",
                   left=("snapshot", "layer"))
    yield Cell("two packs", "swapped", lambda w, r: swap(pack(1), pack(3)), ())


def layer_cells(w):
    def log(n):
        return w.store + "/layers/%d/log.1" % w.layers[n]

    parent = w.store + "/layers/%d" % w.parent
    for how, damage in FILE_DAMAGES.items():
        cut_only = how == "cut by a byte"  # the log ends before what was answered: a repair accepts that
        harmless = how == "made longer"    # an unfinished transaction
        yield Cell("a log", how, lambda w, r, f=damage: f(log("w1"), r), () if harmless else ("w1/*",),
                   None if harmless else "^layer ", left=() if cut_only else ("layer",), healed=() if cut_only else ("layer",))
        yield Cell("the log of a sealed layer", how, lambda w, r, f=damage: f(parent + "/log.1", r),
                   () if harmless else ("w1/*", "f1/*"), None if harmless else "^layer ", left=("layer",), healed=("layer",))
    yield Cell("two logs", "swapped", lambda w, r: swap(log("w1"), log("w3")), ("w1/*", "w3/*"), "^layer .*its log is of layer",
               left=("layer",), healed=("layer",))
    yield Cell("the head of a log", "flipped", lambda w, r: flip(log("w3"), r, 50), ("w3/*",), "^layer ", left=("layer",),
               healed=("layer",))
    yield Cell("a layer", "removed", lambda w, r: shutil.rmtree(os.path.dirname(log("w1"))), ("w1/*",),
               "^layer .*names a layer that is not there", left=("layer",), healed=("layer",))
    yield Cell("a sealed layer", "removed", lambda w, r: shutil.rmtree(parent), ("w1/*", "f1/*"),
               "^layer .*on which it stands, is not there", left=("layer",), healed=("layer",))
    yield Cell("a spool folder", "removed", lambda w, r: shutil.rmtree(os.path.dirname(log("w1")) + "/spool"),
               ("w1/after", "w1/n/g*"), "^layer .*private file", left=("layer",), healed=("layer",))
    yield Cell("an empty layer", "left over", lambda w, r: os.makedirs(w.store + "/layers/900/spool"), ())

    def private(w, n, content):
        folder = os.path.dirname(log(n)) + "/spool/"
        return next(folder + x for x in os.listdir(folder) if open(folder + x, "rb").read() == content)

    yield Cell("a private file", "removed", lambda w, r: os.unlink(private(w, "w1", b"after the fork")), ("w1/after",),
               "^layer .*private file", left=("layer",), healed=("layer",))
    yield Cell("a private file", "a link", lambda w, r: FILE_DAMAGES["a link"](private(w, "w1", b"after the fork"), r),
               ("w1/after",), "^layer .*private file", left=("layer",), healed=("layer",))
    # its bytes are the workspace's own, written without us: nobody knows what they were
    for how in ("cut to nothing", "flipped"):
        yield Cell("a private file", how, lambda w, r, f=FILE_DAMAGES[how]: f(private(w, "w1", b"after the fork"), r), (),
                   rotten=("w1/after",))


def record_cells(w):
    def db(w, *argv):
        return w.t.run([TOOL, w.store + "/db", *argv]).stdout

    def key(kind, name=b""):
        return (kind.encode() + (name if isinstance(name, bytes) else name.encode())).hex()

    def each(what, k, other, hurts=(), told="^database ", left=(), removed=None, start=None, lost=()):
        yield Cell(what, "flipped", lambda w, r: db(w, "flip", k, str(r.randrange(1 << 12))), hurts, told, left=left)
        yield Cell(what, "made zeros", lambda w, r: db(w, "zero", k), hurts, told, left=left)
        yield Cell(what, "cut", lambda w, r: db(w, "cut", k, str(r.randrange(20))), hurts, told, left=left)
        if other:
            yield Cell(what, "swapped", lambda w, r: db(w, "swap", k, other), hurts + (("w2/*",) if hurts else ()), told, left=left)
        yield Cell(what, "removed", lambda w, r: db(w, "remove", k), hurts, removed, start=start, lost=lost)

    yield from each("the record of an object", key("o", hashlib.sha256(BIG).digest()), key("o", hashlib.sha256(b"c\n").digest()),
                    removed="^object .*does not know it")
    yield from each("the record of a snapshot", key("s", bytes.fromhex(w.refs["main"])), key("s", bytes.fromhex(w.refs["third"])),
                    removed="^(ref|snapshot) .*not there")
    yield from each("a ref", key("r", "main"), key("r", "third"))
    # without its record a workspace is one that was dropped
    yield from each("the record of a workspace", key("n", b"workspace\0w3"), key("n", b"workspace\0w2"), ("w3/*",),
                    lost=("w3",))
    yield from each("the counts", key("m", "counters"), None, removed="^database .*counts")
    yield from each("the next number of a layer", key("m", "layer"), None)
    yield from each("the copy of FORMAT", key("m", "format"), None, told=None)
    yield Cell("the count of commits", "flipped", lambda w, r: db(w, "flip", key("m", "commits"), "200"))
    yield Cell("the count of commits", "removed", lambda w, r: db(w, "remove", key("m", "commits")), start="changes are lost",
               anew="")


def database_cells(w):
    """RocksDB's own files: nothing is missing, or the keeper does not start and says how to make a new one, of
    which nothing is missing."""
    def each(w, pattern):
        found = [w.store + "/db/" + n for n in sorted(os.listdir(w.store + "/db")) if re.fullmatch(pattern, n)]
        w.t.ok(any(os.stat(p).st_size for p in found), "no %s to damage" % pattern)
        return [p for p in found if os.stat(p).st_size]

    def damage(pattern, how):
        return lambda w, r: [FILE_DAMAGES[how](p, r) for p in each(w, pattern)] and None

    for pattern in ("CURRENT", "MANIFEST-[0-9]+", "[0-9]+\\.sst", "[0-9]+\\.log", "IDENTITY", "OPTIONS-[0-9]+", "COMMITS"):
        # which of them is no file makes no difference to the keeper
        for how in FILE_DAMAGES if pattern in ("CURRENT", "COMMITS") else ("flipped", "cut to nothing", "cut in half", "made zeros", "removed"):
            yield Cell("db/%s" % pattern, how, damage(pattern, how), start="database: ", either=True, anew="")
    for how in ("removed", "a folder", "a fifo"):
        yield Cell("db", how, lambda w, r, f=how: shutil.rmtree(w.store + "/db") if f == "removed" else FILE_DAMAGES[f](w.store + "/db", r),
                   start="database: ", anew="^workspace w1: it was made again")

    def all_of_it(w, r, copy=True):
        shutil.rmtree(w.store + "/db")
        if not copy:
            os.unlink(w.store + "/refs")

    yield Cell("db and the copy of refs", "removed", lambda w, r: all_of_it(w, r, False), start="database: ",
               anew="^refs: there is no copy", refs_lost=True)
    for how in ("flipped", "cut to nothing", "cut in half", "cut by a byte", "made zeros", "removed", "made longer", "a link", "a fifo"):
        yield Cell("the copy of refs", how, lambda w, r, f=FILE_DAMAGES[how]: f(w.store + "/refs", r), anew="")
    yield Cell("the copy of refs", "a folder", lambda w, r: FILE_DAMAGES["a folder"](w.store + "/refs", r), anew="")


def other_cells(w):
    def write(name, text):
        os.makedirs(os.path.dirname(w.store + "/" + name), exist_ok=True)
        with open(w.store + "/" + name, "w") as f:
            f.write(text)

    for how, damage in FILE_DAMAGES.items():
        if how != "a folder":
            yield Cell("FORMAT", how, lambda w, r, f=damage: f(w.store + "/FORMAT", r if False else random.Random(5)), ())
        if how in ("flipped", "cut to nothing", "removed", "made longer"):
            yield Cell("LOCK", how, lambda w, r, f=damage: put(w.store + "/LOCK", "123\n") or f(w.store + "/LOCK", r), ())
        yield Cell("a scan index", how, lambda w, r, f=damage: f(w.scan(), r), (),
                   {"removed": None, "a folder": "^scan "}.get(how, "^scan "))
    for line in range(4):
        yield Cell("line %d of FORMAT" % line, "flipped",
                   lambda w, r, n=line: flip(w.store + "/FORMAT", random.Random(3), sum(map(len, open(w.store + "/FORMAT").readlines()[:n])) + 2), ())
    yield Cell("FORMAT", "of a newer orch", lambda w, r: write_at(w.store + "/FORMAT", 11, b"7"), start="version 7")
    yield Cell("FORMAT", "a folder", lambda w, r: FILE_DAMAGES["a folder"](w.store + "/FORMAT", r), start="FORMAT")
    yield Cell("LOCK", "a folder", lambda w, r: FILE_DAMAGES["a folder"](w.store + "/LOCK", r), start="LOCK")
    yield Cell("a stray", "in objects", lambda w, r: write("objects/ab/cd/junk", "x"), (), "^stray ")
    yield Cell("a stray", "in packs", lambda w, r: write("packs/junk", "x"), (), "^stray ")
    yield Cell("a stray", "in the top folder", lambda w, r: write("junk", "x"), (), "^stray ", left=("stray",), healed=("stray",))
    yield Cell("a quarantine", "left over", lambda w, r: write("tmp/%s/manifest" % ("0123456789abcdef" * 2), "rubbish"), ())
    yield Cell("a claimed quarantine", "left over", lambda w, r: write("tmp/%s.adopt/manifest" % ("0123456789abcdef" * 2), "rubbish"), ())
    yield Cell("a moved quarantine", "left over", lambda w, r: write("tmp/%s.adopt.moved/manifest" % ("0123456789abcdef" * 2), "rubbish"), ())


def live_cells(w):
    def log(n):
        return w.store + "/layers/%d/log.1" % w.layers[n]

    for how in ("flipped", "cut to nothing", "cut in half", "removed", "made zeros", "a fifo"):
        damage = FILE_DAMAGES[how]
        yield Cell("a large object", how, lambda w, r, f=damage: f(w.store + "/" + obj(BIG), r),
                   ("w1/big.bin", "f1/big.bin", "w2/big.bin"), "^object ", left=("snapshot",), live=True)
        # what a mapping has is served; what is lost can't be read
        yield Cell("the pack of the first source", how, lambda w, r, f=damage: f(w.store + "/packs/1", r), OURS,
                   "^(pack|record|snapshot) ", left=("snapshot", "layer"), live=True)
    for how in ("cut to nothing", "cut in half", "removed", "a link", "a folder"):
        # the state is in memory and goes into a new segment
        yield Cell("a log", how, lambda w, r, f=FILE_DAMAGES[how]: f(log("w1"), r), (), live=True, remount=True,
                   ignore=("layer",))
    yield Cell("a log", "cut within what is used", lambda w, r: cut(log("w1"), len(open(log("w1"), "rb").read().rstrip(b"\0")) - 9),
               live=True, remount=True, ignore=("layer",))
    yield Cell("a layer", "removed", lambda w, r: shutil.rmtree(os.path.dirname(log("w1"))), ("w1/*",), "^layer ",
               left=("layer",), healed=("layer",), live=True)
    yield Cell("FORMAT", "removed", lambda w, r: os.unlink(w.store + "/FORMAT"), (), "^format ", live=True)
    yield Cell("FORMAT", "flipped", lambda w, r: flip(w.store + "/FORMAT", r, 30), (), "^format ", live=True)


@test(needs="fuse root", timeout=900)
def objects(t):
    run_cells(t, object_cells)


@test(needs="fuse root", timeout=900)
def packs(t):
    run_cells(t, pack_cells)


@test(needs="fuse root", timeout=900)
def layers(t):
    run_cells(t, layer_cells)


@test(needs="fuse root", timeout=900)
def records_of_the_database(t):
    run_cells(t, record_cells)


@test(needs="fuse root", timeout=900)
def files_of_the_database(t):
    run_cells(t, database_cells)


@test(needs="fuse root", timeout=900)
def other_files(t):
    run_cells(t, other_cells)


SOCKET_DAMAGES = {
    "removed": lambda p: None,
    "a file": lambda p: put(p, ""),
    "a folder": os.mkdir,
    "a fifo": os.mkfifo,
    "a link": lambda p: os.symlink("/etc/hostname", p),
}


@test(needs="fuse root", timeout=300)
def sockets_of_living_mounts(t):
    """The mount goes on, the workspace is shown with an error that says what to do, others are as ever."""
    d = t.daemon()
    d.allow_errors(".")
    d.start()
    d.shim("snapshot", "import", t.tree({"a": "base\n"}), "--ref", "main")
    other = d.shim("workspace", "create", "other", "--from", "main").stdout.strip()
    sockets = os.path.dirname(d.socket) + "/m"
    for how, make in SOCKET_DAMAGES.items():
        for again in (False, True):  # met by a keeper that has started anew
            name = "w-%s-%d" % (how.replace(" ", "-"), again)
            before = set(os.listdir(sockets))
            m = d.shim("workspace", "create", name, "--from", "main").stdout.strip()
            put(m + "/mine", "x")
            path = "%s/%s" % (sockets, (set(os.listdir(sockets)) - before).pop())
            os.unlink(path)
            make(path)
            if again:
                with open(m + "/mine"):  # in use: it outlives the keeper
                    d.restart()
            error = d.http("GET", "/v1/workspaces/" + name).json().get("error", "")
            t.ok("`umount %s`" % m in error, "%s: it is shown with '%s'" % (name, error))
            for verb in (("fork", name, name + "-f"), ("commit", name, "--ref", "x"), ("umount", name)):
                r = d.shim("workspace", *verb, status=None)
                t.ok(r.status == 3 and "`umount %s`" % m in r.stderr, "%s %s: %d %s" % (name, verb, r.status, r.stderr))
            put(m + "/more", "y")
            t.eq(open(m + "/a").read() + open(m + "/mine").read(), "base\nx", name)
            if again:
                d.shim("workspace", "mount", "other")
            put(other + "/" + name, name)
            d.shim("workspace", "fork", "other", name + "-o")
            t.run(["umount", m])
            wait_until(lambda: d.http("GET", "/v1/workspaces/" + name).json()["state"] == "created")
            if how == "a folder":
                os.rmdir(path) if os.path.isdir(path) else None
            d.shim("workspace", "mount", name)
            t.eq(open(m + "/mine").read() + open(m + "/more").read(), "xy", name)
            d.shim("workspace", "drop", name)
            d.shim("workspace", "drop", name + "-o")
    t.eq(bad_of(d), [])
    t.eq(d.stop(), 0)


def all_names(store):
    """What lies in the store, but what the keeper writes by itself."""
    out = set()
    for folder, _dirs, files in os.walk(store):
        rel = os.path.relpath(folder, store)
        if rel.split("/")[0] not in ("db", "tmp", "log"):
            out |= {os.path.normpath(rel + "/" + f) for f in files}
    return out


@test(needs="fuse root faults", timeout=900)
def disks_that_cant_read(t):
    """
    The n-th read fails with EIO, or it and each after it: the keeper's at a start and at a verify, the mount
    process's at a mount, the worker's at an import. What fails says so; nothing is moved or removed for it; when the disk reads again all is as it was.
    """
    w = World(t)
    names = all_names(w.store)
    f = Faults(t)

    def arm(program, n, on):
        f.table[0:24] = program.encode().ljust(24, b"\0")
        f.arm("read", n, on=on)

    def mounted():
        try:
            return w.mount(d) == {} and all(os.listdir(d.mounts + "/" + n) for n in WORKSPACES)
        except OSError:
            return False

    numbers = [1, 2, 3, 5, 8, 13, 21, 34, 55]
    for n in numbers:
        for on in (False, True):
            what = "read %d%s fails" % (n, " and all later ones" if on else "")
            d = w.t.daemon(store=w.store, env=f.env)
            d.allow_errors(".")
            arm("orch-fsd", n, on)
            try:
                d.start()
            except Failure as e:
                d.process = None
                t.ok(re.search("Input/output error", str(e)), "%s: it does not start: %s" % (what, e))
                f.disarm()
                d.start()
            t.eq(names - all_names(w.store), set(), what + ": gone after the start")
            arm("orch-mount", n, on)
            for name, why in w.mount(d).items():
                t.ok("Input/output error" in why or "ended" in why, "%s: %s: %s" % (what, name, why))
            f.disarm()
            wait_until(mounted, what=what + ": the mounts")  # one whose channel broke is buried first
            arm("orch-fsd", n, on)
            r = d.http("POST", "/v1/store/verify", {})
            f.disarm()
            last = json.loads(r.body.strip().split(b"\n")[-1])
            bad = last["result"]["bad"] if "result" in last else [last]
            t.ok(all("Input/output error" in json.dumps(b) for b in bad), "%s: verify says %s" % (what, bad))
            arm("orch-worker", n, on)
            r = d.shim("snapshot", "import", w.sources[0], "--ref", "main", status=None)
            f.disarm()
            # pipes are read, too: what a worker says
            t.ok(r.status == 0 or re.search("Input/output error|output could not be taken", r.stderr), "%s: import: %s" % (what, r.stderr))
            bad, _failed = read_all(w, d, Cell("reads", "that fail", None))
            t.eq(bad, [], what)
            t.eq(key_of(bad_of(d)), [], what)
            t.eq({x for x in names - all_names(w.store) if not x.startswith("packs/")}, set(), what + ": gone")
            t.ok(not os.path.exists(w.store + "/quarantine"), what + ": something was put aside")
            t.eq(d.stop(), 0, what)
            end(w, d)
            t._daemons.clear()


@test(needs="fuse root", timeout=900)
def under_living_mounts(t):
    run_cells(t, live_cells)


main()
