#!/usr/bin/env python3
"""A virtual environment of Python in a workspace, without a network: pip comes with Debian's ensurepip."""
import base64
import zipfile

from programslib import *

orchtest.FEATURES["venv"] = lambda: None if orchtest._can_run(PYTHON, "-c", "import ensurepip, venv") else "no package python3-venv"
MODULES = 400
PIP = ["env/bin/python", "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]


def wheel(work, name, version, needs=()):
    """A wheel with many modules and a program; its path below the workspace."""
    dist = "%s-%s.dist-info" % (name, version)
    files = {"%s/__init__.py" % name: "VERSION = %r\n\ndef main():\n    print(%r, VERSION)\n" % (version, name),
             dist + "/METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)
             + "".join("Requires-Dist: %s\n" % x for x in needs),
             dist + "/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
             dist + "/entry_points.txt": "[console_scripts]\n%s-tool = %s:main\n" % (name, name)}
    for i in range(MODULES):
        files["%s/sub%d/m%d.py" % (name, i % 20, i)] = "X = %d\n" % i
    record = ["%s,sha256=%s,%d" % (path, base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("="), len(text))
              for path, text in files.items()]
    files[dist + "/RECORD"] = "\n".join(record + [dist + "/RECORD,,", ""])
    path = "%s-%s-py3-none-any.whl" % (name, version)
    with work.as_user(), zipfile.ZipFile(os.path.join(work.path, path), "w") as z:
        for inside, text in files.items():
            z.writestr(inside, text)
    return path


# What pip has installed is as its records say, byte for byte.
RECORDS = r"""
import base64, hashlib, importlib.metadata as m
count = 0
for d in m.distributions():
    for f in d.files:
        if f.hash:
            got = base64.urlsafe_b64encode(hashlib.new(f.hash.mode, f.locate().read_bytes()).digest()).decode().rstrip("=")
            assert got == f.hash.value, f
            count += 1
print(count)
"""


def pip(work, *args):
    return work.run(PIP + list(args), env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": work.path}).stdout


def versions(work):
    return {x["name"]: x["version"] for x in json.loads(pip(work, "list", "--format=json"))}


def sound(work, version):
    t = work.t
    t.eq({k: v for k, v in versions(work).items() if k in ("red", "blue")}, {"red": version, "blue": "1.0"})
    t.ok(int(work.run(["env/bin/python", "-c", RECORDS]).stdout) > 2 * MODULES)
    t.match(pip(work, "check"), "No broken requirements")
    t.eq(work.run(["env/bin/red-tool"]).stdout, "red %s\n" % version)
    code = "import sys, pip, blue, importlib; print(sys.prefix); print(sum(importlib.import_module('red.sub%d.m%d' % (i % 20, i)).X for i in range(" + str(MODULES) + ")))"
    t.eq(work.run(["env/bin/python", "-c", code]).stdout, "%s/env\n%d\n" % (work.path, sum(range(MODULES))))


@program(needs="venv")
def a_virtual_environment_works(work):
    t = work.t
    wheel(work, "blue", "1.0")
    wheel(work, "red", "1.0", needs=["blue>=1"])
    with work.step("python3 -m venv"):
        work.run([PYTHON, "-m", "venv", "env"])
    with work.step("pip install"):
        pip(work, "install", "red==1.0")
    sound(work, "1.0")
    work.move_on()
    with work.step("pip list, import"):
        sound(work, "1.0")
    # What was compiled is still that of the sources, by their times: nothing is compiled again.
    cached = "env/lib/python3*/site-packages/red/__pycache__"
    before = work.run(["sh", "-c", "stat -c '%n %Y' " + cached + "/*"]).stdout
    sound(work, "1.0")
    t.eq(work.run(["sh", "-c", "stat -c '%n %Y' " + cached + "/*"]).stdout, before)
    wheel(work, "red", "2.0", needs=["blue>=1"])
    with work.step("pip install --upgrade"):
        pip(work, "install", "--upgrade", "red")
    sound(work, "2.0")
    pip(work, "uninstall", "-y", "red", "blue")
    t.eq([x for x in versions(work) if x in ("red", "blue")], [])
    work.run(["sh", "-c", "! ls env/bin env/lib/python3*/site-packages | grep -E '^(red|blue)'"])


main()
