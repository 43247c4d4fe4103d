/*
 * A pack: records of trees, stamps, snapshots and small objects, each with its digest and a
 * checksum, and at its end an index sorted by digest, so that a process that maps the file finds a
 * record alone. Written once, in one go, and never changed. Pure: the writer yields bytes for the
 * caller to write, the reader works on mapped bytes.
 */
#ifndef ORCH_FORMAT_PACK_H
#define ORCH_FORMAT_PACK_H

#include "format/entry.h"

enum fmt_pack_kind { /* on disk */
	FMT_PACK_TREE = 1,
	FMT_PACK_STAMPS = 2,
	FMT_PACK_SNAPSHOT = 3,
	FMT_PACK_OBJECT = 4, /* a small object; its digest is of the payload */
};
#define FMT_PACK_RECORD_MAX (UINT32_C(1) << 30)

/* Keeps the index in memory (48 bytes a record); bytes come out through `out`, in file order. */
struct fmt_pack_writer;
struct fmt_pack_writer *fmt_pack_writer_new(void) ORCH_WUR;
void fmt_pack_writer_free(struct fmt_pack_writer *w);
/* Appends the file header to out; call first. */
int fmt_pack_writer_begin(struct fmt_pack_writer *w, struct orch_buf *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Appends one record to out. -EEXIST: this digest and kind is in the pack already, nothing added. */
int fmt_pack_writer_add(struct fmt_pack_writer *w, enum fmt_pack_kind kind,
    const struct orch_digest *digest, const void *p, size_t len, struct orch_buf *out)
    ORCH_NONNULL(1, 3, 6) ORCH_WUR;
/* Appends index and footer; the pack is then whole, and nothing may be added any more. */
int fmt_pack_writer_end(struct fmt_pack_writer *w, struct orch_buf *out)
    ORCH_NONNULL(1, 2) ORCH_WUR;
uint32_t fmt_pack_writer_count(const struct fmt_pack_writer *w) ORCH_NONNULL(1);

struct fmt_pack {
	const uint8_t *p;
	size_t len;
	uint32_t count;
	size_t index_at;
	unsigned bits; /* of the fan-out table */
};
/* Checks header, footer and index (checksum, order, bounds). ORCH_EFORMAT: unknown version. */
int fmt_pack_open(const void *p, size_t len, struct fmt_pack *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
struct fmt_pack_record {
	enum fmt_pack_kind kind;
	struct orch_digest digest;
	const uint8_t *p; /* borrowed from the mapping */
	size_t len;
};
/* -ENOENT; ORCH_ECORRUPT when the record's checksum is wrong (checked at every call: XXH3). */
int fmt_pack_find(const struct fmt_pack *k, enum fmt_pack_kind kind,
    const struct orch_digest *digest, struct fmt_pack_record *out, struct orch_err *err)
    ORCH_NONNULL(1, 3, 4) ORCH_WUR;
/* Whether the index names it; the record itself is not looked at. */
bool fmt_pack_has(const struct fmt_pack *k, enum fmt_pack_kind kind,
    const struct orch_digest *digest) ORCH_NONNULL(1, 3);
/* Record i in the order of the index, for verify. Does not hash SHA-256. */
int fmt_pack_at(const struct fmt_pack *k, uint32_t i, struct fmt_pack_record *out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
