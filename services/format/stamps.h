/*
 * Stamps: beside a tree, what is not content: inode number and mtime of each entry, the stamps of
 * its folders, and hard-link groups (entries of one inode number; nlink counts the whole snapshot).
 * Entry i of the stamps belongs to entry i of the tree. Named by SHA-256 of its bytes. Pure.
 */
#ifndef ORCH_FORMAT_STAMPS_H
#define ORCH_FORMAT_STAMPS_H

#include "format/entry.h"

struct fmt_stamp {
	uint64_t ino;
	int64_t mtime_ns;
	uint32_t nlink;		   /* files: links in the whole snapshot, at least 1; folders: 1 */
	struct orch_digest stamps; /* of a folder; zeros otherwise */
};

struct fmt_stamps_builder;
struct fmt_stamps_builder *fmt_stamps_builder_new(void) ORCH_WUR;
void fmt_stamps_builder_free(struct fmt_stamps_builder *b);
void fmt_stamps_builder_reset(struct fmt_stamps_builder *b) ORCH_NONNULL(1);
/* In the order of the tree's entries. */
int fmt_stamps_builder_add(struct fmt_stamps_builder *b, const struct fmt_stamp *s)
    ORCH_NONNULL(1, 2) ORCH_WUR;
int fmt_stamps_builder_end(struct fmt_stamps_builder *b, struct orch_buf *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;

struct fmt_stamps {
	const uint8_t *p;
	size_t len;
	uint32_t count;
};
int fmt_stamps_open(const void *p, size_t len, struct fmt_stamps *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
int fmt_stamps_get(const struct fmt_stamps *s, uint32_t i, struct fmt_stamp *out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
int fmt_stamps_check(const void *p, size_t len, struct orch_err *err) ORCH_WUR;

#endif
