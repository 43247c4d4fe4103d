/*
 * Places below a root folder: opened component by component without following a link, however long
 * the path is. Paths are relative, '/'-separated; "" is the root itself.
 */
#ifndef ORCH_SYNC_PLACE_H
#define ORCH_SYNC_PLACE_H

#include <stddef.h>
#include "core/err.h"

#define SYNC_DEPTH_MAX 4096 /* folders below each other */

/* Opens a folder for reading its names. fd or -errno (-ELOOP: a component is a link). */
int sync_place_open(int root, const char *path, size_t len) ORCH_NONNULL(2) ORCH_WUR;

#endif
