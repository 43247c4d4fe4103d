/* Commit: what one recorded node becomes. */
#include "sync/commit_priv.h"
#include "core/grow.h"
#include "sync/place.h"

#include <inttypes.h>
#include <stdlib.h>

static int no_memory(struct commit *c)
{
	return orch_err_sys(c->err, ENOMEM, "commit");
}

void commit_attributes(const struct fmt_node *n, struct fmt_entry *e)
{
	e->mode = n->mode & 07777u;
	e->uid = n->uid;
	e->gid = n->gid;
	e->xattrs = n->xattrs;
}

static int add_empty_object(struct commit *c)
{
	struct cas_added added;
	int r;

	if (!orch_digest_is_null(&c->empty))
		return 0;
	r = cas_quarantine_add_bytes(c->spec->quarantine, "", 0, &added, c->err);
	if (r == 0)
		c->empty = added.object.digest;
	return r;
}

static int add_private(struct commit *c, const struct fmt_node *n)
{
	uint64_t *slot = sync_inomap_put(&c->spool, 0, n->ino);

	if (!slot)
		return no_memory(c);
	if (*slot)
		return 0;
	if (orch_grow(&c->files, &c->file_cap, c->file_count + 1, sizeof(*c->files)) < 0)
		return no_memory(c);
	c->files[c->file_count++] = (struct commit_file){
	    .commit = c, .ino = n->ino, .spool_layer = n->spool_layer, .spool_id = n->spool_id};
	*slot = c->file_count;
	return 0;
}

static int file_entry(struct commit *c, const struct fmt_node *n, struct fmt_entry *e)
{
	int r;

	switch (n->content) {
	case FMT_CONTENT_OBJECT:
		e->digest = n->digest;
		e->size = n->size;
		return 0;
	case FMT_CONTENT_SPOOL:
		return add_private(c, n);
	default:
		r = add_empty_object(c);
		e->digest = c->empty;
		return r;
	}
}

static int skip(struct commit *c, const char *what)
{
	sync_task_skip(c->task, what, sync_place_text(&c->path));
	return 1;
}

int commit_entry(
    struct commit *c, const struct fmt_node *n, struct fmt_entry *e, struct fmt_stamp *s)
{
	e->type = n->type;
	commit_attributes(n, e);
	*s = (struct fmt_stamp){.ino = n->ino, .mtime_ns = n->mtime_ns, .nlink = 1};
	switch (n->type) {
	case FMT_REG:
		return file_entry(c, n, e);
	case FMT_SYMLINK:
		e->mode = 0777;
		e->target = n->target;
		e->target_len = n->target_len;
		e->size = n->target_len;
		return 0;
	case FMT_FIFO:
		return skip(c, "fifo");
	case FMT_SOCKET:
		return skip(c, "socket");
	case FMT_CHR:
	case FMT_BLK:
		return skip(c, "device");
	default:
		return orch_err_set(c->err, ORCH_ECORRUPT, "node %" PRIu64 " is no file", n->ino);
	}
}
