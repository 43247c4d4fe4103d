"""
orch-mount driven without a keeper: a small store made by mount-tool, a layer, one mount process.

    m = Mount(t, t.tree({"a": b"1"}))      # mounted on m.mnt
    m.kill(); m.start()                     # as after a crash
    m.ctl("seal", layer=2)                  # {"status": 0, "sealed": "1", ...}
"""
import os
import signal
import subprocess

from orchtest import BUILD, Failure, program, wait_until
import orchtest

TOOL = os.path.join(BUILD, "tests/mount/mount-tool")


YOURS = 8  # of an answer to umount: the process has not the right to

class Mount:
    def __init__(self, t, source=None, args=(), layer=1, store=None, mount_as=None, owner=(0, 0)):
        self.t = t
        self.args = list(args)
        self.layer = layer
        self.store = store or t.path("store%d" % len(os.listdir(t.tmp)))
        self.mnt = mount_as or t.path("mnt%d" % len(os.listdir(t.tmp)))
        self.socket = self.mnt + ".ctl"
        self.log_path = self.mnt + ".log"
        self.process = None
        self.snapshot = "-"
        os.makedirs(self.mnt, exist_ok=True)
        if store is None:
            if source is None:
                source = self.mnt + ".empty"
                os.mkdir(source)
            self.snapshot = self.tool("store", self.store, source).strip()
            self.new_layer(layer, 0, owner)
        t.finally_(self.finish)

    def tool(self, *args):
        return self.t.run([TOOL] + [str(a) for a in args]).stdout

    def new_layer(self, layer, parent, owner=(0, 0), snapshot=None):
        self.tool("layer", self.store, layer, parent, snapshot or self.snapshot, "ws%d" % layer, *owner)

    def start(self, ok=True, env=None, wrap=()):
        fds = [os.open(self.store + "/" + x, os.O_RDONLY | os.O_DIRECTORY) for x in ("objects", "packs", "layers")]
        ready, ready_w = os.pipe()
        argv = list(wrap) + [program("orch-mount"), "--store-fds", "objects=%d,packs=%d,layers=%d" % tuple(fds),
                "--layer", str(self.layer), "--mountpoint", self.mnt, "--control", self.socket,
                "--ready-fd", str(ready_w), "--log-level", "debug"] + self.args
        with open(self.log_path, "ab") as log:
            self.process = self.t.start(argv, stdout=log, stderr=log, pass_fds=fds + [ready_w], env=env)
        for fd in fds + [ready_w]:
            os.close(fd)
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(ready, 4096)
            if not piece:
                break
            line += piece
        os.close(ready)
        if ok and line != b"ready\n":
            raise Failure("orch-mount said %r\n%s" % (line, self.log()))
        return line.decode()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def ctl(self, command, **tags):
        out = self.tool("ctl", self.socket, command, *["%s=%s" % x for x in tags.items()])
        r = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        if command == "umount" and r["status"] == "0" and int(r.get("flags", "0")) & YOURS:
            self.umount_by_path()
        return r

    def umount_by_path(self):
        """Whoever looks through /proc (other tests' mounts) holds a mount for an instant."""
        wait_until(lambda: subprocess.run(["umount", self.mnt], stderr=subprocess.DEVNULL).returncode == 0, what="the unmount")

    def ok(self, command, **tags):
        r = self.ctl(command, **tags)
        self.t.eq(r["status"], "0", "%s: %s" % (command, r))
        return r

    def wait(self, timeout=20):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            orchtest.dump_stacks([self.process.pid])
            raise Failure("orch-mount does not end\n" + self.log()) from None
        finally:
            self.process = None if self.process.poll() is not None else self.process

    def umount(self):
        self.ok("umount")
        self.t.eq(self.wait(), 0, "exit status of orch-mount\n" + self.log())

    def kill(self):
        """SIGKILL, and the dead mount is taken away."""
        self.process.send_signal(signal.SIGKILL)
        self.wait()
        subprocess.run(["umount", "-l", self.mnt], check=True)

    def remount(self, kill=False):
        self.kill() if kill else self.umount()
        self.start()

    def finish(self):
        if self.process is None:
            return
        if self.process.poll() is not None:
            raise Failure("orch-mount ended with %d\n%s" % (self.process.returncode, self.log()))
        subprocess.run(["umount", "-l", self.mnt], check=False, stderr=subprocess.DEVNULL)
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:  # a failed test has files open
            self.process.kill()
            raise Failure("orch-mount does not end after umount -l: is a file open?\n" + self.log()) from None
        if status != 0:
            raise Failure("orch-mount ended with %d\n%s" % (status, self.log()))
        bad = [x for x in self.log().splitlines() if orchtest.ERROR_LINE.search(x) or orchtest.SANITIZER.search(x)]
        if bad and not getattr(self, "errors_expected", False):
            raise Failure("in the log of orch-mount:\n" + "\n".join(bad[:20]))
