/* orch-shim ref ... */
#include <string.h>
#include "shim/api.h"
#include "shim/commands.h"
#include "shim/out.h"

static int print_list(const struct orch_json *list, struct orch_err *err)
{
	static const char *const headings[] = {"NAME", "ID", "TIME", NULL};
	struct shim_table *t = shim_table_new(headings);
	char a[SHIM_SHORT];

	if (!t)
		return orch_err_sys(err, ENOMEM, "list refs");
	for (size_t i = 0; list && i < orch_json_len(list); i++) {
		const struct orch_json *ref = orch_json_at(list, i);

		shim_table_cell(t, "%s", shim_get(ref, "name"));
		shim_table_cell(t, "%.12s", shim_get(ref, "id"));
		shim_table_cell(t, "%s", shim_human_time(shim_get(ref, "time"), a));
	}
	return shim_table_print(t, err);
}

static int run_list(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int r =
	    shim_call(cli, &(struct shim_call){.method = "GET", .path = "/v1/refs"}, &answer, &err);

	if (r == 0)
		r = cli->json ? shim_out_json(answer, &err)
			      : print_list(orch_json_get(answer, "refs"), &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_set(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	const char *expect = shim_text(&cli->values, "expect");
	struct shim_call call = {
	    .method = "PUT", .path = "/v1/refs/%", .parts = {shim_arg(cli, 0)}, .body = body};
	int r;

	if (!body || orch_json_set_str(body, "id", shim_arg(cli, 1)) < 0 ||
	    (expect && orch_json_set_str(body, "expect", expect) < 0))
		r = orch_err_set(&err, EINVAL, "ids are UTF-8");
	else
		r = shim_call(cli, &call, &answer, &err);
	if (r == 0 && cli->json)
		r = shim_out_json(answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static int run_remove(struct shim_cli *cli)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {
	    .method = "DELETE", .path = "/v1/refs/%", .parts = {shim_arg(cli, 0)}};

	return shim_call(cli, &call, NULL, &err) < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

static const struct shim_option set_options[] = {
    {.name = "expect",
	.arg = "OLD",
	.type = SHIM_TEXT,
	.flags = SHIM_FLAG_ONLY,
	.help =
	    "Only when the ref points to OLD now; an empty OLD: only when there is no such ref"},
};
static const struct shim_options set_table = {
    .v = set_options, .count = ORCH_ARRAY_LEN(set_options)};
static const struct shim_options *const set_tables[] = {&set_table, NULL};

const struct shim_command shim_ref_commands[] = {
    {.family = "ref", .name = "list", .summary = "List the refs", .run = run_list},
    {.family = "ref",
	.name = "set",
	.usage = "NAME ID [--expect OLD]",
	.summary = "Point a ref to a snapshot, atomically",
	.options = set_tables,
	.min_args = 2,
	.max_args = 2,
	.run = run_set},
    {.family = "ref",
	.name = "remove",
	.usage = "NAME",
	.summary = "Remove a ref; its snapshot stays",
	.min_args = 1,
	.max_args = 1,
	.run = run_remove},
    {.name = NULL},
};
