/*
 * What a worker writes: the first byte says how it ended, the second in which pieces its output comes, then the
 * output, behind a NUL its standard error. The pieces make no difference.
 */
#include "fsd/keeper/worker_output.h"
#include "tests/lib/fuzz.h"

struct outcome {
	int r;
	size_t events, event_bytes;
	struct orch_json *result, *error;
	struct orch_err err;
};

static int on_event(void *priv, const char *line, size_t len)
{
	struct outcome *o = priv;

	fuzz_must(len > 0 && memchr(line, '\n', len) == NULL);
	o->events++;
	o->event_bytes += len;
	return 0;
}

static void give(
    struct fsd_worker_output *w, int stream, struct fuzz_input in, size_t piece, int *r)
{
	while (*r >= 0 && in.left > 0) {
		size_t n = in.left < piece ? in.left : piece;

		*r = fsd_worker_output_add(w, stream, in.p, n);
		in.p += n;
		in.left -= n;
	}
}

static void run(struct fuzz_input in, int status, size_t piece, struct outcome *out)
{
	struct fuzz_input lines = fuzz_part(&in, '\0');
	struct fsd_worker_output w;

	*out = (struct outcome){.r = 0, .err = ORCH_ERR_INIT};
	fsd_worker_output_init(&w, on_event, out);
	give(&w, 1, lines, piece, &out->r);
	give(&w, 2, in, piece, &out->r);
	if (out->r < 0)
		out->err = w.err;
	else
		out->r = fsd_worker_output_end(&w, status, &out->result, &out->error, &out->err);
	fuzz_must((out->r == 0) == (out->result != NULL));
	fuzz_must(out->r == 0 || out->err.code == -out->r);
	fsd_worker_output_fini(&w);
}

static void same_json(const struct orch_json *a, const struct orch_json *b)
{
	orch_auto(buf) struct orch_buf x = ORCH_BUF_INIT, y = ORCH_BUF_INIT;

	fuzz_must((a == NULL) == (b == NULL));
	if (a == NULL)
		return;
	fuzz_must(orch_json_format(a, 0, &x) == 0 && orch_json_format(b, 0, &y) == 0);
	fuzz_must(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
}

/* What a slow reader makes of the lines: how many are events; false: one can't be understood. */
static bool count_events(struct fuzz_input lines, size_t *out_events)
{
	*out_events = 0;
	while (lines.left > 0 && memchr(lines.p, '\n', lines.left) != NULL) {
		struct fuzz_input line = fuzz_part(&lines, '\n');
		struct orch_json *j = NULL;

		if (line.left == 0)
			continue;
		if (orch_json_parse((const char *)line.p, line.left, &j, NULL) < 0)
			return false;
		*out_events += orch_json_get(j, "event") != NULL;
		orch_json_free(j);
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	int status = fuzz_u8(&in);
	size_t piece = (size_t)fuzz_u8(&in) + 1;
	struct fuzz_input lines;
	struct outcome a, b;
	size_t events;

	status = status < 128 ? status << 8 : status & 0x7f; /* as wait tells it */
	run(in, status, piece, &a);
	run(in, status, SIZE_MAX, &b);
	lines = fuzz_part(&in, '\0');
	fuzz_must(count_events(lines, &events) || a.r == -EINVAL);
	fuzz_must(a.events == events);
	fuzz_must(a.r == b.r && a.events == b.events && a.event_bytes == b.event_bytes);
	fuzz_must(strcmp(a.err.msg, b.err.msg) == 0);
	same_json(a.result, b.result);
	same_json(a.error, b.error);
	orch_json_free(a.result);
	orch_json_free(a.error);
	orch_json_free(b.result);
	orch_json_free(b.error);
	return 0;
}
