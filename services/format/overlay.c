/*
 * The state of a layer in memory. Nodes and entries are items of a slab, found through two hash
 * tables; the entries of a folder are listed in an array of its own, in the order of their
 * positions. A removed entry stays in that array, dead, until there are more dead than living ones:
 * so positions never move and removing costs O(1) amortized.
 * Pure; not thread-safe, but what does not change it may run in many threads at once.
 */
#include "format/overlay.h"

#include <stdlib.h>
#include "format/format_priv.h"
#include "format/overlay_mem.h"

#define POSITION_DEAD (UINT64_C(1) << 63)
#define DUMP_FRAME    ((size_t)1 << 20)

struct entry {		      /* a recorded directory entry */
	struct fmt_link link; /* its name points behind this struct */
	uint64_t position;    /* with POSITION_DEAD: removed, and only in its folder's array */
	char name[];
};

struct folder { /* what is recorded below one parent */
	uint64_t ino;
	uint32_t *entries; /* handles, by position */
	uint32_t count, cap, dead;
	uint64_t next_position;
};

struct fmt_overlay {
	struct slab nodes, entries, folders; /* apart, so that a handle's kind is never in doubt */
	struct index by_ino, by_name, by_parent;
	size_t extra_bytes; /* of targets, attributes and the folders' arrays */
	uint64_t next_ino, next_spool, seq;
	uint64_t successor;
	bool sealed;
	uint64_t seed;
};

struct fmt_overlay *fmt_overlay_new(void)
{
	struct fmt_overlay *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->next_ino = 1;
	/* names come from builds: a build that can't foresee it can't choose names that collide */
	o->seed = (uint64_t)(uintptr_t)o * UINT64_C(0x9e3779b97f4a7c15);
	return o;
}

/* ---- lookups ---- */

static uint32_t ino_hash(uint64_t ino)
{
	return (uint32_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static uint32_t name_hash(
    const struct fmt_overlay *o, uint64_t parent, const char *name, size_t len)
{
	return (uint32_t)orch_xxh64(name, len, o->seed + parent);
}

static struct fmt_node *node_find(
    const struct fmt_overlay *o, uint64_t ino, size_t *out_slot, uint32_t *out_handle)
{
	uint32_t hash = ino_hash(ino), h;
	size_t slot = index_first(&o->by_ino, hash);

	while ((h = index_next(&o->by_ino, hash, &slot)) != 0) {
		struct fmt_node *n = slab_at(&o->nodes, h);

		if (n->ino == ino) {
			*out_slot = index_place(&o->by_ino, slot);
			*out_handle = h;
			return n;
		}
	}
	return NULL;
}

static struct entry *entry_find(const struct fmt_overlay *o, uint64_t parent, const char *name,
    size_t len, uint32_t hash, size_t *out_slot)
{
	size_t slot = index_first(&o->by_name, hash);
	uint32_t h;

	while ((h = index_next(&o->by_name, hash, &slot)) != 0) {
		struct entry *e = slab_at(&o->entries, h);

		if (e->link.parent == parent && e->link.name_len == len &&
		    memcmp(e->name, name, len) == 0) {
			*out_slot = index_place(&o->by_name, slot);
			return e;
		}
	}
	return NULL;
}

static struct folder *folder_find(
    const struct fmt_overlay *o, uint64_t ino, size_t *out_slot, uint32_t *out_handle)
{
	uint32_t hash = ino_hash(ino), h;
	size_t slot = index_first(&o->by_parent, hash);

	while ((h = index_next(&o->by_parent, hash, &slot)) != 0) {
		struct folder *f = slab_at(&o->folders, h);

		if (f->ino == ino) {
			*out_slot = index_place(&o->by_parent, slot);
			*out_handle = h;
			return f;
		}
	}
	return NULL;
}

const struct fmt_node *fmt_overlay_node(const struct fmt_overlay *o, uint64_t ino)
{
	size_t slot;
	uint32_t h;

	return node_find(o, ino, &slot, &h);
}

const struct fmt_link *fmt_overlay_link(
    const struct fmt_overlay *o, uint64_t parent, const char *name, size_t name_len)
{
	const struct entry *e;
	size_t slot;

	if (o->by_name.count == 0)
		return NULL;
	e = entry_find(o, parent, name, name_len, name_hash(o, parent, name, name_len), &slot);
	return e == NULL ? NULL : &e->link;
}

/* ---- nodes ---- */

/* How much of a node is kept: what its content has. */
static size_t node_bytes(enum fmt_content content)
{
	switch (content) {
	case FMT_CONTENT_NONE:
		return offsetof(struct fmt_node, spool_layer);
	case FMT_CONTENT_SPOOL:
		return offsetof(struct fmt_node, target);
	case FMT_CONTENT_TARGET:
		return offsetof(struct fmt_node, digest);
	case FMT_CONTENT_OBJECT:
		return offsetof(struct fmt_node, stamps);
	case FMT_CONTENT_TREE:
		break;
	}
	return sizeof(struct fmt_node);
}

_Static_assert(sizeof(struct fmt_node) <= SLAB_ITEM_MAX, "a node is a slab item");
_Static_assert(sizeof(struct fmt_node) - offsetof(struct fmt_node, spool_layer) <= SLAB_SLACK,
    "a node can be copied from any item");
_Static_assert(sizeof(struct entry) + FMT_NAME_MAX <= SLAB_ITEM_MAX, "an entry is a slab item");

static void drop_const(struct fmt_overlay *o, const void *p, size_t len)
{
	union {
		const void *borrowed;
		void *mem;
	} u = {.borrowed = p};

	free(u.mem);
	o->extra_bytes -= len;
}

static const char *node_target(const struct fmt_node *n)
{
	return n->content == FMT_CONTENT_TARGET ? n->target : NULL;
}

static void node_drop_extra(struct fmt_overlay *o, const struct fmt_node *n)
{
	if (n->xattrs.len > 0)
		drop_const(o, n->xattrs.p, n->xattrs.len);
	if (node_target(n) != NULL)
		drop_const(o, n->target, n->target_len);
}

/* A node whose strings are the overlay's: v gets copies of what it borrows. */
static int node_own(struct fmt_overlay *o, struct fmt_node *v)
{
	void *xattrs = NULL, *target = NULL;

	if (v->xattrs.len > 0) {
		xattrs = malloc(v->xattrs.len);
		if (xattrs == NULL)
			return -ENOMEM;
		memcpy(xattrs, v->xattrs.p, v->xattrs.len);
	}
	if (node_target(v) != NULL) {
		target = malloc(v->target_len);
		if (target == NULL) {
			free(xattrs);
			return -ENOMEM;
		}
		memcpy(target, v->target, v->target_len);
		v->target = target;
		o->extra_bytes += v->target_len;
	}
	v->xattrs.p = xattrs;
	o->extra_bytes += v->xattrs.len;
	return 0;
}

static int node_apply(struct fmt_overlay *o, const struct fmt_node *given, uint64_t seq)
{
	struct fmt_node v = *given, *old;
	uint32_t old_h = 0, h;
	size_t slot = 0;

	if (!fmt_node_valid(given))
		return -EINVAL;
	if (index_reserve(&o->by_ino) < 0 || node_own(o, &v) < 0)
		return -ENOMEM;
	old = node_find(o, v.ino, &slot, &old_h);
	h = old_h;
	if (old == NULL || slab_size(old_h) != slab_class_of(node_bytes(v.content)) * SLAB_STEP)
		h = slab_alloc(&o->nodes, node_bytes(v.content));
	if (h == 0) {
		node_drop_extra(o, &v);
		return -ENOMEM;
	}
	if (old != NULL)
		node_drop_extra(o, old);
	if (seq != 0)
		v.seq = seq;
	memcpy(slab_at(&o->nodes, h), &v, node_bytes(v.content));
	if (old == NULL) {
		index_put(&o->by_ino, ino_hash(v.ino), h);
	} else if (h != old_h) {
		o->by_ino.slots[slot].handle = h;
		slab_free(&o->nodes, old_h);
	}
	if (v.ino >= o->next_ino)
		o->next_ino = v.ino + 1;
	if (v.content == FMT_CONTENT_SPOOL && v.spool_id >= o->next_spool &&
	    v.spool_id < UINT64_MAX)
		o->next_spool = v.spool_id + 1;
	return 0;
}

/* ---- entries ---- */

static struct folder *folder_make(struct fmt_overlay *o, uint64_t ino)
{
	struct folder *f;
	size_t slot;
	uint32_t h;

	f = folder_find(o, ino, &slot, &h);
	if (f != NULL)
		return f;
	if (index_reserve(&o->by_parent) < 0)
		return NULL;
	h = slab_alloc(&o->folders, sizeof(*f));
	if (h == 0)
		return NULL;
	f = slab_at(&o->folders, h);
	*f = (struct folder){.ino = ino};
	index_put(&o->by_parent, ino_hash(ino), h);
	return f;
}

static int folder_reserve(struct fmt_overlay *o, struct folder *f)
{
	uint32_t cap = f->cap < 4 ? 4 : f->cap + f->cap / 2;
	uint32_t *v;

	if (f->count < f->cap)
		return 0;
	if (cap > SLAB_COUNT_MAX)
		cap = SLAB_COUNT_MAX;
	if (f->count >= cap)
		return -ENOMEM;
	v = reallocarray(f->entries, cap, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	o->extra_bytes += (cap - f->cap) * sizeof(*v);
	f->entries = v;
	f->cap = cap;
	return 0;
}

static int entry_new(struct fmt_overlay *o, const struct fmt_link *l, uint32_t hash, uint64_t seq)
{
	struct folder *f;
	struct entry *e;
	uint32_t h;

	if (index_reserve(&o->by_name) < 0)
		return -ENOMEM;
	f = folder_make(o, l->parent); /* an empty one does no harm */
	if (f == NULL || folder_reserve(o, f) < 0)
		return -ENOMEM;
	h = slab_alloc(&o->entries, sizeof(*e) + l->name_len);
	if (h == 0)
		return -ENOMEM;
	e = slab_at(&o->entries, h);
	e->link = *l;
	e->link.name = e->name;
	e->link.seq = seq != 0 ? seq : l->seq;
	e->position = f->next_position++;
	memcpy(e->name, l->name, l->name_len);
	f->entries[f->count++] = h;
	index_put(&o->by_name, hash, h);
	return 0;
}

static void folder_compact(struct fmt_overlay *o, struct folder *f)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < f->count; i++) {
		const struct entry *e = slab_at(&o->entries, f->entries[i]);

		if (e->position & POSITION_DEAD)
			slab_free(&o->entries, f->entries[i]);
		else
			f->entries[kept++] = f->entries[i];
	}
	f->count = kept;
	f->dead = 0;
}

/* The folder's record stays when its last entry goes: positions go on where they were. */
static void entry_kill(struct fmt_overlay *o, struct entry *e, size_t slot)
{
	struct folder *f;
	uint32_t h;
	size_t s;

	index_remove(&o->by_name, slot);
	e->position |= POSITION_DEAD;
	f = folder_find(o, e->link.parent, &s, &h);
	ORCH_BUG_ON(f == NULL);
	f->dead++;
	if (f->dead > 16 && f->dead > f->count / 2)
		folder_compact(o, f);
}

static int link_apply(struct fmt_overlay *o, const struct fmt_link *l, uint64_t seq)
{
	struct entry *e;
	uint32_t hash;
	size_t slot;

	if (!fmt_link_valid(l))
		return -EINVAL;
	hash = name_hash(o, l->parent, l->name, l->name_len);
	e = entry_find(o, l->parent, l->name, l->name_len, hash, &slot);
	if (l->type == 0) {
		if (e != NULL)
			entry_kill(o, e, slot);
		return 0;
	}
	if (e == NULL)
		return entry_new(o, l, hash, seq);
	e->link.ino = l->ino;
	e->link.type = l->type;
	e->link.seq = seq != 0 ? seq : l->seq;
	return 0;
}

static void folder_drop(struct fmt_overlay *o, uint64_t ino)
{
	struct folder *f;
	size_t slot, at;
	uint32_t h;

	f = folder_find(o, ino, &slot, &h);
	if (f == NULL)
		return;
	for (uint32_t i = 0; i < f->count; i++) {
		const struct entry *e = slab_at(&o->entries, f->entries[i]);

		if ((e->position & POSITION_DEAD) == 0 &&
		    entry_find(o, ino, e->name, e->link.name_len,
			name_hash(o, ino, e->name, e->link.name_len), &at) == e)
			index_remove(&o->by_name, at);
		slab_free(&o->entries, f->entries[i]);
	}
	o->extra_bytes -= f->cap * sizeof(*f->entries);
	free(f->entries);
	index_remove(&o->by_parent, slot);
	slab_free(&o->folders, h);
}

static void gone_apply(struct fmt_overlay *o, uint64_t ino)
{
	struct fmt_node *n;
	size_t slot;
	uint32_t h;

	n = node_find(o, ino, &slot, &h);
	if (n != NULL) {
		node_drop_extra(o, n);
		index_remove(&o->by_ino, slot);
		slab_free(&o->nodes, h);
	}
	folder_drop(o, ino);
}

static void raise_to(uint64_t *counter, uint64_t v)
{
	if (v > *counter)
		*counter = v;
}

int fmt_overlay_apply(struct fmt_overlay *o, const struct fmt_layer_record *r, uint64_t seq)
{
	int rc = 0;

	switch (r->kind) {
	case FMT_LAYER_HEAD:
		raise_to(&o->next_ino, r->head.next_ino);
		raise_to(&o->next_spool, r->head.next_spool);
		raise_to(&o->seq, r->head.seq);
		o->sealed = false;
		break;
	case FMT_LAYER_NODE:
	case FMT_LAYER_NODE_AT:
		rc = node_apply(o, &r->node, seq);
		break;
	case FMT_LAYER_LINK:
	case FMT_LAYER_LINK_AT:
		rc = link_apply(o, &r->link, seq);
		break;
	case FMT_LAYER_GONE:
		gone_apply(o, r->ino);
		break;
	case FMT_LAYER_COUNTERS:
		raise_to(&o->next_ino, r->counters.next_ino);
		raise_to(&o->next_spool, r->counters.next_spool);
		break;
	case FMT_LAYER_SEALED:
		o->sealed = true;
		o->successor = r->successor;
		break;
	case FMT_LAYER_CHECKPOINT_END:
		break;
	default:
		return -EINVAL;
	}
	if (rc == 0)
		raise_to(&o->seq, seq);
	return rc;
}

void fmt_overlay_free(struct fmt_overlay *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; o->by_ino.slots != NULL && i <= o->by_ino.mask; i++) {
		if (o->by_ino.slots[i].handle != 0)
			node_drop_extra(o, slab_at(&o->nodes, o->by_ino.slots[i].handle));
	}
	for (size_t i = 0; o->by_parent.slots != NULL && i <= o->by_parent.mask; i++) {
		if (o->by_parent.slots[i].handle != 0) {
			struct folder *f = slab_at(&o->folders, o->by_parent.slots[i].handle);

			free(f->entries);
		}
	}
	index_fini(&o->by_ino);
	index_fini(&o->by_name);
	index_fini(&o->by_parent);
	slab_fini(&o->nodes);
	slab_fini(&o->entries);
	slab_fini(&o->folders);
	free(o);
}

/* ---- iteration ---- */

static uint64_t position_at(const struct fmt_overlay *o, const struct folder *f, uint32_t i)
{
	const struct entry *e = slab_at(&o->entries, f->entries[i]);

	return e->position & ~POSITION_DEAD;
}

/* The first index whose position is not less; f->count when there is none. */
static uint32_t position_find(const struct fmt_overlay *o, const struct folder *f, uint64_t want)
{
	uint32_t lo = 0, hi = f->count;
	uint64_t first;

	if (f->count == 0)
		return 0;
	/* where nothing was ever removed, the index follows from the position */
	first = position_at(o, f, 0);
	if (want >= first && want - first < f->count &&
	    position_at(o, f, (uint32_t)(want - first)) == want)
		return (uint32_t)(want - first);
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (position_at(o, f, mid) < want)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct fmt_link *fmt_overlay_links(
    const struct fmt_overlay *o, uint64_t parent, uint64_t *cookie)
{
	const struct folder *f;
	size_t slot;
	uint32_t h;

	f = folder_find(o, parent, &slot, &h);
	if (f == NULL)
		return NULL;
	for (uint32_t i = position_find(o, f, *cookie); i < f->count; i++) {
		const struct entry *e = slab_at(&o->entries, f->entries[i]);

		if ((e->position & POSITION_DEAD) == 0) {
			*cookie = e->position + 1;
			return &e->link;
		}
	}
	return NULL;
}

const struct fmt_link *fmt_overlay_links_down(
    const struct fmt_overlay *o, uint64_t parent, uint64_t *below)
{
	const struct folder *f;
	size_t slot;
	uint32_t h;

	f = folder_find(o, parent, &slot, &h);
	if (f == NULL)
		return NULL;
	for (uint32_t i = position_find(o, f, *below); i-- > 0;) {
		const struct entry *e = slab_at(&o->entries, f->entries[i]);

		if ((e->position & POSITION_DEAD) == 0) {
			*below = e->position;
			return &e->link;
		}
	}
	return NULL;
}

size_t fmt_overlay_link_count(const struct fmt_overlay *o, uint64_t parent)
{
	const struct folder *f;
	size_t slot;
	uint32_t h;

	f = folder_find(o, parent, &slot, &h);
	return f == NULL ? 0 : f->count - f->dead;
}

/* The next handle of a table from slot *cookie on; 0 at the end. */
static uint32_t index_walk(const struct index *x, uint64_t *cookie)
{
	while (x->slots != NULL && *cookie <= x->mask) {
		uint32_t h = x->slots[(*cookie)++].handle;

		if (h != 0)
			return h;
	}
	return 0;
}

const struct fmt_node *fmt_overlay_nodes(const struct fmt_overlay *o, uint64_t *cookie)
{
	uint32_t h = index_walk(&o->by_ino, cookie);

	return h == 0 ? NULL : slab_at(&o->nodes, h);
}

size_t fmt_overlay_node_count(const struct fmt_overlay *o)
{
	return o->by_ino.count;
}

uint64_t fmt_overlay_next_ino(const struct fmt_overlay *o)
{
	return o->next_ino;
}

uint64_t fmt_overlay_next_spool(const struct fmt_overlay *o)
{
	return o->next_spool;
}

uint64_t fmt_overlay_seq(const struct fmt_overlay *o)
{
	return o->seq;
}

bool fmt_overlay_sealed(const struct fmt_overlay *o, uint64_t *out_successor)
{
	if (o->sealed)
		*out_successor = o->successor;
	return o->sealed;
}

size_t fmt_overlay_bytes(const struct fmt_overlay *o)
{
	const struct index *const x[] = {&o->by_ino, &o->by_name, &o->by_parent};
	size_t n =
	    sizeof(*o) + o->extra_bytes + o->nodes.bytes + o->entries.bytes + o->folders.bytes;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(x); i++)
		n += x[i]->slots == NULL ? 0 : (x[i]->mask + 1) * sizeof(*x[i]->slots);
	return n;
}

/* ---- replay ---- */

/* First frame and first record: what the segment is. */
static int replay_head(
    const void *p, size_t len, struct fmt_layer_head *out, bool *out_torn, struct orch_err *err)
{
	struct fmt_layer_record rec;
	struct fmt_txn t;
	size_t pos = 0;
	int r = fmt_txn_next(p, len, &pos, 0, &t, out_torn, err);

	if (r == 0)
		return orch_err_set(err, ENODATA, "the log segment holds nothing");
	if (r == 1)
		r = fmt_txn_record(&t, &rec, err);
	if (r < 0)
		return r;
	if (r == 0 || rec.kind != FMT_LAYER_HEAD)
		return fmt_corrupt(err, "log", "it does not begin with its head");
	*out = rec.head;
	out->durable = t.durable;
	return 0;
}

/* One record: what it says of the end, and what it changes. o NULL: nothing. */
static int replay_record(struct fmt_overlay *o, const struct fmt_layer_record *rec,
    struct fmt_log_end *end, bool *out_whole, struct orch_err *err)
{
	int r;

	if (end->sealed)
		return fmt_corrupt(err, "log", "it goes on behind its seal");
	end->sealed = rec->kind == FMT_LAYER_SEALED;
	if (end->sealed)
		end->successor = rec->successor;
	*out_whole |= rec->kind == FMT_LAYER_CHECKPOINT_END;
	if (o == NULL)
		return 0;
	r = fmt_overlay_apply(o, rec, 0);
	return r < 0 ? orch_err_set(err, -r, "apply a log record: %s", orch_err_name(-r)) : 0;
}

/* Walks all records of a segment. */
static int replay_walk(struct fmt_overlay *o, const void *p, size_t len, struct fmt_log_end *end,
    bool *out_whole, struct orch_err *err)
{
	struct fmt_layer_record rec;
	struct fmt_txn t;
	int r;

	while ((r = fmt_txn_next(p, len, &end->used, end->seq, &t, &end->torn, err)) == 1) {
		end->seq = t.seq;
		if (t.durable == 0)
			end->durable = UINT64_MAX;
		else
			raise_to(&end->durable, t.durable);
		while ((r = fmt_txn_record(&t, &rec, err)) == 1) {
			r = replay_record(o, &rec, end, out_whole, err);
			if (r < 0)
				return r;
		}
		if (r < 0)
			return r;
		if (o != NULL)
			raise_to(&o->seq, t.seq);
	}
	return r;
}

int fmt_log_scan(const void *p, size_t len, struct fmt_log_end *out, struct orch_err *err)
{
	struct fmt_log_end end = {.used = 0};
	bool whole = false;
	int r = replay_head(p, len, &end.head, &end.torn, err);

	if (r == 0)
		r = replay_walk(NULL, p, len, &end, &whole, err);
	if (r < 0)
		return r;
	if (end.head.checkpoint && !whole)
		return orch_err_set(err, ENODATA, "the checkpoint is not whole");
	*out = end;
	return 0;
}

int fmt_overlay_replay(struct fmt_overlay *o, const void *p, size_t len, size_t *out_end,
    struct fmt_layer_head *out_head, bool *out_torn, struct orch_err *err)
{
	struct fmt_log_end end = {.used = 0};
	bool whole = false;
	int r = replay_head(p, len, &end.head, &end.torn, err);

	if (r == 0 && end.head.checkpoint)
		r = fmt_log_scan(p, len, &end, err);
	if (r < 0)
		return r;
	end.used = 0;
	end.seq = 0;
	end.sealed = false;
	r = replay_walk(o, p, len, &end, &whole, err);
	if (r < 0)
		return r;
	*out_end = end.used;
	*out_head = end.head;
	*out_torn = end.torn;
	return 0;
}

/* ---- checkpoint ---- */

struct dump {
	struct orch_buf buf;
	size_t frame_at;
	uint64_t seq;
	int (*emit)(void *priv, const void *p, size_t n);
	void *priv;
};

static int dump_flush(struct dump *d)
{
	int r = fmt_txn_end(&d->buf, d->frame_at);

	if (r == 0)
		r = d->emit(d->priv, d->buf.data, d->buf.len);
	orch_buf_reset(&d->buf);
	return r;
}

static int dump_add(struct dump *d, const struct fmt_layer_record *rec)
{
	int r = 0;

	if (d->buf.len == 0)
		r = fmt_txn_begin(&d->buf, d->seq, &d->frame_at);
	if (r == 0)
		r = fmt_txn_add(&d->buf, rec);
	if (r == 0 && d->buf.len >= DUMP_FRAME)
		r = dump_flush(d);
	return r;
}

static int dump_nodes(const struct fmt_overlay *o, struct dump *d)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_NODE_AT};
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = 0;

	while (r == 0 && (n = fmt_overlay_nodes(o, &cookie)) != NULL) {
		memcpy(&rec.node, n, node_bytes(n->content));
		r = dump_add(d, &rec);
	}
	return r;
}

static int dump_links(const struct fmt_overlay *o, struct dump *d)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_LINK_AT};
	uint64_t folders = 0;
	uint32_t h;
	int r = 0;

	while (r == 0 && (h = index_walk(&o->by_parent, &folders)) != 0) {
		const struct folder *f = slab_at(&o->folders, h);

		for (uint32_t i = 0; r == 0 && i < f->count; i++) {
			const struct entry *e = slab_at(&o->entries, f->entries[i]);

			if (e->position & POSITION_DEAD)
				continue;
			rec.link = e->link;
			r = dump_add(d, &rec);
		}
	}
	return r;
}

int fmt_overlay_dump(const struct fmt_overlay *o, const struct fmt_layer_head *head,
    int (*emit)(void *priv, const void *p, size_t n), void *priv)
{
	struct dump d = {.seq = head->seq, .emit = emit, .priv = priv};
	struct fmt_layer_record rec = {.kind = FMT_LAYER_HEAD, .head = *head};
	int r;

	orch_buf_init(&d.buf, FMT_TXN_MAX);
	rec.head.checkpoint = true;
	r = dump_add(&d, &rec);
	if (r == 0)
		r = dump_flush(&d); /* alone: who wants to know the head need not read the rest */
	if (r == 0) {
		rec = (struct fmt_layer_record){
		    .kind = FMT_LAYER_COUNTERS, .counters = {o->next_ino, o->next_spool}};
		r = dump_add(&d, &rec);
	}
	if (r == 0)
		r = dump_nodes(o, &d);
	if (r == 0)
		r = dump_links(o, &d);
	if (r == 0) {
		rec = (struct fmt_layer_record){.kind = FMT_LAYER_CHECKPOINT_END};
		r = dump_add(&d, &rec);
	}
	if (r == 0 && d.buf.len > 0)
		r = dump_flush(&d);
	orch_buf_fini(&d.buf);
	return r;
}
