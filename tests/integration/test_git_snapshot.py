"""Commits as snapshots, from end to end: mirror, import, memo, command line, other users, kills, damage."""
import random

from gitlib import *
from gitlib import FILE, LINK, PROGRAM
from gitservers import Refused
from orchtest import *


def repository(t, commits):
    """A bare repository with branch main; commits: dicts of files. Repo and the ids."""
    r, ids = Repo(t), []
    os.chmod(t.tmp, 0o755)  # other users go to it, too
    for files in commits:
        ids.append(r.commit_files(files, ids[-1:]))
    r.git("update-ref", "refs/heads/main", ids[-1])
    return r, ids


def call(d, path, body, timeout=120):
    """A streaming request: the result with the events before it; Refused otherwise."""
    lines = [json.loads(line) for line in d.http("POST", path, body, timeout=timeout).body.decode().strip().split("\n")]
    if "error" in lines[-1]:
        raise Refused(lines[-1]["error"])
    return dict(lines[-1].get("result", lines[-1]), events=lines[:-1])


def import_git(d, repo, rev, **more):
    return call(d, "/v1/snapshots/git", dict({"url": repo.path, "rev": rev}, **more))


def export(t, d, what):
    path = t.dir() + "/out"
    d.shim("snapshot", "export", what, path)
    return path


def refused(t, code, pattern, f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except Refused as e:
        t.eq((e.code, bool(re.search(pattern, e.message))), (code, True))
        return e
    raise Failure("not refused")


def memos(d):
    """Names of the tables of all memos."""
    out, root = [], d.store + "/git"
    for key in os.listdir(root):
        if os.path.isdir(os.path.join(root, key, "memo")):
            out += os.listdir(os.path.join(root, key, "memo"))
    return sorted(out)


@test(needs="git")
def the_command_line_imports_a_commit(t):
    r, ids = repository(t, [{"a": b"1", "d/b": b"2"}, {"a": b"1", "d/b": b"3", "d/p": (PROGRAM, b"#!\n"), "l": (LINK, b"a")}])
    with t.daemon() as d:
        first = d.shim("snapshot", "import", "--git", r.path, "--commit", ids[0], "--ref", "main").stdout.strip()
        same_content(t, export(t, d, "main"), r.checkout(ids[0], "c0"))
        old = os.path.relpath(r.path, t.tmp)
        done = d.shim("snapshot", "import", "--git", old, "--commit", "main", "--ref", "main", "--json", cwd=t.tmp).json()
        t.eq((done["commit"], done["ref"], done["read_files"], done["new"]), (ids[1], "main", 2, True))
        t.eq(done["url"].startswith("file://"), True)
        same_content(t, export(t, d, "main"), r.checkout(ids[1], "c1"))
        shown = d.shim("snapshot", "show", "main", "--json").json()
        t.eq(json.loads(shown["source"]), {"kind": "git", "url": done["url"], "commit": ids[1], "tree": done["tree"]})
        t.eq(shown["parent"], first)
        t.eq(d.shim("snapshot", "import", "--git", r.path, "--commit", ids[1], "--parent", "main").stdout.strip(), done["id"])
        part = d.shim("snapshot", "import", "--git", r.path, "--commit", ids[1], "--include", "d/", "--exclude", "p").stdout.strip()
        t.eq(sorted(content(export(t, d, part))), [b"d", b"d/b"])
        for argv, words in ((["--git", r.path], "--commit"), (["--git", r.path, "--commit", "main", t.tmp], "no folder"), ([], "must be named"),
                            (["--commit", "main"], "must be named")):
            p = d.shim("snapshot", "import", *argv, status=2)
            t.ok(words in p.stderr, p.stderr)
        p = d.shim("snapshot", "import", "--git", r.path, "--commit", "nope", status=1)
        t.ok("nope" in p.stderr, p.stderr)


@test(needs="git")
def what_is_known_costs_nothing(t):
    rnd = random.Random(3)
    files = {"d%d/f%d" % (n % 10, n): b"%d" % n for n in range(100)}
    commits = []
    for _ in range(14):
        files = dict(files, **{"d%d/f%d" % (k % 10, k): rnd.randbytes(20) for k in rnd.sample(range(100), 3)})
        commits.append(files)
    r, ids = repository(t, commits)
    with t.daemon() as d:
        made = [import_git(d, r, i, ref="main") for i in ids]
        t.eq([m["read_files"] for m in made[1:]], [3] * 13)
        t.ok(all(2 <= m["read_trees"] <= 4 for m in made[1:]), made)
        t.eq([m["fetched"] for m in made], [True] + [False] * 13)
        t.ok(len(memos(d)) <= 8, memos(d))
        again = [import_git(d, r, i, ref="main", parent=m["id"]) for i, m in zip(ids, made)]
        t.eq([(m["read_files"], m["read_trees"], m["id"], m["new"]) for m in again], [(0, 0, m["id"], False) for m in made])
        d.restart()
        t.eq(import_git(d, r, ids[5])["read_trees"], 0)
        t.eq(call(d, "/v1/store/verify", {})["bad"], [])


@test(needs="git root")
def each_user_has_a_memo_of_his_own(t):
    r, ids = repository(t, [{"a": b"1", "d/b": b"2"}, {"a": b"1", "d/b": b"2", "c": b"3"}])
    with t.daemon() as d:
        os.chmod(os.path.dirname(d.socket), 0o755)
        os.chmod(d.socket, 0o666)

        def as_nobody(rev):
            out = t.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-sS", "--unix-socket", d.socket,
                         "-d", json.dumps({"url": r.path, "rev": rev}), "http://orch/v1/snapshots/git"], timeout=120).stdout
            last = json.loads(out.strip().split("\n")[-1])
            t.ok("result" in last, last)
            return last["result"]
        mine = import_git(d, r, ids[0])
        theirs = as_nobody(ids[0])
        t.eq((theirs["id"], theirs["read_files"], theirs["new_objects"]), (mine["id"], 2, 0))
        t.eq((as_nobody(ids[0])["read_files"], as_nobody(ids[1])["read_files"]), (0, 1))
        t.eq(sorted(memos(d)), ["0.1", "65534.1", "65534.2"])


@test(needs="git")
def a_commit_that_is_there_costs_one_look(t):
    r, ids = repository(t, [{"a": b"1", "d/b": b"2"}, {"a": b"3"}])
    with t.daemon() as d:
        made = import_git(d, r, ids[0], ref="main")
        repo = [d.store + "/git/" + k + "/repo.git" for k in os.listdir(d.store + "/git")][0]
        os.rename(repo, d.store + "/tmp/away")  # nothing of the repository is needed
        again = import_git(d, r, ids[0], ref="main")
        t.eq(again, dict({k: v for k, v in made.items() if k != "lfs_files"}, fetched=False, new=False, read_files=0, read_bytes=0, read_trees=0,
                         hashed_files=0, hashed_bytes=0, new_objects=0, new_bytes=0, events=[]))
        t.eq(import_git(d, r, ids[0].upper(), ref="main", expect=made["id"])["id"], made["id"])
        os.rename(d.store + "/tmp/away", repo)
        refused(t, "ECONFLICT", "main", import_git, d, r, ids[0], ref="main", expect=ids[0] + "0" * 24)
        # all else goes the long way
        t.eq(import_git(d, r, ids[1], ref="main")["commit"], ids[1])
        part = import_git(d, r, ids[1], ref="main", include=["/a"])
        source = json.loads(d.shim("snapshot", "show", "main", "--json").json()["source"])
        t.eq((source["commit"], len(source["sparse"])), (ids[1], 64))
        whole = import_git(d, r, ids[1], ref="main")
        t.ok(part["id"] != whole["id"] and whole["new"] is False, (part, whole))
        other = Repo(t)
        other.git("update-ref", "refs/heads/main", other.commit_files({"x": b"1"}))
        refused(t, "ENOENT", ids[1][:12], import_git, d, other, ids[1], ref="main")


@test(needs="git")
def what_was_lost_comes_back_after_a_repair(t):
    r, ids = repository(t, [{"a": b"1", "d/b": b"2"}])
    with t.daemon() as d:
        d.allow_errors("")
        made = import_git(d, r, ids[0], ref="main")
        name = hashlib.sha256(b"2").hexdigest()
        path = "%s/objects/%s/%s/%s" % (d.store, name[:2], name[2:4], name)
        os.unlink(path)
        t.eq(import_git(d, r, ids[0])["read_files"], 0)  # nobody looks into a folder that is known
        t.ok(call(d, "/v1/store/verify", {})["bad"])
        t.eq(len(memos(d)), 1)
        call(d, "/v1/store/verify", {"repair": True})
        t.eq(memos(d), [])
        again = import_git(d, r, ids[0], ref="main")  # the ref has it already, and yet
        t.eq((again["id"], again["read_files"], again["new_objects"]), (made["id"], 2, 1))
        t.eq(call(d, "/v1/store/verify", {})["bad"], [])
        # a damaged table is told and removed
        table = [os.path.join(root, f) for root, _, fs in os.walk(d.store + "/git") for f in fs if root.endswith("/memo")][0]
        os.chmod(table, 0o644)
        with open(table, "r+b") as f:
            f.seek(50)
            f.write(b"\xff")
        t.eq(import_git(d, r, ids[0])["read_files"], 2)
        t.eq([(b["kind"], b["repaired"]) for b in call(d, "/v1/store/verify", {"repair": True})["bad"]], [("memo", True)])


@test(needs="git")
def a_damaged_mirror_is_named(t):
    r, ids = repository(t, [{"a/b": os.urandom(20000)}])
    with t.daemon() as d:
        call(d, "/v1/git/fetch", {"url": r.path, "rev": "main"})
        pack = [os.path.join(root, f) for root, _, fs in os.walk(d.store + "/git") for f in fs if f.endswith(".pack")][0]
        os.chmod(pack, 0o644)
        with open(pack, "r+b") as f:
            f.seek(os.path.getsize(pack) // 2)
            f.write(bytes(100))
        e = refused(t, "ECORRUPT", "a/b: blob [0-9a-f]{40} can't be read", import_git, d, r, ids[0])
        t.ok("commit %s of file://" % ids[0][:12] in e.message, e.message)
        t.eq(os.listdir(d.store + "/tmp"), [])


@test(needs="git")
def the_ref_and_the_lineage_are_kept(t):
    r, ids = repository(t, [{"a": b"1"}, {"a": b"2"}, {"a": b"3"}])
    with t.daemon() as d:
        one = import_git(d, r, ids[0], ref="main", record={"who": "me"})
        refused(t, "ECONFLICT", "main", import_git, d, r, ids[1], ref="main", expect="")
        two = import_git(d, r, ids[1], ref="main", expect=one["id"])
        t.eq(d.shim("snapshot", "show", "main", "--json").json()["id"], two["id"])
        three = import_git(d, r, ids[2], parent=one["id"])
        t.eq(d.shim("snapshot", "show", three["id"], "--json").json()["parent"], one["id"])
        t.eq(d.shim("snapshot", "show", one["id"], "--json").json()["record"], {"who": "me"})
        refused(t, "ENOENT", "parent", import_git, d, r, ids[2], parent="nothing")
        for body in ({"include": "x"}, {"exclude": [1]}, {"moon": 1}, {"env": {"PATH": "x"}}):
            refused(t, "EUSAGE", list(body)[0], import_git, d, r, ids[2], **body)


@test(needs="git", timeout=600)
def killed_anywhere_it_is_there_or_not(t):
    """Keeper and worker are killed at random points of an import; then nothing half-made is seen, and the next one makes the same."""
    rnd = random.Random(int(os.environ.get("ORCH_TEST_SEED", "7")))
    r, ids = repository(t, [{"d%d/f%d" % (n % 30, n): rnd.randbytes(1500) for n in range(400)}])
    with t.daemon(args=["--log-level", "info"]) as d:
        d.allow_errors("")
        call(d, "/v1/git/fetch", {"url": r.path, "rev": "main"})
        begun = time.monotonic()
        want = import_git(d, r, ids[0], ref="first")["id"]
        whole = time.monotonic() - begun
        killed = 0
        for n in range(int(os.environ.get("ORCH_TEST_KILLS", "8"))):
            d.stop()
            for name in ("objects", "packs", "db", "refs"):
                shutil.rmtree(d.store + "/" + name, ignore_errors=True)
            if os.path.exists(d.store + "/refs"):
                os.unlink(d.store + "/refs")
            for root, _, _ in list(os.walk(d.store + "/git")):
                if root.endswith("/memo"):
                    shutil.rmtree(root)
            d.start()
            victims = ["orch-fsd"] if n % 2 else ["orch-worker"]
            done = []

            def go():
                with contextlib.suppress(Exception):
                    done.append(import_git(d, r, ids[0], ref="main"))
            th = threading.Thread(target=go)
            th.start()
            time.sleep(rnd.random() * whole)
            for pid in d.pids(victims[0]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            th.join(60)
            killed += not done
            if n % 2:
                d.kill()
                d.start()
            wait_until(lambda: not d.pids("orch-worker"), what="the worker's end")
            status = d.http("GET", "/v1/refs/main").status
            t.ok(status == (200 if done else 404) or n % 2, "%s %s" % (status, done))
            if status == 200:
                t.eq(d.shim("snapshot", "show", "main", "--json").json()["id"], want)
            t.eq(call(d, "/v1/store/verify", {})["bad"], [])
            t.eq(import_git(d, r, ids[0], ref="main")["id"], want)
            t.eq(os.listdir(d.store + "/tmp"), [])
            same_content(t, export(t, d, "main"), r.checkout(ids[0], "k%d" % n))
        print("# %d killed" % killed)


main()
