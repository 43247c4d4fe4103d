"""F2: writes to one large file. F6: many small files come, change their names and go."""
from peers import *
from figures import Figure, Goal, Group, one
from rows import row
from rows_read import fio, for_a_time
from sources import noise_file

CLIENT = os.path.join(BUILD, "tests/perf/bench-files")
CHUNK = bytes(range(256)) * 4096    # 1 MiB

PATTERNS = (("write, sequential, 128 KiB", "write", "128k", "psync"), ("write, random, 4 KiB", "randwrite", "4k", "psync"),
            ("stores through a mapping, random, 4 KiB", "randwrite", "4k", "mmap"))


def write_new(path, size):
    """MB/s of a file that is made, written in pieces of 1 MiB, and closed."""
    begin = time.monotonic()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    for _ in range(size // len(CHUNK)):
        os.write(fd, CHUNK)
    os.close(fd)
    took = time.monotonic() - begin
    os.unlink(path)
    return size / took / (1 << 20)


@row("F2", needs="fuse fio")
def large_writes(b):
    size = b.size("written_bytes")
    source = b.fresh("written")
    noise_file(source + "/file", size)
    places = b.places(source, NATIVE)
    for path in places.values():
        with open(path + "/file", "r+b") as f:   # private from now on
            f.write(b"private")

    def overwrite(path, rw, block, engine):
        return fio(path + "/file", rw, block, size, "--ioengine=" + engine, *for_a_time(b.size("seconds")))
    for what, *how in PATTERNS:
        yield one(what + ", a file that exists", "MB/s",
                  {v: lambda p=p, how=how: overwrite(p, *how) for v, p in places.items()}, Goal(">=", 0.95, NATIVE))
    yield one("write, sequential, 1 MiB, a new file of %d MiB" % (size >> 20), "MB/s",
              {v: lambda p=p: write_new(p + "/new", size) for v, p in places.items()}, Goal(">=", 0.8, NATIVE))


def _figure(phase, clients):
    of_overlay = {"create": 0.6, "rename": 1.0, "unlink": 0.6}.get(phase)
    goals = ()
    if of_overlay:
        goals = (Goal(">=", of_overlay, OVERLAY), Goal(">=", 8, FUSE_OVERLAY), Goal(">=", 4, PEER_HP))
    return Figure("%s, 2 KB, %d client%s" % (phase, clients, "s" * (clients > 1)), "k/s", goals)


@row("F6", needs="fuse")
def small_files(b):
    source = b.fresh("few")
    noise_file(source + "/a", 1000)
    places = b.places(source, OVERLAY, FUSE_OVERLAY)
    for peer in NATIVE, PEER_HP:
        if not lacking(peer):
            places[peer] = file_system(b, peer, b.fresh("alone"))
        else:
            b.lacked.append("%s: %s" % (peer, lacking(peer)))

    def run(path, clients):
        count = max(1, b.size("small_files") // clients)
        out = command(CLIENT, path, str(clients), str(count), "2000", stdout=subprocess.PIPE).stdout
        return {phase: rate / 1000 for phase, rate in json.loads(out).items()}
    for clients in 1, 2:
        yield Group({phase: _figure(phase, clients) for phase in ("create", "stat", "read", "rename", "unlink")},
                    {v: lambda p=p, n=clients: run(p, n) for v, p in places.items()})
