/* Messages: as they are, and with a right checksum. What parses is written again as the same bytes. */
#include "format/msg.h"
#include "tests/lib/fuzz.h"

static void read_field(const struct fmt_msg *m, uint16_t tag)
{
	const uint8_t *p;
	size_t len = 0;
	uint64_t v = 0;
	char *s;

	p = fmt_msg_get(m, tag, &len);
	fuzz_must(fmt_msg_get_u64(m, tag, &v) == (p != NULL && len == 8));
	s = fmt_msg_get_str(m, tag);
	fuzz_must((s != NULL) == (p != NULL && memchr(p, '\0', len) == NULL));
	fuzz_must(s == NULL || (strlen(s) == len && memcmp(s, p, len) == 0));
	free(s);
}

static void write_again(const struct fmt_msg *m, const uint8_t *data, size_t size)
{
	struct orch_cursor c = m->fields;
	struct orch_buf b;

	orch_buf_init(&b, FMT_MSG_MAX);
	fuzz_must(fmt_msg_begin(&b, m->type, m->id, m->status) == 0);
	while (orch_cursor_left(&c) > 0) {
		uint16_t tag = orch_cursor_u16(&c);
		uint32_t len;
		const uint8_t *p;

		orch_cursor_skip(&c, 2);
		len = orch_cursor_u32(&c);
		p = orch_cursor_bytes(&c, len);
		orch_cursor_skip(&c, -(size_t)len & 7);
		fuzz_must(!c.failed && fmt_msg_add(&b, tag, p, len) == 0);
	}
	fuzz_must(fmt_msg_end(&b) == 0);
	fuzz_must(b.len == size && memcmp(b.data, data, size) == 0);
	orch_buf_fini(&b);
}

static void read_all(const uint8_t *data, size_t size)
{
	struct fmt_msg m;

	if (fmt_msg_parse(data, size, &m, NULL) < 0)
		return;
	fuzz_must(m.status <= 0 && m.status >= -4095);
	for (uint16_t tag = 0; tag < 16; tag++)
		read_field(&m, tag);
	write_again(&m, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum;
	uint8_t *p;

	read_all(data, size);
	if (size < 32)
		return 0;
	p = malloc(size);
	fuzz_must(p != NULL);
	memcpy(p, data, size);
	sum = orch_xxh64(p + 32, size - 32, orch_xxh64(p, 24, 0));
	memcpy(p + 24, &sum, sizeof(sum));
	read_all(p, size);
	free(p);
	return 0;
}
