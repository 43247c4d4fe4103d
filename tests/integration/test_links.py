#!/usr/bin/env python3
"""What each program is linked with: a mount process and a worker have neither database nor HTTP, the command has neither database nor FUSE, the worker alone has libgit2."""
from orchtest import *

FORBIDDEN = {
    "orch-mount": ("rocksdb", "microhttpd", "curl", "git2"),
    "orch-worker": ("rocksdb", "microhttpd", "curl", "fuse"),
    "orch-shim": ("rocksdb", "microhttpd", "fuse", "git2"),
    "orch-fsd": ("fuse", "git2"),
}


def needed(path):
    """The shared libraries that a program names itself."""
    text = subprocess.run(["readelf", "-d", path], stdout=subprocess.PIPE, check=True, text=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text)


@test
def libraries_are_seen(t):
    if not any("rocksdb" in lib for lib in needed(program("orch-fsd"))):
        raise Failure("orch-fsd is linked with %s" % needed(program("orch-fsd")))


@test
def programs_are_linked_with_what_they_may_use(t):
    if any(lib.startswith(("libasan", "libtsan", "libubsan")) for lib in needed(program("orch-fsd"))):
        skip("plain-build", "a sanitizer keeps what the linker would drop")
    wrong = ["%s: %s" % (name, lib) for name, words in FORBIDDEN.items() for lib in needed(program(name))
             if any(word in lib for word in words)]
    t.eq(wrong, [])


main()
