"""A release tarball: complete, builds without bootstrap in a folder with a space, installs, and leaves nothing out."""
from orchtest import *
import orchtest


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
    prefix = t.path("inst")
    t.run(["./configure", "-q", "--prefix=" + prefix, "--disable-tests", fuse_argument(t)], cwd=spaced, timeout=300)
    make(t, spaced, "-j2", "V=0", timeout=1200)
    make(t, spaced, "install", "DESTDIR=" + t.path("root"))
    installed(t, t.path("root") + prefix)
    make(t, spaced, "uninstall", "DESTDIR=" + t.path("root"))
    t.eq(files_below(t.path("root")), [], "uninstall leaves files")
    make(t, spaced, "install")
    os.rename(spaced, t.path("away"))  # so that nothing is found beside the sources
    runs(t, prefix)
    make(t, t.path("away"), "uninstall")
    t.eq(files_below(prefix), [], "uninstall leaves files")


def files_below(folder):
    return [os.path.join(d, f) for d, _, fs in os.walk(folder) for f in fs]


def installed(t, prefix):
    for name in ["bin/orch-fsd", "bin/orch-shim", "libexec/orch/orch-mount", "libexec/orch/orch-worker",
                 "libexec/orch/orch-init"]:
        t.ok(os.access(os.path.join(prefix, name), os.X_OK), "%s is not installed" % name)
    for name in ["share/man/man1/orch-shim.1", "share/man/man8/orch-fsd.8", "lib/systemd/system/orch-fsd.service",
                 "lib/systemd/system/orch-fsd.socket", "lib/sysusers.d/orch.conf", "share/doc/orch/orch-fsd.conf"]:
        t.ok(os.path.exists(os.path.join(prefix, name)), "%s is not installed" % name)
    with open(prefix + "/lib/systemd/system/orch-fsd.service") as f:
        t.match(f.read(), r"(?m)^ExecStart=%s/bin/orch-fsd " % re.escape(t.path("inst")))


def runs(t, prefix):
    """The installed programs find each other."""
    lacking = orchtest.FEATURES["fuse"]() or orchtest.FEATURES["sandbox"]()
    if lacking:
        print("# the installed programs were not run: " + lacking)
        return
    env = {"ORCH_SOCKET": t.path("s"), "ORCH_STORE": t.path("store"), "ORCH_MOUNTS": t.path("mnt")}
    shim = prefix + "/bin/orch-shim"
    t.finally_(lambda: os.path.exists(shim) and t.run([shim, "daemon", "stop", "--force"], env=env, status=None))
    t.run([shim, "build", "--source", t.tree({"in": "1"}), "--output-dir", t.path("out"), "--output", "o=result,required", "--",
           "sh", "-c", "cat in in > result"], env=env)
    t.eq(open(t.path("out/o/result")).read(), "11")
    for name in ("orch-fsd", "orch-mount"):
        for pid in [p for p in orchtest._tagged_pids(t.tag) if os.path.basename(orchtest._read("/proc/%d/cmdline" % p).split("\0")[0]) == name]:
            t.ok(os.readlink("/proc/%d/exe" % pid).startswith(prefix), "%s of elsewhere" % name)
    t.run([shim, "daemon", "stop", "--force"], env=env)


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
