"""Shell scripts pass shellcheck, and explain themselves."""
from orchtest import *
from rules import project_files, read_text
import orchtest

orchtest.FEATURES["shellcheck"] = orchtest._tool("shellcheck")


def scripts():
    return [n for n in project_files() if read_text(n)[:10].startswith("#!/bin/sh") and not n.startswith("build-aux/")]


@test(needs="shellcheck")
def shellcheck_has_nothing_to_say(t):
    bad = t.path("bad.sh")
    with open(bad, "w") as f:
        f.write("#!/bin/sh\necho $1\n")
    t.run(["shellcheck", bad], status=1)
    t.run(["shellcheck", "-S", "warning"] + [os.path.join(SRC, n) for n in scripts()])


@test
def help_explains_and_an_unknown_option_is_refused(t):
    for name in ("bootstrap", "test", "quickstart", "format", "own-root", "fuzz", "test-programs"):
        script = os.path.join(SRC, "scripts", name)
        t.match(t.run([script, "--help"]).stdout, "scripts/%s" % name)
        t.match(t.run([script, "--moon"], status=2).stderr, "--moon")


main()
