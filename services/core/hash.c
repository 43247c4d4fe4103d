/*
 * SHA-256 and XXH3. Of libcrypto the SHA256_* functions are used and not EVP: they can't fail, need
 * no memory and don't make the library read its configuration at the start of a short command,
 * and run the same SHA-NI code. A stream belongs to one thread at a time.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "core/fault.h"
#include "core/hash_xxh.h"

#define HASH_BLOCK_BYTES ((size_t)256 << 10) /* stays in the second-level cache */

bool orch_digest_is_null(const struct orch_digest *d)
{
	uint8_t all = 0;

	for (size_t i = 0; i < ORCH_DIGEST_BYTES; i++)
		all |= d->b[i];
	return all == 0;
}

void orch_digest_format(const struct orch_digest *d, char out[ORCH_DIGEST_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < ORCH_DIGEST_BYTES; i++) {
		out[2 * i] = digits[d->b[i] >> 4];
		out[2 * i + 1] = digits[d->b[i] & 15];
	}
	out[ORCH_DIGEST_HEX] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int orch_digest_parse(const char *hex, struct orch_digest *out)
{
	struct orch_digest d;

	for (size_t i = 0; i < ORCH_DIGEST_BYTES; i++) {
		int hi = hex_value(hex[2 * i]);
		int lo = hi < 0 ? -1 : hex_value(hex[2 * i + 1]);

		if (lo < 0)
			return -EINVAL;
		d.b[i] = (uint8_t)(hi << 4 | lo);
	}
	if (hex[ORCH_DIGEST_HEX] != '\0')
		return -EINVAL;
	*out = d;
	return 0;
}

struct orch_sha256 {
	SHA256_CTX ctx;
};

void orch_sha256(const void *p, size_t n, struct orch_digest *out)
{
	SHA256_CTX ctx;

	SHA256_Init(&ctx);
	SHA256_Update(&ctx, p, n);
	SHA256_Final(out->b, &ctx);
}

struct orch_sha256 *orch_sha256_new(void)
{
	struct orch_sha256 *s = malloc(sizeof(*s));

	if (s)
		orch_sha256_reset(s);
	return s;
}

void orch_sha256_reset(struct orch_sha256 *s)
{
	SHA256_Init(&s->ctx);
}

void orch_sha256_add(struct orch_sha256 *s, const void *p, size_t n)
{
	SHA256_Update(&s->ctx, p, n);
}

void orch_sha256_end(struct orch_sha256 *s, struct orch_digest *out)
{
	SHA256_Final(out->b, &s->ctx);
}

void orch_sha256_free(struct orch_sha256 *s)
{
	free(s);
}

/* What this processor can. */
static const struct hash_xxh_ops *xxh(void)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return &orch_hash_xxh_avx2;
#endif
	return &orch_hash_xxh_base;
}

uint64_t orch_xxh64(const void *p, size_t n, uint64_t seed)
{
	return xxh()->hash64(p, n, seed);
}

struct orch_xxh128 {
	struct hash_xxh_state state;
};

struct orch_xxh128 *orch_xxh128_new(void)
{
	struct orch_xxh128 *s = NULL;

	if (!orch_fault(ORCH_FAULT_ALLOC))
		s = aligned_alloc(_Alignof(struct orch_xxh128), sizeof(*s));
	if (s)
		orch_xxh128_reset(s, 0);
	return s;
}

void orch_xxh128_reset(struct orch_xxh128 *s, uint64_t seed)
{
	xxh()->reset(&s->state, seed);
}

void orch_xxh128_add(struct orch_xxh128 *s, const void *p, size_t n)
{
	xxh()->add(&s->state, p, n);
}

void orch_xxh128_end(struct orch_xxh128 *s, struct orch_fingerprint *out)
{
	xxh()->end(&s->state, out);
}

void orch_xxh128_free(struct orch_xxh128 *s)
{
	free(s);
}

struct fd_hashes {
	SHA256_CTX *sha;
	struct hash_xxh_state *xxh;
};

static int hash_blocks(
    int fd, const struct fd_hashes *h, uint8_t *block, size_t block_bytes, uint64_t *out_bytes)
{
	uint64_t at = 0;

	for (;;) {
		ssize_t n = pread(fd, block, block_bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (h->sha)
			SHA256_Update(h->sha, block, (size_t)n);
		if (h->xxh)
			xxh()->add(h->xxh, block, (size_t)n);
		at += (uint64_t)n;
	}
	*out_bytes = at;
	return 0;
}

/* One byte more than a small file has, so that one read sees all of it. */
static size_t block_size(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size < (off_t)HASH_BLOCK_BYTES)
		return (size_t)st.st_size + 1;
	return HASH_BLOCK_BYTES;
}

int orch_hash_fd(int fd, uint64_t seed, struct orch_digest *out_sha,
    struct orch_fingerprint *out_fp, uint64_t *out_bytes, struct orch_err *err)
{
	size_t block_bytes = block_size(fd);
	orch_auto(free) uint8_t *block = NULL;
	struct fd_hashes h = {NULL, NULL};
	struct hash_xxh_state state;
	SHA256_CTX sha;
	uint64_t bytes = 0;
	int r;

	block = malloc(block_bytes);
	if (!block)
		return orch_err_sys(err, ENOMEM, "cannot hash a file");
	if (out_sha) {
		SHA256_Init(&sha);
		h.sha = &sha;
	}
	if (out_fp) {
		xxh()->reset(&state, seed);
		h.xxh = &state;
	}
	r = hash_blocks(fd, &h, block, block_bytes, &bytes);
	if (r < 0)
		return orch_err_sys(err, -r, "cannot read a file to hash it");
	if (out_sha)
		SHA256_Final(out_sha->b, &sha);
	if (out_fp)
		xxh()->end(&state, out_fp);
	if (out_bytes)
		*out_bytes = bytes;
	return 0;
}
