/*
 * Globs with the meaning of gitignore lines (gitignore(5)). Pure. A pattern is matched segment by
 * segment; both levels go back to their last star only, so the work is at most the product of the
 * two lengths for each level.
 */
#include "core/glob.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/grow.h"
#include "core/path.h"

/* A line, taken apart. `text` has no leading '!' or '/', no trailing '/'. */
struct glob {
	char *text;
	bool negated;
	bool dir_only;
	bool anchored; /* else it matches at any depth */
};

struct orch_globs {
	struct glob *v;
	size_t count, cap;
};

struct span {
	const char *p;
	const char *end;
};

static const struct {
	const char *name;
	int (*is)(int c);
} classes[] = {
    {"alnum", isalnum},
    {"alpha", isalpha},
    {"blank", isblank},
    {"cntrl", iscntrl},
    {"digit", isdigit},
    {"graph", isgraph},
    {"lower", islower},
    {"print", isprint},
    {"punct", ispunct},
    {"space", isspace},
    {"upper", isupper},
    {"xdigit", isxdigit},
};

/* "[:name:]" at p: whether c is in it; *out_end behind it, or NULL when p is no such thing. */
static bool in_named_class(struct span s, unsigned char c, const char **out_end)
{
	const char *close;

	*out_end = NULL;
	if (s.end - s.p < 4 || s.p[0] != '[' || s.p[1] != ':')
		return false;
	close = memmem(s.p + 2, (size_t)(s.end - s.p - 2), ":]", 2);
	if (!close)
		return false;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(classes); i++) {
		size_t len = strlen(classes[i].name);

		if ((size_t)(close - s.p - 2) != len || memcmp(s.p + 2, classes[i].name, len) != 0)
			continue;
		*out_end = close + 2;
		return c < 0x80 && classes[i].is(c);
	}
	return false;
}

/* One member character, a '\' in front of it dropped; NULL at the end. */
static const char *class_char(struct span s, unsigned char *out)
{
	if (s.p < s.end && *s.p == '\\')
		s.p++;
	if (s.p >= s.end)
		return NULL;
	*out = (unsigned char)*s.p;
	return s.p + 1;
}

/* "[...]" at s.p: whether c matches; *out_end behind it, NULL when it is not closed. */
static bool match_class(struct span s, unsigned char c, const char **out_end)
{
	bool negated, found = false, first = true;

	*out_end = NULL;
	s.p++;
	negated = s.p < s.end && (*s.p == '!' || *s.p == '^');
	s.p += negated;
	for (; s.p < s.end && (first || *s.p != ']'); first = false) {
		unsigned char low, high;
		const char *next;

		found |= in_named_class(s, c, &next);
		if (!next) {
			next = class_char(s, &low);
			high = low;
			if (next && s.end - next >= 2 && next[0] == '-' && next[1] != ']')
				next = class_char((struct span){next + 1, s.end}, &high);
			if (!next)
				return false;
			found |= c >= low && c <= high;
		}
		s.p = next;
	}
	if (s.p >= s.end)
		return false;
	*out_end = s.p + 1;
	return found != negated;
}

/* One pattern element against one character; *out_next is the next element, NULL for none. */
static bool match_one(struct span pat, unsigned char c, const char **out_next)
{
	*out_next = pat.p + 1;
	switch (*pat.p) {
	case '?':
		return true;
	case '[':
		return match_class(pat, c, out_next);
	case '\\':
		if (pat.end - pat.p < 2)
			return false;
		*out_next = pat.p + 2;
		return (unsigned char)pat.p[1] == c;
	default:
		return (unsigned char)*pat.p == c;
	}
}

/* One segment of the pattern against one component of the path. */
static bool match_segment(struct span pat, struct span name)
{
	const char *star = NULL, *star_name = NULL;

	while (name.p < name.end) {
		const char *next = NULL;

		if (pat.p < pat.end && *pat.p == '*') {
			star = ++pat.p;
			star_name = name.p;
		} else if (pat.p < pat.end && match_one(pat, (unsigned char)*name.p, &next) &&
			   next) {
			pat.p = next;
			name.p++;
		} else if (star) {
			pat.p = star;
			name.p = ++star_name;
		} else {
			return false;
		}
	}
	while (pat.p < pat.end && *pat.p == '*')
		pat.p++;
	return pat.p == pat.end;
}

/* The first segment of s; s moves behind it and its '/'. */
static struct span take_segment(struct span *s)
{
	const char *slash = memchr(s->p, '/', (size_t)(s->end - s->p));
	struct span segment = {s->p, slash ? slash : s->end};

	s->p = slash ? slash + 1 : s->end;
	return segment;
}

static bool is_double_star(struct span s)
{
	return s.end - s.p == 2 && s.p[0] == '*' && s.p[1] == '*';
}

/* A whole anchored pattern; a segment of two stars stands for any number of components. */
static bool match_path(struct span pat, struct span path)
{
	struct span star_pat = {NULL, NULL}, star_path = {NULL, NULL};

	while (path.p < path.end) {
		struct span rest = pat, segment;

		if (pat.p < pat.end) {
			segment = take_segment(&rest);
			if (is_double_star(segment)) {
				/* At the end it matches what is inside, so one component at least. */
				if (rest.p == rest.end)
					return true;
				star_pat = rest;
				star_path = path;
				pat = rest;
				continue;
			}
			if (match_segment(segment, take_segment(&path))) {
				pat = rest;
				continue;
			}
		}
		if (!star_pat.p)
			return false;
		pat = star_pat;
		take_segment(&star_path);
		path = star_path;
	}
	return pat.p == pat.end;
}

static bool glob_match(const struct glob *g, const char *path, bool is_dir)
{
	struct span pat = {g->text, g->text + strlen(g->text)};
	struct span whole = {path, path + strlen(path)};
	const char *slash;

	if (g->dir_only && !is_dir)
		return false;
	if (g->anchored)
		return match_path(pat, whole);
	slash = strrchr(path, '/');
	return match_segment(pat, (struct span){slash ? slash + 1 : path, whole.end});
}

/* Blanks at the end count only behind a '\'. */
static size_t trimmed_length(const char *p, size_t len)
{
	while (len > 0 && p[len - 1] == ' ') {
		size_t quotes = 0;

		while (quotes + 1 < len && p[len - 2 - quotes] == '\\')
			quotes++;
		if (quotes % 2)
			break;
		len--;
	}
	return len;
}

/* Whether there is one in the line: *out but for its text, which is p[0..len) afterwards. */
static bool glob_read(const char **line, size_t *line_len, struct glob *out)
{
	struct glob g = {.text = NULL};
	const char *p = *line;
	size_t len = *line_len;

	len = trimmed_length(p, len);
	if (len == 0 || p[0] == '#')
		return false;
	if (p[0] == '!') {
		g.negated = true;
		p++;
		len--;
	}
	if (len > 0 && p[len - 1] == '/') {
		g.dir_only = true;
		len--;
	}
	g.anchored = memchr(p, '/', len) != NULL;
	if (len > 0 && p[0] == '/') {
		p++;
		len--;
	}
	*line = p;
	*line_len = len;
	*out = g;
	return len > 0;
}

/* 1: *out is filled (text is the caller's to free); 0: nothing in the line; -ENOMEM. */
static int glob_parse(const char *p, size_t len, struct glob *out)
{
	struct glob g;

	if (!glob_read(&p, &len, &g))
		return 0;
	g.text = strndup(p, len);
	if (!g.text)
		return -ENOMEM;
	*out = g;
	return 1;
}

bool orch_glob_match(const char *pattern, const char *path, bool is_dir)
{
	char text[ORCH_PATH_MAX +
		  1]; /* no memory is no answer: a file would silently not be taken */
	size_t len = strlen(pattern);
	struct glob g;

	if (!glob_read(&pattern, &len, &g) || len >= sizeof(text))
		return false;
	memcpy(text, pattern, len);
	text[len] = '\0';
	g.text = text;
	return glob_match(&g, path, is_dir) != g.negated;
}

bool orch_glob_match_name(
    const char *pattern, size_t pattern_len, const char *name, size_t name_len)
{
	return match_segment(
	    (struct span){pattern, pattern + pattern_len}, (struct span){name, name + name_len});
}

struct orch_globs *orch_globs_new(void)
{
	return calloc(1, sizeof(struct orch_globs));
}

void orch_globs_free(struct orch_globs *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->count; i++)
		free(g->v[i].text);
	free(g->v);
	free(g);
}

static int globs_add_line(struct orch_globs *g, const char *p, size_t len)
{
	int r = orch_grow(&g->v, &g->cap, g->count + 1, sizeof(*g->v));

	if (r == 0)
		r = glob_parse(p, len, &g->v[g->count]);
	if (r < 0)
		return r;
	g->count += (size_t)r;
	return 0;
}

int orch_globs_add(struct orch_globs *g, const char *line)
{
	return globs_add_line(g, line, strlen(line));
}

int orch_globs_add_text(struct orch_globs *g, const char *text, size_t len)
{
	const char *end = text + len;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = nl ? nl : end;
		size_t n = (size_t)(line_end - text);
		int r;

		if (n > 0 && text[n - 1] == '\r')
			n--;
		r = globs_add_line(g, text, n);
		if (r < 0)
			return r;
		text = nl ? nl + 1 : end;
	}
	return 0;
}

bool orch_globs_match(const struct orch_globs *g, const char *path, bool is_dir)
{
	for (size_t i = g->count; i-- > 0;)
		if (glob_match(&g->v[i], path, is_dir))
			return !g->v[i].negated;
	return false;
}

bool orch_globs_empty(const struct orch_globs *g)
{
	return g->count == 0;
}

bool orch_globs_anchored(const struct orch_globs *g)
{
	for (size_t i = 0; i < g->count; i++)
		if (g->v[i].anchored)
			return true;
	return false;
}
