/* orch-shim workspace ..., but exec and shell (workspace_exec.c). */
#include <pwd.h>
#include <string.h>
#include "shim/api.h"
#include "shim/commands.h"
#include "shim/out.h"
#include "shim/owner.h"
#include "shim/say.h"
#include "shim/workspace.h"

/* ---- create, fork */

static int print_workspace(struct shim_cli *cli, const struct orch_json *w, struct orch_err *err)
{
	return cli->json ? shim_out_json(w, err) : shim_out_line(shim_get(w, "path"), err);
}

/* A user's name, UID, or UID:GID. */
static int find_owner(const char *text, uint32_t *uid, uint32_t *gid, struct orch_err *err)
{
	int r = shim_owner_parse(text, uid, gid);
	const struct passwd *pw;

	if (r == -EINVAL)
		return orch_err_set(err, EINVAL, "--owner: '%s' is not USER, UID or UID:GID", text);
	if (r == 0)
		return 0;
	pw = getpwnam(text);
	if (!pw)
		return orch_err_set(err, EINVAL, "--owner: no user '%s' on this machine", text);
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

int shim_json_add_owner(struct orch_json *body, const char *text, struct orch_err *err)
{
	struct orch_json *owner;
	uint32_t uid = 0, gid = 0;
	int r = find_owner(text, &uid, &gid, err);

	if (r < 0)
		return r;
	owner = orch_json_object();
	if (!owner || orch_json_set_int(owner, "uid", uid) < 0 ||
	    orch_json_set_int(owner, "gid", gid) < 0) {
		orch_json_free(owner);
		return orch_err_sys(err, ENOMEM, "--owner");
	}
	r = orch_json_set_json(body, "owner", &owner);
	return r < 0 ? orch_err_sys(err, -r, "--owner") : 0;
}

static int create_body(struct shim_cli *cli, struct orch_json *body, struct orch_err *err)
{
	const char *from = shim_text(&cli->values, "from"), *at = shim_text(&cli->values, "at");
	const char *owner = shim_text(&cli->values, "owner");
	int r = 0;

	if (!from)
		return orch_err_set(err, EINVAL,
		    "--from is missing: the snapshot or ref that the workspace starts from");
	if (orch_json_set_str(body, "name", shim_arg(cli, 0)) < 0 ||
	    orch_json_set_str(body, "from", from) < 0)
		return orch_err_set(err, EINVAL, "names are UTF-8");
	if (at)
		r = shim_json_add_path(body, "at", at, err);
	if (r == 0 && owner)
		r = shim_json_add_owner(body, owner, err);
	if (r == 0 && shim_on(&cli->values, "readOnly"))
		r = orch_json_set_bool(body, "read_only", true);
	return r;
}

static int run_create(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "POST", .path = "/v1/workspaces", .body = body};
	int r = body ? create_body(cli, body, &err) : orch_err_sys(&err, ENOMEM, "create");

	if (r == 0)
		r = shim_call(cli, &call, &answer, &err);
	if (r == 0)
		r = print_workspace(cli, answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static void tell_last_write_seen(const struct orch_json *answer)
{
	const struct orch_json *paths = orch_json_get(answer, "last_write_seen");
	uint64_t more = shim_get_u64(answer, "last_write_seen_more");

	for (size_t i = 0; paths && i < orch_json_len(paths); i++) {
		const char *path = orch_json_str(orch_json_at(paths, i));

		shim_say(SHIM_SAY_WARN, "%s was being written: it is as last seen",
		    path ? path : "a file");
	}
	if (more > 0)
		shim_say(SHIM_SAY_WARN, "%llu more files were being written: they are as last seen",
		    (unsigned long long)more);
}

/* What the answer of a fork or commit says of the instant. */
static void tell_instant(const struct orch_json *answer)
{
	uint64_t us = shim_get_u64(answer, "paused_us");

	if (us > 0)
		shim_say(SHIM_SAY_INFO, "what runs in it was paused for %llu.%llu ms",
		    (unsigned long long)us / 1000, (unsigned long long)us % 1000 / 100);
	tell_last_write_seen(answer);
}

static int run_fork(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	const char *at = shim_text(&cli->values, "at");
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces/%/fork",
	    .parts = {shim_arg(cli, 0)},
	    .body = body};
	int r = 0;

	if (!body || orch_json_set_str(body, "name", shim_arg(cli, 1)) < 0)
		r = orch_err_set(&err, EINVAL, "names are UTF-8");
	if (r == 0 && at)
		r = shim_json_add_path(body, "at", at, &err);
	if (r == 0)
		r = shim_call(cli, &call, &answer, &err);
	if (r < 0)
		return shim_fail(cli, &err);
	tell_instant(answer);
	return print_workspace(cli, answer, &err) < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* ---- list, status, changes */

static int print_list(const struct orch_json *list, struct orch_err *err)
{
	static const char *const headings[] = {
	    "NAME", "STATE", "SNAPSHOT", "CREATED", "PATH", NULL};
	struct shim_table *t = shim_table_new(headings);
	char a[SHIM_SHORT];

	if (!t)
		return orch_err_sys(err, ENOMEM, "list workspaces");
	for (size_t i = 0; list && i < orch_json_len(list); i++) {
		const struct orch_json *w = orch_json_at(list, i);

		shim_table_cell(t, "%s", shim_get(w, "name"));
		shim_table_cell(t, "%s", shim_get(w, "state"));
		shim_table_cell(t, "%.12s", shim_get(w, "snapshot"));
		shim_table_cell(t, "%s", shim_human_time(shim_get(w, "created"), a));
		shim_table_cell(t, "%s", shim_get(w, "path"));
	}
	return shim_table_print(t, err);
}

static int run_list(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int r = shim_call(
	    cli, &(struct shim_call){.method = "GET", .path = "/v1/workspaces"}, &answer, &err);

	if (r == 0)
		r = cli->json ? shim_out_json(answer, &err)
			      : print_list(orch_json_get(answer, "workspaces"), &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_status(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {
	    .method = "GET", .path = "/v1/workspaces/%", .parts = {shim_arg(cli, 0)}};
	int r = shim_call(cli, &call, &answer, &err);

	if (r == 0)
		r = cli->json ? shim_out_json(answer, &err) : shim_out_members(answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_changes(struct shim_cli *cli)
{
	struct orch_err err = ORCH_ERR_INIT;
	const char *since = shim_text(&cli->values, "since");
	struct shim_call call = {.method = "GET",
	    .path = "/v1/workspaces/%/changes?since=%",
	    .parts = {shim_arg(cli, 0), since}};

	return shim_print_changes(cli, &call, &err) < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* ---- mount, umount, drop, commit */

static int run_mount(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	const char *at = shim_text(&cli->values, "at");
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces/%/mount",
	    .parts = {shim_arg(cli, 0)},
	    .body = body};
	int r = body ? 0 : orch_err_sys(&err, ENOMEM, "mount");

	if (r == 0 && at)
		r = shim_json_add_path(body, "at", at, &err);
	if (r == 0)
		r = shim_call(cli, &call, &answer, &err);
	if (r == 0)
		r = print_workspace(cli, answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* The group: as the user, unless told. */
static int view_body(struct shim_cli *cli, struct orch_json *body, struct orch_err *err)
{
	int64_t uid = shim_number(&cli->values, "uid"), gid = uid;

	if (shim_given(&cli->values, "gid"))
		gid = shim_number(&cli->values, "gid");
	if (orch_json_set_int(body, "uid", uid) < 0 || orch_json_set_int(body, "gid", gid) < 0)
		return orch_err_sys(err, ENOMEM, "view");
	return 0;
}

static int run_view(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces/%/view",
	    .parts = {shim_arg(cli, 0)},
	    .body = body};
	int r = body ? view_body(cli, body, &err) : orch_err_sys(&err, ENOMEM, "view");

	if (r == 0)
		r = shim_call(cli, &call, &answer, &err);
	if (r == 0)
		r = print_workspace(cli, answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_umount(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces/%/umount",
	    .parts = {shim_arg(cli, 0)},
	    .body = body};
	int r;

	if (!body || orch_json_set_bool(body, "lazy", shim_on(&cli->values, "lazy")) < 0)
		r = orch_err_sys(&err, ENOMEM, "umount");
	else
		r = shim_call(cli, &call, &answer, &err);
	if (r == 0 && cli->json)
		r = shim_out_json(answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_drop(struct shim_cli *cli)
{
	struct orch_err err = ORCH_ERR_INIT;
	bool force = shim_on(&cli->values, "force");
	struct shim_call call = {.method = "DELETE",
	    .path = force ? "/v1/workspaces/%?force=1" : "/v1/workspaces/%",
	    .parts = {shim_arg(cli, 0)}};

	return shim_call(cli, &call, NULL, &err) < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_commit(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	const char *ref = shim_text(&cli->values, "ref"),
		   *expect = shim_text(&cli->values, "expect");
	struct shim_call call = {.method = "POST",
	    .path = "/v1/workspaces/%/commit",
	    .parts = {shim_arg(cli, 0)},
	    .body = body,
	    .timeout_ms = UINT64_MAX,
	    .label = "committing"};
	int r;

	if (!body || (ref && orch_json_set_str(body, "ref", ref) < 0) ||
	    (expect && orch_json_set_str(body, "expect", expect) < 0))
		r = orch_err_set(&err, EINVAL, "names are UTF-8");
	else
		r = shim_call(cli, &call, &answer, &err);
	if (r < 0)
		return shim_fail(cli, &err);
	tell_instant(answer);
	r = cli->json ? shim_out_json(answer, &err) : shim_out_line(shim_get(answer, "id"), &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* ---- the table */

#define OPTION_AT                                                                              \
	{                                                                                      \
		.name = "at", .arg = "PATH", .type = SHIM_TEXT, .flags = SHIM_FLAG_ONLY,       \
		.help = "Mount there, an empty folder of yours, instead of below the daemon's" \
	}

static const struct shim_option create_options[] = {
    {.name = "from",
	.arg = "ID|REF",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "The snapshot that it starts from"},
    OPTION_AT,
    {.name = "owner",
	.arg = "USER",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "Whose its files are: a name, UID, or UID:GID; you, by default"},
    {.name = "readOnly",
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Nothing can be changed in it"},
};
static const struct shim_options create_table = {
    .v = create_options, .count = ORCH_ARRAY_LEN(create_options)};
static const struct shim_options *const create_tables[] = {&create_table, NULL};

static const struct shim_option at_options[] = {OPTION_AT};
static const struct shim_options at_table = {.v = at_options, .count = ORCH_ARRAY_LEN(at_options)};
static const struct shim_options *const at_tables[] = {&at_table, NULL};

static const struct shim_option view_options[] = {
    {.name = "uid",
	.arg = "NUMBER",
	.type = SHIM_NUMBER,
	.min = 0,
	.max = UINT32_MAX - 1,
	.fallback = "0",
	.flags = SHIM_FLAG_ONLY,
	.help = "The user that the container runs as"},
    {.name = "gid",
	.arg = "NUMBER",
	.type = SHIM_NUMBER,
	.min = 0,
	.max = UINT32_MAX - 1,
	.flags = SHIM_FLAG_ONLY,
	.help = "That user's group; the number of the user, by default"},
};
static const struct shim_options view_table = {
    .v = view_options, .count = ORCH_ARRAY_LEN(view_options)};
static const struct shim_options *const view_tables[] = {&view_table, NULL};

static const struct shim_option umount_options[] = {
    {.name = "lazy",
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Take it out of sight at once, even in use"},
};
static const struct shim_options umount_table = {
    .v = umount_options, .count = ORCH_ARRAY_LEN(umount_options)};
static const struct shim_options *const umount_tables[] = {&umount_table, NULL};

static const struct shim_option drop_options[] = {
    {.name = "force",
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Even when somebody is in it"},
};
static const struct shim_options drop_table = {
    .v = drop_options, .count = ORCH_ARRAY_LEN(drop_options)};
static const struct shim_options *const drop_tables[] = {&drop_table, NULL};

static const struct shim_option changes_options[] = {
    {.name = "since",
	.arg = "SEQ",
	.type = SHIM_NUMBER,
	.min = 0,
	.max = INT64_MAX,
	.fallback = "0",
	.flags = SHIM_FLAG_ONLY,
	.help = "Only what changed after this number of the workspace's status"},
};
static const struct shim_options changes_table = {
    .v = changes_options, .count = ORCH_ARRAY_LEN(changes_options)};
static const struct shim_options *const changes_tables[] = {&changes_table, NULL};

static const struct shim_option commit_options[] = {
    {.name = "ref",
	.arg = "NAME",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "The ref that is to point to the snapshot"},
    {.name = "expect",
	.arg = "ID",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "Only when the ref points to ID now; an empty ID: only when there is no such ref"},
};
static const struct shim_options commit_table = {
    .v = commit_options, .count = ORCH_ARRAY_LEN(commit_options)};
static const struct shim_options *const commit_tables[] = {&commit_table, NULL};

const struct shim_command shim_workspace_commands[] = {
    {.family = "workspace",
	.name = "create",
	.usage = "NAME --from ID|REF [--at PATH] [--owner USER] [--read-only]",
	.summary = "Create and mount a workspace; prints the mount path",
	.options = create_tables,
	.min_args = 1,
	.max_args = 1,
	.run = run_create},
    {.family = "workspace",
	.name = "fork",
	.usage = "SOURCE NAME [--at PATH]",
	.summary = "Copy a live workspace as it is now; prints the mount path",
	.details =
	    "A command that build, exec or shell runs in it stands still for a moment; files that "
	    "others have open for writing are named: they are as last seen.",
	.options = at_tables,
	.min_args = 2,
	.max_args = 2,
	.run = run_fork},
    {.family = "workspace", .name = "list", .summary = "List the workspaces", .run = run_list},
    {.family = "workspace",
	.name = "status",
	.usage = "NAME",
	.summary = "Show one workspace and its mount",
	.min_args = 1,
	.max_args = 1,
	.run = run_status},
    {.family = "workspace",
	.name = "changes",
	.usage = "NAME [--since SEQ]",
	.summary = "List what was created, written or removed in it",
	.details =
	    "One line a path: A created, M modified, D removed, m other mode or attributes. "
	    "A name with control bytes, quotes or backslashes is shown in double quotes, with C "
	    "escapes.",
	.options = changes_tables,
	.min_args = 1,
	.max_args = 1,
	.run = run_changes},
    {.family = "workspace",
	.name = "mount",
	.usage = "NAME [--at PATH]",
	.summary = "Mount it again; prints the mount path",
	.options = at_tables,
	.min_args = 1,
	.max_args = 1,
	.run = run_mount},
    {.family = "workspace",
	.name = "view",
	.usage = "NAME [--uid NUMBER] [--gid NUMBER]",
	.summary = "Show it to a container whose user is another; prints the path to mount there",
	.details = "There the owner of the workspace appears as that user, and what that user "
		   "makes belongs to "
		   "the owner, also when it is the container's root. The path is for root and what "
		   "root starts "
		   "(docker run -v PATH:/workspace). It lasts until the workspace is unmounted. "
		   "Needs Linux "
		   "6.12 and a daemon of root's; without: workspace create --owner.",
	.options = view_tables,
	.min_args = 1,
	.max_args = 1,
	.run = run_view},
    {.family = "workspace",
	.name = "umount",
	.usage = "NAME [--lazy]",
	.summary = "Unmount it; what is in it stays",
	.options = umount_tables,
	.min_args = 1,
	.max_args = 1,
	.run = run_umount},
    {.family = "workspace",
	.name = "drop",
	.usage = "NAME [--force]",
	.summary = "Unmount it and delete what was written in it",
	.options = drop_tables,
	.min_args = 1,
	.max_args = 1,
	.run = run_drop},
    {.family = "workspace",
	.name = "commit",
	.usage = "NAME --ref NAME [--expect ID]",
	.summary = "Make a snapshot of it; prints the snapshot's id",
	.details =
	    "The workspace goes on, based on the new snapshot. A command that runs in it stands "
	    "still for a moment, as for a fork.",
	.options = commit_tables,
	.min_args = 1,
	.max_args = 1,
	.run = run_commit},
    {.family = "workspace",
	.name = "exec",
	.usage = "NAME -- COMMAND [ARG...]",
	.summary = "Run a command in the sandbox that a build gets",
	.details = "Ends with the command's own exit code, 128 and its number for a signal, or 125 "
		   "when it "
		   "could not be started.",
	.min_args = 1,
	.max_args = 1,
	.takes_command = true,
	.run = shim_workspace_exec},
    {.family = "workspace",
	.name = "shell",
	.usage = "NAME",
	.summary = "A shell in that sandbox",
	.min_args = 1,
	.max_args = 1,
	.run = shim_workspace_shell},
    {.family = "workspace", .name = "sync", .later = true},
    {.family = "workspace", .name = "revert", .later = true},
    {.name = NULL},
};
