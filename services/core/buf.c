/* The growable buffer. All growth goes through buf_grow, which knows the maximum. */
#include "core/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/size.h"

#define BUF_FIRST_CAP 128

void orch_buf_init(struct orch_buf *b, size_t max)
{
	*b = (struct orch_buf){.max = max};
}

void orch_buf_fini(struct orch_buf *b)
{
	free(b->data);
	orch_buf_init(b, b->max);
}

void orch_auto_buf(struct orch_buf *b)
{
	orch_buf_fini(b);
}

void orch_buf_reset(struct orch_buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

static int buf_fail(struct orch_buf *b, int code)
{
	b->failed = true;
	return -code;
}

/* Room for `need` bytes and the NUL; need <= max. */
static int buf_grow(struct orch_buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST_CAP;
	size_t bytes;
	uint8_t *p;

	while (cap < need)
		if (orch_size_mul(cap, 2, &cap) < 0)
			cap = need;
	if (cap > b->max)
		cap = b->max;
	if (orch_size_add(cap, 1, &bytes) < 0)
		return buf_fail(b, ENOMEM);
	p = realloc(b->data, bytes);
	if (!p)
		return buf_fail(b, ENOMEM);
	p[b->len] = '\0';
	b->data = p;
	b->cap = cap;
	return 0;
}

int orch_buf_reserve(struct orch_buf *b, size_t extra)
{
	size_t need;

	if (orch_size_add(b->len, extra, &need) < 0 || need > b->max)
		return buf_fail(b, EOVERFLOW);
	/* What follows a failed append would leave a hole, so it fails as well. */
	if (b->failed)
		return -ENOMEM;
	return need <= b->cap && b->data ? 0 : buf_grow(b, need);
}

/* Where n new bytes go, already counted in len; NULL on failure. */
static uint8_t *buf_extend(struct orch_buf *b, size_t n, int *out_r)
{
	uint8_t *at;

	*out_r = orch_buf_reserve(b, n);
	if (*out_r < 0)
		return NULL;
	at = b->data + b->len;
	b->len += n;
	b->data[b->len] = '\0';
	return at;
}

int orch_buf_add(struct orch_buf *b, const void *p, size_t n)
{
	uint8_t *at;
	int r;

	if (n == 0)
		return b->failed ? -ENOMEM : 0;
	at = buf_extend(b, n, &r);
	if (at)
		memcpy(at, p, n);
	return r;
}

int orch_buf_add_str(struct orch_buf *b, const char *s)
{
	return orch_buf_add(b, s, strlen(s));
}

int orch_buf_add_zeros(struct orch_buf *b, size_t n)
{
	uint8_t *at;
	int r;

	if (n == 0)
		return b->failed ? -ENOMEM : 0;
	at = buf_extend(b, n, &r);
	if (at)
		memset(at, 0, n);
	return r;
}

int orch_buf_vprintf(struct orch_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return buf_fail(b, EOVERFLOW);
	r = orch_buf_reserve(b, (size_t)n);
	if (r < 0)
		return r;
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
	return 0;
}

int orch_buf_printf(struct orch_buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = orch_buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

int orch_buf_add_u8(struct orch_buf *b, uint8_t v)
{
	return orch_buf_add(b, &v, sizeof(v));
}

int orch_buf_add_u16(struct orch_buf *b, uint16_t v)
{
	return orch_buf_add(b, &v, sizeof(v));
}

int orch_buf_add_u32(struct orch_buf *b, uint32_t v)
{
	return orch_buf_add(b, &v, sizeof(v));
}

int orch_buf_add_u64(struct orch_buf *b, uint64_t v)
{
	return orch_buf_add(b, &v, sizeof(v));
}

static void buf_put(struct orch_buf *b, size_t at, const void *p, size_t n)
{
	ORCH_BUG_ON(at > b->len || b->len - at < n);
	memcpy(b->data + at, p, n);
}

void orch_buf_put_u32(struct orch_buf *b, size_t at, uint32_t v)
{
	buf_put(b, at, &v, sizeof(v));
}

void orch_buf_put_u64(struct orch_buf *b, size_t at, uint64_t v)
{
	buf_put(b, at, &v, sizeof(v));
}

uint8_t *orch_buf_take(struct orch_buf *b, size_t *out_len)
{
	uint8_t *p = b->data;

	if (out_len)
		*out_len = b->len;
	orch_buf_init(b, b->max);
	return p;
}

char *orch_buf_take_str(struct orch_buf *b)
{
	if (b->failed || (!b->data && orch_buf_reserve(b, 0) < 0)) {
		orch_buf_fini(b);
		return NULL;
	}
	return (char *)orch_buf_take(b, NULL);
}
