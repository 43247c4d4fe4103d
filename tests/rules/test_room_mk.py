"""Every source is built and every test is run: what lies in a folder is named in its room.mk, and the other way round."""
from orchtest import *
from rules import load, must_find, project_files, read_text, report

# Folders whose sources another room.mk names.
NAMED_BY = {"tests/lib": "tests/room.mk"}
SOURCE = re.compile(r"^(services|fsd|providers|shim)/.*\.[ch]$|^tests/(unit|fuzz|perf|lib)/.*\.[ch]$"
                    r"|^tests/(integration|mount|programs|crash|rules|perf|fuzz)/[^/]*\.(py|sh|allow)$"
                    r"|^tests/perf/bench/|^scripts/")


def room_mk_of(path, room_mks):
    folder = os.path.dirname(path)
    while folder:
        if folder in NAMED_BY:
            return NAMED_BY[folder]
        if folder + "/room.mk" in room_mks:
            return folder + "/room.mk"
        folder = os.path.dirname(folder)
    return None


def default_sources(text, folder):
    """Sources of programs that have no _SOURCES: automake takes the program's name and .c."""
    out = set()
    for name in re.findall(r"(?:test_programs|(?:noinst|bin|pkglibexec)_PROGRAMS)\s*\+?=((?:[^\n\\]|\\\n)*)", text):
        for program in name.replace("\\\n", " ").split():
            program = program.replace("%D%", folder)
            canonical = re.sub(r"[^A-Za-z0-9_]", "_", program.replace(folder + "/", "%C%_", 1)).replace("_C__", "%C%_", 1)
            if canonical + "_SOURCES" not in text:
                out.add(program + ".c")
    return out


def incomplete(names, room_mks, included):
    """names: the project's files; room_mks: {path: text}; included: text of the files that include fragments."""
    out, named = [], {}
    for mk, text in room_mks.items():
        folder = os.path.dirname(mk)
        text = re.sub(r"#.*", "", text)
        listed = set(re.findall(r"(?<![\w/.-])[\w./-]*\w\.(?:[ch]|py|sh|md|allow)\b", text.replace("%D%", folder)))
        named[mk] = listed | default_sources(text, folder) | set(text.replace("%D%", folder).split())
        for path in sorted(listed | default_sources(text, folder)):
            if path.startswith(folder + "/") and path not in names:
                out.append("%s: no such file: %s" % (mk, path))
        if mk not in included and "%s/%s" % ("%D%", os.path.relpath(mk, "tests")) not in included:
            out.append("%s: nothing includes it" % mk)
    for path in names:
        if not SOURCE.match(path) or path.endswith("room.mk"):
            continue
        mk = room_mk_of(path, room_mks)
        if mk is None:
            out.append("%s: no room.mk in its folder or above" % path)
        elif path not in named[mk]:
            out.append("%s: not in %s" % (path, mk))
    return out


@test
def the_check_sees_what_is_missing(t):
    mks = {
        "shim/room.mk": "bin_PROGRAMS += %D%/orch-shim\n%C%_orch_shim_SOURCES = %D%/main.c %D%/gone.c # %D%/b.c\n",
        "services/core/room.mk": "noinst_LIBRARIES += %D%/libcore.a\n%C%_libcore_a_SOURCES = \\\n\t%D%/a.c \\\n\t%D%/a.h\n",
        "tests/unit/core/room.mk": "test_programs += %D%/test-a\n%C%_test_a_LDADD = x\ntest_programs += %D%/test-b\n"
                                   "%C%_test_b_SOURCES = %D%/b.c\n",
        "tests/mount/room.mk": "dist_check_SCRIPTS += %D%/test_x.py\n",
    }
    names = ["shim/main.c", "shim/b.c", "services/core/a.c", "services/core/a.h", "services/core/b.h",
             "tests/unit/core/test-a.c", "tests/unit/core/b.c", "tests/mount/test_x.py", "tests/mount/test_y.py",
             "services/moon/a.c"]
    must_find(incomplete(names, mks, "include shim/room.mk include services/core/room.mk tests/unit/core/room.mk"),
              "no such file: shim/gone.c", "^shim/b.c: not in", "^services/core/b.h: not in",
              "^tests/mount/test_y.py: not in", "^tests/mount/room.mk: nothing includes it", "^services/moon/a.c: no room.mk")


@test
def every_file_is_in_a_room_mk(t):
    room_mks = load("room.mk")
    report(incomplete(project_files(), room_mks, read_text("Makefile.am") + read_text("tests/room.mk")))


main()
