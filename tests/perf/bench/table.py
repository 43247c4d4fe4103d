"""The figures as text for a terminal and as Markdown for docs/performance.md, both from the document that --json writes. Pure."""
from figures import CLASSIC, ORCH

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"    # in a page


def number(value):
    """Three digits that count."""
    if value != value or value in (float("inf"), float("-inf")):
        return "-"
    if value == int(value) and abs(value) < 1e6:
        return "%d" % value
    for limit, form in ((0.1, "%.4f"), (1, "%.3f"), (10, "%.2f"), (100, "%.1f")):
        if abs(value) < limit:
            return form % value
    return "%.0f" % value


def text_line(line):
    goals = "".join("   %s (goal %s)" % (number(g["measured"]), g["goal"]) for g in line["goals"])
    return "%-4s %-60s %-20s %9s %-5s [%s .. %s]%s%s" % (
        line["row"], line["what"], line["variant"], number(line["value"]), line["unit"],
        number(line["min"]), number(line["max"]), " p99" if line["statistic"] == "p99" else "", goals)


def machine_text(machine):
    return ["%-12s %s" % (k.replace("_", " "), v) for k, v in machine.items()]


# ---- Markdown

def _cell(line):
    if line is None:
        return ""
    spread = " [%s .. %s]" % (number(line["min"]), number(line["max"])) if len(line["values"]) > 1 else ""
    return "**%s**%s" % (number(line["value"]), spread)


def _ratios(line):
    """What became of the goals of one variant: the measured ratio, and whether that is the goal."""
    return ["%s%s" % (number(g["measured"]), "" if g["reached"] else " (short)") for g in line["goals"]] if line else []


def _figures_of(lines):
    """[(row, what, unit, {variant: line})] in the order of the rows."""
    out = {}
    for line in lines:
        out.setdefault((line["row"], line["what"], line["unit"]), {})[line["variant"]] = line
    return [key + (variants,) for key, variants in sorted(out.items(), key=lambda x: int(x[0][0][1:]))]


def _row(row, what, unit, variants):
    others = {k: v for k, v in variants.items() if k not in (ORCH, CLASSIC)}
    peers = "; ".join("%s %s" % (name, _cell(line)) for name, line in others.items())
    goals, reached = [], []
    for line in variants.values():
        if line["variant"] == CLASSIC:
            continue
        of = "" if line["variant"] == ORCH else line["variant"] + ": "
        goals += [of + g["goal"] for g in line["goals"]]
        reached += _ratios(line)
    statistic = "p99" if any(v["statistic"] == "p99" for v in variants.values()) else ""
    cells = [row, ", ".join(filter(None, (what, unit, statistic))), _cell(variants.get(ORCH)), _cell(variants.get(CLASSIC)), peers,
             "<br>".join(goals), "<br>".join(reached), "<br>".join(_ratios(variants.get(CLASSIC)))]
    return "| %s |" % " | ".join(cells)


def _run(run):
    out = ["### %s" % run["fs_text"], "",
           "| row | figure | orch | no passthrough | peers and others | goal | reached | no passthrough |",
           "|---|---|---|---|---|---|---|---|"]
    out += [_row(*figure) for figure in _figures_of(run["lines"])]
    out.append("")
    if run["not_taken"]:
        out += ["Not taken: " + "; ".join("%s (%s)" % (n["row"], n["why"]) for n in run["not_taken"]) + ".", ""]
    return out


def markdown(document):
    out = ["`%s` on %s:" % (document["command"], document["date"]), "", "| | |", "|---|---|"]
    out += ["| %s | %s |" % (k.replace("_", " "), v) for k, v in document["machine"].items()]
    out += ["| way of requests, of data | %s |" % "; ".join(sorted({x for r in document["runs"] for x in r["transport"]}))]
    out += ["| load average before, after | %s |" % "; ".join(
        "%s: %s, %s" % (r["fs"], r["load_before"], r["load_after"]) for r in document["runs"]), ""]
    for run in document["runs"]:
        out += _run(run)
    return "\n".join(out)


def with_figures(page, text):
    """The page with this text between its marks, or None when it has none."""
    head, begin, rest = page.partition(BEGIN + "\n")
    _old, end, tail = rest.partition(END + "\n")
    return head + begin + "\n" + text + end + tail if begin and end else None
