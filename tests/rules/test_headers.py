"""Each header can be included alone, first, and twice."""
from orchtest import *
from rules import must_find, project_files, report
from concurrent.futures import ThreadPoolExecutor

FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-fsyntax-only",
         "-I" + SRC, "-I" + os.path.join(SRC, "services"), "-isystem", os.path.join(BUILD, "build-deps/fuse3/include/fuse3"),
         "-isystem", "/usr/include/fuse3"]


def incomplete_headers(t, headers, root):
    """Problems of those that do not compile alone."""
    config = os.path.join(BUILD, "config.h")
    flags = FLAGS + (["-include", config] if os.path.exists(config) else [])

    def compile_alone(name):
        path = os.path.join(root, name)
        source = '#include "%s"\n#include "%s"\ntypedef int not_empty;\n' % (path, path)
        r = t.run(["gcc", *flags, "-x", "c", "-"], input=source, status=None)
        return None if r.status == 0 else "%s: %s" % (name, next((x for x in r.stderr.split("\n") if "error" in x), r.stderr))
    with ThreadPoolExecutor(2) as pool:
        return [p for p in pool.map(compile_alone, headers) if p]


@test(needs="gcc")
def the_check_sees_a_header_that_needs_another(t):
    t.tree({"good.h": "#ifndef G\n#define G\n#include <stddef.h>\nstruct g { size_t n; };\n#endif\n",
            "needs.h": "#ifndef N\n#define N\nsize_t n(void);\n#endif\n",
            "once.h": "struct once { int a; };\n"}, at=t.dir("h"))
    must_find(incomplete_headers(t, ["good.h", "needs.h", "once.h"], t.path("h")), "^needs.h: ", "^once.h: ")


@test(needs="gcc", timeout=600)
def headers_are_self_contained(t):
    report(incomplete_headers(t, [n for n in project_files() if n.endswith(".h")], SRC))


main()
