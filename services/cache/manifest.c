/* The manifest of a quarantine: {head, count, entries sorted by digest, checksum}. */
#include "cache/manifest.h"

#include <stdlib.h>
#include "core/cursor.h"

#define MAGIC		 "ORQM"
#define MANIFEST_VERSION 1
#define HEAD		 16 /* magic, u16 version, u16 0, u64 count */
#define ENTRY		 (ORCH_DIGEST_BYTES + 24)
#define TAIL		 8

static int by_digest(const void *a, const void *b)
{
	const struct cas_object *x = a, *y = b;

	return orch_digest_cmp(&x->digest, &y->digest);
}

int cas_manifest_format(struct cas_object *objects, size_t count, struct orch_buf *out)
{
	size_t at = out->len;

	if (count > 1)
		qsort(objects, count, sizeof(*objects), by_digest);
	orch_buf_add(out, MAGIC, 4);
	orch_buf_add_u16(out, MANIFEST_VERSION);
	orch_buf_add_u16(out, 0);
	orch_buf_add_u64(out, count);
	for (size_t i = 0; i < count; i++) {
		ORCH_BUG_ON(i > 0 && by_digest(&objects[i - 1], &objects[i]) >= 0);
		orch_buf_add(out, objects[i].digest.b, ORCH_DIGEST_BYTES);
		orch_buf_add_u64(out, objects[i].fingerprint.lo);
		orch_buf_add_u64(out, objects[i].fingerprint.hi);
		orch_buf_add_u64(out, objects[i].size);
	}
	if (!out->failed)
		orch_buf_add_u64(out, orch_xxh64(out->data + at, out->len - at, 0));
	return out->failed ? -ENOMEM : 0;
}

void cas_manifest_at(const struct cas_manifest *m, uint64_t i, struct cas_object *out)
{
	const uint8_t *p = m->p + i * ENTRY;

	ORCH_BUG_ON(i >= m->count);
	memcpy(out->digest.b, p, ORCH_DIGEST_BYTES);
	out->fingerprint.lo = orch_le64(p + ORCH_DIGEST_BYTES);
	out->fingerprint.hi = orch_le64(p + ORCH_DIGEST_BYTES + 8);
	out->size = orch_le64(p + ORCH_DIGEST_BYTES + 16);
}

static int check_entries(const struct cas_manifest *m, struct orch_err *err)
{
	struct cas_object o, last;

	for (uint64_t i = 0; i < m->count; i++) {
		cas_manifest_at(m, i, &o);
		if (o.size > INT64_MAX || (i > 0 && orch_digest_cmp(&last.digest, &o.digest) >= 0))
			return orch_err_set(err, ORCH_ECORRUPT, "manifest: a bad entry");
		last = o;
	}
	return 0;
}

int cas_manifest_open(const void *p, size_t len, struct cas_manifest *out, struct orch_err *err)
{
	const uint8_t *b = p;
	struct cas_manifest m;

	if (len < HEAD + TAIL || memcmp(b, MAGIC, 4) != 0)
		return orch_err_set(err, ORCH_ECORRUPT, "manifest: not a manifest");
	if (orch_le16(b + 4) != MANIFEST_VERSION)
		return orch_err_set(
		    err, ORCH_EFORMAT, "manifest: unknown version %u", orch_le16(b + 4));
	m.count = orch_le64(b + 8);
	if (m.count > CAS_MANIFEST_OBJECTS_MAX || len != HEAD + m.count * ENTRY + TAIL ||
	    orch_le16(b + 6) != 0)
		return orch_err_set(err, ORCH_ECORRUPT, "manifest: wrong length");
	if (orch_le64(b + len - TAIL) != orch_xxh64(b, len - TAIL, 0))
		return orch_err_set(err, ORCH_ECORRUPT, "manifest: wrong checksum");
	m.p = b + HEAD;
	if (check_entries(&m, err) < 0)
		return -ORCH_ECORRUPT;
	*out = m;
	return 0;
}

int cas_manifest_find(
    const struct cas_manifest *m, const struct orch_digest *digest, struct cas_object *out)
{
	uint64_t lo = 0, hi = m->count;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		int c = memcmp(m->p + mid * ENTRY, digest->b, ORCH_DIGEST_BYTES);

		if (c == 0) {
			cas_manifest_at(m, mid, out);
			return 0;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -ENOENT;
}
