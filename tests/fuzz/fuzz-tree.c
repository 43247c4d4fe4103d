/* Trees and attributes: what passes the check re-encodes to the same bytes; a view never reads beyond. */
#include <stdlib.h>
#include <string.h>
#include "format/tree.h"
#include "tests/lib/fuzz.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void re_encode(const uint8_t *data, size_t size)
{
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_entry e;
	struct fmt_tree t;
	uint32_t at;

	must(b != NULL && fmt_tree_open(data, size, &t, NULL) == 0);
	for (uint32_t i = 0; i < t.count; i++) {
		must(fmt_tree_entry(&t, i, &e, NULL) == 0);
		must(fmt_tree_find(&t, e.name, e.name_len, &at, NULL) == 0 && at == i);
		must(fmt_tree_builder_add(b, &e, NULL) == 0);
	}
	must(fmt_tree_builder_end(b, &out, NULL) == 0);
	must(out.len == size && memcmp(out.data, data, size) == 0);
	orch_buf_fini(&out);
	fmt_tree_builder_free(b);
}

static void attributes(const uint8_t *data, size_t size)
{
	struct fmt_xattrs x = {data, size};
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_xattr a;
	size_t pos = 0, n = 0;

	if (fmt_xattrs_check(data, size) < 0)
		return;
	while (fmt_xattrs_next(&x, &pos, &a))
		n++;
	must(n == fmt_xattrs_count(&x));
	if (fmt_xattrs_with(&x, "user.fuzz", "v", 1, &out) == 0)
		must(fmt_xattrs_check(out.data, out.len) == 0);
	orch_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fmt_entry e;
	struct fmt_tree t;
	uint32_t at;

	attributes(data, size);
	if (fmt_tree_check(data, size, NULL) == 0)
		re_encode(data, size);
	if (fmt_tree_open(data, size, &t, NULL) < 0)
		return 0;
	for (uint32_t i = 0; i < t.count; i++)
		(void)!fmt_tree_entry(&t, i, &e, NULL);
	(void)!fmt_tree_find(&t, "name", 4, &at, NULL);
	return 0;
}
