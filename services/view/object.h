/*
 * Objects as files: <store>/objects/ab/cd/<64 hex>, mode 0444. Publishing sets the mtime of the
 * file to a value that follows from its name, so that a reader sees without a database whether the
 * file was touched since; when it was (or the size differs) the digest is checked before a byte is
 * believed.
 */
#ifndef ORCH_VIEW_OBJECT_H
#define ORCH_VIEW_OBJECT_H

#include <stdint.h>
#include <sys/types.h>
#include "core/err.h"
#include "core/hash.h"

/* "ab/cd/abcd..." */
#define VIEW_OBJECT_PATH_BYTES 71
void view_object_path(const struct orch_digest *d, char out[VIEW_OBJECT_PATH_BYTES])
    ORCH_NONNULL(1, 2);
/* The mtime that a published object has. */
int64_t view_object_mtime_ns(const struct orch_digest *d) ORCH_NONNULL(1);

/* Opens for reading. size: as the tree says. -ENOENT: not on this host (err names it);
 * ORCH_ECORRUPT: size differs, or the file was touched and its digest is wrong. May hash the whole
 * file in the second case. The fd is the caller's. */
int view_object_open(int objects_dirfd, const struct orch_digest *d, uint64_t size, int *out_fd,
    struct orch_err *err) ORCH_NONNULL(2, 4) ORCH_WUR;
/* Existence and size only. 1, 0, or -errno. */
int view_object_exists(int objects_dirfd, const struct orch_digest *d, uint64_t size)
    ORCH_NONNULL(2) ORCH_WUR;

#endif
