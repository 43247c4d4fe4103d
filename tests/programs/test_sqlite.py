#!/usr/bin/env python3
"""SQLite in WAL mode with its database in a workspace: several processes, some of them killed."""
from programslib import *

tools("sqlite3")
ACCOUNTS = 200
ROUNDS = int(os.environ.get("ORCH_SQLITE_ROUNDS", "6"))

SCHEMA = """
pragma journal_mode=wal;
create table account(id integer primary key, balance integer not null, note blob);
create index by_balance on account(balance);
create table done(writer integer, n integer, primary key(writer, n)) without rowid;
with recursive i(x) as (select 1 union all select x + 1 from i where x < %d) insert into account select x, 1000, randomblob(2000) from i;
""" % ACCOUNTS

# Moves money about, for ever; says what was committed.
WRITER = """
import random, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=120, isolation_level=None)
db.execute("pragma synchronous=" + sys.argv[4])
r, n = random.Random(int(sys.argv[2])), int(sys.argv[3])
while True:
    db.execute("begin immediate")
    for _ in range(r.randrange(1, 5)):
        a, b, x = r.randrange(1, %d), r.randrange(1, %d), r.randrange(100)
        db.execute("update account set balance = balance - ?, note = randomblob(?) where id = ?", (x, r.randrange(6000), a))
        db.execute("update account set balance = balance + ? where id = ?", (x, b))
    db.execute("insert into done values(?, ?)", (int(sys.argv[2]), n))
    if r.random() < 0.1:
        db.execute("rollback")
        continue
    db.execute("commit")
    sys.stdout.write("%%d\\n" %% n)
    sys.stdout.flush()
    n += 1
    if r.random() < 0.02:
        try:
            db.execute("pragma wal_checkpoint(truncate)")
        except sqlite3.OperationalError as e:
            if "locked" not in str(e): raise
""" % (ACCOUNTS, ACCOUNTS)

# Looks until it is ended: every moment that a reader sees is whole.
READER = """
import signal, sqlite3, sys
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
db = sqlite3.connect(sys.argv[1], timeout=120, isolation_level=None)
looks = 0
while not stop:
    db.execute("begin")
    for _ in range(2):
        total = db.execute("select sum(balance), count(*) from account").fetchone()
        assert total == (%d, %d), total
    db.execute("commit")
    looks += 1
print(looks)
""" % (ACCOUNTS * 1000, ACCOUNTS)


class Database:
    def __init__(self, work):
        self.work, self.t = work, work.t
        self.path = work.path + "/bank.db"
        self.answers = work.outside("answers")
        self.next = {}

    def sql(self, text, **kwargs):
        return self.work.run(["sqlite3", "-bail", "-cmd", ".timeout 120000", self.path, text], **kwargs).stdout.strip()

    def writer(self, number, sync):
        out = open("%s/%d" % (self.answers, number), "a")
        p = self.work.start([PYTHON, "-c", WRITER, self.path, str(number), str(self.answered(number)), sync], stdout=out, stderr=subprocess.PIPE)
        out.close()
        return p

    def answered(self, number):
        """How many transactions the writer was answered, or may have been: the one that was cut off counts when it is there."""
        return int(self.sql("select coalesce(max(n) + 1, 0) from done where writer = %d" % number))

    def told(self, number):
        with open("%s/%d" % (self.answers, number)) as f:
            return [int(x) for x in f.read().split()]

    def sound(self):
        self.t.eq(self.sql("pragma integrity_check"), "ok")
        self.t.eq(self.sql("select sum(balance), count(*) from account"), "%d|%d" % (ACCOUNTS * 1000, ACCOUNTS))
        for name in os.listdir(self.answers):
            there = [int(x) for x in self.sql("select n from done where writer = %s order by n" % name).split()]
            self.t.eq(there, list(range(len(there))))
            self.t.eq([n for n in self.told(name and int(name)) if n >= len(there)], [], "answered and lost")


def one_round(db, n):
    """Four writers and two readers; the writers are killed in the midst of it, the readers end when they are told to."""
    t = db.t
    sync = "full" if n % 2 else "normal"
    before = {w: len(db.told(w)) if os.path.exists("%s/%d" % (db.answers, w)) else 0 for w in range(4)}
    writers = [db.writer(w, sync) for w in range(4)]
    readers = [db.work.start([PYTHON, "-c", READER, db.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for w, p in enumerate(writers):
        wait_until(lambda: p.poll() is not None or len(db.told(w)) >= before[w] + 25, timeout=120, what="answers")
        t.eq(p.poll(), None, "a writer ended")
        p.kill()
        t.eq(p.wait(60), -signal.SIGKILL, p.stderr.read().decode())
    for p in readers:
        p.terminate()
        out, err = p.communicate(timeout=120)
        t.eq((p.returncode, err.decode()), (0, ""))
        t.ok(int(out) > 0, "a reader saw nothing")
    db.sound()


@program(needs="sqlite3")
def sqlite_keeps_a_database(work):
    db = Database(work)
    work.t.eq(db.sql(SCHEMA), "wal")
    with work.step("%d rounds" % ROUNDS):
        for n in range(ROUNDS):
            one_round(db, n)
    work.move_on()
    db.sound()
    with work.step("2 rounds"):
        one_round(db, 0)
        one_round(db, 1)
    db.sql("vacuum")
    db.sql("pragma journal_mode=delete")
    db.sound()
    work.t.eq([x for x in os.listdir(work.path) if x.startswith("bank")], ["bank.db"])


main()
