/*
 * What every codec must survive: each single flipped byte and each truncation of a sample. The
 * bytes are handed over in memory of exactly their size, so that a sanitizer sees a read beyond.
 */
#ifndef ORCH_TESTS_UNIT_FORMAT_HOSTILE_H
#define ORCH_TESTS_UNIT_FORMAT_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "core/hash.h"
#include "tests/lib/tap.h"

/* Parses and fails the test when the bytes are believed though they must not be. */
typedef void hostile_fn(const uint8_t *p, size_t len, void *priv);

static inline void hostile_one(const uint8_t *p, size_t len, hostile_fn *fn, void *priv)
{
	uint8_t *copy = malloc(len == 0 ? 1 : len);

	assert_non_null(copy);
	memcpy(copy, p, len);
	fn(copy, len, priv);
	free(copy);
}

static inline void hostile_flips(const uint8_t *p, size_t len, hostile_fn *fn, void *priv)
{
	static const uint8_t flips[] = {1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x7f, 0x55};
	uint8_t *copy = malloc(len);

	assert_non_null(copy);
	memcpy(copy, p, len);
	for (size_t i = 0; i < len; i++) {
		for (size_t k = 0; k < sizeof(flips); k++) {
			copy[i] ^= flips[k];
			fn(copy, len, priv);
			copy[i] ^= flips[k];
		}
	}
	free(copy);
}

static inline void hostile_cuts(const uint8_t *p, size_t len, hostile_fn *fn, void *priv)
{
	for (size_t n = 0; n < len; n++)
		hostile_one(p, n, fn, priv);
}

/* xorshift64*: ORCH_TEST_SEED, else a new seed, which is printed. */
struct rnd {
	uint64_t s;
};

static inline struct rnd rnd_make(const char *who)
{
	const char *given = getenv("ORCH_TEST_SEED");
	struct rnd r = {0};

	if (given != NULL)
		r.s = strtoull(given, NULL, 0);
	else if (getrandom(&r.s, sizeof(r.s), 0) != sizeof(r.s))
		r.s = 1;
	r.s |= 1;
	printf("# %s: ORCH_TEST_SEED=0x%llx\n", who, (unsigned long long)r.s);
	return r;
}

static inline uint64_t rnd_next(struct rnd *r)
{
	r->s ^= r->s >> 12;
	r->s ^= r->s << 25;
	r->s ^= r->s >> 27;
	return r->s * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t rnd_below(struct rnd *r, uint64_t n)
{
	return rnd_next(r) % n;
}

static inline void rnd_bytes(struct rnd *r, void *p, size_t n)
{
	uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(rnd_next(r) >> 32);
}

static inline struct orch_digest digest_of(const char *text)
{
	struct orch_digest d;

	orch_sha256(text, strlen(text), &d);
	return d;
}

/* A golden value: the SHA-256 of bytes that are written to disk. When one differs, a format has
 * changed: raise its version and keep reading the old one. */
static inline void assert_golden(const void *p, size_t len, const char *hex)
{
	char got[ORCH_DIGEST_HEX + 1];
	struct orch_digest d;

	orch_sha256(p, len, &d);
	orch_digest_format(&d, got);
	assert_string_equal(got, hex);
}

#endif
