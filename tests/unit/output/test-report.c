/* report.html: nothing hostile gets in, nothing is loaded, the log's tail is shown. */
#include "output/html.h"
#include "output/result.h"
#include "tests/unit/output/place.h"

static char *text_of(const char *s)
{
	struct orch_buf b = ORCH_BUF_INIT;

	html_text(&b, s);
	return orch_buf_take_str(&b);
}

static void assert_text_is(const char *s, const char *want)
{
	char *got = text_of(s);

	assert_string_equal(got, want);
	free(got);
}

static void test_text(void **state)
{
	assert_text_is("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;");
	assert_text_is("\xc3\xa9 \xe2\x82\xac", "\xc3\xa9 \xe2\x82\xac");
	assert_text_is("a\nb\tc\x1b[0m\x7f", "a\\nb\\tc\\x1b[0m\\x7f");
	assert_text_is("\xff\xc3", "\\xff\\xc3");
	assert_text_is("gpj.\xe2\x80\xae"
		       "exe",
	    "gpj.\\u202e"
	    "exe"); /* right to left */
	assert_text_is("\xc2\x9b", "\\x9b");
	assert_text_is("", "");
}

static void assert_log_is(const char *s, const char *want)
{
	struct orch_buf b = ORCH_BUF_INIT;
	char *got;

	html_log(&b, s, strlen(s));
	got = orch_buf_take_str(&b);
	assert_string_equal(got, want);
	free(got);
}

static void test_log(void **state)
{
	assert_log_is("a\tb\n", "a\tb\n");
	assert_log_is("\x1b[1;31mred\x1b[0m <x>\r\n", "red &lt;x&gt;\n");
	assert_log_is("10%\r50%\r100%\nnext", "100%\nnext\n");
	assert_log_is("\x1b]0;title\x07text", "text\n");
	assert_log_is("\x1b]8;;http://x\x1b\\link", "link\n");
	assert_log_is("\x1b[", "\n");
	assert_log_is("\x1b", "\n");
	assert_log_is("\x1b]never ends\nnext", "\nnext\n");
	assert_log_is("\r\r\n", "\n");
}

static void test_href(void **state)
{
	struct orch_buf b = ORCH_BUF_INIT;
	char *got;

	html_href(&b, "a b/\"<\xff%?#");
	got = orch_buf_take_str(&b);
	assert_string_equal(got, "a%20b/%22%3C%FF%25%3F%23");
	free(got);
}

static void assert_number(void (*fn)(struct orch_buf *, uint64_t), uint64_t n, const char *want)
{
	struct orch_buf b = ORCH_BUF_INIT;
	char *got;

	fn(&b, n);
	got = orch_buf_take_str(&b);
	assert_string_equal(got, want);
	free(got);
}

static void test_numbers(void **state)
{
	assert_number(html_duration, 0, "0 ms");
	assert_number(html_duration, 340 * ORCH_NS_PER_MS, "340 ms");
	assert_number(html_duration, 3456 * ORCH_NS_PER_MS, "3.4 s");
	assert_number(html_duration, 125 * ORCH_NS_PER_S, "2 min 05 s");
	assert_number(html_duration, 3725 * ORCH_NS_PER_S, "1 h 02 min");
	assert_number(html_duration, UINT64_MAX, "5124095 h 34 min");
	assert_number(html_size, 17, "17 B");
	assert_number(html_size, 1536, "1.5 KiB");
	assert_number(html_size, UINT64_MAX, "15.9 EiB");
}

static void test_command(void **state)
{
	const char *const argv[] = {"sh", "-c", "a 'b' <c>", "", NULL};
	struct out_result r = {.run = "r", .state = OUT_SUCCEEDED, .argv = argv};
	struct orch_buf out = ORCH_BUF_INIT;
	char *page;

	assert_int_equal(out_report_html(&r, NULL, 0, false, &out), 0);
	page = orch_buf_take_str(&out);
	assert_non_null(strstr(page, "<code>sh -c &#39;a &#39;\\&#39;&#39;b&#39;\\&#39;&#39; "
				     "&lt;c&gt;&#39; &#39;&#39;</code>"));
	free(page);
}

#define EVIL "\"'><script>alert(1)</script><img src=http://evil/x onerror=alert(1)>"

/* Every string of a run is hostile; the page must not hold one of their tags. */
static void test_hostile_page(void **state)
{
	static char path[] = "dist/" EVIL, target[] = EVIL, name[] = "bin", gone[] = "gone";
	static char skipped_path[] = EVIL;
	struct out_file files[] = {{.path = path, .type = OUT_SYMLINK, .target = target}};
	struct out_output outputs[] = {
	    {.name = name, .files = files, .count = 1}, {.name = gone, .required = true}};
	char *skipped[] = {skipped_path};
	struct out_collection c = {
	    .v = outputs, .count = 2, .skipped = skipped, .skipped_count = 1};
	const struct out_phase phases[] = {
	    {EVIL, OUT_PHASE_FAILED, 0, 5, EVIL}, {"later", OUT_PHASE_SKIPPED, 0, 0, NULL}};
	const struct out_pair pairs[] = {{EVIL, EVIL}};
	const char *const argv[] = {EVIL, EVIL, NULL};
	struct out_result r = {.run = EVIL,
	    .state = OUT_FAILED,
	    .exit_code = 1,
	    .reason = EVIL,
	    .next_step = EVIL,
	    .argv = argv,
	    .reproduce = EVIL,
	    .engine = EVIL,
	    .provider = EVIL,
	    .platform = EVIL,
	    .source = EVIL,
	    .branch = EVIL,
	    .commit = EVIL,
	    .source_snapshot = EVIL,
	    .start_snapshot = EVIL,
	    .result_snapshot = EVIL,
	    .workspace = EVIL,
	    .cache = {.key = EVIL, .from = EVIL, .why = EVIL},
	    .phases = phases,
	    .phase_count = 2,
	    .outputs = &c,
	    .log_name = "build.log",
	    .warnings = pairs,
	    .warning_count = 1,
	    .facts = pairs,
	    .fact_count = 1,
	    .resources = {.known = true},
	    .tests = {.known = true}};
	struct orch_buf out = ORCH_BUF_INIT;
	char *page;

	assert_int_equal(out_report_html(&r, EVIL "\n", strlen(EVIL) + 1, true, &out), 0);
	page = orch_buf_take_str(&out);
	assert_null(strstr(page, "<script"));
	assert_null(strstr(page, "<img"));
	assert_null(strstr(page, "<link"));
	assert_null(strstr(page, "\"'>"));
	assert_null(strstr(page, "href=\"http"));
	assert_non_null(strstr(page, "default-src 'none'"));
	assert_non_null(strstr(page, "&lt;script&gt;alert(1)"));
	assert_non_null(strstr(page, "missing, and required"));
	free(page);
}

static void test_written(void **state)
{
	struct place p = place_new();
	struct orch_buf log = ORCH_BUF_INIT;
	struct out_result r = {.run = "r1",
	    .state = OUT_SUCCEEDED,
	    .exit_code = 0,
	    .log_name = "build.log",
	    .log_bytes = 5};
	char *page;

	assert_int_equal(out_report_write(p.fd, &r, NULL), 0); /* no log: said, not failed */
	page = get_file(p.fd, "report.html");
	assert_non_null(strstr(page, "could not be read"));
	free(page);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(orch_buf_printf(&log, "line %d\n", i), 0);
	put_bytes(p.fd, "build.log", log.data, log.len, 0644);
	assert_int_equal(out_report_write(p.fd, &r, NULL), 0);
	page = get_file(p.fd, "report.html");
	assert_non_null(strstr(page, "line 19999\n"));
	assert_non_null(strstr(page, "line 19700\n"));
	assert_null(strstr(page, "line 19699\n"));
	assert_non_null(strstr(page, "The build succeeded"));
	free(page);
	orch_buf_fini(&log);
	place_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_log),
	    cmocka_unit_test(test_href),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test(test_command),
	    cmocka_unit_test(test_hostile_page),
	    cmocka_unit_test(test_written),
	};

	return tap_run(tests);
}
