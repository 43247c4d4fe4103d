/* orch-shim workspace exec and shell: a command in the sandbox that a build gets. */
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/path.h"
#include "providers/environment.h"
#include "providers/provider.h"
#include "shim/api.h"
#include "shim/cancel.h"
#include "shim/job.h"
#include "shim/mount_watch.h"
#include "shim/out.h"
#include "shim/say.h"
#include "shim/socket.h"
#include "shim/task.h"
#include "shim/workspace.h"

#define NOT_STARTED 125

static int find_mount(struct shim_cli *cli, struct orch_json **out, struct orch_err *err)
{
	struct shim_call call = {
	    .method = "GET", .path = "/v1/workspaces/%", .parts = {shim_arg(cli, 0)}};
	int r = shim_call(cli, &call, out, err);

	if (r < 0)
		return r;
	if (strcmp(shim_get(*out, "state"), "mounted") != 0)
		return orch_err_set(err, ENOENT,
		    "workspace %s is not mounted; orch-shim workspace mount %s mounts it",
		    shim_arg(cli, 0), shim_arg(cli, 0));
	return 0;
}

static int make_env(struct shim_cli *cli, struct orch_strv *env)
{
	int r = prv_environment_from_host(cli->envp, env);

	if (r == 0)
		r = prv_environment_trim_path(env, PRV_WORKSPACE_INSIDE);
	if (r == 0)
		r = orch_strv_set_env(env, "GITHUB_WORKSPACE", PRV_WORKSPACE_INSIDE);
	return r == 0 ? orch_strv_set_env(env, "ORCH_WORKSPACE", shim_arg(cli, 0)) : r;
}

static int code_of(const struct shim_task_end *end)
{
	bool ended = end->signal || end->exit_code >= 0;

	if (!end->started || (!ended && end->state != OUT_CANCELLED)) {
		shim_say(SHIM_SAY_ERROR, "%s", end->reason);
		return NOT_STARTED;
	}
	if (end->state == OUT_CANCELLED)
		return SHIM_CANCELLED;
	return end->signal ? 128 + end->signal : end->exit_code;
}

static int on_groups(void *priv, const char *const *folders, size_t count)
{
	return shim_job_begin(priv, folders, count);
}

/* The exit code. */
static int run_watched(struct shim_cli *cli, const struct orch_json *w, struct shim_task *task)
{
	const struct shim_mount mount = {.cli = cli,
	    .workspace = shim_arg(cli, 0),
	    .path = shim_get(w, "path"),
	    .pid = shim_get_u64(w, "pid"),
	    .what = "command"};
	struct shim_task_end end = {.state = OUT_INFRASTRUCTURE_ERROR, .exit_code = -1};
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_mount_watch watch;
	int r;

	task->cancel_fd = shim_mount_watch_begin(&mount, &watch);
	r = shim_task_run(task, &end, &err);
	shim_job_end(task->priv);
	shim_mount_watch_end(&watch);
	if (!shim_cancelled() && shim_mount_lost(&mount))
		r = shim_mount_error(&mount, &err);
	return r < 0 ? shim_fail(cli, &err) : code_of(&end);
}

static int run_in(struct shim_cli *cli, const char *const *argv)
{
	orch_auto(json) struct orch_json *w = NULL;
	orch_auto(strv) struct orch_strv env = ORCH_STRV_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_task task = {.provider = "sandbox",
	    .inside = PRV_WORKSPACE_INSIDE,
	    .folder = ".",
	    .argv = argv,
	    .network = true,
	    .terminal = true};
	struct shim_job job = {.cli = cli, .workspace = shim_arg(cli, 0)};
	orch_auto(free) char *runs = NULL, *tasks = NULL;
	char run[80];
	int r = find_mount(cli, &w, &err);

	if (r == 0)
		r = shim_runs_folder(cli->socket, cli->socket_given, cli->envp, &runs, &err);

	if (r == 0 && (!(tasks = orch_path_join(runs, "tasks")) || make_env(cli, &env) < 0))
		r = orch_err_sys(&err, ENOMEM, "make the environment");
	if (r < 0)
		return shim_fail(cli, &err);
	snprintf(
	    run, sizeof(run), "exec-%d-%llx", (int)getpid(), (unsigned long long)orch_wall_ns());
	task.run = job.name = run;
	task.on_groups = on_groups;
	task.priv = &job;
	task.state_dir = tasks;
	task.uid = (uint32_t)shim_get_u64(orch_json_get(w, "owner"), "uid");
	task.gid = (uint32_t)shim_get_u64(orch_json_get(w, "owner"), "gid");
	task.tree = shim_get(w, "path");
	task.env = (const char *const *)orch_strv_argv(&env);
	return run_watched(cli, w, &task);
}

int shim_workspace_exec(struct shim_cli *cli)
{
	if (!cli->values.command.count || !cli->values.command.v[0][0]) {
		shim_say(SHIM_SAY_ERROR, "nothing to run: put a command behind --");
		return SHIM_USAGE;
	}
	return run_in(cli, (const char *const *)cli->values.command.v);
}

int shim_workspace_shell(struct shim_cli *cli)
{
	static const char *const argv[] = {"bash", "-i", NULL};

	return run_in(cli, argv);
}
