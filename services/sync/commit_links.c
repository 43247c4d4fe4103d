/*
 * Commit: files with several names. A layer records the names that it saw; a file of the base may
 * have others anywhere, found by its inode number, and they change with it.
 */
#include "sync/commit_priv.h"

/* Whether it may have names in the base that no layer records: it had several, or a record of it
 * stayed (a rebase keeps those of hard-linked files) while no entry leads to it. */
static bool has_unrecorded_names(const struct commit *c, const struct fmt_node *n)
{
	return n->base_links > 1 || (n->base_links == 1 && !sync_inomap_get(&c->placed, 0, n->ino));
}

/* Which numbers to look for. */
int commit_find_linked(struct commit *c)
{
	const struct fmt_node *n;
	uint64_t cookie = 0;

	while ((n = fmt_overlay_nodes(c->overlay, &cookie))) {
		bool unrecorded = has_unrecorded_names(c, n);

		if (n->type == FMT_DIR || n->nlink == 0 || (n->nlink <= 1 && !unrecorded))
			continue;
		if (!sync_inomap_put(&c->linked, 0, n->ino))
			return orch_err_sys(c->err, ENOMEM, "commit");
		c->search_base |= unrecorded;
	}
	return 0;
}

/* A name that no layer records gets what the others have. */
static int update_name(struct commit *c, struct sync_node *n)
{
	const struct fmt_node *state = fmt_overlay_node(c->overlay, n->s.ino);
	struct fmt_entry e = {.name = n->e.name, .name_len = n->e.name_len};
	struct fmt_stamp s;
	int r;

	if (!state || state->type == FMT_DIR)
		return 0;
	r = commit_entry(c, state, &e, &s);
	if (r < 0)
		return r;
	if (r > 0) {
		n->gone = true;
		return 1;
	}
	n->e = e;
	n->s = s;
	return 1;
}

static int count_name(void *priv, struct sync_node *n)
{
	struct commit *c = priv;
	int r = update_name(c, n);

	if (r >= 0 && !n->gone)
		++*sync_inomap_get(&c->linked, 0, n->s.ino);
	return r;
}

static int set_count(void *priv, struct sync_node *n)
{
	struct commit *c = priv;

	n->s.nlink = (uint32_t)*sync_inomap_get(&c->linked, 0, n->s.ino);
	return 1;
}

int commit_links(struct commit *c)
{
	int r = sync_edit_links(&c->edit, &c->linked, c->search_base, count_name, c, c->err);

	if (r == 0)
		r = sync_edit_links(&c->edit, &c->linked, false, set_count, c, c->err);
	return r;
}
