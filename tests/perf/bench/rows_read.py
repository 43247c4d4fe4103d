"""F1: one large file. F5: many small ones."""
from peers import *
from figures import Goal, one
from rows import row
from sources import many_files, noise_file


def fio(path, rw, block, size, *more):
    """MB/s of one fio job on one file."""
    argv = ["fio", "--name=x", "--filename=" + path, "--rw=" + rw, "--bs=" + block, "--size=%d" % size, "--ioengine=psync",
            "--output-format=json", "--invalidate=0", "--fallocate=none", "--norandommap", "--randseed=1", *more]
    job = json.loads(command(*argv, stdout=subprocess.PIPE).stdout)["jobs"][0]
    return max(job["read"]["bw"], job["write"]["bw"]) / 1024


def for_a_time(seconds_):
    """fio goes on for so long, whatever the size of the file; what is measured begins at once."""
    return "--time_based", "--runtime=%dms" % (seconds_ * 1000)


PATTERNS = (("sequential, 128 KiB", "read", "128k"), ("sequential, 4 KiB", "read", "4k"),
            ("random, 128 KiB", "randread", "128k"), ("random, 4 KiB", "randread", "4k"))


@row("F1", needs="fuse fio")
def large_reads(b):
    size = b.size("read_bytes")
    source = b.fresh("large")
    noise_file(source + "/file", size)
    places = b.places(source, NATIVE)

    def warm(path, rw, block):
        return fio(path + "/file", rw, block, size, "--readonly", *for_a_time(b.size("seconds")))

    def cold(path, rw, block):
        b.drop_caches()
        part = size if rw == "read" else b.size("cold_random_bytes")
        return fio(path + "/file", rw, block, size, "--readonly", "--io_size=%d" % part)
    for path in places.values():
        command("cat", path + "/file")
    for heat, take in ("warm", warm), ("cold", cold):
        for what, rw, block in PATTERNS:
            yield one("read %s, %s" % (what, heat), "MB/s",
                      {v: lambda p=p, take=take, rw=rw, block=block: take(p, rw, block) for v, p in places.items()},
                      Goal(">=", 0.95, NATIVE))


@row("F5", needs="fuse")
def small_reads(b):
    count = b.size("grepped_files")
    source = b.fresh("grep")
    many_files(source, count, 2000)
    places = b.places(source, OVERLAY, NATIVE, FUSE_OVERLAY, PEER_HP)

    def grep(path):
        return seconds(subprocess.run, ["grep", "-r", "nothing of this", path], stdout=subprocess.DEVNULL)
    for path in places.values():
        grep(path)
    yield one("grep -r, %d files of 2 KB, warm" % count, "s", {v: lambda p=p: grep(p) for v, p in places.items()},
              Goal("<=", 2, OVERLAY), Goal("<=", 0.25, FUSE_OVERLAY))
