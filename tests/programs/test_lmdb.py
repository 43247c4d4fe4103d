#!/usr/bin/env python3
"""LMDB with its environment in a workspace: writers that are killed, then LMDB's own programs."""
from programslib import *

tools("mdb_stat", "mdb_copy", "mdb_dump", "mdb_load")

# Writes one transaction after another, for ever, and says what was committed; some keys go again.
WRITER = """
import lmdb, sys
e = lmdb.open(sys.argv[1], map_size=1 << 28, writemap=sys.argv[2] == "writemap", max_readers=64)
n = int(sys.argv[3])
while True:
    with e.begin(write=True) as x:
        for i in range(5):
            x.put(b"%08d.%d" % (n, i), b"%d " % n * (20 + n % 700))
        if n >= 50 and n % 3:
            for i in range(5):
                x.delete(b"%08d.%d" % (n - 50, i))
        x.put(b"last", b"%d" % n)
    sys.stdout.write("%d\\n" % n)
    sys.stdout.flush()
    n += 1
"""
# Looks until it is ended: each snapshot that it sees is whole.
READER = """
import lmdb, signal, sys
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
e = lmdb.open(sys.argv[1], map_size=1 << 28, max_readers=64, readonly=True)
looks = 0
while not stop:
    with e.begin() as x:
        last = int(x.get(b"last", b"-1"))
        for n in range(max(0, last - 40), last + 1):
            for i in range(5):
                assert x.get(b"%08d.%d" % (n, i)) == b"%d " % n * (20 + n % 700), (last, n)
        assert x.get(b"%08d.0" % (last + 1)) is None
    looks += 1
print(looks)
"""


class Environment:
    def __init__(self, work):
        self.work, self.t = work, work.t
        self.path = work.path + "/env"
        self.answers = work.outside("answers") + "/told"
        work.write({".keep": ""}, at="env")
        with work.as_user():
            open(self.answers, "w").close()

    def told(self):
        with open(self.answers) as f:
            return [int(x) for x in f.read().split()]

    def last(self, folder=None):
        out = self.work.run([PYTHON, "-c", "import lmdb, sys\nwith lmdb.open(sys.argv[1], readonly=True).begin() as x:\n"
                             "    print(x.get(b'last', b'-1').decode())", folder or self.path]).stdout
        return int(out)

    def sound(self):
        """What LMDB's own programs say of it: that it can be read, its free pages, no reader but the dead; and a copy."""
        out = self.work.run(["mdb_stat", "-e", "-ff", "-rr", self.path]).stdout
        self.t.match(out, r"^Status of Main DB$")
        entries = int(self.t.match(out, r"Status of Main DB(?:.|\n)*?Entries: (\d+)").group(1))
        dump = self.work.run(["mdb_dump", "-n" if os.path.isfile(self.path) else "-V", self.path], status=None)
        self.t.eq(dump.status, 0)
        self.t.ok(entries > 0)
        copy = self.work.outside("copy.%d" % len(os.listdir(self.t.tmp)))
        self.work.run(["mdb_copy", "-c", self.path, copy])
        self.t.eq(self.last(copy), self.last())
        self.t.eq(int(self.t.match(self.work.run(["mdb_stat", copy]).stdout, r"Entries: (\d+)").group(1)), entries)


def one_round(env, mode):
    """A writer is killed while a reader looks; a second one waits for its lock, and goes on where it was."""
    t, told = env.t, env.told
    before = len(told())
    with open(env.answers, "a") as out:
        argv = [PYTHON, "-c", WRITER, env.path, mode, str(env.last() + 1 if before else 0)]
        writer = env.work.start(argv, stdout=out, stderr=subprocess.PIPE)
    wait_until(lambda: writer.poll() is not None or len(told()) > before + 5, timeout=120, what="the first answers")
    reader = env.work.start([PYTHON, "-c", READER, env.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: writer.poll() is not None or len(told()) > before + 120, timeout=120, what="answers")
    t.eq(writer.poll(), None, "the writer ended")
    writer.kill()
    t.eq(writer.wait(60), -signal.SIGKILL)
    reader.terminate()
    out, err = reader.communicate(timeout=120)
    t.eq((reader.returncode, err.decode()), (0, ""))
    t.ok(int(out) > 0, "a reader saw nothing")
    t.ok(told()[-1] <= env.last() <= told()[-1] + 1, "answered: %d, there: %d" % (told()[-1], env.last()))
    env.sound()


@program(needs="lmdb mdb_stat mdb_copy mdb_dump mdb_load")
def lmdb_keeps_an_environment(work):
    env = Environment(work)
    with work.step("6 rounds"):
        for mode in ("plain", "writemap") * 3:
            one_round(env, mode)
    last = env.last()
    work.move_on()
    work.t.eq(env.last(), last)
    env.sound()
    with work.step("2 rounds"):
        one_round(env, "writemap")
        one_round(env, "plain")
    dump = work.run(["mdb_dump", env.path]).stdout
    work.write({".keep": ""}, at="loaded")
    work.run(["mdb_load", work.path + "/loaded"], input=dump.encode())
    work.t.eq(work.run(["mdb_dump", work.path + "/loaded"]).stdout.split("HEADER=END")[1], dump.split("HEADER=END")[1])


main()
