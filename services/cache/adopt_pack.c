/*
 * The checks of a quarantine's pack: each record is what its name says and well-formed, everything
 * that a new record names is in the quarantine or in the store, and stamps fit their trees.
 */
#include "cache/store_priv.h"

#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "view/object.h"

static int bad_record(const struct fmt_pack_record *rec, const char *what, struct orch_err *err)
{
	static const char *const nouns[] = {[FMT_PACK_TREE] = "tree",
	    [FMT_PACK_STAMPS] = "stamps",
	    [FMT_PACK_SNAPSHOT] = "snapshot"};
	const char *noun = (size_t)rec->kind < ORCH_ARRAY_LEN(nouns) ? nouns[rec->kind] : NULL;
	char hex[ORCH_DIGEST_HEX + 1];

	orch_digest_format(&rec->digest, hex);
	return orch_err_set(
	    err, ORCH_ECORRUPT, "quarantine: %s %s %s", noun ? noun : "record", hex, what);
}

static bool is_new(struct cas_adopt *a, enum fmt_pack_kind kind, const struct orch_digest *digest)
{
	return a->pack_fd >= 0 && fmt_pack_has(&a->pack, kind, digest);
}

static bool has_record(
    struct cas_adopt *a, enum fmt_pack_kind kind, const struct orch_digest *digest)
{
	return is_new(a, kind, digest) || view_packset_has(a->s->packset, kind, digest);
}

static bool has_object(struct cas_adopt *a, const struct fmt_entry *e)
{
	struct cas_object o;

	if (cas_manifest_find(&a->manifest, &e->digest, &o) == 0)
		return o.size == e->size;
	return view_object_exists(a->s->objects_fd, &e->digest, e->size) == 1;
}

static int check_tree(struct cas_adopt *a, const struct fmt_pack_record *rec, struct orch_err *err)
{
	struct fmt_entry e;
	struct fmt_tree t;
	int r = fmt_tree_check(rec->p, rec->len, err);

	if (r == 0)
		r = fmt_tree_open(rec->p, rec->len, &t, err);
	for (uint32_t i = 0; r == 0 && i < t.count; i++) {
		r = fmt_tree_entry(&t, i, &e, err);
		if (r == 0 && e.type == FMT_DIR && !has_record(a, FMT_PACK_TREE, &e.digest))
			return bad_record(rec, "names a tree that is nowhere", err);
		if (r == 0 && e.type == FMT_REG && !has_object(a, &e))
			return bad_record(rec, "names an object that is nowhere", err);
	}
	return r < 0 ? bad_record(rec, "is malformed", err) : 0;
}

static int check_stamps(
    struct cas_adopt *a, const struct fmt_pack_record *rec, struct orch_err *err)
{
	struct fmt_stamps s;
	struct fmt_stamp x;
	int r = fmt_stamps_check(rec->p, rec->len, err);

	if (r == 0)
		r = fmt_stamps_open(rec->p, rec->len, &s, err);
	for (uint32_t i = 0; r == 0 && i < s.count; i++) {
		r = fmt_stamps_get(&s, i, &x, err);
		if (r == 0 && !orch_digest_is_null(&x.stamps) &&
		    !has_record(a, FMT_PACK_STAMPS, &x.stamps))
			return bad_record(rec, "name stamps that are nowhere", err);
	}
	return r < 0 ? bad_record(rec, "are malformed", err) : 0;
}

static int check_snapshot(
    struct cas_adopt *a, const struct fmt_pack_record *rec, struct orch_err *err)
{
	struct fmt_snapshot x;

	if (fmt_snapshot_parse(rec->p, rec->len, &x, err) < 0)
		return bad_record(rec, "is malformed", err);
	if (!has_record(a, FMT_PACK_TREE, &x.root.digest) ||
	    !has_record(a, FMT_PACK_STAMPS, &x.stamps))
		return bad_record(rec, "has no root", err);
	return 0;
}

static int check_record(
    struct cas_adopt *a, const struct fmt_pack_record *rec, struct orch_err *err)
{
	struct orch_digest digest;

	orch_sha256(rec->p, rec->len, &digest);
	if (!orch_digest_eq(&digest, &rec->digest))
		return bad_record(rec, "has another SHA-256 than its name", err);
	switch (rec->kind) {
	case FMT_PACK_TREE:
		return check_tree(a, rec, err);
	case FMT_PACK_STAMPS:
		return check_stamps(a, rec, err);
	case FMT_PACK_SNAPSHOT:
		return check_snapshot(a, rec, err);
	case FMT_PACK_OBJECT:
		break;
	}
	return bad_record(rec, "is of a kind that workers don't make", err);
}

static int check_records(struct cas_adopt *a, struct orch_err *err)
{
	struct fmt_pack_record rec;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < a->pack.count; i++) {
		if (a->cancel && *a->cancel)
			return orch_err_set(err, ECANCELED, "cancelled");
		r = fmt_pack_at(&a->pack, i, &rec, err);
		if (r == 0)
			r = check_record(a, &rec, err);
	}
	return r;
}

/* ---- do the stamps fit the trees? ---- */

struct pair {
	struct orch_digest tree, stamps;
};

struct pairs {
	struct cas_adopt *a;
	struct pair *v; /* all that were ever pushed; those from `next` on are still to be seen */
	size_t next, count, cap;
	uint32_t *table; /* index into v + 1 */
	size_t table_size;
	uint64_t next_ino; /* of the snapshot */
};

static size_t pair_slot(const struct pairs *p, const struct pair *x)
{
	size_t i = orch_xxh64(x, sizeof(*x), p->a->s->seed) & (p->table_size - 1);

	while (p->table[i] != 0 && memcmp(&p->v[p->table[i] - 1], x, sizeof(*x)) != 0)
		i = (i + 1) & (p->table_size - 1);
	return i;
}

/* A folder has one tree and one pair of stamps of its own, so a worker that does its work can't
 * make many more pairs than records; one that doesn't is stopped here. */
static int pairs_init(struct pairs *p, struct cas_adopt *a)
{
	p->a = a;
	p->cap = (size_t)2 * a->pack.count + 16;
	p->table_size = 64;
	while (p->table_size < 2 * p->cap)
		p->table_size *= 2;
	p->v = calloc(p->cap, sizeof(*p->v));
	p->table = calloc(p->table_size, sizeof(*p->table));
	return p->v && p->table ? 0 : -ENOMEM;
}

/* Pairs of which both halves are the store's were checked before. */
static int pairs_push(struct pairs *p, const struct orch_digest *tree,
    const struct orch_digest *stamps, struct orch_err *err)
{
	struct pair x = {*tree, *stamps};
	size_t i;

	if (!is_new(p->a, FMT_PACK_TREE, tree) && !is_new(p->a, FMT_PACK_STAMPS, stamps))
		return 0;
	i = pair_slot(p, &x);
	if (p->table[i] != 0)
		return 0;
	if (p->count == p->cap)
		return orch_err_set(err, ORCH_ECORRUPT, "quarantine: trees and stamps are tangled");
	p->v[p->count++] = x;
	p->table[i] = (uint32_t)p->count;
	return 0;
}

static int find_record(struct cas_adopt *a, enum fmt_pack_kind kind,
    const struct orch_digest *digest, const uint8_t **p, size_t *len, struct orch_err *err)
{
	struct fmt_pack_record rec;

	if (a->pack_fd >= 0 && fmt_pack_find(&a->pack, kind, digest, &rec, NULL) == 0) {
		*p = rec.p;
		*len = rec.len;
		return 0;
	}
	return view_packset_find(a->s->packset, kind, digest, p, len, err);
}

static int open_pair(struct cas_adopt *a, const struct pair *x, struct fmt_tree *tree,
    struct fmt_stamps *stamps, struct orch_err *err)
{
	const uint8_t *p;
	size_t len;
	int r = find_record(a, FMT_PACK_TREE, &x->tree, &p, &len, err);

	if (r == 0)
		r = fmt_tree_open(p, len, tree, err);
	if (r == 0)
		r = find_record(a, FMT_PACK_STAMPS, &x->stamps, &p, &len, err);
	if (r == 0)
		r = fmt_stamps_open(p, len, stamps, err);
	if (r == 0 && tree->count != stamps->count)
		r = orch_err_set(
		    err, ORCH_ECORRUPT, "quarantine: a folder's stamps are of another folder");
	return r;
}

static int check_pair(struct pairs *p, const struct pair *x, struct orch_err *err)
{
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	struct fmt_entry e;
	struct fmt_stamp s;
	int r = open_pair(p->a, x, &tree, &stamps, err);

	for (uint32_t i = 0; r == 0 && i < tree.count; i++) {
		r = fmt_tree_entry(&tree, i, &e, err);
		if (r == 0)
			r = fmt_stamps_get(&stamps, i, &s, err);
		if (r == 0 && (e.type == FMT_DIR) == orch_digest_is_null(&s.stamps))
			r = orch_err_set(
			    err, ORCH_ECORRUPT, "quarantine: stamps of a folder belong to none");
		/* a workspace would give the number to a second file */
		if (r == 0 && s.ino >= p->next_ino)
			r = orch_err_set(err, ORCH_ECORRUPT,
			    "quarantine: inode number %llu is not below the snapshot's next one",
			    (unsigned long long)s.ino);
		if (r == 0 && e.type == FMT_DIR)
			r = pairs_push(p, &e.digest, &s.stamps, err);
	}
	return r;
}

static int check_fit(struct cas_adopt *a, const struct orch_digest *snapshot, struct orch_err *err)
{
	struct pairs p = {.a = a};
	struct fmt_snapshot x;
	const uint8_t *bytes;
	size_t len;
	int r = find_record(a, FMT_PACK_SNAPSHOT, snapshot, &bytes, &len, err);

	if (r == -ENOENT)
		return orch_err_set(err, ORCH_ECORRUPT, "quarantine: its snapshot is nowhere");
	if (r == 0)
		r = fmt_snapshot_parse(bytes, len, &x, err);
	if (r == 0 && pairs_init(&p, a) < 0)
		r = orch_err_set(err, ENOMEM, "out of memory");
	p.next_ino = r == 0 ? x.next_ino : 0;
	if (r == 0)
		r = pairs_push(&p, &x.root.digest, &x.stamps, err);
	while (r == 0 && p.next < p.count) {
		struct pair next = p.v[p.next++];

		r = check_pair(&p, &next, err);
	}
	free(p.v);
	free(p.table);
	return r;
}

static int open_pack(struct cas_adopt *a, struct orch_err *err)
{
	struct orch_err ignored = ORCH_ERR_INIT;
	struct stat st;
	int r;

	a->pack_fd = cas_adopt_file(a, "pack", 0444, &st, &ignored);
	if (a->pack_fd == -ENOENT) {
		a->pack_fd = -1;
		return 0;
	}
	if (a->pack_fd < 0)
		return orch_err_set(err, ignored.code, "%s", ignored.msg);
	r = orch_map_fd(a->pack_fd, &a->pack_map);
	if (r < 0)
		return orch_err_sys(err, -r, "quarantine: pack");
	r = fmt_pack_open(a->pack_map.addr, a->pack_map.len, &a->pack, err);
	if (r < 0)
		orch_err_wrap(err, "quarantine");
	return r;
}

int cas_adopt_check_pack(
    struct cas_adopt *a, const struct orch_digest *snapshot, struct orch_err *err)
{
	int r = open_pack(a, err);

	return r < 0 ? r : cas_adopt_check_records(a, snapshot, err);
}

int cas_adopt_check_records(
    struct cas_adopt *a, const struct orch_digest *snapshot, struct orch_err *err)
{
	int r = check_records(a, err);

	if (r == 0 && !orch_digest_is_null(snapshot))
		r = check_fit(a, snapshot, err);
	return r;
}
