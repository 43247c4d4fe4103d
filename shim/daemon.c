/* orch-shim daemon ... */
#include <poll.h>
#include <string.h>
#include "core/clock.h"
#include "shim/api.h"
#include "shim/cancel.h"
#include "shim/commands.h"
#include "shim/out.h"

#define UPGRADE_MS 120000
#define STOP_MS	   60000

static int run_status(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int r = shim_call(
	    cli, &(struct shim_call){.method = "GET", .path = "/v1/daemon"}, &answer, &err);

	if (r == 0)
		r = cli->json ? shim_out_json(answer, &err) : shim_out_members(answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int daemon_identity(struct shim_cli *cli, struct orch_proc_id *out, struct orch_err *err)
{
	orch_auto(json) struct orch_json *answer = NULL;
	int r = shim_call(
	    cli, &(struct shim_call){.method = "GET", .path = "/v1/daemon"}, &answer, err);

	if (r < 0)
		return r;
	/* in another pid name space its number says nothing: then its socket alone is watched */
	if (orch_proc_id_get((int32_t)shim_get_u64(answer, "pid"), out) < 0)
		out->pid = 0;
	return 0;
}

static bool is_gone(struct shim_cli *cli, const struct orch_proc_id *id)
{
	struct orch_err ignored = ORCH_ERR_INIT;

	if (id->pid)
		return orch_proc_id_alive(id) == 0;
	shim_disconnect(cli);
	return shim_ping(cli, &ignored) == -ORCH_ENODAEMON;
}

static int wait_gone(struct shim_cli *cli, const struct orch_proc_id *id, struct orch_err *err)
{
	uint64_t deadline = orch_deadline_in_ms(STOP_MS);

	while (!is_gone(cli, id)) {
		struct pollfd p = {.fd = cli->cancel_fd, .events = POLLIN};

		if (orch_clock_ns() > deadline)
			return orch_err_set(err, ETIMEDOUT,
			    "the daemon has not ended after %d s; busy mounts? see daemon stop "
			    "--force",
			    STOP_MS / 1000);
		if (poll(&p, 1, 20) > 0)
			return orch_err_set(err, ECANCELED, "cancelled; the daemon goes on ending");
	}
	return 0;
}

static int run_stop(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object();
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {
	    .method = "POST", .path = "/v1/daemon/stop", .body = body, .timeout_ms = UINT64_MAX};
	struct orch_proc_id id = {0};
	int r = daemon_identity(cli, &id, &err);

	if (r == 0 &&
	    (!body || orch_json_set_bool(body, "force", shim_on(&cli->values, "force")) < 0))
		r = orch_err_sys(&err, ENOMEM, "stop the daemon");
	if (r == 0)
		r = shim_call(cli, &call, NULL, &err);
	if (r == 0)
		r = wait_gone(cli, &id, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* The daemon is the same process afterwards, begun anew: only the time of its start tells. */
static int wait_upgraded(struct shim_cli *cli, const char *before, struct orch_err *err)
{
	uint64_t deadline = orch_deadline_in_ms(UPGRADE_MS);

	for (;;) {
		orch_auto(json) struct orch_json *answer = NULL;
		struct pollfd p = {.fd = cli->cancel_fd, .events = POLLIN};
		struct shim_call call = {
		    .method = "GET", .path = "/v1/daemon", .timeout_ms = 10000};
		int r;

		shim_disconnect(cli);
		r = shim_call(cli, &call, &answer, err);
		if (r == 0 && strcmp(shim_get(answer, "started"), before) != 0)
			return cli->json ? shim_out_json(answer, err) : 0;
		if (orch_clock_ns() > deadline)
			return orch_err_set(err, ETIMEDOUT,
			    "the daemon has not begun anew after %d s", UPGRADE_MS / 1000);
		if (poll(&p, 1, 50) > 0)
			return orch_err_set(
			    err, ECANCELED, "cancelled; the daemon goes on with its upgrade");
	}
}

static int run_upgrade(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *before = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call get = {.method = "GET", .path = "/v1/daemon"};
	struct shim_call upgrade = {
	    .method = "POST", .path = "/v1/daemon/upgrade", .body = body, .timeout_ms = UPGRADE_MS};
	int r = body ? shim_call(cli, &get, &before, &err) : orch_err_sys(&err, ENOMEM, "upgrade");

	if (r == 0)
		r = shim_call(cli, &upgrade, NULL, &err);
	if (r == 0)
		r = wait_upgraded(cli, shim_get(before, "started"), &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static const struct shim_option stop_options[] = {
    {.name = "force",
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Unmount workspaces that are in use too"},
};
static const struct shim_options stop_table = {
    .v = stop_options, .count = ORCH_ARRAY_LEN(stop_options)};
static const struct shim_options *const stop_tables[] = {&stop_table, NULL};

const struct shim_command shim_daemon_commands[] = {
    {.family = "daemon",
	.name = "status",
	.summary = "Which daemon answers, and what it keeps",
	.run = run_status},
    {.family = "daemon",
	.name = "stop",
	.usage = "[--force]",
	.summary = "End the daemon, and wait until it has",
	.details =
	    "Workspaces that nobody uses are unmounted. Without --force, what is in use goes on.",
	.options = stop_tables,
	.run = run_stop},
    {.family = "daemon",
	.name = "upgrade",
	.summary = "Replace the running daemon by the program that is installed now",
	.details = "Workspaces stay mounted and notice nothing; imports and commits that run are "
		   "waited for.",
	.run = run_upgrade},
    {.name = NULL},
};
