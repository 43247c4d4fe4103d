/* The answer to the kernel's hello: when idmapped mounts are allowed, and that nothing else of it changes. */
#include "tests/lib/tap.h"
#include "fsd/mount/greet.h"

#define IN_BYTES  104 /* fuse_in_header, fuse_init_in */
#define OUT_BYTES 80  /* fuse_out_header, fuse_init_out */
#define EXT	  (1u << 30)
#define IDMAP	  (1u << 8)

struct hello {
	uint32_t in[IN_BYTES / 4], out[OUT_BYTES / 4];
};

static struct hello make(uint32_t opcode, uint32_t flags, uint32_t flags2, uint32_t error)
{
	struct hello h = {.in = {[0] = IN_BYTES, [1] = opcode, [13] = flags, [14] = flags2},
	    .out = {[0] = OUT_BYTES, [1] = error, [7] = 5, [12] = 3}};

	return h;
}

static bool allow(struct hello *h, size_t in, size_t out)
{
	return mnt_greet_allow(h->in, in, h->out, out);
}

static void test_what_is_offered_is_taken(void **state)
{
	struct hello h = make(26, EXT | 1, IDMAP | 2, 0), before = h;

	(void)state;
	assert_true(allow(&h, IN_BYTES, OUT_BYTES));
	before.out[7] |= EXT;
	before.out[12] |= IDMAP;
	assert_memory_equal(&h, &before, sizeof(h));
}

static void refused(struct hello h, size_t in, size_t out)
{
	struct hello before = h;

	assert_false(allow(&h, in, out));
	assert_memory_equal(&h, &before, sizeof(h));
}

static void test_what_is_not_offered_is_left(void **state)
{
	(void)state;
	refused(make(26, EXT, 0, 0), IN_BYTES, OUT_BYTES);	    /* an older kernel */
	refused(make(26, 0, IDMAP, 0), IN_BYTES, OUT_BYTES);	    /* flags2 means nothing */
	refused(make(26, EXT, IDMAP, 0), 56, OUT_BYTES);	    /* one that has no flags2 */
	refused(make(1, EXT, IDMAP, 0), IN_BYTES, OUT_BYTES);	    /* something else */
	refused(make(26, EXT, IDMAP, (uint32_t)-71), IN_BYTES, 16); /* libfuse says no */
	refused(make(26, EXT, IDMAP, (uint32_t)-71), IN_BYTES, OUT_BYTES);
	refused(make(26, EXT, IDMAP, 0), IN_BYTES, 40); /* an old libfuse's short answer */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_what_is_offered_is_taken),
	    cmocka_unit_test(test_what_is_not_offered_is_left),
	};

	return tap_run(tests);
}
