/* The hashes against published vectors, and the streams against the one-shot forms. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/hash.h"
#include "core/hash_xxh.h"

static void assert_sha256(const void *p, size_t n, const char *hex)
{
	char text[ORCH_DIGEST_HEX + 1];
	struct orch_digest d;

	orch_sha256(p, n, &d);
	orch_digest_format(&d, text);
	assert_string_equal(text, hex);
}

static void sha256_vectors(void **state)
{
	/* FIPS 180-4 examples */
	assert_sha256(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_sha256("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
	    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void digests_parse_strictly(void **state)
{
	static const char good[] =
	    "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	char text[ORCH_DIGEST_HEX + 2];
	struct orch_digest d, want;

	orch_sha256("abc", 3, &want);
	assert_int_equal(orch_digest_parse(good, &d), 0);
	assert_true(orch_digest_eq(&d, &want));
	assert_int_equal(orch_digest_cmp(&d, &want), 0);
	assert_int_equal(orch_digest_parse("", &d), -EINVAL);
	memcpy(text, good, sizeof(good));
	text[63] = '\0';
	assert_int_equal(orch_digest_parse(text, &d), -EINVAL);
	memcpy(text, good, sizeof(good));
	text[64] = '0';
	text[65] = '\0';
	assert_int_equal(orch_digest_parse(text, &d), -EINVAL);
	memcpy(text, good, sizeof(good));
	text[10] = 'g';
	assert_int_equal(orch_digest_parse(text, &d), -EINVAL);
	assert_true(orch_digest_eq(&d, &want));
}

static void null_digest(void **state)
{
	struct orch_digest d = {{0}};

	assert_true(orch_digest_is_null(&d));
	d.b[31] = 1;
	assert_false(orch_digest_is_null(&d));
}

static void streams_equal_one_shot(void **state)
{
	static uint8_t data[10000];
	struct orch_sha256 *s = orch_sha256_new();
	struct orch_xxh128 *x = orch_xxh128_new();
	struct orch_fingerprint whole, pieces, other;
	struct orch_digest one, many;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (int round = 0; round < 2; round++) {
		orch_sha256_reset(s);
		orch_xxh128_reset(x, 0);
		for (size_t at = 0, n; at < sizeof(data); at += n) {
			n = at % 77 + 1;
			n = n > sizeof(data) - at ? sizeof(data) - at : n;
			orch_sha256_add(s, data + at, n);
			orch_xxh128_add(x, data + at, n);
		}
		orch_sha256_end(s, &many);
		orch_xxh128_end(x, &pieces);
	}
	orch_sha256(data, sizeof(data), &one);
	assert_true(orch_digest_eq(&one, &many));
	orch_xxh128_reset(x, 0);
	orch_xxh128_add(x, data, sizeof(data));
	orch_xxh128_end(x, &whole);
	assert_true(whole.lo == pieces.lo && whole.hi == pieces.hi);
	orch_xxh128_reset(x, 12345);
	orch_xxh128_add(x, data, sizeof(data));
	orch_xxh128_end(x, &other);
	assert_false(whole.lo == other.lo || whole.hi == other.hi);
	orch_sha256_free(s);
	orch_xxh128_free(x);
	orch_sha256_free(NULL);
	orch_xxh128_free(NULL);
}

static void xxh_vectors(void **state)
{
	struct orch_xxh128 *x = orch_xxh128_new();
	struct orch_fingerprint f;

	/* the library's own sanity values for the empty input */
	assert_true(orch_xxh64(NULL, 0, 0) == UINT64_C(0x2D06800538D394C2));
	orch_xxh128_end(x, &f);
	assert_true(f.lo == UINT64_C(0x6001C324468D497F) && f.hi == UINT64_C(0x99AA06D3014798D8));
	assert_true(orch_xxh64("a", 1, 0) != orch_xxh64("a", 1, 1));
	orch_xxh128_free(x);
}

static void file_of(size_t bytes, int *out_fd, uint8_t **out_data)
{
	uint8_t *data = malloc(bytes + 1);
	int fd = memfd_create("hash", MFD_CLOEXEC);

	assert_true(fd >= 0 && data);
	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(i ^ (i >> 8) ^ (i >> 16));
	assert_int_equal(write(fd, data, bytes), (ssize_t)bytes);
	*out_fd = fd;
	*out_data = data;
}

static void files_of_many_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 262143, 262144, 262145, 3000001};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(sizes); i++) {
		struct orch_xxh128 *x = orch_xxh128_new();
		struct orch_fingerprint fp, want_fp;
		struct orch_digest d, want;
		uint64_t bytes = 1;
		uint8_t *data;
		int fd;

		file_of(sizes[i], &fd, &data);
		assert_int_equal(orch_hash_fd(fd, 9, &d, &fp, &bytes, NULL), 0);
		assert_true(bytes == sizes[i]);
		orch_sha256(data, sizes[i], &want);
		assert_true(orch_digest_eq(&d, &want));
		orch_xxh128_reset(x, 9);
		orch_xxh128_add(x, data, sizes[i]);
		orch_xxh128_end(x, &want_fp);
		assert_true(fp.lo == want_fp.lo && fp.hi == want_fp.hi);
		assert_int_equal(orch_hash_fd(fd, 9, NULL, &fp, NULL, NULL), 0);
		assert_true(fp.lo == want_fp.lo);
		orch_xxh128_free(x);
		free(data);
		close(fd);
	}
}

/* Every length class of the algorithm, with all the widths that there are. */
static void widths_agree(void **state)
{
#ifdef __x86_64__
	static uint8_t data[5000];

	if (!__builtin_cpu_supports("avx2")) {
		print_message("# this processor has no AVX2\n");
		skip();
	}
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 253);
	for (size_t n = 0; n <= sizeof(data); n += n < 300 ? 1 : 97) {
		struct hash_xxh_state a, b;
		struct orch_fingerprint fa, fb;

		assert_true(
		    orch_hash_xxh_base.hash64(data, n, n) == orch_hash_xxh_avx2.hash64(data, n, n));
		orch_hash_xxh_base.reset(&a, n);
		orch_hash_xxh_avx2.reset(&b, n);
		orch_hash_xxh_base.add(&a, data, n);
		orch_hash_xxh_avx2.add(&b, data, n);
		orch_hash_xxh_base.end(&a, &fa);
		orch_hash_xxh_avx2.end(&b, &fb);
		assert_true(fa.lo == fb.lo && fa.hi == fb.hi);
	}
#else
	skip();
#endif
}

static void bad_descriptor_is_an_error(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest d;

	assert_int_equal(orch_hash_fd(-1, 0, &d, NULL, NULL, &err), -EBADF);
	assert_int_equal(err.code, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sha256_vectors),
	    cmocka_unit_test(digests_parse_strictly),
	    cmocka_unit_test(null_digest),
	    cmocka_unit_test(streams_equal_one_shot),
	    cmocka_unit_test(xxh_vectors),
	    cmocka_unit_test(files_of_many_sizes),
	    cmocka_unit_test(widths_agree),
	    cmocka_unit_test(bad_descriptor_is_an_error),
	};

	return tap_run(tests);
}
