"""A first fetch in steps: each brings a part of the history; what breaks loses its own; the end is the same."""
import random

from orchtest import *
from faults import Faults
from gitservers import KILL, GitDaemon, Http, Proxy, Refused, Repo, check_mirror, fetch, git_processes, mirror_of, refused


def branchy(repo, count, seed=1):
    """A history with merges, renames and contents that come back: commits share trees and blobs with others far away."""
    rnd = random.Random(seed)
    contents = [rnd.randbytes(3000) for _ in range(12)]
    out, heads = [], []
    for i in range(1, count + 1):
        out.append(b"commit refs/heads/main\nmark :%d\ncommitter o <o@e> %d +0000\ndata 1\nx\n" % (i, 1700000000 + i))
        if heads:
            parents = [heads[-1]] if rnd.random() < .7 or len(heads) < 4 else [heads[-1], rnd.choice(heads[-4:-1])]
            if rnd.random() < .2 and len(heads) > 5:
                parents = [rnd.choice(heads[-5:])]
            out.append(b"from :%d\n" % parents[0])
            out += [b"merge :%d\n" % x for x in parents[1:]]
        for name in rnd.sample(["a", "b/c", "b/d", "e/f/g", "h"], 2):
            data = rnd.choice(contents) + b"%d" % (i // 7)
            out.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(data), data))
        heads.append(i)
    # nothing is left over: one commit with all ends as its parents
    out.append(b"commit refs/heads/main\nmark :9999\ncommitter o <o@e> 1800000000 +0000\ndata 1\nx\nfrom :%d\n" % heads[-1])
    out += [b"merge :%d\n" % x for x in heads[-6:-1]]
    repo.t.run(["git", "-C", repo.bare, "fast-import", "--quiet", "--force"], input=b"".join(out), timeout=120)
    return repo.t.git(repo.bare, "rev-parse", "main").stdout.strip()


def objects(t, repo):
    out = t.run(["git", "-C", repo, "-c", "safe.directory=*", "rev-list", "--objects", "--all"]).stdout
    return sorted({line.split(" ")[0] for line in out.split("\n")})


@test(needs="git", timeout=300)
def the_end_is_that_of_one_fetch(t):
    for seed in range(int(os.environ.get("ORCH_GIT_HISTORIES", "2"))):
        repo = Repo(t, "r%d" % seed)
        commit = branchy(repo, 80, seed)
        repo.git("fetch", "-q", "origin", "main")
        repo.push("FETCH_HEAD:refs/heads/main", commit + "~3:refs/tags/t", commit + "~5:refs/heads/other")
        with t.daemon(name=str(seed)) as d:
            r = fetch(d, repo.bare, "main", step_commits=4)
            t.eq(r["commit"], commit)
            t.ok(r["steps"] > 5, str(r["steps"]))
            check_mirror(t, d, r["key"])
            t.eq(objects(t, mirror_of(d, r)), objects(t, repo.bare))
            t.eq(fetch(d, repo.bare, commit)["fetched"], False)


@test(needs="git", timeout=300)
def what_broke_lost_its_own_step(t):
    """Through a connection that always breaks after so many bytes, all of it at once never comes; in steps it does."""
    repo = Repo(t)
    commit = repo.grow(120, 4000)
    server = GitDaemon(t, repo.root)
    proxy = Proxy(t, server.port)
    proxy.limit = 350000
    with t.daemon() as d:
        refused(t, "ECONNRESET", "broke", fetch, d, proxy.url(server), "main")
        t.eq([x for x in os.listdir(d.store + "/git/" + os.listdir(d.store + "/git")[0]) if x != "url"], ["repo.git"])
        r = fetch(d, proxy.url(server), "main", step_commits=15)
        t.eq(r["commit"], commit)
        t.eq(proxy.cuts, 3)
        check_mirror(t, d, r["key"])


@test(needs="git", timeout=300)
def the_next_fetch_goes_on_where_one_broke(t):
    repo = Repo(t)
    commit = repo.grow(100, 4000)
    server = GitDaemon(t, repo.root)
    proxy = Proxy(t, server.port)
    with t.daemon() as d:
        stop = threading.Event()

        def cut():
            wait_until(lambda: stop.is_set() or proxy.bytes > 300000, timeout=60, interval=0.001)
            proxy.limit = 0
        x = threading.Thread(target=cut)
        x.start()
        refused(t, "ECONNRESET", "broke", fetch, d, proxy.url(server), "main", step_commits=10)
        stop.set()
        x.join()
        folder = d.store + "/git/" + os.listdir(d.store + "/git")[0]
        t.ok("steps" in os.listdir(folder), str(os.listdir(folder)))
        t.eq(os.path.exists(folder + "/repo.git/packed-refs"), False)
        # a part is no commit of the mirror's
        refused(t, "ECONNRESET", "broke", fetch, d, proxy.url(server), commit)
        proxy.limit, before = None, proxy.bytes
        r = fetch(d, proxy.url(server), "main", step_commits=10)
        t.eq(r["commit"], commit)
        t.ok(proxy.bytes - before < 250000, "%d bytes the second time" % (proxy.bytes - before))
        check_mirror(t, d, r["key"])


@test(needs="git", timeout=300)
def a_branch_that_is_moved_between_steps(t):
    """By force, so that what came first belongs to no branch any more, or forwards."""
    for forced in (False, True):
        repo = Repo(t, "f%d" % forced)
        repo.grow(60, 4000)
        server = GitDaemon(t, repo.root)
        proxy = Proxy(t, server.port)
        with t.daemon(name=str(forced)) as d:
            proxy.limit = 60000
            refused(t, "ECONNRESET", "broke", fetch, d, proxy.url(server, "f%d" % forced), "main", step_commits=20)
            proxy.limit = 90000
            with contextlib.suppress(Refused):
                fetch(d, proxy.url(server, "f%d" % forced), "main", step_commits=10)
            commit = repo.grow(70, 4000, seed="other" if forced else "s")
            proxy.limit = None
            r = fetch(d, proxy.url(server, "f%d" % forced), "main", step_commits=10)
            t.eq(r["commit"], commit)
            check_mirror(t, d, r["key"])


@test(needs="git lighttpd")
def a_server_that_gives_no_parts(t):
    """Plain files over http (the dumb protocol)."""
    repo = Repo(t)
    commit = repo.grow(30)
    t.git(repo.bare, "update-server-info")
    http = Http(t, repo.root)
    with t.daemon() as d:
        r = fetch(d, "http://127.0.0.1:%d/repo.git" % http.port, "main", step_commits=5)
        t.eq(r["commit"], commit)
        check_mirror(t, d, r["key"])


@test(needs="git")
def a_repository_that_is_a_part_itself(t):
    """A shallow clone has no complete history: that is said, each time, and nothing is taken over."""
    repo = Repo(t)
    repo.grow(30)
    shallow = t.path("srv/shallow.git")
    t.run(["git", "clone", "-q", "--bare", "--depth", "5", "file://" + repo.bare, shallow])
    with t.daemon() as d:
        for _ in range(2):
            refused(t, "ECORRUPT|EIO|ENOENT", ".", fetch, d, shallow, "main", step_commits=3)
            folder = d.store + "/git/" + os.listdir(d.store + "/git")[0]
            t.eq(sorted(os.listdir(folder)), ["repo.git", "url"])


@test(needs="git faults", timeout=900)
def killed_in_any_step(t):
    """The worker that takes over is killed at its n-th call; the next fetch ends what was begun, or goes on."""
    faults = Faults(t, "orch-worker")
    kills, limit = 0, int(os.environ.get("ORCH_GIT_KILLS", "6"))
    repo = Repo(t)
    commit = branchy(repo, 12)
    numbers = {"rename": range(1, 6 * limit, 2), "unlink": range(1, 6 * limit, 6), "fsync": range(1, 6 * limit, 4)}
    with t.daemon(env=faults.env) as d:
        for kind, ns in numbers.items():
            for n in ns:
                shutil.rmtree(d.store + "/git", ignore_errors=True)
                faults.arm(kind, n, KILL)
                try:
                    r = fetch(d, repo.bare, "main", step_commits=3)
                except Refused as e:
                    t.match(e.message, "killed by signal 9|it said nothing")
                    kills += 1
                faults.disarm()
                wait_until(lambda: git_processes(d.store + "/git") in ([], [d.process.pid]), what="the end of what the worker started")
                # whatever the mirror says that it has, it has whole: asked by the id alone, before anything else
                r = fetch(d, repo.bare, commit, step_commits=3)
                t.eq(r["commit"], commit, "%s %d" % (kind, n))
                t.run(["git", "-C", mirror_of(d, r), "-c", "safe.directory=*", "rev-list", "--objects", "--quiet", commit])
                fetch(d, repo.bare, "main", step_commits=3)
                check_mirror(t, d, r["key"])
        t.ok(kills > 10, "%d kills" % kills)


main()
