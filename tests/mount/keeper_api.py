"""What tests of workspaces ask a keeper."""
import json
import os

from orchtest import *


def ask(t, d, method, path, body=None, status=200, code=None):
    r = d.http(method, path, body)
    t.eq(r.status, status, "%s %s: %s" % (method, path, r))
    if code:
        t.eq(r.json()["error"]["code"], code)
    return r.json()


def lines(r):
    return [json.loads(x) for x in r.body.split(b"\n") if x]


def stream(t, d, method, path, body=None):
    r = d.http(method, path, body)
    last = lines(r)[-1]
    t.ok("result" in last, "%s %s: %s" % (method, path, r))
    return last["result"]


def started(t, files=None, args=(), env=None):
    """A daemon with a snapshot `main`."""
    d = t.daemon(args, env=env)
    d.start()
    stream(t, d, "POST", "/v1/snapshots/import", {"dir": t.tree(files or {"a": "one", "d/b": "two"}), "ref": "main"})
    return d


def create(t, d, name, **body):
    return ask(t, d, "POST", "/v1/workspaces", dict(body, name=name, **({} if "from" in body else {"from": "main"})))


def fork(t, d, source, name, **body):
    return ask(t, d, "POST", "/v1/workspaces/%s/fork" % source, dict(body, name=name))


def commit(t, d, name, **body):
    return stream(t, d, "POST", "/v1/workspaces/%s/commit" % name, body)


def export(t, d, rev):
    """A folder with the content of a snapshot."""
    out = t.path("export%d" % len(os.listdir(t.tmp)))
    stream(t, d, "POST", "/v1/snapshots/%s/export" % rev.replace("/", "%2F"), {"dir": out})
    return out


def changes(d, name, since=0):
    return {x["path"]: x["change"] for x in lines(d.http("GET", "/v1/workspaces/%s/changes?since=%d" % (name, since)))[:-1]}


def drop(t, d, name):
    ask(t, d, "DELETE", "/v1/workspaces/" + name)


def show(t, d, name):
    return ask(t, d, "GET", "/v1/workspaces/" + name)


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def layers(d):
    return len(os.listdir(d.store + "/layers"))


def verify(t, d):
    t.eq(stream(t, d, "POST", "/v1/store/verify")["bad"], [])
