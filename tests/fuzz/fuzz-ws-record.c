/* Records of workspaces as the store has them: what parses formats to what parses to the same. */
#include "fsd/keeper/ws_record.h"
#include "tests/lib/fuzz.h"

static void text_of(const struct fsd_ws_record *r, struct orch_buf *out)
{
	struct orch_json *j = fsd_ws_record_format(r);

	fuzz_must(j != NULL && orch_json_format(j, 0, out) == 0);
	orch_json_free(j);
}

static void same(const struct fsd_ws_record *a, const struct fsd_ws_record *b)
{
	fuzz_must(strcmp(a->name, b->name) == 0 && strcmp(a->path, b->path) == 0);
	fuzz_must(a->state == b->state && a->at_given == b->at_given && a->seq == b->seq);
	fuzz_must(orch_digest_eq(&a->snapshot, &b->snapshot) && a->layer == b->layer);
	fuzz_must(a->uid == b->uid && a->gid == b->gid && a->read_only == b->read_only);
	fuzz_must(a->passthrough == b->passthrough && a->created_wall_ns == b->created_wall_ns);
	fuzz_must(strcmp(a->control, b->control) == 0 && strcmp(a->boot, b->boot) == 0);
	fuzz_must(a->process.pid == b->process.pid && strcmp(a->error, b->error) == 0);
	fuzz_must(a->process.start_ticks == b->process.start_ticks);
}

static void round_trip(const struct fsd_ws_record *r)
{
	orch_auto(buf) struct orch_buf first = ORCH_BUF_INIT, second = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *again = NULL, *shown = fsd_ws_record_show(r);
	struct fsd_ws_record q;

	fuzz_must(shown != NULL);
	text_of(r, &first);
	fuzz_must(orch_json_parse((const char *)first.data, first.len, &again, NULL) == 0);
	fuzz_must(fsd_ws_record_parse(again, &q, NULL) == 0);
	same(r, &q);
	text_of(&q, &second);
	fuzz_must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_ws_record r;

	if (orch_json_parse((const char *)data, size, &j, NULL) < 0)
		return 0;
	if (fsd_ws_record_parse(j, &r, &err) < 0)
		fuzz_must(err.code != 0);
	else
		round_trip(&r);
	return 0;
}
