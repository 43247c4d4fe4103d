"""Snapshots and refs through the control API."""
from orchtest import *
import base64
import urllib.parse


def q(name):
    return urllib.parse.quote(name, safe="")


def ask(t, d, method, path, body=None, status=200, code=None):
    r = d.http(method, path, body)
    t.eq(r.status, status, "%s %s: %s" % (method, path, r))
    if code:
        t.eq(r.json()["error"]["code"], code)
    return r.json()


def last(r):
    return json.loads(r.body.strip().split(b"\n")[-1])


def imported(t, d, source, **body):
    body["dir"] = source
    r = d.http("POST", "/v1/snapshots/import", body)
    t.eq(r.status, 200, str(r))
    t.eq(r.headers["Content-Type"], "application/x-ndjson")
    t.ok("result" in last(r), str(r))
    return last(r)["result"]


@test
def import_show_tree_export_delete(t):
    source = t.tree({"a": "one", "d/b": b"two", "link": ("->", "a"), "empty/": None})
    with t.daemon() as d:
        made = imported(t, d, source, ref="main", record={"commit": "abc"})
        snap = ask(t, d, "GET", "/v1/snapshots/main")
        t.eq((snap["id"], snap["refs"], snap["record"]), (made["id"], ["main"], {"commit": "abc"}))
        t.eq(ask(t, d, "GET", "/v1/snapshots/" + made["id"][:8])["id"], made["id"])
        t.eq([s["id"] for s in ask(t, d, "GET", "/v1/snapshots")["snapshots"]], [made["id"]])
        entries = {e["name"]: e for e in ask(t, d, "GET", "/v1/snapshots/main/tree")["entries"]}
        t.eq({n: e["type"] for n, e in entries.items()},
             {"a": "file", "d": "folder", "empty": "folder", "link": "symlink"})
        t.eq((entries["a"]["size"], entries["a"]["mode"], entries["link"]["target"]), (3, "0644", "a"))
        t.eq(entries["a"]["digest"], hashlib.sha256(b"one").hexdigest())
        t.eq([e["name"] for e in ask(t, d, "GET", "/v1/snapshots/main/tree?path=d")["entries"]], ["b"])
        for path, status, code in (("nope", 404, "ENOENT"), ("a", 400, "ENOTDIR"), ("..%2fx", 400, "EUSAGE"),
                                   ("%2fetc", 400, "EUSAGE"), ("d%2f", 400, "EUSAGE")):
            ask(t, d, "GET", "/v1/snapshots/main/tree?path=" + path, status=status, code=code)
        r = d.http("POST", "/v1/snapshots/main/export", {"dir": t.path("out")})
        t.ok("result" in last(r), str(r))
        t.eq(open(t.path("out/d/b"), "rb").read(), b"two")
        t.eq(os.readlink(t.path("out/link")), "a")
        ask(t, d, "DELETE", "/v1/snapshots/" + made["id"], status=409, code="EBUSY")
        ask(t, d, "DELETE", "/v1/refs/main")
        ask(t, d, "DELETE", "/v1/snapshots/" + made["id"])
        ask(t, d, "GET", "/v1/snapshots/" + made["id"], status=404, code="ENOENT")


@test
def an_import_continues_the_lineage_of_its_ref(t):
    source = t.tree({"a": "one", "b": "two"})
    with t.daemon() as d:
        first = imported(t, d, source, ref="main")
        inos = {e["name"]: (e["ino"], e["mtime"]) for e in ask(t, d, "GET", "/v1/snapshots/main/tree")["entries"]}
        with open(source + "/b", "w") as f:
            f.write("changed")
        second = imported(t, d, source, ref="main")
        t.ok(second["id"] != first["id"])
        t.eq(ask(t, d, "GET", "/v1/snapshots/main")["parent"], first["id"])
        again = {e["name"]: (e["ino"], e["mtime"]) for e in ask(t, d, "GET", "/v1/snapshots/main/tree")["entries"]}
        t.eq(again["a"], inos["a"])
        r = d.http("GET", "/v1/diff?a=%s&b=main" % first["id"])
        lines = [json.loads(x) for x in r.body.split(b"\n") if x]
        t.eq([(x["path"], x["change"]) for x in lines[:-1]], [("b", "modified")])
        t.eq((lines[0]["a"]["size"], lines[0]["b"]["size"], lines[-1]), (3, 7, {"result": {"count": 1}}))


@test
def names_that_are_not_utf8_go_as_base64(t):
    source = t.dir()
    os.makedirs(os.fsencode(source) + b"/\xff")
    with open(os.fsencode(source) + b"/\xff/\xfe", "w") as f:
        f.write("x")
    with t.daemon() as d:
        body = {"dir_b64": base64.b64encode(os.fsencode(source)).decode(), "ref": "main"}
        t.ok("result" in last(d.http("POST", "/v1/snapshots/import", body)))
        name = ask(t, d, "GET", "/v1/snapshots/main/tree")["entries"][0]["name_b64"]
        t.eq(base64.b64decode(name), b"\xff")
        got = ask(t, d, "GET", "/v1/snapshots/main/tree?path_b64=" + q(name))
        t.eq(base64.b64decode(got["entries"][0]["name_b64"]), b"\xfe")


@test
def refs_move_by_compare_and_swap(t):
    with t.daemon() as d:
        one = imported(t, d, t.tree({"a": "1"}))["id"]
        two = imported(t, d, t.tree({"a": "2"}))["id"]
        put = "/v1/refs/" + q("feature/x")
        t.eq(ask(t, d, "PUT", put, {"id": one, "expect": ""})["id"], one)
        ask(t, d, "PUT", put, {"id": two, "expect": ""}, 409, "ECONFLICT")
        ask(t, d, "PUT", put, {"id": two, "expect": two}, 409, "ECONFLICT")
        t.eq(ask(t, d, "PUT", put, {"id": two, "expect": one})["previous"], one)
        t.eq(ask(t, d, "PUT", put, {"id": one[:10]})["id"], one)
        ask(t, d, "PUT", put, {"id": "0" * 64}, 404, "ENOENT")
        ask(t, d, "PUT", put, {"id": one, "expect": "xyz"}, 400, "EUSAGE")
        t.eq([(r["name"], r["id"]) for r in ask(t, d, "GET", "/v1/refs")["refs"]], [("feature/x", one)])
        t.eq(ask(t, d, "GET", "/v1/refs?prefix=nope")["refs"], [])
        ask(t, d, "DELETE", put + "?expect=" + two, status=409, code="ECONFLICT")
        ask(t, d, "DELETE", put + "?expect=" + one)
        ask(t, d, "GET", put, status=404, code="ENOENT")


@test
def one_of_many_setters_wins(t):
    with t.daemon() as d:
        ids = [imported(t, d, t.tree({"a": str(i)}))["id"] for i in range(8)]
        won = []

        def set_it(i):
            if d.http("PUT", "/v1/refs/r", {"id": ids[i], "expect": ""}).status == 200:
                won.append(ids[i])
        threads = [threading.Thread(target=set_it, args=(i,)) for i in range(8)]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        t.eq(won, [ask(t, d, "GET", "/v1/refs/r")["id"]])


@test
def bad_names_of_refs_are_refused(t):
    with t.daemon() as d:
        one = imported(t, d, t.tree({"a": "1"}))["id"]
        for name in ("../x", "a..b", "/a", "a/", "a.lock", "a b", "a~b", ".a", "a\x01", "@{", "x" * 1001):
            ask(t, d, "PUT", "/v1/refs/" + q(name), {"id": one}, 400, "EUSAGE")
            body = {"dir": t.path("d1"), "ref": name}
            t.eq(d.http("POST", "/v1/snapshots/import", body).status, 400, name)
        t.eq(ask(t, d, "GET", "/v1/refs")["refs"], [])


@test
def an_import_whose_expectation_fails_changes_nothing(t):
    with t.daemon() as d:
        one = imported(t, d, t.tree({"a": "1"}), ref="main", expect="")["id"]
        r = d.http("POST", "/v1/snapshots/import", {"dir": t.tree({"a": "2"}), "ref": "main", "expect": ""})
        t.eq((r.status, r.json()["error"]["code"]), (409, "ECONFLICT"))
        t.eq(ask(t, d, "GET", "/v1/refs/main")["id"], one)
        t.eq(os.listdir(t.path("store/tmp")), [])


@test
def import_errors_name_their_cause(t):
    with t.daemon() as d:
        for body, status, code, text in (
                ({"dir": t.path("none")}, 404, "ENOENT", "none"), ({"dir": "relative"}, 400, "EUSAGE", "absolute"),
                ({"dir": t.dir(), "parent": "nope"}, 404, "ENOENT", "nope"), ({}, 400, "EUSAGE", "'dir' is missing"),
                ({"dir": t.dir(), "exclude": "*.o"}, 400, "EUSAGE", "list of strings"),
                ({"dir": t.dir(), "record": []}, 400, "EUSAGE", "not an object")):
            r = d.http("POST", "/v1/snapshots/import", body)
            t.eq((r.status, r.json()["error"]["code"]), (status, code), str(r))
            t.ok(text in r.json()["error"]["message"], str(r))
        t.eq(os.listdir(t.path("store/tmp")), [])


@test
def three_way_application(t):
    with t.daemon() as d:
        base = imported(t, d, t.tree({"a": "1", "b": "1"}))["id"]
        mine = imported(t, d, t.tree({"a": "1", "b": "mine", "made": "x"}), parent=base)["id"]
        clean = imported(t, d, t.tree({"a": "2", "b": "1"}), parent=base)["id"]
        clash = imported(t, d, t.tree({"a": "2", "b": "theirs"}), parent=base)["id"]
        r = d.http("POST", "/v1/snapshots/apply", {"base": base, "incoming": clean, "mine": mine, "ref": "merged"})
        got = last(r)["result"]
        t.eq((got["changed"], got["conflicts"]), (1, []))
        names = {e["name"]: e["size"] for e in ask(t, d, "GET", "/v1/snapshots/merged/tree")["entries"]}
        t.eq(names, {"a": 1, "b": 4, "made": 1})
        r = d.http("POST", "/v1/snapshots/apply", {"base": base, "incoming": clash, "mine": mine, "ref": "merged"})
        e = last(r)["error"]
        t.eq((e["code"], [c["path"] for c in e["conflicts"]]), ("ECONFLICT", ["b"]))
        t.eq(ask(t, d, "GET", "/v1/refs/merged")["id"], got["id"])
        r = d.http("POST", "/v1/snapshots/apply", {"base": base, "incoming": clash, "mine": mine, "conflict": "replace"})
        t.eq(len(last(r)["result"]["conflicts"]), 1)
        r = d.http("POST", "/v1/snapshots/apply", {"base": base, "incoming": base, "mine": mine, "conflict": "source"})
        t.eq((last(r)["result"]["changed"], last(r)["result"]["reset"]), (0, 1))
        t.eq(d.http("POST", "/v1/snapshots/apply", {"base": base, "incoming": base, "mine": base,
                                                    "conflict": "x"}).status, 400)


@test
def verify_and_store_and_metrics(t):
    with t.daemon() as d:
        imported(t, d, t.tree({"a": "1" * 100, "b": "2" * 50}))
        s = ask(t, d, "GET", "/v1/store")
        t.eq((s["objects"], s["object_bytes"], s["snapshots"], s["path"]), (2, 150, 1, d.store))
        t.eq(last(d.http("POST", "/v1/store/verify"))["result"]["bad"], [])
        digest = hashlib.sha256(b"1" * 100).hexdigest()
        path = "%s/objects/%s/%s/%s" % (d.store, digest[:2], digest[2:4], digest)
        os.chmod(path, 0o644)
        with open(path, "r+b") as f:
            f.write(b"9")
        r = last(d.http("POST", "/v1/store/verify"))["result"]
        t.eq((r["bad_count"], r["bad"][0]["kind"]), (1, "object"), str(r))
        t.ok(digest in r["bad"][0]["name"])
        text = d.http("GET", "/metrics").body.decode()
        t.match(text, r"^orch_objects 2$")
        t.match(text, r"^orch_requests_total [0-9]+$")


@test
def a_difference_with_a_path_that_is_too_long_is_no_damage(t):
    source = t.tree({"a": "one"})
    with t.daemon() as d:
        imported(t, d, source, ref="flat")
        folder = os.open(source, os.O_RDONLY)
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=folder)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = below
        os.close(folder)
        imported(t, d, source, ref="deep")
        r = d.http("GET", "/v1/diff?a=flat&b=deep")
        t.eq(json.loads(r.body.splitlines()[-1])["error"]["code"], "ENAMETOOLONG")


main()
