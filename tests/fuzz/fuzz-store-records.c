/* FORMAT, the values of the database, and names that are numbers; the first byte says which: f, the kind of a
 * record, or n. */
#include <inttypes.h>
#include <stdio.h>
#include "cache/snapshot.h"
#include "cache/store_priv.h"
#include "tests/lib/fuzz.h"

static void read_snapshot(const uint8_t *key, const uint8_t *p, size_t n)
{
	struct orch_json *j = NULL;
	struct cas_snapshot x;

	if (cas_snapshot_parse(key, ORCH_DIGEST_BYTES, p, n, &x, NULL) < 0)
		return;
	if (!x.record || cas_snapshot_to_json(&x, &j) < 0)
		abort();
	orch_json_free(j);
	cas_snapshot_fini(&x);
}

static void read_ref(const uint8_t *p, size_t n)
{
	struct cas_ref ref;
	size_t name_len = n > 72 ? n - 72 : 0;

	if (n < 72 || cas_ref_parse(p + 72, name_len, p, 72, &ref) < 0)
		return;
	if (strlen(ref.name) != name_len)
		abort();
}

static void read_number(const uint8_t *p, size_t n)
{
	char *name = fuzz_text(p, n), again[24];
	uint64_t v = 0;

	if (cas_number_parse(name, &v) == 0) {
		snprintf(again, sizeof(again), "%" PRIu64, v);
		fuzz_must(v != 0 && strcmp(again, name) == 0);
	}
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[ORCH_DIGEST_BYTES] = {1};
	struct orch_json *j = NULL;
	struct cas_format f;
	struct cas_object o;

	if (size == 0)
		return 0;
	if (data[0] == 'n')
		read_number(data + 1, size - 1);
	if (data[0] == 'f' && cas_format_parse((const char *)data + 1, size - 1, &f, NULL) == 0 &&
	    strlen(f.id) != CAS_STORE_ID_HEX)
		abort();
	if (data[0] == CAS_KIND_OBJECT &&
	    cas_object_parse(key, sizeof(key), data + 1, size - 1, &o) == 0 && o.size > INT64_MAX)
		abort();
	if (data[0] == CAS_KIND_SNAPSHOT)
		read_snapshot(key, data + 1, size - 1);
	if (data[0] == CAS_KIND_REF)
		read_ref(data + 1, size - 1);
	if (data[0] == CAS_KIND_RECORD && cas_json_value(data + 1, size - 1, &j, NULL) == 0)
		orch_json_free(j);
	return 0;
}
