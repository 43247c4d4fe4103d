"""
Each call of the keeper and of its workers fails once in a fetch from a Git repository: the error is told, the mirror is
sound and complete, nothing is left behind, and the same fetch works afterwards. docs/testing.md tells of ORCH_FAULT_ALL=1.
"""
import http.client

from faults import Faults
from gitservers import Refused, Repo, check_mirror, fetch, mirror_of
from orchtest import *

KINDS = ("alloc", "read", "write", "fsync", "rename", "open", "unlink", "mmap", "fd", "thread", "fork", "openat2")


def holds(d):
    return len(os.listdir("/proc/%d/fd" % d.process.pid)), len(os.listdir("/proc/%d/task" % d.process.pid))


def loop(t, name, prepare, rev, **more):
    """prepare(): makes the repository and says which commit is to come of it; called before each run."""
    f = Faults(t, name)
    d = t.daemon(env=f.env)
    d.allow_errors(".")
    limit = want = repo = None

    def renew():
        nonlocal want, repo
        repo, want = prepare(d)

    def operation():
        with contextlib.suppress(ConnectionError, http.client.HTTPException, json.JSONDecodeError):
            try:
                r = fetch(d, repo.bare, rev, **more)
                t.eq(r["commit"], want)
            except Refused as e:
                t.ok(e.code and e.message)

    def check(what):
        nonlocal limit
        t.eq(d.process.poll(), None, what + ": the daemon died")
        r = fetch(d, repo.bare, rev, **more)
        t.eq(r["commit"], want, what)
        left = [x for x in os.listdir(d.store + "/tmp") if x not in d.log()]
        t.eq(left, [], what + ": left, and nothing tells it")
        t.run(["git", "-C", mirror_of(d, r), "-c", "safe.directory=*", "fsck", "--full", "--strict", "--connectivity-only"])
        if limit is None:
            limit = holds(d)
        wait_until(lambda: all(a <= b for a, b in zip(holds(d), limit)), 10, what + ": descriptors and threads")

    with d:
        f.loop("git", KINDS, operation, check, renew, sample=3)
        t.ok(f.fired_runs > 10, "%d runs" % f.fired_runs)
        d.restart()
        t.eq(os.listdir(d.store + "/tmp"), [])
        check_mirror(t, d, fetch(d, repo.bare, rev, **more)["key"])


def grows(t):
    """One repository, a new commit and a new branch each time."""
    repo, count = Repo(t), [0]

    def prepare(d):
        count[0] += 1
        commit = repo.commit({"a": "%d" % count[0], "b/%d" % count[0]: "x" * 5000})
        repo.push("HEAD:refs/heads/main", "HEAD:refs/heads/b%d" % count[0])
        return repo, commit
    return prepare


def begins(t):
    """A mirror that has nothing yet, and a fetch in steps."""
    repo = Repo(t)
    for i in range(5):
        commit = repo.commit({"a": "%d" % i})
    repo.push()

    def prepare(d):
        shutil.rmtree(d.store + "/git", ignore_errors=True)
        return repo, commit
    return prepare


@test(needs="git faults", timeout=3000)
def calls_of_the_keeper(t):
    loop(t, "orch-fsd", grows(t), "main")


@test(needs="git faults", timeout=3000)
def calls_of_the_workers(t):
    loop(t, "orch-worker", grows(t), "main")


@test(needs="git faults", timeout=3000)
def calls_of_the_workers_in_steps(t):
    loop(t, "orch-worker", begins(t), "main", step_commits=2)


main()
