/* orch-shim store ..., and orch-shim lfs ..., which this version does not have yet. */
#include <stdio.h>
#include <string.h>
#include "shim/api.h"
#include "shim/commands.h"
#include "shim/out.h"
#include "shim/say.h"

static int run_stat(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int r = shim_call(
	    cli, &(struct shim_call){.method = "GET", .path = "/v1/store"}, &answer, &err);

	if (r == 0)
		r = cli->json ? shim_out_json(answer, &err) : shim_out_members(answer, &err);
	return r < 0 ? shim_fail(cli, &err) : SHIM_OK;
}

/* repair: it was asked for, and each line says what came of it. */
static void tell_bad(const struct orch_json *bad, bool repair)
{
	for (size_t i = 0; bad && i < orch_json_len(bad); i++) {
		const struct orch_json *b = orch_json_at(bad, i);

		shim_say(SHIM_SAY_ERROR, "%s %s: %s%s", shim_get(b, "kind"), shim_get(b, "name"),
		    shim_get(b, "error"),
		    !repair			   ? ""
		    : shim_get_bool(b, "repaired") ? " (repaired)"
						   : " (not repaired)");
	}
}

static void tell_sum(const struct orch_json *answer, bool repair)
{
	uint64_t bad = shim_get_u64(answer, "bad_count"),
		 repaired = shim_get_u64(answer, "repaired");
	char a[SHIM_SHORT], b[SHIM_SHORT], mended[80] = "";

	if (repair)
		snprintf(mended, sizeof(mended), ", %llu repaired, %llu not",
		    (unsigned long long)repaired, (unsigned long long)(bad - repaired));
	shim_say(SHIM_SAY_INFO, "checked %s things, %s: %llu bad%s",
	    shim_human_count(shim_get_u64(answer, "checked"), a),
	    shim_human_bytes(shim_get_u64(answer, "bytes"), b), (unsigned long long)bad, mended);
	if (bad > 0 && !repair)
		shim_say(SHIM_SAY_INFO, "next: orch-shim store verify --repair");
	else if (bad > repaired)
		shim_say(SHIM_SAY_INFO,
		    "next: import the sources of the snapshots again, which brings back what is "
		    "lost, or remove the snapshots (orch-shim snapshot remove)");
}

static int run_verify(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *body = orch_json_object(), *answer = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct shim_call call = {.method = "POST",
	    .path = "/v1/store/verify",
	    .body = body,
	    .timeout_ms = UINT64_MAX,
	    .label = "verifying"};
	bool repair = shim_on(&cli->values, "repair");
	uint64_t bad;
	int r = -ENOMEM;

	if (body && orch_json_set_bool(body, "repair", repair) == 0)
		r = shim_call(cli, &call, &answer, &err);
	if (r < 0)
		return shim_fail(cli, &err);
	tell_bad(orch_json_get(answer, "bad"), repair);
	tell_sum(answer, repair);
	if (cli->json && shim_out_json(answer, &err) < 0)
		return shim_fail(cli, &err);
	bad = shim_get_u64(answer, "bad_count");
	return bad > (repair ? shim_get_u64(answer, "repaired") : 0) ? SHIM_FAILED : SHIM_OK;
}

static const struct shim_option verify_options[] = {
    {.name = "repair",
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Take what is bad out of use, and mend what can be mended"},
};
static const struct shim_options verify_table = {
    .v = verify_options, .count = ORCH_ARRAY_LEN(verify_options)};
static const struct shim_options *const verify_tables[] = {&verify_table, NULL};

const struct shim_command shim_store_commands[] = {
    {.family = "store",
	.name = "stat",
	.summary = "What the store holds and how full its disk is",
	.run = run_stat},
    {.family = "store",
	.name = "verify",
	.usage = "[--repair]",
	.summary = "Check every object, tree and snapshot against its name",
	.details = "Ends with 1 when something is bad, with --repair when something could not be "
		   "repaired; each bad "
		   "thing is named on standard error.",
	.options = verify_tables,
	.run = run_verify},
    {.family = "store", .name = "gc", .later = true},
    {.family = "store", .name = "pin", .later = true},
    {.family = "store", .name = "unpin", .later = true},
    {.name = NULL},
};

const struct shim_command shim_lfs_commands[] = {
    {.family = "lfs", .name = "list", .later = true},
    {.family = "lfs", .name = "status", .later = true},
    {.family = "lfs", .name = "fetch", .later = true},
    {.family = "lfs", .name = "path", .later = true},
    {.name = NULL},
};
