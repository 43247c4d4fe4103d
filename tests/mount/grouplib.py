"""A control group of a test's own, that is a job of a workspace."""
from keeper_api import read
from orchtest import *

FREEZERS = {"cgroup.freeze": ("0", "cgroup.events", r"^frozen 1$"),
            "freezer.state": ("THAWED", "freezer.state", r"^FROZEN$")}


class Group:
    """A control group of the test's own that can be frozen."""

    def __init__(self, t, name):
        for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"):
            self.path = "%s/orch.test.%d.%s" % (place, os.getpid(), name)
            with contextlib.suppress(OSError):
                os.mkdir(self.path)
                found = [x for x in FREEZERS if os.path.exists(self.path + "/" + x)]
                if found:
                    break
                os.rmdir(self.path)
        self.file = found[0]
        t.finally_(self.remove)

    def add(self, pid):
        with open(self.path + "/cgroup.procs", "w") as f:
            f.write(str(pid))

    def state(self):
        return read(self.path + "/" + FREEZERS[self.file][1])

    def frozen(self):
        return re.search(FREEZERS[self.file][2], self.state(), re.M) is not None

    def freezing(self):
        """It is to be frozen, whether all stand still by now or not."""
        if self.file == "cgroup.freeze":
            return read(self.path + "/cgroup.freeze").strip() == "1"
        return self.state().strip() != "THAWED"

    def remove(self):
        with open(self.path + "/" + self.file, "w") as f:
            f.write(FREEZERS[self.file][0])
        for pid in read(self.path + "/cgroup.procs").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

        def gone():
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
            return not os.path.exists(self.path)
        wait_until(gone, what="the end of the group")
