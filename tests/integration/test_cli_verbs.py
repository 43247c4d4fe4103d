"""The commands that need a daemon and no mount."""
from orchtest import *


@test
def a_folder_goes_in_and_comes_out(t):
    source = t.tree({"a": "one", "d/b": b"two", "link": ("->", "a"), "x.o": "no", ".orchignore": "*.tmp\n", "y.tmp": "no"})
    with t.daemon() as d:
        id_ = d.shim("snapshot", "import", source, "--ref", "main", "--exclude", "*.o").stdout.strip()
        t.match(id_, "^[0-9a-f]{64}$")
        t.match(d.shim("snapshot", "list").stdout, "^%s .* main$" % id_[:12])
        t.match(d.shim("snapshot", "show", "main").stdout, "^id +" + id_)
        shown = json.loads(d.shim("snapshot", "show", id_[:12], "--json").stdout)
        t.eq((shown["id"], shown["refs"]), (id_, ["main"]))
        d.shim("snapshot", "export", "main", t.path("out"))
        t.eq(sorted(os.listdir(t.path("out"))), [".orchignore", "a", "d", "link"])
        t.eq(open(t.path("out/d/b"), "rb").read(), b"two")
        r = d.shim("snapshot", "export", "main", t.path("out"), status=1)
        t.match(r.stderr, "out")
        t.match(d.shim("snapshot", "import", t.path("absent"), "--ref", "x", status=2).stderr, "absent: No such file")
        t.match(d.shim("snapshot", "import", source + "/a", "--ref", "x", status=2).stderr, "a: Not a directory")


@test
def two_snapshots_are_compared(t):
    source = t.tree({"a": "one", "b": "two"})
    with t.daemon() as d:
        d.shim("snapshot", "import", source, "--ref", "one")
        t.tree({"a": "three", "c": "new"}, at=source)
        os.unlink(source + "/b")
        d.shim("snapshot", "import", source, "--ref", "two", "--parent", "one")
        t.eq(sorted(d.shim("snapshot", "diff", "one", "two").stdout.split("\n")), ["", "A c", "D b", "M a"])
        doc = json.loads(d.shim("snapshot", "diff", "one", "two", "--json").stdout)
        t.eq({c["path"]: c["change"] for c in doc["changes"]}, {"a": "modified", "b": "removed", "c": "added"})


@test
def refs_move_only_as_expected(t):
    source = t.tree({"a": "one"})
    with t.daemon() as d:
        one = d.shim("snapshot", "import", source, "--ref", "one").stdout.strip()
        t.tree({"a": "two"}, at=source)
        two = d.shim("snapshot", "import", source, "--ref", "two").stdout.strip()
        d.shim("ref", "set", "r/x", "one", "--expect", "")
        t.match(d.shim("ref", "set", "r/x", "two", "--expect", "", status=1).stderr, "r/x")
        t.match(d.shim("ref", "set", "r/x", "two", "--expect", two, status=1).stderr, "r/x")
        said = d.shim("ref", "set", "r/x", "two", "--expect", "zzz", status=2).stderr
        t.ok("'expect'" not in said and "nor a snapshot's id" in said, said)
        d.shim("ref", "set", "r/x", two, "--expect", one)
        refs = {r["name"]: r["id"] for r in json.loads(d.shim("ref", "list", "--json").stdout)["refs"]}
        t.eq(refs, {"one": one, "two": two, "r/x": two})
        t.match(d.shim("snapshot", "remove", one, status=1).stderr, "one|names|ref")
        d.shim("ref", "remove", "one")
        d.shim("snapshot", "remove", one)
        t.match(d.shim("snapshot", "show", one, status=1).stderr, one[:8])


@test
def the_store_and_the_daemon_tell_of_themselves(t):
    with t.daemon() as d:
        d.shim("snapshot", "import", t.tree({"a": "x" * 100000}), "--ref", "main")
        stat = json.loads(d.shim("store", "stat", "--json").stdout)
        t.eq((stat["snapshots"], stat["refs"], stat["path"]), (1, 1, d.store))
        t.match(d.shim("store", "stat").stdout, "^object_bytes +97.7 KiB$")
        d.shim("store", "verify")
        t.eq(json.loads(d.shim("daemon", "status", "--json").stdout)["pid"], d.process.pid)


@test
def daemon_stop_waits_for_its_end(t):
    d = t.daemon().start()
    pid = d.process.pid
    threading.Thread(target=d.process.wait, daemon=True).start()
    d.shim("daemon", "stop")
    t.ok(not os.path.exists("/proc/%d" % pid) or open("/proc/%d/stat" % pid).read().split()[2] == "Z")
    t.match(d.shim("daemon", "stop", status=3).stderr, "no daemon answers")


@test
def an_upgrade_is_over_when_the_command_is(t):
    with t.daemon() as d:
        d.shim("snapshot", "import", t.tree({"a": "x"}), "--ref", "main")
        before = json.loads(d.shim("daemon", "status", "--json").stdout)
        after = json.loads(d.shim("daemon", "upgrade", "--json").stdout)
        t.eq(after["pid"], before["pid"])
        t.ok(after["started"] != before["started"])
        t.match(d.shim("ref", "list").stdout, "^main ")


@test
def a_broken_object_is_found(t):
    with t.daemon() as d:
        d.allow_errors(".*")
        source = t.tree({"a": "x" * 100000})
        d.shim("snapshot", "import", source, "--ref", "main")
        objects = [os.path.join(f, n) for f, _, names in os.walk(d.store + "/objects") for n in names]
        t.eq(len(objects), 1)
        os.chmod(objects[0], 0o644)
        with open(objects[0], "r+b") as f:
            f.write(b"y")
        r = d.shim("store", "verify", status=1)
        name = os.path.basename(objects[0])
        t.match(r.stderr, name[:16])
        t.match(r.stderr, "next: orch-shim store verify --repair")
        r = d.shim("store", "verify", "--repair", status=1)
        lines = r.stderr.splitlines()
        t.eq(len([x for x in lines if "object " + name + ": " in x]), 1, r.stderr)
        t.match(r.stderr, "object %s: its SHA-256 is not its name .repaired." % name)
        t.match(r.stderr, "snapshot [0-9a-f]{64}: .*a: object %s is missing .not repaired." % name)
        t.match(r.stderr, "1 repaired, [0-9]+ not")
        t.match(r.stderr, "next: import the sources .*orch-shim snapshot remove")
        d.shim("snapshot", "import", source, "--ref", "main")
        d.shim("store", "verify")
        os.chmod(objects[0], 0o644)
        t.match(d.shim("store", "verify", "--repair").stderr, r"its mode is not 0444 .repaired.\n.*: 1 bad, 1 repaired, 0 not")


@test(needs="root")
def a_full_disk_has_a_next_step(t):
    disk = t.dir("disk")
    t.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk])
    t.finally_(lambda: subprocess.run(["umount", "-l", disk], check=False))
    source = t.tree({"a": os.urandom(24 << 20)})
    with t.daemon(["--store", disk + "/store"]) as d:
        d.allow_errors(".*")
        said = d.shim("snapshot", "import", source, "--ref", "main", status=3).stderr
        t.match(said, "No space left on device")
        t.match(said, "next: free space .*orch-shim store stat.*workspace drop")


main()
