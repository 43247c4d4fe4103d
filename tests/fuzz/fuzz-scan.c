/* Scan indexes: as they are, and with a right checksum. */
#include <stdlib.h>
#include <string.h>
#include "format/scan.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"a", "a-b", "a/b", "\xff", "", "zzzzzzzzzz"};
	struct fmt_scan_entry e;
	struct fmt_scan s;

	if (fmt_scan_open(data, size, &s, NULL) < 0)
		return;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(paths); i++) {
		size_t len = strlen(paths[i]);

		if (fmt_scan_find(&s, paths[i], len, &e) == 0 &&
		    (e.path_len != len || memcmp(e.path, paths[i], len) != 0))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orch_xxh128 *x;
	struct orch_fingerprint sum;
	uint8_t *p;

	read_all(data, size);
	if (size < 16)
		return 0;
	p = malloc(size);
	x = orch_xxh128_new();
	if (p != NULL && x != NULL) {
		memcpy(p, data, size);
		orch_xxh128_reset(x, 0);
		orch_xxh128_add(x, p, size - 16);
		orch_xxh128_end(x, &sum);
		memcpy(p + size - 16, &sum.lo, 8);
		memcpy(p + size - 8, &sum.hi, 8);
		read_all(p, size);
	}
	free(p);
	orch_xxh128_free(x);
	return 0;
}
