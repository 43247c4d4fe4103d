/*
 * Places below a root folder: opened component by component without following a link, however long
 * the path is. Paths are relative, '/'-separated; "" is the root itself.
 */
#ifndef ORCH_SYNC_PLACE_H
#define ORCH_SYNC_PLACE_H

#include <stddef.h>
#include "core/buf.h"
#include "core/err.h"

#define SYNC_DEPTH_MAX 2048 /* folders below each other */

/* A path that was put together, as a string: "" for the root, for which a buffer may hold nothing. */
static inline const char *sync_place_text(const struct orch_buf *path)
{
	return path->data ? (const char *)path->data : "";
}

/* Opens a folder for reading its names. fd or -errno (-ELOOP: a component is a link). */
int sync_place_open(int root, const char *path, size_t len) ORCH_NONNULL(2) ORCH_WUR;

#endif
