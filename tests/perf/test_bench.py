"""The frame of scripts/bench: it measures, says what it could not, writes the table and the JSON, and leaves nothing. Never how fast."""
from orchtest import *
import orchtest

orchtest.FEATURES["mkfs.ext4"] = orchtest._tool("mkfs.ext4")
PLACE = os.path.join(BUILD, ".orch/bench")


def argv(*args):
    return [sys.executable, "-B", os.path.join(SRC, "tests/perf/bench"), *args]


def environment():
    return {"PYTHONPATH": SRC + "/tests/lib", "top_srcdir": SRC, "top_builddir": BUILD}


def left_behind():
    """Mounts, loop devices and files of a benchmark in this clone."""
    with open("/proc/self/mountinfo") as f:
        mounts = [line.split()[4] for line in f if line.split()[4].startswith(PLACE)]
    loops = subprocess.run(["losetup", "-a"], stdout=subprocess.PIPE, text=True).stdout.splitlines()
    files = sorted(set(os.listdir(PLACE)) - {"lock"}) if os.path.isdir(PLACE) else []
    return mounts + [x for x in loops if PLACE in x] + files


@test(needs="fuse root loop mkfs.ext4", timeout=300)
def a_small_run(t):
    out = t.path("figures.json")
    r = t.run(argv("--tiny", "--fs", "ext4", "--json", out, "F3", "F6", "F14"), env=environment(), timeout=240)
    t.eq(left_behind(), [])
    with open(out) as f:
        document = json.load(f)
    t.eq((document["machine"]["kernel"], len(document["runs"])), (os.uname().release, 1))
    run = document["runs"][0]
    t.eq(run["fs"], "ext4")
    t.match(run["transport"][0], "data: ")
    t.ok({"row": "F14", "why": "not built yet: LFS"} in run["not_taken"], str(run["not_taken"]))
    lines = {(x["row"], x["what"], x["variant"]): x for x in run["lines"]}
    for variant in "native", "overlayfs", "orch", "orch, no passthrough":
        x = lines["F6", "create, 2 KB, 2 clients", variant]
        t.eq((x["unit"], len(x["values"])), ("k/s", 2))
        t.ok(x["min"] <= x["value"] <= x["max"], str(x))
        t.match(r.stdout, r"(?m)^F6 +create, 2 KB, 2 clients +%s +\d" % variant)
    own, peer = (lines["F6", "create, 2 KB, 1 client", v] for v in ("orch", "overlayfs"))
    t.eq((own["goals"][0]["goal"], own["goals"][0]["measured"]), (">= 0.6 x overlayfs", own["value"] / peer["value"]))
    t.eq(peer["goals"], [])
    page = t.run(argv("--markdown", out), env=environment()).stdout
    t.match(page, r"(?m)^### ext4 with a journal$")
    t.match(page, r"(?m)^\| F6 \| create, 2 KB, 1 client, k/s \| \*\*\d")
    t.match(page, "F14 \\(not built yet: LFS\\)")
    with open(t.path("page.md"), "w") as f:
        f.write("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    t.run(argv("--markdown", out, "--page", t.path("page.md")), env=environment())
    with open(t.path("page.md")) as f:
        t.eq(f.read(), "before\n<!-- figures: begin -->\n\n%s<!-- figures: end -->\nafter\n" % page)


@test(needs="fuse root loop mkfs.ext4", timeout=300)
def a_run_that_is_ended_leaves_nothing(t):
    for sig, status in (signal.SIGINT, 130), (signal.SIGTERM, 143):
        p = t.start(argv("--tiny", "--fs", "ext4", "--rounds", "1000", "F6"), env=environment(), stdout=subprocess.DEVNULL)
        wait_until(lambda: measures(p), timeout=120, what="a measurement")
        p.send_signal(sig)
        t.eq(p.wait(120), status)
        t.eq(left_behind(), [])


@test(needs="fuse root loop mkfs.ext4", timeout=300)
def what_a_killed_run_left_is_removed_by_the_next(t):
    p = t.start(argv("--tiny", "--fs", "ext4", "--rounds", "1000", "F6"), env=environment(), stdout=subprocess.DEVNULL)
    wait_until(lambda: measures(p), timeout=120, what="a measurement")
    with open(os.path.join(PLACE, "owner")) as f:
        tmp = f.read()
    p.kill()
    p.wait(60)
    t.ok(left_behind() != [] and os.path.isdir(tmp))
    t.run(argv("--tiny", "--fs", "ext4", "F14"), env=environment(), timeout=240)
    t.eq(left_behind(), [])
    t.ok(not os.path.exists(tmp))


def measures(p):
    """Does a process of the load run, of this clone?"""
    if p.poll() is not None:
        raise Failure("it ended with %d" % p.returncode)
    for pid in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if pid.isdigit() and os.readlink("/proc/%s/exe" % pid) == os.path.join(BUILD, "tests/perf/bench-files"):
                return True
    return False


@test(needs="root")
def what_can_not_be_is_said(t):
    r = t.run(argv("--tiny", "F99"), env=environment(), status=1)
    t.match(r.stderr, "no such row: F99")


main()
