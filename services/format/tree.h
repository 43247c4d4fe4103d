/*
 * The canonical encoding of one directory: entries sorted by the bytes of their names, names
 * unique, an offset table in front so that a name is found in the mapped bytes by bisection.
 * The same directory has one encoding, so its SHA-256 is its name. Pure.
 */
#ifndef ORCH_FORMAT_TREE_H
#define ORCH_FORMAT_TREE_H

#include "format/entry.h"

/* Entries may be added in any order; _end sorts, refuses duplicates (-EEXIST), encodes.
 * Names, targets and xattrs are copied at _add. */
struct fmt_tree_builder;
struct fmt_tree_builder *fmt_tree_builder_new(void) ORCH_WUR;
void fmt_tree_builder_free(struct fmt_tree_builder *b);
int fmt_tree_builder_add(struct fmt_tree_builder *b, const struct fmt_entry *e,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Sorts what was added; afterwards order(i) tells which _add (0-based) became entry i. */
int fmt_tree_builder_end(struct fmt_tree_builder *b, struct orch_buf *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
uint32_t fmt_tree_builder_order(const struct fmt_tree_builder *b, uint32_t i) ORCH_NONNULL(1);
void fmt_tree_builder_reset(struct fmt_tree_builder *b) ORCH_NONNULL(1);

/* A view of encoded bytes: header and table checked at _open, each entry when it is read, so that
 * opening a directory of a million entries costs nothing. The bytes must outlive the view. */
struct fmt_tree {
	const uint8_t *p;
	size_t len;
	uint32_t count;
};
int fmt_tree_open(const void *p, size_t len, struct fmt_tree *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
/* Entry i; ORCH_ECORRUPT when its bytes are not valid. i >= count is a bug. */
int fmt_tree_entry(const struct fmt_tree *t, uint32_t i, struct fmt_entry *out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
/* *out_i of the entry with that name; -ENOENT. */
int fmt_tree_find(const struct fmt_tree *t, const char *name, size_t name_len, uint32_t *out_i,
    struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;
/* Checks all: order, uniqueness, every field, and that the bytes are the canonical encoding. */
int fmt_tree_check(const void *p, size_t len, struct orch_err *err) ORCH_WUR;

#endif
