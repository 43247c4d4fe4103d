/* Each call of a collection of outputs fails once: told, and what it says to have collected is there. */
#include "tests/lib/torture.h"

#include "output/collect.h"
#include "tests/unit/output/place.h"

struct job {
	struct place tree, to;
	struct out_specs *specs;
	bool told;
	size_t skipped;
};

static void empty(void *priv)
{
	struct job *j = priv;

	place_free(&j->to);
	j->to = place_new();
}

static int collect(void *priv)
{
	struct job *j = priv;
	struct out_collect_options options = {.changes = NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct out_collection c;
	int r = out_collect(j->tree.fd, j->specs, j->to.fd, &options, &c, &err);

	j->told = r < 0 ? err.msg[0] != 0 : true;
	j->skipped = c.skipped_count;
	out_collection_fini(&c);
	return r;
}

static void check(void *priv, int r, const char *failed)
{
	static const char *const files[] = {"bin/dist/game", "bin/dist/data/level", "logs/a/x.log"};
	struct job *j = priv;

	if (!j->told)
		fail_msg("%s: %d, and no word of it", failed, r);
	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(files); i++)
		if (!exists(j->to.fd, files[i]) && j->skipped == 0)
			fail_msg("%s: %s is missing, and nothing tells it", failed, files[i]);
}

static void test_collect(void **state)
{
	struct job j = {.tree = place_new(), .to = place_new(), .specs = out_specs_new()};
	struct torture t = {.prepare = empty, .step = collect, .check = check, .priv = &j};

	(void)state;
	put_file(j.tree.fd, "dist/game", "hello");
	put_file(j.tree.fd, "dist/data/level", "1");
	put_file(j.tree.fd, "a/x.log", "log");
	assert_int_equal(symlinkat("game", j.tree.fd, "dist/link"), 0);
	assert_int_equal(out_specs_add(j.specs, "bin=dist/", NULL), 0);
	assert_int_equal(out_specs_add(j.specs, "logs=*.log", NULL), 0);
	assert_true(torture(&t) > 20);
	out_specs_free(j.specs);
	place_free(&j.tree);
	place_free(&j.to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_collect),
	};

	return tap_run(tests);
}
