"""Calls that are not used here, each with what to use instead."""
from orchtest import *
from rules import is_test, line_of, load, must_find, report, strip

BANNED = {
    "strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets": "core/buf.h, or snprintf with a checked result",
    "strtok": "strtok_r or a loop", "alloca": "the heap",
    "system popen": "core/process.h", "vfork": "core/process.h",
    "tmpnam tempnam mktemp tmpfile": "core/fd.h",
    "localtime gmtime asctime ctime": "the _r function",
    "atoi atol atoll atof": "a parser that reports what is wrong", "strtoul strtoull": "core/number.h",
    "rand srand random srandom drand48": "getrandom",
    "signal": "sigaction", "sleep usleep": "a wait with a deadline for what is awaited",
    "strerror": "%m or strerrordesc_np", "readdir_r": "readdir",
    "gethostbyname inet_ntoa inet_addr": "getaddrinfo, inet_ntop",
    "assert": "ORCH_BUG_ON", "setjmp longjmp": "a returned error", "bzero bcopy": "memset, memcpy",
}
INSTEAD = {name: instead for names, instead in BANNED.items() for name in names.split()}
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(sorted(INSTEAD)))
SCANF = re.compile(r"\b[fsv]*scanf\s*\(")
UNBOUNDED = re.compile(r"%l?[s\[]")


# The one place where such a call is right: (path, call) => the reason.
ALLOWED = {
    ("services/core/process.c", "vfork"): "starting a process from a large one; the only place that does",
    ("fsd/worker/request.c", "strtoull"): "sixteen hex digits, counted before",
    ("services/core/cgroup.c", "strtoull"): "of the kernel, with a line's end behind it",
    ("services/core/mounts.c", "strtoull"): "of the kernel, with a line's end behind it",
    ("services/core/fault.c", "strtoull"): "a number and what follows it; of tests alone",
}


def arguments(code, start):
    """The text between the parenthesis at start - 1 and the one that closes it."""
    depth = 1
    for end in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[end], 0)
        if depth == 0:
            return code[start:end]
    return code[start:]


def banned_calls(files):
    out = []
    for path, text in files.items():
        if is_test(path):
            continue
        code = strip(text)
        for m in CALL.finditer(code):
            if (path, m.group(1)) in ALLOWED:
                continue
            out.append("%s:%d: %s: use %s" % (path, line_of(code, m.start()), m.group(1), INSTEAD[m.group(1)]))
        code = strip(text, strings=False)
        for m in SCANF.finditer(code):
            if UNBOUNDED.search(arguments(code, m.end())):
                out.append("%s:%d: scanf: %%s without a width" % (path, line_of(code, m.start())))
    return out


@test
def the_check_sees_banned_calls(t):
    bad = {
        "shim/x.c": 'void f(void)\n{\n\tstrcpy(a, b); /* strcat(a, b) */\n\tputs("system(x)");\n\tsystem ("ls");\n'
                    '\tx->signal(1);\n\tmy_strcpy(a);\n\tif (sscanf(s, "%9s", b) == 1)\n\t\tsscanf(s, "%d %s", &i, b);\n\treturn "%s";\n}\n',
        "services/core/process.c": "vfork();\nsystem(x);\n",
        "tests/unit/core/x.c": "strcpy(a, b);\n",
    }
    must_find(banned_calls(bad), "^shim/x.c:3: strcpy", "^shim/x.c:5: system", "^shim/x.c:9: scanf",
              "^services/core/process.c:2: system")


@test
def no_banned_call_is_used(t):
    report(banned_calls(load(".c", ".h")))


main()
