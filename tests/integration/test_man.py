"""Man pages are well-formed and know every option of their program."""
from orchtest import *


def page_of(name):
    for root in (BUILD, SRC):
        path = os.path.join(root, "docs/man", name)
        if os.path.exists(path):
            with open(path) as f:
                return path, f.read()
    raise Failure("no %s" % name)


@test
def the_page_of_the_daemon_has_every_option(t):
    _, text = page_of("orch-fsd.8")
    options = set(re.findall(r"^ +(--[a-z-]+)", t.run(["orch-fsd", "--help"]).stdout, re.M))
    t.ok(len(options) > 5, "orch-fsd --help shows no options")
    described = set(x.replace("\\-", "-") for x in re.findall(r"^\.B[IR]? +(\\-\\-[a-z\\-]+)", text, re.M))
    t.eq(sorted(described), sorted(options))


@test
def pages_are_well_formed(t):
    for name in ("orch-fsd.8", "orch-shim.1"):
        path, text = page_of(name)
        t.match(text, r"^\.TH ")
        t.match(text, r"^\.SH NAME")
        if shutil.which("groff"):
            t.eq(t.run(["groff", "-man", "-Tutf8", "-ww", "-z", path]).stderr, "")
        if shutil.which("mandoc"):
            r = t.run(["mandoc", "-T", "lint", "-W", "warning", path], status=None)
            t.eq((r.status, r.stdout + r.stderr), (0, ""))


main()
