/*
 * Answers of the daemon: the first byte is the status (times 2, plus 100), the second says in which pieces the body
 * comes; then a line of the head, then the body. The pieces make no difference.
 */
#include "core/clock.h"
#include "core/http_answer.h"
#include "tests/lib/fuzz.h"

struct outcome {
	int r;
	size_t events;
	struct orch_json *out;
	struct orch_err err;
};

/* The client may have enough of it. */
static int on_event(void *priv, const struct orch_json *event)
{
	struct outcome *o = priv;

	fuzz_must(event != NULL);
	return ++o->events > 20 ? -ECANCELED : 0;
}

static void run(struct fuzz_input in, long status, size_t piece, struct outcome *out)
{
	struct fuzz_input head = fuzz_part(&in, '\n');
	struct orch_http_request req = {
	    .method = "GET", .path = "/v1/x", .on_event = on_event, .priv = out, .cancel_fd = -1};
	struct orch_http_answer a;

	*out = (struct outcome){.r = 0, .err = ORCH_ERR_INIT};
	orch_http_answer_init(&a, &req, &out->err);
	orch_http_answer_header(&a, head.left ? (const char *)head.p : "", head.left);
	while (out->r == 0 && in.left > 0) {
		size_t n = in.left < piece ? in.left : piece;

		out->r = orch_http_answer_body(&a, (const char *)in.p, n);
		in.p += n;
		in.left -= n;
	}
	if (out->r == 0)
		out->r = orch_http_answer_end(&a, status, &out->out);
	else
		fuzz_must(a.failed == out->r);
	fuzz_must((out->r == 0) == (out->out != NULL));
	fuzz_must(
	    out->r == 0 || out->err.code == -out->r || (out->r == -ECANCELED && out->events > 20));
	orch_http_answer_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	long status = 100 + 2L * fuzz_u8(&in);
	size_t piece = (size_t)fuzz_u8(&in) + 1;
	orch_auto(buf) struct orch_buf x = ORCH_BUF_INIT, y = ORCH_BUF_INIT;
	struct outcome a, b;

	run(in, status, piece, &a);
	run(in, status, SIZE_MAX, &b);
	fuzz_must(a.r == b.r && a.events == b.events && strcmp(a.err.msg, b.err.msg) == 0);
	if (a.out != NULL) {
		fuzz_must(status >= 200 && status < 300);
		fuzz_must(orch_json_format(a.out, 0, &x) == 0);
		fuzz_must(orch_json_format(b.out, 0, &y) == 0);
		fuzz_must(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
	}
	orch_json_free(a.out);
	orch_json_free(b.out);
	return 0;
}
