/*
 * What one name in a directory is: the value shared by trees, snapshots and layers.
 * Pure: no I/O, no clock. docs/format.md has the bytes.
 */
#ifndef ORCH_FORMAT_ENTRY_H
#define ORCH_FORMAT_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/cursor.h"
#include "core/err.h"
#include "core/hash.h"

enum __attribute__((packed)) fmt_type { /* the numbers are on disk; one byte in memory */
	FMT_REG = 1,
	FMT_DIR = 2,
	FMT_SYMLINK = 3,
	/* only in layers, never in trees: */
	FMT_FIFO = 4,
	FMT_SOCKET = 5,
	FMT_CHR = 6,
	FMT_BLK = 7,
};

#define FMT_NAME_MAX	     255
#define FMT_SYMLINK_MAX	     4095
#define FMT_XATTR_NAME_MAX   255
#define FMT_XATTR_VALUE_MAX  65536
#define FMT_XATTRS_MAX	     (1u << 20)	 /* bytes of all xattrs of one entry, encoded */
#define FMT_TREE_ENTRIES_MAX (16u << 20) /* entries of one directory */
#define FMT_ID_OWNER	     UINT32_MAX	 /* uid/gid: "the workspace's owner" */

/* A borrowed, validated list of extended attributes, sorted by name, names unique; len 0: none.
 * Encoding: u16 count, then each u8 name_len, name, u32 value_len, value. */
struct fmt_xattrs {
	const uint8_t *p;
	size_t len;
};
struct fmt_xattr {
	const char *name; /* not NUL-terminated */
	size_t name_len;
	const uint8_t *value;
	size_t value_len;
};
int fmt_xattrs_check(const uint8_t *p, size_t len) ORCH_WUR;
size_t fmt_xattrs_count(const struct fmt_xattrs *x) ORCH_NONNULL(1);
/* Iterates: *pos starts at 0. false at the end. x must have been checked. */
bool fmt_xattrs_next(const struct fmt_xattrs *x, size_t *pos, struct fmt_xattr *out)
    ORCH_NONNULL(1, 2, 3);
bool fmt_xattrs_find(const struct fmt_xattrs *x, const char *name, struct fmt_xattr *out)
    ORCH_NONNULL(1, 2, 3);
/* Appends the encoding of x with name set to value (value NULL: removed) to out; x may be empty.
 * -ENODATA: nothing to remove. The result may be the empty list (len 0). */
int fmt_xattrs_with(const struct fmt_xattrs *x, const char *name, const void *value,
    size_t value_len, struct orch_buf *out) ORCH_NONNULL(1, 2, 5) ORCH_WUR;

/* One directory entry of a tree. Pointers are borrowed from the tree's bytes when parsed. */
struct fmt_entry {
	const char *name; /* not NUL-terminated; 1..255 bytes; empty for a snapshot's root */
	size_t name_len;
	enum fmt_type type;
	uint32_t mode;	   /* permission bits only, 07777 */
	uint32_t uid, gid; /* FMT_ID_OWNER unless they differ from the workspace's owner */
	struct fmt_xattrs xattrs;
	uint64_t size;	/* REG: bytes; DIR: bytes of all files below; SYMLINK: target_len */
	uint64_t count; /* DIR: entries below, recursive; else 0 */
	struct orch_digest digest; /* REG: object; DIR: tree; else zeros */
	const char *target;	   /* SYMLINK, not NUL-terminated */
	size_t target_len;
};

#endif
