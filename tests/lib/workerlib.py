"""The keeper's part for a test of orch-worker alone: a store of plain folders, tasks, publishing without its checks."""
from orchtest import *
from orchtest import Failure, program

SEED = "9f3c01d2e4b5a697"


class Store:
    """Folders of a store, and the keeper's part: quarantines, publishing (without its checks)."""

    def __init__(self, t, name="store"):
        self.t = t
        self.path = t.dir(name)
        self.count = 0
        for name in ("objects", "packs", "layers", "scan", "tmp"):
            os.mkdir(self.path + "/" + name)

    def open(self, task, quarantine):
        folders = {n: self.path + "/" + n for n in ("objects", "packs", "layers", "scan")}
        folders.update(task.pop("folders", {}))
        fds = {n: os.open(path, os.O_RDONLY | os.O_DIRECTORY) for n, path in folders.items()}
        if task.get("task") != "export":
            fds["quarantine"] = os.open(quarantine, os.O_RDONLY | os.O_DIRECTORY)
        return fds

    def quarantine(self, task):
        self.count += 1
        path = "%s/tmp/%d" % (self.path, self.count)
        os.mkdir(path, 0o700)
        if "user" in task:
            os.chown(path, task["user"]["uid"], task["user"]["gid"])
        return path

    def start(self, task, prefix=(), quarantine=None, env=None):
        """A running worker; its quarantine is p.quarantine. task["folders"]: more descriptors, {name: path}."""
        task = dict(task)
        quarantine = quarantine or self.quarantine(task)
        fds = self.open(task, quarantine)
        task.setdefault("fds", fds)
        if task.get("task") != "export":
            task.setdefault("seed", SEED)
        if prefix:
            env = {"ASAN_OPTIONS": "detect_leaks=0"}  # it can't look for leaks while it is traced
        p = self.t.start(list(prefix) + [program("orch-worker")], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, pass_fds=list(fds.values()))
        for fd in fds.values():
            os.close(fd)
        p.quarantine = quarantine
        p.task = json.dumps(task).encode()
        return p

    def finish(self, p, send=True):
        out, err = p.communicate(p.task if send else None, 60)
        self.t.eq(err, b"")
        lines = [json.loads(line) for line in out.decode().splitlines()]
        self.t.ok(lines, "no line from the worker")
        self.t.eq(p.returncode, 0 if "result" in lines[-1] else 1)
        return lines

    def run(self, task, prefix=()):
        """The result, published."""
        p = self.start(task, prefix)
        self.events = self.finish(p)
        last = self.events.pop()
        if "result" not in last:
            raise Failure("%s: %s" % (task["task"], last))
        self.publish(p.quarantine, last["result"])
        return last["result"]

    def fail(self, task):
        p = self.start(task)
        last = self.finish(p)[-1]
        self.t.ok("error" in last, "it did not fail: %s" % last)
        shutil.rmtree(p.quarantine)
        return last["error"]

    def publish(self, q, result):
        for folder in os.listdir(q):
            if re.fullmatch("[0-9a-f]{2}", folder):
                for o in os.listdir("%s/%s" % (q, folder)):
                    to = "%s/objects/%s/%s" % (self.path, o[:2], o[2:4])
                    os.makedirs(to, exist_ok=True)
                    os.chmod("%s/%s/%s" % (q, folder, o), 0o444)
                    os.rename("%s/%s/%s" % (q, folder, o), to + "/" + o)
        if os.path.exists(q + "/pack"):
            os.chmod(q + "/pack", 0o444)
            os.rename(q + "/pack", "%s/packs/%d" % (self.path, self.count))
        if os.path.exists(q + "/scan"):
            os.chmod(q + "/scan", 0o444)
            os.rename(q + "/scan", "%s/scan/%s" % (self.path, result["scan"]))
        shutil.rmtree(q)


def describe(root):
    """Everything about a tree, as a sorted list; hard links by the first path of the inode."""
    out, first = [], {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        folders.sort()
        for name in [b""] + sorted(files + [f for f in folders if os.path.islink(os.path.join(folder, f))]):
            path = os.path.join(folder, name) if name else folder
            rel = os.path.relpath(path, os.fsencode(root))
            st = os.lstat(path)
            row = [rel, st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns]
            if stat.S_ISLNK(st.st_mode):
                row.append(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                row += [st.st_size, st.st_nlink, first.setdefault(st.st_ino, rel)]
                with open(path, "rb") as f:
                    row.append(hashlib.sha256(f.read()).hexdigest())
            with contextlib.suppress(OSError):
                row.append(sorted((x, os.getxattr(path, x, follow_symlinks=False))
                                  for x in os.listxattr(path, follow_symlinks=False) if x.startswith("user.")))
            out.append(row)
    return sorted(out)
