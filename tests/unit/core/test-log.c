/* The log: one line an event, values that can't forge one, text and JSON. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>

#include "core/json.h"
#include "core/log.h"
#include "tests/unit/core/scratch.h"

struct capture {
	int ends[2];
	char text[65536];
};

static void begin(struct capture *c, enum orch_log_level level, enum orch_log_format format)
{
	assert_int_equal(pipe2(c->ends, O_CLOEXEC | O_NONBLOCK), 0);
	orch_log_setup(c->ends[1], level, format);
}

static const char *end(struct capture *c)
{
	ssize_t n = read(c->ends[0], c->text, sizeof(c->text) - 1);

	c->text[n > 0 ? n : 0] = '\0';
	close(c->ends[0]);
	close(c->ends[1]);
	orch_log_setup(2, ORCH_LOG_INFO, ORCH_LOG_TEXT);
	return c->text;
}

/* Behind the time. */
static const char *rest(const char *line)
{
	assert_int_equal(line[4], '-');
	assert_int_equal(line[23], 'Z');
	return line + 24;
}

static void text_lines(void **state)
{
	struct capture c;

	begin(&c, ORCH_LOG_INFO, ORCH_LOG_TEXT);
	errno = EXDEV;
	orch_log(ORCH_LOG_INFO, "keeper", "mounted", "workspace=%s pid=%d size=%" PRIu64, "a", -12,
	    UINT64_MAX);
	assert_int_equal(errno, EXDEV);
	assert_string_equal(rest(end(&c)), " level=info module=keeper event=mounted workspace=a "
					   "pid=-12 size=18446744073709551615\n");
}

static void values_are_quoted(void **state)
{
	const char *volatile nothing = NULL;
	struct capture c;

	begin(&c, ORCH_LOG_INFO, ORCH_LOG_TEXT);
	orch_log(ORCH_LOG_WARN, "m", "e", "a=%s b=%s c=%s d=%s n=%s x=%x z=%zu p=%d/%d",
	    "two words", "q\"\\", "nl\nlevel=error", "\xff\xc3\xa9", nothing, 255u, (size_t)7, 1,
	    2);
	assert_string_equal(rest(end(&c)),
	    " level=warn module=m event=e a=\"two words\" b=\"q\\\"\\\\\" "
	    "c=\"nl\\nlevel=error\" d=\"\\xff\xc3\xa9\" n=(null) x=ff z=7 p=1/2\n");
	begin(&c, ORCH_LOG_INFO, ORCH_LOG_TEXT);
	orch_log(ORCH_LOG_INFO, "m", "e", "empty=%s", "");
	assert_string_equal(rest(end(&c)), " level=info module=m event=e empty=\"\"\n");
}

static void json_lines_parse(void **state)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct capture c;
	const char *s = NULL;
	int64_t n = 0;

	begin(&c, ORCH_LOG_DEBUG, ORCH_LOG_JSON);
	orch_log(ORCH_LOG_DEBUG, "m", "e", "n=%ld s=%s bad=%s", -5L, "a\"\n\t\x01\\b", "\xff");
	end(&c);
	assert_int_equal(orch_json_parse(c.text, strlen(c.text), &j, NULL), 0);
	assert_int_equal(orch_json_get_int(j, "n", &n, NULL), 0);
	assert_int_equal(n, -5);
	assert_int_equal(orch_json_get_str(j, "s", &s, NULL), 0);
	assert_string_equal(s, "a\"\n\t\x01\\b");
	assert_int_equal(orch_json_get_str(j, "bad", &s, NULL), 0);
	assert_string_equal(s, "\xef\xbf\xbd");
	assert_int_equal(orch_json_get_str(j, "level", &s, NULL), 0);
	assert_string_equal(s, "debug");
}

static void levels(void **state)
{
	enum orch_log_level level = ORCH_LOG_INFO;
	struct capture c;

	begin(&c, ORCH_LOG_WARN, ORCH_LOG_TEXT);
	orch_log(ORCH_LOG_INFO, "m", "e", "a=%d", 1);
	assert_true(orch_log_enabled(ORCH_LOG_ERROR));
	assert_false(orch_log_enabled(ORCH_LOG_INFO));
	assert_string_equal(end(&c), "");
	assert_int_equal(orch_log_level_parse("debug", &level), 0);
	assert_int_equal(level, ORCH_LOG_DEBUG);
	assert_int_equal(orch_log_level_parse("loud", &level), -EINVAL);
}

static void errors_and_long_values(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct capture c;
	char *big = malloc(200000);

	memset(big, 'x', 199999);
	big[199999] = '\0';
	orch_err_set(&err, ENOSPC, "disk full");
	begin(&c, ORCH_LOG_INFO, ORCH_LOG_TEXT);
	orch_log_err("m", "e", &err);
	assert_string_equal(
	    rest(end(&c)), " level=error module=m event=e code=ENOSPC error=\"disk full\"\n");
	begin(&c, ORCH_LOG_INFO, ORCH_LOG_TEXT);
	orch_log(ORCH_LOG_INFO, "m", "e", "v=%s", big);
	assert_string_equal(rest(end(&c)), " level=info module=m event=e log=cut\n");
	free(big);
}

static char name_a[] = "aaaaaaaaaaaaaaaaaaaa", name_b[] = "bbbbbbbbbbbbbbbbbbbb";

static void *many(void *arg)
{
	for (int i = 0; i < 100; i++)
		orch_log(ORCH_LOG_INFO, "m", "e", "thread=%s i=%d", (const char *)arg, i);
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	struct capture c;
	pthread_t t[2];
	unsigned lines = 0;

	begin(&c, ORCH_LOG_INFO, ORCH_LOG_TEXT);
	fcntl(c.ends[1], F_SETPIPE_SZ, 1 << 20);
	pthread_create(&t[0], NULL, many, name_a);
	pthread_create(&t[1], NULL, many, name_b);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	end(&c);
	for (char *p = c.text; *p; p = strchr(p, '\n') + 1, lines++)
		assert_memory_equal(rest(p), " level=info module=m event=e thread=", 36);
	assert_int_equal(lines, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_lines),
	    cmocka_unit_test(values_are_quoted),
	    cmocka_unit_test(json_lines_parse),
	    cmocka_unit_test(levels),
	    cmocka_unit_test(errors_and_long_values),
	    cmocka_unit_test(lines_of_threads_do_not_mix),
	};

	return tap_run(tests);
}
