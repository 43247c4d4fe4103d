/* Packs: as they are, and with the checksums of header, index and footer made right. */
#include <stdlib.h>
#include <string.h>
#include "format/pack.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	struct fmt_pack_record r, found;
	struct fmt_pack k;

	if (fmt_pack_open(data, size, &k, NULL) < 0)
		return;
	for (uint32_t i = 0; i < k.count; i++) {
		if (fmt_pack_at(&k, i, &r, NULL) < 0)
			continue;
		if (!fmt_pack_has(&k, r.kind, &r.digest) ||
		    fmt_pack_find(&k, r.kind, &r.digest, &found, NULL) != 0 || found.p != r.p)
			abort();
	}
}

static void put_sum(uint8_t *at, const uint8_t *p, size_t n)
{
	uint64_t sum = orch_xxh64(p, n, 0);

	memcpy(at, &sum, sizeof(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t index_at;
	uint8_t *p, *foot;

	read_all(data, size);
	if (size < 64)
		return 0;
	p = malloc(size);
	if (p == NULL)
		return 0;
	memcpy(p, data, size);
	foot = p + size - 48;
	index_at = orch_le64(foot + 16);
	put_sum(p + 8, p, 8);
	if (index_at <= size - 48)
		put_sum(foot + 32, p + index_at, size - 48 - index_at);
	put_sum(foot + 40, foot, 40);
	read_all(p, size);
	free(p);
	return 0;
}
