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
    t.match(r.stderr, "No space left")
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


main()
