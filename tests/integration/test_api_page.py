"""The examples of docs/api.md work as they stand, and the page and the route table name the same routes."""
from orchtest import *


def page():
    with open(SRC + "/docs/api.md") as f:
        return f.read()


def examples():
    return re.search(r"## Examples\n.*?```\n(.*?)```", page(), re.S).group(1).strip().split("\n")


@test
def the_examples_work(t):
    source = t.tree({"a": "1", "d/b": "2"})
    with t.daemon() as d:
        for line in examples():
            r = t.run(["sh", "-c", "set -eu; " + line], env={"SOCK": d.socket, "DIR": source})
            last = json.loads(r.stdout.strip().split("\n")[-1])
            t.ok("error" not in last, "%s\n%s" % (line, r.stdout))


def routes_of_page():
    out = set()
    for method, target in re.findall(r"^\| `(GET|POST|PUT|DELETE) (/[^`]*)`", page(), re.M):
        path = target.split("?")[0]
        out.add((method, re.sub(r"/(REV|NAME)\b", "/{}", path)))
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
