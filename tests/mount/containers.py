"""
Commands in containers of root's, with a workspace at /workspace and the host's programs. Two kinds with one
interface: Docker's, and one made by hand as Docker makes it (a mount namespace, bind mounts, a root of its own,
Docker's capabilities), which every machine of root's has.
"""
import glob
import io
import os
import tarfile

from orchtest import Skip, wait_until

# What Docker leaves root by default.
CAPABILITIES = ("chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap net_bind_service "
                "sys_chroot kill audit_write").split()
# The host's programs are all below /usr.
LINKS = {x: "usr/" + x for x in ("bin", "sbin", "lib", "lib64")}
FOLDERS = ("usr", "proc", "dev", "tmp", "etc", "workspace")
HOME = {"HOME": "/tmp", "PATH": "/usr/bin:/usr/sbin", "LC_ALL": "C"}


class ByHand:
    """A root folder; each run is a container of its own. within: what puts a command into another mount namespace."""

    def __init__(self, t, within=()):
        self.t, self.within = t, list(within)
        self.root = t.dir("container")
        for name in FOLDERS:
            os.mkdir(self.root + "/" + name)
        for name, to in LINKS.items():
            os.symlink(to, self.root + "/" + name)

    def argv(self, path, user, script):
        setup = ('mount --bind "$1" "$1"; mount --bind "$2" "$1/workspace"; mount --rbind /usr "$1/usr"; '
                 'mount --bind /dev "$1/dev"; cd "$1"; pivot_root . tmp; mount -t proc proc /proc; umount -l /tmp; shift 2; exec "$@"')
        drop = ["setpriv", "--bounding-set", "-all," + ",".join("+" + x for x in CAPABILITIES), "--no-new-privs",
                "--reuid", str(user), "--regid", str(user), "--clear-groups"]
        return [*self.within, "unshare", "-m", "-p", "-f", "--propagation", "private", "sh", "-ec", setup, "sh", self.root, path, "env", "-i",
                *["%s=%s" % x for x in HOME.items()], *drop, "sh", "-c", "cd /workspace; " + script]

    def run(self, path, user, script, status=0):
        r = self.t.run(self.argv(path, user, script), status=status)
        return r.stdout if status == 0 else r.stderr

    def start(self, path, user, script, **kwargs):
        return self.t.start(self.argv(path, user, script), **kwargs)


class Docker:
    """A dockerd of the test's own; its image is nothing but links to what is bound there."""

    def __init__(self, t, within=()):
        self.t = t
        self.socket = t.path("docker.sock")
        self.group = "orch-test-docker.%d" % os.getpid()
        folder = t.dir("docker")
        with open(folder + "/none.json", "w") as f:
            f.write("{}")
        with open(folder + "/log", "wb") as log:
            self.daemon = t.start(
                [*within, "dockerd", "--host", "unix://" + self.socket, "--data-root", folder + "/data", "--exec-root", folder + "/exec",
                 "--pidfile", folder + "/pid", "--cgroup-parent", "/" + self.group, "--bridge", "none", "--iptables=false", "--ip6tables=false", "--config-file",
                 folder + "/none.json"], stdout=log, stderr=log)
        t.finally_(self.end)

        def ready():
            if self.daemon.poll() is not None:
                with open(folder + "/log", errors="replace") as f:
                    raise Skip("docker", "dockerd does not start: " + f.read()[-300:].replace("\n", " | "))
            return os.path.exists(self.socket) and self.docker("version", status=None).status == 0
        wait_until(ready, timeout=60, what="dockerd")
        with open(folder + "/image.tar", "wb") as f:
            f.write(image())
        self.docker("import", folder + "/image.tar", "host")

    def docker(self, *args, **kwargs):
        return self.t.run(["docker", "--host", "unix://" + self.socket, *args], **kwargs)

    def argv(self, path, user, script):
        environment = [x for pair in HOME.items() for x in ("-e", "%s=%s" % pair)]
        return ["docker", "--host", "unix://" + self.socket, "run", "--rm", "--network", "none", *environment, "-u", "%d:%d" % (user, user),
                "-v", "/usr:/usr:ro", "-v", path + ":/workspace", "-w", "/workspace", "host", "sh", "-c", script]

    def run(self, path, user, script, status=0):
        r = self.t.run(self.argv(path, user, script), status=status)
        return r.stdout if status == 0 else r.stderr

    def start(self, path, user, script, **kwargs):
        return self.t.start(self.argv(path, user, script), **kwargs)

    def end(self):
        self.daemon.terminate()
        self.daemon.wait(30)
        for path in glob.glob("/sys/fs/cgroup/**/" + self.group, recursive=True):
            os.rmdir(path)


def image():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in FOLDERS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, to in LINKS.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, to
            tar.addfile(entry)
    return out.getvalue()
