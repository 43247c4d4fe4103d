#include "shim/leftovers.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/path.h"
#include "shim/api.h"
#include "shim/journal.h"
#include "shim/machine.h"
#include "shim/out.h"
#include "shim/say.h"
#include "shim/socket.h"
#include "shim/task.h"

#define UNDO_MS 30000

struct undo {
	struct shim_cli *cli;
	bool dry_run;
	char *tasks; /* folder of the tasks' records */
};

static int undo_workspace(struct shim_cli *cli, const char *name, struct orch_err *err)
{
	struct shim_call call = {.method = "DELETE",
	    .path = "/v1/workspaces/%?force=1",
	    .parts = {name},
	    .timeout_ms = UNDO_MS};
	int r = shim_call(cli, &call, NULL, err);

	return r == -ENOENT ? 0 : r;
}

static int undo_one(void *priv, const struct shim_leftover *what)
{
	const struct undo *u = priv;
	struct orch_err err = ORCH_ERR_INIT;
	int r;

	/* A journal in a shared state folder may be about another daemon's things. */
	if (strcmp(what->socket, u->cli->socket) != 0)
		return -EXDEV;
	shim_say(SHIM_SAY_INFO, "%s %s %s of run %s, whose orch-shim (process %d) is gone",
	    u->dry_run ? "would remove" : "removing", what->kind, what->name, what->run, what->pid);
	if (u->dry_run)
		return -ECANCELED;
	if (strcmp(what->kind, "workspace") == 0)
		r = undo_workspace(u->cli, what->name, &err);
	else if (strcmp(what->kind, "task") == 0)
		r = shim_task_undo(what->name, u->tasks, &err);
	else
		r = orch_err_set(&err, ENOTSUP, "a %s is not known to this version", what->kind);
	if (r < 0)
		shim_say(SHIM_SAY_WARN, "%s %s: %s", what->kind, what->name, err.msg);
	return r;
}

static void tell_damaged(void *priv, const char *file, const char *why)
{
	(void)priv;
	shim_say(SHIM_SAY_WARN,
	    "the journal of a run, %s, can't be trusted: %s. What that run left, if anything, is "
	    "not removed: look at it, then remove the journal",
	    file, why);
}

int shim_leftovers_undo(struct shim_cli *cli, bool dry_run)
{
	struct undo u = {.cli = cli, .dry_run = dry_run};
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(free) char *folder = NULL;
	int r = shim_runs_folder(cli->socket, cli->socket_given, cli->envp, &folder, &err);

	if (r == 0 && !(u.tasks = orch_path_join(folder, "tasks")))
		r = orch_err_sys(&err, ENOMEM, "look for what killed runs left");
	if (r == 0)
		r = shim_journal_recover(folder, dry_run, undo_one, tell_damaged, &u, &err);
	if (r < 0)
		shim_say(SHIM_SAY_WARN, "%s", err.msg);
	free(u.tasks);
	return r < 0 ? 0 : r;
}

struct tasks {
	bool dry_run;
	int count;
};

static void tell_task(void *priv, const char *kind, const char *name)
{
	struct tasks *t = priv;

	t->count++;
	shim_say(SHIM_SAY_INFO, "%s %s %s", t->dry_run ? "would remove" : "removing", kind, name);
}

/* Tasks without a journal: those of workspace exec. */
static int gc_tasks(struct shim_cli *cli, bool dry_run)
{
	struct tasks t = {.dry_run = dry_run};
	orch_auto(free) char *folder = NULL, *tasks = NULL;

	if (shim_runs_folder(cli->socket, cli->socket_given, cli->envp, &folder, NULL) < 0)
		return 0;
	tasks = orch_path_join(folder, "tasks");
	if (tasks && access(tasks, F_OK) == 0)
		shim_task_gc(tasks, dry_run, tell_task, &t);
	return t.count;
}

int shim_gc(struct shim_cli *cli)
{
	struct orch_err err = ORCH_ERR_INIT;
	bool dry_run = shim_on(&cli->values, "dryRun");
	int left;

	if (shim_ping(cli, &err) < 0)
		return shim_fail(cli, &err);
	left = shim_leftovers_undo(cli, dry_run);
	left += gc_tasks(cli, dry_run);
	if (left == 0)
		shim_say(SHIM_SAY_INFO, "no killed run has left anything");
	return SHIM_OK;
}
