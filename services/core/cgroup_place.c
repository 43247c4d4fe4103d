#include "core/cgroup_place.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"

static bool list_has(const char *list, size_t len, const char *name)
{
	size_t name_len = strlen(name);

	while (len >= name_len) {
		const char *comma = memchr(list, ',', len);
		size_t n = comma ? (size_t)(comma - list) : len;

		if (n == name_len && memcmp(list, name, n) == 0)
			return true;
		if (!comma)
			return false;
		list += n + 1;
		len -= n + 1;
	}
	return false;
}

/* The group of this process in that hierarchy, from the text of /proc/self/cgroup; malloc'd. */
static char *own_group(const char *text, const char *controller)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		const char *list = memchr(line, ':', len);
		const char *path = list ? strchr(list + 1, ':') : NULL;

		if (path && path < line + len &&
		    list_has(list + 1, (size_t)(path - list - 1), controller))
			return strndup(path + 1, (size_t)(line + len - path - 1));
		line += len + (line[len] == '\n');
	}
	return NULL;
}

struct mount_line {
	char root[PATH_MAX];
	char point[PATH_MAX];
	char type[32];
	char options[512];
};

/* "36 35 0:31 root point options ... - type source super"; see proc(5). */
static bool mount_line_parse(const char *line, struct mount_line *out)
{
	const char *dash = strstr(line, " - ");

	return dash && sscanf(line, "%*d %*d %*s %4095s %4095s", out->root, out->point) == 2 &&
	       sscanf(dash, " - %31s %*s %511s", out->type, out->options) == 2;
}

static bool mount_serves(const struct mount_line *m, const char *controller)
{
	if (!*controller)
		return strcmp(m->type, "cgroup2") == 0;
	return strcmp(m->type, "cgroup") == 0 &&
	       list_has(m->options, strlen(m->options), controller);
}

/* The folder of group `path` below a mount that shows the tree from `root` on; malloc'd. */
static char *folder_of(const struct mount_line *m, const char *path)
{
	size_t root_len = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);

	if (strncmp(path, "/..", 3) == 0 || strncmp(path, m->root, root_len) != 0 ||
	    (path[root_len] && path[root_len] != '/'))
		return NULL;
	path += root_len;
	return orch_path_join(m->point, path + (path[0] == '/'));
}

char *orch_cgroup_place(const char *groups, const char *mounts, const char *controller)
{
	orch_auto(free) char *path = own_group(groups, controller);
	orch_auto(free) struct mount_line *m = malloc(sizeof(*m));

	if (!path || !m)
		return NULL;
	for (const char *line = mounts; *line;) {
		size_t len = strcspn(line, "\n");
		orch_auto(free) char *copy = strndup(line, len);
		char *folder = NULL;

		if (copy && mount_line_parse(copy, m) && mount_serves(m, controller))
			folder = folder_of(m, path);
		if (folder)
			return folder;
		line += len + (line[len] == '\n');
	}
	return NULL;
}
