/*
 * Room in an array that grows: where an array of things and its capacity are fields of somebody's struct.
 * For bytes there is buf.h, for strings strv.h.
 */
#ifndef ORCH_CORE_GROW_H
#define ORCH_CORE_GROW_H

#include <stddef.h>
#include "core/compiler.h"

/*
 * Makes room for `need` elements of `size` bytes each:
 *
 *     int r = orch_grow(&list->v, &list->cap, list->count + 1, sizeof(*list->v));
 *
 *     if (r == 0)
 *             list->v[list->count++] = x;
 *
 * list_ptr is the address of the pointer to the array (NULL: there is none yet), cap the number of elements that
 * there is room for. Both change on success alone; what was in the array stays, what is new is not cleared, pointers
 * into the array are no longer good. At least doubles, so n elements cost O(n). The memory is for free().
 * Sets no maximum: a caller that takes elements from outside checks its own first. -ENOMEM, also for a size that
 * does not fit.
 */
int orch_grow(void *list_ptr, size_t *cap, size_t need, size_t size) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
