"""An ordinary user of this machine, made by root for a test."""
import os
import pwd
import stat
import subprocess

import orchtest

SETUP = r"""
set -e
mount -t tmpfs -o mode=755 none "$0"
mknod -m 666 "$0/fuse" c "$1" "$2"
chmod "$3" "$0/fuse"
mount --bind "$0/fuse" /dev/fuse
%s
echo ready
exec sleep 100000
"""


# /etc of its own, to be changed: for `setup`.
ETC = 'cp -a /etc "$0/etc" || :; mount --bind "$0/etc" /etc; '


def named():
    """The id of one who is in /etc/passwd, for long: fusermount3 wants to know the name of whom it mounts for."""
    return min(u.pw_uid for u in pwd.getpwall() if u.pw_uid > 0)


class Ordinary:
    """
    Its commands run in a mount namespace in which /dev/fuse is everyone's, as distributions have it: the machine's
    own may be root's alone, and stays as it is. Mounts that it makes are seen there only.
    """

    def __init__(self, t, uid=None, device_mode="666", setup=""):
        """setup: what root does in that namespace before, as shell commands."""
        self.t, self.uid = t, named() if uid is None else uid
        self.home, self.runtime, scratch = t.dir(), t.dir(), t.dir()
        for path in self.home, self.runtime:
            os.chown(path, self.uid, self.uid)
            os.chmod(path, 0o700)
        device = os.stat("/dev/fuse").st_rdev
        self.holder = t.start(["unshare", "--mount", "--propagation", "private", "sh", "-c", SETUP % setup, scratch,
                               str(os.major(device)), str(os.minor(device)), device_mode], stdout=subprocess.PIPE)
        t.eq(self.holder.stdout.readline(), b"ready\n", "the namespace of an ordinary user")
        self.env = {"HOME": self.home, "XDG_RUNTIME_DIR": self.runtime}

    def argv(self, argv, uid=None):
        uid = str(self.uid if uid is None else uid)
        return ["nsenter", "-t", str(self.holder.pid), "--mount", "setpriv", "--reuid", uid, "--regid", uid, "--clear-groups",
                *(self.t._argv(argv) if argv else [])]

    def run(self, argv, env=None, uid=None, **kwargs):
        return self.t.run(self.argv(argv, uid), env={**self.env, **(env or {})}, **kwargs)

    def start(self, argv, env=None, **kwargs):
        return self.t.start(self.argv(argv), env={**self.env, **(env or {})}, **kwargs)

    def shim(self, *args, **kwargs):
        return self.run(["orch-shim", *args], **kwargs)

    def within(self):
        """Before a command of root's: it runs where this user's mounts are seen."""
        return ["nsenter", "-t", str(self.holder.pid), "--mount"]

    def root(self, *argv, **kwargs):
        return self.t.run([*self.within(), *argv], **kwargs)

    def daemon(self, args=(), **kwargs):
        """Of this user, where orch-shim looks for it; not yet started."""
        d = self.t.daemon(list(args), wrap=self.argv([]), env=self.env, **kwargs)
        d.store, d.socket, d.mounts = self.home + "/store", self.runtime + "/orch/fsd.sock", self.runtime + "/orch/mnt"
        return d

    def mounts(self):
        """Where FUSE mounts of the test are, as this user sees it."""
        text = self.root("cat", "/proc/self/mountinfo").stdout
        points = [line.split()[4] for line in text.splitlines() if " - fuse.orch " in line]
        return sorted(p for p in points if p.startswith(self.t.tmp + "/"))

    def folder(self, name, mode=0o755):
        path = self.t.dir(name)
        os.chown(path, self.uid, self.uid)
        os.chmod(path, mode)
        return path

    def tree(self, files):
        root = self.t.tree(files)
        for folder, dirs, names in os.walk(root):
            for name in [""] + dirs + names:
                os.lchown(os.path.join(folder, name), self.uid, self.uid)
        return root

    def left(self):
        """Mounts, programs and sockets that are still there."""
        left = self.mounts()
        for pid in orchtest._tagged_pids(self.t.tag):
            argv = orchtest._read("/proc/%d/cmdline" % pid).split("\0")
            left += [pid] if os.path.basename(argv[0]) in ("orch-fsd", "orch-mount", "orch-worker", "fusermount3") else []
        for folder, _, names in os.walk(self.runtime):
            left += [n for n in names if stat.S_ISSOCK(os.lstat(os.path.join(folder, n)).st_mode)]
        return left
