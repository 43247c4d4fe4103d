/*
 * A snapshot's identity: root entry + root stamps + source identity. Its SHA-256 is the snapshot's
 * id: the same input has the same name. What came about (commit, engine, outcome, time, parent) is
 * in the store's record, not here. Pure.
 */
#ifndef ORCH_FORMAT_SNAPSHOT_H
#define ORCH_FORMAT_SNAPSHOT_H

#include "format/entry.h"

#define FMT_ROOT_INO UINT64_C(1)

struct fmt_snapshot {
	struct fmt_entry root;	   /* type DIR, empty name: mode, xattrs, tree, size, count */
	struct orch_digest stamps; /* of the root folder's entries */
	int64_t root_mtime_ns;
	uint64_t next_ino;  /* the lineage's counter: larger than every number in use */
	const char *source; /* source identity, UTF-8, may be empty; not NUL-terminated */
	size_t source_len;  /* at most 4096 */
};
int fmt_snapshot_format(const struct fmt_snapshot *s, struct orch_buf *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Borrowed pointers into p. */
int fmt_snapshot_parse(const void *p, size_t len, struct fmt_snapshot *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;

#endif
