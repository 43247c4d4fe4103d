"""orch-fsd: flags, file, defaults, and starts that must not succeed."""
from orchtest import *


def fsd(t, *args, status, env=None):
    return t.run(["orch-fsd", *args], status=status, env=env)


@test
def help_and_version_are_told(t):
    r = fsd(t, "--help", status=0)
    for name in ("--store", "--socket", "--mounts", "--background", "--log-level", "--exit-idle"):
        t.ok(name in r.stdout, name)
    t.match(fsd(t, "--version", status=0).stdout, r"^orch-fsd \d")


@test
def an_unknown_option_comes_with_the_nearest(t):
    r = fsd(t, "--sotre", "x", status=2)
    t.match(r.stderr, r"unknown option '--sotre' \(did you mean '--store'\?\)")
    r = fsd(t, "--qqqqqqqq", status=2)
    t.match(r.stderr, r"unknown option '--qqqqqqqq' \(see")
    t.match(fsd(t, "store", status=2).stderr, "unexpected argument 'store'")


@test
def values_are_checked(t):
    for args, text in ((["--log-level", "loud"], "--log-level: 'loud'"), (["--exit-idle", "-1"], "--exit-idle: '-1'"),
                       (["--exit-idle", "5x"], "'5x'"), (["--workers-max=0"], "1 to 256"), (["--store"], "needs a value"),
                       (["--passthrough=maybe"], "neither yes nor no"), (["--log-format", "xml"], "text nor json"),
                       (["--background=1"], "takes no value"), (["--no-store"], "unknown option"), (["--store="], "empty")):
        t.ok(text in fsd(t, *args, status=2).stderr, "%s: %s" % (args, text))


@test
def the_file_is_read_and_flags_win(t):
    conf = t.path("fsd.conf")
    with open(conf, "w") as f:
        f.write("# a comment\n\nstore = \"%s\"\nsocket=%s\nmounts = %s\nexit-idle = 77\n" % (
            t.path("st ore"), t.path("sock"), t.path("mnt")))
    p = t.start(["orch-fsd", "--config", conf, "--exit-idle", "88", "--socket", t.path("s")])
    d = t.daemon()
    wait_until(d.answers)
    got = d.http("GET", "/v1/daemon").json()
    t.eq((got["store"], got["exit_idle_s"], got["socket"]), (t.path("st ore"), 88, t.path("s")))
    p.terminate()
    t.eq(p.wait(20), 0)


@test
def the_environment_counts_between_the_file_and_the_flags(t):
    conf = t.path("fsd.conf")
    with open(conf, "w") as f:
        f.write("store = %s\nsocket = %s\nmounts = %s\n" % (t.path("file"), t.path("no"), t.path("file-mounts")))
    env = {"ORCH_STORE": t.path("environment"), "ORCH_SOCKET": t.path("no either"), "ORCH_MOUNTS": ""}
    p = t.start(["orch-fsd", "--config", conf, "--socket", t.path("s")], env=env)
    d = t.daemon()
    wait_until(d.answers)
    got = d.http("GET", "/v1/daemon").json()
    t.eq((got["store"], got["socket"], got["mounts"]), (t.path("environment"), t.path("s"), t.path("file-mounts")))
    p.terminate()
    t.eq(p.wait(20), 0)


@test
def an_error_in_the_file_names_file_and_line(t):
    conf = t.path("fsd.conf")
    for text, want in (("\nexit-idel = 3\n", "line 2: unknown setting 'exit-idel' .*'exit-idle'"),
                       ("exit-idle 3\n", "line 1: 'exit-idle 3' is not"), ("background = yes\n", "line 1: unknown setting"),
                       ("log-level = x\n", "line 1: log-level: 'x'")):
        with open(conf, "w") as f:
            f.write(text)
        t.match(fsd(t, "--config", conf, status=2).stderr, re.escape(conf) + ": " + want)
    t.match(fsd(t, "--config", t.path("none"), status=1).stderr, "No such file")


@test
def the_sample_file_names_every_setting(t):
    settings = fsd(t, "--help", status=0).stdout.split("Settings,")[1]
    names = re.findall(r"^  --([a-z-]+)", settings, re.M)
    with open(SRC + "/deploy/orch-fsd.conf") as f:
        sample = f.read()
    t.eq(re.findall(r"^#([a-z-]+) =", sample, re.M), names)
    conf = t.path("all.conf")
    with open(conf, "w") as f:
        f.write(re.sub(r"^#(?=[a-z-]+ = \S)", "", sample, flags=re.M))
    fsd(t, "--config", conf, "--version", status=0)


def base(t, **change):
    args = {"store": t.path("store"), "socket": t.path("s"), "mounts": t.path("mnt")}
    args.update(change)
    return [x for k, v in args.items() for x in ("--" + k, v)]


@test
def background_returns_when_it_answers(t):
    fsd(t, *base(t), "--background", status=0)
    d = t.daemon()
    t.ok(d.answers())
    t.eq(stat.S_IMODE(os.stat(t.path("s")).st_mode), 0o660)
    t.ok(os.path.getsize(t.path("store/log/orch-fsd.log")) > 0)
    t.eq(d.http("POST", "/v1/daemon/stop").status, 200)
    wait_until(lambda: not d.pids("orch-fsd"))
    t.ok(not os.path.exists(t.path("s")))


@test
def background_tells_why_not(t):
    open(t.path("file"), "w").close()
    os.makedirs(t.path("other"))
    open(t.path("other/precious"), "w").close()
    for change, want in (({"socket": "/" + "x" * 120 + "/s"}, "at most"), ({"store": t.path("file")}, "file"),
                         ({"store": t.path("other")}, "other"), ({"socket": t.path("file")}, "not a socket"),
                         ({"socket": t.path("file/s")}, "file"), ({"mounts": t.path("file/m")}, "file")):
        r = fsd(t, *base(t, **change), "--background", status=1)
        t.match(r.stderr, r"^orch-fsd: .*" + re.escape(want))
        t.eq(r.stderr.count("\n"), 1, "one line")
    t.ok("precious" in os.listdir(t.path("other")))


@test
def a_second_daemon_is_refused(t):
    with t.daemon() as d:
        r = fsd(t, *base(t, socket=t.path("s2")), "--background", status=1)
        t.match(r.stderr, "another keeper has it: pid %d" % d.process.pid)
        t.ok(not os.path.exists(t.path("s2")))
        r = fsd(t, *base(t, store=t.path("store2")), "--background", status=1)
        t.match(r.stderr, "another daemon answers on")
        t.ok(not os.path.exists(t.path("store2")), "nothing was made")
        t.ok(d.answers())


@test
def a_stale_socket_is_replaced(t):
    d = t.daemon()
    d.start()
    d.kill()
    t.ok(os.path.exists(d.socket))
    with d:
        t.ok(d.answers())


@test
def an_idle_daemon_ends(t):
    d = t.daemon(["--exit-idle", "1"])
    d.start()
    begin = time.monotonic()
    t.eq(d.process.wait(20), 0)
    t.ok(time.monotonic() - begin > 0.5)
    d.process = None


@test
def a_daemon_with_a_client_is_not_idle(t):
    d = t.daemon(["--exit-idle", "1"])
    d.start()
    s = socket_of(d)
    time.sleep(1.8)
    t.eq(d.process.poll(), None)
    s.close()
    t.eq(d.process.wait(20), 0)
    d.process = None


def socket_of(d):
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.connect(d.socket)
    return s


@test
def the_log_may_be_json_in_a_file(t):
    log = t.path("log.json")
    d = t.daemon(["--log-format", "json", "--log-file", log])
    with d:
        d.http("GET", "/healthz")
    lines = [json.loads(x) for x in open(log)]
    t.ok(any(x["event"] == "started" for x in lines))
    t.ok(any(x["event"] == "ended" for x in lines))


@test
def a_socket_may_be_handed_over(t):
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.bind(t.path("s"))
    s.listen(5)
    code = ("import os,sys; os.dup2(%d, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
            "os.execv(sys.argv[1], sys.argv[1:])" % s.fileno())
    argv = [sys.executable, "-c", code, program("orch-fsd"), *base(t)]
    p = t.start(argv, pass_fds=[s.fileno()])
    d = t.daemon()
    wait_until(d.answers)
    p.terminate()
    t.eq(p.wait(20), 0)
    t.ok(os.path.exists(t.path("s")), "it belongs to who made it")
    r = t.start(argv[:4] + base(t, socket=t.path("other")), pass_fds=[s.fileno()], stderr=subprocess.PIPE)
    t.match(r.stderr.read().decode(), "handed over is .*/s, not .*/other")
    t.eq(r.wait(20), 2)
    s.close()


main()
