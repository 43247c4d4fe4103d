"""
What the rule checks share: the project's files, C without comments, the table of rooms.

Each check is a function of {path: text} that returns a list of "path:line: what is wrong". So every one
is also run on a bad sample, and has been seen to fail.
"""

import os
import re
import subprocess

from orchtest import SRC, Failure

SKIPPED_FOLDERS = {"_build", "_inst", ".git", ".orch", ".deps", "build-deps", "build-aux", "autom4te.cache", "orch-output", "__pycache__"}
# What configure and make leave; only asked where there is no Git to tell (a tarball, a copy).
MADE = re.compile(r"(^|/)(configure~?|config\.(h|h\.in|log|status)~?|aclocal\.m4|Makefile(\.in)?|stamp-h1|\.dirstamp"
                  r"|[^/]*\.(o|a|trs|log|pyc)|orch-(fsd|mount|worker|shim|init)|(test|fuzz)-[^/.]*)$")


def project_files():
    """Relative paths of what belongs to the project: what Git tracks or would, else (a tarball) every file."""
    r = subprocess.run(["git", "-c", "safe.directory=*", "-C", SRC, "ls-files", "-z", "-co", "--exclude-standard"],
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if os.path.exists(os.path.join(SRC, ".git")) and r.returncode == 0:
        names = os.fsdecode(r.stdout).split("\0")
    else:
        names = []
        for folder, folders, files in os.walk(SRC):
            folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS and not f.startswith("orch-")]
            names += [os.path.relpath(os.path.join(folder, f), SRC) for f in files]
        inputs = {n for n in names if n.endswith(".in")}
        names = [n for n in names if not MADE.search(n) and n + ".in" not in inputs]
    return sorted(n for n in names if n and os.path.isfile(os.path.join(SRC, n)))


def read_text(name):
    with open(os.path.join(SRC, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def load(*suffixes, below=""):
    """{path: text} of the project's files with one of these suffixes."""
    return {n: read_text(n) for n in project_files() if n.endswith(suffixes) and n.startswith(below)}


def is_test(path):
    return path.startswith("tests/")


_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip(text, strings=True):
    """C with comments (and the inside of strings) blanked; line numbers stay."""
    def blank(m):
        token = m.group(0)
        if token[0] == "/":
            return "\n" * token.count("\n") or " "
        return token[0] * 2 if strings else token
    return _TOKEN.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def report(problems):
    """Fails with the list, if there is anything in it."""
    if problems:
        raise Failure("%d broken:\n%s" % (len(problems), "\n".join(problems)))


def must_find(problems, *patterns):
    """For self-checks: exactly these problems, one a pattern."""
    text = "\n".join(problems)
    missing = [p for p in patterns if not re.search(p, text, re.M)]
    if missing or len(problems) != len(patterns):
        raise Failure("the check found:\n%s\nwanted: %s" % (text, patterns))


def rooms():
    """{room: set of rooms it may include, itself too}, from the table in docs/architecture.md."""
    table = {}
    for line in read_text("docs/architecture.md").split("\n"):
        m = re.match(r"\| `((?:services|fsd)/[\w-]+|providers|shim)` \|[^|]*\|([^|]*)\|", line)
        if m:
            table[m.group(1)] = m.group(2)
    if not table:
        raise Failure("no table of rooms in docs/architecture.md")
    by_name = {room.split("/")[-1]: room for room in table}
    may = {}
    for room, cell in table.items():
        may[room] = {room} | {by_name[w] for w in re.findall(r"[\w-]+", cell) if w in by_name}
    return may


def room_of_include(name):
    """The room of #include "NAME", None if it names none."""
    parts = name.split("/")
    if parts[0] == "fsd" and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] in ("providers", "shim", "tests"):
        return parts[0]
    return "services/" + parts[0] if len(parts) > 1 else None


def room_of_file(path, may):
    """The room that a source file lies in (the tested room for a unit test); None: outside of all."""
    for room in may:
        if path.startswith(room + "/"):
            return room
    m = re.match(r"tests/unit/([\w-]+)/", path)
    if m:
        return next((room for room in may if room.split("/")[-1] == m.group(1)), None)
    return None
