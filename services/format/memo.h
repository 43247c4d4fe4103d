/*
 * A Git memo: what the objects of a Git repository became in this store, so that the next commit costs
 * only what it changes. A table sorted by key, written once, mapped read-only. Pure.
 */
#ifndef ORCH_FORMAT_MEMO_H
#define ORCH_FORMAT_MEMO_H

#include "format/entry.h"

enum fmt_memo_kind { /* on disk */
	FMT_MEMO_TREE = 1,
	FMT_MEMO_BLOB = 2,
};
#define FMT_MEMO_ID_BYTES    20
#define FMT_MEMO_STATE_BYTES 16

struct fmt_memo_key { /* in the order of the table; no padding */
	uint8_t kind;
	uint8_t id[FMT_MEMO_ID_BYTES];	     /* Git's */
	uint8_t state[FMT_MEMO_STATE_BYTES]; /* what else the result depends on */
};
struct fmt_memo_entry {
	struct fmt_memo_key key;
	uint16_t height;	   /* of a tree: folders below each other, itself included */
	struct orch_digest digest; /* of our tree, or of the object */
	uint64_t size;		   /* of the object, or of all files below */
	uint64_t count;		   /* entries below; 0 for blobs */
	uint64_t marked;	   /* LFS pointers: below, or 1 for a blob that is one */
};

/* Of a store's secret seed: a table of another store is not believed. */
uint64_t fmt_memo_seed_check(uint64_t seed);

struct fmt_memo_writer; /* entries are added in strictly rising order of keys (memcmp) */
/* NULL: no memory. */
struct fmt_memo_writer *fmt_memo_writer_new(uint64_t seed_check) ORCH_WUR;
void fmt_memo_writer_free(struct fmt_memo_writer *w);
/* -EINVAL: not rising, or no valid entry. What is appended to out may be taken away between calls. */
int fmt_memo_writer_add(struct fmt_memo_writer *w, const struct fmt_memo_entry *e,
    struct orch_buf *out) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
int fmt_memo_writer_end(struct fmt_memo_writer *w, struct orch_buf *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;

struct fmt_memo {
	const uint8_t *p;
	size_t len;
	uint64_t count;
	uint64_t seed_check;
};
/* Checks everything: checksum, order, each entry. */
int fmt_memo_open(const void *p, size_t len, struct fmt_memo *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
/* i < count */
void fmt_memo_at(const struct fmt_memo *m, uint64_t i, struct fmt_memo_entry *out)
    ORCH_NONNULL(1, 3);
/* -ENOENT */
int fmt_memo_find(const struct fmt_memo *m, const struct fmt_memo_key *key,
    struct fmt_memo_entry *out) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
