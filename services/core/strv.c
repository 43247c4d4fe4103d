/* The vector of strings. One thread at a time. */
#include "core/strv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/grow.h"

void orch_strv_fini(struct orch_strv *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct orch_strv)ORCH_STRV_INIT;
}

void orch_auto_strv(struct orch_strv *s)
{
	orch_strv_fini(s);
}

/* Room for one more string and the NULL behind it. */
static int strv_grow(struct orch_strv *s)
{
	return orch_grow(&s->v, &s->cap, s->count + 2, sizeof(*s->v));
}

/* Takes str (NULL: the allocation that made it failed), on failure too. */
static int strv_put(struct orch_strv *s, char *str)
{
	if (!str || strv_grow(s) < 0) {
		free(str);
		return -ENOMEM;
	}
	s->v[s->count++] = str;
	s->v[s->count] = NULL;
	return 0;
}

int orch_strv_add(struct orch_strv *s, const char *str)
{
	return strv_put(s, strdup(str));
}

int orch_strv_addf(struct orch_strv *s, const char *fmt, ...)
{
	char *str = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&str, fmt, ap);
	va_end(ap);
	return n < 0 ? -ENOMEM : strv_put(s, str);
}

int orch_strv_add_all(struct orch_strv *s, const char *const *v)
{
	for (; v && *v; v++) {
		int r = orch_strv_add(s, *v);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_variable(const char *entry, const char *name, size_t name_len)
{
	return strncmp(entry, name, name_len) == 0 && entry[name_len] == '=';
}

int orch_strv_set_env(struct orch_strv *s, const char *name, const char *value)
{
	size_t len = strlen(name);
	char *entry = NULL;

	if (asprintf(&entry, "%s=%s", name, value) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++) {
		if (!is_variable(s->v[i], name, len))
			continue;
		free(s->v[i]);
		s->v[i] = entry;
		return 0;
	}
	return strv_put(s, entry);
}

const char *orch_strv_get_env(const struct orch_strv *s, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < s->count; i++)
		if (is_variable(s->v[i], name, len))
			return s->v[i] + len + 1;
	return NULL;
}

char *const *orch_strv_argv(const struct orch_strv *s)
{
	static char *const none[] = {NULL};

	return s->v ? s->v : none;
}
