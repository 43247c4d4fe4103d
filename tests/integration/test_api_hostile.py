"""Requests that nobody should send, clients that misbehave, kills: the daemon goes on."""
from orchtest import *
import socket


def connect(d, timeout=30):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(d.socket)
    return s


def raw(d, data):
    """What comes back for these bytes, until the end."""
    with connect(d) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(data)
        out = b""
        with contextlib.suppress(ConnectionResetError):
            while True:
                part = s.recv(65536)
                if not part:
                    break
                out += part
                if b"\r\n\r\n" in out and b"Transfer-Encoding" not in out:
                    break
        return out


def error(r):
    return (r.status, r.json()["error"]["code"])


@test
def wrong_bodies_are_named(t):
    with t.daemon() as d:
        for body in (b"{", b"[]", b"1", b'"x"', b"\xff\xfe", b'{"id":"x","id":"y"}', b"{" * 10000, b'{"id":"\xff"}'):
            t.eq(error(d.http("PUT", "/v1/refs/a", body)), (400, "EUSAGE"), repr(body[:20]))
        for body, text in (({"id": 1}, "'id' is not a string"), ({}, "'id' is missing"), ({"id": None}, "'id' is missing"),
                           ({"id": "x", "expct": ""}, "did you mean 'expect'"), ({"id": "x", "zzzzz": 1}, "unknown member 'zzzzz'")):
            r = d.http("PUT", "/v1/refs/a", body)
            t.eq(error(r), (400, "EUSAGE"))
            t.ok(text in r.json()["error"]["message"], str(r))
        t.eq(error(d.http("POST", "/v1/store/verify", {"repair": "yes"})), (400, "EUSAGE"))
        t.eq(error(d.http("GET", "/v1/refs", {"x": 1})), (400, "EUSAGE"))
        t.ok(d.answers())


@test
def wrong_targets_are_named(t):
    with t.daemon() as d:
        t.eq(error(d.http("GET", "/")), (404, "ENOENT"))
        t.eq(error(d.http("GET", "/v1/refs/a/b")), (404, "ENOENT"))
        t.eq(error(d.http("GET", "/v1/refs/")), (400, "EUSAGE"))
        t.eq(error(d.http("GET", "/v1/refs/%zz")), (400, "EUSAGE"))
        t.eq(error(d.http("GET", "/v1/refs/%0")), (400, "EUSAGE"))
        t.eq(error(d.http("GET", "/v1/refs/a%00b")), (400, "EUSAGE"))
        t.eq(error(d.http("GET", "/v1/refs/..%2F..%2Fetc%2Fpasswd")), (400, "EUSAGE"))
        t.eq(error(d.http("GET", "/v1/refs?prefix=a&prefix=b")), (400, "EUSAGE"))
        t.eq(error(d.http("GET", "/v1/refs?what=1")), (400, "EUSAGE"))
        r = d.http("POST", "/v1/refs/a")
        t.eq((error(r), sorted(r.headers["Allow"].split(", "))), ((405, "ENOSYS"), ["DELETE", "GET", "PUT"]))
        t.eq(error(d.http("GET", "/v1/snapshots/zz")), (404, "ENOENT"))
        t.eq(error(d.http("GET", "/" + "a" * 9000)), (404, "ENOENT"))
        for name in ("..", ".", "a%2Fb", "-a", "x" * 101):
            r = d.http("GET", "/v1/workspaces/" + name)
            t.ok(r.status in (400, 404), str(r))


@test
def large_bodies_are_refused(t):
    with t.daemon() as d:
        r = d.http("PUT", "/v1/refs/a", b'{"id":"' + b"x" * (17 << 20) + b'"}')
        t.eq(error(r), (413, "EMSGSIZE"))
        r = d.http("PUT", "/v1/refs/a", b'{"id":"' + b"x" * (10 << 20) + b'"}')
        t.eq(error(r), (400, "EUSAGE"))
        head = b"PUT /v1/refs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n"
        with connect(d) as s, contextlib.suppress(OSError):
            s.sendall(head)
            for _ in range(80):
                s.sendall(b"y" * (1 << 20))
            t.ok(False, "an endless body was taken")
        t.ok(d.answers())


@test
def noise_instead_of_http(t):
    with t.daemon() as d:
        for data in (b"\0" * 4096, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"x" * 100000 + b"\r\n\r\n", b"\r\n" * 1000,
                     b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
                     b"POST /v1/refs HTTP/1.1\r\nContent-Length: -5\r\n\r\n"):
            with connect(d, 5) as s:
                with contextlib.suppress(OSError):
                    s.sendall(data)
                    s.shutdown(socket.SHUT_WR)
                    s.recv(100)
        t.ok(d.answers())


@test
def slow_clients_do_not_keep_others_out(t):
    with t.daemon(["--connections-max", "8", "--client-timeout", "1"]) as d:
        slow = [connect(d) for _ in range(8)]
        for s in slow[:4]:
            s.sendall(b"GET /healthz HT")
        for s in slow[4:]:
            s.sendall(b"PUT /v1/refs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        wait_until(d.answers, 20)
        for s in slow:
            s.close()


def connections(d):
    """How many are open, the one that asks among them."""
    return int(re.search(rb"^orch_connections (\d+)$", d.http("GET", "/metrics").body, re.M).group(1))


@test
def a_byte_now_and_then_keeps_no_connection(t):
    names = ["%05d" % i + "x" * 240 for i in range(2500)]
    with t.daemon(["--connections-max", "16", "--client-timeout", "2"]) as d:
        t.eq(d.http("POST", "/v1/snapshots/import", {"dir": t.tree(dict.fromkeys(names, "x")), "ref": "a"}).status, 200)
        slow = [connect(d) for _ in range(8)]
        for s in slow[:3]:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
        for s in slow[3:6]:
            s.sendall(b"PUT /v1/refs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
        for s in slow[6:]:
            s.sendall(b"GET /v1/snapshots/a/tree HTTP/1.1\r\nHost: x\r\n\r\n")
        end = threading.Event()
        got = [0] * 8

        def little():
            while not end.wait(0.2):
                for i, s in enumerate(slow):
                    with contextlib.suppress(OSError):
                        got[i] += s.send(b"a") if i < 6 else len(s.recv(32768))  # never silent for 2 s
        x = threading.Thread(target=little)
        x.start()
        try:
            wait_until(lambda: d.answers() and connections(d) == 1, 20, "the end of the slow")
        finally:
            end.set()
            x.join()
            for s in slow:
                s.close()
        whole = d.http("GET", "/v1/snapshots/a/tree").body
        t.eq(whole.count(b"mtime"), 2500)
        t.ok(max(got) < len(whole) // 2, str(got))


@test
def many_connections_at_once(t):
    with t.daemon() as d:
        wrong = []

        def ask():
            for _ in range(20):
                if d.http("GET", "/v1/daemon").status != 200:
                    wrong.append(1)
        threads = [threading.Thread(target=ask) for _ in range(16)]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        t.eq(wrong, [])
        fds = os.listdir("/proc/%d/fd" % d.process.pid)
        wait_until(lambda: len(os.listdir("/proc/%d/task" % d.process.pid)) < 16, what="threads to end")
        for _ in range(50):
            d.http("GET", "/v1/daemon")
        wait_until(lambda: len(os.listdir("/proc/%d/fd" % d.process.pid)) <= len(fds) + 2, what="descriptors to be closed")


def big_source(t):
    source = t.dir()
    for i in range(40):
        os.makedirs("%s/%d" % (source, i))
        for k in range(50):
            with open("%s/%d/%d" % (source, i, k), "wb") as f:
                f.write(os.urandom(20000))
    return source


def start_import(d, source):
    s = connect(d)
    body = json.dumps({"dir": source, "ref": "main"}).encode()
    s.sendall(b"POST /v1/snapshots/import HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return s


@test
def closing_the_connection_cancels_an_import(t):
    source = big_source(t)
    with t.daemon() as d:
        s = start_import(d, source)
        wait_until(lambda: d.pids("orch-worker"), what="a worker")
        s.close()
        wait_until(lambda: not d.pids("orch-worker"), what="the end of the worker")
        wait_until(lambda: not os.listdir(t.path("store/tmp")), what="the end of its quarantine")
        t.eq(d.http("GET", "/v1/refs").json()["refs"], [])


@test
def a_client_that_does_not_read_is_dropped(t):
    files = {"%03d/%03d" % (i, k): "x" for i in range(40) for k in range(250)}
    with t.daemon(["--client-timeout", "1"]) as d:
        r = d.http("POST", "/v1/snapshots/import", {"dir": t.tree(files), "ref": "a"})
        t.eq(r.status, 200)
        r = d.http("POST", "/v1/snapshots/import", {"dir": t.tree({"x": "1"}), "ref": "b"})
        s = connect(d)
        s.sendall(b"GET /v1/diff?a=a&b=b HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        before = len(os.listdir("/proc/%d/task" % d.process.pid))
        wait_until(lambda: len(os.listdir("/proc/%d/task" % d.process.pid)) < before or before <= 3, 30,
                   "the end of its threads")
        s.close()
        t.eq(d.http("GET", "/v1/diff?a=a&b=b").body.count(b"\n"), 10000 + 40 + 1 + 1)


@test
def a_killed_worker_is_an_error(t):
    source = big_source(t)
    with t.daemon() as d:
        s = start_import(d, source)
        pid = wait_until(lambda: d.pids("orch-worker"), what="a worker")[0]
        os.kill(pid, signal.SIGKILL)
        out = b""
        while b"error" not in out:
            part = s.recv(65536)
            t.ok(part, "an error before the end: %r" % out)
            out += part
        t.ok(b"signal 9" in out, repr(out))
        s.close()
        t.eq(os.listdir(t.path("store/tmp")), [])


@test
def sigterm_ends_running_work(t):
    source = big_source(t)
    d = t.daemon()
    d.start()
    s = start_import(d, source)
    wait_until(lambda: d.pids("orch-worker"), what="a worker")
    begin = time.monotonic()
    t.eq(d.stop(), 0)
    t.ok(time.monotonic() - begin < 15)
    t.eq(d.pids("orch-worker"), [])
    out = b""
    while True:
        part = s.recv(65536)
        if not part:
            break
        out += part
    t.ok(b"ECANCELLED" in out or b'"result"' in out, "the client is told: %r" % out)
    s.close()


@test
def a_killed_keeper_leaves_nothing_half_made(t):
    source = big_source(t)
    d = t.daemon()
    d.start()
    for delay in (0.0, 0.05, 0.1, 0.2, 0.4):
        s = start_import(d, source)
        wait_until(lambda: d.pids("orch-worker") or b"result" in s.recv(65536), what="a worker")
        time.sleep(delay)
        d.kill()
        s.close()
        wait_until(lambda: not d.pids("orch-worker"), what="the end of the worker")
        d.start()
        t.eq(os.listdir(t.path("store/tmp")), [])
        r = json.loads(d.http("POST", "/v1/store/verify").body.strip().split(b"\n")[-1])
        t.eq(r["result"]["bad"], [])
    r = d.http("POST", "/v1/snapshots/import", {"dir": source, "ref": "main"})
    t.ok(b'"result"' in r.body)


@test(needs="root")
def peers_act_under_their_own_ids(t):
    source = t.tree({"a": "secret"})
    os.chmod(source, 0o700)
    with t.daemon() as d:
        os.chmod(d.socket, 0o666)
        mine = t.dir("nobody")
        os.chown(mine, 65534, 65534)
        with open(mine + "/f", "w") as f:
            f.write("x")

        def as_nobody(path, body):
            return t.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-sS",
                          "--unix-socket", d.socket, "http://x" + path, "-d", json.dumps(body)]).stdout
        out = as_nobody("/v1/snapshots/import", {"dir": source})
        t.match(out, '"code":"EACCES"')
        out = as_nobody("/v1/snapshots/import", {"dir": mine, "ref": "theirs"})
        t.match(out, '"result":')
        out = as_nobody("/v1/snapshots/theirs/export", {"dir": source + "/sub"})
        t.match(out, '"code":"EACCES"')
        out = as_nobody("/v1/snapshots/theirs/export", {"dir": mine + "/out"})
        t.match(out, '"result":')
        t.eq(os.stat(mine + "/out/f").st_uid, 65534)
        t.match(as_nobody("/v1/store/verify", {"repair": True}), '"code":"EPERM"')
        t.match(as_nobody("/v1/daemon/stop", {}), '"code":"EPERM"')
        body = {"name": "w", "from": "theirs", "mount": False}
        t.match(as_nobody("/v1/workspaces", dict(body, owner="root")), '"code":"EPERM"')
        t.match(as_nobody("/v1/workspaces", dict(body, at=source)), '"code":"EACCES"')
        t.match(as_nobody("/v1/workspaces", dict(body, at=t.dir())), '"code":"EPERM"')
        t.match(as_nobody("/v1/workspaces", dict(body, at=mine)), '"code":"ENOTEMPTY"')
        t.match(as_nobody("/v1/workspaces", dict(body, at="relative")), '"code":"EUSAGE"')
        t.match(as_nobody("/v1/workspaces", body), '"uid":65534')
        t.eq(d.http("POST", "/v1/workspaces", dict(body, name="r", owner={"uid": 5, "gid": 6})).json()["owner"],
             {"uid": 5, "gid": 6})
        t.match(as_nobody("/v1/workspaces/r/umount", {}), '"code":"EPERM"')
        t.eq(d.http("DELETE", "/v1/workspaces/w").status, 200)


main()
