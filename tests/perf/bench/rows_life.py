"""F8: a workspace is there at once. F9: what it keeps in memory. F13: what many forks share."""
from peers import *
from figures import CLASSIC, ORCH, Figure, Goal, Group, one
from rows import row
from sources import noise_file, path_of


def _first_byte(mnt):
    with open("%s/%s" % (mnt, path_of(0)), "rb") as f:
        f.read(1)


@row("F8", needs="fuse")
def births(b):
    """Each is dropped again outside of what is measured: a host has a few workspaces, not a hundred."""
    for count in b.size("forked_files"):
        ref = b.tree(count)[1]
        base = b.workspace(ref)[0]
        plain_base = b.workspace(ref, passthrough=False)[0]

        def until_read(*argv):
            name = b.name("n")
            begin = time.monotonic()
            _first_byte(b.shim("workspace", *[name if a is None else a for a in argv]).stdout.strip())
            took = (time.monotonic() - begin) * 1000
            b.drop(name)
            return took
        for what, orch, plain in (("create", ("create", None, "--from", ref), None),
                                  ("fork", ("fork", base, None), ("fork", plain_base, None))):
            variants = {ORCH: lambda orch=orch: until_read(*orch)}
            if plain:   # the command line has no option for it; a fork inherits it
                variants[CLASSIC] = lambda plain=plain: until_read(*plain)
            yield one("%s, %d files, until one is read" % (what, count), "ms", variants, Goal("<", 25),
                      rounds=b.size("forks"), p99=True)


def private_bytes(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return sum(int(line.split()[1]) << 10 for line in f if line.startswith(("Private_Clean:", "Private_Dirty:")))


@row("F9", needs="fuse")
def memory(b):
    """Only with the defaults: how data goes makes no difference to it (seen: 619 and 620, 569 and 569 bytes)."""
    count = b.size("remembered_files")
    ref = b.tree(count)[1]

    def walked(name, mnt):
        timed("find", mnt, "-type", "f", "-size", "+1000")
        pid = b.http("GET", "/v1/workspaces/" + name)["pid"]
        return private_bytes(pid) / b.status(name)["nodes"]

    def first():
        name, mnt = b.workspace(ref)
        per_entry = walked(name, mnt)
        b.drop(name)
        return per_entry

    def fork(base):
        name = b.name("fork")
        mnt = b.http("POST", "/v1/workspaces/%s/fork" % base, {"name": name})["path"]
        b.undo(b.drop, name)
        return walked(name, mnt)
    rounds = min(b.rounds, 3)
    yield one("private memory an entry, %d walked, first workspace" % count, "bytes", {ORCH: first}, Goal("<=", 150),
              rounds=rounds)
    base, mnt = b.workspace(ref)
    walked(base, mnt)
    yield one("the same, each of several forks", "bytes", {ORCH: lambda: fork(base)}, Goal("<=", 40), rounds=rounds)


def _cached_bytes():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("Cached:"))


@row("F13", needs="fuse")
def sharing(b):
    copies, size = b.size("copies"), b.size("copied_bytes")
    source = b.fresh("shared")
    for i in range(4):
        noise_file("%s/large%d" % (source, i), size // 4)
    ref = b.imported(source)
    bases = {ORCH: b.workspace(ref)[0], CLASSIC: b.workspace(ref, passthrough=False)[0]}

    def read_whole(folders):
        b.drop_caches()
        before = _cached_bytes()
        for folder in folders:
            command("sh", "-c", 'cat "$1"/*', "sh", folder)
        return (_cached_bytes() - before) / (1 << 20)

    def measure(make, remove):
        used, begin = b.used_bytes(), time.monotonic()
        folders = [make() for _ in range(copies)]
        took = time.monotonic() - begin
        result = {"disk": (b.used_bytes() - used) / (1 << 20), "seconds": took, "cache": read_whole(folders)}
        for folder in folders:
            remove(folder)
        return result

    def copy():
        folder = b.fresh("copy")
        command("cp", "-a", source + "/.", folder)
        return folder

    def fork(variant):
        return b.http("POST", "/v1/workspaces/%s/fork" % bases[variant], {"name": b.name("fork")})["path"]

    def forks(variant):
        return measure(lambda: fork(variant), lambda folder: b.drop(b.name_of(folder)))
    what = "%d forks of %d MiB" % (copies, size >> 20)
    yield Group({"disk": Figure(what + ", all read: disk used", "MiB", (Goal("<=", 0),)),
                 "cache": Figure(what + ", all read: page cache", "MiB", (Goal("<=", size * 1.05 / (1 << 20)),)),
                 "seconds": Figure(what + ": time to make them", "s")},
                {"cp -a": lambda: measure(copy, shutil.rmtree), ORCH: lambda: forks(ORCH), CLASSIC: lambda: forks(CLASSIC)},
                rounds=min(b.rounds, 3))
