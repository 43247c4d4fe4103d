#include "shim/test_report.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define DEPTH_MAX 64

struct span {
	const char *p;
	size_t n;
};

struct reader {
	const char *p, *end, *begin;
	struct span open[DEPTH_MAX]; /* names of the elements that are open */
	size_t depth;
	bool has_root, in_case, case_failed, case_skipped;
	struct shim_test_counts counts;
	struct orch_err *err;
};

static int bad(const struct reader *r, const char *what)
{
	unsigned line = 1;

	for (const char *p = r->begin; p < r->p && p < r->end; p++)
		line += *p == '\n';
	return orch_err_set(r->err, EINVAL, "line %u: %s", line, what);
}

static bool is(struct span s, const char *name)
{
	return s.n == strlen(name) && memcmp(s.p, name, s.n) == 0;
}

static bool at(const struct reader *r, const char *text)
{
	size_t n = strlen(text);

	return (size_t)(r->end - r->p) >= n && memcmp(r->p, text, n) == 0;
}

static int skip_past(struct reader *r, const char *text, const char *what)
{
	const char *found = memmem(r->p, (size_t)(r->end - r->p), text, strlen(text));

	if (!found)
		return bad(r, what);
	r->p = found + strlen(text);
	return 0;
}

static void skip_blanks(struct reader *r)
{
	while (r->p < r->end && isspace((unsigned char)*r->p))
		r->p++;
}

static struct span take_name(struct reader *r)
{
	struct span s = {.p = r->p};

	while (r->p < r->end && !isspace((unsigned char)*r->p) && !strchr("=/><\"'&", *r->p))
		r->p++;
	s.n = (size_t)(r->p - s.p);
	return s;
}

/* name="value" */
static int take_attribute(struct reader *r, struct span *name, struct span *value)
{
	char quote;

	*name = take_name(r);
	skip_blanks(r);
	if (!name->n || r->p >= r->end || *r->p != '=')
		return bad(r, "an attribute is not well-formed");
	r->p++;
	skip_blanks(r);
	if (r->p >= r->end || (*r->p != '"' && *r->p != '\''))
		return bad(r, "an attribute has no quotes");
	quote = *r->p++;
	value->p = r->p;
	while (r->p < r->end && *r->p != quote && *r->p != '<')
		r->p++;
	if (r->p >= r->end || *r->p != quote)
		return bad(r, "an attribute does not end");
	value->n = (size_t)(r->p++ - value->p);
	return 0;
}

static bool is_root(struct span name)
{
	return is(name, "testsuites") || is(name, "testsuite") || is(name, "test-run");
}

static void begin_element(struct reader *r, struct span name)
{
	if (is(name, "testcase") || is(name, "test-case")) {
		r->in_case = true;
		r->case_failed = r->case_skipped = false;
	} else if (r->in_case && is(r->open[0], "test-run")) {
		return; /* NUnit says it in the result attribute */
	} else if (r->in_case && (is(name, "failure") || is(name, "error"))) {
		r->case_failed = true;
	} else if (r->in_case && is(name, "skipped")) {
		r->case_skipped = true;
	}
}

static void see_attribute(
    struct reader *r, struct span element, struct span name, struct span value)
{
	if (!is(element, "test-case") || !is(name, "result"))
		return;
	r->case_failed = is(value, "Failed");
	r->case_skipped = is(value, "Skipped") || is(value, "Inconclusive");
}

static void end_element(struct reader *r, struct span name)
{
	if (!is(name, "testcase") && !is(name, "test-case"))
		return;
	r->in_case = false;
	r->counts.tests++;
	r->counts.failed += r->case_failed;
	r->counts.skipped += r->case_skipped;
}

static int open_element(struct reader *r)
{
	struct span name = take_name(r), key = {0}, value = {0};
	int rc;

	if (!name.n)
		return bad(r, "an element has no name");
	if (r->depth == 0 && (r->has_root || !is_root(name)))
		return bad(r, r->has_root ? "more than one root" : "neither JUnit nor NUnit 3");
	if (r->depth == DEPTH_MAX)
		return bad(r, "nested too deeply");
	r->has_root = true;
	r->open[r->depth++] = name;
	begin_element(r, name);
	for (;;) {
		skip_blanks(r);
		if (at(r, "/>")) {
			r->p += 2;
			r->depth--;
			end_element(r, name);
			return 0;
		}
		if (at(r, ">")) {
			r->p++;
			return 0;
		}
		rc = take_attribute(r, &key, &value);
		if (rc < 0)
			return rc;
		see_attribute(r, name, key, value);
	}
}

static int close_element(struct reader *r)
{
	struct span name = take_name(r);

	skip_blanks(r);
	if (!at(r, ">"))
		return bad(r, "a closing tag does not end");
	if (r->depth == 0 || r->open[r->depth - 1].n != name.n ||
	    memcmp(r->open[r->depth - 1].p, name.p, name.n) != 0)
		return bad(r, "a closing tag without its opening one");
	r->p++;
	r->depth--;
	end_element(r, name);
	return 0;
}

static int take_markup(struct reader *r)
{
	if (at(r, "<!--"))
		return skip_past(r, "-->", "a comment does not end");
	if (at(r, "<![CDATA[") && r->depth)
		return skip_past(r, "]]>", "a CDATA section does not end");
	if (at(r, "<?"))
		return skip_past(r, "?>", "an instruction does not end");
	if (at(r, "<!"))
		return bad(r, "a document type is not read");
	if (at(r, "</")) {
		r->p += 2;
		return close_element(r);
	}
	r->p++;
	return open_element(r);
}

int shim_test_report_parse(
    const char *text, size_t len, struct shim_test_counts *out, struct orch_err *err)
{
	struct reader r = {.p = text, .begin = text, .end = text + len, .err = err};

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		r.p += 3;
	while (r.p < r.end) {
		int rc;

		if (*r.p != '<') {
			if (r.depth == 0 && !isspace((unsigned char)*r.p))
				return bad(&r, "this is not XML");
			r.p++;
			continue;
		}
		rc = take_markup(&r);
		if (rc < 0)
			return rc;
	}
	if (!r.has_root || r.depth)
		return bad(&r, r.has_root ? "the file is cut off" : "the file is empty");
	out->tests += r.counts.tests;
	out->failed += r.counts.failed;
	out->skipped += r.counts.skipped;
	return 0;
}
