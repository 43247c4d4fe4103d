/* What is written down of a task, in its folder: task.json and result.json. A result that parses formats
 * to what parses to the same. */
#include "providers/record.h"
#include "tests/lib/fuzz.h"

static void text_of(const struct prv_result *r, struct orch_buf *out)
{
	struct orch_json *j = prv_record_result_format(r);

	fuzz_must(orch_json_format(j, 0, out) == 0);
	orch_json_free(j);
}

static void same(const struct prv_result *a, const struct prv_result *b)
{
	fuzz_must(a->outcome == b->outcome && a->exit_code == b->exit_code);
	fuzz_must(a->signal == b->signal && a->core_dumped == b->core_dumped);
	fuzz_must(a->wall_started_ns == b->wall_started_ns && a->wall_ended_ns == b->wall_ended_ns);
	fuzz_must(a->cpu_ns == b->cpu_ns && a->memory_peak_bytes == b->memory_peak_bytes);
	fuzz_must(a->log_bytes == b->log_bytes && strcmp(a->message, b->message) == 0);
}

static void round_trip(const struct prv_result *r)
{
	orch_auto(buf) struct orch_buf first = ORCH_BUF_INIT, second = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *again = NULL;
	struct prv_result q;

	text_of(r, &first);
	fuzz_must(orch_json_parse((const char *)first.data, first.len, &again, NULL) == 0);
	fuzz_must(prv_record_result_parse(again, &q, NULL) == 0);
	same(r, &q);
	text_of(&q, &second);
	fuzz_must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct prv_record_task task;
	struct prv_result r;

	if (orch_json_parse((const char *)data, size, &j, NULL) < 0)
		return 0;
	if (prv_record_task_parse(j, "boot", &task, NULL) == 0)
		fuzz_must(task.first.pid >= 0 && task.submitter.pid >= 0 &&
			  strlen(task.provider) < sizeof(task.provider));
	if (prv_record_result_parse(j, &r, &err) < 0) {
		fuzz_must(err.code == ORCH_EFORMAT);
		return 0;
	}
	fuzz_must(r.state == PRV_ENDED && r.exit_code >= -1 && r.exit_code <= 255 && r.signal >= 0);
	round_trip(&r);
	return 0;
}
