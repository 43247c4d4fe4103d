#include "shim/checkout.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/path.h"

#define GIT_FILE_MAX ((size_t)1 << 20)

/* The text of dir/name, NULL when it can't be read. */
static char *load(const char *dir, const char *name)
{
	struct orch_buf b;
	orch_auto(free) char *path = NULL;
	char *text = NULL;

	orch_buf_init(&b, GIT_FILE_MAX);
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		path = NULL;
	if (path && orch_file_load(AT_FDCWD, path, &b, NULL) == 0)
		text = orch_buf_take_str(&b);
	orch_buf_fini(&b);
	return text;
}

static void trim(char *s)
{
	size_t n = strlen(s);

	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
}

static char *relative_to(const char *dir, char *path)
{
	char *out;

	trim(path);
	if (path[0] == '/')
		return strdup(path);
	return asprintf(&out, "%s/%s", dir, path) < 0 ? NULL : out;
}

/* The folder of HEAD: .git, or what a worktree's .git file names. */
static char *find_git_dir(const char *dir)
{
	orch_auto(free) char *link = load(dir, ".git");
	char *out;

	if (link && strncmp(link, "gitdir: ", 8) == 0)
		return relative_to(dir, link + 8);
	return asprintf(&out, "%s/.git", dir) < 0 ? NULL : out;
}

static char *find_common_dir(const char *git_dir)
{
	orch_auto(free) char *link = load(git_dir, "commondir");

	return link ? relative_to(git_dir, link) : strdup(git_dir);
}

static bool is_commit(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return (n == 40 || n == 64) && !s[n];
}

char *shim_checkout_packed(const char *packed, const char *ref)
{
	size_t len = strlen(ref);

	for (const char *line = packed; *line;) {
		size_t hex = strspn(line, "0123456789abcdef"), n = strcspn(line, "\n");

		if ((hex == 40 || hex == 64) && line[hex] == ' ' && n - hex - 1 == len &&
		    strncmp(line + hex + 1, ref, len) == 0)
			return strndup(line, hex);
		line += n + (line[n] == '\n');
	}
	return NULL;
}

/* ref is one by Git's rules, so it is a file in there. */
static char *resolve_ref(const char *common, const char *ref)
{
	char *text = load(common, ref);
	orch_auto(free) char *packed = NULL;

	if (!text) {
		packed = load(common, "packed-refs");
		return packed ? shim_checkout_packed(packed, ref) : NULL;
	}
	trim(text);
	if (is_commit(text))
		return text;
	free(text);
	return NULL;
}

bool shim_checkout_head(const char *text, char **out)
{
	orch_auto(free) char *copy = strdup(text);
	bool is_ref = copy && strncmp(copy, "ref: ", 5) == 0;

	*out = NULL;
	if (!copy)
		return false;
	trim(copy);
	if (!is_ref && is_commit(copy))
		*out = orch_take(copy);
	else if (is_ref && strncmp(copy + 5, "refs/", 5) == 0 && orch_ref_name_valid(copy + 5))
		*out = strdup(copy + 5);
	return is_ref;
}

static void read_head(const char *git_dir, const char *common, struct shim_checkout *out)
{
	orch_auto(free) char *head = load(git_dir, "HEAD");
	orch_auto(free) char *said = NULL;

	if (!head)
		return;
	if (!shim_checkout_head(head, &said)) {
		out->commit = orch_take(said);
		return;
	}
	if (!said)
		return;
	if (strncmp(said, "refs/heads/", 11) == 0)
		out->branch = strdup(said + 11);
	out->commit = resolve_ref(common, said);
}

/* "url = X" of a line; NULL when it is something else. */
static char *url_of_line(const char *line, size_t n)
{
	size_t i = strspn(line, " \t");

	if (n < i + 3 || strncasecmp(line + i, "url", 3) != 0)
		return NULL;
	i += 3;
	i += strspn(line + i, " \t");
	if (i >= n || line[i] != '=')
		return NULL;
	i++;
	i += strspn(line + i, " \t");
	while (n > i && isspace((unsigned char)line[n - 1]))
		n--;
	return n > i ? strndup(line + i, n - i) : NULL;
}

char *shim_checkout_remote(const char *config)
{
	bool in_remote = false, in_origin = false;
	char *found = NULL;

	for (const char *line = config; *line;) {
		size_t n = strcspn(line, "\n"), blank = strspn(line, " \t");
		char *url = in_remote ? url_of_line(line, n) : NULL;

		if (line[blank] == '[') {
			in_remote = strncasecmp(line + blank, "[remote ", 8) == 0;
			in_origin = in_remote && strncmp(line + blank + 8, "\"origin\"", 8) == 0;
		}
		if (url && (in_origin || !found)) {
			free(found);
			found = url;
			if (in_origin)
				return found;
		} else {
			free(url);
		}
		line += n + (line[n] == '\n');
	}
	return found;
}

int shim_checkout_read(const char *dir, struct shim_checkout *out)
{
	orch_auto(free) char *git_dir = find_git_dir(dir);
	orch_auto(free) char *common = git_dir ? find_common_dir(git_dir) : NULL;
	orch_auto(free) char *config = common ? load(common, "config") : NULL;

	memset(out, 0, sizeof(*out));
	if (!common)
		return -ENOMEM;
	read_head(git_dir, common, out);
	if (config)
		out->remote = shim_checkout_remote(config);
	return 0;
}

void shim_checkout_fini(struct shim_checkout *c)
{
	free(c->remote);
	free(c->branch);
	free(c->commit);
}
