/* The text of /proc/self/mountinfo. */
#include "fsd/keeper/mountpoint.h"
#include <stdlib.h>
#include "tests/lib/tap.h"

static const char text[] = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
			   "30 22 0:45 / /run/orch/mnt/w rw,nosuid - fuse.orch orch rw,user_id=0\n"
			   "31 22 0:46 / /with\\040blank\\134\\011 rw opt:1 opt:2 - fuse orch rw\n"
			   "32 22 0:47 / /twice rw - tmpfs none rw\n"
			   "33 22 0:48 / /twice rw - fuse.orch orch rw\n"
			   "short line\n"
			   "34 22 0:49 / /no-dash rw";

static bool find(const char *path, struct fsd_mountinfo *out)
{
	*out = (struct fsd_mountinfo){0};
	return fsd_mountinfo_find(text, strlen(text), path, out);
}

static void finds_the_mount(void **state)
{
	struct fsd_mountinfo m;

	(void)state;
	assert_true(find("/run/orch/mnt/w", &m));
	assert_int_equal(m.minor, 45);
	assert_string_equal(m.type, "fuse.orch");
	assert_true(find("/with blank\\\t", &m));
	assert_int_equal(m.minor, 46);
	assert_true(find("/twice", &m));
	assert_int_equal(m.minor, 48);
	assert_true(find("/no-dash", &m));
	assert_string_equal(m.type, "");
}

static void finds_no_other(void **state)
{
	struct fsd_mountinfo m;

	(void)state;
	assert_false(find("/run/orch/mnt", &m));
	assert_false(find("/run/orch/mnt/w/", &m));
	assert_false(find("/run/orch/mnt/wx", &m));
	assert_false(find("", &m));
	assert_false(fsd_mountinfo_find("", 0, "/", &m));
}

/* In memory of just their size: nothing behind the text is looked at. */
static void ends_with_the_text(void **state)
{
	static const char *const texts[] = {
	    "1 2 8:1 / /m", "1 2 8 / /m", "1 2 8:12 / /m - fuse", "1 2 8:1 / /m\\000\\000"};
	struct fsd_mountinfo m;

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(texts); i++) {
		size_t n = strlen(texts[i]);
		char *exact = malloc(n);

		assert_non_null(exact);
		memcpy(exact, texts[i], n);
		m = (struct fsd_mountinfo){0};
		assert_int_equal(fsd_mountinfo_find(exact, n, "/m", &m), i < 3);
		assert_string_equal(m.type, i == 2 ? "fuse" : "");
		assert_int_equal(m.minor, i == 0 ? 1 : i == 2 ? 12 : 0);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_the_mount),
	    cmocka_unit_test(finds_no_other),
	    cmocka_unit_test(ends_with_the_text),
	};

	return tap_run(tests);
}
