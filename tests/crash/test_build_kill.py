"""orch-shim build killed with -9 at random moments: the next one removes what is left and builds."""
from orchtest import *
import random


@test(needs="fuse sandbox", timeout=600)
def at_random_moments(t):
    source = t.tree({"f%d" % i: "x" * i for i in range(200)})
    env = {"ORCH_SOCKET": t.path("s"), "ORCH_STORE": t.path("store"), "ORCH_MOUNTS": t.path("mnt")}
    t.finally_(lambda: t.run(["orch-shim", "daemon", "stop", "--force"], env=env, status=None))
    mark = "sleep 0.%d" % (10000000 + os.getpid())
    argv = ["orch-shim", "build", "--source", source, "--cache-key", "k", "--output", "o=out", "--"]
    random.seed(7)
    for i in range(25):
        q = t.start(argv[:2] + ["--output-dir", t.path("o%d" % i)] + argv[2:] + ["sh", "-c", "%s; echo %d > out" % (mark, i)],
                    env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            q.wait(random.random() * 0.5)
        q.kill()
        q.wait(20)
    r = t.run(argv[:2] + ["--output-dir", t.path("last")] + argv[2:] + ["sh", "-c", "echo last > out"], env=env)
    t.match(r.stderr, "succeeded")
    t.eq(open(t.path("last/o/out")).read(), "last\n")
    t.eq(json.loads(t.run(["orch-shim", "workspace", "list", "--json"], env=env).stdout)["workspaces"], [])
    t.eq([n for n in os.listdir(t.path("s.runs")) if n.endswith(".run")], [])
    left = [p for p in os.listdir("/proc") if p.isdigit() and mark.replace(" ", "\0").encode() in cmdline(p)]
    t.eq(left, [])
    t.run(["orch-shim", "store", "verify"], env=env)


def cmdline(pid):
    with contextlib.suppress(OSError):
        return open("/proc/%s/cmdline" % pid, "rb").read()
    return b""


main()
