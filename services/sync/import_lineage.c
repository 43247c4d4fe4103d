/*
 * Import: inode numbers. What the parent snapshot has at the same path with the same type and
 * content keeps its number; everything else gets new ones from the lineage's counter in the order
 * of the trees, so that the same input makes the same snapshot. A number is of one inode: when a
 * parent's hard link was cut, its first name keeps the number.
 */
#include "sync/import_priv.h"

#include <string.h>

struct lineage {
	struct import *import;
	struct sync_inomap claimed; /* numbers of the parent that had several names -> 1 */
	struct orch_err *err;
};

struct folder { /* of the parent snapshot */
	struct fmt_tree tree;
	struct fmt_stamps stamps;
};

static int open_folder(struct lineage *l, const struct orch_digest *tree,
    const struct orch_digest *stamps, struct folder *out)
{
	struct view_packset *packs = l->import->spec->packs;
	int r = view_packset_tree(packs, tree, &out->tree, l->err);

	if (r == 0)
		r = view_packset_stamps(packs, stamps, &out->stamps, l->err);
	if (r == 0 && out->tree.count != out->stamps.count)
		r = orch_err_set(l->err, ORCH_ECORRUPT, "tree and stamps differ in length");
	return r;
}

static bool same_content(const struct import_node *n, const struct fmt_entry *e)
{
	if (n->type != e->type)
		return false;
	switch (n->type) {
	case FMT_REG:
		return orch_digest_eq(&n->digest, &e->digest);
	case FMT_SYMLINK:
		return n->size == e->target_len && memcmp(n->target, e->target, n->size) == 0;
	default:
		return true;
	}
}

/* Takes the parent's number for n's inode, unless either has been spoken for. */
static int claim(struct lineage *l, struct import_node *n, const struct fmt_stamp *s)
{
	uint64_t *place = n->group ? &n->group->ino : &n->ino;
	uint64_t *taken;

	if (*place)
		return 0;
	if (s->nlink > 1) {
		taken = sync_inomap_put(&l->claimed, 0, s->ino);
		if (!taken)
			return -ENOMEM;
		if (*taken)
			return 0;
		*taken = 1;
	}
	*place = s->ino;
	return 0;
}

static int match_dir(struct lineage *l, struct import_dir *d, const struct folder *f);

static int match_node(struct lineage *l, struct import_node *n, const struct folder *f, uint32_t i,
    const struct fmt_entry *e)
{
	struct fmt_stamp s;
	struct folder sub;
	int r = fmt_stamps_get(&f->stamps, i, &s, l->err);

	if (r < 0 || !same_content(n, e))
		return r;
	if (n->type != FMT_DIR)
		return claim(l, n, &s);
	n->ino = s.ino;
	r = open_folder(l, &e->digest, &s.stamps, &sub);
	return r < 0 ? r : match_dir(l, n->dir, &sub);
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

/* Both lists are sorted by the bytes of names. */
static int match_dir(struct lineage *l, struct import_dir *d, const struct folder *f)
{
	uint32_t i = 0, k = 0;
	int r = 0;

	while (i < d->count && k < f->tree.count && r == 0) {
		struct import_node *n = &d->nodes[i];
		struct fmt_entry e;
		int c;

		if (n->flags & IMPORT_GONE) {
			i++;
			continue;
		}
		r = fmt_tree_entry(&f->tree, k, &e, l->err);
		if (r < 0)
			break;
		c = compare(import_name(d, n), n->name_len, e.name, e.name_len);
		if (c == 0)
			r = match_node(l, n, f, k, &e);
		i += c <= 0;
		k += c >= 0;
	}
	return r;
}

static void number_dir(struct import *im, struct import_dir *d)
{
	for (uint32_t i = 0; i < d->count; i++) {
		struct import_node *n = &d->nodes[i];
		uint64_t *place = n->group ? &n->group->ino : &n->ino;

		if (n->flags & IMPORT_GONE)
			continue;
		if (!*place)
			*place = im->next_ino++;
		n->ino = *place;
		if (n->type == FMT_DIR)
			number_dir(im, n->dir);
	}
}

static int match_parent(struct import *im, const struct orch_digest *id, struct orch_err *err)
{
	struct lineage l = {.import = im, .claimed = SYNC_INOMAP_INIT, .err = err};
	struct fmt_snapshot parent;
	struct folder f;
	int r = view_packset_snapshot(im->spec->packs, id, &parent, err);

	if (r == 0)
		r = open_folder(&l, &parent.root.digest, &parent.stamps, &f);
	if (r == 0) {
		im->next_ino = parent.next_ino;
		r = match_dir(&l, im->root.dir, &f);
	}
	sync_inomap_fini(&l.claimed);
	return r;
}

static void forget_numbers(struct import_dir *d)
{
	for (uint32_t i = 0; i < d->count; i++) {
		struct import_node *n = &d->nodes[i];

		n->ino = 0;
		if (n->group)
			n->group->ino = 0;
		if (n->type == FMT_DIR && !(n->flags & IMPORT_GONE))
			forget_numbers(n->dir);
	}
}

/* A parent that is damaged keeps nobody from importing the source again, which is what heals it: the
 * lineage begins anew, so that a first import becomes the very snapshot that it was. */
static int begin_anew(struct import *im, const struct orch_err *why)
{
	sync_task_warn(im->task,
	    "all files get new inode numbers: the parent snapshot is damaged: %s", why->msg);
	forget_numbers(im->root.dir);
	im->next_ino = FMT_ROOT_INO + 1;
	return 0;
}

int import_lineage(struct import *im, struct orch_err *err)
{
	struct orch_err why = ORCH_ERR_INIT;
	int r = 0;

	im->root.ino = FMT_ROOT_INO;
	im->next_ino = FMT_ROOT_INO + 1;
	if (im->spec->parent)
		r = match_parent(im, im->spec->parent, &why);
	if (r == -ORCH_ECORRUPT || r == -ENOENT)
		r = begin_anew(im, &why);
	if (r < 0)
		return why.code ? orch_err_set(err, -r, "parent snapshot: %s", why.msg)
				: orch_err_sys(err, -r, "parent snapshot: number the files");
	number_dir(im, im->root.dir);
	return 0;
}
