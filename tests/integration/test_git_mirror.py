"""The mirror of a Git repository, from a path: revisions, refs, taking over, kills, hostile content."""
import zlib

from orchtest import *
from orchtest import program
from faults import Faults
from gitservers import KILL, GitDaemon, Proxy, Refused, Repo, check_mirror, connections, fetch, git_processes, mirror_of, refused


def refs_of(t, mirror):
    out = t.run(["git", "-C", mirror, "-c", "safe.directory=*", "for-each-ref", "--format=%(refname) %(objectname)"]).stdout
    return dict(line.split(" ") for line in out.strip().split("\n"))


@test(needs="git")
def every_form_of_a_revision_names_its_commit(t):
    repo = Repo(t)
    first = repo.commit({"a": "1"})
    repo.git("tag", "-a", "v1", "-m", "tag")
    second = repo.commit({"a": "2"})
    repo.push("HEAD:refs/heads/main", "v1", first + ":refs/heads/feature/x", second + ":refs/pull/7/head", second + ":refs/merge-requests/3/head")
    tag, tree = repo.git("rev-parse", "v1"), repo.git("rev-parse", "HEAD^{tree}")
    blob = repo.git("rev-parse", "HEAD:a")
    with t.daemon() as d:
        def get(rev):
            return fetch(d, repo.bare, rev)
        r = get("main")
        t.eq((r["commit"], r["fetched"], r["steps"], r["packs"]), (second, True, 2, 2))
        t.eq(r["url"], "file://" + repo.bare[:-4])
        for rev, commit in (("v1", first), ("feature/x", first), ("HEAD", second), ("refs/heads/main", second),
                            ("refs/tags/v1", first), ("refs/pull/7/head", second), ("refs/merge-requests/3/head", second)):
            t.eq(get(rev)["commit"], commit, rev)
        # what the mirror has costs no network: the repository may be gone
        os.rename(repo.bare, repo.bare + ".away")
        os.symlink(repo.bare + ".nowhere", repo.bare)
        os.unlink(repo.bare)
        os.mkdir(repo.bare)
        for rev, commit in ((first, first), (second.upper(), second), (second[:7], second), (first[:12], first), (tag, first)):
            r = get(rev)
            t.eq((r["commit"], r["fetched"], r["steps"]), (commit, False, 0), rev)
        refused(t, "ENOENT", "no repository", get, "main")
        refused(t, "EUSAGE", "is a tree, not a commit", get, tree)
        refused(t, "EUSAGE", "is a blob, not a commit", get, blob)
        os.rmdir(repo.bare)
        os.rename(repo.bare + ".away", repo.bare)
        refused(t, "ENOENT", "neither a branch nor a tag nope", get, "nope")
        refused(t, "ENOENT", "no such ref", get, "refs/pull/8/head")
        refused(t, "ENOENT", "does not have that commit|gives nothing else", get, "1" * 40)
        refused(t, "ENOENT", "named abcdef1", get, "abcdef1")
        refused(t, "EOPNOTSUPP", "SHA-256", get, "1" * 64)
        for rev in ("-x", "a..b", "refs/orch/head", "main~1", "x:y", "", "--upload-pack=x"):
            refused(t, "EUSAGE", ".", get, rev)
        for url in ("ext::sh -c true", "fd::3", "-x", "relative", "ftp://h/x", "http://h", "ssh://-oProxyCommand=x/y"):
            refused(t, "EUSAGE", "URL", fetch, d, url, "main")
        check_mirror(t, d, r["key"])
        refs = refs_of(t, mirror_of(d, r))
        t.eq(refs["refs/pull/7/head"], second)
        t.eq(refs["refs/orch/head"], second)


@test(needs="git")
def names_that_mean_two_commits_are_refused(t):
    repo = Repo(t)
    first = repo.commit({"a": "1"})
    second = repo.commit({"a": "2"})
    repo.push("HEAD:refs/heads/main", first + ":refs/tags/both", second + ":refs/heads/both",
              second + ":refs/heads/same", second + ":refs/tags/same")
    with t.daemon() as d:
        refused(t, "ENOTUNIQ", "'both' can mean", fetch, d, repo.bare, "both")
        t.eq(fetch(d, repo.bare, "refs/tags/both")["commit"], first)
        t.eq(fetch(d, repo.bare, "refs/heads/both")["commit"], second)
        t.eq(fetch(d, repo.bare, "same")["commit"], second)
        # a branch that looks like the beginning of another commit's id
        repo.push(first + ":refs/heads/" + second[:9])
        fetch(d, repo.bare, "main")
        refused(t, "ENOTUNIQ", "can mean", fetch, d, repo.bare, second[:9])
        t.eq(fetch(d, repo.bare, second[:10])["commit"], second)


@test(needs="git")
def an_abbreviation_of_several_commits_is_refused(t):
    """Commits are made until two ids begin with the same seven digits: by hand, some 20,000 hashes."""
    repo = Repo(t)
    repo.commit()
    tree = repo.git("rev-parse", "HEAD^{tree}")
    seen, pair, n = {}, None, 0
    while not pair:
        text = b"tree %s\ncommitter o <o@e> %d +0000\nauthor" % (tree.encode(), n)
        text = b"tree %s\nauthor o <o@e> %d +0000\ncommitter o <o@e> %d +0000\n\nx\n" % (tree.encode(), n, n)
        sha = hashlib.sha1(b"commit %d\0" % len(text) + text).hexdigest()
        if sha[:7] in seen:
            pair = (seen[sha[:7]], text)
        seen[sha[:7]] = text
        n += 1
    ids = [t.run(["git", "-C", repo.bare, "hash-object", "-t", "commit", "-w", "--stdin"], input=x).stdout.strip() for x in pair]
    t.eq(ids[0][:7], ids[1][:7])
    repo.push()
    for i, x in enumerate(ids):
        t.git(repo.bare, "update-ref", "refs/heads/c%d" % i, x)
    with t.daemon() as d:
        e = refused(t, "ENOTUNIQ", "can mean", fetch, d, repo.bare, ids[0][:7])
        t.ok(ids[0][:12] in e.message and ids[1][:12] in e.message)
        t.eq(fetch(d, repo.bare, ids[1][:20])["commit"], ids[1])


@test(needs="git")
def refs_follow_the_repository(t):
    """Moved by force, removed, a folder where a branch was and back."""
    repo = Repo(t)
    old = repo.commit({"a": "1"})
    repo.push("HEAD:refs/heads/main", "HEAD:refs/heads/x", "HEAD:refs/heads/dir/y", "HEAD:refs/tags/t")
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        repo.git("commit", "-q", "--amend", "-m", "other")
        new = repo.git("rev-parse", "HEAD")
        repo.push("HEAD:refs/heads/main", ":refs/heads/x", ":refs/heads/dir/y", ":refs/tags/t")
        repo.push("HEAD:refs/heads/x/z", "HEAD:refs/heads/dir")
        t.run(["git", "-C", repo.bare, "reflog", "expire", "--expire=now", "--all"])
        t.run(["git", "-C", repo.bare, "gc", "-q", "--prune=now"])
        r = fetch(d, repo.bare, "main")
        t.eq(r["commit"], new)
        refs = refs_of(t, mirror_of(d, r))
        t.eq(sorted(refs), ["refs/heads/dir", "refs/heads/main", "refs/heads/x/z"])
        # the old commit is in the mirror, whatever the repository forgot
        r = fetch(d, repo.bare, old)
        t.eq((r["commit"], r["fetched"]), (old, False))
        refused(t, "ENOENT", "neither", fetch, d, repo.bare, "t")
        check_mirror(t, d, r["key"])


@test(needs="git")
def what_is_new_alone_is_fetched(t):
    repo = Repo(t)
    repo.grow(60)
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        t.ok(r["bytes"] > 100000, str(r))
        repo.git("fetch", "-q", "origin", "main")
        repo.git("reset", "-q", "--hard", "FETCH_HEAD")
        commit = repo.commit({"new": "1"})
        repo.push()
        r = fetch(d, repo.bare, commit)
        t.eq((r["commit"], r["fetched"], r["packs"]), (commit, True, 1))
        t.ok(r["bytes"] < 2000, str(r))
        # nothing is new: no pack, no ref
        r = fetch(d, repo.bare, "main")
        t.eq((r["packs"], r["refs"], r["steps"]), (0, 0, 1))
        check_mirror(t, d, r["key"])


@test(needs="git")
def an_empty_repository_has_no_commit(t):
    repo = Repo(t)
    with t.daemon() as d:
        refused(t, "ENOENT", "neither a branch nor a tag main", fetch, d, repo.bare, "main")
        refused(t, "ENOENT", "no such ref", fetch, d, repo.bare, "HEAD")
        commit = repo.commit()
        repo.push()
        t.eq(fetch(d, repo.bare, "main")["commit"], commit)


@test(needs="git")
def a_head_that_names_nothing_is_no_hindrance(t):
    repo = Repo(t)
    commit = repo.commit()
    repo.push("HEAD:refs/heads/other")
    with t.daemon() as d:
        t.eq(fetch(d, repo.bare, "other")["commit"], commit)


@test(needs="git")
def configuration_of_the_user_runs_nothing(t):
    """Hooks, a file system monitor, fsck and submodules of the user's configuration are not for a fetch."""
    repo = Repo(t)
    commit = repo.commit()
    repo.push()
    home = t.dir("his")
    os.mkdir(home + "/hooks")
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        with open("%s/hooks/%s" % (home, name), "w") as f:
            f.write("#!/bin/sh\ntouch %s/ran\n" % home)
        os.chmod("%s/hooks/%s" % (home, name), 0o755)
    with open(home + "/.gitconfig", "w") as f:
        f.write("[core]\n\thooksPath = %s/hooks\n\tfsmonitor = touch %s/ran\n[gc]\n\tauto = 1\n[fetch]\n\tunpackLimit = 100000\n"
                "\trecurseSubmodules = true\n[transfer]\n\tunpackLimit = 100000\n" % (home, home))
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main", env={"HOME": home})
        t.eq(r["commit"], commit)
        t.ok(not os.path.exists(home + "/ran"))
        check_mirror(t, d, r["key"])
        # his own ways of reaching a repository count
        with open(home + "/.gitconfig", "w") as f:
            f.write('[url "%s/"]\n\tinsteadOf = https://nowhere.example/\n' % repo.root)
        t.eq(fetch(d, "https://nowhere.example/repo.git", "main", env={"HOME": home})["commit"], commit)


@test(needs="git")
def variables_are_chosen(t):
    repo = Repo(t)
    repo.commit()
    repo.push()
    with t.daemon() as d:
        for name in ("GIT_SSL_NO_VERIFY", "GIT_DIR", "PATH", "LD_PRELOAD", "GIT_CONFIG_COUNT", "GIT_PROXY_COMMAND", "GIT_TERMINAL_PROMPT"):
            refused(t, "EUSAGE", name, fetch, d, repo.bare, "main", env={name: "x"})
        refused(t, "EUSAGE", "HOME", fetch, d, repo.bare, "main", env={"HOME": 1})
        refused(t, "EUSAGE", "auth_mode", fetch, d, repo.bare, "main", auth_mode="x")
        refused(t, "EUSAGE", "stall_s", fetch, d, repo.bare, "main", stall_s="x")


@test(needs="git")
def several_at_once_share_what_one_fetches(t):
    repo = Repo(t)
    first = repo.grow(40)
    server = GitDaemon(t, repo.root)
    proxy = Proxy(t, server.port)
    url = proxy.url(server)

    def together(d, revs):
        """The first of revs, held in the middle; then the others, which wait; the results."""
        got = []
        proxy.hold, proxy.held = 5000, threading.Event()
        threads = [threading.Thread(target=lambda rev=rev: got.append(fetch(d, url, rev))) for rev in revs]
        threads[0].start()
        t.ok(proxy.held.wait(60))
        for x in threads[1:]:
            x.start()
        wait_until(lambda: connections(d) >= len(revs), what="all of them")
        proxy.release()
        for x in threads:
            x.join(120)
        return got
    with t.daemon() as d:
        # the first fetch is at its first step, so its second begins after they came: it is for all of them
        got = together(d, ["main", "main", "main", first, first[:9], "main"])
        t.eq([r["commit"] for r in got], [first] * 6)
        t.ok(1 <= sum(r["fetched"] for r in got) <= 2, str(got))
        # a fetch that had begun before they came may have missed what they want: one more, for all of them
        proxy.__init__(t, server.port)
        url = proxy.url(server)
        new = repo.grow(60, seed="s")
        got = together(d, ["main", "main", new, new[:9], "main"])
        t.eq([r["commit"] for r in got], [new] * 5)
        t.ok(1 <= sum(r["fetched"] for r in got) <= 2, str(got))


@test(needs="git")
def fetches_of_different_repositories_run_side_by_side(t):
    a, b = Repo(t, "a"), Repo(t, "b")
    for repo in (a, b):
        repo.grow(30, seed=repo.bare)
    server = GitDaemon(t, a.root)
    proxy = Proxy(t, server.port)
    proxy.hold = 20000
    done = []
    with t.daemon() as d:
        x = threading.Thread(target=lambda: done.append(fetch(d, proxy.url(server, "a"), "main")))
        x.start()
        t.ok(proxy.held.wait(60))
        fetch(d, server.url("b"), "main")
        t.eq(done, [])
        proxy.release()
        x.join(60)
        t.eq(len(done), 1)


@test(needs="git")
def a_slow_server_holds_up_no_import(t):
    """With one place for workers: an import, and a commit that the mirror has, go on beside a fetch."""
    slow, known = Repo(t, "slow"), Repo(t, "known")
    slow.grow(40)
    commit = known.commit()
    known.push()
    server = GitDaemon(t, slow.root)
    proxy = Proxy(t, server.port)
    proxy.hold = 5000
    with t.daemon(["--workers-max", "1"]) as d:
        fetch(d, known.bare, "main")
        x = threading.Thread(target=lambda: fetch(d, proxy.url(server, "slow"), "main"))
        x.start()
        t.ok(proxy.held.wait(60))
        d.shim("snapshot", "import", t.tree({"a": "1"}), "--ref", "main", timeout=30)
        t.eq(fetch(d, known.bare, commit)["fetched"], False)
        proxy.release()
        x.join(60)


@test(needs="git")
def a_client_that_leaves_ends_its_fetch(t):
    repo = Repo(t)
    repo.grow(40)
    server = GitDaemon(t, repo.root)
    proxy = Proxy(t, server.port)
    proxy.hold = 20000
    with t.daemon() as d:
        client = t.start(["curl", "-sS", "--unix-socket", d.socket, "http://orch/v1/git/fetch", "-d",
                          json.dumps({"url": proxy.url(server), "rev": "main"})], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        t.ok(proxy.held.wait(60))
        client.kill()
        wait_until(lambda: d.http("GET", "/v1/daemon").json()["workers"] == 0, what="the end of the worker")
        wait_until(lambda: not os.listdir(d.store + "/tmp"), what="the end of the quarantine")
        proxy.release()
        r = fetch(d, server.url(), "main")
        check_mirror(t, d, r["key"])


# ---- kills

@test(needs="git faults", timeout=600)
def killed_at_each_step_the_mirror_is_sound(t):
    """The worker that takes over is killed at its n-th call of a kind, as by kill -9; the next fetch goes on."""
    repo = Repo(t)
    repo.commit({"a": "1"})
    repo.push("HEAD:refs/heads/main", "HEAD:refs/heads/x", "HEAD:refs/tags/t")
    faults = Faults(t, "orch-worker")
    d = t.daemon(env=faults.env)
    kills = 0
    with d:
        r = fetch(d, repo.bare, "main")
        for kind in ("rename", "unlink", "fsync", "open", "write"):
            for n in range(1, int(os.environ.get("ORCH_GIT_KILLS", "6")) + 1):
                commit = repo.commit({"a": "%s %d" % (kind, n)})
                repo.push("HEAD:refs/heads/main", "HEAD:refs/heads/%s-%d" % (kind, n))
                faults.arm(kind, n, KILL)
                try:
                    fetch(d, repo.bare, "main")
                except Refused as e:
                    t.match(e.message, "killed by signal 9|it said nothing")
                    kills += 1
                faults.disarm()
                wait_until(lambda: git_processes(d.store + "/git") in ([], [d.process.pid]), what="the end of what the worker started")
                t.run(["git", "-C", mirror_of(d, r), "-c", "safe.directory=*", "fsck", "--strict", "--connectivity-only"])
                t.eq(fetch(d, repo.bare, "main")["commit"], commit)
                check_mirror(t, d, r["key"])
        t.ok(kills > 5, "%d kills" % kills)


@test(needs="git", timeout=600)
def a_killed_keeper_leaves_a_sound_mirror(t):
    """SIGKILL to keeper, worker or git at random moments of a first fetch and of later ones."""
    import random
    seed = int(os.environ.get("ORCH_MODEL_SEED", "1"))
    rnd = random.Random(seed)
    repo = Repo(t)
    commit = repo.grow(150, 4000)
    server = GitDaemon(t, repo.root)
    d = t.daemon().start()
    key = None
    for i in range(int(os.environ.get("ORCH_GIT_KILL_ROUNDS", "12"))):
        victim = rnd.choice(["orch-fsd", "orch-worker", "git"])
        result = []

        def one():
            with contextlib.suppress(Refused, OSError, ValueError, Exception):
                result.append(fetch(d, server.url(), "main"))
        x = threading.Thread(target=one)
        x.start()
        end = time.monotonic() + rnd.random() * 0.5
        wait_until(lambda: time.monotonic() > end, what="a moment", interval=0.002)
        if victim == "orch-fsd":
            d.kill()
        else:
            for pid in git_processes(d.store + ("/tmp" if rnd.random() < .5 else "/git")):
                with contextlib.suppress(OSError):
                    name = open("/proc/%d/comm" % pid).read().strip()
                    if pid != d.process.pid and name.startswith(victim):
                        os.kill(pid, signal.SIGKILL)
        x.join(60)
        if victim == "orch-fsd":
            wait_until(lambda: not git_processes(d.store), what="the end of what the keeper started")
            d.start()
        r = fetch(d, server.url(), "main")
        t.eq(r["commit"], commit, "seed %d round %d" % (seed, i))
        key = r["key"]
        check_mirror(t, d, key)
        with open(repo.work + "/n", "w") as f:
            f.write(str(i))
        repo.git("fetch", "-q", "origin", "main")
        repo.git("reset", "-q", "--hard", "FETCH_HEAD")
        commit = repo.commit({"n%d" % i: os.urandom(200000)})
        repo.push()
    d.stop()


@test(needs="git")
def what_the_dead_left_is_in_nobodys_way(t):
    """Locks, temporary files, a pack without its index, half a list of refs."""
    repo = Repo(t)
    repo.commit({"a": "1"})
    repo.push()
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        mirror = mirror_of(d, r)
        for name in ("packed-refs.lock", "config.lock", "HEAD.lock", ".orch-0123456789abcdef", "objects/pack/tmp_pack_x1",
                     "objects/pack/pack-%s.pack" % ("1" * 40), "objects/pack/pack-%s.rev" % ("2" * 40), "objects/tmp_obj_x",
                     "objects/info/commit-graph.lock"):
            with open("%s/%s" % (mirror, name), "w") as f:
                f.write("x")
        os.makedirs(os.path.dirname(mirror) + "/incoming/pack/tmp_dir")
        commit = repo.commit({"a": "2"})
        repo.push()
        t.eq(fetch(d, repo.bare, "main")["commit"], commit)
        check_mirror(t, d, r["key"])
        t.eq(sorted(os.listdir(mirror)), ["HEAD", "config", "objects", "packed-refs", "refs"])
        t.eq(os.listdir(mirror + "/objects"), ["info", "pack"] if os.listdir(mirror + "/objects")[0] == "info" else ["pack", "info"])


@test(needs="git")
def a_mirror_in_use_is_waited_for(t):
    """Its lock is held by a process of an earlier keeper, say."""
    import fcntl
    repo = Repo(t)
    repo.commit({"a": "1"})
    repo.push()
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        fd = os.open(os.path.dirname(mirror_of(d, r)), os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        commit = repo.commit({"a": "2"})
        repo.push()
        done = []
        x = threading.Thread(target=lambda: done.append(fetch(d, repo.bare, "main")))
        x.start()
        wait_until(lambda: os.listdir(d.store + "/tmp") and os.path.exists(d.store + "/tmp/" + os.listdir(d.store + "/tmp")[0] + "/refs"),
                   what="the fetch")
        end = time.monotonic() + 1
        wait_until(lambda: done or time.monotonic() > end, what="a second")
        t.eq(done, [])
        os.close(fd)
        x.join(60)
        t.eq(done[0]["commit"], commit)


@test(needs="git")
def another_repository_under_that_key_is_refused(t):
    repo = Repo(t)
    repo.commit()
    repo.push()
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        with open(os.path.dirname(mirror_of(d, r)) + "/url", "w") as f:
            f.write("https://example.org/other\n")
        refused(t, "ECORRUPT", "names another repository", fetch, d, repo.bare, "main")
        os.unlink(os.path.dirname(mirror_of(d, r)) + "/url")
        refused(t, "ECORRUPT", "url is missing", fetch, d, repo.bare, "main")


@test(needs="git")
def a_damaged_mirror_is_told_and_made_anew(t):
    repo = Repo(t)
    commit = repo.grow(10, 20000)
    for damage in ("index", "pack cut", "refs", "url"):
        with t.daemon(name=damage[:4]) as d:
            r = fetch(d, repo.bare, "main")
            mirror = mirror_of(d, r)
            packs = sorted(x for x in os.listdir(mirror + "/objects/pack") if x.endswith(".idx" if damage == "index" else ".pack"))
            path = {"refs": mirror + "/packed-refs", "url": os.path.dirname(mirror) + "/url"}.get(damage, "%s/objects/pack/%s" % (mirror, packs[0]))
            os.chmod(path, 0o644)
            if damage == "pack cut":
                os.truncate(path, os.path.getsize(path) // 2)
            else:
                with open(path, "r+b") as f:
                    f.seek(8 if damage == "index" else 0)
                    f.write(b"\xff" * 40)
            e = refused(t, "ECORRUPT", ".", fetch, d, repo.bare, "main")
            if damage != "url":
                t.match(e.message, "mirror.* is damaged.*DELETE /v1/git/KEY")
            listed = d.http("GET", "/v1/git").json()["mirrors"]
            t.eq([x["key"] for x in listed], [r["key"]])
            t.eq(d.http("DELETE", "/v1/git/" + r["key"]).status, 200)
            t.eq(d.http("GET", "/v1/git").json()["mirrors"], [])
            r = fetch(d, repo.bare, "main")
            t.eq(r["commit"], commit)
            listed = d.http("GET", "/v1/git").json()["mirrors"]
            t.eq([(x["url"], x["packs"]) for x in listed], [(r["url"], r["packs"])])
            t.ok(listed[0]["bytes"] >= r["bytes"], str(listed))
            check_mirror(t, d, r["key"])
            t.eq(d.http("DELETE", "/v1/git/x").status, 400)
            t.eq(d.http("DELETE", "/v1/git/" + "1" * 64).status, 404)


def verified(d, key):
    return json.loads(d.http("POST", "/v1/git/%s/verify" % key).body.decode().strip().split("\n")[-1])["result"]


@test(needs="git")
def verify_names_what_is_damaged(t):
    """A byte in the middle of a pack, of an index, a pack that is gone, a ref that names nothing."""
    repo = Repo(t)
    repo.grow(10, 20000)
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        repo.git("fetch", "-q", "origin", "main")
        repo.git("reset", "-q", "--hard", "FETCH_HEAD")
        repo.commit({"f1": "new"})
        repo.push()
        fetch(d, repo.bare, "main")
        mirror, key = mirror_of(d, r), r["key"]
        folder = mirror + "/objects/pack/"
        packs = sorted((x for x in os.listdir(folder) if x.endswith(".pack")), key=lambda x: os.path.getsize(folder + x))
        first = packs[-1]  # the first fetch's, on which the other builds
        v = verified(d, key)
        t.eq((v["packs"], v["refs"], v["bad_count"], v["bad"]), (len(packs), 1, 0, []))
        t.ok(v["bytes"] > 100000)
        for name in (first, first[:-4] + "idx"):
            with open(folder + name, "rb") as f:
                data = f.read()
            os.chmod(folder + name, 0o644)
            for at in (len(data) // 2, len(data) - 5, 0):
                with open(folder + name, "r+b") as f:
                    f.seek(at)
                    f.write(bytes([data[at] ^ 0x20]))
                v = verified(d, key)
                t.ok(first in [x["name"] for x in v["bad"]], "%s at %d: %s" % (name, at, v))
                with open(folder + name, "r+b") as f:
                    f.write(data)
            t.eq(verified(d, key)["bad"], [])
        for x in (first, first[:-4] + "idx"):
            os.rename(folder + x, t.path(x))
        v = verified(d, key)
        t.ok(packs[0] in [x["name"] for x in v["bad"]], str(v))
        for x in (first, first[:-4] + "idx"):
            os.rename(t.path(x), folder + x)
        with open(mirror + "/packed-refs", "a") as f:
            f.write("%s refs/tags/x\n" % ("1" * 40))
        v = verified(d, key)
        t.eq([x["name"] for x in v["bad"]], ["packed-refs"])
        t.match(v["bad"][0]["error"], "refs/tags/x is 1111")
        check = os.listdir(os.path.dirname(mirror))
        t.eq(sorted(check), ["repo.git", "url"])
        t.eq(d.http("POST", "/v1/git/%s/verify" % ("1" * 64)).status, 404)


@test(needs="git")
def the_store_knows_its_mirrors(t):
    """verify calls no mirror a stray, and a store that lost FORMAT is told from something else."""
    repo = Repo(t)
    repo.commit()
    repo.push()
    with t.daemon() as d:
        fetch(d, repo.bare, "main")
        lines = d.http("POST", "/v1/store/verify", {}).body.decode().strip().split("\n")
        t.eq(json.loads(lines[-1])["result"]["bad_count"], 0)


# ---- hostile content

def loose(repo, kind, body):
    """Writes an object as it is, unchecked."""
    text = b"%s %d\0" % (kind.encode(), len(body)) + body
    sha = hashlib.sha1(text).hexdigest()
    path = "%s/objects/%s/%s" % (repo.bare, sha[:2], sha[2:])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        with open(path, "wb") as f:
            f.write(zlib.compress(text))
    return sha


def commit_of(repo, tree):
    return loose(repo, "commit", b"tree %s\nauthor o <o@e> 1 +0000\ncommitter o <o@e> 1 +0000\n\nx\n" % tree.encode())


def entry(mode, name, sha):
    return mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha)


@test(needs="git")
def what_is_not_sound_is_not_taken_over(t):
    repo = Repo(t)
    repo.commit({"a": "1"})
    repo.push()
    blob = loose(repo, "blob", b"x")
    evil = loose(repo, "blob", b"[submodule \"x\"]\n\tpath = x\n\turl = -u./payload\n")
    cases = {
        "dotgit": entry("100644", b".git", blob),
        "dotdot": entry("100644", b"..", blob),
        "slash": entry("100644", b"a/b", blob),
        "ntfs": entry("100644", b"git~1", blob),
        "twice": entry("100644", b"a", blob) + entry("100644", b"a", blob),
        "unsorted": entry("100644", b"b", blob) + entry("100644", b"a", blob),
        "gitmodules": entry("100644", b".gitmodules", evil),
        "missing": entry("100644", b"a", "1" * 40),
    }
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        before = refs_of(t, mirror_of(d, r))
        for name, tree in cases.items():
            sha = commit_of(repo, loose(repo, "tree", tree))
            with open(repo.bare + "/packed-refs", "w") as f:
                f.write("# pack-refs with: sorted \n%s refs/heads/%s\n" % (sha, name))
            # git itself notices that an object is missing, as does what takes over
            refused(t, "ECORRUPT|EIO|ECONNRESET" if name == "missing" else "ECORRUPT", ".", fetch, d, repo.bare, name)
            t.eq(refs_of(t, mirror_of(d, r)), before, name)
            check_mirror(t, d, r["key"])
        os.unlink(repo.bare + "/packed-refs")
        t.eq(fetch(d, repo.bare, "main")["commit"], r["commit"])


@test(needs="git")
def names_of_refs_do_no_harm(t):
    """Whatever a server calls its refs: what Git does not allow is not there, what it does is no path of ours."""
    repo = Repo(t)
    commit = repo.commit()
    repo.push()
    long = "x" * 240
    names = ["refs/heads/--upload-pack=x", "refs/heads/a'b\"c$(id)", "refs/heads/\u00e9\u4e2d", "refs/heads/" + long,
             "refs/heads/orch/commits", "refs/tags/HEAD", "refs/heads/refs/heads/x", "refs/evil/x", "refs/orch/head", "refs/heads/-"]
    with open(repo.bare + "/packed-refs", "w") as f:
        f.write("# pack-refs with: sorted \n" + "".join("%s %s\n" % (commit, n) for n in sorted(names)))
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        refs = refs_of(t, mirror_of(d, r))
        t.eq(sorted(refs), sorted(n for n in names + ["refs/heads/main"] if not n.startswith(("refs/evil", "refs/orch"))))
        t.eq(fetch(d, repo.bare, "a'b\"c$(id)")["commit"], commit)
        t.eq(fetch(d, repo.bare, "refs/evil/x")["commit"], commit)
        refused(t, "EUSAGE", "mirror's own", fetch, d, repo.bare, "refs/orch/head")


def adopt(t, mirror, quarantine, **more):
    """orch-worker alone with the task git-adopt: (status, the last line)."""
    fds = {"mirror": os.open(mirror, os.O_RDONLY | os.O_DIRECTORY), "quarantine": os.open(quarantine, os.O_RDONLY | os.O_DIRECTORY)}
    task = dict({"task": "git-adopt", "fds": fds, "all": True}, **more)
    try:
        p = subprocess.run([program("orch-worker")], input=json.dumps(task).encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           pass_fds=list(fds.values()), env=t.env(), timeout=60)
    finally:
        for fd in fds.values():
            os.close(fd)
    return p.returncode, json.loads(p.stdout.decode().strip().split("\n")[-1])


@test(needs="git")
def a_hostile_quarantine_is_read_as_such(t):
    """The fetching user may leave anything there: links, folders, pipes, other lists, broken and thin packs."""
    repo = Repo(t)
    commit = repo.commit({"a": "1"})
    repo.push()
    pack = t.run(["git", "-C", repo.bare, "pack-objects", "--stdout", "--revs"], input=commit + "\n").out_bytes
    with t.daemon() as d:
        r = fetch(d, repo.bare, "main")
        mirror = os.path.dirname(mirror_of(d, r))
        good = "%s refs/heads/main\n" % commit

        def quarantine(refs=good, packs=None):
            q = t.dir()
            os.makedirs(q + "/repo.git/objects/pack")
            for name, content in (packs or {}).items():
                with open("%s/repo.git/objects/pack/%s" % (q, name), "wb") as f:
                    f.write(content)
            if refs is not None:
                with open(q + "/refs", "w") as f:
                    f.write(refs)
            return q

        def bad(q, pattern):
            before = sorted(os.listdir(mirror + "/repo.git/objects/pack")), open(mirror + "/repo.git/packed-refs").read()
            status, line = adopt(t, mirror, q)
            t.eq(status, 1)
            t.match(line["error"]["message"], pattern)
            t.eq((sorted(os.listdir(mirror + "/repo.git/objects/pack")), open(mirror + "/repo.git/packed-refs").read()), before)

        t.eq(adopt(t, mirror, quarantine())[0], 0)
        t.eq(adopt(t, mirror, quarantine(packs={"pack-x.pack": pack}))[0], 0)
        # names that the fetch was not for
        before = refs_of(t, mirror + "/repo.git")
        more = "".join("%s %s\n" % (commit, x) for x in ("refs/evil/x", "refs/orch/head", "refs/orch/commits/" + "1" * 40, "refs/pull/1/head"))
        t.eq(adopt(t, mirror, quarantine(refs=good + more))[0], 0)
        t.eq(refs_of(t, mirror + "/repo.git"), before)
        bad(quarantine(refs=None), "refs")
        bad(quarantine(refs="x"), "cut off")
        bad(quarantine(refs="%s refs/heads/../../x\n" % commit), "no id and name")
        bad(quarantine(refs=good + good), "twice")
        bad(quarantine(refs="%s refs/heads/main\n" % ("1" * 40)), "did not come")
        bad(quarantine(refs="%s refs/heads/main\n" % repo.git("rev-parse", "HEAD^{tree}")), "no commit")
        bad(quarantine(packs={"pack-1.pack": b"PACK" + b"\0" * 40}), "pack-1")
        bad(quarantine(packs={"pack-1.pack": b""}), "pack-1")
        bad(quarantine(packs={"pack-1.pack": pack[:-30] + b"\1" * 10 + pack[-20:]}), "pack-1")
        q = quarantine()
        os.unlink(q + "/refs")
        os.symlink("/etc/passwd", q + "/refs")
        bad(q, "refs")
        q = quarantine()
        os.unlink(q + "/refs")
        os.mkfifo(q + "/refs")
        bad(q, "no file")
        q = quarantine()
        os.mkfifo(q + "/repo.git/objects/pack/pack-2.pack")
        bad(q, "no file")
        q = quarantine()
        os.symlink("/etc/passwd", q + "/repo.git/objects/pack/pack-2.pack")
        bad(q, "pack-2")
        q = quarantine()
        shutil.rmtree(q + "/repo.git/objects")
        os.symlink(mirror + "/repo.git/objects", q + "/repo.git/objects")
        bad(q, "objects/pack")
        q = quarantine()
        # its configuration is nobody's
        with open(q + "/repo.git/config", "w") as f:
            f.write("[core]\n\tfsmonitor = touch %s/ran\n\tsshCommand = touch %s/ran\n" % (t.tmp, t.tmp))
        t.eq(adopt(t, mirror, q)[0], 0)
        t.ok(not os.path.exists(t.path("ran")))
        check_mirror(t, d, r["key"])


main()
