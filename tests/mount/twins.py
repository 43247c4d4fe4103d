"""
The coordinator of the model test: workers (model-tool.c) do the same random
operations on a mount and on a native folder, while the coordinator does to the daemon what it likes.

    m = Model(t, mnt, native, seed, workers=4)     # native: made by twin()
    m.go(1000)                                     # each worker, at once
    ...                                            # commit, fork, kill the keeper
    m.wait(); m.compare()
"""
import os
import subprocess

from orchtest import BUILD, Failure

TOOL = os.path.join(BUILD, "tests/mount/model-tool")


def twin(t, source, name):
    """A native copy of source, mounted as workspaces are: nodev, nosuid, noatime."""
    root = t.path(name)
    t.run(["cp", "-a", source, root], timeout=300)
    t.run(["mount", "--bind", root, root])
    t.run(["mount", "-o", "remount,bind,nodev,nosuid,noatime", root])
    return root


class Model:
    def __init__(self, t, mnt, native, seed, workers=4, passthrough=True):
        self.t, self.mnt, self.native, self.seed = t, mnt, native, seed
        self.table = native + ".table"
        t.run([TOOL, "table", self.table, "passthrough" if passthrough else "process"])
        self.steps = [0] * workers
        self.busy = False
        self.workers = [t.start([TOOL, "work", self.table, mnt, native, str(i), str(seed * 100 + i)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE) for i in range(workers)]

    def _send(self, command):
        for w in self.workers:
            w.stdin.write(command.encode() + b"\n")
            w.stdin.flush()

    def _answers(self):
        failures = []
        for i, w in enumerate(self.workers):
            line = w.stdout.readline().decode(errors="replace")
            if line.startswith("ok "):
                self.steps[i] = int(line[3:])
            else:
                failures.append((line, i, w))
        # who only met the lock of a dead one says nothing
        for line, i, w in sorted(failures, key=lambda x: x[0] == ""):
            raise Failure("seed %d worker %d (status %s): %s%s" % (
                self.seed, i, w.poll(), line, w.stdout.read().decode(errors="replace")))

    def go(self, steps):
        self._send("run %d" % steps)
        self.busy = True

    def wait(self):
        if self.busy:
            self.busy = False
            self._answers()

    def _all(self, command):
        self.wait()
        self._send(command)
        self._answers()

    def compare(self):
        """Each worker its part, the first the shared one too."""
        self.wait()
        self._all("compare")

    def flush(self):
        self._all("flush")

    def close(self):
        self._all("close")

    def done(self):
        return sum(self.steps)

    def same_as(self, other, what, kind="compare"):
        """The folder other (a fork, a snapshot) is what the native one is now; nobody may run.
        kind "plain": but for fifos, sockets and devices, which snapshots do not hold."""
        self.flush()
        r = self.t.run([TOOL, kind, self.table, other, self.native], status=None, timeout=600)
        if r.status:
            raise Failure("seed %d after %d operations: %s: %s" % (self.seed, self.done(), what, r.stdout))

    def settle(self, forget=False):
        """Files with times that stores through a mapping may have moved get a time that is not compared.
        forget: there is no mapping any more."""
        self.t.run([TOOL, "forget" if forget else "settle", self.table, self.mnt, self.native], timeout=300)

    def end(self):
        self.close()
        for w in self.workers:
            w.stdin.close()
            w.wait(20)
