/*
 * Trees: the builder sorts and encodes, the view finds a name in mapped bytes by bisection without
 * touching memory of its own. Pure. docs/format.md has the bytes.
 */
#include "format/tree.h"

#include <stdlib.h>
#include "core/size.h"
#include "format/format_priv.h"

#define TREE_VERSION	1
#define TREE_HEAD_BYTES 16
#define TREE_DATA_MAX	(UINT32_C(1) << 30) /* bytes of all entries: what a pack record can hold */

struct built { /* one added entry: its encoding in the builder's arena */
	size_t at;
	uint32_t len;
	uint32_t nth;
};

struct fmt_tree_builder {
	struct orch_buf arena;
	struct built *v;
	uint32_t count, cap;
};

struct fmt_tree_builder *fmt_tree_builder_new(void)
{
	struct fmt_tree_builder *b = calloc(1, sizeof(*b));

	if (b != NULL)
		orch_buf_init(&b->arena, TREE_DATA_MAX);
	return b;
}

void fmt_tree_builder_free(struct fmt_tree_builder *b)
{
	if (b == NULL)
		return;
	orch_buf_fini(&b->arena);
	free(b->v);
	free(b);
}

void fmt_tree_builder_reset(struct fmt_tree_builder *b)
{
	orch_buf_reset(&b->arena);
	b->count = 0;
}

static int builder_grow(struct fmt_tree_builder *b)
{
	uint32_t cap = b->cap == 0 ? 16 : b->cap * 2;
	struct built *v;

	if (b->count < b->cap)
		return 0;
	v = reallocarray(b->v, cap, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	b->v = v;
	b->cap = cap;
	return 0;
}

int fmt_tree_builder_add(
    struct fmt_tree_builder *b, const struct fmt_entry *e, struct orch_err *err)
{
	size_t at = b->arena.len;
	int r = fmt_entry_check(e, false, err);

	if (r < 0)
		return r;
	if (b->count >= FMT_TREE_ENTRIES_MAX)
		return orch_err_set(
		    err, EOVERFLOW, "folder has more than %u entries", FMT_TREE_ENTRIES_MAX);
	if (builder_grow(b) < 0)
		return orch_err_set(err, ENOMEM, "no memory for a folder of %u entries", b->count);
	/* once, so that a failure leaves no half of an entry behind */
	if (orch_buf_reserve(&b->arena, e->name_len + e->target_len + e->xattrs.len + 64) < 0) {
		b->arena.failed = false;
		return orch_err_set(err, at > TREE_DATA_MAX / 2 ? EOVERFLOW : ENOMEM,
		    "folder of %u entries is too large", b->count);
	}
	fmt_entry_encode(e, &b->arena);
	b->v[b->count] = (struct built){at, (uint32_t)(b->arena.len - at), b->count};
	b->count++;
	return 0;
}

/* Encoded entries begin with name_len; the name is at 12. */
#define ENTRY_NAME_AT 12

static int name_cmp(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (r != 0)
		return r;
	return (a_len > b_len) - (a_len < b_len);
}

static int built_cmp(const void *pa, const void *pb, void *arena)
{
	const uint8_t *a = (const uint8_t *)arena + ((const struct built *)pa)->at;
	const uint8_t *b = (const uint8_t *)arena + ((const struct built *)pb)->at;

	return name_cmp(a + ENTRY_NAME_AT, a[0], b + ENTRY_NAME_AT, b[0]);
}

static int builder_sort(struct fmt_tree_builder *b, struct orch_err *err)
{
	if (b->count > 1)
		qsort_r(b->v, b->count, sizeof(*b->v), built_cmp, b->arena.data);
	for (uint32_t i = 1; i < b->count; i++) {
		const uint8_t *e = b->arena.data + b->v[i].at;

		if (built_cmp(&b->v[i - 1], &b->v[i], b->arena.data) == 0)
			return orch_err_set(err, EEXIST, "name \"%.*s\" twice in one folder", e[0],
			    (const char *)e + ENTRY_NAME_AT);
	}
	return 0;
}

int fmt_tree_builder_end(struct fmt_tree_builder *b, struct orch_buf *out, struct orch_err *err)
{
	size_t was = out->len;
	uint32_t offset = 0;
	int r = builder_sort(b, err);

	if (r < 0)
		return r;
	fmt_prefix_add(out, FMT_MAGIC_TREE, TREE_VERSION);
	(void)orch_buf_add_u32(out, b->count);
	(void)orch_buf_add_u32(out, (uint32_t)b->arena.len);
	for (uint32_t i = 0; i < b->count; i++) {
		(void)orch_buf_add_u32(out, offset);
		offset += b->v[i].len;
	}
	for (uint32_t i = 0; i < b->count; i++)
		(void)orch_buf_add(out, b->arena.data + b->v[i].at, b->v[i].len);
	if (fmt_appended(out, was) < 0)
		return orch_err_set(err, ENOMEM, "no memory for a folder of %u entries", b->count);
	return 0;
}

uint32_t fmt_tree_builder_order(const struct fmt_tree_builder *b, uint32_t i)
{
	ORCH_BUG_ON(i >= b->count);
	return b->v[i].nth;
}

/* ---- the view ---- */

int fmt_tree_open(const void *p, size_t len, struct fmt_tree *out, struct orch_err *err)
{
	struct orch_cursor c = orch_cursor_make(p, len);
	uint32_t count, data;
	int r = fmt_prefix_check(&c, FMT_MAGIC_TREE, TREE_VERSION, "tree", err);

	if (r < 0)
		return r;
	count = orch_cursor_u32(&c);
	data = orch_cursor_u32(&c);
	if (c.failed || count > FMT_TREE_ENTRIES_MAX || data > TREE_DATA_MAX ||
	    orch_cursor_left(&c) != (size_t)count * 4 + data)
		return fmt_corrupt(err, "tree", "its header does not fit its length");
	*out = (struct fmt_tree){.p = p, .len = len, .count = count};
	return 0;
}

/* The bytes of entry i, bounds checked; NULL when the table is not valid there. */
static const uint8_t *tree_slice(const struct fmt_tree *t, uint32_t i, size_t *out_len)
{
	const uint8_t *table = t->p + TREE_HEAD_BYTES, *data = table + (size_t)t->count * 4;
	size_t data_len = t->len - (size_t)(data - t->p);
	size_t from = orch_le32(table + (size_t)i * 4);
	size_t to = i + 1 < t->count ? orch_le32(table + (size_t)i * 4 + 4) : data_len;

	if (from >= to || to > data_len)
		return NULL;
	*out_len = to - from;
	return data + from;
}

int fmt_tree_entry(
    const struct fmt_tree *t, uint32_t i, struct fmt_entry *out, struct orch_err *err)
{
	const uint8_t *p;
	size_t len;

	ORCH_BUG_ON(i >= t->count);
	p = tree_slice(t, i, &len);
	if (p == NULL)
		return fmt_corrupt(err, "tree", "its table of offsets is not valid");
	return fmt_entry_decode(p, len, false, out, err);
}

int fmt_tree_find(const struct fmt_tree *t, const char *name, size_t name_len, uint32_t *out_i,
    struct orch_err *err)
{
	uint32_t lo = 0, hi = t->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		size_t len;
		const uint8_t *e = tree_slice(t, mid, &len);
		uint8_t e_len;
		int cmp;

		if (e == NULL || len < ENTRY_NAME_AT)
			return fmt_corrupt(err, "tree", "its table of offsets is not valid");
		e_len = e[0];
		if (e_len == 0 || len - ENTRY_NAME_AT < e_len)
			return fmt_corrupt(err, "tree", "an entry that is not valid");
		cmp = name_cmp((const uint8_t *)name, name_len, e + ENTRY_NAME_AT, e_len);
		if (cmp == 0) {
			*out_i = mid;
			return 0;
		}
		if (cmp < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return -ENOENT;
}

int fmt_tree_check(const void *p, size_t len, struct orch_err *err)
{
	struct fmt_entry e, prev = {0};
	struct fmt_tree t;
	int r = fmt_tree_open(p, len, &t, err);

	if (r < 0)
		return r;
	/* each slice begins where the one before ended, so the first at 0 leaves no gap */
	if (t.count > 0 ? orch_le32(t.p + TREE_HEAD_BYTES) != 0 : t.len != TREE_HEAD_BYTES)
		return fmt_corrupt(err, "tree", "bytes that belong to no entry");
	for (uint32_t i = 0; i < t.count; i++) {
		r = fmt_tree_entry(&t, i, &e, err);
		if (r < 0)
			return r;
		if (i > 0 && name_cmp((const uint8_t *)prev.name, prev.name_len,
				 (const uint8_t *)e.name, e.name_len) >= 0)
			return fmt_corrupt(err, "tree", "names are not in rising order");
		prev = e;
	}
	return 0;
}
