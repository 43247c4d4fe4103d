/* The JSON door: strict reading, order, bytes that are no text, failures that can't be missed. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <stdlib.h>

#include "core/fault.h"
#include "core/json.h"

static struct orch_json *parse(const char *text)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *j = NULL;

	if (orch_json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s", err.msg);
	return j;
}

static void assert_refused(const char *text, size_t len)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_json *j = NULL;

	assert_int_equal(orch_json_parse(text, len, &j, &err), -EINVAL);
	assert_null(strstr(err.msg, "JSON_")); /* no names of the library */
	assert_null(j);
	assert_true(err.msg[0]);
}

static void assert_text(const struct orch_json *j, unsigned indent, const char *want)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	assert_int_equal(orch_json_format(j, indent, &b), 0);
	assert_string_equal((char *)b.data, want);
}

static void keys_keep_their_order(void **state)
{
	orch_auto(json) struct orch_json *j =
	    parse("{\"z\":1,\"a\":[true,null,\"x\"],\"m\":{\"b\":-2}}");

	assert_text(j, 0, "{\"z\":1,\"a\":[true,null,\"x\"],\"m\":{\"b\":-2}}");
	assert_int_equal(orch_json_set_int(j, "a", 5), 0);
	assert_int_equal(orch_json_set_str(j, "b", NULL), 0);
	assert_text(j, 0, "{\"z\":1,\"a\":5,\"m\":{\"b\":-2},\"b\":null}");
}

static void reading_is_strict(void **state)
{
	assert_refused("", 0);
	assert_refused("{", 1);
	assert_refused("{\"a\":1} x", 9);
	assert_refused("{\"a\":1,\"a\":2}", 13);
	assert_refused("[1,]", 4);
	assert_refused("\"\xff\"", 3);
	assert_refused("\"a\\u0000b\"", 10);
	assert_refused("99999999999999999999", 20);
	assert_refused("{\"a\":1}\0", 8);
}

static void depth_is_bounded(void **state)
{
	char text[2 * (ORCH_JSON_DEPTH_MAX + 1)];
	size_t n = ORCH_JSON_DEPTH_MAX;
	struct orch_json *j = NULL;

	memset(text, '[', n);
	memset(text + n, ']', n);
	assert_int_equal(orch_json_parse(text, 2 * n, &j, NULL), 0);
	orch_json_free(j);
	memset(text, '[', n + 1);
	memset(text + n + 1, ']', n + 1);
	assert_refused(text, 2 * (n + 1));
}

static void getters_say_what_is_wrong(void **state)
{
	orch_auto(json) struct orch_json *j = parse("{\"s\":\"x\",\"n\":-1,\"b\":true,\"r\":1.5}");
	struct orch_err err = ORCH_ERR_INIT;
	const char *s = NULL;
	uint64_t u = 9;
	int64_t n = 0;
	bool b = false;

	assert_int_equal(orch_json_get_str(j, "s", &s, &err), 0);
	assert_string_equal(s, "x");
	assert_int_equal(orch_json_get_int(j, "n", &n, &err), 0);
	assert_true(n == -1);
	assert_int_equal(orch_json_get_bool(j, "b", &b, &err), 0);
	assert_true(b);
	assert_int_equal(orch_json_get_u64(j, "n", &u, &err), -EINVAL);
	assert_true(u == 9);
	assert_int_equal(orch_json_get_int(j, "r", &n, &err), -EINVAL);
	assert_int_equal(orch_json_get_str(j, "n", &s, &err), -EINVAL);
	assert_string_equal(err.msg, "n is not a string");
	assert_int_equal(orch_json_get_str(j, "none", &s, &err), -ENOENT);
	assert_string_equal(err.msg, "none is missing");
	assert_int_equal(orch_json_get_bool(NULL, "b", &b, &err), -ENOENT);
	assert_null(orch_json_get(j, "none"));
	assert_null(orch_json_str(NULL));
	assert_false(orch_json_int(NULL, &n));
	assert_int_equal(orch_json_len(NULL), 0);
	assert_int_equal(orch_json_len(j), 4);
}

static void assert_bytes_survive(const void *p, size_t n, const char *want)
{
	orch_auto(json) struct orch_json *j = orch_json_object();
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *again = NULL;
	orch_auto(free) char *got = NULL;
	size_t len = 0;

	assert_int_equal(orch_json_set_bytes(j, "k", p, n), 0);
	assert_int_equal(orch_json_format(j, 0, &b), 0);
	assert_string_equal((char *)b.data, want);
	assert_int_equal(orch_json_parse((char *)b.data, b.len, &again, NULL), 0);
	assert_int_equal(orch_json_get_bytes(again, "k", &got, &len, NULL), 0);
	assert_int_equal(len, n);
	assert_memory_equal(got, p, n);
	assert_int_equal(got[len], 0);
}

static void bytes_that_are_no_text(void **state)
{
	uint8_t all[256];

	assert_bytes_survive("abc", 3, "{\"k\":\"abc\"}");
	assert_bytes_survive("", 0, "{\"k\":\"\"}");
	assert_bytes_survive("\xff", 1, "{\"k_b64\":\"/w==\"}");
	assert_bytes_survive("a\0", 2, "{\"k_b64\":\"YQA=\"}");
	assert_bytes_survive("\xff\xfe\xfd", 3, "{\"k_b64\":\"//79\"}");
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(255 - i);
	for (size_t n = 1; n < sizeof(all); n++) {
		orch_auto(json) struct orch_json *j = orch_json_object();
		orch_auto(free) char *got = NULL;
		size_t len = 0;

		assert_int_equal(orch_json_set_bytes(j, "k", all, n), 0);
		assert_int_equal(orch_json_get_bytes(j, "k", &got, &len, NULL), 0);
		assert_int_equal(len, n);
		assert_memory_equal(got, all, n);
	}
}

static void bad_base64_is_refused(void **state)
{
	static const char *const bad[] = {"{\"k_b64\":\"a\"}", "{\"k_b64\":\"====\"}",
	    "{\"k_b64\":\"YQ==YQ==\"}", "{\"k_b64\":\"Y-==\"}", "{\"k_b64\":\"YR==\"}",
	    "{\"k_b64\":\"YQE\"}", "{\"k_b64\":7}", "{\"k\":7}"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(bad); i++) {
		orch_auto(json) struct orch_json *j = parse(bad[i]);
		char *got = NULL;
		size_t len;

		assert_int_equal(orch_json_get_bytes(j, "k", &got, &len, NULL), -EINVAL);
		assert_null(got);
	}
}

static void failures_mark_the_root(void **state)
{
	orch_auto(json) struct orch_json *root = orch_json_object();
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct orch_json *inner = orch_json_object(), *list = orch_json_array();

	assert_int_equal(orch_json_set_str(inner, "k", "\xff"), -EINVAL);
	assert_true(orch_json_failed(inner));
	assert_int_equal(orch_json_push(list, &inner), -ENOMEM);
	assert_null(inner);
	assert_false(orch_json_failed(root));
	assert_true(orch_json_set_json(root, "list", &list) < 0);
	assert_null(list);
	assert_true(orch_json_failed(root));
	assert_int_equal(orch_json_format(root, 0, &b), -ENOMEM);
	assert_int_equal(b.len, 0);
	assert_true(orch_json_failed(NULL));
}

static void wrong_use_is_einval(void **state)
{
	orch_auto(json) struct orch_json *a = orch_json_array();
	struct orch_json *v = orch_json_object();

	assert_int_equal(orch_json_set_int(a, "k", 1), -EINVAL);
	assert_int_equal(orch_json_set_json(a, "k", &v), -EINVAL);
	assert_null(v);
	assert_int_equal(orch_json_push_str(NULL, "x"), -EINVAL);
	assert_true(orch_json_failed(a));
	orch_json_free(NULL);
}

static void numbers_at_the_edge(void **state)
{
	orch_auto(json) struct orch_json *j = orch_json_object();
	int64_t n = 0;

	assert_int_equal(orch_json_set_int(j, "min", INT64_MIN), 0);
	assert_int_equal(orch_json_set_u64(j, "max", INT64_MAX), 0);
	assert_text(j, 0, "{\"min\":-9223372036854775808,\"max\":9223372036854775807}");
	assert_int_equal(orch_json_get_int(j, "min", &n, NULL), 0);
	assert_true(n == INT64_MIN);
	assert_int_equal(orch_json_set_u64(j, "more", UINT64_MAX), -EINVAL);
	assert_int_equal(orch_json_set_real(j, "nan", __builtin_nan("")), -EINVAL);
}

static int count_until_b(const char *key, const struct orch_json *v, void *priv)
{
	++*(int *)priv;
	return strcmp(key, "b") == 0 ? 42 : 0;
}

static void each_stops_when_told(void **state)
{
	orch_auto(json) struct orch_json *j = parse("{\"a\":1,\"b\":2,\"c\":3}");
	int count = 0;

	assert_int_equal(orch_json_each(j, count_until_b, &count), 42);
	assert_int_equal(count, 2);
	assert_int_equal(orch_json_each(orch_json_get(j, "a"), count_until_b, &count), 0);
	assert_text(j, 2, "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}");
}

static void a_full_buffer_is_told(void **state)
{
	orch_auto(json) struct orch_json *j = parse("[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]");
	orch_auto(buf) struct orch_buf b;

	orch_buf_init(&b, 10);
	assert_int_equal(orch_json_format(j, 0, &b), -EOVERFLOW);
	assert_true(b.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys_keep_their_order),
	    cmocka_unit_test(reading_is_strict),
	    cmocka_unit_test(depth_is_bounded),
	    cmocka_unit_test(getters_say_what_is_wrong),
	    cmocka_unit_test(bytes_that_are_no_text),
	    cmocka_unit_test(bad_base64_is_refused),
	    cmocka_unit_test(failures_mark_the_root),
	    cmocka_unit_test(wrong_use_is_einval),
	    cmocka_unit_test(numbers_at_the_edge),
	    cmocka_unit_test(each_stops_when_told),
	    cmocka_unit_test(a_full_buffer_is_told),
	};

	return tap_run(tests);
}
