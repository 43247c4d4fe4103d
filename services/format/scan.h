/*
 * The scan index: what an import saw of a source folder, so that the next import opens no file
 * that did not change. One file for each source folder, sorted by path, mapped read-only. Pure.
 */
#ifndef ORCH_FORMAT_SCAN_H
#define ORCH_FORMAT_SCAN_H

#include "format/entry.h"

struct fmt_scan_entry {
	const char *path; /* relative to the source, not NUL-terminated */
	size_t path_len;
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
	uint32_t mode;			     /* st_mode, whole */
	struct orch_digest object;	     /* of the content */
	struct orch_fingerprint fingerprint; /* keyed XXH3-128 of the content */
	bool has_xattrs; /* xattrs must be read again even when nothing else changed */
};

struct fmt_scan_head {
	struct orch_digest snapshot; /* what that import made */
	int64_t started_wall_ns; /* entries with mtime or ctime >= this - slack are read again */
	uint64_t seed_check;	 /* xxh64 of a constant under the store's seed: another store's
	                                index is not believed */
};

struct fmt_scan_writer; /* entries are added in strictly rising order of path (memcmp) */
struct fmt_scan_writer *fmt_scan_writer_new(const struct fmt_scan_head *head) ORCH_WUR;
void fmt_scan_writer_free(struct fmt_scan_writer *w);
int fmt_scan_writer_add(struct fmt_scan_writer *w, const struct fmt_scan_entry *e,
    struct orch_buf *out) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
int fmt_scan_writer_end(struct fmt_scan_writer *w, struct orch_buf *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;

struct fmt_scan {
	const uint8_t *p;
	size_t len;
	uint64_t count;
	size_t table_at;
	struct fmt_scan_head head;
};
/* Checks the whole checksum once. */
int fmt_scan_open(const void *p, size_t len, struct fmt_scan *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
/* -ENOENT */
int fmt_scan_find(const struct fmt_scan *s, const char *path, size_t path_len,
    struct fmt_scan_entry *out) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

#endif
