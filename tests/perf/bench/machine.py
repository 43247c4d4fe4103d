"""What the figures were taken on: without it they say nothing."""
import platform

import orchtest
from orchtest import *


def load_average():
    with open("/proc/loadavg") as f:
        return " ".join(f.read().split()[:3])


def _field(path, name):
    with open(path) as f:
        found = re.search(r"^%s\s*:\s*(.*)$" % re.escape(name), f.read(), re.M)
    return found.group(1).strip() if found else "unknown"


def _system():
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return "unknown"


def _commit():
    argv = ["git", "-c", "safe.directory=*", "-C", SRC, "describe", "--always", "--dirty", "--abbrev=10"]
    with contextlib.suppress(OSError):
        out = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
        return " (%s)" % out if out else ""
    return ""


def _build():
    faults = orchtest._config_has("ORCH_FAULT_INJECTION")
    return "CFLAGS %s%s" % (_field_of_makefile("CFLAGS"), ", with points of failure" if faults else "")


def _field_of_makefile(name):
    with contextlib.suppress(OSError):
        with open(os.path.join(BUILD, "Makefile")) as f:
            found = re.search(r"^%s = (.*)$" % name, f.read(), re.M)
            return found.group(1) if found else ""
    return ""


def _libfuse(t):
    checks = t.run(["orch-shim", "doctor", "--json"], status=None).json()["checks"]
    return next((c["found"] for c in checks if c["name"] == "libfuse"), "unknown")


def facts(t):
    """{name: text}, in the order in which they are shown."""
    return {
        "orch": t.run(["orch-shim", "--version"]).stdout.split()[1] + _commit(),
        "build": _build(),
        "system": _system(),
        "kernel": os.uname().release,
        "processors": "%d, %s" % (os.cpu_count(), _field("/proc/cpuinfo", "model name")),
        "memory": "%d MiB" % (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20),
        "libfuse": _libfuse(t),
    }
