/* Import: what the walk found becomes trees, stamps and a snapshot. One thread. */
#include "sync/import_priv.h"

#include <stdlib.h>
#include <string.h>
#include "sync/place.h"

/* The owner of a group vanished before it was read: this name is read in its place. */
static int read_again(struct import_dir *d, struct import_node *n)
{
	orch_auto(buf) struct orch_buf path = {.max = (size_t)1 << 24};
	orch_auto(fd) int fd = import_open_dir(d, &path);

	if (fd == -ENOENT) {
		n->flags = IMPORT_GONE;
		return 0;
	}
	if (fd < 0)
		return fd;
	n->group->owner = n;
	if (n->type != FMT_REG)
		return 0;
	import_read(d, fd, n, &path);
	if (!(n->flags & IMPORT_GONE))
		import_read_xattrs(d, fd, import_name(d, n), n, sync_place_text(&path));
	return 0;
}

static int copy_xattrs(struct import_node *n, const struct import_node *owner)
{
	if (!owner->xattrs_len)
		return 0;
	n->xattrs = malloc(owner->xattrs_len);
	if (!n->xattrs)
		return -ENOMEM;
	memcpy(n->xattrs, owner->xattrs, owner->xattrs_len);
	n->xattrs_len = owner->xattrs_len;
	return 0;
}

/* All names of one inode say the same, whenever each of them was looked at. */
static int follow_owner(struct import_node *n, const struct import_node *owner)
{
	n->mode = owner->mode;
	n->uid = owner->uid;
	n->gid = owner->gid;
	n->mtime_ns = owner->mtime_ns;
	n->ctime_ns = owner->ctime_ns;
	n->flags = owner->flags;
	if (n->type == FMT_SYMLINK)
		return 0;
	n->size = owner->size;
	n->digest = owner->digest;
	n->fingerprint = owner->fingerprint;
	return copy_xattrs(n, owner);
}

static int settle_node(struct import_dir *d, struct import_node *n)
{
	int r = 0;

	if (n->group && !(n->flags & IMPORT_GONE)) {
		if (n->group->owner->flags & IMPORT_GONE)
			r = read_again(d, n);
		else if (n->group->owner != n)
			r = follow_owner(n, n->group->owner);
		if (!(n->flags & IMPORT_GONE))
			n->group->names++;
	}
	return r;
}

static int settle_dir(struct import_dir *d)
{
	int r = 0;

	for (uint32_t i = 0; i < d->count && r == 0; i++) {
		struct import_node *n = &d->nodes[i];

		r = settle_node(d, n);
		if (r == 0 && n->type == FMT_DIR && !(n->flags & IMPORT_GONE))
			r = settle_dir(n->dir);
	}
	return r;
}

int import_settle(struct import *im, struct orch_err *err)
{
	int r = settle_dir(im->root.dir);

	if (r < 0)
		return orch_err_sys(err, -r, "hard links");
	return sync_task_result(im->task, err);
}

static uint32_t id_of(uint32_t id, uint32_t owner)
{
	return id == owner ? FMT_ID_OWNER : id;
}

static void fill_entry(const struct import *im, const struct import_dir *d,
    const struct import_node *n, struct fmt_entry *e, struct fmt_stamp *s)
{
	*e = (struct fmt_entry){.type = (enum fmt_type)n->type,
	    .mode = n->mode & 07777,
	    .uid = id_of(n->uid, im->spec->uid),
	    .gid = id_of(n->gid, im->spec->gid),
	    .xattrs = {.p = n->xattrs, .len = n->xattrs_len},
	    .size = n->size,
	    .digest = n->digest};
	if (d) {
		e->name = import_name(d, n);
		e->name_len = n->name_len;
	}
	if (n->type == FMT_SYMLINK) {
		e->mode = 0777;
		e->target = n->target;
		e->target_len = n->size;
	}
	*s = (struct fmt_stamp){
	    .ino = n->ino, .mtime_ns = n->mtime_ns, .nlink = n->group ? n->group->names : 1};
}

static void take_made(const struct sync_made *made, struct fmt_entry *e, struct fmt_stamp *s)
{
	e->digest = made->tree;
	e->size = made->size;
	e->count = made->count;
	s->stamps = made->stamps;
}

static int build_dir(
    struct import *im, const struct import_dir *d, struct sync_made *out, struct orch_err *err);

static int build_entry(struct import *im, const struct import_dir *d, const struct import_node *n,
    struct sync_maker *m, struct orch_err *err)
{
	struct sync_made made;
	struct fmt_entry e;
	struct fmt_stamp s;
	int r;

	fill_entry(im, d, n, &e, &s);
	if (n->type == FMT_DIR) {
		r = build_dir(im, n->dir, &made, err);
		if (r < 0)
			return r;
		take_made(&made, &e, &s);
	}
	return sync_maker_add(m, &e, &s, err);
}

static int build_dir(
    struct import *im, const struct import_dir *d, struct sync_made *out, struct orch_err *err)
{
	struct sync_maker *m = NULL;
	int r = sync_maker_new(im->spec->quarantine, &m, err);

	for (uint32_t i = 0; i < d->count && r == 0; i++)
		if (!(d->nodes[i].flags & IMPORT_GONE))
			r = build_entry(im, d, &d->nodes[i], m, err);
	if (r == 0 && *im->task->cancel)
		r = orch_err_set(err, ORCH_ECANCELLED, "cancelled");
	if (r == 0)
		r = sync_maker_end(m, out, err);
	sync_maker_free(m);
	return r;
}

int import_build(struct import *im, struct sync_imported *out, struct orch_err *err)
{
	struct fmt_snapshot snap = {.root_mtime_ns = im->root.mtime_ns,
	    .next_ino = im->next_ino,
	    .source = im->spec->source ? im->spec->source : "",
	    .source_len = im->spec->source_len};
	struct sync_maker *m = NULL;
	struct sync_made made;
	struct fmt_stamp s;
	int r = build_dir(im, im->root.dir, &made, err);

	if (r < 0)
		return r;
	fill_entry(im, NULL, &im->root, &snap.root, &s);
	snap.root.name = "";
	take_made(&made, &snap.root, &s);
	snap.stamps = made.stamps;
	r = sync_maker_new(im->spec->quarantine, &m, err);
	if (r == 0)
		r = sync_maker_snapshot(m, &snap, &out->snapshot, err);
	sync_maker_free(m);
	out->files = made.count;
	out->bytes = made.size;
	return r;
}
