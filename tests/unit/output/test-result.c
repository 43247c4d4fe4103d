/* result.json and manifest.json: what is in them, hostile strings, the validators. */
#include "output/result.h"
#include "tests/unit/output/place.h"

struct sample {
	struct out_file files[3];
	struct out_output outputs[2];
	struct out_collection collection;
	struct out_phase phases[2];
	struct out_pair warnings[1];
	const char *argv[4];
	char *skipped[1];
	char strings[6][24];
	struct out_result r;
};

static void sample_init(struct sample *s)
{
	static const char *const strings[] = {
	    "dist/a\"b", "dist/\xff", "dist/l", "bin", "gone", "p\nq"};

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < 6; i++)
		snprintf(s->strings[i], sizeof(s->strings[i]), "%s", strings[i]);
	s->files[0] = (struct out_file){
	    .path = s->strings[0], .produced = true, .mode = 0755, .size = 5, .mtime_ns = 1};
	s->files[1] = (struct out_file){.path = s->strings[1], .mode = 0644, .size = 7};
	s->files[2] = (struct out_file){.path = s->strings[2], .type = OUT_FOLDER, .mode = 0755};
	s->outputs[0] = (struct out_output){
	    .name = s->strings[3], .files = s->files, .count = 3, .bytes = 12, .produced = 1};
	s->outputs[1] = (struct out_output){.name = s->strings[4], .required = true};
	s->skipped[0] = s->strings[5];
	s->collection = (struct out_collection){.v = s->outputs,
	    .count = 2,
	    .files = 3,
	    .bytes = 12,
	    .skipped = s->skipped,
	    .skipped_count = 1};
	s->phases[0] = (struct out_phase){"import", OUT_PHASE_DONE, 0, 1500000000, NULL};
	s->phases[1] =
	    (struct out_phase){"run", OUT_PHASE_FAILED, 1500000000, 3000000000, "exit 3"};
	s->warnings[0] = (struct out_pair){"collect", "</script>"};
	s->argv[0] = "sh";
	s->argv[1] = "\xfe";
	s->r = (struct out_result){.run = "run-1",
	    .state = OUT_FAILED,
	    .exit_code = 3,
	    .reason = "the command ended with 3",
	    .wall_begin_ns = 0,
	    .duration_ns = 3000000000,
	    .attempts = 1,
	    .argv = s->argv,
	    .phases = s->phases,
	    .phase_count = 2,
	    .cache = {.key = "k", .hit = true, .from = "run-0", .why = "same key"},
	    .outputs = &s->collection,
	    .log_name = "build.log",
	    .log_bytes = 9,
	    .warnings = s->warnings,
	    .warning_count = 1};
}

static const struct orch_json *at(const struct orch_json *j, const char *list, size_t i)
{
	const struct orch_json *v = orch_json_at(orch_json_get(j, list), i);

	assert_non_null(v);
	return v;
}

static const char *text(const struct orch_json *j, const char *key)
{
	const char *s = NULL;

	assert_int_equal(orch_json_get_str(j, key, &s, NULL), 0);
	return s;
}

static void test_result(void **state)
{
	struct orch_json *j;
	struct sample s;
	int64_t n;

	sample_init(&s);
	j = out_result_json(&s.r);
	assert_non_null(j);
	assert_int_equal(out_result_check(j, NULL), 0);
	assert_string_equal(text(j, "state"), "failed");
	assert_true(orch_json_int(orch_json_get(j, "exit_code"), &n) && n == 3);
	assert_true(orch_json_is_null(orch_json_get(j, "signal")));
	assert_string_equal(text(j, "begin"), "1970-01-01T00:00:00.000000000Z");
	assert_string_equal(text(at(j, "outputs", 0), "change"), "produced");
	assert_string_equal(text(at(j, "outputs", 1), "change"), "missing");
	assert_string_equal(text(at(at(j, "outputs", 0), "files", 0), "path"), "dist/a\"b");
	assert_string_equal(text(at(at(j, "outputs", 0), "files", 1), "path_b64"), "ZGlzdC//");
	assert_string_equal(text(at(at(j, "outputs", 0), "files", 0), "mode"), "0755");
	assert_int_equal(strlen(text(at(at(j, "outputs", 0), "files", 0), "sha256")), 64);
	assert_null(orch_json_get(at(at(j, "outputs", 0), "files", 2), "sha256"));
	assert_string_equal(orch_json_str(at(j, "missing", 0)), "gone");
	assert_string_equal(orch_json_str(at(j, "skipped", 0)), "p\nq");
	assert_string_equal(orch_json_str(at(j, "command", 0)), "sh");
	assert_string_equal(text(at(j, "command", 1), "value_b64"), "/g==");
	assert_true(
	    orch_json_int(orch_json_get(at(j, "phases", 1), "duration_ms"), &n) && n == 1500);
	orch_json_free(j);
	s.r.exit_code = -1;
	s.r.signal = 9;
	s.r.state = OUT_KILLED;
	s.r.resources = (struct out_resources){.known = true, .peak_bytes = 1};
	s.r.tests = (struct out_tests){.known = true, .total = 2};
	j = out_result_json(&s.r);
	assert_int_equal(out_result_check(j, NULL), 0);
	assert_true(orch_json_is_null(orch_json_get(j, "exit_code")));
	assert_true(orch_json_int(orch_json_get(j, "signal"), &n) && n == 9);
	orch_json_free(j);
}

/* The least that a run can say of itself. */
static void test_nearly_empty(void **state)
{
	struct out_result r = {.run = "r", .state = OUT_INFRASTRUCTURE_ERROR, .exit_code = -1};
	struct orch_json *j = out_result_json(&r);

	assert_int_equal(out_result_check(j, NULL), 0);
	orch_json_free(j);
	j = out_manifest_json(&r);
	assert_int_equal(out_manifest_check(j, NULL), 0);
	orch_json_free(j);
}

static void test_manifest(void **state)
{
	struct orch_json *j;
	struct sample s;

	sample_init(&s);
	j = out_manifest_json(&s.r);
	assert_int_equal(out_manifest_check(j, NULL), 0);
	assert_string_equal(text(j, "buildGuid"), "run-1");
	assert_string_equal(text(at(j, "outputs", 0), "type"), "bin");
	assert_string_equal(text(at(j, "outputs", 0), "path"), "bin/");
	orch_json_free(j);
}

static void test_states(void **state)
{
	enum out_state s;

	for (unsigned i = 0; i < OUT_STATES; i++) {
		assert_int_equal(out_state_parse(out_state_name((enum out_state)i), &s), 0);
		assert_int_equal(s, i);
	}
	assert_int_equal(out_state_parse("", &s), -EINVAL);
}

static int check_text(const char *doc, struct orch_err *err)
{
	struct orch_json *j = NULL;
	int r;

	assert_int_equal(orch_json_parse(doc, strlen(doc), &j, err), 0);
	r = out_manifest_check(j, err);
	orch_json_free(j);
	return r;
}

static void test_checks(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	static const char good[] =
	    "{\"version\":1,\"buildGuid\":\"x\",\"timestamp\":\"t\",\"state\":\"lost\","
	    "\"outputs\":[{\"type\":\"a\",\"path\":\"a/\",\"required\":true,\"change\":\"missing\","
	    "\"size\":0,\"count\":0,\"files\":[]},{\"type\":\"b\",\"path\":\"b/"
	    "\",\"required\":true,"
	    "\"change\":\"produced\",\"size\":0,\"count\":1,\"files\":[{\"path\":\"p\",\"type\":"
	    "\"file\","
	    "\"change\":\"produced\",\"mode\":\"0644\",\"mtime\":\"t\",\"sha256\":\"%s\"}]}],"
	    "\"missing\":[],\"skipped\":[],\"more\":{}}";
	static const char sha[] =
	    "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
	char doc[2048];

	snprintf(doc, sizeof(doc), good, sha);
	assert_int_equal(check_text(doc, &err), 0);
	snprintf(doc, sizeof(doc), good, "12");
	assert_int_equal(check_text(doc, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "outputs[1].files[0].sha256"));
	assert_int_equal(check_text("{\"version\":2}", &err), -ORCH_EFORMAT);
	assert_int_equal(check_text("{\"version\":1}", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "buildGuid"));
	assert_int_equal(check_text("[1]", &err), -EINVAL);
	assert_int_equal(
	    check_text("{\"version\":1,\"buildGuid\":\"x\",\"timestamp\":\"t\",\"state\":"
		       "\"fine\"}",
		&err),
	    -EINVAL);
	assert_int_equal(
	    check_text("{\"version\":1,\"buildGuid\":\"x\",\"timestamp\":\"t\",\"state\":"
		       "\"lost\",\"outputs\":[7]}",
		&err),
	    -EINVAL);
}

static void test_written(void **state)
{
	struct place p = place_new();
	struct orch_json *j = NULL;
	struct sample s;
	char *doc;

	sample_init(&s);
	assert_int_equal(out_result_write(p.fd, &s.r, NULL), 0);
	assert_int_equal(out_manifest_write(p.fd, &s.r, NULL), 0);
	doc = get_file(p.fd, "result.json");
	assert_int_equal(doc[strlen(doc) - 1], '\n');
	assert_int_equal(orch_json_parse(doc, strlen(doc), &j, NULL), 0);
	assert_int_equal(out_result_check(j, NULL), 0);
	orch_json_free(j);
	free(doc);
	doc = get_file(p.fd, "manifest.json");
	assert_int_equal(orch_json_parse(doc, strlen(doc), &j, NULL), 0);
	assert_int_equal(out_manifest_check(j, NULL), 0);
	orch_json_free(j);
	free(doc);
	place_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_result),
	    cmocka_unit_test(test_nearly_empty),
	    cmocka_unit_test(test_manifest),
	    cmocka_unit_test(test_states),
	    cmocka_unit_test(test_checks),
	    cmocka_unit_test(test_written),
	};

	return tap_run(tests);
}
