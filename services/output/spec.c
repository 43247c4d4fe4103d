/* The list of outputs that a build is asked for. Pure; not thread-safe while it is filled. */
#include "output/spec.h"
#include <stdlib.h>
#include <string.h>
#include "core/glob.h"

#define LINES_MAX 1024 /* of one name */

struct line {
	char *glob; /* without '!' */
	bool negated;
};

struct spec {
	char *name;
	bool required;
	struct line *lines;
	size_t count;
};

struct out_specs {
	struct spec *v;
	size_t count;
};

struct out_specs *out_specs_new(void)
{
	return calloc(1, sizeof(struct out_specs));
}

void out_specs_free(struct out_specs *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->count; i++) {
		for (size_t k = 0; k < s->v[i].count; k++)
			free(s->v[i].lines[k].glob);
		free(s->v[i].lines);
		free(s->v[i].name);
	}
	free(s->v);
	free(s);
}

static bool name_valid(const char *name, size_t len)
{
	static const char allowed[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	if (len == 0 || len > OUT_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (memchr(allowed, name[i], sizeof(allowed) - 1) == NULL)
			return false;
	}
	return true;
}

/* The word behind the last comma when it looks like an option; NULL: the comma is part of the glob. */
static const char *option_of(const char *glob)
{
	const char *comma = strrchr(glob, ',');

	if (comma == NULL || comma[1] == '\0' ||
	    comma[1 + strspn(comma + 1, "abcdefghijklmnopqrstuvwxyz-")] != '\0')
		return NULL;
	return comma + 1;
}

static bool has_dotdot(const char *glob)
{
	const char *p = glob;

	while ((p = strstr(p, "..")) != NULL) {
		if ((p == glob || p[-1] == '/') && (p[2] == '\0' || p[2] == '/'))
			return true;
		p += 2;
	}
	return false;
}

/* Cuts text into name, glob (malloc'd, option removed) and option. */
static int spec_parse(const char *text, size_t *out_name_len, char **out_glob, bool *out_required,
    struct orch_err *err)
{
	const char *eq = strchr(text, '='), *option;
	char *glob;

	if (eq == NULL)
		return orch_err_set(err, ORCH_EUSAGE, "output \"%s\": NAME=GLOB is wanted", text);
	if (!name_valid(text, (size_t)(eq - text)))
		return orch_err_set(err, ORCH_EUSAGE,
		    "output \"%s\": a name is 1 to %d of A-Z a-z 0-9 . _ - and begins with a "
		    "letter, "
		    "a digit or _",
		    text, OUT_NAME_MAX);
	option = option_of(eq + 1);
	*out_required = option != NULL && strcmp(option, "required") == 0;
	if (option != NULL && !*out_required && strcmp(option, "optional") != 0)
		return orch_err_set(err, ORCH_EUSAGE,
		    "output \"%s\": \"%s\" is neither \"required\" nor \"optional\" (a comma of "
		    "the "
		    "glob itself is written [,])",
		    text, option);
	glob = strdup(eq + 1);
	if (glob == NULL)
		return orch_err_set(err, ENOMEM, "no memory for an output");
	if (option != NULL)
		glob[option - (eq + 1) - 1] = '\0';
	if (has_dotdot(glob) || glob[strspn(glob, "!./")] == '\0') {
		free(glob);
		return orch_err_set(err, ORCH_EUSAGE,
		    "output \"%s\": a glob names something inside the workspace", text);
	}
	*out_name_len = (size_t)(eq - text);
	*out_glob = glob;
	return 0;
}

static struct spec *spec_make(struct out_specs *s, const char *name, size_t len)
{
	struct spec *v;
	char *copy;

	for (size_t i = 0; i < s->count; i++) {
		if (strlen(s->v[i].name) == len && memcmp(s->v[i].name, name, len) == 0)
			return &s->v[i];
	}
	v = reallocarray(s->v, s->count + 1, sizeof(*v));
	if (v == NULL)
		return NULL;
	s->v = v;
	copy = strndup(name, len);
	if (copy == NULL)
		return NULL;
	v[s->count] = (struct spec){.name = copy};
	return &v[s->count++];
}

static int line_add(struct spec *spec, const char *glob)
{
	bool negated = glob[0] == '!';
	struct line *lines = reallocarray(spec->lines, spec->count + 1, sizeof(*lines));
	char *copy;

	if (lines == NULL)
		return -ENOMEM;
	spec->lines = lines;
	glob += negated;
	while (strncmp(glob, "./", 2) == 0)
		glob += 2;
	copy = strdup(glob);
	if (copy == NULL)
		return -ENOMEM;
	lines[spec->count++] = (struct line){copy, negated};
	return 0;
}

int out_specs_add(struct out_specs *s, const char *text, struct orch_err *err)
{
	char *glob = NULL;
	struct spec *spec;
	bool required = false;
	size_t name_len = 0;
	int r = spec_parse(text, &name_len, &glob, &required, err);

	if (r < 0)
		return r;
	if (s->count >= OUT_SPECS_MAX) {
		free(glob);
		return orch_err_set(err, ORCH_EUSAGE, "more than %d outputs", OUT_SPECS_MAX);
	}
	spec = spec_make(s, text, name_len);
	if (spec != NULL && spec->count >= LINES_MAX) {
		free(glob);
		return orch_err_set(
		    err, ORCH_EUSAGE, "output %s has more than %d globs", spec->name, LINES_MAX);
	}
	r = spec == NULL ? -ENOMEM : line_add(spec, glob);
	free(glob);
	if (r < 0)
		return orch_err_set(err, ENOMEM, "no memory for an output");
	spec->required |= required;
	return 0;
}

size_t out_specs_count(const struct out_specs *s)
{
	return s->count;
}

const char *out_specs_name(const struct out_specs *s, size_t i)
{
	return s->v[i].name;
}

bool out_specs_required(const struct out_specs *s, size_t i)
{
	return s->v[i].required;
}

int out_specs_line(const struct out_specs *s, size_t i, const char *path, bool is_dir, int above)
{
	const struct spec *spec = &s->v[i];

	/* lines before that of the folder above can't decide any more */
	for (int k = (int)spec->count - 1; k > above; k--) {
		if (orch_glob_match(spec->lines[k].glob, path, is_dir))
			return k;
	}
	return above;
}

bool out_specs_takes(const struct out_specs *s, size_t i, int line)
{
	return line >= 0 && !s->v[i].lines[line].negated;
}

/* Whether the first components of the glob can be those of dir, with more to come. */
static bool glob_reaches_below(const char *glob, const char *dir)
{
	char part[256], name[256];

	if (glob[0] == '/')
		glob++;
	else if (strchr(glob, '/') == NULL || strchr(glob, '/')[1] == '\0')
		return true; /* matches at any depth */
	while (*dir != '\0') {
		size_t g = strcspn(glob, "/"), d = strcspn(dir, "/");

		if (g >= sizeof(part) || d >= sizeof(name) ||
		    (g == 2 && memcmp(glob, "**", 2) == 0) ||
		    (g > 0 && (glob[0] == '!' || glob[0] == '#')))
			return true;
		memcpy(part, glob, g);
		part[g] = '\0';
		memcpy(name, dir, d);
		name[d] = '\0';
		if (g == 0 || !orch_glob_match(part, name, true))
			return false;
		glob += g + (glob[g] == '/');
		dir += d + (dir[d] == '/');
	}
	return *glob != '\0';
}

bool out_specs_below(const struct out_specs *s, size_t i, const char *dir)
{
	const struct spec *spec = &s->v[i];

	for (size_t k = 0; k < spec->count; k++) {
		if (!spec->lines[k].negated && glob_reaches_below(spec->lines[k].glob, dir))
			return true;
	}
	return false;
}
