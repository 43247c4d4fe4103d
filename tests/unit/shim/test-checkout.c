/* What a checkout says of itself. */
#include "tests/lib/tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "core/fd.h"
#include "shim/checkout.h"

#define SHA "0123456789012345678901234567890123456789"

static char folder[] = "/tmp/orch-test-checkout-XXXXXX";

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return orch_remove_tree(AT_FDCWD, folder, NULL);
}

static void put(const char *name, const char *text)
{
	char path[300];
	int n = snprintf(path, sizeof(path), "%s/%s", folder, name);

	assert_true(n > 0 && n < (int)sizeof(path));
	*strrchr(path, '/') = '\0';
	assert_int_equal(orch_mkdirs(AT_FDCWD, path, 0700, NULL), 0);
	path[strlen(path)] = '/';
	assert_int_equal(orch_file_save(AT_FDCWD, path, text, strlen(text), 0600, NULL), 0);
}

static void expect(const char *dir, const char *remote, const char *branch, const char *commit)
{
	struct shim_checkout c;
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", folder, dir);
	assert_int_equal(shim_checkout_read(path, &c), 0);
	assert_string_equal(c.remote ? c.remote : "-", remote);
	assert_string_equal(c.branch ? c.branch : "-", branch);
	assert_string_equal(c.commit ? c.commit : "-", commit);
	shim_checkout_fini(&c);
}

static void test_no_checkout(void **state)
{
	expect("nothing", "-", "-", "-");
}

static void test_a_branch(void **state)
{
	put("a/.git/HEAD", "ref: refs/heads/feature/x\n");
	put("a/.git/config",
	    "[core]\n\tbare = false\n[remote \"up\"]\n\turl = https://example.org/up\n"
	    "[remote \"origin\"]\n\turl = https://example.org/o.git\n\tfetch = +refs/*\n");
	expect("a", "https://example.org/o.git", "feature/x", "-");
	put("a/.git/packed-refs",
	    "# pack-refs\n" SHA " refs/heads/feature/xy\n" SHA " refs/heads/feature/x\n");
	expect("a", "https://example.org/o.git", "feature/x", SHA);
	put("a/.git/refs/heads/feature/x", "1123456789012345678901234567890123456789\n");
	expect("a", "https://example.org/o.git", "feature/x",
	    "1123456789012345678901234567890123456789");
}

static void test_a_detached_head(void **state)
{
	put("b/.git/HEAD", SHA "\n");
	expect("b", "-", "-", SHA);
}

static void test_a_worktree(void **state)
{
	put("c/.git", "gitdir: ../m/.git/worktrees/c\n");
	put("m/.git/worktrees/c/HEAD", "ref: refs/heads/w\n");
	put("m/.git/worktrees/c/commondir", "../..\n");
	put("m/.git/config", "[remote \"origin\"]\nurl=/srv/x\n");
	put("m/.git/refs/heads/w", SHA "\n");
	expect("c", "/srv/x", "w", SHA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_checkout),
	    cmocka_unit_test(test_a_branch),
	    cmocka_unit_test(test_a_detached_head),
	    cmocka_unit_test(test_a_worktree),
	};

	return tap_run_with(tests, make_folder, remove_folder);
}
