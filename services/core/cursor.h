/*
 * A checked reader over borrowed bytes, little-endian. The first read beyond the end sets `failed`
 * and every read from then on yields zeros (NULL for bytes): check `failed` once at the end, and
 * before believing a count. Never reads outside [p, end).
 */
#ifndef ORCH_CORE_CURSOR_H
#define ORCH_CORE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

struct orch_cursor {
	const uint8_t *p;
	const uint8_t *end;
	bool failed;
};

static inline struct orch_cursor orch_cursor_make(const void *p, size_t n)
{
	return (struct orch_cursor){.p = p, .end = (const uint8_t *)p + n, .failed = false};
}

static inline size_t orch_cursor_left(const struct orch_cursor *c)
{
	return c->failed ? 0 : (size_t)(c->end - c->p);
}

/* Borrowed pointer to the next n bytes, valid as long as the underlying bytes; NULL on failure. */
const uint8_t *orch_cursor_bytes(struct orch_cursor *c, size_t n) ORCH_NONNULL(1);
uint8_t orch_cursor_u8(struct orch_cursor *c) ORCH_NONNULL(1);
uint16_t orch_cursor_u16(struct orch_cursor *c) ORCH_NONNULL(1);
uint32_t orch_cursor_u32(struct orch_cursor *c) ORCH_NONNULL(1);
uint64_t orch_cursor_u64(struct orch_cursor *c) ORCH_NONNULL(1);
void orch_cursor_skip(struct orch_cursor *c, size_t n) ORCH_NONNULL(1);

/* Loads from a place that the caller has checked already. */
static inline uint16_t orch_le16(const void *p)
{
	uint16_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}
static inline uint32_t orch_le32(const void *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}
static inline uint64_t orch_le64(const void *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "orch runs on little-endian machines only"
#endif

#endif
