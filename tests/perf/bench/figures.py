"""
What a figure is, and how it is taken: a group of variants (orch and its peers), called in turn, round after round, the
order reversed in every second round, so that a machine that gets busier or slower does so for all of them.
A figure never passes or fails anything: it is put beside its goal.
"""
import math
import statistics
import sys
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

ORCH = "orch"
CLASSIC = "orch, no passthrough"


class Goal(NamedTuple):
    """What orch is to reach: `value`, as a multiple of the peer `against`, or by itself when that is None."""
    op: str                          # ">=", "<=" or "<"
    value: float
    against: Optional[str] = None
    faster: bool = False             # the time of the peer over ours ("20 x faster"), not ours over the peer's
    more: bool = False               # what ours is more than the peer's, not a multiple
    of: str = ORCH                   # the variant that has this goal; CLASSIC is compared with those of ORCH

    def measured(self, own, peer):
        if self.against is None:
            return own
        if self.more:
            return own - peer
        top, bottom = (peer, own) if self.faster else (own, peer)
        return top / bottom if bottom else math.inf

    def reached(self, measured):
        return {">=": measured >= self.value, "<=": measured <= self.value, "<": measured < self.value}[self.op]

    def text(self, unit):
        if self.against is None:
            return ("%s %g %s" % (self.op, self.value, unit)).rstrip()
        if self.more:
            return "%s %s + %g %s" % (self.op, self.against, self.value, unit)
        return "%s %g x %s%s" % (self.op, self.value, "faster than " if self.faster else "", self.against)


class Figure(NamedTuple):
    what: str
    unit: str
    goals: Tuple[Goal, ...] = ()
    p99: bool = False                # not the median: what 99 of 100 stay below


class Group(NamedTuple):
    """
    Variants measured side by side. A variant is a function that takes one measurement and returns its value, or
    {key: value} when several figures come of one run; a figure that a variant does not have is left out there.
    """
    figures: Dict[Any, Figure]
    variants: Dict[str, Callable]
    rounds: Optional[int] = None     # None: as the run says


def one(what, unit, variants, *goals, rounds=None, p99=False):
    """The plain group: one figure."""
    return Group({None: Figure(what, unit, goals, p99)}, variants, rounds)


_told_to_end = []  # exit statuses


def on_signal(number, _frame):
    """Ends the program; if the exception is lost (a finaliser or a callback was running), at the next round."""
    _told_to_end.append(128 + number)
    sys.exit(128 + number)


def alternate(variants, rounds, before):
    """{variant: [one {key: value} a round]}; before() is called before each measurement."""
    taken = {name: [] for name in variants}
    for number in range(rounds):
        if _told_to_end:
            sys.exit(_told_to_end[0])
        order = list(variants) if number % 2 == 0 else list(reversed(variants))
        for name in order:
            before()
            result = variants[name]()
            taken[name].append(result if isinstance(result, dict) else {None: result})
    return taken


def value_of(values, p99):
    if not p99:
        return statistics.median(values)
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def _goals(figure, variant, values):
    out = []
    for goal in figure.goals:
        applies = goal.of == variant or (goal.of == ORCH and variant == CLASSIC)
        if not applies or (goal.against is not None and goal.against not in values):
            continue
        measured = goal.measured(values[variant], values.get(goal.against))
        out.append({"goal": goal.text(figure.unit), "measured": measured, "reached": goal.reached(measured)})
    return out


def lines_of(row, group, taken):
    """What is printed and saved: one line a figure and variant."""
    out = []
    for key, figure in group.figures.items():
        series = {name: [r[key] for r in results if r.get(key) is not None] for name, results in taken.items()}
        series = {name: values for name, values in series.items() if values}
        values = {name: value_of(v, figure.p99) for name, v in series.items()}
        for name, taken_values in series.items():
            out.append({"row": row, "what": figure.what, "variant": name, "unit": figure.unit,
                        "statistic": "p99" if figure.p99 else "median", "value": values[name],
                        "min": min(taken_values), "max": max(taken_values), "values": taken_values,
                        "goals": _goals(figure, name, values)})
    return out
