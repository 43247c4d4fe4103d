"""
Git repositories and real servers for them on loopback: git http-backend behind lighttpd (with basic auth), git daemon,
sshd with a key; and a proxy between that cuts, stalls and counts.
"""
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse

from orchtest import Failure, wait_until


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Repo:
    """A bare repository with a work tree beside it, to push from."""

    def __init__(self, t, name="repo", root=None):
        self.t = t
        self.root = root or t.path("srv")
        self.bare = os.path.join(self.root, name + ".git")
        self.work = t.path("work-" + name)
        os.makedirs(self.root, exist_ok=True)
        t.run(["git", "init", "-q", "--bare", "-b", "main", self.bare])
        t.run(["git", "init", "-q", "-b", "main", self.work])
        self.git("remote", "add", "origin", self.bare)

    def git(self, *args, **kwargs):
        return self.t.git(self.work, *args, **kwargs).stdout.strip()

    def commit(self, files=None, message="x"):
        for name, content in (files or {"file": message}).items():
            path = os.path.join(self.work, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(content if isinstance(content, bytes) else content.encode())
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def push(self, *refspecs):
        self.git("push", "-q", "--force", "origin", *(refspecs or ("HEAD:refs/heads/main",)))

    def grow(self, count, size=2000, seed="s"):
        """Many commits by fast-import: files of bytes that do not compress."""
        import random
        rnd = random.Random(seed)
        out = []
        for i in range(count):
            data = rnd.randbytes(size)
            out.append(b"commit refs/heads/main\nmark :%d\ncommitter o <o@e> %d +0000\ndata 1\nx\n" % (i + 1, 1700000000 + i))
            if i:
                out.append(b"from :%d\n" % i)
            out.append(b"M 100644 inline f%d\ndata %d\n%s\n" % (i % 50, len(data), data))
        self.t.run(["git", "-C", self.bare, "fast-import", "--quiet", "--force"], input=b"".join(out), timeout=120)
        return self.t.git(self.bare, "rev-parse", "main").stdout.strip()


HTTP = """
server.document-root = "%(root)s"
server.port = %(port)d
server.bind = "127.0.0.1"
server.modules = ("mod_alias", "mod_setenv", "mod_auth", "mod_authn_file", "mod_cgi", "mod_redirect", "mod_accesslog")
server.errorlog = "%(dir)s/error.log"
server.pid-file = "%(dir)s/pid"
server.upload-dirs = ("%(dir)s")
accesslog.filename = "%(dir)s/access.log"
accesslog.format = "%%r %%>s auth=%%{Authorization}i"
server.stream-response-body = 2
server.stream-request-body = 1
%(redirect)s
alias.url += ("/git" => "%(backend)s")
$HTTP["url"] =~ "^/git" {
    cgi.assign = ("" => "")
    setenv.set-environment = ("GIT_PROJECT_ROOT" => "%(root)s", "GIT_HTTP_EXPORT_ALL" => "1", "GIT_CONFIG_NOSYSTEM" => "1",
        "GIT_CONFIG_COUNT" => "1", "GIT_CONFIG_KEY_0" => "safe.directory", "GIT_CONFIG_VALUE_0" => "*")
}
%(auth)s
"""
AUTH = """
auth.backend = "plain"
auth.backend.plain.userfile = "%s/users"
auth.require = ("/git" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
"""


class Http:
    """lighttpd; url(name) is a repository's address. users: {name: password}. redirect: a place to send to."""

    def __init__(self, t, root, users=None, redirect=None):
        self.t, self.dir, self.port = t, t.dir(), free_port()
        auth = ""
        if users:
            with open(self.dir + "/users", "w") as f:
                f.write("".join("%s:%s\n" % u for u in users.items()))
            auth = AUTH % self.dir
        config = self.dir + "/conf"
        with open(config, "w") as f:
            f.write(HTTP % {"root": root, "port": self.port, "dir": self.dir, "auth": auth,
                            "redirect": 'url.redirect = ("^(/git/.*)" => "%s$1")' % redirect if redirect else "",
                            "backend": "/usr/lib/git-core/git-http-backend"})
        self.start()

    def start(self):
        self.process = self.t.start([shutil.which("lighttpd") or "/usr/sbin/lighttpd", "-D", "-f", self.dir + "/conf"],
                                    stdout=subprocess.DEVNULL, stderr=open(self.dir + "/start.log", "w"))
        wait_until(lambda: listens(self.port), what="lighttpd")

    def stop(self):
        self.process.kill()
        self.process.wait(10)

    def url(self, name="repo", user=""):
        return "http://%s127.0.0.1:%d/git/%s.git" % (user, self.port, name)

    def log(self):
        """All requests so far: the server writes them after a while, so a mark is waited for."""
        self.marks = getattr(self, "marks", 0) + 1
        with socket.create_connection(("127.0.0.1", self.port), 10) as s:
            s.sendall(b"GET /mark-%d HTTP/1.0\r\n\r\n" % self.marks)
            while s.recv(4096):
                pass

        def read():
            with open(self.dir + "/access.log") as f:
                text = f.read()
            return "/mark-%d " % self.marks in text and text
        return wait_until(read, what="the server's log")


class GitDaemon:
    def __init__(self, t, root):
        self.port = free_port()
        self.process = t.start(["git", "-c", "safe.directory=*", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1",
                                "--port=%d" % self.port, "--base-path=" + root, root],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: listens(self.port), what="git daemon")

    def url(self, name="repo"):
        return "git://127.0.0.1:%d/%s.git" % (self.port, name)


class Ssh:
    """sshd with a host key and a user's key; command(): what a client needs as GIT_SSH_COMMAND."""

    def __init__(self, t, user="root"):
        self.t, self.dir, self.port, self.user = t, t.dir(), free_port(), user
        for name in ("host", "user", "other"):
            t.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "%s/%s" % (self.dir, name)])
        shutil.copy(self.dir + "/user.pub", self.dir + "/authorized")
        with open(self.dir + "/conf", "w") as f:
            f.write("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nPidFile %s/pid\n"
                    "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n"
                    % (self.port, self.dir, self.dir, self.dir))
        with open(self.dir + "/known", "w") as f:
            with open(self.dir + "/host.pub") as pub:
                f.write("[127.0.0.1]:%d %s" % (self.port, pub.read()))
        os.makedirs("/run/sshd", exist_ok=True)
        self.process = t.start([shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", self.dir + "/conf"],
                               stdout=subprocess.DEVNULL, stderr=open(self.dir + "/log", "w"))
        wait_until(lambda: listens(self.port), what="sshd")

    def url(self, repo):
        return "ssh://%s@127.0.0.1:%d%s" % (self.user, self.port, repo.bare)

    def command(self, key="user", known="known"):
        return "ssh -F /dev/null -o IdentitiesOnly=yes -o IdentityAgent=none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=%s/%s -i %s/%s" % (
            self.dir, known, self.dir, key)


class Proxy:
    """
    TCP between a client and a server. limit: after so many bytes from the server each connection is cut (None: never);
    hold: after so many bytes nothing comes any more, until release(). Both may be changed while it runs.
    """

    def __init__(self, t, port):
        self.target, self.limit, self.hold = port, None, None
        self.connections, self.bytes, self.cuts = 0, 0, 0
        self._free = threading.Event()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(50)
        self.port = self._socket.getsockname()[1]
        self.held = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        t.finally_(self.close)

    def close(self):
        self._free.set()
        self._socket.close()

    def release(self):
        self.hold = None
        self._free.set()

    def url(self, server, name="repo"):
        return re.sub(r":\d+/", ":%d/" % self.port, server.url(name))

    def _enter(self, client):
        return client

    def _accept(self):
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            try:
                client = self._enter(client)
            except OSError:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            threading.Thread(target=self._copy, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, True), daemon=True).start()

    def _copy(self, source, to, count):
        sent = 0
        try:
            while True:
                data = source.recv(16384)
                if not data:
                    break
                if count:
                    if self.hold is not None and sent + len(data) > self.hold:
                        self.held.set()
                        self._free.wait()
                    if self.limit is not None and sent + len(data) > self.limit:
                        to.sendall(data[:max(0, self.limit - sent)])
                        self.cuts += 1
                        break
                    sent += len(data)
                    self.bytes += len(data)
                to.sendall(data)
        except OSError:
            pass
        for s in (source, to):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Tls(Proxy):
    """TLS in front of a server, with a certificate of its own authority: .ca is that authority's file."""

    def __init__(self, t, port):
        folder = t.dir()
        self.ca = folder + "/cert.pem"
        t.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost", "-keyout", folder + "/key.pem", "-out", self.ca])
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.ca, folder + "/key.pem")
        super().__init__(t, port)

    def url(self, name="repo", user=""):
        return "https://%slocalhost:%d/git/%s.git" % (user, self.port, name)

    def _enter(self, client):
        return self._context.wrap_socket(client, server_side=True)


class HttpProxy:
    """What http_proxy may name: requests with a whole URL, passed on; .seen are the URLs."""

    def __init__(self, t):
        self.seen = seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def pass_on(self):
                seen.append(self.path)
                url = urllib.parse.urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                c = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
                c.request(self.command, "%s?%s" % (url.path, url.query), body, {k: v for k, v in self.headers.items() if not k.startswith("Proxy")})
                r = c.getresponse()
                data = r.read()
                self.send_response(r.status)
                for k, v in r.getheaders():
                    if k.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(k, v)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            do_GET = do_POST = pass_on

            def log_message(self, *args):
                pass
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        t.finally_(self._server.shutdown)


class Refused(Exception):
    """What the daemon answered instead of a commit."""

    def __init__(self, error):
        super().__init__("%(code)s: %(message)s" % error)
        self.code, self.message = error["code"], error["message"]


def refused(t, code, pattern, f, *args, **kwargs):
    """f is refused, with a code and a message that match."""
    try:
        f(*args, **kwargs)
    except Refused as e:
        t.match(e.code, "^(%s)$" % code, e.message)
        t.match(e.message, pattern)
        return e
    raise Failure("it was not refused")


def fetch(d, url, rev, timeout=120, **more):
    """POST /v1/git/fetch: the result; Refused otherwise. result["events"] are the lines before it."""
    lines = d.http("POST", "/v1/git/fetch", dict({"url": url, "rev": rev}, **more), timeout=timeout).body.decode().strip().split("\n")
    lines = [json.loads(line) for line in lines]
    if "error" in lines[-1]:
        raise Refused(lines[-1]["error"])
    return dict(lines[-1]["result"], events=lines[:-1])


KILL = 4096  # as an errno of tests/lib/faults.py: the process ends there (services/core/fault.c)


def git_processes(place):
    """Processes that have something below that folder open."""
    out = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            if any(_link("/proc/%s/fd/%s" % (pid, fd)).startswith(place) for fd in os.listdir("/proc/%s/fd" % pid)):
                out.append(int(pid))
        except OSError:
            continue
    return out


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def connections(d):
    """Connections that clients have to the daemon, this one left out."""
    with open("/proc/net/unix") as f:
        return sum(line.rstrip().endswith(" " + d.socket) and line.split()[5] == "03" for line in f)


def mirror_of(d, result):
    return "%s/git/%s/repo.git" % (d.store, result["key"])


def check_mirror(t, d, key):
    """Sound and complete, whatever happened: every object and its links, every ref; nothing half-made lies about."""
    folder = "%s/git/%s" % (d.store, key)
    t.run(["git", "-C", folder + "/repo.git", "-c", "safe.directory=*", "fsck", "--full", "--strict", "--connectivity-only"], timeout=120)
    t.eq(sorted(os.listdir(folder)), ["repo.git", "url"])
    left = [x for x in os.listdir(folder + "/repo.git/objects/pack") if not re.fullmatch(r"pack-[0-9a-f]{40}\.(pack|idx|rev)", x)]
    t.eq(left, [])
    t.eq(os.listdir(d.store + "/tmp"), [])
