"""
What the Python tests share: TAP, private folders, programs with time-outs, a daemon by readiness.

    #!/usr/bin/env python3
    from orchtest import *

    @test(needs="fuse")
    def a_file_written_is_read_back(t):
        source = t.tree({"a.txt": b"1", "dir/b": b"2"})
        with t.daemon() as d:
            d.shim("snapshot", "import", source, "--ref", "main")
            mnt = d.shim("workspace", "create", "w", "--from", "main").stdout.strip()
            t.eq(open(mnt + "/a.txt", "rb").read(), b"1")

    main()

Each test has a folder of its own (t.tmp, short, for sockets) that is removed when the test is over, after
everything that the test started has been ended: processes are known by an environment variable that they
inherit, mounts by lying below the folder. A test that takes too long has the stacks of all its processes
printed, its FUSE connections aborted, and fails. A daemon's log is read at the end: a line with level=error
or a sanitizer's report fails the test, unless d.allow_errors(REGEX) expected it.

Standard library only. No test sleeps to wait for something: wait_until(condition) polls with a deadline.
"""

import contextlib
import faulthandler
import fnmatch
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

__all__ = ["test", "main", "skip", "Skip", "Failure", "wait_until", "mounts_below", "SRC", "BUILD", "program",
           "os", "re", "sys", "json", "time", "signal", "subprocess", "shutil", "threading", "stat",
           "errno", "hashlib", "contextlib"]

import errno  # noqa: E402  (re-exported: nearly every test wants them)
import hashlib  # noqa: E402
import stat  # noqa: E402

SRC = os.path.abspath(os.environ.get("top_srcdir") or os.path.dirname(__file__) + "/../..")
BUILD = os.path.abspath(os.environ.get("top_builddir") or SRC)
TAG = "ORCH_TEST_ID"
# A time-out of these tests is for hangs, not for speed: a busy machine or a sanitizer must not trip it.
SCALE = float(os.environ.get("ORCH_TEST_TIMEOUT_SCALE", "1"))

PROGRAMS = {
    "orch-fsd": "fsd/keeper/orch-fsd",
    "orch-mount": "fsd/mount/orch-mount",
    "orch-worker": "fsd/worker/orch-worker",
    "orch-shim": "shim/orch-shim",
    "orch-init": "shim/orch-init",
}

SANITIZER = re.compile(r"(ERROR|WARNING|SUMMARY): \w*Sanitizer|runtime error: |ThreadSanitizer: ")
ERROR_LINE = re.compile(r'(^|\s)level=error\b|"level":\s*"error"')


class Skip(Exception):
    """The machine lacks a feature: Skip(feature, reason)."""

    def __init__(self, feature, reason):
        super().__init__("%s: %s" % (feature, reason))
        self.feature = feature


class Failure(AssertionError):
    """A check did not hold."""


def skip(feature, reason):
    raise Skip(feature, reason)


def program(name):
    """Path of a program of this build."""
    return os.path.join(BUILD, PROGRAMS[name])


def wait_until(condition, timeout=20, what="a condition", interval=0.01):
    """Polls until condition() is true and returns its value; Failure after timeout seconds."""
    end = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Failure("waited %g s for %s" % (timeout * SCALE, what))
        time.sleep(interval)


# ---- what the machine can do

def _can_run(*argv):
    try:
        return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              stdin=subprocess.DEVNULL, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _fuse():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as e:
        return "/dev/fuse: %s" % e.strerror
    return None if os.geteuid() == 0 or shutil.which("fusermount3") else "not root and no fusermount3"


def _kernel_at_least(major, minor):
    have = tuple(int(x) for x in re.findall(r"\d+", os.uname().release)[:2])
    return have >= (major, minor)


def _config_has(name):
    try:
        with open(os.path.join(BUILD, "config.h")) as f:
            return re.search(r"^#define %s\b" % name, f.read(), re.M) is not None
    except OSError:
        return False


def _sandbox():
    if not shutil.which("bwrap"):
        return "no bwrap"
    ok = _can_run("bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true")
    return None if ok else "bwrap can't make a sandbox here"


def _passthrough():
    if not _kernel_at_least(6, 9):
        return "Linux < 6.9"
    if os.geteuid() != 0:
        return "not root"
    return None if _config_has("ORCH_FUSE_PASSTHROUGH") else "built with libfuse < 3.17"


def _uring():
    if not _config_has("ORCH_FUSE_URING"):
        return "built with libfuse < 3.18"
    try:
        with open("/sys/module/fuse/parameters/enable_uring") as f:
            return None if f.read(1) in "Y1" else "enable_uring of the fuse module is off"
    except OSError:
        return "the kernel has no FUSE over io_uring"


def _freezer():
    """Whether a control group can be made that can be frozen."""
    for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"):
        group = "%s/orch.feature.%d" % (place, os.getpid())
        with contextlib.suppress(OSError):
            os.mkdir(group)
            found = any(os.path.exists(group + "/" + x) for x in ("cgroup.freeze", "freezer.state"))
            os.rmdir(group)
            if found:
                return None
    return "no control group that can be frozen"


def _lmdb():
    # Debian's Python has Debian's module; another one may come first in PATH
    return None if _can_run("/usr/bin/python3", "-c", "import lmdb, sqlite3") else "no package python3-lmdb"


def _tool(name):
    return lambda: None if shutil.which(name) else "no program %s" % name


def _sbin_tool(name):
    return None if shutil.which(name) or os.access("/usr/sbin/" + name, os.X_OK) else "no program %s" % name


# Feature name => a function that says why the machine lacks it, None if it is there.
FEATURES = {
    "fuse": _fuse,
    "root": lambda: None if os.geteuid() == 0 else "not root",
    "sandbox": _sandbox,
    "passthrough": _passthrough,
    "uring": _uring,
    "freezer": _freezer,
    "lmdb": _lmdb,
    "faults": lambda: None if _config_has("ORCH_FAULT_INJECTION") else "built without --enable-fault-injection",
    "no-faults": lambda: "built with --enable-fault-injection" if _config_has("ORCH_FAULT_INJECTION") else None,
    "strace": _tool("strace"),
    "idmap": lambda: None if _kernel_at_least(6, 12) else "Linux < 6.12",
    "fusermount3": _tool("fusermount3"),
    "docker": lambda: _tool("dockerd")() or _tool("docker")(),
    "git": _tool("git"),
    "openssl": _tool("openssl"),
    "lighttpd": lambda: _sbin_tool("lighttpd"),
    "sshd": lambda: _sbin_tool("sshd"),
    "systemd-analyze": _tool("systemd-analyze"),
    "git-lfs": _tool("git-lfs"),
    "gcc": _tool("gcc"),
    "make": _tool("make"),
    "loop": lambda: None if os.geteuid() == 0 and os.path.exists("/dev/loop-control") else "no loop devices",
    "mkfs.xfs": _tool("mkfs.xfs"),
    "mkfs.btrfs": _tool("mkfs.btrfs"),
    "userns": lambda: None if _can_run("unshare", "-Ur", "true") else "no user namespaces",
}


# ---- processes, mounts, stacks

def _tagged_pids(tag):
    """Every process that inherited our environment tag, or names our folder in its arguments."""
    needle = ("%s=%s" % (TAG, tag)).encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open("/proc/%s/environ" % name, "rb") as f:
                environ = f.read().split(b"\0")
            with open("/proc/%s/cmdline" % name, "rb") as f:
                cmdline = f.read()
        except OSError:
            continue
        if needle in environ or tag.encode() in cmdline:
            found.append(int(name))
    return sorted(found)


def _unescape(s):
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), s)


def mounts_below(folder):
    """(mount point, minor device number, type) of the mounts below folder, deepest first."""
    out = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        for line in f:
            fields = line.split(" ")
            point = _unescape(fields[4])
            kind = line.split(" - ")[1].split(" ")[0]
            if point == folder or point.startswith(folder + "/"):
                out.append((point, int(fields[2].split(":")[1]), kind))
    return sorted(out, key=lambda m: m[0].count("/"), reverse=True)


def _abort_fuse(folder):
    """Ends every request that hangs in a FUSE mount below folder."""
    for _point, minor, kind in mounts_below(folder):
        if kind.startswith("fuse"):
            with contextlib.suppress(OSError):
                with open("/sys/fs/fuse/connections/%d/abort" % minor, "w") as f:
                    f.write("1")


def _read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read().rstrip()
    except OSError as e:
        return "(%s)" % e.strerror


def dump_stacks(pids, out=None):
    """Where each thread of each process is: kernel stack, wait channel, gdb's view if it is there."""
    say = out or (lambda s: _diag(s))
    for pid in pids:
        say("---- process %d: %s" % (pid, _read("/proc/%d/cmdline" % pid).replace("\0", " ")))
        with contextlib.suppress(OSError):
            for tid in os.listdir("/proc/%d/task" % pid):
                base = "/proc/%d/task/%s/" % (pid, tid)
                state = re.search(r"^State:.*", _read(base + "status"), re.M)
                say("thread %s %s wchan=%s" % (tid, state.group(0) if state else "", _read(base + "wchan")))
                say(_read(base + "stack"))
        if shutil.which("gdb"):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                r = subprocess.run(["gdb", "-batch", "-nx", "-p", str(pid), "-ex", "thread apply all bt 25"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20,
                                   stdin=subprocess.DEVNULL)
                say("\n".join(line for line in r.stdout.decode(errors="replace").splitlines()
                              if line.startswith(("#", "Thread"))))


def _kill(pid, sig):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, sig)


# ---- TAP

_out_lock = threading.Lock()


def _emit(line):
    with _out_lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _diag(text):
    for line in str(text).split("\n"):
        _emit("# " + line)


# ---- what a test gets

class Result:
    """What a finished program left: status (negative: signal), stdout and stderr as text, and bytes."""

    def __init__(self, argv, status, out, err, seconds):
        self.argv = argv
        self.status = status
        self.out_bytes = out
        self.err_bytes = err
        self.stdout = out.decode("utf-8", "surrogateescape")
        self.stderr = err.decode("utf-8", "surrogateescape")
        self.seconds = seconds

    def json(self):
        return json.loads(self.stdout)

    def __str__(self):
        return "%s\nstatus %d after %.2f s\n%s%s" % (
            shlex.join(map(os.fsdecode, self.argv)), self.status, self.seconds,
            _clip(self.stdout), _clip(self.stderr))


def _clip(text, limit=4000):
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else text[:limit // 2] + "\n[...]\n" + text[-limit // 2:]


class _Program(subprocess.Popen):
    """What a test started. Its time-outs are stretched as all others are (communicate() waits at its end, too)."""

    def wait(self, timeout=None):
        return super().wait(None if timeout is None else timeout * SCALE)

    def communicate(self, input=None, timeout=None):
        return super().communicate(input, None if timeout is None else timeout * SCALE)


class Context:
    """One running test: its folder, its processes, its checks."""

    def __init__(self, name, tmp=None):
        """tmp: the folder of a test that was killed, to end (_close) what it left."""
        base = os.environ.get("ORCH_TEST_TMP", "/tmp")
        self.tmp = tmp or tempfile.mkdtemp(prefix="ot.", dir=base)
        os.chmod(self.tmp, 0o755)
        # Reports of every process, whoever reads its standard error, whatever user it runs as.
        self.reports = self.path(".reports")
        os.makedirs(self.reports, exist_ok=True)
        os.chmod(self.reports, 0o1777)
        self.tag = os.path.basename(self.tmp)
        self.name = name
        self._daemons = []
        self._undo = []
        self._count = 0

    # checks

    def ok(self, condition, message="the condition does not hold"):
        if not condition:
            raise Failure(message)

    def eq(self, got, want, message=""):
        if got != want:
            raise Failure("%s\n  got:  %s\n  want: %s" % (message or "not equal",
                                                          _clip(repr(got)), _clip(repr(want))))

    def match(self, text, pattern, message=""):
        found = re.search(pattern, text, re.M)
        if not found:
            raise Failure("%s\n  no match for %r in:\n%s" % (message, pattern, _clip(text)))
        return found

    def raises(self, code, function, *args, **kwargs):
        """function fails with OSError of this errno."""
        try:
            function(*args, **kwargs)
        except OSError as e:
            self.eq(errno.errorcode.get(e.errno), errno.errorcode.get(code))
            return e
        raise Failure("no error, expected %s" % errno.errorcode.get(code))

    # files

    def path(self, *parts):
        return os.path.join(self.tmp, *parts)

    def dir(self, name=None):
        """A new folder below t.tmp."""
        if name is None:
            self._count += 1
            name = "d%d" % self._count
        os.makedirs(self.path(name))
        return self.path(name)

    def tree(self, files, at=None):
        """A folder with these files: {"path": bytes or str, "link": ("->", target), "dir/": None}."""
        root = at or self.dir()
        for name, content in files.items():
            path = os.path.join(root, name)
            if name.endswith("/"):
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(content, tuple):
                os.symlink(content[1], path)
                continue
            with open(path, "wb") as f:
                f.write(content.encode() if isinstance(content, str) else content)
        return root

    # programs

    def env(self, extra=None):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("ORCH_", "XDG_", "GITHUB_", "CI")) and k not in ("TMPDIR", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        home = self.path("home")
        os.makedirs(home, exist_ok=True)
        env.update({"HOME": home, "LC_ALL": "C.UTF-8", "TZ": "UTC", TAG: self.tag,
                    "XDG_RUNTIME_DIR": self.tmp,
                    "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "orch", "GIT_AUTHOR_EMAIL": "orch@example.org",
                    "GIT_COMMITTER_NAME": "orch", "GIT_COMMITTER_EMAIL": "orch@example.org",
                    "ASAN_OPTIONS": self._sanitizer("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:quarantine_size_mb=8"),
                    "UBSAN_OPTIONS": self._sanitizer("UBSAN_OPTIONS", "print_stacktrace=1"),
                    "TSAN_OPTIONS": self._sanitizer("TSAN_OPTIONS", "halt_on_error=0:die_after_fork=0")})
        if extra:
            env.update(extra)
        return {k: v for k, v in env.items() if v is not None}

    def _sanitizer(self, name, default):
        return "%s:log_path=%s/report" % (os.environ.get(name, default), self.reports)

    def sanitizer_reports(self):
        """What the sanitizers said of any process of this test so far."""
        return ["%s:\n%s" % (x, _clip(_read(os.path.join(self.reports, x)), 12000)) for x in sorted(os.listdir(self.reports))]

    def start(self, argv, env=None, **kwargs):
        """Popen with the test's environment, in a process group of its own; ended with the test."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("start_new_session", True)
        kwargs.setdefault("cwd", self.tmp)
        env = self.env(env)
        if argv[0] == "strace":  # the leak sanitizer traces, too, and two can't
            env["ASAN_OPTIONS"] += ":detect_leaks=0"
        return _Program(self._argv(argv), env=env, **kwargs)

    @staticmethod
    def _argv(argv):
        argv = list(argv)
        if argv[0] in PROGRAMS:
            argv[0] = program(argv[0])
        return argv

    def run(self, argv, status=0, timeout=60, env=None, input=None, cwd=None):
        """
        Runs a program to its end. Fails when its status is not the expected one (None: any), when it
        takes longer than timeout, or when a sanitizer reported something.
        """
        argv = self._argv(argv)
        begin = time.monotonic()
        p = self.start(argv, env=env, cwd=cwd or self.tmp, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL)
        try:
            out, err = p.communicate(input.encode() if isinstance(input, str) else input, timeout)
        except subprocess.TimeoutExpired:
            _diag("time-out after %g s: %s" % (timeout * SCALE, shlex.join(map(os.fsdecode, argv))))
            dump_stacks(_tagged_pids(self.tag))
            with contextlib.suppress(OSError):
                os.killpg(p.pid, signal.SIGKILL)
            _abort_fuse(self.tmp)
            out, err = p.communicate(timeout=10)
            raise Failure("time-out after %g s\n%s" % (timeout * SCALE,
                                                       Result(argv, -9, out, err, timeout))) from None
        r = Result(argv, p.returncode, out, err, time.monotonic() - begin)
        if SANITIZER.search(r.stderr):
            raise Failure("sanitizer report\n%s" % r)
        if status is not None and r.status != status:
            raise Failure("expected status %d\n%s" % (status, r))
        return r

    def shim(self, *args, **kwargs):
        return self.run(["orch-shim", *args], **kwargs)

    def git(self, repo, *args, **kwargs):
        return self.run(["git", "-C", repo, *args], **kwargs)

    def daemon(self, *args, **kwargs):
        """A daemon on a private store; as a context manager: started, and stopped and checked at the end."""
        d = Daemon(self, *args, **kwargs)
        self._daemons.append(d)
        return d

    def finally_(self, function, *args):
        """Called when the test is over, last first."""
        self._undo.append((function, args))

    # the end

    def _close(self):
        problems = []
        for d in self._daemons:
            problems += d._finish()
        for function, args in reversed(self._undo):
            try:
                function(*args)
            except Exception:  # noqa: BLE001  (each undo gets its turn)
                problems.append(traceback.format_exc())
        self._end_everything()
        problems += ["sanitizer " + x for x in self.sanitizer_reports()]
        shutil.rmtree(self.tmp, onerror=_make_removable)
        if os.path.exists(self.tmp):
            problems.append("can't remove %s" % self.tmp)
        return problems

    def _end_everything(self):
        """Ends what is still there, mounts before processes: a process can hang in a mount."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for pid in _tagged_pids(self.tag):
                _kill(pid, sig)
            _abort_fuse(self.tmp) if sig == signal.SIGKILL else None
            end = time.monotonic() + (2 if sig == signal.SIGTERM else 10)
            while _tagged_pids(self.tag) and time.monotonic() < end:
                self._reap()
                time.sleep(0.01)
        for point, _minor, kind in mounts_below(self.tmp):
            tool = ["umount", "-l", point] if os.geteuid() == 0 else ["fusermount3", "-u", "-z", point]
            subprocess.run(tool, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
        self._reap()

    @staticmethod
    def _reap():
        for p in list(getattr(subprocess, "_active", None) or []):
            p.poll()


def _make_removable(function, path, _info):
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700)
        function(path)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return "HTTP %d\n%s" % (self.status, _clip(self.body.decode("utf-8", "replace")))


class Daemon:
    """orch-fsd with a store, a socket and a folder of mounts of its own."""

    def __init__(self, t, args=(), env=None, store=None, name="", wrap=()):
        self.t = t
        self.args = list(args)
        self.wrap = list(wrap)
        self.extra_env = env or {}
        self.store = store or t.path("store" + name)
        self.socket = t.path("s" + name)
        self.mounts = t.path("mnt" + name)
        self.log_path = t.path("fsd%s.log" % name)
        self.process = None
        self._allowed = []
        self._checked = 0

    # life

    def start(self, timeout=30):
        """Starts it and returns when it answers; Failure with its log when it doesn't."""
        argv = self.wrap + [program("orch-fsd"), "--store", self.store, "--socket", self.socket,
                            "--mounts", self.mounts, "--foreground", "--log-level", "debug"] + self.args
        with open(self.log_path, "ab") as log:
            self.process = self.t.start(argv, env=self.extra_env, stdout=log, stderr=log)
        end = time.monotonic() + timeout * SCALE
        while not self.answers():
            if self.process.poll() is not None:
                raise Failure("orch-fsd ended with status %d before it answered\n%s" % (
                    self.process.returncode, self.log_tail()))
            if time.monotonic() > end:
                dump_stacks(_tagged_pids(self.t.tag))
                raise Failure("orch-fsd does not answer after %g s\n%s" % (timeout * SCALE, self.log_tail()))
            time.sleep(0.005)
        return self

    def answers(self):
        try:
            return self.http("GET", "/healthz", timeout=2).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self, timeout=30):
        """SIGTERM, and the status that it ends with."""
        if self.process is None:
            return None
        _kill(self.process.pid, signal.SIGTERM)
        return self._wait(timeout)

    def kill(self):
        """SIGKILL to the keeper alone; mounts live on."""
        _kill(self.process.pid, signal.SIGKILL)
        return self._wait(10)

    def restart(self):
        self.stop()
        return self.start()

    def _wait(self, timeout):
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            dump_stacks(_tagged_pids(self.t.tag))
            self.process.kill()
            _abort_fuse(self.t.tmp)
            self.process.wait(10)
            raise Failure("orch-fsd did not end within %g s\n%s" % (timeout * SCALE, self.log_tail())) from None
        self.process = None
        return status

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, _value, _trace):
        if kind is not None:
            return
        status = self.stop()
        if status not in (0, None):
            raise Failure("orch-fsd ended with status %s\n%s" % (status, self.log_tail()))

    # use

    def http(self, method, path, body=None, timeout=60, headers=None):
        """One request on the socket; body is made JSON unless it is bytes."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        c = _UnixConnection(self.socket, timeout * SCALE)
        try:
            c.request(method, path, body=body, headers=headers)
            r = c.getresponse()
            return Response(r.status, dict(r.getheaders()), r.read())
        finally:
            c.close()

    def shim(self, *args, **kwargs):
        """orch-shim ARGS on this daemon."""
        env = dict(kwargs.pop("env", None) or {})
        env.setdefault("ORCH_SOCKET", self.socket)
        return self.t.run(["orch-shim", *args], env=env, **kwargs)

    def pids(self, name=None):
        """Processes of this test, all or those of one program: d.pids("orch-mount")."""
        return [p for p in _tagged_pids(self.t.tag)
                if name is None or os.path.basename(_read("/proc/%d/cmdline" % p).split("\0")[0]) == name]

    # log

    def log(self):
        return _read(self.log_path)

    def log_tail(self, lines=40):
        return "\n".join(["log of orch-fsd:"] + self.log().split("\n")[-lines:])

    def allow_errors(self, pattern):
        """Error lines that match are expected."""
        self._allowed.append(re.compile(pattern))

    def log_problems(self):
        bad = []
        for line in self.log().split("\n"):
            if SANITIZER.search(line):
                bad.append(line)
            elif ERROR_LINE.search(line) and not any(a.search(line) for a in self._allowed):
                bad.append(line)
        return bad

    def _finish(self):
        problems = []
        if self.process is not None:
            try:
                self.stop()
            except Failure as e:
                problems.append(str(e))
        bad = self.log_problems()
        if bad:
            problems.append("in the log of orch-fsd:\n" + "\n".join(bad[:20]))
            if SANITIZER.search(bad[0]):
                problems.append(self.log_tail(120))
        return problems


# ---- the tests of a file

_tests = []


def test(function=None, needs="", timeout=120):
    """Marks a test. needs: features (FEATURES) without which it is skipped; timeout in seconds."""
    def mark(f):
        _tests.append((f.__name__, f, needs.split(), timeout))
        return f
    return mark(function) if callable(function) else mark


def _lacking(needs):
    for feature in needs:
        why = FEATURES[feature]()
        if why:
            raise Skip(feature, why)


def _never_skipped():
    """ORCH_TEST_REQUIRE: features that this machine is known to have ("all": every one)."""
    return os.environ.get("ORCH_TEST_REQUIRE", "").replace(",", " ").split()


class _Watchdog:
    """Ends a test that hangs: stacks, then its mounts and processes; the whole file fails if that does not help."""

    def __init__(self, t, seconds):
        self.t = t
        self.fired = False
        self._timers = [threading.Timer(seconds * SCALE, self._hang), threading.Timer(seconds * SCALE + 60, self._dead)]

    def __enter__(self):
        for timer in self._timers:
            timer.daemon = True
            timer.start()
        return self

    def __exit__(self, *_):
        for timer in self._timers:
            timer.cancel()

    def _hang(self):
        self.fired = True
        _diag("the test takes too long; where everything is:")
        with tempfile.TemporaryFile("w+") as f:
            faulthandler.dump_traceback(f)
            f.seek(0)
            _diag(f.read())
        dump_stacks(_tagged_pids(self.t.tag))
        for pid in _tagged_pids(self.t.tag):
            _kill(pid, signal.SIGKILL)
        _abort_fuse(self.t.tmp)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    def _dead(self):
        _emit("Bail out! a test hangs and can't be ended")
        os._exit(3)


def _on_alarm(_sig, _frame):
    raise Failure("the test took too long")


def _one(function, needs, timeout):
    """(problems, skip) of one test."""
    t = None
    try:
        _lacking(needs)
        t = Context(function.__name__)
        with _Watchdog(t, timeout):
            problems = []
            try:
                function(t)
            except Skip:
                raise
            except Exception as e:  # noqa: BLE001  (whatever a test throws is its failure)
                problems.append(_explain(e))
                problems += [d.log_tail() for d in t._daemons]
            return problems, None
    except Skip as e:
        required = _never_skipped()
        if e.feature in required or "all" in required:
            return ["skipped, but this machine must have it: %s" % e], None
        return [], e
    finally:
        if t is not None:
            _late_problems.extend(t._close())


_late_problems = []


def _explain(e):
    frames = [f for f in traceback.extract_tb(e.__traceback__) if not f.filename.endswith("orchtest.py")]
    where = "\n".join("  %s:%d: %s" % (os.path.basename(f.filename), f.lineno, f.line) for f in frames)
    if isinstance(e, AssertionError):
        return "%s\n%s" % (e, where)
    return "%s: %s\n%s" % (type(e).__name__, e, where)


def main():
    """Runs the tests of the file, those that match the arguments (globs) if there are any."""
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.umask(0o022)
    chosen = [x for x in _tests if not sys.argv[1:] or any(fnmatch.fnmatch(x[0], a) for a in sys.argv[1:])]
    _emit("1..%d" % len(chosen))
    failed = 0
    for number, (name, function, needs, timeout) in enumerate(chosen, 1):
        begin = time.monotonic()
        _late_problems.clear()
        problems, skipped = _one(function, needs, timeout)
        problems += _late_problems
        for p in problems:
            _diag(p)
        failed += bool(problems)
        _emit("%s %d - %s%s" % ("not ok" if problems else "ok", number, name.replace("_", " "),
                                " # SKIP %s" % skipped if skipped and not problems else ""))
        _diag("%.2f s" % (time.monotonic() - begin))
    sys.exit(1 if failed else 0)
