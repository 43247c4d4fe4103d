"""
What orch is compared with. File systems over the same folder: native (the folder itself), the kernel's overlayfs,
fuse-overlayfs, libfuse's passthrough_hp (built by scripts/bootstrap --bench). Programs: tar and zstd, cp, rsync, git.
"""
import orchtest
from orchtest import *

PASSTHROUGH_HP = os.path.join(SRC, "build-deps/bench/passthrough_hp")

NATIVE = "native"
OVERLAY = "overlayfs"
FUSE_OVERLAY = "fuse-overlayfs"
PEER_HP = "passthrough_hp"


def command(*argv, **kwargs):
    kwargs.setdefault("stdout", subprocess.DEVNULL)
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, **kwargs)


def seconds(function, *args, **kwargs):
    begin = time.monotonic()
    function(*args, **kwargs)
    return time.monotonic() - begin


def timed(*argv, **kwargs):
    return seconds(command, *argv, **kwargs)


# ---- file systems

def _overlay_folders(bench):
    base = bench.fresh("overlay")
    for part in "upper", "work", "merged":
        os.mkdir(os.path.join(base, part))
    return base


def _overlay_options(lower, base):
    return "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (lower, base, base)


def overlay(bench, lower):
    base = _overlay_folders(bench)
    command("mount", "-t", "overlay", "overlay", "-o", _overlay_options(lower, base), base + "/merged")
    bench.undo(command, "umount", "-l", base + "/merged")
    return base + "/merged"


def _served(bench, argv, mountpoint):
    """Starts a FUSE server in the foreground; returns when its mount is there."""
    process = bench.t.start(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bench.undo(process.wait, 20)
    bench.undo(command, "umount", "-l", mountpoint)
    wait_until(lambda: os.path.ismount(mountpoint) or process.poll() is not None, what=argv[0])
    if process.poll() is not None:
        raise Failure("%s ended with status %d" % (argv[0], process.returncode))
    return mountpoint


def fuse_overlay(bench, lower):
    base = _overlay_folders(bench)
    return _served(bench, ["fuse-overlayfs", "-f", "-o", _overlay_options(lower, base), base + "/merged"], base + "/merged")


def passthrough_hp(bench, source):
    """Its own folder for what is written, on the same file system; the kernel checks permissions, as with the others."""
    mountpoint = bench.fresh("hp")
    return _served(bench, [PASSTHROUGH_HP, "--foreground", "-o", "default_permissions", source, mountpoint], mountpoint)


_FILE_SYSTEMS = {
    NATIVE: lambda bench, folder: folder,
    OVERLAY: overlay,
    FUSE_OVERLAY: fuse_overlay,
    PEER_HP: passthrough_hp,
}

_LACKING = {
    FUSE_OVERLAY: orchtest._tool("fuse-overlayfs"),
    PEER_HP: lambda: None if os.access(PASSTHROUGH_HP, os.X_OK) else "not built, see build-deps/bootstrap.log",
}


def lacking(peer):
    """Why this machine lacks the peer, or None."""
    return _LACKING.get(peer, lambda: None)()


def file_system(bench, peer, folder):
    """The peer over the folder: the path to use."""
    return _FILE_SYSTEMS[peer](bench, folder)


# ---- programs

def tar_pack(source, archive):
    return timed("sh", "-c", 'tar -C "$1" -c . | zstd -q -f -3 -T0 -o "$2"', "sh", source, archive)


def tar_round(source, scratch):
    """What a CI cache does: into a file, and out of it again."""
    archive, out = scratch + "/a.tar.zst", scratch + "/out"
    os.mkdir(out)
    took = tar_pack(source, archive)
    took += timed("sh", "-c", 'zstd -q -dc "$1" | tar -C "$2" -x', "sh", archive, out)
    shutil.rmtree(out)
    os.unlink(archive)
    return took


def copied(tool, source, scratch):
    """cp -a or rsync -a of the whole folder into a new one."""
    out = scratch + "/out"
    took = timed(tool, "-a", source + "/.", out)
    shutil.rmtree(out)
    return took
