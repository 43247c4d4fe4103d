"""One door for each foreign library: which files may include its headers."""
from orchtest import *
from rules import is_test, line_of, load, must_find, report, strip
import fnmatch

# header (glob) => files that may include it (glob), how many files may
DOORS = {
    "fuse*.h": ("fsd/mount/fuse_door_priv.h", 1),
    "fuse3/*": ("fsd/mount/fuse_door_priv.h", 1),
    "liburing*": ("fsd/mount/*", 1),
    "seccomp.h": ("fsd/mount/*", 1),
    "rocksdb/*": ("services/cache/db_priv.h", 1),
    "curl/*": ("services/core/http*.c", 1),
    "jansson.h": ("services/core/json*.c", 2),
    "microhttpd.h": ("fsd/keeper/*", 1),
    "openssl/*": ("services/core/*", 1),
    "xxhash.h": ("services/core/hash_xxh_body.h", 1),
    "zstd.h": ("services/core/*", 1),
    "git2.h": ("services/sync/git_odb.c", 1),
    "git2/*": ("services/sync/git_odb.c", 1),
    "archive*.h": ("services/sync/*", 1),
}
# A door of several files: its private header includes the foreign one => the files that may include it (glob).
DOORSTEPS = {
    "fsd/mount/fuse_door_priv.h": "fsd/mount/fuse_*.c",
    "services/cache/db_priv.h": "services/cache/db*.c",
}
# The C library and the kernel: no door needed.
LIBC = set("""alloca aio assert byteswap complex cpio ctype dirent dlfcn elf endian err errno error execinfo fcntl
fenv float fnmatch ftw getopt glob grp inttypes iso646 langinfo libgen limits link locale malloc math mntent
netdb nl_types poll pthread pwd regex sched search semaphore setjmp signal spawn stdalign stdarg stdatomic
stdbool stddef stdint stdio stdlib stdnoreturn string strings stropts sysexits syslog termios tgmath threads
time uchar ucontext ulimit unistd utime utmpx wait wchar wctype wordexp""".split())
SYSTEM = ("sys/", "linux/", "asm/", "netinet/", "arpa/", "net/", "sanitizer/")
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<([^>]+)>", re.M)
OWN = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)


def wrong_doorsteps(files):
    """Who comes to a foreign library past its door, by the door's private header. Tests, too."""
    out = []
    for path, text in files.items():
        code = strip(text, strings=False)
        for m in OWN.finditer(code):
            for header, who in DOORSTEPS.items():
                if os.path.basename(m.group(1)) == os.path.basename(header) and not fnmatch.fnmatch(path, who):
                    out.append("%s:%d: \"%s\": only %s may include it" % (path, line_of(code, m.start()), m.group(1), who))
    return out


def wrong_doors(files):
    out, used = [], {}
    for path, text in files.items():
        if is_test(path):
            continue
        code = strip(text)
        for m in INCLUDE.finditer(code):
            header = m.group(1)
            if header.startswith(SYSTEM) or header[:-2] in LIBC:
                continue
            where = "%s:%d: <%s>" % (path, line_of(code, m.start()), header)
            door = next((d for d in DOORS if fnmatch.fnmatch(header, d)), None)
            if door is None:
                out.append("%s: no door is defined for it (tests/rules/test_foreign_headers.py)" % where)
            elif not fnmatch.fnmatch(path, DOORS[door][0]):
                out.append("%s: only %s may include it" % (where, DOORS[door][0]))
            else:
                used.setdefault(door, set()).add(path)
    for door, paths in used.items():
        if len(paths) > DOORS[door][1]:
            out.append("<%s> is included by %s: one door" % (door, ", ".join(sorted(paths))))
    return out


@test
def the_check_sees_a_second_door(t):
    bad = {
        "fsd/keeper/http.c": "#include <microhttpd.h>\n",
        "fsd/keeper/other.c": "#include <stdio.h>\n#include <microhttpd.h>\n",
        "shim/x.c": "#include <sys/stat.h>\n#include <jansson.h>\n",
        "shim/y.h": "// #include <jansson.h>\n#include <sqlite3.h>\n",
        "tests/unit/core/x.c": "#include <jansson.h>\n",
    }
    must_find(wrong_doors(bad), "^<microhttpd.h> is included by fsd/keeper/http.c, fsd/keeper/other.c",
              "^shim/x.c:2: .*only services/core/json", "^shim/y.h:2: .*no door")


@test
def the_check_sees_a_way_round_a_door(t):
    header = '#include "fsd/mount/fuse_door_priv.h"\n'
    must_find(wrong_doorsteps({"fsd/mount/fuse_name.c": header, "fsd/mount/ns.c": "\n" + header,
                               "fsd/mount/fuse_x.h": '#include "fuse_door_priv.h"\n', "tests/unit/mount/x.c": header}),
              "^fsd/mount/ns.c:2: ", "^fsd/mount/fuse_x.h:1: ", "^tests/unit/mount/x.c:1: ")


@test
def foreign_headers_have_one_door(t):
    files = load(".c", ".h")
    report(wrong_doors(files) + wrong_doorsteps(files))


@test
def each_doorstep_is_there(t):
    files = load(".c", ".h")
    report(["%s: no such file" % h for h in DOORSTEPS if h not in files])


main()
