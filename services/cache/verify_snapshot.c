/*
 * Snapshots: the record fits the identity, and everything below the root is there: trees and
 * stamps that fit each other and their totals, objects of the right size. What several snapshots
 * share is visited once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cache/snapshot.h"
#include "cache/verify_priv.h"
#include "view/object.h"

struct folder { /* all of it is the key: the same folder must have the same totals everywhere */
	struct orch_digest tree, stamps;
	uint64_t size, count;
};

struct reach {
	struct verify *v;
	struct folder *seen; /* complete ones, and those on the way */
	char **why;	     /* by folder: what is wrong below it; NULL: nothing */
	size_t count, cap;
	uint32_t *table;
	size_t table_size;
	unsigned depth;
};

#define DEPTH_MAX 2048

static size_t slot(const struct reach *x, const struct folder *f)
{
	size_t i = orch_xxh64(f, sizeof(*f), 0) & (x->table_size - 1);

	while (x->table[i] != 0 && memcmp(&x->seen[x->table[i] - 1], f, sizeof(*f)) != 0)
		i = (i + 1) & (x->table_size - 1);
	return i;
}

static int grow(struct reach *x)
{
	size_t size = x->table_size ? 2 * x->table_size : 1024;
	struct folder *seen = realloc(x->seen, size / 2 * sizeof(*seen));
	char **why;
	uint32_t *table;

	if (!seen)
		return -ENOMEM;
	x->seen = seen;
	why = realloc(x->why, size / 2 * sizeof(*why));
	if (!why)
		return -ENOMEM;
	x->why = why;
	table = calloc(size, sizeof(*table));
	if (!table)
		return -ENOMEM;
	free(x->table);
	x->table = table;
	x->table_size = size;
	x->cap = size / 2;
	for (size_t i = 0; i < x->count; i++)
		x->table[slot(x, &x->seen[i])] = (uint32_t)i + 1;
	return 0;
}

/* 1: new, *out_i is its place; 0: seen before; -ENOMEM. */
static int remember(struct reach *x, const struct folder *f, size_t *out_i)
{
	size_t at;
	int r;

	if (x->count == x->cap) {
		r = grow(x);
		if (r < 0)
			return r;
	}
	at = slot(x, f);
	if (x->table[at] != 0) {
		*out_i = x->table[at] - 1;
		return 0;
	}
	x->seen[x->count] = *f;
	x->why[x->count] = NULL;
	*out_i = x->count++;
	x->table[at] = (uint32_t)x->count;
	return 1;
}

static int visit(struct reach *x, const struct folder *f, struct orch_err *err);

static int visit_entry(
    struct reach *x, const struct fmt_entry *e, const struct fmt_stamp *s, struct orch_err *err)
{
	char hex[ORCH_DIGEST_HEX + 1];
	struct folder f;
	int r;

	if (e->type == FMT_REG) {
		if (view_object_exists(x->v->s->objects_fd, &e->digest, e->size) == 1)
			return 0;
		orch_digest_format(&e->digest, hex);
		return orch_err_set(err, ORCH_ECORRUPT, "%.*s: object %s is missing",
		    (int)e->name_len, e->name, hex);
	}
	if (e->type != FMT_DIR)
		return 0;
	memset(&f, 0, sizeof(f));
	f = (struct folder){e->digest, s->stamps, e->size, e->count};
	r = visit(x, &f, err);
	if (r < 0)
		orch_err_wrap(err, "%.*s", (int)e->name_len, e->name);
	return r;
}

static int visit_entries(struct reach *x, const struct folder *f, const struct fmt_tree *tree,
    const struct fmt_stamps *stamps, struct orch_err *err)
{
	uint64_t size = 0, count = 0;
	struct fmt_entry e;
	struct fmt_stamp s;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < tree->count; i++) {
		r = fmt_tree_entry(tree, i, &e, err);
		if (r == 0)
			r = fmt_stamps_get(stamps, i, &s, err);
		if (r == 0)
			r = visit_entry(x, &e, &s, err);
		if (r == 0) {
			size += e.type == FMT_SYMLINK ? 0 : e.size;
			count += 1 + (e.type == FMT_DIR ? e.count : 0);
		}
	}
	if (r == 0 && (size != f->size || count != f->count))
		r = orch_err_set(err, ORCH_ECORRUPT, "its totals are wrong");
	return r;
}

static int visit_new(struct reach *x, const struct folder *f, struct orch_err *err)
{
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	int r = verify_done(x->v, 0);

	if (r < 0)
		return r;
	if (x->depth == DEPTH_MAX)
		return orch_err_set(err, ORCH_ECORRUPT, "folders are nested too deep");
	r = view_packset_tree(x->v->s->packset, &f->tree, &tree, err);
	if (r == 0)
		r = view_packset_stamps(x->v->s->packset, &f->stamps, &stamps, err);
	if (r == 0 && tree.count != stamps.count)
		r = orch_err_set(err, ORCH_ECORRUPT, "its stamps are of another folder");
	if (r < 0)
		return r;
	x->depth++;
	r = visit_entries(x, f, &tree, &stamps, err);
	x->depth--;
	return r;
}

static int visit(struct reach *x, const struct folder *f, struct orch_err *err)
{
	size_t i;
	int r = remember(x, f, &i);

	if (r == 0)
		return x->why[i] ? orch_err_set(err, ORCH_ECORRUPT, "%s", x->why[i]) : 0;
	if (r < 0)
		return verify_fail(x->v, r);
	r = visit_new(x, f, err);
	if (r < 0)
		x->why[i] = strdup(err->msg);
	return r < 0 && !x->why[i] ? verify_fail(x->v, -ENOMEM) : r;
}

static int check_identity(
    struct reach *x, const struct cas_snapshot *snapshot, struct orch_err *err)
{
	struct fmt_snapshot id;
	struct folder f;
	int r = view_packset_snapshot(x->v->s->packset, &snapshot->id, &id, err);

	if (r < 0)
		return r;
	if (!orch_digest_eq(&id.root.digest, &snapshot->tree) ||
	    !orch_digest_eq(&id.stamps, &snapshot->stamps) || id.root.count != snapshot->files ||
	    id.root.size != snapshot->bytes)
		return orch_err_set(err, ORCH_ECORRUPT, "its record is of another snapshot");
	memset(&f, 0, sizeof(f));
	f = (struct folder){id.root.digest, id.stamps, id.root.size, id.root.count};
	return visit(x, &f, err);
}

static int see_snapshot(void *priv, const struct cas_snapshot *snapshot)
{
	struct orch_err why = ORCH_ERR_INIT;
	char hex[ORCH_DIGEST_HEX + 1];
	struct reach *x = priv;
	int r = check_identity(x, snapshot, &why);

	if (atomic_load(&x->v->stop) < 0)
		return atomic_load(&x->v->stop);
	if (r == 0)
		return verify_done(x->v, 0);
	orch_digest_format(&snapshot->id, hex);
	return verify_bad(x->v, CAS_BAD_SNAPSHOT, hex, why.msg, false);
}

int verify_snapshots(struct verify *v, struct orch_err *err)
{
	struct reach x = {.v = v};
	int r = cas_snapshot_list(v->s, see_snapshot, &x, err);

	free(x.seen);
	for (size_t i = 0; i < x.count; i++)
		free(x.why[i]);
	free(x.why);
	free(x.table);
	return r;
}
