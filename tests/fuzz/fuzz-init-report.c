/*
 * What orch-init says to a provider: messages as they come over its socket, 16 bytes each; the first byte of the
 * input is the number of them, then comes how the first process ended, then what it had written before. Whatever
 * was said, the end is one that can be written down and read again.
 */
#include <stdio.h>
#include "providers/init_report.h"
#include "providers/record.h"
#include "tests/lib/fuzz.h"

static void take_all(struct fuzz_input *in, struct prv_init_report *r)
{
	uint8_t count = fuzz_u8(in);

	for (uint8_t i = 0; i < count && in->left >= sizeof(struct prv_init_message); i++) {
		struct prv_init_message m;

		memcpy(&m, in->p, sizeof(m));
		in->p += sizeof(m);
		in->left -= sizeof(m);
		prv_init_report_take(r, &m);
		m.magic = PRV_INIT_MAGIC;
		m.version = PRV_INIT_VERSION;
		m.kind %= 6;
		prv_init_report_take(r, &m);
	}
}

static void can_be_written_down(const struct prv_result *r)
{
	orch_auto(json) struct orch_json *j = prv_record_result_format(r);
	struct prv_result q;

	fuzz_must(!orch_json_failed(j) && prv_record_result_parse(j, &q, NULL) == 0);
	fuzz_must(q.outcome == r->outcome && q.exit_code == r->exit_code && q.signal == r->signal);
	fuzz_must(strcmp(q.message, r->message) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct prv_result out = {.state = PRV_ENDED, .exit_code = -1};
	struct prv_init_report r = {.ready = false};
	struct fuzz_input in = {data, size};
	char *early;
	int outer;

	take_all(&in, &r);
	outer = fuzz_u8(&in) << 8;
	outer |= fuzz_u8(&in);
	early = fuzz_text(in.p, in.left);
	prv_init_report_judge(&r, outer, "command", early, &out);
	fuzz_must(memchr(out.message, '\0', sizeof(out.message)) != NULL);
	fuzz_must(strstr(out.message, "(null)") == NULL || strstr(early, "(null)") != NULL);
	fuzz_must(out.outcome != PRV_SUCCEEDED || (r.ready && r.ended && out.exit_code == 0));
	fuzz_must(!r.setup_code || out.outcome == PRV_INFRASTRUCTURE_ERROR);
	can_be_written_down(&out);
	free(early);
	return 0;
}
