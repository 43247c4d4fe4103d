/* Records of jobs as the store has them, the key in the first line: what parses formats to what parses to
 * the same. */
#include "fsd/keeper/job.h"
#include "tests/lib/fuzz.h"

static void text_of(const struct fsd_job *j, struct orch_buf *out)
{
	orch_auto(json) struct orch_json *o = fsd_job_format(j);

	fuzz_must(o != NULL && orch_json_format(o, 0, out) == 0);
}

static void round_trip(const struct fsd_job *j)
{
	orch_auto(buf) struct orch_buf first = ORCH_BUF_INIT, second = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *again = NULL;
	char key[2 * FSD_NAME_BYTES];
	struct fsd_job q;

	text_of(j, &first);
	fsd_job_key(j, key);
	fuzz_must(orch_json_parse((const char *)first.data, first.len, &again, NULL) == 0);
	fuzz_must(fsd_job_parse(key, again, &q, NULL) == 0);
	fuzz_must(strcmp(j->id, q.id) == 0 && strcmp(j->workspace, q.workspace) == 0);
	text_of(&q, &second);
	fuzz_must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	orch_auto(json) struct orch_json *value = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	char key[256];
	struct fsd_job j;
	size_t n;

	if (!newline || (n = (size_t)(newline - data)) >= sizeof(key))
		return 0;
	memcpy(key, data, n);
	key[n] = '\0';
	if (orch_json_parse((const char *)newline + 1, size - n - 1, &value, NULL) < 0)
		return 0;
	if (fsd_job_parse(key, value, &j, &err) < 0)
		fuzz_must(err.code == ORCH_ECORRUPT);
	else
		round_trip(&j);
	return 0;
}
