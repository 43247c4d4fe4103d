/* What a route allows in body and query; answers. */
#include <stdlib.h>
#include "fsd/keeper/answer.h"
#include "fsd/keeper/expect.h"
#include "fsd/keeper/request.h"
#include "tests/lib/tap.h"

static int check(const char *spec, const char *text, struct orch_err *err)
{
	struct orch_json *j = NULL;
	int rc;

	*err = (struct orch_err)ORCH_ERR_INIT;
	assert_int_equal(orch_json_parse(text, strlen(text), &j, err), 0);
	rc = fsd_request_check_body(spec, j, err);
	orch_json_free(j);
	return rc;
}

static void bodies(void **state)
{
	static const char spec[] = "name:s at:p? on:b? list:a? more:o? any:*?";
	static const struct {
		const char *body, *complaint; /* NULL: accepted */
	} cases[] = {
	    {"{\"name\":\"x\"}", NULL},
	    {"{\"name\":\"x\",\"at\":null,\"any\":[1]}", NULL},
	    {"{\"name\":\"x\",\"at_b64\":\"eA==\",\"on\":true,\"list\":[\"a\"],\"more\":{}}", NULL},
	    {"{}", "'name' is missing"},
	    {"{\"name\":null}", "'name' is missing"},
	    {"{\"name\":1}", "'name' is not a string"},
	    {"{\"name\":\"x\",\"at\":1}", "'at' is not a string"},
	    {"{\"name\":\"x\",\"at_b64\":1}", "'at' is not a string"},
	    {"{\"name\":\"x\",\"on\":1}", "'on' is neither"},
	    {"{\"name\":\"x\",\"list\":[1]}", "list of strings"},
	    {"{\"name\":\"x\",\"list\":\"a\"}", "list of strings"},
	    {"{\"name\":\"x\",\"more\":[]}", "'more' is not an object"},
	    {"{\"nmae\":\"x\"}", "did you mean 'name'"},
	    {"{\"name\":\"x\",\"name_b64\":\"\"}", "unknown member"},
	    {"[]", "not a JSON object"},
	    {"1", "not a JSON object"},
	};
	struct orch_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = check(spec, cases[i].body, &err);

		assert_int_equal(rc, cases[i].complaint ? -EINVAL : 0);
		if (cases[i].complaint)
			assert_non_null(strstr(err.msg, cases[i].complaint));
	}
	assert_int_equal(check(NULL, "{}", &err), 0);
	assert_int_equal(check(NULL, "{\"a\":1}", &err), -EINVAL);
}

static void errors_as_answers(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_buf b = ORCH_BUF_INIT;
	struct orch_json *extra = NULL;
	static const char more[] = "{\"code\":\"X\",\"conflicts\":[1]}";

	(void)state;
	orch_err_set(&err, ENOENT, "no \xff");
	assert_int_equal(orch_json_parse(more, strlen(more), &extra, NULL), 0);
	assert_int_equal(fsd_answer_error(&err, extra, &b), 0);
	assert_string_equal((char *)b.data,
	    "{\"error\":{\"code\":\"ENOENT\",\"message\":\"no \\\\xff\",\"conflicts\":[1]}}");
	orch_json_free(extra);
	orch_buf_fini(&b);
	assert_int_equal(fsd_answer_status(ENOENT), 404);
	assert_int_equal(fsd_answer_status(ORCH_ECONFLICT), 409);
	assert_int_equal(fsd_answer_status(EIO), 500);
}

static void expectations(void **state)
{
	struct cas_expect e;
	struct orch_err err = ORCH_ERR_INIT;

	(void)state;
	assert_int_equal(fsd_expect_parse(NULL, &e, &err), 0);
	assert_int_equal(e.how, CAS_EXPECT_ANY);
	assert_int_equal(fsd_expect_parse("", &e, &err), 0);
	assert_int_equal(e.how, CAS_EXPECT_ABSENT);
	assert_int_equal(fsd_expect_parse("abc", &e, &err), -EINVAL);
	assert_int_equal(fsd_expect_parse("00112233445566778899aabbccddeeff"
					  "00112233445566778899aabbccddeeff",
			     &e, &err),
	    0);
	assert_int_equal(e.how, CAS_EXPECT_ID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bodies),
	    cmocka_unit_test(errors_as_answers),
	    cmocka_unit_test(expectations),
	};

	return tap_run(tests);
}
