/* Records of jobs as the store has them: a key up to a newline, then the value. What parses formats to what parses
 * to the same. */
#include "fsd/keeper/job.h"
#include "tests/lib/fuzz.h"

static void text_of(const struct fsd_job *j, struct orch_buf *out)
{
	struct orch_json *o = fsd_job_format(j);

	fuzz_must(o != NULL && orch_json_format(o, 0, out) == 0);
	orch_json_free(o);
}

static void same(const struct fsd_job *a, const struct fsd_job *b)
{
	fuzz_must(a->uid == b->uid && a->leader.pid == b->leader.pid);
	fuzz_must(a->leader.start_ticks == b->leader.start_ticks && strcmp(a->boot, b->boot) == 0);
	fuzz_must(a->group_count == b->group_count && strcmp(a->id, b->id) == 0);
	fuzz_must(strcmp(a->workspace, b->workspace) == 0);
	for (size_t i = 0; i < a->group_count; i++)
		fuzz_must(strcmp(a->groups[i], b->groups[i]) == 0);
}

static void round_trip(const char *key, const struct fsd_job *j)
{
	orch_auto(buf) struct orch_buf first = ORCH_BUF_INIT, second = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *again = NULL;
	char name[2 * FSD_NAME_BYTES];
	struct fsd_job k;

	fsd_job_key(j, name);
	fuzz_must(strcmp(name, key) == 0);
	text_of(j, &first);
	fuzz_must(orch_json_parse((const char *)first.data, first.len, &again, NULL) == 0);
	fuzz_must(fsd_job_parse(name, again, &k, NULL) == 0);
	same(j, &k);
	text_of(&k, &second);
	fuzz_must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *key = fuzz_word(&in, '\n');
	orch_auto(json) struct orch_json *value = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_job j;

	if (orch_json_parse(in.left ? (const char *)in.p : "", in.left, &value, NULL) == 0) {
		if (fsd_job_parse(key, value, &j, &err) < 0)
			fuzz_must(err.code == ORCH_ECORRUPT);
		else
			round_trip(key, &j);
	}
	free(key);
	return 0;
}
