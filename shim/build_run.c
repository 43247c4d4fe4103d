/* Phases: make the run's folder and journal; run the command; clean up behind it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/path.h"
#include "shim/build.h"
#include "shim/build_folder.h"
#include "shim/build_hint.h"
#include "shim/cancel.h"
#include "shim/say.h"
#include "shim/socket.h"
#include "shim/task.h"

/* ---- begin */

/* Where the log is seen while it grows: with --json, standard output is the result's. */
static int live_fd(const struct shim_build *b)
{
	if (b->cli->quiet)
		return -1;
	return b->cli->json ? STDERR_FILENO : STDOUT_FILENO;
}

int shim_build_begin(struct shim_build *b, struct orch_err *err)
{
	int r = shim_build_folder(b, err);

	if (r == 0)
		r = out_log_open(b->folder, "build.log", live_fd(b), &b->log, err);
	if (r == 0)
		r = shim_runs_folder(
		    b->cli->socket, b->cli->socket_given, b->cli->envp, &b->runs_folder, err);
	if (r == 0)
		r = shim_journal_begin(b->runs_folder, b->run, b->cli->socket, &b->journal, err);
	return r;
}

/* ---- run */

static int on_output(void *priv, const void *p, size_t n)
{
	struct shim_build *b = priv;

	return out_log_write(b->log, p, n);
}

static int on_name(void *priv, const char *name)
{
	struct shim_build *b = priv;
	struct orch_err err = ORCH_ERR_INIT;
	int r = shim_journal_make(b->journal, "task", name, &err);

	if (r < 0)
		shim_say(SHIM_SAY_ERROR, "%s", err.msg);
	free(b->task_name);
	b->task_name = strdup(name);
	return b->task_name ? r : -ENOMEM;
}

static int on_groups(void *priv, const char *const *folders, size_t count)
{
	struct shim_build *b = priv;

	b->job = (struct shim_job){.cli = b->cli, .workspace = b->workspace, .name = b->run};
	return shim_job_begin(&b->job, folders, count);
}

static int add_workspace_env(struct shim_build *b, const char *inside)
{
	int r = orch_strv_set_env(&b->env, "GITHUB_WORKSPACE", inside);

	return r == 0 ? orch_strv_set_env(&b->env, "ORCH_WORKSPACE_PATH", inside) : r;
}

/* The task was not to blame: what may help. */
static void hint(struct shim_build *b, const char *reason)
{
	struct orch_err why = ORCH_ERR_INIT;

	(void)!orch_err_set(&why, EIO, "%s", reason);
	shim_build_hint(b, "run", &why);
}

static void take_end(struct shim_build *b, const struct shim_task_end *end)
{
	b->ran = end->started;
	b->exit_code = end->exit_code;
	b->signal = end->signal;
	b->resources = end->resources;
	if (shim_cancelled())
		shim_build_end(b, OUT_CANCELLED, "cancelled by signal %d", shim_cancel_signal());
	else if (end->state != OUT_SUCCEEDED)
		shim_build_end(b, end->state, "%s", end->reason);
	if (b->state == OUT_INFRASTRUCTURE_ERROR)
		hint(b, end->reason);
}

/* However the command ended: without its mount that says nothing. */
struct shim_mount shim_build_mount(const struct shim_build *b)
{
	return (struct shim_mount){.cli = b->cli,
	    .workspace = b->workspace,
	    .path = b->mount_path,
	    .pid = b->mount_pid,
	    .what = "build"};
}

static int run_task(struct shim_build *b, struct shim_task *task, struct orch_err *err)
{
	struct shim_task_end end = {.state = OUT_INFRASTRUCTURE_ERROR, .exit_code = -1};
	const struct shim_mount mount = shim_build_mount(b);
	struct shim_mount_watch watch;
	int r;

	task->cancel_fd = shim_mount_watch_begin(&mount, &watch);
	r = shim_task_run(task, &end, err);
	shim_job_end(&b->job);
	shim_mount_watch_end(&watch);
	if (!shim_cancelled() && shim_mount_lost(&mount))
		return shim_mount_error(&mount, err);
	if (r == 0)
		take_end(b, &end);
	return r;
}

int shim_build_run(struct shim_build *b, struct orch_err *err)
{
	const char *inside = strcmp(b->provider, "local") == 0
				 ? b->mount_path
				 : shim_text(b->in, "dockerWorkspacePath");
	orch_auto(free) char *tasks = orch_path_join(b->runs_folder, "tasks");
	struct shim_task task = {.provider = b->provider,
	    .run = b->run,
	    .state_dir = tasks,
	    .uid = b->uid,
	    .gid = b->gid,
	    .tree = b->mount_path,
	    .inside = inside,
	    .folder = shim_text(b->in, "projectPath"),
	    .network = strcmp(shim_text(b->in, "network"), "on") == 0,
	    .timeout_ms = b->timeout_ms,
	    .on_output = on_output,
	    .on_name = on_name,
	    .on_groups = on_groups,
	    .priv = b};
	int r = add_workspace_env(b, inside);

	if (r < 0 || !tasks)
		return orch_err_sys(err, ENOMEM, "make the environment of the build");
	task.argv = (const char *const *)b->argv.v;
	task.env = (const char *const *)orch_strv_argv(&b->env);
	shim_say(SHIM_SAY_DETAIL, "running in %s, seen as %s", b->mount_path, inside);
	b->attempts++;
	return run_task(b, &task, err);
}

int shim_build_undo_run(struct shim_build *b, struct orch_err *err)
{
	if (!b->task_name)
		return 0;
	/* shim_task_run leaves nothing; what is undone here is only its line in the journal */
	return shim_journal_gone(b->journal, "task", b->task_name, err);
}
