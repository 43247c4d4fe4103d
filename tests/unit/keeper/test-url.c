/* Targets of requests: decoding, queries, routes. */
#include <stdlib.h>
#include "fsd/keeper/url.h"
#include "tests/lib/tap.h"

static void decodes(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
	    {"", ""},
	    {"abc", "abc"},
	    {"a%2Fb", "a/b"},
	    {"%41%7a", "Az"},
	    {"%ff", "\xff"},
	    {"+", "+"},
	    {"%", NULL},
	    {"%4", NULL},
	    {"%4g", NULL},
	    {"%g4", NULL},
	    {"a%00b", NULL},
	    {"%%41", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = fsd_url_decode(cases[i].in, strlen(cases[i].in));

		if (cases[i].out)
			assert_string_equal(got, cases[i].out);
		else
			assert_null(got);
		free(got);
	}
}

static void reads_no_further_than_it_may(void **state)
{
	char *got = fsd_url_decode("a%4142", 4);

	(void)state;
	assert_string_equal(got, "aA");
	free(got);
	assert_null(fsd_url_decode("a%41", 3));
}

static int query(const char *s, struct orch_json **out)
{
	struct orch_err err = ORCH_ERR_INIT;

	*out = NULL;
	return fsd_url_query(s, out, &err);
}

static void parses_queries(void **state)
{
	struct orch_json *o;

	(void)state;
	assert_int_equal(query(NULL, &o), 0);
	assert_int_equal(orch_json_len(o), 0);
	orch_json_free(o);
	assert_int_equal(query("a=1&b=x%20y&&c", &o), 0);
	assert_string_equal(orch_json_str(orch_json_get(o, "a")), "1");
	assert_string_equal(orch_json_str(orch_json_get(o, "b")), "x y");
	assert_string_equal(orch_json_str(orch_json_get(o, "c")), "");
	orch_json_free(o);
	assert_int_equal(query("a=1&a=2", &o), -EINVAL);
	assert_int_equal(query("=1", &o), -EINVAL);
	assert_int_equal(query("a=%zz", &o), -EINVAL);
	assert_int_equal(query("a=%ff", &o), -EINVAL);
	assert_null(o);
}

static int nothing(struct fsd_request *r, struct orch_json **out, struct orch_err *err)
{
	(void)r;
	(void)out;
	(void)err;
	return 0;
}

static const struct fsd_route routes[] = {
    {"GET", "/", nothing, NULL, NULL, 0},
    {"GET", "/v1/refs", nothing, NULL, NULL, 0},
    {"GET", "/v1/refs/{}", nothing, NULL, NULL, 0},
    {"PUT", "/v1/refs/{}", nothing, NULL, NULL, 0},
    {"GET", "/v1/a/{}/b/{}", nothing, NULL, NULL, 0},
    {NULL, NULL, NULL, NULL, NULL, 0},
};

static const struct fsd_route *route(
    const char *method, const char *path, char **params, unsigned *status, char *allow)
{
	return fsd_url_route(routes, method, path, strlen(path), params, status, allow);
}

static void finds_routes(void **state)
{
	char *params[FSD_PARAMS_MAX], allow[64];
	unsigned status;

	(void)state;
	assert_ptr_equal(route("GET", "/", params, &status, allow), &routes[0]);
	assert_ptr_equal(route("GET", "/v1/refs", params, &status, allow), &routes[1]);
	assert_ptr_equal(route("PUT", "/v1/refs/a%2Fb", params, &status, allow), &routes[3]);
	assert_string_equal(params[0], "a/b");
	free(params[0]);
	assert_ptr_equal(route("GET", "/v1/a/x/b/y", params, &status, allow), &routes[4]);
	assert_string_equal(params[0], "x");
	assert_string_equal(params[1], "y");
	free(params[0]);
	free(params[1]);
}

static void refuses_others(void **state)
{
	static const struct {
		const char *method, *path;
		unsigned status;
	} cases[] = {
	    {"GET", "", 404},
	    {"GET", "/v1", 404},
	    {"GET", "/v1/refs/a/b", 404},
	    {"GET", "/v1/refs/", 400},
	    {"GET", "/v1/refs/%", 400},
	    {"DELETE", "/v1/refs/a", 405},
	    {"GET", "/v1/a/x/b", 404},
	    {"GET", "/v1/a//b/y", 400},
	    {"get", "/v1/refs", 405},
	    {"GET", "//v1/refs", 404},
	    {"GET", "/v1/refs/a/", 404},
	    {"GET", "/v1/a/x/b/", 400},
	};
	char *params[FSD_PARAMS_MAX], allow[64];
	unsigned status;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_null(route(cases[i].method, cases[i].path, params, &status, allow));
		assert_int_equal(status, cases[i].status);
	}
	assert_null(route("POST", "/v1/refs/a", params, &status, allow));
	assert_string_equal(allow, "GET, PUT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(decodes),
	    cmocka_unit_test(reads_no_further_than_it_may),
	    cmocka_unit_test(parses_queries),
	    cmocka_unit_test(finds_routes),
	    cmocka_unit_test(refuses_others),
	};

	return tap_run(tests);
}
