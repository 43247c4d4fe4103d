"""Fetching from real servers on loopback: passwords, keys, servers that are gone, stuck, cut off; where a token goes."""
import pwd

from orchtest import *
from orchtest import program
from gitservers import GitDaemon, Http, HttpProxy, Proxy, Repo, Ssh, Tls, check_mirror, connections, fetch, mirror_of, refused

TOKEN = "tok3n-s3cr3t-8472"


class Watch:
    """Looks at the arguments of every process all the time, and at what is written; what of it holds a secret."""

    def __init__(self, t, secret):
        self.t, self.secret, self.seen, self.looks, self.gits, self._end = t, secret.encode(), set(), 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def _run(self):
        while not self._end.is_set():
            self.looks += 1
            for pid in os.listdir("/proc"):
                if pid.isdigit():
                    with contextlib.suppress(OSError):
                        with open("/proc/%s/cmdline" % pid, "rb") as f:
                            line = f.read()
                        self.gits += line.startswith((b"git\0", b"/usr/lib/git-core"))
                        if self.secret in line:
                            self.seen.add(line)

    def __exit__(self, *args):
        self._end.set()
        self._thread.join()

    def check(self, d, *texts):
        self.t.eq(self.seen, set())
        self.t.ok(self.looks > 2 and self.gits > 0, "%d looks, %d times git" % (self.looks, self.gits))
        for text in texts + (d.log(),):
            self.t.ok(self.secret.decode() not in text, text)
        r = self.t.run(["grep", "-rlF", self.secret.decode(), d.store, self.t.path("home")], status=None)
        self.t.eq(r.stdout, "")


def setup(t, **kwargs):
    repo = Repo(t)
    commit = repo.commit({"a": "1"})
    repo.push("HEAD:refs/heads/main", "HEAD:refs/pull/1/head")
    return repo, commit, Http(t, repo.root, **kwargs)


@test(needs="git lighttpd")
def http_without_a_password(t):
    repo, commit, http = setup(t)
    with t.daemon() as d:
        r = fetch(d, http.url(), "main")
        t.eq(r["commit"], commit)
        t.eq(r["url"], "http://127.0.0.1:%d/git/repo" % http.port)
        t.eq(fetch(d, http.url(), "refs/pull/1/head")["commit"], commit)
        check_mirror(t, d, r["key"])
        refused(t, "ENOENT", "no repository", fetch, d, http.url("other"), "main")


@test(needs="git lighttpd")
def http_with_a_password(t):
    repo, commit, http = setup(t, users={"x-access-token": TOKEN, "joe": TOKEN})
    with t.daemon() as d, Watch(t, TOKEN) as watch:
        e = [refused(t, "EACCES", "give GIT_PRIVATE_TOKEN", fetch, d, http.url(), "main"),
             refused(t, "EACCES", "refuses these credentials", fetch, d, http.url(), "main", env={"GITHUB_TOKEN": "wrong"}),
             refused(t, "EACCES", "refuses these credentials", fetch, d, http.url(), "main", auth_mode="header", env={"GITHUB_TOKEN": "wr0ng"}),
             refused(t, "EACCES", "refuses these credentials", fetch, d, http.url(user="joe:wr0ng@"), "main")]
        t.ok("wr0ng" not in e[2].message + e[3].message)
        # the first token that is given counts
        refused(t, "EACCES", ".", fetch, d, http.url(), "main", env={"GIT_PRIVATE_TOKEN": "wrong", "GITHUB_TOKEN": TOKEN})
        t.ok(sum("auth=Basic" in line for line in http.log().split("\n")) >= 5, http.log())
        for more in ({"env": {"GITHUB_TOKEN": TOKEN}}, {"env": {"GIT_PRIVATE_TOKEN": TOKEN, "GITHUB_TOKEN": "wrong"}},
                     {"env": {"GITHUB_TOKEN": TOKEN}, "auth_mode": "url"}, {"env": {"GITHUB_TOKEN": TOKEN}, "auth_mode": "header"}):
            r = fetch(d, http.url(), "main", **more)
            t.eq((r["commit"], r["fetched"]), (commit, True))
        # a header goes along with the very first request: nobody has to ask for it
        def asked():
            return http.log().count(" 401 ")
        before = asked()
        fetch(d, http.url(), "main", env={"GITHUB_TOKEN": TOKEN}, auth_mode="header")
        t.eq(asked(), before)
        r = fetch(d, http.url(user="joe:%s@" % TOKEN), "main", env={"GITHUB_TOKEN": "wrong"})
        t.ok(asked() > before)
        t.eq(r["commit"], commit)
        t.eq(len(os.listdir(d.store + "/git")), 1)
        refused(t, "ENOENT", "no repository", fetch, d, http.url("other"), "main", env={"GITHUB_TOKEN": TOKEN})
        watch.check(d, json.dumps(r), *[x.message for x in e])


@test(needs="git lighttpd")
def the_users_own_helper_is_asked_without_a_token_only(t):
    repo, commit, http = setup(t, users={"joe": TOKEN})
    home = t.dir("joes")
    with open(home + "/.gitconfig", "w") as f:
        f.write("[credential]\n\thelper = store\n")
    with open(home + "/.git-credentials", "w") as f:
        f.write("http://joe:%s@127.0.0.1%%3a%d\n" % (TOKEN, http.port))
    stored = open(home + "/.git-credentials").read()
    with t.daemon() as d:
        t.eq(fetch(d, http.url(), "main", env={"HOME": home})["commit"], commit)
        t.eq(fetch(d, http.url(user="joe@"), "main", env={"HOME": home})["commit"], commit)
        refused(t, "EACCES", ".", fetch, d, http.url(user="jim@"), "main", env={"HOME": home})
        # git neither asks his helper when there is a token, nor makes it forget or keep one
        refused(t, "EACCES", ".", fetch, d, http.url(), "main", env={"HOME": home, "GITHUB_TOKEN": "wrong"})
        t.eq(fetch(d, http.url(user="joe@"), "main", env={"HOME": home, "GITHUB_TOKEN": TOKEN})["commit"], commit)
        t.eq(open(home + "/.git-credentials").read(), stored)


@test(needs="git lighttpd")
def a_token_does_not_follow_a_redirection(t):
    repo, commit, http = setup(t, users={"x-access-token": TOKEN})
    other = Http(t, repo.root, redirect="http://127.0.0.1:%d" % http.port)
    plain = Http(t, repo.root)
    to_plain = Http(t, repo.root, redirect="http://127.0.0.1:%d" % plain.port)
    with t.daemon() as d:
        env = {"GITHUB_TOKEN": TOKEN}
        refused(t, "EACCES", "GIT_PRIVATE_TOKEN", fetch, d, other.url(), "main", env=env)
        refused(t, "EXDEV", "give the URL", fetch, d, other.url(), "main", env=env, auth_mode="header")
        t.ok("auth=Basic" not in http.log(), http.log())
        # where nobody asks for one, the redirection itself is followed
        t.eq(fetch(d, to_plain.url(), "main")["commit"], commit)
        t.eq(fetch(d, to_plain.url(), "main", env=env)["commit"], commit)
        t.ok("auth=Basic" not in plain.log(), plain.log())


@test(needs="git lighttpd openssl")
def https_with_an_authority_of_ones_own(t):
    repo, commit, http = setup(t, users={"x-access-token": TOKEN})
    tls = Tls(t, http.port)
    env = {"GITHUB_TOKEN": TOKEN}
    with t.daemon() as d, Watch(t, TOKEN) as watch:
        e = refused(t, "EPERM", "GIT_SSL_CAINFO", fetch, d, tls.url(), "main", env=env)
        for mode in ("url", "header"):
            r = fetch(d, tls.url(), "main", env=dict(env, GIT_SSL_CAINFO=tls.ca), auth_mode=mode)
            t.eq((r["commit"], r["fetched"]), (commit, True))
        # the token is for https, so not for the same host without
        refused(t, "EPERM|EACCES|EIO|ECONNRESET", ".", fetch, d, tls.url().replace("https", "http"), "main", env=env)
        watch.check(d, e.message)


@test(needs="git lighttpd")
def a_proxy_of_the_users(t):
    repo, commit, http = setup(t, users={"x-access-token": TOKEN})
    proxy = HttpProxy(t)
    url = http.url().replace("127.0.0.1", "git.example.invalid")
    with t.daemon() as d:
        # the name is known to nobody: what is reached is reached by the proxy
        refused(t, "EHOSTUNREACH", "host is not known", fetch, d, url, "main", env={"GITHUB_TOKEN": TOKEN})
        refused(t, "ECONNREFUSED", "is the server up", fetch, d, url, "main", env={"http_proxy": "http://127.0.0.1:1"})
        t.eq(fetch(d, http.url(), "main", env={"GITHUB_TOKEN": TOKEN, "http_proxy": proxy.url})["commit"], commit)
        t.ok(len(proxy.seen) > 2, str(proxy.seen))
        seen = len(proxy.seen)
        t.eq(fetch(d, http.url(), "main", env={"GITHUB_TOKEN": TOKEN, "http_proxy": proxy.url, "no_proxy": "127.0.0.1"})["commit"], commit)
        t.eq(len(proxy.seen), seen)


@test(needs="git lighttpd")
def a_server_that_is_gone_and_back(t):
    repo, commit, http = setup(t)
    with t.daemon() as d:
        http.stop()
        e = refused(t, "ECONNREFUSED", "is the server up", fetch, d, http.url(), "main")
        http.start()
        r = fetch(d, http.url(), "main")
        t.eq(r["commit"], commit)
        http.stop()
        refused(t, "ECONNREFUSED", "is the server up", fetch, d, http.url(), "main")
        t.eq(fetch(d, http.url(), commit)["fetched"], False)
        check_mirror(t, d, r["key"])
        refused(t, "EHOSTUNREACH", "host is not known", fetch, d, "http://no-such-host.invalid/x", "main")


@test(needs="git lighttpd", timeout=300)
def a_connection_that_is_cut(t):
    """Cut at many places: the message says so, nothing is lost that was there, the next fetch goes on."""
    repo, commit, http = setup(t)
    daemon = GitDaemon(t, repo.root)
    with t.daemon() as d:
        for server in (http, daemon):
            proxy = Proxy(t, server.port)
            r = fetch(d, proxy.url(server), "main")
            before = r["commit"]
            count = int(os.environ.get("ORCH_GIT_CUTS", "3"))
            for i in range(count):
                limit = 300 * i if i % 2 else 7 * i + int(200000 * (i / count) ** 2)
                new = repo.grow(40, 8000, seed="%d %d" % (server.port, i))
                proxy.limit = limit
                proxy.connections = 0
                e = refused(t, "ECONNRESET|ECONNREFUSED", "broke|is the server up", fetch, d, proxy.url(server), "main")
                t.ok(proxy.connections >= 3, "tried %d times" % proxy.connections)
                check_mirror(t, d, r["key"])
                t.eq(fetch(d, proxy.url(server), before)["fetched"], False)
                proxy.limit = None
                t.eq(fetch(d, proxy.url(server), "main")["commit"], new)
                before = new
            proxy.close()


@test(needs="git lighttpd")
def a_broken_connection_is_tried_again(t):
    repo, commit, http = setup(t)
    new = repo.grow(40, 8000)
    proxy = Proxy(t, http.port)
    proxy.limit = 20000
    with t.daemon() as d:
        x = threading.Thread(target=lambda: (wait_until(lambda: proxy.cuts, timeout=60), setattr(proxy, "limit", None)))
        x.start()
        r = fetch(d, proxy.url(http), "main")
        x.join()
        t.eq(r["commit"], new)
        t.ok(any(e["event"] == "warning" and "trying again" in e["message"] for e in r["events"]), str(r["events"]))


@test(needs="git")
def a_server_that_is_stuck(t):
    repo = Repo(t)
    repo.grow(40)
    server = GitDaemon(t, repo.root)
    proxy = Proxy(t, server.port)
    proxy.hold = 20000
    with t.daemon() as d:
        refused(t, "ETIMEOUT", "nothing came for 2 s", fetch, d, proxy.url(server), "main", stall_s=2)
        t.eq(os.listdir(d.store + "/tmp"), [])
        proxy.release()
        t.ok(fetch(d, proxy.url(server), "main")["commit"])


@test(needs="git")
def git_daemon_and_a_commit_without_a_ref(t):
    """A server with protocol 2 gives every object by its id."""
    repo = Repo(t)
    hidden = repo.commit({"a": "hidden"})
    repo.push("HEAD:refs/heads/x")
    repo.git("checkout", "-q", "--orphan", "other")
    repo.commit({"a": "1"})
    repo.push("HEAD:refs/heads/main", ":refs/heads/x")
    server = GitDaemon(t, repo.root)
    with t.daemon() as d:
        r = fetch(d, server.url(), hidden)
        t.eq(r["commit"], hidden)
        check_mirror(t, d, r["key"])
        t.git(repo.bare, "gc", "-q", "--prune=now")
        t.eq(fetch(d, server.url(), hidden)["fetched"], False)
        refused(t, "ENOENT", "does not have that commit", fetch, d, server.url(), "1" * 40)
        refused(t, "ENOENT", "does not show it", fetch, d, server.url("other"), "main")


@test(needs="git sshd root")
def ssh_with_a_key(t):
    """Also the commit without a ref: git over this sshd speaks protocol 0, which gives none."""
    repo = Repo(t)
    hidden = repo.commit({"a": "hidden"})
    repo.push("HEAD:refs/heads/x")
    repo.git("checkout", "-q", "--orphan", "other")
    commit = repo.commit({"a": "1"})
    repo.push("HEAD:refs/heads/main", ":refs/heads/x")
    ssh = Ssh(t)
    with t.daemon() as d:
        def get(rev, *args):
            return fetch(d, ssh.url(repo), rev, env={"GIT_SSH_COMMAND": ssh.command(*args), "HOME": t.path("home")})
        refused(t, "EPERM", "known_hosts", get, "main", "user", "nothing")
        refused(t, "EACCES", "right key", get, "main", "other")
        r = get("main")
        t.eq(r["commit"], commit)
        e = refused(t, "ENOENT", "no ref of the repository leads to that commit", get, hidden)
        t.ok(hidden in e.message)
        t.git(repo.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        t.eq(get(hidden)["commit"], hidden)
        check_mirror(t, d, r["key"])
        # a place in the user's home folder is not the same place of the machine
        t.ok("ssh://" in r["url"])


CLIENT = """
import http.client, json, os, socket, sys
uid = int(sys.argv[1])
os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2])
c = http.client.HTTPConnection("x"); c.sock = s
c.request("POST", "/v1/git/fetch", sys.argv[3].encode())
sys.stdout.write(c.getresponse().read().decode())
"""


@test(needs="git root lighttpd")
def another_user_fetches_as_himself(t):
    """git runs under his ids; what it leaves belongs to the daemon; his configuration, not the daemon's, counts."""
    repo, commit, http = setup(t, users={"joe": TOKEN})
    uid = pwd.getpwnam("nobody").pw_uid
    home = t.dir("nobodys")
    with open(home + "/ids", "w"):
        pass
    with open(home + "/helper", "w") as f:
        f.write("#!/bin/sh\nid -u >> %s/ids\nid -g >> %s/ids\necho username=joe\necho password=%s\n" % (home, home, TOKEN))
    os.chmod(home + "/helper", 0o755)
    with open(home + "/.gitconfig", "w") as f:
        f.write("[credential]\n\thelper = %s/helper\n" % home)
    for name in ("", "/ids", "/helper", "/.gitconfig"):
        os.chown(home + name, uid, uid)

    def as_nobody(d, **body):
        lines = t.run([sys.executable, "-c", CLIENT, str(uid), d.socket, json.dumps(body)]).stdout.strip().split("\n")
        return json.loads(lines[-1])
    with t.daemon() as d:
        os.chmod(d.socket, 0o666)
        r = as_nobody(d, url=http.url(), rev="main", env={"HOME": home})
        t.eq(r.get("result", r).get("commit"), commit, str(r))
        t.eq(set(open(home + "/ids").read().split()), {str(uid)})
        for folder, folders, files in os.walk(mirror_of(d, r["result"])):
            for name in folders + files + ["."]:
                st = os.lstat(os.path.join(folder, name))
                t.eq((st.st_uid, stat.S_IMODE(st.st_mode) & 0o022), (0, 0), name)
                t.ok(st.st_mode & 0o004, "%s can't be read by a worker" % name)
        check_mirror(t, d, r["result"]["key"])
        # incremental, with the links of packs that he does not own
        repo.commit({"a": "2"})
        repo.push()
        r = as_nobody(d, url=http.url(), rev="main", env={"HOME": home})
        t.eq(r["result"]["packs"], 1)
        # a token of his, by a helper that runs as he does
        t.eq(as_nobody(d, url=http.url(user="joe@"), rev="main", env={"HOME": home, "GITHUB_TOKEN": TOKEN})["result"]["fetched"], True)
        # a path that he may not read
        os.chmod(repo.root, 0o700)
        r = as_nobody(d, url=repo.bare, rev="main")
        t.eq(r["error"]["code"], "EACCES")


@test(needs="git root")
def nobody_takes_what_another_user_fetched(t):
    """Another user's configuration says that the URL is another repository: he alone sees that one's branch."""
    repo, evil = Repo(t), Repo(t, "evil")
    repo.grow(40)
    commit = t.git(repo.bare, "rev-parse", "main").stdout.strip()
    wrong = evil.grow(40, seed="evil")
    server = GitDaemon(t, repo.root)
    slow = Proxy(t, server.port)
    slow.hold = 5000
    uid = pwd.getpwnam("nobody").pw_uid
    home = t.dir("nobodys")
    with open(home + "/.gitconfig", "w") as f:
        f.write('[url "%s"]\n\tinsteadOf = %s\n' % (slow.url(server, "evil"), server.url()))
    got = []
    with t.daemon() as d:
        os.chmod(d.socket, 0o666)
        his = t.start([sys.executable, "-c", CLIENT, str(uid), d.socket, json.dumps({"url": server.url(), "rev": "main", "env": {"HOME": home}})],
                      stdout=subprocess.PIPE)
        t.ok(slow.held.wait(60))
        # his first step is held; the second, of every branch, begins after we have come
        x = threading.Thread(target=lambda: got.append(fetch(d, server.url(), "main")))
        x.start()
        wait_until(lambda: connections(d) >= 2, what="us")
        slow.release()
        t.eq(json.loads(his.communicate(timeout=60)[0].decode().strip().split("\n")[-1])["result"]["commit"], wrong)
        x.join(60)
        t.eq((got[0]["commit"], got[0]["fetched"]), (commit, True))


@test(needs="git root")
def a_daemon_of_an_ordinary_user(t):
    """It fetches for its own user alone, without a mount of any kind."""
    repo = Repo(t)
    repo.grow(20)
    commit = repo.grow(30)
    uid = pwd.getpwnam("nobody").pw_uid
    for folder, folders, files in os.walk(repo.root):
        for name in folders + files + ["."]:
            os.chown(os.path.join(folder, name), uid, uid)
    for name in ("store", "run", "mnt"):
        os.chown(t.dir("his-" + name), uid, uid)
    os.chown(t.path("home") if os.path.exists(t.path("home")) else t.dir("home"), uid, uid)
    socket = t.path("his-run", "s")
    log = open(t.path("his.log"), "wb")
    p = t.start([program("orch-fsd"), "--store", t.path("his-store"), "--socket", socket, "--mounts", t.path("his-mnt"), "--foreground"],
                user=uid, group=uid, extra_groups=[], stdout=log, stderr=log, cwd="/")
    wait_until(lambda: os.path.exists(socket), what="the daemon")

    def ask(who, **body):
        return json.loads(t.run([sys.executable, "-c", CLIENT, str(who), socket, json.dumps(body)]).stdout.strip().split("\n")[-1])
    r = ask(uid, url=repo.bare, rev="main", step_commits=10)
    t.eq(r.get("result", r).get("commit"), commit, str(r))
    t.eq(ask(0, url=repo.bare, rev="main")["error"]["code"], "EPERM")
    p.terminate()
    t.eq(p.wait(30), 0)


@test(needs="git root")
def a_full_disk_leaves_a_sound_mirror(t):
    """Of the store, at several sizes: the message says so, what was fetched in steps before is kept, nothing else is."""
    repo = Repo(t)
    commit = repo.grow(60, 300000)
    store = t.dir("full")
    t.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", store])
    t.finally_(lambda: subprocess.run(["umount", "-l", store]))
    with t.daemon(store=store) as d:
        for more in ({}, {"step_commits": 8}):
            e = refused(t, "ENOSPC", "disk", fetch, d, repo.bare, "main", **more)
            t.eq(os.listdir(store + "/tmp"), [])
            for key in os.listdir(store + "/git"):
                t.eq(sorted(set(os.listdir("%s/git/%s" % (store, key))) - {"steps"}), ["repo.git", "url"], e.message)
        t.run(["mount", "-o", "remount,size=300m", store])
        r = fetch(d, repo.bare, "main")
        t.eq(r["commit"], commit)
        check_mirror(t, d, r["key"])


main()
