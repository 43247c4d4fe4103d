/* Checked size arithmetic: each returns 0, or -EOVERFLOW with *out untouched. */
#ifndef ORCH_CORE_SIZE_H
#define ORCH_CORE_SIZE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

static inline ORCH_WUR int orch_size_add(size_t a, size_t b, size_t *out)
{
	size_t r;

	if (__builtin_add_overflow(a, b, &r))
		return -EOVERFLOW;
	*out = r;
	return 0;
}

static inline ORCH_WUR int orch_size_mul(size_t a, size_t b, size_t *out)
{
	size_t r;

	if (__builtin_mul_overflow(a, b, &r))
		return -EOVERFLOW;
	*out = r;
	return 0;
}

static inline ORCH_WUR int orch_u64_add(uint64_t a, uint64_t b, uint64_t *out)
{
	uint64_t r;

	if (__builtin_add_overflow(a, b, &r))
		return -EOVERFLOW;
	*out = r;
	return 0;
}

/* Rounds up to a power of two `align`. */
static inline ORCH_WUR int orch_size_align(size_t a, size_t align, size_t *out)
{
	size_t r;

	if (__builtin_add_overflow(a, align - 1, &r))
		return -EOVERFLOW;
	*out = r & ~(align - 1);
	return 0;
}

#endif
