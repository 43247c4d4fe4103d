/* Manifests of quarantines: as they are, and with the checksum made right. What opens is written again as the
 * same bytes. */
#include "cache/manifest.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	struct orch_buf out = ORCH_BUF_INIT;
	struct cas_object *all, found;
	struct cas_manifest m;

	if (cas_manifest_open(data, size, &m, NULL) < 0)
		return;
	all = calloc(m.count + 1, sizeof(*all));
	fuzz_must(all != NULL);
	for (uint64_t i = 0; i < m.count; i++) {
		cas_manifest_at(&m, i, &all[i]);
		fuzz_must(cas_manifest_find(&m, &all[i].digest, &found) == 0);
		fuzz_must(found.size == all[i].size && found.size <= INT64_MAX);
	}
	fuzz_must(cas_manifest_format(all, m.count, &out) == 0);
	fuzz_must(out.len == size && memcmp(out.data, data, size) == 0);
	orch_buf_fini(&out);
	free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum;
	uint8_t *p;

	read_all(data, size);
	if (size < 8)
		return 0;
	p = malloc(size);
	fuzz_must(p != NULL);
	memcpy(p, data, size);
	sum = orch_xxh64(p, size - 8, 0);
	memcpy(p + size - 8, &sum, sizeof(sum));
	read_all(p, size);
	free(p);
	return 0;
}
