"""
The figures of orch, each beside its peer's: in one run, on one file system, alternating, medians of several rounds.
Run by scripts/bench, which explains the options; docs/performance.md says what the rows are.
"""
import argparse

import rows
import table
from disk import KINDS, Place
from figures import alternate, lines_of, on_signal
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
    p.add_argument("--markdown", metavar="FILE", nargs="+")
    p.add_argument("--page", metavar="FILE")
    p.add_argument("row", nargs="*", metavar="ROW")
    return p.parse_args()


def chosen(names):
    known = rows.load()
    unknown = set(names) - {r.name for r in known} - {name for name, _ in rows.MISSING}
    if unknown:
        sys.exit("bench: no such row: %s" % ", ".join(sorted(unknown)))
    by_name = {r.name: r for r in known}
    return [by_name[n] for n in names if n in by_name] if names else known


class Run:
    """All rows on one file system. saved is called when there is more in the document."""

    def __init__(self, b, document, saved):
        self.b, self.document, self._saved = b, document, saved
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
        self._note()

    def _group(self, row, group):
        lines = lines_of(row, group, alternate(group.variants, group.rounds or self.b.rounds, self.b.settle))
        self.document["lines"] += lines
        for line in lines:
            print(table.text_line(line), flush=True)

    def _note(self):
        self.document["load_after"] = load_average()
        self.document["transport"] = sorted(self.b.transports)
        self._saved()

    def end(self, names):
        for row, why in rows.MISSING:
            if not names or row in names:
                self.not_taken(row, why)
        self._note()


def measure(place, document, args, wanted, saved):
    """All rows on the file system that the document names; problems."""
    sizes, kind = sizes_of(args.size), document["fs"]
    with place.disk(kind, sizes["image_bytes"], sizes["needed_bytes"]) as root:
        t = Context("bench")
        try:
            place.owned_by(t)
            run = Run(Bench(t, root, sizes, args.rounds or sizes["rounds"]), document, saved)
            print("\n== %s\n" % KINDS[kind][0], flush=True)
            with run.b.daemon:
                for row in wanted:
                    run.take(row)
            run.end(args.row)
        finally:
            problems = t._close()
    return problems + ["a row failed"] * run.failed


def show(args):
    """The JSON of earlier runs as Markdown: printed, or put into a page between its marks."""
    text = ""
    for path in args.markdown:
        with open(path) as f:
            text += table.markdown(json.load(f)) + "\n"
    if not args.page:
        print(text, end="")
        return 0
    with open(args.page) as f:
        page = table.with_figures(f.read(), text)
    if page is None:
        sys.exit("bench: %s has no place for figures: %s ... %s" % (args.page, table.BEGIN, table.END))
    with open(args.page, "w") as f:
        f.write(page)
    return 0


def machine_facts():
    t = Context("machine")
    try:
        return facts(t)
    finally:
        t._close()


def save(document, path):
    """After each row, so that a run that is ended has not been for nothing."""
    if not path:
        return
    with open(path + ".new", "w") as f:
        json.dump(document, f, indent=1)
    os.rename(path + ".new", path)


def command_line():
    """As it was given, but for where the JSON goes."""
    return re.sub(r" --json[= ]\S+", "", " ".join(["scripts/bench"] + sys.argv[1:]))


def bench(args):
    wanted = chosen(args.row)
    if os.geteuid() != 0:
        sys.exit("bench: needs root: loop devices and overlayfs")
    document = {"command": command_line(), "date": time.strftime("%Y-%m-%d %H:%M"),
                "machine": machine_facts(), "runs": []}
    print("\n".join(table.machine_text(document["machine"])))
    place, problems = Place(os.path.join(BUILD, ".orch/bench")), []
    for kind in KINDS if args.fs == "both" else (args.fs,):
        run = {"fs": kind, "fs_text": KINDS[kind][0], "lines": [], "not_taken": [], "transport": [],
               "load_before": load_average()}
        document["runs"].append(run)
        problems += measure(place, run, args, wanted, lambda: save(document, args.json))
        print("load average before %s, after %s" % (run["load_before"], run["load_after"]))
    for problem in problems:
        print("bench: " + problem, file=sys.stderr)
    return 1 if problems else 0


def main():
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, on_signal)
    args = arguments()
    if args.markdown:
        return show(args)
    return bench(args)


sys.exit(main())
