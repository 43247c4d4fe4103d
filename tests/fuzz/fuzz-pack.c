/* Packs: as they are, and with the checksums of header, index and footer made right; and one that is made of the
 * input's lines, in which each is found. */
#include "format/pack.h"
#include "tests/lib/fuzz.h"

static void read_all(const uint8_t *data, size_t size)
{
	struct fmt_pack_record r, found;
	struct fmt_pack k;

	if (fmt_pack_open(data, size, &k, NULL) < 0)
		return;
	for (uint32_t i = 0; i < k.count; i++) {
		if (fmt_pack_at(&k, i, &r, NULL) < 0)
			continue;
		if (!fmt_pack_has(&k, r.kind, &r.digest) ||
		    fmt_pack_find(&k, r.kind, &r.digest, &found, NULL) != 0 || found.p != r.p)
			abort();
	}
}

static void put_sum(uint8_t *at, const uint8_t *p, size_t n)
{
	uint64_t sum = orch_xxh64(p, n, 0);

	memcpy(at, &sum, sizeof(sum));
}

static void is_found(const struct fmt_pack *k, const uint8_t *p, size_t n)
{
	struct fmt_pack_record r;
	struct orch_digest d;

	orch_sha256(p, n, &d);
	fuzz_must(fmt_pack_has(k, FMT_PACK_OBJECT, &d) && !fmt_pack_has(k, FMT_PACK_TREE, &d));
	fuzz_must(fmt_pack_find(k, FMT_PACK_OBJECT, &d, &r, NULL) == 0);
	fuzz_must(r.kind == FMT_PACK_OBJECT && r.len == n && orch_digest_eq(&r.digest, &d));
	fuzz_must(n == 0 || memcmp(r.p, p, n) == 0);
	d.b[31] ^= 1;
	fuzz_must(fmt_pack_find(k, FMT_PACK_OBJECT, &d, &r, NULL) == -ENOENT);
}

static void make_one(struct fuzz_input in)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_buf out = ORCH_BUF_INIT;
	struct fuzz_input rest = in;
	struct fmt_pack k;
	uint32_t count = 0;

	fuzz_must(w != NULL && fmt_pack_writer_begin(w, &out) == 0);
	while (rest.left > 0) {
		struct fuzz_input line = fuzz_part(&rest, '\n');
		struct orch_digest d;
		int r;

		orch_sha256(line.p, line.left, &d);
		r = fmt_pack_writer_add(w, FMT_PACK_OBJECT, &d, line.p, line.left, &out);
		fuzz_must(r == 0 || r == -EEXIST);
		count += r == 0;
	}
	fuzz_must(fmt_pack_writer_end(w, &out) == 0);
	fuzz_must(fmt_pack_open(out.data, out.len, &k, NULL) == 0 && k.count == count);
	while (in.left > 0) {
		struct fuzz_input line = fuzz_part(&in, '\n');

		is_found(&k, line.p, line.left);
	}
	orch_buf_fini(&out);
	fmt_pack_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t index_at;
	uint8_t *p, *foot;

	read_all(data, size);
	make_one((struct fuzz_input){data, size});
	if (size < 64)
		return 0;
	p = malloc(size);
	if (p == NULL)
		return 0;
	memcpy(p, data, size);
	foot = p + size - 48;
	index_at = orch_le64(foot + 16);
	put_sum(p + 8, p, 8);
	if (index_at <= size - 48)
		put_sum(foot + 32, p + index_at, size - 48 - index_at);
	put_sum(foot + 40, foot, 40);
	read_all(p, size);
	free(p);
	return 0;
}
