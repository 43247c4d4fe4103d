"""The units of systemd: what the daemon needs, and nothing that would hide its mounts."""
from orchtest import *

# What gives a service a mount name space or a device policy of its own (systemd.exec(5), systemd.resource-control(5)).
HIDING = re.compile(r"Private(Tmp|Devices|Mounts|Users|IPC|Network)|Protect(System|Home|Kernel\w*|ControlGroups|Proc|Clock|Hostname)"
                    r"|(ReadWrite|ReadOnly|Inaccessible|Exec|NoExec|BindReadOnly|Bind)Paths|TemporaryFileSystem|Root\w+|DynamicUser"
                    r"|MountAPIVFS|ProcSubset|DevicePolicy|DeviceAllow|User|Group|JoinsNamespaceOf|CapabilityBoundingSet")


def unit(name):
    """{section: {key: [values]}}"""
    out, section = {}, None
    with open(os.path.join(BUILD, "deploy/systemd", name)) as f:
        for line in f:
            line = line.strip()
            if not line or line[0] in "#;":
                continue
            m = re.match(r"\[(\w+)\]$", line)
            if m:
                section = out.setdefault(m.group(1), {})
                continue
            key, value = line.split("=", 1)
            section.setdefault(key, []).append(value)
    return out


def configured(name):
    with open(os.path.join(BUILD, "Makefile")) as f:
        value = dict(re.findall(r"(?m)^(\w+) = (.*)$", f.read()))
    text = value[name]
    while "$" in text:
        text = re.sub(r"\$[({](\w+)[)}]", lambda m: value[m.group(1)], text)
    return text


@test
def mounts_outlive_the_daemon_and_are_seen(t):
    service = unit("orch-fsd.service")["Service"]
    t.eq(service["KillMode"], ["process"])
    t.eq(service["ExecStart"], [configured("bindir") + "/orch-fsd --foreground"])
    t.eq(service["ExecReload"], [configured("bindir") + "/orch-shim daemon upgrade"])
    t.eq((service["StateDirectory"], service["StateDirectoryMode"]), (["orch"], ["0700"]))
    t.eq((service["RuntimeDirectory"], service["RuntimeDirectoryPreserve"]), (["orch"], ["yes"]))
    t.eq([k for k in service if HIDING.fullmatch(k)], [], "these would hide mounts or /dev/fuse")
    t.eq(service["RestrictNamespaces"], ["user mnt"], "views and fetches for other users need these")
    t.ok(HIDING.fullmatch("ProtectKernelLogs") and HIDING.fullmatch("PrivateTmp") and not HIDING.fullmatch("NoNewPrivileges"))


@test
def the_socket_is_for_the_group(t):
    s = unit("orch-fsd.socket")["Socket"]
    t.eq(s["ListenStream"], [configured("runstatedir") + "/orch/fsd.sock"])
    t.eq((s["SocketMode"], s["SocketGroup"]), (["0660"], ["orch"]))
    defaults = t.run(["orch-fsd", "--help"], env={"XDG_RUNTIME_DIR": ""}).stdout
    if os.geteuid() == 0:
        t.ok("--socket %s " % s["ListenStream"][0] in defaults, "the daemon listens elsewhere\n" + defaults)
    with open(SRC + "/deploy/systemd/orch-sysusers.conf") as f:
        t.match(f.read(), r"(?m)^g orch -")
    t.eq(unit("orch-fsd.service")["Install"]["Also"], ["orch-fsd.socket"])


@test(needs="systemd-analyze")
def systemd_takes_them(t):
    for name in ("orch-fsd.service", "orch-fsd.socket"):
        with open(os.path.join(BUILD, "deploy/systemd", name)) as f:
            text = f.read()
        for found in ("orch-fsd", "orch-shim"):  # they need not be installed
            text = text.replace(configured("bindir") + "/" + found, "/bin/true")
        with open(t.path(name), "w") as f:
            f.write(text)
    r = t.run(["systemd-analyze", "verify", "--man=no", t.path("orch-fsd.service"), t.path("orch-fsd.socket")],
              env={"SYSTEMD_UNIT_PATH": t.tmp + ":"})
    t.eq([x for x in r.stderr.splitlines() if "orch" in x], [])
    with open(t.path("orch-fsd.service"), "a") as f:  # it has been seen to fail
        f.write("[Service]\nKillMode=moon\n")
    r = t.run(["systemd-analyze", "verify", "--man=no", t.path("orch-fsd.service")], env={"SYSTEMD_UNIT_PATH": t.tmp + ":"}, status=None)
    t.match(r.stderr, "moon")


main()
