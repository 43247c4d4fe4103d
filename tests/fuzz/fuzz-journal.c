/* The journal of a run. A line that was cut off changes nothing; one that strikes a resource out takes it and no
 * other. */
#include <errno.h>
#include "core/buf.h"
#include "core/json.h"
#include "shim/journal_text.h"
#include "tests/lib/fuzz.h"

static void same(const struct shim_run *a, const struct shim_run *b)
{
	fuzz_must(strcmp(a->id, b->id) == 0 && strcmp(a->socket, b->socket) == 0);
	fuzz_must(a->owner.pid == b->owner.pid && strcmp(a->boot, b->boot) == 0);
	fuzz_must(a->kinds.count == b->kinds.count && a->names.count == b->names.count);
	for (size_t i = 0; i < a->kinds.count; i++)
		fuzz_must(strcmp(a->kinds.v[i], b->kinds.v[i]) == 0 &&
			  strcmp(a->names.v[i], b->names.v[i]) == 0);
}

static void strike(const struct shim_run *a, size_t n, struct orch_buf *text)
{
	orch_auto(json) struct orch_json *o = orch_json_object();

	fuzz_must(orch_json_set_str(o, "gone", a->kinds.v[n]) == 0);
	fuzz_must(orch_json_set_bytes(o, "name", a->names.v[n], strlen(a->names.v[n])) == 0);
	fuzz_must(orch_json_format(o, 0, text) == 0);
	orch_buf_add_str(text, "\n");
}

static void strikes_out(const struct shim_run *a, const uint8_t *data, size_t size)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	struct shim_run b;
	size_t n = 0;

	while (n < a->kinds.count && a->kinds.v[n][0] == '\0')
		n++;
	if (n == a->kinds.count)
		return;
	orch_buf_add(&text, data, size);
	strike(a, n, &text);
	fuzz_must(shim_run_parse((const char *)text.data, text.len, &b) == 0);
	fuzz_must(b.kinds.count == a->kinds.count);
	for (size_t i = 0; i < b.kinds.count; i++) {
		bool is_it = strcmp(a->kinds.v[i], a->kinds.v[n]) == 0 &&
			     strcmp(a->names.v[i], a->names.v[n]) == 0;

		fuzz_must(strcmp(b.kinds.v[i], is_it ? "" : a->kinds.v[i]) == 0);
		fuzz_must(strcmp(b.names.v[i], a->names.v[i]) == 0);
	}
	shim_run_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char torn[] = "\n{\"make\":\"workspace\",\"name\":";
	orch_auto(buf) struct orch_buf more = ORCH_BUF_INIT;
	struct shim_run a, b;
	int r = shim_run_parse((const char *)data, size, &a);

	if (r < 0) {
		fuzz_must(r == -EINVAL && !a.id);
	} else {
		fuzz_must(a.id && a.socket && a.owner.pid > 0 && a.kinds.count == a.names.count);
		if (size > 0 && data[size - 1] == '\n') {
			orch_buf_add(&more, data, size);
			orch_buf_add_str(&more, torn);
			fuzz_must(shim_run_parse((const char *)more.data, more.len, &b) == 0);
			same(&a, &b);
			shim_run_fini(&b);
			strikes_out(&a, data, size);
		}
	}
	shim_run_fini(&a);
	return 0;
}
