"""F15: orch's processes are killed under load."""
from peers import *
from figures import CLASSIC, ORCH, Figure, Goal, Group
from rows import missing, row
from sources import noise_file

missing("F15", "part: (b), (c) a killed mount process is followed by another one: not built yet")


@row("F15", needs="fuse")
def killed_keeper(b):
    source = b.fresh("killed")
    noise_file(source + "/a", 1000)
    ref = b.imported(source)
    mounts = {v: b.workspace(ref, v == ORCH)[1] for v in (ORCH, CLASSIC)}
    plain = b.fresh("plain")

    def load(where, during):
        folder = os.path.join(where, b.name("load"))
        os.mkdir(folder)
        p = b.t.start([sys.executable, "-B", os.path.join(os.path.dirname(__file__), "load.py"), folder, str(b.size("load_seconds"))],
                      stdout=subprocess.PIPE, text=True)
        p.stdout.readline()
        during()
        result = json.loads(p.communicate(timeout=120)[0])
        shutil.rmtree(folder)
        return {"failed": result["failed"], "lost": result["lost"], "longest": result["longest_ms"], "calls": result["calls"]}

    def kill():
        for _ in range(b.size("kills")):
            b.daemon.kill()
            b.daemon.start()
    kills = "%d kills of the keeper under load: " % b.size("kills")
    variants = {NATIVE: lambda: load(plain, lambda: None)}
    variants["orch, not killed"] = lambda: load(mounts[ORCH], lambda: None)
    variants.update({v: lambda v=v: load(mounts[v], kill) for v in mounts})
    yield Group({"failed": Figure(kills + "failed calls", "", (Goal("<=", 0),)),
                 "lost": Figure(kills + "answered and lost", "", (Goal("<=", 0),)),
                 "longest": Figure(kills + "longest call", "ms"),
                 "calls": Figure(kills + "calls", "")}, variants)
