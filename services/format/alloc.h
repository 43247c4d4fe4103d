/* Memory for this room, in one place so that a test can make the n-th allocation fail. Room-internal. */
#ifndef ORCH_FORMAT_ALLOC_H
#define ORCH_FORMAT_ALLOC_H

#include <stdlib.h>
#include "core/fault.h"

static inline void *fmt_malloc(size_t n)
{
	return orch_fault(ORCH_FAULT_ALLOC) ? NULL : malloc(n);
}

static inline void *fmt_calloc(size_t count, size_t n)
{
	return orch_fault(ORCH_FAULT_ALLOC) ? NULL : calloc(count, n);
}

static inline void *fmt_grow(void *p, size_t count, size_t n)
{
	return orch_fault(ORCH_FAULT_ALLOC) ? NULL : reallocarray(p, count, n);
}

#endif
