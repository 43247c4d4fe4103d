/* orch-shim snapshot ...: see the table at the end. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "core/glob.h"
#include "shim/api.h"
#include "shim/commands.h"
#include "shim/out.h"
#include "shim/say.h"

/* ---- import */

/* The daemon would say it too, but as a failure of its own. */
static int check_folder(const char *dir, struct orch_err *err)
{
	orch_auto(fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? orch_err_set(err, EINVAL, "%s: %s", dir, strerrordesc_np(errno)) : 0;
}

static int folder_body(struct shim_cli *cli, struct orch_json *body, struct orch_err *err)
{
	int r = cli->values.args.count
		    ? check_folder(shim_arg(cli, 0), err)
		    : orch_err_set(err, EINVAL, "a folder, or --git and --commit, must be named");

	return r < 0 ? r : shim_json_add_path(body, "dir", shim_arg(cli, 0), err);
}

/* What git may need of our environment; the daemon hands it to no other program. */
static int add_git_env(struct orch_json *body, struct orch_err *err)
{
	static const char *const names[] = {"HOME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK",
	    "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "http_proxy", "https_proxy",
	    "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "GIT_SSL_CAINFO",
	    "GIT_PRIVATE_TOKEN", "GITHUB_TOKEN"};
	struct orch_json *env = orch_json_object();
	int r = env ? 0 : -ENOMEM;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(names) && r == 0; i++)
		if (getenv(names[i]))
			r = orch_json_set_str(env, names[i], getenv(names[i]));
	if (r == 0)
		r = orch_json_set_json(body, "env", &env);
	orch_json_free(env);
	return r < 0 ? orch_err_set(err, EINVAL, "a variable of git's environment is not UTF-8")
		     : 0;
}

/* A repository on this machine may be given by a relative path. */
static int add_repository(struct shim_cli *cli, struct orch_json *body, struct orch_err *err)
{
	const char *git = shim_text(&cli->values, "git"), *rev = shim_text(&cli->values, "commit");
	const char *mode = shim_text(&cli->values, "auth-mode");
	orch_auto(free) char *path = strstr(git, "://") ? NULL : realpath(git, NULL);

	if (cli->values.args.count)
		return orch_err_set(err, EINVAL, "with --git there is no folder to be named");
	if (!rev)
		return orch_err_set(err, EINVAL,
		    "--git needs --commit: a full or short id, a branch, a tag, a ref");
	if (orch_json_set_str(body, "url", path ? path : git) < 0 ||
	    orch_json_set_str(body, "rev", rev) < 0)
		return orch_err_set(err, EINVAL, "--git and --commit must be UTF-8");
	if (mode && orch_json_set_str(body, "auth_mode", mode) < 0)
		return orch_err_sys(err, ENOMEM, "import");
	return add_git_env(body, err);
}

static int import_body(struct shim_cli *cli, struct orch_json *body, struct orch_err *err)
{
	const char *ref = shim_text(&cli->values, "ref"),
		   *parent = shim_text(&cli->values, "parent");
	bool is_git = shim_text(&cli->values, "git") != NULL;
	int r = is_git ? add_repository(cli, body, err) : folder_body(cli, body, err);

	if (r == 0 && shim_list(&cli->values, "exclude")->count)
		r = shim_json_add_list(body, "exclude", shim_list(&cli->values, "exclude"), err);
	if (r == 0 && is_git && shim_list(&cli->values, "include")->count)
		r = shim_json_add_list(body, "include", shim_list(&cli->values, "include"), err);
	if (r < 0)
		return r;
	if ((ref && orch_json_set_str(body, "ref", ref) < 0) ||
	    (parent && orch_json_set_str(body, "parent", parent) < 0))
		return orch_err_set(err, EINVAL, "--ref and --parent must be UTF-8");
	return 0;
}

static void tell_import(const struct orch_json *answer)
{
	char a[SHIM_SHORT], b[SHIM_SHORT], c[SHIM_SHORT];
	const struct orch_json *skipped = orch_json_get(answer, "skipped");

	for (size_t i = 0; skipped && i < orch_json_len(skipped); i++) {
		const char *s = orch_json_str(orch_json_at(skipped, i));

		shim_say(SHIM_SAY_DETAIL, "skipped %s", s ? s : "an entry");
	}
	shim_say(SHIM_SAY_INFO, "%s files, %s; %s files were read",
	    shim_human_count(shim_get_u64(answer, "files"), a),
	    shim_human_bytes(shim_get_u64(answer, "bytes"), b),
	    shim_human_count(shim_get_u64(answer, "read_files"), c));
}

static int print_id(struct shim_cli *cli, const struct orch_json *answer, struct orch_err *err)
{
	return cli->json ? shim_out_json(answer, err) : shim_out_line(shim_get(answer, "id"), err);
}

static int run_import(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "POST",
	    .path = shim_text(&cli->values, "git") ? "/v1/snapshots/git" : "/v1/snapshots/import",
	    .body = body,
	    .timeout_ms = UINT64_MAX,
	    .label = "importing"};
	int r = body ? import_body(cli, body, &err) : orch_err_sys(&err, ENOMEM, "import");

	if (r == 0)
		r = shim_call(cli, &call, &answer, &err);
	if (r == 0) {
		tell_import(answer);
		r = print_id(cli, answer, &err);
	}
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* ---- list, show */

static void add_refs(struct orch_buf *out, const struct orch_json *refs)
{
	for (size_t i = 0; refs && i < orch_json_len(refs); i++) {
		const char *s = orch_json_str(orch_json_at(refs, i));

		orch_buf_printf(out, "%s%s", i ? " " : "", s ? s : "");
	}
}

static int print_list(const struct orch_json *list, struct orch_err *err)
{
	static const char *const headings[] = {"ID", "CREATED", ">FILES", ">SIZE", "REFS", NULL};
	struct shim_table *t = shim_table_new(headings);
	char a[SHIM_SHORT];

	if (!t)
		return orch_err_sys(err, ENOMEM, "list snapshots");
	for (size_t i = 0; list && i < orch_json_len(list); i++) {
		const struct orch_json *s = orch_json_at(list, i);
		orch_auto(buf) struct orch_buf refs = ORCH_BUF_INIT;

		add_refs(&refs, orch_json_get(s, "refs"));
		shim_table_cell(t, "%.12s", shim_get(s, "id"));
		shim_table_cell(t, "%s", shim_human_time(shim_get(s, "created"), a));
		shim_table_cell(t, "%s", shim_human_count(shim_get_u64(s, "files"), a));
		shim_table_cell(t, "%s", shim_human_bytes(shim_get_u64(s, "bytes"), a));
		shim_table_cell(t, "%s", refs.data ? (const char *)refs.data : "");
	}
	return shim_table_print(t, err);
}

static int run_list(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int r = shim_call(
	    cli, &(struct shim_call){.method = "GET", .path = "/v1/snapshots"}, &answer, &err);

	if (r == 0)
		r = cli->json ? shim_out_json(answer, &err)
			      : print_list(orch_json_get(answer, "snapshots"), &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_show(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {
	    .method = "GET", .path = "/v1/snapshots/%", .parts = {shim_arg(cli, 0)}};
	int r = shim_call(cli, &call, &answer, &err);

	if (r == 0)
		r = cli->json ? shim_out_json(answer, &err) : shim_out_members(answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* ---- diff, export, remove */

static int run_diff(struct shim_cli *cli)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "GET",
	    .path = "/v1/diff?a=%&b=%",
	    .parts = {shim_arg(cli, 0), shim_arg(cli, 1)}};

	return shim_print_changes(cli, &call, &err) < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static bool is_archive_name(const char *name)
{
	return orch_glob_match("*.tar", name, false) || orch_glob_match("*.tar.*", name, false) ||
	       orch_glob_match("*.tgz", name, false);
}

static int run_export(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/snapshots/%/export",
	    .parts = {shim_arg(cli, 0)},
	    .body = body,
	    .timeout_ms = UINT64_MAX,
	    .label = "exporting"};
	char a[SHIM_SHORT], b[SHIM_SHORT];
	int r;

	if (is_archive_name(shim_arg(cli, 1)))
		r = orch_err_set(&err, EINVAL,
		    "%s: export to an archive is not in this version of orch; name a folder",
		    shim_arg(cli, 1));
	else
		r = body ? shim_json_add_path(body, "dir", shim_arg(cli, 1), &err)
			 : orch_err_sys(&err, ENOMEM, "export");
	if (r == 0)
		r = shim_call(cli, &call, &answer, &err);
	if (r < 0)
		return shim_fail(cli, &err);
	shim_say(SHIM_SAY_INFO, "exported %s files, %s",
	    shim_human_count(shim_get_u64(answer, "files"), a),
	    shim_human_bytes(shim_get_u64(answer, "bytes"), b));
	if (cli->json && shim_out_json(answer, &err) < 0)
		return shim_fail(cli, &err);
	return SHIM_OK;
}

static int run_remove(struct shim_cli *cli)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {
	    .method = "DELETE", .path = "/v1/snapshots/%", .parts = {shim_arg(cli, 0)}};

	return shim_call(cli, &call, NULL, &err) < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* ---- the table */

static const struct shim_option import_options[] = {
    {.name = "ref",
	.arg = "NAME",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "The ref that is to point to the snapshot"},
    {.name = "exclude",
	.arg = "GLOB",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY | SHIM_REPEATS,
	.help =
	    "Leave out what matches, as a line of .orchignore would; may be given several times"},
    {.name = "parent",
	.arg = "ID|REF",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "The lineage that is continued: unchanged files keep inode number and mtime"},
    {.name = "git",
	.arg = "REPO",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "Import a commit of a Git repository: a URL, or a path"},
    {.name = "commit",
	.arg = "REV",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help = "The commit, with --git: a full or short id, a branch, a tag, a ref"},
    {.name = "auth-mode",
	.arg = "url|header",
	.type = SHIM_CHOICE,
	.choices = "url|header",
	.flags = SHIM_FLAG_ONLY,
	.help = "With --git, how GIT_PRIVATE_TOKEN or GITHUB_TOKEN reaches the server: when it "
		"asks for a "
		"password (url), or as a header with each request"},
    {.name = "include",
	.arg = "GLOB",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY | SHIM_REPEATS,
	.help =
	    "With --git, take only what matches, with what is below; may be given several times"},
    {.name = "lfs",
	.arg = "eager|lazy|off",
	.type = SHIM_CHOICE,
	.choices = "eager|lazy|off",
	.works = "",
	.flags = SHIM_FLAG_ONLY,
	.help = "What becomes of LFS pointers, with --git"},
    {.name = "submodules",
	.arg = "PROFILE.yml",
	.type = SHIM_TEXT,
	.works = "",
	.flags = SHIM_FLAG_ONLY,
	.help = "Which submodules, with --git"},
    {.name = "archive",
	.arg = "FILE",
	.type = SHIM_TEXT,
	.works = "",
	.flags = SHIM_FLAG_ONLY,
	.help = "Import an archive"},
};
static const struct shim_options import_table = {
    .v = import_options, .count = ORCH_ARRAY_LEN(import_options)};
static const struct shim_options *const import_tables[] = {&import_table, NULL};

const struct shim_command shim_snapshot_commands[] = {
    {.family = "snapshot",
	.name = "import",
	.usage = "DIR|--git REPO --commit REV --ref NAME [--exclude GLOB]...",
	.summary = "Import a folder or a commit; prints the snapshot's id",
	.details =
	    "Everything below DIR goes in, but what its .orchignore and --exclude leave out. Files "
	    "that have not changed since the last import of that folder are not read again. With "
	    "--git "
	    "the commit is fetched into a mirror, if it is not there, and imported from it without "
	    "a "
	    "checkout; what was imported before is not read again.",
	.options = import_tables,
	.max_args = 1,
	.run = run_import},
    {.family = "snapshot", .name = "list", .summary = "List the snapshots", .run = run_list},
    {.family = "snapshot",
	.name = "show",
	.usage = "ID|REF",
	.summary = "Show one snapshot and its record",
	.min_args = 1,
	.max_args = 1,
	.run = run_show},
    {.family = "snapshot",
	.name = "diff",
	.usage = "A B",
	.summary = "List the paths in which two snapshots differ",
	.details =
	    "One line a path: A added, D removed, M modified, T another type, m other mode "
	    "or attributes. "
	    "A name with control bytes, quotes or backslashes is shown in double quotes, with C "
	    "escapes.",
	.min_args = 2,
	.max_args = 2,
	.run = run_diff},
    {.family = "snapshot",
	.name = "export",
	.usage = "ID|REF DIR",
	.summary = "Write a snapshot into a new or empty folder",
	.min_args = 2,
	.max_args = 2,
	.run = run_export},
    {.family = "snapshot",
	.name = "remove",
	.usage = "ID",
	.summary = "Remove a snapshot that no ref and no workspace names",
	.min_args = 1,
	.max_args = 1,
	.run = run_remove},
    {.name = NULL},
};
