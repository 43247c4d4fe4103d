/* One .gitattributes file; see git_attr_priv.h. Pure. */
#include "sync/git_attr_priv.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "core/grow.h"

#define LINE_MAX  2048 /* Git ignores longer ones */
#define RULES_MAX 65536
#define WORDS_MAX 1024
#define PARTS_MAX 1024
#define MACRO	  "[attr]"

struct words { /* of one line, each NUL-terminated */
	char *v[WORDS_MAX];
	size_t count;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int octal(const char *p)
{
	int v = 0;

	for (int i = 0; i < 3; i++) {
		if (p[i] < '0' || p[i] > '7')
			return -1;
		v = v * 8 + (p[i] - '0');
	}
	return v > 255 ? -1 : v;
}

/* A pattern in double quotes, as C writes strings, in its own place. *p moves behind it. */
static int unquote(char **p)
{
	static const char from[] = "abfnrtv\\\"", to[] = "\a\b\f\n\r\t\v\\\"";
	char *in = *p + 1, *out = *p;

	while (*in && *in != '"') {
		const char *at;
		int v;

		if (*in != '\\') {
			*out++ = *in++;
			continue;
		}
		in++;
		at = *in ? strchr(from, *in) : NULL;
		if (at) {
			*out++ = to[at - from];
			in++;
		} else {
			v = octal(in);
			if (v <= 0)
				return -EINVAL;
			*out++ = (char)v;
			in += 3;
		}
	}
	if (*in != '"' || (in[1] && !is_blank(in[1])))
		return -EINVAL;
	*out = '\0';
	*p = in + 1;
	return 0;
}

/* Cuts the line. -EINVAL: Git would not obey it. */
static int split(char *line, struct words *w)
{
	char *p = line;

	w->count = 0;
	if (*p == '"') {
		w->v[w->count++] = p;
		if (unquote(&p) < 0)
			return -EINVAL;
	}
	for (;;) {
		while (is_blank(*p))
			*p++ = '\0';
		if (!*p)
			return 0;
		if (w->count == WORDS_MAX)
			return -EINVAL;
		w->v[w->count++] = p;
		while (*p && !is_blank(*p))
			p++;
	}
}

/* ---- attributes of a line ---- */

static bool attr_name_valid(const char *p, size_t len)
{
	if (!len || *p == '-' || (len >= 8 && memcmp(p, "builtin_", 8) == 0))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') ||
			(p[i] >= '0' && p[i] <= '9') || p[i] == '-' || p[i] == '.' || p[i] == '_'))
			return false;
	return true;
}

/* -1: one that changes nothing here. */
static int attr_number(const struct git_attr_file *names, const char *p, size_t len)
{
	static const char *const known[] = {
	    "text", "crlf", "eol", "ident", "filter", "working-tree-encoding", "binary"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(known); i++)
		if (strlen(known[i]) == len && memcmp(known[i], p, len) == 0)
			return (int)i;
	for (size_t i = 0; names && i < names->macro_count; i++)
		if (strlen(names->macros[i].name) == len &&
		    memcmp(names->macros[i].name, p, len) == 0)
			return (int)(GIT_ATTR_BINARY + 1 + i);
	return -1;
}

/* 1: *out is set; 0: of no interest; -EINVAL: not valid. */
static int read_assign(const struct git_attr_file *names, char *word, struct git_assign *out)
{
	struct git_assign a = {.is = SYNC_GIT_ATTR_SET};
	char *value = strchr(word, '=');
	int n;

	if (*word == '-' || *word == '!') {
		a.is = *word == '-' ? SYNC_GIT_ATTR_UNSET : SYNC_GIT_ATTR_UNKNOWN;
		word++;
	} else if (value) {
		a.is = SYNC_GIT_ATTR_VALUE;
		a.text = value + 1;
	}
	if (!attr_name_valid(word, value ? (size_t)(value - word) : strlen(word)))
		return -EINVAL;
	n = attr_number(names, word, value ? (size_t)(value - word) : strlen(word));
	if (n < 0)
		return 0;
	a.attr = (uint16_t)n;
	*out = a;
	return 1;
}

static int read_assigns(const struct git_attr_file *names, const struct words *w,
    struct git_assign **out, size_t *out_count)
{
	size_t n = w->count > 1 ? w->count - 1 : 1;
	struct git_assign *v = calloc(n, sizeof(*v));
	size_t count = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 1; i < w->count; i++) {
		int r = read_assign(names, w->v[i], &v[count]);

		if (r < 0) {
			free(v);
			return r;
		}
		count += (size_t)r;
	}
	*out = v;
	*out_count = count;
	return 0;
}

/* ---- patterns ---- */

/* Two stars, or more. */
static bool is_any(const char *p, size_t len)
{
	return len >= 2 && strspn(p, "*") >= len;
}

/* A slash may be quoted: its backslash is no part of the name before it. */
static size_t unquoted_length(const char *p, size_t len)
{
	size_t quotes = 0;

	while (quotes < len && p[len - 1 - quotes] == '\\')
		quotes++;
	return len - quotes % 2;
}

static int add_part(struct git_rule *rule, const char *p, size_t len)
{
	bool any = is_any(p, len);

	/* two of these after each other say what one does */
	if (any && rule->part_count && !rule->parts[rule->part_count - 1].p)
		return 0;
	if (rule->part_count == PARTS_MAX)
		return -EINVAL;
	rule->parts[rule->part_count++] =
	    any ? (struct git_part){NULL, 2} : (struct git_part){p, len};
	return 0;
}

/* -EINVAL: it can match no file (it ends with a slash, or takes back what nothing says). */
static int read_pattern(struct git_rule *rule, const char *p)
{
	size_t len = strlen(p), slashes = 0;
	int r = 0;

	if (!len || p[len - 1] == '/')
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		slashes += p[i] == '/';
	rule->parts = calloc(slashes + 2, sizeof(*rule->parts));
	if (!rule->parts)
		return -ENOMEM;
	if (!slashes)
		r = add_part(rule, "**", 2);
	if (!slashes && r == 0 && is_any(p, len))
		p = "*", len = 1;
	p += *p == '/';
	while (r == 0) {
		const char *stop = strchr(p, '/');

		r = add_part(rule, p, stop ? unquoted_length(p, (size_t)(stop - p)) : strlen(p));
		if (!stop)
			break;
		p = stop + 1;
	}
	return r;
}

/* ---- lines ---- */

static void name_rule(struct git_rule *rule, struct orch_sha256 *s)
{
	for (size_t i = 0; i < rule->part_count; i++) {
		orch_sha256_add(s, rule->parts[i].p ? rule->parts[i].p : "**", rule->parts[i].len);
		orch_sha256_add(s, "/", 1);
	}
	orch_sha256_add(s, "", 1);
	for (size_t i = 0; i < rule->assign_count; i++) {
		const struct git_assign *a = &rule->assigns[i];
		const char *text = a->text ? a->text : "";

		orch_sha256_add(s, &a->attr, sizeof(a->attr));
		orch_sha256_add(s, &a->is, sizeof(a->is));
		orch_sha256_add(s, text, strlen(text) + 1);
	}
	orch_sha256_end(s, &rule->digest);
}

static void rule_fini(struct git_rule *rule)
{
	free(rule->parts);
	free(rule->assigns);
}

static int add_rule(struct git_attr_file *f, const struct git_attr_file *names, struct words *w)
{
	struct orch_sha256 *s = orch_sha256_new();
	struct git_rule rule = {.parts = NULL};
	int r = s ? 0 : -ENOMEM;

	if (r == 0)
		r = read_assigns(names, w, &rule.assigns, &rule.assign_count);
	if (r == 0)
		r = read_pattern(&rule, w->v[0]);
	if (r == 0 && f->rule_count == RULES_MAX)
		r = -EFBIG;
	if (r == 0 && rule.assign_count)
		r = orch_grow(&f->rules, &f->rule_cap, f->rule_count + 1, sizeof(*f->rules));
	if (r < 0 || !rule.assign_count) {
		rule_fini(&rule);
		orch_sha256_free(s);
		return r;
	}
	orch_sha256_reset(s);
	name_rule(&rule, s);
	orch_sha256_free(s);
	f->rules[f->rule_count++] = rule;
	return 0;
}

/* Each line that is to be obeyed is given to fn; its words point into f->text. */
typedef int line_fn(struct git_attr_file *f, const struct git_attr_file *names, struct words *w);

static int each_line(
    struct git_attr_file *f, char *text, size_t len, const struct git_attr_file *names, line_fn *fn)
{
	struct words *w = malloc(sizeof(*w));
	char *end = text + len;
	int r = w ? 0 : -ENOMEM;

	for (char *p = text; p < end && r == 0;) {
		char *stop = memchr(p, '\n', (size_t)(end - p));
		char *line = p;

		stop = stop ? stop : end;
		*stop = '\0'; /* there is one behind the end, too */
		p = stop + 1;
		while (is_blank(*line))
			line++;
		if (!*line || *line == '#')
			continue;
		r = stop - line >= LINE_MAX || strlen(line) != (size_t)(stop - line)
			? -EINVAL
			: split(line, w);
		if (r == 0)
			r = fn(f, names, w);
		if (r == -EINVAL) {
			f->ignored++;
			r = 0;
		}
	}
	free(w);
	return r;
}

static bool is_macro(const struct words *w)
{
	return strncmp(w->v[0], MACRO, sizeof(MACRO) - 1) == 0 && w->v[0][sizeof(MACRO) - 1];
}

/* The first pass over the root's file: what macros there are. */
static int name_macro(struct git_attr_file *f, const struct git_attr_file *names, struct words *w)
{
	const char *name = w->v[0] + sizeof(MACRO) - 1;
	struct git_macro *m;

	if (!is_macro(w) || !attr_name_valid(name, strlen(name)) ||
	    attr_number(f, name, strlen(name)) >= 0)
		return 0;
	if (f->macro_count == GIT_ATTR_MACROS_MAX)
		return -EFBIG;
	m = &f->macros[f->macro_count];
	m->name = strdup(name);
	if (!m->name)
		return -ENOMEM;
	f->macro_count++;
	return 0;
}

/* A later definition replaces an earlier one. */
static int define_macro(struct git_attr_file *f, struct words *w)
{
	const char *name = w->v[0] + sizeof(MACRO) - 1;
	int n = attr_number(f, name, strlen(name)) - (GIT_ATTR_BINARY + 1);
	struct git_assign *assigns;
	size_t count;
	int r;

	if (n < 0)
		return -EINVAL; /* `binary` and the attributes themselves stay what they are */
	r = read_assigns(f, w, &assigns, &count);
	if (r < 0)
		return r;
	free(f->macros[n].assigns);
	f->macros[n].assigns = assigns;
	f->macros[n].assign_count = count;
	return 0;
}

static int read_line(struct git_attr_file *f, const struct git_attr_file *names, struct words *w)
{
	if (is_macro(w))
		return names == f ? define_macro(f, w) : -EINVAL;
	if (w->v[0][0] == '!')
		return -EINVAL;
	return add_rule(f, names, w);
}

int git_attr_file_parse(
    const char *text, size_t len, const struct git_attr_file *names, struct git_attr_file **out)
{
	struct git_attr_file *f = calloc(1, sizeof(*f));
	char *copy = malloc(len + 1);
	int r = f && copy ? 0 : -ENOMEM;
	size_t bom = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

	if (r == 0) {
		f->text = malloc(len + 1);
		r = f->text ? 0 : -ENOMEM;
	}
	if (r == 0 && !names) {
		memcpy(copy, text, len);
		copy[len] = '\0';
		r = each_line(f, copy + bom, len - bom, NULL, name_macro);
		f->ignored = 0; /* they are counted by the second pass */
	}
	if (r == 0) {
		memcpy(f->text, text, len);
		f->text[len] = '\0';
		r = each_line(f, f->text + bom, len - bom, names ? names : f, read_line);
	}
	free(copy);
	if (r < 0)
		git_attr_file_free(f);
	else
		*out = f;
	return r;
}

void git_attr_file_free(struct git_attr_file *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->rule_count; i++)
		rule_fini(&f->rules[i]);
	for (size_t i = 0; i < f->macro_count; i++) {
		free(f->macros[i].name);
		free(f->macros[i].assigns);
	}
	free(f->rules);
	free(f->text);
	free(f);
}
