/* The journal of a run. What is left of one that was cut off is a part of what it made; a line that can't be
 * understood changes nothing. */
#include <errno.h>
#include "core/buf.h"
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
		}
	}
	shim_run_fini(&a);
	return 0;
}
