#!/usr/bin/env python3
"""
A load that keeps its own record, outside of what it works on: load.py FOLDER SEED [mmap]

Works in FOLDER until the file system below it is gone, then prints as JSON what it was answered ("state") and what the
last operation, which was not answered, may have left ("before", "after"; of a write also its begin, up to the end of a
page: the kernel copies page after page, and stops when the process that serves the mount is killed: "write", see
begun). A state is {path: [content, group]}: content
null is a folder; names of one file have the same group (0: it has one name).
"""
import errno
import json
import mmap
import os
import random
import sys

GONE = (errno.ENOTCONN, errno.ECONNABORTED)
NAMES, FOLDERS, MOST, LONGEST, PAGE = "abcdefgh", 12, 70, 40000, 4096


def found(root):
    """The state that is there."""
    out, groups = {}, {}
    for folder, dirs, files in os.walk(root, onerror=raises):
        for d in dirs:
            out[os.path.relpath(folder + "/" + d, root)] = [None, 0]
        for f in files:
            path = folder + "/" + f
            st = os.lstat(path)
            with open(path, encoding="latin-1") as x:
                content = x.read()
            group = groups.setdefault(st.st_ino, len(groups) + 1) if st.st_nlink > 1 else 0
            out[os.path.relpath(path, root)] = [content, group]
    return out


def raises(e):
    raise e


def same(a, b):
    """Equal but for the numbers of groups."""
    if {k: v[0] for k, v in a.items()} != {k: v[0] for k, v in b.items()}:
        return False
    pairs = {(v[1], b[k][1]) for k, v in a.items()}
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def begun(got, a):
    """Is what is there (got) what the killed writing of a page or more left? a: what a load printed."""
    if not a["write"]:
        return False
    path, old, at, new = a["write"]
    for end in range(PAGE - at % PAGE, len(new), PAGE):
        content = old[:at] + new[:end] + old[at + end:]
        state = {k: [content if v[0] == a["after"][path][0] and (k == path or v[1] == a["after"][path][1] != 0) else v[0], v[1]]
                 for k, v in a["after"].items()}
        if same(got, state):
            return True
    return False


def difference(got, a):
    """What is there (got) and is neither what was answered nor what was begun, as text; a: what a load printed."""
    if any(same(got, a[k]) for k in ("state", "before", "after")) or begun(got, a):
        return None
    lines = ["found %d entries, %d were answered" % (len(got), len(a["state"]))]
    for k in sorted(set(got) | set(a["state"]) | set(a["after"])):
        have, was, asked = (x.get(k, ["absent"])[0] for x in (got, a["state"], a["after"]))
        if not have == was == asked:
            lines.append("%s: found %s, answered %s, asked %s" % (k, told(have), told(was), told(asked)))
            if all(isinstance(x, str) for x in (have, was, asked)):
                lines.append("as answered up to byte %d, as asked up to byte %d" % (common(have, was), common(have, asked)))
    if a["write"]:
        lines.append("%s was being written: %d bytes at %d" % (a["write"][0], len(a["write"][3]), a["write"][2]))
    return "; ".join(lines)


def told(content):
    return "a folder" if content is None else "nothing" if content == "absent" else "%d bytes" % len(content)


def common(a, b):
    """The length of what both begin with."""
    return len(os.path.commonprefix([a, b]))


class Load:
    def __init__(self, root, seed, maps):
        self.r = random.Random(seed)
        self.maps, self.seed, self.count, self.groups = maps, seed, 0, 1000000
        if not os.path.isdir(root):
            os.mkdir(root)
        os.chdir(root)  # so that a dead mount is seen, not what is below it
        self.state = found(".")
        self.before = self.after = self.state
        self.write = None  # path, old content, offset, new bytes

    # the states around one answer

    def asked(self, after, write=None):
        self.before, self.after, self.write = self.state, after, write

    def answered(self):
        self.state = self.before = self.after
        self.write = None
        self.count += 1

    def with_content(self, path, content):
        """The state in which path, and every name of it, has this content."""
        group = self.state.get(path, [None, 0])[1]
        new = dict(self.state)
        for k, v in self.state.items():
            if group and v[1] == group:
                new[k] = [content, group]
        new[path] = [content, group]
        return new

    def without(self, path):
        new = dict(self.state)
        group = new.pop(path)[1]
        left = [k for k, v in new.items() if group and v[1] == group]
        if len(left) == 1:
            new[left[0]] = [new[left[0]][0], 0]
        return new

    def put(self, path, at, new, write):
        """write(bytes, offset) until all is written: it may be answered for its first pages only."""
        while new:
            old = self.state[path][0]
            self.asked(self.with_content(path, old[:at] + new + old[at + len(new):]), (path, old, at, new))
            n = write(new.encode(), at)
            self.after = self.with_content(path, old[:at] + new[:n] + old[at + n:])
            self.answered()
            at, new = at + n, new[n:]

    # choices

    def files(self):
        return sorted(k for k, v in self.state.items() if v[0] is not None)

    def folders(self):
        return sorted(k for k, v in self.state.items() if v[0] is None)

    def name(self):
        return os.path.normpath(self.r.choice(self.folders() + ["."]) + "/%s%d" % (self.r.choice(NAMES), self.r.randrange(20)))

    def text(self):
        self.count += 1
        return "%d.%d " % (self.seed, self.count) * self.r.choice([1, 50, 2000])

    # operations; each leaves state, before and after right wherever it is cut off

    def create(self):
        path = self.name()
        if self.state.get(path, [""])[0] is None:
            return
        text = self.text()[:LONGEST]
        self.asked(self.with_content(path, ""))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self.answered()
            self.put(path, 0, text, lambda new, at: os.write(fd, new))
            if self.r.random() < 0.3:
                os.fsync(fd)
        finally:
            os.close(fd)

    def append(self):
        path = self.r.choice(self.files())
        if len(self.state[path][0]) > LONGEST:
            return self.truncate()
        more = self.text()[:5000]
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            self.put(path, len(self.state[path][0]), more, lambda new, at: os.write(fd, new))
        finally:
            os.close(fd)

    def overwrite(self):
        path = self.r.choice(self.files())
        old = self.state[path][0]
        at, new = self.r.randrange(len(old) + 1), self.text()[:3000]
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.put(path, at, new, lambda new, at: os.pwrite(fd, new, at))
        finally:
            os.close(fd)

    def store(self):
        """Through a mapping, answered by msync."""
        path = self.r.choice(self.files())
        old = self.state[path][0]
        if not self.maps or not old:
            return
        at, new = self.r.randrange(len(old)), self.text()[:20]
        new = new[:len(old) - at]
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            with mmap.mmap(fd, len(old)) as m:
                self.asked(self.with_content(path, old[:at] + new + old[at + len(new):]))
                m[at:at + len(new)] = new.encode()
                m.flush()
                self.answered()
        finally:
            os.close(fd)

    def truncate(self):
        path = self.r.choice(self.files())
        old = self.state[path][0]
        n = self.r.choice([0, 0, len(old) // 2, len(old) + 100])
        self.asked(self.with_content(path, old[:n].ljust(n, "\0")))
        os.truncate(path, n)
        self.answered()

    def rename(self):
        a, b = self.r.choice(self.files()), self.name()
        if self.state.get(b, [""])[0] is None or a == b:
            return
        if b in self.state and self.state[b][1] and self.state[b][1] == self.state[a][1]:
            return  # two names of one file: nothing happens
        new = self.without(b) if b in self.state else dict(self.state)
        new[b] = new.pop(a)
        self.asked(new)
        os.rename(a, b)
        self.answered()

    def rename_folder(self):
        if not self.folders():
            return
        a, b = self.r.choice(self.folders()), self.name()
        if b in self.state or (b + "/").startswith(a + "/") or b.count("/") > 4:
            return
        new = {}
        for k, v in self.state.items():
            new[b + k[len(a):] if (k + "/").startswith(a + "/") else k] = v
        self.asked(new)
        os.rename(a, b)
        self.answered()

    def link(self):
        a, b = self.r.choice(self.files()), self.name()
        if b in self.state:
            return
        self.groups += 1
        content, group = self.state[a]
        new = dict(self.state)
        new[a] = new[b] = [content, group or self.groups]
        self.asked(new)
        os.link(a, b)
        self.answered()

    def unlink(self):
        path = self.r.choice(self.files())
        self.asked(self.without(path))
        os.unlink(path)
        self.answered()

    def mkdir(self):
        path = self.name()
        if path in self.state or path.count("/") > 3 or len(self.folders()) >= FOLDERS:
            return
        new = dict(self.state)
        new[path] = [None, 0]
        self.asked(new)
        os.mkdir(path)
        self.answered()

    def rmdir(self):
        empty = [d for d in self.folders() if not any(k.startswith(d + "/") for k in self.state)]
        if not empty:
            return
        path = self.r.choice(empty)
        self.asked(self.without(path))
        os.rmdir(path)
        self.answered()

    def fsync(self):
        fd = os.open(self.r.choice(self.files()), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    OPERATIONS = ("create", "create", "create", "append", "append", "overwrite", "store", "truncate", "rename", "rename", "rename",
                  "rename_folder", "link", "unlink", "mkdir", "rmdir", "fsync")

    def step(self):
        if not self.files():
            self.create()
        elif len(self.state) > MOST:
            self.unlink()
        else:
            getattr(self, self.r.choice(self.OPERATIONS))()


def main():
    load = Load(sys.argv[1], int(sys.argv[2]), "mmap" in sys.argv[3:])
    print("begun", flush=True)
    try:
        while True:
            load.step()
    except OSError as e:
        if e.errno not in GONE:
            raise
    print(json.dumps({"count": load.count, "state": load.state, "before": load.before, "after": load.after, "write": load.write}), flush=True)


if __name__ == "__main__":
    main()
