"""F3: a tree that was walked before. F4: the first walk, with cold caches."""
from peers import *
from figures import CLASSIC, ORCH, Figure, Goal, Group, one
from rows import row

WALKS = (("find -size", ("find", "-type", "f", "-size", "+1000")), ("ls -lR", ("ls", "-lR")), ("readdir: find", ("find",)))


def walk(path, argv):
    return timed(argv[0], path, *argv[1:]) if argv[0] == "find" else timed(*argv, path)


@row("F3", needs="fuse")
def second_walks(b):
    source, ref = b.tree(b.size("walked_files"))
    places = b.places(source, NATIVE, OVERLAY, ref=ref)

    def counted(path, argv):
        before = b.requests(b.name_of(path))
        took = walk(path, argv)
        return {"time": took, "requests": b.requests(b.name_of(path)) - before}

    def measure(variant, argv):
        if variant in (ORCH, CLASSIC):
            return counted(places[variant], argv)
        return {"time": walk(places[variant], argv)}
    for path in places.values():   # the kernel asks once more for the times of a folder that it has listed
        walk(path, WALKS[0][1])
        walk(path, WALKS[0][1])
    for what, argv in WALKS:
        what += ", %d files, seen before" % b.size("walked_files")
        yield Group({"time": Figure(what, "s", (Goal("<=", 1.2, NATIVE),)),
                     "requests": Figure(what + ": requests", "", (Goal("<=", 0),))},
                    {v: lambda v=v, argv=argv: measure(v, argv) for v in places})


@row("F4", needs="fuse")
def first_walks(b):
    source, ref = b.tree(b.size("walked_files"))
    merged = overlay(b, source)

    def cold(path):
        b.drop_caches()
        return walk(path, WALKS[0][1])

    def cold_orch(passthrough):
        name, mnt = b.workspace(ref, passthrough)
        took = cold(mnt)
        b.drop(name)
        return took
    yield one("find -size, %d files, first time, cold" % b.size("walked_files"), "s", {
        OVERLAY: lambda: cold(merged), NATIVE: lambda: cold(source),
        ORCH: lambda: cold_orch(True), CLASSIC: lambda: cold_orch(False)}, Goal("<=", 1.0, OVERLAY))
