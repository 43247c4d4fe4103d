"""
A file system of the benchmark's own, in a file below .orch/bench: a journaled ext4, or XFS with reflinks. The loop device
reads and writes its file with O_DIRECT where that can be, so that nothing is cached twice and cold is cold.
What a killed run left there is removed by the next one; a lock keeps two runs of one clone apart.
"""
import fcntl

from orchtest import *
from orchtest import Context

KINDS = {
    "ext4": ("ext4 with a journal", ["mkfs.ext4", "-q", "-F", "-i", "8192", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": ("XFS with reflinks", ["mkfs.xfs", "-q", "-f", "-m", "reflink=1"]),
}


def _tool(*argv):
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.strip()


class Place:
    """The folder with the images; one run at a time."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self._lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("bench: another run is at work below %s" % folder)
        self._owner = os.path.join(folder, "owner")
        self._remove_leftovers()

    def owned_by(self, t):
        """Notes whose processes and mounts are there, for the run after a killed one."""
        with open(self._owner, "w") as f:
            f.write(t.tmp)

    def _remove_leftovers(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self._owner) as f:
                killed = f.read()
            if os.path.isdir(killed):
                Context("killed", tmp=killed)._close()
            os.unlink(self._owner)
        for name in os.listdir(self.folder):
            if name.endswith(".img"):
                Disk(self.folder, name[:-4]).remove()

    def free_bytes(self):
        s = os.statvfs(self.folder)
        return s.f_bavail * s.f_frsize

    @contextlib.contextmanager
    def disk(self, kind, size, needed):
        """Mounted; gone afterwards. needed: bytes that must be free before it is begun."""
        free = self.free_bytes()
        if free < needed:
            sys.exit("bench: %d MiB are free below %s, this run needs %d" % (free >> 20, self.folder, needed >> 20))
        disk = Disk(self.folder, kind)
        try:
            disk.make(size)
            yield disk.root
        finally:
            disk.remove()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._owner)


class Disk:
    def __init__(self, folder, kind):
        self.kind = kind
        self.image = os.path.join(folder, kind + ".img")
        self.root = os.path.join(folder, kind)

    def make(self, size):
        with open(self.image, "xb") as f:
            f.truncate(size)
        _tool(*KINDS[self.kind][1], self.image)
        os.makedirs(self.root, exist_ok=True)
        _tool("mount", self._attach(), self.root)

    def _attach(self):
        try:
            return _tool("losetup", "--direct-io=on", "--find", "--show", self.image)
        except subprocess.CalledProcessError:
            return _tool("losetup", "--find", "--show", self.image)

    def remove(self):
        """Whatever there is of it; a mount that is still in use is detached, and its device with its last user."""
        while os.path.ismount(self.root):
            if subprocess.run(["umount", self.root], stderr=subprocess.DEVNULL).returncode != 0:
                _tool("umount", "-l", self.root)
        for line in _tool("losetup", "-j", self.image).splitlines():
            _tool("losetup", "-d", line.split(":")[0])
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(self.root)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.image)
