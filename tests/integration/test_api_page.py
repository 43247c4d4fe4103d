"""The examples of docs/api.md work as they stand, and the page and the route table name the same routes."""
from gitservers import Repo
from orchtest import *


def page():
    with open(SRC + "/docs/api.md") as f:
        return f.read()


def examples():
    """The blocks of lines: those that need no mount, those that do, those that need a control group, those that need idmapped mounts."""
    text = page()[page().index("## Examples\n"):]
    return [block.strip().split("\n") for block in re.findall(r"```\n(.*?)```", text, re.S)]


def request_of(line):
    """(method, path) of a curl line."""
    path = re.search(r"http://orch(/[^' ?]*)", line).group(1)
    given = re.search(r" -X (\w+)", line)
    return (given.group(1) if given else "POST" if " -d " in line else "GET"), path


def route_of(method, path):
    """The route's (method, pattern) that serves it; a pattern without {} comes first."""
    fits = [r for r in routes_of_table() if r[0] == method and re.fullmatch(re.escape(r[1]).replace(r"\{\}", "[^/]+"), path)]
    return min(fits, key=lambda r: r[1].count("{}")) if fits else None


def names_in(text):
    """Members in the page's notation, {name: may be absent}; {"a":{"b"?}} has both."""
    text = re.sub(r'(?<=":)"[^"]*"', "", text)  # values
    # A list may be empty, and there may be no line but the last.
    perhaps = re.findall(r"\[\{[^\]]*\}\]|lines `[^`]*`", text)
    out = {name: bool(mark) for name, mark in re.findall(r'"(\w+)"(?::\w+)?(\??)', text)}
    always = out if not perhaps else names_in(re.sub(r"\[\{[^\]]*\}\]|lines `[^`]*`", "", text))
    return {name: always.get(name, True) for name in out}


def rows():
    """{(method, pattern): the answer's cell}"""
    out = {}
    for m in re.finditer(r"^\| `(GET|POST|PUT|DELETE) (/[^`]*)`([^|]*)\|((?:[^|\\]|\\.)*)\|((?:[^|\\]|\\.)*)\|$", page(), re.M):
        out[(m.group(1), re.sub(r"/(REV|NAME|ID|KEY)\b", "/{}", m.group(2).split("?")[0]))] = m.group(5)
    return out


def members_of(route):
    """Members that the answer of a route may have, {name: may be absent}."""
    cell = rows()[route]
    kinds = {k: names_in(v) for k, v in re.findall(r"(?m)^([A-Z]+): `(\{.*?\})`", page())}
    out = names_in(cell)
    if "as import" in cell:
        out.update(names_in(rows()[("POST", "/v1/snapshots/import")]))
    for kind, names in kinds.items():
        if re.search(r"\b%s\b" % kind, cell):
            optional = "%s..." % kind in cell or "%s?" % kind in cell or "lines" in cell
            out.update({k: v or optional for k, v in names.items()})
    return out


def keys_of(value, free=("record", "mount")):
    """Names of members at any depth; what is not ours to name is left out."""
    if isinstance(value, list):
        return set().union(*[keys_of(x) for x in value]) if value else set()
    if not isinstance(value, dict):
        return set()
    return set(value).union(*[keys_of(v) for k, v in value.items() if k not in free])


def check_members(t, route, line, documents):
    """Both ways: what is answered is in the page, what the page promises is answered."""
    events = {"event", "phase", "result"}
    have = set().union(*[keys_of({k: v for k, v in x.items()}) for x in documents])
    if any("event" in x for x in documents):
        have -= {"event", "phase"}
    have -= {"result"}
    may = members_of(route)
    progress = set().union(*[set(x) for x in documents if x.get("event") == "progress"]) - events
    t.eq(sorted(have - set(may) - progress - events), [], "answered, but not in the row of %s %s\n%s" % (*route, line))
    deep = have.union(*[keys_of(x, free=("record",)) for x in documents])
    t.eq(sorted(k for k, optional in may.items() if not optional and k not in deep and k not in events), [],
         "in the row of %s %s, but not answered\n%s" % (*route, line))


def run_lines(t, d, lines, env):
    for line in lines:
        r = t.run(["sh", "-c", "set -eu; " + line], env=env)
        route = route_of(*request_of(line))
        t.ok(route, "no route for: " + line)
        if route[1] == "/metrics":
            t.match(r.stdout, r"(?m)^orch_requests_total \d+$")
            continue
        documents = [json.loads(x) for x in r.stdout.strip().split("\n")]
        t.ok(not isinstance(documents[-1].get("error"), dict), "%s\n%s" % (line, r.stdout))
        if not line.endswith("prefix=branch/'"):
            check_members(t, route, line, documents)


def prepare(t, d):
    other = d.http("POST", "/v1/snapshots/import", {"dir": t.tree({"a": "other", "e": "5"})}).body
    repo = Repo(t)
    repo.commit()
    repo.push()
    return {"SOCK": d.socket, "GIT": repo.bare, "KEY": hashlib.sha256(b"file://" + repo.bare[:-4].encode()).hexdigest(), "DIR": t.tree({"a": "1", "d/b": "2", "l": ("->", "a")}), "OUT": t.path("out"),
            "ID": json.loads(other.strip().split(b"\n")[-1])["result"]["id"]}


@test
def the_examples_work(t):
    with t.daemon() as d:
        run_lines(t, d, examples()[0], prepare(t, d))


def control_group(t):
    """A control group of the test's own that can be frozen, with a process in it."""
    for root in ("/sys/fs/cgroup/freezer", "/sys/fs/cgroup"):
        group = "%s/orch.%s" % (root, t.tag)
        p = t.start(["sleep", "1000"])
        try:
            os.mkdir(group)
            t.finally_(lambda: wait_until(lambda: remove(group), what="the end of the control group"))
            with open(group + "/cgroup.procs", "w") as f:
                f.write(str(p.pid))
        except OSError:
            continue
        t.finally_(lambda: (p.kill(), p.wait()))
        if os.path.exists(group + "/freezer.state") or os.path.exists(group + "/cgroup.freeze"):
            return group, p.pid
    skip("freezer", "no control group can be made that can be frozen")


def remove(group):
    try:
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@test
def the_examples_of_jobs_work(t):
    group, pid = control_group(t)
    with t.daemon() as d:
        env = dict(prepare(t, d), GROUP=group, PID=str(pid))
        run_lines(t, d, [x for x in examples()[0] if "import" in x], env)
        run_lines(t, d, examples()[2], env)


@test(needs="fuse", timeout=180)
def the_examples_with_mounts_work(t):
    d = t.daemon()
    d.start()
    env = prepare(t, d)
    for block in examples()[:2]:
        run_lines(t, d, block, env)
    t.eq(d.process.wait(30), 0)
    d.process = None


@test(needs="fuse root idmap")
def the_examples_of_views_work(t):
    with t.daemon() as d:
        env = prepare(t, d)
        run_lines(t, d, [x for x in examples()[0] if "import" in x] + examples()[3], env)


@test
def every_route_has_an_example(t):
    met = {route_of(*request_of(line)) for block in examples() for line in block}
    t.eq(sorted(set(routes_of_table()) - met), [], "routes of fsd/keeper/routes.c without an example in docs/api.md")


@test
def the_check_of_members_sees_what_is_missing(t):
    t.eq(names_in('{"a":"x","b"?,"c":{"d"},"e":bool?}'), {"a": False, "b": True, "c": False, "d": False, "e": True})
    t.eq(names_in('lines `{"x"}`, last `{"b":[{"n"}],"c"}`'), {"x": True, "b": False, "n": True, "c": False})
    t.eq(keys_of({"a": [{"b": 1}], "record": {"x": 1}, "c": {"d": {}}}), {"a", "b", "record", "c", "d"})
    route = ("GET", "/healthz")
    check_members(t, route, "", [{"status": "ok"}])
    for wrong in ({"status": "ok", "moon": 1}, {}):
        try:
            check_members(t, route, "", [wrong])
        except Failure:
            continue
        raise Failure("%s was taken for an answer of %s" % (wrong, route))


def routes_of_page():
    out = set()
    for method, target in re.findall(r"^\| `(GET|POST|PUT|DELETE) (/[^`]*)`", page(), re.M):
        path = target.split("?")[0]
        out.add((method, re.sub(r"/(REV|NAME|ID|KEY)\b", "/{}", path)))
    return out


def routes_of_table():
    with open(SRC + "/fsd/keeper/routes.c") as f:
        text = f.read()
    text = re.sub(r'\bREV "', '"/v1/snapshots/{}', text)
    text = re.sub(r'\bWS "', '"/v1/workspaces/{}', text)
    text = re.sub(r"\bREV,", '"/v1/snapshots/{}",', text)
    text = re.sub(r"\bWS,", '"/v1/workspaces/{}",', text)
    return set(re.findall(r'\{"([A-Z]+)", "(/[^"]*)"', text))


@test
def the_page_names_every_route(t):
    t.ok(len(routes_of_table()) > 20)
    t.eq(routes_of_page() ^ routes_of_table(), set())


main()
