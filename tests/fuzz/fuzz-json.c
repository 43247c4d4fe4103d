/* JSON from outside: what is read can be written and reads as the same; any bytes survive a member. */
#include <stdlib.h>
#include <string.h>
#include "core/json.h"
#include "tests/lib/fuzz.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void round_trip(const struct orch_json *j)
{
	orch_auto(buf) struct orch_buf first = ORCH_BUF_INIT, second = ORCH_BUF_INIT;
	orch_auto(json) struct orch_json *again = NULL;

	must(orch_json_format(j, 0, &first) == 0);
	must(orch_json_parse((const char *)first.data, first.len, &again, NULL) == 0);
	must(orch_json_format(again, 0, &second) == 0);
	must(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
}

static void bytes_survive(const uint8_t *data, size_t size)
{
	orch_auto(json) struct orch_json *o = orch_json_object();
	orch_auto(free) char *got = NULL;
	size_t len = 0;

	must(orch_json_set_bytes(o, "k", data, size) == 0);
	must(orch_json_get_bytes(o, "k", &got, &len, NULL) == 0);
	must(len == size && (size == 0 || memcmp(got, data, size) == 0));
	round_trip(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	orch_auto(json) struct orch_json *j = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(free) char *bytes = NULL;
	size_t len;

	if (orch_json_parse((const char *)data, size, &j, &err) == 0) {
		round_trip(j);
		if (orch_json_is_object(j) && orch_json_get_bytes(j, "k", &bytes, &len, &err) < 0)
			must(err.code != 0);
	} else {
		must(err.code != 0 && !j);
	}
	bytes_survive(data, size);
	return 0;
}
