/*
 * The doors to SHA-256 (libcrypto) and XXH3 (xxHash). SHA-256 answers "what is it", XXH3 answers
 * "has it changed" (docs/architecture.md). Only hash.c includes those libraries' headers.
 */
#ifndef ORCH_CORE_HASH_H
#define ORCH_CORE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "core/compiler.h"
#include "core/err.h"

#define ORCH_DIGEST_BYTES 32
#define ORCH_DIGEST_HEX	  64

struct orch_digest {
	uint8_t b[ORCH_DIGEST_BYTES];
};

static inline bool orch_digest_eq(const struct orch_digest *a, const struct orch_digest *b)
{
	return memcmp(a->b, b->b, ORCH_DIGEST_BYTES) == 0;
}
static inline int orch_digest_cmp(const struct orch_digest *a, const struct orch_digest *b)
{
	return memcmp(a->b, b->b, ORCH_DIGEST_BYTES);
}
/* All zeros: "no digest". */
bool orch_digest_is_null(const struct orch_digest *d) ORCH_NONNULL(1);

/* 64 lower-case hex digits and a NUL. */
void orch_digest_format(const struct orch_digest *d, char out[ORCH_DIGEST_HEX + 1]) ORCH_NONNULL(1);
/* Exactly 64 hex digits, either case; -EINVAL otherwise. */
int orch_digest_parse(const char *hex, struct orch_digest *out) ORCH_NONNULL(1, 2) ORCH_WUR;

/* One-shot SHA-256. */
void orch_sha256(const void *p, size_t n, struct orch_digest *out) ORCH_NONNULL(3);

struct orch_sha256;				    /* streaming; one thread at a time */
struct orch_sha256 *orch_sha256_new(void) ORCH_WUR; /* NULL: no memory */
void orch_sha256_reset(struct orch_sha256 *s) ORCH_NONNULL(1);
void orch_sha256_add(struct orch_sha256 *s, const void *p, size_t n) ORCH_NONNULL(1);
void orch_sha256_end(struct orch_sha256 *s, struct orch_digest *out) ORCH_NONNULL(1, 2);
void orch_sha256_free(struct orch_sha256 *s);

/* XXH3, 64 bits, with a seed (0 for plain record checksums). */
uint64_t orch_xxh64(const void *p, size_t n, uint64_t seed);

struct orch_fingerprint {
	uint64_t lo, hi;
};

struct orch_xxh128; /* streaming XXH3, 128 bits, keyed with the store's secret seed */
struct orch_xxh128 *orch_xxh128_new(void) ORCH_WUR;
void orch_xxh128_reset(struct orch_xxh128 *s, uint64_t seed) ORCH_NONNULL(1);
void orch_xxh128_add(struct orch_xxh128 *s, const void *p, size_t n) ORCH_NONNULL(1);
void orch_xxh128_end(struct orch_xxh128 *s, struct orch_fingerprint *out) ORCH_NONNULL(1, 2);
void orch_xxh128_free(struct orch_xxh128 *s);

/* Reads [0, EOF) of fd by pread in large blocks. out_sha, out_fp may be NULL (not computed).
 * *out_bytes is what was read. 0 or -errno. Blocks on I/O. */
int orch_hash_fd(int fd, uint64_t seed, struct orch_digest *out_sha,
    struct orch_fingerprint *out_fp, uint64_t *out_bytes, struct orch_err *err) ORCH_WUR;

#endif
