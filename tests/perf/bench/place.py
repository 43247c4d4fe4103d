"""Where a row is measured: a file system of its own, a daemon whose store lies on it, the sizes of this kind of run."""
import orchtest
import peers
from figures import CLASSIC, ORCH
from orchtest import *
from sources import many_files


class Bench:
    """What a row gets. Mounts and workspaces that it makes are gone when the row is over (see row)."""

    def __init__(self, t, root, sizes, rounds):
        self.t, self.root, self.rounds = t, root, rounds
        self._sizes = sizes
        self._names = 0
        self._undo = contextlib.ExitStack()
        self._trees = {}
        self.lacked = []             # peers that this row went without
        self.transports = set()      # what the mounts of this run said of themselves
        self.daemon = t.daemon(["--log-level", "info"])
        self.daemon.store = os.path.join(root, "store")

    def size(self, name):
        return self._sizes[name]

    # folders and what must be undone

    @contextlib.contextmanager
    def row(self):
        self.lacked = []
        try:
            yield
        finally:
            self._undo.close()

    def undo(self, function, *args):
        self._undo.callback(function, *args)

    def fresh(self, name):
        """A new folder on the measured file system."""
        path = os.path.join(self.root, self.name(name))
        os.makedirs(path)
        return path

    def name(self, stem):
        self._names += 1
        return "%s%d" % (stem, self._names)

    def tree(self, count):
        """(folder, ref): so many files in which only names count, and a snapshot of it. Made once a run; not to be changed."""
        if count not in self._trees:
            folder = self.fresh("tree")
            many_files(folder, count, 20, contents=1000)
            self._trees[count] = folder, self.imported(folder)
        return self._trees[count]

    # orch

    def shim(self, *args, **kwargs):
        kwargs.setdefault("timeout", 1800)
        return self.daemon.shim(*args, **kwargs)

    def http(self, method, path, body=None):
        r = self.daemon.http(method, path, body, timeout=1800)
        if r.status != 200:
            raise Failure("%s %s: %s" % (method, path, r))
        return json.loads(r.body.splitlines()[-1]) if r.body else {}

    def imported(self, source):
        """A ref to a snapshot of the folder."""
        ref = self.name("ref")
        self.shim("snapshot", "import", source, "--ref", ref)
        return ref

    def workspace(self, ref, passthrough=True):
        """(name, mount path); gone when the row is over."""
        name = self.name("w")
        path = self.http("POST", "/v1/workspaces", {"name": name, "from": ref, "passthrough": passthrough})["path"]
        self.undo(self.drop, name)
        status = self.status(name)
        self.transports.add("%s, data: %s" % (status.get("transport", "/dev/fuse"), status["data"]))
        return name, path

    def drop(self, name):
        r = self.daemon.http("DELETE", "/v1/workspaces/%s?force=1" % name)
        if r.status not in (200, 404):
            raise Failure("drop %s: %s" % (name, r))

    def status(self, name):
        """Counters of the mount process."""
        return self.http("GET", "/v1/workspaces/" + name)["mount"]

    def requests(self, name):
        return self.status(name)["requests"]["total"]

    # orch and its peers over the same files

    def places(self, folder, *wanted, ref=None):
        """
        {variant: path}: these peers over the folder, then orch with and without passthrough, from a snapshot of it.
        native is the folder itself: not for rows that write, beside a peer that has it below.
        """
        out = {}
        for peer in wanted:
            why = peers.lacking(peer)
            if why:
                self.lacked.append("%s: %s" % (peer, why))
            else:
                out[peer] = peers.file_system(self, peer, folder)
        ref = ref or self.imported(folder)
        out[ORCH] = self.workspace(ref)[1]
        out[CLASSIC] = self.workspace(ref, passthrough=False)[1]
        return out

    # the caches

    def settle(self):
        """What one variant left to be written is not for the next one to wait for."""
        peers.command("sync", "-f", self.root)

    def drop_caches(self):
        self.settle()
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")

    def used_bytes(self):
        self.settle()
        s = os.statvfs(self.root)
        return (s.f_blocks - s.f_bfree) * s.f_frsize

    def name_of(self, path):
        """The workspace that is mounted at a path of `places`."""
        return os.path.basename(path)


def lacks(needs):
    """The first feature that the machine lacks, and why: "fio: no program fio"; or None."""
    for feature in needs:
        check = orchtest.FEATURES.get(feature) or orchtest._tool(feature)
        why = check()
        if why:
            return "%s: %s" % (feature, why)
    return None
