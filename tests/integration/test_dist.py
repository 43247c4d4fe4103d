"""A release tarball: complete, builds without bootstrap in a folder with a space, installs, and leaves nothing out."""
from orchtest import *


def make(t, folder, *args, **kwargs):
    return t.run(["make", "-C", folder, *args], timeout=kwargs.pop("timeout", 600), **kwargs)


def fuse_argument(t):
    """The tarball holds no libfuse: give it the one of this build, if there is one."""
    bundled = os.path.join(BUILD, "build-deps/fuse3")
    if not os.path.isdir(bundled):
        return "--with-fuse=system"
    shutil.copytree(bundled, t.path("fuse3"))
    return "--with-fuse=" + t.path("fuse3")


@test(needs="make gcc", timeout=1500)
def the_tarball_builds_and_installs(t):
    make(t, BUILD, "distdir", "distdir=" + t.path("orch"), "am__remove_distdir=:", "top_distdir=" + t.path("orch"))
    names = {os.path.relpath(os.path.join(d, f), t.path("orch")) for d, _, fs in os.walk(t.path("orch")) for f in fs}
    for name in ["README.md", "LICENSE", "CONTRIBUTING.md", "docs/architecture.md", "scripts/bootstrap",
                 "scripts/quickstart", "scripts/test", "configure", "build-aux/tap-driver.sh", "tests/lib/orchtest.py"]:
        t.ok(name in names, "%s is not in the tarball" % name)
    t.eq([n for n in names if n.endswith((".o", ".a", ".trs", ".pyc"))], [], "made files are in the tarball")
    spaced = t.path("a folder")
    os.rename(t.path("orch"), spaced)
    t.run(["./configure", "-q", "--prefix=/usr", "--disable-tests", fuse_argument(t)], cwd=spaced, timeout=300)
    make(t, spaced, "-j2", "V=0", timeout=1200)
    make(t, spaced, "install", "DESTDIR=" + t.path("root"))
    for name in ["bin/orch-fsd", "bin/orch-shim", "libexec/orch/orch-mount", "libexec/orch/orch-worker",
                 "libexec/orch/orch-init"]:
        t.ok(os.access(t.path("root/usr", name), os.X_OK), "%s is not installed" % name)
    make(t, spaced, "uninstall", "DESTDIR=" + t.path("root"))
    left = [os.path.join(d, f) for d, _, fs in os.walk(t.path("root")) for f in fs]
    t.eq(left, [], "uninstall leaves files")


@test
def the_static_first_process_needs_no_library(t):
    with open(program("orch-init"), "rb") as f:
        image = f.read()
    t.eq(image[:4], b"\x7fELF")
    count, size = int.from_bytes(image[56:58], "little"), int.from_bytes(image[54:56], "little")
    first = int.from_bytes(image[32:40], "little")
    kinds = [int.from_bytes(image[first + i * size:first + i * size + 4], "little") for i in range(count)]
    t.ok(3 not in kinds, "orch-init asks for a dynamic loader (PT_INTERP)")


main()
