/* Import: the parallel walk. One pool task lists a folder; its small reads are done at once, many
 * or large ones become tasks of their own. */
#include "sync/import_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "sync/place.h"
#include "sync/xattrs.h"

#define BATCH_FILES 64
#define BATCH_BYTES (UINT64_C(4) << 20)
#define PATH_BYTES  (SYNC_DEPTH_MAX * (FMT_NAME_MAX + 1) + 1)
#define QUEUE_MAX   4096

struct read_batch {
	struct import_dir *dir;
	uint32_t count;
	uint64_t bytes;
	uint32_t nodes[BATCH_FILES];
};

static void walk_dir(void *arg);

static int put_names(const struct import_dir *d, struct orch_buf *out)
{
	const struct import_node *n;
	int r;

	if (!d->parent)
		return 0;
	r = put_names(d->parent, out);
	if (r < 0)
		return r;
	n = &d->parent->nodes[d->index];
	if (out->len && (r = orch_buf_add_u8(out, '/')) < 0)
		return r;
	return orch_buf_add(out, import_name(d->parent, n), n->name_len);
}

int import_path(const struct import_dir *d, const char *name, struct orch_buf *out)
{
	int r;

	orch_buf_reset(out);
	r = put_names(d, out);
	if (r == 0 && name && out->len)
		r = orch_buf_add_u8(out, '/');
	if (r == 0)
		r = orch_buf_add_str(out, name ? name : "");
	return r;
}

int import_open_dir(const struct import_dir *d, struct orch_buf *path)
{
	int r = import_path(d, NULL, path);

	if (r < 0)
		return r;
	return sync_place_open(d->import->spec->root_fd, sync_place_text(path), path->len);
}

static void run_batch(void *arg)
{
	struct read_batch *b = arg;
	struct import *im = b->dir->import;
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};
	orch_auto(fd) int fd = -1;

	if (!sync_task_stopped(im->task)) {
		fd = import_open_dir(b->dir, &path);
		for (uint32_t i = 0; i < b->count && !sync_task_stopped(im->task); i++) {
			struct import_node *n = &b->dir->nodes[b->nodes[i]];

			if (fd >= 0)
				import_read(b->dir, fd, n, &path);
			else
				n->flags = IMPORT_GONE;
		}
		if (fd < 0 && fd != -ENOENT)
			sync_task_fail(im->task, NULL, -fd);
	}
	free(b);
}

/* Reads what has collected: here when it is all that the folder has, else in a task. */
static void flush_batch(struct read_batch **batch, int fd, bool last, bool *split)
{
	struct read_batch *b = *batch;
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};

	if (!b)
		return;
	*batch = NULL;
	if (!last || *split) {
		*split = true;
		orch_pool_add(b->dir->import->pool, run_batch, b);
		return;
	}
	for (uint32_t i = 0; i < b->count && !sync_task_stopped(b->dir->import->task); i++)
		import_read(b->dir, fd, &b->dir->nodes[b->nodes[i]], &path);
	free(b);
}

static int start_reads(struct import_dir *d, int fd)
{
	struct read_batch *b = NULL;
	bool split = false;

	for (uint32_t i = 0; i < d->count; i++) {
		/* a folder's node belongs to the task of that folder by now */
		if (d->nodes[i].type != FMT_REG || !(d->nodes[i].flags & IMPORT_READ))
			continue;
		if (b && (b->count == BATCH_FILES || b->bytes + d->nodes[i].size > BATCH_BYTES))
			flush_batch(&b, fd, false, &split);
		if (!b && !(b = calloc(1, sizeof(*b))))
			return -ENOMEM;
		b->dir = d;
		b->nodes[b->count++] = i;
		b->bytes += d->nodes[i].size;
	}
	flush_batch(&b, fd, true, &split);
	return 0;
}

/* Whether n is another name of an inode that somebody else reads already. */
static int join_group(struct import *im, struct import_node *n, bool *out_follows)
{
	struct import_group *g;
	uint64_t *slot;
	int r = -ENOMEM;

	pthread_mutex_lock(&im->group_lock);
	slot = sync_inomap_put(&im->groups, n->dev, n->src_ino);
	if (slot) {
		g = (struct import_group *)(uintptr_t)*slot;
		*out_follows = g != NULL;
		if (!g && (g = calloc(1, sizeof(*g)))) {
			g->owner = n;
			g->next = im->all_groups;
			im->all_groups = g;
			*slot = (uintptr_t)g;
		}
		if (g) {
			n->group = g;
			r = 0;
		}
	}
	pthread_mutex_unlock(&im->group_lock);
	return r;
}

void import_read_xattrs(
    struct import_dir *d, int fd, const char *name, struct import_node *n, const char *path)
{
	orch_auto(buf) struct orch_buf x = {.max = FMT_XATTRS_MAX};
	int r = sync_xattrs_read(fd, name, &x);
	size_t len;

	if (r == -ENOENT)
		return;
	if (r == -ENOMEM) {
		sync_task_fail(d->import->task, NULL, ENOMEM);
	} else if (r < 0) {
		sync_task_warn(d->import->task, "extended attributes of %s are not taken: %s", path,
		    strerrordesc_np(-r));
	} else if (x.len) {
		n->xattrs = orch_buf_take(&x, &len);
		n->xattrs_len = (uint32_t)len;
	}
}

static int look_at_file(struct import_dir *d, int fd, struct import_node *n, const char *path)
{
	struct import *im = d->import;
	bool no_xattrs = false, follows = false;

	if (n->links > 1 && join_group(im, n, &follows) < 0)
		return -ENOMEM;
	atomic_fetch_add(&im->index_bytes, strlen(path));
	if (follows)
		return 0;
	if (!import_index_match(im, n, path, &no_xattrs)) {
		n->flags |= IMPORT_READ;
		n->flags &= (uint8_t)~IMPORT_TRUST;
	} else {
		atomic_fetch_add(&im->task->files, 1);
		atomic_fetch_add(&im->task->bytes, n->size);
	}
	if (!no_xattrs)
		import_read_xattrs(d, fd, import_name(d, n), n, path);
	return 0;
}

static int look_at_folder(struct import_dir *d, struct import_node *n, const char *path)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct import *im = d->import;
	struct import_dir *sub;

	if (im->spec->store_ino && n->src_ino == im->spec->store_ino &&
	    n->dev == im->spec->store_dev) {
		n->type = FMT_FIFO; /* owns nothing */
		n->flags = IMPORT_GONE;
		sync_task_skip(im->task, "the store", path);
		return 0;
	}
	if (d->depth == SYNC_DEPTH_MAX) {
		orch_err_set(&err, ENAMETOOLONG, "more than %d folders below each other: %.200s...",
		    SYNC_DEPTH_MAX, path);
		sync_task_fail(im->task, &err, ENAMETOOLONG);
		return -ENAMETOOLONG;
	}
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return -ENOMEM;
	sub->import = im;
	sub->parent = d;
	sub->index = (uint32_t)(n - d->nodes);
	sub->depth = d->depth + 1;
	n->dir = sub;
	return 0;
}

static bool excluded(const struct import *im, const char *path, bool is_dir)
{
	return (im->spec->exclude && orch_globs_match(im->spec->exclude, path, is_dir)) ||
	       (im->ignore && orch_globs_match(im->ignore, path, is_dir));
}

static void drop_node(struct import_node *n)
{
	if (n->type == FMT_SYMLINK)
		free(n->target);
	n->type = FMT_FIFO; /* owns nothing */
	n->flags = IMPORT_GONE;
}

static const char *special_name(uint8_t type)
{
	switch (type) {
	case FMT_FIFO:
		return "fifo";
	case FMT_SOCKET:
		return "socket";
	default:
		return "device";
	}
}

static int look_at(struct import_dir *d, int fd, struct import_node *n, struct orch_buf *buf)
{
	struct import *im = d->import;
	bool follows;
	const char *path;
	int r = import_path(d, import_name(d, n), buf);

	if (r < 0)
		return r;
	path = sync_place_text(buf);
	if (excluded(im, path, n->type == FMT_DIR)) {
		drop_node(n);
		return 0;
	}
	switch (n->type) {
	case FMT_REG:
		return look_at_file(d, fd, n, path);
	case FMT_DIR:
		return look_at_folder(d, n, path);
	case FMT_SYMLINK:
		atomic_fetch_add(&im->task->files, 1);
		return n->links > 1 ? join_group(im, n, &follows) : 0;
	default:
		sync_task_skip(im->task, special_name(n->type), path);
		n->flags = IMPORT_GONE;
		return 0;
	}
}

/* Everything about a folder that is open. */
static int walk_open_dir(struct import_dir *d, int fd, struct orch_buf *path)
{
	struct import *im = d->import;
	int r = import_list(d, fd, path);

	for (uint32_t i = 0; i < d->count && r == 0; i++)
		if (!(d->nodes[i].flags & IMPORT_GONE))
			r = look_at(d, fd, &d->nodes[i], path);
	if (r < 0)
		return r;
	r = import_path(d, NULL, path);
	if (r < 0)
		return r;
	import_read_xattrs(
	    d, fd, ".", d->parent ? &d->parent->nodes[d->index] : &im->root, sync_place_text(path));
	for (uint32_t i = 0; i < d->count; i++)
		if (d->nodes[i].type == FMT_DIR && d->nodes[i].dir)
			orch_pool_add(im->pool, walk_dir, d->nodes[i].dir);
	return start_reads(d, fd);
}

static bool has_vanished(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

static void tell_failure(struct import_dir *d, int r, struct orch_buf *path)
{
	if (d->parent && has_vanished(r)) {
		d->parent->nodes[d->index].flags |= IMPORT_GONE;
	} else if ((r == -EACCES || r == -EPERM) && import_path(d, NULL, path) == 0) {
		sync_task_unreadable(d->import->task, sync_place_text(path), -r);
	} else {
		struct orch_err err = ORCH_ERR_INIT;

		orch_err_sys(&err, -r, "folder %s",
		    import_path(d, NULL, path) == 0 ? sync_place_text(path) : "?");
		sync_task_fail(d->import->task, &err, -r);
	}
}

static void walk_dir(void *arg)
{
	struct import_dir *d = arg;
	orch_auto(buf) struct orch_buf path = {.max = PATH_BYTES};
	orch_auto(fd) int fd = -1;
	int r;

	if (sync_task_stopped(d->import->task))
		return;
	r = fd = import_open_dir(d, &path);
	if (r >= 0)
		r = walk_open_dir(d, fd, &path);
	if (r < 0)
		tell_failure(d, r, &path);
	sync_task_tick(d->import->task);
}

int import_walk(struct import *im, struct orch_err *err)
{
	struct import_dir *d = calloc(1, sizeof(*d));

	if (!d)
		return orch_err_sys(err, ENOMEM, "walk");
	d->import = im;
	im->root = (struct import_node){.type = FMT_DIR, .flags = IMPORT_TRUST, .dir = d};
	im->pool = orch_pool_new(im->task->threads, QUEUE_MAX);
	if (!im->pool)
		return orch_err_sys(err, ENOMEM, "walk");
	im->task->phase = "walk";
	orch_pool_add(im->pool, walk_dir, d);
	orch_pool_drain(im->pool);
	orch_pool_free(im->pool);
	im->pool = NULL;
	return sync_task_result(im->task, err);
}
