/*
 * What the codecs of this room share and nobody else sees: the common file prefix, validation of
 * names, and the encoding of one entry, which trees and snapshots have in common.
 */
#ifndef ORCH_FORMAT_PRIV_H
#define ORCH_FORMAT_PRIV_H

#include "format/entry.h"

/* Every format begins with these 8 bytes, in every version. */
#define FMT_PREFIX_BYTES 8
#define FMT_MAGIC(a, b, c, d) \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define FMT_MAGIC_TREE	   FMT_MAGIC('O', 'R', 'T', 'R')
#define FMT_MAGIC_STAMPS   FMT_MAGIC('O', 'R', 'S', 'T')
#define FMT_MAGIC_SNAPSHOT FMT_MAGIC('O', 'R', 'S', 'N')
#define FMT_MAGIC_PACK	   FMT_MAGIC('O', 'R', 'P', 'K')
#define FMT_MAGIC_PACK_END FMT_MAGIC('O', 'R', 'P', 'E')
#define FMT_MAGIC_TXN	   FMT_MAGIC('O', 'R', 'T', 'X')
#define FMT_MAGIC_MSG	   FMT_MAGIC('O', 'R', 'M', 'S')
#define FMT_MAGIC_SCAN	   FMT_MAGIC('O', 'R', 'S', 'C')
#define FMT_MAGIC_MEMO	   FMT_MAGIC('O', 'R', 'G', 'M')

void fmt_prefix_add(struct orch_buf *out, uint32_t magic, uint16_t version);
/* Reads the prefix. ORCH_ECORRUPT: too short, another magic, or reserved bits; ORCH_EFORMAT:
 * another version. `what` names the thing in err. */
int fmt_prefix_check(struct orch_cursor *c, uint32_t magic, uint16_t version, const char *what,
    struct orch_err *err) ORCH_WUR;

int fmt_corrupt(struct orch_err *err, const char *what, const char *why);

/* After a series of appends to out: 0, or, when one failed, cuts out back to `was` bytes (`failed`
 * stays set) and -ENOMEM. */
int fmt_appended(struct orch_buf *out, size_t was) ORCH_WUR;

/* One component of a path: what orch_name_valid says, without its NUL-terminated world. */
bool fmt_name_valid(const char *name, size_t len);
bool fmt_all_zero(const uint8_t *p, size_t n);

/* Validates the fields of e. root: the name must be empty and the type DIR. 0 or -EINVAL. */
int fmt_entry_check(const struct fmt_entry *e, bool root, struct orch_err *err) ORCH_WUR;
/* Appends the encoding of a checked entry; failure shows in out->failed. */
void fmt_entry_encode(const struct fmt_entry *e, struct orch_buf *out);
/* The whole of [p, p + len) must be one valid entry in its only encoding. */
int fmt_entry_decode(
    const uint8_t *p, size_t len, bool root, struct fmt_entry *out, struct orch_err *err) ORCH_WUR;

#endif
