"""A build fills the disk under the store: what failed is removed, and the next build has the room again."""
from orchtest import *

MB = 1 << 20
FILL = "for i in 1 2 3; do head -c 50000000 /dev/urandom > big$i; done; exit 0"


class Store:
    """A store on a disk of its own, and a keeper that the first build starts."""

    def __init__(self, t, size="100m"):
        self.t = t
        self.store = t.dir("disk")
        t.run(["mount", "-t", "tmpfs", "-o", "size=%s,mode=0700" % size, "orch-test", self.store])
        self.source = t.tree({"in": "1\n"})
        self.env = {"ORCH_SOCKET": t.path("s"), "ORCH_STORE": self.store, "ORCH_MOUNTS": t.path("mnt")}
        self.count = 0
        t.finally_(self.stop)

    def build(self, script, status=0):
        self.count += 1
        return self.t.run(["orch-shim", "build", "--source", self.source, "--output-dir", self.t.path("out%d" % self.count),
                           "--", "sh", "-c", script], env=self.env, status=status, timeout=100)

    def shim(self, *args, status=0):
        return self.t.run(["orch-shim", *args], env=self.env, status=status)

    def layers(self):
        return sorted(os.listdir(self.store + "/layers"))

    def used(self):
        st = os.statvfs(self.store)
        return (st.f_blocks - st.f_bfree) * st.f_frsize

    def stop(self):
        self.t.run(["orch-shim", "daemon", "stop", "--force"], env=self.env, status=None)


@test(needs="fuse sandbox root")
def a_build_that_fills_the_disk_gives_it_back(t):
    s = Store(t)
    s.build("true")
    before = s.used()
    r = s.build(FILL, status=None)
    t.match(r.stderr, "No space left|the disk of the store is full")
    t.eq(s.layers(), [])
    t.ok(s.used() < before + 5 * MB, "%d bytes are used, %d were" % (s.used(), before))
    s.build("head -c 20000000 /dev/urandom > fits")
    s.shim("store", "verify")


@test(needs="fuse sandbox root")
def a_half_made_layer_pins_no_other(t):
    s = Store(t)
    s.build("true")
    os.makedirs(s.store + "/layers/900/spool")
    os.makedirs(s.store + "/layers/901.new/spool")
    for _ in range(3):
        s.build("head -c 20000000 /dev/urandom > big; exit 1", status=1)
    t.eq(s.layers(), ["900"])
    r = s.shim("store", "verify", status=None)
    t.match(r.stdout + r.stderr, "layer 900: it has no log")
    s.shim("store", "verify", "--repair", status=None)
    t.eq(s.layers(), [])
    s.shim("store", "verify")


@test(needs="fuse sandbox root")
def the_next_start_sweeps_a_half_made_layer(t):
    s = Store(t)
    s.build("true")
    s.stop()
    os.makedirs(s.store + "/layers/900/spool")
    s.build("true")
    t.eq(s.layers(), [])


# ---- a disk that is full to its last byte

class Disk:
    """A keeper whose store has a file system of its own, which is filled to the last byte by somebody else."""

    def __init__(self, t, mkfs, size):
        self.t = t
        image, self.disk = t.path("image"), t.dir("disk")
        t.run(["truncate", "-s", size, image])
        t.run(mkfs + [image], timeout=100)
        t.run(["mount", "-o", "loop", image, self.disk])
        t.finally_(lambda: subprocess.run(["umount", "-l", self.disk], check=False))
        self.d = t.daemon(store=self.disk + "/store")
        self.d.allow_errors("No space left|ENOSPC")  # of requests that are to be refused
        self.d.start()
        self.d.shim("snapshot", "import", t.tree({"in": "1\n", "dir/sub": "2\n"}), "--ref", "main")

    def ask(self, method, path, body=None, status=200):
        r = self.d.http(method, path, body)
        self.t.eq(r.status, status, "%s %s: %s" % (method, path, r))
        return r.json() if r.body else None

    def make(self, name, **more):
        return self.ask("POST", "/v1/workspaces", {"name": name, "from": "main", **more})["path"]

    def mount(self, name):
        return self.ask("POST", "/v1/workspaces/%s/mount" % name, {})["path"]

    def umount(self, name):
        self.ask("POST", "/v1/workspaces/%s/umount" % name, {})

    def drop(self, name):
        self.ask("DELETE", "/v1/workspaces/" + name)

    def free(self):
        st = os.statvfs(self.disk)
        return st.f_bfree * st.f_frsize

    def fill(self):
        """Until nothing fits any more, also after what is freed late (a journal, a transaction) has come back."""
        for _ in range(3):
            fd = os.open(self.disk + "/filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            n = MB
            while n >= 512:
                try:
                    os.write(fd, b"x" * n)
                except OSError as e:
                    self.t.eq(e.errno, errno.ENOSPC)
                    n //= 2
            with contextlib.suppress(OSError):
                os.fsync(fd)
            os.close(fd)

    def empty(self):
        os.unlink(self.disk + "/filler")

    def settle(self):
        """btrfs has room only when its transaction is over, half a minute later."""
        self.t.run(["sync", "-f", self.disk])

    def start_again(self):
        self.d.kill()
        self.d.start()

    def reserve(self):
        s = self.ask("GET", "/v1/store")
        return s["reserve"], s["reserve_whole"]

    def wait_whole(self):
        def whole():
            have, want = self.reserve()
            return have if have == want else 0
        return wait_until(whole, what="a whole reserve", interval=0.05)

    def verify(self):
        self.d.shim("store", "verify")


DISKS = {
    "ext4": (["mkfs.ext4", "-q", "-F", "-m", "0"], "60M"),
    "xfs": (["mkfs.xfs", "-q"], "320M"),
    "btrfs": (["mkfs.btrfs", "-q"], "200M"),
}


def on_each_disk(function):
    """A test for each file system."""
    for kind, (mkfs, size) in DISKS.items():
        def run(t, mkfs=mkfs, size=size):
            function(t, Disk(t, mkfs, size))
        run.__name__ = "%s_%s" % (function.__name__, kind)
        test(run, needs="fuse root loop" + ("" if kind == "ext4" else " mkfs." + kind), timeout=300)
    return function


@on_each_disk
def a_keeper_starts_and_drops_on_a_full(t, s):
    s.make("w")
    s.make("v")
    with open(t.path("mnt/w/keep"), "wb") as f:
        f.write(b"k" * 30000)
    s.umount("w")
    for _ in range(3):
        s.fill()
        s.start_again()
    s.fill()
    s.drop("w")
    s.fill()
    s.umount("v")
    s.fill()
    s.ask("PUT", "/v1/refs/other", {"id": "main"})
    s.ask("DELETE", "/v1/refs/other")
    s.fill()
    s.start_again()
    s.drop("v")
    t.eq(os.listdir(s.d.store + "/layers"), [])
    s.verify()
    s.empty()
    s.make("again")
    s.settle()
    s.wait_whole()
    s.verify()


@on_each_disk
def files_are_removed_in_a_workspace_on_a_full(t, s):
    """Mounted before, mounted while it is full, a layer of an earlier mount, one that never was mounted."""
    for name in ("w", "v"):
        root = s.make(name)
        for i in range(40):
            with open("%s/f%d" % (root, i), "wb") as f:
                f.write(b"k" * 10000)
    s.make("new", mount=False)
    s.umount("w")
    s.fill()
    for name in ("w", "v", "new"):
        root = s.mount(name)
        s.fill()
        for i in range(1500):  # no room for anything else, and that takes nothing from the removals
            with contextlib.suppress(OSError):
                os.mkdir("%s/d%d" % (root, i))
        os.unlink(root + "/in")
        for i in range(5 if name != "new" else 0):
            os.unlink("%s/f%d" % (root, i))
            s.fill()
    for name in ("w", "v", "new"):
        s.umount(name)
        s.fill()
        root = s.mount(name)
        t.ok(not os.path.exists(root + "/in"))
        os.unlink(root + "/dir/sub")
    s.start_again()
    for name in ("w", "v", "new"):
        t.eq(os.path.exists(t.path("mnt", name, "dir/sub")), False)
        s.drop(name)
    s.verify()


@on_each_disk
def all_files_can_be_removed_on_a_full(t, s):
    """More of them than the room that is kept has records for: it is used again and again."""
    root = s.make("w")
    for i in range(1500):
        with open("%s/f%d" % (root, i), "wb") as f:
            f.write(b"k" * 5000)
    s.umount("w")
    s.fill()
    root = s.mount("w")
    for i in range(1500):
        os.unlink("%s/f%d" % (root, i))
    s.umount("w")
    t.eq(sorted(os.listdir(s.mount("w"))), ["dir", "in"])
    s.verify()


@test(needs="fuse root loop strace", timeout=300)
def files_go_slower_than_their_names_on_a_full_disk(t):
    s = Disk(t, *DISKS["ext4"])
    root = s.make("w")
    for i in range(600):
        with open("%s/f%d" % (root, i), "wb") as f:
            f.write(b"k" * 5000)
    s.umount("w")
    s.fill()
    root = s.mount("w")
    tracer = t.start(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=unlinkat", "-e", "inject=unlinkat:delay_enter=10ms",
                      "-p", str(s.ask("GET", "/v1/workspaces/w")["pid"])])
    wait_until(lambda: int(re.search(r"TracerPid:\s+(\d+)", open("/proc/%d/status" % s.ask("GET", "/v1/workspaces/w")["pid"]).read())[1]),
               what="strace")
    for i in range(600):
        os.unlink("%s/f%d" % (root, i))
    tracer.send_signal(signal.SIGINT)
    tracer.wait(20)
    s.umount("w")
    t.eq(sorted(os.listdir(s.mount("w"))), ["dir", "in"])
    s.verify()


@on_each_disk
def nothing_new_is_begun_on_a_full(t, s):
    s.make("w")
    s.fill()
    s.start_again()
    s.fill()
    layers, refs = sorted(os.listdir(s.d.store + "/layers")), s.ask("GET", "/v1/refs")
    for path, body in (("/v1/workspaces", {"name": "n", "from": "main"}),
                       ("/v1/workspaces/w/fork", {"name": "n"}),
                       ("/v1/workspaces/w/commit", {"ref": "r"}),
                       ("/v1/snapshots/import", {"dir": t.tree({"x": "y"}), "ref": "r"}),
                       ("/v1/snapshots/apply", {"base": "main", "incoming": "main", "mine": "main", "ref": "r"})):
        e = s.ask("POST", path, body, status=507)["error"]
        t.eq(e["code"], "ENOSPC")
        t.match(e["message"], "disk of the store is full.*drop workspaces")
    r = s.d.shim("workspace", "create", "n", "--from", "main", status=3)
    t.match(r.stderr, "next: free space")
    t.eq(sorted(os.listdir(s.d.store + "/layers")), layers)
    t.eq(os.listdir(s.d.store + "/tmp"), [])
    t.eq(s.ask("GET", "/v1/refs"), refs)
    s.empty()
    s.make("n")
    s.ask("POST", "/v1/workspaces/w/fork", {"name": "f"})
    s.d.shim("workspace", "commit", "w", "--ref", "r")
    s.settle()
    s.wait_whole()
    s.verify()


@test(needs="fuse root loop")
def a_reserve_that_is_taken_away_is_made_again(t):
    s = Disk(t, *DISKS["ext4"])
    path = s.d.store + "/reserve"
    whole = s.wait_whole()
    t.eq(os.stat(path).st_size, whole)
    t.ok(os.stat(path).st_blocks * 512 >= whole, "it has its blocks")
    t.match(s.d.http("GET", "/metrics").body.decode(), "^orch_reserve_bytes %d$" % whole)
    os.unlink(path)
    s.wait_whole()
    os.truncate(path, 5000)
    s.wait_whole()
    os.truncate(path, 0)
    os.truncate(path, whole)  # as long as before, and nothing in it
    t.ok(s.wait_whole() == whole and os.stat(path).st_blocks * 512 >= whole, "it has its blocks")
    os.unlink(path)
    os.mkdir(path)  # what is no file is left alone, and keeps nobody from working
    s.make("w")
    s.start_again()
    os.rmdir(path)
    s.wait_whole()
    s.verify()


@test(needs="fuse root loop faults", timeout=300)
def a_keeper_killed_at_its_reserve_starts_again(t):
    """Killed at each write in turn, also those that make the reserve and give it back."""
    s = Disk(t, *DISKS["ext4"])
    s.make("w")
    s.umount("w")
    for full in (True, False):
        n = killed = 0
        while True:
            n += 1
            s.wait_whole()
            s.d.kill()
            if full:
                s.fill()
            else:
                os.unlink(s.d.store + "/reserve")
            s.d.extra_env = {"ORCH_FAULT": "write:%d:KILL" % n}
            try:
                s.d.start()
            except Failure:
                killed += 1
                t.eq(s.d.process.wait(10), -9)
            s.d.extra_env = {}
            done = s.d.process.poll() is None
            if not done:
                s.d.process = None
                s.d.start()
            if full:
                s.empty()
            if done:
                break
        print("# killed at %d writes" % killed)
        t.ok(killed > (2 if full else 0), "only %d" % killed)
        s.start_again()
    s.wait_whole()
    s.drop("w")
    s.verify()


main()
