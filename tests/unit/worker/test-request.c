/* What a task must be. The program's own tests (tests/integration/test_worker.py) have the long list. */
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include "fsd/worker/events.h"
#include "fsd/worker/request.h"

#define ID "5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592"
#define FDS                                                                           \
	"\"fds\":{\"objects\":4,\"packs\":5,\"quarantine\":7,\"layers\":8},\"seed\":" \
	"\"00000000000000ff\""

static int parse(const char *text, struct worker_request *q, struct orch_err *err)
{
	*err = (struct orch_err)ORCH_ERR_INIT;
	return worker_request_parse(text, strlen(text), q, err);
}

static void expect_wrong(const char *text, const char *word)
{
	struct worker_request q;
	struct orch_err err;

	assert_int_equal(parse(text, &q, &err), -EINVAL);
	if (!strstr(err.msg, word))
		fail_msg("%s: %s", text, err.msg);
}

static void test_import(void **state)
{
	struct worker_request q;
	struct orch_err err;

	assert_int_equal(
	    parse("{\"task\":\"import\"," FDS ",\"dir\":\"/a\",\"parent\":\"" ID
		  "\",\"exclude\":[\"*.o\"],\"user\":{\"uid\":7,\"gid\":8,\"groups\":[9]}}",
		&q, &err),
	    0);
	assert_int_equal(q.job, WORKER_IMPORT);
	assert_string_equal(q.dir, "/a");
	assert_string_equal(q.ignore_file, ".orchignore");
	assert_true(q.has_parent && q.user.set && !q.owner.set);
	assert_int_equal(q.user.groups[0], 9);
	assert_int_equal(q.seed, 255);
	assert_int_equal(q.fds[WORKER_FD_SCAN], -1);
	assert_true(orch_globs_match(q.exclude, "d/x.o", false));
	worker_request_fini(&q);
	assert_int_equal(
	    parse("{\"ignore_file\":null,\"dir_b64\":\"L/8=\",\"task\":\"import\"," FDS "}", &q,
		&err),
	    0);
	assert_null(q.ignore_file);
	assert_string_equal(q.dir, "/\xff");
	worker_request_fini(&q);
}

static void test_commit(void **state)
{
	struct worker_request q;
	struct orch_err err;

	assert_int_equal(parse("{\"task\":\"commit\"," FDS ",\"snapshot\":\"" ID
			       "\",\"layers\":[\"3\",\"18446744073709551615\"]}",
			     &q, &err),
	    0);
	assert_int_equal(q.layer_count, 2);
	assert_true(q.layers[1] == UINT64_MAX);
	worker_request_fini(&q);
}

static void test_git(void **state)
{
	struct worker_request q;
	struct orch_err err;

	assert_int_equal(
	    parse("{\"task\":\"git-fetch\",\"fds\":{\"quarantine\":4},\"url\":\"https://h/"
		  "x\",\"what\":"
		  "\"all\",\"name\":\"HEAD\",\"auth\":\"header\",\"env\":{\"HOME\":\"/h\","
		  "\"GITHUB_TOKEN\":\"t\"},\"stall_ms\":7,\"depth\":3,\"place\":\"/run/q\"}",
		&q, &err),
	    0);
	assert_int_equal(q.job, WORKER_GIT_FETCH);
	assert_int_equal(q.git.what, SYNC_GITFETCH_ALL);
	assert_int_equal(q.git.auth, SYNC_GITFETCH_HEADER);
	assert_string_equal(orch_strv_get_env(&q.git.env, "GITHUB_TOKEN"), "t");
	assert_string_equal(q.git.place, "/run/q");
	assert_true(q.git.stall_ms == 7 && q.git.depth == 3);
	worker_request_fini(&q);
	assert_int_equal(parse("{\"task\":\"git-adopt\",\"fds\":{\"mirror\":4},\"all\":false,"
			       "\"part\":true,\"rev\":\"main\"}",
			     &q, &err),
	    0);
	assert_true(q.git.part && !q.git.all && q.fds[WORKER_FD_QUARANTINE] == -1);
	worker_request_fini(&q);
}

static void test_wrong_git(void **state)
{
#define FETCH                                                                     \
	"{\"task\":\"git-fetch\",\"fds\":{\"quarantine\":4},\"url\":\"https://h/" \
	"x\",\"what\":\"all\""
	expect_wrong("{\"task\":\"git-find\",\"fds\":{\"mirror\":4}}", "rev");
	expect_wrong("{\"task\":\"git-find\",\"fds\":{},\"rev\":\"x\"}", "mirror");
	expect_wrong("{\"task\":\"git-adopt\",\"fds\":{\"mirror\":4}}", "all");
	expect_wrong(
	    "{\"task\":\"git-fetch\",\"fds\":{\"mirror\":4},\"url\":\"x\",\"what\":\"all\"}",
	    "quarantine");
	expect_wrong(FETCH ",\"env\":{\"GIT_DIR\":\"x\"}}", "env");
	expect_wrong(FETCH ",\"env\":{\"HOME\":1}}", "env");
	expect_wrong(FETCH ",\"auth\":\"x\"}", "auth");
	expect_wrong(FETCH ",\"depth\":-1}", "depth");
	expect_wrong(FETCH ",\"depth\":4294967296}", "depth");
	expect_wrong(FETCH ",\"place\":\"q\"}", "place");
	expect_wrong(FETCH ",\"seed\":\"00000000000000ff\"}", "seed");
	expect_wrong("{\"task\":\"import\"," FDS ",\"dir\":\"/a\",\"url\":\"x\"}", "url");
#undef FETCH
}

static void test_wrong(void **state)
{
	expect_wrong("", "");
	expect_wrong("{}", "task");
	expect_wrong("{\"task\":\"fly\"}", "task");
	expect_wrong("{\"task\":\"import\"," FDS "}", "dir");
	expect_wrong("{\"task\":\"import\"," FDS ",\"dir\":\"a\"}", "dir");
	expect_wrong("{\"task\":\"import\"," FDS ",\"dir\":\"/a\",\"dir_b64\":\"L2E=\"}", "dir");
	expect_wrong("{\"task\":\"import\"," FDS ",\"dir\":\"/a\\u0000b\"}", "");
	expect_wrong(
	    "{\"task\":\"import\"," FDS ",\"dir\":\"/a\",\"snapshot\":\"" ID "\"}", "snapshot");
	expect_wrong(
	    "{\"task\":\"commit\"," FDS ",\"snapshot\":\"" ID "\",\"layers\":[\"-1\"]}", "layers");
	expect_wrong("{\"task\":\"commit\"," FDS ",\"snapshot\":\"" ID
		     "\",\"layers\":[\"18446744073709551616\"]}",
	    "layers");
	expect_wrong("{\"task\":\"commit\"," FDS ",\"layers\":[]}", "snapshot");
	expect_wrong("{\"task\":\"export\",\"fds\":{\"objects\":4},\"snapshot\":\"" ID
		     "\",\"dir\":\"/a\"}",
	    "packs");
}

static void test_text(void **state)
{
	char *s = worker_events_text("a\xff\xc3\xa4\xc3");

	assert_string_equal(s, "a\\xff\xc3\xa4\\xc3");
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_import),
	    cmocka_unit_test(test_commit),
	    cmocka_unit_test(test_git),
	    cmocka_unit_test(test_wrong_git),
	    cmocka_unit_test(test_wrong),
	    cmocka_unit_test(test_text),
	};

	return tap_run(tests);
}
