/* The text of /proc/self/mountinfo. */
#include "core/mounts.h"
#include <stdlib.h>
#include "tests/lib/tap.h"

static const char text[] =
    "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
    "30 22 0:45 / /run/orch/mnt/w rw,nosuid - fuse.orch orch:w rw,user_id=0\n"
    "31 22 0:46 / /with\\040blank\\134\\011 rw opt:1 opt:2 - fuse orch rw\n"
    "32 22 0:47 / /twice rw - tmpfs none rw\n"
    "33 22 0:48 / /twice rw - fuse.orch orch rw\n"
    "short line\n"
    "34 22 0:49 / /no-dash rw";

static bool find(const char *path, struct orch_mount *out)
{
	*out = (struct orch_mount){0};
	return orch_mounts_pick(text, strlen(text), path, out);
}

static void finds_the_mount(void **state)
{
	struct orch_mount m;

	(void)state;
	assert_true(find("/run/orch/mnt/w", &m));
	assert_int_equal(m.minor, 45);
	assert_int_equal(m.id, 30);
	assert_string_equal(m.source, "orch:w");
	assert_string_equal(m.type, "fuse.orch");
	assert_true(find("/with blank\\\t", &m));
	assert_int_equal(m.minor, 46);
	assert_true(find("/twice", &m));
	assert_int_equal(m.minor, 48);
	assert_true(find("/no-dash", &m));
	assert_string_equal(m.type, "");
}

static bool picks_but(const char *info, unsigned minor, const char *a, const char *b)
{
	const char *const but_on[] = {a, b, NULL};
	struct orch_mount m;

	return orch_mounts_pick_device(info, strlen(info), 0, minor, but_on, &m);
}

static void lists_those_of_a_source(void **state)
{
	static const char info[] =
	    "30 22 0:45 / /m/w rw - fuse.orch orch:w rw\n"
	    "31 22 0:46 / /m/x rw - fuse.orch orch:x rw\n"
	    "32 22 0:45 / /m/.views/w.0.0 rw,idmapped - fuse.orch orch:w rw\n"
	    "33 22 0:45 / /m/y rw - fuse orch:w rw\n";
	struct orch_mount m[3];

	(void)state;
	assert_int_equal(
	    orch_mounts_list_source(info, strlen(info), "fuse.orch", "orch:w", m, 3), 2);
	assert_int_equal(m[0].id, 30);
	assert_string_equal(m[1].path, "/m/.views/w.0.0");
	assert_int_equal(
	    orch_mounts_list_source(info, strlen(info), "fuse.orch", "orch:w", m, 1), 1);
	assert_int_equal(
	    orch_mounts_list_source(info, strlen(info), "fuse.orch", "orch:", m, 3), 0);
}

static void finds_by_id(void **state)
{
	struct orch_mount m;

	(void)state;
	assert_true(orch_mounts_pick_id(text, strlen(text), 32, &m));
	assert_string_equal(m.path, "/twice");
	assert_string_equal(m.type, "tmpfs");
	assert_true(orch_mounts_pick_id(text, strlen(text), 31, &m));
	assert_string_equal(m.path, "/with blank\\\t");
	assert_false(orch_mounts_pick_id(text, strlen(text), 3, &m));
	assert_true(orch_mounts_pick_source(text, strlen(text), "fuse.orch", "orch:w", &m));
	assert_int_equal(m.id, 30);
	assert_false(orch_mounts_pick_source(text, strlen(text), "fuse", "orch:w", &m));
	assert_false(orch_mounts_pick_id(text, strlen(text), 0, &m));
	assert_true(orch_mounts_pick_device(text, strlen(text), 0, 47, NULL, &m));
	assert_int_equal(m.id, 32);
	assert_true(picks_but(text, 47, "/elsewhere", NULL));
	assert_false(picks_but(text, 47, "/twice", NULL));
	assert_false(picks_but(text, 47, "/elsewhere", "/twice"));
	assert_false(picks_but(text, 45, "/mnt/w", NULL));
	assert_true(picks_but(text, 45, "/t/w", "/w2"));
	assert_false(picks_but(text, 45, "/mnt/", NULL));
	assert_true(picks_but(text, 45, "/orch/", "/w/"));
	assert_false(orch_mounts_pick_device(text, strlen(text), 8, 47, NULL, &m));
	assert_false(orch_mounts_pick_device(text, strlen(text), 0, 0, NULL, &m));
}

static void finds_no_other(void **state)
{
	struct orch_mount m;

	(void)state;
	assert_false(find("/run/orch/mnt", &m));
	assert_false(find("/run/orch/mnt/w/", &m));
	assert_false(find("/run/orch/mnt/wx", &m));
	assert_false(find("", &m));
	assert_false(orch_mounts_pick("", 0, "/", &m));
}

/* In memory of just their size: nothing behind the text is looked at. */
static void ends_with_the_text(void **state)
{
	static const char *const texts[] = {
	    "1 2 8:1 / /m", "1 2 8 / /m", "1 2 8:12 / /m - fuse", "1 2 8:1 / /m\\000\\000"};
	struct orch_mount m;

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(texts); i++) {
		size_t n = strlen(texts[i]);
		char *exact = malloc(n);

		assert_non_null(exact);
		memcpy(exact, texts[i], n);
		m = (struct orch_mount){0};
		assert_int_equal(orch_mounts_pick(exact, n, "/m", &m), i < 3);
		assert_string_equal(m.type, i == 2 ? "fuse" : "");
		assert_int_equal(m.minor, i == 0 ? 1 : i == 2 ? 12 : 0);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_the_mount),
	    cmocka_unit_test(lists_those_of_a_source),
	    cmocka_unit_test(finds_by_id),
	    cmocka_unit_test(finds_no_other),
	    cmocka_unit_test(ends_with_the_text),
	};

	return tap_run(tests);
}
