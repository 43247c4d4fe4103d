#!/usr/bin/env python3
"""
RocksDB's logs, one of several: after kills they lie side by side. Each one cut off, flipped or removed: the keeper
does not start, says where the damage is and what to do, or nothing is missing. Layers stay in any case.
"""
from orchtest import *


def put(path, text):
    with open(path, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        b = f.read(1)
        f.seek(at)
        f.write(bytes([b[0] ^ 4]))


def cut(path, part):
    os.truncate(path, int(os.stat(path).st_size * part))


DAMAGES = {
    "removed": os.unlink,
    "cut to nothing": lambda p: cut(p, 0),
    "cut to a quarter": lambda p: cut(p, 0.25),
    "cut to two thirds": lambda p: cut(p, 0.67),
    "cut by 100 bytes": lambda p: os.truncate(p, max(0, os.stat(p).st_size - 100)),
    "made zeros": lambda p: open(p, "r+b").write(bytes(os.stat(p).st_size)) and None,
    "flipped at its begin": lambda p: flip(p, 20),
    "flipped in its middle": lambda p: flip(p, os.stat(p).st_size // 2),
    "flipped at its end": lambda p: flip(p, os.stat(p).st_size - 30),
}


class World:
    def __init__(self, t):
        self.t = t
        self.store = t.path("store")
        self.golden = t.path("golden")
        source = t.tree({"a": "base\n"})
        first = [("keep2", "mine")]
        for n, names in enumerate((first, [("gone", "x"), ("other", "y")], [])):
            d = self.daemon()
            d.start()
            d.shim("snapshot", "import", source, "--ref", "main")
            for name, text in names:
                m = d.shim("workspace", "create", name, "--from", "main").stdout.strip()
                put(m + "/file", text)
                d.shim("workspace", "umount", name)
            if n == 2:
                d.shim("workspace", "drop", "gone")
                d.shim("ref", "set", "third", d.http("GET", "/v1/refs").json()["refs"][0]["id"])
                self.before = self.look(d)
            d.kill()
        t.run(["cp", "-a", self.store, self.golden])
        self.logs = sorted(n for n in os.listdir(self.store + "/db") if n.endswith(".log") and os.stat(self.store + "/db/" + n).st_size)
        t.ok(len(self.logs) >= 3, "logs: %s" % self.logs)

    def daemon(self):
        d = self.t.daemon(store=self.store)
        d.allow_errors(".")
        return d

    def look(self, d):
        return ([x["name"] for x in d.http("GET", "/v1/workspaces").json()["workspaces"]],
                sorted((x["name"], x["id"]) for x in d.http("GET", "/v1/refs").json()["refs"]),
                self.layers())

    def layers(self):
        return sorted(os.listdir(self.store + "/layers"))

    def restore(self):
        shutil.rmtree(self.store)
        self.t.run(["cp", "-a", self.golden, self.store])

    def start(self):
        """(daemon, "") or (None, what it says)"""
        d = self.daemon()
        os.truncate(d.log_path, 0)  # it says it this time
        try:
            d.start()
            return d, ""
        except Failure as e:
            d.process = None
            return None, str(e)


@test(needs="fuse", timeout=600)
def each_log_damaged(t):
    w = World(t)
    refused = 0
    for log in w.logs:
        for how, damage in DAMAGES.items():
            name = "%s of %s, %s" % (log, w.logs, how)
            w.restore()
            damage(w.store + "/db/" + log)
            d, error = w.start()
            if d:
                t.eq(w.look(d), w.before, name)
                t.eq(d.stop(), 0, name)
                continue
            refused += 1
            t.ok(w.store + "/db" in error and "`orch-fsd --repair-database --store %s`" % w.store in error, "%s: %s" % (name, error))
            if how.startswith("flipped"):
                t.ok(log + " is damaged" in error, "%s: %s" % (name, error))
            t.eq(w.layers(), w.before[2], name)
            t.eq(w.start()[0], None, name + ": a second start")
            t.eq(w.layers(), w.before[2], name)
    t.ok(refused >= len(w.logs) * 3, "refused: %d" % refused)


@test(needs="fuse", timeout=300)
def what_an_older_log_had_comes_back(t):
    """The workspace of the cut log is made again; a layer that stays without a name is put away."""
    w = World(t)
    for how in ("cut to a quarter", "removed"):
        w.restore()
        DAMAGES[how](w.store + "/db/" + w.logs[0])
        t.eq(w.start()[0], None, how)
        d = w.daemon()
        t.run([program("orch-fsd"), "--repair-database", "--store", w.store, "--mounts", d.mounts])
        d.start()
        for name, text in (("keep2", "mine"), ("other", "y")):
            m = d.shim("workspace", "mount", name).stdout.strip() or d.mounts + "/" + name
            t.eq(open(m + "/file").read(), text, how)
        t.eq(d.stop(), 0, how)


@test(needs="fuse", timeout=300)
def nothing_is_deleted_when_the_database_is_in_doubt(t):
    """Two damages that leave no trace: COMMITS is gone, and the database is one that knows of nothing."""
    w = World(t)
    layers = w.layers()
    for n in os.listdir(w.store + "/db"):
        if n.endswith(".log") or n == "COMMITS":
            os.unlink(w.store + "/db/" + n)
    d, error = w.start()
    if d:
        kept = os.listdir(w.store + "/quarantine")
        for n in layers:
            t.ok(n in w.layers() or "layer-" + n in kept, "layer %s is gone" % n)
        t.eq(d.stop(), 0)
        t.ok("event=layer-kept" in d.log(), "the log says it")
    t.ok(d or "--repair-database" in error, error)


@test(needs="fuse", timeout=300)
def small_files_that_are_huge_are_not_read(t):
    """RocksDB takes them into memory whole."""
    w = World(t)
    for name in ("CURRENT", "IDENTITY", [n for n in os.listdir(w.store + "/db") if n.startswith("OPTIONS-")][0]):
        w.restore()
        os.truncate(w.store + "/db/" + name, 64 << 20)
        d, error = w.start()
        t.eq(d, None, name)
        t.ok("db/%s is damaged" % name in error and "--repair-database" in error, "%s: %s" % (name, error))


main()
