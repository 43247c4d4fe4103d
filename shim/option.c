#include "shim/option.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/json.h"
#include "core/nearest.h"

/* ---- names */

static void convert(const char *name, char sep, int (*fold)(int), char *out)
{
	size_t n = 0;

	for (const char *p = name; *p && n < 2 * SHIM_NAME_MAX - 2; p++) {
		if (isupper((unsigned char)*p) && p != name)
			out[n++] = sep;
		out[n++] = (char)fold((unsigned char)*p);
	}
	out[n] = '\0';
}

void shim_name_kebab(const char *name, char out[2 * SHIM_NAME_MAX])
{
	convert(name, '-', tolower, out);
}

void shim_name_env(const char *name, char out[2 * SHIM_NAME_MAX])
{
	convert(name, '_', toupper, out);
}

static bool flag_is(const char *written, size_t len, const char *name)
{
	char kebab[2 * SHIM_NAME_MAX];

	if (strlen(name) == len && memcmp(written, name, len) == 0)
		return true;
	shim_name_kebab(name, kebab);
	return strlen(kebab) == len && memcmp(written, kebab, len) == 0;
}

/* Copies the next blank-separated word of *list; false at the end. */
static bool next_name(const char **list, char out[SHIM_NAME_MAX])
{
	size_t n;

	*list += strspn(*list, " ");
	n = strcspn(*list, " ");
	if (n == 0)
		return false;
	ORCH_BUG_ON(n >= SHIM_NAME_MAX);
	memcpy(out, *list, n);
	out[n] = '\0';
	*list += n;
	return true;
}

bool shim_one_of(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list;; p += strcspn(p, "|") + 1) {
		size_t n = strcspn(p, "|");

		if (n == len && memcmp(p, word, n) == 0)
			return true;
		if (!p[n])
			return false;
	}
}

int shim_bool_parse(const char *text, bool *out)
{
	static const char *const words[2][4] = {
	    {"false", "no", "off", "0"}, {"true", "yes", "on", "1"}};

	for (int value = 0; value < 2; value++)
		for (size_t i = 0; i < ORCH_ARRAY_LEN(words[0]); i++)
			if (strcasecmp(text, words[value][i]) == 0) {
				*out = value == 1;
				return 0;
			}
	return -EINVAL;
}

/* ---- values */

int shim_values_init(struct shim_values *s, const struct shim_options *const *tables, size_t n)
{
	size_t count = 0;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < n; i++)
		count += tables[i]->count;
	s->v = calloc(count ? count : 1, sizeof(*s->v));
	if (!s->v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < tables[i]->count; j++)
			s->v[s->count++].option = &tables[i]->v[j];
	return 0;
}

void shim_values_fini(struct shim_values *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->v[i].text);
		free(s->v[i].from);
		orch_strv_fini(&s->v[i].all);
	}
	free(s->v);
	orch_strv_fini(&s->args);
	orch_strv_fini(&s->command);
	memset(s, 0, sizeof(*s));
}

static int set_value(
    struct shim_value *v, const char *text, enum shim_origin origin, const char *from)
{
	char *copy = strdup(text), *where = strdup(from);

	if (!copy || !where || orch_strv_add(&v->all, text) < 0) {
		free(copy);
		free(where);
		return -ENOMEM;
	}
	free(v->text);
	free(v->from);
	v->text = copy;
	v->from = where;
	v->origin = origin;
	return 0;
}

const struct shim_value *shim_value(const struct shim_values *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->v[i].option->name, name) == 0)
			return &s->v[i];
	ORCH_BUG_ON(!"an option that no table has");
	return NULL;
}

const char *shim_text(const struct shim_values *s, const char *name)
{
	return shim_value(s, name)->text;
}

bool shim_on(const struct shim_values *s, const char *name)
{
	const char *text = shim_text(s, name);
	bool on = false;

	return text && shim_bool_parse(text, &on) == 0 && on;
}

int64_t shim_number(const struct shim_values *s, const char *name)
{
	const char *text = shim_text(s, name);

	return text ? strtoll(text, NULL, 10) : 0;
}

const struct orch_strv *shim_list(const struct shim_values *s, const char *name)
{
	return &shim_value(s, name)->all;
}

bool shim_given(const struct shim_values *s, const char *name)
{
	return shim_value(s, name)->origin > SHIM_FROM_DEFAULT;
}

/* ---- flags */

static bool option_has_name(const struct shim_option *o, const char *written, size_t len)
{
	const char *aliases = o->aliases ? o->aliases : "";
	char alias[SHIM_NAME_MAX];

	if (flag_is(written, len, o->name))
		return true;
	while (next_name(&aliases, alias))
		if (flag_is(written, len, alias))
			return true;
	return false;
}

static struct shim_value *find_flag(struct shim_values *s, const char *written, size_t len)
{
	for (size_t i = 0; i < s->count; i++)
		if (option_has_name(s->v[i].option, written, len))
			return &s->v[i];
	return NULL;
}

static int unknown_flag(
    const struct shim_values *s, const char *written, size_t len, struct orch_err *err)
{
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	orch_auto(free) char *word = strndup(written, len);
	char kebab[2 * SHIM_NAME_MAX];
	const char *near;

	for (size_t i = 0; i < s->count; i++) {
		shim_name_kebab(s->v[i].option->name, kebab);
		if (orch_strv_add(&names, kebab) < 0)
			return orch_err_sys(err, ENOMEM, "read the command line");
	}
	if (!word)
		return orch_err_sys(err, ENOMEM, "read the command line");
	shim_name_kebab(word, kebab);
	near = orch_nearest(kebab, (const char *const *)names.v, names.count);
	if (!near)
		return orch_err_set(err, EINVAL, "unknown option --%s", word);
	return orch_err_set(err, EINVAL, "unknown option --%s; did you mean --%s?", word, near);
}

static bool is_bool_word(const char *s)
{
	return s && (strcasecmp(s, "true") == 0 || strcasecmp(s, "false") == 0);
}

struct flag_cursor {
	int argc, at;
	const char *const *argv;
};

/* The value of an option: behind '=', else the next argument, else true for a switch. */
static const char *flag_argument(
    const struct shim_option *o, const char *behind, struct flag_cursor *c)
{
	const char *next = c->at + 1 < c->argc ? c->argv[c->at + 1] : NULL;

	if (behind)
		return behind;
	if (o->type == SHIM_SWITCH && !is_bool_word(next))
		return "true";
	if (!next)
		return NULL;
	c->at++;
	return next;
}

static int take_flag(struct shim_value *v, const char *behind, const char *written, size_t len,
    struct flag_cursor *c, struct orch_err *err)
{
	char from[2 * SHIM_NAME_MAX];
	const char *text = flag_argument(v->option, behind, c);

	snprintf(from, sizeof(from), "%.*s", (int)len, written);
	if (!text)
		return orch_err_set(
		    err, EINVAL, "%s needs a value: %s %s", from, from, v->option->arg);
	if (v->origin == SHIM_FROM_FLAG && !(v->option->flags & SHIM_REPEATS)) {
		if (strcmp(v->text, text) == 0)
			return 0;
		return orch_err_set(
		    err, EINVAL, "%s was given twice: %s and %s", from, v->text, text);
	}
	return set_value(v, text, SHIM_FROM_FLAG, from);
}

static int parse_long(struct shim_values *s, struct flag_cursor *c, struct orch_err *err)
{
	const char *arg = c->argv[c->at];
	size_t len = strcspn(arg, "=");
	const char *behind = arg[len] ? arg + len + 1 : NULL;
	struct shim_value *v = find_flag(s, arg + 2, len - 2);

	/* --no-thing switches --thing off, when there is no option of that very name */
	if (!v && !behind && len > 5 && strncmp(arg, "--no-", 5) == 0) {
		v = find_flag(s, arg + 5, len - 5);
		if (v && v->option->type == SHIM_SWITCH)
			return set_value(v, "false", SHIM_FROM_FLAG, arg);
		v = NULL;
	}
	if (!v)
		return unknown_flag(s, arg + 2, len - 2, err);
	return take_flag(v, behind, arg, len, c, err);
}

static int parse_short(struct shim_values *s, struct flag_cursor *c, struct orch_err *err)
{
	const char *arg = c->argv[c->at];

	for (size_t i = 0; i < s->count && !arg[2]; i++)
		if (s->v[i].option->letter == arg[1])
			return take_flag(&s->v[i], NULL, arg, 2, c, err);
	return orch_err_set(err, EINVAL, "unknown option %s", arg);
}

static int take_command(struct shim_values *s, const struct flag_cursor *c)
{
	s->has_command = true;
	for (int i = c->at + 1; i < c->argc; i++)
		if (orch_strv_add(&s->command, c->argv[i]) < 0)
			return -ENOMEM;
	return 0;
}

int shim_parse_flags(struct shim_values *s, int argc, const char *const *argv, struct orch_err *err)
{
	struct flag_cursor c = {.argc = argc, .argv = argv};

	for (; c.at < argc; c.at++) {
		const char *arg = argv[c.at];
		int r;

		if (strcmp(arg, "--") == 0)
			return take_command(s, &c);
		if (strncmp(arg, "--", 2) == 0)
			r = parse_long(s, &c, err);
		else if (arg[0] == '-' && arg[1])
			r = parse_short(s, &c, err);
		else
			r = orch_strv_add(&s->args, arg);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- environment */

static const char *env_get(const char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return (*envp)[len + 1] ? *envp + len + 1 : NULL;
	return NULL;
}

static int take_env(struct shim_value *v, const char *const *envp, const char *name,
    enum shim_origin origin, bool ambient)
{
	const char *text = env_get(envp, name);
	int r;

	if (!text || v->origin != SHIM_FROM_NOWHERE)
		return 0;
	r = set_value(v, text, origin, name);
	v->ambient = ambient;
	return r;
}

static int inputs_of_name(struct shim_value *v, const char *name, const char *const *envp)
{
	char upper[2 * SHIM_NAME_MAX], var[2 * SHIM_NAME_MAX + 8];
	size_t i;

	for (i = 0; name[i]; i++)
		upper[i] = (char)toupper((unsigned char)name[i]);
	upper[i] = '\0';
	snprintf(var, sizeof(var), "INPUT_%s", upper);
	if (take_env(v, envp, var, SHIM_FROM_INPUT, false) < 0)
		return -ENOMEM;
	shim_name_env(name, upper);
	snprintf(var, sizeof(var), "INPUT_%s", upper);
	return take_env(v, envp, var, SHIM_FROM_INPUT, false);
}

static int env_of_name(struct shim_value *v, const char *name, const char *const *envp)
{
	char snake[2 * SHIM_NAME_MAX], var[2 * SHIM_NAME_MAX + 8];
	bool known_by_case = strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL;

	shim_name_env(name, snake);
	snprintf(var, sizeof(var), "ORCH_%s", snake);
	if (take_env(v, envp, var, SHIM_FROM_ENV, false) < 0)
		return -ENOMEM;
	if (v->option->flags & SHIM_OWN)
		return 0;
	if (take_env(v, envp, name, SHIM_FROM_ENV, !known_by_case) < 0)
		return -ENOMEM;
	return take_env(v, envp, snake, SHIM_FROM_ENV, true);
}

/* All names as inputs before any name as a variable. */
static int resolve(struct shim_value *v, const char *const *envp)
{
	static int (*const sources[])(struct shim_value *, const char *, const char *const *) = {
	    inputs_of_name, env_of_name};
	char alias[SHIM_NAME_MAX];

	for (size_t i = 0; i < ORCH_ARRAY_LEN(sources); i++) {
		const char *aliases = v->option->aliases ? v->option->aliases : "";
		int r = sources[i](v, v->option->name, envp);

		while (r == 0 && next_name(&aliases, alias))
			r = sources[i](v, alias, envp);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Repeated options arrive as one line each where only one value fits. */
static int split_lines(struct shim_value *v)
{
	orch_auto(free) char *copy = strdup(v->text);
	char *save = NULL;

	if (!copy)
		return -ENOMEM;
	orch_strv_fini(&v->all);
	memset(&v->all, 0, sizeof(v->all));
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (orch_strv_add(&v->all, line) < 0)
			return -ENOMEM;
	return 0;
}

int shim_parse_env(struct shim_values *s, const char *const *envp, struct orch_err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		struct shim_value *v = &s->v[i];
		int r = 0;

		if (v->origin == SHIM_FROM_NOWHERE && !(v->option->flags & SHIM_FLAG_ONLY))
			r = resolve(v, envp);
		if (r == 0 && v->origin == SHIM_FROM_NOWHERE && v->option->fallback)
			r = set_value(v, v->option->fallback, SHIM_FROM_DEFAULT, "default");
		else if (r == 0 && v->text && v->origin < SHIM_FROM_FLAG &&
			 (v->option->flags & SHIM_REPEATS))
			r = split_lines(v);
		if (r < 0)
			return orch_err_sys(err, -r, "read option %s", v->option->name);
	}
	return 0;
}

/* ---- checks */

static int bad_value(const struct shim_value *v, const char *allowed, struct orch_err *err)
{
	if (v->option->flags & SHIM_SECRET)
		return orch_err_set(err, EINVAL, "the value of %s is not %s", v->from, allowed);
	return orch_err_set(err, EINVAL, "%s: '%s' is not %s", v->from, v->text, allowed);
}

static int check_number(const struct shim_value *v, struct orch_err *err)
{
	const struct shim_option *o = v->option;
	char allowed[80] = "a whole number", *end;
	long long n;

	if (o->min != o->max)
		snprintf(allowed, sizeof(allowed), "a whole number from %lld to %lld",
		    (long long)o->min, (long long)o->max);
	errno = 0;
	n = strtoll(v->text, &end, 10);
	if (errno || end == v->text || *end || isspace((unsigned char)v->text[0]))
		return bad_value(v, allowed, err);
	if (o->min != o->max && (n < o->min || n > o->max))
		return bad_value(v, allowed, err);
	return 0;
}

static int check_choice(const struct shim_value *v, struct orch_err *err)
{
	const char *choices = v->option->choices, *near;
	orch_auto(strv) struct orch_strv words = ORCH_STRV_INIT;
	orch_auto(free) char *copy = strdup(choices);
	char *save = NULL;

	if (shim_one_of(choices, v->text))
		return 0;
	for (char *w = copy ? strtok_r(copy, "|", &save) : NULL; w; w = strtok_r(NULL, "|", &save))
		if (orch_strv_add(&words, w) < 0)
			return orch_err_sys(err, ENOMEM, "check %s", v->from);
	near = orch_nearest(v->text, (const char *const *)words.v, words.count);
	return orch_err_set(err, EINVAL, "%s: '%s' is none of %s%s%s%s", v->from, v->text, choices,
	    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int check_json(const struct shim_value *v, struct orch_err *err)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct orch_err why = ORCH_ERR_INIT;

	if (!v->text[0] || orch_json_parse(v->text, strlen(v->text), &j, &why) == 0)
		return 0;
	return orch_err_set(err, EINVAL, "%s is not valid JSON: %s", v->from, why.msg);
}

static int check_value(const struct shim_value *v, struct orch_err *err)
{
	bool ignored;

	switch (v->option->type) {
	case SHIM_SWITCH:
		return shim_bool_parse(v->text, &ignored) < 0 ? bad_value(v, "true or false", err)
							      : 0;
	case SHIM_NUMBER:
		return check_number(v, err);
	case SHIM_CHOICE:
		return check_choice(v, err);
	case SHIM_JSON:
		return check_json(v, err);
	case SHIM_TEXT:
	case SHIM_LIST:
		break;
	}
	return 0;
}

int shim_check(const struct shim_values *s, struct orch_err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct shim_value *v = &s->v[i];
		int r = v->text && v->origin > SHIM_FROM_DEFAULT ? check_value(v, err) : 0;

		/* an optional number or choice may be given as nothing */
		if (r < 0 && !v->text[0] && !(v->option->fallback && v->option->fallback[0]))
			r = 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static bool same_value(const struct shim_value *v, const char *text)
{
	bool a, b;

	if (v->option->type == SHIM_SWITCH)
		return shim_bool_parse(v->text, &a) == 0 &&
		       shim_bool_parse(text[0] ? text : "false", &b) == 0 && a == b;
	return strcmp(v->text, text) == 0;
}

static bool value_works(const struct shim_value *v)
{
	const struct shim_option *o = v->option;

	bool on = false;

	if (!o->works || !v->text || v->origin <= SHIM_FROM_DEFAULT)
		return true;
	/* What is not there can always be switched off; a flag that switches it on means it. */
	if (o->type == SHIM_SWITCH && shim_bool_parse(v->text, &on) == 0 &&
	    (!on || v->origin == SHIM_FROM_FLAG))
		return !on;
	if (same_value(v, o->fallback ? o->fallback : ""))
		return true;
	return o->works[0] && shim_one_of(o->works, v->text);
}

int shim_check_works(const struct shim_values *s,
    void (*warn)(void *priv, const struct shim_value *v), void *priv, struct orch_err *err)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct shim_value *v = &s->v[i];

		if (value_works(v))
			continue;
		if (v->ambient && warn) {
			warn(priv, v);
			continue;
		}
		if (v->option->works[0])
			return orch_err_set(err, EINVAL,
			    "%s: '%s' is not supported by this version of orch (it has: %s)",
			    v->from, v->text, v->option->works);
		return orch_err_set(
		    err, EINVAL, "%s is not supported by this version of orch", v->from);
	}
	return 0;
}
