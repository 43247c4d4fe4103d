/*
 * result.json and manifest.json. A document is checked; and one that is made of the input's strings passes
 * its check whatever bytes they hold.
 */
#include "output/result.h"
#include "tests/lib/fuzz.h"

static void check_document(const uint8_t *data, size_t size)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct orch_err err = ORCH_ERR_INIT;

	if (orch_json_parse((const char *)data, size, &j, NULL) < 0)
		return;
	if (out_result_check(j, &err) < 0)
		fuzz_must(err.code == EINVAL || err.code == ORCH_EFORMAT);
	err.code = 0;
	if (out_manifest_check(j, &err) < 0)
		fuzz_must(err.code == EINVAL || err.code == ORCH_EFORMAT);
}

static void survives(
    struct orch_json *j, int (*check)(const struct orch_json *j, struct orch_err *err))
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *again = NULL;

	fuzz_must(j != NULL && check(j, NULL) == 0);
	fuzz_must(orch_json_format(j, 2, &text) == 0);
	fuzz_must(orch_json_parse((const char *)text.data, text.len, &again, NULL) == 0);
	fuzz_must(check(again, NULL) == 0);
	orch_json_free(j);
}

/* The name of a run or phase is never empty. */
static void make_documents(struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), more = fuzz_u8(in);
	char *a = fuzz_word(in, '\n'), *b = fuzz_word(in, '\n'), *c = fuzz_word(in, '\n');
	const char *argv[] = {a, b, c, NULL};
	const char *run = *a ? a : "run";
	struct out_phase phase = {.name = run, .state = how % 3, .begin_ns = how, .end_ns = 255};
	struct out_pair pair = {b, how & 1 ? c : NULL};
	struct out_result r = {
	    .run = run,
	    .state = how % OUT_STATES,
	    .exit_code = (int)more - 1,
	    .signal = more & 2 ? more : 0,
	    .reason = how & 2 ? b : NULL,
	    .next_step = how & 4 ? c : NULL,
	    .wall_begin_ns = (int64_t)more << 50,
	    .duration_ns = more,
	    .attempts = more,
	    .argv = how & 8 ? argv : NULL,
	    .reproduce = how & 16 ? c : NULL,
	    .source = b,
	    .cache = {.key = how & 32 ? a : NULL, .from = how & 64 ? b : NULL, .why = c},
	    .resources = {.known = more & 1, .user_ns = how},
	    .tests = {.known = more & 4, .files = how, .total = more},
	    .phases = &phase,
	    .phase_count = more & 1,
	    .log_name = more & 8 ? c : NULL,
	    .warnings = &pair,
	    .warning_count = more & 1,
	    .facts = &pair,
	    .fact_count = how & 1,
	};
	orch_auto(buf) struct orch_buf page = ORCH_BUF_INIT;

	survives(out_result_json(&r), out_result_check);
	survives(out_manifest_json(&r), out_manifest_check);
	fuzz_must(out_report_html(&r, c, strlen(c), true, &page) == 0);
	free(a);
	free(b);
	free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	if (size > 0 && data[0] == '{')
		check_document(data, size);
	else
		make_documents(&in);
	return 0;
}
