"""The harness itself: a failing test fails, a hanging program is ended, nothing is left behind."""
from orchtest import *
import orchtest

INNER = """
import sys
sys.path.insert(0, %r)
from orchtest import *
import orchtest
%s
main()
"""


def inner(t, body, env=None):
    """Runs a test file with this body and returns its TAP."""
    name = t.path("inner.py")
    with open(name, "w") as f:
        f.write(INNER % (os.path.dirname(orchtest.__file__), body))
    full = {"ORCH_TEST_TMP": t.dir("inner-tmp"), "top_builddir": BUILD, "top_srcdir": SRC}
    full.update(env or {})
    return t.run([sys.executable, "-B", name], status=None, env=full)


@test
def a_failed_check_is_reported(t):
    r = inner(t, "@test\ndef one(t):\n    t.eq(1, 2)\n")
    t.eq(r.status, 1)
    t.match(r.stdout, r"^not ok 1 - one")


@test
def a_missing_feature_skips_and_may_be_forbidden_to(t):
    body = "orchtest.FEATURES['moon'] = lambda: 'not visible'\n@test(needs='moon')\ndef one(t):\n    pass\n"
    t.match(inner(t, body).stdout, r"^ok 1 - one # SKIP moon: not visible")
    shutil.rmtree(t.path("inner-tmp"))
    r = inner(t, body, env={"ORCH_TEST_REQUIRE": "moon,sun"})
    t.match(r.stdout, r"^not ok 1")


@test
def a_hanging_program_is_ended_with_its_children(t):
    r = inner(t, "@test\ndef one(t):\n    t.run(['sh', '-c', 'sleep 1000 & sleep 1000'], timeout=0.2)\n")
    t.match(r.stdout, r"^not ok 1")
    t.match(r.stdout, r"# ---- process \d+: sleep 1000")
    t.eq(os.listdir(t.path("inner-tmp")), [])


@test
def a_hanging_test_is_ended(t):
    r = inner(t, "@test(timeout=0.2)\ndef one(t):\n    time.sleep(100)\n")
    t.match(r.stdout, r"^not ok 1")


@test
def a_daemonised_child_is_ended_with_the_test(t):
    mark = "sleep 98%d" % os.getpid()
    r = inner(t, "@test\ndef one(t):\n    t.run(['sh', '-c', '(setsid %s >/dev/null 2>&1 &)'])\n" % mark)
    t.match(r.stdout, r"^ok 1")
    left = [p for p in os.listdir("/proc") if p.isdigit()
            and orchtest._read("/proc/%s/cmdline" % p).replace("\0", " ").strip() == mark]
    t.eq(left, [])


@test
def an_error_in_a_log_is_found(t):
    d = t.daemon()
    with open(d.log_path, "w") as f:
        f.write("2026-01-01T00:00:00Z level=error module=x event=y\nlevel=info event=z\n")
    t.eq(len(d.log_problems()), 1)
    d.allow_errors("event=y")
    t.eq(d.log_problems(), [])


main()
