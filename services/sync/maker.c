/* A folder's tree and stamps; see maker.h. */
#include "sync/maker.h"

#include <stdlib.h>
#include "core/grow.h"
#include "core/size.h"

#define RECORD_MAX ((size_t)FMT_PACK_RECORD_MAX)

struct sync_maker {
	struct cas_quarantine *quarantine;
	struct fmt_tree_builder *tree;
	struct fmt_stamps_builder *stamps;
	struct fmt_stamp *list; /* in the order of _add */
	size_t count, cap;
	struct orch_buf buf;
	uint64_t size, below;
};

int sync_maker_new(struct cas_quarantine *q, struct sync_maker **out, struct orch_err *err)
{
	struct sync_maker *m = calloc(1, sizeof(*m));

	if (!m)
		return orch_err_sys(err, ENOMEM, "make a tree");
	m->quarantine = q;
	m->tree = fmt_tree_builder_new();
	m->stamps = fmt_stamps_builder_new();
	orch_buf_init(&m->buf, RECORD_MAX);
	if (!m->tree || !m->stamps) {
		sync_maker_free(m);
		return orch_err_sys(err, ENOMEM, "make a tree");
	}
	*out = m;
	return 0;
}

void sync_maker_free(struct sync_maker *m)
{
	if (!m)
		return;
	fmt_tree_builder_free(m->tree);
	fmt_stamps_builder_free(m->stamps);
	orch_buf_fini(&m->buf);
	free(m->list);
	free(m);
}

static int keep_stamp(struct sync_maker *m, const struct fmt_stamp *s)
{
	int r = orch_grow(&m->list, &m->cap, m->count + 1, sizeof(*m->list));

	if (r == 0)
		m->list[m->count++] = *s;
	return r;
}

static int add_totals(struct sync_maker *m, const struct fmt_entry *e)
{
	if (e->type == FMT_SYMLINK)
		return orch_u64_add(m->below, 1, &m->below);
	if (orch_u64_add(m->size, e->size, &m->size) < 0 ||
	    orch_u64_add(m->below, e->count, &m->below) < 0)
		return -EOVERFLOW;
	return orch_u64_add(m->below, 1, &m->below);
}

int sync_maker_add(struct sync_maker *m, const struct fmt_entry *e, const struct fmt_stamp *s,
    struct orch_err *err)
{
	int r = fmt_tree_builder_add(m->tree, e, err);

	if (r < 0)
		return r;
	r = keep_stamp(m, s);
	if (r == 0)
		r = add_totals(m, e);
	if (r < 0)
		return orch_err_sys(err, -r, "make a tree");
	return 0;
}

static int add_tree(struct sync_maker *m, struct orch_digest *out, struct orch_err *err)
{
	int r;

	orch_buf_reset(&m->buf);
	r = fmt_tree_builder_end(m->tree, &m->buf, err);
	if (r < 0)
		return r;
	return cas_quarantine_add_record(
	    m->quarantine, FMT_PACK_TREE, m->buf.data, m->buf.len, out, err);
}

static int add_stamps(struct sync_maker *m, struct orch_digest *out, struct orch_err *err)
{
	int r = 0;

	orch_buf_reset(&m->buf);
	for (size_t i = 0; i < m->count && r == 0; i++)
		r = fmt_stamps_builder_add(
		    m->stamps, &m->list[fmt_tree_builder_order(m->tree, (uint32_t)i)]);
	if (r == 0)
		r = fmt_stamps_builder_end(m->stamps, &m->buf);
	if (r < 0)
		return orch_err_sys(err, -r, "make stamps");
	return cas_quarantine_add_record(
	    m->quarantine, FMT_PACK_STAMPS, m->buf.data, m->buf.len, out, err);
}

int sync_maker_end(struct sync_maker *m, struct sync_made *out, struct orch_err *err)
{
	struct sync_made made = {.size = m->size, .count = m->below};
	int r = add_tree(m, &made.tree, err);

	if (r == 0)
		r = add_stamps(m, &made.stamps, err);
	fmt_tree_builder_reset(m->tree);
	fmt_stamps_builder_reset(m->stamps);
	m->count = 0;
	m->size = m->below = 0;
	if (r == 0)
		*out = made;
	return r;
}

int sync_maker_snapshot(struct sync_maker *m, const struct fmt_snapshot *s,
    struct orch_digest *out_id, struct orch_err *err)
{
	int r;

	orch_buf_reset(&m->buf);
	r = fmt_snapshot_format(s, &m->buf);
	if (r < 0)
		return orch_err_sys(err, -r, "make a snapshot");
	return cas_quarantine_add_record(
	    m->quarantine, FMT_PACK_SNAPSHOT, m->buf.data, m->buf.len, out_id, err);
}
