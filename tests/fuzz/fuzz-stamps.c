/* Stamps: what passes the check re-encodes to the same bytes. */
#include <stdlib.h>
#include <string.h>
#include "format/stamps.h"
#include "tests/lib/fuzz.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fmt_stamps_builder *b = fmt_stamps_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	bool whole = fmt_stamps_check(data, size, NULL) == 0;
	struct fmt_stamps s = {0};
	struct fmt_stamp v;

	must(b != NULL);
	must(fmt_stamps_open(data, size, &s, NULL) == 0 || !whole);
	for (uint32_t i = 0; i < s.count; i++) {
		int r = fmt_stamps_get(&s, i, &v, NULL);

		must(r == 0 || !whole);
		if (whole)
			must(fmt_stamps_builder_add(b, &v) == 0);
	}
	if (whole) {
		must(fmt_stamps_builder_end(b, &out) == 0);
		must(out.len == size && memcmp(out.data, data, size) == 0);
	}
	orch_buf_fini(&out);
	fmt_stamps_builder_free(b);
	return 0;
}
