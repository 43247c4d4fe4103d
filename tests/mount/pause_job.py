#!/usr/bin/python3
"""
A job that writes in several ways at once, and the check of what it wrote as seen at one instant.

    pause_job.py write DIR     until DIR/stop is there
    pause_job.py check DIR     prints how far each writer was; fails when what it wrote contradicts itself

Each writer is a process of its own and keeps a promise that any instant must show:
  journal, wal   SQLite: two rows of every transaction are equal, the database is whole
  lmdb, lmdbmap  LMDB (with write and with stores through its map): two keys are equal, the items are as many
  lines          whole lines in order, appended
  order          the number n goes to file A by write, to a mapped file M by a store, to file B by write: A >= M >= B >= A-1

Run by Debian's own python3, whose package python3-lmdb it needs.
"""
import ctypes
import json
import mmap
import os
import sqlite3
import sys

import lmdb

ITEMS = 500
MAP = 8 << 20


def stopped(n):
    return n % 8 == 0 and os.path.exists("stop")


# ---- writers: each yields after every step

def sqlite_writer(name, mode):
    db = sqlite3.connect(name + ".db", isolation_level=None)
    db.execute("pragma journal_mode=" + mode)
    db.execute("pragma synchronous=off")  # an instant is not a power cut
    db.execute("create table if not exists pair (k integer primary key, v integer)")
    db.execute("create table if not exists item (k integer primary key, v blob)")
    db.execute("insert or ignore into pair values (1, 0), (2, 0)")
    n = 0
    while True:
        n += 1
        db.execute("begin immediate")
        db.execute("update pair set v = ? where k = 1", (n,))
        db.execute("insert or replace into item values (?, ?)", (n % ITEMS, b"%d " % n * 200))
        db.execute("update pair set v = ? where k = 2", (n,))
        db.execute("commit")
        yield n


def lmdb_writer(name, writemap):
    env = lmdb.open(name, map_size=MAP, writemap=writemap, sync=False)
    n = 0
    while True:
        n += 1
        with env.begin(write=True) as txn:
            txn.put(b"a", b"%d" % n)
            txn.put(b"item %d" % (n % ITEMS), b"%d" % n * 50)
            txn.put(b"b", b"%d" % n)
        yield n


def lines_writer():
    fd = os.open("lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    n = 0
    while True:
        n += 1
        os.write(fd, line(n))
        yield n


def line(n):
    return b"%d %s\n" % (n, b"x" * (n % 97))


def order_writer():
    a = os.open("A", os.O_RDWR | os.O_CREAT, 0o644)
    b = os.open("B", os.O_RDWR | os.O_CREAT, 0o644)
    m = os.open("M", os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(m, 4096)
    word = ctypes.c_uint64.from_buffer(mmap.mmap(m, 4096))  # one store, never half of it
    os.close(m)
    n = 0
    while True:
        n += 1
        os.pwrite(a, n.to_bytes(8, "little"), 0)
        word.value = n
        os.pwrite(b, n.to_bytes(8, "little"), 0)
        yield n


WRITERS = {
    "journal": lambda: sqlite_writer("journal", "delete"),
    "wal": lambda: sqlite_writer("wal", "wal"),
    "lmdb": lambda: lmdb_writer("lmdb", False),
    "lmdbmap": lambda: lmdb_writer("lmdbmap", True),
    "lines": lines_writer,
    "order": order_writer,
}


def put(name, text):
    with open(name + ".tmp", "w") as f:
        f.write(text)
    os.rename(name + ".tmp", name)


def write():
    children = []
    for kind, make in WRITERS.items():
        pid = os.fork()
        if pid == 0:
            for n in make():
                if n == 1:
                    put("ready." + kind, "")
                if stopped(n):
                    put("done." + kind, str(n))
                    os._exit(0)
        children.append(pid)
    bad = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
    sys.exit("writers failed: %s" % bad if bad else 0)


# ---- checks: each returns how far the writer was

def expect(condition, what, *values):
    if not condition:
        sys.exit("%s: %s" % (what, values))


def sqlite_check(name):
    db = sqlite3.connect(name + ".db")
    whole = db.execute("pragma integrity_check").fetchall()
    expect(whole == [("ok",)], name, whole)
    (a,), (b,) = db.execute("select v from pair order by k").fetchall()
    expect(a == b, name + ": the transaction is half there", a, b)
    items = db.execute("select k, v from item").fetchall()
    expect(len(items) == min(a, ITEMS), name + ": items", len(items), a)
    for k, v in items:
        n = int(v.split()[0])
        expect(n % ITEMS == k and a - ITEMS < n <= a and v == b"%d " % n * 200, name + ": item", k, n, a)
    db.close()
    return a


def lmdb_check(name):
    env = lmdb.open(name, map_size=MAP, create=False)
    with env.begin() as txn:
        a, b = int(txn.get(b"a")), int(txn.get(b"b"))
        expect(a == b, name + ": the transaction is half there", a, b)
        count = 0
        for key, value in txn.cursor():
            if not key.startswith(b"item"):
                continue
            count += 1
            n = int(value[:len(value) // 50])
            expect(n % ITEMS == int(key.split()[1]) and a - ITEMS < n <= a and value == b"%d" % n * 50,
                   name + ": item", key, value)
        expect(count == min(a, ITEMS), name + ": items", count, a)
    env.close()
    return a


def lines_check():
    with open("lines", "rb") as f:
        data = f.read()
    lines = data.split(b"\n")
    expect(lines.pop() == b"", "the last line is not whole", data[-100:])
    for n, text in enumerate(lines, 1):
        expect(text + b"\n" == line(n), "a line is wrong", n, text)
    return len(lines)


def word(name):
    with open(name, "rb") as f:
        return int.from_bytes(f.read(8), "little")


def order_check():
    a, m, b = word("A"), word("M"), word("B")
    expect(a >= m >= b >= a - 1, "the files are not of one instant", a, m, b)
    return b


CHECKS = {
    "journal": lambda: sqlite_check("journal"),
    "wal": lambda: sqlite_check("wal"),
    "lmdb": lambda: lmdb_check("lmdb"),
    "lmdbmap": lambda: lmdb_check("lmdbmap"),
    "lines": lines_check,
    "order": order_check,
}


def check():
    print(json.dumps({kind: f() for kind, f in CHECKS.items()}))


if __name__ == "__main__":
    os.chdir(sys.argv[2])
    {"write": write, "check": check}[sys.argv[1]]()
