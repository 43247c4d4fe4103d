/* Manifests of quarantines: as they are, and with the checksum made right. */
#include <stdlib.h>
#include <string.h>
#include "cache/manifest.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	struct cas_manifest m;
	struct cas_object o, found;

	if (cas_manifest_open(data, size, &m, NULL) < 0)
		return;
	for (uint64_t i = 0; i < m.count; i++) {
		cas_manifest_at(&m, i, &o);
		if (cas_manifest_find(&m, &o.digest, &found) != 0 || found.size != o.size)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum;
	uint8_t *p;

	read_all(data, size);
	if (size < 8)
		return 0;
	p = malloc(size);
	if (!p)
		return 0;
	memcpy(p, data, size);
	sum = orch_xxh64(p, size - 8, 0);
	memcpy(p + size - 8, &sum, sizeof(sum));
	read_all(p, size);
	free(p);
	return 0;
}
