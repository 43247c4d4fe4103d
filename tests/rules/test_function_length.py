"""How long a function may be: 80 lines, or a line with a reason in function-length.allow; from 50 on it is named."""
from orchtest import *
from rules import load, must_find, report, read_text, strip
from orchtest import Failure
import orchtest

SOFT, HARD = 50, 80
ALLOWED = "tests/rules/function-length.allow"
HEAD = re.compile(r"([A-Za-z_]\w*)\s*\(")


def functions(text):
    """(name, first line, number of lines) of each function; bodies begin and end with a brace in column 1."""
    lines = strip(text).split("\n")
    out, start = [], None
    for number, line in enumerate(lines, 1):
        if line == "{" and start is None:
            head = number - 1
            while head > 1 and lines[head - 2].strip() and lines[head - 2][-1] not in ";}{" and lines[head - 2][0] != "#":
                head -= 1
            names = HEAD.findall(" ".join(lines[head - 1:number - 1]))
            names = [n for n in names if not n.isupper() and n not in ("defined", "__attribute__")]
            start = (names[0] if names else "?", head)
        elif line.startswith("}") and start is not None:
            out.append((start[0], start[1], number - start[1] + 1))
            start = None
    return out


def too_long(files, allowed):
    """Problems, and remarks about functions between the limits."""
    problems, remarks, unused = [], [], dict(allowed)
    for path, text in files.items():
        for name, line, count in functions(text):
            key = "%s:%s" % (path, name)
            unused.pop(key, None)
            if count > HARD and key not in allowed:
                problems.append("%s:%d: %s has %d lines, more than %d" % (path, line, name, count, HARD))
            elif count > SOFT:
                remarks.append("%s:%d: %s has %d lines" % (path, line, name, count))
    problems += ["%s: no such function: %s" % (ALLOWED, key) for key in unused]
    return problems, remarks


def read_allowed(text):
    out = {}
    for line in text.split("\n"):
        if line and not line.startswith("#"):
            key, _, reason = line.partition(" ")
            if not reason.strip():
                raise Failure("%s: no reason for %s" % (ALLOWED, key))
            out[key] = reason.strip()
    return out


@test
def the_check_sees_a_long_function(t):
    body = "\tx();\n" * 80
    bad = {"shim/x.c": "int\nlong_one(int a,\n    int b)\n{\n%s}\n\nint short_one(void)\n{\n\treturn 0;\n}\n" % body,
           "shim/y.c": "int known(void) ORCH_WUR;\nint known(void)\n{\n%s}\n" % body}
    problems, _ = too_long(bad, {"shim/y.c:known": "a reason", "shim/y.c:gone": "a reason"})
    must_find(problems, r"^shim/x.c:1: long_one has 85 lines", "no such function: shim/y.c:gone")
    try:
        read_allowed("shim/x.c:f\n")
    except Failure:
        return
    raise Failure("an exception without a reason is accepted")


@test
def functions_are_short(t):
    problems, remarks = too_long(load(".c", ".h"), read_allowed(read_text(ALLOWED)))
    for remark in remarks:
        orchtest._diag(remark)
    report(problems)


main()
