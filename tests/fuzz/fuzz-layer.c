/* Layer logs: as they are, and with the input as the records of one frame behind a head. What an
 * overlay took from a log, its checkpoint says again. */
#include <stdlib.h>
#include <string.h>
#include "format/overlay.h"
#include "tests/lib/fuzz.h"

static int keep(void *priv, const void *p, size_t n)
{
	return orch_buf_add(priv, p, n);
}

static void compare(const struct fmt_overlay *a, const struct fmt_overlay *b)
{
	const struct fmt_node *n, *m;
	uint64_t cookie = 0, at, other;

	if (fmt_overlay_node_count(a) != fmt_overlay_node_count(b))
		abort();
	while ((n = fmt_overlay_nodes(a, &cookie)) != NULL) {
		m = fmt_overlay_node(b, n->ino);
		if (m == NULL || m->seq != n->seq || m->content != n->content || m->size != n->size)
			abort();
		at = other = 0;
		for (;;) {
			const struct fmt_link *l = fmt_overlay_links(a, n->ino, &at);
			const struct fmt_link *k = fmt_overlay_links(b, n->ino, &other);

			if ((l == NULL) != (k == NULL))
				abort();
			if (l == NULL)
				break;
			if (l->ino != k->ino || l->name_len != k->name_len ||
			    memcmp(l->name, k->name, l->name_len) != 0)
				abort();
		}
	}
}

static void replay(const uint8_t *data, size_t size)
{
	struct fmt_overlay *o = fmt_overlay_new(), *again = fmt_overlay_new();
	struct orch_buf dump = ORCH_BUF_INIT;
	struct fmt_layer_head head, got;
	struct fmt_log_end scan;
	size_t end;
	bool torn;
	int r, q;

	if (o == NULL || again == NULL)
		abort();
	r = fmt_overlay_replay(o, data, size, &end, &head, &torn, NULL);
	q = fmt_log_scan(data, size, &scan, NULL);
	if (r != q || (r == 0 && (scan.used != end || scan.torn != torn)))
		abort();
	if (r == 0) {
		if (fmt_overlay_dump(o, &head, keep, &dump) < 0 ||
		    fmt_overlay_replay(again, dump.data, dump.len, &end, &got, &torn, NULL) < 0)
			abort();
		compare(o, again);
	}
	orch_buf_fini(&dump);
	fmt_overlay_free(o);
	fmt_overlay_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fmt_layer_head head = {.layer = 1, .workspace = "w", .next_ino = 2};
	struct orch_buf log = ORCH_BUF_INIT;
	size_t at;

	replay(data, size);
	if (fmt_layer_head_frame(&head, &log) < 0 || fmt_txn_begin(&log, 1, &at) < 0 ||
	    orch_buf_add(&log, data, size) < 0 || fmt_txn_end(&log, at) < 0)
		abort();
	replay(log.data, log.len);
	orch_buf_fini(&log);
	return 0;
}
