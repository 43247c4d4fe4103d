#!/usr/bin/env python3
"""PostgreSQL with its cluster in a workspace: pgbench, kill -9 of the server, recovery, its own checks."""
import glob

from programslib import *

# Debian keeps the server's programs beside one another, a folder for each version.
BIN = (sorted(glob.glob("/usr/lib/postgresql/*/bin/")) or [""])[-1]
orchtest.FEATURES["postgresql"] = lambda: None if os.path.exists(BIN + "pg_ctl") else "no package postgresql"
SCALE = int(os.environ.get("ORCH_PGBENCH_SCALE", "3"))
TRANSACTIONS = int(os.environ.get("ORCH_PGBENCH_TRANSACTIONS", "400"))
CLIENTS = 4

# What pgbench leaves unchanged, whatever was cut off: each of its transactions moves one delta through four tables.
SUMS = """select (select sum(abalance) from pgbench_accounts) = (select coalesce(sum(delta), 0) from pgbench_history),
	(select sum(bbalance) from pgbench_branches) = (select coalesce(sum(delta), 0) from pgbench_history),
	(select sum(tbalance) from pgbench_tellers) = (select coalesce(sum(delta), 0) from pgbench_history)"""


class Server:
    def __init__(self, work, folder=None):
        self.work, self.t = work, work.t
        self.sockets = work.outside("other" if folder else "pg")
        self.log = self.sockets + "/log"
        self.data = (folder or work.path) + "/data"
        self.env = {"PGHOST": self.sockets, "PGDATA": self.data, "PGUSER": "orch", "PGDATABASE": "postgres"}

    def tool(self, name, *args, **kwargs):
        return self.work.run([BIN + name, *args], env=self.env, **kwargs)

    def make(self):
        self.tool("initdb", "--data-checksums", "--auth=trust", "--username=orch", "--encoding=UTF8", "--locale=C")
        with open(self.data + "/postgresql.conf", "a") as f:
            f.write("listen_addresses = ''\nmin_wal_size = 32MB\nmax_wal_size = 48MB\n"
                    "checkpoint_timeout = 30s\nautovacuum_naptime = 5s\nlog_line_prefix = '%m '\n")

    def client(self, name, *args, **kwargs):
        return self.work.start([BIN + name, *args], env=self.env, cwd=self.sockets, **kwargs)

    def start(self):
        self.tool("pg_ctl", "start", "-w", "-t", "300", "-s", "-l", self.log, "-o", "-k " + self.sockets)

    def stop(self):
        self.tool("pg_ctl", "stop", "-w", "-t", "300", "-s", "-m", "fast")

    def sql(self, text):
        return self.tool("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text).stdout.strip()

    def pids(self):
        """The postmaster and every process that it started."""
        with open(self.data + "/postmaster.pid") as f:
            leader = int(f.readline())
        return [leader] + [int(x) for x in self.t.run(["ps", "-o", "pid=", "--ppid", str(leader)], status=None).stdout.split()]

    def kill(self):
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(os.path.exists("/proc/%d" % p) for p in pids), what="the end of the server")

    def checks(self):
        """Sums, heaps against indexes."""
        self.t.eq(self.sql(SUMS), "t|t|t")
        self.tool("pg_amcheck", "--all", "--heapallindexed", "--rootdescend", "--install-missing", timeout=600)

    def checksums(self):
        """Of every page of a stopped server's files."""
        out = self.tool("pg_checksums", "--check").stdout
        self.t.match(out, r"^Bad checksums:\s+0$")


class Load:
    """pgbench at work, and a client who remembers each answer."""

    def __init__(self, server):
        self.server, self.t = server, server.t
        server.sql("create table if not exists remembered(n int primary key, pad text)")
        self.first = int(server.sql("select coalesce(max(n), 0) + 1 from remembered"))
        script = server.sockets + "/insert.sql"
        with open(script, "w") as f:
            f.writelines("insert into remembered values(%d, repeat('x', 500)) returning n;\n" % (self.first + i) for i in range(100000))
        self.answers = server.sockets + "/answers"
        with open(self.answers, "w") as out, open(server.log + ".clients", "a") as log:
            self.clients = [server.client("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", script, stdout=out, stderr=log),
                            server.client("pgbench", "-n", "-c", str(CLIENTS), "-T", "3600", stdout=log, stderr=log)]

    def told(self):
        """What was answered; the last line may be half of one."""
        with open(self.answers) as f:
            return [int(x) for x in f.read().split("\n")[:-1]]

    def wait(self, count):
        wait_until(lambda: any(p.poll() is not None for p in self.clients) or len(self.told()) > count, timeout=120, what="answers")
        self.t.ok(all(p.poll() is None for p in self.clients), "a client ended")

    def is_there(self, server, told):
        """All that was told, whole; perhaps what came between it and the end."""
        there = [int(x) for x in server.sql("select n from remembered where n >= %d order by n" % self.first).split()]
        self.t.eq(there[:len(told)], told)
        self.t.eq(there, list(range(self.first, self.first + len(there))))
        return len(there) - len(told)

    def end(self):
        """The server was killed, and both have noticed."""
        self.t.ok(all(p.wait(60) != 0 for p in self.clients), "a client did not notice")


def recovered(server):
    server.t.match(open(server.log).read(), "database system was not properly shut down; automatic recovery in progress")
    server.checks()


def crash(server, n, with_mount):
    """kill -9, of the mount process too if so wanted: what was answered is there afterwards."""
    load = Load(server)
    load.wait(100 * (n + 1))
    server.kill()
    if with_mount:
        server.work.crash()
    load.end()
    with server.work.step("recovery %d" % n):
        server.start()
    server.t.ok(load.is_there(server, load.told()) <= 1)
    recovered(server)


def fork_of_a_running_server(server):
    """Another server on a fork finds the first one's files as they were at one instant."""
    load = Load(server)
    load.wait(100)
    told = load.told()
    with server.work.fork_while(server.pids()) as folder:
        other = Server(server.work, folder)
        os.unlink(folder + "/data/postmaster.pid")  # the first one lives, under its number
        other.start()
        load.is_there(other, told)
        recovered(other)
        other.stop()
        other.checksums()
    load.wait(len(load.told()) + 100)
    server.kill()
    load.end()
    server.start()
    load.is_there(server, load.told())
    recovered(server)


def bench(server):
    server.tool("pgbench", "-n", "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS), timeout=1200)


@program(needs="postgresql freezer", users=("postgres",), timeout=2400)
def postgresql_keeps_a_cluster(work):
    server = Server(work)
    with work.step("initdb"):
        server.make()
    server.start()
    with work.step("pgbench -i -s %d" % SCALE):
        server.tool("pgbench", "-i", "-q", "-s", str(SCALE), timeout=1200)
    with work.step("pgbench, %d transactions" % (CLIENTS * TRANSACTIONS)):
        bench(server)
    for n in range(4):
        crash(server, n, with_mount=n % 2 == 1)
    if work.fork_while:
        fork_of_a_running_server(server)
    server.stop()
    server.checksums()
    count = "select count(*), sum(delta) from pgbench_history"
    server.start()
    before = server.sql(count)
    server.stop()
    work.move_on()
    server.checksums()
    server.start()
    server.t.eq(server.sql(count), before)
    server.checks()
    bench(server)
    server.sql("vacuum full")
    server.checks()
    server.stop()
    server.checksums()


main()
