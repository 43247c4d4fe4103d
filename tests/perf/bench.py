"""
The figures of orch, each beside its peer's: in one run, on one file system, alternating, medians of several rounds.

A row is a function that yields (variant, unit, better, function that takes one measurement). The runner calls the variants of
a row in turn, round after round, and prints the median, the spread and the ratio to the row's first variant (the peer).
Nothing here passes or fails by time. Run by scripts/bench.
"""
import argparse
import statistics
import tempfile

from orchtest import *
from orchtest import Context

CLIENT = os.path.join(BUILD, "tests/perf/bench-files")


class Bench:
    """The place: a file system of its own, a daemon whose store lies on it."""

    def __init__(self, t, root, quick):
        self.t, self.root, self.quick = t, root, quick
        self.daemon = None
        self._names = 0

    def few(self, many, quick):
        return quick if self.quick else many

    def fresh(self, name):
        self._names += 1
        path = os.path.join(self.root, "%s%d" % (name, self._names))
        os.makedirs(path)
        return path

    def shim(self, *args, **kwargs):
        kwargs.setdefault("timeout", 1200)
        return self.daemon.shim(*args, **kwargs)

    def imported(self, source, ref):
        return self.shim("snapshot", "import", source, "--ref", ref).stdout.strip()

    def workspace(self, ref, *options):
        self._names += 1
        name = "w%d" % self._names
        path = self.shim("workspace", "create", name, "--from", ref, *options).stdout.strip()
        return name, path

    def drop(self, name):
        self.shim("workspace", "drop", name)

    def overlay(self, lower):
        base = self.fresh("overlay")
        for part in "upper", "work", "merged":
            os.mkdir(os.path.join(base, part))
        merged = base + "/merged"
        command("mount", "-t", "overlay", "overlay", "-o",
                "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (lower, base, base), merged)
        self.t.finally_(command, "umount", "-l", merged)
        return merged


def command(*argv, **kwargs):
    kwargs.setdefault("stdout", subprocess.DEVNULL)
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, **kwargs)


def seconds(function, *args, **kwargs):
    begin = time.monotonic()
    function(*args, **kwargs)
    return time.monotonic() - begin


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


def small_files(root, count, size=2000, a_folder=100, salt=0):
    for i in range(count):
        if i % a_folder == 0:
            folder = "%s/d%d/e%d" % (root, i // a_folder // 30, i // a_folder)
            os.makedirs(folder)
        with open("%s/f%d" % (folder, i), "wb") as f:
            f.write((b"%d %d " % (i, salt) * size)[:size])


def fio(path, rw, block, size, **more):
    """MB/s of one fio job on one file."""
    argv = ["fio", "--name=x", "--filename=" + path, "--rw=" + rw, "--bs=" + block, "--size=%d" % size,
            "--ioengine=psync", "--output-format=json", "--invalidate=0", "--fallocate=none"]
    argv += ["--%s=%s" % kv for kv in more.items()]
    job = json.loads(command(*argv, stdout=subprocess.PIPE).stdout)["jobs"][0]
    return max(job["read"]["bw"], job["write"]["bw"]) / 1024


# ---- the rows

def f1(b):
    """F1 read of one large file, warm"""
    size = b.few(256 << 20, 64 << 20)
    source = b.fresh("large")
    with open(source + "/file", "wb") as f:
        for _ in range(size >> 20):
            f.write(os.urandom(1 << 20))
    b.imported(source, "f1")
    _name, mnt = b.workspace("f1")
    for what, rw, block in (("sequential 128 KiB", "read", "128k"), ("random 4 KiB", "randread", "4k")):
        yield what, "MB/s", "more", [
            ("native", lambda rw=rw, block=block: fio(source + "/file", rw, block, size)),
            ("orch", lambda rw=rw, block=block: fio(mnt + "/file", rw, block, size))]


def f2(b):
    """F2 write to a file that exists"""
    size = b.few(128 << 20, 32 << 20)
    source = b.fresh("written")
    with open(source + "/file", "wb") as f:
        f.write(bytes(size))
    b.imported(source, "f2")
    _name, mnt = b.workspace("f2")
    with open(mnt + "/file", "r+b") as f:
        f.write(b"private")
    for what, rw, block in (("sequential 128 KiB", "write", "128k"), ("random 4 KiB", "randwrite", "4k")):
        yield what, "MB/s", "more", [
            ("native", lambda rw=rw, block=block: fio(source + "/file", rw, block, size)),
            ("orch", lambda rw=rw, block=block: fio(mnt + "/file", rw, block, size))]


def walks(b):
    """F3 second walk; F4 first walk with cold caches"""
    count = b.few(100000, 10000)
    source = b.fresh("tree")
    small_files(source, count, size=20)
    b.imported(source, "tree")
    merged = b.overlay(source)

    def walk(path):
        return seconds(command, "find", path, "-type", "f", "-size", "+1")

    def cold(path):
        drop_caches()
        return walk(path)

    def cold_orch():
        name, mnt = b.workspace("tree")
        drop_caches()
        took = walk(mnt)
        b.drop(name)
        return took
    _name, mnt = b.workspace("tree")
    for path in source, merged, mnt:
        walk(path)
    yield "F3 find -size, %d files, second time" % count, "s", "less", [
        ("native", lambda: walk(source)), ("overlayfs", lambda: walk(merged)), ("orch", lambda: walk(mnt))]
    yield "F4 the same, first time, cold caches", "s", "less", [
        ("overlayfs", lambda: cold(merged)), ("native", lambda: cold(source)), ("orch", cold_orch)]


def f5(b):
    """F5 open+read+close of many small warm files"""
    source = b.fresh("grep")
    small_files(source, b.few(5000, 1000))
    b.imported(source, "grep")
    _name, mnt = b.workspace("grep")
    merged = b.overlay(source)

    def grep(path):
        return seconds(subprocess.run, ["grep", "-r", "nothing of this", path], stdout=subprocess.DEVNULL)
    for path in source, merged, mnt:
        grep(path)
    yield "grep -r, warm", "s", "less", [
        ("overlayfs", lambda: grep(merged)), ("native", lambda: grep(source)), ("orch", lambda: grep(mnt))]


def f6(b):
    """F6 2 KB files: create+write+close, rename, unlink"""
    count = b.few(4000, 500)
    source = b.fresh("few")
    with open(source + "/a", "w") as f:
        f.write("a")
    b.imported(source, "few")
    _name, mnt = b.workspace("few")
    places = {"overlayfs": b.overlay(source), "native": b.fresh("native"), "orch": mnt}
    for clients in 1, 2:
        latest = {}

        def measure(variant, phase, clients=clients, latest=latest):
            if phase == "create":
                out = command(CLIENT, places[variant], str(clients), str(count), "2000", stdout=subprocess.PIPE).stdout
                latest[variant] = json.loads(out)
            return latest[variant][phase] / 1000
        for phase in "create", "stat", "read", "rename", "unlink":
            yield "%s, %d client%s" % (phase, clients, "s" * (clients > 1)), "k/s", "more", [
                (v, lambda v=v, phase=phase: measure(v, phase)) for v in places]


def f8(b):
    """F8 create and fork a workspace through the command line, until a file can be read"""
    for count in b.few((1000, 100000), (1000,)):
        source = b.fresh("sized")
        small_files(source, count, size=20)
        b.imported(source, "sized%d" % count)
        base, _ = b.workspace("sized%d" % count)
        made = []

        def create(count=count, made=made):
            begin = time.monotonic()
            name, mnt = b.workspace("sized%d" % count)
            with open(mnt + "/d0/e0/f0", "rb") as f:
                f.read()
            made.append(name)
            return (time.monotonic() - begin) * 1000

        def fork(base=base, made=made):
            name = "fork%d" % len(made)
            begin = time.monotonic()
            mnt = b.shim("workspace", "fork", base, name + base).stdout.strip()
            with open(mnt + "/d0/e0/f0", "rb") as f:
                f.read()
            made.append(name + base)
            return (time.monotonic() - begin) * 1000
        yield "%d files" % count, "ms", "less", [("create", create), ("fork", fork)]
        for name in made:
            b.drop(name)


def imports(b):
    """F11 import of a directory"""
    count = b.few(20000, 2000)
    source = b.fresh("project")
    small_files(source, count, size=8000)
    copies = b.fresh("copies")
    numbers = iter(range(1 << 30))

    def tar():
        archive = "%s/%d.tar.zst" % (copies, next(numbers))
        out = archive[:-8]
        os.mkdir(out)
        took = seconds(command, "sh", "-c", 'tar -C "$1" -c . | zstd -q -3 -T0 -o "$2" && zstd -dc "$2" | tar -C "$3" -x',
                       "sh", source, archive, out)
        shutil.rmtree(out)
        os.unlink(archive)
        return took

    def copy(*argv):
        out = "%s/%d" % (copies, next(numbers))
        took = seconds(command, *argv, source + "/.", out)
        shutil.rmtree(out)
        return took

    def first():
        other = b.fresh("other")
        small_files(other, count, size=8000, salt=next(numbers) + 1)
        took = seconds(b.shim, "snapshot", "import", other, "--ref", "first%d" % next(numbers))
        shutil.rmtree(other)
        return took

    def changed():
        with open(source + "/d0/e0/f0", "w") as f:
            f.write(str(next(numbers)))
        return again()

    def again():
        return seconds(b.shim, "snapshot", "import", source, "--ref", "again")
    yield "%d files of 8 KB" % count, "s", "less", [
        ("tar+zstd", tar), ("cp -a", lambda: copy("cp", "-a")), ("rsync -a", lambda: copy("rsync", "-a")),
        ("orch, unchanged", again), ("orch, 1 changed", changed), ("orch, first", first)]


def f12(b):
    """F12 commit after 1 % of the files changed"""
    count = b.few(20000, 2000)
    source = b.fresh("result")
    small_files(source, count, size=8000)
    b.imported(source, "result")
    name, mnt = b.workspace("result")
    archive = b.fresh("archive") + "/a.tar.zst"

    def change(root):
        for i in range(0, count, 100):
            folder = "%s/d%d/e%d" % (root, i // 3000, i // 100)
            with open("%s/f%d" % (folder, i), "ab") as f:
                f.write(os.urandom(16))

    def tar():
        change(source)
        return seconds(command, "sh", "-c", 'tar -C "$1" -c . | zstd -q -f -3 -T0 -o "$2"', "sh", source, archive)

    def commit():
        change(mnt)
        return seconds(b.shim, "workspace", "commit", name, "--ref", "result2")
    yield "%d files of 8 KB" % count, "s", "less", [("tar+zstd", tar), ("orch", commit)]


def f16(b):
    """F16 orch-shim build around an empty command, in the sandbox"""
    source = b.fresh("empty")
    with open(source + "/a", "w") as f:
        f.write("a")
    out = b.fresh("out")
    numbers = iter(range(1 << 30))

    def build():
        return seconds(b.shim, "build", "--source", source, "--cache-key", "empty", "--output-dir",
                       "%s/%d" % (out, next(numbers)), "--", "true")

    def bare():
        return seconds(command, "bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
                       "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "true")
    build()
    yield "an empty command", "s", "less", [("bwrap alone", bare), ("orch-shim build", build)]


ROWS = {"F1": f1, "F2": f2, "F3": walks, "F5": f5, "F6": f6, "F8": f8, "F11": imports, "F12": f12, "F16": f16}


# ---- the frame

def loop_file_system(t, kind, size):
    where = os.path.join(BUILD, ".orch/bench")
    os.makedirs(where, exist_ok=True)
    image = tempfile.NamedTemporaryFile(dir=where, suffix=".img", delete=False).name
    t.finally_(os.unlink, image)
    os.truncate(image, size)
    command(*(["mkfs.ext4", "-q", "-F", image] if kind == "ext4" else ["mkfs.xfs", "-q", "-f", image]))
    root = t.dir("fs")
    command("mount", "-o", "loop", image, root)
    t.finally_(command, "umount", "-l", root)
    return root


def measure(variants, rounds):
    taken = {name: [] for name, _ in variants}
    for _ in range(rounds):
        for name, function in variants:
            taken[name].append(function())
    return taken


def report(row, what, unit, better, taken):
    first = None
    lines = []
    for variant, values in taken.items():
        median = statistics.median(values)
        first = first if first is not None else median
        ratio = median / first if first else float("nan")
        lines.append({"row": row, "what": what, "variant": variant, "unit": unit, "better": better, "median": median,
                      "min": min(values), "max": max(values), "ratio": ratio, "rounds": len(values)})
        print("%-4s %-42s %-16s %10.3f %-5s %6.2f x   [%.3f .. %.3f]" % (
            row, what[:42], variant, median, unit, ratio, min(values), max(values)), flush=True)
    return lines


def bench(t, args):
    if os.geteuid() != 0:
        sys.exit("bench: needs root: loop devices and overlayfs")
    root = loop_file_system(t, args.fs, 24 << 30)
    b = Bench(t, root, args.quick)
    lines = []
    b.daemon = t.daemon()
    b.daemon.store = os.path.join(root, "store")
    print("orch %s, %s, Linux %s, %d CPUs, %s; ratio: to the first line of each group" % (
        t.run(["orch-shim", "--version"]).stdout.split()[1], time.strftime("%Y-%m-%d"), os.uname().release,
        os.cpu_count(), args.fs))
    with b.daemon:
        for row, function in ROWS.items():
            if args.row and row not in args.row:
                continue
            print("\n" + function.__doc__)
            for what, unit, better, variants in function(b):
                lines += report(row, what, unit, better, measure(variants, 3 if args.quick else 5))
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"fs": args.fs, "kernel": os.uname().release, "date": time.strftime("%Y-%m-%d"), "lines": lines}, f, indent=1)


def run():
    p = argparse.ArgumentParser(prog="scripts/bench")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--fs", choices=("ext4", "xfs"), default="ext4")
    p.add_argument("row", nargs="*", metavar="ROW")
    args = p.parse_args()
    t = Context("bench")
    problems = []
    try:
        bench(t, args)
    finally:
        problems = t._close()
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


run()
