"""F7: a compile. F16: what orch-shim build adds to a command."""
from peers import *
from figures import ORCH, Goal, one
from rows import missing, row
from sources import noise_file

missing("F16", "part: in Docker, against docker run: not built yet")


def _project(b):
    """orch's own tree, configured, as a folder of the measured file system."""
    source = b.fresh("project")
    names = _listed() + [n for n in ("configure", "Makefile.in", "config.h.in", "aclocal.m4", "build-aux", "build-deps/fuse3")
                         if os.path.exists(os.path.join(SRC, n))]
    tar = subprocess.Popen(["tar", "-C", SRC, "-c", "--null", "-T", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out = subprocess.Popen(["tar", "-C", source, "-x"], stdin=tar.stdout)
    tar.stdout.close()
    tar.stdin.write(b"\0".join(map(os.fsencode, names)))
    tar.stdin.close()
    if tar.wait() != 0 or out.wait() != 0:
        raise Failure("can't copy the project")
    command("./configure", "--disable-tests", cwd=source)
    return source


def _listed():
    argv = ["git", "-c", "safe.directory=*", "-C", SRC, "ls-files", "-z", "-co", "--exclude-standard"]
    names = os.fsdecode(command(*argv, stdout=subprocess.PIPE).stdout).split("\0")
    # .orchignore would leave the Makefile out of the snapshot
    return [n for n in names if n and n != ".orchignore" and os.path.lexists(os.path.join(SRC, n))]


@row("F7", needs="fuse make gcc git")
def compiles(b):
    targets = ["services/%s/lib%s.a" % (x, x) for x in b.size("compiled")]
    source, own = _project(b), b.fresh("native")
    places = b.places(source, OVERLAY)
    command("cp", "-a", source + "/.", own)    # overlayfs does not bear changes below it
    places = {NATIVE: own, **places}

    def make(path, *args):
        return timed("make", "-s", "-j2", *args, cwd=path)

    def clean(path):
        command("sh", "-c", 'rm -f services/*/*.o services/*/*.a', cwd=path)

    def build(path):
        clean(path)
        return make(path, *targets)
    for path in places.values():
        build(path)
    yield one("make -j2 of libraries of orch: %d, warm" % len(targets), "s", {v: lambda p=p: build(p) for v, p in places.items()},
              Goal("<=", 1.03, NATIVE))
    yield one("make with nothing to do", "s", {v: lambda p=p: make(p, *targets) for v, p in places.items()})


@row("F16", needs="fuse sandbox")
def empty_builds(b):
    source = b.fresh("empty")
    noise_file(source + "/a", 1000)
    out = b.fresh("out")

    def build():
        return seconds(b.shim, "build", "--source", source, "--cache-key", "empty", "--output-dir", "%s/%s" % (out, b.name("run")),
                       "--", "true")

    def bare():
        return timed("bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
                     "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "true")
    build()
    bwrap = "bwrap alone"
    yield one("an empty command in the sandbox", "s", {bwrap: bare, ORCH: build}, Goal("<=", 0.15, bwrap, more=True))
