/* The parser of options: names, sources and their order, checks, the nearest match. */
#include "tests/lib/tap.h"

#include "shim/build_options.h"
#include "shim/cli.h"
#include "shim/option.h"

static const struct shim_option rows[] = {
    {.name = "cacheKey", .arg = "KEY", .type = SHIM_TEXT},
    {.name = "awsS3Endpoint", .arg = "URL", .type = SHIM_TEXT},
    {.name = "providerStrategy",
	.aliases = "orchestratorCluster cluster",
	.arg = "NAME",
	.type = SHIM_CHOICE,
	.choices = "sandbox|local|k8s",
	.works = "sandbox|local",
	.fallback = "sandbox"},
    {.name = "timeout",
	.arg = "SECONDS",
	.type = SHIM_NUMBER,
	.min = 0,
	.max = 100,
	.fallback = "0",
	.flags = SHIM_OWN},
    {.name = "retain", .type = SHIM_SWITCH, .fallback = "false", .flags = SHIM_OWN},
    {.name = "output", .arg = "NAME=GLOB", .type = SHIM_TEXT, .flags = SHIM_REPEATS | SHIM_OWN},
    {.name = "token", .arg = "SECRET", .type = SHIM_JSON, .flags = SHIM_SECRET},
    {.name = "newThing", .type = SHIM_SWITCH, .fallback = "true", .works = ""},
    {.name = "json", .letter = 'j', .type = SHIM_SWITCH, .flags = SHIM_FLAG_ONLY},
};
static const struct shim_options table = {.v = rows, .count = ORCH_ARRAY_LEN(rows)};
static const struct shim_options *const tables[] = {&table};

struct parsed {
	struct shim_values s;
	struct orch_err err;
	int r;
};

/* argv and env: NULL-terminated. Flags, environment, checks, in this order. */
static struct parsed parse(const char *const *argv, const char *const *env)
{
	struct parsed p = {.err = ORCH_ERR_INIT};
	int argc = 0;

	while (argv[argc])
		argc++;
	assert_int_equal(shim_values_init(&p.s, tables, 1), 0);
	p.r = shim_parse_flags(&p.s, argc, argv, &p.err);
	if (p.r == 0)
		p.r = shim_parse_env(&p.s, env, &p.err);
	if (p.r == 0)
		p.r = shim_check(&p.s, &p.err);
	return p;
}

#define ARGV(...) ((const char *[]){__VA_ARGS__, NULL})
#define NONE	  ((const char *[]){NULL})

static void expect_error(const char *const *argv, const char *const *env, const char *part)
{
	struct parsed p = parse(argv, env);

	if (p.r == 0)
		p.r = shim_check_works(&p.s, NULL, NULL, &p.err);
	assert_int_equal(p.r, -EINVAL);
	if (!strstr(p.err.msg, part))
		fail_msg("'%s' is not in '%s'", part, p.err.msg);
	shim_values_fini(&p.s);
}

static void test_names(void **state)
{
	char out[2 * SHIM_NAME_MAX];

	(void)state;
	shim_name_kebab("awsS3Endpoint", out);
	assert_string_equal(out, "aws-s3-endpoint");
	shim_name_env("awsS3Endpoint", out);
	assert_string_equal(out, "AWS_S3_ENDPOINT");
	shim_name_env("timeout", out);
	assert_string_equal(out, "TIMEOUT");
}

static void test_flags_in_all_forms(void **state)
{
	static const char *const forms[][3] = {{"--cache-key", "a", NULL}, {"--cache-key=a", NULL},
	    {"--cacheKey", "a", NULL}, {"--cacheKey=a", NULL}};

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(forms); i++) {
		struct parsed p = parse(forms[i], NONE);

		assert_int_equal(p.r, 0);
		assert_string_equal(shim_text(&p.s, "cacheKey"), "a");
		assert_int_equal(shim_value(&p.s, "cacheKey")->origin, SHIM_FROM_FLAG);
		shim_values_fini(&p.s);
	}
}

static void test_aliases(void **state)
{
	struct parsed p = parse(ARGV("--orchestrator-cluster", "local"), NONE);

	(void)state;
	assert_string_equal(shim_text(&p.s, "providerStrategy"), "local");
	assert_string_equal(shim_value(&p.s, "providerStrategy")->from, "--orchestrator-cluster");
	shim_values_fini(&p.s);
	p = parse(NONE, ARGV("INPUT_ORCHESTRATORCLUSTER=local"));
	assert_string_equal(shim_text(&p.s, "providerStrategy"), "local");
	shim_values_fini(&p.s);
}

static void test_switches(void **state)
{
	struct parsed p = parse(ARGV("--retain", "x", "-j"), NONE);

	(void)state;
	assert_int_equal(p.r, 0);
	assert_true(shim_on(&p.s, "retain"));
	assert_true(shim_on(&p.s, "json"));
	assert_int_equal(p.s.args.count, 1);
	shim_values_fini(&p.s);
	p = parse(ARGV("--retain", "false"), NONE);
	assert_false(shim_on(&p.s, "retain"));
	assert_int_equal(p.s.args.count, 0);
	shim_values_fini(&p.s);
	p = parse(ARGV("--no-retain"), ARGV("ORCH_RETAIN=true"));
	assert_false(shim_on(&p.s, "retain"));
	shim_values_fini(&p.s);
	p = parse(NONE, ARGV("INPUT_RETAIN=Yes"));
	assert_true(shim_on(&p.s, "retain"));
	shim_values_fini(&p.s);
	expect_error(ARGV("--retain=perhaps"), NONE, "--retain: 'perhaps' is not true or false");
}

static void test_order_of_sources(void **state)
{
	static const char *const env[] = {"CACHE_KEY=upper", "cacheKey=verbatim",
	    "ORCH_CACHE_KEY=own", "INPUT_CACHEKEY=input", NULL};
	static const char *const expected[][2] = {
	    {"own", "ORCH_CACHE_KEY"}, {"verbatim", "cacheKey"}, {"upper", "CACHE_KEY"}};
	struct parsed p = parse(ARGV("--cache-key", "flag"), env);

	(void)state;
	assert_string_equal(shim_text(&p.s, "cacheKey"), "flag");
	shim_values_fini(&p.s);
	p = parse(NONE, env);
	assert_string_equal(shim_text(&p.s, "cacheKey"), "input");
	assert_string_equal(shim_value(&p.s, "cacheKey")->from, "INPUT_CACHEKEY");
	shim_values_fini(&p.s);
	for (int drop = 0; drop < 3; drop++) {
		const char *rest[4] = {env[0], env[1], env[2], NULL};

		rest[3 - drop] = NULL;
		p = parse(NONE, rest);
		assert_string_equal(shim_text(&p.s, "cacheKey"), expected[drop][0]);
		assert_string_equal(shim_value(&p.s, "cacheKey")->from, expected[drop][1]);
		shim_values_fini(&p.s);
	}
}

static void test_own_options_ignore_common_variables(void **state)
{
	struct parsed p = parse(NONE, ARGV("TIMEOUT=7", "timeout=8", "CACHE_KEY="));

	(void)state;
	assert_string_equal(shim_text(&p.s, "timeout"), "0");
	assert_int_equal(shim_value(&p.s, "timeout")->origin, SHIM_FROM_DEFAULT);
	assert_null(shim_text(&p.s, "cacheKey"));
	assert_false(shim_given(&p.s, "timeout"));
	shim_values_fini(&p.s);
	p = parse(NONE, ARGV("ORCH_TIMEOUT=7"));
	assert_int_equal(shim_number(&p.s, "timeout"), 7);
	shim_values_fini(&p.s);
}

static void test_repeated(void **state)
{
	struct parsed p = parse(ARGV("--output", "a=1", "--output=b=2"), NONE);

	(void)state;
	assert_int_equal(shim_list(&p.s, "output")->count, 2);
	assert_string_equal(shim_list(&p.s, "output")->v[1], "b=2");
	shim_values_fini(&p.s);
	p = parse(NONE, ARGV("INPUT_OUTPUT=a=1\nb=2\n"));
	assert_int_equal(shim_list(&p.s, "output")->count, 2);
	assert_string_equal(shim_list(&p.s, "output")->v[0], "a=1");
	shim_values_fini(&p.s);
	expect_error(ARGV("--cache-key", "a", "--cache-key", "b"), NONE, "given twice");
}

static void test_command(void **state)
{
	struct parsed p = parse(ARGV("--retain", "--", "make", "--nonsense"), NONE);

	(void)state;
	assert_int_equal(p.r, 0);
	assert_true(p.s.has_command);
	assert_int_equal(p.s.command.count, 2);
	assert_string_equal(p.s.command.v[1], "--nonsense");
	shim_values_fini(&p.s);
}

static void test_unknown(void **state)
{
	(void)state;
	expect_error(
	    ARGV("--cachekey", "x"), NONE, "unknown option --cachekey; did you mean --cache-key?");
	expect_error(ARGV("--cacheKye=x"), NONE, "did you mean --cache-key?");
	expect_error(ARGV("--retian"), NONE, "did you mean --retain?");
	expect_error(ARGV("--xyzzy"), NONE, "unknown option --xyzzy");
	expect_error(ARGV("-x"), NONE, "unknown option -x");
	expect_error(ARGV("--cache-key"), NONE, "--cache-key needs a value");
}

static void test_checks(void **state)
{
	(void)state;
	expect_error(
	    ARGV("--timeout", "101"), NONE, "--timeout: '101' is not a whole number from 0 to 100");
	expect_error(ARGV("--timeout", "1.5"), NONE, "--timeout: '1.5' is not");
	expect_error(ARGV("--timeout", ""), NONE, "--timeout");
	expect_error(NONE, ARGV("ORCH_TIMEOUT= 1"), "ORCH_TIMEOUT: ' 1' is not");
	expect_error(ARGV("--provider-strategy", "lokal"), NONE, "did you mean local?");
	expect_error(ARGV("--token", "{"), NONE, "is not valid JSON");
}

static int warned;

static void count_warning(void *priv, const struct shim_value *v)
{
	warned++;
	assert_string_equal(v->option->name, "newThing");
}

static void test_not_in_this_version(void **state)
{
	struct parsed p;

	(void)state;
	expect_error(ARGV("--provider-strategy", "k8s"), NONE,
	    "'k8s' is not supported by this version of orch (it has: sandbox|local)");
	expect_error(ARGV("--new-thing"), NONE, "--new-thing is not supported by this version");
	p = parse(ARGV("--new-thing=false"), NONE);
	assert_int_equal(shim_check_works(&p.s, NULL, NULL, &p.err), 0);
	shim_values_fini(&p.s);
	p = parse(NONE, ARGV("INPUT_NEWTHING=true"));
	assert_int_equal(shim_check_works(&p.s, NULL, NULL, &p.err), 0);
	shim_values_fini(&p.s);
}

static void test_ambient_variables_only_warn(void **state)
{
	static const struct shim_option later[] = {
	    {.name = "newThing", .type = SHIM_TEXT, .fallback = "", .works = ""}};
	static const struct shim_options one = {.v = later, .count = 1};
	const struct shim_options *const just[] = {&one};
	struct shim_values s;
	struct orch_err err = ORCH_ERR_INIT;

	(void)state;
	assert_int_equal(shim_values_init(&s, just, 1), 0);
	assert_int_equal(shim_parse_env(&s, ARGV("NEW_THING=x"), &err), 0);
	assert_int_equal(shim_check_works(&s, count_warning, NULL, &err), 0);
	assert_int_equal(warned, 1);
	shim_values_fini(&s);
	assert_int_equal(shim_values_init(&s, just, 1), 0);
	assert_int_equal(shim_parse_env(&s, ARGV("newThing=x"), &err), 0);
	assert_int_equal(shim_check_works(&s, count_warning, NULL, &err), -EINVAL);
	shim_values_fini(&s);
}

/* The tables themselves: defaults that pass their own checks, no name twice. */
static void test_tables_are_sound(void **state)
{
	const struct shim_options *all[17] = {&shim_common_options};
	struct shim_values s;
	size_t n = 1;

	(void)state;
	for (; shim_build_options[n - 1]; n++)
		all[n] = shim_build_options[n - 1];
	assert_int_equal(shim_values_init(&s, all, n), 0);
	for (size_t i = 0; i < s.count; i++) {
		const struct shim_option *o = s.v[i].option;

		assert_true(strlen(o->name) < SHIM_NAME_MAX);
		assert_non_null(o->help);
		assert_true(o->type == SHIM_SWITCH || o->arg);
		if (o->type == SHIM_CHOICE && o->fallback)
			assert_true(shim_one_of(o->choices, o->fallback));
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(o->name, s.v[j].option->name);
			if (s.v[j].option->aliases)
				assert_null(strstr(s.v[j].option->aliases, o->name));
		}
	}
	assert_true(s.count > 200);
	shim_values_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_flags_in_all_forms),
	    cmocka_unit_test(test_aliases),
	    cmocka_unit_test(test_switches),
	    cmocka_unit_test(test_order_of_sources),
	    cmocka_unit_test(test_own_options_ignore_common_variables),
	    cmocka_unit_test(test_repeated),
	    cmocka_unit_test(test_command),
	    cmocka_unit_test(test_unknown),
	    cmocka_unit_test(test_checks),
	    cmocka_unit_test(test_not_in_this_version),
	    cmocka_unit_test(test_ambient_variables_only_warn),
	    cmocka_unit_test(test_tables_are_sound),
	};

	return tap_run(tests);
}
