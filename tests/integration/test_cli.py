"""The command line without a daemon: help, slips, where options come from, what is refused before anything is touched."""
from orchtest import *


def shim(t, *args, status=0, env=None, cwd=None):
    base = {"ORCH_SOCKET": t.path("none"), "ORCH_STORE": t.path("none.store"), "ORCH_MOUNTS": t.path("none.mnt")}
    base.update(env or {})
    return t.run(["orch-shim", *args], status=status, env=base, cwd=cwd)


def build_refused(t, *args, match, env=None, source=None):
    """orch-shim build ends with 2 and leaves nothing: no daemon, no folder."""
    cwd = source or t.dir()
    before = sorted(os.listdir(cwd))
    r = shim(t, "build", *args, status=2, env=env, cwd=cwd)
    t.match(r.stderr, match)
    t.eq(sorted(os.listdir(cwd)), before)
    t.eq([n for n in os.listdir(t.tmp) if n.startswith("none")], [])
    return r


@test
def version_and_help_go_to_standard_output(t):
    t.match(shim(t, "--version").stdout, r"^orch-shim \d+\.\d+")
    for words in (["--help"], ["help"], ["snapshot", "--help"], ["build", "--help"], ["workspace", "commit", "-h"]):
        r = shim(t, *words)
        t.match(r.stdout, "^Usage: orch-shim")
        t.eq(r.stderr, "")


@test
def every_command_has_help(t):
    text = shim(t, "--help").stdout
    commands = re.findall(r"^  ((?:[a-z]+ )?[a-z]+)  +\S", text, re.M)
    t.ok(len(commands) > 25, str(commands))
    for command in commands:
        t.match(shim(t, *command.split(), "--help").stdout, "^Usage: orch-shim %s" % command)


@test
def what_is_not_in_this_version_is_not_listed_and_refused(t):
    text = shim(t, "--help").stdout
    for words in (["lfs", "list"], ["store", "gc"], ["store", "pin", "x"], ["workspace", "sync", "w"],
                  ["workspace", "revert", "w"]):
        t.match(shim(t, *words, status=2).stderr, "%s is not in this version of orch" % " ".join(words[:2]))
        t.ok(" ".join(words[:2]) not in text, words)
    t.match(shim(t, "snapshot", "import", "--archive", "x", "--ref", "z", status=2).stderr,
            "--archive is not supported by this version")
    t.match(shim(t, "snapshot", "export", "x", "y.tar.zst", status=2).stderr, "not in this version")


@test
def slips_are_named_with_the_nearest(t):
    t.match(shim(t, "biuld", status=2).stderr, "did you mean build")
    t.match(shim(t, "snapshot", "imprt", status=2).stderr, "did you mean snapshot import")
    t.match(shim(t, status=2).stderr, "--help")
    t.match(shim(t, "snapshot", status=2).stderr, "snapshot what")
    t.match(shim(t, "ref", "list", "--jsn", status=2).stderr, "did you mean --json")
    t.match(shim(t, "ref", "list", "x", status=2).stderr, "unexpected argument 'x'")
    t.match(shim(t, "ref", "set", "x", status=2).stderr, "an argument is missing")
    t.match(shim(t, "ref", "list", "--", "x", status=2).stderr, "nothing behind --")


@test
def without_a_daemon_commands_say_how_to_start_one(t):
    for words in (["snapshot", "list"], ["ref", "list"], ["store", "stat"], ["daemon", "status"], ["workspace", "drop", "w"], ["gc"]):
        r = shim(t, *words, status=3)
        t.match(r.stderr, "no daemon answers")
        t.match(r.stderr, "orch-fsd --background --socket .*/none")
        t.eq(r.stdout, "")
    t.match(shim(t, "ref", "list", "--socket", "/" + "x" * 200, status=2).stderr, "at most 107 bytes")


@test
def messages_as_json(t):
    r = shim(t, "--log-format", "json", "ref", "list", status=3)
    lines = [json.loads(x) for x in r.stderr.splitlines()]
    t.eq(lines[0]["level"], "error")
    t.match(lines[0]["message"], "no daemon answers")


@test
def doctor_tells_what_each_lack_costs(t):
    r = shim(t, "doctor", "--json", status=None)
    checks = {c["name"]: c for c in json.loads(r.stdout)["checks"]}
    t.ok({"fuse", "libfuse", "passthrough", "views", "io_uring", "reflink", "sandbox", "cgroup-v2", "docker", "podman", "daemon"} <= set(checks))
    for c in checks.values():
        t.ok(c["ok"] or c["cost"], c)
    t.eq(r.status, 1 if any(c["needed"] for c in checks.values()) else 0)
    t.match(shim(t, "doctor", status=None).stdout, r"^WHAT +HERE +FOUND")


@test
def a_build_is_refused_before_anything_is_touched(t):
    build_refused(t, "--cachekey", "x", "--", "true", match="did you mean --cache-key")
    build_refused(t, "--timeout", "soon", "--", "true", match="--timeout: 'soon' is not a whole number")
    build_refused(t, match="nothing to run")
    build_refused(t, "make", match="the command that is run stands behind --")
    build_refused(t, "--source", t.path("absent"), "--", "true", match="--source .*absent: No such file")
    build_refused(t, "--source", "git:x@y", "--", "true", match="Git source is not supported")
    build_refused(t, "--output", "bin", "--", "true", match="--output")
    build_refused(t, "--test-results", "../x.xml", "--", "true", match="--test-results '../x.xml'")
    build_refused(t, "--env", "A B=1", "--", "true", match="--env")
    build_refused(t, "--workspace", "a/b", "--", "true", match="--workspace")
    build_refused(t, "--project-path", "absent", "--", "true", match="--project-path .*absent")
    build_refused(t, "--provider-strategy", "k8s", "--", "true", match="'k8s' is not supported by this version of orch .it has: sandbox")
    build_refused(t, "--provider-strategy", "sandbx", "--", "true", match="did you mean sandbox")
    build_refused(t, "--engine", "unity", "--", "true", match="'unity' is not supported by this version")
    build_refused(t, "--kube-volume", "v", "--", "true", match="--kube-volume is not supported")
    build_refused(t, "--container-hook-files=x", "--", "true", match="--container-hook-files is not supported")
    build_refused(t, "--", "true", env={"INPUT_CUSTOMJOB": "x"}, match="INPUT_CUSTOMJOB is not supported")
    build_refused(t, "--output-dir", "/proc/nowhere", "--", "true", match="can't be made")


@test
def values_know_where_they_came_from(t):
    env = {"INPUT_TARGETPLATFORM": "Android", "cacheKey": "k", "BUILD_NAME": "n", "ORCH_TIMEOUT": "5", "TIMEOUT": "9",
           "orchestratorCluster": "local", "androidKeystorePass": "s3cret"}
    r = shim(t, "build", "--print-input", "--json", "--containerMemory", "3072", env=env)
    got = {i["name"]: i for i in json.loads(r.stdout)["inputs"]}
    for name, value, source in (("targetPlatform", "Android", "INPUT_TARGETPLATFORM"), ("cacheKey", "k", "cacheKey"),
                                ("buildName", "n", "BUILD_NAME"), ("timeout", "5", "ORCH_TIMEOUT"),
                                ("providerStrategy", "local", "orchestratorCluster"), ("androidKeystorePass", "***", "androidKeystorePass"),
                                ("containerMemory", "3072", "--containerMemory"), ("network", "on", "default")):
        t.eq((got[name]["value"], got[name]["from"]), (value, source))
    t.ok("s3cret" not in r.stdout + r.stderr)
    r = shim(t, "build", "--print-input", "--env", "A=s3cret", "--env", "B", "--output", "a=1", "--output", "b=2")
    t.match(r.stdout, r"^env +A=\*\*\* B +--env$")
    t.match(r.stdout, r"^output +a=1 b=2 +--output$")
    t.match(shim(t, "build", "--print-input", env=env).stdout, r"^cacheKey +k +cacheKey$")


@test
def common_variables_of_others_only_warn(t):
    r = shim(t, "build", "--print-input", env={"REGION": "mars"})
    t.match(r.stderr, "warning: REGION is set, but region is not supported")


@test
def a_dry_run_tells_and_does_nothing(t):
    source = t.tree({".git/HEAD": "ref: refs/heads/f/x\n",
                     ".git/config": '[remote "origin"]\n\turl = https://u:p@example.org/a/b.git\n'})
    r = shim(t, "build", "--dry-run", "--json", "--output", "bin=*.o", "--", "make", "-j2", cwd=source)
    plan = json.loads(r.stdout)
    t.eq(plan["key"], "https%3A%2F%2Fexample.org%2Fa%2Fb/f%2Fx/StandaloneLinux64/generic")
    t.eq((plan["command"], plan["outputs"], plan["source"]), (["make", "-j2"], ["bin=*.o"], source))
    t.eq(os.listdir(source), [".git"])


@test
def the_pages_are_those_of_the_tables(t):
    text = open(os.path.join(SRC, "docs/cli.md")).read()
    t.eq(text.split("\n---\n", 1)[1].strip(), shim(t, "--help-markdown").stdout.strip(),
         "docs/cli.md: replace what is below its line by the output of orch-shim --help-markdown")


main()
