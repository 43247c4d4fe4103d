/* Snapshots: what parses formats to the same bytes. */
#include <stdlib.h>
#include <string.h>
#include "format/snapshot.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_snapshot s;

	if (fmt_snapshot_parse(data, size, &s, NULL) < 0)
		return 0;
	if (fmt_snapshot_format(&s, &out) < 0 || out.len != size ||
	    memcmp(out.data, data, size) != 0)
		abort();
	orch_buf_fini(&out);
	return 0;
}
