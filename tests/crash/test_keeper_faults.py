"""The daemon with failing allocations, writes, syncs and renames: errors are told, nothing breaks, nothing is left."""
from orchtest import *


def lines(r):
    return [json.loads(x) for x in r.body.split(b"\n") if x]


def quiet(d, method, path, body=None):
    """An answer, or None when there was none that could be understood."""
    with contextlib.suppress(OSError, ValueError, Exception):
        return d.http(method, path, body, timeout=30)
    return None


def script(d, source):
    """What a build does; every step may fail."""
    steps = [
        ("POST", "/v1/snapshots/import", {"dir": source, "ref": "main"}),
        ("GET", "/v1/snapshots", None),
        ("PUT", "/v1/refs/other", {"id": "main"}),
        ("POST", "/v1/workspaces", {"name": "w", "from": "main", "mount": False}),
        ("GET", "/v1/workspaces", None),
        ("GET", "/v1/snapshots/main/tree", None),
        ("GET", "/v1/diff?a=main&b=other", None),
        ("GET", "/v1/store", None),
        ("DELETE", "/v1/workspaces/w", None),
        ("DELETE", "/v1/refs/other", None),
    ]
    return [quiet(d, *s) for s in steps]


def sound(t, d, source):
    """Without faults everything works on what was left."""
    d.extra_env = {}
    d.start()
    r = lines(d.http("POST", "/v1/store/verify"))[-1]
    t.eq(r["result"]["bad"], [], "after a fault")
    for w in d.http("GET", "/v1/workspaces").json()["workspaces"]:
        t.eq(d.http("DELETE", "/v1/workspaces/" + w["name"]).status, 200)
    r = d.http("POST", "/v1/snapshots/import", {"dir": source, "ref": "main"})
    t.ok("result" in lines(r)[-1], str(r))
    t.eq(os.listdir(d.store + "/tmp"), [])
    t.eq(os.listdir(d.store + "/layers"), [])
    t.eq(d.stop(), 0)


def loop(t, kind, numbers):
    source = t.tree({"a": "one", "d/b": "two", "d/c": "three"})
    ended = 0
    for n in numbers:
        d = t.daemon(store=t.path("store"))
        d.allow_errors(".")
        d.extra_env = {"ORCH_FAULT": "%s:%d" % (kind, n)}
        try:
            d.start(timeout=10)
        except Failure as e:
            t.ok(re.search(r"ended with status (1|2) ", str(e)), str(e))
            d.process = None
            ended += 1
        else:
            script(d, source)
            t.eq(d.process.poll(), None, "it lives with %s:%d\n%s" % (kind, n, d.log_tail()))
            t.eq(d.stop(), 0)
        sound(t, d, source)
    return ended


def step(first, last, factor=1.3):
    n, out = first, []
    while n <= last:
        out.append(int(n))
        n = max(n + 1, n * factor)
    return out


@test(needs="faults", timeout=600)
def allocations_fail(t):
    loop(t, "alloc", step(1, 400, 1.25))


@test(needs="faults", timeout=300)
def writes_fail(t):
    loop(t, "write", step(1, 30))


@test(needs="faults", timeout=300)
def syncs_fail(t):
    loop(t, "fsync", step(1, 20))


@test(needs="faults", timeout=300)
def renames_fail(t):
    loop(t, "rename", step(1, 12))


@test(needs="faults", timeout=300)
def reads_fail(t):
    loop(t, "read", step(1, 40))


main()
