"""What is cleaned up on leaving a block has a value from the start: a return before it got one would free anything."""
from orchtest import *
from rules import is_test, line_of, load, must_find, report, strip

DECLARED = re.compile(r"\borch_auto\s*\([^)]*\)([^;=()]*)(;|,)")


def uninitialised(files):
    out = []
    for path, text in files.items():
        if is_test(path):
            continue
        code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group(0).count("\n"), strip(text), flags=re.M)
        out += ["%s:%d: orch_auto%s without a value" % (path, line_of(code, m.start()), m.group(1).rstrip())
                for m in DECLARED.finditer(code)]
    return out


@test
def the_check_sees_a_variable_without_a_value(t):
    bad = {"shim/x.c": "#define X orch_auto(fd) int y;\nvoid f(void)\n{\n\torch_auto(fd) int fd = -1;\n\torch_auto(buf) struct orch_buf b;\n"
                       "\torch_auto(free) char *a = f(1),\n\t    *c = NULL;\n\t/* orch_auto(free) char *z; */\n}\n"}
    must_find(uninitialised(bad), "^shim/x.c:5: orch_auto struct orch_buf b without")


@test
def cleaned_up_variables_have_a_value(t):
    report(uninitialised(load(".c", ".h")))


main()
