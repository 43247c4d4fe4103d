"""
The rows of the table. A row is a generator: it makes what it needs, yields Groups (figures.py), each measured before the
next is asked for. It is registered with what it needs of the machine; a row, or part of one, that this version can't
have says so, by `missing`.
"""
import importlib
from typing import Callable, NamedTuple, Tuple


class Row(NamedTuple):
    name: str                        # "F1"
    function: Callable
    needs: Tuple[str, ...]           # features of tests/lib/orchtest.py, or programs


_rows = []
MISSING = []                         # (row, what can't be taken yet and why)


def row(name, needs=""):
    def mark(function):
        _rows.append(Row(name, function, tuple(needs.split())))
        return function
    return mark


def missing(name, why):
    MISSING.append((name, why))


def _number(name):
    return int(name[1:])


def load():
    """Every row, in the order of the goals."""
    for module in "read", "write", "walk", "life", "transfer", "build", "kill":
        importlib.import_module("rows_" + module)
    return sorted(_rows, key=lambda r: _number(r.name))
