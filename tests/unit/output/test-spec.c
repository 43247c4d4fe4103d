/* The list of outputs: what is accepted, which line decides, where a walk may stop. */
#include "output/spec.h"
#include <stdio.h>
#include "tests/lib/tap.h"

static struct out_specs *specs(const char *const *v, size_t n)
{
	struct out_specs *s = out_specs_new();
	struct orch_err err = ORCH_ERR_INIT;

	for (size_t i = 0; i < n; i++) {
		if (out_specs_add(s, v[i], &err) < 0)
			fail_msg("%s", err.msg);
	}
	return s;
}

/* A path as a walk comes to it: every folder above it first. */
static bool takes(const struct out_specs *s, const char *path, bool is_dir)
{
	char part[256];
	int line = -1;

	for (const char *p = strchr(path, '/'); p != NULL; p = strchr(p + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		line = out_specs_line(s, 0, part, true, line);
	}
	return out_specs_takes(s, 0, out_specs_line(s, 0, path, is_dir, line));
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {"bin", "=x", "bin=", "bin=!", "bin=./", "a b=x", ".a=x",
	    "-a=x", "a/b=x", "bin=../x", "bin=a/../b", "bin=a/..", "bin=x,requird", "bin=/",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=x"};
	struct out_specs *s = out_specs_new();
	struct orch_err err = ORCH_ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err.msg[0] = '\0';
		assert_int_equal(out_specs_add(s, bad[i], &err), -ORCH_EUSAGE);
		assert_true(strlen(err.msg) > 10);
	}
	assert_int_equal(out_specs_count(s), 0);
	out_specs_free(s);
	out_specs_free(NULL);
}

static void test_parts(void **state)
{
	static const char *const v[] = {"bin=shim/orch-shim,required", "logs=*.log,optional",
	    "odd=a,b.txt", "bin=x=y", "cls=a[,]b", "dots=..a"};
	struct out_specs *s = specs(v, 6);

	assert_int_equal(out_specs_count(s), 5);
	assert_string_equal(out_specs_name(s, 0), "bin");
	assert_true(out_specs_required(s, 0));
	assert_false(out_specs_required(s, 1));
	assert_true(takes(s, "shim/orch-shim", false));
	assert_false(takes(s, "x/shim/orch-shim", false)); /* a '/' inside anchors */
	assert_true(takes(s, "x=y", false));
	assert_true(out_specs_line(s, 1, "a/b/c.log", false, -1) >= 0);
	assert_true(out_specs_line(s, 2, "a,b.txt", false, -1) >= 0);
	out_specs_free(s);
}

static void test_last_line_decides(void **state)
{
	static const char *const v[] = {"o=./dist/", "o=!*.pdb", "o=dist/keep.pdb"};
	static const char *const w[] = {"o=!*.pdb", "o=dist/"};
	struct out_specs *s = specs(v, 3);

	assert_true(takes(s, "dist", true));
	assert_false(takes(s, "dist", false)); /* folders only */
	assert_true(takes(s, "dist/a/b.bin", false));
	assert_false(takes(s, "dist/a/b.pdb", false));
	assert_true(takes(s, "dist/keep.pdb", false));
	assert_false(takes(s, "other/a", false));
	out_specs_free(s);
	s = specs(w, 2); /* the other way round: dist decides */
	assert_true(takes(s, "dist/b.pdb", false));
	out_specs_free(s);
}

static void test_below(void **state)
{
	static const char *const v[] = {"o=build/*/out/*.bin", "o=!secret/x"};
	static const char *const w[] = {"o=*.o"}, *const x[] = {"o=a/**/z"},
				 *const y[] = {"o=/top"};
	struct out_specs *s = specs(v, 2);

	assert_true(out_specs_below(s, 0, "build"));
	assert_true(out_specs_below(s, 0, "build/linux"));
	assert_true(out_specs_below(s, 0, "build/linux/out"));
	assert_false(out_specs_below(s, 0, "build/linux/obj"));
	assert_false(out_specs_below(s, 0, "build/linux/out/deep"));
	assert_false(out_specs_below(s, 0, "src"));
	assert_false(out_specs_below(s, 0, "secret"));
	out_specs_free(s);
	s = specs(w, 1);
	assert_true(out_specs_below(s, 0, "any/where"));
	out_specs_free(s);
	s = specs(x, 1);
	assert_true(out_specs_below(s, 0, "a/b/c/d"));
	assert_false(out_specs_below(s, 0, "b"));
	out_specs_free(s);
	s = specs(y, 1);
	assert_false(out_specs_below(s, 0, "src"));
	out_specs_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_last_line_decides),
	    cmocka_unit_test(test_below),
	};

	return tap_run(tests);
}
