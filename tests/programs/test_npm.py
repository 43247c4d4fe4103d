#!/usr/bin/env python3
"""npm in a workspace, without a registry: packages in folders and tarballs."""
from programslib import *

tools("node", "npm")
PACKAGES = 20
QUIET = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"]


def npm(work, *args, **kwargs):
    env = {"npm_config_cache": work.path + "/.npm", "npm_config_update_notifier": "false"}
    return work.run(["npm", *args], env=env, timeout=600, **kwargs).stdout


def package(name, version="1.0.0", **more):
    return json.dumps(dict({"name": name, "version": version, "main": "index.js", "license": "MIT"}, **more), indent=2)


def packages(work):
    """Tarballs p0 ... that need one another, a folder, a package with a program and a script of its own."""
    for i in range(PACKAGES):
        needs = {"p%d" % j: "file:%s/packed/p%d-1.0.0.tgz" % (work.path, j) for j in (i - 1, i // 2) if 0 <= j < i}
        files = {"package.json": package("p%d" % i, dependencies=needs),
                 "index.js": "".join("const d%d = require('p%d');\n" % (k, int(n[1:])) for k, n in enumerate(needs))
                 + "module.exports = %d;\n" % i}
        files.update({"lib/d%d/f%d.js" % (k % 10, k): "module.exports = %d;\n" % k for k in range(100)})
        work.write(files, at="source/p%d" % i)
    work.write({"package.json": package("folder"), "index.js": "module.exports = 'folder';\n"}, at="source/folder")
    work.write({"package.json": package("tool", bin={"say": "say.js"}, scripts={"postinstall": "node -e \"require('fs').writeFileSync('made', 'yes')\""}),
                "say.js": "#!/usr/bin/env node\nconsole.log('said');\n", "index.js": "module.exports = 'tool';\n"}, at="source/tool")
    work.write({".keep": ""}, at="packed")
    npm(work, "pack", "--silent", "--pack-destination", "packed", *["./source/p%d" % i for i in range(PACKAGES)], "./source/tool")


def project(work):
    needs = {"p%d" % i: "file:../packed/p%d-1.0.0.tgz" % i for i in range(PACKAGES)}
    needs.update({"folder": "file:../source/folder", "tool": "file:../packed/tool-1.0.0.tgz"})
    text = "".join("if (require('%s/lib/d%d/f%d.js') !== %d) throw new Error('%s');\n" % (n, k % 10, k, k, n)
                   for n in needs if n[0] == "p" for k in range(100))
    work.write({"package.json": package("project", dependencies=needs, scripts={"said": "say"}),
                "index.js": text + "console.log([%s].join(' '));\n" % ", ".join("require('%s')" % n for n in needs)}, at="project")


def sound(work):
    t = work.t
    npm(work, "ls", "--all", cwd="project")
    want = " ".join([str(i) for i in range(PACKAGES)] + ["folder", "tool"])
    t.eq(work.run(["node", "index.js"], cwd="project").stdout, want + "\n")
    t.match(npm(work, "run", "said", cwd="project"), "^said$")
    t.eq(work.run(["cat", "node_modules/tool/made"], cwd="project").stdout, "yes")
    t.ok(os.path.islink(work.path + "/project/node_modules/folder"))


@program(needs="node npm")
def npm_installs(work):
    t = work.t
    with work.step("npm pack"):
        packages(work)
    project(work)
    with work.step("npm install"):
        npm(work, "install", *QUIET, cwd="project")
    sound(work)
    with work.step("npm ci"):
        npm(work, "ci", *QUIET, cwd="project")
    sound(work)
    work.move_on()
    with work.step("npm ls, node"):
        sound(work)
    with open(work.path + "/project/package-lock.json") as f:
        lock = f.read()
    t.match(npm(work, "install", *QUIET, cwd="project"), "up to date")
    with open(work.path + "/project/package-lock.json") as f:
        t.eq(f.read(), lock)
    with work.step("npm ci"):
        npm(work, "ci", *QUIET, cwd="project")
    npm(work, "cache", "verify")
    sound(work)
    npm(work, "uninstall", *QUIET, "tool", cwd="project")
    t.ok(not os.path.lexists(work.path + "/project/node_modules/.bin/say"))


main()
