"""docs/locking.md knows every lock of the code: mutexes as struct.member in their room's section, flocks by the file that takes them."""
from orchtest import *
from rules import is_test, line_of, load, must_find, read_text, report, rooms, strip

LOCK = re.compile(r"\b(?:static\s+)?(?:pthread_(?:mutex|rwlock|spinlock|once)_t|sem_t|mtx_t|once_flag)\s+(\w+)\s*(?:\[[^\]]*\])?\s*[;=]")
FLOCK = re.compile(r"\b(?:flock|lockf)\s*\(|\bF_(?:OFD_)?SETLKW?\b")
STRUCT = re.compile(r"\bstruct\s+(\w+)\s*\{")


def enclosing(code, position):
    """The struct in which the position lies; None: in none."""
    name, depth = None, 0
    for m in re.finditer(r"\bstruct\s+(\w+)\s*\{|[{}]", code[:position]):
        if m.group(0) == "}":
            depth -= 1
            if depth == 0:
                name = None
        else:
            depth += 1
            if m.group(1) and depth == 1:
                name = m.group(1)
    return name if depth else None


def sections(page):
    """{heading: text}"""
    parts = re.split(r"(?m)^## (.*)$", page)
    return dict(zip(parts[1::2], parts[2::2]))


def unknown_locks(files, page, room_names):
    """Locks that the page does not know, and names in it that no lock has any more."""
    out, have, known = [], set(), sections(page)
    for path, text in sorted(files.items()):
        if is_test(path):
            continue
        code = strip(text)
        room = next((r for r in room_names if path.startswith(r + "/")), None)
        for m in LOCK.finditer(code):
            owner = enclosing(code, m.start())
            name = "%s.%s" % (owner, m.group(1)) if owner else m.group(1)
            have.add(name)
            if "`%s`" % name not in known.get(room, ""):
                out.append("%s:%d: `%s` is not in the section %s of docs/locking.md" % (path, line_of(code, m.start()), name, room))
        if FLOCK.search(code) and "`%s`" % path not in known.get("Between processes", ""):
            out.append("%s:%d: a lock on a file that docs/locking.md does not name" % (path, line_of(code, FLOCK.search(code).start())))
    for name in sorted(set(re.findall(r"`(\w+\.\w*(?:lock|_sync))`", page)) - have):
        out.append("docs/locking.md: there is no `%s`" % name)
    for path in re.findall(r"`([\w/]+\.c)`", known.get("Between processes", "")):
        if not FLOCK.search(strip(files.get(path, ""))):
            out.append("docs/locking.md: %s locks no file" % path)
    return out


@test
def the_check_sees_what_is_missing(t):
    files = {
        "shim/a.c": "struct inner { int x; };\nstruct a {\n\tint n;\n\tunion { int y; } u;\n\tpthread_mutex_t lock; /* x */\n};\n"
                    "static pthread_once_t once = X;\nvoid f(void)\n{\n\tpthread_mutex_t *p;\n\tflock(fd, 1);\n}\n",
        "shim/b.h": "struct b {\n\tpthread_rwlock_t list_lock;\n};\n",
        "tests/unit/x.c": "static pthread_mutex_t m;\n",
    }
    page = "# x\n## shim\n`b.list_lock` `gone.lock`\n## Between processes\n`shim/b.c`\n"
    must_find(unknown_locks(files, page, ["shim"]), r"^shim/a.c:5: `a.lock`", r"^shim/a.c:7: `once`", "^shim/a.c:11: a lock on a file",
              "no `gone.lock`", "shim/b.c locks no file")
    good = "## shim\n`a.lock` `once` `b.list_lock`\n## Between processes\n`shim/a.c`\n"
    t.eq(unknown_locks(files, good, ["shim"]), [])


@test
def every_lock_is_in_the_page(t):
    report(unknown_locks(load(".c", ".h"), read_text("docs/locking.md"), list(rooms())))


main()
