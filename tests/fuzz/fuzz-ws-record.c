/* Records of workspaces as the store has them: what parses formats to what parses to the same. */
#include "fsd/keeper/ws_record.h"
#include "tests/lib/fuzz.h"

static void text_of(const struct fsd_ws_record *r, struct orch_buf *out)
{
	struct orch_json *j = fsd_ws_record_format(r);

	fuzz_must(j != NULL && orch_json_format(j, 0, out) == 0);
	orch_json_free(j);
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
