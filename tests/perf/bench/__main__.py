"""
The figures of orch, each beside its peer's: in one run, on one file system, alternating, medians of several rounds.
Run by scripts/bench, which explains the options; docs/performance.md says what the rows are.
"""
import argparse

import rows
import table
from disk import KINDS, Place
from figures import alternate, lines_of
from machine import facts, load_average
from orchtest import *
from orchtest import Context
from place import Bench, lacks
from sizes import sizes_of


def arguments():
    p = argparse.ArgumentParser(prog="scripts/bench")
    size = p.add_mutually_exclusive_group()
    for kind in "tiny", "quick", "full":
        size.add_argument("--" + kind, dest="size", action="store_const", const=kind, default="normal")
    p.add_argument("--fs", choices=(*KINDS, "both"), default="both")
    p.add_argument("--rounds", type=int, metavar="N")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--markdown", metavar="FILE")
    p.add_argument("row", nargs="*", metavar="ROW")
    return p.parse_args()


def chosen(names):
    known = rows.load()
    unknown = set(names) - {r.name for r in known} - {name for name, _ in rows.MISSING}
    if unknown:
        sys.exit("bench: no such row: %s" % ", ".join(sorted(unknown)))
    return [r for r in known if not names or r.name in names]


class Run:
    """All rows on one file system."""

    def __init__(self, b, kind):
        self.b = b
        self.document = {"fs": kind, "fs_text": KINDS[kind][0], "lines": [], "not_taken": [], "load_before": load_average()}
        self.failed = False

    def not_taken(self, row, why):
        self.document["not_taken"].append({"row": row, "why": why})
        print("%-4s not taken: %s" % (row, why), flush=True)

    def take(self, row):
        why = lacks(row.needs)
        if why:
            self.not_taken(row.name, why)
            return
        begin = time.monotonic()
        try:
            with self.b.row():
                for group in row.function(self.b):
                    self._group(row.name, group)
        except (OSError, Failure, subprocess.SubprocessError, ValueError, KeyError) as e:
            self.failed = True
            self.not_taken(row.name, "failed: %s: %s" % (type(e).__name__, e))
        for lacked in self.b.lacked:
            self.not_taken(row.name, "without " + lacked)
        print("     (%s: %.0f s, load %s)\n" % (row.name, time.monotonic() - begin, load_average()), flush=True)

    def _group(self, row, group):
        lines = lines_of(row, group, alternate(group.variants, group.rounds or self.b.rounds))
        self.document["lines"] += lines
        for line in lines:
            print(table.text_line(line), flush=True)

    def end(self, names):
        for row, why in rows.MISSING:
            if not names or row in names:
                self.not_taken(row, why)
        self.document["load_after"] = load_average()
        self.document["transport"] = sorted(self.b.transports)


def measure(place, kind, args, wanted):
    """(the document of one file system, problems)"""
    sizes = sizes_of(args.size)
    with place.disk(kind, sizes["image_bytes"], sizes["needed_bytes"]) as root:
        t = Context("bench")
        try:
            run = Run(Bench(t, root, sizes, args.rounds or sizes["rounds"]), kind)
            print("\n== %s\n" % KINDS[kind][0], flush=True)
            with run.b.daemon:
                for row in wanted:
                    run.take(row)
            run.end(args.row)
        finally:
            problems = t._close()
    return run.document, problems + ["a row failed"] * run.failed


def machine_facts():
    t = Context("machine")
    try:
        return facts(t)
    finally:
        t._close()


def save(document, path):
    with open(path + ".new", "w") as f:
        json.dump(document, f, indent=1)
    os.rename(path + ".new", path)


def bench(args):
    wanted = chosen(args.row)
    if os.geteuid() != 0:
        sys.exit("bench: needs root: loop devices and overlayfs")
    document = {"command": " ".join(["scripts/bench"] + sys.argv[1:]), "date": time.strftime("%Y-%m-%d %H:%M"),
                "machine": machine_facts(), "runs": []}
    print("\n".join(table.machine_text(document["machine"])))
    place, problems = Place(os.path.join(BUILD, ".orch/bench")), []
    for kind in KINDS if args.fs == "both" else (args.fs,):
        run, bad = measure(place, kind, args, wanted)
        document["runs"].append(run)
        problems += bad
        print("load average before %s, after %s" % (run["load_before"], run["load_after"]))
        if args.json:
            save(document, args.json)
    for problem in problems:
        print("bench: " + problem, file=sys.stderr)
    return 1 if problems else 0


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    args = arguments()
    if args.markdown:
        with open(args.markdown) as f:
            print(table.markdown(json.load(f)))
        return 0
    try:
        return bench(args)
    except KeyboardInterrupt:
        return 130


sys.exit(main())
