/* Test reports: what counts as a test, what is not a report at all. */
#include "tests/lib/tap.h"

#include "shim/test_report.h"

static void counts(const char *text, uint64_t tests, uint64_t failed, uint64_t skipped)
{
	struct shim_test_counts c = {0};
	struct orch_err err = ORCH_ERR_INIT;

	if (shim_test_report_parse(text, strlen(text), &c, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	assert_int_equal(c.tests, tests);
	assert_int_equal(c.failed, failed);
	assert_int_equal(c.skipped, skipped);
}

static void refused(const char *text, const char *part)
{
	struct shim_test_counts c = {0};
	struct orch_err err = ORCH_ERR_INIT;

	assert_int_equal(shim_test_report_parse(text, strlen(text), &c, &err), -EINVAL);
	if (!strstr(err.msg, part))
		fail_msg("'%s' is not in '%s'", part, err.msg);
	assert_int_equal(c.tests, 0);
}

static void test_junit(void **state)
{
	counts("<?xml version=\"1.0\"?>\n<testsuites><testsuite name='a > b' tests=\"3\"><testcase "
	       "name=\"1\"/>"
	       "<testcase name=\"2\"><failure message=\"x\">a &lt; b</failure></testcase>"
	       "<testcase name=\"3\"><skipped/></testcase></testsuite></testsuites>\n",
	    3, 1, 1);
	counts("<testsuite><testcase><error/><failure/></testcase><system-out><![CDATA[<testcase/"
	       ">]]></system-out></testsuite>",
	    1, 1, 0);
	counts("<testsuite tests='9'></testsuite>", 0, 0, 0);
	counts("\xef\xbb\xbf<testsuite><!-- <testcase/> --></testsuite>", 0, 0, 0);
}

static void test_nunit(void **state)
{
	counts("<test-run id=\"2\"><test-suite result=\"Failed\"><test-case name=\"a\" "
	       "result=\"Passed\"/>"
	       "<test-case name=\"b\" "
	       "result=\"Failed\"><failure><message>no</message></failure></test-case>"
	       "<test-case name='c' result='Skipped'/></test-suite></test-run>",
	    3, 1, 1);
}

static void test_what_is_no_report(void **state)
{
	refused("", "the file is empty");
	refused("PASS: 1\n", "line 1: this is not XML");
	refused("<html></html>", "neither JUnit nor NUnit 3");
	refused("<testsuite>\n<testcase/>\n", "the file is cut off");
	refused("<testsuite>\n<testcase>\n</testsuite>",
	    "line 3: a closing tag without its opening one");
	refused("<testsuite><testcase name=x/></testsuite>", "no quotes");
	refused("<testsuite><testcase name=\"x/></testsuite>", "does not end");
	refused("<!DOCTYPE x [<!ENTITY a \"b\">]><testsuite/>", "document type");
	refused("<testsuite/><testsuite/>", "more than one root");
	refused("<testsuite", "not well-formed");
}

static void test_deep_nesting_is_refused(void **state)
{
	char text[2000] = "<testsuite>";

	for (int i = 0; i < 100; i++)
		memcpy(text + strlen(text), "<a>", 4);
	refused(text, "nested too deeply");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_junit),
	    cmocka_unit_test(test_nunit),
	    cmocka_unit_test(test_what_is_no_report),
	    cmocka_unit_test(test_deep_nesting_is_refused),
	};

	return tap_run(tests);
}
