"""Every parser that others can reach has a fuzz target, every target has a corpus, and no corpus grows without end."""
from orchtest import *
from rules import is_test, line_of, load, must_find, project_files, read_text, report, strip

# What turns bytes into values, by its name.
PARSER = re.compile(r"\b([a-z]\w*_(?:parse|decode))\s*\(")
# Parsers that no target names, since another function that one names hands them all they get.
WITHIN = {
    "git_attr_file_parse": "sync_git_attrs_add",
    "fmt_entry_decode": "fmt_tree_check",
    "out_state_parse": "out_result_check",
    "prv_outcome_parse": "prv_record_result_parse",
    "shim_bool_parse": "shim_check",
}
INPUTS_MAX, BYTES_MAX = 64, 256 * 1024


def without_target(headers, targets):
    """headers, targets: {path: text}. Public parsers that no target calls."""
    out, called = [], set(re.findall(r"\b[a-z]\w*", "\n".join(strip(t) for t in targets.values())))
    for path, text in headers.items():
        if is_test(path):
            continue
        code = strip(text)
        for m in PARSER.finditer(code):
            if m.group(1) not in called and WITHIN.get(m.group(1)) not in called:
                out.append("%s:%d: no fuzz target calls %s" % (path, line_of(code, m.start()), m.group(1)))
    return out


def bad_corpora(targets, inputs):
    """targets: names; inputs: {path below tests/fuzz/corpus: bytes}."""
    out, count, size = [], {}, {}
    for path, n in inputs.items():
        target = path.split("/")[0]
        count[target] = count.get(target, 0) + 1
        size[target] = size.get(target, 0) + n
    for target in sorted(targets):
        if target not in count:
            out.append("tests/fuzz/corpus/%s: no input" % target)
    for target in sorted(count):
        if target not in targets:
            out.append("tests/fuzz/corpus/%s: no such target" % target)
        if count[target] > INPUTS_MAX or size[target] > BYTES_MAX:
            out.append("tests/fuzz/corpus/%s: %d inputs, %d bytes; at most %d and %d"
                       % (target, count[target], size[target], INPUTS_MAX, BYTES_MAX))
    return out


@test
def the_check_sees_a_parser_without_a_target(t):
    headers = {"shim/a.h": "/* old_parse() */\nint shim_a_parse(const char *s);\nint shim_b_parse(const char *s);\n"
                           "int fmt_entry_decode(void);\n", "tests/x.h": "int x_parse(void);\n"}
    must_find(without_target(headers, {"tests/fuzz/fuzz-a.c": "shim_a_parse(p); /* shim_b_parse */ fmt_tree_check();"}),
              "^shim/a.h:3: no fuzz target calls shim_b_parse")
    must_find(without_target(headers, {"tests/fuzz/fuzz-a.c": "shim_a_parse(p); shim_b_parse(p);"}),
              "^shim/a.h:4: no fuzz target calls fmt_entry_decode")


@test
def the_check_sees_a_bad_corpus(t):
    must_find(bad_corpora({"fuzz-a", "fuzz-b", "fuzz-c"}, {"fuzz-a/1": 3, "fuzz-b/big": BYTES_MAX + 1, "fuzz-d/1": 1}),
              "fuzz-c: no input", "fuzz-b: 1 inputs", "fuzz-d: no such target")


@test
def parsers_have_a_target(t):
    report(without_target(load(".h"), load(".c", below="tests/fuzz/")))


@test
def targets_have_a_corpus_of_some_size(t):
    prefix = "tests/fuzz/corpus/"
    names = project_files()
    targets = {n[len("tests/fuzz/"):-2] for n in names if re.match(r"tests/fuzz/fuzz-[^/]*\.c$", n)}
    inputs = {n[len(prefix):]: os.path.getsize(os.path.join(SRC, n)) for n in names if n.startswith(prefix)}
    report(bad_corpora(targets, inputs))


main()
