#!/usr/bin/env python3
"""Linux, as small as its configuration lets it be, built in a workspace from Debian's source package."""
import glob

from programslib import *

tools("flex", "bison", "bc", "xz", "gcc", "make")
SOURCES = sorted(glob.glob("/usr/src/linux-source-*.tar.xz"))
orchtest.FEATURES["linux-source"] = lambda: None if SOURCES else "no package linux-source"
# What kbuild says when it makes something ("CALL" and "DESCEND" are said each time).
MADE = re.compile(r"^\s+(?!CALL|DESCEND|CHK)[A-Z]{2,}\S*\s+\S+", re.M)


def make(work, *args):
    return work.run(["make", *args], timeout=3000).stdout


def builds_nothing(work):
    """A second make finds everything up to date."""
    vmlinux = os.stat(work.path + "/vmlinux")
    with work.step("second make"):
        out = make(work)
    work.t.eq(MADE.findall(out), [], out)
    work.t.eq(os.stat(work.path + "/vmlinux").st_mtime_ns, vmlinux.st_mtime_ns)


def builds_what_changed(work):
    with work.as_user():
        with open(work.path + "/lib/ctype.c", "a") as f:
            f.write("/* changed */\n")
    with work.step("make after a change"):
        out = make(work)
    # the version, and the loader that knows the kernel's addresses, are made with it
    built = {x for x in re.findall(r"^\s+CC\s+(\S+)", out, re.M) if "version" not in x}
    work.t.ok({"lib/ctype.o"} <= built <= {"lib/ctype.o", "arch/x86/boot/compressed/misc.o"}, str(built))


@program(needs="linux-source flex bison bc xz gcc make", users=(1000,), timeout=4000)
def a_kernel_is_built(work):
    t = work.t
    with work.step("unpack"):
        work.run(["tar", "-xf", SOURCES[-1], "--strip-components=1"], timeout=1200)
    with work.step("tinyconfig, make"):
        make(work, "tinyconfig")
        make(work, "-j%d" % os.cpu_count())
    t.eq(open(work.path + "/vmlinux", "rb").read(4), b"\x7fELF")
    t.ok(os.path.getsize(work.path + "/arch/x86/boot/bzImage") > 100000)
    builds_nothing(work)
    work.move_on()
    builds_nothing(work)
    builds_what_changed(work)
    with work.step("make clean"):
        make(work, "clean")
    t.ok(not os.path.exists(work.path + "/vmlinux"))


main()
