"""
How large a run is: one table of named quantities for the kinds of run. "tiny" only shows that the frame works (the test
of it), "quick" is a look, "normal" is what is quoted, "full" has the sizes of the goals where normal takes smaller ones.
"""

KINDS = ("tiny", "quick", "normal", "full")
MIB = 1 << 20

_TABLE = {
    #                         tiny      quick      normal     full
    "rounds":                (2,        3,         5,         5),
    "seconds":               (0.05,     0.3,       0.5,       1.0),        # of a figure that is taken for a time (fio)
    "read_bytes":            (MIB,      64 * MIB,  256 * MIB, 1024 * MIB),  # F1
    "cold_random_bytes":     (MIB // 4, 4 * MIB,   16 * MIB,  32 * MIB),
    "written_bytes":         (MIB,      32 * MIB,  128 * MIB, 512 * MIB),   # F2
    "walked_files":          (300,      10000,     100000,    100000),      # F3, F4
    "grepped_files":         (100,      1000,      5000,      20000),       # F5
    "small_files":           (50,       500,       4000,      4000),        # F6
    "compiled":              (("core",), ("core", "format"), ("core", "format", "cache"),
                              ("core", "format", "view", "cache", "sync")),  # F7: libraries of orch itself
    "forked_files":          ((100,),   (1000, 10000),   (1000, 100000, 500000),
                              (1000, 100000, 500000)),                       # F8
    "forks":                 (2,        20,        20,        100),
    "remembered_files":      (300,      10000,     500000,    500000),      # F9
    "synced_files":          (300,      5000,      100000,    100000),      # F10
    "synced_change":         (10,       100,       1000,      1000),
    "imported_files":        (100,      2000,      20000,     20000),       # F11, 8 KB each
    "committed_files":       (100,      2000,      10000,     100000),      # F12, 100 KB each
    "copies":                (2,        4,         16,        16),          # F13
    "copied_bytes":          (MIB,      16 * MIB,  128 * MIB, 1024 * MIB),
    "kills":                 (1,        2,         5,         20),          # F15
    "load_seconds":          (0.5,      1.5,       2.0,       2.0),
    "image_bytes":           (1 << 30,  6 << 30,   24 << 30,  96 << 30),    # of the file system (sparse)
    "needed_bytes":          (1 << 28,  3 << 30,   14 << 30,  64 << 30),    # free space below .orch/bench before it starts
}


def sizes_of(kind):
    """{name: value} of one kind of run."""
    return {name: values[KINDS.index(kind)] for name, values in _TABLE.items()}
