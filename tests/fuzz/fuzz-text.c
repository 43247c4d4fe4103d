/*
 * The small things that everybody uses on words from outside: UTF-8, names and paths, digests, names of
 * errors, the nearest word, quoting for URLs, numbers.
 */
#include <errno.h>
#include "core/hash.h"
#include "core/log.h"
#include "core/nearest.h"
#include "core/number.h"
#include "core/path.h"
#include "core/strv.h"
#include "core/utf8.h"
#include "tests/lib/fuzz.h"

/* A decoder that is written another way: by the value of the character. */
static size_t slow_sequence(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xc0 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf8 ? 4
				   : 0;
	uint32_t c = len == 1 ? p[0] : p[0] & (0x7fU >> len);

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fU);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

static void utf8(const uint8_t *p, size_t n)
{
	bool valid = true;
	size_t step;

	for (size_t at = 0; at < n; at += step) {
		step = orch_utf8_sequence(p + at, n - at);
		fuzz_must(step == slow_sequence(p + at, n - at));
		if (step == 0) {
			valid = false;
			step = 1;
		}
	}
	fuzz_must(orch_utf8_valid(p, n) == valid);
}

static void path(const char *s)
{
	char *a = orch_path_absolute(s), *b;

	fuzz_must(a != NULL && a[0] == '/');
	b = orch_path_absolute(a);
	fuzz_must(b != NULL && strcmp(a, b) == 0);
	if (a[1] != '\0' && strlen(a) <= ORCH_PATH_MAX && orch_path_valid(s))
		fuzz_must(strlen(a) >= strlen(s) && strcmp(a + strlen(a) - strlen(s), s) == 0);
	fuzz_must(!strstr(a, "//") && !strstr(a, "/./") && !strstr(a, "/../"));
	free(a);
	free(b);
	if (orch_name_valid(s, strlen(s)))
		fuzz_must(orch_path_valid(s));
	if (orch_workspace_name_valid(s))
		fuzz_must(orch_name_valid(s, strlen(s)) && orch_ref_name_valid("x"));
	if (orch_ref_name_valid(s))
		fuzz_must(!strstr(s, "..") && !strstr(s, "//") && s[0] != '/');
}

static void words(const char *a, const char *b)
{
	const char *const list[] = {NULL, b, "snapshot"};
	const char *near;
	unsigned d;

	if (strlen(a) > 120 || strlen(b) > 120)
		return;
	d = orch_edit_distance(a, b);
	fuzz_must(d == orch_edit_distance(b, a));
	fuzz_must((d == 0) == (strcmp(a, b) == 0));
	fuzz_must(d <= 2 * (strlen(a) > strlen(b) ? strlen(a) : strlen(b)));
	near = orch_nearest(a, list, ORCH_ARRAY_LEN(list));
	fuzz_must(near == NULL || near == list[1] || near == list[2]);
}

static void lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'F')
			*s |= 0x20;
}

static void names(char *s)
{
	enum orch_log_level level;
	struct orch_digest d;
	char hex[ORCH_DIGEST_HEX + 1];

	if (orch_err_code(s) != 0)
		fuzz_must(orch_err_code(orch_err_name(orch_err_code(s))) == orch_err_code(s));
	(void)!orch_log_level_parse(s, &level);
	if (orch_digest_parse(s, &d) < 0)
		return;
	orch_digest_format(&d, hex);
	lower(s);
	fuzz_must(strcmp(s, hex) == 0);
}

/* As strtoull has it, where it takes digits alone. */
static void number(const char *s, uint64_t max)
{
	uint64_t n = 1, most = 1;
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno || v > max)
		fuzz_must(orch_number_parse(s, strlen(s), max, &n) == -EINVAL && n == 1);
	else
		fuzz_must(orch_number_parse(s, strlen(s), max, &n) == 0 && n == v);
	if (orch_number_parse(s, strlen(s), UINT64_MAX, &most) == 0 && max < most)
		fuzz_must(n == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	char *a = fuzz_word(&in, '\n'), *b = fuzz_word(&in, '\n');

	utf8(data, size);
	path(a);
	words(a, b);
	names(a);
	number(a, UINT64_MAX);
	number(a, strtoull(b, NULL, 10));
	free(a);
	free(b);
	return 0;
}
