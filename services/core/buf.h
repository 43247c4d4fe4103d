/*
 * A growable byte buffer with a hard maximum. After a failed append the buffer is unchanged and
 * `failed` is set, so a sequence of appends may be checked once at its end.
 * Not thread-safe. `data` is always followed by a NUL byte that `len` does not count.
 */
#ifndef ORCH_CORE_BUF_H
#define ORCH_CORE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

struct orch_buf {
	uint8_t *data; /* NULL while nothing was appended */
	size_t len;
	size_t cap;
	size_t max; /* bytes; appends beyond it fail with -EOVERFLOW */
	bool failed;
};

#define ORCH_BUF_MAX_DEFAULT ((size_t)64 << 20)
#define ORCH_BUF_INIT                                                                          \
	{                                                                                      \
		.data = NULL, .len = 0, .cap = 0, .max = ORCH_BUF_MAX_DEFAULT, .failed = false \
	}

void orch_buf_init(struct orch_buf *b, size_t max) ORCH_NONNULL(1);
void orch_buf_fini(struct orch_buf *b) ORCH_NONNULL(1);
void orch_buf_reset(struct orch_buf *b) ORCH_NONNULL(1); /* len = 0, failed = false, memory kept */
void orch_auto_buf(struct orch_buf *b);

/* All return 0, -ENOMEM or -EOVERFLOW, and set b->failed on failure. */
int orch_buf_reserve(struct orch_buf *b, size_t extra) ORCH_NONNULL(1);
int orch_buf_add(struct orch_buf *b, const void *p, size_t n) ORCH_NONNULL(1);
int orch_buf_add_str(struct orch_buf *b, const char *s) ORCH_NONNULL(1, 2);
int orch_buf_add_zeros(struct orch_buf *b, size_t n) ORCH_NONNULL(1);
int orch_buf_printf(struct orch_buf *b, const char *fmt, ...) ORCH_NONNULL(1, 2) ORCH_PRINTF(2, 3);
int orch_buf_vprintf(struct orch_buf *b, const char *fmt, va_list ap) ORCH_NONNULL(1, 2);

/* Little-endian integers. */
int orch_buf_add_u8(struct orch_buf *b, uint8_t v) ORCH_NONNULL(1);
int orch_buf_add_u16(struct orch_buf *b, uint16_t v) ORCH_NONNULL(1);
int orch_buf_add_u32(struct orch_buf *b, uint32_t v) ORCH_NONNULL(1);
int orch_buf_add_u64(struct orch_buf *b, uint64_t v) ORCH_NONNULL(1);

/* Overwrites 4 or 8 bytes that were appended before; a position outside is a bug. */
void orch_buf_put_u32(struct orch_buf *b, size_t at, uint32_t v) ORCH_NONNULL(1);
void orch_buf_put_u64(struct orch_buf *b, size_t at, uint64_t v) ORCH_NONNULL(1);

/* Hands the memory to the caller (free() it); the buffer is empty afterwards. NULL when empty. */
uint8_t *orch_buf_take(struct orch_buf *b, size_t *out_len) ORCH_NONNULL(1);
/* As a C string; "" is allocated when empty; NULL on -ENOMEM or when b->failed. */
char *orch_buf_take_str(struct orch_buf *b) ORCH_NONNULL(1);

#endif
