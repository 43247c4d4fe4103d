/* The table of all commands, and finding one in it. */
#include "shim/commands.h"

#include <stdio.h>
#include <string.h>
#include "core/nearest.h"

const struct shim_family shim_families[] = {
    {NULL, "Run a build in a workspace of its own", shim_build_commands},
    {"snapshot", "Immutable trees in the store", shim_snapshot_commands},
    {"ref", "Names that point to snapshots", shim_ref_commands},
    {"workspace", "Mounted, writable views of snapshots", shim_workspace_commands},
    {"lfs", "Large files of Git LFS", shim_lfs_commands},
    {"store", "The content store", shim_store_commands},
    {"daemon", "The daemon that keeps the store", shim_daemon_commands},
    {NULL, "This machine", shim_machine_commands},
    {NULL, NULL, NULL},
};

const struct shim_family *shim_find_family(const char *name)
{
	for (const struct shim_family *f = shim_families; f->commands; f++)
		if (f->name && strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static const struct shim_command *find_in(const struct shim_command *c, const char *name)
{
	for (; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

#define NAMES_MAX 64

static size_t add_names(const struct shim_family *f, const char **names, size_t n)
{
	for (const struct shim_command *c = f->commands; c->name; c++) {
		ORCH_BUG_ON(n == NAMES_MAX);
		if (!c->later)
			names[n++] = c->name;
	}
	return n;
}

static int unknown_command(const char *name, struct orch_err *err)
{
	const char *names[NAMES_MAX], *near;
	size_t n = 0;

	for (const struct shim_family *f = shim_families; f->commands; f++) {
		if (f->name)
			names[n++] = f->name;
		else
			n = add_names(f, names, n);
	}
	near = orch_nearest(name, names, n);
	if (near)
		return orch_err_set(
		    err, EINVAL, "unknown command '%s'; did you mean %s?", name, near);
	return orch_err_set(err, EINVAL, "unknown command '%s'; orch-shim --help lists them", name);
}

static int unknown_in_family(const struct shim_family *f, const char *name, struct orch_err *err)
{
	const char *names[NAMES_MAX], *near;

	if (!name)
		return orch_err_set(err, EINVAL, "%s what? orch-shim %s --help lists the commands",
		    f->name, f->name);
	near = orch_nearest(name, names, add_names(f, names, 0));
	if (near)
		return orch_err_set(err, EINVAL, "unknown command '%s %s'; did you mean %s %s?",
		    f->name, name, f->name, near);
	return orch_err_set(err, EINVAL, "unknown command '%s %s'; orch-shim %s --help lists them",
	    f->name, name, f->name);
}

int shim_find_command(int argc, const char *const *argv, const struct shim_command **out,
    int *out_used, struct orch_err *err)
{
	const char *second = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
	const struct shim_family *f;
	const struct shim_command *c;

	ORCH_BUG_ON(argc < 1);
	for (f = shim_families; f->commands; f++) {
		if (f->name || !(c = find_in(f->commands, argv[0])))
			continue;
		*out = c;
		*out_used = 1;
		return 0;
	}
	f = shim_find_family(argv[0]);
	if (!f)
		return unknown_command(argv[0], err);
	c = second ? find_in(f->commands, second) : NULL;
	if (!c)
		return unknown_in_family(f, second, err);
	*out = c;
	*out_used = 2;
	return 0;
}
