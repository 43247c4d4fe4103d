/* Git memos: as they are, and with a right checksum; what one holds is found in it. */
#include "format/memo.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	struct fmt_memo_entry e, found;
	struct fmt_memo_key key = {.kind = FMT_MEMO_BLOB};
	struct fmt_memo m;

	if (fmt_memo_open(data, size, &m, NULL) < 0)
		return;
	for (uint64_t i = 0; i < m.count; i++) {
		fmt_memo_at(&m, i, &e);
		fuzz_must(e.key.kind == FMT_MEMO_TREE || e.key.kind == FMT_MEMO_BLOB);
		fuzz_must(fmt_memo_find(&m, &e.key, &found) == 0);
		fuzz_must(memcmp(&e.key, &found.key, sizeof(e.key)) == 0);
	}
	if (fmt_memo_find(&m, &key, &e) == 0)
		fuzz_must(m.count > 0);
}

static void with_sum(uint8_t *p, size_t size)
{
	struct orch_xxh128 *x = orch_xxh128_new();
	struct orch_fingerprint sum;
	uint64_t count = (size - 40) / 96;

	fuzz_must(x != NULL);
	memcpy(p + size - 24, &count, 8);
	orch_xxh128_reset(x, 0);
	orch_xxh128_add(x, p, size - 16);
	orch_xxh128_end(x, &sum);
	orch_xxh128_free(x);
	memcpy(p + size - 16, &sum.lo, 8);
	memcpy(p + size - 8, &sum.hi, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p;

	read_all(data, size);
	if (size < 40)
		return 0;
	p = malloc(size);
	fuzz_must(p != NULL);
	memcpy(p, data, size);
	with_sum(p, size);
	read_all(p, size);
	free(p);
	return 0;
}
