"""What no file may name: the host of a package registry (a machine has its own), somebody's home folder."""
from orchtest import *
from rules import line_of, load, must_find, project_files, read_text, report

HOST = re.compile(r"\b(?:deb|archive|ftp|security|snapshot|registry(?:-\d+)?|index|pypi|npm|crates|static\.crates|files|"
                  r"packages|proxy|ghcr|quay|mcr|repo)\.(?:[a-z0-9-]+\.)*(?:org|com|io|net|dev)\b")
HOME = re.compile(r"(?:(?<![\w./~$})-])|(?<=-[IL]))(?:/(?:home|Users)/(?!(?:ci|user|me|runner)\b)[a-z][\w.-]*/|/(?:root|work)/[\w.])")
# Where such a name is meant: path => the reason.
ALLOWED = {
    "tests/rules/test_names.py": "the patterns themselves",
}


def forbidden_names(files):
    out = []
    for path, text in files.items():
        if path in ALLOWED or "\0" in text: # a built program
            continue
        for pattern, what in ((HOST, "a registry's host"), (HOME, "somebody's folder")):
            for m in pattern.finditer(text):
                out.append("%s:%d: %s: %s" % (path, line_of(text, m.start()), what, m.group(0)))
    return out


@test
def the_check_sees_such_names(t):
    bad = {"README.md": "see http://registry" + ".example.org/x\n/home" + "/joe/src\nno sight of /root, /home, ~/root/x\n",
           "a.c": "/* -I/root" + "/x, $HOME/work/x, deb.c */\n"}
    must_find(forbidden_names(bad), "^README.md:1: a registry", "^README.md:2: somebody", "^a.c:1: somebody")


@test
def no_file_names_a_registry_or_a_home(t):
    files = {n: read_text(n) for n in project_files() if os.path.getsize(os.path.join(SRC, n)) < 1 << 20}
    report(forbidden_names(files))


main()
