"""
Failing calls, chosen while the programs run: the table of services/core/fault.c in a file that all of them map.

    f = Faults(t, "orch-worker")                  # calls of that program count; "": of all
    d.extra_env.update(f.env)
    f.loop("import", ("alloc", "write"), operation, check)

loop() first counts what the operation calls, then runs it once for each chosen n with its n-th call failing, until
one run meets none. check(what) follows each run, with nothing armed. With ORCH_FAULT_ALL=1 every n is run;
otherwise a seeded sample of `sample` numbers for each kind, of those that reach their call on different ways.
"""
import mmap
import os
import random
import shutil
import struct
import subprocess
import time

from orchtest import Failure, program

KINDS = ("alloc", "read", "write", "fsync", "rename", "openat2", "clone", "open", "unlink", "mmap", "fd", "sock",
         "thread", "fork")
EIO, ENOMEM, EAGAIN, EMFILE, ENOSPC = 5, 12, 11, 24, 28
CODES = {"alloc": ENOMEM, "mmap": ENOMEM, "fd": EMFILE, "thread": EAGAIN, "fork": EAGAIN, "write": ENOSPC}
ALL = os.environ.get("ORCH_FAULT_ALL") == "1"
SEED = int(os.environ.get("ORCH_FAULT_SEED", "1"))

NAME_BYTES = 24
POINTS = NAME_BYTES + 16
POINT_BYTES = 48
TRACE = POINTS + 32 * POINT_BYTES
TRACE_MAX = 65536
FILE_BYTES = TRACE + 16 * TRACE_MAX
NEVER = 1 << 62


class Faults:
    def __init__(self, t, name=""):
        self.t = t
        self.name = name
        self.path = t.path("faults%d" % len(os.listdir(t.tmp)))
        self.env = {"ORCH_FAULT_FILE": self.path}
        self.runs = self.fired_runs = 0
        with open(self.path, "wb") as f:
            f.truncate(FILE_BYTES)
            os.fchmod(f.fileno(), 0o666)
        with open(self.path, "r+b") as f:
            self.table = mmap.mmap(f.fileno(), FILE_BYTES)
        self.table[0:NAME_BYTES] = name.encode().ljust(NAME_BYTES, b"\0")

    def _point(self, kind):
        return POINTS + KINDS.index(kind) * POINT_BYTES

    def arm(self, kind, n, code=None, on=False):
        """The n-th call from now on fails, with `on` all later ones too."""
        at = self._point(kind)
        struct.pack_into("<6Q", self.table, at, 0, 0, on, code or CODES.get(kind, EIO), 0, 0)
        struct.pack_into("<Q", self.table, at + 8, n)

    def disarm(self):
        """How many calls failed since arm()."""
        fired = 0
        for kind in KINDS:
            at = self._point(kind)
            struct.pack_into("<Q", self.table, at + 8, 0)
            fired += struct.unpack_from("<Q", self.table, at + 32)[0]
        return fired

    def fired_now(self, kind):
        return struct.unpack_from("<Q", self.table, self._point(kind) + 32)[0]

    def where(self, kind):
        """Return address of the last call of that kind that failed, below the start of the program."""
        return struct.unpack_from("<Q", self.table, self._point(kind) + 40)[0]

    def count(self, kinds, operation):
        """{kind: [numbers of calls, one for each way]}, {kind: how many calls} of a run without faults."""
        for kind in kinds:
            self.arm(kind, NEVER)
        struct.pack_into("<2Q", self.table, NAME_BYTES, 1, 0)
        try:
            operation()
        finally:
            struct.pack_into("<Q", self.table, NAME_BYTES, 0)
            self.disarm()
        total = {k: struct.unpack_from("<Q", self.table, self._point(k))[0] for k in kinds}
        ways = {k: {} for k in kinds}
        traced = min(struct.unpack_from("<Q", self.table, NAME_BYTES + 8)[0], TRACE_MAX)
        for i in range(traced):
            what, way = struct.unpack_from("<2Q", self.table, TRACE + 16 * i)
            ways[KINDS[what >> 32]].setdefault(way, what & 0xffffffff)
        return {k: sorted(w.values()) for k, w in ways.items()}, total

    def _numbers(self, ways, total, sample, grows):
        if ALL and not grows:
            n = 1
            while True:
                yield n
                n += 1
        rest = random.Random(SEED)
        chosen = list(ways)
        if len(chosen) > sample:
            chosen = sorted(rest.sample(chosen, sample))
        yield from chosen
        yield NEVER - 1 if not total else total * 4 + 1000  # the run that meets none

    def loop(self, what, kinds, operation, check, prepare=lambda: None, sample=12, grows=False):
        """grows: the operation calls more each time, so that no run would ever meet none; a sample always."""
        prepare()
        operation()
        check("%s without a fault" % what)
        prepare()
        ways, total = self.count(kinds, operation)
        check("%s, counted" % what)
        for kind in kinds:
            tried = met = 0
            if not total[kind]:
                continue
            for n in self._numbers(ways[kind], total[kind], sample, grows):
                name = "%s, %s:%d" % (what, kind, n)
                prepare()
                begin = time.monotonic()
                self.arm(kind, n)
                try:
                    operation()
                except Exception as e:
                    fired = self.disarm()
                    raise Failure("%s (fired %d at %s): %s" % (name, fired, self.place(kind), e)) from e
                fired = self.disarm()
                try:
                    check(name)
                except Exception as e:
                    raise Failure("%s (fired %d at %s): %s" % (name, fired, self.place(kind), e)) from e
                if time.monotonic() - begin > 5:
                    print("# %s took %.1f s: %s" % (name, time.monotonic() - begin, self.place(kind)))
                tried += 1
                met += fired > 0
                if fired == 0 and (ALL or n > total[kind]):
                    break
            print("# %s: %s: %d calls on %d ways, %d runs, %d met" % (what, kind, total[kind], len(ways[kind]), tried, met))
            self.runs += tried
            self.fired_runs += met

    def place(self, kind):
        """Where that call is: function and line, when there is addr2line."""
        address = "0x%x" % self.where(kind)
        if not self.name or not shutil.which("addr2line"):
            return address
        r = subprocess.run(["addr2line", "-fpe", program(self.name), address], stdout=subprocess.PIPE, text=True)
        return r.stdout.strip()
