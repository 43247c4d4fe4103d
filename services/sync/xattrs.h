/*
 * Extended attributes of the namespace user., between a file system and the encoding of
 * format/entry.h. Other namespaces belong to the machine, not to the content, and are left alone.
 */
#ifndef ORCH_SYNC_XATTRS_H
#define ORCH_SYNC_XATTRS_H

#include "format/entry.h"

/* Appends the encoding of what the entry `name` of the folder dirfd has (nothing when there is
 * none). Opens nothing and follows no link. -errno of the file system; -E2BIG: more than a
 * snapshot holds. */
int sync_xattrs_read(int dirfd, const char *name, struct orch_buf *out) ORCH_NONNULL(2, 3) ORCH_WUR;
/* Sets all on an open file or folder. -EOPNOTSUPP: the file system has none. */
int sync_xattrs_write(int fd, const struct fmt_xattrs *x) ORCH_NONNULL(2) ORCH_WUR;

#endif
