"""Which room includes which: the table in docs/architecture.md. And no circle of headers."""
from orchtest import *
from rules import load, must_find, report, room_of_file, room_of_include, rooms, strip, line_of

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.M)


def wrong_includes(files, may):
    out = []
    for path, text in files.items():
        room = room_of_file(path, may)
        if room is None or path.endswith("/main.c"):
            continue
        code = strip(text, strings=False)
        for m in INCLUDE.finditer(code):
            other = room_of_include(m.group(1))
            if other is None or other in may[room] or (other == "tests" and path.startswith("tests/")):
                continue
            why = "%s may not include %s" % (room, other) if other in may else "no such room: %s" % other
            out.append('%s:%d: "%s": %s' % (path, line_of(code, m.start()), m.group(1), why))
    return out


def circles(files):
    """Headers that include each other."""
    graph = {}
    for path, text in files.items():
        names = [re.sub(r"^(?!services/|fsd/|providers/|shim/|tests/)", "services/", n) if "/" in n
                 else os.path.dirname(path) + "/" + n for n in INCLUDE.findall(strip(text, strings=False))]
        graph[path] = [n for n in names if n in files]
    out, done = [], set()

    def visit(path, trail):
        if path in trail:
            out.append("%s: circle: %s" % (path, " > ".join(trail[trail.index(path):] + [path])))
        elif path not in done:
            for other in graph[path]:
                visit(other, trail + [path])
            done.add(path)
    for path in graph:
        visit(path, [])
    return out


@test
def the_check_sees_a_wrong_include(t):
    may = {"services/core": {"services/core"}, "services/cache": {"services/cache", "services/core"},
           "shim": {"shim", "services/core"}}
    bad = {
        "services/core/a.c": '/* #include "cache/x.h" */\n#include "core/b.h"\n  # include "cache/store.h"\n',
        "shim/x.c": '#include "shim/y.h"\n#include "cache/store.h"\n#include "moon/z.h"\n',
        "shim/main.c": '#include "cache/store.h"\n',
        "tests/unit/core/test-x.c": '#include "tests/lib/tap.h"\n#include "core/a.h"\n#include "shim/a.h"\n',
    }
    must_find(wrong_includes(bad, may), r"^services/core/a.c:3: .*may not include services/cache",
              r"^shim/x.c:2: .*may not include services/cache", r"^shim/x.c:3: .*no such room",
              r"^tests/unit/core/test-x.c:3: ")


@test
def the_check_sees_a_circle(t):
    must_find(circles({"services/core/a.h": '#include "core/b.h"\n', "services/core/b.h": '#include "a.h"\n'}), "circle")


@test
def rooms_include_what_the_table_allows(t):
    report(wrong_includes(load(".c", ".h"), rooms()))


@test
def headers_do_not_include_each_other_in_a_circle(t):
    report(circles(load(".h")))


main()
