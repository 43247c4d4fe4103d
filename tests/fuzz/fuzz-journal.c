/* The journal of a run. A line that was cut off changes nothing; one that strikes a resource out takes it and no
 * other. */
#include <errno.h>
#include "core/buf.h"
#include "core/json.h"
#include "shim/journal_text.h"
#include "tests/lib/fuzz.h"

static void same(const struct shim_run *a, const struct shim_run *b)
{
	fuzz_must(strcmp(a->id, b->id) == 0 && strcmp(a->socket, b->socket) == 0);
	fuzz_must(a->owner.pid == b->owner.pid && strcmp(a->boot, b->boot) == 0);
	fuzz_must(a->kinds.count == b->kinds.count && a->names.count == b->names.count);
	for (size_t i = 0; i < a->kinds.count; i++)
		fuzz_must(strcmp(a->kinds.v[i], b->kinds.v[i]) == 0 &&
			  strcmp(a->names.v[i], b->names.v[i]) == 0);
}

/* The input's lines, each with its checksum: a fuzzer does not guess them. What is no JSON is left out. */
static uint64_t seal(const uint8_t *data, size_t size, struct orch_buf *out)
{
	const char *text = (const char *)data, *end = text + size, *nl;
	uint64_t sum = 0;

	for (; size > 0 && (nl = memchr(text, '\n', (size_t)(end - text))); text = nl + 1) {
		orch_auto(json) struct orch_json *o = NULL;

		if (orch_json_parse(text, (size_t)(nl - text), &o, NULL) == 0)
			fuzz_must(shim_run_line(out, o, &sum) == 0);
	}
	return sum;
}

static void strike(const struct shim_run *a, size_t n, uint64_t sum, struct orch_buf *text)
{
	orch_auto(json) struct orch_json *o = orch_json_object();

	fuzz_must(orch_json_set_str(o, "gone", a->kinds.v[n]) == 0);
	fuzz_must(orch_json_set_bytes(o, "name", a->names.v[n], strlen(a->names.v[n])) == 0);
	fuzz_must(shim_run_line(text, o, &sum) == 0);
}

static void strikes_out(const struct shim_run *a, const struct orch_buf *sealed, uint64_t sum)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	struct shim_run b;
	size_t n = 0;

	while (n < a->kinds.count && a->kinds.v[n][0] == '\0')
		n++;
	if (n == a->kinds.count)
		return;
	orch_buf_add(&text, sealed->data, sealed->len);
	strike(a, n, sum, &text);
	fuzz_must(shim_run_parse((const char *)text.data, text.len, &b) == 0);
	fuzz_must(b.kinds.count == a->kinds.count);
	for (size_t i = 0; i < b.kinds.count; i++) {
		bool is_it = strcmp(a->kinds.v[i], a->kinds.v[n]) == 0 &&
			     strcmp(a->names.v[i], a->names.v[n]) == 0;

		fuzz_must(strcmp(b.kinds.v[i], is_it ? "" : a->kinds.v[i]) == 0);
		fuzz_must(strcmp(b.names.v[i], a->names.v[i]) == 0);
	}
	shim_run_fini(&b);
}

/* One bit of a line before the last makes all of it untrustworthy. */
static void no_bit_is_free(const struct orch_buf *sealed, size_t at)
{
	struct shim_run b;
	int r;

	at %= sealed->len - 1;
	sealed->data[at] ^= 1;
	r = shim_run_parse((const char *)sealed->data, sealed->len, &b);
	fuzz_must(r == -ORCH_ECORRUPT);
	shim_run_fini(&b);
	sealed->data[at] ^= 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char torn[] = "{\"make\":\"workspace\",\"name\":";
	orch_auto(buf) struct orch_buf sealed = ORCH_BUF_INIT, more = ORCH_BUF_INIT;
	uint64_t sum = seal(data, size, &sealed);
	struct shim_run a, b;
	int r = shim_run_parse((const char *)data, size, &a);

	fuzz_must(r == 0 || r == -EINVAL || r == -ORCH_ECORRUPT);
	shim_run_fini(&a);
	if (sealed.len == 0)
		return 0;
	r = shim_run_parse((const char *)sealed.data, sealed.len, &a);
	if (r < 0) {
		fuzz_must(r == -EINVAL && !a.id);
	} else {
		fuzz_must(a.id && a.socket && a.owner.pid > 0 && a.kinds.count == a.names.count);
		orch_buf_add(&more, sealed.data, sealed.len);
		orch_buf_add_str(&more, torn);
		fuzz_must(shim_run_parse((const char *)more.data, more.len, &b) == 0);
		same(&a, &b);
		shim_run_fini(&b);
		strikes_out(&a, &sealed, sum);
		no_bit_is_free(&sealed, size * 31 + data[size / 2]);
	}
	shim_run_fini(&a);
	return 0;
}
