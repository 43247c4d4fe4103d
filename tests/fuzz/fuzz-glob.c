/* Globs: any pattern on any path ends soon and reads nothing outside; a path that is quoted matches. */
#include <stdlib.h>
#include <string.h>
#include "core/glob.h"
#include "tests/lib/fuzz.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* Every byte behind a '\' is itself. */
static void quoted_matches_itself(const char *path)
{
	size_t len = strlen(path);
	char *pattern = malloc(2 * len + 2), *p = pattern;

	must(pattern != NULL);
	*p++ = '/';
	for (size_t i = 0; i < len; i++) {
		if (path[i] != '/')
			*p++ = '\\';
		*p++ = path[i];
	}
	*p = '\0';
	must(orch_glob_match(pattern, path, true));
	free(pattern);
}

static bool is_path(const char *s)
{
	return *s && *s != '/' && s[strlen(s) - 1] != '/' && !strstr(s, "//");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nl = memchr(data, '\n', size);
	size_t first = nl ? (size_t)(nl - data) : size;
	struct orch_globs *g = orch_globs_new();
	char *pattern, *path;

	if (size > 4096)
		first = size = 0;
	pattern = strndup((const char *)data, first);
	path = nl && size ? strndup((const char *)nl + 1, size - first - 1) : strdup("");
	must(g && pattern && path);
	must(orch_globs_add_text(g, (const char *)data, size) == 0);
	orch_globs_match(g, path, true);
	orch_globs_match(g, pattern, false);
	/* a list of one line is that line, but for what a negation means when nothing was matched */
	if (pattern[0] != '!')
		orch_glob_match(pattern, path, false);
	if (is_path(path))
		quoted_matches_itself(path);
	orch_globs_free(g);
	free(pattern);
	free(path);
	return 0;
}
