/* Messages: as they are, and with a right checksum. */
#include <stdlib.h>
#include <string.h>
#include "format/msg.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	struct fmt_msg m;
	uint64_t v;
	size_t len;

	if (fmt_msg_parse(data, size, &m, NULL) < 0)
		return;
	for (uint16_t tag = 0; tag < 16; tag++) {
		(void)fmt_msg_get(&m, tag, &len);
		(void)fmt_msg_get_u64(&m, tag, &v);
		free(fmt_msg_get_str(&m, tag));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum;
	uint8_t *p;

	read_all(data, size);
	if (size < 32)
		return 0;
	p = malloc(size);
	if (p == NULL)
		return 0;
	memcpy(p, data, size);
	sum = orch_xxh64(p + 32, size - 32, orch_xxh64(p, 24, 0));
	memcpy(p + 24, &sum, sizeof(sum));
	read_all(p, size);
	free(p);
	return 0;
}
