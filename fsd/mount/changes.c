/*
 * What changed after a given transaction, from the records of all layers: a walk over the recorded
 * entries, which hang together from the root. A record is written again where a lower layer or the
 * base said the same (ancestors of what changed), so it is compared with what is below before it
 * counts.
 */
#include <stdlib.h>
#include <string.h>
#include "core/json.h"
#include "fsd/mount/ns_priv.h"

struct place {
	struct place *next;
	uint64_t ino;
	size_t len;
	char path[]; /* NUL-terminated; "" for the root */
};

struct walk {
	struct mnt_ns *ns;
	uint64_t since;
	struct orch_buf *out;
	struct place *todo;
	int r;
};

static const char *type_name(enum fmt_type type)
{
	static const char *const names[] = {[FMT_REG] = "file",
	    [FMT_DIR] = "folder",
	    [FMT_SYMLINK] = "symlink",
	    [FMT_FIFO] = "fifo",
	    [FMT_SOCKET] = "socket",
	    [FMT_CHR] = "device",
	    [FMT_BLK] = "device"};

	return (size_t)type < ORCH_ARRAY_LEN(names) && names[type] ? names[type] : "file";
}

static int push(struct walk *w, uint64_t ino, const char *path, size_t len)
{
	struct place *p = malloc(sizeof(*p) + len + 1);

	if (!p)
		return -ENOMEM;
	*p = (struct place){.next = w->todo, .ino = ino, .len = len};
	memcpy(p->path, path, len);
	p->path[len] = 0;
	w->todo = p;
	return 0;
}

static int emit(struct walk *w, const struct orch_buf *path, const char *change, enum fmt_type type,
    uint64_t seq)
{
	orch_auto(json) struct orch_json *j = orch_json_object();
	int r = j ? 0 : -ENOMEM;

	r = r < 0 ? r : orch_json_set_bytes(j, "path", path->data, path->len);
	r = r < 0 ? r : orch_json_set_str(j, "change", change);
	r = r < 0 ? r : orch_json_set_str(j, "type", type_name(type));
	r = r < 0 ? r : orch_json_set_u64(j, "seq", seq);
	r = r < 0 ? r : orch_json_format(j, 0, w->out);
	return r < 0 ? r : orch_buf_add_u8(w->out, '\n');
}

/* The base's entry of that name, when its folder is one of the base. */
static bool base_entry(
    struct walk *w, uint64_t parent, const struct fmt_link *l, struct mnt_found *out)
{
	const struct fmt_node *dir = mnt_chain_node(&w->ns->chain, parent);
	struct fmt_stamps stamps;
	struct fmt_tree tree;
	uint32_t i;

	if (!dir || dir->content != FMT_CONTENT_TREE ||
	    view_packset_tree(w->ns->config.packs, &dir->digest, &tree, NULL) < 0 ||
	    view_packset_stamps(w->ns->config.packs, &dir->stamps, &stamps, NULL) < 0 ||
	    tree.count != stamps.count ||
	    fmt_tree_find(&tree, l->name, l->name_len, &i, NULL) < 0 ||
	    fmt_tree_entry(&tree, i, &out->entry, NULL) < 0 ||
	    fmt_stamps_get(&stamps, i, &out->stamp, NULL) < 0)
		return false;
	out->ino = out->stamp.ino;
	return true;
}

/* When the name got what it has now: the record of the lowest stratum that says the same without
 * another in between; 0 when the base says it. */
static uint64_t since_when(struct walk *w, uint64_t parent, const struct fmt_link *top, size_t k)
{
	uint64_t seq = top->seq;
	struct mnt_found base;

	while (k-- > 0) {
		const struct fmt_link *l =
		    fmt_overlay_link(w->ns->chain.strata[k], parent, top->name, top->name_len);

		if (l && l->ino != top->ino)
			return seq;
		if (l)
			seq = l->seq;
	}
	return base_entry(w, parent, top, &base) && base.ino == top->ino ? 0 : seq;
}

static bool same_attributes(const struct fmt_node *a, const struct fmt_node *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->xattrs.len == b->xattrs.len &&
	       (a->xattrs.len == 0 || memcmp(a->xattrs.p, b->xattrs.p, a->xattrs.len) == 0) &&
	       (a->type == FMT_DIR || (a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns));
}

/* Did the node's own attributes change? What was recorded again unchanged did not: each record that is
 * new enough is compared with the one below. */
static bool attributes_changed(
    struct walk *w, uint64_t parent, const struct fmt_link *l, const struct fmt_node *now)
{
	struct fmt_node below;
	struct mnt_found base;

	for (size_t k = w->ns->chain.strata_count; k-- > 0;) {
		const struct fmt_node *n = fmt_overlay_node(w->ns->chain.strata[k], now->ino);

		if (!n || n == now)
			continue;
		if (!same_attributes(n, now))
			return true;
		if (n->seq <= w->since)
			return false;
		now = n;
	}
	if (!base_entry(w, parent, l, &base) || base.ino != now->ino)
		return now->type != FMT_DIR;
	mnt_state_from_base(&base.entry, &base.stamp, &below);
	return !same_attributes(&below, now);
}

static bool has_writer(struct walk *w, uint64_t ino)
{
	struct mnt_node *n = mnt_nodes_by_ino(&w->ns->nodes, ino);

	return n && n->writers > 0;
}

static int entry(struct walk *w, uint64_t parent, const struct fmt_link *l, size_t k,
    const struct orch_buf *path)
{
	const struct fmt_node *n = l->ino ? mnt_chain_node(&w->ns->chain, l->ino) : NULL;
	uint64_t named;

	if (l->ino == 0)
		return l->seq > w->since ? emit(w, path, "removed", l->type, l->seq) : 0;
	if (!n)
		return 0;
	if (n->type == FMT_DIR && push(w, n->ino, (const char *)path->data, path->len) < 0)
		return -ENOMEM;
	named = since_when(w, parent, l, k);
	if (named > w->since)
		return emit(w, path, "created", n->type, named > n->seq ? named : n->seq);
	if (n->written_seq > w->since || has_writer(w, n->ino))
		return emit(w, path, "modified", n->type, n->seq);
	if (n->seq > w->since && attributes_changed(w, parent, l, n))
		return emit(w, path, "attributes", n->type, n->seq);
	return 0;
}

/* Every recorded name of the folder once: where the uppermost stratum has it. */
static int folder(struct walk *w, const struct place *dir)
{
	orch_auto(buf) struct orch_buf path = ORCH_BUF_INIT;
	const struct mnt_chain *c = &w->ns->chain;
	int r = 0;

	for (size_t k = c->strata_count; r == 0 && k-- > 0;) {
		const struct fmt_link *l;
		uint64_t cookie = 0;

		while (r == 0 && (l = fmt_overlay_links(c->strata[k], dir->ino, &cookie))) {
			bool above = false;

			for (size_t j = k + 1; j < c->strata_count && !above; j++)
				above =
				    fmt_overlay_link(c->strata[j], dir->ino, l->name, l->name_len);
			if (above)
				continue;
			orch_buf_reset(&path);
			r = orch_buf_add(&path, dir->path, dir->len);
			if (r == 0 && dir->len > 0)
				r = orch_buf_add_u8(&path, '/');
			if (r == 0)
				r = orch_buf_add(&path, l->name, l->name_len);
			if (r == 0)
				r = entry(w, dir->ino, l, k, &path);
		}
	}
	return r;
}

int mnt_ns_changes(struct mnt_ns *ns, uint64_t since, struct orch_buf *out, uint64_t *out_seq,
    struct orch_err *err)
{
	struct walk w = {.ns = ns, .since = since, .out = out};
	int r;

	mnt_ns_lock(ns);
	r = push(&w, FMT_ROOT_INO, "", 0);
	while (w.todo) {
		struct place *p = w.todo;

		w.todo = p->next;
		if (r == 0)
			r = folder(&w, p);
		free(p);
	}
	*out_seq = ns->reported_seq = ns->chain.head.seq;
	mnt_ns_unlock(ns);
	return r < 0 ? orch_err_sys(err, -r, "list of changes") : 0;
}
