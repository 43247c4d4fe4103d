/* The checked reader. Pure. */
#include "core/cursor.h"

const uint8_t *orch_cursor_bytes(struct orch_cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->failed || (size_t)(c->end - p) < n) {
		c->failed = true;
		return NULL;
	}
	c->p += n;
	return p;
}

uint8_t orch_cursor_u8(struct orch_cursor *c)
{
	const uint8_t *p = orch_cursor_bytes(c, sizeof(uint8_t));

	return p ? *p : 0;
}

uint16_t orch_cursor_u16(struct orch_cursor *c)
{
	const uint8_t *p = orch_cursor_bytes(c, sizeof(uint16_t));

	return p ? orch_le16(p) : 0;
}

uint32_t orch_cursor_u32(struct orch_cursor *c)
{
	const uint8_t *p = orch_cursor_bytes(c, sizeof(uint32_t));

	return p ? orch_le32(p) : 0;
}

uint64_t orch_cursor_u64(struct orch_cursor *c)
{
	const uint8_t *p = orch_cursor_bytes(c, sizeof(uint64_t));

	return p ? orch_le64(p) : 0;
}

void orch_cursor_skip(struct orch_cursor *c, size_t n)
{
	(void)orch_cursor_bytes(c, n);
}
