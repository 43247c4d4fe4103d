/* Tables of ids of views: what each id is seen as, that no two are seen as one, and that root's is nobody's. */
#include "tests/lib/tap.h"
#include <stdbool.h>
#include "fsd/keeper/idmap.h"

#define LAST 4294967294u
#define NONE UINT32_MAX

static const uint32_t ids[] = {0, 1, 999, 1000, 1001, 65533, 65534, 65535, 100000, LAST - 1, LAST};

static uint32_t to_seen(const struct fsd_idmap_range *v, size_t n, uint32_t fs)
{
	for (size_t i = 0; i < n; i++)
		if (fs >= v[i].fs && fs - v[i].fs < v[i].count)
			return v[i].seen + (fs - v[i].fs);
	return NONE;
}

static uint32_t to_fs(const struct fsd_idmap_range *v, size_t n, uint32_t seen)
{
	for (size_t i = 0; i < n; i++)
		if (seen >= v[i].seen && seen - v[i].seen < v[i].count)
			return v[i].fs + (seen - v[i].seen);
	return NONE;
}

/* The kernel refuses a table whose ranges meet, on either side. */
static bool meet(uint32_t a, uint32_t n, uint32_t b, uint32_t m)
{
	return (uint64_t)a < (uint64_t)b + m && (uint64_t)b < (uint64_t)a + n;
}

static void check_ranges(const struct fsd_idmap_range *v, size_t n)
{
	assert_true(n > 0 && n <= FSD_IDMAP_MAX);
	for (size_t i = 0; i < n; i++) {
		assert_true(v[i].count > 0);
		assert_true((uint64_t)v[i].fs + v[i].count <= UINT32_MAX);
		assert_true((uint64_t)v[i].seen + v[i].count <= UINT32_MAX);
		for (size_t k = 0; k < i; k++) {
			assert_true(!meet(v[i].fs, v[i].count, v[k].fs, v[k].count));
			assert_true(!meet(v[i].seen, v[i].count, v[k].seen, v[k].count));
		}
	}
}

static void check_pair(uint32_t owner, uint32_t user)
{
	struct fsd_idmap_range v[FSD_IDMAP_MAX];
	size_t n = fsd_idmap_plan(owner, user, v);

	check_ranges(v, n);
	assert_int_equal(to_seen(v, n, owner), user);
	assert_int_equal(to_fs(v, n, user), owner);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		uint32_t seen = ids[i], fs = to_fs(v, n, seen);

		if (owner != 0)
			assert_true(fs != 0);
		/* Everybody else may make files, but for the last number, and for the owner's where
		 * it is that. */
		assert_true(fs != NONE || seen == 0 || seen == LAST ||
			    (seen == FSD_IDMAP_NOBODY && owner == LAST));
		if (seen != owner && seen != user && seen != 0 && seen < FSD_IDMAP_NOBODY)
			assert_int_equal(fs, seen);
	}
	if (owner != user && owner != FSD_IDMAP_NOBODY)
		assert_int_equal(to_fs(v, n, owner), FSD_IDMAP_NOBODY);
}

static void test_every_pair_of_ids_has_a_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		for (size_t k = 0; k < sizeof(ids) / sizeof(ids[0]); k++)
			check_pair(ids[i], ids[k]);
}

static void check_text(uint32_t owner, uint32_t user, const char *want)
{
	struct fsd_idmap_range v[FSD_IDMAP_MAX];
	char text[FSD_IDMAP_TEXT];

	fsd_idmap_format(v, fsd_idmap_plan(owner, user, v), text);
	assert_string_equal(text, want);
}

static void test_the_tables_are_these(void **state)
{
	(void)state;
	check_text(0, 0, "0 0 4294967295\n");
	check_text(1000, 1000, "1 1 4294967294\n");
	/* owner 1000, container's root */
	check_text(1000, 0,
	    "1 1 999\n1000 0 1\n1001 1001 64533\n65534 1000 1\n65535 65535 4294901759\n"
	    "4294967294 65534 1\n");
	/* root's, container's user 1000 */
	check_text(0, 1000,
	    "0 1000 1\n1 1 999\n1001 1001 64533\n65534 0 1\n65535 65535 4294901759\n"
	    "4294967294 65534 1\n");
	check_text(1000, 65534,
	    "1 1 999\n1000 65534 1\n1001 1001 64533\n65534 1000 1\n"
	    "65535 65535 4294901760\n");
	check_text(65534, 0, "1 1 65533\n65534 0 1\n65535 65535 4294901759\n4294967294 65534 1\n");
	check_text(100000, 200000,
	    "1 1 65533\n65534 100000 1\n65535 65535 34465\n100000 200000 1\n100001 100001 99999\n"
	    "200001 200001 4294767293\n4294967294 65534 1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_pair_of_ids_has_a_table),
	    cmocka_unit_test(test_the_tables_are_these),
	};

	return tap_run(tests);
}
