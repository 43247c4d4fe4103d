"""
A build's system calls, for a time: files made, written, renamed, read, removed, in one folder. Says on its last line how
many calls there were, how many failed, how long the longest took; then checks that what was answered is there.

    load.py FOLDER SECONDS
"""
import json
import os
import sys
import time

KEPT = 200    # files that stay until the end


class Load:
    def __init__(self, folder):
        self.folder, self.calls, self.failed, self.longest = folder, 0, 0, 0.0
        self.expected = {}

    def call(self, function, *args):
        begin = time.monotonic()
        try:
            return function(*args)
        except OSError:
            self.failed += 1
            return None
        finally:
            self.calls += 1
            self.longest = max(self.longest, time.monotonic() - begin)

    def one(self, number):
        path = "%s/f%d" % (self.folder, number)
        text = b"%d" % number
        fd = self.call(os.open, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if fd is None:
            return
        self.call(os.write, fd, text)
        self.call(os.close, fd)
        self.call(os.rename, path, path + ".done")
        self.call(os.stat, path + ".done")
        self.expected[path + ".done"] = text
        if number >= KEPT:
            self.call(os.unlink, "%s/f%d.done" % (self.folder, number - KEPT))
            self.expected.pop("%s/f%d.done" % (self.folder, number - KEPT), None)

    def lost(self):
        """How many of the answered operations did not stay."""
        lost = len(set(os.listdir(self.folder)) ^ {os.path.basename(p) for p in self.expected})
        for path, text in self.expected.items():
            try:
                with open(path, "rb") as f:
                    lost += f.read() != text
            except OSError:
                lost += 1
        return lost


def main(folder, seconds):
    load, number = Load(folder), 0
    end = time.monotonic() + float(seconds)
    print("begun", flush=True)
    while time.monotonic() < end:
        load.one(number)
        number += 1
    print(json.dumps({"calls": load.calls, "failed": load.failed, "longest_ms": load.longest * 1000, "lost": load.lost()}))


main(*sys.argv[1:])
